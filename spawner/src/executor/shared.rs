//! What the handles, the workers and the fibers of one executor share.
//!
//! - **Invariant S1:** user handles are counted apart: workers and fibers hold
//!   this block, and the block holds nothing whose drop ends them.
//! - **Invariant S2:** of these locks only registry and injector, or ring and
//!   injector, are held together, in that order; none is held over user code.
//! - **Invariant S3:** the phase only goes up: open, draining, closed.

use super::fiber::{Making, Ref, allocate, take_back};
use super::idle::Idle;
use super::join::{Fiber, JoinHandle};
use super::queue::{Queue, RING};
use super::registry::{Locals, Refusal, Registry};
use super::word::Stop;
use super::{Close, SpawnFiberError};
use allocator_api2::alloc::Allocator;
use rivix_sync::sys::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use rivix_sync::sys::mutant;
use rivix_sync::{Mutex, Parker, level, thread_local_var};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(super) const OPEN: u8 = 0;
pub(super) const DRAINING: u8 = 1;
pub(super) const CLOSED: u8 = 2;

/// What others need of one worker.
pub(super) struct Slot {
    /// Fibers anybody may steal; only the worker itself adds.
    pub(super) ring: Queue<Ref>,
    /// Runnable fibers that must not be stolen; anybody adds.
    pub(super) inbox: Queue<Ref>,
    pub(super) locals: Locals,
    pub(super) parker: Parker,
    pub(super) polled: AtomicU64,
    /// Says whether the slot has a worker; changed under the gate's lock.
    pub(super) is_taken: AtomicBool,
}

struct Gate {
    workers: usize,
    waiters: Vec<Arc<Parker>>,
}

pub(super) struct Shared {
    phase: AtomicU8,
    pub(super) injector: Queue<Ref>,
    registry: Registry,
    pub(super) slots: Box<[Slot]>,
    pub(super) idle: Idle,
    gate: Mutex<level::Executor, Gate>,
    /// As in the gate, to look at without its lock.
    pub(super) workers: AtomicU64,
}

/// A worker's thread, while it ticks.
pub(super) struct Own {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: usize,
    /// The fiber being polled.
    pub(super) current: RefCell<Option<Ref>>,
}

thread_local_var! {
    static OWN: RefCell<Option<Rc<Own>>> = RefCell::new(None);
    static HELD: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}

/// This thread ticks a worker from now on; gives whom it ticked before.
pub(super) fn enter(own: Option<Rc<Own>>) -> Option<Rc<Own>> {
    OWN.try_with(|current| current.replace(own)).ok().flatten()
}

/// The worker this thread ticks.
pub(super) fn own() -> Option<Rc<Own>> {
    OWN.try_with(|own| own.borrow().clone()).ok().flatten()
}

/// The fiber this thread polls.
pub(super) fn current_fiber() -> Option<Ref> {
    own()?.current.borrow().clone()
}

/// Notes that this thread has a worker of the executor, or one less.
pub(super) fn hold(shared: &Arc<Shared>, is_more: bool) {
    let key = Arc::as_ptr(shared).addr();
    let _ = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        if is_more {
            held.push(key);
        } else if let Some(place) = held.iter().rposition(|&other| other == key) {
            held.swap_remove(place);
        }
    });
}

/// Has this thread a worker of the executor? Then it must not wait for its end.
fn is_held(shared: &Arc<Shared>) -> bool {
    let key = Arc::as_ptr(shared).addr();
    HELD.try_with(|held| held.borrow().contains(&key))
        .unwrap_or(false)
}

/// Queues a fiber that a wake, or a cancel, made runnable.
pub(super) fn schedule(fiber: Ref) {
    let own = own();
    let own = own
        .as_deref()
        .filter(|own| Arc::ptr_eq(&own.shared, &fiber.shared));
    match (own, fiber.home) {
        (Some(own), None) => own.shared.push_own(own.worker, fiber),
        // The own worker looks into its inbox before it sleeps.
        (Some(own), Some(home)) if own.worker == home => {
            drop(own.shared.slots[home].inbox.push(fiber));
        }
        (_, home) => {
            // The fiber may be gone, and the executor with it, once it is queued.
            let shared = fiber.shared.clone();
            match home {
                Some(home) => shared.push_inbox(home, fiber),
                None => shared.push_injector(fiber),
            }
        }
    }
}

impl Shared {
    pub(super) fn new(most_workers: usize) -> Self {
        Shared {
            phase: AtomicU8::new(OPEN),
            injector: Queue::new(),
            registry: Registry::new(),
            slots: (0..most_workers).map(|_| Slot::new()).collect(),
            idle: Idle::new(most_workers),
            gate: Mutex::new(Gate {
                workers: 0,
                waiters: Vec::new(),
            }),
            workers: AtomicU64::new(0),
        }
    }

    pub(super) fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    pub(super) fn live(&self) -> usize {
        let locals = self.slots.iter().map(|slot| slot.locals.used());
        self.registry.used() + locals.sum::<usize>()
    }

    /// Work was published: wakes a sleeper if one is needed.
    pub(super) fn notify(&self) {
        if let Some(worker) = self.idle.choose() {
            self.slots[worker].parker.unpark();
        }
    }

    /// Is there something that any worker may take?
    pub(super) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.slots.iter().any(|slot| !slot.ring.is_empty())
    }

    /// Is anything queued at all?
    pub(super) fn has_anything(&self) -> bool {
        self.has_work() || self.slots.iter().any(|slot| !slot.inbox.is_empty())
    }

    /// Queues a fiber on the worker this thread ticks.
    pub(super) fn push_own(&self, worker: usize, fiber: Ref) {
        match self.slots[worker].ring.push_ring(fiber, &self.injector) {
            Ok(_) => self.notify(),
            Err(fiber) => drop(fiber),
        }
    }

    /// Queues again the fiber just polled; its worker sees it without a wake.
    pub(super) fn push_again(&self, worker: usize, fiber: Ref) {
        if fiber.home.is_some() {
            drop(self.slots[worker].inbox.push(fiber));
            return;
        }
        match self.slots[worker].ring.push_ring(fiber, &self.injector) {
            Ok(0) => {}
            Ok(_) => self.notify(),
            Err(fiber) => drop(fiber),
        }
    }

    fn push_injector(&self, fiber: Ref) {
        match self.injector.push(fiber) {
            Ok(_) => self.notify(),
            // Closed: the fiber is dropped by whoever closes.
            Err(fiber) => drop(fiber),
        }
    }

    fn push_inbox(&self, worker: usize, fiber: Ref) {
        let slot = &self.slots[worker];
        match slot.inbox.push(fiber) {
            Ok(_) => slot.parker.unpark(),
            Err(fiber) => drop(fiber),
        }
    }

    /// Makes a fiber and queues it. Pinned ones are spawned on their own thread.
    pub(super) fn spawn<F, A>(
        self: &Arc<Self>,
        making: Making<F>,
        allocator: A,
    ) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + 'static,
        A: Allocator + Clone + Send + Sync + 'static,
    {
        if self.phase() != OPEN {
            return Err(SpawnFiberError::Closed(making.future));
        }
        let home = making.home;
        let [registered, queued, joined] = match allocate(self, making, allocator) {
            Ok(references) => references,
            Err(making) => return Err(SpawnFiberError::NoMemory(making.future)),
        };
        let inserted = match home {
            None => self.registry.insert(registered, &self.injector),
            Some(home) => {
                let slot = &self.slots[home];
                slot.locals.insert(registered, home, &slot.inbox)
            }
        };
        if let Err((refusal, registered)) = inserted {
            // SAFETY: nobody else has seen these, the only references; the types are those given to `allocate`.
            let future = unsafe { take_back::<F, A>([registered, queued, joined]) };
            return Err(match refusal {
                Refusal::Closed => SpawnFiberError::Closed(future),
                Refusal::NoMemory => SpawnFiberError::NoMemory(future),
            });
        }
        schedule(queued);
        Ok(JoinHandle::new(joined))
    }

    /// Ends a fiber whose future is gone and whose outcome is in place.
    ///
    /// # Safety
    /// As for [`Ref::complete`].
    pub(super) unsafe fn finish(&self, fiber: &Ref) {
        // SAFETY: the caller's duties.
        unsafe { fiber.complete() };
        let registered = match fiber.home {
            None => self.registry.remove(fiber),
            Some(home) => self.slots[home].locals.remove(fiber),
        };
        drop(registered);
    }

    fn stop_all(&self, fibers: Vec<Ref>) {
        for fiber in fibers {
            if fiber.word.claim() {
                // SAFETY: claimed; pinned ones are listed by their own worker only.
                unsafe {
                    fiber.stop(Stop::Closed);
                    self.finish(&fiber);
                }
            }
        }
    }

    /// Takes a worker's slot; None: there is no free one, or it is too late.
    pub(super) fn take_slot(&self) -> Result<usize, super::NoWorker> {
        let mut gate = self.gate.lock();
        if self.phase() != OPEN {
            return Err(super::NoWorker::Closed);
        }
        let free = |slot: &Slot| !slot.is_taken.load(Ordering::Relaxed);
        let Some(worker) = self.slots.iter().position(free) else {
            return Err(super::NoWorker::Full);
        };
        self.slots[worker].is_taken.store(true, Ordering::Relaxed);
        gate.workers += 1;
        self.workers.store(gate.workers as u64, Ordering::Relaxed);
        drop(gate);
        let slot = &self.slots[worker];
        slot.locals.open();
        if slot.ring.open(RING) && slot.inbox.open(0) {
            return Ok(worker);
        }
        self.leave(worker);
        Err(super::NoWorker::NoMemory)
    }

    /// A worker goes, on its own thread: its pinned fibers end, the others stay
    /// for others.
    pub(super) fn leave(&self, worker: usize) {
        let slot = &self.slots[worker];
        self.stop_all(slot.locals.list(true));
        drop(slot.inbox.shut());
        for fiber in slot.ring.shut() {
            self.push_injector(fiber);
        }
        // While this worker counts, closers wait: what it drops is gone before
        // they return. The phase changes under the gate only.
        let mut is_wound_down = false;
        let is_last = loop {
            let mut gate = self.gate.lock();
            let phase = self.phase();
            let others_drain = phase == DRAINING && gate.workers > 1;
            if phase == OPEN || others_drain || is_wound_down {
                gate.workers -= 1;
                self.workers.store(gate.workers as u64, Ordering::Relaxed);
                slot.is_taken.store(false, Ordering::Relaxed);
                break gate.workers == 0;
            }
            drop(gate);
            self.raise(CLOSED);
            self.wind_down();
            is_wound_down = true;
        };
        if is_last {
            self.last_left();
        }
    }

    /// Nobody is there to drain: what is left is dropped, and closers hear of it.
    fn last_left(&self) {
        if self.phase() != OPEN {
            self.raise(CLOSED);
        }
        self.wind_down();
        let waiters = std::mem::take(&mut self.gate.lock().waiters);
        for waiter in waiters {
            waiter.unpark();
        }
    }

    /// Once closed, drops all that may be dropped on this thread.
    pub(super) fn wind_down(&self) {
        if self.phase() == CLOSED && !mutant("executor-close-forgets") {
            self.stop_all(self.registry.list(true));
            drop(self.injector.shut());
        }
    }

    /// Raises the phase, and has all workers look at it.
    pub(super) fn raise(&self, phase: u8) {
        // Under the gate, so that no worker comes unseen.
        let gate = self.gate.lock();
        if self.phase() < phase {
            self.phase.store(phase, Ordering::Release);
        }
        drop(gate);
        for slot in &self.slots {
            if slot.is_taken.load(Ordering::Relaxed) {
                slot.parker.unpark();
            }
        }
    }

    /// See [`super::Executor::close_until`].
    pub(super) fn close(
        self: &Arc<Self>,
        mode: Close,
        deadline: Option<Instant>,
    ) -> Result<(), Vec<Fiber>> {
        self.raise(match mode {
            Close::Drain => DRAINING,
            Close::Cancel => CLOSED,
        });
        if self.gate.lock().workers == 0 {
            self.last_left();
            return Ok(());
        }
        if is_held(self) {
            // It is this thread that has to finish.
            return Ok(());
        }
        let parker = Arc::new(Parker::new());
        loop {
            {
                let mut gate = self.gate.lock();
                if gate.workers == 0 {
                    return Ok(());
                }
                if !gate.waiters.iter().any(|other| Arc::ptr_eq(other, &parker)) {
                    gate.waiters.push(parker.clone());
                }
            }
            let _blocked = crate::current::block();
            if !parker.park_until(deadline) {
                let mut gate = self.gate.lock();
                gate.waiters.retain(|other| !Arc::ptr_eq(other, &parker));
                drop(gate);
                return Err(self.unfinished());
            }
        }
    }

    /// Fibers that keep a closing executor busy.
    fn unfinished(&self) -> Vec<Fiber> {
        let is_draining = self.phase() != CLOSED;
        let locals = self.slots.iter().flat_map(|slot| slot.locals.list(false));
        let all = self.registry.list(false).into_iter().chain(locals);
        all.filter(|fiber| {
            let word = &fiber.word;
            !word.is_done() && (is_draining || word.is_running())
        })
        .map(Fiber)
        .collect()
    }
}

impl Slot {
    fn new() -> Self {
        Slot {
            ring: Queue::new(),
            inbox: Queue::new(),
            locals: Locals::default(),
            parker: Parker::new(),
            polled: AtomicU64::new(0),
            is_taken: AtomicBool::new(false),
        }
    }
}
