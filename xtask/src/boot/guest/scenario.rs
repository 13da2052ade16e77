//! Which guests are started, with what, and what they have to show.

use std::fmt::Write as _;

use crate::boot::{
    devices::{DEVICES, Device, PHYSICAL, VIRTUAL},
    machine::{DATA_BYTES, Iommu},
};

/// How a guest ends, in the loader's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
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
pub(super) enum System {
    /// Our own kernel, with this command line.
    Tiny(&'static str),
    /// Debian's. It reads the half of the disk that the host filled; the other half it fills first, or reads what was filled.
    Linux { fill: bool },
}

/// A device by its name in the machine, and the slot where the guest sees it (none: the first free one).
pub(super) type Place = (&'static str, Option<&'static str>);

/// One line of the table: a guest, or several of its kind one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub name: &'static str,
    pub system: System,
    pub devices: &'static [Place],
    pub vcpus: u32,
    /// More options for the loader, about the last device if about one.
    pub options: &'static str,
    /// How many guests, one after another.
    pub times: u32,
    /// Only with this IOMMU.
    pub only: Option<Iommu>,
    /// Runs beside the next row.
    pub beside: bool,
    /// Each time, dom0's own driver gets the device afterwards.
    pub back: bool,
    pub end: End,
    /// Checks that have to be there, by name. Any that fails is a failure.
    pub checks: &'static [&'static str],
    /// Reasons that the audit has to count, for each device.
    pub refused: &'static [&'static str],
}

/// The row that is asked about by Xen's console key while its guest lives.
pub(super) const CONSOLE_KEY: &str = "console-key";

const TINY: Row = Row {
    name: "",
    system: System::Tiny("role=guest"),
    devices: &[("nvme0", None)],
    vcpus: 1,
    options: "",
    times: 1,
    only: None,
    beside: false,
    back: false,
    end: End::Poweroff,
    checks: &[],
    refused: &[],
};

/// Each of them is tried, whatever the device.
const ALWAYS: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt"];
/// As above, of a device with MSI-X that can be reset.
const MSIX: &[&str] = &["hidden-write", "read-only", "bar-moved", "interrupt", "msix-access", "reset"];

const HOSTILE: Row = Row { system: System::Tiny("role=guest hostile"), refused: MSIX, ..TINY };

const DYING: Row = Row { system: System::Tiny("role=guest hostile die"), end: End::Crash, ..HOSTILE };

const AHCI: &[Place] = &[("ahci", None)];
const E1000E: &[Place] = &[("e1000e", None)];

const LINUX: Row =
    Row { system: System::Linux { fill: false }, checks: &["host-data", "filled", "interrupts"], ..TINY };

/// All of them, in their order.
pub(super) const ROWS: &[Row] = &[
    // What dom0 and Xen take for guests once and for all, they take for these.
    Row {
        name: "first",
        devices: &[("nvme0", Some("4.0")), ("ahci", Some("4.3")), ("e1000e", Some("1f"))],
        times: 3,
        ..TINY
    },
    Row { name: "nvme", ..HOSTILE },
    Row { name: "ahci", devices: AHCI, refused: ALWAYS, ..HOSTILE },
    Row { name: "e1000e", devices: E1000E, ..HOSTILE },
    // QEMU's AMD IOMMU takes all devices behind ports for those of bus 0, whose numbers they have before firmware comes.
    Row { name: "behind-a-port", devices: &[("nvme1", Some("2"))], only: Some(Iommu::Intel), ..HOSTILE },
    // QEMU's table for AMD's IOMMU does not have the function, and Xen remaps no interrupts of one that is not there.
    Row {
        name: "virtual-function",
        devices: &[("nvme2-vf", None)],
        system: System::Tiny("role=guest hostile ids=00101b36"),
        only: Some(Iommu::Intel),
        checks: &["ids"],
        ..HOSTILE
    },
    Row {
        name: "firmware",
        devices: &[("nvme0", None), ("ahci", None), ("e1000e", None)],
        system: System::Tiny("role=guest firmware"),
        options: "--firmware-bars",
        checks: &["firmware"],
        refused: &["bar-moved"],
        ..TINY
    },
    // Address Map Register (ICH9 datasheet, 15.1.31): the mode, which is AHCI.
    Row {
        name: "rule",
        devices: AHCI,
        system: System::Tiny("role=guest shows=90:40"),
        options: "--vpd /vpd --show 90:ff --refusals",
        checks: &["own-bytes", "rule-for-a-bar", "rule-for-msi", "too-much-vpd", "most-vpd"],
        refused: &["hidden-write"],
        ..TINY
    },
    Row {
        name: CONSOLE_KEY,
        system: System::Tiny("role=guest hostile stay"),
        options: "--meanwhile \"echo ask refusals >&3; read -r answer <&3\"",
        end: End::Killed,
        ..HOSTILE
    },
    Row { name: "nvme-dies", times: 4, ..DYING },
    Row { name: "ahci-dies", devices: AHCI, refused: ALWAYS, times: 3, ..DYING },
    Row { name: "e1000e-dies", devices: E1000E, times: 3, ..DYING },
    Row {
        name: "killed",
        devices: &[("nvme0", None), ("ahci", None), ("e1000e", None)],
        system: System::Tiny("role=guest stay"),
        times: 2,
        end: End::Killed,
        ..TINY
    },
    Row { name: "given-back", back: true, times: 2, checks: &["driven"], ..HOSTILE },
    Row { name: "twenty", times: 20, ..TINY },
    Row { name: "one-of-two", beside: true, times: 2, ..HOSTILE },
    Row { name: "two-of-two", devices: &[("e1000e", Some("1e"))], times: 2, ..HOSTILE },
    Row { name: "two-vcpus", vcpus: 2, system: System::Tiny("role=guest hammer"), ..TINY },
    Row { name: "linux", system: System::Linux { fill: true }, end: End::Reboot, ..LINUX },
    Row { name: "linux-again", ..LINUX },
];

/// Those for a machine with this IOMMU; of all but the first, only those that are named, unless none is.
pub(super) fn rows(iommu: Iommu, names: &[String]) -> impl Iterator<Item = &'static Row> {
    let wanted =
        move |row: &Row| names.is_empty() || row.name == "first" || names.iter().any(|name| name == row.name);
    ROWS.iter().filter(move |row| row.only.is_none_or(|only| only == iommu) && wanted(row))
}

/// A device of the machine, by its name.
pub(super) fn device(name: &str) -> Option<&'static Device> {
    DEVICES.iter().chain([&PHYSICAL, &VIRTUAL]).find(|device| device.name == name)
}

/// Whether there is such a row.
pub(super) fn exists(name: &str) -> bool {
    ROWS.iter().any(|row| row.name == name)
}

/// The file that `guest.sh` reads. `address` finds a device's address by its name.
pub(super) fn file<'a>(
    rows: impl Iterator<Item = &'a Row>,
    address: impl Fn(&str) -> Option<String>,
) -> String {
    let mut text = String::new();
    for row in rows {
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
            System::Linux { fill } => {
                let (end, blocks) = (row.end.word(), DATA_BYTES >> 16);
                text.push_str(" --kernel /vmlinux --initrd /guest.cpio --memory 256 --seconds 120");
                // Its console is Xen's. On bus 0, Linux looks for a host bridge before it believes in mechanism 1.
                text.push_str(
                    " --cmdline \"earlyprintk=xen,keep loglevel=4 panic=-1 mitigations=off pci=conf1",
                );
                let _ = write!(text, " fill={} blocks={blocks} end={end}\"", u8::from(fill));
            }
        }
        if row.end == End::Killed {
            text.push_str(" --kill");
        }
        for (device, slot) in row.devices {
            let slot = slot.map_or(String::new(), |slot| format!("@{slot}"));
            let _ = write!(text, " --device {}{slot}", address(device).unwrap_or_default());
        }
        let _ = writeln!(text, " {}", row.options);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_is_in_the_machine() {
        for row in ROWS {
            assert!(!row.devices.is_empty() && row.times > 0, "{}", row.name);
            for (name, _) in row.devices {
                assert!(device(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn names_are_words_and_differ() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(
                !row.name.contains(' ') && ROWS.iter().skip(i + 1).all(|r| r.name != row.name),
                "{}",
                row.name
            );
        }
        // The last row of those that run side by side is what is waited for.
        assert!(!ROWS.last().unwrap().beside);
    }

    #[test]
    fn a_row_is_a_line_of_options() {
        let row =
            Row { name: "x", devices: &[("nvme0", Some("4.1"))], options: "--y", beside: true, ..DYING };
        let text = file([row].iter(), |name| Some(format!("0000:{name}")));
        assert_eq!(
            text,
            "with x 1 --vcpus 1 --kernel /tiny.elf --cmdline \"role=guest hostile die\" --device 0000:nvme0@4.1 --y\n"
        );
    }
}
