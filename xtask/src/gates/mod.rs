//! `cargo xtask gates`: what must hold for the very object that Xen links.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::{Map, Value};

use self::{header::Header, image::Image};
use crate::{
    library::{self, Extent},
    run,
};

mod code;
mod frame;
mod header;
mod image;
mod layout;
mod stack;
mod symbols;
#[cfg(all(test, target_arch = "x86_64"))]
mod testing;

/// Checks the object that Xen links, instruction by instruction.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// An object to check instead of the one that is built now.
    #[arg(long, value_name = "PATH")]
    object: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What one gate found.
#[derive(Debug)]
struct Verdict {
    /// The gate's name in JSON.
    key: &'static str,
    /// What the figure counts.
    what: &'static str,
    figure: u64,
    /// What a reader may want to know beside the figure.
    note: String,
    /// Each with its symbol and offset; none when the gate passes.
    defects: Vec<String>,
}

impl Verdict {
    /// A gate whose figure is the number of its defects.
    fn count(key: &'static str, what: &'static str, defects: Vec<String>) -> Self {
        Self { key, what, figure: defects.len() as u64, note: String::new(), defects }
    }

    fn passes(&self) -> bool {
        self.defects.is_empty()
    }
}

/// A gate reads the object and, where there is one, the header that C sees.
type Gate = fn(&Image, Option<&Header>) -> Verdict;

const GATES: &[Gate] = &[
    symbols::undefined,
    layout::relocations,
    code::vector,
    symbols::panics,
    code::indirect_branches,
    code::plain_returns,
    symbols::exports,
    stack::largest_frame,
    stack::deepest_stack,
    layout::sections,
    layout::text,
];

fn judge(image: &Image, header: Option<&Header>) -> Vec<Verdict> {
    GATES.iter().map(|gate| gate(image, header)).collect()
}

#[cfg(all(test, target_arch = "x86_64"))]
fn judge_bytes(object: &[u8], header: Option<&Header>) -> Vec<Verdict> {
    judge(&Image::parse(object).expect("an object"), header)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.object.clone().map_or_else(|| library::build(Extent::Whole), Ok)?;
    let data = read(&path)?;
    let image = Image::parse(&data).with_context(|| format!("{}", path.display()))?;
    let header_path = run::workspace().join("ffi/include/vpci.h");
    let header = header_path
        .exists()
        .then(|| Header::read(&header_path).with_context(|| format!("{}", header_path.display())))
        .transpose()?;
    let mut verdicts = judge(&image, header.as_ref());
    if args.object.is_none() {
        let part = read(&library::build(Extent::Hardware)?)?;
        verdicts.push(layout::hardware_text(&Image::parse(&part)?));
    }

    if args.json {
        let mut json: Map<String, Value> =
            verdicts.iter().map(|verdict| (verdict.key.to_owned(), verdict.figure.into())).collect();
        json.insert("object".into(), path.display().to_string().into());
        json.insert("rustc".into(), image.compiler.as_str().into());
        json.insert("rodata".into(), layout::rodata(&image).into());
        json.insert("pass".into(), verdicts.iter().all(Verdict::passes).into());
        println!("{}", Value::Object(json));
    } else {
        println!("{}\nrustc {}\n", path.display(), image.compiler);
        verdicts.iter().for_each(print);
    }
    let failed: Vec<_> =
        verdicts.iter().filter(|verdict| !verdict.passes()).map(|verdict| verdict.key).collect();
    if !failed.is_empty() {
        eprintln!("\n{} of {} gates fail: {}", failed.len(), verdicts.len(), failed.join(", "));
        std::process::exit(1);
    }
    eprintln!("\nAll {} gates pass.", verdicts.len());
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}", path.display()))
}

fn print(verdict: &Verdict) {
    /// A broken gate tends to be broken everywhere.
    const SHOWN: usize = 10;
    let Verdict { key, what, figure, note, defects } = verdict;
    let word = if verdict.passes() { "pass" } else { "FAIL" };
    let text = [*what, note].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    println!("{key:18} {word} {figure:>7}  {text}");
    defects.iter().take(SHOWN).for_each(|defect| println!("{:32}{defect}", ""));
    if defects.len() > SHOWN {
        println!("{:32}and {} more", "", defects.len() - SHOWN);
    }
}
