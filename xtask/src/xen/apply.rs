//! Puts the library into a Xen source tree and takes it out again.
//!
//! Xen's own vPCI stays where it is and is no longer compiled: one word of one line of `xen/drivers/Makefile` names our
//! directory instead. What else a guest with devices, or with an MCH, needs of Xen's own files are a few lines, which
//! `docs/xen.md` explains.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{library, run, ui};

/// Our directory in the tree.
const DIRECTORY: &str = "xen/drivers/vpci-rs";

/// A change of one of Xen's own files. `line`, which may be several, is there once.
struct Hook {
    file: &'static str,
    line: &'static str,
    change: Change,
}

enum Change {
    /// It becomes these lines.
    Becomes(&'static [&'static str]),
    /// These lines go behind it.
    Then(&'static [&'static str]),
    /// These lines go in front of it.
    First(&'static [&'static str]),
}

/// All that changes in Xen's own files.
const HOOKS: [Hook; 22] = [
    Hook {
        file: "xen/drivers/Makefile",
        line: "obj-$(CONFIG_HAS_VPCI) += vpci/",
        change: Change::Becomes(&["obj-$(CONFIG_HAS_VPCI) += vpci-rs/"]),
    },
    Hook {
        file: "xen/include/xen/sched.h",
        line: "#include <xen/vpci.h>",
        change: Change::Then(&["#include \"../../drivers/vpci-rs/hooks.h\""]),
    },
    Hook {
        file: "xen/include/public/arch-x86/hvm/save.h",
        line: "#define HVM_SAVE_CODE_MAX 20",
        change: Change::Becomes(&["#define HVM_SAVE_CODE_MAX 21"]),
    },
    Hook {
        file: "xen/arch/x86/domain.c",
        line: "             (emflags & ~X86_EMU_USE_PIRQ) !=",
        change: Change::Becomes(&["             (emflags & ~(X86_EMU_USE_PIRQ | X86_EMU_Q35)) !="]),
    },
    Hook {
        file: "xen/arch/x86/domain.c",
        line: "             emflags != X86_EMU_LAPIC )",
        change: Change::Becomes(&[
            "             (emflags & ~(X86_EMU_VPCI | X86_EMU_Q35)) != X86_EMU_LAPIC )",
        ]),
    },
    Hook {
        file: "xen/arch/x86/domain.c",
        line: "    if ( emflags & ~XEN_X86_EMU_ALL )",
        change: Change::Becomes(&["    if ( emflags & ~(XEN_X86_EMU_ALL | X86_EMU_Q35) )"]),
    },
    Hook {
        file: "xen/arch/x86/domctl.c",
        line: "        ret = -ENOSYS;",
        change: Change::Becomes(&[
            "        ret = vpci_domctl(domctl, d, guest_handle_cast(u_domctl, void), &copyback);",
        ]),
    },
    Hook {
        file: "xen/arch/x86/hvm/hvm.c",
        line: "    register_vpci_portio_handler(d);",
        change: Change::Becomes(&["    if ( (rc = vpci_domain_init(d)) != 0 )", "        goto fail1;"]),
    },
    Hook {
        file: "xen/arch/x86/hvm/hvm.c",
        line: "    msixtbl_pt_cleanup(d);",
        change: Change::First(&["    vpci_domain_destroy(d);"]),
    },
    Hook {
        file: "xen/arch/x86/hvm/ioreq.c",
        line: "    if ( p->type == IOREQ_TYPE_PIO &&",
        change: Change::First(&[
            "    if ( vpci_is_config(d, p) )",
            "        return vpci_config_ioreq(d, p, type, addr);",
        ]),
    },
    Hook {
        file: "xen/arch/x86/hvm/emulate.c",
        line: "    switch ( vio->req.state )",
        change: Change::First(&["    if ( vpci_by_element(&p) )", "        return X86EMUL_UNHANDLEABLE;"]),
    },
    Hook {
        file: "xen/arch/x86/hvm/emulate.c",
        line: "        /* Have we already done this chunk? */",
        change: Change::First(&["        chunk = vpci_mmio_chunk(gpa, chunk, cache->size - offset);"]),
    },
    Hook {
        file: "xen/drivers/passthrough/pci.c",
        line: "    /* Do not allow broken devices to be assigned to guests. */",
        change: Change::First(&["    if ( (rc = vpci_prepare_assign(d, pdev)) != 0 )", "        return rc;"]),
    },
    Hook {
        file: "xen/drivers/passthrough/x86/hvm.c",
        line: "    switch ( cmpxchg(&pirq_dpci->state, 1 << STATE_SCHED, 0) )",
        change: Change::First(&[
            "    /* It is on a CPU's list, and STATE_SCHED, until that CPU has taken it from there. */",
            "    if ( false )",
        ]),
    },
    Hook {
        file: "xen/drivers/passthrough/x86/hvm.c",
        line: "    if ( pt_pirq_softirq_active(pirq_dpci) )",
        change: Change::Becomes(&[
            "    /* The caller may hold a lock that this CPU, or the one with the softirq, needs first. */",
            "    if ( false )",
        ]),
    },
    Hook {
        file: "xen/drivers/passthrough/x86/hvm.c",
        line: "                pirq_dpci->gmsi.gvec = 0;\n                pirq_dpci->dom = NULL;",
        change: Change::Becomes(&["                pirq_dpci->gmsi.gvec = 0;"]),
    },
    Hook {
        file: "xen/drivers/passthrough/x86/hvm.c",
        line: "                pirq_dpci->dom = NULL;\n                if ( hvm_irq_dpci )",
        change: Change::Becomes(&["                if ( hvm_irq_dpci )"]),
    },
    Hook {
        file: "xen/drivers/passthrough/x86/hvm.c",
        line: "    if ( unlikely(!hvm_domain_irq(d)->dpci) && !is_hardware_domain(d) )",
        change: Change::Becomes(&[
            "    /* One that is on its way may have lost its binding, and its domain all others. */",
            "    if ( false )",
        ]),
    },
    Hook {
        file: "xen/drivers/pci/physdev.c",
        line: "            ret = vpci_reset_device(pdev);",
        change: Change::Becomes(&["            ret = vpci_physdev_reset(pdev, dev_reset.flags, arg);"]),
    },
    Hook {
        file: "xen/common/ioreq.c",
        line: "    d->ioreq_server.server[id] = s;",
        change: Change::Then(&["    vpci_remove_server(d, id);"]),
    },
    Hook {
        file: "xen/common/ioreq.c",
        line: "    rc = rangeset_add_range(r, start, end);",
        change: Change::Becomes(&["    rc = vpci_add_range(d, id, type, r, start, end);"]),
    },
    Hook {
        file: "xen/common/ioreq.c",
        line: "    rc = rangeset_remove_range(r, start, end);",
        change: Change::Becomes(&["    rc = vpci_remove_range(d, id, type, r, start, end);"]),
    },
];

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
        for header in ["vpci.h", "vpci_domctl.h"] {
            take(header, &ffi.join("include").join(header))?;
        }
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
        let hooked = hooked(tree, true)?;
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
        Ok(write_all(&hooked)? || changed)
    }
}

/// Restores a tree and says if anything changed.
pub(crate) fn remove(tree: &Path) -> Result<bool> {
    check_version(tree)?;
    let mut changed = write_all(&hooked(tree, false)?)?;
    let directory = tree.join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        changed = true;
    }
    Ok(changed)
}

/// Xen's own files as they are with the hooks or, not `applied`, without. Nothing is written.
fn hooked(tree: &Path, applied: bool) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    for hook in &HOOKS {
        let path = tree.join(hook.file);
        let text = match files.remove(&path) {
            Some(text) => text,
            None => fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        let Some(text) = hook.edit(&text, applied) else {
            bail!("{} does not have the one line `{}`", path.display(), hook.line);
        };
        files.insert(path, text);
    }
    Ok(files)
}

fn write_all(files: &BTreeMap<PathBuf, String>) -> Result<bool> {
    let mut changed = false;
    for (path, text) in files {
        changed |= run::write_changed(path, text.as_bytes())?;
    }
    Ok(changed)
}

impl Hook {
    /// The lines as they are in Xen, and as they are with the hook.
    fn lines(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let without: Vec<&str> = self.line.split('\n').collect();
        let with = match self.change {
            Change::Becomes(lines) => lines.to_vec(),
            Change::Then(lines) => [&without, lines].concat(),
            Change::First(lines) => [lines, &without].concat(),
        };
        (without, with)
    }

    /// The text with the hook, or without; `None` if it is not clear where that is.
    fn edit(&self, text: &str, applied: bool) -> Option<String> {
        let (without, with) = self.lines();
        let lines: Vec<&str> = text.split('\n').collect();
        let (there, not_there) = (places(&with, &lines), places(&without, &lines));
        // The ones may be some of the others.
        let (at, length) = match (there.as_slice(), not_there.as_slice()) {
            (&[at], rest) if rest.len() == places(&without, &with).len() => (at, with.len()),
            (rest, &[at]) if rest.len() == places(&with, &without).len() => (at, without.len()),
            _ => return None,
        };
        let now = if applied { with } else { without };
        Some([&lines[..at], &now, &lines[at + length..]].concat().join("\n"))
    }
}

/// Where these lines are among others.
fn places(wanted: &[&str], lines: &[&str]) -> Vec<usize> {
    (0..lines.len()).filter(|&at| lines.get(at..at + wanted.len()) == Some(wanted)).collect()
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

    /// Xen's files, as far as hooks go.
    const XEN: [(&str, &str); 12] = [
        (
            "drivers/Makefile",
            "obj-y += char/\nobj-$(CONFIG_HAS_VPCI) += vpci/\nobj-$(CONFIG_ACPI) += acpi/\n",
        ),
        ("include/xen/sched.h", "#include <xen/vpci.h>\n#include <xen/wait.h>\n"),
        ("include/public/arch-x86/hvm/save.h", "/* Largest */\n#define HVM_SAVE_CODE_MAX 20\n\n#endif\n"),
        (
            "arch/x86/domain.c",
            "             (emflags & ~X86_EMU_USE_PIRQ) !=\n             emflags != X86_EMU_LAPIC )\n\n    if ( emflags & ~XEN_X86_EMU_ALL )\n",
        ),
        ("arch/x86/domctl.c", "    default:\n        ret = -ENOSYS;\n        break;\n"),
        (
            "arch/x86/hvm/hvm.c",
            "{\n    register_vpci_portio_handler(d);\n\n    ioreq_domain_init(d);\n}\n    msixtbl_pt_cleanup(d);\n",
        ),
        ("arch/x86/hvm/ioreq.c", "\n    if ( p->type == IOREQ_TYPE_PIO &&\n         CF8_ENABLED(cf8) )\n"),
        (
            "arch/x86/hvm/emulate.c",
            "    switch ( vio->req.state )\n    {\n        /* Have we already done this chunk? */\n        if ( offset )\n",
        ),
        (
            "drivers/passthrough/pci.c",
            "    /* Do not allow broken devices to be assigned to guests. */\n    rc = -EBADF;\n",
        ),
        (
            "drivers/passthrough/x86/hvm.c",
            concat!(
                "    switch ( cmpxchg(&pirq_dpci->state, 1 << STATE_SCHED, 0) )\n        pirq_dpci->dom = NULL;\n",
                "    if ( pt_pirq_softirq_active(pirq_dpci) )\n                pirq_dpci->gmsi.gvec = 0;\n",
                "                pirq_dpci->dom = NULL;\n\n                pirq_dpci->dom = NULL;\n",
                "                if ( hvm_irq_dpci )\n\n",
                "    if ( unlikely(!hvm_domain_irq(d)->dpci) && !is_hardware_domain(d) )\n    {\n",
            ),
        ),
        ("drivers/pci/physdev.c", "            ret = vpci_reset_device(pdev);\n            break;\n"),
        (
            "common/ioreq.c",
            "    d->ioreq_server.server[id] = s;\n\n    rc = rangeset_add_range(r, start, end);\n    rc = rangeset_remove_range(r, start, end);\n",
        ),
    ];

    fn xen(name: &str) -> &'static str {
        XEN.iter().find(|(file, _)| *file == name).unwrap().1
    }

    fn tree(minor: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let xen = dir.path().join("xen");
        fs::create_dir_all(xen.join("drivers/vpci")).unwrap();
        let version =
            format!("# edit here\nexport XEN_VERSION       = 4\nexport XEN_SUBVERSION    = {minor}\n");
        fs::write(xen.join("Makefile"), version).unwrap();
        for (name, text) in XEN {
            fs::create_dir_all(xen.join(name).parent().unwrap()).unwrap();
            fs::write(xen.join(name), text).unwrap();
        }
        fs::write(xen.join("drivers/vpci/vpci.c"), "int x;\n").unwrap();
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
        let text = |name: &str| fs::read_to_string(dir.path().join("xen").join(name)).unwrap();
        for (name, changes) in [
            ("drivers/Makefile", &[("vpci/", "vpci-rs/")][..]),
            (
                "include/xen/sched.h",
                &[("vpci.h>\n", "vpci.h>\n#include \"../../drivers/vpci-rs/hooks.h\"\n")],
            ),
            ("include/public/arch-x86/hvm/save.h", &[("MAX 20", "MAX 21")]),
            (
                "arch/x86/domain.c",
                &[
                    ("~X86_EMU_USE_PIRQ)", "~(X86_EMU_USE_PIRQ | X86_EMU_Q35))"),
                    (" emflags != X86", " (emflags & ~(X86_EMU_VPCI | X86_EMU_Q35)) != X86"),
                    ("~XEN_X86_EMU_ALL", "~(XEN_X86_EMU_ALL | X86_EMU_Q35)"),
                ],
            ),
            (
                "arch/x86/domctl.c",
                &[("-ENOSYS", "vpci_domctl(domctl, d, guest_handle_cast(u_domctl, void), &copyback)")],
            ),
            (
                "arch/x86/hvm/hvm.c",
                &[
                    (
                        "    register_vpci_portio_handler(d);\n",
                        "    if ( (rc = vpci_domain_init(d)) != 0 )\n        goto fail1;\n",
                    ),
                    ("    msixtbl", "    vpci_domain_destroy(d);\n    msixtbl"),
                ],
            ),
            (
                "arch/x86/hvm/ioreq.c",
                &[(
                    "    if ( p->type",
                    "    if ( vpci_is_config(d, p) )\n        return vpci_config_ioreq(d, p, type, addr);\n    if ( p->type",
                )],
            ),
            (
                "arch/x86/hvm/emulate.c",
                &[
                    (
                        "    switch",
                        "    if ( vpci_by_element(&p) )\n        return X86EMUL_UNHANDLEABLE;\n    switch",
                    ),
                    (
                        "        /*",
                        "        chunk = vpci_mmio_chunk(gpa, chunk, cache->size - offset);\n        /*",
                    ),
                ],
            ),
            (
                "drivers/passthrough/pci.c",
                &[(
                    "    /*",
                    "    if ( (rc = vpci_prepare_assign(d, pdev)) != 0 )\n        return rc;\n    /*",
                )],
            ),
            (
                "drivers/passthrough/x86/hvm.c",
                &[
                    (
                        "    switch ( cmpxchg(&pirq_dpci->state, 1 << STATE_SCHED, 0) )",
                        "    /* It is on a CPU's list, and STATE_SCHED, until that CPU has taken it from there. */\n    if ( false )\n    switch ( cmpxchg(&pirq_dpci->state, 1 << STATE_SCHED, 0) )",
                    ),
                    (
                        "    if ( pt_pirq_softirq_active(pirq_dpci) )",
                        "    /* The caller may hold a lock that this CPU, or the one with the softirq, needs first. */\n    if ( false )",
                    ),
                    ("                pirq_dpci->dom = NULL;\n", ""),
                    (
                        "    if ( unlikely(!hvm_domain_irq(d)->dpci) && !is_hardware_domain(d) )",
                        "    /* One that is on its way may have lost its binding, and its domain all others. */\n    if ( false )",
                    ),
                ],
            ),
            (
                "drivers/pci/physdev.c",
                &[("vpci_reset_device(pdev)", "vpci_physdev_reset(pdev, dev_reset.flags, arg)")],
            ),
            (
                "common/ioreq.c",
                &[
                    ("[id] = s;\n", "[id] = s;\n    vpci_remove_server(d, id);\n"),
                    ("rangeset_add_range(r", "vpci_add_range(d, id, type, r"),
                    ("rangeset_remove_range(r", "vpci_remove_range(d, id, type, r"),
                ],
            ),
        ] {
            let expected =
                changes.iter().fold(xen(name).to_owned(), |text, (from, to)| text.replace(from, to));
            assert_eq!(text(name), expected);
        }
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
    fn applies_what_an_earlier_version_left_out() {
        let dir = tree(20);
        let makefile = dir.path().join("xen/drivers/Makefile");
        fs::write(&makefile, xen("drivers/Makefile").replace("vpci/", "vpci-rs/")).unwrap();
        assert!(glue().apply(dir.path()).unwrap());
        assert!(!glue().apply(dir.path()).unwrap());
        assert!(remove(dir.path()).unwrap());
        assert_eq!(fs::read_to_string(makefile).unwrap(), xen("drivers/Makefile"));
    }

    #[test]
    fn refuses_a_file_without_the_line_and_touches_nothing() {
        for hook in &HOOKS {
            let dir = tree(20);
            let path = dir.path().join(hook.file);
            let text = fs::read_to_string(&path).unwrap();
            for other in [text.replace(hook.line, "else"), format!("{text}{}\n", hook.line)] {
                fs::write(&path, other).unwrap();
                let before = files(dir.path());
                let error = glue().apply(dir.path()).unwrap_err().to_string();
                assert!(error.contains(&format!("does not have the one line `{}`", hook.line)), "{error}");
                assert_eq!(before, files(dir.path()));
            }
        }
    }
}
