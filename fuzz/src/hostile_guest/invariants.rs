//! What must hold at any time, whoever did what.

use vpci::{Bar, Pages};

use super::Machine;
use crate::hostile::frames::Frames;
use crate::hostile::host::Range;

impl Machine {
    /// What must hold at any time.
    pub(super) fn check(&mut self) {
        let mut pirqs = 0;
        let mut owned = Frames::default();
        let mut tables: Vec<(usize, Pages)> = Vec::new();
        for number in 0..self.places.len() {
            let Some(known) = self.places[number].known.clone() else { continue };
            if self.places[number].away.is_some() {
                self.check_away(number);
            } else {
                let now = self.known(number, Vec::new());
                assert_eq!(
                    (&now.standard, &now.extended),
                    (&known.standard, &known.extended),
                    "the lists changed"
                );
            }
            let place = &mut self.places[number];
            let range = |bar: &Bar| (bar.kind(), bar.host_range().0, bar.host_range().1);
            let ranges: Vec<_> = place.state.bars().iter().map(range).collect();
            assert_eq!(ranges, place.ranges, "the BARs changed");
            pirqs += place.vectors.iter().filter(|vector| vector.pirq().is_some()).count();
            pirqs += usize::from(place.state.msi().is_some_and(|msi| msi.pirq().is_some()));
            owned = place.mappable().map(|range| range.pages).chain(owned.iter()).collect();
            let settled = !place.function().is_pending();
            if settled && !place.decodes() {
                let open = place.mappable().find_map(|range| {
                    let stuck = self.host.stuck().clone();
                    let mapped: Frames = self.host.mapped().first_in(range.pages).into_iter().collect();
                    mapped.without(&stuck).iter().next()
                });
                assert!(open.is_none(), "{open:x?} is mapped, but memory is not decoded");
            }
            if let Some(table) = place.table().filter(|_| settled) {
                let pages = table.into_iter().filter_map(|(at, size)| Pages::spanning(at, size));
                tables.extend(pages.map(|pages| (number, pages)));
            }
        }
        for (number, pages) in tables {
            self.check_table(number, pages);
        }
        let left = self.host.mapped().clone().without(&owned).without(&self.host.stuck());
        assert!(left.is_empty(), "frames of nobody are mapped: {left:x?}");
        assert_eq!(self.host.pirqs().len(), pirqs, "PIRQs of nobody are allocated");
    }

    /// No frame of a function's own that is mapped leads to its MSI-X table or PBA.
    fn check_table(&self, number: usize, pages: Pages) {
        let own: Vec<Range> = self.places[number].mappable().collect();
        for (distance, frames) in &*self.host.moved() {
            let (first, last) = (pages.first.wrapping_sub(*distance), pages.last.wrapping_sub(*distance));
            if first > last {
                continue;
            }
            let open = frames.first_in(Pages { first, last });
            let mine = |open: &Pages| {
                own.iter().any(|range| range.distance == *distance && range.pages.overlaps(*open))
            };
            assert!(
                !open.as_ref().is_some_and(mine),
                "{open:x?} leads to the MSI-X table or PBA: {pages:x?}"
            );
        }
    }
}
