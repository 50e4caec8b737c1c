//! The end of a thread, and of a process.

use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::kernel::{ExitReport, ExitWatch, Kernel};
use crate::pids::{INIT, Pids, Process};
use crate::reaper::Remains;
use crate::signal::send::leader_uid;
use crate::task::Task;
use rivix_abi::signal::{SIG_IGN, SigActionFlags, SigInfo, si_code};
use rivix_abi::time::{NSEC_PER_SEC, USER_HZ};
use rivix_abi::{Signal, UserAddress};
use rivix_sync::sys::mutant;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A clock tick of siginfo's times.
const TICK_NS: u64 = NSEC_PER_SEC as u64 / USER_HZ;

impl CurrentTask {
    /// The thread's end, in Linux's order: robust list, cleared tid, vfork
    /// parent; then its resources; then everyone else may know.
    pub(crate) fn end(mut self) {
        self.forget_rseq();
        self.wait_for_dump();
        let status = self.exiting.unwrap_or(ExitStatus::Code(0));
        if let Some(tracer) = self.kernel().tracer() {
            let shown = self.group().signals.lock().exit.unwrap_or(status);
            tracer.thread_exit(&self, shown);
        }
        self.leave_memory(true);
        self.account_cpu();
        self.end_cpu_clock();
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
            self.group().dead_cpu.add(self.cpu_times());
            self.group().dead_counts.add(self.counts());
            // Shared signals that this thread was to take go to another, and who
            // makes a core file waits for one thread less.
            if signals.shared.set() != 0 || signals.core.is_some() {
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
            self.group()
                .own_maxrss_kib
                .fetch_max(self.maxrss_kib(), Ordering::Relaxed);
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
        if let Some(teaching) = task.group().teaching() {
            // Before execve(2) sees it gone and begins the table anew.
            teaching.thread_ended(task.slot.load(Ordering::Relaxed));
        }
        kernel.forget_task(&task);
    }

    /// Robust list, clear_child_tid and the vfork parent: also what execve(2)
    /// does before it leaves the old memory. `is_end`: the thread's.
    pub(crate) fn leave_memory(&self, is_end: bool) {
        self.exit_futexes(is_end);
        let at = self.clear_child_tid.swap(0, Ordering::Relaxed);
        if at != 0 && Arc::strong_count(&self.memory) > memory_holders_of_one() {
            let addr = UserAddress(at);
            // As Linux: where the word cannot be written, its waiters are still told.
            let _ = self.write_bytes(addr, &0u32.to_le_bytes());
            self.wake_shared(addr);
        }
        if let Some(done) = &self.vfork_done {
            done.release();
        }
    }

    /// Forgets what the thread was to write into its memory when it ends.
    pub(crate) fn abandon_memory(&self) {
        self.robust_list.store(0, Ordering::Relaxed);
        self.clear_child_tid.store(0, Ordering::Relaxed);
    }

    /// Memory in use, and at least what execve(2) left behind.
    pub fn maxrss_kib(&self) -> i64 {
        (self.mm().resident_bytes() / 1024) as i64
    }
}

/// What is to be done once the table is unlocked.
#[derive(Default)]
struct Afterwards {
    tasks: Vec<Option<Arc<Task>>>,
    /// Of processes that nobody waits for.
    remains: Vec<Remains>,
    /// Groups that lost their last link to their session while stopped.
    orphaned_stopped: Vec<i32>,
    /// Processes that the signal of a parent's death has continued.
    continued: Vec<i32>,
}

impl Afterwards {
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

/// A thread that ends, as its children see it.
struct Dying {
    pid: i32,
    tid: i32,
    uid: u32,
}

impl Kernel {
    /// Takes an ended thread out of the table and gives its children a new
    /// parent. The process is a zombie when the last of its threads has come
    /// here: each has let go of memory and files before.
    fn forget_task(&self, task: &Arc<Task>) {
        let group = task.group();
        let dying = Dying {
            pid: group.pid(),
            tid: task.tid(),
            uid: task.creds().uid,
        };
        let mut after = Afterwards::default();
        let watch = {
            let pids = &mut *self.pids.lock();
            if dying.tid != dying.pid {
                task.is_gone.store(true, Ordering::Release);
                after.tasks.push(pids.remove_task(dying.tid));
            }
            // Released with all that this thread has let go of.
            if group.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.process_died(pids, group, &dying, &mut after)
            } else {
                self.leave_children(pids, group, &dying, &mut after);
                None
            }
        };
        // Who watches what nobody waits for: this process, or orphans of it.
        for (process, _) in &after.remains {
            process.group.ended.notify(0);
        }
        if let Some(watch) = watch {
            watch.announce();
            // The embedder waited for this one.
            after.remains.clear();
        }
        for pgid in after.orphaned_stopped {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let _ = self.kill(None, crate::SendTo::Group(pgid), Some(signal), None);
            }
        }
        for pid in after.continued {
            self.report_state(pid, crate::pids::Report::Continued);
        }
        if !mutant("exit-untold-to-exec") {
            group.ended.notify(0);
        }
        self.reaper.release(after.remains, self.spawner().pool());
        drop(after.tasks);
        self.task_gone.notify(0);
    }

    /// The children that a thread made go to another one of its process; when
    /// all others are ending too, to who adopts orphans.
    fn leave_children(
        &self,
        pids: &mut Pids,
        group: &Arc<ThreadGroup>,
        dying: &Dying,
        after: &mut Afterwards,
    ) {
        let Some(process) = pids.processes.get(&dying.pid) else {
            return;
        };
        let made_here = |child: &i32| {
            let child = pids.processes.get(child);
            child.is_some_and(|child| child.parent_tid == dying.tid)
        };
        let children: BTreeSet<i32> = process.children.iter().copied().filter(made_here).collect();
        if children.is_empty() {
            return;
        }
        match first_thread(group) {
            Some(sibling) => {
                for child in children {
                    tell_of_death(pids, child, dying, after);
                    if let Some(child) = pids.processes.get_mut(&child) {
                        child.parent_tid = sibling;
                    }
                }
            }
            None => {
                if let Some(process) = pids.processes.get_mut(&dying.pid) {
                    process.children.retain(|child| !children.contains(child));
                }
                self.reparent(pids, dying, children.into_iter().collect(), after);
            }
        }
    }

    /// Who is to be told once the table is unlocked, if anyone.
    fn process_died(
        &self,
        pids: &mut Pids,
        group: &Arc<ThreadGroup>,
        dying: &Dying,
        after: &mut Afterwards,
    ) -> Option<Arc<ExitWatch>> {
        let pid = group.pid();
        let status = group.signals.lock().exit.unwrap_or(ExitStatus::KILLED);
        group.is_dead.store(true, Ordering::Release);
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
        // Many children in one group are one question.
        groups_to_check.sort_unstable();
        groups_to_check.dedup();

        self.reparent(pids, dying, children.into_iter().collect(), after);

        for pgid in groups_to_check {
            after_orphaning(pids, pid, pgid, after);
        }
        if let Some(watch) = &watch {
            let cpu_ns = group.used_for_good().total_ns();
            let own = group.own_maxrss_kib.load(Ordering::Relaxed);
            let maxrss = own.max(group.child_maxrss_kib.load(Ordering::Relaxed));
            watch.set(ExitReport {
                status,
                cpu_ns,
                maxrss_kib: maxrss,
            });
        }
        // A zombie keeps its leader's task: its ids, priority and limits can be asked.
        if self.notify_parent(pids, pid, parent, exit_signal, status) {
            after.reap_unwaited(pids, pid);
        }
        watch
    }

    /// Gives children to the next subreaper, else to init, which reaps at once.
    fn reparent(
        &self,
        pids: &mut Pids,
        dying: &Dying,
        mut children: Vec<i32>,
        after: &mut Afterwards,
    ) {
        let mut heir = pids.processes.get(&dying.pid).map_or(INIT, |p| p.parent);
        let mut heir_tid = INIT;
        while heir != INIT
            && let Some(process) = pids.processes.get(&heir)
        {
            if process.is_subreaper
                && let Some(thread) = first_thread(&process.group)
            {
                heir_tid = thread;
                break;
            }
            heir = process.parent;
        }
        // In the order of their birth: they are the heir's youngest from now on.
        children.sort_by_key(|child| pids.processes.get(child).map_or(0, |p| p.age));
        for child in children {
            tell_of_death(pids, child, dying, after);
            let age = pids.next_age();
            let Some(process) = pids.processes.get_mut(&child) else {
                continue;
            };
            process.parent = heir;
            process.parent_tid = heir_tid;
            process.age = age;
            // A child whose exit signal was another one is an ordinary one now.
            process.exit_signal = Signal::SIGCHLD.number();
            let zombie = process.zombie;
            if let Some(new_parent) = pids.processes.get_mut(&heir) {
                new_parent.children.insert(child);
            }
            if let Some(status) = zombie.filter(|_| !mutant("reparent-forgets-zombies"))
                && self.notify_parent(pids, child, heir, Signal::SIGCHLD.number(), status)
            {
                after.reap_unwaited(pids, child);
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
        // Init waits for everybody, whatever the exit signal.
        let parent = pids.processes.get(&parent);
        let Some(parent) = parent.filter(|p| p.zombie.is_none() && !p.is_kernel()) else {
            return true;
        };
        let made_by_this_program = pids
            .processes
            .get(&pid)
            .is_some_and(|child| child.parent_execs == parent.execs);
        // A program that did not make the child did not choose its exit signal.
        let exit_signal = if made_by_this_program {
            exit_signal
        } else {
            Signal::SIGCHLD.number()
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
                let (code, value) = status.child_code();
                let group = pids.processes.get(&pid).map(|p| &p.group);
                let cpu = group.map_or_else(Default::default, |g| g.used_for_good());
                let ticks = |ns: u64| (ns / TICK_NS) as i64;
                let uid = leader_uid(pids, pid);
                let (user, system) = (ticks(cpu.user_ns), ticks(cpu.system_ns));
                let mut info = SigInfo::child(code, pid, uid, value, user, system);
                info.signo = i32::from(signal.number());
                // An exit signal stops or continues nobody that waits here.
                let _ = parent.queue_signal(None, signal, info, false);
            }
        }
        if !mutant("exit-untold-to-parent") {
            parent.child_changed.notify(0);
        }
        reap && !mutant("exit-not-reaped")
    }
}

/// A thread that is not ending, the leader if it lives.
fn first_thread(group: &ThreadGroup) -> Option<i32> {
    let signals = group.signals.lock();
    let leader = signals.threads.get_key_value(&group.pid());
    leader
        .or_else(|| signals.threads.first_key_value())
        .map(|(tid, _)| *tid)
}

/// PDEATHSIG: each thread that asked for it has its process sent a signal when
/// the thread that made the process ends (prctl(2), PR_SET_PDEATHSIG).
fn tell_of_death(pids: &Pids, child: i32, dying: &Dying, after: &mut Afterwards) {
    let Some(process) = pids.processes.get(&child) else {
        return;
    };
    for task in process.group.threads() {
        let wish = task.state.lock().parent_death_signal;
        if let Some(signal) = wish {
            let info = SigInfo::from_sender(signal, si_code::USER, dying.pid, dying.uid);
            let sent = process.group.queue_signal(None, signal, info, false);
            if sent.is_ok_and(|sent| sent.is_continued) {
                after.continued.push(child);
            }
        }
    }
}

/// A group whose last link to its session has gone hears of it when a member is
/// stopped (setpgid(2), "orphaned process group").
fn after_orphaning(pids: &Pids, dead: i32, pgid: i32, after: &mut Afterwards) {
    let is_stopped = |group: &ThreadGroup| {
        let signals = group.signals.lock();
        signals.stop.as_ref().is_some_and(|stop| stop.is_reported)
    };
    let has_stopped = pids
        .members(pgid)
        .any(|(member, p)| member != dead && is_stopped(&p.group));
    if has_stopped && pids.is_orphaned(pgid, None) && !after.orphaned_stopped.contains(&pgid) {
        after.orphaned_stopped.push(pgid);
    }
}
