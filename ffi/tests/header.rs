//! `include/vpci.h` is what this crate says, and compiles.
//!
//! `VPCI_BLESS=1 cargo test -p ffi --test header` writes the header anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use ffi::{
    rvpci_audit_record, rvpci_bar, rvpci_device_info, rvpci_mch_info, rvpci_mch_window, rvpci_msi,
    rvpci_msix, rvpci_physical_info, rvpci_quirk, rvpci_region, rvpci_register, rvpci_reset_state,
    rvpci_rule, rvpci_vector, rvpci_virtual_function,
};
use quote::ToTokens;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const HEADER: &str = "\
/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C interface of the vPCI library. Generated from ffi/src; do not edit.
 *
 * The library takes no lock. \"Shared\" and \"exclusive\" name the modes of one lock for each domain, \"device\" a lock
 * for each device; a function that names a lock is called with it held. Memory is the caller's. No function waits,
 * allocates, or calls anything but rvpci_host_*, which the caller defines.
 */";

const TYPES: &str = "\
#ifdef __XEN__
# include <xen/types.h>
#else
# include <stdbool.h>
# include <stddef.h>
# include <stdint.h>
#endif";

/// The exported functions, types and constants.
fn exports() -> String {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(HEADER.to_owned()),
        include_guard: Some("VPCI_H".to_owned()),
        no_includes: true,
        after_includes: Some(TYPES.to_owned()),
        cpp_compat: true,
        style: cbindgen::Style::Tag,
        usize_is_size_t: true,
        line_length: 110,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        trailer: Some(imports() + &assertions()),
        ..Default::default()
    };
    config.export.exclude = vec!["SLOT_BYTES".to_owned()];
    let builder = cbindgen::Builder::new().with_config(config);
    let sources = [
        "abi", "domain", "device", "access", "query", "guest", "mch", "server", "physical", "reset",
        "withdraw",
    ];
    let builder = sources.iter().fold(builder, |b, name| b.with_src(root().join(format!("src/{name}.rs"))));
    let mut text = Vec::new();
    builder.generate().expect("the sources parse").write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

/// The C spelling of a type that `host.rs` uses.
fn c_type(ty: &syn::Type) -> String {
    let text = ty.to_token_stream().to_string();
    match text.as_str() {
        "u32" => "uint32_t ",
        "u64" => "uint64_t ",
        "i32" => "int32_t ",
        "i64" => "int64_t ",
        "bool" => "bool ",
        "* mut c_void" => "void *",
        "* mut u64" => "uint64_t *",
        other => panic!("{other} has no C spelling here"),
    }
    .to_owned()
}

/// The functions that the library calls, from the `extern` block of `host.rs`.
fn imports() -> String {
    let source = fs::read_to_string(root().join("src/host.rs")).expect("host.rs is there");
    let file = syn::parse_file(&source).expect("host.rs parses");
    let mut text = "#ifdef __cplusplus\nextern \"C\" {\n#endif\n".to_owned();
    let blocks = file.items.iter().filter_map(|item| match item {
        syn::Item::ForeignMod(block) => Some(&block.items),
        _ => None,
    });
    for item in blocks.flatten() {
        let syn::ForeignItem::Fn(function) = item else { panic!("only functions are imported") };
        let docs = function.attrs.iter().filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(doc) if doc.path.is_ident("doc") => {
                Some(doc.value.to_token_stream().to_string())
            }
            _ => None,
        });
        text.push_str("\n/**\n");
        for line in docs {
            writeln!(text, " *{}", line.trim_matches('"')).expect("a string grows");
        }
        text.push_str(" */\n");
        let result = match &function.sig.output {
            syn::ReturnType::Default => "void ".to_owned(),
            syn::ReturnType::Type(_, ty) => c_type(ty),
        };
        let arguments: Vec<_> = function
            .sig
            .inputs
            .iter()
            .map(|argument| match argument {
                syn::FnArg::Typed(argument) => {
                    c_type(&argument.ty) + &argument.pat.to_token_stream().to_string()
                }
                syn::FnArg::Receiver(_) => panic!("a function has no receiver"),
            })
            .collect();
        let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
        writeln!(text, "{result}{}({arguments});", function.sig.ident).expect("a string grows");
    }
    text + "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n"
}

/// Sizes and offsets of what C shares.
fn assertions() -> String {
    let mut text = "\
#ifdef __cplusplus
# define RVPCI_ASSERT(condition) static_assert(condition, #condition)
#else
# define RVPCI_ASSERT(condition) _Static_assert(condition, #condition)
#endif
"
    .to_owned();
    macro_rules! layout {
        ($($name:ident { $($field:ident),* })*) => {$(
            let name = stringify!($name);
            writeln!(text, "RVPCI_ASSERT(sizeof(struct {name}) == {});", size_of::<$name>()).expect("a string grows");
            $(
                let (field, offset) = (stringify!($field), std::mem::offset_of!($name, $field));
                writeln!(text, "RVPCI_ASSERT(offsetof(struct {name}, {field}) == {offset});").expect("a string grows");
            )*
        )*};
    }
    layout! {
        rvpci_device_info { sbdf, guest, view, flags, registers, rule_count, bar, rules, vf, device, physical }
        rvpci_region { address, size }
        rvpci_physical_info { sbdf, traits, vf, bar }
        rvpci_quirk {
            vendor, first, last, mask, class_mask, class_value, subsystem, revision_first, revision_last, says, zero, has,
            lacks, value, order, zeros
        }
        rvpci_reset_state { outcome, reason, method, count }
        rvpci_virtual_function { ids, bar_register, zero, address, size }
        rvpci_rule {
            vendor, device, class_mask, class_value, scope, zero, id, offset, length, key_offset, zero2, key_mask, key_value,
            read, write
        }
        rvpci_bar { address, size, guest, kind, prefetchable, mapped }
        rvpci_audit_record { sequence, offset, reason, bytes, value }
        rvpci_register { offset, bytes, hardware, value, ro, rw1c, rsvdp, rsvdz }
        rvpci_msi { address, data, mask, pirq, vectors, capable, enabled, address64, masking }
        rvpci_msix { entries, enabled, masked }
        rvpci_mch_info { pciexbar, low_ram_end, high_ram_end, address_bits, zero }
        rvpci_mch_window { base, size, overlaps }
        rvpci_vector { address, data, pirq, masked }
    }
    text + "#undef RVPCI_ASSERT\n"
}

#[test]
fn the_header_is_current() {
    let path = root().join("include/vpci.h");
    let generated = exports();
    if env::var_os("VPCI_BLESS").is_some() {
        fs::write(&path, &generated).expect("the header can be written");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "{} is not what ffi/src says; VPCI_BLESS=1 cargo test -p ffi --test header writes it anew",
        path.display()
    );
}

fn compile(arguments: &[&str], source: &Path) {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command.args(arguments).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"]);
    command.arg(root().join("include")).arg(source);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn compile_program(name: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join(name);
    let program =
        "#include \"vpci.h\"\n#include \"vpci.h\"\nint main(void) { return RVPCI_ABI_VERSION != 2; }\n";
    fs::write(&source, program).expect("the program can be written");
    compile(arguments, &source);
}

#[test]
fn the_header_is_c11() {
    compile_program("program.c", &["-x", "c", "-std=c11"]);
}

#[cfg(feature = "cxx")]
#[test]
fn the_header_is_cxx17() {
    compile_program("program.cc", &["-x", "c++", "-std=c++17"]);
}
