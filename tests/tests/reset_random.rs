//! Any schedule: see [`tests::reset::schedule`].

use quirks::Order;
use quirks::reset::{Outcome, Reason};
use tests::random::Random;
use tests::reset::schedule;

/// Says where a test was when it failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}

/// All that can happen to a function that has a snapshot and no virtual functions.
const REASONS: [Reason; 13] = [
    Reason::Busy,
    Reason::NoMethod,
    Reason::BusInUse,
    Reason::StillMapped,
    Reason::Gone,
    Reason::Power,
    Reason::NotReady,
    Reason::Link,
    Reason::Sequence,
    Reason::Bridge,
    Reason::Bar,
    Reason::Layout,
    Reason::Cancelled,
];

#[test]
fn any_schedule_ends_well() {
    let mut seen = Vec::new();
    for number in 1..=3_000_u64 {
        let _seed = Seed(number);
        seen.extend(schedule::run(&mut Random::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    for method in Order::STANDARD.0.into_iter().flatten() {
        assert!(seen.contains(&Outcome::Ready(method)), "none was reset by {method:?}");
    }
    for reason in REASONS {
        let found = seen.contains(&Outcome::Refused(reason)) || seen.contains(&Outcome::Quarantined(reason));
        assert!(found, "{reason:?} did not happen");
    }
}
