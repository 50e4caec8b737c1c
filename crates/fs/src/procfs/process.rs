//! What /proc/PID says of a process, and /proc/PID/task/TID of a thread.

use super::ProcShared;
use crate::mount::Mount;
use crate::{File, ProcSnapshot, ThreadSnapshot};
use rivix_abi::stat::{major, minor};
use rivix_abi::{Errno, UserAddress};
use rivix_mem::Prot;
use std::fmt::Write;
use std::hash::{Hash, Hasher};

type Make = fn(&ProcShared, i32) -> Result<Vec<u8>, Errno>;
type Store = fn(&ProcShared, i32, &[u8]) -> Result<(), Errno>;

/// A text of a process directory. `make` and `store` get the id
/// of the process, or of the thread in whose directory it is.
pub(super) struct ProcessFile {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) make: Make,
    pub(super) store: Option<Store>,
    /// It is in no thread's directory.
    pub(super) is_process_only: bool,
    /// Who may not look into the process may not open it either; one without memory
    /// has nothing to hide.
    pub(super) is_guarded: bool,
}

/// Files are statics: one per name.
impl Hash for ProcessFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

pub(super) static LINKS: &[&str] = &["cwd", "exe", "root"];

const fn file(name: &'static str, mode: u32, make: Make) -> ProcessFile {
    ProcessFile {
        name,
        mode,
        make,
        store: None,
        is_process_only: false,
        is_guarded: false,
    }
}

const fn writable(name: &'static str, mode: u32, make: Make, store: Store) -> ProcessFile {
    ProcessFile {
        name,
        mode,
        make,
        store: Some(store),
        is_process_only: false,
        is_guarded: false,
    }
}

/// What only those may open who may look into the process.
const fn guarded(name: &'static str, mode: u32, make: Make) -> ProcessFile {
    ProcessFile {
        is_guarded: true,
        ..file(name, mode, make)
    }
}

pub(super) static PROCESS_FILES: &[ProcessFile] = &[
    guarded(
        "auxv",
        0o400,
        |shared, id| Ok(with_memory(shared, id)?.auxv),
    ),
    file("cgroup", 0o444, |_, _| Ok(b"0::/\n".to_vec())),
    file("cmdline", 0o444, |shared, id| {
        let process = shared.process(id)?;
        Ok(memory_range(&process, process.args))
    }),
    writable("comm", 0o644, comm, |shared, id, bytes| {
        let name = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
        shared.info()?.set_comm(id, &name[..name.len().min(15)])
    }),
    ProcessFile {
        is_process_only: true,
        ..writable("coredump_filter", 0o644, core_filter, set_core_filter)
    },
    file("cpuset", 0o444, |_, _| Ok(b"/\n".to_vec())),
    guarded("environ", 0o400, |shared, id| {
        let process = with_memory(shared, id)?;
        Ok(memory_range(&process, process.env))
    }),
    file("gid_map", 0o644, |_, _| Ok(ID_MAP.to_vec())),
    file("io", 0o400, |_, _| {
        Ok(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec())
    }),
    file("limits", 0o444, limits),
    file("loginuid", 0o644, |_, _| Ok(b"4294967295".to_vec())),
    guarded("maps", 0o444, maps),
    file("mountinfo", 0o444, |shared, _| {
        Ok(mountinfo(&shared.mounts()))
    }),
    file("mounts", 0o444, |shared, _| Ok(mounts(&shared.mounts()))),
    file("oom_adj", 0o644, |_, _| Ok(b"0\n".to_vec())),
    file("oom_score", 0o444, |_, _| Ok(b"0\n".to_vec())),
    writable(
        "oom_score_adj",
        0o644,
        |shared, id| Ok(format!("{}\n", shared.process(id)?.oom_score_adj).into_bytes()),
        |shared, id, bytes| {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Errno::EINVAL)?
                .trim();
            let value: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
            if !(-1000..=1000).contains(&value) {
                return Err(Errno::EINVAL);
            }
            shared.info()?.set_oom_score_adj(id, value);
            Ok(())
        },
    ),
    file("personality", 0o400, |_, _| Ok(b"00000000\n".to_vec())),
    file("schedstat", 0o444, |_, _| Ok(b"0 0 0\n".to_vec())),
    file("sessionid", 0o444, |_, _| Ok(b"4294967295".to_vec())),
    file("setgroups", 0o644, |_, _| Ok(b"allow\n".to_vec())),
    guarded("smaps", 0o444, smaps),
    file("stat", 0o444, stat),
    file("statm", 0o444, statm),
    file("status", 0o444, status),
    file("timerslack_ns", 0o666, |_, _| Ok(b"50000\n".to_vec())),
    file("uid_map", 0o644, |_, _| Ok(ID_MAP.to_vec())),
    file("wchan", 0o444, |_, _| Ok(b"0".to_vec())),
];

/// Nothing when the process has no memory (core(5)).
fn core_filter(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    Ok(match process.mm {
        Some(_) => format!("{:08x}\n", process.core_filter).into_bytes(),
        None => Vec::new(),
    })
}

/// A number in C's notation. Bits that mean nothing are dropped.
fn set_core_filter(shared: &ProcShared, id: i32, bytes: &[u8]) -> Result<(), Errno> {
    let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match (text.get(..2), text) {
        (Some("0x" | "0X"), _) => (&text[2..], 16),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    };
    if digits.is_empty()
        || !digits
            .bytes()
            .all(|digit| char::from(digit).is_digit(radix))
    {
        return Err(Errno::EINVAL);
    }
    let bits = u32::from_str_radix(digits, radix).map_err(|_| Errno::ERANGE)?;
    shared.info()?.set_core_filter(id, bits)
}

const ID_MAP: &[u8] = b"         0          0 4294967295\n";

/// Longest argument list shown.
const LONGEST: u64 = 1 << 21;

/// A process that can have memory; ESRCH: the kernel's own tasks never do.
fn with_memory(shared: &ProcShared, id: i32) -> Result<ProcSnapshot, Errno> {
    let process = shared.process(id)?;
    if process.is_kernel {
        return Err(Errno::ESRCH);
    }
    Ok(process)
}

/// Guest memory from start to end; what cannot be read ends it.
fn memory_range(process: &ProcSnapshot, (start, end): (u64, u64)) -> Vec<u8> {
    let Some(mm) = &process.mm else {
        return Vec::new();
    };
    let len = end.saturating_sub(start).min(LONGEST);
    let mut bytes = vec![0; len as usize];
    let n = mm.read_partial(UserAddress(start), &mut bytes);
    bytes.truncate(n);
    bytes
}

fn thread(shared: &ProcShared, tid: i32) -> Result<ThreadSnapshot, Errno> {
    shared.info()?.thread(tid).ok_or(Errno::ESRCH)
}

fn comm(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let mut comm = match thread(shared, id) {
        Ok(thread) => thread.comm,
        Err(_) => shared.process(id)?.comm,
    };
    comm.push(b'\n');
    Ok(comm)
}

/// The parts of memory that stat, statm and status count, in bytes.
#[derive(Default)]
struct Memory {
    size: u64,
    resident: u64,
    data: u64,
    stack: u64,
    exec: u64,
    locked: u64,
}

fn memory(process: &ProcSnapshot) -> Memory {
    let Some(mm) = &process.mm else {
        return Memory::default();
    };
    let usage = mm.usage();
    Memory {
        size: usage.total,
        resident: mm.resident_bytes(),
        data: usage.data,
        stack: usage.stack,
        exec: usage.exec,
        locked: usage.locked,
    }
}

fn maps(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    let Some(mm) = &process.mm else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for map in mm.mappings() {
        map_line(&mut out, &map);
    }
    Ok(out)
}

fn map_line(out: &mut Vec<u8>, map: &rivix_mem::MappingInfo) {
    let flag = |prot, letter| if map.prot.contains(prot) { letter } else { '-' };
    let (dev, ino) = map.dev_ino;
    let head = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        map.range.start,
        map.range.end,
        flag(Prot::READ, 'r'),
        flag(Prot::WRITE, 'w'),
        flag(Prot::EXEC, 'x'),
        if map.shared { 's' } else { 'p' },
        map.offset,
        major(dev),
        minor(dev),
        ino
    );
    if map.name.is_empty() {
        out.extend_from_slice(head.as_bytes());
    } else {
        // Names begin at one column.
        out.extend_from_slice(format!("{head:<73}").as_bytes());
        for &byte in &map.name {
            match byte {
                b'\n' => out.extend_from_slice(b"\\012"),
                byte => out.push(byte),
            }
        }
    }
    out.push(b'\n');
}

fn smaps(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    let Some(mm) = &process.mm else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for map in mm.mappings() {
        map_line(&mut out, &map);
        let size = (map.range.end - map.range.start) / 1024;
        out.extend_from_slice(
            format!(
                "Size:           {size:>8} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
            )
            .as_bytes(),
        );
    }
    Ok(out)
}

const CLASSIC_SIGNALS: u64 = 0x7fff_ffff;

/// proc_pid_stat(5), 52 fields.
fn stat(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    let one = thread(shared, id).ok();
    // A process directory sums its threads; a thread's shows itself.
    let is_thread = one.as_ref().is_some_and(|one| one.tid != process.pid);
    let (state, comm, utime, stime, start) = match (&one, is_thread) {
        (Some(one), true) => (one.state, &one.comm, one.utime, one.stime, one.start_ticks),
        _ => (
            own_state(process.state, &one),
            &process.comm,
            process.utime,
            process.stime,
            process.start_ticks,
        ),
    };
    let one = one.clone().unwrap_or_default();
    let (minor_faults, major_faults) = if is_thread {
        (one.minor_faults, one.major_faults)
    } else {
        (process.minor_faults, process.major_faults)
    };
    let memory = memory(&process);
    let mut out = format!("{} (", if is_thread { id } else { process.pid }).into_bytes();
    out.extend_from_slice(comm);
    let rss_limit = process.limits[5].0;
    let mut fields: Vec<i128> = vec![
        process.ppid.into(),
        process.pgid.into(),
        process.sid.into(),
        process.tty_nr.into(),
        process.tpgid.into(),
        process.flags.into(),
        minor_faults.into(),
        process.child_minor_faults.into(),
        major_faults.into(),
        process.child_major_faults.into(),
        utime.into(),
        stime.into(),
        process.cutime.into(),
        process.cstime.into(),
        i128::from(20 + process.nice),
        process.nice.into(),
        process.threads as i128,
        0,
        start.into(),
        memory.size.into(),
        (memory.resident / 4096).into(),
        rss_limit.into(),
        process.code.0.into(),
        process.code.1.into(),
        process.start_stack.into(),
        0, // esp and eip of running processes are not shown
        0,
        // The old format has room for the classic signals only.
        (one.pending & CLASSIC_SIGNALS).into(),
        (one.blocked & CLASSIC_SIGNALS).into(),
        (process.ignored & CLASSIC_SIGNALS).into(),
        (process.caught & CLASSIC_SIGNALS).into(),
        0,
        0,
        0,
        process.exit_signal.into(),
        one.processor.into(),
        0,
        0,
        0,
        0,
        0,
        process.data.0.into(),
        process.data.1.into(),
        process.start_brk.into(),
        process.args.0.into(),
        process.args.1.into(),
        process.env.0.into(),
        process.env.1.into(),
    ];
    fields.push(process.exit_code.into());

    out.extend_from_slice(format!(") {}", letter(state)).as_bytes());
    for field in fields {
        out.extend_from_slice(format!(" {field}").as_bytes());
    }
    out.push(b'\n');
    Ok(out)
}

/// A process runs or sleeps as its leader does; it is stopped or dead as a whole.
fn own_state(process: char, leader: &Option<ThreadSnapshot>) -> char {
    match leader {
        Some(leader) if matches!(process, 'R' | 'S') => leader.state,
        _ => process,
    }
}

/// A state that was never set reads as sleeping.
fn letter(state: char) -> char {
    if state == '\0' { 'S' } else { state }
}

fn statm(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    let memory = memory(&process);
    let pages = |bytes: u64| bytes / 4096;
    Ok(format!(
        "{} {} 0 {} 0 {} 0\n",
        pages(memory.size),
        pages(memory.resident),
        pages(memory.exec),
        pages(memory.data + memory.stack)
    )
    .into_bytes())
}

/// proc_pid_status(5).
fn status(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    let process = shared.process(id)?;
    let one = thread(shared, id).ok();
    let shown = if one.as_ref().is_some_and(|one| one.tid != process.pid) {
        id
    } else {
        process.pid
    };
    let state = letter(match &one {
        Some(one) if shown != process.pid => one.state,
        one => own_state(process.state, one),
    });
    let state_name = match state {
        'R' => "running",
        'D' => "disk sleep",
        'T' => "stopped",
        't' => "tracing stop",
        'Z' => "zombie",
        'X' => "dead",
        _ => "sleeping",
    };
    let comm = one.as_ref().map_or(&process.comm, |one| &one.comm);
    let one = one.clone().unwrap_or_default();
    let mut out = String::new();
    let _ = write!(
        out,
        "Name:\t{}\nUmask:\t{:04o}\nState:\t{state} ({state_name})\nTgid:\t{}\nNgid:\t0\nPid:\t{shown}\nPPid:\t{}\nTracerPid:\t0\n",
        comm.escape_ascii(),
        process.umask,
        process.pid,
        process.ppid
    );
    let ids = |ids: [u32; 4]| format!("{}\t{}\t{}\t{}", ids[0], ids[1], ids[2], ids[3]);
    let _ = writeln!(
        out,
        "Uid:\t{}\nGid:\t{}",
        ids(process.uids),
        ids(process.gids)
    );
    let slots = process.files.as_ref().map_or(0, |files| files.count());
    let _ = write!(
        out,
        "FDSize:\t{}\nGroups:\t",
        slots.next_multiple_of(64).max(64)
    );
    for group in &process.groups {
        let _ = write!(out, "{group} ");
    }
    let _ = writeln!(
        out,
        " \nNStgid:\t{}\nNSpid:\t{shown}\nNSpgid:\t{}\nNSsid:\t{}\nKthread:\t{}",
        process.pid,
        process.pgid,
        process.sid,
        u8::from(process.is_kernel)
    );
    if process.mm.is_some() {
        let memory = memory(&process);
        let rows = [
            ("VmPeak", memory.size),
            ("VmSize", memory.size),
            ("VmLck", memory.locked),
            ("VmPin", 0),
            ("VmHWM", memory.resident),
            ("VmRSS", memory.resident),
            ("RssAnon", memory.resident),
            ("RssFile", 0),
            ("RssShmem", 0),
            ("VmData", memory.data),
            ("VmStk", memory.stack),
            ("VmExe", memory.exec),
            ("VmLib", 0),
            ("VmPTE", 0),
            ("VmSwap", 0),
        ];
        for (name, bytes) in rows {
            let _ = writeln!(out, "{name}:\t{:>8} kB", bytes / 1024);
        }
        out.push_str("HugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t0\n");
    }
    let _ = writeln!(out, "Threads:\t{}", process.threads);
    let _ = writeln!(
        out,
        "SigQ:\t{}/{}",
        process.queued_signals, process.limits[11].0
    );
    let sets = [
        ("SigPnd", one.pending),
        ("ShdPnd", process.shared_pending),
        ("SigBlk", one.blocked),
        ("SigIgn", process.ignored),
        ("SigCgt", process.caught),
        ("CapInh", process.caps[0]),
        ("CapPrm", process.caps[1]),
        ("CapEff", process.caps[2]),
        ("CapBnd", process.caps[3]),
        ("CapAmb", process.caps[4]),
    ];
    for (name, set) in sets {
        let _ = writeln!(out, "{name}:\t{set:016x}");
    }
    let _ = writeln!(
        out,
        "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}",
        u8::from(process.no_new_privs),
        process.seccomp,
        process.seccomp_filters
    );
    let _ = writeln!(
        out,
        "Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\nMems_allowed_list:\t0",
        cpu_mask(&one.cpus_allowed),
        cpu_list(&one.cpus_allowed)
    );
    let _ = writeln!(
        out,
        "voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}",
        one.voluntary_switches, one.involuntary_switches
    );
    Ok(out.into_bytes())
}

/// As bitmap_print: 32-bit groups, highest first, without leading zero groups.
fn cpu_mask(words: &[u64]) -> String {
    let halves: Vec<u32> = words
        .iter()
        .flat_map(|&w| [w as u32, (w >> 32) as u32])
        .collect();
    let top = halves.iter().rposition(|&half| half != 0).unwrap_or(0);
    let mut out = format!("{:x}", halves.get(top).copied().unwrap_or(0));
    for half in halves.iter().take(top).rev() {
        let _ = write!(out, ",{half:08x}");
    }
    out
}

/// As in cpuset(7): ranges, ascending.
fn cpu_list(words: &[u64]) -> String {
    let is_set = |cpu: usize| {
        words
            .get(cpu / 64)
            .is_some_and(|word| word >> (cpu % 64) & 1 != 0)
    };
    let mut out = String::new();
    let mut cpu = 0;
    while cpu < words.len() * 64 {
        if !is_set(cpu) {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while is_set(cpu + 1) {
            cpu += 1;
        }
        let comma = if out.is_empty() { "" } else { "," };
        let _ = if first == cpu {
            write!(out, "{comma}{first}")
        } else {
            write!(out, "{comma}{first}-{cpu}")
        };
        cpu += 1;
    }
    out
}

/// proc_pid_limits(5), in resource order.
fn limits(shared: &ProcShared, id: i32) -> Result<Vec<u8>, Errno> {
    const NAMES: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let process = shared.process(id)?;
    let mut out = format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    let show = |value: u64| {
        if value == u64::MAX {
            "unlimited".into()
        } else {
            value.to_string()
        }
    };
    for ((name, unit), (soft, hard)) in NAMES.iter().zip(process.limits) {
        let _ = writeln!(
            out,
            "{name:<25} {:<20} {:<20} {unit:<10}",
            show(soft),
            show(hard)
        );
    }
    Ok(out.into_bytes())
}

fn mounts(mounts: &[std::sync::Arc<Mount>]) -> Vec<u8> {
    let mut out = Vec::new();
    for mount in mounts {
        let access = if mount.is_readonly { "ro" } else { "rw" };
        out.extend_from_slice(format!("{} ", mount.source).as_bytes());
        out.extend(escaped(&mount.path));
        let tail = format!(" {} {access},{} 0 0\n", mount.fs_type, mount.options);
        out.extend_from_slice(tail.as_bytes());
    }
    out
}

fn mountinfo(mounts: &[std::sync::Arc<Mount>]) -> Vec<u8> {
    let mut out = Vec::new();
    for mount in mounts {
        let dev = mount.root.stat().map_or(0, |stat| stat.dev);
        let access = if mount.is_readonly { "ro" } else { "rw" };
        let head = format!(
            "{} {} {}:{} / ",
            mount.id,
            mount.parent_id,
            major(dev),
            minor(dev)
        );
        out.extend_from_slice(head.as_bytes());
        out.extend(escaped(&mount.path));
        let tail = format!(
            " {access},{} - {} {} {access}\n",
            mount.options, mount.fs_type, mount.source
        );
        out.extend_from_slice(tail.as_bytes());
    }
    out
}

/// A path with blanks as octal, as proc_pid_mounts(5) writes them.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                out.extend_from_slice(format!("\\{byte:03o}").as_bytes())
            }
            byte => out.push(byte),
        }
    }
    out
}

/// proc_pid_fdinfo(5).
pub(super) fn fdinfo(file: &File) -> String {
    let mut out = format!(
        "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n",
        *file.offset(),
        file.flags(),
        file.place().mount.id,
        file.stat().map_or(0, |stat| stat.ino)
    );
    file.ops().fdinfo(file, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_sets_print_as_linux_prints_them() {
        let check = |words: &[u64], mask: &str, list: &str| {
            assert_eq!(
                (cpu_mask(words).as_str(), cpu_list(words).as_str()),
                (mask, list)
            );
        };
        check(&[0b11], "3", "0-1");
        check(&[0b1011], "b", "0-1,3");
        check(&[0, 1], "1,00000000,00000000", "64");
        check(&[u64::MAX], "ffffffff,ffffffff", "0-63");
        check(&[], "0", "");
    }
}
