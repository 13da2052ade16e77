//! The extended capabilities, those with fields for a guest each in a file (PCIe 7.6 to 7.9).

pub mod control;
pub mod error;
mod hidden;
pub mod serial;

use crate::policy::{Act, Control, Field, Policy, Treatment};

/// Bits 15:0 of the header (PCIe 7.6.3).
pub(crate) const ID: Field =
    Field::new("PCI Express Extended Capability ID", 0x00, 0xffff, Treatment::Snapshot).host(Control::Pinned);
/// Bits 19:16 of the header.
pub(crate) const VERSION: Field =
    Field::new("Capability Version", 0x02, 0x000f, Treatment::Snapshot).host(Control::Pinned);
/// Bits 31:20 of the header.
pub(crate) const NEXT: Field =
    Field::new("Next Capability Offset", 0x02, 0xfff0, Treatment::Engine(Act::Link)).host(Control::Pinned);

/// The policies, by ID.
pub const POLICIES: [Policy; 0x3b] = [
    hidden::NULL,
    error::POLICY,
    hidden::VIRTUAL_CHANNEL,
    serial::POLICY,
    hidden::POWER_BUDGETING,
    hidden::ROOT_COMPLEX_LINK_DECLARATION,
    hidden::ROOT_COMPLEX_INTERNAL_LINK,
    hidden::EVENT_COLLECTOR_ASSOCIATION,
    hidden::MULTI_FUNCTION_VIRTUAL_CHANNEL,
    hidden::VIRTUAL_CHANNEL_WITH_MFVC,
    hidden::ROOT_COMPLEX_REGISTER_BLOCK,
    hidden::VENDOR_SPECIFIC,
    hidden::CONFIGURATION_ACCESS_CORRELATION,
    hidden::ACCESS_CONTROL_SERVICES,
    hidden::ALTERNATIVE_ROUTING_ID,
    hidden::ADDRESS_TRANSLATION_SERVICES,
    hidden::SINGLE_ROOT_IO_VIRTUALIZATION,
    hidden::MULTI_ROOT_IO_VIRTUALIZATION,
    hidden::MULTICAST,
    hidden::PAGE_REQUEST_INTERFACE,
    hidden::RESERVED_FOR_AMD,
    hidden::RESIZABLE_BAR,
    hidden::DYNAMIC_POWER_ALLOCATION,
    hidden::TPH_REQUESTER,
    hidden::LATENCY_TOLERANCE_REPORTING,
    hidden::SECONDARY_PCI_EXPRESS,
    hidden::PROTOCOL_MULTIPLEXING,
    hidden::PROCESS_ADDRESS_SPACE_ID,
    hidden::LN_REQUESTER,
    hidden::DOWNSTREAM_PORT_CONTAINMENT,
    hidden::L1_PM_SUBSTATES,
    hidden::PRECISION_TIME_MEASUREMENT,
    hidden::PCI_EXPRESS_OVER_M_PHY,
    hidden::FRS_QUEUEING,
    hidden::READINESS_TIME_REPORTING,
    hidden::DESIGNATED_VENDOR_SPECIFIC,
    hidden::VF_RESIZABLE_BAR,
    hidden::DATA_LINK_FEATURE,
    hidden::PHYSICAL_LAYER_16_GT,
    hidden::LANE_MARGINING,
    hidden::HIERARCHY_ID,
    hidden::NATIVE_ENCLOSURE_MANAGEMENT,
    hidden::PHYSICAL_LAYER_32_GT,
    hidden::ALTERNATE_PROTOCOL,
    hidden::SYSTEM_FIRMWARE_INTERMEDIARY,
    hidden::SHADOW_FUNCTIONS,
    hidden::DATA_OBJECT_EXCHANGE,
    hidden::DEVICE_3,
    hidden::INTEGRITY_AND_DATA_ENCRYPTION,
    hidden::PHYSICAL_LAYER_64_GT,
    hidden::FLIT_LOGGING,
    hidden::FLIT_PERFORMANCE_MEASUREMENT,
    hidden::FLIT_ERROR_INJECTION,
    hidden::STREAMLINED_VIRTUAL_CHANNEL,
    hidden::MMIO_REGISTER_BLOCK_LOCATOR,
    hidden::NOP_FLIT,
    hidden::SCALABLE_IO_VIRTUALIZATION,
    hidden::PHYSICAL_LAYER_128_GT,
    hidden::CAPTURED_DATA,
];
