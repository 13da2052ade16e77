//! A function that leaves its domain for a reset and comes back.
//!
//! The reset itself is not done here: whoever does it has the device to itself from when [`Function::withdraw`] is done
//! to [`Function::reattach`].

use zerocopy::FromZeros;

use crate::attach::{AttachError, Info};
use crate::bar::Presence;
use crate::function::Function;
use crate::{Host, Progress, Siblings, Written};

impl Function<'_> {
    /// Takes the function from its domain, which goes on having it: from the first call on it reads all ones and drops
    /// what is written, its PIRQs are given back, and its pages leave the p2m, a step in each call. The device is not
    /// accessed.
    ///
    /// [`Progress::Again`] until all pages have left; one that cannot be unmapped is tried again in each call. The lock is
    /// that of [`step`](Self::step), and so is the work.
    pub fn withdraw<H: Host, S: Siblings>(&mut self, host: &H, siblings: &S) -> Progress {
        if !self.state.withdrawn {
            self.state.withdrawn = true;
            self.state.msi.disable(host);
            self.release_vectors(host);
            self.state.index = FromZeros::new_zeroed();
            self.state.mapping = FromZeros::new_zeroed();
            self.retarget(false, false);
        }
        if self.step(host, siblings) == Progress::Again {
            return Progress::Again;
        }
        if self.is_away() {
            return Progress::Done;
        }
        self.retarget(false, false);
        Progress::Again
    }

    /// Whether it is withdrawn, and no page of it is in the p2m.
    pub fn is_away(&self) -> bool {
        self.is_withdrawn() && self.state.bars.iter().all(|bar| bar.presence == Presence::Absent)
    }

    /// Gives a function that [is away](Self::is_away), and whose device was reset, back to its domain, as [`attach`](Self::attach) does. A guest
    /// has its BARs where it had them, and can have it reset if it could before: `info` is told so. What was refused stays
    /// counted.
    ///
    /// # Errors
    ///
    /// Those of [`attach`](Self::attach); it stays withdrawn, and may be given back after another reset.
    pub fn reattach<H: Host>(&mut self, host: &H, info: &mut Info<'_>) -> Result<Written, AttachError> {
        if self.is_guest() {
            for (place, bar) in info.guest.bars.iter_mut().zip(&self.state.bars) {
                *place = bar.placed.then_some(bar.guest);
            }
            info.guest.by_firmware = self.state.by_firmware;
            info.guest.resettable = self.state.resettable;
        }
        let original = self.state.original_command;
        let attached = self.take(host, info);
        self.state.original_command = original;
        if attached.is_err() {
            self.state.withdrawn = true;
            self.state.index = FromZeros::new_zeroed();
            self.state.by_firmware = info.guest.by_firmware;
            self.state.resettable = info.guest.resettable;
            for (bar, place) in self.state.bars.iter_mut().zip(&info.guest.bars) {
                bar.placed = place.is_some();
                bar.guest = place.unwrap_or(0);
            }
        }
        attached
    }
}
