//! What a guest does with its interrupts: control registers, messages, and the pages of an MSI-X table and PBA.

use capabilities::{Width, msi};
use vpci::{Bar, Locked, Pages};

use super::oracle::Known;
use super::{Machine, is_memory};
use crate::hostile::access;

impl Machine {
    pub(super) fn control(&mut self, number: usize, of: impl Fn(&Known) -> Option<(u16, u32)>, value: u16) {
        if let Some((at, _)) = self.places[number].known.as_ref().and_then(of) {
            self.write(number, access(at, Width::Word), u32::from(value));
        }
    }

    pub(super) fn program_msi(&mut self, number: usize, address: u32, data: u16, control: u16) {
        let Some((at, first)) = self.places[number].known.as_ref().and_then(|known| known.msi) else {
            return;
        };
        // CAST: a word.
        let layout = msi::Layout::of(msi::Control::new_from(first as u16));
        let base = at - msi::CONTROL;
        // Now and then no address of an interrupt.
        let address = if address & 7 == 7 { address } else { 0xfee0_0000 | address & 0xf_fffc };
        self.write(number, access(base + msi::ADDRESS, Width::Dword), address);
        self.write(number, access(base + layout.data, Width::Word), u32::from(data));
        self.write(number, access(at, Width::Word), u32::from(control));
    }

    /// Accesses a trapped page, as the guest does.
    pub(super) fn mmio(&mut self, number: usize, pba: bool, offset: u16, bytes: u8, write: Option<u64>) {
        let trapped = self.with(number, |function, _| function.trapped());
        let Some(pages) = trapped[usize::from(pba)] else { return };
        let address = (pages.first << 12).saturating_add(u64::from(offset));
        let place = &self.places[number];
        let ranges: Vec<_> = place.bars().filter(|bar| is_memory(bar)).map(Bar::host_range).collect();
        let [table, pba] = place.table().unwrap_or_default();
        let denied = if write.is_some() { vec![table, pba] } else { vec![table] };
        let frames = ranges.iter().filter_map(|(at, size)| Pages::spanning(*at, *size)).collect();
        self.host.set_bytes(ranges, denied);
        self.host.set_reachable(frames);
        self.host.take_counts();
        let away = self.places[number].away.is_some();
        self.with(number, |function, host| {
            if let Some(value) = write {
                function.mmio_write(host, &(), address, bytes, value, Locked::Shared);
            } else {
                let value = function.mmio_read(host, &(), address, bytes);
                assert!(
                    !away || value == u64::MAX >> (64 - 8 * u32::from(bytes)),
                    "{value:#x} of one that is away"
                );
            }
        });
        let counts = self.host.take_counts();
        assert!(!away || (counts.mmio, counts.interrupts) == (0, 0), "MMIO: {counts:?}");
        assert_eq!((counts.config(), counts.p2m), (0, 0), "MMIO");
        assert!(counts.mmio <= 8 && counts.interrupts <= 5, "MMIO: {counts:?}");
    }
}
