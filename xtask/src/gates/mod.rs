//! `cargo xtask gates`.

/// Stub.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<()> {
    println!("{}", crate::library::build()?.display());
    Ok(())
}
