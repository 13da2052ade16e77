//! Which compiler builds for the bare-metal target, and where it takes `core` from.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{run, ui};

/// Soft float, no SSE, no red zone, panic = abort.
pub(crate) const TARGET: &str = "x86_64-unknown-none";

/// Code that Xen can link and run: no GOT, no indirect branch, returns through Xen's thunk, IBT landing pads.
pub(crate) const FLAGS: &[&str] = &[
    "-Cpanic=abort",
    // Xen runs at 0xffff82d040000000, so nothing absolute fits 32 bits; with the next four there is no GOT either.
    "-Crelocation-model=pic",
    "-Ccode-model=small",
    "-Zplt=yes",
    "-Zdirect-access-external-data=yes",
    "-Zdefault-visibility=hidden",
    // A `.text.name` section is an orphan in a Xen without CONFIG_LIVEPATCH: it lands after _etext.
    "-Zfunction-sections=no",
    "-Cforce-unwind-tables=no",
    "-Cforce-frame-pointers=yes",
    // A jump table is an indirect branch.
    "-Cjump-tables=no",
    "-Zcf-protection=branch",
    "-Zfunction-return=thunk-extern",
    "-Zretpoline-external-thunk",
    "-Zindirect-branch-cs-prefix",
];

/// Debian's own compiler, and the packages that it and its source are in.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "rust-web-src"];

const HELP: &str = "no Rust compiler here has its source, which `core` for x86_64-unknown-none is built from:
  rustup component add rust-src                 (a toolchain of 1.91 or newer)
  apt-get install rustc-web rust-web-src        (Debian 12 with its security updates, or newer)";

/// A compiler that can build the object: it takes all of [`FLAGS`], and has its source.
///
/// The prebuilt `core` of the target will not do: it was built with another code model and, without `-Zplt`, links
/// `memset` and its like through a GOT.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) rustc: PathBuf,
    /// The folder of the compiler's source.
    pub(crate) source: PathBuf,
}

impl Toolchain {
    /// The active compiler, else Debian's, which is installed when it is missing.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let active = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let probe = || Self::probe(&active).or_else(|| Self::probe(OsStr::new(DEBIAN_RUSTC)));
        if let Some(found) = probe() {
            return Ok(found);
        }
        install().context(HELP)?;
        probe().context(HELP)
    }

    /// A cargo that builds with this compiler and these flags, whatever the environment says.
    pub(crate) fn cargo(&self, flags: &[String]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(changes_the_build) {
                cargo.env_remove(name);
            }
        }
        cargo
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo
    }

    fn probe(rustc: &OsStr) -> Option<Self> {
        let source = Path::new(&query(rustc, &["--print", "sysroot"])?).join("lib/rustlib/src/rust");
        let options = [FLAGS, &["--print", "cfg", "--target", TARGET]].concat();
        (source.join("library/core/src/lib.rs").exists() && query(rustc, &options).is_some())
            .then(|| Self { rustc: rustc.into(), source })
    }
}

/// What `rustc` answers, if it runs at all and agrees.
fn query(rustc: &OsStr, args: &[&str]) -> Option<String> {
    let output = Command::new(rustc).env("RUSTC_BOOTSTRAP", "1").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether a variable that an outer cargo, or its caller, left behind would change the object.
fn changes_the_build(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
    ];
    const PREFIXES: &[&str] = &["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Installs Debian's compiler and its source.
fn install() -> anyhow::Result<()> {
    ensure!(Path::new("/usr/bin/apt-get").exists(), "this is no Debian: there is no apt-get");
    ui::say(format!("installing Debian packages: {}", DEBIAN_PACKAGES.join(" ")));
    apt_get(&["update", "-q"])?;
    apt_get(&[&["install", "-q", "-y", "--no-install-recommends"], DEBIAN_PACKAGES].concat())
}

fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let mut command = if run::output(Command::new("id").arg("-u"))?.trim() == "0" {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    // Its output is progress, not a result.
    let status =
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr()).status();
    ensure!(status.context("apt-get did not start")?.success(), "apt-get {} failed", args.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_build_leaves_nothing_behind() {
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_WRAPPER"] {
            assert!(changes_the_build(name), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_NET_OFFLINE", "PATH", "RUSTUP_TOOLCHAIN"] {
            assert!(!changes_the_build(name), "{name}");
        }
    }
}
