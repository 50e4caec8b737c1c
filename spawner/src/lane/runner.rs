//! The runner of one lane: its loop, its start and its end.

use super::cells::Cells;
use super::local::Local;
use super::ring::{self, Consumer, Ring};
use super::sleeper::Event;
use super::stream;
use super::{Close, LaneError, LaneKey, LaneStats, Stage};
use crate::panics::catch;
use nix::errno::Errno;
use rivix_sync::sys::atomic::{AtomicU64, Ordering};
use rivix_sync::{Mutex, level};
use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Instant;

/// Waits for a hosted thread's end.
pub type Join = Box<dyn FnOnce() + Send>;

pub(super) type Utilities = Arc<dyn Any + Send + Sync>;

/// What all handles of a lane share with its runner.
pub(super) struct Shared {
    pub(super) key: LaneKey,
    pub(super) stage: Stage,
    pub(super) ring: Arc<Ring<Local>>,
    pub(super) cells: Cells<TypeId, Utilities, LaneError>,
    pub(super) counts: Counts,
    /// The host was asked: `join` is there, or there is none.
    started: Event,
    refused: Mutex<level::Lane, Option<Errno>>,
    join: Mutex<level::Lane, Option<Join>>,
    /// The runner has dropped its units and services.
    ended: Event,
    /// Its thread is gone as well.
    joined: Event,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) run: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Shared {
    pub(super) fn new(key: LaneKey, stage: Stage, capacity: u32) -> (Arc<Self>, Body) {
        let (ring, consumer) = ring::ring(capacity);
        let shared = Arc::new(Shared {
            key,
            stage,
            ring,
            cells: Cells::default(),
            counts: Counts::default(),
            started: Event::default(),
            refused: Mutex::new(None),
            join: Mutex::new(None),
            ended: Event::default(),
            joined: Event::default(),
        });
        let body = Body {
            shared: shared.clone(),
            consumer,
            has_ended: false,
        };
        (shared, body)
    }

    /// The lane's name among lanes: its address.
    #[inline]
    pub(super) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Is this thread the lane's runner?
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        stream::here().lane == self.id()
    }

    /// The host answered.
    pub(super) fn started(&self, answer: Result<Join, Errno>) {
        match answer {
            Ok(join) => *self.join.lock() = Some(join),
            Err(errno) => {
                *self.refused.lock() = Some(errno);
                self.joined.set();
            }
        }
        self.started.set();
    }

    /// Why the lane takes nothing.
    pub(super) fn why_closed(&self) -> LaneError {
        match *self.refused.lock() {
            Some(errno) => LaneError::NoThread(errno),
            None => LaneError::Closed,
        }
    }

    /// Sleeps until the lane, which is closed, has let go of everything; false:
    /// `deadline` came first.
    pub(super) fn wait_ended(&self, deadline: Option<Instant>) -> bool {
        self.ended.wait_until(deadline) && self.started.wait_until(deadline)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_set()
    }

    /// As `wait_ended`, and until its thread is gone.
    pub(super) fn wait_joined(&self, deadline: Option<Instant>) -> bool {
        if !self.wait_ended(deadline) {
            return false;
        }
        let join = self.join.lock().take();
        if let Some(join) = join {
            // The thread has nothing left to do but end: this is short.
            let _ = catch(join);
            self.joined.set();
        }
        self.joined.wait_until(deadline)
    }

    pub(super) fn stats(&self) -> LaneStats {
        let counts = &self.counts;
        LaneStats {
            key: self.key,
            stage: self.stage,
            run: counts.run.load(Ordering::Relaxed),
            batches: counts.batches.load(Ordering::Relaxed),
            panicked: counts.panicked.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
            is_open: !self.has_ended(),
        }
    }
}

/// What the host's thread runs. Dropped unrun, or unwound, it closes the lane and
/// drops what waits there, so that nobody waits for a runner that is not.
pub(super) struct Body {
    shared: Arc<Shared>,
    consumer: Consumer<Local>,
    has_ended: bool,
}

impl Body {
    pub(super) fn run(mut self) {
        let local = Local::new(self.shared.clone());
        local.enter();
        // Nothing in the loop unwinds: units and hooks are caught. Should it all
        // the same, the lane must still end.
        let end = catch(|| self.serve(&local));
        if let Err(payload) = end {
            crate::ticket::report_panic(payload);
            self.abandon();
        }
        local.drop_services();
        local.leave();
        self.end();
    }

    fn serve(&mut self, local: &Local) {
        let counts = &self.shared.counts;
        loop {
            let deadline = local.next_deadline();
            if !local.has_overflow() && !self.consumer.wait(deadline) {
                local.serve_deadlines();
                continue;
            }
            let Some(taken) = self.consumer.take() else {
                return;
            };
            let mut ran = self.consumer.run(local);
            // After the last batch no order is left to keep.
            let until = taken.generation.wrapping_add(taken.is_last.into());
            ran += local.run_overflow(until);
            counts.run.fetch_add(ran.into(), Ordering::Relaxed);
            counts.batches.fetch_add(1, Ordering::Relaxed);
            if taken.is_last {
                return;
            }
            if deadline.is_some() {
                local.serve_deadlines();
            }
        }
    }

    /// Drops all that waits. Without a runner's state: it may never have been one.
    fn abandon(&mut self) {
        self.shared.ring.close(Close::Cancel);
        self.consumer.discard();
        while self.consumer.take().is_some() {
            self.consumer.discard();
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.shared.ended.set();
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.has_ended {
            // Whoever is opening the lane shall not try this host again and again.
            *self.shared.refused.lock() = Some(Errno::ECANCELED);
            self.abandon();
            self.end();
        }
    }
}
