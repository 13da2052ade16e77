//! The capability lists as the hardware domain sees them: pinned at attach, with capabilities taken out.
//!
//! Pointers and IDs are read from the device once. Reads give the pinned value; writes go to the device, where both are
//! read-only (PCIe 7.5.3.1). Extended capability headers are pinned whole, and writes to them dropped.
//! Where a list is broken (see [`walk`]), the last sound pointer is pinned as null.

use capabilities::id::{CapabilityId, ExtendedHeader, ExtendedId};
use capabilities::walk::{self, ExtendedCapability};
use capabilities::{Access, CONFIG_SIZE, ConfigReader, EXTENDED_CONFIG_SIZE, Sbdf, Width, header, msi, msix};
use zerocopy::FromZeros;

use crate::function::Function;
use crate::map::{DefineError, Definition, Source};
use crate::{Host, Refusal};

/// Reads a function: the physical one, or as its domain sees it.
pub(crate) struct Reader<'f, 'm, H> {
    host: &'f H,
    sbdf: Sbdf,
    seen: Option<&'f Function<'m>>,
}

impl<'f, 'm, H: Host> Reader<'f, 'm, H> {
    pub(crate) fn physical(host: &'f H, sbdf: Sbdf) -> Self {
        Self { host, sbdf, seen: None }
    }

    fn seen(host: &'f H, function: &'f Function<'m>) -> Self {
        Self { host, sbdf: function.state.sbdf(), seen: Some(function) }
    }
}

impl<H: Host> ConfigReader for Reader<'_, '_, H> {
    fn read(&self, offset: u16, width: Width) -> u32 {
        let Some(function) = self.seen else { return self.host.config_read(self.sbdf, offset, width) };
        match Access::new(u32::from(offset), u32::from(width.bytes())) {
            Some(access) => function.read(self.host, access),
            None => u32::MAX,
        }
    }
}

impl Function<'_> {
    /// Pins the standard list: whether there is one, its pointers and its IDs.
    ///
    /// # Errors
    ///
    /// There are too few registers.
    pub(crate) fn pin_standard_list<H: Host>(&mut self, host: &H) -> Result<(), DefineError> {
        let physical = Reader::physical(host, self.state.sbdf());
        let mut walk = walk::standard(&physical);
        let mut exists = false;
        loop {
            let (pointer, value) = walk.pointer();
            let null = value & !3 == 0;
            let capability = walk.next();
            let sound = capability.is_some();
            if !sound && !null {
                self.refuse(Refusal::Capability);
            }
            exists |= !null;
            // Without a list, its pointer is the device's.
            if sound || pointer != header::CAPABILITIES_POINTER || !null {
                self.pin(pointer, 0xff, if sound || null { value } else { 0 })?;
            }
            let Some(capability) = capability else { break };
            self.pin(capability.offset, 0xff, capability.id.0)?;
        }
        let flag = header::Status::CAPABILITIES.bits() as u8; // CAST: bit 4.
        self.pin(header::STATUS, flag, if exists { flag } else { 0 })
    }

    /// Pins the extended list, as far as there are registers for it.
    pub(crate) fn pin_extended_list<H: Host>(&mut self, host: &H) {
        let physical = Reader::physical(host, self.state.sbdf());
        let mut last = None;
        for capability in walk::extended(&physical) {
            let source = Source::Virtual(capability.header.0);
            let header = Definition::new(capability.offset, Width::Dword, source);
            if self.define(&Definition { read_only: u32::MAX, ..header }).is_err() {
                break;
            }
            last = Some(capability);
        }
        // The list is longer than its sound part, or than the room for it.
        if let Some(last) = last.filter(|last: &ExtendedCapability| last.header.next() != 0) {
            self.refuse(Refusal::Capability);
            self.set_extended_header(last.offset, last.header.with_next(0));
        }
    }

    /// Takes the first standard capability with this ID out of the list and hides its body. Whether there was one.
    /// Interrupts that it delivers are given back; the pages of an MSI-X table go on to trap.
    pub fn hide_capability<H: Host>(&mut self, host: &H, id: CapabilityId) -> bool {
        let seen = Reader::seen(host, self);
        let hidden = walk::standard(&seen).find(|capability| capability.id == id);
        if let Some(capability) = hidden {
            self.hide_at(host, capability.offset);
        }
        hidden.is_some()
    }

    /// Hides the capability at `offset`, whatever the device says of it now.
    pub(crate) fn hide_at<H: Host>(&mut self, host: &H, offset: u16) {
        let seen = Reader::seen(host, self);
        let mut link = None;
        let mut end = CONFIG_SIZE;
        for capability in walk::standard(&seen) {
            if capability.offset == offset {
                link = Some((capability.pointer, capability.next));
                end = end.min(offset + body(&seen, capability));
            } else if capability.offset > offset {
                end = end.min(capability.offset);
            }
        }
        if let Some((pointer, next)) = link {
            // The register is there: attach pinned the same byte.
            let _ = self.pin(pointer, 0xff, next);
        }
        self.hide_dwords(offset, end);
        if self.state.msi.is_at(offset) {
            self.state.msi.disable(host);
            self.state.msi = FromZeros::new_zeroed();
        }
        if self.state.msix.is_at(offset) {
            self.release_vectors(host);
            self.state.msix.forget();
        }
    }

    /// The offset of the first capability with each of these IDs.
    pub(crate) fn find_capabilities<H: Host, const N: usize>(
        &self,
        host: &H,
        ids: [CapabilityId; N],
    ) -> [Option<u8>; N] {
        let mut found = [None; N];
        for capability in walk::standard(&Reader::seen(host, self)) {
            for (found, id) in found.iter_mut().zip(ids) {
                if found.is_none() && capability.id == id {
                    *found = Some(capability.offset as u8); // CAST: below 0x100.
                }
            }
        }
        found
    }

    /// Hides every capability with this ID but the one at `kept`: nobody mediates them.
    pub(crate) fn hide_others<H: Host>(&mut self, host: &H, id: CapabilityId, kept: Option<u8>) {
        for _ in 0..walk::STANDARD_LIMIT {
            let kept = kept.map(u16::from);
            let seen = Reader::seen(host, self);
            let other = walk::standard(&seen).find(|other| other.id == id && Some(other.offset) != kept);
            let Some(other) = other else { return };
            self.refuse(Refusal::Capability);
            self.hide_at(host, other.offset);
        }
    }

    /// Takes the first extended capability with this ID out of the list and hides its body. Whether there was one.
    /// The header at 0x100 stays, as a null capability, if the list goes on behind it.
    pub fn hide_extended<H: Host>(&mut self, host: &H, id: ExtendedId) -> bool {
        let seen = Reader::seen(host, self);
        let mut previous: Option<ExtendedCapability> = None;
        let hidden = walk::extended(&seen).find(|capability| {
            let found = capability.header.id() == id;
            if !found {
                previous = Some(*capability);
            }
            found
        });
        let Some(hidden) = hidden else { return false };
        let behind = walk::extended(&seen).map(|c| c.offset).filter(|offset| *offset > hidden.offset);
        let end = behind.min().unwrap_or(EXTENDED_CONFIG_SIZE);
        let next = hidden.header.next();
        let mut start = hidden.offset;
        if let Some(previous) = previous {
            self.set_extended_header(previous.offset, previous.header.with_next(next));
        } else {
            let anchor = if next == 0 { ExtendedHeader(0) } else { hidden.header.as_null() };
            self.set_extended_header(start, anchor);
            start += 4;
        }
        self.hide_dwords(start, end);
        true
    }

    /// The bits under `mask` of the byte at `offset` read as in `value` from now on.
    pub(crate) fn pin(&mut self, offset: u16, mask: u8, value: u8) -> Result<(), DefineError> {
        let shift = u32::from(offset % 4) * 8;
        let register = self.state.index.ensure(self.registers, offset / 4).ok_or(DefineError::Full)?;
        let mask = u32::from(mask) << shift;
        register.hardware &= !mask;
        register.set(u32::from(value) << shift, mask);
        Ok(())
    }

    fn set_extended_header(&mut self, offset: u16, header: ExtendedHeader) {
        if let Some(register) = self.state.index.ensure(self.registers, offset / 4) {
            register.set(header.0, u32::MAX);
        }
    }

    /// The dwords from `start` to before `end` read 0 and drop writes.
    fn hide_dwords(&mut self, start: u16, end: u16) {
        for dword in start / 4..end.div_ceil(4) {
            self.state.index.hide(dword);
        }
    }
}

/// The length of a capability in bytes, where its ID tells it; else more than there is.
fn body<R: ConfigReader>(reader: &R, capability: walk::Capability) -> u16 {
    match capability.id {
        CapabilityId::MSI => {
            let control = reader.read16(capability.offset + msi::CONTROL);
            msi::Layout::of(msi::Control::new_from(control)).length
        }
        CapabilityId::MSIX => msix::LENGTH,
        _ => CONFIG_SIZE,
    }
}
