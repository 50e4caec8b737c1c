//! A process's timers: POSIX timers (timer_create(2)) and interval timers
//! (setitimer(2)), all on the kernel's one heap of deadlines.
//!
//! A POSIX timer whose signal is pending is not armed: it is armed again when
//! the signal is taken, and what passed meanwhile is its overrun count.

use crate::clock::AnyClock;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use rivix_abi::resource::Resource;
use rivix_abi::signal::{SigInfo, si_code};
use rivix_abi::time::{ITIMER_REAL, ITIMER_VIRTUAL};
use rivix_abi::{Errno, Signal};
use rivix_spawner::{Expire, TimerId};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// The host would do nothing else below this.
const SHORTEST_NS: i128 = 50_000;
/// How often a CPU clock that has not reached its deadline is looked at, at least.
const CPU_POLL_NS: i128 = 1_000_000;
/// Timers whose signal is ignored fire at most this often.
const IGNORED_NS: i128 = 1_000_000;

/// Guarded by the group's `Timers` lock.
#[derive(Default)]
pub(crate) struct GroupTimers {
    posix: BTreeMap<i32, Timer>,
    interval: [Option<Timer>; 3],
    next_id: i32,
}

/// How an expiry is told.
#[derive(Clone, Copy, Debug)]
pub struct TimerNotice {
    /// None: SIGEV_NONE.
    pub signal: Option<Signal>,
    /// SIGEV_THREAD_ID.
    pub tid: Option<i32>,
    pub value: u64,
}

/// Remaining time and interval, in nanoseconds; 0 remaining: disarmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    pub value_ns: i128,
    pub interval_ns: i128,
}

struct Timer {
    clock: AnyClock,
    notice: TimerNotice,
    /// When it expires next, on its clock.
    next_ns: Option<i128>,
    interval_ns: i128,
    is_pending: bool,
    last_overrun: i32,
    armed: Option<TimerId>,
    /// Kept alive here; the heap holds it weakly.
    expiry: Arc<dyn Expire>,
}

#[derive(Clone, Copy)]
enum Which {
    Posix(i32),
    Interval(usize),
}

struct Expiry {
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
    which: Which,
}

impl Expire for Expiry {
    fn expire(&self) {
        if let (Some(kernel), Some(group)) = (self.kernel.upgrade(), self.group.upgrade()) {
            group.timer_expired(&kernel, self.which);
        }
    }
}

impl GroupTimers {
    fn get(&mut self, which: Which) -> Option<&mut Timer> {
        match which {
            Which::Posix(id) => self.posix.get_mut(&id),
            Which::Interval(at) => self.interval.get_mut(at)?.as_mut(),
        }
    }
}

impl Timer {
    fn new(
        kernel: &Arc<Kernel>,
        group: &Arc<ThreadGroup>,
        which: Which,
        clock: AnyClock,
        notice: TimerNotice,
    ) -> Timer {
        let expiry = Expiry {
            kernel: Arc::downgrade(kernel),
            group: Arc::downgrade(group),
            which,
        };
        Timer {
            clock,
            notice,
            next_ns: None,
            interval_ns: 0,
            is_pending: false,
            last_overrun: 0,
            armed: None,
            expiry: Arc::new(expiry),
        }
    }

    fn disarm(&mut self, kernel: &Kernel) {
        if let Some(id) = self.armed.take() {
            kernel.timers().disarm(id);
        }
    }

    /// Puts the next expiry on the heap, `at_least_ns` from now.
    fn arm(&mut self, kernel: &Kernel, threads: usize, at_least_ns: i128) {
        self.disarm(kernel);
        let Some(next) = self.next_ns else { return };
        if self.notice.signal.is_none() {
            return;
        }
        let Ok(now) = self.clock.now_ns(kernel) else {
            return;
        };
        let mut wait = (next - now).max(0);
        if self.clock.is_cpu() {
            // It can run as fast as there are threads.
            wait = (wait / threads.max(1) as i128).max(CPU_POLL_NS);
        }
        if let Some(at) = kernel.clock().instant_after(wait.max(at_least_ns)) {
            self.armed = Some(kernel.timers().arm(at, Arc::downgrade(&self.expiry)));
        }
    }

    /// Moves `next` past `now`; how many expiries lie between.
    fn forward(&mut self, now: i128) -> i128 {
        let Some(next) = self.next_ns else { return 0 };
        if next > now {
            return 0;
        }
        if self.interval_ns <= 0 {
            self.next_ns = None;
            return 1;
        }
        let passed = (now - next) / self.interval_ns + 1;
        self.next_ns = Some(next + passed * self.interval_ns);
        passed
    }

    fn setting(&self, now: i128) -> TimerSetting {
        let interval_ns = self.interval_ns;
        let Some(mut next) = self.next_ns else {
            return TimerSetting {
                value_ns: 0,
                interval_ns,
            };
        };
        if next <= now && interval_ns > 0 {
            next += ((now - next) / interval_ns + 1) * interval_ns;
        }
        let is_silent = self.notice.signal.is_none();
        // Armed but due reads as 1 ns, since 0 would say disarmed.
        let value_ns = match next - now {
            left if left > 0 => left,
            _ if is_silent => 0,
            _ => 1,
        };
        TimerSetting {
            value_ns,
            interval_ns,
        }
    }
}

impl ThreadGroup {
    fn timer_expired(&self, kernel: &Arc<Kernel>, which: Which) {
        let threads = self.thread_count();
        let (notice, info) = {
            let mut timers = self.timers.lock();
            let Some(timer) = timers.get(which) else {
                return;
            };
            timer.armed = None;
            let Ok(now) = timer.clock.now_ns(kernel) else {
                return;
            };
            if timer.next_ns.is_none_or(|next| next > now) {
                // Set anew meanwhile, or a CPU clock that has not come so far.
                timer.arm(kernel, threads, 0);
                return;
            }
            let Some(signal) = timer.notice.signal else {
                return;
            };
            match which {
                Which::Posix(id) => {
                    timer.is_pending = true;
                    (
                        timer.notice,
                        SigInfo::timer(signal, id, 0, timer.notice.value),
                    )
                }
                Which::Interval(_) => {
                    timer.forward(now);
                    timer.arm(kernel, threads, SHORTEST_NS);
                    (timer.notice, SigInfo::kernel(signal))
                }
            }
        };
        let Some(signal) = notice.signal else { return };
        let sent = kernel.send_to_group(self, notice.tid, signal, info, false);
        if matches!(which, Which::Posix(_)) && sent != Ok(true) {
            // Ignored: nobody will take it, so it goes on by itself.
            let mut timers = self.timers.lock();
            if let Some(timer) = timers.get(which) {
                timer.is_pending = false;
                if let Ok(now) = timer.clock.now_ns(kernel) {
                    timer.forward(now);
                    timer.arm(kernel, threads, IGNORED_NS);
                }
            }
        }
    }

    /// timer_create(2): the new timer's id.
    pub fn timer_create(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        clock: AnyClock,
        notice: impl FnOnce(i32) -> TimerNotice,
    ) -> Result<i32, Errno> {
        let limit = self.rlimit(Resource::Sigpending).cur;
        let mut timers = self.timers.lock();
        if timers.posix.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        let mut id = timers.next_id;
        while timers.posix.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(0);
        }
        timers.next_id = id.checked_add(1).unwrap_or(0);
        let timer = Timer::new(kernel, self, Which::Posix(id), clock, notice(id));
        timers.posix.insert(id, timer);
        Ok(id)
    }

    /// timer_settime(2): the old setting. `value_ns` is the time on the
    /// timer's clock when `is_absolute`.
    pub fn timer_settime(
        &self,
        kernel: &Kernel,
        id: i32,
        new: TimerSetting,
        is_absolute: bool,
    ) -> Result<TimerSetting, Errno> {
        let threads = self.thread_count();
        let old = {
            let mut timers = self.timers.lock();
            let timer = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
            let now = timer.clock.now_ns(kernel)?;
            let old = timer.setting(now);
            timer.disarm(kernel);
            timer.is_pending = false;
            timer.last_overrun = 0;
            timer.interval_ns = new.interval_ns;
            timer.next_ns = (new.value_ns != 0).then(|| {
                if is_absolute {
                    new.value_ns
                } else {
                    now + new.value_ns
                }
            });
            timer.arm(kernel, threads, 0);
            old
        };
        self.drop_timer_signals(Some(id));
        Ok(old)
    }

    pub fn timer_gettime(&self, kernel: &Kernel, id: i32) -> Result<TimerSetting, Errno> {
        let mut timers = self.timers.lock();
        let timer = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
        Ok(timer.setting(timer.clock.now_ns(kernel)?))
    }

    pub fn timer_overrun(&self, id: i32) -> Result<i32, Errno> {
        self.timers
            .lock()
            .posix
            .get(&id)
            .map(|t| t.last_overrun)
            .ok_or(Errno::EINVAL)
    }

    pub fn timer_delete(&self, kernel: &Kernel, id: i32) -> Result<(), Errno> {
        let mut removed = self.timers.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
        removed.disarm(kernel);
        self.drop_timer_signals(Some(id));
        Ok(())
    }

    /// Pending signals of a timer that was set anew or deleted; of all: None.
    fn drop_timer_signals(&self, id: Option<i32>) {
        let keep =
            |info: &SigInfo| info.code != si_code::TIMER || id.is_some_and(|id| info.pid() != id);
        let mut signals = self.signals.lock();
        signals.shared.retain(keep);
        for thread in signals.threads.values_mut() {
            thread.pending.retain(keep);
        }
    }

    /// setitimer(2): the old setting.
    pub fn set_itimer(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        which: i32,
        new: TimerSetting,
    ) -> Result<TimerSetting, Errno> {
        let (at, signal) = itimer(which)?;
        let threads = self.thread_count();
        let clock = if which == ITIMER_REAL {
            AnyClock::System(rivix_abi::time::CLOCK_MONOTONIC)
        } else {
            AnyClock::Process(Arc::downgrade(self))
        };
        let now = clock.now_ns(kernel)?;
        let mut timers = self.timers.lock();
        let notice = TimerNotice {
            signal: Some(signal),
            tid: None,
            value: 0,
        };
        let timer = timers.interval[at]
            .get_or_insert_with(|| Timer::new(kernel, self, Which::Interval(at), clock, notice));
        let old = timer.setting(now);
        timer.interval_ns = new.interval_ns;
        timer.next_ns = (new.value_ns != 0).then(|| now + new.value_ns);
        if timer.next_ns.is_none() {
            timer.interval_ns = 0;
        }
        timer.arm(kernel, threads, 0);
        Ok(old)
    }

    pub fn get_itimer(&self, kernel: &Kernel, which: i32) -> Result<TimerSetting, Errno> {
        let (at, _) = itimer(which)?;
        let timers = self.timers.lock();
        match &timers.interval[at] {
            Some(timer) => Ok(timer.setting(timer.clock.now_ns(kernel)?)),
            None => Ok(TimerSetting::default()),
        }
    }

    /// execve(2): POSIX timers go, interval timers stay.
    pub(crate) fn timers_exec(&self, kernel: &Kernel) {
        let gone = std::mem::take(&mut self.timers.lock().posix);
        if gone.is_empty() {
            return;
        }
        for mut timer in gone.into_values() {
            timer.disarm(kernel);
        }
        self.drop_timer_signals(None);
    }

    /// The process ends.
    pub(crate) fn timers_end(&self, kernel: &Kernel) {
        let gone = std::mem::take(&mut *self.timers.lock());
        for mut timer in gone
            .posix
            .into_values()
            .chain(gone.interval.into_iter().flatten())
        {
            timer.disarm(kernel);
        }
    }
}

fn itimer(which: i32) -> Result<(usize, Signal), Errno> {
    match which {
        ITIMER_REAL => Ok((0, Signal::SIGALRM)),
        ITIMER_VIRTUAL => Ok((1, Signal::SIGVTALRM)),
        rivix_abi::time::ITIMER_PROF => Ok((2, Signal::SIGPROF)),
        _ => Err(Errno::EINVAL),
    }
}

impl crate::Task {
    /// A timer's signal was taken: its info gets the overrun count, and the
    /// timer goes on.
    pub(crate) fn timer_signal_taken(&self, info: &mut SigInfo) {
        if info.code != si_code::TIMER {
            return;
        }
        let id = info.pid();
        let Some(kernel) = self.kernel() else {
            return;
        };
        let threads = self.group().thread_count();
        let mut timers = self.group().timers.lock();
        let Some(timer) = timers.posix.get_mut(&id) else {
            return;
        };
        timer.is_pending = false;
        let Ok(now) = timer.clock.now_ns(&kernel) else {
            return;
        };
        let passed = timer.forward(now);
        timer.last_overrun = i32::try_from((passed - 1).max(0)).unwrap_or(i32::MAX);
        info.fields[0] =
            u64::from(id.cast_unsigned()) | u64::from(timer.last_overrun.cast_unsigned()) << 32;
        timer.arm(&kernel, threads, 0);
    }
}
