//! What a person sees: progress on stderr, tables on stdout.

use std::{sync::LazyLock, time::Instant};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says what is being done, with the seconds since the command started.
pub(crate) fn say(what: impl AsRef<str>) {
    eprintln!("[{:6.1}s] {}", START.elapsed().as_secs_f32(), what.as_ref());
}

/// Lays rows out under a head.
pub(crate) fn table<R, C>(head: &[&str], rows: R) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(ToString::to_string));
    }
    table.to_string()
}
