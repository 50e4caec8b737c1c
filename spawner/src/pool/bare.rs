//! A pool for models: its queue, without workers and without a creator. The
//! model's own threads are the workers.

use super::*;

impl<C: WorkerContext> Pool<C> {
    pub(crate) fn bare(seed: C::Seed) -> Pool<C> {
        let pool = match Pool::builder(&Creator::absent(), seed).build_unproven() {
            Ok(pool) => pool,
            Err(_) => unreachable!("the default settings are valid"),
        };
        pool.shared.state.lock().is_asked = true;
        pool
    }

    /// What a worker does next: takes the head of the queue.
    pub(crate) fn take_queued(&self) -> Option<UnitRef<C>> {
        self.shared.state.lock().queue.pop()
    }
}
