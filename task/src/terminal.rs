//! Controlling terminals: which session has one, who is in front, and what those
//! in the background may do (credentials(7), ioctl_tty(2), termios(3)).
//!
//! A terminal is named by its device number. Its session and foreground group are
//! the session's `terminal`; that a process has it, is the process's own `terminal`:
//! children inherit it, and a member that was there before, or has given it up, is
//! without.

use crate::SendTo;
use crate::current::CurrentTask;
use crate::error::{Restart, SysError, SysResult};
use crate::group::ThreadGroup;
use crate::ids::{Cyclic, Id};
use crate::kernel::Kernel;
use crate::pids::{Pids, Process};
use rivix_abi::signal::{SIG_IGN, SigInfo, si_code};
use rivix_abi::{Errno, Signal};
use rivix_fs::tty::TerminalHost;
use std::sync::Arc;

/// A session's terminal.
pub(crate) struct Terminal {
    pub(crate) device: u64,
    /// Keeps its number, though the group may have ended.
    pub(crate) foreground: Id<Cyclic>,
    /// It is one of the host's: its keys are signals to the host's process.
    pub(crate) is_console: bool,
}

/// A file that is a terminal, as job control sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalFile {
    /// The terminal's number; a master's is that of its slave.
    pub device: u64,
    /// The side that emulates the terminal, which speaks for any process.
    pub is_master: bool,
    /// It is one of the host's.
    pub is_console: bool,
    pub is_readable: bool,
}

impl Pids {
    fn session_with(&self, device: u64) -> Option<i32> {
        let has = |t: &Terminal| t.device == device;
        let mut sessions = self.sessions.iter();
        let found = sessions.find(|(_, session)| session.terminal.as_ref().is_some_and(has));
        found.map(|(sid, _)| *sid)
    }

    fn terminal_with(&self, device: u64) -> Option<&Terminal> {
        let sid = self.session_with(device)?;
        self.sessions.get(&sid)?.terminal.as_ref()
    }

    /// Has the process this terminal, and its session still?
    fn own_terminal(&self, pid: i32, device: u64) -> Option<&Terminal> {
        let process = self.processes.get(&pid)?;
        let session = self.sessions.get(&process.sid())?;
        let terminal = session.terminal.as_ref()?;
        (terminal.device == device && process.terminal == Some(device)).then_some(terminal)
    }

    /// Takes the terminal from a session and all of its processes.
    pub(crate) fn take_terminal(&mut self, sid: i32) -> Option<Terminal> {
        let terminal = self.sessions.get_mut(&sid)?.terminal.take();
        for process in self.processes.values_mut().filter(|p| p.sid() == sid) {
            process.terminal = None;
        }
        terminal
    }

    /// Of the process with the terminal in front; 0: nobody.
    pub(crate) fn foreground_of(&self, device: u64) -> i32 {
        self.terminal_with(device)
            .map_or(0, |terminal| terminal.foreground.number())
    }
}

impl Kernel {
    fn signal_all(&self, pgid: i32, signals: &[Signal], info: impl Fn(Signal) -> SigInfo) {
        for &signal in signals {
            let _ = self.kill(None, SendTo::Group(pgid), Some(signal), Some(info(signal)));
        }
    }

    /// The end of a session's leader takes the terminal from the session, and hangs
    /// up who is in front; or who was in front when the terminal hung up.
    pub(crate) fn session_leader_ended(&self, pid: i32) {
        let (foreground, signals) = {
            let mut pids = self.pids.lock();
            if pids.processes.get(&pid).is_none_or(|p| p.sid() != pid) {
                return;
            }
            let terminal = pids.take_terminal(pid).map(|terminal| terminal.foreground);
            let session = pids.sessions.get_mut(&pid);
            let old = session.and_then(|session| session.old_foreground.take());
            match (terminal, old) {
                (Some(foreground), _) => (foreground, &[Signal::SIGHUP][..]),
                (None, Some(old)) => (old, &[Signal::SIGHUP, Signal::SIGCONT][..]),
                (None, None) => return,
            }
        };
        self.signal_all(foreground.number(), signals, SigInfo::kernel);
    }

    /// A key of the host's terminals, for the foreground group of each session that
    /// has one of them. A hang-up also tells the sessions' leaders.
    pub fn signal_consoles(&self, signal: Signal) {
        let sessions: Vec<(i32, i32)> = {
            let pids = self.pids.lock();
            let consoles = pids.sessions.iter().filter_map(|(sid, session)| {
                let terminal = session.terminal.as_ref().filter(|t| t.is_console)?;
                Some((*sid, terminal.foreground.number()))
            });
            consoles.collect()
        };
        for (sid, pgid) in sessions {
            self.signal_all(pgid, &[signal], SigInfo::kernel);
            let leads_front = self
                .group_and_session(sid)
                .is_ok_and(|(own, _)| own == pgid);
            if signal == Signal::SIGHUP && !leads_front {
                let _ = self.kill(None, SendTo::Process(sid), Some(signal), None);
            }
        }
    }
}

impl TerminalHost for Kernel {
    fn terminal_of(&self, pid: i32) -> Option<u64> {
        self.pids.lock().processes.get(&pid)?.terminal
    }

    fn signal_foreground(&self, device: u64, signal: Signal) {
        let pgid = self.pids.lock().foreground_of(device);
        if pgid != 0 {
            self.signal_all(pgid, &[signal], SigInfo::kernel);
        }
    }

    fn hang_up(&self, device: u64) {
        let leader: Option<Arc<ThreadGroup>> = {
            let mut pids = self.pids.lock();
            let Some(sid) = pids.session_with(device) else {
                return;
            };
            let old = pids.take_terminal(sid);
            if let Some(session) = pids.sessions.get_mut(&sid) {
                session.old_foreground = old.map(|terminal| terminal.foreground);
            }
            let leader = pids.processes.get(&sid).filter(|p| p.sid() == sid);
            leader.map(|p| p.group.clone())
        };
        if let Some(leader) = leader {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let info = SigInfo::kernel(signal);
                let _ = self.send_to_group(&leader, None, signal, info, false);
            }
        }
    }
}

impl CurrentTask {
    /// Is it the caller's terminal?
    pub fn has_terminal(&self, device: u64) -> bool {
        self.terminal_in(&self.kernel().pids.lock()) == Some(device)
    }

    /// TIOCGPGRP. ENOTTY: it is not the caller's terminal; 0: of a master whose
    /// slave is nobody's.
    pub fn foreground_group(&self, file: TerminalFile) -> Result<i32, Errno> {
        let pids = self.kernel().pids.lock();
        if !file.is_master && self.terminal_in(&pids) != Some(file.device) {
            return Err(Errno::ENOTTY);
        }
        Ok(pids.foreground_of(file.device))
    }

    /// TIOCGSID.
    pub fn terminal_session(&self, file: TerminalFile) -> Result<i32, Errno> {
        let pids = self.kernel().pids.lock();
        if !file.is_master && self.terminal_in(&pids) != Some(file.device) {
            return Err(Errno::ENOTTY);
        }
        pids.session_with(file.device).ok_or(Errno::ENOTTY)
    }

    fn terminal_in(&self, pids: &Pids) -> Option<u64> {
        pids.processes.get(&self.pid())?.terminal
    }

    /// TIOCSPGRP, of a group `read` gives. A background caller is stopped first.
    pub fn set_foreground_group(
        &self,
        file: TerminalFile,
        read: impl FnOnce() -> Result<i32, Errno>,
    ) -> SysResult<()> {
        match self.check_background(file.device, Signal::SIGTTOU) {
            Err(SysError::Errno(Errno::EIO)) => return Err(Errno::ENOTTY.into()),
            checked => checked?,
        }
        let pgid = read()?;
        if pgid < 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut pids = self.kernel().pids.lock();
        if pids.own_terminal(self.pid(), file.device).is_none() {
            return Err(Errno::ENOTTY.into());
        }
        let (id, session) = pids.id_and_session(pgid).ok_or(Errno::ESRCH)?;
        let own = pids.processes.get(&self.pid()).map(Process::sid);
        if session.is_none() || session != own {
            return Err(Errno::EPERM.into());
        }
        let sid = own.unwrap_or_default();
        let old = pids
            .sessions
            .get_mut(&sid)
            .and_then(|session| session.terminal.as_mut())
            .map(|terminal| std::mem::replace(&mut terminal.foreground, id));
        drop(pids);
        drop(old);
        Ok(())
    }

    /// TIOCSCTTY: a session leader without terminal gets one that no session has.
    pub fn acquire_terminal(&self, file: TerminalFile, steals: bool) -> Result<(), Errno> {
        let pid = self.pid();
        let mut pids = self.kernel().pids.lock();
        let process = pids.processes.get(&pid).ok_or(Errno::EPERM)?;
        let is_leader = process.sid() == pid;
        let holder = pids.session_with(file.device);
        if is_leader && holder == Some(pid) {
            return Ok(());
        }
        let may_all = self.creds().has_cap(crate::cap::SYS_ADMIN);
        if !is_leader || process.terminal.is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(other) = holder {
            if !steals || !may_all {
                return Err(Errno::EPERM);
            }
            let _ = pids.take_terminal(other);
        }
        if !file.is_readable && !may_all {
            return Err(Errno::EPERM);
        }
        pids.give_terminal(pid, file)
    }

    /// A terminal was opened without O_NOCTTY: a session leader that has none gets
    /// it, if it is free.
    pub fn terminal_opened(&self, file: TerminalFile) {
        let pid = self.pid();
        let mut pids = self.kernel().pids.lock();
        let is_free = pids.session_with(file.device).is_none();
        let wants = pids
            .processes
            .get(&pid)
            .is_some_and(|p| p.sid() == pid && p.terminal.is_none());
        if wants && is_free && file.is_readable && !file.is_master {
            let _ = pids.give_terminal(pid, file);
        }
    }

    /// TIOCNOTTY: the process gives its terminal up; a session leader takes it from
    /// the whole session, whose foreground group hears of that.
    pub fn release_terminal(&self, file: TerminalFile) -> Result<(), Errno> {
        let pid = self.pid();
        let old = {
            let mut pids = self.kernel().pids.lock();
            let process = pids.processes.get_mut(&pid).ok_or(Errno::ENOTTY)?;
            if file.is_master || process.terminal != Some(file.device) {
                return Err(Errno::ENOTTY);
            }
            if process.sid() == pid {
                pids.take_terminal(pid)
            } else {
                process.terminal = None;
                None
            }
        };
        if let Some(old) = old {
            let signals = [Signal::SIGHUP, Signal::SIGCONT];
            let uid = self.creds().uid;
            self.kernel()
                .signal_all(old.foreground.number(), &signals, |signal| {
                    SigInfo::from_sender(signal, si_code::USER, pid, uid)
                });
        }
        Ok(())
    }

    /// A background group that reads (SIGTTIN), changes, or with TOSTOP writes to
    /// (SIGTTOU) its terminal is stopped; EIO where that cannot be. Call before the
    /// operation.
    pub fn check_background(&self, device: u64, signal: Signal) -> SysResult<()> {
        let (pgid, is_orphaned) = {
            let pids = self.kernel().pids.lock();
            let Some(terminal) = pids.own_terminal(self.pid(), device) else {
                return Ok(());
            };
            let pgid = pids.processes.get(&self.pid()).map_or(0, Process::pgid);
            if terminal.foreground.number() == pgid {
                return Ok(());
            }
            (pgid, pids.is_orphaned(pgid, None))
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
        self.kernel().signal_all(pgid, &[signal], SigInfo::kernel);
        Err(Restart::Sys.into())
    }
}

impl Pids {
    /// The terminal of a process that the library started is one of the host's.
    pub(crate) fn give_console(&mut self, pid: i32, device: u64) -> Result<(), Errno> {
        let file = TerminalFile {
            device,
            is_master: false,
            is_console: true,
            is_readable: true,
        };
        self.give_terminal(pid, file)
    }

    /// Makes `file` the terminal of a session leader, whose group is in front.
    fn give_terminal(&mut self, pid: i32, file: TerminalFile) -> Result<(), Errno> {
        let process = self.processes.get_mut(&pid).ok_or(Errno::EPERM)?;
        let member = process.member().ok_or(Errno::EPERM)?;
        let session = self.sessions.get_mut(&pid).ok_or(Errno::EPERM)?;
        process.terminal = Some(file.device);
        session.terminal = Some(Terminal {
            device: file.device,
            foreground: member.group,
            is_console: file.is_console,
        });
        Ok(())
    }
}
