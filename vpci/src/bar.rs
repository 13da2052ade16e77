//! Base address registers (PCIe 7.5.1.2.1): what they are, and writes by the hardware domain.

use capabilities::{Sbdf, Width, header};
use zerocopy::FromZeros;

use crate::function::Function;
use crate::{Host, Pages, Refusal};

/// What a BAR register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub enum BarKind {
    /// Not implemented.
    Empty = 0,
    /// I/O ports; not mapped by the library.
    Io,
    /// 32-bit memory.
    Memory32,
    /// 64-bit memory, low half.
    Memory64,
    /// The high half of the BAR before it.
    High,
    /// The expansion ROM.
    Rom,
}

/// Whether a BAR is in the p2m.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub(crate) enum Presence {
    /// No page of it.
    Absent = 0,
    /// Some pages may be: work on it is under way.
    Partial,
    /// All pages that it shall have.
    Present,
    /// Pages that the host did not unmap, and no work on them: they are tried again with the next change. Until then
    /// the BAR stays where it is.
    Stuck,
}

/// A BAR or the expansion ROM of a function.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Bar {
    /// Host address in bytes.
    pub(crate) address: u64,
    /// Address in the domain in bytes; the hardware domain sees host addresses.
    pub(crate) guest: u64,
    /// Size in bytes, a power of two.
    pub(crate) size: u64,
    /// The first guest frame that, with all behind it, mapping has not come to.
    pub(crate) reached: u64,
    pub(crate) kind: BarKind,
    pub(crate) prefetchable: bool,
    pub(crate) presence: Presence,
    /// Whether it shall be in the p2m.
    pub(crate) wanted: bool,
    /// Whether it has an address in the domain.
    pub(crate) placed: bool,
}

impl Bar {
    /// Where it is in the domain; `None` for one that is not mapped, has no address, or whose end passes 2^64.
    pub(crate) const fn pages(&self) -> Option<Pages> {
        match self.kind {
            BarKind::Memory32 | BarKind::Memory64 | BarKind::Rom if self.placed => {
                Pages::spanning(self.guest, self.size)
            }
            _ => None,
        }
    }

    /// Of those, the ones that mapping has come to: what may have to be unmapped.
    pub(crate) fn reached(&self) -> Option<Pages> {
        let Pages { first, last } = self.pages()?;
        let last = last.min(self.reached.checked_sub(1)?);
        (first <= last).then_some(Pages { first, last })
    }

    /// What the BAR is.
    #[must_use]
    pub const fn kind(&self) -> BarKind {
        self.kind
    }

    /// Its host address and its size in bytes.
    #[must_use]
    pub const fn host_range(&self) -> (u64, u64) {
        (self.address, self.size)
    }

    /// Its address in the domain; `None` if it has none.
    #[must_use]
    pub const fn guest_address(&self) -> Option<u64> {
        if self.placed { Some(self.guest) } else { None }
    }

    /// Whether the memory it decodes is prefetchable.
    #[must_use]
    pub const fn prefetchable(&self) -> bool {
        self.prefetchable
    }

    /// Whether all of it is in the p2m.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Present)
    }
}

/// The address and size that a memory BAR or ROM register decodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sized {
    pub(crate) address: u64,
    /// 0 if the register is not implemented.
    pub(crate) size: u64,
}

impl Sized {
    /// The size is the lowest address bit that can be set; a register of 0 has none. A device that lies may give an
    /// address with bits below it.
    const fn new(address: u64, settable: u64) -> Self {
        let size = settable & settable.wrapping_neg();
        Self { address: address & size.wrapping_neg(), size }
    }
}

/// Sizes a 32-bit register at `offset` whose address bits are `mask`, memory decoding being off.
pub(crate) fn size32<H: Host>(host: &H, sbdf: Sbdf, offset: u16, mask: u32) -> Sized {
    let old = host.config_read(sbdf, offset, Width::Dword);
    let low = probe(host, sbdf, offset, old) & mask;
    Sized::new(u64::from(old & mask), u64::from(low))
}

/// Sizes a 64-bit memory BAR at `offset`, memory decoding being off.
pub(crate) fn size64<H: Host>(host: &H, sbdf: Sbdf, offset: u16) -> Sized {
    let old_low = host.config_read(sbdf, offset, Width::Dword);
    let old_high = host.config_read(sbdf, offset + 4, Width::Dword);
    let low = probe(host, sbdf, offset, old_low) & header::BAR_ADDRESS;
    let high = probe(host, sbdf, offset + 4, old_high);
    let address = u64::from(old_high) << 32 | u64::from(old_low & header::BAR_ADDRESS);
    Sized::new(address, u64::from(high) << 32 | u64::from(low))
}

/// What a register reads back after a write of all ones; its old value is restored.
fn probe<H: Host>(host: &H, sbdf: Sbdf, offset: u16, old: u32) -> u32 {
    host.config_write(sbdf, offset, Width::Dword, u32::MAX);
    let read = host.config_read(sbdf, offset, Width::Dword);
    host.config_write(sbdf, offset, Width::Dword, old);
    read
}

impl Function<'_> {
    /// The hardware domain writes `value` to the BAR register at `offset`: it may move a BAR that is not mapped. The
    /// address that a mapped one has may be written again, as is done where a device lost it with its power.
    pub(crate) fn write_bar<H: Host>(&mut self, host: &H, offset: u16, value: u32) {
        let at = usize::from(offset.saturating_sub(header::BAR0) / 4);
        let high = matches!(self.state.bars.get(at), Some(bar) if bar.kind == BarKind::High);
        let Some(bar) = self.state.bars.get_mut(if high { at.wrapping_sub(1) } else { at }) else { return };
        let value = if high { value } else { value & header::BAR_ADDRESS };
        let shift = if high { 32 } else { 0 };
        let address = bar.address & !(u64::from(u32::MAX) << shift) | u64::from(value) << shift;
        // Bits below the size are none of the register's.
        let address = address & bar.size.wrapping_neg();
        if address != bar.address && (bar.presence != Presence::Absent || bar.wanted) {
            self.refuse(Refusal::BarMapped);
            return;
        }
        bar.address = address;
        bar.guest = address;
        let mut written = value;
        if !high {
            written |= if bar.kind == BarKind::Memory64 { header::BAR_TYPE_64 } else { 0 };
            written |= if bar.prefetchable { header::BAR_PREFETCHABLE } else { 0 };
        }
        host.config_write(self.state.sbdf(), offset, Width::Dword, written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_aligned_and_ends_inside_the_address_space() {
        assert_eq!(Sized::new(0xfe01_0010, 0xffff_0000), Sized { address: 0xfe01_0000, size: 0x1_0000 });
        assert_eq!(Sized::new(u64::MAX, 1 << 63), Sized { address: 1 << 63, size: 1 << 63 });
        assert_eq!(Sized::new(0x1000, 0), Sized { address: 0, size: 0 });
    }
}
