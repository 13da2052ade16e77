//! What callgrind wrote.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

/// The instructions between two dumps of the program's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Phase {
    /// A figure and the loop that made the accesses, or a loop alone; or a figure of which each phase is one call.
    name: String,
    instructions: u64,
}

/// Reads a file of combined dumps. Dumps that the program did not ask for are left out.
pub(super) fn parse(dumps: &str) -> Result<Vec<Phase>> {
    const NAME: &str = "desc: Trigger: Client Request: ";
    let mut phases = Vec::new();
    let mut name: Option<&str> = None;
    for line in dumps.lines() {
        if line.starts_with("part: ") {
            name = None;
        } else if let Some(request) = line.strip_prefix(NAME) {
            name = Some(request.trim());
        } else if let Some(events) = line.strip_prefix("events: ") {
            ensure!(events.trim() == "Ir", "callgrind counts more than instructions: {events}");
        } else if let Some(count) = line.strip_prefix("summary: ") {
            let Some(name) = name.take() else { continue };
            let instructions = count.trim().parse().with_context(|| format!("callgrind says {line:?}"))?;
            phases.push(Phase { name: name.to_owned(), instructions });
        }
    }
    ensure!(!phases.is_empty(), "callgrind wrote no dump");
    Ok(phases)
}

/// The instructions for one access by figure: what its loop took, less what the loop takes with a function of one
/// instruction. Where a figure was counted more than once it is the mean, and `_worst` behind its name the largest.
pub(super) fn per_access(phases: &[Phase], accesses: u64) -> Result<BTreeMap<String, f64>> {
    let alone: BTreeMap<&str, u64> = phases
        .iter()
        .filter(|phase| !phase.name.contains(' '))
        .map(|phase| (&*phase.name, phase.instructions))
        .collect();
    let mut counted: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for Phase { name, instructions } in phases {
        let Some((figure, used)) = name.split_once(' ') else { continue };
        let Some(own) = alone.get(used).and_then(|alone| (instructions + accesses).checked_sub(*alone))
        else {
            bail!("no count of {used} itself that {name} could be held against");
        };
        counted.entry(figure).or_default().push(own);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = |sum: u64, times: usize| sum as f64 / accesses as f64 / times as f64;
    let mut figures = BTreeMap::new();
    for (figure, counts) in counted {
        figures.insert(figure.to_owned(), each(counts.iter().sum(), counts.len()));
        if let (Some(largest), true) = (counts.iter().max(), counts.len() > 1) {
            figures.insert(format!("{figure}_worst"), each(*largest, 1));
        }
    }
    Ok(figures)
}

/// The most instructions that a call took, by figure.
pub(super) fn most(phases: &[Phase]) -> Result<BTreeMap<&str, u64>> {
    let mut figures = BTreeMap::new();
    for Phase { name, instructions } in phases {
        ensure!(*instructions != 0, "callgrind counted nothing of {name}");
        let most = figures.entry(name.as_str()).or_insert(0);
        *most = (*instructions).max(*most);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(trigger: &str, count: u64) -> String {
        format!(
            "part: 1\n\n\ndesc: Timerange: Basic block 1 - 9\ndesc: Trigger: {trigger}\n\nevents: Ir\nsummary: {count}\n\nfn=(1) main\n4 7\n\ntotals: {count}\n"
        )
    }

    #[test]
    fn only_the_programs_own_dumps_count() {
        let text = dump("Client Request: loop", 500)
            + &dump("Client Request: read4_8 loop", 1400)
            + &dump("Program termination", 9);
        let phases = parse(&text).unwrap();
        assert_eq!(phases.len(), 2);
        assert_eq!(phases[1], Phase { name: "read4_8 loop".into(), instructions: 1400 });
        // 9 more for each of 100 accesses than a function of one instruction.
        assert_eq!(per_access(&phases, 100).unwrap(), [("read4_8".to_owned(), 10.0)].into());
    }

    #[test]
    fn what_is_counted_twice_has_a_mean_and_a_worst() {
        let phase = |name: &str, instructions| Phase { name: name.to_owned(), instructions };
        let phases = [phase("l", 100), phase("f l", 300), phase("f l", 200), phase("g l", 150)];
        let figures = per_access(&phases, 100).unwrap();
        let expected = [("f", 2.5), ("f_worst", 3.0), ("g", 1.5)].map(|(key, each)| (key.to_owned(), each));
        assert_eq!(figures, expected.into());
    }

    #[test]
    fn of_calls_the_largest_counts() {
        let phase = |name: &str, instructions| Phase { name: name.to_owned(), instructions };
        let mut phases = vec![phase("f", 7), phase("g", 5), phase("f", 9), phase("f", 8)];
        assert_eq!(most(&phases).unwrap(), [("f", 9), ("g", 5)].into());
        // A function that callgrind was not told of would be below each limit.
        phases.push(phase("f", 0));
        assert!(most(&phases).unwrap_err().to_string().contains("nothing of f"));
    }

    #[test]
    fn what_is_missing_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse(&dump("Program termination", 9)).is_err());
        assert!(parse(&dump("Client Request: f l", 1).replace("summary: 1", "summary: one")).is_err());
        assert!(parse(&dump("Client Request: f l", 1).replace("events: Ir", "events: Ir Dr")).is_err());
        let phases = parse(&dump("Client Request: f l", 1)).unwrap();
        assert!(per_access(&phases, 100).unwrap_err().to_string().contains("no count of l itself"));
    }
}
