//! Threads for kernel-side work.
//!
//! One primitive: **hand one unit of work to exactly one parked host thread, or
//! have the creator make a thread that is born holding it.** All else here is a
//! policy on that: how many threads stay, how many may run, whether a unit can be
//! scheduled again, what a unit may keep on its thread, who is told of its end.
//!
//! | word | meaning |
//! |---|---|
//! | [`Creator`] | the one thread that makes threads; it never runs anybody's code |
//! | worker | a host thread of a pool: starting, running, idle, retiring, joined |
//! | [`Pool`] | workers of one kind, with limits on how many stay and how many run |
//! | work | a one-shot closure: [`Pool::spawn`] and its kin |
//! | [`Ticket`] | the completion handle: a future, a thing to wait on, to cancel, to let go |
//! | [`WorkerContext`] | what each worker carries and each unit receives |
//! | [`DynamicThreadSpawner`] | a creator, a pool and pools by class, as a kernel holds them |
//! | [`Job`], [`Interlock`] | work that is made once and scheduled again and again, and its owner's lock |
//! | [`Executor`], [`Fiber`] | futures on few workers, with stealing |
//! | [`Lane`], [`Service`] | state that lives on one worker, and a channel of closures to it |
//! | [`Timers`] | deadlines that call back, on a lane |
//! | [`Reactor`], [`Doorbell`] | host descriptors that call back, and what a signal handler may ring |
//! | [`Parker`](rivix_sync::Parker) | a one-permit token: the only way to sleep |
//!
//! # Creator, pool, work, ticket
//!
//! A new thread inherits its maker's signal mask, CPU set, nice value and
//! scheduling class. So one thread makes them all, at a time when it has nothing
//! odd to hand down, and takes requests from everybody else. Pools share it.
//!
//! ```
//! use rivix_spawner::{Close, Creator, NoContext, Pool, SpawnError, TicketError};
//! use std::time::{Duration, Instant};
//!
//! let creator = Creator::start()?;
//! let pool = Pool::<NoContext>::builder(&creator, ()).name("work").max_idle(2).build()?;
//!
//! // Returns when a thread is responsible, never later: units do not wait for each other.
//! let ticket = pool.spawn(|_| 6 * 7)?;
//! assert_eq!(ticket.wait()?, 42);
//!
//! // A ticket is a future as well, and a panic is an error like others.
//! let ticket = pool.spawn_named("careless", |_| -> u32 { panic!("oh") })?;
//! let outcome = futures::executor::block_on(ticket);
//! assert!(matches!(outcome, Err(TicketError::Panicked(_))));
//!
//! // A wait may have an end; the ticket then comes back.
//! let (begin, begun) = std::sync::mpsc::channel();
//! let (go, goes) = std::sync::mpsc::channel::<()>();
//! let ticket = pool.spawn(move |_| begin.send(()).is_ok() && goes.recv().is_ok())?;
//! let ticket = ticket.wait_until(Instant::now() + Duration::from_millis(1)).unwrap_err();
//! // What has not begun can be cancelled; this has.
//! begun.recv()?;
//! assert!(!ticket.cancel());
//! go.send(())?;
//! assert!(ticket.wait()?);
//!
//! // Closed, it gives the unit back.
//! pool.close(Close::Drain);
//! let refused = pool.spawn(|_| "mine").unwrap_err();
//! assert!(matches!(refused, SpawnError::Closed(_)));
//! assert_eq!(refused.into_unit()(&mut NoContext), "mine");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A pool's policy is said when it is built:
//!
//! | setting | meaning | if unsaid |
//! |---|---|---|
//! | [`class`](PoolBuilder::class), [`cpu`](PoolBuilder::cpu) | the workers' scheduling class, and the one CPU they are pinned to | normal, unbound |
//! | [`max_idle`](PoolBuilder::max_idle) | workers that stay parked; the last to park is the first to be used, so that those not needed time out | 2 |
//! | [`idle_timeout`](PoolBuilder::idle_timeout) | how long one stays parked | 10 s |
//! | [`cap`](PoolBuilder::cap) | most units at once; more are queued or refused. A worker that sleeps on others' work ([`current::block`]; tickets, joins and calls do it themselves) does not count | none |
//! | [`rescue`](PoolBuilder::rescue) | one worker kept back for when the host refuses threads | no |
//! | [`spare`](PoolBuilder::spare) | workers made ahead of need | 0 |
//! | [`fall_back`](PoolBuilder::fall_back) | do without the class or CPU if the host refuses it, and count that | refuse |
//!
//! Workers that retire are joined by those that retire after them: each leaves its
//! handle and joins an older one (*chain reaping*), so that a few dead threads at
//! most are unjoined and the creator never waits for a thread-local destructor.
//!
//! ```
//! # use rivix_spawner::{Creator, Full, NoContext, Pool};
//! # let creator = Creator::start()?;
//! let narrow = Pool::<NoContext>::builder(&creator, ()).cap(1, Full::Queue).build()?;
//! let same = narrow.clone();
//! // The outer unit sleeps on the inner one, and gives its place to it.
//! let nested = narrow.run(move |_| same.run(|_| 7).ok())?;
//! assert_eq!(nested, Some(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Context and spawner
//!
//! A [`WorkerContext`] is made on the worker's thread, given to each of its units,
//! told of their begin and end (after a panic too), and dropped there. A kernel
//! gives its workers a task of its own in this way; this crate knows of no tasks.
//!
//! ```
//! use rivix_spawner::{DynamicThreadSpawner, WorkerContext};
//!
//! struct Clerk {
//!     desk: String,
//!     served: u32,
//! }
//!
//! impl WorkerContext for Clerk {
//!     type Seed = &'static str;
//!     type Error = std::convert::Infallible;
//!     fn enter(town: &&'static str, name: &str) -> Result<Clerk, Self::Error> {
//!         Ok(Clerk { desk: format!("{name} in {town}"), served: 0 })
//!     }
//!     fn end(&mut self) {
//!         self.served += 1;
//!     }
//! }
//!
//! let spawner = DynamicThreadSpawner::<Clerk>::new(2, "Thebes")?;
//! let (say, said) = std::sync::mpsc::channel();
//! spawner.spawn_named("counter", move |clerk| drop(say.send(clerk.desk.clone())))?;
//! assert_eq!(said.recv()?, "counter in Thebes");
//!
//! // The asynchronous form: one worker polls the future to its end.
//! let served = spawner.spawn_async_and_get_result(async |clerk: &Clerk| clerk.served);
//! assert!(served.wait()? <= 1);
//! spawner.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Jobs
//!
//! A [`Job`] is for what has to be done again and again: a reaper, a write-back.
//! It is allocated once; scheduling it neither allocates nor sleeps. It is
//! scheduled, cancelled and done under its owner's lock, the interlock, so "there
//! is nothing more to do" and "run me" cannot miss each other.
//!
//! ```
//! use rivix_spawner::{Creator, Interlock, Job, NoContext, Pool};
//!
//! # let creator = Creator::start()?;
//! # let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
//! let sum: Interlock<(Vec<u32>, u32)> = Interlock::default();
//! let adder = Job::new("adder", &sum, |job, running| {
//!     let mut sum = job.lock();
//!     let new = std::mem::take(&mut sum.0);
//!     sum.1 += new.iter().sum::<u32>();
//!     running.done(&sum); // from here on it can be scheduled again
//! });
//! for n in 1..=4 {
//!     let mut guard = sum.lock();
//!     guard.0.push(n);
//!     // Queued or running already: one more run is noted, however often this is said.
//!     let _ = adder.schedule_again(&guard, &pool);
//! }
//! drop(pool); // runs what is queued
//! assert_eq!(sum.lock().1, 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Executor and fibers
//!
//! An [`Executor`] polls futures, called [fibers](Fiber), on workers of a pool, on
//! the thread that calls [`Executor::run`], or wherever somebody
//! [ticks](executor::ExecWorker::tick) a worker; a [`Tick`](executor::Tick) says
//! what one round did. A [`JoinHandle`](executor::JoinHandle) awaits a fiber,
//! waits for it, cancels it. See [`executor`].
//!
//! ```
//! use rivix_spawner::{Close, Creator, Executor, NoContext, Pool};
//!
//! # let creator = Creator::start()?;
//! # let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
//! let executor = Executor::on(2, &pool)?;
//! let first = executor.spawn(async { 6 }).unwrap();
//! let second = executor.spawn(async move { first.await.unwrap() * 7 }).unwrap();
//! assert_eq!(second.wait().unwrap(), 42);
//!
//! let idle = executor.builder().name("idle").spawn(std::future::pending::<()>()).unwrap();
//! assert!(idle.cancel() && idle.wait().unwrap_err().is_cancelled());
//! executor.close(Close::Drain);
//!
//! // By hand, on this thread.
//! let executor = Executor::new();
//! let worker = executor.worker()?;
//! executor.spawn(async {}).unwrap().detach();
//! let tick = worker.tick();
//! assert_eq!((tick.polled, tick.completed), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Lanes and services
//!
//! A [`Service`] is state that only one thread touches; a [`Lane`] is a handle to
//! it. Closures are submitted, or called and waited for, and run one by one. See
//! [`lane`].
//!
//! ```
//! use rivix_spawner::{Creator, Lane, LaneKey, Lanes, NoContext, Pool, Service};
//!
//! struct Log(Vec<&'static str>);
//!
//! impl Service for Log {
//!     type Utilities = ();
//!     fn init(_: LaneKey) -> Log {
//!         Log(Vec::new())
//!     }
//!     fn utilities(&self) {}
//! }
//!
//! # let creator = Creator::start()?;
//! # let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
//! let lanes = Lanes::on(&pool);
//! let log = Lane::<Log>::new(&lanes, LaneKey::new("log", 0))?;
//! log.submit(|log| log.0.push("one"))?;
//! let two = String::from("two");
//! // A call may borrow from its caller, who sleeps meanwhile.
//! let lines = log.call(|log| log.0.len() + two.len())?;
//! assert_eq!(lines, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Timers
//!
//! [`Timers`] are a service whose lane parks until the first deadline.
//!
//! ```
//! use rivix_spawner::{Creator, Expire, Lanes, NoContext, Pool, Timers};
//! use std::sync::{Arc, mpsc};
//! use std::time::{Duration, Instant};
//!
//! struct Bell(mpsc::Sender<()>);
//!
//! impl Expire for Bell {
//!     fn expire(&self) {
//!         let _ = self.0.send(());
//!     }
//! }
//!
//! # let creator = Creator::start()?;
//! # let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
//! let starter = pool.clone();
//! let timers = Timers::new(Arc::new(Lanes::on(&pool)), move |open| {
//!     starter.spawn_nowait(|_| open()).detach();
//! });
//! let (ring, rung) = mpsc::channel();
//! let bell: Arc<dyn Expire> = Arc::new(Bell(ring));
//! timers.arm(Instant::now() + Duration::from_millis(5), Arc::downgrade(&bell));
//! rung.recv()?;
//! timers.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reactor and doorbell
//!
//! A [`Reactor`] watches host descriptors and drives futures on one worker, which
//! sleeps in the host until there is something. A [`Doorbell`] is how a signal
//! handler, which may neither lock nor schedule, has something scheduled.
//!
//! ```
//! use rivix_spawner::{Creator, Doorbell, Interlock, Job, NoContext, Pool, Reactor, Ticket};
//! use std::sync::mpsc;
//!
//! # let creator = Creator::start()?;
//! # let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
//! let host = pool.clone();
//! let reactor = Reactor::new(move |name, body| {
//!     let thread = host.spawn_named(name, move |_| body());
//!     thread.map(Ticket::detach).map_err(|_| nix::errno::Errno::EAGAIN)
//! });
//!
//! let (say, said) = mpsc::channel();
//! let state: Interlock<()> = Interlock::default();
//! let job = Job::new("answer", &state, move |_, _| drop(say.send("heard")));
//! let bell = {
//!     let pool = pool.clone();
//!     Doorbell::new(&reactor, move |_rings| drop(job.notify(&pool)))?
//! };
//! bell.ring(); // from a signal handler, say
//! assert_eq!(said.recv()?, "heard");
//! drop(bell);
//! reactor.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sleeping
//!
//! Who sleeps here sleeps on a [`Parker`](rivix_sync::Parker): say that you will
//! sleep, look once more, park. Who changes something changes it, then looks for
//! sleepers, then unparks. A permit given too early is kept.
//!
//! ```
//! use rivix_sync::Parker;
//! use std::sync::Arc;
//!
//! let parker = Arc::new(Parker::new());
//! let other = parker.clone();
//! std::thread::spawn(move || other.unpark());
//! parker.park(); // whichever came first
//! assert!(!parker.take(), "one permit, taken once");
//! ```
//!
//! # Laws
//!
//! They hold for every part. Files state what they add to them, as numbered
//! invariants at their top.
//!
//! Sleep:
//! 1. No wake is lost: between "I shall sleep" and sleeping stands another look,
//!    between "it is there" and looking for sleepers a fence.
//! 2. Nobody polls, and no time-out stands in for a wake.
//! 3. One unit wakes one thread.
//! 4. Who waits runs nobody else's work on his stack, whatever locks he has.
//!
//! Panic:
//! 5. A panic ends its unit and nothing else: worker, pool, lane and executor go on,
//!    and count it as they count any end.
//! 6. A unit's captures are dropped once, before its ticket resolves, on the
//!    worker; those of a unit that never began, on the thread that took it back.
//! 7. The payload goes to the ticket. Nobody has it: one error through `tracing`.
//! 8. A capture, a result or a payload whose drop panics is survived too. The one
//!    limit is Rust's: a unit that panics, and a capture whose drop panics *during
//!    that same unwinding*, abort the process.
//!
//! Shutdown:
//! 9. Open, draining, closed: one way only.
//! 10. From its begin on new units come back, those spawned by units being drained
//!     and by drops as well; none is run late, none is leaked.
//! 11. What is queued runs ([`Close::Drain`]) or is dropped ([`Close::Cancel`]);
//!     what runs is waited for.
//! 12. When a close has returned, the workers are joined: their thread-local
//!     destructors have run.
//! 13. No thread waits for itself. On one of the threads that would have to end, a
//!     close, or the drop of the last handle, marks and returns; the rest follows.
//! 14. A close that ran out of time names what still runs, and may be repeated.
//!
//! Tickets and cancelling:
//! 15. Every ticket resolves, exactly once, whatever becomes of its unit.
//! 16. A cancelled unit or job has not begun and will not. One that has begun runs
//!     on. A fiber is cancelled between polls: its future is dropped, then its handle
//!     resolves.
//!
//! Ownership:
//! 17. Workers hold what they share with their pool, and that holds nothing whose
//!     drop would be what wakes the workers: no cycle keeps a pool alive.
//! 18. Handles of users are counted apart from it, so the last one is noticed.
//!
//! Locks:
//! 19. In the order of [`rivix_sync::level`]: the interlock, a job, a lane, an
//!     executor, the registry of pools, a pool, a worker, a ticket. Debug builds check it.
//! 20. None is held while a thread is made or joined, a unit runs or is dropped, a
//!     waker is called, or something is traced.
//!
//! Refused threads:
//! 21. The host's "no" is an ordinary result: the unit comes back with the errno.
//! 22. A unit is queued instead only where a worker *of that pool* will come to it,
//!     or the creator was asked and asks again after a pause that grows. Nobody
//!     asks in a loop.
//!
//! # Absent on purpose
//!
//! - A global pool, and one for "blocking work": a unit may sleep wherever it is;
//!   limits belong to the pools that want them.
//! - Priorities, and fairness between a pool's units beyond first in, first out.
//! - Timed-out or cancelled scoped calls of lanes: a closure that borrows the caller's
//!   stack ends before the call does.
//! - Scheduling from a signal handler: it rings a [`Doorbell`].
//! - Knowledge of guests and tasks: that is the context's.
//! - A time driver in the reactor: deadlines are [`Timers`].
//!
//! # Memory and allocators
//!
//! What a unit of work, its ticket and its place in a queue need is one allocation;
//! a job is one for its whole life; a lane's closure of at most 48 bytes is none,
//! and one of at most 4 KiB lies in a block that its slot keeps. They come from the
//! global allocator: how many there are and how large is this program's doing. A
//! fiber is different: any number of futures of any size may be spawned on behalf
//! of somebody with a limit. So an allocator can be given there, and only there
//! ([`Builder::spawn_in`](executor::Builder::spawn_in)), by [`allocator_api2`]'s
//! trait, since the standard one is not stable. When it refuses, the future comes
//! back. Waking, stealing and joining allocate nothing.
//!
//! # Invariants of the unsafe code
//!
//! - **H1** raw host calls get initialised structures that live through the call.
//!
//! The rest of it is in `executor/fiber.rs` (F1 to F6), `lane/slot.rs`,
//! `lane/store.rs` and `lane/scoped.rs` (L1 to L7, C1 to C4) and the reactor (R1), whose
//! files state theirs.
#![doc = ""]
#![doc = include_str!("../TESTS.md")]

mod asynchronous;
mod class;
mod context;
mod creator;
pub mod current;
#[cfg(not(rivix_model))]
mod doorbell;
mod dynamic;
mod error;
pub mod executor;
#[doc(hidden)]
pub mod fault;
mod host;
mod job;
pub mod lane;
mod mailbox;
mod name;
mod panics;
mod pool;
#[cfg(not(rivix_model))]
pub mod reactor;
#[cfg_attr(
    rivix_model,
    allow(dead_code, reason = "models do without the reactor")
)]
mod rings;
mod ticket;
mod timers;
mod unit;

pub use class::{Class, Role};
pub use context::{NoContext, WorkerContext};
pub use creator::Creator;
#[cfg(not(rivix_model))]
pub use doorbell::Doorbell;
pub use dynamic::DynamicThreadSpawner;
pub use error::{Payload, SpawnError, TicketError, payload_text};
pub use executor::{Executor, Fiber};
pub use job::{
    Interlock, InterlockGuard, Job, JobPhase, JobStatus, Running, Scheduled, WouldDeadlock,
};
pub use lane::{InsertError, Lane, LaneError, LaneKey, LaneStats, Lanes, Service, Stage, StreamId};
pub use name::Name;
pub use pool::{Close, Full, Pool, PoolBuilder, PoolError, PoolKey, PoolStats, Pools, Stuck};
#[cfg(not(rivix_model))]
pub use reactor::{Reactor, ReactorError, StableFd, Watch, WatchError};
pub use ticket::{Outcome, Ticket};
pub use timers::{Expire, TimerId, Timers};
