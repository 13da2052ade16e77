//! MSI (PCIe 7.7.1): the domain's message is kept and bound to a PIRQ; the device gets the hypervisor's own message.

use capabilities::msi::{self, Control, Layout};
use capabilities::{CONFIG_SIZE, Width};
use zerocopy::FromZeros;

use crate::function::Function;
use crate::map::{DefineError, Source};
use crate::register::Effect;
use crate::{Host, Message, Pirq, Refusal};

/// The state of a function's MSI capability. All zeros is a function without one.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
pub struct Msi {
    address: u64,
    mask: u32,
    /// The first PIRQ; meaningful while `enabled`.
    pirq: i32,
    data: u16,
    offset: u8,
    /// The most vectors the device can use: 1 to 32.
    capable: u8,
    /// The vectors the domain asked for: 1 to 32.
    vectors: u8,
    address64: bool,
    masking: bool,
    enabled: bool,
    bound: bool,
}

impl Msi {
    pub(crate) const fn exists(&self) -> bool {
        self.offset != 0
    }

    /// The offset of the capability; `None` if there is none.
    pub(crate) fn offset(&self) -> Option<u16> {
        self.exists().then_some(u16::from(self.offset))
    }

    /// The offset of Pending Bits, where the device has per-vector masking, and the bits that can be set there.
    pub(crate) fn pending(&self) -> Option<(u16, u32)> {
        let layout = Layout::of(Control::new_from(self.control()));
        let bits = u32::MAX >> 32u8.saturating_sub(self.capable);
        layout.mask.map(|mask| (u16::from(self.offset) + mask + msi::PENDING_FROM_MASK, bits))
    }

    /// Whether this is the state of the capability at `offset`.
    pub(crate) const fn is_at(&self, offset: u16) -> bool {
        self.offset as u16 == offset // CAST: widening; `From` is not const.
    }

    /// Whether the domain enabled it.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// The vectors in use and the most there can be.
    #[must_use]
    pub const fn vectors(&self) -> (u8, u8) {
        (self.vectors, self.capable)
    }

    /// The message the domain wants.
    #[must_use]
    pub const fn message(&self) -> Message {
        Message { address: self.address, data: self.data as u32 } // CAST: widening; `From` is not const.
    }

    /// The first PIRQ, while enabled.
    #[must_use]
    pub const fn pirq(&self) -> Option<Pirq> {
        if self.enabled { Some(Pirq(self.pirq)) } else { None }
    }

    /// Whether the message has 64 address bits.
    #[must_use]
    pub const fn address64(&self) -> bool {
        self.address64
    }

    /// The mask bits, where the device has per-vector masking.
    #[must_use]
    pub const fn mask(&self) -> Option<u32> {
        if self.masking { Some(self.mask) } else { None }
    }

    /// The control register as the domain sees it: fields that MSI defines, no others.
    fn control(&self) -> u16 {
        // CAST: log2 of at most 32.
        let log2 = |vectors: u8| (u8::BITS - 1).saturating_sub(vectors.leading_zeros()) as u16;
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        log2(self.capable) << msi::CAPABLE_SHIFT
            | log2(self.vectors) << msi::GRANTED_SHIFT
            | flag(self.enabled, msi::ENABLE)
            | flag(self.masking, msi::PER_VECTOR_MASKING)
            | flag(self.address64, msi::ADDRESS64)
    }

    fn enable<H: Host>(&mut self, host: &H, vectors: u8) -> bool {
        let Ok(pirq) = host.map_msi(vectors) else { return false };
        self.pirq = pirq.0;
        self.enabled = true;
        self.vectors = vectors;
        self.bind(host);
        true
    }

    /// Delivers the PIRQs as the domain's message. A message that cannot be bound is none, until it is written anew.
    fn bind<H: Host>(&mut self, host: &H) {
        self.bound = self.message().is_deliverable()
            && host.bind(Pirq(self.pirq), self.vectors, self.message(), self.mask).is_ok();
    }

    fn unbind<H: Host>(&mut self, host: &H) {
        if self.bound {
            host.unbind(Pirq(self.pirq), self.vectors);
            self.bound = false;
        }
    }

    /// Gives back the PIRQs and their bindings.
    pub(crate) fn disable<H: Host>(&mut self, host: &H) {
        if self.enabled {
            self.unbind(host);
            host.unmap_pirq(Pirq(self.pirq));
            self.enabled = false;
        }
    }
}

impl Function<'_> {
    /// Mediates the MSI capability at `offset`.
    ///
    /// # Errors
    ///
    /// It leaves the standard space, a register of it is taken, or there is no room: what was defined stays, and the
    /// capability is to be hidden.
    pub(crate) fn attach_msi<H: Host>(&mut self, host: &H, offset: u8) -> Result<(), DefineError> {
        let base = u16::from(offset);
        // CAST: a word was read.
        let control = host.config_read(self.state.sbdf(), base + msi::CONTROL, Width::Word) as u16;
        let control = Control::new_from(control);
        let layout = Layout::of(control);
        if base + layout.length > CONFIG_SIZE {
            return Err(DefineError::Invalid);
        }
        self.state.msi = Msi {
            offset,
            capable: control.capable_vectors(),
            vectors: 1,
            address64: control.address64(),
            masking: control.per_vector_masking(),
            ..FromZeros::new_zeroed()
        };
        let control = Source::Virtual(u32::from(self.state.msi.control()));
        let zero = Source::Virtual(0);
        // Upwards: what is defined before another capability is in the way is below that one, and hidden.
        self.define_effect(base + msi::CONTROL, Width::Word, control, Effect::MsiControl)?;
        self.define_effect(base + msi::ADDRESS, Width::Dword, zero, Effect::MsiAddress)?;
        if self.state.msi.address64 {
            self.define_effect(base + msi::ADDRESS_HIGH, Width::Dword, zero, Effect::MsiAddressHigh)?;
        }
        self.define_effect(base + layout.data, Width::Word, zero, Effect::MsiData)?;
        if let Some(mask) = layout.mask {
            self.define_effect(base + mask, Width::Dword, zero, Effect::MsiMask)?;
        }
        Ok(())
    }

    pub(crate) fn write_msi_control<H: Host>(&mut self, host: &H, at: usize, value: u16) {
        let control = Control::new_from(value);
        let wide = control.granted_vectors() > self.state.msi.capable;
        if self.is_guest() && (wide || (value ^ self.state.msi.control()) & !msi::WRITABLE != 0) {
            self.refuse(Refusal::ReadOnly);
        }
        let msi = &mut self.state.msi;
        let vectors = control.granted_vectors().min(msi.capable);
        let enable = control.enable();
        let mut write = false;
        if !enable && !msi.enabled {
            msi.vectors = vectors;
        } else if enable != msi.enabled || vectors != msi.vectors {
            // The number of PIRQs changes only by giving them all back.
            msi.disable(host);
            write = !enable || msi.enable(host, vectors);
            if write {
                msi.vectors = vectors;
            }
            if enable && !msi.bound {
                self.refuse(Refusal::Interrupt);
            }
        }
        let control = u32::from(self.state.msi.control());
        self.set_register(at, control << 16, 0xffff_0000);
        if write {
            let offset = u16::from(self.state.msi.offset) + msi::CONTROL;
            host.config_write(self.state.sbdf(), offset, Width::Word, control);
        }
    }

    pub(crate) fn write_msi_address<H: Host>(&mut self, host: &H, at: usize, value: u32) {
        let address = self.state.msi.address & !u64::from(u32::MAX) | u64::from(value);
        self.set_register(at, value, u32::MAX);
        self.set_message(host, address, self.state.msi.data);
    }

    pub(crate) fn write_msi_address_high<H: Host>(&mut self, host: &H, at: usize, value: u32) {
        let address = self.state.msi.address & u64::from(u32::MAX) | u64::from(value) << 32;
        self.set_register(at, value, u32::MAX);
        self.set_message(host, address, self.state.msi.data);
    }

    pub(crate) fn write_msi_data<H: Host>(&mut self, host: &H, at: usize, value: u16) {
        self.set_register(at, u32::from(value), 0xffff);
        self.set_message(host, self.state.msi.address, value);
    }

    fn set_message<H: Host>(&mut self, host: &H, address: u64, data: u16) {
        let msi = &mut self.state.msi;
        msi.address = address;
        msi.data = data;
        if msi.enabled {
            msi.unbind(host);
            msi.bind(host);
            if !msi.bound {
                self.refuse(Refusal::Interrupt);
            }
        }
    }

    pub(crate) fn write_msi_mask<H: Host>(&mut self, host: &H, at: usize, value: u32) {
        self.set_register(at, value, u32::MAX);
        let msi = &mut self.state.msi;
        let changed = msi.mask ^ value;
        msi.mask = value;
        if let Some(pirq) = msi.pirq() {
            for index in (0..msi.vectors).filter(|index| changed >> index & 1 != 0) {
                host.mask(pirq, index, value >> index & 1 != 0);
            }
        }
    }
}
