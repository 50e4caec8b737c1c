//! User and system time.
//!
//! The host counts a thread's CPU time exactly, but does not know when it runs guest
//! code and when ours. So each crossing between the two is stamped with the host's
//! cycle counter, which costs nanoseconds, and the CPU clock is read only now and
//! then, to turn the stamps into shares of it: after a long stretch of guest code, and
//! after a long system call. Of calls that are always short only some are stamped, and
//! stand for the others. Shares are off by a millisecond or so; their sum is exact.

use crate::current::CurrentTask;
use crate::task::Task;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// CPU time by where it was spent, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    pub user_ns: u64,
    pub system_ns: u64,
}

impl CpuTimes {
    pub fn total_ns(self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }
}

impl std::ops::Add for CpuTimes {
    type Output = CpuTimes;
    fn add(self, other: CpuTimes) -> CpuTimes {
        CpuTimes {
            user_ns: self.user_ns.saturating_add(other.user_ns),
            system_ns: self.system_ns.saturating_add(other.system_ns),
        }
    }
}

/// [`CpuTimes`] that only grow.
#[derive(Default)]
pub(crate) struct CpuTotals {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
}

impl CpuTotals {
    pub(crate) fn add(&self, times: CpuTimes) {
        self.user_ns.fetch_add(times.user_ns, Ordering::Relaxed);
        self.system_ns.fetch_add(times.system_ns, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> CpuTimes {
        CpuTimes {
            user_ns: self.user_ns.load(Ordering::Relaxed),
            system_ns: self.system_ns.load(Ordering::Relaxed),
        }
    }

    /// Raises each part to at least `times`, and gives what is now the larger.
    fn raise(&self, times: CpuTimes) -> CpuTimes {
        let max = |to: &AtomicU64, value| to.fetch_max(value, Ordering::Relaxed).max(value);
        CpuTimes {
            user_ns: max(&self.user_ns, times.user_ns),
            system_ns: max(&self.system_ns, times.system_ns),
        }
    }
}

/// Ticks of guest code and short calls after which the CPU clock is read: about a
/// millisecond on the hosts there are.
const STRETCH_TICKS: u64 = 1 << 21;
/// A call that took longer is measured by the CPU clock: it may have waited for the host.
const LONG_CALL_TICKS: u64 = 1 << 17;

/// Of calls that are always short one in about this many is stamped.
const SHORT_CALLS: u64 = 16;

/// Calls that do little but look something up or wait, as bits by number.
const SHORT: [u64; 4] = {
    // futex, set_robust_list, clock_gettime, sched_yield, kill to sigaltstack,
    // rt_sigaction, rt_sigprocmask, rt_sigreturn, getcpu, gettimeofday, getpid to gettid.
    let numbers = [
        98, 99, 113, 124, 129, 130, 131, 132, 134, 135, 139, 168, 169, 172, 173, 174, 175, 176,
        177, 178,
    ];
    let mut bits = [0; 4];
    let mut at = 0;
    while at < numbers.len() {
        bits[numbers[at] / 64] |= 1 << (numbers[at] % 64);
        at += 1;
    }
    bits
};

fn is_short(call: u64) -> bool {
    let word = SHORT.get((call / 64) as usize);
    word.is_some_and(|word| word >> (call % 64) & 1 == 1)
}

/// What a thread keeps of its crossings; only it looks at them.
#[derive(Default)]
pub(crate) struct Crossings {
    /// When it last went from guest code to the kernel, or back.
    crossed: u64,
    /// Ticks asleep since then.
    slept: Cell<u64>,
    /// Short calls until one is stamped, and how many that one stands for.
    until_stamp: u64,
    stands_for: u64,
    /// The kernel was entered without a stamp.
    is_unstamped: bool,
    /// When the CPU clock was read last, and what it said.
    read_at: u64,
    read_ns: u64,
    /// Ticks since then, by where.
    in_guest: u64,
    in_kernel: u64,
}

impl Crossings {
    fn share(&mut self, task: &Task, is_in_kernel: bool, now: u64) {
        let cpu_ns = task.cpu_ns();
        let used = cpu_ns.saturating_sub(self.read_ns);
        // Where the thread is now gets what the stamps do not explain.
        let times = if is_in_kernel {
            let user_ns = in_ns(self.in_guest).min(used);
            CpuTimes {
                user_ns,
                system_ns: used - user_ns,
            }
        } else {
            let system_ns = in_ns(self.in_kernel).min(used);
            CpuTimes {
                user_ns: used - system_ns,
                system_ns,
            }
        };
        task.accounted.add(times);
        self.read_at = now;
        self.read_ns = cpu_ns;
        self.in_guest = 0;
        self.in_kernel = 0;
    }
}

impl CurrentTask {
    /// Guest code ends here, the kernel begins; `call` is the system call's number, if
    /// it is one.
    #[inline]
    pub(crate) fn cross_to_kernel(&mut self, call: Option<u64>) {
        let crossings = &mut self.crossings;
        let is_short = call.is_some_and(is_short);
        if is_short && crossings.until_stamp > 0 {
            crossings.until_stamp -= 1;
            crossings.is_unstamped = true;
            return;
        }
        let now = ticks();
        crossings.is_unstamped = false;
        crossings.stands_for = 0;
        if is_short {
            // Not always the same number, lest a loop's rhythm picks one of its calls.
            crossings.until_stamp = SHORT_CALLS / 2 + now % SHORT_CALLS;
            crossings.stands_for = SHORT_CALLS;
        }
        let slept = crossings.slept.get();
        crossings.in_guest += now.saturating_sub(crossings.crossed).saturating_sub(slept);
        if now.saturating_sub(crossings.read_at) > STRETCH_TICKS {
            let task = self.task().clone();
            self.crossings.share(&task, false, now);
        }
        self.crossings.crossed = now;
        self.crossings.slept.set(0);
    }

    /// The kernel ends here, guest code begins.
    #[inline]
    pub(crate) fn cross_to_guest(&mut self) {
        let crossings = &mut self.crossings;
        if crossings.is_unstamped {
            return;
        }
        let now = ticks();
        let busy = now
            .saturating_sub(crossings.crossed)
            .saturating_sub(crossings.slept.get());
        crossings.in_kernel += busy;
        if crossings.stands_for > 1 {
            // The others have been counted as guest code.
            let others = busy.saturating_mul(crossings.stands_for - 1);
            let moved = others.min(crossings.in_guest);
            crossings.in_guest -= moved;
            crossings.in_kernel += moved;
        }
        if busy > LONG_CALL_TICKS {
            let task = self.task().clone();
            self.crossings.share(&task, true, now);
        }
        self.crossings.crossed = now;
        self.crossings.slept.set(0);
    }

    /// Brings this thread's shares up to date, for a call that is about to tell them.
    pub fn account_cpu(&mut self) {
        let now = ticks();
        let task = self.task().clone();
        self.crossings.share(&task, true, now);
        self.crossings.crossed = now;
        self.crossings.slept.set(0);
    }

    /// Runs `sleep`, whose time is nobody's.
    pub(crate) fn asleep<R>(&self, sleep: impl FnOnce() -> R) -> R {
        let from = ticks();
        let result = sleep();
        let slept = &self.crossings.slept;
        slept.set(slept.get() + ticks().saturating_sub(from));
        result
    }
}

impl Task {
    /// CPU time used so far, by where. Neither part ever goes back.
    pub fn cpu_times(&self) -> CpuTimes {
        let total = self.cpu_ns();
        let mut times = self.accounted.get();
        let rest = total.saturating_sub(times.total_ns());
        // Since the last reading it was most likely where it is now.
        if self.in_guest.load(Ordering::Relaxed) {
            times.user_ns += rest;
        } else {
            times.system_ns += rest;
        }
        self.shown.raise(times)
    }
}

/// The host's cycle counter; where there is none we know of, nanoseconds.
#[inline]
fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 CPU has RDTSC; it has no other effect than its result.
    let now = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let now = start().1.elapsed().as_nanos() as u64;
    now
}

/// A reading of both clocks, from which on their rates are compared.
fn start() -> &'static (u64, Instant) {
    static START: OnceLock<(u64, Instant)> = OnceLock::new();
    START.get_or_init(|| {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        return (ticks(), Instant::now());
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        return (0, Instant::now());
    })
}

/// Ticks as nanoseconds, by the rate since the first call.
fn in_ns(count: u64) -> u64 {
    let (ticks_then, then) = start();
    let passed_ns = then.elapsed().as_nanos().max(1);
    let passed = ticks().saturating_sub(*ticks_then).max(1);
    u64::try_from(u128::from(count) * passed_ns / u128::from(passed)).unwrap_or(u64::MAX)
}

/// Begins to compare the clocks, so that the first shares are right.
pub(crate) fn calibrate() {
    start();
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_become_nanoseconds() {
        calibrate();
        let (from, begin) = (ticks(), Instant::now());
        while begin.elapsed() < Duration::from_millis(20) {}
        let (count, passed) = (ticks() - from, begin.elapsed().as_nanos() as u64);
        let told = in_ns(count);
        assert!(told.abs_diff(passed) < passed / 10, "{told} for {passed}");
    }

    #[test]
    fn shown_times_never_go_back() {
        let totals = CpuTotals::default();
        let times = |user_ns, system_ns| CpuTimes { user_ns, system_ns };
        assert_eq!(totals.raise(times(5, 3)), times(5, 3));
        assert_eq!(totals.raise(times(4, 6)), times(5, 6));
    }

    #[test]
    fn short_calls_are_few() {
        assert!(is_short(172) && is_short(98) && is_short(135));
        assert!(!is_short(63) && !is_short(64) && !is_short(220) && !is_short(u64::MAX));
    }
}
