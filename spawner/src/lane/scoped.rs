//! Calls that borrow from their caller's stack.
//!
//! The caller keeps a frame on its stack, sends a unit that points to it, and
//! sleeps until that unit says that it has done with the frame.
//!
//! - **Invariant C1:** the frame is not left, returned from or unwound through between
//!   the push of the unit and the unit's `tell`. Nothing times out or cancels in
//!   between; a panic there aborts.
//! - **Invariant C2:** the unit touches the frame before its `tell` and never after;
//!   the sleeper it tells is counted, and lives on its own.
//! - **Invariant C3:** the closure is taken out of the frame once, and it and all it
//!   borrows are gone, before the `tell`: run, panicked, or dropped unrun.
//! - **Invariant C4:** each unit tells exactly once: in `run`, or in its drop.

use super::ring::Ring;
use super::sleeper::Sleeper;
use super::slot::Unit;
use super::stream::{self, StreamId};
use crate::panics::{catch, drop_quietly};
use crate::{Outcome, TicketError, current};
use rivix_sync::assert_no_lock_held;
use rivix_sync::sys::{UnsafeCell, mutant};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

struct Frame<F, R> {
    task: UnsafeCell<Option<F>>,
    outcome: UnsafeCell<Option<Outcome<R>>>,
}

struct Call<C, F, R> {
    frame: NonNull<Frame<F, R>>,
    sleeper: ManuallyDrop<Arc<Sleeper>>,
    _context: PhantomData<fn(&C)>,
}

// SAFETY: C1: the frame outlives the unit's use of it; the closure and the
// outcome, which cross threads, are `Send`.
unsafe impl<C, F: Send, R: Send> Send for Call<C, F, R> {}

impl<C, F: FnOnce(&C) -> Outcome<R>, R> Call<C, F, R> {
    /// C3, then C2's last touch.
    fn finish(&mut self, act: impl FnOnce(F) -> Outcome<R>) {
        // SAFETY: C1: the frame is there, and until `tell` it is ours alone.
        let frame = unsafe { self.frame.as_ref() };
        // SAFETY: as above.
        let task = frame.task.with_mut(|task| unsafe { (*task).take() });
        let outcome = match task {
            Some(task) => act(task),
            None => Err(TicketError::Closed),
        };
        let write = |outcome| {
            let cell = &frame.outcome;
            // SAFETY: as above.
            cell.with_mut(|cell| unsafe { *cell = Some(outcome) });
        };
        if mutant("lane-call-early") {
            // The caller may read before this is written.
            self.sleeper.tell();
            write(outcome);
        } else {
            write(outcome);
            self.sleeper.tell();
        }
    }
}

impl<C, F, R> Unit<C> for Call<C, F, R>
where
    F: FnOnce(&C) -> Outcome<R> + Send,
    R: Send,
{
    fn run(self, context: &C, stream: StreamId) {
        let mut this = ManuallyDrop::new(self);
        stream::set(stream);
        this.finish(|task| guarded(|| task(context)));
        // SAFETY: C4: `self` is not dropped otherwise, and not used again.
        unsafe { ManuallyDrop::drop(&mut this.sleeper) };
    }
}

/// A unit that will never run.
impl<C, F, R> Drop for Call<C, F, R> {
    fn drop(&mut self) {
        // SAFETY: C1, as in `finish`.
        let frame = unsafe { self.frame.as_ref() };
        // SAFETY: as above; C3.
        drop_quietly(frame.task.with_mut(|task| unsafe { (*task).take() }));
        frame
            .outcome
            // SAFETY: as above.
            .with_mut(|cell| unsafe { *cell = Some(Err(TicketError::Closed)) });
        self.sleeper.tell();
        // SAFETY: C4: this is its only drop.
        unsafe { ManuallyDrop::drop(&mut self.sleeper) };
    }
}

/// What a call's closure gave, or how it panicked.
pub(super) fn guarded<R>(task: impl FnOnce() -> Outcome<R>) -> Outcome<R> {
    match catch(task) {
        Ok(outcome) => outcome,
        Err(payload) => Err(TicketError::Panicked(payload)),
    }
}

/// Ends the process if the stack is unwound past a frame in use (C1).
struct NoUnwind;

impl Drop for NoUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Runs `task` on the ring's runner and sleeps until it and all its borrows are
/// gone. `Closed`: it was dropped unrun. Not on the runner itself.
pub(super) fn run<C, F, R>(ring: &Ring<C>, task: F) -> Outcome<R>
where
    C: 'static,
    F: FnOnce(&C) -> Outcome<R> + Send,
    R: Send,
{
    assert_no_lock_held("a call to a lane");
    let sleeper = Sleeper::current();
    let frame = Frame {
        task: UnsafeCell::new(Some(task)),
        outcome: UnsafeCell::new(None),
    };
    let call = Call::<C, F, R> {
        frame: NonNull::from(&frame),
        sleeper: ManuallyDrop::new(sleeper.clone()),
        _context: PhantomData,
    };
    // Refused, the unit is dropped here, and tells us just as well.
    drop(ring.push_wait(StreamId::current(), call));
    let no_unwind = NoUnwind;
    {
        let _blocked = current::block();
        sleeper.wait();
    }
    std::mem::forget(no_unwind);
    // SAFETY: C2: told, the frame is ours again.
    let outcome = frame.outcome.with_mut(|cell| unsafe { (*cell).take() });
    outcome.unwrap_or(Err(TicketError::Closed))
}
