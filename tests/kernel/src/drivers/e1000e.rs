//! A network card (Intel 82574; the sections are those of its datasheet, revision 3.4), looped back in its MAC: what it sends it
//! receives. By MSI-X or by MSI.

use super::PATIENCE;
use crate::{
    interrupts,
    memory::{Dma, read32, write32},
    pci::{
        Function, bar, function,
        msi::{Msi, Msix},
    },
    report::{Fault, ensure},
    xen,
};

/// Vendor and device.
pub(crate) const IDS: u32 = 0x10d3_8086;

// Registers (10.2).
const CONTROL: u64 = 0x0000;
const STATUS: u64 = 0x0008;
const CONTROL_EXT: u64 = 0x0018;
const CAUSE: u64 = 0x00c0;
const CAUSE_SET: u64 = 0x00c8;
const MASK_SET: u64 = 0x00d0;
const MASK_CLEAR: u64 = 0x00d8;
const AUTO_CLEAR: u64 = 0x00dc;
const VECTORS: u64 = 0x00e4;
const RECEIVE_CONTROL: u64 = 0x0100;
const TRANSMIT_CONTROL: u64 = 0x0400;
const RECEIVE_RING: u64 = 0x2800;
const TRANSMIT_RING: u64 = 0x3800;

// Of a ring: low and high address, length, head, tail.
const LENGTH: u64 = 0x08;
const HEAD: u64 = 0x10;
const TAIL: u64 = 0x18;

/// Descriptors of each ring, 16 bytes each.
const DESCRIPTORS: u64 = 8;
/// Bytes of a frame.
const FRAME: u64 = 512;

/// QEMU 7.2 ends itself if MSI-X is off when its throttling timer runs out, 128 us after an interrupt and later on a busy machine.
/// So long, in microseconds, nothing turns it off.
const THROTTLE: u64 = 30_000;

/// Causes (10.2.4.1): other ones, by MSI-X; link status change.
const OTHER: u32 = 1 << 24;
const LINK: u32 = 1 << 2;

/// How its interrupts come.
pub(crate) enum By {
    Msi(Msi),
    Msix(Msix, u8),
}

/// A card that runs.
pub(crate) struct E1000e {
    pub by: By,
    pub function: Function,
    registers: u64,
    receive: Dma,
    transmit: Dma,
    received: Dma,
    frame: Dma,
    next: u64,
}

impl E1000e {
    /// Brings it up. Memory decoding and bus mastering are on afterwards.
    pub(crate) fn start(function: Function, msix: bool) -> Result<Self, Fault> {
        let bar = bar::memory_bar(function, 0).ok_or(Fault("no BAR 0", 0))?;
        function.command(function::MEMORY_SPACE | function::BUS_MASTER, 0);
        let registers = bar.address;
        write32(registers + MASK_CLEAR, u32::MAX);
        write32(registers + RECEIVE_CONTROL, 0);
        write32(registers + TRANSMIT_CONTROL, 0);
        let by = if msix {
            let msix = Msix::find(function)?;
            msix.enable();
            // Everything to vector 0 (10.2.4.9), MSI-X mode (10.2.2.5).
            write32(registers + VECTORS, 0x8008_8888);
            write32(registers + CONTROL_EXT, read32(registers + CONTROL_EXT) | 1 << 31);
            write32(registers + AUTO_CLEAR, 0x01f0_0000);
            By::Msix(msix, msix.aim(0))
        } else {
            write32(registers + CONTROL_EXT, read32(registers + CONTROL_EXT) & !(1 << 31));
            By::Msi(Msi::enable(function, 0)?)
        };
        let (receive, transmit, received) = (Dma::pages(1), Dma::pages(1), Dma::pages(4));
        for (ring, memory) in [(RECEIVE_RING, receive), (TRANSMIT_RING, transmit)] {
            write32(registers + ring, memory.address() as u32);
            write32(registers + ring + 4, (memory.address() >> 32) as u32);
            write32(registers + ring + LENGTH, 16 * DESCRIPTORS as u32);
            write32(registers + ring + HEAD, 0);
            write32(registers + ring + TAIL, 0);
        }
        for n in 0..DESCRIPTORS {
            receive.set64(16 * n, received.address() + 2048 * n);
        }
        // Set link up; looped back in the MAC, every frame, broadcasts (10.2.5.1).
        write32(registers + CONTROL, read32(registers + CONTROL) | 0x40);
        write32(registers + RECEIVE_CONTROL, 1 << 26 | 1 << 15 | 1 << 6 | 0x18 | 2);
        write32(registers + RECEIVE_RING + TAIL, DESCRIPTORS as u32 - 1);
        write32(registers + TRANSMIT_CONTROL, 0x0004_010a);
        let up = xen::wait(PATIENCE, || read32(registers + STATUS) & 2 != 0);
        ensure(up, "no link", read32(registers + STATUS))?;
        Ok(Self { by, function, registers, receive, transmit, received, frame: Dma::pages(1), next: 0 })
    }

    /// The vector of its interrupts.
    fn vector(&self) -> u8 {
        match &self.by {
            By::Msi(msi) => msi.vector,
            By::Msix(_, vector) => *vector,
        }
    }

    /// Interrupts so far.
    pub(crate) fn interrupts(&self) -> u32 {
        interrupts::count(self.vector())
    }

    /// Sets a cause by software (10.2.4.3). Whether an interrupt came of it.
    pub(crate) fn trigger(&mut self, patience: u64) -> bool {
        let cause = if matches!(self.by, By::Msix(..)) { OTHER | LINK } else { LINK };
        let _ = read32(self.registers + CAUSE);
        write32(self.registers + CAUSE, u32::MAX);
        let before = self.interrupts();
        write32(self.registers + MASK_SET, cause);
        write32(self.registers + CAUSE_SET, cause);
        let came = xen::wait(patience, || self.interrupts() != before);
        write32(self.registers + MASK_CLEAR, u32::MAX);
        let _ = read32(self.registers + CAUSE);
        write32(self.registers + CAUSE, u32::MAX);
        came
    }

    /// Does what ends in an interrupt, but does not need one.
    pub(crate) fn poke(&mut self) {
        let _ = self.trigger(super::SOON);
    }

    /// A register that a reset would change.
    pub(crate) fn fingerprint(&self) -> u32 {
        read32(self.registers + TRANSMIT_RING)
    }

    /// Sends a frame and receives it.
    fn frame(&mut self, seed: u32) -> Result<(), Fault> {
        let data = self.frame;
        data.pattern(FRAME, seed);
        let at = 16 * self.next;
        let tail = (self.next + 1) % DESCRIPTORS;
        self.transmit.set64(at, data.address());
        // Length; end of packet, insert the checksum, report status (7.2.10.1).
        self.transmit.set(at + 12, 0);
        self.transmit.set(at + 8, 0x0b00_0000 | FRAME as u32);
        write32(self.registers + TRANSMIT_RING + TAIL, tail as u32);
        let sent = xen::wait(PATIENCE, || self.transmit.get(at + 12) & 1 != 0);
        ensure(sent, "a frame is not sent", read32(self.registers + STATUS))?;
        let received = xen::wait(PATIENCE, || self.receive.get(at + 12) & 1 != 0);
        ensure(received, "the frame does not come back", read32(self.registers + STATUS))?;
        let length = self.receive.get(at + 8) & 0xffff;
        ensure(length == FRAME as u32, "the frame has another length", length)?;
        for offset in (0..FRAME).step_by(4) {
            let back = self.received.get(2048 * self.next + offset);
            ensure(back == data.get(offset), "the frame holds other data", back)?;
        }
        // The descriptor goes back to the card (7.1.4).
        self.receive.set64(at, self.received.address() + 2048 * self.next);
        self.receive.set64(at + 8, 0);
        write32(self.registers + RECEIVE_RING + TAIL, self.next as u32);
        self.next = tail;
        Ok(())
    }

    /// A frame there and back, and an interrupt. How many came.
    pub(crate) fn exercise(&mut self, seed: u32) -> Result<u32, Fault> {
        let before = self.interrupts();
        self.frame(seed)?;
        ensure(self.trigger(PATIENCE), "no interrupt", self.vector())?;
        Ok(self.interrupts() - before)
    }

    /// Leaves interrupts on and the rings full.
    pub(crate) fn leave_running(&mut self) {
        write32(self.registers + MASK_SET, u32::MAX);
        write32(self.registers + TRANSMIT_RING + TAIL, (self.next as u32 + 4) % DESCRIPTORS as u32);
        // A reset may follow.
        xen::pause(THROTTLE);
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        write32(self.registers + MASK_CLEAR, u32::MAX);
        write32(self.registers + RECEIVE_CONTROL, 0);
        write32(self.registers + TRANSMIT_CONTROL, 0);
        xen::pause(THROTTLE);
        match &self.by {
            By::Msi(msi) => msi.disable(),
            By::Msix(msix, _) => msix.disable(),
        }
        self.function.command(0, function::BUS_MASTER);
    }
}
