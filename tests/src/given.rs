//! A device out of a dump in the hands of a guest: where its BARs are put, and what the guest reads.

use capabilities::policy::Rule;
use vpci::{AttachError, GuestInfo, Info, View, VirtualFunction, Written};

use crate::device::Device;
use crate::dump::Dump;
use crate::machine::Machine;
use capabilities::Width;

/// What a BAR of a dump is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named after the kinds of BAR")]
pub enum Kind {
    Io,
    Memory32,
    Memory64,
    Rom,
}

/// A BAR or the expansion ROM of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// 0 to 5, and 6 for the ROM.
    pub number: usize,
    /// What it is.
    pub kind: Kind,
    /// Whether its memory is prefetchable.
    pub prefetchable: bool,
    /// Its address in the host.
    pub address: u64,
    /// Its size; 0 of an I/O BAR without an address.
    pub size: u64,
    /// The address that the guest is given.
    pub guest: u64,
}

/// The BARs that `dump` gives an address, and where a toolstack that wants no trouble puts them: from 0xe0000000 on and,
/// large ones of 64 bits, from 256 GiB on, at the same place in a page as in the host.
pub fn bars(dump: &Dump) -> Vec<Bar> {
    let device = dump.device();
    let mut found = Vec::new();
    let mut add = |number: u16, kind, prefetchable, address: u64, size| {
        if address != 0 || kind == Kind::Io {
            let number = usize::from(number);
            found.push(Bar { number, kind, prefetchable, address, size, guest: 0 });
        }
    };
    let register = |number: u16| device.get(0x10 + 4 * number, Width::Dword);
    let mut number = 0;
    while number < 6 {
        let low = register(number);
        let prefetchable = low & 8 != 0;
        let (address, port) = (u64::from(low & !0xf), u64::from(low & !3));
        if low & 1 != 0 {
            let size = if port == 0 { 0 } else { dump.size(port).clamp(4, 0x100) };
            add(number, Kind::Io, false, port, size);
        } else if low & 6 != 4 {
            add(number, Kind::Memory32, prefetchable, address, dump.size(address));
        } else if number < 5 {
            let address = address | u64::from(register(number + 1)) << 32;
            add(number, Kind::Memory64, prefetchable, address, dump.size(address));
            number += u16::from(address != 0);
        }
        number += 1;
    }
    let rom = u64::from(device.get(0x30, Width::Dword) & !0x7ff);
    add(6, Kind::Rom, false, rom, dump.size(rom).max(0x800));
    place(&mut found);
    found
}

/// Gives each BAR an address. Large ones come first, so that no room is lost.
fn place(bars: &mut [Bar]) {
    let (mut low, mut high, mut port) = (0xe000_0000_u64, 0x40_0000_0000_u64, 0xc000_u64);
    // Small BARs in one host page are in one of the guest's.
    let mut pages: Vec<(u64, u64)> = Vec::new();
    let mut order: Vec<usize> = (0..bars.len()).filter(|at| bars[*at].size != 0).collect();
    order.sort_by_key(|at| std::cmp::Reverse(bars[*at].size));
    for at in order {
        let bar = &mut bars[at];
        let next = match bar.kind {
            Kind::Io => &mut port,
            Kind::Memory64 if bar.size > 0x400_0000 => &mut high,
            _ => &mut low,
        };
        let known = pages.iter().find(|(host, _)| *host == bar.address >> 12);
        if let Some((_, guest)) = known.filter(|_| bar.kind != Kind::Io) {
            bar.guest = *guest << 12 | bar.address & 0xfff;
            continue;
        }
        *next = next.next_multiple_of(bar.size);
        bar.guest = *next;
        if bar.kind == Kind::Io {
            *next += bar.size;
            continue;
        }
        bar.guest |= bar.address & 0xfff;
        pages.push((bar.address >> 12, bar.guest >> 12));
        *next += bar.size.max(0x1000);
    }
}

/// How a guest gets the device.
#[derive(Clone, Copy, Default, Debug)]
pub struct Terms<'t> {
    /// What it may have beyond the policy.
    pub rules: &'t [Rule],
    /// Whether it has vital product data.
    pub vpd: bool,
    /// For a virtual function, what its physical function says of it.
    pub function: Option<&'t VirtualFunction>,
    /// Whether it can have the device reset.
    pub resettable: bool,
}

/// A virtual function with these IDs, without BARs: what a dump and its title say of it.
pub const fn virtual_function(ids: u32) -> VirtualFunction {
    VirtualFunction { ids, kinds: [0; 6], addresses: [0; 6], sizes: [0; 6] }
}

/// The BARs of a virtual function, placed likewise.
pub fn virtual_bars(function: &VirtualFunction) -> Vec<Bar> {
    let mut found = Vec::new();
    let mut number = 0;
    while number < 6 {
        let (size, address, bits) =
            (function.sizes[number], function.addresses[number], function.kinds[number]);
        let kind = if bits & 6 == 4 { Kind::Memory64 } else { Kind::Memory32 };
        if size.is_power_of_two() {
            found.push(Bar { number, kind, prefetchable: bits & 8 != 0, address, size, guest: 0 });
        }
        number += if kind == Kind::Memory64 && size.is_power_of_two() { 2 } else { 1 };
    }
    place(&mut found);
    found
}

/// Gives the device to a guest, its BARs where `bars` has them.
///
/// # Errors
///
/// Those of [`Machine::attach_as`] and [`Machine::check_placement`].
///
/// # Panics
///
/// If something is left to do when the guest has it.
pub fn give(device: Device, bars: &[Bar], terms: &Terms<'_>) -> Result<Machine, AttachError> {
    let mut addresses = [None; 7];
    for bar in bars {
        addresses[bar.number] = Some(bar.guest);
    }
    let mut machine = Machine::default();
    let number = machine.plug(device);
    let guest = GuestInfo {
        bars: addresses,
        by_firmware: false,
        virtual_function: terms.function,
        rules: terms.rules,
        vpd: terms.vpd,
        resettable: terms.resettable,
    };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(number)) };
    let written = machine.attach_as(number, &info)?;
    assert_eq!(written, Written::Done, "a guest finds decoding off");
    machine.check_placement(number)?;
    Ok(machine)
}

/// All that a guest reads of the only function of `machine`.
pub fn read_all(machine: &mut Machine) -> Vec<u8> {
    (0..0x1000).map(|offset| machine.read(0, offset, 1).to_le_bytes()[0]).collect()
}
