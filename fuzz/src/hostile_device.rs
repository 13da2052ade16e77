//! Devices whose configuration space changes between any two reads, a host whose calls fail, and a domain that does
//! what it likes: nothing panics, every call ends in the work that it promises, nothing stays taken, what decodes is
//! mapped, and no message of the domain reaches a device.

use arbitrary::Arbitrary;
use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::msi::{self, Control, Layout};
use capabilities::{Access, CONFIG_SIZE, Sbdf, Width, header, walk};
use vpci::{
    Bar, BarKind, Domain, Function, Handle, Info, Locked, Owner, Pages, Progress, Register, Siblings, Slot,
    State, TRAPPED, Vector, Window, Written, find_window, windows_for,
};
use zerocopy::FromZeros;

use crate::Size;
use crate::hostile::frames::Frames;
use crate::hostile::host::{Counts, HostileHost, Lie};
use crate::hostile::plan::Plan;
use crate::hostile::{Seen, access, zeroed};

/// More p2m calls than the BARs of one function take, failures aside.
const P2M_CALLS: u32 = 2000;
const MOST_FAILURES: usize = 16;
const MOST_FUNCTIONS: usize = 3;
const SLOTS: usize = 16;

/// Devices, what is wrong with them and with the host, and what is done.
#[derive(Arbitrary, Debug)]
pub struct Input {
    first: Plan,
    others: Vec<Plan>,
    room: u8,
    lies: Vec<Lie>,
    failures: Vec<u8>,
    reserved: Option<(u16, u8)>,
    chunk: u8,
    pause: u8,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Attach { function: u8, ignore_bars: bool },
    Detach { function: u8 },
    Read { function: u8, offset: u16, size: Size },
    Write { function: u8, offset: u16, size: Size, value: u32 },
    Command { function: u8, value: u16 },
    CommandByte { function: u8, high: bool, value: u8 },
    Bar { function: u8, number: u8, value: u32 },
    Rom { function: u8, number: bool, value: u32 },
    Step { function: u8 },
    Settle { function: u8 },
    ProgramMsi { function: u8, address: u32, data: u16, control: u16 },
    MsixControl { function: u8, value: u16 },
    MmioRead { function: u8, pba: bool, offset: u16, bytes: u8 },
    MmioWrite { function: u8, pba: bool, offset: u16, bytes: u8, value: u64 },
    Hide { function: u8, id: u8 },
    HideExtended { function: u8, id: u16 },
    Change { function: u8, offset: u16, size: Size, value: u32 },
    Pull { function: u8 },
    ProgramMsix { function: u8, entry: u8, vector: u8, control: u16 },
}

struct Place {
    sbdf: Sbdf,
    state: Box<State>,
    registers: Vec<Register>,
    vectors: Vec<Vector>,
    attached: bool,
}

impl Place {
    fn function(&mut self) -> Function<'_> {
        Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut self.vectors }
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.state.bars().iter().filter(|_| self.attached)
    }

    /// The frames of its BARs.
    fn frames(&self) -> Frames {
        self.bars().filter_map(pages).collect()
    }
}

/// The frames of a BAR that is mapped when it decodes.
fn pages(bar: &Bar) -> Option<Pages> {
    let memory = matches!(bar.kind(), BarKind::Memory32 | BarKind::Memory64 | BarKind::Rom);
    let (address, size) = bar.host_range();
    Pages::spanning(address, size).filter(|_| memory)
}

struct Others<'p>(&'p [Place], &'p [Place]);

impl Siblings for Others<'_> {
    fn each_bar(&self, each: &mut impl FnMut(&Bar)) {
        self.0.iter().chain(self.1).flat_map(Place::bars).for_each(each);
    }
}

struct Machine {
    host: HostileHost,
    places: Vec<Place>,
    owners: u32,
    windows_used: u32,
    slots: Vec<Slot>,
    windows: Vec<Window>,
    pause: u8,
}

impl Machine {
    fn new(input: &Input) -> Self {
        let failures = &input.failures[..input.failures.len().min(MOST_FAILURES)];
        let reserved = input.reserved.map(|(page, count)| {
            let first = 0xf_0000 | u64::from(page & 0xfff);
            Pages { first, last: first + u64::from(count % 16) }
        });
        let host = HostileHost::new(&input.lies, failures, reserved, input.chunk, input.pause);
        let plans = std::iter::once(&input.first).chain(&input.others).take(MOST_FUNCTIONS);
        let place = |(number, plan): (u8, &Plan)| {
            let sbdf = Sbdf::new(0, 0, number, 0);
            host.plug(sbdf, plan.device());
            Place {
                sbdf,
                state: Box::new(State::new_zeroed()),
                registers: zeroed(usize::from(input.room)),
                vectors: Vec::new(),
                attached: false,
            }
        };
        let places = (0..).zip(plans).map(place).collect();
        let (owners, windows_used, pause) = (0, 0, input.pause);
        Self {
            host,
            places,
            owners,
            windows_used,
            slots: zeroed(SLOTS),
            windows: zeroed(windows_for(SLOTS)),
            pause,
        }
    }

    fn domain(&mut self) -> Domain<'_> {
        Domain {
            owners: &mut self.owners,
            windows_used: &mut self.windows_used,
            slots: &mut self.slots,
            windows: &mut self.windows,
        }
    }

    fn find(&self, function: u8, attached: bool) -> Option<usize> {
        let number = usize::from(function) % self.places.len();
        (self.places[number].attached == attached).then_some(number)
    }

    fn with<T>(&mut self, number: usize, with: impl FnOnce(&mut Function<'_>, &HostileHost) -> T) -> T {
        with(&mut self.places[number].function(), &self.host)
    }

    fn with_others<T>(
        &mut self,
        number: usize,
        with: impl FnOnce(&mut Function<'_>, &HostileHost, &Others<'_>) -> T,
    ) -> T {
        let (left, rest) = self.places.split_at_mut(number);
        let (place, right) = rest.split_first_mut().expect("the function exists");
        with(&mut place.function(), &self.host, &Others(left, right))
    }

    fn update_windows(&mut self, number: usize) {
        let trapped = self.places[number].function().trapped();
        self.domain().set_windows(Handle(number as u64), trapped);
    }

    fn attach(&mut self, number: usize, ignore_bars: bool) {
        let sbdf = self.places[number].sbdf;
        self.host.forget_decoding(sbdf);
        let before = self.host.registers(sbdf);
        let lies = self.host.lies_left();
        self.host.take_counts();
        let needed = Function::vectors_needed(&self.host, sbdf);
        assert!(needed <= 2048 && self.host.take_counts().config() <= 50);
        self.places[number].vectors = zeroed(usize::from(needed));
        let info = Info { ignore_bars, ..Info::hardware(sbdf) };
        let attached = self.with(number, |function, host| function.attach(host, &info));
        let counts = self.host.take_counts();
        assert!(counts.config() <= 1200, "attach: {counts:?}");
        assert_eq!((counts.p2m, counts.interrupts, counts.mmio), (0, 0, 0), "attach");
        if attached.is_err() {
            let honest = self.host.lies_left() == lies;
            assert!(!honest || self.host.registers(sbdf) == before, "a failed attach changed the device");
            return;
        }
        self.places[number].attached = true;
        let owner = Owner::Function(Handle(number as u64));
        self.domain().set_owner(sbdf, owner).expect("there is room");
        self.update_windows(number);
    }

    fn detach(&mut self, number: usize) {
        self.host.take_counts();
        self.with_others(number, |function, host, others| function.detach(host, others));
        let counts = self.host.take_counts();
        assert!(counts.p2m <= P2M_CALLS && counts.interrupts <= 2 * 2049, "detach: {counts:?}");
        // COMMAND gets what was asked for last.
        assert!(counts.config_reads + counts.mmio == 0 && counts.config_writes <= 1, "detach: {counts:?}");
        let place = &mut self.places[number];
        place.attached = false;
        let sbdf = place.sbdf;
        assert!(!place.function().is_pending(), "work is left after detach");
        self.domain().set_owner(sbdf, Owner::Default).expect("an owner can be taken away");
        self.domain().set_windows(Handle(number as u64), [None; TRAPPED]);
    }

    fn step(&mut self, number: usize) -> Progress {
        self.host.take_counts();
        let progress = self.with_others(number, |function, host, others| function.step(host, others));
        let counts = self.host.take_counts();
        assert_eq!((counts.interrupts, counts.mmio), (0, 0), "step");
        if self.pause == 1 {
            assert!(counts.p2m <= 16 && counts.config() <= 8, "a step between two pauses: {counts:?}");
        }
        self.update_windows(number);
        progress
    }

    fn settle(&mut self, number: usize) {
        for _ in 0..P2M_CALLS * MOST_FAILURES as u32 {
            if self.step(number) == Progress::Done {
                let pending = self.with(number, |function, _| function.is_pending());
                assert!(!pending, "work is left after the last step");
                return;
            }
        }
        panic!("an operation does not end");
    }

    fn read(&mut self, number: usize, access: Access) -> u32 {
        self.host.take_counts();
        let value = self.with(number, |function, host| function.read(host, access));
        let counts = self.host.take_counts();
        let config_reads = counts.config_reads;
        assert_eq!(counts, Counts { config_reads, ..Counts::default() }, "{access:x?}");
        assert!(config_reads <= 3, "{access:x?}: {counts:?}");
        assert_eq!(value & !access.value_mask(), 0, "{access:x?} reads {value:#x}");
        value
    }

    /// Writes, with the exclusive lock if the shared one does not do. Returns what it took.
    fn write(&mut self, number: usize, access: Access, value: u32) -> Counts {
        self.host.take_counts();
        let mut write = |locked| {
            self.with(number, |function, host| {
                let pending = function.is_pending();
                let written = function.write(host, access, value, locked);
                let started = function.is_pending() && !pending;
                assert!(locked == Locked::Exclusive || !started, "{access:x?} needs the exclusive lock");
                assert!(!started || written == Written::Pending, "{access:x?} starts work and is done");
                written
            })
        };
        if write(Locked::Shared) == Written::NeedsExclusive {
            let counts = self.host.take_counts();
            let read = Counts { config_reads: counts.config_reads.min(1), ..Counts::default() };
            assert_eq!(counts, read, "{access:x?} was not refused at once");
            let written =
                self.with(number, |function, host| function.write(host, access, value, Locked::Exclusive));
            assert_ne!(written, Written::NeedsExclusive, "{access:x?} is refused with both locks");
        }
        let counts = self.host.take_counts();
        assert!(counts.config() <= 6 && counts.interrupts <= 6 * 2048, "{access:x?}: {counts:?}");
        assert_eq!((counts.p2m, counts.mmio), (0, 0), "{access:x?}");
        counts
    }

    /// Programs every MSI capability that the domain finds, as an operating system does.
    fn program_msi(&mut self, number: usize, address: u32, data: u16, control: u16) {
        let found: Vec<u16> = self.with(number, |function, host| {
            let seen = Seen(function, host);
            let messages = walk::standard(&seen).filter(|found| found.id == CapabilityId::MSI);
            messages.map(|found| found.offset).collect()
        });
        for base in found {
            let value = self.read(number, access(base + msi::CONTROL, Width::Word));
            let layout = Layout::of(Control::new_from(value as u16)); // CAST: a word.
            if base + layout.length > CONFIG_SIZE {
                continue;
            }
            let address = 0xfee0_0000 | address & 0xf_ffff;
            let message =
                [(msi::ADDRESS, Width::Dword, address), (layout.data, Width::Word, u32::from(data))];
            for (offset, width, value) in message {
                let counts = self.write(number, access(base + offset, width), value);
                assert_eq!(counts.config_writes, 0, "a message reaches the device at {:#x}", base + offset);
            }
            self.write(number, access(base + msi::CONTROL, Width::Word), u32::from(control));
        }
    }

    fn msix_control(&mut self, number: usize, value: u16) {
        let found = self.with(number, |function, host| {
            walk::standard(&Seen(function, host)).find(|found| found.id == CapabilityId::MSIX)
        });
        if let Some(found) = found {
            self.write(number, access(found.offset + 2, Width::Word), u32::from(value));
        }
    }

    /// Accesses a trapped page of a function, as its owner according to the table of windows.
    fn mmio(&mut self, number: usize, pba: bool, offset: u16, bytes: u8, write: Option<u64>) {
        let trapped = self.with(number, |function, _| function.trapped());
        let Some(pages) = trapped[usize::from(pba)] else { return };
        let address = (pages.first << 12).saturating_add(u64::from(offset));
        let windows = &self.windows[..self.windows_used as usize];
        let Some(Handle(owner)) = find_window(windows, address >> 12) else { return };
        let owner = usize::try_from(owner).expect("the number of a function");
        self.host.set_reachable(self.places[owner].frames());
        self.host.take_counts();
        self.with(owner, |function, host| {
            if let Some(value) = write {
                function.mmio_write(host, &(), address, bytes, value, Locked::Shared);
            } else {
                let value = function.mmio_read(host, &(), address, bytes);
                let wide = matches!(bytes, 1 | 2 | 4) && value >> (8 * bytes) != 0;
                assert!(!wide, "{bytes} bytes at {address:#x} read {value:#x}");
            }
        });
        let counts = self.host.take_counts();
        assert_eq!((counts.config(), counts.p2m), (0, 0), "MMIO");
        assert!(counts.mmio <= 8 && counts.interrupts <= 5, "MMIO: {counts:?}");
    }

    /// Writes and unmasks an entry of the table at the start of the trapped pages, and writes the control register.
    fn program_msix(&mut self, number: usize, entry: u8, vector: u8, control: u16) {
        let offset = u16::from(entry) * 16;
        let address = 0xfee0_0000 | u64::from(vector) << 12;
        for (at, value) in [(0, address), (8, u64::from(vector))] {
            self.mmio(number, false, offset + at, 8, Some(value));
        }
        self.msix_control(number, control);
    }

    fn operate(&mut self, operation: Operation) -> Option<()> {
        match operation {
            Operation::Attach { function, ignore_bars } => {
                let number = self.find(function, false)?;
                self.attach(number, ignore_bars);
            }
            Operation::Detach { function } => {
                let number = self.find(function, true)?;
                self.detach(number);
            }
            Operation::Read { function, offset, size } => {
                let number = self.find(function, true)?;
                self.read(number, access(size.align(offset & 0xfff), size.width()));
            }
            Operation::Write { function, offset, size, value } => {
                let number = self.find(function, true)?;
                self.write(number, access(size.align(offset & 0xfff), size.width()), value);
            }
            Operation::Command { function, value } => {
                let number = self.find(function, true)?;
                self.write(number, access(header::COMMAND, Width::Word), u32::from(value));
            }
            Operation::CommandByte { function, high, value } => {
                let number = self.find(function, true)?;
                let offset = header::COMMAND + u16::from(high);
                self.write(number, access(offset, Width::Byte), u32::from(value));
            }
            Operation::Bar { function, number: bar, value } => {
                let number = self.find(function, true)?;
                let offset = header::BAR0 + u16::from(bar % 6) * 4;
                self.write(number, access(offset, Width::Dword), value);
            }
            Operation::Rom { function, number: bridge, value } => {
                let number = self.find(function, true)?;
                let offset = if bridge { header::ROM_TYPE1 } else { header::ROM_TYPE0 };
                self.write(number, access(offset, Width::Dword), value);
            }
            Operation::Step { function } => {
                let number = self.find(function, true)?;
                self.step(number);
            }
            Operation::Settle { function } => {
                let number = self.find(function, true)?;
                self.settle(number);
            }
            Operation::ProgramMsi { function, address, data, control } => {
                let number = self.find(function, true)?;
                self.program_msi(number, address, data, control);
            }
            Operation::MsixControl { function, value } => {
                let number = self.find(function, true)?;
                self.msix_control(number, value);
            }
            Operation::MmioRead { function, pba, offset, bytes } => {
                let number = self.find(function, true)?;
                self.mmio(number, pba, offset, bytes, None);
            }
            Operation::MmioWrite { function, pba, offset, bytes, value } => {
                let number = self.find(function, true)?;
                self.mmio(number, pba, offset, bytes, Some(value));
            }
            Operation::ProgramMsix { function, entry, vector, control } => {
                let number = self.find(function, true)?;
                self.program_msix(number, entry, vector, control);
            }
            Operation::Hide { function, id } => {
                let number = self.find(function, true)?;
                self.with(number, |function, host| function.hide_capability(host, CapabilityId(id)));
                let counts = self.host.take_counts();
                assert!(counts.config() <= 1100 && counts.p2m + counts.mmio == 0, "hide: {counts:?}");
            }
            Operation::HideExtended { function, id } => {
                let number = self.find(function, true)?;
                self.with(number, |function, host| function.hide_extended(host, ExtendedId(id)));
                let counts = self.host.take_counts();
                assert!(counts.config() <= 2000, "hide: {counts:?}");
            }
            Operation::Change { function, offset, size, value } => {
                let sbdf = self.places[usize::from(function) % self.places.len()].sbdf;
                self.host.change(sbdf, size.align(offset & 0xfff), size.width(), size.cut(value));
            }
            Operation::Pull { function } => {
                self.host.pull(self.places[usize::from(function) % self.places.len()].sbdf);
            }
        }
        Some(())
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let trapped: Frames = self
            .places
            .iter_mut()
            .filter(|place| place.attached)
            .flat_map(|place| place.function().trapped())
            .flatten()
            .collect();
        let mut owned = Frames::default();
        let mut pirqs = 0;
        for place in &mut self.places {
            if !place.attached {
                continue;
            }
            owned = place.frames().iter().chain(owned.iter()).collect();
            pirqs += place.vectors.iter().filter(|vector| vector.pirq().is_some()).count();
            pirqs += usize::from(place.state.msi().is_some_and(|msi| msi.pirq().is_some()));
            if place.function().is_pending() || !self.host.is_decoding(place.sbdf) {
                continue;
            }
            let mapped = self.host.mapped();
            for page in place.function().trapped().into_iter().flatten() {
                let open = mapped.first_in(page);
                assert!(open.is_none(), "frames of an MSI-X table or PBA are mapped: {open:x?}");
            }
            let memory = |bar: &&Bar| bar.kind() != BarKind::Rom;
            let wanted: Frames = place.bars().filter(memory).filter_map(pages).collect();
            let excluded: Frames = trapped.iter().chain(self.host.reserved()).collect();
            // A hole in a page that another function has as well stays one when its owner goes.
            let missing = wanted.without(&excluded).without(&mapped).without(&self.host.holes());
            assert!(missing.is_empty(), "{:?} decodes what is not mapped: {missing:x?}", place.sbdf);
        }
        let left = self.host.mapped().clone().without(&owned).without(&self.host.stuck());
        assert!(left.is_empty(), "frames of nobody are mapped: {left:x?}");
        assert_eq!(self.host.pirqs().len(), pirqs, "PIRQs of nobody are allocated");
    }
}

/// Does what the input says.
///
/// # Panics
///
/// If the library does what it must not.
pub fn run(input: &Input) {
    let mut machine = Machine::new(input);
    for number in 0..machine.places.len() {
        machine.attach(number, false);
        machine.check();
    }
    for operation in &input.operations {
        machine.operate(*operation);
        machine.check();
    }
    machine.host.fail_nothing();
    for number in 0..machine.places.len() {
        if machine.places[number].attached {
            machine.detach(number);
            machine.check();
        }
    }
    assert_eq!((machine.owners, machine.windows_used), (0, 0), "an owner or a window is left");
    assert!(machine.host.pirqs().is_empty(), "PIRQs are left");
}
