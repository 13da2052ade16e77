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
    whole,
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
    whole::judge(seen, &mut line.held, &mut line.failed);
    match views(seen) {
        Ok(held) => line.held.extend(held),
        Err(failed) => line.failed.push(failed),
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

#[cfg(test)]
mod tests {
    use super::*;

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
