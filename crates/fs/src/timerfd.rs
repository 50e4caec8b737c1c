//! timerfd_create(2).

use crate::{File, FileOps, Sink};
use rivix_abi::Errno;
use rivix_abi::poll::{POLLIN, POLLRDNORM};
use rivix_spawner::{Expire, TimerId, Timers};
use rivix_sync::{Mutex, WaitQueue, level};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Reads the timer's clock, in nanoseconds.
pub type ReadClock = Box<dyn Fn() -> i128 + Send + Sync>;

#[derive(Default)]
struct State {
    /// Next expiry on the timer's clock; None: disarmed.
    next_ns: Option<i128>,
    interval_ns: i128,
    /// Expirations counted but not read.
    expired: u64,
    armed: Option<TimerId>,
}

struct Core {
    state: Mutex<level::FileObject, State>,
    queue: WaitQueue,
    timers: Arc<Timers>,
    now: ReadClock,
}

impl Core {
    /// Counts what has expired until now and moves `next_ns` past it.
    fn settle(&self, state: &mut State) {
        let Some(next) = state.next_ns else { return };
        let late = (self.now)() - next;
        if late < 0 {
            return;
        }
        if state.interval_ns == 0 {
            state.expired = state.expired.saturating_add(1);
            state.next_ns = None;
        } else {
            let times = late / state.interval_ns + 1;
            let counted = u64::try_from(times).unwrap_or(u64::MAX);
            state.expired = state.expired.saturating_add(counted);
            state.next_ns = next.checked_add(times.saturating_mul(state.interval_ns));
        }
    }

    /// Asks for a call at the next expiry. A timer that has expired unread needs
    /// none: it is readable until someone reads, and reading arms it again.
    fn arm(self: &Arc<Self>, state: &mut State) {
        if let Some(id) = state.armed.take() {
            self.timers.disarm(id);
        }
        if state.expired > 0 {
            return;
        }
        let Some(next) = state.next_ns else { return };
        let wait = (next - (self.now)()).max(0);
        let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
        if let Some(at) = Instant::now().checked_add(wait) {
            let target: Weak<dyn Expire> = Arc::downgrade(self) as Weak<dyn Expire>;
            state.armed = Some(self.timers.arm(at, target));
        }
    }
}

impl Expire for Core {
    fn expire(&self) {
        self.queue.notify(POLLIN | POLLRDNORM);
    }
}

/// A timer's setting: time to the next expiry (0: disarmed) and interval, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value_ns: i128,
    pub interval_ns: i128,
}

pub struct TimerFd {
    core: Arc<Core>,
    pub clock: i32,
}

impl TimerFd {
    pub fn new(clock: i32, timers: Arc<Timers>, now: ReadClock) -> TimerFd {
        let core = Core {
            state: Mutex::default(),
            queue: WaitQueue::new(),
            timers,
            now,
        };
        TimerFd {
            core: Arc::new(core),
            clock,
        }
    }

    /// timerfd_settime(2): gives the setting before.
    pub fn set(&self, new: Setting, is_absolute: bool) -> Setting {
        let mut state = self.core.state.lock();
        self.core.settle(&mut state);
        let old = self.remaining(&state);
        state.expired = 0;
        state.interval_ns = new.interval_ns;
        state.next_ns = match new.value_ns {
            0 => None,
            value if is_absolute => Some(value),
            value => Some((self.core.now)() + value),
        };
        self.core.arm(&mut state);
        old
    }

    /// timerfd_gettime(2).
    pub fn get(&self) -> Setting {
        let mut state = self.core.state.lock();
        self.core.settle(&mut state);
        self.remaining(&state)
    }

    fn remaining(&self, state: &State) -> Setting {
        let value_ns = state
            .next_ns
            .map_or(0, |next| (next - (self.core.now)()).max(1));
        Setting {
            value_ns,
            interval_ns: state.interval_ns,
        }
    }
}

impl FileOps for TimerFd {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let expired = {
            let mut state = self.core.state.lock();
            self.core.settle(&mut state);
            let expired = std::mem::take(&mut state.expired);
            self.core.arm(&mut state);
            expired
        };
        if expired == 0 {
            return Err(Errno::EAGAIN);
        }
        match sink.put(&expired.to_le_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn poll(&self, _: &File) -> u32 {
        let mut state = self.core.state.lock();
        self.core.settle(&mut state);
        if state.expired > 0 {
            POLLIN | POLLRDNORM
        } else {
            0
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.core.queue)
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if let Some(id) = self.core.state.lock().armed.take() {
            self.core.timers.disarm(id);
        }
    }
}
