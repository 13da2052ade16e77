//! Running other programs, so that a failure names the program and where its output is.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The checkout that this program was built from.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// `target/` of the checkout: everything that is downloaded, built or logged goes below it.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Creates a directory and its parents.
pub(crate) fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a program and returns what it wrote to stdout; on failure the error carries its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = shown(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {text}"))?;
    if !out.status.success() {
        bail!("{text}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a program with its output appended to `log`; on failure the error ends with the log's last lines and its name.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let text = shown(command);
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    writeln!(file, "$ {text}")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {text}"))?;
    if !status.success() {
        let all = fs::read(log).unwrap_or_default();
        bail!(
            "{text}: {status}\n{}\nthe whole log: {}",
            tail(&String::from_utf8_lossy(&all), 15),
            log.display()
        );
    }
    Ok(())
}

/// The last `count` lines of a text.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect::<Vec<_>>().join("\n")
}

/// Writes a file unless it already has this content, so that `make` sees a change only where one is. Says if it wrote.
pub(crate) fn write_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }

    #[test]
    fn a_failure_names_program_and_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let error =
            logged(Command::new("sh").args(["-c", "echo why; exit 3"]), &log).unwrap_err().to_string();
        assert!(error.contains("why") && error.contains("log") && error.contains('3'), "{error}");
    }

    #[test]
    fn an_unchanged_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(write_changed(&path, b"1").unwrap());
        assert!(!write_changed(&path, b"1").unwrap());
        assert!(write_changed(&path, b"2").unwrap());
    }
}
