//! What `SeaBIOS`, OVMF and Linux did to the MCH of QEMU's Q35 (see [`tests::trace`]), done to the library's: each read of
//! 00:00.0 is answered as recorded, but for the rows of [`tests::qemu`].

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use capabilities::Sbdf;
use flate2::read::GzDecoder;
use q35::Info;
use tests::chipset::Chipset;
use tests::qemu::{self, Twin};
use tests::{corpus, trace};

const MCH: Sbdf = Sbdf(0);

fn text(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        return text;
    }
    fs::read_to_string(path).unwrap()
}

/// What a replay met.
#[derive(Default)]
struct Replay {
    /// Reads of the MCH.
    reads: u32,
    /// Those answered otherwise than recorded, with the rows that say why.
    explained: u32,
    rows: Vec<&'static str>,
    /// Those that no row explains.
    wrong: Vec<String>,
}

fn replay(name: &str, text: &str) -> Replay {
    let info = Info { pciexbar: 0, low_ram_end: 0x800_0000, high_ram_end: 0, address_bits: 36 };
    let mut chipset = Chipset::new(&info).unwrap();
    let rows = qemu::deviations().into_iter().chain([qemu::WITHOUT_SMM]).collect();
    let mut twin = Twin::new(rows);
    let mut found = Replay::default();
    for (number, line) in trace::parse(text).unwrap_or_else(|error| panic!("{name}: {error}")) {
        let there = line.decode(&chipset);
        assert_eq!(
            there,
            Some((line.sbdf, line.register)),
            "{name}:{number}: {line:x?} is decoded otherwise"
        );
        if line.sbdf != MCH {
            continue;
        }
        let (register, bytes) = (usize::from(line.register), line.bytes as usize); // CAST: at most 4.
        let Some(read) = line.make(&mut chipset) else {
            twin.write(register, bytes, u64::from(line.value));
            continue;
        };
        found.reads += 1;
        let (read, value) = (u64::from(read), u64::from(line.value));
        let rule = twin.due(register, bytes);
        let due = rule.of(value);
        if read != due {
            found.wrong.push(format!("{name}:{number}: {line:x?} reads {read:#x}, and {due:#x} is due"));
        } else if read != value {
            found.explained += 1;
            let rows = rule.explain(read ^ value).map(|row| twin.rows()[row].what);
            found.rows.extend(rows);
        }
    }
    found.rows.sort_unstable();
    found.rows.dedup();
    found
}

#[test]
fn every_read_of_the_host_bridge_is_answered_as_recorded() {
    let mut wrong = Vec::new();
    let traces = corpus::traces();
    for path in &traces {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = replay(&name, &text(path));
        assert!(found.reads > 40, "{name} hardly reads the MCH");
        println!(
            "{name}: {} reads of 00:00.0, {} as recorded, {} explained by: {}",
            found.reads,
            found.reads - found.explained - found.wrong.len() as u32, // CAST: few.
            found.explained,
            found.rows.join("; ")
        );
        wrong.extend(found.wrong);
    }
    assert_eq!(traces.len(), 3, "{traces:?}");
    assert!(wrong.is_empty(), "{} of the reads:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_read_that_was_never_answered_so_is_found() {
    let answered = |value: &str| replay("", &format!("CF8 R 00:00.0 002 2 {value}\n")).wrong.len();
    assert_eq!((answered("0x29c0"), answered("0x1237")), (0, 1));
}
