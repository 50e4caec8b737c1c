//! Waiting for children (wait(2)).

use crate::counts::Counts;
use crate::cputime::CpuTimes;
use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::pids::{Pids, Process, Report};
use crate::task::Task;
use rivix_abi::process::*;
use rivix_abi::signal::si_code;
use rivix_abi::{Errno, Signal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Which children.
#[derive(Clone)]
pub enum WaitFor {
    Any,
    Pid(i32),
    Group(i32),
    /// This very process, whatever has its number by now.
    Process(Arc<ThreadGroup>),
    /// What is nobody's child: a thread.
    Nobody,
}

/// A child's change of state.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    pub pid: i32,
    pub uid: u32,
    /// CLD_*.
    pub code: i32,
    /// siginfo's status: exit code or signal number.
    pub value: i32,
    /// wait4's status word.
    pub status: i32,
    /// What a teaching kernel tells: the code given to exit, whole, or the number of
    /// the signal that ended it, negated.
    pub exit_code: i32,
    pub cpu: CpuTimes,
    pub counts: Counts,
    pub maxrss_kib: i64,
}

/// What a child has to report.
enum News {
    Ended(ExitStatus),
    State(Report),
}

impl CurrentTask {
    /// Waits for a child to change state as `options` (WEXITED, WSTOPPED, ...)
    /// ask. None: WNOHANG, and nothing has.
    ///
    /// # Errors
    /// ECHILD: no child that is meant could ever report what is asked for.
    pub fn wait_child(&self, which: WaitFor, options: u32) -> SysResult<Option<Waited>> {
        let queue = self.group().child_changed.clone();
        let mut reaped = None;
        let attempt = || {
            let found = self.look_for_child(&which, options, &mut reaped)?;
            match found {
                Some(waited) => Ok(Some(waited)),
                None if options & WNOHANG != 0 => Ok(None),
                None => Err(Errno::EAGAIN),
            }
        };
        let result = self.block_until(None, &[(&queue, 0)], attempt);
        drop(reaped);
        result.map_err(|blocked| match blocked {
            Blocked::Interrupted => Restart::Sys.into(),
            Blocked::TimedOut => Errno::EAGAIN.into(),
            Blocked::Errno(errno) => errno.into(),
        })
    }

    fn look_for_child(
        &self,
        which: &WaitFor,
        options: u32,
        reaped: &mut Option<(Process, Option<Arc<Task>>)>,
    ) -> Result<Option<Waited>, Errno> {
        let mut guard = self.kernel().pids.lock();
        let pids: &mut Pids = &mut guard;
        let own = pids.processes.get(&self.pid()).ok_or(Errno::ECHILD)?;
        let mut may_report = false;
        let mut best: Option<((bool, u64), i32, News)> = None;
        for &pid in &own.children {
            let Some(child) = pids.processes.get(&pid) else {
                continue;
            };
            if !self.is_waited_for(pid, child, which, options) {
                continue;
            }
            // A zombie will not stop or continue: without WEXITED it is nobody.
            may_report |= child.zombie.is_none() || options & WEXITED != 0;
            // This thread's own children first, the oldest first.
            let rank = (child.parent_tid != self.tid(), child.age);
            if best.as_ref().is_some_and(|(found, ..)| *found < rank) {
                continue;
            }
            if let Some(news) = news_of(child, options) {
                best = Some((rank, pid, news));
            }
        }
        let Some((_, pid, news)) = best else {
            return if may_report {
                Ok(None)
            } else {
                Err(Errno::ECHILD)
            };
        };
        let uid = crate::signal::send::leader_uid(pids, pid);
        let Some(process) = pids.processes.get_mut(&pid) else {
            return Ok(None);
        };
        let group = process.group.clone();
        let takes = options & WNOWAIT == 0;
        let (code, value, status) = match news {
            News::Ended(status) => {
                let (code, value) = status.child_code();
                (code, value, status.wait_status())
            }
            News::State(report) => {
                if takes {
                    process.report = None;
                }
                match report {
                    Report::Stopped(signal) => {
                        let number = i32::from(signal.number());
                        (si_code::CLD_STOPPED, number, number << 8 | 0x7f)
                    }
                    Report::Continued => {
                        let number = i32::from(Signal::SIGCONT.number());
                        (si_code::CLD_CONTINUED, number, 0xffff)
                    }
                }
            }
        };
        let (child_cpu, child_maxrss_kib) = group.child_usage();
        let exit_code = match (&news, group.teaching()) {
            (News::Ended(ExitStatus::Code(_)), Some(teaching)) => teaching.exit_code(),
            (News::Ended(ExitStatus::Signal { .. }), _) => value.saturating_neg(),
            _ => value,
        };
        let waited = Waited {
            pid,
            uid,
            code,
            value,
            status,
            exit_code,
            cpu: group.cpu_times() + child_cpu,
            counts: group.counts() + group.child_counts(),
            maxrss_kib: group
                .own_maxrss_kib
                .load(Ordering::Relaxed)
                .max(child_maxrss_kib),
        };
        let reaps = takes && !rivix_sync::sys::mutant("wait-leaves-the-child");
        if let (News::Ended(_), true) = (&news, reaps) {
            *reaped = pids.reap(pid);
            group.is_reaped.store(true, Ordering::Release);
            group.ended.notify(0);
            self.group().child_cpu.add(waited.cpu);
            self.group().child_counts.add(waited.counts);
            self.group()
                .child_maxrss_kib
                .fetch_max(waited.maxrss_kib, Ordering::Relaxed);
        }
        Ok(Some(waited))
    }

    fn is_waited_for(&self, pid: i32, child: &Process, which: &WaitFor, options: u32) -> bool {
        let named = match which {
            WaitFor::Any => true,
            WaitFor::Pid(wanted) => pid == *wanted,
            WaitFor::Group(pgid) => child.pgid() == *pgid,
            WaitFor::Process(group) => Arc::ptr_eq(&child.group, group),
            WaitFor::Nobody => false,
        };
        // A "clone" child is one whose end does not send SIGCHLD (wait(2)).
        let is_clone = child.exit_signal != Signal::SIGCHLD.number();
        let kind = options & WALL != 0 || is_clone == (options & WCLONE != 0);
        let thread = options & WNOTHREAD == 0 || child.parent_tid == self.tid();
        named && kind && thread
    }
}

fn news_of(child: &Process, options: u32) -> Option<News> {
    if let Some(status) = child.zombie {
        return (options & WEXITED != 0).then_some(News::Ended(status));
    }
    let report = child.report?;
    let is_asked_for = match report {
        Report::Stopped(_) => options & WSTOPPED != 0,
        Report::Continued => options & WCONTINUED != 0,
    };
    is_asked_for.then_some(News::State(report))
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
