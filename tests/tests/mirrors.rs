//! The ways around configuration space, against a list of those that are known, row by row: each has an answer.
#![cfg(feature = "corpus")]

use std::collections::BTreeSet;

use capabilities::Width;
use quirks::mirrors::{BarInfo, Choice, KNOWN, Mirror, Reasons, Subject, holes, ports, refused, way};
use quirks::table::{Identity, Traits};
use tests::corpus;
use tests::device::Device;
use tests::machine::Machine;
use vpci::{BarKind, Way};

/// What is to be found done.
#[derive(Clone, Copy)]
enum Done {
    /// Bytes of a memory BAR of this kind are configuration space from an offset on.
    View {
        bar: u8,
        kind: BarKind,
        at: u64,
        length: u64,
        config: u16,
    },
    /// They are nobody's.
    Closed {
        bar: u8,
        at: u64,
        length: u64,
    },
    /// Writes of the first value are the device's, of the second nobody's.
    Gate {
        bar: u8,
        at: u64,
        good: u32,
        bad: u32,
    },
    /// No guest is given the ports of this BAR.
    NoPorts {
        bar: u8,
    },
    /// Likewise, while a page of BAR 0 is left out.
    NoPortsBesideBar0,
    /// No guest is given VGA's ports.
    NoLegacyPorts,
    /// These bytes of configuration space read 0.
    Hidden {
        from: u16,
        to: u16,
    },
    /// These of a vendor's capability do.
    HiddenCapability {
        body: &'static [u8],
    },
    Refused(Reasons),
}

use Done::{
    Closed, Gate, Hidden, HiddenCapability, NoLegacyPorts, NoPorts, NoPortsBesideBar0, Refused, View,
};

struct Row {
    /// Kind, vendor, device, BAR or space, and offset, as the list has them.
    list: [&'static str; 5],
    /// The devices to try.
    devices: &'static [(u16, u16)],
    class: u32,
    /// What is done, and the name of the row that does it.
    done: &'static [(&'static str, Done)],
}

const VGA: u32 = 0x03_0000;
const ETHERNET: u32 = 0x02_0000;
const WIRELESS: u32 = 0x02_8000;
const RAID: u32 = 0x01_0400;

const NVIDIA: &[(u16, u16)] = &[(0x10de, 0x0040), (0x10de, 0x1eb8), (0x10de, 0x2684)];
const IGD: &[(u16, u16)] = &[(0x8086, 0x0412), (0x8086, 0x46a6)];
const R8169: &[(u16, u16)] = &[(0x10ec, 0x8168), (0x10ec, 0x8161), (0x10ec, 0x8136), (0x10ec, 0x8125)];
const RADEON: &[(u16, u16)] = &[(0x1002, 0x6649), (0x1002, 0x665d), (0x1002, 0x67a0), (0x1002, 0x67be)];

const fn row(
    list: [&'static str; 5],
    devices: &'static [(u16, u16)],
    class: u32,
    done: &'static [(&'static str, Done)],
) -> Row {
    Row { list, devices, class, done }
}

const fn view(bar: u8, at: u64, length: u64, config: u16) -> Done {
    View { bar, kind: BarKind::Memory32, at, length, config }
}

const ROWS: &[Row] = &[
    row(
        ["cfg_window", "0x1002", "ANY", "BAR4 (I/O)", "addr 0x0 / data 0x4"],
        &[(0x1002, 0x5b60), (0x1002, 0x73bf)],
        VGA,
        &[("ATI window", NoPorts { bar: 4 })],
    ),
    row(
        ["cfg_mirror", "0x1002", "ANY", "BAR2 (MMIO)", "0x4000"],
        &[(0x1002, 0x68f9)],
        VGA,
        &[("ATI mirror", View { bar: 2, kind: BarKind::Memory64, at: 0x4000, length: 0x1000, config: 0 })],
    ),
    row(
        ["vga_port", "0x1002", "ANY", "I/O port 0x3c3", "0x3c3"],
        &[(0x1002, 0x5b60)],
        VGA,
        &[("ATI port 3C3h", NoLegacyPorts)],
    ),
    row(
        ["cfg_mirror", "0x1002", "ANY", "BAR2", "0xf00"],
        &[(0x1002, 0x5b60)],
        VGA,
        &[("ATI mirror of old", view(2, 0xf00, 0x100, 0))],
    ),
    row(
        [
            "vga_port_window",
            "0x10de",
            "ANY",
            "I/O ports 0x3d4/0x3d0",
            "seq: 0x3d4=0x338; 0x3d0=target; 0x3d4=0x538 read / 0x738 write; 0x3d0 data",
        ],
        NVIDIA,
        VGA,
        &[("NVIDIA ports 3D0h and 3D4h", NoLegacyPorts)],
    ),
    row(
        ["cfg_window", "0x10de", "ANY", "BAR5 (I/O)", "master 0x0; enable 0x4; addr 0x8; data 0xc"],
        NVIDIA,
        VGA,
        &[("NVIDIA window", NoPorts { bar: 5 })],
    ),
    row(
        ["cfg_mirror", "0x10de", "ANY", "BAR0 (MMIO)", "0x88000"],
        NVIDIA,
        VGA,
        &[
            ("NVIDIA mirror", view(0, 0x8_8000, 0x1000, 0)),
            // That these pass, and nothing else, is a test of the library's own.
            ("NVIDIA interrupt, to NV50", view(0, 0x8_8000, 0x1000, 0)),
            ("NVIDIA interrupt, from G84", view(0, 0x8_8000, 0x1000, 0)),
            ("NVIDIA interrupt, from GF100", view(0, 0x8_8000, 0x1000, 0)),
        ],
    ),
    row(
        ["cfg_mirror", "0x10de", "ANY", "BAR0 (MMIO)", "0x1800"],
        NVIDIA,
        VGA,
        &[("NVIDIA old mirror", view(0, 0x1800, 0x100, 0))],
    ),
    row(
        ["cfg_mirror_other_dev", "0x10de", "ANY", "BAR0", "within same mirrors"],
        NVIDIA,
        VGA,
        &[
            ("NVIDIA others, old mirror", Closed { bar: 0, at: 0x1900, length: 0x700 }),
            ("NVIDIA others, audio", Closed { bar: 0, at: 0x8_a000, length: 0x1000 }),
        ],
    ),
    row(
        ["window", "0x10ec", "0x8168", "BAR2 (MMIO)", "data 0x70 / address 0x74"],
        R8169,
        ETHERNET,
        &[("RTL8168 ERI", Gate { bar: 2, at: 0x74, good: 0x8000_f0dc, bad: 0x8001_f000 })],
    ),
    row(
        [
            "cfg_window",
            "0x10ec",
            "0x8168 family (0x8168/0x8161/0x8136/0x8125...)",
            "BAR2 (MMIO) and I/O BAR0",
            "CSIDR 0x64 / CSIAR 0x68",
        ],
        R8169,
        ETHERNET,
        &[("RTL8168 CSI", Closed { bar: 2, at: 0x64, length: 8 }), ("RTL8168 ports", NoPorts { bar: 0 })],
    ),
    row(
        ["gfx_mirror", "0x8086", "IGD (class 0x0300 at 00:02.0)", "BAR0 (MMIO)", "0x108040"],
        IGD,
        VGA,
        &[("IGD GGC copy", view(0, 0x10_8040, 4, 0x50))],
    ),
    row(
        ["gfx_mirror", "0x8086", "IGD", "BAR0 (MMIO)", "0x1080C0"],
        IGD,
        VGA,
        &[("IGD BDSM copy", view(0, 0x10_80c0, 8, 0xc0))],
    ),
    row(
        ["cfg_reg", "0x8086", "IGD", "config 0xfc", "0xfc"],
        IGD,
        VGA,
        &[("IGD OpRegion", Hidden { from: 0xe0, to: 0x100 })],
    ),
    row(
        ["cfg_reg", "0x8086", "IGD", "config 0x50", "0x50"],
        IGD,
        VGA,
        &[("IGD GMCH", Hidden { from: 0x50, to: 0x54 })],
    ),
    row(
        ["cfg_reg", "0x8086", "IGD", "config 0x5c or 0xc0 (gen11+)", ""],
        IGD,
        VGA,
        &[("IGD BDSM", Hidden { from: 0x5c, to: 0x60 }), ("IGD BDSM", Hidden { from: 0xc0, to: 0xc8 })],
    ),
    row(
        ["window", "0x8086", "IGD gen<8 (SNB-BDW)", "BAR4 (I/O)", "addr 0x0 / data 0x4"],
        IGD,
        VGA,
        &[("IGD GTT window", NoPorts { bar: 4 })],
    ),
    row(
        ["cfg_window", "0x8086", "ixgbe 82599/X540", "BAR0 (MMIO)", "CIAA 0x11088 / CIAD 0x1108C"],
        &[(0x8086, 0x10fb), (0x8086, 0x1528), (0x8086, 0x1560)],
        ETHERNET,
        &[("ixgbe window, 82599", Closed { bar: 0, at: 0x1_1088, length: 8 })],
    ),
    row(
        ["cfg_window", "0x8086", "ixgbe X550/X550EM", "BAR0 (MMIO)", "CIAA 0x11508 / CIAD 0x11510"],
        &[(0x8086, 0x1563), (0x8086, 0x15ac), (0x8086, 0x15e5)],
        ETHERNET,
        &[("ixgbe window, X550", Closed { bar: 0, at: 0x1_1508, length: 0xc })],
    ),
    row(
        ["cfg_window", "0x8086", "i40e X710/XL710/X722", "BAR0 (MMIO)", "PF_PCI_CIAA 0x9C080 / CIAD 0x9C100"],
        &[(0x8086, 0x1572), (0x8086, 0x1583), (0x8086, 0x37d0)],
        ETHERNET,
        &[("i40e window", Closed { bar: 0, at: 0x9_c100, length: 4 })],
    ),
    row(
        ["cfg_window", "0x8086", "ice E810", "BAR0 (MMIO)", "PF_PCI_CIAA 0x9E580 / CIAD 0x9E500"],
        &[(0x8086, 0x1592), (0x8086, 0x159b)],
        ETHERNET,
        &[("ice window", Closed { bar: 0, at: 0x9_e500, length: 4 })],
    ),
    row(
        ["mmio_window", "0x8086", "e1000/e1000e/igb family", "I/O BAR", "IOADDR 0x0 / IODATA 0x4"],
        &[(0x8086, 0x100e), (0x8086, 0x10d3), (0x8086, 0x1521)],
        ETHERNET,
        &[("e1000 ports", NoPortsBesideBar0)],
    ),
    row(
        ["vmd_shadow", "0x8086", "0x201d 0x467f 0x4c3d 0x9a0b", "BAR4 MEMBAR2", "0x2000"],
        &[(0x8086, 0x201d), (0x8086, 0x467f), (0x8086, 0x4c3d), (0x8086, 0x9a0b)],
        RAID,
        &[("VMD", Refused(Reasons::OWN_BUS))],
    ),
    row(
        [
            "cfg_to_bar_window",
            "0x14e4",
            "tg3 (BCM57xx)",
            "config space",
            "REG_BASE 0x78 / REG_DATA 0x80; MEM_WIN_BASE 0x7c / MEM_WIN_DATA 0x84; MISC_HOST_CTRL 0x68",
        ],
        &[(0x14e4, 0x165f)],
        ETHERNET,
        &[("tg3 windows", Hidden { from: 0x68, to: 0x6c }), ("tg3 windows", Hidden { from: 0x78, to: 0x88 })],
    ),
    row(
        [
            "cfg_to_bar_window",
            "0x14e4",
            "bnx2 (5706/5708/5709)",
            "config space",
            "REG_WINDOW_ADDRESS 0x78 / REG_WINDOW 0x80",
        ],
        &[(0x14e4, 0x1639)],
        ETHERNET,
        &[("bnx2 window", Hidden { from: 0x78, to: 0x84 })],
    ),
    row(
        [
            "cfg_to_bar_window",
            "0x14e4",
            "bnx2x (5771x/578xx)",
            "config space",
            "GRC_ADDRESS 0x78 / GRC_DATA 0x80",
        ],
        &[(0x14e4, 0x168e)],
        ETHERNET,
        &[("bnx2x window", Hidden { from: 0x78, to: 0x84 })],
    ),
    row(
        ["cfg_mirror", "0x14e4", "bnx2x", "BAR0 (MMIO)", "0x2000 (PCICFG_OFFSET)"],
        &[(0x14e4, 0x164e), (0x14e4, 0x168e), (0x14e4, 0x16a1)],
        ETHERNET,
        &[("bnx2x mirror", view(0, 0x2000, 0x1000, 0))],
    ),
    row(
        [
            "cfg_window",
            "0x14e4",
            "brcmfmac PCIe Wi-Fi (BCM43xx)",
            "BAR0 (core window)",
            "PCIe core CONFIGADDR 0x120 / CONFIGDATA 0x124",
        ],
        &[(0x14e4, 0x43a3)],
        WIRELESS,
        &[("brcmfmac window", Refused(Reasons::MOVING_WINDOW))],
    ),
    row(
        [
            "cfg_bar_steer",
            "0x14e4",
            "bcma/ssb Wi-Fi",
            "config space",
            "BAR0_WIN 0x80; BAR1_WIN 0x84; BAR1_CONTROL 0x8c; BAR0_WIN2 0xAC",
        ],
        &[(0x14e4, 0x4331)],
        WIRELESS,
        &[
            ("bcma and ssb windows", Hidden { from: 0x80, to: 0x90 }),
            ("bcma and ssb windows", Hidden { from: 0xac, to: 0xb0 }),
        ],
    ),
    row(
        ["cfg_window", "0x1425", "cxgb4 T4/T5/T6", "BAR0 (MMIO)", "PCIE_CFG_SPACE_REQ 0x3060 / DATA 0x3064"],
        &[(0x1425, 0x4401), (0x1425, 0x5410), (0x1425, 0x6401)],
        ETHERNET,
        &[("cxgb4 window", Closed { bar: 0, at: 0x3060, length: 8 })],
    ),
    row(
        [
            "cfg_mirror",
            "0x11ab",
            "sky2 Yukon-2 (0x4340-0x436d ...)",
            "BAR0 (MMIO)",
            "Y2_CFG_SPC 0x1c00 and AER 0x1d00",
        ],
        &[(0x11ab, 0x4340), (0x11ab, 0x436d), (0x11ab, 0x4380)],
        ETHERNET,
        &[("sky2 copy", view(0, 0x1c00, 0x200, 0))],
    ),
    row(
        ["cfg_mirror", "0x11ab/0x1148", "skge Yukon", "BAR0 (MMIO)", "B7_CFG_SPC 0x0380"],
        &[(0x11ab, 0x4320), (0x1148, 0x4320)],
        ETHERNET,
        &[("skge copy", view(0, 0x380, 0x80, 0))],
    ),
    row(
        [
            "cfg_gateway",
            "0x15b3",
            "mlx5 (ConnectX-4+)",
            "config space vendor capability 0x09",
            "ctrl +0x4; counter +0x8; semaphore +0xc; addr +0x10; data +0x14",
        ],
        &[(0x15b3, 0x1017)],
        ETHERNET,
        &[("mlx5 gateway", HiddenCapability { body: &[0x18; 0x16] })],
    ),
    row(
        [
            "cfg_gateway",
            "0x1af4",
            "virtio-pci modern",
            "config space vendor capability cfg_type 5 (VIRTIO_PCI_CAP_PCI_CFG)",
            "bar +0x4; offset +0x8; length +0xc; data +0x10",
        ],
        &[(0x1af4, 0x1041)],
        ETHERNET,
        &[(
            "virtio window",
            HiddenCapability { body: &[0x14, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
        )],
    ),
    row(
        ["cfg_reset", "0x1002", "Bonaire/Hawaii list", "config 0x7c", "0x7c"],
        RADEON,
        VGA,
        &[("Radeon reset", Hidden { from: 0x7c, to: 0x80 })],
    ),
    row(
        [
            "index_data",
            "0x1002",
            "amdgpu",
            "BAR5 (MMIO)",
            "PCIE_INDEX 0x38 / PCIE_DATA 0x3c (varies by asic); SMC index 0x200/data 0x204",
        ],
        &[(0x1002, 0x67be), (0x1002, 0x73bf)],
        VGA,
        &[("amdgpu index and data", Refused(Reasons::INDEXED_REGISTERS))],
    ),
    row(
        [
            "cfg_window",
            "0x19a2/0x10df",
            "be2net BE2/BE3/Skyhawk",
            "pcicfg BAR (BAR1 or part of BAR0)",
            "PCICFG_* offsets = config offsets (0x44;0xa0-0xb4;0xfc)",
        ],
        &[(0x19a2, 0x0211), (0x19a2, 0x0710), (0x10df, 0x0720)],
        ETHERNET,
        &[("be2net", Refused(Reasons::UNKNOWN_PLACE))],
    ),
];

const MEMORY: BarInfo = BarInfo { kind: BarKind::Memory32, size: 0x100_0000, trapped: false };

fn bars(number: u8, kind: BarKind) -> [BarInfo; 6] {
    let mut bars = [MEMORY; 6];
    bars[usize::from(number)].kind = kind;
    bars
}

/// Whether the pages with these bytes are left out.
fn is_left_out(subject: Subject<'_>, bar: u8, at: u64, length: u64) -> bool {
    let mut pages = at >> 12..=(at + length - 1) >> 12;
    pages.all(|page| holes(subject).any(|hole| hole.bar == bar && (hole.first..=hole.last).contains(&page)))
}

/// The guest's device: all bytes behind the header are a5, and those of a capability.
fn given(identity: &Identity, capability: &[u8]) -> Machine {
    let mut device = Device::endpoint(identity.vendor, identity.device);
    device.set(0x08, Width::Dword, identity.class);
    for offset in (0x40..0x100).step_by(4) {
        device.set(offset, Width::Dword, 0xa5a5_a5a5);
        device.allow(offset, Width::Dword, u32::MAX);
    }
    if !capability.is_empty() {
        device = device.with_capability(0x40, 0x09, capability);
    }
    let mut machine = Machine::default();
    machine.give(device, [None; 7]);
    machine
}

fn assert_hidden(machine: &mut Machine, from: u16, to: u16) {
    for offset in (from..to).step_by(4) {
        assert_eq!(machine.read(0, offset, 4), 0, "{offset:02x}");
        machine.write(0, offset, 4, 0x39d5_e86b);
        assert_eq!(machine.read(0, offset, 4), 0, "{offset:02x} after a write");
        let held = machine.device(0).get(offset, Width::Dword);
        assert_ne!(held, 0x39d5_e86b, "{offset:02x} of the device");
    }
}

fn check(identity: &Identity, done: Done) {
    let with = |bars: &[BarInfo; 6], check: &dyn Fn(Subject<'_>)| check(Subject { identity, bars });
    match done {
        View { bar, kind, at, length, config } => with(&bars(bar, kind), &|subject| {
            assert!(is_left_out(subject, bar, at, length));
            let offset = |from: u64| config + u16::try_from(from).expect("a small number");
            for from in (0..length).step_by(4) {
                let read = way(subject, bar, at + from, Width::Dword, None);
                assert_eq!(read, Way::View(offset(from)));
                let last = way(subject, bar, at + from + 3, Width::Byte, Some(0));
                assert_eq!(last, Way::View(offset(from + 3)));
            }
        }),
        Closed { bar, at, length } => with(&bars(bar, BarKind::Memory64), &|subject| {
            assert!(is_left_out(subject, bar, at, length));
            for offset in at..at + length {
                for written in [None, Some(0), Some(0xff)] {
                    assert_eq!(way(subject, bar, offset, Width::Byte, written), Way::Closed);
                }
            }
        }),
        Gate { bar, at, good, bad } => with(&bars(bar, BarKind::Memory64), &|subject| {
            assert!(is_left_out(subject, bar, at, 4));
            assert_eq!(way(subject, bar, at, Width::Dword, Some(good)), Way::Device);
            assert_eq!(way(subject, bar, at, Width::Dword, Some(bad)), Way::Closed);
            // No bad value is put together from parts.
            for offset in at..at + 4 {
                assert_eq!(way(subject, bar, offset, Width::Byte, Some(good)), Way::Closed);
            }
        }),
        NoPorts { bar } => with(&bars(bar, BarKind::Io), &|subject| {
            assert_eq!(ports(subject), 1 << bar);
        }),
        NoPortsBesideBar0 => {
            let mut bars = bars(2, BarKind::Io);
            with(&bars, &|subject| assert_eq!(ports(subject), 0));
            bars[0].trapped = true;
            with(&bars, &|subject| assert_eq!(ports(subject), 1 << 2));
        }
        // Such ports are in no BAR, and nothing maps them: the row `mirror` of `boot --guest` reads them.
        NoLegacyPorts => {}
        Hidden { from, to } => assert_hidden(&mut given(identity, &[]), from, to),
        HiddenCapability { body } => {
            let mut machine = given(identity, body);
            assert_eq!(machine.read(0, 0x34, 1), 0, "the list");
            assert_hidden(&mut machine, 0x40, 0x42 + u16::try_from(body.len()).expect("a small number"));
        }
        Refused(reasons) => with(&[MEMORY; 6], &|subject| assert_eq!(refused(subject), reasons)),
    }
}

/// Whether a mirror is for a function, and does `done`.
fn is_choice(mirror: &Mirror, identity: &Identity, done: Done) -> bool {
    let same = match done {
        View { .. } | Closed { .. } | Gate { .. } => matches!(mirror.choice, Choice::Bytes { .. }),
        NoPorts { .. } => mirror.choice == Choice::NoPorts,
        NoPortsBesideBar0 => mirror.choice == Choice::NoPortsBesideBar0,
        NoLegacyPorts => mirror.choice == Choice::NoLegacyPorts,
        Hidden { .. } | HiddenCapability { .. } => mirror.choice == Choice::Hidden,
        Refused(reasons) => mirror.choice == Choice::Refused(reasons),
    };
    let of = mirror.vendor == identity.vendor && mirror.ids.contains(identity.device);
    same && of && mirror.when.holds(identity)
}

#[test]
fn every_row_of_the_list_has_an_answer() {
    let list = corpus::list::<10>("bar-mirrors.csv");
    let rows =
        list.iter().map(|[kind, vendor, device, _, space, offset, ..]| [kind, vendor, device, space, offset]);
    let listed: Vec<[&str; 5]> = rows.map(|row| row.map(String::as_str)).collect();
    assert_eq!(listed.len(), 37);
    let known: Vec<[&str; 5]> = ROWS.iter().map(|row| row.list).collect();
    assert_eq!(listed, known, "in order");
}

#[test]
fn every_answer_is_what_is_done() {
    for row in ROWS {
        for (vendor, device) in row.devices {
            let (class, traits) = (row.class << 8, Traits::ROOT_BUS);
            let identity =
                Identity { vendor: *vendor, device: *device, class, traits, ..Identity::default() };
            for (name, done) in row.done {
                let does = |known: &&quirks::mirrors::Known| {
                    known.name == *name && is_choice(&known.mirror, &identity, *done)
                };
                assert!(KNOWN.iter().any(|known| does(&known)), "{name}: {identity:x?}");
                check(&identity, *done);
            }
        }
    }
}

#[test]
fn every_mirror_is_in_the_list() {
    let answers: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.done).map(|(name, _)| *name).collect();
    let mirrors: BTreeSet<&str> = KNOWN.iter().map(|known| known.name).collect();
    assert_eq!(mirrors, answers);
}
