//! Writing what the reset lost, and seeing whether the function is the same. COMMAND is written when all of that is done,
//! for all functions.

use capabilities::ConfigReader;
use capabilities::header;

use super::engine::{Context, Outcome, Reason, Reset, State};
use super::platform::Platform;
use super::saved::Kind;
use super::snapshot::{Facts, Member};
use super::times::{RESTORE_RETRY, RESTORE_TRIES};

/// The most registers that one step writes or compares.
const BATCH: usize = 16;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restore {
    stage: Stage,
    member: u8,
    /// The place in the list of the stage.
    at: u8,
    /// How often that register was written.
    tries: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Write,
    Compare,
    Command,
}

impl Restore {
    /// Where it starts.
    pub(super) const FIRST: Self = Self { stage: Stage::Write, member: 0, at: 0, tries: 0 };
}

impl Reset {
    pub(super) fn restore<P: Platform>(&mut self, context: &Context<'_, P>, restore: Restore) {
        let Some(of) = self.scope(context.members).get(usize::from(restore.member)) else {
            self.fail(Reason::NoSnapshot);
            return;
        };
        match restore.stage {
            Stage::Write => self.write_saved(context, of, restore),
            Stage::Compare => self.compare(context, of, restore),
            Stage::Command => self.write_command(context, of, restore),
        }
    }

    fn write_saved<P: Platform>(&mut self, context: &Context<'_, P>, of: &Member<'_>, from: Restore) {
        let device = context.config(of);
        let mut restore = from;
        for _ in 0..BATCH {
            let Some(saved) = of.snapshot.saved(usize::from(restore.at)) else {
                self.go(State::Restore(Restore { stage: Stage::Compare, at: 0, tries: 0, ..restore }), 0);
                return;
            };
            let (offset, width) = (saved.offset, saved.width());
            let value = match saved.kind {
                Kind::Write | Kind::Verify => saved.value,
                Kind::Clear => device.read(offset, width) & saved.value,
            };
            device.write(offset, width, value);
            if saved.kind == Kind::Verify && device.read(offset, width) != value {
                restore.tries = restore.tries.saturating_add(1);
                if restore.tries < RESTORE_TRIES {
                    self.go(State::Restore(restore), RESTORE_RETRY);
                } else {
                    self.differs(context, of, Reason::Bar);
                }
                return;
            }
            restore.at = restore.at.saturating_add(1);
            restore.tries = 0;
        }
        self.go(State::Restore(restore), 0);
    }

    fn compare<P: Platform>(&mut self, context: &Context<'_, P>, of: &Member<'_>, from: Restore) {
        let device = context.config(of);
        let mut restore = from;
        for _ in 0..BATCH {
            let Some(fixed) = of.snapshot.fixed(usize::from(restore.at)) else {
                let first = Restore { stage: Stage::Command, ..Restore::FIRST };
                let next = self.following(context.members, restore.member);
                let next = next.map_or(first, |member| Restore { member, ..Restore::FIRST });
                self.go(State::Restore(next), 0);
                return;
            };
            if device.read32(fixed.offset) & fixed.mask != fixed.value {
                self.differs(context, of, Reason::Layout);
                return;
            }
            restore.at = restore.at.saturating_add(1);
        }
        self.go(State::Restore(restore), 0);
    }

    fn write_command<P: Platform>(&mut self, context: &Context<'_, P>, of: &Member<'_>, restore: Restore) {
        let device = context.config(of);
        device.write16(header::COMMAND, of.snapshot.command_without_master().bits());
        // The last look at it: after that, what goes is a device that went while someone had it.
        let same = of.snapshot.is(Facts::VIRTUAL) || device.read32(header::VENDOR_ID) == of.snapshot.ids;
        if !same {
            self.differs(context, of, Reason::Layout);
            return;
        }
        match (self.following(context.members, restore.member), self.method) {
            (Some(member), _) => self.go(State::Restore(Restore { member, ..restore }), 0),
            (None, Some(method)) => self.end(Outcome::Ready(method)),
            (None, None) => self.fail(Reason::NoMethod),
        }
    }

    /// The function is not as it is to be, which is `reason`, or not there.
    pub(super) fn differs<P: Platform>(&mut self, context: &Context<'_, P>, of: &Member<'_>, reason: Reason) {
        self.fail(if context.answers(of) { reason } else { Reason::Gone });
    }
}
