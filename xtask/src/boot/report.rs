//! Turns what boots showed into rows with a verdict.

use std::fmt::Write as _;

use anyhow::{Result as AnyResult, ensure};
use serde::Serialize;

use super::{
    Booted,
    compare::Difference,
    devices::{DEVICES, Device, HIDDEN, Kind},
    machine::{Data, Iommu},
    outcome,
    protocol::{self, Interrupts, Verdict},
    session::Seen,
};
use crate::ui;

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub variant: String,
    pub iommu: Iommu,
    pub device: String,
    pub bdf: String,
    pub driver: String,
    pub interrupts: Option<Interrupts>,
    /// What was checked and held.
    pub held: Vec<String>,
    /// What did not hold, or was not reached.
    pub failed: Vec<String>,
    pub passed: bool,
}

/// The checks a device has to show.
pub(super) fn required(kind: Kind, stress: bool) -> Vec<&'static str> {
    let mut checks = vec!["bound", "io"];
    if matches!(kind, Kind::Nvme | Kind::Ahci) {
        checks.push("host-data");
    }
    if stress && kind != Kind::Port {
        checks.extend(["rebind", "reset"]);
    }
    checks
}

/// The rows of one boot: one for each device, and one for dom0 as a whole.
pub(crate) fn rows(
    variant: &str,
    iommu: Iommu,
    seen: &Seen,
    data: &Data,
    stress: bool,
    hide: bool,
) -> Vec<Row> {
    let mut interrupts = protocol::interrupts(seen.transcript.block("interrupts"));
    let row = |device: &str, bdf: &str, driver: &str| Row {
        variant: variant.to_owned(),
        iommu,
        device: device.to_owned(),
        bdf: bdf.to_owned(),
        driver: driver.to_owned(),
        interrupts: None,
        held: Vec::new(),
        failed: Vec::new(),
        passed: false,
    };
    let mut rows: Vec<Row> = DEVICES
        .iter()
        .map(|device| {
            let mut row = row(device.name, device.bdf, device.driver);
            row.interrupts = interrupts.remove(device.name);
            judge(&mut row, device, seen, data, stress);
            row
        })
        .collect();
    let mut whole = row("dom0", "", "");
    judge_whole(&mut whole, seen, stress, variant != "c");
    if hide && variant != "c" {
        judge_hidden(&mut whole, seen);
    }
    rows.push(whole);
    for row in &mut rows {
        row.passed = row.failed.is_empty();
    }
    rows
}

/// What a check of a device came to: what held, or what did not.
pub(super) fn checked(device: &Device, name: &str, seen: &Seen, data: &Data) -> Result<String, String> {
    let checks = &seen.transcript.checks;
    let Some(check) = checks.iter().find(|c| c.device == device.name && c.name == name) else {
        return Err(format!("{name}: not reached"));
    };
    let wrong = data.expected(device.kind, name).is_some_and(|sum| check.detail != sum);
    match check.verdict {
        Verdict::Ok if wrong => Err(format!("{name}: the checksum is {}", check.detail)),
        Verdict::Ok => Ok(match name {
            "rebind" | "reset" => format!("{name} {}", check.detail),
            _ => name.to_owned(),
        }),
        Verdict::Skip => Ok(format!("{name}: {}", check.detail)),
        Verdict::Fail => Err(format!("{name}: {}", check.detail)),
    }
}

fn judge(row: &mut Row, device: &Device, seen: &Seen, data: &Data, stress: bool) {
    for name in required(device.kind, stress) {
        match checked(device, name, seen, data) {
            Ok(text) => row.held.push(text),
            Err(text) => row.failed.push(text),
        }
    }
    if let Some((_, good)) = seen.disks.iter().find(|(name, _)| name == device.name) {
        if *good {
            row.held.push("disk seen from outside".to_owned());
        } else {
            row.failed.push("the disk does not hold what was written".to_owned());
        }
    }
    let kind = if device.msix { "msix" } else { "msi" };
    match &row.interrupts {
        Some(found) if found.kind != kind => {
            row.failed.push(format!("interrupts are {}, not {kind}", found.kind));
        }
        // A port has an interrupt for events that do not happen here.
        Some(found) if found.count == 0 && device.kind != Kind::Port => {
            row.failed.push("no interrupt came".to_owned());
        }
        Some(_) => {}
        None => row.failed.push("no interrupts".to_owned()),
    }
}

fn judge_hidden(row: &mut Row, seen: &Seen) {
    match seen.transcript.checks.iter().find(|c| c.name == "hidden") {
        Some(check) if check.verdict == Verdict::Ok => {
            row.held.push(format!("{HIDDEN} hidden from it"));
        }
        Some(check) => row.failed.push(format!("hidden: {}", check.detail)),
        None => row.failed.push("hidden: not reached".to_owned()),
    }
}

fn judge_whole(row: &mut Row, seen: &Seen, stress: bool, storm: bool) {
    match seen.transcript.blocks.get("problems") {
        Some(lines) if lines.is_empty() => row.held.push("no complaint in dom0's log".to_owned()),
        Some(lines) => row.failed.extend(lines.iter().cloned()),
        None => row.failed.push("not done".to_owned()),
    }
    if !stress {
        return;
    }
    match (&seen.before, &seen.after) {
        (Some(before), Some(after)) => {
            let leaks = after.leaked_since(before);
            if leaks.is_empty() {
                row.held.push(format!(
                    "nothing leaked: {} interrupts, {} MSI entries before and after",
                    after.bound, after.entries
                ));
            }
            row.failed.extend(leaks);
        }
        _ => row.failed.push("leaks: not reached".to_owned()),
    }
    let storm_check = seen.transcript.checks.iter().find(|c| c.name == "replug-all");
    match storm_check {
        _ if !storm => row.held.push("not all removed at once (see docs/differences.md)".to_owned()),
        Some(check) if check.verdict == Verdict::Ok => {
            row.held.push(format!("all replugged {}", check.detail));
        }
        Some(check) => row.failed.push(format!("replug-all: {}", check.detail)),
        None => row.failed.push("replug-all: not reached".to_owned()),
    }
}

/// What the command says at its end.
#[derive(Serialize)]
pub(crate) struct Report {
    pass: bool,
    rows: Vec<Row>,
    differences: Vec<Difference>,
    errors: Vec<String>,
    /// Boots that were tried again, since QEMU was suspect.
    retried: u32,
}

impl Report {
    /// Gathers the boots; a comparison that was not asked for has no differences.
    pub(crate) fn new(boots: &[Booted], differences: Vec<Difference>) -> Self {
        let rows: Vec<Row> = boots.iter().flat_map(|b| b.rows.clone()).collect();
        let errors: Vec<String> = boots.iter().filter_map(|b| b.error.clone()).collect();
        let retried = boots.iter().map(|b| b.attempts - 1).sum();
        let pass = errors.is_empty()
            && rows.iter().all(|r| r.passed)
            && differences.iter().all(|d| d.reason.is_some());
        Self { pass, rows, differences, errors, retried }
    }

    /// Prints it, and is an error if anything failed.
    pub(crate) fn finish(&self, json: bool) -> AnyResult<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.table());
            if !self.differences.is_empty() {
                println!("{}", self.differences());
            }
        }
        for error in &self.errors {
            ui::say(error);
        }
        ensure!(self.pass, "{}", self.summary());
        ui::say(format!("PASS: {}", self.summary()));
        Ok(())
    }

    fn summary(&self) -> String {
        let works = self.rows.iter().filter(|r| r.passed).count();
        let mut text = format!("{works} of {} rows work", self.rows.len());
        if self.rows.iter().any(|r| r.variant == "c") && self.rows.iter().any(|r| r.variant != "c") {
            let listed = self.differences.iter().filter(|d| d.reason.is_some()).count();
            let rest = self.differences.len() - listed;
            let _ =
                write!(text, ", {rest} unexplained and {listed} explained differences from Xen's own vPCI");
        }
        text.push_str(&outcome::retried(self.retried));
        text
    }

    fn table(&self) -> String {
        let head = ["vPCI", "IOMMU", "device", "driver", "interrupts", "checks", "verdict"];
        let lines = self.rows.iter().map(|row| {
            let interrupts = row.interrupts.as_ref().map_or(String::new(), |i| {
                let kind = if i.kind == "msix" { "MSI-X" } else { "MSI" };
                format!("{kind} x{}, {} came", i.vectors, i.count)
            });
            let mut checks = Vec::from_iter((!row.held.is_empty()).then(|| row.held.join(", ")));
            checks.extend(row.failed.iter().map(|f| format!("FAILED {f}")));
            vec![
                row.variant.clone(),
                row.iommu.name().to_owned(),
                format!("{} {}", row.bdf, row.device).trim().to_owned(),
                row.driver.clone(),
                interrupts,
                checks.join("\n"),
                if row.passed { "works" } else { "FAILS" }.to_owned(),
            ]
        });
        ui::table(&head, lines)
    }

    fn differences(&self) -> String {
        let head = ["IOMMU", "device", "place", "Xen's own vPCI", "the library", "reason"];
        let lines = self.differences.iter().map(|d| {
            let reason = d.reason.clone().unwrap_or_else(|| "UNEXPLAINED".to_owned());
            vec![d.iommu.clone(), d.device.clone(), d.place.clone(), d.c.clone(), d.rust.clone(), reason]
        });
        ui::table(&head, lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{protocol::Check, xen_state::XenState};

    /// What a boot shows where everything works.
    fn good(data: &Data) -> Seen {
        let mut seen =
            Seen { before: Some(XenState::default()), after: Some(XenState::default()), ..Seen::default() };
        let mut interrupts = Vec::new();
        for (irq, device) in DEVICES.iter().enumerate() {
            for name in required(device.kind, true) {
                let detail = data.expected(device.kind, name).unwrap_or_default();
                let (device, name) = (device.name.to_owned(), name.to_owned());
                seen.transcript.checks.push(Check { device, name, verdict: Verdict::Ok, detail });
            }
            interrupts.push(format!(
                "device {} {irq} {}",
                device.name,
                if device.msix { "msix" } else { "msi" }
            ));
            interrupts.push(format!(" {irq}: 5 6 PCI-MSI"));
        }
        let storm = "check dom0 replug-all ok 28 times";
        seen.transcript.take(storm);
        seen.transcript.take("check dom0 hidden ok ffffffff");
        seen.transcript.blocks.insert("interrupts".to_owned(), interrupts);
        seen.transcript.blocks.insert("problems".to_owned(), Vec::new());
        seen
    }

    fn failures(change: impl FnOnce(&mut Seen)) -> Vec<String> {
        let data = Data::draw().unwrap();
        let mut seen = good(&data);
        change(&mut seen);
        let rows = rows("rust", Iommu::Intel, &seen, &data, true, true);
        assert_eq!(rows.len(), DEVICES.len() + 1);
        assert!(rows.iter().all(|r| r.passed == r.failed.is_empty()));
        rows.iter().flat_map(|r| r.failed.iter().map(|f| format!("{}: {f}", r.device))).collect()
    }

    #[test]
    fn a_good_boot_passes() {
        assert_eq!(failures(|_| ()), [""; 0]);
    }

    #[test]
    fn a_check_that_never_came_fails() {
        let found = failures(|seen| {
            seen.transcript.checks.retain(|c| (c.device.as_str(), c.name.as_str()) != ("xhci", "reset"));
        });
        assert_eq!(found, ["xhci: reset: not reached"]);
    }

    #[test]
    fn a_hidden_function_that_is_seen_fails() {
        let found = failures(|seen| {
            seen.transcript.checks.retain(|c| c.name != "hidden");
            seen.transcript.take("check dom0 hidden fail dom0 found it");
        });
        assert_eq!(found, ["dom0: hidden: dom0 found it"]);
    }

    #[test]
    fn a_wrong_checksum_fails_whatever_dom0_says() {
        let found = failures(|seen| {
            for check in &mut seen.transcript.checks {
                if (check.device.as_str(), check.name.as_str()) == ("ahci", "io") {
                    check.detail = "00".to_owned();
                }
            }
        });
        assert_eq!(found, ["ahci: io: the checksum is 00"]);
    }

    #[test]
    fn silent_or_wrong_interrupts_fail() {
        let found = failures(|seen| {
            for line in seen.transcript.blocks.get_mut("interrupts").unwrap() {
                *line = line.replace("nvme0 0 msix", "nvme0 0 msi").replace(" 1: 5 6", " 1: 0 0");
            }
        });
        assert_eq!(found, ["nvme0: interrupts are msi, not msix", "e1000e: no interrupt came"]);
    }

    #[test]
    fn a_leak_a_complaint_and_a_bad_disk_fail() {
        let found = failures(|seen| {
            seen.after = Some(XenState { bound: 1, ..XenState::default() });
            seen.transcript.blocks.insert("problems".to_owned(), vec!["WARNING: x".to_owned()]);
            seen.disks.push(("nvme1".to_owned(), false));
        });
        assert_eq!(
            found,
            [
                "nvme1: the disk does not hold what was written",
                "dom0: WARNING: x",
                "dom0: interrupts bound to dom0: 0 before, 1 after"
            ]
        );
    }

    #[test]
    fn a_boot_that_ends_early_fails_every_row() {
        let data = Data::draw().unwrap();
        assert!(rows("rust", Iommu::Amd, &Seen::default(), &data, true, true).iter().all(|r| !r.passed));
    }
}
