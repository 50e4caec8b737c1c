//! What handlers call when the unusual happens. Each returns through the next
//! slot's handler, or null when the hart stops.

use super::Cx;
use super::amo::NO_RESERVATION;
use super::float as fp;
use super::float::Float;
use crate::fpenv::{self, flag};
use crate::run::{self, Next};
use crate::slot::Slot;
use crate::softfp;
use crate::state::HartState;
use rivix_engine::{Access, FaultKind, Trap};
use rivix_isa::{Csr, Op, Registers};

/// Null, unknown to the optimiser: a handler that knew the answer of a rare path
/// would call it and return instead of jumping to it.
#[inline(always)]
fn stopped() -> *const Slot {
    std::hint::black_box(std::ptr::null())
}

/// Declares a rare path: its body, which has a stack frame and answers the slot
/// to go on with or null, and the handler that calls it and has none when it
/// jumps on.
macro_rules! cold {
    ($($(#[$meta:meta])* fn $name:ident($op:ident, $cx:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[cold]
        #[inline(never)]
        pub(crate) unsafe fn $name(
            op: *const Slot,
            regs: *mut Registers,
            base: *mut u8,
            hart: *mut HartState,
            limit: u64,
        ) -> *const Slot {
            #[cold]
            #[inline(never)]
            unsafe fn body(
                $op: *const Slot,
                regs: *mut Registers,
                base: *mut u8,
                hart: *mut HartState,
                limit: u64,
            ) -> *const Slot {
                let $cx = Cx { regs, base, hart, limit };
                // SAFETY: entered from a handler: I2, I3, I4.
                unsafe { $body }
            }
            let cx = Cx { regs, base, hart, limit };
            // SAFETY: as for the body; I2 for what it answers.
            unsafe {
                let next = body(op, regs, base, hart, limit);
                if next.is_null() {
                    return next;
                }
                cx.go(next)
            }
        }
    )*};
}

/// Stops with the pc of `op`, whose instruction did not run.
///
/// # Safety
/// I2, I4.
unsafe fn stop_at(op: *const Slot, cx: Cx, trap: Trap) -> *const Slot {
    // SAFETY: I4.
    unsafe {
        let hart = &mut *cx.hart;
        let pc = fpenv::with_host(|| {
            if hart.wants_fuel && trap != Trap::OutOfFuel {
                // The block's head took the fuel of all its instructions.
                hart.fuel = hart.fuel.saturating_add(run::not_run(hart, op));
            }
            run::pc_of(hart, op)
        });
        stop(pc, cx, trap)
    }
}

/// Stops at `pc`.
///
/// # Safety
/// I4.
unsafe fn stop(pc: u64, cx: Cx, trap: Trap) -> *const Slot {
    // SAFETY: I4.
    unsafe {
        (*cx.regs).pc = pc;
        (*cx.hart).trap = trap;
    }
    stopped()
}

/// Goes to guest address `pc`, translating it when needed.
///
/// # Safety
/// I4.
unsafe fn enter_at(pc: u64, cx: Cx) -> *const Slot {
    // SAFETY: I4.
    unsafe {
        match fpenv::with_host(|| run::find(&mut *cx.hart, pc)) {
            Next::Slot(op) => op,
            Next::Trap(trap) => stop(pc, cx, trap),
        }
    }
}

/// # Safety
/// I4; a landing pad or handler noted the fault.
unsafe fn fault(op: *const Slot, cx: Cx, access: Access) -> *const Slot {
    // SAFETY: I4.
    unsafe {
        let hart = &*cx.hart;
        let kind = if hart.fault_cause == 2 {
            FaultKind::Bus
        } else {
            FaultKind::Segv
        };
        let addr = hart.fault_host.wrapping_sub(hart.base as u64);
        stop_at(op, cx, Trap::MemoryFault { addr, access, kind })
    }
}

cold! {
    fn load_fault(op, cx) {
        fault(op, cx, Access::Load)
    }

    fn store_fault(op, cx) {
        fault(op, cx, Access::Store)
    }

    /// The last argument is the address.
    fn load_outside(op, cx) {
        let trap = Trap::MemoryFault { addr: cx.limit, access: Access::Load, kind: FaultKind::Segv };
        stop_at(op, cx, trap)
    }

    /// The last argument is the address.
    fn store_outside(op, cx) {
        let trap = Trap::MemoryFault { addr: cx.limit, access: Access::Store, kind: FaultKind::Segv };
        stop_at(op, cx, trap)
    }

    /// The last argument is the address.
    fn misaligned(op, cx) {
        stop_at(op, cx, Trap::Misaligned { addr: cx.limit })
    }

    fn ecall(op, cx) {
        stop((*op).args.constant() as u64, cx, Trap::Ecall)
    }

    fn ebreak(op, cx) {
        stop_at(op, cx, Trap::Ebreak)
    }

    fn illegal(op, cx) {
        stop_at(op, cx, Trap::IllegalInstruction((*op).args.imm as u32))
    }

    fn out_of_fuel(op, cx) {
        stop_at(op, cx, Trap::OutOfFuel)
    }

    /// Kicked on a backward edge, whose link this is.
    fn interrupted_at_link(link, cx) {
        stop((*link).args.constant() as u64, cx, Trap::Interrupted)
    }

    /// Kicked at an indirect jump; the last argument is its target.
    fn interrupted(_op, cx) {
        stop(cx.limit, cx, Trap::Interrupted)
    }

    /// An indirect jump missed the cache; the target is in `fault_host`.
    fn enter(_op, cx) {
        let pc = (*cx.hart).fault_host;
        enter_at(pc, cx)
    }

    /// `op` is the stub of an unbound link.
    fn bind(op, cx) {
        let link = op.sub((*op).args.imm as usize);
        let pc = (*link).args.constant() as u64;
        match fpenv::with_host(|| run::bind(&mut *cx.hart, link, op, pc)) {
            Next::Slot(op) => op,
            Next::Trap(trap) => stop(pc, cx, trap),
        }
    }

    fn stale_entry(op, cx) {
        let pc = fpenv::with_host(|| run::pc_of(&*cx.hart, op));
        enter_at(pc, cx)
    }

    fn fence_i(op, cx) {
        let next = fpenv::with_host(|| {
            let pc = run::pc_of(&*cx.hart, op);
            run::fence_i(&mut *cx.hart);
            pc
        });
        enter_at(next.wrapping_add(4), cx)
    }

    /// csrr*: bit 2 of `aux` says that rs1 is the value itself, bits 1:0 are 1
    /// for write, 2 for set, 3 for clear, 0 for read only.
    fn csr(op, cx) {
        let args = (*op).args;
        let Some(csr) = Csr::from_number(args.imm as u32) else {
            // Translated to `illegal` instead.
            return stop_at(op, cx, Trap::IllegalInstruction(0));
        };
        let operand = if args.aux & 4 != 0 { u64::from(args.rs1) } else { cx.x(args.rs1) };
        let hart = &mut *cx.hart;
        let flags = fpenv::fflags(fpenv::get()) | hart.fflags;
        let old = match csr {
            Csr::Fflags => u64::from(flags),
            Csr::Frm => u64::from(hart.frm),
            Csr::Fcsr => u64::from(hart.frm << 5 | flags),
            Csr::Time => fpenv::with_host(|| hart.context.clock.monotonic_ns()),
        };
        cx.set_x(args.rd, old);
        let new = match args.aux & 3 {
            1 => operand,
            2 => old | operand,
            3 => old & !operand,
            _ => return op.add(1),
        } as u32;
        let fcsr = match csr {
            Csr::Fflags => hart.frm << 5 | new & 0x1f,
            Csr::Frm => (new & 7) << 5 | flags,
            _ => new & 0xff,
        };
        run::set_fcsr(hart, fcsr);
        if run::wanted_variant(hart) == hart.variant {
            return op.add(1);
        }
        let pc = fpenv::with_host(|| {
            run::set_variant(hart);
            run::pc_of(hart, op).wrapping_add(4)
        });
        enter_at(pc, cx)
    }

    /// `aux` is the rounding mode, `imm` the operation and its rs3.
    fn float_slow(op, cx) {
        let args = (*op).args;
        let mode = if args.aux == 7 { (*cx.hart).frm } else { u32::from(args.aux) };
        let operation = Op::ALL[args.imm as usize & 0xff];
        if mode > 4 {
            // Reserved dynamic mode; the encoding is in the next slot.
            return stop_at(op, cx, Trap::IllegalInstruction((*op.add(1)).args.imm as u32));
        }
        let from_int = operation.format() == rivix_isa::Format::XToFRm;
        let a = if from_int { cx.x(args.rs1) } else { cx.f(args.rs1) };
        let (b, c) = (cx.f(args.rs2), cx.f((args.imm >> 8) as u8));
        let result = if mode == softfp::rm::RMM {
            let (result, flags) = fpenv::with_host(|| soft(operation, a, b, c, mode));
            (*cx.hart).fflags |= flags;
            result
        } else {
            let before = fpenv::get();
            fpenv::set(before & !(3 << 13) | fpenv::mxcsr(mode) & 3 << 13);
            let result = hard(operation, a, b, c, cx.hart);
            let after = fpenv::get();
            fpenv::set(after & !(3 << 13) | before & 3 << 13);
            result
        };
        if operation.format() == rivix_isa::Format::FToXRm {
            cx.set_x(args.rd, result);
        } else {
            cx.set_f(args.rd, result);
        }
        op.add(2)
    }
}

/// A rounding operation under MXCSR's mode.
///
/// # Safety
/// MXCSR is the guest's; I4.
unsafe fn hard(operation: Op, a: u64, b: u64, c: u64, hart: *mut HartState) -> u64 {
    macro_rules! table {
        ($($op:ident $float:ident),* $(,)?) => {
            match operation {
                // SAFETY: as the caller promises.
                $(Op::$op => unsafe { fp::$float::eval(a, b, c, hart) },)*
                // Only operations with a rounding mode come here; a reserved one
                // changes nothing.
                _ => a,
            }
        };
    }
    if !crate::translate::has_fma() && operation.format() == rivix_isa::Format::F4 {
        let mode = fpenv::rounding(fpenv::get());
        let (result, flags) = fpenv::with_host(|| soft(operation, a, b, c, mode));
        // SAFETY: I4.
        unsafe { (*hart).fflags |= flags };
        return result;
    }
    table! {
        FaddS AddS, FsubS SubS, FmulS MulS, FdivS DivS, FsqrtS SqrtS,
        FaddD AddD, FsubD SubD, FmulD MulD, FdivD DivD, FsqrtD SqrtD,
        FmaddS MaddS, FmsubS MsubS, FnmsubS NmsubS, FnmaddS NmaddS,
        FmaddD MaddD, FmsubD MsubD, FnmsubD NmsubD, FnmaddD NmaddD,
        FcvtWS CvtWS, FcvtWuS CvtWuS, FcvtLS CvtLS, FcvtLuS CvtLuS,
        FcvtWD CvtWD, FcvtWuD CvtWuD, FcvtLD CvtLD, FcvtLuD CvtLuD,
        FcvtSW CvtSW, FcvtSWu CvtSWu, FcvtSL CvtSL, FcvtSLu CvtSLu,
        FcvtDW CvtDW, FcvtDWu CvtDWu, FcvtDL CvtDL, FcvtDLu CvtDLu,
        FcvtSD CvtSD, FcvtDS CvtDS,
    }
}

/// A rounding operation in integers.
pub(crate) fn soft(operation: Op, a: u64, b: u64, c: u64, mode: u32) -> softfp::Outcome {
    use softfp::{DOUBLE, SINGLE};
    let s = |v: u64| u64::from(fp::unbox(v));
    let boxed = |(v, flags): softfp::Outcome| (fp::boxed(v as u32), flags);
    const SIGN_S: u64 = 1 << 31;
    const SIGN_D: u64 = 1 << 63;
    match operation {
        Op::FaddS => boxed(softfp::add(s(a), s(b), SINGLE, mode)),
        Op::FsubS => boxed(softfp::sub(s(a), s(b), SINGLE, mode)),
        Op::FmulS => boxed(softfp::mul(s(a), s(b), SINGLE, mode)),
        Op::FdivS => boxed(softfp::div(s(a), s(b), SINGLE, mode)),
        Op::FsqrtS => boxed(softfp::sqrt(s(a), SINGLE, mode)),
        Op::FmaddS => boxed(softfp::fma(s(a), s(b), s(c), SINGLE, mode)),
        Op::FmsubS => boxed(softfp::fma(s(a), s(b), s(c) ^ SIGN_S, SINGLE, mode)),
        Op::FnmsubS => boxed(softfp::fma(s(a) ^ SIGN_S, s(b), s(c), SINGLE, mode)),
        Op::FnmaddS => boxed(softfp::fma(
            s(a) ^ SIGN_S,
            s(b),
            s(c) ^ SIGN_S,
            SINGLE,
            mode,
        )),
        Op::FaddD => softfp::add(a, b, DOUBLE, mode),
        Op::FsubD => softfp::sub(a, b, DOUBLE, mode),
        Op::FmulD => softfp::mul(a, b, DOUBLE, mode),
        Op::FdivD => softfp::div(a, b, DOUBLE, mode),
        Op::FsqrtD => softfp::sqrt(a, DOUBLE, mode),
        Op::FmaddD => softfp::fma(a, b, c, DOUBLE, mode),
        Op::FmsubD => softfp::fma(a, b, c ^ SIGN_D, DOUBLE, mode),
        Op::FnmsubD => softfp::fma(a ^ SIGN_D, b, c, DOUBLE, mode),
        Op::FnmaddD => softfp::fma(a ^ SIGN_D, b, c ^ SIGN_D, DOUBLE, mode),
        Op::FcvtWS => softfp::to_int(s(a), SINGLE, mode, 32, true),
        Op::FcvtWuS => softfp::to_int(s(a), SINGLE, mode, 32, false),
        Op::FcvtLS => softfp::to_int(s(a), SINGLE, mode, 64, true),
        Op::FcvtLuS => softfp::to_int(s(a), SINGLE, mode, 64, false),
        Op::FcvtWD => softfp::to_int(a, DOUBLE, mode, 32, true),
        Op::FcvtWuD => softfp::to_int(a, DOUBLE, mode, 32, false),
        Op::FcvtLD => softfp::to_int(a, DOUBLE, mode, 64, true),
        Op::FcvtLuD => softfp::to_int(a, DOUBLE, mode, 64, false),
        Op::FcvtSW => boxed(softfp::from_int(i128::from(a as i32), SINGLE, mode)),
        Op::FcvtSWu => boxed(softfp::from_int(i128::from(a as u32), SINGLE, mode)),
        Op::FcvtSL => boxed(softfp::from_int(i128::from(a as i64), SINGLE, mode)),
        Op::FcvtSLu => boxed(softfp::from_int(i128::from(a), SINGLE, mode)),
        Op::FcvtDW => softfp::from_int(i128::from(a as i32), DOUBLE, mode),
        Op::FcvtDWu => softfp::from_int(i128::from(a as u32), DOUBLE, mode),
        Op::FcvtDL => softfp::from_int(i128::from(a as i64), DOUBLE, mode),
        Op::FcvtDLu => softfp::from_int(i128::from(a), DOUBLE, mode),
        Op::FcvtSD => boxed(softfp::convert(a, DOUBLE, SINGLE, mode)),
        Op::FcvtDS => softfp::convert(s(a), SINGLE, DOUBLE, mode),
        _ => (a, 0),
    }
}

/// Drops the reservation, as a trap into a kernel does.
pub(crate) fn drop_reservation(hart: &mut HartState) {
    hart.reserved = NO_RESERVATION;
}

/// inf * 0 + quiet NaN raises NV in RISC-V; x86 leaves it out.
///
/// # Safety
/// I4.
#[cold]
#[inline(never)]
pub(crate) unsafe fn fma_nan(
    a_inf: bool,
    b_inf: bool,
    a_zero: bool,
    b_zero: bool,
    hart: *mut HartState,
) {
    if a_inf && b_zero || a_zero && b_inf {
        // SAFETY: I4.
        unsafe { raise(hart, flag::NV) }
    }
}

/// Conversions to unsigned of negative, large and NaN operands.
///
/// # Safety
/// I4.
#[cold]
#[inline(never)]
pub(crate) unsafe fn to_unsigned_odd(
    value: u64,
    bits: u32,
    truncate: bool,
    hart: *mut HartState,
) -> u64 {
    // SAFETY: I4.
    unsafe {
        let rm = if truncate {
            1
        } else {
            fpenv::rounding(fpenv::get())
        };
        let (result, flags) = softfp::double_to_int(value, rm, bits, false);
        raise(hart, flags);
        result
    }
}

/// Notes exceptions that MXCSR does not.
///
/// # Safety
/// I4.
#[inline(always)]
pub(crate) unsafe fn raise(hart: *mut HartState, flags: u32) {
    // SAFETY: I4.
    unsafe { (*hart).fflags |= flags }
}
