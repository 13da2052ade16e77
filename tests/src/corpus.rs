//! What was recorded elsewhere: the dumps of real and emulated functions in `$VPCI_DUMPS`, or in `../shared/dumps` beside
//! the checkout, and likewise the accesses of firmware and systems in `$VPCI_TRACES` or `../shared/traces`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// All dumps, in order.
///
/// # Panics
///
/// If there are none.
pub fn files() -> Vec<PathBuf> {
    files_in("VPCI_DUMPS", "dumps", &["txt"])
}

/// All traces, in order; some are compressed.
///
/// # Panics
///
/// If there are none.
pub fn traces() -> Vec<PathBuf> {
    files_in("VPCI_TRACES", "traces", &["trace", "gz"])
}

fn files_in(variable: &str, name: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    let directory = env::var_os(variable).map_or(beside, PathBuf::from);
    let mut found = Vec::new();
    search(&directory, extensions, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {name} in {}", directory.display());
    found
}

fn search(directory: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", directory.display())).path();
        if path.is_dir() {
            search(&path, extensions, found);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            found.push(path);
        }
    }
}
