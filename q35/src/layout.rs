//! Where RAM ends, the hole below 4 GiB starts, and ECAM and BARs are: pure arithmetic, done before a guest is built.

use crate::pciexbar::{FIXED, FOUR_GIB, Window};

/// Addresses from `start` up to, and without, `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
}

impl Range {
    fn meets(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }
}

/// The RAM and the addresses of a guest. Addresses are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Platform {
    /// The end of RAM below 4 GiB.
    pub low_ram_end: u64,
    /// The end of RAM above 4 GiB; 0 if there is none.
    pub high_ram_end: u64,
    /// The width of physical addresses, 32 to 52.
    pub address_bits: u8,
}

impl Platform {
    /// Whether there can be such a guest: RAM ends below FEC00000 and, if there is any above 4 GiB, inside the width.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        let high = self.high_ram_end;
        self.low_ram_end <= FIXED
            && matches!(self.address_bits, 32..=52)
            && (high == 0 || high > FOUR_GIB && high <= self.address_end())
    }

    /// Whether ECAM may be there when a guest starts.
    ///
    /// # Errors
    ///
    /// [`Misfit::EcamFixed`], [`Misfit::EcamWidth`] or [`Misfit::EcamRam`].
    pub const fn check(&self, window: Window) -> Result<(), Misfit> {
        let range = range(window);
        if window.decoded() != window.size() {
            Err(Misfit::EcamFixed)
        } else if range.end > self.address_end() {
            Err(Misfit::EcamWidth)
        } else if range.start < self.low_ram_end || range.end > FOUR_GIB && range.start < self.high_ram_end {
            Err(Misfit::EcamRam)
        } else {
            Ok(())
        }
    }

    /// The end of what can be addressed.
    const fn address_end(&self) -> u64 {
        match 1u64.checked_shl(self.address_bits as u32) {
            Some(end) => end,
            None => u64::MAX,
        }
    }
}

/// The addresses of a window.
const fn range(window: Window) -> Range {
    let start = window.base();
    Range { start, end: start + window.size() as u64 } // CAST: widening; below 2^37.
}

/// Where ECAM shall be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ecam {
    /// There, as firmware knows it: OVMF's is 256 MB at B0000000.
    At(Window),
    /// As low in the hole as it can be, with this size in bytes: 64, 128 or 256 MB.
    Anywhere(u32),
}

/// A BAR of a passed-through device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Bytes, a power of two.
    pub size: u64,
    /// It can be above 4 GiB.
    pub is_64_bit: bool,
    /// Where it is: a result of [`plan`].
    pub address: u64,
}

/// What a guest shall have.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Bytes of RAM in all, a multiple of 1 MiB.
    pub ram: u64,
    /// The hole starts there if all fits: Xen's is F0000000. A multiple of 1 MiB.
    pub hole_start: u64,
    /// To make room it may start as low as this; the same where RAM cannot be moved. A multiple of 1 MiB.
    pub least_hole_start: u64,
    /// The hole ends there, at most at FEC00000: what is behind it is the platform's. Xen's is FC000000.
    pub hole_end: u64,
    /// The width of physical addresses, 32 to 52.
    pub address_bits: u8,
    /// Nothing is placed there: regions that the host reserves for a device (RMRR).
    pub reserved: &'a [Range],
    /// Where ECAM shall be.
    pub ecam: Ecam,
}

/// Where all is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The end of RAM below and above 4 GiB.
    pub platform: Platform,
    /// Where the hole below 4 GiB starts.
    pub hole_start: u64,
    /// TOLUD: bits 31:20 of the start of the hole, in bits 15:4.
    pub tolud: u16,
    /// TOUUD: bits 35:20 of the end of RAM, 4 GiB if there is none above; FFFF if it ends at 64 GB or above.
    pub touud: u16,
    /// ECAM.
    pub ecam: Window,
}

/// Why something does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// The input contradicts itself, or a number in it is out of its range.
    Input,
    /// RAM ends beyond what the guest can address.
    RamWidth,
    /// ECAM would be over RAM, or below the hole.
    EcamRam,
    /// ECAM would be, in part, behind the hole, below 4 GiB.
    EcamFixed,
    /// ECAM would end beyond what the guest can address.
    EcamWidth,
    /// ECAM would be over a reserved region.
    EcamReserved,
    /// There is no room for ECAM in the largest hole.
    EcamRoom,
    /// There is no room for a 32-bit BAR in the largest hole.
    LowBar,
    /// There is no room for a 64-bit BAR, above RAM either.
    HighBar,
}

/// Finds the smallest hole, in steps of 64 MB, that all fits in: ECAM first, then 32-bit BARs, then 64-bit BARs, each of
/// them above RAM if there is no room left. Among BARs of a kind, larger ones are first.
///
/// Work: for each of up to 65 sizes of the hole, at most the cube of the number of BARs and reserved regions together.
///
/// # Errors
///
/// See [`Misfit`]; of several reasons, that of the largest hole. The addresses in `bars` mean nothing then.
pub fn plan(input: &Input<'_>, bars: &mut [Bar]) -> Result<Layout, Misfit> {
    if !is_valid(input, bars) {
        return Err(Misfit::Input);
    }
    let mut hole_start = input.hole_start;
    loop {
        let planned = plan_hole(input, bars, hole_start);
        if planned.is_ok() || hole_start <= input.least_hole_start {
            return planned;
        }
        // Xen and firmware know no finer steps than the smallest ECAM window.
        hole_start = ((hole_start - 1) & !(STEP - 1)).max(input.least_hole_start);
    }
}

/// By how much a hole grows.
const STEP: u64 = 0x0400_0000;
const MIB: u64 = 1 << 20;

fn is_valid(input: &Input<'_>, bars: &[Bar]) -> bool {
    let Input { ram, hole_start, least_hole_start, hole_end, address_bits, reserved, .. } = *input;
    (ram | hole_start | least_hole_start) & (MIB - 1) == 0
        && ram != 0
        && ram < 1 << 52
        && least_hole_start != 0
        && least_hole_start <= hole_start
        && hole_start <= hole_end
        && hole_end <= FIXED
        && matches!(address_bits, 32..=52)
        && reserved.iter().all(|range| range.start <= range.end)
        && bars.iter().all(|bar| bar.size.is_power_of_two())
}

/// [`plan`] for one hole.
fn plan_hole(input: &Input<'_>, bars: &mut [Bar], hole_start: u64) -> Result<Layout, Misfit> {
    let low_ram_end = input.ram.min(hole_start);
    let above = input.ram - low_ram_end;
    let high_ram_end = if above == 0 { 0 } else { FOUR_GIB + above };
    let platform = Platform { low_ram_end, high_ram_end, address_bits: input.address_bits };
    if !platform.is_valid() {
        return Err(Misfit::RamWidth);
    }
    let hole = Range { start: hole_start, end: input.hole_end };
    let ecam = place_ecam(input, &platform, hole)?;
    let high = Range { start: FOUR_GIB.max(high_ram_end), end: platform.address_end() };

    for bar in &mut *bars {
        bar.address = 0;
    }
    let taken = [range(ecam)];
    while let Some(at) = largest(bars, false) {
        place(bars, at, hole, input.reserved, taken).ok_or(Misfit::LowBar)?;
    }
    while let Some(at) = largest(bars, true) {
        let low = place(bars, at, hole, input.reserved, taken);
        low.or_else(|| place(bars, at, high, input.reserved, taken)).ok_or(Misfit::HighBar)?;
    }
    Ok(Layout {
        platform,
        hole_start,
        // CAST: the hole starts below 4 GiB; the other is at most FFFF.
        tolud: (hole_start >> 20 << 4) as u16,
        touud: (high.start >> 20).min(0xffff) as u16,
        ecam,
    })
}

fn place_ecam(input: &Input<'_>, platform: &Platform, hole: Range) -> Result<Window, Misfit> {
    match input.ecam {
        Ecam::At(window) => {
            platform.check(window)?;
            let at = range(window);
            if at.start < FOUR_GIB && at.start < hole.start {
                return Err(Misfit::EcamRam);
            }
            if at.start < FOUR_GIB && at.end > hole.end {
                return Err(Misfit::EcamFixed);
            }
            let free = !input.reserved.iter().any(|reserved| reserved.meets(at));
            if free { Ok(window) } else { Err(Misfit::EcamReserved) }
        }
        Ecam::Anywhere(size) => {
            if Window::new(0, size).is_none() {
                return Err(Misfit::Input);
            }
            let start =
                find(hole, u64::from(size), &input.reserved.iter().copied()).ok_or(Misfit::EcamRoom)?;
            Window::new(start, size).ok_or(Misfit::EcamRoom)
        }
    }
}

/// The number of the largest BAR of a kind that has no address yet.
fn largest(bars: &[Bar], is_64_bit: bool) -> Option<usize> {
    let left = bars.iter().enumerate().filter(|(_, bar)| bar.is_64_bit == is_64_bit && bar.address == 0);
    left.reduce(|largest, next| if next.1.size > largest.1.size { next } else { largest }).map(|(at, _)| at)
}

/// Gives the BAR of this number the lowest free address in `room`.
fn place(bars: &mut [Bar], at: usize, room: Range, reserved: &[Range], ecam: [Range; 1]) -> Option<()> {
    let size = bars.get(at)?.size;
    let placed = bars.iter().filter(|bar| bar.address != 0);
    let placed = placed.map(|bar| Range { start: bar.address, end: bar.address.saturating_add(bar.size) });
    let start = find(room, size, &reserved.iter().copied().chain(ecam).chain(placed))?;
    bars.get_mut(at)?.address = start;
    Some(())
}

/// The lowest multiple of `size` in `room` where `size` bytes meet nothing that is taken.
fn find(room: Range, size: u64, taken: &(impl Iterator<Item = Range> + Clone)) -> Option<u64> {
    let mut start = room.start.checked_next_multiple_of(size)?;
    loop {
        let end = start.checked_add(size).filter(|end| *end <= room.end)?;
        let Some(in_the_way) = taken.clone().find(|taken| taken.meets(Range { start, end })) else {
            return Some(start);
        };
        start = in_the_way.end.checked_next_multiple_of(size)?;
    }
}
