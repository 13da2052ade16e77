//! The figures: their tables, their limits.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::ui;

/// The most instructions for an emulated access of 4 bytes.
const INSTRUCTIONS: f64 = 60.0;
/// The most instructions from an address in an ECAM window to the owner and the number of the register there.
const ECAM: f64 = 40.0;
/// Of these, those by which the caller takes a position apart: a shift and a mask.
const APART: f64 = 2.0;
/// How far a figure may grow with the number of registers or functions.
const FLAT: f64 = 1.10;
/// The most bytes for a device, MSI-X vectors aside.
const DEVICE: f64 = 4096.0;
/// The most instructions of a step of a reset, without what it calls of the host, as `rvpci_reset_step` says.
const STEP: f64 = 5000.0;
/// Likewise, to learn what a device is: a usual one, and one with the longest capability lists there is room for.
const LEARN_TYPICAL: f64 = 5000.0;
const LEARN_LONGEST: f64 = 20_000.0;
/// The most bytes for a physical function.
const PHYSICAL: f64 = 3072.0;
/// The most bytes of code.
const TEXT: f64 = 21_500.0;

const REGISTERS: [u32; 3] = [8, 64, 512];
const FUNCTIONS: [u32; 3] = [1, 32, 256];
const BUSES: [u32; 3] = [64, 128, 256];

/// Resets, how they are done and how they fail: in a key, and in the table.
const RESETS: [(&str, &str); 10] = [
    ("device", "a step of a reset by a device's own sequence"),
    ("flr", "  by Function Level Reset"),
    ("advanced_flr", "  by Advanced Features"),
    ("power", "  by D3hot and back"),
    ("bus", "  of the bus of eight functions"),
    ("crowded_port", "  of that bus, below a port with 48 capabilities"),
    ("gone", "  while the device is pulled"),
    ("not_ready", "  after which it does not get ready"),
    ("layout", "  after which it is another"),
    ("failed", "  in which its sequence, link, BAR or bridge fails"),
];

/// Instructions for one access, or bytes.
pub(super) struct Figures(BTreeMap<String, Option<f64>>);

/// What must hold, and whether it does.
pub(super) struct Limit {
    pub(super) what: String,
    pub(super) holds: bool,
}

impl Figures {
    pub(super) fn new(instructions: BTreeMap<String, f64>) -> Self {
        Self(instructions.into_iter().map(|(key, figure)| (key, Some(figure))).collect())
    }

    /// Adds a number of bytes or instructions; `None` if it is not known.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn set(&mut self, key: &str, number: Option<u64>) {
        self.0.insert(key.to_owned(), number.map(|number| number as f64));
    }

    fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied().flatten()
    }

    /// Flat keys, each a number; null for what is not known.
    pub(super) fn json(&self) -> Value {
        let number = |figure: f64| {
            let tenths = (figure * 10.0).round() / 10.0;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            if tenths.fract() == 0.0 { Value::from(tenths as i64) } else { Value::from(tenths) }
        };
        let entries = self.0.iter().map(|(key, figure)| (key.clone(), figure.map_or(Value::Null, number)));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    pub(super) fn limits(&self) -> Vec<Limit> {
        let mut limits = Vec::new();
        for access in ["read4", "write4", "guest_read4", "guest_write4"] {
            let keys: Vec<_> = REGISTERS.iter().map(|count| format!("{access}_{count}")).collect();
            limits.extend(keys.iter().map(|key| self.at_most(key, INSTRUCTIONS)));
            limits.push(self.flat(access, &keys));
        }
        let keys: Vec<_> = FUNCTIONS.iter().map(|count| format!("lookup_{count}")).collect();
        limits.push(self.flat("lookup", &keys));
        limits.extend(keys.iter().map(|key| self.ecam(key)));
        let keys: Vec<_> = BUSES.iter().map(|count| format!("decode_{count}")).collect();
        limits.push(self.flat("decode", &keys));
        limits.extend(RESETS.map(|(key, _)| self.at_most(&format!("reset_step_{key}"), STEP)));
        limits.push(self.at_most("learn_typical", LEARN_TYPICAL));
        limits.push(self.at_most("learn_longest", LEARN_LONGEST));
        limits.push(self.at_most("bytes_per_device", DEVICE));
        limits.push(self.at_most("bytes_per_physical", PHYSICAL));
        limits.push(self.at_most("text", TEXT));
        limits
    }

    fn at_most(&self, key: &str, most: f64) -> Limit {
        let figure = self.get(key);
        let what = format!("{key} is {}, and may be {most}", shown(figure));
        Limit { what, holds: figure.is_some_and(|figure| figure <= most) }
    }

    /// From an address in the largest window to the owner, which `lookup` counts.
    fn ecam(&self, lookup: &str) -> Limit {
        let figure =
            self.get("decode_256").zip(self.get(lookup)).map(|(decode, lookup)| decode + APART + lookup);
        let what = format!("decode_256, {APART} and {lookup} are {}, and may be {ECAM}", shown(figure));
        Limit { what, holds: figure.is_some_and(|figure| figure <= ECAM) }
    }

    /// Whether none of the figures is much larger than the first.
    fn flat(&self, name: &str, keys: &[String]) -> Limit {
        let figures: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        let first = figures.first().copied().flatten();
        let holds = first.is_some_and(|first| {
            figures.iter().all(|figure| figure.is_some_and(|figure| figure <= first * FLAT))
        });
        let all: Vec<_> = figures.into_iter().map(shown).collect();
        Limit { what: format!("{name} grows from {}, and may by 10 %", all.join(" to ")), holds }
    }

    /// A figure of ours, Xen's, and how many times ours Xen's is.
    fn beside(&self, what: &str, ours: &str, theirs: &str) -> Vec<String> {
        let (left, right) = (self.get(ours), self.get(theirs));
        let ratio = left.zip(right).map_or(String::new(), |(left, right)| format!("{:.1}", right / left));
        vec![what.to_owned(), shown(left), shown(right), ratio]
    }
}

/// A figure for a person; a dash for none.
fn shown(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if (figure - figure.round()).abs() < 0.05 => format!("{figure:.0}"),
        Some(figure) => format!("{figure:.1}"),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        for (name, access) in [("read", "read"), ("write", "write")] {
            for bytes in [4, 2, 1] {
                for count in REGISTERS {
                    let key = format!("{access}{bytes}_{count}");
                    let what = format!("{name} {bytes}, {count} registers");
                    rows.push(self.beside(&what, &key, &format!("c_{key}")));
                }
            }
        }
        for (what, key) in
            [("read 4 of a gap, 64 registers", "gap_read4"), ("write 4 to a gap, 64 registers", "gap_write4")]
        {
            rows.push(self.beside(what, key, &format!("c_{key}")));
        }
        for access in ["read", "write"] {
            for count in REGISTERS {
                let what = format!("a guest's {access} 4, {count} registers");
                rows.push(self.beside(&what, &format!("guest_{access}4_{count}"), ""));
            }
        }
        writeln!(f, "{}", ui::table(&["instructions", "ours", "Xen's", "times"], rows))?;
        let mut rows = Vec::new();
        for count in FUNCTIONS {
            let key = format!("lookup_{count}");
            rows.push(self.beside(&format!("lookup among {count}"), &key, ""));
            rows.push(self.beside("  where addresses collide most", &format!("{key}_worst"), ""));
        }
        for count in BUSES {
            rows.push(self.beside(&format!("ECAM address, {count} buses"), &format!("decode_{count}"), ""));
        }
        rows.push(self.beside("lookup among 256 and read 4, 64 registers", "full_read4_64", "c_read4_64"));
        rows.push(self.beside(
            "lookup among 256 and read 4, no such function",
            "absent_read4",
            "c_absent_read4",
        ));
        writeln!(f, "{}", ui::table(&["instructions", "ours", "Xen's, lookup free", "times"], rows))?;
        let row = |what: &str, key: &str| vec![what.to_owned(), shown(self.get(key))];
        let mut rows = RESETS.map(|(key, what)| row(what, &format!("reset_step_{key}"))).to_vec();
        rows.push(row("learning what a usual device is", "learn_typical"));
        rows.push(row("  one with the longest lists that there is room for", "learn_longest"));
        let head = ["instructions at most, without the host's", "ours"];
        writeln!(f, "{}", ui::table(&head, rows))?;
        let mut rows = vec![
            self.beside("a device without MSI-X", "bytes_per_device", ""),
            self.beside("what is known of a physical function", "bytes_per_physical", ""),
            self.beside("code, the hardware domain's view", "text", "c_text"),
            self.beside("code, guests as well", "whole_text", ""),
        ];
        let with_glue = self.get("whole_text").zip(self.get("glue_text")).map(|(text, glue)| text + glue);
        rows.push(vec!["glue".into(), shown(self.get("glue_text")), "–".into(), String::new()]);
        rows.push(vec![
            "all code and glue".into(),
            shown(with_glue),
            shown(self.get("c_text")),
            String::new(),
        ]);
        write!(f, "{}", ui::table(&["bytes", "ours", "Xen's", "times"], rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Figures {
        let mut figures = Figures::new(BTreeMap::new());
        for count in REGISTERS {
            for view in ["", "guest_"] {
                figures.set(&format!("{view}read4_{count}"), Some(52));
                figures.set(&format!("{view}write4_{count}"), Some(60));
            }
        }
        for count in FUNCTIONS {
            figures.set(&format!("lookup_{count}"), Some(24));
        }
        for count in BUSES {
            figures.set(&format!("decode_{count}"), Some(14));
        }
        for (key, _) in RESETS {
            figures.set(&format!("reset_step_{key}"), Some(5000));
        }
        figures.set("learn_typical", Some(5000));
        figures.set("learn_longest", Some(20_000));
        figures.set("bytes_per_device", Some(4096));
        figures.set("bytes_per_physical", Some(3072));
        figures.set("text", Some(21_500));
        figures
    }

    fn missed(figures: &Figures) -> Vec<String> {
        figures.limits().into_iter().filter(|limit| !limit.holds).map(|limit| limit.what).collect()
    }

    #[test]
    fn what_is_just_good_enough_passes() {
        assert_eq!(missed(&good()), Vec::<String>::new());
    }

    #[test]
    fn each_limit_is_seen() {
        for (key, figure, what) in [
            ("read4_512", 61, "read4_512 is 61, and may be 60"),
            ("write4_8", 61, "write4_8 is 61, and may be 60"),
            ("guest_read4_8", 61, "guest_read4_8 is 61, and may be 60"),
            ("read4_64", 58, "read4 grows from 52 to 58 to 52, and may by 10 %"),
            ("lookup_256", 27, "lookup grows from 24 to 24 to 27, and may by 10 %"),
            ("decode_256", 15, "decode_256, 2 and lookup_32 are 41, and may be 40"),
            ("decode_128", 16, "decode grows from 14 to 16 to 14, and may by 10 %"),
            ("reset_step_device", 5001, "reset_step_device is 5001, and may be 5000"),
            ("reset_step_failed", 5001, "reset_step_failed is 5001, and may be 5000"),
            ("learn_typical", 5001, "learn_typical is 5001, and may be 5000"),
            ("learn_longest", 20_001, "learn_longest is 20001, and may be 20000"),
            ("bytes_per_device", 4097, "bytes_per_device is 4097, and may be 4096"),
            ("bytes_per_physical", 3073, "bytes_per_physical is 3073, and may be 3072"),
            ("text", 21_501, "text is 21501, and may be 21500"),
        ] {
            let mut figures = good();
            figures.set(key, Some(figure));
            assert!(missed(&figures).contains(&what.to_owned()), "{what}: {:?}", missed(&figures));
        }
    }

    #[test]
    fn a_figure_that_is_not_there_holds_no_limit() {
        for key in [
            "read4_8",
            "write4_512",
            "lookup_1",
            "decode_64",
            "reset_step_bus",
            "learn_longest",
            "bytes_per_device",
            "bytes_per_physical",
            "text",
        ] {
            let mut figures = good();
            figures.set(key, None);
            assert!(!missed(&figures).is_empty(), "{key}");
        }
    }

    #[test]
    fn json_is_flat_and_says_null() {
        let mut figures = Figures::new([("a".to_owned(), 51.96), ("b".to_owned(), 2.04)].into());
        figures.set("c", None);
        assert_eq!(figures.json().to_string(), r#"{"a":52,"b":2,"c":null}"#);
        assert_eq!(Figures::new([("a".to_owned(), 2.25)].into()).json().to_string(), r#"{"a":2.3}"#);
    }
}
