//! What a boot with guests left behind, and what they agree about.

use std::collections::BTreeMap;

use super::{
    launched::All,
    report::Line,
    scenario::{System, Table},
};
use crate::boot::{
    protocol::{Check, Transcript, Verdict},
    session::Seen,
};

/// Adds what held, and what did not.
pub(super) fn judge(table: Table, line: &mut Line, guests: &All<'_>, seen: &Seen) {
    for check in seen.transcript.checks.iter().filter(|c| c.verdict == Verdict::Fail) {
        line.failed.push(format!("{}: {}", check.name, check.detail));
    }
    let made = |c: &&Check| c.verdict == Verdict::Ok && c.name == "virtual-function";
    match seen.transcript.checks.iter().find(made) {
        Some(check) => line.held.push(format!("virtual function {} made", check.detail)),
        None => line.failed.push("virtual-function: not reached".to_owned()),
    }
    match seen.transcript.blocks.get("problems") {
        Some(lines) if lines.is_empty() => line.held.push("no complaint in dom0's log".to_owned()),
        Some(lines) => line.failed.extend(lines.iter().cloned()),
        None => line.failed.push("not done".to_owned()),
    }
    match (&seen.before, &seen.after) {
        (Some(before), Some(after)) => {
            let leaks = after.leaked_since(before);
            if leaks.is_empty() {
                let (bound, entries) = (after.bound, after.entries);
                line.held.push(format!("{bound} interrupts, {entries} MSI entries before and after"));
            }
            line.failed.extend(leaks);
        }
        _ => line.failed.push("Xen's state: not reached".to_owned()),
    }
    match memory(seen.transcript.block("state-before"), seen.transcript.block("state-after")) {
        Ok(held) => line.held.push(held),
        Err(failed) => line.failed.push(failed),
    }
    match views(seen) {
        Ok(held) => line.held.extend(held),
        Err(failed) => line.failed.push(failed),
    }
    match seen.faults.first() {
        None => line.held.push("no DMA stopped by the IOMMU".to_owned()),
        Some(first) => line.failed.push(format!("{} DMA faults: {first}", seen.faults.len())),
    }
    let filled = table.rows.iter().any(|row| {
        matches!(row.system, System::Linux { fill: true, .. }) && guests.contains_key(&(row.name, 1))
    });
    for (device, good) in seen.disks.iter().filter(|(device, _)| filled && device == "nvme0") {
        if *good {
            line.held.push(format!("{device} seen from outside"));
        } else {
            line.failed.push(format!("{device} does not hold what Linux wrote"));
        }
    }
}

/// The extended capabilities of a function are the same to every guest and system. Those that tell of any have the same devices,
/// each in one slot.
fn views(seen: &Seen) -> Result<Option<String>, String> {
    let mut views: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let told = |said: &Transcript| said.checks.iter().any(|c| c.name == "extended-capabilities");
    let guests = seen.guests.values().filter(|said| told(said)).count();
    let checks = seen.guests.values().flat_map(|said| &said.checks);
    for check in checks.filter(|c| c.name == "extended-capabilities") {
        views.entry(&check.device).or_default().push(&check.detail);
    }
    let text = |(device, lists): (&&str, &Vec<&str>)| format!("{device}: {}", lists.join(", "));
    let same = |lists: &Vec<&str>| lists.len() == guests && lists.iter().all(|l| Some(l) == lists.first());
    match views.iter().find(|(_, lists)| !same(lists)) {
        Some(view) => Err(format!("extended capabilities differ in {guests} guests, {}", text(view))),
        None if views.is_empty() => Ok(None),
        None => Ok(Some(format!(
            "extended capabilities to each guest: {}",
            views.iter().map(text).collect::<Vec<_>>().join("; ")
        ))),
    }
}

/// Free pages that may be more or fewer after all guests: Xen's heap holds small objects in pages that it gives back only
/// when they are empty. A page that each guest costs is ten times as much.
const NOISE: u64 = 4;

/// Compares what `loader state` printed.
fn memory(before: &[String], after: &[String]) -> Result<String, String> {
    let text = format!("before: {}; after: {}", before.join(", "), after.join(", "));
    let numbers = |lines: &[String]| -> Option<[u64; 3]> {
        let of = |name: &str| lines.iter().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some([of("dom0-pages ")?, of("guests ")?, of("free-pages ")?])
    };
    match (numbers(before), numbers(after)) {
        (Some([pages, 0, free]), Some([pages_now, 0, free_now]))
            if pages == pages_now && free.abs_diff(free_now) <= NOISE =>
        {
            Ok(format!(
                "no guest left, dom0 has {pages} pages before and after, {free} and {free_now} are free"
            ))
        }
        _ => Err(text),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What `loader state` prints.
    pub(in super::super) fn state(free: u32) -> Vec<String> {
        vec!["dom0-pages 9".to_owned(), "guests 0".to_owned(), format!("free-pages {free}")]
    }

    #[test]
    fn a_page_is_a_leak() {
        assert!(memory(&state(100), &state(96)).is_ok());
        assert!(memory(&state(100), &state(95)).is_err());
        assert!(memory(&[], &[]).is_err());
        let mut left = state(100);
        left[1] = "guests 1".to_owned();
        assert!(memory(&state(100), &left).is_err());
    }

    #[test]
    fn guests_that_see_other_extended_capabilities_fail() {
        let mut seen = Seen::default();
        assert_eq!(views(&seen), Ok(None));
        for (domain, list) in [(1, "0003@140"), (2, "0003@140")] {
            let said = seen.guests.entry(domain).or_default();
            said.take(&format!("check 00:08.0 extended-capabilities ok {list}"));
            said.take("check 00:04.0 extended-capabilities ok none");
        }
        assert!(views(&seen).unwrap().unwrap().contains("00:08.0: 0003@140, 0003@140"));
        let said = seen.guests.entry(3).or_default();
        said.take("check 00:08.0 extended-capabilities ok 0001@100 0003@140");
        said.take("check 00:04.0 extended-capabilities ok none");
        assert!(views(&seen).unwrap_err().contains("00:08.0"));
        seen.guests.get_mut(&3).unwrap().checks.clear();
        seen.guests.get_mut(&2).unwrap().checks.pop();
        assert!(views(&seen).unwrap_err().contains("differ in 2 guests, 00:04.0: none"));
    }
}
