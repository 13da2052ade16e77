//! Random writes by guests to random devices, with random rules: what reaches the device, and what shows of it, is what
//! the policy's fields and the rules name. `docs/security.md` has the list of such tests.

use std::ops::Range;

use capabilities::Width;
use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{self, Field, Policy, Rule, Scope, Treatment, Visibility};
use tests::device::Device;
use tests::guest::{BAR0, COMMAND, Guest, HOST_BAR0};
use tests::host::{Event, Preempt};
use tests::random::Random;
use vpci::{GuestInfo, Progress};

const DEVICES: u64 = 400;
const WRITES: u32 = 300;

/// Where guests have the BARs of [`device`]: 0, 2 (64 bits) and the ROM.
const BARS: [Option<u64>; 7] =
    [Some(BAR0), Some(0xc000), Some(0x20_0000_0000), None, None, None, Some(0xe200_0000)];
/// The same in the host, and their pages.
const PAGES: [(u64, u64, u64); 3] =
    [(0xe0000, 0xfe000, 4), (0x200_0000, 0x400_0000, 8), (0xe2000, 0xfd000, 2)];
const SIZES: [u32; 6] = [0x4000, 0x20, 0x8000, 0, 0, 0];

/// What a device has, as its maker knows it.
struct Layout {
    standard: Vec<(u16, u8)>,
    extended: Vec<(u16, u16)>,
    /// The MSI-X table and the PBA in BAR 0, where they are sound.
    tables: Vec<Range<u64>>,
}

impl Layout {
    /// Whether a capability starts at this offset.
    fn has_header(&self, offset: u16) -> bool {
        self.standard.iter().any(|c| c.0 == offset) || self.extended.iter().any(|c| c.0 == offset)
    }
}

/// The offset of the first capability with this ID.
fn first(layout: &Layout, id: CapabilityId) -> Option<u16> {
    layout.standard.iter().find(|(_, other)| *other == id.0).map(|(offset, _)| *offset)
}

fn words(random: &mut Random, count: u32) -> u16 {
    u16::try_from(random.below(count)).unwrap() * 4
}

/// A device of random capabilities at random places, sound or not, every bit of them read-write.
fn device(random: &mut Random) -> (Device, Layout) {
    let mut layout = Layout { standard: Vec::new(), extended: Vec::new(), tables: Vec::new() };
    let mut device = Device::endpoint(0x8086, 0x1521)
        .with_command(u16::try_from(random.bits32() & 0xffff).unwrap())
        .with_bar32(0, HOST_BAR0, SIZES[0])
        .with_io(1, 0xc000, SIZES[1])
        .with_bar64(2, 0x40_0000_0000, SIZES[2].into())
        .with_rom(0xfd00_0000, 0x2000);
    for offset in (0x08..0x1000).step_by(4).filter(|at| !(0x10..0x34).contains(at)) {
        device.set(offset, Width::Dword, random.bits32());
        device.allow(offset, Width::Dword, u32::MAX);
    }
    device.set(0x0e, Width::Byte, random.below(2) << 7);
    device.set(0x34, Width::Byte, 0);
    device.allow(COMMAND, Width::Word, 0xffff);
    let mut offset = 0x40 + words(random, 4);
    while offset < 0xf0 {
        let id = random.pick(&[
            0x01, 0x03, 0x05, 0x05, 0x07, 0x09, 0x09, 0x0d, 0x10, 0x11, 0x11, 0x12, 0x13, 0x14, 0x77,
        ]);
        let mut body = [random.bits(), random.bits(), random.bits()].map(u64::to_le_bytes).concat();
        match id {
            // A number of vectors that there is.
            0x05 => body[0] = body[0] & 0xf1 | random.pick(&[0, 2, 4, 6, 8, 10]),
            0x09 => body[0] = u8::try_from(words(random, 6)).unwrap(),
            0x10 => body[0] = random.pick(&[0x01, 0x02, 0x42, 0x92]),
            0x11 => {
                body[..2].copy_from_slice(&[3, 0]);
                body[2..10].copy_from_slice(&[0, 0x10, 0, 0, 0, 0x30, 0, 0]);
                if random.one_in(4) {
                    body[2..10].copy_from_slice(&random.bits().to_le_bytes());
                }
            }
            _ => {}
        }
        body.truncate((0xfe - usize::from(offset)).min(22));
        let mut sound = body.len() >= 10;
        sound &= body.get(2..10) == Some(&[0, 0x10, 0, 0, 0, 0x30, 0, 0]);
        if id == 0x11 && sound {
            let start = u64::from(HOST_BAR0);
            layout.tables = vec![start + 0x1000..start + 0x1040, start + 0x3000..start + 0x3008];
        }
        // CAST: below 0x100.
        device = device.with_capability(offset as u8, id, &body);
        if id == 0x11 {
            // The number of its vectors is not the hypervisor's to keep.
            device.allow(offset + 2, Width::Word, 0xc000);
        }
        layout.standard.push((offset, id));
        offset += random.pick(&[8, 8, 0x0c, 0x10, 0x18, 0x3c]) + words(random, 3);
    }
    let mut offset = 0x100;
    while offset < 0xfc0 {
        let id = u16::try_from(1 + random.below(0x3c)).unwrap();
        let id = if random.one_in(4) { random.pick(&[0x01, 0x0b, 0x23]) } else { id };
        device = device.with_extended(offset, id, 4, 0);
        if matches!(id, 0x0b | 0x23) {
            device.set(
                offset + 4,
                Width::Dword,
                random.pick(&[0, 8, 0x10, 0x20]) << 20 | random.below(0x10_0000),
            );
        }
        layout.extended.push((offset, id));
        offset += random.pick(&[8, 0x10, 0x2c, 0x40, 0x80]) + words(random, 8);
    }
    (device, layout)
}

fn rules(random: &mut Random, layout: &Layout) -> Vec<Rule> {
    let count = random.below(4);
    let one = |_| {
        let scope = match random.below(4) {
            0 => Scope::Bytes,
            1 => Scope::Standard(CapabilityId(0x09)),
            2 => Scope::Extended(ExtendedId(random.pick(&[0x0b, 0x23]))),
            _ => Scope::Standard(CapabilityId(random.pick(&layout.standard).1)),
        };
        let (start, end) = if scope == Scope::Bytes { (0, 0x3f0) } else { (0, 8) };
        let read = random.bits32() | random.bits32();
        let write = if random.one_in(3) { 0 } else { read & random.bits32() };
        Rule {
            vendor: random.pick(&[0x8086, 0xffff, 0x8086, 0x1234]),
            device: 0xffff,
            class_mask: 0,
            class_value: 0,
            scope: scope.raw(),
            offset: start + words(random, end),
            length: 4 + words(random, 6),
            key_offset: 0,
            zero: 0,
            key_mask: 0,
            key_value: 0,
            read,
            write,
        }
    };
    (0..count).map(one).collect()
}

/// Bits of each byte of configuration space.
struct Bits(Vec<u8>);

impl Bits {
    fn none() -> Self {
        Self(vec![0; 0x1000])
    }

    fn add(&mut self, offset: u16, mask: u32) {
        for (at, byte) in (usize::from(offset)..0x1000).zip(mask.to_le_bytes()) {
            self.0[at] |= byte;
        }
    }

    fn get(&self, offset: u16, bytes: u32) -> u32 {
        (0..bytes as usize).map(|n| u32::from(self.0[usize::from(offset) + n]) << (8 * n)).sum()
    }

    fn add_fields(&mut self, base: u16, policy: &Policy) {
        let shows = |field: &&Field| field.guest != Treatment::Hidden;
        for field in policy.fields.iter().filter(shows) {
            self.add(base + field.dword(), field.mask());
        }
    }

    /// What rules name, by `mask`.
    fn add_rules(&mut self, layout: &Layout, rules: &[Rule], mask: impl Fn(&Rule) -> u32) {
        for rule in rules.iter().filter(|rule| rule.vendor != 0x1234) {
            let bases: Vec<u16> = match rule.scope().unwrap() {
                Scope::Bytes => vec![0],
                Scope::Standard(id) => layout.standard.iter().filter(|c| c.1 == id.0).map(|c| c.0).collect(),
                Scope::Extended(id) => layout.extended.iter().filter(|c| c.1 == id.0).map(|c| c.0).collect(),
            };
            for base in bases {
                for at in (base + rule.offset..base + rule.offset + rule.length).step_by(4) {
                    // Where the device's lists go, no rule for bytes shows.
                    if rule.scope() != Some(Scope::Bytes) || !layout.has_header(at) {
                        self.add(at, mask(rule));
                    }
                }
            }
        }
    }
}

/// The bits that may show, by the tables' fields and the rules. Where a capability is broken, none of it may.
fn visible(layout: &Layout, rules: &[Rule]) -> Bits {
    let mut bits = Bits::none();
    bits.add_fields(0, &policy::HEADER);
    let named = |scope| rules.iter().any(|rule| rule.scope() == Some(scope));
    for &(offset, id) in &layout.standard {
        let policy = policy::STANDARD.get(usize::from(id));
        let policy = policy.filter(|policy| policy.guest == Visibility::Shown);
        if policy.is_some() || named(Scope::Standard(CapabilityId(id))) {
            bits.add(offset, 0xffff);
        }
        if let Some(policy) = policy {
            bits.add_fields(offset, policy);
        }
    }
    for &(offset, id) in &layout.extended {
        let policy = policy::EXTENDED.get(usize::from(id));
        let policy = policy.filter(|policy| policy.guest == Visibility::Shown);
        if policy.is_some() || named(Scope::Extended(ExtendedId(id))) || offset == 0x100 {
            bits.add(offset, u32::MAX);
        }
        if let Some(policy) = policy {
            bits.add_fields(offset, policy);
        }
    }
    bits.add_rules(layout, rules, |rule| rule.read);
    bits
}

/// No rule that was taken shows bytes of a capability below the floor, or writes into one that is not a vendor's.
fn check_rules(layout: &Layout, rules: &[Rule], at: &str) {
    let standard = layout.standard.iter().map(|(offset, id)| (*offset, Scope::Standard(CapabilityId(*id))));
    let extended = layout.extended.iter().map(|(offset, id)| (*offset, Scope::Extended(ExtendedId(*id))));
    for (offset, scope) in standard.chain(extended) {
        for rule in rules {
            let names = match rule.scope().unwrap() {
                Scope::Bytes => (rule.offset..rule.offset + rule.length).contains(&offset),
                named => named == scope,
            };
            let good = !scope.is_floor() && (rule.write == 0 || scope.allows_write());
            assert!(good || !names, "{at}: {rule:x?} for {scope:x?} at {offset:#x}");
        }
    }
}

/// The bits that a guest may change in the device.
fn writable(layout: &Layout, rules: &[Rule]) -> Bits {
    let mut bits = Bits::none();
    bits.add(COMMAND, 0x0004);
    for (id, mask) in [(CapabilityId::MSI, 0x0071), (CapabilityId::MSIX, 0xc000)] {
        if let Some(offset) = first(layout, id) {
            bits.add(offset + 2, mask);
        }
        // Of a broken one, the next counts.
        for &(offset, other) in &layout.standard {
            bits.add(offset + 2, if other == id.0 { mask } else { 0 });
        }
    }
    bits.add_rules(layout, rules, |rule| rule.write);
    bits
}

/// No bit shows but those in `visible`, at any width.
fn check_reads(guest: &mut Guest, visible: &Bits, at: &str) {
    for bytes in [1u32, 2, 4] {
        for offset in (0..0x1000u16).step_by(bytes as usize) {
            let leak = guest.read(offset, bytes) & !visible.get(offset, bytes);
            assert_eq!(leak, 0, "{at}: {bytes} bytes at {offset:#x}");
        }
    }
}

/// What happened since the last check changed nothing in the device but bits in `writable`.
fn check_events(guest: &Guest, before: &mut Device, layout: &Layout, writable: &Bits, at: &str) {
    let own = u64::from(HOST_BAR0)..u64::from(HOST_BAR0 + SIZES[0]);
    for event in guest.machine.host.take_events() {
        match event {
            Event::Write(offset, width, value) => {
                let bytes = u32::from(width.bytes());
                let mask = writable.get(offset, bytes);
                assert_ne!(mask, 0, "{at}: {event:x?} is nothing of the guest's");
                let mut kept = !mask;
                // Reserved bits of MSI's control, and those of extended data, are written as 0.
                if layout.standard.iter().any(|c| c.1 == 0x05 && c.0 + 2 == offset) && bytes == 2 {
                    kept &= !0xfe00 | value;
                }
                let changed = before.get(offset, width) ^ value;
                assert_eq!(changed & kept & u32::MAX >> (32 - 8 * bytes), 0, "{at}: {event:x?}");
                before.write(offset, width, value);
            }
            Event::MmioWrite(_, address, bytes, _) => {
                let touched = address..address + u64::from(bytes);
                assert!(own.contains(&touched.start) && touched.end <= own.end, "{at}: {event:x?}");
                let table = |table: &Range<u64>| table.start < touched.end && touched.start < table.end;
                assert!(!layout.tables.iter().any(table), "{at}: {event:x?}");
            }
            _ => {}
        }
    }
    let p2m = guest.machine.host.p2m();
    for frame in p2m.frames() {
        let place = PAGES.iter().find(|(guest, _, count)| (*guest..guest + count).contains(&frame));
        let (first, host, _) = place.unwrap_or_else(|| panic!("{at}: frame {frame:#x}"));
        assert_eq!(p2m.get(frame), Some(frame - first + host), "{at}");
    }
}

fn act(guest: &mut Guest, random: &mut Random, layout: &Layout) {
    let bytes = random.pick(&[1u16, 2, 4]);
    let offset = match random.below(6) {
        0 => random.pick(&[0x04, 0x04, 0x05, 0x06, 0x10, 0x14, 0x18, 0x1c, 0x30, 0x34, 0x3c]),
        1 | 2 => random.pick(&layout.standard).0 + words(random, 6),
        3 => random.pick(&layout.extended).0 + words(random, 12),
        4 => words(random, 0x40),
        _ => words(random, 0x400),
    };
    let offset = (offset + u16::try_from(random.below(4)).unwrap()) & !(bytes - 1);
    let value = match random.below(4) {
        0 => u32::MAX,
        1 => 1 << random.below(32),
        _ => random.bits32(),
    };
    let value = if random.one_in(8) { 0xfee0_1000 | value & 0xff } else { value };
    let value = value & u32::MAX >> (32 - 8 * u32::from(bytes));
    guest.machine.start_write(0, offset.min(0x1000 - bytes), bytes.into(), value);
    if random.one_in(3) && guest.machine.step(0) == Progress::Done {
        let address = BAR0 + u64::from(random.pick(&[0x1000, 0x1000, 0x3000, 0x1fc0]) + random.below(0x48));
        let wide = random.pick(&[1, 2, 4, 8]);
        guest.machine.mmio_write(address, wide, u64::from(value) << 32 | 0xfee0_0000);
        guest.machine.mmio_read(address, wide);
    }
}

#[test]
fn no_write_leaves_the_masks_and_no_hidden_bit_shows() {
    let mut with_rules = 0;
    for seed in 1..=DEVICES {
        let mut random = Random::new(seed);
        let (device, layout) = device(&mut random);
        let mut rules = rules(&mut random, &layout);
        let given =
            |rules: &[Rule]| Guest::given(device.clone(), GuestInfo { bars: BARS, rules, ..GuestInfo::NONE });
        let mut guest = given(&rules).unwrap_or_else(|_| {
            rules.clear();
            given(&[]).expect("nothing is against it")
        });
        check_rules(&layout, &rules, &format!("seed {seed}"));
        with_rules += usize::from(!rules.is_empty());
        let (visible, writable) = (visible(&layout, &rules), writable(&layout, &rules));
        guest.machine.host.set_preempt(random.pick(&[Preempt::Always, Preempt::Never]));
        let bars: Vec<u32> = (0x10..0x34).step_by(4).map(|at| guest.device().get(at, Width::Dword)).collect();
        check_reads(&mut guest, &visible, &format!("seed {seed}, at first"));
        let mut before = guest.device().clone();
        for n in 0..WRITES {
            act(&mut guest, &mut random, &layout);
            let at = format!("seed {seed}, write {n}");
            check_events(&guest, &mut before, &layout, &writable, &at);
        }
        assert_eq!(before.command() & !4, guest.device().command() & !4);
        guest.machine.settle(0);
        check_reads(&mut guest, &visible, &format!("seed {seed}, at last"));
        guest.machine.detach(0);
        assert!(guest.machine.host.holds_nothing(), "seed {seed}");
        let after: Vec<u32> =
            (0x10..0x34).step_by(4).map(|at| guest.device().get(at, Width::Dword)).collect();
        assert_eq!(after[..6], bars[..6], "seed {seed}");
    }
    assert!(with_rules > 50, "{with_rules} with rules");
}
