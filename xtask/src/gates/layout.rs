//! Gates on relocations, sections and size.

use object::elf::{NAMES_R_X86_64, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32};

use super::{
    Verdict,
    header::Header,
    image::{Image, Section},
};

/// Constants that hold addresses: written by a dynamic linker elsewhere, read-only in Xen.
const RELOCATED: &str = ".data.rel.ro";

/// Bytes of code: what the C that is replaced has in Xen 4.20, as much again for the guests that it does not serve, 4,500
/// for the MCH and the owners beside devices, and 26,500 for resets, mirrors and what is known of devices: it has none of these.
const TEXT_LIMIT: u64 = 74_000;
/// Bytes of code for the hardware domain's view alone.
const HARDWARE_TEXT_LIMIT: u64 = 21_500;

/// Everything is relative to the code; addresses are whole, and only in constants.
pub(super) fn relocations(image: &Image, _: Option<&Header>) -> Verdict {
    let mut defects = Vec::new();
    for relocation in &image.relocations {
        let section = &image.sections[relocation.place.section].name;
        let fine = match relocation.kind {
            R_X86_64_PC32 | R_X86_64_PLT32 => true,
            R_X86_64_64 => is_part(section, RELOCATED),
            _ => false,
        };
        if !fine {
            let kind = NAMES_R_X86_64.name(relocation.kind).unwrap_or("unknown type");
            let symbol = relocation.symbol.map(|index| image.symbols[index].path()).unwrap_or_default();
            let place = match image.function(relocation.place) {
                Some(index) => {
                    let function = &image.functions[index];
                    format!("{}+{:#x}", function.name, relocation.place.offset - function.range.start)
                }
                None => format!("{section}+{:#x}", relocation.place.offset),
            };
            defects.push(format!("{place}: {kind} {symbol}").trim_end().to_owned());
        }
    }
    Verdict {
        key: "relocations",
        what: "relocations",
        figure: image.relocations.len() as u64,
        note: "relative only".into(),
        defects,
    }
}

/// Only code, constants and the IBT note; no data that can be written, no tables for unwinding.
pub(super) fn sections(image: &Image, _: Option<&Header>) -> Verdict {
    let fits = |section: &Section| match &*section.name {
        ".text" | ".note.gnu.property" => !section.writable,
        // What is `#[cold]`: Xen has a place for it, and for no other part of `.text`.
        name if is_part(name, ".text.unlikely") || is_part(name, ".rodata") => !section.writable,
        name => is_part(name, RELOCATED),
    };
    let unfit = image.sections.iter().filter(|section| section.size != 0 && !fits(section));
    let mut defects: Vec<String> =
        unfit.map(|section| format!("{} of {} bytes", section.name, section.size)).collect();
    let common = image.symbols.iter().filter(|symbol| symbol.common);
    defects.extend(common.map(|symbol| format!("{} is a common symbol", symbol.path())));
    Verdict::count("sections", "sections that are writable or have no place in Xen", defects)
}

/// The size of the code.
pub(super) fn text(image: &Image, _: Option<&Header>) -> Verdict {
    size(image, "text", "bytes of code", TEXT_LIMIT)
}

/// The size of the code of an object without guests.
pub(super) fn hardware_text(image: &Image) -> Verdict {
    size(image, "hardware_text", "bytes of code without guests", HARDWARE_TEXT_LIMIT)
}

fn size(image: &Image, key: &'static str, what: &'static str, limit: u64) -> Verdict {
    let figure = image.sections.iter().filter(|section| section.executable).map(|section| section.size).sum();
    let defects = (figure > limit).then(|| format!("the limit is {limit}"));
    let note = format!("at most {limit}, and {} of constants", rodata(image));
    Verdict { key, what, figure, note, defects: defects.into_iter().collect() }
}

/// The size of the constants.
pub(super) fn rodata(image: &Image) -> u64 {
    let constants = image.sections.iter().filter(|section| {
        !section.executable && (is_part(&section.name, ".rodata") || is_part(&section.name, RELOCATED))
    });
    constants.map(|section| section.size).sum()
}

/// `.rodata.cst16` is part of `.rodata`.
fn is_part(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::testing::assert_fails;

    #[test]
    fn absolute_and_got_relocations_are_seen() {
        for code in ["mov $rvpci_entry, %eax", "mov $rvpci_entry, %rax", "movabs $rvpci_entry, %rax"] {
            assert_fails(code, "", &["relocations"]);
        }
        // The assembler adds _GLOBAL_OFFSET_TABLE_.
        for code in ["mov rvpci_host_map@GOTPCREL(%rip), %rax", "movabs $rvpci_entry@GOTOFF, %rax"] {
            assert_fails(code, "", &["undefined", "relocations"]);
        }
        assert_fails("", ".section .rodata\n.quad rvpci_entry", &["relocations"]);
    }

    #[test]
    fn thread_local_storage_is_seen() {
        let tls = ".section .tdata, \"awT\", @progbits\nlocal: .quad 1";
        assert_fails("mov %fs:local@TPOFF, %rax", tls, &["undefined", "relocations", "sections"]);
    }

    #[test]
    fn constants_may_hold_addresses() {
        assert_fails("", ".section .data.rel.ro, \"aw\"\n.quad rvpci_entry", &[]);
    }

    #[test]
    fn cold_code_has_its_place() {
        assert_fails("", ".section .text.unlikely., \"ax\"\nnop", &[]);
    }

    #[test]
    fn writable_data_is_seen() {
        assert_fails("", ".data\n.long 1", &["sections"]);
        assert_fails("", ".section .rodata.w, \"aw\"\n.long 1", &["sections"]);
        assert_fails("", ".bss\n.skip 4", &["sections"]);
        assert_fails("", ".comm shared, 8", &["sections"]);
    }

    #[test]
    fn orphan_sections_are_seen() {
        for section in [
            ".text.hot, \"ax\"",
            ".eh_frame, \"a\"",
            ".gcc_except_table, \"a\"",
            ".init_array, \"aw\"",
            ".tbss, \"awT\", @nobits",
        ] {
            assert_fails("", &format!(".section {section}\n.skip 8, 0x90"), &["sections"]);
        }
    }

    #[test]
    fn too_much_code_is_seen() {
        assert_fails(".fill 74000, 1, 0x90", "", &["text"]);
    }
}
