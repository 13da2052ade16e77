//! An NVMe controller (NVMe 1.4; the sections are that specification's): the admin queues, one pair of I/O queues, MSI-X.

use super::{PATIENCE, WRITTEN};
use crate::{
    interrupts,
    memory::{Dma, PAGE, read32, read64, write32, write64},
    pci::{Function, bar, function, msi::Msix},
    report::{Fault, ensure},
    xen,
};

// Registers (3.1).
const CAPABILITIES: u64 = 0x00;
const CONFIGURATION: u64 = 0x14;
const STATUS: u64 = 0x1c;
const ADMIN_ATTRIBUTES: u64 = 0x24;
const ADMIN_SUBMISSION: u64 = 0x28;
const ADMIN_COMPLETION: u64 = 0x30;
const DOORBELLS: u64 = 0x1000;

/// Entries of each queue.
const ENTRIES: u16 = 16;

// Opcodes (5, 6).
const CREATE_SUBMISSION: u32 = 0x01;
const CREATE_COMPLETION: u32 = 0x05;
const IDENTIFY: u32 = 0x06;
const WRITE: u32 = 0x01;
const READ: u32 = 0x02;

/// A submission queue and its completion queue.
#[derive(Clone, Copy)]
struct Queue {
    id: u16,
    submission: Dma,
    completion: Dma,
    tail: u16,
    head: u16,
    phase: u32,
    vector: u8,
}

/// A controller that runs.
pub(crate) struct Nvme {
    pub msix: Msix,
    registers: u64,
    stride: u64,
    admin: Queue,
    io: Queue,
    buffer: Dma,
    /// What is written, and what comes back.
    pages: [Dma; 2],
    /// Bytes of a logical block.
    block: u64,
}

/// A command: opcode, namespace, data pointer, dwords 10 to 12.
struct Command {
    opcode: u32,
    namespace: u32,
    data: u64,
    dwords: [u32; 3],
}

impl Nvme {
    /// Brings a controller up. Memory decoding and bus mastering are on afterwards.
    pub(crate) fn start(function: Function) -> Result<Self, Fault> {
        let bar = bar::memory_bar(function, 0).ok_or(Fault("no BAR 0", 0))?;
        let msix = Msix::find(function)?;
        function.command(function::MEMORY_SPACE | function::BUS_MASTER, 0);
        let registers = bar.address;
        write32(registers + CONFIGURATION, 0);
        ensure(
            xen::wait(PATIENCE, || read32(registers + STATUS) & 1 == 0),
            "the controller does not stop",
            0_u32,
        )?;

        // Before the controller is enabled: the queues say then which vectors they use.
        msix.enable();
        let stride = 4 << (read64(registers + CAPABILITIES) >> 32 & 0xf);
        let queue = |id: u16| Queue {
            id,
            submission: Dma::pages(1),
            completion: Dma::pages(1),
            tail: 0,
            head: 0,
            phase: 1,
            vector: msix.aim(id),
        };
        let (admin, io) = (queue(0), queue(1));
        let mut nvme = Self {
            msix,
            registers,
            stride,
            admin,
            io,
            buffer: Dma::pages(1),
            pages: [Dma::pages(1), Dma::pages(1)],
            block: 512,
        };

        write32(registers + ADMIN_ATTRIBUTES, u32::from(ENTRIES - 1) << 16 | u32::from(ENTRIES - 1));
        write64(registers + ADMIN_SUBMISSION, admin.submission.address());
        write64(registers + ADMIN_COMPLETION, admin.completion.address());
        // Entries of 64 and 16 bytes; enabled (3.1.5).
        write32(registers + CONFIGURATION, 4 << 20 | 6 << 16 | 1);
        let ready = xen::wait(PATIENCE, || read32(registers + STATUS) & 3 == 1);
        ensure(ready, "the controller does not start", read32(registers + STATUS))?;
        nvme.identify()?;
        nvme.create_queues()?;
        Ok(nvme)
    }

    /// The controller and its first namespace, for the size of a block (5.15).
    fn identify(&mut self) -> Result<(), Fault> {
        let data = self.buffer.address();
        self.admin(&Command { opcode: IDENTIFY, namespace: 0, data, dwords: [1, 0, 0] })?;
        let vendor = self.buffer.get(0) & 0xffff;
        ensure(vendor == u32::from(self.msix.function.read16(0)), "identify gives another vendor", vendor)?;
        self.admin(&Command { opcode: IDENTIFY, namespace: 1, data, dwords: [0, 0, 0] })?;
        let format = u64::from(self.buffer.get(24) >> 16 & 0xf);
        self.block = 1 << (self.buffer.get(128 + 4 * format) >> 16 & 0xff);
        ensure((512..=4096).contains(&self.block), "strange blocks", self.block)
    }

    /// One completion queue with interrupts, one submission queue (5.3, 5.4).
    fn create_queues(&mut self) -> Result<(), Fault> {
        let id = u32::from(ENTRIES - 1) << 16 | u32::from(self.io.id);
        let vector = u32::from(self.io.id) << 16;
        let data = self.io.completion.address();
        self.admin(&Command { opcode: CREATE_COMPLETION, namespace: 0, data, dwords: [id, vector | 3, 0] })?;
        let data = self.io.submission.address();
        self.admin(&Command { opcode: CREATE_SUBMISSION, namespace: 0, data, dwords: [id, vector | 1, 0] })
    }

    fn admin(&mut self, command: &Command) -> Result<(), Fault> {
        let mut queue = self.admin;
        self.submit(&mut queue, command);
        let result = self.complete(&mut queue);
        self.admin = queue;
        result
    }

    fn io(&mut self, command: &Command) -> Result<(), Fault> {
        let mut queue = self.io;
        self.submit(&mut queue, command);
        let result = self.complete(&mut queue);
        self.io = queue;
        result
    }

    fn doorbell(&self, queue: &Queue, completion: u64) -> u64 {
        self.registers + DOORBELLS + (2 * u64::from(queue.id) + completion) * self.stride
    }

    /// Puts a command in a queue (4.2) and rings the bell.
    fn submit(&self, queue: &mut Queue, command: &Command) {
        let at = 64 * u64::from(queue.tail);
        for offset in (0..64).step_by(4) {
            queue.submission.set(at + offset, 0);
        }
        queue.submission.set(at, u32::from(queue.tail) << 16 | command.opcode);
        queue.submission.set(at + 4, command.namespace);
        queue.submission.set64(at + 24, command.data);
        for (offset, dword) in (40..).step_by(4).zip(command.dwords) {
            queue.submission.set(at + offset, dword);
        }
        queue.tail = (queue.tail + 1) % ENTRIES;
        write32(self.doorbell(queue, 0), u32::from(queue.tail));
    }

    /// Waits for the next completion (4.6) and takes it.
    fn complete(&self, queue: &mut Queue) -> Result<(), Fault> {
        let at = 16 * u64::from(queue.head) + 12;
        let came = xen::wait(PATIENCE, || queue.completion.get(at) >> 16 & 1 == queue.phase);
        ensure(came, "a command does not complete", read32(self.registers + STATUS))?;
        let status = queue.completion.get(at) >> 17;
        queue.head = (queue.head + 1) % ENTRIES;
        if queue.head == 0 {
            queue.phase ^= 1;
        }
        write32(self.doorbell(queue, 1), u32::from(queue.head));
        ensure(status == 0, "a command fails", status)
    }

    /// Reads or writes one page from a block on, by one command.
    pub(crate) fn transfer(&mut self, write: bool, block: u32, data: Dma) -> Result<(), Fault> {
        let opcode = if write { WRITE } else { READ };
        let count = (PAGE as u64 / self.block) as u32 - 1;
        self.io(&Command { opcode, namespace: 1, data: data.address(), dwords: [block, 0, count] })
    }

    /// The checksum of a page from a block on.
    pub(crate) fn sum(&mut self, block: u32) -> Result<u64, Fault> {
        let data = self.buffer;
        self.transfer(false, block, data)?;
        Ok(data.sum(PAGE as u64))
    }

    /// Writes a page and reads it back, and waits for the interrupts of both. How many came.
    pub(crate) fn exercise(&mut self, seed: u32) -> Result<u32, Fault> {
        let [out, back] = self.pages;
        let before = self.interrupts();
        out.pattern(PAGE as u64, seed);
        self.transfer(true, WRITTEN, out)?;
        self.arrived(before)?;
        let between = self.interrupts();
        self.transfer(false, WRITTEN, back)?;
        self.arrived(between)?;
        let (wanted, found) = (out.sum(PAGE as u64), back.sum(PAGE as u64));
        ensure(wanted == found, "the data that came back is other data", found)?;
        Ok(self.interrupts() - before)
    }

    /// Does what ends in an interrupt, but does not need one.
    pub(crate) fn poke(&mut self) -> Result<(), Fault> {
        self.transfer(false, 0, self.buffer)?;
        xen::pause(super::SOON);
        Ok(())
    }

    /// A register that a reset would change.
    pub(crate) fn fingerprint(&self) -> u32 {
        read32(self.registers + CONFIGURATION)
    }

    /// The MSI-X entry of the I/O queue, and its vector.
    pub(crate) fn entry(&self) -> (u16, u8) {
        (self.io.id, self.io.vector)
    }

    /// Interrupts of the I/O queue so far.
    pub(crate) fn interrupts(&self) -> u32 {
        interrupts::count(self.io.vector)
    }

    fn arrived(&self, before: u32) -> Result<(), Fault> {
        let came = xen::wait(PATIENCE, || self.interrupts() != before);
        ensure(came, "no interrupt", u64::from(self.io.vector))
    }

    /// Masks the I/O queue's vector, has a command complete, and unmasks: the interrupt waits, pending, and then comes.
    pub(crate) fn exercise_mask(&mut self) -> Result<&'static str, Fault> {
        let entry = self.io.id;
        self.msix.mask(entry, true);
        let before = self.interrupts();
        self.transfer(false, 0, self.buffer)?;
        xen::pause(super::SOON);
        ensure(self.interrupts() == before, "a masked interrupt came", self.interrupts())?;
        ensure(self.msix.is_pending(entry), "its pending bit is clear", 0_u32)?;
        self.msix.mask(entry, false);
        self.arrived(before)?;
        ensure(!self.msix.is_pending(entry), "its pending bit is still set", 0_u32)?;
        Ok("held back, pending, then delivered")
    }

    /// The same with the mask of the whole function.
    pub(crate) fn exercise_mask_all(&mut self) -> Result<&'static str, Fault> {
        let (function, at) = (self.msix.function, self.msix.at + 2);
        let control = function.read16(at);
        function.write16(at, control | crate::pci::msi::MSIX_MASK_ALL);
        let before = self.interrupts();
        self.transfer(false, 0, self.buffer)?;
        xen::pause(super::SOON);
        ensure(self.interrupts() == before, "a masked interrupt came", self.interrupts())?;
        function.write16(at, control);
        self.arrived(before)?;
        Ok("held back, then delivered")
    }

    /// Has the controller work without end: the commands are submitted and nobody waits.
    pub(crate) fn leave_running(&mut self) {
        let mut queue = self.io;
        let data = self.buffer.address();
        for block in 0..u32::from(ENTRIES - 2) {
            self.submit(&mut queue, &Command { opcode: READ, namespace: 1, data, dwords: [block, 0, 0] });
        }
        self.io = queue;
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        write32(self.registers + CONFIGURATION, 0);
        xen::wait(PATIENCE, || read32(self.registers + STATUS) & 1 == 0);
        self.msix.disable();
        self.msix.function.command(0, function::BUS_MASTER);
    }
}
