//! Message Signalled Interrupts, capability 05h (PCIe 7.7.1).

use modular_bitfield::prelude::*;

use super::{ID, NEXT};
use crate::policy::{Act, Control as Owner, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Hidden};

/// Message Control, a word at the capability's offset + 2 (PCIe 7.7.1.2).
#[bitfield(bits = 16)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control {
    /// MSI is in use; INTx is not.
    pub enable: bool,
    /// Multiple Message Capable: log2 of the number of messages the function asks for. 6 and 7 are reserved.
    #[skip(setters)]
    pub capable: B3,
    /// Multiple Message Enable: log2 of the number of messages it may send. 6 and 7 are reserved.
    #[skip(setters)]
    pub granted: B3,
    /// The message address has 64 bits.
    pub address64: bool,
    /// There are mask and pending registers.
    pub per_vector_masking: bool,
    #[skip]
    reserved: B7,
}

impl Control {
    /// The control register with this value.
    #[must_use]
    pub const fn new_from(value: u16) -> Self {
        Self::from_bytes(value.to_le_bytes())
    }

    /// The messages the function asks for: 1 to 32; a reserved encoding counts as 32.
    #[must_use]
    pub fn capable_vectors(self) -> u8 {
        1 << self.capable().min(5)
    }

    /// The messages it may send: 1 to 32; a reserved encoding counts as 32.
    #[must_use]
    pub fn granted_vectors(self) -> u8 {
        1 << self.granted().min(5)
    }
}

/// [`Control`] bit 0.
pub const ENABLE: u16 = 1 << 0;
/// [`Control`] bit 7.
pub const ADDRESS64: u16 = 1 << 7;
/// [`Control`] bit 8.
pub const PER_VECTOR_MASKING: u16 = 1 << 8;
/// Where [`Control::capable`] starts.
pub const CAPABLE_SHIFT: u32 = 1;
/// Where [`Control::granted`] starts.
pub const GRANTED_SHIFT: u32 = 4;

/// Bits 31:20 of a Message Address in the range of the local APICs, with nothing above them (Intel SDM 3A, 11.11.1).
pub const APIC_RANGE: u64 = 0xfee;
/// Where [`APIC_RANGE`] starts in a Message Address.
pub const APIC_RANGE_SHIFT: u32 = 20;
/// The delivery mode in Message Data, bits 10:8 (Intel SDM 3A, 11.11.2).
pub const DELIVERY_MODE: u32 = 7 << 8;
/// [`DELIVERY_MODE`]: lowest priority; fixed is 0.
pub const LOWEST_PRIORITY: u32 = 1 << 8;

/// The bits of [`Control`] that software may write: enable and granted.
pub const WRITABLE: u16 = 0x0071;
/// From Mask Bits to Pending Bits, which follow.
pub const PENDING_FROM_MASK: u16 = 4;

/// Message Control, relative to the capability.
pub const CONTROL: u16 = 0x02;
/// Message Address, bits 31:0, relative to the capability.
pub const ADDRESS: u16 = 0x04;
/// Message Address, bits 63:32, relative to the capability; only where [`Control::address64`].
pub const ADDRESS_HIGH: u16 = 0x08;

/// Where the registers behind the address are: their place depends on [`Control`] (PCIe 7.7.1, Figure 7-45 ff.).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Message Data, a word, relative to the capability.
    pub data: u16,
    /// Mask Bits, a dword, relative to the capability, if there are any; Pending Bits follow.
    pub mask: Option<u16>,
    /// The length of the whole capability in bytes.
    pub length: u16,
}

impl Layout {
    /// The layout for this control register.
    #[must_use]
    pub fn of(control: Control) -> Self {
        let data = if control.address64() { 0x0c } else { 0x08 };
        if control.per_vector_masking() {
            Self { data, mask: Some(data + 4), length: data + 12 }
        } else {
            Self { data, mask: None, length: data + 2 }
        }
    }
}

/// What a guest sees. The engine makes the registers up: where they are depends on [`Control`].
pub const POLICY: Policy = Policy {
    name: "Message Signalled Interrupts",
    section: "PCIe 7.7.1",
    length: Length::Msi,
    guest: Visibility::Shown,
    floor: true,
    why: "a guest's only interrupts besides MSI-X; it programs a virtual one, the hypervisor the device's",
    fields: &[
        ID,
        NEXT,
        Field::new("MSI Enable", CONTROL, 0x0001, Engine(Act::MsiControl)).host(Owner::Hypervisor),
        Field::new("Multiple Message Capable", CONTROL, 0x000e, Engine(Act::MsiControl))
            .host(Owner::Hypervisor)
            .because("at most as many as the hypervisor grants"),
        Field::new("Multiple Message Enable", CONTROL, 0x0070, Engine(Act::MsiControl))
            .host(Owner::Hypervisor)
            .because("never more than the function is capable of"),
        Field::new("64-bit Address Capable, Per-Vector Masking Capable", CONTROL, 0x0180, Engine(Act::MsiControl))
            .host(Owner::Hypervisor),
        Field::new("Extended Message Data Capable, Enable", CONTROL, 0x0600, Hidden)
            .because("an x86 message has 16 bits of data"),
        Field::new("Message Address", ADDRESS, 0xffff_ffff, Engine(Act::Msi))
            .host(Owner::Hypervisor)
            .because("the device writes where it says: anywhere (XSA-3, 128)"),
        Field::new("Message Upper Address, or Message Data", 0x08, 0xffff_ffff, Engine(Act::Msi))
            .host(Owner::Hypervisor),
        Field::new("Message Data, or Mask Bits", 0x0c, 0xffff_ffff, Engine(Act::Msi))
            .host(Owner::Hypervisor)
            .because("a mask bit is the guest's or the hypervisor's: either masks (XSA-129; vfio lets it be written)"),
        Field::new("Mask Bits, or Pending Bits", 0x10, 0xffff_ffff, Engine(Act::Msi)).host(Owner::Hypervisor),
        Field::new("Pending Bits", 0x14, 0xffff_ffff, Engine(Act::Msi)).host(Owner::Hypervisor),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_the_specification() {
        let layout = |value| Layout::of(Control::new_from(value));
        assert_eq!(layout(0x0000), Layout { data: 8, mask: None, length: 0x0a });
        assert_eq!(layout(0x0080), Layout { data: 12, mask: None, length: 0x0e });
        assert_eq!(layout(0x0100), Layout { data: 8, mask: Some(12), length: 0x14 });
        assert_eq!(layout(0x0180), Layout { data: 12, mask: Some(16), length: 0x18 });
    }

    #[test]
    fn reserved_message_counts_are_32() {
        for (encoding, vectors) in [(0, 1), (1, 2), (4, 16), (5, 32), (6, 32), (7, 32)] {
            assert_eq!(Control::new_from(encoding << 1).capable_vectors(), vectors);
            assert_eq!(Control::new_from(encoding << 4).granted_vectors(), vectors);
        }
        assert!(Control::new_from(ENABLE).enable());
        assert!(Control::new_from(ADDRESS64).address64());
        assert!(Control::new_from(PER_VECTOR_MASKING).per_vector_masking());
    }
}
