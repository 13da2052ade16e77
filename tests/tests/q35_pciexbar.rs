//! PCIEXBAR: what its values mean, and how it moves the window.

use capabilities::Sbdf;
use q35::layout::Misfit;
use q35::{Decoded, Info, InfoError, Window, pciexbar_decode, pciexbar_encode};
use tests::mch::{Bridge, INFO};

fn decoded(value: u64) -> Option<(u64, u32)> {
    match pciexbar_decode(value) {
        Decoded::Window(window) => Some((window.base(), window.size() >> 20)),
        Decoded::Disabled | Decoded::Reserved => None,
    }
}

/// Base bits 35:28; 27 in the shorter two, 26 in the shortest; the length in bits 2:1.
#[test]
fn each_length_has_its_base_bits() {
    for (value, window) in [
        (0xb000_0001, (0xb000_0000, 256)),
        (0xbc00_0001, (0xb000_0000, 256)),
        (0xb000_0003, (0xb000_0000, 128)),
        (0xb800_0003, (0xb800_0000, 128)),
        (0xb400_0003, (0xb000_0000, 128)),
        (0xbc00_0003, (0xb800_0000, 128)),
        (0xb000_0005, (0xb000_0000, 64)),
        (0xb400_0005, (0xb400_0000, 64)),
        (0xb800_0005, (0xb800_0000, 64)),
        (0xbc00_0005, (0xbc00_0000, 64)),
        (0xb600_0005, (0xb400_0000, 64)),
        (0xb3ff_fff9, (0xb000_0000, 256)),
        (0xf_f000_0001, (0xf_f000_0000, 256)),
        (0xf_fc00_0005, (0xf_fc00_0000, 64)),
        // No address bits from 36 on.
        (0x10_b000_0001, (0xb000_0000, 256)),
        (0xffff_fff0_0000_0001, (0, 256)),
    ] {
        assert_eq!(decoded(value), Some(window), "{value:#x}");
    }
    for disabled in [0, 0xb000_0000, 0xb000_0006, u64::MAX - 1] {
        assert_eq!(pciexbar_decode(disabled), Decoded::Disabled);
    }
    assert_eq!(pciexbar_decode(0xb000_0007), Decoded::Reserved);
    assert_eq!(pciexbar_decode(u64::MAX), Decoded::Reserved);
}

/// PCI Express 7.2.2: bus in 27:20, device in 19:15, function in 14:12, register in 11:0.
#[test]
fn addresses_are_functions_and_registers() {
    let window = Window::new(0xb000_0000, 0x1000_0000).unwrap();
    for (address, sbdf, offset) in [
        (0xb000_0000, Sbdf::new(0, 0, 0, 0), 0),
        (0xb000_0104, Sbdf::new(0, 0, 0, 0), 0x104),
        (0xb000_8000, Sbdf::new(0, 0, 1, 0), 0),
        (0xb00f_affc, Sbdf::new(0, 0, 0x1f, 2), 0xffc),
        (0xb010_0000, Sbdf::new(0, 1, 0, 0), 0),
        (0xbfff_ffff, Sbdf::new(0, 0xff, 0x1f, 7), 0xfff),
    ] {
        assert_eq!(window.decode(address), Some((sbdf, offset)), "{address:#x}");
        assert_eq!(window.encode(sbdf, offset), Some(address));
    }
    for outside in [0, 0xafff_ffff, 0xc000_0000, 0x1_b000_0000, u64::MAX] {
        assert_eq!(window.decode(outside), None, "{outside:#x}");
    }
}

/// Buses beyond the last are not decoded: they do not wrap.
#[test]
fn a_short_window_has_fewer_buses() {
    for (size, last) in [(0x0400_0000, 63), (0x0800_0000, 127), (0x1000_0000, 255)] {
        let window = Window::new(0xe000_0000, size).unwrap();
        assert_eq!(window.last_bus(), last);
        let end = 0xe000_0000 + u64::from(size);
        assert_eq!(window.decode(end - 1), Some((Sbdf::new(0, last, 0x1f, 7), 0xfff)));
        assert_eq!(window.decode(end), None);
        assert_eq!(window.encode(Sbdf::new(0, last, 0x1f, 7), 0xfff), Some(end - 1));
        if let Some(beyond) = last.checked_add(1) {
            assert_eq!(window.encode(Sbdf::new(0, beyond, 0, 0), 0), None);
        }
        assert_eq!(window.encode(Sbdf::new(1, 0, 0, 0), 0), None, "another segment");
        assert_eq!(window.encode(Sbdf::new(0, 0, 0, 0), 0x1000), None, "another function's register");
    }
}

#[test]
fn windows_are_aligned_and_below_64_gb() {
    assert!(Window::new(0xf_f000_0000, 0x1000_0000).is_some());
    for (base, size) in [
        (0x10_0000_0000, 0x1000_0000),
        (0x0800_0000, 0x1000_0000),
        (0xb000_1000, 0x0400_0000),
        (0xb000_0000, 0x0200_0000),
        (0xb000_0000, 0x2000_0000),
        (0xb000_0000, 0),
        (u64::MAX, 0x0400_0000),
    ] {
        assert_eq!(Window::new(base, size), None, "{size:#x} at {base:#x}");
    }
}

/// The I/O APICs, the HPET, the local APICs and the flash stay reachable.
#[test]
fn from_fec00000_to_4_gib_is_never_ecam() {
    for (base, size) in [(0xfc00_0000, 0x0400_0000), (0xf800_0000, 0x0800_0000), (0xf000_0000, 0x1000_0000)] {
        let window = Window::new(base, size).unwrap();
        assert_eq!(window.decode(0xfebf_ffff).map(|(_, offset)| offset), Some(0xfff));
        for address in [0xfec0_0000, 0xfed0_0000, 0xfee0_0000, 0xffff_ffff] {
            assert_eq!(window.decode(address), None, "{address:#x}");
        }
        let first_hidden = u8::try_from((0xfec0_0000 - base) >> 20).unwrap();
        assert_eq!(window.encode(Sbdf::new(0, first_hidden, 0, 0), 0), None);
        assert!(window.encode(Sbdf::new(0, first_hidden - 1, 0x1f, 7), 0xfff).is_some());
    }
    let beside = Window::new(0xe000_0000, 0x1000_0000).unwrap();
    assert_eq!(beside.decoded(), beside.size());
    let above = Window::new(0x1_0000_0000, 0x1000_0000).unwrap();
    assert_eq!(above.decode(0x1_0ec0_0000), Some((Sbdf::new(0, 0xec, 0, 0), 0)));
}

#[test]
fn the_register_reads_what_it_means() {
    let mut bridge = Bridge::new(&INFO);
    for (written, read, window) in [
        (0xb800_0001, 0xb000_0001, Some((0xb000_0000, 256))),
        (0xbc00_0003, 0xb800_0003, Some((0xb800_0000, 128))),
        (0xbe00_0005, 0xbc00_0005, Some((0xbc00_0000, 64))),
        (0xb3ff_ffff & !6, 0xb000_0001, Some((0xb000_0000, 256))),
        (0xfff8_0000_b000_0001, 0xb000_0001, Some((0xb000_0000, 256))),
        (0x3_c000_0005, 0x3_c000_0005, Some((0x3_c000_0000, 64))),
        (0xb800_0000, 0xb000_0000, None),
        (0xbc00_0004, 0xbc00_0004, None),
    ] {
        bridge.set_pciexbar(written);
        assert_eq!((bridge.pciexbar(), bridge.window()), (read, window), "{written:#x}");
    }
}

/// As QEMU has it: the register shows the reserved length, and what was decoded before still is.
#[test]
fn the_reserved_length_moves_nothing() {
    let mut bridge = Bridge::new(&INFO);
    bridge.write(0x60, 4, 0xc000_0007);
    assert_eq!((bridge.pciexbar(), bridge.window()), (0xc000_0007, Some((0xb000_0000, 256))));
    bridge.write(0x60, 4, 0xc000_0006);
    assert_eq!(bridge.window(), None);
    bridge.write(0x60, 4, 0xc000_0007);
    assert_eq!(bridge.window(), None, "there was none");
    bridge.write(0x60, 1, 0x05);
    assert_eq!(bridge.window(), Some((0xc000_0000, 64)));
}

/// Byte by byte, while it is enabled: every write counts at once.
#[test]
fn a_part_of_the_register_moves_the_window() {
    let mut bridge = Bridge::new(&INFO);
    for (offset, bytes, value, window) in [
        (0x63, 1, 0xd0, Some((0xd000_0000, 256))),
        (0x62, 2, 0xe400, Some((0xe000_0000, 256))),
        (0x60, 1, 0x05, Some((0xe400_0000, 64))),
        (0x60, 1, 0x03, Some((0xe000_0000, 128))),
        (0x64, 1, 0x02, Some((0x2_e000_0000, 128))),
        (0x64, 4, 0, Some((0xe000_0000, 128))),
        (0x60, 1, 0x04, None),
        (0x63, 1, 0xc8, None),
        (0x60, 1, 0x03, Some((0xc800_0000, 128))),
    ] {
        bridge.write(offset, bytes, value);
        assert_eq!(bridge.window(), window, "{offset:#x} <- {value:#x}");
    }
}

#[test]
fn windows_over_ram_and_fixed_addresses_are_counted() {
    let mut bridge = Bridge::new(&INFO);
    for (value, overlaps) in [
        (0xc000_0005, 0),
        (0x7c00_0005, 1),
        (0x8000_0005, 1),
        (0xfc00_0005, 2),
        (0xf800_0005, 2),
        (0x1_fc00_0005, 3),
        (0x2_0000_0005, 3),
        (0x0000_0001, 4),
    ] {
        bridge.set_pciexbar(value);
        assert_eq!(bridge.0.overlaps(), overlaps, "{value:#x}");
        assert!(bridge.window().is_some(), "the write took effect");
    }
    // The same again, through a write that changes nothing.
    bridge.write(0x60, 1, 0x01);
    assert_eq!(bridge.0.overlaps(), 4);
    bridge.0.reset();
    assert_eq!(bridge.0.overlaps(), 4);
}

#[test]
fn addresses_are_no_wider_than_the_guest_s() {
    for (address_bits, high) in [(32, 0), (33, 1), (35, 7), (36, 0xf), (39, 0xf), (52, 0xf)] {
        let mut bridge = Bridge::new(&Info { address_bits, high_ram_end: 0, ..INFO });
        bridge.write(0x64, 4, u32::MAX);
        assert_eq!(bridge.read(0x64, 4), high, "{address_bits} bits");
        assert_eq!(bridge.window(), Some((u64::from(high) << 32 | 0xb000_0000, 256)));
    }
}

#[test]
fn a_reset_brings_the_toolstack_s_window_back() {
    for pciexbar in [0xb000_0001, 0xe000_0005, 0x2_0000_0003, 0, 0xe000_0000] {
        let mut bridge = Bridge::new(&Info { pciexbar, ..INFO });
        let first = (bridge.pciexbar(), bridge.window());
        assert_eq!(first, (pciexbar, decoded(pciexbar)));
        bridge.set_pciexbar(0xd000_0005);
        bridge.write(0x9d, 1, 0x10);
        bridge.0.reset();
        assert_eq!((bridge.pciexbar(), bridge.window()), first);
        assert_eq!(bridge.read(0x9d, 1), 0x02);
    }
}

/// A toolstack that has second thoughts, before the guest runs.
#[test]
fn it_can_be_made_anew() {
    let mut bridge = Bridge::new(&Info { pciexbar: 0, address_bits: 32, high_ram_end: 0, ..INFO });
    bridge.set_pciexbar(1);
    bridge.write(0x9d, 1, 0x10);
    assert_eq!(bridge.0.init(&INFO), Ok(()));
    let fresh = Bridge::new(&INFO);
    assert_eq!(bridge.0.save(0), fresh.0.save(0));
    bridge.write(0x64, 4, u32::MAX);
    assert_eq!(bridge.read(0x64, 4), 0xf);
    // And if it is refused, all is as before.
    let before = bridge.0.save(0);
    assert_eq!(bridge.0.init(&Info { pciexbar: 1, ..INFO }), Err(InfoError::Window(Misfit::EcamRam)));
    assert_eq!(bridge.0.save(0), before);
}

#[test]
fn the_toolstack_s_window_obeys_the_rules() {
    let refused = |info: &Info| Bridge::try_new(info).err();
    let at = |pciexbar| refused(&Info { pciexbar, ..INFO });
    assert_eq!(at(0x8000_0001), None, "right behind RAM");
    assert_eq!(at(0x7c00_0005), Some(InfoError::Window(Misfit::EcamRam)));
    assert_eq!(at(0x1_f000_0001), Some(InfoError::Window(Misfit::EcamRam)));
    assert_eq!(at(0xf000_0001), Some(InfoError::Window(Misfit::EcamFixed)));
    assert_eq!(at(0xb000_0007), Some(InfoError::Pciexbar), "the reserved length");
    for unreal in [0xb800_0001, 0xb000_0009, 0x10_b000_0001, 0xb400_0003, 0x0800_0000] {
        assert_eq!(at(unreal), Some(InfoError::Pciexbar), "{unreal:#x} would not read back");
    }
    let narrow = Info { pciexbar: 0x2_0000_0001, high_ram_end: 0, address_bits: 33, ..INFO };
    assert_eq!(refused(&narrow), Some(InfoError::Pciexbar));
    for info in [
        Info { address_bits: 31, high_ram_end: 0, ..INFO },
        Info { address_bits: 53, ..INFO },
        Info { low_ram_end: 0xfec0_0001, ..INFO },
        Info { high_ram_end: 0x1_0000_0000, ..INFO },
        Info { high_ram_end: 0x2_0000_0001, address_bits: 33, ..INFO },
    ] {
        assert_eq!(refused(&info), Some(InfoError::Platform), "{info:x?}");
    }
}

#[test]
fn encode_is_the_inverse() {
    for size in [0x0400_0000u32, 0x0800_0000, 0x1000_0000] {
        for base in (0..1u64 << 36).step_by(size as usize) {
            let window = Window::new(base, size).unwrap();
            assert_eq!(pciexbar_decode(pciexbar_encode(window)), Decoded::Window(window));
        }
    }
}
