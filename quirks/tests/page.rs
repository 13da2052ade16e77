//! `docs/quirks.md` is what the tables say.
//!
//! `VPCI_BLESS=1 cargo test -p quirks --test page` writes its tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use quirks::mirrors::{self, Answer, Choice, Place};
use quirks::table::{DEVICES, FAMILIES, Ids, Known, Says, When};

/// What follows this line is written by this test.
const MARK: &str = "<!-- What follows is written from the tables by quirks/tests/page.rs. -->\n";

/// The kinds of rows, as the files in `quirks/src/table`.
const KINDS: [&str; 6] =
    ["Interrupts", "Isolation and assignment", "Links", "Power", "Reset", "Configuration space"];

fn devices(ids: Ids) -> String {
    let Ids { first, last, mask } = ids;
    let like = if mask == 0 { String::new() } else { format!(" like {first:04x} in {mask:04x}") };
    match (first, last) {
        (0, u16::MAX) => "any".to_owned(),
        _ if first == last => format!("{first:04x}"),
        _ => format!("{first:04x}–{last:04x}{like}"),
    }
}

fn conditions(when: &When) -> String {
    let mut all = Vec::new();
    match when.class_mask {
        0 => {}
        0xff00_0000 => all.push(format!("class {:02x}", when.class_value >> 24)),
        0xffff_0000 => all.push(format!("class {:04x}", when.class_value >> 16)),
        _ => all.push(format!("class {:06x}", when.class_value >> 8)),
    }
    match when.revisions {
        (0, u8::MAX) => {}
        (first, last) if first == last => all.push(format!("revision {first:02x}")),
        (first, last) => all.push(format!("revision {first:02x}–{last:02x}")),
    }
    if let Some(subsystem) = when.subsystem {
        all.push(format!("subsystem {:04x}:{:04x}", subsystem & 0xffff, subsystem >> 16));
    }
    let name = |name: &str| name.to_lowercase().replace('_', " ");
    all.extend(when.has.iter_names().map(|(has, _)| name(has)));
    all.extend(when.lacks.iter_names().map(|(lacks, _)| format!("not {}", name(lacks))));
    if let Some((first, last)) = when.sound_firmware {
        all.push(format!("firmware not {first}–{last}"));
    }
    all.join(", ")
}

fn says(says: Says) -> String {
    match says {
        Says::Flags(flags) => flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(", "),
        Says::D3hotDelay(ms) => format!("{ms} ms after D3hot"),
        Says::D3hotDelayOfAll(ms) => format!("{ms} ms after D3hot, for all"),
        Says::D3coldDelay(ms) => format!("{ms} ms after a bus reset"),
        Says::VpdLength(bytes) => format!("{bytes} bytes of VPD"),
        Says::Reset(reset) => format!("reset by {reset:?}"),
        Says::Order(order) => format!("{order:?}"),
    }
}

/// Rows that differ in their devices alone are one.
fn rows(text: &mut String, rows: &[Known]) {
    text.push_str("| vendor | devices | if | what | why |\n|---|---|---|---|---|\n");
    let mut written = Vec::new();
    for Known { row, why } in rows {
        let like = |other: &&Known| {
            (other.row.vendor, other.row.when, other.row.says, other.why)
                == (row.vendor, row.when, row.says, *why)
        };
        let Known { row: first, .. } = rows.iter().find(like).expect("it is like itself");
        if written.contains(first) {
            continue;
        }
        written.push(*first);
        let ids = rows.iter().filter(like).map(|known| devices(known.row.ids)).collect::<Vec<_>>();
        let (ids, when, says) = (ids.join(" "), conditions(&row.when), says(row.says));
        writeln!(text, "| {:04x} | {ids} | {when} | {says} | {why} |", row.vendor).expect("it grows");
    }
}

fn place(place: Place) -> String {
    match place {
        Place::Nowhere => String::new(),
        Place::Memory(bar) => format!("BAR {bar}"),
        Place::Memory32(bar) => format!("BAR {bar}, 32-bit"),
        Place::Memory64(bar) => format!("BAR {bar}, 64-bit"),
        Place::Ports(bar) => format!("BAR {bar}, I/O"),
    }
}

fn choice(choice: Choice) -> String {
    match choice {
        Choice::Bytes { offset, length, answer } => {
            let range = format!("{offset:x}–{:x}", offset + length - 1);
            match answer {
                Answer::View(config) => format!("{range} is configuration space from {config:02x} on"),
                Answer::Closed => format!("{range} is nobody's"),
                Answer::Gate { mask, value } => {
                    format!("{offset:x} is the device's, but for writes of {value:x} in {mask:x}")
                }
                Answer::Pass { width, value } => {
                    format!("{offset:x}: a {width:?} of {value:x} is the device's").to_lowercase()
                }
            }
        }
        Choice::NoPorts => "the BAR is not a guest's".to_owned(),
        Choice::NoPortsBesideBar0 => "no I/O BAR is a guest's while a page of BAR 0 is left out".to_owned(),
        Choice::NoLegacyPorts => "the ports are not a guest's".to_owned(),
        Choice::Hidden => "hidden by [policy](policy.md)".to_owned(),
        Choice::Refused(reasons) => {
            let names = reasons.iter_names().map(|(name, _)| name).collect::<Vec<_>>();
            format!("the device is refused: {}", names.join(", "))
        }
    }
}

fn mirrors(text: &mut String) {
    text.push_str("| mirror | device | if | where | what is done | why |\n|---|---|---|---|---|---|\n");
    let group = |one: &mirrors::Known, other: &mirrors::Known| {
        (one.mirror.vendor, one.mirror.when, one.mirror.place, one.mirror.choice, one.name)
            == (other.mirror.vendor, other.mirror.when, other.mirror.place, other.mirror.choice, other.name)
    };
    for rows in mirrors::KNOWN.chunk_by(group) {
        let Some(mirrors::Known { mirror, name, why }) = rows.first() else { continue };
        let ids = rows.iter().map(|known| devices(known.mirror.ids)).collect::<Vec<_>>().join(" ");
        let (when, place, choice) = (conditions(&mirror.when), place(mirror.place), choice(mirror.choice));
        writeln!(text, "| {name} | {:04x}: {ids} | {when} | {place} | {choice} | {why} |", mirror.vendor)
            .expect("it grows");
    }
}

fn tables() -> String {
    let mut text = MARK.to_owned();
    for (kind, table) in KINDS.into_iter().zip(DEVICES) {
        write!(text, "\n## {kind}\n\n").expect("it grows");
        rows(&mut text, table);
    }
    text.push_str("\n## Rows about many devices\n\n");
    rows(&mut text, FAMILIES);
    text.push_str("\n## Ways around configuration space\n\n");
    mirrors(&mut text);
    text
}

#[test]
fn the_page_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/quirks.md");
    let page = fs::read_to_string(&path).expect("docs/quirks.md is there");
    let prose = page.split(MARK).next().unwrap_or_default();
    let current = format!("{prose}{}", tables());
    if env::var_os("VPCI_BLESS").is_some() {
        fs::write(&path, &current).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("docs/quirks.md is there");
    assert!(
        page == current,
        "docs/quirks.md is not what the tables say; VPCI_BLESS=1 cargo test -p quirks --test page writes it anew"
    );
}

#[test]
fn words_are_words() {
    let rows = DEVICES.into_iter().chain([FAMILIES]).flatten().map(|known| known.why);
    let mirrors = mirrors::KNOWN.iter().flat_map(|known| [known.name, known.why]);
    for text in rows.chain(mirrors) {
        assert!(!text.contains(['|', '\n']) && !text.ends_with('.') && text.trim() == text, "{text}");
    }
}
