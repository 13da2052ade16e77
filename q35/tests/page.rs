//! The end of `docs/q35.md` is what the table of registers says.
//!
//! `VPCI_BLESS=1 cargo test -p q35 --test page` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use q35::registers::{ROWS, Row};

/// What follows this line is written by this test.
const MARK: &str = "<!-- What follows is written from the table by q35/tests/page.rs. -->\n";

/// A value of the register's width.
fn hex(value: u64, row: &Row) -> String {
    format!("{value:0width$x}", width = 2 * usize::from(row.width))
}

/// Bits as a mask; nothing if there are none.
fn mask(bits: u64, row: &Row) -> String {
    if bits == 0 { String::new() } else { hex(bits, row) }
}

fn table() -> String {
    let mut table = String::from(MARK);
    table.push_str("\n| offset | register | reset | RW | RW/L | RW1C | what it does | source |\n");
    table.push_str("|---|---|---|---|---|---|---|---|\n");
    for row in ROWS {
        let Row { offset, name, note, source, .. } = row;
        let reset = hex(row.reset, row);
        let (rw, locked) = (mask(row.write & !row.locked, row), mask(row.locked, row));
        let clear = mask(row.clear, row);
        writeln!(
            table,
            "| {offset:02x} | {name} | {reset} | {rw} | {locked} | {clear} | {note} | {source} |"
        )
        .expect("it grows");
    }
    table
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/q35.md");
    let page = fs::read_to_string(&path).expect("docs/q35.md is there");
    let prose = page.split(MARK).next().unwrap_or_default();
    let current = format!("{prose}{}", table());
    if env::var_os("VPCI_BLESS").is_some() {
        fs::write(&path, &current).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("docs/q35.md is there");
    assert!(
        page == current,
        "docs/q35.md is not what the table says; VPCI_BLESS=1 cargo test -p q35 --test page writes it anew"
    );
}

#[test]
fn rows_are_rows() {
    for text in ROWS.iter().flat_map(|row| [row.name, row.note, row.source]) {
        assert!(!text.contains(['|', '\n']) && !text.ends_with('.') && text.trim() == text, "{text}");
    }
}
