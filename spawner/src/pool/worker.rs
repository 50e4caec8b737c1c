//! A worker: begins, runs units, parks, retires.

use super::Shared;
use super::shared::Hope;
use super::state::Step;
use crate::creator::Birth;
use crate::panics::{catch, drop_quietly};
use crate::unit::{Ran, UnitRef};
use crate::{Class, Name, TicketError, WorkerContext, current, host};
use nix::errno::Errno;
use rivix_sync::sys::atomic::{AtomicBool, Ordering};
use rivix_sync::sys::thread::JoinHandle;
use rivix_sync::{Mutex, Parker, level};
use std::any::TypeId;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

pub(crate) enum Order<C> {
    Run(UnitRef<C>),
    /// There is a unit in the queue, unless another worker was sooner.
    Look,
    Retire,
}

/// One host thread, as its pool knows it.
pub(crate) struct Worker<C> {
    id: u64,
    is_rescuer: bool,
    order: Mutex<level::Worker, Option<Order<C>>>,
    ordered: Parker,
    handle: Mutex<level::Worker, Option<JoinHandle<()>>>,
    has_handle: Parker,
    /// A unit runs, and its name if it has one: for reports of what is stuck.
    is_busy: AtomicBool,
    unit_name: Mutex<level::Worker, Option<Name>>,
}

impl<C> Worker<C> {
    fn new(id: u64, is_rescuer: bool, first: Option<UnitRef<C>>) -> Arc<Self> {
        Arc::new(Worker {
            id,
            is_rescuer,
            order: Mutex::new(first.map(Order::Run)),
            ordered: Parker::new(),
            handle: Mutex::new(None),
            has_handle: Parker::new(),
            is_busy: AtomicBool::new(false),
            unit_name: Mutex::new(None),
        })
    }

    pub(crate) fn is_rescuer(&self) -> bool {
        self.is_rescuer
    }

    /// Asked of the calling worker only.
    pub(crate) fn is_spoiled(&self) -> bool {
        current::is_spoiled()
    }

    /// The name of the unit that runs, `own` for one without; None: none runs.
    pub(crate) fn busy_with(&self, own: Name) -> Option<Name> {
        // A report tells of a moment ago anyhow.
        let is_busy = self.is_busy.load(Ordering::Relaxed);
        is_busy.then(|| self.unit_name.lock().unwrap_or(own))
    }

    fn set_busy(&self, is_busy: bool, name: Option<Name>) {
        if name.is_some() {
            *self.unit_name.lock() = name.filter(|_| is_busy);
        }
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// Orders a worker that was just taken off the idle list.
    pub(crate) fn order(&self, order: Order<C>) {
        *self.order.lock() = Some(order);
        if !rivix_sync::sys::mutant("pool-hand-no-unpark") {
            self.ordered.unpark();
        }
    }

    fn take_order(&self) -> Option<Order<C>> {
        self.order.lock().take()
    }

    fn take_first(&self) -> Option<UnitRef<C>> {
        match self.take_order()? {
            Order::Run(unit) => Some(unit),
            Order::Look | Order::Retire => None,
        }
    }
}

/// Why a thread did not begin to work.
pub(crate) enum StartError<E> {
    NoThread(Errno),
    Context(E),
}

/// Where a spawner waits for its new thread to say that it is responsible.
pub(crate) struct Acceptance<C: WorkerContext> {
    answer: Mutex<level::Ticket, Option<Answer<C>>>,
    answered: Parker,
}

type Answer<C> = Result<(), (StartError<<C as WorkerContext>::Error>, Option<UnitRef<C>>)>;

impl<C: WorkerContext> Acceptance<C> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Acceptance {
            answer: Mutex::new(None),
            answered: Parker::new(),
        })
    }

    fn answer(&self, answer: Answer<C>) {
        *self.answer.lock() = Some(answer);
        self.answered.unpark();
    }

    pub(crate) fn wait(&self) -> Answer<C> {
        loop {
            if let Some(answer) = self.answer.lock().take() {
                return answer;
            }
            self.answered.park();
        }
    }
}

/// A worker that is being made.
pub(crate) struct Newborn<C: WorkerContext> {
    shared: Arc<Shared<C>>,
    worker: Arc<Worker<C>>,
    /// None: made for the queue, or as a spare.
    acceptance: Option<Arc<Acceptance<C>>>,
    is_hungry: bool,
    name: Name,
}

impl<C: WorkerContext> Newborn<C> {
    /// Born holding `unit`.
    pub(crate) fn with_unit(
        shared: Arc<Shared<C>>,
        id: u64,
        unit: UnitRef<C>,
        acceptance: Arc<Acceptance<C>>,
    ) -> Arc<Self> {
        let name = unit.name().unwrap_or(shared.config.name);
        Arc::new(Newborn {
            worker: Worker::new(id, false, Some(unit)),
            acceptance: Some(acceptance),
            is_hungry: false,
            name,
            shared,
        })
    }

    /// Born to look at the queue.
    pub(crate) fn hungry(shared: Arc<Shared<C>>, id: u64) -> Arc<Self> {
        Arc::new(Newborn {
            worker: Worker::new(id, false, None),
            acceptance: None,
            is_hungry: true,
            name: shared.config.name,
            shared,
        })
    }

    /// A rescue pool's ready worker.
    pub(crate) fn rescuer(
        shared: Arc<Shared<C>>,
        id: u64,
        acceptance: Option<Arc<Acceptance<C>>>,
    ) -> Arc<Self> {
        Arc::new(Newborn {
            worker: Worker::new(id, true, None),
            acceptance,
            is_hungry: false,
            name: shared.config.name,
            shared,
        })
    }
}

impl<C: WorkerContext> Newborn<C> {
    pub(crate) fn id(&self) -> u64 {
        self.worker.id
    }

    /// Its unit, when the thread has not begun it.
    pub(crate) fn give_up_unit(&self) -> Option<UnitRef<C>> {
        self.worker.take_first()
    }

    /// Nothing can keep the thread from beginning to work, once it exists: then
    /// the spawner is told by the creator, and the thread wakes nobody before its
    /// unit runs.
    fn is_sure_to_begin(&self) -> bool {
        let config = &self.shared.config;
        let cannot_fail =
            TypeId::of::<C::Error>() == TypeId::of::<Infallible>() && !self.worker.is_rescuer;
        cannot_fail && config.class == Class::Normal && config.cpu.is_none()
    }

    /// Tells the spawner that somebody is responsible.
    fn accept(&self) {
        if let Some(acceptance) = &self.acceptance {
            acceptance.answer(Ok(()));
        }
    }

    /// Made in the place of a rescuer that ended.
    fn is_next_rescuer(&self) -> bool {
        self.worker.is_rescuer && self.acceptance.is_none()
    }
}

impl<C: WorkerContext> Birth for Newborn<C> {
    fn name(&self) -> Name {
        self.name
    }

    fn stack(&self) -> usize {
        self.shared.config.stack
    }

    fn live(self: Arc<Self>) {
        let shared = self.shared.clone();
        current::set(Some(shared.clone()));
        let life = match shared.begin_life(self.name) {
            Ok(context) => {
                shared.worker_began(&self.worker, self.is_hungry);
                if !self.is_sure_to_begin() {
                    self.accept();
                }
                Life {
                    shared: shared.clone(),
                    worker: self.worker.clone(),
                    shown: Some(self.name),
                    may_be_unblocked: false,
                }
                .run(context)
            }
            Err(error) => {
                let first = self.worker.take_first();
                let failed =
                    shared.worker_failed(self.id(), self.is_hungry, self.is_next_rescuer());
                match (&self.acceptance, first) {
                    // Its context panicked, and the spawner counts on it.
                    (Some(_), Some(unit)) if self.is_sure_to_begin() => {
                        unit.refuse(TicketError::NoThread(Errno::EIO));
                    }
                    (Some(acceptance), first) => acceptance.answer(Err((error, first))),
                    (None, _) => shared.settle(error, Hope::None),
                }
                // Others were queued because this thread would come.
                shared.ask_if_stranded();
                failed
            }
        };
        let worker = self.worker.clone();
        drop(self);
        life.reap(&shared, &worker);
        // The pool's last reference may go here: nothing is joined by this thread.
        drop(shared);
        current::set(None);
    }

    fn is_wanted(&self) -> bool {
        let is_spared = self.acceptance.is_some()
            && !self.worker.is_rescuer
            && self.worker.order.lock().is_none();
        if is_spared {
            self.shared.birth_spared();
        }
        !is_spared
    }

    fn born(&self, handle: JoinHandle<()>) {
        *self.worker.handle.lock() = Some(handle);
        self.worker.has_handle.unpark();
        if self.is_sure_to_begin() {
            self.accept();
        }
    }

    fn refused(&self, errno: Errno) {
        let first = self.worker.take_first();
        self.shared
            .birth_refused(self.id(), self.is_hungry, self.is_next_rescuer());
        match &self.acceptance {
            Some(acceptance) => {
                acceptance.answer(Err((StartError::NoThread(errno), first)));
                // Others were queued because this thread would come.
                self.shared.ask_if_stranded();
            }
            // The creator, which asked for it, asks again after a pause.
            None => {
                let error = StartError::NoThread(errno);
                self.shared.settle(error, Hope::Retry);
            }
        }
    }
}

/// The proof that a worker is counted as retiring.
pub(crate) struct Retiring;

/// A thread between its first unit and its last.
struct Life<C: WorkerContext> {
    shared: Arc<Shared<C>>,
    worker: Arc<Worker<C>>,
    /// The host's name for the thread, when known.
    shown: Option<Name>,
    /// Units ran since the signals were blocked.
    may_be_unblocked: bool,
}

impl<C: WorkerContext> Life<C> {
    fn run(mut self, mut context: C) -> Retiring {
        let mut first = self.worker.take_first();
        let mut is_called = false;
        loop {
            let unit = match first.take() {
                Some(unit) => unit,
                None => match self
                    .shared
                    .next_step(&self.worker, std::mem::take(&mut is_called))
                {
                    Step::Run(unit) => unit,
                    Step::TakeOver(unit, newborn) => {
                        newborn.accept();
                        unit
                    }
                    step @ (Step::Park | Step::Rest) => {
                        self.show(self.shared.config.name);
                        self.block_signals();
                        match self.sleep(matches!(step, Step::Rest)) {
                            Order::Run(unit) => unit,
                            Order::Look => {
                                is_called = true;
                                continue;
                            }
                            Order::Retire => break,
                        }
                    }
                    Step::Retire => break,
                },
            };
            self.run_unit(&mut context, unit);
        }
        self.block_signals();
        if let Err(payload) = catch(|| context.leave()) {
            drop_quietly(payload);
            self.shared.count_panic();
        }
        Retiring
    }

    fn run_unit(&mut self, context: &mut C, unit: UnitRef<C>) {
        let own = self.shared.config.name;
        let name = unit.name();
        self.show(name.unwrap_or(own));
        self.worker.set_busy(true, name);
        current::unit_begins();
        let begun = catch(|| context.begin(name.unwrap_or(own).as_str()));
        let ran = unit.run(context);
        let ended = catch(|| {
            context.end();
            rivix_sync::assert_no_lock_held("a unit ended");
        });
        current::unit_ends();
        self.worker.set_busy(false, name);
        // What the unit may have changed, and does not say.
        self.may_be_unblocked = true;
        if !self.shared.config.keeps_mask || ran == Ran::Panicked {
            self.block_signals();
        }
        if name.is_some() {
            self.shown = None;
        }
        for payload in [begun.err(), ended.err()].into_iter().flatten() {
            tracing::error!(
                message = crate::payload_text(&payload),
                "a worker's context panicked"
            );
            drop_quietly(payload);
            self.shared.count_panic();
        }
        if ran == Ran::Panicked {
            self.shared.count_panic();
        }
    }

    /// Blocks every signal that a unit may have left unblocked.
    fn block_signals(&mut self) {
        if std::mem::take(&mut self.may_be_unblocked) {
            host::block_signals();
        }
    }

    /// Names the host thread, unless it has that name.
    fn show(&mut self, name: Name) {
        if self.shown != Some(name) {
            host::set_name(name);
            self.shown = Some(name);
        }
    }

    /// Sleeps until ordered, or until its time is up.
    fn sleep(&self, is_rescuer: bool) -> Order<C> {
        let config = &self.shared.config;
        let mut deadline = match is_rescuer {
            true => None,
            false => Instant::now().checked_add(config.idle_timeout),
        };
        loop {
            let is_woken = self.worker.ordered.park_until(deadline);
            if let Some(order) = self.worker.take_order() {
                return order;
            }
            if !is_woken {
                if self.shared.time_out(&self.worker) {
                    return Order::Retire;
                }
                // A spare, or an order is on its way.
                deadline = None;
            }
        }
    }
}

impl Retiring {
    /// Leaves its own handle for those that retire later, and joins the oldest
    /// when there are several: a few dead threads at most are unjoined, and the
    /// creator never joins a thread that may still run destructors.
    fn reap<C: WorkerContext>(self, shared: &Arc<Shared<C>>, worker: &Arc<Worker<C>>) {
        let own = loop {
            if let Some(handle) = worker.handle.lock().take() {
                break handle;
            }
            worker.has_handle.park();
        };
        if let Some(found) = shared.exchange_dead(worker.id, own) {
            shared.join_dead(found);
        }
        shared.retired();
    }
}

impl<C> Worker<C> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}
