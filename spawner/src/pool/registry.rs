//! Pools by kind, shared by all who ask.

use super::{Pool, PoolBuilder, PoolError, Shared};
use crate::{Class, Creator, WorkerContext};
use rivix_sync::sys::atomic::Ordering;
use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// What kind of workers a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PoolKey {
    pub class: Class,
    /// None: unbound.
    pub cpu: Option<usize>,
}

/// A registry of shared pools, one for each [`PoolKey`] that is in use.
///
/// `get` gives a handle; dropping the last handle of a pool ends it, and the
/// next `get` makes a new one.
pub struct Pools<C: WorkerContext> {
    creator: Creator,
    make: Box<Make<C>>,
    known: Mutex<level::Pools, BTreeMap<PoolKey, Weak<Shared<C>>>>,
}

type Make<C> = dyn Fn(&Creator, PoolKey) -> PoolBuilder<C> + Send + Sync;

impl<C: WorkerContext> Pools<C> {
    /// `make` says how a pool of a key is built; class and CPU are set from the key.
    pub fn new(
        creator: &Creator,
        make: impl Fn(&Creator, PoolKey) -> PoolBuilder<C> + Send + Sync + 'static,
    ) -> Self {
        Pools {
            creator: creator.clone(),
            make: Box::new(make),
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// A handle to the pool of `key`, made at its first use. Callers that race
    /// get the same pool.
    ///
    /// # Errors
    /// What the host refuses: a class, a CPU, a thread.
    pub fn get(&self, key: PoolKey) -> Result<Pool<C>, PoolError<C::Error>> {
        let pool = match self.find(key) {
            Some(pool) => pool,
            None => self.make(key)?,
        };
        pool.prove()?;
        Ok(pool)
    }

    fn find(&self, key: PoolKey) -> Option<Pool<C>> {
        // What is not adopted may be the last reference: dropped without the lock.
        let found = self.known.lock().get(&key)?.upgrade()?;
        adopt(found)
    }

    /// A new pool, unless another caller was faster.
    fn make(&self, key: PoolKey) -> Result<Pool<C>, PoolError<C::Error>> {
        let mut builder = (self.make)(&self.creator, key).class(key.class);
        if let Some(cpu) = key.cpu {
            builder = builder.cpu(cpu);
        }
        let new = builder.build_unproven()?;
        let mut gone = Vec::new();
        let faster = {
            let mut known = self.known.lock();
            let faster = match known.get(&key).and_then(Weak::upgrade).map(try_adopt) {
                Some(Ok(pool)) => Some(pool),
                Some(Err(dying)) => {
                    gone.push(dying);
                    None
                }
                None => None,
            };
            if faster.is_none() {
                known.retain(|_, pool| pool.strong_count() > 0);
                known.insert(key, Arc::downgrade(&new.shared));
            }
            faster
        };
        drop(gone);
        Ok(faster.unwrap_or(new))
    }

    /// One pool of a class for each of the first `cpus` CPUs.
    pub fn per_cpu(&self, class: Class, cpus: usize) -> Result<Vec<Pool<C>>, PoolError<C::Error>> {
        (0..cpus)
            .map(|cpu| {
                self.get(PoolKey {
                    class,
                    cpu: Some(cpu),
                })
            })
            .collect()
    }

    /// The pools in use.
    pub fn in_use(&self) -> Vec<Pool<C>> {
        let known: Vec<_> = {
            let known = self.known.lock();
            known.values().filter_map(Weak::upgrade).collect()
        };
        known.into_iter().filter_map(adopt).collect()
    }
}

fn adopt<C: WorkerContext>(shared: Arc<Shared<C>>) -> Option<Pool<C>> {
    try_adopt(shared).ok()
}

/// One more user of a pool that still has one; a pool whose last user has gone
/// is not revived, and comes back as it is.
fn try_adopt<C: WorkerContext>(shared: Arc<Shared<C>>) -> Result<Pool<C>, Arc<Shared<C>>> {
    let mut users = shared.users.load(Ordering::Relaxed);
    while users > 0 {
        match shared
            .users
            .compare_exchange(users, users + 1, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) => return Ok(Pool { shared }),
            Err(now) => users = now,
        }
    }
    Err(shared)
}
