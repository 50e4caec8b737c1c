//! The one place where guests' time comes from.

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
    Process(Weak<ThreadGroup>),
    Thread(Weak<Task>),
}

impl AnyClock {
    /// EINVAL once the process or thread is gone.
    pub fn now_ns(&self, kernel: &Kernel) -> Result<i128, Errno> {
        match self {
            AnyClock::System(id) => kernel.clock().now_ns(*id),
            AnyClock::Process(group) => group
                .upgrade()
                .map(|g| g.cpu_ns().into())
                .ok_or(Errno::EINVAL),
            AnyClock::Thread(task) => task
                .upgrade()
                .map(|t| t.cpu_ns().into())
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
            CLOCK_PROCESS_CPUTIME_ID => Ok(AnyClock::Process(Arc::downgrade(self.group()))),
            CLOCK_THREAD_CPUTIME_ID => Ok(AnyClock::Thread(Arc::downgrade(self.task()))),
            0.. => self
                .kernel()
                .clock()
                .now_ns(id)
                .map(|_| AnyClock::System(id)),
            _ => self.find_cpu_clock(id),
        }
    }

    fn find_cpu_clock(&self, id: i32) -> Result<AnyClock, Errno> {
        const PER_THREAD: i32 = 4;
        let pid = !(id >> 3);
        // 0 profiling, 1 user, 2 scheduler's: all are our one CPU time. 3 is a
        // descriptor's clock, which we have none of.
        if id & 3 == 3 {
            return Err(Errno::EINVAL);
        }
        if id & PER_THREAD != 0 {
            if pid == 0 {
                return Ok(AnyClock::Thread(Arc::downgrade(self.task())));
            }
            let task = self.kernel().find_task(pid).ok_or(Errno::EINVAL)?;
            if task.pid() != self.pid() {
                return Err(Errno::EINVAL);
            }
            return Ok(AnyClock::Thread(Arc::downgrade(&task)));
        }
        if pid == 0 {
            return Ok(AnyClock::Process(Arc::downgrade(self.group())));
        }
        let group = self.kernel().find_process(pid).ok_or(Errno::EINVAL)?;
        Ok(AnyClock::Process(Arc::downgrade(&group)))
    }
}
