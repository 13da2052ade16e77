//! `cargo xtask boot --guest` and `--q35`: guests that own devices, started from dom0 by a loader of our own.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

mod console;
mod launched;
mod linux;
pub(super) mod loader;
mod report;
pub(super) mod rows;
pub(super) mod scenario;
mod trace;
mod whole;

use super::{
    Common,
    devices::{ATI, DEVICES, Kind, PHYSICAL},
    initramfs::{Archive, COMMON},
    kernel,
    machine::{self, DATA_BYTES, Data, Image, Iommu},
    outcome::{Boot, Report},
    session::{self, Session},
};
use crate::ui;
use scenario::Table;

/// Modules that dom0 loads: the hypercalls, event channels, and the driver that has a device before a guest gets it.
const MODULES: &[&str] = &["xen-privcmd", "xen-evtchn", "nvme"];

/// The files that dom0 has for its guests.
struct Files {
    loader: PathBuf,
    tiny: PathBuf,
    guest: PathBuf,
}

/// Boots, and reports.
pub(super) fn run(table: Table, common: &Common<'_>) -> Result<()> {
    for name in common.names {
        ensure!(
            common.iommus.iter().any(|iommu| table.has(name, *iommu)),
            "there is no row {name}, or not with this IOMMU; docs/guests.md has them"
        );
    }
    let data = Data::draw()?;
    let directory = machine::directory(table.name)?;
    let files = Files {
        loader: loader::build(common.xen)?,
        tiny: kernel::build()?,
        guest: directory.join("guest.cpio"),
    };
    linux::initramfs(&files.guest, common.kernel, &data.payload)?;
    let boots = machine::each(common.iommus, |iommu| boot(table, common, iommu, &files, &data))?;
    Report::new(boots).finish(common.json)
}

/// Writes dom0's root file system.
fn initramfs(
    to: &Path,
    iommu: Iommu,
    table: Table,
    common: &Common<'_>,
    files: &Files,
    data: &Data,
) -> Result<()> {
    let mut archive = Archive::create(to, include_bytes!("guest.sh"))?;
    archive.file("common.sh", COMMON)?;
    archive.file("servers.sh", include_bytes!("servers.sh"))?;
    let modules = archive.modules(common.kernel, MODULES)?;
    let address = |name: &str| scenario::device(name).map(|d| format!("0000:{}", d.bdf));
    let disks: Vec<_> =
        DEVICES.iter().filter(|d| d.kind == Kind::Nvme).filter_map(|d| address(d.name)).collect();
    let settings = format!(
        "modules='{}'\ndevices='{}'\nphysical='0000:{}'\nblocks={}\n",
        modules.join(" "),
        disks.join(" "),
        PHYSICAL.bdf,
        DATA_BYTES >> 16
    );
    archive.file("settings", settings.as_bytes())?;
    archive.file("payload", &data.payload)?;
    archive.file("rows", scenario::file(table.rows(iommu, common.names), address).as_bytes())?;
    archive.copy(&files.loader, "usr/bin/loader")?;
    archive.copy(&files.tiny, "tiny.elf")?;
    archive.copy(&common.kernel.image, "vmlinux")?;
    archive.copy(&files.guest, "guest.cpio")?;
    archive.finish()
}

fn boot(
    table: Table,
    common: &Common<'_>,
    iommu: Iommu,
    files: &Files,
    data: &Data,
) -> Result<Boot<report::Line>> {
    let name = format!("{}-{}", table.name, iommu.name());
    let archive = machine::directory(&name)?.join("initramfs.cpio");
    initramfs(&archive, iommu, table, common, files, data)?;
    let image = Image {
        xen: &common.xen.xen,
        kernel: &common.kernel.image,
        initramfs: &archive,
        options: "",
        more: &[PHYSICAL, ATI],
        arguments: &[],
    };
    let session = Session { name, iommu, image, data, limits: common.limits };
    let (attempts, seen, result) = session.run_attempts(common.attempts)?;
    let error = result.err().map(|error| format!("{error:#}\n{}", session::last_words(&session)));
    ui::say(format!("{}: {:.0} s", session.name, seen.seconds));
    Ok(Boot {
        lines: report::lines(table, iommu, common.names, &seen, data),
        error,
        attempts,
        untried: Vec::new(),
    })
}
