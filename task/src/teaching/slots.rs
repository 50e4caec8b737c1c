//! A process's threads by slot, and where each slot's stack lies.
//!
//! Stacks lie in an area of their own that begins half-way up the address space.
//! Slot `n` begins at `area + n * (GUARD_BYTES + STACK_BYTES)`: first its guard,
//! which is never mapped, then its stack, which grows down from the slot's end,
//! that is from the guard of the next. Slot 0 stays empty: the first thread has
//! the stack that the loader made.

use super::Resume;
use crate::ids::{Id, IdAlloc, Lowest};
use rivix_abi::{Errno, PAGE_SIZE};
use std::collections::BTreeMap;
use std::ops::Range;

/// Threads that a process may have, ended ones that nobody waited for among them.
pub const MAX_SLOTS: u32 = 4096;
/// Size of a thread's stack.
pub const STACK_BYTES: u64 = 64 * 1024;
/// What lies below each stack and faults.
pub const GUARD_BYTES: u64 = PAGE_SIZE;

const SLOT_BYTES: u64 = GUARD_BYTES + STACK_BYTES;

/// Where all stacks lie, in an address space of this size. It is the kernel's: no
/// break or mapping of the program's own gets there.
pub fn stack_area(task_size: u64) -> Range<u64> {
    let start = (task_size / 2) & !(PAGE_SIZE - 1);
    start..start.saturating_add(u64::from(MAX_SLOTS) * SLOT_BYTES)
}

/// The stack of a slot.
pub(super) fn stack(task_size: u64, slot: u32) -> Range<u64> {
    let area = stack_area(task_size);
    let start = area.start.saturating_add(u64::from(slot) * SLOT_BYTES);
    start.saturating_add(GUARD_BYTES)..start.saturating_add(SLOT_BYTES)
}

/// What waiting for a thread finds.
#[derive(Debug)]
pub enum Joined {
    /// No such thread, or it is the caller.
    Absent,
    /// It has not ended.
    Running,
    /// Its exit code; the slot is free when this is dropped.
    Ended(i32, Freed),
}

/// A slot that its thread has left: its number is given anew once this is dropped.
#[derive(Debug)]
pub struct Freed {
    id: Id<Lowest>,
}

impl Freed {
    pub(super) fn slot(&self) -> u32 {
        self.id.number().unsigned_abs()
    }
}

enum Life {
    Running,
    /// It has called exit, and has not ended yet.
    Ending(i32),
    Ended(i32),
}

struct Slot {
    id: Id<Lowest>,
    life: Life,
    resume: Option<Resume>,
}

/// The table.
pub(super) struct Slots {
    numbers: IdAlloc<Lowest>,
    threads: BTreeMap<u32, Slot>,
    /// The slot on whose stack thread 0 of a forked process runs.
    kept: Option<Id<Lowest>>,
}

impl Default for Slots {
    /// With thread 0, which runs.
    fn default() -> Slots {
        let last = i32::try_from(MAX_SLOTS - 1).unwrap_or(i32::MAX);
        let mut slots = Slots {
            numbers: IdAlloc::new(0..=last),
            threads: BTreeMap::new(),
            kept: None,
        };
        // It is the first number of a range that has some.
        let _ = slots.begin();
        slots
    }
}

impl Slots {
    /// Takes the lowest free slot for a thread that is about to run.
    ///
    /// # Errors
    /// EAGAIN: all are taken.
    pub(super) fn begin(&mut self) -> Result<u32, Errno> {
        let id = self.numbers.allocate()?;
        let slot = id.number().unsigned_abs();
        let thread = Slot {
            id,
            life: Life::Running,
            resume: None,
        };
        self.threads.insert(slot, thread);
        Ok(slot)
    }

    /// The thread was not made after all.
    pub(super) fn forget(&mut self, slot: u32) {
        self.threads.remove(&slot);
    }

    /// The slot whose stack the thread runs on; 0: the one the loader made.
    pub(super) fn stack_of(&self, slot: u32) -> u32 {
        match (&self.kept, slot) {
            (Some(kept), 0) => kept.number().unsigned_abs(),
            _ => slot,
        }
    }

    /// Keeps a slot's stack for thread 0, whose stack it is since a fork.
    pub(super) fn keep_stack(&mut self, slot: u32) {
        if slot == 0 {
            return;
        }
        // Those below it are given back at once.
        let mut below = Vec::new();
        while let Ok(id) = self.numbers.allocate() {
            if id.number().unsigned_abs() == slot {
                self.kept = Some(id);
                return;
            }
            below.push(id);
        }
    }

    /// The thread will end with this code: it runs no instruction any more.
    pub(super) fn ending(&mut self, slot: u32, code: i32) {
        if let Some(thread) = self.threads.get_mut(&slot) {
            thread.life = Life::Ending(code);
        }
    }

    /// The thread has ended. One that did not call exit ends with its process.
    pub(super) fn ended(&mut self, slot: u32) {
        if let Some(thread) = self.threads.get_mut(&slot)
            && let Life::Ending(code) = thread.life
        {
            thread.life = Life::Ended(code);
        }
    }

    /// What `caller` finds when it waits for the thread `wanted`. An ended one is
    /// out of the table then: one waiter gets its code.
    pub(super) fn join(&mut self, caller: u32, wanted: u64) -> Joined {
        let Some(slot) = u32::try_from(wanted).ok().filter(|slot| *slot != caller) else {
            return Joined::Absent;
        };
        let code = match self.threads.get(&slot).map(|thread| &thread.life) {
            None => return Joined::Absent,
            Some(Life::Running | Life::Ending(_)) => return Joined::Running,
            Some(Life::Ended(code)) => *code,
        };
        match self.threads.remove(&slot) {
            Some(thread) => Joined::Ended(code, Freed { id: thread.id }),
            None => Joined::Absent,
        }
    }

    /// Where an interrupted call of the thread is to go on.
    pub(super) fn set_resume(&mut self, slot: u32, resume: Resume) {
        if let Some(thread) = self.threads.get_mut(&slot) {
            thread.resume = Some(resume);
        }
    }

    pub(super) fn take_resume(&mut self, slot: u32) -> Option<Resume> {
        self.threads.get_mut(&slot)?.resume.take()
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    /// Ends a thread as its exit does.
    fn end(slots: &mut Slots, slot: u32, code: i32) {
        slots.ending(slot, code);
        slots.ended(slot);
    }

    fn code(joined: Joined) -> Option<i32> {
        match joined {
            Joined::Ended(code, _) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_slot_is_given_anew_only_when_it_was_waited_for() {
        let mut slots = Slots::default();
        assert_eq!([1, 2, 3].map(Ok), [(); 3].map(|()| slots.begin()));
        end(&mut slots, 1, 10);
        end(&mut slots, 2, 20);
        // Both are zombies: the next thread overwrites neither.
        assert_eq!(slots.begin(), Ok(4));
        assert_eq!(code(slots.join(0, 2)), Some(20));
        assert_eq!(slots.begin(), Ok(2));
        assert_eq!(code(slots.join(0, 1)), Some(10));
        assert_eq!(slots.begin(), Ok(1));
    }

    #[test]
    fn a_slot_that_is_being_freed_is_taken_by_nobody() {
        let mut slots = Slots::default();
        assert_eq!(slots.begin(), Ok(1));
        end(&mut slots, 1, 7);
        let joined = slots.join(0, 1);
        assert_eq!(slots.begin(), Ok(2));
        assert!(matches!(slots.join(0, 1), Joined::Absent));
        drop(joined);
        assert_eq!(slots.begin(), Ok(1));
    }

    #[test]
    fn waiting_for_what_is_no_thread_or_has_not_ended() {
        let mut slots = Slots::default();
        assert_eq!(slots.begin(), Ok(1));
        for wanted in [0, 2, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX] {
            assert!(matches!(slots.join(0, wanted), Joined::Absent), "{wanted}");
        }
        assert!(matches!(slots.join(1, 0), Joined::Running));
        assert!(matches!(slots.join(0, 1), Joined::Running));
        slots.ending(1, -5);
        assert!(matches!(slots.join(0, 1), Joined::Running));
        slots.ended(1);
        assert_eq!(code(slots.join(0, 1)), Some(-5));
        assert!(matches!(slots.join(0, 1), Joined::Absent));
    }

    #[test]
    fn all_slots_can_be_taken_and_no_more() {
        let mut slots = Slots::default();
        for slot in 1..MAX_SLOTS {
            assert_eq!(slots.begin(), Ok(slot));
        }
        assert_eq!(slots.begin(), Err(Errno::EAGAIN));
        slots.forget(9);
        assert_eq!(slots.begin(), Ok(9));
    }

    #[test]
    fn the_stack_of_a_forked_thread_is_not_given_to_another() {
        let mut slots = Slots::default();
        slots.keep_stack(2);
        assert_eq!([1, 3, 4].map(Ok), [(); 3].map(|()| slots.begin()));
        assert!(matches!(slots.join(0, 2), Joined::Absent));
        // It is still that one's when it forks again; another thread has its own.
        assert_eq!([0, 1, 4].map(|slot| slots.stack_of(slot)), [2, 1, 4]);
        assert_eq!(Slots::default().stack_of(0), 0);
    }

    #[test]
    fn stacks_have_guards_between_them() {
        let size = 1 << 38;
        let area = stack_area(size);
        assert_eq!(area.start, 1 << 37);
        for slot in 1..MAX_SLOTS {
            let (below, own) = (stack(size, slot - 1), stack(size, slot));
            assert_eq!(own.start - below.end, GUARD_BYTES);
            assert_eq!(own.end - own.start, STACK_BYTES);
            assert!(area.start <= own.start && own.end <= area.end);
            assert_eq!(own.end % 16, 0);
        }
    }
}
