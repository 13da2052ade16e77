//! A function under mediation, and the path of an access to it.

use capabilities::{Access, Lanes, Sbdf, Width};
use zerocopy::FromZeros;

use crate::Host;
use crate::audit::Audit;
use crate::bar::Bar;
use crate::map::{self, DefineError, Definition, Found, Index, Source};
use crate::mapping::Mapping;
use crate::msi::Msi;
use crate::msix::{Msix, Vector};
use crate::refusal::Refusal;
use crate::register::{Effect, Register};
use crate::withheld::{Region, TRAPPED};

/// Whose view of a function this is. It is given at attach and never derived from who owns the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub enum View {
    /// The hardware domain's: all is as the device has it but what the hypervisor must control.
    Hardware = 0,
    /// An unprivileged guest's.
    Guest,
}

/// The number of BARs and the expansion ROM together.
pub(crate) const BARS: usize = 7;
/// Where the expansion ROM stands among the BARs.
pub(crate) const ROM: usize = 6;

/// What a function is made of, registers and MSI-X vectors aside. All zeros is a function with nothing mediated.
#[derive(FromZeros)]
#[repr(C)]
pub struct State {
    pub(crate) index: Index,
    pub(crate) sbdf: u32,
    pub(crate) view: View,
    pub(crate) rom_register: u8,
    pub(crate) bars: [Bar; BARS],
    pub(crate) mapping: Mapping,
    pub(crate) msi: Msi,
    pub(crate) msix: Msix,
    /// The bytes whose pages trap: the MSI-X table, the PBA, and what is withheld. Those that there are not have no size.
    pub(crate) regions: [Region; TRAPPED],
    /// COMMAND of the physical function before a guest got it.
    pub(crate) original_command: u16,
    /// A guest's firmware may place BARs until it first enables decoding.
    pub(crate) by_firmware: bool,
    /// It is away, to be reset: it reads all ones, and nothing can be written.
    pub(crate) withdrawn: bool,
    /// Its guest can have it reset, and sees that where the device says so.
    pub(crate) resettable: bool,
    pub(crate) audit: Audit,
}

// With 96 registers and what its owner keeps beside it: at most 4 KiB for a function, its MSI-X vectors aside.
static_assertions::const_assert!(size_of::<State>() + 96 * size_of::<Register>() <= 4096 - 48);

impl State {
    /// All zeros again, but for what was refused.
    pub(crate) fn forget(&mut self) {
        let Self {
            index,
            sbdf,
            view,
            rom_register,
            bars,
            mapping,
            msi,
            msix,
            regions,
            original_command,
            by_firmware,
            withdrawn,
            resettable,
            audit: _,
        } = self;
        index.zero();
        sbdf.zero();
        view.zero();
        rom_register.zero();
        bars.zero();
        mapping.zero();
        msi.zero();
        msix.zero();
        regions.zero();
        original_command.zero();
        by_firmware.zero();
        withdrawn.zero();
        resettable.zero();
    }

    /// The physical function.
    #[inline]
    pub fn sbdf(&self) -> Sbdf {
        Sbdf(self.sbdf)
    }

    /// Whose view of it this is.
    pub fn view(&self) -> View {
        self.view
    }

    /// Its BARs 0 to 5 and, last, its expansion ROM.
    pub fn bars(&self) -> &[Bar; 7] {
        &self.bars
    }

    /// The state of its MSI capability; `None` if it has none or it is hidden.
    pub fn msi(&self) -> Option<&Msi> {
        self.msi.exists().then_some(&self.msi)
    }

    /// The state of its MSI-X capability; `None` if it has none or it is hidden.
    pub fn msix(&self) -> Option<&Msix> {
        self.msix.exists().then_some(&self.msix)
    }
}

/// The locks that the caller of a write holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locked {
    /// The domain's, shared, and the function's own: enough for anything that changes no mapping.
    Shared,
    /// The domain's, exclusive.
    Exclusive,
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// It took effect, or was dropped.
    Done,
    /// It takes effect once [`Function::step`] has changed the p2m; the writer must not go on before.
    Pending,
    /// A guest asks for a reset of the function, and nothing else was done. It is [withdrawn](Function::withdraw), reset,
    /// and [given back](Function::reattach); meanwhile the guest sees a function that is not ready (PCIe 6.6.2).
    Reset,
    /// It changes a mapping: nothing was done; repeat it with [`Locked::Exclusive`].
    NeedsExclusive,
}

/// A function: its state, its registers and its MSI-X vectors, each in memory of the caller's.
pub struct Function<'m> {
    /// The state.
    pub state: &'m mut State,
    /// Room for registers; the map says how many are in use.
    pub registers: &'m mut [Register],
    /// Room for the MSI-X vectors.
    pub vectors: &'m mut [Vector],
}

impl Function<'_> {
    /// Whether a guest sees it.
    pub(crate) const fn is_guest(&self) -> bool {
        cfg!(feature = "guest") && matches!(self.state.view, View::Guest)
    }

    /// Whether it left its domain for a reset, and did not come back. Without guests, nothing does.
    pub const fn is_withdrawn(&self) -> bool {
        cfg!(feature = "guest") && self.state.withdrawn
    }

    /// Reads as the domain does. The value stands in the low bits.
    ///
    /// Work: one lookup, and at most three hardware accesses.
    pub fn read<H: Host>(&self, host: &H, access: Access) -> u32 {
        match read_virtual(self.state, self.registers, access) {
            Some(value) => value,
            None => self.read_physical(host, access),
        }
    }

    /// Reads where hardware has a part in the value, or nothing is.
    fn read_physical<H: Host>(&self, host: &H, access: Access) -> u32 {
        if self.is_withdrawn() {
            return access.value_mask();
        }
        match self.state.index.find(access.dword()) {
            Found::Hidden => 0,
            Found::Gap if self.is_guest() => 0,
            Found::Gap => {
                host.config_read(self.state.sbdf(), access.offset(), access.width()) & access.value_mask()
            }
            Found::Register(at) => {
                let Some(register) = self.registers.get(at) else { return access.value_mask() };
                let hardware = self.read_hardware(host, register, access) & register.hardware;
                ((register.value | hardware) & !register.hidden) >> access.shift() & access.value_mask()
            }
        }
    }

    /// The hardware behind the lanes of `access`, register by register and gap by gap.
    fn read_hardware<H: Host>(&self, host: &H, register: &Register, access: Access) -> u32 {
        let base = access.dword() * 4;
        let mut left = access.lanes();
        let mut value = 0;
        while !left.is_empty() {
            let piece = register.piece(left);
            // What a guest reaches of a register, it reaches in accesses of its own width.
            let lanes = if self.is_guest() { left.and(piece.lanes) } else { piece.lanes };
            if register.hardware & lanes.mask() != 0 {
                value |= self.read_lanes(host, base, lanes);
            }
            left = left.without(piece.lanes);
        }
        value
    }

    /// Reads `lanes`, which one access covers, of the physical dword at `base`.
    fn read_lanes<H: Host>(&self, host: &H, base: u16, lanes: Lanes) -> u32 {
        let (first, width) = span(lanes);
        let value = host.config_read(self.state.sbdf(), base + first, width);
        (value << (8 * first)) & lanes.mask()
    }

    /// Writes `lanes` of `value`, which one access covers, to the physical dword at `base`.
    fn write_lanes<H: Host>(&self, host: &H, base: u16, lanes: Lanes, value: u32) {
        let (first, width) = span(lanes);
        let value = (value & lanes.mask()) >> (8 * first);
        host.config_write(self.state.sbdf(), base + first, width, value);
    }

    /// Writes as the domain does; bits of `value` past the access's width do not count.
    ///
    /// Work: one lookup, and at most six hardware accesses, but for MSI-X control, whose work is bounded by the
    /// number of vectors, and MSI, whose work is bounded by 32 vectors.
    pub fn write<H: Host>(&mut self, host: &H, access: Access, value: u32, locked: Locked) -> Written {
        if write_virtual(self.state, self.registers, access, value) {
            return Written::Done;
        }
        self.write_physical(host, access, value, locked)
    }

    /// Writes where hardware or an effect has a part, nothing is, or bits are written that stay as they are.
    fn write_physical<H: Host>(&mut self, host: &H, access: Access, value: u32, locked: Locked) -> Written {
        if self.is_withdrawn() {
            return Written::Done;
        }
        let value = value & access.value_mask();
        self.state.audit.serve(access.offset(), access.width().bytes(), value);
        let at = match self.state.index.find(access.dword()) {
            Found::Gap if !self.is_guest() => {
                host.config_write(self.state.sbdf(), access.offset(), access.width(), value);
                return Written::Done;
            }
            Found::Hidden | Found::Gap => {
                self.refuse(Refusal::HiddenWrite);
                return Written::Done;
            }
            Found::Register(at) => at,
        };
        let Some(&register) = self.registers.get(at) else { return Written::Done };
        let data = value << access.shift();
        let effect = register.effect;
        let effect_lane = Lanes::from_bits(if effect.acts() { 1 << effect.lane() } else { 0 });
        if locked == Locked::Shared && self.changes_mapping(&register, access.lanes(), data) {
            return Written::NeedsExclusive;
        }
        if self.is_guest() {
            self.audit_write(&register, access.lanes(), data);
            if effect == Effect::Reset && register.asks_for_reset(data, access.lanes().mask()) {
                return Written::Reset;
            }
        }
        let base = access.dword() * 4;
        let mut left = access.lanes();
        let mut written = Written::Done;
        while !left.is_empty() {
            let piece = register.piece(left);
            let lanes = left.and(piece.lanes);
            left = left.without(piece.lanes);
            if !piece.register {
                self.write_lanes(host, base, lanes, data);
                continue;
            }
            let mask = lanes.mask();
            if effect.acts() && piece.lanes.contains(effect_lane) {
                let old = if register.hardware & piece.lanes.mask() != 0 && lanes != piece.lanes {
                    let asked = self.state.mapping.asked(effect);
                    asked.unwrap_or_else(|| {
                        register.value | self.read_lanes(host, base, piece.lanes) & register.hardware
                    })
                } else {
                    register.value
                };
                let value = (old & !mask | data & mask) >> (8 * effect.lane());
                // An enable bit that is not written is the device's, and may be news.
                if locked == Locked::Shared && self.changes_mapping(&register, Lanes::ALL, value) {
                    return Written::NeedsExclusive;
                }
                match self.act(host, at, access.dword(), effect, value) {
                    Written::Done => {}
                    other => written = other,
                }
                continue;
            }
            if register.hardware & piece.lanes.mask() != 0 {
                let whole = if self.is_guest() { lanes } else { piece.lanes };
                self.write_through(host, &register, base, whole, lanes, data);
            }
            if let Some(register) = self.registers.get_mut(at) {
                register.store(data, mask & !register.hardware);
            }
        }
        written
    }

    /// Counts what a guest writes to bits that it may not change, those aside that an effect looks at.
    fn audit_write(&mut self, register: &Register, lanes: Lanes, data: u32) {
        let effect = register.effect;
        let acts = if effect.acts() {
            register.piece(Lanes::from_bits(1 << effect.lane())).lanes
        } else {
            Lanes::NONE
        };
        let mask = lanes.without(acts).mask();
        if register.keeps(data, mask) {
            self.refuse(Refusal::ReadOnly);
        }
        if effect == Effect::NoReset && register.asks_for_reset(data, mask) {
            self.refuse(Refusal::Reset);
        }
    }

    /// Writes a physical register of `whole` lanes of which the access has `lanes`: bits that the domain may not
    /// change keep their value, RW1C bits that it did not write are written as 0.
    fn write_through<H: Host>(
        &self,
        host: &H,
        register: &Register,
        base: u16,
        whole: Lanes,
        lanes: Lanes,
        data: u32,
    ) {
        let changed = register.hardware & (register.write | register.clear) & whole.mask();
        if changed == 0 && self.is_guest() {
            return;
        }
        let zeroed = register.hidden & register.write;
        let old = if lanes == whole && changed == whole.mask() {
            0
        } else {
            self.read_lanes(host, base, whole) & !register.clear
        };
        let take = changed & lanes.mask();
        self.write_lanes(host, base, whole, (old & !take | data & take) & !zeroed);
    }

    /// Whether the write would start or redirect a change of the p2m.
    fn changes_mapping(&self, register: &Register, lanes: Lanes, data: u32) -> bool {
        // Both enable bits are in the first lane.
        let enables = lanes.contains(Lanes::from_bits(1));
        match register.effect {
            // CAST: COMMAND is the low word.
            Effect::Command => enables && self.command_changes_mapping(data as u16),
            Effect::Rom => self.is_pending() || enables && self.rom_changes_mapping(data),
            _ => false,
        }
    }

    /// The effect of a write of `value`, the whole new value of the register number `at` in this dword.
    fn act<H: Host>(&mut self, host: &H, at: usize, dword: u16, effect: Effect, value: u32) -> Written {
        let word = value as u16; // CAST: the control, command and data registers are words.
        match effect {
            Effect::Command if self.is_guest() => return self.write_guest_command(host, at, word),
            Effect::Command => return self.write_command(host, word),
            Effect::Rom if self.is_guest() => return self.write_guest_rom(at, value),
            Effect::Rom => return self.write_rom(host, value),
            Effect::Bar if self.is_guest() => self.write_guest_bar(at, dword * 4, value),
            Effect::Bar => self.write_bar(host, dword * 4, value),
            Effect::PowerState if self.is_guest() => return self.write_power_state(at, value),
            Effect::Vpd if self.is_guest() => self.write_vpd(host, at, dword, value),
            Effect::None
            | Effect::Plain
            | Effect::Reset
            | Effect::NoReset
            | Effect::PowerState
            | Effect::Vpd => {}
            Effect::MsiControl => self.write_msi_control(host, at, word),
            Effect::MsiAddress => self.write_msi_address(host, at, value),
            Effect::MsiAddressHigh => self.write_msi_address_high(host, at, value),
            Effect::MsiData => self.write_msi_data(host, at, word),
            Effect::MsiMask => self.write_msi_mask(host, at, value),
            Effect::MsixControl => self.write_msix_control(host, at, word),
        }
        Written::Done
    }

    /// Adds a register.
    ///
    /// # Errors
    ///
    /// See [`DefineError`].
    pub fn define(&mut self, definition: &Definition) -> Result<(), DefineError> {
        map::define(&mut self.state.index, self.registers, definition)
    }

    /// Adds a read-write register whose writes have an effect.
    pub(crate) fn define_effect(
        &mut self,
        offset: u16,
        width: Width,
        source: Source,
        effect: Effect,
    ) -> Result<(), DefineError> {
        self.define(&Definition::new(offset, width, source))?;
        let register = self.state.index.ensure(self.registers, offset / 4);
        register.ok_or(DefineError::Full)?.effect = effect;
        Ok(())
    }

    /// Sets the virtual bits under `mask` of the register with the number `at`.
    pub(crate) fn set_register(&mut self, at: usize, value: u32, mask: u32) {
        if let Some(register) = self.registers.get_mut(at) {
            register.set(value, mask);
        }
    }
}

/// The short way of [`Function::read`]: one lookup, if no hardware has a part in the value.
#[inline]
pub fn read_virtual(state: &State, registers: &[Register], access: Access) -> Option<u32> {
    let register = registers.get(state.index.register(access.dword())?)?;
    let virt = register.hardware & access.value_mask() << access.shift() == 0;
    virt.then(|| register.load(access))
}

/// The short way of [`Function::write`]: one lookup, if the whole dword is virtual, nothing comes of writing it, and no
/// bit is to change that may not. Whether it was taken.
#[inline]
pub fn write_virtual(state: &State, registers: &mut [Register], access: Access, value: u32) -> bool {
    let register = state.index.register(access.dword()).and_then(|at| registers.get_mut(at));
    let Some(register) = register.filter(|register| register.effect == Effect::Plain) else { return false };
    if access.is_dword() {
        register.take(value, u32::MAX)
    } else {
        register.take(value << access.shift(), access.value_mask() << access.shift())
    }
}

/// Where lanes that one aligned access covers start, and its width.
const fn span(lanes: Lanes) -> (u16, Width) {
    let width = match lanes.bits().count_ones() {
        1 => Width::Byte,
        2 => Width::Word,
        _ => Width::Dword,
    };
    (lanes.first(), width)
}
