//! Branches, jumps, and the ends of blocks.

use super::{Cx, cold, handler};
use crate::slot::{Args, Slot};
use crate::state::cache_index;
use std::sync::atomic::Ordering;

/// A branch condition.
pub(crate) trait Cond: 'static {
    fn test(a: u64, b: u64) -> bool;
}

macro_rules! cond {
    ($($name:ident($a:ident, $b:ident) $body:expr;)*) => {$(
        pub(crate) struct $name;
        impl Cond for $name {
            #[inline(always)]
            fn test($a: u64, $b: u64) -> bool { $body }
        }
    )*};
}

cond! {
    Eq(a, b) a == b;
    Ne(a, b) a != b;
    Lt(a, b) (a as i64) < b as i64;
    Ge(a, b) a as i64 >= b as i64;
    Ltu(a, b) a < b;
    Geu(a, b) a >= b;
}

/// Whether an edge leads backwards, and so must look at the kick word: every
/// cycle has such an edge or an indirect jump.
pub(crate) trait Edge: 'static {
    const BACK: bool;
}
pub(crate) struct Forward;
pub(crate) struct Back;
impl Edge for Forward {
    const BACK: bool = false;
}
impl Edge for Back {
    const BACK: bool = true;
}

/// Follows a link.
///
/// # Safety
/// `link` is a link slot of the running block (I2).
#[inline(always)]
pub(crate) unsafe fn follow<E: Edge>(link: *const Slot, cx: Cx) -> *const Slot {
    // SAFETY: I2, I4.
    unsafe {
        if E::BACK && is_kicked(cx) {
            return cold::interrupted_at_link(link, cx.regs, cx.base, cx.hart, cx.limit);
        }
        cx.go((*link).target())
    }
}

/// # Safety
/// I4.
#[inline(always)]
unsafe fn is_kicked(cx: Cx) -> bool {
    // SAFETY: I4, the kick outlives the hart.
    unsafe { (*(*cx.hart).kick).load(Ordering::Relaxed) != 0 }
}

/// Continues at the guest address `target`.
///
/// # Safety
/// I4.
#[inline(always)]
pub(crate) unsafe fn jump(op: *const Slot, target: u64, cx: Cx) -> *const Slot {
    // SAFETY: I4; the index is masked to the cache's size.
    unsafe {
        if is_kicked(cx) {
            return cold::interrupted(op, cx.regs, cx.base, cx.hart, target);
        }
        let entry = (&raw const (*cx.hart).cache).cast::<crate::state::CacheEntry>();
        let entry = *entry.add(cache_index(target));
        if entry.pc != target {
            return miss(op, target, cx);
        }
        cx.go(entry.op)
    }
}

/// # Safety
/// I4.
#[inline(always)]
unsafe fn miss(op: *const Slot, target: u64, cx: Cx) -> *const Slot {
    // SAFETY: I4.
    unsafe {
        (*cx.hart).fault_host = target;
        cold::enter(op, cx.regs, cx.base, cx.hart, cx.limit)
    }
}

handler! {
    /// Followed by its link.
    fn branch<C: Cond, E: Edge>(op, cx) {
        let Args { rs1, rs2, .. } = (*op).args;
        if C::test(cx.x(rs1), cx.x(rs2)) {
            return follow::<E>(op.add(1), cx);
        }
        cx.go(op.add(2))
    }

    /// A jump to a constant address, or the end of a block that was cut.
    /// Followed by its link.
    fn goto<E: Edge>(op, cx) {
        follow::<E>(op.add(1), cx)
    }

    /// jal: rd = constant, then as `goto`.
    fn call<E: Edge>(op, cx) {
        let args = &(*op).args;
        cx.set_x(args.rd, args.constant() as u64);
        follow::<E>(op.add(1), cx)
    }

    /// jalr without a link register: returns, tail calls, switches.
    fn jump_reg(op, cx) {
        let Args { rs1, imm, .. } = (*op).args;
        jump(op, cx.x(rs1).wrapping_add(i64::from(imm) as u64) & !1, cx)
    }

    /// jalr. The next slot's constant is the return address.
    fn call_reg(op, cx) {
        let Args { rd, rs1, imm, .. } = (*op).args;
        let target = cx.x(rs1).wrapping_add(i64::from(imm) as u64) & !1;
        cx.set_x(rd, (*op.add(1)).args.constant() as u64);
        jump(op, target, cx)
    }

    /// What an unbound link leads to. `imm` slots before is the link.
    fn unbound(op, cx) {
        cold::bind(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    /// The first slot of a block that was invalidated.
    fn stale(op, cx) {
        cold::stale_entry(op, cx.regs, cx.base, cx.hart, cx.limit)
    }

    /// Head of a counting block of `imm` instructions.
    fn fuel(op, cx) {
        let fuel = (*cx.hart).fuel;
        if fuel == 0 {
            return cold::out_of_fuel(op, cx.regs, cx.base, cx.hart, cx.limit);
        }
        (*cx.hart).fuel = fuel.saturating_sub((*op).args.imm as u64);
        cx.go(op.add(1))
    }
}
