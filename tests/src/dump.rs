//! Configuration spaces in the format of `lspci -x`: lines of an offset and up to 16 bytes, in hexadecimal.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::device::Device;

/// Bytes in a line.
const LINE: usize = 16;

/// A function in a dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dump {
    /// Its address, as it is written there; empty where the bytes have no name.
    pub slot: String,
    /// What follows the address in that line.
    pub title: String,
    /// The line of its name, or of its first bytes where it has none, counted from 1.
    pub line: usize,
    /// Its configuration space: 64, 128 (a `CardBus` bridge), 256 or 4096 bytes.
    pub bytes: Vec<u8>,
    /// The addresses of its BARs and their sizes, where the text says them, as that of `lspci -v` does.
    pub sizes: Vec<(u64, u64)>,
}

/// A line that is none of a dump's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpError {
    /// Its number, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl Display for DumpError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Dump {
    fn new(line: usize, slot: &str, title: &str) -> Self {
        Self { slot: slot.to_owned(), title: title.to_owned(), line, bytes: Vec::new(), sizes: Vec::new() }
    }

    /// The size of the BAR at `address`: as the dump says, or guessed from its alignment and from where the function's next
    /// BAR is.
    pub fn size(&self, address: u64) -> u64 {
        let known = self.sizes.iter().find(|(at, _)| *at == address);
        if let Some((_, size)) = known {
            return *size;
        }
        let next = self.addresses().into_iter().filter(|other| *other > address).min();
        let mut size = guess_size(address);
        while next.is_some_and(|next| next - address < size) {
            size /= 2;
        }
        size
    }

    /// The addresses of the memory BARs and of the ROM, if it is an endpoint.
    fn addresses(&self) -> Vec<u64> {
        let register = |offset: usize| {
            let bytes = self.bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_le_bytes)
        };
        let mut found = vec![u64::from(register(0x30) & !0x7ff)];
        let mut offset = 0x10;
        while offset < 0x28 {
            let (low, high) = (register(offset), register(offset + 4));
            let long = low & 7 == 4 && offset < 0x24;
            offset += if long { 8 } else { 4 };
            if low & 1 == 0 {
                found.push(u64::from(low & !0xf) | if long { u64::from(high) << 32 } else { 0 });
            }
        }
        found
    }

    /// Whether the dump says how large the BAR at `address` is.
    pub fn knows_size(&self, address: u64) -> bool {
        self.sizes.iter().any(|(at, _)| *at == address)
    }

    /// The function whose configuration space this is.
    pub fn device(&self) -> Device {
        Device::from_bytes(&self.bytes, |address| self.size(address))
    }

    /// Vendor and device ID as the title has them, which `lspci -n` and `-nn` write: `8086:10ca`, the last such pair. A
    /// virtual function's own registers do not say them.
    pub fn ids_of_title(&self) -> Option<u32> {
        let words = self.title.split(|other: char| !(other.is_ascii_hexdigit() || other == ':'));
        let id = |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 4);
        let pair = |word: &str| {
            let (vendor, device) = word.split_once(':')?;
            Some(id(vendor)? | id(device)? << 16)
        };
        words.filter_map(pair).next_back()
    }

    fn finish(self, last: usize) -> Result<Self, DumpError> {
        let bytes = self.bytes.len();
        if matches!(bytes, 64 | 128 | 256 | 4096) {
            return Ok(self);
        }
        let what = format!("{bytes} bytes are no configuration space: it has 64, 256 or 4096");
        Err(DumpError { line: last, what })
    }
}

/// All functions in `text`.
///
/// # Errors
///
/// A line is neither a function's name nor bytes nor a remark (an indented line, or one after `#`), or bytes do not
/// follow one another, or a name has none, or there is nothing.
pub fn parse_all(text: &str) -> Result<Vec<Dump>, DumpError> {
    let mut all: Vec<Dump> = Vec::new();
    let mut current: Option<Dump> = None;
    let mut last = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        let error = |what: String| DumpError { line: number, what };
        if let Some((slot, title)) = name(line) {
            if let Some(done) = current.replace(Dump::new(number, slot, title)) {
                all.push(done.finish(last)?);
            }
            last = number;
        } else if let Some((offset, rest)) = bytes_of(line) {
            if offset == 0
                && current.as_ref().is_some_and(|dump| !dump.bytes.is_empty())
                && let Some(done) = current.take()
            {
                all.push(done.finish(last)?);
            }
            let dump = current.get_or_insert_with(|| Dump::new(number, "", ""));
            if offset != dump.bytes.len() {
                return Err(error(format!("offset {offset:02x} follows {:#x} bytes", dump.bytes.len())));
            }
            let new =
                rest.split_whitespace().map(byte).collect::<Result<Vec<u8>, String>>().map_err(error)?;
            if new.is_empty() || new.len() > LINE {
                return Err(error(format!("{} bytes in a line: there can be 1 to {LINE}", new.len())));
            }
            dump.bytes.extend(new);
            last = number;
        } else if !is_remark(line) {
            return Err(error(format!("neither a function's name nor its bytes: {}", excerpt(line))));
        } else if let (Some(dump), Some(range)) = (&mut current, range(line)) {
            dump.sizes.push(range);
        }
    }
    match current {
        Some(done) => {
            all.push(done.finish(last)?);
            Ok(all)
        }
        None => Err(DumpError { line: last.max(1), what: "there is no function in it".to_owned() }),
    }
}

/// The bytes of the first function in `text`.
///
/// # Errors
///
/// Those of [`parse_all`].
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let first = parse_all(text).map_err(|error| error.to_string())?.into_iter().next();
    first.map(|dump| dump.bytes).ok_or_else(String::new)
}

/// A function as `lspci -F` reads it.
pub fn print(slot: &str, title: &str, bytes: &[u8]) -> String {
    let mut text = format!("{slot} {title}").trim_end().to_owned();
    for (number, line) in bytes.chunks(LINE).enumerate() {
        write!(text, "\n{:02x}:", number * LINE).expect("it grows");
        for byte in line {
            write!(text, " {byte:02x}").expect("it grows");
        }
    }
    text + "\n\n"
}

/// The address and the rest of a line that names a function: `[domain:]bus:device.function`.
fn name(line: &str) -> Option<(&str, &str)> {
    let (slot, title) = line.split_once(' ').unwrap_or((line, ""));
    is_slot(slot).then_some((slot, title))
}

/// Whether this is the address of a function.
pub fn is_slot(slot: &str) -> bool {
    let hex = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let Some((front, function)) = slot.rsplit_once('.') else { return false };
    let mut parts = front.rsplit(':');
    let (device, bus, domain) = (parts.next(), parts.next(), parts.next());
    let number = device.and_then(|device| u8::from_str_radix(device, 16).ok());
    number.is_some_and(|number| number < 32)
        && device.is_some_and(|part| hex(part, 2))
        && bus.is_some_and(|part| hex(part, 2))
        && domain.is_none_or(|part| hex(part, 8))
        && parts.next().is_none()
        && hex(function, 1)
        && function < "8"
}

/// The offset and the rest of a line of bytes.
fn bytes_of(line: &str) -> Option<(usize, &str)> {
    let (offset, rest) = line.split_once(':')?;
    let hex = (2..=3).contains(&offset.len()) && (rest.is_empty() || rest.starts_with(' '));
    usize::from_str_radix(offset, 16).ok().filter(|_| hex).map(|offset| (offset, rest))
}

fn byte(text: &str) -> Result<u8, String> {
    let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u8::from_str_radix(text, 16).ok().filter(|_| two);
    value.ok_or_else(|| format!("not a byte in hexadecimal: {}", excerpt(text)))
}

/// What `lspci` writes between the name and the bytes, and to its standard error.
fn is_remark(line: &str) -> bool {
    line.is_empty()
        || line.starts_with(['#', ' ', '\t'])
        || line.starts_with("lspci: ")
        || line.starts_with("pcilib: ")
}

/// The address and size of a BAR in a line of `lspci -v`: `… at febf0000 … [size=16K]`.
fn range(line: &str) -> Option<(u64, u64)> {
    let (_, behind) = line.split_once(" at ")?;
    let address = u64::from_str_radix(behind.split_whitespace().next()?, 16).ok()?;
    let (_, size) = behind.split_once("[size=")?;
    let (size, _) = size.split_once(']')?;
    let digits = size.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match size.strip_prefix(digits)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let size = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (size.is_power_of_two() && address != 0).then_some((address, size))
}

/// A line that is short enough for a message.
fn excerpt(line: &str) -> String {
    let mut text: String = line.chars().take(40).collect::<String>().escape_debug().to_string();
    if line.chars().nth(40).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

/// The size of a BAR at `address`, of which a dump says nothing: as much as its alignment allows, up to 16 MiB. No BAR
/// is larger than that (PCIe 7.5.1.2.1).
pub const fn guess_size(address: u64) -> u64 {
    let aligned = 1 << (address.trailing_zeros() % u64::BITS);
    if aligned > 0x100_0000 { 0x100_0000 } else { aligned }
}

/// The function whose configuration space these bytes are.
pub fn device(bytes: &[u8]) -> Device {
    Device::from_bytes(bytes, guess_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> usize {
        parse_all(text).expect_err("it is no dump").line
    }

    fn lines(slot: &str, count: usize) -> String {
        print(slot, "Device", &vec![0x5a; count * LINE])
    }

    #[test]
    fn several_functions_with_names_and_sizes() {
        let named = print("00:00.0", "", &[0x11; 64]);
        let bytes = named.split_once('\n').unwrap().1;
        let text = format!(
            "# remark\n00:02.0 VGA: A\n\tRegion 0: Memory at fd000000 (32-bit, prefetchable) [size=16M]\n\
             \tExpansion ROM at febd0000 [disabled] [size=64K]\n{bytes}\n0001:3f:1f.7 B\n{bytes}lspci: what\n"
        );
        let all = parse_all(&text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((&*all[0].slot, &*all[0].title, all[0].line), ("00:02.0", "VGA: A", 2));
        assert_eq!(all[0].sizes, [(0xfd00_0000, 1 << 24), (0xfebd_0000, 1 << 16)]);
        assert_eq!((all[0].size(0xfebd_0000), all[0].size(0xfebd_8000)), (1 << 16, 1 << 15));
        assert_eq!((&*all[1].slot, all[1].line, all[1].bytes.len()), ("0001:3f:1f.7", 11, 64));
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for length in [64, 256, 4096] {
            let bytes: Vec<u8> = (0..=0xff).cycle().take(length).collect();
            let text = print("00:1f.3", "x: y", &bytes);
            let dump = parse_all(&text).unwrap().remove(0);
            assert_eq!((&*dump.slot, &*dump.title, dump.bytes), ("00:1f.3", "x: y", bytes));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(line(""), 1);
        assert_eq!(line("\n\n"), 1);
        assert_eq!(line("hello\n"), 1);
        assert_eq!(line("00:02.0 A\n00: 00 zz\n"), 2);
        assert_eq!(line("00:02.0 A\n00: 00 123\n"), 2);
        assert_eq!(line("00:02.0 A\n00: 00\n02: 00\n"), 3);
        assert_eq!(line("00:02.0 A\n00:\n"), 2);
        assert_eq!(line("00:02.0 A\n\n00:03.0 B\n"), 1, "a name without bytes");
        assert_eq!(line(&format!("{}00:02.1 B\n00: 00\n", lines("00:02.0", 4))), 8);
        assert_eq!(line("00:02.0 A\n00: é\n"), 2);
    }

    #[test]
    fn ids_stand_in_the_title() {
        let ids = |title: &str| Dump::new(1, "", title).ids_of_title();
        assert_eq!(ids("Class 0200: 8086:10ca (rev 01)"), Some(0x10ca_8086));
        assert_eq!(ids("Ethernet controller [0200]: Intel Corporation X [8086:10ca]"), Some(0x10ca_8086));
        assert_eq!(ids("Ethernet controller: Intel Corporation X"), None);
    }

    #[test]
    fn addresses_of_functions() {
        for slot in ["00:02.0", "0000:00:1f.7", "10000:e1:00.0", "1:2.3"] {
            assert!(is_slot(slot), "{slot}");
        }
        for slot in
            ["00:20.0", "00:02.8", "00:02", "02.0", "0:0:0:0.0", "00:02.é", "xx:02.0", ".0", "00:.0", ""]
        {
            assert!(!is_slot(slot), "{slot}");
        }
    }

    #[test]
    fn no_bar_is_larger_than_its_alignment() {
        assert_eq!((guess_size(0xfe00_0400), guess_size(0xf000_0000)), (0x400, 0x100_0000));
        assert_eq!((guess_size(0x1000), guess_size(0)), (0x1000, 1));
        let mut dump = Dump::new(1, "", "");
        dump.bytes = vec![0; 64];
        dump.bytes[0x13] = 0xfe;
        dump.bytes[0x14..0x18].copy_from_slice(&0xfe02_0000u32.to_le_bytes());
        assert_eq!(
            (dump.size(0xfe00_0000), dump.size(0xfe02_0000)),
            (0x2_0000, 0x2_0000),
            "nor is it over another"
        );
    }
}
