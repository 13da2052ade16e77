//! The rows of `boot --guest`.

use super::scenario::{End, Place, Row, System, Table};
use crate::boot::machine::Iommu;

/// The row that is asked about by Xen's console key while its guest lives.
pub(super) const CONSOLE_KEY: &str = "console-key";

/// Our own kernel with one device.
pub(in crate::boot) const TINY: Row = Row {
    name: "",
    system: System::Tiny("role=guest"),
    devices: &[("nvme0", None)],
    vcpus: 1,
    times: 1,
    only: None,
    beside: false,
    back: false,
    end: End::Poweroff,
    checks: &[],
    refused: &[],
    options: "",
    servers: &[],
};

/// Each of them is tried, whatever the device.
const ALWAYS: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt"];
/// As above, of a device with MSI-X. What asks for a reset is not refused where the device has one.
const MSIX: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt", "msix-access"];
/// As above, of one that has no function-level reset.
const CARD: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt", "msix-access", "reset"];

/// The first and the last abuse.
const ABUSED: &[&str] = &["35-absent-functions", "38-refusal-flood"];

const HOSTILE: Row =
    Row { system: System::Tiny("role=guest hostile"), checks: &[ABUSED], refused: MSIX, ..TINY };

const DYING: Row = Row { system: System::Tiny("role=guest hostile die"), end: End::Crash, ..HOSTILE };

const AHCI: &[Place] = &[("ahci", None)];
/// It is part of the chip set, and nothing resets it.
const UNRESET: &str = "--unreset";
const E1000E: &[Place] = &[("e1000e", None)];

/// Debian's with an `NVMe` controller. Without a host bridge on bus 0 it has to be told of mechanism 1.
pub(in crate::boot) const LINUX: Row = Row {
    system: System::Linux { fill: false, words: "pci=conf1" },
    checks: &[&["host-data", "filled", "interrupts"]],
    ..TINY
};

/// All of them, in their order.
pub(in crate::boot) const TABLE: Table = Table { name: "guest", rows: ROWS };

const ROWS: &[Row] = &[
    // What dom0 and Xen take for guests once and for all, they take for these.
    Row {
        name: "first",
        devices: &[("nvme0", Some("4.0")), ("ahci", Some("4.3")), ("e1000e", Some("1f"))],
        options: UNRESET,
        times: 3,
        ..TINY
    },
    Row { name: "nvme", ..HOSTILE },
    Row { name: "ahci", devices: AHCI, options: UNRESET, refused: ALWAYS, ..HOSTILE },
    Row { name: "e1000e", devices: E1000E, refused: CARD, ..HOSTILE },
    // QEMU's AMD IOMMU takes all devices behind ports for those of bus 0, whose numbers they have before firmware comes.
    Row { name: "behind-a-port", devices: &[("nvme1", Some("2"))], only: Some(Iommu::Intel), ..HOSTILE },
    // QEMU's table for AMD's IOMMU does not have the function, and Xen remaps no interrupts of one that is not there.
    Row {
        name: "virtual-function",
        devices: &[("nvme2-vf", None)],
        system: System::Tiny("role=guest hostile ids=00101b36"),
        only: Some(Iommu::Intel),
        checks: &[ABUSED, &["ids"]],
        ..HOSTILE
    },
    Row {
        name: "firmware",
        devices: &[("nvme0", None), ("ahci", None), ("e1000e", None)],
        system: System::Tiny("role=guest firmware"),
        options: "--firmware-bars --unreset",
        checks: &[&["firmware"]],
        refused: &["bar-moved"],
        ..TINY
    },
    // Its registers are in BAR 2 as well: the guest finds there what configuration space shows it.
    Row {
        name: "mirror",
        devices: &[("ati", None)],
        options: UNRESET,
        checks: &[&["mirror", "legacy-ports"]],
        refused: &["bar-moved"],
        ..TINY
    },
    // Address Map Register (ICH9 datasheet, 15.1.31): the mode, which is AHCI.
    Row {
        name: "rule",
        devices: AHCI,
        system: System::Tiny("role=guest shows=90:40"),
        options: "--unreset --vpd /vpd --show 90:ff --refusals",
        checks: &[&[
            "own-bytes",
            "rule-for-a-bar",
            "rule-for-msi",
            "too-much-vpd",
            "most-vpd",
            "slot-taken",
            "without-a-reset",
        ]],
        refused: &["hidden-write"],
        ..TINY
    },
    Row {
        name: CONSOLE_KEY,
        system: System::Tiny("role=guest hostile stay"),
        options: "--meanwhile \"echo ask refusals >&3; read -r answer <&3\"",
        end: End::Killed,
        ..HOSTILE
    },
    Row { name: "nvme-dies", times: 4, ..DYING },
    Row { name: "ahci-dies", devices: AHCI, options: UNRESET, refused: ALWAYS, times: 3, ..DYING },
    Row { name: "e1000e-dies", devices: E1000E, refused: CARD, times: 3, ..DYING },
    Row {
        name: "killed",
        devices: &[("nvme0", None), ("ahci", None), ("e1000e", None)],
        system: System::Tiny("role=guest stay"),
        options: UNRESET,
        times: 2,
        end: End::Killed,
        ..TINY
    },
    Row { name: "given-back", back: true, times: 2, checks: &[ABUSED, &["driven"]], ..HOSTILE },
    Row { name: "twenty", times: 20, ..TINY },
    Row { name: "one-of-two", beside: true, times: 2, ..HOSTILE },
    Row { name: "two-of-two", devices: &[("e1000e", Some("1e"))], refused: CARD, times: 2, ..HOSTILE },
    Row {
        name: "two-vcpus",
        vcpus: 2,
        devices: &[("nvme0", None), ("ahci", None)],
        system: System::Tiny("role=guest hammer"),
        options: UNRESET,
        checks: &[&["hammer", "storm"]],
        ..TINY
    },
    // Each of the two has ten resets while the other works.
    Row {
        name: "own-resets",
        devices: &[("nvme0", None), ("e1000e", None)],
        system: System::Tiny("role=guest reset times=a"),
        options: "--seconds 180",
        checks: &[&["own-flr", "own-pm-reset"]],
        ..TINY
    },
    Row {
        name: "linux-resets",
        system: System::Linux { fill: true, words: "pci=conf1 resets=5" },
        checks: &[&["host-data", "filled", "interrupts", "own-reset"]],
        ..LINUX
    },
    Row {
        name: "linux",
        system: System::Linux { fill: true, words: "pci=conf1" },
        end: End::Reboot,
        ..LINUX
    },
    Row { name: "linux-again", ..LINUX },
];
