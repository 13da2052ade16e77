//! What is read: text of `lspci -x`, or a device below `/sys`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ::tests::dump::{self, Dump};
use vpci::VirtualFunction;

/// A device, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The file.
    pub(crate) source: String,
    pub(crate) dump: Dump,
    /// What the host's kernel says of a virtual function.
    pub(crate) function: Option<VirtualFunction>,
}

/// The devices in a file, or the one of a directory below `/sys`; `-` is the standard input.
///
/// # Errors
///
/// It cannot be read, or is neither: a message with file and line.
pub(crate) fn read(file: &str) -> Result<Vec<Subject>, String> {
    let path = Path::new(file);
    let fail = |error: io::Error| format!("{file}: {error}");
    let path: PathBuf = if path.is_dir() { path.join("config") } else { path.to_owned() };
    let mut bytes = Vec::new();
    if file == "-" {
        io::stdin().read_to_end(&mut bytes).map_err(fail)?;
    } else {
        bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if path.file_name().is_some_and(|name| name == "config") {
        return sysfs(&path, bytes).map(|subject| vec![subject]);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        format!(
            "{file}:{line}: this is no text; a binary dump is read if its name is `config`, as below /sys"
        )
    })?;
    let dumps = dump::parse_all(&text).map_err(|error| format!("{file}:{}: {}", error.line, error.what))?;
    Ok(dumps.into_iter().map(|dump| Subject { source: file.to_owned(), dump, function: None }).collect())
}

/// A device by its `config` file, with what the kernel knows of it in the files beside.
fn sysfs(path: &Path, bytes: Vec<u8>) -> Result<Subject, String> {
    let source = path.display().to_string();
    match bytes.len() {
        256 | 4096 => {}
        64 => return Err(format!("{source}: the kernel shows the first 64 bytes only: read it as root")),
        length => {
            return Err(format!("{source}: {length} bytes are no configuration space: it has 256 or 4096"));
        }
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let slot = directory.file_name().and_then(|name| name.to_str()).filter(|name| dump::is_slot(name));
    let hex = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok();
    let id = |name: &str| {
        let text = fs::read_to_string(directory.join(name)).ok()?;
        hex(&text).and_then(|id| u32::try_from(id).ok())
    };
    let ids = id("vendor").zip(id("device")).map(|(vendor, device)| vendor | device << 16);
    // Start, end and flags of BARs 0 to 5 and the ROM (Documentation/PCI/sysfs-pci).
    let resources: Vec<[u64; 3]> = fs::read_to_string(directory.join("resource")).map_or_else(
        |_| Vec::new(),
        |text| {
            let line = |line: &str| {
                let mut words = line.split_whitespace().filter_map(hex);
                Some([words.next()?, words.next()?, words.next()?])
            };
            text.lines().take(7).map_while(line).collect()
        },
    );
    let sizes: Vec<(u64, u64)> = resources
        .iter()
        .filter(|[start, end, _]| *start != 0 && end > start)
        .map(|[start, end, _]| (*start, end - start + 1))
        .collect();
    let title = ids.map_or_else(String::new, |ids| format!("{:04x}:{:04x}", ids & 0xffff, ids >> 16));
    let function = ids.filter(|_| bytes[..4] == [0xff; 4]).map(|ids| virtual_function(ids, &resources));
    let dump = Dump { slot: slot.unwrap_or("00:00.0").to_owned(), title, line: 1, bytes, sizes };
    Ok(Subject { source, dump, function })
}

/// A virtual function, which does not say itself what it is.
fn virtual_function(ids: u32, resources: &[[u64; 3]]) -> VirtualFunction {
    /// `IORESOURCE_PREFETCH` and `IORESOURCE_MEM_64`.
    const FLAGS: [(u64, u32); 2] = [(0x2000, 8), (0x10_0000, 4)];
    let mut function = VirtualFunction { ids, kinds: [0; 6], addresses: [0; 6], sizes: [0; 6] };
    for (number, [start, end, flags]) in resources.iter().take(6).enumerate() {
        if *start != 0 && end > start {
            function.addresses[number] = *start;
            function.sizes[number] = end - start + 1;
            function.kinds[number] =
                FLAGS.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |bits, (_, bit)| bits | bit);
        }
    }
    function
}

/// Those at this address, with or without its domain.
///
/// # Errors
///
/// There is none.
pub(crate) fn select(all: Vec<Subject>, slot: &str) -> Result<Vec<Subject>, String> {
    let full =
        |slot: &str| if slot.matches(':').count() == 1 { format!("0000:{slot}") } else { slot.to_owned() };
    if !dump::is_slot(slot) {
        return Err(format!("--slot {slot}: expected [DOMAIN:]BUS:DEVICE.FUNCTION, as in 00:1f.2"));
    }
    let slots: Vec<String> = all.iter().map(|subject| subject.dump.slot.clone()).collect();
    let found: Vec<Subject> = all
        .into_iter()
        .filter(|subject| full(&subject.dump.slot).eq_ignore_ascii_case(&full(slot)))
        .collect();
    if found.is_empty() { Err(format!("--slot {slot}: there are {}", slots.join(", "))) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_none_are_named_with_their_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let absent = directory.path().join("absent").display().to_string();
        assert!(read(&absent).unwrap_err().starts_with(&format!("{absent}: ")));
        let text = file("text", b"00:02.0 A\n00: 00 zz\n");
        assert_eq!(read(&text).unwrap_err(), format!("{text}:2: not a byte in hexadecimal: `zz`"));
        let binary = file("binary", b"# x\n\xff\xff");
        assert!(read(&binary).unwrap_err().starts_with(&format!("{binary}:2: this is no text")));
        let short = file("config", &[0; 64]);
        assert!(read(&short).unwrap_err().contains("as root"));
        file("config", &[0; 65]);
        assert!(read(&short).unwrap_err().contains("65 bytes"));
        assert!(read(&directory.path().display().to_string()).unwrap_err().contains("65 bytes"));
    }

    #[test]
    fn a_device_below_sys_has_known_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("0000:03:10.1");
        fs::create_dir(&device).unwrap();
        let mut bytes = vec![0; 4096];
        bytes[..4].fill(0xff);
        fs::write(device.join("config"), &bytes).unwrap();
        fs::write(device.join("vendor"), "0x8086\n").unwrap();
        fs::write(device.join("device"), "0x10ca\n").unwrap();
        let resource = "0x00000000fe000000 0x00000000fe003fff 0x0000000000142208\n0x0 0x0 0x0\n";
        fs::write(device.join("resource"), resource).unwrap();
        let subject = read(&device.display().to_string()).unwrap().remove(0);
        assert_eq!(&*subject.dump.slot, "0000:03:10.1");
        assert!(subject.dump.knows_size(0xfe00_0000) && subject.dump.size(0xfe00_0000) == 0x4000);
        let function = subject.function.unwrap();
        assert_eq!((function.ids, function.kinds[0], function.sizes[0]), (0x10ca_8086, 12, 0x4000));
    }

    #[test]
    fn an_address_selects() {
        let subjects = |slots: &[&str]| -> Vec<Subject> {
            let text: String = slots.iter().map(|slot| dump::print(slot, "", &[0; 64])).collect();
            let dumps = dump::parse_all(&text).unwrap();
            dumps.into_iter().map(|dump| Subject { source: String::new(), dump, function: None }).collect()
        };
        let select = |slot: &str| select(subjects(&["00:02.0", "0001:00:02.0", "0000:00:1F.2"]), slot);
        assert_eq!(select("00:02.0").unwrap().len(), 1);
        assert_eq!(select("0000:00:02.0").unwrap()[0].dump.slot, "00:02.0");
        assert_eq!(select("00:1f.2").unwrap()[0].dump.slot, "0000:00:1F.2");
        assert!(select("00:03.0").unwrap_err().contains("there are 00:02.0, 0001:00:02.0"));
        assert!(select("2").unwrap_err().contains("expected"));
    }
}
