//! The emulated machine: its command line, its disks, and a server on the host for its network cards.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    devices::{DEVICES, Device, Kind},
    monitor::Monitor,
};
use crate::run;

/// What dom0 writes to each disk; each disk is twice this.
pub(crate) const DATA_BYTES: usize = 1 << 20;

/// The virtual CPUs of a machine.
pub(crate) const CPUS: usize = 2;

/// The start of a disk that is written again and again.
const REWRITTEN: usize = DATA_BYTES / 2;

/// Which IOMMU the machine has. Without one, Xen cannot run a PVH dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Iommu {
    Intel,
    Amd,
}

impl Iommu {
    /// The name in reports and of directories.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Intel => "intel",
            Self::Amd => "amd",
        }
    }

    /// What QEMU is told.
    pub(crate) fn qemu(self) -> &'static str {
        match self {
            Self::Intel => "intel-iommu,intremap=on",
            // In pass-through mode it would not remap interrupts.
            Self::Amd => "amd-iommu,intremap=on,pt=off",
        }
    }
}

/// Data that nobody can guess, and its checksums.
pub(crate) struct Data {
    /// What dom0 writes and sends.
    pub payload: Vec<u8>,
    /// What the second half of each disk holds from the start.
    half: Vec<u8>,
}

impl Data {
    /// Draws it.
    pub(crate) fn draw() -> Result<Self> {
        let mut all = vec![0; 2 * DATA_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut all)?;
        let half = all.split_off(DATA_BYTES);
        Ok(Self { payload: all, half })
    }

    /// The checksum that a check has to report, for those that report one.
    pub(crate) fn expected(&self, kind: Kind, check: &str) -> Option<String> {
        match (kind, check) {
            (Kind::Nvme, "io") => Some(sum(&[&self.payload])),
            (Kind::Nvme | Kind::Ahci, "host-data") => Some(sum(&[&self.half])),
            (Kind::Ahci, "io") => Some(sum(&[&vec![0; DATA_BYTES], &self.half])),
            _ => None,
        }
    }

    fn disk(&self) -> Vec<u8> {
        let mut disk = vec![0; DATA_BYTES];
        disk.extend_from_slice(&self.half);
        disk
    }

    /// Looks at a disk from outside when the machine is off: what was written is there, the rest is as it was.
    pub(crate) fn on_disk(&self, image: &Path) -> Result<bool> {
        let disk = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let written = disk.get(REWRITTEN..DATA_BYTES) == self.payload.get(REWRITTEN..);
        Ok(written && disk.get(DATA_BYTES..) == Some(self.half.as_slice()))
    }
}

fn sum(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A running QEMU; ended when dropped.
pub(crate) struct Machine {
    pub child: Child,
    /// The second serial port.
    pub port: TcpStream,
    monitor: Monitor,
    devices: Vec<Device>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What to boot.
pub(crate) struct Image<'a> {
    pub xen: &'a Path,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// More words for Xen's command line.
    pub options: &'a str,
    /// Devices beside those that every machine has.
    pub more: &'a [Device],
    /// More for QEMU.
    pub arguments: &'a [&'a str],
}

impl Machine {
    /// Makes the disks in `directory` and starts QEMU there.
    pub(crate) fn start(directory: &Path, image: &Image<'_>, iommu: Iommu, data: &Data) -> Result<Self> {
        let devices: Vec<Device> = DEVICES.iter().chain(image.more).copied().collect();
        for device in devices.iter().filter(|d| matches!(d.kind, Kind::Nvme | Kind::Ahci)) {
            fs::write(directory.join(format!("{}.raw", device.name)), data.disk())?;
        }
        // Relative names: a comma in a path would end a file name for QEMU.
        for (name, path) in [("xen", image.xen), ("vmlinux", image.kernel), ("initramfs", image.initramfs)] {
            let link = directory.join(name);
            let _ = fs::remove_file(&link);
            symlink(path, link)?;
        }
        let (report, monitor) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let mut command = Command::new("qemu-system-x86_64");
        command.current_dir(directory).args(arguments(iommu, image.options));
        for (name, listener) in [("report", &report), ("monitor", &monitor)] {
            let port = listener.local_addr()?.port();
            command.args(["-chardev", &format!("socket,id={name},host=127.0.0.1,port={port}")]);
        }
        command.args(image.arguments).args(devices.iter().flat_map(|d| d.qemu));
        let log = fs::File::create(directory.join("qemu.log"))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let mut accept = |listener| {
            accept(listener, &mut child)?.with_context(|| {
                let said = fs::read_to_string(directory.join("qemu.log")).unwrap_or_default();
                format!("QEMU did not start\n{}", run::tail(&said, 10))
            })
        };
        let (port, monitor) = (accept(&report)?, accept(&monitor)?);
        Ok(Self { child, port, monitor: Monitor::open(monitor)?, devices })
    }

    /// Plugs a device in that was taken out.
    pub(crate) fn plug(&mut self, name: &str) -> Result<()> {
        let device = self.devices.iter().find(|d| d.name == name);
        self.monitor.plug(device.with_context(|| format!("there is no device {name}"))?)
    }
}

/// QEMU's connection, which it makes before anything else; `None` if it ended over a wrong argument.
fn accept(listener: &TcpListener, child: &mut Child) -> Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn arguments(iommu: Iommu, options: &str) -> Vec<String> {
    let mut args: Vec<String> = [
        "-machine",
        // With SMM on, Xen's dom0 hangs.
        "q35,smm=off",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "qemu64,+svm,+npt,+sse4.1",
        "-m",
        "2048",
        "-display",
        "none",
        "-vga",
        "none",
        "-mon",
        "chardev=monitor,mode=control",
        "-no-reboot",
        "-net",
        "none",
        "-kernel",
        "xen",
        "-initrd",
        "vmlinux console=hvc0 earlyprintk=xen panic=-1 mitigations=off,initramfs",
        "-device",
        iommu.qemu(),
        "-serial",
        "stdio",
        "-serial",
        "chardev:report",
    ]
    .map(str::to_owned)
    .into();
    // conswitch=ax: the first serial port's input stays with Xen, for its debug keys.
    // no-sharept: the emulated CPU's page tables (AMD's) are not what an Intel IOMMU reads.
    // spec-ctrl=no, mitigations=off: QEMU does not speculate.
    let xen = "console=com1 conswitch=ax dom0=pvh dom0_mem=1024M iommu=verbose,no-sharept \
               loglvl=all guest_loglvl=all noreboot spec-ctrl=no";
    args.extend(["-append".to_owned(), format!("{xen} {options}")]);
    args.extend(["-smp".to_owned(), CPUS.to_string()]);
    args
}

/// Serves until the program ends: sends back as many bytes as a connection's first line says. Returns its port, which
/// dom0 finds at its gateway's address.
pub(crate) fn echo_server() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    Ok(port)
}

fn echo(stream: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut data = vec![0; line.trim().parse::<usize>()?.min(2 * DATA_BYTES)];
    reader.read_exact(&mut data)?;
    reader.into_inner().write_all(&data)?;
    Ok(())
}

/// Boots a machine for each of these, side by side where that is well.
pub(crate) fn each<T: Send>(iommus: &[Iommu], boot: impl Fn(Iommu) -> Result<T> + Sync) -> Result<Vec<T>> {
    // A machine runs beside another only where its virtual CPUs have CPUs of their own: with fewer, those that wait for
    // each other spin.
    let at_once = thread::available_parallelism()?.get() / CPUS;
    let mut all = Vec::new();
    for group in iommus.chunks(at_once.max(1)) {
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = group.iter().map(|iommu| scope.spawn(|| boot(*iommu))).collect();
            running.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for result in results {
            all.push(result.map_err(|_| anyhow!("a boot's thread panicked"))??);
        }
    }
    Ok(all)
}

/// Whether QEMU has a kind of device.
pub(crate) fn has(kind: &str) -> Result<bool> {
    let list = run::output(Command::new("qemu-system-x86_64").args(["-device", "help"]))?;
    Ok(list.contains(&format!("name \"{kind}\"")))
}

/// Where a boot keeps its disks and logs.
pub(crate) fn directory(name: &str) -> Result<PathBuf> {
    run::directory(run::target().join("boot").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_sees_what_was_written() {
        let data = Data { payload: vec![7; DATA_BYTES], half: vec![9; DATA_BYTES] };
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("d.raw");
        let mut disk = data.disk();
        fs::write(&image, &disk).unwrap();
        assert!(!data.on_disk(&image).unwrap());
        disk.splice(REWRITTEN..DATA_BYTES, vec![7; DATA_BYTES - REWRITTEN]);
        fs::write(&image, &disk).unwrap();
        assert!(data.on_disk(&image).unwrap());
        *disk.last_mut().unwrap() = 0;
        fs::write(&image, &disk).unwrap();
        assert!(!data.on_disk(&image).unwrap());
    }

    #[test]
    fn checksums_are_sha256() {
        assert_eq!(sum(&[b"a", b"bc"]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn echoes_what_it_is_told_to() {
        let mut stream = TcpStream::connect(("127.0.0.1", echo_server().unwrap())).unwrap();
        stream.write_all(b"3\nabc").unwrap();
        let mut back = String::new();
        stream.read_to_string(&mut back).unwrap();
        assert_eq!(back, "abc");
    }
}
