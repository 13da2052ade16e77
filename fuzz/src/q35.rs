//! The MCH against a model that goes byte by byte: accesses, resets, images saved, spoilt and restored.

use arbitrary::Arbitrary;
use capabilities::{Access, Sbdf};
use q35::registers::ROWS;
use q35::{Info, Mch, Window, decode_port};
use zerocopy::{FromZeros, IntoBytes};

use crate::Size;

/// Where most accesses are: what acts, what is locked, and their neighbours.
const PLACES: [u16; 8] = [0x04, 0x50, 0x60, 0x64, 0x9c, 0xac, 0xb0, 0x100];

/// A guest, and what it and its toolstack do.
#[derive(Arbitrary, Debug)]
pub struct Input {
    address_bits: u8,
    /// The window after a reset: how far behind RAM, and its length; none if that is 3.
    behind: u8,
    length: u8,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct At {
    offset: u16,
    anywhere: bool,
    size: Size,
}

impl At {
    fn access(self) -> Access {
        let near = PLACES[usize::from(self.offset >> 8) % PLACES.len()] + self.offset % 4;
        let offset = self.size.align(if self.anywhere { self.offset % 0x1000 } else { near });
        Access::new(u32::from(offset), u32::from(self.size.width().bytes())).expect("it is aligned")
    }
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Read(At),
    Write(At, u32),
    /// PCIEXBAR, in one of its halves.
    Move {
        high: bool,
        value: u32,
    },
    Reset,
    Decode(u64),
    Port(u32, u16),
    /// A good image goes into a fresh MCH.
    Migrate(u32),
    /// An image with some bytes changed.
    Spoil(Vec<(u16, u8)>),
    /// Any bytes.
    Restore(Vec<u8>),
}

/// What the rows say of each byte.
#[derive(Clone, Copy, Default)]
struct Byte {
    reset: u8,
    write: u8,
    locked: u8,
}

/// The MCH, byte by byte.
#[derive(Clone)]
struct Model {
    info: Info,
    bytes: [Byte; 0x100],
    stored: [u8; 0x100],
    window: Option<(u64, u64)>,
}

impl Model {
    fn new(info: Info) -> Self {
        let mut bytes = [Byte::default(); 0x100];
        for row in ROWS {
            for at in 0..row.width {
                let cut = |bits: u64| bits.to_le_bytes()[usize::from(at)];
                let (reset, write, locked) = (cut(row.reset), cut(row.write), cut(row.locked));
                bytes[usize::from(row.offset + at)] = Byte { reset, write, locked };
            }
        }
        // The guest's addresses end at most at 64 GB, and where its own do.
        bytes[0x64].write = (((1u64 << info.address_bits.min(36)) - 1) >> 32) as u8;
        for (at, reset) in (0x60..).zip(info.pciexbar.to_le_bytes()) {
            bytes[at].reset = reset;
        }
        let mut model = Self { info, bytes, stored: [0; 0x100], window: None };
        model.reset();
        model
    }

    fn reset(&mut self) {
        self.stored = self.bytes.map(|byte| byte.reset);
        self.window = None;
        self.follow();
    }

    fn pciexbar(&self) -> u64 {
        u64::from_le_bytes(self.stored[0x60..0x68].try_into().expect("8 bytes"))
    }

    /// The size of the window, if it is enabled and no reserved one.
    fn size(&self) -> Option<u64> {
        [Some(256), Some(128), Some(64), None][usize::from(self.stored[0x60] >> 1 & 3)]
            .map(|mb: u64| mb << 20)
    }

    fn follow(&mut self) {
        if self.stored[0x60] & 1 == 0 {
            self.window = None;
        } else if let Some(size) = self.size() {
            self.window = Some((self.pciexbar() & !(size - 1), size));
        }
    }

    fn byte(&self, at: u16) -> u8 {
        let hidden = if at == 0x63 { self.size().map_or(0, |size| (size - 1) >> 24 & 0x0c) } else { 0 };
        self.stored[usize::from(at)] & !(hidden as u8)
    }

    fn read(&self, access: Access) -> u32 {
        (0..u16::from(access.width().bytes())).rev().fold(0, |value, at| {
            let at = access.offset() + at;
            value << 8 | if at < 0x100 { u32::from(self.byte(at)) } else { 0xff }
        })
    }

    fn write(&mut self, access: Access, value: u32) {
        let locked = self.stored[0x9d] & 0x10 != 0;
        let width = usize::from(access.width().bytes());
        for (at, data) in (usize::from(access.offset())..).zip(value.to_le_bytes()).take(width) {
            let Some(byte) = self.bytes.get(at) else { return };
            let write = byte.write & if locked { !byte.locked } else { 0xff };
            self.stored[at] = self.stored[at] & !write | data & write;
        }
        if self.stored[0x9d] & 0x10 != 0 {
            self.stored[0x9d] &= !0x40;
        }
        self.follow();
    }

    /// The function and register at an address.
    fn decode(&self, address: u64) -> Option<(Sbdf, u16)> {
        let (base, size) = self.window?;
        if !(base..base + size).contains(&address) || (0xfec0_0000..=0xffff_ffff).contains(&address) {
            return None;
        }
        let distance = address - base;
        let sbdf = Sbdf::new(0, (distance >> 20) as u8, (distance >> 15) as u8, (distance >> 12) as u8);
        Some((sbdf, distance as u16 & 0xfff))
    }
}

struct Pair {
    mch: Box<Mch>,
    model: Model,
}

impl Pair {
    /// The window is the model's, and so is what stands in the registers.
    fn check(&self) {
        let window = self.mch.window().map(|window| (window.base(), u64::from(window.size())));
        assert_eq!(window, self.model.window);
        assert!(window.is_none_or(|(base, size)| {
            base % size == 0 && base + size <= 1 << self.model.info.address_bits.min(36)
        }));
        for offset in (0..0x100).step_by(4) {
            let access = Access::new(offset, 4).expect("it is aligned");
            assert_eq!(self.mch.read(access), self.model.read(access), "{offset:#x}");
        }
    }

    fn restore(&mut self, image: &[u8]) {
        let before = self.mch.save(0);
        let Ok(latch) = self.mch.restore(image) else {
            assert_eq!(self.mch.save(0), before, "it was refused and changed something");
            return;
        };
        let after = self.mch.save(latch);
        assert_eq!(after.as_bytes(), image, "it was taken and is another");
        // The registers are the third field but two of the image, from byte 16 on.
        self.model.stored.copy_from_slice(&image[16..16 + 0x100]);
        for (stored, byte) in self.model.stored.iter().zip(self.model.bytes) {
            assert_eq!((stored ^ byte.reset) & !byte.write, 0, "a read-only bit changed");
        }
        assert_ne!(self.model.stored[0x9d] & 0x50, 0x50, "open and locked");
        self.model.window = self.mch.window().map(|window| (window.base(), u64::from(window.size())));
        self.model.follow();
    }
}

fn fresh(info: &Info) -> Box<Mch> {
    let mut mch = Box::new(Mch::new_zeroed());
    mch.init(info).expect("the platform is valid");
    mch
}

/// Does what the input says.
///
/// # Panics
///
/// If the library and the model differ.
pub fn run(input: &Input) {
    let low_ram_end = 0x8000_0000;
    let size = [0x1000_0000, 0x0800_0000, 0x0400_0000].get(usize::from(input.length % 4));
    let window = size.and_then(|size| {
        let base = low_ram_end + u64::from(input.behind % 8) * u64::from(*size);
        Window::new(base, *size).filter(|window| window.decoded() == window.size())
    });
    let pciexbar = window.map_or(0, q35::pciexbar_encode);
    let address_bits = 32 + input.address_bits % 21;
    let info = Info { pciexbar, low_ram_end, high_ram_end: 0, address_bits };
    let mut pair = Pair { mch: fresh(&info), model: Model::new(info) };
    pair.check();
    for operation in &input.operations {
        match operation {
            Operation::Read(at) => {
                assert_eq!(pair.mch.read(at.access()), pair.model.read(at.access()), "{at:?}");
            }
            Operation::Write(at, value) => {
                pair.mch.write(at.access(), *value);
                pair.model.write(at.access(), *value);
            }
            Operation::Move { high, value } => {
                let access = Access::new(if *high { 0x64 } else { 0x60 }, 4).expect("it is aligned");
                pair.mch.write(access, *value);
                pair.model.write(access, *value);
            }
            Operation::Reset => {
                pair.mch.reset();
                pair.model.reset();
            }
            Operation::Decode(address) => {
                let near = pair.model.window.map_or(*address, |(base, _)| base + address % 0x1800_0000);
                for address in [*address, near] {
                    let decoded = pair.mch.window().and_then(|window| window.decode(address));
                    assert_eq!(decoded, pair.model.decode(address), "{address:#x}");
                    let Some((sbdf, offset)) = decoded else { continue };
                    assert_eq!(pair.mch.window().and_then(|w| w.encode(sbdf, offset)), Some(address));
                }
            }
            Operation::Port(latch, port) => {
                for port in [*port, 0xcfc | port & 3] {
                    let reached = decode_port(*latch, port);
                    assert_eq!(reached.is_some(), latch >> 31 == 1 && (0xcfc..0xd00).contains(&port));
                    assert!(
                        reached
                            .is_none_or(|(sbdf, at)| sbdf.0 < 0x1_0000 && at < 0x100 && at % 4 == port % 4)
                    );
                }
            }
            Operation::Migrate(latch) => {
                let image = pair.mch.save(*latch);
                let overlaps = pair.mch.overlaps();
                pair.mch = fresh(&info);
                assert_eq!(pair.mch.restore(image.as_bytes()), Ok(*latch));
                assert_eq!((pair.mch.save(*latch), pair.mch.overlaps()), (image, overlaps));
            }
            Operation::Spoil(changes) => {
                let mut image = pair.mch.save(0);
                for (at, value) in changes {
                    let bytes = image.as_mut_bytes();
                    bytes[usize::from(*at) % q35::Image::SIZE] = *value;
                }
                pair.restore(image.as_bytes());
            }
            Operation::Restore(bytes) => pair.restore(bytes),
        }
        pair.check();
    }
}
