//! The end of a thread, and of a process.

use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::kernel::{ExitReport, ExitWatch, Kernel};
use crate::pids::{INIT, Pids, Process};
use crate::reaper::Remains;
use crate::signal::send::leader_uid;
use rivix_abi::signal::{SIG_IGN, SigActionFlags, SigInfo, si_code};
use rivix_abi::{Signal, UserAddress};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl CurrentTask {
    /// The thread's end, in Linux's order: robust list, cleared tid, vfork
    /// parent; then its resources; then everyone else may know.
    pub(crate) fn end(self) {
        let status = self.exiting.unwrap_or(ExitStatus::Code(0));
        if let Some(tracer) = self.kernel().tracer() {
            let shown = self.group().signals.lock().exit.unwrap_or(status);
            tracer.thread_exit(&self, shown);
        }
        self.leave_memory();
        let used = self.end_cpu_clock();
        self.group().dead_cpu_ns.fetch_add(used, Ordering::Relaxed);
        self.kernel()
            .stats()
            .syscalls
            .fetch_add(self.syscalls, Ordering::Relaxed);

        // Out of the signal state: nobody can signal or count this thread now.
        let (is_last, report) = {
            let mut signals = self.group().signals.lock();
            let tid = self.tid();
            let is_last = signals.threads.len() == 1;
            if is_last {
                // The process's status: exit_group's or the fatal signal's,
                // else the last thread's own (wait(2) sees one process).
                signals.exit.get_or_insert(status);
                signals.shared = Default::default();
            }
            let gone = signals.threads.remove(&tid);
            // Shared signals that this thread was to take go to another.
            if signals.shared.set() != 0 {
                signals.kick_all();
            }
            let report = if is_last {
                None
            } else {
                signals.stop_completed()
            };
            drop(signals);
            drop(gone);
            (is_last, report)
        };
        if let Some(signal) = report {
            self.kernel()
                .report_state(self.pid(), crate::pids::Report::Stopped(signal));
        }
        let kernel = self.kernel().clone();
        if is_last {
            kernel.hooks().process_ending(self.pid());
        }
        kernel.parent_thread_died(self.pid(), self.tid(), is_last);
        let maxrss = if is_last { self.maxrss_kib() } else { 0 };
        if is_last {
            self.group().timers_end(&kernel);
        }
        // Memory, files and directory go before anyone learns of the end: a
        // parent that waits finds pipes closed and windows free.
        let shared = {
            let mut state = self.state.lock();
            (state.memory.take(), state.files.take(), state.fs.take())
        };
        drop(shared);
        if is_last {
            kernel.session_leader_ended(self.pid());
        }
        let task = self.release();
        kernel.forget_task(task.group(), task.tid(), is_last, maxrss);
    }

    /// Robust list, clear_child_tid and the vfork parent: also what execve(2)
    /// does before it leaves the old memory.
    pub(crate) fn leave_memory(&self) {
        self.exit_robust_list();
        let at = self.clear_child_tid.swap(0, Ordering::Relaxed);
        if at != 0 && Arc::strong_count(&self.memory) > memory_holders_of_one() {
            let addr = UserAddress(at);
            if self.write_bytes(addr, &0u32.to_le_bytes()).is_ok() {
                let _ = self.futex_wake(addr, true, 1, u32::MAX);
            }
        }
        if let Some(done) = &self.vfork_done {
            done.release();
        }
    }

    /// Memory in use, and at least what execve(2) left behind.
    pub fn maxrss_kib(&self) -> i64 {
        (self.mm().resident_bytes() / 1024) as i64
    }
}

/// What is to be let go once the table is unlocked.
#[derive(Default)]
struct Dropped {
    tasks: Vec<Option<Arc<crate::Task>>>,
    /// Of processes that nobody waits for.
    remains: Vec<Remains>,
}

impl Dropped {
    /// Forgets a dead process that nobody waits for.
    fn reap_unwaited(&mut self, pids: &mut Pids, pid: i32) {
        if let Some(remains) = pids.reap(pid) {
            remains.0.group.is_reaped.store(true, Ordering::Release);
            self.remains.push(remains);
        }
    }
}

/// A task holds its memory twice: in its shared and in its private half.
const fn memory_holders_of_one() -> usize {
    2
}

impl Kernel {
    /// PDEATHSIG: sent to children when the thread that made them ends
    /// (prctl(2), PR_SET_PDEATHSIG).
    fn parent_thread_died(&self, pid: i32, tid: i32, is_last: bool) {
        let mut told = Vec::new();
        {
            let mut pids = self.pids.lock();
            let children: Vec<i32> = pids
                .processes
                .get(&pid)
                .map(|p| p.children.iter().copied().collect())
                .unwrap_or_default();
            let heir = pids
                .processes
                .get(&pid)
                .and_then(|p| p.group.signals.lock().threads.keys().next().copied());
            for child in children {
                let Some(process) = pids.processes.get_mut(&child) else {
                    continue;
                };
                if process.parent_tid != tid {
                    continue;
                }
                if let (false, Some(heir)) = (is_last, heir) {
                    process.parent_tid = heir;
                }
                for task in process.group.threads() {
                    let signal = task.state.lock().parent_death_signal;
                    if let Some(signal) = signal {
                        told.push((process.group.clone(), signal));
                        break;
                    }
                }
            }
        }
        for (group, signal) in told {
            let info = SigInfo::from_sender(signal, si_code::USER, pid, 0);
            let _ = self.send_to_group(&group, None, signal, info, false);
        }
    }

    /// Takes an ended thread out of the table; the last one makes the process a zombie.
    fn forget_task(&self, group: &Arc<ThreadGroup>, tid: i32, is_last: bool, maxrss_kib: i64) {
        let pid = group.pid();
        let mut dropped = Dropped::default();
        let mut orphaned_stopped = Vec::new();
        let watch = {
            let pids = &mut *self.pids.lock();
            if tid != pid {
                dropped.tasks.push(pids.remove_task(tid));
            }
            if is_last {
                self.process_died(pids, group, maxrss_kib, &mut dropped, &mut orphaned_stopped)
            } else {
                None
            }
        };
        if let Some(watch) = watch {
            watch.announce();
            // The embedder waited for this one.
            dropped.remains.clear();
        }
        for pgid in orphaned_stopped {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let _ = self.kill(None, crate::SendTo::Group(pgid), Some(signal), None);
            }
        }
        group.ended.notify(0);
        self.reaper.release(dropped.remains, self.spawner().pool());
        drop(dropped.tasks);
        self.task_gone.notify(0);
    }

    /// Who is to be told once the table is unlocked, if anyone.
    fn process_died(
        &self,
        pids: &mut Pids,
        group: &Arc<ThreadGroup>,
        maxrss_kib: i64,
        dropped: &mut Dropped,
        orphaned_stopped: &mut Vec<i32>,
    ) -> Option<Arc<ExitWatch>> {
        let pid = group.pid();
        let status = group.signals.lock().exit.unwrap_or(ExitStatus::KILLED);
        group.is_dead.store(true, Ordering::Release);
        group.own_maxrss_kib.store(maxrss_kib, Ordering::Relaxed);
        let process = pids.processes.get_mut(&pid)?;
        process.zombie = Some(status);
        process.report = None;
        let (parent, pgid, exit_signal) = (process.parent, process.pgid(), process.exit_signal);
        let watch = process.watch.take();
        let children = std::mem::take(&mut process.children);

        // A group that loses its last link to the session hears of it when a member
        // is stopped. This process was a link of its own group if its parent is in
        // another, and of its children's groups if it is; of nobody else's.
        let links = |a: &Process, b: &Process| a.pgid() != b.pgid() && a.sid() == b.sid();
        let mut groups_to_check = Vec::new();
        if let Some(process) = pids.processes.get(&pid) {
            let kin = children
                .iter()
                .filter_map(|child| pids.processes.get(child));
            groups_to_check.extend(kin.filter(|kin| links(process, kin)).map(Process::pgid));
            let parent = pids.processes.get(&parent);
            groups_to_check.extend(parent.filter(|p| links(process, p)).map(|_| pgid));
        }

        self.reparent(pids, pid, children, dropped);

        for pgid in groups_to_check {
            let has_stopped = pids.members(pgid).any(|(member, p)| {
                member != pid
                    && p.group
                        .signals
                        .lock()
                        .stop
                        .as_ref()
                        .is_some_and(|s| s.is_reported)
            });
            if has_stopped && pids.is_orphaned(pgid, None) && !orphaned_stopped.contains(&pgid) {
                orphaned_stopped.push(pgid);
            }
        }
        if let Some(watch) = &watch {
            let cpu_ns = group.dead_cpu_ns.load(Ordering::Relaxed)
                + group.child_cpu_ns.load(Ordering::Relaxed);
            let maxrss = maxrss_kib.max(group.child_maxrss_kib.load(Ordering::Relaxed));
            watch.set(ExitReport {
                status,
                cpu_ns,
                maxrss_kib: maxrss,
            });
        }
        if self.notify_parent(pids, pid, parent, exit_signal, status) {
            dropped.reap_unwaited(pids, pid);
        } else {
            // The zombie keeps its id; its task is not needed any more.
            dropped.tasks.push(pids.remove_task(pid));
        }
        watch
    }

    /// Gives a dead process's children to the next subreaper, else to init,
    /// which reaps at once.
    fn reparent(
        &self,
        pids: &mut Pids,
        pid: i32,
        children: impl IntoIterator<Item = i32>,
        dropped: &mut Dropped,
    ) {
        let mut heir = pids.processes.get(&pid).map_or(INIT, |p| p.parent);
        while let Some(process) = pids.processes.get(&heir) {
            if process.is_subreaper && process.zombie.is_none() {
                break;
            }
            heir = process.parent;
        }
        let heir_tid = heir;
        for child in children {
            let Some(process) = pids.processes.get_mut(&child) else {
                continue;
            };
            process.parent = heir;
            process.parent_tid = heir_tid;
            // A child whose exit signal was another one is an ordinary one now.
            process.exit_signal = Signal::SIGCHLD.number();
            let zombie = process.zombie;
            if let Some(new_parent) = pids.processes.get_mut(&heir) {
                new_parent.children.insert(child);
            }
            if let Some(status) = zombie
                && self.notify_parent(pids, child, heir, Signal::SIGCHLD.number(), status)
            {
                dropped.reap_unwaited(pids, child);
            }
        }
    }

    /// Tells the parent of an end. True: nobody will wait, reap now.
    fn notify_parent(
        &self,
        pids: &Pids,
        pid: i32,
        parent: i32,
        exit_signal: u8,
        status: ExitStatus,
    ) -> bool {
        let Some(parent) = pids.processes.get(&parent).filter(|p| p.zombie.is_none()) else {
            return true;
        };
        let parent = parent.group.clone();
        let mut reap = false;
        if let Some(signal) = Signal::new(exit_signal.into()) {
            let action = parent.actions().get(signal);
            let mut tell = true;
            if signal == Signal::SIGCHLD {
                if action.handler == SIG_IGN {
                    reap = true;
                    tell = false;
                } else if action.flags & SigActionFlags::NOCLDWAIT.bits() != 0 {
                    reap = true;
                }
            }
            if tell {
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
                let ticks = pids.processes.get(&pid).map_or(0, |p| {
                    p.group.dead_cpu_ns.load(Ordering::Relaxed) / (1_000_000_000 / 100)
                });
                let uid = leader_uid(pids, pid);
                let mut info = SigInfo::child(code, pid, uid, value, ticks as i64, 0);
                info.signo = i32::from(signal.number());
                // An exit signal stops or continues nobody that waits here.
                let _ = parent.queue_signal(None, signal, info, false);
            }
        }
        parent.child_changed.notify(0);
        reap
    }
}
