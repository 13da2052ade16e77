//! Placeholder.
use arbitrary::Arbitrary;
/// Input.
#[derive(Arbitrary, Debug)]
pub struct Input;
/// Run.
pub fn run(_: &Input) {}
