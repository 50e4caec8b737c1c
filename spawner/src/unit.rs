//! What pools hand to workers.
//!
//! - **Invariant U1:** a unit is in one queue at most, for its [`UnitRef`] is unique;
//!   only that queue's methods, which borrow it mutably, touch the unit's link.
//! - **Invariant U2:** a unit's body belongs to whoever moved its ticket out of
//!   "queued", which one thread does, once.

use crate::panics::{catch, drop_quietly};
use crate::ticket::{Completion, TicketCore};
use crate::{Name, Outcome, TicketError, WorkerContext};
use rivix_sync::sys::UnsafeCell;
use std::sync::Arc;

/// How a unit ended, for its pool's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    Ended,
    Panicked,
    /// Cancelled before it began.
    Stopped,
}

/// Something a worker runs.
pub(crate) trait Unit<C>: Send + Sync {
    /// The thread's name while the unit runs; None: leave it.
    fn name(&self) -> Option<Name>;

    /// Its place in a pool's queue.
    fn link(&self) -> &Link<C>;

    /// Runs on a worker, and keeps panics to itself.
    fn run(self: Arc<Self>, context: &mut C) -> Ran;

    /// Nobody will run it.
    fn refuse(self: Arc<Self>, why: TicketError);

    /// Does it stay queued when the host refuses threads, until one is granted?
    fn waits_for_thread(&self) -> bool {
        false
    }
}

/// A unit's successor in a queue.
pub(crate) struct Link<C>(UnsafeCell<Option<UnitRef<C>>>);

// SAFETY: U1; what is in it may go to other threads.
unsafe impl<C> Sync for Link<C> {}

impl<C> Link<C> {
    pub(crate) fn new() -> Self {
        Link(UnsafeCell::new(None))
    }

    /// Called with the queue borrowed mutably that holds the unit.
    fn replace(&self, next: Option<UnitRef<C>>) -> Option<UnitRef<C>> {
        // SAFETY: U1.
        self.0
            .with_mut(|link| unsafe { std::mem::replace(&mut *link, next) })
    }
}

/// Whoever holds this is responsible for the unit: dropped, it refuses the unit
/// as closed, so that no ticket is left unresolved.
pub(crate) struct UnitRef<C>(Option<Arc<dyn Unit<C>>>);

impl<C> UnitRef<C> {
    pub(crate) fn new(unit: Arc<dyn Unit<C>>) -> Self {
        UnitRef(Some(unit))
    }

    pub(crate) fn name(&self) -> Option<Name> {
        self.0.as_ref()?.name()
    }

    pub(crate) fn waits_for_thread(&self) -> bool {
        self.0.as_ref().is_some_and(|unit| unit.waits_for_thread())
    }

    pub(crate) fn run(mut self, context: &mut C) -> Ran {
        match self.0.take() {
            Some(unit) => unit.run(context),
            None => Ran::Stopped,
        }
    }

    pub(crate) fn refuse(mut self, why: TicketError) {
        if let Some(unit) = self.0.take() {
            unit.refuse(why);
        }
    }

    /// The holder takes the unit apart by other means.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl<C> Drop for UnitRef<C> {
    fn drop(&mut self) {
        if let Some(unit) = self.0.take() {
            unit.refuse(TicketError::Closed);
        }
    }
}

/// A first-in, first-out list through the units' own links: pushing does not
/// allocate. Guarded by its pool's lock.
pub(crate) struct Queue<C> {
    head: Option<UnitRef<C>>,
    tail: Option<Arc<dyn Unit<C>>>,
    len: usize,
    /// Those that stay while the host refuses threads.
    patient: usize,
}

impl<C> Queue<C> {
    pub(crate) fn new() -> Self {
        Queue {
            head: None,
            tail: None,
            len: 0,
            patient: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does somebody here want an answer when the host refuses threads?
    pub(crate) fn has_impatient(&self) -> bool {
        self.len > self.patient
    }

    pub(crate) fn push(&mut self, unit: UnitRef<C>) {
        self.patient += usize::from(unit.waits_for_thread());
        let tail = unit.0.clone();
        match &self.tail {
            Some(last) => {
                let before = last.link().replace(Some(unit));
                debug_assert!(before.is_none(), "the last has no successor");
            }
            None => self.head = Some(unit),
        }
        self.tail = tail;
        self.len += 1;
    }

    pub(crate) fn extend(&mut self, unit: Option<UnitRef<C>>) {
        if let Some(unit) = unit {
            self.push(unit);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<UnitRef<C>> {
        let unit = self.head.take()?;
        self.head = unit.0.as_ref().and_then(|unit| unit.link().replace(None));
        if self.head.is_none() {
            self.tail = None;
        }
        self.len -= 1;
        self.patient -= usize::from(unit.waits_for_thread());
        Some(unit)
    }

    /// Takes one unit out of the middle; None when it is not here.
    pub(crate) fn remove(&mut self, wanted: &Arc<dyn Unit<C>>) -> Option<UnitRef<C>> {
        let mut kept = Queue::new();
        let mut found = None;
        while let Some(unit) = self.pop() {
            if found.is_none()
                && unit
                    .0
                    .as_ref()
                    .is_some_and(|unit| Arc::ptr_eq(unit, wanted))
            {
                found = Some(unit);
            } else {
                kept.push(unit);
            }
        }
        *self = kept;
        found
    }
}

impl<C> Drop for Queue<C> {
    fn drop(&mut self) {
        // One by one: a long list must not be dropped by recursion.
        while self.pop().is_some() {}
    }
}

/// How a closure becomes a result: plainly, or by polling a future.
pub(crate) trait Body<C, R>: Send + 'static {
    fn call(self, context: &mut C) -> R;
}

impl<C, R, F: FnOnce(&mut C) -> R + Send + 'static> Body<C, R> for F {
    fn call(self, context: &mut C) -> R {
        self(context)
    }
}

/// A one-shot closure and its ticket, in one allocation.
pub(crate) struct Work<C, F, R> {
    core: TicketCore<R>,
    body: UnsafeCell<Option<F>>,
    name: Option<Name>,
    link: Link<C>,
}

// SAFETY: U1 and U2; a body may go to other threads, and so may what it gives.
unsafe impl<C, F: Send, R: Send> Sync for Work<C, F, R> {}

impl<C, F, R> Work<C, F, R> {
    pub(crate) fn new(name: Option<Name>, body: F) -> Arc<Self> {
        Arc::new(Work {
            core: TicketCore::new(),
            body: UnsafeCell::new(Some(body)),
            name,
            link: Link::new(),
        })
    }

    /// The closure of a unit that was refused, for its owner.
    pub(crate) fn take_back(&self) -> Option<F> {
        match self.core.stop() {
            // SAFETY: U2, it was stopped here.
            true => unsafe { self.take_body() },
            false => None,
        }
    }

    /// # Safety
    /// The caller has just moved the ticket out of "queued" (U2).
    unsafe fn take_body(&self) -> Option<F> {
        // SAFETY: U2.
        self.body.with_mut(|body| unsafe { (*body).take() })
    }

    fn stop(&self, why: TicketError) -> bool {
        if !self.core.stop() {
            return false;
        }
        // SAFETY: U2, it was stopped here.
        let body = unsafe { self.take_body() };
        drop_quietly(body);
        self.core.resolve(Err(why));
        true
    }
}

impl<C, F, R> Unit<C> for Work<C, F, R>
where
    C: WorkerContext,
    F: Body<C, R>,
    R: Send + 'static,
{
    fn name(&self) -> Option<Name> {
        self.name
    }

    fn link(&self) -> &Link<C> {
        &self.link
    }

    fn run(self: Arc<Self>, context: &mut C) -> Ran {
        if !self.core.begin() {
            return Ran::Stopped;
        }
        // SAFETY: U2, it has begun here.
        let Some(body) = (unsafe { self.take_body() }) else {
            return Ran::Stopped;
        };
        let outcome: Outcome<R> = catch(|| body.call(context)).map_err(TicketError::Panicked);
        let ran = match &outcome {
            Ok(_) => Ran::Ended,
            Err(_) => Ran::Panicked,
        };
        self.core.resolve(outcome);
        ran
    }

    fn refuse(self: Arc<Self>, why: TicketError) {
        self.stop(why);
    }
}

impl<C, F, R> Completion<R> for Work<C, F, R>
where
    C: WorkerContext,
    F: Send + 'static,
    R: Send + 'static,
{
    fn core(&self) -> &TicketCore<R> {
        &self.core
    }

    fn cancel(&self) -> bool {
        self.stop(TicketError::Cancelled)
    }
}
