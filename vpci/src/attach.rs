//! Taking a function under mediation, and letting go of it.

use capabilities::header::{self, Command, Layout};
use capabilities::id::CapabilityId;
use capabilities::{ConfigReader, Sbdf, Width, msix, walk};
use zerocopy::FromZeros;

use crate::bar::{self, BarKind, Sized};
use crate::function::{Function, ROM, View};
use crate::lists::Reader;
use crate::map::{DefineError, Source};
use crate::register::Effect;
use crate::{Host, Refusal, Siblings, Written};

/// What to take under mediation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// The physical function.
    pub sbdf: Sbdf,
    /// Whose view of it.
    pub view: View,
    /// Leave its BARs alone: they are known not to behave like BARs.
    pub ignore_bars: bool,
}

/// Why a function was not taken. The physical function is as it was, and nothing of the host's is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// Its header type is neither 0 nor 1, or the view is not offered for it.
    Unsupported,
    /// The memory given holds too few registers.
    Full,
}

impl From<DefineError> for AttachError {
    fn from(_: DefineError) -> Self {
        Self::Full
    }
}

impl Function<'_> {
    /// The number of MSI-X vectors that a function needs room for, 0 to 2048.
    pub fn vectors_needed<H: Host>(host: &H, sbdf: Sbdf) -> u16 {
        let physical = Reader::physical(host, sbdf);
        let capability = walk::standard(&physical).find(|c| c.id == CapabilityId::MSIX);
        capability.map_or(0, |c| msix::entries(physical.read16(c.offset + msix::CONTROL)))
    }

    /// Takes the function under mediation. If memory decoding is on, its BARs are to be mapped:
    /// [`Written::Pending`], and [`step`](Self::step) does it, decoding being off until it has.
    ///
    /// A capability that is broken is hidden, and the function goes without it.
    ///
    /// # Errors
    ///
    /// See [`AttachError`].
    pub fn attach<H: Host>(&mut self, host: &H, info: &Info) -> Result<Written, AttachError> {
        self.state.zero();
        self.state.sbdf = info.sbdf.0;
        self.state.view = info.view;
        let physical = Reader::physical(host, info.sbdf);
        let layout = Layout::from_header_type(physical.read8(header::HEADER_TYPE));
        let layout = layout.filter(|_| info.view == View::Hardware).ok_or(AttachError::Unsupported)?;

        self.define_effect(header::COMMAND, Width::Word, Source::Hardware, Effect::Command)?;
        let command = physical.read16(header::COMMAND);
        let memory = Command::from_bits_retain(command).contains(Command::MEMORY);
        let write_command = |value: u16| {
            host.config_write(info.sbdf, header::COMMAND, Width::Word, u32::from(value));
        };
        self.pin_standard_list(host)?;
        if !info.ignore_bars {
            if memory {
                write_command(command & !Command::MEMORY.bits());
            }
            let attached = self.attach_bars(host, layout).and_then(|()| self.attach_rom(host, layout));
            if let Err(error) = attached {
                write_command(command);
                return Err(error.into());
            }
        }
        self.attach_interrupts(host);
        self.pin_extended_list(host);

        if memory && self.has_memory() {
            self.retarget(true, self.state.mapping.rom);
            self.state.mapping.set_command(command);
            return Ok(Written::Pending);
        }
        if memory && !info.ignore_bars {
            write_command(command);
        }
        self.state.mapping.memory = memory;
        Ok(Written::Done)
    }

    /// Lets go of the function: every PIRQ and every page of its BARs is given back. The physical function keeps its
    /// registers.
    ///
    /// Work: not divided; bounded by the pages of its BARs and by its vectors.
    pub fn detach<H: Host, S: Siblings>(&mut self, host: &H, siblings: &S) {
        self.state.msi.disable(host);
        self.release_vectors(host);
        self.unmap_all(host, siblings);
    }

    fn attach_bars<H: Host>(&mut self, host: &H, layout: Layout) -> Result<(), DefineError> {
        let sbdf = self.state.sbdf();
        let mut previous = BarKind::Empty;
        for number in 0..layout.bars() {
            let offset = header::BAR0 + u16::from(number) * 4;
            let value = host.config_read(sbdf, offset, Width::Dword);
            let last = number + 1 == layout.bars();
            let (kind, range) = if previous == BarKind::Memory64 {
                (BarKind::High, Sized { address: 0, size: 0 })
            } else if value & header::BAR_IO != 0 {
                (BarKind::Io, Sized { address: 0, size: 0 })
            } else if value & header::BAR_TYPE != header::BAR_TYPE_64 {
                (BarKind::Memory32, bar::size32(host, sbdf, offset, header::BAR_ADDRESS))
            } else if last {
                // There is no register for its high half.
                self.refuse(Refusal::Capability);
                (BarKind::Empty, Sized { address: 0, size: 0 })
            } else {
                (BarKind::Memory64, bar::size64(host, sbdf, offset))
            };
            let memory = matches!(kind, BarKind::Memory32 | BarKind::Memory64);
            let kind = if memory && range.size == 0 { BarKind::Empty } else { kind };
            previous = kind;
            if let Some(bar) = self.state.bars.get_mut(usize::from(number)) {
                bar.kind = kind;
                bar.address = range.address;
                bar.guest = range.address;
                bar.size = range.size;
                bar.prefetchable = value & header::BAR_PREFETCHABLE != 0;
            }
            if matches!(kind, BarKind::Memory32 | BarKind::Memory64 | BarKind::High) {
                self.define_effect(offset, Width::Dword, Source::Hardware, Effect::Bar)?;
            }
        }
        Ok(())
    }

    fn attach_rom<H: Host>(&mut self, host: &H, layout: Layout) -> Result<(), DefineError> {
        let (sbdf, offset) = (self.state.sbdf(), layout.rom());
        let value = host.config_read(sbdf, offset, Width::Dword);
        let range = bar::size32(host, sbdf, offset, header::ROM_ADDRESS);
        if range.size == 0 {
            return Ok(());
        }
        if let Some(rom) = self.state.bars.get_mut(ROM) {
            rom.kind = BarKind::Rom;
            rom.address = range.address;
            rom.guest = range.address;
            rom.size = range.size;
        }
        self.state.rom_register = offset as u8; // CAST: in the header.
        self.state.mapping.rom = value & header::ROM_ENABLE != 0;
        self.define_effect(offset, Width::Dword, Source::Hardware, Effect::Rom)
    }

    /// Mediates MSI-X and MSI; what is broken or there twice is hidden.
    fn attach_interrupts<H: Host>(&mut self, host: &H) {
        let [msix, msi] = self.find_capabilities(host, [CapabilityId::MSIX, CapabilityId::MSI]);
        self.hide_others(host, CapabilityId::MSIX, msix);
        self.hide_others(host, CapabilityId::MSI, msi);
        if let Some(offset) = msix
            && self.attach_msix(host, offset).is_err()
        {
            self.state.msix = FromZeros::new_zeroed();
            self.refuse(Refusal::Capability);
            self.hide_at(host, u16::from(offset));
        }
        if let Some(offset) = msi
            && self.attach_msi(host, offset).is_err()
        {
            self.state.msi = FromZeros::new_zeroed();
            self.refuse(Refusal::Capability);
            self.hide_at(host, u16::from(offset));
        }
    }
}
