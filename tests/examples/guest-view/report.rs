//! What a guest sees of a device and why: the bytes are the engine's, the reasons the tables'.

use ::tests::given::{self, Bar, Kind, Terms};
use ::tests::oracle::{Oracle, Place, Served, Verdict};
use capabilities::policy::{Act, Rule, Treatment};
use capabilities::{Width, header};
use serde::Serialize;
use vpci::AttachError;

use crate::input::Subject;
use crate::rule;

/// How bits are served, in a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Class {
    /// No row has them: they read 0.
    Absent,
    /// A row hides them: they read 0.
    Hidden,
    /// They are the hypervisor's or the guest's own.
    Virtual,
    /// They are the device's.
    Shown,
    /// They are the device's, as a rule says so.
    Rule,
}

impl Class {
    pub(crate) const ALL: [Self; 5] = [Self::Shown, Self::Virtual, Self::Rule, Self::Hidden, Self::Absent];

    const fn of(served: Served) -> Self {
        match served {
            Served::Absent => Self::Absent,
            Served::Rule { .. } => Self::Rule,
            Served::By(Treatment::Hidden | Treatment::Engine(Act::Reset)) => Self::Hidden,
            Served::By(Treatment::Snapshot | Treatment::Live) => Self::Shown,
            Served::By(_) => Self::Virtual,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Hidden => "hidden",
            Self::Virtual => "virtual",
            Self::Shown => "shown",
            Self::Rule => "by rule",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Absent => "no row of the policy has it: reads 0, writes are dropped",
            Self::Hidden => "a row hides it: reads 0, writes are dropped",
            Self::Virtual => "made up by the hypervisor, or storage of the guest's own",
            Self::Shown => "the device's, as it was at assignment or live; writes are dropped",
            Self::Rule => "the device's, because an extra rule shows it",
        }
    }
}

/// A field of a block.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldReport {
    pub(crate) offset: u16,
    /// Relative to the byte at `offset`.
    pub(crate) bits: u32,
    pub(crate) name: String,
    pub(crate) host: u32,
    pub(crate) guest: u32,
    pub(crate) class: Class,
    pub(crate) treatment: &'static str,
    pub(crate) why: &'static str,
}

/// The header or a capability.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BlockReport {
    pub(crate) kind: &'static str,
    pub(crate) id: Option<u16>,
    pub(crate) offset: u16,
    /// In bytes; 0 where it is not known.
    pub(crate) length: u16,
    pub(crate) name: String,
    pub(crate) section: &'static str,
    pub(crate) shown: bool,
    pub(crate) verdict: &'static str,
    pub(crate) why: String,
    pub(crate) fields: Vec<FieldReport>,
}

/// A BAR.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BarReport {
    pub(crate) number: usize,
    pub(crate) kind: &'static str,
    pub(crate) prefetchable: bool,
    pub(crate) size: u64,
    /// Whether the size is a guess.
    pub(crate) guessed: bool,
    pub(crate) host: u64,
    pub(crate) guest: u64,
}

/// An extra rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RuleReport {
    pub(crate) rule: String,
    /// Why it is refused.
    pub(crate) refused: Option<String>,
    /// Whether it shows anything of this device.
    pub(crate) matches: bool,
}

/// How many capabilities a guest has, and how the bits of the space are served.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) capabilities: usize,
    pub(crate) of: usize,
    pub(crate) shown_bits: usize,
    pub(crate) virtual_bits: usize,
    pub(crate) rule_bits: usize,
    pub(crate) hidden_bits: usize,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) source: String,
    pub(crate) line: usize,
    pub(crate) slot: String,
    pub(crate) title: String,
    pub(crate) ids: String,
    pub(crate) class: String,
    /// Why no guest may have it.
    pub(crate) refused: Option<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) rules: Vec<RuleReport>,
    pub(crate) bars: Vec<BarReport>,
    pub(crate) blocks: Vec<BlockReport>,
    pub(crate) summary: Summary,
    #[serde(serialize_with = "hexadecimal")]
    pub(crate) host: Vec<u8>,
    #[serde(serialize_with = "hexadecimal")]
    pub(crate) guest: Vec<u8>,
    /// By byte.
    #[serde(skip)]
    pub(crate) classes: Vec<Class>,
}

fn hexadecimal<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(digit).collect();
    serializer.serialize_str(&text)
}

fn digit(value: u8) -> Option<char> {
    char::from_digit(u32::from(value), 16)
}

/// Gives the device to a guest with these extra rules, and explains what that one sees.
///
/// # Errors
///
/// The engine and the tables do not agree.
pub(crate) fn build(
    subject: &Subject,
    rules: &[Rule],
    vpd: bool,
    resettable: bool,
) -> Result<Report, String> {
    let Subject { source, dump, function } = subject;
    let device = dump.device();
    let is_virtual = device.get(0, Width::Dword) == u32::MAX;
    let titled = dump.ids_of_title().filter(|_| is_virtual).map(given::virtual_function);
    let function = function.as_ref().or(titled.as_ref());
    let ids = function.map_or_else(|| device.get(0, Width::Dword), |function| function.ids);
    let bars = match function {
        Some(function) => given::virtual_bars(function),
        None => given::bars(dump),
    };
    let mut report = Report {
        source: source.clone(),
        line: dump.line,
        slot: if dump.slot.is_empty() { "00:00.0".to_owned() } else { dump.slot.clone() },
        title: dump.title.clone(),
        ids: format!("{:04x}:{:04x}", ids & 0xffff, ids >> 16),
        class: format!("{:06x}", device.get(8, Width::Dword) >> 8),
        refused: None,
        notes: notes(subject, &bars, is_virtual),
        rules: Vec::new(),
        bars: Vec::new(),
        blocks: Vec::new(),
        summary: Summary::default(),
        host: dump.bytes.clone(),
        guest: Vec::new(),
        classes: Vec::new(),
    };
    // CAST: a byte.
    if let Some(why) = no_endpoint(device.get(header::HEADER_TYPE, Width::Byte) as u8) {
        report.refused = Some(why);
        return Ok(report);
    }
    let terms = Terms { rules: &[], vpd, function, resettable };
    let plain = Oracle::new(&device, &bars, &terms);
    let mut accepted = Vec::new();
    for rule in rules {
        let alone = Terms { rules: std::slice::from_ref(rule), ..terms };
        let refused = given::give(device.clone(), &bars, &alone).err() == Some(AttachError::Rule);
        let refused = refused.then(|| rule::why_refused(rule, &plain.blocks));
        let matches = refused.is_none() && {
            let with = Oracle::new(&device, &bars, &alone);
            (0..0x1000).any(|offset| with.mask(offset, is_rule) != plain.mask(offset, is_rule))
        };
        if refused.is_none() {
            accepted.push(*rule);
        }
        report.rules.push(RuleReport { rule: rule::print(rule), refused, matches });
    }
    let terms = Terms { rules: &accepted, ..terms };
    let mut machine = match given::give(device.clone(), &bars, &terms) {
        Ok(machine) => machine,
        Err(error) => {
            report.refused = Some(refusal(error).to_owned());
            return Ok(report);
        }
    };
    let oracle = Oracle::new(&device, &bars, &terms);
    let guest = given::read_all(&mut machine);
    if let Some(at) = (0..guest.len()).find(|at| guest[*at] != oracle.expected()[*at]) {
        let (seen, due) = (guest[at], oracle.expected()[at]);
        return Err(format!(
            "{}: byte {at:03x} reads {seen:02x}, but by the tables it is {due:02x}",
            report.slot
        ));
    }
    let size = dump.bytes.len().max(0x100);
    report.host = (0..).take(size).map(|offset| device.get(offset, Width::Byte).to_le_bytes()[0]).collect();
    report.guest = guest[..size].to_vec();
    report.classes = (0..).take(size).map(|offset| class_of(&oracle, offset)).collect();
    report.bars = bars.iter().map(|bar| bar_report(subject, bar, function.is_some())).collect();
    report.blocks = (0..oracle.blocks.len()).map(|number| block(&report, &oracle, number)).collect();
    report.summary = summary(&report, &oracle);
    Ok(report)
}

const fn refusal(error: AttachError) -> &'static str {
    match error {
        AttachError::Unsupported => "the engine does not offer such a device to guests",
        AttachError::Full => "it has more registers than there is room for",
        AttachError::Placement => {
            "a BAR cannot be placed: with these sizes, it is over the MSI-X table of another"
        }
        AttachError::Rule => "the rules cannot be given together",
        AttachError::Refused => "it is a device that no guest is given",
    }
}

const fn is_rule(served: Served) -> bool {
    matches!(served, Served::Rule { .. })
}

/// The class of the byte: that of its bit which is shown most.
fn class_of(oracle: &Oracle, offset: u16) -> Class {
    (0..8).map(|bit| Class::of(oracle.served(offset, bit))).max().unwrap_or(Class::Absent)
}

fn no_endpoint(header_type: u8) -> Option<String> {
    match header_type & 0x7f {
        0 => None,
        1 => Some("it is a bridge: bridges and ports stay the host's".to_owned()),
        2 => Some("it is a CardBus bridge, which stays the host's".to_owned()),
        other => Some(format!("its header type is {other:02x}, which nothing has")),
    }
}

fn notes(subject: &Subject, bars: &[Bar], is_virtual: bool) -> Vec<String> {
    let Subject { dump, function, .. } = subject;
    let mut notes = Vec::new();
    if bars.iter().any(|bar| bar.size != 0 && !dump.knows_size(bar.address)) && function.is_none() {
        notes.push(
            "the file does not say how large BARs are: the sizes are guessed from the addresses".to_owned(),
        );
    }
    if dump.bytes.len() < 0x100 {
        notes.push("only the header is there, and no capability: `lspci -xxx` as root shows more".to_owned());
    }
    if is_virtual && function.is_none() {
        notes.push(
            "a virtual function: its BARs are its physical function's to tell, and not in the file"
                .to_owned(),
        );
        if dump.ids_of_title().is_none() {
            notes.push("nor are its IDs: `lspci -nnxxxx` shows them".to_owned());
        }
    }
    notes
}

fn bar_report(subject: &Subject, bar: &Bar, is_virtual: bool) -> BarReport {
    let kind = match bar.kind {
        Kind::Io => "I/O ports",
        Kind::Memory32 => "memory, 32-bit",
        Kind::Memory64 => "memory, 64-bit",
        Kind::Rom => "expansion ROM",
    };
    let guessed = !is_virtual && !subject.dump.knows_size(bar.address);
    let Bar { number, prefetchable, size, address, guest, .. } = *bar;
    BarReport { number, kind, prefetchable, size, guessed, host: address, guest }
}

fn value(bytes: &[u8], offset: u16, bits: u32) -> u32 {
    let at = usize::from(offset);
    let raw =
        (0..4).fold(0, |value, n| value | u32::from(bytes.get(at + n).copied().unwrap_or(0)) << (8 * n));
    (raw & bits) >> bits.trailing_zeros()
}

fn block(report: &Report, oracle: &Oracle, number: usize) -> BlockReport {
    let block = &oracle.blocks[number];
    let shown = block.verdict.is_shown();
    let mut fields: Vec<FieldReport> = oracle
        .rows
        .iter()
        .filter(|row| row.block == number)
        .map(|row| FieldReport {
            offset: row.offset,
            bits: row.bits,
            name: row.field.name.to_owned(),
            host: value(&report.host, row.offset, row.bits),
            guest: value(&report.guest, row.offset, row.bits),
            class: Class::of(Served::By(row.field.guest)),
            treatment: row.field.guest.word(),
            why: row.field.why,
        })
        .collect();
    if shown {
        fields.extend(by_rule(report, oracle, block.offset, block.length));
        fields.sort_by_key(|field| (field.offset, field.bits));
    }
    let (kind, id, name) = match block.place {
        Place::Header => ("header", None, "Type 0 header"),
        Place::Standard(id) => ("standard", Some(u16::from(id)), "unknown to the policy"),
        Place::Extended(id) => ("extended", Some(id), "unknown to the policy"),
        Place::Bytes => ("bytes", None, "bytes that no capability owns"),
    };
    let policy_why = block.policy.map_or("", |policy| policy.why);
    let (verdict, why) = match block.verdict {
        Verdict::Shown => ("shown", policy_why.to_owned()),
        Verdict::Requested => ("shown on request", policy_why.to_owned()),
        Verdict::ByRule => ("shown by a rule", String::new()),
        Verdict::Hidden if block.policy.is_none() => ("hidden", "no table knows it".to_owned()),
        Verdict::Hidden => ("hidden", policy_why.to_owned()),
        Verdict::NotRequested => ("hidden", format!("not asked for (--vpd): {policy_why}")),
        Verdict::Second => ("hidden", "the first capability with this ID counts".to_owned()),
        Verdict::Inline => {
            ("hidden", "its index and data pair reaches every register of the controller".to_owned())
        }
        Verdict::Overlap => ("hidden", "it leaves its space or overlaps another".to_owned()),
        Verdict::Broken => ("hidden", "the MSI-X table or PBA is not inside a memory BAR".to_owned()),
    };
    BlockReport {
        kind,
        id,
        offset: block.offset,
        length: block.length,
        name: block.policy.map_or(name, |policy| policy.name).to_owned(),
        section: block.policy.map_or("", |policy| policy.section),
        shown,
        verdict,
        why,
        fields,
    }
}

/// The bits of a block that rules show, dword by dword.
fn by_rule(report: &Report, oracle: &Oracle, start: u16, length: u16) -> Vec<FieldReport> {
    let mut fields = Vec::new();
    for offset in (start..start + length.next_multiple_of(4)).step_by(4) {
        let mask = |is: &dyn Fn(Served) -> bool| {
            (0..4).fold(0, |mask, n| mask | u32::from(oracle.mask(offset + n, is)) << (8 * n))
        };
        for (write, treatment) in [(false, "live"), (true, "live, and written")] {
            let bits = mask(&|served| served == Served::Rule { write });
            if bits != 0 {
                fields.push(FieldReport {
                    offset,
                    bits,
                    name: "by a rule".to_owned(),
                    host: value(&report.host, offset, bits),
                    guest: value(&report.guest, offset, bits),
                    class: Class::Rule,
                    treatment,
                    why: "",
                });
            }
        }
    }
    fields
}

fn summary(report: &Report, oracle: &Oracle) -> Summary {
    let capabilities = || report.blocks.iter().filter(|block| block.id.is_some());
    let mut summary = Summary {
        capabilities: capabilities().filter(|block| block.shown).count(),
        of: capabilities().count(),
        ..Summary::default()
    };
    for offset in (0..).take(report.guest.len()) {
        for bit in 0..8 {
            let count = match Class::of(oracle.served(offset, bit)) {
                Class::Shown => &mut summary.shown_bits,
                Class::Virtual => &mut summary.virtual_bits,
                Class::Rule => &mut summary.rule_bits,
                Class::Hidden | Class::Absent => &mut summary.hidden_bits,
            };
            *count += 1;
        }
    }
    summary
}

/// The bits of a mask as the specifications write them: `15:8, 0`.
pub(crate) fn bit_ranges(mask: u32) -> String {
    let mut ranges = Vec::new();
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        let high = bit;
        if mask >> bit & 1 == 0 {
            continue;
        }
        while bit > 0 && mask >> (bit - 1) & 1 == 1 {
            bit -= 1;
        }
        ranges.push(if high == bit { format!("{bit}") } else { format!("{high}:{bit}") });
    }
    ranges.join(", ")
}

/// A number of bytes as a person says it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        0..10 => format!("{bytes}"),
        10..20 => format!("{}K", bytes >> 10),
        20..30 => format!("{}M", bytes >> 20),
        _ => format!("{}G", bytes >> 30),
    }
}

/// One line about a device.
pub(crate) fn line(report: &Report) -> String {
    let Report { slot, ids, refused, summary, .. } = report;
    let Summary { capabilities, of, shown_bits, virtual_bits, rule_bits, hidden_bits } = summary;
    if let Some(why) = refused {
        return format!("{slot} {ids}: no guest may have it: {why}");
    }
    let rule = if *rule_bits == 0 { String::new() } else { format!(", {rule_bits} shown by rules") };
    format!(
        "{slot} {ids}: {capabilities} of {of} capabilities; bits: {shown_bits} shown, {virtual_bits} virtual{rule}, {hidden_bits} hidden"
    )
}
