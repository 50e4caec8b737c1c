//! The end of a pool.

use super::state::Phase;
use super::worker::Order;
use super::{Pool, Shared};
use crate::creator::join;
use crate::{Name, TicketError, WorkerContext, current};
use rivix_sync::{Parker, assert_no_lock_held};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What becomes of units that are queued when a pool closes. Units that run
/// are always waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// They run.
    Drain,
    /// They are dropped; their tickets say [`TicketError::Closed`].
    Cancel,
}

/// A pool did not end in time: what still runs.
#[derive(Debug, thiserror::Error)]
#[error("{} units still run: {units:?}", units.len())]
pub struct Stuck {
    /// The names of the units, or the pool's for one without.
    pub units: Vec<Name>,
}

impl<C: WorkerContext> Pool<C> {
    /// Refuses new units, ends those that are queued as `how` says, and waits
    /// until every worker has been joined: their thread-local destructors ran.
    ///
    /// On one of the pool's own workers, or on the creator, it waits for
    /// nothing: the pool ends after the calling unit has.
    pub fn close(&self, how: Close) {
        self.shared.begin_close(how);
        if self.is_own() || current::is_creator() {
            return;
        }
        assert_no_lock_held("closing a pool");
        self.shared.wait_until_over(None);
    }

    /// As [`Pool::close`], for `patience` at most. On failure the pool keeps
    /// its state: it may be closed again, and ends when its units do.
    pub fn close_timeout(&self, how: Close, patience: Duration) -> Result<(), Stuck> {
        let deadline = Instant::now().checked_add(patience);
        self.shared.begin_close(how);
        if !self.is_own() && !current::is_creator() && self.shared.wait_until_over(deadline) {
            return Ok(());
        }
        let workers: Vec<_> = self.shared.state.lock().roster.values().cloned().collect();
        let units = workers.iter().filter_map(|worker| worker.busy_with());
        Err(Stuck {
            units: units.collect(),
        })
    }
}

impl<C: WorkerContext> Shared<C> {
    /// One way: open, then draining, then cancelling.
    pub(super) fn begin_close(&self, how: Close) {
        let phase = match how {
            Close::Drain => Phase::Draining,
            Close::Cancel => Phase::Cancelling,
        };
        let (idle, dropped) = {
            let mut state = self.state.lock();
            state.phase = state.phase.max(phase);
            let mut idle = std::mem::take(&mut state.idle);
            idle.extend(state.rescuer.take());
            state.retiring += idle.len();
            let mut dropped = Vec::new();
            // Nobody would run what the host gives no thread for.
            let is_stranded = !state.has_taker() && !state.is_asked;
            if state.phase == Phase::Cancelling || is_stranded {
                while let Some(unit) = state.queue.pop() {
                    dropped.push(unit);
                }
            }
            (idle, dropped)
        };
        for worker in idle {
            worker.order(Order::Retire);
        }
        for unit in dropped {
            unit.refuse(TicketError::Closed);
        }
        self.finish_if_over();
    }

    /// False: `deadline` came first.
    fn wait_until_over(&self, deadline: Option<Instant>) -> bool {
        let parker = Arc::new(Parker::new());
        {
            let mut state = self.state.lock();
            if !state.is_over() {
                state.closers.push(parker.clone());
            }
        }
        let _blocked = current::block();
        loop {
            let (is_over, dead) = {
                let mut state = self.state.lock();
                let is_over = state.is_over();
                let dead = match is_over {
                    true => state.dead.take(),
                    false => None,
                };
                (is_over, dead)
            };
            if is_over {
                if let Some(handle) = dead {
                    join(handle);
                }
                return true;
            }
            if !parker.park_until(deadline) {
                let mut state = self.state.lock();
                state.closers.retain(|closer| !Arc::ptr_eq(closer, &parker));
                return false;
            }
        }
    }
}
