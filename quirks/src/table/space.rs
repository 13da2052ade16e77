//! Configuration space: vital product data, the ROM, a list that ends early.

use super::row::{Known, Says, When, one};
use crate::Flags;

const ALWAYS: When = When::ALWAYS;
const BRIDGE: When = When::class(0x0604);

const CAP_LIST_TRUNCATED: Says = Says::Flags(Flags::CAP_LIST_TRUNCATED);
const ROM_BAR_OVERLAP: Says = Says::Flags(Flags::ROM_BAR_OVERLAP);
const VPD_BLACKLIST: Says = Says::Flags(Flags::VPD_BLACKLIST);

pub(super) const ROWS: &[Known] = &[
    one(0x1000, 0x002f, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x005b, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x005d, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x005f, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0060, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0071, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0073, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0078, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0079, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x007c, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1000, 0x0413, ALWAYS, VPD_BLACKLIST, "a MegaRAID SAS controller"),
    one(0x1c36, 0x0031, BRIDGE, VPD_BLACKLIST, "an Annapurna Labs root port"),
    one(0x8086, 0x0443, ALWAYS, CAP_LIST_TRUNCATED, "MSI is the last of the list, and PCI Express is at 50h"),
    one(0x8086, 0x1533, ALWAYS, ROM_BAR_OVERLAP, "I210 decodes its ROM over its BARs"),
    one(0x8086, 0x1536, ALWAYS, ROM_BAR_OVERLAP, "I210 decodes its ROM over its BARs"),
    one(0x8086, 0x1537, ALWAYS, ROM_BAR_OVERLAP, "I210 decodes its ROM over its BARs"),
    one(0x8086, 0x1538, ALWAYS, ROM_BAR_OVERLAP, "I210 decodes its ROM over its BARs"),
];
