//! PCI Express, capability 10h (PCIe 7.5.3).

use super::{ID, NEXT};
use crate::policy::{Act, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Hidden, Live, Snapshot, Virtual, VirtualSnapshot, WithReset};

/// PCI Express Capabilities, a word, relative to the capability (PCIe 7.5.3.2).
pub const FLAGS: u16 = 0x02;
/// Device Capabilities, a dword, relative to the capability (PCIe 7.5.3.3).
pub const DEVICE_CAPABILITIES: u16 = 0x04;
/// Device Control, a word, relative to the capability (PCIe 7.5.3.4).
pub const DEVICE_CONTROL: u16 = 0x08;
/// Device Status, a word, relative to the capability (PCIe 7.5.3.5).
pub const DEVICE_STATUS: u16 = 0x0a;
/// Link Capabilities, a dword, relative to the capability (PCIe 7.5.3.6).
pub const LINK_CAPABILITIES: u16 = 0x0c;
/// Link Control, a word, relative to the capability (PCIe 7.5.3.7).
pub const LINK_CONTROL: u16 = 0x10;
/// Link Status, a word, relative to the capability (PCIe 7.5.3.8).
pub const LINK_STATUS: u16 = 0x12;
/// Slot Capabilities, a dword, relative to the capability (PCIe 7.5.3.9).
pub const SLOT_CAPABILITIES: u16 = 0x14;
/// Slot Control, a word, relative to the capability (PCIe 7.5.3.10).
pub const SLOT_CONTROL: u16 = 0x18;
/// Slot Status, a word, relative to the capability (PCIe 7.5.3.11).
pub const SLOT_STATUS: u16 = 0x1a;
/// Root Control (PCIe 7.5.3.12).
pub const ROOT_CONTROL: u16 = 0x1c;
/// Root Capabilities (PCIe 7.5.3.13).
pub const ROOT_CAPABILITIES: u16 = 0x1e;
/// Device Capabilities 2, a dword, relative to the capability (PCIe 7.5.3.15).
pub const DEVICE_CAPABILITIES_2: u16 = 0x24;
/// Device Control 2, a word, relative to the capability (PCIe 7.5.3.16).
pub const DEVICE_CONTROL_2: u16 = 0x28;
/// Link Capabilities 2, a dword, relative to the capability (PCIe 7.5.3.18).
pub const LINK_CAPABILITIES_2: u16 = 0x2c;
/// Link Control 2, a word, relative to the capability (PCIe 7.5.3.19).
pub const LINK_CONTROL_2: u16 = 0x30;
/// Link Status 2, a word, relative to the capability (PCIe 7.5.3.20).
pub const LINK_STATUS_2: u16 = 0x32;

/// [`FLAGS`]: the port has a slot.
pub const SLOT_IMPLEMENTED: u16 = 1 << 8;
/// [`LINK_CAPABILITIES`]: [`LINK_ACTIVE`] says something.
pub const LINK_ACTIVE_REPORTING: u32 = 1 << 20;
/// [`LINK_CONTROL`]: ASPM Control.
pub const ASPM: u16 = 0x0003;
/// [`LINK_CONTROL`]: Retrain Link.
pub const RETRAIN_LINK: u16 = 1 << 5;
/// [`LINK_STATUS`]: Data Link Layer Link Active.
pub const LINK_ACTIVE: u16 = 1 << 13;
/// [`LINK_CAPABILITIES_2`]: Supported Link Speeds Vector, those above 5.0 GT/s.
pub const SPEEDS_ABOVE_5: u32 = 0xf8;
/// [`SLOT_CAPABILITIES`]: Hot-Plug Capable.
pub const HOT_PLUG_CAPABLE: u32 = 1 << 6;
/// [`SLOT_CONTROL`]: the enables of Presence Detect Changed and of Data Link Layer State Changed.
pub const SLOT_EVENTS: u16 = 1 << 3 | 1 << 12;
/// [`SLOT_STATUS`]: Presence Detect Changed and Data Link Layer State Changed, which a write of 1 clears.
pub const SLOT_CHANGES: u16 = 1 << 3 | 1 << 8;
/// [`SLOT_STATUS`]: Presence Detect State.
pub const PRESENCE_DETECT: u16 = 1 << 6;
/// Configuration RRS Software Visibility, in Root Capabilities.
pub const RRS_CAPABLE: u16 = 1 << 0;
/// Its enable bit, in Root Control.
pub const RRS_ENABLE: u16 = 1 << 4;
/// [`DEVICE_CAPABILITIES`]: Function Level Reset Capability.
pub const FUNCTION_LEVEL_RESET: u32 = 1 << 28;
/// [`DEVICE_CONTROL`]: Initiate Function Level Reset.
pub const INITIATE_FLR: u16 = 1 << 15;
/// [`DEVICE_STATUS`]: Transactions Pending.
pub const TRANSACTIONS_PENDING: u16 = 1 << 5;

/// What a function is, bits 7:4 of [`FLAGS`] (PCIe 7.5.3.2, Table 7-19).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortType {
    /// PCI Express Endpoint (0) or Legacy PCI Express Endpoint (1).
    Endpoint,
    /// Root Port (4).
    RootPort,
    /// Upstream (5) or Downstream Port (6) of a switch, or a bridge from or to conventional PCI (7, 8).
    Port,
    /// Root Complex Integrated Endpoint (9).
    IntegratedEndpoint,
    /// Root Complex Event Collector (10).
    EventCollector,
    /// A reserved encoding.
    Reserved,
}

impl PortType {
    /// What the function is whose register at [`FLAGS`] reads `flags`.
    #[must_use]
    pub const fn of(flags: u16) -> Self {
        match flags >> 4 & 0xf {
            0 | 1 => Self::Endpoint,
            4 => Self::RootPort,
            5..=8 => Self::Port,
            9 => Self::IntegratedEndpoint,
            10 => Self::EventCollector,
            _ => Self::Reserved,
        }
    }
}

/// Bytes of the capability whose register at [`FLAGS`] reads `flags`: at least 0x0c and at most 0x3c.
///
/// Version 1 ends behind the last registers that its port type has: device, link, slot, root. Version 2 has room for
/// all of them, and ends behind the second set of those (PCIe 7.5.3, Figure 7-24). A version that does not exist
/// counts as the nearest that does; a reserved type has all registers of its version.
#[must_use]
pub const fn length(flags: u16) -> u16 {
    if flags & 0xf < 2 {
        match PortType::of(flags) {
            PortType::IntegratedEndpoint => 0x0c,
            PortType::Endpoint => 0x14,
            PortType::Port => 0x1c,
            PortType::RootPort | PortType::EventCollector | PortType::Reserved => 0x24,
        }
    } else {
        match PortType::of(flags) {
            PortType::IntegratedEndpoint => 0x2c,
            PortType::Endpoint => 0x34,
            _ => 0x3c,
        }
    }
}

/// What a guest sees. Nothing that it writes reaches the device.
pub const POLICY: Policy = Policy {
    name: "PCI Express",
    section: "PCIe 7.5.3",
    length: Length::Express,
    guest: Visibility::Shown,
    floor: false,
    why: "drivers look for link speed, payload and read request sizes",
    fields: &[
        ID,
        NEXT,
        Field::new("Capability Version", FLAGS, 0x000f, Snapshot),
        Field::new("Device/Port Type", FLAGS, 0x00f0, Snapshot).because(
            "the device's, though its guest has no port above it (QEMU makes it an integrated endpoint)",
        ),
        Field::new("Slot Implemented, Interrupt Message Number", FLAGS, 0x3f00, Hidden).because("a port's"),
        Field::new("Flit Mode Supported", FLAGS, 0x8000, Hidden).because("the link is the host's"),
        Field::new("Max_Payload_Size Supported", DEVICE_CAPABILITIES, 0x0000_0007, Snapshot),
        Field::new("Phantom Functions Supported", DEVICE_CAPABILITIES, 0x0000_0018, Hidden)
            .because("they would use requester IDs that the IOMMU has no context for (XSA-449)"),
        Field::new("Extended Tag Field Supported", DEVICE_CAPABILITIES, 0x0000_0020, Snapshot),
        Field::new("Endpoint L0s, L1 Acceptable Latency", DEVICE_CAPABILITIES, 0x0000_0fc0, Snapshot),
        Field::new("Role-Based Error Reporting", DEVICE_CAPABILITIES, 0x0000_8000, Snapshot),
        Field::new("ERR_COR Subclass Capable, Rx_MPS_Fixed", DEVICE_CAPABILITIES, 0x0003_0000, Hidden)
            .because("error messages and MPS are the host's"),
        Field::new("Captured Slot Power Limit Value, Scale", DEVICE_CAPABILITIES, 0x0ffc_0000, Snapshot),
        Field::new("Function Level Reset Capability", DEVICE_CAPABILITIES, FUNCTION_LEVEL_RESET, WithReset)
            .because("the hypervisor does it, by a method that works (xen_pt: never)"),
        Field::new("Error Reporting Enables", DEVICE_CONTROL, 0x000f, Virtual).because(
            "error messages go to the host's root port, and some stop it (vfio lets them be written)",
        ),
        Field::new("Enable Relaxed Ordering", DEVICE_CONTROL, 0x0010, VirtualSnapshot)
            .because("some root ports lose order by it (vfio lets it be written)"),
        Field::new("Max_Payload_Size", DEVICE_CONTROL, 0x00e0, VirtualSnapshot)
            .because("a TLP longer than a port on its way takes is malformed: fatal to the host"),
        Field::new("Extended Tag Field Enable", DEVICE_CONTROL, 0x0100, VirtualSnapshot)
            .because("some completers mix up long tags (vfio lets it be written)"),
        Field::new("Phantom Functions Enable", DEVICE_CONTROL, 0x0200, Hidden)
            .because("as Phantom Functions Supported"),
        Field::new("Aux Power PM Enable", DEVICE_CONTROL, 0x0400, VirtualSnapshot)
            .because("power is the host's (vfio lets it be written)"),
        Field::new("Enable No Snoop", DEVICE_CONTROL, 0x0800, VirtualSnapshot)
            .because("whether DMA is coherent is the IOMMU's affair (vfio lets it be written)"),
        Field::new("Max_Read_Request_Size", DEVICE_CONTROL, 0x7000, VirtualSnapshot)
            .because("long reads take the link from others (vfio lets it be written, down to the MPS)"),
        Field::new("Initiate Function Level Reset", DEVICE_CONTROL, 0x8000, Engine(Act::Reset))
            .because("a reset loses what the host set: BARs, interrupts, MPS: the hypervisor does it"),
        Field::new("Error Detected, AUX Power Detected", DEVICE_STATUS, 0x001f, Live)
            .because("writes of 1 are dropped: the evidence is the host's (xen_pt lets them through)"),
        Field::new("Transactions Pending", DEVICE_STATUS, TRANSACTIONS_PENDING as u32, Live),
        Field::new("Emergency Power Reduction Detected", DEVICE_STATUS, 0x0040, Hidden),
        Field::new("Link Capabilities", LINK_CAPABILITIES, 0x00ff_ffff, Snapshot),
        Field::new("Port Number", LINK_CAPABILITIES, 0xff00_0000, Hidden)
            .because("where the device sits in the host is not the guest's affair"),
        Field::new("ASPM Control, RCB", LINK_CONTROL, 0x000b, VirtualSnapshot)
            .because("the state of a link is both ends' (xen_pt and vfio too keep it from the device)"),
        Field::new("Link Disable, Retrain Link", LINK_CONTROL, 0x0030, Hidden).because("a port's"),
        Field::new("Common Clock, Extended Synch, Clock PM, Width", LINK_CONTROL, 0x03c0, VirtualSnapshot)
            .because("as ASPM Control"),
        Field::new("Bandwidth Interrupts, DRS, Flit Mode Disable", LINK_CONTROL, 0xec00, Hidden)
            .because("a port's"),
        Field::new("Current Link Speed, Negotiated Link Width", LINK_STATUS, 0x03ff, Live),
        Field::new("Link Training", LINK_STATUS, 0x0800, Hidden).because("a port's"),
        Field::new("Slot Clock Configuration", LINK_STATUS, 0x1000, Live),
        Field::new("Data Link Layer Link Active", LINK_STATUS, 0x2000, Live),
        Field::new("Link Bandwidth Status", LINK_STATUS, 0xc000, Hidden)
            .because("a port's (xen_pt lets writes of 1 through)"),
        Field::new("Slot Capabilities", 0x14, 0xffff_ffff, Hidden).because("a port's"),
        Field::new("Slot Control, Slot Status", 0x18, 0xffff_ffff, Hidden)
            .because("a port's: hot-plug control"),
        Field::new("Root Control, Root Capabilities", 0x1c, 0xffff_ffff, Hidden).because("a root port's"),
        Field::new("Root Status", 0x20, 0xffff_ffff, Hidden).because("a root port's: who sent a PME"),
        Field::new(
            "Completion Timeout Ranges, Disable Supported",
            DEVICE_CAPABILITIES_2,
            0x0000_001f,
            Snapshot,
        ),
        Field::new("ARI Forwarding, AtomicOp Routing", DEVICE_CAPABILITIES_2, 0x0000_0060, Hidden)
            .because("a port's"),
        Field::new("AtomicOp Completer", DEVICE_CAPABILITIES_2, 0x0000_0380, Snapshot),
        Field::new("No RO-enabled PR-PR Passing", DEVICE_CAPABILITIES_2, 0x0000_0400, Hidden)
            .because("a port's"),
        Field::new("LTR Mechanism", DEVICE_CAPABILITIES_2, 0x0000_0800, Hidden)
            .because("platform power is the host's"),
        Field::new("TPH Completer, LN System CLS", DEVICE_CAPABILITIES_2, 0x0000_f000, Hidden)
            .because("the caches are the host's"),
        Field::new("10-Bit Tags", DEVICE_CAPABILITIES_2, 0x0003_0000, Hidden)
            .because("every completer on the way must take them: the host's to enable"),
        Field::new("OBFF", DEVICE_CAPABILITIES_2, 0x000c_0000, Hidden)
            .because("platform power is the host's"),
        Field::new("TLP Prefixes, Extended Fmt", DEVICE_CAPABILITIES_2, 0x00f0_0000, Hidden)
            .because("what carries a PASID"),
        Field::new("Emergency Power Reduction, DMWr, FRS", DEVICE_CAPABILITIES_2, 0xf700_0000, Hidden)
            .because("the host's to enable"),
        Field::new("Completion Timeout Value, Disable", DEVICE_CONTROL_2, 0x001f, VirtualSnapshot)
            .because("a request that never ends holds the host's resources (vfio lets it be written)"),
        Field::new("ARI Forwarding Enable", DEVICE_CONTROL_2, 0x0020, Hidden)
            .because("a port's: it moves requester IDs"),
        Field::new("AtomicOp Requester Enable, Egress Blocking", DEVICE_CONTROL_2, 0x00c0, Hidden)
            .because("other completers may not take them (vfio and xen_pt let it be written)"),
        Field::new("IDO Enables", DEVICE_CONTROL_2, 0x0300, Hidden).because("ordering at the host's ports"),
        Field::new("LTR Mechanism Enable", DEVICE_CONTROL_2, 0x0400, Hidden)
            .because("platform power is the host's"),
        Field::new("Emergency Power Reduction Request", DEVICE_CONTROL_2, 0x0800, Hidden)
            .because("platform power is the host's"),
        Field::new("10-Bit Tag Requester Enable", DEVICE_CONTROL_2, 0x1000, Hidden).because("as 10-Bit Tags"),
        Field::new("OBFF Enable", DEVICE_CONTROL_2, 0x6000, Hidden).because("platform power is the host's"),
        Field::new("End-End TLP Prefix Blocking", DEVICE_CONTROL_2, 0x8000, Hidden).because("a port's"),
        Field::new(
            "Supported Link Speeds, Crosslink, SKP, Retimers",
            LINK_CAPABILITIES_2,
            0x01ff_fffe,
            Snapshot,
        ),
        Field::new("DRS Supported", LINK_CAPABILITIES_2, 0x8000_0000, Hidden)
            .because("a reset is the host's"),
        Field::new("Target Link Speed, Compliance, Margin", LINK_CONTROL_2, 0xffbf, VirtualSnapshot)
            .because("test modes stop the link (vfio: read-only)"),
        Field::new("Selectable De-emphasis", LINK_CONTROL_2, 0x0040, Hidden).because("a port's"),
        Field::new("De-emphasis, Equalization, Retimers, Flit Mode", LINK_STATUS_2, 0x07df, Live),
        Field::new("Link Equalization Request", LINK_STATUS_2, 0x0020, Live)
            .because("writes of 1 are dropped: the evidence is the host's"),
        Field::new("Downstream Component, DRS Message Received", LINK_STATUS_2, 0xf000, Hidden)
            .because("a port's"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_specification() {
        let types: [PortType; 16] = core::array::from_fn(|n| PortType::of((n << 4) as u16 | 0xff02));
        let reserved = PortType::Reserved;
        let ports = [PortType::Port; 4];
        assert_eq!(types[..4], [PortType::Endpoint, PortType::Endpoint, reserved, reserved]);
        assert_eq!(types[4], PortType::RootPort);
        assert_eq!(types[5..9], ports);
        assert_eq!(types[9..11], [PortType::IntegratedEndpoint, PortType::EventCollector]);
        assert_eq!(types[11..], [reserved; 5]);
    }

    #[test]
    fn version_1_ends_with_the_registers_of_its_type() {
        assert_eq!(length(0x0001), 0x14); // Endpoint: up to Link Status.
        assert_eq!(length(0x0011), 0x14); // Legacy Endpoint.
        assert_eq!(length(0x0091), 0x0c); // Integrated: no link.
        assert_eq!(length(0x0161), 0x1c); // Downstream Port with a slot: up to Slot Status.
        assert_eq!(length(0x0071), 0x1c); // Bridge to PCI.
        assert_eq!(length(0x0141), 0x24); // Root Port: up to Root Status.
        assert_eq!(length(0x00a1), 0x24); // Event Collector.
    }

    #[test]
    fn version_2_has_the_second_set() {
        assert_eq!(length(0x0002), 0x34); // Endpoint: up to Link Status 2.
        assert_eq!(length(0x0012), 0x34);
        assert_eq!(length(0x0092), 0x2c); // Integrated: up to Device Status 2.
        assert_eq!(length(0x0142), 0x3c); // Root Port: up to Slot Status 2.
        assert_eq!(length(0x0062), 0x3c);
        assert_eq!(length(0x00a2), 0x3c);
    }

    #[test]
    fn other_versions_and_types_have_a_length_too() {
        assert_eq!((length(0x0000), length(0x0003), length(0xff0f)), (0x14, 0x34, 0x34));
        assert_eq!((length(0x00f1), length(0x00f2), length(0xffff)), (0x24, 0x3c, 0x3c));
        assert!((0..=u16::MAX).all(|flags| (0x0c..=0x3c).contains(&length(flags))));
    }
}
