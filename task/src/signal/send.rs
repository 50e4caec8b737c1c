//! Sending signals (kill(2), tgkill(2), and the kernel's own).

use super::actions::ignores;
use super::queue::{Pending, TimerKey};
use super::state::ThreadSignals;
use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::pids::{INIT, Pids, Report};
use crate::task::Task;
use rivix_abi::resource::Resource;
use rivix_abi::signal::{DefaultAction, SIG_DFL, STOP_SIGNALS, SigInfo, si_code};
use rivix_abi::{Errno, Signal};
use std::sync::Arc;

/// Whom kill(2) names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTo {
    Process(i32),
    Group(i32),
    /// Everyone the sender may signal, but itself and init.
    All,
}

/// What the sender must do once no lock is held.
#[derive(Default)]
#[must_use]
pub(crate) struct AfterSend {
    /// The process was stopped, or some of its threads were, and goes on: its parent
    /// hears of it.
    pub(crate) is_continued: bool,
    /// It is pending, not dropped as ignored or repeated.
    pub(crate) is_queued: bool,
    /// It was dropped as ignored.
    pub(crate) is_ignored: bool,
}

impl ThreadGroup {
    /// Queues a signal to the process, or to its thread `tid`. A real-time one that
    /// meets RLIMIT_SIGPENDING is EAGAIN when it `must_queue`, and else loses what it
    /// says (kill(2), the kernel's own); ordinary ones that the kernel or kill(2) send
    /// always have room. The kernel's own tasks ignore all signals.
    pub(crate) fn queue_signal(
        &self,
        tid: Option<i32>,
        signal: Signal,
        info: SigInfo,
        must_queue: bool,
    ) -> Result<AfterSend, Errno> {
        self.enqueue(tid, self.pid(), signal, info, Source::of(must_queue))
    }

    /// As [`ThreadGroup::queue_signal`] to the process, which was named by the number of
    /// its thread `named`: that one is preferred.
    fn queue_by_name(
        &self,
        named: i32,
        signal: Signal,
        info: SigInfo,
        must_queue: bool,
    ) -> Result<AfterSend, Errno> {
        self.enqueue(None, named, signal, info, Source::of(must_queue))
    }

    /// A POSIX timer's expiry: it has its own room, and each timer its own entry.
    pub(crate) fn queue_timer_signal(
        &self,
        tid: Option<i32>,
        signal: Signal,
        info: SigInfo,
        key: TimerKey,
    ) -> Result<AfterSend, Errno> {
        self.enqueue(tid, self.pid(), signal, info, Source::Timer(key))
    }

    fn enqueue(
        &self,
        tid: Option<i32>,
        preferred: i32,
        signal: Signal,
        info: SigInfo,
        source: Source,
    ) -> Result<AfterSend, Errno> {
        let mut after = AfterSend::default();
        if self.is_kernel() {
            return Ok(after);
        }
        let action = self.actions().get(signal);
        let limit = self.rlimit(Resource::Sigpending).cur;
        let mut guard = self.signals.lock();
        let signals = &mut *guard;
        if signal == Signal::SIGKILL && !signals.threads.is_empty() {
            signals.begin_exit(ExitStatus::KILLED);
            return Ok(after);
        }
        if signals.exit.is_some() || signals.threads.is_empty() {
            return Ok(after);
        }
        if signal == Signal::SIGCONT {
            signals.flush_everywhere(STOP_SIGNALS);
            signals.may_stop = false;
            if signals.stop.take().is_some() {
                after.is_continued = true;
                signals.kick_all();
            }
        } else if STOP_SIGNALS & signal.bit() != 0 {
            signals.flush_everywhere(Signal::SIGCONT.bit());
        }

        // Whether it is dropped as ignored is up to the thread asked for, else to the
        // preferred one; who is to take it may be another.
        let bit = signal.bit();
        let named = match tid {
            Some(tid) => Some(signals.threads.get(&tid).ok_or(Errno::ESRCH)?),
            None => signals.threads.get(&preferred),
        };
        let named = named.or_else(|| signals.threads.values().next());
        let Some(named) = named else { return Ok(after) };
        if ignores(signal, &action) && named.mask & bit == 0 {
            after.is_ignored = true;
            return Ok(after);
        }
        let owner = named.task.clone();
        let open = |thread: &&ThreadSignals| thread.mask & bit == 0;
        let target = match (tid, open(&named)) {
            (_, true) => Some(owner.clone()),
            (Some(_), false) => None,
            (None, false) => {
                let other = signals.threads.values().find(open);
                other.map(|thread| thread.task.clone())
            }
        };
        let queue = match tid.and_then(|tid| signals.threads.get_mut(&tid)) {
            Some(thread) => &mut thread.pending,
            None => &mut signals.shared,
        };
        let mut entry = Pending::new(info);
        match source {
            Source::Timer(key) => {
                entry.timer = Some(key);
                queue.push(signal, entry);
            }
            _ if !signal.is_realtime() && queue.set() & bit != 0 => return Ok(after),
            _ => {
                let is_forced = !signal.is_realtime() && info.code >= si_code::USER;
                let uid = owner.state.lock().creds.uid;
                entry.room = owner.rooms.take(uid, limit, is_forced);
                let is_refused = entry.room.is_none();
                if is_refused && signal.is_realtime() && matches!(source, Source::Queued) {
                    return Err(Errno::EAGAIN);
                }
                if is_refused {
                    queue.mark(signal);
                } else {
                    queue.push(signal, entry);
                }
            }
        }
        after.is_queued = true;
        // Whoever waits for it by sigtimedwait hears, blocked or not.
        for (id, thread) in &signals.threads {
            let may_take = tid.is_none_or(|tid| tid == *id);
            if may_take && thread.wanted & bit != 0 {
                rivix_sync::Notify::notify(&**thread.task.kick(), 0);
            }
        }
        if let Some(target) = target {
            target.kick().kick();
            // One that ends the process does so at once, also while its threads wait
            // for what only a kill interrupts. Not while they are stopped.
            let is_fatal =
                action.handler == SIG_DFL && signal.default_action() == DefaultAction::Terminate;
            if is_fatal && signals.stop.is_none() {
                signals.killer = Some((signal, info));
                let core = false;
                signals.begin_exit(ExitStatus::Signal { signal, core });
            }
        }
        drop(guard);
        self.signal_queued.notify(0);
        Ok(after)
    }
}

/// Where a signal comes from, as far as its room goes.
#[derive(Clone, Copy)]
enum Source {
    Plain,
    /// A form that must not lose what it says: sigqueue(3), tgkill(2).
    Queued,
    Timer(TimerKey),
}

impl Source {
    fn of(must_queue: bool) -> Source {
        if must_queue {
            Source::Queued
        } else {
            Source::Plain
        }
    }
}

impl Kernel {
    /// Sends to a process, or to one of its threads, and does what follows.
    /// False: it was dropped as ignored or repeated.
    pub(crate) fn send_to_group(
        &self,
        group: &ThreadGroup,
        tid: Option<i32>,
        signal: Signal,
        info: SigInfo,
        must_queue: bool,
    ) -> Result<bool, Errno> {
        let after = group.queue_signal(tid, signal, info, must_queue)?;
        if after.is_continued {
            self.report_state(group.pid(), Report::Continued);
        }
        Ok(after.is_queued)
    }

    /// Tells a parent that its child stopped or goes on; the embedder is the
    /// parent of what it started.
    pub(crate) fn report_state(&self, pid: i32, report: Report) {
        let is_ours = !self.report_to_parent(pid, report);
        if let (true, Report::Stopped(_)) = (is_ours, report) {
            self.hooks().process_stopped(pid);
        }
    }

    /// False: the process's parent is the embedder.
    fn report_to_parent(&self, pid: i32, report: Report) -> bool {
        let pids = &mut *self.pids.lock();
        let Some(process) = pids.processes.get_mut(&pid) else {
            return true;
        };
        if process.zombie.is_some() {
            return true;
        }
        process.report = Some(report);
        let is_embedders = process.is_embedders();
        let uid = leader_uid(pids, pid);
        let (code, status) = match report {
            Report::Stopped(signal) => (si_code::CLD_STOPPED, i32::from(signal.number())),
            Report::Continued => (si_code::CLD_CONTINUED, i32::from(Signal::SIGCONT.number())),
        };
        let Some(parent) = pids.parent_group(pid).filter(|p| !p.is_kernel()) else {
            return !is_embedders;
        };
        let action = parent.actions().get(Signal::SIGCHLD);
        let wants_stops = action.flags & rivix_abi::signal::SigActionFlags::NOCLDSTOP.bits() == 0;
        if wants_stops {
            let info = SigInfo::child(code, pid, uid, status, 0, 0);
            // SIGCHLD stops and continues nobody: nothing follows.
            let _ = parent.queue_signal(None, Signal::SIGCHLD, info, false);
        }
        parent.child_changed.notify(0);
        true
    }

    pub fn find_task(&self, tid: i32) -> Option<Arc<Task>> {
        self.pids.lock().task(tid).cloned()
    }

    /// A process by its id, zombies included.
    pub fn find_process(&self, pid: i32) -> Option<Arc<ThreadGroup>> {
        self.pids
            .lock()
            .processes
            .get(&pid)
            .map(|p| p.group.clone())
    }

    /// kill(2) by a task, or by the kernel itself (`sender` None: the
    /// library, a terminal). Signal None only probes.
    ///
    /// # Errors
    /// ESRCH: nobody is named. EPERM: none of them may be signalled. EAGAIN: the
    /// signal must be queued, and there is no room (RLIMIT_SIGPENDING).
    pub fn kill(
        &self,
        sender: Option<&CurrentTask>,
        to: SendTo,
        signal: Option<Signal>,
        info: Option<SigInfo>,
    ) -> Result<(), Errno> {
        let pids = self.pids.lock();
        let list = |pid: &i32, p: &crate::pids::Process| (*pid, p.group.clone());
        let targets: Vec<(i32, Arc<ThreadGroup>)> = match to {
            SendTo::Process(pid) => {
                // kill(2) takes any thread's id, too.
                let pid = pids.task(pid).map_or(pid, |t| t.pid());
                let found = pids.processes.get_key_value(&pid);
                found.map(|(p, x)| list(p, x)).into_iter().collect()
            }
            SendTo::Group(pgid) => pids.members(pgid).map(|(pid, p)| list(&pid, p)).collect(),
            SendTo::All => {
                let own = sender.map(|s| s.pid());
                let others = pids.processes.iter();
                let others = others.filter(|(pid, _)| Some(**pid) != own && **pid != INIT);
                others.map(|(pid, p)| list(pid, p)).collect()
            }
        };
        // A member's child is in the group before the signal or is not made:
        // clone(2) looks for signals under this lock.
        let pids = match to {
            SendTo::Process(_) => {
                drop(pids);
                None
            }
            SendTo::Group(_) | SendTo::All => Some(pids),
        };
        if targets.is_empty() {
            return Err(Errno::ESRCH);
        }
        // Everyone may well be nobody: kill(-1) never fails for want of rights.
        let mut result = match to {
            SendTo::All => Ok(()),
            _ => Err(Errno::EPERM),
        };
        let mut continued = Vec::new();
        for (pid, group) in targets {
            if let Some(sender) = sender
                && !self.may_signal(sender, pid, &group, signal, pids.as_deref())
            {
                continue;
            }
            let sent = match signal {
                None => Ok(()),
                Some(signal) => {
                    let info = info.unwrap_or_else(|| match sender {
                        Some(s) => {
                            SigInfo::from_sender(signal, si_code::USER, s.pid(), s.creds().uid)
                        }
                        None => SigInfo::kernel(signal),
                    });
                    let must_queue = info.code != si_code::USER && sender.is_some();
                    let named = match to {
                        SendTo::Process(named) => named,
                        SendTo::Group(_) | SendTo::All => pid,
                    };
                    group
                        .queue_by_name(named, signal, info, must_queue)
                        .map(|after| {
                            if after.is_continued {
                                continued.push(pid);
                            }
                        })
                }
            };
            match sent {
                Ok(()) => result = Ok(()),
                Err(errno) if result.is_err() => result = Err(errno),
                Err(_) => {}
            }
        }
        drop(pids);
        for pid in continued {
            self.report_state(pid, Report::Continued);
        }
        result
    }

    /// As [`Kernel::kill`] for one process, whatever has its number by now.
    ///
    /// # Errors
    /// EPERM: the sender may not. EAGAIN: as for sigqueue(3).
    pub fn signal_process(
        &self,
        sender: &CurrentTask,
        group: &Arc<ThreadGroup>,
        signal: Option<Signal>,
        info: Option<SigInfo>,
    ) -> Result<(), Errno> {
        self.signal_one(sender, group, None, signal, info)
    }

    /// As [`Kernel::signal_process`], to one thread's own queue.
    pub fn signal_thread(
        &self,
        sender: &CurrentTask,
        task: &Arc<Task>,
        signal: Option<Signal>,
        info: Option<SigInfo>,
    ) -> Result<(), Errno> {
        self.signal_one(sender, task.group(), Some(task.tid()), signal, info)
    }

    fn signal_one(
        &self,
        sender: &CurrentTask,
        group: &Arc<ThreadGroup>,
        tid: Option<i32>,
        signal: Option<Signal>,
        info: Option<SigInfo>,
    ) -> Result<(), Errno> {
        if !self.may_signal(sender, group.pid(), group, signal, None) {
            return Err(Errno::EPERM);
        }
        let Some(signal) = signal else { return Ok(()) };
        let info = info.unwrap_or_else(|| {
            SigInfo::from_sender(signal, si_code::USER, sender.pid(), sender.creds().uid)
        });
        let must_queue = info.code == si_code::QUEUE;
        self.send_to_group(group, tid, signal, info, must_queue)
            .map(drop)
    }

    fn may_signal(
        &self,
        sender: &CurrentTask,
        pid: i32,
        group: &ThreadGroup,
        signal: Option<Signal>,
        locked: Option<&Pids>,
    ) -> bool {
        if sender.pid() == pid {
            return true;
        }
        let target = group.threads().first().map(|t| t.creds());
        let permitted = target.is_none_or(|target| sender.creds().may_signal(&target));
        permitted
            || signal == Some(Signal::SIGCONT) && {
                let same_session = |pids: &Pids| {
                    let sid = |pid| pids.processes.get(&pid).map(|p| p.sid());
                    sid(pid) == sid(sender.pid())
                };
                match locked {
                    Some(pids) => same_session(pids),
                    None => same_session(&self.pids.lock()),
                }
            }
    }

    /// tkill(2), tgkill(2): `pid` None means any process.
    pub fn kill_thread(
        &self,
        sender: &CurrentTask,
        pid: Option<i32>,
        tid: i32,
        signal: Option<Signal>,
        info: Option<SigInfo>,
    ) -> Result<(), Errno> {
        let Some(task) = self.find_task(tid) else {
            // A zombie is still there, though nothing reaches it.
            let is_zombie = pid.is_none_or(|pid| pid == tid) && self.find_process(tid).is_some();
            return if is_zombie { Ok(()) } else { Err(Errno::ESRCH) };
        };
        if pid.is_some_and(|pid| pid != task.pid()) {
            return Err(Errno::ESRCH);
        }
        if !self.may_signal(sender, task.pid(), task.group(), signal, None) {
            return Err(Errno::EPERM);
        }
        let Some(signal) = signal else { return Ok(()) };
        let info = info.unwrap_or_else(|| {
            SigInfo::from_sender(signal, si_code::TKILL, sender.pid(), sender.creds().uid)
        });
        let must_queue = info.code != si_code::USER;
        self.send_to_group(task.group(), Some(tid), signal, info, must_queue)
            .map(drop)
    }
}

pub(crate) fn leader_uid(pids: &Pids, pid: i32) -> u32 {
    pids.task(pid).map_or(0, |t| t.state.lock().creds.uid)
}

impl CurrentTask {
    /// A signal to this thread from the kernel, as SIGPIPE is.
    pub fn send_to_self(&self, signal: Signal) {
        let info = SigInfo::from_sender(signal, si_code::USER, self.pid(), self.creds().uid);
        let _ = self
            .kernel()
            .send_to_group(self.group(), Some(self.tid()), signal, info, false);
    }

    /// A fault's signal: taken even when blocked or ignored, by the default action then.
    pub fn force_signal(&self, info: SigInfo) {
        let Some(signal) = Signal::new(i64::from(info.signo)) else {
            return;
        };
        let actions = self.group().actions();
        let mut action = actions.get(signal);
        let mut guard = self.group().signals.lock();
        let Some(thread) = guard.threads.get_mut(&self.tid()) else {
            return;
        };
        let is_blocked = thread.mask & signal.bit() != 0;
        let is_ignored = action.handler == rivix_abi::signal::SIG_IGN;
        thread.mask &= !signal.bit();
        if thread.pending.set() & signal.bit() == 0 {
            thread.pending.push(signal, Pending::new(info));
        }
        drop(guard);
        if is_blocked || is_ignored {
            action.handler = SIG_DFL;
            actions.set(signal, action);
        }
        self.kick().kick();
    }
}
