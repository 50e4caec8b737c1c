//! A worker: runs its job, parks, runs the next, retires.

use super::{Job, Shared, join};
use rivix_sync::{Mutex, Parker, level};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a worker beyond the last stays idle.
const IDLE_TIMEOUT: Duration = Duration::from_millis(200);

enum Order {
    Run { name: String, job: Job },
    Retire,
}

pub(crate) struct Worker {
    order: Mutex<level::Pool, Option<Order>>,
    ordered: Parker,
    handle: Mutex<level::Pool, Option<JoinHandle<()>>>,
    has_handle: Parker,
}

thread_local! {
    /// Address of the `Shared` this thread works for, 0 for other threads.
    static WORKS_FOR: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn is_worker_of(shared: &Arc<Shared>) -> bool {
    WORKS_FOR.get() == Arc::as_ptr(shared) as usize
}

impl Worker {
    pub(crate) fn new(name: &str, job: Job) -> Arc<Worker> {
        let worker = Worker {
            order: Mutex::new(Some(Order::Run {
                name: name.to_owned(),
                job,
            })),
            ordered: Parker::new(),
            handle: Mutex::new(None),
            has_handle: Parker::new(),
        };
        worker.ordered.unpark();
        Arc::new(worker)
    }

    pub(crate) fn assign(&self, name: &str, job: Job) {
        *self.order.lock() = Some(Order::Run {
            name: name.to_owned(),
            job,
        });
        self.ordered.unpark();
    }

    pub(crate) fn retire(&self) {
        *self.order.lock() = Some(Order::Retire);
        self.ordered.unpark();
    }

    /// The job of a worker whose thread could not be made.
    pub(crate) fn take_job(&self) -> Option<Job> {
        match self.order.lock().take() {
            Some(Order::Run { job, .. }) => Some(job),
            _ => None,
        }
    }

    pub(crate) fn keep_handle(&self, handle: JoinHandle<()>) {
        *self.handle.lock() = Some(handle);
        self.has_handle.unpark();
    }

    pub(crate) fn run(self: Arc<Self>, shared: &Arc<Shared>) {
        WORKS_FOR.set(Arc::as_ptr(shared) as usize);
        while let Some((name, job)) = self.next(shared) {
            set_name(&name);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                shared.pool.lock().panics += 1;
                tracing::error!(name, "a job panicked");
                // A payload whose own drop panics must not kill the worker.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            }
            if !self.park(shared) {
                break;
            }
        }
        self.reap(shared);
    }

    /// Waits for an order; None: retire. One idle worker stays for good, the
    /// others for [`IDLE_TIMEOUT`].
    fn next(self: &Arc<Self>, shared: &Shared) -> Option<(String, Job)> {
        let mut until = Instant::now().checked_add(IDLE_TIMEOUT);
        loop {
            let is_woken = self.ordered.park_until(until);
            match self.order.lock().take() {
                Some(Order::Run { name, job }) => return Some((name, job)),
                Some(Order::Retire) => return None,
                None => {}
            }
            if !is_woken {
                if self.leave_idle(shared) {
                    return None;
                }
                // The last one, or an order is on its way.
                until = None;
            }
        }
    }

    /// Takes itself off the idle list, unless it is the last there.
    fn leave_idle(self: &Arc<Self>, shared: &Shared) -> bool {
        let mut pool = shared.pool.lock();
        let at = pool.idle.iter().position(|idle| Arc::ptr_eq(idle, self));
        match at {
            Some(at) if pool.idle.len() > 1 => {
                pool.idle.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Joins the idle list; false when the worker must retire.
    fn park(self: &Arc<Self>, shared: &Shared) -> bool {
        let mut pool = shared.pool.lock();
        if pool.closed || pool.idle.len() >= shared.max_idle {
            return false;
        }
        pool.idle.push(self.clone());
        drop(pool);
        set_name("rivix-idle");
        true
    }

    /// Leaves its own handle for the next retiring worker and joins the one it
    /// finds, so at most one dead thread is unjoined and the creator never
    /// blocks in a join.
    fn reap(&self, shared: &Shared) {
        let own = loop {
            if let Some(handle) = self.handle.lock().take() {
                break handle;
            }
            self.has_handle.park_until(None);
        };
        let found = shared.pool.lock().last_dead.replace(own);
        join(found);
        shared.gone();
    }
}

fn set_name(name: &str) {
    let bytes: Vec<u8> = name.bytes().filter(|&b| b != 0).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(bytes) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}
