//! What the spawner's workers carry for us.
//!
//! A worker for kernel-side work is a [`KernelTask`] for as long as its thread
//! lives: a unit has an id and a name in /proc, and a place to put work off to.
//! A worker for guest threads carries only what makes it clean for the next.

use crate::affinity;
use crate::current::set_current_ids;
use crate::kernel::Kernel;
use crate::kernel_task::KernelTask;
use crate::release::{Release, Releases, release_later};
use crate::task::{Sched, Task};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use rivix_abi::Errno;
use rivix_mem::fault::{SignalStack, ThreadGuard};
use rivix_spawner::WorkerContext;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

/// A worker's name between units, and in units without one.
const IDLE: &[u8] = b"kworker";

/// What kernel workers are made from: the kernel, once it is there. A pool can
/// be built before the kernel that holds it.
#[derive(Clone, Default)]
pub struct KernelSeed {
    kernel: Arc<OnceLock<Weak<Kernel>>>,
}

impl KernelSeed {
    /// From now on workers can be entered; the first kernel stays.
    pub fn set(&self, kernel: &Arc<Kernel>) {
        let _ = self.kernel.set(Arc::downgrade(kernel));
    }

    fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.get().and_then(Weak::upgrade)
    }
}

/// The context of a worker that does the kernel's own work: a live kernel task.
pub struct KernelWorker {
    // Dropped in this order: what was put off still runs as the task.
    releases: Releases,
    task: KernelTask,
    kernel: Weak<Kernel>,
}

impl KernelWorker {
    /// The task that runs the present unit.
    pub fn task(&self) -> &Arc<Task> {
        self.task.task()
    }

    /// The kernel; None: it is being dropped.
    pub fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.upgrade()
    }

    /// Puts `work` off until this poll, or the unit, has ended. Code that has
    /// no context at hand calls [`release_later`].
    pub fn release_later(&self, work: Release) {
        release_later(work);
    }

    fn release(&self) {
        let panics = self.releases.run();
        if panics > 0
            && let Some(kernel) = self.kernel()
        {
            kernel.stats().count_unit_panics(panics);
        }
    }
}

impl WorkerContext for KernelWorker {
    type Seed = KernelSeed;
    type Error = Errno;

    /// # Errors
    /// EAGAIN: no number is left for the task. ESHUTDOWN: the kernel is gone.
    fn enter(seed: &KernelSeed, name: &str) -> Result<KernelWorker, Errno> {
        let kernel = seed.kernel().ok_or(Errno::ESHUTDOWN)?;
        let task = KernelTask::new(&kernel, name.as_bytes())?;
        task.task().begin_cpu_clock();
        let tid = task.task().tid();
        set_current_ids((tid, tid));
        Ok(KernelWorker {
            releases: Releases::begin(),
            task,
            kernel: Arc::downgrade(&kernel),
        })
    }

    fn begin(&mut self, name: &str) {
        self.task().set_name(name.as_bytes());
        self.task().is_sleeping.store(false, Ordering::Relaxed);
    }

    fn polled(&self) {
        self.release();
    }

    fn end(&mut self) {
        self.release();
        let task = self.task();
        task.set_name(IDLE);
        // A guest with the right may have changed it (sched_setscheduler(2)).
        task.update_sched(|sched| *sched = Sched::default());
        task.is_sleeping.store(true, Ordering::Relaxed);
    }

    fn leave(self) {}
}

impl Drop for KernelWorker {
    fn drop(&mut self) {
        self.release();
        self.task().end_cpu_clock();
        set_current_ids((0, 0));
    }
}

/// The context of a worker that runs guest threads. A guest may leave its host
/// thread with a CPU set and a signal mask of its own; the next starts clean.
pub struct GuestWorker {
    /// For as long as the thread lives; None: the host had no memory for it.
    stack: Option<SignalStack>,
    mask: SigSet,
    cpus: [u64; affinity::WORDS],
    _not_send: PhantomData<*mut ()>,
}

impl GuestWorker {
    /// Lets this thread touch guest memory. None: the host has no memory for a
    /// signal stack.
    pub(crate) fn guard(&mut self) -> Option<ThreadGuard<'_>> {
        if self.stack.is_none() {
            self.stack = SignalStack::enter();
        }
        self.stack.as_ref().map(ThreadGuard::on)
    }
}

impl WorkerContext for GuestWorker {
    type Seed = ();
    type Error = std::convert::Infallible;

    fn enter((): &(), _: &str) -> Result<GuestWorker, Self::Error> {
        Ok(GuestWorker {
            stack: SignalStack::enter(),
            mask: SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::all()),
            cpus: affinity::of_this_thread(),
            _not_send: PhantomData,
        })
    }

    fn end(&mut self) {
        if affinity::of_this_thread() != self.cpus {
            // 0 is the calling thread.
            affinity::set(0, &self.cpus);
        }
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        set_current_ids((0, 0));
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
