//! Locks whose type names their place in the one order below.

use crate::sys::{RawMutex, RawMutexGuard, RawRwLock, RawRwLockReadGuard, RawRwLockWriteGuard};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A place in the lock order. Lower ranks are taken first.
pub trait Level {
    const RANK: u8;
    const NAME: &'static str;
}

macro_rules! lock_order {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// The order, outermost first. A thread that holds a lock takes only locks listed after it.
        pub mod level {
            enum Rank { $($name),* }
            $(
                $(#[$doc])*
                pub struct $name;
                impl super::Level for $name {
                    const RANK: u8 = Rank::$name as u8;
                    const NAME: &'static str = stringify!($name);
                }
            )*
        }
    };
}

lock_order! {
    /// A sandbox's table of processes and sessions.
    Pids
    /// A process: threads, children, exit state.
    ThreadGroup
    /// POSIX timers, interval timers. Their CPU clocks look at the threads, under Signals.
    Timers
    /// A process's signal dispositions.
    SignalActions
    /// A process's or task's pending signals and mask.
    Signals
    /// A task's own state.
    Task
    /// A teaching kernel's process: its threads by slot, its mutexes and their like.
    Teaching
    /// Which task has which virtual CPU, and who waits for one.
    VirtualCpus
    /// Current directory, root, umask.
    FsContext
    /// The mount table.
    Mounts
    /// A descriptor table.
    FdTable
    /// An epoll instance.
    Epoll
    /// An open file's offset and flags.
    OpenFile
    /// A pipe, eventfd, socket or other in-memory object.
    FileObject
    /// An inode of an in-memory file system.
    Inode
    /// A futex bucket.
    Futex
    /// Who owns and who waits for the locks among the futexes.
    FutexLocks
    /// An address space's mappings.
    Vmas
    /// All address spaces, for changes of files they may map.
    Spaces
    /// Freed windows kept for reuse.
    Windows
    /// Host resources charged.
    Budget
    /// A code object's translations.
    Code
    /// A wait queue's entries.
    WaitQueue
    /// An epoll instance's ready list, taken from notifications.
    Ready
    /// The heap of deadlines.
    TimerHeap
    /// What a system-call trace has begun; its text goes to a lane.
    Strace
    /// A reusable job's interlock: the caller's own state.
    Interlock
    /// A reusable job's own state.
    Job
    /// A lane's services, its side tables.
    Lane
    /// An executor's injector, its lists.
    Executor
    /// The registry of shared pools.
    Pools
    /// A pool: idle stack, queue, counts.
    Pool
    /// What a worker was handed; the creator's mailbox; a unit's place in a queue.
    Worker
    /// A completion handle's result and waiter.
    Ticket
    /// Numbers in use: process ids. Given back wherever their last holder goes.
    Ids
    /// Counters and logs.
    Stats
}

#[cfg(debug_assertions)]
mod held {
    use std::cell::RefCell;

    crate::thread_local_var! {
        static HELD: RefCell<Vec<(u8, &'static str)>> = RefCell::new(Vec::new());
    }

    pub(super) fn push(rank: u8, name: &'static str) {
        // A thread that is being torn down may have lost its list.
        let worst = HELD.try_with(|held| held.borrow().iter().copied().max());
        if let Ok(Some((rank_held, name_held))) = worst {
            assert!(
                rank > rank_held,
                "lock order: {name} taken while {name_held} is held"
            );
        }
        let _ = HELD.try_with(|held| held.borrow_mut().push((rank, name)));
    }

    pub(super) fn pop(rank: u8) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|&(r, _)| r == rank) {
                held.remove(at);
            }
        });
    }

    pub(super) fn any() -> Option<&'static str> {
        HELD.try_with(|held| held.borrow().last().map(|&(_, name)| name))
            .ok()
            .flatten()
    }
}

/// Panics in debug builds when this thread holds an ordered lock: called where
/// code of others is about to run, or a thread is about to sleep or to end.
pub fn assert_no_lock_held(what: &str) {
    #[cfg(debug_assertions)]
    if let Some(name) = held::any() {
        panic!("{what} while {name} is held");
    }
    #[cfg(not(debug_assertions))]
    let _ = what;
}

/// Marks a level as held by this thread until dropped.
struct Held<L: Level>(PhantomData<L>);

impl<L: Level> Held<L> {
    fn enter() -> Self {
        #[cfg(debug_assertions)]
        held::push(L::RANK, L::NAME);
        Held(PhantomData)
    }
}

impl<L: Level> Drop for Held<L> {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        held::pop(L::RANK);
    }
}

/// A mutual-exclusion lock at level `L`.
pub struct Mutex<L, T: ?Sized> {
    _level: PhantomData<fn() -> L>,
    inner: RawMutex<T>,
}

impl<L: Level, T> Mutex<L, T> {
    #[cfg(not(rivix_model))]
    pub const fn new(value: T) -> Self {
        Mutex {
            _level: PhantomData,
            inner: RawMutex::new(value),
        }
    }

    #[cfg(rivix_model)]
    pub fn new(value: T) -> Self {
        Mutex {
            _level: PhantomData,
            inner: RawMutex::new(value),
        }
    }

    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<L: Level, T: ?Sized> Mutex<L, T> {
    pub fn lock(&self) -> MutexGuard<'_, L, T> {
        let held = Held::enter();
        MutexGuard {
            inner: self.inner.lock(),
            _held: held,
        }
    }

    /// Takes the lock only if it is free. A try never deadlocks, yet the order is still checked.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, L, T>> {
        let inner = self.inner.try_lock()?;
        Some(MutexGuard {
            inner,
            _held: Held::enter(),
        })
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Is `guard` one of this very lock? For code that is told "the caller holds
    /// the lock" and must not take another lock's guard for it.
    pub fn is_held_by(&self, guard: &MutexGuard<'_, L, T>) -> bool {
        #[cfg(not(rivix_model))]
        return std::ptr::addr_eq(RawMutexGuard::mutex(&guard.inner), &self.inner);
        // The checkers' guards do not name their lock; they keep the value inside it.
        #[cfg(rivix_model)]
        {
            let lock = std::ptr::from_ref(&self.inner).cast::<u8>() as usize;
            let value = std::ptr::from_ref::<T>(&guard.inner).cast::<u8>() as usize;
            (lock..lock + size_of_val(&self.inner)).contains(&value)
        }
    }

    /// Takes a second lock of the level that `_first` has. The caller orders
    /// such pairs itself (by index or address) and says at the call why no
    /// cycle can form.
    pub fn lock_second<U: ?Sized>(&self, _first: &MutexGuard<'_, L, U>) -> SecondGuard<'_, T> {
        SecondGuard(self.inner.lock())
    }
}

/// A lock in a static. The model checkers' locks can neither be made at compile
/// time nor outlive one run, so that under a model it is the host's, which knows
/// of no schedule: nothing that a model checks may be called while it is held.
#[cfg(not(rivix_model))]
pub type StaticMutex<L, T> = Mutex<L, T>;

#[cfg(rivix_model)]
pub struct StaticMutex<L, T> {
    _level: PhantomData<fn() -> L>,
    inner: parking_lot::Mutex<T>,
}

#[cfg(rivix_model)]
impl<L: Level, T> StaticMutex<L, T> {
    pub const fn new(value: T) -> Self {
        StaticMutex {
            _level: PhantomData,
            inner: parking_lot::Mutex::new(value),
        }
    }

    pub fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        self.inner.lock()
    }
}

/// A guard of [`Mutex::lock_second`].
pub struct SecondGuard<'a, T: ?Sized>(RawMutexGuard<'a, T>);

impl<T: ?Sized> Deref for SecondGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for SecondGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<L: Level, T: Default> Default for Mutex<L, T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

pub struct MutexGuard<'a, L: Level, T: ?Sized> {
    inner: RawMutexGuard<'a, T>,
    _held: Held<L>,
}

impl<L: Level, T: ?Sized> Deref for MutexGuard<'_, L, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<L: Level, T: ?Sized> DerefMut for MutexGuard<'_, L, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A readers-writer lock at level `L`.
pub struct RwLock<L, T> {
    _level: PhantomData<fn() -> L>,
    inner: RawRwLock<T>,
}

impl<L: Level, T> RwLock<L, T> {
    #[cfg(not(rivix_model))]
    pub const fn new(value: T) -> Self {
        RwLock {
            _level: PhantomData,
            inner: RawRwLock::new(value),
        }
    }

    #[cfg(rivix_model)]
    pub fn new(value: T) -> Self {
        RwLock {
            _level: PhantomData,
            inner: RawRwLock::new(value),
        }
    }
}

impl<L: Level, T> RwLock<L, T> {
    pub fn read(&self) -> RwLockReadGuard<'_, L, T> {
        let held = Held::enter();
        RwLockReadGuard {
            inner: self.inner.read(),
            _held: held,
        }
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, L, T> {
        let held = Held::enter();
        RwLockWriteGuard {
            inner: self.inner.write(),
            _held: held,
        }
    }
}

pub struct RwLockReadGuard<'a, L: Level, T> {
    inner: RawRwLockReadGuard<'a, T>,
    _held: Held<L>,
}

impl<L: Level, T> Deref for RwLockReadGuard<'_, L, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

pub struct RwLockWriteGuard<'a, L: Level, T> {
    inner: RawRwLockWriteGuard<'a, T>,
    _held: Held<L>,
}

impl<L: Level, T> Deref for RwLockWriteGuard<'_, L, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<L: Level, T> DerefMut for RwLockWriteGuard<'_, L, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    #[test]
    fn order_is_free_when_kept() {
        let outer = Mutex::<level::Pids, _>::new(1);
        let inner = Mutex::<level::WaitQueue, _>::new(2);
        let a = outer.lock();
        let b = inner.lock();
        assert_eq!(*a + *b, 3);
    }

    #[test]
    fn a_guard_is_told_from_that_of_a_neighbour() {
        let locks: [Mutex<level::Interlock, ()>; 2] = Default::default();
        let guard = locks[0].lock();
        assert!(locks[0].is_held_by(&guard));
        assert!(!locks[1].is_held_by(&guard));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lock order: Pids taken while WaitQueue is held")]
    fn inversion_panics_in_debug() {
        let outer = Mutex::<level::Pids, _>::new(1);
        let inner = Mutex::<level::WaitQueue, _>::new(2);
        let _b = inner.lock();
        let _a = outer.lock();
    }
}
