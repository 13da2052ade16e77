//! What Xen's console key `M` tells of guests' devices.

use std::collections::BTreeMap;

use super::launched::Audit;

/// Reasons as the key names them, and as the loader does.
const REASONS: [(&str, &str); 15] = [
    ("hidden writes", "hidden-write"),
    ("BAR writes", "bar-mapped"),
    ("ROM writes", "rom-mapped"),
    ("MSI-X accesses", "msix-access"),
    ("mappings", "map"),
    ("unmappings", "unmap"),
    ("MSI-X holes", "hole"),
    ("interrupts", "interrupt"),
    ("capabilities", "capability"),
    ("accesses", "access"),
    ("read-only bits", "read-only"),
    ("BAR moves", "bar-moved"),
    ("resets", "reset"),
    ("BAR placements", "placement"),
    ("VPD writes", "vpd"),
];

fn reason(name: &str) -> String {
    REASONS.iter().find(|(key, _)| *key == name).map_or(name, |(_, loader)| loader).to_owned()
}

/// What was refused on each device of a domain, from the lines of all domains.
pub(super) fn audits(lines: &[String], domain: u16) -> BTreeMap<String, Audit> {
    let head = format!("vPCI devices of d{domain}");
    let mut all = BTreeMap::new();
    let mut current: Option<&mut Audit> = None;
    let of_domain = lines.iter().skip_while(|line| **line != head).skip(1);
    for line in of_domain.take_while(|line| !line.starts_with("vPCI devices of ")) {
        let text = line.trim_start();
        let (counter, record) = (counter(text), record(text));
        if let Some(audit) = current.as_mut().filter(|_| counter.is_some() || record.is_some()) {
            audit.counters.extend(counter);
            audit.ring.extend(record);
        } else if let Some((device, _slot)) = text.split_once(" at ") {
            current = Some(all.entry(device.to_owned()).or_default());
        }
    }
    all
}

/// `refused BAR moves: 3`
fn counter(text: &str) -> Option<(String, u64)> {
    let (name, count) = text.strip_prefix("refused ")?.split_once(": ")?;
    Some((reason(name), count.parse().ok()?))
}

/// `#12 BAR moves: 4 bytes at 010, value fee00000`, as the loader has it: `bar-moved 010 4 fee00000`.
fn record(text: &str) -> Option<(u64, String)> {
    let (number, rest) = text.strip_prefix('#')?.split_once(' ')?;
    let (name, rest) = rest.split_once(": ")?;
    let (bytes, rest) = rest.split_once(" bytes at ")?;
    let (offset, value) = rest.split_once(", value ")?;
    let value = u32::from_str_radix(value, 16).ok()?;
    Some((number.parse().ok()?, format!("{} {offset} {bytes} {value:x}", reason(name))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the key prints of a device: each of these reasons once, in this order.
    pub(in super::super) fn print(device: &str, reasons: &[&str]) -> Vec<String> {
        let names = reasons.iter().map(|r| REASONS.iter().find(|(_, loader)| loader == r).unwrap().0);
        let mut lines = vec![format!("{device} at 0000:00:01.0")];
        lines.extend(names.clone().map(|name| format!("  refused {name}: 1")));
        let records = names.enumerate().map(|(n, name)| (reasons.len() - n, name));
        lines.extend(records.map(|(n, name)| format!("  #{n} {name}: 2 bytes at 004, value 0000ffff")));
        lines
    }

    const TEXT: &str = "MSI information:\n MSI-X   28 vec=31  fixed\nvPCI devices of d0\n0000:00:03.0\n  refused BAR writes: 9\n\
        vPCI devices of d7\n0000:00:02.0 at 0000:00:01.0\n  refused hidden writes: 1\n  refused BAR moves: 2\n\
          #3 BAR moves: 4 bytes at 010, value fee00000\n  #2 hidden writes: 1 bytes at 040, value 00000001\n\
          MSI-X entries 65\n      0 open: vec=40 fixed edge dest=0 pirq=55\n0000:00:03.0 at 0000:00:02.0\nCPU\tNMI\n";

    #[test]
    fn finds_a_domain_s_devices() {
        let lines: Vec<String> = TEXT.lines().map(str::to_owned).collect();
        let all = audits(&lines, 7);
        assert_eq!(all.len(), 2);
        assert_eq!(all["0000:00:03.0"], Audit::default());
        let audit = &all["0000:00:02.0"];
        assert_eq!(audit.counters, [("hidden-write".to_owned(), 1), ("bar-moved".to_owned(), 2)].into());
        let ring = [(3, "bar-moved 010 4 fee00000".to_owned()), (2, "hidden-write 040 1 1".to_owned())];
        assert_eq!(audit.ring, ring);
        assert!(audits(&lines, 5).is_empty());
    }
}
