//! Host threads for guests and for kernel-side work.
//!
//! One persistent *creator* thread is the only caller of the host's thread
//! creation, so that a new thread has the creator's signal mask, affinity and
//! scheduling, whoever asked. A *worker* that ends its job parks, up to a cap,
//! and is handed the next one: creation is not a step on every clone. Idle workers
//! retire after a while, all but one.
//!
//! - **Invariant S1:** [`Spawner::spawn`] returns `Ok` only when a thread is
//!   responsible for the job, and never waits for another job.
//! - **Invariant S2:** taking a worker off the idle list, under the lock, is
//!   the one commit point for both dispatch and retirement.
//! - **Invariant S3:** no lock is held while a thread starts, is joined, or
//!   runs a job.
//! - **Invariant S4:** when [`Spawner::close`] returns, every worker has been
//!   joined: its thread-local destructors ran.

mod creator;
mod worker;

use creator::Creator;
use rivix_sync::{Mutex, Parker, level};
use std::sync::Arc;
use std::thread::JoinHandle;
use worker::Worker;

/// One unit of work.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Why no thread took the job; the job comes back.
pub enum SpawnError {
    /// The spawner is closed.
    Closed(Job),
    /// The host refused a thread.
    NoThread(std::io::Error, Job),
}

impl std::fmt::Debug for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpawnError::Closed(_) => f.write_str("Closed"),
            SpawnError::NoThread(error, _) => f.debug_tuple("NoThread").field(error).finish(),
        }
    }
}

/// Counters, for `--stats` and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpawnerStats {
    pub live: usize,
    pub idle: usize,
    pub created: u64,
    pub jobs: u64,
    pub refused: u64,
    pub panics: u64,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Arc<Worker>>,
    /// Threads made or being made and not yet retired.
    live: usize,
    closed: bool,
    /// The one retired thread that nobody has joined yet.
    last_dead: Option<JoinHandle<()>>,
    created: u64,
    jobs: u64,
    refused: u64,
    panics: u64,
}

struct Shared {
    pool: Mutex<level::Pool, Pool>,
    max_idle: usize,
    /// Unparked when `live` falls to zero after close.
    drained: Parker,
}

/// Makes and keeps threads. Dropping it closes it.
pub struct Spawner {
    shared: Arc<Shared>,
    creator: Creator,
}

impl Spawner {
    /// Starts the creator. At most `max_idle` workers stay parked.
    pub fn new(max_idle: usize) -> std::io::Result<Spawner> {
        Spawner::with_stack_size(max_idle, DEFAULT_STACK)
    }

    pub fn with_stack_size(max_idle: usize, stack: usize) -> std::io::Result<Spawner> {
        let shared = Arc::new(Shared {
            pool: Mutex::new(Pool::default()),
            max_idle,
            drained: Parker::new(),
        });
        let creator = Creator::start(stack)?;
        Ok(Spawner { shared, creator })
    }

    /// Hands `job` to an idle worker, or to a new one. `name` is the thread's
    /// name while it runs (15 bytes are kept).
    pub fn spawn(&self, name: &str, job: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
        self.spawn_job(name, Box::new(job))
    }

    pub fn spawn_job(&self, name: &str, job: Job) -> Result<(), SpawnError> {
        let idle = {
            let mut pool = self.shared.pool.lock();
            if pool.closed {
                return Err(SpawnError::Closed(job));
            }
            pool.jobs += 1;
            let idle = pool.idle.pop();
            if idle.is_none() {
                pool.live += 1;
            }
            idle
        };
        if let Some(worker) = idle {
            worker.assign(name, job);
            return Ok(());
        }
        match self.creator.create(&self.shared, name, job) {
            Ok(()) => {
                self.shared.pool.lock().created += 1;
                Ok(())
            }
            Err((error, job)) => {
                let mut pool = self.shared.pool.lock();
                pool.jobs -= 1;
                pool.refused += 1;
                drop(pool);
                self.shared.gone();
                Err(SpawnError::NoThread(error, job))
            }
        }
    }

    pub fn stats(&self) -> SpawnerStats {
        let pool = self.shared.pool.lock();
        SpawnerStats {
            live: pool.live,
            idle: pool.idle.len(),
            created: pool.created,
            jobs: pool.jobs,
            refused: pool.refused,
            panics: pool.panics,
        }
    }

    /// Refuses new jobs, waits for running ones to end by themselves, joins
    /// every thread. Called on a worker it only refuses and wakes the idle.
    pub fn close(&self) {
        let (idle, live) = {
            let mut pool = self.shared.pool.lock();
            pool.closed = true;
            (std::mem::take(&mut pool.idle), pool.live)
        };
        for worker in idle {
            worker.retire();
        }
        if worker::is_worker_of(&self.shared) {
            return;
        }
        if live > 0 {
            loop {
                if self.shared.pool.lock().live == 0 {
                    break;
                }
                self.shared.drained.park_until(None);
            }
            // Another closer may wait too.
            self.shared.drained.unpark();
        }
        let last = self.shared.pool.lock().last_dead.take();
        join(last);
        self.creator.stop();
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// One thread fewer.
    fn gone(&self) {
        let mut pool = self.pool.lock();
        pool.live -= 1;
        let drained = pool.closed && pool.live == 0;
        drop(pool);
        if drained {
            self.drained.unpark();
        }
    }
}

/// Workers never panic out of their loop, so a join has nothing to report.
fn join(handle: Option<JoinHandle<()>>) {
    if let Some(handle) = handle
        && handle.thread().id() != std::thread::current().id()
    {
        let _ = handle.join();
    }
}

/// Guest threads run the engine and system-call handlers, not deep recursion.
/// Unoptimised frames are several times larger.
const DEFAULT_STACK: usize = if cfg!(debug_assertions) {
    2 << 20
} else {
    512 << 10
};

#[cfg(test)]
mod tests;
