//! What is reset, and what has to come of it.

use crate::boot::devices::{DEVICES, Device};

/// How often a device is reset.
pub(super) const ROUNDS: u32 = 50;

/// A line of the table: a function of `reset.sh`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub name: &'static str,
    /// By their names in the machine.
    pub devices: &'static [&'static str],
    /// What it has to check.
    pub checks: &'static [&'static str],
}

impl Row {
    /// A device of it that a machine with these beside the usual ones has not.
    pub(super) fn missing(&self, more: &[Device]) -> Option<&'static str> {
        self.devices.iter().find(|name| DEVICES.iter().chain(more).all(|d| d.name != **name)).copied()
    }
}

const fn row(name: &'static str, devices: &'static [&'static str], checks: &'static [&'static str]) -> Row {
    Row { name, devices, checks }
}

/// All of them, in their order.
const ROWS: &[Row] = &[
    row("flr", &["nvme0"], &["resets"]),
    row("igb", &["igb"], &["resets"]),
    row("power", &["e1000e"], &["resets"]),
    row("bus", &["nvme1"], &["resets", "function-level"]),
    row("bus-only", &["xhci"], &["function-level", "resets"]),
    row("shared-bus", &["nvme3", "xhci3"], &["in-use", "untouched", "idle", "work"]),
    row(
        "refused",
        &["nvme0", "ahci"],
        &[
            "cold",
            "warm",
            "hot-on-a-root-bus",
            "unknown-kind",
            "unknown-flag",
            "untouched",
            "bridge",
            "nobody",
            "no-method",
            "goes-on",
        ],
    ),
    row("at-once", &["nvme0"], &["both", "works"]),
    row("delayed", &["nvme1"], &["resets", "all-ones", "nobody-waits", "works"]),
    row(
        "order",
        &["nvme1"],
        &["bus-alone", "untouched", "by-bus", "next", "assigned", "taken-back", "assigned-by-flr", "works"],
    ),
    row("unplugged", &["nvme1"], &["ends", "plugged", "frozen", "works"]),
    row("in-use", &["nvme0", "e1000e"], &["nvme", "nvme-recovers", "e1000e", "e1000e-bound-anew"]),
];

/// The rows that are named, or all if none is.
pub(super) fn named(names: &[String]) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| names.is_empty() || names.iter().any(|n| n == row.name))
}

/// Those of them for a machine with these devices beside the usual ones.
pub(super) fn of(more: &[Device], names: &[String]) -> impl Iterator<Item = &'static Row> {
    named(names).filter(move |row| row.missing(more).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::devices::{IGB, PAIR};

    const SCRIPT: &str = include_str!("reset.sh");

    #[test]
    fn every_device_is_in_the_machine() {
        for name in ROWS.iter().flat_map(|row| row.devices) {
            assert!(DEVICES.iter().chain(PAIR).chain([&IGB]).any(|device| device.name == *name), "{name}");
        }
    }

    #[test]
    fn every_row_is_in_the_script_with_its_checks() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS.iter().skip(i + 1).all(|other| other.name != row.name), "{}", row.name);
            assert!(SCRIPT.contains(&format!("row_{}()", row.name.replace('-', "_"))), "{}", row.name);
            for check in row.checks {
                assert!(SCRIPT.contains(&format!("check {} {check} ", row.name)), "{} {check}", row.name);
            }
        }
    }

    #[test]
    fn the_script_runs_each_row_and_checks_nothing_else() {
        let words =
            |start: &'static str| SCRIPT.lines().filter_map(move |line| line.trim().strip_prefix(start));
        let mut run: Vec<&str> = words("row ").map(|line| line.trim_end_matches(" &")).collect();
        let mut all: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        run.sort_unstable();
        all.sort_unstable();
        assert_eq!(run, all);
        for mut check in words("check ").map(|line| line.split(' ')) {
            let (name, check) = (check.next().unwrap_or_default(), check.next().unwrap_or_default());
            let known = ROWS.iter().any(|row| row.name == name && row.checks.contains(&check));
            assert!(known || (name, check) == ("dom0", "bars"), "{name} {check}");
        }
    }
}
