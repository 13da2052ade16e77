//! What the guests showed, as a table with a verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    console,
    launched::{self, All, Launched},
    rows::CONSOLE_KEY,
    scenario::{End, Row, System, Table},
    trace, whole,
};
use crate::boot::{
    devices::Kind,
    machine::{Data, Iommu},
    outcome,
    protocol::{Check, Transcript, Verdict},
    session::Seen,
};

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub iommu: Iommu,
    pub row: String,
    pub system: String,
    pub devices: String,
    /// What was checked and held.
    pub held: Vec<String>,
    /// What did not hold, or was not reached.
    pub failed: Vec<String>,
    /// What the audit says was refused, by the row's last guest.
    pub refused: Vec<String>,
    pub passed: bool,
}

impl Line {
    fn new(iommu: Iommu, row: &str) -> Self {
        Self {
            iommu,
            row: row.to_owned(),
            system: String::new(),
            devices: String::new(),
            held: Vec::new(),
            failed: Vec::new(),
            refused: Vec::new(),
            passed: false,
        }
    }
}

/// What is wrong with one guest.
fn judge(row: &Row, guest: &Launched, said: Option<&Transcript>, data: &Data) -> Vec<String> {
    let mut wrong = guest.failed.clone();
    match &guest.end {
        Some(end) if end != row.end.line() => wrong.push(format!("{end}, not {}", row.end.line())),
        None if wrong.is_empty() => wrong.push("not launched".to_owned()),
        _ => {}
    }
    let checks = || said.into_iter().chain([&guest.said]).flat_map(|t| &t.checks);
    for check in checks().filter(|c| c.verdict == Verdict::Fail) {
        wrong.push(format!("{} {}: {}", check.device, check.name, check.detail));
    }
    if said.is_none_or(|t| t.checks.is_empty()) {
        wrong.push("it checked nothing".to_owned());
    }
    let worked = checks().filter(|c| c.name == "io" && c.verdict == Verdict::Ok).count();
    if matches!(row.system, System::Tiny(_)) && worked != row.devices.len() {
        wrong.push(format!("{worked} of {} devices worked", row.devices.len()));
    }
    for name in row.checks.iter().copied().flatten() {
        match checks().find(|c| c.name == *name && c.verdict != Verdict::Skip) {
            Some(check) => wrong.extend(content(check, data)),
            None => wrong.push(format!("{name}: not reached")),
        }
    }
    for (device, audit) in &guest.audit {
        wrong.extend(audit.wrong(row.refused).into_iter().map(|w| format!("audit of {device}: {w}")));
    }
    if !row.refused.is_empty() && guest.audit.len() != row.devices.len() {
        wrong.push("nothing was refused".to_owned());
    }
    wrong
}

/// What is wrong with what Linux found on a disk, as a guest or as dom0. dom0 also says how many interrupts came.
fn content(check: &Check, data: &Data) -> Option<String> {
    let (sum, interrupts) = check.detail.split_once(' ').unwrap_or((&check.detail, ""));
    // The payload is what dom0 writes elsewhere, by this name.
    let name = match check.name.as_str() {
        "filled" => "io",
        "host-data" | "driven" => "host-data",
        _ => return None,
    };
    let good = data.expected(Kind::Nvme, name).as_deref() == Some(sum);
    if !good {
        return Some(format!("{}: the checksum is {sum}", check.name));
    }
    let came = interrupts.parse().is_ok_and(|count: u64| count > 0);
    (check.name == "driven" && !came).then(|| format!("{}: no interrupt came", check.name))
}

/// Compares what Xen's console key told while a guest lived with what the domctl told.
fn key(guest: &Launched, asked: &BTreeMap<String, Vec<String>>) -> Result<String, String> {
    let (Some(lines), Some(domain)) = (asked.get("refusals"), guest.domain) else {
        return Err("the console key: not reached".to_owned());
    };
    let told = console::audits(lines, domain);
    let records: usize = told.values().map(|audit| audit.ring.len()).sum();
    if told == guest.audit && records > 0 {
        Ok(format!("the console key tells the same, {records} records"))
    } else {
        Err(format!("the console key tells {told:?}"))
    }
}

/// The kind of a device's interrupts and how often they came, of `interrupts` checks: `msix 24: 5 0 xen-pirq ...`.
fn interrupts(said: &Transcript) -> (bool, u64) {
    let lines = said.checks.iter().filter(|c| c.name == "interrupts");
    lines.fold((true, 0), |(msix, count), check| {
        let mut words = check.detail.split_whitespace();
        let kind = words.next();
        let numbers = words.skip(1).map_while(|w| w.parse::<u64>().ok());
        (msix && kind == Some("msix"), count + numbers.sum::<u64>())
    })
}

/// The lines of one boot.
pub(super) fn lines(table: Table, iommu: Iommu, names: &[String], seen: &Seen, data: &Data) -> Vec<Line> {
    let guests = launched::read(&seen.transcript.notes);
    let mut lines: Vec<Line> =
        table.rows(iommu, names).map(|row| line(iommu, row, &guests, seen, data)).collect();
    let mut whole = Line::new(iommu, "dom0");
    whole::judge(table, &mut whole, &guests, seen);
    lines.push(whole);
    for line in &mut lines {
        line.passed = line.failed.is_empty();
    }
    lines
}

fn line(iommu: Iommu, row: &Row, guests: &All<'_>, seen: &Seen, data: &Data) -> Line {
    let mut line = Line::new(iommu, row.name);
    let system = match row.system {
        System::Tiny(_) => "tiny",
        System::Linux { .. } => "Linux",
    };
    system.clone_into(&mut line.system);
    line.devices = row.devices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let (mut checks, mut good) = (0, 0);
    for round in 1..=row.times {
        let mark = if row.times > 1 { format!("guest {round}: ") } else { String::new() };
        let Some(guest) = guests.get(&(row.name, round)) else {
            line.failed.push(format!("{mark}not reached"));
            continue;
        };
        let said = guest.domain.and_then(|domain| seen.guests.get(&domain));
        let mut wrong = judge(row, guest, said, data);
        if row.name == CONSOLE_KEY {
            match key(guest, &seen.asked) {
                Ok(held) => line.held.push(held),
                Err(failed) => wrong.push(failed),
            }
        }
        let held = |t: &Transcript| t.checks.iter().filter(|c| c.verdict == Verdict::Ok).count();
        checks += said.map_or(0, held) + held(&guest.said);
        line.refused = guest.audit.values().map(launched::Audit::summary).collect();
        let served = said.map(|said| trace::judge(row, guest, said));
        let (served, unserved) = served.unwrap_or_default();
        let wrong: Vec<String> = wrong.into_iter().chain(unserved).collect();
        good += u32::from(wrong.is_empty());
        line.held.extend(served.into_iter().map(|s| format!("{mark}{s}")));
        line.failed.extend(wrong.into_iter().map(|w| format!("{mark}{w}")));
        if let (System::Linux { .. }, Some(said)) = (row.system, said) {
            match interrupts(said) {
                (true, count) if count > 0 => line.held.push(format!("MSI-X, {count} came")),
                (msix, count) => line.failed.push(format!("interrupts: MSI-X {msix}, {count} came")),
            }
        }
    }
    let end = match row.end {
        End::Poweroff => "",
        End::Reboot => ", which reboot",
        End::Crash => ", which crash with the device in use",
        End::Killed => ", which are destroyed while they wait",
    };
    line.held.insert(0, format!("{good} of {} guests{end}, {checks} checks", row.times));
    line
}

impl outcome::Line for Line {
    const HEAD: &'static [&'static str] =
        &["IOMMU", "guests", "system", "devices", "checks", "refused, and the last one", "verdict"];

    fn passed(&self) -> bool {
        self.passed
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.iommu.name().to_owned(),
            self.row.clone(),
            self.system.clone(),
            self.devices.clone(),
            outcome::checks(&self.held, &self.failed),
            self.refused.join("\n"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{
        guest::rows::TABLE,
        whole::tests::{state, told},
        xen_state::XenState,
    };

    /// What a boot shows where everything works.
    fn good(data: &Data) -> Seen {
        let mut seen = Seen { before: Some(told()), after: Some(told()), ..Seen::default() };
        let mut domain = 0;
        for row in TABLE.rows(Iommu::Intel, &[]) {
            for round in 1..=row.times {
                domain += 1;
                let mut note =
                    |text: &str| seen.transcript.notes.push(format!("guest {} {round} {text}", row.name));
                note(&format!("domain {domain}"));
                for (device, _) in row.devices {
                    for (number, reason) in row.refused.iter().enumerate() {
                        note(&format!("audit {device} {reason} 1"));
                        note(&format!("ring {device} {} {reason} 004 2 ffff", row.refused.len() - number));
                    }
                }
                note(row.end.line());
                if row.name == CONSOLE_KEY {
                    let mut lines = vec![format!("vPCI devices of d{domain}")];
                    lines.extend(row.devices.iter().flat_map(|(d, _)| console::tests::print(d, row.refused)));
                    seen.asked.insert("refusals".to_owned(), lines);
                }
                let said = seen.guests.entry(domain).or_default();
                said.take("check nvme alive ok");
                if matches!(row.system, System::Tiny(_)) {
                    row.devices.iter().for_each(|(d, _)| _ = said.take(&format!("check {d} io ok 8")));
                }
                for name in row.checks.iter().copied().flatten() {
                    let detail = match *name {
                        "filled" => data.expected(Kind::Nvme, "io").unwrap(),
                        "host-data" => data.expected(Kind::Nvme, "host-data").unwrap(),
                        "driven" => format!("{} 12", data.expected(Kind::Nvme, "host-data").unwrap()),
                        _ => "msix 24: 5 0 xen".to_owned(),
                    };
                    said.take(&format!("check linux {name} ok {detail}"));
                }
            }
        }
        seen.transcript.take("check dom0 virtual-function ok 0000:00:04.1");
        for name in ["state-before", "state-after"] {
            seen.transcript.blocks.insert(name.to_owned(), state(100));
        }
        seen.transcript.blocks.insert("problems".to_owned(), Vec::new());
        seen
    }

    fn failures(change: impl FnOnce(&mut Seen)) -> Vec<String> {
        let data = Data::draw().unwrap();
        let mut seen = good(&data);
        change(&mut seen);
        let lines = lines(TABLE, Iommu::Intel, &[], &seen, &data);
        assert_eq!(lines.len(), TABLE.rows(Iommu::Intel, &[]).count() + 1);
        lines.iter().flat_map(|l| l.failed.iter().map(|f| format!("{}: {f}", l.row))).collect()
    }

    /// The row's first guest.
    fn domain(seen: &Seen, row: &str) -> u16 {
        launched::read(&seen.transcript.notes)[&(row, 1)].domain.unwrap()
    }

    #[test]
    fn a_good_boot_passes() {
        assert_eq!(failures(|_| ()), [""; 0]);
    }

    #[test]
    fn a_boot_that_ends_early_fails_every_row() {
        let data = Data::draw().unwrap();
        assert!(lines(TABLE, Iommu::Amd, &[], &Seen::default(), &data).iter().all(|l| !l.passed));
    }

    #[test]
    fn a_failed_check_a_silent_guest_and_another_end_fail() {
        let found = failures(|seen| {
            let (first, ahci) = (domain(seen, "twenty"), domain(seen, "ahci"));
            seen.guests.get_mut(&first).unwrap().take("check nvme dma fail 0x5");
            seen.guests.remove(&ahci);
            for note in &mut seen.transcript.notes {
                *note = note.replace("guest twenty 7 shutdown poweroff", "guest twenty 7 shutdown crash");
            }
        });
        assert_eq!(
            found,
            [
                "ahci: it checked nothing",
                "ahci: 0 of 1 devices worked",
                "ahci: 35-absent-functions: not reached",
                "ahci: 38-refusal-flood: not reached",
                "twenty: guest 1: nvme dma: 0x5",
                "twenty: guest 7: shutdown crash, not shutdown poweroff"
            ]
        );
    }

    #[test]
    fn a_device_that_nobody_works_with_fails() {
        let found = failures(|seen| {
            let first = domain(seen, "first");
            let io = seen.guests.get_mut(&first).unwrap().checks.iter_mut().find(|c| c.name == "io");
            io.unwrap().verdict = Verdict::Skip;
        });
        assert_eq!(found, ["first: guest 1: 2 of 3 devices worked"]);
    }

    #[test]
    fn a_check_that_is_skipped_is_not_reached() {
        let found = failures(|seen| {
            let firmware = domain(seen, "firmware");
            let said = seen.guests.get_mut(&firmware).unwrap();
            said.checks.retain(|check| check.name != "firmware");
            said.take("check 00:01.0 firmware skip no driver");
        });
        assert_eq!(found, ["firmware: firmware: not reached"]);
    }

    #[test]
    fn a_wrong_checksum_and_no_interrupt_fail() {
        let found = failures(|seen| {
            let linux = domain(seen, "linux");
            for check in &mut seen.guests.get_mut(&linux).unwrap().checks {
                check.detail = check.detail.replace("msix 24: 5", "msix 24: 0");
                if check.name == "host-data" {
                    check.detail = "00".to_owned();
                }
            }
        });
        assert_eq!(found, ["linux: host-data: the checksum is 00", "linux: interrupts: MSI-X true, 0 came"]);
    }

    #[test]
    fn a_refusal_that_nobody_counted_fails() {
        let found = failures(|seen| {
            seen.transcript
                .notes
                .retain(|n| !n.starts_with("guest e1000e 1 audit") || !n.contains("bar-moved"));
            seen.transcript
                .notes
                .retain(|n| !n.starts_with("guest nvme 1 audit") && !n.starts_with("guest nvme 1 ring"));
        });
        assert_eq!(found[0], "nvme: nothing was refused");
        assert!(found[1].contains("no refusal of kind bar-moved"), "{found:?}");
    }

    #[test]
    fn a_console_key_that_tells_something_else_fails() {
        let found = failures(|seen| {
            seen.asked.get_mut("refusals").unwrap().retain(|line| !line.contains("BAR moves"));
        });
        assert!(found[0].starts_with("console-key: the console key tells {"), "{found:?}");
        let found = failures(|seen| seen.asked.clear());
        assert_eq!(found, ["console-key: the console key: not reached"]);
    }

    #[test]
    fn what_the_loader_and_dom0_find_counts() {
        let found = failures(|seen| {
            seen.transcript.take("note guest rule 1 check place most-vpd fail E2BIG");
            seen.transcript.checks.clear();
            let given_back = domain(seen, "given-back");
            for check in &mut seen.guests.get_mut(&given_back).unwrap().checks {
                check.detail = check.detail.replace(" 12", " 0");
            }
        });
        assert_eq!(
            found,
            [
                "rule: place most-vpd: E2BIG",
                "given-back: guest 1: driven: no interrupt came",
                "dom0: virtual-function: not reached"
            ]
        );
    }

    #[test]
    fn a_leak_and_a_bad_disk_fail() {
        let found = failures(|seen| {
            seen.after = Some(XenState { bound: 1, ..told() });
            seen.transcript.blocks.insert("state-after".to_owned(), state(95));
            seen.disks.push(("nvme0".to_owned(), false));
        });
        assert_eq!(
            found,
            [
                "dom0: interrupts bound to dom0: 0 before, 1 after",
                "dom0: before: dom0-pages 9, guests 0, free-pages 100; after: dom0-pages 9, guests 0, free-pages 95",
                "dom0: nvme0 does not hold what Linux wrote"
            ]
        );
    }
}
