//! The MCH against a plain model of the datasheet ([`tests::datasheet`]): accesses at random, all registers after each burst.

use q35::Info;
use tests::datasheet;
use tests::mch::Bridge;
use tests::random::Random;

/// Accesses in each of the platforms.
const ACCESSES: u32 = 100_000;
/// After as many, all registers are compared.
const BURST: u32 = 50;

const SMRAM: u16 = 0x9d;
const D_LCK: u8 = 1 << 4;

struct Pair {
    bridge: Bridge,
    model: datasheet::Mch,
    info: Info,
}

impl Pair {
    fn new(pciexbar: u64, address_bits: u8) -> Self {
        let high_ram_end = if address_bits > 32 { 0x1_4000_0000 } else { 0 };
        let info = Info { pciexbar, low_ram_end: 0x8000_0000, high_ram_end, address_bits };
        let model = datasheet::Mch::new(pciexbar, u32::from(address_bits));
        Self { bridge: Bridge::new(&info), model, info }
    }

    /// Reads both, at any offset below 0x1000.
    fn read(&self, offset: u16, bytes: u32, when: &str) {
        // CAST: at most 4.
        let due = self.model.read(usize::from(offset), bytes as usize);
        let read = self.bridge.read(offset, bytes);
        assert_eq!(read, due, "{bytes} bytes at {offset:#x} {when}, {:x?}", self.info);
    }

    fn write(&mut self, offset: u16, bytes: u32, value: u32) {
        self.bridge.write(offset, bytes, value);
        self.model.write(usize::from(offset), bytes as usize, value); // CAST: at most 4.
        self.window(&format!("after {value:#x}, {bytes} bytes, to {offset:#x}"));
    }

    fn window(&self, when: &str) {
        let window = self.bridge.window().map(|(base, mebibytes)| (base, u64::from(mebibytes) << 20));
        assert_eq!(window, self.model.window(), "the window {when}, {:x?}", self.info);
    }

    fn compare(&self, when: &str) {
        for offset in (0..0x100).step_by(4) {
            self.read(offset, 4, when);
        }
    }

    fn reset(&mut self) {
        self.bridge.0.reset();
        self.model.reset();
        self.window("after a reset");
        self.compare("after a reset");
    }
}

/// A value that means something, or any.
fn value(random: &mut Random) -> u32 {
    let any = random.bits32();
    // A window below 4 GiB with each length, enabled or not.
    let window = any & 0xfc00_0000 | random.below(8);
    random.pick(&[0, u32::MAX, 0x5555_5555, any, any, window, window])
}

fn hammer(pair: &mut Pair, random: &mut Random) {
    pair.compare("at first");
    for number in 0..ACCESSES {
        let bytes = random.pick(&[1, 2, 4]);
        let near = random.pick(&[0x04, 0x60, 0x60, 0x64, 0x90, 0x9c, 0xa0]) + random.below(4);
        let end = if random.one_in(16) { 0x1000 } else { 0x100 };
        let any = random.below(end);
        let offset = (random.pick(&[near, any]) & !(bytes - 1)) as u16; // CAST: below 0x1000.
        if random.one_in(2) {
            pair.read(offset, bytes, "at random");
        } else {
            let mut value = value(random).to_le_bytes();
            // Most often nothing is to be locked, or little would be left to try.
            let smram = SMRAM.checked_sub(offset).map(usize::from).and_then(|n| value.get_mut(n));
            if let Some(smram) = smram
                && !random.one_in(8)
            {
                *smram &= !D_LCK;
            }
            pair.write(offset, bytes, u32::from_le_bytes(value));
        }
        if number % BURST == 0 {
            pair.compare("after a burst");
        }
        if random.one_in(500) {
            pair.reset();
        }
    }
}

#[test]
fn every_register_is_what_the_datasheet_says() {
    let mut random = Random::new(1);
    for (pciexbar, address_bits) in [
        (0, 36),
        (0xe000_0001, 36),
        (0xb800_0003, 40),
        (0xac00_0005, 33),
        (0xf_f000_0001, 39),
        (0xe000_0001, 32),
    ] {
        hammer(&mut Pair::new(pciexbar, address_bits), &mut random);
    }
}
