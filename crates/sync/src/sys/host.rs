//! The host's own primitives.

use std::time::Duration;

pub use super::cell::UnsafeCell;

pub mod atomic {
    pub use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

pub mod thread {
    pub use std::thread::{JoinHandle, ThreadId};

    /// This thread's identity, never used again by another.
    pub fn current_id() -> ThreadId {
        std::thread::current().id()
    }

    /// Has the thread returned from its body? Joining it then takes no time to speak of.
    pub fn is_finished(handle: &JoinHandle<()>) -> bool {
        handle.is_finished()
    }

    /// Makes a host thread; the error is the host's.
    pub fn spawn(
        name: &str,
        stack: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(stack)
            .spawn(body)
    }
}

pub(crate) use parking_lot::{
    Mutex as RawMutex, MutexGuard as RawMutexGuard, RwLock as RawRwLock,
    RwLockReadGuard as RawRwLockReadGuard, RwLockWriteGuard as RawRwLockWriteGuard,
};

/// Gives the processor away; only between retries of something another thread finishes.
pub fn yield_now() {
    std::thread::yield_now();
}

/// A word that threads can sleep on (futex(2), private).
#[derive(Default)]
pub struct Futex {
    pub word: atomic::AtomicU32,
}

impl Futex {
    pub const fn new(value: u32) -> Self {
        Futex {
            word: atomic::AtomicU32::new(value),
        }
    }

    /// Sleeps while the word is `expected`, for `left` at most. May return early.
    pub fn wait(&self, expected: u32, left: Option<Duration>) {
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
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), op, expected, timeout)
        };
    }

    /// Wakes one sleeper.
    pub fn wake_one(&self) {
        // SAFETY: FUTEX_WAKE uses the word's address only as a key.
        unsafe {
            let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), op, 1)
        };
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! set_thread_local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        std::thread_local! { $(#[$meta])* $vis static $name: $ty = const { $init }; }
    };
}
