//! Page faults and context switches (getrusage(2)).
//!
//! A guest's thread faults, sleeps and is preempted as the host thread that runs
//! it: the host's counts, since the task began, are the task's.

use crate::group::ThreadGroup;
use crate::task::Task;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a thread, or all of a process, has gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Page faults that needed no reading from a disk, and those that did.
    pub minor_faults: u64,
    pub major_faults: u64,
    /// Times it gave its CPU away, and times it was taken.
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

impl Counts {
    fn with(self, other: Counts, by: impl Fn(u64, u64) -> u64) -> Counts {
        Counts {
            minor_faults: by(self.minor_faults, other.minor_faults),
            major_faults: by(self.major_faults, other.major_faults),
            voluntary_switches: by(self.voluntary_switches, other.voluntary_switches),
            involuntary_switches: by(self.involuntary_switches, other.involuntary_switches),
        }
    }

    /// Those of the calling host thread.
    pub(crate) fn of_this_thread() -> Counts {
        use nix::sys::resource::{UsageWho, getrusage};
        let count = |value: i64| value.max(0) as u64;
        getrusage(UsageWho::RUSAGE_THREAD).map_or_else(
            |_| Counts::default(),
            |usage| Counts {
                minor_faults: count(usage.minor_page_faults()),
                major_faults: count(usage.major_page_faults()),
                voluntary_switches: count(usage.voluntary_context_switches()),
                involuntary_switches: count(usage.involuntary_context_switches()),
            },
        )
    }

    /// Those of another thread of this host process (proc_pid_stat(5),
    /// proc_pid_status(5)); None when it has ended.
    fn of_thread(host_tid: i32) -> Option<Counts> {
        let read = |name| std::fs::read_to_string(format!("/proc/self/task/{host_tid}/{name}"));
        let stat = HostStat::of(host_tid)?;
        let status = read("status").ok()?;
        let line = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok())
        };
        Some(Counts {
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
            voluntary_switches: line("voluntary_ctxt_switches")?,
            involuntary_switches: line("nonvoluntary_ctxt_switches")?,
        })
    }
}

impl Add for Counts {
    type Output = Counts;
    fn add(self, other: Counts) -> Counts {
        self.with(other, u64::saturating_add)
    }
}

impl Sub for Counts {
    type Output = Counts;
    fn sub(self, other: Counts) -> Counts {
        self.with(other, u64::saturating_sub)
    }
}

/// What the host's stat file says of one of our threads.
pub(crate) struct HostStat {
    pub(crate) state: u8,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// The CPU it ran on last.
    pub(crate) processor: u32,
}

impl HostStat {
    /// None: the thread has ended.
    pub(crate) fn of(host_tid: i32) -> Option<HostStat> {
        let stat = std::fs::read(format!("/proc/self/task/{host_tid}/stat")).ok()?;
        HostStat::parse(&stat)
    }

    fn parse(stat: &[u8]) -> Option<HostStat> {
        /// Fields of proc_pid_stat(5), by their numbers there.
        const STATE: usize = 3;
        const MINOR: usize = 10;
        const MAJOR: usize = 12;
        const PROCESSOR: usize = 39;
        // The name before may hold anything, brackets too.
        let at = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(stat.get(at + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - STATE)?.parse().ok();
        Some(HostStat {
            state: *fields.first()?.as_bytes().first()?,
            minor_faults: field(MINOR)?,
            major_faults: field(MAJOR)?,
            processor: field(PROCESSOR)? as u32,
        })
    }
}

/// [`Counts`] that others add to or set.
#[derive(Default)]
pub(crate) struct CountTotals {
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
    voluntary_switches: AtomicU64,
    involuntary_switches: AtomicU64,
}

impl CountTotals {
    fn each(&self, counts: Counts, act: impl Fn(&AtomicU64, u64)) {
        act(&self.minor_faults, counts.minor_faults);
        act(&self.major_faults, counts.major_faults);
        act(&self.voluntary_switches, counts.voluntary_switches);
        act(&self.involuntary_switches, counts.involuntary_switches);
    }

    pub(crate) fn add(&self, counts: Counts) {
        self.each(counts, |to, value| {
            to.fetch_add(value, Ordering::Relaxed);
        });
    }

    pub(crate) fn set(&self, counts: Counts) {
        self.each(counts, |to, value| to.store(value, Ordering::Relaxed));
    }

    pub(crate) fn get(&self) -> Counts {
        let get = |from: &AtomicU64| from.load(Ordering::Relaxed);
        Counts {
            minor_faults: get(&self.minor_faults),
            major_faults: get(&self.major_faults),
            voluntary_switches: get(&self.voluntary_switches),
            involuntary_switches: get(&self.involuntary_switches),
        }
    }
}

impl Task {
    /// What the task's thread has gone through since the task began.
    pub fn counts(&self) -> Counts {
        let Some(host_tid) = self.host_thread() else {
            return self.final_counts.get();
        };
        let is_own = host_tid == nix::unistd::gettid().as_raw();
        let now = if is_own {
            Some(Counts::of_this_thread())
        } else {
            Counts::of_thread(host_tid)
        };
        match now {
            Some(now) => now - self.counts_base.get(),
            None => self.final_counts.get(),
        }
    }

    /// The host's CPU that its thread ran on last.
    pub(crate) fn last_host_cpu(&self) -> Option<u32> {
        HostStat::of(self.host_thread()?).map(|stat| stat.processor)
    }
}

impl ThreadGroup {
    /// Those of all threads, ended ones included.
    pub fn counts(&self) -> Counts {
        let (dead, live): (Counts, Vec<Arc<Task>>) = {
            let signals = self.signals.lock();
            let live = signals.threads.values().map(|t| t.task.clone()).collect();
            (self.dead_counts.get(), live)
        };
        live.iter().map(|task| task.counts()).fold(dead, Add::add)
    }

    /// Those of reaped children.
    pub fn child_counts(&self) -> Counts {
        self.child_counts.get()
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_its_name() {
        let line = b"7 (a) b (c) S 1 2 3 4 5 6 70 71 80 81 9 9 9 9 20 0 1 0 5 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0\n";
        let stat = HostStat::parse(line).unwrap();
        let faults = (stat.minor_faults, stat.major_faults);
        assert_eq!((stat.state, faults, stat.processor), (b'S', (70, 80), 3));
        assert!(HostStat::parse(b"7 (short) S 1 2").is_none());
        assert!(HostStat::parse(b"no name").is_none());
    }

    #[test]
    fn both_ways_to_ask_agree() {
        let tid = nix::unistd::gettid().as_raw();
        std::thread::sleep(std::time::Duration::from_millis(1));
        let before = Counts::of_this_thread();
        let other = Counts::of_thread(tid).unwrap();
        let after = Counts::of_this_thread();
        assert!(before.voluntary_switches > 0);
        for count in [
            |c: &Counts| c.minor_faults,
            |c: &Counts| c.voluntary_switches,
        ] {
            let range = count(&before)..=count(&after);
            assert!(range.contains(&count(&other)), "{other:?}");
        }
        assert!(Counts::of_thread(i32::MAX).is_none());
    }
}
