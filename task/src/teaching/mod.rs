//! The processes of teaching kernels: what they have that Linux's have not.
//!
//! The kernels of the rCore and uCore tutorials number a process's threads by the
//! slot of their stack, keep an ended thread until it is waited for, and make
//! mutexes, semaphores and condition variables in the kernel. A process of such a
//! personality has a [`Teaching`]; its threads are tasks as all others, its memory,
//! files and children are the same as a Linux process's.
//!
//! **Invariant:** a process that was started as a Linux program has no `Teaching`,
//! and nothing here is reached by it.
//!
//! **Invariant:** no thread sleeps with the state's lock held. Who hands something
//! over writes that down first, under the lock, and wakes after; so no wake is lost.

mod current;
mod deadlock;
mod objects;
mod slots;

pub(crate) use current::entry_registers;
pub use objects::MAX_OBJECTS;
pub use slots::{GUARD_BYTES, Joined, MAX_SLOTS, STACK_BYTES, stack_area};

use crate::group::ThreadGroup;
use objects::{Objects, Waiting};
use rivix_abi::Signal;
use rivix_sync::{Mutex, level};
use slots::Slots;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Whose system calls a process makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// Linux's.
    #[default]
    Linux,
    /// Those of the kernel of the rCore tutorial, which is written in Rust.
    Rcore,
    /// Those of the kernel of the uCore tutorial, which is written in C.
    Ucore,
}

impl Abi {
    pub const ALL: [Abi; 3] = [Abi::Linux, Abi::Rcore, Abi::Ucore];

    pub fn name(self) -> &'static str {
        match self {
            Abi::Linux => "linux",
            Abi::Rcore => "rcore",
            Abi::Ucore => "ucore",
        }
    }

    pub fn is_teaching(self) -> bool {
        self != Abi::Linux
    }
}

/// Signals that a process of a teaching kernel ignores from its start: a pipe
/// without a reader is an error there, not the end of the writer.
pub(crate) const IGNORED: u64 = Signal::SIGPIPE.bit();

/// What ends a process of a teaching kernel at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A load, a store or a jump to where it may not go.
    Memory,
    /// An instruction that there is not, or not for programs.
    Instruction,
}

impl Fault {
    /// The exit code of a process that it ends. The rCore tutorial's kernel has
    /// signals for them in its chapter on threads, the uCore tutorial's has numbers.
    pub(crate) fn exit_code(self, abi: Abi) -> i32 {
        match (abi, self) {
            (Abi::Ucore, Fault::Memory) => -2,
            (Abi::Ucore, Fault::Instruction) => -3,
            (_, Fault::Memory) => -i32::from(Signal::SIGSEGV.number()),
            (_, Fault::Instruction) => -i32::from(Signal::SIGILL.number()),
        }
    }
}

/// How many calls by number a process is told of itself.
pub const COUNTED_CALLS: usize = 500;

/// What a process of a teaching kernel has beyond a Linux process.
pub struct Teaching {
    abi: Abi,
    /// The code given to exit, whole: the status that wait(2) tells has eight bits.
    exit_code: AtomicI32,
    calls: Box<[AtomicU32]>,
    state: Mutex<level::Teaching, State>,
}

#[derive(Default)]
struct State {
    slots: Slots,
    objects: Objects,
}

/// Where a thread goes on whose call was interrupted half-way, by a stop: the call
/// is made again, and must not begin anew.
enum Resume {
    /// It waits for this; a condition's waiter spins for the mutex after it.
    Parked(Arc<Waiting>, Option<usize>),
    /// It spins for this mutex.
    Spinning(usize),
    /// It sleeps until this time of CLOCK_MONOTONIC, in nanoseconds.
    Sleeping(i128),
}

impl Teaching {
    /// That of a new process, with thread 0.
    pub(crate) fn new(abi: Abi) -> Teaching {
        Teaching {
            abi,
            exit_code: AtomicI32::new(0),
            calls: (0..COUNTED_CALLS).map(|_| AtomicU32::new(0)).collect(),
            state: Mutex::default(),
        }
    }

    /// That of a child whose one thread is a copy of the thread `slot`: thread 0
    /// there, on a stack that stays the copied one's.
    pub(crate) fn forked(&self, slot: u32) -> Teaching {
        let stack = self.state.lock().slots.stack_of(slot);
        let child = Teaching::new(self.abi);
        child.state.lock().slots.keep_stack(stack);
        child
    }

    /// A new program: thread 0, no mutex or its like, nothing counted.
    pub(crate) fn begin_program(&self) {
        let old = std::mem::take(&mut *self.state.lock());
        drop(old);
        for count in &self.calls {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub fn abi(&self) -> Abi {
        self.abi
    }

    /// Counts a call that is made.
    pub fn count_call(&self, number: u64) {
        let at = usize::try_from(number).ok();
        if let Some(count) = at.and_then(|at| self.calls.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls made so far, by number.
    pub fn calls(&self) -> impl Iterator<Item = u32> {
        self.calls.iter().map(|count| count.load(Ordering::Relaxed))
    }

    /// A thread has ended and has let go of all it had.
    pub(crate) fn thread_ended(&self, slot: u32) {
        let mut state = self.state.lock();
        state.slots.ended(slot);
        state.objects.forget_thread(slot);
    }

    pub(crate) fn exit_code(&self) -> i32 {
        self.exit_code.load(Ordering::Acquire)
    }
}

impl ThreadGroup {
    /// Makes the process one of a teaching kernel, before anyone knows it.
    pub(crate) fn begin_teaching(&self, teaching: Teaching) {
        // A second time would be a defect of the maker's; the first holds.
        let _ = self.teaching.set(teaching);
    }

    /// None: a Linux process.
    pub fn teaching(&self) -> Option<&Teaching> {
        self.teaching.get()
    }

    pub fn abi(&self) -> Abi {
        self.teaching().map_or(Abi::Linux, Teaching::abi)
    }

    /// Ends the process with a code of 32 bits, unless it is ending already.
    pub(crate) fn end_teaching(&self, code: i32) {
        let is_first = self.begin_exit(crate::ExitStatus::Code(code as u8));
        if let Some(teaching) = self.teaching().filter(|_| is_first) {
            // Read when the process is dead, which this thread's end precedes.
            teaching.exit_code.store(code, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
