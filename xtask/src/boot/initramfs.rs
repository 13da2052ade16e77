//! dom0's root file system: busybox, lspci, the kernel's modules and the exercise.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use cpio::newc::{Builder, trailer};

use super::devices::{DEVICES, Device, MODULES};
use crate::{packages, run, ui};

/// What dom0's first process begins with.
pub(super) const COMMON: &[u8] = include_bytes!("common.sh");

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER: u32 = 0o020_600;

/// Debian's kernel, unpacked below the cache.
pub(crate) struct Kernel {
    /// The image.
    pub image: PathBuf,
    /// `lib/modules/VERSION`.
    modules: PathBuf,
}

impl Kernel {
    /// Fetches and unpacks it, once.
    pub(crate) fn get() -> Result<Self> {
        let package = packages::kernel()?;
        let root = run::target().join("cache/linux").join(package.file_stem().unwrap_or_default());
        if !root.exists() {
            ui::say("unpacking dom0's kernel");
            let partial = root.with_extension("part");
            let _ = fs::remove_dir_all(&partial);
            run::directory(partial.clone())?;
            run::output(Command::new("dpkg").arg("-x").arg(&package).arg(&partial))?;
            let modules = only(&partial.join("lib/modules"), "")?;
            let version = modules.file_name().unwrap_or_default();
            run::output(Command::new("/sbin/depmod").arg("-b").arg(&partial).arg(version))?;
            fs::rename(&partial, &root)?;
        }
        let image = root.join("vmlinux");
        if !image.exists() {
            unpack(&only(&root.join("boot"), "vmlinuz-")?, &image)?;
        }
        Ok(Self { image, modules: only(&root.join("lib/modules"), "")? })
    }

    /// The files to load for these modules, what a module needs before it.
    fn closure(&self, modules: &[&str]) -> Result<Vec<PathBuf>> {
        let dep = self.modules.join("modules.dep");
        let text = fs::read_to_string(&dep).with_context(|| format!("cannot read {}", dep.display()))?;
        load_order(&text, modules).map(|files| files.iter().map(|f| self.modules.join(f)).collect())
    }
}

/// Unpacks the ELF file in a compressed image: Xen could, but emulated that takes seconds.
fn unpack(image: &Path, to: &Path) -> Result<()> {
    let data = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let packed = payload(&data).with_context(|| format!("{} is not a bzImage", image.display()))?;
    let partial = to.with_extension("xz");
    fs::write(&partial, packed)?;
    // --single-stream: the length of the unpacked kernel follows.
    let mut xz = Command::new("xz");
    xz.args(["--decompress", "--keep", "--force", "--single-stream", "--quiet"]).arg(&partial);
    run::output(&mut xz)?;
    fs::rename(partial.with_extension(""), to)?;
    Ok(())
}

/// What a bzImage holds, by its setup header (Linux's `Documentation/arch/x86/boot.rst`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match image.get(0x1f1)? {
        0 => 4,
        n => usize::from(*n),
    };
    let start = ((sectors + 1) * 512).checked_add(word(0x248)?)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

/// The one entry of a directory whose name starts so.
fn only(directory: &Path, start: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    entries
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start)))
        .with_context(|| format!("{} has no {start}*", directory.display()))
}

fn stem(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).split(".ko").next().unwrap_or(file)
}

/// Orders modules by `modules.dep`, whose lines name a module and then what it needs, nearest first.
fn load_order(dep: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let lines: BTreeMap<&str, (&str, &str)> = dep
        .lines()
        .filter_map(|l| l.split_once(':'))
        .map(|(file, needs)| (stem(file), (file, needs)))
        .collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let (file, needs) = lines.get(name).with_context(|| format!("the kernel has no module {name}"))?;
        for file in needs.split_whitespace().rev().chain([*file]) {
            if !order.iter().any(|f| f == file) {
                order.push(file.to_owned());
            }
        }
    }
    Ok(order)
}

/// A cpio archive in the making.
pub(super) struct Archive<W: Write> {
    out: W,
    inode: u32,
    directories: Vec<PathBuf>,
}

impl Archive<BufWriter<fs::File>> {
    /// Starts the archive of a root file system with a first process, busybox and a console.
    pub(super) fn create(to: &Path, init: &[u8]) -> Result<Self> {
        let out =
            BufWriter::new(fs::File::create(to).with_context(|| format!("cannot write {}", to.display()))?);
        let mut archive = Self { out, inode: 0, directories: Vec::new() };
        archive.file("init", init)?;
        archive.parents("dev/console")?;
        archive.entry("dev/console", |b| b.mode(CHARACTER).rdev_major(5).rdev_minor(1), &[])?;
        archive.copy(Path::new("/bin/busybox"), "bin/busybox")?;
        Ok(archive)
    }

    /// Adds kernel modules with what they need, and returns their names in the order to load them.
    pub(super) fn modules(&mut self, kernel: &Kernel, wanted: &[&str]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for module in kernel.closure(wanted)? {
            let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.copy(&module, &format!("modules/{name}"))?;
            names.push(stem(&name).to_owned());
        }
        Ok(names)
    }

    /// Ends it.
    pub(super) fn finish(self) -> Result<()> {
        trailer(self.out)?.flush()?;
        Ok(())
    }
}

impl<W: Write> Archive<W> {
    fn entry(&mut self, name: &str, builder: impl FnOnce(Builder) -> Builder, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let builder = builder(Builder::new(name).ino(self.inode).nlink(1));
        let mut writer = builder.write(&mut self.out, u32::try_from(content.len())?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.parents(name)?;
        self.entry(name, |b| b.mode(EXECUTABLE), content)
    }

    fn parents(&mut self, name: &str) -> Result<()> {
        let missing: Vec<PathBuf> = Path::new(name)
            .ancestors()
            .skip(1)
            .filter(|p| !p.as_os_str().is_empty() && !self.directories.iter().any(|d| d == p))
            .map(Path::to_path_buf)
            .collect();
        for directory in missing.into_iter().rev() {
            self.entry(&directory.to_string_lossy(), |b| b.mode(DIRECTORY), &[])?;
            self.directories.push(directory);
        }
        Ok(())
    }

    /// Adds a file of the host's.
    pub(super) fn copy(&mut self, from: &Path, name: &str) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(name, &content)
    }
}

/// The root file system of a dom0 that works with devices (`exercise.sh`).
pub(crate) struct Exercise<'a> {
    /// The first process.
    pub init: &'a [u8],
    pub kernel: &'a Kernel,
    /// Modules beside the drivers.
    pub modules: &'a [&'a str],
    /// Devices beside those that every machine has.
    pub more: &'a [Device],
    /// Become shell variables.
    pub settings: &'a BTreeMap<&'a str, String>,
    /// What it writes and sends.
    pub payload: &'a [u8],
}

impl Exercise<'_> {
    /// Starts its archive, to which files may be added.
    pub(crate) fn archive(&self, to: &Path) -> Result<Archive<BufWriter<fs::File>>> {
        let mut archive = Archive::create(to, self.init)?;
        archive.file("common.sh", COMMON)?;
        archive.file("exercise.sh", include_bytes!("exercise.sh"))?;
        archive.file("udhcpc.sh", include_bytes!("udhcpc.sh"))?;
        let lspci = Path::new("/usr/bin/lspci");
        archive.copy(lspci, "usr/bin/lspci")?;
        archive.copy(Path::new("/usr/bin/setpci"), "usr/bin/setpci")?;
        for library in libraries(&run::output(Command::new("ldd").arg(lspci))?) {
            archive.copy(Path::new(library), library.trim_start_matches('/'))?;
        }
        let modules = archive.modules(self.kernel, &[MODULES, self.modules].concat())?;
        let mut text = format!("modules='{}'\n", modules.join(" "));
        for (name, value) in self.settings {
            writeln!(text, "{name}='{value}'")?;
        }
        archive.file("settings", text.as_bytes())?;
        let mut devices = String::new();
        for d in DEVICES.iter().chain(self.more) {
            writeln!(devices, "{} 0000:{} {} {}", d.name, d.bdf, d.driver, d.kind.name())?;
        }
        archive.file("devices", devices.as_bytes())?;
        archive.file("payload", self.payload)?;
        Ok(archive)
    }
}

/// The files that `ldd` names.
fn libraries(ldd: &str) -> Vec<&str> {
    ldd.lines()
        .filter_map(|line| {
            let line = line.trim();
            let path = line.split_once("=> ").map_or(line, |(_, path)| path);
            path.split(' ').next().filter(|p| p.starts_with('/'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need() {
        let dep = "kernel/b/nvme.ko: kernel/b/nvme-core.ko kernel/l/t10.ko kernel/l/crc.ko\n\
                   kernel/l/crc.ko:\nkernel/l/t10.ko: kernel/l/crc.ko\nkernel/s/sd_mod.ko: kernel/l/t10.ko kernel/l/crc.ko\n";
        let order = load_order(dep, &["nvme", "sd_mod"]).unwrap();
        let names: Vec<&str> = order.iter().map(|f| stem(f)).collect();
        assert_eq!(names, ["crc", "t10", "nvme-core", "nvme", "sd_mod"]);
        assert!(load_order(dep, &["igb"]).unwrap_err().to_string().contains("igb"));
    }

    #[test]
    fn finds_what_a_kernel_image_holds() {
        let mut image = vec![0; 0x800];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 4;
        image[0x24c] = 2;
        image[0x404..0x406].copy_from_slice(b"xz");
        assert_eq!(payload(&image), Some(&b"xz"[..]));
        image[0x24f] = 0xff;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"MZ"), None);
    }

    #[test]
    fn reads_ldd() {
        let text =
            "\tlinux-vdso.so.1 (0x7f)\n\tlibpci.so.3 => /lib/libpci.so.3 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(libraries(text), ["/lib/libpci.so.3", "/lib64/ld.so.2"]);
    }

    #[test]
    fn the_archive_has_each_directory_once() {
        let mut archive = Archive { out: Vec::new(), inode: 0, directories: Vec::new() };
        archive.file("a/b/c", b"1").unwrap();
        archive.file("a/b/d", b"2").unwrap();
        let names = String::from_utf8_lossy(&archive.out).matches("a/b\0").count();
        assert_eq!((names, archive.inode), (1, 4));
    }
}
