//! Guest values as text. Reading fails softly: what cannot be read is shown as
//! its address, as strace does.

use super::flags;
use std::fmt::Write;

/// Reads guest memory; the number of bytes that could be read.
pub(super) trait Peek {
    fn peek(&self, addr: u64, dst: &mut [u8]) -> usize;
}

/// Bytes of a string that are shown.
const STRING_LIMIT: usize = 32;
/// Elements of an array that are shown.
const ARRAY_LIMIT: u64 = 32;
const PATH_LIMIT: usize = 4096;

fn read<const N: usize>(memory: &dyn Peek, addr: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (addr != 0 && memory.peek(addr, &mut bytes) == N).then_some(bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The structure at `at` by `show`, or the address.
fn with<const N: usize>(
    out: &mut String,
    memory: &dyn Peek,
    at: u64,
    show: impl FnOnce(&mut String, &[u8; N]),
) {
    match read::<N>(memory, at) {
        Some(bytes) => show(out, &bytes),
        None => addr(out, at),
    }
}

pub(super) fn addr(out: &mut String, value: u64) {
    if value == 0 {
        out.push_str("NULL");
    } else {
        hex(out, value);
    }
}

pub(super) fn hex(out: &mut String, value: u64) {
    if value == 0 {
        out.push('0');
    } else {
        let _ = write!(out, "{value:#x}");
    }
}

/// A C string literal of `bytes`. An octal escape is as short as the next
/// character allows.
pub(super) fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            0x20..=0x7e => out.push(byte as char),
            _ => {
                let digit_follows = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                let _ = if digit_follows {
                    write!(out, "\\{byte:03o}")
                } else {
                    write!(out, "\\{byte:o}")
                };
            }
        }
    }
    out.push('"');
}

fn limited(out: &mut String, bytes: &[u8], len: u64) {
    quote(out, bytes);
    if len > bytes.len() as u64 {
        out.push_str("...");
    }
}

pub(super) fn bytes(out: &mut String, memory: &dyn Peek, at: u64, len: u64) {
    let mut buffer = [0; STRING_LIMIT];
    let wanted = len.min(STRING_LIMIT as u64) as usize;
    if at == 0 || memory.peek(at, &mut buffer[..wanted]) != wanted {
        return addr(out, at);
    }
    limited(out, &buffer[..wanted], len);
}

pub(super) fn hex_bytes(out: &mut String, memory: &dyn Peek, at: u64, len: u64) {
    let mut buffer = [0; STRING_LIMIT];
    let wanted = len.min(STRING_LIMIT as u64) as usize;
    if at == 0 || memory.peek(at, &mut buffer[..wanted]) != wanted {
        return addr(out, at);
    }
    out.push('"');
    for byte in &buffer[..wanted] {
        let _ = write!(out, "\\x{byte:02x}");
    }
    out.push('"');
    if len > wanted as u64 {
        out.push_str("...");
    }
}

/// The bytes before the NUL; None when there is none within `limit`.
fn c_string(memory: &dyn Peek, at: u64, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 256];
    while bytes.len() < limit {
        let got = memory.peek(at.checked_add(bytes.len() as u64)?, &mut chunk);
        if let Some(end) = chunk[..got].iter().position(|&b| b == 0) {
            bytes.extend_from_slice(&chunk[..end]);
            return Some(bytes);
        }
        if got == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..got]);
    }
    None
}

/// A path is shown whole.
pub(super) fn path(out: &mut String, memory: &dyn Peek, at: u64) {
    if at == 0 {
        return addr(out, at);
    }
    match c_string(memory, at, PATH_LIMIT) {
        Some(bytes) => quote(out, &bytes),
        None => addr(out, at),
    }
}

/// argv: every string, shortened to the limit.
pub(super) fn strings(out: &mut String, memory: &dyn Peek, at: u64) {
    if read::<8>(memory, at).is_none() {
        return addr(out, at);
    }
    out.push('[');
    for index in 0.. {
        let Some(pointer) = at.checked_add(index * 8).and_then(|p| read::<8>(memory, p)) else {
            out.push_str(", ...");
            break;
        };
        let pointer = u64::from_le_bytes(pointer);
        if pointer == 0 {
            break;
        }
        if index > 0 {
            out.push_str(", ");
        }
        if index >= ARRAY_LIMIT {
            out.push_str("...");
            break;
        }
        match c_string(memory, pointer, PATH_LIMIT) {
            Some(text) => limited(
                out,
                &text[..text.len().min(STRING_LIMIT)],
                text.len() as u64,
            ),
            None => addr(out, pointer),
        }
    }
    out.push(']');
}

pub(super) fn string_count(out: &mut String, memory: &dyn Peek, at: u64) {
    addr(out, at);
    if at == 0 {
        return;
    }
    let mut count = 0;
    while count < 100_000 {
        match at.checked_add(count * 8).and_then(|p| read::<8>(memory, p)) {
            Some(pointer) if pointer != [0; 8] => count += 1,
            Some(_) => break,
            None => return,
        }
    }
    let _ = write!(
        out,
        " /* {count} var{} */",
        if count == 1 { "" } else { "s" }
    );
}

pub(super) fn signal_set(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<8>(out, memory, at, |out, set| {
        flags::signal_set(out, u64_at(set, 0))
    });
}

pub(super) fn signal_action(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<24>(out, memory, at, |out, action| {
        out.push_str("{sa_handler=");
        match u64_at(action, 0) {
            0 => out.push_str("SIG_DFL"),
            1 => out.push_str("SIG_IGN"),
            handler => hex(out, handler),
        }
        out.push_str(", sa_mask=");
        flags::signal_set(out, u64_at(action, 16));
        out.push_str(", sa_flags=");
        flags::SA.bits(out, u64_at(action, 8));
        out.push('}');
    });
}

pub(super) fn signal_stack(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<24>(out, memory, at, |out, stack| {
        out.push_str("{ss_sp=");
        addr(out, u64_at(stack, 0));
        out.push_str(", ss_flags=");
        flags::SS.bits(out, u64::from(u32_at(stack, 8)));
        let _ = write!(out, ", ss_size={}}}", u64_at(stack, 16));
    });
}

/// struct stat of asm-generic, 128 bytes.
pub(super) fn stat(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<128>(out, memory, at, |out, stat| {
        let mode = u64::from(u32_at(stat, 16));
        out.push_str("{st_mode=");
        flags::mode(out, mode);
        if matches!(mode & 0o170_000, 0o020_000 | 0o060_000) {
            let device = u64_at(stat, 32);
            let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
            let minor = (device & 0xff) | (device >> 12 & !0xff);
            out.push_str(", st_rdev=makedev(");
            let _ = write!(out, "{major:#x}, {minor:#x})");
        } else {
            let _ = write!(out, ", st_size={}", u64_at(stat, 48) as i64);
        }
        out.push_str(", ...}");
    });
}

pub(super) fn statx(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<256>(out, memory, at, |out, stat| {
        out.push_str("{stx_mask=");
        flags::STATX_MASK.bits(out, u64::from(u32_at(stat, 0)));
        out.push_str(", stx_attributes=");
        hex(out, u64_at(stat, 8));
        out.push_str(", stx_mode=");
        flags::mode(out, u64::from(u16_at(stat, 28)));
        let _ = write!(out, ", stx_size={}, ...}}", u64_at(stat, 40));
    });
}

/// `total`: bytes the call stored, for vectors that a read filled.
pub(super) fn iovec(out: &mut String, memory: &dyn Peek, at: u64, count: u64, total: u64) {
    if count == 0 || read::<16>(memory, at).is_none() {
        return if count == 0 {
            out.push_str("[]")
        } else {
            addr(out, at)
        };
    }
    let mut left = total;
    array(out, memory, at, count, |out, entry: &[u8; 16]| {
        let (base, len) = (u64_at(entry, 0), u64_at(entry, 8));
        out.push_str("{iov_base=");
        let shown = len.min(left);
        left = left.saturating_sub(len);
        bytes(out, memory, base, shown);
        let _ = write!(out, ", iov_len={len}}}");
    });
}

fn array<const N: usize>(
    out: &mut String,
    memory: &dyn Peek,
    at: u64,
    count: u64,
    mut show: impl FnMut(&mut String, &[u8; N]),
) {
    out.push('[');
    for index in 0..count {
        if index > 0 {
            out.push_str(", ");
        }
        let entry = at
            .checked_add(index * N as u64)
            .and_then(|at| read::<N>(memory, at));
        match entry {
            Some(entry) if index < ARRAY_LIMIT => show(out, &entry),
            _ => {
                out.push_str("...");
                break;
            }
        }
    }
    out.push(']');
}

pub(super) fn poll_fds(out: &mut String, memory: &dyn Peek, at: u64, count: u64) {
    if at == 0 {
        return addr(out, at);
    }
    array(out, memory, at, count, |out, entry: &[u8; 8]| {
        let _ = write!(out, "{{fd={}, events=", u32_at(entry, 0) as i32);
        flags::POLL.bits(out, u64::from(u16_at(entry, 4)));
        out.push('}');
    });
}

/// Those of the polled descriptors that have events.
pub(super) fn ready_fds(out: &mut String, memory: &dyn Peek, at: u64, count: u64) {
    out.push('[');
    let mut first = true;
    for index in 0..count.min(1024) {
        let Some(entry) = at
            .checked_add(index * 8)
            .and_then(|at| read::<8>(memory, at))
        else {
            break;
        };
        let events = u16_at(&entry, 6);
        if events != 0 {
            if !std::mem::take(&mut first) {
                out.push_str(", ");
            }
            let _ = write!(out, "{{fd={}, revents=", u32_at(&entry, 0) as i32);
            flags::POLL.bits(out, u64::from(events));
            out.push('}');
        }
    }
    out.push(']');
}

pub(super) fn fd_set(out: &mut String, memory: &dyn Peek, at: u64, count: u64) {
    if at == 0 {
        return addr(out, at);
    }
    let count = (count as u32).min(1024) as usize;
    let mut set = [0; 128];
    let len = count.div_ceil(64) * 8;
    if memory.peek(at, &mut set[..len]) != len {
        return addr(out, at);
    }
    bit_list(out, &set[..len], count);
}

fn bit_list(out: &mut String, set: &[u8], count: usize) {
    out.push('[');
    let mut first = true;
    for bit in 0..count {
        if set[bit / 8] >> (bit % 8) & 1 != 0 {
            if !std::mem::take(&mut first) {
                out.push(' ');
            }
            let _ = write!(out, "{bit}");
        }
    }
    out.push(']');
}

pub(super) fn cpus(out: &mut String, memory: &dyn Peek, at: u64, len: u64) {
    let mut set = [0; 128];
    let len = len.min(128) as usize;
    if at == 0 || memory.peek(at, &mut set[..len]) != len {
        return addr(out, at);
    }
    bit_list(out, &set[..len], len * 8);
}

fn time(out: &mut String, bytes: &[u8], unit: &str) {
    let _ = write!(
        out,
        "{{tv_sec={}, tv_{unit}={}}}",
        u64_at(bytes, 0) as i64,
        u64_at(bytes, 8) as i64
    );
}

pub(super) fn timespec(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<16>(out, memory, at, |out, value| time(out, value, "nsec"));
}

pub(super) fn timeval(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<16>(out, memory, at, |out, value| time(out, value, "usec"));
}

pub(super) fn itimer(out: &mut String, memory: &dyn Peek, at: u64, unit: &str) {
    with::<32>(out, memory, at, |out, value| {
        out.push_str("{it_interval=");
        time(out, &value[..16], unit);
        out.push_str(", it_value=");
        time(out, &value[16..], unit);
        out.push('}');
    });
}

pub(super) fn file_times(out: &mut String, memory: &dyn Peek, at: u64) {
    if at == 0 {
        return addr(out, at);
    }
    array(out, memory, at, 2, |out, value: &[u8; 16]| {
        match u64_at(value, 8) {
            0x3fff_ffff => out.push_str("UTIME_NOW"),
            0x3fff_fffe => out.push_str("UTIME_OMIT"),
            _ => time(out, value, "nsec"),
        }
    });
}

pub(super) fn wait_status(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<4>(out, memory, at, |out, value| {
        let status = u32_at(value, 0);
        out.push_str("[{");
        if status & 0x7f == 0 {
            let _ = write!(
                out,
                "WIFEXITED(s) && WEXITSTATUS(s) == {}",
                status >> 8 & 0xff
            );
        } else if status == 0xffff {
            out.push_str("WIFCONTINUED(s)");
        } else if status & 0xff == 0x7f {
            out.push_str("WIFSTOPPED(s) && WSTOPSIG(s) == ");
            flags::signal(out, u64::from(status >> 8 & 0xff));
        } else {
            out.push_str("WIFSIGNALED(s) && WTERMSIG(s) == ");
            flags::signal(out, u64::from(status & 0x7f));
            if status & 0x80 != 0 {
                out.push_str(" && WCOREDUMP(s)");
            }
        }
        out.push_str("}]");
    });
}

pub(super) fn fd_pair(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<8>(out, memory, at, |out, pair| {
        let _ = write!(
            out,
            "[{}, {}]",
            u32_at(pair, 0) as i32,
            u32_at(pair, 4) as i32
        );
    });
}

pub(super) fn rlimit(out: &mut String, memory: &dyn Peek, at: u64) {
    let one = |out: &mut String, value: u64| match value {
        u64::MAX => out.push_str("RLIM64_INFINITY"),
        v if v > 1024 && v.is_multiple_of(1024) => {
            let _ = write!(out, "{}*1024", v / 1024);
        }
        v => {
            let _ = write!(out, "{v}");
        }
    };
    with::<16>(out, memory, at, |out, value| {
        out.push_str("{rlim_cur=");
        one(out, u64_at(value, 0));
        out.push_str(", rlim_max=");
        one(out, u64_at(value, 8));
        out.push('}');
    });
}

pub(super) fn rusage(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<32>(out, memory, at, |out, value| {
        out.push_str("{ru_utime=");
        time(out, &value[..16], "usec");
        out.push_str(", ru_stime=");
        time(out, &value[16..], "usec");
        out.push_str(", ...}");
    });
}

pub(super) fn utsname(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<130>(out, memory, at, |out, names| {
        let field = |from: usize| {
            let bytes = &names[from..from + 65];
            &bytes[..bytes.iter().position(|&b| b == 0).unwrap_or(65)]
        };
        out.push_str("{sysname=");
        quote(out, field(0));
        out.push_str(", nodename=");
        quote(out, field(65));
        out.push_str(", ...}");
    });
}

pub(super) fn sysinfo(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<112>(out, memory, at, |out, info| {
        let word = |index: usize| u64_at(info, index * 8);
        let _ = write!(
            out,
            "{{uptime={}, loads=[{}, {}, {}], totalram={}, freeram={}, sharedram={}, bufferram={}, totalswap={}, freeswap={}, procs={}, totalhigh={}, freehigh={}, mem_unit={}}}",
            word(0),
            word(1),
            word(2),
            word(3),
            word(4),
            word(5),
            word(6),
            word(7),
            word(8),
            word(9),
            u16_at(info, 80),
            u64_at(info, 88),
            u64_at(info, 96),
            u32_at(info, 104)
        );
    });
}

pub(super) fn dirents(out: &mut String, memory: &dyn Peek, at: u64, len: u64) {
    let mut count = 0;
    let mut seen = 0;
    while seen < len {
        let Some(header) = at.checked_add(seen).and_then(|at| read::<19>(memory, at)) else {
            break;
        };
        let size = u64::from(u16_at(&header, 16));
        if size == 0 {
            break;
        }
        seen += size;
        count += 1;
    }
    addr(out, at);
    let _ = write!(
        out,
        " /* {count} {} */",
        if count == 1 { "entry" } else { "entries" }
    );
}

pub(super) fn boxed_int(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<4>(out, memory, at, |out, value| {
        let _ = write!(out, "[{}]", u32_at(value, 0) as i32);
    });
}

pub(super) fn boxed_long(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<8>(out, memory, at, |out, value| {
        let _ = write!(out, "[{}]", u64_at(value, 0) as i64);
    });
}

fn one_epoll_event(out: &mut String, event: &[u8; 16]) {
    out.push_str("{events=");
    flags::EPOLL.bits(out, u64::from(u32_at(event, 0)));
    let _ = write!(
        out,
        ", data={{u32={}, u64={}}}}}",
        u32_at(event, 8),
        u64_at(event, 8)
    );
}

pub(super) fn epoll_event(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<16>(out, memory, at, one_epoll_event);
}

pub(super) fn epoll_events(out: &mut String, memory: &dyn Peek, at: u64, count: u64) {
    array(out, memory, at, count, one_epoll_event);
}

pub(super) fn sock_addr(out: &mut String, memory: &dyn Peek, at: u64, len: u64) {
    let mut bytes = [0; 128];
    let wanted = (len as u32).min(128) as usize;
    if at == 0 || wanted < 2 || memory.peek(at, &mut bytes[..wanted]) != wanted {
        return addr(out, at);
    }
    let bytes = &bytes[..wanted];
    out.push_str("{sa_family=");
    flags::AF.one(out, u64::from(u16_at(bytes, 0)));
    match (u16_at(bytes, 0), &bytes[2..]) {
        (1, name) if name.first() == Some(&0) => {
            out.push_str(", sun_path=@");
            quote(out, &name[1..]);
        }
        (1, name) if !name.is_empty() => {
            let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            out.push_str(", sun_path=");
            quote(out, &name[..end]);
        }
        (2, rest) if rest.len() >= 6 => {
            let port = u16::from_be_bytes([rest[0], rest[1]]);
            let _ = write!(
                out,
                ", sin_port=htons({port}), sin_addr=inet_addr(\"{}.{}.{}.{}\")",
                rest[2], rest[3], rest[4], rest[5]
            );
        }
        _ => {}
    }
    out.push('}');
}

pub(super) fn out_sock_addr(out: &mut String, memory: &dyn Peek, at: u64, len_at: u64) {
    match read::<4>(memory, len_at) {
        Some(len) => sock_addr(out, memory, at, u64::from(u32_at(&len, 0))),
        None => addr(out, at),
    }
}

pub(super) fn flock(out: &mut String, memory: &dyn Peek, at: u64) {
    with::<32>(out, memory, at, |out, lock| {
        let kind = match u16_at(lock, 0) {
            0 => "F_RDLCK",
            1 => "F_WRLCK",
            2 => "F_UNLCK",
            _ => "F_???",
        };
        let _ = write!(out, "{{l_type={kind}, l_whence=");
        flags::SEEK.one(out, u64::from(u16_at(lock, 2)));
        let _ = write!(
            out,
            ", l_start={}, l_len={}}}",
            u64_at(lock, 8) as i64,
            u64_at(lock, 16) as i64
        );
    });
}

pub(super) fn clone_flags(out: &mut String, value: u64) {
    out.push_str("flags=");
    let (high, signal) = (value & 0xffff_ff00, value & 0xff);
    if high != 0 || signal == 0 {
        flags::CLONE.bits(out, high);
    }
    if signal != 0 {
        if high != 0 {
            out.push('|');
        }
        flags::signal(out, signal);
    }
}

const FUTEX_PRIVATE: u64 = 128;
const FUTEX_REALTIME: u64 = 256;

pub(super) fn futex_op(out: &mut String, value: u64) {
    let value = value & 0xffff_ffff;
    flags::FUTEX.one(out, value & !(FUTEX_PRIVATE | FUTEX_REALTIME));
    if value & FUTEX_PRIVATE != 0 {
        out.push_str("_PRIVATE");
    }
    if value & FUTEX_REALTIME != 0 {
        out.push_str("|FUTEX_CLOCK_REALTIME");
    }
}

/// The arguments of futex(2) after the operation, by operation.
pub(super) fn futex_tail(out: &mut String, memory: &dyn Peek, args: &[u64; 6]) {
    let op = args[1] & 0x7f;
    let _ = match op {
        7 | 8 => return,
        6 | 13 => {
            timespec(out, memory, args[3]);
            return;
        }
        // FUTEX_WAKE's count is an int; compared values are shown unsigned.
        1 | 3 | 4 | 5 | 10 | 12 => write!(out, "{}", args[2] as i32),
        _ => write!(out, "{}", args[2] as u32),
    };
    let bitset = |out: &mut String, value: u64| {
        out.push_str(", ");
        if value as u32 == u32::MAX {
            out.push_str("FUTEX_BITSET_MATCH_ANY");
        } else {
            hex(out, value & 0xffff_ffff);
        }
    };
    match op {
        0 => {
            out.push_str(", ");
            timespec(out, memory, args[3]);
        }
        9 => {
            out.push_str(", ");
            timespec(out, memory, args[3]);
            bitset(out, args[5]);
        }
        10 => bitset(out, args[5]),
        11 => {
            out.push_str(", ");
            timespec(out, memory, args[3]);
            out.push_str(", ");
            addr(out, args[4]);
        }
        3..=5 | 12 => {
            let _ = write!(out, ", {}, ", args[3] as i32);
            addr(out, args[4]);
            if op != 3 {
                let _ = write!(out, ", {:#x}", args[5] as u32);
            }
        }
        _ => {}
    }
}

pub(super) fn ioctl_tail(out: &mut String, memory: &dyn Peek, args: &[u64; 6], ok: bool) {
    match args[1] {
        0x5413 | 0x5414 if ok => with::<8>(out, memory, args[2], |out, size| {
            let _ = write!(
                out,
                "{{ws_row={}, ws_col={}, ws_xpixel={}, ws_ypixel={}}}",
                u16_at(size, 0),
                u16_at(size, 2),
                u16_at(size, 4),
                u16_at(size, 6)
            );
        }),
        0x540f | 0x5410 | 0x541b | 0x5421 | 0x5429 if ok => boxed_int(out, memory, args[2]),
        0x5401..=0x5404 if ok => with::<36>(out, memory, args[2], |out, termios| {
            let word = |at| u32_at(termios, at);
            let _ = write!(
                out,
                "{{c_iflag={:#x}, c_oflag={:#x}, c_cflag={:#x}, c_lflag={:#x}, ...}}",
                word(0),
                word(4),
                word(8),
                word(12)
            );
        }),
        0x540b | 0x540a | 0x5409 | 0x540e => {
            let _ = write!(out, "{}", args[2]);
        }
        0x5450 | 0x5451 | 0x5422 => {}
        _ => addr(out, args[2]),
    }
}

pub(super) fn prctl_tail(out: &mut String, memory: &dyn Peek, args: &[u64; 6]) {
    match args[0] {
        15 => match c_string(memory, args[1], 16) {
            Some(name) => quote(out, &name),
            None => addr(out, args[1]),
        },
        1 => flags::signal(out, args[1]),
        3 | 7 | 21 | 30 | 70 => {}
        4 | 8 | 23 | 24 | 29 | 36 => {
            let _ = write!(out, "{}", args[1]);
        }
        _ => {
            for (at, arg) in args[1..5].iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                hex(out, *arg);
            }
        }
    }
}
