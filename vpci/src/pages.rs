//! Ranges of page frames.

/// Log2 of the page size: the unit in which BARs are mapped.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page.
pub(crate) const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// The page frames `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pages {
    /// The first frame.
    pub first: u64,
    /// The last frame; not below `first`.
    pub last: u64,
}

impl Pages {
    /// The pages that `size` bytes from `address` on touch; `None` if `size` is 0 or the end passes 2^64.
    #[must_use]
    pub const fn spanning(address: u64, size: u64) -> Option<Self> {
        match size.checked_sub(1) {
            Some(rest) => match address.checked_add(rest) {
                Some(end) => Some(Self { first: address >> PAGE_SHIFT, last: end >> PAGE_SHIFT }),
                None => None,
            },
            None => None,
        }
    }

    /// The number of frames.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Whether the frame is one of these.
    #[must_use]
    pub const fn contains(self, frame: u64) -> bool {
        self.first <= frame && frame <= self.last
    }

    /// Whether the two ranges have a frame in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What is left of a range, front to back, once other ranges are taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remainder {
    rest: Pages,
    /// The last frame of the ranges that cover `rest.first`.
    covered: Option<u64>,
}

impl Remainder {
    pub(crate) const fn of(rest: Pages) -> Self {
        Self { rest, covered: None }
    }

    /// Takes `hole` out.
    pub(crate) const fn exclude(&mut self, hole: Pages) {
        if !hole.overlaps(self.rest) {
            return;
        }
        if hole.first <= self.rest.first {
            if !matches!(self.covered, Some(last) if last >= hole.last) {
                self.covered = Some(hole.last);
            }
        } else {
            self.rest.last = hole.first.saturating_sub(1);
        }
    }

    /// The leading part that nothing excluded covers, or the frame at which to look again.
    pub(crate) const fn leading(self) -> Result<Pages, u64> {
        match self.covered {
            None => Ok(self.rest),
            Some(last) => Err(last.saturating_add(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pages(first: u64, last: u64) -> Pages {
        Pages { first, last }
    }

    #[test]
    fn spanning_counts_touched_pages() {
        assert_eq!(Pages::spanning(0xfe00_0000, 0x1000), Some(pages(0xfe000, 0xfe000)));
        assert_eq!(Pages::spanning(0xfe00_0ff8, 0x10), Some(pages(0xfe000, 0xfe001)));
        assert_eq!(Pages::spanning(0, 0), None);
        assert_eq!(Pages::spanning(u64::MAX, 1), Some(pages(u64::MAX >> 12, u64::MAX >> 12)));
        assert_eq!(Pages::spanning(u64::MAX, 2), None);
    }

    #[test]
    fn exclusion_leaves_the_front() {
        let mut remainder = Remainder::of(pages(10, 20));
        remainder.exclude(pages(15, 16));
        remainder.exclude(pages(18, 30));
        remainder.exclude(pages(0, 9));
        assert_eq!(remainder.leading(), Ok(pages(10, 14)));
        remainder.exclude(pages(8, 10));
        remainder.exclude(pages(10, 12));
        assert_eq!(remainder.leading(), Err(13));
    }
}
