//! What only the runner's own thread touches: the services and the overflow.

use super::runner::Shared;
use super::scoped::guarded;
use super::slot::Unit;
use super::stream::{self, StreamId};
use super::{LaneError, Service, Stage};
use crate::panics::{catch, drop_quietly};
use crate::ticket::report_panic;
use crate::{Outcome, Payload, TicketError};
use rivix_sync::sys::atomic::Ordering;
use rivix_sync::thread_local_var;
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The runner's own state, and the context its units run with.
pub(super) struct Local {
    shared: Arc<Shared>,
    /// A lane has few services: looking through a list is quickest.
    services: RefCell<Vec<(TypeId, Rc<dyn AnyService>)>>,
    /// Services whose making is under way, further down this stack.
    making: RefCell<Vec<TypeId>>,
    /// Units from the runner itself that found no slot, each with the generation
    /// that was open: its place is after that generation.
    overflow: RefCell<VecDeque<PutOff>>,
}

type PutOff = (u64, StreamId, Box<dyn BoxedUnit>);

thread_local_var! {
    static LOCAL: RefCell<Option<Rc<Local>>> = RefCell::new(None);
}

/// The runner's state, on its own thread.
pub(super) fn current() -> Option<Rc<Local>> {
    LOCAL
        .try_with(|local| local.borrow().clone())
        .ok()
        .flatten()
}

struct Held<S: Service> {
    state: RefCell<S>,
    utilities: Arc<S::Utilities>,
    /// Its deadline hook panicked: not asked again until a unit has run.
    is_mute: Cell<bool>,
}

trait AnyService: Any {
    fn next_deadline(&self) -> Option<Instant>;
    fn on_deadline(&self);
    fn mute(&self, is_mute: bool);
}

impl<S: Service> AnyService for Held<S> {
    fn next_deadline(&self) -> Option<Instant> {
        if self.is_mute.get() {
            return None;
        }
        self.state.borrow_mut().next_deadline()
    }

    fn on_deadline(&self) {
        self.state.borrow_mut().on_deadline();
    }

    fn mute(&self, is_mute: bool) {
        self.is_mute.set(is_mute);
    }
}

impl Local {
    pub(super) fn new(shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Local {
            shared,
            services: RefCell::default(),
            making: RefCell::default(),
            overflow: RefCell::default(),
        })
    }

    /// This thread is the runner now.
    pub(super) fn enter(self: &Rc<Self>) {
        stream::set_lane(self.shared.id());
        let old = LOCAL.try_with(|local| local.replace(Some(self.clone())));
        drop(old);
    }

    /// And no more.
    pub(super) fn leave(&self) {
        let old = LOCAL.try_with(|local| local.replace(None));
        drop(old);
        stream::set_lane(0);
        stream::set(StreamId::NONE);
    }

    fn service<S: Service>(&self) -> Option<Rc<dyn AnyService>> {
        let wanted = TypeId::of::<S>();
        let services = self.services.borrow();
        services
            .iter()
            .find(|(id, _)| *id == wanted)
            .map(|(_, service)| service.clone())
    }

    /// Runs `task` with the service's state.
    pub(super) fn act<S: Service, R>(&self, task: impl FnOnce(&mut S) -> R) -> Outcome<R> {
        let Some(service) = self.service::<S>() else {
            return Err(TicketError::Closed);
        };
        let service: &dyn Any = &*service;
        let Some(held) = service.downcast_ref::<Held<S>>() else {
            return Err(TicketError::Closed);
        };
        held.is_mute.set(false);
        match held.state.try_borrow_mut() {
            Ok(mut state) => Ok(task(&mut state)),
            // It is this very thread that is using it, further down the stack.
            Err(_) => Err(TicketError::WouldDeadlock),
        }
    }

    /// As `act`, with panics as errors: for calls from the runner itself.
    pub(super) fn act_inline<S: Service, R>(&self, task: impl FnOnce(&mut S) -> R) -> Outcome<R> {
        guarded(|| self.act(task))
    }

    /// The service's utilities; the service is made if it is not there yet.
    pub(super) fn make<S: Service, M: FnOnce() -> S>(
        &self,
        make: &mut Option<M>,
    ) -> Result<Arc<S::Utilities>, LaneError> {
        let id = TypeId::of::<S>();
        if let Some(service) = self.service::<S>() {
            let service: &dyn Any = &*service;
            if let Some(held) = service.downcast_ref::<Held<S>>() {
                return Ok(held.utilities.clone());
            }
        }
        if self.making.borrow().contains(&id) {
            return Err(LaneError::WouldDeadlock);
        }
        let Some(make) = make.take() else {
            return Err(LaneError::Closed);
        };
        self.making.borrow_mut().push(id);
        let made = catch(|| {
            let service = make();
            let utilities = Arc::new(service.utilities());
            (service, utilities)
        });
        self.making.borrow_mut().retain(|other| *other != id);
        match made {
            Ok((service, utilities)) => {
                let held = Rc::new(Held {
                    state: RefCell::new(service),
                    utilities: utilities.clone(),
                    is_mute: Cell::new(false),
                });
                self.services
                    .borrow_mut()
                    .push((id, held as Rc<dyn AnyService>));
                Ok(utilities)
            }
            Err(payload) => {
                let message = crate::payload_text(&payload).into();
                drop_quietly(payload);
                Err(LaneError::InitPanicked(message))
            }
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.shared.stage
    }

    /// A unit with no one to hear of it panicked.
    fn panicked(&self, payload: Payload) {
        self.shared.counts.panicked.fetch_add(1, Ordering::Relaxed);
        report_panic(payload);
    }

    /// Takes a unit from the runner's own thread.
    pub(super) fn submit<U: Unit<Local> + 'static>(
        &self,
        stream: StreamId,
        unit: U,
    ) -> Result<(), U> {
        let ring = &self.shared.ring;
        let mut overflow = self.overflow.borrow_mut();
        let unit = if overflow.is_empty() {
            match ring.push(stream, unit) {
                Ok(()) => return Ok(()),
                Err((_, unit)) => unit,
            }
        } else {
            unit
        };
        if ring.is_closed() {
            return Err(unit);
        }
        let open = ring.store().generation();
        overflow.push_back((open, stream, Box::new(unit)));
        Ok(())
    }

    pub(super) fn has_overflow(&self) -> bool {
        !self.overflow.borrow().is_empty()
    }

    /// Runs what was put off until after `generation`. How many were run.
    pub(super) fn run_overflow(&self, generation: u64) -> u32 {
        let mut ran = 0;
        loop {
            let unit = {
                let mut overflow = self.overflow.borrow_mut();
                match overflow.front() {
                    // Generations wrap; later ones are less than half a turn ahead.
                    Some((after, ..)) if !is_after(*after, generation) => overflow.pop_front(),
                    _ => None,
                }
            };
            let Some((_, stream, unit)) = unit else {
                return ran;
            };
            if self.shared.ring.is_cancelled() {
                drop_quietly(unit);
            } else {
                unit.run_boxed(self, stream);
                ran += 1;
            }
        }
    }

    /// When the runner must be awake next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let mut first = None;
        self.each_service(|service| {
            if let Some(at) = service.next_deadline() {
                first = Some(first.map_or(at, |first: Instant| first.min(at)));
            }
        });
        first
    }

    /// Serves the services whose time has come.
    pub(super) fn serve_deadlines(&self) {
        stream::set(StreamId::NONE);
        self.each_service(|service| {
            let deadline = service.next_deadline();
            if deadline.is_some_and(|at| at <= Instant::now()) {
                service.on_deadline();
            }
        });
    }

    fn each_service(&self, mut ask: impl FnMut(&dyn AnyService)) {
        let mut at = 0;
        loop {
            // One at a time: a hook may add services.
            let service = match self.services.borrow().get(at) {
                Some((_, service)) => service.clone(),
                None => return,
            };
            at += 1;
            if let Err(payload) = catch(|| ask(&*service)) {
                service.mute(true);
                self.panicked(payload);
            }
        }
    }

    /// Drops the services, the last made first.
    pub(super) fn drop_services(&self) {
        drop_quietly(self.overflow.take());
        loop {
            let service = self.services.borrow_mut().pop();
            match service {
                Some(service) => drop_quietly(service),
                None => return,
            }
        }
    }
}

/// Is generation `a` after `b`, counting in 31 bits?
pub(super) fn is_after(a: u64, b: u64) -> bool {
    let ahead = a.wrapping_sub(b) & ((1 << 31) - 1);
    ahead != 0 && ahead < 1 << 30
}

trait BoxedUnit {
    fn run_boxed(self: Box<Self>, local: &Local, stream: StreamId);
}

impl<U: Unit<Local>> BoxedUnit for U {
    fn run_boxed(self: Box<Self>, local: &Local, stream: StreamId) {
        (*self).run(local, stream);
    }
}

/// A unit nobody waits for. As large as its closure: the service is found by type.
pub(super) struct Post<S, F> {
    pub(super) task: F,
    _service: PhantomData<fn(S)>,
}

impl<S, F> Post<S, F> {
    pub(super) fn new(task: F) -> Self {
        Post {
            task,
            _service: PhantomData,
        }
    }
}

impl<S: Service, F: FnOnce(&mut S) + Send> Unit<Local> for Post<S, F> {
    fn run(self, local: &Local, stream: StreamId) {
        stream::set(stream);
        let task = self.task;
        if let Err(payload) = catch(move || local.act::<S, _>(task)) {
            local.panicked(payload);
        }
    }
}
