//! Puts the library into a Xen source tree and takes it out again.
//!
//! Xen's own vPCI stays where it is and is no longer compiled: one word of one line of `xen/drivers/Makefile` names our
//! directory instead.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{library, run, ui};

/// Our directory in the tree.
const DIRECTORY: &str = "xen/drivers/vpci-rs";

/// The file that is changed, the line it has, the line it gets.
const HOOK: (&str, &str, &str) =
    ("xen/drivers/Makefile", "obj-$(CONFIG_HAS_VPCI) += vpci/", "obj-$(CONFIG_HAS_VPCI) += vpci-rs/");

/// The version of Xen whose interfaces the glue uses.
const VERSION: (&str, &str) = ("4", "20");

/// The files of [`DIRECTORY`], by name.
pub(crate) struct Glue(BTreeMap<String, Vec<u8>>);

impl Glue {
    /// Builds the library and gathers it with the C files and the header.
    pub(crate) fn build() -> Result<Self> {
        ui::say("building the library for Xen");
        let object = library::build(library::Extent::Whole)?;
        let ffi = run::workspace().join("ffi");
        let mut files = BTreeMap::new();
        let mut take = |name: &str, path: &Path| -> Result<()> {
            let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(name.to_owned(), content);
            Ok(())
        };
        take("core.bin", &object)?;
        take("vpci.h", &ffi.join("include/vpci.h"))?;
        for entry in fs::read_dir(ffi.join("xen"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let wanted = path.extension().is_some_and(|e| ["c", "h", "S"].iter().any(|w| e == *w));
            if wanted || ["Makefile", "COPYING"].contains(&name.as_str()) {
                take(&name, &path)?;
            }
        }
        ensure!(files.contains_key("Makefile"), "ffi/xen has no Makefile");
        Ok(Self(files))
    }

    /// Brings a tree up to date with these files and says if anything changed.
    pub(crate) fn apply(&self, tree: &Path) -> Result<bool> {
        check_version(tree)?;
        let directory = tree.join(DIRECTORY);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let mut changed = false;
        for (name, content) in &self.0 {
            changed |= run::write_changed(&directory.join(name), content)?;
        }
        // A source that an earlier version brought would still be there to confuse a reader.
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|e| e == "c" || e == "h") && !self.0.contains_key(&name) {
                fs::remove_file(&path)?;
                changed = true;
            }
        }
        changed |= hook(tree, HOOK.1, HOOK.2)?;
        Ok(changed)
    }
}

/// Restores a tree and says if anything changed.
pub(crate) fn remove(tree: &Path) -> Result<bool> {
    check_version(tree)?;
    let mut changed = hook(tree, HOOK.2, HOOK.1)?;
    let directory = tree.join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        changed = true;
    }
    Ok(changed)
}

/// Replaces one whole line; nothing to do if the other one is there already.
fn hook(tree: &Path, from: &str, to: &str) -> Result<bool> {
    let path = tree.join(HOOK.0);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let count = |line: &str| text.lines().filter(|l| *l == line).count();
    match (count(from), count(to)) {
        (1, 0) => {}
        (0, 1) => return Ok(false),
        _ => bail!("{} does not have the one line `{from}`", path.display()),
    }
    let replaced: String = text
        .split_inclusive('\n')
        .map(|l| if l.trim_end_matches('\n') == from { l.replace(from, to) } else { l.into() })
        .collect();
    run::write_changed(&path, replaced.as_bytes())
}

/// Refuses what is not a tree of the version that the glue is written for.
pub(crate) fn check_version(tree: &Path) -> Result<()> {
    let makefile: PathBuf = tree.join("xen/Makefile");
    let Ok(text) = fs::read_to_string(&makefile) else {
        bail!("{} is not a Xen source tree: there is no xen/Makefile in it", tree.display());
    };
    let (Some(major), Some(minor)) = (variable(&text, "XEN_VERSION"), variable(&text, "XEN_SUBVERSION"))
    else {
        bail!("{} does not say which version of Xen it is", makefile.display());
    };
    ensure!(
        (major, minor) == VERSION,
        "{} is Xen {major}.{minor}; this works with Xen {}.{} only",
        tree.display(),
        VERSION.0,
        VERSION.1
    );
    Ok(())
}

fn variable<'a>(makefile: &'a str, name: &str) -> Option<&'a str> {
    makefile.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        let left = left.trim_end_matches(['?', ':']).trim();
        (left.strip_prefix("export").unwrap_or(left).trim() == name).then(|| right.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKEFILE: &str = "obj-y += char/\nobj-$(CONFIG_HAS_VPCI) += vpci/\nobj-$(CONFIG_ACPI) += acpi/\n";

    fn tree(minor: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("xen/drivers/vpci")).unwrap();
        let version =
            format!("# edit here\nexport XEN_VERSION       = 4\nexport XEN_SUBVERSION    = {minor}\n");
        fs::write(dir.path().join("xen/Makefile"), version).unwrap();
        fs::write(dir.path().join(HOOK.0), MAKEFILE).unwrap();
        fs::write(dir.path().join("xen/drivers/vpci/vpci.c"), "int x;\n").unwrap();
        dir
    }

    fn glue() -> Glue {
        Glue([("Makefile", "obj-y += a.o\n"), ("a.c", "int a;\n")].map(|(n, c)| (n.into(), c.into())).into())
    }

    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut todo = vec![dir.to_path_buf()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    all.insert(path.clone(), Vec::new());
                    todo.push(path);
                } else {
                    all.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        all
    }

    #[test]
    fn applies_once_and_twice() {
        let dir = tree(20);
        assert!(glue().apply(dir.path()).unwrap());
        let first = files(dir.path());
        assert!(!glue().apply(dir.path()).unwrap());
        assert_eq!(first, files(dir.path()));
        let makefile = fs::read_to_string(dir.path().join(HOOK.0)).unwrap();
        assert_eq!(makefile, MAKEFILE.replace("vpci/", "vpci-rs/"));
        assert!(dir.path().join("xen/drivers/vpci-rs/a.c").exists());
    }

    #[test]
    fn drops_a_source_that_is_gone() {
        let dir = tree(20);
        glue().apply(dir.path()).unwrap();
        fs::write(dir.path().join("xen/drivers/vpci-rs/old.c"), "").unwrap();
        assert!(glue().apply(dir.path()).unwrap());
        assert!(!dir.path().join("xen/drivers/vpci-rs/old.c").exists());
    }

    #[test]
    fn remove_restores_every_byte() {
        let dir = tree(20);
        let before = files(dir.path());
        assert!(!remove(dir.path()).unwrap());
        glue().apply(dir.path()).unwrap();
        fs::write(dir.path().join("xen/drivers/vpci-rs/a.o"), "built").unwrap();
        assert!(remove(dir.path()).unwrap());
        assert_eq!(before, files(dir.path()));
    }

    #[test]
    fn refuses_another_version_and_touches_nothing() {
        let dir = tree(19);
        let before = files(dir.path());
        let error = glue().apply(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is Xen 4.19; this works with Xen 4.20 only"), "{error}");
        assert!(remove(dir.path()).is_err());
        assert_eq!(before, files(dir.path()));
    }

    #[test]
    fn refuses_what_is_no_tree() {
        let dir = tempfile::tempdir().unwrap();
        let error = glue().apply(dir.path()).unwrap_err().to_string();
        assert!(error.contains("not a Xen source tree"), "{error}");
    }

    #[test]
    fn refuses_a_makefile_without_the_line() {
        let dir = tree(20);
        fs::write(dir.path().join(HOOK.0), "obj-y += char/\n").unwrap();
        assert!(glue().apply(dir.path()).unwrap_err().to_string().contains("does not have the one line"));
    }
}
