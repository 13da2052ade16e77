//! A function that no device is behind.

use capabilities::{Access, Width};
use tests::device::Device;
use tests::model::Model;
use tests::random::Random;
use vpci::{DefineError, Definition, Emulated, Source};
use zerocopy::FromZeros;

fn emulated<const N: usize>() -> Box<Emulated<N>> {
    Box::new(Emulated::new_zeroed())
}

fn access(offset: u32, bytes: u32) -> Access {
    Access::new(offset, bytes).unwrap()
}

/// What the rest of the engine does, with a device behind it that reads 0 and takes nothing.
#[test]
fn it_does_what_the_byte_wise_model_does() {
    let mut random = Random::new(0x656d_756c);
    for _ in 0..200 {
        let mut function = emulated::<16>();
        let mut model = Model::new(Device::empty());
        for _ in 0..random.below(30) {
            let width = random.pick(&[Width::Byte, Width::Word, Width::Dword]);
            let offset = random.pick(&[0x00, 0x9c, 0x100]) + u16::try_from(random.below(12)).unwrap();
            let ones = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
            let (a, b, c) = (random.bits32() & ones, random.bits32() & ones, random.bits32() & ones);
            let definition = Definition {
                read_only: a & b & c,
                clear: a & b & !c,
                preserved: a & !b & c,
                zeroed: a & !b & !c,
                ..Definition::new(offset, width, Source::Virtual(random.bits32()))
            };
            assert_eq!(function.define(&definition), model.define(&definition), "{definition:x?}");
        }
        for _ in 0..500 {
            let bytes = random.pick(&[1, 2, 4]);
            let offset = (random.pick(&[0x00, 0x9c, 0x100, 0xff0]) + random.below(16)) & !(bytes - 1);
            let (access, value) = (access(offset, bytes), random.bits32());
            if random.one_in(2) {
                function.write(access, value);
                model.write(access.offset(), access.width(), value);
            }
            assert_eq!(function.read(access), model.read(access.offset(), access.width()), "{access:x?}");
        }
    }
}

#[test]
fn hardware_is_no_source() {
    let definition = Definition::new(0x40, Width::Dword, Source::Hardware);
    assert_eq!(emulated::<1>().define(&definition), Err(DefineError::Invalid));
}

/// A register that is locked, hidden in part, and set by its owner.
#[test]
fn its_owner_is_not_bound_by_its_masks() {
    let mut function = emulated::<1>();
    function.define(&Definition::new(0x40, Width::Word, Source::Virtual(0x1234))).unwrap();
    let low = access(0x40, 2);
    function.allow(0x10, 0x00ff);
    function.write(low, 0xabcd);
    assert_eq!(function.read(low), 0x12cd);
    function.hide(0x10, 0x0f00);
    assert_eq!((function.read(low), function.value(0x10)), (0x10cd, 0x12cd));
    function.set(0x10, 0xffff_5678, u32::MAX);
    function.hide(0x10, 0);
    assert_eq!(function.value(0x10), 0x5678, "there is no register in the high word");
    // Nor can it be made writable.
    function.allow(0x10, u32::MAX);
    function.write(access(0x40, 4), 0x8765_4321);
    assert_eq!(function.value(0x10), 0x4321);
    // What has no register at all.
    function.set(0x11, 1, 1);
    function.allow(0x11, 1);
    function.write(access(0x44, 4), 1);
    assert_eq!((function.value(0x11), function.read(access(0x44, 4))), (0, 0));
}
