//! One cell per service of a lane: it is made once, by the first who asks.
//!
//! - **Invariant I1:** per key at most one attempt is under way.
//! - **Invariant I2:** an attempt ends for all who wait on it with the same word; a
//!   failed one leaves no trace, so the next who asks tries again.
//! - **Invariant I3:** the table's lock is not held while a service is made: other
//!   keys go on, and the making may ask for other keys.

use super::sleeper::Event;
use rivix_sync::sys::mutant;
use rivix_sync::{Mutex, level};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

pub(super) struct Cells<K, V, E> {
    cells: Mutex<level::Lane, HashMap<K, Cell<V, E>>>,
}

enum Cell<V, E> {
    Starting(Arc<Attempt<V, E>>),
    Ready(V),
}

/// One try at making a service.
pub(super) struct Attempt<V, E> {
    result: Mutex<level::Lane, Option<Result<V, E>>>,
    ended: Event,
}

/// What one who asks finds.
pub(super) enum Found<'a, K: Eq + Hash + Clone, V: Clone, E: Clone> {
    Ready(V),
    /// Somebody is at it.
    Starting(Arc<Attempt<V, E>>),
    /// The asker is to make it.
    Mine(Starter<'a, K, V, E>),
}

impl<K, V, E> Default for Cells<K, V, E> {
    fn default() -> Self {
        Cells {
            cells: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Cells<K, V, E> {
    pub(super) fn find(&self, key: K) -> Found<'_, K, V, E> {
        let mut cells = self.cells.lock();
        match cells.get(&key) {
            Some(Cell::Ready(value)) => Found::Ready(value.clone()),
            Some(Cell::Starting(attempt)) => Found::Starting(attempt.clone()),
            None => {
                let attempt = Arc::new(Attempt {
                    result: Mutex::new(None),
                    ended: Event::default(),
                });
                cells.insert(key.clone(), Cell::Starting(attempt.clone()));
                Found::Mine(Starter {
                    cells: self,
                    key,
                    attempt,
                })
            }
        }
    }
}

impl<V: Clone, E: Clone> Attempt<V, E> {
    /// Sleeps until the attempt has ended. None: given up without a word.
    pub(super) fn wait(&self) -> Option<Result<V, E>> {
        self.ended.wait_until(None);
        self.result.lock().clone()
    }
}

/// The duty to make a service. Dropped, the attempt has failed without a word.
pub(super) struct Starter<'a, K: Eq + Hash + Clone, V: Clone, E: Clone> {
    cells: &'a Cells<K, V, E>,
    key: K,
    attempt: Arc<Attempt<V, E>>,
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Starter<'_, K, V, E> {
    pub(super) fn end(self, result: Result<V, E>) {
        *self.attempt.result.lock() = Some(result);
        // Its drop tells the waiters.
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Drop for Starter<'_, K, V, E> {
    fn drop(&mut self) {
        let made = match &*self.attempt.result.lock() {
            Some(Ok(value)) => Some(value.clone()),
            _ => None,
        };
        {
            let mut cells = self.cells.cells.lock();
            match made {
                Some(value) => {
                    cells.insert(self.key.clone(), Cell::Ready(value));
                }
                None if mutant("lane-init-no-retry") => {}
                None => {
                    cells.remove(&self.key);
                }
            }
        }
        self.attempt.ended.set();
    }
}
