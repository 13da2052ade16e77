//! A `struct rvpci_physical` in memory of the caller's.

use std::ptr;

use capabilities::Sbdf;
use ffi::{
    RVPCI_AGAIN, RVPCI_DONE, rvpci_physical, rvpci_physical_flags, rvpci_physical_info, rvpci_physical_init,
    rvpci_physical_learn, rvpci_physical_methods, rvpci_physical_quirks, rvpci_physical_size, rvpci_quirk,
    rvpci_region, rvpci_reset_cancel, rvpci_reset_start, rvpci_reset_state, rvpci_reset_step,
    rvpci_virtual_function,
};
use quirks::reset::Region;
use tests::reset::model::Model;

pub(crate) struct Record(Vec<u64>);

impl Record {
    pub(crate) fn new() -> Self {
        let record = Self(vec![u64::MAX; rvpci_physical_size().div_ceil(8)]);
        // SAFETY: there is as much memory.
        unsafe { rvpci_physical_init(record.pointer()) };
        record
    }

    pub(crate) fn pointer(&self) -> *mut rvpci_physical {
        self.0.as_ptr().cast_mut().cast()
    }

    pub(crate) fn learn(&mut self, info: &rvpci_physical_info) -> i32 {
        // SAFETY: the memory is a record, and the test calls from one thread.
        unsafe { rvpci_physical_learn(self.pointer(), info) }
    }

    pub(crate) fn quirks(&mut self, rows: &[rvpci_quirk], d3hot_ms: u32) {
        let count = u32::try_from(rows.len()).expect("few");
        let rows = if rows.is_empty() { ptr::null() } else { rows.as_ptr() };
        // SAFETY: as for `learn`; there are as many rows.
        unsafe { rvpci_physical_quirks(self.pointer(), rows, count, d3hot_ms) };
    }

    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: as for `learn`.
        unsafe { rvpci_physical_flags(self.pointer()) }
    }

    pub(crate) fn methods(&self) -> u32 {
        // SAFETY: as for `learn`.
        unsafe { rvpci_physical_methods(self.pointer()) }
    }

    pub(crate) fn start(&mut self, bridge: u32, methods: u32, guest: bool, now: u64) -> i32 {
        // SAFETY: as for `learn`.
        unsafe { rvpci_reset_start(self.pointer(), bridge, methods, guest, now) }
    }

    pub(crate) fn cancel(&mut self) {
        // SAFETY: as for `learn`.
        unsafe { rvpci_reset_cancel(self.pointer()) };
    }

    /// The state of its reset, and what is returned beside.
    pub(crate) fn state(&self) -> (i32, rvpci_reset_state) {
        let mut state = rvpci_reset_state { outcome: 99, reason: 99, method: 99, count: 99 };
        // SAFETY: as for `learn`.
        let result = unsafe { rvpci_reset_state(self.pointer(), &raw mut state) };
        (result, state)
    }
}

/// One step of the reset of the first of `members`; when the next is due.
pub(crate) fn step(members: &[&Record], now: u64) -> (i32, u64) {
    let pointers: Vec<_> = members.iter().map(|record| record.pointer()).collect();
    let count = u32::try_from(pointers.len()).expect("few");
    let mut due = u64::MAX;
    // SAFETY: they are records, and the test calls from one thread.
    let result = unsafe { rvpci_reset_step(pointers.as_ptr(), count, now, &raw mut due) };
    (result, due)
}

/// Steps the reset of the first of `members` until it is over.
pub(crate) fn run(model: &Model, members: &[&Record]) {
    for _ in 0..20_000 {
        let (result, due) = step(members, model.now());
        if result == RVPCI_DONE {
            return;
        }
        assert_eq!(result, RVPCI_AGAIN);
        model.pass(due - model.now());
    }
    panic!("it does not end");
}

/// A function with these memory BARs.
pub(crate) fn info(sbdf: Sbdf, bars: [Region; 6]) -> rvpci_physical_info {
    let bar = bars.map(|Region { address, size }| rvpci_region { address, size });
    rvpci_physical_info { sbdf: sbdf.0, traits: 0, vf: ptr::null(), bar }
}

/// A virtual function of which its physical function says this.
pub(crate) fn virtual_info(sbdf: Sbdf, function: &rvpci_virtual_function) -> rvpci_physical_info {
    rvpci_physical_info { vf: function, ..info(sbdf, [Region::default(); 6]) }
}
