//! Whole configuration spaces in the hands of a guest, against an oracle that goes bit by bit ([`tests::oracle`]): what is
//! hidden does not show, what is written does not reach the device.
//!
//! With the feature `corpus`, this is done to dumps of real and emulated functions (see [`tests::corpus`]), and `lspci`
//! reads what their guests see.

use capabilities::policy::{EXTENDED, STANDARD, Visibility};
use capabilities::{Access, Width};
use tests::dump::{self, Dump};
use tests::given::{self, Bar, Kind, Terms};
use tests::host::Event;
use tests::machine::Machine;
use tests::oracle::{Oracle, Place, Served};
use tests::random::Random;
use vpci::AttachError;

const COMMAND: u16 = 0x04;
const IO: u32 = 1;
const MEMORY: u32 = 1 << 1;
const MASTER: u32 = 1 << 2;
const INTX_DISABLE: u32 = 1 << 10;
const WRITES: u32 = 2000;

/// How a dump fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// A guest has it.
    Given,
    /// It is a bridge, or something else that is no endpoint.
    NoEndpoint,
}

/// A dump in the hands of a guest, and what that one shall see.
struct Guest {
    name: String,
    dump: Dump,
    bars: Vec<Bar>,
    machine: Machine,
    oracle: Oracle,
}

impl Guest {
    /// Gives a dump to a guest, which can have it reset or not; `None` if no guest may have it.
    fn new(name: &str, dump: &Dump, resettable: bool) -> Option<Self> {
        let mut device = dump.device();
        let ids = device.get(0, Width::Dword);
        let function = given::virtual_function(dump.ids_of_title().unwrap_or(ids));
        let function = (ids == u32::MAX).then_some(&function);
        let terms = Terms { function, resettable, ..Terms::default() };
        let bars = if terms.function.is_some() { Vec::new() } else { given::bars(dump) };
        let oracle = Oracle::new(&device, &bars, &terms);
        for (id, mask) in [(0x05, 0x0071), (0x11, 0xc000)] {
            if let Some(at) = oracle.find(Place::Standard(id)) {
                device.allow(at + 2, Width::Word, mask);
            }
        }
        let given = given::give(device, &bars, &terms);
        if dump.bytes[0x0e] & 0x7f != 0 {
            assert_eq!(given.err(), Some(AttachError::Unsupported), "{name}: no guest may have a bridge");
            return None;
        }
        let machine = given.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        Some(Self { name: name.to_owned(), dump: dump.clone(), bars, machine, oracle })
    }

    /// Reads at every width and offset.
    fn compare_reads(&mut self) {
        let Self { name, machine, oracle, .. } = self;
        for bytes in [1u16, 2, 4] {
            for offset in 0..0x1000 - (bytes - 1) {
                if offset % bytes != 0 {
                    let access = Access::new(u32::from(offset), u32::from(bytes));
                    assert_eq!(access, None, "no engine sees {bytes} bytes at {offset:#x}");
                    continue;
                }
                let expected = (0..bytes).fold(0, |value, n| {
                    value | u32::from(oracle.expected()[usize::from(offset + n)]) << (8 * n)
                });
                let seen = machine.read(0, offset, u32::from(bytes));
                assert_eq!(seen, expected, "{name}: {bytes} bytes at {offset:#x}");
            }
        }
    }

    /// Both lists end, and hold nothing but what the tables or a built-in rule show.
    fn walk(&mut self) {
        let Self { name, machine, oracle, .. } = self;
        let by_rule = |offset: u16| {
            oracle.blocks.iter().any(|block| block.offset == offset && block.verdict.is_shown())
        };
        let mut at = machine.read(0, 0x34, 1) as u16; // CAST: a byte.
        let mut count = 0;
        while at != 0 {
            assert!(at >= 0x40 && at.is_multiple_of(4) && count < 48, "{name}: the list goes on at {at:#x}");
            let id = machine.read(0, at, 1) as usize; // CAST: a byte.
            let shown = STANDARD.get(id).is_some_and(|policy| policy.guest == Visibility::Shown);
            assert!(shown || id == 0x09 && by_rule(at), "{name}: {id:#x} at {at:#x} is in the list");
            at = machine.read(0, at + 1, 1) as u16; // CAST: a byte.
            count += 1;
        }
        let mut at = 0x100u16;
        let mut count = 0;
        while at != 0 {
            assert!(
                at >= 0x100 && at.is_multiple_of(4) && count < 960,
                "{name}: the list goes on at {at:#x}"
            );
            let header = machine.read(0, at, 4);
            // CAST: a word.
            let shown = EXTENDED.get(usize::from(header as u16)).map(|policy| policy.guest);
            let anchor = at == 0x100 && header.trailing_zeros() >= 20;
            assert!(
                anchor || shown == Some(Visibility::Shown),
                "{name}: {header:#x} at {at:#x} is in the list"
            );
            at = (header >> 20) as u16; // CAST: 12 bits.
            count += 1;
        }
    }

    /// What a guest's COMMAND is in the device.
    fn command(&self, master: u32) -> u32 {
        let has = |io: bool| self.bars.iter().any(|bar| (bar.kind == Kind::Io) == io);
        INTX_DISABLE | master | if has(false) { MEMORY } else { 0 } | if has(true) { IO } else { 0 }
    }

    /// Whether a write may reach the device.
    fn allows(&self, offset: u16, width: Width, value: u32) -> bool {
        let control = |id, mask: u32| {
            let at = self.oracle.find(Place::Standard(id)).map(|at| at + 2);
            let seen = |at: u16| {
                let [low, high] = [0, 1].map(|n| self.oracle.expected()[usize::from(at + n)]);
                u32::from(low) | u32::from(high) << 8
            };
            at.is_some_and(|at| at == offset && width == Width::Word && (value ^ seen(at)) & !mask == 0)
        };
        let command = offset == COMMAND && width == Width::Word && value & !MASTER == self.command(0);
        command || control(0x05, 0x0071) || control(0x11, 0xc000)
    }

    /// Accesses at random: nothing but what is allowed reaches the device, and what is hidden stays so.
    fn hammer(&mut self, random: &mut Random) {
        self.machine.host.take_events();
        let starts: Vec<u16> = self.oracle.blocks.iter().map(|block| block.offset).collect();
        for _ in 0..WRITES {
            let width = random.pick(&[1u16, 2, 4]);
            let near = random.pick(&starts) + random.below(0x44) as u16; // CAST: small.
            let anywhere = random.below(0x1000) as u16; // CAST: small.
            let offset = if random.one_in(8) { anywhere } else { near.min(0xffc) } & !(width - 1);
            let any = random.bits32();
            let value = random.pick(&[0, u32::MAX, 0x8000_8001, 0xfee0_0000, any, any]);
            let value = value & u32::MAX >> (32 - 8 * width);
            self.machine.write(0, offset, u32::from(width), value);
            self.check_events();
        }
        self.check_bits();
    }

    fn check_events(&self) {
        for event in self.machine.host.take_events() {
            match event {
                Event::Write(offset, width, value) => {
                    let allowed = self.allows(offset, width, value);
                    assert!(allowed, "{}: {value:#x} reaches the device at {offset:#x}", self.name);
                }
                Event::Read(offset, width) => {
                    let asked = (0..width.bytes() as u16) // CAST: at most 4.
                        .any(|n| self.oracle.mask(offset + n, Served::is_live) != 0);
                    assert!(asked, "{}: the device is asked again at {offset:#x}", self.name);
                }
                Event::Map(_) | Event::Unmap(_) | Event::Hole(_) => {}
                other => panic!("{}: {other:?}", self.name),
            }
        }
    }

    /// What is not the guest's to change reads as before.
    fn check_bits(&mut self) {
        let Self { name, machine, oracle, .. } = self;
        for offset in 0..0x1000 {
            let fixed = oracle.mask(offset, |served| {
                use capabilities::policy::{Act, Treatment};
                let by = match served {
                    Served::By(by) => by,
                    Served::Absent | Served::Rule { .. } => return true,
                };
                let made = matches!(by, Treatment::Engine(act) if act != Act::Link && act != Act::Reset);
                !made && !matches!(by, Treatment::Virtual | Treatment::VirtualSnapshot)
            });
            // CAST: a byte.
            let seen = machine.read(0, offset, 1) as u8;
            let expected = oracle.expected()[usize::from(offset)];
            assert_eq!(seen & fixed, expected & fixed, "{name}: byte {offset:#x} changed");
        }
    }

    /// Takes the device back: it is as it was, but quiet.
    fn take_back(self) {
        let Self { name, dump, oracle, mut machine, .. } = self;
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "{name}: something is kept");
        let before = dump.device();
        let control = |id| oracle.find(Place::Standard(id)).map(|at| at + 2);
        for offset in (0..0x1000).step_by(2) {
            let now = machine.device(0).get(offset, Width::Word);
            let old = before.get(offset, Width::Word);
            let changed = match offset {
                COMMAND => MASTER,
                0x30 => 1,
                _ if Some(offset) == control(0x05) => 0x0071,
                _ if Some(offset) == control(0x11) => 0xc000,
                _ => 0,
            };
            assert_eq!(now & !changed, old & !changed, "{name}: the device's word {offset:#x} changed");
        }
        assert_eq!(machine.device(0).get(COMMAND, Width::Word) & MASTER, 0, "{name}");
        for (id, enable) in [(0x05, 1), (0x11, 0x8000)] {
            let on = control(id).map_or(0, |at| machine.device(0).get(at, Width::Word) & enable);
            assert_eq!(on, 0, "{name}: interrupts stay enabled");
        }
    }
}

fn check(name: &str, dump: &Dump) -> Fate {
    for resettable in [false, true] {
        let Some(mut guest) = Guest::new(name, dump, resettable) else { return Fate::NoEndpoint };
        guest.compare_reads();
        guest.walk();
        let mut random = Random::new(u64::from(u16::from_le_bytes([dump.bytes[2], dump.bytes[3]])));
        guest.hammer(&mut random);
        guest.take_back();
    }
    Fate::Given
}

#[test]
fn fixtures() {
    for (name, text, fate) in [
        ("nvme", include_str!("../fixtures/nvme.txt"), Fate::Given),
        ("conventional", include_str!("../fixtures/conventional.txt"), Fate::Given),
        ("broken", include_str!("../fixtures/broken.txt"), Fate::Given),
        ("root port", include_str!("../fixtures/root-port.txt"), Fate::NoEndpoint),
    ] {
        for dump in dump::parse_all(text).unwrap() {
            assert_eq!(check(name, &dump), fate, "{name}");
        }
    }
}

#[cfg(feature = "corpus")]
mod corpus {
    use super::{Fate, Guest, check};
    use std::fs;
    use std::path::Path;
    use tests::dump::{self, Dump};
    use tests::lspci::{self, is_complaint};
    use tests::{corpus, given};

    fn dumps() -> Vec<(String, Dump)> {
        let read = |path: &Path| {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
            let all = dump::parse_all(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            all.into_iter().map(move |dump| (name.clone(), dump)).collect::<Vec<_>>()
        };
        corpus::files().iter().flat_map(|path| read(path)).collect()
    }

    #[test]
    fn every_dump_in_the_hands_of_a_guest() {
        let all = dumps();
        let given = all.iter().filter(|(name, dump)| check(name, dump) == Fate::Given).count();
        let refused = all.len() - given;
        println!("{} dumps: {given} given to a guest, {refused} refused as no endpoints; 0 leaks", all.len());
    }

    #[test]
    fn lspci_reads_what_a_guest_sees_and_does_not_complain() {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
        fs::create_dir_all(&directory).unwrap();
        let (mut read, mut known, mut complaints) = (0, 0, Vec::new());
        for (number, (name, dump)) in dumps().iter().enumerate() {
            let Some(mut guest) = Guest::new(name, dump, true) else { continue };
            let file = directory.join(format!("{number}.txt"));
            let write = |bytes: &[u8]| {
                fs::write(&file, dump::print(&dump.slot, &dump.title, bytes)).unwrap();
                lspci::read(&file, &["-vvv"])
            };
            let (host, host_errors) = write(&dump.bytes);
            let seen = given::read_all(&mut guest.machine);
            let (lines, errors) = write(&seen[..dump.bytes.len().max(0x100)]);
            assert!(lines.first().is_some_and(|line| line.starts_with(&dump.slot)), "{name}: {lines:?}");
            read += 1;
            for line in lines.iter().filter(|line| is_complaint(line)).chain(&errors) {
                if host.contains(line) || host_errors.contains(line) {
                    known += 1;
                } else {
                    complaints.push(format!("{name}: {line}"));
                }
            }
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        println!(
            "lspci -F -vvv reads {read} guests' views, {known} complaints as of the host's view, 0 of its own"
        );
    }
}
