//! Reusable items of work, scheduled under their owner's lock.
//!
//! A [`Work`](crate::Pool::spawn) closure runs once. A [`Job`] is made once and
//! scheduled as often as there is something to do: it is the thread-shaped half
//! of a driver, a reaper, a write-back. All it needs is allocated when it is
//! made, so scheduling fits where nothing may fail or sleep.
//!
//! - **Invariant J1:** schedule, cancel and done happen under the interlock, so
//!   they are one after the other; the job's own lock orders them against the
//!   worker that begins a run. It is never held over a call of a pool.
//! - **Invariant J2:** at most one reference of a job, its token, is on the way
//!   through a pool. Who takes the token off (a worker, a refusal, a withdrawal)
//!   clears it under the job's lock, and only then may the job be handed over again.
//! - **Invariant J3:** a token is permission to look, not to run: the worker runs
//!   the job only if, under the job's lock, it finds it queued. A cancelled job
//!   whose token was already in a worker's hands therefore does not run.
//! - **Invariant J4:** while a run is not done, no other begins.

mod core;
#[cfg(all(test, rivix_loom))]
mod model;
#[cfg(all(test, not(rivix_model)))]
mod tests;

use self::core::{Body, Core, Item};
use crate::{Name, NoContext, Pool, TicketError, WorkerContext, current};
use rivix_sync::{Mutex, MutexGuard, assert_no_lock_held, level};
use std::cell::Cell;
use std::sync::Arc;

/// The caller's lock and the state it guards. Several jobs may share one.
pub type Interlock<T> = Arc<Mutex<level::Interlock, T>>;

/// The proof that the interlock is held.
pub type InterlockGuard<'a, T> = MutexGuard<'a, level::Interlock, T>;

/// What became of a request to run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a job may have been refused"]
pub enum Scheduled {
    /// It was idle and is on its way to a thread.
    Queued,
    /// It was on its way already: that run will see what the caller changed.
    Pending,
    /// It runs. [`Job::schedule`] did nothing: its function may have looked
    /// already, or not. [`Job::schedule_again`] noted one more run.
    Running,
    /// Somebody sleeps in [`Job::cancel`]: it is not scheduled, so that even a
    /// job that schedules itself can be cancelled.
    Cancelling,
    /// The pool is closed or full, or the job was destroyed: it stays idle.
    /// [`Job::take_refusal`] says why.
    Refused,
}

/// Somebody would wait for the end of his own run. The guard comes back.
pub struct WouldDeadlock<'a, T>(pub InterlockGuard<'a, T>);

impl<T> std::fmt::Debug for WouldDeadlock<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WouldDeadlock")
    }
}

impl<T> std::fmt::Display for WouldDeadlock<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        TicketError::WouldDeadlock.fmt(f)
    }
}

impl<T> std::error::Error for WouldDeadlock<'_, T> {}

impl<T> From<WouldDeadlock<'_, T>> for TicketError {
    fn from(_: WouldDeadlock<'_, T>) -> Self {
        TicketError::WouldDeadlock
    }
}

/// What a job does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPhase {
    Idle,
    Queued,
    Running,
}

/// A job's state and counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStatus {
    pub phase: JobPhase,
    /// Is one more run noted for the end of this one?
    pub is_again: bool,
    /// Runs begun so far.
    pub runs: u64,
    /// Runs that panicked.
    pub panics: u64,
}

/// A reusable item of work on the state `T` behind its owner's interlock, run by
/// a [`Pool`] whose workers carry `C`.
///
/// Clones are handles of the same job. Dropping them cancels nothing: a run that
/// is queued still happens, and what the job holds is freed after it.
///
/// ```
/// use rivix_spawner::{Creator, Interlock, Job, NoContext, Pool};
///
/// let creator = Creator::start()?;
/// let pool = Pool::<NoContext>::builder(&creator, ()).build()?;
/// let letters: Interlock<Vec<String>> = Interlock::default();
/// let postman = Job::new("postman", &letters, |job, running| {
///     // Starts unlocked: sleeping here holds up nobody.
///     loop {
///         let mut letters = job.lock();
///         let Some(letter) = letters.pop() else {
///             // Looked and left in one step: no letter is forgotten.
///             return running.done(&letters);
///         };
///         drop(letters);
///         println!("{letter}");
///     }
/// });
///
/// let mut guard = letters.lock();
/// guard.push("hello".into());
/// let _ = postman.schedule(&guard, &pool);
/// drop(guard);
/// # drop(pool);
/// # assert!(letters.lock().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Job<T: Send + 'static, C: WorkerContext = NoContext> {
    item: Arc<dyn Item<T, C>>,
}

impl<T: Send + 'static, C: WorkerContext> Clone for Job<T, C> {
    fn clone(&self) -> Self {
        Job {
            item: self.item.clone(),
        }
    }
}

impl<T: Send + 'static, C: WorkerContext> Job<T, C> {
    /// A job that runs `body` on a thread called `name` meanwhile. This is the
    /// job's one allocation.
    ///
    /// `body` starts without the interlock, may sleep, and may run for ever. It
    /// ends its run by [`Running::done`], or by returning.
    pub fn new<F>(name: &str, interlock: &Interlock<T>, body: F) -> Self
    where
        F: Fn(&Job<T, C>, Running<'_, T, C>) + Send + Sync + 'static,
    {
        Job {
            item: Arc::new(Body::new(Name::new(name), interlock.clone(), body)),
        }
    }

    fn core(&self) -> &Core<T, C> {
        self.item.core()
    }

    pub fn name(&self) -> Name {
        self.core().name
    }

    /// The lock under which this job is scheduled.
    pub fn interlock(&self) -> &Interlock<T> {
        &self.core().interlock
    }

    /// Takes the interlock.
    pub fn lock(&self) -> InterlockGuard<'_, T> {
        self.core().interlock.lock()
    }

    /// Has `pool` run the job, unless it is queued or running. Neither waits nor
    /// allocates. When the host refuses threads the job stays queued until one is
    /// granted.
    ///
    /// # Panics
    /// When `guard` is not one of this job's interlock, as all methods that take one.
    pub fn schedule(&self, guard: &InterlockGuard<'_, T>, pool: &Pool<C>) -> Scheduled {
        self.check(guard);
        self.core().schedule(&self.item, &pool.shared, false)
    }

    /// As [`Job::schedule`]; when the job runs, notes that it shall run once more
    /// as soon as it is done. However often it is noted, it is one run.
    pub fn schedule_again(&self, guard: &InterlockGuard<'_, T>, pool: &Pool<C>) -> Scheduled {
        self.check(guard);
        self.core().schedule(&self.item, &pool.shared, true)
    }

    /// [`Job::schedule_again`] for those who do not hold the interlock, such as
    /// the answer to a doorbell: takes it, for that moment. An event notified
    /// before, during or after a run is seen by a run that begins after it.
    pub fn notify(&self, pool: &Pool<C>) -> Scheduled {
        self.schedule_again(&self.lock(), pool)
    }

    /// Takes back what is scheduled. True: the job does not run, and will not
    /// until it is scheduled again. False: it runs; a noted further run is gone.
    pub fn cancel_async(&self, guard: &InterlockGuard<'_, T>) -> bool {
        self.check(guard);
        self.core().take_back(&self.item)
    }

    /// As [`Job::cancel_async`], then waits for a run to be done, without the
    /// interlock. When it returns, and as long as the guard is held, the job
    /// neither runs nor is queued. While it waits nobody can schedule the job.
    ///
    /// # Errors
    /// [`WouldDeadlock`] when the run that would have to be waited for is the
    /// caller's own.
    pub fn cancel<'a>(
        &'a self,
        guard: InterlockGuard<'a, T>,
    ) -> Result<InterlockGuard<'a, T>, WouldDeadlock<'a, T>> {
        self.check(&guard);
        if self.core().is_run_by_caller() {
            return Err(WouldDeadlock(guard));
        }
        if self.core().take_back(&self.item) {
            return Ok(guard);
        }
        let refusing = self.core().begin_cancel();
        drop(guard);
        {
            assert_no_lock_held("cancelling a job");
            let _blocked = current::block();
            self.core().wait_while_running();
        }
        let guard = self.lock();
        drop(refusing);
        Ok(guard)
    }

    /// Ends the job: as [`Job::cancel`], and for good. When it returns no thread is
    /// inside the job's function, not even behind its `done`; whoever schedules
    /// the job through another handle is refused.
    ///
    /// # Errors
    /// As [`Job::cancel`], and when called from inside the function at all.
    pub fn destroy<'a>(
        &'a self,
        guard: InterlockGuard<'a, T>,
    ) -> Result<InterlockGuard<'a, T>, WouldDeadlock<'a, T>> {
        self.check(&guard);
        if self.core().is_inside() {
            return Err(WouldDeadlock(guard));
        }
        self.core().begin_destroy();
        self.core().take_back(&self.item);
        drop(guard);
        {
            assert_no_lock_held("destroying a job");
            let _blocked = current::block();
            self.core().wait_while_referenced();
        }
        Ok(self.lock())
    }

    /// The job's state. `guard` keeps all but a queued job's begin from changing it.
    pub fn status(&self, guard: &InterlockGuard<'_, T>) -> JobStatus {
        self.check(guard);
        self.core().status()
    }

    /// Why the job was last refused, once: its pool closed before it ran, the
    /// worker's context could not be entered, or scheduling it failed.
    pub fn take_refusal(&self, guard: &InterlockGuard<'_, T>) -> Option<TicketError> {
        self.check(guard);
        self.core().take_refusal()
    }

    /// Another lock's guard proves nothing about this job.
    fn check(&self, guard: &InterlockGuard<'_, T>) {
        assert!(
            self.core().interlock.is_held_by(guard),
            "job {}: the guard is of another lock than the job's interlock",
            self.core().name
        );
    }
}

impl<T: Send + 'static, C: WorkerContext> std::fmt::Debug for Job<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.core().name)
            .field("status", &self.core().status())
            .finish()
    }
}

/// One run of a job, given to its function.
///
/// A run whose `Running` was dropped, or lost, without [`Running::done`] is done
/// when the function has returned or panicked, with nothing of its locks held.
pub struct Running<'a, T: Send + 'static, C: WorkerContext = NoContext> {
    job: &'a Job<T, C>,
    context: &'a mut C,
    is_done: &'a Cell<bool>,
}

impl<T: Send + 'static, C: WorkerContext> Running<'_, T, C> {
    /// The worker's context.
    pub fn context(&mut self) -> &mut C {
        self.context
    }

    /// The run is over as far as others can see: the job can be scheduled and run
    /// again at once, those who wait in [`Job::cancel`] go on, a noted further run
    /// is queued. What the function looked at under `guard` before is up to date.
    pub fn done(self, guard: &InterlockGuard<'_, T>) {
        self.job.check(guard);
        self.is_done.set(true);
        self.job.core().finish(&self.job.item);
    }
}
