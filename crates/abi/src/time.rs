//! Times and clocks (time(7), linux/time.h).

use crate::Errno;
use bytemuck::{Pod, Zeroable};
use std::time::Duration;

pub const NSEC_PER_SEC: i64 = 1_000_000_000;

/// struct timespec, 64-bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct Timespec {
    pub sec: i64,
    pub nsec: i64,
}

impl Timespec {
    /// EINVAL as Linux checks every timespec it is given.
    pub fn validate(self) -> Result<Timespec, Errno> {
        if self.sec < 0 || !(0..NSEC_PER_SEC).contains(&self.nsec) {
            return Err(Errno::EINVAL);
        }
        Ok(self)
    }

    pub fn from_ns(ns: i128) -> Timespec {
        let second = i128::from(NSEC_PER_SEC);
        Timespec {
            sec: ns.div_euclid(second) as i64,
            nsec: ns.rem_euclid(second) as i64,
        }
    }

    /// Nanoseconds; i128 so that no timespec overflows.
    pub fn as_ns(self) -> i128 {
        i128::from(self.sec) * i128::from(NSEC_PER_SEC) + i128::from(self.nsec)
    }

    /// A validated relative time.
    pub fn to_duration(self) -> Result<Duration, Errno> {
        let valid = self.validate()?;
        Ok(Duration::new(valid.sec as u64, valid.nsec as u32))
    }

    pub fn is_zero(self) -> bool {
        self.sec == 0 && self.nsec == 0
    }
}

impl From<Duration> for Timespec {
    fn from(d: Duration) -> Timespec {
        Timespec {
            sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(d.subsec_nanos()),
        }
    }
}

/// struct timeval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Timeval {
    pub sec: i64,
    pub usec: i64,
}

impl Timeval {
    pub fn validate(self) -> Result<Timeval, Errno> {
        if self.sec < 0 || !(0..1_000_000).contains(&self.usec) {
            return Err(Errno::EINVAL);
        }
        Ok(self)
    }

    pub fn as_ns(self) -> i128 {
        i128::from(self.sec) * i128::from(NSEC_PER_SEC) + i128::from(self.usec) * 1000
    }

    pub fn from_ns(ns: i128) -> Timeval {
        let ts = Timespec::from_ns(ns);
        Timeval {
            sec: ts.sec,
            usec: ts.nsec / 1000,
        }
    }
}

/// struct itimerspec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Itimerspec {
    pub interval: Timespec,
    pub value: Timespec,
}

/// struct itimerval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Itimerval {
    pub interval: Timeval,
    pub value: Timeval,
}

/// struct timezone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Timezone {
    pub minuteswest: i32,
    pub dsttime: i32,
}

pub const CLOCK_REALTIME: i32 = 0;
pub const CLOCK_MONOTONIC: i32 = 1;
pub const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
pub const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
pub const CLOCK_MONOTONIC_RAW: i32 = 4;
pub const CLOCK_REALTIME_COARSE: i32 = 5;
pub const CLOCK_MONOTONIC_COARSE: i32 = 6;
pub const CLOCK_BOOTTIME: i32 = 7;
pub const CLOCK_REALTIME_ALARM: i32 = 8;
pub const CLOCK_BOOTTIME_ALARM: i32 = 9;
pub const CLOCK_TAI: i32 = 11;

pub const TIMER_ABSTIME: i32 = 1;

pub const ITIMER_REAL: i32 = 0;
pub const ITIMER_VIRTUAL: i32 = 1;
pub const ITIMER_PROF: i32 = 2;

/// Clock ticks per second that times(2) and /proc report.
pub const USER_HZ: u64 = 100;
