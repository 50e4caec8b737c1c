//! The protocol without threads: counts, orders, refusals.

use super::*;
use crate::Parker;
use std::cell::Cell;

impl Word for Cell<u32> {
    fn load(&self) -> Result<u32, Fault> {
        Ok(self.get())
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Fault> {
        let now = self.get();
        if now == old {
            self.set(new);
            return Ok(Ok(now));
        }
        Ok(Err(now))
    }
}

struct Nowhere;

impl Word for Nowhere {
    fn load(&self) -> Result<u32, Fault> {
        Err(Fault)
    }

    fn compare_exchange(&self, _: u32, _: u32) -> Result<Result<u32, u32>, Fault> {
        Err(Fault)
    }
}

impl Notify for Parker {
    fn notify(&self, _: u32) {
        self.unpark();
    }
}

fn waiter(tid: u32) -> Arc<Waiter> {
    waiter_at(tid, 101)
}

fn waiter_at(tid: u32, priority: u32) -> Arc<Waiter> {
    let owner = Arc::new(Owner::new(tid, priority));
    Arc::new(Waiter::new(Arc::new(Parker::new()), owner))
}

fn known(waiter: &Arc<Waiter>) -> Option<Known> {
    Some(Known {
        tid: waiter.owner().tid(),
        owner: Some(waiter.owner().clone()),
    })
}

const ANY: u32 = u32::MAX;

fn queued(futexes: &Futexes<u32>, key: u32, bitset: u32) -> Arc<Waiter> {
    let waiter = waiter(1);
    let word = Cell::new(0);
    futexes.wait(&waiter, key, bitset, &word, 0).unwrap();
    waiter
}

/// One bucket and many: keys that collide and keys that do not.
fn tables() -> [Futexes<u32>; 2] {
    [Futexes::new(1), Futexes::new(64)]
}

#[test]
fn wakes_in_order_and_by_bitset() {
    for futexes in tables() {
        let list = [
            queued(&futexes, 4, 1),
            queued(&futexes, 4, 2),
            queued(&futexes, 4, 1),
        ];
        assert_eq!(futexes.wake(4, 1, 2), Ok(1));
        assert_eq!(futexes.wake(8, 9, ANY), Ok(0));
        assert_eq!(futexes.wake(4, 1, ANY), Ok(1));
        assert_eq!(list.each_ref().map(|w| w.is_over()), [true, true, false]);
        assert!(futexes.leave(&list[2]));
        assert!(!futexes.leave(&list[1]));
        assert_eq!(futexes.wake(4, 9, ANY), Ok(0));
    }
}

#[test]
fn a_refusal_queues_nothing() {
    for futexes in tables() {
        let me = waiter(1);
        let word = Cell::new(3);
        assert_eq!(futexes.wait(&me, 4, ANY, &word, 2), Err(Refused::Again));
        assert_eq!(futexes.wait(&me, 4, ANY, &Nowhere, 2), Err(Refused::Fault));
        assert_eq!(
            futexes.wait_requeue(&me, 4, &word, 3, 4),
            Err(Refused::Invalid)
        );
        assert_eq!(
            futexes.wait_requeue(&me, 4, &word, 2, 4),
            Err(Refused::Again)
        );
        assert_eq!(futexes.wake(4, 9, ANY), Ok(0));
    }
}

#[test]
fn urgent_waiters_come_first() {
    let futexes = Futexes::<u32>::new(4);
    let word = Cell::new(0);
    let list = [101, 50, 101, 0, 50].map(|priority| {
        let waiter = waiter_at(1, priority);
        futexes.wait(&waiter, 4, ANY, &word, 0).unwrap();
        waiter
    });
    for next in [3, 1, 4, 0, 2] {
        assert!(!list[next].is_over());
        assert_eq!(futexes.wake(4, 1, ANY), Ok(1));
        assert!(list[next].is_over());
    }
}

#[test]
fn a_requeue_wakes_and_moves() {
    for futexes in tables() {
        let word = Cell::new(0_u32);
        let list = [(); 4].map(|()| queued(&futexes, 4, ANY));
        let compare = |value| Some((&word as &dyn Word, value));
        assert_eq!(futexes.requeue(4, 8, 1, 1, compare(1)), Err(Refused::Again));
        assert_eq!(futexes.requeue(4, 8, 1, 2, compare(0)), Ok(3));
        assert_eq!(
            list.each_ref().map(|w| w.is_over()),
            [true, false, false, false]
        );
        assert_eq!(futexes.wake(8, 9, ANY), Ok(2));
        assert!(!list[3].is_over());
        assert_eq!(futexes.requeue(4, 8, usize::MAX, usize::MAX, None), Ok(1));
    }
}

#[test]
fn a_lock_goes_to_the_most_urgent_then_the_first() {
    for futexes in tables() {
        let (owner, word) = (waiter(10), Cell::new(0));
        assert_eq!(
            futexes.lock(&owner, 4, &word, false, None),
            Ok(Locking::Taken)
        );
        let list = [(11, 101), (12, 30), (13, 101)].map(|(tid, priority)| {
            let next = waiter_at(tid, priority);
            assert_eq!(
                futexes.lock(&next, 4, &word, false, None),
                if tid == 11 {
                    Ok(Locking::NeedOwner(10))
                } else {
                    Ok(Locking::Queued)
                }
            );
            if tid == 11 {
                let owner = known(&owner);
                assert_eq!(
                    futexes.lock(&next, 4, &word, false, owner.as_ref()),
                    Ok(Locking::Queued)
                );
            }
            next
        });
        assert_eq!(word.get(), 10 | WAITERS);
        assert_eq!(futexes.wake(4, 1, ANY), Err(Refused::Invalid));
        let mut holder = owner;
        for next in [1, 0, 2] {
            let seen = word.get();
            assert_eq!(
                futexes.unlock(holder.owner(), 4, &word, seen),
                Ok(Unlocking::Done)
            );
            holder = list[next].clone();
            assert_eq!(word.get(), holder.owner().tid() | WAITERS);
            assert_eq!(futexes.leave_lock(&holder, &word), Ok(true));
        }
        let seen = word.get();
        assert_eq!(
            futexes.unlock(holder.owner(), 4, &word, seen),
            Ok(Unlocking::Done)
        );
        assert_eq!(word.get(), 0);
        assert!(futexes.table.lock().is_empty());
    }
}

/// 20 waits for what 10 owns, and 30, which is urgent, for what 20 owns: so 20
/// is served before 40, which came first.
#[test]
fn urgency_is_inherited() {
    let futexes = Futexes::<u32>::new(4);
    let (a, b) = (Cell::new(10), Cell::new(20));
    let (ten, twenty, thirty, forty) =
        (waiter(10), waiter(20), waiter_at(30, 5), waiter_at(40, 101));
    let ten_known = known(&ten);
    for waiter in [&forty, &twenty] {
        let queued = futexes.lock(waiter, 4, &a, false, ten_known.as_ref());
        assert_eq!(queued, Ok(Locking::Queued));
    }
    let queued = futexes.lock(&thirty, 8, &b, false, known(&twenty).as_ref());
    assert_eq!(queued, Ok(Locking::Queued));
    futexes.unlock(ten.owner(), 4, &a, 10 | WAITERS).unwrap();
    assert_eq!(a.get(), 20 | WAITERS);
    assert_eq!(futexes.leave_lock(&twenty, &a), Ok(true));
    assert_eq!(futexes.leave_lock(&forty, &a), Ok(false));
    assert_eq!(futexes.leave_lock(&thirty, &b), Ok(false));
    assert!(futexes.table.lock().is_empty());
}

#[test]
fn chains_that_close_are_refused() {
    let futexes = Futexes::<u32>::new(4);
    let words: Vec<Cell<u32>> = (0..5).map(|at| Cell::new(10 + at)).collect();
    let tasks: Vec<Arc<Waiter>> = (0..5).map(|at| waiter(10 + at)).collect();
    let lock = |who: usize, at: usize| {
        let key = u32::try_from(at).unwrap();
        futexes.lock(
            &tasks[who],
            key,
            &words[at],
            false,
            known(&tasks[at]).as_ref(),
        )
    };
    for who in 0..4 {
        assert_eq!(lock(who, who + 1), Ok(Locking::Queued));
    }
    for at in 0..5 {
        assert_eq!(lock(4, at), Err(Refused::Deadlock), "{at}");
    }
    // One in the middle gives up: the rest is no circle any more.
    assert_eq!(futexes.leave_lock(&tasks[2], &words[3]), Ok(false));
    assert_eq!(lock(4, 0), Ok(Locking::Queued));
    assert_eq!(lock(2, 3), Err(Refused::Deadlock));
}

#[test]
fn an_owners_end_makes_an_heir() {
    for futexes in tables() {
        let (owner, word) = (waiter(10), Cell::new(10));
        let list = [11, 12].map(|tid| {
            let next = waiter(tid);
            let queued = futexes.lock(&next, 4, &word, false, known(&owner).as_ref());
            assert_eq!(queued, Ok(Locking::Queued));
            next
        });
        futexes.release_owned(owner.owner(), true);
        assert_eq!(list.each_ref().map(|w| w.is_over()), [true, false]);
        // Nobody unlocks or joins in between.
        let late = waiter(13);
        assert_eq!(
            futexes.lock(&late, 4, &word, false, None),
            Err(Refused::Invalid)
        );
        assert_eq!(futexes.leave_lock(&list[0], &word), Ok(true));
        assert_eq!(word.get(), 11 | WAITERS | OWNER_DIED);
        assert_eq!(futexes.leave_lock(&list[1], &word), Ok(false));
        assert!(futexes.table.lock().is_empty());
        // Who looked the dead one up before its end is sent to look again.
        word.set(10);
        assert_eq!(
            futexes.lock(&late, 4, &word, false, known(&owner).as_ref()),
            Ok(Locking::NeedOwner(10))
        );
        let nobody = Known {
            tid: 10,
            owner: None,
        };
        assert_eq!(
            futexes.lock(&late, 4, &word, false, Some(&nobody)),
            Err(Refused::NoOwner)
        );
    }
}

/// What a word may say while 10 owns the lock and 11 waits.
#[test]
fn words_have_to_agree_with_the_table() {
    let futexes = Futexes::<u32>::new(4);
    let (owner, first, late) = (waiter(10), waiter(11), waiter(12));
    let word = Cell::new(10);
    futexes
        .lock(&first, 4, &word, false, known(&owner).as_ref())
        .unwrap();
    let check = |value: u32, expect: Result<Locking, Refused>| {
        word.set(value);
        let got = futexes.lock(&late, 4, &word, true, None);
        assert_eq!(got, expect, "{value:#x}");
    };
    check(10 | WAITERS, Err(Refused::Again));
    check(10 | WAITERS | OWNER_DIED, Err(Refused::Again));
    check(WAITERS | OWNER_DIED, Err(Refused::Again));
    check(11 | WAITERS, Err(Refused::Invalid));
    check(WAITERS, Err(Refused::Invalid));
    check(12 | WAITERS, Err(Refused::Deadlock));
    word.set(11 | WAITERS);
    assert_eq!(
        futexes.unlock(first.owner(), 4, &word, 11 | WAITERS),
        Err(Refused::Invalid)
    );
    word.set(10 | WAITERS);
    assert_eq!(
        futexes.unlock(owner.owner(), 4, &word, 10),
        Ok(Unlocking::Retry)
    );
    assert_eq!(
        futexes.unlock(owner.owner(), 4, &Nowhere, 10),
        Err(Refused::Fault)
    );
}

fn requeue<'a>(from: &'a Cell<u32>, to: &'a Cell<u32>, limit: usize) -> Requeue<'a, u32> {
    Requeue {
        from: 4,
        from_word: from,
        expected: 0,
        to: 8,
        to_word: to,
        limit,
    }
}

#[test]
fn a_requeue_to_a_lock() {
    for futexes in tables() {
        let (from, to) = (Cell::new(0), Cell::new(0));
        let list = [11, 12, 13].map(|tid| {
            let next = waiter(tid);
            futexes.wait_requeue(&next, 4, &from, 0, 8).unwrap();
            next
        });
        assert_eq!(futexes.wake(4, 1, ANY), Err(Refused::Invalid));
        let one = requeue(&from, &to, 1);
        assert_eq!(futexes.requeue_pi(&one, None), Ok(Requeued::Done(2)));
        assert_eq!(to.get(), 11 | WAITERS);
        assert_eq!(futexes.leave_requeue(&list[0], &to), Ok(LeftRequeue::Owns));
        // Known from the table now, whoever asks.
        assert_eq!(futexes.requeue_pi(&one, None), Ok(Requeued::Done(1)));
        futexes
            .unlock(list[0].owner(), 8, &to, 11 | WAITERS)
            .unwrap();
        assert_eq!(futexes.leave_requeue(&list[1], &to), Ok(LeftRequeue::Owns));
        assert_eq!(futexes.leave_requeue(&list[2], &to), Ok(LeftRequeue::Moved));
        assert!(futexes.table.lock().is_empty());
        assert_eq!(futexes.requeue_pi(&one, None), Ok(Requeued::Done(0)));
    }
}

#[test]
fn requeues_that_do_not_fit() {
    for futexes in tables() {
        let (from, to) = (Cell::new(0), Cell::new(0));
        let (plain, mover) = (waiter(11), waiter(12));
        futexes.wait(&plain, 4, ANY, &from, 0).unwrap();
        let request = requeue(&from, &to, 5);
        assert_eq!(futexes.requeue_pi(&request, None), Err(Refused::Invalid));
        assert!(futexes.leave(&plain));
        futexes.wait_requeue(&mover, 4, &from, 0, 12).unwrap();
        assert_eq!(futexes.requeue_pi(&request, None), Err(Refused::Invalid));
        assert_eq!(futexes.leave_requeue(&mover, &to), Ok(LeftRequeue::Unmoved));
        futexes.wait_requeue(&mover, 4, &from, 0, 8).unwrap();
        to.set(12);
        assert_eq!(futexes.requeue_pi(&request, None), Err(Refused::Deadlock));
        to.set(77);
        assert_eq!(
            futexes.requeue_pi(&request, None),
            Ok(Requeued::NeedOwner(77))
        );
        from.set(1);
        assert_eq!(futexes.requeue_pi(&request, None), Err(Refused::Again));
    }
}

/// A task that panicked in its wait: others go on without it.
#[test]
fn a_forgotten_waiter_is_no_heir() {
    for futexes in tables() {
        let (owner, word) = (waiter(10), Cell::new(10));
        let list = [11, 12].map(|tid| {
            let next = waiter(tid);
            let queued = futexes.lock(&next, 4, &word, false, known(&owner).as_ref());
            assert_eq!(queued, Ok(Locking::Queued));
            next
        });
        futexes.release_owned(owner.owner(), true);
        futexes.forget(&list[0]);
        futexes.forget(&list[0]);
        assert!(list[1].is_over());
        assert_eq!(futexes.leave_lock(&list[1], &word), Ok(true));
        assert_eq!(word.get(), 12 | WAITERS | OWNER_DIED);
        let plain = queued(&futexes, 4, ANY);
        futexes.forget(&plain);
        assert_eq!(futexes.wake(4, 9, ANY), Ok(0));
        assert!(futexes.table.lock().is_empty());
    }
}
