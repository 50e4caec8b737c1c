//! Making every thread of an address space leave guest code once.
//!
//! When it is over, each of them has entered guest code anew, with translations
//! of the code that is there now: riscv_flush_icache(2), membarrier(2)'s
//! SYNC_CORE command, mmap(2) and its like over code that others may be in.

use crate::current::CurrentTask;
use crate::error::{Restart, SysResult};
use crate::task::Task;
use crate::vcpu::Revoked;
use rivix_abi::Errno;
use rivix_sync::{Notify, WaitQueue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Looks at a thread's state before sleeping for it; about ten microseconds.
const PATIENCE: u32 = 1000;

/// One per address space.
#[derive(Default)]
pub(crate) struct Rendezvous {
    /// How many wait for the others.
    callers: AtomicU32,
    /// Told when a thread has left guest code while somebody waits for it.
    met: WaitQueue,
    /// Changes of code after which threads may run what was there before, and how
    /// many of them are known to be over.
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Rendezvous {
    /// Before a call that changed code ends, all must have left guest code.
    pub(crate) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }
}

impl CurrentTask {
    /// After guest code: tells who waits for this thread to have left it.
    #[inline]
    pub(crate) fn meet(&self) {
        let rendezvous = &self.memory.rendezvous;
        if rendezvous.callers.load(Ordering::SeqCst) != 0
            && self.must_meet.swap(false, Ordering::SeqCst)
        {
            rendezvous.met.notify(0);
        }
    }

    /// The other tasks that run in this memory.
    fn others_here(&self) -> Vec<Arc<Task>> {
        // Two holders are this task's own halves.
        if Arc::strong_count(&self.memory) <= 2 {
            return Vec::new();
        }
        let tasks: Vec<Arc<Task>> = {
            let pids = self.kernel().pids.lock();
            let others = pids.tasks().filter(|t| !Arc::ptr_eq(t, self.task()));
            others.cloned().collect()
        };
        let shares = |task: &Arc<Task>| {
            task.memory()
                .is_some_and(|memory| Arc::ptr_eq(&memory, &self.memory))
        };
        tasks.into_iter().filter(shares).collect()
    }

    /// Returns when every other thread of this memory has been outside guest code
    /// since the call. Only being killed interrupts it.
    fn rendezvous(&self) -> SysResult<()> {
        let others = self.others_here();
        if others.is_empty() {
            return Ok(());
        }
        let rendezvous = &self.memory.rendezvous;
        rendezvous.callers.fetch_add(1, Ordering::SeqCst);
        let mark = |task: &Arc<Task>| {
            // First the wish, then the look: the thread does it the other way round.
            task.must_meet.store(true, Ordering::SeqCst);
            let is_inside = task.in_guest.load(Ordering::SeqCst);
            if is_inside {
                task.kick().kick();
            }
            is_inside
        };
        let others: Vec<Arc<Task>> = others.into_iter().filter(mark).collect();
        let is_awaited = |task: &Arc<Task>| {
            task.in_guest.load(Ordering::SeqCst) && task.must_meet.load(Ordering::SeqCst)
        };
        let is_over = || !others.iter().any(is_awaited);
        let met = self.wait_for_exits(&rendezvous.met, is_over);
        rendezvous.callers.fetch_sub(1, Ordering::SeqCst);
        met
    }

    /// Waits for kicked threads, which come out within a block of code: it takes
    /// less time than a sleep, unless the host runs something else on their CPUs.
    fn wait_for_exits(&self, told: &WaitQueue, is_over: impl Fn() -> bool) -> SysResult<()> {
        for _ in 0..PATIENCE {
            if is_over() {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let left = self.block_killable(&[(told, 0)], || {
            if is_over() {
                Ok(())
            } else {
                Err(Errno::EAGAIN)
            }
        });
        left.map_err(|_| Restart::NoIntr.into())
    }

    /// All code of this memory may have changed: no thread runs a translation of
    /// the old from here on.
    pub fn refetch_code(&self) -> SysResult<()> {
        self.memory.code.refresh();
        self.rendezvous()
    }

    /// At the end of a system call: what it changed of the code, it changed for all.
    #[inline]
    pub(crate) fn finish_changes(&self) {
        let rendezvous = &self.memory.rendezvous;
        let asked = rendezvous.asked.load(Ordering::SeqCst);
        if asked != rendezvous.answered.load(Ordering::Relaxed) {
            self.meet_others(asked);
        }
    }

    #[cold]
    fn meet_others(&self, asked: u64) {
        // Who is killed meanwhile runs no more code.
        if self.rendezvous().is_ok() {
            let answered = &self.memory.rendezvous.answered;
            answered.fetch_max(asked, Ordering::SeqCst);
        }
    }

    /// Starts the sequences again that other threads of this memory are in, on one
    /// CPU or on all (membarrier(2)'s RSEQ command).
    pub fn abort_sequences(&self, cpu: Option<u32>) -> SysResult<()> {
        let memory = Arc::as_ptr(&self.memory) as usize;
        let own: *const Task = Arc::as_ptr(self.task());
        let running = self.kernel().vcpus().revoke(|task, at, on| {
            at == memory && !std::ptr::eq(task, own) && cpu.is_none_or(|cpu| cpu == on)
        });
        self.wait_for_revoked(&running)
    }

    /// After a change of `target`'s CPU set: takes a CPU away that is not in it.
    pub(crate) fn leave_forbidden_cpu(&self, target: &Task, cpus: &[u64]) -> SysResult<()> {
        let is_forbidden = |cpu: u32| {
            let word = cpus.get(cpu as usize / 64).copied().unwrap_or(0);
            word >> (cpu % 64) & 1 == 0
        };
        let running = self
            .kernel()
            .vcpus()
            .revoke(|task, _, cpu| std::ptr::eq(task, target) && is_forbidden(cpu));
        // It may wait for a CPU of its old set.
        target.kick().notify(0);
        self.wait_for_revoked(&running)
    }

    fn wait_for_revoked(&self, running: &[Revoked]) -> SysResult<()> {
        if running.is_empty() {
            return Ok(());
        }
        let vcpus = self.kernel().vcpus();
        self.wait_for_exits(vcpus.left(), || vcpus.have_left(running))
    }
}
