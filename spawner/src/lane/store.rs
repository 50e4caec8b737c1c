//! Two buffers of slots and the one word that says who may write where.
//!
//! The word holds a generation, a closed bit and a count. A producer adds one to
//! it: the sum before tells the generation, hence the buffer, and the index. The
//! runner *seals* a generation by swapping in the next one with count 0: the count
//! it gets back is how many slots were reserved, each of which is or will be
//! published. Producers who look at the word before the swap and add after it
//! simply land in the next generation. Refusal is decided by a load, so a full or
//! closed store is not counted up; only those who raced with the last free slot
//! add in vain, once each, and the next swap forgets them.
//!
//! - **Invariant L5:** one [`Reserved`] exists per (generation, index), and one
//!   [`Sealed`] per generation: the word's swap and add hand each out once.
//! - **Invariant L6:** a buffer is opened for a generation only with the [`Spare`]
//!   that says that all slots of its former one were read. There is one spare
//!   per store.
//! - **Invariant L7:** tokens are used with the store they came from, and sealing is
//!   serialised by who calls it (the ring's gate).

use super::slot::{Arena, Slot, Unit};
use super::stream::StreamId;
use rivix_sync::sys::atomic::{AtomicU64, Ordering};

const COUNT: u64 = 0xffff_ffff;
const CLOSED: u64 = 1 << 32;
const GENERATION: u32 = 33;

/// Keeps what is inside on cache lines of its own.
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

struct Buffer<C: 'static> {
    slots: Box<[Slot<C>]>,
    arenas: Box<[Arena]>,
}

pub(super) struct Store<C: 'static> {
    word: Apart<AtomicU64>,
    buffers: [Buffer<C>; 2],
    capacity: u32,
}

/// Why no slot was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

/// The right, and the duty, to write one slot.
#[must_use = "the runner waits for this slot"]
pub(super) struct Reserved {
    generation: u64,
    index: u32,
}

/// The right to read one generation's slots, in order.
pub(super) struct Sealed {
    generation: u64,
    count: u32,
    next: u32,
}

/// The other buffer is empty.
pub(super) struct Spare(());

impl Sealed {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Slots not yet read.
    pub(super) fn left(&self) -> u32 {
        self.count - self.next
    }

    /// Forgets the next slot: a fault for models.
    #[cfg(rivix_model)]
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// See above.
    #[cfg(not(rivix_model))]
    pub(super) fn skip(&mut self) {}

    /// The buffer may be opened again.
    pub(super) fn finish(self) -> Spare {
        assert_eq!(self.left(), 0, "a generation was left unread");
        Spare(())
    }
}

impl<C: 'static> Store<C> {
    /// An open, empty store. `generation` is where it starts to count; it wraps.
    pub(super) fn new(capacity: u32, generation: u64) -> (Self, Spare) {
        let buffer = || Buffer {
            slots: (0..capacity).map(|_| Slot::new()).collect(),
            arenas: (0..capacity).map(|_| Arena::new()).collect(),
        };
        let store = Store {
            word: Apart(AtomicU64::new(generation << GENERATION)),
            buffers: [buffer(), buffer()],
            capacity,
        };
        (store, Spare(()))
    }

    /// The generation now open.
    pub(super) fn generation(&self) -> u64 {
        self.word.0.load(Ordering::Relaxed) >> GENERATION
    }

    pub(super) fn is_closed(&self) -> bool {
        self.word.0.load(Ordering::Acquire) & CLOSED != 0
    }

    fn refusal(&self, word: u64) -> Option<Refusal> {
        if word & CLOSED != 0 {
            Some(Refusal::Closed)
        } else if word & COUNT >= u64::from(self.capacity) {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// A slot to write, if there is one.
    #[inline]
    pub(super) fn reserve(&self) -> Result<Reserved, Refusal> {
        if let Some(refusal) = self.refusal(self.word.0.load(Ordering::Relaxed)) {
            return Err(refusal);
        }
        // Acquire: the slots' last reader cleared them before it opened this
        // generation.
        let before = self.word.0.fetch_add(1, Ordering::AcqRel);
        match self.refusal(before) {
            Some(refusal) => Err(refusal),
            None => Ok(Reserved {
                generation: before >> GENERATION,
                index: (before & COUNT) as u32,
            }),
        }
    }

    #[inline]
    fn slot(&self, generation: u64, index: u32) -> (&Slot<C>, &Arena) {
        let buffer = &self.buffers[(generation & 1) as usize];
        (
            &buffer.slots[index as usize],
            &buffer.arenas[index as usize],
        )
    }

    /// Writes a unit into a reserved slot and publishes it.
    #[inline]
    pub(super) fn write<U: Unit<C>>(&self, reserved: Reserved, stream: StreamId, unit: U) {
        let (slot, arena) = self.slot(reserved.generation, reserved.index);
        // SAFETY: L5: the slot is this reserver's and the token ends here; L6:
        // its former unit was read out; L7.
        unsafe { slot.write(arena, stream, unit) };
    }

    /// Ends the open generation and opens the next, with its first `granted`
    /// slots given away already.
    pub(super) fn seal(&self, spare: Spare, granted: u32) -> (Sealed, Granted) {
        let Spare(()) = spare;
        let generation = self.generation();
        let next = generation.wrapping_add(1) << GENERATION;
        let before = self.word.0.swap(
            next | u64::from(granted.min(self.capacity)),
            Ordering::AcqRel,
        );
        let granted = Granted {
            generation: next >> GENERATION,
            next: 0,
            end: granted.min(self.capacity),
        };
        (self.sealed(before), granted)
    }

    /// Ends the open generation and opens no other. None: it was done before.
    pub(super) fn close(&self) -> Option<Sealed> {
        if self.is_closed() {
            return None;
        }
        let next = self.generation().wrapping_add(1) << GENERATION;
        let before = self.word.0.swap(next | CLOSED, Ordering::AcqRel);
        Some(self.sealed(before))
    }

    fn sealed(&self, before: u64) -> Sealed {
        Sealed {
            generation: before >> GENERATION,
            count: (before & COUNT).min(u64::from(self.capacity)) as u32,
            next: 0,
        }
    }

    /// Has anything arrived that the next seal would find ready at once?
    #[inline]
    pub(super) fn has_first(&self, generation: u64) -> bool {
        self.slot(generation, 0).0.is_published()
    }

    /// Is the next slot of `sealed` published?
    #[inline]
    pub(super) fn has_next(&self, sealed: &Sealed) -> bool {
        sealed.left() > 0 && self.slot(sealed.generation, sealed.next).0.is_published()
    }

    /// Runs the next unit of `sealed`, which is published.
    #[inline]
    pub(super) fn run_next(&self, sealed: &mut Sealed, context: &C) {
        let (slot, _) = self.slot(sealed.generation, sealed.next);
        sealed.next += 1;
        assert!(sealed.next <= sealed.count, "a slot was not sealed");
        // SAFETY: L5: this is the generation's reader, at each slot once; `run`
        // itself checks that the slot is published; L7.
        unsafe { slot.run(context) };
    }

    /// Drops the next unit of `sealed`, which is published.
    pub(super) fn discard_next(&self, sealed: &mut Sealed) {
        let (slot, _) = self.slot(sealed.generation, sealed.next);
        sealed.next += 1;
        assert!(sealed.next <= sealed.count, "a slot was not sealed");
        // SAFETY: as in `run_next`.
        unsafe { slot.discard() };
    }

    /// How many arena blocks were made.
    #[cfg(all(test, not(rivix_model)))]
    pub(super) fn arena_blocks(&mut self) -> usize {
        self.buffers
            .iter_mut()
            .flat_map(|buffer| buffer.arenas.iter_mut())
            .filter_map(|arena| arena.is_made().then_some(()))
            .count()
    }
}

/// The slots that a seal gave away.
pub(super) struct Granted {
    generation: u64,
    next: u32,
    end: u32,
}

impl Iterator for Granted {
    type Item = Reserved;

    fn next(&mut self) -> Option<Reserved> {
        if self.next == self.end {
            return None;
        }
        let index = self.next;
        self.next += 1;
        Some(Reserved {
            generation: self.generation,
            index,
        })
    }
}
