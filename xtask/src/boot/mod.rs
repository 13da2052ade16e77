//! `cargo xtask boot`: real Xen, a real dom0, devices that are worked with.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{
    packages, ui,
    xen::{Build, Options},
};

mod devices;
mod initramfs;
mod machine;
mod protocol;
mod report;
mod session;
mod xen_state;

use initramfs::Kernel;
use machine::{Data, Image, Iommu};
use report::Row;
use session::{Limits, Session};

/// Boot Xen with the library and a Linux dom0 under QEMU, and drive devices there.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Xen 4.20 source tree to apply the library to, build and boot, instead of a copy of our own.
    #[arg(long, value_name = "PATH")]
    xen: Option<PathBuf>,
    /// Boot Xen's own vPCI as well, and show every difference.
    #[arg(long, conflicts_with = "c_vpci")]
    compare: bool,
    /// Boot Xen's own vPCI only.
    #[arg(long)]
    c_vpci: bool,
    /// The IOMMU of the machine.
    #[arg(long, value_enum, default_value_t = Which::Both)]
    iommu: Which,
    /// Build Xen with its assertions.
    #[arg(long)]
    debug: bool,
    /// Each device once, without unbinding, resetting and removing.
    #[arg(long)]
    quick: bool,
    /// Seconds that a boot may take.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Intel,
    Amd,
    Both,
}

/// `cargo xtask boot`.
pub(crate) fn run(args: &Args) -> Result<()> {
    packages::install(packages::BOOT)?;
    let kernel = Kernel::get()?;
    let options = |rust| Options { tree: args.xen.clone().filter(|_| rust), rust, debug: args.debug };
    let mut variants: Vec<(&str, Build)> = Vec::new();
    if !args.c_vpci {
        variants.push(("rust", Build::make(&options(true))?));
    }
    if args.c_vpci || args.compare {
        variants.push(("c", Build::make(&options(false))?));
    }
    let iommus: &[Iommu] = match args.iommu {
        Which::Intel => &[Iommu::Intel],
        Which::Amd => &[Iommu::Amd],
        Which::Both => &[Iommu::Intel, Iommu::Amd],
    };
    let data = Arc::new(Data::draw()?);
    let port = machine::echo_server()?;
    let limits = Limits { whole: Duration::from_secs(args.timeout), silence: Duration::from_secs(60) };
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for (variant, build) in &variants {
        // The two machines run side by side.
        let boots: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = iommus
                .iter()
                .map(|iommu| {
                    let (data, kernel) = (&data, &kernel);
                    scope.spawn(move || boot(variant, build, kernel, *iommu, data, port, limits, !args.quick))
                })
                .collect();
            running.into_iter().map(|thread| thread.join()).collect()
        });
        for boot in boots {
            let Ok(boot) = boot else { bail!("a boot's thread panicked") };
            let (mut found, error) = boot?;
            rows.append(&mut found);
            errors.extend(error);
        }
    }
    if args.json {
        println!("{}", report::json(&rows, &errors)?);
    } else {
        println!("{}", report::table(&rows));
    }
    for error in &errors {
        ui::say(error);
    }
    let failed = rows.iter().filter(|r| !r.passed).count();
    let summary = format!("{} of {} rows pass", rows.len() - failed, rows.len());
    if failed > 0 || !errors.is_empty() {
        bail!("{summary}");
    }
    ui::say(format!("PASS: {summary}"));
    Ok(())
}

fn boot(
    variant: &str,
    build: &Build,
    kernel: &Kernel,
    iommu: Iommu,
    data: &Data,
    port: u16,
    limits: Limits,
    stress: bool,
) -> Result<(Vec<Row>, Option<String>)> {
    let name = format!("{variant}-{}", iommu.name());
    let directory = machine::directory(&name)?;
    let mut settings = BTreeMap::from([
        ("echo_port", port.to_string()),
        ("data_bytes", machine::DATA_BYTES.to_string()),
        ("network_bytes", (1 << 20).to_string()),
        ("rounds", "10".to_owned()),
    ]);
    if stress {
        settings.insert("stress", "yes".to_owned());
        if variant != "c" {
            settings.insert("storm", "40".to_owned());
            settings.insert("storm_devices", "0000:00:02.0 0000:00:03.0 0000:00:1c.0 0000:00:1c.1".to_owned());
        }
    }
    let archive = directory.join("initramfs.cpio");
    initramfs::write(&archive, kernel, &settings, &data.payload)?;
    let image = Image { xen: &build.xen, kernel: &kernel.image, initramfs: &archive };
    let session = Session { name, iommu, image, data, limits };
    let (seen, result) = session.run();
    let rows = report::rows(variant, iommu, &seen, data, stress);
    let error = result.err().map(|e| format!("{e:#}\n{}", session::last_words(&session)));
    Ok((rows, error))
}
