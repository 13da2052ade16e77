//! The extended capabilities that no guest has, and what they could do to the host.

use crate::policy::{Length, Policy};

pub(super) const NULL: Policy = Policy::hidden("Null", "PCIe 7.9.28", Length::Bytes(4), "it says nothing");

pub(super) const VIRTUAL_CHANNEL: Policy = Policy::hidden(
    "Virtual Channel",
    "PCIe 7.9.1",
    Length::Open,
    "arbitration can starve others on the link",
)
.floor();

pub(super) const POWER_BUDGETING: Policy = Policy::hidden(
    "Power Budgeting",
    "PCIe 7.8.1",
    Length::Bytes(0x10),
    "power is the host's; its select register is the host driver's",
);

pub(super) const ROOT_COMPLEX_LINK_DECLARATION: Policy = Policy::hidden(
    "Root Complex Link Declaration",
    "PCIe 7.9.8",
    Length::Open,
    "the host's topology, with host addresses",
)
.floor();

pub(super) const ROOT_COMPLEX_INTERNAL_LINK: Policy = Policy::hidden(
    "Root Complex Internal Link Control",
    "PCIe 7.9.9",
    Length::Bytes(0x0c),
    "the host's links",
)
.floor();

pub(super) const EVENT_COLLECTOR_ASSOCIATION: Policy = Policy::hidden(
    "Root Complex Event Collector Endpoint Association",
    "PCIe 7.9.10",
    Length::Open,
    "the host's topology: whose events go where",
)
.floor();

pub(super) const MULTI_FUNCTION_VIRTUAL_CHANNEL: Policy = Policy::hidden(
    "Multi-Function Virtual Channel",
    "PCIe 7.9.2",
    Length::Open,
    "arbitration between functions that may be others'",
)
.floor();

pub(super) const VIRTUAL_CHANNEL_WITH_MFVC: Policy = Policy::hidden(
    "Virtual Channel with MFVC",
    "PCIe 7.9.1",
    Length::Open,
    "as Multi-Function Virtual Channel",
)
.floor();

pub(super) const ROOT_COMPLEX_REGISTER_BLOCK: Policy = Policy::hidden(
    "Root Complex Register Block Header",
    "PCIe 7.9.7",
    Length::Bytes(0x14),
    "the host's root complex",
)
.floor();

pub(super) const VENDOR_SPECIFIC: Policy = Policy::hidden(
    "Vendor-Specific Extended",
    "PCIe 7.9.5",
    Length::Vendor,
    "a gateway to firmware, telemetry and error injection: only by a rule (vfio gives it to a guest raw)",
);

pub(super) const CONFIGURATION_ACCESS_CORRELATION: Policy = Policy::hidden(
    "Configuration Access Correlation",
    "PCIe 1.0a, withdrawn",
    Length::Open,
    "no longer specified",
);

pub(super) const ACCESS_CONTROL_SERVICES: Policy = Policy::hidden(
    "Access Control Services",
    "PCIe 7.7.11",
    Length::Open,
    "clearing it lets requests to a peer pass the IOMMU by",
)
.floor();

pub(super) const ALTERNATIVE_ROUTING_ID: Policy = Policy::hidden(
    "Alternative Routing-ID Interpretation",
    "PCIe 7.8.8",
    Length::Bytes(8),
    "it names the next function, which may be another's, and groups them",
)
.floor();

pub(super) const ADDRESS_TRANSLATION_SERVICES: Policy = Policy::hidden(
    "Address Translation Services",
    "PCIe 10.5.1",
    Length::Bytes(8),
    "translated requests pass the IOMMU by; it is the hypervisor's to enable (vfio shows it read-only)",
)
.floor();

pub(super) const SINGLE_ROOT_IO_VIRTUALIZATION: Policy = Policy::hidden(
    "Single Root I/O Virtualization",
    "PCIe 9.3.3",
    Length::Bytes(0x40),
    "it makes functions and decodes memory",
)
.floor();

pub(super) const MULTI_ROOT_IO_VIRTUALIZATION: Policy = Policy::hidden(
    "Multi-Root I/O Virtualization",
    "MR-IOV 1.0",
    Length::Open,
    "it makes functions for other hosts",
)
.floor();

pub(super) const MULTICAST: Policy =
    Policy::hidden("Multicast", "PCIe 7.9.11", Length::Open, "it copies DMA to other devices").floor();

pub(super) const PAGE_REQUEST_INTERFACE: Policy = Policy::hidden(
    "Page Request Interface",
    "PCIe 10.5.2",
    Length::Bytes(0x10),
    "it floods the IOMMU's queue, which all share",
)
.floor();

pub(super) const RESERVED_FOR_AMD: Policy = Policy::hidden(
    "Reserved for AMD",
    "PCI Code and ID Assignment 3",
    Length::Open,
    "nothing is known of it",
);

pub(super) const RESIZABLE_BAR: Policy = Policy::hidden(
    "Resizable BAR",
    "PCIe 7.8.6",
    Length::Open,
    "a BAR grows over its neighbours (QEMU shows the size that it has)",
)
.floor();

pub(super) const DYNAMIC_POWER_ALLOCATION: Policy =
    Policy::hidden("Dynamic Power Allocation", "PCIe 7.9.12", Length::Open, "power is the host's");

pub(super) const TPH_REQUESTER: Policy = Policy::hidden(
    "TPH Requester",
    "PCIe 7.9.13",
    Length::Open,
    "steering tags put data into the caches of others' CPUs",
);

pub(super) const LATENCY_TOLERANCE_REPORTING: Policy = Policy::hidden(
    "Latency Tolerance Reporting",
    "PCIe 7.8.2",
    Length::Bytes(8),
    "it says how deep the host may sleep",
);

pub(super) const SECONDARY_PCI_EXPRESS: Policy =
    Policy::hidden("Secondary PCI Express", "PCIe 7.7.3", Length::Open, "equalization takes the link down");

pub(super) const PROTOCOL_MULTIPLEXING: Policy =
    Policy::hidden("Protocol Multiplexing", "PCIe 4.0, withdrawn", Length::Open, "the link is the host's");

pub(super) const PROCESS_ADDRESS_SPACE_ID: Policy = Policy::hidden(
    "Process Address Space ID",
    "PCIe 7.8.9",
    Length::Bytes(8),
    "address spaces that the IOMMU has no tables for",
)
.floor();

pub(super) const LN_REQUESTER: Policy = Policy::hidden(
    "LN Requester",
    "PCIe 5.0 7.9.14, withdrawn",
    Length::Bytes(8),
    "the caches are the host's",
);

pub(super) const DOWNSTREAM_PORT_CONTAINMENT: Policy = Policy::hidden(
    "Downstream Port Containment",
    "PCIe 7.9.14",
    Length::Open,
    "a software trigger takes a whole port down",
)
.floor();

pub(super) const L1_PM_SUBSTATES: Policy =
    Policy::hidden("L1 PM Substates", "PCIe 7.8.3", Length::Open, "link power is both ends'");

pub(super) const PRECISION_TIME_MEASUREMENT: Policy = Policy::hidden(
    "Precision Time Measurement",
    "PCIe 7.9.15",
    Length::Bytes(0x0c),
    "requests to the host's clock; enabled without a responder they are errors",
);

pub(super) const PCI_EXPRESS_OVER_M_PHY: Policy =
    Policy::hidden("PCI Express over M-PHY", "M-PCIe 1.0, withdrawn", Length::Open, "the link is the host's");

pub(super) const FRS_QUEUEING: Policy = Policy::hidden(
    "FRS Queueing",
    "PCIe 7.8.10",
    Length::Bytes(0x10),
    "a root port's: messages of others' functions",
)
.floor();

pub(super) const READINESS_TIME_REPORTING: Policy = Policy::hidden(
    "Readiness Time Reporting",
    "PCIe 7.9.16",
    Length::Bytes(0x0c),
    "for who resets the function: the hypervisor",
);

pub(super) const DESIGNATED_VENDOR_SPECIFIC: Policy = Policy::hidden(
    "Designated Vendor-Specific Extended",
    "PCIe 7.9.6",
    Length::Vendor,
    "CXL's caches and memory, telemetry: only by a rule (vfio gives it to a guest raw)",
);

pub(super) const VF_RESIZABLE_BAR: Policy = Policy::hidden(
    "VF Resizable BAR",
    "PCIe 7.8.7",
    Length::Open,
    "as Resizable BAR, for all virtual functions at once",
)
.floor();

pub(super) const DATA_LINK_FEATURE: Policy =
    Policy::hidden("Data Link Feature", "PCIe 7.7.4", Length::Bytes(0x0c), "the link is the host's");

pub(super) const PHYSICAL_LAYER_16_GT: Policy =
    Policy::hidden("Physical Layer 16.0 GT/s", "PCIe 7.7.5", Length::Open, "the link is the host's");

pub(super) const LANE_MARGINING: Policy = Policy::hidden(
    "Lane Margining at the Receiver",
    "PCIe 7.7.10",
    Length::Open,
    "its commands disturb the link",
);

pub(super) const HIERARCHY_ID: Policy =
    Policy::hidden("Hierarchy ID", "PCIe 7.9.17", Length::Open, "it identifies the host");

pub(super) const NATIVE_ENCLOSURE_MANAGEMENT: Policy = Policy::hidden(
    "Native PCIe Enclosure Management",
    "PCIe 7.9.19",
    Length::Bytes(0x10),
    "lights and indicators of the host's enclosure",
);

pub(super) const PHYSICAL_LAYER_32_GT: Policy = Policy::hidden(
    "Physical Layer 32.0 GT/s",
    "PCIe 7.7.6",
    Length::Open,
    "the link is the host's; it carries alternate protocols too",
);

pub(super) const ALTERNATE_PROTOCOL: Policy = Policy::hidden(
    "Alternate Protocol",
    "PCIe 7.9.20",
    Length::Open,
    "it makes the link speak another protocol",
);

pub(super) const SYSTEM_FIRMWARE_INTERMEDIARY: Policy = Policy::hidden(
    "System Firmware Intermediary",
    "PCIe 7.9.22",
    Length::Open,
    "hot-plug control, for firmware",
)
.floor();

pub(super) const SHADOW_FUNCTIONS: Policy = Policy::hidden(
    "Shadow Functions",
    "PCIe 7.9.25",
    Length::Open,
    "requester IDs of functions that do not exist",
)
.floor();

pub(super) const DATA_OBJECT_EXCHANGE: Policy = Policy::hidden(
    "Data Object Exchange",
    "PCIe 7.9.24",
    Length::Open,
    "a mailbox to security protocols and their keys",
)
.floor();

pub(super) const DEVICE_3: Policy = Policy::hidden(
    "Device 3",
    "PCIe 7.7.9",
    Length::Bytes(0x10),
    "14-bit tags and link power: the host's to enable",
);

pub(super) const INTEGRITY_AND_DATA_ENCRYPTION: Policy = Policy::hidden(
    "Integrity and Data Encryption",
    "PCIe 7.9.26",
    Length::Open,
    "keys and streams of the link",
)
.floor();

pub(super) const PHYSICAL_LAYER_64_GT: Policy =
    Policy::hidden("Physical Layer 64.0 GT/s", "PCIe 7.7.7", Length::Open, "the link is the host's");

pub(super) const FLIT_LOGGING: Policy =
    Policy::hidden("Flit Logging", "PCIe 7.7.8", Length::Open, "the link is the host's");

pub(super) const FLIT_PERFORMANCE_MEASUREMENT: Policy = Policy::hidden(
    "Flit Performance Measurement",
    "PCIe 7.8.12",
    Length::Open,
    "it measures the traffic of others on the link",
);

pub(super) const FLIT_ERROR_INJECTION: Policy =
    Policy::hidden("Flit Error Injection", "PCIe 7.8.13", Length::Open, "it makes errors on the link")
        .floor();

pub(super) const STREAMLINED_VIRTUAL_CHANNEL: Policy =
    Policy::hidden("Streamlined Virtual Channel", "PCIe 6.1 and later", Length::Open, "as Virtual Channel")
        .floor();

pub(super) const MMIO_REGISTER_BLOCK_LOCATOR: Policy = Policy::hidden(
    "MMIO Register Block Locator",
    "PCIe 6.1 and later",
    Length::Open,
    "it leads to capabilities in BARs that no policy covers",
)
.floor();

pub(super) const NOP_FLIT: Policy =
    Policy::hidden("NOP Flit", "PCIe 6.2 and later", Length::Open, "the link is the host's");

pub(super) const SCALABLE_IO_VIRTUALIZATION: Policy = Policy::hidden(
    "Scalable I/O Virtualization",
    "SIOV 1.2",
    Length::Open,
    "it hands parts of the function to others",
)
.floor();

pub(super) const PHYSICAL_LAYER_128_GT: Policy =
    Policy::hidden("Physical Layer 128.0 GT/s", "PCIe 7.0", Length::Open, "the link is the host's");

pub(super) const CAPTURED_DATA: Policy =
    Policy::hidden("Captured Data", "PCIe 7.0", Length::Open, "nothing is known of it");
