//! A Xen tree: its own copy or the user's; with the library in it or without.

use std::path::PathBuf;

use anyhow::Result;

mod apply;
mod build;

pub(crate) use apply::Glue;
pub(crate) use build::{Build, Options};

use crate::ui;

/// Put the library into a Xen 4.20 source tree, in place of its vPCI.
#[derive(clap::Args)]
pub(crate) struct ApplyArgs {
    /// The top of the Xen source tree.
    #[arg(long, value_name = "PATH")]
    xen: PathBuf,
}

/// Take the library out of a Xen source tree again.
#[derive(clap::Args)]
pub(crate) struct RemoveArgs {
    /// The top of the Xen source tree.
    #[arg(long, value_name = "PATH")]
    xen: PathBuf,
}

/// `cargo xtask apply`.
pub(crate) fn apply(args: &ApplyArgs) -> Result<()> {
    apply::check_version(&args.xen)?;
    let changed = Glue::build()?.apply(&args.xen)?;
    let now = if changed { "now has" } else { "already had" };
    ui::say(format!("{} {now} the library; build it with `make -C xen` as always", args.xen.display()));
    Ok(())
}

/// `cargo xtask remove`.
pub(crate) fn remove(args: &RemoveArgs) -> Result<()> {
    let changed = apply::remove(&args.xen)?;
    let now = if changed { "is as it was" } else { "did not have the library" };
    ui::say(format!("{} {now}", args.xen.display()));
    Ok(())
}
