//! Rules as a person writes them, and why one is refused.
//!
//! The form is described in `docs/policy.md`.

use std::fmt::Write as _;

use ::tests::oracle::{Block, Place};
use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::rule::{ANY, RawScope};
use capabilities::policy::{EXTENDED, Policy, Rule, RuleError, STANDARD, Scope};

/// A rule that shows nothing yet.
const NOTHING: Rule = Rule {
    vendor: ANY,
    device: ANY,
    class_mask: 0,
    class_value: 0,
    scope: RawScope { number: 0, zero: 0, id: 0 },
    offset: 0,
    length: 0,
    key_offset: 0,
    zero: 0,
    key_mask: 0,
    key_value: 0,
    read: u32::MAX,
    write: 0,
};

/// Reads a rule: words `name=value` in any order, between spaces or commas, all numbers in hexadecimal.
///
/// # Errors
///
/// What is wrong with a word, or missing.
pub(crate) fn parse(text: &str) -> Result<Rule, String> {
    let mut rule = NOTHING;
    let mut seen: Vec<&str> = Vec::new();
    for word in text.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is no `name=value`"))?;
        // Both say what the range is relative to.
        let name = if name == "ecap" { "cap" } else { name };
        if seen.contains(&name) {
            return Err(format!("`{word}`: that was said before"));
        }
        seen.push(name);
        set(&mut rule, word, value).ok_or_else(|| format!("`{word}`: {}", expected(word)))?;
    }
    if seen.contains(&"range") {
        return Ok(rule);
    }
    Err(format!("a range is missing: {}", expected("range=")))
}

fn set(rule: &mut Rule, word: &str, value: &str) -> Option<()> {
    match word.split_once('=')?.0 {
        "device" => {
            let (vendor, device) = value.split_once(':')?;
            let id = |text: &str| if text == "*" { Some(ANY) } else { hex(text, 4).map(low) };
            (rule.vendor, rule.device) = (id(vendor)?, id(device)?);
        }
        "class" => {
            let digits = u32::try_from(value.len()).ok().filter(|digits| matches!(digits, 2 | 4 | 6 | 8))?;
            let shift = 32 - 4 * digits;
            rule.class_mask = u32::MAX << shift;
            rule.class_value = hex(value, 8)? << shift;
        }
        "cap" => rule.scope = Scope::Standard(CapabilityId(hex(value, 2)?.to_le_bytes()[0])).raw(),
        "ecap" => rule.scope = Scope::Extended(ExtendedId(hex(value, 4).map(low)?)).raw(),
        "range" => {
            let (first, last) = value.split_once('-')?;
            let (first, last) = (hex(first, 3)?, hex(last, 3)?);
            (rule.offset, rule.length) = (low(first), low((last + 1).checked_sub(first)?));
        }
        "key" => {
            let mut parts = value.split('/');
            rule.key_offset = hex(parts.next()?, 3).map(low)?;
            rule.key_mask = hex(parts.next()?, 8)?;
            rule.key_value = hex(parts.next()?, 8)?;
            parts.next().is_none().then_some(())?;
        }
        "read" => rule.read = hex(value, 8)?,
        "write" => rule.write = hex(value, 8)?,
        _ => return None,
    }
    Some(())
}

/// What a word should look like.
fn expected(word: &str) -> &'static str {
    match word.split('=').next() {
        Some("device") => "expected device=VENDOR:DEVICE, as in 8086:1533; * is any",
        Some("class") => "expected class=CC, CCSS, CCSSPP or CCSSPPRR: class, subclass, interface, revision",
        Some("cap") => "expected cap=ID, the two digits of a standard capability",
        Some("ecap") => "expected ecap=ID, the four digits of an extended capability",
        Some("range") => "expected range=FIRST-LAST, the first and the last byte, as in 04-0b",
        Some("key") => "expected key=OFFSET/MASK/VALUE",
        Some("read" | "write") => "expected a mask of up to eight digits",
        _ => "expected device, class, cap, ecap, range, key, read or write",
    }
}

fn hex(text: &str, most: usize) -> Option<u32> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| digits)
}

const fn low(value: u32) -> u16 {
    value as u16 // CAST: at most four digits.
}

/// Writes a rule as [`parse`] reads it.
pub(crate) fn print(rule: &Rule) -> String {
    let mut text = String::new();
    let id = |id: u16| if id == ANY { "*".to_owned() } else { format!("{id:04x}") };
    let mut add = |word: &str| text.push_str(word);
    if (rule.vendor, rule.device) != (ANY, ANY) {
        add(&format!("device={}:{} ", id(rule.vendor), id(rule.device)));
    }
    let digits = rule.class_mask.leading_ones() as usize / 4; // CAST: widening.
    if digits != 0 {
        add(&format!("class={} ", &format!("{:08x}", rule.class_value)[..digits]));
    }
    match rule.scope() {
        Some(Scope::Standard(id)) => add(&format!("cap={:02x} ", id.0)),
        Some(Scope::Extended(id)) => add(&format!("ecap={:04x} ", id.0)),
        Some(Scope::Bytes) | None => {}
    }
    let end = u32::from(rule.offset) + u32::from(rule.length);
    add(&format!("range={:02x}-{:02x}", rule.offset, end.saturating_sub(1)));
    if rule.key_mask != 0 {
        add(&format!(" key={:02x}/{:08x}/{:08x}", rule.key_offset, rule.key_mask, rule.key_value));
    }
    write!(text, " read={:08x}", rule.read).expect("it grows");
    if rule.write != 0 {
        write!(text, " write={:08x}", rule.write).expect("it grows");
    }
    text
}

fn policy(scope: Scope) -> Option<&'static Policy> {
    match scope {
        Scope::Bytes => None,
        Scope::Standard(id) => STANDARD.get(usize::from(id.0)),
        Scope::Extended(id) => EXTENDED.get(usize::from(id.0)),
    }
}

/// Why the rule is refused, for the device with these capabilities.
pub(crate) fn why_refused(rule: &Rule, blocks: &[Block]) -> String {
    match (rule.check(), rule.scope()) {
        (Err(RuleError::Malformed), _) | (_, None) => why_malformed(rule),
        (Err(RuleError::Floor), Some(scope)) => why_below_floor(scope),
        (Ok(()), Some(_)) => why_here(rule, blocks),
    }
}

fn why_malformed(rule: &Rule) -> String {
    let unaligned = (rule.offset | rule.length) & 3 != 0;
    let reason = if unaligned {
        "its range is not of whole dwords: the first byte is a multiple of 4, the last one 3 more than one"
    } else if rule.length == 0 {
        "its range is empty"
    } else if rule.read == 0 {
        "it shows nothing"
    } else if rule.write & !rule.read != 0 {
        "it lets bits be written that it does not show"
    } else if rule.key_value & !rule.key_mask != 0 {
        "it can match nothing: its key has bits that its mask leaves out"
    } else if rule.key_mask == 0 && rule.key_offset != 0 {
        "its key has an empty mask"
    } else if rule.scope() == Some(Scope::Bytes) && rule.key_mask != 0 {
        "a key tells capabilities apart, and it is for bytes of configuration space"
    } else if rule.key_offset & 3 != 0 {
        "its key is not at a multiple of 4"
    } else if rule.vendor == ANY && rule.device != ANY {
        "it names a device of any vendor"
    } else {
        "its range, or its key, leaves the space of a capability"
    };
    format!("malformed: {reason}")
}

fn why_below_floor(scope: Scope) -> String {
    match policy(scope) {
        None if scope == Scope::Bytes => {
            "the header, bytes 00 to 3f, is the hypervisor's: no rule shows any of it".to_owned()
        }
        Some(policy) if policy.floor => format!("no rule may show any of {}: {}", policy.name, policy.why),
        _ => "a rule may let be written only what is in a vendor's own capability (cap=09, ecap=000b, ecap=0023) and \
              bytes that no capability owns"
            .to_owned(),
    }
}

/// A rule for bytes that meets a capability.
fn why_here(rule: &Rule, blocks: &[Block]) -> String {
    let end = rule.offset.saturating_add(rule.length);
    let next = |block: &Block| {
        let behind = blocks.iter().map(|other| other.offset).filter(|offset| *offset > block.offset);
        behind.min().unwrap_or(0x1000)
    };
    let meets = |block: &&Block| {
        let last = if block.length == 0 { next(block) } else { block.offset.saturating_add(block.length) };
        block.place != Place::Header && block.offset < end && rule.offset < last
    };
    let name = |block: &Block| {
        let name = block.policy.map_or("a capability of which nothing is known", |policy| policy.name);
        format!("{name} at {:02x}", block.offset)
    };
    let met: Vec<&Block> = blocks.iter().filter(meets).collect();
    let floor = met.iter().find(|block| block.policy.is_some_and(|policy| policy.floor));
    match (floor, met.first()) {
        (Some(block), _) => {
            let why = block.policy.map_or("", |policy| policy.why);
            format!("its range meets {}, of which no rule may show any: {why}", name(block))
        }
        (None, Some(block)) => format!("its range meets {}, which no rule may let be written", name(block)),
        (None, None) => "its range meets a capability of which no rule may show any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let text = "device=8086:1533 class=0200 cap=09 range=04-0b key=04/0000ffff/00000023 read=ffffffff write=000000ff";
        let rule = parse(text).unwrap();
        assert_eq!(print(&rule), text);
        assert_eq!((rule.vendor, rule.device, rule.offset, rule.length), (0x8086, 0x1533, 4, 8));
        assert_eq!((rule.class_mask, rule.class_value), (0xffff_0000, 0x0200_0000));
        assert_eq!((rule.key_offset, rule.key_mask, rule.key_value), (4, 0xffff, 0x23));
        assert_eq!(rule.check(), Ok(()));
        for text in [
            "range=40-43 read=ffffffff",
            "ecap=000b range=08-0f read=00ff00ff",
            "device=1af4:* cap=09 range=00-0f read=ffffffff",
        ] {
            assert_eq!(print(&parse(text).unwrap()), text);
        }
        assert_eq!(parse("cap=09,range=0x04-0x0b"), parse(" range=4-b cap=9 "));
    }

    #[test]
    fn what_is_no_rule_is_said() {
        for (text, part) in [
            ("", "range is missing"),
            ("cap=09", "range is missing"),
            ("hello", "`hello` is no `name=value`"),
            ("range=04-0b colour=red", "expected device, class"),
            ("range=04", "FIRST-LAST"),
            ("range=0b-04", "FIRST-LAST"),
            ("range=04-zz", "FIRST-LAST"),
            ("range=04-0b range=04-0b", "said before"),
            ("range=04-0b cap=09 ecap=000b", "said before"),
            ("range=04-0b cap=109", "two digits"),
            ("range=04-0b ecap=1ffff", "four digits"),
            ("range=04-0b device=8086", "VENDOR:DEVICE"),
            ("range=04-0b class=020", "CCSS"),
            ("range=04-0b class=zz", "CCSS"),
            ("range=04-0b key=04/ff", "OFFSET/MASK/VALUE"),
            ("range=04-0b key=04/ff/01/02", "OFFSET/MASK/VALUE"),
            ("range=04-0b read=fffffffff", "mask"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn refusals_are_explained() {
        for (text, part) in [
            ("range=05-0b", "whole dwords"),
            ("range=40-43 read=0", "shows nothing"),
            ("range=40-43 read=1 write=3", "does not show"),
            ("range=40-43 key=04/ff/01", "tells capabilities apart"),
            ("cap=09 range=04-07 key=04/0f/ff", "can match nothing"),
            ("cap=09 range=04-07 key=04/0/0", "empty mask"),
            ("cap=09 range=04-07 key=05/1/1", "multiple of 4"),
            ("device=*:1533 range=40-43", "any vendor"),
            ("cap=09 range=04-fff", "leaves the space"),
            ("range=04-07", "header"),
            ("cap=11 range=04-07", "MSI-X"),
            ("ecap=000d range=04-07", "Access Control Services"),
            ("cap=10 range=08-0b write=ff", "vendor's own"),
        ] {
            let rule = parse(text).expect(text);
            assert!(rule.check().is_err(), "{text}");
            let why = why_refused(&rule, &[]);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
