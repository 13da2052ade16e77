//! Functions that leave their guest for a reset, and come back after a few operations.

use capabilities::id::CapabilityId;
use capabilities::standard::{advanced, express, pm};
use capabilities::{Access, Width, header};
use vpci::{AttachError, Bar, GuestInfo, Info, Progress, View, Written};

use super::Machine;
use super::oracle::{self, Known};
use crate::Size;
use crate::hostile::access;

/// Operations from the request to the end of the reset, if the function has left by then.
const AWAY: u8 = 4;

impl Machine {
    /// Whether the guest asks for a reset by this write, going by what it sees of its capabilities.
    pub(super) fn asks_for_reset(&mut self, number: usize, written: Access, value: u32) -> bool {
        if self.places[number].away.is_some() {
            return false;
        }
        let lists = self.places[number].known.as_ref().expect("a guest has it").standard.clone();
        let (mask, data) = (written.value_mask() << written.shift(), value << written.shift());
        let resets = lists.iter().any(|(start, id)| {
            let control = match CapabilityId(*id) {
                CapabilityId::EXPRESS => start + express::DEVICE_CONTROL,
                CapabilityId::AF => start + advanced::CONTROL,
                CapabilityId::PM => start + pm::CONTROL_STATUS,
                _ => return false,
            };
            if written.dword() != control / 4 {
                return false;
            }
            let mut seen =
                |at: u16| self.with(number, |function, host| function.read(host, access(at, Width::Dword)));
            match CapabilityId(*id) {
                CapabilityId::EXPRESS => {
                    let capable =
                        seen(start + express::DEVICE_CAPABILITIES) & express::FUNCTION_LEVEL_RESET != 0;
                    capable && data & mask & u32::from(express::INITIATE_FLR) != 0
                }
                CapabilityId::AF => {
                    let capable = seen(*start) >> 24 & 3 == 3;
                    capable && data & mask & u32::from(advanced::INITIATE_FLR) != 0
                }
                _ => {
                    let old = seen(control);
                    let new = old & !mask | data & mask;
                    old & u32::from(pm::NO_SOFT_RESET) == 0
                        && (old & pm::POWER_STATE, new & pm::POWER_STATE) == (3, 0)
                }
            }
        });
        self.host.take_traffic();
        let (gift, _) = self.places[number].gift.as_ref().expect("it was given");
        assert!(gift.resettable || !resets, "a guest sees a reset that there is not");
        resets
    }

    /// Writes what asks for a reset by one of the guest's capabilities, whether it has a reset or not.
    pub(super) fn ask_for_reset(&mut self, number: usize, which: u8, size: Size) {
        let lists = &self.places[number].known.as_ref().expect("a guest has it").standard;
        let ids = [CapabilityId::EXPRESS, CapabilityId::AF, CapabilityId::PM].map(|id| id.0);
        let ways: Vec<_> = lists.iter().filter(|(_, id)| ids.contains(id)).copied().collect();
        let Some((start, id)) = ways.get(usize::from(which) % ways.len().max(1)) else { return };
        let writes = match CapabilityId(*id) {
            CapabilityId::EXPRESS if size.width() == Width::Byte => [None, Some((start + 9, 0x80))],
            CapabilityId::EXPRESS => [None, Some((start + 8, 0x8000))],
            CapabilityId::AF => [None, Some((start + 4, 1))],
            _ => [Some((start + 4, 3)), Some((start + 4, 0))],
        };
        for (offset, value) in writes.into_iter().flatten() {
            self.write(number, access(offset, size.width()), value);
        }
    }

    /// The function leaves its guest, as far as one call brings it.
    pub(super) fn leave(&mut self, number: usize) {
        self.places[number].away = Some(AWAY);
        self.withdraw(number);
    }

    fn withdraw(&mut self, number: usize) -> Progress {
        self.set_ranges();
        self.host.take_traffic();
        let progress = self.with_others(number, |function, host, others| function.withdraw(host, others));
        assert_eq!(self.host.take_traffic(), [], "the device is accessed while it leaves");
        progress
    }

    /// What happens to those that are away while a guest does one thing.
    pub(super) fn advance(&mut self) {
        for number in 0..self.places.len() {
            let Some(left) = self.places[number].away else { continue };
            if self.withdraw(number) == Progress::Again {
                continue;
            }
            self.places[number].away = Some(left.saturating_sub(1));
            if left == 0 {
                self.come_back(number);
            }
        }
    }

    /// Resets the device, and gives it back to its guest. It stays away if that fails.
    fn come_back(&mut self, number: usize) {
        let place = &self.places[number];
        let (sbdf, old) = (place.sbdf, place.known.clone().expect("a guest has it"));
        let (gift, first) = place.gift.clone().expect("it was given");
        let guests: Vec<_> = place.state.bars().iter().map(Bar::guest_address).collect();
        self.host.change(sbdf, header::COMMAND, Width::Word, 0);
        let lies = self.host.lies_left();
        let but_command = |all: Vec<u32>| [&all[..1], &all[2..]].concat();
        let unchanged =
            first.is_some() && first.map(but_command) == self.host.registers(sbdf).map(but_command);
        let (rules, function) = gift.parts();
        let guest = GuestInfo {
            virtual_function: function.as_ref(),
            rules: &rules,
            vpd: gift.vpd,
            ..GuestInfo::NONE
        };
        let mut info = Info { view: View::Guest, guest, ..Info::hardware(sbdf) };
        self.host.take_counts();
        self.host.take_traffic();
        let attached = self.with(number, |function, host| function.reattach(host, &mut info));
        let counts = self.host.take_counts();
        assert_eq!((counts.p2m, counts.interrupts, counts.mmio), (0, 0, 0), "reattach");
        let traffic = self.host.take_traffic();
        if attached.is_err() {
            oracle::check_attach(&traffic, None);
            self.note_ranges(number);
            return;
        }
        assert_eq!(attached, Ok(Written::Done), "a guest finds decoding off");
        self.places[number].away = None;
        let known = self.known(number, rules);
        let (_, command) = oracle::check_attach(&traffic, Some(&known)).expect("COMMAND is written");
        let honest = self.host.lies_left() == lies;
        self.places[number].gift = Some((gift, self.host.registers(sbdf).filter(|_| honest)));
        if unchanged && honest {
            assert_eq!(
                (&known.standard, &known.extended),
                (&old.standard, &old.extended),
                "the lists changed"
            );
            let now: Vec<_> = self.places[number].state.bars().iter().map(Bar::guest_address).collect();
            assert_eq!(now, guests, "its BARs are elsewhere");
        }
        // The device goes back to its owner as that one had it.
        self.places[number].known = Some(Known { original: old.original, command, ..known });
        self.note_ranges(number);
        let placed =
            self.with_others(number, |function, host, others| function.check_placement(host, others));
        assert!(matches!(placed, Ok(()) | Err(AttachError::Placement)), "{placed:?}");
        if placed.is_err() {
            assert_eq!(self.withdraw(number), Progress::Done, "nothing of it is in the p2m");
            self.places[number].away = Some(AWAY);
        }
    }

    /// What must hold of a function that is away: it is not there for its guest, and its device is not asked.
    pub(super) fn check_away(&mut self, number: usize) {
        for offset in [0, header::COMMAND, header::BAR0, 0x40, 0x100, 0xffc] {
            for width in [Width::Byte, Width::Word, Width::Dword] {
                self.read(number, access(offset, width));
            }
        }
    }
}
