//! The expansion ROM register (PCIe 7.5.1.2.4).

use capabilities::{Width, header};

use crate::bar::Presence;
use crate::function::{Function, ROM};
use crate::{Host, Refusal, Written};

impl Function<'_> {
    /// Whether the ROM is in the p2m, or on its way in or out.
    fn rom_mapped(&self) -> bool {
        self.state.bars.get(ROM).is_some_and(|rom| rom.presence != Presence::Absent || rom.wanted)
    }

    /// Whether pages of it could not be unmapped.
    fn rom_stuck(&self) -> bool {
        self.state.bars.get(ROM).is_some_and(|rom| rom.presence == Presence::Stuck)
    }

    /// Whether writing `value` maps or unmaps the ROM.
    pub(crate) fn rom_changes_mapping(&self, value: u32) -> bool {
        let enable = value & header::ROM_ENABLE != 0;
        let differs = self.state.mapping.memory && enable != self.rom_mapped();
        differs || self.rom_stuck() || self.state.mapping.is_pending()
    }

    /// The hardware domain writes `value`. The address changes only while the ROM is not mapped; a write that unmaps
    /// it moves it as well.
    pub(crate) fn write_rom<H: Host>(&mut self, host: &H, value: u32) -> Written {
        let enable = value & header::ROM_ENABLE != 0;
        let mapped = self.rom_mapped();
        if mapped && enable && (self.is_pending() || !self.is_rom_at(value)) {
            self.refuse(Refusal::RomMapped);
            return Written::Done;
        }
        if !mapped {
            self.move_rom(value);
        }
        if self.rom_changes_mapping(value) {
            self.state.mapping.rom_value = value;
            self.state.mapping.rom_write = true;
            self.retarget(self.state.mapping.memory, enable);
            return Written::Pending;
        }
        self.state.mapping.rom = enable;
        let offset = u16::from(self.state.rom_register);
        host.config_write(self.state.sbdf(), offset, Width::Dword, value);
        Written::Done
    }

    /// Whether a value of the ROM's register has the address that the ROM has.
    fn is_rom_at(&self, value: u32) -> bool {
        let rom = self.state.bars.get(ROM);
        rom.is_some_and(|rom| u64::from(value & header::ROM_ADDRESS) & rom.size.wrapping_neg() == rom.address)
    }

    /// Takes the ROM's address from a value of its register, unless pages are left at the old one. Returns the address
    /// that it has.
    pub(crate) fn move_rom(&mut self, value: u32) -> u32 {
        let stuck = self.rom_stuck();
        let Some(rom) = self.state.bars.get_mut(ROM) else { return value };
        // Bits below the size are none of the register's.
        let address = u64::from(value & header::ROM_ADDRESS) & rom.size.wrapping_neg();
        if !stuck {
            rom.address = address;
            rom.guest = address;
        } else if rom.address != address {
            self.refuse(Refusal::RomMapped);
        }
        self.state.bars.get(ROM).map_or(value, |rom| rom.address as u32) // CAST: a ROM is below 4 GiB.
    }
}
