//! `cargo xtask ci`: everything that CI runs.

use std::{env, process::Command, time::Instant};

use anyhow::{Context as _, Result, bail};
use tests::corpus::{self, Kind};

use crate::{packages, run, ui};

/// Run everything that CI runs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Go without what boots Xen, the longest part.
    #[arg(long)]
    no_boot: bool,
}

/// What the tests with a C++ compiler and with `lspci` need.
const PACKAGES: &[&str] = &["gcc", "g++", "libc6-dev", "pciutils"];

/// One step: what it is called, and the words after `cargo`.
struct Step {
    name: &'static str,
    words: &'static [&'static str],
    /// What was recorded elsewhere, without which it is not run.
    data: Option<Kind>,
}

const fn step(name: &'static str, words: &'static [&'static str]) -> Step {
    Step { name, words, data: None }
}

const fn recorded(name: &'static str, data: Kind, words: &'static [&'static str]) -> Step {
    Step { name, words, data: Some(data) }
}

const STEPS: &[Step] = &[
    step("format", &["fmt", "--all", "--check"]),
    step("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    step("format, kernel", &["fmt", "--manifest-path", "tests/kernel/Cargo.toml", "--check"]),
    step(
        "lints, kernel",
        &["clippy", "--quiet", "--manifest-path", "tests/kernel/Cargo.toml", "--", "-D", "warnings"],
    ),
    step("tests", &["test"]),
    step("tests, C++17", &["test", "--quiet", "-p", "ffi", "--features", "cxx", "--test", "header"]),
    step("tests, lspci", &["test", "--quiet", "-p", "tests", "--features", "corpus", "--test", "q35_lspci"]),
    recorded(
        "tests, dumps",
        corpus::DUMPS,
        &[
            "test",
            "--quiet",
            "-p",
            "tests",
            "--features",
            "corpus",
            "--test",
            "dumps",
            "--test",
            "guest_dumps",
        ],
    ),
    recorded(
        "tests, traces",
        corpus::TRACES,
        &["test", "--quiet", "-p", "tests", "--features", "corpus", "--test", "q35_traces"],
    ),
    recorded(
        "tests, lists of devices",
        corpus::LISTS,
        &["test", "--quiet", "-p", "tests", "--features", "corpus", "--test", "quirks", "--test", "mirrors"],
    ),
    step("coverage", &["xtask", "coverage"]),
    step("gates", &["xtask", "gates"]),
    step("bench", &["xtask", "bench"]),
    step("differential", &["xtask", "differential"]),
    step("differential, Q35", &["xtask", "differential", "--q35", "--accesses", "100000"]),
    step(
        "fuzz, kept corpus",
        &["test", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"],
    ),
    step("fuzz", &["xtask", "fuzz", "--seconds", "15"]),
];

/// Our own kernel first: it fails within seconds. Then Linux, with each device once: unbinding, resetting and removing them, over and over, is `cargo xtask boot`'s alone.
const BOOT: &[Step] = &[
    step("boot, own kernel", &["xtask", "boot", "--kernel=all"]),
    step("boot", &["xtask", "boot", "--compare", "--quick"]),
];

/// `cargo xtask ci`.
pub(crate) fn run(args: &Args) -> Result<()> {
    packages::install(PACKAGES)?;
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    let mut left_out = Vec::new();
    for step in STEPS.iter().chain(BOOT.iter().filter(|_| !args.no_boot)) {
        ui::say(format!("── {}", step.name));
        let start = Instant::now();
        let verdict = match step.data {
            Some(data) if !data.is_expected() => {
                ui::say(format!("there is no {}", data.directory().display()));
                left_out.push(step.name);
                "NOT RUN"
            }
            _ if execute(step)? => "pass",
            _ => {
                failed.push(step.name);
                "FAIL"
            }
        };
        let seconds = start.elapsed().as_secs();
        rows.push(vec![step.name.to_owned(), verdict.to_owned(), format!("{seconds} s")]);
    }
    let count = rows.len();
    println!("{}", ui::table(&["step", "verdict", "time"], rows));
    if !failed.is_empty() {
        bail!("{} of {} steps fail: {}", failed.len(), count, failed.join(", "));
    }
    if left_out.is_empty() {
        println!("All steps pass.");
    } else {
        println!(
            "All steps pass but those that were not run, as their data are not here: {}.",
            left_out.join("; ")
        );
    }
    Ok(())
}

/// Runs a step with its output shown. Whether it passed.
fn execute(step: &Step) -> Result<bool> {
    // This program is what `cargo xtask` would run, and need not be built again.
    let own = step.words.first() == Some(&"xtask");
    let mut command = if own {
        let mut command = Command::new(env::current_exe().context("cannot find this program")?);
        command.args(step.words.iter().skip(1));
        command
    } else {
        let mut command = Command::new(env!("CARGO"));
        command.args(step.words);
        command
    };
    let status = command
        .current_dir(run::workspace())
        .status()
        .with_context(|| format!("cannot run {}", step.name))?;
    Ok(status.success())
}
