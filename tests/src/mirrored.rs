//! A guest whose device has one of the known mirrors, with every capability and bytes in its BARs that no register of
//! configuration space has.

use capabilities::Width;
use quirks::mirrors::{Answer, Choice, KNOWN, Known, Place};
use quirks::table::Identity;
use vpci::{AttachError, GuestInfo, Info, View, Written};

use crate::device::Device;
use crate::guest::{COMMAND, Guest, everything};
use crate::machine::Machine;

/// What every byte of a page with a mirror reads in the device.
pub const RAW: u8 = 0x5b;
/// Where BARs 0 to 5 and the ROM are for the guest.
pub const BARS: [Option<u64>; 7] =
    [Some(0xd000_0000), Some(0xc000), Some(0x20_0000_0000), None, Some(0xe100_0000), None, Some(0xe200_0000)];
/// Where BAR 2 is, if it has 32 bits.
const LOW: u64 = 0xe400_0000;
/// BAR 0 in the host, of 32 MiB, and BAR 2, of 64 KiB.
const HOST_BAR0: u32 = 0xf200_0000;
const HOST_BAR2: u64 = 0x41_0000_0000;
const HOST_LOW: u32 = 0xfe40_0000;

/// Bytes of a BAR with an answer of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// The row.
    pub known: Known,
    /// The BAR.
    pub bar: usize,
    /// The first byte.
    pub at: u64,
    /// How many.
    pub length: u64,
    /// The answer.
    pub answer: Answer,
}

impl Bytes {
    /// The first and the last page.
    pub const fn pages(&self) -> (u64, u64) {
        (self.at >> 12, (self.at + self.length - 1) >> 12)
    }

    /// Whether a byte of the BAR is one of these.
    pub fn contains(&self, offset: u64) -> bool {
        (self.at..self.at + self.length).contains(&offset)
    }
}

/// The rows that answer for bytes, one for each device ID of rows with one.
pub fn all() -> impl Iterator<Item = Bytes> {
    KNOWN.iter().filter_map(|known| {
        let (Place::Memory(bar) | Place::Memory32(bar) | Place::Memory64(bar)) = known.mirror.place else {
            return None;
        };
        let Choice::Bytes { offset, length, answer } = known.mirror.choice else { return None };
        let (bar, at, length) = (usize::from(bar), u64::from(offset), u64::from(length));
        Some(Bytes { known: *known, bar, at, length, answer })
    })
}

/// A function that the row is about.
pub const fn identity(known: &Known) -> Identity {
    let Known { mirror, .. } = known;
    Identity {
        vendor: mirror.vendor,
        device: mirror.ids.first,
        class: mirror.when.class_value,
        subsystem: 0,
        traits: mirror.when.has,
        firmware: None,
    }
}

/// What answers for bytes of the same function, this row among them.
pub fn of(known: &Known) -> Vec<Bytes> {
    let function = identity(known);
    let same = |other: &Bytes| {
        let mirror = other.known.mirror;
        mirror.vendor == function.vendor
            && mirror.ids.contains(function.device)
            && mirror.when.holds(&function)
            // The kind of BAR 2 is what this row asks for.
            && (mirror.place == known.mirror.place || matches!(mirror.place, Place::Memory(_)))
    };
    all().filter(same).collect()
}

/// Its device: BAR 0 has the MSI-X table in page 1 and the PBA in page 3.
pub fn device(known: &Known) -> Device {
    let mut device = everything().with_bar32(0, HOST_BAR0, 0x200_0000);
    device = if matches!(known.mirror.place, Place::Memory32(_)) {
        let device = device.with_bar64(2, 0, 1 << 63);
        let mut device = device.with_bar32(2, HOST_LOW, 0x1_0000);
        device.set(0x1c, Width::Dword, 0);
        device.allow(0x1c, Width::Dword, 0);
        device
    } else {
        device.with_bar64(2, HOST_BAR2, 0x1_0000)
    };
    let Identity { vendor, device: id, class, .. } = identity(known);
    device.set(0x00, Width::Dword, u32::from(id) << 16 | u32::from(vendor));
    device.set(0x08, Width::Dword, class);
    device
}

/// Where its BARs are.
pub const fn places(known: &Known) -> [Option<u64>; 7] {
    let mut bars = BARS;
    if matches!(known.mirror.place, Place::Memory32(_)) {
        bars[2] = Some(LOW);
    }
    bars
}

/// A guest with it that decodes.
///
/// # Panics
///
/// If it cannot have it.
pub fn guest(known: &Known) -> Guest {
    let mut guest = given(known, device(known), places(known), false).expect("the function can be given");
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    guest
}

/// A guest with it that can have it reset.
///
/// # Panics
///
/// If it cannot have it.
pub fn resettable(known: &Known) -> Guest {
    let guest = GuestInfo { bars: places(known), resettable: true, ..GuestInfo::NONE };
    let mut guest = guarded(known, device(known), guest, false).expect("the function can be given");
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    guest
}

/// A guest with this device, guarded as what the row is about.
///
/// # Errors
///
/// It cannot be given so, or is refused.
///
/// # Panics
///
/// If it cannot be given at all.
pub fn given(
    known: &Known,
    device: Device,
    bars: [Option<u64>; 7],
    trusted: bool,
) -> Result<Guest, AttachError> {
    guarded(known, device, GuestInfo { bars, ..GuestInfo::NONE }, trusted)
}

fn guarded(known: &Known, device: Device, guest: GuestInfo<'_>, trusted: bool) -> Result<Guest, AttachError> {
    let mut machine = Machine::default();
    machine.plug(device);
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info)?, Written::Done);
    machine.guard(0, identity(known), trusted)?;
    machine.check_placement(0)?;
    for bytes in of(known) {
        let (address, _) = machine.state(0).bars()[bytes.bar].host_range();
        let (first, last) = bytes.pages();
        for page in first..=last {
            machine.host.fill_memory(address + (page << 12), &[RAW; 0x1000]);
        }
    }
    Ok(Guest { machine })
}
