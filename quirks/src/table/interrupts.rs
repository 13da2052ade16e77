//! INTx and MSI.

use super::identity::Traits;
use super::row::{Known, Says, When, one};
use crate::Flags;

const ALWAYS: When = When::ALWAYS;
/// The SB800 has the same IDs and works.
const SB700: When = When::has(Traits::SB700);
/// Firmware of these minor versions masks `INTx`.
const CONNECTX4: When = When { sound_firmware: Some((14, 99)), ..When::ALWAYS };
const VIRTUAL: When = When::has(Traits::VIRTUAL);

const MSI_INTX_DISABLE_BUG: Says = Says::Flags(Flags::MSI_INTX_DISABLE_BUG);
const BROKEN_INTX_MASKING: Says = Says::Flags(Flags::BROKEN_INTX_MASKING);
const HAS_MSI_MASKING: Says = Says::Flags(Flags::HAS_MSI_MASKING);
const BOGUS_INTX_PIN: Says = Says::Flags(Flags::BOGUS_INTX_PIN);

pub(super) const ROWS: &[Known] = &[
    one(0x1002, 0x4373, ALWAYS, MSI_INTX_DISABLE_BUG, "SB400 USB"),
    one(0x1002, 0x4374, ALWAYS, MSI_INTX_DISABLE_BUG, "SB400 USB"),
    one(0x1002, 0x4375, ALWAYS, MSI_INTX_DISABLE_BUG, "SB400 USB"),
    one(0x1002, 0x4390, SB700, MSI_INTX_DISABLE_BUG, "SB700 SATA"),
    one(0x1002, 0x4391, SB700, MSI_INTX_DISABLE_BUG, "SB700 SATA"),
    one(0x1002, 0x4392, SB700, MSI_INTX_DISABLE_BUG, "SB700 SATA"),
    one(0x1002, 0x4393, SB700, MSI_INTX_DISABLE_BUG, "SB700 SATA"),
    one(0x1002, 0x4394, SB700, MSI_INTX_DISABLE_BUG, "SB700 SATA"),
    one(0x10de, 0x0ab8, ALWAYS, HAS_MSI_MASKING, "NVIDIA's Ion AHCI"),
    one(0x10ec, 0x8169, ALWAYS, BROKEN_INTX_MASKING, "RTL8169 Ethernet"),
    one(0x1102, 0x000b, ALWAYS, BROKEN_INTX_MASKING, "Creative's EMU20k2"),
    one(0x1425, 0x0030, ALWAYS, BROKEN_INTX_MASKING, "Chelsio T3 Ethernet"),
    one(0x14e4, 0x1668, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x14e4, 0x1669, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x14e4, 0x166a, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x14e4, 0x166b, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x14e4, 0x1678, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x14e4, 0x1679, ALWAYS, MSI_INTX_DISABLE_BUG, "BCM5780, BCM5714 and BCM5715 Ethernet"),
    one(0x15b3, 0x1003, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x1007, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x1013, CONNECTX4, BROKEN_INTX_MASKING, "ConnectX-4, until its firmware does it"),
    one(0x15b3, 0x1015, CONNECTX4, BROKEN_INTX_MASKING, "ConnectX-4, until its firmware does it"),
    one(0x15b3, 0x6340, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x634a, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6354, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6368, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6372, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6732, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x673c, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6746, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6750, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x675a, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x6764, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x15b3, 0x676e, ALWAYS, BROKEN_INTX_MASKING, "ConnectX"),
    one(0x1814, 0x0601, ALWAYS, BROKEN_INTX_MASKING, "Ralink RT2800 Wi-Fi"),
    one(0x1969, 0x1062, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0x1063, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0x1073, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0x1083, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0x1090, When::revisions(0, 0x17), MSI_INTX_DISABLE_BUG, "Atheros Ethernet, early ones"),
    one(0x1969, 0x1091, When::revisions(0, 0x17), MSI_INTX_DISABLE_BUG, "Atheros Ethernet, early ones"),
    one(0x1969, 0x10a0, When::revisions(0, 0x17), MSI_INTX_DISABLE_BUG, "Atheros Ethernet, early ones"),
    one(0x1969, 0x10a1, When::revisions(0, 0x17), MSI_INTX_DISABLE_BUG, "Atheros Ethernet, early ones"),
    one(0x1969, 0x2060, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0x2062, ALWAYS, MSI_INTX_DISABLE_BUG, "Atheros Ethernet"),
    one(0x1969, 0xe091, When::revisions(0, 0x17), MSI_INTX_DISABLE_BUG, "Atheros Ethernet, early ones"),
    one(0x1b7c, 0x0004, ALWAYS, BROKEN_INTX_MASKING, "Ceton InfiniTV"),
    one(0x8086, 0x1572, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1574, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1580, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1581, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1583, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1584, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1585, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1586, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1587, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1588, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x1589, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x158a, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x158b, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x270c, VIRTUAL, BOGUS_INTX_PIN, "a virtual function with a pin"),
    one(0x8086, 0x37d0, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x37d1, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
    one(0x8086, 0x37d2, ALWAYS, BROKEN_INTX_MASKING, "XL710 and X722 Ethernet"),
];
