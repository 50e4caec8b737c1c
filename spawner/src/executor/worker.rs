//! One thread's part of an executor: ticks, stealing, sleep.

use super::builder::Builder;
use super::fiber::Ref;
use super::join::{Fiber, JoinHandle};
use super::shared::{self, CLOSED, DRAINING, Own, Shared};
use super::word::{Begin, Origin, Pause};
use super::{NoWorker, SpawnFiberError};
use futures::task::{ArcWake, LocalFutureObj, LocalSpawn, SpawnError as FuturesSpawnError, waker};
use rivix_sync::sys::atomic::{AtomicBool, Ordering};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Polls of one tick.
const TICK: usize = 256;
/// The injector has its turn every so many, however much is queued locally.
const INJECTOR_TURN: u32 = 61;
/// Rounds over the other workers before giving up.
const ROUNDS: usize = 4;

/// What one [`ExecWorker::tick`] did. Fibers are counted at the poll that
/// follows their spawn or wake, so over all ticks of all workers each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Tick again before sleeping: something is queued for this worker.
    pub has_remaining: bool,
    /// Fibers polled, 256 at most.
    pub polled: usize,
    /// Of these, fibers that completed: never more than `polled`.
    pub completed: usize,
    /// Of these, fibers polled for the first time since they were spawned.
    pub spawned: usize,
    /// Of these, fibers woken while they were not being polled.
    pub woken_external: usize,
    /// Fibers woken, by anybody, while this tick polled them, and queued again.
    pub woken_internal: usize,
}

/// A worker of an executor. It belongs to the thread that made it.
///
/// Drive it with [`ExecWorker::run`], or by hand with [`ExecWorker::tick`]. A
/// worker that exists but is not driven holds up closing. Dropped, it leaves
/// what is queued to the other workers; fibers spawned with `spawn_local` end
/// as closed.
pub struct ExecWorker {
    own: Rc<Own>,
    is_ticking: Cell<bool>,
    /// Counted as a searcher since it was woken.
    is_searching: Cell<bool>,
    turns: Cell<u32>,
    random: Cell<u64>,
    loot: RefCell<Vec<Ref>>,
}

/// A worker's place, which its thread takes when it starts.
pub(super) struct Seat {
    shared: Arc<Shared>,
    worker: usize,
    is_taken: bool,
}

impl Seat {
    pub(super) fn reserve(shared: &Arc<Shared>) -> Result<Self, NoWorker> {
        let worker = shared.take_slot()?;
        Ok(Seat {
            shared: shared.clone(),
            worker,
            is_taken: false,
        })
    }

    /// This thread becomes the worker.
    pub(super) fn occupy(mut self) -> ExecWorker {
        self.is_taken = true;
        shared::hold(&self.shared, true);
        ExecWorker {
            own: Rc::new(Own {
                shared: self.shared.clone(),
                worker: self.worker,
                current: RefCell::new(None),
            }),
            is_ticking: Cell::new(false),
            is_searching: Cell::new(false),
            turns: Cell::new(0),
            random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ (self.worker as u64 + 1) << 20),
            loot: RefCell::new(Vec::with_capacity(super::queue::RING)),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_taken {
            self.shared.leave(self.worker);
        }
    }
}

/// Undoes what [`ExecWorker::tick`] set up on the thread.
struct Entered<'a> {
    worker: &'a ExecWorker,
    before: Option<Rc<Own>>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.worker.is_ticking.set(false);
        shared::enter(self.before.take());
    }
}

impl ExecWorker {
    fn shared(&self) -> &Arc<Shared> {
        &self.own.shared
    }

    fn slot(&self) -> &shared::Slot {
        &self.shared().slots[self.own.worker]
    }

    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(self.shared(), shared)
    }

    /// Which of the executor's workers it is.
    pub fn index(&self) -> usize {
        self.own.worker
    }

    /// Has the executor closed, so that this worker polls nothing more?
    pub fn is_closed(&self) -> bool {
        self.shared().phase() == CLOSED
    }

    /// The fiber this worker polls at this moment; None between polls.
    pub fn current_task(&self) -> Option<Fiber> {
        self.own.current.borrow().clone().map(Fiber)
    }

    /// Spawns a future that stays on this worker: it need not be Send and is
    /// never stolen.
    ///
    /// # Errors
    /// The executor is closed, or there is no memory; the future comes back.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> Result<JoinHandle<F::Output>, SpawnFiberError<F>>
    where
        F: Future + 'static,
    {
        self.builder().spawn_local(self, future)
    }

    /// A builder for fibers of this worker's executor.
    #[track_caller]
    pub fn builder(&self) -> Builder {
        Builder::new(self.shared().clone())
    }

    /// Polls fibers until 256 were polled or none is found, here or at others.
    /// Within a fiber of this very worker it does nothing.
    pub fn tick(&self) -> Tick {
        let mut tick = Tick::default();
        if self.is_ticking.replace(true) {
            return tick;
        }
        let _entered = self.enter();
        for _ in 0..TICK {
            if self.is_closed() {
                break;
            }
            let Some(fiber) = self.next() else { break };
            self.turn(fiber, &mut tick);
        }
        if self.is_searching.replace(false)
            && self.shared().idle.stop_search()
            && self.shared().has_work()
        {
            // Came after this search looked: nobody else may have been told.
            tick.has_remaining = true;
        }
        let slot = self.slot();
        let polled = slot.polled.load(Ordering::Relaxed) + tick.polled as u64;
        slot.polled.store(polled, Ordering::Relaxed);
        tick.has_remaining |= !slot.ring.is_empty() || !slot.inbox.is_empty();
        tick.has_remaining &= !self.is_closed();
        tick
    }

    /// This thread ticks this worker, until the guard is dropped.
    fn enter(&self) -> Entered<'_> {
        Entered {
            worker: self,
            before: shared::enter(Some(self.own.clone())),
        }
    }

    /// The next fiber, from wherever it comes.
    fn next(&self) -> Option<Ref> {
        let fiber = self.queued().or_else(|| {
            if self.search() {
                self.slot().ring.pop()
            } else {
                None
            }
        })?;
        if self.is_searching.replace(false)
            && self.shared().idle.stop_search()
            && self.shared().has_work()
        {
            // The searcher that finds work wakes the next.
            self.shared().notify();
        }
        Some(fiber)
    }

    /// The next of the own queues; every 61st time, the injector's, or one is given there.
    fn queued(&self) -> Option<Ref> {
        let turn = self.turns.get().wrapping_add(1);
        self.turns.set(turn);
        let slot = self.slot();
        if turn.is_multiple_of(INJECTOR_TURN) {
            let fiber = match (turn / INJECTOR_TURN).is_multiple_of(2) {
                true => self.pass_on(),
                false => self.shared().injector.pop(),
            };
            if fiber.is_some() {
                return fiber;
            }
        }
        let (first, second) = if turn.is_multiple_of(2) {
            (&slot.ring, &slot.inbox)
        } else {
            (&slot.inbox, &slot.ring)
        };
        first.pop().or_else(|| second.pop())
    }

    /// Gives a fiber of a long ring to whoever asks the injector next; it comes
    /// back when that is closed. Fibers that are always ready never leave a ring
    /// empty: without this those that were dealt unevenly, or to a slower worker,
    /// would get fewer turns for good.
    fn pass_on(&self) -> Option<Ref> {
        let shared = self.shared();
        let ring = &self.slot().ring;
        if shared.workers.load(Ordering::Relaxed) <= 1 || ring.len() < 2 {
            return shared.injector.pop();
        }
        shared.injector.push(ring.pop()?).err()
    }

    /// Fills the empty ring from the injector, or from another worker's ring.
    fn search(&self) -> bool {
        let shared = self.shared();
        let workers = shared.workers.load(Ordering::Relaxed) as usize;
        let own = &self.slot().ring;
        let refill = || {
            // A fair part, so that the other workers find some too.
            let part = shared.injector.len().div_ceil(workers.max(1));
            shared.injector.refill(own, part.max(1)) > 0
        };
        if refill() {
            return true;
        }
        if workers <= 1 {
            return false;
        }
        if !self.is_searching.get() {
            if !shared.idle.start_search(workers) {
                return false;
            }
            self.is_searching.set(true);
        }
        let mut loot = self.loot.borrow_mut();
        for round in 1..=ROUNDS {
            // A busy ring is skipped, but not for ever: whoever put something
            // there may have told this worker alone, and is not asked again.
            let must_wait = round == ROUNDS;
            let count = shared.slots.len();
            let start = self.random_below(count);
            for step in 0..count {
                let victim = (start + step) % count;
                if victim == self.own.worker {
                    continue;
                }
                if shared.slots[victim].ring.steal_half(&mut loot, must_wait) > 0 {
                    own.take_in(&mut loot);
                    return true;
                }
            }
            if !shared.has_work() {
                break;
            }
        }
        refill()
    }

    fn random_below(&self, count: usize) -> usize {
        // xorshift64: good enough to spread thieves.
        let mut word = self.random.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        self.random.set(word);
        ((u128::from(word) * count as u128) >> 64) as usize
    }

    /// One fiber's turn.
    fn turn(&self, fiber: Ref, tick: &mut Tick) {
        let shared = self.shared();
        match fiber.word.begin() {
            Begin::Stale => return,
            Begin::Stop(stop) => {
                // SAFETY: `begin` gave the future; pinned fibers are in their own worker's inbox only.
                unsafe {
                    fiber.stop(stop);
                    shared.finish(&fiber);
                }
                return;
            }
            Begin::Poll(Origin::Spawned) => tick.spawned += 1,
            Begin::Poll(Origin::WokenOutside) => tick.woken_external += 1,
            Begin::Poll(Origin::WokenInPoll) => {}
        }
        tick.polled += 1;
        self.own.current.replace(Some(fiber.clone()));
        // SAFETY: as above.
        let polled = unsafe { fiber.poll() };
        let current = self.own.current.take();
        drop(current);
        if polled.is_ready() {
            tick.completed += 1;
            // SAFETY: the poll left the outcome.
            unsafe { shared.finish(&fiber) };
            return;
        }
        match fiber.word.pause() {
            Pause::Idle => {}
            Pause::Again => {
                tick.woken_internal += 1;
                shared.push_again(self.own.worker, fiber);
            }
            Pause::Stop(stop) => {
                // SAFETY: `pause` left the future here.
                unsafe {
                    fiber.stop(stop);
                    shared.finish(&fiber);
                }
            }
        }
    }

    /// Sleeps until there is something to do, or somebody unparks this worker.
    fn sleep(&self) {
        let shared = self.shared();
        let slot = self.slot();
        let registered = shared.idle.register(self.own.worker);
        let must_stay = shared.phase() == CLOSED
            || !slot.inbox.is_empty()
            || registered.must_stay(|| shared.has_work());
        if !must_stay {
            let workers = shared.workers.load(Ordering::Relaxed) as usize;
            if shared.phase() == DRAINING
                && registered.sleepers >= workers
                && !shared.has_anything()
            {
                // Everybody sleeps and nothing is queued: it is drained.
                shared.raise(CLOSED);
            } else {
                slot.parker.park();
            }
        }
        if !shared.idle.unregister(self.own.worker) {
            self.is_searching.set(true);
        }
    }

    /// Ticks and sleeps until the executor is closed. Within a fiber of this
    /// very worker it returns at once.
    pub fn run(&self) {
        if self.is_ticking.get() {
            return;
        }
        while !self.is_closed() {
            if !self.tick().has_remaining {
                self.sleep();
            }
        }
        self.shared().wind_down();
    }

    /// As [`ExecWorker::run`], and polls `future`, which is the first to be
    /// polled between two ticks. None: closed before it was ready.
    pub(super) fn run_until<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let main = Arc::new(Main {
            is_woken: AtomicBool::new(true),
            shared: self.shared().clone(),
            worker: self.own.worker,
        });
        let waker = waker(main.clone());
        let mut context = Context::from_waker(&waker);
        while !self.is_closed() {
            if main.is_woken.swap(false, Ordering::AcqRel) {
                let _entered = self.enter();
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Some(output);
                }
            }
            if !self.tick().has_remaining && !main.is_woken.load(Ordering::Acquire) {
                self.sleep();
            }
        }
        self.shared().wind_down();
        None
    }
}

impl Drop for ExecWorker {
    fn drop(&mut self) {
        if self.is_searching.get() && self.shared().idle.stop_search() && self.shared().has_work() {
            self.shared().notify();
        }
        self.shared().leave(self.own.worker);
        shared::hold(self.shared(), false);
    }
}

impl LocalSpawn for ExecWorker {
    fn spawn_local_obj(
        &self,
        future: LocalFutureObj<'static, ()>,
    ) -> Result<(), FuturesSpawnError> {
        match self.spawn_local(future) {
            Ok(handle) => {
                handle.detach();
                Ok(())
            }
            Err(_) => Err(FuturesSpawnError::shutdown()),
        }
    }

    fn status_local(&self) -> Result<(), FuturesSpawnError> {
        if self.shared().phase() == shared::OPEN {
            Ok(())
        } else {
            Err(FuturesSpawnError::shutdown())
        }
    }
}

impl std::fmt::Debug for ExecWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecWorker")
            .field("index", &self.own.worker)
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

/// The waker of `run`'s own future. The permit stays if the worker is awake.
struct Main {
    is_woken: AtomicBool,
    shared: Arc<Shared>,
    worker: usize,
}

impl ArcWake for Main {
    fn wake_by_ref(main: &Arc<Self>) {
        main.is_woken.store(true, Ordering::Release);
        main.shared.slots[main.worker].parker.unpark();
    }
}
