//! How long each thing takes, and how long anything can take. "Linux" is 6.12: `drivers/pci/pci.c`, `quirks.c`.

use crate::Order;
use crate::flags::D3HOT_DELAY_MS;

/// A moment, in microseconds from any fixed one. It does not go back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// This moment and `microseconds`.
    #[must_use]
    pub const fn after(self, microseconds: u64) -> Self {
        Self(self.0.saturating_add(microseconds))
    }
}

/// A millisecond.
pub(crate) const MS: u64 = 1_000;
/// A second.
pub(crate) const SECOND: u64 = 1_000_000;

/// Between two looks at whether the functions have left their domain: pages are unmapped.
pub(crate) const WITHDRAW_POLL: u64 = MS;
/// How often it is looked. This is work, not time: late looks do not make it less.
pub(crate) const WITHDRAW_LOOKS: u16 = 10_000;

/// From D3hot to D0 and from D0 to D3hot, unless a quirk has another figure.
pub(crate) const D3HOT_DELAY: u64 = D3HOT_DELAY_MS as u64 * MS; // CAST: widening; `From` is not const.
/// After a conventional reset (PCIe 6.6.1), unless a quirk has another figure.
pub(crate) const D3COLD_DELAY: u64 = 100 * MS;
/// A quirk's delay counts as this if it is longer.
pub(crate) const DELAY_LIMIT: u64 = 10 * SECOND;

/// The wait before the second look at pending transactions; it doubles (Linux, `pci_wait_for_pending`).
pub(crate) const DRAIN_WAIT: u64 = 100 * MS;
/// How often it is looked. What is pending then is not waited for.
pub(crate) const DRAIN_LOOKS: u8 = 4;

/// From a function-level reset to the first access (PCIe 6.6.2).
pub(crate) const FLR_WAIT: u64 = 100 * MS;
/// The longest that a function is waited for after any reset (Linux, `PCIE_RESET_READY_POLL_MS`).
pub(crate) const READY_LIMIT: u64 = 60 * SECOND;
/// The wait before the second look at it; it doubles (Linux, `pci_dev_wait`).
pub(crate) const READY_FIRST: u64 = MS;
/// It grows no further than this, so that a slow device is seen soon after it is ready.
pub(crate) const READY_STEP: u64 = SECOND;
/// From here on a link that is down is looked after (Linux, `PCI_RESET_WAIT`).
pub(crate) const READY_LINK: u64 = SECOND;

/// How long Secondary Bus Reset is held. At least 1 ms (PCIe 6.6.1, Trst).
pub(crate) const BUS_RESET_HOLD: u64 = 2 * MS;
/// Between two tries to end it.
pub(crate) const BUS_RESET_RETRY: u64 = MS;
/// How often that is tried.
pub(crate) const BUS_RESET_TRIES: u8 = 10;
/// From the end of a reset of a conventional bus to the first access, less the delay of the devices (PCI 4.3.2, Trhfa).
pub(crate) const CONVENTIONAL_WAIT: u64 = SECOND;
/// The longest that a link may take to come up (PCIe 6.6.1), and once more after it was retrained.
pub(crate) const LINK_LIMIT: u64 = SECOND;
/// Between two looks at it.
pub(crate) const LINK_POLL: u64 = 10 * MS;

/// Between two tries to write a BAR (Linux, `pci_restore_config_dword`).
pub(crate) const RESTORE_RETRY: u64 = MS;
/// How often that is tried.
pub(crate) const RESTORE_TRIES: u8 = 10;

/// The longest of the sequences of `device.rs`: an `NVMe` controller whose CAP.TO is 255 (`NVMe` 1.4, 3.1.1).
pub(crate) const SEQUENCE_LIMIT: u64 = 256 * 500 * MS;

/// The most functions that one reset has: those of one device.
pub const MEMBERS: usize = 8;

/// For all functions to leave their domains.
const WITHDRAW: u64 = WITHDRAW_POLL * WITHDRAW_LOOKS as u64; // CAST: widening; `From` is not const.
/// How many methods can be tried.
const METHODS: u64 = Order::STANDARD.0.len() as u64; // CAST: widening; `From` is not const.
/// To stop a function: out of D3hot, and its transactions drained.
const STOP: u64 = DELAY_LIMIT + DRAIN_WAIT * ((1 << (DRAIN_LOOKS - 1)) - 1);
/// Of a bus reset, what is not waiting for its functions.
const BUS: u64 = BUS_RESET_HOLD
    + BUS_RESET_RETRY * BUS_RESET_TRIES as u64
    + 2 * LINK_LIMIT
    + CONVENTIONAL_WAIT
    + DELAY_LIMIT;
/// To write seven base address registers of each function.
const RESTORE: u64 = MEMBERS as u64 * 7 * RESTORE_RETRY * RESTORE_TRIES as u64;

/// The longest that a reset takes, in microseconds, from its first step or, if that is later, from the time before
/// which it was not to start. It holds if each step is done when it is due; each that is late adds that.
///
/// It is that of a sequence that fails at its very end. A method that finds out from the device that it does not apply has
/// not waited, and the functions are stopped again for the next one; they are withdrawn once more if that is their bus.
pub const BOUND: u64 =
    2 * WITHDRAW + METHODS * STOP + SEQUENCE_LIMIT + FLR_WAIT + 2 * READY_LIMIT + BUS + RESTORE;

static_assertions::const_assert!(BOUND < 336 * SECOND);
// A cycle through D3hot is shorter than the longest sequence.
static_assertions::const_assert!(2 * DELAY_LIMIT <= SEQUENCE_LIMIT);
