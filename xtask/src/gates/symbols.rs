//! Gates on names: what the object asks of Xen, what it offers, and that nothing in it can panic.

use iced_x86::{Code, FlowControl};

use super::{
    Verdict,
    header::Header,
    image::{Image, demangled},
};

/// Every return goes through it.
pub(super) const RETURN_THUNK: &str = "__x86_return_thunk";

/// What Xen defines; it has no `bcmp`.
const ALLOWED: &[&str] = &["memcpy", "memmove", "memset", "memcmp", RETURN_THUNK];
const HOST_PREFIX: &str = "rvpci_host_";

/// Called by the panic handler, and defined nowhere.
const PANIC_MARKER: &str = "rvpci_panic_is_reachable";

/// Paths below which a function exists only to panic, or needs an allocator or an operating system.
const PANICS: &[&str] = &[
    "core::panicking",
    "core::slice::index",
    "core::slice::copy_from_slice_impl::len_mismatch_fail",
    "core::str::slice_error_fail",
    "core::option::unwrap_failed",
    "core::option::expect_failed",
    "core::result::unwrap_failed",
    "core::cell::panic",
    "core::num::int_log10::panic",
    "core::intrinsics::abort",
    "alloc::",
    "std::",
    "__rustc::rust_begin_unwind",
    "__rustc::rust_panic",
    "rust_begin_unwind",
    "rust_panic",
    "rust_eh_personality",
    "_Unwind_",
    PANIC_MARKER,
];

/// Undefined symbols are those that the header imports, and the few of Xen that a compiler calls by itself.
pub(super) fn undefined(image: &Image, header: Option<&Header>) -> Verdict {
    let names: Vec<&str> = image.undefined().map(|symbol| &*symbol.name).collect();
    let declared = |name: &str| header.is_none_or(|header| header.imports.contains(name));
    let allowed = |name: &str| ALLOWED.contains(&name) || name.starts_with(HOST_PREFIX) && declared(name);
    let defects = names.iter().filter(|name| !allowed(name)).map(|name| demangled(name)).collect();
    let (host, own): (Vec<&str>, _) = names.iter().partition(|name| name.starts_with(HOST_PREFIX));
    Verdict {
        key: "undefined",
        what: "undefined symbols",
        figure: names.len() as u64,
        note: format!("{} of the host, {}", host.len(), own.join(" ")),
        defects,
    }
}

/// No panic function, defined or not, no `ud2`.
///
/// Fat LTO may define the panic functions of `core` in the object, so both kinds are looked at.
pub(super) fn panics(image: &Image, _: Option<&Header>) -> Verdict {
    let named = image.symbols.iter().filter(|symbol| symbol.undefined || symbol.place.is_some());
    let mut defects: Vec<String> = named
        .filter(|symbol| panics_at(&symbol.path()))
        .map(|symbol| match image.callers(symbol).next() {
            Some(caller) => format!("{}, called at {caller}", symbol.path()),
            None => symbol.path(),
        })
        .collect();
    defects.extend(
        image
            .instructions()
            .filter(|(_, code)| code.flow_control() == FlowControl::Exception)
            .map(|(function, code)| format!("{}: {:?}", function.at(code), code.mnemonic())),
    );
    Verdict::count("panics", "panic functions and traps", defects)
}

fn panics_at(path: &str) -> bool {
    let path = path.trim_start_matches(['<', '&']);
    path.contains("::do_panic") || PANICS.iter().any(|prefix| path.starts_with(prefix))
}

/// What is exported is what the header declares, and begins with `endbr64`.
pub(super) fn exports(image: &Image, header: Option<&Header>) -> Verdict {
    let mut defects = Vec::new();
    let mut figure = 0;
    for symbol in image.exports() {
        figure += 1;
        let entry = symbol.place.and_then(|place| {
            let function = &image.functions[image.function(place)?];
            function.code.iter().find(|code| code.ip() == place.offset)
        });
        if entry.is_none_or(|code| code.code() != Code::Endbr64) {
            defects.push(format!("{} does not begin with endbr64", symbol.path()));
        }
        if header.is_some_and(|header| !header.exports.contains(&symbol.name)) {
            defects.push(format!("{} is not in the header", symbol.path()));
        }
    }
    for name in header.iter().flat_map(|header| &header.exports) {
        if !image.exports().any(|symbol| symbol.name == *name) {
            defects.push(format!("{name} is in the header only"));
        }
    }
    let note = match header {
        Some(header) => format!("the header declares {}", header.exports.len()),
        None => "there is no header to compare with".into(),
    };
    Verdict { key: "exports", what: "exported functions", figure, note, defects }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::{
        judge_bytes as verdicts,
        testing::{assembled, assert_fails, failing, header, rust},
    };

    #[test]
    fn bcmp_is_undefined_in_xen() {
        assert_fails("call bcmp@PLT", "", &["undefined"]);
    }

    #[test]
    fn an_import_must_be_declared() {
        assert_fails("call rvpci_host_undeclared@PLT", "", &["undefined"]);
        let object = assembled("call rvpci_host_undeclared@PLT", "");
        assert!(failing(&object, None).is_empty(), "without a header the prefix is enough");
    }

    #[test]
    fn a_defined_panic_function_is_seen() {
        let legacy = "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE";
        assert_fails(&format!("call {legacy}"), &format!("{legacy}: jmp __x86_return_thunk"), &["panics"]);
        let v0 = "_RNvNtCs1a2b3c_4core6option13unwrap_failed";
        assert_fails(&format!("call {v0}"), &format!("{v0}: jmp __x86_return_thunk"), &["panics"]);
    }

    #[test]
    fn the_panic_handler_is_seen() {
        assert_fails("call rvpci_panic_is_reachable@PLT", "", &["undefined", "panics"]);
    }

    #[test]
    fn a_trap_is_seen() {
        assert_fails("ud2", "", &["panics"]);
    }

    #[test]
    fn the_caller_of_a_panic_is_named() {
        let verdicts = verdicts(&assembled("call rvpci_panic_is_reachable@PLT", ""), None);
        let panics = verdicts.iter().find(|verdict| verdict.key == "panics").unwrap();
        assert_eq!(panics.defects, ["rvpci_panic_is_reachable, called at rvpci_entry+0x15"]);
    }

    #[test]
    fn an_index_out_of_bounds_of_real_rust_is_seen() {
        let failing = failing(&rust("values[at]"), None);
        assert!(failing.contains(&"panics") && failing.contains(&"undefined"), "{failing:?}");
        let clean = verdicts(&rust("values.get(at).copied().unwrap_or(0)"), None);
        assert_eq!(
            clean.iter().find(|verdict| verdict.key == "panics").map(|verdict| verdict.figure),
            Some(0)
        );
    }

    #[test]
    fn an_export_without_a_landing_pad_is_seen() {
        let more = ".globl rvpci_more\n.type rvpci_more, @function\nrvpci_more: jmp __x86_return_thunk";
        let mut header = header();
        header.exports.insert("rvpci_more".into());
        assert_eq!(failing(&assembled("", more), Some(&header)), ["exports"]);
    }

    #[test]
    fn exports_are_those_of_the_header() {
        let more =
            ".globl rvpci_more\n.type rvpci_more, @function\nrvpci_more: endbr64\njmp __x86_return_thunk";
        assert_fails("", more, &["exports"]);
        let mut header = header();
        header.exports.insert("rvpci_missing".into());
        assert_eq!(failing(&assembled("", ""), Some(&header)), ["exports"]);
    }
}
