//! MSI (PCIe 6.0, 7.7.1) and MSI-X (7.7.2): a message goes to this guest, as a fixed or lowest-priority interrupt, or nowhere.

use super::{Case, Outcome, Tried, Victim, unmoved};
use crate::{
    interrupts::{self, count, count_others},
    memory::{self, Dma},
    pci::{
        function,
        msi::{MSI_MASKS, MSIX_ENABLE, MSIX_MASK_ALL},
    },
    report::ensure,
    suite::worker::Message,
    xen,
};

pub(super) const CASES: &[Case] = &[
    ("09-message-to-memory", to_memory),
    ("09-message-nmi-smi-init", delivery_modes),
    ("09-message-elsewhere", elsewhere),
    ("09-message-while-enabled", while_enabled),
    ("10-more-messages-than-there-are", too_many),
    ("11-mask-bits", mask_bits),
    ("12-msix-enable-mask-race", race),
    ("12-msix-bir-and-offset", placement),
    ("12-msix-odd-widths", odd_widths),
    ("12-pending-bits", pending_bits),
];

/// Has the device raise its interrupt with such messages: nothing arrives.
fn nothing_comes(victim: &mut Victim, messages: impl IntoIterator<Item = (u64, u32)>) -> Outcome {
    let (message, vector) = victim.worker.message();
    let mut tries = 0;
    for (address, data) in messages {
        message.set(address, data);
        // A card holds interrupts back for a while: what is from before comes first.
        xen::pause(crate::drivers::SOON);
        let (own, others) = (count(vector), count_others(vector));
        victim.worker.poke()?;
        let strange = count_others(vector).wrapping_sub(others);
        ensure(strange == 0, "another interrupt came of it", u64::from(data) << 32 | u64::from(strange))?;
        ensure(count(vector) == own, "the interrupt came all the same", data)?;
        message.restore(vector);
        // What waited for a message that can be delivered may come now.
        xen::pause(crate::drivers::SOON);
        tries += 1;
    }
    Ok(Tried::Times(tries))
}

/// An address that is not the APICs' is a write to memory.
fn to_memory(victim: &mut Victim) -> Outcome {
    let ram = Dma::pages(1);
    ram.pattern(4096, 9);
    let sum = ram.sum(4096);
    let (_, vector) = victim.worker.message();
    let data = u32::from(vector);
    let targets = [ram.address(), ram.address() + 0xffc, 0, 0xfec0_0000, 0xfed0_0000, 0xfff0_0000];
    let tried = nothing_comes(victim, targets.map(|target| (target, data)))?;
    ensure(ram.sum(4096) == sum, "a message was written to RAM", ram.address())?;
    Ok(tried)
}

/// The delivery modes that are not interrupts of a vector (Intel SDM volume 3, 11.11.2), and vectors that are exceptions.
fn delivery_modes(victim: &mut Victim) -> Outcome {
    let (_, vector) = victim.worker.message();
    let (address, _) = interrupts::message(vector);
    let modes = [2, 3, 4, 5, 6, 7].map(|mode| (address, mode << 8 | u32::from(vector)));
    nothing_comes(victim, modes)?;
    nothing_comes(victim, [0, 1, 2, 8, 13, 15].map(|vector| (address, vector)))?;
    Ok(Tried::Times(12))
}

/// CPUs that the guest does not have.
fn elsewhere(victim: &mut Victim) -> Outcome {
    let (_, vector) = victim.worker.message();
    let data = u32::from(vector);
    nothing_comes(victim, [0x40, 0x80, 0xfe].map(|id: u64| (0xfee0_0000 | id << 12, data)))
}

/// Address and data changed without masking, back and forth.
fn while_enabled(victim: &mut Victim) -> Outcome {
    let (message, vector) = victim.worker.message();
    let others = count_others(vector);
    let (address, data) = interrupts::message(vector);
    for round in 0..20 {
        message.write(0x1000 * round, 0x400 | data);
        message.write(address, 0x200 | data);
        message.write(address, data);
    }
    message.restore(vector);
    victim.worker.exercise(6)?;
    let strange = count_others(vector).wrapping_sub(others);
    ensure(strange == 0, "another interrupt came of it", strange)?;
    Ok(Tried::Times(60))
}

/// More messages than the device is capable of.
fn too_many(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(function::MSI) else { return Ok(Tried::Nothing("no MSI")) };
    let control = function.read16(at + 2);
    let capable = control >> 1 & 7;
    for wanted in 0..8 {
        function.write16(at + 2, control & !0x70 | wanted << 4);
        let granted = function.read16(at + 2) >> 4 & 7;
        ensure(granted <= capable, "more were granted than there are", granted)?;
    }
    // What it is capable of, and what does not exist.
    function.write16(at + 2, control ^ 0xff8e);
    let now = function.read16(at + 2);
    ensure((now ^ control) & 0xff8e == 0, "a read-only bit changed", now)?;
    function.write16(at + 2, control);
    victim.worker.message().0.revive();
    Ok(Tried::Times(9))
}

/// Mask bits that the device does not have, and those of other vectors.
fn mask_bits(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(function::MSI) else { return Ok(Tried::Nothing("no MSI")) };
    let control = function.read16(at + 2);
    if control & MSI_MASKS == 0 {
        return Ok(Tried::Nothing("no mask bits"));
    }
    let mask = at + if control & 0x80 == 0 { 12 } else { 16 };
    let capable = u32::MAX >> (32 - (1_u32 << (control >> 1 & 7)));
    function.write32(mask, u32::MAX);
    ensure(function.read32(mask) & !capable == 0, "a mask bit that is none", function.read32(mask))?;
    function.write32(mask, 0);
    ensure(function.read32(mask) == 0, "a mask bit stays", function.read32(mask))?;
    unmoved(function, mask + 4, 4, u32::MAX)?;
    Ok(Tried::Times(3))
}

/// Enable and mask switched as fast as it goes, with work in between.
fn race(victim: &mut Victim) -> Outcome {
    let (message, vector) = victim.worker.message();
    let others = count_others(vector);
    for round in 0..40_u16 {
        match &message {
            Message::Msix(msix, entry) => {
                let control = msix.at + 2;
                msix.function.write16(control, MSIX_ENABLE | MSIX_MASK_ALL);
                msix.mask(*entry, round & 1 == 0);
                msix.function.write16(control, 0);
                msix.mask(*entry, round & 1 != 0);
                msix.function.write16(control, MSIX_ENABLE);
                msix.mask(*entry, false);
            }
            Message::Msi(msi) => {
                let control = msi.function.read16(msi.at + 2);
                msi.function.write16(msi.at + 2, control & !1);
                msi.function.write16(msi.at + 2, control & !1 | (round & 7) << 4);
                msi.function.write16(msi.at + 2, control | (round & 7) << 4);
                msi.function.write16(msi.at + 2, control);
            }
        }
    }
    let strange = count_others(vector).wrapping_sub(others);
    ensure(strange == 0, "another interrupt came of it", strange)?;
    Ok(Tried::Times(40))
}

/// Where the table and the pending bits are is fixed, and so is how many there are.
fn placement(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(function::MSIX) else { return Ok(Tried::Nothing("no MSI-X")) };
    for offset in [4, 8] {
        for value in [0, u32::MAX, 0x1003] {
            unmoved(function, at + offset, 4, value)?;
        }
        unmoved(function, at + offset, 1, 5)?;
    }
    let control = function.read16(at + 2);
    function.write16(at + 2, control ^ 0x3fff);
    ensure(function.read16(at + 2) == control, "the table has another size", function.read16(at + 2))?;
    Ok(Tried::Times(9))
}

/// Accesses to the table that have no right to be (7.7.2: aligned dwords and qwords only).
fn odd_widths(victim: &mut Victim) -> Outcome {
    let (Message::Msix(msix, entry), _) = victim.worker.message() else {
        return Ok(Tried::Nothing("no MSI-X"));
    };
    let at = msix.entry(entry);
    let entry = [0, 4, 8, 12].map(|offset| memory::read32(at + offset));
    for offset in 0..16 {
        memory::write8(at + offset, 0x77);
        if offset % 2 == 0 {
            memory::write16(at + offset, 0x7777);
        }
        if offset % 4 != 0 {
            memory::unaligned_write(at + offset, 4, 0x7777_7777);
        }
        if offset % 8 != 0 && offset < 8 {
            memory::unaligned_write(at + offset, 8, 0x7777_7777_7777_7777);
        }
        memory::read8(at + offset);
        memory::unaligned_read(at + offset, 2);
        memory::unaligned_read(at + offset, 4);
        memory::unaligned_read(at + offset, 8);
    }
    let now = [0, 4, 8, 12].map(|offset| memory::read32(at + offset));
    ensure(now == entry, "an entry changed", now[2])?;
    // Reserved bits of the vector control.
    memory::write32(at + 12, 0xffff_fffe);
    ensure(memory::read32(at + 12) & !1 == 0, "reserved bits were kept", memory::read32(at + 12))?;
    // A qword at once is allowed.
    let low = u64::from(entry[1]) << 32 | u64::from(entry[0]);
    memory::write64(at, low);
    ensure(memory::read64(at) == low, "a qword is not kept", memory::read64(at))?;
    Ok(Tried::Times(60))
}

/// Pending bits are the device's.
fn pending_bits(victim: &mut Victim) -> Outcome {
    let (Message::Msix(msix, _), _) = victim.worker.message() else {
        return Ok(Tried::Nothing("no MSI-X"));
    };
    let before = memory::read64(msix.pending);
    memory::write64(msix.pending, !before);
    memory::write32(msix.pending, !0);
    memory::write8(msix.pending, 0xff);
    let after = memory::read64(msix.pending);
    ensure(before == after, "a pending bit was written", after)?;
    Ok(Tried::Times(3))
}
