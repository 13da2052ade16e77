//! Devices of the guest's own behind the same host bridge.

use core::fmt;

use super::{PORTS, window::Window};
use crate::{
    memory,
    pci::{Address, Function, bar, function::PCIE},
    report::{Fault, check, ensure, result, skip},
    suite::worker::Worker,
};

/// Functions that are neither the host bridge nor a server's.
#[derive(Default)]
pub(super) struct Others {
    all: [Option<Address>; 8],
    used: usize,
}

impl Others {
    /// Notes one.
    pub(super) fn add(&mut self, address: Address) -> Result<(), Fault> {
        let place = self.all.get_mut(self.used).ok_or(Fault("too many devices", address.0.into()))?;
        *place = Some(address);
        self.used += 1;
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Address> {
        self.all.iter().flatten().copied()
    }
}

/// The list of a function's extended capabilities: id and offset of each.
struct Extended(Function);

impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = self.0.extended_capabilities().peekable();
        if list.peek().is_none() {
            return write!(f, "none");
        }
        list.enumerate().try_for_each(|(n, (at, id))| {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{id:04x}@{at:03x}")
        })
    }
}

/// Works with all of them, and lays the window over each.
pub(super) fn run(others: &Others, window: Window) {
    for address in others.iter() {
        let function = Function { address, access: window.access() };
        // One of conventional PCI has none, and nothing above 0x100.
        let there = function.capability(PCIE).is_none() || function.read32(0x100) != u32::MAX;
        check(function, "extended-capabilities", there, Extended(function));
        match Worker::start(function) {
            None => skip(function, "io", "no driver"),
            Some(Err(fault)) => {
                check(function, "io", false, fault);
            }
            Some(Ok(mut worker)) => {
                let mut io = || (1..=8).try_fold(0, |n, seed| worker.exercise(seed).map(|m| n + m));
                if result(function, "io", io()) {
                    result(function, "over-bar", over_bar(function, window, &mut io));
                }
                worker.stop();
            }
        }
    }
}

/// A window over the BARs of a device at work: they are where they were, and so is the driver.
fn over_bar<T>(
    function: Function,
    window: Window,
    io: &mut impl FnMut() -> Result<T, Fault>,
) -> Result<u32, Fault> {
    // The driver goes on by the window, so it has to be there again.
    let bars = bar::bars(Function { access: PORTS, ..function });
    let bar = bars.iter().flatten().find(|bar| !bar.io).ok_or(Fault("no memory BAR", 0))?;
    let before = memory::read32(bar.address);
    let over = Window::new(bar.address & !0xfff_ffff, 0);
    over.open();
    let found = memory::read32(bar.address);
    window.open();
    ensure(found == before, "the window hides a BAR", found)?;
    io()?;
    Ok(1)
}
