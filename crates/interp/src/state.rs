//! What a hart carries besides its registers.

use crate::code::{Owned, Presence};
use crate::program::Attached;
use crate::slot::Slot;
use crate::space::{CodeSpace, Seat};
use rivix_engine::{HartContext, Trap};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Entries of the indirect-branch cache.
pub(crate) const CACHE: usize = 2048;

#[derive(Clone, Copy)]
pub(crate) struct CacheEntry {
    pub(crate) pc: u64,
    pub(crate) op: *const Slot,
}

impl CacheEntry {
    /// An odd pc, which no jump has.
    pub(crate) const EMPTY: CacheEntry = CacheEntry {
        pc: 1,
        op: std::ptr::null(),
    };
}

/// Which translations a hart runs. Links never lead from one to another.
pub(crate) mod variant {
    /// Blocks are basic blocks and count their instructions.
    pub(crate) const FUEL: u8 = 1;
    /// The dynamic rounding mode is one that MXCSR cannot hold.
    pub(crate) const ODD_ROUNDING: u8 = 2;
}

/// The offsets of the first fields are known to landing pads.
#[repr(C)]
pub(crate) struct HartState {
    /// The kick word.
    pub(crate) kick: *const AtomicU32,
    /// Host address and cause of the last bad access, from a landing pad.
    pub(crate) fault_host: u64,
    pub(crate) fault_cause: u64,
    /// Exceptions accrued by paths that do not use MXCSR.
    pub(crate) fflags: u32,
    pub(crate) frm: u32,
    /// The LR reservation: address (odd when there is none) and value.
    pub(crate) reserved: u64,
    pub(crate) reserved_value: u64,
    pub(crate) fuel: u64,
    pub(crate) base: *mut u8,
    /// The window's last byte.
    pub(crate) limit: u64,
    pub(crate) trap: Trap,
    pub(crate) variant: u8,
    pub(crate) wants_fuel: bool,
    pub(crate) cache: [CacheEntry; CACHE],
    /// The generation of `own` that `cache` belongs to.
    pub(crate) seen: u64,
    /// The version of `home` that `own` and `program` are.
    pub(crate) version: u64,
    /// Among the harts of `own`.
    pub(crate) presence: Arc<Presence>,
    pub(crate) own: Arc<Owned>,
    pub(crate) program: Option<Attached>,
    pub(crate) home: Arc<CodeSpace>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) context: HartContext,
}

pub(crate) const OFF_FAULT_HOST: usize = std::mem::offset_of!(HartState, fault_host);
pub(crate) const OFF_FAULT_CAUSE: usize = std::mem::offset_of!(HartState, fault_cause);

#[inline(always)]
pub(crate) fn cache_index(pc: u64) -> usize {
    (pc >> 1) as usize & (CACHE - 1)
}
