//! PCIEXBAR and the window that it opens (Intel 3 Series Express Chipset datasheet, 5.1.14; PCIe 6.0, 7.2.2).

use super::{BRIDGE, IDS, Machine, PORTS};
use crate::{
    memory::{self, Dma},
    pci::{Access, Address, config::place},
    report::{Fault, ensure},
};

pub(super) const PCIEXBAR: u16 = 0x60;
const MIB: u64 = 1 << 20;

/// A register of the local APIC (Intel SDM 3A, 11.4.8).
const APIC_VERSION: u64 = 0xfee0_0030;

/// What bits 2:1 say: 256, 128 or 64 buses.
pub(super) const LENGTHS: [u32; 3] = [0, 1, 2];

/// A window that is open, or is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub base: u64,
    /// One of [`LENGTHS`].
    pub length: u32,
}

impl Window {
    pub(super) fn new(base: u64, length: u32) -> Self {
        Self { base, length }
    }

    /// What the register says, if it is open.
    pub(super) fn read() -> Option<Self> {
        let value = register();
        let length = value as u32 >> 1 & 3;
        (value & 1 != 0 && length < 3).then_some(Self { base: value & !7, length })
    }

    pub(super) fn bytes(self) -> u64 {
        (256 * MIB) >> self.length
    }

    fn last_bus(self) -> u8 {
        u8::MAX >> self.length
    }

    /// What the register holds when it is open.
    fn register(self) -> u64 {
        self.base | u64::from(self.length) << 1 | 1
    }

    pub(super) fn low(self) -> u32 {
        self.register() as u32
    }

    pub(super) fn high(self) -> u32 {
        (self.register() >> 32) as u32
    }

    /// The way through it.
    pub(super) fn access(self) -> Access {
        Access::Ecam(self.base, self.last_bus())
    }

    /// Opens it as firmware does, whatever was open: off, the upper half, the lower half.
    pub(super) fn open(self) {
        PORTS.write(BRIDGE, PCIEXBAR, 4, 0);
        PORTS.write(BRIDGE, PCIEXBAR + 4, 4, self.high());
        PORTS.write(BRIDGE, PCIEXBAR, 4, self.low());
    }

    /// It is open: the host bridge is at its start, and says the same as by the ports.
    pub(super) fn here(self) -> Result<(), Fault> {
        self.decodes()?;
        ensure(register() == self.register(), "PCIEXBAR reads otherwise", register())?;
        for offset in [PCIEXBAR, PCIEXBAR + 4, 0x08] {
            let (ecam, ports) = (self.access().read(BRIDGE, offset, 4), PORTS.read(BRIDGE, offset, 4));
            ensure(
                ecam == ports,
                "the window and the ports differ",
                u64::from(ecam) << 32 | u64::from(ports),
            )?;
        }
        Ok(())
    }

    /// The host bridge is at its start.
    fn decodes(self) -> Result<(), Fault> {
        let ids = self.access().read(BRIDGE, 0, 4);
        ensure(ids == IDS, "no host bridge at its start", self.base | u64::from(ids) << 36)
    }

    /// It is not open: nothing is there to read, and writing opens nothing.
    pub(super) fn gone(self) -> Result<(), Fault> {
        nothing_at(self.base)
    }
}

/// Where a window may not be, neither a register reads nor one takes a write.
fn nothing_at(base: u64) -> Result<(), Fault> {
    let before = register();
    ensure(memory::read32(base) == u32::MAX, "a closed window answers", base)?;
    memory::write32(place(base, BRIDGE, PCIEXBAR), before as u32 ^ 1);
    memory::write32(place(base, BRIDGE, PCIEXBAR + 4), 1);
    ensure(register() == before, "a closed window takes writes", base)
}

/// PCIEXBAR, by the ports.
pub(super) fn register() -> u64 {
    let [low, high] = [PCIEXBAR, PCIEXBAR + 4].map(|offset| u64::from(PORTS.read(BRIDGE, offset, 4)));
    high << 32 | low
}

/// Two places below 4 GiB where no guest of 32 MiB has anything.
pub(super) fn two() -> [Window; 2] {
    [Window::new(0xb000_0000, 0), Window::new(0xd000_0000, 0)]
}

/// Every length at bases that have each bit of it set and clear, below 4 GiB and above, up to the last.
pub(super) fn lengths(machine: &Machine) -> Result<u32, Fault> {
    const LOW: [u64; 7] =
        [0x1000_0000, 0x4000_0000, 0x8000_0000, 0xb000_0000, 0xc000_0000, 0xd000_0000, 0xe000_0000];
    const HIGH: [u64; 3] = [0x1_0000_0000, 0x4_0000_0000, 0xa_5000_0000];
    let mut count = 0;
    for length in LENGTHS {
        let bytes = Window::new(0, length).bytes();
        let last = machine.address_end.min(1 << 36) - bytes;
        for base in LOW.into_iter().chain(HIGH).chain([last]) {
            // The bits that only a shorter window has, all set.
            let inner = (256 * MIB - bytes) & (256 * MIB - 1);
            for window in [base, base | inner].map(|base| Window::new(base, length)) {
                if window.base < machine.memory_end || window.base > last {
                    continue;
                }
                window.open();
                window.here()?;
                limits(window, machine)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// The last bus is in the window, and what is behind it or before its start is not.
fn limits(window: Window, machine: &Machine) -> Result<(), Fault> {
    let (ecam, last) = (window.access(), Address::new(window.last_bus(), 31, 7));
    ensure(ecam.read(last, 0, 4) == u32::MAX, "a function of the last bus is there", last.0)?;
    ecam.write(last, 0x60, 4, 0);
    for base in [window.base.checked_add(window.bytes()), window.base.checked_sub(window.bytes())] {
        let free = |base: &u64| *base >= machine.memory_end && *base < machine.address_end;
        if let Some(base) = base.filter(free) {
            nothing_at(base)?;
        }
    }
    window.here()
}

/// Moves while it is open: by the ports, and through the window that moves.
pub(super) fn moves() -> Result<u32, Fault> {
    let [a, b] = two();
    let moved = |from: Window, to: Window| from.gone().and_then(|()| to.here());
    a.open();
    PORTS.write(BRIDGE, PCIEXBAR, 4, b.low());
    moved(a, b)?;
    PORTS.write(BRIDGE, PCIEXBAR + 3, 1, a.low() >> 24);
    moved(b, a)?;
    PORTS.write(BRIDGE, PCIEXBAR + 2, 2, b.low() >> 16);
    moved(a, b)?;
    for n in 0..32 {
        let (from, to) = if n % 2 == 0 { (b, a) } else { (a, b) };
        match n % 3 {
            0 => from.access().write(BRIDGE, PCIEXBAR, 4, to.low()),
            1 => from.access().write(BRIDGE, PCIEXBAR + 2, 2, to.low() >> 16),
            _ => from.access().write(BRIDGE, PCIEXBAR + 3, 1, to.low() >> 24),
        }
        moved(from, to)?;
    }
    // The upper half alone: above 4 GiB and back, the second time with one access for both halves.
    let above = Window::new(b.base | 4 << 32, 0);
    b.access().write(BRIDGE, PCIEXBAR + 4, 4, above.high());
    moved(b, above)?;
    above.access().write(BRIDGE, PCIEXBAR + 4, 1, 0);
    moved(above, b)?;
    memory::write64(place(b.base, BRIDGE, PCIEXBAR), above.register());
    moved(b, above)?;
    memory::write64(place(above.base, BRIDGE, PCIEXBAR), b.register());
    moved(above, b)?;
    // The length alone.
    let short = Window::new(b.base, 2);
    b.access().write(BRIDGE, PCIEXBAR, 1, short.low() & 0xff);
    short.here()?;
    nothing_at(short.base + short.bytes())?;
    short.access().write(BRIDGE, PCIEXBAR, 1, b.low() & 0xff);
    b.here()?;
    Ok(41)
}

/// Bytes and words in any order come to the same as a dword.
pub(super) fn partial() -> Result<u32, Fault> {
    let to = Window::new(0xdc00_0000, 2);
    let bytes = to.low().to_le_bytes().map(u32::from);
    let mut orders = 0;
    for order in 0..256_u16 {
        let order = [0, 2, 4, 6].map(|shift| order >> shift & 3);
        if order.iter().fold(0, |seen, lane| seen | 1 << lane) != 0xf {
            continue;
        }
        for from in [two()[0], Window::new(0x3_4000_0000, 1)] {
            from.open();
            for (n, lane) in order.into_iter().enumerate() {
                PORTS.write(BRIDGE, PCIEXBAR + lane, 1, bytes[usize::from(lane)]);
                if n == 1 {
                    PORTS.write(BRIDGE, PCIEXBAR + 4, 1, 0);
                }
            }
            to.here()?;
            from.gone()?;
            orders += 1;
        }
    }
    for halves in [[0, 2], [2, 0]] {
        two()[0].open();
        for half in halves {
            PORTS.write(BRIDGE, PCIEXBAR + half, 2, to.low() >> (8 * half));
        }
        to.here()?;
        orders += 1;
    }
    Ok(orders)
}

/// The reserved length: the register shows it, the window stays where it was, until there is a length again.
pub(super) fn reserved() -> Result<u32, Fault> {
    let [a, b] = two();
    a.open();
    PORTS.write(BRIDGE, PCIEXBAR, 4, b.low() | 6);
    ensure(register() & 7 == 7, "the reserved length does not show", register())?;
    a.decodes()?;
    b.gone()?;
    a.access().write(BRIDGE, PCIEXBAR, 4, b.low());
    a.gone()?;
    b.here()?;
    Ok(2)
}

/// Off, by the ports and through itself; the base stays, and the ports go on.
pub(super) fn disable() -> Result<u32, Fault> {
    let [a, _] = two();
    a.open();
    for access in [PORTS, a.access()] {
        access.write(BRIDGE, PCIEXBAR, 1, a.low() & 0xfe);
        a.gone()?;
        ensure(register() == a.register() & !1, "the base went with it", register())?;
        ensure(PORTS.read(BRIDGE, 0, 4) == IDS, "the ports went with it", 0_u32)?;
        PORTS.write(BRIDGE, PCIEXBAR, 1, a.low() & 0xff);
        a.here()?;
    }
    Ok(2)
}

/// Bits that are not there: below the base of each length, and above the address width.
pub(super) fn zeros(machine: &Machine) -> Result<u32, Fault> {
    let end = machine.address_end.min(1 << 36);
    for length in LENGTHS {
        let bytes = Window::new(0, length).bytes();
        PORTS.write(BRIDGE, PCIEXBAR, 4, u32::MAX << 3 | length << 1);
        PORTS.write(BRIDGE, PCIEXBAR + 4, 4, u32::MAX);
        let wanted = (end - bytes) | u64::from(length) << 1;
        ensure(register() == wanted, "other bits than those of a base", register())?;
        PORTS.write(BRIDGE, PCIEXBAR, 4, length << 1);
        PORTS.write(BRIDGE, PCIEXBAR + 4, 4, 0);
        ensure(register() == u64::from(length) << 1, "the base does not become 0", register())?;
    }
    Ok(6)
}

/// Over RAM: RAM stays RAM, and what is in it stays.
pub(super) fn over_memory() -> Result<u32, Fault> {
    let page = Dma::pages(1);
    let value = |at: u64, seed: u32| memory::next(at as u32 ^ seed);
    let dwords = || (0..memory::PAGE as u64).step_by(4);
    let holds = |seed| {
        let wrong = dwords().find(|at| page.get(*at) != value(*at, seed));
        wrong.map_or(Ok(()), |at| Err(Fault("RAM is not what it was", page.address() + at)))
    };
    let fill = |seed| dwords().for_each(|at| page.set(at, value(at, seed)));
    let version = memory::read32(APIC_VERSION);
    fill(0);
    for (seed, length) in (0..).zip(LENGTHS) {
        let window = Window::new(0, length);
        window.open();
        ensure(register() == window.register(), "PCIEXBAR reads otherwise", register())?;
        holds(seed)?;
        fill(seed + 1);
        holds(seed + 1)?;
        // Xen reads this instruction to emulate it, and it is in such a window.
        ensure(memory::read32(APIC_VERSION) == version, "the local APIC is gone", version)?;
        two()[0].open();
        holds(seed + 1)?;
    }
    Ok(3)
}

/// Over the local APIC and what else is from FEC00000 on: those stay, the rest is decoded.
pub(super) fn over_apic() -> Result<u32, Fault> {
    let before = memory::read32(APIC_VERSION);
    for length in LENGTHS {
        let window = Window::new((1 << 32) - Window::new(0, length).bytes(), length);
        window.open();
        window.here()?;
        ensure(
            memory::read32(APIC_VERSION) == before,
            "the local APIC is gone",
            memory::read32(APIC_VERSION),
        )?;
        // Its timer's interrupt has to come.
        crate::interrupts::sleep(100);
        two()[0].open();
        window.gone()?;
    }
    Ok(3)
}
