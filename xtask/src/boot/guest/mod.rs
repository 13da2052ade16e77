//! `cargo xtask boot --guest` and `--q35`: guests that own devices, started from dom0 by a loader of our own.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

mod console;
mod launched;
mod linux;
mod loader;
mod report;
pub(super) mod rows;
pub(super) mod scenario;
mod trace;
mod whole;

use super::{
    devices::{ATI, DEVICES, Kind, PHYSICAL},
    initramfs::{Archive, COMMON, Kernel},
    kernel,
    machine::{self, DATA_BYTES, Data, Image, Iommu},
    session::{self, Limits, Session},
};
use crate::{ui, xen::Build};
use scenario::Table;

/// Modules that dom0 loads: the hypercalls, event channels, and the driver that has a device before a guest gets it.
const MODULES: &[&str] = &["xen-privcmd", "xen-evtchn", "nvme"];

/// What all boots share.
pub(super) struct Plan<'a> {
    pub table: Table,
    pub xen: &'a Build,
    pub kernel: &'a Kernel,
    pub iommus: &'a [Iommu],
    /// The rows to run; all if there is none.
    pub names: &'a [String],
    pub limits: Limits,
    pub attempts: u32,
    pub json: bool,
}

/// The files that dom0 has for its guests.
struct Files {
    loader: PathBuf,
    tiny: PathBuf,
    guest: PathBuf,
}

/// Boots, and reports.
pub(super) fn run(plan: &Plan<'_>) -> Result<()> {
    for name in plan.names {
        ensure!(
            plan.iommus.iter().any(|iommu| plan.table.has(name, *iommu)),
            "there is no row {name}, or not with this IOMMU; docs/guests.md has them"
        );
    }
    let data = Data::draw()?;
    let directory = machine::directory(plan.table.name)?;
    let files = Files {
        loader: loader::build(plan.xen)?,
        tiny: kernel::build()?,
        guest: directory.join("guest.cpio"),
    };
    linux::initramfs(&files.guest, plan.kernel, &data.payload)?;
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (lines, error) in machine::each(plan.iommus, |iommu| boot(plan, iommu, &files, &data))? {
        rows.extend(lines);
        errors.extend(error);
    }
    report::Report::new(rows, errors).finish(plan.json)
}

/// Writes dom0's root file system.
fn initramfs(to: &Path, iommu: Iommu, plan: &Plan<'_>, files: &Files, data: &Data) -> Result<()> {
    let mut archive = Archive::create(to, include_bytes!("guest.sh"))?;
    archive.file("common.sh", COMMON)?;
    archive.file("servers.sh", include_bytes!("servers.sh"))?;
    let modules = archive.modules(plan.kernel, MODULES)?;
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
    archive.file("rows", scenario::file(plan.table.rows(iommu, plan.names), address).as_bytes())?;
    archive.copy(&files.loader, "usr/bin/loader")?;
    archive.copy(&files.tiny, "tiny.elf")?;
    archive.copy(&plan.kernel.image, "vmlinux")?;
    archive.copy(&files.guest, "guest.cpio")?;
    archive.finish()
}

fn boot(
    plan: &Plan<'_>,
    iommu: Iommu,
    files: &Files,
    data: &Data,
) -> Result<(Vec<report::Line>, Option<String>)> {
    let name = format!("{}-{}", plan.table.name, iommu.name());
    let archive = machine::directory(&name)?.join("initramfs.cpio");
    initramfs(&archive, iommu, plan, files, data)?;
    let image = Image {
        xen: &plan.xen.xen,
        kernel: &plan.kernel.image,
        initramfs: &archive,
        options: "",
        more: &[PHYSICAL, ATI],
    };
    let session = Session { name, iommu, image, data, limits: plan.limits };
    let (_, seen, result) = session.run_attempts(plan.attempts)?;
    let error = result.err().map(|error| format!("{error:#}\n{}", session::last_words(&session)));
    ui::say(format!("{}: {:.0} s", session.name, seen.seconds));
    Ok((report::lines(plan.table, iommu, plan.names, &seen, data), error))
}
