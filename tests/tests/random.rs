//! Random registers and random accesses, against a model that goes byte by byte.

use capabilities::{Access, Sbdf, Width};
use tests::device::Device;
use tests::host::{Event, FakeHost};
use tests::model::Model;
use tests::random::Random;
use vpci::{Definition, Function, Locked, Register, Source, State, Written};
use zerocopy::FromZeros;

const SBDF: Sbdf = Sbdf(0);
const MAPS: u32 = 400;
const ACCESSES: u32 = 1000;

/// A physical function whose bits are at random read-only, read-write and RW1C.
fn random_device(random: &mut Random) -> Device {
    let mut device = Device::empty();
    for offset in (0..0x1000).step_by(4) {
        device.set(offset, Width::Dword, random.bits32());
        device.allow(offset, Width::Dword, random.bits32() | random.bits32());
        device.clear_by_one(offset, Width::Dword, random.bits32());
    }
    device
}

/// Offsets that meet each other often: a few dwords, in standard and extended space.
fn random_offset(random: &mut Random) -> u16 {
    let base = random.pick(&[0x00, 0x40, 0xf0, 0x100, 0xff0]);
    base + u16::try_from(random.below(0x20)).unwrap()
}

fn random_width(random: &mut Random) -> Width {
    random.pick(&[Width::Byte, Width::Word, Width::Dword])
}

/// A register, sometimes one that cannot be.
fn random_definition(random: &mut Random) -> Definition {
    let width = random_width(random);
    let mut masks = [0u32; 4];
    // Each bit is in one of the four classes, or read-write.
    for bit in 0..8 * u32::from(width.bytes()) {
        if let Some(mask) = masks.get_mut(random.below(6) as usize) {
            *mask |= 1 << bit;
        }
    }
    if random.one_in(20) {
        masks[random.below(4) as usize] |= 1 << random.below(32);
    }
    let aligned = !(u16::from(width.bytes()) - 1);
    let offset = random_offset(random) & if random.one_in(20) { u16::MAX } else { aligned };
    let source = if random.one_in(3) { Source::Hardware } else { Source::Virtual(random.bits32()) };
    let [read_only, clear, preserved, zeroed] = masks;
    Definition { offset, width, source, read_only, clear, preserved, zeroed }
}

/// The library's function and the model's, on equal devices.
struct Pair {
    host: FakeHost,
    state: Box<State>,
    registers: Vec<Register>,
    model: Model,
}

impl Pair {
    fn new(random: &mut Random) -> Self {
        let device = random_device(random);
        let host = FakeHost::default();
        host.plug(SBDF, device.clone());
        let registers = std::iter::repeat_with(Register::new_zeroed).take(64).collect();
        Self { host, state: Box::new(State::new_zeroed()), registers, model: Model::new(device) }
    }

    fn function(&mut self) -> Function<'_> {
        Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] }
    }

    fn define(&mut self, definition: &Definition) {
        let expected = self.model.define(definition);
        assert_eq!(self.function().define(definition), expected, "{definition:x?}");
    }

    fn read(&mut self, access: Access) -> u32 {
        let function = Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] };
        function.read(&self.host, access)
    }

    fn write(&mut self, access: Access, value: u32) {
        let mut function =
            Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] };
        assert_eq!(function.write(&self.host, access, value, Locked::Shared), Written::Done);
        self.model.write(access.offset(), access.width(), value);
    }

    /// What reached hardware stays inside the access, or is a whole physical register that the access meets.
    fn check_hardware_accesses(&self, access: Access) {
        let (first, end) = (access.offset(), access.offset() + u16::from(access.width().bytes()));
        let mut written = 0u32;
        for event in self.host.take_events() {
            let (at, width) = match event {
                Event::Read(at, width) => (at, width),
                Event::Write(at, width, _) => {
                    let lanes = ((1 << width.bytes()) - 1) << (at % 4);
                    assert_eq!(written & lanes, 0, "{access:x?} wrote {at:#x} twice");
                    written |= lanes;
                    (at, width)
                }
                other => panic!("a register access did {other:?}"),
            };
            for byte in at..at + u16::from(width.bytes()) {
                match self.model.register_at(byte) {
                    Some((start, whole, true)) => {
                        assert_eq!((at, width), (start, whole), "{access:x?} split a physical register");
                        assert!(
                            start < end && first < start + u16::from(whole.bytes()),
                            "{access:x?}: {event:x?}"
                        );
                    }
                    Some((.., false)) => {
                        panic!("{access:x?} reached hardware behind a virtual register: {event:x?}")
                    }
                    None => {
                        assert!(
                            (first..end).contains(&byte),
                            "{access:x?} reached beyond itself: {event:x?}"
                        );
                    }
                }
            }
        }
    }
}

fn random_access(random: &mut Random) -> Access {
    let width = random_width(random);
    let offset = random_offset(random) & !(u16::from(width.bytes()) - 1);
    Access::new(u32::from(offset & 0xfff), u32::from(width.bytes())).unwrap()
}

#[test]
fn the_engine_does_what_the_byte_wise_model_does() {
    let mut random = Random::new(0x7670_6369);
    for map in 0..MAPS {
        let mut pair = Pair::new(&mut random);
        for _ in 0..random.below(60) {
            let definition = random_definition(&mut random);
            pair.define(&definition);
        }
        for n in 0..ACCESSES {
            let access = random_access(&mut random);
            if random.one_in(2) {
                let bits = random.bits32();
                let value = random.pick(&[0, u32::MAX, bits]);
                pair.write(access, value);
            } else {
                let expected = pair.model.read(access.offset(), access.width());
                assert_eq!(pair.read(access), expected, "access {n} of map {map}: {access:x?}");
            }
            pair.check_hardware_accesses(access);
            if random.one_in(200) {
                let definition = random_definition(&mut random);
                pair.define(&definition);
            }
        }
        for offset in (0..0x1000).step_by(4) {
            let hardware = pair.host.device(SBDF).get(offset, Width::Dword);
            let expected = pair.model.device.get(offset, Width::Dword);
            assert_eq!(hardware, expected, "the device of map {map} differs at {offset:#x}");
        }
    }
}
