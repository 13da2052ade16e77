//! What is kept from a domain of a device's BARs: pages that are left out of the p2m, so that accesses to them trap, and
//! I/O BARs that a guest does not have.
//!
//! The pages of the MSI-X table and PBA are two of these. Why others are is not known here: whoever knows says so with
//! [`Function::withhold`], and answers for their bytes as [`Mirrors`].

use capabilities::Width;
use capabilities::header::{self, Command};
use capabilities::policy::Act;
use zerocopy::FromZeros;

use crate::attach::AttachError;
use crate::bar::{Bar, BarKind};
use crate::function::{Function, State};
use crate::pages::PAGE_SHIFT;
use crate::{Host, Pages};

/// The ranges of pages of a guest's function that can be withheld.
pub const HOLES: usize = 3;
/// The ranges of pages of a function that can trap: those, and two for MSI-X.
pub const TRAPPED: usize = 2 + if cfg!(feature = "guest") { HOLES } else { 0 };

/// Bytes of a BAR: where they are, as the registers of MSI-X say it (PCIe 7.7.2.3), and how many.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
#[repr(C)]
pub(crate) struct Region {
    /// The offset in the BAR, a multiple of 8, and the BAR in bits 2:0.
    location: u32,
    size: u32,
}

impl Region {
    pub(crate) const fn new(bar: u8, offset: u32, size: u32) -> Self {
        Self { location: offset | (bar & 7) as u32, size } // CAST: widening; `From` is not const.
    }

    /// Where it is, as a register of MSI-X says it.
    pub(crate) const fn location(self) -> u32 {
        self.location
    }

    fn offset(self) -> u64 {
        u64::from(self.location & !7)
    }

    /// The BAR that it is in.
    pub(crate) fn bar(self, bars: &[Bar]) -> Option<&Bar> {
        bars.get(self.location as usize & 7) // CAST: widening.
    }

    /// How far into the region a guest address is; `None` outside.
    pub(crate) fn offset_of(self, bars: &[Bar], address: u64) -> Option<u64> {
        let start = self.bar(bars)?.guest.checked_add(self.offset())?;
        address.checked_sub(start).filter(|offset| *offset < u64::from(self.size))
    }

    /// The guest frames that it touches; `None` if its BAR has no address.
    pub(crate) fn pages(self, bars: &[Bar]) -> Option<Pages> {
        let start = self.bar(bars).filter(|bar| bar.placed)?.guest.checked_add(self.offset())?;
        Pages::spanning(start, u64::from(self.size))
    }

    /// The host frames that it touches.
    pub(crate) fn host_pages(self, bars: &[Bar]) -> Option<Pages> {
        let start = self.bar(bars)?.address.checked_add(self.offset())?;
        Pages::spanning(start, u64::from(self.size))
    }
}

/// Pages of a memory BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// The BAR, 0 to 5.
    pub bar: u8,
    /// The first page, counted from the start of the BAR.
    pub first: u64,
    /// The last; a BAR smaller than a page has page 0.
    pub last: u64,
}

/// Whose an access to a page that is withheld is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The device's.
    Device,
    /// The guest's configuration space, at this offset: a read there, or a write, in the same width.
    View(u16),
    /// Nobody's: it reads all ones, and a write is dropped.
    Closed,
}

/// Who answers for the bytes of pages that trap in a guest, but for the MSI-X table.
pub trait Mirrors {
    /// Whose an access of `width` is, aligned to it, at `offset` in number `bar` of these BARs: a read, or a write of a
    /// value. A qword is asked about as its two dwords.
    fn way(&self, bars: &[Bar; 7], bar: u8, offset: u64, width: Width, written: Option<u32>) -> Way;
}

/// All is the device's.
impl Mirrors for () {
    fn way(&self, _: &[Bar; 7], _: u8, _: u64, _: Width, _: Option<u32>) -> Way {
        Way::Device
    }
}

/// All is the device's, if nobody else answers.
impl<M: Mirrors> Mirrors for Option<&M> {
    fn way(&self, bars: &[Bar; 7], bar: u8, offset: u64, width: Width, written: Option<u32>) -> Way {
        self.map_or(Way::Device, |mirrors| mirrors.way(bars, bar, offset, width, written))
    }
}

impl State {
    /// The guest frames whose accesses must trap.
    pub(crate) fn trapped(&self) -> impl Iterator<Item = Pages> {
        self.regions.iter().filter_map(|region| region.pages(&self.bars))
    }

    /// Whether pages of a BAR, 0 to 5, trap.
    #[must_use]
    pub fn traps_in(&self, bar: u8) -> bool {
        self.regions.iter().any(|region| region.size != 0 && region.location & 7 == u32::from(bar))
    }
}

impl Function<'_> {
    /// Keeps pages of memory BARs and whole I/O BARs (`ports`, a bit each) from the guest that has just got the function:
    /// the pages are never mapped for it, and it has no such I/O BARs. It is to be done again after each
    /// [`attach`](Self::attach) and [`reattach`](Self::reattach), before the guest runs.
    ///
    /// # Errors
    ///
    /// [`AttachError::Full`]: there are more ranges than [`HOLES`], or one is not in the first 4 GiB of a memory BAR. The
    /// function is to be detached.
    pub fn withhold<H: Host>(
        &mut self,
        host: &H,
        holes: impl Iterator<Item = Hole>,
        ports: u8,
    ) -> Result<(), AttachError> {
        for hole in holes {
            self.leave_out(hole).ok_or(AttachError::Full)?;
        }
        for number in (0..header::BARS).filter(|number| ports >> number & 1 != 0) {
            let at = usize::from(number);
            if let Some(bar) = self.state.bars.get_mut(at).filter(|bar| bar.kind == BarKind::Io) {
                *bar = Bar::new_zeroed();
                self.define_bar(header::BAR0 + number * 4, Act::Bar, at, 0)?;
            }
        }
        if ports != 0 {
            // The device decodes no ports that nobody has.
            self.write_hardware_command(host, self.hardware_command(Command::empty()));
        }
        Ok(())
    }

    /// Leaves pages out, unless they are already. `None` if that is not possible.
    fn leave_out(&mut self, hole: Hole) -> Option<()> {
        let bar = self.state.bars.get(usize::from(hole.bar)).filter(|bar| bar.is_memory())?;
        let offset = hole.first.checked_mul(1 << PAGE_SHIFT)?;
        let pages = hole.last.checked_sub(hole.first)?.checked_add(1)?;
        let size = pages.checked_mul(1 << PAGE_SHIFT)?.min(bar.size.checked_sub(offset)?);
        let size = u32::try_from(size).ok().filter(|size| *size != 0)?;
        let region = Region::new(hole.bar, u32::try_from(offset).ok()?, size);
        let [_, _, holes @ ..] = &mut self.state.regions;
        let known = |other: &&mut Region| {
            other.size == 0 || (other.location, other.size) == (region.location, region.size)
        };
        *holes.iter_mut().find(known)? = region;
        Some(())
    }
}
