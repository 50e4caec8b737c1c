//! A job's state, and the worker's side of it.

use super::{Interlock, Job, JobPhase, JobStatus, Running, Scheduled};
use crate::panics::{catch, drop_quietly};
use crate::pool::Shared;
use crate::ticket::report_panic;
use crate::unit::{Link, Ran, Unit};
use crate::{Name, TicketError, WorkerContext};
use rivix_sync::sys::{mutant, thread};
use rivix_sync::{Mutex, Parker, level, thread_local_var};
use std::cell::Cell;
use std::sync::Arc;

/// A job without its function's type, in one allocation with it.
pub(super) trait Item<T: Send + 'static, C: WorkerContext>: Unit<C> {
    fn core(&self) -> &Core<T, C>;
}

pub(super) struct Body<T: Send + 'static, C: WorkerContext, F> {
    core: Core<T, C>,
    function: F,
}

pub(super) struct Core<T: Send + 'static, C: WorkerContext> {
    pub(super) name: Name,
    pub(super) interlock: Interlock<T>,
    link: Link<C>,
    state: Mutex<level::Job, State<C>>,
}

struct State<C: WorkerContext> {
    phase: Phase<C>,
    /// The pool in which the job's one token is on its way (J2).
    token: Option<Arc<Shared<C>>>,
    /// Where to run once more when this run is done.
    again: Option<Arc<Shared<C>>>,
    /// Threads that sleep in `cancel`.
    cancelling: usize,
    is_destroyed: bool,
    /// Threads inside the function, before or behind its `done`.
    inside: usize,
    waiters: Vec<Arc<Parker>>,
    refusal: Option<TicketError>,
    runs: u64,
    panics: u64,
}

enum Phase<C: WorkerContext> {
    Idle,
    /// Wanted in this pool; there is a token.
    Queued(Arc<Shared<C>>),
    /// There is no token.
    Running(thread::ThreadId),
}

thread_local_var! {
    /// The address of the job whose function this thread is in; 0: of none.
    static INSIDE: Cell<usize> = Cell::new(0);
}

impl<T: Send + 'static, C: WorkerContext> Core<T, C> {
    /// Under the interlock.
    pub(super) fn schedule(
        &self,
        item: &Arc<dyn Item<T, C>>,
        pool: &Arc<Shared<C>>,
        is_again: bool,
    ) -> Scheduled {
        {
            let mut state = self.state.lock();
            if state.is_destroyed {
                state.refusal.get_or_insert(TicketError::Closed);
                return Scheduled::Refused;
            }
            if state.cancelling > 0 {
                return Scheduled::Cancelling;
            }
            match state.phase {
                Phase::Queued(_) => return Scheduled::Pending,
                Phase::Running(_) => {
                    if is_again && state.again.is_none() {
                        state.again = Some(pool.clone());
                    }
                    return Scheduled::Running;
                }
                Phase::Idle => state.phase = Phase::Queued(pool.clone()),
            }
            if state.token.is_some() && !mutant("job-two-tokens") {
                // Cancelled a moment ago, its token is still in a worker's hands,
                // and serves this run too.
                return Scheduled::Queued;
            }
            state.token = Some(pool.clone());
        }
        self.hand_over(item, pool.clone());
        // The interlock is held: only a refusal can have made it idle again.
        match self.state.lock().phase {
            Phase::Idle => Scheduled::Refused,
            Phase::Queued(_) | Phase::Running(_) => Scheduled::Queued,
        }
    }

    /// Gives the token, already noted, to `pool`.
    fn hand_over(&self, item: &Arc<dyn Item<T, C>>, pool: Arc<Shared<C>>) {
        let unit: Arc<dyn Unit<C>> = item.clone();
        if let Err(why) = pool.submit_unit(unit) {
            self.undelivered(item, why);
        }
    }

    /// The token came back without having met a worker: a queued job becomes
    /// idle, and its owner can ask why.
    fn undelivered(&self, item: &Arc<dyn Item<T, C>>, why: TicketError) {
        let mut why = Some(why);
        // Every further round needs somebody who meanwhile cancelled the job and
        // scheduled it in yet another pool.
        loop {
            let (left, waiters) = {
                let mut state = self.state.lock();
                let came_from = state.token.take();
                let next = state.wanted_elsewhere(&came_from);
                let mut gone = Phase::Idle;
                if next.is_none() && matches!(state.phase, Phase::Queued(_)) {
                    std::mem::swap(&mut state.phase, &mut gone);
                    std::mem::swap(&mut state.refusal, &mut why);
                }
                state.token.clone_from(&next);
                let waiters = match next {
                    Some(_) => Vec::new(),
                    None => std::mem::take(&mut state.waiters),
                };
                ((came_from, gone, next), waiters)
            };
            wake(waiters);
            let (.., Some(pool)) = &left else { return };
            let unit: Arc<dyn Unit<C>> = item.clone();
            match pool.submit_unit(unit) {
                Ok(()) => return,
                Err(error) => why = Some(error),
            }
        }
    }

    /// Under the interlock. False: the job runs.
    pub(super) fn take_back(&self, item: &Arc<dyn Item<T, C>>) -> bool {
        let (token, gone) = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Idle => return true,
                Phase::Running(_) => {
                    let again = match mutant("job-cancel-leaves-rerun") {
                        true => None,
                        false => state.again.take(),
                    };
                    drop(state);
                    drop(again);
                    return false;
                }
                Phase::Queued(_) => {
                    let gone = std::mem::replace(&mut state.phase, Phase::Idle);
                    (state.token.clone(), gone)
                }
            }
        };
        drop(gone);
        let unit: Arc<dyn Unit<C>> = item.clone();
        if let Some(pool) = token
            && pool.withdraw(&unit)
        {
            let token = self.state.lock().token.take();
            drop(token);
        }
        true
    }

    /// A worker brings the token: shall it run the job?
    fn begin(&self, item: &Arc<dyn Item<T, C>>) -> bool {
        let (token, next, waiters) = {
            let mut state = self.state.lock();
            let token = state.token.take();
            let next = state.wanted_elsewhere(&token);
            let is_wanted_here = next.is_none() && matches!(state.phase, Phase::Queued(_));
            // The fault: having it off the queue is held for permission to run it.
            if is_wanted_here || mutant("job-dequeue-blind") {
                // The worker has the pool too: its last reference is not dropped here.
                state.begin();
                return true;
            }
            state.token.clone_from(&next);
            (token, next, std::mem::take(&mut state.waiters))
        };
        drop(token);
        wake(waiters);
        // Cancelled here and scheduled there, while the token was on its way here.
        if let Some(pool) = next {
            self.hand_over(item, pool);
        }
        false
    }

    /// Under the interlock, by the thread that runs the job.
    pub(super) fn finish(&self, item: &Arc<dyn Item<T, C>>) {
        let (again, waiters) = {
            let mut state = self.state.lock();
            let again = match mutant("job-rerun-kept") {
                true => state.again.clone(),
                false => state.again.take(),
            };
            let again = again.filter(|_| !mutant("job-rerun-lost"));
            state.phase = match &again {
                Some(pool) => Phase::Queued(pool.clone()),
                None => Phase::Idle,
            };
            state.token.clone_from(&again);
            (again, std::mem::take(&mut state.waiters))
        };
        if !mutant("job-done-untold") {
            wake(waiters);
        }
        if let Some(pool) = again {
            self.hand_over(item, pool);
        }
    }

    /// The function has returned.
    fn leave(&self, is_panicked: bool) {
        let waiters = {
            let mut state = self.state.lock();
            state.inside -= 1;
            state.panics += u64::from(is_panicked);
            std::mem::take(&mut state.waiters)
        };
        wake(waiters);
    }

    pub(super) fn is_run_by_caller(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Running(runner) if runner == thread::current_id())
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>() as usize
    }

    /// Is the caller inside the function, even behind its `done`?
    pub(super) fn is_inside(&self) -> bool {
        INSIDE
            .try_with(Cell::get)
            .is_ok_and(|inside| inside == self.address())
    }

    /// Refuses to schedule the job while the result lives.
    pub(super) fn begin_cancel(&self) -> Cancelling<'_, T, C> {
        self.state.lock().cancelling += 1;
        Cancelling(self)
    }

    pub(super) fn begin_destroy(&self) {
        self.state.lock().is_destroyed = true;
    }

    pub(super) fn wait_while_running(&self) {
        self.wait_while(|state| matches!(state.phase, Phase::Running(_)));
    }

    /// While the job runs, or a thread is on its way into it or out of it.
    pub(super) fn wait_while_referenced(&self) {
        self.wait_while(|state| state.inside > 0 || state.token.is_some());
    }

    fn wait_while(&self, is_so: impl Fn(&State<C>) -> bool) {
        let parker = Arc::new(Parker::new());
        loop {
            {
                let mut state = self.state.lock();
                if !is_so(&state) {
                    // Told of something else meanwhile, it may still be listed.
                    state.waiters.retain(|waiter| !Arc::ptr_eq(waiter, &parker));
                    return;
                }
                // A waker takes the whole list: enter it anew for each sleep.
                state.waiters.push(parker.clone());
            }
            parker.park();
        }
    }

    pub(super) fn status(&self) -> JobStatus {
        let state = self.state.lock();
        JobStatus {
            phase: match state.phase {
                Phase::Idle => JobPhase::Idle,
                Phase::Queued(_) => JobPhase::Queued,
                Phase::Running(_) => JobPhase::Running,
            },
            is_again: state.again.is_some(),
            runs: state.runs,
            panics: state.panics,
        }
    }

    pub(super) fn take_refusal(&self) -> Option<TicketError> {
        self.state.lock().refusal.take()
    }
}

impl<C: WorkerContext> State<C> {
    /// The pool in which the job is queued, when that is not the one its token was in.
    fn wanted_elsewhere(&self, token: &Option<Arc<Shared<C>>>) -> Option<Arc<Shared<C>>> {
        match &self.phase {
            Phase::Queued(pool) if token.as_ref().is_none_or(|in_| !Arc::ptr_eq(in_, pool)) => {
                Some(pool.clone())
            }
            _ => None,
        }
    }

    fn begin(&mut self) {
        self.phase = Phase::Running(thread::current_id());
        self.inside += 1;
        self.runs += 1;
    }
}

/// A thread sleeps in `cancel`.
pub(super) struct Cancelling<'a, T: Send + 'static, C: WorkerContext>(&'a Core<T, C>);

impl<T: Send + 'static, C: WorkerContext> Drop for Cancelling<'_, T, C> {
    fn drop(&mut self) {
        self.0.state.lock().cancelling -= 1;
    }
}

fn wake(waiters: Vec<Arc<Parker>>) {
    for waiter in waiters {
        waiter.unpark();
    }
}

impl<T: Send + 'static, C: WorkerContext, F> Body<T, C, F> {
    pub(super) fn new(name: Name, interlock: Interlock<T>, function: F) -> Self {
        Body {
            core: Core {
                name,
                interlock,
                link: Link::new(),
                state: Mutex::new(State {
                    phase: Phase::Idle,
                    token: None,
                    again: None,
                    cancelling: 0,
                    is_destroyed: false,
                    inside: 0,
                    waiters: Vec::new(),
                    refusal: None,
                    runs: 0,
                    panics: 0,
                }),
            },
            function,
        }
    }
}

impl<T, C, F> Item<T, C> for Body<T, C, F>
where
    T: Send + 'static,
    C: WorkerContext,
    F: Fn(&Job<T, C>, Running<'_, T, C>) + Send + Sync + 'static,
{
    fn core(&self) -> &Core<T, C> {
        &self.core
    }
}

impl<T, C, F> Unit<C> for Body<T, C, F>
where
    T: Send + 'static,
    C: WorkerContext,
    F: Fn(&Job<T, C>, Running<'_, T, C>) + Send + Sync + 'static,
{
    fn name(&self) -> Option<Name> {
        Some(self.core.name)
    }

    fn link(&self) -> &Link<C> {
        &self.core.link
    }

    fn run(self: Arc<Self>, context: &mut C) -> Ran {
        let job = Job { item: self.clone() };
        if !self.core.begin(&job.item) {
            drop_quietly((job, self));
            return Ran::Stopped;
        }
        let _ = INSIDE.try_with(|inside| inside.set(self.core.address()));
        let is_done = Cell::new(false);
        let running = Running {
            job: &job,
            context,
            is_done: &is_done,
        };
        let outcome = catch(|| (self.function)(&job, running));
        if !is_done.get() {
            let _guard = job.lock();
            self.core.finish(&job.item);
        }
        let _ = INSIDE.try_with(|inside| inside.set(0));
        self.core.leave(outcome.is_err());
        // With the last handle gone, what the function captured goes here.
        drop_quietly((job, self));
        match outcome {
            Ok(()) => Ran::Ended,
            Err(payload) => {
                report_panic(payload);
                Ran::Panicked
            }
        }
    }

    fn refuse(self: Arc<Self>, why: TicketError) {
        let item: Arc<dyn Item<T, C>> = self;
        item.core().undelivered(&item, why);
        drop_quietly(item);
    }

    fn waits_for_thread(&self) -> bool {
        true
    }
}
