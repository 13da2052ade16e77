//! A guest's view of a function: what the policy allows, made at attach; all else does not exist.
//!
//! What a guest sees of the layout was read once. Nothing that it writes reaches the device but Bus Master Enable and
//! the bits of a rule.

use capabilities::header::{self, Command, Layout};
use capabilities::policy::{self, Act};
use capabilities::standard::pm::{NO_SOFT_RESET, POWER_STATE};
use capabilities::standard::vpd;
use capabilities::{Lanes, Width, msi, msix};

use crate::attach::{AttachError, Info};
use crate::bar::BarKind;
use crate::function::{Function, ROM};
use crate::guest_list::Allowed;
use crate::map::DefineError;
use crate::register::{Effect, Register};
use crate::{Host, Refusal, Written};

/// The bits of COMMAND that a guest may write. Of these, the device gets Bus Master Enable.
const GUEST_COMMAND: Command =
    Command::IO.union(Command::MEMORY).union(Command::MASTER).union(Command::INTX_DISABLE);

impl Function<'_> {
    /// Takes the function for a guest. Decoding is off in the guest's COMMAND and on in the device's; bus mastering and
    /// INTx are off.
    pub(crate) fn attach_guest<H: Host>(
        &mut self,
        host: &H,
        info: &Info<'_>,
        layout: Layout,
    ) -> Result<(), AttachError> {
        if layout != Layout::Endpoint || info.ignore_bars {
            return Err(AttachError::Unsupported);
        }
        self.check_rules(host, info.guest.rules)?;
        // CAST: a word was read.
        let command = host.config_read(info.sbdf, header::COMMAND, Width::Word) as u16;
        self.state.original_command = command;
        self.write_hardware_command(host, Command::INTX_DISABLE);
        if let Err(error) = self.attach_registers(host, info, layout) {
            host.config_write(info.sbdf, header::COMMAND, Width::Word, u32::from(command));
            return Err(error.into());
        }
        self.silence(host);
        self.write_rom_enable(host, true);
        self.write_hardware_command(host, self.hardware_command(Command::empty()));
        Ok(())
    }

    /// The device as another owner is to find it: quiet, its COMMAND as before but for bus mastering.
    pub(crate) fn take_from_guest<H: Host>(&mut self, host: &H) {
        self.silence(host);
        self.write_rom_enable(host, false);
        let command = Command::from_bits_retain(self.state.original_command) - Command::MASTER;
        self.write_hardware_command(host, command);
    }

    #[inline(never)]
    fn attach_registers<H: Host>(
        &mut self,
        host: &H,
        info: &Info<'_>,
        layout: Layout,
    ) -> Result<(), DefineError> {
        self.state.by_firmware = info.guest.by_firmware;
        self.state.resettable = info.guest.resettable;
        self.attach_header(host, info)?;
        self.attach_guest_bars(host, info, layout)?;
        let rules = self.rules(info.guest.rules);
        let allowed = &Allowed { rules, vpd: info.guest.vpd };
        self.attach_guest_standard(host, allowed)?;
        self.attach_guest_extended(host, allowed)?;
        self.attach_byte_rules(rules)?;
        self.seal();
        Ok(())
    }

    fn attach_header<H: Host>(&mut self, host: &H, info: &Info<'_>) -> Result<(), DefineError> {
        for dword in 0..header::LENGTH / 4 {
            let rules = policy::header_dword(dword);
            let snapshot = match info.guest.virtual_function {
                Some(function) if dword == 0 => function.ids,
                // Nothing of it is shown.
                _ if rules.snapshot == 0 => 0,
                _ => host.config_read(info.sbdf, dword * 4, Width::Dword),
            };
            if !matches!(rules.act, Act::Bar | Act::Rom) {
                self.define_guest(dword * 4, rules, snapshot)?;
            }
        }
        Ok(())
    }

    /// Defines the dword at `offset` by its policy; `snapshot` is what the device has there. The guest has no reset by it.
    pub(crate) fn define_guest(
        &mut self,
        offset: u16,
        rules: policy::Dword,
        snapshot: u32,
    ) -> Result<&mut Register, DefineError> {
        let register = self.state.index.ensure(self.registers, offset / 4).ok_or(DefineError::Full)?;
        let effect = match rules.act {
            Act::Command => Effect::Command,
            Act::Bar => Effect::Bar,
            Act::Rom => Effect::Rom,
            Act::PowerState => Effect::PowerState,
            Act::Reset => Effect::NoReset,
            // VPD Data is read-only.
            Act::Vpd if rules.acts != u32::MAX => Effect::Vpd,
            _ if rules.live == 0 => Effect::Plain,
            _ => Effect::None,
        };
        *register = Register {
            value: (snapshot & rules.snapshot | rules.ones) & !rules.live,
            hardware: rules.live,
            hidden: 0,
            write: rules.write,
            clear: if effect == Effect::NoReset { rules.acts } else { 0 },
            effect,
            mediated: Lanes::ALL.bits(),
            // COMMAND and STATUS are two registers, all others one.
            starts: if effect == Effect::Command { 0b0101 } else { 0b0001 },
        };
        Ok(register)
    }

    /// Bytes of defined dwords that no register has are virtual and read what was pinned there, else 0.
    fn seal(&mut self) {
        let used = self.state.index.len();
        for register in self.registers.iter_mut().take(used) {
            let free = Lanes::ALL.without(register.mediated());
            register.hardware &= !free.mask();
            register.mediated = Lanes::ALL.bits();
            register.starts |= free.bits();
            if register.effect == Effect::None && register.hardware == 0 {
                register.effect = Effect::Plain;
            }
        }
    }

    /// Turns MSI and MSI-X off in the device, whoever turned them on.
    fn silence<H: Host>(&self, host: &H) {
        let sbdf = self.state.sbdf();
        if let Some(offset) = self.state.msi.offset() {
            let control = offset + msi::CONTROL;
            let value = host.config_read(sbdf, control, Width::Word) & !u32::from(msi::ENABLE);
            host.config_write(sbdf, control, Width::Word, value);
        }
        if let Some(offset) = self.state.msix.offset()
            && let Some(value) = host.filter_msix_control(offset + msix::CONTROL, 0)
        {
            host.config_write(sbdf, offset + msix::CONTROL, Width::Word, u32::from(value));
        }
    }

    /// The ROM of a guest that has one is enabled in the device all the time, as the BARs are.
    fn write_rom_enable<H: Host>(&self, host: &H, enable: bool) {
        if let Some(rom) = self.state.bars.get(ROM).filter(|rom| rom.kind == BarKind::Rom) {
            // CAST: a ROM is below 4 GiB.
            let value = rom.address as u32 | if enable { header::ROM_ENABLE } else { 0 };
            host.config_write(self.state.sbdf(), header::ROM_TYPE0, Width::Dword, value);
        }
    }

    pub(crate) fn write_hardware_command<H: Host>(&self, host: &H, command: Command) {
        host.config_write(self.state.sbdf(), header::COMMAND, Width::Word, u32::from(command.bits()));
    }

    /// What the device's COMMAND is while the guest's is `guest`: it always decodes, so that an access to a page that
    /// is mapped never goes unanswered (XSA-120), and never asserts INTx.
    pub(crate) fn hardware_command(&self, guest: Command) -> Command {
        let mut command = Command::INTX_DISABLE | guest & Command::MASTER;
        for bar in &self.state.bars {
            command |= match bar.kind {
                BarKind::Memory32 | BarKind::Memory64 | BarKind::Rom => Command::MEMORY,
                BarKind::Io => Command::IO,
                BarKind::Empty | BarKind::High => Command::empty(),
            };
        }
        command
    }

    /// The guest writes `value` to COMMAND.
    pub(crate) fn write_guest_command<H: Host>(&mut self, host: &H, at: usize, value: u16) -> Written {
        let value = Command::from_bits_retain(value);
        // CAST: COMMAND is the low word.
        let old = self.registers.get(at).map_or(0, |register| register.value as u16);
        let old = Command::from_bits_retain(old);
        if (value ^ old).bits() & !GUEST_COMMAND.bits() != 0 {
            self.refuse(Refusal::ReadOnly);
        }
        let new = value & GUEST_COMMAND;
        self.set_register(at, u32::from(new.bits()), 0xffff);
        if (new ^ old).contains(Command::MASTER) {
            self.write_hardware_command(host, self.hardware_command(new));
        }
        if self.command_changes_mapping(new.bits()) {
            self.retarget(new.contains(Command::MEMORY), self.state.mapping.rom);
            return Written::Pending;
        }
        self.state.mapping.memory = new.contains(Command::MEMORY);
        if self.is_pending() { Written::Pending } else { Written::Done }
    }

    /// Clears bits of the guest's COMMAND.
    pub(crate) fn clear_guest_command(&mut self, bits: Command) {
        if let Some(at) = self.state.index.register(header::COMMAND / 4) {
            self.set_register(at, 0, u32::from(bits.bits()));
        }
    }

    /// The guest writes `value` to PMCSR's dword. The function stays in D0, whatever the guest reads: states that it
    /// does not have are ignored (PCIe 7.5.2.2). Where `No_Soft_Reset` reads 0, the way from D3hot to D0 is a reset.
    pub(crate) fn write_power_state(&mut self, at: usize, value: u32) -> Written {
        let old = self.registers.get(at).map_or(0, |register| register.value);
        let state = value & POWER_STATE;
        let known = state == 0 || state == POWER_STATE;
        if (value ^ old) & !POWER_STATE != 0 || !known {
            self.refuse(Refusal::ReadOnly);
        }
        if known {
            self.set_register(at, state, POWER_STATE);
        }
        let rises = old & POWER_STATE != 0 && state == 0;
        if rises && old & u32::from(NO_SOFT_RESET) == 0 { Written::Reset } else { Written::Done }
    }

    /// The guest writes `value` to the dword with VPD Address: where to read. The host has the data at
    /// once, so the flag says so at once (PCIe 7.9.18).
    pub(crate) fn write_vpd<H: Host>(&mut self, host: &H, at: usize, dword: u16, value: u32) {
        let word = (value >> 16) as u16; // CAST: the high half.
        if word & vpd::FLAG != 0 {
            self.refuse(Refusal::Vpd);
            return;
        }
        let address = word & vpd::ADDRESS_MASK & !3;
        let data = host.vpd_read(address);
        self.set_register(at, u32::from(address | vpd::FLAG) << 16, 0xffff_0000);
        if let Some(at) = self.state.index.register(dword + vpd::DATA / 4) {
            self.set_register(at, data, u32::MAX);
        }
    }

    /// The device has more functions than this one for its guest, or has not.
    pub fn set_multi_function(&mut self, many: bool) {
        let flag = u32::from(header::MULTI_FUNCTION) << 16;
        if let Some(at) = self.state.index.register(header::HEADER_TYPE / 4).filter(|_| self.is_guest()) {
            self.set_register(at, if many { flag } else { 0 }, flag);
        }
    }
}
