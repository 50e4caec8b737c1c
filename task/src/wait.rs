//! Waiting for children (wait(2)).

use crate::cputime::CpuTimes;
use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use crate::exit_status::ExitStatus;
use crate::pids::{Pids, Process, Report};
use crate::task::Task;
use rivix_abi::process::*;
use rivix_abi::signal::si_code;
use rivix_abi::{Errno, Signal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    Any,
    Pid(i32),
    Group(i32),
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
    pub cpu: CpuTimes,
    pub maxrss_kib: i64,
}

impl CurrentTask {
    /// Waits for a child to change state as `options` (WEXITED, WSTOPPED, ...)
    /// ask. None: WNOHANG, and nothing has.
    pub fn wait_child(&self, which: WaitFor, options: u32) -> SysResult<Option<Waited>> {
        let queue = self.group().child_changed.clone();
        let mut reaped = None;
        let attempt = || {
            let found = self.look_for_child(which, options, &mut reaped)?;
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
        which: WaitFor,
        options: u32,
        reaped: &mut Option<(Process, Option<Arc<Task>>)>,
    ) -> Result<Option<Waited>, Errno> {
        let mut guard = self.kernel().pids.lock();
        let pids: &mut Pids = &mut guard;
        let own = pids.processes.get(&self.pid()).ok_or(Errno::ECHILD)?;
        let candidates: Vec<i32> = own
            .children
            .iter()
            .copied()
            .filter(|child| {
                pids.processes
                    .get(child)
                    .is_some_and(|p| self.is_waited_for(*child, p, which, options))
            })
            .collect();
        if candidates.is_empty() {
            return Err(Errno::ECHILD);
        }
        for pid in candidates {
            let uid = crate::signal::send::leader_uid(pids, pid);
            let Some(process) = pids.processes.get_mut(&pid) else {
                continue;
            };
            let group = process.group.clone();
            let base = Waited {
                pid,
                uid,
                code: 0,
                value: 0,
                status: 0,
                cpu: CpuTimes::default(),
                maxrss_kib: 0,
            };
            if let Some(status) = process.zombie {
                if options & WEXITED == 0 {
                    continue;
                }
                let (code, value) = match status {
                    ExitStatus::Code(code) => (si_code::CLD_EXITED, i32::from(code)),
                    ExitStatus::Signal { signal, core } => {
                        let code = if core {
                            si_code::CLD_DUMPED
                        } else {
                            si_code::CLD_KILLED
                        };
                        (code, i32::from(signal.number()))
                    }
                };
                let cpu = group.used_for_good();
                let maxrss_kib = group
                    .own_maxrss_kib
                    .load(Ordering::Relaxed)
                    .max(group.child_maxrss_kib.load(Ordering::Relaxed));
                if options & WNOWAIT == 0 {
                    *reaped = pids.reap(pid);
                    group.is_reaped.store(true, Ordering::Release);
                    group.ended.notify(0);
                    self.group().child_cpu.add(cpu);
                    self.group()
                        .child_maxrss_kib
                        .fetch_max(maxrss_kib, Ordering::Relaxed);
                }
                let status = status.wait_status();
                return Ok(Some(Waited {
                    code,
                    value,
                    status,
                    cpu,
                    maxrss_kib,
                    ..base
                }));
            }
            let report = match process.report {
                Some(Report::Stopped(signal)) if options & WSTOPPED != 0 => {
                    let number = i32::from(signal.number());
                    Some((si_code::CLD_STOPPED, number, number << 8 | 0x7f))
                }
                Some(Report::Continued) if options & WCONTINUED != 0 => {
                    let number = i32::from(Signal::SIGCONT.number());
                    Some((si_code::CLD_CONTINUED, number, 0xffff))
                }
                _ => None,
            };
            if let Some((code, value, status)) = report {
                if options & WNOWAIT == 0 {
                    process.report = None;
                }
                return Ok(Some(Waited {
                    code,
                    value,
                    status,
                    ..base
                }));
            }
        }
        Ok(None)
    }

    fn is_waited_for(&self, pid: i32, child: &Process, which: WaitFor, options: u32) -> bool {
        let named = match which {
            WaitFor::Any => true,
            WaitFor::Pid(wanted) => pid == wanted,
            WaitFor::Group(pgid) => child.pgid() == pgid,
        };
        // A "clone" child is one whose end does not send SIGCHLD (wait(2)).
        let is_clone = child.exit_signal != Signal::SIGCHLD.number();
        let kind = options & WALL != 0 || is_clone == (options & WCLONE != 0);
        let thread = options & WNOTHREAD == 0 || child.parent_tid == self.tid();
        named && kind && thread
    }
}

#[cfg(test)]
mod tests;
