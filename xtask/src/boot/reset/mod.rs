//! `cargo xtask boot --reset`: devices that the hypervisor resets, and that dom0 works with afterwards.

use std::path::PathBuf;

use anyhow::{Result, ensure};

mod report;
mod rows;

use super::{
    Common,
    devices::{Device, IGB, PAIR},
    guest::loader,
    initramfs::Exercise,
    kernel,
    machine::{self, Data, Image, Iommu},
    outcome::{Boot, Report},
    session::{self, Session},
    settings,
};
use crate::ui;

/// Hypercalls from user space, and the driver of a card that not every QEMU has.
const MODULES: &[&str] = &["xen-privcmd", "igb"];

/// Slots are hot-plugged by their ports' registers, as on a machine.
const NATIVE_HOT_PLUG: &[&str] = &["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"];

/// The files that dom0 has for guests, which own a device and do nothing with it.
struct Files {
    loader: PathBuf,
    tiny: PathBuf,
}

/// The machine's devices beside those that every machine has.
fn more(iommu: Iommu) -> Result<Vec<Device>> {
    // QEMU's AMD IOMMU takes functions behind ports for those of bus 0, and 00:00.1 is none.
    let pair = if iommu == Iommu::Intel { PAIR } else { &[] };
    let card = machine::has(IGB.name)?.then_some(IGB);
    Ok(pair.iter().copied().chain(card).collect())
}

/// Boots, and reports.
pub(super) fn run(common: &Common<'_>) -> Result<()> {
    let machines = common.iommus.iter().map(|iommu| more(*iommu)).collect::<Result<Vec<_>>>()?;
    for name in common.names {
        ensure!(
            machines.iter().any(|more| rows::of(more, &[]).any(|row| row.name == name)),
            "there is no row {name}, or not in this machine; docs/reset.md has them"
        );
    }
    let data = Data::draw()?;
    let files = Files { loader: loader::build(common.xen)?, tiny: kernel::build()? };
    let echo_port = machine::echo_server()?;
    let boots = machine::each(common.iommus, |iommu| boot(common, iommu, &files, echo_port, &data))?;
    Report::new(boots).finish(common.json)
}

fn boot(
    common: &Common<'_>,
    iommu: Iommu,
    files: &Files,
    echo_port: u16,
    data: &Data,
) -> Result<Boot<report::Line>> {
    let name = format!("reset-{}", iommu.name());
    let archive = machine::directory(&name)?.join("initramfs.cpio");
    let mut settings = settings(echo_port, rows::ROUNDS);
    let more = more(iommu)?;
    let wanted: Vec<&str> = rows::of(&more, common.names).map(|row| row.name).collect();
    settings.insert("rows", wanted.join(" "));
    let exercise = Exercise {
        init: include_bytes!("reset.sh"),
        kernel: common.kernel,
        modules: MODULES,
        more: &more,
        settings: &settings,
        payload: &data.payload,
    };
    let mut root = exercise.archive(&archive)?;
    root.copy(&files.loader, "usr/bin/loader")?;
    root.copy(&files.tiny, "tiny.elf")?;
    root.finish()?;
    let image = Image {
        xen: &common.xen.xen,
        kernel: &common.kernel.image,
        initramfs: &archive,
        options: "",
        more: &more,
        arguments: NATIVE_HOT_PLUG,
    };
    let session = Session { name, iommu, image, data, limits: common.limits };
    let (attempts, seen, result) = session.run_attempts(common.attempts)?;
    let error = result.err().map(|error| format!("{error:#}\n{}", session::last_words(&session)));
    ui::say(format!("{}: {:.0} s", session.name, seen.seconds));
    let lines = report::lines(iommu, &more, common.names, &seen, data);
    Ok(Boot { lines, error, attempts, untried: report::untried(iommu, &more, common.names) })
}
