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

/// All of them.
#[derive(Serialize)]
pub(super) struct Report<L> {
    pass: bool,
    rows: Vec<L>,
    errors: Vec<String>,
}

impl<L: Line> Report<L> {
    /// Gathers the lines of all boots, and what ended boots early.
    pub(super) fn new(rows: Vec<L>, errors: Vec<String>) -> Self {
        Self { pass: errors.is_empty() && rows.iter().all(L::passed), rows, errors }
    }

    /// Prints it, and is an error if anything failed.
    pub(super) fn finish(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.table());
        }
        for error in &self.errors {
            ui::say(error);
        }
        let works = self.rows.iter().filter(|l| l.passed()).count();
        let summary = format!("{works} of {} rows work", self.rows.len());
        ensure!(self.pass, "{summary}");
        ui::say(format!("PASS: {summary}"));
        Ok(())
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

    #[test]
    fn a_failed_line_or_an_error_is_a_failure() {
        assert!(Report::new(vec![One(true)], Vec::new()).finish(true).is_ok());
        assert!(Report::new(vec![One(true)], vec!["x".to_owned()]).finish(true).is_err());
        let error = Report::new(vec![One(true), One(false)], Vec::new()).finish(true).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 rows work");
    }

    #[test]
    fn the_table_has_what_failed_and_verdicts() {
        let table = Report::new(vec![One(true), One(false)], Vec::new()).table();
        assert!(table.contains("works") && table.contains("FAILS"), "{table}");
        let (held, failed) = (["a".to_owned(), "b".to_owned()], ["c".to_owned()]);
        assert_eq!(checks(&held, &failed), "a, b\nFAILED c");
        assert_eq!(checks(&[], &failed), "FAILED c");
    }
}
