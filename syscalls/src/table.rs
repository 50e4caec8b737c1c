//! The table of system calls: number, name, how far it is supported, and its
//! arguments' kinds for tracing. Dispatch, `--strace` and the support page come
//! from it.

use crate::dispatch::invoke;
use rivix_task::{CurrentTask, Outcome, SysResult};

use crate::{
    dir::*, fd::*, file::*, futex::*, ids::*, memory::*, misc::*, pipe::*, poll::*, process::*,
    sched::*, signal::*, time::*,
};

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
    5 setxattr Full (path, str, ptr, size, hex);
    6 lsetxattr Full (path, str, ptr, size, hex);
    7 fsetxattr Full (fd, str, ptr, size, hex);
    8 getxattr Full (path, str, ptr, size);
    9 lgetxattr Full (path, str, ptr, size);
    10 fgetxattr Full (fd, str, ptr, size);
    11 listxattr Full (path, ptr, size);
    12 llistxattr Full (path, ptr, size);
    13 flistxattr Full (fd, ptr, size);
    14 removexattr Full (path, str);
    15 lremovexattr Full (path, str);
    16 fremovexattr Full (fd, str);
    17 getcwd Full (ptr, size);
    19 eventfd2 Full (u32, efdflags);
    20 epoll_create1 Full (epollflags);
    21 epoll_ctl Full (fd, epollop, fd, epollevent);
    22 epoll_pwait Full (fd, ptr, int, int, sigset, size);
    23 dup Full (fd);
    24 dup3 Full (fd, fd, oflags);
    25 fcntl Partial("no leases, no signal-driven I/O") (fd, int, hex);
    29 ioctl Partial("terminals, FIONREAD and the generic requests") (fd, hex, ptr);
    30 ioprio_set Full (int, int, int);
    31 ioprio_get Full (int, int);
    32 flock Full (fd, hex);
    33 mknodat Partial("no device nodes") (dirfd, path, mode, hex);
    34 mkdirat Full (dirfd, path, mode);
    35 unlinkat Full (dirfd, path, hex);
    36 symlinkat Full (path, dirfd, path);
    37 linkat Full (dirfd, path, dirfd, path, hex);
    39 umount2 Partial("EPERM: mounts belong to the sandbox's builder") (path, hex);
    40 mount Partial("EPERM: mounts belong to the sandbox's builder") (path, path, str, hex, ptr);
    41 pivot_root Partial("EPERM") (path, path);
    43 statfs Full (path, ptr);
    44 fstatfs Full (fd, ptr);
    45 truncate Full (path, i64);
    46 ftruncate Full (fd, i64);
    47 fallocate Full (fd, hex, i64, i64);
    48 faccessat Full (dirfd, path, hex);
    49 chdir Full (path);
    50 fchdir Full (fd);
    51 chroot Full (path);
    52 fchmod Full (fd, mode);
    53 fchmodat Full (dirfd, path, mode);
    54 fchownat Full (dirfd, path, int, int, hex);
    55 fchown Full (fd, int, int);
    56 openat Full (dirfd, path, oflags, mode);
    57 close Full (fd);
    58 vhangup Full ();
    59 pipe2 Partial("no packet pipes (O_DIRECT)") (pipefds, oflags);
    61 getdents64 Full (fd, ptr, size);
    62 lseek Full (fd, i64, int);
    63 read Full (fd, buf, size);
    64 write Full (fd, buf, size);
    65 readv Full (fd, iovec, int);
    66 writev Full (fd, iovec, int);
    67 pread64 Full (fd, buf, size, i64);
    68 pwrite64 Full (fd, buf, size, i64);
    69 preadv Full (fd, iovec, int, i64);
    70 pwritev Full (fd, iovec, int, i64);
    71 sendfile Partial("the input must be seekable") (fd, fd, ptr, size);
    72 pselect6 Full (int, fdset, fdset, fdset, timespec, ptr);
    73 ppoll Full (pollfds, u32, timespec, sigset, size);
    74 signalfd4 Partial("wakes pollers in the maker's process") (fd, sigset, size, oflags);
    76 splice Full (fd, ptr, fd, ptr, size, hex);
    77 tee Full (fd, fd, size, hex);
    78 readlinkat Full (dirfd, path, buf, size);
    79 newfstatat Full (dirfd, path, ptr, hex);
    80 fstat Full (fd, ptr);
    81 sync Partial("the root mount only") ();
    82 fsync Full (fd);
    83 fdatasync Full (fd);
    84 sync_file_range Full (fd, i64, i64, hex);
    85 timerfd_create Full (clock, oflags);
    86 timerfd_settime Full (fd, hex, itimerspec, ptr);
    87 timerfd_gettime Full (fd, itimerspec);
    88 utimensat Full (dirfd, path, timespec, hex);
    89 acct Full (path);
    90 capget Full (ptr, ptr);
    91 capset Full (ptr, ptr);
    92 personality Full (hex);
    93 exit Full (int);
    94 exit_group Full (int);
    95 waitid Full (int, pid, ptr, hex, ptr);
    96 set_tid_address Full (ptr);
    98 futex Partial("no priority inheritance") (ptr, futexop, u32, ptr, ptr, hex);
    99 set_robust_list Full (ptr, size);
    100 get_robust_list Full (pid, ptr, ptr);
    101 nanosleep Full (timespec, ptr);
    102 getitimer Full (int, ptr);
    103 setitimer Full (int, ptr, ptr);
    104 kexec_load Full (u64, u64, ptr, hex);
    105 init_module Full (ptr, size, str);
    106 delete_module Full (str, hex);
    107 timer_create Full (clock, ptr, ptr);
    108 timer_gettime Full (int, itimerspec);
    109 timer_getoverrun Full (int);
    110 timer_settime Full (int, int, itimerspec, ptr);
    111 timer_delete Full (int);
    112 clock_settime Partial("EPERM: a guest sets no clock") (clock, timespec);
    113 clock_gettime Full (clock, ptr);
    114 clock_getres Full (clock, ptr);
    115 clock_nanosleep Full (clock, int, timespec, ptr);
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
    128 restart_syscall Full ();
    129 kill Full (pid, signal);
    130 tkill Full (pid, signal);
    131 tgkill Full (pid, pid, signal);
    132 sigaltstack Full (ptr, ptr);
    133 rt_sigsuspend Full (sigset, size);
    134 rt_sigaction Full (signal, sigaction, sigaction, size);
    135 rt_sigprocmask Full (sigprocmaskhow, sigset, sigset, size);
    136 rt_sigpending Full (ptr, size);
    137 rt_sigtimedwait Full (sigset, ptr, timespec, size);
    138 rt_sigqueueinfo Full (pid, signal, ptr);
    139 rt_sigreturn Full ();
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
    153 times Full (ptr);
    154 setpgid Full (pid, pid);
    155 getpgid Full (pid);
    156 getsid Full (pid);
    157 setsid Full ();
    158 getgroups Full (int, ptr);
    159 setgroups Full (int, ptr);
    160 uname Full (ptr);
    161 sethostname Full (str, size);
    162 setdomainname Full (str, size);
    163 getrlimit Full (int, ptr);
    164 setrlimit Full (int, ptr);
    165 getrusage Full (int, ptr);
    166 umask Full (mode);
    167 prctl Partial("no seccomp, no VMA names") (int, hex, hex, hex, hex);
    168 getcpu Full (ptr, ptr);
    169 gettimeofday Full (ptr, ptr);
    170 settimeofday Full (ptr, ptr);
    171 adjtimex Partial("reading only") (ptr);
    172 getpid Full ();
    173 getppid Full ();
    174 getuid Full ();
    175 geteuid Full ();
    176 getgid Full ();
    177 getegid Full ();
    178 gettid Full ();
    179 sysinfo Full (ptr);
    213 readahead Full (fd, i64, size);
    214 brk Full (ptr);
    215 munmap Full (ptr, size);
    216 mremap Full (ptr, size, size, hex, ptr);
    220 clone Partial("no namespaces") (cloneflags, ptr, ptr, hex, ptr);
    221 execve Full (path, argv, envp);
    222 mmap Full (ptr, size, prot, mapflags, fd, hex);
    223 fadvise64 Full (fd, i64, i64, int);
    224 swapon Full (path, hex);
    225 swapoff Full (path);
    226 mprotect Full (ptr, size, prot);
    227 msync Full (ptr, size, hex);
    228 mlock Full (ptr, size);
    229 munlock Full (ptr, size);
    230 mlockall Full (hex);
    231 munlockall Full ();
    232 mincore Full (ptr, size, ptr);
    233 madvise Full (ptr, size, int);
    240 rt_tgsigqueueinfo Full (pid, pid, signal, ptr);
    241 perf_event_open Full (ptr, pid, int, fd, hex);
    258 riscv_hwprobe Full (ptr, size, size, ptr, hex);
    259 riscv_flush_icache Full (ptr, ptr, hex);
    260 wait4 Full (pid, ptr, waitoptions, ptr);
    261 prlimit64 Full (pid, int, ptr, ptr);
    262 fanotify_init Full (hex, hex);
    264 name_to_handle_at Partial("EOPNOTSUPP") (dirfd, path, ptr, ptr, hex);
    265 open_by_handle_at Full (fd, ptr, hex);
    266 clock_adjtime Partial("reading only") (clock, ptr);
    267 syncfs Full (fd);
    273 finit_module Full (fd, str, hex);
    274 sched_setattr Full (pid, ptr, hex);
    275 sched_getattr Full (pid, ptr, size, hex);
    276 renameat2 Partial("no RENAME_WHITEOUT") (dirfd, path, dirfd, path, hex);
    278 getrandom Full (buf, size, hex);
    279 memfd_create Partial("no MFD_HUGETLB") (str, hex);
    280 bpf Full (int, ptr, size);
    281 execveat Full (dirfd, path, argv, envp, hex);
    283 membarrier Partial("no rseq commands") (int, hex, int);
    284 mlock2 Full (ptr, size, hex);
    285 copy_file_range Full (fd, ptr, fd, ptr, size, hex);
    286 preadv2 Full (fd, iovec, int, i64, i64, hex);
    287 pwritev2 Partial("no RWF_APPEND, RWF_NOWAIT") (fd, iovec, int, i64, i64, hex);
    291 statx Full (dirfd, path, hex, hex, ptr);
    293 rseq Partial("ENOSYS: not yet") (ptr, u32, int, hex);
    294 kexec_file_load Full (fd, fd, size, str, hex);
    424 pidfd_send_signal Full (fd, signal, ptr, hex);
    425 io_uring_setup Full (u32, ptr);
    428 open_tree Partial("EPERM") (dirfd, path, hex);
    429 move_mount Partial("EPERM") (dirfd, path, dirfd, path, hex);
    430 fsopen Partial("EPERM") (str, hex);
    431 fsconfig Partial("EPERM") (fd, int, str, ptr, int);
    432 fsmount Partial("EPERM") (fd, hex, hex);
    433 fspick Partial("EPERM") (dirfd, path, hex);
    434 pidfd_open Partial("no PIDFD_THREAD") (pid, hex);
    435 clone3 Partial("ENOSYS: not yet") (ptr, size);
    436 close_range Full (u32, u32, hex);
    437 openat2 Full (dirfd, path, ptr, size);
    438 pidfd_getfd Full (fd, fd, hex);
    439 faccessat2 Full (dirfd, path, hex, hex);
    441 epoll_pwait2 Full (fd, ptr, int, timespec, sigset, size);
    442 mount_setattr Partial("EPERM") (dirfd, path, hex, ptr, size);
    449 futex_waitv Partial("ENOSYS: not yet") (ptr, u32, hex, timespec, clock);
    452 fchmodat2 Full (dirfd, path, mode, hex);
    454 futex_wake Partial("ENOSYS: not yet") (ptr, hex, int, hex);
    455 futex_wait Partial("ENOSYS: not yet") (ptr, hex, hex, hex, timespec, clock);
    456 futex_requeue Partial("ENOSYS: not yet") (ptr, hex, int, int);
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
