//! What is known of a device: the merged set of all rows that match it.

use bitflags::bitflags;

/// Milliseconds from D3hot to D0 and from D0 to D3hot (PCIe 5.9, Table 5-14).
pub(crate) const D3HOT_DELAY_MS: u16 = 10;

bitflags! {
    /// What a row says of a device, without a number to it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Flags: u32 {
        /// A function-level reset may hang it, by PCI Express or by Advanced Features.
        const NO_FLR = 1 << 0;
        /// D3hot and back resets nothing, whatever `No_Soft_Reset` says.
        const NO_PM_RESET = 1 << 1;
        /// It or its link does not come back from a secondary bus reset.
        const NO_BUS_RESET = 1 << 2;
        /// It must not leave D0.
        const NO_D3 = 1 << 3;
        /// Interrupt Disable in COMMAND stops MSI as well.
        const MSI_INTX_DISABLE_BUG = 1 << 4;
        /// Interrupt Disable in COMMAND does not work.
        const BROKEN_INTX_MASKING = 1 << 5;
        /// A port behind which requests must not be relaxed in order.
        const NO_RELAXED_ORDERING = 1 << 6;
        /// Its Address Translation Services do not work.
        const NO_ATS = 1 << 7;
        /// A host bridge behind which tags have 5 bits.
        const NO_EXT_TAGS = 1 << 8;
        /// Reading its vital product data hangs it, or gives garbage.
        const VPD_BLACKLIST = 1 << 9;
        /// Its vital product data are those of function 0.
        const VPD_REF_F0 = 1 << 10;
        /// An enabled expansion ROM decodes over other BARs.
        const ROM_BAR_OVERLAP = 1 << 11;
        /// It has PASIDs without the TLP prefix.
        const PASID_NO_TLP = 1 << 12;
        /// It has mask bits for MSI, and does not say so.
        const HAS_MSI_MASKING = 1 << 13;
        /// Its capability list ends before its PCI Express capability.
        const CAP_LIST_TRUNCATED = 1 << 14;
        /// It is not to be given to anyone who is not trusted.
        const DENY = 1 << 15;
        /// A virtual function that shows an interrupt pin.
        const BOGUS_INTX_PIN = 1 << 16;
        /// It keeps its functions or ports apart as ACS does, and has no such capability.
        const ACS_EQUIVALENT = 1 << 17;
        /// Its delay after D3hot is that of every device of the machine.
        const D3HOT_DELAY_GLOBAL = 1 << 18;
        /// Its ACS Capability and ACS Control are dwords: Control is at 08h of the capability.
        const ACS_DWORDS = 1 << 19;
    }
}

/// A sequence that resets one kind of device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceReset {
    /// A virtual function that has a function-level reset and does not say so (Intel 82599).
    UnadvertisedFlr,
    /// Graphics of Intel's Ivy Bridge, by registers in BAR 0.
    IvyBridgeGraphics,
    /// An `NVMe` controller that has to be disabled before a function-level reset (Samsung SM961, PM961).
    NvmeDisable,
    /// 250 ms more after a function-level reset (Intel's DC P3700 and P4510, Solidigm's P44 Pro).
    DelayAfterFlr,
    /// A function-level reset with bus mastering and masked MSI-X (Chelsio T4).
    ChelsioMsix,
    /// Firmware that takes part in the reset of a virtual function (Huawei HINIC).
    HinicFirmware,
    /// A write to configuration space, and one to the management controller, if nothing else resets it (AMD's Bonaire
    /// and Hawaii).
    RadeonConfig,
}

impl DeviceReset {
    /// Whether all other methods go first.
    #[must_use]
    pub const fn is_last_resort(self) -> bool {
        matches!(self, Self::RadeonConfig)
    }
}

/// A way to reset a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Method {
    /// The device's own sequence, if it has one.
    Device = 1,
    /// Function Level Reset (PCIe 6.6.2).
    Flr = 2,
    /// The same by Advanced Features (PCIe 7.9.21).
    AdvancedFlr = 3,
    /// To D3hot and back (PCIe 5.3.1.4).
    Power = 4,
    /// Secondary Bus Reset of the bridge above (PCIe 7.5.1.3.13).
    Bus = 5,
}

impl Method {
    /// The method of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Device),
            2 => Some(Self::Flr),
            3 => Some(Self::AdvancedFlr),
            4 => Some(Self::Power),
            5 => Some(Self::Bus),
            _ => None,
        }
    }
}

bitflags! {
    /// A set of [methods](Method): bit n - 1 is the method with the number n.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Methods: u32 {
        /// [`Method::Device`].
        const DEVICE = 1 << 0;
        /// [`Method::Flr`].
        const FLR = 1 << 1;
        /// [`Method::AdvancedFlr`].
        const ADVANCED_FLR = 1 << 2;
        /// [`Method::Power`].
        const POWER = 1 << 3;
        /// [`Method::Bus`].
        const BUS = 1 << 4;
        /// Those that reset one function, and nothing else.
        const FUNCTION = Self::DEVICE.bits() | Self::FLR.bits() | Self::ADVANCED_FLR.bits() | Self::POWER.bits();
    }
}

impl From<Method> for Methods {
    fn from(method: Method) -> Self {
        match method {
            Method::Device => Self::DEVICE,
            Method::Flr => Self::FLR,
            Method::AdvancedFlr => Self::ADVANCED_FLR,
            Method::Power => Self::POWER,
            Method::Bus => Self::BUS,
        }
    }
}

/// The methods to try, first to last. `None` is skipped; with nothing but `None` the device is not reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order(pub [Option<Method>; 5]);

impl Order {
    /// The order for a device of which nothing else is known: what touches least goes first.
    pub const STANDARD: Self = Self([
        Some(Method::Device),
        Some(Method::Flr),
        Some(Method::AdvancedFlr),
        Some(Method::Power),
        Some(Method::Bus),
    ]);
    /// The order for a device whose own sequence is the last resort.
    pub const DEVICE_LAST: Self = Self([
        Some(Method::Flr),
        Some(Method::AdvancedFlr),
        Some(Method::Power),
        Some(Method::Bus),
        Some(Method::Device),
    ]);
}

/// All that is known of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quirks {
    /// What has no number.
    pub flags: Flags,
    /// Milliseconds from D3hot to D0 and back, in place of the usual 10.
    pub d3hot_delay_ms: Option<u16>,
    /// Milliseconds after power or a bus reset, in place of 100.
    pub d3cold_delay_ms: Option<u16>,
    /// Bytes of vital product data, in place of what their end tag says.
    pub vpd_len: Option<u16>,
    /// Its own sequence.
    pub reset: Option<DeviceReset>,
    /// The methods to try, in place of the usual ones.
    pub order: Option<Order>,
}

impl Quirks {
    /// A device without any.
    pub const NONE: Self = Self {
        flags: Flags::empty(),
        d3hot_delay_ms: None,
        d3cold_delay_ms: None,
        vpd_len: None,
        reset: None,
        order: None,
    };

    /// What both say. Of two delays the longer one counts; where only one can be right, it is that of `later`.
    #[must_use]
    pub fn merge(self, later: Self) -> Self {
        Self {
            flags: self.flags | later.flags,
            // `None` is less than any delay.
            d3hot_delay_ms: self.d3hot_delay_ms.max(later.d3hot_delay_ms),
            d3cold_delay_ms: self.d3cold_delay_ms.max(later.d3cold_delay_ms),
            vpd_len: later.vpd_len.or(self.vpd_len),
            reset: later.reset.or(self.reset),
            order: later.order.or(self.order),
        }
    }

    /// The same, on a machine with a device that asks for `ms` milliseconds after D3hot for all
    /// ([`Flags::D3HOT_DELAY_GLOBAL`]): no delay is shorter, nor is the usual one.
    #[must_use]
    pub fn with_d3hot_delay_of_all(self, ms: u16) -> Self {
        let own = self.d3hot_delay_ms.unwrap_or(D3HOT_DELAY_MS);
        Self { d3hot_delay_ms: Some(own.max(ms)), ..self }
    }

    /// The methods to try, first to last.
    #[must_use]
    pub fn order(&self) -> Order {
        let usual = match self.reset {
            Some(reset) if reset.is_last_resort() => Order::DEVICE_LAST,
            _ => Order::STANDARD,
        };
        self.order.unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_rows_keep_what_each_says() {
        let a = Quirks { flags: Flags::NO_FLR, d3hot_delay_ms: Some(20), vpd_len: Some(1), ..Quirks::NONE };
        let b = Quirks { flags: Flags::NO_ATS, d3hot_delay_ms: Some(0), vpd_len: Some(2), ..Quirks::NONE };
        let both = a.merge(b);
        assert_eq!(both.flags, Flags::NO_FLR | Flags::NO_ATS);
        assert_eq!((both.d3hot_delay_ms, both.d3cold_delay_ms), (Some(20), None));
        assert_eq!((both.vpd_len, b.merge(a).vpd_len), (Some(2), Some(1)));
        assert_eq!(a.merge(Quirks::NONE), a);
    }

    #[test]
    fn a_last_resort_is_last_unless_the_order_is_given() {
        let last = Quirks { reset: Some(DeviceReset::RadeonConfig), ..Quirks::NONE };
        assert_eq!(last.order().0.last(), Some(&Some(Method::Device)));
        let given = Order([Some(Method::Bus), None, None, None, None]);
        assert_eq!(Quirks { order: Some(given), ..last }.order(), given);
        assert_eq!(Quirks::NONE.order(), Order::STANDARD);
    }

    #[test]
    fn a_delay_of_all_devices_makes_none_shorter() {
        let of_all = |own, ms| {
            Quirks { d3hot_delay_ms: own, ..Quirks::NONE }.with_d3hot_delay_of_all(ms).d3hot_delay_ms
        };
        assert_eq!((of_all(None, 120), of_all(None, 5)), (Some(120), Some(10)));
        assert_eq!((of_all(Some(0), 120), of_all(Some(200), 120)), (Some(120), Some(200)));
    }

    #[test]
    fn methods_have_numbers_and_bits() {
        let all = Order::STANDARD.0.into_iter().flatten();
        for method in all.clone() {
            assert_eq!(Method::from_number(method as u8), Some(method));
            assert_eq!(Methods::from(method).bits(), 1 << (method as u8 - 1));
        }
        let bits =
            |methods: &mut dyn Iterator<Item = Method>| methods.map(Methods::from).collect::<Methods>();
        assert_eq!(bits(&mut all.clone()), Methods::all());
        let function = bits(&mut all.filter(|method| *method != Method::Bus));
        assert_eq!(function, Methods::FUNCTION);
        assert_eq!(Method::from_number(0), None);
        assert_eq!(Method::from_number(6), None);
    }
}
