//! A set of lanes: which there are, and who gives them their threads.

use super::runner::{Body, Join, Shared};
use super::{Close, LaneError, LaneKey, LaneStats, Stage, local, stream};
use crate::panics::catch;
use crate::{Pool, SpawnError, WorkerContext};
use nix::errno::Errno;
use rivix_sync::{Mutex, level};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// How many units a lane takes while its runner is busy, if nothing else is said.
pub const DEFAULT_CAPACITY: u32 = 1024;

type Host = dyn Fn(&str, Box<dyn FnOnce() + Send>) -> Result<Join, Errno> + Send + Sync;

/// The lanes of one owner: at most one per key and stage.
///
/// Dropping it closes them all, running what they hold, and waits for their
/// threads; on a thread that is itself one of the runners it only closes them.
/// [`Lane`](super::Lane) handles may outlive it: their lane is closed then.
pub struct Lanes {
    host: Box<Host>,
    capacity: u32,
    state: Mutex<level::Lane, State>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Closing took too long once: the end is not waited for any more.
    is_given_up: bool,
    lanes: HashMap<(LaneKey, Stage), Arc<Shared>>,
    /// The counts of lanes that have ended.
    ended: Vec<LaneStats>,
}

impl Lanes {
    /// A set whose lanes get their threads from `host`: given a name and what to
    /// run, it starts it on a thread of its own and returns how to wait for that
    /// thread's end, or the host's error. Called with no lock held.
    pub fn new<H>(host: H) -> Self
    where
        H: Fn(&str, Box<dyn FnOnce() + Send>) -> Result<Join, Errno> + Send + Sync + 'static,
    {
        Lanes {
            host: Box::new(host),
            capacity: DEFAULT_CAPACITY,
            state: Mutex::default(),
        }
    }

    /// A set whose lanes each run on a worker of `pool`, named after the lane, for
    /// as long as they live.
    pub fn on<C: WorkerContext>(pool: &Pool<C>) -> Self {
        let pool = pool.clone();
        Lanes::new(move |name: &str, body: Box<dyn FnOnce() + Send>| {
            let unit = pool.spawn_named(name, move |_: &mut C| body());
            match unit {
                Ok(ticket) => Ok(Box::new(move || drop(ticket.wait())) as Join),
                Err(SpawnError::NoThread(errno, _)) => Err(errno),
                Err(SpawnError::Closed(_)) => Err(Errno::ESHUTDOWN),
                Err(SpawnError::Full(_) | SpawnError::Context(..)) => Err(Errno::EAGAIN),
            }
        })
    }

    /// How many units each lane takes while its runner is busy with others, at
    /// least 1. A lane keeps twice as many slots of 64 bytes.
    pub fn with_capacity(mut self, units: u32) -> Self {
        self.capacity = units.clamp(1, 1 << 20);
        self
    }

    /// The lane of this key and stage, started if it is not there. While a former
    /// one is closing, this waits for its end.
    pub(super) fn find(&self, key: LaneKey, stage: Stage) -> Result<Arc<Shared>, LaneError> {
        loop {
            let (shared, body) = {
                let mut state = self.state.lock();
                if state.is_closed {
                    return Err(LaneError::Closed);
                }
                match state.lanes.get(&(key, stage)) {
                    Some(shared) => (shared.clone(), None),
                    None => {
                        let (shared, body) = Shared::new(key, stage, self.capacity);
                        state.lanes.insert((key, stage), shared.clone());
                        (shared, Some(body))
                    }
                }
            };
            if let Some(body) = body {
                self.start(&shared, body)?;
            }
            if !shared.ring.is_closed() {
                return Ok(shared);
            }
            if shared.is_here() {
                return Err(LaneError::Closed);
            }
            may_wait(stage, "opening a closing lane");
            shared.wait_joined(None);
            self.forget(&shared);
        }
    }

    fn start(&self, shared: &Arc<Shared>, body: Body) -> Result<(), LaneError> {
        let name = shared.key.thread_name(shared.stage);
        let answer = catch(|| (self.host)(&name, Box::new(move || body.run())));
        let answer = answer.unwrap_or_else(|payload| {
            crate::ticket::report_panic(payload);
            Err(Errno::EIO)
        });
        let refusal = answer.as_ref().err().copied();
        shared.started(answer);
        match refusal {
            Some(errno) => {
                self.forget(shared);
                Err(LaneError::NoThread(errno))
            }
            None => Ok(()),
        }
    }

    fn forget(&self, shared: &Arc<Shared>) {
        // Before the lock: a lane's own is of the same level.
        let stats = shared.stats();
        let mut state = self.state.lock();
        let at = (shared.key, shared.stage);
        let is_same = state
            .lanes
            .get(&at)
            .is_some_and(|other| Arc::ptr_eq(other, shared));
        let old = if is_same {
            state.lanes.remove(&at)
        } else {
            None
        };
        if old.is_some() {
            match state.ended.iter_mut().find(|e| (e.key, e.stage) == at) {
                Some(ended) => ended.add(&stats),
                None => state.ended.push(stats),
            }
        }
        drop(state);
        drop(old);
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.state.lock().lanes.values().cloned().collect()
    }

    /// Closes every lane: they take nothing more, and what they hold is run or
    /// dropped. Returns when their services are dropped and their threads gone.
    ///
    /// # Errors
    /// [`LaneError::WouldDeadlock`] on a thread that is one of the runners: nothing
    /// was closed.
    pub fn close(&self, mode: Close) -> Result<(), LaneError> {
        match self.close_until(mode, None) {
            Ok(()) => Ok(()),
            Err(stuck) if stuck.is_empty() => Err(LaneError::WouldDeadlock),
            Err(_) => Err(LaneError::TimedOut),
        }
    }

    /// As [`Lanes::close`], waiting until `deadline` at most.
    ///
    /// # Errors
    /// The lanes whose runners were still busy then; they are closed all the same and
    /// end when they can, and the call may be repeated. Dropping the set then waits
    /// for nothing. None: this thread is one
    /// of the runners, and nothing was closed.
    pub fn close_until(&self, mode: Close, deadline: Option<Instant>) -> Result<(), Vec<LaneKey>> {
        let lanes = self.all();
        if lanes.iter().any(|lane| lane.is_here()) {
            return Err(Vec::new());
        }
        self.refuse(mode);
        // With what came in between.
        let mut stuck = Vec::new();
        for lane in self.all() {
            if lane.wait_joined(deadline) {
                self.forget(&lane);
            } else {
                stuck.push(lane.key);
            }
        }
        if stuck.is_empty() {
            return Ok(());
        }
        self.state.lock().is_given_up = true;
        Err(stuck)
    }

    fn refuse(&self, mode: Close) {
        self.state.lock().is_closed = true;
        for lane in self.all() {
            lane.ring.close(mode);
        }
    }

    /// Counts of each lane that is there or has ended: one for all that were of
    /// the same key and stage.
    pub fn stats(&self) -> Vec<LaneStats> {
        // In one look: a lane that ends meanwhile is counted once.
        let (lanes, ended) = {
            let state = self.state.lock();
            let lanes: Vec<_> = state.lanes.values().cloned().collect();
            (lanes, state.ended.clone())
        };
        let mut all: Vec<_> = lanes.iter().map(|lane| lane.stats()).collect();
        for ended in &ended {
            let of_its_key =
                |stats: &&mut LaneStats| (stats.key, stats.stage) == (ended.key, ended.stage);
            match all.iter_mut().find(of_its_key) {
                Some(stats) => stats.add(ended),
                None => all.push(*ended),
            }
        }
        all.sort_by_key(|stats| (stats.key, stats.stage));
        all
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let is_given_up = self.state.lock().is_given_up;
        if is_given_up || self.close(Close::Drain).is_err() {
            self.refuse(Close::Drain);
        }
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Panics in debug builds when this thread is a downstream runner about to wait for
/// an upstream lane: that lane may be waiting for this one.
pub(super) fn may_wait(stage: Stage, what: &str) {
    if cfg!(debug_assertions) && stage == Stage::Upstream && is_downstream() {
        panic!("{what}: a downstream runner must not wait for an upstream lane");
    }
}

/// Is this thread the runner of a downstream lane?
pub(super) fn is_downstream() -> bool {
    stream::here().lane != 0
        && local::current().is_some_and(|local| local.stage() == Stage::Downstream)
}
