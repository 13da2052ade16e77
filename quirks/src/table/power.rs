//! Power states: delays, and states to keep out of.

use super::identity::Traits;
use super::row::{Known, Says, When, one};
use crate::Flags;
use Says::{D3coldDelay, D3hotDelay, D3hotDelayOfAll};

const ALWAYS: When = When::ALWAYS;
const DOWNSTREAM_PORT: When = When::has(Traits::DOWNSTREAM_PORT);

const NO_D3: Says = Says::Flags(Flags::NO_D3);

pub(super) const ROWS: &[Known] = &[
    one(0x1002, 0x6741, ALWAYS.subsystem(0x00e2_106b), D3hotDelay(20), "Apple's Radeon is slow to wake up"),
    one(0x1022, 0x15e0, ALWAYS, D3hotDelay(20), "Ryzen's xHCI is slow to wake up"),
    one(0x1022, 0x15e1, ALWAYS, D3hotDelay(20), "Ryzen's xHCI is slow to wake up"),
    one(0x1022, 0x1639, ALWAYS, D3hotDelay(20), "Ryzen's xHCI is slow to wake up"),
    one(0x10b5, 0x8532, DOWNSTREAM_PORT, NO_D3, "an idle port in D3hot takes the switch with it"),
    one(0x10b5, 0x8533, DOWNSTREAM_PORT, NO_D3, "an idle port in D3hot takes the switch with it"),
    one(0x10b5, 0x8548, DOWNSTREAM_PORT, NO_D3, "an idle port in D3hot takes the switch with it"),
    one(0x5555, 0x0004, ALWAYS, D3coldDelay(1000), "is not there within 100 ms"),
    one(0x8086, 0x0412, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x0c00, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x0c0c, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x2280, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x2298, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x229c, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22b0, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22b5, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22b7, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22b8, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22d8, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x22dc, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x25e2, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25e3, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25e4, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25e5, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25e6, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25e7, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25f7, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25f8, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25f9, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x25fa, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2601, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2602, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2603, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2604, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2605, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2606, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2607, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2608, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x2609, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x260a, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x260b, ALWAYS, D3hotDelayOfAll(120), "a port of its chip set is slow, for all devices"),
    one(0x8086, 0x8c02, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c18, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c1c, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c20, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c22, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c26, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c2d, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c31, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c3a, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c3d, ALWAYS, D3hotDelay(0), "needs no delay"),
    one(0x8086, 0x8c4e, ALWAYS, D3hotDelay(0), "needs no delay"),
];
