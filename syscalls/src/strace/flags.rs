//! Names of flag bits and of enumerated values (asm-generic headers).

use std::fmt::Write;

/// A table of names. Bits or values are listed in the order in which they are printed.
pub(super) struct Names {
    pub(super) list: &'static [(u64, &'static str)],
    /// Printed for a rest without a name: `0x10 /* PREFIX??? */`.
    pub(super) prefix: &'static str,
}

macro_rules! names {
    ($($table:ident $prefix:literal { $($name:ident = $value:expr),* $(,)? })*) => {
        $(pub(super) static $table: Names = Names {
            list: &[$(($value, stringify!($name))),*],
            prefix: $prefix,
        };)*
    };
}

impl Names {
    /// One value: its name, or the number with a comment.
    pub(super) fn one(&self, out: &mut String, value: u64) {
        match self.list.iter().find(|(v, _)| *v == value) {
            Some((_, name)) => out.push_str(name),
            None => {
                let _ = write!(out, "{value:#x} /* {}??? */", self.prefix);
            }
        }
    }

    /// Bits joined by `|`; zero takes the table's name for zero, or `0`.
    pub(super) fn bits(&self, out: &mut String, value: u64) {
        let mut rest = value;
        let mut first = true;
        for &(bits, name) in self.list {
            let hit = if bits == 0 {
                value == 0
            } else {
                rest & bits == bits
            };
            if hit {
                if !std::mem::take(&mut first) {
                    out.push('|');
                }
                out.push_str(name);
                rest &= !bits;
            }
        }
        if rest != 0 {
            if first {
                let _ = write!(out, "{rest:#x} /* {}??? */", self.prefix);
            } else {
                let _ = write!(out, "|{rest:#x}");
            }
        } else if first {
            out.push('0');
        }
    }
}

/// open(2) flags: the access mode is an enumeration in the low two bits.
pub(super) fn open(out: &mut String, flags: u64) {
    out.push_str(["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(flags & 3) as usize]);
    if flags & !3 != 0 {
        out.push('|');
        OPEN.bits(out, flags & !3);
    }
}

/// `S_IFREG|0644`, or only the octal number when there is no type.
pub(super) fn mode(out: &mut String, mode: u64) {
    let kind = mode & 0o170_000;
    if kind != 0 {
        FILE_TYPE.one(out, kind);
        out.push('|');
        for (bit, name) in [
            (0o4000, "S_ISUID|"),
            (0o2000, "S_ISGID|"),
            (0o1000, "S_ISVTX|"),
        ] {
            if mode & bit != 0 {
                out.push_str(name);
            }
        }
        let _ = write!(out, "{:03o}", mode & 0o777);
        let at = out.len() - 3;
        out.insert(at, '0');
    } else {
        octal(out, mode);
    }
}

/// A permission argument: three digits or more, the first of them 0.
pub(super) fn octal(out: &mut String, mode: u64) {
    let _ = write!(out, "0{mode:02o}");
}

names! {
    OPEN "O_" {
        O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400, O_TRUNC = 0o1000, O_APPEND = 0o2000,
        O_NONBLOCK = 0o4000, O_SYNC = 0o4_010_000, O_DSYNC = 0o10000, O_ASYNC = 0o20000,
        O_DIRECT = 0o40000, O_LARGEFILE = 0o100_000, O_NOFOLLOW = 0o400_000,
        O_NOATIME = 0o1_000_000, O_CLOEXEC = 0o2_000_000, O_PATH = 0o10_000_000,
        O_TMPFILE = 0o20_200_000, O_DIRECTORY = 0o200_000,
    }
    FILE_TYPE "S_IF" {
        S_IFSOCK = 0o140_000, S_IFLNK = 0o120_000, S_IFREG = 0o100_000, S_IFBLK = 0o060_000,
        S_IFDIR = 0o040_000, S_IFCHR = 0o020_000, S_IFIFO = 0o010_000,
    }
    PROT "PROT_" {
        PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8,
        PROT_GROWSDOWN = 0x0100_0000, PROT_GROWSUP = 0x0200_0000,
    }
    MAP "MAP_" {
        MAP_SHARED_VALIDATE = 3, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 0x10,
        MAP_ANONYMOUS = 0x20, MAP_GROWSDOWN = 0x100, MAP_DENYWRITE = 0x800,
        MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000, MAP_NONBLOCK = 0x10000, MAP_STACK = 0x20000,
        MAP_HUGETLB = 0x40000, MAP_SYNC = 0x80000, MAP_FIXED_NOREPLACE = 0x0010_0000,
    }
    MREMAP "MREMAP_" { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 }
    MSYNC "MS_" { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 }
    MADV "MADV_" {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3,
        MADV_DONTNEED = 4, MADV_FREE = 8, MADV_REMOVE = 9, MADV_DONTFORK = 10, MADV_DOFORK = 11,
        MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13, MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15,
        MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18, MADV_KEEPONFORK = 19,
        MADV_COLD = 20, MADV_PAGEOUT = 21, MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23,
        MADV_DONTNEED_LOCKED = 24,
    }
    CLONE "CLONE_" {
        CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800,
        CLONE_PIDFD = 0x1000, CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000,
        CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SYSVSEM = 0x40000,
        CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x0010_0000,
        CLONE_CHILD_CLEARTID = 0x0020_0000, CLONE_DETACHED = 0x0040_0000,
        CLONE_UNTRACED = 0x0080_0000, CLONE_CHILD_SETTID = 0x0100_0000,
        CLONE_NEWCGROUP = 0x0200_0000, CLONE_NEWUTS = 0x0400_0000, CLONE_NEWIPC = 0x0800_0000,
        CLONE_NEWUSER = 0x1000_0000, CLONE_NEWPID = 0x2000_0000, CLONE_NEWNET = 0x4000_0000,
        CLONE_IO = 0x8000_0000,
    }
    AT "AT_" {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000, AT_RECURSIVE = 0x8000,
    }
    FACCESSAT "AT_" { AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_EMPTY_PATH = 0x1000 }
    ACCESS "?_OK" { F_OK = 0, R_OK = 4, W_OK = 2, X_OK = 1 }
    RENAME "RENAME_" { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 }
    SEEK "SEEK_" { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 }
    FCNTL "F_" {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6,
        F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11,
        F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_OFD_GETLK = 36, F_OFD_SETLK = 37,
        F_OFD_SETLKW = 38, F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026,
        F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033,
        F_GET_SEALS = 1034,
    }
    FD_FLAGS "FD_" { FD_CLOEXEC = 1 }
    FLOCK "LOCK_" { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 }
    FALLOC "FALLOC_FL_" {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_COLLAPSE_RANGE = 8,
        FALLOC_FL_ZERO_RANGE = 16, FALLOC_FL_INSERT_RANGE = 32, FALLOC_FL_UNSHARE_RANGE = 64,
    }
    SIG_HOW "SIG_" { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 }
    SA "SA_" {
        SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2, SA_SIGINFO = 4, SA_EXPOSE_TAGBITS = 0x800,
        SA_ONSTACK = 0x0800_0000, SA_RESTART = 0x1000_0000, SA_NODEFER = 0x4000_0000,
        SA_RESETHAND = 0x8000_0000,
    }
    SS "SS_" { SS_ONSTACK = 1, SS_DISABLE = 2, SS_AUTODISARM = 0x8000_0000 }
    WAIT "W" {
        WNOHANG = 1, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x0100_0000,
        __WNOTHREAD = 0x2000_0000, __WALL = 0x4000_0000, __WCLONE = 0x8000_0000,
    }
    WAIT_ID "P_" { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 }
    FUTEX "FUTEX_" {
        FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_FD = 2, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4,
        FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8,
        FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, FUTEX_WAIT_REQUEUE_PI = 11,
        FUTEX_CMP_REQUEUE_PI = 12, FUTEX_LOCK_PI2 = 13,
    }
    FUTEX2 "FUTEX2_" {
        FUTEX2_SIZE_U32 = 2, FUTEX2_NUMA = 4, FUTEX2_MPOL = 8, FUTEX2_PRIVATE = 128,
    }
    CLOCK "CLOCK_" {
        CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2,
        CLOCK_THREAD_CPUTIME_ID = 3, CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5,
        CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7, CLOCK_REALTIME_ALARM = 8,
        CLOCK_BOOTTIME_ALARM = 9, CLOCK_TAI = 11,
    }
    TIMER_ABSTIME "TIMER_" { TIMER_ABSTIME = 1 }
    ITIMER "ITIMER_" { ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2 }
    RLIMIT "RLIMIT_" {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4,
        RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9,
        RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13,
        RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15,
    }
    RUSAGE "RUSAGE_" {
        RUSAGE_SELF = 0, RUSAGE_THREAD = 1, RUSAGE_CHILDREN = 0xffff_ffff_ffff_ffff,
    }
    GRND "GRND_" { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 }
    EPOLL_CTL "EPOLL_CTL_" { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
    EPOLL_CREATE "EPOLL_" { EPOLL_CLOEXEC = 0o2_000_000 }
    EPOLL "EPOLL" {
        EPOLLIN = 1, EPOLLPRI = 2, EPOLLOUT = 4, EPOLLRDNORM = 0x40, EPOLLRDBAND = 0x80,
        EPOLLWRNORM = 0x100, EPOLLWRBAND = 0x200, EPOLLMSG = 0x400, EPOLLERR = 8, EPOLLHUP = 0x10,
        EPOLLRDHUP = 0x2000, EPOLLEXCLUSIVE = 0x1000_0000, EPOLLWAKEUP = 0x2000_0000,
        EPOLLONESHOT = 0x4000_0000, EPOLLET = 0x8000_0000,
    }
    POLL "POLL" {
        POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLRDNORM = 0x40, POLLRDBAND = 0x80,
        POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400, POLLRDHUP = 0x2000,
        POLLERR = 8, POLLHUP = 0x10, POLLNVAL = 0x20,
    }
    EFD "EFD_" { EFD_SEMAPHORE = 1, EFD_CLOEXEC = 0o2_000_000, EFD_NONBLOCK = 0o4000 }
    TFD "TFD_" { TFD_CLOEXEC = 0o2_000_000, TFD_NONBLOCK = 0o4000 }
    TFD_SETTIME "TFD_TIMER_" { TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 }
    SFD "SFD_" { SFD_CLOEXEC = 0o2_000_000, SFD_NONBLOCK = 0o4000 }
    IN_INIT "IN_" { IN_CLOEXEC = 0o2_000_000, IN_NONBLOCK = 0o4000 }
    PIPE "O_" { O_NONBLOCK = 0o4000, O_DIRECT = 0o40000, O_CLOEXEC = 0o2_000_000 }
    MFD "MFD_" { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4 }
    CLOSE_RANGE "CLOSE_RANGE_" { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 }
    STATX_MASK "STATX_" {
        STATX_ALL = 0xfff, STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2,
        STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10, STATX_ATIME = 0x20, STATX_MTIME = 0x40,
        STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200, STATX_BLOCKS = 0x400,
        STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000, STATX_DIOALIGN = 0x2000,
    }
    AF "AF_" {
        AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17,
    }
    SOCK "SOCK_" {
        SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5,
    }
    SOCK_FLAGS "SOCK_" { SOCK_CLOEXEC = 0o2_000_000, SOCK_NONBLOCK = 0o4000 }
    SHUT "SHUT_" { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 }
    MSG "MSG_" {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20,
        MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100, MSG_NOSIGNAL = 0x4000,
        MSG_MORE = 0x8000, MSG_CMSG_CLOEXEC = 0x4000_0000,
    }
    PR "PR_" {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4,
        PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8, PR_SET_NAME = 15, PR_GET_NAME = 16,
        PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24,
        PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_SET_CHILD_SUBREAPER = 36,
        PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39,
        PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42,
        PR_CAP_AMBIENT = 47, PR_RISCV_V_SET_CONTROL = 69, PR_RISCV_V_GET_CONTROL = 70,
        PR_RISCV_SET_ICACHE_FLUSH_CTX = 71, PR_SET_VMA = 0x5356_4d41,
    }
    MEMBARRIER "MEMBARRIER_CMD_" {
        MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 0x10,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 0x20,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 0x40,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 0x80,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 0x100,
        MEMBARRIER_CMD_GET_REGISTRATIONS = 0x200,
    }
    IOCTL "" {
        TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCSBRK = 0x5409,
        TCXONC = 0x540a, TCFLSH = 0x540b, TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f,
        TIOCSPGRP = 0x5410, TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, FIONREAD = 0x541b,
        FIONBIO = 0x5421, TIOCNOTTY = 0x5422, TIOCGSID = 0x5429, FIONCLEX = 0x5450,
        FIOCLEX = 0x5451, TIOCGPTN = 0x8004_5430, TIOCSPTLCK = 0x4004_5431,
        FICLONE = 0x4004_9409,
    }
    SCHED "SCHED_" {
        SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5,
        SCHED_DEADLINE = 6,
    }
    PRIO "PRIO_" { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 }
}

static SIGNALS: [&str; 32] = [
    "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `SIGINT`, `SIGRT_3`, or the number.
pub(super) fn signal(out: &mut String, number: u64) {
    if (1..=64).contains(&number) {
        out.push_str("SIG");
        short_signal(out, number);
    } else {
        let _ = write!(out, "{}", number as i32);
    }
}

fn short_signal(out: &mut String, number: u64) {
    match usize::try_from(number) {
        Ok(n @ 1..=31) => out.push_str(SIGNALS[n]),
        Ok(32) => out.push_str("RTMIN"),
        _ => {
            let _ = write!(out, "RT_{}", number.saturating_sub(32));
        }
    }
}

/// `[INT TERM]`; a set that is mostly full is shown as its complement, `~[KILL]`.
pub(super) fn signal_set(out: &mut String, set: u64) {
    let inverted = set.count_ones() >= 64 * 2 / 3;
    let shown = if inverted {
        out.push('~');
        !set
    } else {
        set
    };
    out.push('[');
    let mut first = true;
    for number in 1..=64u64 {
        if shown >> (number - 1) & 1 != 0 {
            if !std::mem::take(&mut first) {
                out.push(' ');
            }
            short_signal(out, number);
        }
    }
    out.push(']');
}
