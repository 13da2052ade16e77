//! `cargo xtask differential --q35`: accesses at random to the library's MCH and to QEMU's Q35.

use anyhow::{Result, bail};
use serde_json::json;

use self::{
    pair::{Found, Pair, Plant, WAYS},
    random::Source,
};
use crate::{packages, ui};

mod machine;
mod pair;
mod random;
mod window;

/// What this needs.
const PACKAGES: &[&str] = &["qemu-system-x86"];

/// The accesses in which each planted difference must be found.
const PLANTED: u64 = 10_000;

/// With as many accesses, every row has something to explain.
const ENOUGH: u64 = 100_000;

/// The command.
pub(crate) fn run(accesses: u64, seed: u64, json: bool) -> Result<()> {
    packages::install(PACKAGES)?;
    let mut pair = Pair::start(None)?;
    ui::say(format!("making {accesses} accesses to the MCH, here and in QEMU {}", pair.version()));
    compare(&mut pair, accesses, seed, true)?;
    let mut missed = Vec::new();
    for plant in Plant::ALL {
        let mut planted = Pair::start(Some(*plant))?;
        compare(&mut planted, PLANTED, seed, false)?;
        if planted.found().differences == 0 {
            missed.push(format!("{plant:?}"));
        }
    }
    let rows = explained(&pair);
    let found = pair.found();
    let hits = Plant::ALL.len() - missed.len();
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({"what": row.what, "qemu": row.qemu, "ours": row.ours, "times": row.times}))
            .collect();
        let report = json!({
            "qemu": pair.version(), "seed": seed, "accesses": found.accesses, "reads": found.reads,
            "resets": found.resets, "locks": found.locks, "windows": found.windows,
            "differences": found.differences, "first": found.first, "deviations": rows,
            "planted": Plant::ALL.len(), "planted_found": hits,
        });
        println!("{report}");
    } else {
        println!("{}", ui::table(&["deviation", "QEMU, and here", "times"], rows.iter().map(Row::cells)));
        println!("{}", summary(pair.version(), found));
        println!("{hits} of {} planted differences found", Plant::ALL.len());
    }
    if !missed.is_empty() {
        bail!("a difference that was planted is not found: {}", missed.join(", "));
    }
    if let Some(first) = &found.first {
        bail!("{} differences; the first:\n{first}", found.differences);
    }
    let idle: Vec<_> = rows.iter().filter(|row| row.times == 0).map(|row| row.what).collect();
    if accesses >= ENOUGH && !idle.is_empty() {
        bail!("QEMU does not differ as these say: {}", idle.join("; "));
    }
    Ok(())
}

fn compare(pair: &mut Pair, accesses: u64, seed: u64, tell: bool) -> Result<()> {
    let mut source = Source::new(seed);
    let mut next = accesses / 10;
    while pair.found().accesses < accesses {
        source.step(pair)?;
        if tell && pair.found().accesses >= next {
            ui::say(format!("{} accesses, {} differences", pair.found().accesses, pair.found().differences));
            next += accesses / 10;
        }
    }
    pair.settle()
}

fn summary(version: &str, found: &Found) -> String {
    format!(
        "{} accesses, {} of them reads, {} resets, {} locks, {} windows: {} differences from QEMU {version} outside of \
         these rows",
        found.accesses, found.reads, found.resets, found.locks, found.windows, found.differences
    )
}

/// A deviation, and how often it was met.
struct Row {
    what: &'static str,
    qemu: &'static str,
    ours: &'static str,
    times: u64,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        vec![self.what.to_owned(), format!("{}\n{}", self.qemu, self.ours), self.times.to_string()]
    }
}

/// What this QEMU has otherwise: in registers, and in the ways to reach them.
fn explained(pair: &Pair) -> Vec<Row> {
    let found = pair.found();
    let registers = pair.rows().iter().zip(&found.rows);
    let registers =
        registers.map(|(row, times)| Row { what: row.what, qemu: row.qemu, ours: row.ours, times: *times });
    let ways = WAYS.iter().zip(&found.ways).enumerate().filter(|(number, _)| pair.has_way(*number));
    let ways = ways.map(|(_, ((what, qemu, ours), times))| Row { what, qemu, ours, times: *times });
    registers.chain(ways).collect()
}
