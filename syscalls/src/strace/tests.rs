use super::*;
use rivix_abi::Errno;

/// Guest memory that begins at 0x1000.
struct Ram(Vec<u8>);

const BASE: u64 = 0x1000;

impl Peek for Ram {
    fn peek(&self, addr: u64, dst: &mut [u8]) -> usize {
        let Some(from) = addr
            .checked_sub(BASE)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return 0;
        };
        let Some(have) = self.0.get(from..) else {
            return 0;
        };
        let n = have.len().min(dst.len());
        dst[..n].copy_from_slice(&have[..n]);
        n
    }
}

/// What waits to be written: no lane takes it.
fn text(strace: &Strace) -> String {
    String::from_utf8(strace.trace.take()).unwrap()
}

/// One call by the only task, without the padding before ` = `.
fn check(number: u64, args: &[u64], memory: &[u8], ended: Ended, expect: &str) {
    let strace = Strace::new();
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let ram = Ram(memory.to_vec());
    let call = Call {
        abi: Abi::Linux,
        number,
        args: all,
        memory: &ram,
    };
    let mut state = strace.state.lock();
    state.enter(1, &call);
    state.exit(1, &call, ended);
    let got = text(&strace);
    let got = got.trim_end();
    let squeezed = match got.rsplit_once(" = ") {
        Some((call, result)) => format!("{} = {result}", call.trim_end()),
        None => got.to_owned(),
    };
    assert_eq!(squeezed, expect);
}

const AT_FDCWD: u64 = -100i64 as u64;
const CLOEXEC: u64 = 0o2_000_000;

#[test]
fn calls_read_as_strace_prints_them() {
    use Ended::{Errno as Failed, Value};
    let words = |list: &[u64]| {
        list.iter()
            .flat_map(|w| w.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    check(
        56,
        &[AT_FDCWD, BASE, CLOEXEC],
        b"/etc/passwd\0",
        Value(3),
        r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#,
    );
    check(
        56,
        &[AT_FDCWD, BASE, 0o1102, 0o644],
        b"x\0",
        Value(4),
        r#"openat(AT_FDCWD, "x", O_RDWR|O_CREAT|O_TRUNC, 0644) = 4"#,
    );
    check(
        56,
        &[AT_FDCWD, BASE, 0],
        b"no\0",
        Failed(Errno::ENOENT),
        r#"openat(AT_FDCWD, "no", O_RDONLY) = -1 ENOENT (No such file or directory)"#,
    );
    check(
        63,
        &[3, BASE, 4096],
        b"root:x:0:0:root:/root:/bin/bash\ndaemon",
        Value(1221),
        r#"read(3, "root:x:0:0:root:/root:/bin/bash\n"..., 4096) = 1221"#,
    );
    check(
        63,
        &[3, BASE, 10],
        b"",
        Failed(Errno::EBADF),
        "read(3, 0x1000, 10) = -1 EBADF (Bad file descriptor)",
    );
    check(
        64,
        &[4, BASE, 11],
        b"a\tb\n\"q\\\x01\x01z\xff",
        Value(11),
        r#"write(4, "a\tb\n\"q\\\1\1z\377", 11) = 11"#,
    );
    check(214, &[0], b"", Value(0x5581_0000), "brk(NULL) = 0x55810000");
    check(
        222,
        &[0, 8192, 3, 0x22, u64::MAX, 0],
        b"",
        Value(0x7f_0000),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000",
    );
    check(
        226,
        &[BASE, 4096, 0],
        b"",
        Value(0),
        "mprotect(0x1000, 4096, PROT_NONE) = 0",
    );
    check(
        134,
        &[10, BASE, 0, 8],
        &words(&[0x55_0000, 0x1000_0000, 1 << 9]),
        Value(0),
        "rt_sigaction(SIGUSR1, {sa_handler=0x550000, sa_mask=[USR1], sa_flags=SA_RESTART}, NULL, 8) = 0",
    );
    check(
        135,
        &[2, BASE, 0, 8],
        &words(&[!(1 << 31 | 1 << 32)]),
        Value(0),
        "rt_sigprocmask(SIG_SETMASK, ~[RTMIN RT_1], NULL, 8) = 0",
    );
    check(
        135,
        &[0, BASE, 0, 8],
        &words(&[2 | 1 << 39]),
        Value(0),
        "rt_sigprocmask(SIG_BLOCK, [INT RT_8], NULL, 8) = 0",
    );
    check(
        261,
        &[0, 3, 0, BASE],
        &words(&[8 << 20, u64::MAX]),
        Value(0),
        "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0",
    );
    check(
        98,
        &[BASE, 128, 2, 0],
        b"",
        Failed(Errno::EAGAIN),
        "futex(0x1000, FUTEX_WAIT_PRIVATE, 2, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
    );
    check(
        98,
        &[BASE, 1, 1],
        b"",
        Value(0),
        "futex(0x1000, FUTEX_WAKE, 1) = 0",
    );
    check(
        98,
        &[BASE, 9 | 256, 7, 0, 0, 0xffff_ffff],
        b"",
        Ended::Restart("ERESTARTSYS (To be restarted if SA_RESTART is set)"),
        "futex(0x1000, FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME, 7, NULL, FUTEX_BITSET_MATCH_ANY) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
    );
    check(
        98,
        &[BASE, 4 | 128, 1, 2, BASE, 5],
        b"",
        Value(0),
        "futex(0x1000, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2, 0x1000, 0x5) = 0",
    );
    check(
        98,
        &[BASE, 12, 1, 7, BASE, 5],
        b"",
        Value(1),
        "futex(0x1000, FUTEX_CMP_REQUEUE_PI, 1, 7, 0x1000, 0x5) = 1",
    );
    check(
        98,
        &[BASE, 11 | 128, 3, 0, BASE],
        b"",
        Value(0),
        "futex(0x1000, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 3, NULL, 0x1000) = 0",
    );
    check(
        454,
        &[BASE, 1, 2, 2 | 128],
        b"",
        Value(2),
        "futex_wake(0x1000, 0x1, 2, FUTEX2_SIZE_U32|FUTEX2_PRIVATE) = 2",
    );
    check(
        455,
        &[BASE, 7, 1, 2, 0, 1],
        b"",
        Failed(Errno::EAGAIN),
        "futex_wait(0x1000, 0x7, 0x1, FUTEX2_SIZE_U32, NULL, CLOCK_MONOTONIC) = -1 EAGAIN (Resource temporarily unavailable)",
    );
    check(
        73,
        &[BASE, 1, 0, 0, 8],
        &[8, 0, 0, 0, 4, 0, 4, 0],
        Value(1),
        "ppoll([{fd=8, events=POLLOUT}], 1, NULL, NULL, 8) = 1 ([{fd=8, revents=POLLOUT}])",
    );
    check(
        220,
        &[0x0120_0011, 0, 0, 0, 0x2000],
        b"",
        Value(5),
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x2000) = 5",
    );
    check(
        260,
        &[u64::MAX, BASE, 0, 0],
        &words(&[0x300]),
        Value(7),
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7",
    );
    check(
        260,
        &[u64::MAX, BASE, 1, 0],
        &words(&[9]),
        Value(7),
        "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}], WNOHANG, NULL) = 7",
    );
    check(
        59,
        &[BASE, 0],
        &[3, 0, 0, 0, 4, 0, 0, 0],
        Value(0),
        "pipe2([3, 4], 0) = 0",
    );
    check(
        25,
        &[3, 1],
        b"",
        Value(1),
        "fcntl(3, F_GETFD) = 0x1 (flags FD_CLOEXEC)",
    );
    check(
        25,
        &[3, 3],
        b"",
        Value(0x8000),
        "fcntl(3, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)",
    );
    check(166, &[0o22], b"", Value(0o22), "umask(022) = 022");
    check(94, &[0], b"", Ended::Never, "exit_group(0) = ?");
    check(
        451 + 100,
        &[1, 2],
        b"",
        Failed(Errno::ENOSYS),
        "syscall_0x227(0x1, 0x2, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)",
    );
}

#[test]
fn a_stat_is_decoded() {
    let mut stat = vec![0; 128];
    stat[16..20].copy_from_slice(&0o100_644u32.to_le_bytes());
    stat[48..56].copy_from_slice(&1221u64.to_le_bytes());
    check(
        80,
        &[3, BASE],
        &stat,
        Ended::Value(0),
        "fstat(3, {st_mode=S_IFREG|0644, st_size=1221, ...}) = 0",
    );
    stat[16..20].copy_from_slice(&0o020_666u32.to_le_bytes());
    stat[32..40].copy_from_slice(&0x103u64.to_le_bytes());
    check(
        80,
        &[3, BASE],
        &stat,
        Ended::Value(0),
        "fstat(3, {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}) = 0",
    );
}

#[test]
fn lines_of_two_tasks_do_not_mix() {
    let strace = Strace::new();
    let ram = Ram(b"hi".to_vec());
    let read = Call {
        abi: Abi::Linux,
        number: 63,
        args: [0, BASE, 2, 0, 0, 0],
        memory: &ram,
    };
    let getpid = Call {
        abi: Abi::Linux,
        number: 172,
        args: [0; 6],
        memory: &ram,
    };
    let mut state = strace.state.lock();
    state.enter(7, &getpid);
    state.exit(7, &getpid, Ended::Value(7));
    state.enter(7, &read);
    state.enter(8, &getpid);
    state.exit(8, &getpid, Ended::Value(7));
    state.exit(7, &read, Ended::Value(2));
    state.end(8, "+++ exited with 0 +++");
    state.end(7, "+++ exited with 0 +++");
    assert_eq!(
        text(&strace),
        "getpid()                                = 7\n\
         read(0,  <unfinished ...>\n\
         strace: Process 8 attached\n\
         [pid     8] getpid()                    = 7\n\
         [pid     7] <... read resumed>\"hi\", 2)  = 2\n\
         [pid     8] +++ exited with 0 +++\n\
         +++ exited with 0 +++\n"
    );
}

#[test]
fn signals_name_their_cause() {
    let check = |info: SigInfo, expect: &str| assert_eq!(signal_text(&info), expect);
    check(
        SigInfo::fault(Signal::SIGSEGV, 1, 0),
        "SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL}",
    );
    check(
        SigInfo::from_sender(Signal::SIGUSR1, -6, 9, 0),
        "SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=9, si_uid=0}",
    );
    check(
        SigInfo::child(1, 9, 0, 3, 0, 0),
        "SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9, si_uid=0, si_status=3, si_utime=0, si_stime=0}",
    );
}
