//! A physical function: its configuration space, with what each bit does when it is written.

use capabilities::{ConfigReader, Width};

const BYTES: usize = 0x1000;

/// A function's configuration space, byte by byte.
#[derive(Clone)]
pub struct Device {
    bytes: Vec<u8>,
    /// Bits that a write changes; all others are read-only.
    writable: Vec<u8>,
    /// Bits that a write of 1 clears.
    clear: Vec<u8>,
    /// Bytes that exist; those behind them read as all ones.
    size: usize,
    /// The pointer that the next standard capability is to be put into.
    pointer: usize,
    /// The header of the last extended capability.
    extended: Option<usize>,
}

impl Device {
    /// A function of which nothing is known: all bytes read 0 and are read-only.
    pub fn empty() -> Self {
        let zeros = || vec![0; BYTES];
        Self { bytes: zeros(), writable: zeros(), clear: zeros(), size: BYTES, pointer: 0x34, extended: None }
    }

    /// An endpoint (header type 0) without BARs and capabilities.
    pub fn endpoint(vendor: u16, device: u16) -> Self {
        let mut endpoint = Self::empty();
        endpoint.set(0x00, Width::Word, u32::from(vendor));
        endpoint.set(0x02, Width::Word, u32::from(device));
        endpoint.allow(0x04, Width::Word, 0x0547);
        endpoint.clear_by_one(0x06, Width::Word, 0xf900);
        // Cache line size, latency timer and interrupt line.
        endpoint.allow(0x0c, Width::Byte, 0xff);
        endpoint.allow(0x0d, Width::Byte, 0xff);
        endpoint.allow(0x3c, Width::Byte, 0xff);
        endpoint
    }

    /// A PCI-to-PCI bridge (header type 1).
    pub fn bridge(vendor: u16, device: u16) -> Self {
        let mut bridge = Self::endpoint(vendor, device);
        bridge.set(0x0e, Width::Byte, 1);
        bridge.set(0x0a, Width::Word, 0x0604);
        // Bus numbers, windows and bridge control.
        bridge.allow(0x18, Width::Dword, u32::MAX);
        bridge.allow(0x1c, Width::Dword, 0x0000_f0f0);
        bridge.allow(0x20, Width::Dword, 0xfff0_fff0);
        bridge.allow(0x24, Width::Dword, 0xfff0_fff0);
        bridge.allow(0x3e, Width::Word, 0x007f);
        bridge
    }

    /// A function with these bytes, 256 or 4096 of them; BARs and ROM have the size that `size` gives for the
    /// value of their register.
    pub fn from_bytes(bytes: &[u8], size: impl Fn(u64) -> u64) -> Self {
        let mut device = Self::endpoint(0, 0);
        device.bytes[..bytes.len()].copy_from_slice(bytes);
        device.size = bytes.len();
        let (bars, rom) = match device.get(0x0e, Width::Byte) & 0x7f {
            0 => (6, 0x30),
            1 => (2, 0x38),
            _ => (0, 0),
        };
        let mut number = 0;
        while number < bars {
            let offset = 0x10 + number * 4;
            let low = device.get(offset, Width::Dword);
            let long = low & 7 == 4 && number + 1 < bars;
            let high = if long { device.get(offset + 4, Width::Dword) } else { 0 };
            let address = u64::from(high) << 32 | u64::from(low & !0xf);
            let port = low & !3;
            if low & 1 != 0 && port != 0 {
                // No more than 256 ports (PCI 6.2.5.1). CAST: at most 256.
                let size = size(u64::from(port)).clamp(4, 0x100) as u32;
                device.allow(offset, Width::Dword, !(size - 1) & !3);
            } else if low & 1 == 0 && address != 0 {
                let mask = !(size(address) - 1);
                device.allow(offset, Width::Dword, mask as u32 & !0xf); // CAST: the low half.
                if long {
                    device.allow(offset + 4, Width::Dword, (mask >> 32) as u32); // CAST: the high half.
                }
            }
            number += if long { 2 } else { 1 };
        }
        let value = device.get(rom, Width::Dword);
        if rom != 0 && value & !0x7ff != 0 {
            // CAST: a ROM is below 4 GiB.
            device.allow(rom, Width::Dword, !(size(u64::from(value & !0x7ff)) as u32 - 1) & !0x7ff | 1);
        }
        device
    }

    /// The value at `offset`, as hardware gives it.
    pub fn get(&self, offset: u16, width: Width) -> u32 {
        let at = usize::from(offset);
        (0..usize::from(width.bytes())).fold(0, |value, n| {
            let byte = if at + n < self.size { self.bytes[at + n] } else { 0xff };
            value | u32::from(byte) << (8 * n)
        })
    }

    /// Sets the value at `offset`, read-only bits as well.
    pub fn set(&mut self, offset: u16, width: Width, value: u32) {
        self.put(offset, width, |device, at, byte| device.bytes[at] = byte, value);
    }

    /// Makes the bits under `mask` read-write, and the register's others read-only.
    pub fn allow(&mut self, offset: u16, width: Width, mask: u32) {
        self.put(offset, width, |device, at, byte| device.writable[at] = byte, mask);
    }

    /// Makes the bits under `mask` RW1C.
    pub fn clear_by_one(&mut self, offset: u16, width: Width, mask: u32) {
        self.put(offset, width, |device, at, byte| device.clear[at] = byte, mask);
    }

    /// The bits of the register at `offset` that a write changes.
    pub fn writable(&self, offset: u16, width: Width) -> u32 {
        let at = usize::from(offset);
        (0..usize::from(width.bytes())).fold(0, |mask, n| mask | u32::from(self.writable[at + n]) << (8 * n))
    }

    /// Takes away what is behind the first 256 bytes: a conventional function.
    pub fn truncate(&mut self) {
        self.size = 0x100;
    }

    fn put(&mut self, offset: u16, width: Width, put: impl Fn(&mut Self, usize, u8), value: u32) {
        for (n, byte) in value.to_le_bytes().into_iter().take(usize::from(width.bytes())).enumerate() {
            put(self, usize::from(offset) + n, byte);
        }
    }

    /// Writes as software does.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        let write = |device: &mut Self, at: usize, byte: u8| {
            if at < device.size {
                let (writable, clear) = (device.writable[at], device.clear[at] & !device.writable[at]);
                let old = device.bytes[at];
                device.bytes[at] = (old & !writable | byte & writable) & !(byte & clear);
            }
        };
        self.put(offset, width, write, value);
    }

    /// COMMAND as it is now.
    pub fn command(&self) -> u16 {
        self.get(0x04, Width::Word) as u16 // CAST: a word.
    }

    /// Sets COMMAND.
    #[must_use]
    pub fn with_command(mut self, value: u16) -> Self {
        self.set(0x04, Width::Word, u32::from(value));
        self
    }

    /// A 32-bit memory BAR of `size` bytes at `address`.
    #[must_use]
    pub fn with_bar32(mut self, number: u16, address: u32, size: u32) -> Self {
        self.set(0x10 + number * 4, Width::Dword, address);
        self.allow(0x10 + number * 4, Width::Dword, !(size - 1) & !0xf);
        self
    }

    /// A prefetchable 64-bit memory BAR of `size` bytes at `address`.
    #[must_use]
    pub fn with_bar64(mut self, number: u16, address: u64, size: u64) -> Self {
        let offset = 0x10 + number * 4;
        let mask = !(size - 1) & !0xf;
        // CAST: the halves, four times.
        self.set(offset, Width::Dword, address as u32 | 0xc);
        self.set(offset + 4, Width::Dword, (address >> 32) as u32);
        self.allow(offset, Width::Dword, mask as u32);
        self.allow(offset + 4, Width::Dword, (mask >> 32) as u32);
        self
    }

    /// An I/O BAR of `size` ports at `port`.
    #[must_use]
    pub fn with_io(mut self, number: u16, port: u32, size: u32) -> Self {
        self.set(0x10 + number * 4, Width::Dword, port | 1);
        self.allow(0x10 + number * 4, Width::Dword, !(size - 1) & !3);
        self
    }

    /// An expansion ROM; `value` is its register's, the enable bit included.
    #[must_use]
    pub fn with_rom(mut self, value: u32, size: u32) -> Self {
        let offset = if self.get(0x0e, Width::Byte) & 0x7f == 1 { 0x38 } else { 0x30 };
        self.set(offset, Width::Dword, value);
        self.allow(offset, Width::Dword, !(size - 1) & !0x7ff | 1);
        self
    }

    /// A standard capability at `offset`, behind those there are: its ID, and what follows the pointer.
    #[must_use]
    pub fn with_capability(mut self, offset: u8, id: u8, body: &[u8]) -> Self {
        let at = usize::from(offset);
        self.bytes[6] |= 0x10;
        self.bytes[self.pointer] = offset;
        self.bytes[at] = id;
        self.bytes[at + 1] = 0;
        self.bytes[at + 2..at + 2 + body.len()].copy_from_slice(body);
        self.pointer = at + 1;
        self
    }

    /// An MSI capability with this Message Control; its registers are read-write.
    #[must_use]
    pub fn with_msi(self, offset: u8, control: u16) -> Self {
        let mut device = self.with_capability(offset, 0x05, &control.to_le_bytes());
        let base = u16::from(offset);
        device.allow(base + 2, Width::Word, 0x0071);
        for dword in (4..0x18).step_by(4) {
            device.allow(base + dword, Width::Dword, u32::MAX);
        }
        device
    }

    /// An MSI-X capability of `entries` vectors, its table and PBA at `(BIR, offset)`.
    #[must_use]
    pub fn with_msix(self, offset: u8, entries: u16, table: (u32, u32), pba: (u32, u32)) -> Self {
        let mut body = (entries - 1).to_le_bytes().to_vec();
        body.extend((table.0 | table.1).to_le_bytes());
        body.extend((pba.0 | pba.1).to_le_bytes());
        let mut device = self.with_capability(offset, 0x11, &body);
        device.allow(u16::from(offset) + 2, Width::Word, 0xc000);
        device
    }

    /// An extended capability at `offset`, behind those there are (the first goes to 0x100), filled with `fill`.
    #[must_use]
    pub fn with_extended(mut self, offset: u16, id: u16, length: u16, fill: u8) -> Self {
        if let Some(last) = self.extended {
            let [low, high] = (offset << 4).to_le_bytes();
            self.bytes[last + 2] = self.bytes[last + 2] & 0xf | low;
            self.bytes[last + 3] = high;
        }
        let at = usize::from(offset);
        self.set(offset, Width::Dword, u32::from(id) | 1 << 16);
        self.bytes[at + 4..at + usize::from(length)].fill(fill);
        self.extended = Some(at);
        self
    }
}

impl ConfigReader for Device {
    fn read(&self, offset: u16, width: Width) -> u32 {
        self.get(offset, width)
    }
}
