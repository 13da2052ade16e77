//! The commands a person runs on this project. `cargo xtask help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod boot;
mod ci;
mod coverage;
mod fuzz;
mod gates;
mod library;
mod packages;
mod q35;
mod run;
mod toolchain;
mod ui;
mod xen;

/// Build, check, measure and boot the vPCI library inside real Xen.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Boot(boot::Args),
    Apply(xen::ApplyArgs),
    Remove(xen::RemoveArgs),
    Gates(gates::Args),
    Bench(bench::Args),
    Differential(bench::DifferentialArgs),
    Coverage(coverage::Args),
    Fuzz(fuzz::Args),
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Boot(args) => boot::run(&args),
        Command::Apply(args) => xen::apply(&args),
        Command::Remove(args) => xen::remove(&args),
        Command::Gates(args) => gates::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Differential(args) => bench::differential(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Ci(args) => ci::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
