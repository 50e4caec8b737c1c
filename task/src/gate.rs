//! The gate between a process's threads and guest code, closed while fork(2)
//! copies memory.
//!
//! A copy made page by page while other threads write is a state that never
//! was: a list's head from before a change, its nodes from after. Linux's fork
//! blocks each thread at its first write to a page that is copied already, so a
//! child sees a moment of every thread. Here the other threads leave guest code
//! for the time of the copy.
//!
//! The protocol is Dekker's: a thread says that it is in guest code and then
//! looks at the gate; the forker closes the gate and then looks at the threads.

use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use crate::task::Task;
use rivix_abi::Errno;
use rivix_sync::WaitQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// One per address space.
#[derive(Default)]
pub(crate) struct Gate {
    /// The forking thread's id; 0: open.
    closed_by: AtomicI32,
    /// Told when a thread leaves guest code, and when the gate opens.
    changed: WaitQueue,
}

impl Gate {
    fn is_closed(&self) -> bool {
        self.closed_by.load(Ordering::SeqCst) != 0
    }
}

/// The closed gate; dropping it opens it.
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed_by.store(0, Ordering::SeqCst);
        self.0.changed.notify(0);
    }
}

impl CurrentTask {
    /// Says that this thread is about to run guest code. False: the gate was
    /// closed; it waited, and must look at its kick before it tries again.
    pub(crate) fn enter_guest(&self) -> bool {
        self.in_guest.store(true, Ordering::SeqCst);
        let gate = &self.memory.gate;
        if !gate.is_closed() {
            return true;
        }
        self.leave_guest();
        let entry = gate.changed.register(self.kick().clone(), u32::MAX);
        while gate.is_closed() && !self.kick().is_set() {
            self.kick().park_until(None);
        }
        drop(entry);
        false
    }

    pub(crate) fn leave_guest(&self) {
        self.in_guest.store(false, Ordering::SeqCst);
        if self.memory.gate.is_closed() {
            self.memory.gate.changed.notify(0);
        }
    }

    /// Closes the gate and waits until no other thread of this memory runs
    /// guest code. Only being killed interrupts it.
    pub(crate) fn close_gate(&self) -> SysResult<Closed<'_>> {
        let gate = &self.memory.gate;
        let tid = self.tid();
        let taken = self.block_killable(&[(&gate.changed, 0)], || {
            gate.closed_by
                .compare_exchange(0, tid, Ordering::SeqCst, Ordering::SeqCst)
                .map_err(|_| Errno::EAGAIN)
        });
        not_killed(taken)?;
        let closed = Closed(gate);
        let tasks: Vec<Arc<Task>> = {
            let pids = self.kernel().pids.lock();
            let others = pids.tasks().filter(|t| !Arc::ptr_eq(t, self.task()));
            others.cloned().collect()
        };
        let shares = |task: &Arc<Task>| {
            task.memory()
                .is_some_and(|memory| Arc::ptr_eq(&memory, &self.memory))
        };
        let others: Vec<Arc<Task>> = tasks.into_iter().filter(|t| shares(t)).collect();
        // One that has left by execve(2) meanwhile runs in its new memory for as long
        // as it likes, and tells another gate of it.
        let running = |task: &&Arc<Task>| task.in_guest.load(Ordering::SeqCst) && shares(task);
        for task in others.iter().filter(running) {
            task.kick().kick();
        }
        let left = self.block_killable(&[(&gate.changed, 0)], || {
            if others.iter().any(|task| running(&task)) {
                Err(Errno::EAGAIN)
            } else {
                Ok(())
            }
        });
        not_killed(left)?;
        Ok(closed)
    }
}

fn not_killed<R>(result: Result<R, Blocked>) -> SysResult<R> {
    result.map_err(|_| Restart::NoIntr.into())
}
