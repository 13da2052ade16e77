//! What the C header says is exported and imported.

use std::{collections::BTreeSet, path::Path};

/// Every import that is a function of the hypervisor begins so.
const IMPORT: &str = "rvpci_host_";
const EXPORT: &str = "rvpci_";

/// The functions that the header declares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) exports: BTreeSet<String>,
    pub(crate) imports: BTreeSet<String>,
}

impl Header {
    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(path)?))
    }

    /// Any name with our prefix that is followed by `(`, comments and directives aside.
    pub(crate) fn parse(text: &str) -> Self {
        let code = without_comments(text);
        let mut header = Self::default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut rest = line;
            while let Some(start) = rest.find(is_word) {
                rest = &rest[start..];
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                if word.starts_with(EXPORT) && after.trim_start().starts_with('(') {
                    let set =
                        if word.starts_with(IMPORT) { &mut header.imports } else { &mut header.exports };
                    set.insert(word.to_owned());
                }
                rest = after;
            }
        }
        header
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        code.push_str(&rest[..start]);
        let end = if rest[start..].starts_with("/*") { "*/" } else { "\n" };
        rest = rest[start + 2..].split_once(end).map_or("", |(_, after)| after);
        code.push('\n');
    }
    code + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_functions_and_nothing_else() {
        let header = Header::parse(
            "#define rvpci_macro(x) x
             /* rvpci_in_a_comment(), // rvpci_host_too() */
             typedef struct rvpci_config { unsigned rvpci_field; } rvpci_config; // rvpci_trailing()
             extern \"C\" uint32_t rvpci_read (const struct rvpci_config *config, int x);
             void rvpci_write(void); void rvpci_host_map(uint64_t);",
        );
        assert_eq!(header.exports, ["rvpci_read", "rvpci_write"].map(str::to_owned).into());
        assert_eq!(header.imports, ["rvpci_host_map"].map(str::to_owned).into());
    }
}
