//! The extended capabilities, those with fields for a guest each in a file (PCIe 7.6 to 7.9).

use crate::policy::{Length, Policy};

/// What an ID without a capability gets.
const RESERVED: Policy =
    Policy::hidden("reserved", "PCI Code and ID Assignment 3", Length::Open, "no capability");

/// The policies, by ID.
pub const POLICIES: [Policy; 0x3b] = [RESERVED; 0x3b];
