//! What a function is to be like after a reset, read once, before anyone who is not trusted has it (XSA-337).

use bitflags::bitflags;
use capabilities::extended::{control, error};
use capabilities::header::{self, Command, Layout, Status};
use capabilities::id::{CapabilityId, ExtendedHeader, ExtendedId};
use capabilities::standard::{advanced, express, msi, msix, pm};
use capabilities::{ConfigReader, EXTENDED_CONFIG_SIZE, Sbdf, Width, walk};
use zerocopy::FromZeros;

use super::platform::{Physical, Platform};
use super::saved::{Fixed, Saved, Table};
use crate::{Flags, Quirks};

/// Where the PCI Express capability is that [`Flags::CAP_LIST_TRUNCATED`] says is in no list (Intel's QAT functions).
const TRUNCATED_EXPRESS: u8 = 0x50;

/// The most registers that are written again.
const SAVED: usize = 64;
/// The most dwords that are compared.
const FIXED: usize = 128;

/// The host addresses of a memory BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromZeros)]
#[repr(C)]
pub struct Region {
    /// The first byte.
    pub address: u64,
    /// Bytes; 0 for no memory BAR.
    pub size: u64,
}

/// A function of which a snapshot is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The function.
    pub sbdf: Sbdf,
    /// It is a virtual function: its header has neither IDs nor BARs.
    pub virtual_function: bool,
    /// Its memory BARs, a 64-bit one at its first register.
    pub bars: [Region; 6],
}

/// Why there is no snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotError {
    /// It does not answer.
    Absent,
    /// It is a bridge, or has a header of an unknown type.
    Unsupported,
    /// It has more capabilities than there is room for.
    Full,
}

bitflags! {
    /// What a function can do, as its registers had it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Facts: u32 {
        const VIRTUAL = 1 << 0;
        const FLR = 1 << 1;
        const ADVANCED_FLR = 1 << 2;
        /// D3hot and back is a reset.
        const SOFT_RESET = 1 << 3;
        const READY_AT_ONCE = 1 << 4;
    }
}

/// What a function was like. All zeros is one that was never taken.
#[derive(FromZeros)]
#[repr(C)]
pub struct Snapshot {
    bars: [Region; 6],
    sbdf: u32,
    facts: u32,
    pub(crate) ids: u32,
    /// Revision ID and Class Code.
    pub(crate) class: u32,
    pub(crate) command: u16,
    pub(crate) device_control: u16,
    power_state: u16,
    msi_control: u16,
    msix_control: u16,
    sr_iov: u16,
    express: u8,
    advanced: u8,
    power: u8,
    msi: u8,
    msix: u8,
    saved_count: u8,
    fixed_count: u8,
    taken: bool,
    saved: [Saved; SAVED],
    fixed: [Fixed; FIXED],
}

// What a device needs, beside its Function of 4 KiB.
static_assertions::const_assert!(size_of::<Snapshot>() <= 2304);

/// A function that a reset takes care of.
#[derive(Clone, Copy, Debug)]
pub struct Member<'s> {
    /// What it is to be like.
    pub snapshot: &'s Snapshot,
    /// What is known of it.
    pub quirks: &'s Quirks,
}

impl core::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Snapshot({})", self.sbdf())
    }
}

/// The offset of a capability, if there is one.
const fn some(offset: u8) -> Option<u16> {
    if offset == 0 { None } else { Some(offset as u16) } // CAST: widening; `From` is not const.
}

impl Snapshot {
    /// The function.
    #[must_use]
    pub const fn sbdf(&self) -> Sbdf {
        Sbdf(self.sbdf)
    }

    /// Whether there is anything in it.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.taken
    }

    pub(crate) const fn is(&self, facts: Facts) -> bool {
        Facts::from_bits_retain(self.facts).contains(facts)
    }

    pub(crate) const fn express(&self) -> Option<u16> {
        some(self.express)
    }

    pub(crate) const fn advanced(&self) -> Option<u16> {
        some(self.advanced)
    }

    pub(crate) const fn power(&self) -> Option<u16> {
        some(self.power)
    }

    /// The offset of the SR-IOV capability, if there is one.
    pub(crate) fn sr_iov(&self) -> Option<u16> {
        (self.sr_iov != 0).then_some(self.sr_iov)
    }

    /// PMCSR, with `state` as power state and no status cleared.
    pub(crate) const fn power_control(&self, state: u16) -> u16 {
        self.power_state | state
    }

    /// Message Control of MSI and of MSI-X, each with its offset, and not enabled.
    pub(crate) fn interrupts_off(&self) -> [Option<(u16, u16)>; 2] {
        [
            some(self.msi).map(|at| (at + msi::CONTROL, self.msi_control)),
            some(self.msix).map(|at| (at + msix::CONTROL, self.msix_control)),
        ]
    }

    /// COMMAND for the next owner: as it was, but for bus mastering.
    pub(crate) fn command_without_master(&self) -> Command {
        Command::from_bits_retain(self.command) - Command::MASTER
    }

    /// The host address of the dword `offset` bytes into memory BAR `bar`; `None` if it has none there.
    pub(crate) fn memory(&self, bar: usize, offset: u64) -> Option<u64> {
        let region = self.bars.get(bar)?;
        let inside = offset.checked_add(4).is_some_and(|end| end <= region.size);
        region.address.checked_add(offset).filter(|_| inside && region.address != 0)
    }

    pub(crate) fn saved(&self, at: usize) -> Option<&Saved> {
        self.saved.get(..usize::from(self.saved_count))?.get(at)
    }

    pub(crate) fn fixed(&self, at: usize) -> Option<&Fixed> {
        self.fixed.get(..usize::from(self.fixed_count))?.get(at)
    }

    /// The base address registers among the saved ones: they are needed before the memory is.
    pub(crate) fn saved_bars(&self) -> impl Iterator<Item = &Saved> {
        self.saved.iter().take(usize::from(self.saved_count)).filter(|saved| saved.is_bar())
    }

    /// Reads what `subject` is like. It must be in the hands of someone who is trusted, and configured as its next owner
    /// is to find it.
    ///
    /// Work: one look at each capability; at most 250 accesses of configuration space, for the longest lists.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]; nothing is taken then, and without a snapshot there is no reset.
    pub fn take<P: Platform>(
        &mut self,
        platform: &P,
        subject: &Subject,
        quirks: &Quirks,
    ) -> Result<(), SnapshotError> {
        self.zero();
        let device = Physical::new(platform, subject.sbdf);
        self.sbdf = subject.sbdf.0;
        self.bars = subject.bars;
        self.facts = if subject.virtual_function { Facts::VIRTUAL.bits() } else { 0 };
        let taken = self.read(&device, quirks);
        if taken.is_err() {
            self.zero();
        }
        self.taken = taken.is_ok();
        taken
    }

    fn read<R: ConfigReader>(&mut self, device: &R, quirks: &Quirks) -> Result<(), SnapshotError> {
        let header_type = device.read8(header::HEADER_TYPE);
        self.ids = device.read32(header::VENDOR_ID);
        self.class = device.read32(header::CLASS);
        if self.class == u32::MAX || self.ids == u32::MAX && !self.is(Facts::VIRTUAL) {
            return Err(SnapshotError::Absent);
        }
        if Layout::from_header_type(header_type) != Some(Layout::Endpoint) {
            return Err(SnapshotError::Unsupported);
        }
        self.command = device.read16(header::COMMAND);
        let mut table = Table::new(&mut self.saved, &mut self.fixed);
        let virtual_function = Facts::from_bits_retain(self.facts).contains(Facts::VIRTUAL);
        let mut found = Found::default();
        table.compare_header(device, virtual_function)?;
        for capability in walk::standard(device) {
            found.standard(capability.id, capability.offset);
            table.compare_standard(device, capability.id, capability.offset)?;
        }
        let at = u16::from(TRUNCATED_EXPRESS);
        if found.express == 0
            && quirks.flags.contains(Flags::CAP_LIST_TRUNCATED)
            && device.read8(at) == CapabilityId::EXPRESS.0
        {
            found.express = TRUNCATED_EXPRESS;
            table.compare_standard(device, CapabilityId::EXPRESS, at)?;
        }
        if found.express != 0 || found.pci_x != 0 {
            let mut none = true;
            for capability in walk::extended(device) {
                none = false;
                found.extended(capability.header, capability.offset);
                table.compare_extended(device, capability.offset, capability.header)?;
            }
            if none {
                table.compare_no_extended(device)?;
            }
        }
        table.save(device, &found, virtual_function, quirks)?;
        (self.saved_count, self.fixed_count) = table.counts();
        self.take_facts(device, &found);
        Ok(())
    }

    /// What the methods need to know.
    fn take_facts<R: ConfigReader>(&mut self, device: &R, found: &Found) {
        let mut facts = Facts::from_bits_retain(self.facts);
        let status = Status::from_bits_retain(device.read16(header::STATUS));
        facts.set(Facts::READY_AT_ONCE, status.contains(Status::IMMEDIATE_READINESS));
        (self.express, self.advanced, self.power) = (found.express, found.advanced, found.power);
        (self.msi, self.msix, self.sr_iov) = (found.msi, found.msix, found.sr_iov);
        if let Some(at) = self.express() {
            let capable = device.read32(at + express::DEVICE_CAPABILITIES) & express::FUNCTION_LEVEL_RESET;
            facts.set(Facts::FLR, capable != 0);
            self.device_control = device.read16(at + express::DEVICE_CONTROL) & !express::INITIATE_FLR;
        }
        if let Some(at) = self.advanced() {
            let both = advanced::TRANSACTIONS_PENDING | advanced::FUNCTION_LEVEL_RESET;
            facts.set(Facts::ADVANCED_FLR, device.read8(at + advanced::CAPABILITIES) & both == both);
        }
        if let Some(at) = self.power() {
            let value = device.read16(at + pm::CONTROL_STATUS);
            facts.set(Facts::SOFT_RESET, value & pm::NO_SOFT_RESET == 0);
            // CAST: two bits.
            self.power_state = value & !(pm::POWER_STATE as u16 | pm::PME_STATUS);
        }
        if let Some(at) = some(self.msi) {
            self.msi_control = device.read16(at + msi::CONTROL) & !msi::ENABLE;
        }
        if let Some(at) = some(self.msix) {
            self.msix_control = device.read16(at + msix::CONTROL) & !(msix::ENABLE | msix::FUNCTION_MASK);
        }
        self.facts = facts.bits();
    }
}

/// Where the capabilities are that a reset has to do with; 0 for one that is not there. Of two, the first counts.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) express: u8,
    pub(crate) advanced: u8,
    pub(crate) power: u8,
    pub(crate) msi: u8,
    pub(crate) msix: u8,
    pub(crate) pci_x: u8,
    pub(crate) aer: u16,
    pub(crate) vc: u16,
    pub(crate) acs: u16,
    pub(crate) ats: u16,
    pub(crate) sr_iov: u16,
    pub(crate) pri: u16,
    pub(crate) rebar: u16,
    pub(crate) ltr: u16,
    pub(crate) pasid: u16,
    pub(crate) l1: u16,
    pub(crate) ptm: u16,
}

impl Found {
    /// Bytes of standard capabilities that are written to: what is too near to the end is not there.
    fn standard(&mut self, id: CapabilityId, offset: u16) {
        let Ok(at) = u8::try_from(offset) else { return };
        let (place, last) = match id {
            CapabilityId::EXPRESS => (&mut self.express, 0x100 - 0x14),
            CapabilityId::AF => (&mut self.advanced, 0x100 - 0x08),
            CapabilityId::PM => (&mut self.power, 0x100 - 0x08),
            CapabilityId::MSI => (&mut self.msi, 0x100 - 0x0c),
            CapabilityId::MSIX => (&mut self.msix, 0x100 - msix::LENGTH),
            CapabilityId::PCI_X => (&mut self.pci_x, 0x100 - 0x08),
            _ => return,
        };
        if *place == 0 && offset <= last {
            *place = at;
        }
    }

    /// Likewise: each with the bytes that are read or written, of a list its first entry.
    fn extended(&mut self, header: ExtendedHeader, offset: u16) {
        let (place, bytes) = match header.id() {
            ExtendedId::AER => (&mut self.aer, error::HEADER_LOG),
            ExtendedId::VC | ExtendedId::VC_MFVC => (&mut self.vc, control::VC_CONTROL + 4),
            ExtendedId::ACS => (&mut self.acs, 0x08),
            ExtendedId::ATS => (&mut self.ats, 0x08),
            ExtendedId::SR_IOV => (&mut self.sr_iov, control::VF_BAR0 + 4 * header::BARS),
            ExtendedId::PRI => (&mut self.pri, 0x10),
            ExtendedId::REBAR => (&mut self.rebar, control::REBAR_CONTROL + 4),
            ExtendedId::LTR => (&mut self.ltr, 0x08),
            ExtendedId::PASID => (&mut self.pasid, 0x08),
            ExtendedId::L1_SUBSTATES => (&mut self.l1, 0x10),
            ExtendedId::PTM => (&mut self.ptm, 0x0c),
            _ => return,
        };
        if *place == 0 && offset <= EXTENDED_CONFIG_SIZE - bytes {
            *place = offset;
        }
    }
}

/// Cuts the value of a register to `width`.
pub(crate) const fn cut(value: u32, width: Width) -> u32 {
    match width {
        Width::Byte => value & 0xff,
        Width::Word => value & 0xffff,
        Width::Dword => value,
    }
}
