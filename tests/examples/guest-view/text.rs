//! The report for a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::report::{self, BlockReport, Class, FieldReport, Report};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default().bold();

const fn style(class: Class) -> Style {
    match class {
        Class::Shown => AnsiColor::Green.on_default(),
        Class::Virtual => AnsiColor::Yellow.on_default(),
        Class::Rule => AnsiColor::Magenta.on_default(),
        Class::Hidden => AnsiColor::Red.on_default(),
        Class::Absent => DIM,
    }
}

/// Writes the reports, and a line about each.
pub(crate) fn write(out: &mut impl Write, reports: &[Report]) -> io::Result<()> {
    for report in reports {
        device(out, report)?;
        writeln!(out)?;
    }
    for report in reports {
        writeln!(out, "{BOLD}{}{BOLD:#}", report::line(report))?;
    }
    Ok(())
}

fn device(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { source, line, slot, title, ids, class, refused, notes, rules, bars, blocks, .. } = report;
    writeln!(out, "{BOLD}{slot} {ids}{BOLD:#} class {class}  {title}  {DIM}({source}:{line}){DIM:#}")?;
    if let Some(why) = refused {
        return writeln!(out, "  {BAD}no guest may have it{BAD:#}: {why}");
    }
    for note in notes {
        writeln!(out, "  {DIM}note: {note}{DIM:#}")?;
    }
    for rule in rules {
        let verdict = match (&rule.refused, rule.matches) {
            (Some(why), _) => format!("{BAD}refused{BAD:#}: {why}"),
            (None, true) => "taken".to_owned(),
            (None, false) => "taken, but it shows nothing of this device".to_owned(),
        };
        writeln!(out, "  rule {}: {verdict}", rule.rule)?;
    }
    for bar in bars {
        let number = if bar.number == 6 { "ROM".to_owned() } else { format!("BAR {}", bar.number) };
        let estimate = if bar.guessed { " (guessed)" } else { "" };
        let prefetchable = if bar.prefetchable { ", prefetchable" } else { "" };
        let (size, host, guest) = (report::size(bar.size), bar.host, bar.guest);
        writeln!(
            out,
            "  {number}: {}{prefetchable}, {size}{estimate}: host {host:x}, guest {guest:x}",
            bar.kind
        )?;
    }
    for block in blocks {
        self::block(out, block)?;
    }
    Ok(())
}

fn block(out: &mut impl Write, block: &BlockReport) -> io::Result<()> {
    let BlockReport { kind, id, offset, name, section, shown, verdict, why, fields, .. } = block;
    let id = match (*kind, id) {
        ("standard", Some(id)) => format!(" {id:02x}h"),
        (_, Some(id)) => format!(" {id:04x}h"),
        (_, None) => String::new(),
    };
    let style = style(if *shown { Class::Shown } else { Class::Hidden });
    let section = if section.is_empty() { String::new() } else { format!(" ({section})") };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    writeln!(out, "  {BOLD}[{offset:02x}]{id} {name}{BOLD:#}{section} {style}{verdict}{style:#}{why}")?;
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in fields {
        self::field(out, field, width)?;
    }
    Ok(())
}

fn field(out: &mut impl Write, field: &FieldReport, width: usize) -> io::Result<()> {
    let FieldReport { offset, bits, name, host, guest, class, treatment, why } = field;
    let digits = bits.count_ones().div_ceil(4) as usize; // CAST: widening.
    let values = if host == guest {
        format!("{host:0digits$x}")
    } else {
        format!("{host:0digits$x} → {guest:0digits$x}")
    };
    let (bits, style) = (report::bit_ranges(*bits), style(*class));
    let treatment = if class.word() == *treatment { String::new() } else { format!(" ({treatment})") };
    let why = if why.is_empty() { String::new() } else { format!("  {DIM}{why}{DIM:#}") };
    let word = class.word();
    writeln!(
        out,
        "    {offset:03x} {bits:<11} {name:<width$} {values:<19} {style}{word}{style:#}{treatment}{why}"
    )
}
