//! Control registers of extended capabilities: what a reset clears and its engine writes again.
//!
//! Offsets are in bytes, relative to the capability.

/// VC: Port VC Capability 1, a dword; [`VC_COUNT`] of it says how many resources there are (PCIe 7.9.1.2).
pub const VC_CAPABILITY: u16 = 0x04;
/// [`VC_CAPABILITY`]: Extended VC Count.
pub const VC_COUNT: u32 = 0x7;
/// VC: VC Resource Control of VC 0, a dword; the others follow at [`VC_RESOURCE`] bytes each (PCIe 7.9.1.8).
pub const VC_CONTROL: u16 = 0x14;
/// VC: bytes of the registers of one VC.
pub const VC_RESOURCE: u16 = 0x0c;
/// [`VC_CONTROL`]: what loads the arbitration table is not to be written with the rest.
pub const VC_LOAD_TABLE: u32 = 1 << 16;
/// ACS Control, a word (PCIe 7.7.11.3).
pub const ACS_CONTROL: u16 = 0x06;
/// ATS Control, a word (PCIe 10.5.1.3).
pub const ATS_CONTROL: u16 = 0x06;
/// SR-IOV Control, a word (PCIe 9.3.3.3).
pub const SR_IOV_CONTROL: u16 = 0x08;
/// [`SR_IOV_CONTROL`]: VF Enable.
pub const VF_ENABLE: u16 = 1 << 0;
/// [`SR_IOV_CONTROL`]: ARI Capable Hierarchy.
pub const ARI_HIERARCHY: u16 = 1 << 4;
/// SR-IOV: System Page Size, a dword (PCIe 9.3.3.13).
pub const SYSTEM_PAGE_SIZE: u16 = 0x20;
/// SR-IOV: VF BAR 0, a dword; five more follow (PCIe 9.3.3.14).
pub const VF_BAR0: u16 = 0x24;
/// PRI Control, a word (PCIe 10.5.2.2).
pub const PRI_CONTROL: u16 = 0x04;
/// PRI: Outstanding Page Request Allocation, a dword (PCIe 10.5.2.5).
pub const PRI_ALLOCATION: u16 = 0x0c;
/// Resizable BAR Control of the first BAR, a dword; others follow at [`REBAR_ENTRY`] bytes each (PCIe 7.8.6.3).
pub const REBAR_CONTROL: u16 = 0x08;
/// Resizable BAR: bytes of the registers of one BAR.
pub const REBAR_ENTRY: u16 = 0x08;
/// [`REBAR_CONTROL`] of the first BAR: Number of Resizable BARs, bits 7:5.
pub const REBAR_COUNT_SHIFT: u32 = 5;
/// LTR: Max Snoop and Max No-Snoop Latency, a dword (PCIe 7.8.2.2, 7.8.2.3).
pub const LTR_LATENCIES: u16 = 0x04;
/// PASID Control, a word (PCIe 7.8.9.3).
pub const PASID_CONTROL: u16 = 0x06;
/// L1 PM Substates Control 1, a dword (PCIe 7.8.3.3).
pub const L1_CONTROL_1: u16 = 0x08;
/// [`L1_CONTROL_1`]: the enables, to be set when all else is.
pub const L1_ENABLES: u32 = 0xf;
/// L1 PM Substates Control 2, a dword (PCIe 7.8.3.4).
pub const L1_CONTROL_2: u16 = 0x0c;
/// PTM Control, a dword (PCIe 7.9.15.3).
pub const PTM_CONTROL: u16 = 0x08;
/// VSEC: VSEC ID, revision and length, a dword (PCIe 7.9.5.2); DVSEC: vendor, revision and length (PCIe 7.9.6.2).
pub const VENDOR_HEADER: u16 = 0x04;
