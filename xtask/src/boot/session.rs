//! One boot from power on to power off: listens to Xen and to dom0, answers, and notices what goes wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    process::ChildStdin,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    machine::{self, Data, Image, Iommu, Machine},
    protocol::{Event, Transcript, Verdict},
    xen_state::{KEYS, XenState},
};
use crate::{run, ui};

/// How long a boot may take, and how long it may say nothing.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub whole: Duration,
    pub silence: Duration,
}

/// After a sign of trouble, how long to go on listening for the rest of the message.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Xen prints the state of the virtual CPU after it.
const TRIPLE_FAULT: &str = "Triple fault";

/// What a boot showed.
#[derive(Default)]
pub(crate) struct Seen {
    pub transcript: Transcript,
    /// What guests said, by domain.
    pub guests: BTreeMap<u16, Transcript>,
    /// What Xen says that dom0 holds, before and after the stress.
    pub before: Option<XenState>,
    pub after: Option<XenState>,
    /// Xen's own words for it, at other moments, by what dom0 asked for.
    pub asked: BTreeMap<String, Vec<String>>,
    /// Accesses of devices that the IOMMU did not let through, as Xen reports them.
    pub faults: Vec<String>,
    /// Disks (by device) that hold, seen from outside, what they should.
    pub disks: Vec<(String, bool)>,
    pub seconds: f32,
}

/// A boot to make.
pub(crate) struct Session<'a> {
    /// The name in progress lines and of the directory.
    pub name: String,
    pub iommu: Iommu,
    pub image: Image<'a>,
    pub data: &'a Data,
    pub limits: Limits,
}

enum Line {
    Xen(String),
    Dom0(String),
    Closed,
}

struct Running<'a> {
    name: &'a str,
    lines: Receiver<Line>,
    keyboard: ChildStdin,
    machine: Machine,
    console: File,
    started: Instant,
    deadline: Instant,
    silence: Duration,
    trouble: Option<(String, Instant)>,
}

impl Session<'_> {
    /// Where the logs are.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        machine::directory(&self.name)
    }

    /// Puts the log of a failed attempt aside.
    fn keep_log(&self, attempt: u32) -> Result<()> {
        let directory = self.directory()?;
        std::fs::rename(directory.join("console.log"), directory.join(format!("console-{attempt}.log")))?;
        Ok(())
    }

    /// Boots, and returns what was seen together with what ended it early, if anything did.
    fn run(&self) -> (Seen, Result<()>) {
        let mut seen = Seen::default();
        let started = Instant::now();
        let result = self.drive(&mut seen);
        seen.seconds = started.elapsed().as_secs_f32();
        (seen, result)
    }

    /// Likewise, again where QEMU is suspect. Returns also how often it was tried.
    pub(crate) fn run_attempts(&self, most: u32) -> Result<(u32, Seen, Result<()>)> {
        let mut attempts = 1;
        loop {
            let (seen, result) = self.run();
            match result {
                Err(error) if attempts < most && emulator_is_suspect(&error) => {
                    ui::say(format!("{error:#}"));
                    ui::say(format!(
                        "{}: this can be QEMU's own fault, so it gets another attempt",
                        self.name
                    ));
                    self.keep_log(attempts)?;
                    attempts += 1;
                }
                result => return Ok((attempts, seen, result)),
            }
        }
    }

    fn drive(&self, seen: &mut Seen) -> Result<()> {
        let directory = self.directory()?;
        let log = directory.join("console.log");
        let console = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut machine = Machine::start(&directory, &self.image, self.iommu, self.data)?;
        let (sender, lines) = mpsc::channel();
        listen(machine.child.stdout.take().context("QEMU has no stdout")?, sender.clone(), Line::Xen);
        listen(machine.port.try_clone()?, sender, Line::Dom0);
        let started = Instant::now();
        let mut running = Running {
            name: &self.name,
            keyboard: machine.child.stdin.take().context("QEMU has no stdin")?,
            lines,
            machine,
            console,
            started,
            deadline: started + self.limits.whole,
            silence: self.limits.silence,
            trouble: None,
        };
        ui::say(format!("{}: booting; console in {}", self.name, log.display()));
        running.talk(seen).map_err(|error| {
            let step = seen.transcript.step.as_deref().unwrap_or("booting Xen and dom0");
            anyhow!("{}: while {step}: {error:#}; the log: {}", self.name, log.display())
        })?;
        drop(running);
        for device in super::devices::DEVICES.iter().filter(|d| d.kind == super::devices::Kind::Nvme) {
            let good = self.data.on_disk(&directory.join(format!("{}.raw", device.name)))?;
            seen.disks.push((device.name.to_owned(), good));
        }
        Ok(())
    }
}

/// Sends each line of a stream, and then that it ended.
fn listen(stream: impl Read + Send + 'static, to: Sender<Line>, kind: fn(String) -> Line) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
            if to.send(kind(line)).is_err() {
                return;
            }
            bytes.clear();
        }
        let _ = to.send(Line::Closed);
    });
}

impl Running<'_> {
    fn talk(&mut self, seen: &mut Seen) -> Result<()> {
        let mut done = false;
        loop {
            match self.next()? {
                None => {
                    if let Some((line, _)) = self.trouble.take() {
                        bail!("{line}");
                    }
                    // Both streams end when QEMU does.
                    if done {
                        return Ok(());
                    }
                    bail!("the machine went off before dom0 was done");
                }
                Some(Line::Dom0(line)) => match seen.transcript.take(&line) {
                    Event::Step(step) => ui::say(format!("{}: {step}", self.name)),
                    Event::Checked(c) if c.verdict == Verdict::Fail => {
                        ui::say(format!("{}: {} {} FAILED: {}", self.name, c.device, c.name, c.detail));
                    }
                    Event::Ask(what) => {
                        self.answer(what, seen)?;
                        self.machine.port.write_all(b"go\n").context("cannot answer dom0")?;
                    }
                    Event::Bye => done = true,
                    Event::Checked(_) | Event::None => {}
                },
                Some(Line::Xen(line)) => {
                    if is_fault(&line) {
                        seen.faults.push(line.clone());
                    }
                    if let Some((domain, line)) = said_by_guest(&line) {
                        let event = seen.guests.entry(domain).or_default().take(line);
                        if let Event::Checked(c) = event
                            && c.verdict == Verdict::Fail
                        {
                            ui::say(format!(
                                "{}: guest {domain}: {} {} FAILED: {}",
                                self.name, c.device, c.name, c.detail
                            ));
                        }
                    }
                }
                Some(Line::Closed) => {}
            }
        }
    }

    /// Does what dom0 waits for: plugs a device in, or asks Xen.
    fn answer(&mut self, what: String, seen: &mut Seen) -> Result<()> {
        if let Some(device) = what.strip_prefix("plug ") {
            return self.machine.plug(device).with_context(|| format!("cannot plug {device} in"));
        }
        let answers = self.ask_xen()?;
        match what.as_str() {
            "before" => seen.before = Some(XenState::parse(&answers)),
            "after" => seen.after = Some(XenState::parse(&answers)),
            _ => {
                seen.asked.insert(what, answers);
            }
        }
        Ok(())
    }

    /// The next line from anywhere; `None` when QEMU has ended.
    fn next(&mut self) -> Result<Option<Line>> {
        let now = Instant::now();
        let mut until = self.deadline.min(now + self.silence);
        if let Some((_, since)) = &self.trouble {
            until = until.min(*since + LAST_WORDS);
        }
        match self.lines.recv_timeout(until.saturating_duration_since(now)) {
            Ok(line) => {
                let (who, text) = match &line {
                    Line::Xen(text) => ("", text.as_str()),
                    Line::Dom0(text) => ("@@ ", text.as_str()),
                    Line::Closed => return Ok(Some(line)),
                };
                writeln!(self.console, "[{:6.1}] {who}{text}", self.started.elapsed().as_secs_f32())?;
                if self.trouble.is_none() && is_trouble(text) && who.is_empty() {
                    ui::say(format!("{}: {text}", self.name));
                    self.trouble = Some((text.to_owned(), Instant::now()));
                }
                if let (Some((trouble, _)), "") = (&mut self.trouble, who) {
                    add_state(trouble, text);
                }
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                if let Some((line, _)) = self.trouble.take() {
                    bail!("{line}");
                }
                if Instant::now() >= self.deadline {
                    bail!("not done after {:.0} s", self.started.elapsed().as_secs_f32());
                }
                // Xen may still answer, with the state of every CPU.
                let _ = self.keyboard.write_all(b"darqe").and_then(|()| self.keyboard.flush());
                let what = format!("it hangs: not a word for {} s", self.silence.as_secs());
                writeln!(self.console, "{what}")?;
                self.trouble = Some((what, Instant::now()));
                self.next()
            }
        }
    }

    /// Presses the debug keys and reads the answers. dom0 waits in the meantime.
    fn ask_xen(&mut self) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        let mut keys = VecDeque::from(KEYS);
        while let Some((key, head)) = keys.pop_front() {
            self.keyboard
                .write_all(&[key])
                .and_then(|()| self.keyboard.flush())
                .context("cannot press a key")?;
            loop {
                let Some(line) = self.next()? else { bail!("the machine went off") };
                let Line::Xen(text) = line else { continue };
                let Some(text) = text.strip_prefix("(XEN) ").map(without_time) else { continue };
                answers.push(text.to_owned());
                if text.starts_with(head) {
                    break;
                }
            }
        }
        Ok(answers)
    }
}

/// Whether a line of Xen's console is about an access that the IOMMU stopped.
fn is_fault(line: &str) -> bool {
    line.contains("IO_PAGE_FAULT") || (line.contains("[VT-D]DMAR:[") && line.contains("fault addr"))
}

/// A guest's domain and what it reports, if that is what a line of Xen's console is: `(d1) ... @k check ...`.
fn said_by_guest(line: &str) -> Option<(u16, &str)> {
    let (domain, rest) = line.split_once("(d")?.1.split_once(')')?;
    Some((domain.parse().ok()?, rest.split_once("@k ")?.1))
}

/// Xen may put `[2026-11-21 00:00:00] ` in front.
fn without_time(text: &str) -> &str {
    if text.starts_with('[') { text.split_once("] ").map_or(text, |(_, rest)| rest) } else { text }
}

/// If a boot may have ended so by QEMU's fault. The summary counts those that are tried again for it.
///
/// When Xen injects an interrupt into dom0 (SVM's EVENTINJ), QEMU delivers it and forgets to clear its note of it
/// (`exception_index`, in `helper_vmrun`). If another thread of QEMU kicks the virtual CPU before the next exit, the same
/// interrupt is delivered a second time, also where dom0 has interrupts disabled: in an entry path, where it hits the stack
/// guard of `ENTRY_TRAMPOLINE` or ends in a triple fault, or with a lock held, where dom0 stalls. Kicks come late on a busy
/// machine. Both vPCIs meet it.
///
/// Now and then QEMU also reports a triple fault of dom0 or of a guest with Xen's registers as those of the virtual CPU (RIP in Xen's
/// text, by Xen's code selector), or after a page fault at its interrupt table (CR2), which is mapped: it looks there by the other
/// page tables.
///
/// So a triple fault gets another attempt, and its registers are told. One that is not QEMU's comes again. Nothing else does: a
/// stall or a hang can be a deadlock in Xen, and what Xen says of itself is never QEMU's fault.
fn emulator_is_suspect(error: &anyhow::Error) -> bool {
    let error = error.to_string();
    error.contains("BUG: ENTRY_TRAMPOLINE stack guard page was hit") || error.contains(TRIPLE_FAULT)
}

/// What of the state is told.
const TOLD: [&str; 3] = ["RIP:", "RFLAGS:", "cr3:"];

/// Adds to a triple fault in which state it was, if that is what the line says and it is not known yet.
fn add_state(trouble: &mut String, line: &str) {
    let Some(state) = line.strip_prefix("(XEN) ").map(without_time) else { return };
    let is_new = |name| state.starts_with(name) && !trouble.contains(name);
    if trouble.contains(TRIPLE_FAULT) && TOLD.into_iter().any(is_new) {
        trouble.push_str("; ");
        trouble.push_str(state);
    }
}

/// If a console line says that Xen or dom0 broke.
pub(crate) fn is_trouble(line: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "Xen BUG at",
        "Assertion '",
        "Panic on CPU",
        "Xen WARN at",
        "domain_crash",
        "Domain 0 crashed",
        "Hardware Dom0 crashed",
        "Kernel panic",
        TRIPLE_FAULT,
        "BUG: ",
        "Oops: ",
        "Call Trace:",
        "general protection fault",
        "UBSAN: ",
    ];
    SIGNS.iter().any(|sign| line.contains(sign))
}

/// The end of a boot's console, for an error message.
pub(crate) fn last_words(session: &Session<'_>) -> String {
    let text =
        session.directory().ok().and_then(|d| std::fs::read(d.join("console.log")).ok()).unwrap_or_default();
    run::tail(&String::from_utf8_lossy(&text), 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_guests() {
        let text = "(d12) [    1.5] @k check nvme dma ok";
        assert_eq!(said_by_guest(text), Some((12, "check nvme dma ok")));
        assert_eq!(said_by_guest("(XEN) [2026] (d1) @k bye"), Some((1, "bye")));
        assert_eq!(said_by_guest("(d1) hello"), None);
        assert_eq!(said_by_guest("(done) @k bye"), None);
    }

    #[test]
    fn knows_faults() {
        assert!(is_fault("(XEN) AMD-Vi: IO_PAGE_FAULT: 0000:00:02.0 d3 addr 00000000fffdf8f2 flags 0x8 I"));
        assert!(is_fault("(XEN) [VT-D]DMAR:[DMA Write] Request device [0000:00:02.0] fault addr 7f000"));
        assert!(!is_fault("(XEN) [VT-D]d3:PCIe: map 0000:00:02.0"));
    }

    #[test]
    fn knows_trouble() {
        for bad in [
            "(XEN) Assertion 'rangeset_is_empty(mem)' failed at drivers/vpci/header.c:357",
            "(XEN) Panic on CPU 0:",
            "(XEN) domain_crash called from arch/x86/hvm/intercept.c:258",
            "[   12.0] BUG: unable to handle page fault",
            "[   12.0] Call Trace:",
        ] {
            assert!(is_trouble(bad), "{bad}");
        }
        for good in
            ["(XEN) d0: bind: m_gsi=3 g_gsi=3", "[    0.1] Dentry cache hash table entries", "DEBUG: x"]
        {
            assert!(good.contains("DEBUG") || !is_trouble(good), "{good}");
        }
    }

    #[test]
    fn a_hang_is_never_put_down_to_qemu() {
        let guard = "[   14.7] BUG: ENTRY_TRAMPOLINE stack guard page was hit at (____ptrval____)";
        assert!(emulator_is_suspect(&anyhow!("rust-amd: while lspci: {guard}; the log: x")));
        assert!(!emulator_is_suspect(&anyhow!(
            "rust-amd: while lspci: it hangs: not a word for 60 s; the log: x"
        )));
        assert!(!emulator_is_suspect(&anyhow!("rust-amd: while lspci: (XEN) Xen BUG at x.c:1; the log: x")));
    }

    #[test]
    fn a_triple_fault_is_told_with_its_state() {
        let mut trouble = "(XEN) d0v1 Triple fault - invoking HVM shutdown action 1".to_owned();
        assert!(is_trouble(&trouble));
        for line in [
            "(XEN) CPU:    0",
            "(XEN) RIP:    e008:[<ffff82d04022740f>]",
            "(XEN) cr3: 000000007ff82000   cr2: ffff82d04022740f",
            "(XEN) RIP:    0010:[<ffffffff81146a40>]",
        ] {
            add_state(&mut trouble, line);
        }
        let state = "RIP:    e008:[<ffff82d04022740f>]; cr3: 000000007ff82000   cr2: ffff82d04022740f";
        assert_eq!(trouble, format!("(XEN) d0v1 Triple fault - invoking HVM shutdown action 1; {state}"));
        assert!(emulator_is_suspect(&anyhow!("rust-amd: while lspci: {trouble}; the log: x")));
        let mut hang = "it hangs: not a word for 60 s".to_owned();
        add_state(&mut hang, "(XEN) RIP:    e008:[<ffff82d04022740f>]");
        assert_eq!(hang, "it hangs: not a word for 60 s");
    }

    #[test]
    fn takes_the_time_off() {
        assert_eq!(without_time("[2026-11-21 03:00:00] IRQ information:"), "IRQ information:");
        assert_eq!(without_time("IRQ information:"), "IRQ information:");
    }
}
