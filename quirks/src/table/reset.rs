//! Resets that do not work, and those that only one kind of device has.

use super::identity::Traits;
use super::row::{Known, Says, When, one};
use crate::{DeviceReset, Flags};
use DeviceReset::{
    DelayAfterFlr, HinicFirmware, IvyBridgeGraphics, NvmeDisable, RadeonConfig, UnadvertisedFlr,
};
use Says::Reset;

const ALWAYS: When = When::ALWAYS;
const NVME: When = When::interface(0x01_0802);
const ROOT_BUS: Traits = Traits::ROOT_BUS;

const NO_BUS_RESET: Says = Says::Flags(Flags::NO_BUS_RESET);
const NO_PM_RESET: Says = Says::Flags(Flags::NO_PM_RESET);
const NO_FLR: Says = Says::Flags(Flags::NO_FLR);

pub(super) const ROWS: &[Known] = &[
    one(0x025e, 0xf1ac, ALWAYS, Reset(DelayAfterFlr), "P44 Pro is not ready after 100 ms"),
    one(0x1002, 0x6649, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x6650, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x6651, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x6658, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x665c, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x665d, ALWAYS, Reset(RadeonConfig), "Bonaire has no reset but this"),
    one(0x1002, 0x67a0, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67a1, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67a2, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67a8, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67a9, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67aa, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67b0, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67b1, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67b8, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67b9, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67ba, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1002, 0x67be, ALWAYS, Reset(RadeonConfig), "Hawaii has no reset but this"),
    one(0x1022, 0x1487, ALWAYS, NO_FLR, "Matisse's HD audio hangs"),
    one(0x1022, 0x148c, ALWAYS, NO_FLR, "Starship's USB 3.0 hangs"),
    one(0x1022, 0x149c, ALWAYS, NO_FLR, "Matisse's USB 3.0 hangs"),
    one(0x1022, 0x7901, ALWAYS, NO_FLR, "FCH SATA hangs"),
    one(0x104c, 0xb005, ALWAYS, NO_BUS_RESET, "KeyStone does not come back"),
    one(0x10de, 0x22ce, ALWAYS, NO_BUS_RESET, "GB10's root ports lose their link"),
    one(0x10de, 0x22d0, ALWAYS, NO_BUS_RESET, "GB10's root ports lose their link"),
    one(0x144d, 0xa804, NVME, Reset(NvmeDisable), "SM961 and PM961 hang if they are enabled"),
    one(0x14c3, 0x0616, ALWAYS, NO_FLR, "MT7922 hangs"),
    one(0x14c3, 0x7925, ALWAYS, NO_FLR, "MT7925 hangs"),
    one(0x15b3, 0xcb84, ALWAYS.lacks(ROOT_BUS), NO_PM_RESET, "a Spectrum switch says that D3hot resets it"),
    one(0x15b3, 0xcf6c, ALWAYS.lacks(ROOT_BUS), NO_PM_RESET, "a Spectrum switch says that D3hot resets it"),
    one(0x15b3, 0xcf70, ALWAYS.lacks(ROOT_BUS), NO_PM_RESET, "a Spectrum switch says that D3hot resets it"),
    one(0x15b3, 0xcf80, ALWAYS.lacks(ROOT_BUS), NO_PM_RESET, "a Spectrum switch says that D3hot resets it"),
    one(0x168c, 0x0030, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x168c, 0x0032, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x168c, 0x0033, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x168c, 0x0034, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x168c, 0x003c, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x168c, 0x003e, ALWAYS, NO_BUS_RESET, "Atheros Wi-Fi does not come back"),
    one(0x177d, 0xa100, ALWAYS, NO_BUS_RESET, "a CN8xxx root port: some devices do not come back"),
    one(0x17cb, 0x0308, ALWAYS, NO_BUS_RESET, "Qualcomm's radios and modems do not come back"),
    one(0x17cb, 0x1103, ALWAYS, NO_BUS_RESET, "Qualcomm's radios and modems do not come back"),
    one(0x17cb, 0x1107, ALWAYS, NO_BUS_RESET, "Qualcomm's radios and modems do not come back"),
    one(0x19e5, 0x375e, ALWAYS, Reset(HinicFirmware), "HINIC's firmware takes part"),
    one(0x1b21, 0x1164, ALWAYS, NO_BUS_RESET, "ASM1164 loses its link"),
    one(0x8086, 0x0156, ALWAYS, Reset(IvyBridgeGraphics), "Ivy Bridge graphics have no reset but this"),
    one(0x8086, 0x0166, ALWAYS, Reset(IvyBridgeGraphics), "Ivy Bridge graphics have no reset but this"),
    one(0x8086, 0x0953, ALWAYS, Reset(DelayAfterFlr), "DC P3700 is not ready after 100 ms"),
    one(0x8086, 0x0a54, ALWAYS, Reset(DelayAfterFlr), "DC P4510 is not ready after 100 ms"),
    one(0x8086, 0x10ed, ALWAYS, Reset(UnadvertisedFlr), "82599 VF has FLR and does not say so"),
    one(0x8086, 0x1502, ALWAYS, NO_FLR, "82579LM hangs"),
    one(0x8086, 0x1503, ALWAYS, NO_FLR, "82579V hangs"),
    one(0xd063, 0x1000, When::revisions(0x01, 0x01), NO_FLR, "SolidRun's SNET DPU hangs, the first of them"),
];
