//! The p2m of a domain, page by page.

use std::collections::{BTreeMap, BTreeSet};

use vpci::{HostError, Pages};

/// There is memory for a map of this many frames at a time.
const FRAMES: u64 = 1 << 16;

/// Which guest frames are mapped to which host frames.
#[derive(Default, Debug)]
pub struct P2m {
    map: BTreeMap<u64, u64>,
    special: BTreeSet<u64>,
    holes: BTreeSet<u64>,
    reserved: Vec<Pages>,
    /// The most frames that one call maps or unmaps; 0 for all.
    pub chunk: u64,
}

impl P2m {
    /// What a guest frame is mapped to.
    pub fn get(&self, frame: u64) -> Option<u64> {
        self.map.get(&frame).copied()
    }

    /// The number of frames that are mapped.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no frame is mapped.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The guest frames that are mapped, in order.
    pub fn frames(&self) -> Vec<u64> {
        self.map.keys().copied().collect()
    }

    /// Whether all of `pages` are mapped to the frames of the same number.
    pub fn has_all(&self, pages: Pages) -> bool {
        (pages.first..=pages.last).all(|frame| self.get(frame) == Some(frame))
    }

    /// Whether none of `pages` is mapped.
    pub fn has_none(&self, pages: Pages) -> bool {
        self.map.range(pages.first..=pages.last).next().is_none()
    }

    /// Whether a BAR may be placed there: nothing is mapped, and nothing special is there.
    pub fn is_free(&self, pages: Pages) -> bool {
        self.has_none(pages) && self.special.range(pages.first..=pages.last).next().is_none()
    }

    /// `frame` is of a type that nothing else may replace: it can be neither mapped nor made a hole.
    pub fn set_special(&mut self, frame: u64) {
        self.special.insert(frame);
    }

    /// The frame is as any other again.
    pub fn clear_special(&mut self, frame: u64) {
        self.special.remove(&frame);
    }

    /// The host's memory map claims these frames.
    pub fn reserve(&mut self, pages: Pages) {
        self.reserved.push(pages);
    }

    /// The frames that were asked to be holes.
    pub fn holes(&self) -> Vec<u64> {
        self.holes.iter().copied().collect()
    }

    fn limit(&self, pages: Pages) -> u64 {
        let all = pages.last - pages.first + 1;
        if self.chunk == 0 { all } else { all.min(self.chunk) }
    }

    pub(crate) fn map(&mut self, guest: Pages, host: u64) -> Result<u64, HostError> {
        assert!(guest.first <= guest.last, "a range that ends before it starts: {guest:x?}");
        if guest.last - guest.first >= FRAMES {
            return Err(HostError);
        }
        for n in 0..self.limit(guest) {
            let (frame, to) = (guest.first + n, host + n);
            let claimed = self.reserved.iter().any(|pages| pages.contains(to));
            assert!(!claimed, "host frame {to:#x} is the host's own");
            if self.special.contains(&frame) || self.get(frame).is_some_and(|present| present != to) {
                return if n == 0 { Err(HostError) } else { Ok(n) };
            }
            self.map.insert(frame, to);
        }
        Ok(self.limit(guest))
    }

    pub(crate) fn unmap(&mut self, guest: Pages, host: u64) -> u64 {
        assert!(guest.first <= guest.last, "a range that ends before it starts: {guest:x?}");
        let done = self.limit(guest);
        let gone: Vec<u64> =
            self.map.range(guest.first..guest.first + done).map(|(frame, _)| *frame).collect();
        for frame in gone {
            let present = self.map.remove(&frame);
            assert_eq!(
                present,
                Some(host + (frame - guest.first)),
                "unmapped a frame that was mapped otherwise"
            );
        }
        done
    }

    pub(crate) fn make_hole(&mut self, frame: u64) -> Result<(), HostError> {
        if self.special.contains(&frame) || self.get(frame).is_some_and(|host| host != frame) {
            return Err(HostError);
        }
        self.map.remove(&frame);
        self.holes.insert(frame);
        Ok(())
    }

    pub(crate) fn next_reserved(&self, range: Pages) -> Option<Pages> {
        let lowest =
            self.reserved.iter().filter(|pages| pages.overlaps(range)).min_by_key(|pages| pages.first)?;
        Some(Pages { first: lowest.first.max(range.first), last: lowest.last.min(range.last) })
    }
}
