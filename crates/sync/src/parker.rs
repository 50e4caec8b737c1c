//! The only way to sleep.

use crate::sys::{self, Futex, atomic::Ordering};
use std::time::Instant;

const EMPTY: u32 = 0;
const PERMIT: u32 = 1;
const SLEEPING: u32 = 2;

/// A one-permit token on a host futex. `unpark` before `park_until` is not lost;
/// two count as one. One thread parks; any may unpark.
///
/// A permit carries memory: what a thread wrote before `unpark` is seen after
/// the `park_until` that took the permit.
pub struct Parker {
    state: Futex,
}

impl Default for Parker {
    fn default() -> Self {
        Parker::new()
    }
}

impl Parker {
    #[cfg(not(rivix_model))]
    pub const fn new() -> Self {
        Parker {
            state: Futex::new(EMPTY),
        }
    }

    #[cfg(rivix_model)]
    pub fn new() -> Self {
        Parker {
            state: Futex::new(EMPTY),
        }
    }

    /// Sleeps until the permit is there, then takes it.
    pub fn park(&self) {
        self.park_until(None);
    }

    /// Sleeps until the permit is there, takes it, and returns true; false when
    /// `deadline` came first.
    pub fn park_until(&self, deadline: Option<Instant>) -> bool {
        if self.take() {
            return true;
        }
        loop {
            if sys::mutant("parker-blind-sleep") {
                // An unpark since the look is overwritten.
                self.state.word.store(SLEEPING, Ordering::Relaxed);
            } else {
                // PERMIT here means an unpark came since: take it below.
                let _ = self.state.word.compare_exchange(
                    EMPTY,
                    SLEEPING,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            let left = match deadline {
                None => None,
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return self.take(),
                },
            };
            self.state.wait(SLEEPING, left);
            if self.take() {
                return true;
            }
            if cfg!(rivix_model) && left.is_some() {
                return false;
            }
        }
    }

    /// Takes the permit if it is there, without sleeping.
    pub fn take(&self) -> bool {
        self.state.word.swap(EMPTY, Ordering::Acquire) == PERMIT
    }

    /// Wakes who sleeps now, and leaves no permit to who is about to: what a
    /// kick without the permit would be.
    pub(crate) fn wake_sleeper(&self) {
        if self.state.word.load(Ordering::SeqCst) == SLEEPING {
            self.unpark();
        }
    }

    pub fn unpark(&self) {
        if self.state.word.swap(PERMIT, Ordering::Release) == SLEEPING
            && !sys::mutant("parker-no-wake")
        {
            self.state.wake_one();
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_early_permit_is_kept_and_counts_once() {
        let parker = Parker::new();
        parker.unpark();
        parker.unpark();
        assert!(parker.park_until(None));
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(!parker.park_until(Some(soon)));
    }

    #[test]
    fn two_threads_pass_a_permit_back_and_forth() {
        static PING: Parker = Parker::new();
        static PONG: Parker = Parker::new();
        let far = Instant::now() + Duration::from_secs(20);
        let other = std::thread::spawn(move || {
            for _ in 0..10_000 {
                assert!(PING.park_until(Some(far)));
                PONG.unpark();
            }
        });
        for _ in 0..10_000 {
            PING.unpark();
            assert!(PONG.park_until(Some(far)));
        }
        other.join().unwrap();
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use std::sync::Arc;

    /// One permit is never lost, wherever the unpark lands, and carries memory.
    #[test]
    fn parker() {
        loom::model(|| {
            let parker = Arc::new(Parker::new());
            let data = Arc::new(loom::cell::UnsafeCell::new(0));
            let other = {
                let (parker, data) = (parker.clone(), data.clone());
                loom::thread::spawn(move || {
                    // SAFETY: the parker hands the cell over.
                    data.with_mut(|data| unsafe { *data = 1 });
                    parker.unpark();
                })
            };
            parker.park();
            // SAFETY: as above.
            assert_eq!(data.with(|data| unsafe { *data }), 1);
            other.join().unwrap();
        });
    }

    /// A time-out against an unpark: one of them, and a permit not taken stays.
    #[test]
    fn parker_with_deadline() {
        loom::model(|| {
            let parker = Arc::new(Parker::new());
            let other = {
                let parker = parker.clone();
                loom::thread::spawn(move || parker.unpark())
            };
            let far = Instant::now() + std::time::Duration::from_secs(3600);
            let is_woken = parker.park_until(Some(far));
            other.join().unwrap();
            assert_eq!(parker.take(), !is_woken);
        });
    }
}
