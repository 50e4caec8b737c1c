//! Interval timers (setitimer(2)) and the limit of CPU time (RLIMIT_CPU, setrlimit(2)).

use crate::clock::{AnyClock, CpuKind};
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::timers::{Notified, Timer, TimerNotice, TimerSetting, Which};
use rivix_abi::resource::{RLIM_INFINITY, Resource, Rlimit};
use rivix_abi::signal::SigInfo;
use rivix_abi::time::{ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, NSEC_PER_SEC};
use rivix_abi::{Errno, Signal};
use std::sync::Arc;

/// Place of ITIMER_REAL among a process's interval timers.
const REAL: usize = 0;

/// A limit in seconds as nanoseconds.
fn seconds(limit: u64) -> i128 {
    i128::from(limit) * i128::from(NSEC_PER_SEC)
}

fn itimer(which: i32) -> Result<(usize, Signal), Errno> {
    match which {
        ITIMER_REAL => Ok((REAL, Signal::SIGALRM)),
        ITIMER_VIRTUAL => Ok((1, Signal::SIGVTALRM)),
        ITIMER_PROF => Ok((2, Signal::SIGPROF)),
        _ => Err(Errno::EINVAL),
    }
}

fn notice(signal: Signal) -> TimerNotice {
    TimerNotice {
        signal: Some(signal),
        tid: None,
        value: 0,
    }
}

impl ThreadGroup {
    /// setitimer(2): the old setting.
    ///
    /// # Errors
    /// EINVAL: there is no such timer.
    pub fn set_itimer(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        which: i32,
        new: TimerSetting,
    ) -> Result<TimerSetting, Errno> {
        let (at, signal) = itimer(which)?;
        let threads = self.thread_count();
        let clock = match which {
            ITIMER_REAL => AnyClock::System(rivix_abi::time::CLOCK_MONOTONIC),
            ITIMER_VIRTUAL => AnyClock::Process(Arc::downgrade(self), CpuKind::User),
            _ => AnyClock::Process(Arc::downgrade(self), CpuKind::Both),
        };
        let now = clock.now_ns(kernel)?;
        let mut timers = self.timers.lock();
        let timer = timers.interval[at].get_or_insert_with(|| {
            Timer::new(kernel, self, Which::Interval(at), clock, notice(signal))
        });
        let old = timer.setting(now);
        timer.notified = Notified::Heard;
        timer.interval_ns = new.interval_ns;
        timer.next_ns = (new.value_ns != 0).then(|| now + new.value_ns);
        if timer.next_ns.is_none() && at == REAL {
            // The CPU ones remember an interval that nothing starts.
            timer.interval_ns = 0;
        }
        timer.arm(kernel, threads);
        Ok(old)
    }

    /// getitimer(2).
    ///
    /// # Errors
    /// EINVAL: there is no such timer.
    pub fn get_itimer(
        self: &Arc<Self>,
        kernel: &Kernel,
        which: i32,
    ) -> Result<TimerSetting, Errno> {
        let (at, _) = itimer(which)?;
        let timers = self.timers.lock();
        match &timers.interval[at] {
            Some(timer) => Ok(timer.setting(timer.now_ns(kernel)?)),
            None => Ok(TimerSetting::default()),
        }
    }

    /// Sets a limit, and sees to it that RLIMIT_CPU is kept.
    pub fn change_rlimit(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        resource: Resource,
        limit: Rlimit,
    ) {
        self.set_rlimit(resource, limit);
        if resource == Resource::Cpu {
            self.watch_cpu_limit(kernel);
        }
    }

    /// Begins to keep RLIMIT_CPU as it is now: a new process, or a new limit.
    pub(crate) fn watch_cpu_limit(self: &Arc<Self>, kernel: &Arc<Kernel>) {
        let limit = self.rlimit(Resource::Cpu).cur;
        let threads = self.thread_count();
        let mut timers = self.timers.lock();
        if timers.is_over {
            return;
        }
        if limit == RLIM_INFINITY {
            if let Some(mut timer) = timers.cpu_limit.take() {
                timer.disarm(kernel);
            }
            return;
        }
        let timer = timers.cpu_limit.get_or_insert_with(|| {
            let clock = AnyClock::Process(Arc::downgrade(self), CpuKind::Both);
            Timer::new(
                kernel,
                self,
                Which::CpuLimit,
                clock,
                notice(Signal::SIGXCPU),
            )
        });
        timer.next_ns = Some(seconds(limit));
        timer.arm(kernel, threads);
    }

    /// The soft limit has been used up: SIGXCPU, and again after each second more,
    /// for which the limit grows; at the hard limit SIGKILL.
    pub(crate) fn cpu_limit_reached(self: &Arc<Self>, kernel: &Arc<Kernel>, used_ns: i128) {
        let mut limit = self.rlimit(Resource::Cpu);
        if limit.max != RLIM_INFINITY && used_ns >= seconds(limit.max) {
            let info = SigInfo::kernel(Signal::SIGKILL);
            let _ = kernel.send_to_group(self, None, Signal::SIGKILL, info, false);
            return;
        }
        if used_ns >= seconds(limit.cur) {
            let info = SigInfo::kernel(Signal::SIGXCPU);
            let _ = kernel.send_to_group(self, None, Signal::SIGXCPU, info, false);
            limit.cur = limit.cur.saturating_add(1);
            self.set_rlimit(Resource::Cpu, limit);
        }
        self.watch_cpu_limit(kernel);
    }
}

impl crate::Task {
    /// A SIGALRM of the process was taken: the real interval timer, which stood
    /// still while its signal was pending, goes on.
    pub(crate) fn alarm_taken(&self) {
        let Some(kernel) = self.kernel() else { return };
        let threads = self.group().thread_count();
        let mut timers = self.group().timers.lock();
        let Some(timer) = &mut timers.interval[REAL] else {
            return;
        };
        if timer.is_armed() || timer.interval_ns <= 0 {
            return;
        }
        timer.notified = Notified::Heard;
        if let Ok(now) = timer.now_ns(&kernel) {
            timer.forward(now);
            timer.arm(&kernel, threads);
        }
    }
}
