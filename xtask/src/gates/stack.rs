//! Gates on the stack: each frame, and the deepest chain of calls.

use super::{Verdict, frame::Frame, header::Header, image::Image};

const FRAME_LIMIT: u64 = 512;

/// Xen's whole stack is 32 KiB, and a config access may come in deep below an emulated instruction.
const DEPTH_LIMIT: u64 = 2048;

/// The largest frame of any function, and that every frame has a size at all.
pub(super) fn largest_frame(image: &Image, _: Option<&Header>) -> Verdict {
    let mut defects = Vec::new();
    let mut largest = (0, "");
    for function in &image.functions {
        let mut frame = Frame::of(image, function);
        defects.append(&mut frame.defects);
        if frame.size > FRAME_LIMIT {
            defects.push(format!("{}: {} bytes", function.name, frame.size));
        }
        largest = largest.max((frame.size, &function.name));
    }
    Verdict {
        key: "largest_frame",
        what: "bytes in the largest frame",
        figure: largest.0,
        note: format!("at most {FRAME_LIMIT}; {}", largest.1),
        defects,
    }
}

/// The most stack that any export takes, its own return address included, up to the calls into the hypervisor.
pub(super) fn deepest_stack(image: &Image, _: Option<&Header>) -> Verdict {
    let frames = image.functions.iter().map(|function| Frame::of(image, function)).collect();
    let mut calls =
        CallGraph { image, frames, depths: vec![Depth::Unknown; image.functions.len()], cycles: vec![] };
    let mut deepest = (0, None);
    for export in image.exports() {
        let Some(function) = export.place.and_then(|place| image.function(place)) else { continue };
        deepest = deepest.max((8 + calls.below(function), Some(function)));
    }
    let (figure, chain) = (deepest.0, deepest.1.map(|first| calls.chain(first)).unwrap_or_default());
    let mut defects: Vec<String> = calls.cycles.iter().map(|cycle| format!("recursion: {cycle}")).collect();
    if figure > DEPTH_LIMIT {
        defects.push(chain.clone());
    }
    Verdict {
        key: "deepest_stack",
        what: "bytes in the deepest chain of calls",
        figure,
        note: format!("at most {DEPTH_LIMIT}; {chain}"),
        defects,
    }
}

#[derive(Clone, Copy, Debug)]
enum Depth {
    Unknown,
    /// Being looked at: to meet it again is recursion.
    Open,
    Known {
        bytes: u64,
        next: Option<usize>,
    },
}

struct CallGraph<'image> {
    image: &'image Image,
    frames: Vec<Frame>,
    depths: Vec<Depth>,
    cycles: Vec<String>,
}

impl CallGraph<'_> {
    /// The bytes that a function and all it calls take below its return address.
    fn below(&mut self, function: usize) -> u64 {
        match self.depths[function] {
            Depth::Known { bytes, .. } => return bytes,
            Depth::Open => {
                self.cycles.push(self.image.functions[function].name.clone());
                return 0;
            }
            Depth::Unknown => {}
        }
        self.depths[function] = Depth::Open;
        let mut deepest = (self.frames[function].size, None);
        let calls: Vec<_> =
            self.frames[function].calls.iter().map(|call| (call.depth, call.callee)).collect();
        for (depth, callee) in calls {
            let callee = callee.and_then(|place| self.image.function(place));
            let bytes = depth + callee.map_or(0, |callee| self.below(callee));
            if bytes >= deepest.0 {
                deepest = (bytes, callee);
            }
        }
        self.depths[function] = Depth::Known { bytes: deepest.0, next: deepest.1 };
        deepest.0
    }

    /// The deepest way down, each function with its frame.
    fn chain(&self, first: usize) -> String {
        let mut names = Vec::new();
        let mut at = Some(first);
        while let Some(function) = at {
            names.push(format!("{} ({})", self.image.functions[function].name, self.frames[function].size));
            at = match self.depths[function] {
                Depth::Known { next, .. } if names.len() <= self.depths.len() => next,
                _ => None,
            };
        }
        names.join(" > ")
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::{
        judge_bytes,
        testing::{assembled, assert_fails, header},
    };

    #[test]
    fn a_large_frame_is_seen() {
        assert_fails("sub $512, %rsp\nadd $512, %rsp", "", &[]);
        assert_fails("sub $520, %rsp\nadd $520, %rsp", "", &["largest_frame"]);
    }

    #[test]
    fn a_frame_of_unknown_size_is_seen() {
        assert_fails("push %rbp\nmov %rsp, %rbp\nsub %rdi, %rsp\nleave", "", &["largest_frame"]);
    }

    #[test]
    fn recursion_is_seen() {
        assert_fails("call inner", "inner: call inner\njmp __x86_return_thunk", &["deepest_stack"]);
        let pair = "inner: call other\njmp __x86_return_thunk\nother: call inner\njmp __x86_return_thunk";
        assert_fails("call inner", pair, &["deepest_stack"]);
    }

    /// Functions `f1` to `f{count}`, each with 400 bytes of locals, each calling the next.
    fn ladder(count: u32) -> String {
        let function = |i| {
            let call = if i < count { format!("call f{}", i + 1) } else { String::new() };
            format!("f{i}: sub $400, %rsp\n{call}\nadd $400, %rsp\njmp __x86_return_thunk\n")
        };
        (1..=count).map(function).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_deep_chain_is_seen() {
        assert_fails("call f1", &ladder(5), &[]);
        assert_fails("call f1", &ladder(6), &["deepest_stack"]);
    }

    #[test]
    fn the_figure_is_exact_and_the_chain_named() {
        let header = header();
        let figure = |body: &str, more: &str| {
            let verdicts = judge_bytes(&assembled(body, more), Some(&header));
            let stack = verdicts.into_iter().find(|verdict| verdict.key == "deepest_stack").unwrap();
            (stack.figure, stack.note)
        };
        // The entry's return address, then f1's and f2's with their frames.
        let (bytes, note) = figure("push %rbx\ncall f1\npop %rbx", &ladder(2));
        assert_eq!(bytes, 8 + 8 + 8 + 400 + 8 + 400);
        assert!(note.contains("rvpci_entry (8) > f1 (400) > f2 (400)"), "{note}");
        // A tail call has no frame of its own below it.
        let (bytes, _) = figure("push %rbx\npop %rbx\njmp f1", &ladder(1));
        assert_eq!(bytes, 8 + 400);
    }
}
