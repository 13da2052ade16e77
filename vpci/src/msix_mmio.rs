//! Accesses to the trapped pages: the MSI-X table is virtual, the PBA and the neighbours of both are the device's (PCIe
//! 7.7.2, which asks for aligned dwords and qwords in both), and of a guest's, some bytes are somebody else's.

use capabilities::{Access, Width, msix};

use crate::bar::Bar;
use crate::function::Function;
use crate::guest_bar;
use crate::pages::{PAGE_SHIFT, PAGE_SIZE};
use crate::withheld::{Region, TRAPPED};
use crate::{Host, Locked, Mirrors, Pages, Refusal, Way, Written};

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
    /// [`mmio_write`](Self::mmio_write): those of the MSI-X table and PBA, and those that are withheld, while their BARs
    /// are in the p2m.
    pub fn trapped(&self) -> [Option<Pages>; TRAPPED] {
        let bars = &self.state.bars;
        let present = |region: &Region| region.bar(bars).is_some_and(Bar::is_present);
        self.state.regions.map(|region| Some(region).filter(present)?.pages(bars))
    }

    fn place(&self, address: u64) -> Place {
        let bars = &self.state.bars;
        let [table, pba, ..] = self.state.regions;
        // A PBA that lies about its place must not open the table.
        if let Some(offset) = table.offset_of(bars, address) {
            let (entry, offset) = (offset / msix::ENTRY_SIZE, offset % msix::ENTRY_SIZE);
            // CAST: a table has at most 2048 entries of 16 bytes.
            return Place::Table { entry: entry as u16, offset: offset as u8 };
        }
        if pba.offset_of(bars, address).is_some() {
            return Place::Pba;
        }
        let mut neighbour = self.state.trapped().any(|pages| pages.contains(address >> PAGE_SHIFT));
        // Of what is around a BAR in its host page, nothing is a guest's.
        neighbour &= !self.is_guest() || guest_bar::owns(bars, address);
        if neighbour { Place::Neighbour } else { Place::Outside }
    }

    /// Whose an aligned access to bytes that the table does not have is. One of a qword is the device's if it was not
    /// taken apart.
    fn way<M: Mirrors>(&self, mirrors: &M, address: u64, bytes: u8, written: Option<u64>) -> Way {
        let Some(width) = Width::from_bytes(bytes.into()).filter(|_| self.is_guest()) else {
            return Way::Device;
        };
        let bars = &self.state.bars;
        let mut others = (0u8..).zip(bars).filter_map(|(number, bar)| {
            let offset = guest_bar::offset_in(bar, address)?;
            // CAST: at most a dword.
            let way = mirrors.way(bars, number, offset, width, written.map(|value| value as u32));
            (way != Way::Device).then_some(way)
        });
        others.next().unwrap_or(Way::Device)
    }

    /// In pieces of how many bytes an access is made: of all of it, if it is aligned and, of a qword, both dwords are the
    /// device's.
    fn piece<M: Mirrors>(&self, mirrors: &M, address: u64, bytes: u8, written: Option<u64>) -> u8 {
        let is_device = |at, shift| {
            let half = written.map(|value| value >> shift);
            self.way(mirrors, at, 4, half) == Way::Device
        };
        if !address.is_multiple_of(u64::from(bytes)) {
            1
        } else if bytes == 8 && !(is_device(address, 0) && is_device(address | 4, 32)) {
            4
        } else {
            bytes
        }
    }

    /// Reads `bytes` (1, 2, 4 or 8) at `address` in a trapped page. What may not be read, reads as all ones.
    ///
    /// Work: bounded by eight host accesses and, for a guest, ten questions to `mirrors`.
    pub fn mmio_read<H: Host, M: Mirrors>(&mut self, host: &H, mirrors: &M, address: u64, bytes: u8) -> u64 {
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
            _ => self.read_device(host, mirrors, address, bytes),
        };
        if value.is_none() {
            self.refuse(Refusal::MsixAccess);
        }
        value.unwrap_or(u64::MAX) & ones(bytes)
    }

    /// Writes likewise. What may not be written is dropped. What is configuration space is written there: see
    /// [`write`](Self::write) for what comes of it, and for the lock.
    ///
    /// Work: as for reads, twice as many questions, and what writes of configuration space are.
    pub fn mmio_write<H: Host, M: Mirrors>(
        &mut self,
        host: &H,
        mirrors: &M,
        address: u64,
        bytes: u8,
        value: u64,
        locked: Locked,
    ) -> Written {
        if !matches!(bytes, 1 | 2 | 4 | 8) || self.is_withdrawn() {
            return Written::Done;
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
            _ if self.reaches_device(address, bytes) => {
                return self.write_device(host, mirrors, address, bytes, value, locked);
            }
            _ => false,
        };
        if !done {
            self.refuse(Refusal::MsixAccess);
        }
        Written::Done
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
    /// never from one of them into the table or out of the trapped pages. What both ends may reach, the bytes between them
    /// may: table and PBA have eight aligned bytes at least.
    fn reaches_device(&self, address: u64, bytes: u8) -> bool {
        let Some(last) = address.checked_add(u64::from(bytes) - 1) else { return false };
        let pba = matches!((self.place(address), self.place(last)), (Place::Pba, _) | (_, Place::Pba));
        let device = |at| matches!(self.place(at), Place::Pba | Place::Neighbour);
        device(address) && device(last) && (!pba || table_access(address, bytes))
    }

    fn read_device<H: Host, M: Mirrors>(
        &mut self,
        host: &H,
        mirrors: &M,
        address: u64,
        bytes: u8,
    ) -> Option<u64> {
        if !self.reaches_device(address, bytes) {
            return None;
        }
        let piece = self.piece(mirrors, address, bytes, None);
        let (mut value, mut done) = (0, 0);
        while done < bytes {
            let at = address + u64::from(done);
            let part = self.read_piece(host, mirrors, at, piece)?;
            value |= (part & ones(piece)) << (8 * u32::from(done));
            done += piece;
        }
        Some(value)
    }

    fn read_piece<H: Host, M: Mirrors>(
        &mut self,
        host: &H,
        mirrors: &M,
        address: u64,
        bytes: u8,
    ) -> Option<u64> {
        match self.way(mirrors, address, bytes, None) {
            Way::Device => {
                let (slot, frame, offset) = self.device_frame(address)?;
                host.mmio_read(slot, frame, offset, bytes)
            }
            Way::View(offset) => {
                let access = Access::new(u32::from(offset), u32::from(bytes))?;
                Some(u64::from(self.read(host, access)))
            }
            Way::Closed => {
                // CAST: the low bits.
                self.state.audit.serve(address as u16, bytes, 0);
                self.refuse(Refusal::Mirror);
                Some(u64::MAX)
            }
        }
    }

    fn write_device<H: Host, M: Mirrors>(
        &mut self,
        host: &H,
        mirrors: &M,
        address: u64,
        bytes: u8,
        value: u64,
        locked: Locked,
    ) -> Written {
        let piece = self.piece(mirrors, address, bytes, Some(value));
        let part = |done: u8| {
            let part = value >> (8 * u32::from(done)) & ones(piece);
            (address + u64::from(done), part)
        };
        // Nothing is done before all of it can be.
        if locked == Locked::Shared && piece != bytes {
            let mut done = 0;
            while done < bytes {
                let (at, part) = part(done);
                if matches!(self.way(mirrors, at, piece, Some(part)), Way::View(_)) {
                    return Written::NeedsExclusive;
                }
                done += piece;
            }
        }
        let (mut written, mut reached, mut done) = (Written::Done, true, 0);
        while done < bytes {
            let (at, part) = part(done);
            done += piece;
            match self.write_piece(host, mirrors, at, piece, part, locked) {
                Some(Written::Done) => {}
                Some(Written::Pending) => written = Written::Pending,
                // Nothing was done, or the function is about to go.
                Some(other) => return other,
                None => reached = false,
            }
        }
        if !reached {
            self.refuse(Refusal::MsixAccess);
        }
        written
    }

    fn write_piece<H: Host, M: Mirrors>(
        &mut self,
        host: &H,
        mirrors: &M,
        address: u64,
        bytes: u8,
        value: u64,
        locked: Locked,
    ) -> Option<Written> {
        match self.way(mirrors, address, bytes, Some(value)) {
            Way::Device => {
                let (slot, frame, offset) = self.device_frame(address)?;
                host.mmio_write(slot, frame, offset, bytes, value);
            }
            Way::View(offset) => {
                let access = Access::new(u32::from(offset), u32::from(bytes))?;
                // CAST: at most a dword.
                return Some(self.write(host, access, value as u32, locked));
            }
            Way::Closed => {
                // CAST: the low bits, twice.
                self.state.audit.serve(address as u16, bytes, value as u32);
                self.refuse(Refusal::Mirror);
            }
        }
        Some(Written::Done)
    }

    /// The slot, the host frame and the offset in it behind a trapped address. The first and last pages of the table (0, 1)
    /// and of the PBA (2, 3), the only ones that hold anything but table, have slots; what is withheld shares them, those
    /// of the PBA first.
    fn device_frame(&self, address: u64) -> Option<(u8, u64, u16)> {
        let bars = &self.state.bars;
        let frame = address >> PAGE_SHIFT;
        let (number, region, pages) = (0u8..).zip(self.state.regions).find_map(|(number, region)| {
            let pages = region.pages(bars)?;
            pages.contains(frame).then_some((number, region, pages))
        })?;
        let slot =
            if TRAPPED == 2 || number < 2 { 2 * number + u8::from(frame != pages.first) } else { 5 - number };
        let bar = region.bar(bars)?;
        let host = address.wrapping_sub(bar.guest).wrapping_add(bar.address);
        // CAST: below the page size.
        Some((slot, host >> PAGE_SHIFT, (host % PAGE_SIZE) as u16))
    }
}

// The last region has slot 1.
static_assertions::const_assert!(TRAPPED <= 5);

/// Whether PCIe allows this access to the table and the PBA.
const fn table_access(address: u64, bytes: u8) -> bool {
    (bytes == 4 || bytes == 8) && address.is_multiple_of(bytes as u64) // CAST: widening; `From` is not const.
}
