//! The spawner that a kernel holds.

use crate::asynchronous::Polled;
use crate::pool::{Close, PoolBuilder, PoolKey, PoolStats, Pools, Stuck};
use crate::ticket::Ticket;
use crate::unit::Body;
use crate::{
    Class, Creator, Name, NoContext, Pool, PoolError, Role, SpawnError, TicketError, WorkerContext,
    current, host,
};
use nix::errno::Errno;
use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Threads for whatever a kernel must do beside its callers.
///
/// `spawn` never waits for another unit: it takes an idle worker or has a new
/// one made. At most `max_idle` workers stay parked. Each unit receives its
/// worker's context.
///
/// ```
/// use rivix_spawner::{DynamicThreadSpawner, NoContext};
///
/// let spawner = DynamicThreadSpawner::<NoContext>::new(2, ())?;
/// let ticket = spawner.spawn_and_get_result(|_| 6 * 7);
/// assert_eq!(ticket.wait().unwrap(), 42);
/// assert_eq!(spawner.spawn_and_get_result_sync(|_| "done").unwrap(), "done");
/// spawner.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DynamicThreadSpawner<C: WorkerContext = NoContext> {
    pool: Pool<C>,
    pools: Pools<C>,
    /// Class pools in use by this spawner; the registry does not keep them alive.
    held: Mutex<level::Pools, BTreeMap<PoolKey, Pool<C>>>,
    creator: Creator,
}

impl<C: WorkerContext> DynamicThreadSpawner<C> {
    /// Starts the creator. At most `max_idle` workers stay parked; `seed` is
    /// what their contexts are made from.
    ///
    /// # Errors
    /// The host's error number when it refuses the creator's thread.
    pub fn new(max_idle: usize, seed: C::Seed) -> Result<Self, Errno> {
        Self::with_builder(seed, move |builder| builder.max_idle(max_idle))
    }

    /// As [`DynamicThreadSpawner::new`]; `adjust` sets what it likes of the
    /// pools' name, stack, times and spares.
    pub fn with_builder(
        seed: C::Seed,
        adjust: impl Fn(PoolBuilder<C>) -> PoolBuilder<C> + Send + Sync + 'static,
    ) -> Result<Self, Errno> {
        let creator = Creator::start()?;
        let seed = Arc::new(seed);
        let pools = Pools::new(&creator, move |creator, _| {
            adjust(Pool::builder_shared(creator, seed.clone()).name("spawner"))
        });
        let pool = pools.get(PoolKey::default()).map_err(|error| match error {
            PoolError::NoThread(errno) => errno,
            PoolError::Invalid(_) | PoolError::Context(_) => Errno::EINVAL,
        })?;
        Ok(DynamicThreadSpawner {
            pool,
            pools,
            held: Mutex::new(BTreeMap::new()),
            creator,
        })
    }

    /// Runs `f` on a worker of its own; returns once a thread is responsible.
    pub fn spawn<F>(&self, f: F) -> Result<(), SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) + Send + 'static,
    {
        self.pool.spawn(f).map(Ticket::detach)
    }

    /// As `spawn`; the thread, and its task where there is one, is called `name`.
    pub fn spawn_named<F>(&self, name: &str, f: F) -> Result<(), SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) + Send + 'static,
    {
        self.pool.spawn_named(name, f).map(Ticket::detach)
    }

    /// As `spawn_named`; the thread has `role` while `f` runs. A role that the
    /// host refuses is logged, and `f` runs without it.
    pub fn spawn_with_role<F>(
        &self,
        name: &str,
        role: Role,
        f: F,
    ) -> Result<(), SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) + Send + 'static,
    {
        let own = self.pool.shared.config.class;
        self.pool
            .spawn_body(Some(Name::new(name)), InRole { role, own, body: f })
            .map(Ticket::<()>::detach)
            .map_err(|error| error.map(|in_role| in_role.body))
    }

    /// Runs `f` on a worker; the ticket, a future, gives what it returns.
    /// Dropping the ticket cancels nothing. Never waits; failures arrive in the
    /// ticket.
    pub fn spawn_and_get_result<F, R>(&self, f: F) -> Ticket<R>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.pool.spawn_nowait(f)
    }

    /// Runs `f` on a worker and sleeps until it returns.
    pub fn spawn_and_get_result_sync<F, R>(&self, f: F) -> Result<R, TicketError>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.pool.run(f)
    }

    /// Runs an asynchronous closure on a worker of its own, which polls it to
    /// its end; what was put off runs after each poll and after the future is gone.
    pub fn spawn_async<F>(&self, f: F) -> Result<(), SpawnError<F, C::Error>>
    where
        F: AsyncFnOnce(&C) + Send + 'static,
    {
        self.pool.spawn_async(f).map(Ticket::detach)
    }

    /// As `spawn_async`; the ticket gives what it returns.
    pub fn spawn_async_and_get_result<F, R>(&self, f: F) -> Ticket<R>
    where
        F: AsyncFnOnce(&C) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.pool.spawn_body_nowait(None, Polled(f))
    }

    /// Runs `f` on a worker of class `class`; the class's pool is made at first use.
    ///
    /// # Errors
    /// What the host refuses of the class comes back as [`SpawnError::NoThread`].
    pub fn spawn_class<F, R>(
        &self,
        class: Class,
        f: F,
    ) -> Result<Ticket<R>, SpawnError<F, C::Error>>
    where
        F: FnOnce(&mut C) -> R + Send + 'static,
        R: Send + 'static,
    {
        match self.class(PoolKey { class, cpu: None }) {
            Ok(pool) => pool.spawn(f),
            Err(PoolError::NoThread(errno)) => Err(SpawnError::NoThread(errno, f)),
            Err(PoolError::Context(error)) => Err(SpawnError::Context(error, f)),
            Err(PoolError::Invalid(_)) => Err(SpawnError::NoThread(Errno::EINVAL, f)),
        }
    }

    fn class(&self, key: PoolKey) -> Result<Pool<C>, PoolError<C::Error>> {
        let held = self.held.lock().get(&key).cloned();
        if let Some(pool) = held {
            return Ok(pool);
        }
        let pool = self.pools.get(key)?;
        let old = self.held.lock().insert(key, pool.clone());
        drop(old);
        Ok(pool)
    }

    /// The pool that `spawn` uses.
    pub fn pool(&self) -> &Pool<C> {
        &self.pool
    }

    /// Pools by class and CPU, whose workers carry the same context.
    pub fn pools(&self) -> &Pools<C> {
        &self.pools
    }

    /// The thread that makes threads; other pools may share it.
    pub fn creator(&self) -> &Creator {
        &self.creator
    }

    /// The counters of every pool of this spawner that is in use.
    pub fn stats(&self) -> Vec<PoolStats> {
        self.pools.in_use().iter().map(Pool::stats).collect()
    }

    /// Refuses new units, runs those that wait, joins every worker, ends the
    /// creator. On one of its own workers it waits for nothing, and the rest
    /// happens after that worker's unit.
    pub fn close(&self) {
        self.close_pools(|pool| pool.close(Close::Drain));
        self.creator.close();
    }

    /// As `close`, but at most `patience` for each pool; then what still runs
    /// is named, and the spawner may be closed again.
    pub fn close_timeout(&self, patience: Duration) -> Result<(), Stuck> {
        let mut stuck = Stuck { units: Vec::new() };
        self.close_pools(|pool| {
            if let Err(more) = pool.close_timeout(Close::Drain, patience) {
                stuck.units.extend(more.units);
            }
        });
        if !stuck.units.is_empty() {
            return Err(stuck);
        }
        self.creator.close();
        Ok(())
    }

    fn close_pools(&self, mut close: impl FnMut(&Pool<C>)) {
        let held: Vec<Pool<C>> = self.held.lock().values().cloned().collect();
        for pool in held.iter().chain([&self.pool]) {
            close(pool);
        }
    }
}

/// A body that runs in a role.
struct InRole<F> {
    role: Role,
    own: Class,
    body: F,
}

impl<C, R, F: FnOnce(&mut C) -> R + Send + 'static> Body<C, R> for InRole<F> {
    fn call(self, context: &mut C) -> R {
        let (before, assumed) = host::assume(self.role, self.own);
        if let Err(errno) = assumed {
            tracing::warn!(%errno, role = ?self.role, "the host refuses a role");
        }
        let _restore = Restore(before);
        (self.body)(context)
    }
}

/// Goes back to the thread's own role, after a panic too. A thread that cannot
/// go back serves nobody else.
struct Restore(Role);

impl Drop for Restore {
    fn drop(&mut self) {
        if host::restore(self.0).is_err() {
            current::spoil();
        }
    }
}
