//! One function's stack: its frame, and how deep it is at each call.

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::{
    image::{Function, Image, Place, Target},
    symbols::RETURN_THUNK,
};

/// A direct call, or a jump to another function.
#[derive(Debug)]
pub(super) struct Call {
    /// Bytes below the caller's own return address when the callee starts, the callee's return address included.
    pub(super) depth: u64,
    /// None: a function of the hypervisor, whose own stack is not counted.
    pub(super) callee: Option<Place>,
}

#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Bytes below the return address: what is pushed and the locals.
    pub(super) size: u64,
    pub(super) calls: Vec<Call>,
    /// Where the depth is not a constant.
    pub(super) defects: Vec<String>,
}

/// What is known before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Bytes below the return address.
    depth: i64,
    /// The depth at which `rbp` points, when it does.
    base: Option<i64>,
}

impl Frame {
    /// Follows every path through a function from its entry.
    pub(super) fn of(image: &Image, function: &Function) -> Self {
        let mut frame = Self::default();
        let mut info = InstructionInfoFactory::new();
        let mut known: Vec<Option<State>> = vec![None; function.code.len()];
        let mut open = vec![(0, State { depth: 0, base: None })];
        while let Some((index, mut state)) = open.pop() {
            let Some(code) = function.code.get(index) else { continue };
            match &mut known[index] {
                Some(old) if *old == state => continue,
                Some(old) if old.depth == state.depth && old.base.is_some() => state.base = None,
                Some(old) if old.depth == state.depth => continue,
                Some(_) => {
                    frame.defect(function, code, "is reached at two depths");
                    continue;
                }
                None => {}
            }
            known[index] = Some(state);

            let Some(after) = step(state, code, &mut info) else {
                frame.defect(function, code, "moves the stack by an unknown amount");
                continue;
            };
            frame.size = frame.size.max(bytes(after.depth));
            let next = (index + 1, after);
            match code.flow_control() {
                FlowControl::Next | FlowControl::XbeginXabortXend | FlowControl::IndirectCall => {
                    open.push(next);
                }
                FlowControl::Call => {
                    frame.call(image, function, code, after.depth + 8);
                    open.push(next);
                }
                FlowControl::ConditionalBranch => {
                    open.push(next);
                    open.extend(frame.jump(image, function, code, after));
                }
                FlowControl::UnconditionalBranch => open.extend(frame.jump(image, function, code, after)),
                FlowControl::IndirectBranch
                | FlowControl::Return
                | FlowControl::Interrupt
                | FlowControl::Exception => {}
            }
        }
        frame
    }

    fn defect(&mut self, function: &Function, code: &Instruction, what: &str) {
        self.defects.push(format!("{}: {:?} {what}", function.at(code), code.mnemonic()));
    }

    fn call(&mut self, image: &Image, function: &Function, code: &Instruction, depth: i64) {
        let callee = match image.target(function.section, code) {
            Some(Target::Import(_)) => None,
            Some(Target::Code(place)) => Some(place),
            None => return self.defect(function, code, "goes nowhere known"),
        };
        self.calls.push(Call { depth: bytes(depth), callee });
    }

    /// Where in this function a jump goes on; one that leaves it is a return or a tail call.
    fn jump(
        &mut self,
        image: &Image,
        function: &Function,
        code: &Instruction,
        state: State,
    ) -> Option<(usize, State)> {
        match image.target(function.section, code) {
            Some(Target::Code(place)) if function.contains(place) => {
                let index = function.code.binary_search_by_key(&place.offset, Instruction::ip);
                if index.is_err() {
                    self.defect(function, code, "goes into an instruction");
                }
                return Some((index.ok()?, state));
            }
            Some(Target::Import(RETURN_THUNK)) => {}
            _ => self.call(image, function, code, state.depth),
        }
        if state.depth != 0 {
            self.defect(function, code, "leaves with bytes on the stack");
        }
        None
    }
}

/// A depth that [`step`] has checked.
fn bytes(depth: i64) -> u64 {
    depth.unsigned_abs()
}

/// The state after an instruction, where that is a constant.
fn step(state: State, code: &Instruction, info: &mut InstructionInfoFactory) -> Option<State> {
    use {Mnemonic as M, Register as R};
    let State { depth, base } = state;
    let to_rsp = code.op0_register() == R::RSP && code.op0_kind() == OpKind::Register;
    let immediate = || (code.op1_kind() != OpKind::Register).then(|| code.immediate(1).cast_signed());
    let after = match code.mnemonic() {
        // What a call pushes is gone when it returns.
        M::Call => state,
        M::Sub if to_rsp => State { depth: depth.checked_add(immediate()?)?, base },
        M::Add if to_rsp => State { depth: depth.checked_sub(immediate()?)?, base },
        // Rounding down to a power of two takes fewer bytes than that.
        M::And if to_rsp => State { depth: depth.checked_add((-immediate()?).clamp(8, 1 << 20) - 8)?, base },
        M::Lea if to_rsp && code.memory_index() == R::None => {
            let from = match code.memory_base() {
                R::RSP => depth,
                R::RBP => base?,
                _ => return None,
            };
            State { depth: from.checked_sub(code.memory_displacement64().cast_signed())?, base }
        }
        M::Mov if to_rsp && code.op1_register() == R::RBP => State { depth: base?, base },
        M::Mov if code.op0_register() == R::RBP && code.op1_register() == R::RSP => {
            State { depth, base: Some(depth) }
        }
        M::Leave => State { depth: base? - 8, base: None },
        _ => {
            let moved = i64::from(code.stack_pointer_increment());
            let ends = code.flow_control() == FlowControl::Return;
            let popped = code.mnemonic() == M::Pop && to_rsp;
            if popped || (moved == 0 && !ends && writes(code, R::RSP, info)) {
                return None;
            }
            let base = if writes(code, R::RBP, info) { None } else { base };
            State { depth: if ends { depth } else { depth - moved }, base }
        }
    };
    (after.depth >= 0).then_some(after)
}

fn writes(code: &Instruction, register: Register, info: &mut InstructionInfoFactory) -> bool {
    let used = info.info(code).used_registers();
    used.iter().any(|used| {
        used.register().full_register() == register
            && matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
    })
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{super::testing::assembled, *};

    /// The frame of a local function with this body.
    fn frame(body: &str) -> Frame {
        let object = assembled("call inner", &format!("inner: {body}"));
        let image = Image::parse(&object).unwrap();
        let inner = image.functions.iter().find(|function| function.name == "inner").unwrap();
        Frame::of(&image, inner)
    }

    fn size(body: &str) -> u64 {
        let frame = frame(&format!("{body}\njmp __x86_return_thunk"));
        assert!(frame.defects.is_empty(), "{body}: {:?}", frame.defects);
        frame.size
    }

    fn defects(body: &str) -> Vec<String> {
        frame(&format!("{body}\njmp __x86_return_thunk")).defects
    }

    #[test]
    fn counts_pushes_and_locals() {
        assert_eq!(size(""), 0);
        assert_eq!(
            size("push %rbp\nmov %rsp, %rbp\npush %rbx\nsub $40, %rsp\nadd $40, %rsp\npop %rbx\npop %rbp"),
            56
        );
        assert_eq!(size("push %rbp\nmov %rsp, %rbp\nsub $512, %rsp\nleave"), 520);
        assert_eq!(
            size(
                "push %rbp\nmov %rsp, %rbp\npush %rbx\nsub $32, %rsp\nlea -8(%rbp), %rsp\npop %rbx\npop %rbp"
            ),
            48
        );
        assert_eq!(size("add $-128, %rsp\nsub $-128, %rsp"), 128);
    }

    #[test]
    fn rounding_the_stack_is_bounded() {
        let body = "push %rbp\nmov %rsp, %rbp\nand $-64, %rsp\nsub $64, %rsp\nmov %rbp, %rsp\npop %rbp";
        assert_eq!(size(body), 8 + 56 + 64);
    }

    #[test]
    fn a_call_is_as_deep_as_what_is_on_the_stack_then() {
        let frame = frame("sub $16, %rsp\ncall rvpci_host_map@PLT\nadd $16, %rsp\njmp rvpci_entry");
        let calls: Vec<_> = frame.calls.iter().map(|call| (call.depth, call.callee.is_some())).collect();
        assert_eq!((frame.size, calls), (16, vec![(24, false), (0, true)]));
    }

    #[test]
    fn follows_both_ways_of_a_branch() {
        assert_eq!(size("test %edi, %edi\nje 1f\nsub $64, %rsp\nadd $64, %rsp\n1:"), 64);
        assert_eq!(size("1: push %rax\npop %rax\ndec %edi\njne 1b"), 8);
    }

    #[test]
    fn finds_where_the_depth_is_no_constant() {
        for body in [
            "sub %rax, %rsp",
            "mov %rax, %rsp",
            "push %rbp\nmov %rbx, %rbp\nmov %rbp, %rsp",
            "pop %rsp",
            "xchg %rax, %rsp",
            "1: push %rax\njmp 1b",
            "push %rax",
            "pop %rax",
            "leave",
        ] {
            assert!(!defects(body).is_empty(), "{body}");
        }
    }
}
