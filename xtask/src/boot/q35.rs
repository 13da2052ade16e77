//! The rows of `boot --q35`: guests with the MCH, and with device-model servers beside it.

use super::guest::{
    rows::TINY,
    scenario::{Presence, Row, Server, System, Table},
};

/// All of them, in their order.
pub(super) const TABLE: Table = Table { name: "q35", rows: ROWS };

const ROWS: &[Row] = &[Row {
    name: "servers",
    system: System::Tiny("role=guest"),
    devices: &[],
    options: "--no-vpci",
    servers: &[
        Server { presence: Presence::Stays, functions: "00:05.0", extended: true },
        Server { presence: Presence::Stays, functions: "00:06.0", extended: false },
    ],
    ..TINY
}];
