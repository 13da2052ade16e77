//! What a snapshot is taken of, and what a reset compares with it.

use capabilities::Width;
use quirks::Quirks;
use quirks::reset::{Outcome, Reason, Snapshot, SnapshotError, Subject};
use tests::reset::model::Model;
use tests::reset::sample::{BARS, Sample};
use zerocopy::FromZeros;

type Change = fn(&Model);

fn model() -> Model {
    let model = Model::new(None);
    model.add(Sample { flr: true, ..Sample::default() }.part(), BARS, Quirks::NONE);
    model
}

fn take(model: &Model, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
    let subject = Subject { sbdf: model.place(0).sbdf, virtual_function: false, bars: BARS };
    snapshot.take(model, &subject, &Quirks::NONE)
}

#[test]
fn a_snapshot_that_cannot_be_taken_again_is_none() {
    let changes: [(SnapshotError, Change); 4] = [
        (SnapshotError::Absent, |model| model.place(0).part.pull()),
        (SnapshotError::Unsupported, |model| model.place(0).part.device.set(0x0e, Width::Byte, 0x01)),
        (SnapshotError::Unsupported, |model| model.place(0).part.device.set(0x0e, Width::Byte, 0x02)),
        (SnapshotError::Full, |model| {
            // Each of 4 bytes, from 100h to the end.
            for offset in (0x100..0x1000).step_by(4) {
                let next = if offset == 0xffc { 0 } else { offset + 4 };
                let header = u32::from(next) << 20 | 0x0001_000b;
                model.place(0).part.device.set(offset, Width::Dword, header);
            }
        }),
    ];
    for (error, change) in changes {
        let (model, mut snapshot) = (model(), Box::new(Snapshot::new_zeroed()));
        assert_eq!(take(&model, &mut snapshot), Ok(()));
        assert!(snapshot.is_taken());
        change(&model);
        assert_eq!(take(&model, &mut snapshot), Err(error));
        assert!(!snapshot.is_taken(), "{error:?}");
        // What was known before does not count any more.
        let outcome = model.reset_with(&[(snapshot, Quirks::NONE)]);
        assert_eq!(outcome, Outcome::Refused(Reason::NoSnapshot));
        assert_eq!(model.place(0).part.resets.len(), 0);
    }
}

#[test]
fn extended_capabilities_that_were_not_there_are_another_function() {
    // A device that has none, and that after a reset still has none, is the same.
    for (header, outcome) in
        [(0, Outcome::Ready(quirks::Method::Flr)), (0x0001_000b, Outcome::Quarantined(Reason::Layout))]
    {
        let model = model();
        {
            let part = &mut model.place(0).part;
            part.places.aer = 0;
            part.device.set(0x100, Width::Dword, 0);
            part.fresh.set(0x100, Width::Dword, 0);
        }
        let snapshots = model.snapshots();
        model.place(0).part.fresh.set(0x100, Width::Dword, header);
        assert_eq!(model.reset_with(&snapshots), outcome);
    }
}
