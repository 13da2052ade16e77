//! `cargo xtask boot`: real Xen, a real dom0, devices that are worked with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    packages,
    xen::{Build, Options},
};

mod compare;
mod devices;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod monitor;
mod outcome;
mod protocol;
mod q35;
mod regression;
mod report;
mod reset;
mod session;
mod whole;
mod xen_state;

use compare::{Difference, Expected, Side};
use initramfs::{Exercise, Kernel};
use machine::{Data, Image, Iommu};
use regression::Scope;
use report::Row;
use session::{Limits, Session};

/// Boot Xen with the library and a Linux dom0 under QEMU, and drive devices there.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Xen 4.20 source tree to apply the library to, build and boot, instead of a copy of our own.
    #[arg(long, value_name = "PATH")]
    xen: Option<PathBuf>,
    /// Boot our own kernel instead of Linux: a regression run of seconds; or have it start guests of its own.
    #[arg(
        long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "regression", conflicts_with_all = ["compare", "c_vpci", "quick"]
    )]
    kernel: Option<Scope>,
    /// Boot Xen's own vPCI as well, and show every difference.
    #[arg(long, conflicts_with = "c_vpci")]
    compare: bool,
    /// Boot Xen's own vPCI only.
    #[arg(long, conflicts_with = "xen")]
    c_vpci: bool,
    /// The IOMMU of the machine.
    #[arg(long, value_enum, default_value_t = Which::Both)]
    iommu: Which,
    /// Start guests that own the devices, instead of driving them in dom0.
    #[arg(long, group = "tables", conflicts_with_all = ["compare", "c_vpci", "quick", "kernel"])]
    guest: bool,
    /// Start guests that have the Q35's host bridge and ECAM, beside device models of their own.
    #[arg(long, group = "tables", conflicts_with_all = ["compare", "c_vpci", "quick", "kernel"])]
    q35: bool,
    /// Have Xen reset devices, and drive them in dom0 afterwards.
    #[arg(long, group = "tables", conflicts_with_all = ["compare", "c_vpci", "quick", "kernel"])]
    reset: bool,
    /// Of the rows of the guests or resets only this one, beside the guests' first; may be repeated.
    #[arg(long, value_name = "NAME", requires = "tables")]
    row: Vec<String>,
    /// Build Xen with its assertions.
    #[arg(long)]
    debug: bool,
    /// Each device once, without unbinding, resetting and removing.
    #[arg(long)]
    quick: bool,
    /// Seconds that a boot may take; 600 if not given, 900 with --q35, where a device model is asked thousands of times.
    #[arg(long)]
    timeout: Option<u64>,
    /// How often a boot is tried where QEMU delivered an interrupt twice or took Xen's registers for its guest's, as it does now
    /// and then on a busy machine.
    #[arg(long, default_value_t = 3)]
    attempts: u32,
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

/// Everything that the boots of one command share.
struct Plan<'a> {
    kernel: &'a Kernel,
    data: &'a Data,
    echo_port: u16,
    limits: Limits,
    stress: bool,
    /// Has the library hide a function. Xen's own vPCI cannot, so there is nothing to compare.
    hide: bool,
    attempts: u32,
}

/// What the boots of a command with rows share.
struct Common<'a> {
    xen: &'a Build,
    kernel: &'a Kernel,
    iommus: &'a [Iommu],
    /// The rows to run; all if there is none.
    names: &'a [String],
    limits: Limits,
    attempts: u32,
    json: bool,
}

/// One boot's result.
struct Booted {
    variant: &'static str,
    iommu: Iommu,
    /// How often it was tried; more than once where QEMU was suspect.
    attempts: u32,
    rows: Vec<Row>,
    lspci: String,
    error: Option<String>,
}

/// `cargo xtask boot`.
pub(crate) fn run(args: &Args) -> Result<()> {
    packages::install(packages::BOOT)?;
    let iommus: &[Iommu] = match args.iommu {
        Which::Intel => &[Iommu::Intel],
        Which::Amd => &[Iommu::Amd],
        Which::Both => &[Iommu::Intel, Iommu::Amd],
    };
    let options = |rust| Options { tree: args.xen.clone().filter(|_| rust), rust, debug: args.debug };
    if let Some(scope) = args.kernel {
        let timeout = Duration::from_secs(args.timeout.unwrap_or(90).min(90));
        return regression::run(&options(true), scope, iommus, timeout, args.json);
    }
    let kernel = Kernel::get()?;
    // The loader says nothing while it copies a kernel, page by page, and nobody while drivers and resets wait for what does
    // not come: minutes on a busy machine.
    let tables = args.guest || args.q35 || args.reset;
    let silence = Duration::from_secs(if tables { 180 } else { 60 });
    let whole = Duration::from_secs(args.timeout.unwrap_or(if args.q35 { 900 } else { 600 }));
    let limits = Limits { whole, silence };
    if tables {
        let common = Common {
            xen: &Build::make(&options(true))?,
            kernel: &kernel,
            iommus,
            names: &args.row,
            limits,
            attempts: args.attempts,
            json: args.json,
        };
        return match (args.reset, args.q35) {
            (true, _) => reset::run(&common),
            (_, true) => guest::run(q35::TABLE, &common),
            _ => guest::run(guest::rows::TABLE, &common),
        };
    }
    let mut variants: Vec<(&'static str, Build)> = Vec::new();
    if !args.c_vpci {
        variants.push(("rust", Build::make(&options(true))?));
    }
    if args.c_vpci || args.compare {
        variants.push(("c", Build::make(&options(false))?));
    }
    let plan = Plan {
        kernel: &kernel,
        data: &Data::draw()?,
        echo_port: machine::echo_server()?,
        limits,
        stress: !args.quick,
        hide: !args.compare,
        attempts: args.attempts,
    };
    let mut boots = Vec::new();
    for (variant, build) in &variants {
        boots.extend(machine::each(iommus, |iommu| boot(variant, build, iommu, &plan))?);
    }
    let differences = if args.compare { compare(&boots, iommus)? } else { Vec::new() };
    report::Report::new(&boots, differences).finish(args.json)
}

/// The differences between the two variants, for each IOMMU where both came to an end.
fn compare(boots: &[Booted], iommus: &[Iommu]) -> Result<Vec<Difference>> {
    let list = Expected::load()?;
    let side = |variant: &str, iommu: Iommu| {
        let boot = boots.iter().find(|b| b.variant == variant && b.iommu == iommu && b.error.is_none())?;
        Some(Side { rows: boot.rows.iter().collect(), lspci: &boot.lspci })
    };
    let mut all = Vec::new();
    for iommu in iommus {
        if let (Some(c), Some(rust)) = (side("c", *iommu), side("rust", *iommu)) {
            all.extend(compare::differences(iommu.name(), &c, &rust, &list));
        }
    }
    Ok(all)
}

/// What `exercise.sh` has to know.
fn settings(echo_port: u16, rounds: u32) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("echo_port", echo_port.to_string()),
        ("data_bytes", machine::DATA_BYTES.to_string()),
        ("network_bytes", (1 << 18).to_string()),
        ("rounds", rounds.to_string()),
    ])
}

fn boot(variant: &'static str, build: &Build, iommu: Iommu, plan: &Plan<'_>) -> Result<Booted> {
    let name = format!("{variant}-{}", iommu.name());
    let directory = machine::directory(&name)?;
    let mut settings = settings(plan.echo_port, 10);
    if plan.stress {
        settings.insert("stress", "yes".to_owned());
        // Xen's own vPCI does not survive this: see docs/differences.md.
        if variant == "rust" {
            // What is behind a port goes before the port.
            let mut all: Vec<_> = devices::DEVICES.iter().filter(|d| d.msix).collect();
            all.sort_by_key(|d| d.bdf.starts_with("00:"));
            let addresses: Vec<String> = all.iter().map(|d| format!("0000:{}", d.bdf)).collect();
            settings.insert("storm", "28".to_owned());
            settings.insert("storm_devices", addresses.join(" "));
        }
    }
    let mut options = String::new();
    if plan.hide && variant == "rust" {
        settings.insert("hidden", format!("0000:{}", devices::HIDDEN));
        options = format!("vpci-hide={}", devices::HIDDEN);
    }
    let archive = directory.join("initramfs.cpio");
    let exercise = Exercise {
        init: include_bytes!("init.sh"),
        kernel: plan.kernel,
        modules: &[],
        more: &[],
        settings: &settings,
        payload: &plan.data.payload,
    };
    exercise.archive(&archive)?.finish()?;
    let image = Image {
        xen: &build.xen,
        kernel: &plan.kernel.image,
        initramfs: &archive,
        options: &options,
        more: &[],
        arguments: &[],
    };
    let session = Session { name, iommu, image, data: plan.data, limits: plan.limits };
    let (attempts, seen, result) = session.run_attempts(plan.attempts)?;
    let rows = report::rows(variant, iommu, &seen, plan.data, plan.stress, plan.hide);
    let lspci = compare::unpack(seen.transcript.block("lspci"));
    if let Ok(text) = &lspci {
        std::fs::write(directory.join("lspci.txt"), text)?;
    }
    let error = match (result, lspci.as_ref()) {
        (Err(error), _) => Some(format!("{error:#}\n{}", session::last_words(&session))),
        (Ok(()), Err(error)) => Some(format!("{}: {error:#}", session.name)),
        (Ok(()), Ok(_)) => None,
    };
    Ok(Booted { variant, iommu, attempts, rows, lspci: lspci.unwrap_or_default(), error })
}
