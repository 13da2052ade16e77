//! What Xen hands a PVH guest (xen/include/public/arch-x86/hvm/start_info.h): the command line, and where ACPI's tables are.

use crate::{
    memory::{read_string, read32, read64},
    report::{Fault, ensure},
};

const MAGIC: u32 = 0x336e_c578;

/// Where the start info is.
#[derive(Clone, Copy)]
pub(crate) struct StartInfo(u64);

/// A file that came with this kernel.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    pub address: u64,
}

impl StartInfo {
    /// Checks that it is one.
    pub(crate) fn new(address: u64) -> Option<Self> {
        (read32(address) == MAGIC).then_some(Self(address))
    }

    /// The command line.
    pub(crate) fn command_line(self, buffer: &mut [u8]) -> &str {
        read_string(read64(self.0 + 24), buffer)
    }

    /// The first module.
    pub(crate) fn module(self) -> Option<Module> {
        let list = read64(self.0 + 16);
        (read32(self.0 + 12) != 0).then(|| Module { address: read64(list) })
    }

    /// Where RAM ends, by the memory map.
    pub(crate) fn memory_end(self) -> u64 {
        const RAM: u32 = 1;
        let (map, entries) = (read64(self.0 + 40), u64::from(read32(self.0 + 48)));
        let all = (0..entries).map(|n| map + 24 * n).filter(|entry| read32(entry + 16) == RAM);
        all.map(|entry| read64(entry) + read64(entry + 8)).max().unwrap_or(0)
    }

    /// Finds a table by its signature, through the root pointer (ACPI 6.5, 5.2.5.3) and the XSDT (5.2.8).
    pub(crate) fn acpi_table(self, signature: [u8; 4]) -> Result<u64, Fault> {
        let root = read64(self.0 + 32);
        ensure(root != 0, "no ACPI root pointer", 0_u32)?;
        let list = read64(root + 24);
        let tables = (list + 36..list + u64::from(read32(list + 4))).step_by(8);
        let wanted = u32::from_le_bytes(signature);
        // The entries are aligned to 4 bytes only.
        tables
            .map(|entry| u64::from(read32(entry + 4)) << 32 | u64::from(read32(entry)))
            .find(|table| read32(*table) == wanted)
            .ok_or(Fault("no such ACPI table", u64::from(wanted)))
    }
}
