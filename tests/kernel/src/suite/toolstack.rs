//! The hardware domain as a toolstack: it starts guests of this very kernel, each with a device, one after another.
//!
//! What a guest is made of, and in which order, is told in docs/guests.md. Structures are those of Xen 4.20's public headers
//! (`domctl.h` with interface version 0x17, `memory.h`, `hvm/save.h`) and of `ffi/include/vpci_domctl.h`, written by offset.

use core::array;

use crate::{
    interrupts,
    memory::{self, PAGE},
    pci::{Access, Function, function::Functions},
    report::{self, Fault, check, ensure, result, say},
    start_info::{Module, StartInfo},
    xen::{self, Words, domctl, memory_op},
};

/// MiB of a guest: from 1 MiB on, since this kernel needs nothing below.
const END: u64 = 32 << 20;
const START: u64 = 1 << 20;
const LARGE: u64 = 2 << 20;

/// Where a guest's BARs are, and where its memory is seen here meanwhile.
const HOLE: u64 = 0xc000_0000;
const WINDOW: u64 = 0x8000_0000;

/// How long a guest may take, in microseconds.
const PATIENCE: u64 = 20_000_000;

const NO_ADDRESS: u64 = u64::MAX;

// Operations of domctl.
const CREATE: u32 = 1;
const DESTROY: u32 = 2;
const UNPAUSE: u32 = 4;
const INFORMATION: u32 = 5;
const MAX_MEMORY: u32 = 11;
const MAX_VCPUS: u32 = 15;
const MEMORY_PERMISSION: u32 = 20;
const SET_CONTEXT: u32 = 34;
const ASSIGN: u32 = 37;
const POOL_SIZE: u32 = 86;
const VPCI: u32 = 90;

// Operations of XEN_DOMCTL_vpci.
const PLACE: u32 = 0;
const QUERY: u32 = 1;
const AUDIT: u32 = 2;
const Q35: u32 = 4;

/// A flag of `PLACE`: the device may be given without a reset, if it has none.
const UNRESET: u32 = 2;

/// The emulation flags of vPCI and of the MCH.
const EMULATE_VPCI: u32 = 1 << 10;
const EMULATE_Q35: u32 = 1 << 11;

/// What Xen answers if it does not do such a thing.
const EOPNOTSUPP: u64 = 95;

/// Why refusals happen, in the order of `RVPCI_REFUSED_*`.
const REASONS: [&str; 16] = [
    "hidden-write",
    "bar-mapped",
    "rom-mapped",
    "msix-access",
    "map",
    "unmap",
    "hole",
    "interrupt",
    "capability",
    "access",
    "read-only",
    "bar-moved",
    "reset",
    "placement",
    "vpd",
    "mirror",
];

/// A guest to start.
struct Plan {
    name: &'static str,
    /// The class of the device that it gets.
    class: u32,
    command_line: &'static str,
    vcpus: u32,
    /// Whether it has vPCI.
    mediated: bool,
    /// What PCIEXBAR holds at first; 0 for a guest without the MCH.
    pciexbar: u64,
    /// Its end: 0 for poweroff, 3 for a crash.
    end: u32,
    /// Reasons for refusals that have to be counted.
    refused: &'static [&'static str],
}

const NVME: u32 = 0x01_0802;
const AHCI: u32 = 0x01_0601;
const CARD: u32 = 0x02_0000;

/// How many of the guests are the first ones of their device.
const FIRST: usize = 3;

const HOSTILE: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt"];

const PLAN: Plan = Plan {
    name: "",
    class: NVME,
    command_line: "role=guest",
    vcpus: 1,
    mediated: true,
    pciexbar: 0,
    end: 0,
    refused: &[],
};

const ABUSES: Plan = Plan { command_line: "role=guest hostile", refused: HOSTILE, ..PLAN };

const DIES: Plan = Plan { command_line: "role=guest die", end: 3, ..PLAN };

const PLANS: &[Plan] = &[
    Plan { name: "nvme", command_line: "role=guest hostile hammer", vcpus: 2, ..ABUSES },
    Plan { name: "ahci", class: AHCI, ..ABUSES },
    Plan { name: "card", class: CARD, ..ABUSES },
    Plan { name: "nvme-dies", ..DIES },
    Plan { name: "card-dies", class: CARD, ..DIES },
    Plan { name: "ahci-dies", class: AHCI, ..DIES },
    Plan { name: "nvme-again", ..PLAN },
    Plan { name: "ahci-again", class: AHCI, ..PLAN },
    Plan { name: "nvme-q35", command_line: "role=q35 pciexbar=e0000001", pciexbar: 0xe000_0001, ..PLAN },
    Plan { name: "card-again", class: CARD, ..PLAN },
];

/// All guests.
pub(crate) fn run(info: StartInfo) {
    let functions = Functions::find(Access::Ports);
    let Some(kernel) = info.module() else {
        check("machine", "guests", false, "there is no kernel for them");
        return;
    };
    let mut before = None;
    for (number, plan) in PLANS.iter().enumerate() {
        report::step(plan.name);
        // What the first guest of a device makes Xen take stays.
        if number == FIRST {
            before = settled();
        }
        let Some(function) = functions.iter().find(|f| f.class() == plan.class) else {
            check(plan.name, "end", false, "there is no such device");
            continue;
        };
        if let Err(fault) = guest(plan, function, kernel) {
            check(plan.name, "end", false, fault);
        }
    }
    if let Some(function) = functions.iter().find(|f| f.class() == AHCI) {
        report::step("unmediated");
        result("machine", "unmediated", unmediated(function));
    }
    let after = settled();
    let (free, then) = (before.unwrap_or(0), after.unwrap_or(0));
    check(
        "machine",
        "memory",
        before.is_some() && before == after,
        format_args!("{free} pages free, then {then}"),
    );
}

/// Pages that are free when what was freed late has come back.
fn settled() -> Option<u64> {
    interrupts::sleep(100_000);
    xen::free_pages().ok()
}

fn guest(plan: &Plan, function: Function, kernel: Module) -> Result<(), Fault> {
    let guest = Guest::create(plan)?;
    say(format_args!("note guest {} {}", guest.domain, plan.name));
    let bars = places(function)?;
    let result = guest.work(plan, function, kernel);
    let gone = guest.destroy();
    result?;
    gone?;
    // It is being reset by now: who asks, waits.
    let now = places(function)?;
    ensure(now == bars, "its BARs are elsewhere", now[0])
}

/// Where the BARs of a function are, as dom0 has them or would.
fn places(function: Function) -> Result<[u64; 7], Fault> {
    let bars = query(0, function)?;
    Ok(array::from_fn(|n| bars.get64(32 * n)))
}

/// Asks for the BARs of a function, for a domain.
fn query(domain: u16, function: Function) -> Result<Words<28>, Fault> {
    let bars = Words::<28>::new();
    let op = Words::<16>::new();
    op.set32(0, QUERY);
    op.set32(4, u32::from(function.address.0));
    op.set64(72, bars.address());
    domctl(VPCI, domain, &op).map(|_| bars).map_err(|e| Fault("asking for its BARs", e))
}

/// A device that has no reset does not go to a domain without vPCI, of which nobody can say that it may.
fn unmediated(function: Function) -> Result<u32, Fault> {
    let guest = Guest::create(&Plan { mediated: false, ..PLAN })?;
    let assign = Words::<16>::new();
    assign.set32(8, u32::from(function.address.0));
    let refused = domctl(ASSIGN, guest.domain, &assign);
    guest.destroy()?;
    match refused {
        Err(EOPNOTSUPP) => Ok(0),
        Ok(_) => Err(Fault("it was assigned", 0)),
        Err(other) => Err(Fault("another error", other)),
    }
}

/// A domain.
struct Guest {
    domain: u16,
}

impl Guest {
    /// An empty one, with memory.
    fn create(plan: &Plan) -> Result<Self, Fault> {
        let op = Words::<16>::new();
        // HVM, hardware-assisted paging, with an IOMMU, whose page tables are its own.
        op.set32(20, 1 | 2 | 1 << 5);
        op.set32(24, 1);
        op.set32(28, plan.vcpus);
        op.set32(32, 1023);
        op.set32(36, 4);
        // Grants of version 1; a local APIC and what the plan says.
        op.set32(44, 1);
        let emulated = [(true, 1), (plan.mediated, EMULATE_VPCI), (plan.pciexbar != 0, EMULATE_Q35)];
        op.set32(60, emulated.iter().filter(|(has, _)| *has).map(|(_, flag)| flag).sum());
        let domain = domctl(CREATE, 0, &op).map_err(|e| Fault("creating a domain", e))?;
        let guest = Self { domain };
        let settings = [
            (MAX_MEMORY, END / 1024 + 1024, "setting its memory"),
            (POOL_SIZE, 5 << 20, "memory for page tables"),
            (MAX_VCPUS, u64::from(plan.vcpus), "creating vCPUs"),
        ];
        for (operation, value, what) in settings {
            guest.simple(operation, value, what)?;
        }
        guest.populate(START, LARGE, 0)?;
        guest.populate(LARGE, END, 9)?;
        if plan.pciexbar != 0 {
            guest.open_ecam(plan.pciexbar)?;
        }
        Ok(guest)
    }

    /// Says where the window of its MCH is, and its RAM.
    fn open_ecam(&self, pciexbar: u64) -> Result<(), Fault> {
        let op = Words::<16>::new();
        op.set32(0, Q35);
        op.set64(72, pciexbar);
        op.set64(80, END);
        domctl(VPCI, self.domain, &op).map(|_| ()).map_err(|e| Fault("placing its ECAM window", e))
    }

    fn simple(&self, operation: u32, value: u64, what: &'static str) -> Result<(), Fault> {
        let op = Words::<16>::new();
        op.set64(0, value);
        domctl(operation, self.domain, &op).map(|_| ()).map_err(|e| Fault(what, e))
    }

    /// Gives it RAM, in extents of 2^order pages.
    fn populate(&self, start: u64, end: u64, order: u32) -> Result<(), Fault> {
        let frames = Words::<256>::new();
        let step = (PAGE as u64) << order;
        let count = (end - start) / step;
        for n in 0..count {
            frames.set64(8 * n as usize, (start + n * step) >> 12);
        }
        let op = Words::<4>::new();
        op.set64(0, frames.address());
        op.set64(8, count);
        op.set32(16, order);
        op.set16(24, self.domain);
        let done = memory_op(6, &op).map_err(|e| Fault("giving it memory", e))?;
        ensure(done == count, "giving it all memory", done)
    }

    /// Maps so many pages of it at `WINDOW`.
    fn window(&self, first: u64, count: u16) -> Result<(), Fault> {
        for n in 0..count {
            let (index, frame, error) = (Words::<1>::new(), Words::<1>::new(), Words::<1>::new());
            index.set64(0, (first >> 12) + u64::from(n));
            frame.set64(0, (WINDOW >> 12) + u64::from(n));
            let op = Words::<4>::new();
            // XENMAPSPACE_gmfn_foreign, one frame.
            op.set16(0, 0x7ff0);
            op.set16(2, 4);
            op.set16(4, 1);
            op.set16(6, self.domain);
            op.set64(8, index.address());
            op.set64(16, frame.address());
            op.set64(24, error.address());
            memory_op(23, &op).map_err(|e| Fault("mapping its memory", e))?;
            ensure(error.get32(0) == 0, "mapping a page of it", error.get32(0))?;
        }
        Ok(())
    }

    fn close_window(count: u16) -> Result<(), Fault> {
        for n in 0..count {
            let op = Words::<2>::new();
            op.set16(0, 0x7ff0);
            op.set64(8, (WINDOW >> 12) + u64::from(n));
            memory_op(15, &op).map_err(|e| Fault("unmapping its memory", e))?;
        }
        Ok(())
    }

    /// Copies the kernel: the bytes of its segments. It clears the rest itself.
    fn load(&self, kernel: Module) -> Result<u64, Fault> {
        let file = kernel.address;
        ensure(memory::read32(file) == 0x464c_457f, "the kernel is no ELF file", file)?;
        let headers = file + memory::read64(file + 32);
        for n in 0..u64::from(memory::read16(file + 56)) {
            let header = headers + 56 * n;
            if memory::read32(header) != 1 {
                continue;
            }
            let (offset, to, bytes) =
                (memory::read64(header + 8), memory::read64(header + 24), memory::read64(header + 32));
            ensure(to.is_multiple_of(PAGE as u64), "a segment is not aligned", to)?;
            let pages = bytes.div_ceil(PAGE as u64) as u16;
            self.window(to, pages)?;
            for at in (0..bytes).step_by(8) {
                memory::write64(WINDOW + at, memory::read64(file + offset + at));
            }
            Self::close_window(pages)?;
        }
        // Our own kernels are entered where their PVH note says, which is the ELF entry too.
        Ok(memory::read64(file + 24))
    }

    /// The start info, its memory map and the command line, in the last page.
    fn start_info(&self, command_line: &str) -> Result<u64, Fault> {
        let at = END - PAGE as u64;
        self.window(at, 1)?;
        for offset in (0..PAGE as u64).step_by(8) {
            memory::write64(WINDOW + offset, 0);
        }
        memory::write32(WINDOW, 0x336e_c578);
        memory::write32(WINDOW + 4, 1);
        memory::write64(WINDOW + 24, at + 256);
        memory::write64(WINDOW + 40, at + 128);
        memory::write32(WINDOW + 48, 1);
        memory::write64(WINDOW + 128, START);
        memory::write64(WINDOW + 136, END - START);
        memory::write32(WINDOW + 144, 1);
        for (place, byte) in (WINDOW + 256..).zip(command_line.bytes()) {
            memory::write8(place, byte);
        }
        Self::close_window(1)?;
        Ok(at)
    }

    /// The first vCPU as the PVH boot protocol has it: 32 bits, flat, no paging, EBX = the start info.
    fn context(&self, entry: u64, info: u64) -> Result<(), Fault> {
        // Each record: type, instance, length; a header, a CPU, the end.
        const HEADER: usize = 24;
        const CPU: usize = 1032;
        let all = Words::<140>::new();
        all.set16(0, 1);
        all.set32(4, HEADER as u32);
        all.set32(8, 0x5438_1286);
        all.set32(12, 1);
        let [version, ..] = crate::cpu::cpuid(1, 0);
        all.set32(8 + 16, version);
        let descriptor = 8 + HEADER;
        all.set16(descriptor, 2);
        all.set32(descriptor + 4, CPU as u32);
        let cpu = descriptor + 8;
        for (offset, value) in
            [(520, info), (640, entry), (648, 2), (656, 0x11), (720, 0xffff_0ff0), (728, 0x400)]
        {
            all.set64(cpu + offset, value);
        }
        // CS, DS, ES, FS, GS, SS, TR, LDTR.
        let access = [0xc9b, 0xc93, 0xc93, 0xc93, 0xc93, 0xc93, 0x8b, 0x82];
        for (n, access) in access.into_iter().enumerate() {
            let limit = [u32::MAX, 0x67, 0][n.saturating_sub(5)];
            all.set32(cpu + 768 + 4 * n, limit);
            all.set32(cpu + 888 + 4 * n, access);
        }
        let op = Words::<16>::new();
        op.set32(0, (cpu + CPU + 8) as u32);
        op.set64(8, all.address());
        domctl(SET_CONTEXT, self.domain, &op).map(|_| ()).map_err(|e| Fault("setting its vCPU", e))
    }

    /// Gives it a device, at the first free slot, with its BARs in the hole.
    fn assign(&self, function: Function) -> Result<(), Fault> {
        let sbdf = u32::from(function.address.0);
        let bars = query(self.domain, function)?;
        let place = Words::<16>::new();
        place.set32(0, PLACE);
        place.set32(4, sbdf);
        place.set32(8, u32::MAX);
        // That of the chip set has no reset.
        place.set32(12, if function.class() == AHCI { UNRESET } else { 0 });
        let mut next = HOLE;
        for n in 0..7 {
            let (host, size) = (bars.get64(32 * n), bars.get64(32 * n + 8));
            let kind = bars.get32(32 * n + 24);
            let mut at = NO_ADDRESS;
            // Memory BARs; it gets no ROM.
            if matches!(kind, 2 | 3) && size != 0 {
                let room = size.max(PAGE as u64);
                at = next.next_multiple_of(room) + host % (PAGE as u64);
                next = next.next_multiple_of(room) + room;
                let permission = Words::<16>::new();
                permission.set64(0, host >> 12);
                permission.set64(8, room >> 12);
                permission.set32(16, 1);
                domctl(MEMORY_PERMISSION, self.domain, &permission)
                    .map_err(|e| Fault("permitting a BAR", e))?;
            }
            place.set64(16 + 8 * n, at);
        }
        domctl(VPCI, self.domain, &place).map_err(|e| Fault("placing its device", e))?;
        let assign = Words::<16>::new();
        assign.set32(8, sbdf);
        domctl(ASSIGN, self.domain, &assign).map(|_| ()).map_err(|e| Fault("assigning its device", e))
    }

    /// Lets it run, and waits until it ends. Why it did.
    fn finish(&self) -> Result<u32, Fault> {
        self.simple(UNPAUSE, 0, "letting it run")?;
        let until = xen::now() + PATIENCE;
        loop {
            let op = Words::<16>::new();
            let domain = domctl(INFORMATION, self.domain, &op).map_err(|e| Fault("asking for it", e))?;
            ensure(domain == self.domain, "it is gone", domain)?;
            let flags = op.get32(4);
            if flags & 4 != 0 {
                return Ok(flags >> 16 & 0xff);
            }
            ensure(xen::now() < until, "it does not end", flags)?;
            interrupts::sleep(2000);
        }
    }

    fn work(&self, plan: &Plan, function: Function, kernel: Module) -> Result<(), Fault> {
        self.assign(function)?;
        let entry = self.load(kernel)?;
        let info = self.start_info(plan.command_line)?;
        self.context(entry, info)?;
        let end = self.finish()?;
        let name = ["poweroff", "reboot", "suspend", "crash"].get(end as usize).unwrap_or(&"something else");
        check(plan.name, "end", end == plan.end, name);
        self.audit(plan, function)
    }

    /// What was refused.
    fn audit(&self, plan: &Plan, function: Function) -> Result<(), Fault> {
        let counters = Words::<32>::new();
        let op = Words::<16>::new();
        op.set32(0, AUDIT);
        op.set32(4, u32::from(function.address.0));
        op.set64(72, counters.address());
        op.set32(88, 64);
        domctl(VPCI, self.domain, &op).map_err(|e| Fault("reading its audit", e))?;
        for (n, reason) in REASONS.iter().enumerate().filter(|(n, _)| counters.get32(4 * n) != 0) {
            say(format_args!("note audit {} {reason} {}", plan.name, counters.get32(4 * n)));
        }
        for reason in plan.refused {
            let number = REASONS.iter().position(|r| r == reason).unwrap_or(0);
            let count = counters.get32(4 * number);
            check(plan.name, "refused", count != 0, format_args!("{reason} {count}"));
        }
        Ok(())
    }

    /// Takes it away, and waits until it is gone.
    fn destroy(self) -> Result<(), Fault> {
        let gone = |domain: u16| domctl(INFORMATION, domain, &Words::<16>::new()) != Ok(domain);
        let until = xen::now() + PATIENCE;
        // -EAGAIN and -ERESTART mean that there is more to do.
        while let Err(error) = domctl(DESTROY, self.domain, &Words::<16>::new()) {
            ensure(matches!(error, 11 | 85) && xen::now() < until, "destroying it", error)?;
        }
        while !gone(self.domain) {
            ensure(xen::now() < until, "something still refers to it", self.domain)?;
            interrupts::sleep(1000);
        }
        Ok(())
    }
}
