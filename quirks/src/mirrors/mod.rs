//! Ways around configuration space: what a device shows of it, or lets through to it, in its BARs.
//!
//! A row says where such a mirror is, and what is done about it. Pages of memory BARs that hold one are left out of a
//! guest's mapping ([`holes`]), and accesses to them answered by [`way`]; I/O BARs are not the guest's at all
//! ([`ports`]); a device for which neither helps is refused ([`refused`]). [`guard`] does all of it to a function.

mod guard;
mod rows;

use bitflags::bitflags;
use capabilities::{EXTENDED_CONFIG_SIZE, Width};
use vpci::{BarKind, Hole, PAGE_SHIFT, Way};

use crate::table::{Identity, Ids, When};

pub use guard::guard;
pub use rows::KNOWN;

bitflags! {
    /// Why a device is not to be given to anyone who is not trusted.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Reasons: u8 {
        /// Registers behind an index reach too much to be told apart (AMD's GPUs, through BAR 5).
        const INDEXED_REGISTERS = 1 << 0;
        /// A window to configuration space is where a register says, which is nobody's to lock (brcmfmac).
        const MOVING_WINDOW = 1 << 1;
        /// It owns a bus with devices of its own (Intel's VMD).
        const OWN_BUS = 1 << 2;
        /// A mirror is in a BAR, and where is not known (be2net).
        const UNKNOWN_PLACE = 1 << 3;
    }
}

/// What a mirror's BAR has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is in no BAR, or in none in particular.
    Nowhere,
    /// A memory BAR, 0 to 5, a 64-bit one by its first register.
    Memory(u8),
    /// A memory BAR of 32 bits.
    Memory32(u8),
    /// A memory BAR of 64 bits.
    Memory64(u8),
    /// An I/O BAR.
    Ports(u8),
}

/// How some bytes of a memory BAR are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// They are configuration space from this offset on, as the guest sees it there.
    View(u16),
    /// They read all ones; writes are dropped.
    Closed,
    /// The one dword is the device's, but for writes of less than all of it and of values that are `value` in the bits of
    /// `mask`: those are dropped.
    Gate {
        /// The bits that are compared.
        mask: u32,
        /// What they are compared with.
        value: u32,
    },
    /// A write of this value in this width, at the first byte, is the device's. All else is left to other rows.
    Pass {
        /// The width.
        width: Width,
        /// The value.
        value: u32,
    },
}

/// What is done about a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The pages with `length` bytes from `offset` on are left out of the mapping; those bytes have their answer, the
    /// rest of the pages is the device's.
    Bytes {
        /// The first byte, a multiple of 4.
        offset: u32,
        /// Bytes, a multiple of 4.
        length: u32,
        /// The answer.
        answer: Answer,
    },
    /// The I/O BAR is not the guest's: its ports read all ones.
    NoPorts,
    /// Every I/O BAR is not the guest's while a page of memory BAR 0 is left out: it is a way to all of BAR 0.
    NoPortsBesideBar0,
    /// VGA's ports, which are in no BAR: no guest is given them.
    NoLegacyPorts,
    /// The policy for configuration space hides it.
    Hidden,
    /// The device is refused.
    Refused(Reasons),
}

/// A mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mirror {
    /// Vendor ID.
    pub vendor: u16,
    /// Device IDs.
    pub ids: Ids,
    /// Under which conditions.
    pub when: When,
    /// Where.
    pub place: Place,
    /// What is done.
    pub choice: Choice,
}

/// A mirror that the library knows, with its name and the reason of the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The mirror.
    pub mirror: Mirror,
    /// What it is.
    pub name: &'static str,
    /// Why it is answered as it is.
    pub why: &'static str,
}

/// [`KNOWN`] without its words.
static MIRRORS: [Mirror; KNOWN.len()] = {
    let mut mirrors = [KNOWN[0].mirror; KNOWN.len()];
    let mut at = 0;
    while at < mirrors.len() {
        mirrors[at] = KNOWN[at].mirror;
        at += 1;
    }
    mirrors
};

/// Whether the rows are sorted by vendor, and sound.
const fn is_table(known: &[Known]) -> bool {
    let mut at = 0;
    while at < known.len() {
        let Mirror { vendor, ids, place, choice, .. } = known[at].mirror;
        let follows = at == 0 || known[at - 1].mirror.vendor <= vendor;
        let memory = matches!(place, Place::Memory(_) | Place::Memory32(_) | Place::Memory64(_));
        let fits = match choice {
            Choice::Bytes { offset, length, answer } => {
                let small = match answer {
                    Answer::Gate { .. } => length == 4,
                    // CAST: widening; `From` is not const.
                    Answer::View(config) => {
                        config.is_multiple_of(4) && config as u32 + length <= EXTENDED_CONFIG_SIZE as u32
                    }
                    Answer::Closed | Answer::Pass { .. } => true,
                };
                memory && small && length != 0 && offset.is_multiple_of(4) && length.is_multiple_of(4)
            }
            Choice::NoPorts => matches!(place, Place::Ports(_)),
            Choice::NoPortsBesideBar0 | Choice::NoLegacyPorts | Choice::Hidden => {
                matches!(place, Place::Nowhere)
            }
            Choice::Refused(reasons) => !reasons.is_empty(),
        };
        if !(follows && fits && ids.first <= ids.last) {
            return false;
        }
        at += 1;
    }
    true
}

const _: () = assert!(is_table(KNOWN), "a row of mirrors is out of order, or not sound");

/// A BAR, as far as mirrors have to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarInfo {
    /// What it is.
    pub kind: BarKind,
    /// Its size in bytes.
    pub size: u64,
    /// Whether pages of it are left out for another reason (the MSI-X table).
    pub trapped: bool,
}

impl BarInfo {
    /// None.
    pub const EMPTY: Self = Self { kind: BarKind::Empty, size: 0, trapped: false };
}

/// A function and its six BARs.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The function.
    pub identity: &'s Identity,
    /// Its BARs.
    pub bars: &'s [BarInfo; 6],
}

impl<'s> Subject<'s> {
    fn bar(self, number: u8) -> BarInfo {
        self.bars.get(usize::from(number)).copied().unwrap_or(BarInfo::EMPTY)
    }

    /// Whether the BAR that a mirror is in is what it has to be.
    fn has(self, place: Place) -> bool {
        let is = |number, kinds: &[BarKind]| kinds.contains(&self.bar(number).kind);
        match place {
            Place::Nowhere => true,
            Place::Memory(bar) => is(bar, &[BarKind::Memory32, BarKind::Memory64]),
            Place::Memory32(bar) => is(bar, &[BarKind::Memory32]),
            Place::Memory64(bar) => is(bar, &[BarKind::Memory64]),
            Place::Ports(bar) => is(bar, &[BarKind::Io]),
        }
    }

    /// The rows of its vendor.
    #[inline(never)]
    fn of_vendor(self) -> &'static [Mirror] {
        let vendor = self.identity.vendor;
        let start = MIRRORS.partition_point(|mirror| mirror.vendor < vendor);
        let end = MIRRORS.partition_point(|mirror| mirror.vendor <= vendor);
        MIRRORS.get(start..end).unwrap_or(&[])
    }

    /// Whether it has a mirror of its vendor's.
    #[inline(never)]
    fn is(self, mirror: &Mirror) -> bool {
        mirror.ids.contains(self.identity.device)
            && mirror.when.holds(self.identity)
            && self.has(mirror.place)
    }

    /// The mirrors of this function.
    fn mirrors(self) -> impl Iterator<Item = &'static Mirror> + use<'s> {
        self.of_vendor().iter().filter(move |mirror| self.is(mirror))
    }

    /// Those with bytes in memory BAR `bar`: first byte, number of bytes, answer.
    fn bytes(self, bar: u8) -> impl Iterator<Item = (u64, u64, Answer)> + use<'s> {
        self.mirrors().filter_map(move |mirror| match (mirror.place, mirror.choice) {
            (
                Place::Memory(at) | Place::Memory32(at) | Place::Memory64(at),
                Choice::Bytes { offset, length, answer },
            ) if at == bar => Some((u64::from(offset), u64::from(length), answer)),
            _ => None,
        })
    }
}

/// The pages of memory BARs that are to be left out of a guest's mapping. They may overlap.
///
/// Work: the rows of the vendor, at most 60, for each BAR.
pub fn holes(of: Subject<'_>) -> impl Iterator<Item = Hole> {
    (0..6).flat_map(move |bar| {
        let size = of.bar(bar).size;
        of.bytes(bar).filter(move |(offset, ..)| *offset < size).map(move |(offset, length, _)| {
            let end = offset.saturating_add(length).min(size);
            Hole { bar, first: offset >> PAGE_SHIFT, last: end.saturating_sub(1) >> PAGE_SHIFT }
        })
    })
}

/// The I/O BARs that no guest is to be given, a bit each.
#[must_use]
#[inline(never)]
pub fn ports(of: Subject<'_>) -> u8 {
    let beside = || of.bar(0).trapped || holes(of).any(|hole| hole.bar == 0);
    let all = || (0..6).filter(|bar| of.bar(*bar).kind == BarKind::Io).fold(0, |mask, bar| mask | 1 << bar);
    of.mirrors().fold(0, |mask, mirror| match (mirror.choice, mirror.place) {
        (Choice::NoPorts, Place::Ports(bar)) => mask | 1u8.checked_shl(bar.into()).unwrap_or(0),
        (Choice::NoPortsBesideBar0, _) if beside() => mask | all(),
        _ => mask,
    })
}

/// Why the function is not to be given to anyone who is not trusted; empty if it may be.
#[must_use]
#[inline(never)]
pub fn refused(of: Subject<'_>) -> Reasons {
    of.mirrors().fold(Reasons::empty(), |all, mirror| match mirror.choice {
        Choice::Refused(reasons) => all | reasons,
        _ => all,
    })
}

/// Whose an access is that is aligned to its width, at `offset` in memory BAR `bar`: a read, or a write of a value. An
/// access to a qword is one to each of its dwords.
#[must_use]
#[inline(never)]
pub fn way(of: Subject<'_>, bar: u8, offset: u64, width: Width, written: Option<u32>) -> Way {
    let dword = offset & !3;
    let mut way = Way::Device;
    for (start, length, answer) in of.bytes(bar) {
        if dword < start || dword - start >= length {
            continue;
        }
        match answer {
            Answer::Pass { width: only, value } => {
                if offset == start && width == only && written == Some(value) {
                    return Way::Device;
                }
            }
            Answer::View(config) if way == Way::Device => {
                // CAST: a view ends inside configuration space.
                way = Way::View(config.saturating_add((offset - start) as u16));
            }
            Answer::View(_) => {}
            Answer::Closed => way = Way::Closed,
            Answer::Gate { mask, value } => match written {
                Some(written) if width != Width::Dword || written & mask == value => way = Way::Closed,
                _ => {}
            },
        }
    }
    way
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::table::Traits;
    use std::collections::BTreeSet;

    const MEMORY: BarInfo = BarInfo { kind: BarKind::Memory32, size: 0x10_0000, trapped: false };
    const WIDE: BarInfo = BarInfo { kind: BarKind::Memory64, ..MEMORY };
    const IO: BarInfo = BarInfo { kind: BarKind::Io, size: 0x100, trapped: false };
    const NONE: [BarInfo; 6] = [BarInfo::EMPTY; 6];

    fn identity(vendor: u16, device: u16, class: u32) -> Identity {
        Identity { vendor, device, class: class << 8, ..Identity::default() }
    }

    /// An Ethernet controller of Realtek's: ports, nothing, memory.
    const REALTEK: [BarInfo; 6] = [IO, BarInfo::EMPTY, WIDE, BarInfo::EMPTY, MEMORY, BarInfo::EMPTY];

    #[test]
    fn a_device_that_nobody_knows_has_no_mirrors() {
        let identity = identity(0x1b36, 0x0010, 0x01_0802);
        let subject = Subject { identity: &identity, bars: &[IO, MEMORY, MEMORY, IO, MEMORY, MEMORY] };
        assert_eq!(holes(subject).count(), 0);
        assert_eq!((ports(subject), refused(subject)), (0, Reasons::empty()));
        assert_eq!(way(subject, 1, 0x88000, Width::Dword, None), Way::Device);
    }

    #[test]
    fn a_view_has_its_bytes_and_no_others() {
        let identity = identity(0x10de, 0x1234, 0x03_0000);
        let subject = Subject { identity: &identity, bars: &[MEMORY; 6] };
        let read = |offset, width| way(subject, 0, offset, width, None);
        assert_eq!(read(0x17fc, Width::Dword), Way::Device);
        assert_eq!(read(0x1800, Width::Dword), Way::View(0));
        assert_eq!(read(0x18ff, Width::Byte), Way::View(0xff));
        assert_eq!(read(0x1900, Width::Dword), Way::Closed);
        assert_eq!(read(0x1fff, Width::Byte), Way::Closed);
        assert_eq!(read(0x2000, Width::Dword), Way::Device);
        assert_eq!(read(0x8_8ffe, Width::Word), Way::View(0xffe));
        assert_eq!(way(subject, 1, 0x1800, Width::Dword, None), Way::Device, "another BAR");
        let all: [Hole; 7] = core::array::from_fn(|at| holes(subject).nth(at).expect("there are 7"));
        assert!([0x1, 0x88, 0x8a].iter().all(|page| all.iter().any(|hole| hole.first == *page)));
        assert!(all.iter().all(|hole| hole.bar == 0 && hole.first == hole.last));
    }

    #[test]
    fn a_write_that_may_pass_is_this_one_alone() {
        let identity = identity(0x10de, 0x1234, 0x03_0000);
        let subject = Subject { identity: &identity, bars: &[MEMORY; 6] };
        let write = |offset, width, value| way(subject, 0, offset, width, Some(value));
        assert_eq!(write(0x8_8068, Width::Byte, 0xff), Way::Device);
        assert_eq!(write(0x8_8068, Width::Byte, 0xfe), Way::View(0x68));
        assert_eq!(write(0x8_8068, Width::Dword, 0xff), Way::View(0x68));
        assert_eq!(write(0x8_8069, Width::Byte, 0xff), Way::View(0x69));
        assert_eq!(write(0x8_8704, Width::Dword, 0), Way::Device);
        assert_eq!(write(0x8_8704, Width::Dword, 1), Way::View(0x704));
        assert_eq!(way(subject, 0, 0x8_8704, Width::Dword, None), Way::View(0x704));
    }

    #[test]
    fn a_gate_keeps_out_some_values_and_all_parts() {
        let identity = identity(0x10ec, 0x8168, 0x02_0000);
        let subject = Subject { identity: &identity, bars: &REALTEK };
        let write = |width, value| way(subject, 2, 0x74, width, Some(value));
        assert_eq!(write(Width::Dword, 0x8000_f0a0), Way::Device);
        assert_eq!(write(Width::Dword, 0x8001_f0a0), Way::Closed);
        assert_eq!(write(Width::Dword, 0x0001_0000), Way::Closed);
        assert_eq!((write(Width::Word, 0), write(Width::Byte, 0)), (Way::Closed, Way::Closed));
        assert_eq!(way(subject, 2, 0x76, Width::Word, Some(0)), Way::Closed);
        assert_eq!(way(subject, 2, 0x74, Width::Dword, None), Way::Device);
        assert_eq!(way(subject, 2, 0x70, Width::Dword, Some(0x0001_0000)), Way::Device);
        assert_eq!(ports(subject), 1);
    }

    #[test]
    fn a_mirror_is_where_its_bar_is_what_it_has_to_be() {
        let identity = identity(0x1002, 0x5b60, 0x03_0000);
        let with = |bar| [MEMORY, BarInfo::EMPTY, bar, BarInfo::EMPTY, BarInfo::EMPTY, BarInfo::EMPTY];
        let hole = |bar| holes(Subject { identity: &identity, bars: &with(bar) }).next();
        assert_eq!(hole(WIDE), Some(Hole { bar: 2, first: 4, last: 4 }));
        assert_eq!(hole(MEMORY), Some(Hole { bar: 2, first: 0, last: 0 }));
        assert_eq!(hole(IO), None);
        assert_eq!(hole(BarInfo { size: 0x4000, ..WIDE }), None, "a BAR that ends before");
        assert_eq!(hole(BarInfo { size: 0x800, ..MEMORY }), None);
    }

    #[test]
    fn a_class_and_the_root_bus_tell_graphics_of_the_root_complex() {
        let graphics = Identity { traits: Traits::ROOT_BUS, ..identity(0x8086, 0x0412, 0x03_0000) };
        let bars = [BarInfo { size: 0x40_0000, ..WIDE }, BarInfo::EMPTY, WIDE, BarInfo::EMPTY, IO, IO];
        let at =
            |identity: &Identity| way(Subject { identity, bars: &bars }, 0, 0x10_8042, Width::Word, None);
        assert_eq!(at(&graphics), Way::View(0x52));
        assert_eq!(at(&Identity { traits: Traits::empty(), ..graphics }), Way::Device);
        assert_eq!(at(&identity(0x8086, 0x0412, 0x04_0300)), Way::Device);
        assert_eq!(ports(Subject { identity: &graphics, bars: &bars }), 1 << 4);
    }

    #[test]
    fn ports_beside_bar_0_are_kept_while_pages_of_it_are() {
        let mut bars = [MEMORY, BarInfo::EMPTY, IO, MEMORY, BarInfo::EMPTY, BarInfo::EMPTY];
        let ports = |device, bars: &_| {
            let identity = identity(0x8086, device, 0x02_0000);
            ports(Subject { identity: &identity, bars })
        };
        assert_eq!(ports(0x10d3, &bars), 0);
        assert_eq!(ports(0x10fb, &bars), 1 << 2, "its window is in BAR 0");
        bars[3].trapped = true;
        assert_eq!(ports(0x10d3, &bars), 0);
        bars[0].trapped = true;
        assert_eq!(ports(0x10d3, &bars), 1 << 2);
    }

    #[test]
    fn refusals_have_their_reasons() {
        let reasons = |identity, bars| refused(Subject { identity: &identity, bars });
        assert_eq!(reasons(identity(0x8086, 0x201d, 0x01_0400), &NONE), Reasons::OWN_BUS);
        let gpu = identity(0x1002, 0x73bf, 0x03_0000);
        assert_eq!(reasons(gpu, &[WIDE, MEMORY, WIDE, IO, IO, MEMORY]), Reasons::INDEXED_REGISTERS);
        assert_eq!(reasons(gpu, &[WIDE, MEMORY, WIDE, IO, IO, BarInfo::EMPTY]), Reasons::empty());
        assert_eq!(reasons(identity(0x14e4, 0x43a3, 0x02_8000), &NONE), Reasons::MOVING_WINDOW);
        assert_eq!(reasons(identity(0x14e4, 0x16d7, 0x02_0000), &NONE), Reasons::empty());
        let adapter = identity(0x19a2, 0x0710, 0x02_0000);
        assert_eq!(reasons(adapter, &NONE), Reasons::UNKNOWN_PLACE);
        let virtual_one = Identity { traits: Traits::VIRTUAL, ..adapter };
        assert_eq!(reasons(virtual_one, &NONE), Reasons::empty());
    }

    #[test]
    fn a_row_that_cannot_be_what_it_says_is_not_sound() {
        let bytes = |offset, length, answer| Choice::Bytes { offset, length, answer };
        let row = |place, choice| {
            let (ids, when) = (Ids::range(1, 2), When::ALWAYS);
            Known { mirror: Mirror { vendor: 2, ids, when, place, choice }, name: "", why: "" }
        };
        let in_memory = |choice| is_table(&[row(Place::Memory(0), choice)]);
        assert!(in_memory(bytes(0x1000, 0x1000, Answer::View(0))));
        assert!(!in_memory(bytes(0x1000, 0x1000, Answer::View(4))), "a view ends inside configuration space");
        let gate = Answer::Gate { mask: 1, value: 1 };
        assert!(in_memory(bytes(8, 4, gate)) && !in_memory(bytes(8, 8, gate)), "a gate is one dword");
        for (offset, length) in [(2, 4), (4, 2), (4, 0)] {
            assert!(!in_memory(bytes(offset, length, Answer::Closed)), "dwords, at least one");
        }
        assert!(in_memory(Choice::Refused(Reasons::OWN_BUS)));
        assert!(!in_memory(Choice::Refused(Reasons::empty())), "a refusal has a reason");
        for place in [Place::Nowhere, Place::Ports(1)] {
            assert!(!is_table(&[row(place, bytes(0, 4, Answer::Closed))]), "bytes are in memory");
        }
        assert!(is_table(&[row(Place::Ports(1), Choice::NoPorts)]) && !in_memory(Choice::NoPorts));
        for choice in [Choice::NoPortsBesideBar0, Choice::NoLegacyPorts, Choice::Hidden] {
            assert!(is_table(&[row(Place::Nowhere, choice)]) && !in_memory(choice));
        }
        // By vendor, or the binary search misses some; and IDs from the lowest on.
        let (first, mut second) = (row(Place::Nowhere, Choice::Hidden), row(Place::Nowhere, Choice::Hidden));
        second.mirror.vendor = 3;
        assert!(is_table(&[first, second]) && !is_table(&[second, first]));
        second.mirror.ids = Ids::range(2, 1);
        assert!(!is_table(&[first, second]));
    }

    #[test]
    fn no_device_has_more_pages_to_leave_out_than_are_kept() {
        let pages = |mirror: &Mirror| match (mirror.place, mirror.choice) {
            (
                Place::Memory(bar) | Place::Memory32(bar) | Place::Memory64(bar),
                Choice::Bytes { offset, length, .. },
            ) => Some((bar, offset >> PAGE_SHIFT, (offset + length - 1) >> PAGE_SHIFT)),
            _ => None,
        };
        // Whatever its class and its BARs are. A range of device IDs starts where there is one more row.
        let count = |of: &Mirror| {
            let is_one = |other: &&Mirror| other.vendor == of.vendor && other.ids.contains(of.ids.first);
            MIRRORS.iter().filter(is_one).filter_map(pages).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(MIRRORS.iter().map(count).max(), Some(vpci::HOLES));
    }

    #[test]
    fn the_rows_are_those_with_words() {
        assert!(KNOWN.iter().map(|known| known.mirror).eq(MIRRORS));
        assert!(KNOWN.iter().all(|known| !known.name.is_empty() && !known.why.is_empty()));
        let vendors = KNOWN.chunk_by(|one, other| one.mirror.vendor == other.mirror.vendor);
        let most = vendors.map(<[_]>::len).max();
        assert!(most <= Some(60), "as the documentation of holes says: {most:?}");
    }
}
