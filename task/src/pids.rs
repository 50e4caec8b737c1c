//! The pid table: which processes and threads exist and how they are related.
//!
//! One lock guards all of it, so that parentage, groups and sessions are seen
//! whole. Ids come from one cyclic space. Each use of a number keeps a counted
//! reference of it: the task, the process until it is reaped, each member of
//! the group and of the session that it names. It is free when the last is gone.

use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::ids::{Cyclic, Id, IdAlloc};
use crate::kernel::ExitWatch;
use crate::task::Task;
use crate::terminal::Terminal;
use crate::users::Counted;
use rivix_abi::{Errno, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The kernel's own process: the parent of orphans, whom it reaps at once, and of
/// what the library starts.
pub(crate) const INIT: i32 = 1;
/// The parent of the kernel's tasks.
pub(crate) const KTHREADD: i32 = 2;
pub(crate) const PID_MAX: i32 = 1 << 22;
/// Where numbers go on after PID_MAX, as on Linux: those below are left to
/// what starts early.
const RESERVED_PIDS: i32 = 300;

pub(crate) type PidId = Id<Cyclic>;

/// What a parent has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Stopped(Signal),
    Continued,
}

/// The group and session a process is in.
#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) group: PidId,
    pub(crate) session: PidId,
}

pub(crate) struct Process {
    pub(crate) group: Arc<ThreadGroup>,
    id: PidId,
    /// None: a task of the kernel's, which is in no group and no session.
    member: Option<Membership>,
    pub(crate) parent: i32,
    /// The thread that made it.
    pub(crate) parent_tid: i32,
    pub(crate) children: BTreeSet<i32>,
    /// Its place among its parent's children: by birth, or by adoption.
    pub(crate) age: u64,
    /// Sent to the parent at the end; 0: none.
    pub(crate) exit_signal: u8,
    /// Programs that it has executed, and its parent had when it was made: a
    /// new program is not sent the exit signal that the old one chose.
    pub(crate) execs: u64,
    pub(crate) parent_execs: u64,
    pub(crate) zombie: Option<ExitStatus>,
    pub(crate) report: Option<Report>,
    pub(crate) has_execed: bool,
    pub(crate) is_subreaper: bool,
    /// Device number of its controlling terminal.
    pub(crate) terminal: Option<u64>,
    pub(crate) watch: Option<Arc<ExitWatch>>,
}

impl Process {
    /// A child of init; `member` None: a task of the kernel's.
    pub(crate) fn new(id: PidId, group: Arc<ThreadGroup>, member: Option<Membership>) -> Process {
        Process {
            group,
            id,
            member,
            parent: INIT,
            parent_tid: INIT,
            children: BTreeSet::new(),
            age: 0,
            exit_signal: 0,
            execs: 0,
            parent_execs: 0,
            zombie: None,
            report: None,
            has_execed: false,
            is_subreaper: false,
            terminal: None,
            watch: None,
        }
    }

    /// Its process group; 0: none.
    pub(crate) fn pgid(&self) -> i32 {
        self.member.as_ref().map_or(0, |m| m.group.number())
    }

    /// Its session; 0: none.
    pub(crate) fn sid(&self) -> i32 {
        self.member.as_ref().map_or(0, |m| m.session.number())
    }

    pub(crate) fn member(&self) -> Option<Membership> {
        self.member.clone()
    }

    /// Did the embedder start it, who waits for it?
    pub(crate) fn is_embedders(&self) -> bool {
        self.watch.is_some()
    }

    /// Is it a task of the kernel's?
    pub(crate) fn is_kernel(&self) -> bool {
        self.member.is_none()
    }
}

#[derive(Default)]
pub(crate) struct Session {
    /// Processes in it.
    members: usize,
    pub(crate) terminal: Option<Terminal>,
    /// Who was in front when the terminal hung up, until the leader ends.
    pub(crate) old_foreground: Option<PidId>,
}

/// An id for a task that is being made. It counts against the limit of tasks
/// until it is dropped; keep it until the task is in the table, or is not to be.
pub(crate) struct Promised {
    id: PidId,
    count: Arc<AtomicUsize>,
}

impl Promised {
    pub(crate) fn id(&self) -> &PidId {
        &self.id
    }

    pub(crate) fn number(&self) -> i32 {
        self.id.number()
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

struct TaskEntry {
    task: Arc<Task>,
    /// Keeps the number; the leader's is its process's, too.
    id: PidId,
    /// None: a task of the kernel's.
    counted: Option<Counted>,
}

pub(crate) struct Pids {
    ids: IdAlloc<Cyclic>,
    /// Threads that have not ended; a leader stays until its process is reaped.
    tasks: BTreeMap<i32, TaskEntry>,
    /// Processes that have not been reaped.
    pub(crate) processes: BTreeMap<i32, Process>,
    /// Members of each process group that has any.
    groups: BTreeMap<i32, BTreeSet<i32>>,
    pub(crate) sessions: BTreeMap<i32, Session>,
    /// How many of the tasks (and as many processes) are the kernel's.
    kernel_tasks: usize,
    /// Ids promised to tasks that are being made.
    promised: Arc<AtomicUsize>,
    /// The last [`Process::age`] given.
    ages: u64,
    pub(crate) is_closed: bool,
}

impl Default for Pids {
    fn default() -> Self {
        Pids::with_max(PID_MAX)
    }
}

impl Pids {
    /// An empty table whose ids are below `pid_max`.
    pub(crate) fn with_max(pid_max: i32) -> Pids {
        Pids {
            ids: IdAlloc::wrapping_to(INIT..=pid_max - 1, RESERVED_PIDS),
            tasks: BTreeMap::new(),
            processes: BTreeMap::new(),
            groups: BTreeMap::new(),
            sessions: BTreeMap::new(),
            kernel_tasks: 0,
            promised: Arc::default(),
            ages: 0,
            is_closed: false,
        }
    }

    /// An unused id for a guest's task; EAGAIN when `max_tasks` exist, which
    /// the kernel's own do not count for.
    pub(crate) fn reserve(&mut self, max_tasks: usize) -> Result<Promised, Errno> {
        self.promise(max_tasks, IdAlloc::allocate)
    }

    /// As [`Pids::reserve`], for this very id; EEXIST when it is in use.
    pub(crate) fn reserve_exact(&mut self, max_tasks: usize, id: i32) -> Result<Promised, Errno> {
        self.promise(max_tasks, |ids| ids.allocate_exact(id))
    }

    fn promise(
        &mut self,
        max_tasks: usize,
        take: impl FnOnce(&IdAlloc<Cyclic>) -> Result<PidId, Errno>,
    ) -> Result<Promised, Errno> {
        let guests = self.guest_tasks().max(self.guest_processes());
        if self.is_closed || guests + self.promised.load(Ordering::Relaxed) >= max_tasks {
            return Err(Errno::EAGAIN);
        }
        let id = take(&self.ids)?;
        self.promised.fetch_add(1, Ordering::Relaxed);
        Ok(Promised {
            id,
            count: self.promised.clone(),
        })
    }

    /// An unused id for a task of the kernel's; EAGAIN when there is none.
    pub(crate) fn reserve_kernel(&self) -> Result<PidId, Errno> {
        self.ids.allocate()
    }

    /// The number given last.
    pub(crate) fn last(&self) -> i32 {
        self.ids.latest()
    }

    /// Numbers in use, those of the kernel's tasks among them.
    pub(crate) fn ids_used(&self) -> usize {
        self.ids.used()
    }

    pub(crate) fn task(&self, tid: i32) -> Option<&Arc<Task>> {
        self.tasks.get(&tid).map(|entry| &entry.task)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().map(|entry| &entry.task)
    }

    /// All tasks, the kernel's too.
    pub(crate) fn task_count(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn guest_tasks(&self) -> usize {
        self.tasks.len() - self.kernel_tasks
    }

    /// Zombies too.
    pub(crate) fn guest_processes(&self) -> usize {
        self.processes.len() - self.kernel_tasks
    }

    /// The task that had the number before is returned, to drop after unlocking.
    pub(crate) fn insert_task(
        &mut self,
        id: PidId,
        task: Arc<Task>,
        counted: Option<Counted>,
    ) -> Option<Arc<Task>> {
        let tid = id.number();
        let entry = TaskEntry { task, id, counted };
        self.tasks.insert(tid, entry).map(|old| old.task)
    }

    /// From now on the task counts for another user.
    pub(crate) fn recount_task(&mut self, tid: i32, counted: Counted) {
        if let Some(entry) = self.tasks.get_mut(&tid)
            && entry.counted.is_some()
        {
            entry.counted = Some(counted);
        }
    }

    /// What comes back is to be dropped after unlocking.
    pub(crate) fn remove_task(&mut self, tid: i32) -> Option<Arc<Task>> {
        self.tasks.remove(&tid).map(|entry| entry.task)
    }

    /// A thread that is not the leader takes its process's number (execve(2)).
    /// Returns the task that had it, to drop after unlocking.
    pub(crate) fn take_leaders_id(&mut self, tid: i32, pid: i32) -> Option<Arc<Task>> {
        let id = self.processes.get(&pid)?.id.clone();
        let entry = self.tasks.remove(&tid)?;
        self.insert_task(id, entry.task, entry.counted)
    }

    /// Enters a process into the table, its group and its session.
    pub(crate) fn insert_process(&mut self, mut process: Process) {
        let pid = process.id.number();
        process.age = self.next_age();
        match process.member() {
            Some(member) => self.enter(pid, &member),
            None => self.kernel_tasks += 1,
        }
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children.insert(pid);
        }
        self.processes.insert(pid, process);
    }

    /// For a child that is its parent's youngest.
    pub(crate) fn next_age(&mut self) -> u64 {
        self.ages += 1;
        self.ages
    }

    fn enter(&mut self, pid: i32, member: &Membership) {
        let group = self.groups.entry(member.group.number()).or_default();
        group.insert(pid);
        self.sessions
            .entry(member.session.number())
            .or_default()
            .members += 1;
    }

    /// An empty group is forgotten, and so is a session, with its terminal.
    fn leave(&mut self, pid: i32, member: &Membership) {
        let (pgid, sid) = (member.group.number(), member.session.number());
        if let Some(group) = self.groups.get_mut(&pgid) {
            group.remove(&pid);
            if group.is_empty() {
                self.groups.remove(&pgid);
            }
        }
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.members -= 1;
            if session.members == 0 {
                self.sessions.remove(&sid);
            }
        }
    }

    fn move_to(&mut self, pid: i32, member: Membership) {
        let numbers = |m: &Membership| (m.group.number(), m.session.number());
        let process = self.processes.get(&pid);
        if process.and_then(|p| p.member.as_ref()).map(numbers) == Some(numbers(&member)) {
            return;
        }
        self.enter(pid, &member);
        let old = self
            .processes
            .get_mut(&pid)
            .and_then(|process| process.member.replace(member));
        if let Some(old) = old {
            self.leave(pid, &old);
        }
    }

    /// Puts a process into a group of its session, or into a new one with its
    /// own number. EPERM: there is no such group; ESRCH: no such process.
    pub(crate) fn join_group(&mut self, pid: i32, pgid: i32) -> Result<(), Errno> {
        let process = self.processes.get(&pid).ok_or(Errno::ESRCH)?;
        let own = process.member().ok_or(Errno::EPERM)?;
        if own.group.number() == pgid {
            return Ok(());
        }
        let group = if pgid == pid {
            process.id.clone()
        } else {
            self.members(pgid)
                .filter_map(|(_, p)| p.member())
                .find(|m| m.session.number() == own.session.number())
                .ok_or(Errno::EPERM)?
                .group
        };
        let session = own.session;
        self.move_to(pid, Membership { group, session });
        Ok(())
    }

    /// Puts a process into a session and a group with its own number. EPERM: a
    /// group has that number already.
    pub(crate) fn begin_session(&mut self, pid: i32) -> Result<(), Errno> {
        let process = self.processes.get(&pid).ok_or(Errno::ESRCH)?;
        if self.groups.contains_key(&pid) {
            return Err(Errno::EPERM);
        }
        let id = process.id.clone();
        let (group, session) = (id.clone(), id);
        self.move_to(pid, Membership { group, session });
        if let Some(process) = self.processes.get_mut(&pid) {
            process.terminal = None;
        }
        Ok(())
    }

    /// What a number in use names: the number itself, and the session of the group,
    /// else of the process, that has it.
    pub(crate) fn id_and_session(&self, number: i32) -> Option<(PidId, Option<i32>)> {
        let member = self.members(number).find_map(|(_, p)| p.member());
        if let Some(member) = member {
            return Some((member.group, Some(member.session.number())));
        }
        if let Some(process) = self.processes.get(&number) {
            return Some((process.id.clone(), Some(process.sid())));
        }
        if let Some(entry) = self.tasks.get(&number) {
            let process = self.processes.get(&entry.task.pid());
            return Some((entry.id.clone(), process.map(Process::sid)));
        }
        // A session may outlive its leader's group.
        let mut members = self.processes.values().filter_map(Process::member);
        let member = members.find(|m| m.session.number() == number)?;
        Some((member.session, None))
    }

    pub(crate) fn members(&self, pgid: i32) -> impl Iterator<Item = (i32, &Process)> {
        self.groups
            .get(&pgid)
            .into_iter()
            .flatten()
            .filter_map(|pid| Some((*pid, self.processes.get(pid)?)))
    }

    /// A group is orphaned when no member has a parent in another group of the
    /// same session (setpgid(2)).
    pub(crate) fn is_orphaned(&self, pgid: i32, ignoring: Option<i32>) -> bool {
        !self.members(pgid).any(|(pid, process)| {
            Some(pid) != ignoring
                && process.zombie.is_none()
                && self
                    .processes
                    .get(&process.parent)
                    .is_some_and(|parent| parent.pgid() != pgid && parent.sid() == process.sid())
        })
    }

    pub(crate) fn parent_group(&self, pid: i32) -> Option<Arc<ThreadGroup>> {
        let parent = self.processes.get(&pid)?.parent;
        self.processes.get(&parent).map(|p| p.group.clone())
    }

    /// Forgets a dead process. Returns what to drop after unlocking.
    pub(crate) fn reap(&mut self, pid: i32) -> Option<(Process, Option<Arc<Task>>)> {
        let process = self.processes.remove(&pid)?;
        let task = self.remove_task(pid);
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children.remove(&pid);
        }
        match process.member() {
            Some(member) => self.leave(pid, &member),
            None => self.kernel_tasks -= 1,
        }
        Some((process, task))
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
