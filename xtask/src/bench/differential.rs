//! `cargo xtask differential`: random registers and accesses, the library against Xen's `vpci.c`, or against QEMU's Q35.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::program::{self, Program};
use crate::{q35, ui};

/// Compare the library with Xen's own vpci.c, or its MCH with QEMU's, access by access.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many accesses.
    #[arg(long, default_value_t = 1_000_000)]
    accesses: u64,
    /// Where the random numbers start; the same seed makes the same accesses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// The MCH, against QEMU's Q35.
    #[arg(long)]
    q35: bool,
    /// Plant a difference, which is then found.
    #[arg(long, hide = true, conflicts_with = "q35", value_parser = clap::builder::PossibleValuesParser::new(PLANTS.iter().copied()))]
    plant: Option<String>,
}

/// What can be planted on the library's side: one bit of a mask, one access to hardware, one byte of hardware.
const PLANTS: &[&str] = &["mask", "access", "byte"];

/// The accesses in which each must be found.
const PLANTED: u64 = 20_000;

/// What a run of the program found.
struct Run {
    figures: Map<String, Value>,
    differences: u64,
    /// The first difference, in lines.
    first: String,
}

impl Run {
    fn read(printed: &str) -> Result<Self> {
        let figures = program::figures(printed)?;
        let differences = *figures.get("differences").context("the program does not say what it found")?;
        let first: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("| ")).collect();
        let figures = figures.into_iter().map(|(name, number)| (name, number.into())).collect();
        Ok(Self { figures, differences, first: first.join("\n") })
    }
}

/// `cargo xtask differential`.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.q35 {
        return q35::run(args.accesses, args.seed, args.json);
    }
    let program = Program::build("differential", Some(&[]))?;
    let start = args.seed.to_string();
    let compare = |accesses: u64, plant: Option<&str>| {
        let accesses = accesses.to_string();
        let words: Vec<&str> = [&*accesses, &*start].into_iter().chain(plant).collect();
        Run::read(&program.run(&words)?)
    };
    ui::say(format!("making {} accesses on both sides", args.accesses));
    let mut found = compare(args.accesses, args.plant.as_deref())?;

    let mut unseen = Vec::new();
    for plant in PLANTS {
        if compare(PLANTED, Some(plant))?.differences == 0 {
            unseen.push(*plant);
        }
    }
    let seen = PLANTS.len() - unseen.len();
    if args.json {
        found.figures.insert("seed".into(), args.seed.into());
        found.figures.insert("planted".into(), PLANTS.len().into());
        found.figures.insert("planted_found".into(), seen.into());
        let first = Some(&found.first).filter(|first| !first.is_empty());
        found.figures.insert("first".into(), first.map_or(Value::Null, |first| first.as_str().into()));
        println!("{}", Value::Object(found.figures));
    } else {
        let figure = |name: &str| found.figures.get(name).map(ToString::to_string).unwrap_or_default();
        println!(
            "{} accesses to {} maps of {} registers: {} differences from Xen's vpci.c",
            figure("accesses"),
            figure("maps"),
            figure("registers"),
            figure("differences"),
        );
        println!(
            "{} accesses to hardware, the same on both sides but for {} words at an odd offset, which the library makes \
             in bytes",
            figure("hardware_accesses"),
            figure("split_words"),
        );
        println!(
            "{} accesses and {} registers refused by both; {seen} of {} planted differences found",
            figure("rejected"),
            figure("refused_registers"),
            PLANTS.len(),
        );
    }
    if !unseen.is_empty() {
        bail!("a difference that was planted is not found: {}", unseen.join(", "));
    }
    if found.differences != 0 {
        bail!("{} differences; the first:\n{}", found.differences, found.first);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_the_first_of_them_are_read() {
        let run = Run::read("| access 1\n|     reads 4\naccesses 9\ndifferences 2\n").unwrap();
        assert_eq!((run.differences, run.first.as_str()), (2, "access 1\n    reads 4"));
        assert_eq!(run.figures["accesses"], 9);
    }

    #[test]
    fn a_program_that_says_nothing_found_nothing_out() {
        assert!(Run::read("").is_err());
        assert!(Run::read("accesses 9\n").is_err());
    }
}
