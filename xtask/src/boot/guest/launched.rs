//! What the loader said of each guest.

use std::collections::BTreeMap;

use crate::boot::protocol::Transcript;

/// What was refused on one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// How often, by reason.
    pub counters: BTreeMap<String, u64>,
    /// The last refusals, the newest first: their number and the rest of the line.
    pub ring: Vec<(u64, String)>,
}

impl Audit {
    /// What is wrong with it, given the reasons that have to be there.
    pub(super) fn wrong(&self, reasons: &[&str]) -> Vec<String> {
        let missing = reasons.iter().filter(|r| !self.counters.contains_key(**r));
        let mut wrong: Vec<String> = missing.map(|r| format!("no refusal of kind {r} was counted")).collect();
        let all: u64 = self.counters.values().sum();
        let newest = self.ring.first().map_or(0, |(number, _)| *number);
        if newest != all {
            wrong.push(format!("{all} refusals were counted, and the newest in the ring is number {newest}"));
        }
        if !self.ring.iter().zip(self.ring.iter().skip(1)).all(|((a, _), (b, _))| *a == b + 1) {
            wrong.push("the ring has gaps".to_owned());
        }
        for (_, line) in &self.ring {
            let reason = line.split(' ').next().unwrap_or_default();
            if !self.counters.contains_key(reason) {
                wrong.push(format!("{reason} is in the ring and was not counted"));
            }
        }
        wrong
    }

    /// All of it in a line, with the newest entry.
    pub(super) fn summary(&self) -> String {
        let counts: Vec<String> = self.counters.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        let newest = self.ring.first().map_or(String::new(), |(number, line)| format!("; #{number} {line}"));
        format!("{}{newest}", counts.join(", "))
    }
}

/// One guest.
#[derive(Debug, Default)]
pub(super) struct Launched {
    pub domain: Option<u16>,
    /// The loader's last word.
    pub end: Option<String>,
    /// What it could not do.
    pub failed: Vec<String>,
    /// What it checked itself.
    pub said: Transcript,
    /// By device.
    pub audit: BTreeMap<String, Audit>,
    /// What its device-model servers said, by their number.
    pub servers: BTreeMap<u32, Vec<String>>,
}

/// All guests, by row and round.
pub(super) type All<'a> = BTreeMap<(&'a str, u32), Launched>;

/// Reads `guest ROW ROUND LINE` and `server ROW ROUND NUMBER LINE` notes.
pub(super) fn read(notes: &[String]) -> All<'_> {
    let mut all = All::new();
    for note in notes {
        let mut words = note.splitn(4, ' ');
        let (Some(who), Some(row), Some(round), Some(line)) =
            (words.next(), words.next(), words.next().and_then(|r| r.parse().ok()), words.next())
        else {
            continue;
        };
        let launched = all.entry((row, round)).or_default();
        match (who, line.split_once(' ')) {
            ("guest", _) => launched.take(line),
            ("server", Some((number, said))) => {
                if let Ok(number) = number.parse() {
                    launched.servers.entry(number).or_default().push(said.to_owned());
                }
            }
            _ => {}
        }
    }
    all
}

impl Launched {
    fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("domain", number)) => self.domain = number.parse().ok(),
            Some(("failed", what)) => self.failed.push(what.to_owned()),
            Some(("shutdown", _)) => self.end = Some(line.to_owned()),
            Some(("audit", what)) => {
                let mut words = what.splitn(3, ' ');
                if let (Some(device), Some(reason), Some(Ok(count))) =
                    (words.next(), words.next(), words.next().map(str::parse))
                {
                    self.audit
                        .entry(device.to_owned())
                        .or_default()
                        .counters
                        .insert(reason.to_owned(), count);
                }
            }
            Some(("ring", what)) => {
                let mut words = what.splitn(3, ' ');
                if let (Some(device), Some(Ok(number)), Some(rest)) =
                    (words.next(), words.next().map(str::parse), words.next())
                {
                    self.audit.entry(device.to_owned()).or_default().ring.push((number, rest.to_owned()));
                }
            }
            Some(("check", _)) => {
                self.said.take(line);
            }
            None if line == "killed" => self.end = Some(line.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|l| format!("guest nvme 1 {l}")).collect()
    }

    #[test]
    fn gathers_what_the_loader_says() {
        let notes = notes(&[
            "domain 7",
            "failed assigning 0000:00:02.0: EBUSY (Device or resource busy)",
            "audit 0000:00:02.0 reset 2",
            "ring 0000:00:02.0 2 reset 048 2 8000",
            "ring 0000:00:02.0 1 reset 048 2 8000",
            "check spoiled byte-more ok ENODATA",
            "shutdown crash",
        ]);
        let all = read(&notes);
        let guest = &all[&("nvme", 1)];
        assert_eq!(
            (guest.domain, guest.end.as_deref(), guest.failed.len()),
            (Some(7), Some("shutdown crash"), 1)
        );
        assert_eq!(guest.said.checks[0].name, "byte-more");
        let audit = &guest.audit["0000:00:02.0"];
        assert_eq!(audit.wrong(&["reset"]), [""; 0]);
        assert_eq!(audit.summary(), "reset 2; #2 reset 048 2 8000");
        assert_eq!(audit.wrong(&["vpd"]), ["no refusal of kind vpd was counted"]);
    }

    #[test]
    fn keeps_servers_apart() {
        let notes =
            ["server q 1 2 ready as 0", "server q 1 1 R 00:05.0 000 4 00281234", "server q 1 2 error x"]
                .map(str::to_owned);
        let servers = &read(&notes)[&("q", 1)].servers;
        assert_eq!(servers[&1], ["R 00:05.0 000 4 00281234"]);
        assert_eq!(servers[&2], ["ready as 0", "error x"]);
    }

    #[test]
    fn counters_and_ring_have_to_agree() {
        let audit = |counters: &[(&str, u64)], ring: &[(u64, &str)]| Audit {
            counters: counters.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect(),
            ring: ring.iter().map(|(n, l)| (*n, (*l).to_owned())).collect(),
        };
        assert_eq!(audit(&[], &[]).wrong(&[]), [""; 0]);
        assert_eq!(audit(&[("reset", 1)], &[]).wrong(&[]).len(), 1);
        assert_eq!(audit(&[("reset", 3)], &[(3, "reset"), (1, "reset")]).wrong(&[]), ["the ring has gaps"]);
        assert_eq!(
            audit(&[("reset", 1)], &[(1, "vpd 0")]).wrong(&[]),
            ["vpd is in the ring and was not counted"]
        );
    }
}
