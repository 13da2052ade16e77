//! A SATA controller (AHCI 1.3.1; the sections are that specification's): one disk, one command at a time, plain MSI.

use super::{PATIENCE, WRITTEN};
use crate::{
    interrupts,
    memory::{Dma, PAGE, read32, write32},
    pci::{Function, bar, function, msi::Msi},
    report::{Fault, ensure},
    xen,
};

// The controller's registers (3.1).
const GLOBAL_CONTROL: u64 = 0x04;
const INTERRUPT_STATUS: u64 = 0x08;
const PORTS: u64 = 0x0c;

// A port's (3.3), from 0x100 + 0x80 * port on.
const LIST: u64 = 0x00;
const RECEIVED: u64 = 0x08;
const PORT_INTERRUPTS: u64 = 0x10;
const PORT_INTERRUPT_ENABLE: u64 = 0x14;
const PORT_COMMAND: u64 = 0x18;
const TASK_FILE: u64 = 0x20;
const SATA_STATUS: u64 = 0x28;
const SATA_ERROR: u64 = 0x30;
const ISSUE: u64 = 0x38;

/// READ DMA EXT and WRITE DMA EXT (ATA/ATAPI-7).
const READ: u32 = 0x25;
const WRITE: u32 = 0x35;

/// A controller with a disk.
pub(crate) struct Ahci {
    pub msi: Msi,
    registers: u64,
    port: u64,
    list: Dma,
    table: Dma,
    buffer: Dma,
    /// What is written, and what comes back.
    pages: [Dma; 2],
}

impl Ahci {
    /// Brings the first disk up. Memory decoding and bus mastering are on afterwards.
    pub(crate) fn start(function: Function) -> Result<Self, Fault> {
        let bar = bar::memory_bar(function, 5).ok_or(Fault("no BAR 5", 0))?;
        function.command(function::MEMORY_SPACE | function::BUS_MASTER, 0);
        let registers = bar.address;
        write32(registers + GLOBAL_CONTROL, 1 << 31);
        let port = (0..32)
            .filter(|n| read32(registers + PORTS) >> n & 1 != 0)
            .map(|n| registers + 0x100 + 0x80 * n)
            .find(|port| read32(port + SATA_STATUS) & 0xf == 3)
            .ok_or(Fault("no disk", u64::from(read32(registers + PORTS))))?;

        // Stop it (10.1.2) before its memory changes.
        write32(port + PORT_COMMAND, read32(port + PORT_COMMAND) & !0x11);
        let stopped = xen::wait(PATIENCE, || read32(port + PORT_COMMAND) & 0xc000 == 0);
        ensure(stopped, "the port does not stop", read32(port + PORT_COMMAND))?;
        let (list, received, table) = (Dma::pages(1), Dma::pages(1), Dma::pages(1));
        for (register, memory) in [(LIST, list), (RECEIVED, received)] {
            write32(port + register, memory.address() as u32);
            write32(port + register + 4, (memory.address() >> 32) as u32);
        }
        write32(port + SATA_ERROR, u32::MAX);
        write32(port + PORT_INTERRUPTS, u32::MAX);
        write32(registers + INTERRUPT_STATUS, u32::MAX);
        let msi = Msi::enable(function, 0)?;
        // Device to host, and errors of the interface.
        write32(port + PORT_INTERRUPT_ENABLE, 0x7800_0001);
        write32(registers + GLOBAL_CONTROL, 1 << 31 | 2);
        write32(port + PORT_COMMAND, read32(port + PORT_COMMAND) | 0x10);
        write32(port + PORT_COMMAND, read32(port + PORT_COMMAND) | 1);
        Ok(Self {
            msi,
            registers,
            port,
            list,
            table,
            buffer: Dma::pages(1),
            pages: [Dma::pages(1), Dma::pages(1)],
        })
    }

    /// Starts to read or write one page from a sector on, in slot 0.
    fn issue(&self, command: u32, sector: u32, data: Dma) {
        // The register FIS of a command (Serial ATA 3.0, 10.3.4): LBA mode, eight sectors.
        self.table.set(0, command << 16 | 0x8027);
        self.table.set(4, 0x4000_0000 | sector & 0x00ff_ffff);
        self.table.set(8, sector >> 24);
        self.table.set(12, PAGE as u32 / 512);
        // One region (4.2.3.3), and the header: five dwords of FIS (4.2.2).
        self.table.set64(0x80, data.address());
        self.table.set(0x8c, PAGE as u32 - 1);
        self.list.set(0, 1 << 16 | u32::from(command == WRITE) << 6 | 5);
        self.list.set(4, 0);
        self.list.set64(8, self.table.address());
        write32(self.port + ISSUE, 1);
    }

    /// Starts a command and waits until it is over, interrupt or not.
    fn run(&self, command: u32, sector: u32, data: Dma) -> Result<(), Fault> {
        self.issue(command, sector, data);
        let over = xen::wait(PATIENCE, || read32(self.port + ISSUE) & 1 == 0);
        ensure(over, "a command does not complete", read32(self.port + TASK_FILE))?;
        let status = read32(self.port + TASK_FILE);
        ensure(status & 0x89 == 0, "a command fails", status)
    }

    /// Runs a command, waits for its interrupt, and acknowledges.
    fn transfer(&self, command: u32, sector: u32, data: Dma) -> Result<(), Fault> {
        let before = self.interrupts();
        self.run(command, sector, data)?;
        let came = xen::wait(PATIENCE, || self.interrupts() != before);
        self.acknowledge();
        ensure(came, "no interrupt", self.msi.vector)
    }

    /// Does what ends in an interrupt, but does not need one.
    pub(crate) fn work(&mut self) -> Result<(), Fault> {
        self.run(READ, 0, self.buffer)?;
        self.acknowledge();
        Ok(())
    }

    /// Likewise, and gives it the time to come.
    pub(crate) fn poke(&mut self) -> Result<(), Fault> {
        self.run(READ, 0, self.buffer)?;
        xen::pause(super::SOON);
        self.acknowledge();
        Ok(())
    }

    /// A register that a reset would change.
    pub(crate) fn fingerprint(&self) -> u32 {
        read32(self.registers + GLOBAL_CONTROL)
    }

    /// Clears the port's cause and then the controller's (10.7.2.1).
    fn acknowledge(&self) {
        write32(self.port + PORT_INTERRUPTS, read32(self.port + PORT_INTERRUPTS));
        write32(self.registers + INTERRUPT_STATUS, read32(self.registers + INTERRUPT_STATUS));
    }

    /// Interrupts so far.
    pub(crate) fn interrupts(&self) -> u32 {
        interrupts::count(self.msi.vector)
    }

    /// The checksum of a page from a sector on.
    pub(crate) fn sum(&mut self, sector: u32) -> Result<u64, Fault> {
        let data = self.buffer;
        self.transfer(READ, sector, data)?;
        Ok(data.sum(PAGE as u64))
    }

    /// Writes a page and reads it back, an interrupt each. How many came.
    pub(crate) fn exercise(&mut self, seed: u32) -> Result<u32, Fault> {
        let [out, back] = self.pages;
        let before = self.interrupts();
        out.pattern(PAGE as u64, seed);
        self.transfer(WRITE, WRITTEN, out)?;
        self.transfer(READ, WRITTEN, back)?;
        let (wanted, found) = (out.sum(PAGE as u64), back.sum(PAGE as u64));
        ensure(wanted == found, "the data that came back is other data", found)?;
        Ok(self.interrupts() - before)
    }

    /// Has the disk work, and nobody waits.
    pub(crate) fn leave_running(&mut self) {
        self.issue(READ, 0, self.buffer);
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        write32(self.registers + GLOBAL_CONTROL, 1 << 31);
        write32(self.port + PORT_COMMAND, read32(self.port + PORT_COMMAND) & !0x11);
        xen::wait(PATIENCE, || read32(self.port + PORT_COMMAND) & 0xc000 == 0);
        self.msi.disable();
        self.msi.function.command(0, function::BUS_MASTER);
    }
}
