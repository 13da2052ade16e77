//! Any functions, any quirks, any schedule of two resets behind one bridge: see [`tests::reset::schedule`].

use arbitrary::Arbitrary;
use tests::reset::schedule::{self, Choices};

/// What decides, one number after the other; when there are no more, zeros do.
#[derive(Arbitrary, Debug)]
pub struct Input {
    numbers: Vec<u8>,
}

struct Numbers<'n>(std::slice::Iter<'n, u8>);

impl Choices for Numbers<'_> {
    fn below(&mut self, end: u32) -> u32 {
        u32::from(self.0.next().copied().unwrap_or(0)) % end
    }
}

/// Does what the input says.
///
/// # Panics
///
/// If a reset does not end, is too slow, does what software may not, or leaves something behind.
pub fn run(input: &Input) {
    schedule::run(&mut Numbers(input.numbers.iter()));
}
