//! The part of a pool that its workers and the creator hold.

use super::state::{Limits, Phase, State, Step};
use super::worker::{Acceptance, Newborn, Order, Retiring, StartError, Worker};
use super::{Config, Full};
use crate::creator::{Birth, Creator, Wants, create_here, join};
use crate::current::OwnPool;
use crate::panics::{catch, drop_quietly};
use crate::unit::UnitRef;
use crate::{Name, TicketError, WorkerContext, current, host};
use nix::errno::Errno;
use rivix_sync::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use rivix_sync::sys::mutant;
use rivix_sync::sys::thread::JoinHandle;
use rivix_sync::{Mutex, level};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) struct Shared<C: WorkerContext> {
    pub(crate) id: u64,
    pub(crate) config: Config,
    pub(crate) seed: Arc<C::Seed>,
    /// Let go when the pool is over, so that the creator does not outlive its
    /// users by the time that a worker takes to let go of the pool.
    pub(super) creator: Mutex<level::Worker, Option<Creator>>,
    /// The host was seen to grant threads of this kind; see [`super::Pool`].
    pub(super) is_proven: AtomicBool,
    /// Closing was given up: the end is not waited for any more.
    pub(super) is_given_up: AtomicBool,
    pub(super) state: Mutex<level::Pool, State<C>>,
    /// User handles; workers are not counted.
    pub(super) users: AtomicUsize,
    pub(super) me: Weak<Shared<C>>,
}

/// Why nobody is responsible for a unit.
pub(crate) enum Why<E> {
    Closed,
    Full,
    NoThread(Errno),
    Context(E),
}

/// Will somebody ask the host again?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// The creator, after a pause.
    Retry,
    /// Nobody: the thread was there and could not begin, or nobody can be asked.
    None,
}

/// A unit that nobody took.
pub(crate) struct Refusal<C: WorkerContext> {
    pub(crate) why: Why<C::Error>,
    pub(crate) unit: UnitRef<C>,
}

/// What to do about a unit, decided under the lock and done without it.
enum Dispatch<C: WorkerContext> {
    /// Queued for this worker, or for whoever is free sooner.
    Call(Arc<Worker<C>>),
    Create(u64),
    Queued,
    No(Why<C::Error>),
}

impl<C: WorkerContext> Dispatch<C> {
    /// As [`State::hand`]; None: `unit` is still there.
    fn hand(state: &mut State<C>, unit: &mut Option<UnitRef<C>>) -> Option<Self> {
        match state.hand(unit.take()?) {
            Ok(Some(worker)) => Some(Dispatch::Call(worker)),
            Ok(None) => Some(Dispatch::Queued),
            Err(back) => {
                *unit = Some(back);
                None
            }
        }
    }
}

impl<C: WorkerContext> Shared<C> {
    fn limits(&self) -> Limits {
        Limits {
            max_idle: self.config.max_idle,
            cap: self.config.cap,
        }
    }

    fn creator(&self) -> Option<Creator> {
        self.creator.lock().clone()
    }

    /// Has the thread made; refuses it when the pool has no creator any more.
    pub(super) fn have_made(&self, newborn: Arc<dyn Birth>) {
        match self.creator() {
            Some(creator) => creator.create(newborn),
            None => newborn.refused(Errno::ESHUTDOWN),
        }
    }

    fn arc(&self) -> Option<Arc<Shared<C>>> {
        self.me.upgrade()
    }

    /// Finds a thread for `unit` and returns when one is responsible.
    pub(crate) fn submit(self: &Arc<Self>, unit: UnitRef<C>) -> Result<(), Refusal<C>> {
        if current::is_creator() {
            // The creator waits for no new thread (C1).
            return self.submit_by(unit, Self::make_here);
        }
        let mut unit = Some(unit);
        let must_ask;
        let mut rescue = None;
        let was_open = mutant("pool-closed-unlocked") && self.state.lock().phase == Phase::Open;
        let dispatch = {
            let mut state = self.state.lock();
            let dispatch = if state.phase != Phase::Open && !was_open {
                Dispatch::No(Why::Closed)
            } else if let Some(dispatch) = Dispatch::hand(&mut state, &mut unit) {
                dispatch
            } else if state.has_room(self.config.cap) {
                match state.backoff.wait() {
                    // The host refused a moment ago, and somebody will come free.
                    Some(_) if self.may_queue(&state) => {
                        state.queue.extend(unit.take());
                        rescue = self.take_rescuer(&mut state);
                        Dispatch::Queued
                    }
                    _ => Dispatch::Create(state.begin_birth(false)),
                }
            } else if self.config.full == Full::Refuse {
                Dispatch::No(Why::Full)
            } else {
                state.queue.extend(unit.take());
                Dispatch::Queued
            };
            if !matches!(dispatch, Dispatch::No(_)) {
                state.counts.units += 1;
            }
            must_ask = state.lacks_spares(self.config.spare) && state.has_room(self.config.cap);
            dispatch
        };
        let refused = match dispatch {
            Dispatch::Call(worker) => {
                worker.order(Order::Look);
                None
            }
            Dispatch::Queued => None,
            Dispatch::No(why) => unit.take().map(|unit| Refusal { why, unit }),
            Dispatch::Create(id) => match unit.take() {
                Some(unit) => self.create(id, unit).err(),
                None => None,
            },
        };
        if let Some((worker, unit)) = rescue {
            worker.order(Order::Run(unit));
        }
        if must_ask {
            self.ask();
        }
        refused.map_or(Ok(()), Err)
    }

    /// Is there, or will there be, a worker of this pool for a queued unit
    /// though the host refuses threads?
    fn may_queue(&self, state: &State<C>) -> bool {
        self.config.cap.is_some() && self.config.full == Full::Queue && state.has_taker()
            || self.config.rescue && (state.rescuer.is_some() || state.has_taker())
    }

    fn create(self: &Arc<Self>, id: u64, unit: UnitRef<C>) -> Result<(), Refusal<C>> {
        let acceptance = Acceptance::new();
        let newborn = Newborn::with_unit(self.clone(), id, unit, acceptance.clone());
        self.state.lock().births.push_back(newborn.clone());
        self.have_made(newborn);
        let Err((error, unit)) = acceptance.wait() else {
            return Ok(());
        };
        let Some(unit) = unit else {
            return Ok(());
        };
        match error {
            StartError::NoThread(errno) => self.second_chance(errno, unit),
            StartError::Context(error) => self.not_taken(Why::Context(error), unit),
        }
    }

    /// The host refused a thread: somebody may have come free meanwhile.
    fn second_chance(self: &Arc<Self>, errno: Errno, unit: UnitRef<C>) -> Result<(), Refusal<C>> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            drop(state);
            return self.not_taken(Why::Closed, unit);
        }
        let unit = match state.hand(unit) {
            Ok(called) => {
                drop(state);
                if let Some(worker) = called {
                    worker.order(Order::Look);
                }
                return Ok(());
            }
            Err(unit) => unit,
        };
        if !self.may_queue(&state) {
            drop(state);
            return self.not_taken(Why::NoThread(errno), unit);
        }
        state.queue.push(unit);
        let rescue = self.take_rescuer(&mut state);
        drop(state);
        rescue.into_iter().for_each(|(worker, unit)| {
            worker.order(Order::Run(unit));
        });
        Ok(())
    }

    fn not_taken(&self, why: Why<C::Error>, unit: UnitRef<C>) -> Result<(), Refusal<C>> {
        self.state.lock().counts.units -= 1;
        Err(Refusal { why, unit })
    }

    /// The resting rescuer and the unit at the head of the queue.
    fn take_rescuer(&self, state: &mut State<C>) -> Option<(Arc<Worker<C>>, UnitRef<C>)> {
        state.rescuer.as_ref()?;
        let unit = state.queue.pop()?;
        state.running += 1;
        state.rescuer.take().map(|worker| (worker, unit))
    }

    /// Finds a thread for `unit` without waiting and without allocating: when
    /// no worker is idle it is queued and the creator is asked.
    pub(crate) fn submit_later(self: &Arc<Self>, unit: UnitRef<C>) -> Result<(), Refusal<C>> {
        self.submit_by(unit, Self::ask)
    }

    fn submit_by(
        self: &Arc<Self>,
        unit: UnitRef<C>,
        get_thread: impl FnOnce(&Self),
    ) -> Result<(), Refusal<C>> {
        let mut unit = Some(unit);
        let (dispatch, must_ask) = {
            let mut state = self.state.lock();
            let dispatch = if state.phase != Phase::Open {
                Dispatch::No(Why::Closed)
            } else if let Some(dispatch) = Dispatch::hand(&mut state, &mut unit) {
                dispatch
            } else if !state.has_room(self.config.cap) && self.config.full == Full::Refuse {
                Dispatch::No(Why::Full)
            } else {
                state.queue.extend(unit.take());
                Dispatch::Queued
            };
            if !matches!(dispatch, Dispatch::No(_)) {
                state.counts.units += 1;
            }
            let has_room = state.has_room(self.config.cap);
            let must_ask = has_room && state.wanted(self.config.spare) > 0;
            (dispatch, must_ask)
        };
        match (dispatch, unit.take()) {
            (Dispatch::Call(worker), _) => worker.order(Order::Look),
            (Dispatch::No(why), Some(unit)) => return Err(Refusal { why, unit }),
            _ => {}
        }
        if must_ask {
            get_thread(self);
        }
        Ok(())
    }

    /// On the creator: makes the threads that are wanted now.
    fn make_here(&self) {
        let Some(me) = self.arc() else { return };
        self.state.lock().is_asked = true;
        if me.make_wanted().is_some() {
            self.state.lock().is_asked = false;
            self.ask();
        }
    }

    /// Takes a queued unit back; true: nobody will run it.
    pub(crate) fn withdraw(&self, unit: &Arc<dyn crate::unit::Unit<C>>) -> bool {
        let found = {
            let mut state = self.state.lock();
            let found = state.queue.remove(unit);
            state.counts.units -= u64::from(found.is_some());
            found
        };
        match found {
            Some(unit) => {
                unit.disarm();
                self.finish_if_over();
                true
            }
            None => false,
        }
    }

    /// Has the creator look at the queue and the spares.
    pub(crate) fn ask(&self) {
        {
            let mut state = self.state.lock();
            if state.is_asked {
                return;
            }
            state.is_asked = true;
        }
        self.send_want();
    }

    /// As `ask`, though the creator may have put the pool off: what it counted
    /// on has changed.
    fn ask_again(&self) {
        self.state.lock().is_asked = true;
        self.send_want();
    }

    fn send_want(&self) {
        match (self.creator(), self.arc()) {
            (Some(creator), Some(me)) => creator.want(me),
            _ => self.unanswered(),
        }
    }

    /// Asks for whoever is queued and would be served by nobody.
    pub(super) fn ask_if_stranded(&self) {
        let is_stranded = self.state.lock().is_stranded();
        if is_stranded && !mutant("pool-strand-queued") {
            self.ask_again();
        }
    }

    /// No thread will come, for now: whoever waits in the queue gets the rescuer,
    /// another worker, or an answer.
    pub(crate) fn settle(&self, error: StartError<C::Error>, hope: Hope) {
        let (rescue, refused) = {
            let mut state = self.state.lock();
            let rescue = self.take_rescuer(&mut state);
            let mut refused = Vec::new();
            if rescue.is_none() && !state.has_taker() {
                let may_keep = state.phase == Phase::Open && hope == Hope::Retry;
                let mut kept = crate::unit::Queue::new();
                while let Some(unit) = state.queue.pop() {
                    if may_keep && unit.waits_for_thread() {
                        kept.push(unit);
                    } else {
                        refused.push(unit);
                    }
                }
                state.queue = kept;
            }
            (rescue, refused)
        };
        if let Some((worker, unit)) = rescue {
            worker.order(Order::Run(unit));
        }
        let error: TicketErrors = error.into();
        for unit in refused {
            unit.refuse(error.one());
        }
        self.finish_if_over();
    }

    /// On the new thread: what must hold before it works.
    pub(super) fn begin_life(&self, name: Name) -> Result<C, StartError<C::Error>> {
        let config = &self.config;
        let set = config
            .class
            .apply()
            .and_then(|()| config.cpu.map_or(Ok(()), host::pin));
        match set {
            Err(errno) if !config.may_fall_back => return Err(StartError::NoThread(errno)),
            Err(_) => self.state.lock().counts.fallbacks += 1,
            Ok(()) => {}
        }
        match catch(|| C::enter(&self.seed, name.as_str())) {
            Ok(entered) => entered.map_err(StartError::Context),
            Err(payload) => {
                tracing::error!(
                    message = crate::payload_text(&payload),
                    "a worker's context panicked"
                );
                drop_quietly(payload);
                self.count_panic();
                Err(StartError::NoThread(Errno::EIO))
            }
        }
    }

    /// A thread that need not be made any more: a worker has taken its unit over.
    pub(super) fn birth_spared(&self) {
        self.state.lock().end_birth(false);
        self.finish_if_over();
        self.ask_if_stranded();
    }

    pub(super) fn worker_began(&self, worker: &Arc<Worker<C>>, is_hungry: bool) {
        let mut state = self.state.lock();
        state.end_birth(is_hungry);
        state.births.retain(|newborn| newborn.id() != worker.id());
        state.running += 1;
        state.counts.created += 1;
        state.backoff.granted();
        state.roster.insert(worker.id(), worker.clone());
    }

    pub(super) fn worker_failed(&self, id: u64, is_hungry: bool, is_rescuer: bool) -> Retiring {
        let mut state = self.state.lock();
        state.end_birth(is_hungry);
        state.births.retain(|newborn| newborn.id() != id);
        state.lacks_rescuer |= is_rescuer;
        state.retiring += 1;
        state.counts.refused += 1;
        Retiring
    }

    pub(super) fn birth_refused(&self, id: u64, is_hungry: bool, is_rescuer: bool) {
        {
            let mut state = self.state.lock();
            state.end_birth(is_hungry);
            state.births.retain(|newborn| newborn.id() != id);
            state.lacks_rescuer |= is_rescuer;
            state.counts.refused += 1;
            state.backoff.refused();
        }
        self.finish_if_over();
    }

    pub(super) fn count_panic(&self) {
        self.state.lock().counts.panics += 1;
    }

    pub(super) fn next_step(&self, worker: &Arc<Worker<C>>, is_called: bool) -> Step<C> {
        let (step, is_left) = {
            let mut state = self.state.lock();
            let step = state.next(worker, self.limits(), is_called);
            let is_left = state.is_stranded() || state.lacks_rescuer;
            (step, is_left)
        };
        if is_left {
            self.ask_again();
        }
        step
    }

    pub(super) fn time_out(&self, worker: &Arc<Worker<C>>) -> bool {
        let mut state = self.state.lock();
        if mutant("pool-retire-unlisted") {
            // Retires though a dispatcher took it off the list.
            state.idle.retain(|idle| !Arc::ptr_eq(idle, worker));
            state.retiring += 1;
            return true;
        }
        state.time_out(worker, self.config.spare)
    }

    /// The retiring worker's own handle goes in; the handle of one that retired
    /// before comes out.
    pub(super) fn exchange_dead(&self, id: u64, own: JoinHandle<()>) -> Option<JoinHandle<()>> {
        let mut state = self.state.lock();
        let left = state.roster.remove(&id);
        #[cfg(rivix_model)]
        {
            state.unjoined += 1;
        }
        let mut found = state.exchange_dead(own);
        if mutant("pool-reap-no-exchange") {
            // The one that was there is forgotten, not joined.
            found = None;
        }
        drop(state);
        drop(left);
        found
    }

    /// Joins a thread that left its handle here.
    pub(super) fn join_dead(&self, handle: JoinHandle<()>) {
        join(handle);
        #[cfg(rivix_model)]
        {
            self.state.lock().unjoined -= 1;
        }
    }

    pub(super) fn retired(&self) {
        self.state.lock().retiring -= 1;
        self.finish_if_over();
    }

    /// Tells the closers, when the last worker has gone. When nobody waits and
    /// nobody can come to wait, the creator takes the last thread over.
    pub(super) fn finish_if_over(&self) {
        let (closers, orphans) = {
            let mut state = self.state.lock();
            if !state.is_over() {
                return;
            }
            let is_forgotten = state.closers.is_empty() && self.users.load(Ordering::Acquire) == 0;
            let orphans = match is_forgotten {
                true => std::mem::take(&mut state.dead),
                false => VecDeque::new(),
            };
            (state.closers.clone(), orphans)
        };
        for closer in closers {
            if !mutant("pool-close-untold") {
                closer.unpark();
            }
        }
        if !orphans.is_empty() {
            let creator = self.creator.lock().take();
            if let Some(creator) = creator {
                orphans.into_iter().for_each(|handle| creator.adopt(handle));
            }
        }
    }

    /// Lets the creator go, on a thread that may join it.
    pub(super) fn let_creator_go(&self) {
        if mutant("pool-closed-unlocked") {
            // A pool without a creator refuses late units, and would hide it.
            return;
        }
        let creator = self.creator.lock().take();
        drop(creator);
    }
}

impl<C: WorkerContext> Wants for Shared<C> {
    fn make_wanted(self: Arc<Self>) -> Option<Instant> {
        loop {
            let mut handed = Vec::new();
            let birth = {
                let mut state = self.state.lock();
                while state.queue.len() > state.called
                    && let Some(worker) = state.take_idle()
                {
                    if let Some(unit) = state.queue.pop() {
                        handed.push((worker, unit));
                    }
                }
                let is_wanted = state.wanted(self.config.spare) > 0
                    && state.has_room(self.config.cap)
                    && state.phase != Phase::Cancelling;
                let wants_rescuer = state.lacks_rescuer && state.phase == Phase::Open;
                match state.backoff.wait() {
                    _ if wants_rescuer => {
                        state.lacks_rescuer = false;
                        Some((state.begin_birth(false), true))
                    }
                    _ if !is_wanted => {
                        state.is_asked = false;
                        None
                    }
                    Some(at) if state.has_taker() => {
                        // A worker that comes free serves the queue before that.
                        drop(state);
                        hand_out(handed);
                        return Some(at);
                    }
                    _ => Some((state.begin_birth(true), false)),
                }
            };
            hand_out(handed);
            let (id, is_rescuer) = birth?;
            let newborn: Arc<dyn Birth> = match is_rescuer {
                true => Newborn::rescuer(self.clone(), id, None),
                false => Newborn::hungry(self.clone(), id),
            };
            if !create_here(&newborn) {
                let mut state = self.state.lock();
                let is_owed = state.lacks_rescuer && state.phase == Phase::Open;
                let retry = match state.queue.is_empty() && !is_owed {
                    true => None,
                    // Whoever came since the others were told is told soon.
                    false if state.is_stranded() && state.queue.has_impatient() => {
                        Some(Instant::now())
                    }
                    // The pause may be over already.
                    false => Some(state.backoff.wait().unwrap_or_else(Instant::now)),
                };
                state.is_asked = retry.is_some();
                return retry;
            }
        }
    }

    fn unanswered(&self) {
        self.state.lock().is_asked = false;
        self.settle(StartError::NoThread(Errno::ESHUTDOWN), Hope::None);
    }
}

fn hand_out<C: WorkerContext>(handed: Vec<(Arc<Worker<C>>, UnitRef<C>)>) {
    for (worker, unit) in handed {
        worker.order(Order::Run(unit));
    }
}

impl<C: WorkerContext> OwnPool for Shared<C> {
    fn id(&self) -> u64 {
        self.id
    }

    fn block(&self) {
        let must_ask = {
            let mut state = self.state.lock();
            state.blocked += 1;
            !state.queue.is_empty() && (state.has_room(self.config.cap) || !state.has_taker())
        };
        if must_ask {
            self.ask_again();
        }
    }

    fn unblock(&self) {
        self.state.lock().blocked -= 1;
    }
}

/// One start error for any number of tickets.
enum TicketErrors {
    NoThread(Errno),
    Context(Arc<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<StartError<E>> for TicketErrors {
    fn from(error: StartError<E>) -> Self {
        match error {
            StartError::NoThread(errno) => TicketErrors::NoThread(errno),
            StartError::Context(error) => TicketErrors::Context(Arc::new(error)),
        }
    }
}

impl TicketErrors {
    fn one(&self) -> TicketError {
        match self {
            TicketErrors::NoThread(errno) => TicketError::NoThread(*errno),
            TicketErrors::Context(error) => TicketError::Context(Box::new(error.clone())),
        }
    }
}
