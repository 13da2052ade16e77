//! pciutils as a judge from outside: `lspci` and `setpci` read configuration spaces that the library made.

use std::path::Path;
use std::process::Command;

/// What `lspci -F` prints of the functions in a file, with these options, and what it says to its standard error.
///
/// # Panics
///
/// If it cannot be run, or fails.
pub fn read(file: &Path, options: &[&str]) -> (Vec<String>, Vec<String>) {
    let output = run(Command::new("lspci").arg("-F").arg(file).args(options));
    // What it wants with libkmod it wants of any function.
    let errors = output.1.into_iter().filter(|line| !line.contains("libkmod")).collect();
    (output.0, errors)
}

/// The values of these registers of a function in a file, as `setpci` prints them: a name or number and `.B`, `.W`, `.L`.
///
/// # Panics
///
/// If it cannot be run, fails, or says anything to its standard error.
pub fn registers(file: &Path, slot: &str, registers: &[&str]) -> Vec<String> {
    let name = format!("dump.name={}", file.display());
    let mut command = Command::new("setpci");
    let (values, errors) = run(command.args(["-A", "dump", "-O", &name, "-s", slot]).args(registers));
    assert_eq!(errors, [""; 0], "setpci complains");
    values
}

/// The lines of both outputs of a program.
fn run(command: &mut Command) -> (Vec<String>, Vec<String>) {
    let output = command.env("LC_ALL", "C").output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?} (Debian: pciutils) cannot be run: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    (lines(&output.stdout), lines(&output.stderr))
}

/// Whether `lspci` found something wrong or strange.
pub fn is_complaint(line: &str) -> bool {
    let words = [
        "<?>",
        "<chain",
        "<access",
        "<ignored",
        "<unassigned",
        "!!!",
        "unknown",
        "illegal",
        "invalid",
        "broken",
        "malformed",
        "unrecognized",
        "unsupported",
    ];
    let lower = line.to_lowercase();
    words.iter().any(|word| lower.contains(word))
}
