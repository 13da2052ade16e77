//! The host as the library sees it, with what it did on the library's behalf and with failures on demand.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use capabilities::{Access, Sbdf, Width};
use vpci::{Host, HostError, Message, Pages, Pirq};

use crate::device::Device;
use crate::p2m::P2m;
use crate::pirqs::{Pirqs, Purpose};
use crate::random::Random;

/// What the library asks for that a host may refuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Host`")]
pub enum Import {
    Map,
    Unmap,
    MakeHole,
    MapMsi,
    MapMsix,
    Bind,
    FilterMsixControl,
    MmioRead,
    MayPlace,
}

impl Import {
    /// All that the hardware domain's view uses.
    pub const ALL: [Self; 8] = [
        Self::Map,
        Self::Unmap,
        Self::MakeHole,
        Self::MapMsi,
        Self::MapMsix,
        Self::Bind,
        Self::FilterMsixControl,
        Self::MmioRead,
    ];

    /// All that a guest's view uses.
    pub const GUEST: [Self; 9] = [
        Self::Map,
        Self::Unmap,
        Self::MakeHole,
        Self::MapMsi,
        Self::MapMsix,
        Self::Bind,
        Self::FilterMsixControl,
        Self::MmioRead,
        Self::MayPlace,
    ];
}

/// Something the library did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It read a register.
    Read(u16, Width),
    /// It wrote a register.
    Write(u16, Width, u32),
    /// It mapped these frames.
    Map(Pages),
    /// It unmapped them.
    Unmap(Pages),
    /// It made a frame a hole.
    Hole(u64),
    /// It read a device's memory: slot, host address, bytes.
    MmioRead(u8, u64, u8),
    /// It wrote it: slot, host address, bytes, value.
    MmioWrite(u8, u64, u8, u64),
}

/// When the host wants the library to pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preempt {
    /// Never.
    Never,
    /// At every opportunity.
    Always,
    /// At every n-th.
    Every(u32),
}

/// Calls that fail: of one import, those in `first` to `last`, and `second`.
#[derive(Clone, Copy)]
struct Fault {
    import: Import,
    first: u32,
    last: u32,
    second: Option<u32>,
}

/// A host with one domain.
pub struct FakeHost {
    devices: RefCell<HashMap<u32, Device>>,
    p2m: RefCell<P2m>,
    pirqs: RefCell<Pirqs>,
    memory: RefCell<BTreeMap<u64, u8>>,
    events: RefCell<Vec<Event>>,
    preempt: Cell<Preempt>,
    opportunities: Cell<u32>,
    calls: RefCell<BTreeMap<Import, u32>>,
    fault: Cell<Option<Fault>>,
    host_masks: Cell<bool>,
    noise: RefCell<Option<Random>>,
    shared: RefCell<BTreeSet<u64>>,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self {
            devices: RefCell::default(),
            p2m: RefCell::default(),
            pirqs: RefCell::default(),
            memory: RefCell::default(),
            events: RefCell::default(),
            preempt: Cell::new(Preempt::Never),
            opportunities: Cell::new(0),
            calls: RefCell::default(),
            fault: Cell::new(None),
            host_masks: Cell::new(false),
            noise: RefCell::default(),
            shared: RefCell::default(),
        }
    }
}

impl FakeHost {
    /// Plugs a function in, or replaces it.
    pub fn plug(&self, sbdf: Sbdf, device: Device) {
        self.devices.borrow_mut().insert(sbdf.0, device);
    }

    /// Pulls a function: it reads as all ones from now on.
    pub fn pull(&self, sbdf: Sbdf) {
        self.devices.borrow_mut().remove(&sbdf.0);
    }

    /// A function that is plugged in.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn device(&self, sbdf: Sbdf) -> RefMut<'_, Device> {
        RefMut::map(self.devices.borrow_mut(), |all| all.get_mut(&sbdf.0).expect("a function is plugged in"))
    }

    /// The p2m.
    pub fn p2m(&self) -> Ref<'_, P2m> {
        self.p2m.borrow()
    }

    /// The p2m, to change it.
    pub fn p2m_mut(&self) -> RefMut<'_, P2m> {
        self.p2m.borrow_mut()
    }

    /// The PIRQs.
    pub fn pirqs(&self) -> Ref<'_, Pirqs> {
        self.pirqs.borrow()
    }

    /// A byte of the devices' memory; 0 where nothing was written.
    pub fn memory(&self, address: u64) -> u8 {
        self.memory.borrow().get(&address).copied().unwrap_or(0)
    }

    /// Puts `bytes` into the devices' memory.
    pub fn fill_memory(&self, address: u64, bytes: &[u8]) {
        self.memory.borrow_mut().extend((address..).zip(bytes.iter().copied()));
    }

    /// Sets when the host wants a pause.
    pub fn set_preempt(&self, preempt: Preempt) {
        self.preempt.set(preempt);
    }

    /// The host keeps MSI-X masked for reasons of its own.
    pub fn set_host_masks(&self, masks: bool) {
        self.host_masks.set(masks);
    }

    /// Another function has a BAR in this host frame.
    pub fn share(&self, frame: u64) {
        self.shared.borrow_mut().insert(frame);
    }

    /// One read of a register in four gives anything, not always the same.
    pub fn set_noise(&self, noise: Option<Random>) {
        self.noise.replace(noise);
    }

    /// The `n`-th call of `import` from now on fails, counted from 0.
    pub fn fail(&self, import: Import, n: u32) {
        self.set_fault(Fault { import, first: n, last: n, second: None });
    }

    /// The `n`-th call of `import` from now on fails, and all behind it.
    pub fn fail_from(&self, import: Import, n: u32) {
        self.set_fault(Fault { import, first: n, last: u32::MAX, second: None });
    }

    /// The `first` and the `second` call of `import` from now on fail.
    pub fn fail_twice(&self, import: Import, first: u32, second: u32) {
        self.set_fault(Fault { import, first, last: first, second: Some(second) });
    }

    fn set_fault(&self, fault: Fault) {
        self.calls.borrow_mut().remove(&fault.import);
        self.fault.set(Some(fault));
    }

    /// Nothing fails any more.
    pub fn fail_nothing(&self) {
        self.fault.set(None);
    }

    /// How often `import` was called.
    pub fn calls(&self, import: Import) -> u32 {
        self.calls.borrow().get(&import).copied().unwrap_or(0)
    }

    /// What the library did since this was last called.
    pub fn take_events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// The configuration writes since [`take_events`](Self::take_events) was last called, forgetting all else.
    pub fn take_writes(&self) -> Vec<(u16, Width, u32)> {
        let write = |event| match event {
            Event::Write(offset, width, value) => Some((offset, width, value)),
            _ => None,
        };
        self.take_events().into_iter().filter_map(write).collect()
    }

    /// Whether the domain holds nothing: no frame is mapped and no PIRQ is allocated.
    pub fn holds_nothing(&self) -> bool {
        self.p2m.borrow().is_empty() && self.pirqs.borrow().is_empty()
    }

    fn log(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// Counts a call. Whether it is the one to fail.
    fn fails(&self, import: Import) -> bool {
        let mut calls = self.calls.borrow_mut();
        let count = calls.entry(import).or_default();
        let n = *count;
        *count += 1;
        let fails = |fault: Fault| (fault.first..=fault.last).contains(&n) || fault.second == Some(n);
        self.fault.get().is_some_and(|fault| fault.import == import && fails(fault))
    }

    fn refuse(&self, import: Import) -> Result<(), HostError> {
        if self.fails(import) { Err(HostError) } else { Ok(()) }
    }
}

fn check_mmio(slot: u8, offset: u16, bytes: u8) {
    assert!(slot < 4 && matches!(bytes, 1 | 2 | 4 | 8), "slot {slot}, {bytes} bytes");
    assert!(
        offset < 0x1000 && offset.is_multiple_of(u16::from(bytes)),
        "{bytes} bytes at {offset:#x} of a frame"
    );
}

impl Host for FakeHost {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        assert!(
            Access::new(u32::from(offset), u32::from(width.bytes())).is_some(),
            "{width:?} at {offset:#x}"
        );
        self.log(Event::Read(offset, width));
        let absent = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        if let Some(random) = self.noise.borrow_mut().as_mut()
            && random.one_in(4)
        {
            return random.bits32() & absent;
        }
        let devices = self.devices.borrow();
        devices.get(&sbdf.0).map_or(absent, |device| device.get(offset, width))
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        let access = Access::new(u32::from(offset), u32::from(width.bytes()));
        let access = access.unwrap_or_else(|| panic!("{width:?} at {offset:#x}"));
        assert_eq!(value & !access.value_mask(), 0, "{value:#x} is wider than {width:?}");
        self.log(Event::Write(offset, width, value));
        if let Some(device) = self.devices.borrow_mut().get_mut(&sbdf.0) {
            device.write(offset, width, value);
        }
    }

    fn map(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        self.refuse(Import::Map)?;
        let done = self.p2m.borrow_mut().map(guest, host)?;
        self.log(Event::Map(Pages { first: guest.first, last: guest.first + done - 1 }));
        Ok(done)
    }

    fn unmap(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        self.refuse(Import::Unmap)?;
        let done = self.p2m.borrow_mut().unmap(guest, host);
        self.log(Event::Unmap(Pages { first: guest.first, last: guest.first + done - 1 }));
        Ok(done)
    }

    fn make_hole(&self, guest: u64) -> Result<(), HostError> {
        self.refuse(Import::MakeHole)?;
        self.p2m.borrow_mut().make_hole(guest)?;
        self.log(Event::Hole(guest));
        Ok(())
    }

    fn next_reserved(&self, range: Pages) -> Option<Pages> {
        self.p2m.borrow().next_reserved(range)
    }

    fn may_place(&self, guest: Pages) -> bool {
        !self.fails(Import::MayPlace) && self.p2m.borrow().is_free(guest)
    }

    fn vpd_read(&self, address: u16) -> u32 {
        u32::from(address) | 0x5650_0000
    }

    fn is_shared(&self, _sbdf: Sbdf, host: u64) -> bool {
        self.shared.borrow().contains(&host)
    }

    fn preempt(&self) -> bool {
        let count = self.opportunities.get() + 1;
        self.opportunities.set(count);
        match self.preempt.get() {
            Preempt::Never => false,
            Preempt::Always => true,
            Preempt::Every(n) => count.is_multiple_of(n),
        }
    }

    fn map_msi(&self, vectors: u8) -> Result<Pirq, HostError> {
        assert!((1..=32).contains(&vectors), "MSI with {vectors} vectors");
        self.refuse(Import::MapMsi)?;
        Ok(self.pirqs.borrow_mut().allocate(Purpose::Msi(vectors)))
    }

    fn map_msix(&self, entry: u16, table: u64) -> Result<Pirq, HostError> {
        self.refuse(Import::MapMsix)?;
        Ok(self.pirqs.borrow_mut().allocate(Purpose::Msix(entry, table)))
    }

    fn unmap_pirq(&self, pirq: Pirq) {
        self.pirqs.borrow_mut().free(pirq);
    }

    fn bind(&self, pirq: Pirq, vectors: u8, message: Message, mask: u32) -> Result<(), HostError> {
        self.refuse(Import::Bind)?;
        self.pirqs.borrow_mut().bind(pirq, vectors, message, mask)
    }

    fn unbind(&self, pirq: Pirq, vectors: u8) {
        self.pirqs.borrow_mut().unbind(pirq, vectors);
    }

    fn mask(&self, pirq: Pirq, index: u8, masked: bool) {
        self.pirqs.borrow_mut().mask(pirq, index, masked);
    }

    fn filter_msix_control(&self, _offset: u16, value: u16) -> Option<u16> {
        if self.fails(Import::FilterMsixControl) {
            return None;
        }
        Some(if self.host_masks.get() { value | 1 << 14 } else { value })
    }

    fn mmio_read(&self, slot: u8, frame: u64, offset: u16, bytes: u8) -> Option<u64> {
        check_mmio(slot, offset, bytes);
        if self.fails(Import::MmioRead) {
            return None;
        }
        let address = frame << 12 | u64::from(offset);
        self.log(Event::MmioRead(slot, address, bytes));
        let byte = |n: u8| u64::from(self.memory(address + u64::from(n))) << (8 * n);
        Some((0..bytes).map(byte).fold(0, |value, byte| value | byte))
    }

    fn mmio_write(&self, slot: u8, frame: u64, offset: u16, bytes: u8, value: u64) {
        check_mmio(slot, offset, bytes);
        let address = frame << 12 | u64::from(offset);
        self.log(Event::MmioWrite(slot, address, bytes, value));
        self.fill_memory(address, &value.to_le_bytes()[..usize::from(bytes)]);
    }
}
