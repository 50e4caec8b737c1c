//! What /proc says of the machine.

use super::ProcShared;
use rivix_abi::Errno;
use rivix_abi::stat::{S_IFDIR, S_IFREG};
use std::fmt::Write;
use std::hash::{Hash, Hasher};

type Make = fn(&ProcShared) -> Result<Vec<u8>, Errno>;
type Store = fn(&ProcShared, &[u8]) -> Result<(), Errno>;

enum Content {
    Dir(&'static [SystemEntry]),
    Text(Make),
    Writable(Make, Store),
}

/// A file or directory with a fixed name.
pub(super) struct SystemEntry {
    pub(super) name: &'static str,
    content: Content,
}

/// Entries are statics: one per address.
impl Hash for SystemEntry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).addr().hash(state);
    }
}

impl SystemEntry {
    pub(super) fn is_dir(&self) -> bool {
        matches!(self.content, Content::Dir(_))
    }

    pub(super) fn children(&self) -> &'static [SystemEntry] {
        match self.content {
            Content::Dir(children) => children,
            _ => &[],
        }
    }

    pub(super) fn mode(&self) -> u32 {
        match self.content {
            Content::Dir(_) => S_IFDIR | 0o555,
            Content::Text(_) => S_IFREG | 0o444,
            Content::Writable(..) => S_IFREG | 0o644,
        }
    }

    pub(super) fn make(&self) -> Make {
        match self.content {
            Content::Dir(_) => |_| Err(Errno::EISDIR),
            Content::Text(make) | Content::Writable(make, _) => make,
        }
    }

    pub(super) fn store(&self) -> Option<Store> {
        match self.content {
            Content::Writable(_, store) => Some(store),
            _ => None,
        }
    }
}

pub(super) fn find(entries: &'static [SystemEntry], name: &[u8]) -> Option<&'static SystemEntry> {
    entries.iter().find(|entry| entry.name.as_bytes() == name)
}

const fn dir(name: &'static str, children: &'static [SystemEntry]) -> SystemEntry {
    SystemEntry {
        name,
        content: Content::Dir(children),
    }
}

const fn text(name: &'static str, make: Make) -> SystemEntry {
    SystemEntry {
        name,
        content: Content::Text(make),
    }
}

const fn writable(name: &'static str, make: Make, store: Store) -> SystemEntry {
    SystemEntry {
        name,
        content: Content::Writable(make, store),
    }
}

/// A line that never changes.
macro_rules! line {
    ($name:literal, $value:literal) => {
        text($name, |_| Ok(concat!($value, "\n").as_bytes().to_vec()))
    };
}

pub(super) static ROOT: &[SystemEntry] = &[
    line!("cmdline", "rivix"),
    text("cpuinfo", cpuinfo),
    text("devices", |_| Ok(DEVICES.as_bytes().to_vec())),
    text("filesystems", |_| {
        Ok(b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tsockfs\n\trivixfs\n".to_vec())
    }),
    text("loadavg", loadavg),
    text("meminfo", meminfo),
    text("stat", stat),
    text("swaps", |_| {
        Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec())
    }),
    dir("sys", SYS),
    text("uptime", uptime),
    text("version", version),
    text("vmstat", |shared| {
        let system = shared.info()?.system();
        Ok(format!("nr_free_pages {}\n", system.free_memory / 4096).into_bytes())
    }),
];

static SYS: &[SystemEntry] = &[
    dir("fs", FS),
    dir("kernel", KERNEL),
    dir("net", &[dir("core", &[line!("somaxconn", "4096")])]),
    dir("vm", VM),
];

static FS: &[SystemEntry] = &[
    line!("aio-max-nr", "65536"),
    line!("file-max", "9223372036854775807"),
    dir(
        "inotify",
        &[
            line!("max_queued_events", "16384"),
            line!("max_user_instances", "128"),
            line!("max_user_watches", "65536"),
        ],
    ),
    line!("nr_open", "1048576"),
    line!("overflowgid", "65534"),
    line!("overflowuid", "65534"),
    line!("pipe-max-size", "1048576"),
    line!("pipe-user-pages-hard", "0"),
    line!("pipe-user-pages-soft", "16384"),
    line!("protected_fifos", "0"),
    line!("protected_hardlinks", "1"),
    line!("protected_regular", "0"),
    line!("protected_symlinks", "1"),
    line!("suid_dumpable", "0"),
];

static KERNEL: &[SystemEntry] = &[
    line!("arch", "riscv64"),
    line!("cap_last_cap", "40"),
    line!("core_pattern", "core"),
    line!("core_uses_pid", "0"),
    text("domainname", |shared| {
        Ok(one_line(shared.info()?.system().domainname))
    }),
    writable(
        "hostname",
        |shared| Ok(one_line(shared.info()?.system().hostname)),
        |shared, bytes| {
            let name = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
            shared.info()?.set_hostname(&name[..name.len().min(64)]);
            Ok(())
        },
    ),
    line!("msgmax", "8192"),
    line!("msgmnb", "16384"),
    line!("msgmni", "32000"),
    line!("ngroups_max", "65536"),
    text("osrelease", |shared| {
        Ok(one_line(shared.info()?.system().osrelease.into_bytes()))
    }),
    line!("ostype", "Linux"),
    line!("overflowgid", "65534"),
    line!("overflowuid", "65534"),
    line!("panic", "0"),
    line!("perf_event_paranoid", "3"),
    text("pid_max", |shared| {
        Ok(format!("{}\n", shared.info()?.system().pid_max).into_bytes())
    }),
    line!("printk", "4\t4\t1\t7"),
    dir(
        "random",
        &[
            text("boot_id", |shared| {
                Ok(uuid_line(shared.info()?.system().boot_id))
            }),
            line!("entropy_avail", "256"),
            line!("poolsize", "256"),
            text("uuid", |_| {
                let mut bytes = [0; 16];
                crate::host::sys::getrandom(&mut bytes)?;
                Ok(uuid_line(bytes))
            }),
        ],
    ),
    line!("randomize_va_space", "2"),
    line!("sched_rt_runtime_us", "950000"),
    line!("sem", "32000\t1024000000\t500\t32000"),
    line!("shmall", "18446744073692774399"),
    line!("shmmax", "18446744073692774399"),
    line!("shmmni", "4096"),
    line!("tainted", "0"),
    line!("threads-max", "192730"),
    text("version", |shared| {
        Ok(one_line(shared.info()?.system().version.into_bytes()))
    }),
    dir("yama", &[line!("ptrace_scope", "1")]),
];

static VM: &[SystemEntry] = &[
    line!("dirty_ratio", "20"),
    line!("drop_caches", "0"),
    text("max_map_count", |shared| {
        Ok(format!("{}\n", shared.info()?.system().max_map_count).into_bytes())
    }),
    text("mmap_min_addr", |shared| {
        Ok(format!("{}\n", shared.info()?.system().mmap_min_addr).into_bytes())
    }),
    line!("nr_hugepages", "0"),
    line!("overcommit_kbytes", "0"),
    line!("overcommit_memory", "0"),
    line!("overcommit_ratio", "50"),
    line!("panic_on_oom", "0"),
    line!("swappiness", "60"),
    line!("vfs_cache_pressure", "100"),
];

const DEVICES: &str =
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n136 pts\n\nBlock devices:\n";

fn one_line(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

/// A random UUID as text (RFC 4122, version 4).
fn uuid_line(mut bytes: [u8; 16]) -> Vec<u8> {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    one_line(out.into_bytes())
}

/// As arch/riscv's cpuinfo prints a hart.
fn cpuinfo(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let mut out = String::new();
    for cpu in 0..system.cpus {
        let _ = write!(
            out,
            "processor\t: {cpu}\nhart\t\t: {cpu}\nisa\t\t: {isa}\nmmu\t\t: sv39\nuarch\t\t: rivix\nmvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\nhart isa\t: {isa}\n\n",
            isa = system.isa,
        );
    }
    Ok(out.into_bytes())
}

fn loadavg(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let load = f64::from(system.running);
    Ok(format!(
        "{load:.2} {load:.2} {load:.2} {}/{} {}\n",
        system.running, system.total_threads, system.last_pid
    )
    .into_bytes())
}

fn meminfo(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let (total, free) = (system.total_memory / 1024, system.free_memory / 1024);
    let mut out = String::new();
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", total - free.min(total)),
        ("Inactive", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", total - free.min(total)),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total / 2),
        ("Committed_AS", total - free.min(total)),
        ("VmallocTotal", 67_108_863),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
    ];
    for (name, kib) in rows {
        let _ = writeln!(out, "{:<15} {kib:>8} kB", format!("{name}:"));
    }
    out.push_str("HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n");
    out.push_str("HugePages_Surp:        0\nHugepagesize:       2048 kB\n");
    Ok(out.into_bytes())
}

fn stat(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let [user, nice, kernel, idle] = system.cpu_ticks;
    let cpus = u64::from(system.cpus.max(1));
    let mut out = format!("cpu  {user} {nice} {kernel} {idle} 0 0 0 0 0 0\n");
    for cpu in 0..cpus {
        let _ = writeln!(
            out,
            "cpu{cpu} {} {} {} {} 0 0 0 0 0 0",
            user / cpus,
            nice / cpus,
            kernel / cpus,
            idle / cpus
        );
    }
    let _ = write!(
        out,
        "intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        system.context_switches, system.boot_time, system.processes_created, system.running
    );
    Ok(out.into_bytes())
}

fn uptime(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let seconds = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns / 10_000_000 % 100);
    Ok(format!(
        "{} {}\n",
        seconds(system.uptime_ns),
        seconds(system.idle_ns)
    )
    .into_bytes())
}

fn version(shared: &ProcShared) -> Result<Vec<u8>, Errno> {
    let system = shared.info()?.system();
    let text = format!(
        "Linux version {} (rivix@rivix) {}\n",
        system.osrelease, system.version
    );
    Ok(text.into_bytes())
}
