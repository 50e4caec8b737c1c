//! LR, SC and the atomic memory operations, as host atomics.
//!
//! x86 orders every locked operation fully, so the aq and rl bits ask for
//! nothing more; a plain load has acquire order.

use super::memory::fault_to_next;
use super::{cold, handler};
use crate::slot::Args;
use std::arch::asm;

/// What a host access left: the old value, and the fault's cause (0: none)
/// with its host address.
pub(crate) struct Touched {
    old: u64,
    cause: u64,
    host: u64,
}

/// A width: `size` bytes, results sign-extended.
pub(crate) trait Width: 'static {
    const SIZE: u64;
    fn extend(value: u64) -> u64;
    /// # Safety
    /// I6: `at` is inside the window or its guard.
    unsafe fn load(at: *mut u8) -> Touched;
    /// # Safety
    /// As `load`.
    unsafe fn exchange(at: *mut u8, value: u64) -> Touched;
    /// # Safety
    /// As `load`.
    unsafe fn add(at: *mut u8, value: u64) -> Touched;
    /// Stores `new` if `old` is there.
    ///
    /// # Safety
    /// As `load`.
    unsafe fn compare_exchange(at: *mut u8, old: u64, new: u64) -> Touched;
}

macro_rules! width {
    ($name:ident, $size:literal, $extend:expr, $ptr:literal, $m:literal, $rax:literal) => {
        pub(crate) struct $name;
        impl Width for $name {
            const SIZE: u64 = $size;

            #[inline(always)]
            fn extend(value: u64) -> u64 {
                $extend(value)
            }

            #[inline(always)]
            unsafe fn load(at: *mut u8) -> Touched {
                let (mut old, mut cause, mut host) = (0u64, 0u64, 0u64);
                // SAFETY: I6.
                unsafe {
                    asm!(
                        concat!("2: mov {old:", $m, "}, ", $ptr, " ptr [{at}]"),
                        "3:",
                        fault_to_next!(),
                        at = in(reg) at,
                        old = inout(reg) old,
                        inout("r10") host,
                        inout("r11") cause,
                        options(nostack),
                    );
                }
                Touched { old, cause, host }
            }

            #[inline(always)]
            unsafe fn exchange(at: *mut u8, value: u64) -> Touched {
                let (mut old, mut cause, mut host) = (value, 0u64, 0u64);
                // SAFETY: I6.
                unsafe {
                    asm!(
                        concat!("2: xchg {old:", $m, "}, ", $ptr, " ptr [{at}]"),
                        "3:",
                        fault_to_next!(),
                        at = in(reg) at,
                        old = inout(reg) old,
                        inout("r10") host,
                        inout("r11") cause,
                        options(nostack),
                    );
                }
                Touched { old, cause, host }
            }

            #[inline(always)]
            unsafe fn add(at: *mut u8, value: u64) -> Touched {
                let (mut old, mut cause, mut host) = (value, 0u64, 0u64);
                // SAFETY: I6.
                unsafe {
                    asm!(
                        concat!("2: lock xadd ", $ptr, " ptr [{at}], {old:", $m, "}"),
                        "3:",
                        fault_to_next!(),
                        at = in(reg) at,
                        old = inout(reg) old,
                        inout("r10") host,
                        inout("r11") cause,
                        options(nostack),
                    );
                }
                Touched { old, cause, host }
            }

            #[inline(always)]
            unsafe fn compare_exchange(at: *mut u8, old: u64, new: u64) -> Touched {
                let (mut seen, mut cause, mut host) = (old, 0u64, 0u64);
                // SAFETY: I6.
                unsafe {
                    asm!(
                        concat!("2: lock cmpxchg ", $ptr, " ptr [{at}], {new:", $m, "}"),
                        "3:",
                        fault_to_next!(),
                        at = in(reg) at,
                        new = in(reg) new,
                        inout("rax") seen,
                        inout("r10") host,
                        inout("r11") cause,
                        options(nostack),
                    );
                }
                Touched { old: seen, cause, host }
            }
        }
    };
}

width!(Word, 4, super::alu::sext32, "dword", "e", "eax");
width!(Double, 8, std::convert::identity, "qword", "r", "rax");

/// A read-modify-write.
pub(crate) trait Amo: 'static {
    /// # Safety
    /// I6 for `at`.
    unsafe fn apply<W: Width>(at: *mut u8, value: u64) -> Touched;
}

pub(crate) struct Swap;
impl Amo for Swap {
    #[inline(always)]
    unsafe fn apply<W: Width>(at: *mut u8, value: u64) -> Touched {
        // SAFETY: as the caller promises.
        unsafe { W::exchange(at, value) }
    }
}

pub(crate) struct AddTo;
impl Amo for AddTo {
    #[inline(always)]
    unsafe fn apply<W: Width>(at: *mut u8, value: u64) -> Touched {
        // SAFETY: as the caller promises.
        unsafe { W::add(at, value) }
    }
}

macro_rules! looped {
    ($($name:ident($a:ident, $b:ident) $body:expr;)*) => {$(
        pub(crate) struct $name;
        impl Amo for $name {
            #[inline(always)]
            unsafe fn apply<W: Width>(at: *mut u8, value: u64) -> Touched {
                // Both sides sign-extended keeps the order of words, signed and unsigned.
                let $b = W::extend(value);
                // SAFETY: as the caller promises.
                unsafe {
                    let mut seen = W::load(at);
                    while seen.cause == 0 {
                        let $a = W::extend(seen.old);
                        let expected = seen.old;
                        seen = W::compare_exchange(at, expected, $body);
                        if seen.old == expected {
                            break;
                        }
                    }
                    seen
                }
            }
        }
    )*};
}

looped! {
    XorTo(a, b) a ^ b;
    AndTo(a, b) a & b;
    OrTo(a, b) a | b;
    MinTo(a, b) (a as i64).min(b as i64) as u64;
    MaxTo(a, b) (a as i64).max(b as i64) as u64;
    MinuTo(a, b) a.min(b);
    MaxuTo(a, b) a.max(b);
}

/// What a reservation's address is when there is none.
pub(crate) const NO_RESERVATION: u64 = 1;

handler! {
    fn amo<A: Amo, W: Width>(op, cx) {
        let Args { rd, rs1, rs2, .. } = (*op).args;
        let addr = cx.x(rs1);
        if addr & (W::SIZE - 1) != 0 {
            return cold::misaligned(op, cx.regs, cx.base, cx.hart, addr);
        }
        if addr > cx.limit {
            return cold::store_outside(op, cx.regs, cx.base, cx.hart, addr);
        }
        let touched = A::apply::<W>(cx.base.wrapping_add(addr as usize), cx.x(rs2));
        if touched.cause != 0 {
            (*cx.hart).fault_host = touched.host;
            (*cx.hart).fault_cause = touched.cause;
            return cold::store_fault(op, cx.regs, cx.base, cx.hart, cx.limit);
        }
        cx.set_x(rd, W::extend(touched.old));
        cx.go(op.add(1))
    }

    fn lr<W: Width>(op, cx) {
        let Args { rd, rs1, .. } = (*op).args;
        let addr = cx.x(rs1);
        if addr & (W::SIZE - 1) != 0 {
            return cold::misaligned(op, cx.regs, cx.base, cx.hart, addr);
        }
        if addr > cx.limit {
            return cold::load_outside(op, cx.regs, cx.base, cx.hart, addr);
        }
        let touched = W::load(cx.base.wrapping_add(addr as usize));
        if touched.cause != 0 {
            (*cx.hart).fault_host = touched.host;
            (*cx.hart).fault_cause = touched.cause;
            return cold::load_fault(op, cx.regs, cx.base, cx.hart, cx.limit);
        }
        (*cx.hart).reserved = addr;
        (*cx.hart).reserved_value = touched.old;
        cx.set_x(rd, W::extend(touched.old));
        cx.go(op.add(1))
    }

    /// Succeeds when the reserved value is still there: the manual lets an SC
    /// succeed unless another hart's store to the location is observed, and a
    /// store of the same value cannot be told from none.
    fn sc<W: Width>(op, cx) {
        let Args { rd, rs1, rs2, .. } = (*op).args;
        let addr = cx.x(rs1);
        if addr & (W::SIZE - 1) != 0 {
            return cold::misaligned(op, cx.regs, cx.base, cx.hart, addr);
        }
        if addr > cx.limit {
            return cold::store_outside(op, cx.regs, cx.base, cx.hart, addr);
        }
        let reserved = (*cx.hart).reserved;
        (*cx.hart).reserved = NO_RESERVATION;
        if reserved != addr {
            cx.set_x(rd, 1);
            return cx.go(op.add(1));
        }
        let expected = (*cx.hart).reserved_value;
        let at = cx.base.wrapping_add(addr as usize);
        let touched = W::compare_exchange(at, expected, cx.x(rs2));
        if touched.cause != 0 {
            (*cx.hart).fault_host = touched.host;
            (*cx.hart).fault_cause = touched.cause;
            return cold::store_fault(op, cx.regs, cx.base, cx.hart, cx.limit);
        }
        cx.set_x(rd, u64::from(W::extend(touched.old) != W::extend(expected)));
        cx.go(op.add(1))
    }
}
