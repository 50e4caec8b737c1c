//! A process's timers: POSIX timers (timer_create(2)) here, interval timers and
//! RLIMIT_CPU in `itimers.rs`, all on the kernel's one heap of deadlines.
//!
//! A timer whose signal is pending is not armed: it is armed again when the signal
//! is taken, and what passed meanwhile is a POSIX timer's overrun count. One whose
//! signal is ignored waits until somebody listens to it.

use crate::clock::AnyClock;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::pids::Report;
use crate::signal::queue::TimerKey;
use crate::signal::room::Room;
use rivix_abi::resource::Resource;
use rivix_abi::signal::SigInfo;
use rivix_abi::{Errno, Signal};
use rivix_spawner::{Expire, TimerId};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// How often a CPU clock that has not reached its deadline is looked at, at most
/// and, while it stands still, at least.
const CPU_POLL_NS: i128 = 1_000_000;
const CPU_IDLE_POLL_NS: i128 = 8_000_000;

/// Guarded by the group's `Timers` lock.
#[derive(Default)]
pub(crate) struct GroupTimers {
    posix: BTreeMap<i32, Timer>,
    pub(crate) interval: [Option<Timer>; 3],
    pub(crate) cpu_limit: Option<Timer>,
    /// The process has ended: nothing is armed any more.
    pub(crate) is_over: bool,
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

/// Where a timer's last expiry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notified {
    /// Told and heard, or there has been none.
    Heard,
    /// Its signal pends.
    Pending,
    /// Its signal was ignored.
    Ignored,
}

pub(crate) struct Timer {
    which: Which,
    clock: AnyClock,
    notice: TimerNotice,
    /// When it expires next, on its clock.
    pub(crate) next_ns: Option<i128>,
    pub(crate) interval_ns: i128,
    pub(crate) notified: Notified,
    /// Counts how often it was set: signals of earlier settings are void.
    setting: u64,
    last_overrun: i32,
    armed: Option<TimerId>,
    /// What its CPU clock read when it was looked at last, and how long to wait
    /// for the next look.
    looked_at_ns: i128,
    poll_ns: i128,
    /// Kept alive here; the heap holds it weakly.
    expiry: Arc<dyn Expire>,
    /// A POSIX timer's share of RLIMIT_SIGPENDING.
    _room: Option<Room>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Posix(i32),
    Interval(usize),
    CpuLimit,
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
            Which::CpuLimit => self.cpu_limit.as_mut(),
        }
    }
}

impl Timer {
    pub(crate) fn new(
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
            which,
            clock,
            notice,
            next_ns: None,
            interval_ns: 0,
            notified: Notified::Heard,
            setting: 0,
            last_overrun: 0,
            armed: None,
            looked_at_ns: -1,
            poll_ns: CPU_POLL_NS,
            expiry: Arc::new(expiry),
            _room: None,
        }
    }

    pub(crate) fn now_ns(&self, kernel: &Kernel) -> Result<i128, Errno> {
        self.clock.now_ns(kernel)
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    pub(crate) fn disarm(&mut self, kernel: &Kernel) {
        if let Some(id) = self.armed.take() {
            kernel.timers().disarm(id);
        }
    }

    /// Puts the next expiry on the heap; `threads` is how many may drive a CPU clock.
    pub(crate) fn arm(&mut self, kernel: &Kernel, threads: usize) {
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
            self.poll_ns = if now == self.looked_at_ns {
                (self.poll_ns * 2).min(CPU_IDLE_POLL_NS)
            } else {
                CPU_POLL_NS
            };
            self.looked_at_ns = now;
            // It can run as fast as there are threads.
            wait = (wait / threads.max(1) as i128).max(self.poll_ns);
        }
        if let Some(at) = kernel.clock().instant_after(wait) {
            self.armed = Some(kernel.timers().arm(at, Arc::downgrade(&self.expiry)));
        }
    }

    /// Moves `next` past `now`; how many expiries lie between.
    pub(crate) fn forward(&mut self, now: i128) -> i128 {
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

    pub(crate) fn setting(&self, now: i128) -> TimerSetting {
        let interval_ns = self.interval_ns;
        let is_posix = matches!(self.which, Which::Posix(_));
        // An interval timer whose signal pends stands still.
        let waits = !is_posix && self.notified == Notified::Pending;
        let Some(mut next) = self.next_ns.filter(|_| !waits) else {
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

    /// The signal of an expiry of a POSIX timer, and whose it is.
    fn message(&self, id: i32, signal: Signal) -> (SigInfo, TimerKey) {
        let info = SigInfo::timer(signal, id, 0, self.notice.value);
        let setting = self.setting;
        (info, TimerKey { id, setting })
    }
}

impl ThreadGroup {
    fn timer_expired(self: &Arc<Self>, kernel: &Arc<Kernel>, which: Which) {
        let threads = self.thread_count();
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
            timer.arm(kernel, threads);
            return;
        }
        let Some(signal) = timer.notice.signal else {
            return;
        };
        match which {
            Which::Posix(id) => {
                timer.notified = Notified::Pending;
                if timer.interval_ns <= 0 {
                    timer.next_ns = None;
                }
                let tid = timer.notice.tid;
                let (info, key) = timer.message(id, signal);
                drop(timers);
                self.send_timer_signal(kernel, tid, signal, info, key);
            }
            Which::Interval(_) => {
                if timer.clock.is_cpu() {
                    timer.forward(now);
                    timer.arm(kernel, threads);
                } else {
                    timer.notified = Notified::Pending;
                    if timer.interval_ns <= 0 {
                        timer.next_ns = None;
                    }
                }
                drop(timers);
                let info = SigInfo::kernel(signal);
                // Nobody to tell: the process is ending.
                let _ = kernel.send_to_group(self, None, signal, info, false);
            }
            Which::CpuLimit => {
                drop(timers);
                self.cpu_limit_reached(kernel, now);
            }
        }
    }

    fn send_timer_signal(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        tid: Option<i32>,
        signal: Signal,
        info: SigInfo,
        key: TimerKey,
    ) {
        // A thread that is gone hears nothing, and the timer never goes on.
        let Ok(after) = self.queue_timer_signal(tid, signal, info, key) else {
            return;
        };
        if after.is_continued {
            kernel.report_state(self.pid(), Report::Continued);
        }
        if after.is_ignored {
            self.timers_ignored(&[key]);
            // Somebody may have begun to listen before the mark was there.
            if !self.actions().is_ignored(signal) {
                self.timers_listened_to(kernel, signal);
            }
        }
    }

    /// These timers' signals were dropped as ignored. A periodic one waits to be
    /// listened to; a single shot is lost.
    pub(crate) fn timers_ignored(&self, keys: &[TimerKey]) {
        if keys.is_empty() {
            return;
        }
        let mut timers = self.timers.lock();
        for key in keys {
            let timer = timers.posix.get_mut(&key.id);
            if let Some(timer) = timer.filter(|timer| timer.setting == key.setting) {
                timer.notified = if timer.interval_ns > 0 {
                    Notified::Ignored
                } else {
                    Notified::Heard
                };
            }
        }
    }

    /// `signal` is not ignored any more: what its timers had to say is said now.
    pub(crate) fn timers_listened_to(self: &Arc<Self>, kernel: &Arc<Kernel>, signal: Signal) {
        let mut messages = Vec::new();
        {
            let mut timers = self.timers.lock();
            for (id, timer) in &mut timers.posix {
                let is_its = timer.notice.signal == Some(signal);
                if is_its && timer.notified == Notified::Ignored {
                    timer.notified = Notified::Pending;
                    messages.push((timer.notice.tid, timer.message(*id, signal)));
                }
            }
        }
        for (tid, (info, key)) in messages {
            self.send_timer_signal(kernel, tid, signal, info, key);
        }
    }

    /// timer_create(2): the new timer's id.
    ///
    /// # Errors
    /// EAGAIN: its user has no room for another queued signal (RLIMIT_SIGPENDING).
    pub fn timer_create(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        clock: AnyClock,
        uid: u32,
        notice: impl FnOnce(i32) -> TimerNotice,
    ) -> Result<i32, Errno> {
        let limit = self.rlimit(Resource::Sigpending).cur;
        let room = kernel.rooms.take(uid, limit, false).ok_or(Errno::EAGAIN)?;
        let mut timers = self.timers.lock();
        let mut id = timers.next_id;
        while timers.posix.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(0);
        }
        timers.next_id = id.checked_add(1).unwrap_or(0);
        let mut timer = Timer::new(kernel, self, Which::Posix(id), clock, notice(id));
        timer._room = Some(room);
        timers.posix.insert(id, timer);
        Ok(id)
    }

    /// timer_settime(2): the old setting. `value_ns` is the time on the
    /// timer's clock when `is_absolute`. Without a value there is no interval either.
    pub fn timer_settime(
        &self,
        kernel: &Kernel,
        id: i32,
        new: TimerSetting,
        is_absolute: bool,
    ) -> Result<TimerSetting, Errno> {
        let threads = self.thread_count();
        let mut timers = self.timers.lock();
        let timer = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
        // The thread whose time it counts may have ended.
        let now = timer.clock.now_ns(kernel).map_err(|_| Errno::ESRCH)?;
        let old = timer.setting(now);
        timer.disarm(kernel);
        timer.notified = Notified::Heard;
        timer.setting = timer.setting.wrapping_add(1);
        timer.last_overrun = 0;
        timer.interval_ns = 0;
        timer.next_ns = None;
        if new.value_ns != 0 {
            timer.interval_ns = new.interval_ns;
            timer.next_ns = Some(if is_absolute {
                new.value_ns
            } else {
                now + new.value_ns
            });
        }
        timer.arm(kernel, threads);
        self.drop_timer_signals(Some(id));
        Ok(old)
    }

    pub fn timer_gettime(&self, kernel: &Kernel, id: i32) -> Result<TimerSetting, Errno> {
        let mut timers = self.timers.lock();
        let timer = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
        // Of one that counts the time of a thread that has ended nothing is left.
        let now = timer.clock.now_ns(kernel);
        Ok(now.map_or_else(|_| TimerSetting::default(), |now| timer.setting(now)))
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
        let mut timers = self.timers.lock();
        let mut removed = timers.posix.remove(&id).ok_or(Errno::EINVAL)?;
        removed.disarm(kernel);
        self.drop_timer_signals(Some(id));
        Ok(())
    }

    /// Pending signals of a timer that was set anew or deleted; of all: None.
    fn drop_timer_signals(&self, id: Option<i32>) {
        let mut signals = self.signals.lock();
        signals.shared.drop_timer(id);
        for thread in signals.threads.values_mut() {
            thread.pending.drop_timer(id);
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
        let over = GroupTimers {
            is_over: true,
            ..GroupTimers::default()
        };
        let gone = std::mem::replace(&mut *self.timers.lock(), over);
        for mut timer in gone
            .posix
            .into_values()
            .chain(gone.interval.into_iter().flatten())
            .chain(gone.cpu_limit)
        {
            timer.disarm(kernel);
        }
    }
}

impl crate::Task {
    /// A timer's signal was taken: its info gets the overrun count, and the timer
    /// goes on. False: the timer is gone, or was set anew since.
    pub(crate) fn timer_signal_taken(&self, key: TimerKey, info: &mut SigInfo) -> bool {
        let Some(kernel) = self.kernel() else {
            return true;
        };
        let threads = self.group().thread_count();
        let mut timers = self.group().timers.lock();
        let timer = timers.posix.get_mut(&key.id);
        let Some(timer) = timer.filter(|timer| timer.setting == key.setting) else {
            return false;
        };
        timer.notified = Notified::Heard;
        if timer.interval_ns > 0
            && let Ok(now) = timer.clock.now_ns(&kernel)
        {
            let passed = timer.forward(now);
            timer.last_overrun = i32::try_from((passed - 1).max(0)).unwrap_or(i32::MAX);
            timer.arm(&kernel, threads);
        }
        info.fields[0] =
            u64::from(key.id.cast_unsigned()) | u64::from(timer.last_overrun.cast_unsigned()) << 32;
        true
    }
}
