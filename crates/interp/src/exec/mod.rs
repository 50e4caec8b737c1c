//! The handlers: what each operation does.
//!
//! Every handler has the type [`Handler`](crate::slot::Handler), keeps nothing
//! on the host stack and ends by running the next slot. In release builds that
//! is a tail call, which LLVM makes a jump since all signatures agree and no
//! frame exists; `cargo xtask check-tail-calls` proves it of the binary. With
//! debug assertions, or the `loop-driver` feature, a handler returns the next
//! slot to [`drive`] instead.
//!
//! What is rare is a call to a function of [`cold`].

pub(crate) mod alu;
pub(crate) mod amo;
pub(crate) mod branch;
pub(crate) mod cold;
pub(crate) mod float;
pub(crate) mod fuse;
pub(crate) mod memory;
pub(crate) mod step;
pub(crate) mod system;

use crate::slot::Slot;
use crate::state::HartState;
use rivix_isa::Registers;

/// Whether handlers return to a loop. Rust does not promise tail calls, and
/// without optimisation LLVM makes none.
pub(crate) const LOOP_DRIVER: bool = cfg!(any(debug_assertions, miri, feature = "loop-driver"));

/// A handler's arguments besides its slot.
#[derive(Clone, Copy)]
pub(crate) struct Cx {
    pub(crate) regs: *mut Registers,
    pub(crate) base: *mut u8,
    pub(crate) hart: *mut HartState,
    pub(crate) limit: u64,
}

impl Cx {
    /// x register `r`; also [`SINK`](crate::slot::SINK) and above.
    ///
    /// # Safety
    /// `r` comes from a slot (I3).
    #[inline(always)]
    pub(crate) unsafe fn x(self, r: u8) -> u64 {
        // SAFETY: I3, the index is inside the struct of words.
        unsafe { *self.regs.cast::<u64>().add(r as usize) }
    }

    /// # Safety
    /// As [`Cx::x`].
    #[inline(always)]
    pub(crate) unsafe fn set_x(self, r: u8, value: u64) {
        // SAFETY: I3.
        unsafe { *self.regs.cast::<u64>().add(r as usize) = value }
    }

    /// # Safety
    /// As [`Cx::x`].
    #[inline(always)]
    pub(crate) unsafe fn f(self, r: u8) -> u64 {
        // SAFETY: I3, f0 is word 32.
        unsafe { *self.regs.cast::<u64>().add(32 + r as usize) }
    }

    /// # Safety
    /// As [`Cx::x`].
    #[inline(always)]
    pub(crate) unsafe fn set_f(self, r: u8, value: u64) {
        // SAFETY: I3.
        unsafe { *self.regs.cast::<u64>().add(32 + r as usize) = value }
    }

    /// Continues at `op`.
    ///
    /// # Safety
    /// `op` is an operation slot of a live block (I2).
    #[inline(always)]
    pub(crate) unsafe fn go(self, op: *const Slot) -> *const Slot {
        if LOOP_DRIVER {
            op
        } else {
            // SAFETY: I2.
            unsafe { ((*op).handler())(op, self.regs, self.base, self.hart, self.limit) }
        }
    }
}

/// Runs from `op` until the hart stops.
///
/// # Safety
/// I2 for `op`; the pointers are those of a hart inside `run` (I4).
pub(crate) unsafe fn drive(op: *const Slot, cx: Cx) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut op = ((*op).handler())(op, cx.regs, cx.base, cx.hart, cx.limit);
        while LOOP_DRIVER && !op.is_null() {
            op = ((*op).handler())(op, cx.regs, cx.base, cx.hart, cx.limit);
        }
    }
}

/// Declares handlers. The body sees the slot and a [`Cx`].
macro_rules! handler {
    ($(
        $(#[$meta:meta])*
        fn $name:ident $(<$($param:tt $($name2:ident)? : $bound:path),* $(,)?>)? ($op:ident, $cx:ident) $body:block
    )*) => {$(
        $(#[$meta])*
        pub(crate) unsafe fn $name $(<$($param $($name2)? : $bound),*>)? (
            $op: *const $crate::slot::Slot,
            regs: *mut rivix_isa::Registers,
            base: *mut u8,
            hart: *mut $crate::state::HartState,
            limit: u64,
        ) -> *const $crate::slot::Slot {
            let $cx = $crate::exec::Cx { regs, base, hart, limit };
            // SAFETY: a handler is entered only as I2, I3 and I4 say.
            unsafe { $body }
        }
    )*};
}
pub(crate) use handler;
