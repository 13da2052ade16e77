//! Hostile devices in the hands of hostile guests, given by a hostile toolstack on a host whose calls fail: nothing
//! reaches a device but bus mastering, interrupt control and what a rule lets through; a guest's pages are those of its
//! BARs, never an MSI-X table, never memory, never a page that others have; its lists stay as they are; and all that was
//! taken is given back.

mod away;
mod interrupts;
mod invariants;
mod oracle;
mod plan;
mod rules;

use arbitrary::Arbitrary;
use capabilities::header::Command;
use capabilities::id::CapabilityId;
use capabilities::policy::{Rule, Scope};
use capabilities::{Access, ConfigReader, Sbdf, Width, header, msi, msix, walk};
use vpci::{
    AttachError, Bar, BarKind, Function, GuestInfo, Info, Locked, Pages, Progress, Register, Siblings, State,
    Vector, View, Written,
};
use zerocopy::FromZeros;

use self::oracle::Known;
use self::plan::{Gift, Operation, Spot, Way};
use crate::hostile::host::{HostileHost, Lie, Range};
use crate::hostile::plan::Plan;
use crate::hostile::{Seen, access, zeroed};

/// More steps than any change of the p2m takes.
const STEPS: u32 = 40_000;
const MOST_FAILURES: usize = 16;
const MOST_FUNCTIONS: usize = 3;
const MOST_OPERATIONS: usize = 200;

/// Devices, what is wrong with them and with the host, how they are given, and what is done with them.
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
    gift: Gift,
    ways: [Option<Way>; MOST_FUNCTIONS],
    operations: Vec<Operation>,
}

struct Place {
    sbdf: Sbdf,
    state: Box<State>,
    registers: Vec<Register>,
    vectors: Vec<Vector>,
    /// What is known of it while a guest has it.
    known: Option<Known>,
    /// How it was given, and its registers then, if it told the truth.
    gift: Option<(Gift, Option<Vec<u32>>)>,
    /// It left its guest for a reset, and comes back after so many operations.
    away: Option<u8>,
    /// The kinds, addresses and sizes that its BARs had when it was given.
    ranges: Vec<(BarKind, u64, u64)>,
}

impl Place {
    fn function(&mut self) -> Function<'_> {
        Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut self.vectors }
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.state.bars().iter().filter(|_| self.known.is_some())
    }

    /// What may be mapped of it.
    fn mappable(&self) -> impl Iterator<Item = Range> {
        self.bars().filter(|bar| is_memory(bar)).filter_map(|bar| {
            let ((host, size), guest) = (bar.host_range(), bar.guest_address()?);
            let pages = Pages::spanning(guest, size)?;
            let distance = (host >> 12).wrapping_sub(guest >> 12);
            Some(Range { pages, distance, small: size < 0x1000 })
        })
    }

    /// The host addresses of the MSI-X table and of the PBA, and their sizes in bytes.
    fn table(&self) -> Option<[(u64, u64); 2]> {
        let entries = u64::from(self.state.msix()?.entries());
        let (at, _) = self.known.as_ref().filter(|_| self.away.is_none())?.msix?;
        let value = |register: u16| {
            let access = access(at - msix::CONTROL + register, Width::Dword);
            vpci::read_virtual(&self.state, &self.registers, access).expect("it was read once")
        };
        let place = |register: u16, size: u64| {
            let value = value(register);
            let (host, _) = self.state.bars()[(value & 7) as usize].host_range(); // CAST: widening.
            (host + u64::from(value & !7), size)
        };
        Some([
            place(msix::TABLE, entries * 16),
            place(msix::PBA, msix::pba_size(self.state.msix()?.entries())),
        ])
    }

    /// Whether the guest's COMMAND says that memory is decoded.
    fn decodes(&self) -> bool {
        let command = vpci::read_virtual(&self.state, &self.registers, access(header::COMMAND, Width::Word));
        command.is_some_and(|command| command & u32::from(Command::MEMORY.bits()) != 0)
    }
}

fn is_memory(bar: &Bar) -> bool {
    matches!(bar.kind(), BarKind::Memory32 | BarKind::Memory64 | BarKind::Rom)
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
}

impl Machine {
    fn new(input: &Input) -> Self {
        let failures = &input.failures[..input.failures.len().min(MOST_FAILURES)];
        let reserved = input.reserved.map(|(page, count)| {
            let first = 0xf_0000 | u64::from(page & 0xfff);
            Pages { first, last: first + u64::from(count % 16) }
        });
        let host = HostileHost::new(&input.lies, failures, reserved, input.chunk, input.pause);
        host.set_ranges(Vec::new());
        let plans = std::iter::once(&input.first).chain(&input.others).take(MOST_FUNCTIONS);
        let place = |((number, plan), way): ((u8, &Plan), &Option<Way>)| {
            let sbdf = Sbdf::new(0, 0, number, 0);
            let device = plan.device();
            host.plug(sbdf, if let Some(way) = way { way.add(device) } else { device });
            Place {
                sbdf,
                state: Box::new(State::new_zeroed()),
                registers: zeroed(usize::from(input.room) * 2),
                vectors: Vec::new(),
                known: None,
                gift: None,
                away: None,
                ranges: Vec::new(),
            }
        };
        let places = (0..).zip(plans).zip(&input.ways).map(place).collect();
        Self { host, places }
    }

    fn find(&self, function: u8, given: bool) -> Option<usize> {
        let number = usize::from(function) % self.places.len();
        (self.places[number].known.is_some() == given).then_some(number)
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

    /// Gives a function to the guest.
    fn attach(&mut self, number: usize, gift: &Gift) {
        let sbdf = self.places[number].sbdf;
        let before = self.host.registers(sbdf);
        let lies = self.host.lies_left();
        let needed = Function::vectors_needed(&self.host, sbdf);
        self.places[number].vectors = zeroed(usize::from(needed));
        let (rules, function) = gift.parts();
        let low = |number: usize| {
            let register = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30][number];
            let truth = before.as_ref().map_or(0, |registers| registers[register / 4]);
            u64::from(truth & 0x01ff_fff0)
        };
        let mut bars = [None; 7];
        for (at, spot) in gift.spots.iter().enumerate() {
            bars[at] = match *spot {
                Spot::Nowhere => None,
                Spot::Moved(times) => Some(low(at) | u64::from(times % 128) << 25),
                Spot::Anywhere(address) => Some(address),
            };
        }
        let guest = GuestInfo {
            bars,
            by_firmware: gift.by_firmware,
            virtual_function: function.as_ref(),
            rules: &rules,
            vpd: gift.vpd,
            resettable: gift.resettable,
        };
        let info = Info { view: View::Guest, guest, ..Info::hardware(sbdf) };
        self.host.take_counts();
        self.host.take_traffic();
        let attached = self.with(number, |function, host| function.attach(host, &info));
        let counts = self.host.take_counts();
        assert_eq!((counts.p2m, counts.interrupts, counts.mmio), (0, 0, 0), "attach");
        let traffic = self.host.take_traffic();
        if attached.is_err() {
            oracle::check_attach(&traffic, None);
            let honest = self.host.lies_left() == lies;
            assert!(!honest || self.host.registers(sbdf) == before, "a failed attach changed the device");
            return;
        }
        assert_eq!(attached, Ok(Written::Done), "a guest finds decoding off");
        let sound = rules.iter().all(|rule| rule.check().is_ok());
        assert!(sound, "a rule that is malformed or below the floor was taken: {rules:x?}");
        let known = self.known(number, rules);
        let (original, command) = oracle::check_attach(&traffic, Some(&known)).expect("COMMAND is written");
        self.places[number].known = Some(Known { original, command, ..known });
        let honest = self.host.lies_left() == lies;
        self.places[number].gift = Some((gift.clone(), before.filter(|_| honest)));
        self.note_ranges(number);
        let placed =
            self.with_others(number, |function, host, others| function.check_placement(host, others));
        assert!(matches!(placed, Ok(()) | Err(AttachError::Placement)), "{placed:?}");
        if placed.is_err() {
            self.detach(number);
        }
    }

    fn note_ranges(&mut self, number: usize) {
        let range = |bar: &Bar| (bar.kind(), bar.host_range().0, bar.host_range().1);
        self.places[number].ranges = self.places[number].state.bars().iter().map(range).collect();
    }

    /// What the guest finds: it does not change.
    fn known(&mut self, number: usize, rules: Vec<Rule>) -> Known {
        let known = self.with(number, |function, host| {
            let seen = Seen(function, host);
            let standard: Vec<_> = walk::standard(&seen).map(|found| (found.offset, found.id.0)).collect();
            let extended = walk::extended(&seen).map(|found| (found.offset, found.header.id().0)).collect();
            let control = |id: CapabilityId| {
                let (at, _) = standard.iter().find(|(_, other)| *other == id.0)?;
                let state = if id == CapabilityId::MSI { msi::CONTROL } else { msix::CONTROL };
                Some((at + state, seen.read(at + state, Width::Word)))
            };
            let (msi, msix) = (control(CapabilityId::MSI), control(CapabilityId::MSIX));
            Known { standard, extended, msi, msix, rules, ..Known::default() }
        });
        self.host.take_traffic();
        known
    }

    fn set_ranges(&mut self) {
        self.host.set_ranges(self.places.iter().flat_map(Place::mappable).collect());
    }

    /// Checks what a guest's doing brought to its device.
    fn check_traffic(&mut self, number: usize) {
        let traffic = self.host.take_traffic();
        let known = self.places[number].known.as_ref().expect("a guest has it");
        assert!(traffic.is_empty() || self.places[number].away.is_none(), "it is away: {traffic:x?}");
        oracle::check_access(&traffic, known);
    }

    fn detach(&mut self, number: usize) {
        self.set_ranges();
        self.host.take_traffic();
        let failures = self.host.failures_left();
        self.with_others(number, |function, host, others| function.detach(host, others));
        let failed = self.host.failures_left() != failures;
        let known = self.places[number].known.take().expect("a guest has it");
        let traffic = self.host.take_traffic();
        if self.places[number].away.take().is_some() {
            assert_eq!(traffic, [], "what is away is somebody else's");
        } else {
            oracle::check_detach(&traffic, &known, failed);
        }
        let pending = self.with(number, |function, _| function.is_pending());
        assert!(!pending, "work is left after detach");
        assert!(self.places[number].state.bars().iter().all(|bar| !bar.is_present()), "a BAR is left mapped");
    }

    fn step(&mut self, number: usize) -> Progress {
        self.set_ranges();
        let progress = self.with_others(number, |function, host, others| function.step(host, others));
        self.check_traffic(number);
        progress
    }

    fn settle(&mut self, number: usize) {
        for _ in 0..STEPS {
            if self.step(number) == Progress::Done {
                return;
            }
        }
        panic!("an operation does not end");
    }

    fn read(&mut self, number: usize, access: Access) -> u32 {
        self.host.take_counts();
        let value = self.with(number, |function, host| function.read(host, access));
        let counts = self.host.take_counts();
        assert!(counts.config_reads <= 3 && counts.config_writes == 0, "{access:x?}: {counts:?}");
        assert_eq!((counts.p2m, counts.interrupts, counts.mmio), (0, 0, 0), "{access:x?}");
        self.check_traffic(number);
        assert!(
            self.places[number].away.is_none() || value == access.value_mask(),
            "{access:x?}: {value:#x}"
        );
        value
    }

    fn write(&mut self, number: usize, access: Access, value: u32) {
        let asks = self.asks_for_reset(number, access, value);
        self.host.take_counts();
        let locked = |machine: &mut Self, locked| {
            machine.with(number, |function, host| function.write(host, access, value, locked))
        };
        let mut written = locked(self, Locked::Shared);
        if written == Written::NeedsExclusive {
            written = locked(self, Locked::Exclusive);
            assert_ne!(written, Written::NeedsExclusive, "{access:x?} is refused with both locks");
        }
        let counts = self.host.take_counts();
        assert!(counts.config() <= 6 && counts.interrupts <= 6 * 2048, "{access:x?}: {counts:?}");
        assert_eq!((counts.p2m, counts.mmio), (0, 0), "{access:x?}");
        self.check_traffic(number);
        assert_eq!(written == Written::Reset, asks, "{value:#x} to {access:x?}");
        if asks {
            assert_eq!((counts.config(), counts.interrupts), (0, 0), "{access:x?} did something else");
            self.leave(number);
        }
    }

    fn operate(&mut self, operation: &Operation) -> Option<()> {
        self.advance();
        match *operation {
            Operation::Attach { function, ref gift } => {
                let number = self.find(function, false)?;
                self.attach(number, gift);
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
            Operation::Bar { function, number: bar, value } => {
                let number = self.find(function, true)?;
                let offset = header::BAR0 + u16::from(bar % 6) * 4;
                self.write(number, access(offset, Width::Dword), value);
            }
            Operation::Rom { function, value } => {
                let number = self.find(function, true)?;
                self.write(number, access(header::ROM_TYPE0, Width::Dword), value);
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
                self.control(number, |known| known.msix, value);
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
                let (offset, address) = (u16::from(entry) * 16, 0xfee0_0000 | u64::from(vector) << 12);
                for (at, value) in [(0, address), (8, u64::from(vector))] {
                    self.mmio(number, false, offset + at, 8, Some(value));
                }
                self.control(number, |known| known.msix, control);
            }
            Operation::Reset { function, which, size } => {
                let number = self.find(function, true)?;
                self.ask_for_reset(number, which, size);
            }
            Operation::Change { function, offset, size, value } => {
                let sbdf = self.places[usize::from(function) % self.places.len()].sbdf;
                self.host.change(sbdf, size.align(offset & 0xfff), size.width(), size.cut(value));
            }
            Operation::Pull { function } => {
                self.host.pull(self.places[usize::from(function) % self.places.len()].sbdf);
            }
            Operation::Capability { function, number: which, at, size, value } => {
                let number = self.find(function, true)?;
                let known = self.places[number].known.as_ref()?;
                let standard = known.standard.iter().map(|(offset, _)| *offset);
                let all: Vec<u16> =
                    standard.chain(known.extended.iter().map(|(offset, _)| *offset)).collect();
                let start = all.get(usize::from(which) % all.len().max(1))?;
                let offset = (start + u16::from(at % 0x40)).min(0xfff);
                self.write(number, access(size.align(offset), size.width()), value);
            }
            Operation::Ruled { function, rule, at, size, value } => {
                let number = self.find(function, true)?;
                let known = self.places[number].known.as_ref()?;
                let rule = known.rules.get(usize::from(rule) % known.rules.len().max(1))?;
                let start = match rule.scope()? {
                    Scope::Bytes => 0,
                    Scope::Standard(id) => known.standard.iter().find(|(_, other)| *other == id.0)?.0,
                    Scope::Extended(id) => known.extended.iter().find(|(_, other)| *other == id.0)?.0,
                };
                let offset = (start + rule.offset + u16::from(at) % rule.length).min(0xfff);
                self.read(number, access(size.align(offset), size.width()));
                self.write(number, access(size.align(offset), size.width()), value);
            }
        }
        Some(())
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
        machine.attach(number, &input.gift);
        machine.check();
    }
    for operation in input.operations.iter().take(MOST_OPERATIONS) {
        machine.operate(operation);
        machine.check();
    }
    machine.host.fail_nothing();
    for number in 0..machine.places.len() {
        if machine.places[number].known.is_some() {
            machine.detach(number);
            machine.check();
        }
    }
    assert!(machine.host.pirqs().is_empty(), "PIRQs are left");
}
