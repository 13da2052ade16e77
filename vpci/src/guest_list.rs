//! A guest's capability lists: those that the policy shows, linked anew; the bodies of all others read 0.

use capabilities::id::{CapabilityId, ExtendedHeader};
use capabilities::policy::{self, Dword, Visibility};
use capabilities::standard::sata;
use capabilities::{CONFIG_SIZE, ConfigReader, EXTENDED_CONFIG_SIZE, header, msix, walk};
use zerocopy::FromZeros;

use crate::function::Function;
use crate::lists::Reader;
use crate::map::{DefineError, Found};
use crate::{Host, Refusal};

/// A dword that reads as the device had it.
const SNAPSHOT: Dword = Dword { snapshot: u32::MAX, ..Dword::HIDDEN };

impl Function<'_> {
    /// Defines the capabilities that a guest has.
    pub(crate) fn attach_guest_lists<H: Host>(&mut self, host: &H) -> Result<(), DefineError> {
        let physical = Reader::physical(host, self.state.sbdf());
        let mut link = header::CAPABILITIES_POINTER;
        for capability in walk::standard(&physical) {
            if self.attach_standard(host, &physical, capability)? {
                // CAST: below 0x100.
                self.pin(link, 0xff, capability.offset as u8)?;
                link = capability.offset + 1;
                self.pin(link, 0xff, 0)?;
            }
        }
        if link != header::CAPABILITIES_POINTER {
            let flag = header::Status::CAPABILITIES.bits() as u8; // CAST: bit 4.
            self.pin(header::STATUS, flag, flag)?;
        }
        self.attach_guest_extended(&physical)
    }

    /// Defines a standard capability, if a guest has it. Whether it has.
    fn attach_standard<H: Host>(
        &mut self,
        host: &H,
        physical: &Reader<'_, '_, H>,
        capability: walk::Capability,
    ) -> Result<bool, DefineError> {
        let walk::Capability { id, offset, .. } = capability;
        let entry = policy::standard(id);
        if entry.guest != Visibility::Shown {
            return Ok(false);
        }
        let length = entry.length.bytes(physical, offset);
        let Some(length) = length.filter(|length| self.is_free(offset, *length, CONFIG_SIZE)) else {
            self.refuse(Refusal::Capability);
            return Ok(false);
        };
        if id == CapabilityId::SATA && sata::is_inline(physical.read32(offset + sata::LOCATION)) {
            return Ok(false);
        }
        let offset8 = offset as u8; // CAST: below 0x100.
        match id {
            CapabilityId::MSI if self.state.msi.exists() => return Ok(false),
            CapabilityId::MSIX if self.state.msix.exists() => return Ok(false),
            CapabilityId::MSI => {
                self.attach_msi(host, offset8)?;
                if let Some((pending, bits)) = self.state.msi.pending() {
                    self.define_guest(pending, Dword { live: bits, ..Dword::HIDDEN }, 0)?;
                }
            }
            CapabilityId::MSIX => {
                if self.attach_msix(host, offset8).is_err() {
                    self.state.msix = FromZeros::new_zeroed();
                    self.refuse(Refusal::Capability);
                    return Ok(false);
                }
                for register in [msix::TABLE, msix::PBA] {
                    // What the engine goes by, not what the device says now.
                    let value = self.state.msix.location(register);
                    self.define_guest(offset + register, SNAPSHOT, value)?;
                }
            }
            _ => {
                for number in 0..length.div_ceil(4) {
                    let rules = policy::standard_dword(id, number);
                    self.define_dword(physical, offset + number * 4, rules)?;
                }
            }
        }
        // The high half is as the policy has it; ID and pointer are the list's.
        self.pin(offset, 0xff, id.0)?;
        Ok(true)
    }

    fn define_dword<H: Host>(
        &mut self,
        physical: &Reader<'_, '_, H>,
        offset: u16,
        rules: Dword,
    ) -> Result<(), DefineError> {
        let snapshot = if rules.snapshot == 0 { 0 } else { physical.read32(offset) };
        self.define_guest(offset, rules, snapshot)
    }

    /// Whether `length` bytes from `offset` on end by `end` and are no other capability's.
    fn is_free(&self, offset: u16, length: u16, end: u16) -> bool {
        let Some(last) = offset.checked_add(length).filter(|last| *last <= end && length != 0) else {
            return false;
        };
        (offset / 4..last.div_ceil(4)).all(|dword| self.state.index.find(dword) == Found::Gap)
    }

    /// Defines the extended capabilities that a guest has. The list starts at 0x100: with a null capability, where the
    /// device's first one is hidden.
    fn attach_guest_extended<H: Host>(&mut self, physical: &Reader<'_, '_, H>) -> Result<(), DefineError> {
        let mut last = None;
        for capability in walk::extended(physical) {
            let (offset, id) = (capability.offset, capability.header.id());
            let entry = policy::extended(id);
            if entry.guest != Visibility::Shown {
                continue;
            }
            let length = entry.length.bytes(physical, offset);
            let Some(length) = length.filter(|length| self.is_free(offset, *length, EXTENDED_CONFIG_SIZE))
            else {
                self.refuse(Refusal::Capability);
                continue;
            };
            for number in 1..length.div_ceil(4) {
                self.define_dword(physical, offset + number * 4, policy::extended_dword(id, number))?;
            }
            self.define_guest(offset, SNAPSHOT, capability.header.with_next(0).0)?;
            match last {
                Some((last, header)) => {
                    let header: ExtendedHeader = header;
                    self.define_guest(last, SNAPSHOT, header.with_next(offset).0)?;
                }
                None if offset != walk::EXTENDED_START => {
                    let anchor = ExtendedHeader(0).with_next(offset);
                    self.define_guest(walk::EXTENDED_START, SNAPSHOT, anchor.0)?;
                }
                None => {}
            }
            last = Some((offset, capability.header));
        }
        Ok(())
    }
}
