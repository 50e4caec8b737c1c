//! The one place where tasks sleep.

use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysError, SysResult};
use rivix_abi::{Errno, Signal};
use rivix_fs::File;
use rivix_sync::{Notify, Parked, WaitEntry, WaitQueue};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What may end a sleep besides success.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Any signal to deliver, a stop, a kill.
    Signal,
    /// Only the end of the task.
    Kill,
}

impl CurrentTask {
    /// Runs `attempt` until it gives something else than EAGAIN. Between
    /// attempts the task sleeps until one of `queues` (each with a poll(2) mask,
    /// 0 for all) tells of an event, a signal arrives, or `deadline` passes.
    pub fn block_until<R>(
        &self,
        deadline: Option<Instant>,
        queues: &[(&WaitQueue, u32)],
        attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Blocked> {
        let _entries = self.registered(queues);
        self.sleep_loop(deadline, Until::Signal, attempt)
    }

    /// As `block_until`, woken by whatever notifies [`Self::notifier`]; the
    /// caller keeps its own registrations.
    pub fn block<R>(
        &self,
        deadline: Option<Instant>,
        attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Blocked> {
        self.sleep_loop(deadline, Until::Signal, attempt)
    }

    /// As `block_until`, but only the end of the task interrupts it.
    pub fn block_killable<R>(
        &self,
        queues: &[(&WaitQueue, u32)],
        attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Blocked> {
        let _entries = self.registered(queues);
        self.sleep_loop(None, Until::Kill, attempt)
    }

    /// Has each queue tell this task, until the entries are dropped.
    fn registered(&self, queues: &[(&WaitQueue, u32)]) -> SmallVec<[WaitEntry; 4]> {
        queues
            .iter()
            .map(|(queue, events)| queue.register(self.kick().clone(), *events | always(*events)))
            .collect()
    }

    /// Whom a wait queue should tell, to wake this task.
    pub fn notifier(&self) -> Arc<dyn Notify> {
        self.kick().clone()
    }

    fn sleep_loop<R>(
        &self,
        deadline: Option<Instant>,
        until: Until,
        mut attempt: impl FnMut() -> Result<R, Errno>,
    ) -> Result<R, Blocked> {
        let mut first = true;
        // An earlier wait of the same call may have taken the kick.
        let mut must_look = self.must_look.get();
        let mut has_slept = false;
        let result = loop {
            match attempt() {
                Ok(value) => break Ok(value),
                Err(Errno::EAGAIN) => {}
                // A host call was kicked: look at signals, else try again.
                Err(Errno::EINTR) if self.kick().is_set() => {}
                Err(errno) => break Err(Blocked::Errno(errno)),
            }
            rivix_sync::hooks::widen();
            if self.kick().is_set() || std::mem::take(&mut must_look) {
                self.kick().clear();
                rivix_sync::hooks::widen();
                if self.is_interrupted(until) {
                    self.must_look.set(true);
                    break Err(Blocked::Interrupted);
                }
                self.must_look.set(true);
                continue;
            }
            if !first && deadline.is_some_and(|at| at <= Instant::now()) {
                break Err(Blocked::TimedOut);
            }
            first = false;
            if !has_slept {
                has_slept = true;
                self.is_sleeping.store(true, Ordering::Relaxed);
            }
            self.offer_cpu();
            if self.asleep(|| self.kick().park_until(deadline)) == Parked::TimedOut {
                // One more look: the event and the deadline may race.
                match attempt() {
                    Ok(value) => break Ok(value),
                    Err(Errno::EAGAIN) => break Err(Blocked::TimedOut),
                    Err(Errno::EINTR) if self.kick().is_set() => {}
                    Err(errno) => break Err(Blocked::Errno(errno)),
                }
            }
        };
        if has_slept {
            self.is_sleeping.store(false, Ordering::Relaxed);
        }
        result
    }

    fn is_interrupted(&self, until: Until) -> bool {
        let signals = self.group().signals.lock();
        match until {
            Until::Signal => signals.has_work(self.tid()),
            Until::Kill => signals.must_die(self.tid()),
        }
    }

    /// Is there a signal to deliver, a stop or a kill? A call that has done
    /// part of its work returns it then.
    pub fn pending_interrupt(&self) -> bool {
        (self.kick().is_set() || self.must_look.get()) && self.is_interrupted(Until::Signal)
    }

    /// Is the task ending? Long loops that nothing else interrupts ask.
    pub fn must_die(&self) -> bool {
        self.kick().is_set() && self.is_interrupted(Until::Kill)
    }

    /// An operation on a file that may have to wait for `events`: again until
    /// it is done, once only with O_NONBLOCK, ERESTARTSYS on a signal.
    pub fn blocking_file<R>(
        &self,
        file: &Arc<File>,
        events: u32,
        mut op: impl FnMut() -> Result<R, Errno>,
    ) -> SysResult<R> {
        // The common case registers nowhere.
        match op() {
            Err(Errno::EAGAIN) if !file.is_nonblocking() => {}
            Err(Errno::EINTR) if self.kick().is_set() => {}
            other => return other.map_err(SysError::Errno),
        }
        let queue = file.wait_queue();
        let queues: SmallVec<[(&WaitQueue, u32); 1]> = queue
            .into_iter()
            .map(|q| (q, events | POLL_ALWAYS))
            .collect();
        self.block_until(None, &queues, op)
            .map_err(|blocked| match blocked {
                Blocked::Interrupted => SysError::Restart(Restart::Sys),
                Blocked::TimedOut => SysError::Errno(Errno::EAGAIN),
                Blocked::Errno(errno) => SysError::Errno(errno),
            })
    }

    /// SIGPIPE for a write to a pipe or socket without reader.
    pub fn broken_pipe(&self) {
        self.send_to_self(Signal::SIGPIPE);
    }
}

/// POLLERR | POLLHUP | POLLNVAL: told whether asked for or not.
const POLL_ALWAYS: u32 = 0x8 | 0x10 | 0x20;

fn always(events: u32) -> u32 {
    if events == 0 { u32::MAX } else { POLL_ALWAYS }
}
