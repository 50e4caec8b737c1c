//! One call's arguments and result as text.

use super::flags;
use super::signatures::{self, Arg, Ret, Signature};
use super::values::{self, Peek};
use rivix_task::Abi;
use std::fmt::Write;

/// A call, and what is known of its result.
pub(super) struct Call<'a> {
    pub(super) abi: Abi,
    pub(super) number: u64,
    pub(super) args: [u64; 6],
    pub(super) memory: &'a dyn Peek,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Value(u64),
    Errno(rivix_abi::Errno),
    /// A teaching kernel's answer that is less than zero: nothing was stored.
    Refused(i64),
    /// The internal code and its sentence.
    Restart(&'static str),
    /// The call does not return.
    Never,
}

impl Call<'_> {
    fn signature(&self) -> Option<&'static Signature> {
        signatures::find_in(self.abi, self.number)
    }

    /// The text up to the first argument that the call itself stores, and the
    /// number of arguments in it.
    pub(super) fn entry(&self) -> (String, usize) {
        let mut out = String::new();
        let Some(signature) = self.signature() else {
            let _ = write!(out, "syscall_{:#x}(", self.number);
            for (at, arg) in self.args.iter().enumerate() {
                separate(&mut out, at);
                let _ = if *arg == 0 {
                    write!(out, "0")
                } else {
                    write!(out, "{arg:#x}")
                };
            }
            return (out, 6);
        };
        out.push_str(signature.name);
        out.push('(');
        for (at, arg) in signature.args.iter().enumerate() {
            if stored_by_call(arg) {
                // As strace does: the comma is written with what precedes it,
                // unless what follows may not be shown.
                if at > 0 && !matches!(arg, Arg::CloneParentTid) {
                    out.push_str(", ");
                }
                return (out, at);
            }
            separate_some(&mut out, at, |out| self.arg(out, at, arg, None));
        }
        (out, signature.args.len())
    }

    /// The rest of the arguments, and the closing parenthesis.
    pub(super) fn rest(&self, from: usize, ended: Ended) -> String {
        let mut out = String::new();
        if let Some(signature) = self.signature() {
            for (at, arg) in signature.args.iter().enumerate().skip(from) {
                let has_comma = at == from && !matches!(arg, Arg::CloneParentTid);
                let comma = if has_comma { 0 } else { at };
                separate_some(&mut out, comma, |out| self.arg(out, at, arg, Some(ended)));
            }
        }
        out.push(')');
        out
    }

    /// What follows ` = `.
    pub(super) fn result(&self, ended: Ended) -> String {
        let mut out = String::new();
        let value = match ended {
            Ended::Never => return "?".into(),
            Ended::Restart(text) => return format!("? {text}"),
            Ended::Errno(errno) => {
                return format!("-1 {} ({})", errno.name(), errno.message());
            }
            Ended::Refused(value) => return value.to_string(),
            Ended::Value(value) => value,
        };
        let signature = self.signature();
        match signature.map_or(Ret::Dec, |s| s.ret) {
            Ret::Hex => {
                let _ = write!(out, "{value:#x}");
            }
            Ret::Octal => flags::octal(&mut out, value),
            Ret::Never => out.push('?'),
            Ret::Fcntl => self.fcntl_result(&mut out, value),
            Ret::Poll => {
                let _ = write!(out, "{}", value as i64);
                if value == 0 {
                    out.push_str(" (Timeout)");
                } else if let Some(Arg::PollFds) = signature.and_then(|s| s.args.first()) {
                    out.push_str(" (");
                    values::ready_fds(&mut out, self.memory, self.args[0], self.args[1]);
                    out.push(')');
                }
            }
            Ret::Dec | Ret::SigReturn => {
                let _ = write!(out, "{}", value as i64);
            }
        }
        out
    }

    fn arg(&self, out: &mut String, at: usize, arg: &Arg, ended: Option<Ended>) {
        let value = self.args[at];
        let memory = self.memory;
        let next = self.args.get(at + 1).copied().unwrap_or(0);
        // Stored data is shown only when the call stored it.
        let stored = match ended {
            Some(Ended::Value(result)) => Some(result),
            _ => None,
        };
        if stored_by_call(arg) && stored.is_none() {
            return values::addr(out, value);
        }
        let result = stored.unwrap_or(0);
        match arg {
            Arg::Int => number(out, i64::from(value as i32)),
            Arg::Size => {
                let _ = write!(out, "{value}");
            }
            Arg::Long => number(out, value as i64),
            Arg::Hex => values::hex(out, value),
            Arg::Octal => flags::octal(out, value & 0xffff),
            Arg::Addr => values::addr(out, value),
            Arg::Fd => number(out, i64::from(value as i32)),
            Arg::DirFd if value as i32 == -100 => out.push_str("AT_FDCWD"),
            Arg::DirFd => number(out, i64::from(value as i32)),
            Arg::Path => values::path(out, memory, value),
            Arg::Strings => values::strings(out, memory, value),
            Arg::StringCount => values::string_count(out, memory, value),
            Arg::Buf => values::bytes(out, memory, value, next),
            Arg::OutBuf => values::bytes(out, memory, value, result),
            Arg::OutHex => values::hex_bytes(out, memory, value, result),
            Arg::OutStr => values::path(out, memory, value),
            Arg::Bits(names) => names.bits(out, value & 0xffff_ffff),
            Arg::One(names) => names.one(out, widen(value)),
            Arg::OpenFlags => flags::open(out, value & 0xffff_ffff),
            Arg::OpenMode => {
                const CREATES: u64 = 0o100 | 0o20_000_000;
                if self.args[at - 1] & CREATES != 0 {
                    flags::octal(out, value & 0xffff);
                }
            }
            Arg::MapOffset => values::hex(out, value),
            Arg::Signal => flags::signal(out, value & 0xffff_ffff),
            Arg::SigSet | Arg::OutSigSet => values::signal_set(out, memory, value),
            Arg::SigAction | Arg::OutSigAction => values::signal_action(out, memory, value),
            Arg::SigStack | Arg::OutSigStack => values::signal_stack(out, memory, value),
            Arg::OutStat => values::stat(out, memory, value),
            Arg::OutStatx => values::statx(out, memory, value),
            Arg::StatxFlags => {
                if value & 0x6000 == 0 {
                    out.push_str("AT_STATX_SYNC_AS_STAT");
                }
                if value & 0xffff_ffff != 0 {
                    if value & 0x6000 == 0 {
                        out.push('|');
                    }
                    flags::AT.bits(out, value & 0xffff_ffff);
                }
            }
            Arg::Iovec => values::iovec(out, memory, value, next, u64::MAX),
            Arg::OutIovec => values::iovec(out, memory, value, next, result),
            Arg::PollFds => values::poll_fds(out, memory, value, next),
            Arg::FdSet => values::fd_set(out, memory, value, self.args[0]),
            Arg::Timespec | Arg::OutTimespec => values::timespec(out, memory, value),
            Arg::FileTimes => values::file_times(out, memory, value),
            Arg::OutTimeval => values::timeval(out, memory, value),
            Arg::Itimerval | Arg::OutItimerval => values::itimer(out, memory, value, "usec"),
            Arg::Itimerspec | Arg::OutItimerspec => values::itimer(out, memory, value, "nsec"),
            Arg::OutWaitStatus if result == 0 => values::addr(out, value),
            Arg::OutWaitStatus => values::wait_status(out, memory, value),
            Arg::WaitPid => number(out, i64::from(value as i32)),
            Arg::OutFdPair => values::fd_pair(out, memory, value),
            Arg::Rlimit | Arg::OutRlimit => values::rlimit(out, memory, value),
            Arg::OutRusage => values::rusage(out, memory, value),
            Arg::OutUtsname => values::utsname(out, memory, value),
            Arg::OutSysinfo => values::sysinfo(out, memory, value),
            Arg::OutDirents => values::dirents(out, memory, value, result),
            Arg::OutCpus => values::cpus(out, memory, value, result),
            Arg::OutInt => values::boxed_int(out, memory, value),
            Arg::OutOffset => values::boxed_long(out, memory, value),
            Arg::EpollEvent => values::epoll_event(out, memory, value),
            Arg::OutEpollEvents => values::epoll_events(out, memory, value, result),
            Arg::SockAddr => values::sock_addr(out, memory, value, next),
            Arg::OutSockAddr => values::out_sock_addr(out, memory, value, next),
            Arg::SockType => {
                flags::SOCK.one(out, value & 0xf);
                if value & 0xffff_fff0 != 0 {
                    out.push('|');
                    flags::SOCK_FLAGS.bits(out, value & 0xffff_fff0);
                }
            }
            Arg::FutexOp => values::futex_op(out, value),
            Arg::FutexTail => values::futex_tail(out, memory, &self.args),
            Arg::FcntlTail => self.fcntl_tail(out),
            Arg::IoctlTail => values::ioctl_tail(out, memory, &self.args, stored.is_some()),
            Arg::PrctlTail => values::prctl_tail(out, memory, &self.args),
            Arg::CloneStack => {
                out.push_str("child_stack=");
                values::addr(out, self.args[1]);
            }
            Arg::CloneFlags => values::clone_flags(out, self.args[0]),
            Arg::CloneParentTid => {
                if self.args[0] & 0x0010_1000 != 0 {
                    out.push_str("parent_tid=");
                    values::boxed_int(out, memory, self.args[2]);
                }
            }
            Arg::CloneTls => {
                if self.args[0] & 0x0008_0000 != 0 {
                    out.push_str("tls=");
                    values::addr(out, self.args[3]);
                }
            }
            Arg::CloneChildTid => {
                if self.args[0] & 0x0120_0000 != 0 {
                    out.push_str("child_tidptr=");
                    values::addr(out, self.args[4]);
                }
            }
        }
    }

    fn fcntl_tail(&self, out: &mut String) {
        let (command, arg) = (self.args[1], self.args[2]);
        match command {
            1 | 3 | 9 | 11 | 1025 | 1032 | 1034 => {}
            2 => flags::FD_FLAGS.bits(out, arg),
            4 => flags::open(out, arg & 0xffff_ffff),
            5..=7 | 36..=38 => values::flock(out, self.memory, arg),
            0 | 8 | 10 | 1024 | 1030 | 1031 => number(out, arg as i64),
            _ => values::hex(out, arg),
        }
    }

    fn fcntl_result(&self, out: &mut String, value: u64) {
        match self.args[1] {
            1 => {
                values::hex(out, value);
                if value != 0 {
                    out.push_str(" (flags ");
                    flags::FD_FLAGS.bits(out, value);
                    out.push(')');
                }
            }
            3 => {
                values::hex(out, value);
                out.push_str(" (flags ");
                flags::open(out, value);
                out.push(')');
            }
            _ => number(out, value as i64),
        }
    }
}

fn number(out: &mut String, value: i64) {
    let _ = write!(out, "{value}");
}

/// Commands are ints; -1 must stay -1.
fn widen(value: u64) -> u64 {
    if value as u32 & 0x8000_0000 != 0 && value >> 32 == 0xffff_ffff {
        value
    } else {
        value & 0xffff_ffff
    }
}

fn separate(out: &mut String, at: usize) {
    if at > 0 {
        out.push_str(", ");
    }
}

/// Writes a comma and the argument; nothing when the argument is not shown.
fn separate_some(out: &mut String, at: usize, write: impl FnOnce(&mut String)) {
    let before = out.len();
    separate(out, at);
    let start = out.len();
    write(out);
    if out.len() == start {
        out.truncate(before);
    }
}

/// Known only after the call.
fn stored_by_call(arg: &Arg) -> bool {
    matches!(
        arg,
        Arg::OutBuf
            | Arg::OutHex
            | Arg::OutStr
            | Arg::OutSigSet
            | Arg::OutSigAction
            | Arg::OutSigStack
            | Arg::OutStat
            | Arg::OutStatx
            | Arg::OutIovec
            | Arg::OutTimespec
            | Arg::OutTimeval
            | Arg::OutItimerval
            | Arg::OutItimerspec
            | Arg::OutWaitStatus
            | Arg::OutFdPair
            | Arg::OutRlimit
            | Arg::OutRusage
            | Arg::OutUtsname
            | Arg::OutSysinfo
            | Arg::OutDirents
            | Arg::OutCpus
            | Arg::OutInt
            | Arg::OutOffset
            | Arg::OutEpollEvents
            | Arg::OutSockAddr
            | Arg::IoctlTail
            | Arg::CloneParentTid
    )
}
