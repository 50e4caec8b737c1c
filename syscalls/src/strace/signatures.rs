//! Names and arguments of system calls as strace(1) shows them. Calls without a
//! handler are here too: a trace is read most of all where a call failed.

use super::flags::{self, Names};
use rivix_task::Abi;

/// How one argument is shown.
pub(super) enum Arg {
    /// Signed, 32 bits.
    Int,
    /// Unsigned, 64 bits.
    Size,
    /// Signed, 64 bits.
    Long,
    Hex,
    Octal,
    Addr,
    Fd,
    DirFd,
    /// A NUL-terminated string of the guest.
    Path,
    /// A pointer to an array of strings (argv).
    Strings,
    /// A pointer to an array of strings of which only the number is shown (envp).
    StringCount,
    /// Bytes written by the guest; the number is the next argument.
    Buf,
    /// Bytes stored by the call; the result is their number.
    OutBuf,
    /// As `OutBuf`, every byte as hex.
    OutHex,
    /// A NUL-terminated string stored by the call.
    OutStr,
    Bits(&'static Names),
    One(&'static Names),
    OpenFlags,
    /// Shown only when the open flags before it create a file.
    OpenMode,
    MapOffset,
    Signal,
    SigSet,
    OutSigSet,
    SigAction,
    OutSigAction,
    SigStack,
    OutSigStack,
    OutStat,
    OutStatx,
    StatxFlags,
    Iovec,
    OutIovec,
    PollFds,
    FdSet,
    Timespec,
    OutTimespec,
    /// Two timespecs of utimensat.
    FileTimes,
    OutTimeval,
    Itimerval,
    OutItimerval,
    Itimerspec,
    OutItimerspec,
    OutWaitStatus,
    WaitPid,
    OutFdPair,
    Rlimit,
    OutRlimit,
    OutRusage,
    OutUtsname,
    OutSysinfo,
    OutDirents,
    OutCpus,
    OutInt,
    OutOffset,
    EpollEvent,
    OutEpollEvents,
    SockAddr,
    OutSockAddr,
    SockType,
    FutexOp,
    /// Compared or woken value, and the arguments whose use depends on the operation.
    FutexTail,
    FcntlTail,
    IoctlTail,
    PrctlTail,
    CloneFlags,
    CloneStack,
    CloneParentTid,
    CloneTls,
    CloneChildTid,
}

/// How the result is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ret {
    Dec,
    Hex,
    Octal,
    /// exit(2): there is none.
    Never,
    /// ppoll, pselect6: what became ready.
    Poll,
    Fcntl,
    /// rt_sigreturn: the restored a0.
    SigReturn,
}

pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) args: &'static [Arg],
    pub(super) ret: Ret,
}

pub(super) fn find(number: u64) -> Option<&'static Signature> {
    let at = TABLE.binary_search_by_key(&number, |(n, _)| *n).ok()?;
    Some(&TABLE[at].1)
}

/// As [`find`], for the calls of any personality.
pub(super) fn find_in(abi: Abi, number: u64) -> Option<&'static Signature> {
    match abi {
        Abi::Linux => find(number),
        _ => teaching::find(abi, number),
    }
}

/// The name of a personality's call.
pub fn name_in(abi: Abi, number: u64) -> Option<&'static str> {
    find_in(abi, number).map(|s| s.name)
}

pub(super) use teaching::may_wait as teaching_may_wait;

/// The name of a call, also of one without a handler.
pub fn name(number: u64) -> Option<&'static str> {
    find(number).map(|s| s.name)
}

use Arg::*;

macro_rules! signatures {
    ($($number:literal $name:ident ($($arg:expr),* $(,)?) $($ret:ident)?;)*) => {
        pub(super) static TABLE: &[(u64, Signature)] = &[
            $(($number, Signature {
                name: stringify!($name),
                args: &[$($arg),*],
                ret: signatures!(@ret $($ret)?),
            })),*
        ];
    };
    (@ret) => { Ret::Dec };
    (@ret $ret:ident) => { Ret::$ret };
}

mod teaching;

signatures! {
    0 io_setup (Hex, Hex, Hex, Hex, Hex, Hex);
    1 io_destroy (Hex, Hex, Hex, Hex, Hex, Hex);
    2 io_submit (Hex, Hex, Hex, Hex, Hex, Hex);
    3 io_cancel (Hex, Hex, Hex, Hex, Hex, Hex);
    4 io_getevents (Hex, Hex, Hex, Hex, Hex, Hex);
    5 setxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    6 lsetxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    7 fsetxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    8 getxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    9 lgetxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    10 fgetxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    11 listxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    12 llistxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    13 flistxattr (Hex, Hex, Hex, Hex, Hex, Hex);
    14 removexattr (Hex, Hex, Hex, Hex, Hex, Hex);
    15 lremovexattr (Hex, Hex, Hex, Hex, Hex, Hex);
    16 fremovexattr (Hex, Hex, Hex, Hex, Hex, Hex);
    17 getcwd (OutStr, Size);
    18 lookup_dcookie (Hex, Hex, Hex, Hex, Hex, Hex);
    19 eventfd2 (Int, Bits(&flags::EFD));
    20 epoll_create1 (Bits(&flags::EPOLL_CREATE));
    21 epoll_ctl (Fd, One(&flags::EPOLL_CTL), Fd, EpollEvent);
    22 epoll_pwait (Fd, OutEpollEvents, Int, Int, SigSet, Size);
    23 dup (Fd);
    24 dup3 (Fd, Fd, Bits(&flags::PIPE));
    25 fcntl (Fd, One(&flags::FCNTL), FcntlTail) Fcntl;
    26 inotify_init1 (Bits(&flags::IN_INIT));
    27 inotify_add_watch (Fd, Path, Hex);
    28 inotify_rm_watch (Fd, Int);
    29 ioctl (Fd, One(&flags::IOCTL), IoctlTail);
    30 ioprio_set (Hex, Hex, Hex, Hex, Hex, Hex);
    31 ioprio_get (Hex, Hex, Hex, Hex, Hex, Hex);
    32 flock (Fd, Bits(&flags::FLOCK));
    33 mknodat (DirFd, Path, Octal, Hex);
    34 mkdirat (DirFd, Path, Octal);
    35 unlinkat (DirFd, Path, Bits(&flags::AT));
    36 symlinkat (Path, DirFd, Path);
    37 linkat (DirFd, Path, DirFd, Path, Bits(&flags::AT));
    39 umount2 (Hex, Hex, Hex, Hex, Hex, Hex);
    40 mount (Hex, Hex, Hex, Hex, Hex, Hex);
    41 pivot_root (Hex, Hex, Hex, Hex, Hex, Hex);
    42 nfsservctl (Hex, Hex, Hex, Hex, Hex, Hex);
    43 statfs (Path, Addr);
    44 fstatfs (Fd, Addr);
    45 truncate (Path, Long);
    46 ftruncate (Fd, Long);
    47 fallocate (Fd, Bits(&flags::FALLOC), Long, Long);
    48 faccessat (DirFd, Path, Bits(&flags::ACCESS));
    49 chdir (Path);
    50 fchdir (Fd);
    51 chroot (Path);
    52 fchmod (Fd, Octal);
    53 fchmodat (DirFd, Path, Octal);
    54 fchownat (DirFd, Path, Int, Int, Bits(&flags::AT));
    55 fchown (Fd, Int, Int);
    56 openat (DirFd, Path, OpenFlags, OpenMode);
    57 close (Fd);
    58 vhangup ();
    59 pipe2 (OutFdPair, Bits(&flags::PIPE));
    60 quotactl (Hex, Hex, Hex, Hex, Hex, Hex);
    61 getdents64 (Fd, OutDirents, Size);
    62 lseek (Fd, Long, One(&flags::SEEK));
    63 read (Fd, OutBuf, Size);
    64 write (Fd, Buf, Size);
    65 readv (Fd, OutIovec, Int);
    66 writev (Fd, Iovec, Int);
    67 pread64 (Fd, OutBuf, Size, Long);
    68 pwrite64 (Fd, Buf, Size, Long);
    69 preadv (Fd, OutIovec, Int, Long);
    70 pwritev (Fd, Iovec, Int, Long);
    71 sendfile (Fd, Fd, OutOffset, Size);
    72 pselect6 (Int, FdSet, FdSet, FdSet, Timespec, Addr) Poll;
    73 ppoll (PollFds, Size, Timespec, SigSet, Size) Poll;
    74 signalfd4 (Fd, SigSet, Size, Bits(&flags::SFD));
    75 vmsplice (Hex, Hex, Hex, Hex, Hex, Hex);
    76 splice (Fd, OutOffset, Fd, OutOffset, Size, Hex);
    77 tee (Hex, Hex, Hex, Hex, Hex, Hex);
    78 readlinkat (DirFd, Path, OutBuf, Size);
    79 newfstatat (DirFd, Path, OutStat, Bits(&flags::AT));
    80 fstat (Fd, OutStat);
    81 sync ();
    82 fsync (Fd);
    83 fdatasync (Fd);
    84 sync_file_range (Fd, Long, Long, Hex);
    85 timerfd_create (One(&flags::CLOCK), Bits(&flags::TFD));
    86 timerfd_settime (Fd, Bits(&flags::TFD_SETTIME), Itimerspec, OutItimerspec);
    87 timerfd_gettime (Fd, OutItimerspec);
    88 utimensat (DirFd, Path, FileTimes, Bits(&flags::AT));
    89 acct (Hex, Hex, Hex, Hex, Hex, Hex);
    90 capget (Addr, Addr);
    91 capset (Addr, Addr);
    92 personality (Hex, Hex, Hex, Hex, Hex, Hex);
    93 exit (Int) Never;
    94 exit_group (Int) Never;
    95 waitid (One(&flags::WAIT_ID), Int, Addr, Bits(&flags::WAIT), OutRusage);
    96 set_tid_address (Addr);
    97 unshare (Hex, Hex, Hex, Hex, Hex, Hex);
    98 futex (Addr, FutexOp, FutexTail);
    99 set_robust_list (Addr, Size);
    100 get_robust_list (Int, Addr, Addr);
    101 nanosleep (Timespec, OutTimespec);
    102 getitimer (One(&flags::ITIMER), OutItimerval);
    103 setitimer (One(&flags::ITIMER), Itimerval, OutItimerval);
    104 kexec_load (Hex, Hex, Hex, Hex, Hex, Hex);
    105 init_module (Hex, Hex, Hex, Hex, Hex, Hex);
    106 delete_module (Hex, Hex, Hex, Hex, Hex, Hex);
    107 timer_create (Hex, Hex, Hex, Hex, Hex, Hex);
    108 timer_gettime (Hex, Hex, Hex, Hex, Hex, Hex);
    109 timer_getoverrun (Hex, Hex, Hex, Hex, Hex, Hex);
    110 timer_settime (Hex, Hex, Hex, Hex, Hex, Hex);
    111 timer_delete (Hex, Hex, Hex, Hex, Hex, Hex);
    112 clock_settime (One(&flags::CLOCK), Timespec);
    113 clock_gettime (One(&flags::CLOCK), OutTimespec);
    114 clock_getres (One(&flags::CLOCK), OutTimespec);
    115 clock_nanosleep (One(&flags::CLOCK), Bits(&flags::TIMER_ABSTIME), Timespec, OutTimespec);
    116 syslog (Hex, Hex, Hex, Hex, Hex, Hex);
    117 ptrace (Hex, Hex, Hex, Hex, Hex, Hex);
    118 sched_setparam (Int, Addr);
    119 sched_setscheduler (Int, One(&flags::SCHED), Addr);
    120 sched_getscheduler (Int);
    121 sched_getparam (Int, Addr);
    122 sched_setaffinity (Int, Size, Addr);
    123 sched_getaffinity (Int, Size, OutCpus);
    124 sched_yield ();
    125 sched_get_priority_max (Hex, Hex, Hex, Hex, Hex, Hex);
    126 sched_get_priority_min (Hex, Hex, Hex, Hex, Hex, Hex);
    127 sched_rr_get_interval (Hex, Hex, Hex, Hex, Hex, Hex);
    128 restart_syscall ();
    129 kill (Int, Signal);
    130 tkill (Int, Signal);
    131 tgkill (Int, Int, Signal);
    132 sigaltstack (SigStack, OutSigStack);
    133 rt_sigsuspend (SigSet, Size);
    134 rt_sigaction (Signal, SigAction, OutSigAction, Size);
    135 rt_sigprocmask (One(&flags::SIG_HOW), SigSet, OutSigSet, Size);
    136 rt_sigpending (OutSigSet, Size);
    137 rt_sigtimedwait (SigSet, Addr, Timespec, Size);
    138 rt_sigqueueinfo (Int, Signal, Addr);
    139 rt_sigreturn () SigReturn;
    140 setpriority (One(&flags::PRIO), Int, Int);
    141 getpriority (One(&flags::PRIO), Int);
    142 reboot (Hex, Hex, Hex, Hex, Hex, Hex);
    143 setregid (Int, Int);
    144 setgid (Int);
    145 setreuid (Int, Int);
    146 setuid (Int);
    147 setresuid (Int, Int, Int);
    148 getresuid (OutInt, OutInt, OutInt);
    149 setresgid (Int, Int, Int);
    150 getresgid (OutInt, OutInt, OutInt);
    151 setfsuid (Hex, Hex, Hex, Hex, Hex, Hex);
    152 setfsgid (Hex, Hex, Hex, Hex, Hex, Hex);
    153 times (Addr);
    154 setpgid (Int, Int);
    155 getpgid (Int);
    156 getsid (Int);
    157 setsid ();
    158 getgroups (Int, Addr);
    159 setgroups (Int, Addr);
    160 uname (OutUtsname);
    161 sethostname (Path, Size);
    162 setdomainname (Hex, Hex, Hex, Hex, Hex, Hex);
    163 getrlimit (One(&flags::RLIMIT), OutRlimit);
    164 setrlimit (One(&flags::RLIMIT), Rlimit);
    165 getrusage (One(&flags::RUSAGE), OutRusage);
    166 umask (Octal) Octal;
    167 prctl (One(&flags::PR), PrctlTail);
    168 getcpu (OutInt, OutInt, Addr);
    169 gettimeofday (OutTimeval, Addr);
    170 settimeofday (Hex, Hex, Hex, Hex, Hex, Hex);
    171 adjtimex (Hex, Hex, Hex, Hex, Hex, Hex);
    172 getpid ();
    173 getppid ();
    174 getuid ();
    175 geteuid ();
    176 getgid ();
    177 getegid ();
    178 gettid ();
    179 sysinfo (OutSysinfo);
    180 mq_open (Hex, Hex, Hex, Hex, Hex, Hex);
    181 mq_unlink (Hex, Hex, Hex, Hex, Hex, Hex);
    182 mq_timedsend (Hex, Hex, Hex, Hex, Hex, Hex);
    183 mq_timedreceive (Hex, Hex, Hex, Hex, Hex, Hex);
    184 mq_notify (Hex, Hex, Hex, Hex, Hex, Hex);
    185 mq_getsetattr (Hex, Hex, Hex, Hex, Hex, Hex);
    186 msgget (Hex, Hex, Hex, Hex, Hex, Hex);
    187 msgctl (Hex, Hex, Hex, Hex, Hex, Hex);
    188 msgrcv (Hex, Hex, Hex, Hex, Hex, Hex);
    189 msgsnd (Hex, Hex, Hex, Hex, Hex, Hex);
    190 semget (Hex, Hex, Hex, Hex, Hex, Hex);
    191 semctl (Hex, Hex, Hex, Hex, Hex, Hex);
    192 semtimedop (Hex, Hex, Hex, Hex, Hex, Hex);
    193 semop (Hex, Hex, Hex, Hex, Hex, Hex);
    194 shmget (Hex, Hex, Hex, Hex, Hex, Hex);
    195 shmctl (Hex, Hex, Hex, Hex, Hex, Hex);
    196 shmat (Hex, Hex, Hex, Hex, Hex, Hex);
    197 shmdt (Hex, Hex, Hex, Hex, Hex, Hex);
    198 socket (One(&flags::AF), SockType, Int);
    199 socketpair (One(&flags::AF), SockType, Int, OutFdPair);
    200 bind (Fd, SockAddr, Int);
    201 listen (Fd, Int);
    202 accept (Fd, OutSockAddr, Addr);
    203 connect (Fd, SockAddr, Int);
    204 getsockname (Fd, OutSockAddr, Addr);
    205 getpeername (Fd, OutSockAddr, Addr);
    206 sendto (Fd, Buf, Size, Bits(&flags::MSG), SockAddr, Int);
    207 recvfrom (Fd, OutBuf, Size, Bits(&flags::MSG), OutSockAddr, Addr);
    208 setsockopt (Fd, Int, Int, Addr, Int);
    209 getsockopt (Fd, Int, Int, Addr, Addr);
    210 shutdown (Fd, One(&flags::SHUT));
    211 sendmsg (Fd, Addr, Bits(&flags::MSG));
    212 recvmsg (Fd, Addr, Bits(&flags::MSG));
    213 readahead (Fd, Long, Size);
    214 brk (Addr) Hex;
    215 munmap (Addr, Size);
    216 mremap (Addr, Size, Size, Bits(&flags::MREMAP), Addr) Hex;
    217 add_key (Hex, Hex, Hex, Hex, Hex, Hex);
    218 request_key (Hex, Hex, Hex, Hex, Hex, Hex);
    219 keyctl (Hex, Hex, Hex, Hex, Hex, Hex);
    220 clone (CloneStack, CloneFlags, CloneParentTid, CloneTls, CloneChildTid);
    221 execve (Path, Strings, StringCount);
    222 mmap (Addr, Size, Bits(&flags::PROT), Bits(&flags::MAP), Fd, MapOffset) Hex;
    223 fadvise64 (Fd, Long, Long, Int);
    224 swapon (Hex, Hex, Hex, Hex, Hex, Hex);
    225 swapoff (Hex, Hex, Hex, Hex, Hex, Hex);
    226 mprotect (Addr, Size, Bits(&flags::PROT));
    227 msync (Addr, Size, Bits(&flags::MSYNC));
    228 mlock (Addr, Size);
    229 munlock (Addr, Size);
    230 mlockall (Hex);
    231 munlockall ();
    232 mincore (Addr, Size, Addr);
    233 madvise (Addr, Size, One(&flags::MADV));
    234 remap_file_pages (Hex, Hex, Hex, Hex, Hex, Hex);
    235 mbind (Hex, Hex, Hex, Hex, Hex, Hex);
    236 get_mempolicy (Hex, Hex, Hex, Hex, Hex, Hex);
    237 set_mempolicy (Hex, Hex, Hex, Hex, Hex, Hex);
    238 migrate_pages (Hex, Hex, Hex, Hex, Hex, Hex);
    239 move_pages (Hex, Hex, Hex, Hex, Hex, Hex);
    240 rt_tgsigqueueinfo (Hex, Hex, Hex, Hex, Hex, Hex);
    241 perf_event_open (Hex, Hex, Hex, Hex, Hex, Hex);
    242 accept4 (Fd, OutSockAddr, Addr, Bits(&flags::SOCK_FLAGS));
    243 recvmmsg (Hex, Hex, Hex, Hex, Hex, Hex);
    258 riscv_hwprobe (Addr, Size, Size, Addr, Int);
    259 riscv_flush_icache (Addr, Addr, Int);
    260 wait4 (WaitPid, OutWaitStatus, Bits(&flags::WAIT), OutRusage);
    261 prlimit64 (Int, One(&flags::RLIMIT), Rlimit, OutRlimit);
    262 fanotify_init (Hex, Hex, Hex, Hex, Hex, Hex);
    263 fanotify_mark (Hex, Hex, Hex, Hex, Hex, Hex);
    264 name_to_handle_at (Hex, Hex, Hex, Hex, Hex, Hex);
    265 open_by_handle_at (Hex, Hex, Hex, Hex, Hex, Hex);
    266 clock_adjtime (Hex, Hex, Hex, Hex, Hex, Hex);
    267 syncfs (Fd);
    268 setns (Hex, Hex, Hex, Hex, Hex, Hex);
    269 sendmmsg (Hex, Hex, Hex, Hex, Hex, Hex);
    270 process_vm_readv (Hex, Hex, Hex, Hex, Hex, Hex);
    271 process_vm_writev (Hex, Hex, Hex, Hex, Hex, Hex);
    272 kcmp (Hex, Hex, Hex, Hex, Hex, Hex);
    273 finit_module (Hex, Hex, Hex, Hex, Hex, Hex);
    274 sched_setattr (Hex, Hex, Hex, Hex, Hex, Hex);
    275 sched_getattr (Hex, Hex, Hex, Hex, Hex, Hex);
    276 renameat2 (DirFd, Path, DirFd, Path, Bits(&flags::RENAME));
    277 seccomp (Hex, Hex, Hex, Hex, Hex, Hex);
    278 getrandom (OutHex, Size, Bits(&flags::GRND));
    279 memfd_create (Path, Bits(&flags::MFD));
    280 bpf (Hex, Hex, Hex, Hex, Hex, Hex);
    281 execveat (DirFd, Path, Strings, StringCount, Bits(&flags::AT));
    282 userfaultfd (Hex, Hex, Hex, Hex, Hex, Hex);
    283 membarrier (One(&flags::MEMBARRIER), Hex, Int);
    284 mlock2 (Hex, Hex, Hex, Hex, Hex, Hex);
    285 copy_file_range (Fd, OutOffset, Fd, OutOffset, Size, Hex);
    286 preadv2 (Hex, Hex, Hex, Hex, Hex, Hex);
    287 pwritev2 (Hex, Hex, Hex, Hex, Hex, Hex);
    288 pkey_mprotect (Hex, Hex, Hex, Hex, Hex, Hex);
    289 pkey_alloc (Hex, Hex, Hex, Hex, Hex, Hex);
    290 pkey_free (Hex, Hex, Hex, Hex, Hex, Hex);
    291 statx (DirFd, Path, StatxFlags, Bits(&flags::STATX_MASK), OutStatx);
    292 io_pgetevents (Hex, Hex, Hex, Hex, Hex, Hex);
    293 rseq (Addr, Hex, Hex, Hex);
    294 kexec_file_load (Hex, Hex, Hex, Hex, Hex, Hex);
    424 pidfd_send_signal (Fd, Signal, Addr, Hex);
    425 io_uring_setup (Hex, Hex, Hex, Hex, Hex, Hex);
    426 io_uring_enter (Hex, Hex, Hex, Hex, Hex, Hex);
    427 io_uring_register (Hex, Hex, Hex, Hex, Hex, Hex);
    428 open_tree (Hex, Hex, Hex, Hex, Hex, Hex);
    429 move_mount (Hex, Hex, Hex, Hex, Hex, Hex);
    430 fsopen (Hex, Hex, Hex, Hex, Hex, Hex);
    431 fsconfig (Hex, Hex, Hex, Hex, Hex, Hex);
    432 fsmount (Hex, Hex, Hex, Hex, Hex, Hex);
    433 fspick (Hex, Hex, Hex, Hex, Hex, Hex);
    434 pidfd_open (Int, Hex);
    435 clone3 (Addr, Size);
    436 close_range (Int, Int, Bits(&flags::CLOSE_RANGE));
    437 openat2 (DirFd, Path, Addr, Size);
    438 pidfd_getfd (Hex, Hex, Hex, Hex, Hex, Hex);
    439 faccessat2 (DirFd, Path, Bits(&flags::ACCESS), Bits(&flags::FACCESSAT));
    440 process_madvise (Hex, Hex, Hex, Hex, Hex, Hex);
    441 epoll_pwait2 (Fd, OutEpollEvents, Int, Timespec, SigSet, Size);
    442 mount_setattr (Hex, Hex, Hex, Hex, Hex, Hex);
    443 quotactl_fd (Hex, Hex, Hex, Hex, Hex, Hex);
    444 landlock_create_ruleset (Hex, Hex, Hex, Hex, Hex, Hex);
    445 landlock_add_rule (Hex, Hex, Hex, Hex, Hex, Hex);
    446 landlock_restrict_self (Hex, Hex, Hex, Hex, Hex, Hex);
    447 memfd_secret (Hex, Hex, Hex, Hex, Hex, Hex);
    448 process_mrelease (Hex, Hex, Hex, Hex, Hex, Hex);
    449 futex_waitv (Addr, Int, Hex, Timespec, One(&flags::CLOCK));
    450 set_mempolicy_home_node (Hex, Hex, Hex, Hex, Hex, Hex);
    451 cachestat (Hex, Hex, Hex, Hex, Hex, Hex);
    452 fchmodat2 (Hex, Hex, Hex, Hex, Hex, Hex);
    453 map_shadow_stack (Hex, Hex, Hex, Hex, Hex, Hex);
    454 futex_wake (Addr, Hex, Int, Bits(&flags::FUTEX2));
    455 futex_wait (Addr, Hex, Hex, Bits(&flags::FUTEX2), Timespec, One(&flags::CLOCK));
    456 futex_requeue (Addr, Hex, Int, Int);
    457 statmount (Hex, Hex, Hex, Hex, Hex, Hex);
    458 listmount (Hex, Hex, Hex, Hex, Hex, Hex);
    459 lsm_get_self_attr (Hex, Hex, Hex, Hex, Hex, Hex);
    460 lsm_set_self_attr (Hex, Hex, Hex, Hex, Hex, Hex);
    461 lsm_list_modules (Hex, Hex, Hex, Hex, Hex, Hex);
    462 mseal (Hex, Hex, Hex, Hex, Hex, Hex);
    463 setxattrat (Hex, Hex, Hex, Hex, Hex, Hex);
    464 getxattrat (Hex, Hex, Hex, Hex, Hex, Hex);
    465 listxattrat (Hex, Hex, Hex, Hex, Hex, Hex);
    466 removexattrat (Hex, Hex, Hex, Hex, Hex, Hex);
    467 open_tree_attr (Hex, Hex, Hex, Hex, Hex, Hex);
    468 file_getattr (Hex, Hex, Hex, Hex, Hex, Hex);
    469 file_setattr (Hex, Hex, Hex, Hex, Hex, Hex);
    470 listns (Hex, Hex, Hex, Hex, Hex, Hex);
    471 rseq_slice_yield (Hex, Hex, Hex, Hex, Hex, Hex);
}
