//! Accesses of all widths and alignments to the pages of an MSI-X table and PBA, against a model of both: what is read
//! and bound is what the model says, device memory inside the table is never touched, and nothing outside the trapped
//! pages is.

use std::collections::BTreeMap;
use std::ops::Range;

use arbitrary::Arbitrary;
use capabilities::Width;
use tests::device::Device;
use tests::host::Event;
use tests::machine::Machine;
use tests::pirqs::Purpose;
use vpci::{Locked, Message};

const CAPABILITY: u8 = 0x50;
const CONTROL: u16 = 0x52;
const PAGE: u64 = 0x1000;
/// Accesses start at most this far from the end of an address space, and reach no further.
const SLACK: u64 = 8;

/// An MSI-X capability, and what is done.
#[derive(Arbitrary, Debug)]
pub struct Input {
    entries: u16,
    table: Place,
    pba: Place,
    /// Sizes of BAR 0 and of BAR 2.
    sizes: [u8; 2],
    operations: Vec<Operation>,
}

/// A place in BAR 0 or, `high`, in BAR 2.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Place {
    high: bool,
    offset: u32,
}

/// What addresses are counted from.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Anchor {
    Table,
    TableEnd,
    TablePages,
    TablePagesEnd,
    Pba,
    PbaEnd,
    PbaPages,
    PbaPagesEnd,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Bytes {
    One,
    Two,
    Four,
    Eight,
    Other(u8),
}

impl Bytes {
    const fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
            Self::Other(bytes) => bytes,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Read {
        anchor: Anchor,
        delta: i8,
        bytes: Bytes,
    },
    Write {
        anchor: Anchor,
        delta: i8,
        bytes: Bytes,
        value: u64,
    },
    FarRead {
        anchor: Anchor,
        delta: i16,
        bytes: Bytes,
    },
    /// Writes a table entry as a driver does: a message that can be bound, and the mask bit.
    Program {
        entry: u8,
        vector: u8,
        qwords: bool,
        masked: bool,
    },
    Mask {
        entry: u8,
        masked: bool,
    },
    Control {
        enable: bool,
        masked: bool,
    },
    Decode {
        memory: bool,
    },
    Move {
        high: bool,
        to: u8,
    },
}

#[derive(Clone, Copy)]
struct Entry {
    address: u64,
    data: u32,
    masked: bool,
    /// What is delivered, whatever was written since.
    live: Option<Message>,
}

impl Entry {
    /// Interrupt messages have this address (Intel SDM volume 3, 11.11.1).
    fn message(&self) -> Option<Message> {
        let valid = self.address & !0xf_ffff == 0xfee0_0000;
        valid.then_some(Message { address: self.address, data: self.data })
    }
}

struct Model {
    bars: [u64; 2],
    table: Place,
    pba: Place,
    entries: Vec<Entry>,
    enabled: bool,
    masked: bool,
    decodes: bool,
    memory: BTreeMap<u64, u8>,
}

/// The addresses of the pages that a range touches.
const fn pages(range: &Range<u64>) -> Range<u64> {
    range.start & !(PAGE - 1)..(range.end + PAGE - 1) & !(PAGE - 1)
}

/// Whether PCIe allows the access to a table or PBA (PCIe 7.7.2).
const fn legal(address: u64, bytes: u8) -> bool {
    matches!(bytes, 4 | 8) && address.is_multiple_of(bytes as u64)
}

const fn ones(bytes: u8) -> u64 {
    match bytes {
        1 | 2 | 4 => (1 << (8 * bytes)) - 1,
        _ => u64::MAX,
    }
}

impl Model {
    fn at(&self, place: Place, size: u64) -> Range<u64> {
        let start = self.bars[usize::from(place.high)] + u64::from(place.offset);
        start..start + size
    }

    fn table(&self) -> Range<u64> {
        self.at(self.table, self.entries.len() as u64 * 16)
    }

    fn pba(&self) -> Range<u64> {
        self.at(self.pba, (self.entries.len() as u64).div_ceil(64) * 8)
    }

    fn traps(&self, address: u64) -> bool {
        self.decodes && (pages(&self.table()).contains(&address) || pages(&self.pba()).contains(&address))
    }

    fn anchor(&self, anchor: Anchor) -> u64 {
        match anchor {
            Anchor::Table => self.table().start,
            Anchor::TableEnd => self.table().end,
            Anchor::TablePages => pages(&self.table()).start,
            Anchor::TablePagesEnd => pages(&self.table()).end,
            Anchor::Pba => self.pba().start,
            Anchor::PbaEnd => self.pba().end,
            Anchor::PbaPages => pages(&self.pba()).start,
            Anchor::PbaPagesEnd => pages(&self.pba()).end,
        }
    }

    /// The entry and the offset in it, for an access that the table takes.
    fn entry(&self, address: u64, bytes: u8) -> Option<(usize, u64)> {
        let table = self.table();
        let taken = table.contains(&address) && legal(address, bytes);
        let offset = taken.then(|| address - table.start)?;
        Some((usize::try_from(offset / 16).expect("a small table"), offset % 16))
    }

    /// Whether the access goes to the device.
    fn passes(&self, address: u64, bytes: u8) -> bool {
        let mut all = address..address + u64::from(bytes);
        let table = all.clone().any(|at| self.table().contains(&at));
        let pba = all.clone().any(|at| self.pba().contains(&at));
        matches!(bytes, 1 | 2 | 4 | 8)
            && !table
            && (!pba || legal(address, bytes))
            && all.all(|at| self.traps(at))
    }

    fn read(&self, address: u64, bytes: u8) -> u64 {
        if let Some((number, offset)) = self.entry(address, bytes) {
            let entry = self.entries[number];
            let mut raw = entry.address.to_le_bytes().to_vec();
            raw.extend(entry.data.to_le_bytes());
            raw.extend(u32::from(entry.masked).to_le_bytes());
            let at = usize::try_from(offset).expect("below 16");
            let part = &raw[at..at + usize::from(bytes)];
            return part.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        if self.passes(address, bytes) {
            let byte = |n: u64| u64::from(self.memory[&(address + n)]) << (8 * n);
            return (0..u64::from(bytes)).map(byte).sum();
        }
        ones(bytes)
    }

    fn write(&mut self, address: u64, bytes: u8, value: u64) {
        if let Some((number, offset)) = self.entry(address, bytes) {
            for dword in 0..u64::from(bytes) / 4 {
                let part = (value >> (32 * dword)) as u32; // CAST: the dword's bits.
                self.write_entry(number, offset + dword * 4, part);
            }
        } else if self.passes(address, bytes) {
            for n in 0..bytes {
                self.memory.insert(address + u64::from(n), value.to_le_bytes()[usize::from(n)]);
            }
        }
    }

    fn write_entry(&mut self, number: usize, offset: u64, value: u32) {
        let active = self.enabled && !self.masked;
        let entry = &mut self.entries[number];
        match offset {
            0 => entry.address = entry.address >> 32 << 32 | u64::from(value),
            4 => entry.address = entry.address & 0xffff_ffff | u64::from(value) << 32,
            8 => entry.data = value,
            _ => {
                let masked = value & 1 != 0;
                if entry.masked && !masked && active {
                    entry.live = entry.message();
                }
                entry.masked = masked;
            }
        }
    }

    fn control(&mut self, enable: bool, masked: bool) {
        let was_active = self.enabled && !self.masked;
        (self.enabled, self.masked) = (enable, masked);
        for entry in &mut self.entries {
            if !enable {
                entry.live = None;
            } else if !masked && !was_active && !entry.masked {
                entry.live = entry.message();
            }
        }
    }
}

struct Pair {
    machine: Machine,
    model: Model,
}

impl Pair {
    fn new(input: &Input) -> Option<Self> {
        let entries = input.entries % 0x800 + 1;
        let sizes = input.sizes.map(|size| 1u32 << (7 + size % 12));
        let place = |place: Place| Place { offset: place.offset & 0x7_fff8, ..place };
        let (table, pba) = (place(input.table), place(input.pba));
        let bars = [0xf000_0000, 0x40_0000_0000];
        let entry = Entry { address: 0, data: 0, masked: true, live: None };
        let model = Model {
            bars,
            table,
            pba,
            entries: vec![entry; usize::from(entries)],
            enabled: false,
            masked: false,
            decodes: true,
            memory: BTreeMap::new(),
        };
        let location = |place: Place| (u32::from(place.high) * 2, place.offset);
        let device = Device::endpoint(0x1234, 1)
            .with_command(2)
            .with_bar32(0, 0xf000_0000, sizes[0])
            .with_bar64(2, bars[1], u64::from(sizes[1]))
            .with_msix(CAPABILITY, entries, location(table), location(pba));
        let machine = Machine::with(device);
        let inside = |place: Place, range: &Range<u64>| {
            let bar = usize::from(place.high);
            range.end <= bars[bar] + u64::from(sizes[bar])
        };
        let sound = inside(table, &model.table()) && inside(pba, &model.pba());
        assert_eq!(machine.state(0).msix().is_some(), sound, "a capability that is {sound:?}");
        sound.then_some(Self { machine, model })
    }

    /// The device's memory at `address` has some content that both know.
    fn fill(&mut self, address: u64) {
        for at in address - SLACK..address + 2 * SLACK {
            // CAST: any pattern will do.
            let byte = *self.model.memory.entry(at).or_insert((at as u8).wrapping_mul(37) ^ (at >> 8) as u8);
            self.machine.host.fill_memory(at, &[byte]);
        }
    }

    fn check_events(&self, address: u64, bytes: u8) {
        for event in self.machine.host.take_events() {
            let (at, count) = match event {
                Event::MmioRead(_, at, count) | Event::MmioWrite(_, at, count, _) => (at, count),
                other => panic!("an access to memory did {other:x?}"),
            };
            for byte in at..at + u64::from(count) {
                assert!(!self.model.table().contains(&byte), "{event:x?} is inside the table");
                assert!(self.model.traps(byte), "{event:x?} is outside the trapped pages");
                let asked = address..address + u64::from(bytes);
                assert!(asked.contains(&byte), "{event:x?} is outside the access");
            }
        }
    }

    fn read(&mut self, address: u64, bytes: u8) {
        self.fill(address);
        self.machine.host.take_events();
        let read = self.machine.mmio_read(address, bytes);
        assert_eq!(read.is_some(), self.model.traps(address), "{address:#x} traps");
        if let Some(value) = read {
            assert_eq!(value, self.model.read(address, bytes), "{bytes} bytes at {address:#x}");
        } else if self.model.decodes {
            let value =
                self.machine.function(0, |function, host| function.mmio_read(host, &(), address, bytes));
            assert_eq!(value, ones(bytes), "{address:#x} does not trap");
        }
        self.check_events(address, bytes);
    }

    fn write(&mut self, address: u64, bytes: u8, value: u64) {
        self.fill(address);
        self.machine.host.take_events();
        let trapped = self.machine.mmio_write(address, bytes, value);
        assert_eq!(trapped, self.model.traps(address), "{address:#x} traps");
        if trapped {
            self.model.write(address, bytes, value);
        } else if self.model.decodes {
            self.machine.function(0, |function, host| {
                function.mmio_write(host, &(), address, bytes, value, Locked::Shared)
            });
        }
        self.check_events(address, bytes);
        for at in address - SLACK..address + 2 * SLACK {
            assert_eq!(self.machine.host.memory(at), self.model.memory[&at], "device memory at {at:#x}");
        }
        self.check_pirqs();
    }

    /// What is bound is what the model says.
    fn check_pirqs(&self) {
        let pirqs = self.machine.host.pirqs();
        let live = self.model.entries.iter().filter(|entry| entry.live.is_some()).count();
        assert_eq!(pirqs.len(), live, "PIRQs");
        for pirq in pirqs.iter() {
            let Purpose::Msix(number, _) = pirq.purpose else { panic!("{pirq:?} is not for MSI-X") };
            let entry = &self.model.entries[usize::from(number)];
            assert_eq!(pirq.bound, entry.live, "vector {number}");
            assert_eq!(pirq.masked, u32::from(entry.masked), "the mask of vector {number}");
        }
    }

    fn control(&mut self, enable: bool, masked: bool) {
        let value = u32::from(enable) << 15 | u32::from(masked) << 14;
        self.machine.write(0, CONTROL, 2, value);
        self.model.control(enable, masked);
        let size = self.model.entries.len() - 1;
        let expected = value | u32::try_from(size).expect("at most 2048");
        assert_eq!(self.machine.read(0, CONTROL, 2), expected);
        assert_eq!(self.machine.device(0).get(CONTROL, Width::Word), expected);
        self.check_pirqs();
    }

    fn decode(&mut self, memory: bool) {
        self.machine.write(0, 0x04, 2, u32::from(memory) << 1);
        self.model.decodes = memory;
        let open = [self.model.table(), self.model.pba()].into_iter().any(|range| {
            let pages = pages(&range);
            let p2m = self.machine.host.p2m();
            (pages.start / PAGE..pages.end / PAGE).any(|frame| p2m.get(frame).is_some())
        });
        assert!(!open, "pages of the table or the PBA are mapped");
    }

    /// Moves a BAR to a multiple of 512 KiB.
    fn move_bar(&mut self, high: bool, to: u8) {
        let memory = self.model.decodes;
        self.decode(false);
        let base = if high { 0x40_0000_0000 } else { 0xf000_0000 };
        let address = base + u64::from(to) * 0x8_0000;
        // CAST: the low half; the high half stays.
        self.machine.write(0, if high { 0x18 } else { 0x10 }, 4, address as u32);
        self.model.bars[usize::from(high)] = address;
        self.decode(memory);
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Read { anchor, delta, bytes } => {
                let address = self.model.anchor(anchor).saturating_add_signed(i64::from(delta));
                self.read(address, bytes.count());
            }
            Operation::FarRead { anchor, delta, bytes } => {
                let address = self.model.anchor(anchor).saturating_add_signed(i64::from(delta));
                self.read(address, bytes.count());
            }
            Operation::Write { anchor, delta, bytes, value } => {
                let address = self.model.anchor(anchor).saturating_add_signed(i64::from(delta));
                self.write(address, bytes.count(), value);
            }
            Operation::Program { entry, vector, qwords, masked } => {
                let number = u64::from(entry) % self.model.entries.len() as u64;
                let at = self.model.table().start + number * 16;
                let (address, data) = (0xfee0_0000 | u64::from(vector) << 12, u64::from(vector));
                // A qword at an odd dword is no access.
                if qwords && at.is_multiple_of(8) {
                    self.write(at, 8, address);
                    self.write(at + 8, 8, u64::from(masked) << 32 | data);
                } else {
                    for (dword, value) in [address, 0, data, u64::from(masked)].into_iter().enumerate() {
                        self.write(at + dword as u64 * 4, 4, value);
                    }
                }
            }
            Operation::Mask { entry, masked } => {
                let number = u64::from(entry) % self.model.entries.len() as u64;
                self.write(self.model.table().start + number * 16 + 12, 4, u64::from(masked));
            }
            Operation::Control { enable, masked } => self.control(enable, masked),
            Operation::Decode { memory } => self.decode(memory),
            Operation::Move { high, to } => self.move_bar(high, to),
        }
    }
}

/// Does what the input says.
///
/// # Panics
///
/// If the library and the model differ.
pub fn run(input: &Input) {
    let Some(mut pair) = Pair::new(input) else { return };
    for operation in &input.operations {
        pair.operate(*operation);
    }
    pair.machine.detach(0);
    assert!(pair.machine.host.holds_nothing(), "something is left");
    assert_eq!(pair.machine.domain_use(), (0, 0), "an owner or a window is left");
}
