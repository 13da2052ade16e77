//! MSI-X (PCIe 7.7.2): the control register, and the vectors behind the table.

use capabilities::msix::Location;
use capabilities::{CONFIG_SIZE, Width, msix};
use zerocopy::FromZeros;

use crate::bar::BarKind;
use crate::function::{Function, State};
use crate::map::Source;
use crate::register::Effect;
use crate::withheld::Region;
use crate::{Host, Message, Pirq, Refusal};

/// A vector: its table entry as the domain wrote it, and the PIRQ that delivers it.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Vector {
    pub(crate) address: u64,
    pub(crate) data: u32,
    /// Meaningful while `bound`.
    pirq: i32,
    pub(crate) masked: bool,
    /// Whether the domain wrote the message since it was last bound.
    pub(crate) updated: bool,
    bound: bool,
}

static_assertions::const_assert_eq!(size_of::<Vector>(), 24);

impl Vector {
    /// The message the domain wants.
    #[must_use]
    pub const fn message(&self) -> Message {
        Message { address: self.address, data: self.data }
    }

    /// Whether the vector's own mask bit is set.
    #[must_use]
    pub const fn masked(&self) -> bool {
        self.masked
    }

    /// The PIRQ, if the vector is bound to one.
    #[must_use]
    pub const fn pirq(&self) -> Option<Pirq> {
        if self.bound { Some(Pirq(self.pirq)) } else { None }
    }

    /// Binds the vector anew to what the table says. Whether that worked; if not, nothing is bound.
    fn rebind<H: Host>(&mut self, host: &H, entry: u16, table: u64) -> bool {
        self.release(host);
        if !self.message().is_deliverable() {
            return false;
        }
        let Ok(pirq) = host.map_msix(entry, table) else { return false };
        if host.bind(pirq, 1, self.message(), u32::from(self.masked)).is_err() {
            host.unmap_pirq(pirq);
            return false;
        }
        self.pirq = pirq.0;
        self.bound = true;
        self.updated = false;
        true
    }

    /// Gives back the PIRQ and its binding. Whether there was one.
    fn release<H: Host>(&mut self, host: &H) -> bool {
        let bound = self.bound;
        if bound {
            host.unbind(Pirq(self.pirq), 1);
            host.unmap_pirq(Pirq(self.pirq));
            self.bound = false;
        }
        bound
    }
}

/// The state of a function's MSI-X capability. All zeros is a function without one.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
pub struct Msix {
    offset: u8,
    enabled: bool,
    masked: bool,
    /// 1 to 2048.
    entries: u16,
}

impl Msix {
    pub(crate) const fn exists(self) -> bool {
        self.offset != 0
    }

    /// The offset of the capability; `None` if there is none.
    pub(crate) fn offset(self) -> Option<u16> {
        self.exists().then_some(u16::from(self.offset))
    }

    /// Whether this is the state of the capability at `offset`.
    pub(crate) const fn is_at(self, offset: u16) -> bool {
        self.offset as u16 == offset // CAST: widening; `From` is not const.
    }

    /// The capability is hidden. Its table and PBA stay where they are, and so do the pages that trap.
    pub(crate) const fn forget(&mut self) {
        self.offset = 0;
    }

    /// Whether the domain enabled it.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the function mask is set.
    #[must_use]
    pub const fn masked(&self) -> bool {
        self.masked
    }

    /// The number of vectors, 1 to 2048.
    #[must_use]
    pub const fn entries(&self) -> u16 {
        self.entries
    }

    const fn control(self) -> u16 {
        (self.entries - 1) & msix::TABLE_SIZE
            | if self.enabled { msix::ENABLE } else { 0 }
            | if self.masked { msix::FUNCTION_MASK } else { 0 }
    }

    /// Whether vectors may be delivered.
    pub(crate) const fn active(self) -> bool {
        self.enabled && !self.masked
    }
}

impl State {
    /// The host address of the BAR with the table.
    fn table_bar(&self) -> u64 {
        let [table, ..] = self.regions;
        table.bar(&self.bars).map_or(0, |bar| bar.address)
    }
}

impl Function<'_> {
    /// Mediates the MSI-X capability at `offset`.
    ///
    /// # Errors
    ///
    /// It leaves the standard space, the table or PBA is not inside a memory BAR, its registers are taken, or there
    /// is no room for its vectors: the capability is to be hidden.
    pub(crate) fn attach_msix<H: Host>(&mut self, host: &H, offset: u8) -> Result<(), ()> {
        let (sbdf, base) = (self.state.sbdf(), u16::from(offset));
        if base + msix::LENGTH > CONFIG_SIZE {
            return Err(());
        }
        let entries = msix::entries(host.config_read(sbdf, base + msix::CONTROL, Width::Word) as u16); // CAST: a word.
        let table_size = u64::from(entries) * msix::ENTRY_SIZE;
        let mut regions = [Region::default(); 2];
        let sources = [(msix::TABLE, table_size), (msix::PBA, msix::pba_size(entries))];
        for (region, (register, size)) in regions.iter_mut().zip(sources) {
            let location = Location::from_register(host.config_read(sbdf, base + register, Width::Dword));
            let bar = self.state.bars.get(usize::from(location.bir)).ok_or(())?;
            let memory = matches!(bar.kind, BarKind::Memory32 | BarKind::Memory64);
            if !memory || u64::from(location.offset) + size > bar.size {
                return Err(());
            }
            // CAST: at most 2048 entries of 16 bytes.
            *region = Region::new(location.bir, location.offset, size as u32);
        }
        if self.vectors.len() < usize::from(entries) {
            return Err(());
        }
        // Those that the function does not have stay masked, so that nothing binds them.
        self.vectors.fill(Vector { masked: true, ..FromZeros::new_zeroed() });
        let msix = Msix { offset, entries, ..FromZeros::new_zeroed() };
        let control = Source::Virtual(u32::from(msix.control()));
        self.define_effect(base + msix::CONTROL, Width::Word, control, Effect::MsixControl)
            .map_err(|_| ())?;
        self.state.msix = msix;
        let [table, pba, ..] = &mut self.state.regions;
        [*table, *pba] = regions;
        Ok(())
    }

    pub(crate) fn write_msix_control<H: Host>(&mut self, host: &H, at: usize, value: u16) {
        let (enable, masked) = (value & msix::ENABLE != 0, value & msix::FUNCTION_MASK != 0);
        if self.is_guest() && (value ^ self.state.msix.control()) & !(msix::ENABLE | msix::FUNCTION_MASK) != 0
        {
            self.refuse(Refusal::ReadOnly);
        }
        let msix = &mut self.state.msix;
        if (enable, masked) == (msix.enabled, msix.masked) {
            return;
        }
        let was_active = msix.active();
        let was_enabled = msix.enabled;
        msix.enabled = enable;
        msix.masked = masked;
        let (active, table) = (msix.active(), self.state.table_bar());
        let mut refused = false;
        if active && !was_active {
            // Only what the domain wrote since it was last bound is bound anew.
            for (entry, vector) in (0..).zip(self.vectors.iter_mut()) {
                if !vector.masked && vector.updated {
                    refused |= !vector.rebind(host, entry, table);
                }
            }
        } else if !enable && was_enabled {
            for vector in self.vectors.iter_mut() {
                // An entry that keeps its message across a disable must be bound when it is next unmasked.
                vector.updated |= vector.release(host);
            }
        }
        if refused {
            self.refuse(Refusal::Interrupt);
        }
        let control = self.state.msix.control();
        self.set_register(at, u32::from(control) << 16, 0xffff_0000);
        let offset = u16::from(self.state.msix.offset) + msix::CONTROL;
        if let Some(control) = host.filter_msix_control(offset, control) {
            host.config_write(self.state.sbdf(), offset, Width::Word, u32::from(control));
        }
    }

    /// The domain sets the mask bit of vector `entry` to `masked`.
    pub(crate) fn mask_vector<H: Host>(&mut self, host: &H, entry: u16, masked: bool) {
        let table = self.state.table_bar();
        let active = self.state.msix.active();
        let Some(vector) = self.vectors.get_mut(usize::from(entry)) else { return };
        if vector.masked == masked {
            return;
        }
        vector.masked = masked;
        if !masked && active && vector.updated {
            if !vector.rebind(host, entry, table) {
                self.refuse(Refusal::Interrupt);
            }
        } else if let Some(pirq) = vector.pirq() {
            host.mask(pirq, 0, masked);
        }
    }

    /// Gives back every PIRQ of MSI-X.
    pub(crate) fn release_vectors<H: Host>(&mut self, host: &H) {
        for vector in self.vectors.iter_mut() {
            vector.release(host);
        }
        self.state.msix.enabled = false;
    }
}
