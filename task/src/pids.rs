//! The pid table: which processes and threads exist and how they are related.
//!
//! One lock guards all of it, so that parentage, groups and sessions are seen
//! whole. Ids come from one cyclic space; a number is free again only when no
//! task, process, group or session uses it.

use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::kernel::ExitWatch;
use crate::task::Task;
use rivix_abi::{Errno, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kernel's own process: the parent of orphans and of what the library starts.
pub(crate) const INIT: i32 = 1;
pub(crate) const PID_MAX: i32 = 1 << 22;

/// What a parent has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Stopped(Signal),
    Continued,
}

pub(crate) struct Process {
    pub(crate) group: Arc<ThreadGroup>,
    pub(crate) parent: i32,
    /// The thread that made it.
    pub(crate) parent_tid: i32,
    pub(crate) children: BTreeSet<i32>,
    pub(crate) pgid: i32,
    pub(crate) sid: i32,
    /// Sent to the parent at the end; 0: none.
    pub(crate) exit_signal: u8,
    pub(crate) zombie: Option<ExitStatus>,
    pub(crate) report: Option<Report>,
    pub(crate) has_execed: bool,
    pub(crate) is_subreaper: bool,
    pub(crate) watch: Option<Arc<ExitWatch>>,
}

impl Process {
    pub(crate) fn new(group: Arc<ThreadGroup>) -> Process {
        Process {
            group,
            parent: INIT,
            parent_tid: INIT,
            children: BTreeSet::new(),
            pgid: 0,
            sid: 0,
            exit_signal: 0,
            zombie: None,
            report: None,
            has_execed: false,
            is_subreaper: false,
            watch: None,
        }
    }
}

#[derive(Default)]
pub(crate) struct Session {
    /// Its terminal's foreground group, when it has a terminal.
    pub(crate) terminal: Option<Terminal>,
}

pub(crate) struct Terminal {
    pub(crate) foreground: i32,
    /// Device number, as /proc/PID/stat shows it.
    pub(crate) device: u64,
}

#[derive(Default)]
pub(crate) struct Pids {
    last: i32,
    /// Threads that have not ended; a dead leader stays until its group is empty.
    pub(crate) tasks: BTreeMap<i32, Arc<Task>>,
    /// Processes that have not been reaped.
    pub(crate) processes: BTreeMap<i32, Process>,
    pub(crate) sessions: BTreeMap<i32, Session>,
    /// Ids promised to tasks that are being made.
    reserved: BTreeSet<i32>,
    pub(crate) is_closed: bool,
}

impl Pids {
    /// An unused id; EAGAIN when `max_tasks` exist.
    pub(crate) fn reserve(&mut self, max_tasks: usize) -> Result<i32, Errno> {
        if self.is_closed
            || self.tasks.len().max(self.processes.len()) + self.reserved.len() >= max_tasks
        {
            return Err(Errno::EAGAIN);
        }
        let mut id = self.last.max(INIT);
        for _ in 0..PID_MAX {
            id = if id + 1 >= PID_MAX { INIT + 1 } else { id + 1 };
            if !self.is_used(id) {
                self.last = id;
                self.reserved.insert(id);
                return Ok(id);
            }
        }
        Err(Errno::EAGAIN)
    }

    pub(crate) fn unreserve(&mut self, id: i32) {
        self.reserved.remove(&id);
    }

    pub(crate) fn last(&self) -> i32 {
        self.last
    }

    fn is_used(&self, id: i32) -> bool {
        self.tasks.contains_key(&id)
            || self.processes.contains_key(&id)
            || self.reserved.contains(&id)
            || self.sessions.contains_key(&id)
            || self.processes.values().any(|p| p.pgid == id)
    }

    pub(crate) fn members(&self, pgid: i32) -> impl Iterator<Item = (i32, &Process)> {
        self.processes
            .iter()
            .filter(move |(_, p)| p.pgid == pgid)
            .map(|(pid, p)| (*pid, p))
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
                    .is_some_and(|parent| parent.pgid != pgid && parent.sid == process.sid)
        })
    }

    pub(crate) fn parent_group(&self, pid: i32) -> Option<Arc<ThreadGroup>> {
        let parent = self.processes.get(&pid)?.parent;
        self.processes.get(&parent).map(|p| p.group.clone())
    }

    /// Forgets a dead process. Returns what to drop after unlocking.
    pub(crate) fn reap(&mut self, pid: i32) -> Option<Process> {
        let process = self.processes.remove(&pid)?;
        self.tasks.remove(&pid);
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children.remove(&pid);
        }
        if !self.processes.values().any(|p| p.sid == process.sid) {
            self.sessions.remove(&process.sid);
        }
        Some(process)
    }
}
