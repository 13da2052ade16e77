//! Functions that device-model servers in dom0 answer for: each from 4096 bytes of its own, which `Served::content` knows.
//!
//! Every access that has to reach a server is said, a line each, so that it can be compared with what the server saw:
//! `note access R 00:05.0 0fc 4 0000abcd`, read or write, function, register, bytes, value.

use super::{
    ACROSS, LANES, PORTS,
    devices::Others,
    load, ones, store,
    window::{LENGTHS, Window},
};
use crate::{
    cpu,
    memory::{self, Dma},
    pci::{
        Access, Address,
        config::{CONFIG_ADDRESS, CONFIG_DATA, place, selector},
    },
    report::{Fault, ensure, result, say},
};

/// A function of a server's.
#[derive(Clone, Copy)]
pub(super) struct Served {
    pub address: Address,
    /// The server knows registers from 0x100 on.
    pub extended: bool,
}

/// Writing `operation << 24 | bus, device, function` here has the server do something, until the write is done. It reads 0 then,
/// or an errno.
pub(super) const DOORBELL: u16 = 0xf8;
const CLAIM: u32 = 1;
const RELEASE: u32 = 2;
pub(super) const LEAVE: u32 = 3;
pub(super) const CALL: u32 = 4;
const EEXIST: u32 = 17;

impl Served {
    /// `00:05.0` or `00:05.0:ext`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (word, extended) = word.strip_suffix(":ext").map_or((word, false), |word| (word, true));
        let (bus, rest) = word.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let [bus, device, function] = [bus, device, function].map(|part| u8::from_str_radix(part, 16).ok());
        Some(Self { address: Address::new(bus?, device?, function?), extended })
    }

    fn say(self, what: char, offset: u16, bytes: u32, value: u32) {
        let (address, digits) = (self.address, 2 * bytes as usize);
        let value = value & ones(bytes);
        say(format_args!("note access {what} {address} {offset:03x} {bytes} {value:0digits$x}"));
    }

    /// A read that the server answers.
    pub(super) fn read(self, access: Access, offset: u16, bytes: u32) -> u32 {
        let value = load(access, self.address, offset, bytes);
        self.say('R', offset, bytes, value);
        value
    }

    /// A write that the server takes.
    pub(super) fn write(self, access: Access, offset: u16, bytes: u32, value: u32) {
        store(access, self.address, offset, bytes, value);
        self.say('W', offset, bytes, value);
    }

    /// What is in a dword of a function that nobody wrote to.
    fn content(self, offset: u16) -> u32 {
        let byte = |at: u16| {
            let (at, function) = (u32::from(at), u32::from(self.address.0 & 0xff));
            (at * 7 + (at >> 8) * 13 + function) & 0xff
        };
        match offset {
            0x00 => u32::from(self.address.0 & 0xff) << 16 | 0x1234,
            0x08 => 0xff00_0000,
            0x04..0x40 | DOORBELL => 0,
            _ => (0..4).fold(0, |dword, lane| dword | byte(offset + lane) << (8 * lane)),
        }
    }

    /// A dword is what nobody wrote to.
    fn fresh(self, access: Access, offset: u16) -> Result<(), Fault> {
        let found = self.read(access, offset, 4);
        ensure(found == self.content(offset), "another content", u64::from(offset) << 32 | u64::from(found))
    }

    /// Somebody answers for it, who then saw this read.
    pub(super) fn answers(self) -> bool {
        let value = PORTS.read(self.address, 0, 4);
        if value != u32::MAX {
            self.say('R', 0, 4, value);
        }
        value != u32::MAX
    }

    /// Nobody answers for it.
    pub(super) fn absent(self, window: Window) -> Result<(), Fault> {
        for (access, offset) in [(PORTS, 0), (window.access(), 0), (PORTS, 0x40), (window.access(), 0x100)] {
            let found = access.read(self.address, offset, 4);
            ensure(found == u32::MAX, "somebody answers", u64::from(offset) << 32 | u64::from(found))?;
            access.write(self.address, offset, 4, 0);
        }
        Ok(())
    }

    /// Has the server do something, and returns its errno.
    pub(super) fn ring(self, operation: u32, address: Address) -> u32 {
        self.write(PORTS, DOORBELL, 4, operation << 24 | u32::from(address.0));
        self.read(PORTS, DOORBELL, 4)
    }

    /// All that it is before anyone wrote to it.
    pub(super) fn identity(self, window: Window) -> Result<u32, Fault> {
        for offset in [0x00, 0x04, 0x08, 0x0c, 0x3c] {
            self.fresh(PORTS, offset)?;
            self.fresh(window.access(), offset)?;
        }
        for offset in (0x40..0x100).step_by(4) {
            self.fresh(PORTS, offset)?;
        }
        Ok(58)
    }

    /// Reads and writes of a register at every width, by both ways if it is below 0x100.
    pub(super) fn widths(self, window: Window, register: u16) -> Result<u32, Fault> {
        let both = [PORTS, window.access()];
        let ways = if register < 0x100 { &both[..] } else { &both[1..] };
        let mut model = self.read(window.access(), register, 4);
        let mut value = model;
        let agrees = |model: u32| {
            let found = self.read(window.access(), register, 4);
            ensure(
                found == model,
                "the server has another value",
                u64::from(register) << 32 | u64::from(found),
            )
        };
        for access in ways {
            for (at, bytes) in LANES {
                let found = self.read(*access, register + at, bytes);
                ensure(found == model >> (8 * at) & ones(bytes), "a part of a dword differs", found)?;
                value = memory::next(value);
                let lanes = ones(bytes) << (8 * at);
                self.write(*access, register + at, bytes, value);
                model = model & !lanes | value << (8 * at) & lanes;
                agrees(model)?;
            }
            // These are not for the server.
            for (at, bytes) in ACROSS {
                let found = load(*access, self.address, register + at, bytes);
                ensure(found == ones(bytes), "an access across dwords answers", found)?;
                store(*access, self.address, register + at, bytes, !model);
            }
            agrees(model)?;
        }
        Ok(ways.len() as u32 * 24)
    }

    /// A qword is two dwords, the low one first.
    pub(super) fn wide(self, window: Window, register: u16) -> Result<u32, Fault> {
        let at = place(window.base, self.address, register);
        let said = |what, value: u64| {
            self.say(what, register, 4, value as u32);
            self.say(what, register + 4, 4, (value >> 32) as u32);
        };
        let before = memory::read64(at);
        said('R', before);
        memory::write64(at, !before);
        said('W', !before);
        let after = memory::read64(at);
        said('R', after);
        ensure(after == !before, "a qword is not what was written", after)?;
        // Across dwords, this is for nobody.
        ensure(memory::unaligned_read(at + 2, 8) == u64::MAX, "a qword across dwords answers", 0_u32)?;
        memory::unaligned_write(at + 2, 8, before);
        let after = memory::read64(at);
        said('R', after);
        ensure(after == !before, "a qword across dwords writes", after)?;
        Ok(5)
    }

    /// A string instruction is each of its dwords.
    pub(super) fn strings(self, window: Window, register: u16, buffer: Dma) -> Result<u32, Fault> {
        const OFFSETS: [u16; 4] = [0, 4, 8, 12];
        let at = place(window.base, self.address, register);
        let words = OFFSETS.map(|offset| self.read(window.access(), register + offset, 4));
        let gathered = |wanted: [u32; 4]| {
            let found = OFFSETS.map(|offset| buffer.get(offset.into()));
            ensure(found == wanted, "a string of reads differs", found[0])
        };
        for bytes in [4, 8] {
            buffer.fill(0);
            memory::copy_string(at, buffer.address(), 16 / bytes, bytes);
            for offset in OFFSETS {
                self.say('R', register + offset, 4, buffer.get(offset.into()));
            }
            gathered(words)?;
        }
        for (offset, word) in OFFSETS.into_iter().zip(words) {
            buffer.set(offset.into(), !word);
        }
        memory::copy_string(buffer.address(), at, 4, 4);
        for (offset, word) in OFFSETS.into_iter().zip(words) {
            self.say('W', register + offset, 4, !word);
        }
        let after = OFFSETS.map(|offset| self.read(window.access(), register + offset, 4));
        ensure(after == words.map(|word| !word), "a string of writes differs", after[0])?;
        if register < 0x100 {
            // The data port: one register again and again.
            cpu::port_write(CONFIG_ADDRESS, 4, selector(self.address, register));
            cpu::port_read_string(CONFIG_DATA, buffer.address(), 4);
            for offset in OFFSETS {
                self.say('R', register, 4, buffer.get(offset.into()));
            }
            gathered([after[0]; 4])?;
        }
        Ok(4)
    }

    /// It is where the window is, wherever that moves.
    fn moved(self, window: Window) -> Result<u32, Fault> {
        let registers = if self.extended { &[0x00, 0x08, 0x200][..] } else { &[0x00, 0x08] };
        for length in LENGTHS {
            let other = Window::new(0x4_0000_0000, length);
            other.open();
            let outcome = registers.iter().try_for_each(|register| self.fresh(other.access(), *register));
            window.open();
            outcome?;
            ensure(other.access().read(self.address, 0, 4) == u32::MAX, "it answers where it was", length)?;
        }
        Ok(3)
    }

    /// What is above 0x100 is the server's, if it knows of that; else it is nobody's.
    pub(super) fn above(self, window: Window, buffer: Dma) -> Result<u32, Fault> {
        if self.extended {
            for offset in (0x100..0x1000).step_by(0x44).chain([0xffc]) {
                self.fresh(window.access(), offset)?;
            }
            let parts = self.widths(window, 0x484)? + self.wide(window, 0xb50)?;
            return Ok(57 + parts + self.strings(window, 0xff0, buffer)?);
        }
        for offset in [0x100, 0x104, 0x484, 0xffc] {
            for (at, bytes) in LANES {
                let found = load(window.access(), self.address, offset + at, bytes);
                ensure(found == ones(bytes), "an extended register is there", offset)?;
                store(window.access(), self.address, offset + at, bytes, 0);
            }
        }
        let found = memory::read64(place(window.base, self.address, 0x800));
        ensure(found == u64::MAX, "an extended register is there", found)?;
        Ok(33)
    }
}

/// Those that are there all the time.
#[derive(Default)]
pub(super) struct Servers([Option<Served>; 8]);

impl Servers {
    /// Takes a list of them.
    pub(super) fn parse(&mut self, list: &str) -> Result<usize, Fault> {
        let mut words = list.split(',').filter(|word| !word.is_empty());
        for (place, word) in self.0.iter_mut().zip(words.by_ref()) {
            *place = Some(Served::parse(word).ok_or(Fault("no such server", 0))?);
        }
        ensure(words.next().is_none(), "too many servers", 0_u32)?;
        Ok(self.iter().count())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Served> {
        self.0.iter().flatten().copied()
    }

    pub(super) fn any(&self) -> bool {
        self.iter().next().is_some()
    }

    /// All checks of them.
    pub(super) fn run(&self, window: Window, buffer: Dma, others: &Others) {
        for served in self.iter() {
            let address = served.address;
            result(address, "served", served.identity(window));
            result(address, "served-widths", served.widths(window, 0x84));
            result(address, "served-qwords", served.wide(window, 0xa8));
            result(address, "served-strings", served.strings(window, 0xc0, buffer));
            result(address, "extended", served.above(window, buffer));
            result(address, "moved", served.moved(window));
        }
        if let Some(first) = self.iter().next() {
            result("mch", "refused-claims", self.refused(first, others));
            result("mch", "release", release(first, window));
            if let Some(second) = self.iter().nth(1) {
                result("mch", "hand-over", hand_over(first, second, window));
            }
        }
    }

    /// What has an owner cannot be claimed: the host bridge, another server's function, an own one, a device.
    fn refused(&self, first: Served, others: &Others) -> Result<u32, Fault> {
        let mut count = 0;
        let owned = self.iter().map(|served| served.address);
        for address in owned.chain([super::BRIDGE]).chain(others.iter()) {
            let found = first.ring(CLAIM, address);
            ensure(
                found == EEXIST,
                "a claim was not refused",
                u64::from(address.0) << 32 | u64::from(found),
            )?;
            count += 1;
        }
        // Whose they were, they are.
        for served in self.iter() {
            let found = served.read(PORTS, 0, 4);
            ensure(found == served.content(0), "another server answers", found)?;
        }
        Ok(count)
    }
}

/// A function that a server takes and gives back.
pub(super) fn release(server: Served, window: Window) -> Result<u32, Fault> {
    let other = Served { address: Address::new(0, 9, 0), ..server };
    for _ in 0..3 {
        other.absent(window)?;
        ensure(server.ring(CLAIM, other.address) == 0, "a free function cannot be claimed", 0_u32)?;
        other.fresh(PORTS, 0)?;
        other.fresh(window.access(), 0x40)?;
        other.write(window.access(), 0x40, 4, 0x600d_cafe);
        ensure(other.read(PORTS, 0x40, 4) == 0x600d_cafe, "it does not work", 0_u32)?;
        if other.extended {
            other.fresh(window.access(), 0x140)?;
        }
        ensure(server.ring(RELEASE, other.address) == 0, "it cannot be released", 0_u32)?;
        other.absent(window)?;
    }
    Ok(3)
}

/// A function that one server gives back and another takes.
fn hand_over(first: Served, second: Served, window: Window) -> Result<u32, Fault> {
    let address = Address::new(0, 0xa, 0);
    for server in [first, second, first] {
        let other = Served { address, ..server };
        ensure(server.ring(CLAIM, address) == 0, "a free function cannot be claimed", 0_u32)?;
        for either in [first, second] {
            let found = either.ring(CLAIM, address);
            ensure(found == EEXIST, "it can be claimed twice", found)?;
        }
        other.fresh(window.access(), 0x50)?;
        other.write(PORTS, 0x50, 4, u32::from(server.address.0));
        ensure(server.ring(RELEASE, address) == 0, "it cannot be released", 0_u32)?;
        other.absent(window)?;
    }
    Ok(3)
}
