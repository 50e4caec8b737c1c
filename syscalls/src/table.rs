//! The table of system calls: number, name, how far it is supported, and its
//! arguments' kinds for tracing. Dispatch, `--strace` and the support page come
//! from it.

use crate::dispatch::invoke;
use rivix_task::{CurrentTask, Outcome, SysResult};

#[expect(unused_imports, reason = "a family may have no row yet")]
use crate::{futex::*, ids::*, misc::*, pipe::*, poll::*, process::*, sched::*, signal::*, time::*};

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
    30 ioprio_set Full (int, int, int);
    31 ioprio_get Full (int, int);
    58 vhangup Full ();
    59 pipe2 Partial("no packet pipes (O_DIRECT)") (pipefds, oflags);
    72 pselect6 Full (int, fdset, fdset, fdset, timespec, ptr);
    73 ppoll Full (pollfds, u32, timespec, sigset, size);
    85 timerfd_create Full (clock, oflags);
    86 timerfd_settime Full (fd, hex, itimerspec, ptr);
    87 timerfd_gettime Full (fd, itimerspec);
    89 acct Full (path);
    90 capget Full (ptr, ptr);
    91 capset Full (ptr, ptr);
    92 personality Full (hex);
    93 exit Full (int);
    94 exit_group Full (int);
    104 kexec_load Full (u64, u64, ptr, hex);
    105 init_module Full (ptr, size, str);
    106 delete_module Full (str, hex);
    116 syslog Full (int, buf, int);
    118 sched_setparam Full (pid, ptr);
    119 sched_setscheduler Full (pid, int, ptr);
    120 sched_getscheduler Full (pid);
    121 sched_getparam Full (pid, ptr);
    122 sched_setaffinity Full (pid, size, ptr);
    123 sched_getaffinity Full (pid, size, ptr);
    124 sched_yield Full ();
    125 sched_get_priority_max Full (int);
    126 sched_get_priority_min Full (int);
    127 sched_rr_get_interval Full (pid, timespec);
    140 setpriority Full (int, int, int);
    141 getpriority Full (int, int);
    142 reboot Full (hex, hex, int, ptr);
    143 setregid Full (int, int);
    144 setgid Full (int);
    145 setreuid Full (int, int);
    146 setuid Full (int);
    147 setresuid Full (int, int, int);
    148 getresuid Full (ptr, ptr, ptr);
    149 setresgid Full (int, int, int);
    150 getresgid Full (ptr, ptr, ptr);
    151 setfsuid Full (int);
    152 setfsgid Full (int);
    158 getgroups Full (int, ptr);
    159 setgroups Full (int, ptr);
    160 uname Full (ptr);
    161 sethostname Full (str, size);
    162 setdomainname Full (str, size);
    167 prctl Partial("no seccomp, no VMA names") (int, hex, hex, hex, hex);
    168 getcpu Full (ptr, ptr);
    170 settimeofday Full (ptr, ptr);
    172 getpid Full ();
    173 getppid Full ();
    174 getuid Full ();
    175 geteuid Full ();
    176 getgid Full ();
    177 getegid Full ();
    178 gettid Full ();
    179 sysinfo Full (ptr);
    224 swapon Full (path, hex);
    225 swapoff Full (path);
    241 perf_event_open Full (ptr, pid, int, fd, hex);
    258 riscv_hwprobe Full (ptr, size, size, ptr, hex);
    259 riscv_flush_icache Full (ptr, ptr, hex);
    262 fanotify_init Full (hex, hex);
    265 open_by_handle_at Full (fd, ptr, hex);
    273 finit_module Full (fd, str, hex);
    274 sched_setattr Full (pid, ptr, hex);
    275 sched_getattr Full (pid, ptr, size, hex);
    278 getrandom Full (buf, size, hex);
    280 bpf Full (int, ptr, size);
    283 membarrier Partial("no rseq commands") (int, hex, int);
    294 kexec_file_load Full (fd, fd, size, str, hex);
    425 io_uring_setup Full (u32, ptr);
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
