//! The MCH's configuration space as pciutils read it: `lspci` finds a host bridge and nothing wrong with it, and `setpci`
//! finds in its registers what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use q35::Info;
use tests::chipset::{CONFIG_ADDRESS, CONFIG_DATA, Chipset};
use tests::lspci::{self, is_complaint};
use tests::{datasheet, dump};

/// PCIEXBAR as a 64-bit guest might have it: 128 MB above 4 GiB.
const PCIEXBAR: u64 = 0x4_b800_0003;

/// An MCH whose firmware has moved the window, opened the ROM shadow and locked SMRAM.
fn chipset() -> Chipset {
    let info = Info {
        pciexbar: 0xe000_0001,
        low_ram_end: 0x8000_0000,
        high_ram_end: 0x1_8000_0000,
        address_bits: 39,
    };
    let mut chipset = Chipset::new(&info).unwrap();
    // CAST: the halves of the register.
    for (register, value) in
        [(0x60, 0), (0x64, (PCIEXBAR >> 32) as u32), (0x60, PCIEXBAR as u32), (0x90, 0x3333_3330)]
    {
        chipset.port_write(CONFIG_ADDRESS, 4, 1 << 31 | register);
        chipset.port_write(CONFIG_DATA, 4, value);
    }
    chipset.port_write(CONFIG_ADDRESS, 4, 1 << 31 | 0x9c);
    chipset.port_write(CONFIG_DATA + 1, 1, 0x1a);
    chipset
}

/// Its 256 bytes, as a system reads them: through the window.
fn bytes(chipset: &Chipset) -> Vec<u8> {
    let base = chipset.mch.window().unwrap().base();
    // CAST: one byte is read.
    (0..0x100).map(|offset| chipset.memory_read(base + offset, 1).unwrap() as u8).collect()
}

fn file(name: &str, text: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("q35");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file
}

/// The MCH, and a function with extended configuration space.
fn image(name: &str) -> PathBuf {
    let disk = dump::parse(include_str!("../fixtures/nvme.txt")).unwrap();
    let functions =
        dump::print("00:00.0", "MCH", &bytes(&chipset())) + &dump::print("00:03.0", "NVMe", &disk);
    file(name, &functions)
}

#[test]
fn lspci_finds_a_host_bridge_and_does_not_complain() {
    let (lines, errors) = lspci::read(&image("lspci.txt"), &["-nn", "-vvv"]);
    let functions: Vec<_> = lines.split(String::is_empty).collect();
    let [bridge, nvme, ..] = functions.as_slice() else { panic!("{lines:?}") };
    let title =
        "00:00.0 Host bridge [0600]: Intel Corporation 82G33/G31/P35/P31 Express DRAM Controller [8086:29c0]";
    assert_eq!(bridge[0], title);
    assert!(bridge[1].starts_with("Subsystem: ") && bridge[1].ends_with("[1af4:1100]"), "{bridge:?}");
    assert!(bridge[2].starts_with("Control: I/O- Mem+ BusMaster+ "), "{bridge:?}");
    assert!(bridge[3].starts_with("Status: Cap- "), "{bridge:?}");
    assert_eq!(bridge[4..], ["Latency: 0"], "it has no BAR, ROM, interrupt or capability");
    let extended = |line: &&String| line.starts_with("Capabilities: [100 v2] Advanced Error Reporting");
    assert!(nvme.iter().any(|line| extended(&line)), "{nvme:?}");
    let complaints: Vec<_> = bridge.iter().filter(|line| is_complaint(line)).chain(&errors).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn setpci_reads_what_the_registers_hold() {
    let image = image("setpci.txt");
    let read = |slot, registers: &[&str]| lspci::registers(&image, slot, registers);
    assert_eq!(read("0:0.0", &["60.l", "64.l"]), ["b8000003", "00000004"], "PCIEXBAR, {PCIEXBAR:#x}");
    assert_eq!(read("0:0.0", &["VENDOR_ID", "DEVICE_ID", "COMMAND"]), ["8086", "29c0", "0006"]);
    assert_eq!(read("0:0.0", &["9d.b", "90.l", "b0.w"]), ["1a", "33333330", "0010"], "SMRAM, PAM, TOLUD");
    assert_eq!(read("0:3.0", &["ECAP_AER+0.l"]), ["14820001"], "of the function beside it");
}

/// `setpci` against the model, over every dword.
#[test]
fn setpci_reads_every_register_as_the_datasheet_has_it() {
    let info = Info { pciexbar: 0xe000_0001, low_ram_end: 0x8000_0000, high_ram_end: 0, address_bits: 36 };
    let image = file("reset.txt", &dump::print("00:00.0", "MCH", &bytes(&Chipset::new(&info).unwrap())));
    let model = datasheet::Mch::new(info.pciexbar, u32::from(info.address_bits));
    let names: Vec<_> = (0..0x100).step_by(4).map(|offset| format!("{offset:x}.l")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let due: Vec<_> = (0..0x100).step_by(4).map(|offset| format!("{:08x}", model.read(offset, 4))).collect();
    assert_eq!(lspci::registers(&image, "0:0.0", &names), due);
}
