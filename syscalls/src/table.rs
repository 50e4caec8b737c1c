//! The table of system calls: number, name, and how far it is supported.
//! Dispatch and the counters come from it. How arguments are shown stands in
//! [`crate::strace`], which also knows the calls that have no handler.

use crate::dispatch::invoke;
use rivix_task::{CurrentTask, Outcome, SysResult};

use crate::{
    dir::*, fd::*, file::*, futex::*, ids::*, memory::*, misc::*, net::*, pipe::*, poll::*,
    process::*, sched::*, signal::*, time::*,
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
    ($($number:literal $name:ident $support:ident $(($why:literal))?;)*) => {
        static TABLE: [Option<Entry>; LAST + 1] = {
            let mut table = [const { None }; LAST + 1];
            $(
                assert!(table[$number].is_none(), "two rows have one number");
                table[$number] = Some(Entry {
                    number: $number,
                    name: stringify!($name),
                    support: Support::$support $(($why))?,
                    call: |task, args| invoke($name, task, args),
                });
            )*
            table
        };
    };
}

// One row per line, in number order.
syscalls! {
    5 setxattr Full;
    6 lsetxattr Full;
    7 fsetxattr Full;
    8 getxattr Full;
    9 lgetxattr Full;
    10 fgetxattr Full;
    11 listxattr Full;
    12 llistxattr Full;
    13 flistxattr Full;
    14 removexattr Full;
    15 lremovexattr Full;
    16 fremovexattr Full;
    17 getcwd Full;
    19 eventfd2 Full;
    20 epoll_create1 Full;
    21 epoll_ctl Full;
    22 epoll_pwait Full;
    23 dup Full;
    24 dup3 Full;
    25 fcntl Partial("no leases, no signal-driven I/O");
    29 ioctl Partial("terminals, FIONREAD and the generic requests");
    30 ioprio_set Full;
    31 ioprio_get Full;
    32 flock Full;
    33 mknodat Partial("no device nodes");
    34 mkdirat Full;
    35 unlinkat Full;
    36 symlinkat Full;
    37 linkat Full;
    39 umount2 Partial("EPERM: mounts belong to the sandbox's builder");
    40 mount Partial("EPERM: mounts belong to the sandbox's builder");
    41 pivot_root Partial("EPERM");
    43 statfs Full;
    44 fstatfs Full;
    45 truncate Full;
    46 ftruncate Full;
    47 fallocate Full;
    48 faccessat Full;
    49 chdir Full;
    50 fchdir Full;
    51 chroot Full;
    52 fchmod Full;
    53 fchmodat Full;
    54 fchownat Full;
    55 fchown Full;
    56 openat Full;
    57 close Full;
    58 vhangup Full;
    59 pipe2 Partial("no packet pipes (O_DIRECT)");
    61 getdents64 Full;
    62 lseek Full;
    63 read Full;
    64 write Full;
    65 readv Full;
    66 writev Full;
    67 pread64 Full;
    68 pwrite64 Full;
    69 preadv Full;
    70 pwritev Full;
    71 sendfile Partial("the input must be seekable");
    72 pselect6 Full;
    73 ppoll Full;
    74 signalfd4 Partial("wakes pollers in the maker's process");
    76 splice Full;
    77 tee Full;
    78 readlinkat Full;
    79 newfstatat Full;
    80 fstat Full;
    81 sync Partial("the root mount only");
    82 fsync Full;
    83 fdatasync Full;
    84 sync_file_range Full;
    85 timerfd_create Full;
    86 timerfd_settime Full;
    87 timerfd_gettime Full;
    88 utimensat Full;
    89 acct Full;
    90 capget Full;
    91 capset Full;
    92 personality Full;
    93 exit Full;
    94 exit_group Full;
    95 waitid Full;
    96 set_tid_address Full;
    97 unshare Partial("no namespaces");
    98 futex Full;
    99 set_robust_list Full;
    100 get_robust_list Full;
    101 nanosleep Full;
    102 getitimer Full;
    103 setitimer Full;
    104 kexec_load Full;
    105 init_module Full;
    106 delete_module Full;
    107 timer_create Full;
    108 timer_gettime Full;
    109 timer_getoverrun Full;
    110 timer_settime Full;
    111 timer_delete Full;
    112 clock_settime Partial("EPERM: a guest sets no clock");
    113 clock_gettime Full;
    114 clock_getres Full;
    115 clock_nanosleep Full;
    116 syslog Full;
    118 sched_setparam Full;
    119 sched_setscheduler Full;
    120 sched_getscheduler Full;
    121 sched_getparam Full;
    122 sched_setaffinity Full;
    123 sched_getaffinity Full;
    124 sched_yield Full;
    125 sched_get_priority_max Full;
    126 sched_get_priority_min Full;
    127 sched_rr_get_interval Full;
    128 restart_syscall Full;
    129 kill Full;
    130 tkill Full;
    131 tgkill Full;
    132 sigaltstack Full;
    133 rt_sigsuspend Full;
    134 rt_sigaction Full;
    135 rt_sigprocmask Full;
    136 rt_sigpending Full;
    137 rt_sigtimedwait Full;
    138 rt_sigqueueinfo Full;
    139 rt_sigreturn Full;
    140 setpriority Full;
    141 getpriority Full;
    142 reboot Full;
    143 setregid Full;
    144 setgid Full;
    145 setreuid Full;
    146 setuid Full;
    147 setresuid Full;
    148 getresuid Full;
    149 setresgid Full;
    150 getresgid Full;
    151 setfsuid Full;
    152 setfsgid Full;
    153 times Full;
    154 setpgid Full;
    155 getpgid Full;
    156 getsid Full;
    157 setsid Full;
    158 getgroups Full;
    159 setgroups Full;
    160 uname Full;
    161 sethostname Full;
    162 setdomainname Full;
    163 getrlimit Full;
    164 setrlimit Full;
    165 getrusage Full;
    166 umask Full;
    167 prctl Full;
    168 getcpu Full;
    169 gettimeofday Full;
    170 settimeofday Full;
    171 adjtimex Partial("reading only");
    172 getpid Full;
    173 getppid Full;
    174 getuid Full;
    175 geteuid Full;
    176 getgid Full;
    177 getegid Full;
    178 gettid Full;
    179 sysinfo Full;
    198 socket Partial("local sockets only");
    199 socketpair Full;
    200 bind Full;
    201 listen Full;
    202 accept Full;
    203 connect Full;
    204 getsockname Full;
    205 getpeername Full;
    206 sendto Partial("out-of-band data without SIGURG");
    207 recvfrom Full;
    208 setsockopt Partial("what local sockets have, without filters");
    209 getsockopt Partial("what local sockets have, without filters");
    210 shutdown Full;
    211 sendmsg Partial("out-of-band data without SIGURG");
    212 recvmsg Full;
    213 readahead Full;
    214 brk Full;
    215 munmap Full;
    216 mremap Full;
    220 clone Partial("no namespaces");
    221 execve Full;
    222 mmap Full;
    223 fadvise64 Full;
    224 swapon Full;
    225 swapoff Full;
    226 mprotect Full;
    227 msync Full;
    228 mlock Full;
    229 munlock Full;
    230 mlockall Full;
    231 munlockall Full;
    232 mincore Full;
    233 madvise Full;
    240 rt_tgsigqueueinfo Full;
    241 perf_event_open Full;
    242 accept4 Full;
    243 recvmmsg Full;
    258 riscv_hwprobe Full;
    259 riscv_flush_icache Full;
    260 wait4 Full;
    261 prlimit64 Full;
    262 fanotify_init Full;
    264 name_to_handle_at Partial("EOPNOTSUPP");
    265 open_by_handle_at Full;
    266 clock_adjtime Partial("reading only");
    267 syncfs Full;
    269 sendmmsg Partial("out-of-band data without SIGURG");
    273 finit_module Full;
    274 sched_setattr Full;
    275 sched_getattr Full;
    276 renameat2 Partial("no RENAME_WHITEOUT");
    277 seccomp Partial("no listeners");
    278 getrandom Full;
    279 memfd_create Partial("no MFD_HUGETLB");
    280 bpf Full;
    281 execveat Full;
    283 membarrier Full;
    284 mlock2 Full;
    285 copy_file_range Full;
    286 preadv2 Full;
    287 pwritev2 Partial("no RWF_APPEND, RWF_NOWAIT");
    291 statx Full;
    293 rseq Full;
    294 kexec_file_load Full;
    424 pidfd_send_signal Full;
    425 io_uring_setup Full;
    428 open_tree Partial("EPERM");
    429 move_mount Partial("EPERM");
    430 fsopen Partial("EPERM");
    431 fsconfig Partial("EPERM");
    432 fsmount Partial("EPERM");
    433 fspick Partial("EPERM");
    434 pidfd_open Full;
    435 clone3 Partial("no namespaces, no cgroups");
    436 close_range Full;
    437 openat2 Full;
    438 pidfd_getfd Full;
    439 faccessat2 Full;
    441 epoll_pwait2 Full;
    442 mount_setattr Partial("EPERM");
    449 futex_waitv Full;
    452 fchmodat2 Full;
    454 futex_wake Full;
    455 futex_wait Full;
    456 futex_requeue Full;
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
