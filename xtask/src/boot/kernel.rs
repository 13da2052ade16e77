//! Builds our own PVH kernel, `tests/kernel`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::{
    run,
    toolchain::{TARGET, Toolchain},
};

/// Builds the kernel, and returns its path: an ELF file that Xen and our loader boot.
pub(crate) fn build() -> Result<PathBuf> {
    let source = run::workspace().join("tests/kernel");
    let target = run::target().join("kernel");
    let flags = [
        // Debian's compiler comes without a linker for this target; Xen's build needs binutils anyhow.
        "-Clinker=ld".to_owned(),
        "-Clinker-flavor=ld".to_owned(),
        "-Crelocation-model=static".to_owned(),
        format!("-Clink-arg=-T{}", source.join("kernel.ld").display()),
    ];
    let mut cargo = Toolchain::find()?.cargo(&flags);
    cargo
        .current_dir(&source)
        .args(["build", "--quiet", "--release", "--locked", "-Zbuild-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the kernel in {} does not build", source.display());
    Ok(target.join(TARGET).join("release/kernel"))
}
