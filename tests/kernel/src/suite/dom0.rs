//! The hardware domain's regression run: every function by both mechanisms, BARs sized and moved, decoding on and off, drivers.

use crate::{
    drivers::{WRITTEN, ahci::Ahci, e1000e, e1000e::E1000e, nvme::Nvme},
    memory,
    pci::{
        Access, Address, Function,
        bar::{self, Bar},
        config,
        function::{self, Functions},
    },
    report::{Fault, check, ensure, result, step},
    start_info::StartInfo,
};

/// Where BARs are moved to: in the holes of the machine's address map below and above 4 GiB.
const LOW: u64 = 0xe000_0000;
const HIGH: u64 = 0x8_0000_0000;

/// Loops of decoding off and on.
const LOOPS: u32 = 100;

/// All of it.
pub(crate) fn run(info: StartInfo) {
    step("enumerate");
    let ecam = match Access::ecam(info) {
        Ok(ecam) => ecam,
        Err(fault) => {
            check("machine", "ecam", false, fault);
            return;
        }
    };
    let functions = Functions::find(Access::Ports);
    result("machine", "enumerate", enumerate(&functions, ecam));
    for function in functions.iter() {
        result(function, "config", compare(function, ecam));
    }
    result("machine", "absent", absent(ecam));
    result("machine", "odd-widths", odd_widths(functions.iter().next(), ecam));

    step("bars");
    for function in functions.iter() {
        let function = Function { access: ecam, ..function };
        if function.is_bridge() || bar::bars(function).iter().flatten().all(|b| b.io) {
            continue;
        }
        result(function, "bars", sizing(function));
        result(function, "partial", partial(function));
        // Behind a bridge there is only the bridge's window.
        if function.address.bus() == 0 {
            result(function, "move", moving(function));
        }
        result(function, "decode", decoding(function));
    }

    step("drivers");
    for function in functions.iter() {
        let function = Function { access: ecam, ..function };
        match function.class() {
            0x01_0802 => nvme(function),
            0x01_0601 => ahci(function),
            _ if function.ids() == e1000e::IDS => {
                card(function, true);
                card(function, false);
            }
            _ => {}
        }
    }
}

/// Both mechanisms find the same functions.
fn enumerate(functions: &Functions, ecam: Access) -> Result<usize, Fault> {
    let others = Functions::find(ecam);
    let mut count = 0;
    for (function, other) in functions.iter().zip(others.iter()) {
        ensure(function.address == other.address, "ECAM finds another function", function.address.0)?;
        ensure(function.ids() == other.ids(), "ECAM gives another id", function.address.0)?;
        count += 1;
    }
    ensure(others.iter().count() == count, "one mechanism finds more", count as u64)?;
    ensure(count > 3, "too few functions", count as u64)?;
    Ok(count)
}

/// All bytes of a function read the same by both mechanisms at all widths; its capabilities are lists that end.
fn compare(function: Function, ecam: Access) -> Result<usize, Fault> {
    let other = Function { access: ecam, ..function };
    for offset in (0..0x100).step_by(4) {
        let dword = other.read32(offset);
        for way in [function, other] {
            ensure(way.read32(offset) == dword, "a dword differs", offset)?;
            for half in [0, 2] {
                let value = u32::from(way.read16(offset + half));
                ensure(value == dword >> (8 * half) & 0xffff, "a word differs", offset + half)?;
            }
            for byte in 0..4 {
                let value = u32::from(way.read8(offset + byte));
                ensure(value == dword >> (8 * byte) & 0xff, "a byte differs", offset + byte)?;
            }
        }
        if offset % 8 == 0
            && let Access::Ecam(base, _) = ecam
        {
            let both = u64::from(other.read32(offset + 4)) << 32 | u64::from(dword);
            let value = memory::read64(config::place(base, function.address, offset));
            ensure(value == both, "a qword differs", offset)?;
        }
    }
    let list = function.capabilities().count();
    ensure(list < 48, "the capabilities do not end", list as u64)?;
    let extended = other.extended_capabilities().count();
    ensure(extended < 960, "the extended capabilities do not end", extended as u64)?;
    ensure(
        other.extended_capabilities().all(|(at, id)| at >= 0x100 && id != 0),
        "a strange extended capability",
        0_u32,
    )?;
    Ok(list + extended)
}

/// What is not there reads all ones, and takes a write without harm.
fn absent(ecam: Access) -> Result<&'static str, Fault> {
    for access in [Access::Ports, ecam] {
        for address in [Address::new(0, 0x12, 3), Address::new(0, 2, 7), Address::new(0x7f, 0, 0)] {
            let function = Function { address, access };
            if !access.reaches(address, 0) {
                continue;
            }
            function.write32(function::COMMAND, u32::MAX);
            let value = function.read32(0) & function.read32(0x40) & function.read32(0xfc);
            ensure(value == u32::MAX, "something is there", address.0)?;
            ensure(function.read8(3) == 0xff && function.read16(2) == 0xffff, "a part is there", address.0)?;
        }
    }
    Ok("")
}

/// Accesses that no register has: nothing breaks, and the next ordinary one is right.
fn odd_widths(function: Option<Function>, ecam: Access) -> Result<&'static str, Fault> {
    let (Some(function), Access::Ecam(base, _)) = (function, ecam) else {
        return Err(Fault("nothing to try it on", 0));
    };
    let ids = function.ids();
    let place = config::place(base, function.address, 0);
    // Across dwords, across functions, eight bytes at the end.
    for offset in [1, 2, 3, 0xfd, 0xff, 0xffd, 0xffe, 0xfff] {
        memory::unaligned_read(place + offset, 4);
        memory::unaligned_read(place + offset, 2);
        memory::unaligned_read(place + offset, 8);
    }
    memory::unaligned_write(place + 1, 4, 0);
    memory::unaligned_write(place + 3, 2, 0);
    memory::write64(place + 0xff8, u64::MAX);
    ensure(Function { access: ecam, ..function }.ids() == ids, "ECAM is not as it was", ids)?;
    // By the ports: past the end of the data port.
    crate::cpu::port_write(0xcf8, 4, config::selector(function.address, 0));
    for (port, bytes) in [(0xcfe, 4), (0xcff, 2), (0xcff, 4), (0xcfd, 4), (0xcfd, 2)] {
        crate::cpu::port_read(port, bytes);
    }
    ensure(function.ids() == ids, "the ports are not as they were", ids)?;
    Ok("")
}

fn memory_bars(function: Function) -> impl Iterator<Item = Bar> {
    bar::bars(function).into_iter().flatten().filter(|b| !b.io)
}

/// Sizes are powers of two, at least of what the specification says; addresses are aligned and come back after sizing.
fn sizing(function: Function) -> Result<usize, Fault> {
    let first = bar::bars(function);
    for bar in first.iter().flatten() {
        ensure(bar.size.is_power_of_two(), "no power of two", bar.size)?;
        ensure(bar.io || bar.size >= 16, "too small", bar.size)?;
        ensure(bar.address.is_multiple_of(bar.size), "not aligned", bar.address)?;
        ensure(bar.placed(function) == bar.address, "the address did not come back", bar.address)?;
    }
    ensure(bar::bars(function) == first, "the second time is different", 0_u32)?;
    Ok(first.iter().flatten().count())
}

/// Writes of parts of a register leave the other parts.
fn partial(function: Function) -> Result<&'static str, Fault> {
    const LINE: u16 = 0x3c;
    let line = function.read32(LINE);
    function.write8(LINE, 0x5a);
    ensure(
        function.read32(LINE) == line & !0xff | 0x5a,
        "a byte changed more than itself",
        function.read32(LINE),
    )?;
    function.write8(LINE, line as u8);

    let command = function.read16(function::COMMAND);
    function.command(0, function::IO_SPACE | function::MEMORY_SPACE);
    let bar = memory_bars(function).next().ok_or(Fault("no memory BAR", 0))?;
    let whole = function.read32(bar.register());
    for byte in 0..4 {
        function.write8(bar.register() + byte, 0xff);
        function.write8(bar.register() + byte, (whole >> (8 * byte)) as u8);
    }
    ensure(
        function.read32(bar.register()) == whole,
        "bytes made another address",
        function.read32(bar.register()),
    )?;
    function.write16(bar.register() + 2, 0xffff);
    let sized = function.read32(bar.register());
    ensure(
        sized >> 16 == 0xffff_0000_u32.wrapping_sub((bar.size - 1) as u32 & 0xffff_0000) >> 16,
        "a half sized wrongly",
        sized,
    )?;
    function.write16(bar.register() + 2, (whole >> 16) as u16);
    ensure(
        function.read32(bar.register()) == whole,
        "halves made another address",
        function.read32(bar.register()),
    )?;
    function.write16(function::COMMAND, command);
    Ok("")
}

/// A register that does not change by itself: the first dwords of a BAR.
fn probe(bar: &Bar) -> [u32; 4] {
    [0, 4, 8, 12].map(|offset| memory::read32(bar.address + offset))
}

/// Every memory BAR at another place shows the same device, and nothing is left at the old one.
fn moving(function: Function) -> Result<u32, Fault> {
    let command = function.read16(function::COMMAND);
    function.command(function::MEMORY_SPACE, 0);
    let mut moved = 0;
    for (number, bar) in memory_bars(function).enumerate() {
        let seen = probe(&bar);
        // What is at its start reads otherwise than nothing does.
        ensure(seen != [u32::MAX; 4], "nothing is there", bar.address)?;
        let step = number as u64 * (64 << 20);
        let places = [Some(LOW + step), (bar.wide).then_some(HIGH + step)];
        for place in places.into_iter().flatten() {
            function.command(0, function::MEMORY_SPACE);
            bar.place(function, place);
            ensure(bar.placed(function) == place, "the address was not taken", bar.placed(function))?;
            function.command(function::MEMORY_SPACE, 0);
            ensure(
                function.read16(function::COMMAND) & function::MEMORY_SPACE != 0,
                "decoding stays off",
                place,
            )?;
            let there = probe(&Bar { address: place, ..bar });
            ensure(there == seen, "something else is there", place)?;
            ensure(memory::read32(bar.address) == u32::MAX, "it is still at the old place", bar.address)?;
            moved += 1;
        }
        function.command(0, function::MEMORY_SPACE);
        bar.place(function, bar.address);
        function.command(function::MEMORY_SPACE, 0);
        ensure(probe(&bar) == seen, "it did not come back", bar.address)?;
    }
    function.write16(function::COMMAND, command);
    Ok(moved)
}

/// Decoding off unmaps, decoding on maps, every time.
fn decoding(function: Function) -> Result<u32, Fault> {
    let command = function.read16(function::COMMAND);
    function.command(function::MEMORY_SPACE, 0);
    let Some(bar) = memory_bars(function).next() else { return Err(Fault("no memory BAR", 0)) };
    let seen = probe(&bar);
    ensure(seen != [u32::MAX; 4], "nothing is there", bar.address)?;
    for _ in 0..LOOPS {
        function.command(0, function::MEMORY_SPACE);
        ensure(memory::read32(bar.address) == u32::MAX, "it is there while off", bar.address)?;
        memory::write32(bar.address, 0);
        function.command(function::MEMORY_SPACE, 0);
        ensure(probe(&bar) == seen, "it is not there while on", bar.address)?;
    }
    function.write16(function::COMMAND, command);
    Ok(LOOPS)
}

/// What is on a disk, for the host to compare: the page that it wrote, and the page that was written here.
fn disk(function: Function, host: Result<u64, Fault>, written: Result<u64, Fault>) {
    for (name, sum) in [("host-data", host), ("written", written)] {
        match sum {
            Ok(sum) => check(function, name, true, format_args!("{sum:016x}")),
            Err(fault) => check(function, name, false, fault),
        };
    }
}

fn nvme(function: Function) {
    let mut nvme = match Nvme::start(function) {
        Ok(nvme) => nvme,
        Err(fault) => {
            check(function, "io", false, fault);
            return;
        }
    };
    result(function, "io", (1..=8).try_fold(0, |n, seed| nvme.exercise(seed).map(|m| n + m)));
    result(function, "mask", nvme.exercise_mask());
    result(function, "mask-all", nvme.exercise_mask_all());
    let toggled = (0..10).try_fold(0, |n, seed| {
        function.command(0, function::MEMORY_SPACE);
        function.command(function::MEMORY_SPACE, 0);
        nvme.exercise(seed).map(|m| n + m)
    });
    result(function, "io-decode", toggled);
    nvme.stop();
    // A second driver, as after a reload.
    match Nvme::start(function) {
        Ok(mut nvme) => {
            result(function, "again", nvme.exercise(99));
            disk(function, nvme.sum(0), nvme.sum(WRITTEN));
            nvme.stop();
        }
        Err(fault) => {
            check(function, "again", false, fault);
        }
    }
}

fn ahci(function: Function) {
    match Ahci::start(function) {
        Ok(mut ahci) => {
            result(function, "io", (1..=4).try_fold(0, |n, seed| ahci.exercise(seed).map(|m| n + m)));
            disk(function, ahci.sum(0), ahci.sum(WRITTEN));
            ahci.stop();
        }
        Err(fault) => {
            check(function, "io", false, fault);
        }
    }
}

fn card(function: Function, msix: bool) {
    let run = E1000e::start(function, msix).and_then(|mut card| {
        let count = (1..=12).try_fold(0, |n, seed| card.exercise(seed).map(|m| n + m))?;
        card.stop();
        Ok(count)
    });
    result(function, if msix { "io" } else { "io-msi" }, run);
}
