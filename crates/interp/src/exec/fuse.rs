//! Handlers of two operations at once.
//!
//! The kinds below are those that came up in measurements of compiled programs
//! (`PROFILE=1` of the `bench` example counts runs of instructions); all pairs
//! of them have a handler, chained or not, and so has each of them before each
//! way to end a block or branch.

use super::alu as a;
use super::branch::{self, Back, Cond, Edge, Forward, follow, jump};
use super::float::{self as f, Fp};
use super::handler;
use super::memory as m;
use super::step::{Constant, Imm, Move, Reg, Step, first};
use crate::slot::{Args, Handler};

handler! {
    fn pair<A: Step, B: Step>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        let op = op.add(1);
        match B::run(op, cx, first::<B>(op, cx)) {
            Ok(_) => cx.go(op.add(1)),
            Err(exit) => exit.leave(op, cx),
        }
    }

    /// The second's rs1 is the first's rd.
    fn chain<A: Step, B: Step>(op, cx) {
        let r = match A::run(op, cx, first::<A>(op, cx)) {
            Ok(r) => r,
            Err(exit) => return exit.leave(op, cx),
        };
        let op = op.add(1);
        match B::run(op, cx, r) {
            Ok(_) => cx.go(op.add(1)),
            Err(exit) => exit.leave(op, cx),
        }
    }

    fn then_branch<A: Step, C: Cond, E: Edge>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        let op = op.add(1);
        let Args { rs1, rs2, .. } = (*op).args;
        if C::test(cx.x(rs1), cx.x(rs2)) {
            return follow::<E>(op.add(1), cx);
        }
        cx.go(op.add(2))
    }

    fn chain_branch<A: Step, C: Cond, E: Edge>(op, cx) {
        let r = match A::run(op, cx, first::<A>(op, cx)) {
            Ok(r) => r,
            Err(exit) => return exit.leave(op, cx),
        };
        let op = op.add(1);
        if C::test(r, cx.x((*op).args.rs2)) {
            return follow::<E>(op.add(1), cx);
        }
        cx.go(op.add(2))
    }

    fn then_goto<A: Step, E: Edge>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        follow::<E>(op.add(2), cx)
    }

    fn then_call<A: Step, E: Edge>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        let args = &(*op.add(1)).args;
        cx.set_x(args.rd, args.constant() as u64);
        follow::<E>(op.add(2), cx)
    }

    fn then_jump_reg<A: Step>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        let Args { rs1, imm, .. } = (*op.add(1)).args;
        jump(op, cx.x(rs1).wrapping_add(i64::from(imm) as u64) & !1, cx)
    }

    fn chain_jump_reg<A: Step>(op, cx) {
        let r = match A::run(op, cx, first::<A>(op, cx)) {
            Ok(r) => r,
            Err(exit) => return exit.leave(op, cx),
        };
        jump(op, r.wrapping_add(i64::from((*op.add(1)).args.imm) as u64) & !1, cx)
    }

    fn then_call_reg<A: Step>(op, cx) {
        if let Err(exit) = A::run(op, cx, first::<A>(op, cx)) {
            return exit.leave(op, cx);
        }
        let Args { rd, rs1, imm, .. } = (*op.add(1)).args;
        let target = cx.x(rs1).wrapping_add(i64::from(imm) as u64) & !1;
        cx.set_x(rd, (*op.add(2)).args.constant() as u64);
        jump(op, target, cx)
    }
}

/// Ways to end a block, or to leave its middle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum End {
    Beq,
    Bne,
    Blt,
    Bge,
    Bltu,
    Bgeu,
    BeqBack,
    BneBack,
    BltBack,
    BgeBack,
    BltuBack,
    BgeuBack,
    Goto,
    GotoBack,
    Call,
    CallBack,
    JumpReg,
    CallReg,
}

const ENDS: usize = 18;

/// One row of ends after `A`.
const fn ends<A: Step>() -> [Handler; ENDS] {
    [
        then_branch::<A, branch::Eq, Forward>,
        then_branch::<A, branch::Ne, Forward>,
        then_branch::<A, branch::Lt, Forward>,
        then_branch::<A, branch::Ge, Forward>,
        then_branch::<A, branch::Ltu, Forward>,
        then_branch::<A, branch::Geu, Forward>,
        then_branch::<A, branch::Eq, Back>,
        then_branch::<A, branch::Ne, Back>,
        then_branch::<A, branch::Lt, Back>,
        then_branch::<A, branch::Ge, Back>,
        then_branch::<A, branch::Ltu, Back>,
        then_branch::<A, branch::Geu, Back>,
        then_goto::<A, Forward>,
        then_goto::<A, Back>,
        then_call::<A, Forward>,
        then_call::<A, Back>,
        then_jump_reg::<A>,
        then_call_reg::<A>,
    ]
}

/// Likewise with the end's rs1 being `A`'s rd.
const fn chained_ends<A: Step>() -> [Handler; ENDS] {
    if !A::WRITES {
        return ends::<A>();
    }
    [
        chain_branch::<A, branch::Eq, Forward>,
        chain_branch::<A, branch::Ne, Forward>,
        chain_branch::<A, branch::Lt, Forward>,
        chain_branch::<A, branch::Ge, Forward>,
        chain_branch::<A, branch::Ltu, Forward>,
        chain_branch::<A, branch::Geu, Forward>,
        chain_branch::<A, branch::Eq, Back>,
        chain_branch::<A, branch::Ne, Back>,
        chain_branch::<A, branch::Lt, Back>,
        chain_branch::<A, branch::Ge, Back>,
        chain_branch::<A, branch::Ltu, Back>,
        chain_branch::<A, branch::Geu, Back>,
        then_goto::<A, Forward>,
        then_goto::<A, Back>,
        then_call::<A, Forward>,
        then_call::<A, Back>,
        chain_jump_reg::<A>,
        then_call_reg::<A>,
    ]
}

/// `B` after `A`, the value kept when both can.
const fn chained<A: Step, B: Step>() -> Handler {
    if A::WRITES && B::READS {
        chain::<A, B>
    } else {
        pair::<A, B>
    }
}

macro_rules! kinds {
    ($($kind:ident $step:ty,)*) => {
        /// Steps that are fused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Kind { $($kind,)* }

        const KINDS: usize = [$(Kind::$kind,)*].len();

        const fn row<A: Step>() -> [Handler; KINDS] {
            [$(pair::<A, $step>,)*]
        }
        const fn chained_row<A: Step>() -> [Handler; KINDS] {
            [$(chained::<A, $step>(),)*]
        }

        static PAIRS: [[Handler; KINDS]; KINDS] = [$(row::<$step>(),)*];
        static CHAINED: [[Handler; KINDS]; KINDS] = [$(chained_row::<$step>(),)*];
        static ENDINGS: [[Handler; ENDS]; KINDS] = [$(ends::<$step>(),)*];
        static CHAINED_ENDINGS: [[Handler; ENDS]; KINDS] = [$(chained_ends::<$step>(),)*];
    };
}

kinds! {
    Addi Imm<a::Add>,
    Add Reg<a::Add>,
    Move Move,
    Constant Constant,
    Addw Reg<a::Addw>,
    Addiw Imm<a::Addw>,
    Slli Imm<a::Sll>,
    Srli Imm<a::Srl>,
    Srai Imm<a::Sra>,
    Slliw Imm<a::Sllw>,
    Srliw Imm<a::Srlw>,
    Sraiw Imm<a::Sraw>,
    And Reg<a::And>,
    Andi Imm<a::And>,
    Or Reg<a::Or>,
    Xor Reg<a::Xor>,
    Xori Imm<a::Xor>,
    Sub Reg<a::Sub>,
    Subw Reg<a::Subw>,
    Sltu Reg<a::Sltu>,
    Sltiu Imm<a::Sltu>,
    Slt Reg<a::Slt>,
    Mul Reg<a::Mul>,
    Mulw Reg<a::Mulw>,
    Ld m::Ld,
    Lw m::Lw,
    Lwu m::Lwu,
    Lbu m::Lbu,
    Lh m::Lh,
    Lhu m::Lhu,
    Sd m::Sd,
    Sw m::Sw,
    Sb m::Sb,
    Sh m::Sh,
    Fld m::Fld,
    Fsd m::Fsd,
    FaddD Fp<f::AddD>,
    FsubD Fp<f::SubD>,
    FmulD Fp<f::MulD>,
    FmaddD Fp<f::MaddD>,
    FnmsubD Fp<f::NmsubD>,
    FltD Fp<f::LtD>,
}

/// The handler of `a` and `b` together; `chained` says that b's rs1 is a's rd.
pub(crate) fn steps(a: Kind, b: Kind, chained: bool) -> Handler {
    let table = if chained { &CHAINED } else { &PAIRS };
    table[a as usize][b as usize]
}

/// The handler of `a` and the end that follows.
pub(crate) fn end(a: Kind, end: End, chained: bool) -> Handler {
    let table = if chained { &CHAINED_ENDINGS } else { &ENDINGS };
    table[a as usize][end as usize]
}
