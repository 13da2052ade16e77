//! The registers that a reset loses and its engine writes again, in this order, and those that a reset must not change.

use capabilities::extended::{control, error};
use capabilities::header::{self, Status};
use capabilities::id::{CapabilityId, ExtendedHeader, ExtendedId};
use capabilities::standard::{express, msix, pci_x};
use capabilities::{CONFIG_SIZE, ConfigReader, EXTENDED_CONFIG_SIZE, Width};
use zerocopy::FromZeros;

use super::snapshot::{Found, SnapshotError, cut};
use crate::{Flags, Quirks};

/// How a register is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Once.
    Write = 0,
    /// Until it reads back.
    Verify,
    /// With those bits of it that are set and under the value: they are RW1C.
    Clear,
}

/// A register to write after a reset.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub(crate) struct Saved {
    pub(crate) value: u32,
    pub(crate) offset: u16,
    bytes: u8,
    pub(crate) kind: Kind,
}

impl Saved {
    pub(crate) fn width(self) -> Width {
        Width::from_bytes(u32::from(self.bytes)).unwrap_or(Width::Dword)
    }

    pub(crate) const fn is_bar(self) -> bool {
        matches!(self.kind, Kind::Verify)
    }
}

/// Bits of a dword that are the same after a reset: where a capability is, and what else was relied on.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub(crate) struct Fixed {
    pub(crate) mask: u32,
    pub(crate) value: u32,
    pub(crate) offset: u16,
}

/// Both lists, as they are filled.
pub(crate) struct Table<'t> {
    saved: &'t mut [Saved],
    saved_count: usize,
    fixed: &'t mut [Fixed],
    fixed_count: usize,
}

/// ID and Next Capability Pointer of a standard capability.
const LINK: u32 = 0xffff;

impl<'t> Table<'t> {
    pub(crate) const fn new(saved: &'t mut [Saved], fixed: &'t mut [Fixed]) -> Self {
        Self { saved, saved_count: 0, fixed, fixed_count: 0 }
    }

    /// How many registers, and how many dwords.
    pub(crate) fn counts(&self) -> (u8, u8) {
        // CAST: both have at most 128.
        (self.saved_count as u8, self.fixed_count as u8)
    }

    fn compare<R: ConfigReader>(&mut self, device: &R, offset: u16, mask: u32) -> Result<(), SnapshotError> {
        self.expect(offset, mask, device.read32(offset))
    }

    fn expect(&mut self, offset: u16, mask: u32, value: u32) -> Result<(), SnapshotError> {
        let place = self.fixed.get_mut(self.fixed_count).ok_or(SnapshotError::Full)?;
        *place = Fixed { mask, value: value & mask, offset };
        self.fixed_count += 1;
        Ok(())
    }

    /// IDs, class, header type, where the list starts.
    pub(crate) fn compare_header<R: ConfigReader>(
        &mut self,
        device: &R,
        virtual_function: bool,
    ) -> Result<(), SnapshotError> {
        if !virtual_function {
            self.compare(device, header::VENDOR_ID, u32::MAX)?;
        }
        self.compare(device, header::COMMAND, u32::from(Status::CAPABILITIES.bits()) << 16)?;
        self.compare(device, header::CLASS, u32::MAX)?;
        self.compare(device, header::CACHE_LINE_SIZE, 0x00ff_0000)?;
        self.compare(device, header::SUBSYSTEM, u32::MAX)?;
        self.compare(device, header::CAPABILITIES_POINTER, 0xff)
    }

    /// The capability at `offset`: its ID and pointer, and what its length and effects follow from.
    pub(crate) fn compare_standard<R: ConfigReader>(
        &mut self,
        device: &R,
        id: CapabilityId,
        offset: u16,
    ) -> Result<(), SnapshotError> {
        let more = match id {
            // Version, type, slot.
            CapabilityId::EXPRESS => 0x01ff,
            // Multiple Message Capable, 64 bits, masks.
            CapabilityId::MSI => 0x018e,
            CapabilityId::MSIX => msix::TABLE_SIZE,
            // Length and capabilities.
            CapabilityId::AF => 0xffff,
            // Vendor-specific: the length.
            CapabilityId(0x09) => 0x00ff,
            _ => 0,
        };
        self.compare(device, offset, LINK | u32::from(more) << 16)?;
        if id == CapabilityId::MSIX && offset <= CONFIG_SIZE - msix::LENGTH {
            self.compare(device, offset + msix::TABLE, u32::MAX)?;
            self.compare(device, offset + msix::PBA, u32::MAX)?;
        }
        Ok(())
    }

    /// The extended capability at `offset`, whose first dword is `header`.
    pub(crate) fn compare_extended<R: ConfigReader>(
        &mut self,
        device: &R,
        offset: u16,
        header: ExtendedHeader,
    ) -> Result<(), SnapshotError> {
        self.expect(offset, u32::MAX, header.0)?;
        let more = offset + control::VENDOR_HEADER;
        match header.id() {
            ExtendedId::VSEC | ExtendedId::DVSEC if more < EXTENDED_CONFIG_SIZE => {
                self.compare(device, more, u32::MAX)
            }
            _ => Ok(()),
        }
    }

    /// There are no extended capabilities: the dword that would be the first is as it is.
    pub(crate) fn compare_no_extended<R: ConfigReader>(&mut self, device: &R) -> Result<(), SnapshotError> {
        self.compare(device, CONFIG_SIZE, u32::MAX)
    }

    fn keep(&mut self, offset: u16, width: Width, kind: Kind, value: u32) -> Result<(), SnapshotError> {
        let place = self.saved.get_mut(self.saved_count).ok_or(SnapshotError::Full)?;
        *place = Saved { value: cut(value, width), offset, bytes: width.bytes(), kind };
        self.saved_count += 1;
        Ok(())
    }

    fn word<R: ConfigReader>(&mut self, device: &R, at: u16, mask: u16) -> Result<(), SnapshotError> {
        self.keep(at, Width::Word, Kind::Write, u32::from(device.read16(at) & mask))
    }

    fn dword<R: ConfigReader>(&mut self, device: &R, at: u16, mask: u32) -> Result<(), SnapshotError> {
        self.keep(at, Width::Dword, Kind::Write, device.read32(at) & mask)
    }

    /// All registers to be written again but COMMAND.
    pub(crate) fn save<R: ConfigReader>(
        &mut self,
        device: &R,
        found: &Found,
        virtual_function: bool,
        quirks: &Quirks,
    ) -> Result<(), SnapshotError> {
        // LTR's latencies come before what enables it (PCIe 6.18).
        if found.ltr != 0 {
            self.dword(device, found.ltr + control::LTR_LATENCIES, u32::MAX)?;
        }
        self.save_express(device, found)?;
        self.save_translation(device, found, quirks)?;
        if found.vc != 0 {
            let count = device.read32(found.vc + control::VC_CAPABILITY) & control::VC_COUNT;
            let first = found.vc + control::VC_CONTROL;
            for (_, at) in
                (0..=count).zip((first..EXTENDED_CONFIG_SIZE).step_by(usize::from(control::VC_RESOURCE)))
            {
                self.dword(device, at, !control::VC_LOAD_TABLE)?;
            }
        }
        if found.rebar != 0 {
            let first = found.rebar + control::REBAR_CONTROL;
            let count = (device.read32(first) >> control::REBAR_COUNT_SHIFT & 7).min(u32::from(header::BARS));
            for (_, at) in
                (0..count).zip((first..EXTENDED_CONFIG_SIZE).step_by(usize::from(control::REBAR_ENTRY)))
            {
                self.dword(device, at, u32::MAX)?;
            }
        }
        if found.ptm != 0 {
            self.dword(device, found.ptm + control::PTM_CONTROL, u32::MAX)?;
        }
        self.save_errors(device, found)?;
        self.save_link(device, found)?;
        if !virtual_function {
            self.save_header(device)?;
        }
        if found.pci_x != 0 {
            self.word(device, u16::from(found.pci_x) + pci_x::COMMAND, u16::MAX)?;
        }
        if found.acs != 0 {
            self.word(device, found.acs + control::ACS_CONTROL, u16::MAX)?;
        }
        self.save_sr_iov(device, found)
    }

    fn save_express<R: ConfigReader>(&mut self, device: &R, found: &Found) -> Result<(), SnapshotError> {
        let Some((at, length)) = express_at(device, found) else { return Ok(()) };
        self.word(device, at + express::DEVICE_CONTROL, !express::INITIATE_FLR)?;
        if length > express::DEVICE_CONTROL_2 {
            self.word(device, at + express::DEVICE_CONTROL_2, u16::MAX)?;
        }
        if length > express::LINK_CONTROL_2 {
            self.word(device, at + express::LINK_CONTROL_2, u16::MAX)?;
        }
        Ok(())
    }

    /// PASID before PRI before ATS: what is enabled later needs what is before it (PCIe 10.5.1.3).
    fn save_translation<R: ConfigReader>(
        &mut self,
        device: &R,
        found: &Found,
        quirks: &Quirks,
    ) -> Result<(), SnapshotError> {
        if found.pasid != 0 {
            self.word(device, found.pasid + control::PASID_CONTROL, u16::MAX)?;
        }
        if found.pri != 0 {
            self.dword(device, found.pri + control::PRI_ALLOCATION, u32::MAX)?;
            self.word(device, found.pri + control::PRI_CONTROL, u16::MAX)?;
        }
        if found.ats != 0 && !quirks.flags.contains(Flags::NO_ATS) {
            self.word(device, found.ats + control::ATS_CONTROL, u16::MAX)?;
        }
        Ok(())
    }

    /// What the reset itself reported is cleared, then errors are reported as before.
    fn save_errors<R: ConfigReader>(&mut self, device: &R, found: &Found) -> Result<(), SnapshotError> {
        let at = found.aer;
        if at == 0 {
            return Ok(());
        }
        self.keep(at + error::UNCORRECTABLE_STATUS, Width::Dword, Kind::Clear, error::UNCORRECTABLE)?;
        self.keep(at + error::CORRECTABLE_STATUS, Width::Dword, Kind::Clear, error::CORRECTABLE)?;
        self.dword(device, at + error::UNCORRECTABLE_MASK, u32::MAX)?;
        self.dword(device, at + error::UNCORRECTABLE_SEVERITY, u32::MAX)?;
        self.dword(device, at + error::CORRECTABLE_MASK, u32::MAX)?;
        self.dword(device, at + error::CONTROL, u32::MAX)
    }

    /// L1 substates are set up while ASPM is off, and enabled last of all in them (PCIe 5.5.4).
    fn save_link<R: ConfigReader>(&mut self, device: &R, found: &Found) -> Result<(), SnapshotError> {
        let link = express_at(device, found).filter(|(_, length)| *length > express::LINK_CONTROL);
        let link = link.map(|(at, _)| at + express::LINK_CONTROL);
        if let Some(at) = link {
            self.word(device, at, !(express::ASPM | express::RETRAIN_LINK))?;
        }
        if found.l1 != 0 {
            self.dword(device, found.l1 + control::L1_CONTROL_2, u32::MAX)?;
            self.dword(device, found.l1 + control::L1_CONTROL_1, !control::L1_ENABLES)?;
            self.dword(device, found.l1 + control::L1_CONTROL_1, u32::MAX)?;
        }
        match link {
            Some(at) => self.word(device, at, !express::RETRAIN_LINK),
            None => Ok(()),
        }
    }

    /// Downwards, so that the high half of a BAR comes first.
    fn save_header<R: ConfigReader>(&mut self, device: &R) -> Result<(), SnapshotError> {
        let line = header::INTERRUPT_LINE;
        self.keep(line, Width::Byte, Kind::Write, u32::from(device.read8(line)))?;
        self.dword(device, header::ROM_TYPE0, header::ROM_ADDRESS)?;
        for number in (0..header::BARS).rev() {
            let at = header::BAR0 + number * 4;
            self.keep(at, Width::Dword, Kind::Verify, device.read32(at))?;
        }
        self.word(device, header::CACHE_LINE_SIZE, u16::MAX)
    }

    /// Where virtual functions will be. A function is not reset while it has any.
    fn save_sr_iov<R: ConfigReader>(&mut self, device: &R, found: &Found) -> Result<(), SnapshotError> {
        let at = found.sr_iov;
        if at == 0 {
            return Ok(());
        }
        self.word(device, at + control::SR_IOV_CONTROL, control::ARI_HIERARCHY)?;
        self.dword(device, at + control::SYSTEM_PAGE_SIZE, u32::MAX)?;
        for number in (0..header::BARS).rev() {
            self.dword(device, at + control::VF_BAR0 + number * 4, u32::MAX)?;
        }
        Ok(())
    }
}

/// The PCI Express capability and how much of it there is.
fn express_at<R: ConfigReader>(device: &R, found: &Found) -> Option<(u16, u16)> {
    let at = u16::from(found.express);
    let room = CONFIG_SIZE.saturating_sub(at);
    (at != 0).then(|| (at, express::length(device.read16(at + express::FLAGS)).min(room)))
}
