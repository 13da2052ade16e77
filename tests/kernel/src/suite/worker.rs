//! A device that works, whatever it is.

use crate::{
    drivers::{
        ahci::Ahci,
        e1000e::{self, By, E1000e},
        nvme::Nvme,
    },
    interrupts, memory,
    pci::{
        Function, function,
        msi::{MSI_ENABLE, MSI_WIDE, MSIX_ENABLE, Msi, Msix},
    },
    report::{Fault, ensure},
};

/// A device with its driver.
pub(crate) enum Worker {
    Nvme(Nvme),
    Ahci(Ahci),
    Card(E1000e),
}

/// Where a device's message is programmed.
pub(crate) enum Message {
    Msi(Msi),
    Msix(Msix, u16),
}

impl Worker {
    /// Starts the driver of a device, if there is one for it.
    pub(crate) fn start(function: Function) -> Option<Result<Self, Fault>> {
        match function.class() {
            0x01_0802 => Some(Nvme::start(function).map(Self::Nvme)),
            0x01_0601 => Some(Ahci::start(function).map(Self::Ahci)),
            _ if function.ids() == e1000e::IDS => Some(E1000e::start(function, true).map(Self::Card)),
            _ => None,
        }
    }

    /// Moves data there and back, with interrupts. How many came.
    pub(crate) fn exercise(&mut self, seed: u32) -> Result<u32, Fault> {
        match self {
            Self::Nvme(nvme) => nvme.exercise(seed),
            Self::Ahci(ahci) => ahci.exercise(seed),
            Self::Card(card) => card.exercise(seed),
        }
    }

    /// Has it do what ends in an interrupt, and waits for the end alone.
    pub(crate) fn work(&mut self) -> Result<(), Fault> {
        match self {
            Self::Nvme(nvme) => nvme.sum(0).map(|_| ()),
            Self::Ahci(ahci) => ahci.work(),
            Self::Card(_) => Err(Fault("a card has no end of work without an interrupt", 0)),
        }
    }

    /// Has it do what ends in an interrupt, and gives that the time to come.
    pub(crate) fn poke(&mut self) -> Result<(), Fault> {
        match self {
            Self::Nvme(nvme) => nvme.poke(),
            Self::Ahci(ahci) => ahci.poke(),
            Self::Card(card) => {
                card.poke();
                Ok(())
            }
        }
    }

    /// A register that a reset would change.
    pub(crate) fn fingerprint(&self) -> u32 {
        match self {
            Self::Nvme(nvme) => nvme.fingerprint(),
            Self::Ahci(ahci) => ahci.fingerprint(),
            Self::Card(card) => card.fingerprint(),
        }
    }

    /// Its message, and its vector.
    pub(crate) fn message(&self) -> (Message, u8) {
        match self {
            Self::Nvme(nvme) => {
                let (entry, vector) = nvme.entry();
                (Message::Msix(nvme.msix, entry), vector)
            }
            Self::Ahci(ahci) => (Message::Msi(ahci.msi), ahci.msi.vector),
            Self::Card(card) => match card.by {
                By::Msi(msi) => (Message::Msi(msi), msi.vector),
                By::Msix(msix, vector) => (Message::Msix(msix, 0), vector),
            },
        }
    }

    /// Leaves it at work, with nobody there to take its interrupts.
    pub(crate) fn leave_running(&mut self) {
        match self {
            Self::Nvme(nvme) => nvme.leave_running(),
            Self::Ahci(ahci) => ahci.leave_running(),
            Self::Card(card) => card.leave_running(),
        }
    }

    /// Has it do nothing more.
    pub(crate) fn stop(&self) {
        match self {
            Self::Nvme(nvme) => nvme.stop(),
            Self::Ahci(ahci) => ahci.stop(),
            Self::Card(card) => card.stop(),
        }
    }

    /// Starts it anew, on memory and vectors of its own: what it does with those that it had, nobody looks at.
    pub(crate) fn restart(&mut self) -> Result<(), Fault> {
        let function = match self {
            Self::Nvme(nvme) => nvme.msix.function,
            Self::Ahci(ahci) => ahci.msi.function,
            Self::Card(card) => card.function,
        };
        *self = Self::start(function).ok_or(Fault("it is another device", u64::from(function.ids())))??;
        Ok(())
    }
}

impl Message {
    /// Programs it, as a driver would: disabled or masked meanwhile.
    pub(crate) fn set(&self, address: u64, data: u32) {
        match self {
            Self::Msi(msi) => {
                let control = msi.function.read16(msi.at + 2);
                msi.disable();
                msi.function.write32(msi.at + 4, address as u32);
                if control & MSI_WIDE != 0 {
                    msi.function.write32(msi.at + 8, (address >> 32) as u32);
                }
                msi.function.write16(msi.data_register(), data as u16);
                msi.function.write16(msi.at + 2, control);
            }
            Self::Msix(msix, entry) => {
                msix.mask(*entry, true);
                self.write(address, data);
                msix.mask(*entry, false);
            }
        }
    }

    /// Writes it while it may be in use.
    pub(crate) fn write(&self, address: u64, data: u32) {
        match self {
            Self::Msi(msi) => {
                msi.function.write32(msi.at + 4, address as u32);
                msi.function.write16(msi.data_register(), data as u16);
            }
            Self::Msix(msix, entry) => {
                let at = msix.entry(*entry);
                memory::write32(at, address as u32);
                memory::write32(at + 4, (address >> 32) as u32);
                memory::write32(at + 8, data);
            }
        }
    }

    /// Enables what the driver enabled, and the other kind not.
    pub(crate) fn revive(&self) {
        match self {
            Self::Msi(msi) => {
                let control = msi.function.read16(msi.at + 2);
                msi.function.write16(msi.at + 2, control & !0x70 | MSI_ENABLE);
                if let Some(at) = msi.function.capability(function::MSIX) {
                    msi.function.write16(at + 2, 0);
                }
            }
            Self::Msix(msix, _) => {
                if let Some(at) = msix.function.capability(function::MSI) {
                    msix.function.write16(at + 2, 0);
                }
                msix.function.write16(msix.at + 2, MSIX_ENABLE);
            }
        }
    }

    /// Has it raise a vector here again.
    pub(crate) fn restore(&self, vector: u8) {
        let (address, data) = interrupts::message(vector);
        self.set(address, data);
    }
}

/// A fault unless the device works and no reset came over it.
pub(crate) fn still_works(worker: &mut Worker, fingerprint: u32, seed: u32) -> Result<(), Fault> {
    let now = worker.fingerprint();
    ensure(now == fingerprint, "the device lost its state", now)?;
    worker.exercise(seed).map(|_| ())
}
