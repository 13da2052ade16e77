//! Unpacks and builds Xen.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::{Glue, apply};
use crate::{packages, run, ui};

/// Which Xen to build.
#[derive(Clone)]
pub(crate) struct Options {
    /// The user's tree; `None` for a copy of our own below `target/`.
    pub tree: Option<PathBuf>,
    /// With the library in place of Xen's vPCI.
    pub rust: bool,
    /// With Xen's assertions (`CONFIG_DEBUG`).
    pub debug: bool,
}

/// A Xen that was built.
#[derive(Clone)]
pub(crate) struct Build {
    /// The hypervisor as a multiboot image.
    pub xen: PathBuf,
    /// The hypervisor as an EFI application, where the toolchain can make one.
    pub efi: Option<PathBuf>,
}

impl Build {
    /// Gets, patches and builds what the options say, doing only what is not done yet.
    pub(crate) fn make(options: &Options) -> Result<Self> {
        let variant = if options.rust { "rust" } else { "c" };
        let name = if options.debug { format!("{variant}-debug") } else { variant.to_owned() };
        let tree = match &options.tree {
            Some(tree) => {
                apply::check_version(tree)?;
                tree.canonicalize()?
            }
            None => unpack(&name)?,
        };
        let changed = options.rust && {
            let glue = Glue::build()?;
            match glue.apply(&tree) {
                // An earlier version may have changed other lines of a tree of our own.
                Err(_) if options.tree.is_none() => {
                    fs::remove_dir_all(&tree)?;
                    glue.apply(&unpack(&name)?)?
                }
                applied => applied?,
            }
        };
        let log = run::directory(run::target().join("boot/logs"))?.join(format!("xen-build-{name}.log"));
        let _ = fs::remove_file(&log);
        // In a tree of our own only we change something: where nothing did, `make` has nothing to find out.
        let stamp = tree.join(".built");
        if options.tree.is_none() && stamp.exists() && !changed {
            return Self::made(&tree);
        }
        let _ = fs::remove_file(&stamp);
        if !tree.join("xen/.config").exists() {
            make(&tree, &["defconfig"], &log)?;
        }
        if options.debug && options.tree.is_none() {
            assertions(&tree, &log)?;
        }
        let started = Instant::now();
        ui::say(format!("building Xen ({name}) in {}", tree.display()));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        make(&tree, &[&format!("-j{jobs}")], &log)?;
        let build = Self::made(&tree).with_context(|| format!("make's log: {}", log.display()))?;
        let efi = if build.efi.is_some() { "with" } else { "WITHOUT (binutils cannot)" };
        ui::say(format!("Xen ({name}) is built, {efi} xen.efi, in {:.0} s", started.elapsed().as_secs_f32()));
        if options.tree.is_none() {
            fs::write(&stamp, "")?;
        }
        Ok(build)
    }

    /// Where `public/`, the headers of its interfaces, is.
    pub(crate) fn include(&self) -> PathBuf {
        self.xen.with_file_name("include")
    }

    fn made(tree: &Path) -> Result<Self> {
        let (xen, efi) = (tree.join("xen/xen"), tree.join("xen/xen.efi"));
        ensure!(xen.exists(), "there is no {}", xen.display());
        Ok(Self { xen, efi: Some(efi).filter(|p| p.exists()) })
    }
}

fn make(tree: &Path, args: &[&str], log: &Path) -> Result<()> {
    let mut command = Command::new("make");
    command.arg("-C").arg(tree.join("xen")).args(args);
    // cargo's variables (RUSTFLAGS, MAKEFLAGS of its job server) mean something else to Xen's Makefiles.
    for name in [
        "MAKEFLAGS",
        "CARGO_MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "CFLAGS",
        "LDFLAGS",
        "DEBUG",
        "TARGET",
        "HOST",
    ] {
        command.env_remove(name);
    }
    run::logged(&mut command, log).context("Xen does not build")
}

/// Turns `CONFIG_DEBUG` on, once.
fn assertions(tree: &Path, log: &Path) -> Result<()> {
    let path = tree.join("xen/.config");
    let config = fs::read_to_string(&path)?;
    if config.lines().any(|l| l == "CONFIG_DEBUG=y") {
        return Ok(());
    }
    fs::write(&path, config.replace("# CONFIG_DEBUG is not set", "CONFIG_DEBUG=y"))?;
    make(tree, &["olddefconfig"], log)
}

/// A tree of our own for this variant, unpacked when it is not there.
fn unpack(name: &str) -> Result<PathBuf> {
    let tarball = packages::xen_source()?;
    let file = tarball.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let version =
        file.trim_start_matches("xen_").split(['+', '%', '.']).take(3).collect::<Vec<_>>().join(".");
    let cache = run::directory(run::target().join(format!("cache/xen-{version}")))?;
    let tree = cache.join(name);
    if !tree.exists() {
        ui::say(format!("unpacking Xen {version} ({name})"));
        let partial = cache.join(format!("{name}.part"));
        let _ = fs::remove_dir_all(&partial);
        run::directory(partial.clone())?;
        run::output(
            Command::new("tar").arg("-xf").arg(&tarball).arg("--strip-components=1").arg("-C").arg(&partial),
        )?;
        fs::rename(&partial, &tree)?;
    }
    apply::check_version(&tree)?;
    Ok(tree)
}
