//! A host whose devices lie and whose calls fail, as the input says. It counts the calls and checks each.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use capabilities::header::{COMMAND, Command};
use capabilities::{Access, Sbdf, Width};
use tests::device::Device;
use tests::host::FakeHost;
use tests::pirqs::Pirqs;
use vpci::{Host, HostError, Message, Pages, Pirq};

use super::frames::Frames;

/// The first frame that the processor cannot address.
const END: u64 = 1 << 36;
/// The frames below this one are a guest's memory.
const MEMORY_END: u64 = 0x8000;

/// What a device answers instead of the truth.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Lie {
    /// How many reads are answered truly before.
    after: u8,
    value: u32,
}

/// A configuration access of the library, with the value that it read or wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Traffic {
    Read(u16, Width, u32),
    Write(u16, Width, u32),
}

/// Frames that a guest may have, moved by `distance` from the host's: the pages of a BAR.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// In the guest.
    pub(crate) pages: Pages,
    /// What is added to a guest's frame to get the host's.
    pub(crate) distance: u64,
    /// Whether the BAR does not fill its page.
    pub(crate) small: bool,
}

/// A host address and the number of bytes from there on.
pub(crate) type Bytes = (u64, u64);

/// Calls of the library, by what they cost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub(crate) config_reads: u32,
    pub(crate) config_writes: u32,
    pub(crate) p2m: u32,
    pub(crate) interrupts: u32,
    pub(crate) mmio: u32,
}

impl Counts {
    pub(crate) const fn config(self) -> u32 {
        self.config_reads + self.config_writes
    }
}

pub(crate) struct HostileHost {
    /// PIRQs and device memory.
    inner: FakeHost,
    devices: RefCell<BTreeMap<u32, Device>>,
    /// Whether a device answers memory accesses: as was last written to COMMAND, or else first read.
    decoding: RefCell<BTreeMap<u32, bool>>,
    lies: RefCell<Vec<Lie>>,
    failures: RefCell<Vec<u8>>,
    mapped: RefCell<Frames>,
    /// Likewise, by how far the host's frames are from the guest's.
    moved: RefCell<BTreeMap<u64, Frames>>,
    /// What may be mapped where the domain is a guest.
    ranges: RefCell<Option<Vec<Range>>>,
    traffic: RefCell<Vec<Traffic>>,
    /// Frames that the host refused to unmap.
    stuck: RefCell<Frames>,
    /// Frames made holes and not mapped since.
    holes: RefCell<Frames>,
    reserved: Option<Pages>,
    /// The frames that device memory may be reached in.
    reachable: RefCell<Frames>,
    /// The host addresses, and behind them the lengths, of what a guest may reach; and what of that it may not: the MSI-X
    /// table.
    bytes: RefCell<Option<(Vec<Bytes>, Vec<Bytes>)>>,
    chunk: u64,
    pause: u8,
    chances: Cell<u32>,
    counts: Cell<Counts>,
}

impl HostileHost {
    /// Lies and failures happen in the order given; each failure is the number of calls that do not fail before it.
    pub(crate) fn new(lies: &[Lie], failures: &[u8], reserved: Option<Pages>, chunk: u8, pause: u8) -> Self {
        Self {
            inner: FakeHost::default(),
            devices: RefCell::default(),
            decoding: RefCell::default(),
            lies: RefCell::new(lies.iter().rev().copied().collect()),
            failures: RefCell::new(failures.iter().rev().copied().collect()),
            mapped: RefCell::default(),
            moved: RefCell::default(),
            ranges: RefCell::default(),
            traffic: RefCell::default(),
            stuck: RefCell::default(),
            holes: RefCell::default(),
            reserved,
            reachable: RefCell::default(),
            bytes: RefCell::default(),
            chunk: u64::from(chunk),
            pause,
            chances: Cell::new(0),
            counts: Cell::default(),
        }
    }

    pub(crate) fn plug(&self, sbdf: Sbdf, device: Device) {
        self.devices.borrow_mut().insert(sbdf.0, device);
    }

    pub(crate) fn pull(&self, sbdf: Sbdf) {
        self.devices.borrow_mut().remove(&sbdf.0);
    }

    /// The device changes a register of its own accord.
    pub(crate) fn change(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        if let Some(device) = self.devices.borrow_mut().get_mut(&sbdf.0) {
            device.set(offset, width, value);
        }
    }

    /// The registers of a device that is there.
    pub(crate) fn registers(&self, sbdf: Sbdf) -> Option<Vec<u32>> {
        let devices = self.devices.borrow();
        let device = devices.get(&sbdf.0)?;
        Some((0..0x1000).step_by(4).map(|offset| device.get(offset, Width::Dword)).collect())
    }

    pub(crate) fn lies_left(&self) -> usize {
        self.lies.borrow().len()
    }

    /// The failures that are still to come.
    pub(crate) fn failures_left(&self) -> usize {
        self.failures.borrow().len()
    }

    pub(crate) fn take_counts(&self) -> Counts {
        self.inner.take_events();
        self.counts.take()
    }

    /// The configuration accesses since this was last called.
    pub(crate) fn take_traffic(&self) -> Vec<Traffic> {
        self.traffic.take()
    }

    /// The domain is a guest that may have these frames.
    pub(crate) fn set_ranges(&self, ranges: Vec<Range>) {
        self.ranges.replace(Some(ranges));
    }

    /// Whether a guest frame is its memory.
    fn is_memory(pages: Pages) -> bool {
        pages.first < MEMORY_END
    }

    /// The host's frames that are mapped, by how far they are from the guest's.
    pub(crate) fn moved(&self) -> Ref<'_, BTreeMap<u64, Frames>> {
        self.moved.borrow()
    }

    /// Whether another function has a BAR in this host frame.
    pub(crate) const fn has_neighbour(host: u64) -> bool {
        host % 8 == 5
    }

    /// Checks that a guest's frames are those of a BAR that may be there.
    fn check_range(&self, guest: Pages, distance: u64) {
        let ranges = self.ranges.borrow();
        let Some(ranges) = ranges.as_ref() else {
            assert_eq!(distance, 0, "the hardware domain is mapped one to one");
            return;
        };
        let holds = |range: &&Range| {
            range.distance == distance && range.pages.first <= guest.first && guest.last <= range.pages.last
        };
        let mut of: Vec<&Range> = ranges.iter().filter(holds).collect();
        assert!(!of.is_empty(), "{guest:x?} is of no BAR that is {distance:#x} away: {ranges:x?}");
        of.retain(|range| !range.small || !Self::has_neighbour(guest.first.wrapping_add(distance)));
        assert!(!of.is_empty(), "{guest:x?} is a page that others have BARs in");
    }

    pub(crate) fn forget_decoding(&self, sbdf: Sbdf) {
        self.decoding.borrow_mut().remove(&sbdf.0);
    }

    pub(crate) fn is_decoding(&self, sbdf: Sbdf) -> bool {
        self.decoding.borrow().get(&sbdf.0) == Some(&true)
    }

    pub(crate) fn mapped(&self) -> Ref<'_, Frames> {
        self.mapped.borrow()
    }

    pub(crate) fn stuck(&self) -> Ref<'_, Frames> {
        self.stuck.borrow()
    }

    pub(crate) fn holes(&self) -> Ref<'_, Frames> {
        self.holes.borrow()
    }

    pub(crate) fn pirqs(&self) -> Ref<'_, Pirqs> {
        self.inner.pirqs()
    }

    pub(crate) const fn reserved(&self) -> Option<Pages> {
        self.reserved
    }

    pub(crate) fn set_reachable(&self, frames: Frames) {
        self.reachable.replace(frames);
    }

    /// A guest may reach `bytes` of device memory, but not `table`.
    pub(crate) fn set_bytes(&self, bytes: Vec<Bytes>, table: Vec<Bytes>) {
        self.bytes.replace(Some((bytes, table)));
    }

    pub(crate) fn fail_nothing(&self) {
        self.failures.borrow_mut().clear();
    }

    fn count(&self, add: impl Fn(&mut Counts)) {
        let mut counts = self.counts.get();
        add(&mut counts);
        self.counts.set(counts);
    }

    /// Whether this call is to fail.
    fn fails(&self) -> bool {
        let mut failures = self.failures.borrow_mut();
        match failures.last_mut() {
            Some(0) => failures.pop().is_some(),
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn lie(&self) -> Option<u32> {
        let mut lies = self.lies.borrow_mut();
        match lies.last_mut() {
            Some(Lie { after: 0, .. }) => lies.pop().map(|lie| lie.value),
            Some(Lie { after, .. }) => {
                *after -= 1;
                None
            }
            None => None,
        }
    }

    /// As much of `pages` as one call does. A range of any size is done in few calls.
    fn part(&self, pages: Pages) -> Pages {
        let chunk = if self.chunk == 0 { u64::MAX } else { self.chunk.max(pages.count() / 2) };
        Pages { last: pages.last.min(pages.first.saturating_add(chunk - 1)), ..pages }
    }

    fn check_mmio(&self, slot: u8, frame: u64, offset: u16, bytes: u8) {
        assert!(slot < 4 && matches!(bytes, 1 | 2 | 4 | 8) && offset < 0x1000);
        assert!(offset.is_multiple_of(u16::from(bytes)), "{bytes} bytes at {offset:#x} of a frame");
        let reachable = self.reachable.borrow().first_in(Pages { first: frame, last: frame });
        assert!(reachable.is_some(), "frame {frame:#x} is in no BAR of the function");
        if let Some((all, table)) = self.bytes.borrow().as_ref() {
            let (first, last) =
                (frame << 12 | u64::from(offset), frame << 12 | u64::from(offset + u16::from(bytes) - 1));
            let has = |(start, length): &Bytes, at: u64| at >= *start && at - start < *length;
            for at in first..=last {
                assert!(all.iter().any(|range| has(range, at)), "{at:#x} is in no BAR of the function");
                assert!(!table.iter().any(|range| has(range, at)), "{at:#x} is in the MSI-X table");
            }
        }
        self.count(|counts| counts.mmio += 1);
    }
}

impl Host for HostileHost {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        let access = Access::new(u32::from(offset), u32::from(width.bytes())).expect("a legal access");
        self.count(|counts| counts.config_reads += 1);
        let truth = || self.devices.borrow().get(&sbdf.0).map(|device| device.get(offset, width));
        let value = self.lie().or_else(truth).unwrap_or(u32::MAX) & access.value_mask();
        if offset == COMMAND && width == Width::Word {
            let memory = value & u32::from(Command::MEMORY.bits()) != 0;
            self.decoding.borrow_mut().entry(sbdf.0).or_insert(memory);
        }
        self.traffic.borrow_mut().push(Traffic::Read(offset, width, value));
        value
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        let access = Access::new(u32::from(offset), u32::from(width.bytes())).expect("a legal access");
        assert_eq!(value & !access.value_mask(), 0, "{value:#x} is wider than {width:?}");
        self.count(|counts| counts.config_writes += 1);
        self.traffic.borrow_mut().push(Traffic::Write(offset, width, value));
        if offset <= COMMAND && COMMAND < offset + u16::from(width.bytes()) {
            assert_eq!((offset, width), (COMMAND, Width::Word), "COMMAND is written in part");
            let memory = value & u32::from(Command::MEMORY.bits()) != 0;
            self.decoding.borrow_mut().insert(sbdf.0, memory);
        }
        if let Some(device) = self.devices.borrow_mut().get_mut(&sbdf.0) {
            device.write(offset, width, value);
        }
    }

    fn map(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        assert!(guest.first <= guest.last, "a range that ends before it starts: {guest:x?}");
        let distance = host.wrapping_sub(guest.first);
        self.check_range(guest, distance);
        self.count(|counts| counts.p2m += 1);
        if self.fails() || guest.first >= END {
            return Err(HostError);
        }
        let part = self.part(Pages { last: guest.last.min(END - 1), ..guest });
        let hosts = Pages { first: host, last: part.last.wrapping_add(distance) };
        let reserved = self.reserved.is_some_and(|reserved| reserved.overlaps(hosts));
        assert!(!reserved, "{part:x?} holds frames that are the host's own");
        if self.ranges.borrow().is_some() {
            assert!(!Self::is_memory(part), "a BAR is mapped over memory: {part:x?}");
        }
        let mut moved = self.moved.borrow_mut();
        if moved.iter().any(|(other, frames)| *other != distance && frames.first_in(part).is_some()) {
            return Err(HostError);
        }
        moved.entry(distance).or_default().insert(part);
        self.mapped.borrow_mut().insert(part);
        self.holes.borrow_mut().remove(part);
        self.stuck.borrow_mut().remove(part);
        Ok(part.count())
    }

    fn unmap(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        assert!(guest.first <= guest.last, "a range that ends before it starts: {guest:x?}");
        let distance = host.wrapping_sub(guest.first);
        self.check_range(guest, distance);
        self.count(|counts| counts.p2m += 1);
        if self.fails() {
            let first = Pages { last: guest.first, ..guest };
            if self.mapped.borrow().first_in(first).is_some() {
                self.stuck.borrow_mut().insert(first);
            }
            return Err(HostError);
        }
        let part = self.part(guest);
        let mut moved = self.moved.borrow_mut();
        let other =
            moved.iter().find(|(other, frames)| **other != distance && frames.first_in(part).is_some());
        assert!(other.is_none(), "{part:x?} is unmapped, but is mapped otherwise: {other:x?}");
        moved.entry(distance).or_default().remove(part);
        self.mapped.borrow_mut().remove(part);
        self.stuck.borrow_mut().remove(part);
        Ok(part.count())
    }

    fn make_hole(&self, guest: u64) -> Result<(), HostError> {
        self.count(|counts| counts.p2m += 1);
        if self.fails() {
            return Err(HostError);
        }
        let page = Pages { first: guest, last: guest };
        self.moved.borrow_mut().values_mut().for_each(|frames| frames.remove(page));
        self.mapped.borrow_mut().remove(page);
        self.stuck.borrow_mut().remove(page);
        self.holes.borrow_mut().insert(page);
        Ok(())
    }

    fn next_reserved(&self, range: Pages) -> Option<Pages> {
        let reserved = self.reserved.filter(|reserved| reserved.overlaps(range))?;
        Some(Pages { first: reserved.first.max(range.first), last: reserved.last.min(range.last) })
    }

    fn may_place(&self, guest: Pages) -> bool {
        assert!(guest.first <= guest.last, "a range that ends before it starts: {guest:x?}");
        !self.fails() && !Self::is_memory(guest) && self.mapped.borrow().first_in(guest).is_none()
    }

    fn vpd_read(&self, address: u16) -> u32 {
        assert!(address < 0x8000 && address.is_multiple_of(4), "vital product data at {address:#x}");
        u32::from(address) | 0x5650_0000
    }

    fn is_shared(&self, _sbdf: Sbdf, host: u64) -> bool {
        Self::has_neighbour(host)
    }

    fn preempt(&self) -> bool {
        let chances = self.chances.get().wrapping_add(1);
        self.chances.set(chances);
        self.pause != 0 && chances.is_multiple_of(u32::from(self.pause))
    }

    fn map_msi(&self, vectors: u8) -> Result<Pirq, HostError> {
        self.count(|counts| counts.interrupts += 1);
        if self.fails() { Err(HostError) } else { self.inner.map_msi(vectors) }
    }

    fn map_msix(&self, entry: u16, table: u64) -> Result<Pirq, HostError> {
        self.count(|counts| counts.interrupts += 1);
        if self.fails() { Err(HostError) } else { self.inner.map_msix(entry, table) }
    }

    fn unmap_pirq(&self, pirq: Pirq) {
        self.count(|counts| counts.interrupts += 1);
        self.inner.unmap_pirq(pirq);
    }

    fn bind(&self, pirq: Pirq, vectors: u8, message: Message, mask: u32) -> Result<(), HostError> {
        self.count(|counts| counts.interrupts += 1);
        if self.fails() { Err(HostError) } else { self.inner.bind(pirq, vectors, message, mask) }
    }

    fn unbind(&self, pirq: Pirq, vectors: u8) {
        self.count(|counts| counts.interrupts += 1);
        self.inner.unbind(pirq, vectors);
    }

    fn mask(&self, pirq: Pirq, index: u8, masked: bool) {
        self.count(|counts| counts.interrupts += 1);
        self.inner.mask(pirq, index, masked);
    }

    fn filter_msix_control(&self, _offset: u16, value: u16) -> Option<u16> {
        (!self.fails()).then_some(value)
    }

    fn mmio_read(&self, slot: u8, frame: u64, offset: u16, bytes: u8) -> Option<u64> {
        self.check_mmio(slot, frame, offset, bytes);
        if self.fails() { None } else { self.inner.mmio_read(slot, frame, offset, bytes) }
    }

    fn mmio_write(&self, slot: u8, frame: u64, offset: u16, bytes: u8, value: u64) {
        self.check_mmio(slot, frame, offset, bytes);
        self.inner.mmio_write(slot, frame, offset, bytes, value);
    }
}
