//! `cargo xtask bench` and `cargo xtask differential`: the library beside Xen's own `vpci.c`, in one program.

use anyhow::{Context as _, Result, bail};

use self::{figures::Figures, program::Program};
use crate::{
    library::{self, Extent},
    ui,
};

mod callgrind;
mod differential;
mod figures;
mod program;
mod text;

pub(crate) use differential::{Args as DifferentialArgs, run as differential};

/// Count the instructions of an access, ours and Xen's, and check the limits.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Where the library is entered for a reset, and what it leaves it for.
const RESETS: &[&str] = &["rvpci_reset_step", "rvpci_physical_learn", "rvpci_host_*", "memset", "memcpy"];

/// `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = Program::build("bench", Some(&["-DNDEBUG"]))?;
    ui::say("counting instructions under callgrind");
    let (printed, dumps) = program.callgrind(&[])?;
    let printed = program::figures(&printed)?;
    let accesses = *printed.get("accesses").context("the program does not say how many accesses it made")?;
    let mut figures = Figures::new(callgrind::per_access(&callgrind::parse(&dumps)?, accesses)?);
    figures.set("bytes_per_device", printed.get("bytes_per_device").copied());
    count_resets(&mut figures)?;
    figures.set("text", Some(text::of_object(&library::build(Extent::Hardware)?)?));
    figures.set("whole_text", Some(text::of_object(program.library())?));
    figures.set("c_text", Some(text::of_xen()?));
    figures.set("glue_text", text::of_glue()?);

    if args.json {
        println!("{}", figures.json());
    } else {
        println!("{figures}");
    }
    let limits = figures.limits();
    let missed: Vec<_> =
        limits.iter().filter(|limit| !limit.holds).map(|limit| limit.what.as_str()).collect();
    if !missed.is_empty() {
        bail!("{} of {} limits are missed:\n  {}", missed.len(), limits.len(), missed.join("\n  "));
    }
    if !args.json {
        println!("All {} limits hold.", limits.len());
    }
    Ok(())
}

/// The instructions of a step of a reset and of learning what a function is, the most of each kind.
fn count_resets(figures: &mut Figures) -> Result<()> {
    let program = Program::build("reset", None)?;
    ui::say("counting instructions of resets under callgrind");
    let (printed, dumps) = program.callgrind(RESETS)?;
    for (key, most) in callgrind::most(&callgrind::parse(&dumps)?)? {
        figures.set(key, Some(most));
    }
    figures.set("bytes_per_physical", program::figures(&printed)?.get("bytes_per_physical").copied());
    Ok(())
}
