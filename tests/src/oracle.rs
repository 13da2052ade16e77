//! What a guest shall have of a device, bit by bit, straight from the rows of the policy.
//!
//! It is written apart from the engine and its folded tables: slow, without registers, one bit after another. What it
//! needs of the device it reads from the bytes of a dump.

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::rule::{KNOWN, Scope};
use capabilities::policy::{
    Act, EXTENDED, Field, HEADER, Length, Policy, Rule, STANDARD, Treatment, Visibility,
};
use capabilities::{Width, msi, msix};

use crate::device::Device;
use crate::given::{Bar, Kind, Terms};

const BYTES: usize = 0x1000;

/// How a bit is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// No row has it: it reads 0.
    Absent,
    /// By a row of the tables. [`Treatment::Hidden`] reads 0.
    By(Treatment),
    /// A rule shows it: it is the device's.
    Rule {
        /// Whether a guest writes it to the device.
        write: bool,
    },
}

impl Served {
    /// Whether it is read from the device each time.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::By(Treatment::Live) | Self::Rule { .. })
    }
}

/// What a block of registers is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The header.
    Header,
    /// A standard capability.
    Standard(u8),
    /// An extended capability.
    Extended(u16),
    /// Bytes that no capability owns, and a rule shows.
    Bytes,
}

/// Why a guest has a block of registers, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The tables show it.
    Shown,
    /// A rule shows it, or some of it.
    ByRule,
    /// The tables show it, where it was asked for: it was.
    Requested,
    /// The tables hide it.
    Hidden,
    /// The tables show it where it is asked for, and it was not.
    NotRequested,
    /// The first capability with this ID counts.
    Second,
    /// Its index and data pair reaches all registers of the controller.
    Inline,
    /// It leaves its space or overlaps another block.
    Overlap,
    /// The MSI-X table or PBA is not inside a memory BAR.
    Broken,
}

impl Verdict {
    /// Whether the guest has it.
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Shown | Self::ByRule | Self::Requested)
    }
}

/// The header or a capability of the device, in the order of its lists.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it is.
    pub place: Place,
    /// Where it starts.
    pub offset: u16,
    /// Its length in bytes; of one that is hidden, 0 where only the device knows.
    pub length: u16,
    /// Its policy, if there is one.
    pub policy: Option<&'static Policy>,
    /// Whether the guest has it.
    pub verdict: Verdict,
}

/// A row of a table as it is for this device.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The number of its block.
    pub block: usize,
    /// Where it starts.
    pub offset: u16,
    /// Its bits, relative to that byte.
    pub bits: u32,
    /// The row.
    pub field: &'static Field,
}

/// What a guest shall have of one device.
pub struct Oracle {
    /// The header and all capabilities of the device.
    pub blocks: Vec<Block>,
    /// The rows for those that the guest has.
    pub rows: Vec<Row>,
    served: Vec<Served>,
    taken: Vec<bool>,
    expected: Vec<u8>,
    /// The bits that can be set in Pending Bits.
    pending: u32,
}

impl Oracle {
    /// What the guest of `device` shall have, its BARs being `bars`.
    pub fn new(device: &Device, bars: &[Bar], terms: &Terms<'_>) -> Self {
        let mut oracle = Self {
            blocks: Vec::new(),
            rows: Vec::new(),
            served: vec![Served::Absent; BYTES * 8],
            taken: vec![false; BYTES / 4],
            expected: vec![0; BYTES],
            pending: 0,
        };
        let ids = terms.function.map_or_else(|| device.get(0, Width::Dword), |function| function.ids);
        let class = device.get(8, Width::Dword);
        let rules: Vec<Rule> = KNOWN
            .iter()
            .map(|known| known.rule)
            .chain(terms.rules.iter().copied())
            .filter(|rule| is_for(rule, ids, class))
            .collect();
        oracle.add(Block {
            place: Place::Header,
            offset: 0,
            length: 0x40,
            policy: Some(&HEADER),
            verdict: Verdict::Shown,
        });
        oracle.standard(device, bars, terms, &rules);
        oracle.extended(device, &rules);
        oracle.bytes(&rules);
        oracle.fill(device);
        if terms.resettable {
            oracle.resets(device);
        }
        oracle.header(ids, bars);
        oracle.interrupts(device);
        oracle.link();
        oracle
    }

    /// How the bit `bit` (0 to 7) of the byte at `offset` is served.
    pub fn served(&self, offset: u16, bit: u32) -> Served {
        self.served[usize::from(offset) * 8 + bit as usize]
    }

    /// What the guest reads before it has written anything.
    pub fn expected(&self) -> &[u8] {
        &self.expected
    }

    /// The bits of the byte at `offset` of which this is true.
    pub fn mask(&self, offset: u16, is: impl Fn(Served) -> bool) -> u8 {
        (0..8).fold(0, |mask, bit| mask | u8::from(is(self.served(offset, bit))) << bit)
    }

    /// The offset of the capability that the guest has with this ID.
    pub fn find(&self, place: Place) -> Option<u16> {
        let mut shown = self.blocks.iter().filter(|block| block.verdict.is_shown());
        shown.find(|block| block.place == place).map(|block| block.offset)
    }

    fn put(&mut self, offset: u16, bytes: &[u8]) {
        let at = usize::from(offset);
        self.expected[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Notes a block. If the guest has it, its dwords are taken and its rows are in force.
    fn add(&mut self, block: Block) {
        let number = self.blocks.len();
        let Block { place, offset, length, policy, verdict } = block;
        self.blocks.push(block);
        if !verdict.is_shown() {
            if offset != 0x100 {
                self.taken[usize::from(offset) / 4] = true;
            }
            return;
        }
        let end = offset + length.next_multiple_of(4);
        self.taken[usize::from(offset / 4)..usize::from(end / 4)].fill(true);
        // Of what only a rule shows, the list's own bits are there besides: the first rows of any other capability.
        let (fields, count) = match (place, policy) {
            (Place::Bytes, _) => return,
            (_, Some(policy)) if policy.guest != Visibility::Hidden => (policy.fields, usize::MAX),
            (Place::Standard(_) | Place::Header, _) => (STANDARD[0x01].fields, 2),
            (Place::Extended(_), _) => (EXTENDED[0x03].fields, 3),
        };
        for field in fields.iter().take(count).filter(|field| offset + field.offset < end) {
            let at = offset + field.offset;
            self.rows.push(Row { block: number, offset: at, bits: field.bits, field });
            for bit in (0..32).filter(|bit| field.bits >> bit & 1 != 0) {
                self.served[usize::from(at) * 8 + bit] = Served::By(field.guest);
            }
        }
    }

    fn is_free(&self, offset: u16, length: u16, end: u16) -> bool {
        let last = u32::from(offset) + u32::from(length);
        let dwords = usize::from(offset / 4)..last.div_ceil(4) as usize;
        length != 0 && last <= u32::from(end) && dwords.into_iter().all(|dword| !self.taken[dword])
    }

    /// Whether the guest has a capability, and how long it is.
    fn judge(
        &self,
        device: &Device,
        offset: u16,
        policy: Option<&Policy>,
        rules: &[&Rule],
        (requested, end): (bool, u16),
    ) -> (Verdict, u16) {
        let known = policy.map_or(Length::Open, |policy| policy.length).bytes(device, offset);
        let length =
            known.unwrap_or_else(|| rules.iter().map(|rule| rule.offset + rule.length).max().unwrap_or(0));
        let verdict = match policy.map_or(Visibility::Hidden, |policy| policy.guest) {
            Visibility::Shown => Verdict::Shown,
            Visibility::OnRequest if requested => Verdict::Requested,
            _ if !rules.is_empty() => Verdict::ByRule,
            Visibility::OnRequest => return (Verdict::NotRequested, length),
            Visibility::Hidden => return (Verdict::Hidden, length),
        };
        if self.is_free(offset, length, end) { (verdict, length) } else { (Verdict::Overlap, length) }
    }

    fn standard(&mut self, device: &Device, bars: &[Bar], terms: &Terms<'_>, rules: &[Rule]) {
        let mut seen = Vec::new();
        if device.get(6, Width::Word) & 0x10 == 0 {
            return;
        }
        let mut at = device.get(0x34, Width::Byte) & 0xfc;
        while at >= 0x40 && !seen.contains(&at) {
            seen.push(at);
            let offset = at as u16; // CAST: a byte.
            let id = device.get(offset, Width::Byte) as u8; // CAST: a byte.
            if id == 0xff {
                break;
            }
            at = device.get(offset + 1, Width::Byte) & 0xfc;
            let place = Place::Standard(id);
            let mine = matching(rules, Scope::Standard(CapabilityId(id)), device, offset);
            let policy = STANDARD.get(usize::from(id));
            let requested = terms.vpd && id == 0x03;
            let (mut verdict, length) = self.judge(device, offset, policy, &mine, (requested, 0x100));
            let again = matches!(id, 0x05 | 0x11) && self.find(place).is_some();
            let inline = id == 0x12 && offset <= 0xf8 && device.get(offset + 4, Width::Dword) & 0xf == 0xf;
            if again {
                verdict = Verdict::Second;
            } else if inline {
                verdict = Verdict::Inline;
            } else if id == 0x11 && verdict.is_shown() && !msix_fits(device, bars, offset) {
                verdict = Verdict::Broken;
            }
            self.add(Block { place, offset, length, policy, verdict });
            if verdict.is_shown() {
                self.apply(&mine, offset, length, [(0, 0xffff_0000, 0xff00_0000), (4, u32::MAX, u32::MAX)]);
            }
        }
    }

    fn extended(&mut self, device: &Device, rules: &[Rule]) {
        let mut seen = Vec::new();
        let mut at = 0x100;
        while at >= 0x100 && !seen.contains(&at) {
            seen.push(at);
            let header = device.get(at, Width::Dword);
            if header == 0 || header == u32::MAX {
                break;
            }
            let id = header as u16; // CAST: the low word.
            let offset = at;
            at = (header >> 20) as u16 & !3; // CAST: 12 bits.
            let mine = matching(rules, Scope::Extended(ExtendedId(id)), device, offset);
            let policy = EXTENDED.get(usize::from(id));
            let (verdict, length) = self.judge(device, offset, policy, &mine, (false, 0x1000));
            self.add(Block { place: Place::Extended(id), offset, length, policy, verdict });
            if verdict.is_shown() {
                self.apply(&mine, offset, length, [(0, 0, 0), (4, u32::MAX, 0)]);
            }
        }
        self.taken[0x40] = true;
    }

    /// Adds what rules show of a capability: what no row shows. `heads` are the bits of the first two dwords that they
    /// may show, and let be written.
    fn apply(&mut self, rules: &[&Rule], offset: u16, length: u16, heads: [(u16, u32, u32); 2]) {
        for rule in rules {
            for relative in (rule.offset..rule.offset + rule.length).step_by(4) {
                if relative >= length.next_multiple_of(4) {
                    break;
                }
                let head = heads.iter().find(|(at, ..)| *at == relative);
                let (read, write) = head.map_or((u32::MAX, u32::MAX), |(_, read, write)| (*read, *write));
                self.show(offset + relative, rule.read & read, rule.write & write);
            }
        }
    }

    /// A rule shows bits of the dword at `offset`, as far as no row does.
    fn show(&mut self, offset: u16, read: u32, write: u32) {
        for bit in (0..32).filter(|bit| read >> bit & 1 != 0) {
            let served = &mut self.served[usize::from(offset) * 8 + bit];
            let more = write >> bit & 1 != 0;
            match *served {
                Served::Absent | Served::By(Treatment::Hidden | Treatment::Engine(Act::Link)) => {
                    *served = Served::Rule { write: more };
                }
                Served::Rule { write } => *served = Served::Rule { write: write || more },
                Served::By(_) => {}
            }
        }
    }

    /// What rules show of bytes that nothing else has.
    fn bytes(&mut self, rules: &[Rule]) {
        let mut new = Vec::new();
        for rule in rules.iter().filter(|rule| rule.scope() == Some(Scope::Bytes)) {
            for offset in (rule.offset..rule.offset + rule.length).step_by(4) {
                if !self.taken[usize::from(offset / 4)] {
                    self.show(offset, rule.read, rule.write);
                    new.push(offset);
                }
            }
        }
        new.sort_unstable();
        new.dedup();
        for run in new.chunk_by(|a, b| a + 4 == *b) {
            let length = 4 * u16::try_from(run.len()).expect("at most 1024 dwords");
            let (place, verdict) = (Place::Bytes, Verdict::ByRule);
            self.blocks.push(Block { place, offset: run[0], length, policy: None, verdict });
        }
    }

    /// What the bits read that are the device's, and those that are fixed.
    fn fill(&mut self, device: &Device) {
        for offset in 0..0x1000u16 {
            let host = device.get(offset, Width::Byte) as u8; // CAST: a byte.
            let from_device = self.mask(offset, |served| {
                served.is_live()
                    || matches!(served, Served::By(Treatment::Snapshot | Treatment::VirtualSnapshot))
            });
            let ones = self.mask(offset, |served| served == Served::By(Treatment::WithoutReset));
            self.expected[usize::from(offset)] = host & from_device | ones;
        }
    }

    /// How a guest is told that it can have the function reset: as the device says it, but by the way from D3hot to D0
    /// alone if there is nothing else.
    fn resets(&mut self, device: &Device) {
        let initiates = |block: &Block| match block.place {
            Place::Standard(0x10) => device.get(block.offset + 4, Width::Dword) & 1 << 28 != 0,
            Place::Standard(0x13) => device.get(block.offset + 3, Width::Byte) & 3 == 3,
            _ => false,
        };
        let others = self.blocks.iter().any(initiates);
        let told = |block: &Block| match block.place {
            Place::Standard(0x10) if initiates(block) => Some((7, 0x10, 0x10)),
            Place::Standard(0x13) if initiates(block) => Some((3, 0x03, 0x03)),
            Place::Standard(0x01) if !others && device.get(block.offset + 4, Width::Byte) & 8 == 0 => {
                Some((4, 0x08, 0x00))
            }
            _ => None,
        };
        for block in self.blocks.iter().filter(|block| block.verdict.is_shown()) {
            if let Some((register, mask, value)) = told(block) {
                let byte = &mut self.expected[usize::from(block.offset) + register];
                *byte = *byte & !mask | value;
            }
        }
    }

    /// The IDs, and the BARs where they were put.
    fn header(&mut self, ids: u32, bars: &[Bar]) {
        self.put(0, &ids.to_le_bytes());
        for bar in bars {
            let kind = match bar.kind {
                Kind::Io => 1,
                Kind::Memory32 => 0,
                Kind::Memory64 => 4,
                Kind::Rom => {
                    self.put(0x30, &bar.guest.to_le_bytes()[..4]);
                    continue;
                }
            };
            let value = bar.guest | kind | if bar.prefetchable { 8 } else { 0 };
            let offset = 0x10 + 4 * u16::try_from(bar.number).expect("a BAR");
            let bytes = if bar.kind == Kind::Memory64 { 8 } else { 4 };
            self.put(offset, &value.to_le_bytes()[..bytes]);
        }
    }

    /// What the hypervisor makes up of MSI and MSI-X.
    fn interrupts(&mut self, device: &Device) {
        if let Some(at) = self.find(Place::Standard(0x11)) {
            // CAST: a word.
            let control = device.get(at + msix::CONTROL, Width::Word) as u16 & msix::TABLE_SIZE;
            self.put(at + msix::CONTROL, &control.to_le_bytes());
        }
        let Some(at) = self.find(Place::Standard(0x05)) else { return };
        let control = device.get(at + msi::CONTROL, Width::Word) as u16; // CAST: a word.
        let capable = (control >> 1 & 7).min(5);
        self.put(at + msi::CONTROL, &(control & 0x0180 | capable << 1).to_le_bytes());
        // Data is a word, and behind it there is nothing.
        let data = at + if control & 0x80 == 0 { 8 } else { 12 };
        self.hide(data + 2, 16, u32::MAX);
        if control & 0x100 != 0 {
            let pending = data + 8;
            self.pending = u32::MAX >> (32 - (1u32 << capable));
            let value = device.get(pending, Width::Dword) & self.pending;
            self.hide(pending, 32, !self.pending);
            for bit in (0..32).filter(|bit| self.pending >> bit & 1 != 0) {
                self.served[usize::from(pending) * 8 + bit] = Served::By(Treatment::Live);
            }
            self.put(pending, &value.to_le_bytes());
        }
    }

    fn hide(&mut self, offset: u16, bits: usize, mask: u32) {
        for bit in (0..bits).filter(|bit| mask >> bit & 1 != 0) {
            self.served[usize::from(offset) * 8 + bit] = Served::By(Treatment::Hidden);
        }
    }

    /// The lists, linked anew.
    fn link(&mut self) {
        let shown = |standard: bool| {
            self.blocks
                .iter()
                .filter(|block| block.verdict.is_shown())
                .filter(|block| match block.place {
                    Place::Standard(_) => standard,
                    Place::Extended(_) => !standard,
                    Place::Header | Place::Bytes => false,
                })
                .map(|block| block.offset)
                .collect::<Vec<u16>>()
        };
        let (standard, extended) = (shown(true), shown(false));
        let mut pointer = 0x34;
        for offset in &standard {
            self.expected[6] |= 0x10;
            self.put(pointer, &offset.to_le_bytes()[..1]);
            pointer = offset + 1;
        }
        let mut previous = 0x100;
        for offset in extended {
            if offset != 0x100 {
                let low = self.expected[usize::from(previous) + 2] & 0x0f;
                let [first, second] = (offset << 4).to_le_bytes();
                self.put(previous + 2, &[low | first, second]);
            }
            previous = offset;
        }
    }
}

/// Whether a rule is for a function.
fn is_for(rule: &Rule, ids: u32, class: u32) -> bool {
    let is = |wanted: u16, id: u32| wanted == 0xffff || u32::from(wanted) == id;
    is(rule.vendor, ids & 0xffff) && is(rule.device, ids >> 16) && class & rule.class_mask == rule.class_value
}

/// The rules for the capability at `offset`.
fn matching<'r>(rules: &'r [Rule], scope: Scope, device: &Device, offset: u16) -> Vec<&'r Rule> {
    let is_key = |rule: &Rule| {
        let at = offset + rule.key_offset;
        rule.key_mask == 0 || at < 0x1000 && device.get(at, Width::Dword) & rule.key_mask == rule.key_value
    };
    rules.iter().filter(|rule| rule.scope() == Some(scope) && is_key(rule)).collect()
}

/// Whether the MSI-X table and PBA are inside memory BARs.
fn msix_fits(device: &Device, bars: &[Bar], offset: u16) -> bool {
    let entries = u64::from(device.get(offset + msix::CONTROL, Width::Word) & 0x7ff) + 1;
    let fits = |register: u16, size: u64| {
        let value = device.get(offset + register, Width::Dword);
        let in_it = |bar: &&Bar| bar.number == (value & 7) as usize;
        let bar = bars.iter().filter(|bar| matches!(bar.kind, Kind::Memory32 | Kind::Memory64)).find(in_it);
        bar.is_some_and(|bar| u64::from(value & !7) + size <= bar.size)
    };
    fits(msix::TABLE, entries * 16) && fits(msix::PBA, entries.div_ceil(64) * 8)
}
