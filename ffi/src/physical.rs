//! Physical functions: what they were like in trusted hands, and what their kind is known for.

use core::mem::offset_of;

use static_assertions::{const_assert, const_assert_eq};

use capabilities::{ConfigReader, Sbdf, Width};
use quirks::reset::{Limiter, Member, Outcome, Region, Request, Reset, Snapshot, SnapshotError, Subject};
use quirks::table::{Identity, RawRow, Row, Traits};
use quirks::{Flags, Methods, Quirks};

use crate::abi::{
    E2BIG, EBUSY, EINVAL, ENODEV, EOPNOTSUPP, Errno, RVPCI_QUIRK_DENY, RVPCI_TRAIT_AMD_IOMMU,
    RVPCI_TRAIT_ROOT_BUS, RVPCI_TRAIT_VIRTUAL, rvpci_physical_info, rvpci_quirk, rvpci_region,
};
use crate::host::Machine;

/// What the library keeps of a physical function, whoever has it.
pub struct rvpci_physical {
    pub(crate) kept: Kept,
    pub(crate) snapshot: Snapshot,
}

/// All but the snapshot.
pub(crate) struct Kept {
    pub(crate) identity: Identity,
    pub(crate) quirks: Quirks,
    pub(crate) limiter: Limiter,
    pub(crate) reset: Reset,
    /// How the last one ended; `None` before the first.
    pub(crate) outcome: Option<Outcome>,
    /// Resets that ended. It wraps.
    pub(crate) count: u32,
    pub(crate) running: bool,
}

const_assert!(align_of::<rvpci_physical>() == 8);
const_assert!(size_of::<rvpci_physical>() <= 3072);

/// The bytes of memory, aligned to 8, that a physical function needs.
///
/// Lock: none. Work: constant.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_physical_size() -> usize {
    size_of::<rvpci_physical>()
}

/// Makes a physical function of which nothing is known.
///
/// Lock: none, as for all of its functions: nobody else uses it meanwhile. Work: constant.
///
/// # Safety
///
/// There are `rvpci_physical_size()` bytes at `physical`, aligned to 8, for the library alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_physical_init(physical: *mut rvpci_physical) {
    let kept = Kept {
        identity: Identity::default(),
        quirks: Quirks::NONE,
        limiter: Limiter::default(),
        reset: Reset::new(Request::NONE),
        outcome: None,
        count: 0,
        running: false,
    };
    // SAFETY: the caller gives the bytes. Zeros are a valid snapshot.
    unsafe { physical.write_bytes(0, 1) };
    // SAFETY: it is inside.
    let place = unsafe { &raw mut (*physical).kept };
    // SAFETY: it is aligned.
    unsafe { place.write(kept) };
}

impl rvpci_physical {
    pub(crate) const fn member(&self) -> Member<'_> {
        Member { snapshot: &self.snapshot, quirks: &self.kept.quirks }
    }
}

/// The configuration space of a function, or of a virtual one with the identifiers that its physical function says.
struct Config {
    sbdf: Sbdf,
    ids: Option<u32>,
}

impl ConfigReader for Config {
    fn read(&self, offset: u16, width: Width) -> u32 {
        match (self.ids, offset, width) {
            (Some(ids), 0, Width::Dword) => ids,
            _ => Machine::config_read(self.sbdf, offset, width),
        }
    }
}

/// Reads what a function is and how it is set up, and takes its snapshot: it is in the hands of someone who is trusted,
/// and as its next owner is to find it. What was known before is forgotten, quirks too; `rvpci_physical_quirks` comes
/// next. No reset of it goes on.
///
/// Work: at most 310 configuration reads.
/// Returns 0; -ENODEV if it does not answer, -EOPNOTSUPP for a bridge or an unknown header, -E2BIG if it has more
/// capabilities than there is room for: then it has no snapshot; -EBUSY while it is being reset: then nothing was done.
///
/// # Safety
///
/// `physical` is a physical function, and `info` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_physical_learn(
    physical: *mut rvpci_physical,
    info: *const rvpci_physical_info,
) -> i32 {
    // SAFETY: the caller promises a physical function for itself alone.
    let physical = unsafe { &mut *physical };
    // SAFETY: the caller promises that it can be read.
    let info = unsafe { &*info };
    if physical.kept.running {
        return -EBUSY;
    }
    // SAFETY: the caller promises that it can be read, if it is not NULL.
    let vf = unsafe { info.vf.as_ref() };
    let ids = vf.map(|vf| vf.ids);
    let sbdf = Sbdf(info.sbdf);
    let mut traits = Traits::from_bits_truncate(info.traits as u16); // CAST: 10 bits.
    traits.set(Traits::VIRTUAL, vf.is_some());
    let mut bars = info.bar.map(|bar| Region { address: bar.address, size: bar.size });
    if let Some(vf) = vf {
        for (bar, (address, size)) in bars.iter_mut().zip(vf.address.iter().zip(&vf.size)) {
            *bar = Region { address: *address, size: *size };
        }
    }
    physical.kept.identity = Identity::read(&Config { sbdf, ids }, sbdf, traits);
    physical.kept.quirks = quirks::table::find(&physical.kept.identity, &[]);
    let subject = Subject { sbdf, virtual_function: vf.is_some(), bars };
    physical.snapshot.take(&Machine, &subject, &physical.kept.quirks).err().map_or(0, Errno::errno)
}

impl Errno for SnapshotError {
    fn errno(self) -> i32 {
        match self {
            Self::Absent => -ENODEV,
            Self::Unsupported => -EOPNOTSUPP,
            Self::Full => -E2BIG,
        }
    }
}

/// Looks up what is known of the function's kind, by the library's tables and by `count` rows of the toolstack, which
/// have passed `rvpci_quirk_check`. Nothing changes while it is being reset. `d3hot_ms` is the longest that `rvpci_d3hot_delay` said of any device of the machine.
///
/// Work: one look at each row given, and two binary searches.
///
/// # Safety
///
/// `physical` is a physical function that was learnt; there are `count` rows, which can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_physical_quirks(
    physical: *mut rvpci_physical,
    rows: *const rvpci_quirk,
    count: u32,
    d3hot_ms: u32,
) {
    // SAFETY: the caller promises a physical function for itself alone.
    let physical = unsafe { &mut *physical };
    if physical.kept.running {
        return;
    }
    let of = physical.kept.identity;
    let mut all = quirks::table::find(&of, &[]);
    if let Some(ms) = u16::try_from(d3hot_ms).ok().filter(|ms| *ms != 0) {
        all = all.with_d3hot_delay_of_all(ms);
    }
    for at in 0..count {
        // SAFETY: the caller promises so many.
        let row = unsafe { rows.add(at as usize) }; // CAST: widening.
        // SAFETY: it can be read, and is aligned.
        all = all.with_rows(&of, unsafe { to_row(row) });
    }
    physical.kept.quirks = all;
}

/// What is known of the function's kind without a number to it: `RVPCI_QUIRK_DENY`, and the others of
/// `quirks::Flags`.
///
/// Work: constant.
///
/// # Safety
///
/// `physical` is a physical function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_physical_flags(physical: *const rvpci_physical) -> u32 {
    // SAFETY: the caller promises it.
    unsafe { &*physical }.kept.quirks.flags.bits()
}

/// The methods that can reset the function, as far as its registers and its quirks say, `RVPCI_METHOD_*`; of its bus that it
/// does not object to a reset. 0 for one that was not learnt.
///
/// Work: constant.
///
/// # Safety
///
/// `physical` is a physical function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_physical_methods(physical: *const rvpci_physical) -> u32 {
    // SAFETY: the caller promises it.
    unsafe { &*physical }.member().methods().bits()
}

/// Whether only a guest that is trusted may have it.
pub(crate) fn is_denied(physical: &rvpci_physical) -> bool {
    physical.kept.quirks.flags.contains(Flags::DENY)
}

/// Whether its guest can have it reset: alone, that is, not with its bus.
pub(crate) fn is_resettable(physical: &rvpci_physical) -> bool {
    physical.member().methods().intersects(Methods::FUNCTION)
}

/// The milliseconds between D3hot and D0 that the device at `sbdf` makes every device of the machine need; 0 if it does not.
///
/// Work: one look at its capability list.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_d3hot_delay(sbdf: u32) -> u32 {
    let sbdf = Sbdf(sbdf);
    let of = Identity::read(&Config { sbdf, ids: None }, sbdf, Traits::empty());
    let quirks = quirks::table::find(&of, &[]);
    let of_all = quirks.flags.contains(Flags::D3HOT_DELAY_GLOBAL);
    quirks.d3hot_delay_ms.filter(|_| of_all).map_or(0, u32::from)
}

/// Has the function at `sbdf`, if it is a root port, tell software when a function below it is not ready (Configuration RRS
/// Software Visibility), so that no CPU waits for that. Whether it does.
///
/// Work: one look at its capability list.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_enable_rrs(sbdf: u32) -> bool {
    quirks::reset::enable_rrs(&Machine, Sbdf(sbdf))
}

/// Whether a row may be given: 0, or -EINVAL for one that is malformed or that no function can match.
///
/// Work: constant.
///
/// # Safety
///
/// `row` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_quirk_check(row: *const rvpci_quirk) -> i32 {
    // SAFETY: the caller promises it.
    if unsafe { to_row(row) }.is_some() { 0 } else { -EINVAL }
}

/// The row as the library takes it.
///
/// # Safety
///
/// `row` can be read, and is aligned.
unsafe fn to_row(row: *const rvpci_quirk) -> Option<Row> {
    // SAFETY: the caller promises it; the two types are one (asserted below), and any bits are a raw row.
    unsafe { &*row.cast::<RawRow>() }.row()
}

const_assert_eq!(RVPCI_TRAIT_ROOT_BUS, Traits::ROOT_BUS.bits() as u32);
const_assert_eq!(RVPCI_TRAIT_VIRTUAL, Traits::VIRTUAL.bits() as u32);
const_assert_eq!(RVPCI_TRAIT_AMD_IOMMU, Traits::AMD_IOMMU.bits() as u32);
const_assert_eq!(RVPCI_QUIRK_DENY, Flags::DENY.bits());

macro_rules! assert_same {
    ($ours:ty, $theirs:ty { $($field:ident),* }) => {
        const_assert_eq!(size_of::<$ours>(), size_of::<$theirs>());
        const_assert_eq!(align_of::<$ours>(), align_of::<$theirs>());
        $(const_assert_eq!(offset_of!($ours, $field), offset_of!($theirs, $field));)*
    };
}
assert_same!(
    RawRow,
    rvpci_quirk {
        vendor,
        first,
        last,
        mask,
        class_mask,
        class_value,
        subsystem,
        revision_first,
        revision_last,
        says,
        zero,
        has,
        lacks,
        value,
        order,
        zeros
    }
);
assert_same!(Region, rvpci_region { address, size });
