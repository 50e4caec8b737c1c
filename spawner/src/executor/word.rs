//! The state word of a fiber: who may touch its future, who queues it, who
//! hears of its end, and how many references are left.
//!
//! Every step is a read-modify-write with acquire and release, even one that
//! changes nothing: a wake that finds the fiber queued already must still
//! publish what it wrote before, or the poll to come may not see it.

use rivix_sync::sys::atomic::{AtomicU64, Ordering};
use rivix_sync::sys::mutant;

/// One queue holds it, or is about to.
const QUEUED: u64 = 1;
/// One thread has its future.
const RUNNING: u64 = 1 << 1;
/// Woken during its poll: queue it again afterwards.
const NOTIFIED: u64 = 1 << 2;
/// Its future is gone and its outcome is there.
const DONE: u64 = 1 << 3;
/// Its join handle asked to drop the future.
const CANCELLED: u64 = 1 << 4;
/// Its executor asked to drop the future.
const SHUT: u64 = 1 << 5;
/// A join handle exists; after `DONE` the outcome is the handle's.
const JOIN: u64 = 1 << 6;
/// The join handle left a waker.
const WATCHED: u64 = 1 << 7;
/// Never polled.
const FRESH: u64 = 1 << 8;
/// Queued because of `NOTIFIED`.
const AGAIN: u64 = 1 << 9;
/// One reference.
const REF: u64 = 1 << 16;

/// Why a future is dropped before it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its handle's `cancel`.
    Cancelled,
    /// The executor closes.
    Closed,
}

/// What brought a fiber to its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Spawned,
    WokenOutside,
    WokenInPoll,
}

/// What to do with a queue's entry. With all but `Stale` the caller has the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Poll(Origin),
    Stop(Stop),
    /// Somebody else ended the fiber meanwhile.
    Stale,
}

/// What follows a poll that was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It waits for a wake.
    Idle,
    /// Queue it again; the entry's reference goes along.
    Again,
    /// The caller keeps the future, to drop it.
    Stop(Stop),
}

/// What a wake leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Queue it; the queue's entry has a reference of its own now.
    Queue,
    /// Nothing; it was the last reference of all if `last`.
    Nothing { last: bool },
}

/// What [`Word::cancel`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Complete: nothing to cancel.
    Late,
    /// Asked; whoever has it or will have it next drops the future.
    Asked,
    /// As `Asked`, and the caller queues it, with a reference, so that a worker comes by.
    Queue,
}

/// Who hears of a fiber's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The outcome belongs to the join handle from here on.
    pub(super) is_joined: bool,
    pub(super) is_watched: bool,
    pub(super) was_cancelled: bool,
}

pub(super) struct Word(AtomicU64);

impl Word {
    /// A fiber about to be queued, with references for its registry, its queue
    /// entry and its join handle.
    pub(super) fn new() -> Self {
        Word(AtomicU64::new(QUEUED | FRESH | JOIN | (3 * REF)))
    }

    fn update<T>(&self, mut step: impl FnMut(u64) -> (u64, T)) -> T {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (next, answer) = step(now);
            match self
                .0
                .compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return answer,
                Err(other) => now = other,
            }
        }
    }

    /// The holder of a queue entry takes the future.
    pub(super) fn begin(&self) -> Begin {
        self.update(|now| {
            if now & QUEUED == 0 {
                return (now, Begin::Stale);
            }
            debug_assert_eq!(now & (RUNNING | DONE), 0, "queued and not idle");
            let next = now & !(QUEUED | FRESH | AGAIN) | RUNNING;
            let begin = match stop(now) {
                Some(stop) => Begin::Stop(stop),
                None if now & FRESH != 0 => Begin::Poll(Origin::Spawned),
                None if now & AGAIN != 0 => Begin::Poll(Origin::WokenInPoll),
                None => Begin::Poll(Origin::WokenOutside),
            };
            (next, begin)
        })
    }

    /// The poll was pending: the future is given up, unless it is to be dropped.
    pub(super) fn pause(&self) -> Pause {
        self.update(|now| {
            debug_assert_eq!(now & (QUEUED | RUNNING | DONE), RUNNING);
            if let Some(stop) = stop(now) {
                (now & !NOTIFIED, Pause::Stop(stop))
            } else if now & NOTIFIED != 0 {
                let next = now & !(RUNNING | NOTIFIED) | QUEUED | AGAIN;
                (next, Pause::Again)
            } else {
                (now & !RUNNING, Pause::Idle)
            }
        })
    }

    /// A wake that uses up a reference.
    pub(super) fn wake(&self) -> Wake {
        self.update(|now| {
            if now & (DONE | QUEUED) != 0 {
                let next = now - REF;
                (next, Wake::Nothing { last: next < REF })
            } else if now & RUNNING != 0 {
                // The wake by value must be remembered as the one by reference is.
                let bit = if mutant("fiber-by-value-rule") {
                    0
                } else {
                    NOTIFIED
                };
                ((now | bit) - REF, Wake::Nothing { last: false })
            } else {
                (now | QUEUED, Wake::Queue)
            }
        })
    }

    /// A wake that keeps its reference.
    pub(super) fn wake_by_ref(&self) -> Wake {
        self.update(|now| {
            if now & (DONE | QUEUED) != 0 {
                (now, Wake::Nothing { last: false })
            } else if now & RUNNING != 0 {
                (now | NOTIFIED, Wake::Nothing { last: false })
            } else {
                ((now | QUEUED) + REF, Wake::Queue)
            }
        })
    }

    /// Asks that the future be dropped.
    pub(super) fn cancel(&self) -> Cancel {
        self.update(|now| {
            let is_running = now & RUNNING != 0 && !mutant("fiber-cancel-running");
            if now & DONE != 0 {
                (now, Cancel::Late)
            } else if now & QUEUED != 0 || is_running {
                (now | CANCELLED, Cancel::Asked)
            } else {
                ((now | CANCELLED | QUEUED) + REF, Cancel::Queue)
            }
        })
    }

    /// A closing executor takes the future; false: it is complete, or the one
    /// that runs it will drop it after the poll.
    pub(super) fn claim(&self) -> bool {
        self.update(|now| {
            if now & DONE != 0 {
                (now, false)
            } else if now & RUNNING != 0 && !mutant("fiber-claim-running") {
                (now | SHUT, false)
            } else {
                (now & !(QUEUED | FRESH | AGAIN) | SHUT | RUNNING, true)
            }
        })
    }

    /// The holder of the future has dropped it and left the outcome.
    pub(super) fn complete(&self) -> Ended {
        self.update(|now| {
            debug_assert_eq!(now & (QUEUED | RUNNING | DONE), RUNNING);
            let ended = Ended {
                is_joined: now & JOIN != 0,
                is_watched: now & WATCHED != 0,
                was_cancelled: now & CANCELLED != 0,
            };
            (now & !(RUNNING | NOTIFIED) | DONE, ended)
        })
    }

    /// The holder of the future asks, before it completes: was it cancelled?
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) & CANCELLED != 0
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.load(Ordering::Acquire) & RUNNING != 0
    }

    /// The join handle has left a waker; true: too late, the fiber is complete.
    pub(super) fn watch(&self) -> bool {
        if mutant("fiber-join-blind") {
            let is_done = self.is_done();
            self.0.fetch_or(WATCHED, Ordering::AcqRel);
            return is_done;
        }
        self.0.fetch_or(WATCHED, Ordering::AcqRel) & DONE != 0
    }

    /// The join handle goes; true: the outcome is left to it.
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_and(!JOIN, Ordering::AcqRel) & DONE != 0
    }

    pub(super) fn add_ref(&self) {
        let before = self.0.fetch_add(REF, Ordering::Relaxed);
        assert!(before < 1 << 62, "references leaked until they overflowed");
    }

    /// True: that was the last one.
    pub(super) fn drop_ref(&self) -> bool {
        self.0.fetch_sub(REF, Ordering::AcqRel) < 2 * REF
    }
}

fn stop(word: u64) -> Option<Stop> {
    if word & CANCELLED != 0 {
        Some(Stop::Cancelled)
    } else if word & SHUT != 0 {
        Some(Stop::Closed)
    } else {
        None
    }
}

#[cfg(all(test, rivix_loom))]
mod model {
    use super::*;
    use rivix_sync::sys::{UnsafeCell, atomic::AtomicBool, thread};
    use std::sync::Arc;

    /// A fiber without a future: its polls look for `ready`, in the cell that
    /// only the holder may touch. Counts what happened to it.
    struct Small {
        word: Word,
        ready: AtomicBool,
        cell: UnsafeCell<Seen>,
        queued: AtomicU64,
    }

    // SAFETY: the cell is touched by whom the word gives RUNNING; the model checks that.
    unsafe impl Sync for Small {}
    // SAFETY: as for Sync.
    unsafe impl Send for Small {}

    #[derive(Default)]
    struct Seen {
        polls: u32,
        drops: u32,
        is_ready: bool,
    }

    impl Small {
        fn new() -> Arc<Self> {
            Arc::new(Small {
                word: Word::new(),
                ready: AtomicBool::new(false),
                cell: UnsafeCell::new(Seen::default()),
                queued: AtomicU64::new(1),
            })
        }

        fn finish(&self, is_ready: bool) {
            self.cell.with_mut(|seen| {
                // SAFETY: the caller has RUNNING.
                let seen = unsafe { &mut *seen };
                seen.drops += 1;
                seen.is_ready = is_ready;
            });
            self.word.complete();
        }

        /// One turn of a worker that took an entry.
        fn turn(&self) {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            match self.word.begin() {
                Begin::Stale => {}
                Begin::Stop(_) => self.finish(false),
                Begin::Poll(_) => {
                    let is_ready = self.cell.with_mut(|seen| {
                        // SAFETY: RUNNING is this thread's.
                        unsafe { (*seen).polls += 1 };
                        self.ready.load(Ordering::Relaxed)
                    });
                    if is_ready {
                        self.finish(true);
                        return;
                    }
                    match self.word.pause() {
                        Pause::Idle => {}
                        Pause::Again => {
                            self.queued.fetch_add(1, Ordering::AcqRel);
                        }
                        Pause::Stop(_) => self.finish(false),
                    }
                }
            }
        }

        /// Turns until no entry is left, as many as this model can give.
        fn turns(&self) {
            for _ in 0..4 {
                if self.queued.load(Ordering::Acquire) == 0 {
                    return;
                }
                self.turn();
            }
            panic!("more turns than wakes");
        }

        fn wake(&self) {
            if self.word.wake() == Wake::Queue {
                self.queued.fetch_add(1, Ordering::AcqRel);
            }
        }

        fn cancel(&self) -> Cancel {
            let cancel = self.word.cancel();
            if cancel == Cancel::Queue {
                self.queued.fetch_add(1, Ordering::AcqRel);
            }
            cancel
        }
    }

    /// A wake by value anywhere in a poll is not lost: the fiber sees what the
    /// waker wrote before it.
    #[test]
    fn wake_during_poll() {
        loom::model(|| {
            let fiber = Small::new();
            fiber.word.add_ref();
            let waker = {
                let fiber = fiber.clone();
                thread::spawn("", 0, move || {
                    fiber.ready.store(true, Ordering::Relaxed);
                    fiber.wake();
                })
                .unwrap()
            };
            fiber.turns();
            waker.join().unwrap();
            fiber.turns();
            assert!(fiber.word.is_done(), "a wake was lost");
            fiber.cell.with(|seen| {
                // SAFETY: the fiber is done and the threads joined.
                let seen = unsafe { &*seen };
                assert!(seen.is_ready && seen.drops == 1 && seen.polls <= 2);
            });
        });
    }

    /// Cancel against wake against completion: the future is dropped once, by
    /// one thread at a time, and a cancel that was not too late drops it.
    #[test]
    fn cancel_wake_complete() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let fiber = Small::new();
            fiber.word.add_ref();
            let waker = {
                let fiber = fiber.clone();
                thread::spawn("", 0, move || {
                    fiber.ready.store(true, Ordering::Relaxed);
                    fiber.wake();
                })
                .unwrap()
            };
            let canceller = {
                let fiber = fiber.clone();
                thread::spawn("", 0, move || {
                    // The canceller is a worker too: two compete for entries.
                    if fiber.cancel() == Cancel::Queue {
                        fiber.turn();
                    }
                })
                .unwrap()
            };
            fiber.turn();
            waker.join().unwrap();
            canceller.join().unwrap();
            fiber.turns();
            assert!(fiber.word.is_done());
            fiber.cell.with(|seen| {
                // SAFETY: the fiber is done and the threads joined.
                let seen = unsafe { &*seen };
                assert_eq!(seen.drops, 1);
            });
        });
    }

    /// The end of a fiber against its join handle's waker: the handle sees the
    /// end, or the end sees the waker.
    #[test]
    fn join_against_complete() {
        loom::model(|| {
            let fiber = Small::new();
            let joiner = {
                let fiber = fiber.clone();
                let sees_end = Arc::new(AtomicBool::new(false));
                let saw = sees_end.clone();
                let thread = thread::spawn("", 0, move || {
                    saw.store(fiber.word.watch(), Ordering::Relaxed);
                })
                .unwrap();
                (thread, sees_end)
            };
            assert_eq!(fiber.word.begin(), Begin::Poll(Origin::Spawned));
            let ended = fiber.word.complete();
            joiner.0.join().unwrap();
            assert!(
                ended.is_watched || joiner.1.load(Ordering::Relaxed),
                "nobody wakes the joiner"
            );
        });
    }

    /// A closing executor against the worker that polls: one of them drops the future.
    #[test]
    fn close_against_poll() {
        loom::model(|| {
            let fiber = Small::new();
            let closer = {
                let fiber = fiber.clone();
                thread::spawn("", 0, move || {
                    if fiber.word.claim() {
                        fiber.finish(false);
                    }
                })
                .unwrap()
            };
            fiber.turn();
            closer.join().unwrap();
            fiber.cell.with(|seen| {
                // SAFETY: both threads are past it.
                let seen = unsafe { &*seen };
                assert_eq!(seen.drops, 1);
            });
        });
    }
}
