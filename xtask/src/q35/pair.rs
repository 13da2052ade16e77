//! The library's MCH and QEMU's, given the same accesses.

use std::fmt::Write as _;

use ::tests::{
    chipset::{CONFIG_ADDRESS, CONFIG_DATA, Chipset},
    datasheet::Pciexbar,
    qemu::{self, Due, Twin},
};
use anyhow::{Context as _, Result, ensure};
use q35::Info;

use super::{
    machine::{Machine, RAM_MIB},
    window::{Decoder, Masks, Window, is_fixed},
};

/// So many commands go to QEMU before the first reply is read. They fit into a pipe.
const BATCH: usize = 512;

/// `CONFIG_ADDRESS`: the data ports reach configuration space, of this function.
const ENABLE: u32 = 1 << 31;
const FUNCTION: u32 = 0x00ff_ff00;

/// Bytes of configuration space that the MCH has.
const REGISTERS: u64 = 0x100;

/// An access as a guest makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    /// Where.
    pub(crate) place: Place,
    /// 1, 2, 4, or 8 in memory.
    pub(crate) bytes: u32,
    /// What is written; `None` for a read.
    pub(crate) write: Option<u64>,
}

/// Where an access goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// `CONFIG_ADDRESS` takes this, and a data port is accessed.
    Port(u32, u16),
    /// A physical address.
    Memory(u64),
}

/// What differs by design in how a register is reached, not in what it holds.
pub(crate) const WAYS: &[(&str, &str, &str)] = &[
    ("an access across a dword", "made in bytes", "none of configuration space: all ones, and dropped"),
    ("CONFIG_ADDRESS 1:0", "set bits reach the bytes above", "do not count: the specification has 00 there"),
    (
        "ECAM windows of 128 and 64 MB",
        "bits 26:25 and 25 are their base, 10.2 and earlier",
        "27 and 27:26, as the datasheet has them and as QEMU has them since",
    ),
    ("the reserved length, disabled", "keeps the window", "no window: the enable bit alone says so"),
    (
        "a window over FEC00000 to FFFFFFFF",
        "is over the I/O APIC, the HPET and the flash",
        "is not decoded there",
    ),
    (
        "eight bytes through the window, whose first half moves it",
        "both are written",
        "the second goes where its address is by then",
    ),
];

const ACROSS: usize = 0;
const LOW_BITS: usize = 1;
const MASKS: usize = 2;
const DISABLED: usize = 3;
const FIXED: usize = 4;
const MOVED: usize = 5;

/// A fault on the library's side, which must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plant {
    /// One bit of TOUUD reads inverted.
    Bit,
    /// Windows of 64 MB are decoded without bit 26.
    Window,
    /// `D_LCK` cannot be set.
    Lock,
    /// A reset does nothing.
    Reset,
}

impl Plant {
    pub(crate) const ALL: &[Self] = &[Self::Bit, Self::Window, Self::Lock, Self::Reset];
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Found {
    /// Accesses made on both sides.
    pub(crate) accesses: u64,
    /// Reads compared, with those that QEMU was not asked for.
    pub(crate) reads: u64,
    pub(crate) resets: u64,
    pub(crate) locks: u64,
    /// Windows that were moved to, opened or closed.
    pub(crate) windows: u64,
    pub(crate) differences: u64,
    /// The first difference.
    pub(crate) first: Option<String>,
    /// How often each row of [`Twin::rows`] explained one.
    pub(crate) rows: Vec<u64>,
    /// How often each of [`WAYS`] was met.
    pub(crate) ways: Vec<u64>,
}

/// A read whose reply is to come.
struct Read {
    access: Access,
    /// What the library reads; `None` if it decodes nothing.
    ours: Option<u64>,
    due: Due,
}

/// Both of them.
pub(crate) struct Pair {
    machine: Machine,
    ours: Chipset,
    twin: Twin,
    /// Where the window is due to be.
    window: Decoder,
    /// Where QEMU has it.
    theirs: Decoder,
    commands: String,
    /// One for each command, `None` where the reply tells nothing.
    reads: Vec<Option<Read>>,
    found: Found,
    plant: Option<Plant>,
}

impl Pair {
    /// Starts both, and resets them.
    pub(crate) fn start(plant: Option<Plant>) -> Result<Self> {
        let mut machine = Machine::start()?;
        // 128 MB at B8000000: with its masks one bit too low, QEMU has that at B0000000.
        let seen = machine.run("outl 0xcf8 0x80000060\noutl 0xcfc 0xb8000003\nreadl 0xb8000000\n")?;
        let correct = seen.last().is_some_and(|value| *value == 0x29c0_8086);
        let masks = if correct { Masks::Datasheet } else { Masks::Shifted };
        let info =
            Info { pciexbar: 0, low_ram_end: u64::from(RAM_MIB) << 20, high_ram_end: 0, address_bits: 36 };
        let ours = Chipset::new(&info).ok().context("the library refuses the platform")?;
        let twin = Twin::new(qemu::deviations());
        let found = Found { rows: vec![0; twin.rows().len()], ways: vec![0; WAYS.len()], ..Found::default() };
        let (window, theirs) = (Decoder::datasheet(), Decoder::qemu(masks));
        let (commands, reads) = (String::new(), Vec::new());
        let mut pair = Self { machine, ours, twin, window, theirs, commands, reads, found, plant };
        pair.reset()?;
        Ok(pair)
    }

    /// Where ECAM is.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window.window
    }

    /// What was found. Of the reads whose replies are still to come nothing is known.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// QEMU's version.
    pub(crate) fn version(&self) -> &str {
        self.machine.version()
    }

    /// The rows that explain differences in what registers hold.
    pub(crate) fn rows(&self) -> &[qemu::Deviation] {
        self.twin.rows()
    }

    /// Whether a way in which QEMU differs is one that this QEMU has.
    pub(crate) fn has_way(&self, way: usize) -> bool {
        way != MASKS || self.theirs.masks() == Masks::Shifted
    }

    /// Resets both, and compares all registers. PCIEXBAR, which QEMU resets to another value, is then made the same.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.settle()?;
        self.machine.reset()?;
        if self.plant != Some(Plant::Reset) {
            self.ours.reset();
        }
        self.twin.reset();
        self.window.window = None;
        self.theirs.window = None;
        self.found.resets += 1;
        self.read_all()?;
        for register in [0x60, 0x64] {
            let place = Place::Port(ENABLE | register, 0);
            self.access(Access { place, bytes: 4, write: Some(0) })?;
        }
        Ok(())
    }

    /// Reads all registers.
    pub(crate) fn read_all(&mut self) -> Result<()> {
        for register in (0..0x100).step_by(4) {
            let place = match self.window() {
                Some(window) if register & 4 != 0 => Place::Memory(window.base + u64::from(register)),
                _ => Place::Port(ENABLE | register, 0),
            };
            self.access(Access { place, bytes: 4, write: None })?;
        }
        Ok(())
    }

    /// Writes `CONFIG_ADDRESS` whole, and then parts of it, which changes nothing; and reads it.
    pub(crate) fn latch(&mut self, value: u32) -> Result<()> {
        self.found.accesses += 1;
        self.select(value);
        // Not 0xCF9: that is another register, which resets the machine.
        for (port, bytes) in [(0xcf8, 1), (0xcfa, 2), (0xcfb, 1)] {
            self.ours.port_write(port, bytes, !value);
            self.send(
                &format!("{} {port:#x} {:#x}", port_command("out", bytes), !value & mask32(bytes)),
                None,
            );
        }
        let access = Access { place: Place::Port(value, 0), bytes: 4, write: None };
        let ours = Some(u64::from(self.ours.port_read(CONFIG_ADDRESS, 4)));
        self.send("inl 0xcf8", Some(Read { access, ours, due: Due::default() }));
        self.settle_if_full()
    }

    /// Makes an access on both sides, but for those that QEMU takes for something else.
    pub(crate) fn access(&mut self, access: Access) -> Result<()> {
        match access.place {
            Place::Port(address, lane) => self.port(access, address, lane),
            Place::Memory(address) => self.memory(access, address)?,
        }
        self.settle_if_full()
    }

    fn select(&mut self, address: u32) {
        self.ours.port_write(CONFIG_ADDRESS, 4, address);
        self.send(&format!("outl 0xcf8 {address:#x}"), None);
    }

    fn port(&mut self, access: Access, address: u32, lane: u16) {
        self.select(address);
        let port = CONFIG_DATA + lane;
        if u32::from(lane) + access.bytes > 4 {
            self.alone(ACROSS, access, Some(u64::MAX));
            return;
        }
        if address & 3 != 0 {
            self.found.ways[LOW_BITS] += 1;
            self.send(&format!("outl 0xcf8 {:#x}", address & !3), None);
        }
        let mch = address & (ENABLE | FUNCTION) == ENABLE;
        let register = mch.then_some(u64::from(address & 0xfc) + u64::from(lane));
        self.both(access, register, |direction| {
            format!("{} {port:#x}", port_command(direction, access.bytes))
        });
    }

    fn memory(&mut self, access: Access, address: u64) -> Result<()> {
        let Some(offset) = self.window().and_then(|window| window.offset(address)) else {
            self.nowhere(access, address);
            return Ok(());
        };
        if is_fixed(address) {
            self.alone(FIXED, access, None);
            return Ok(());
        }
        if offset % 4 + u64::from(access.bytes.min(4)) > 4 {
            self.alone(ACROSS, access, Some(u64::MAX));
            return Ok(());
        }
        if let Some(value) = access.write
            && access.bytes == 8
            && matches!(offset, 0x60 | 0x64)
        {
            let before = self.window();
            let half =
                |address, value| Access { place: Place::Memory(address), bytes: 4, write: Some(value) };
            self.memory(half(address, value & 0xffff_ffff), address)?;
            self.found.ways[MOVED] += u64::from(self.window() != before);
            return self.memory(half(address + 4, value >> 32), address + 4);
        }
        let theirs = self.theirs.window.context("QEMU has no window where one is due")?;
        let there = theirs.base + offset;
        self.found.ways[MASKS] += u64::from(there != address);
        let register = Some(offset).filter(|offset| *offset < REGISTERS);
        self.both(access, register, |direction| {
            let verb = if direction == "in" { "read" } else { "write" };
            format!("{verb}{} {there:#x}", suffix(access.bytes))
        });
        Ok(())
    }

    /// An access that both make; to the MCH if it has a register there. `command` is QEMU's, for "in" or "out".
    fn both(&mut self, access: Access, register: Option<u64>, command: impl Fn(&str) -> String) {
        self.found.accesses += 1;
        let Some(value) = access.write else {
            let ours = self.read_ours(access);
            // CAST: below 0x100; at most 8.
            let due =
                register.map(|at| self.twin.due(at as usize, access.bytes as usize)).unwrap_or_default();
            self.send(&command("in"), Some(Read { access, ours, due }));
            return;
        };
        let value = value & mask(access.bytes);
        self.write_ours(access, value);
        self.send(&format!("{} {value:#x}", command("out")), None);
        let Some(register) = register else { return };
        let (was_locked, before) = (self.twin.is_locked(), self.window());
        // Eight bytes are two accesses.
        for n in (0..access.bytes).step_by(4) {
            let at = register as usize + n as usize; // CAST: below 0x104.
            self.twin.write(at, access.bytes.min(4) as usize, value >> (8 * n)); // CAST: at most 4.
        }
        self.found.locks += u64::from(self.twin.is_locked() && !was_locked);
        if register < Pciexbar::END as u64 && register + u64::from(access.bytes) > Pciexbar::OFFSET as u64 {
            // CAST: widening.
            self.window.follow(self.twin.pciexbar());
            self.theirs.follow(self.twin.pciexbar());
            self.found.windows += u64::from(self.window() != before);
        }
    }

    /// An access that QEMU is not asked for, as it does by design something else. What is due is known: this, and no
    /// effect.
    fn alone(&mut self, way: usize, access: Access, due: Option<u64>) {
        self.found.ways[way] += 1;
        if let Some(value) = access.write {
            self.write_ours(access, value & mask(access.bytes));
            return;
        }
        self.found.reads += 1;
        let ours = self.read_ours(access);
        let due = due.map(|due| due & mask(access.bytes));
        if ours != due {
            self.differ(format!("{access:x?}: the library reads {ours:x?}, and {due:x?} is due"));
        }
    }

    /// A read where no window is due to be. QEMU has nothing there either, and that reads 0; a write is not made there.
    fn nowhere(&mut self, access: Access, address: u64) {
        if self.theirs.window.is_some_and(|window| window.offset(address).is_some()) {
            let way = if self.window().is_some() { MASKS } else { DISABLED };
            self.alone(way, access, None);
        } else if let Some(value) = access.write {
            self.write_ours(access, value);
        } else {
            self.found.accesses += 1;
            // What is decoded reads something else than the 0 of nothing.
            let ours = Some(self.read_ours(access).map_or(0, |_| u64::MAX));
            let command = format!("read{} {address:#x}", suffix(access.bytes));
            self.send(&command, Some(Read { access, ours, due: Due::default() }));
        }
    }

    fn read_ours(&self, access: Access) -> Option<u64> {
        let value = match access.place {
            Place::Port(_, lane) => Some(u64::from(self.ours.port_read(CONFIG_DATA + lane, access.bytes))),
            Place::Memory(address) => self.ours.memory_read(self.address(address), access.bytes),
        };
        let touud = matches!(access.place, Place::Port(0x8000_00a0, 2));
        value.map(|value| value ^ u64::from(touud && self.plant == Some(Plant::Bit)))
    }

    fn write_ours(&mut self, access: Access, mut value: u64) {
        let start = match access.place {
            Place::Port(address, lane) => u64::from(address & 0xfc) + u64::from(lane),
            Place::Memory(address) => address & 0xfff,
        };
        if self.plant == Some(Plant::Lock)
            && let Some(n) = 0x9d_u64.checked_sub(start).filter(|n| *n < u64::from(access.bytes))
        {
            value &= !(0x10 << (8 * n));
        }
        match access.place {
            // CAST: at most 4 bytes go to a port.
            Place::Port(_, lane) => self.ours.port_write(CONFIG_DATA + lane, access.bytes, value as u32),
            Place::Memory(address) => self.ours.memory_write(self.address(address), access.bytes, value),
        }
    }

    /// The address that the library gets.
    fn address(&self, address: u64) -> u64 {
        let small = self.window().is_some_and(|window| window.size == 64 << 20);
        if self.plant == Some(Plant::Window) && small { address & !(1 << 26) } else { address }
    }

    fn send(&mut self, command: &str, read: Option<Read>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.commands, "{command}");
        self.reads.push(read);
    }

    fn settle_if_full(&mut self) -> Result<()> {
        if self.reads.len() < BATCH { Ok(()) } else { self.settle() }
    }

    /// Has QEMU run what it was sent, and compares.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let replies = self.machine.run(&std::mem::take(&mut self.commands))?;
        let reads = std::mem::take(&mut self.reads);
        ensure!(replies.len() == reads.len(), "QEMU answers something else");
        for (theirs, read) in replies.into_iter().zip(reads) {
            let Some(Read { access, ours, due }) = read else { continue };
            self.found.reads += 1;
            let right = due.of(theirs) & mask(access.bytes);
            if ours == Some(right) {
                for row in due.explain(theirs ^ right) {
                    self.found.rows[row] += 1;
                }
            } else {
                self.differ(format!(
                    "{access:x?}: the library reads {ours:x?}, QEMU {theirs:#x}, and {right:#x} is due"
                ));
            }
        }
        Ok(())
    }

    fn differ(&mut self, difference: String) {
        self.found.differences += 1;
        self.found.first.get_or_insert(difference);
    }
}

/// The bits of so many bytes.
const fn mask(bytes: u32) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

const fn mask32(bytes: u32) -> u32 {
    mask(bytes) as u32 // CAST: at most 4 bytes.
}

/// The letter for a width.
const fn suffix(bytes: u32) -> &'static str {
    match bytes {
        1 => "b",
        2 => "w",
        4 => "l",
        _ => "q",
    }
}

fn port_command(direction: &str, bytes: u32) -> String {
    format!("{direction}{}", suffix(bytes))
}
