//! The mirrors of a function that a guest gets, applied to it.

use capabilities::Width;
use vpci::{AttachError, Bar, Function, Host, Mirrors, View, Way};

use super::{BarInfo, Subject, holes, ports, refused, way};
use crate::table::Identity;

/// The BARs 0 to 5 of a function; `trapped` says of which pages are left out for another reason.
fn infos(bars: &[Bar; 7], trapped: impl Fn(u8) -> bool) -> [BarInfo; 6] {
    let mut infos = [BarInfo::EMPTY; 6];
    for ((number, info), bar) in (0..).zip(&mut infos).zip(bars) {
        *info = BarInfo { kind: bar.kind(), size: bar.host_range().1, trapped: trapped(number) };
    }
    infos
}

/// Leaves out of the BARs of a guest's function, which this is, what its mirrors say. It is to be done after each
/// [`Function::attach`] and [`Function::reattach`]; [`Identity`] then answers for the pages. The hardware domain keeps what it has.
///
/// # Errors
///
/// [`AttachError::Refused`]: it is refused, and `trusted` does not say that it is a guest's all the same.
/// [`AttachError::Full`]: there are more pages than vpci can leave out. The function is to be detached.
pub fn guard<H: Host>(
    function: &mut Function<'_>,
    host: &H,
    identity: &Identity,
    trusted: bool,
) -> Result<(), AttachError> {
    if function.state.view() != View::Guest {
        return Ok(());
    }
    let bars = infos(function.state.bars(), |bar| function.state.traps_in(bar));
    let subject = Subject { identity, bars: &bars };
    if !trusted && !refused(subject).is_empty() {
        return Err(AttachError::Refused);
    }
    function.withhold(host, holes(subject), ports(subject))
}

/// Those of the tables. What is where does not depend on what else is left out.
impl Mirrors for Identity {
    fn way(&self, bars: &[Bar; 7], bar: u8, offset: u64, width: Width, written: Option<u32>) -> Way {
        let bars = infos(bars, |_| false);
        way(Subject { identity: self, bars: &bars }, bar, offset, width, written)
    }
}
