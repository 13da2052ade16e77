//! The dumps of real and emulated functions: those in `$VPCI_DUMPS`, or in `../shared/dumps` beside the checkout.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// All of them, in order.
///
/// # Panics
///
/// If there are none.
pub fn files() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/dumps");
    let directory = env::var_os("VPCI_DUMPS").map_or(beside, PathBuf::from);
    let mut found = Vec::new();
    search(&directory, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no dumps in {}", directory.display());
    found
}

fn search(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", directory.display())).path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
}
