//! The one place where guests' time comes from.

use crate::cputime::CpuTimes;
use crate::current::CurrentTask;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::task::Task;
use rivix_abi::Errno;
use rivix_abi::time::*;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A sandbox's clocks. Today they are the host's.
#[derive(Default)]
pub struct KernelClock;

impl KernelClock {
    pub fn new() -> Self {
        KernelClock
    }

    /// Nanoseconds of a system-wide clock; EINVAL for an unknown one and for
    /// the CPU clocks, which belong to tasks.
    pub fn now_ns(&self, clock: i32) -> Result<i128, Errno> {
        match clock {
            CLOCK_REALTIME
            | CLOCK_MONOTONIC
            | CLOCK_MONOTONIC_RAW
            | CLOCK_REALTIME_COARSE
            | CLOCK_MONOTONIC_COARSE
            | CLOCK_BOOTTIME
            | CLOCK_TAI => host_ns(clock),
            CLOCK_REALTIME_ALARM => host_ns(CLOCK_REALTIME),
            CLOCK_BOOTTIME_ALARM => host_ns(CLOCK_BOOTTIME),
            _ => Err(Errno::EINVAL),
        }
    }

    pub fn resolution(&self, clock: i32) -> Result<Timespec, Errno> {
        match clock {
            CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => Ok(Timespec {
                sec: 0,
                nsec: 4_000_000,
            }),
            CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => Ok(Timespec { sec: 0, nsec: 1 }),
            _ => self.now_ns(clock).map(|_| Timespec { sec: 0, nsec: 1 }),
        }
    }

    /// The host instant at which `clock` reads `at_ns`; None: too far to name,
    /// which is to say never.
    pub fn instant_of(&self, clock: i32, at_ns: i128) -> Result<Option<Instant>, Errno> {
        let wait = at_ns - self.now_ns(clock)?;
        Ok(self.instant_after(wait))
    }

    /// The host instant `wait_ns` from now.
    pub fn instant_after(&self, wait_ns: i128) -> Option<Instant> {
        let wait = u64::try_from(wait_ns.max(0)).ok()?;
        Instant::now().checked_add(Duration::from_nanos(wait))
    }
}

impl rivix_engine::Clock for KernelClock {
    fn monotonic_ns(&self) -> u64 {
        host_ns(CLOCK_MONOTONIC).map_or(0, |ns| ns as u64)
    }
}

/// Reads a host clock by its Linux number, CPU clocks of our own threads included.
pub(crate) fn host_ns(clock: i32) -> Result<i128, Errno> {
    let ts = nix::time::clock_gettime(nix::time::ClockId::from_raw(clock))
        .map_err(|e| Errno::from_host(e as i32))?;
    Ok(Timespec {
        sec: ts.tv_sec(),
        nsec: ts.tv_nsec(),
    }
    .as_ns())
}

/// A clock that a guest may name.
#[derive(Clone)]
pub enum AnyClock {
    System(i32),
    Process(Weak<ThreadGroup>, CpuKind),
    Thread(Weak<Task>, CpuKind),
}

/// Which CPU time a clock counts (clock_getcpuclockid(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuKind {
    /// User and system time as getrusage(2) tells them: CPUCLOCK_PROF.
    Both,
    /// CPUCLOCK_VIRT.
    User,
    /// The scheduler's own count: CPUCLOCK_SCHED.
    Exact,
}

impl CpuKind {
    /// The low bits of a clock's number; None for the fourth.
    fn new(bits: i32) -> Option<CpuKind> {
        match bits & 3 {
            0 => Some(CpuKind::Both),
            1 => Some(CpuKind::User),
            2 => Some(CpuKind::Exact),
            _ => None,
        }
    }

    fn of(self, exact: impl FnOnce() -> u64, times: impl FnOnce() -> CpuTimes) -> i128 {
        i128::from(match self {
            CpuKind::Both => times().total_ns(),
            CpuKind::User => times().user_ns,
            CpuKind::Exact => exact(),
        })
    }
}

impl AnyClock {
    /// EINVAL once the process or thread is gone.
    pub fn now_ns(&self, kernel: &Kernel) -> Result<i128, Errno> {
        match self {
            AnyClock::System(id) => kernel.clock().now_ns(*id),
            AnyClock::Process(group, kind) => group
                .upgrade()
                .map(|g| kind.of(|| g.cpu_ns(), || g.cpu_times()))
                .ok_or(Errno::EINVAL),
            AnyClock::Thread(task, kind) => task
                .upgrade()
                .map(|t| kind.of(|| t.cpu_ns(), || t.cpu_times()))
                .ok_or(Errno::EINVAL),
        }
    }

    pub fn is_cpu(&self) -> bool {
        !matches!(self, AnyClock::System(_))
    }
}

impl CurrentTask {
    /// Decodes a clockid_t (clock_getcpuclockid(3) for the negative ones).
    pub fn find_clock(&self, id: i32) -> Result<AnyClock, Errno> {
        match id {
            CLOCK_PROCESS_CPUTIME_ID => Ok(self.own_process_clock(CpuKind::Exact)),
            CLOCK_THREAD_CPUTIME_ID => Ok(self.own_thread_clock(CpuKind::Exact)),
            0.. => self
                .kernel()
                .clock()
                .now_ns(id)
                .map(|_| AnyClock::System(id)),
            _ => self.find_cpu_clock(id),
        }
    }

    fn own_process_clock(&self, kind: CpuKind) -> AnyClock {
        AnyClock::Process(Arc::downgrade(self.group()), kind)
    }

    fn own_thread_clock(&self, kind: CpuKind) -> AnyClock {
        AnyClock::Thread(Arc::downgrade(self.task()), kind)
    }

    fn find_cpu_clock(&self, id: i32) -> Result<AnyClock, Errno> {
        let pid = !(id >> 3);
        let kind = CpuKind::new(id).ok_or(Errno::EINVAL)?;
        if id & PER_THREAD != 0 {
            if pid == 0 {
                return Ok(self.own_thread_clock(kind));
            }
            let task = self.kernel().find_task(pid).ok_or(Errno::EINVAL)?;
            if task.pid() != self.pid() {
                return Err(Errno::EINVAL);
            }
            return Ok(AnyClock::Thread(Arc::downgrade(&task), kind));
        }
        if pid == 0 {
            return Ok(self.own_process_clock(kind));
        }
        let group = self.kernel().find_process(pid).ok_or(Errno::EINVAL)?;
        Ok(AnyClock::Process(Arc::downgrade(&group), kind))
    }

    /// As `find_clock`, for reading it: a thread's own id names its process as well
    /// as the process's does.
    pub fn find_clock_to_read(&self, id: i32) -> Result<AnyClock, Errno> {
        if id < 0 && id & PER_THREAD == 0 && !(id >> 3) == self.tid() {
            let kind = CpuKind::new(id).ok_or(Errno::EINVAL)?;
            return Ok(self.own_process_clock(kind));
        }
        self.find_clock(id)
    }
}

/// The bit of a clock's number that says it is a thread's.
const PER_THREAD: i32 = 4;

/// Is this the number of a CPU clock of the calling thread, by 0 or by its `tid`?
pub fn is_own_thread_clock(id: i32, tid: i32) -> bool {
    id < 0 && id & PER_THREAD != 0 && (!(id >> 3) == 0 || !(id >> 3) == tid)
}

/// Is it a CPU clock that counts in ticks (CPUCLOCK_PROF, CPUCLOCK_VIRT)?
pub fn is_sampled_clock(id: i32) -> bool {
    id < 0 && matches!(id & 3, 0 | 1)
}
