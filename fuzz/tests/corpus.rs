//! The kept corpus, without libFuzzer: `cargo test --no-default-features`.

use std::fs;
use std::path::Path;

use arbitrary::Arbitrary;

fn replay<I: for<'b> Arbitrary<'b>>(target: &str, run: impl Fn(&I)) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).expect("there is a corpus") {
        let path = entry.expect("it can be read").path();
        println!("{}", path.display());
        fuzz::replay(&fs::read(path).expect("it can be read"), &run);
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs");
}

#[test]
fn accesses() {
    replay("accesses", fuzz::accesses::run);
}

#[test]
fn hostile_device() {
    replay("hostile_device", fuzz::hostile_device::run);
}

#[test]
fn hostile_guest() {
    replay("hostile_guest", fuzz::hostile_guest::run);
}

#[test]
fn reset() {
    replay("reset", fuzz::reset::run);
}

#[test]
fn msix_mmio() {
    replay("msix_mmio", fuzz::msix_mmio::run);
}

#[test]
fn q35() {
    replay("q35", fuzz::q35::run);
}
