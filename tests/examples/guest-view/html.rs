//! One page with a map of every byte, its colour by how it is served.

use std::fmt::Write as _;

use crate::report::{self, BlockReport, Class, Report};

const STYLE: &str = "
:root { color-scheme: light dark; --shown: #9fdf9f; --virtual: #ffe08a; --rule: #e5a8f0; --hidden: #f5a3a3; --absent: #d8d8d8; --ink: #111 }
@media (prefers-color-scheme: dark) { :root { --shown: #2e7d32; --virtual: #8d6e00; --rule: #7b3f8c; --hidden: #8c2f2f; --absent: #3a3a3a; --ink: #eee } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 75em }
.map { border-collapse: separate; border-spacing: 1px; font: 12px/1.5 ui-monospace, monospace }
.map th { font-weight: normal; opacity: .6; padding-right: .6em; text-align: right }
.map td { color: var(--ink); text-align: center; width: 1.9em }
.map td:hover { outline: 2px solid currentColor }
.shown { background: var(--shown) } .virtual { background: var(--virtual) } .rule { background: var(--rule) }
.hidden { background: var(--hidden) } .absent { background: var(--absent) }
.legend span { border-radius: .3em; color: var(--ink); display: inline-block; margin: .2em .6em .2em 0; padding: .1em .6em }
.fields { border-collapse: collapse; font-size: 13px } .fields td { border-top: 1px solid #8884; padding: .1em .6em }
summary { cursor: pointer } .no { color: #c33 }
";

/// The page for these reports.
pub(crate) fn page(reports: &[Report]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>What a guest sees</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>What a guest sees</h1>\n<p class=\"legend\">"
    );
    for class in Class::ALL {
        push(
            &mut page,
            format_args!("<span class=\"{}\">{}: {}</span>", name(class), class.word(), class.meaning()),
        );
    }
    page.push_str("</p>\n<p>Each cell has what the guest reads. Point at one to see what the host reads, and why.</p>\n");
    for report in reports {
        device(&mut page, report);
    }
    page + "</body>\n</html>\n"
}

fn push(page: &mut String, what: std::fmt::Arguments<'_>) {
    page.write_fmt(what).expect("it grows");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const fn name(class: Class) -> &'static str {
    match class {
        Class::Absent => "absent",
        Class::Hidden => "hidden",
        Class::Virtual => "virtual",
        Class::Shown => "shown",
        Class::Rule => "rule",
    }
}

fn device(page: &mut String, report: &Report) {
    let Report { slot, ids, title, source, line, refused, notes, rules, blocks, .. } = report;
    let head = escape(&format!("{slot} {ids} {title}"));
    push(page, format_args!("<section>\n<h2>{head}</h2>\n<p>{}:{line}</p>\n", escape(source)));
    if let Some(why) = refused {
        push(page, format_args!("<p class=\"no\">No guest may have it: {}.</p>\n</section>\n", escape(why)));
        return;
    }
    push(page, format_args!("<p>{}</p>\n", escape(&report::line(report))));
    for note in notes {
        push(page, format_args!("<p>Note: {}.</p>\n", escape(note)));
    }
    for rule in rules {
        let verdict =
            rule.refused.as_ref().map_or_else(|| "taken".to_owned(), |why| format!("refused: {why}"));
        push(page, format_args!("<p>Rule <code>{}</code>: {}.</p>\n", escape(&rule.rule), escape(&verdict)));
    }
    map(page, report);
    for block in blocks {
        details(page, block);
    }
    page.push_str("</section>\n");
}

fn map(page: &mut String, report: &Report) {
    page.push_str("<table class=\"map\">\n");
    for (row, bytes) in report.guest.chunks(16).enumerate() {
        push(page, format_args!("<tr><th>{:03x}</th>", row * 16));
        for (column, guest) in bytes.iter().enumerate() {
            let at = row * 16 + column;
            let tip = escape(&tip(report, at));
            push(
                page,
                format_args!("<td class=\"{}\" title=\"{tip}\">{guest:02x}</td>", name(report.classes[at])),
            );
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// What there is to say of a byte.
fn tip(report: &Report, at: usize) -> String {
    let mut tip = format!("{at:03x}: host {:02x}, guest {:02x}", report.host[at], report.guest[at]);
    let inside = |block: &&BlockReport| {
        let start = usize::from(block.offset);
        (start..start + usize::from(block.length).max(4)).contains(&at)
    };
    let owners: Vec<&BlockReport> = report.blocks.iter().filter(inside).collect();
    let Some(block) = owners.iter().find(|block| block.shown).or(owners.first()) else {
        return tip + "\nno row: reads 0";
    };
    write!(tip, "\n{} ({})", block.name, block.verdict).expect("it grows");
    if !block.shown {
        write!(tip, ": {}", block.why).expect("it grows");
    }
    for field in &block.fields {
        let shift = at.checked_sub(usize::from(field.offset)).filter(|bytes| *bytes < 4);
        if shift.is_some_and(|bytes| field.bits >> (8 * bytes) & 0xff != 0) {
            write!(tip, "\n{}: {}", field.name, field.treatment).expect("it grows");
            if !field.why.is_empty() {
                write!(tip, ": {}", field.why).expect("it grows");
            }
        }
    }
    tip
}

fn details(page: &mut String, block: &BlockReport) {
    let class = if block.shown { Class::Shown } else { Class::Hidden };
    let why = if block.why.is_empty() { String::new() } else { format!(": {}", block.why) };
    let head = escape(&format!("[{:02x}] {}", block.offset, block.name));
    push(
        page,
        format_args!(
            "<details><summary>{head} <span class=\"{}\">{}</span>{}</summary>\n<table class=\"fields\">\n",
            name(class),
            block.verdict,
            escape(&why)
        ),
    );
    for field in &block.fields {
        push(
            page,
            format_args!(
                "<tr><td>{:03x}</td><td>{}</td><td>{}</td><td>{:x}</td><td>{:x}</td><td class=\"{}\">{}</td><td>{}</td></tr>\n",
                field.offset,
                report::bit_ranges(field.bits),
                escape(&field.name),
                field.host,
                field.guest,
                name(field.class),
                field.treatment,
                escape(field.why)
            ),
        );
    }
    page.push_str("</table>\n</details>\n");
}
