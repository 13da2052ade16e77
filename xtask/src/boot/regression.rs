//! `cargo xtask boot --kernel`: our own kernel as PVH dom0, a regression run of seconds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Serialize;

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

/// The size of a disk, and what of it is compared.
const DISK: u64 = 8 << 20;
const PAGE: usize = 4096;
/// Where the kernel writes: its block 64.
const WRITTEN: usize = 64 * 512;

/// One device on one machine.
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
    transcript: Transcript,
    error: Option<String>,
    directory: PathBuf,
}

/// Builds Xen and the kernel, boots, and judges.
pub(crate) fn run(options: &Options, iommus: &[Iommu], timeout: Duration, json: bool) -> Result<()> {
    let xen = Build::make(options)?.xen;
    let kernel = kernel::build()?;
    let started = Instant::now();
    ui::say("booting our kernel as PVH dom0");
    let boots = thread::scope(|scope| {
        let running: Vec<_> = iommus
            .iter()
            .map(|iommu| (*iommu, scope.spawn(|| boot(&xen, &kernel, *iommu, timeout))))
            .collect();
        running
            .into_iter()
            .map(|(_, thread)| thread.join().map_err(|_| anyhow!("a boot's thread panicked"))?)
            .collect::<Result<Vec<_>>>()
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

fn boot(xen: &Path, kernel: &Path, iommu: Iommu, timeout: Duration) -> Result<Booted> {
    let directory = machine::directory(&format!("kernel-{}", iommu.name()))?;
    disks(&directory)?;
    // Relative names: a comma in a path would end a file name for QEMU.
    for (name, path) in [("xen", xen), ("kernel", kernel)] {
        let link = directory.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(path, link)?;
    }
    let mut transcript = Transcript::default();
    let error = listen(&directory, iommu, timeout, &mut transcript).err().map(|error| {
        let step = transcript.step.as_deref().unwrap_or("booting Xen");
        let log = directory.join("console.log");
        format!("{}: while {step}: {error:#}; the log: {}", iommu.name(), log.display())
    });
    Ok(Booted { iommu, transcript, error, directory })
}

/// Disks whose first page nobody can guess.
fn disks(directory: &Path) -> Result<()> {
    let mut random = File::open("/dev/urandom")?;
    for device in DEVICES.iter().filter(|d| matches!(d.kind, Kind::Nvme | Kind::Ahci)) {
        let mut page = [0; PAGE];
        random.read_exact(&mut page)?;
        let mut file = File::create(image(directory, device))?;
        file.write_all(&page)?;
        file.set_len(DISK)?;
    }
    Ok(())
}

fn image(directory: &Path, device: &Device) -> PathBuf {
    directory.join(format!("{}.raw", device.name))
}

/// Boots, and takes the kernel's lines in until QEMU ends.
fn listen(directory: &Path, iommu: Iommu, timeout: Duration, transcript: &mut Transcript) -> Result<()> {
    let started = Instant::now();
    let mut log = File::create(directory.join("console.log"))?;
    let mut qemu = Running(
        Command::new("qemu-system-x86_64")
            .current_dir(directory)
            .args(arguments(iommu))
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
                if let Some((_, text)) = line.split_once(MARK) {
                    done |= transcript.take(text) == Event::Bye;
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

fn arguments(iommu: Iommu) -> Vec<String> {
    let mut args: Vec<String> = [
        "-machine",
        "q35,smm=off",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "qemu64,+svm,+npt,+sse4.1",
        "-m",
        "512",
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
        "console=com1 dom0=pvh dom0_mem=128M iommu=no-sharept loglvl=all spec-ctrl=no",
        "-initrd",
        "kernel role=dom0",
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

/// A row for each device, for each other function, and for the machine.
fn rows(boot: &Booted) -> Vec<Row> {
    let mut by_device: BTreeMap<&str, Vec<&Check>> = BTreeMap::new();
    for check in &boot.transcript.checks {
        by_device.entry(&check.device).or_default().push(check);
    }
    let machine = vec!["enumerate", "absent", "odd-widths"];
    let mut expected = vec![("machine", "", machine, None)];
    expected.extend(DEVICES.iter().map(|d| (d.bdf, d.name, required(d), Some(d))));
    let mut rows = Vec::new();
    for (bdf, name, required, device) in expected {
        let checks = by_device.remove(bdf).unwrap_or_default();
        let mut row = row(boot.iommu, bdf, name, &checks);
        for name in required {
            if !checks.iter().any(|c| c.name == name) {
                row.failed.push(format!("{name}: not reached"));
            }
        }
        if let Some(device) = device {
            for (name, at) in [("host-data", 0), ("written", WRITTEN)] {
                for check in checks.iter().filter(|c| c.name == name && c.verdict == Verdict::Ok) {
                    let sum = on_disk(&image(&boot.directory, device), at);
                    if sum.as_deref().ok() != Some(check.detail.as_str()) {
                        row.failed.push(format!("{name}: the disk holds other data"));
                    }
                }
            }
        }
        rows.push(row);
    }
    rows.extend(by_device.iter().map(|(bdf, checks)| row(boot.iommu, bdf, "", checks)));
    for row in &mut rows {
        row.passed = row.failed.is_empty();
    }
    rows
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

/// The kernel's checksum (`Dma::sum` in its `memory.rs`) of a page of a disk, as seen from outside.
fn on_disk(image: &Path, at: usize) -> Result<String> {
    let disk = fs::read(image)?;
    let page = disk.get(at..at + PAGE).context("the disk is too short")?;
    let (low, high) = page.chunks_exact(4).fold((0_u32, 0_u32), |(low, high), bytes| {
        let low = low.wrapping_add(bytes.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b)));
        (low, high.wrapping_add(low))
    });
    Ok(format!("{high:08x}{low:08x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(text: &str) -> Booted {
        let mut transcript = Transcript::default();
        for line in text.lines() {
            transcript.take(line);
        }
        Booted { iommu: Iommu::Intel, transcript, error: None, directory: PathBuf::from("/nonexistent") }
    }

    #[test]
    fn what_is_not_reached_or_not_known_shows() {
        let rows = rows(&boot("check machine enumerate ok 9\ncheck 00:09.0 config fail a dword differs"));
        assert_eq!(rows.len(), DEVICES.len() + 2);
        assert_eq!(rows[0].failed, ["absent: not reached", "odd-widths: not reached"]);
        assert_eq!(rows[0].held, ["enumerate 9"]);
        assert_eq!(rows.last().unwrap().failed, ["config a dword differs"]);
        assert!(rows.iter().all(|r| !r.passed));
    }

    #[test]
    fn a_disk_speaks_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut boot = boot("check 00:02.0 host-data ok 0000000600000003\ncheck 00:02.0 written ok 1");
        boot.directory = dir.path().to_owned();
        let mut disk = vec![0; WRITTEN + PAGE];
        (disk[PAGE - 8], disk[PAGE - 4]) = (3, 0);
        fs::write(image(dir.path(), &DEVICES[0]), &disk).unwrap();
        let row = &rows(&boot)[1];
        assert!(row.failed.contains(&"written: the disk holds other data".to_owned()));
        assert!(!row.failed.contains(&"host-data: the disk holds other data".to_owned()), "{:?}", row.failed);
    }
}
