//! Process groups and sessions (setpgid(2), setsid(2)).

use crate::current::CurrentTask;
use crate::kernel::Kernel;
use crate::pids::INIT;
use rivix_abi::Errno;

impl Kernel {
    /// The parent's id; init's for orphans and for what the library started.
    pub fn parent_of(&self, pid: i32) -> i32 {
        self.pids
            .lock()
            .processes
            .get(&pid)
            .map_or(INIT, |p| p.parent)
    }

    /// (group, session) of a process; 0 names none here.
    pub fn group_and_session(&self, pid: i32) -> Result<(i32, i32), Errno> {
        let pids = self.pids.lock();
        let pid = pids.task(pid).map_or(pid, |t| t.pid());
        pids.processes
            .get(&pid)
            .map(|p| (p.pgid(), p.sid()))
            .ok_or(Errno::ESRCH)
    }

    pub fn set_subreaper(&self, pid: i32, on: bool) {
        if let Some(process) = self.pids.lock().processes.get_mut(&pid) {
            process.is_subreaper = on;
        }
    }

    pub fn is_subreaper(&self, pid: i32) -> bool {
        self.pids
            .lock()
            .processes
            .get(&pid)
            .is_some_and(|p| p.is_subreaper)
    }
}

impl CurrentTask {
    /// setpgid(2).
    pub fn set_process_group(&self, pid: i32, pgid: i32) -> Result<(), Errno> {
        let own = self.pid();
        let pid = if pid == 0 { own } else { pid };
        let pgid = if pgid == 0 { pid } else { pgid };
        if pgid < 0 {
            return Err(Errno::EINVAL);
        }
        let mut pids = self.kernel().pids.lock();
        let own_sid = pids.processes.get(&own).map(|p| p.sid());
        let Some(target) = pids.processes.get(&pid) else {
            // A thread's number names no process.
            let is_thread = pids.task(pid).is_some();
            return Err(if is_thread {
                Errno::EINVAL
            } else {
                Errno::ESRCH
            });
        };
        if pid != own {
            if target.parent != own {
                return Err(Errno::ESRCH);
            }
            if Some(target.sid()) != own_sid {
                return Err(Errno::EPERM);
            }
            if target.has_execed {
                return Err(Errno::EACCES);
            }
        }
        if target.sid() == pid {
            return Err(Errno::EPERM);
        }
        pids.join_group(pid, pgid)
    }

    /// setsid(2).
    pub fn new_session(&self) -> Result<i32, Errno> {
        let pid = self.pid();
        self.kernel().pids.lock().begin_session(pid)?;
        Ok(pid)
    }
}
