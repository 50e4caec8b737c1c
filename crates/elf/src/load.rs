//! The second half of an execve: a prepared program put into a fresh address
//! space.

use crate::auxv::{AuxInputs, AuxProgram, Auxv};
use crate::error::{LoadError, Problem};
use crate::file::{self, ExecFile};
use crate::image::{Image, Placement, Segment};
use crate::prepare::Prepared;
use crate::stack::{self, Content};
use crate::vdso;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, page_ceil};
use rivix_mem::AddressSpace;
use std::ops::Range;

/// The stack's first size beyond its content; it grows on demand.
const STACK_SLACK: u64 = 128 << 10;

/// A loaded program: where it starts, and what /proc shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The first pc: the interpreter's entry, or the program's.
    pub entry: u64,
    /// The first stack pointer. Every other register starts as zero.
    pub sp: u64,
    pub brk_start: u64,
    pub vdso: u64,
    /// What ra holds when a signal handler is entered.
    pub sigreturn: u64,
    pub load_bias: u64,
    pub code: Range<u64>,
    pub data: Range<u64>,
    pub arguments: Range<u64>,
    pub environment: Range<u64>,
    /// /proc/self/auxv.
    pub auxv: Vec<u8>,
}

/// Puts a prepared program into `mm`, which must be fresh.
pub fn commit(
    prepared: &Prepared,
    mm: &AddressSpace,
    inputs: &AuxInputs,
) -> Result<Loaded, LoadError> {
    todo!()
}

/// [`prepare`](crate::prepare()) and [`commit`].
pub fn load(
    request: crate::LoadRequest<'_>,
    mm: &AddressSpace,
    inputs: &AuxInputs,
) -> Result<Loaded, LoadError> {
    commit(&crate::prepare(request)?, mm, inputs)
}
