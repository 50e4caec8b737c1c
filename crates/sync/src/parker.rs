//! The only way to sleep.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const EMPTY: u32 = 0;
const PERMIT: u32 = 1;
const SLEEPING: u32 = 2;

/// A one-permit token on a host futex. `unpark` before `park_until` is not lost;
/// two count as one. One thread parks; any may unpark.
#[derive(Default)]
pub struct Parker {
    state: AtomicU32,
}

impl Parker {
    pub const fn new() -> Self {
        Parker {
            state: AtomicU32::new(EMPTY),
        }
    }

    /// Sleeps until the permit is there, takes it, and returns true; false when
    /// `deadline` came first.
    pub fn park_until(&self, deadline: Option<Instant>) -> bool {
        if self.state.swap(EMPTY, Ordering::Acquire) == PERMIT {
            return true;
        }
        loop {
            // PERMIT here means an unpark came since: take it below.
            let _ =
                self.state
                    .compare_exchange(EMPTY, SLEEPING, Ordering::Relaxed, Ordering::Relaxed);
            let left = match deadline {
                None => None,
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return self.state.swap(EMPTY, Ordering::Acquire) == PERMIT,
                },
            };
            self.futex_wait(left);
            if self.state.swap(EMPTY, Ordering::Acquire) == PERMIT {
                return true;
            }
        }
    }

    pub fn unpark(&self) {
        if self.state.swap(PERMIT, Ordering::Release) == SLEEPING {
            // SAFETY: FUTEX_WAKE uses the word's address only as a key.
            unsafe {
                let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
                libc::syscall(libc::SYS_futex, self.state.as_ptr(), op, 1)
            };
        }
    }

    fn futex_wait(&self, left: Option<std::time::Duration>) {
        let timeout = left.map(|left| libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the word and the timeout live through the call.
        unsafe {
            let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            libc::syscall(libc::SYS_futex, self.state.as_ptr(), op, SLEEPING, timeout)
        };
    }
}

#[cfg(test)]
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
