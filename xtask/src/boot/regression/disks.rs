//! The disks of a regression run, and what is on them.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::boot::devices::{DEVICES, Device, Kind};

/// The size of a disk, and what of it is compared.
const DISK: u64 = 8 << 20;
pub(super) const PAGE: usize = 4096;
/// Where the kernel writes: its block 64.
pub(super) const WRITTEN: usize = 64 * 512;

/// Makes disks whose first page nobody can guess.
pub(super) fn make(directory: &Path) -> Result<()> {
    let mut random = File::open("/dev/urandom")?;
    for device in DEVICES.iter().filter(|d| matches!(d.kind, Kind::Nvme | Kind::Ahci)) {
        let mut page = [0; PAGE];
        random.read_exact(&mut page)?;
        let mut file = File::create(image(directory, device))?;
        file.write_all(&page)?;
        file.set_len(DISK)?;
    }
    Ok(())
}

/// A device's disk.
pub(super) fn image(directory: &Path, device: &Device) -> PathBuf {
    directory.join(format!("{}.raw", device.name))
}

/// The kernel's checksum (`Dma::sum` in its `memory.rs`) of a page of a disk, as seen from outside.
pub(super) fn sum(image: &Path, at: usize) -> Result<String> {
    let disk = fs::read(image)?;
    let page = disk.get(at..at + PAGE).context("the disk is too short")?;
    let (low, high) = page.chunks_exact(4).fold((0_u32, 0_u32), |(low, high), bytes| {
        let low = low.wrapping_add(bytes.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b)));
        (low, high.wrapping_add(low))
    });
    Ok(format!("{high:08x}{low:08x}"))
}
