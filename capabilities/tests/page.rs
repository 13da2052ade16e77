//! `docs/policy.md` is what the tables say.
//!
//! `VPCI_BLESS=1 cargo test -p capabilities --test page` writes its tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use capabilities::policy::rule::{ANY, KNOWN, Scope};
use capabilities::policy::{Control, EXTENDED, Field, HEADER, Length, Policy, STANDARD, Visibility};

/// What follows this line is written by this test.
const MARK: &str = "<!-- What follows is written from the tables by capabilities/tests/page.rs. -->\n";

/// The bits of a mask as the specifications write them: `15:8, 0`.
fn bits(mask: u32) -> String {
    let mut ranges = Vec::new();
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        if mask >> bit & 1 == 0 {
            continue;
        }
        let high = bit;
        while bit > 0 && mask >> (bit - 1) & 1 == 1 {
            bit -= 1;
        }
        ranges.push(if high == bit { format!("{bit}") } else { format!("{high}:{bit}") });
    }
    ranges.join(", ")
}

fn control(control: Control) -> &'static str {
    match control {
        Control::Device => "",
        Control::Pinned => "pinned",
        Control::Hypervisor => "the hypervisor's",
    }
}

fn length(length: Length) -> String {
    match length {
        Length::Bytes(bytes) => format!("{bytes} bytes"),
        Length::Express => "as long as its version and type say".to_owned(),
        Length::Msi => "as long as its Message Control says".to_owned(),
        Length::Sata => "8 bytes".to_owned(),
        Length::Byte2 | Length::Vendor => "as long as it says".to_owned(),
        Length::Open => "up to the next capability".to_owned(),
    }
}

fn fields(text: &mut String, policy: &Policy) {
    text.push_str(
        "| offset | bits | field | a guest | the hardware domain | why |\n|---|---|---|---|---|---|\n",
    );
    for Field { name, offset, bits: mask, guest, host, why } in policy.fields {
        let (bits, guest, host) = (bits(*mask), guest.word(), control(*host));
        writeln!(text, "| {offset:02x} | {bits} | {name} | {guest} | {host} | {why} |").expect("it grows");
    }
}

fn shown(text: &mut String, id: &str, policy: &Policy) {
    let Policy { name, section, why, .. } = policy;
    let guest = if policy.guest == Visibility::OnRequest { "On request" } else { "Shown" };
    let floor = if policy.floor { ", and no rule changes that" } else { "" };
    let length = length(policy.length);
    writeln!(text, "\n### {id} {name}\n\n{section}; {length}. {guest}{floor}: {why}.\n").expect("it grows");
    fields(text, policy);
}

fn hidden<'p>(text: &mut String, policies: impl Iterator<Item = (String, &'p Policy)>) {
    text.push_str("| ID | capability | section | by a rule | why hidden |\n|---|---|---|---|---|\n");
    for (id, Policy { name, section, length, floor, why, .. }) in policies {
        let rule = match (floor, length) {
            (true, _) => "never",
            (false, Length::Byte2 | Length::Vendor) => "read, write",
            (false, _) => "read",
        };
        writeln!(text, "| {id} | {name} | {section} | {rule} | {why} |").expect("it grows");
    }
}

fn tables() -> String {
    let standard = || STANDARD.iter().enumerate().map(|(id, policy)| (format!("{id:02X}h"), policy));
    let extended = || EXTENDED.iter().enumerate().map(|(id, policy)| (format!("{id:04X}h"), policy));
    let is_hidden = |(_, policy): &(String, &Policy)| policy.guest == Visibility::Hidden;
    let mut text = format!("{MARK}\n## The header\n\n{}.\n\n", HEADER.section);
    fields(&mut text, &HEADER);
    text.push_str("\n## Capabilities that a guest has\n");
    for (id, policy) in standard().chain(extended()).filter(|row| !is_hidden(row)) {
        shown(&mut text, &id, policy);
    }
    text.push_str("\n## Standard capabilities that no guest has\n\n");
    hidden(&mut text, standard().filter(is_hidden));
    text.push_str(
        "\nIDs that are not in the tables are hidden likewise, and a rule may show them to be read.\n",
    );
    text.push_str("\n## Extended capabilities that no guest has\n\n");
    hidden(&mut text, extended().filter(is_hidden));
    text.push_str("\n## Rules that the library brings along\n\n");
    text.push_str("| rule | device | capability | key | bytes | reads | writes | why |\n|---|---|---|---|---|---|---|---|\n");
    for known in KNOWN {
        let rule = known.rule;
        let id = |id| if id == ANY { "any".to_owned() } else { format!("{id:04x}") };
        let (vendor, device) = (id(rule.vendor), id(rule.device));
        let capability = match rule.scope().expect("a built-in rule has a scope") {
            Scope::Bytes => String::new(),
            Scope::Standard(id) => format!("{:02X}h", id.0),
            Scope::Extended(id) => format!("{:04X}h", id.0),
        };
        let last = rule.offset + rule.length - 1;
        writeln!(
            text,
            "| {} | {vendor}:{device} | {capability} | dword {:02x} & {:08x} = {:08x} | {:02x}–{last:02x} | {:08x} | {:08x} | {} |",
            known.name, rule.key_offset, rule.key_mask, rule.key_value, rule.offset, rule.read, rule.write, known.why
        )
        .expect("it grows");
    }
    text
}

#[test]
fn the_page_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let page = fs::read_to_string(&path).expect("docs/policy.md is there");
    let prose = page.split(MARK).next().unwrap_or_default();
    let current = format!("{prose}{}", tables());
    if env::var_os("VPCI_BLESS").is_some() {
        fs::write(&path, &current).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("docs/policy.md is there");
    assert!(
        page == current,
        "docs/policy.md is not what the tables say; VPCI_BLESS=1 cargo test -p capabilities --test page writes it anew"
    );
}

#[test]
fn rows_are_rows() {
    let texts = STANDARD.iter().chain(&EXTENDED).chain([&HEADER]).flat_map(|policy| {
        let fields = policy.fields.iter().flat_map(|field| [field.name, field.why]);
        [policy.name, policy.section, policy.why].into_iter().chain(fields)
    });
    for text in texts {
        assert!(!text.contains(['|', '\n']) && !text.ends_with('.') && text.trim() == text, "{text}");
    }
}

#[test]
fn masks_read_as_in_the_specifications() {
    assert_eq!(bits(0x0000_0001), "0");
    assert_eq!(bits(0x8000_ff05), "31, 15:8, 2, 0");
    assert_eq!(bits(u32::MAX), "31:0");
}
