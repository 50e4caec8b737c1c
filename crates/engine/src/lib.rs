//! What every engine offers, and nothing of Linux.
//!
//! A [`CodeObject`] holds one address space's translations; a [`Hart`] is one
//! thread's view of it, and runs guest code until a [`Trap`].
//!
//! **Invariant:** at a trap, pc and every register in [`Registers`] are exactly
//! the architectural ones; pc is that of the trapping instruction, not past it.

use rivix_isa::Registers;
use rivix_mem::AddressSpace;
use std::ops::Range;
use std::sync::Arc;

/// What a memory access wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Load,
    /// Stores, AMOs and SC.
    Store,
    Fetch,
}

/// Which host signal, or check, refused an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Not mapped, no permission, or outside the window.
    Segv,
    /// Mapped, but the file does not reach so far.
    Bus,
}

/// Why a hart stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    Ecall,
    Ebreak,
    /// The encoding, 16 or 32 bits.
    IllegalInstruction(u32),
    /// `addr` is the faulting data address (the first inaccessible byte's page
    /// decides; Linux reports the access's address), or the fetch address.
    MemoryFault {
        addr: u64,
        access: Access,
        kind: FaultKind,
    },
    /// LR, SC or AMO on an address that is not naturally aligned.
    Misaligned {
        addr: u64,
    },
    /// The kick word was set.
    Interrupted,
    /// The instruction budget is used up.
    OutOfFuel,
}

/// One thread of execution. Not shared: made on, and used by, one host thread.
pub trait Hart {
    /// Runs guest code from `registers.pc` until a trap. The lowest bit of that is
    /// taken as 0, as of sepc (the privileged architecture). With `fuel`, at most
    /// about that many instructions run (exact at block granularity) and the
    /// count is reduced by those that did.
    fn run(&mut self, registers: &mut Registers, fuel: Option<&mut u64>) -> Trap;
}

/// What a hart needs of its surroundings.
pub struct HartContext {
    pub space: Arc<AddressSpace>,
    /// Polled at block entries and back-edges.
    pub kick: Arc<rivix_sync::Kick>,
    /// What `rdtime` reads: nanoseconds of the guest's CLOCK_MONOTONIC (timebase 1 GHz).
    pub clock: Arc<dyn Clock>,
}

/// The time the guest sees.
pub trait Clock: Send + Sync {
    fn monotonic_ns(&self) -> u64;
}

/// One address space's translations, used by all its harts.
pub trait CodeObject: Send + Sync {
    fn hart(self: Arc<Self>, context: HartContext) -> Box<dyn Hart>;

    /// Guest code in `range` may have changed (mmap, munmap, mprotect): no hart runs
    /// an old translation of it after it next enters a block. True: not before it
    /// next enters guest code; harts that are there have been kicked.
    fn invalidate(&self, range: Range<u64>) -> bool;

    /// As `invalidate` for all of the address space; translations of code that is
    /// what they were made from may stay.
    fn refresh(&self);

    /// The code object of a copy of the address space.
    fn fork(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject>;
}

/// Makes code objects.
pub trait Engine: Send + Sync {
    fn name(&self) -> &'static str;
    fn code_object(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject>;

    /// The code object of an address space that a program was just loaded into,
    /// and that nobody runs yet. It may begin with what an earlier run of the
    /// same program left.
    fn program_code(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        self.code_object(space)
    }
}
