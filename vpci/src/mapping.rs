//! The p2m follows memory decoding: a state machine that is told what shall be mapped and gets there in steps.
//!
//! A write to COMMAND or to the ROM register says which BARs are wanted. [`Function::step`] maps what is wanted and
//! absent and unmaps what is present and not wanted, one host call at a time; the registers get their new value when
//! all is as it should be. So decoding is enabled after the pages are mapped, and disabled after they are unmapped
//! (accesses in between trap and find nothing, rather than reach a device that does not answer). A new target may
//! come at any time: nothing is queued, so nothing can be lost or left over.
//!
//! Pages may belong to several BARs. A page stays mapped as long as a BAR that has it is wanted.

use capabilities::Width;
use capabilities::header::{self, Command};
use zerocopy::FromZeros;

use crate::bar::{Bar, Presence};
use crate::function::{BARS, Function, ROM};
use crate::pages::{PAGE_SHIFT, Pages, Remainder};
use crate::register::Effect;
use crate::{Host, Refusal};

/// The other functions of the domain, for pages that BARs share.
pub trait Siblings {
    /// Calls `each` with every BAR of every other function.
    fn each_bar(&self, each: &mut impl FnMut(&Bar));
}

/// How far a step came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Everything is as asked for.
    Done,
    /// The host wants to do something else first; call again.
    Again,
}

/// What is asked for, and how far the work on it is.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
pub(crate) struct Mapping {
    /// Whether memory decoding shall be on.
    pub(crate) memory: bool,
    /// Whether the ROM's enable bit shall be set.
    pub(crate) rom: bool,
    /// Whether there is work to do.
    active: bool,
    /// Whether the ROM register is to be written when done.
    pub(crate) rom_write: bool,
    /// That value.
    pub(crate) rom_value: u32,
    /// Whether COMMAND is to be written when done.
    command_write: bool,
    /// That value.
    command: u16,
    /// The BAR being worked on, counted from 1; 0 for none.
    current: u8,
    /// Whether a page of that BAR could not be unmapped.
    stuck: bool,
    /// The next frame of that BAR.
    next: u64,
}

impl Mapping {
    pub(crate) const fn is_pending(&self) -> bool {
        self.active
    }

    /// What the register with this effect is to hold when all is done, if that is not what it holds now. A write of
    /// a part of it keeps the rest of this.
    pub(crate) fn asked(&self, effect: Effect) -> Option<u32> {
        match effect {
            Effect::Command if self.command_write => Some(u32::from(self.command)),
            Effect::Rom if self.rom_write => Some(self.rom_value),
            _ => None,
        }
    }

    /// COMMAND gets this value when all is mapped as asked for.
    pub(crate) const fn set_command(&mut self, value: u16) {
        self.command = value;
        self.command_write = true;
    }
}

impl Function<'_> {
    /// Whether any BAR can be mapped.
    pub(crate) fn has_memory(&self) -> bool {
        self.state.bars.iter().any(|bar| bar.pages().is_some())
    }

    /// Whether [`step`](Self::step) has work.
    pub fn is_pending(&self) -> bool {
        self.state.mapping.active
    }

    /// Sets what shall be mapped. Work that is under way turns around where it is.
    pub(crate) fn retarget(&mut self, memory: bool, rom: bool) {
        let mapping = &mut self.state.mapping;
        mapping.memory = memory;
        mapping.rom = rom;
        mapping.active = true;
        mapping.current = 0;
        for (at, bar) in self.state.bars.iter_mut().enumerate() {
            bar.wanted = memory && (at != ROM || rom) && bar.pages().is_some();
            if bar.presence == Presence::Stuck {
                bar.presence = Presence::Partial;
            }
        }
    }

    /// Does a part of the work, under the domain's exclusive lock.
    ///
    /// One call makes host calls until the host wants to pause; each of them is preceded by a search whose work is
    /// bounded by the number of BARs in the domain, squared.
    pub fn step<H: Host, S: Siblings>(&mut self, host: &H, siblings: &S) -> Progress {
        while self.state.mapping.active {
            if self.advance(host, siblings) {
                self.finish(host);
            } else if host.preempt() {
                return Progress::Again;
            }
        }
        Progress::Done
    }

    /// Unmaps everything, without pausing: the function goes away. COMMAND gets what was asked for last.
    pub(crate) fn unmap_all<H: Host, S: Siblings>(&mut self, host: &H, siblings: &S) {
        let asked = self.state.mapping.asked(Effect::Command);
        // What cannot be unmapped is tried twice: nobody asks again.
        for _ in 0..2 {
            self.retarget(false, false);
            while !self.advance(host, siblings) {}
        }
        if let Some(command) = asked {
            host.config_write(self.state.sbdf(), header::COMMAND, Width::Word, command);
        }
        self.state.mapping = FromZeros::new_zeroed();
    }

    /// One host call towards the target. Whether it is reached.
    fn advance<H: Host, S: Siblings>(&mut self, host: &H, siblings: &S) -> bool {
        let at = match self.state.mapping.current.checked_sub(1) {
            Some(current) => usize::from(current),
            None => match self.start() {
                Some((at, true)) if self.is_guest() && !self.may_stand(host, siblings, at) => {
                    // No page of it is there: it is looked at again, should it still be wanted.
                    if let Some(bar) = self.state.bars.get_mut(at) {
                        bar.presence = Presence::Absent;
                    }
                    self.fail(host, Refusal::Placement);
                    return false;
                }
                Some((at, _)) => at,
                None => return true,
            },
        };
        let Some(bar) = self.state.bars.get(at).copied() else { return true };
        let Some(rest) = self.rest(&bar) else {
            if let Some(bar) = self.state.bars.get_mut(at) {
                bar.presence = match (bar.wanted, self.state.mapping.stuck) {
                    (true, _) => Presence::Present,
                    (false, true) => Presence::Stuck,
                    (false, false) => Presence::Absent,
                };
            }
            self.state.mapping.current = 0;
            return false;
        };
        let (base, host_base) = (bar.guest >> PAGE_SHIFT, bar.address >> PAGE_SHIFT);
        let frame = |guest: u64| guest.wrapping_sub(base).wrapping_add(host_base);
        let part = match self.remainder(host, siblings, at, bar.wanted, rest, frame).leading() {
            Ok(part) => part,
            Err(next) => {
                self.move_on(at, next);
                return false;
            }
        };
        let done =
            if bar.wanted { host.map(part, frame(part.first)) } else { host.unmap(part, frame(part.first)) };
        match done {
            Ok(pages) => self.move_on(at, part.first.saturating_add(pages.clamp(1, part.count()))),
            Err(_) if bar.wanted => self.fail(host, Refusal::Map),
            Err(_) => {
                self.refuse(Refusal::Unmap);
                self.state.mapping.stuck = true;
                self.move_on(at, part.first.saturating_add(1));
            }
        }
        false
    }

    /// Goes on with BAR `at` at the frame `next`.
    fn move_on(&mut self, at: usize, next: u64) {
        self.state.mapping.next = next;
        if let Some(bar) = self.state.bars.get_mut(at).filter(|bar| bar.wanted) {
            bar.reached = bar.reached.max(next);
        }
    }

    /// What is left to do of a BAR: to unmap it, no page that mapping never came to.
    fn rest(&self, bar: &Bar) -> Option<Pages> {
        let all = if bar.wanted { bar.pages() } else { bar.reached() };
        let first = self.state.mapping.next;
        all.filter(|all| first <= all.last).map(|all| Pages { first, ..all })
    }

    /// Picks a BAR that is not as it should be. Whether it is one to map of which no page is there.
    fn start(&mut self) -> Option<(usize, bool)> {
        let differs = |bar: &Bar| match bar.presence {
            Presence::Absent => bar.wanted,
            Presence::Partial => true,
            Presence::Present => !bar.wanted,
            Presence::Stuck => false,
        };
        let at = self.state.bars.iter().position(differs)?;
        let bar = self.state.bars.get_mut(at)?;
        let fresh = bar.presence == Presence::Absent;
        if fresh {
            bar.reached = 0;
        }
        bar.presence = Presence::Partial;
        self.state.mapping.stuck = false;
        self.state.mapping.next = bar.pages().map_or(u64::MAX, |pages| pages.first);
        self.state.mapping.current = at as u8 + 1; // CAST: at most BARS.
        Some((at, fresh))
    }

    /// What is left of `rest`, pages of BAR `at`, that is to be mapped (`wanted`) or unmapped.
    fn remainder<H: Host, S: Siblings>(
        &self,
        host: &H,
        siblings: &S,
        at: usize,
        wanted: bool,
        rest: Pages,
        frame: impl Fn(u64) -> u64,
    ) -> Remainder {
        let mut remainder = Remainder::of(rest);
        let mut exclude = |bar: &Bar| {
            let present = bar.presence == Presence::Present;
            // To map: what is there and stays need not be mapped again. To unmap: what another BAR still has, or has
            // been mapped for so far, is left to that one.
            let mapping = bar.wanted && bar.presence != Presence::Absent;
            let skip = if wanted { present && bar.wanted } else { present || mapping };
            if let Some(pages) = bar.reached().filter(|_| skip) {
                remainder.exclude(pages);
            }
        };
        siblings.each_bar(&mut exclude);
        for (other, bar) in self.state.bars.iter().enumerate() {
            if other != at {
                exclude(bar);
            }
        }
        for trapped in self.state.trapped() {
            remainder.exclude(trapped);
        }
        let hosts = Pages { first: frame(rest.first), last: frame(rest.last) };
        if let Some(reserved) = host.next_reserved(hosts) {
            let guest = |host: u64| rest.first.saturating_add(host.saturating_sub(hosts.first));
            remainder.exclude(Pages { first: guest(reserved.first), last: guest(reserved.last) });
        }
        remainder
    }

    /// The p2m is as asked for: now the registers follow.
    fn finish<H: Host>(&mut self, host: &H) {
        if self.state.mapping.memory && !self.make_holes(host) {
            self.fail(host, Refusal::Hole);
            return;
        }
        if self.is_guest() {
            // The device decodes all the time. What firmware placed stays there from now on.
            self.state.by_firmware &= !self.state.mapping.memory;
            self.state.mapping.rom_write = false;
            self.state.mapping.active = false;
            return;
        }
        let sbdf = self.state.sbdf();
        let Mapping { rom, rom_write, rom_value, command, command_write, .. } = self.state.mapping;
        if rom_write {
            let rom_value = self.move_rom(rom_value);
            let enable = if rom { header::ROM_ENABLE } else { 0 };
            let value = rom_value & header::ROM_ADDRESS | enable;
            host.config_write(sbdf, u16::from(self.state.rom_register), Width::Dword, value);
        }
        if command_write {
            host.config_write(sbdf, header::COMMAND, Width::Word, u32::from(command));
        }
        self.state.mapping.rom_write = false;
        self.state.mapping.command_write = false;
        self.state.mapping.active = false;
    }

    /// Mapping failed: what was asked for last is taken back, its pages are unmapped and it is left disabled.
    fn fail<H: Host>(&mut self, host: &H, reason: Refusal) {
        self.refuse(reason);
        if self.is_guest() {
            self.fail_guest(reason);
            return;
        }
        let Mapping { memory, rom, rom_write, command, command_write, .. } = self.state.mapping;
        if rom_write && rom && !command_write && reason == Refusal::Map {
            self.retarget(memory, false);
            return;
        }
        self.retarget(false, rom);
        // CAST: a word was read.
        let current = || host.config_read(self.state.sbdf(), header::COMMAND, Width::Word) as u16;
        let command = if command_write { command } else { current() };
        self.state.mapping.set_command(command & !Command::MEMORY.bits());
    }

    /// Makes the pages that are to trap do so. Whether that worked.
    fn make_holes<H: Host>(&self, host: &H) -> bool {
        let mut pages = self.state.trapped().flat_map(|pages| pages.first..=pages.last);
        pages.all(|page| host.make_hole(page).is_ok())
    }
}

static_assertions::const_assert!(BARS < u8::MAX as usize);
