//! What Xen's debug keys say that dom0 holds: the measure of a leak.

use std::collections::BTreeMap;

use serde::Serialize;

/// The keys to press, each with the line its answer starts with. The last one only marks the end of the one before: a
/// handler runs to its end before the next starts.
pub(crate) const KEYS: [(u8, &str); 4] = [
    (b'Q', "==== PCI devices ===="),
    (b'i', "IRQ information:"),
    (b'M', "MSI information:"),
    (b'n', "CPU\tNMI"),
];

/// dom0's share of Xen's interrupts and handlers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct XenState {
    /// MSI entries by device.
    pub msis: BTreeMap<String, usize>,
    /// Interrupts bound to dom0, of any kind.
    pub bound: usize,
    /// MSI and MSI-X entries of all devices, those of the IOMMU and of timers left out.
    pub entries: usize,
    /// dom0's handlers of I/O, of which a domain has room for 32; Xen's own vPCI does not tell.
    pub handlers: Option<usize>,
}

impl XenState {
    /// Reads the answers to [`KEYS`], the `(XEN) ` in front of each line taken off.
    pub(crate) fn parse(lines: &[String]) -> Self {
        let mut state = Self::default();
        for line in lines {
            let text = line.trim_start();
            if let Some((device, count)) = device_line(text) {
                state.msis.insert(device.to_owned(), count);
            } else if text.starts_with("IRQ:") && text.contains("d0:") {
                state.bound += 1;
            } else if ["MSI ", "MSI-X "].iter().any(|k| text.starts_with(k)) && text.contains("vec=") {
                state.entries += 1;
            } else if let Some(count) = handlers(text) {
                state.handlers = Some(count);
            }
        }
        state
    }

    /// What this state holds more than an earlier one, as text; empty if nothing.
    pub(crate) fn leaked_since(&self, before: &Self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut compare = |what: &str, before: usize, after: usize| {
            if before != after {
                leaks.push(format!("{what}: {before} before, {after} after"));
            }
        };
        compare("interrupts bound to dom0", before.bound, self.bound);
        compare("MSI entries", before.entries, self.entries);
        compare("I/O handlers", before.handlers.unwrap_or(0), self.handlers.unwrap_or(0));
        let devices = before.msis.keys().chain(self.msis.keys().filter(|d| !before.msis.contains_key(*d)));
        for device in devices {
            let of = |state: &Self| state.msis.get(device).copied().unwrap_or(0);
            compare(&format!("MSI entries of {device}"), of(before), of(self));
        }
        leaks
    }
}

/// `0000:00:02.0 - d0 - node -1  - MSIs < 28 29 >`
fn device_line(text: &str) -> Option<(&str, usize)> {
    let (device, rest) = text.split_once(" - ")?;
    if !rest.contains("node") || device.len() != "0000:00:00.0".len() {
        return None;
    }
    let listed = rest.split_once("MSIs <").and_then(|(_, l)| l.split_once('>')).map_or("", |(l, _)| l);
    Some((device, listed.split_whitespace().count()))
}

/// `d0 has 7 I/O handlers`
fn handlers(text: &str) -> Option<usize> {
    text.strip_prefix("d0 has ")?.strip_suffix(" I/O handlers")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> XenState {
        XenState::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    const TEXT: &str = "==== PCI devices ====\n==== segment 0000 ====\n\
        0000:00:02.0 - d0 - node -1  - MSIs < 28 29 >\n0000:00:1f.0 - d0 - node -1 \nIRQ information:\n\
           IRQ:   1 vec:f0 IO-APIC-edge status=010 aff:{0}/{0} in-flight=0 d0:  1(---)\n\
           IRQ:  28 vec:31 PCI-MSI/-X status=010 aff:{0}/{0} in-flight=0 d0: 55(---)\n\
           IRQ:  24 vec:28 IOMMU-MSI status=000 aff:{0}/{0} iommu_page_fault()\n\
        MSI information:\n IOMMU   24 vec=28  fixed  edge   assert  phys    cpu dest=00000000 mask=0/  /?\n\
         MSI-X   28 vec=31  fixed  edge   assert  phys    cpu dest=00000000 mask=1/  /0\n\
        vPCI devices of d0\nd0 has 7 I/O handlers\n0000:00:02.0\nvPCI devices of d4\nd4 has 9 I/O handlers\n";

    #[test]
    fn counts_what_dom0_holds() {
        let state = state(TEXT);
        assert_eq!((state.bound, state.entries, state.handlers), (2, 1, Some(7)));
        assert_eq!(state.msis, [("0000:00:02.0".into(), 2), ("0000:00:1f.0".into(), 0)].into());
    }

    #[test]
    fn names_a_leak() {
        let before = state(TEXT);
        assert!(before.leaked_since(&before).is_empty());
        let after = state(&TEXT.replace("28 29 >", "28 29 30 >"));
        assert_eq!(after.leaked_since(&before), ["MSI entries of 0000:00:02.0: 2 before, 3 after"]);
        let after = state(&TEXT.replace("d0 has 7", "d0 has 8"));
        assert_eq!(after.leaked_since(&before), ["I/O handlers: 7 before, 8 after"]);
    }
}
