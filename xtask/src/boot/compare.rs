//! What dom0 sees of its devices, side by side: with the library, and with Xen's own vPCI.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::report::Row;
use crate::run;

/// Where expected differences are listed, with their reasons.
pub(crate) const LIST: &str = "docs/differences.md";

/// Undoes `gzip | base64`.
pub(crate) fn unpack(lines: &[String]) -> Result<String> {
    ensure!(!lines.is_empty(), "dom0 sent no lspci");
    let text = lines.join("\n");
    let mut child = Command::new("sh")
        .args(["-c", "base64 -d | gzip -d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run sh")?;
    let mut stdin = child.stdin.take().context("sh has no stdin")?;
    let writer = thread::spawn(move || stdin.write_all(text.as_bytes()));
    let out = child.wait_with_output()?;
    let _ = writer.join();
    ensure!(
        out.status.success(),
        "dom0's lspci did not arrive whole: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// No function has a line more often than this.
const MANY: usize = 1000;

/// One function in `lspci -vvvxxxx`.
#[derive(Debug, Default)]
struct Function {
    /// The text, each line under the part before its first colon (and a count where that repeats).
    text: BTreeMap<String, String>,
    bytes: BTreeMap<usize, u8>,
}

/// Reads the output of `lspci -vvvxxxx`.
fn parse(lspci: &str) -> BTreeMap<String, Function> {
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    let mut current = String::new();
    for line in lspci.lines().filter(|l| !l.is_empty()) {
        if let Some((offset, bytes)) = hex_line(line) {
            let function = functions.entry(current.clone()).or_default();
            function.bytes.extend(bytes.into_iter().enumerate().map(|(i, b)| (offset + i, b)));
        } else if let Some(rest) = line.strip_prefix('\t') {
            let function = functions.entry(current.clone()).or_default();
            let rest = rest.trim();
            let key = rest.split_once(':').map_or(rest, |(key, _)| key);
            let count = (1..=MANY).find(|n| !function.text.contains_key(&numbered(key, *n))).unwrap_or(MANY);
            function.text.insert(numbered(key, count), rest.to_owned());
        } else if let Some((bdf, class)) = line.split_once(' ') {
            bdf.clone_into(&mut current);
            functions.entry(current.clone()).or_default().text.insert("Class".to_owned(), class.to_owned());
        }
    }
    functions
}

fn numbered(key: &str, count: usize) -> String {
    if count == 1 { key.to_owned() } else { format!("{key} #{count}") }
}

/// `1f0: 00 11 ...`
fn hex_line(line: &str) -> Option<(usize, Vec<u8>)> {
    let (offset, rest) = line.split_once(": ")?;
    let offset = usize::from_str_radix(offset, 16).ok()?;
    let bytes: Option<Vec<u8>> =
        rest.split(' ').map(|b| u8::from_str_radix(b, 16).ok().filter(|_| b.len() == 2)).collect();
    Some((offset, bytes?))
}

impl Function {
    fn byte(&self, offset: usize) -> u8 {
        self.bytes.get(&offset).copied().unwrap_or(0xff)
    }

    /// Takes out what Linux chooses anew at each boot, by the order in which its drivers happen to ask: the CPU and
    /// vector in an MSI capability's address and data, and the number of an IRQ.
    fn settle(&mut self) {
        let mut at = usize::from(self.byte(0x34)) & 0xfc;
        for _ in 0..48 {
            if at < 0x40 {
                break;
            }
            if self.byte(at) == 0x05 {
                let wide = self.byte(at + 2) & 0x80 != 0;
                let data = at + if wide { 12 } else { 8 };
                for offset in (at + 4..at + 8).chain(data..data + 2) {
                    self.bytes.insert(offset, 0);
                }
            }
            at = usize::from(self.byte(at + 1)) & 0xfc;
        }
        self.text.retain(|key, _| !key.starts_with("Address"));
        for (key, line) in &mut self.text {
            if key.starts_with("Interrupt") || key.starts_with("Capabilities") {
                let kept = line.split_once("IRQ ").map_or(line.as_str(), |(before, _)| before).to_owned();
                *line = kept;
            }
        }
    }
}

/// A place where the two differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub iommu: String,
    /// The function's address, or the name of a row of the table.
    pub device: String,
    /// A dword's offset (`0x034`), or what stands before the colon in a line of lspci's text.
    pub place: String,
    pub c: String,
    pub rust: String,
    /// Why it is expected; `None` if nobody expects it.
    pub reason: Option<String>,
}

/// An entry of [`LIST`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    device: String,
    place: String,
    reason: String,
}

impl Expected {
    /// Reads the list of the checkout.
    pub(crate) fn load() -> Result<Vec<Self>> {
        let path = run::workspace().join(LIST);
        Ok(Self::parse(
            &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        ))
    }

    /// Takes the table's rows whose first two cells are code: device (or `*`), place, reason.
    fn parse(markdown: &str) -> Vec<Self> {
        let row = |line: &str| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let code = |cell: &str| cell.strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
            Some(Self {
                device: code(cells.next()?)?,
                place: code(cells.next()?)?,
                reason: cells.next()?.to_owned(),
            })
        };
        markdown.lines().filter_map(row).collect()
    }

    fn covers(&self, difference: &Difference) -> bool {
        (self.device == "*" || self.device == difference.device) && self.place == difference.place
    }
}

/// Compares two outputs of `lspci -vvvxxxx`.
fn lspci(iommu: &str, c: &str, rust: &str) -> Vec<Difference> {
    let (mut c, mut rust) = (parse(c), parse(rust));
    c.values_mut().chain(rust.values_mut()).for_each(Function::settle);
    let mut found = Vec::new();
    let none = Function::default();
    for device in c.keys().chain(rust.keys()).collect::<BTreeSet<_>>() {
        let (c, rust) = (c.get(device).unwrap_or(&none), rust.get(device).unwrap_or(&none));
        let mut add = |place: String, c: String, rust: String| {
            if c != rust {
                let (iommu, device) = (iommu.to_owned(), device.clone());
                found.push(Difference { iommu, device, place, c, rust, reason: None });
            }
        };
        for offset in c.bytes.keys().chain(rust.bytes.keys()).map(|o| o & !3).collect::<BTreeSet<_>>() {
            let dword = |f: &Function| {
                (0..4)
                    .rev()
                    .map(|i| f.bytes.get(&(offset + i)).map_or("--".into(), |b| format!("{b:02x}")))
                    .collect()
            };
            add(format!("0x{offset:03x}"), dword(c), dword(rust));
        }
        for key in c.text.keys().chain(rust.text.keys()).collect::<BTreeSet<_>>() {
            let line = |f: &Function| f.text.get(key).cloned().unwrap_or_default();
            add(key.clone(), line(c), line(rust));
        }
    }
    found
}

/// Compares the rows of the device table: interrupts allocated, and what held.
fn rows(c: &[&Row], rust: &[&Row]) -> Vec<Difference> {
    let mut found = Vec::new();
    for row in c {
        let Some(other) = rust.iter().find(|r| r.device == row.device) else { continue };
        let kind = |r: &Row| {
            r.interrupts.as_ref().map_or("none".to_owned(), |i| format!("{} x{}", i.kind, i.vectors))
        };
        let verdict = |r: &Row| if r.passed { "works" } else { "FAILS" }.to_owned();
        for (place, c, rust) in
            [("interrupts", kind(row), kind(other)), ("verdict", verdict(row), verdict(other))]
        {
            if c != rust {
                let (iommu, device) = (row.iommu.name().to_owned(), row.device.clone());
                found.push(Difference { iommu, device, place: place.to_owned(), c, rust, reason: None });
            }
        }
    }
    found
}

/// One boot's share of the comparison.
pub(crate) struct Side<'a> {
    pub rows: Vec<&'a Row>,
    pub lspci: &'a str,
}

/// All differences under one IOMMU, each with the reason that the list gives.
pub(crate) fn differences(iommu: &str, c: &Side<'_>, rust: &Side<'_>, list: &[Expected]) -> Vec<Difference> {
    let mut found = rows(&c.rows, &rust.rows);
    found.extend(lspci(iommu, c.lspci, rust.lspci));
    for difference in &mut found {
        difference.reason = list.iter().find(|e| e.covers(difference)).map(|e| e.reason.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSPCI: &str = "00:02.0 Class 0108: Device 1b36:0010\n\tInterrupt: pin A routed to IRQ 22\n\
        \tRegion 0: Memory at fe680000 [size=16K]\n\tCapabilities: [40] MSI: Enable+ Count=1/1\n\
        \t\tAddress: fee01000  Data: 0021\n\t\tDevSta: a\n\t\tDevSta: b\n\
        00: 36 1b 10 00 07 05 10 00\n30: 00 00 00 00 40 00 00 00\n40: 05 00 81 00 00 10 e0 fe\n48: 00 00 00 00 21 00 00 00\n";

    #[test]
    fn reads_text_and_bytes() {
        let all = parse(LSPCI);
        let function = &all["00:02.0"];
        assert_eq!(function.byte(0x34), 0x40);
        assert_eq!(function.text["DevSta #2"], "DevSta: b");
        assert_eq!(function.text["Class"], "Class 0108: Device 1b36:0010");
    }

    #[test]
    fn what_linux_draws_is_no_difference() {
        let other = LSPCI
            .replace("IRQ 22", "IRQ 23")
            .replace("fee01000  Data: 0021", "fee02000  Data: 0022")
            .replace("00 10 e0 fe", "00 20 e0 fe")
            .replace("00 00 00 00 21", "00 00 00 00 22");
        assert_eq!(lspci("intel", LSPCI, &other), []);
    }

    #[test]
    fn a_changed_byte_and_a_changed_line_are_seen() {
        let other = LSPCI
            .replace("07 05 10", "06 05 10")
            .replace("fe680000", "fe690000")
            .replace("81 00 00", "80 00 00");
        let found = lspci("intel", LSPCI, &other);
        let places: Vec<_> =
            found.iter().map(|d| (d.place.as_str(), d.c.as_str(), d.rust.as_str())).collect();
        assert_eq!(
            places,
            [
                ("0x004", "00100507", "00100506"),
                ("0x040", "00810005", "00800005"),
                (
                    "Region 0",
                    "Region 0: Memory at fe680000 [size=16K]",
                    "Region 0: Memory at fe690000 [size=16K]"
                )
            ]
        );
    }

    #[test]
    fn a_missing_device_is_a_difference() {
        assert!(!lspci("amd", LSPCI, "").is_empty());
    }

    #[test]
    fn the_list_gives_reasons_and_covers_nothing_else() {
        let list = Expected::parse(
            "# Differences\n\n| device | place | reason |\n|---|---|---|\n| `*` | `0x004` | because |\ntext\n",
        );
        assert_eq!(list.len(), 1);
        let sides = |text| Side { rows: Vec::new(), lspci: text };
        let other = LSPCI.replace("07 05 10", "06 05 10").replace("fe680000", "fe690000");
        let found = differences("intel", &sides(LSPCI), &sides(&other), &list);
        assert_eq!(found.iter().map(|d| d.reason.as_deref()).collect::<Vec<_>>(), [Some("because"), None]);
    }

    #[test]
    fn unpacks_what_arrives_whole_only() {
        let lines = run::output(Command::new("sh").args(["-c", "echo hello | gzip -9 | base64"])).unwrap();
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        assert_eq!(unpack(&lines).unwrap(), "hello\n");
        assert!(unpack(&["AAAA".to_owned()]).is_err());
        assert!(unpack(&[]).is_err());
    }

    #[test]
    fn the_list_of_the_checkout_parses() {
        assert!(Expected::load().is_ok());
    }
}
