//! The rows of `boot --q35`: guests with the MCH, and with device-model servers beside it.

use super::guest::{
    rows::{LINUX, TINY},
    scenario::{End, Place, Presence, Row, Server, System, Table},
};

/// All of them, in their order.
pub(super) const TABLE: Table = Table { name: "q35", rows: ROWS };

/// What holds in every guest with the MCH.
const CHECKS: &[&str] = &[
    "initial",
    "identity",
    "ports-and-ecam",
    "widths",
    "lengths",
    "moves",
    "partial-writes",
    "over-ram",
    "locks",
    "end",
];
/// Beside servers.
const BESIDE: &[&str] = &["served", "extended", "refused-claims", "hand-over"];
/// With devices.
const DRIVEN: &[&str] = &["extended-capabilities", "io", "over-bar"];

/// What a toolstack may not ask of Xen (`loader/q35_refusals.c`).
const REFUSALS: &[&str] = &[
    "window-over-ram",
    "window-over-high-ram",
    "window-over-apics",
    "reserved-length",
    "not-aligned-to-length",
    "not-aligned-to-64-mib",
    "reserved-bit",
    "window-above-64-gib",
    "low-ram-beyond-4-gib",
    "high-ram-below-4-gib",
    "domain-without-mch",
    "no-such-server",
    "unknown-server-flag",
    "mch-without-local-apic",
    "mch-with-half-of-hvm",
    "mch-after-start",
];
/// States that no MCH can have been in (`loader/context.c`).
const SPOILED: &[&str] = &[
    "magic",
    "newer-version",
    "length",
    "vendor",
    "window-elsewhere",
    "something-reserved",
    "byte-more",
    "byte-less",
];

const MCH: Row = Row {
    system: System::Tiny("role=q35 pciexbar=e0000001"),
    devices: &[],
    options: "--q35 --pciexbar 0xe0000001",
    checks: &[CHECKS],
    ..TINY
};

const EXTENDED: Server = Server { presence: Presence::Stays, functions: "00:05.0", extended: true };
const SMALL: Server = Server { presence: Presence::Stays, functions: "00:06.0", extended: false };
const VISITOR: Server = Server { presence: Presence::Visits, functions: "00:07.0", extended: true };

/// One that the guests' drivers work, and one that has an extended capability which guests may see.
const DEVICES: &[Place] = &[("nvme0", Some("4.0")), ("e1000e", Some("8.0"))];

const fn refused(functions: &'static str) -> Server {
    Server { presence: Presence::Refused, functions, extended: false }
}

/// The host bridge, what another server has, a range with such a function in it.
const SERVERS: &[Server] =
    &[EXTENDED, SMALL, refused("00:00.0"), refused("00:05.0"), refused("00:04.0-00:06.7")];

const SERVED: Row = Row {
    system: System::Tiny("role=q35 pciexbar=e0000001 servers=00:05.0:ext,00:06.0"),
    servers: SERVERS,
    checks: &[CHECKS, BESIDE],
    ..MCH
};

const ROWS: &[Row] = &[
    // What devices and their drivers cost once, this one's do.
    Row { name: "mch", devices: DEVICES, checks: &[CHECKS, DRIVEN], ..MCH },
    Row { name: "servers", ..SERVED },
    Row {
        name: "come-and-go",
        system: System::Tiny("role=q35 pciexbar=e0000001 servers=00:05.0:ext visitor=00:07.0:ext*2"),
        servers: &[EXTENDED, VISITOR, VISITOR],
        checks: &[CHECKS, &["come", "served", "extended", "release", "leave"]],
        ..MCH
    },
    Row {
        name: "with-nvme",
        devices: DEVICES,
        servers: &[EXTENDED, SMALL, refused("00:04.0"), refused("00:03.0-00:04.0")],
        checks: &[CHECKS, BESIDE, DRIVEN],
        ..SERVED
    },
    // Not even vPCI is there.
    Row { name: "alone", options: "--q35 --pciexbar 0xe0000001 --no-vpci", ..SERVED },
    Row { name: "hvm", options: "--q35 --pciexbar 0xe0000001 --hvm", ..SERVED },
    Row {
        name: "save",
        system: System::Tiny("role=q35 save pciexbar=e0000001"),
        options: "--q35 --pciexbar 0xe0000001 --save /tmp/mch",
        end: End::Killed,
        checks: &[&["saved"]],
        ..MCH
    },
    Row {
        name: "restored",
        system: System::Tiny("role=q35 restored"),
        options: "--q35 --pciexbar 0xe0000001 --restore /tmp/mch",
        checks: &[&["restored"]],
        ..MCH
    },
    // What was refused has left nothing behind.
    Row {
        name: "spoiled",
        options: "--q35 --pciexbar 0xe0000001 --restore /tmp/mch --spoil",
        checks: &[CHECKS, SPOILED],
        ..MCH
    },
    Row {
        name: "refused",
        options: "--q35 --pciexbar 0xe0000001 --refusals",
        checks: &[CHECKS, REFUSALS],
        ..MCH
    },
    Row {
        name: "linux",
        system: System::Linux { fill: true, words: "mch=1" },
        devices: DEVICES,
        options: "--q35 --pciexbar 0xe0000001",
        checks: &[
            &["host-bridge", "mcfg", "ecam", "iomem", "config-size", "extended-capabilities"],
            &["host-data", "filled", "interrupts"],
        ],
        ..LINUX
    },
];
