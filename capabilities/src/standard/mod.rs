//! The standard capabilities, those with fields for a guest each in a file with its registers and its policy
//! (PCIe 7.5 to 7.9).

pub mod advanced;
pub mod express;
mod hidden;
pub mod msi;
pub mod msix;
pub mod pci_x;
pub mod pm;
pub mod sata;
pub mod subsystem;
pub mod vpd;

use crate::policy::{Act, Control, Field, Policy, Treatment};

/// The first byte of each capability (PCI 6.7).
pub(crate) const ID: Field =
    Field::new("Capability ID", 0x00, 0xff, Treatment::Snapshot).host(Control::Pinned);
/// The second byte of each capability (PCI 6.7).
pub(crate) const NEXT: Field =
    Field::new("Next Capability Pointer", 0x01, 0xff, Treatment::Engine(Act::Link)).host(Control::Pinned);

/// The policies, by ID.
pub const POLICIES: [Policy; 0x16] = [
    hidden::NULL,
    pm::POLICY,
    hidden::AGP,
    vpd::POLICY,
    hidden::SLOT_IDENTIFICATION,
    msi::POLICY,
    hidden::HOT_SWAP,
    hidden::PCI_X,
    hidden::HYPERTRANSPORT,
    hidden::VENDOR,
    hidden::DEBUG_PORT,
    hidden::RESOURCE_CONTROL,
    hidden::HOT_PLUG,
    subsystem::POLICY,
    hidden::AGP_8X,
    hidden::SECURE_DEVICE,
    express::POLICY,
    msix::POLICY,
    sata::POLICY,
    advanced::POLICY,
    hidden::ENHANCED_ALLOCATION,
    hidden::FLATTENING_PORTAL_BRIDGE,
];
