//! The end of a pool.

use super::state::Phase;
use super::worker::Order;
use super::{Pool, Shared};
use crate::{Name, TicketError, WorkerContext, current};
use rivix_sync::sys::atomic::Ordering;
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
        if self.must_not_wait() {
            return self.shared.begin_close(how, None);
        }
        assert_no_lock_held("closing a pool");
        let closer = Arc::new(Parker::new());
        self.shared.begin_close(how, Some(&closer));
        self.shared.wait_until_over(&closer, None);
    }

    /// This thread is one that closing would wait for.
    fn must_not_wait(&self) -> bool {
        self.is_own() || current::is_creator()
    }

    /// As [`Pool::close`], for `patience` at most. On failure the pool keeps
    /// its state: it may be closed again, and ends when its units do; dropping it
    /// waits for nothing.
    pub fn close_timeout(&self, how: Close, patience: Duration) -> Result<(), Stuck> {
        let deadline = Instant::now().checked_add(patience);
        if self.must_not_wait() {
            self.shared.begin_close(how, None);
        } else {
            let closer = Arc::new(Parker::new());
            self.shared.begin_close(how, Some(&closer));
            if self.shared.wait_until_over(&closer, deadline) {
                return Ok(());
            }
            self.shared.is_given_up.store(true, Ordering::Release);
        }
        let workers: Vec<_> = self.shared.state.lock().roster.values().cloned().collect();
        let own = self.shared.config.name;
        let units = workers.iter().filter_map(|worker| worker.busy_with(own));
        Err(Stuck {
            units: units.collect(),
        })
    }
}

impl<C: WorkerContext> Shared<C> {
    /// One way: open, then draining, then cancelling. `closer` is told when the
    /// pool is over, and is the one that joins its last worker.
    pub(super) fn begin_close(&self, how: Close, closer: Option<&Arc<Parker>>) {
        let phase = match how {
            Close::Drain => Phase::Draining,
            Close::Cancel => Phase::Cancelling,
        };
        let (idle, dropped) = {
            let mut state = self.state.lock();
            state.phase = state.phase.max(phase);
            state.closers.extend(closer.cloned());
            let mut idle = std::mem::take(&mut state.idle);
            idle.extend(state.rescuer.take());
            state.retiring += idle.len();
            let mut dropped = Vec::new();
            // Nobody would run what the host gives no thread for.
            let is_stranded = state.is_stranded() && !state.is_asked;
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
    fn wait_until_over(&self, closer: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let _blocked = current::block();
        let is_over = loop {
            let last = {
                let mut state = self.state.lock();
                match state.is_over() && !state.is_joining {
                    false => None,
                    true => {
                        let dead = std::mem::take(&mut state.dead);
                        state.is_joining = !dead.is_empty();
                        Some(dead)
                    }
                }
            };
            match last {
                Some(dead) if dead.is_empty() => break true,
                Some(dead) => {
                    dead.into_iter().for_each(|handle| self.join_dead(handle));
                    // Other closers return no earlier than this.
                    let others = {
                        let mut state = self.state.lock();
                        state.is_joining = false;
                        state.closers.clone()
                    };
                    others.iter().for_each(|other| other.unpark());
                    break true;
                }
                None if !closer.park_until(deadline) => break false,
                None => {}
            }
        };
        {
            let mut state = self.state.lock();
            state.closers.retain(|other| !Arc::ptr_eq(other, closer));
        }
        if is_over {
            self.let_creator_go();
        }
        is_over
    }
}
