//! Builds the library as the one object that Xen links.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use object::read::archive::ArchiveFile;

use crate::toolchain::{FLAGS, TARGET, Toolchain};

/// The crate that becomes the object.
const CRATE: &str = "ffi";

/// Where this workspace lies.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Builds the object, which is touched only when its bytes change, and returns its path.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let target_dir = workspace().join("target/xen");
    compile(&toolchain, &target_dir)?;

    let archive = target_dir.join(TARGET).join("release").join(format!("lib{CRATE}.a"));
    let data = fs::read(&archive).with_context(|| format!("{}", archive.display()))?;
    let member = member(&data).with_context(|| format!("{}", archive.display()))?;
    let object = target_dir.join("vpci-core.o");
    if fs::read(&object).ok().as_deref() != Some(member) {
        fs::write(&object, member).with_context(|| format!("{}", object.display()))?;
    }
    Ok(object)
}

fn compile(toolchain: &Toolchain, target_dir: &Path) -> anyhow::Result<()> {
    let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
    flags.extend(remapped(toolchain));

    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_build) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(workspace())
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["rustc", "--package", CRATE, "--release", "--crate-type", "staticlib"])
        .args(["-Zbuild-std=core", "--target", TARGET, "--target-dir"])
        .arg(target_dir);
    let status =
        cargo.status().with_context(|| format!("{} did not start", cargo.get_program().display()))?;
    ensure!(status.success(), "the library does not build with {}", toolchain.rustc.display());
    Ok(())
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

/// Keeps the paths of this machine out of the object: another checkout gives the same bytes.
fn remapped(toolchain: &Toolchain) -> Vec<String> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut paths = vec![(workspace().to_owned(), "/vpci")];
    paths.extend(fs::canonicalize(&toolchain.source).ok().map(|path| (path, "/rust")));
    paths.push((toolchain.source.clone(), "/rust"));
    paths.extend(cargo_home.map(|path| (path, "/cargo")));
    paths.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

/// The crate's own object: fat LTO leaves one, beside those of `compiler_builtins`.
fn member(archive: &[u8]) -> anyhow::Result<&[u8]> {
    let mut found = None;
    for member in ArchiveFile::parse(archive)?.members() {
        let member = member?;
        if member.name().starts_with(format!("{CRATE}-").as_bytes()) && member.name().ends_with(b".o") {
            if found.is_some() {
                bail!("more than one object of {CRATE}: is `lto` still \"fat\", with one codegen unit?");
            }
            found = Some(member.data(archive)?);
        }
    }
    found.with_context(|| format!("no object of {CRATE}"))
}
