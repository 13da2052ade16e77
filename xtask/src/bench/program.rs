//! A C program with the object that Xen links in it, and for a comparison Xen's `vpci.c`, compiled for the host.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{library, packages, run, ui};

/// For every program. The code of Xen has no landing pads here, as the compiler's default may differ.
const FLAGS: &[&str] = &["-O2", "-std=gnu11", "-fcf-protection=none", "-fno-pie"];

/// Xen's files, and what they are called here.
const SOURCES: &[(&str, &str)] = &[
    ("xen/drivers/vpci/vpci.c", "vpci.c"),
    ("xen/include/xen/vpci.h", "xen-vpci.h"),
    ("xen/include/xen/list.h", "xen-list.h"),
    ("tools/include/xen-tools/common-macros.h", "common-macros.h"),
];

/// A program that was built.
pub(super) struct Program {
    directory: PathBuf,
    path: PathBuf,
    library: PathBuf,
}

impl Program {
    /// Builds `NAME.c` with the library, and with Xen's code if there are `flags` for it.
    pub(super) fn build(name: &str, flags: Option<&[&str]>) -> Result<Self> {
        packages::install(&["gcc", "libc6-dev", "valgrind", "xz-utils"])?;
        let library = library::build(library::Extent::Whole)?;
        let directory = run::directory(run::target().join("bench").join(name))?;
        let own = run::workspace().join("xtask/src/bench");
        let gcc = || {
            let mut gcc = Command::new("gcc");
            gcc.current_dir(&directory).args(FLAGS).arg("-I").arg(&directory).arg("-I").arg(&own);
            gcc
        };
        if let Some(flags) = flags {
            unpack(&directory)?;
            ui::say("compiling Xen's vpci.c");
            run::output(gcc().args(flags).args(["-include", "emul.h", "-c", "vpci.c", "-o", "vpci.o"]))?;
        }
        ui::say(format!("compiling {name}.c"));
        let path = directory.join(name);
        let warnings = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"];
        run::output(
            gcc()
                .args(warnings)
                .arg("-I")
                .arg(run::workspace().join("ffi/include"))
                .args(["-no-pie", "-o"])
                .arg(&path)
                .arg(own.join(format!("{name}.c")))
                .arg(own.join("unused.c"))
                .args(flags.map(|_| "vpci.o"))
                .arg(&library),
        )?;
        Ok(Self { directory, path, library })
    }

    /// The object that the program has in it.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// Runs it and returns what it printed.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        run::output(Command::new(&self.path).args(args))
    }

    /// Runs it under callgrind, which collects in the functions that match a pattern of `collected` or, if it is empty, in
    /// all, and returns what it printed, and the dumps. In what a collected function calls it does not collect if
    /// that matches as well.
    pub(super) fn callgrind(&self, collected: &[&str]) -> Result<(String, String)> {
        let file = self.directory.join("callgrind.out");
        let _ = fs::remove_file(&file);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--tool=callgrind", "--combine-dumps=yes"]);
        valgrind.args(collected.iter().map(|pattern| format!("--toggle-collect={pattern}")));
        valgrind.arg(format!("--callgrind-out-file={}", file.display())).arg(&self.path);
        let printed = run::output(&mut valgrind)?;
        let dumps = fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
        Ok((printed, dumps))
    }
}

/// Puts Xen's files, without their `#include` lines, where the compiler finds them.
fn unpack(directory: &Path) -> Result<()> {
    let tarball = packages::xen_source()?;
    let xen = run::directory(directory.join(tarball.file_stem().unwrap_or_default()))?;
    if SOURCES.iter().any(|(path, _)| !xen.join(path).exists()) {
        ui::say("unpacking Xen's vpci.c");
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(&tarball).arg("--strip-components=1").arg("-C").arg(&xen).arg("--wildcards");
        run::output(tar.args(SOURCES.iter().map(|(path, _)| format!("*/{path}"))))?;
    }
    for (path, name) in SOURCES {
        let path = xen.join(path);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        run::write_changed(&directory.join(name), alone(&text).as_bytes())?;
    }
    Ok(())
}

/// A source without what it includes; lines keep their numbers.
fn alone(source: &str) -> String {
    source
        .lines()
        .map(|line| if line.contains("#include") { "\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

/// Reads lines of a name and a number; lines that start with `|` are for a person.
pub(super) fn figures(printed: &str) -> Result<BTreeMap<String, u64>> {
    let mut figures = BTreeMap::new();
    for line in printed.lines().filter(|line| !line.starts_with('|')) {
        let (name, number) = line.split_once(' ').with_context(|| format!("the program says {line:?}"))?;
        let number = number.parse().with_context(|| format!("the program says {line:?}"))?;
        ensure!(figures.insert(name.to_owned(), number).is_none(), "the program says {name} twice");
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_go_and_lines_stay() {
        assert_eq!(alone("a\n#include <b>\n # include_next\nc\n"), "a\n\n # include_next\nc\n");
    }

    #[test]
    fn figures_are_read_and_remarks_are_not() {
        let figures = figures("| access 3: read\naccesses 4\ndifferences 1\n").unwrap();
        assert_eq!(figures, [("accesses".to_owned(), 4), ("differences".to_owned(), 1)].into());
        assert!(super::figures("accesses\n").is_err());
        assert!(super::figures("accesses x\n").is_err());
        assert!(super::figures("a 1\na 1\n").is_err());
    }
}
