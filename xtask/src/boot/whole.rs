//! What a boot left behind.

use super::session::Seen;

/// Adds what held, and what did not: dom0's log, what dom0 has of Xen before and after, DMA.
pub(super) fn judge(seen: &Seen, held: &mut Vec<String>, failed: &mut Vec<String>) {
    match seen.transcript.blocks.get("problems") {
        Some(lines) if lines.is_empty() => held.push("no complaint in dom0's log".to_owned()),
        Some(lines) => failed.extend(lines.iter().cloned()),
        None => failed.push("not done".to_owned()),
    }
    match (&seen.before, &seen.after) {
        (Some(before), Some(after)) => {
            let leaks = after.leaked_since(before);
            match after.handlers {
                Some(handlers) if leaks.is_empty() => {
                    let (bound, entries) = (after.bound, after.entries);
                    held.push(format!(
                        "{bound} interrupts, {entries} MSI entries, {handlers} I/O handlers before and after"
                    ));
                }
                Some(_) => failed.extend(leaks),
                None => failed.push("I/O handlers: not told".to_owned()),
            }
        }
        _ => failed.push("Xen's state: not reached".to_owned()),
    }
    match memory(seen.transcript.block("state-before"), seen.transcript.block("state-after")) {
        Ok(text) => held.push(text),
        Err(wrong) => failed.push(wrong),
    }
    match seen.faults.first() {
        None => held.push("no DMA stopped by the IOMMU".to_owned()),
        Some(first) => failed.push(format!("{} DMA faults: {first}", seen.faults.len())),
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
    use crate::boot::xen_state::XenState;

    /// What Xen tells of a dom0 that has nothing.
    pub(in crate::boot) fn told() -> XenState {
        XenState { handlers: Some(7), ..XenState::default() }
    }

    /// What `loader state` prints.
    pub(in crate::boot) fn state(free: u32) -> Vec<String> {
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
    fn handlers_have_to_be_told() {
        let silent = XenState::default();
        let seen = Seen { before: Some(silent.clone()), after: Some(silent), ..Seen::default() };
        let (mut held, mut failed) = (Vec::new(), Vec::new());
        judge(&seen, &mut held, &mut failed);
        assert!(failed.contains(&"I/O handlers: not told".to_owned()));
    }
}
