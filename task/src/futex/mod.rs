//! Futexes (futex(2)): hashed buckets of waiters.
//!
//! A waiter compares the word and enters its bucket under the bucket's lock; a
//! waker changes the word first and then takes the lock. So either the waiter
//! sees the new value, or the waker sees the waiter.

use crate::current::CurrentTask;
use crate::error::{Blocked, SysResult};
use rivix_abi::process::RobustListHead;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_mem::FutexKey;
use rivix_sync::{Kick, Mutex, Notify, level};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const BUCKETS: usize = 256;

/// Every bit: FUTEX_BITSET_MATCH_ANY.
pub const ANY: u32 = u32::MAX;

struct Waiter {
    kick: Arc<Kick>,
    bitset: u32,
    /// Where it is queued; changed, under both locks, by a requeue.
    bucket: AtomicUsize,
    is_woken: AtomicBool,
}

struct Queued {
    key: FutexKey,
    waiter: Arc<Waiter>,
}

type Bucket = Vec<Queued>;

pub(crate) struct Futexes {
    buckets: Vec<Mutex<level::Futex, Bucket>>,
    hasher: RandomState,
}

/// FUTEX_WAKE_OP's operation, decoded (futex(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeOp {
    op: u32,
    cmp: u32,
    oparg: u32,
    cmparg: i32,
}

impl WakeOp {
    /// ENOSYS for an operation or comparison that does not exist.
    pub fn decode(raw: u32) -> Result<WakeOp, Errno> {
        let sign12 = |v: u32| (v << 20).cast_signed() >> 20;
        let op = raw >> 28 & 7;
        let cmp = raw >> 24 & 15;
        if op > 4 || cmp > 5 {
            return Err(Errno::ENOSYS);
        }
        let mut oparg = sign12(raw >> 12 & 0xfff).cast_unsigned();
        if raw >> 31 != 0 {
            // FUTEX_OP_ARG_SHIFT; Linux takes the low five bits of others.
            oparg = 1 << (oparg & 31);
        }
        Ok(WakeOp {
            op,
            cmp,
            oparg,
            cmparg: sign12(raw & 0xfff),
        })
    }

    fn apply(self, old: u32) -> u32 {
        match self.op {
            0 => self.oparg,
            1 => old.wrapping_add(self.oparg),
            2 => old | self.oparg,
            3 => old & !self.oparg,
            _ => old ^ self.oparg,
        }
    }

    fn compare(self, old: u32) -> bool {
        let old = old.cast_signed();
        match self.cmp {
            0 => old == self.cmparg,
            1 => old != self.cmparg,
            2 => old < self.cmparg,
            3 => old <= self.cmparg,
            4 => old > self.cmparg,
            _ => old >= self.cmparg,
        }
    }
}

impl Futexes {
    pub(crate) fn new() -> Futexes {
        Futexes {
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn index(&self, key: &FutexKey) -> usize {
        self.hasher.hash_one(key) as usize % BUCKETS
    }

    /// Queues if `matches` holds under the bucket's lock.
    fn enqueue(
        &self,
        key: FutexKey,
        kick: Arc<Kick>,
        bitset: u32,
        matches: impl FnOnce() -> Result<bool, Errno>,
    ) -> Result<Arc<Waiter>, Errno> {
        let at = self.index(&key);
        let mut bucket = self.buckets[at].lock();
        if !matches()? {
            return Err(Errno::EAGAIN);
        }
        let waiter = Arc::new(Waiter {
            kick,
            bitset,
            bucket: AtomicUsize::new(at),
            is_woken: AtomicBool::new(false),
        });
        bucket.push(Queued {
            key,
            waiter: waiter.clone(),
        });
        Ok(waiter)
    }

    /// Takes a waiter out, wherever a requeue moved it.
    fn dequeue(&self, waiter: &Arc<Waiter>) {
        loop {
            let at = waiter.bucket.load(Ordering::SeqCst);
            let mut bucket = self.buckets[at].lock();
            if waiter.bucket.load(Ordering::SeqCst) != at {
                continue;
            }
            bucket.retain(|q| !Arc::ptr_eq(&q.waiter, waiter));
            return;
        }
    }

    fn wake(&self, key: FutexKey, count: usize, bitset: u32) -> usize {
        let mut bucket = self.buckets[self.index(&key)].lock();
        let woken = take(&mut bucket, key, count, bitset);
        drop(bucket);
        tell(woken)
    }

    /// Locks the buckets of two keys, lower index first, and runs `act` on
    /// them; the second is None when they are one.
    fn with_two<R>(
        &self,
        one: &FutexKey,
        two: &FutexKey,
        act: impl FnOnce(&mut Bucket, Option<&mut Bucket>) -> R,
    ) -> R {
        let (a, b) = (self.index(one), self.index(two));
        if a == b {
            return act(&mut self.buckets[a].lock(), None);
        }
        let mut low = self.buckets[a.min(b)].lock();
        // Ascending index: two callers cannot wait for each other.
        let mut high = self.buckets[a.max(b)].lock_second(&low);
        if a < b {
            act(&mut low, Some(&mut high))
        } else {
            act(&mut high, Some(&mut low))
        }
    }
}

/// Takes up to `count` waiters on `key`, in order of arrival.
fn take(bucket: &mut Bucket, key: FutexKey, count: usize, bitset: u32) -> Vec<Arc<Waiter>> {
    let mut taken = Vec::new();
    bucket.retain(|q| {
        let is_wanted = taken.len() < count && q.key == key && q.waiter.bitset & bitset != 0;
        if is_wanted {
            taken.push(q.waiter.clone());
        }
        !is_wanted
    });
    taken
}

fn tell(woken: Vec<Arc<Waiter>>) -> usize {
    for waiter in &woken {
        waiter.is_woken.store(true, Ordering::SeqCst);
        waiter.kick.notify(0);
    }
    woken.len()
}

impl CurrentTask {
    /// FUTEX_WAIT(_BITSET). `Interrupted` and `TimedOut` as blocking gives them.
    pub fn futex_wait(
        &self,
        addr: UserAddress,
        is_shared: bool,
        value: u32,
        bitset: u32,
        deadline: Option<Instant>,
    ) -> Result<(), Blocked> {
        let key = self
            .mm()
            .futex_key(addr, is_shared)
            .map_err(Blocked::Errno)?;
        let futexes = &self.kernel().futexes;
        let waiter = futexes
            .enqueue(key, self.kick().clone(), bitset, || {
                Ok(self.mm().load_u32(addr)? == value)
            })
            .map_err(Blocked::Errno)?;
        let result = self.block(deadline, || {
            if waiter.is_woken.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err(Errno::EAGAIN)
            }
        });
        if result.is_err() {
            futexes.dequeue(&waiter);
            // A wake that chose this waiter must not be lost.
            if waiter.is_woken.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
        result
    }

    /// FUTEX_WAKE(_BITSET): how many woke.
    pub fn futex_wake(
        &self,
        addr: UserAddress,
        is_shared: bool,
        count: usize,
        bitset: u32,
    ) -> Result<usize, Errno> {
        let key = self.mm().futex_key(addr, is_shared)?;
        Ok(self.kernel().futexes.wake(key, count, bitset))
    }

    /// FUTEX_(CMP_)REQUEUE: wakes `wake`, moves up to `moved`; the sum of both.
    pub fn futex_requeue(
        &self,
        from: UserAddress,
        to: UserAddress,
        is_shared: bool,
        wake: usize,
        moved: usize,
        compare: Option<u32>,
    ) -> SysResult<usize> {
        let (one, two) = (
            self.mm().futex_key(from, is_shared)?,
            self.mm().futex_key(to, is_shared)?,
        );
        let futexes = &self.kernel().futexes;
        let target = futexes.index(&two);
        let result = futexes.with_two(&one, &two, |source, dest| {
            if let Some(expected) = compare
                && self.mm().load_u32(from)? != expected
            {
                return Err(Errno::EAGAIN);
            }
            let woken = take(source, one, wake, ANY);
            let mut count = 0;
            match dest {
                _ if one == two => {
                    count = source.iter().filter(|q| q.key == one).count().min(moved);
                }
                None => {
                    for queued in source.iter_mut().filter(|q| q.key == one).take(moved) {
                        queued.key = two;
                        count += 1;
                    }
                }
                Some(dest) => {
                    let movers = take(source, one, moved, ANY);
                    count = movers.len();
                    for waiter in movers {
                        waiter.bucket.store(target, Ordering::SeqCst);
                        dest.push(Queued { key: two, waiter });
                    }
                }
            }
            Ok((woken, count))
        });
        let (woken, count) = result?;
        Ok(tell(woken) + count)
    }

    /// FUTEX_WAKE_OP.
    pub fn futex_wake_op(
        &self,
        first: UserAddress,
        second: UserAddress,
        is_shared: bool,
        wake_first: usize,
        wake_second: usize,
        op: WakeOp,
    ) -> SysResult<usize> {
        let one = self.mm().futex_key(first, is_shared)?;
        let two = self.mm().futex_key(second, is_shared)?;
        let (mut woken, more) = self.kernel().futexes.with_two(&one, &two, |a, b| {
            let old = self.mm().fetch_update_u32(second, |old| op.apply(old))?;
            let woken = take(a, one, wake_first, ANY);
            let more = if op.compare(old) {
                take(b.unwrap_or(a), two, wake_second, ANY)
            } else {
                Vec::new()
            };
            Ok::<_, Errno>((woken, more))
        })?;
        woken.extend(more);
        Ok(tell(woken))
    }

    /// The dying thread's robust futexes (get_robust_list(2)): owners that will
    /// not unlock are marked, one waiter each is woken. Faults end the walk.
    pub(crate) fn exit_robust_list(&self) {
        let head_at = self.robust_list.swap(0, Ordering::Relaxed);
        if head_at != 0 {
            let _ = self.walk_robust_list(head_at);
        }
    }

    fn walk_robust_list(&self, head_at: u64) -> Result<(), Errno> {
        const LIMIT: usize = 2048;
        let head: RobustListHead = self.read(UserRef::new(UserAddress(head_at)))?;
        let mut entry = head.next;
        for _ in 0..LIMIT {
            if entry & !1 == head_at {
                break;
            }
            // The next one first: waking hands the entry's memory to others.
            let next: Result<u64, Errno> = self.read(UserRef::new(UserAddress(entry & !1)));
            if entry & !1 != head.pending & !1 {
                self.robust_death(entry, head.futex_offset, false)?;
            }
            entry = next?;
        }
        if head.pending & !1 != 0 {
            self.robust_death(head.pending, head.futex_offset, true)?;
        }
        Ok(())
    }

    fn robust_death(&self, entry: u64, offset: i64, is_pending: bool) -> Result<(), Errno> {
        const WAITERS: u32 = 0x8000_0000;
        const OWNER_DIED: u32 = 0x4000_0000;
        const TID_MASK: u32 = 0x3fff_ffff;
        let is_pi = entry & 1 != 0;
        let addr = UserAddress((entry & !1).wrapping_add_signed(offset));
        if !addr.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let tid = self.tid().cast_unsigned();
        let mut word = self.mm().load_u32(addr)?;
        loop {
            if word & TID_MASK != tid {
                // Died between unlocking and taking the entry out: a waiter
                // may have been left without its wake.
                let lost = word & TID_MASK == 0 || word & WAITERS == 0;
                if is_pending && !is_pi && lost {
                    self.futex_wake(addr, true, 1, ANY)?;
                }
                return Ok(());
            }
            let dead = word & WAITERS | OWNER_DIED;
            match self.mm().compare_exchange_u32(addr, word, dead)? {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // A wait that came through a private operation has a key of its own:
        // libc waits on robust mutexes with shared operations for this reason.
        if word & WAITERS != 0 && !is_pi {
            self.futex_wake(addr, true, 1, ANY)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(addr: u64) -> FutexKey {
        FutexKey::Private { space: 1, addr }
    }

    fn queue(futexes: &Futexes, addr: u64, bitset: u32) -> Arc<Waiter> {
        futexes
            .enqueue(key(addr), Arc::new(Kick::new()), bitset, || Ok(true))
            .unwrap()
    }

    #[test]
    fn wakes_in_order_and_by_bitset() {
        let futexes = Futexes::new();
        let list = [
            queue(&futexes, 4, 1),
            queue(&futexes, 4, 2),
            queue(&futexes, 4, 1),
        ];
        assert_eq!(futexes.wake(key(4), 1, 2), 1);
        assert_eq!(futexes.wake(key(8), 9, ANY), 0);
        assert_eq!(futexes.wake(key(4), 1, ANY), 1);
        let woken: Vec<bool> = list
            .iter()
            .map(|w| w.is_woken.load(Ordering::SeqCst))
            .collect();
        assert_eq!(woken, [true, true, false]);
        futexes.dequeue(&list[2]);
        assert_eq!(futexes.wake(key(4), 9, ANY), 0);
    }

    #[test]
    fn a_mismatch_queues_nothing() {
        let futexes = Futexes::new();
        let refused = futexes.enqueue(key(4), Arc::new(Kick::new()), ANY, || Ok(false));
        assert_eq!(refused.err(), Some(Errno::EAGAIN));
        assert_eq!(futexes.wake(key(4), 9, ANY), 0);
    }

    /// Raw operation word, old value: new value and whether the second wakes.
    #[test]
    fn wake_op_decodes_as_futex_2_says() {
        let check = |raw: u32, old: u32, expect: Result<(u32, bool), Errno>| {
            let got = WakeOp::decode(raw).map(|op| (op.apply(old), op.compare(old)));
            assert_eq!(got, expect, "{raw:#x}");
        };
        let word = |op: u32, arg: u32, cmp: u32, cmparg: u32| {
            op << 28 | cmp << 24 | (arg & 0xfff) << 12 | cmparg & 0xfff
        };
        check(word(0, 5, 0, 7), 7, Ok((5, true)));
        check(word(1, 0xfff, 1, 7), 7, Ok((6, false)));
        check(word(2, 8, 2, 0), u32::MAX, Ok((u32::MAX, true)));
        check(word(3, 1, 4, 2), 3, Ok((2, true)));
        check(word(4, 1, 5, 4), 3, Ok((2, false)));
        check(word(8, 4, 0, 0), 0, Ok((16, true)));
        check(word(5, 0, 0, 0), 0, Err(Errno::ENOSYS));
        check(word(0, 0, 6, 0), 0, Err(Errno::ENOSYS));
    }
}
