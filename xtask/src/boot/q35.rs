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
/// As above, beside servers.
const BESIDE: &[&str] = &[
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
    "served",
    "extended",
    "refused-claims",
    "hand-over",
];

const MCH: Row = Row {
    system: System::Tiny("role=q35 pciexbar=e0000001"),
    devices: &[],
    options: "--q35 --pciexbar 0xe0000001",
    checks: CHECKS,
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
    checks: BESIDE,
    ..MCH
};

const ROWS: &[Row] = &[
    // What devices and their drivers cost once, this one's do.
    Row { name: "mch", devices: DEVICES, ..MCH },
    Row { name: "servers", ..SERVED },
    Row {
        name: "come-and-go",
        system: System::Tiny("role=q35 pciexbar=e0000001 servers=00:05.0:ext visitor=00:07.0:ext*2"),
        servers: &[EXTENDED, VISITOR, VISITOR],
        checks: &["come", "release", "leave"],
        ..MCH
    },
    Row {
        name: "with-nvme",
        devices: DEVICES,
        servers: &[EXTENDED, SMALL, refused("00:04.0"), refused("00:03.0-00:04.0")],
        checks: &[
            "initial",
            "identity",
            "ports-and-ecam",
            "served",
            "refused-claims",
            "extended-capabilities",
            "io",
            "end",
        ],
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
        checks: &["saved"],
        ..MCH
    },
    Row {
        name: "restored",
        system: System::Tiny("role=q35 restored"),
        options: "--q35 --pciexbar 0xe0000001 --restore /tmp/mch",
        checks: &["restored"],
        ..MCH
    },
    // What was refused has left nothing behind.
    Row {
        name: "spoiled",
        options: "--q35 --pciexbar 0xe0000001 --restore /tmp/mch --spoil",
        denied: &[
            "a record with another magic",
            "a record with a newer version",
            "a record with another length",
            "a record with another vendor",
            "a record with a window that the register does not have",
            "a record with something reserved",
            "a record with a byte more",
            "a record with a byte less",
        ],
        ..MCH
    },
    Row {
        name: "refused",
        options: "--q35 --pciexbar 0xe0000001 --denials",
        denied: &[
            "a window over RAM",
            "a window over RAM above 4 GiB",
            "a window over the interrupt controllers",
            "a window of the reserved length",
            "a window that is not aligned to its length",
            "a window that is not aligned to 64 MiB",
            "a reserved bit of PCIEXBAR",
            "a window above 64 GiB",
            "low RAM beyond 4 GiB",
            "high RAM below 4 GiB",
            "the MCH of a domain without",
            "a server that cannot be",
            "an unknown flag of a server",
            "a domain with the MCH and no local APIC",
            "a domain with the MCH and half of an HVM guest's devices",
            "another MCH for a guest that has run",
        ],
        ..MCH
    },
    Row {
        name: "linux",
        system: System::Linux { fill: true, words: "mch=1" },
        devices: DEVICES,
        options: "--q35 --pciexbar 0xe0000001",
        checks: &[
            "host-bridge",
            "mcfg",
            "ecam",
            "iomem",
            "config-size",
            "extended-capabilities",
            "host-data",
            "filled",
            "interrupts",
        ],
        ..LINUX
    },
];
