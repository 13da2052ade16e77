//! Who owns an address, and who a trapped page.

use std::collections::HashMap;

use capabilities::Sbdf;
use tests::random::Random;
use vpci::{
    ClaimError, Domain, DomainError, Handle, Kind, MAX_CLAIMED, Owner, Pages, Server, Slot, TRAPPED, Window,
    find_slot, find_window, may_forward, windows_for,
};
use zerocopy::FromZeros;

/// The memory of a domain's tables.
struct Tables {
    owners: u32,
    windows_used: u32,
    slots: Vec<Slot>,
    windows: Vec<Window>,
}

impl Tables {
    fn new(slots: usize) -> Self {
        Self {
            owners: 0,
            windows_used: 0,
            slots: std::iter::repeat_with(Slot::new_zeroed).take(slots).collect(),
            windows: std::iter::repeat_with(Window::new_zeroed).take(windows_for(slots)).collect(),
        }
    }

    fn domain(&mut self) -> Domain<'_> {
        Domain {
            owners: &mut self.owners,
            windows_used: &mut self.windows_used,
            slots: &mut self.slots,
            windows: &mut self.windows,
        }
    }

    fn set(&mut self, sbdf: u32, owner: Owner) -> Result<(), DomainError> {
        self.domain().set_owner(Sbdf(sbdf), owner)
    }

    fn claim(&mut self, first: u32, last: u32, server: u32) -> Result<(), ClaimError> {
        self.domain().claim(Sbdf(first), Sbdf(last), number(server))
    }

    fn release(&mut self, first: u32, last: u32, server: u32) {
        self.domain().release(Sbdf(first), Sbdf(last), number(server));
    }

    fn owner(&self, sbdf: u32) -> Owner {
        find_slot(&self.slots, Sbdf(sbdf)).map_or(Owner::Default, Slot::owner)
    }

    fn window(&self, frame: u64) -> Option<Handle> {
        find_window(&self.windows[..self.windows_used as usize], frame)
    }
}

/// These pages, and no more.
fn all<const N: usize>(pages: [Option<Pages>; N]) -> [Option<Pages>; TRAPPED] {
    std::array::from_fn(|at| pages.get(at).copied().flatten())
}

fn function(handle: u64) -> Owner {
    Owner::Function(Handle(handle))
}

fn number(server: u32) -> Server {
    Server::new(server).unwrap()
}

fn server(server: u32) -> Owner {
    Owner::Server(number(server))
}

#[test]
fn owners_come_and_go() {
    let mut tables = Tables::new(16);
    assert_eq!(tables.owner(0), Owner::Default);
    tables.set(0, function(u64::MAX)).unwrap();
    tables.set(1, Owner::ReadOnly).unwrap();
    tables.set(u32::MAX, Owner::Hidden).unwrap();
    assert_eq!(tables.owner(0), function(u64::MAX));
    assert_eq!(tables.owner(1), Owner::ReadOnly);
    assert_eq!(tables.owner(u32::MAX), Owner::Hidden);
    assert_eq!(tables.owner(2), Owner::Default);
    let slot = find_slot(&tables.slots, Sbdf(0)).unwrap();
    assert_eq!(
        (slot.kind(), slot.handle(), slot.function()),
        (Kind::Function, Handle(u64::MAX), Some(slot.handle()))
    );
    let slot = find_slot(&tables.slots, Sbdf(1)).unwrap();
    assert_eq!((slot.kind(), slot.handle(), slot.function()), (Kind::ReadOnly, Handle(0), None));
    tables.set(0, Owner::Default).unwrap();
    tables.set(0, Owner::Default).unwrap();
    assert_eq!((tables.owner(0), tables.owners), (Owner::Default, 2));
    assert_eq!(tables.owner(1), Owner::ReadOnly);
}

#[test]
fn an_address_has_one_owner() {
    let mut tables = Tables::new(8);
    tables.set(0x10, function(1)).unwrap();
    assert_eq!(tables.set(0x10, function(1)), Ok(()), "the same owner again");
    for owner in [function(2), Owner::ReadOnly, Owner::Hidden] {
        assert_eq!(tables.set(0x10, owner), Err(DomainError::Taken));
    }
    assert_eq!((tables.owner(0x10), tables.owners), (function(1), 1));
}

#[test]
fn a_table_is_at_most_a_quarter_full() {
    for size in [4usize, 8, 64] {
        let mut tables = Tables::new(size);
        let room = u32::try_from(size / 4).unwrap();
        for n in 0..room {
            assert_eq!(tables.set(n, function(n.into())), Ok(()));
        }
        assert_eq!(tables.set(room, function(0)), Err(DomainError::Full));
        assert_eq!(tables.set(room, Owner::Default), Ok(()));
        assert_eq!(tables.set(0, function(0)), Ok(()), "what is there stays");
        assert_eq!(tables.owner(room), Owner::Default);
        tables.set(0, Owner::Default).unwrap();
        assert_eq!(tables.set(room, function(9)), Ok(()));
    }
}

#[test]
fn a_table_without_room_finds_nothing() {
    let mut tables = Tables::new(0);
    assert_eq!(tables.owner(0), Owner::Default);
    assert_eq!(tables.set(0, Owner::Hidden), Err(DomainError::Full));
    assert_eq!(tables.set(0, Owner::Default), Ok(()));
    assert_eq!(tables.window(0), None);
}

/// Addresses as machines have them, and addresses without order.
fn random_sbdf(random: &mut Random, clustered: bool) -> u32 {
    if clustered {
        let bus = random.pick(&[0, 0, 1, 0x80]) << 8;
        bus | random.below(0x40)
    } else {
        random.bits32() & random.pick(&[0xffff, 0xff00_ffff, u32::MAX])
    }
}

#[test]
fn random_owners_against_a_map() {
    let mut random = Random::new(0x646f_6d61);
    for round in 0..400 {
        let size = 4usize << random.below(8);
        let clustered = random.one_in(2);
        let mut tables = Tables::new(size);
        let mut model: HashMap<u32, Owner> = HashMap::new();
        for _ in 0..400 {
            let known = model.keys().min().copied().filter(|_| random.one_in(4));
            let sbdf = known.unwrap_or_else(|| random_sbdf(&mut random, clustered));
            let handle = u64::from(random.below(3));
            let owner = random.pick(&[Owner::Default, Owner::ReadOnly, Owner::Hidden, function(handle)]);
            let expected = match (owner, model.get(&sbdf)) {
                (Owner::Default, _) => Ok(()),
                (_, Some(present)) if *present == owner => Ok(()),
                (_, Some(_)) => Err(DomainError::Taken),
                (_, None) if (model.len() + 1) * 4 > size => Err(DomainError::Full),
                (_, None) => Ok(()),
            };
            assert_eq!(tables.set(sbdf, owner), expected, "round {round}: {sbdf:#x} to {owner:?}");
            if owner == Owner::Default {
                model.remove(&sbdf);
            } else if expected.is_ok() {
                model.insert(sbdf, owner);
            }
            let other = random_sbdf(&mut random, clustered);
            assert_eq!(tables.owner(other), model.get(&other).copied().unwrap_or(Owner::Default));
            // A full table removes at random, or it would stay full.
            if model.len() * 4 == size && random.one_in(2) {
                let gone = model.keys().max().copied().unwrap();
                model.remove(&gone);
                tables.set(gone, Owner::Default).unwrap();
            }
        }
        check(&tables, &model);
    }
}

/// All owners of the model are found, and no others are there.
fn check(tables: &Tables, model: &HashMap<u32, Owner>) {
    assert_eq!(tables.owners as usize, model.len());
    for (sbdf, owner) in model {
        assert_eq!(tables.owner(*sbdf), *owner, "{sbdf:#x}");
    }
    let mut functions: Vec<u64> =
        tables.slots.iter().filter_map(Slot::function).map(|handle| handle.0).collect();
    let of = |owner: &Owner| if let Owner::Function(Handle(handle)) = owner { Some(*handle) } else { None };
    let mut expected: Vec<u64> = model.values().filter_map(of).collect();
    functions.sort_unstable();
    expected.sort_unstable();
    assert_eq!(functions, expected);
}

#[test]
fn a_cluster_round_the_end_of_the_table_survives_removals() {
    // All addresses of a bus in a table that they fill as far as may be, taken away in many orders.
    let mut random = Random::new(7);
    for _ in 0..50 {
        let mut tables = Tables::new(1024);
        let mut model: HashMap<u32, Owner> = (0..256).map(|n| (n, function(n.into()))).collect();
        for (sbdf, owner) in &model {
            tables.set(*sbdf, *owner).unwrap();
        }
        while !model.is_empty() {
            let gone = random.below(256);
            if model.remove(&gone).is_some() {
                tables.set(gone, Owner::Default).unwrap();
                if random.one_in(16) {
                    check(&tables, &model);
                }
            }
        }
        check(&tables, &model);
        assert!(tables.slots.iter().all(|slot| slot.kind() == Kind::Empty));
    }
}

#[test]
fn a_domain_grows_by_being_taken_over() {
    let mut random = Random::new(3);
    let mut tables = Tables::new(4);
    let mut model = HashMap::new();
    for n in 0..1000u32 {
        let sbdf = random_sbdf(&mut random, false);
        if model.contains_key(&sbdf) {
            continue;
        }
        if tables.set(sbdf, function(n.into())) == Err(DomainError::Full) {
            let mut larger = Tables::new(tables.slots.len() * 2);
            larger.domain().take_over(&tables.domain()).unwrap();
            check(&larger, &model);
            for frame in 0..u64::from(n) {
                assert_eq!(larger.window(frame * 4), tables.window(frame * 4));
            }
            tables = larger;
            tables.set(sbdf, function(n.into())).unwrap();
        }
        model.insert(sbdf, function(n.into()));
        let frame = u64::from(n) * 4;
        tables.domain().set_windows(Handle(n.into()), all([Some(Pages { first: frame, last: frame })]));
    }
    check(&tables, &model);
    let mut small = Tables::new(64);
    assert_eq!(small.domain().take_over(&tables.domain()), Err(DomainError::Full));
}

#[test]
fn windows_belong_to_their_function() {
    let mut tables = Tables::new(8);
    let pages = |first, last| Some(Pages { first, last });
    assert_eq!(tables.window(0), None, "an unused window traps nothing");
    tables.domain().set_windows(Handle(1), all([pages(0x10, 0x12), pages(0x20, 0x20)]));
    tables.domain().set_windows(Handle(2), all([None, pages(0x30, 0x30)]));
    let owners =
        [(0x0f, None), (0x10, Some(1)), (0x12, Some(1)), (0x13, None), (0x20, Some(1)), (0x30, Some(2))];
    for (frame, owner) in owners {
        assert_eq!(tables.window(frame), owner.map(Handle), "{frame:#x}");
    }
    // New windows take the place of the old ones.
    tables.domain().set_windows(Handle(1), all([pages(0x40, 0x41)]));
    assert_eq!(
        (tables.window(0x10), tables.window(0x20), tables.window(0x41)),
        (None, None, Some(Handle(1)))
    );
    assert_eq!((tables.window(0x30), tables.windows_used), (Some(Handle(2)), 2));
    tables.domain().set_windows(Handle(2), all([]));
    tables.domain().set_windows(Handle(3), all([]));
    assert_eq!((tables.window(0x30), tables.window(0x40), tables.windows_used), (None, Some(Handle(1)), 1));
}

#[test]
fn every_owner_has_room_for_its_windows() {
    let mut tables = Tables::new(128);
    for n in 0..32 {
        tables.set(u32::try_from(n).unwrap(), function(n)).unwrap();
        let pages = |at| {
            let frame = n * TRAPPED as u64 + at as u64;
            Some(Pages { first: frame, last: frame })
        };
        tables.domain().set_windows(Handle(n), std::array::from_fn(pages));
    }
    let used = 32 * TRAPPED as u64;
    for frame in 0..used {
        assert_eq!(tables.window(frame), Some(Handle(frame / TRAPPED as u64)));
    }
    tables.domain().set_windows(Handle(99), all([Some(Pages { first: used, last: used })]));
    assert_eq!(u64::from(tables.windows_used), used, "there is no room for more");
    assert_eq!(tables.window(used), None);
}

#[test]
fn an_address_has_four_parts() {
    for (number, text, parts) in [
        (0x0000_0000, "0000:00:00.0", (0, 0, 0, 0)),
        (0x0001_02fb, "0001:02:1f.3", (1, 2, 0x1f, 3)),
        (0xffff_ff87, "ffff:ff:10.7", (0xffff, 0xff, 0x10, 7)),
    ] {
        let sbdf = Sbdf(number);
        assert_eq!((sbdf.segment(), sbdf.bus(), sbdf.device(), sbdf.function()), parts);
        assert_eq!(sbdf.to_string(), text);
        assert_eq!(Sbdf::new(parts.0, parts.1, parts.2, parts.3), sbdf);
    }
    assert_eq!(Sbdf::new(0, 0, 0xff, 0xff), Sbdf(0xff), "what is too large keeps its low bits");
}

#[test]
fn there_are_eight_servers() {
    for n in 0..8 {
        assert_eq!(number(n).number(), n);
    }
    for n in [8, 9, 256, u32::MAX] {
        assert_eq!(Server::new(n), None);
    }
}

#[test]
fn a_claim_has_every_address_of_its_range() {
    let mut tables = Tables::new(64);
    tables.claim(0x28, 0x2f, 7).unwrap();
    tables.claim(0x30, 0x30, 0).unwrap();
    tables.claim(u32::MAX, u32::MAX, 1).unwrap();
    for sbdf in 0x28..=0x2f {
        assert_eq!(tables.owner(sbdf), server(7));
    }
    assert_eq!(tables.owner(0x30), server(0));
    assert_eq!(tables.owner(u32::MAX), server(1));
    assert_eq!(tables.owner(0x27), Owner::Default);
    assert_eq!(tables.owner(0x31), Owner::Default);
    assert_eq!(tables.owners, 10);
    let slot = find_slot(&tables.slots, Sbdf(0x29)).unwrap();
    assert_eq!((slot.kind(), slot.handle(), slot.function()), (Kind::Server7, Handle(0), None));
}

#[test]
fn a_claim_of_what_has_an_owner_is_refused_whole() {
    for owner in [function(1), Owner::ReadOnly, Owner::Hidden, Owner::HostBridge, server(2), server(3)] {
        for taken in [0x10, 0x13, 0x17] {
            let mut tables = Tables::new(256);
            tables.set(taken, owner).unwrap();
            assert_eq!(tables.claim(0x10, 0x17, 3), Err(ClaimError::Domain(DomainError::Taken)));
            assert_eq!((tables.owner(taken), tables.owners), (owner, 1));
        }
    }
    let mut tables = Tables::new(256);
    tables.claim(0x10, 0x17, 3).unwrap();
    for owner in [function(1), Owner::ReadOnly, Owner::Hidden, Owner::HostBridge, server(2)] {
        assert_eq!(tables.set(0x14, owner), Err(DomainError::Taken));
    }
}

#[test]
fn a_claim_without_room_is_refused_whole() {
    let mut tables = Tables::new(32);
    tables.set(0x100, function(1)).unwrap();
    assert_eq!(tables.claim(0, 7, 1), Err(ClaimError::Domain(DomainError::Full)));
    assert_eq!(tables.owners, 1);
    tables.claim(0, 6, 1).unwrap();
    assert_eq!(tables.claim(7, 7, 1), Err(ClaimError::Domain(DomainError::Full)));
    assert_eq!(tables.owners, 8);
}

#[test]
fn a_domain_has_so_many_claims_and_no_more() {
    let most = u32::try_from(MAX_CLAIMED).unwrap();
    let mut tables = Tables::new(MAX_CLAIMED * 8);
    assert_eq!(tables.claim(0, most, 1), Err(ClaimError::TooMany));
    assert_eq!(tables.claim(0, u32::MAX, 1), Err(ClaimError::TooMany));
    tables.set(0xffff, function(1)).unwrap();
    assert_eq!(tables.claim(0, most - 1, 1), Err(ClaimError::TooMany));
    assert_eq!(tables.owners, 1);
    tables.claim(0, most - 2, 1).unwrap();
    assert_eq!(tables.claim(0x8000, 0x8000, 2), Err(ClaimError::TooMany));
    assert_eq!(tables.owners as usize, MAX_CLAIMED);
}

#[test]
fn a_release_takes_what_the_server_has_and_nothing_else() {
    let mut tables = Tables::new(256);
    tables.claim(0x10, 0x17, 1).unwrap();
    tables.claim(0x18, 0x1f, 2).unwrap();
    tables.set(0x20, function(9)).unwrap();
    tables.set(0, Owner::HostBridge).unwrap();
    tables.release(0x16, 0x20, 1);
    assert_eq!(
        (tables.owner(0x15), tables.owner(0x16), tables.owner(0x17)),
        (server(1), Owner::Default, Owner::Default)
    );
    assert_eq!((tables.owner(0x18), tables.owner(0x20), tables.owners), (server(2), function(9), 16));
    tables.claim(0x16, 0x17, 2).unwrap();
    tables.release(0, u32::MAX, 2);
    assert_eq!(
        (tables.owner(0x10), tables.owner(0x16), tables.owner(0x1f)),
        (server(1), Owner::Default, Owner::Default)
    );
    tables.release(0, u32::MAX, 1);
    assert_eq!((tables.owner(0), tables.owner(0x20), tables.owners), (Owner::HostBridge, function(9), 2));
}

#[test]
fn random_claims_against_a_map() {
    let mut random = Random::new(0x636c_6169);
    for round in 0..300 {
        let size = 16usize << random.below(6);
        let mut tables = Tables::new(size);
        let mut model: HashMap<u32, Owner> = HashMap::new();
        for _ in 0..200 {
            let clustered = random.one_in(2);
            let first = random_sbdf(&mut random, clustered);
            let last = first.saturating_add(random.below(9));
            let range = first..=last;
            let id = random.below(8);
            if random.one_in(3) {
                tables.release(first, last, id);
                model.retain(|sbdf, owner| !range.contains(sbdf) || *owner != server(id));
            } else if random.one_in(8) {
                tables.release(0, u32::MAX, id);
                model.retain(|_, owner| *owner != server(id));
            } else {
                let expected = if range.clone().any(|sbdf| model.contains_key(&sbdf)) {
                    Err(ClaimError::Domain(DomainError::Taken))
                } else if (model.len() + range.clone().count()) * 4 > size {
                    Err(ClaimError::Domain(DomainError::Full))
                } else {
                    Ok(())
                };
                assert_eq!(tables.claim(first, last, id), expected, "round {round}");
                if expected.is_ok() {
                    model.extend(range.map(|sbdf| (sbdf, server(id))));
                }
            }
            check(&tables, &model);
        }
    }
}

#[test]
fn claims_are_taken_over() {
    let mut small = Tables::new(16);
    small.claim(8, 10, 5).unwrap();
    small.set(0, Owner::HostBridge).unwrap();
    let mut large = Tables::new(32);
    large.domain().take_over(&small.domain()).unwrap();
    assert_eq!((large.owner(0), large.owner(8), large.owner(10)), (Owner::HostBridge, server(5), server(5)));
}

#[test]
fn what_a_server_is_asked_for_is_within_a_dword() {
    for offset in 0..0x1010 {
        for bytes in 0..=16 {
            let within = [1, 2, 4].contains(&bytes) && offset / 4 == (offset + bytes - 1) / 4;
            assert_eq!(may_forward(offset, bytes, true), within && offset < 0x1000, "{bytes} at {offset:#x}");
            assert_eq!(may_forward(offset, bytes, false), within && offset < 0x100, "{bytes} at {offset:#x}");
        }
    }
    assert!(!may_forward(u32::MAX, 4, true) && !may_forward(0, u32::MAX, true));
}
