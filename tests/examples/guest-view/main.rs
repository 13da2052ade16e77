//! What a guest sees of a device, and why.
//!
//! `cargo run --example guest-view -- FILE...`: each file is text of `lspci -xxx` or `-xxxx`, or a device below `/sys`.
//! The device is given to a guest by the engine itself, on a host that has nothing else.

mod html;
mod input;
mod report;
mod rule;
mod text;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::dump;
use anstream::{AutoStream, ColorChoice};
use capabilities::policy::Rule;
use clap::{Parser, ValueEnum};

use self::report::Report;

/// Show what a guest sees of a device, and why.
#[derive(Parser, Debug)]
#[command(name = "guest-view")]
struct Args {
    /// Text of `lspci -xxx` or `-xxxx`, a directory of a device below /sys, its `config` file, or `-`.
    #[arg(required = true)]
    files: Vec<String>,
    /// Only the device at this address, with or without its domain.
    #[arg(long)]
    slot: Option<String>,
    /// Try an extra rule, as in `cap=09 range=04-0b read=ffffffff`; see docs/policy.md.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// The guest has vital product data.
    #[arg(long)]
    vpd: bool,
    /// The hypervisor resets the device where the guest asks for it.
    #[arg(long)]
    resettable: bool,
    /// Print the guest's view as `lspci -F` reads it.
    #[arg(long, conflicts_with = "json")]
    lspci: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with a map of all bytes; nothing else is printed then but a line about each device.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "lspci"])]
    html: Option<PathBuf>,
    /// When to use colours; `NO_COLOR` is respected.
    #[arg(long, value_enum, default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// Why it ends early.
#[derive(Debug)]
enum Failure {
    /// What was given is wrong.
    Input(String),
    /// The output cannot be written.
    Output(io::Error),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Input(what)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = AutoStream::new(io::stdout(), args.color.into()).lock();
    let mut problems = AutoStream::new(io::stderr(), args.color.into()).lock();
    match run(&args, &mut out, &mut problems) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => fail(&mut problems, &error.to_string()),
        Err(Failure::Input(what)) => fail(&mut problems, &what),
    }
}

fn fail(problems: &mut impl Write, what: &str) -> ExitCode {
    // There is nobody left to tell.
    let _ = writeln!(problems, "error: {what}");
    ExitCode::FAILURE
}

/// Does what the arguments say. Whether all rules were taken.
fn run(args: &Args, out: &mut impl Write, problems: &mut impl Write) -> Result<bool, Failure> {
    let rules: Vec<Rule> = args
        .allow
        .iter()
        .map(|text| rule::parse(text).map_err(|error| format!("--allow '{text}': {error}")))
        .collect::<Result<_, String>>()?;
    let mut subjects = Vec::new();
    for file in &args.files {
        subjects.extend(input::read(file)?);
    }
    if let Some(slot) = &args.slot {
        subjects = input::select(subjects, slot)?;
    }
    let reports: Vec<Report> = subjects
        .iter()
        .map(|subject| report::build(subject, &rules, args.vpd, args.resettable))
        .collect::<Result<_, String>>()?;
    let refused: Vec<String> = reports
        .iter()
        .flat_map(|report| report.rules.iter().map(move |rule| (report, rule)))
        .filter_map(|(report, rule)| {
            let why = rule.refused.as_ref()?;
            Some(format!("{}: rule {} is refused: {why}", report.slot, rule.rule))
        })
        .collect();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &reports).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if args.lspci {
        for report in &reports {
            if report.refused.is_some() {
                writeln!(problems, "{}", report::line(report))?;
            } else {
                out.write_all(dump::print(&report.slot, &report.title, &report.guest).as_bytes())?;
            }
        }
    } else if let Some(file) = &args.html {
        fs::write(file, html::page(&reports)).map_err(|error| format!("{}: {error}", file.display()))?;
        for report in &reports {
            writeln!(out, "{}", report::line(report))?;
        }
    } else {
        text::write(out, &reports)?;
    }
    if args.lspci || args.html.is_some() {
        for line in &refused {
            writeln!(problems, "{line}")?;
        }
    }
    Ok(refused.is_empty())
}

#[cfg(test)]
mod tests;
