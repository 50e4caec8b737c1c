//! What the two model checkers have in common: locks, the futex, giving way.

use super::atomic;
use std::time::Duration;

#[cfg(rivix_loom)]
use loom as checker;
#[cfg(rivix_shuttle)]
use shuttle as checker;

pub(crate) struct RawMutex<T: ?Sized>(checker::sync::Mutex<T>);
pub(crate) type RawMutexGuard<'a, T> = checker::sync::MutexGuard<'a, T>;

impl<T> RawMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        RawMutex(checker::sync::Mutex::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(|e| e.into_inner())
    }
}

impl<T: ?Sized> RawMutex<T> {
    pub(crate) fn lock(&self) -> RawMutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn try_lock(&self) -> Option<RawMutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(|e| e.into_inner())
    }
}

pub(crate) struct RawRwLock<T>(checker::sync::RwLock<T>);
pub(crate) type RawRwLockReadGuard<'a, T> = checker::sync::RwLockReadGuard<'a, T>;
pub(crate) type RawRwLockWriteGuard<'a, T> = checker::sync::RwLockWriteGuard<'a, T>;

impl<T> RawRwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        RawRwLock(checker::sync::RwLock::new(value))
    }
}

impl<T> RawRwLock<T> {
    pub(crate) fn read(&self) -> RawRwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn write(&self) -> RawRwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(|e| e.into_inner())
    }
}

/// Lets another thread run: the model must not spin.
pub fn yield_now() {
    checker::thread::yield_now();
}

/// A word to sleep on, as the kernel's futex behaves: comparing and going to
/// sleep are one step against a wake.
pub struct Futex {
    pub word: atomic::AtomicU32,
    sleepers: checker::sync::Mutex<()>,
    woken: checker::sync::Condvar,
}

impl Futex {
    pub fn new(value: u32) -> Self {
        Futex {
            word: atomic::AtomicU32::new(value),
            sleepers: checker::sync::Mutex::new(()),
            woken: checker::sync::Condvar::new(),
        }
    }

    /// Sleeps while the word is `expected`. With a limit it returns at once: the
    /// schedule decides whether the wake came before the time was up.
    pub fn wait(&self, expected: u32, left: Option<Duration>) {
        let guard = self.sleepers.lock().unwrap_or_else(|e| e.into_inner());
        if self.word.load(atomic::Ordering::SeqCst) != expected {
            return;
        }
        if left.is_some() {
            drop(guard);
            yield_now();
            return;
        }
        drop(self.woken.wait(guard));
    }

    pub fn wake_one(&self) {
        let _guard = self.sleepers.lock().unwrap_or_else(|e| e.into_inner());
        self.woken.notify_one();
    }
}
