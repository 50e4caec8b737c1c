//! Steps: operations that run on into the next one, alone or fused.
//!
//! A handler made of several steps reads each one's operands from its own slot,
//! so the slots are the same whether fused or not. When a step uses the result
//! of the one before as its first operand, the value also stays in a host
//! register ("chained").

use super::alu::Alu;
use super::{Cx, cold, handler};
use crate::slot::{Args, Slot};

/// How a step fails.
#[derive(Clone, Copy)]
pub(crate) enum Exit {
    LoadFault,
    StoreFault,
    LoadOutside(u64),
    StoreOutside(u64),
}

impl Exit {
    /// Stops the hart at `op`, the step that failed.
    ///
    /// # Safety
    /// I2, I4.
    #[inline(always)]
    pub(crate) unsafe fn leave(self, op: *const Slot, cx: Cx) -> *const Slot {
        // SAFETY: I2, I4.
        unsafe {
            match self {
                Exit::LoadFault => cold::load_fault(op, cx.regs, cx.base, cx.hart, cx.limit),
                Exit::StoreFault => cold::store_fault(op, cx.regs, cx.base, cx.hart, cx.limit),
                Exit::LoadOutside(at) => cold::load_outside(op, cx.regs, cx.base, cx.hart, at),
                Exit::StoreOutside(at) => cold::store_outside(op, cx.regs, cx.base, cx.hart, at),
            }
        }
    }
}

/// An operation of one slot.
pub(crate) trait Step: 'static {
    /// Reads x\[rs1\] as its first operand.
    const READS: bool;
    /// `run` answers what it wrote to rd.
    const WRITES: bool;
    /// Runs with `a` as x\[rs1\], which only a step that `READS` looks at.
    ///
    /// # Safety
    /// I2, I3, I4.
    unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit>;
}

/// x\[rs1\] for a step that wants it.
///
/// # Safety
/// I2, I3, I4.
#[inline(always)]
pub(crate) unsafe fn first<S: Step>(op: *const Slot, cx: Cx) -> u64 {
    // SAFETY: I2, I3.
    unsafe { if S::READS { cx.x((*op).args.rs1) } else { 0 } }
}

/// rd = rs1 op rs2
pub(crate) struct Reg<O>(O);
/// rd = rs1 op immediate
pub(crate) struct Imm<O>(O);
/// rd = a constant of 56 bits: lui, auipc, li
pub(crate) struct Constant;
/// rd = rs1
pub(crate) struct Move;

impl<O: Alu> Step for Reg<O> {
    const READS: bool = true;
    const WRITES: bool = true;
    #[inline(always)]
    unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
        // SAFETY: I2, I3.
        unsafe {
            let Args { rd, rs2, .. } = (*op).args;
            let r = O::eval(a, cx.x(rs2));
            cx.set_x(rd, r);
            Ok(r)
        }
    }
}

impl<O: Alu> Step for Imm<O> {
    const READS: bool = true;
    const WRITES: bool = true;
    #[inline(always)]
    unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
        // SAFETY: I2, I3.
        unsafe {
            let Args { rd, imm, .. } = (*op).args;
            let r = O::eval(a, i64::from(imm) as u64);
            cx.set_x(rd, r);
            Ok(r)
        }
    }
}

impl Step for Constant {
    const READS: bool = false;
    const WRITES: bool = true;
    #[inline(always)]
    unsafe fn run(op: *const Slot, cx: Cx, _: u64) -> Result<u64, Exit> {
        // SAFETY: I2, I3.
        unsafe {
            let args = &(*op).args;
            let r = args.constant() as u64;
            cx.set_x(args.rd, r);
            Ok(r)
        }
    }
}

impl Step for Move {
    const READS: bool = true;
    const WRITES: bool = true;
    #[inline(always)]
    unsafe fn run(op: *const Slot, cx: Cx, a: u64) -> Result<u64, Exit> {
        // SAFETY: I2, I3.
        unsafe {
            cx.set_x((*op).args.rd, a);
            Ok(a)
        }
    }
}

handler! {
    fn one<S: Step>(op, cx) {
        match S::run(op, cx, first::<S>(op, cx)) {
            Ok(_) => cx.go(op.add(1)),
            Err(exit) => exit.leave(op, cx),
        }
    }
}
