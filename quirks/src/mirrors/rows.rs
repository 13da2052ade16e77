//! The mirrors: those that QEMU 10.2 knows (`hw/vfio/pci-quirks.c`, `hw/vfio/igd.c`), and those that drivers of Linux 6.12
//! use. A row about a driver has the device IDs that the driver has.

use capabilities::Width;

use super::{Answer, Choice, Known, Mirror, Place, Reasons};
use crate::table::{Ids, Traits, When};
use Choice::{Hidden, NoLegacyPorts, NoPorts, NoPortsBesideBar0, Refused};
use Place::{Memory, Memory32, Memory64, Nowhere, Ports};

const ANY: Ids = Ids::range(0, u16::MAX);
const ALWAYS: When = When::ALWAYS;
/// A display controller of any kind: GPUs without outputs have the same registers.
const DISPLAY: When = When { class_mask: 0xff00_0000, class_value: 0x0300_0000, ..ALWAYS };
/// Likewise, in the root complex.
const GRAPHICS: When = DISPLAY.and(Traits::ROOT_BUS);
const ETHERNET: When = When::class(0x0200);
const WIRELESS: When = When::class(0x0280);
const PHYSICAL: When = ALWAYS.lacks(Traits::VIRTUAL);
const NIC: When = ETHERNET.lacks(Traits::VIRTUAL);

const fn view(offset: u32, length: u32, config: u16) -> Choice {
    Choice::Bytes { offset, length, answer: Answer::View(config) }
}

const fn closed(offset: u32, length: u32) -> Choice {
    Choice::Bytes { offset, length, answer: Answer::Closed }
}

const fn gate(offset: u32, mask: u32, value: u32) -> Choice {
    Choice::Bytes { offset, length: 4, answer: Answer::Gate { mask, value } }
}

const fn pass(offset: u32, width: Width, value: u32) -> Choice {
    Choice::Bytes { offset, length: 4, answer: Answer::Pass { width, value } }
}

const fn mirror(
    vendor: u16,
    ids: Ids,
    when: When,
    place: Place,
    choice: Choice,
    about: [&'static str; 2],
) -> Known {
    let [name, why] = about;
    Known { mirror: Mirror { vendor, ids, when, place, choice }, name, why }
}

const ATI_MIRROR_OF_OLD: [&str; 2] = ["ATI mirror of old", "nothing else is in those bytes"];
const ATI_MIRROR: [&str; 2] = ["ATI mirror", "the page is all of it"];
const ATI_WINDOW: [&str; 2] = ["ATI window", "only the video BIOS has a use for it"];
const ATI_PORT_3C3H: [&str; 2] = ["ATI port 3C3h", "it tells where BAR 4 is in the host"];
const AMDGPU_INDEX_AND_DATA: [&str; 2] =
    ["amdgpu index and data", "strap registers are behind it, and the driver needs it"];
const RADEON_RESET: [&str; 2] = ["Radeon reset", "a key at 7Ch resets the device; no capability has it"];
const NVIDIA_INTERRUPT_TO_NV50: [&str; 2] =
    ["NVIDIA interrupt, to NV50", "the driver asks for the next message so"];
const NVIDIA_INTERRUPT_FROM_GF100: [&str; 2] =
    ["NVIDIA interrupt, from GF100", "the driver asks for the next message so"];
const NVIDIA_INTERRUPT_FROM_G84: [&str; 2] =
    ["NVIDIA interrupt, from G84", "the driver asks for the next message so"];
const NVIDIA_OTHERS_OLD_MIRROR: [&str; 2] =
    ["NVIDIA others, old mirror", "the audio function and the bridge above may be there"];
const NVIDIA_OLD_MIRROR: [&str; 2] = ["NVIDIA old mirror", "other registers of the page are the driver's"];
const NVIDIA_MIRROR: [&str; 2] = ["NVIDIA mirror", "drivers read configuration space here"];
const NVIDIA_OTHERS_AUDIO: [&str; 2] = ["NVIDIA others, audio", "configuration space of the audio function"];
const NVIDIA_WINDOW: [&str; 2] = ["NVIDIA window", "only the video BIOS has a use for it"];
const NVIDIA_PORTS_3D0H_AND_3D4H: [&str; 2] = ["NVIDIA ports 3D0h and 3D4h", "a window to BAR 0"];
const BE2NET: [&str; 2] = ["be2net", "in BAR 0 or 1, by generation"];
const RTL8168_CSI: [&str; 2] =
    ["RTL8168 CSI", "writes to configuration space, of all functions; used for latency alone"];
const RTL8168_ERI: [&str; 2] = ["RTL8168 ERI", "type 1 is the MSI-X table; others are the driver's"];
const RTL8168_PORTS: [&str; 2] = ["RTL8168 ports", "the same registers; drivers use memory"];
const SKGE_COPY: [&str; 2] = ["skge copy", "among other registers"];
const SKY2_COPY: [&str; 2] = ["sky2 copy", "the driver reads and writes configuration space here"];
const CXGB4_WINDOW: [&str; 2] = ["cxgb4 window", "configuration space of any function of the adapter"];
const TG3_WINDOWS: [&str; 2] = ["tg3 windows", "78h to 84h are in no capability"];
const BNX2_WINDOW: [&str; 2] = ["bnx2 window", "78h and 80h are in no capability"];
const BNX2X_WINDOW: [&str; 2] = ["bnx2x window", "78h and 80h are in no capability"];
const BNX2X_MIRROR: [&str; 2] = ["bnx2x mirror", "the page is all of it"];
const BRCMFMAC_WINDOW: [&str; 2] = ["brcmfmac window", "where it is, is for a register at 80h to say"];
const BCMA_AND_SSB_WINDOWS: [&str; 2] = ["bcma and ssb windows", "80h to ACh are in no capability"];
const MLX5_GATEWAY: [&str; 2] = ["mlx5 gateway", "a vendor's capability, which no guest has"];
const VIRTIO_WINDOW: [&str; 2] = ["virtio window", "no rule shows type 5"];
const IGD_BDSM_COPY: [&str; 2] =
    ["IGD BDSM copy", "where memory is stolen in the host; hidden as the register is"];
const IGD_GGC_COPY: [&str; 2] = ["IGD GGC copy", "hidden as the register is"];
const IGD_GTT_WINDOW: [&str; 2] = ["IGD GTT window", "host addresses are behind it"];
const IGD_OPREGION: [&str; 2] = ["IGD OpRegion", "FCh is in no capability"];
const IGD_GMCH: [&str; 2] = ["IGD GMCH", "50h is in no capability"];
const IGD_BDSM: [&str; 2] = ["IGD BDSM", "5Ch and C0h are in no capability"];
const IXGBE_WINDOW_82599: [&str; 2] = ["ixgbe window, 82599", "configuration space of its virtual functions"];
const IXGBE_WINDOW_X550: [&str; 2] = ["ixgbe window, X550", "configuration space of its virtual functions"];
const I40E_WINDOW: [&str; 2] =
    ["i40e window", "configuration space of its virtual functions: its data register"];
const ICE_WINDOW: [&str; 2] =
    ["ice window", "configuration space of its virtual functions: its data register"];
const E1000_PORTS: [&str; 2] = ["e1000 ports", "a way to all of BAR 0, around its trapped pages"];
const VMD: [&str; 2] = ["VMD", "BAR 0 is the configuration space of its bus"];

/// The mirrors, by vendor, one line each.
pub const KNOWN: &[Known] = &[
    mirror(0x1002, ANY, DISPLAY, Memory32(2), view(0xf00, 0x100, 0x00), ATI_MIRROR_OF_OLD),
    mirror(0x1002, ANY, DISPLAY, Memory64(2), view(0x4000, 0x1000, 0x00), ATI_MIRROR),
    mirror(0x1002, ANY, DISPLAY, Ports(4), NoPorts, ATI_WINDOW),
    mirror(0x1002, ANY, DISPLAY, Nowhere, NoLegacyPorts, ATI_PORT_3C3H),
    mirror(0x1002, ANY, DISPLAY, Memory(5), Refused(Reasons::INDEXED_REGISTERS), AMDGPU_INDEX_AND_DATA),
    mirror(0x1002, Ids::one(0x6649), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x6650, 0x6651), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::one(0x6658), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x665c, 0x665d), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x67a0, 0x67a2), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x67a8, 0x67aa), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x67b0, 0x67b1), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::range(0x67b8, 0x67ba), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x1002, Ids::one(0x67be), ALWAYS, Nowhere, Hidden, RADEON_RESET),
    mirror(0x10de, ANY, DISPLAY, Memory(0), pass(0x88068, Width::Byte, 0xff), NVIDIA_INTERRUPT_TO_NV50),
    mirror(0x10de, ANY, DISPLAY, Memory(0), pass(0x88704, Width::Byte, 0xff), NVIDIA_INTERRUPT_FROM_GF100),
    mirror(0x10de, ANY, DISPLAY, Memory(0), pass(0x88704, Width::Dword, 0x00), NVIDIA_INTERRUPT_FROM_G84),
    mirror(0x10de, ANY, DISPLAY, Memory(0), closed(0x1900, 0x700), NVIDIA_OTHERS_OLD_MIRROR),
    mirror(0x10de, ANY, DISPLAY, Memory(0), view(0x1800, 0x100, 0x00), NVIDIA_OLD_MIRROR),
    mirror(0x10de, ANY, DISPLAY, Memory(0), view(0x88000, 0x1000, 0x00), NVIDIA_MIRROR),
    mirror(0x10de, ANY, DISPLAY, Memory(0), closed(0x8a000, 0x1000), NVIDIA_OTHERS_AUDIO),
    mirror(0x10de, ANY, DISPLAY, Ports(5), NoPorts, NVIDIA_WINDOW),
    mirror(0x10de, ANY, DISPLAY, Nowhere, NoLegacyPorts, NVIDIA_PORTS_3D0H_AND_3D4H),
    mirror(0x10df, Ids::range(0x0720, 0x0728), PHYSICAL, Nowhere, Refused(Reasons::UNKNOWN_PLACE), BE2NET),
    mirror(0x10ec, Ids::one(0x8125), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8126), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8136), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8161), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8162), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8168), ALWAYS, Memory(2), closed(0x64, 0x8), RTL8168_CSI),
    mirror(0x10ec, Ids::one(0x8125), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8126), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8136), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8161), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8162), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8168), ALWAYS, Memory(2), gate(0x74, 0x7fff_0000, 1 << 16), RTL8168_ERI),
    mirror(0x10ec, Ids::one(0x8125), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x10ec, Ids::one(0x8126), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x10ec, Ids::one(0x8136), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x10ec, Ids::one(0x8161), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x10ec, Ids::one(0x8162), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x10ec, Ids::one(0x8168), ALWAYS, Ports(0), NoPorts, RTL8168_PORTS),
    mirror(0x1148, Ids::range(0x4300, 0x4320), ETHERNET, Memory(0), view(0x380, 0x80, 0x00), SKGE_COPY),
    mirror(0x1148, Ids::range(0x9000, 0x9e01), ETHERNET, Memory(0), view(0x1c00, 0x200, 0x00), SKY2_COPY),
    mirror(0x11ab, Ids::one(0x4320), ETHERNET, Memory(0), view(0x380, 0x80, 0x00), SKGE_COPY),
    mirror(0x11ab, Ids::one(0x5005), ETHERNET, Memory(0), view(0x380, 0x80, 0x00), SKGE_COPY),
    mirror(0x11ab, Ids::range(0x4340, 0x4382), ETHERNET, Memory(0), view(0x1c00, 0x200, 0x00), SKY2_COPY),
    mirror(0x1425, Ids::range(0x4000, 0x6fff), PHYSICAL, Memory(0), closed(0x3060, 0x8), CXGB4_WINDOW),
    mirror(0x14e4, ANY, ETHERNET, Nowhere, Hidden, TG3_WINDOWS),
    mirror(0x14e4, ANY, ETHERNET, Nowhere, Hidden, BNX2_WINDOW),
    mirror(0x14e4, ANY, ETHERNET, Nowhere, Hidden, BNX2X_WINDOW),
    mirror(0x14e4, Ids::range(0x163d, 0x163f), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x164e, 0x1650), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x1662, 0x1663), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::one(0x166f), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::one(0x168a), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x168d, 0x168e), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x16a1, 0x16a2), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x16a4, 0x16a5), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::one(0x16a9), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::one(0x16ab), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, Ids::range(0x16ad, 0x16af), ALWAYS, Memory(0), view(0x2000, 0x1000, 0x00), BNX2X_MIRROR),
    mirror(0x14e4, ANY, WIRELESS, Nowhere, Refused(Reasons::MOVING_WINDOW), BRCMFMAC_WINDOW),
    mirror(0x14e4, ANY, WIRELESS, Nowhere, Hidden, BCMA_AND_SSB_WINDOWS),
    mirror(0x15b3, ANY, ALWAYS, Nowhere, Hidden, MLX5_GATEWAY),
    mirror(0x19a2, Ids::range(0x0000, 0xffff), PHYSICAL, Nowhere, Refused(Reasons::UNKNOWN_PLACE), BE2NET),
    mirror(0x1af4, ANY, ALWAYS, Nowhere, Hidden, VIRTIO_WINDOW),
    mirror(0x8086, ANY, GRAPHICS, Memory(0), view(0x0010_80c0, 0x8, 0xc0), IGD_BDSM_COPY),
    mirror(0x8086, ANY, GRAPHICS, Memory(0), view(0x0010_8040, 0x4, 0x50), IGD_GGC_COPY),
    mirror(0x8086, ANY, GRAPHICS, Ports(4), NoPorts, IGD_GTT_WINDOW),
    mirror(0x8086, ANY, GRAPHICS, Nowhere, Hidden, IGD_OPREGION),
    mirror(0x8086, ANY, GRAPHICS, Nowhere, Hidden, IGD_GMCH),
    mirror(0x8086, ANY, GRAPHICS, Nowhere, Hidden, IGD_BDSM),
    mirror(0x8086, Ids::range(0x10f7, 0x10fc), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x1507), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x1514), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x1517), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x151c), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::range(0x1528, 0x152a), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x154a), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x154d), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x154f), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::range(0x1557, 0x1558), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::range(0x155c, 0x155d), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x1560), NIC, Memory(0), closed(0x11088, 0x8), IXGBE_WINDOW_82599),
    mirror(0x8086, Ids::one(0x1563), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::range(0x15aa, 0x15ae), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::one(0x15b0), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::range(0x15c2, 0x15c4), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::range(0x15c6, 0x15c8), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::one(0x15ce), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::one(0x15d1), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::range(0x15e4, 0x15e5), NIC, Memory(0), closed(0x11508, 0xc), IXGBE_WINDOW_X550),
    mirror(0x8086, Ids::one(0x0cf8), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x0d58), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x0dda), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x101f), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::range(0x104e, 0x104f), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x1572), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x1574), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::range(0x1580, 0x1581), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::range(0x1583, 0x158b), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::one(0x15ff), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::range(0x37ce, 0x37d3), NIC, Memory(0), closed(0x9c100, 0x4), I40E_WINDOW),
    mirror(0x8086, Ids::range(0x124c, 0x124f), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::one(0x151d), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::one(0x1591), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::one(0x1592), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::one(0x1593), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::range(0x1599, 0x159b), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::one(0x1888), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::range(0x188a, 0x188e), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::range(0x1890, 0x1894), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, Ids::range(0x1897, 0x1899), NIC, Memory(0), closed(0x9e500, 0x4), ICE_WINDOW),
    mirror(0x8086, ANY, ETHERNET, Nowhere, NoPortsBesideBar0, E1000_PORTS),
    mirror(0x8086, Ids::one(0x201d), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0x28c0), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0x467f), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0x4c3d), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0x7d0b), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0x9a0b), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0xa77f), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
    mirror(0x8086, Ids::one(0xad0b), ALWAYS, Nowhere, Refused(Reasons::OWN_BUS), VMD),
];
