//! The unit of translated code.

use crate::state::HartState;
use rivix_isa::Registers;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Runs one slot (or several, when fused) and then the next; a null result
/// means that the hart stopped and its trap is in [`HartState`].
///
/// Arguments are the whole hot state, so that they stay in host registers from
/// handler to handler.
pub(crate) type Handler = unsafe fn(
    op: *const Slot,
    regs: *mut Registers,
    base: *mut u8,
    hart: *mut HartState,
    limit: u64,
) -> *const Slot;

/// One operation, or the data words that follow one.
///
/// A branch takes two: the operation, then a link whose `head` is the slot to
/// continue at and whose operand word is the guest pc of the target.
#[repr(C, align(16))]
pub(crate) struct Slot {
    /// The handler; in a link, the target slot. Other threads patch it.
    head: AtomicPtr<()>,
    pub(crate) args: Args,
}

/// Operands, already extracted. `rd` is [`SINK`] where the instruction names x0.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Args {
    pub(crate) rd: u8,
    pub(crate) rs1: u8,
    pub(crate) rs2: u8,
    /// rs3, a rounding mode, or another small operand.
    pub(crate) aux: u8,
    pub(crate) imm: i32,
}

/// Where results for x0 go: the place of pc, which is written only at traps.
pub(crate) const SINK: u8 = 64;

impl Args {
    /// An `rd` and a signed 56-bit constant.
    pub(crate) fn wide(rd: u8, value: i64) -> Self {
        let word = (value as u64) << 8 | u64::from(rd);
        let b = word.to_le_bytes();
        Args {
            rd: b[0],
            rs1: b[1],
            rs2: b[2],
            aux: b[3],
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The constant of [`Args::wide`].
    #[inline(always)]
    pub(crate) fn constant(&self) -> i64 {
        // SAFETY: I1, eight plain bytes at an eight-byte boundary.
        let word = unsafe { *std::ptr::from_ref(self).cast::<i64>() };
        word >> 8
    }
}

impl Slot {
    pub(crate) fn new(handler: Handler, args: Args) -> Self {
        Slot {
            head: AtomicPtr::new(handler as *mut ()),
            args,
        }
    }

    /// A link to the guest address `pc`, not yet bound.
    pub(crate) fn link(pc: u64) -> Self {
        Slot {
            head: AtomicPtr::new(std::ptr::null_mut()),
            args: Args::wide(0, pc as i64),
        }
    }

    #[inline(always)]
    pub(crate) fn handler(&self) -> Handler {
        // SAFETY: I2, the head of an operation slot is always a `Handler`.
        unsafe { std::mem::transmute::<*mut (), Handler>(self.head.load(Ordering::Relaxed)) }
    }

    pub(crate) fn set_handler(&self, handler: Handler) {
        self.head.store(handler as *mut (), Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn target(&self) -> *const Slot {
        self.head.load(Ordering::Relaxed).cast()
    }

    pub(crate) fn bind(&self, target: *const Slot) {
        self.head.store(target.cast_mut().cast(), Ordering::Release);
    }
}
