//! What must be so at the end of a reset, however it ended.

use capabilities::Width;
use quirks::reset::Outcome;

use super::model::{BRIDGE, Model};

/// Looks at a model in which one reset has ended.
///
/// # Panics
///
/// If something is left over, or the outcome is not what the hardware says.
pub fn judge(model: &Model, outcome: Outcome, members: usize) {
    assert_eq!(model.violations(), Vec::<String>::new(), "{outcome:?}");
    assert_eq!(model.leftovers(), Vec::<String>::new(), "{outcome:?}");
    for number in 0..members {
        let sbdf = model.place(number).sbdf;
        let writes: Vec<_> = model.writes().iter().filter(|write| write.sbdf == sbdf).copied().collect();
        let now = model.now();
        let reachable = !model.has_bridge() || model.bridge().reaches(now);
        let place = model.place(number);
        match outcome {
            Outcome::Refused(_) => {
                assert_eq!(writes, [], "{sbdf} is written to");
                assert!(!place.withdrawn, "{sbdf} is withdrawn");
                assert_eq!(place.part.resets, [], "{sbdf} is reset");
            }
            // What was not in it was not touched.
            _ if number != 0 && writes.is_empty() => assert_eq!(place.part.resets, []),
            Outcome::Ready(_) => {
                assert!(!place.part.resets.is_empty(), "{sbdf} was not reset");
                let last = writes.last().map(|write| write.offset);
                assert_eq!(last, Some(4), "COMMAND of {sbdf} is not last");
                if place.part.is_there() && reachable && place.part.answers(now) {
                    assert_eq!(place.part.device.command() & 4, 0, "{sbdf} masters the bus");
                    assert_eq!(place.part.device.get(0x10, Width::Dword) & !0xf, place.low_bar());
                }
            }
            Outcome::Quarantined(_) => {
                assert!(place.withdrawn || place.pages != 0, "{sbdf} is in its domain");
                if place.part.is_there() && reachable && place.part.answers(now) {
                    assert_eq!(place.part.device.command() & 7, 0, "{sbdf} decodes or masters");
                }
            }
        }
    }
    if let Outcome::Refused(_) = outcome {
        assert!(!model.writes().iter().any(|write| write.sbdf == BRIDGE), "the bridge is written to");
    }
}
