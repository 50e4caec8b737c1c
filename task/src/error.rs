//! What a system call can end with besides a value.

use rivix_abi::{Errno, UserAddress};

/// A failed system call. Only the guest loop ever sees `Restart`.
#[derive(Debug)]
pub enum SysError {
    Errno(Errno),
    Restart(Restart),
}

pub type SysResult<T> = Result<T, SysError>;

/// How an interrupted call goes on, once signals have been looked at
/// (signal(7), "Interruption of system calls").
#[derive(Debug)]
pub enum Restart {
    /// ERESTARTSYS: again, unless a handler without SA_RESTART ran.
    Sys,
    /// ERESTARTNOHAND: again, unless any handler ran.
    NoHand,
    /// ERESTARTNOINTR: again, always.
    NoIntr,
    /// ERESTART_RESTARTBLOCK: EINTR when a handler ran, else
    /// restart_syscall(2) continues from what was saved.
    Block(RestartBlock),
}

/// What restart_syscall(2) needs to go on. Deadlines are nanoseconds of the
/// named clock, so that a stop does not lengthen a sleep.
#[derive(Clone, Debug)]
pub enum RestartBlock {
    Nanosleep {
        clock: i32,
        until_ns: i128,
        remaining: UserAddress,
    },
    FutexWait {
        addr: UserAddress,
        value: u32,
        bitset: u32,
        is_shared: bool,
        clock: i32,
        until_ns: i128,
    },
}

impl From<Errno> for SysError {
    fn from(errno: Errno) -> Self {
        SysError::Errno(errno)
    }
}

impl From<Restart> for SysError {
    fn from(restart: Restart) -> Self {
        SysError::Restart(restart)
    }
}

/// Why [`crate::CurrentTask::block_until`] gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A signal to deliver, a stop, a kill: return to the guest loop.
    Interrupted,
    TimedOut,
    Errno(Errno),
}

impl Blocked {
    /// The usual reading: ERESTARTSYS on a signal, `timeout` on the deadline.
    pub fn restart_sys(self, timeout: Errno) -> SysError {
        match self {
            Blocked::Interrupted => SysError::Restart(Restart::Sys),
            Blocked::TimedOut => SysError::Errno(timeout),
            Blocked::Errno(errno) => SysError::Errno(errno),
        }
    }

    /// For calls that a signal always ends: epoll_wait, sigtimedwait.
    pub fn eintr(self, timeout: Errno) -> SysError {
        match self {
            Blocked::Interrupted => SysError::Errno(Errno::EINTR),
            Blocked::TimedOut => SysError::Errno(timeout),
            Blocked::Errno(errno) => SysError::Errno(errno),
        }
    }
}
