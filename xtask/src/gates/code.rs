//! Gates on single instructions.

use iced_x86::{CpuidFeature, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, Register};

use super::{
    Verdict,
    header::Header,
    image::{Function, Image},
};

/// What every x86-64 processor has, and `endbr64`, a no-op where it is unknown.
const BASELINE: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::CET_IBT,
];

/// What is newer by name only: fences are SSE without a register, and `tzcnt` is the encoding `rep bsf`, which
/// compilers use where the two agree.
const HARMLESS: &[Mnemonic] = &[Mnemonic::Lfence, Mnemonic::Mfence, Mnemonic::Sfence, Mnemonic::Tzcnt];

/// Only integer instructions of the x86-64 baseline: Xen does not save the guest's vector and x87 state.
pub(super) fn vector(image: &Image, _: Option<&Header>) -> Verdict {
    let mut info = InstructionInfoFactory::new();
    let defects = image.instructions().filter(|(_, code)| {
        let registers = info.info(code).used_registers();
        code.is_invalid()
            // The one x87 instruction that is older than the x87.
            || code.mnemonic() == Mnemonic::Wait
            || registers.iter().any(|used| is_vector(used.register()))
            || !HARMLESS.contains(&code.mnemonic())
                && code.cpuid_features().iter().any(|feature| !BASELINE.contains(feature))
    });
    Verdict::count("vector", "instructions beyond the integer baseline", defects.map(described).collect())
}

fn is_vector(register: Register) -> bool {
    register.is_vector_register()
        || register.is_mm()
        || register.is_st()
        || register.is_k()
        || register.is_tmm()
}

/// No call or jump through a register or memory, nor through a thunk that makes one.
pub(super) fn indirect_branches(image: &Image, _: Option<&Header>) -> Verdict {
    let mut defects: Vec<String> = image
        .instructions()
        .filter(|(_, code)| {
            matches!(code.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall)
        })
        .map(described)
        .collect();
    let thunks = image.undefined().filter(|symbol| symbol.name.starts_with("__x86_indirect_"));
    defects.extend(thunks.map(|symbol| symbol.name.clone()));
    Verdict::count("indirect_branches", "indirect calls and jumps", defects)
}

/// A function returns only through `__x86_return_thunk`, which Xen patches for the processor.
pub(super) fn plain_returns(image: &Image, _: Option<&Header>) -> Verdict {
    let returns = image.instructions().filter(|(_, code)| code.flow_control() == FlowControl::Return);
    Verdict::count("plain_returns", "returns without the thunk", returns.map(described).collect())
}

fn described((function, code): (&Function, &Instruction)) -> String {
    format!("{}: {:?}", function.at(code), code.mnemonic())
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::testing::assert_fails;

    #[test]
    fn vector_and_x87_are_seen() {
        for code in ["movaps %xmm0, %xmm1", "movq %rax, %mm0", "fldz", "fwait", "emms", "ldmxcsr (%rsp)"] {
            assert_fails(code, "", &["vector"]);
        }
        for code in ["vzeroupper", "vpaddd %ymm1, %ymm2, %ymm3", "kmovw %eax, %k1", "movnti %eax, (%rsp)"] {
            assert_fails(code, "", &["vector"]);
        }
    }

    #[test]
    fn what_only_newer_processors_have_is_seen() {
        assert_fails("popcnt %rax, %rax", "", &["vector"]);
        assert_fails("andn %rax, %rax, %rax", "", &["vector"]);
    }

    #[test]
    fn what_is_newer_by_name_only_is_fine() {
        assert_fails("lfence\nmfence\nrep bsf %rax, %rax", "", &[]);
    }

    #[test]
    fn indirect_branches_are_seen() {
        for code in ["call *%rax", "call *(%rax)", "jmp *%r10", "notrack jmp *%r10", "jmp *8(%rdi)"] {
            assert_fails(code, "", &["indirect_branches"]);
        }
        assert_fails("call __x86_indirect_thunk_r11@PLT", "", &["undefined", "indirect_branches"]);
    }

    #[test]
    fn a_plain_return_is_seen() {
        for code in ["ret", "ret $8", "rep ret", "iretq"] {
            assert_fails(code, "", &["plain_returns"]);
        }
    }
}
