//! The command line.

/// Its words.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self(line)
    }

    /// Whether this word is there.
    pub(crate) fn has(self, word: &str) -> bool {
        self.0.split_whitespace().any(|w| w == word)
    }

    /// What follows `NAME=`.
    pub(crate) fn value(self, name: &str) -> Option<&'a str> {
        self.0.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A hexadecimal number.
pub(crate) fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("no number")
}
