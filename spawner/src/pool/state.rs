//! A pool's bookkeeping: what its lock guards.
//!
//! - **Invariant P1:** `idle` holds parked workers exactly; at every unlock its
//!   length is at most `max_idle`.
//! - **Invariant P2:** taking a worker off `idle`, under the lock, is the one
//!   commit point of both dispatch and retirement.
//! - **Invariant P3:** when more units are queued than workers are called, no
//!   worker is idle, and somebody will take them: a running worker, one that is
//!   starting, or the creator, which was asked and asks again after a pause.
//! - **Invariant P4:** `live` = idle + resting rescuer + running + starting + retiring.
//! - **Invariant P5:** `blocked` counts running workers only, each once.
//! - **Invariant P6:** `called` counts workers that were idle and are on their way
//!   to look at the queue, each once; they count as running. As many units at the
//!   head of the queue wait for no other unit to end: a worker that is free sooner
//!   may take one, and then the called worker serves the next that comes.

use super::worker::{Newborn, Worker};
use crate::WorkerContext;
use crate::unit::{Queue, UnitRef};
use rivix_sync::Parker;
use rivix_sync::sys::mutant;
use rivix_sync::sys::thread::JoinHandle;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// No new units; queued ones run.
    Draining,
    /// No new units; queued ones are refused.
    Cancelling,
}

pub(crate) struct State<C: WorkerContext> {
    pub(crate) phase: Phase,
    /// Parked workers; the last one parked is the first one used, so that those
    /// nobody needs grow old at the front.
    pub(crate) idle: VecDeque<Arc<Worker<C>>>,
    pub(crate) queue: Queue<C>,
    /// A rescue pool's ready worker, while it rests.
    pub(crate) rescuer: Option<Arc<Worker<C>>>,
    /// The rescuer ended, and the pool is owed another.
    pub(crate) lacks_rescuer: bool,
    pub(crate) running: usize,
    pub(crate) starting: usize,
    /// Those of `starting` that were made without a unit.
    pub(crate) hungry: usize,
    pub(crate) retiring: usize,
    /// Those of `running` that sleep on other people's work.
    pub(crate) blocked: usize,
    /// Those of `running` that were woken to look at the queue and have not yet.
    pub(crate) called: usize,
    /// The creator has been asked, and has not answered yet.
    pub(crate) is_asked: bool,
    pub(crate) backoff: Backoff,
    /// Every worker that has begun and not retired, by id.
    pub(crate) roster: BTreeMap<u64, Arc<Worker<C>>>,
    pub(crate) next_id: u64,
    /// Threads asked for with a unit, and not begun.
    pub(crate) births: VecDeque<Arc<Newborn<C>>>,
    /// Retired threads that nobody has joined yet, [`MOST_DEAD`] at most.
    pub(crate) dead: VecDeque<JoinHandle<()>>,
    /// Threads at their end that nobody has joined: what the models check.
    #[cfg(rivix_model)]
    pub(crate) unjoined: usize,
    /// Who waits for the last worker.
    pub(crate) closers: Vec<Arc<Parker>>,
    /// One of them joins the last worker.
    pub(crate) is_joining: bool,
    pub(crate) counts: Counts,
}

/// Threads at their end that wait to be joined by the next ones. With one, each
/// would wait for the whole end of the one before; the oldest of several has
/// ended long since.
pub(crate) const MOST_DEAD: usize = if cfg!(rivix_model) { 1 } else { 8 };

/// What only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) units: u64,
    pub(crate) refused: u64,
    pub(crate) panics: u64,
    pub(crate) fallbacks: u64,
    pub(crate) peak_idle: usize,
    pub(crate) peak_live: usize,
}

/// When the host may be asked for a thread again.
#[derive(Default)]
pub(crate) struct Backoff {
    pause: Option<Duration>,
    until: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn refused(&mut self) -> Instant {
        let pause = self
            .pause
            .map_or(Self::FIRST, |pause| (pause * 2).min(Self::LONGEST));
        self.pause = Some(pause);
        let until = Instant::now() + pause;
        self.until = Some(until);
        until
    }

    pub(crate) fn granted(&mut self) {
        *self = Backoff::default();
    }

    /// Not yet: when.
    pub(crate) fn wait(&self) -> Option<Instant> {
        self.until.filter(|until| Instant::now() < *until)
    }
}

/// What a worker does next.
pub(crate) enum Step<C: WorkerContext> {
    Run(UnitRef<C>),
    /// The unit of a thread that has not begun yet, whose spawner is told.
    TakeOver(UnitRef<C>, Arc<Newborn<C>>),
    Park,
    Rest,
    Retire,
}

impl<C: WorkerContext> State<C> {
    pub(crate) fn new() -> Self {
        State {
            phase: Phase::Open,
            idle: VecDeque::new(),
            queue: Queue::new(),
            rescuer: None,
            lacks_rescuer: false,
            running: 0,
            starting: 0,
            hungry: 0,
            retiring: 0,
            blocked: 0,
            called: 0,
            is_asked: false,
            backoff: Backoff::default(),
            roster: BTreeMap::new(),
            next_id: 0,
            births: VecDeque::new(),
            dead: VecDeque::new(),
            #[cfg(rivix_model)]
            unjoined: 0,
            closers: Vec::new(),
            is_joining: false,
            counts: Counts::default(),
        }
    }

    pub(crate) fn live(&self) -> usize {
        let resting = usize::from(self.rescuer.is_some());
        self.idle.len() + resting + self.running + self.starting + self.retiring
    }

    /// Workers that count against the cap.
    pub(crate) fn active(&self) -> usize {
        (self.idle.len() + self.running + self.starting).saturating_sub(self.blocked)
    }

    /// Is there room for one more under `cap`?
    pub(crate) fn has_room(&self, cap: Option<usize>) -> bool {
        cap.is_none_or(|cap| self.active() < cap)
    }

    /// Will some worker come back to look at the queue?
    pub(crate) fn has_taker(&self) -> bool {
        self.running > self.blocked || self.starting > 0
    }

    /// Takes an idle worker for a unit: it runs from now on.
    pub(crate) fn take_idle(&mut self) -> Option<Arc<Worker<C>>> {
        let worker = self.idle.pop_back()?;
        self.running += 1;
        Some(worker)
    }

    /// Queues `unit` for a worker that is on its way, or for an idle one, which
    /// the caller then calls. The unit comes back when there is neither.
    pub(crate) fn hand(&mut self, unit: UnitRef<C>) -> Result<Option<Arc<Worker<C>>>, UnitRef<C>> {
        let called = match self.queue.len() < self.called {
            true => None,
            false => match self.take_idle() {
                None => return Err(unit),
                Some(worker) => {
                    self.called += 1;
                    Some(worker)
                }
            },
        };
        self.queue.push(unit);
        Ok(called)
    }

    /// A thread is about to be made.
    pub(crate) fn begin_birth(&mut self, is_hungry: bool) -> u64 {
        self.starting += 1;
        self.hungry += usize::from(is_hungry);
        self.counts.peak_live = self.counts.peak_live.max(self.live());
        self.next_id += 1;
        self.next_id
    }

    /// The thread was not made.
    pub(crate) fn end_birth(&mut self, is_hungry: bool) {
        self.starting -= 1;
        self.hungry -= usize::from(is_hungry);
    }

    /// Threads to make for the queue and the spares.
    pub(crate) fn wanted(&self, spare: usize) -> usize {
        let spare = if self.phase == Phase::Open { spare } else { 0 };
        (self.queue.len() + spare).saturating_sub(self.idle.len() + self.hungry + self.called)
    }

    /// Are there fewer ready workers than `spare`?
    pub(crate) fn lacks_spares(&self, spare: usize) -> bool {
        self.phase == Phase::Open && self.idle.len() + self.hungry < spare
    }

    /// Are units queued that no worker will come for by itself?
    pub(crate) fn is_stranded(&self) -> bool {
        !self.queue.is_empty() && !self.has_taker()
    }

    /// A running worker has nothing to do: what now? `is_called`: it was idle, and
    /// was called for a unit.
    pub(crate) fn next(
        &mut self,
        worker: &Arc<Worker<C>>,
        limits: Limits,
        is_called: bool,
    ) -> Step<C> {
        if !mutant("pool-call-uncounted") {
            self.called -= usize::from(is_called);
        }
        // A thread that waited gave its place away and got it back: one too many.
        // One that was called serves its unit first.
        let is_surplus = !is_called && limits.cap.is_some_and(|cap| self.active() > cap);
        let must_go = is_surplus && self.running > self.blocked + 1;
        let may_stay = !worker.is_spoiled() && !must_go;
        if may_stay && let Some(unit) = self.queue.pop() {
            return Step::Run(unit);
        }
        if may_stay && let Some((unit, newborn)) = self.take_over() {
            return Step::TakeOver(unit, newborn);
        }
        self.running -= 1;
        let is_open = self.phase == Phase::Open;
        if worker.is_rescuer() && is_open {
            // The rescuer goes to rest even when there is one worker too many.
            if !worker.is_spoiled() {
                self.rescuer = Some(worker.clone());
                return Step::Rest;
            }
            self.lacks_rescuer = true;
        } else if may_stay && is_open && self.idle.len() < limits.max_idle {
            self.idle.push_back(worker.clone());
            self.counts.peak_idle = self.counts.peak_idle.max(self.idle.len());
            return Step::Park;
        }
        self.retiring += 1;
        Step::Retire
    }

    /// The unit of a thread that has not begun: a worker that is free now is
    /// sooner there, and may save the thread.
    fn take_over(&mut self) -> Option<(UnitRef<C>, Arc<Newborn<C>>)> {
        while let Some(newborn) = self.births.pop_front() {
            if let Some(unit) = newborn.give_up_unit() {
                return Some((unit, newborn));
            }
        }
        None
    }

    /// A thread that retires leaves its handle, and takes one that must be
    /// joined for it.
    pub(crate) fn exchange_dead(&mut self, own: JoinHandle<()>) -> Option<JoinHandle<()>> {
        self.dead.push_back(own);
        if self.dead.len() <= MOST_DEAD {
            return None;
        }
        self.dead.pop_front()
    }

    /// A parked worker's time is up; true: it is off the list and retires.
    pub(crate) fn time_out(&mut self, worker: &Arc<Worker<C>>, spare: usize) -> bool {
        if self.idle.len() <= spare {
            return false;
        }
        let Some(at) = self.idle.iter().position(|idle| Arc::ptr_eq(idle, worker)) else {
            return false;
        };
        self.idle.remove(at);
        self.retiring += 1;
        true
    }

    /// Is nothing left to wait for?
    pub(crate) fn is_over(&self) -> bool {
        self.phase != Phase::Open && self.live() == 0 && self.queue.is_empty()
    }
}

/// The bounds that decide over a worker's next step.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_idle: usize,
    pub(crate) cap: Option<usize>,
}
