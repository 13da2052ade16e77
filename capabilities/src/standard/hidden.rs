//! The standard capabilities that no guest has, and what they could do to the host.

use crate::policy::{Length, Policy};

pub(super) const NULL: Policy = Policy::hidden("Null", "PCIe 7.9.27", Length::Bytes(4), "it says nothing");
pub(super) const AGP: Policy = Policy::hidden(
    "Accelerated Graphics Port",
    "AGP 3.0",
    Length::Open,
    "its aperture is another way to the host's memory",
)
.floor();
pub(super) const SLOT_IDENTIFICATION: Policy = Policy::hidden(
    "Slot Identification",
    "PCI-to-PCI Bridge 1.2, 13.4",
    Length::Bytes(4),
    "a bridge's: it numbers the host's chassis and slots",
)
.floor();
pub(super) const HOT_SWAP: Policy = Policy::hidden(
    "CompactPCI Hot Swap",
    "PICMG 2.1",
    Length::Bytes(4),
    "hot-plug control: it lets a board be pulled",
)
.floor();
pub(super) const PCI_X: Policy = Policy::hidden(
    "PCI-X",
    "PCI-X 2.0",
    Length::Open,
    "byte counts and split transactions can starve others on the bus (vfio lets the command register be written)",
);
pub(super) const HYPERTRANSPORT: Policy = Policy::hidden(
    "HyperTransport",
    "HyperTransport 3.10",
    Length::Open,
    "it has the MSI mapping window and the interrupt routes",
)
.floor();
pub(super) const VENDOR: Policy = Policy::hidden(
    "Vendor-Specific",
    "PCIe 7.9.4",
    Length::Byte2,
    "a gateway to firmware, flash and whole BARs in many devices: only by a rule (vfio gives it to a guest raw)",
);
pub(super) const DEBUG_PORT: Policy = Policy::hidden(
    "Debug port",
    "EHCI 1.0, appendix C",
    Length::Bytes(4),
    "nothing in a guest looks for it, and the host may be debugged through it",
);
pub(super) const RESOURCE_CONTROL: Policy = Policy::hidden(
    "CompactPCI central resource control",
    "PICMG 2.13",
    Length::Open,
    "it moves a bus from one host to another",
)
.floor();
pub(super) const HOT_PLUG: Policy = Policy::hidden(
    "PCI Hot-Plug",
    "SHPC 1.1",
    Length::Bytes(8),
    "hot-plug control: it switches the power of slots",
)
.floor();
pub(super) const AGP_8X: Policy =
    Policy::hidden("AGP 8x", "AGP 3.0", Length::Open, "as the Accelerated Graphics Port").floor();
pub(super) const SECURE_DEVICE: Policy = Policy::hidden(
    "Secure Device",
    "AMD I/O Virtualization 3.05, 3.2",
    Length::Open,
    "the IOMMU itself: such a function is nobody's but the hypervisor's",
)
.floor();
pub(super) const ENHANCED_ALLOCATION: Policy = Policy::hidden(
    "Enhanced Allocation",
    "PCIe 7.8.5",
    Length::Open,
    "memory ranges at host addresses that no BAR names: the hypervisor's to map or to refuse",
)
.floor();
pub(super) const FLATTENING_PORTAL_BRIDGE: Policy = Policy::hidden(
    "Flattening Portal Bridge",
    "PCIe 7.8.11",
    Length::Bytes(0x24),
    "bridge control: it routes requests to other functions",
)
.floor();
