//! A guest behind the Q35 host bridge that Xen has: what the bridge says, where its window is, and who answers behind it.
//!
//! The command line goes on with
//! - `pciexbar=b0000001`, what the register holds at the start;
//! - `servers=00:05.0:ext,00:06.0`, functions that device-model servers answer for, and whether above 0x100 too;
//! - `visitor=00:07.0:ext*2`, one whose server comes, so often, and goes;
//! - `save`, to leave a state behind for a guest with `restored`.

mod access;
mod bridge;
mod devices;
mod servers;
mod state;
mod visitor;
mod window;

use core::fmt::Display;

use crate::{
    cpu,
    memory::{self, Dma},
    pci::{Access, Address, config::place},
    report::{Fault, ensure, result, step},
    start_info::StartInfo,
    words::{Words, number},
};
use servers::Servers;
use visitor::Visitor;
use window::Window;

/// The host bridge, function 00:00.0.
const BRIDGE: Address = Address(0);
/// Device and vendor (82G33/G31/P35/P31).
const IDS: u32 = 0x29c0_8086;
const PORTS: Access = Access::Ports;

/// The accesses that stay within a dword: where they start, and how many bytes they have.
const LANES: [(u16, u32); 8] = [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (0, 4)];
/// Those that do not.
const ACROSS: [(u16, u32); 4] = [(3, 2), (1, 4), (2, 4), (3, 4)];

/// All ones, so many bytes.
fn ones(bytes: u32) -> u32 {
    u32::MAX >> (32 - 8 * bytes)
}

/// One access, which need not be aligned.
fn load(access: Access, address: Address, offset: u16, bytes: u32) -> u32 {
    match access {
        Access::Ports => access.read(address, offset, bytes),
        Access::Ecam(base, _) => memory::unaligned_read(place(base, address, offset), bytes) as u32,
    }
}

/// One access, which need not be aligned.
fn store(access: Access, address: Address, offset: u16, bytes: u32, value: u32) {
    match access {
        Access::Ports => access.write(address, offset, bytes, value),
        Access::Ecam(base, _) => {
            memory::unaligned_write(place(base, address, offset), bytes, u64::from(value));
        }
    }
}

/// What of the machine the window has to do with.
struct Machine {
    /// RAM ends here; there is none above 4 GiB.
    memory_end: u64,
    /// What physical addresses can reach.
    address_end: u64,
    /// For string instructions.
    buffer: Dma,
}

impl Machine {
    fn find(info: StartInfo) -> Self {
        let [bits, ..] = cpu::cpuid(0x8000_0008, 0);
        Self { memory_end: info.memory_end(), address_end: 1 << (bits & 0xff), buffer: Dma::pages(1) }
    }
}

/// A check of the host bridge.
fn bridge<T: Display>(name: &str, outcome: Result<T, Fault>) {
    result("mch", name, outcome);
}

/// PCIEXBAR is what the toolstack made it, or at least open or not.
fn initial(words: Words<'_>) -> Result<&'static str, Fault> {
    let found = window::register();
    if let Some(wanted) = words.value("pciexbar") {
        ensure(found == number(wanted), "PCIEXBAR starts otherwise", found)?;
    }
    Window::read().map_or(Ok("closed"), |window| window.here().map(|()| "open"))
}

/// All of it.
pub(crate) fn run(info: StartInfo, words: Words<'_>) {
    step("q35");
    if words.has("restored") {
        bridge("restored", state::restored());
        return;
    }
    if words.has("save") {
        bridge("saved", state::leave());
        return;
    }
    let machine = Machine::find(info);
    let mut servers = Servers::default();
    bridge("servers", servers.parse(words.value("servers").unwrap_or_default()));
    bridge("initial", initial(words));
    let at = Window::read().unwrap_or(window::two()[0]);
    at.open();
    bridge("identity", bridge::identity(at));
    bridge("no-extended-space", bridge::extended(at));
    let mut others = devices::Others::default();
    bridge("ports-and-ecam", bridge::both_ways(at, &servers, &mut others));
    bridge("widths", access::widths(at));
    bridge("writes", access::writes(at));
    bridge("across-dwords", access::across(at));
    bridge("strings", access::strings(at, machine.buffer));
    bridge("config-address", access::config_address());
    step("pciexbar");
    bridge("lengths", window::lengths(&machine));
    bridge("moves", window::moves());
    bridge("partial-writes", window::partial());
    bridge("reserved-length", window::reserved());
    bridge("disable", window::disable());
    bridge("zero-bits", window::zeros(&machine));
    bridge("over-ram", window::over_memory());
    bridge("over-apic", window::over_apic());
    at.open();
    if servers.any() {
        step("servers");
        servers.run(at, machine.buffer, &others);
    }
    if let Some(word) = words.value("visitor") {
        step("visitor");
        match Visitor::parse(word) {
            Some(visitor) => visitor.run(at, machine.buffer, &servers),
            None => bridge("visitor", Err::<u32, _>(Fault("no such visitor", 0))),
        }
    }
    devices::run(&others, at);
    // Nothing can undo this one.
    step("lock");
    bridge("locks", bridge::lock(at));
    at.open();
    bridge("end", at.here().map(|()| "open"));
}
