//! What a guest has beyond the policy's tables: the bits that rules show it, which are the device's.

use capabilities::policy::{self, BUILT_IN, Dword, Length, Rule, Scope};
use capabilities::{ConfigReader, EXTENDED_CONFIG_SIZE, walk};

use crate::Host;
use crate::attach::AttachError;
use crate::function::Function;
use crate::lists::Reader;
use crate::map::{DefineError, Found};
use crate::register::Effect;

/// The rules for one function: those that the library brings along, and those that a toolstack gave.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'r> {
    given: &'r [Rule],
    ids: u32,
    class: u32,
}

impl<'r> Rules<'r> {
    fn all(self) -> impl Iterator<Item = &'r Rule> {
        let Self { given, ids, class } = self;
        BUILT_IN.iter().chain(given).filter(move |rule| rule.matches(ids, class))
    }

    /// Those for the capability at `offset`.
    fn of<H: Host>(
        self,
        scope: Scope,
        physical: &Reader<'_, '_, H>,
        offset: u16,
    ) -> impl Iterator<Item = &'r Rule> {
        self.all().filter(move |rule| {
            let key = |relative: u16| {
                let at = offset.checked_add(relative).filter(|at| *at < EXTENDED_CONFIG_SIZE);
                at.is_some_and(|at| rule.is_key(physical.read32(at)))
            };
            rule.scope() == Some(scope) && rule.key().is_none_or(key)
        })
    }

    /// Whether any is for this capability.
    pub(crate) fn show<H: Host>(self, scope: Scope, physical: &Reader<'_, '_, H>, offset: u16) -> bool {
        self.of(scope, physical, offset).next().is_some()
    }

    /// How far they reach into it, in bytes.
    pub(crate) fn extent<H: Host>(self, scope: Scope, physical: &Reader<'_, '_, H>, offset: u16) -> u16 {
        let ends = self.of(scope, physical, offset).map(|rule| rule.offset.saturating_add(rule.length));
        ends.max().unwrap_or(0)
    }
}

/// The bits of the dword at `offset` that any of these rules lets a guest read, and write.
fn masks<'r>(rules: impl Iterator<Item = &'r Rule>, offset: u16) -> (u32, u32) {
    rules.map(|rule| rule.masks(offset)).fold((0, 0), |all, one| (all.0 | one.0, all.1 | one.1))
}

/// A capability of the device: what it is, where it starts, and how many bytes it has, where that is known.
type Body = (Scope, u16, Option<u16>);

fn known<H: Host>(physical: &Reader<'_, '_, H>, length: Length, offset: u16) -> Option<u16> {
    length.bytes(physical, offset).filter(|bytes| *bytes != 0)
}

fn standard<H: Host>(physical: &Reader<'_, '_, H>) -> impl Iterator<Item = Body> {
    walk::standard(physical).map(move |walk::Capability { id, offset, .. }| {
        (Scope::Standard(id), offset, known(physical, policy::standard(id).length, offset))
    })
}

fn extended<H: Host>(physical: &Reader<'_, '_, H>) -> impl Iterator<Item = Body> {
    walk::extended(physical).map(move |walk::ExtendedCapability { offset, header }| {
        let id = header.id();
        (Scope::Extended(id), offset, known(physical, policy::extended(id).length, offset))
    })
}

/// Whether a rule for bytes shows what no guest may have of one of these capabilities, or writes where none may. `below`
/// are the same ones, to be read before.
#[inline(never)]
fn is_forbidden(rule: &Rule, below: impl Iterator<Item = Body>, bodies: impl Iterator<Item = Body>) -> bool {
    let end = rule.offset.saturating_add(rule.length);
    // What does not say how long it is goes up to the next: so the last that starts at or before the range reaches it.
    let below = below.map(|(_, first, _)| first).filter(|first| *first <= rule.offset).max();
    let mut bodies = bodies;
    bodies.any(|(scope, first, length)| {
        let reaches = match length {
            Some(length) => first.saturating_add(length) > rule.offset,
            None => first > rule.offset || Some(first) == below,
        };
        let bars = scope.is_floor() || rule.write != 0 && !scope.allows_write();
        bars && first < end && reaches
    })
}

impl Function<'_> {
    /// Checks rules against the device's layout.
    ///
    /// Work: for each rule, the device's capability lists are read twice.
    ///
    /// # Errors
    ///
    /// [`AttachError::Rule`]: one is malformed, or shows what no guest may have.
    #[inline(never)]
    pub(crate) fn check_rules<H: Host>(&self, host: &H, given: &[Rule]) -> Result<(), AttachError> {
        let physical = Reader::physical(host, self.state.sbdf());
        let good = |rule: &Rule| {
            let bytes = rule.scope() == Some(Scope::Bytes);
            let forbidden = || {
                is_forbidden(rule, standard(&physical), standard(&physical))
                    || is_forbidden(rule, extended(&physical), extended(&physical))
            };
            rule.check().is_ok() && !(bytes && forbidden())
        };
        if given.iter().all(good) { Ok(()) } else { Err(AttachError::Rule) }
    }

    /// The rules for this function, by what its guest reads of its IDs and class.
    pub(crate) fn rules<'r>(&self, given: &'r [Rule]) -> Rules<'r> {
        let value = |dword: u16| {
            let at = self.state.index.register(dword);
            at.and_then(|at| self.registers.get(at)).map_or(0, |register| register.value)
        };
        Rules { given, ids: value(0), class: value(2) }
    }

    /// Adds what rules show of the capability at `offset`, `length` bytes long; `table` is what its dwords are served by.
    #[inline(never)]
    pub(crate) fn attach_rules<H: Host>(
        &mut self,
        physical: &Reader<'_, '_, H>,
        rules: Rules<'_>,
        scope: Scope,
        (offset, length): (u16, u16),
        table: impl Fn(u16) -> Dword,
    ) -> Result<(), DefineError> {
        for number in 0..length.div_ceil(4) {
            let (read, write) = masks(rules.of(scope, physical, offset), number * 4);
            let Dword { snapshot, live, write: own, ones, reset, acts, .. } = table(number);
            let free = !(snapshot | live | own | ones | reset | acts);
            if read & free != 0 {
                self.expose(offset + number * 4, read & free, write & free)?;
            }
        }
        Ok(())
    }

    /// Adds what rules show of bytes by their offset. What the guest has already stays as it is, and the dwords that
    /// the device's lists go through stay hidden.
    #[inline(never)]
    pub(crate) fn attach_byte_rules(&mut self, rules: Rules<'_>) -> Result<(), DefineError> {
        let ranges = move || rules.all().filter(|rule| rule.scope() == Some(Scope::Bytes));
        for rule in ranges() {
            for offset in (rule.offset..rule.offset.saturating_add(rule.length)).step_by(4) {
                if self.state.index.find(offset / 4) == Found::Gap {
                    let (read, write) = masks(ranges(), offset);
                    self.define_guest(offset, Dword::HIDDEN, 0)?;
                    self.expose(offset, read, write)?;
                }
            }
        }
        Ok(())
    }

    /// Bits of the dword at `offset` are the device's.
    fn expose(&mut self, offset: u16, read: u32, write: u32) -> Result<(), DefineError> {
        let register = self.state.index.ensure(self.registers, offset / 4).ok_or(DefineError::Full)?;
        register.value &= !read;
        register.hardware |= read;
        register.write = register.write & !read | write & read;
        if register.effect == Effect::Plain {
            register.effect = Effect::None;
        }
        Ok(())
    }
}
