//! Taking a function under mediation, and letting go of it.

use capabilities::header::{self, Command, Layout};
use capabilities::id::CapabilityId;
use capabilities::policy::Rule;
use capabilities::{ConfigReader, Sbdf, Width, msix, walk};
use zerocopy::FromZeros;

use crate::bar::{self, Bar, BarKind, Sized};
use crate::function::{BARS, Function, ROM, View};
use crate::lists::Reader;
use crate::map::{DefineError, Source};
use crate::register::Effect;
use crate::{Host, Refusal, Siblings, Written};

/// What to take under mediation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info<'i> {
    /// The physical function.
    pub sbdf: Sbdf,
    /// Whose view of it.
    pub view: View,
    /// Leave its BARs alone: they are known not to behave like BARs.
    pub ignore_bars: bool,
    /// What only a guest's view needs.
    pub guest: GuestInfo<'i>,
}

impl Info<'_> {
    /// The hardware domain's view of a function.
    #[must_use]
    pub const fn hardware(sbdf: Sbdf) -> Self {
        Self { sbdf, view: View::Hardware, ignore_bars: false, guest: GuestInfo::NONE }
    }
}

/// How a guest gets a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestInfo<'i> {
    /// The guest addresses of BARs 0 to 5 and of the expansion ROM, in bytes; `None` for one that it shall not have. A
    /// 64-bit BAR's is that of its first register.
    pub bars: [Option<u64>; BARS],
    /// The guest's firmware places the BARs instead: they can be moved until decoding is enabled for the first time.
    pub by_firmware: bool,
    /// For a virtual function, what its physical function says of it.
    pub virtual_function: Option<&'i VirtualFunction>,
    /// What the guest may have beyond the policy.
    pub rules: &'i [Rule],
    /// Whether it has vital product data, out of the host's cache.
    pub vpd: bool,
    /// Whether it can have the function reset: a write to a bit that the device has for that is [`Written::Reset`]. Where it
    /// is not, the guest sees no such bit.
    pub resettable: bool,
}

impl GuestInfo<'_> {
    /// No BARs, nothing but the built-in policy.
    pub const NONE: Self = Self {
        bars: [None; BARS],
        by_firmware: false,
        virtual_function: None,
        rules: &[],
        vpd: false,
        resettable: false,
    };
}

/// What the SR-IOV capability of a physical function says of one of its virtual functions (PCIe 9.3.3), whose own
/// registers do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct VirtualFunction {
    /// Vendor ID in the low word, VF Device ID in the high one.
    pub ids: u32,
    /// The low four bits of the VF BAR registers.
    pub kinds: [u32; 6],
    /// The host addresses of its BARs.
    pub addresses: [u64; 6],
    /// Their sizes in bytes, powers of two; 0 for none.
    pub sizes: [u64; 6],
}

/// Why a function was not taken. The physical function is as it was, and nothing of the host's is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// Its header type is neither 0 nor 1, or the view is not offered for it.
    Unsupported,
    /// The memory given holds too few registers, or more pages are to be withheld than [`HOLES`](crate::HOLES).
    Full,
    /// A BAR cannot be where it was placed.
    Placement,
    /// A rule is malformed, or shows what no guest may have.
    Rule,
    /// It is not to be given to a guest that nobody vouches for.
    Refused,
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
    /// A capability that is broken is hidden, and the function goes without it. A guest finds decoding off.
    ///
    /// # Errors
    ///
    /// See [`AttachError`].
    pub fn attach<H: Host>(&mut self, host: &H, info: &Info<'_>) -> Result<Written, AttachError> {
        self.state.audit.zero();
        self.take(host, info)
    }

    /// As [`attach`](Self::attach), but what was refused stays counted.
    pub(crate) fn take<H: Host>(&mut self, host: &H, info: &Info<'_>) -> Result<Written, AttachError> {
        self.state.forget();
        self.state.sbdf = info.sbdf.0;
        self.state.view = info.view;
        let physical = Reader::physical(host, info.sbdf);
        let layout = Layout::from_header_type(physical.read8(header::HEADER_TYPE));
        let layout = layout.ok_or(AttachError::Unsupported)?;
        if info.view == View::Guest && !cfg!(feature = "guest") {
            return Err(AttachError::Unsupported);
        }
        if self.is_guest() {
            return self.attach_guest(host, info, layout).map(|()| Written::Done);
        }

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
        // What is withdrawn is somebody else's.
        if self.is_guest() && !self.is_withdrawn() {
            self.take_from_guest(host);
        }
    }

    fn attach_bars<H: Host>(&mut self, host: &H, layout: Layout) -> Result<(), DefineError> {
        self.size_bars(host, layout, false);
        for number in 0..layout.bars() {
            let kind = self.state.bars.get(usize::from(number)).map(Bar::kind);
            if let Some(BarKind::Memory32 | BarKind::Memory64 | BarKind::High) = kind {
                let offset = header::BAR0 + u16::from(number) * 4;
                self.define_effect(offset, Width::Dword, Source::Hardware, Effect::Bar)?;
            }
        }
        Ok(())
    }

    /// Finds out what the BARs are, decoding being off; the size of I/O BARs only where `io` says so, as they may be
    /// decoded.
    pub(crate) fn size_bars<H: Host>(&mut self, host: &H, layout: Layout, io: bool) {
        let sbdf = self.state.sbdf();
        let mut previous = BarKind::Empty;
        for number in 0..layout.bars() {
            let offset = header::BAR0 + u16::from(number) * 4;
            let value = host.config_read(sbdf, offset, Width::Dword);
            let last = number + 1 == layout.bars();
            let none = Sized { address: 0, size: 0 };
            let (kind, range) = if previous == BarKind::Memory64 {
                (BarKind::High, none)
            } else if value & header::BAR_IO != 0 {
                let range = if io { bar::size32(host, sbdf, offset, header::BAR_IO_ADDRESS) } else { none };
                (BarKind::Io, range)
            } else if value & header::BAR_TYPE != header::BAR_TYPE_64 {
                (BarKind::Memory32, bar::size32(host, sbdf, offset, header::BAR_ADDRESS))
            } else if last {
                // There is no register for its high half.
                self.refuse(Refusal::Capability);
                (BarKind::Empty, none)
            } else {
                (BarKind::Memory64, bar::size64(host, sbdf, offset))
            };
            let memory = matches!(kind, BarKind::Memory32 | BarKind::Memory64);
            let kind = if memory && range.size == 0 { BarKind::Empty } else { kind };
            previous = kind;
            self.set_bar(usize::from(number), kind, range, value & header::BAR_PREFETCHABLE != 0);
        }
    }

    /// A BAR is this, and stands where it does in the host.
    pub(crate) fn set_bar(&mut self, number: usize, kind: BarKind, range: Sized, prefetchable: bool) {
        if let Some(bar) = self.state.bars.get_mut(number) {
            bar.kind = kind;
            bar.address = range.address;
            bar.guest = range.address;
            bar.size = range.size;
            bar.prefetchable = prefetchable;
            bar.placed = true;
        }
    }

    /// Finds out the size of the expansion ROM, decoding being off. Its register, or `None` if there is no ROM.
    pub(crate) fn size_rom<H: Host>(&mut self, host: &H, layout: Layout) -> Option<u32> {
        let (sbdf, offset) = (self.state.sbdf(), layout.rom());
        let value = host.config_read(sbdf, offset, Width::Dword);
        let range = bar::size32(host, sbdf, offset, header::ROM_ADDRESS);
        if range.size == 0 {
            return None;
        }
        self.set_bar(ROM, BarKind::Rom, range, false);
        self.state.rom_register = offset as u8; // CAST: in the header.
        Some(value)
    }

    fn attach_rom<H: Host>(&mut self, host: &H, layout: Layout) -> Result<(), DefineError> {
        let Some(value) = self.size_rom(host, layout) else { return Ok(()) };
        self.state.mapping.rom = value & header::ROM_ENABLE != 0;
        self.define_effect(layout.rom(), Width::Dword, Source::Hardware, Effect::Rom)
    }

    /// Mediates MSI-X and MSI; what is broken or there twice is hidden.
    fn attach_interrupts<H: Host>(&mut self, host: &H) {
        let [msix, msi] = self.find_capabilities(host, [CapabilityId::MSIX, CapabilityId::MSI]);
        self.hide_others(host, CapabilityId::MSIX, msix);
        self.hide_others(host, CapabilityId::MSI, msi);
        if let Some(offset) = msix
            && self.attach_msix(host, offset).is_err()
        {
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
