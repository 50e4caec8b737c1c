//! Every interleaving of the protocol's small scenes. A deadline may pass at any
//! moment, and a sleep that nobody ends fails the model.

use super::*;
use crate::Parker;
use std::time::{Duration, Instant};

struct Memory(AtomicU32);

impl Memory {
    fn new(value: u32) -> Arc<Memory> {
        Arc::new(Memory(AtomicU32::new(value)))
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn swap_if(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.0
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

impl Word for Memory {
    fn load(&self) -> Result<u32, Fault> {
        Ok(self.get())
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Fault> {
        Ok(self.swap_if(old, new))
    }
}

impl Notify for Parker {
    fn notify(&self, _: u32) {
        self.unpark();
    }
}

/// A thread as the kernel sees it.
#[derive(Clone)]
struct Task {
    parker: Arc<Parker>,
    waiter: Arc<Waiter>,
}

impl Task {
    fn new(tid: u32) -> Task {
        let parker = Arc::new(Parker::new());
        let owner = Arc::new(Owner::new(tid, 101));
        let waiter = Arc::new(Waiter::new(parker.clone(), owner));
        Task { parker, waiter }
    }

    fn sleep(&self) {
        while !self.waiter.is_over() {
            self.parker.park();
        }
    }

    /// False: the time was up.
    fn sleep_for_a_while(&self) -> bool {
        let far = Instant::now() + Duration::from_secs(3600);
        while !self.waiter.is_over() {
            if !self.parker.park_until(Some(far)) {
                return false;
            }
        }
        true
    }

    fn look_up(&self, tid: u32) -> Known {
        let owner = self.waiter.owner();
        let is_it = owner.tid() == tid && !owner.is_dead();
        Known {
            tid,
            owner: is_it.then(|| owner.clone()),
        }
    }
}

const ANY: u32 = u32::MAX;
const HERE: u32 = 1;

/// A table with two queues, and a key that is not in the queue of `HERE`.
fn table() -> (Arc<Futexes<u32>>, u32) {
    let futexes = Futexes::new(2);
    let there = (2..).find(|key| futexes.index(key) != futexes.index(&HERE));
    (Arc::new(futexes), there.unwrap())
}

/// The store and the wake against comparing and going to sleep.
#[test]
fn wait_against_wake() {
    loom::model(|| {
        let (futexes, _) = table();
        let word = Memory::new(0);
        let waiter = {
            let (futexes, word, me) = (futexes.clone(), word.clone(), Task::new(1));
            loom::thread::spawn(move || {
                while word.get() == 0 {
                    if futexes.wait(&me.waiter, HERE, ANY, &*word, 0).is_ok() {
                        me.sleep();
                    }
                }
            })
        };
        word.swap_if(0, 1).unwrap();
        futexes.wake(HERE, 1, ANY).unwrap();
        waiter.join().unwrap();
    });
}

/// A wake that chose a waiter whose time is up is that waiter's.
#[test]
fn timeout_against_wake() {
    loom::model(|| {
        let (futexes, _) = table();
        let word = Memory::new(0);
        let waiter = {
            let (futexes, word, me) = (futexes.clone(), word.clone(), Task::new(1));
            loom::thread::spawn(move || {
                futexes.wait(&me.waiter, HERE, ANY, &*word, 0).unwrap();
                me.sleep_for_a_while() || !futexes.leave(&me.waiter)
            })
        };
        let woken = futexes.wake(HERE, 1, ANY).unwrap();
        let is_woken = waiter.join().unwrap();
        assert_eq!(woken, usize::from(is_woken));
        assert_eq!(futexes.wake(HERE, 1, ANY), Ok(0));
    });
}

/// A waiter that leaves while it is moved leaves nothing behind.
#[test]
fn timeout_against_requeue() {
    loom::model(|| {
        let (futexes, there) = table();
        let word = Memory::new(0);
        let waiter = {
            let (futexes, word, me) = (futexes.clone(), word.clone(), Task::new(1));
            loom::thread::spawn(move || {
                futexes.wait(&me.waiter, HERE, ANY, &*word, 0).unwrap();
                me.sleep_for_a_while() || !futexes.leave(&me.waiter)
            })
        };
        futexes.requeue(HERE, there, 0, 1, None).unwrap();
        // Nobody was woken, wherever it was when its time was up.
        assert!(!waiter.join().unwrap());
        assert_eq!(futexes.wake(HERE, 1, ANY), Ok(0));
        assert_eq!(futexes.wake(there, 1, ANY), Ok(0));
    });
}

/// Locks as libc does: in user memory when it can.
fn lock(futexes: &Futexes<u32>, key: u32, word: &Memory, me: &Task, other: &Task) {
    let tid = me.waiter.owner().tid();
    if word.swap_if(0, tid).is_ok() {
        return;
    }
    let mut known = None;
    loop {
        match futexes.lock(&me.waiter, key, word, false, known.as_ref()) {
            Ok(Locking::Taken) => return,
            Ok(Locking::Retry) => {}
            Ok(Locking::NeedOwner(tid)) => known = Some(other.look_up(tid)),
            Ok(Locking::Queued) => {
                me.sleep();
                assert_eq!(futexes.leave_lock(&me.waiter, word), Ok(true));
                return;
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

fn unlock(futexes: &Futexes<u32>, key: u32, word: &Memory, me: &Task) {
    let owner = me.waiter.owner();
    if word.swap_if(owner.tid(), 0).is_ok() {
        return;
    }
    loop {
        match futexes.unlock(owner, key, word, word.get()) {
            Ok(Unlocking::Done) => return,
            Ok(Unlocking::Retry) => {}
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

/// One owner at a time, and nobody is left waiting.
#[test]
fn lock_against_unlock() {
    loom::model(|| {
        let (futexes, _) = table();
        let word = Memory::new(0);
        let inside = Arc::new(AtomicU32::new(0));
        let tasks = [Task::new(1), Task::new(2)];
        let body = {
            let (futexes, word, inside) = (futexes.clone(), word.clone(), inside.clone());
            move |me: Task, other: Task| {
                lock(&futexes, HERE, &word, &me, &other);
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                inside.fetch_sub(1, Ordering::SeqCst);
                unlock(&futexes, HERE, &word, &me);
            }
        };
        let [one, two] = tasks;
        let other = {
            let (body, one, two) = (body.clone(), one.clone(), two.clone());
            loom::thread::spawn(move || body(two, one))
        };
        body(one, two);
        other.join().unwrap();
        assert_eq!(word.get() & TID_MASK, 0);
        assert!(futexes.table.lock().is_empty());
    });
}

/// A lock that is handed to a waiter whose time is up is that waiter's.
#[test]
fn timeout_against_unlock() {
    loom::model(|| {
        let (futexes, _) = table();
        let (owner, me) = (Task::new(1), Task::new(2));
        let word = Memory::new(1);
        let waiter = {
            let (futexes, word, owner) = (futexes.clone(), word.clone(), owner.clone());
            loom::thread::spawn(move || {
                let mut known = None;
                loop {
                    match futexes.lock(&me.waiter, HERE, &*word, false, known.as_ref()) {
                        Ok(Locking::Taken) => break,
                        Ok(Locking::Retry) => {}
                        Ok(Locking::NeedOwner(tid)) => known = Some(owner.look_up(tid)),
                        Ok(Locking::Queued) => {
                            me.sleep_for_a_while();
                            if futexes.leave_lock(&me.waiter, &*word) == Ok(true) {
                                break;
                            }
                            return;
                        }
                        Err(refused) => panic!("{refused:?}"),
                    }
                }
                unlock(&futexes, HERE, &word, &me);
            })
        };
        unlock(&futexes, HERE, &word, &owner);
        waiter.join().unwrap();
        assert_eq!(word.get(), 0);
        assert!(futexes.table.lock().is_empty());
    });
}

/// An owner ends while another comes to wait: it inherits, or is told.
#[test]
fn owners_end_against_lock() {
    loom::model(|| {
        let (futexes, _) = table();
        let (owner, me) = (Task::new(1), Task::new(2));
        let word = Memory::new(1);
        let waiter = {
            let (futexes, word, owner) = (futexes.clone(), word.clone(), owner.clone());
            loom::thread::spawn(move || {
                let mut known = None;
                loop {
                    match futexes.lock(&me.waiter, HERE, &*word, false, known.as_ref()) {
                        Ok(Locking::NeedOwner(tid)) => known = Some(owner.look_up(tid)),
                        Ok(Locking::Queued) => {
                            me.sleep();
                            assert_eq!(futexes.leave_lock(&me.waiter, &*word), Ok(true));
                            assert_eq!(word.get(), 2 | WAITERS | OWNER_DIED);
                            return;
                        }
                        Err(Refused::NoOwner) => return,
                        other => panic!("{other:?}"),
                    }
                }
            })
        };
        futexes.release_owned(owner.waiter.owner(), true);
        waiter.join().unwrap();
        assert!(futexes.table.lock().is_empty());
    });
}

/// A waiter whose time is up while it is moved to a lock, and handed it.
#[test]
fn timeout_against_requeue_to_a_lock() {
    loom::model(|| {
        let (futexes, there) = table();
        let (owner, me) = (Task::new(1), Task::new(2));
        let (word, lock_word) = (Memory::new(0), Memory::new(1));
        let waiter = {
            let (futexes, word, lock_word) = (futexes.clone(), word.clone(), lock_word.clone());
            loom::thread::spawn(move || {
                futexes
                    .wait_requeue(&me.waiter, HERE, &*word, 0, there)
                    .unwrap();
                me.sleep_for_a_while();
                if futexes.leave_requeue(&me.waiter, &*lock_word) == Ok(LeftRequeue::Owns) {
                    assert_eq!(lock_word.get(), 2 | WAITERS);
                    unlock(&futexes, there, &lock_word, &me);
                }
            })
        };
        let request = Requeue {
            from: HERE,
            from_word: &*word,
            expected: 0,
            to: there,
            to_word: &*lock_word,
            limit: 0,
        };
        let known = owner.look_up(1);
        let moved = futexes.requeue_pi(&request, Some(&known));
        assert!(matches!(moved, Ok(Requeued::Done(0 | 1))), "{moved:?}");
        unlock(&futexes, there, &lock_word, &owner);
        waiter.join().unwrap();
        assert_eq!(lock_word.get(), 0);
        assert!(futexes.table.lock().is_empty());
    });
}
