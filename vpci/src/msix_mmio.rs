//! Accesses to the trapped pages: the MSI-X table is virtual, the PBA and the table's neighbours are the device's
//! (PCIe 7.7.2, which asks for aligned dwords and qwords in both).

use capabilities::msix;

use crate::bar::Bar;
use crate::function::Function;
use crate::guest_bar;
use crate::msix::Region;
use crate::pages::{PAGE_SHIFT, PAGE_SIZE};
use crate::{Host, Pages, Refusal};

/// What a byte in the trapped pages belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Table { entry: u16, offset: u8 },
    Pba,
    Neighbour,
    Outside,
}

/// All bits of a value of `bytes` bytes, 1 to 8.
const fn ones(bytes: u8) -> u64 {
    u64::MAX >> (64 - 8 * bytes as u32) // CAST: widening; `From` is not const.
}

impl Function<'_> {
    /// The guest frames whose accesses belong to [`mmio_read`](Self::mmio_read) and
    /// [`mmio_write`](Self::mmio_write): those of the MSI-X table and PBA, while their BARs are in the p2m.
    pub fn trapped(&self) -> [Option<Pages>; 2] {
        let bars = &self.state.bars;
        let present = |region: &Region| region.bar(bars).is_some_and(Bar::is_present);
        self.state.msix.regions().map(|region| Some(region).filter(present)?.pages(bars))
    }

    fn place(&self, address: u64) -> Place {
        let bars = &self.state.bars;
        let [table, pba] = self.state.msix.regions();
        // A PBA that lies about its place must not open the table.
        if let Some(offset) = table.offset_of(bars, address) {
            let (entry, offset) = (offset / msix::ENTRY_SIZE, offset % msix::ENTRY_SIZE);
            // CAST: a table has at most 2048 entries of 16 bytes.
            return Place::Table { entry: entry as u16, offset: offset as u8 };
        }
        if pba.offset_of(bars, address).is_some() {
            return Place::Pba;
        }
        let trapped = self.state.msix.trapped(bars);
        let mut neighbour = trapped.into_iter().flatten().any(|pages| pages.contains(address >> PAGE_SHIFT));
        // Of what is around a BAR in its host page, nothing is a guest's.
        neighbour &= !self.is_guest() || guest_bar::owns(bars, address);
        if neighbour { Place::Neighbour } else { Place::Outside }
    }

    /// Reads `bytes` (1, 2, 4 or 8) at `address` in a trapped page. What may not be read, reads as all ones.
    ///
    /// Work: bounded by eight host accesses.
    pub fn mmio_read<H: Host>(&mut self, host: &H, address: u64, bytes: u8) -> u64 {
        if !matches!(bytes, 1 | 2 | 4 | 8) {
            return u64::MAX;
        }
        if self.is_withdrawn() {
            return ones(bytes);
        }
        // CAST: the low bits.
        self.state.audit.serve(address as u16, bytes, 0);
        let value = match self.place(address) {
            Place::Table { entry, offset } if table_access(address, bytes) => self.read_entry(entry, offset),
            Place::Table { .. } => None,
            _ => self.read_device(host, address, bytes),
        };
        if value.is_none() {
            self.refuse(Refusal::MsixAccess);
        }
        value.unwrap_or(u64::MAX) & ones(bytes)
    }

    /// Writes likewise. What may not be written is dropped.
    pub fn mmio_write<H: Host>(&mut self, host: &H, address: u64, bytes: u8, value: u64) {
        if !matches!(bytes, 1 | 2 | 4 | 8) || self.is_withdrawn() {
            return;
        }
        // CAST: the low bits, twice.
        self.state.audit.serve(address as u16, bytes, value as u32);
        let done = match self.place(address) {
            Place::Table { entry, offset } if table_access(address, bytes) => {
                self.write_entry(host, entry, offset, bytes, value);
                true
            }
            Place::Table { .. } => false,
            // Pending bits are read-only; the hardware domain's writes are its own.
            Place::Pba if self.is_guest() => false,
            _ => self.write_device(host, address, bytes, value),
        };
        if !done {
            self.refuse(Refusal::MsixAccess);
        }
    }

    /// The qword from `offset` on of a table entry; at 4 and 12, its dword.
    fn read_entry(&self, entry: u16, offset: u8) -> Option<u64> {
        let vector = self.vectors.get(usize::from(entry))?;
        let control = if vector.masked { u64::from(msix::VECTOR_MASKED) } else { 0 };
        Some(match offset {
            0 => vector.address,
            4 => vector.address >> 32,
            8 => control << 32 | u64::from(vector.data),
            _ => control,
        })
    }

    /// Writes to a table entry. Address and data may be written while the vector is unmasked, which PCIe leaves
    /// undefined: they take effect when it is next unmasked.
    fn write_entry<H: Host>(&mut self, host: &H, entry: u16, offset: u8, bytes: u8, value: u64) {
        let Some(vector) = self.vectors.get_mut(usize::from(entry)) else { return };
        let low = value & u64::from(u32::MAX);
        let mut control = None;
        match (offset, bytes) {
            (0, 8) => vector.address = value,
            (0, _) => vector.address = vector.address & !u64::from(u32::MAX) | low,
            (4, _) => vector.address = vector.address & u64::from(u32::MAX) | low << 32,
            (8, 8) => {
                vector.data = low as u32; // CAST: masked.
                control = Some(value >> 32);
            }
            (8, _) => vector.data = low as u32, // CAST: masked.
            _ => control = Some(low),
        }
        vector.updated |= offset < 12;
        if let Some(control) = control {
            self.mask_vector(host, entry, control & u64::from(msix::VECTOR_MASKED) != 0);
        }
    }

    /// Whether the bytes at `address` may be reached at this width: neighbours at any, the PBA as PCIe says, and
    /// never from one of them into the table or out of the trapped pages.
    fn reaches_device(&self, address: u64, bytes: u8) -> bool {
        let Some(last) = address.checked_add(u64::from(bytes) - 1) else { return false };
        let pba = matches!((self.place(address), self.place(last)), (Place::Pba, _) | (_, Place::Pba));
        let device = |at| matches!(self.place(at), Place::Pba | Place::Neighbour);
        device(address) && device(last) && (!pba || table_access(address, bytes))
    }

    fn read_device<H: Host>(&self, host: &H, address: u64, bytes: u8) -> Option<u64> {
        if !self.reaches_device(address, bytes) {
            return None;
        }
        if address.is_multiple_of(u64::from(bytes)) {
            return self.read_aligned(host, address, bytes);
        }
        // Byte by byte: only neighbours get here, the PBA is never unaligned.
        (0..bytes).try_fold(0, |value, n| {
            let at = address + u64::from(n);
            let byte = if self.reaches_device(at, 1) { self.read_aligned(host, at, 1)? } else { 0xff };
            Some(value | (byte & 0xff) << (8 * u32::from(n)))
        })
    }

    fn read_aligned<H: Host>(&self, host: &H, address: u64, bytes: u8) -> Option<u64> {
        let (slot, frame, offset) = self.device_frame(address)?;
        host.mmio_read(slot, frame, offset, bytes)
    }

    fn write_device<H: Host>(&self, host: &H, address: u64, bytes: u8, value: u64) -> bool {
        if !self.reaches_device(address, bytes) {
            return false;
        }
        if address.is_multiple_of(u64::from(bytes)) {
            return self.write_aligned(host, address, bytes, value);
        }
        (0..bytes).fold(true, |done, n| {
            let (at, byte) = (address + u64::from(n), value >> (8 * u32::from(n)));
            done & (self.reaches_device(at, 1) && self.write_aligned(host, at, 1, byte))
        })
    }

    fn write_aligned<H: Host>(&self, host: &H, address: u64, bytes: u8, value: u64) -> bool {
        let Some((slot, frame, offset)) = self.device_frame(address) else { return false };
        host.mmio_write(slot, frame, offset, bytes, value & ones(bytes));
        true
    }

    /// The slot, the host frame and the offset in it behind a trapped address. Slots are the first and last pages of
    /// the table (0, 1) and of the PBA (2, 3), the only ones that hold anything but table.
    fn device_frame(&self, address: u64) -> Option<(u8, u64, u16)> {
        let bars = &self.state.bars;
        let frame = address >> PAGE_SHIFT;
        let (slot, region, pages) =
            (0u8..).step_by(2).zip(self.state.msix.regions()).find_map(|(slot, region)| {
                let pages = region.pages(bars)?;
                pages.contains(frame).then_some((slot, region, pages))
            })?;
        let bar = region.bar(bars)?;
        let host = address.wrapping_sub(bar.guest).wrapping_add(bar.address);
        // CAST: below the page size.
        Some((slot + u8::from(frame != pages.first), host >> PAGE_SHIFT, (host % PAGE_SIZE) as u16))
    }
}

/// Whether PCIe allows this access to the table and the PBA.
const fn table_access(address: u64, bytes: u8) -> bool {
    (bytes == 4 || bytes == 8) && address.is_multiple_of(bytes as u64) // CAST: widening; `From` is not const.
}
