//! Debian's kernel as a guest: its root file system.

use std::path::Path;

use anyhow::Result;

use crate::boot::initramfs::{Archive, Kernel};

/// The modules that the guest loads, with what they need.
const MODULES: &[&str] = &["nvme"];

/// Writes it; `payload` is what the guest writes to its disk.
pub(super) fn initramfs(to: &Path, kernel: &Kernel, payload: &[u8]) -> Result<()> {
    let mut archive = Archive::create(to, include_bytes!("linux.sh"))?;
    let modules = archive.modules(kernel, MODULES)?;
    archive.file("settings", format!("modules='{}'\n", modules.join(" ")).as_bytes())?;
    archive.file("payload", payload)?;
    archive.finish()
}
