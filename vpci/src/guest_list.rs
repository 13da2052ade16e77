//! A guest's capability lists: those that the policy or a rule shows, linked anew; the bodies of all others read 0.

use capabilities::id::{CapabilityId, ExtendedHeader};
use capabilities::policy::{self, Dword, Entry, Scope, Visibility};
use capabilities::standard::{advanced, express, sata};
use capabilities::{CONFIG_SIZE, ConfigReader, EXTENDED_CONFIG_SIZE, header, msix, walk};

use crate::function::Function;
use crate::guest_rules::Rules;
use crate::lists::Reader;
use crate::map::{DefineError, Found};
use crate::register::Effect;
use crate::{Host, Refusal};

/// A dword that reads as the device had it.
const SNAPSHOT: Dword = Dword { snapshot: u32::MAX, ..Dword::HIDDEN };

/// What a guest may have of a device's capabilities.
#[derive(Clone, Copy)]
pub(crate) struct Allowed<'r> {
    pub(crate) rules: Rules<'r>,
    /// Vital product data.
    pub(crate) vpd: bool,
}

impl Allowed<'_> {
    /// Whether a guest has the capability at `offset`.
    fn shows<H: Host>(&self, entry: Entry, scope: Scope, physical: &Reader<'_, '_, H>, offset: u16) -> bool {
        let vpd = self.vpd && scope == Scope::Standard(CapabilityId::VPD);
        entry.guest == Visibility::Shown || vpd || self.rules.show(scope, physical, offset)
    }

    /// How long it is, where the guest has it.
    fn length<H: Host>(&self, entry: Entry, scope: Scope, physical: &Reader<'_, '_, H>, offset: u16) -> u16 {
        let length = entry.length.bytes(physical, offset);
        length.unwrap_or_else(|| self.rules.extent(scope, physical, offset))
    }
}

impl Function<'_> {
    /// Defines the standard capabilities that a guest has.
    #[inline(never)]
    pub(crate) fn attach_guest_standard<H: Host>(
        &mut self,
        host: &H,
        allowed: &Allowed<'_>,
    ) -> Result<(), DefineError> {
        let physical = Reader::physical(host, self.state.sbdf());
        let mut link = header::CAPABILITIES_POINTER;
        for capability in walk::standard(&physical) {
            if self.attach_standard(host, &physical, capability, allowed)? {
                // CAST: below 0x100.
                self.pin(link, 0xff, capability.offset as u8)?;
                link = capability.offset + 1;
                self.pin(link, 0xff, 0)?;
            } else {
                self.hide_header(capability.offset);
            }
        }
        if link != header::CAPABILITIES_POINTER {
            let flag = header::Status::CAPABILITIES.bits() as u8; // CAST: bit 4.
            self.pin(header::STATUS, flag, flag)?;
        }
        Ok(())
    }

    /// Defines a standard capability, if a guest has it. Whether it has.
    fn attach_standard<H: Host>(
        &mut self,
        host: &H,
        physical: &Reader<'_, '_, H>,
        capability: walk::Capability,
        allowed: &Allowed<'_>,
    ) -> Result<bool, DefineError> {
        let walk::Capability { id, offset, .. } = capability;
        let (entry, scope) = (policy::standard(id), Scope::Standard(id));
        // Of these, the first one counts; the index and data pair of SATA reaches every register of the controller.
        let excluded = match id {
            CapabilityId::MSI => self.state.msi.exists(),
            CapabilityId::MSIX => self.state.msix.exists(),
            CapabilityId::SATA => sata::is_inline(physical.read32(offset + sata::LOCATION)),
            _ => false,
        };
        if excluded || !allowed.shows(entry, scope, physical, offset) {
            return Ok(false);
        }
        let length = allowed.length(entry, scope, physical, offset);
        if !self.is_free(offset, length, CONFIG_SIZE)
            || !self.attach_body(host, physical, capability, length)?
        {
            self.refuse(Refusal::Capability);
            return Ok(false);
        }
        let table = |number| table(entry, policy::standard_dword(id, number));
        self.attach_rules(physical, allowed.rules, scope, (offset, length), table)?;
        self.pin(offset, 0xff, id.0)?;
        Ok(true)
    }

    /// Defines what the tables say of a standard capability. Whether it is sound.
    #[inline(never)]
    fn attach_body<H: Host>(
        &mut self,
        host: &H,
        physical: &Reader<'_, '_, H>,
        capability: walk::Capability,
        length: u16,
    ) -> Result<bool, DefineError> {
        let walk::Capability { id, offset, .. } = capability;
        let offset8 = offset as u8; // CAST: below 0x100.
        match id {
            CapabilityId::MSI => {
                self.attach_msi(host, offset8)?;
                if let Some((pending, bits)) = self.state.msi.pending() {
                    self.define_guest(pending, Dword { live: bits, ..Dword::HIDDEN }, 0)?;
                }
            }
            CapabilityId::MSIX => {
                if self.attach_msix(host, offset8).is_err() {
                    return Ok(false);
                }
                let [table, pba, ..] = self.state.regions;
                for (register, region) in [(msix::TABLE, table), (msix::PBA, pba)] {
                    // What the engine goes by, not what the device says now.
                    self.define_guest(offset + register, SNAPSHOT, region.location())?;
                }
            }
            _ => self.attach_table(physical, capability, length)?,
        }
        Ok(true)
    }

    /// Defines what the tables say of a standard capability that has nothing else to it but a reset.
    #[inline(never)]
    fn attach_table<H: Host>(
        &mut self,
        physical: &Reader<'_, '_, H>,
        capability: walk::Capability,
        length: u16,
    ) -> Result<(), DefineError> {
        let walk::Capability { id, offset, .. } = capability;
        // Saving power is no wish for a reset, which takes longer than a driver waits for D0: it is one for want of another.
        let other = id == CapabilityId::PM && has_function_level_reset(physical);
        let resettable = self.state.resettable && !other;
        let mut resets = false;
        for number in 0..length.div_ceil(4) {
            let mut rules = table(policy::standard(id), policy::standard_dword(id, number));
            let at = offset + number * 4;
            let snapshot = if rules.snapshot | rules.reset == 0 { 0 } else { physical.read32(at) };
            if resettable && rules.tells_of_reset(snapshot) {
                rules.ones ^= rules.reset;
                resets = true;
            }
            let register = self.define_guest(at, rules, snapshot)?;
            if resets && register.effect == Effect::NoReset {
                register.effect = Effect::Reset;
            }
        }
        Ok(())
    }

    /// Whether `length` bytes from `offset` on end by `end` and are no other capability's.
    fn is_free(&self, offset: u16, length: u16, end: u16) -> bool {
        let Some(last) = offset.checked_add(length).filter(|last| *last <= end && length != 0) else {
            return false;
        };
        (offset / 4..last.div_ceil(4)).all(|dword| self.state.index.find(dword) == Found::Gap)
    }

    /// The first dword of a capability that a guest does not have: no rule for bytes shows where the device's list goes.
    fn hide_header(&mut self, offset: u16) {
        if self.state.index.find(offset / 4) == Found::Gap {
            self.state.index.hide(offset / 4);
        }
    }

    /// Defines the extended capabilities that a guest has. The list starts at 0x100: with a null capability, where the
    /// device's first one is hidden.
    #[inline(never)]
    pub(crate) fn attach_guest_extended<H: Host>(
        &mut self,
        host: &H,
        allowed: &Allowed<'_>,
    ) -> Result<(), DefineError> {
        let physical = Reader::physical(host, self.state.sbdf());
        let mut last: Option<(u16, ExtendedHeader)> = None;
        for capability in walk::extended(&physical) {
            let offset = capability.offset;
            if !self.attach_extended(&physical, capability, allowed)? {
                // The place of the list's head is kept for an anchor.
                if offset != walk::EXTENDED_START {
                    self.hide_header(offset);
                }
                continue;
            }
            match last {
                Some((last, header)) => {
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
        self.hide_header(walk::EXTENDED_START);
        Ok(())
    }

    /// Defines an extended capability, if a guest has it. Whether it has.
    #[inline(never)]
    fn attach_extended<H: Host>(
        &mut self,
        physical: &Reader<'_, '_, H>,
        capability: walk::ExtendedCapability,
        allowed: &Allowed<'_>,
    ) -> Result<bool, DefineError> {
        let (offset, id) = (capability.offset, capability.header.id());
        let (entry, scope) = (policy::extended(id), Scope::Extended(id));
        if !allowed.shows(entry, scope, physical, offset) {
            return Ok(false);
        }
        let length = allowed.length(entry, scope, physical, offset);
        if !self.is_free(offset, length, EXTENDED_CONFIG_SIZE) {
            self.refuse(Refusal::Capability);
            return Ok(false);
        }
        let table = |number| table(entry, policy::extended_dword(id, number));
        for number in 1..length.div_ceil(4) {
            let (at, rules) = (offset + number * 4, table(number));
            let snapshot = if rules.snapshot == 0 { 0 } else { physical.read32(at) };
            self.define_guest(at, rules, snapshot)?;
        }
        self.attach_rules(physical, allowed.rules, scope, (offset, length), table)?;
        self.define_guest(offset, SNAPSHOT, capability.header.with_next(0).0)?;
        Ok(true)
    }
}

/// Whether the device has a bit that initiates a function-level reset.
fn has_function_level_reset<H: Host>(physical: &Reader<'_, '_, H>) -> bool {
    walk::standard(physical).any(|capability| {
        let register = match capability.id {
            CapabilityId::EXPRESS => express::DEVICE_CAPABILITIES,
            CapabilityId::AF => advanced::CAPABILITIES & !3,
            _ => return false,
        };
        let rules = policy::standard_dword(capability.id, register / 4);
        rules.tells_of_reset(physical.read32(capability.offset + register))
    })
}

/// How a dword is served by the tables: those of a capability that is hidden but for rules say nothing.
const fn table(entry: Entry, dword: Dword) -> Dword {
    if matches!(entry.guest, Visibility::Hidden) { Dword::HIDDEN } else { dword }
}
