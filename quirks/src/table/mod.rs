//! What is known of devices, one line a row: the facts of Linux 6.12.117 (`drivers/pci/quirks.c`,
//! `drivers/vfio/pci/vfio_pci.c`), and of QEMU 10.2 (`hw/vfio/pci-quirks.c`) for Radeons.
//!
//! A file has the rows of one kind, sorted by vendor and device; `ROWS` has them all, without their reasons, so that
//! those are in no hypervisor.

mod families;
mod identity;
mod interrupts;
mod isolation;
mod links;
mod power;
mod raw;
mod reset;
mod row;
mod space;

use crate::{Flags, Quirks};

pub use identity::{Identity, Traits};
pub use raw::RawRow;
pub use row::{Ids, Known, Row, Says, When};

/// The rows about one device each.
pub const DEVICES: [&[Known]; 6] =
    [interrupts::ROWS, isolation::ROWS, links::ROWS, power::ROWS, reset::ROWS, space::ROWS];
/// The rows about several.
pub const FAMILIES: &[Known] = families::ROWS;

const COUNT: usize = {
    let mut count = 0;
    let mut table = 0;
    while table < DEVICES.len() {
        count += DEVICES[table].len();
        table += 1;
    }
    count
};

/// [`DEVICES`] in one, sorted.
static ROWS: [Row; COUNT] = {
    let mut rows = [DEVICES[0][0].row; COUNT];
    let mut next = [0; DEVICES.len()];
    let mut at = 0;
    while at < COUNT {
        // The table whose next row is the first.
        let mut first = DEVICES.len();
        let mut table = 0;
        while table < DEVICES.len() {
            if next[table] < DEVICES[table].len() {
                let key = DEVICES[table][next[table]].row.key();
                if first == DEVICES.len() || key < DEVICES[first][next[first]].row.key() {
                    first = table;
                }
            }
            table += 1;
        }
        rows[at] = DEVICES[first][next[first]].row;
        next[first] += 1;
        at += 1;
    }
    rows
};

static FAMILY_ROWS: [Row; FAMILIES.len()] = {
    let mut rows = [FAMILIES[0].row; FAMILIES.len()];
    let mut at = 0;
    while at < rows.len() {
        rows[at] = FAMILIES[at].row;
        at += 1;
    }
    rows
};

/// Whether the rows are in order, each is one that a function can match, and, where `single`, about one device.
const fn is_table(rows: &[Known], single: bool) -> bool {
    let mut at = 0;
    while at < rows.len() {
        let row = &rows[at].row;
        let follows = at == 0 || rows[at - 1].row.key() <= row.key();
        let fits = !single || row.ids.first == row.ids.last;
        if !(follows && fits && row.is_sound()) {
            return false;
        }
        at += 1;
    }
    true
}

/// The tables that [`find`] searches are sorted.
const _: () = {
    assert!(is_table(interrupts::ROWS, true), "a row of interrupts.rs is out of order, or not sound");
    assert!(is_table(isolation::ROWS, true), "a row of isolation.rs is out of order, or not sound");
    assert!(is_table(links::ROWS, true), "a row of links.rs is out of order, or not sound");
    assert!(is_table(power::ROWS, true), "a row of power.rs is out of order, or not sound");
    assert!(is_table(reset::ROWS, true), "a row of reset.rs is out of order, or not sound");
    assert!(is_table(space::ROWS, true), "a row of space.rs is out of order, or not sound");
    assert!(is_table(families::ROWS, false), "a row of families.rs is out of order, or not sound");
};

/// The rows with keys from `first` to `last`.
fn run(rows: &'static [Row], first: u32, last: u32) -> &'static [Row] {
    let start = rows.partition_point(|row| row.key() < first);
    let end = rows.partition_point(|row| row.key() <= last);
    rows.get(start..end).unwrap_or(&[])
}

/// All that is known of a function: what the tables say, and what the rows say that a toolstack `given`, which count last
/// (see [`Quirks::merge`]).
///
/// Work: two binary searches, the rows about several devices of the vendor (at most 20), and one look at each that is
/// given.
#[must_use]
pub fn find(of: &Identity, given: &[Row]) -> Quirks {
    Quirks::NONE.with_rows(of, about(of).chain(given.iter().copied()))
}

/// Whether a row of the tables says this of a function.
///
/// Work: that of [`find`].
pub(crate) fn says(of: &Identity, flags: Flags) -> bool {
    let says = |row: &Row| matches!(row.says, Says::Flags(said) if said.contains(flags));
    about(of).filter(says).any(|row| row.matches(of))
}

/// The rows about the vendor's families, and those about the device.
fn about(of: &Identity) -> impl Iterator<Item = Row> {
    let vendor = u32::from(of.vendor) << 16;
    let device = vendor | u32::from(of.device);
    let families = run(&FAMILY_ROWS, vendor, vendor | 0xffff);
    families.iter().chain(run(&ROWS, device, device)).copied()
}

impl Quirks {
    /// The same, and what those of `rows` say that are for this function.
    #[must_use]
    pub fn with_rows(self, of: &Identity, rows: impl IntoIterator<Item = Row>) -> Self {
        let rows = rows.into_iter().filter(|row| row.matches(of));
        rows.fold(self, |all, row| all.merge(row.says.quirks()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceReset, Flags, Method, Order};

    const fn function(vendor: u16, device: u16) -> Identity {
        let (traits, firmware) = (Traits::empty(), None);
        Identity { vendor, device, class: 0, subsystem: 0, traits, firmware }
    }

    fn flags(of: &Identity) -> Flags {
        find(of, &[]).flags
    }

    #[test]
    fn a_device_that_nobody_knows_has_no_quirks() {
        assert_eq!(find(&function(0x1234, 0x1111), &[]), Quirks::NONE);
        // The neighbours of a row.
        assert_eq!(find(&function(0x8086, 0x1501), &[]), Quirks::NONE);
        assert_eq!(find(&function(0x8086, 0x1504), &[]), Quirks::NONE);
        assert_eq!(find(&function(0xffff, 0xffff), &[]), Quirks::NONE);
        assert_eq!(find(&function(0, 0), &[]), Quirks::NONE);
    }

    #[test]
    fn a_family_is_a_range_of_devices() {
        for device in [0x2340, 0x2341, 0x237f] {
            assert_eq!(flags(&function(0x10de, device)), Flags::NO_BUS_RESET, "{device:x}");
        }
        for device in [0x233f, 0x2380, 0x2740] {
            assert_eq!(flags(&function(0x10de, device)), Flags::empty(), "{device:x}");
        }
    }

    #[test]
    fn a_family_is_what_is_alike_in_some_bits() {
        // Ports of the X79's PCH have even IDs.
        let traits = Traits::ROOT_PORT | Traits::PEERS_CLOSED;
        let port = |device| Identity { traits, ..function(0x8086, device) };
        assert_eq!(flags(&port(0x1d1e)), Flags::ACS_EQUIVALENT);
        assert_eq!(flags(&port(0x1d1d)), Flags::empty());
        assert_eq!(flags(&Identity { traits: Traits::ROOT_PORT, ..port(0x1d1e) }), Flags::empty());
    }

    #[test]
    fn class_is_compared_as_far_as_the_row_says() {
        let audio = |class| find(&Identity { class, ..function(0x10de, 0x1234) }, &[]).d3hot_delay_ms;
        assert_eq!((audio(0x0403_0000), audio(0x0403_80a1)), (Some(20), Some(20)));
        assert_eq!((audio(0x0401_0000), audio(0x0300_0000)), (None, None));
        let nvme = |class| find(&Identity { class, ..function(0x144d, 0xa804) }, &[]).reset;
        assert_eq!(nvme(0x0108_02ff), Some(DeviceReset::NvmeDisable));
        assert_eq!(nvme(0x0108_01ff), None);
    }

    #[test]
    fn revisions_are_a_range() {
        let e2000 =
            |revision: u32| flags(&Identity { class: 0x0200_0000 | revision, ..function(0x8086, 0x1451) });
        assert_eq!((e2000(0x00), e2000(0x1f)), (Flags::NO_ATS, Flags::NO_ATS));
        assert_eq!((e2000(0x20), e2000(0xff)), (Flags::empty(), Flags::empty()));
    }

    #[test]
    fn a_subsystem_and_a_revision_are_asked_for_together() {
        let picasso =
            |revision, subsystem| flags(&Identity { class: revision, subsystem, ..function(0x1002, 0x15d8) });
        assert_eq!(picasso(0xcf, 0xcc08_ea50), Flags::NO_ATS);
        assert_eq!(picasso(0xcf, 0xcc10_ea50), Flags::NO_ATS);
        assert_eq!(picasso(0xcf, 0xce19_ea50), Flags::NO_ATS);
        assert_eq!(picasso(0xce, 0xce19_ea50), Flags::empty());
        assert_eq!(picasso(0xcf, 0xce18_ea50), Flags::empty());
        assert_eq!(picasso(0xcf, 0xea50_ce19), Flags::empty());
    }

    #[test]
    fn firmware_that_nobody_read_is_not_trusted() {
        let masks = |firmware| flags(&Identity { firmware, ..function(0x15b3, 0x1013) });
        for broken in [None, Some(0), Some(13), Some(100)] {
            assert_eq!(masks(broken), Flags::BROKEN_INTX_MASKING, "{broken:?}");
        }
        assert_eq!((masks(Some(14)), masks(Some(99))), (Flags::empty(), Flags::empty()));
    }

    #[test]
    fn all_rows_of_a_device_are_merged() {
        // A QuickAssist function in the tables of what is denied and of what ends early.
        assert_eq!(flags(&function(0x8086, 0x0443)), Flags::DENY | Flags::CAP_LIST_TRUNCATED);
    }

    #[test]
    fn rows_of_the_toolstack_are_rows() {
        let order = Order([Some(Method::Bus), None, None, None, None]);
        let row = |ids, says| Row { vendor: 0x8086, ids, when: When::revisions(3, 4), says };
        let given = [
            row(Ids::one(0x1502), Says::Order(order)),
            row(Ids::range(0x1500, 0x15ff), Says::Flags(Flags::DENY)),
            row(Ids::one(0x1503), Says::Flags(Flags::NO_D3)),
        ];
        let known = find(&Identity { class: 3, ..function(0x8086, 0x1502) }, &given);
        assert_eq!((known.flags, known.order()), (Flags::NO_FLR | Flags::DENY, order));
        let known = find(&function(0x8086, 0x1502), &given);
        assert_eq!((known.flags, known.order()), (Flags::NO_FLR, Order::STANDARD));
        // What they say of a device that the tables know counts last.
        let reset = row(Ids::one(0x0953), Says::Reset(DeviceReset::UnadvertisedFlr));
        let known = find(&Identity { class: 4, ..function(0x8086, 0x0953) }, &[reset]);
        assert_eq!(known.reset, Some(DeviceReset::UnadvertisedFlr));
    }

    #[test]
    fn a_row_that_matches_nothing_is_not_sound() {
        let row = DEVICES[0][0].row;
        assert!(row.is_sound());
        let with = |when| Row { when, ..row };
        assert!(!Row { ids: Ids::range(2, 1), ..row }.is_sound());
        assert!(!with(When::revisions(2, 1)).is_sound());
        assert!(!with(When { class_value: 1, ..When::ALWAYS }).is_sound());
        assert!(!with(When::has(Traits::ROOT_BUS).lacks(Traits::ROOT_BUS)).is_sound());
        assert!(!with(When { sound_firmware: Some((2, 1)), ..When::ALWAYS }).is_sound());
    }

    #[test]
    fn a_table_that_is_searched_in_vain_is_none() {
        use super::row::{many, one, span};
        let (always, flags) = (When::ALWAYS, Says::Flags(Flags::NO_FLR));
        let row = |vendor, device| one(vendor, device, always, flags, "");
        assert!(is_table(&[row(1, 2), row(1, 2), row(1, 3), row(2, 0)], true));
        assert!(!is_table(&[row(1, 3), row(1, 2)], true), "devices");
        assert!(!is_table(&[row(2, 0), row(1, 1)], true), "vendors");
        assert!(!is_table(&[one(1, 1, When::revisions(2, 1), flags, "")], true), "no function");
        // Only the first of several devices would be found among single ones.
        let several = [many(1, span(2, 3), always, flags, "")];
        assert!(is_table(&several, false) && !is_table(&several, true));
    }

    #[test]
    fn a_function_has_to_meet_all_of_a_condition() {
        let when = When::interface(0x01_0802).and(Traits::ROOT_BUS).and(Traits::VIRTUAL);
        let function = Identity {
            class: 0x0108_0207,
            traits: Traits::ROOT_BUS | Traits::VIRTUAL,
            ..function(0x144d, 0xa804)
        };
        assert!(when.holds(&function), "any revision");
        assert!(!when.holds(&Identity { class: 0x0108_0107, ..function }));
        assert!(!when.holds(&Identity { traits: Traits::ROOT_BUS, ..function }));
        assert!(!when.holds(&Identity { traits: Traits::VIRTUAL, ..function }));
    }

    #[test]
    fn figures_are_those_of_the_rows() {
        let of =
            |says| find(&function(1, 1), &[Row { vendor: 1, ids: Ids::one(1), when: When::ALWAYS, says }]);
        assert_eq!(of(Says::D3coldDelay(700)), Quirks { d3cold_delay_ms: Some(700), ..Quirks::NONE });
        assert_eq!(of(Says::VpdLength(99)), Quirks { vpd_len: Some(99), ..Quirks::NONE });
        // A device that is not there 100 ms after a bus reset, and two of Chelsio's with more than their end tag says.
        assert_eq!(find(&function(0x5555, 0x0004), &[]).d3cold_delay_ms, Some(1000));
        assert_eq!(find(&function(0x1425, 0x0030), &[]).vpd_len, Some(8192));
        assert_eq!(find(&function(0x1425, 0x5400), &[]).vpd_len, Some(2048));
    }

    #[test]
    fn the_rows_are_in_order_and_all_there() {
        assert!(ROWS.is_sorted_by_key(Row::key));
        let known = || DEVICES.into_iter().flatten();
        assert_eq!(known().count(), ROWS.len());
        assert!(known().all(|known| ROWS.contains(&known.row) && !known.why.is_empty()));
        assert!(FAMILIES.iter().all(|known| FAMILY_ROWS.contains(&known.row) && !known.why.is_empty()));
        let most = FAMILIES.chunk_by(|one, other| one.row.vendor == other.row.vendor).map(<[_]>::len).max();
        assert!(most <= Some(20), "as the documentation of find says: {most:?}");
    }

    #[test]
    fn the_delay_of_all_is_marked() {
        let port = find(&function(0x8086, 0x25e2), &[]);
        assert_eq!((port.flags, port.d3hot_delay_ms), (Flags::D3HOT_DELAY_GLOBAL, Some(120)));
    }
}
