//! What one lock per process guards: pending signals, masks, and whether its
//! threads may run.

use super::core::Gather;
use super::queue::{SignalQueue, Taken, TimerKey};
use crate::exit_status::ExitStatus;
use crate::task::Task;
use rivix_abi::Signal;
use rivix_abi::signal::{STOP_SIGNALS, SigInfo};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct ThreadSignals {
    pub(crate) task: Arc<Task>,
    pub(crate) pending: SignalQueue,
    pub(crate) mask: u64,
    /// Blocked signals that sigtimedwait(2) is waiting for.
    pub(crate) wanted: u64,
    /// The thread has reached the group's stop.
    pub(crate) is_stopped: bool,
}

impl ThreadSignals {
    pub(crate) fn new(task: Arc<Task>, mask: u64) -> ThreadSignals {
        ThreadSignals {
            task,
            pending: SignalQueue::default(),
            mask,
            wanted: 0,
            is_stopped: false,
        }
    }
}

pub(crate) struct Stop {
    pub(crate) signal: Signal,
    /// The parent has been told (all threads have stopped).
    pub(crate) is_reported: bool,
}

#[derive(Default)]
pub(crate) struct GroupSignals {
    pub(crate) shared: SignalQueue,
    /// Live threads by tid.
    pub(crate) threads: BTreeMap<i32, ThreadSignals>,
    /// The whole group is ending; the first reason wins.
    pub(crate) exit: Option<ExitStatus>,
    /// The signal that ends it, until one of its threads has told of that.
    pub(crate) killer: Option<(Signal, SigInfo)>,
    /// The thread whose execve(2) ends the others.
    pub(crate) exec_by: Option<i32>,
    pub(crate) stop: Option<Stop>,
    /// A stop signal was taken and no SIGCONT came since: the stop may begin.
    pub(crate) may_stop: bool,
    /// A core file is being made: who is waited for.
    pub(crate) core: Option<Gather>,
}

impl GroupSignals {
    /// Signals that `tid` may take now.
    pub(crate) fn deliverable(&self, tid: i32) -> u64 {
        self.threads
            .get(&tid)
            .map_or(0, |t| (t.pending.set() | self.shared.set()) & !t.mask)
    }

    /// Must the thread leave guest code and not return to it?
    pub(crate) fn must_die(&self, tid: i32) -> bool {
        self.exit.is_some() || self.exec_by.is_some_and(|by| by != tid)
    }

    /// Is there anything for the guest loop to do?
    pub(crate) fn has_work(&self, tid: i32) -> bool {
        self.must_die(tid) || self.stop.is_some() || self.deliverable(tid) != 0
    }

    pub(crate) fn kick_all(&self) {
        for thread in self.threads.values() {
            thread.task.kick().kick();
        }
    }

    /// Ends the whole group, unless it is ending already.
    pub(crate) fn begin_exit(&mut self, status: ExitStatus) {
        if self.exit.is_none() {
            self.exit = Some(status);
        } else if let Some(core) = &mut self.core {
            // Killed while it is dumped: nobody waits for the file.
            core.is_given_up = true;
        }
        if !rivix_sync::sys::mutant("exit-group-unkicked") {
            self.kick_all();
        }
    }

    /// Drops what pends of `mask`; the timers whose signals were among it.
    pub(crate) fn flush_everywhere(&mut self, mask: u64) -> Vec<TimerKey> {
        let mut timers = self.shared.flush(mask);
        for thread in self.threads.values_mut() {
            timers.append(&mut thread.pending.flush(mask));
        }
        timers
    }

    /// Takes a signal in `allowed`: a fault of the thread's, then of the thread's queue
    /// whatever its number, then of the process's; in each those of faults first.
    pub(crate) fn take(&mut self, tid: i32, allowed: u64) -> Option<Taken> {
        let thread = self.threads.get_mut(&tid)?;
        let fault = thread.pending.next_fault(allowed);
        let own = fault.or_else(|| thread.pending.next(allowed));
        let (signal, entry) = match own {
            Some(signal) => (signal, thread.pending.take(signal)?),
            None => {
                let signal = self.shared.next(allowed)?;
                (signal, self.shared.take(signal)?)
            }
        };
        self.may_stop |= STOP_SIGNALS & signal.bit() != 0;
        Some(Taken {
            signal,
            info: entry.info,
            timer: entry.timer,
            is_shared: own.is_none(),
        })
    }
}
