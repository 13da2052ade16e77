//! Whole configuration spaces: taken, and read at every offset and width.
//!
//! The fixtures are made by hand. With the feature `corpus`, dumps of real and emulated functions are read as well
//! (see [`tests::corpus`]).

use capabilities::header::Layout;
use capabilities::{Width, msix};
use tests::device::Device;
use tests::dump;
use tests::machine::Machine;
use vpci::AttachError;

/// What the hardware domain shall read of a function, byte by byte.
struct Expected {
    bytes: Vec<u8>,
    /// The pointers to standard capabilities, and where they point.
    list: Vec<(usize, usize)>,
}

impl Expected {
    fn new(dump: &[u8]) -> Self {
        let mut bytes = dump.to_vec();
        bytes.resize(0x1000, 0xff);
        let mut expected = Self { bytes, list: Vec::new() };
        if dump.get(6).is_some_and(|status| status & 0x10 != 0) {
            expected.end_standard_list();
            expected.interrupts(dump);
        }
        if dump.len() == 0x1000 {
            expected.end_extended_list();
        }
        expected
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn dword(&self, at: usize) -> u32 {
        u32::from(self.word(at)) | u32::from(self.word(at + 2)) << 16
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A pointer that leads nowhere is shown as null.
    fn end_standard_list(&mut self) {
        let mut pointer = 0x34;
        loop {
            let to = usize::from(self.bytes[pointer] & 0xfc);
            if to == 0 {
                return;
            }
            let again = self.list.iter().any(|(_, known)| *known == to);
            if to < 0x40 || again || self.bytes[to] == 0xff {
                self.bytes[pointer] = 0;
                return;
            }
            self.list.push((pointer, to));
            pointer = to + 1;
        }
    }

    fn end_extended_list(&mut self) {
        let mut known = Vec::new();
        let mut at = 0x100;
        loop {
            let header = self.dword(at);
            known.push(at);
            let next = (header >> 20 & 0xffc) as usize;
            if header == 0 || header == u32::MAX || next == 0 {
                return;
            }
            let there = next >= 0x100 && !known.contains(&next) && !matches!(self.dword(next), 0 | u32::MAX);
            if !there {
                self.put(at, &(header & 0xf_ffff).to_le_bytes());
                return;
            }
            at = next;
        }
    }

    /// MSI and MSI-X are the hypervisor's: disabled, and no message is there.
    fn interrupts(&mut self, dump: &[u8]) {
        let first =
            |list: &[(usize, usize)], bytes: &[u8], id| list.iter().find(|(_, at)| bytes[*at] == id).copied();
        if let Some((pointer, at)) = first(&self.list, &self.bytes, 0x11) {
            if self.msix_fits(at, dump) {
                self.put(at + 2, &(self.word(at + 2) & 0x07ff).to_le_bytes());
            } else {
                self.hide(pointer, at);
            }
        }
        let Some((_, at)) = first(&self.list, &self.bytes, 0x05) else { return };
        let control = self.word(at + 2);
        let capable = (control >> 1 & 7).min(5);
        self.put(at + 2, &(control & 0x0180 | capable << 1).to_le_bytes());
        self.put(at + 4, &[0; 4]);
        let data = if control & 0x80 == 0 { 8 } else { 12 };
        if data == 12 {
            self.put(at + 8, &[0; 4]);
        }
        self.put(at + data, &[0; 2]);
        if control & 0x100 != 0 {
            self.put(at + data + 4, &[0; 4]);
        }
    }

    /// Whether table and PBA are inside memory BARs.
    fn msix_fits(&self, at: usize, dump: &[u8]) -> bool {
        let entries = u64::from(self.word(at + 2) & 0x7ff) + 1;
        let bars = memory_bars(dump);
        let fits = |register: u32, size: u64| {
            let bar = bars.iter().find(|(number, _)| *number == (register & 7) as usize);
            bar.is_some_and(|(_, bar_size)| u64::from(register & !7) + size <= *bar_size)
        };
        fits(self.dword(at + 4), entries * msix::ENTRY_SIZE)
            && fits(self.dword(at + 8), entries.div_ceil(64) * 8)
    }

    fn hide(&mut self, pointer: usize, at: usize) {
        self.bytes[pointer] = self.bytes[at + 1];
        let behind = self.list.iter().map(|(_, offset)| *offset).filter(|offset| *offset > at);
        let end = behind.min().unwrap_or(0x100);
        self.bytes[at..end].fill(0);
        for entry in &mut self.list {
            if entry.0 == at + 1 {
                entry.0 = pointer;
            }
        }
        self.list.retain(|(_, offset)| *offset != at);
    }
}

/// The numbers and sizes of the memory BARs that the dumped function is given.
fn memory_bars(dump: &[u8]) -> Vec<(usize, u64)> {
    let register = |n: usize| u32::from_le_bytes(dump[0x10 + 4 * n..0x14 + 4 * n].try_into().unwrap());
    let count = if dump[0x0e] & 0x7f == 1 { 2 } else { 6 };
    let mut bars = Vec::new();
    let mut n = 0;
    while n < count {
        let low = register(n);
        let long = low & 7 == 4;
        let last = n + 1 == count;
        let high = if long && !last { register(n + 1) } else { 0 };
        let address = u64::from(high) << 32 | u64::from(low & !0xf);
        if low & 1 == 0 && address != 0 && !(long && last) {
            bars.push((n, dump::guess_size(address)));
        }
        n += if long && !last && address != 0 { 2 } else { 1 };
    }
    bars
}

/// Takes the function and compares every read with what is expected.
fn check(name: &str, text: &str) {
    let bytes = dump::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let device: Device = dump::device(&bytes);
    let mut machine = Machine::default();
    machine.plug(device.clone());
    let attached = machine.attach(0);
    if Layout::from_header_type(bytes[0x0e]).is_none() {
        assert_eq!(attached, Err(AttachError::Unsupported), "{name}");
        return;
    }
    assert!(attached.is_ok(), "{name}: {attached:?}");
    machine.settle(0);
    let expected = Expected::new(&bytes).bytes;
    for (offset, byte) in (0..).zip(&expected) {
        assert_eq!(machine.read(0, offset, 1), u32::from(*byte), "{name}: byte {offset:#x}");
    }
    for (offset, word) in (0..).step_by(2).zip(expected.chunks_exact(2)) {
        let value = u32::from(u16::from_le_bytes(word.try_into().unwrap()));
        assert_eq!(machine.read(0, offset, 2), value, "{name}: word {offset:#x}");
    }
    for (offset, dword) in (0..).step_by(4).zip(expected.chunks_exact(4)) {
        let value = u32::from_le_bytes(dword.try_into().unwrap());
        assert_eq!(machine.read(0, offset, 4), value, "{name}: dword {offset:#x}");
    }
    for offset in 0..0x1000 {
        let now = machine.device(0).get(offset, Width::Byte);
        assert_eq!(now, device.get(offset, Width::Byte), "{name}: the device's byte {offset:#x} changed");
    }
    machine.detach(0);
    assert!(machine.host.holds_nothing(), "{name}");
}

#[test]
fn an_nvme_controller() {
    check("nvme", include_str!("../fixtures/nvme.txt"));
}

#[test]
fn a_root_port() {
    check("root port", include_str!("../fixtures/root-port.txt"));
}

#[test]
fn a_conventional_function() {
    check("conventional", include_str!("../fixtures/conventional.txt"));
}

#[test]
fn a_broken_function() {
    let text = include_str!("../fixtures/broken.txt");
    check("broken", text);
    // The ring is cut and MSI-X, whose table would be in I/O space, is gone.
    let expected = Expected::new(&dump::parse(text).unwrap());
    assert_eq!(expected.list, [(0x34, 0x40), (0x41, 0x90)]);
    assert_eq!((expected.bytes[0x34], expected.bytes[0x91], expected.dword(0x200)), (0x40, 0, 0x0001_0002));
}

#[test]
fn a_dump_that_is_cut_short_is_no_dump() {
    assert!(dump::parse("00: 86 80\n").is_err());
    assert!(dump::parse("").is_err());
    let text = include_str!("../fixtures/conventional.txt");
    assert!(dump::parse(&text.replace("10: ", "20: ")).is_err(), "a line is missing");
    assert!(dump::parse(&text.replace("ec 10", "ec xx")).is_err());
    let both = format!("{text}\n{}", text.replace("00:05.0", "00:06.0"));
    assert_eq!(dump::parse(&both), dump::parse(text), "the first of two functions");
}

#[cfg(feature = "corpus")]
#[test]
fn every_dump_of_the_corpus() {
    let found = tests::corpus::files();
    for path in &found {
        check(&path.display().to_string(), &std::fs::read_to_string(path).unwrap());
    }
    println!("{} dumps", found.len());
}
