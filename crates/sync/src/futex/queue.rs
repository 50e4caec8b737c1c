//! Buckets of waiters: wait, wake, requeue.

use super::table::Table;
use super::{Key, Refused, State, Told, Waiter, Word};
use crate::sys::{self, atomic::Ordering};
use crate::{Mutex, MutexGuard, SecondGuard, level};
use std::hash::Hasher;
use std::sync::Arc;

/// What an entry waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<K> {
    /// A wake, or a move to another word.
    Wake,
    /// The lock of this key.
    Lock,
    /// A move to the lock of that key, and then the lock.
    Requeue { target: K },
}

#[derive(Clone)]
pub(super) struct Entry<K> {
    pub(super) key: K,
    pub(super) kind: Kind<K>,
    pub(super) bitset: u32,
    /// The owner's at the time it queued.
    pub(super) priority: u32,
    pub(super) waiter: Arc<Waiter>,
}

/// Entries of all keys that share the bucket, by priority and then by arrival.
pub(super) type Bucket<K> = Vec<Entry<K>>;

/// A cache line of its own, so that two queues do not disturb each other.
#[repr(align(64))]
struct Line<K>(Mutex<level::Futex, Bucket<K>>);

/// All futexes of a sandbox.
pub struct Futexes<K> {
    buckets: Box<[Line<K>]>,
    pub(super) table: Mutex<level::FutexLocks, Table<K>>,
}

impl<K: Key> Futexes<K> {
    /// `buckets`: how many queues can change at one time.
    pub fn new(buckets: usize) -> Futexes<K> {
        let line = |_| Line(Mutex::new(Vec::new()));
        Futexes {
            buckets: (0..buckets.max(1)).map(line).collect(),
            table: Mutex::new(Table::default()),
        }
    }

    pub(super) fn index(&self, key: &K) -> usize {
        let mut mixer = Mixer(0);
        key.hash(&mut mixer);
        (mixer.finish() >> 32) as usize % self.buckets.len()
    }

    pub(super) fn bucket(&self, at: usize) -> MutexGuard<'_, level::Futex, Bucket<K>> {
        self.buckets[at % self.buckets.len()].0.lock()
    }

    /// Queues `waiter` if the word is `expected`, else EAGAIN. It is to leave
    /// (`leave`) in the end, unless its wait [is over](Waiter::is_over).
    pub fn wait(
        &self,
        waiter: &Arc<Waiter>,
        key: K,
        bitset: u32,
        word: &dyn Word,
        expected: u32,
    ) -> Result<(), Refused> {
        self.queue_if(waiter, key, Kind::Wake, bitset, word, expected)
    }

    pub(super) fn queue_if(
        &self,
        waiter: &Arc<Waiter>,
        key: K,
        kind: Kind<K>,
        bitset: u32,
        word: &dyn Word,
        expected: u32,
    ) -> Result<(), Refused> {
        let at = self.index(&key);
        let is_early = sys::mutant("futex-compare-unlocked");
        if is_early && word.load()? != expected {
            return Err(Refused::Again);
        }
        let mut bucket = self.bucket(at);
        if !is_early && word.load()? != expected {
            return Err(Refused::Again);
        }
        // futex(2): the comparison of the two keys comes after that of the word.
        if kind == (Kind::Requeue { target: key }) {
            return Err(Refused::Invalid);
        }
        enter(&mut bucket, at, entry(waiter, key, kind, bitset));
        Ok(())
    }

    /// Ends a wait from the waiter's side. False: someone had ended it already,
    /// and that wake is this waiter's.
    pub fn leave(&self, waiter: &Arc<Waiter>) -> bool {
        let left = self.with_home(waiter, |bucket, at| {
            let at = at?;
            waiter.set_state(State::Woken);
            Some(bucket.remove(at))
        });
        left.is_some() || sys::mutant("futex-wake-forgotten")
    }

    /// Takes out a waiter whose task did not come to leave, because of a panic.
    /// Nothing happens to one that is in no queue.
    pub fn forget(&self, waiter: &Arc<Waiter>) {
        if matches!(waiter.state(), State::Woken | State::Granted) {
            return;
        }
        let mut told = Told::default();
        self.with_home(waiter, |bucket, at| {
            let Some(at) = at else {
                return;
            };
            let Entry { key, kind, .. } = bucket.remove(at);
            let mut table = self.table.lock();
            let was_heir = waiter.state() == State::Inherits;
            waiter.set_state(State::Woken);
            if kind == Kind::Lock {
                table.remove(key, waiter);
            }
            if was_heir && let Some(heir) = table.heir(key) {
                told.add(heir, State::Inherits);
            }
        });
        told.tell();
    }

    /// Runs `act` under the lock of the waiter's bucket, wherever it was moved,
    /// with its place there.
    pub(super) fn with_home<R>(
        &self,
        waiter: &Arc<Waiter>,
        act: impl FnOnce(&mut Bucket<K>, Option<usize>) -> R,
    ) -> R {
        loop {
            let home = waiter.home.load(Ordering::Acquire);
            let mut bucket = self.bucket(home);
            if waiter.home.load(Ordering::Acquire) != home {
                // Moved since; each turn is a requeue by someone else.
                continue;
            }
            let at = bucket.iter().position(|e| Arc::ptr_eq(&e.waiter, waiter));
            return act(&mut bucket, at);
        }
    }

    /// Wakes up to `count` waiters, at least one, whose bits meet `bitset`.
    /// EINVAL at one that waits for a lock; those before it are woken.
    pub fn wake(&self, key: K, count: usize, bitset: u32) -> Result<usize, Refused> {
        let mut told = Told::default();
        let result = take(
            &mut self.bucket(self.index(&key)),
            key,
            count,
            bitset,
            &mut told,
        );
        told.tell();
        result
    }

    /// FUTEX_WAKE_OP: `change` the second word and say whether waiters of it are
    /// woken too, under the locks of both.
    pub fn wake_two(
        &self,
        (first, wake_first): (K, usize),
        (second, wake_second): (K, usize),
        change: impl FnOnce() -> Result<bool, Refused>,
    ) -> Result<usize, Refused> {
        let mut told = Told::default();
        let mut two = self.two(&first, &second);
        let result = change().and_then(|both| {
            let mut woken = take(two.first(), first, wake_first, u32::MAX, &mut told)?;
            if both {
                woken += take(two.second(), second, wake_second, u32::MAX, &mut told)?;
            }
            Ok(woken)
        });
        drop(two);
        told.tell();
        result
    }

    /// Wakes the first `wake` waiters of `from`, moves up to `moved` more to `to`,
    /// and gives the sum. With `compare` only if the word is as said, else EAGAIN.
    pub fn requeue(
        &self,
        from: K,
        to: K,
        wake: usize,
        moved: usize,
        compare: Option<(&dyn Word, u32)>,
    ) -> Result<usize, Refused> {
        let mut two = self.two(&from, &to);
        if let Some((word, expected)) = compare
            && word.load()? != expected
        {
            return Err(Refused::Again);
        }
        let is_one_bucket = two.is_one();
        let limit = wake.saturating_add(moved);
        let mut told = Told::default();
        let mut movers: Vec<Entry<K>> = Vec::new();
        let mut count = 0;
        let mut result = Ok(());
        two.first().retain_mut(|entry| {
            if entry.key != from || count >= limit || result.is_err() {
                return true;
            }
            if entry.kind != Kind::Wake {
                result = Err(Refused::Invalid);
                return true;
            }
            count += 1;
            if count <= wake {
                told.add(entry.waiter.clone(), State::Woken);
                return false;
            }
            if is_one_bucket {
                entry.key = to;
                return true;
            }
            movers.push(Entry {
                key: to,
                ..entry.clone()
            });
            false
        });
        let target = self.index(&to);
        for entry in movers {
            let home = if sys::mutant("futex-home-forgotten") {
                entry.waiter.home.load(Ordering::Acquire)
            } else {
                target
            };
            enter(two.second(), home, entry);
        }
        drop(two);
        told.tell();
        result.map(|()| count)
    }

    /// Locks the buckets of two keys, the lower index first.
    pub(super) fn two(&self, first: &K, second: &K) -> Two<'_, K> {
        let (a, b) = (self.index(first), self.index(second));
        let low = self.bucket(a.min(b));
        // Ascending index: two callers cannot wait for each other.
        let high = (a != b).then(|| self.buckets[a.max(b)].0.lock_second(&low));
        Two {
            low,
            high,
            is_first_low: a <= b,
        }
    }
}

/// The locked buckets of two keys, which may be one.
pub(super) struct Two<'a, K> {
    low: MutexGuard<'a, level::Futex, Bucket<K>>,
    high: Option<SecondGuard<'a, Bucket<K>>>,
    is_first_low: bool,
}

impl<K> Two<'_, K> {
    pub(super) fn is_one(&self) -> bool {
        self.high.is_none()
    }

    pub(super) fn first(&mut self) -> &mut Bucket<K> {
        match &mut self.high {
            Some(high) if !self.is_first_low => high,
            _ => &mut self.low,
        }
    }

    pub(super) fn second(&mut self) -> &mut Bucket<K> {
        match &mut self.high {
            Some(high) if self.is_first_low => high,
            _ => &mut self.low,
        }
    }
}

pub(super) fn entry<K: Key>(waiter: &Arc<Waiter>, key: K, kind: Kind<K>, bitset: u32) -> Entry<K> {
    waiter.set_state(State::Queued);
    Entry {
        key,
        kind,
        bitset,
        priority: waiter.owner.priority(),
        waiter: waiter.clone(),
    }
}

/// Puts an entry behind those that are as urgent, into the bucket `home`.
pub(super) fn enter<K: Key>(bucket: &mut Bucket<K>, home: usize, entry: Entry<K>) {
    entry.waiter.home.store(home, Ordering::Release);
    let after = bucket
        .iter()
        .rposition(|e| e.priority <= entry.priority)
        .map_or(0, |at| at + 1);
    bucket.insert(after, entry);
}

/// The most urgent entry of a key.
pub(super) fn top<K: Key>(bucket: &Bucket<K>, key: K) -> Option<&Entry<K>> {
    bucket.iter().find(|e| e.key == key)
}

/// Takes up to `count` waiters on `key`, at least one, in their order.
fn take<K: Key>(
    bucket: &mut Bucket<K>,
    key: K,
    count: usize,
    bitset: u32,
    told: &mut Told,
) -> Result<usize, Refused> {
    let mut taken = 0;
    if count <= 1 {
        let mut entries = bucket.iter();
        let at =
            entries.position(|e| e.key == key && (e.kind != Kind::Wake || e.bitset & bitset != 0));
        if let Some(at) = at {
            if bucket[at].kind != Kind::Wake {
                return Err(Refused::Invalid);
            }
            told.add(bucket.remove(at).waiter, State::Woken);
            taken = 1;
        }
        return Ok(taken);
    }
    let mut result = Ok(());
    bucket.retain(|entry| {
        if entry.key != key || taken >= count || result.is_err() {
            return true;
        }
        if entry.kind != Kind::Wake {
            result = Err(Refused::Invalid);
            return true;
        }
        if entry.bitset & bitset == 0 {
            return true;
        }
        taken += 1;
        told.add(entry.waiter.clone(), State::Woken);
        false
    });
    result.map(|()| taken)
}

/// Spreads keys over buckets. Keys that collide cost their own sandbox time,
/// nobody else, so it need not withstand who chooses them.
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The golden ratio's bits, odd: every bit of the input reaches the top half.
        self.0 = (self.0.rotate_left(29) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}
