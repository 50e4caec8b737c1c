//! Where one unit lies between its submitter and the runner.
//!
//! A slot is one cache line: 48 bytes of unit, the submitter's stream, and a
//! pointer to the unit's two functions, run and drop. Larger units go to the
//! slot's arena block (made when first needed, then kept), the largest to a box;
//! the slot then holds a pointer.
//!
//! - **Invariant L1:** a slot's bytes and its arena block are touched only by who
//!   holds the slot: its reserver, from the reservation until the table is
//!   stored; the reader of its sealed generation, from the load of that table
//!   until the slot is cleared; nobody else. See `store.rs`.
//! - **Invariant L2:** the table is not null exactly while the slot holds a unit of
//!   the type the table was made for, in the form it was made for.
//! - **Invariant L3:** a unit is moved out once: the table is cleared before.
//! - **Invariant L4:** the arena block, once made, lives as long as the slot.

use super::stream::StreamId;
use crate::panics::drop_quietly;
use rivix_sync::sys::UnsafeCell;
use rivix_sync::sys::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

/// What a lane carries. Dropping it unrun is its cancellation.
pub(super) trait Unit<C>: Send {
    /// Runs on the runner and does not unwind.
    fn run(self, context: &C, stream: StreamId);
}

/// Units up to this size (and [`ALIGN`]) lie in the slot itself.
pub(super) const INLINE: usize = 48;
/// Units up to this size (and [`ALIGN`]) lie in the slot's arena block.
pub(super) const ARENA: usize = 4096;
/// The alignment of slots and arena blocks; what needs more is boxed.
pub(super) const ALIGN: usize = 64;

/// In which of the three ways a unit is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Inline,
    Arena,
    Boxed,
}

/// Decided by the type alone.
pub(super) const fn form_of<U>() -> Form {
    if align_of::<U>() > ALIGN || size_of::<U>() > ARENA {
        Form::Boxed
    } else if size_of::<U>() > INLINE {
        Form::Arena
    } else {
        Form::Inline
    }
}

struct Table<C> {
    run: unsafe fn(*mut Cargo, &C),
    drop: unsafe fn(*mut Cargo),
}

// Models' cells put their contents at an offset of their own.
#[cfg_attr(rivix_model, repr(C, align(64)))]
#[cfg_attr(not(rivix_model), repr(C, align(8)))]
struct Cargo {
    bytes: MaybeUninit<[u8; INLINE]>,
    stream: StreamId,
}

#[repr(C, align(64))]
struct Block(MaybeUninit<[u8; ARENA]>);

/// A place for one unit. Aligned so that neighbours do not share a cache line.
#[repr(C, align(64))]
pub(super) struct Slot<C: 'static> {
    cargo: UnsafeCell<Cargo>,
    table: AtomicPtr<Table<C>>,
}

#[cfg(not(rivix_model))]
const _: () = {
    assert!(size_of::<Slot<()>>() == 64);
    assert!(std::mem::offset_of!(Slot<()>, cargo) == 0);
    assert!(align_of::<Slot<()>>() == ALIGN && align_of::<Block>() == ALIGN);
    assert!(size_of::<Block>() == ARENA);
};

/// A slot's arena block, or nothing yet. Kept beside the slots: most lanes never need one.
pub(super) struct Arena(UnsafeCell<*mut Block>);

// SAFETY: L1: a block is touched by the slot's holder only.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    pub(super) fn new() -> Self {
        Arena(UnsafeCell::new(ptr::null_mut()))
    }

    /// # Safety
    /// The caller holds the slot (L1).
    unsafe fn block(&self) -> *mut Block {
        self.0.with_mut(|block| {
            // SAFETY: L1.
            unsafe {
                if (*block).is_null() {
                    *block = Box::into_raw(Box::<Block>::new_uninit()).cast();
                }
                *block
            }
        })
    }

    /// Has a block been made?
    #[cfg(all(test, not(rivix_model)))]
    pub(super) fn is_made(&mut self) -> bool {
        // SAFETY: `&mut self`: nobody else looks.
        self.0.with(|block| unsafe { !(*block).is_null() })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.0.with_mut(|block| {
            // SAFETY: `&mut self`: nobody holds the slot any more; L4: it came
            // from a box of this type.
            unsafe {
                if !(*block).is_null() {
                    drop(Box::<MaybeUninit<Block>>::from_raw((*block).cast()));
                }
            }
        });
    }
}

// SAFETY: L1 makes accesses exclusive; units are `Send`.
unsafe impl<C> Send for Slot<C> {}
// SAFETY: as above.
unsafe impl<C> Sync for Slot<C> {}

impl<C: 'static> Slot<C> {
    pub(super) fn new() -> Self {
        Slot {
            cargo: UnsafeCell::new(Cargo {
                bytes: MaybeUninit::uninit(),
                stream: StreamId::NONE,
            }),
            table: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Does the slot hold a unit?
    #[inline]
    pub(super) fn is_published(&self) -> bool {
        !self.table.load(Ordering::Acquire).is_null()
    }

    /// Stores a unit and publishes it: from then on it is the reader's.
    ///
    /// # Safety
    /// The caller has reserved this slot and not yet written it (L1).
    #[inline]
    pub(super) unsafe fn write<U: Unit<C>>(&self, arena: &Arena, stream: StreamId, unit: U) {
        let table = self.cargo.with_mut(|cargo| {
            // SAFETY: L1: the slot is ours. The bytes hold a `U` of the inline
            // form (`form_of`), a pointer to a block that fits one, or a box.
            unsafe {
                (*cargo).stream = stream;
                let bytes = (&raw mut (*cargo).bytes).cast::<u8>();
                match const { form_of::<U>() } {
                    Form::Inline => {
                        bytes.cast::<U>().write(unit);
                        InSlot::<U, C>::TABLE
                    }
                    Form::Arena => {
                        let block = arena.block();
                        block.cast::<U>().write(unit);
                        bytes.cast::<*mut Block>().write(block);
                        InArena::<U, C>::TABLE
                    }
                    Form::Boxed => {
                        bytes.cast::<*mut U>().write(Box::into_raw(Box::new(unit)));
                        InBox::<U, C>::TABLE
                    }
                }
            }
        });
        self.table
            .store(ptr::from_ref(table).cast_mut(), Ordering::Release);
    }

    /// Moves the unit out and runs it.
    ///
    /// # Safety
    /// The caller is the reader of this slot's sealed generation (L1) and has
    /// seen [`Slot::is_published`].
    #[inline]
    pub(super) unsafe fn run(&self, context: &C) {
        let table = self.clear();
        // SAFETY: L1: the slot is ours; L2: the table is this unit's; L3.
        self.cargo
            .with_mut(|cargo| unsafe { ((*table).run)(cargo, context) });
    }

    /// Moves the unit out and drops it.
    ///
    /// # Safety
    /// As [`Slot::run`].
    pub(super) unsafe fn discard(&self) {
        let table = self.clear();
        // SAFETY: as in `run`.
        self.cargo
            .with_mut(|cargo| unsafe { ((*table).drop)(cargo) });
    }

    /// Says that the slot is empty again. The next reserver learns it through
    /// the reservation word.
    fn clear(&self) -> *const Table<C> {
        let table = self.table.load(Ordering::Acquire);
        self.table.store(ptr::null_mut(), Ordering::Relaxed);
        assert!(!table.is_null(), "an empty slot was read");
        table
    }
}

impl<C> Drop for Slot<C> {
    fn drop(&mut self) {
        if self.is_published() {
            // SAFETY: `&mut self`: there is no other reader.
            unsafe { self.discard() };
        }
    }
}

/// The functions of units that lie in the slot.
struct InSlot<U, C>(PhantomData<(U, C)>);

impl<U: Unit<C>, C: 'static> InSlot<U, C> {
    const TABLE: &'static Table<C> = &Table {
        run: Self::run,
        drop: Self::drop,
    };

    unsafe fn run(cargo: *mut Cargo, context: &C) {
        // SAFETY: L2, L3: the bytes are a `U`, and moved out here only.
        let (unit, stream) = unsafe { (cargo.cast::<U>().read(), (*cargo).stream) };
        unit.run(context, stream);
    }

    unsafe fn drop(cargo: *mut Cargo) {
        // SAFETY: as in `run`.
        drop_quietly(unsafe { cargo.cast::<U>().read() });
    }
}

/// The functions of units that lie in the arena block.
struct InArena<U, C>(PhantomData<(U, C)>);

impl<U: Unit<C>, C: 'static> InArena<U, C> {
    const TABLE: &'static Table<C> = &Table {
        run: Self::run,
        drop: Self::drop,
    };

    unsafe fn run(cargo: *mut Cargo, context: &C) {
        // SAFETY: L2: the bytes are a pointer to a block (L4) that holds a `U`; L3.
        let (unit, stream) = unsafe { ((*cargo.cast::<*mut U>()).read(), (*cargo).stream) };
        unit.run(context, stream);
    }

    unsafe fn drop(cargo: *mut Cargo) {
        // SAFETY: as in `run`.
        drop_quietly(unsafe { (*cargo.cast::<*mut U>()).read() });
    }
}

/// The functions of boxed units.
struct InBox<U, C>(PhantomData<(U, C)>);

impl<U: Unit<C>, C: 'static> InBox<U, C> {
    const TABLE: &'static Table<C> = &Table {
        run: Self::run,
        drop: Self::drop,
    };

    unsafe fn run(cargo: *mut Cargo, context: &C) {
        // SAFETY: L2: the bytes are a box's pointer; L3: it becomes a box once.
        let (unit, stream) = unsafe { (Box::from_raw(*cargo.cast::<*mut U>()), (*cargo).stream) };
        (*unit).run(context, stream);
    }

    unsafe fn drop(cargo: *mut Cargo) {
        // SAFETY: as in `run`.
        drop_quietly(unsafe { Box::from_raw(*cargo.cast::<*mut U>()) });
    }
}
