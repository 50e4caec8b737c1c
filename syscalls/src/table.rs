//! The table of system calls: number, name, how far it is supported, and its
//! arguments' kinds for tracing. Dispatch, `--strace` and the support page come
//! from it.

use crate::dispatch::invoke;
use rivix_task::{CurrentTask, Outcome, SysResult};

#[expect(unused_imports, reason = "a family may have no row yet")]
use crate::{futex::*, misc::*, pipe::*, poll::*, process::*, sched::*, signal::*, time::*};

/// How far a call is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Full,
    /// What is missing.
    Partial(&'static str),
}

/// One row.
pub struct Entry {
    pub number: u64,
    pub name: &'static str,
    pub support: Support,
    /// The kinds of the arguments, as `--strace` prints them.
    pub args: &'static [&'static str],
    pub(crate) call: fn(&mut CurrentTask, &[u64; 6]) -> SysResult<Outcome>,
}

/// Numbers above this are unknown without looking.
const LAST: usize = 471;

/// The row of a number. The whole of a7 counts: 1 << 32 is no call.
pub fn find(number: u64) -> Option<&'static Entry> {
    let at = usize::try_from(number).ok()?;
    TABLE.get(at)?.as_ref()
}

/// All rows in ascending order.
pub fn rows() -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().flatten()
}

macro_rules! syscalls {
    ($($number:literal $name:ident $support:ident $(($why:literal))? ($($kind:ident),*);)*) => {
        static TABLE: [Option<Entry>; LAST + 1] = {
            let mut table = [const { None }; LAST + 1];
            $(
                assert!(table[$number].is_none(), "two rows have one number");
                table[$number] = Some(Entry {
                    number: $number,
                    name: stringify!($name),
                    support: Support::$support $(($why))?,
                    args: &[$(stringify!($kind)),*],
                    call: |task, args| invoke($name, task, args),
                });
            )*
            table
        };
    };
}

// One row per line, in number order. Kinds: fd dirfd path addr ptr size u64 u32
// int hex mode oflags signal pid str buf flags clock timespec sigset iovec ...
syscalls! {
    19 eventfd2 Full (u32, efdflags);
    20 epoll_create1 Full (epollflags);
    21 epoll_ctl Full (fd, epollop, fd, epollevent);
    22 epoll_pwait Full (fd, ptr, int, int, sigset, size);
    59 pipe2 Partial("no packet pipes (O_DIRECT)") (pipefds, oflags);
    72 pselect6 Full (int, fdset, fdset, fdset, timespec, ptr);
    73 ppoll Full (pollfds, u32, timespec, sigset, size);
    85 timerfd_create Full (clock, oflags);
    86 timerfd_settime Full (fd, hex, itimerspec, ptr);
    87 timerfd_gettime Full (fd, itimerspec);
    93 exit Full (int);
    94 exit_group Full (int);
    160 uname Full (ptr);
    172 getpid Full ();
    173 getppid Full ();
    178 gettid Full ();
    441 epoll_pwait2 Full (fd, ptr, int, timespec, sigset, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_number_only() {
        for row in rows() {
            assert_eq!(find(row.number).map(|e| e.name), Some(row.name));
        }
        assert!(find(1 << 32 | 172).is_none());
        assert!(find(u64::MAX).is_none());
    }
}
