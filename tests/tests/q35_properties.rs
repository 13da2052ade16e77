//! What holds for every value and every sequence of accesses.

use capabilities::Sbdf;
use q35::registers::ROWS;
use q35::{Decoded, Image, Info, Window, decode_port, pciexbar_decode, pciexbar_encode};
use tests::mch::{Bridge, INFO};
use tests::random::Random;
use zerocopy::IntoBytes;

/// Values with many, few and well-chosen bits.
fn value(random: &mut Random) -> u32 {
    let bits = random.bits32();
    let sparse = 1u32.wrapping_shl(random.below(32));
    random.pick(&[0, u32::MAX, bits, sparse, !sparse, 0xb000_0001, 0xbc00_0005, 0xe800_0003, 0xf000_0007])
}

/// An access, more often than not to a register that acts.
fn access(random: &mut Random) -> (u16, u32) {
    let bytes = random.pick(&[1, 2, 4]);
    let anywhere = u16::try_from(random.below(0x100)).unwrap();
    let dword = random.pick(&[0x60, 0x64, 0x9c, anywhere]) & !3;
    let lane = u16::try_from(random.below(4)).unwrap();
    ((dword + lane) & !(u16::try_from(bytes).unwrap() - 1), bytes)
}

fn write_somewhere(bridge: &mut Bridge, random: &mut Random) {
    let (offset, bytes) = access(random);
    bridge.write(offset, bytes, value(random));
}

fn image(bridge: &Bridge) -> Vec<u8> {
    bridge.0.save(0).as_bytes().to_vec()
}

#[test]
fn every_value_of_pciexbar_is_an_aligned_window_or_none() {
    let mut random = Random::new(1);
    for _ in 0..50_000 {
        let value = random.bits() & random.bits() | random.bits() & 7;
        let Decoded::Window(window) = pciexbar_decode(value) else {
            assert!(value & 1 == 0 || value >> 1 & 3 == 3, "{value:#x}");
            continue;
        };
        let size = u64::from(window.size());
        assert!([64, 128, 256].contains(&(size >> 20)), "{value:#x}");
        assert_eq!(window.base() % size, 0, "{value:#x}");
        assert!(window.base() + size <= 1 << 36, "{value:#x}");
        assert_eq!(u64::from(window.last_bus()), (size >> 20) - 1);
        let canonical = pciexbar_encode(window);
        assert_eq!(pciexbar_decode(canonical), Decoded::Window(window));
        assert_eq!(canonical & !value, 0, "{value:#x} has no such base");
        // The bits that count: 35:28, 27 and 26 by the length, and 2:0.
        let counts = 0xf_f000_0007 | [0, 0x0800_0000, 0x0c00_0000][usize::try_from(value >> 1 & 3).unwrap()];
        assert_eq!(canonical, value & counts, "{value:#x}");
    }
}

#[test]
fn decode_and_encode_are_inverse() {
    let mut random = Random::new(2);
    for _ in 0..50_000 {
        let size = random.pick(&[0x0400_0000u32, 0x0800_0000, 0x1000_0000]);
        let slots = (1u64 << 36) / u64::from(size);
        // Half of them below 4 GiB.
        let slots = if random.one_in(2) { slots / 16 } else { slots };
        let base = random.bits() % slots * u64::from(size);
        let window = Window::new(base, size).unwrap();
        let address =
            base.wrapping_add(random.bits() % (2 * u64::from(size))).wrapping_sub(u64::from(size) / 2);
        let inside = (base..base + u64::from(size)).contains(&address);
        let fixed = (0xfec0_0000..1 << 32).contains(&address);
        match window.decode(address) {
            Some((sbdf, offset)) => {
                assert!(inside && !fixed, "{address:#x} in {window:x?}");
                assert_eq!(window.encode(sbdf, offset), Some(address));
                let distance = address - base;
                assert_eq!(u64::from(sbdf.bus()), distance >> 20);
                assert_eq!(u64::from(sbdf.device()), distance >> 15 & 0x1f);
                assert_eq!(u64::from(sbdf.function()), distance >> 12 & 7);
                assert_eq!(u64::from(offset), distance & 0xfff);
                assert_eq!(sbdf.segment(), 0);
            }
            None => assert!(!inside || fixed, "{address:#x} in {window:x?}"),
        }
        let sbdf = Sbdf(random.bits32() & random.pick(&[0xffff, 0x3fff, u32::MAX]));
        let offset = u16::try_from(random.below(0x1100)).unwrap();
        if let Some(address) = window.encode(sbdf, offset) {
            assert_eq!(window.decode(address), Some((sbdf, offset)));
        } else {
            let first_hidden = 0xfec0_0000u64.saturating_sub(base) >> 20;
            let hidden = base < 1 << 32 && u64::from(sbdf.bus()) >= first_hidden;
            let outside = sbdf.segment() != 0 || sbdf.bus() > window.last_bus() || offset > 0xfff;
            assert!(outside || hidden, "{sbdf} {offset:#x} in {window:x?}");
        }
    }
}

/// Mechanism #1 and ECAM reach the same register of the same function.
#[test]
fn ports_and_ecam_agree() {
    let window = Window::new(0xb000_0000, 0x1000_0000).unwrap();
    let mut random = Random::new(3);
    for _ in 0..100_000 {
        let (sbdf, offset) = (Sbdf(random.below(0x1_0000)), u16::try_from(random.below(0x100)).unwrap());
        let latch = 1 << 31 | sbdf.0 << 8 | u32::from(offset & 0xfc);
        let noise = random.bits32() & 0x7f00_0003;
        assert_eq!(decode_port(latch | noise, 0xcfc + (offset & 3)), Some((sbdf, offset)));
        assert_eq!(decode_port(latch & !(1 << 31), 0xcfc + (offset & 3)), None);
        let address = window.encode(sbdf, offset).unwrap();
        assert_eq!(window.decode(address), Some((sbdf, offset)));
    }
}

/// The bytes of a write, one by one in any order, do what the write does.
#[test]
fn bytes_in_any_order_are_the_dword() {
    let mut random = Random::new(4);
    for _ in 0..5_000 {
        let mut whole = Bridge::new(&INFO);
        for _ in 0..random.below(4) {
            write_somewhere(&mut whole, &mut random);
        }
        let mut pieces = Bridge::new(&INFO);
        pieces.0.restore(&image(&whole)).unwrap();
        let offset = access(&mut random).0 & !3;
        // The lock byte last or first decides over its neighbours, and the reserved length over the window.
        let value = value(&mut random) & if offset == 0x9c { !0x1000 } else { u32::MAX };
        whole.write(offset, 4, value);
        let mut lanes = [0u16, 1, 2, 3];
        for at in (1..4).rev() {
            lanes.swap(at, usize::try_from(random.below(u32::try_from(at).unwrap() + 1)).unwrap());
        }
        for lane in lanes {
            pieces.write(offset + lane, 1, value >> (8 * lane) & 0xff);
        }
        assert_eq!(pieces.dwords(), whole.dwords(), "{value:#x} to {offset:#x} as {lanes:?}");
        if whole.pciexbar() & 7 != 7 {
            assert_eq!(pieces.window(), whole.window(), "{value:#x} to {offset:#x} as {lanes:?}");
        }
    }
}

/// The two halves of PCIEXBAR, in either order, with or without disabling first.
#[test]
fn what_is_within_a_dword_is_its_bytes() {
    let mut random = Random::new(23);
    let mut bridge = Bridge::new(&INFO);
    for _ in 0..20_000 {
        let (offset, bytes) = (random.below(0x104), random.pick(&[1, 2, 4]));
        let value = value(&mut random);
        let before = image(&bridge);
        let mut expected = Bridge::new(&INFO);
        expected.0.restore(&before).unwrap();
        bridge.0.write_within(offset, bytes, value);
        let inside = offset % 4 + bytes <= 4;
        for byte in (0..bytes).filter(|_| inside && offset < 0x100) {
            expected.write(u16::try_from(offset + byte).unwrap(), 1, value >> (8 * byte) & 0xff);
        }
        // How often a window overlapped is counted for each write.
        for at in 0..0x100 {
            assert_eq!(bridge.read(at, 1), expected.read(at, 1), "{at:#x} after {bytes} at {offset:#x}");
        }
        let single = |byte: u32| bridge.read(u16::try_from(offset + byte).unwrap(), 1) << (8 * byte);
        let wanted = if inside { (0..bytes).fold(0, |all, byte| all | single(byte)) } else { u32::MAX };
        assert_eq!(bridge.0.read_within(offset, bytes), wanted, "{bytes} at {offset:#x}");
    }
}

#[test]
fn halves_of_pciexbar_in_any_order() {
    let mut random = Random::new(5);
    for _ in 0..5_000 {
        let target = random.bits() & 0xf_fc00_0004 | 1 | u64::from(random.below(2)) << 1;
        let target = if target & 6 == 6 { target & !2 } else { target };
        let (low, high) = (target as u32, (target >> 32) as u32);
        let mut bridges: Vec<Bridge> = (0..3).map(|_| Bridge::new(&INFO)).collect();
        bridges[0].write(0x60, 4, low);
        bridges[0].write(0x64, 4, high);
        bridges[1].write(0x64, 4, high);
        bridges[1].write(0x60, 4, low);
        bridges[2].set_pciexbar(target);
        for bridge in &bridges {
            let Decoded::Window(window) = pciexbar_decode(target) else { panic!("{target:#x}") };
            assert_eq!(bridge.0.window(), Some(window));
            assert_eq!(bridge.pciexbar(), pciexbar_encode(window));
        }
    }
}

/// Read-only bits by the rows; reserved ones have none.
fn read_only() -> Vec<u32> {
    let mut masks = vec![u32::MAX; 64];
    for row in ROWS {
        for byte in 0..row.width {
            let at = row.offset + byte;
            let written = (row.write >> (8 * byte) & 0xff) as u32;
            masks[usize::from(at / 4)] &= !(written << (8 * (at % 4)));
        }
    }
    masks
}

#[test]
fn read_only_bits_never_change() {
    let masks = read_only();
    let mut random = Random::new(6);
    for _ in 0..50 {
        let mut bridge = Bridge::new(&INFO);
        let first = bridge.dwords();
        for _ in 0..200 {
            write_somewhere(&mut bridge, &mut random);
            for (at, mask) in masks.iter().enumerate() {
                let now = bridge.read(u16::try_from(4 * at).unwrap(), 4);
                assert_eq!((now ^ first[at]) & mask, 0, "{:#x}", 4 * at);
            }
        }
    }
}

/// Once locked, always locked, and what the lock freezes stays: until a reset.
#[test]
fn the_lock_is_monotone_until_reset() {
    let mut random = Random::new(7);
    let mut locks = 0;
    for _ in 0..400 {
        let mut bridge = Bridge::new(&INFO);
        let mut frozen: Option<Vec<u32>> = None;
        for _ in 0..200 {
            if random.one_in(100) {
                bridge.0.reset();
                assert_eq!(bridge.read(0x9d, 1), 0x02);
                frozen = None;
            }
            write_somewhere(&mut bridge, &mut random);
            let now: Vec<u32> = [
                (0x9c, 0x0087_5a00),
                (0x50, 0x0072_0000),
                (0xa4, u32::MAX),
                (0xa8, u32::MAX),
                (0xac, u32::MAX),
            ]
            .map(|(offset, mask)| bridge.read(offset, 4) & mask)
            .to_vec();
            if let Some(frozen) = &frozen {
                assert_eq!(&now, frozen);
            } else if bridge.read(0x9d, 1) & 0x10 != 0 {
                locks += 1;
                frozen = Some(now);
            }
            if frozen.is_some() {
                assert_eq!(bridge.read(0x9d, 1) & 0x50, 0x10, "locked and not open");
            }
        }
    }
    assert!(locks > 400, "{locks}");
}

/// What is decoded is what the register reads, but for the reserved length.
#[test]
fn the_window_is_the_register_s() {
    let mut random = Random::new(8);
    for address_bits in [32, 34, 36, 39, 52] {
        let mut bridge = Bridge::new(&Info { address_bits, high_ram_end: 0, ..INFO });
        for _ in 0..20_000 {
            let before = bridge.0.window();
            write_somewhere(&mut bridge, &mut random);
            let expected = match pciexbar_decode(bridge.pciexbar()) {
                Decoded::Disabled => None,
                Decoded::Reserved => before,
                Decoded::Window(window) => {
                    assert_eq!(pciexbar_encode(window), bridge.pciexbar());
                    Some(window)
                }
            };
            assert_eq!(bridge.0.window(), expected);
            assert!(expected.is_none_or(|w| w.base() + u64::from(w.size()) <= 1 << address_bits));
        }
    }
}

#[test]
fn images_come_back() {
    let mut random = Random::new(9);
    let mut bridge = Bridge::new(&INFO);
    for _ in 0..2_000 {
        for _ in 0..random.below(6) {
            write_somewhere(&mut bridge, &mut random);
        }
        if random.one_in(20) {
            bridge.0.reset();
        }
        let latch = random.bits32();
        let saved = bridge.0.save(latch);
        let mut copy = Bridge::new(&INFO);
        for _ in 0..random.below(6) {
            write_somewhere(&mut copy, &mut random);
        }
        assert_eq!(copy.0.restore(saved.as_bytes()), Ok(latch));
        assert_eq!(copy.0.save(latch), saved);
        assert_eq!(copy.0.window(), bridge.0.window());
        let mut same = random.clone();
        for _ in 0..4 {
            write_somewhere(&mut bridge, &mut random);
            write_somewhere(&mut copy, &mut same);
        }
        assert_eq!(image(&copy), image(&bridge), "they do not go on alike");
    }
}

/// An image with some bits turned over is refused and changes nothing, or is that of another MCH that there can be.
#[test]
fn images_are_taken_whole_or_not_at_all() {
    let mut random = Random::new(10);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..10_000 {
        let mut bridge = Bridge::new(&INFO);
        for _ in 0..random.below(4) {
            write_somewhere(&mut bridge, &mut random);
        }
        let mut bytes = image(&bridge);
        for _ in 0..=random.below(2) {
            let at = usize::try_from(random.below(u32::try_from(Image::SIZE).unwrap())).unwrap();
            bytes[at] ^= 1 << random.below(8);
        }
        let mut other = Bridge::new(&INFO);
        write_somewhere(&mut other, &mut random);
        let before = image(&other);
        if let Ok(latch) = other.0.restore(&bytes) {
            taken += 1;
            assert_eq!(other.0.save(latch).as_bytes(), bytes);
            assert_ne!(other.read(0x9d, 1) & 0x50, 0x50, "open and locked");
        } else {
            refused += 1;
            assert_eq!(image(&other), before);
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
}
