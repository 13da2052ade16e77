//! Registers and accesses, against a model that goes byte by byte: reads are equal, what reached hardware has equal
//! effect, and every hardware access is one that was due.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use capabilities::{Access, Sbdf, Width};
use tests::device::Device;
use tests::host::{Event, FakeHost};
use tests::model::Model;
use tests::random::Random;
use vpci::{DefineError, Definition, Function, Locked, Register, Source, State, Written};
use zerocopy::FromZeros;

use crate::Size;

const SBDF: Sbdf = Sbdf(0);
/// Where registers and accesses are: few dwords, so that they meet.
const WINDOWS: [u16; 5] = [0x00, 0x40, 0xf0, 0x100, 0xfe0];
const WINDOW: u16 = 0x20;

/// A physical function, room for registers, and what is done.
#[derive(Arbitrary, Debug)]
pub struct Input {
    seed: u32,
    room: u8,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct At {
    place: u8,
    size: Size,
}

impl At {
    /// An offset of any alignment.
    fn raw(self) -> u16 {
        let window = u16::from(self.place) / WINDOW % 5;
        WINDOWS[usize::from(window)] + u16::from(self.place) % WINDOW
    }

    fn access(self) -> Access {
        let offset = self.size.align(self.raw());
        Access::new(u32::from(offset), u32::from(self.size.width().bytes())).expect("it is aligned")
    }
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Define { at: At, source: Option<u32>, classes: [u32; 4], wild: bool },
    Read(At),
    Write(At, u32),
}

/// The bits of the four classes; each in one class alone and inside the register, unless `wild`.
fn definition(at: At, source: Option<u32>, classes: [u32; 4], wild: bool) -> Definition {
    let source = source.map_or(Source::Hardware, Source::Virtual);
    let width = at.size.width();
    let [read_only, clear, preserved, zeroed] = classes;
    if wild {
        return Definition { offset: at.raw(), width, source, read_only, clear, preserved, zeroed };
    }
    Definition {
        offset: at.size.align(at.raw()),
        width,
        source,
        read_only: at.size.cut(read_only),
        clear: at.size.cut(clear & !read_only),
        preserved: at.size.cut(preserved & !clear & !read_only),
        zeroed: at.size.cut(zeroed & !preserved & !clear & !read_only),
    }
}

/// A physical function whose bits are at random read-only, read-write and RW1C.
fn device(seed: u32) -> Device {
    let mut random = Random::new(u64::from(seed));
    let mut device = Device::empty();
    for window in WINDOWS {
        for offset in (window..window + WINDOW).step_by(4) {
            device.set(offset, Width::Dword, random.bits32());
            device.allow(offset, Width::Dword, random.bits32() | random.bits32());
            device.clear_by_one(offset, Width::Dword, random.bits32());
        }
    }
    device
}

struct Pair {
    host: FakeHost,
    state: Box<State>,
    registers: Vec<Register>,
    model: Model,
    dwords: BTreeSet<u16>,
}

impl Pair {
    fn function(&mut self) -> (Function<'_>, &FakeHost) {
        let function = Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] };
        (function, &self.host)
    }

    fn define(&mut self, definition: &Definition) {
        let defined = self.function().0.define(definition);
        let dword = definition.offset / 4;
        if defined == Err(DefineError::Full) {
            assert!(!self.dwords.contains(&dword) && self.dwords.len() == self.registers.len());
            return;
        }
        assert_eq!(defined, self.model.define(definition), "{definition:x?}");
        if defined.is_ok() {
            self.dwords.insert(dword);
        }
    }

    /// Hardware accesses stay inside the access, or are those of a whole physical register that the access meets.
    fn check_events(&self, access: Access) {
        let (first, end) = (access.offset(), access.offset() + u16::from(access.width().bytes()));
        let mut written = BTreeSet::new();
        for event in self.host.take_events() {
            let (at, width, writes) = match event {
                Event::Read(at, width) => (at, width, false),
                Event::Write(at, width, _) => (at, width, true),
                other => panic!("a register access did {other:?}"),
            };
            for byte in at..at + u16::from(width.bytes()) {
                assert!(!writes || written.insert(byte), "{access:x?} wrote {byte:#x} twice");
                match self.model.register_at(byte) {
                    Some((start, whole, true)) => {
                        assert_eq!((at, width), (start, whole), "{access:x?} split a physical register");
                        let meets = start < end && first < start + u16::from(whole.bytes());
                        assert!(meets, "{access:x?} reached a register beside it: {event:x?}");
                    }
                    Some(_) => panic!("{access:x?} reached hardware behind a virtual register: {event:x?}"),
                    None => assert!((first..end).contains(&byte), "{access:x?} reached {event:x?}"),
                }
            }
        }
    }
}

/// Does what the input says.
///
/// # Panics
///
/// If the library and the model differ.
pub fn run(input: &Input) {
    let device = device(input.seed);
    let host = FakeHost::default();
    host.plug(SBDF, device.clone());
    let room = usize::from(input.room % 48);
    let mut pair = Pair {
        host,
        state: Box::new(State::new_zeroed()),
        registers: std::iter::repeat_with(Register::new_zeroed).take(room).collect(),
        model: Model::new(device),
        dwords: BTreeSet::new(),
    };
    for operation in &input.operations {
        match *operation {
            Operation::Define { at, source, classes, wild } => {
                pair.define(&definition(at, source, classes, wild));
            }
            Operation::Read(at) => {
                let access = at.access();
                let expected = pair.model.read(access.offset(), access.width());
                let (function, host) = pair.function();
                assert_eq!(function.read(host, access), expected, "{access:x?}");
                pair.check_events(access);
            }
            Operation::Write(at, value) => {
                let access = at.access();
                let (mut function, host) = pair.function();
                let written = function.write(host, access, value, Locked::Shared);
                assert_eq!(written, Written::Done, "{access:x?}");
                pair.model.write(access.offset(), access.width(), value);
                pair.check_events(access);
            }
        }
    }
    for offset in (0..0x1000).step_by(4) {
        let hardware = pair.host.device(SBDF).get(offset, Width::Dword);
        assert_eq!(
            hardware,
            pair.model.device.get(offset, Width::Dword),
            "the devices differ at {offset:#x}"
        );
    }
}
