//! The type 0 header (PCIe 7.5.1).

use super::{Act, Control, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Hidden, Live, Snapshot, Virtual};

/// What a guest sees of the header. The engine fills in the IDs of a virtual function, whose own read as all ones.
pub const HEADER: Policy = Policy {
    name: "Type 0 header",
    section: "PCIe 7.5.1",
    length: Length::Bytes(0x40),
    guest: Visibility::Shown,
    floor: true,
    why: "",
    fields: &[
        Field::new("Vendor ID", 0x00, 0xffff, Snapshot),
        Field::new("Device ID", 0x02, 0xffff, Snapshot),
        Field::new("Command", 0x04, 0xffff, Engine(Act::Command))
            .host(Control::Hypervisor)
            .because("decoding is the p2m's and stays on in the device; SERR# and parity could raise an NMI (XSA-120, 126)"),
        Field::new("Immediate Readiness, Interrupt Status", 0x06, 0x0009, Hidden)
            .because("a guest has no INTx"),
        Field::new("Capabilities List", 0x06, 0x0010, Engine(Act::Link)).host(Control::Pinned),
        Field::new("66 MHz, Fast Back-to-Back, DEVSEL", 0x06, 0x06a0, Snapshot),
        Field::new("Error bits", 0x06, 0xf900, Live)
            .because("writes of 1 are dropped: the evidence is the host's (xen_pt and Xen's vPCI let them through)"),
        Field::new("Revision ID, Class Code", 0x08, 0xffff_ffff, Snapshot),
        Field::new("Cache Line Size", 0x0c, 0xff, Virtual).because("vfio writes it to the device"),
        Field::new("Latency Timer", 0x0d, 0xff, Virtual).because("vfio writes it to the device"),
        Field::new("Header Layout", 0x0e, 0x7f, Snapshot),
        Field::new("Multi-Function Device", 0x0e, 0x80, Hidden).because("by the guest's own topology"),
        Field::new("BIST", 0x0f, 0xff, Hidden).because("a self test takes the device away for seconds"),
        Field::new("Base Address Register 0", 0x10, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Base Address Register 1", 0x14, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Base Address Register 2", 0x18, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Base Address Register 3", 0x1c, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Base Address Register 4", 0x20, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Base Address Register 5", 0x24, 0xffff_ffff, Engine(Act::Bar)).host(Control::Hypervisor),
        Field::new("Cardbus CIS Pointer", 0x28, 0xffff_ffff, Hidden),
        Field::new("Subsystem Vendor ID", 0x2c, 0xffff, Snapshot),
        Field::new("Subsystem ID", 0x2e, 0xffff, Snapshot),
        Field::new("Expansion ROM Base Address", 0x30, 0xffff_ffff, Engine(Act::Rom)).host(Control::Hypervisor),
        Field::new("Capabilities Pointer", 0x34, 0xff, Engine(Act::Link)).host(Control::Pinned),
        Field::new("Interrupt Line", 0x3c, 0xff, Virtual),
        Field::new("Interrupt Pin", 0x3d, 0xff, Hidden)
            .because("a guest has no INTx: a shared line would be another's too (XSA-461)"),
        Field::new("Min_Gnt, Max_Lat", 0x3e, 0xffff, Hidden),
    ],
};
