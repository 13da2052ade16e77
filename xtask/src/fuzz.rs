//! `cargo xtask fuzz`: each fuzz target for a while, from the kept corpus in `fuzz/corpus/`.
//!
//! The targets are built without a sanitizer, which any stable toolchain can: what they test has no unsafe code.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use crate::{packages, run, ui};

const TARGETS: [&str; 6] = ["accesses", "hostile_device", "hostile_guest", "msix_mmio", "q35", "reset"];
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The version of cargo-fuzz that this project is developed with.
const CARGO_FUZZ: &str = "0.13.2";

/// What libFuzzer, which is C++, needs to be built.
const PACKAGES: &[&str] = &["gcc", "g++", "libc6-dev"];

/// What libFuzzer is told.
const OPTIONS: &[&str] =
    &["-max_len=2048", "-timeout=10", "-rss_limit_mb=1024", "-reload=0", "-print_final_stats=1"];

/// Fuzz the library, from the kept corpus.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs; they run side by side.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Add new inputs that reach more code to the kept corpus.
    #[arg(long)]
    keep: bool,
    /// Only this target.
    #[arg(value_parser = PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
}

/// How the run of a target ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
    /// The input that failed, and why.
    failure: Option<(PathBuf, String)>,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.seconds > 0, "--seconds 0 would run for ever");
    packages::install(PACKAGES)?;
    let targets: Vec<&str> =
        TARGETS.into_iter().filter(|t| args.target.as_deref().is_none_or(|only| only == *t)).collect();
    build(&targets)?;
    ui::say(format!("fuzzing {} for {} s", targets.join(", "), args.seconds));
    let outcomes: Vec<Result<Outcome>> = thread::scope(|scope| {
        let runs: Vec<_> = targets.iter().map(|target| scope.spawn(|| fuzz(target, args.seconds))).collect();
        runs.into_iter().map(|run| run.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    let mut failed = 0;
    for (target, outcome) in targets.iter().zip(outcomes) {
        let Outcome { executions, coverage, failure } =
            outcome.with_context(|| format!("cannot fuzz {target}"))?;
        let result = if failure.is_some() { "FAIL" } else { "pass" };
        println!("{target:14} {executions:>9} executions, {coverage:>5} edges: {result}");
        if let Some((input, why)) = failure {
            failed += 1;
            println!("  {why}\n  reproduce: {} {}", binary(target).display(), input.display());
        }
    }
    if failed > 0 {
        bail!("{failed} of {} fuzz targets fail", targets.len());
    }
    if args.keep {
        for target in &targets {
            merge(target)?;
        }
    }
    println!("No failure in {} s of each of {} fuzz targets.", args.seconds, targets.len());
    Ok(())
}

fn directory() -> PathBuf {
    run::target().join("fuzz")
}

fn kept(target: &str) -> PathBuf {
    run::workspace().join("fuzz/corpus").join(target)
}

fn binary(target: &str) -> PathBuf {
    directory().join(TRIPLE).join("release").join(target)
}

fn log(target: &str) -> Result<PathBuf> {
    Ok(run::directory(directory().join("logs"))?.join(format!("{target}.log")))
}

/// cargo-fuzz, which is built if it is not there.
fn cargo_fuzz(log: &Path) -> Result<PathBuf> {
    let root = run::target().join("tools");
    let program = root.join("bin/cargo-fuzz");
    let version = run::output(Command::new(&program).arg("--version")).unwrap_or_default();
    if version.trim() != format!("cargo-fuzz {CARGO_FUZZ}") {
        ui::say(format!("installing cargo-fuzz {CARGO_FUZZ} into {}", root.display()));
        let mut install = Command::new(env!("CARGO"));
        install
            .args(["install", "cargo-fuzz", "--locked", "--force", "--version", CARGO_FUZZ, "--root"])
            .arg(root);
        run::logged(&mut install, log).context("cannot install cargo-fuzz")?;
    }
    Ok(program)
}

fn build(targets: &[&str]) -> Result<()> {
    let log = log("build")?;
    let _ = fs::remove_file(&log);
    let program = cargo_fuzz(&log)?;
    ui::say("building the fuzz targets");
    let mut build = Command::new(program);
    build
        .args(["build", "--sanitizer", "none", "--target", TRIPLE, "--fuzz-dir"])
        .arg(run::workspace().join("fuzz"));
    build.arg("--target-dir").arg(directory()).current_dir(run::workspace());
    // cargo-fuzz builds one target, or all.
    if let [target] = targets {
        build.arg(target);
    }
    run::logged(&mut build, &log).context("cannot build the fuzz targets")
}

fn fuzz(target: &str, seconds: u32) -> Result<Outcome> {
    let log = log(target)?;
    let found = run::directory(directory().join("corpus").join(target))?;
    let artifacts = run::directory(directory().join("artifacts").join(target))?;
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = Command::new(binary(target))
        .args([&found, &kept(target)])
        .args(OPTIONS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {}", binary(target).display()))?;
    let text = fs::read(&log)?;
    outcome(&String::from_utf8_lossy(&text), status.success())
        .with_context(|| format!("{target}: {status}; the whole log: {}", log.display()))
}

/// What libFuzzer's output says. `None` if it neither finished nor found anything.
fn outcome(log: &str, success: bool) -> Option<Outcome> {
    let number = |text: &str| text.split_whitespace().next()?.parse().ok();
    let last = |name: &str| log.lines().rev().find_map(|line| number(line.split_once(name)?.1));
    let executions = last("stat::number_of_executed_units:");
    let failure = if success {
        None
    } else {
        let input = log
            .lines()
            .find_map(|line| line.split_once("Test unit written to "))
            .map(|(_, path)| path.into());
        let mut lines = log.lines().skip_while(|line| !line.contains("panicked at "));
        let panic =
            lines.next().map(|place| format!("{} {}", place.trim(), lines.next().unwrap_or_default().trim()));
        let own = || log.lines().find(|line| line.contains("ERROR: libFuzzer:")).map(str::to_owned);
        Some((input?, panic.or_else(own).unwrap_or_default()))
    };
    // A run that fails prints no statistics when the kept corpus already does it.
    let executions = if success { executions? } else { executions.unwrap_or(0) };
    Some(Outcome { executions, coverage: last(" cov: ").unwrap_or(0), failure })
}

/// Adds what reaches more code to the kept corpus.
fn merge(target: &str) -> Result<()> {
    ui::say(format!("adding to {}", kept(target).display()));
    let mut merge = Command::new(binary(target));
    merge.args(OPTIONS).arg("-merge=1").args([kept(target), directory().join("corpus").join(target)]);
    run::logged(&mut merge, &log(target)?).with_context(|| format!("cannot add to the corpus of {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_has_its_numbers() {
        let log = "#2\tINITED cov: 60 ft: 61 corp: 1/1b\n#900\tDONE   cov: 431 ft: 2000 corp: 4/5b\nstat::number_of_executed_units: 900\n";
        let expected = Outcome { executions: 900, coverage: 431, failure: None };
        assert_eq!(outcome(log, true), Some(expected));
        assert_eq!(outcome("", true), None);
    }

    #[test]
    fn a_failure_names_its_input_and_reason() {
        let log = "#2\tINITED cov: 60 ft: 61\nthread '<unnamed>' panicked at src/a.rs:1:2:\nit is wrong\n\
                   artifact_prefix='/x/'; Test unit written to /x/crash-1\n";
        let (input, why) = outcome(log, false).unwrap().failure.unwrap();
        assert_eq!(input, Path::new("/x/crash-1"));
        assert!(why.ends_with("a.rs:1:2: it is wrong"), "{why}");
        assert_eq!(outcome("killed", false), None);
    }

    #[test]
    fn every_target_has_a_kept_corpus_and_is_in_the_manifest() {
        let manifest = fs::read_to_string(run::workspace().join("fuzz/Cargo.toml")).unwrap();
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")));
            assert!(fs::read_dir(kept(target)).unwrap().next().is_some(), "{target}");
        }
    }
}
