//! The program that starts guests from dom0: C, against the public headers of the Xen that is booted.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{run, ui, xen::Build};

/// Compiles it, and returns where it is.
pub(in crate::boot) fn build(xen: &Build) -> Result<PathBuf> {
    ui::say("building the loader");
    let source = run::workspace().join("xtask/src/boot/guest/loader");
    let program = run::directory(run::target().join("boot/guest"))?.join("loader");
    let mut files: Vec<PathBuf> = fs::read_dir(&source)
        .with_context(|| format!("cannot read {}", source.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    files.sort();
    // Behind the compiler's own: Xen has headers that are named as some of the C library's.
    run::output(
        Command::new("gcc")
            .args(["-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-idirafter"])
            .arg(xen.include())
            .arg("-I")
            .arg(run::workspace().join("ffi/include"))
            .arg("-o")
            .arg(&program)
            .args(&files),
    )
    .context("the loader does not build")?;
    Ok(program)
}
