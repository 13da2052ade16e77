//! Builds the library as the one object that Xen links.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use object::read::archive::ArchiveFile;

use crate::{
    run,
    toolchain::{FLAGS, TARGET, Toolchain},
};

/// The crate that becomes the object.
const CRATE: &str = "ffi";

/// How much of the library an object has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// All of it: what is linked into Xen.
    Whole,
    /// The hardware domain's view alone, which is what Xen's own vPCI does.
    Hardware,
}

/// Builds the object, which is touched only when its bytes change, and returns its path.
pub(crate) fn build(extent: Extent) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let (directory, features): (_, &[&str]) = match extent {
        Extent::Whole => ("target/xen", &[]),
        Extent::Hardware => ("target/xen-hardware", &["--no-default-features"]),
    };
    let target_dir = run::workspace().join(directory);
    compile(&toolchain, &target_dir, features)?;

    let archive = target_dir.join(TARGET).join("release").join(format!("lib{CRATE}.a"));
    let data = fs::read(&archive).with_context(|| format!("{}", archive.display()))?;
    let member = member(&data).with_context(|| format!("{}", archive.display()))?;
    let object = target_dir.join("vpci-core.o");
    run::write_changed(&object, member)?;
    Ok(object)
}

fn compile(toolchain: &Toolchain, target_dir: &Path, features: &[&str]) -> anyhow::Result<()> {
    let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
    flags.extend(remapped(toolchain));

    let mut cargo = toolchain.cargo(&flags);
    cargo
        .current_dir(run::workspace())
        .args(["rustc", "--package", CRATE, "--release", "--crate-type", "staticlib"])
        .args(["-Zbuild-std=core", "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .args(features);
    let status =
        cargo.status().with_context(|| format!("{} did not start", cargo.get_program().display()))?;
    ensure!(status.success(), "the library does not build with {}", toolchain.rustc.display());
    Ok(())
}

/// Keeps the paths of this machine out of the object: another checkout gives the same bytes.
fn remapped(toolchain: &Toolchain) -> Vec<String> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut paths = vec![(run::workspace(), "/vpci")];
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of members that contain their own names.
    fn archive(names: &[&str]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for name in names {
            let padded = format!("{name}{}", if name.len() % 2 == 0 { "" } else { "\n" });
            let header =
                format!("{:16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", format!("{name}/"), 0, 0, 0, 644, name.len());
            bytes.extend(header.bytes().chain(padded.bytes()));
        }
        bytes
    }

    #[test]
    fn the_member_is_the_crates_own() {
        let bytes = archive(&["core-1.cgu.0.o", "ffi-2.cgu.0.o", "ffi-2.rmeta"]);
        assert_eq!(member(&bytes).unwrap(), b"ffi-2.cgu.0.o");
    }

    #[test]
    fn no_member_or_two_are_errors() {
        assert!(member(&archive(&["core-1.o"])).is_err());
        assert!(member(&archive(&["ffi-1.o", "ffi-2.o"])).is_err());
        assert!(member(b"no archive").is_err());
    }
}
