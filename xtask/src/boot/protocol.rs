//! What `init.sh` reports, line by line, gathered.

use std::collections::BTreeMap;

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Fail,
    /// There was nothing to check, as where a device has no way to be reset.
    Skip,
}

/// One check of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub device: String,
    pub name: String,
    pub verdict: Verdict,
    pub detail: String,
}

/// What the reader of a line has to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing but to go on.
    None,
    /// Another part of the exercise starts.
    Step(String),
    /// dom0 waits for an answer.
    Ask(String),
    /// A check ended.
    Checked(Check),
    /// dom0 is done and powers off.
    Bye,
}

/// Everything reported so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub checks: Vec<Check>,
    pub blocks: BTreeMap<String, Vec<String>>,
    /// Whatever else there was to say.
    pub notes: Vec<String>,
    /// Where the exercise is.
    pub step: Option<String>,
    block: Option<String>,
}

impl Transcript {
    /// Takes a line in. One that is not of the protocol is ignored: the port's first bytes may be noise.
    pub(crate) fn take(&mut self, line: &str) -> Event {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "=" => {
                if let Some(lines) = self.block.as_ref().and_then(|name| self.blocks.get_mut(name)) {
                    lines.push(rest.to_owned());
                }
                Event::None
            }
            "block" => {
                self.blocks.insert(rest.to_owned(), Vec::new());
                self.block = Some(rest.to_owned());
                Event::None
            }
            "end" => {
                self.block = None;
                Event::None
            }
            "step" => {
                self.step = Some(rest.to_owned());
                Event::Step(rest.to_owned())
            }
            "note" => {
                self.notes.push(rest.to_owned());
                Event::None
            }
            "ask" => Event::Ask(rest.to_owned()),
            "bye" => Event::Bye,
            "check" => check(rest).map_or(Event::None, |check| {
                self.checks.push(check.clone());
                Event::Checked(check)
            }),
            _ => Event::None,
        }
    }

    /// The lines of a block; none if it did not come.
    pub(crate) fn block(&self, name: &str) -> &[String] {
        self.blocks.get(name).map_or(&[], Vec::as_slice)
    }
}

fn check(text: &str) -> Option<Check> {
    let mut words = text.splitn(4, ' ');
    let (device, name) = (words.next()?.to_owned(), words.next()?.to_owned());
    let verdict = match words.next()? {
        "ok" => Verdict::Ok,
        "skip" => Verdict::Skip,
        _ => Verdict::Fail,
    };
    Some(Check { device, name, verdict, detail: words.next().unwrap_or("").to_owned() })
}

/// The interrupts of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Interrupts {
    /// `msi` or `msix`, as sysfs says it.
    pub kind: String,
    /// How many are allocated.
    pub vectors: usize,
    /// How often they came, on all CPUs together.
    pub count: u64,
}

/// Reads `device NAME IRQ KIND` lines and the `/proc/interrupts` after them.
pub(crate) fn interrupts(lines: &[String]) -> BTreeMap<String, Interrupts> {
    let counts: BTreeMap<&str, u64> = lines
        .iter()
        .filter_map(|line| {
            let (irq, rest) = line.trim().split_once(':')?;
            Some((irq, rest.split_whitespace().map_while(|w| w.parse::<u64>().ok()).sum()))
        })
        .collect();
    let mut all = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        let (Some("device"), Some(name), Some(irq), Some(kind)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let device: &mut Interrupts = all.entry(name.to_owned()).or_insert_with(|| Interrupts {
            kind: kind.to_owned(),
            vectors: 0,
            count: 0,
        });
        device.vectors += 1;
        device.count += counts.get(irq).copied().unwrap_or(0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_checks_and_blocks() {
        let mut t = Transcript::default();
        assert_eq!(t.take("\0\0noise"), Event::None);
        assert_eq!(t.take("step first exercise"), Event::Step("first exercise".into()));
        let Event::Checked(check) = t.take("check nvme0 io ok abc def") else { panic!() };
        assert_eq!((check.verdict, check.detail.as_str()), (Verdict::Ok, "abc def"));
        let Event::Checked(check) = t.take("check ahci reset skip") else { panic!() };
        assert_eq!((check.verdict, check.detail.as_str()), (Verdict::Skip, ""));
        t.take("block lspci");
        t.take("= 00:00.0 Host");
        t.take("= ");
        t.take("end");
        t.take("= stray");
        assert_eq!(t.block("lspci"), ["00:00.0 Host", ""]);
        assert_eq!(t.take("note a b"), Event::None);
        assert_eq!(t.notes, ["a b"]);
        assert_eq!(t.take("ask before"), Event::Ask("before".into()));
        assert_eq!(t.take("bye"), Event::Bye);
        assert_eq!(t.step.as_deref(), Some("first exercise"));
        assert!(t.block("none").is_empty());
    }

    #[test]
    fn a_garbled_verdict_is_no_pass() {
        let mut t = Transcript::default();
        let Event::Checked(check) = t.take("check nvme0 io o") else { panic!() };
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(t.take("check nvme0"), Event::None);
    }

    #[test]
    fn counts_interrupts_by_device() {
        let text = "device nvme0 48 msix\ndevice nvme0 49 msix\ndevice ahci 52 msi\n           CPU0       CPU1\n 48:   10   3  xen-pirq    -msi-x     nvme0q0\n\
                    49: 7 0 xen-pirq -msi-x nvme0q1\n 52: 5 5 xen-pirq -msi ahci[0000:00:1f.2]\nERR: 0\n";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let all = interrupts(&lines);
        assert_eq!(all["nvme0"], Interrupts { kind: "msix".into(), vectors: 2, count: 20 });
        assert_eq!(all["ahci"], Interrupts { kind: "msi".into(), vectors: 1, count: 10 });
        assert_eq!(all.len(), 2);
    }
}
