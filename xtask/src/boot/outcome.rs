//! What a command says at its end: lines with a verdict.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::ui;

/// A line of the table.
pub(super) trait Line: Serialize {
    /// The columns; the last one is the verdict.
    const HEAD: &'static [&'static str];

    /// If all of it works.
    fn passed(&self) -> bool;

    /// What is in the columns, without the verdict.
    fn cells(&self) -> Vec<String>;
}

/// What held, and what did not, as a cell.
pub(super) fn checks(held: &[String], failed: &[String]) -> String {
    let mut checks = Vec::from_iter((!held.is_empty()).then(|| held.join(", ")));
    checks.extend(failed.iter().map(|f| format!("FAILED {f}")));
    checks.join("\n")
}

/// What one boot came to.
pub(super) struct Boot<L> {
    pub lines: Vec<L>,
    /// What ended it early.
    pub error: Option<String>,
    /// How often it was tried; more than once where QEMU was suspect.
    pub attempts: u32,
    /// What could not be tried in this machine.
    pub untried: Vec<String>,
}

/// What a summary says of boots that were tried again; nothing if there were none.
pub(super) fn retried(count: u32) -> String {
    if count == 0 {
        return String::new();
    }
    format!(
        " ({count} boots were tried again: QEMU delivered an interrupt twice, or took Xen's registers for its guest's)"
    )
}

/// All of them.
#[derive(Serialize)]
pub(super) struct Report<L> {
    pass: bool,
    rows: Vec<L>,
    errors: Vec<String>,
    /// Boots that were tried again, since QEMU was suspect.
    retried: u32,
    /// What could not be tried in these machines: no rows.
    untried: Vec<String>,
}

impl<L: Line> Report<L> {
    /// Gathers the lines of all boots, and what ended boots early.
    pub(super) fn new(boots: Vec<Boot<L>>) -> Self {
        let (mut rows, mut errors, mut retried, mut untried) = (Vec::new(), Vec::new(), 0, Vec::new());
        for boot in boots {
            rows.extend(boot.lines);
            errors.extend(boot.error);
            retried += boot.attempts - 1;
            untried.extend(boot.untried);
        }
        Self { pass: errors.is_empty() && rows.iter().all(L::passed), rows, errors, retried, untried }
    }

    /// Prints it, and is an error if anything failed.
    pub(super) fn finish(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.table());
        }
        for text in self.untried.iter().chain(&self.errors) {
            ui::say(text);
        }
        ensure!(self.pass, "{}", self.summary());
        ui::say(format!("PASS: {}", self.summary()));
        Ok(())
    }

    fn summary(&self) -> String {
        let works = self.rows.iter().filter(|l| l.passed()).count();
        format!("{works} of {} rows work{}", self.rows.len(), retried(self.retried))
    }

    fn table(&self) -> String {
        let verdict = |line: &L| if line.passed() { "works" } else { "FAILS" }.to_owned();
        ui::table(
            L::HEAD,
            self.rows.iter().map(|line| {
                let mut cells = line.cells();
                cells.push(verdict(line));
                cells
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct One(bool);

    impl Line for One {
        const HEAD: &'static [&'static str] = &["name", "verdict"];

        fn passed(&self) -> bool {
            self.0
        }

        fn cells(&self) -> Vec<String> {
            vec!["one".to_owned()]
        }
    }

    fn boot(lines: Vec<One>) -> Boot<One> {
        Boot { lines, error: None, attempts: 1, untried: Vec::new() }
    }

    #[test]
    fn a_failed_line_or_an_error_is_a_failure() {
        assert!(Report::new(vec![boot(vec![One(true)])]).finish(true).is_ok());
        let ended = Boot { error: Some("x".to_owned()), ..boot(vec![One(true)]) };
        assert!(Report::new(vec![boot(Vec::new()), ended]).finish(true).is_err());
        let error =
            Report::new(vec![boot(vec![One(true)]), boot(vec![One(false)])]).finish(true).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 rows work");
    }

    #[test]
    fn boots_that_were_tried_again_are_counted() {
        let tried =
            |attempts| Report::new(vec![Boot { attempts, ..boot(vec![One(true)]) }, boot(Vec::new())]);
        assert_eq!(tried(1).summary(), "1 of 1 rows work");
        assert!(tried(3).summary().starts_with("1 of 1 rows work (2 boots were tried again: "));
        assert_eq!(serde_json::to_value(tried(3)).unwrap()["retried"], 2);
        assert!(tried(3).pass);
    }

    #[test]
    fn the_table_has_what_failed_and_verdicts() {
        let table = Report::new(vec![boot(vec![One(true), One(false)])]).table();
        assert!(table.contains("works") && table.contains("FAILS"), "{table}");
        let (held, failed) = (["a".to_owned(), "b".to_owned()], ["c".to_owned()]);
        assert_eq!(checks(&held, &failed), "a, b\nFAILED c");
        assert_eq!(checks(&[], &failed), "FAILED c");
    }
}
