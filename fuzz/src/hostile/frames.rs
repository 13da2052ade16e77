//! Sets of page frames, by range: a hostile BAR may be of any size.

use std::collections::BTreeMap;

use vpci::Pages;

/// Disjoint ranges: the last frame by the first.
#[derive(Default, Clone, Debug)]
pub(crate) struct Frames(BTreeMap<u64, u64>);

impl Frames {
    pub(crate) fn insert(&mut self, pages: Pages) {
        self.remove(pages);
        self.0.insert(pages.first, pages.last);
    }

    pub(crate) fn remove(&mut self, pages: Pages) {
        while let Some(Pages { first, last }) = self.first_in(pages) {
            let (&start, &end) = self.0.range(..=first).next_back().expect("a range holds the frame");
            self.0.remove(&start);
            if start < first {
                self.0.insert(start, first - 1);
            }
            if last < end {
                self.0.insert(last + 1, end);
            }
        }
    }

    /// The lowest range of these frames inside `pages`.
    pub(crate) fn first_in(&self, pages: Pages) -> Option<Pages> {
        let before = self.0.range(..=pages.first).next_back().filter(|(_, last)| **last >= pages.first);
        let (first, last) = before.or_else(|| self.0.range(pages.first..=pages.last).next())?;
        Some(Pages { first: (*first).max(pages.first), last: (*last).min(pages.last) })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Pages> {
        self.0.iter().map(|(first, last)| Pages { first: *first, last: *last })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out all frames of `other`.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        other.iter().for_each(|pages| self.remove(pages));
        self
    }
}

impl FromIterator<Pages> for Frames {
    fn from_iter<I: IntoIterator<Item = Pages>>(all: I) -> Self {
        let mut frames = Self::default();
        all.into_iter().for_each(|pages| frames.insert(pages));
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pages(first: u64, last: u64) -> Pages {
        Pages { first, last }
    }

    #[test]
    fn ranges_split_and_stay_disjoint() {
        let mut frames: Frames = [pages(10, 20), pages(15, 30), pages(40, 40)].into_iter().collect();
        frames.remove(pages(12, 17));
        assert_eq!(frames.iter().collect::<Vec<_>>(), [pages(10, 11), pages(18, 30), pages(40, 40)]);
        assert_eq!(frames.first_in(pages(11, 50)), Some(pages(11, 11)));
        assert_eq!(frames.first_in(pages(31, 39)), None);
        let other: Frames = [pages(0, 35), pages(40, 41)].into_iter().collect();
        assert!(frames.without(&other).is_empty());
    }
}
