//! The program as a whole: each form of output, and what is wrong.

use std::fs;
use std::path::Path;

use anstream::StripStream;
use clap::Parser as _;

use super::{Args, Failure, run};
use ::tests::dump;

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

/// What it prints, without colours, and what it complains of; whether all rules were taken.
fn output(words: &[&str]) -> Result<(bool, String, String), String> {
    let args = Args::try_parse_from([&["guest-view"], words].concat()).expect("sound arguments");
    let (mut out, mut problems) = (StripStream::new(Vec::new()), Vec::new());
    match run(&args, &mut out, &mut problems) {
        Ok(taken) => {
            let text = |bytes| String::from_utf8(bytes).expect("it prints text");
            Ok((taken, text(out.into_inner()), text(problems)))
        }
        Err(Failure::Input(what)) => Err(what),
        Err(Failure::Output(error)) => panic!("{error}"),
    }
}

fn printed(words: &[&str]) -> String {
    let (taken, text, problems) = output(words).expect("sound input");
    assert!(taken && problems.is_empty(), "{problems}");
    text
}

#[test]
fn capabilities_and_fields_with_their_reasons() {
    let text = printed(&[&fixture("nvme.txt")]);
    for part in [
        "01:00.0 1b36:0010 class 010802",
        "BAR 0: memory, 64-bit, 16K (guessed): host fe804000, guest e0000000",
        "the sizes are guessed",
        "[40] 01h Power Management (PCIe 7.5.2) shown: ",
        "virtual (relinked)",
        "hidden  PME# wakes the host, not the guest",
        "Device Serial Number",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("01:00.0 1b36:0010: ") && last.contains(" capabilities; bits: "), "{last}");
}

#[test]
fn a_bridge_is_no_guests() {
    let text = printed(&[&fixture("root-port.txt"), &fixture("conventional.txt")]);
    assert!(text.contains("no guest may have it: it is a bridge"));
    assert_eq!(text.lines().rev().take_while(|line| !line.is_empty()).count(), 2, "a line for each device");
    let (_, text, problems) = output(&["--lspci", &fixture("root-port.txt")]).unwrap();
    assert!(text.is_empty() && problems.contains("it is a bridge"));
}

#[test]
fn lspci_reads_it_and_so_do_we() {
    let text = printed(&["--lspci", &fixture("nvme.txt")]);
    let guest = dump::parse_all(&text).unwrap().remove(0);
    assert_eq!((&*guest.slot, guest.bytes.len()), ("01:00.0", 4096));
    assert_eq!(guest.bytes[4..6], [0, 0], "COMMAND is the guest's");
    assert_eq!(guest.bytes[0x10..0x14], [4, 0, 0, 0xe0], "and so are the addresses of BARs");
    let text = printed(&["--lspci", &fixture("conventional.txt")]);
    assert_eq!(dump::parse(&text).unwrap().len(), 256);
}

#[test]
fn a_reset_is_shown_where_there_is_one() {
    let path = fixture("nvme.txt");
    for (words, flr) in [(&["--lspci", &path][..], 0), (&["--lspci", "--resettable", &path], 0x10)] {
        let guest = dump::parse_all(&printed(words)).unwrap().remove(0);
        // PCI Express is at 70h: bit 28 of Device Capabilities.
        assert_eq!((guest.bytes[0x70], guest.bytes[0x77] & 0x10), (0x10, flr), "{words:?}");
    }
}

#[test]
fn json_has_all_of_it() {
    let text = printed(&["--json", &fixture("nvme.txt"), &fixture("root-port.txt")]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value[0]["ids"], "1b36:0010");
    assert_eq!(value[0]["guest"].as_str().unwrap().len(), 8192);
    assert_eq!(value[0]["bars"][0]["guessed"], true);
    assert_eq!(value[0]["blocks"][0]["fields"][2]["class"], "virtual");
    assert!(value[1]["refused"].as_str().unwrap().contains("bridge"));
}

#[test]
fn the_page_has_every_byte() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("page.html");
    let text = printed(&["--html", &file.display().to_string(), &fixture("nvme.txt")]);
    assert_eq!(text.lines().count(), 1);
    let page = fs::read_to_string(&file).unwrap();
    assert_eq!(page.matches(" title=\"").count(), 4096, "a tooltip for each byte");
    for part in ["class=\"legend\"", "<style>", "</html>", "no row: reads 0", "Power Management"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http"), "it needs nothing else");
    let nowhere = directory.path().join("absent/page.html").display().to_string();
    assert!(output(&["--html", &nowhere, &fixture("nvme.txt")]).unwrap_err().starts_with(&nowhere));
}

#[test]
fn rules_are_tried() {
    let file = fixture("nvme.txt");
    let bytes = "range=f0-f3 read=ffffffff";
    let (taken, text, _) = output(&["--allow", bytes, &file]).unwrap();
    assert!(taken && text.contains(&format!("rule {bytes}: taken")), "{text}");
    let (taken, text, _) = output(&["--allow", "cap=05 range=04-07", &file]).unwrap();
    assert!(
        !taken && text.contains("refused: no rule may show any of Message Signalled Interrupts"),
        "{text}"
    );
    let (taken, _, problems) = output(&["--lspci", "--allow", "range=10-13", &file]).unwrap();
    assert!(!taken && problems.contains("the header, bytes 00 to 3f, is the hypervisor's"), "{problems}");
    // MSI of this device is at 50.
    let (taken, text, _) = output(&["--allow", "range=50-5f", &file]).unwrap();
    assert!(!taken && text.contains("its range meets Message Signalled Interrupts at 50"), "{text}");
    let (taken, text, _) = output(&["--allow", "device=8086:* cap=09 range=00-03", &file]).unwrap();
    assert!(taken && text.contains("it shows nothing of this device"), "{text}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let error = output(&["--allow", "range=zz", &fixture("nvme.txt")]).unwrap_err();
    assert!(error.starts_with("--allow 'range=zz': `range=zz`: expected range=FIRST-LAST"), "{error}");
    let error = output(&["--slot", "00:1f.0", &fixture("nvme.txt")]).unwrap_err();
    assert_eq!(error, "--slot 00:1f.0: there are 01:00.0");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "01:00.0 A\n00: 11 22\n04: 33\n").unwrap();
    let name = file.path().display().to_string();
    assert_eq!(output(&[&name]).unwrap_err(), format!("{name}:3: offset 04 follows 0x2 bytes"));
    assert!(output(&["/nonexistent"]).unwrap_err().starts_with("/nonexistent: "));
}
