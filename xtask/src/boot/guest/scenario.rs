//! Which guests are started, with what, and what they have to show.

use std::fmt::Write as _;

use crate::boot::{
    devices::{ATI, DEVICES, Device, PHYSICAL, VIRTUAL},
    machine::{DATA_BYTES, Iommu},
};

/// The rows of a command.
#[derive(Debug, Clone, Copy)]
pub(in crate::boot) struct Table {
    /// The command's option, and the start of its directories' names.
    pub name: &'static str,
    /// In their order. What dom0 and Xen take for guests once and for all, they take for the first.
    pub rows: &'static [Row],
}

/// How a guest ends, in the loader's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::boot) enum End {
    Poweroff,
    Reboot,
    /// It crashes, with its device at work.
    Crash,
    /// It is destroyed from outside, with its device at work.
    Killed,
}

impl End {
    /// The line that the loader prints.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Poweroff => "shutdown poweroff",
            Self::Reboot => "shutdown reboot",
            Self::Crash => "shutdown crash",
            Self::Killed => "killed",
        }
    }

    /// The last word of it.
    fn word(self) -> &'static str {
        self.line().rsplit(' ').next().unwrap_or_default()
    }
}

/// What runs in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::boot) enum System {
    /// Our own kernel, with this command line.
    Tiny(&'static str),
    /// Debian's. It reads the half of the disk that the host filled; the other half it fills first, or reads what was filled.
    /// `words` are more of its command line.
    Linux { fill: bool, words: &'static str },
}

/// When a device-model server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::boot) enum Presence {
    /// From before the guest starts until it has ended.
    Stays,
    /// From when the guest calls for it until the guest sends it away.
    Visits,
    /// Never: what it claims is not to be had.
    Refused,
}

impl Presence {
    /// Its word in the file that `servers.sh` reads.
    fn word(self) -> &'static str {
        match self {
            Self::Stays => "stays",
            Self::Visits => "visits",
            Self::Refused => "refused",
        }
    }
}

/// A device-model server in dom0 (`loader serve`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::boot) struct Server {
    pub presence: Presence,
    /// What it claims: one function, or the first and the last with a hyphen between them.
    pub functions: &'static str,
    /// It has registers from 0x100 on.
    pub extended: bool,
}

/// A device by its name in the machine, and the slot where the guest sees it (none: the first free one).
pub(in crate::boot) type Place = (&'static str, Option<&'static str>);

/// One line of the table: a guest, or several of its kind one after another.
#[derive(Debug, Clone, Copy)]
pub(in crate::boot) struct Row {
    pub name: &'static str,
    pub system: System,
    pub devices: &'static [Place],
    pub vcpus: u32,
    /// How many guests, one after another.
    pub times: u32,
    /// Only with this IOMMU.
    pub only: Option<Iommu>,
    /// Runs beside the next row.
    pub beside: bool,
    /// Each time, dom0's own driver gets the device afterwards.
    pub back: bool,
    pub end: End,
    /// Checks that have to be there, by name, in lists. Any that fails is a failure.
    pub checks: &'static [&'static [&'static str]],
    /// Reasons that the audit has to count, for each device.
    pub refused: &'static [&'static str],
    /// More options for the loader, about the last device if about one.
    pub options: &'static str,
    /// Numbered from 1 on.
    pub servers: &'static [Server],
}

impl Table {
    /// The rows for a machine with this IOMMU; of all but the first, only those that are named, unless none is.
    pub(super) fn rows(self, iommu: Iommu, names: &[String]) -> impl Iterator<Item = &'static Row> {
        let first = self.rows.first().map_or("", |row| row.name);
        let wanted =
            move |row: &Row| names.is_empty() || row.name == first || names.iter().any(|n| n == row.name);
        self.rows.iter().filter(move |row| row.only.is_none_or(|only| only == iommu) && wanted(row))
    }

    /// Whether there is such a row for this IOMMU.
    pub(super) fn has(self, name: &str, iommu: Iommu) -> bool {
        self.rows(iommu, &[]).any(|row| row.name == name)
    }
}

/// A device of the machine, by its name.
pub(super) fn device(name: &str) -> Option<&'static Device> {
    DEVICES.iter().chain([&PHYSICAL, &VIRTUAL, &ATI]).find(|device| device.name == name)
}

/// The file that `guest.sh` reads. `address` finds a device's address by its name.
pub(super) fn file<'a>(
    rows: impl Iterator<Item = &'a Row>,
    address: impl Fn(&str) -> Option<String>,
) -> String {
    let mut text = String::new();
    for row in rows {
        for (number, server) in (1..).zip(row.servers) {
            let (word, functions) = (server.presence.word(), server.functions);
            let extended = if server.extended { " --extended" } else { "" };
            let _ = writeln!(text, "{word} {number} --function {functions}{extended}");
        }
        let mode = match (row.beside, row.back) {
            (true, _) => "with",
            (_, true) => "back",
            _ => "then",
        };
        let _ = write!(text, "{mode} {} {} --vcpus {}", row.name, row.times, row.vcpus);
        match row.system {
            System::Tiny(words) => {
                let _ = write!(text, " --kernel /tiny.elf --cmdline \"{words}\"");
            }
            System::Linux { fill, words } => {
                let (end, blocks) = (row.end.word(), DATA_BYTES >> 16);
                text.push_str(" --kernel /vmlinux --initrd /guest.cpio --memory 256 --seconds 120");
                // Its console is Xen's.
                text.push_str(" --cmdline \"earlyprintk=xen,keep loglevel=4 panic=-1 mitigations=off");
                let _ = write!(text, " {words} fill={} blocks={blocks} end={end}\"", u8::from(fill));
            }
        }
        if row.end == End::Killed {
            text.push_str(" --kill");
        }
        for (device, slot) in row.devices {
            let slot = slot.map_or(String::new(), |slot| format!("@{slot}"));
            let _ = write!(text, " --device {}{slot}", address(device).unwrap_or_default());
        }
        if !row.options.is_empty() {
            let _ = write!(text, " {}", row.options);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{guest::rows, q35};

    const TABLES: [Table; 2] = [rows::TABLE, q35::TABLE];

    #[test]
    fn every_device_is_in_the_machine() {
        for row in TABLES.iter().flat_map(|table| table.rows) {
            assert!(row.times > 0, "{}", row.name);
            for (name, _) in row.devices {
                assert!(device(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn names_are_words_and_differ() {
        for table in TABLES {
            for (i, row) in table.rows.iter().enumerate() {
                let mut others = table.rows.iter().skip(i + 1);
                assert!(!row.name.contains(' ') && others.all(|r| r.name != row.name), "{}", row.name);
            }
            // The last row of those that run side by side is what is waited for.
            assert!(!table.rows.last().unwrap().beside);
        }
    }

    #[test]
    fn a_row_is_a_line_of_options() {
        let servers = &[
            Server { presence: Presence::Stays, functions: "00:05.0", extended: true },
            Server { presence: Presence::Refused, functions: "00:00.0-00:00.7", extended: false },
        ];
        let devices = &[("nvme0", Some("4.1"))];
        let row = Row { name: "x", devices, servers, options: "--q35", beside: true, ..rows::TINY };
        let text = file([row].iter(), |name| Some(format!("0000:{name}")));
        assert_eq!(
            text,
            "stays 1 --function 00:05.0 --extended\nrefused 2 --function 00:00.0-00:00.7\n\
             with x 1 --vcpus 1 --kernel /tiny.elf --cmdline \"role=guest\" --device 0000:nvme0@4.1 --q35\n"
        );
    }
}
