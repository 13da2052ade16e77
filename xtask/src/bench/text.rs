//! The size of code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _, SectionFlags, elf::SHF_EXECINSTR};

use crate::{
    packages, run,
    xen::{Build, Options},
};

/// The objects of Xen's own vPCI.
const XEN: &[&str] = &["header.o", "msi.o", "msix.o", "vpci.o"];

/// What is in the directory of the glue and is not glue.
const NOT_GLUE: &[&str] = &["built_in.o", "core.o"];

/// The bytes of executable sections of an object.
pub(super) fn of_object(path: &Path) -> Result<u64> {
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    of_bytes(&data).with_context(|| path.display().to_string())
}

fn of_bytes(data: &[u8]) -> Result<u64> {
    let object = object::File::parse(data)?;
    let executable =
        |flags| matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(SHF_EXECINSTR));
    Ok(object.sections().filter(|section| executable(section.flags())).map(|section| section.size()).sum())
}

/// Xen's own vPCI, as it is inside Xen, which is built if it is not there.
pub(super) fn of_xen() -> Result<u64> {
    let directory = if let Some(directory) = built("c", "vpci")? {
        directory
    } else {
        packages::install(packages::BOOT)?;
        let build = Build::make(&Options { tree: None, rust: false, debug: false })?;
        build.xen.with_file_name("drivers/vpci")
    };
    XEN.iter().map(|name| of_object(&directory.join(name))).sum()
}

/// The C code around the library, if a Xen with it was built.
pub(super) fn of_glue() -> Result<Option<u64>> {
    let Some(directory) = built("rust", "vpci-rs")? else { return Ok(None) };
    let objects: Vec<_> = files(&directory)?
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".o") && !NOT_GLUE.contains(&&*name)
        })
        .collect();
    ensure!(!objects.is_empty(), "there is no object in {}", directory.display());
    objects.iter().map(|path| of_object(path)).sum::<Result<u64>>().map(Some)
}

/// A directory of drivers in the tree that `boot` built for a variant.
fn built(variant: &str, name: &str) -> Result<Option<PathBuf>> {
    let cache = run::directory(run::target().join("cache"))?;
    let mut trees: Vec<_> = files(&cache)?
        .into_iter()
        .filter(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with("xen-"))
        .map(|path| path.join(variant))
        .filter(|tree| tree.join(".built").exists())
        .collect();
    trees.sort();
    Ok(trees.pop().map(|tree| tree.join("xen/drivers").join(name)))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(of_bytes(b"text").is_err());
        assert!(of_object(Path::new("/nowhere/vpci.o")).unwrap_err().to_string().contains("/nowhere/vpci.o"));
    }

    #[test]
    fn this_program_has_code() {
        let own = std::env::current_exe().unwrap();
        assert!(of_object(&own).unwrap() > 1000);
    }
}
