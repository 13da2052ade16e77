//! Objects with one planted defect, and what the gates say to them.

use std::{fs, process::Command};

use super::{Verdict, header::Header, judge_bytes};

/// What the objects of [`assembled`] export and import.
pub(super) fn header() -> Header {
    Header::parse("void rvpci_entry(void); void rvpci_host_map(void);")
}

/// Assembles a clean object with `body` inside its one export and `more` behind it.
pub(super) fn assembled(body: &str, more: &str) -> Vec<u8> {
    let source = format!(
        ".text
         .globl rvpci_entry
         .type rvpci_entry, @function
         rvpci_entry: endbr64
         push %rbp
         mov %rsp, %rbp
         call rvpci_host_map@PLT
         lea constant(%rip), %rax
         pop %rbp
         {body}
         jmp __x86_return_thunk@PLT
         .section .rodata
         constant: .quad 1
         .text
         {more}
         .section .note.GNU-stack\n"
    );
    compiled("object.s", &source, "cc", &["-c", "-o", "object.o", "object.s"])
}

/// Compiles a function that reads `values` at `at`, as Rust for the host does.
pub(super) fn rust(expression: &str) -> Vec<u8> {
    let source = format!(
        "#![no_std]
         #[unsafe(no_mangle)]
         pub extern \"C\" fn rvpci_entry(values: &[u8; 4], at: usize) -> u8 {{ {expression} }}"
    );
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let flags =
        "--edition=2024 --crate-type=lib --emit=obj -Cpanic=abort -Copt-level=2 -o object.o object.rs";
    compiled("object.rs", &source, &rustc, &flags.split(' ').collect::<Vec<_>>())
}

fn compiled(name: &str, source: &str, compiler: &str, args: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), source).unwrap();
    let output = Command::new(compiler).current_dir(&dir).args(args).output().unwrap();
    assert!(output.status.success(), "{source}\n{}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.path().join("object.o")).unwrap()
}

/// The keys of the gates that an object fails.
pub(super) fn failing(object: &[u8], header: Option<&Header>) -> Vec<&'static str> {
    judge_bytes(object, header)
        .iter()
        .filter(|verdict| !verdict.passes())
        .map(|verdict| verdict.key)
        .collect()
}

/// Asserts that an otherwise clean object fails these gates and no others.
#[track_caller]
pub(super) fn assert_fails(body: &str, more: &str, gates: &[&str]) {
    let verdicts = judge_bytes(&assembled(body, more), Some(&header()));
    let failed: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.passes()).collect();
    let keys: Vec<&str> = failed.iter().map(|verdict| verdict.key).collect();
    assert_eq!(keys, gates, "{body}\n{more}\n{failed:#?}");
}

#[test]
fn a_clean_object_passes_every_gate() {
    assert_fails("", "", &[]);
}
