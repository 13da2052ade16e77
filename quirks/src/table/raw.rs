//! Rows as a toolstack gives them.

use super::identity::Traits;
use super::row::{Ids, Row, Says, When};
use crate::{DeviceReset, Flags, Method, Order};

/// A row as numbers, which may be none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct RawRow {
    /// Vendor ID.
    pub vendor: u16,
    /// The lowest Device ID.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// The bits of the Device ID in which a device has to be like the first.
    pub mask: u16,
    /// The bits of the dword at 08h that are compared.
    pub class_mask: u32,
    /// What they are compared with.
    pub class_value: u32,
    /// The dword at 2Ch; 0 for any.
    pub subsystem: u32,
    /// The lowest Revision ID.
    pub revision_first: u8,
    /// The highest.
    pub revision_last: u8,
    /// What the row says: 0 flags, 1 a delay after D3hot, 2 one for every device, 3 a delay after power or a bus reset, 4
    /// a length of vital product data, 5 a sequence, 6 an order.
    pub says: u8,
    /// 0.
    pub zero: u8,
    /// The bits of [`Traits`] that a function has to have.
    pub has: u16,
    /// Those that it must not have.
    pub lacks: u16,
    /// The bits of [`Flags`], milliseconds, bytes, or the number of a sequence, 1 to 7 in the order of [`DeviceReset`]; 0
    /// for an order.
    pub value: u32,
    /// The methods of an order, by [their numbers](Method), 0 to skip one; else 0.
    pub order: [u8; 5],
    /// 0.
    pub zeros: [u8; 3],
}

static_assertions::const_assert_eq!(size_of::<RawRow>(), 40);

const SEQUENCES: [DeviceReset; 7] = [
    DeviceReset::UnadvertisedFlr,
    DeviceReset::IvyBridgeGraphics,
    DeviceReset::NvmeDisable,
    DeviceReset::DelayAfterFlr,
    DeviceReset::ChelsioMsix,
    DeviceReset::HinicFirmware,
    DeviceReset::RadeonConfig,
];

fn order(numbers: [u8; 5]) -> Option<Order> {
    let known = |number: &u8| *number == 0 || Method::from_number(*number).is_some();
    numbers.iter().all(known).then(|| Order(numbers.map(Method::from_number)))
}

impl RawRow {
    /// The row; `None` if it is not one, or no function can match it.
    #[must_use]
    pub fn row(&self) -> Option<Row> {
        let row = Row {
            vendor: self.vendor,
            ids: Ids::range(self.first, self.last).like(self.mask),
            when: When {
                class_mask: self.class_mask,
                class_value: self.class_value,
                revisions: (self.revision_first, self.revision_last),
                subsystem: (self.subsystem != 0).then_some(self.subsystem),
                has: Traits::from_bits(self.has)?,
                lacks: Traits::from_bits(self.lacks)?,
                sound_firmware: None,
            },
            says: self.says()?,
        };
        let reserved = self.zero != 0 || self.zeros != [0; 3];
        (!reserved && row.is_sound()).then_some(row)
    }

    fn says(&self) -> Option<Says> {
        if self.says == 6 {
            return order(self.order).filter(|_| self.value == 0).map(Says::Order);
        }
        if self.order != [0; 5] {
            return None;
        }
        let number = || u16::try_from(self.value).ok();
        match self.says {
            0 => Flags::from_bits(self.value).map(Says::Flags),
            1 => number().map(Says::D3hotDelay),
            2 => number().map(Says::D3hotDelayOfAll),
            3 => number().map(Says::D3coldDelay),
            4 => number().map(Says::VpdLength),
            5 => {
                let at = usize::from(number()?).checked_sub(1)?;
                SEQUENCES.get(at).copied().map(Says::Reset)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: RawRow = RawRow {
        vendor: 0x8086,
        first: 0x1500,
        last: 0x15ff,
        mask: 0x0001,
        class_mask: 0xffff_0000,
        class_value: 0x0200_0000,
        subsystem: 0x0001_8086,
        revision_first: 1,
        revision_last: 3,
        says: 0,
        zero: 0,
        has: 1,
        lacks: 2,
        value: 0x8000,
        order: [0; 5],
        zeros: [0; 3],
    };

    fn says(says: u8, value: u32, order: [u8; 5]) -> Option<Says> {
        RawRow { says, value, order, ..RAW }.row().map(|row| row.says)
    }

    #[test]
    fn numbers_are_a_row() {
        let row = Row {
            vendor: 0x8086,
            ids: Ids::range(0x1500, 0x15ff).like(1),
            when: When {
                has: Traits::ROOT_BUS,
                lacks: Traits::MULTI_FUNCTION,
                revisions: (1, 3),
                ..When::class(0x0200).subsystem(0x0001_8086)
            },
            says: Says::Flags(Flags::DENY),
        };
        assert_eq!(RAW.row(), Some(row));
        assert_eq!(RawRow { subsystem: 0, ..RAW }.row().map(|row| row.when.subsystem), Some(None));
    }

    #[test]
    fn a_row_says_one_thing_that_there_is() {
        assert_eq!(says(1, 20, [0; 5]), Some(Says::D3hotDelay(20)));
        assert_eq!(says(2, 120, [0; 5]), Some(Says::D3hotDelayOfAll(120)));
        assert_eq!(says(3, 1000, [0; 5]), Some(Says::D3coldDelay(1000)));
        assert_eq!(says(4, 0xffff, [0; 5]), Some(Says::VpdLength(0xffff)));
        assert_eq!(says(5, 1, [0; 5]), Some(Says::Reset(DeviceReset::UnadvertisedFlr)));
        assert_eq!(says(5, 7, [0; 5]), Some(Says::Reset(DeviceReset::RadeonConfig)));
        let order = Order([Some(Method::Bus), None, Some(Method::Flr), None, None]);
        assert_eq!(says(6, 0, [5, 0, 2, 0, 0]), Some(Says::Order(order)));
        for (kind, value, order) in [
            (0, 1 << 31, [0; 5]),
            (1, 0x1_0000, [0; 5]),
            (1, 20, [1, 0, 0, 0, 0]),
            (5, 0, [0; 5]),
            (5, 8, [0; 5]),
            (6, 0, [6, 0, 0, 0, 0]),
            (6, 1, [5, 0, 0, 0, 0]),
            (7, 0, [0; 5]),
        ] {
            assert_eq!(says(kind, value, order), None, "{kind} {value} {order:?}");
        }
    }

    #[test]
    fn what_is_reserved_is_zero_and_what_matches_nothing_is_no_row() {
        for raw in [
            RawRow { zero: 1, ..RAW },
            RawRow { zeros: [0, 0, 1], ..RAW },
            RawRow { has: 1 << 15, ..RAW },
            RawRow { lacks: 1 << 15, ..RAW },
            RawRow { lacks: 1, ..RAW },
            RawRow { first: 0x1600, ..RAW },
            RawRow { revision_first: 4, ..RAW },
            RawRow { class_value: 1, ..RAW },
        ] {
            assert_eq!(raw.row(), None, "{raw:x?}");
        }
    }
}
