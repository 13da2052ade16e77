//! What was recorded elsewhere: the dumps of real and emulated functions in `$VPCI_DUMPS`, the accesses of firmware and
//! systems in `$VPCI_TRACES`, and lists of devices in `$VPCI_LISTS`. Without those, they are in `../shared/dumps`, `traces` and
//! `reference` beside the checkout.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What was recorded, by its kind.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    variable: &'static str,
    name: &'static str,
}

/// Dumps of configuration space.
pub const DUMPS: Kind = Kind { variable: "VPCI_DUMPS", name: "dumps" };
/// Accesses of firmware and systems.
pub const TRACES: Kind = Kind { variable: "VPCI_TRACES", name: "traces" };
/// Lists of devices.
pub const LISTS: Kind = Kind { variable: "VPCI_LISTS", name: "reference" };

impl Kind {
    /// Where it is.
    pub fn directory(self) -> PathBuf {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(self.name);
        env::var_os(self.variable).map_or_else(beside, PathBuf::from)
    }

    /// Whether its tests are to be run: it is there, or somebody said where.
    pub fn is_expected(self) -> bool {
        env::var_os(self.variable).is_some() || self.directory().is_dir()
    }
}

/// All dumps, in order.
///
/// # Panics
///
/// If there are none.
pub fn files() -> Vec<PathBuf> {
    files_in(DUMPS, &["txt"])
}

/// All traces, in order; some are compressed.
///
/// # Panics
///
/// If there are none.
pub fn traces() -> Vec<PathBuf> {
    files_in(TRACES, &["trace", "gz"])
}

fn files_in(kind: Kind, extensions: &[&str]) -> Vec<PathBuf> {
    let directory = kind.directory();
    let mut found = Vec::new();
    search(&directory, extensions, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {} in {}", kind.name, directory.display());
    found
}

/// A list of devices: the fields of its rows, without the headings.
///
/// # Panics
///
/// If it is not there, or a row has too many fields or too few.
pub fn list<const N: usize>(name: &str) -> Vec<[String; N]> {
    let path = LISTS.directory().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fields = |line: &str| {
        let found = split(line);
        found.try_into().unwrap_or_else(|found| panic!("{name}: {found:?}"))
    };
    text.lines().skip(1).map(fields).collect()
}

/// The fields of a line: between commas, but for commas in quotation marks.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("there is one").push(letter),
        }
    }
    fields
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
