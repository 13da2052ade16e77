//! Several functions in one domain, driven as a hypervisor drives them.

use std::cell::RefMut;

use capabilities::{Access, Sbdf};
use quirks::mirrors;
use quirks::table::Identity;
use vpci::{
    AttachError, Bar, Domain, Function, GuestInfo, Handle, Info, Locked, Owner, Progress, Register, Siblings,
    Slot, State, TRAPPED, Vector, View, Window, Written, find_slot, find_window, windows_for,
};
use zerocopy::FromZeros;

use crate::device::Device;
use crate::host::FakeHost;

/// More steps than any operation of a test takes.
const STEPS: u32 = 100_000;
/// Owners in the domain's table.
const SLOTS: usize = 64;

/// A function and the memory that it lives in.
struct Place {
    sbdf: Sbdf,
    state: Box<State>,
    registers: Vec<Register>,
    vectors: Vec<Vector>,
    attached: bool,
    /// What it is known as, if it is guarded.
    identity: Option<Identity>,
}

impl Place {
    fn function(&mut self) -> Function<'_> {
        Function { state: &mut self.state, registers: &mut self.registers, vectors: &mut self.vectors }
    }
}

/// The functions before and behind one.
struct Others<'p>(&'p [Place], &'p [Place]);

impl Siblings for Others<'_> {
    fn each_bar(&self, each: &mut impl FnMut(&Bar)) {
        let places = self.0.iter().chain(self.1).filter(|place| place.attached);
        places.flat_map(|place| place.state.bars()).for_each(each);
    }
}

/// A host, a domain, and the functions in it. Functions are numbered in the order in which they were plugged in.
pub struct Machine {
    /// The host.
    pub host: FakeHost,
    places: Vec<Place>,
    owners: u32,
    windows_used: u32,
    slots: Vec<Slot>,
    windows: Vec<Window>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            host: FakeHost::default(),
            places: Vec::new(),
            owners: 0,
            windows_used: 0,
            slots: zeroed(SLOTS),
            windows: zeroed(windows_for(SLOTS)),
        }
    }
}

fn zeroed<T: FromZeros>(count: usize) -> Vec<T> {
    std::iter::repeat_with(T::new_zeroed).take(count).collect()
}

impl Machine {
    /// A machine with this function, taken under mediation, its BARs mapped if it decodes.
    pub fn with(device: Device) -> Self {
        let mut machine = Self::default();
        machine.add(device);
        machine
    }

    /// Plugs a function in.
    ///
    /// # Panics
    ///
    /// If there are 32 already.
    pub fn plug(&mut self, device: Device) -> usize {
        let number = self.places.len();
        let sbdf = Sbdf::new(0, 0, u8::try_from(number).expect("at most 32 functions"), 0);
        self.host.plug(sbdf, device);
        self.places.push(Place {
            sbdf,
            state: Box::new(State::new_zeroed()),
            registers: zeroed(1024),
            vectors: Vec::new(),
            attached: false,
            identity: None,
        });
        number
    }

    /// Plugs a function in, takes it and finishes what that starts.
    ///
    /// # Panics
    ///
    /// If it cannot be taken.
    pub fn add(&mut self, device: Device) -> usize {
        let number = self.plug(device);
        self.attach(number).expect("the function can be taken");
        self.settle(number);
        number
    }

    /// Plugs a function in and gives it to a guest that has it at the same address, its BARs and ROM where `bars` says.
    ///
    /// # Panics
    ///
    /// If it cannot be taken, or cannot be where it is placed.
    pub fn give(&mut self, device: Device, bars: [Option<u64>; 7]) -> usize {
        let number = self.plug(device);
        let guest = GuestInfo { bars, ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(self.sbdf(number)) };
        assert_eq!(self.attach_as(number, &info), Ok(Written::Done));
        assert_eq!(self.check_placement(number), Ok(()));
        number
    }

    /// Whether a function's BARs can be where they are.
    ///
    /// # Errors
    ///
    /// Those of [`Function::check_placement`].
    ///
    /// # Panics
    ///
    /// If the function does not exist.
    pub fn check_placement(&mut self, number: usize) -> Result<(), AttachError> {
        let (left, rest) = self.places.split_at_mut(number);
        let (place, right) = rest.split_first_mut().expect("the function exists");
        place.function().check_placement(&self.host, &Others(left, right))
    }

    /// The address of a function.
    pub fn sbdf(&self, number: usize) -> Sbdf {
        self.places[number].sbdf
    }

    /// The physical function.
    pub fn device(&self, number: usize) -> RefMut<'_, Device> {
        self.host.device(self.sbdf(number))
    }

    /// Whether a function is under mediation.
    pub fn is_attached(&self, number: usize) -> bool {
        self.places[number].attached
    }

    /// The state of a function.
    pub fn state(&self, number: usize) -> &State {
        &self.places[number].state
    }

    /// The MSI-X vectors of a function.
    pub fn vectors(&self, number: usize) -> &[Vector] {
        &self.places[number].vectors
    }

    /// How much room a function has for registers.
    pub fn set_registers(&mut self, number: usize, count: usize) {
        self.places[number].registers = zeroed(count);
    }

    /// Calls `with` with a function and the host.
    pub fn function<T>(&mut self, number: usize, with: impl FnOnce(&mut Function<'_>, &FakeHost) -> T) -> T {
        with(&mut self.places[number].function(), &self.host)
    }

    /// Takes a function for the hardware domain; see [`attach_as`](Self::attach_as).
    ///
    /// # Errors
    ///
    /// Those of [`Function::attach`].
    pub fn attach(&mut self, number: usize) -> Result<Written, AttachError> {
        let sbdf = self.sbdf(number);
        self.attach_as(number, &Info::hardware(sbdf))
    }

    /// Takes a function, with the room for vectors that it says it needs, and makes it the owner of its address.
    ///
    /// # Errors
    ///
    /// Those of [`Function::attach`].
    ///
    /// # Panics
    ///
    /// If its address has another owner.
    pub fn attach_as(&mut self, number: usize, info: &Info<'_>) -> Result<Written, AttachError> {
        let needed = usize::from(Function::vectors_needed(&self.host, info.sbdf));
        let place = &mut self.places[number];
        if place.vectors.len() < needed {
            place.vectors = zeroed(needed);
        }
        let written = place.function().attach(&self.host, info)?;
        place.attached = true;
        self.set_owner(info.sbdf, Owner::Function(Handle(number as u64)));
        self.update_windows(number);
        Ok(written)
    }

    /// Withholds what a guest's function, just taken, has of mirrors if it is `identity`, which then answers for them.
    ///
    /// # Errors
    ///
    /// Those of [`mirrors::guard`]; the function is let go.
    pub fn guard(&mut self, number: usize, identity: Identity, trusted: bool) -> Result<(), AttachError> {
        let guarded =
            self.function(number, |function, host| mirrors::guard(function, host, &identity, trusted));
        self.places[number].identity = Some(identity);
        if guarded.is_err() {
            self.detach(number);
        }
        guarded
    }

    /// Lets go of a function, whatever is under way.
    ///
    /// # Panics
    ///
    /// If the function does not exist.
    pub fn detach(&mut self, number: usize) {
        let (left, rest) = self.places.split_at_mut(number);
        let (place, right) = rest.split_first_mut().expect("the function exists");
        place.function().detach(&self.host, &Others(left, right));
        place.attached = false;
        let sbdf = place.sbdf;
        self.set_owner(sbdf, Owner::Default);
        self.domain().set_windows(Handle(number as u64), [None; TRAPPED]);
    }

    /// Does a part of what is under way, up to the next pause.
    ///
    /// # Panics
    ///
    /// If the function does not exist.
    pub fn step(&mut self, number: usize) -> Progress {
        let (left, rest) = self.places.split_at_mut(number);
        let (place, right) = rest.split_first_mut().expect("the function exists");
        let progress = place.function().step(&self.host, &Others(left, right));
        self.update_windows(number);
        progress
    }

    /// Takes a function from its domain for a reset, a step.
    ///
    /// # Panics
    ///
    /// If the function does not exist.
    pub fn withdraw(&mut self, number: usize) -> Progress {
        let (left, rest) = self.places.split_at_mut(number);
        let (place, right) = rest.split_first_mut().expect("the function exists");
        place.function().withdraw(&self.host, &Others(left, right))
    }

    /// Gives a function that was withdrawn back to its domain, guarded if it was.
    ///
    /// # Errors
    ///
    /// Those of [`Function::reattach`] and [`mirrors::guard`].
    pub fn reattach(&mut self, number: usize, info: &Info<'_>) -> Result<Written, AttachError> {
        let identity = self.places[number].identity;
        self.function(number, |function, host| {
            let written = function.reattach(host, &mut info.clone())?;
            match identity {
                Some(identity) => mirrors::guard(function, host, &identity, true).map(|()| written),
                None => Ok(written),
            }
        })
    }

    /// Steps until nothing is under way. Returns the number of pauses.
    ///
    /// # Panics
    ///
    /// If that takes for ever.
    pub fn settle(&mut self, number: usize) -> u32 {
        for pauses in 0..STEPS {
            if self.step(number) == Progress::Done {
                let pending = self.function(number, |function, _| function.is_pending());
                assert!(!pending, "work is left after the last step");
                return pauses;
            }
        }
        panic!("an operation does not end");
    }

    /// Reads as the domain does.
    ///
    /// # Panics
    ///
    /// If there is no such access.
    pub fn read(&mut self, number: usize, offset: u16, bytes: u32) -> u32 {
        let access = Access::new(u32::from(offset), bytes).expect("a legal access");
        self.function(number, |function, host| function.read(host, access))
    }

    /// Writes as the domain does and finishes what that starts.
    pub fn write(&mut self, number: usize, offset: u16, bytes: u32, value: u32) {
        if self.start_write(number, offset, bytes, value) == Written::Pending {
            self.settle(number);
        }
    }

    /// Writes as the domain does, with the exclusive lock if that is needed. What it starts is left to
    /// [`step`](Self::step).
    ///
    /// # Panics
    ///
    /// If the exclusive lock is not enough.
    pub fn start_write(&mut self, number: usize, offset: u16, bytes: u32, value: u32) -> Written {
        let shared = self.write_locked(number, offset, bytes, value, Locked::Shared);
        if shared != Written::NeedsExclusive {
            return shared;
        }
        let exclusive = self.write_locked(number, offset, bytes, value, Locked::Exclusive);
        assert_ne!(exclusive, Written::NeedsExclusive, "the exclusive lock is not enough");
        exclusive
    }

    /// Writes with this lock.
    ///
    /// # Panics
    ///
    /// If there is no such access.
    pub fn write_locked(
        &mut self,
        number: usize,
        offset: u16,
        bytes: u32,
        value: u32,
        locked: Locked,
    ) -> Written {
        let access = Access::new(u32::from(offset), bytes).expect("a legal access");
        self.function(number, |function, host| function.write(host, access, value, locked))
    }

    /// Reads memory at a guest address; `None` if it does not trap.
    pub fn mmio_read(&mut self, address: u64, bytes: u8) -> Option<u64> {
        let owner = self.window(address)?;
        let identity = self.places[owner].identity;
        Some(
            self.function(owner, |function, host| {
                function.mmio_read(host, &identity.as_ref(), address, bytes)
            }),
        )
    }

    /// Writes memory at a guest address, with the exclusive lock if that is needed, and finishes what that starts. Whether
    /// it traps.
    ///
    /// # Panics
    ///
    /// If the exclusive lock is not enough.
    pub fn mmio_write(&mut self, address: u64, bytes: u8, value: u64) -> bool {
        let Some(owner) = self.window(address) else { return false };
        let mut written = self.mmio_write_locked(owner, address, bytes, value, Locked::Shared);
        if written == Written::NeedsExclusive {
            written = self.mmio_write_locked(owner, address, bytes, value, Locked::Exclusive);
            assert_ne!(written, Written::NeedsExclusive, "the exclusive lock is not enough");
        }
        if written == Written::Pending {
            self.settle(owner);
        }
        true
    }

    /// Writes memory of a function at a guest address with this lock.
    pub fn mmio_write_locked(
        &mut self,
        number: usize,
        address: u64,
        bytes: u8,
        value: u64,
        locked: Locked,
    ) -> Written {
        let identity = self.places[number].identity;
        self.function(number, |function, host| {
            function.mmio_write(host, &identity.as_ref(), address, bytes, value, locked)
        })
    }

    /// The function that a trapped address belongs to.
    pub fn window(&self, address: u64) -> Option<usize> {
        let used = &self.windows[..self.windows_used as usize];
        let Handle(handle) = find_window(used, address >> 12)?;
        usize::try_from(handle).ok()
    }

    /// The owner of an address.
    pub fn owner(&self, sbdf: Sbdf) -> Owner {
        find_slot(&self.slots, sbdf).map_or(Owner::Default, Slot::owner)
    }

    /// Sets the owner of an address.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn set_owner(&mut self, sbdf: Sbdf, owner: Owner) {
        self.domain().set_owner(sbdf, owner).expect("there is room in the table of owners");
    }

    /// The numbers of owners and of windows.
    pub const fn domain_use(&self) -> (u32, u32) {
        (self.owners, self.windows_used)
    }

    fn domain(&mut self) -> Domain<'_> {
        Domain {
            owners: &mut self.owners,
            windows_used: &mut self.windows_used,
            slots: &mut self.slots,
            windows: &mut self.windows,
        }
    }

    fn update_windows(&mut self, number: usize) {
        let trapped = self.places[number].function().trapped();
        self.domain().set_windows(Handle(number as u64), trapped);
    }
}
