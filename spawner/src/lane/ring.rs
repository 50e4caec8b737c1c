//! The channel: a store, and who sleeps on it.
//!
//! The runner sleeps when the next slot it must read is not published; producers
//! sleep when all slots are taken.
//!
//! - **Invariant R1:** a producer publishes, fences, then looks whether the runner
//!   sleeps; the runner says that it sleeps, fences, looks again, then parks. One
//!   of them sees the other.
//! - **Invariant R2:** producers who find no slot queue under the gate, where
//!   generations change; the runner gives them the next generation's first slots,
//!   in their order. Nobody overtakes them.
//! - **Invariant R3:** what was reserved before the close is read by the runner;
//!   what was not goes back to its producer.

use super::Close;
use super::sleeper::Sleeper;
use super::slot::Unit;
use super::store::{Apart, Refusal, Reserved, Sealed, Spare, Store};
use super::stream::StreamId;
use crate::current;
use rivix_sync::sys::atomic::{AtomicBool, Ordering, fence};
use rivix_sync::sys::mutant;
use rivix_sync::{Mutex, Parker, assert_no_lock_held, level};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// How often a runner that just worked looks for more before it sleeps; with the
/// pause of [`BREATH`] between looks this is less than two microseconds.
#[cfg(not(rivix_model))]
const LOOKS: u32 = 4;
/// Pauses between two looks. Looking less often lets a batch gather, and leaves the
/// line to its writer.
#[cfg(not(rivix_model))]
const BREATH: u32 = 8;

pub(super) struct Ring<C: 'static> {
    store: Store<C>,
    is_asleep: Apart<AtomicBool>,
    runner: Parker,
    is_cancelled: AtomicBool,
    gate: Mutex<level::Lane, Gate>,
}

struct Gate {
    is_closed: bool,
    /// The last generation, from the one who closed to the runner.
    last: Option<Sealed>,
    waiting: VecDeque<Arc<Sleeper>>,
    /// Slots on their way to producers who were woken.
    granted: Vec<(Arc<Sleeper>, Reserved)>,
}

/// The runner's half. There is one.
pub(super) struct Consumer<C: 'static> {
    ring: Arc<Ring<C>>,
    spare: Option<Spare>,
    /// What is being read.
    current: Option<Batch>,
    /// The generation that is open unless the ring is closed.
    open: u64,
    /// It worked a moment ago: more may follow at once.
    is_warm: bool,
    woken: Vec<Arc<Sleeper>>,
}

/// One generation's units.
struct Batch {
    sealed: Sealed,
    is_last: bool,
}

/// What the runner has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) generation: u64,
    /// The ring is closed, and nothing comes after.
    pub(super) is_last: bool,
}

/// A new ring of `capacity` slots a generation, and its reader.
pub(super) fn ring<C: 'static>(capacity: u32) -> (Arc<Ring<C>>, Consumer<C>) {
    ring_from(capacity, 0)
}

/// As [`ring`], counting generations from `generation`.
pub(super) fn ring_from<C: 'static>(capacity: u32, generation: u64) -> (Arc<Ring<C>>, Consumer<C>) {
    let (store, spare) = Store::new(capacity, generation);
    let open = store.generation();
    let ring = Arc::new(Ring {
        store,
        is_asleep: Apart(AtomicBool::new(false)),
        runner: Parker::new(),
        is_cancelled: AtomicBool::new(false),
        gate: Mutex::new(Gate {
            is_closed: false,
            last: None,
            // Room enough that a full ring does not allocate.
            waiting: VecDeque::with_capacity(32),
            granted: Vec::with_capacity(32),
        }),
    });
    let consumer = Consumer {
        ring: ring.clone(),
        spare: Some(spare),
        current: None,
        open,
        is_warm: false,
        woken: Vec::with_capacity(32),
    };
    (ring, consumer)
}

impl<C: 'static> Ring<C> {
    pub(super) fn store(&self) -> &Store<C> {
        &self.store
    }

    /// Puts a unit into the ring if there is a slot.
    #[inline]
    pub(super) fn push<U: Unit<C>>(&self, stream: StreamId, unit: U) -> Result<(), (Refusal, U)> {
        match self.store.reserve() {
            Ok(slot) => {
                self.publish(slot, stream, unit);
                Ok(())
            }
            Err(refusal) => Err((refusal, unit)),
        }
    }

    /// Puts a unit into the ring, sleeping for a slot if need be. It comes back
    /// when the ring is closed.
    #[inline]
    pub(super) fn push_wait<U: Unit<C>>(&self, stream: StreamId, unit: U) -> Result<(), U> {
        match self.store.reserve() {
            Ok(slot) => self.publish(slot, stream, unit),
            Err(Refusal::Closed) => return Err(unit),
            Err(Refusal::Full) => match self.await_slot() {
                Some(slot) => self.publish(slot, stream, unit),
                None => return Err(unit),
            },
        }
        Ok(())
    }

    #[inline]
    fn publish<U: Unit<C>>(&self, slot: Reserved, stream: StreamId, unit: U) {
        self.store.write(slot, stream, unit);
        self.wake();
    }

    /// Wakes the runner if it sleeps (R1). What is published is seen by it.
    #[inline]
    pub(super) fn wake(&self) {
        if !mutant("lane-no-fence") {
            fence(Ordering::SeqCst);
        }
        if self.is_asleep.0.load(Ordering::Relaxed) {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(&self) {
        // One wake for all who see it asleep.
        if self.is_asleep.0.swap(false, Ordering::Relaxed) {
            self.runner.unpark();
        }
    }

    /// Queues for a slot (R2). None: closed.
    #[cold]
    fn await_slot(&self) -> Option<Reserved> {
        assert_no_lock_held("a submit to a full lane");
        let sleeper = Sleeper::current();
        {
            let mut gate = self.gate.lock();
            // Generations change under the gate: full here stays full until the
            // runner comes by and finds us. Free here means that nobody waits.
            match self.store.reserve() {
                Ok(slot) => return Some(slot),
                Err(Refusal::Closed) => return None,
                Err(Refusal::Full) => gate.waiting.push_back(sleeper.clone()),
            }
        }
        let _blocked = current::block();
        sleeper.wait();
        let mut gate = self.gate.lock();
        let at = gate
            .granted
            .iter()
            .position(|(name, _)| Arc::ptr_eq(name, &sleeper))?;
        Some(gate.granted.swap_remove(at).1)
    }

    /// Takes no more units. Those already in are run, or with
    /// [`Close::Cancel`] dropped. A second close may only turn Drain into Cancel.
    pub(super) fn close(&self, mode: Close) {
        if mode == Close::Cancel {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
        let waiting = {
            let mut gate = self.gate.lock();
            if let Some(last) = self.store.close() {
                gate.is_closed = true;
                gate.last = Some(last);
            }
            std::mem::take(&mut gate.waiting)
        };
        for sleeper in waiting {
            if !mutant("lane-close-untold") {
                sleeper.tell();
            }
        }
        self.wake();
    }

    /// How many producers sleep for a slot.
    #[cfg(all(test, not(rivix_model)))]
    pub(super) fn waiting(&self) -> usize {
        self.gate.lock().waiting.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.store.is_closed()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

impl<C: 'static> Consumer<C> {
    /// Sleeps until there are units or the ring is closed; false: `deadline` came
    /// first.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let (ring, open) = (&*self.ring, self.open);
        let is_warm = std::mem::take(&mut self.is_warm);
        ring.sleep_until(is_warm, deadline, || {
            ring.store.has_first(open) || ring.store.is_closed()
        })
    }

    /// Seals what has come in, for `run` or `discard`. None: the last was taken
    /// before.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let batch = {
            let mut gate = self.ring.gate.lock();
            if gate.is_closed {
                Batch {
                    sealed: gate.last.take()?,
                    is_last: true,
                }
            } else {
                let spare = self
                    .spare
                    .take()
                    .expect("a batch is taken after the last one's end");
                let waiting = gate.waiting.len() as u32;
                let (sealed, granted) = self.ring.store.seal(spare, waiting);
                for slot in granted {
                    let Some(sleeper) = gate.waiting.pop_front() else {
                        unreachable!("no more is granted than wait");
                    };
                    gate.granted.push((sleeper.clone(), slot));
                    self.woken.push(sleeper);
                }
                Batch {
                    sealed,
                    is_last: false,
                }
            }
        };
        self.open = self.ring.store.generation();
        if !mutant("lane-grant-untold") {
            for sleeper in self.woken.drain(..) {
                sleeper.tell();
            }
        }
        let taken = Taken {
            generation: batch.sealed.generation(),
            is_last: batch.is_last,
        };
        self.current = Some(batch);
        Some(taken)
    }

    /// Runs in order what was taken (or, cancelled, drops it), sleeping where a slot
    /// is reserved but not yet published. How many were run.
    pub(super) fn run(&mut self, context: &C) -> u32 {
        self.each(|ring, sealed| {
            if ring.is_cancelled() {
                ring.store.discard_next(sealed);
                0
            } else {
                ring.store.run_next(sealed, context);
                1
            }
        })
    }

    /// Drops what was taken, or what is left of it.
    pub(super) fn discard(&mut self) {
        self.each(|ring, sealed| {
            ring.store.discard_next(sealed);
            0
        });
    }

    fn each(&mut self, one: impl Fn(&Ring<C>, &mut Sealed) -> u32) -> u32 {
        let ring = &*self.ring;
        let mut ran = 0;
        if let Some(batch) = &mut self.current {
            let sealed = &mut batch.sealed;
            while sealed.left() > 0 {
                if !ring.store.has_next(sealed) {
                    if mutant("lane-swap-blind") {
                        // Takes the buffer back under its writer.
                        sealed.skip();
                        continue;
                    }
                    ring.sleep_until(true, None, || ring.store.has_next(sealed));
                }
                ran += one(ring, sealed);
            }
        }
        // Only now: unwound, the rest is still there to be dropped.
        if let Some(batch) = self.current.take()
            && !batch.is_last
        {
            self.spare = Some(batch.sealed.finish());
        }
        self.is_warm = true;
        ran
    }
}

impl<C: 'static> Ring<C> {
    /// The runner's only sleep (R1).
    fn sleep_until(
        &self,
        is_warm: bool,
        deadline: Option<Instant>,
        is_ready: impl Fn() -> bool,
    ) -> bool {
        if is_ready() {
            return true;
        }
        #[cfg(not(rivix_model))]
        if is_warm {
            for _ in 0..LOOKS {
                for _ in 0..BREATH {
                    std::hint::spin_loop();
                }
                if is_ready() {
                    return true;
                }
            }
        }
        let _ = is_warm;
        loop {
            // Swaps, not stores: they and the producers' have one order.
            self.is_asleep.0.swap(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if is_ready() && !mutant("lane-no-recheck") {
                self.is_asleep.0.swap(false, Ordering::Relaxed);
                return true;
            }
            let is_woken = self.runner.park_until(deadline);
            self.is_asleep.0.swap(false, Ordering::Relaxed);
            if is_ready() {
                return true;
            }
            if !is_woken {
                return false;
            }
        }
    }
}
