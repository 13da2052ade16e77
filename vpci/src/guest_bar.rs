//! A guest's BARs and expansion ROM: they have a size and an address, and are not to be moved.
//!
//! Writing all ones asks for the size and writing the address ends that, as the specification has it; every other write
//! is dropped. The device's own registers are never written. Where firmware of the guest places BARs, it may until it
//! first enables decoding.

use capabilities::header::{self, Command, Layout};
use capabilities::policy::{Act, Dword};

use crate::attach::{AttachError, Info, VirtualFunction};
use crate::bar::{Bar, BarKind, Presence, Sized};
use crate::function::{BARS, Function, ROM};
use crate::map::DefineError;
use crate::pages::{PAGE_SHIFT, PAGE_SIZE, Pages};
use crate::{Host, Refusal, Siblings, Written};

/// A dword whose writes have an effect.
const fn acting(act: Act) -> Dword {
    Dword { write: u32::MAX, act, ..Dword::HIDDEN }
}

impl Bar {
    /// The type bits of its register.
    const fn kind_bits(&self) -> u32 {
        match self.kind {
            BarKind::Io => header::BAR_IO,
            BarKind::Memory64 if self.prefetchable => header::BAR_TYPE_64 | header::BAR_PREFETCHABLE,
            BarKind::Memory64 => header::BAR_TYPE_64,
            BarKind::Memory32 if self.prefetchable => header::BAR_PREFETCHABLE,
            _ => 0,
        }
    }

    /// Whether it is of memory: the only ones that are mapped.
    pub(crate) const fn is_memory(&self) -> bool {
        matches!(self.kind, BarKind::Memory32 | BarKind::Memory64 | BarKind::Rom)
    }

    /// What a page of it is moved by, from host to guest.
    const fn distance(&self) -> u64 {
        self.guest.wrapping_sub(self.address)
    }
}

/// The bits of a BAR's register, or of its high one, that hold an address.
const fn address_bits(size: u64, high: bool) -> u32 {
    let bits = size.wrapping_neg();
    // CAST: the halves.
    if high { (bits >> 32) as u32 } else { bits as u32 }
}

/// The half of an address that a register holds.
const fn half(address: u64, high: bool) -> u32 {
    // CAST: the halves.
    if high { (address >> 32) as u32 } else { address as u32 }
}

impl Function<'_> {
    /// Sizes the BARs and the ROM, decoding being off, and defines the guest's registers.
    pub(crate) fn attach_guest_bars<H: Host>(
        &mut self,
        host: &H,
        info: &Info<'_>,
        layout: Layout,
    ) -> Result<(), DefineError> {
        if let Some(function) = info.guest.virtual_function {
            self.take_virtual_bars(function);
        } else {
            self.size_bars(host, layout, true);
            self.size_rom(host, layout);
        }
        for (bar, address) in self.state.bars.iter_mut().zip(&info.guest.bars) {
            let address = address.filter(|_| bar.size != 0);
            bar.placed = address.is_some();
            bar.guest = address.unwrap_or(0);
        }
        for number in 0..header::BARS {
            let offset = header::BAR0 + number * 4;
            let (at, high) = self.bar_of(offset);
            let value = self
                .state
                .bars
                .get(at)
                .map_or(0, |bar| half(bar.guest, high) | if high { 0 } else { bar.kind_bits() });
            self.define_bar(offset, Act::Bar, at, value)?;
        }
        // A guest has the ROM that it was given a place for.
        if let Some(rom) = self.state.bars.get_mut(ROM).filter(|rom| !rom.placed) {
            rom.kind = BarKind::Empty;
        }
        let rom = self.state.bars.get(ROM).map_or(0, |rom| half(rom.guest, false));
        self.define_bar(header::ROM_TYPE0, Act::Rom, ROM, rom)
    }

    /// Defines the register of BAR number `at`; one that does not exist reads 0, and what is written to find that out is
    /// nothing to count.
    pub(crate) fn define_bar(
        &mut self,
        offset: u16,
        act: Act,
        at: usize,
        value: u32,
    ) -> Result<(), DefineError> {
        let exists = self.state.bars.get(at).is_some_and(|bar| bar.kind != BarKind::Empty);
        let register = self.define_guest(offset, if exists { acting(act) } else { Dword::HIDDEN }, 0)?;
        if exists {
            register.value = value;
        } else {
            register.hidden = u32::MAX;
        }
        Ok(())
    }

    /// The BARs of a virtual function are its physical function's to tell (PCIe 9.3.3.14).
    fn take_virtual_bars(&mut self, function: &VirtualFunction) {
        let mut previous = BarKind::Empty;
        for number in 0..usize::from(header::BARS) {
            let of = |values: &[u64; 6]| values.get(number).copied().unwrap_or(0);
            let size = of(&function.sizes);
            let value = function.kinds.get(number).copied().unwrap_or(0);
            let kind = if previous == BarKind::Memory64 {
                BarKind::High
            } else if !size.is_power_of_two() {
                BarKind::Empty
            } else if value & header::BAR_TYPE == header::BAR_TYPE_64 {
                BarKind::Memory64
            } else {
                BarKind::Memory32
            };
            previous = kind;
            let none = matches!(kind, BarKind::Empty | BarKind::High);
            let range = if none {
                Sized { address: 0, size: 0 }
            } else {
                Sized { address: of(&function.addresses), size }
            };
            self.set_bar(number, kind, range, value & header::BAR_PREFETCHABLE != 0);
        }
    }

    /// The number of the BAR that the register at `offset` belongs to, and whether it holds the high half.
    fn bar_of(&self, offset: u16) -> (usize, bool) {
        let at = usize::from(offset.saturating_sub(header::BAR0) / 4);
        let high = self.state.bars.get(at).is_some_and(|bar| bar.kind == BarKind::High);
        (if high { at.saturating_sub(1) } else { at }, high)
    }

    /// The guest writes `value` to the BAR register number `at` at `offset`.
    pub(crate) fn write_guest_bar(&mut self, at: usize, offset: u16, value: u32) {
        let (number, high) = self.bar_of(offset);
        let Some(bar) = self.state.bars.get_mut(number) else { return };
        let bits = address_bits(bar.size, high);
        let kind = if high { 0 } else { bar.kind_bits() };
        let asked = value & bits;
        let now = half(bar.guest, high);
        let open = self.state.by_firmware && bar.presence == Presence::Absent && !bar.wanted;
        let seen = if open {
            let shift = if high { 32 } else { 0 };
            let kept = bar.guest & !(u64::from(u32::MAX) << shift);
            bar.guest = kept | u64::from(asked) << shift;
            // Neither the lowest nor the highest address is one: they are what a BAR holds before it is placed.
            let highest = match bar.kind {
                BarKind::Memory64 => bar.size.wrapping_neg(),
                _ => u64::from(address_bits(bar.size, false)),
            };
            bar.placed = bar.guest != 0 && bar.guest != highest;
            asked
        } else if asked == bits {
            bits
        } else {
            if asked != now {
                self.refuse(Refusal::BarMoved);
            }
            now
        };
        self.set_register(at, seen | kind, u32::MAX);
    }

    /// The guest writes `value` to the ROM's register, number `at`.
    pub(crate) fn write_guest_rom(&mut self, at: usize, value: u32) -> Written {
        let Some(rom) = self.state.bars.get(ROM) else { return Written::Done };
        let bits = address_bits(rom.size, false) & header::ROM_ADDRESS;
        let (asked, now) = (value & bits, half(rom.guest, false));
        let enable = value & header::ROM_ENABLE;
        let sizing = asked == bits && enable == 0;
        if asked != now && !sizing {
            self.refuse(Refusal::BarMoved);
        }
        self.set_register(at, if sizing { bits } else { now | enable }, u32::MAX);
        let enabled = enable != 0;
        if enabled == self.state.mapping.rom {
            return if self.is_pending() { Written::Pending } else { Written::Done };
        }
        if !self.state.mapping.memory {
            self.state.mapping.rom = enabled;
            return Written::Done;
        }
        self.state.mapping.rom_write = enabled;
        self.retarget(true, enabled);
        Written::Pending
    }

    /// Whether every BAR that has an address can be where it is.
    ///
    /// # Errors
    ///
    /// [`AttachError::Placement`]: one is over memory or something else that the guest has, over another BAR, not aligned
    /// to its size, at another place in its page than in the host, not below 4 GiB where it has 32 bits, shares its host
    /// page with another function, or has a page that is to trap where it would not.
    pub fn check_placement<H: Host, S: Siblings>(&self, host: &H, siblings: &S) -> Result<(), AttachError> {
        // What firmware places may be anywhere until it is mapped.
        let stand = || self.state.by_firmware || (0..BARS).all(|at| self.may_stand(host, siblings, at));
        let good = !self.is_guest() || stand() && self.has_its_pages_alone(host);
        if good { Ok(()) } else { Err(AttachError::Placement) }
    }

    /// Whether the host pages of BARs that do not fill them, and are or will be placed, are this function's alone
    /// (XSA-461).
    fn has_its_pages_alone<H: Host>(&self, host: &H) -> bool {
        self.state.bars.iter().all(|bar| {
            let alone = bar.size >= PAGE_SIZE || !bar.is_memory() || !bar.placed && !self.state.by_firmware;
            alone || !host.is_shared(self.state.sbdf(), bar.address >> PAGE_SHIFT)
        })
    }

    /// Whether BAR number `at` can be where it is; so can one that has no address.
    pub(crate) fn may_stand<H: Host, S: Siblings>(&self, host: &H, siblings: &S, at: usize) -> bool {
        let Some(bar) = self.state.bars.get(at).filter(|bar| bar.placed) else { return true };
        if bar.guest & bar.size.wrapping_sub(1) != 0 {
            return false;
        }
        if !bar.is_memory() {
            return true;
        }
        let Some(pages) = bar.pages() else { return false };
        if bar.distance() % PAGE_SIZE != 0
            || bar.kind != BarKind::Memory64 && pages.last >> (32 - PAGE_SHIFT) != 0
        {
            return false;
        }
        let mut alone = true;
        siblings.each_bar(&mut |other: &Bar| alone &= !other.pages().is_some_and(|p| p.overlaps(pages)));
        let mut present = false;
        for (number, other) in self.state.bars.iter().enumerate() {
            if let Some(p) = other.pages().filter(|p| number != at && p.overlaps(pages)) {
                // Small BARs that share a host page share it in the guest.
                alone &= other.distance() == bar.distance();
                // Nothing else is where all of it is mapped already.
                let inside = p.contains(pages.first) && p.contains(pages.last);
                present |= inside && other.presence != Presence::Absent;
            }
        }
        alone && !self.opens_trapped(bar) && (present || host.may_place(pages))
    }

    /// Whether a page of this BAR is one that traps by way of another, and would not in the guest.
    fn opens_trapped(&self, bar: &Bar) -> bool {
        let bars = &self.state.bars;
        let hosts = Pages::spanning(bar.address, bar.size);
        self.state.regions.iter().any(|region| {
            let shared = hosts.zip(region.host_pages(bars)).is_some_and(|(a, b)| a.overlaps(b));
            let traps = |other: &Bar| other.placed && other.distance() == bar.distance();
            shared && !region.bar(bars).is_some_and(traps)
        })
    }

    /// Mapping failed: what was asked for last is taken back, in the guest's registers as well.
    pub(crate) fn fail_guest(&mut self, reason: Refusal) {
        let mapping = &self.state.mapping;
        let (memory, rom) = (mapping.memory, mapping.rom);
        if mapping.rom_write && rom && reason != Refusal::Hole {
            self.state.mapping.rom_write = false;
            if let Some(at) = self.state.index.register(header::ROM_TYPE0 / 4) {
                self.set_register(at, 0, header::ROM_ENABLE);
            }
            self.retarget(memory, false);
        } else {
            self.clear_guest_command(Command::MEMORY);
            self.retarget(false, rom);
        }
    }
}

/// The pages of a BAR with its neighbours in them are the guest's, the bytes around it are nobody's.
pub(crate) fn owns(bars: &[Bar], address: u64) -> bool {
    bars.iter().any(|bar| offset_in(bar, address).is_some())
}

/// How far into a memory BAR a guest address is; `None` outside.
pub(crate) fn offset_in(bar: &Bar, address: u64) -> Option<u64> {
    let bar = Some(bar).filter(|bar| bar.is_memory() && bar.placed)?;
    address.checked_sub(bar.guest).filter(|offset| *offset < bar.size)
}
