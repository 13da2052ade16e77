//! What `docs/security.md` and `docs/risks.md` name exists: files, tests, and rows of the commands that boot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Columns whose cells name what shows something.
const SHOWN_BY: [&str; 2] = ["test", "shown by"];

/// Folders with no sources of ours.
const NOT_OURS: [&str; 2] = ["target", ".git"];

/// The sources: their paths from the workspace on, and what Rust code and the rows of boots are made of.
struct Sources {
    files: Vec<String>,
    tests: BTreeSet<String>,
    boot: String,
}

impl Sources {
    fn read() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = Self { files: Vec::new(), tests: BTreeSet::new(), boot: String::new() };
        sources.folder(&workspace, &workspace);
        sources
    }

    fn folder(&mut self, folder: &Path, workspace: &Path) {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<PathBuf> = entries.collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                self.folder(&path, workspace);
            } else if path.is_file() {
                self.file(&path, path.strip_prefix(workspace).expect("it is in the workspace"));
            }
        }
    }

    fn file(&mut self, path: &Path, name: &Path) {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("xtask/src/boot/") || name.starts_with("tests/kernel/src/") {
            self.boot.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).expect("a source");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if let Some((name, _)) = line.strip_prefix("fn ").and_then(|line| line.split_once('('))
                    && is_test
                {
                    self.tests.insert(name.to_owned());
                }
                is_test = line == "#[test]" || is_test && line.starts_with('#');
            }
        }
        self.files.push(name);
    }

    /// Whether there is a file of this name, which may have folders before it and one `*`.
    fn has_file(&self, name: &str) -> bool {
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        self.files.iter().any(|file| {
            let last = file.rsplit_once('/').map_or(file.as_str(), |(_, last)| last);
            if end.is_empty() {
                file == start || file.ends_with(&format!("/{start}"))
            } else {
                [file.as_str(), last].iter().any(|file| file.starts_with(start) && file.ends_with(end))
            }
        })
    }

    /// Whether there is a test of this name, or, before `…`, of which it is the start.
    fn has_test(&self, name: &str) -> bool {
        match name.strip_suffix('…') {
            Some(start) => self.tests.iter().any(|test| test.starts_with(start)),
            None => self.tests.contains(name),
        }
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_file(name: &str) -> bool {
    let ends = [".rs", ".c", ".h", ".md", ".csv", ".sh"];
    !name.contains(' ') && ends.iter().any(|end| name.ends_with(end) && name.len() > end.len())
}

/// The cells of a row of a table.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split(" | ").map(str::trim).collect()
}

/// What a page names and is not there.
fn missing(page: &str, sources: &Sources) -> Vec<String> {
    let mut missing = Vec::new();
    let mut shows: Option<usize> = None;
    let mut before = "";
    for line in page.lines() {
        missing
            .extend(quoted(line).filter(|name| is_file(name) && !sources.has_file(name)).map(str::to_owned));
        if !line.starts_with('|') {
            shows = None;
        } else if line.starts_with("|---") {
            shows = cells(before).iter().position(|heading| SHOWN_BY.contains(heading));
        } else if let Some(cell) = shows.and_then(|column| cells(line).get(column).copied()) {
            for name in quoted(cell).filter(|name| !is_file(name)) {
                let there = match name.strip_prefix("boot --") {
                    Some(option) => sources.boot.contains(&format!("    {option}: bool,")),
                    None if name.contains('_') => sources.has_test(name),
                    None => sources.boot.contains(&format!("\"{name}\"")),
                };
                if !there {
                    missing.push(name.to_owned());
                }
            }
        }
        before = line;
    }
    missing
}

#[test]
fn what_the_pages_name_exists() {
    let sources = Sources::read();
    for name in ["security.md", "risks.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let page = fs::read_to_string(&path).expect("a page");
        assert_eq!(missing(&page, &sources), Vec::<String>::new(), "docs/{name}");
        // It has been read: most rows say what shows them.
        assert!(quoted(&page).filter(|name| sources.has_test(name)).count() > 10, "docs/{name}");
    }
}

#[test]
fn what_does_not_exist_is_missed() {
    let sources = Sources::read();
    let page = "\
| what | test |
|---|---|
| `vanished.rs` and `docs.rs` | `what_the_pages_name_exists`, `what_the_pages_…`, `nobodys_…` |
| | `quoted`, `has_test`; `twenty` and `thirty-one` of `boot --guest`, `boot --never` |

In no column `nobody_knows_it`, but `nowhere/docs.rs` and `tests/tests/doc*.rs`.
";
    let expected =
        ["vanished.rs", "nobodys_…", "quoted", "has_test", "thirty-one", "boot --never", "nowhere/docs.rs"];
    let mut missing = missing(page, &sources);
    missing.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(missing, expected);
}
