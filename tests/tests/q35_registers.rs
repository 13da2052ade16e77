//! The MCH's registers, as the datasheets have them and as firmware uses them.

use q35::registers::ROWS;
use tests::mch::{Bridge, INFO};

/// Offset, width, what it reads after a reset, and what after a write of ones.
const REGISTERS: &[(u16, u32, u32, u32)] = &[
    (0x00, 4, 0x29c0_8086, 0x29c0_8086),
    (0x04, 2, 0x0006, 0x0146),
    (0x06, 2, 0x0000, 0x0000),
    (0x08, 4, 0x0600_0000, 0x0600_0000),
    (0x0c, 4, 0, 0),
    (0x10, 4, 0, 0),
    (0x14, 4, 0, 0),
    (0x18, 4, 0, 0),
    (0x1c, 4, 0, 0),
    (0x20, 4, 0, 0),
    (0x24, 4, 0, 0),
    (0x2c, 4, 0x1100_1af4, 0x1100_1af4),
    (0x30, 4, 0, 0),
    (0x34, 4, 0, 0),
    (0x3c, 2, 0x0000, 0x00ff),
    (0x3e, 2, 0x0000, 0x0000),
    // EPBAR, MCHBAR and DMIBAR: address bits from 12, 14 and 12 up to 35, and an enable bit.
    (0x40, 4, 0, 0xffff_f001),
    (0x44, 4, 0, 0xf),
    (0x48, 4, 0, 0xffff_c001),
    (0x4c, 4, 0, 0xf),
    (0x68, 4, 0, 0xffff_f001),
    (0x6c, 4, 0, 0xf),
    // No extended TSEG, as a virtual machine of QEMU's would have.
    (0x50, 2, 0, 0),
    (0x52, 2, 0x0030, 0x0072),
    // The host bridge itself cannot be disabled.
    (0x54, 4, 0x0000_03db, 0x0000_03db),
    (0x60, 4, 0xb000_0001, 0xfc00_0007),
    (0x64, 4, 0, 0xf),
    (0x90, 1, 0, 0x30),
    (0x91, 1, 0, 0x33),
    (0x96, 1, 0, 0x33),
    (0x97, 1, 0, 0x81),
    (0x98, 2, 0x03ff, 0x03ff),
    (0x9a, 2, 0x0000, 0x03ff),
    // No SMRAM at 30000: 9C would read 01.
    (0x9c, 1, 0x00, 0x00),
    (0x9d, 1, 0x02, 0x3a),
    (0xa0, 2, 0x0001, 0x03ff),
    (0xa2, 2, 0x0000, 0xffff),
    (0xb0, 2, 0x0010, 0xfff0),
    (0xc8, 2, 0, 0),
    (0xca, 2, 0, 0xffff),
    (0xcc, 2, 0, 0xffff),
    (0xdc, 4, 0, 0xffff_ffff),
];

#[test]
fn registers_read_as_the_datasheet_has_them() {
    for &(offset, width, reset, ones) in REGISTERS {
        let mut bridge = Bridge::new(&INFO);
        assert_eq!(bridge.read(offset, width), reset, "{offset:#x} after a reset");
        bridge.write(offset, width, u32::MAX);
        assert_eq!(bridge.read(offset, width), ones, "{offset:#x} after a write of ones");
        bridge.0.reset();
        assert_eq!(bridge.read(offset, width), reset, "{offset:#x} after another reset");
    }
}

#[test]
fn registers_that_the_lock_freezes() {
    for (offset, width, ones) in [
        (0x52, 2, 0x0072),
        (0x9e, 1, 0x87),
        (0xa4, 4, 0xfff0_0000),
        (0xa8, 4, 0xfff0_0000),
        (0xac, 4, 0xfff0_0000),
    ] {
        let mut bridge = Bridge::new(&INFO);
        bridge.write(offset, width, u32::MAX);
        assert_eq!(bridge.read(offset, width), ones, "{offset:#x}");
        bridge.write(0x9d, 1, 0x1a);
        bridge.write(offset, width, 0);
        assert_eq!(bridge.read(offset, width), ones, "{offset:#x} is locked");
        bridge.0.reset();
        bridge.write(offset, width, 0);
        assert_eq!(bridge.read(offset, width), 0, "{offset:#x} is not locked after a reset");
    }
}

#[test]
fn the_lock_leaves_all_else() {
    let mut bridge = Bridge::new(&INFO);
    bridge.write(0x9d, 1, 0x1a);
    for (offset, value) in
        [(0x40, 0x1001), (0x54, 1), (0x90, 0x1111_1110), (0xa0, 0x0123_0042), (0xb0, 0x8000)]
    {
        bridge.write(offset, 4, value);
        assert_eq!(bridge.read(offset, 4), value, "{offset:#x}");
    }
    bridge.write(0x60, 4, 0xc000_0005);
    assert_eq!(bridge.window(), Some((0xc000_0000, 64)));
}

/// What QEMU's q35 does, which the datasheet says too: setting `D_LCK` clears `D_OPEN`, `D_CLS` stays writable.
#[test]
fn smram_locks() {
    let mut bridge = Bridge::new(&INFO);
    for (write, read) in
        [(0x4a, 0x4a), (0x0a, 0x0a), (0x4a, 0x4a), (0xff, 0x3a), (0x00, 0x1a), (0x20, 0x3a), (0x5a, 0x1a)]
    {
        bridge.write(0x9d, 1, write);
        assert_eq!(bridge.read(0x9d, 1), read, "after {write:#x}");
    }
    // By a wider write, too.
    let mut bridge = Bridge::new(&INFO);
    bridge.write(0x9c, 4, 0x0087_5000);
    assert_eq!(bridge.read(0x9c, 4), 0x0087_1200);
    bridge.write(0x9c, 4, 0);
    assert_eq!(bridge.read(0x9c, 4), 0x0087_1200);
}

#[test]
fn rows_are_registers_and_all_between_reads_0() {
    let mut bridge = Bridge::new(&INFO);
    for offset in (0..0x100).step_by(4) {
        if !(0x60..0x68).contains(&offset) {
            bridge.write(offset, 4, u32::MAX);
        }
    }
    let has_row = |byte: u16| ROWS.iter().any(|row| (row.offset..row.offset + row.width).contains(&byte));
    for byte in (0..0x100).filter(|byte| !has_row(*byte)) {
        assert_eq!(bridge.read(byte, 1), 0, "{byte:#x}");
    }
    for row in ROWS {
        assert!(!row.name.is_empty() && !row.source.is_empty(), "{:#x}", row.offset);
    }
}

/// Linux reads 100h to learn whether a host bridge has extended space.
#[test]
fn there_is_no_extended_space() {
    let mut bridge = Bridge::new(&INFO);
    let before = bridge.dwords();
    for offset in (0x100..0x1000).step_by(4) {
        bridge.write(offset, 4, 0);
        assert_eq!(bridge.read(offset, 4), u32::MAX, "{offset:#x}");
    }
    assert_eq!((bridge.read(0x100, 2), bridge.read(0xfff, 1)), (0xffff, 0xff));
    assert_eq!(bridge.dwords(), before);
}

#[test]
fn every_width_reads_the_same_bytes() {
    let bridge = Bridge::new(&INFO);
    for offset in 0..0x100 {
        let dword = bridge.read(offset & !3, 4);
        assert_eq!(bridge.read(offset, 1), dword >> (8 * (offset & 3)) & 0xff, "{offset:#x}");
        if offset % 2 == 0 {
            assert_eq!(bridge.read(offset, 2), dword >> (8 * (offset & 3)) & 0xffff, "{offset:#x}");
        }
    }
}

/// The bus scan and the write of COMMAND that Xen's hvmloader does to every function.
#[test]
fn hvmloader_finds_nothing_to_place() {
    let mut bridge = Bridge::new(&INFO);
    for offset in [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30] {
        let old = bridge.read(offset, 4);
        bridge.write(offset, 4, if offset == 0x30 { 0xffff_fffe } else { 0xffff_ffff });
        assert_eq!(bridge.read(offset, 4), 0);
        bridge.write(offset, 4, old);
    }
    assert_eq!(bridge.read(0x3d, 1), 0, "an interrupt would be routed");
    let command = bridge.read(0x04, 2);
    bridge.write(0x04, 2, command & !3);
    let command = bridge.read(0x04, 2);
    bridge.write(0x04, 2, command | 4);
    assert_eq!(bridge.read(0x04, 2), 0x0006);
}

/// `SeaBIOS`, on QEMU: shadow RAM, ECAM, and shadow RAM read-only.
#[test]
fn seabios_reads_what_it_wrote() {
    let mut bridge = Bridge::new(&q35::Info { pciexbar: 0, ..INFO });
    assert_eq!(bridge.read(0x90, 1), 0);
    bridge.write(0x90, 4, 0x3333_3330);
    bridge.write(0x94, 4, 0x0033_3333);
    assert_eq!((bridge.read(0x90, 4), bridge.read(0x94, 4)), (0x3333_3330, 0x0033_3333));
    assert_eq!((bridge.read(0x2c, 2), bridge.read(0x2e, 2)), (0x1af4, 0x1100));
    bridge.write(0x60, 4, 0);
    bridge.write(0x64, 4, 0);
    assert_eq!(bridge.window(), None);
    bridge.write(0x60, 4, 0xb000_0001);
    assert_eq!(bridge.window(), Some((0xb000_0000, 256)));
    bridge.write(0x90, 4, 0x1111_1110);
    bridge.write(0x94, 4, 0x0033_3111);
    assert_eq!((bridge.read(0x90, 4), bridge.read(0x94, 4)), (0x1111_1110, 0x0033_3111));
}

/// OVMF built with SMM looks for it here, and stops with a message where there is none.
#[test]
fn firmware_finds_no_smm() {
    let mut bridge = Bridge::new(&INFO);
    assert_ne!(bridge.read(0x9e, 1) & 0x38, 0x38);
    bridge.write(0x50, 2, 0xffff);
    assert_eq!(bridge.read(0x50, 2), 0);
    bridge.write(0x9c, 1, 0xff);
    assert_ne!(bridge.read(0x9c, 1), 1);
}
