//! ecall, ebreak, fences, CSRs and illegal instructions.

use super::{cold, handler};
use std::arch::asm;

handler! {
    /// The constant is the instruction's pc.
    fn ecall(op, cx) {
        cold::ecall(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    fn ebreak(op, cx) {
        cold::ebreak(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    /// `imm` is the encoding.
    fn illegal(op, cx) {
        cold::illegal(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    /// A fence that orders earlier stores before later loads; every other
    /// order is x86's anyway.
    fn fence(op, cx) {
        asm!("lock or dword ptr [rsp - 64], 0");
        cx.go(op.add(1))
    }

    fn fence_i(op, cx) {
        cold::fence_i(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    /// `imm` is the CSR, `aux` what to do: see [`cold::csr`].
    fn csr(op, cx) {
        cold::csr(op, cx.regs, cx.base, cx.hart, cx.limit)
    }
}
