//! A guest with a device that has everything, every bit of it read-write: a write that gets through is seen.

use std::cell::RefMut;
use std::ops::Range;

use capabilities::Width;
use capabilities::policy::Rule;
use vpci::{AttachError, GuestInfo, Info, Refusal, View, Written};

use crate::device::Device;
use crate::machine::Machine;

/// COMMAND.
pub const COMMAND: u16 = 0x04;
/// The expansion ROM's register.
pub const ROM: u16 = 0x30;
/// Power Management.
pub const PM: u16 = 0x40;
/// Vital Product Data.
pub const VPD: u16 = 0x48;
/// MSI: four vectors, 64 address bits, masks.
pub const MSI: u16 = 0x50;
/// MSI-X: four vectors.
pub const MSIX: u16 = 0x68;
/// Vendor-Specific, 0x14 bytes.
pub const VENDOR: u16 = 0x74;
/// PCI Express, version 2, of an endpoint.
pub const EXPRESS: u16 = 0x88;
/// Advanced Features.
pub const ADVANCED: u16 = 0xbc;
/// Bytes that no standard capability owns.
pub const GAP: Range<u16> = 0xec..0x100;

/// Where the guest has BAR 0, which holds the MSI-X table in its second page and the PBA in its fourth.
pub const BAR0: u64 = 0xe000_0000;
/// The MSI-X table.
pub const TABLE: u64 = BAR0 + 0x1000;
/// The PBA.
pub const PBA: u64 = BAR0 + 0x3000;
/// Where BAR 0 is in the host.
pub const HOST_BAR0: u32 = 0xfe00_0000;
/// Where the guest has BARs 0 to 5 and the ROM.
pub const BARS: [Option<u64>; 7] =
    [Some(BAR0), Some(0xc000), Some(0x20_0000_0000), None, Some(0xe100_0000), None, Some(0xe200_0000)];

/// Where the extended capability with this ID is: each has 0x40 bytes.
pub const fn extended(id: u16) -> u16 {
    0x100 + (id - 1) * 0x40
}

/// A device with all capabilities, standard and extended, as firmware left it: it decodes, masters the bus and reports
/// errors. All bytes that say nothing else read a5.
pub fn everything() -> Device {
    let mut express = vec![0x02, 0x00];
    express.resize(0x32, 0xa5);
    let mut vendor = vec![0x14];
    vendor.resize(0x12, 0xa5);
    let mut device = Device::endpoint(0x8086, 0x1521)
        .with_command(0x0547)
        .with_bar32(0, HOST_BAR0, 0x4000)
        .with_io(1, 0xc000, 0x20)
        .with_bar64(2, 0x40_0000_0000, 0x8000)
        .with_bar32(4, 0xfe10_0000, 0x1000)
        .with_rom(0xfd00_0000, 0x2000)
        .with_capability(0x40, 0x01, &[0x03, 0xff, 0x00, 0x81, 0xa5, 0xa5])
        .with_capability(0x48, 0x03, &[0xa5; 6])
        .with_msi(0x50, 0x0184)
        .with_msix(0x68, 4, (0, 0x1000), (0, 0x3000))
        .with_capability(0x74, 0x09, &vendor)
        .with_capability(0x88, 0x10, &express)
        .with_capability(0xbc, 0x13, &[0x06, 0x03, 0x00, 0x01, 0xa5, 0xa5])
        .with_capability(0xc4, 0x12, &[0x10, 0x00, 0x48, 0x00, 0x00, 0x00])
        .with_capability(0xcc, 0x0d, &[0xa5; 6])
        .with_capability(0xd4, 0x07, &[0xa5; 6])
        .with_capability(0xdc, 0x14, &[0xa5; 6])
        .with_capability(0xe4, 0x0c, &[0xa5; 6]);
    for offset in GAP.step_by(4) {
        device.set(offset, Width::Dword, 0xa5a5_a5a5);
    }
    for id in 1..=0x3a {
        device = device.with_extended(extended(id), id, 0x40, 0xa5);
    }
    for id in [0x0b, 0x23] {
        device.set(extended(id) + 4, Width::Dword, 0x0401_a5a5);
    }
    for offset in [EXPRESS + 0x04, EXPRESS + 0x24] {
        device.set(offset, Width::Dword, u32::MAX);
    }
    device.set(0x08, Width::Dword, 0x0200_0001);
    device.set(0x0c, Width::Dword, 0xa580_4010);
    device.set(0x28, Width::Dword, 0xa5a5_a5a5);
    device.set(0x2c, Width::Dword, 0x0001_8086);
    device.set(0x3c, Width::Dword, 0xa5a5_010a);
    for offset in (0x08..0x1000).step_by(4).filter(|at| !(0x10..0x28).contains(at) && *at != ROM) {
        device.allow(offset, Width::Dword, u32::MAX);
    }
    device.allow(COMMAND, Width::Word, 0xffff);
    for (offset, bits) in [(0x06, 0xf900), (EXPRESS + 0x0a, 0x000f)] {
        device.allow(offset, Width::Word, !bits);
        device.clear_by_one(offset, Width::Word, bits);
        let value = device.get(offset, Width::Word);
        device.set(offset, Width::Word, value | bits | 0x0008);
    }
    for offset in [extended(1) + 0x04, extended(1) + 0x10] {
        device.allow(offset, Width::Dword, 0);
        device.clear_by_one(offset, Width::Dword, u32::MAX);
    }
    device
}

/// A guest, and its one device.
pub struct Guest {
    /// The machine around it.
    pub machine: Machine,
}

impl Default for Guest {
    fn default() -> Self {
        Self::with(everything())
    }
}

impl Guest {
    /// A guest with this device, its BARs at [`BARS`].
    pub fn with(device: Device) -> Self {
        let mut machine = Machine::default();
        machine.give(device, BARS);
        machine.host.take_events();
        Self { machine }
    }

    /// A guest with this device, given as `info` says.
    ///
    /// # Errors
    ///
    /// It cannot be given so.
    ///
    /// # Panics
    ///
    /// If a guest's attach leaves work.
    pub fn given(device: Device, info: GuestInfo<'_>) -> Result<Self, AttachError> {
        let mut machine = Machine::default();
        machine.plug(device);
        let info = Info { view: View::Guest, guest: info, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info)?, Written::Done);
        machine.check_placement(0)?;
        machine.host.take_events();
        Ok(Self { machine })
    }

    /// A guest with a device and rules for it.
    ///
    /// # Errors
    ///
    /// A rule is refused.
    pub fn allowed(device: Device, rules: &[Rule]) -> Result<Self, AttachError> {
        Self::given(device, GuestInfo { bars: BARS, rules, ..GuestInfo::NONE })
    }

    /// Reads as the guest does.
    pub fn read(&mut self, offset: u16, bytes: u32) -> u32 {
        self.machine.read(0, offset, bytes)
    }

    /// Writes as the guest does, and finishes what that starts.
    pub fn write(&mut self, offset: u16, bytes: u32, value: u32) {
        self.machine.write(0, offset, bytes, value);
    }

    /// The physical function.
    pub fn device(&self) -> RefMut<'_, Device> {
        self.machine.device(0)
    }

    /// All of the physical function's registers.
    pub fn image(&self) -> Vec<u32> {
        let device = self.device();
        (0..0x1000).step_by(4).map(|offset| device.get(offset, Width::Dword)).collect()
    }

    /// How often something was refused.
    pub fn refusals(&self, reason: Refusal) -> u32 {
        self.machine.state(0).refusals(reason)
    }

    /// Writes. The device must have no part in it.
    ///
    /// # Panics
    ///
    /// If something of the device is written.
    pub fn write_apart(&mut self, offset: u16, bytes: u32, value: u32) {
        let image = self.image();
        self.machine.host.take_events();
        self.write(offset, bytes, value);
        assert_eq!(self.machine.host.take_writes(), [], "{value:#x} to {offset:#x} reached the device");
        assert_eq!(self.image(), image, "{value:#x} to {offset:#x} changed the device");
    }

    /// A write of this must change nothing, neither in the device nor for the guest, and be counted and recorded.
    ///
    /// # Panics
    ///
    /// If it is otherwise.
    pub fn is_dropped(&mut self, offset: u16, bytes: u32, value: u32, reason: Refusal) {
        let at = format!("{value:#x} to {offset:#x}");
        let (seen, count) = (self.read(offset, bytes), self.refusals(reason));
        let newest = self.machine.state(0).audit(0).map_or(0, |record| record.sequence);
        self.write_apart(offset, bytes, value);
        assert_eq!(self.read(offset, bytes), seen, "{at} was taken");
        assert_eq!(self.refusals(reason), count + 1, "{at} was not counted once");
        let state = self.machine.state(0);
        let record = (0..16)
            .map_while(|age| state.audit(age))
            .take_while(|record| record.sequence > newest)
            .find(|record| record.reason == reason as u8);
        let record = record.unwrap_or_else(|| panic!("{at} is not in the audit"));
        assert_eq!((record.offset, u32::from(record.bytes), record.value), (offset, bytes, value), "{at}");
    }

    /// A write of this must stay with the guest: it reads it back, the device does not get it, and nothing is counted.
    ///
    /// # Panics
    ///
    /// If it is otherwise.
    pub fn is_kept(&mut self, offset: u16, bytes: u32, value: u32) {
        let counts = *self.machine.state(0).refusal_counts();
        self.write_apart(offset, bytes, value);
        assert_eq!(self.read(offset, bytes), value, "{value:#x} to {offset:#x} was not kept");
        assert_eq!(*self.machine.state(0).refusal_counts(), counts, "{value:#x} to {offset:#x} was counted");
    }

    /// These bytes must not be there for the guest: they read 0 at every width, and writes are dropped and counted.
    ///
    /// # Panics
    ///
    /// If it is otherwise.
    pub fn is_absent(&mut self, range: Range<u16>) {
        for bytes in [1u16, 2, 4] {
            for offset in range.clone().step_by(usize::from(bytes)) {
                let bits = u32::MAX >> (32 - 8 * u32::from(bytes));
                assert_eq!(self.read(offset, u32::from(bytes)), 0, "{offset:#x} shows, {bytes} bytes wide");
                self.is_dropped(offset, u32::from(bytes), bits, Refusal::HiddenWrite);
            }
        }
    }

    /// The extended capability with this ID must not be there: it is in no list, and its bytes are absent.
    ///
    /// # Panics
    ///
    /// If it is otherwise.
    pub fn has_no_extended(&mut self, id: u16) {
        assert!(self.extended_list().iter().all(|(_, other)| *other != id), "{id:#x} is in the list");
        self.is_absent(extended(id)..extended(id) + 0x40);
    }

    /// The standard list, as a guest walks it: offsets and IDs.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn standard_list(&mut self) -> Vec<(u16, u16)> {
        let mut list = Vec::new();
        let mut at = if self.read(0x06, 2) & 0x10 == 0 { 0 } else { self.read(0x34, 1) };
        while at != 0 {
            let offset = u16::try_from(at).expect("a byte");
            let header = self.read(offset, 2);
            list.push((offset, header as u16 & 0xff)); // CAST: a word.
            assert!(offset >= 0x40 && list.len() <= 48, "the list does not end: {list:x?}");
            at = header >> 8;
        }
        list
    }

    /// The extended list likewise, null capabilities left out.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn extended_list(&mut self) -> Vec<(u16, u16)> {
        let mut list = Vec::new();
        let (mut offset, mut seen) = (0x100, 0);
        while offset != 0 {
            let header = self.read(offset, 4);
            if header as u16 != 0 {
                list.push((offset, header as u16)); // CAST: the low half.
            }
            seen += 1;
            assert!(offset >= 0x100 && seen <= 960, "the list does not end: {list:x?}");
            offset = (header >> 20) as u16 & 0xffc; // CAST: 12 bits are left.
        }
        list
    }

    /// Takes the device away. Nothing must be left of it.
    ///
    /// # Panics
    ///
    /// If something is.
    pub fn end(mut self) {
        self.machine.detach(0);
        assert!(self.machine.host.holds_nothing(), "something is left");
        assert_eq!(self.machine.domain_use(), (0, 0), "the domain knows what has gone");
        let device = self.device();
        assert_eq!(device.command() & 4, 0, "the device masters the bus, and is nobody's");
        assert_eq!(device.get(MSI + 2, Width::Word) & 1, 0, "MSI is on");
        assert_eq!(device.get(MSIX + 2, Width::Word) & 0x8000, 0, "MSI-X is on");
    }
}
