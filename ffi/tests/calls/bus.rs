//! Functions with their bridge, as C knows them.

use std::rc::Rc;

use capabilities::Sbdf;
use ffi::*;
use quirks::Quirks;
use tests::reset::bridge::{Below, Bridge};
use tests::reset::function::Part;
use tests::reset::model::{BRIDGE, Model};
use tests::reset::sample::{BARS, Sample};

use crate::host;
use crate::record::{Record, info, run};

pub(crate) const FLR: Sample = Sample {
    ids: (0x1af4, 0x1041),
    class: 0x02_0000,
    express: true,
    flr: true,
    advanced: false,
    soft_reset: false,
    at_once: false,
};
pub(crate) const POWER: Sample = Sample { flr: false, soft_reset: true, ..FLR };
/// Its bus is the only way.
pub(crate) const NONE: Sample = Sample { flr: false, ..FLR };

/// Functions behind a bridge, or on a root bus, and what is known of them.
pub(crate) struct Bus {
    pub(crate) model: Rc<Model>,
    pub(crate) records: Vec<Record>,
    pub(crate) bridge: u32,
}

impl Bus {
    pub(crate) fn of(bridge: Option<Bridge>, parts: impl IntoIterator<Item = Part>) -> Self {
        let below = if bridge.is_some() { BRIDGE.0 } else { RVPCI_NO_SBDF };
        let model = Model::new(bridge);
        for part in parts {
            model.add(part, BARS, Quirks::NONE);
        }
        let sbdfs: Vec<_> = (0..model.functions()).map(|number| model.place(number).sbdf).collect();
        let model = host::use_model(model, sbdfs.clone());
        let records = sbdfs.into_iter().map(|sbdf| {
            let mut record = Record::new();
            assert_eq!(record.learn(&info(sbdf, BARS)), 0);
            record.quirks(&[], 0);
            record
        });
        let records = records.collect();
        Self { model, records, bridge: below }
    }

    pub(crate) fn alone(sample: Sample) -> Self {
        Self::of(None, [sample.part()])
    }

    pub(crate) fn behind(below: Below, samples: &[Sample]) -> Self {
        Self::of(Some(Bridge::new(below)), samples.iter().map(Sample::part))
    }

    pub(crate) fn sbdf(&self) -> Sbdf {
        self.model.place(0).sbdf
    }

    pub(crate) fn members(&self) -> Vec<&Record> {
        self.records.iter().collect()
    }

    pub(crate) fn start(&mut self, methods: u32) {
        let now = self.model.now();
        assert_eq!(self.records[0].start(self.bridge, methods, false, now), 0);
    }

    /// Resets the first function, with all others as members.
    pub(crate) fn reset(&mut self, methods: u32) -> (i32, rvpci_reset_state) {
        self.start(methods);
        run(&self.model, &self.members());
        assert_eq!(self.model.violations(), Vec::<String>::new());
        assert_eq!(self.model.leftovers(), Vec::<String>::new());
        self.records[0].state()
    }

    /// Microseconds of a reset by `method`, which ends well.
    pub(crate) fn time(&mut self, method: u32) -> u64 {
        let start = self.model.now();
        let (result, state) = self.reset(RVPCI_METHODS_ALL);
        assert_eq!((result, state.outcome, state.method), (0, RVPCI_OUTCOME_READY, method));
        self.model.now() - start
    }
}

/// How a reset by any method ends: what is returned, and the reason.
pub(crate) fn end(bus: &mut Bus) -> (i32, u32, u32) {
    let (result, state) = bus.reset(RVPCI_METHODS_ALL);
    assert_eq!((state.method, state.count), (0, 1));
    (result, state.outcome, state.reason)
}

/// A row for the samples.
pub(crate) const ROW: rvpci_quirk = rvpci_quirk {
    vendor: 0x1af4,
    first: 0x1041,
    last: 0x1041,
    mask: 0,
    class_mask: 0,
    class_value: 0,
    subsystem: 0,
    revision_first: 0,
    revision_last: 0xff,
    says: RVPCI_SAYS_FLAGS,
    zero: 0,
    has: 0,
    lacks: 0,
    value: 0,
    order: [0; 5],
    zeros: [0; 3],
};

pub(crate) const fn says(says: u8, value: u32) -> rvpci_quirk {
    rvpci_quirk { says, value, ..ROW }
}
