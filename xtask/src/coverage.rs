//! `cargo xtask coverage`: lines of `capabilities`, `vpci`, `q35` and `quirks` that the tests reach.
//!
//! Counted are the lines that the compiler made code for, those of the unit tests left out.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{packages, run, ui};

/// The percentage that must be reached in each crate.
const LEAST: f64 = 95.0;

/// The crates that are measured.
const CRATES: [&str; 4] = ["capabilities", "vpci", "q35", "quirks"];

/// Measure which lines of the product the tests reach.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name the lines that no test reaches.
    #[arg(long)]
    missing: bool,
}

/// The tools that read profiles of the active compiler.
struct Tools {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Tools {
    /// Those of the toolchain, or those of Debian for the same LLVM, which are installed if need be.
    fn find() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = run::output(Command::new(&rustc).arg("-vV"))?;
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
        let host = field("host: ").context("rustc -vV names no host")?;
        let sysroot = run::output(Command::new(&rustc).args(["--print", "sysroot"]))?;
        let own = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
        if own.join("llvm-cov").exists() {
            return Ok(Self { profdata: own.join("llvm-profdata"), cov: own.join("llvm-cov") });
        }
        let llvm = field("LLVM version: ").context("rustc -vV names no LLVM version")?;
        let major = llvm.split('.').next().unwrap_or(llvm);
        packages::install(&[&format!("llvm-{major}")])?;
        let tool = |name: &str| PathBuf::from(format!("/usr/bin/{name}-{major}"));
        Ok(Self { profdata: tool("llvm-profdata"), cov: tool("llvm-cov") })
    }
}

/// `cargo xtask coverage`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let tools = Tools::find()?;
    let directory = run::target().join("coverage");
    let profiles = directory.join("profiles");
    let _ = fs::remove_dir_all(&profiles);
    ui::say("running the tests with counters");
    let mut tests = Command::new(env!("CARGO"));
    tests
        .args(["test", "--quiet", "--no-fail-fast", "--tests"])
        .args(CRATES.iter().chain(&["tests"]).flat_map(|name| ["-p", name]))
        .arg("--target-dir")
        .arg(&directory)
        .current_dir(run::workspace())
        .env("RUSTFLAGS", "-Cinstrument-coverage")
        .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"));
    run::output(&mut tests)?;
    let list = run::output(tests.args(["--no-run", "--message-format=json"]))?;
    let binaries = executables(&list);
    ensure!(!binaries.is_empty(), "cargo named no test binaries");

    ui::say("reading the counters");
    let merged = directory.join("all.profdata");
    let raw: Vec<PathBuf> = fs::read_dir(&profiles)?.flatten().map(|entry| entry.path()).collect();
    run::output(Command::new(&tools.profdata).args(["merge", "--sparse", "-o"]).arg(&merged).args(raw))?;
    let mut export = Command::new(&tools.cov);
    export.args(["export", "--format=lcov"]).arg("--instr-profile").arg(&merged);
    for binary in &binaries {
        export.arg("--object").arg(binary);
    }
    let files = parse(&run::output(&mut export)?);

    let mut rows = Vec::new();
    let mut low = Vec::new();
    for name in CRATES {
        let source = run::workspace().join(name).join("src");
        let (mut reached, mut all) = (0_u32, 0_u32);
        for (file, lines) in files.iter().filter(|(file, _)| file.starts_with(&source)) {
            let end = tests_start(&fs::read_to_string(file)?);
            for (line, count) in lines.range(..end) {
                all += 1;
                reached += u32::from(*count > 0);
                if args.missing && *count == 0 {
                    println!("{}:{line}", file.strip_prefix(run::workspace()).unwrap_or(file).display());
                }
            }
        }
        ensure!(all > 0, "no line of {name} was counted");
        let percent = 100.0 * f64::from(reached) / f64::from(all);
        rows.push(vec![name.to_owned(), reached.to_string(), all.to_string(), format!("{percent:.1} %")]);
        if percent < LEAST {
            low.push(name);
        }
    }
    println!("{}", ui::table(&["crate", "reached", "lines", "coverage"], rows));
    if !low.is_empty() {
        bail!("below {LEAST} %: {}", low.join(", "));
    }
    println!("Coverage is at least {LEAST} % in each crate.");
    Ok(())
}

/// The test binaries in cargo's messages.
fn executables(messages: &str) -> Vec<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect()
}

/// How often each line of each file was reached, from an lcov report.
fn parse(lcov: &str) -> BTreeMap<PathBuf, BTreeMap<u32, u64>> {
    let mut files: BTreeMap<PathBuf, BTreeMap<u32, u64>> = BTreeMap::new();
    let mut file = PathBuf::new();
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file = PathBuf::from(path);
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(|data| data.split_once(','))
            && let (Ok(number), Ok(count)) = (number.parse(), count.parse::<u64>())
        {
            *files.entry(file.clone()).or_default().entry(number).or_default() += count;
        }
    }
    files
}

/// The line where a file's unit tests start, or one past its end.
fn tests_start(source: &str) -> u32 {
    let at = source.lines().position(|line| line == "#[cfg(test)]").unwrap_or(source.lines().count());
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_reports_are_added_up() {
        let lcov = "SF:/a.rs\nDA:1,0\nDA:2,3\nend_of_record\nSF:/b.rs\nDA:1,1\nSF:/a.rs\nDA:1,2\n";
        let files = parse(lcov);
        assert_eq!(files[Path::new("/a.rs")], BTreeMap::from([(1, 2), (2, 3)]));
        assert_eq!(files[Path::new("/b.rs")], BTreeMap::from([(1, 1)]));
    }

    #[test]
    fn unit_tests_do_not_count() {
        assert_eq!(tests_start("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), 2);
        assert_eq!(tests_start("fn a() {}\n"), 2);
    }

    #[test]
    fn only_messages_with_a_binary_count() {
        let messages = "{\"executable\":\"/x\"}\n{\"executable\":null}\nnoise\n{}\n";
        assert_eq!(executables(messages), [PathBuf::from("/x")]);
    }
}
