//! `cargo xtask boot --kernel`: our own kernel as PVH dom0, a regression run of seconds.
//!
//! With `--kernel=guests` it is a toolstack, and starts guests of itself that work their devices and then try what must be
//! refused; `--kernel=all` does both.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

mod disks;

use super::{
    devices::{DEVICES, Device, Kind},
    kernel,
    machine::{self, Iommu},
    protocol::{Check, Event, Transcript, Verdict},
    session::is_trouble,
};
use crate::{
    run, ui,
    xen::{Build, Options},
};

/// What stands before each line of the kernel's.
const MARK: &str = "@k ";

/// What our kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    Regression,
    Guests,
    All,
}

impl Scope {
    fn regression(self) -> bool {
        self != Self::Guests
    }

    fn guests(self) -> bool {
        self != Self::Regression
    }

    fn command_line(self) -> &'static str {
        match self {
            Self::Regression => "role=dom0 regression",
            Self::Guests => "role=dom0 guests",
            Self::All => "role=dom0 regression guests",
        }
    }
}

/// What a guest does besides working with its device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guest {
    Works,
    Hostile,
    /// It has the MCH, which it looks at.
    Q35,
}

/// The guests that it starts (`suite/toolstack.rs` in the kernel).
const GUESTS: &[(&str, Guest)] = &[
    ("nvme", Guest::Hostile),
    ("ahci", Guest::Hostile),
    ("card", Guest::Hostile),
    ("nvme-dies", Guest::Works),
    ("card-dies", Guest::Works),
    ("ahci-dies", Guest::Works),
    ("nvme-again", Guest::Works),
    ("ahci-again", Guest::Works),
    ("nvme-q35", Guest::Q35),
    ("card-again", Guest::Works),
];

/// One device on one machine, or one guest.
#[derive(Debug, Clone, Serialize)]
struct Row {
    iommu: Iommu,
    device: String,
    bdf: String,
    held: Vec<String>,
    failed: Vec<String>,
    passed: bool,
}

/// What the command says at its end.
#[derive(Serialize)]
struct Report {
    pass: bool,
    /// Of all boots together, without building.
    seconds: f32,
    rows: Vec<Row>,
    errors: Vec<String>,
}

/// One boot.
struct Booted {
    iommu: Iommu,
    scope: Scope,
    said: Said,
    error: Option<String>,
    directory: PathBuf,
}

/// What the kernel said: in dom0, and in the guests by their name.
#[derive(Default)]
struct Said {
    dom0: Transcript,
    guests: BTreeMap<String, Transcript>,
    names: BTreeMap<u16, String>,
}

impl Said {
    /// Takes a line of the console in, if it is the kernel's. If it is dom0's last.
    fn take(&mut self, line: &str) -> Option<bool> {
        let (before, text) = line.split_once(MARK)?;
        if let Some(domain) = domain(before) {
            let name = self.names.get(&domain).cloned().unwrap_or_else(|| format!("domain {domain}"));
            self.guests.entry(name).or_default().take(text);
            return Some(false);
        }
        let mut words = text.split(' ');
        if let (Some("note"), Some("guest"), Some(Ok(domain)), Some(name)) =
            (words.next(), words.next(), words.next().map(str::parse), words.next())
        {
            self.names.insert(domain, name.to_owned());
        }
        Some(self.dom0.take(text) == Event::Bye)
    }
}

/// The guest whose line it is: Xen puts `(d7) ` before it.
fn domain(before: &str) -> Option<u16> {
    before.rsplit_once("(d")?.1.trim_end().strip_suffix(')')?.parse().ok()
}

/// Builds Xen and the kernel, boots, and judges.
pub(crate) fn run(
    options: &Options,
    scope: Scope,
    iommus: &[Iommu],
    timeout: Duration,
    json: bool,
) -> Result<()> {
    let xen = Build::make(options)?.xen;
    let kernel = kernel::build()?;
    let started = Instant::now();
    ui::say("booting our kernel as PVH dom0");
    let boots = thread::scope(|threads| {
        let start = |iommu: &Iommu| {
            let (xen, kernel, iommu) = (&xen, &kernel, *iommu);
            threads.spawn(move || boot(xen, kernel, scope, iommu, timeout))
        };
        let running: Vec<_> = iommus.iter().map(start).collect();
        let results = running.into_iter().map(thread::ScopedJoinHandle::join);
        results.map(|r| r.map_err(|_| anyhow!("a boot's thread panicked"))?).collect::<Result<Vec<_>>>()
    })?;
    let seconds = started.elapsed().as_secs_f32();
    let rows: Vec<Row> = boots.iter().flat_map(rows).collect();
    let errors: Vec<String> = boots.iter().filter_map(|b| b.error.clone()).collect();
    let pass = errors.is_empty() && rows.iter().all(|r| r.passed);
    finish(&Report { pass, seconds, rows, errors }, json)
}

fn finish(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        let head = ["IOMMU", "device", "checks", "verdict"];
        let lines = report.rows.iter().map(|row| {
            let mut checks = vec![row.held.join(", ")];
            checks.extend(row.failed.iter().map(|f| format!("FAILED {f}")));
            vec![
                row.iommu.name().to_owned(),
                format!("{} {}", row.bdf, row.device).trim().to_owned(),
                checks.join("\n").trim().to_owned(),
                if row.passed { "works" } else { "FAILS" }.to_owned(),
            ]
        });
        println!("{}", ui::table(&head, lines));
    }
    for error in &report.errors {
        ui::say(error);
    }
    let works = report.rows.iter().filter(|r| r.passed).count();
    let summary = format!("{works} of {} rows work, in {:.1} s", report.rows.len(), report.seconds);
    ensure!(report.pass, "{summary}");
    ui::say(format!("PASS: {summary}"));
    Ok(())
}

/// A running QEMU; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boot(xen: &Path, kernel: &Path, scope: Scope, iommu: Iommu, timeout: Duration) -> Result<Booted> {
    let directory = machine::directory(&format!("kernel-{}", iommu.name()))?;
    disks::make(&directory)?;
    // Relative names: a comma in a path would end a file name for QEMU.
    for (name, path) in [("xen", xen), ("kernel", kernel)] {
        let link = directory.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(path, link)?;
    }
    let mut said = Said::default();
    let error = listen(&directory, scope, iommu, timeout, &mut said).err().map(|error| {
        let step = said.dom0.step.as_deref().unwrap_or("booting Xen");
        let log = directory.join("console.log");
        format!("{}: while {step}: {error:#}; the log: {}", iommu.name(), log.display())
    });
    Ok(Booted { iommu, scope, said, error, directory })
}

/// Boots, and takes the kernel's lines in until QEMU ends.
fn listen(directory: &Path, scope: Scope, iommu: Iommu, timeout: Duration, said: &mut Said) -> Result<()> {
    let started = Instant::now();
    let mut log = File::create(directory.join("console.log"))?;
    let mut qemu = Running(
        Command::new("qemu-system-x86_64")
            .current_dir(directory)
            .args(arguments(scope, iommu))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(directory.join("qemu.log"))?)
            .spawn()
            .context("cannot run qemu-system-x86_64")?,
    );
    let stdout = qemu.0.stdout.take().context("QEMU has no stdout")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let (mut done, mut trouble) = (false, None);
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                writeln!(log, "[{:7.3}] {line}", started.elapsed().as_secs_f32())?;
                if let Some(last) = said.take(&line) {
                    done |= last;
                } else if is_trouble(&line) {
                    trouble.get_or_insert(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => match trouble {
                Some(line) => bail!("{line}"),
                None => bail!("not done after {} s", timeout.as_secs()),
            },
        }
    }
    if let Some(line) = trouble {
        bail!("{line}");
    }
    if !done {
        let said = fs::read_to_string(directory.join("qemu.log")).unwrap_or_default();
        bail!("the machine went off before the kernel was done\n{}", run::tail(&said, 5));
    }
    Ok(())
}

fn arguments(scope: Scope, iommu: Iommu) -> Vec<String> {
    let mut args: Vec<String> = [
        "-machine",
        "q35,smm=off",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "qemu64,+svm,+npt,+sse4.1",
        "-m",
        "512",
        // Two machines run at once, and guests' vCPUs take turns.
        "-smp",
        "1",
        "-display",
        "none",
        "-vga",
        "none",
        "-monitor",
        "none",
        // The kernel ends by a reboot, at which QEMU exits.
        "-no-reboot",
        "-net",
        "none",
        "-kernel",
        "xen",
        "-append",
        "console=com1 dom0=pvh dom0_mem=128M dom0_max_vcpus=1 iommu=no-sharept loglvl=all guest_loglvl=all \
         spec-ctrl=no",
        "-initrd",
        &format!("kernel {},kernel", scope.command_line()),
        "-serial",
        "stdio",
        "-device",
        iommu.qemu(),
    ]
    .map(str::to_owned)
    .into();
    args.extend(DEVICES.iter().flat_map(|d| d.qemu).map(|a| (*a).to_owned()));
    args
}

/// The checks that a device has to show; more are welcome.
fn required(device: &Device) -> Vec<&'static str> {
    let mut checks = vec!["config"];
    if device.kind == Kind::Port {
        return checks;
    }
    checks.extend(["bars", "partial", "decode"]);
    if device.bdf.starts_with("00:") {
        checks.push("move");
    }
    match device.kind {
        Kind::Nvme => checks.extend(["io", "mask", "mask-all", "io-decode", "again", "host-data", "written"]),
        Kind::Nic => checks.extend(["io", "io-msi"]),
        Kind::Ahci => checks.extend(["io", "host-data", "written"]),
        Kind::Xhci | Kind::Port => {}
    }
    checks
}

/// A row for each device, for each other function, for the machine, and for each guest.
fn rows(boot: &Booted) -> Vec<Row> {
    let mut by_device: BTreeMap<&str, Vec<&Check>> = BTreeMap::new();
    for check in &boot.said.dom0.checks {
        by_device.entry(&check.device).or_default().push(check);
    }
    let mut expected = Vec::new();
    let mut machine = Vec::new();
    if boot.scope.guests() {
        machine.push("memory");
    }
    if boot.scope.regression() {
        machine.extend(["enumerate", "absent", "odd-widths"]);
    }
    expected.push(("machine", "", machine, None));
    if boot.scope.regression() {
        expected.extend(DEVICES.iter().map(|d| (d.bdf, d.name, required(d), Some(d))));
    }
    let mut rows = Vec::new();
    for (bdf, name, required, device) in expected {
        let checks = by_device.remove(bdf).unwrap_or_default();
        let mut row = row(boot.iommu, bdf, name, &checks);
        row.require(&checks, &required);
        if let Some(device) = device {
            for (name, at) in [("host-data", 0), ("written", disks::WRITTEN)] {
                for check in checks.iter().filter(|c| c.name == name && c.verdict == Verdict::Ok) {
                    let sum = disks::sum(&disks::image(&boot.directory, device), at);
                    // A guest has written since.
                    let judged = at == 0 || !boot.scope.guests();
                    if judged && sum.as_deref().ok() != Some(check.detail.as_str()) {
                        row.failed.push(format!("{name}: the disk holds other data"));
                    }
                }
            }
        }
        rows.push(row);
    }
    for (name, kind) in GUESTS.iter().filter(|_| boot.scope.guests()) {
        let mut checks: Vec<&Check> =
            boot.said.guests.get(*name).map_or(Vec::new(), |g| g.checks.iter().collect());
        checks.extend(by_device.remove(name).unwrap_or_default());
        rows.push(guest(boot.iommu, name, *kind, &checks));
    }
    rows.extend(by_device.iter().map(|(bdf, checks)| row(boot.iommu, bdf, "", checks)));
    for row in &mut rows {
        row.passed = row.failed.is_empty();
    }
    rows
}

impl Row {
    /// Those that did not come have failed.
    fn require(&mut self, checks: &[&Check], names: &[&str]) {
        for name in names {
            if !checks.iter().any(|c| c.name == *name && c.verdict != Verdict::Skip) {
                self.failed.push(format!("{name}: not reached"));
            }
        }
    }
}

/// A guest's row. Abuse cases, whose names start with their number, are counted.
fn guest(iommu: Iommu, name: &str, kind: Guest, checks: &[&Check]) -> Row {
    let is_case = |c: &&Check| c.name.starts_with(|letter: char| letter.is_ascii_digit());
    let (cases, others): (Vec<&Check>, Vec<&Check>) = checks.iter().copied().partition(is_case);
    let mut row = row(iommu, "guest", name, &others);
    let count = |verdict| cases.iter().filter(|c| c.verdict == verdict).count();
    row.failed.extend(
        cases.iter().filter(|c| c.verdict == Verdict::Fail).map(|c| format!("{} {}", c.name, c.detail)),
    );
    row.require(checks, &["io", "end"]);
    row.require(
        checks,
        match kind {
            Guest::Works | Guest::Hostile => &["enumerate", "view"],
            Guest::Q35 => &["identity", "ports-and-ecam", "lengths", "moves", "over-ram", "locks"],
        },
    );
    if kind == Guest::Hostile {
        // The first and the last of each part.
        row.require(
            checks,
            &["35-absent-functions", "01-decode-off-then-access", "38-refusal-flood", "refused"],
        );
        row.held.push(format!(
            "{} abuses refused, {} with nothing to try them on",
            count(Verdict::Ok),
            count(Verdict::Skip)
        ));
    }
    row
}

fn row(iommu: Iommu, bdf: &str, device: &str, checks: &[&Check]) -> Row {
    let (mut held, mut failed) = (Vec::new(), Vec::new());
    for check in checks {
        let text = format!("{} {}", check.name, check.detail).trim().to_owned();
        match (check.verdict, check.name.as_str()) {
            (Verdict::Ok, "host-data" | "written") => held.push(check.name.clone()),
            (Verdict::Ok | Verdict::Skip, _) => held.push(text),
            (Verdict::Fail, _) => failed.push(text),
        }
    }
    Row { iommu, device: device.to_owned(), bdf: bdf.to_owned(), held, failed, passed: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(text: &str) -> Booted {
        let mut said = Said::default();
        for line in text.lines() {
            said.take(line);
        }
        let directory = PathBuf::from("/nonexistent");
        Booted { iommu: Iommu::Intel, scope: Scope::Regression, said, error: None, directory }
    }

    #[test]
    fn what_is_not_reached_or_not_known_shows() {
        let rows =
            rows(&boot("@k check machine enumerate ok 9\n@k check 00:09.0 config fail a dword differs"));
        assert_eq!(rows.len(), DEVICES.len() + 2);
        assert_eq!(rows[0].failed, ["absent: not reached", "odd-widths: not reached"]);
        assert_eq!(rows[0].held, ["enumerate 9"]);
        assert_eq!(rows.last().unwrap().failed, ["config a dword differs"]);
        assert!(rows.iter().all(|r| !r.passed));
    }

    #[test]
    fn a_guest_is_known_by_its_domain() {
        let mut boot = boot(
            "@k note guest 7 nvme-again\n(XEN) (d7) @k check machine enumerate ok 1\n(d7) @k check 00:01.0 view ok\n\
             (d7) @k check 00:01.0 io ok 16\n(d7) @k check 00:01.0 03-x fail moved\n@k check nvme-again end ok poweroff",
        );
        boot.scope = Scope::Guests;
        let rows = rows(&boot);
        assert_eq!(rows.len(), GUESTS.len() + 1);
        let guest = rows.iter().find(|r| r.device == "nvme-again").unwrap();
        assert_eq!(guest.failed, ["03-x moved"]);
        assert_eq!(guest.held, ["enumerate 1", "view", "io 16", "end poweroff"]);
        assert!(rows.iter().filter(|r| r.device != "nvme-again").all(|r| !r.failed.is_empty()));
    }

    #[test]
    fn a_disk_speaks_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut boot = boot("@k check 00:02.0 host-data ok 0000000600000003\n@k check 00:02.0 written ok 1");
        boot.directory = dir.path().to_owned();
        let mut disk = vec![0; disks::WRITTEN + disks::PAGE];
        (disk[disks::PAGE - 8], disk[disks::PAGE - 4]) = (3, 0);
        fs::write(disks::image(dir.path(), &DEVICES[0]), &disk).unwrap();
        let row = &rows(&boot)[1];
        assert!(row.failed.contains(&"written: the disk holds other data".to_owned()));
        assert!(!row.failed.contains(&"host-data: the disk holds other data".to_owned()), "{:?}", row.failed);
    }
}
