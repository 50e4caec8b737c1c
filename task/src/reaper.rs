//! What processes leave behind that nobody waits for, released on a worker.
//!
//! An ignored SIGCHLD, SA_NOCLDWAIT, or a parent that has gone: the process
//! leaves the table at once, with its number and all that guests can see. What
//! hangs on it (the process, its task, whatever only they kept alive) is let go
//! by a job, so that neither the thread that ends nor the lock it held pays for
//! somebody else's remains. A process that is waited for is released by the
//! one who waits.

use crate::pids::Process;
use crate::task::Task;
use crate::worker_context::KernelWorker;
use rivix_spawner::{Interlock, Job, JobStatus, Pool, Running, Scheduled};
use std::sync::Arc;

/// A process out of the table, and its task if that was still there.
pub(crate) type Remains = (Process, Option<Arc<Task>>);

/// The job and what waits for it.
pub(crate) struct Reaper {
    left: Interlock<Vec<Remains>>,
    job: Job<Vec<Remains>, KernelWorker>,
}

/// The job: until nothing is left.
fn let_go(job: &Job<Vec<Remains>, KernelWorker>, running: Running<'_, Vec<Remains>, KernelWorker>) {
    loop {
        let mut left = job.lock();
        if left.is_empty() {
            // Under the lock: whoever adds something from now on schedules.
            return running.done(&left);
        }
        let remains = std::mem::take(&mut *left);
        drop(left);
        drop(remains);
    }
}

impl Reaper {
    pub(crate) fn new() -> Reaper {
        let left = Interlock::default();
        let job = Job::new("reaper", &left, let_go);
        Reaper { left, job }
    }

    /// Takes `remains` over. Call it without locks.
    pub(crate) fn release(&self, remains: Vec<Remains>, pool: &Pool<KernelWorker>) {
        if remains.is_empty() {
            return;
        }
        let refused = {
            let mut left = self.left.lock();
            left.extend(remains);
            match self.job.schedule(&left, pool) {
                // The pool is closed: the sandbox ends, and this thread does it.
                Scheduled::Refused => std::mem::take(&mut *left),
                _ => Vec::new(),
            }
        };
        drop(refused);
    }

    pub(crate) fn status(&self) -> JobStatus {
        self.job.status(&self.left.lock())
    }
}
