//! Rows about more than one device.

use super::identity::Traits;
use super::row::{ANY, Known, Says, When, many, span};
use crate::{DeviceReset, Flags};
use DeviceReset::ChelsioMsix;
use Says::{D3hotDelay, Reset, VpdLength};

const ALWAYS: When = When::ALWAYS;
const IDE: When = When::class(0x0101);
const ETHERNET: When = When::class(0x0200);
const VGA: When = When::class(0x0300);
const HDA: When = When::class(0x0403);
const DOWNSTREAM_PORT: When = When::has(Traits::DOWNSTREAM_PORT);
const ROOT_PORT: When = When::has(Traits::ROOT_PORT);
const RC_ENDPOINT: When = When::has(Traits::ROOT_COMPLEX_ENDPOINT);
const PCH_PORT: When = When::has(Traits::ROOT_PORT.union(Traits::PEERS_CLOSED));
const ROOT_BUS: Traits = Traits::ROOT_BUS;
const LATER_FUNCTION: Traits = Traits::MULTI_FUNCTION.union(Traits::LATER_FUNCTION);

const NO_D3: Says = Says::Flags(Flags::NO_D3);
const NO_BUS_RESET: Says = Says::Flags(Flags::NO_BUS_RESET);
const NO_PM_RESET: Says = Says::Flags(Flags::NO_PM_RESET);
const VPD_REF_F0: Says = Says::Flags(Flags::VPD_REF_F0);
const VPD_BLACKLIST: Says = Says::Flags(Flags::VPD_BLACKLIST);
const ACS_EQUIVALENT: Says = Says::Flags(Flags::ACS_EQUIVALENT);
const ACS_DWORDS: Says = Says::Flags(Flags::ACS_DWORDS);

pub(super) const ROWS: &[Known] = &[
    many(0x1002, ANY, IDE, NO_D3, "an IDE controller breaks in D3"),
    many(0x1002, ANY, VGA.lacks(ROOT_BUS), NO_PM_RESET, "AMD's GPUs say that D3hot resets them"),
    many(0x10b9, ANY, IDE, NO_D3, "an IDE controller breaks in D3"),
    many(0x10de, ANY, HDA, D3hotDelay(20), "audio hangs if a bus reset comes soon after D0"),
    many(0x10de, span(0x2340, 0x237f), ALWAYS, NO_BUS_RESET, "a family of GPUs that do not come back"),
    many(0x1106, ANY, IDE, NO_D3, "an IDE controller breaks in D3"),
    many(0x1166, ANY, IDE, NO_D3, "an IDE controller breaks in D3"),
    many(0x1425, span(0x0020, 0x0fff).like(0x0020), ALWAYS, VpdLength(8192), "T3 has more than its end tag"),
    many(0x1425, span(0x0040, 0x0fff).like(0x0040), ALWAYS, VpdLength(8192), "T3 has more than its end tag"),
    many(0x1425, span(0x0080, 0x0fff).like(0x0080), ALWAYS, VpdLength(8192), "T3 has more than its end tag"),
    many(0x1425, span(0x4000, 0x4fff), ALWAYS, Reset(ChelsioMsix), "T4 loses interrupts unless MSI-X is on"),
    many(0x1425, span(0x4000, 0x7fff).like(0x0800), ALWAYS, VpdLength(2048), "T4 has more than its end tag"),
    many(0x1425, span(0x8000, 0xffff).like(0x0800), ALWAYS, VpdLength(2048), "T4 has more than its end tag"),
    many(0x177d, span(0xa000, 0xa7ff), ROOT_PORT, ACS_EQUIVALENT, "ThunderX: ports are apart"),
    many(0x177d, span(0xaf84, 0xaf84), ROOT_PORT, ACS_EQUIVALENT, "ThunderX: ports are apart"),
    many(0x177d, span(0xb884, 0xb884), ROOT_PORT, ACS_EQUIVALENT, "ThunderX: ports are apart"),
    many(0x1969, ANY, ALWAYS, VPD_BLACKLIST, "Atheros NICs hang, or give garbage"),
    many(0x1d17, span(0x0710, 0x071e), ROOT_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x1d17, span(0x0710, 0x071e), DOWNSTREAM_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x1d17, span(0x0721, 0x0721), ROOT_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x1d17, span(0x0721, 0x0721), DOWNSTREAM_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x1d17, span(0x0723, 0x0752), ROOT_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x1d17, span(0x0723, 0x0752), DOWNSTREAM_PORT, ACS_EQUIVALENT, "Zhaoxin: ports are apart"),
    many(0x8086, ANY, RC_ENDPOINT, ACS_EQUIVALENT, "Intel: by way of the IOMMU, always"),
    many(0x8086, ANY, ETHERNET.and(LATER_FUNCTION), VPD_REF_F0, "Intel's NICs have it once for all"),
    many(0x8086, span(0x1c10, 0x1c1f), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x1d10, 0x1d1e).like(0x0001), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x1e10, 0x1e1f), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x3b42, 0x3b51), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x8c10, 0x8c1f), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x8c90, 0x8c9e).like(0x0001), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x8d10, 0x8d1e), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x9c10, 0x9c1b), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x9c90, 0x9c9b), PCH_PORT, ACS_EQUIVALENT, "PCH ports, once told"),
    many(0x8086, span(0x9d10, 0x9d1b), ROOT_PORT, ACS_DWORDS, "PCH ports, 100 and 200 series"),
    many(0x8086, span(0xa110, 0xa11f), ROOT_PORT, ACS_DWORDS, "PCH ports, 100 and 200 series"),
    many(0x8086, span(0xa167, 0xa16a), ROOT_PORT, ACS_DWORDS, "PCH ports, 100 and 200 series"),
    many(0x8086, span(0xa290, 0xa29f), ROOT_PORT, ACS_DWORDS, "PCH ports, 100 and 200 series"),
    many(0x8086, span(0xa2e7, 0xa2ee), ROOT_PORT, ACS_DWORDS, "PCH ports, 100 and 200 series"),
    many(0x8088, span(0x0100, 0x010f), ALWAYS, ACS_EQUIVALENT, "Wangxun: functions are apart"),
    many(0x8088, span(0x1001, 0x1001), ALWAYS, ACS_EQUIVALENT, "Wangxun: functions are apart"),
    many(0x8088, span(0x2001, 0x2001), ALWAYS, ACS_EQUIVALENT, "Wangxun: functions are apart"),
];
