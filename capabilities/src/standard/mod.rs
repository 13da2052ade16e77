//! The standard capabilities, each in a file with its registers and its policy (PCIe 7.5 to 7.9).

pub mod pm;

use crate::policy::{Length, Policy};

/// What an ID without a capability gets.
const RESERVED: Policy =
    Policy::hidden("reserved", "PCI Code and ID Assignment 2", Length::Open, "no capability");

/// The policies, by ID.
pub const POLICIES: [Policy; 0x16] = [
    RESERVED,
    pm::POLICY,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
];
