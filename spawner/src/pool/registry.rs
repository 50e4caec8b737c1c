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
        let pool = {
            let mut known = self.known.lock();
            match known.get(&key).and_then(adopt) {
                Some(pool) => pool,
                None => {
                    let mut builder = (self.make)(&self.creator, key).class(key.class);
                    if let Some(cpu) = key.cpu {
                        builder = builder.cpu(cpu);
                    }
                    let pool = builder.build_unproven()?;
                    known.insert(key, Arc::downgrade(&pool.shared));
                    pool
                }
            }
        };
        if key != PoolKey::default() {
            pool.prove()?;
        }
        Ok(pool)
    }

    /// The unbound pool of a class and one pool for each of the first `cpus` CPUs.
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
        self.known.lock().values().filter_map(adopt).collect()
    }
}

/// One more user of a pool that still has one; a pool whose last user has gone
/// is not revived.
fn adopt<C: WorkerContext>(known: &Weak<Shared<C>>) -> Option<Pool<C>> {
    let shared = known.upgrade()?;
    let mut users = shared.users.load(Ordering::Relaxed);
    while users > 0 {
        match shared
            .users
            .compare_exchange(users, users + 1, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) => return Some(Pool { shared }),
            Err(now) => users = now,
        }
    }
    None
}
