//! Process groups, sessions and their terminals (setpgid(2), setsid(2), tcsetpgrp(3)).

use crate::SendTo;
use crate::current::CurrentTask;
use crate::error::{Restart, SysResult};
use crate::kernel::Kernel;
use crate::pids::{INIT, Terminal};
use rivix_abi::signal::SIG_IGN;
use rivix_abi::{Errno, Signal};

/// /dev/tty (5, 0): whatever terminal the session has.
const OWN_TERMINAL: u64 = 5 << 8;

impl Terminal {
    fn is(&self, device: u64) -> bool {
        device == self.device || device == OWN_TERMINAL
    }
}

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

    fn own_session(&self) -> Result<i32, Errno> {
        self.kernel()
            .group_and_session(self.pid())
            .map(|(_, sid)| sid)
    }

    /// Has the session a controlling terminal, and is it `device` (None: any)?
    pub fn has_terminal(&self, device: Option<u64>) -> bool {
        let Ok(sid) = self.own_session() else {
            return false;
        };
        let pids = self.kernel().pids.lock();
        let terminal = pids.sessions.get(&sid).and_then(|s| s.terminal.as_ref());
        terminal.is_some_and(|t| device.is_none_or(|d| t.is(d)))
    }

    /// TIOCGPGRP on the terminal `device`.
    pub fn foreground_group(&self, device: u64) -> Result<i32, Errno> {
        let sid = self.own_session()?;
        let pids = self.kernel().pids.lock();
        let terminal = pids.sessions.get(&sid).and_then(|s| s.terminal.as_ref());
        terminal
            .filter(|t| t.device == device)
            .map(|t| t.foreground)
            .ok_or(Errno::ENOTTY)
    }

    /// TIOCSPGRP. A background caller is stopped first (tcsetpgrp(3)).
    pub fn set_foreground_group(&self, device: u64, pgid: i32) -> SysResult<()> {
        self.foreground_group(device)?;
        self.check_background(device, Signal::SIGTTOU)?;
        if pgid < 0 {
            return Err(Errno::EINVAL.into());
        }
        let sid = self.own_session()?;
        let mut pids = self.kernel().pids.lock();
        if pids.members(pgid).next().is_none() {
            return Err(Errno::ESRCH.into());
        }
        if !pids.members(pgid).any(|(_, p)| p.sid() == sid) {
            return Err(Errno::EPERM.into());
        }
        if let Some(terminal) = pids
            .sessions
            .get_mut(&sid)
            .and_then(|s| s.terminal.as_mut())
        {
            terminal.foreground = pgid;
        }
        Ok(())
    }

    /// TIOCGSID.
    pub fn terminal_session(&self, device: u64) -> Result<i32, Errno> {
        self.foreground_group(device)?;
        self.own_session()
    }

    /// TIOCSCTTY, and opening a terminal without O_NOCTTY: a session leader
    /// without terminal gets it, unless another session has it.
    pub fn acquire_terminal(&self, device: u64) -> Result<(), Errno> {
        let (pid, sid) = (self.pid(), self.own_session()?);
        let mut pids = self.kernel().pids.lock();
        let pgid = pids.processes.get(&pid).map_or(pid, |p| p.pgid());
        let has = pids.sessions.get(&sid).and_then(|s| s.terminal.as_ref());
        if has.is_some_and(|t| t.is(device)) {
            return Ok(());
        }
        let has_another = has.is_some();
        let is_taken = pids
            .sessions
            .values()
            .any(|s| s.terminal.as_ref().is_some_and(|t| t.device == device));
        if pid != sid || has_another || is_taken {
            return Err(Errno::EPERM);
        }
        let session = pids.sessions.get_mut(&sid).ok_or(Errno::EPERM)?;
        session.terminal = Some(Terminal {
            foreground: pgid,
            device,
        });
        Ok(())
    }

    /// TIOCNOTTY. A session leader's group is hung up.
    pub fn release_terminal(&self, device: u64) -> Result<(), Errno> {
        let (pid, sid) = (self.pid(), self.own_session()?);
        let foreground = {
            let mut pids = self.kernel().pids.lock();
            let session = pids.sessions.get_mut(&sid).ok_or(Errno::ENOTTY)?;
            if session.terminal.as_ref().is_none_or(|t| !t.is(device)) {
                return Err(Errno::ENOTTY);
            }
            if pid == sid {
                session.terminal.take().map(|t| t.foreground)
            } else {
                None
            }
        };
        if let Some(pgid) = foreground {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let _ = self
                    .kernel()
                    .kill(None, SendTo::Group(pgid), Some(signal), None);
            }
        }
        Ok(())
    }

    /// A background group that reads (SIGTTIN), or changes or with TOSTOP
    /// writes (SIGTTOU) its terminal is stopped; EIO where that cannot be
    /// (termios(3)). Call before the operation.
    pub fn check_background(&self, device: u64, signal: Signal) -> SysResult<()> {
        let (pgid, sid) = self.kernel().group_and_session(self.pid())?;
        let is_orphaned = {
            let pids = self.kernel().pids.lock();
            let terminal = pids.sessions.get(&sid).and_then(|s| s.terminal.as_ref());
            match terminal {
                Some(t) if t.is(device) && t.foreground != pgid => pids.is_orphaned(pgid, None),
                _ => return Ok(()),
            }
        };
        let is_blocked = self.signal_mask() & signal.bit() != 0;
        let is_ignored = self.group().actions().get(signal).handler == SIG_IGN;
        if is_blocked || is_ignored {
            // A write or change goes through; a read fails.
            return if signal == Signal::SIGTTIN {
                Err(Errno::EIO.into())
            } else {
                Ok(())
            };
        }
        if is_orphaned {
            return Err(Errno::EIO.into());
        }
        let _ = self
            .kernel()
            .kill(None, SendTo::Group(pgid), Some(signal), None);
        Err(Restart::Sys.into())
    }
}
