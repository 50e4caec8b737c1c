//! Pools: workers of one kind, and who may have them.

#[cfg(all(test, rivix_loom))]
mod bare;
mod close;
mod registry;
mod shared;
mod state;
mod worker;

pub use close::{Close, Stuck};
pub use registry::{PoolKey, Pools};
pub(crate) use shared::{Shared, Why};

use crate::creator::Creator;
use crate::ticket::{Completion, Ticket};
use crate::unit::{Body, Unit, UnitRef, Work};
use crate::{Class, Name, NoContext, SpawnError, TicketError, WorkerContext};
use nix::errno::Errno;
use rivix_sync::Mutex;
use rivix_sync::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use shared::Refusal;
use state::State;
use std::sync::Arc;
use std::time::Duration;
use worker::{Acceptance, Newborn, StartError};

/// What a full pool does with one more unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Full {
    /// It waits its turn.
    #[default]
    Queue,
    /// It comes back as [`SpawnError::Full`].
    Refuse,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: Name,
    pub(crate) class: Class,
    pub(crate) cpu: Option<usize>,
    pub(crate) may_fall_back: bool,
    pub(crate) max_idle: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) cap: Option<usize>,
    pub(crate) full: Full,
    pub(crate) rescue: bool,
    pub(crate) spare: usize,
    pub(crate) stack: usize,
    pub(crate) keeps_mask: bool,
}

/// Kernel code is not deep, yet unoptimised frames are several times larger.
const DEFAULT_STACK: usize = if cfg!(debug_assertions) {
    2 << 20
} else {
    512 << 10
};

/// How a pool is made. See [`Pool::builder`].
pub struct PoolBuilder<C: WorkerContext> {
    creator: Creator,
    seed: Arc<C::Seed>,
    config: Config,
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError<E> {
    /// A setting that means nothing, such as an idle time of 0.
    #[error("{0}")]
    Invalid(&'static str),
    /// The host refused a thread, the class, or the CPU.
    #[error("the host refused a thread of this kind: {0}")]
    NoThread(Errno),
    /// The workers' context could not be entered.
    #[error("the worker's context could not be entered: {0}")]
    Context(E),
}

impl<C: WorkerContext> PoolBuilder<C> {
    /// The threads' name while they run no named unit. Default `worker`.
    pub fn name(mut self, name: &str) -> Self {
        self.config.name = Name::new(name);
        self
    }

    /// The host's scheduling class of the workers. Default [`Class::Normal`].
    pub fn class(mut self, class: Class) -> Self {
        self.config.class = class;
        self
    }

    /// Pins the workers to one CPU. Default: unbound.
    pub fn cpu(mut self, cpu: usize) -> Self {
        self.config.cpu = Some(cpu);
        self
    }

    /// Works without the class or CPU when the host refuses them, and counts
    /// that in [`PoolStats::fallbacks`]. Default: refuse.
    pub fn fall_back(mut self) -> Self {
        self.config.may_fall_back = true;
        self
    }

    /// Workers that stay parked for the next unit. Default 2.
    pub fn max_idle(mut self, max_idle: usize) -> Self {
        self.config.max_idle = max_idle;
        self
    }

    /// How long a parked worker waits for work. Default 10 s; 0 is refused.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// At most this many workers at once, not counting those that sleep on
    /// other people's work; and what happens to units beyond. Default: no cap,
    /// so no unit ever waits for another.
    pub fn cap(mut self, cap: usize, full: Full) -> Self {
        self.config.cap = Some(cap);
        self.config.full = full;
        self
    }

    /// Keeps one worker back for when the host refuses threads: what memory
    /// reclaim or write-back needs must not depend on a new thread.
    pub fn rescue(mut self) -> Self {
        self.config.rescue = true;
        self
    }

    /// Workers made ahead of need, `max_idle` at most; they do not time out.
    pub fn spare(mut self, spare: usize) -> Self {
        self.config.spare = spare;
        self
    }

    /// The promise that units leave the signal mask as they found it. It saves a
    /// system call per unit, about as long as all else that a worker does for
    /// one. A unit that breaks it has its signals reach the units that follow at
    /// once on the same thread. Default: every signal is blocked again after
    /// each unit.
    pub fn units_keep_signal_mask(mut self) -> Self {
        self.config.keeps_mask = true;
        self
    }

    /// Bytes of stack per worker.
    pub fn stack(mut self, bytes: usize) -> Self {
        self.config.stack = bytes;
        self
    }

    /// Makes the pool. One with a class, a CPU or a rescuer makes its first
    /// thread now, to learn whether it may.
    pub fn build(self) -> Result<Pool<C>, PoolError<C::Error>> {
        let pool = self.build_unproven()?;
        pool.prove()?;
        Ok(pool)
    }

    fn build_unproven(mut self) -> Result<Pool<C>, PoolError<C::Error>> {
        let config = &mut self.config;
        if config.idle_timeout.is_zero() {
            return Err(PoolError::Invalid("an idle time of 0 is not one"));
        }
        if config.cap == Some(0) {
            return Err(PoolError::Invalid("a cap of 0 lets nothing run"));
        }
        config.spare = config.spare.min(config.max_idle);
        Ok(Pool {
            shared: Arc::new_cyclic(|me| Shared {
                id: next_id(),
                config: self.config,
                seed: self.seed,
                creator: Mutex::new(Some(self.creator)),
                is_proven: AtomicBool::new(false),
                is_given_up: AtomicBool::new(false),
                state: Mutex::new(State::new()),
                users: AtomicUsize::new(1),
                me: me.clone(),
            }),
        })
    }
}

/// An identity for [`Pool::is_own`]; a plain counter, no part of any protocol.
fn next_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Host threads of one kind, made on demand and kept while they are useful.
///
/// Clones are handles of the same pool. The last one that is dropped closes it,
/// as [`Pool::close`] with [`Close::Drain`] does; after a [`Pool::close_timeout`]
/// that failed it does not wait.
pub struct Pool<C: WorkerContext = NoContext> {
    pub(crate) shared: Arc<Shared<C>>,
}

impl<C: WorkerContext> Clone for Pool<C> {
    fn clone(&self) -> Self {
        self.shared.users.fetch_add(1, Ordering::Relaxed);
        Pool {
            shared: self.shared.clone(),
        }
    }
}

impl<C: WorkerContext> Drop for Pool<C> {
    fn drop(&mut self) {
        if self.shared.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            if self.shared.is_given_up.load(Ordering::Acquire) {
                return self.shared.begin_close(Close::Drain, None);
            }
            self.close(Close::Drain);
        }
    }
}

/// A pool's counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolStats {
    pub name: Name,
    pub class: Class,
    pub cpu: Option<usize>,
    /// Workers: idle, running, starting or retiring.
    pub live: usize,
    /// Parked, ready for the next unit.
    pub idle: usize,
    pub running: usize,
    pub starting: usize,
    pub retiring: usize,
    /// Those of `running` that sleep on other people's work.
    pub blocked: usize,
    /// Units that wait for a worker.
    pub queued: usize,
    pub max_idle: usize,
    pub cap: Option<usize>,
    /// Threads made so far.
    pub created: u64,
    /// Units taken so far.
    pub units: u64,
    /// Threads that could not be made.
    pub refused: u64,
    pub panics: u64,
    /// Threads that run without the pool's class or CPU.
    pub fallbacks: u64,
    /// The most that were idle, and live, at once.
    pub peak_idle: usize,
    pub peak_live: usize,
}

impl<C: WorkerContext> Pool<C> {
    /// A pool whose threads `creator` makes and whose workers carry contexts
    /// made from `seed`.
    pub fn builder(creator: &Creator, seed: C::Seed) -> PoolBuilder<C> {
        Pool::builder_shared(creator, Arc::new(seed))
    }

    /// As [`Pool::builder`], with a seed that other pools use too.
    pub fn builder_shared(creator: &Creator, seed: Arc<C::Seed>) -> PoolBuilder<C> {
        PoolBuilder {
            creator: creator.clone(),
            seed,
            config: Config {
                name: Name::new("worker"),
                class: Class::Normal,
                cpu: None,
                may_fall_back: false,
                max_idle: 2,
                idle_timeout: Duration::from_secs(10),
                cap: None,
                full: Full::Queue,
                rescue: false,
                spare: 0,
                stack: DEFAULT_STACK,
                keeps_mask: false,
            },
        }
    }

    /// Runs `f` on a worker. Returns once a thread is responsible for it: an
    /// idle one, a new one, or in a pool with a cap the next that comes free.
    ///
    /// It starts with every signal blocked, whatever ran on the thread before.
    pub fn spawn<F, R>(&self, f: F) -> Result<Ticket<R>, SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_body(None, f)
    }

    /// As [`Pool::spawn`]; the thread is called `name` meanwhile.
    pub fn spawn_named<F, R>(&self, name: &str, f: F) -> Result<Ticket<R>, SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_body(Some(Name::new(name)), f)
    }

    pub(crate) fn spawn_body<F, R>(
        &self,
        name: Option<Name>,
        body: F,
    ) -> Result<Ticket<R>, SpawnError<F, C::Error>>
    where
        F: Body<C, R>,
        R: Send + 'static,
    {
        let work = Work::new(name, body);
        let Err(Refusal { why, unit }) = self.shared.submit(UnitRef::new(work.clone())) else {
            return Ok(Ticket::new(work));
        };
        unit.disarm();
        match work.take_back() {
            Some(body) => Err(match why {
                Why::Closed => SpawnError::Closed(body),
                Why::Full => SpawnError::Full(body),
                Why::NoThread(errno) => SpawnError::NoThread(errno, body),
                Why::Context(error) => SpawnError::Context(error, body),
            }),
            // Refused units are not begun: the body is always there.
            None => Ok(Ticket::new(work)),
        }
    }

    /// Runs `f` on a worker and never waits, not even for a thread: for wakers,
    /// reactors, and whoever holds up others. What goes wrong arrives in the ticket.
    pub fn spawn_nowait<F, R>(&self, f: F) -> Ticket<R>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_body_nowait(None, f)
    }

    pub(crate) fn spawn_body_nowait<F, R>(&self, name: Option<Name>, body: F) -> Ticket<R>
    where
        F: Body<C, R>,
        R: Send + 'static,
    {
        let work = Work::new(name, body);
        if let Err(Refusal { why, unit }) = self.shared.submit_later(UnitRef::new(work.clone())) {
            unit.refuse(ticket_error(why));
        }
        let source: Arc<dyn Completion<R>> = work;
        Ticket::new(source)
    }

    /// Runs `f` on a worker and waits for what it gives.
    pub fn run<F, R>(&self, f: F) -> Result<R, TicketError>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn(f).map_err(spawn_to_ticket)?.wait()
    }

    /// Runs an asynchronous closure on one worker, which polls it to its end and
    /// parks between polls. [`WorkerContext::polled`] runs after each poll and
    /// after the future is gone.
    pub fn spawn_async<F, R>(&self, f: F) -> Result<Ticket<R>, SpawnError<F, C::Error>>
    where
        F: AsyncFnOnce(&C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_body(None, crate::asynchronous::Polled(f))
            .map_err(|error| error.map(|polled| polled.0))
    }

    /// The counters, as of now.
    pub fn stats(&self) -> PoolStats {
        let config = &self.shared.config;
        let state = self.shared.state.lock();
        PoolStats {
            name: config.name,
            class: config.class,
            cpu: config.cpu,
            live: state.live(),
            idle: state.idle.len(),
            running: state.running,
            starting: state.starting,
            retiring: state.retiring,
            blocked: state.blocked,
            queued: state.queue.len().saturating_sub(state.called),
            max_idle: config.max_idle,
            cap: config.cap,
            created: state.counts.created,
            units: state.counts.units,
            refused: state.counts.refused,
            panics: state.counts.panics,
            fallbacks: state.counts.fallbacks,
            peak_idle: state.counts.peak_idle,
            peak_live: state.counts.peak_live,
        }
    }

    /// Does it refuse units?
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().phase != state::Phase::Open
    }

    /// Is this the pool that the calling thread works for?
    pub fn is_own(&self) -> bool {
        crate::current::is_worker_of(self.shared.id)
    }

    /// Makes what a new pool must have: the rescuer, the spares, and a first
    /// thread where the host may refuse the kind. Once; a failure leaves the
    /// pool unproven.
    fn prove(&self) -> Result<(), PoolError<C::Error>> {
        let shared = &self.shared;
        if shared.is_proven.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let config = &shared.config;
        let mut made = Ok(());
        if config.rescue {
            made = self.make_rescuer();
        }
        if made.is_ok() && (config.class != Class::Normal || config.cpu.is_some()) {
            made = self.run_empty();
        }
        if made.is_err() {
            shared.is_proven.store(false, Ordering::Release);
        } else if config.spare > 0 {
            shared.ask();
        }
        made
    }

    /// Runs an empty unit: may this pool have threads?
    fn run_empty(&self) -> Result<(), PoolError<C::Error>> {
        match self.spawn(|_: &mut C| ()) {
            Ok(ticket) => {
                let _ = ticket.wait();
                Ok(())
            }
            Err(SpawnError::Context(error, _)) => Err(PoolError::Context(error)),
            Err(SpawnError::NoThread(errno, _)) => Err(PoolError::NoThread(errno)),
            Err(SpawnError::Closed(_) | SpawnError::Full(_)) => Ok(()),
        }
    }

    fn make_rescuer(&self) -> Result<(), PoolError<C::Error>> {
        let acceptance = Acceptance::new();
        let id = self.shared.state.lock().begin_birth(false);
        let newborn = Newborn::rescuer(self.shared.clone(), id, Some(acceptance.clone()));
        self.shared.have_made(newborn);
        acceptance.wait().map_err(|(error, _)| match error {
            StartError::NoThread(errno) => PoolError::NoThread(errno),
            StartError::Context(error) => PoolError::Context(error),
        })
    }
}

impl<C: WorkerContext> Shared<C> {
    /// As [`Shared::submit_later`], for units that are not told of an immediate
    /// refusal because their owner is.
    pub(crate) fn submit_unit(self: &Arc<Self>, unit: Arc<dyn Unit<C>>) -> Result<(), TicketError> {
        match self.submit_later(UnitRef::new(unit)) {
            Ok(()) => Ok(()),
            Err(Refusal { why, unit }) => {
                unit.disarm();
                Err(ticket_error(why))
            }
        }
    }
}

fn ticket_error<E: std::error::Error + Send + Sync + 'static>(why: Why<E>) -> TicketError {
    match why {
        Why::Closed => TicketError::Closed,
        Why::Full => TicketError::NoThread(Errno::EAGAIN),
        Why::NoThread(errno) => TicketError::NoThread(errno),
        Why::Context(error) => TicketError::Context(Box::new(error)),
    }
}

pub(crate) fn spawn_to_ticket<F, E>(error: SpawnError<F, E>) -> TicketError
where
    E: std::error::Error + Send + Sync + 'static,
{
    match error {
        SpawnError::Closed(_) => TicketError::Closed,
        SpawnError::Full(_) => TicketError::NoThread(Errno::EAGAIN),
        SpawnError::NoThread(errno, _) => TicketError::NoThread(errno),
        SpawnError::Context(error, _) => TicketError::Context(Box::new(error)),
    }
}

#[cfg(all(test, rivix_loom))]
mod model;
#[cfg(all(test, rivix_shuttle))]
mod shuttle_model;
#[cfg(all(test, not(rivix_model)))]
mod tests;
