//! Who owns an address: functions by [`Sbdf`], trapped pages by frame.

use capabilities::{CONFIG_SIZE, EXTENDED_CONFIG_SIZE, Sbdf};
use zerocopy::FromZeros;

use crate::Pages;
use crate::withheld::TRAPPED;

/// What the caller knows a function by. The library does not look into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Handle(pub u64);

/// Who answers configuration accesses to a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Nobody was named: the hardware domain reaches the device as it is, a guest finds nothing.
    Default,
    /// A mediated function.
    Function(Handle),
    /// The device, for reads; writes are dropped.
    ReadOnly,
    /// Nobody: reads as all ones, writes are dropped.
    Hidden,
    /// The host bridge of a chipset, which is no device of the machine.
    HostBridge,
    /// A device-model server outside, by its number.
    Server(Server),
}

/// The number of a device-model server, 0 to 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Server(u8);

impl Server {
    /// The server `number`, if it can have that: as many as Xen has (`MAX_NR_IOREQ_SERVERS`).
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        // CAST: below 8.
        if number < 8 { Some(Self(number as u8)) } else { None }
    }

    /// Its number, 0 to 7.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 as u32 // CAST: widening.
    }
}

/// What an owner is, as a number that C shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub enum Kind {
    /// [`Owner::Default`]: the place is empty.
    Empty = 0,
    /// [`Owner::Function`].
    Function = 1,
    /// [`Owner::ReadOnly`].
    ReadOnly = 2,
    /// [`Owner::Hidden`].
    Hidden = 3,
    /// [`Owner::HostBridge`].
    HostBridge = 4,
    /// [`Owner::Server`], of server 0.
    Server0 = 8,
    /// Of server 1.
    Server1,
    /// Of server 2.
    Server2,
    /// Of server 3.
    Server3,
    /// Of server 4.
    Server4,
    /// Of server 5.
    Server5,
    /// Of server 6.
    Server6,
    /// Of server 7.
    Server7,
}

impl Kind {
    /// A server's.
    const fn server(Server(number): Server) -> Self {
        match number {
            0 => Self::Server0,
            1 => Self::Server1,
            2 => Self::Server2,
            3 => Self::Server3,
            4 => Self::Server4,
            5 => Self::Server5,
            6 => Self::Server6,
            _ => Self::Server7,
        }
    }

    /// Whether it is a server's.
    #[must_use]
    pub const fn is_server(self) -> bool {
        self as u8 >= Self::Server0 as u8 // CAST: the discriminants.
    }
}

/// A place in the table of owners.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Slot {
    sbdf: u32,
    kind: Kind,
    handle: u64,
}

static_assertions::const_assert_eq!(size_of::<Slot>(), 16);

impl Slot {
    /// The mediated function in this place.
    #[must_use]
    pub fn function(&self) -> Option<Handle> {
        (self.kind == Kind::Function).then_some(Handle(self.handle))
    }

    /// What its owner is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The handle of a function; 0 for any other owner.
    #[must_use]
    pub const fn handle(&self) -> Handle {
        Handle(self.handle)
    }

    /// Its owner.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        match self.kind {
            Kind::Empty => Owner::Default,
            Kind::Function => Owner::Function(Handle(self.handle)),
            Kind::ReadOnly => Owner::ReadOnly,
            Kind::Hidden => Owner::Hidden,
            Kind::HostBridge => Owner::HostBridge,
            server => Owner::Server(Server(server as u8 - Kind::Server0 as u8)), // CAST: the discriminants.
        }
    }
}

/// Pages whose accesses belong to a function.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Window {
    first: u64,
    last: u64,
    handle: u64,
}

/// Why an owner was not set. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainError {
    /// The address has another owner.
    Taken,
    /// The memory given holds no more owners.
    Full,
}

/// Why a claim failed. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimError {
    /// The domain would have more owners than [`MAX_CLAIMED`].
    TooMany,
    /// One of the addresses has an owner, or there is no room.
    Domain(DomainError),
}

/// Owners in a domain beyond which servers can claim nothing more: sixteen buses of 256 functions.
pub const MAX_CLAIMED: usize = 4096;

/// Places in the table for each owner: with so few in use, a search ends at its first probe nearly always.
const SPARE: usize = 4;

/// The windows that there can be where there are `slots` places for owners.
#[must_use]
pub const fn windows_for(slots: usize) -> usize {
    slots / SPARE * TRAPPED
}

/// The addresses of one domain. A table by hash with linear probing, at most a quarter full.
pub struct Domain<'m> {
    /// The number of owners.
    pub owners: &'m mut u32,
    /// The number of windows.
    pub windows_used: &'m mut u32,
    /// Room for owners: a power of two, at least 4.
    pub slots: &'m mut [Slot],
    /// Room for windows: [`windows_for`] as many slots.
    pub windows: &'m mut [Window],
}

/// Where to look for `sbdf` first, among `slots` places.
///
/// Neighbouring addresses, the common case, are spread without collisions (multiplicative hashing by 2^32 over the
/// golden ratio).
#[inline]
const fn home(sbdf: Sbdf, slots: usize) -> usize {
    let hash = sbdf.0.wrapping_mul(0x9e37_79b9) as u64;
    // CAST: below `slots`.
    ((hash * slots as u64) >> 32) as usize
}

/// The place of `sbdf` in this table, if it has an owner.
///
/// Work: one probe on average, at most as many as there are owners in sequence.
#[inline]
pub fn find_slot(slots: &[Slot], sbdf: Sbdf) -> Option<&Slot> {
    let mut at = home(sbdf, slots.len());
    loop {
        let slot = slots.get(at).filter(|slot| slot.kind != Kind::Empty)?;
        if slot.sbdf == sbdf.0 {
            return Some(slot);
        }
        at = next(at, slots.len());
    }
}

/// The first device of bus 0 of segment 0 none of whose functions has an owner, by its function 0. Device 0 is kept for a
/// host bridge.
///
/// Work: at most 248 searches.
pub fn find_free(slots: &[Slot]) -> Option<Sbdf> {
    let free = |device: u32| (0..8).all(|function| find_slot(slots, Sbdf(device << 3 | function)).is_none());
    (1..32).find(|device| free(*device)).map(|device| Sbdf(device << 3))
}

/// Whether a device-model server can be asked for `bytes` at `offset` of a function: 1, 2 or 4 bytes inside one dword, of
/// the first 256 bytes unless it knows `extended` registers.
///
/// Work: constant.
#[must_use]
pub const fn may_forward(offset: u32, bytes: u32, extended: bool) -> bool {
    let end = if extended { EXTENDED_CONFIG_SIZE } else { CONFIG_SIZE } as u32; // CAST: widening.
    offset < end && matches!(bytes, 1 | 2 | 4) && (offset & 3) + bytes <= 4
}

/// The number of the place of `sbdf`, or of the empty one where it would be.
fn position(slots: &[Slot], sbdf: Sbdf) -> usize {
    let mut at = home(sbdf, slots.len());
    while let Some(slot) = slots.get(at) {
        if slot.kind == Kind::Empty || slot.sbdf == sbdf.0 {
            return at;
        }
        at = next(at, slots.len());
    }
    at
}

const fn next(at: usize, slots: usize) -> usize {
    if at + 1 < slots { at + 1 } else { 0 }
}

impl Domain<'_> {
    /// Sets the owner of `sbdf`. [`Owner::Default`] takes the present one away.
    ///
    /// # Errors
    ///
    /// It has an owner already ([`DomainError::Taken`]), or there is no room ([`DomainError::Full`]).
    pub fn set_owner(&mut self, sbdf: Sbdf, owner: Owner) -> Result<(), DomainError> {
        let (kind, handle) = match owner {
            Owner::Default => {
                self.remove(sbdf);
                return Ok(());
            }
            Owner::Function(Handle(handle)) => (Kind::Function, handle),
            Owner::ReadOnly => (Kind::ReadOnly, 0),
            Owner::Hidden => (Kind::Hidden, 0),
            Owner::HostBridge => (Kind::HostBridge, 0),
            Owner::Server(server) => (Kind::server(server), 0),
        };
        self.set(sbdf, kind, handle)
    }

    /// Puts an owner in the place of `sbdf`.
    fn set(&mut self, sbdf: Sbdf, kind: Kind, handle: u64) -> Result<(), DomainError> {
        let full = !self.has_room(1);
        let at = position(self.slots, sbdf);
        let slot = self.slots.get_mut(at).ok_or(DomainError::Full)?;
        if slot.kind != Kind::Empty {
            let same = slot.kind == kind && slot.handle == handle;
            return if same { Ok(()) } else { Err(DomainError::Taken) };
        }
        if full {
            return Err(DomainError::Full);
        }
        *slot = Slot { sbdf: sbdf.0, kind, handle };
        *self.owners += 1;
        Ok(())
    }

    /// Whether there is room for `more` owners.
    fn has_room(&self, more: usize) -> bool {
        (*self.owners as usize + more) * SPARE <= self.slots.len() // CAST: widening.
    }

    /// Makes `server` the owner of `first` to `last`, which have none: of all or of none.
    ///
    /// Work: a search for each address, of which there are at most [`MAX_CLAIMED`].
    ///
    /// # Errors
    ///
    /// See [`ClaimError`].
    pub fn claim(&mut self, first: Sbdf, last: Sbdf, server: Server) -> Result<(), ClaimError> {
        let count = last.0.saturating_sub(first.0) as usize + 1; // CAST: widening.
        if count + *self.owners as usize > MAX_CLAIMED {
            return Err(ClaimError::TooMany);
        }
        if (first.0..=last.0).any(|sbdf| find_slot(self.slots, Sbdf(sbdf)).is_some()) {
            return Err(ClaimError::Domain(DomainError::Taken));
        }
        if !self.has_room(count) {
            return Err(ClaimError::Domain(DomainError::Full));
        }
        (first.0..=last.0)
            .try_for_each(|sbdf| self.set_owner(Sbdf(sbdf), Owner::Server(server)))
            .map_err(ClaimError::Domain)
    }

    /// Takes from `server` what it has of `first` to `last`.
    ///
    /// Work: linear in the size of the table, whatever the range.
    pub fn release(&mut self, first: Sbdf, last: Sbdf, server: Server) {
        let mut at = 0;
        while let Some(slot) = self.slots.get(at) {
            let claimed = (first.0..=last.0).contains(&slot.sbdf) && slot.owner() == Owner::Server(server);
            if claimed {
                // What moves up comes from behind, or from places that were looked at.
                self.remove(Sbdf(slot.sbdf));
            } else {
                at += 1;
            }
        }
    }

    /// Empties the place of `sbdf` and moves up what was put behind it for want of a better place.
    fn remove(&mut self, sbdf: Sbdf) {
        let mut hole = position(self.slots, sbdf);
        let len = self.slots.len();
        match self.slots.get(hole) {
            Some(slot) if slot.kind != Kind::Empty => {}
            _ => return,
        }
        *self.owners -= 1;
        let mut at = next(hole, len);
        while let Some(slot) = self.slots.get(at).copied().filter(|slot| slot.kind != Kind::Empty) {
            // How far `slot` and the hole are behind the slot's home, going round the end.
            let distance = |from: usize, to: usize| if to >= from { to - from } else { to + len - from };
            let start = home(Sbdf(slot.sbdf), len);
            if distance(start, hole) <= distance(start, at) {
                if let Some(place) = self.slots.get_mut(hole) {
                    *place = slot;
                }
                hole = at;
            }
            at = next(at, len);
        }
        if let Some(place) = self.slots.get_mut(hole) {
            *place = FromZeros::new_zeroed();
        }
    }

    /// Takes over the owners and windows of `other`.
    ///
    /// # Errors
    ///
    /// There is no room; what was taken so far stays.
    pub fn take_over(&mut self, other: &Domain<'_>) -> Result<(), DomainError> {
        for slot in other.slots.iter().filter(|slot| slot.kind != Kind::Empty) {
            self.set(Sbdf(slot.sbdf), slot.kind, slot.handle)?;
        }
        for (to, from) in self.windows.iter_mut().zip(other.windows.iter()) {
            *to = *from;
        }
        *self.windows_used = *other.windows_used;
        Ok(())
    }

    /// Sets the pages that trap for `handle`, instead of those it had.
    pub fn set_windows(&mut self, handle: Handle, pages: [Option<Pages>; TRAPPED]) {
        let mut kept = 0;
        for at in 0..*self.windows_used as usize {
            let Some(window) = self.windows.get(at).copied() else { break };
            if let Some(place) = self.windows.get_mut(kept).filter(|_| window.handle != handle.0) {
                *place = window;
                kept += 1;
            }
        }
        for Pages { first, last } in pages.into_iter().flatten() {
            // There is room for those of each owner.
            if let Some(place) = self.windows.get_mut(kept) {
                *place = Window { first, last, handle: handle.0 };
                kept += 1;
            }
        }
        *self.windows_used = kept as u32; // CAST: at most a few for each slot.
    }
}

/// The function that the accesses to a guest frame belong to.
///
/// Work: bounded by the number of windows, at most [`TRAPPED`] for each function.
#[inline]
pub fn find_window(windows: &[Window], frame: u64) -> Option<Handle> {
    let window = windows.iter().find(|window| window.first <= frame && frame <= window.last)?;
    Some(Handle(window.handle))
}
