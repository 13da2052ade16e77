//! What the boots showed, as a table with a verdict.

use serde::Serialize;

use super::rows::{self, Row};
use crate::boot::{
    devices::{DEVICES, Device},
    machine::{Data, Iommu},
    outcome,
    protocol::Verdict,
    report::{checked, required},
    session::Seen,
    whole,
};

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub iommu: Iommu,
    pub row: String,
    pub devices: String,
    /// What was checked and held.
    pub held: Vec<String>,
    /// What did not hold, or was not reached.
    pub failed: Vec<String>,
    pub passed: bool,
}

impl outcome::Line for Line {
    const HEAD: &'static [&'static str] = &["IOMMU", "row", "devices", "checks", "verdict"];

    fn passed(&self) -> bool {
        self.passed
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.iommu.name().to_owned(),
            self.row.clone(),
            self.devices.clone(),
            outcome::checks(&self.held, &self.failed),
        ]
    }
}

/// The rows that this machine has no devices for.
pub(super) fn untried(iommu: Iommu, more: &[Device], names: &[String]) -> Vec<String> {
    rows::named(names)
        .filter_map(|row| {
            let device = row.missing(more)?;
            Some(format!("NOT TRIED: {} on {}: this machine has no {device}", row.name, iommu.name()))
        })
        .collect()
}

/// The lines of one boot.
pub(super) fn lines(iommu: Iommu, more: &[Device], names: &[String], seen: &Seen, data: &Data) -> Vec<Line> {
    let line = |row: &str, devices: &[&str]| Line {
        iommu,
        row: row.to_owned(),
        devices: devices.join(" "),
        held: Vec::new(),
        failed: Vec::new(),
        passed: false,
    };
    let mut lines: Vec<Line> = rows::of(more, names)
        .map(|row| {
            let mut line = line(row.name, row.devices);
            judge(row, more, &mut line, seen, data);
            line
        })
        .collect();
    let mut dom0 = line("dom0", &[]);
    check("dom0", "bars", &mut dom0, seen);
    whole::judge(seen, &mut dom0.held, &mut dom0.failed);
    for (device, good) in &seen.disks {
        if *good {
            dom0.held.push(format!("{device} seen from outside"));
        } else {
            dom0.failed.push(format!("{device} does not hold what was written"));
        }
    }
    lines.push(dom0);
    for line in &mut lines {
        line.passed = line.failed.is_empty();
    }
    lines
}

fn judge(row: &Row, more: &[Device], line: &mut Line, seen: &Seen, data: &Data) {
    // What its devices did before anything was reset; all of it, or nothing after it says much.
    for device in DEVICES.iter().chain(more).filter(|d| row.devices.contains(&d.name)) {
        let checks = required(device.kind, false).into_iter().map(|name| checked(device, name, seen, data));
        line.failed.extend(checks.filter_map(|c| Some(format!("{} {}", device.name, c.err()?))));
    }
    for name in row.checks {
        check(row.name, name, line, seen);
    }
}

/// Adds what became of a check of a row.
fn check(row: &str, name: &str, line: &mut Line, seen: &Seen) {
    match seen.transcript.checks.iter().find(|c| c.device == row && c.name == name) {
        Some(check) if check.verdict == Verdict::Ok && check.detail.is_empty() => {
            line.held.push(name.to_owned());
        }
        Some(check) if check.verdict == Verdict::Ok => line.held.push(format!("{name}: {}", check.detail)),
        Some(check) => line.failed.push(format!("{name}: {}", check.detail)),
        None => line.failed.push(format!("{name}: not reached")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{
        devices::{IGB, PAIR},
        whole::tests::{state, told},
        xen_state::XenState,
    };

    /// What a boot shows where everything works.
    fn good(data: &Data) -> Seen {
        let mut seen = Seen { before: Some(told()), after: Some(told()), ..Seen::default() };
        for device in DEVICES.iter().chain(PAIR) {
            for name in required(device.kind, false) {
                let detail = data.expected(device.kind, name).unwrap_or_default();
                seen.transcript.take(&format!("check {} {name} ok {detail}", device.name));
            }
        }
        for row in rows::of(PAIR, &[]) {
            for name in row.checks {
                seen.transcript.take(&format!("check {} {name} ok done after 104 ms", row.name));
            }
        }
        seen.transcript.take("check dom0 bars ok 9 mapped");
        for name in ["state-before", "state-after"] {
            seen.transcript.blocks.insert(name.to_owned(), state(100));
        }
        seen.transcript.blocks.insert("problems".to_owned(), Vec::new());
        seen.disks.push(("nvme1".to_owned(), true));
        seen
    }

    fn failures(change: impl FnOnce(&mut Seen)) -> Vec<String> {
        let data = Data::draw().unwrap();
        let mut seen = good(&data);
        change(&mut seen);
        let lines = lines(Iommu::Intel, PAIR, &[], &seen, &data);
        assert_eq!(lines.len(), rows::of(PAIR, &[]).count() + 1);
        assert!(lines.iter().all(|l| l.passed == l.failed.is_empty()));
        lines.iter().flat_map(|l| l.failed.iter().map(|f| format!("{}: {f}", l.row))).collect()
    }

    #[test]
    fn a_good_boot_passes() {
        assert_eq!(failures(|_| ()), [""; 0]);
    }

    #[test]
    fn a_boot_that_ends_early_fails_every_row() {
        let data = Data::draw().unwrap();
        assert!(lines(Iommu::Amd, &[], &[], &Seen::default(), &data).iter().all(|l| !l.passed));
    }

    #[test]
    fn only_the_rows_that_are_named_are_judged() {
        let data = Data::draw().unwrap();
        let lines = lines(Iommu::Intel, PAIR, &["at-once".to_owned()], &good(&data), &data);
        assert_eq!(lines.iter().map(|l| l.row.as_str()).collect::<Vec<_>>(), ["at-once", "dom0"]);
    }

    #[test]
    fn what_the_machine_lacks_is_said_and_not_judged() {
        let data = Data::draw().unwrap();
        let has = |more: &[Device], row: &str| {
            lines(Iommu::Amd, more, &[], &good(&data), &data).iter().any(|line| line.row == row)
        };
        assert!(!has(PAIR, "igb") && !has(&[IGB], "shared-bus"));
        assert!(has(PAIR, "shared-bus") && has(&[IGB], "igb"));
        assert_eq!(untried(Iommu::Intel, PAIR, &[]), ["NOT TRIED: igb on intel: this machine has no igb"]);
        assert_eq!(
            untried(Iommu::Amd, &[IGB], &[]),
            ["NOT TRIED: shared-bus on amd: this machine has no nvme3"]
        );
        assert_eq!(untried(Iommu::Amd, &[], &["flr".to_owned()]), [""; 0]);
    }

    #[test]
    fn a_check_that_fails_or_never_comes_fails() {
        let found = failures(|seen| {
            seen.transcript.checks.retain(|c| (c.device.as_str(), c.name.as_str()) != ("refused", "bridge"));
            for check in &mut seen.transcript.checks {
                if (check.device.as_str(), check.name.as_str()) == ("bus", "resets") {
                    (check.verdict, check.detail) = (Verdict::Fail, "round 31: ENODEV after 9 ms".to_owned());
                }
                if check.device == "xhci3" {
                    check.verdict = Verdict::Skip;
                }
            }
        });
        assert_eq!(found, ["bus: resets: round 31: ENODEV after 9 ms", "refused: bridge: not reached"]);
    }

    #[test]
    fn a_device_that_did_not_work_at_first_fails() {
        let found = failures(|seen| {
            for check in &mut seen.transcript.checks {
                if (check.device.as_str(), check.name.as_str()) == ("ahci", "io") {
                    check.detail = "00".to_owned();
                }
            }
        });
        assert_eq!(found, ["refused: ahci io: the checksum is 00"]);
    }

    #[test]
    fn a_leak_a_complaint_and_a_bad_disk_fail() {
        let found = failures(|seen| {
            seen.after = Some(XenState { bound: 1, ..told() });
            seen.transcript.blocks.insert("problems".to_owned(), vec!["WARNING: x".to_owned()]);
            seen.transcript.blocks.insert("state-after".to_owned(), state(90));
            seen.disks.push(("nvme0".to_owned(), false));
            for check in &mut seen.transcript.checks {
                if check.name == "bars" {
                    check.verdict = Verdict::Fail;
                }
            }
        });
        assert_eq!(
            found,
            [
                "dom0: bars: 9 mapped",
                "dom0: WARNING: x",
                "dom0: interrupts bound to dom0: 0 before, 1 after",
                "dom0: before: dom0-pages 9, guests 0, free-pages 100; after: dom0-pages 9, guests 0, free-pages 90",
                "dom0: nvme0 does not hold what was written"
            ]
        );
    }
}
