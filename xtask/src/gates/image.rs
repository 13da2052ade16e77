//! The object as the gates see it: sections, symbols, relocations, and the instructions of each function.

use std::ops::Range;

use anyhow::{Context, bail, ensure};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags, SectionIndex,
    SymbolKind,
    elf::{EM_X86_64, RelocationType, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE},
    read::elf::ElfFile64,
};

pub(crate) type Elf<'data> = ElfFile64<'data>;

/// A parsed relocatable x86-64 object.
#[derive(Debug)]
pub(crate) struct Image {
    /// Only those that are loaded.
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
    /// Only those of loaded sections.
    pub(crate) relocations: Vec<Relocation>,
    /// Sorted by place; together they cover every executable section.
    pub(crate) functions: Vec<Function>,
    /// The compiler's own note, empty when it left none.
    pub(crate) compiler: String,
}

#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) index: SectionIndex,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) executable: bool,
    pub(crate) writable: bool,
}

#[derive(Debug)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    /// None when it is undefined or common.
    pub(crate) place: Option<Place>,
    pub(crate) code: bool,
    pub(crate) global: bool,
    pub(crate) undefined: bool,
    pub(crate) common: bool,
}

impl Symbol {
    /// The Rust path, without hashes; other names stay as they are.
    pub(crate) fn path(&self) -> String {
        demangled(&self.name)
    }

    pub(crate) fn is_export(&self) -> bool {
        self.global && self.code && self.place.is_some()
    }
}

/// A byte of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) section: usize,
    pub(crate) offset: u64,
}

#[derive(Debug)]
pub(crate) struct Relocation {
    pub(crate) place: Place,
    pub(crate) kind: RelocationType,
    /// Index of the symbol in the object's own table, and so in [`Image::symbols`].
    pub(crate) symbol: Option<usize>,
    pub(crate) addend: i64,
}

/// The code from one symbol to the next.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) section: usize,
    pub(crate) range: Range<u64>,
    pub(crate) code: Vec<Instruction>,
}

impl Function {
    pub(crate) fn entry(&self) -> Place {
        Place { section: self.section, offset: self.range.start }
    }

    pub(crate) fn contains(&self, place: Place) -> bool {
        self.section == place.section && self.range.contains(&place.offset)
    }

    /// Names an instruction for a person: `function+0x12`.
    pub(crate) fn at(&self, instruction: &Instruction) -> String {
        format!("{}+{:#x}", self.name, instruction.ip() - self.range.start)
    }
}

/// Where a direct branch goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'image> {
    Import(&'image str),
    Code(Place),
}

impl Image {
    pub(crate) fn parse(data: &[u8]) -> anyhow::Result<Self> {
        let elf = Elf::parse(data).context("not a 64-bit ELF object")?;
        ensure!(
            elf.elf_header().e_machine.get(elf.endian()) == EM_X86_64
                && elf.kind() == object::ObjectKind::Relocatable,
            "not a relocatable x86-64 object"
        );
        let mut sections = Vec::new();
        let mut functions = Vec::new();
        for section in elf.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            if !sh_flags.contains(SHF_ALLOC) {
                continue;
            }
            sections.push(Section {
                index: section.index(),
                name: section.name()?.to_owned(),
                size: section.size(),
                executable: sh_flags.contains(SHF_EXECINSTR),
                writable: sh_flags.contains(SHF_WRITE),
            });
        }
        let symbols = symbols(&elf, &sections)?;
        for (index, section) in sections.iter().enumerate().filter(|(_, section)| section.executable) {
            let code = elf.section_by_index(section.index)?.data()?;
            functions.extend(functions_of(index, section, code, &symbols));
        }
        let relocations = relocations(&elf, &sections)?;
        Ok(Self { sections, symbols, relocations, functions, compiler: compiler(&elf) })
    }

    pub(crate) fn exports(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.is_export())
    }

    pub(crate) fn undefined(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.undefined)
    }

    /// Every instruction, with the function it is in.
    pub(crate) fn instructions(&self) -> impl Iterator<Item = (&Function, &Instruction)> {
        self.functions.iter().flat_map(|function| function.code.iter().map(move |code| (function, code)))
    }

    /// The function that a place is in.
    pub(crate) fn function(&self, place: Place) -> Option<usize> {
        let after = self.functions.partition_point(|function| function.entry() <= place);
        let index = after.checked_sub(1)?;
        self.functions[index].contains(place).then_some(index)
    }

    /// Where a symbol is called or jumped to directly.
    pub(crate) fn callers(&self, symbol: &Symbol) -> impl Iterator<Item = String> {
        let goes_there = |function: &Function, code: &Instruction| match self.target(function.section, code) {
            Some(Target::Import(name)) => symbol.undefined && name == symbol.name,
            Some(Target::Code(place)) => symbol.place == Some(place),
            None => false,
        };
        self.instructions()
            .filter(|(_, code)| {
                code.is_call_near() || code.is_jmp_short_or_near() || code.is_jcc_short_or_near()
            })
            .filter(move |(function, code)| goes_there(function, code))
            .map(|(function, code)| function.at(code))
    }

    /// Where a direct branch or call goes; None when the linker has no way to know.
    pub(crate) fn target(&self, section: usize, branch: &Instruction) -> Option<Target<'_>> {
        let (start, end) = (branch.ip(), branch.next_ip());
        let first = Place { section, offset: start };
        let at = self.relocations.partition_point(|relocation| relocation.place < first);
        let relocation =
            self.relocations.get(at).filter(|next| next.place.section == section && next.place.offset < end);
        let Some(relocation) = relocation else {
            return Some(Target::Code(Place { section, offset: branch.near_branch_target() }));
        };
        let symbol = &self.symbols[relocation.symbol?];
        if symbol.undefined {
            return Some(Target::Import(&symbol.name));
        }
        // The field is relative to its own place, the branch to its end.
        let base = symbol.place?;
        let delta = relocation.addend + i64::try_from(end - relocation.place.offset).ok()?;
        Some(Target::Code(Place { offset: base.offset.checked_add_signed(delta)?, ..base }))
    }
}

/// A symbol's Rust path, without hashes.
pub(crate) fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// All symbols in the table's order, the null symbol included, so that relocations can index them.
fn symbols(elf: &Elf<'_>, sections: &[Section]) -> anyhow::Result<Vec<Symbol>> {
    let null = Symbol {
        name: String::new(),
        place: None,
        code: false,
        global: false,
        undefined: false,
        common: false,
    };
    let mut symbols = vec![null];
    for symbol in elf.symbols() {
        ensure!(symbol.index().0 == symbols.len(), "the symbol table has a gap");
        let section = symbol.section_index();
        let section = section.and_then(|index| sections.iter().position(|section| section.index == index));
        let place = section.map(|section| Place { section, offset: symbol.address() });
        let in_code = section.is_some_and(|index| sections[index].executable);
        let names_place = !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File);
        symbols.push(Symbol {
            name: symbol.name()?.to_owned(),
            place,
            code: in_code && names_place,
            global: symbol.is_global(),
            undefined: symbol.is_undefined() && !symbol.name()?.is_empty(),
            common: symbol.is_common(),
        });
    }
    Ok(symbols)
}

/// Cuts a section at its symbols and decodes each piece.
fn functions_of(index: usize, section: &Section, code: &[u8], symbols: &[Symbol]) -> Vec<Function> {
    let mut starts: Vec<(u64, &str)> = symbols
        .iter()
        .filter(|symbol| symbol.code)
        .filter_map(|symbol| {
            Some((symbol.place.filter(|place| place.section == index)?.offset, &*symbol.name))
        })
        .filter(|&(offset, _)| offset < section.size)
        .collect();
    starts.sort_by_key(|&(offset, _)| offset);
    starts.dedup_by_key(|&mut (offset, _)| offset);
    if starts.first().is_none_or(|&(offset, _)| offset != 0) && section.size != 0 {
        starts.insert(0, (0, &section.name));
    }
    let ends = starts.iter().skip(1).map(|&(offset, _)| offset).chain([section.size]);
    starts
        .iter()
        .zip(ends)
        .map(|(&(start, name), end)| Function {
            name: demangled(name),
            section: index,
            range: start..end,
            code: decode(code, start..end),
        })
        .collect()
}

fn decode(section: &[u8], range: Range<u64>) -> Vec<Instruction> {
    let bytes = usize::try_from(range.start).and_then(|start| Ok(start..usize::try_from(range.end)?));
    let Some(bytes) = bytes.ok().and_then(|bytes| section.get(bytes)) else { return Vec::new() };
    Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE).into_iter().collect()
}

fn relocations(elf: &Elf<'_>, sections: &[Section]) -> anyhow::Result<Vec<Relocation>> {
    let mut relocations = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        for (offset, relocation) in elf.section_by_index(section.index)?.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                bail!("a relocation in {} has no type", section.name)
            };
            let symbol = match relocation.target() {
                RelocationTarget::Symbol(symbol) => Some(symbol.0),
                _ => None,
            };
            relocations.push(Relocation {
                place: Place { section: index, offset },
                kind: r_type,
                symbol,
                addend: relocation.addend(),
            });
        }
    }
    relocations.sort_by_key(|relocation| relocation.place);
    Ok(relocations)
}

fn compiler(elf: &Elf<'_>) -> String {
    let comment = elf.section_by_name(".comment").and_then(|section| section.data().ok()).unwrap_or_default();
    let notes = comment.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let rust = notes.into_iter().find_map(|note| Some(note.strip_prefix("rustc version ")?.to_owned()));
    rust.unwrap_or_default()
}
