//! The engine's register semantics, on functions that hold nothing but the registers a test defines.

use capabilities::{Access, Sbdf, Width};
use tests::device::Device;
use tests::host::{Event, FakeHost};
use vpci::{
    DefineError, Definition, Function, Locked, Refusal, Register, Source, State, Written, read_virtual,
};
use zerocopy::FromZeros;

const SBDF: Sbdf = Sbdf(0);

struct Bench {
    host: FakeHost,
    state: Box<State>,
    registers: Vec<Register>,
}

impl Bench {
    /// A physical function whose every byte reads as the low byte of its offset plus 1 and may be written.
    fn new() -> Self {
        let mut device = Device::empty();
        for offset in (0..0x1000).step_by(4) {
            device.set(offset, Width::Dword, hardware(offset));
            device.allow(offset, Width::Dword, u32::MAX);
        }
        let host = FakeHost::default();
        host.plug(SBDF, device);
        let registers = std::iter::repeat_with(Register::new_zeroed).take(1024).collect();
        Self { host, state: Box::new(State::new_zeroed()), registers }
    }

    fn function(&mut self) -> Function<'_> {
        Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] }
    }

    fn define(&mut self, definition: &Definition) -> Result<(), DefineError> {
        self.function().define(definition)
    }

    fn add(&mut self, offset: u16, width: Width, value: u32) {
        self.define(&Definition::new(offset, width, Source::Virtual(value))).unwrap();
    }

    fn read(&mut self, offset: u16, bytes: u32) -> u32 {
        let access = Access::new(u32::from(offset), bytes).unwrap();
        let function = Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] };
        function.read(&self.host, access)
    }

    fn write(&mut self, offset: u16, bytes: u32, value: u32) {
        let access = Access::new(u32::from(offset), bytes).unwrap();
        let mut function =
            Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut [] };
        let written = function.write(&self.host, access, value, Locked::Shared);
        assert_eq!(written, Written::Done, "registers without an effect need no lock");
    }

    fn hardware(&self, offset: u16) -> u32 {
        self.host.device(SBDF).get(offset, Width::Dword)
    }
}

/// What the dword at `offset` of the physical function holds at first.
fn hardware(offset: u16) -> u32 {
    let byte = |n: u16| u32::from((offset + n).wrapping_add(1).to_le_bytes()[0]) << (8 * n);
    byte(0) | byte(1) | byte(2) | byte(3)
}

/// Bytes `first` to `first + bytes` of a dword.
fn cut(value: u32, first: u16, bytes: u32) -> u32 {
    value >> (8 * first) & (u32::MAX >> (32 - 8 * bytes))
}

/// All accesses to a dword.
const ACCESSES: [(u16, u32); 7] = [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (2, 2), (0, 4)];

#[test]
fn registers_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    let invalid = |definition: Definition, bench: &mut Bench| {
        assert_eq!(bench.define(&definition), Err(DefineError::Invalid), "{definition:x?}");
    };
    let source = Source::Virtual(0);
    for (offset, width) in [(1, Width::Word), (3, Width::Word), (1, Width::Dword), (2, Width::Dword)] {
        invalid(Definition::new(offset, width, source), &mut bench);
    }
    invalid(Definition::new(0x1000, Width::Byte, source), &mut bench);
    invalid(Definition::new(u16::MAX, Width::Byte, source), &mut bench);
    let byte = Definition::new(0, Width::Byte, source);
    let word = Definition::new(0, Width::Word, source);
    // Two classes share a bit.
    invalid(Definition { read_only: 1, clear: 1, ..byte }, &mut bench);
    invalid(Definition { read_only: 2, preserved: 3, ..byte }, &mut bench);
    invalid(Definition { read_only: 4, zeroed: 4, ..byte }, &mut bench);
    invalid(Definition { clear: 8, preserved: 8, ..byte }, &mut bench);
    invalid(Definition { clear: 1, zeroed: 1, ..byte }, &mut bench);
    invalid(Definition { preserved: 0x80, zeroed: 0xff, ..byte }, &mut bench);
    // A bit is outside the register.
    invalid(Definition { read_only: 0x100, ..byte }, &mut bench);
    invalid(Definition { clear: 0x1_0000, ..word }, &mut bench);
    invalid(Definition { preserved: 0x8000_0000, ..word }, &mut bench);
    invalid(Definition { zeroed: 0x1_0000, ..word }, &mut bench);
    // Nothing of that was added.
    for (offset, bytes) in ACCESSES {
        assert_eq!(bench.read(offset, bytes), cut(hardware(0), offset, bytes));
    }
}

#[test]
fn registers_may_not_overlap() {
    for (first, width) in
        [(0, Width::Dword), (0, Width::Word), (2, Width::Word), (1, Width::Byte), (3, Width::Byte)]
    {
        let mut bench = Bench::new();
        bench.add(first, width, 0x1122_3344 & (u32::MAX >> (32 - 8 * u32::from(width.bytes()))));
        let before = bench.read(0, 4);
        let end = first + u16::from(width.bytes());
        for (offset, bytes) in ACCESSES {
            let definition =
                Definition::new(offset, Width::from_bytes(bytes).unwrap(), Source::Virtual(0xffff_ffff));
            if offset < end && first < offset + u16::try_from(bytes).unwrap() {
                assert_eq!(bench.define(&definition), Err(DefineError::Exists), "{bytes} bytes at {offset}");
            }
        }
        assert_eq!(bench.read(0, 4), before, "a refused register left a trace");
        assert_eq!(bench.define(&Definition::new(4, Width::Dword, Source::Virtual(0))), Ok(()));
    }
}

#[test]
fn b1_a_full_map_changes_nothing() {
    let mut bench = Bench::new();
    bench.registers.truncate(2);
    bench.add(0x40, Width::Byte, 0xaa);
    bench.add(0x44, Width::Byte, 0xbb);
    let third = Definition::new(0x48, Width::Dword, Source::Virtual(0));
    assert_eq!(bench.define(&third), Err(DefineError::Full));
    // Another register of a dword that has one needs no room.
    bench.add(0x41, Width::Byte, 0xcc);
    assert_eq!((bench.read(0x40, 2), bench.read(0x44, 1)), (0xccaa, 0xbb));
    assert_eq!(bench.read(0x48, 4), hardware(0x48));
}

/// How a dword may be divided: the registers, as first byte and width; all else is gap.
const LAYOUTS: [&[(u16, u8)]; 12] = [
    &[(0, 4)],
    &[(0, 2), (2, 2)],
    &[(0, 2), (2, 1), (3, 1)],
    &[(0, 1), (1, 1), (2, 2)],
    &[(0, 1), (1, 1), (2, 1), (3, 1)],
    &[(0, 2)],
    &[(2, 2)],
    &[(0, 1)],
    &[(1, 1)],
    &[(2, 1)],
    &[(3, 1)],
    &[(0, 1), (3, 1)],
];

/// What software may see in a dword of this layout whose registers hold the bytes of `value`.
fn merged(layout: &[(u16, u8)], value: u32, gaps: u32) -> u32 {
    let mask = mediated(layout);
    value & mask | gaps & !mask
}

fn mediated(layout: &[(u16, u8)]) -> u32 {
    layout
        .iter()
        .fold(0, |mask, (first, bytes)| mask | (u32::MAX >> (32 - 8 * u32::from(*bytes))) << (8 * first))
}

fn with_layout(base: u16, layout: &[(u16, u8)], value: u32) -> Bench {
    let mut bench = Bench::new();
    for (first, bytes) in layout {
        let width = Width::from_bytes(u32::from(*bytes)).unwrap();
        bench.add(base + first, width, cut(value, *first, u32::from(*bytes)));
    }
    bench
}

#[test]
fn b3_reads_merge_registers_and_gaps() {
    for base in [0x00, 0x40, 0x100, 0xffc] {
        for layout in LAYOUTS {
            let mut bench = with_layout(base, layout, 0xdead_beef);
            let all = merged(layout, 0xdead_beef, hardware(base));
            for (offset, bytes) in ACCESSES {
                let read = bench.read(base + offset, bytes);
                assert_eq!(read, cut(all, offset, bytes), "{layout:?}: {bytes} bytes at {offset}");
            }
        }
    }
}

#[test]
fn b3_hardware_is_read_only_where_nothing_is_virtual() {
    for layout in LAYOUTS {
        let mut bench = with_layout(0x40, layout, 0);
        for (offset, bytes) in ACCESSES {
            bench.host.take_events();
            bench.read(0x40 + offset, bytes);
            for event in bench.host.take_events() {
                let Event::Read(at, width) = event else { panic!("a read did {event:x?}") };
                let lanes = (u32::MAX >> (32 - 8 * u32::from(width.bytes()))) << (8 * (at - 0x40));
                assert_eq!(lanes & mediated(layout), 0, "{layout:?}: {bytes} bytes at {offset} read {at:#x}");
            }
        }
    }
}

#[test]
fn b3_gaps_are_read_at_the_widths_that_hardware_has() {
    let read = |layout: &[(u16, u8)]| {
        let mut bench = with_layout(0x40, layout, 0);
        bench.read(0x40, 4);
        bench.host.take_events()
    };
    let (byte, word) = (|at| Event::Read(at, Width::Byte), |at| Event::Read(at, Width::Word));
    assert_eq!(read(&[(0, 1)]), [byte(0x41), word(0x42)]);
    assert_eq!(read(&[(3, 1)]), [word(0x40), byte(0x42)]);
    assert_eq!(read(&[(1, 1)]), [byte(0x40), word(0x42)]);
    assert_eq!(read(&[(0, 2)]), [word(0x42)]);
    assert_eq!(read(&[(0, 1), (3, 1)]), [byte(0x41), byte(0x42)]);
    assert_eq!(read(&[(0, 4)]), []);
}

#[test]
fn the_short_way_reads_what_no_hardware_has_a_part_in() {
    let mut bench = Bench::new();
    bench.add(0x40, Width::Word, 0x1234);
    bench.define(&Definition::new(0x44, Width::Dword, Source::Hardware)).unwrap();
    let read =
        |offset, bytes| read_virtual(&bench.state, &bench.registers, Access::new(offset, bytes).unwrap());
    assert_eq!((read(0x40, 2), read(0x41, 1)), (Some(0x1234), Some(0x12)));
    // The gap beside it, a register of the device's, nothing.
    for (offset, bytes) in [(0x40, 4), (0x42, 2), (0x44, 4), (0x47, 1), (0x48, 4)] {
        assert_eq!(read(offset, bytes), None, "{bytes} bytes at {offset:#x}");
    }
}

#[test]
fn b4_writes_split_into_registers_and_gaps() {
    for layout in LAYOUTS {
        for (offset, bytes) in ACCESSES {
            let mut bench = with_layout(0x40, layout, 0x0403_0201);
            let before = hardware(0x40);
            bench.write(0x40 + offset, bytes, 0xa5c3_96f0);
            let lanes = (u32::MAX >> (32 - 8 * bytes)) << (8 * offset);
            let data = 0xa5c3_96f0u32 << (8 * offset);
            let expected = |old: u32| old & !lanes | data & lanes;
            let at = format!("{layout:?}: {bytes} bytes at {offset}");
            assert_eq!(
                bench.read(0x40, 4),
                merged(layout, expected(0x0403_0201), expected(before)),
                "seen after {at}"
            );
            let mask = mediated(layout);
            assert_eq!(bench.hardware(0x40), before & mask | expected(before) & !mask, "hardware after {at}");
        }
    }
}

#[test]
fn b4_neighbouring_dwords_are_not_touched() {
    let mut bench = Bench::new();
    for offset in [0x3c, 0x40, 0x44] {
        bench.add(offset, Width::Dword, 0x1111_1111);
    }
    bench.write(0x40, 4, u32::MAX);
    assert_eq!((bench.read(0x3c, 4), bench.read(0x44, 4)), (0x1111_1111, 0x1111_1111));
    assert_eq!(bench.host.take_events(), []);
}

#[test]
fn b5_classes_of_a_virtual_register() {
    let definition = Definition {
        read_only: 0x0000_00ff,
        clear: 0x0000_ff00,
        preserved: 0x00ff_0000,
        zeroed: 0x0f00_0000,
        ..Definition::new(0x40, Width::Dword, Source::Virtual(0xaaaa_aaaa))
    };
    let mut bench = Bench::new();
    bench.define(&definition).unwrap();
    assert_eq!(bench.read(0x40, 4), 0xa000_aaaa, "reserved bits read as 0");
    bench.write(0x40, 4, 0);
    assert_eq!(bench.read(0x40, 4), 0x0000_aaaa, "a write of 0 clears read-write bits alone");
    bench.write(0x40, 4, u32::MAX);
    assert_eq!(bench.read(0x40, 4), 0xf000_00aa, "a write of 1 clears RW1C bits");
    // Byte by byte: each has effect on its own bits alone.
    let mut bench = Bench::new();
    bench.define(&definition).unwrap();
    bench.write(0x41, 1, 0x0f);
    assert_eq!(bench.read(0x40, 4), 0xa000_a0aa);
    bench.write(0x40, 1, 0xff);
    bench.write(0x42, 1, 0xff);
    assert_eq!(bench.read(0x40, 4), 0xa000_a0aa);
    bench.write(0x43, 1, 0x5f);
    assert_eq!(bench.read(0x40, 4), 0x5000_a0aa);
    bench.write(0x40, 2, 0x8000);
    assert_eq!(bench.read(0x40, 4), 0x5000_20aa);
}

#[test]
fn b5_each_class_by_each_byte() {
    // Each class alone over a dword: what a write of a value to any bytes leaves there.
    type Rule = fn(u32, u32) -> u32;
    let base = Definition::new(0x80, Width::Dword, Source::Virtual(0x5a5a_a5a5));
    let classes: [(Definition, bool, Rule); 5] = [
        (base, true, |_, new| new),
        (Definition { read_only: u32::MAX, ..base }, true, |old, _| old),
        (Definition { clear: u32::MAX, ..base }, true, |old, new| old & !new),
        (Definition { preserved: u32::MAX, ..base }, false, |old, _| old),
        (Definition { zeroed: u32::MAX, ..base }, false, |_, _| 0),
    ];
    for (definition, visible, rule) in classes {
        for (offset, bytes) in ACCESSES {
            for value in [0, u32::MAX, 0x1234_5678, 0x8000_0001] {
                let mut bench = Bench::new();
                bench.define(&definition).unwrap();
                bench.write(0x80 + offset, bytes, value);
                let lanes = (u32::MAX >> (32 - 8 * bytes)) << (8 * offset);
                let new = value << (8 * offset);
                let expected = 0x5a5a_a5a5 & !lanes | rule(0x5a5a_a5a5, new) & lanes;
                let expected = if visible { expected } else { 0 };
                assert_eq!(
                    bench.read(0x80, 4),
                    expected,
                    "{definition:x?}: {bytes} bytes of {value:#x} at {offset}"
                );
            }
        }
    }
}

#[test]
fn b5_classes_of_a_physical_register() {
    // STATUS-like: RO, RW1C, RsvdP and RsvdZ over a device whose own bits can all be written.
    let definition = Definition {
        read_only: 0x000f,
        clear: 0x00f0,
        preserved: 0x0f00,
        zeroed: 0x3000,
        ..Definition::new(0x42, Width::Word, Source::Hardware)
    };
    let mut bench = Bench::new();
    bench.define(&definition).unwrap();
    bench.host.device(SBDF).set(0x40, Width::Dword, 0xf5a5_0000);
    assert_eq!(bench.read(0x42, 2), 0xc0a5, "reserved bits read as 0");
    // What arrives at the device: RO and RsvdP as they are, RW1C as written, RsvdZ as 0.
    bench.host.take_events();
    bench.write(0x42, 2, 0x6a5a);
    assert_eq!(bench.host.take_writes(), [(0x42, Width::Word, 0x4555)]);
    // A byte is written as the whole register: RW1C bits of the other byte as 0.
    bench.host.device(SBDF).set(0x42, Width::Word, 0xf5a5);
    bench.write(0x43, 1, 0x40);
    assert_eq!(bench.host.take_writes(), [(0x42, Width::Word, 0x4505)]);
    bench.host.device(SBDF).set(0x42, Width::Word, 0xf5a5);
    bench.write(0x42, 1, 0x20);
    assert_eq!(bench.host.take_writes(), [(0x42, Width::Word, 0xc525)]);
}

#[test]
fn b5_a_physical_register_is_accessed_whole() {
    let mut bench = Bench::new();
    bench.define(&Definition::new(0x40, Width::Dword, Source::Hardware)).unwrap();
    for (offset, bytes) in ACCESSES {
        bench.host.take_events();
        bench.read(0x40 + offset, bytes);
        bench.write(0x40 + offset, bytes, 0);
        for event in bench.host.take_events() {
            let whole =
                matches!(event, Event::Read(0x40, Width::Dword) | Event::Write(0x40, Width::Dword, _));
            assert!(whole, "{bytes} bytes at {offset} did {event:x?}");
        }
    }
}

#[test]
fn a_write_that_sets_all_bits_reads_nothing_first() {
    // Reads of some registers have effects of their own.
    let mut bench = Bench::new();
    bench.define(&Definition::new(0x40, Width::Dword, Source::Hardware)).unwrap();
    bench.write(0x40, 4, 0x1234_5678);
    assert_eq!(bench.host.take_events(), [Event::Write(0x40, Width::Dword, 0x1234_5678)]);
}

#[test]
fn b6_only_legal_accesses_exist() {
    for (offset, bytes) in [(0, 0), (0, 3), (0, 8), (1, 2), (2, 4), (3, 4), (0x1000, 1), (0xffe, 4)] {
        assert_eq!(Access::new(offset, bytes), None, "{bytes} bytes at {offset:#x}");
    }
    for (offset, bytes) in [(0xfff, 1), (0xffe, 2), (0xffc, 4), (0, 1)] {
        assert!(Access::new(offset, bytes).is_some(), "{bytes} bytes at {offset:#x}");
    }
}

#[test]
fn b7_what_nobody_mediates_is_the_devices() {
    let mut bench = Bench::new();
    bench.add(0x80, Width::Dword, 0);
    for offset in (0..0x1000).step_by(4).filter(|offset| *offset != 0x80) {
        assert_eq!(bench.read(offset, 4), hardware(offset));
        assert_eq!(bench.read(offset + 2, 2), hardware(offset) >> 16);
        assert_eq!(bench.read(offset + 3, 1), hardware(offset) >> 24);
        bench.host.take_events();
        bench.write(offset + 2, 2, 0xabcd);
        assert_eq!(bench.host.take_events(), [Event::Write(offset + 2, Width::Word, 0xabcd)]);
    }
}

#[test]
fn value_bits_beyond_the_access_do_not_count() {
    let mut bench = Bench::new();
    bench.add(0x40, Width::Dword, 0);
    bench.write(0x41, 1, 0xffff_ff12);
    assert_eq!(bench.read(0x40, 4), 0x1200);
    bench.write(0x44, 2, 0xffff_1234);
    assert_eq!(bench.host.take_events(), [Event::Write(0x44, Width::Word, 0x1234)]);
    bench.define(&Definition::new(0x48, Width::Byte, Source::Hardware)).unwrap();
    bench.write(0x48, 1, 0xffff_ff34);
    assert_eq!(bench.host.take_events(), [Event::Write(0x48, Width::Byte, 0x34)]);
    assert_eq!(bench.state.refusals(Refusal::HiddenWrite), 0);
}

#[test]
fn a_register_more_in_a_dword_keeps_the_others() {
    let mut bench = Bench::new();
    bench.add(0x43, Width::Byte, 0x43);
    bench.add(0x40, Width::Byte, 0x40);
    bench.define(&Definition::new(0x41, Width::Byte, Source::Hardware)).unwrap();
    bench
        .define(&Definition { read_only: 0xff, ..Definition::new(0x42, Width::Byte, Source::Virtual(0x77)) })
        .unwrap();
    assert_eq!(bench.read(0x40, 4), 0x4377_4240);
    bench.write(0x40, 4, 0);
    assert_eq!(bench.read(0x40, 4), 0x0077_0000);
    assert_eq!(bench.hardware(0x40), hardware(0x40) & !0xff00);
}
