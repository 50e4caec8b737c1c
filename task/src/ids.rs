//! Numbers that name things: process ids, slots.
//!
//! An [`IdAlloc`] gives numbers of a range in the order of its policy. A number
//! is an [`Id`]: a counted reference, which gives the number back when its last
//! copy is dropped. Whoever needs a number to stay taken (a process, its group,
//! its session) keeps a copy, and nobody has to look through all of them to
//! learn whether a number is free.
//!
//! Taking and giving back cost O(log n) at most in the count of free runs.
//!
//! **Invariant I1:** a number is either in the policy's free store or held by
//! exactly one allocation, whose copies are the `Id`s that name it.

use rivix_abi::Errno;
use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Which free number is next.
pub trait Policy: Send + 'static {
    /// All of `range` is free. Numbers are not negative.
    fn new(range: RangeInclusive<i32>) -> Self;

    /// The next free number; None: all are taken.
    fn take(&mut self) -> Option<i32>;

    /// `number`, which `take` gave, is free again.
    fn put(&mut self, number: i32);
}

/// The lowest free number, as descriptors and slots are given.
pub struct Lowest {
    free: FreeRuns,
}

/// The next free number after the last one given, round and round: a number
/// that has just become free is not given again for as long as possible.
pub struct Cyclic {
    free: FreeRuns,
    latest: i32,
    next: i32,
    /// Where the second and later rounds begin.
    again_from: i32,
}

/// The number freed last, as caches like it.
pub struct Lifo {
    freed: Vec<i32>,
    next: i32,
    last: i32,
}

impl Policy for Lowest {
    fn new(range: RangeInclusive<i32>) -> Lowest {
        Lowest {
            free: FreeRuns::new(range),
        }
    }

    fn take(&mut self) -> Option<i32> {
        self.free.take_from(0)
    }

    fn put(&mut self, number: i32) {
        self.free.put(number);
    }
}

impl Policy for Cyclic {
    fn new(range: RangeInclusive<i32>) -> Cyclic {
        let first = *range.start();
        Cyclic {
            free: FreeRuns::new(range),
            latest: first.saturating_sub(1),
            next: first,
            again_from: first,
        }
    }

    fn take(&mut self) -> Option<i32> {
        let number = match self.free.take_from(self.next) {
            Some(number) => number,
            // As Linux: once the low numbers are behind, they stay unused.
            None if self.next > self.again_from => self.free.take_from(self.again_from)?,
            None => return None,
        };
        self.latest = number;
        self.next = number.checked_add(1).unwrap_or(self.again_from);
        Some(number)
    }

    fn put(&mut self, number: i32) {
        self.free.put(number);
    }
}

impl Policy for Lifo {
    fn new(range: RangeInclusive<i32>) -> Lifo {
        Lifo {
            freed: Vec::new(),
            next: *range.start(),
            last: *range.end(),
        }
    }

    fn take(&mut self) -> Option<i32> {
        if let Some(number) = self.freed.pop() {
            return Some(number);
        }
        let number = (self.next <= self.last).then_some(self.next)?;
        self.next = number.saturating_add(1);
        // The last number of all there are has no successor.
        if number == i32::MAX {
            self.last = i32::MIN;
        }
        Some(number)
    }

    fn put(&mut self, number: i32) {
        self.freed.push(number);
    }
}

/// Free numbers as runs, first to last, no two of which touch.
struct FreeRuns(BTreeMap<i32, i32>);

impl FreeRuns {
    fn new(range: RangeInclusive<i32>) -> FreeRuns {
        let runs = (!range.is_empty()).then(|| (*range.start(), *range.end()));
        FreeRuns(runs.into_iter().collect())
    }

    /// Takes the lowest free number that is not below `from`.
    fn take_from(&mut self, from: i32) -> Option<i32> {
        let around = self.0.range(..=from).next_back().map(|(a, b)| (*a, *b));
        let (first, last) = around
            .filter(|(_, last)| *last >= from)
            .or_else(|| self.0.range(from..).next().map(|(a, b)| (*a, *b)))?;
        let number = first.max(from);
        if number == first {
            self.0.remove(&first);
        } else {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
        Some(number)
    }

    /// Takes `number`; false: it is not free.
    fn take_exact(&mut self, number: i32) -> bool {
        let run = self.0.range(..=number).next_back();
        run.is_some_and(|(_, last)| *last >= number) && self.take_from(number) == Some(number)
    }

    fn put(&mut self, number: i32) {
        let (mut first, mut last) = (number, number);
        if let Some((&below, &end)) = self.0.range(..number).next_back()
            && end == number - 1
        {
            first = below;
        }
        if let Some(after) = number.checked_add(1)
            && let Some(end) = self.0.remove(&after)
        {
            last = end;
        }
        self.0.insert(first, last);
    }
}

struct State<P> {
    numbers: P,
    used: usize,
    /// Numbers that may be in use at once.
    limit: usize,
}

type Shared<P> = Mutex<level::Ids, State<P>>;

/// Gives numbers of a range. The range's numbers outlive it in their [`Id`]s.
pub struct IdAlloc<P: Policy> {
    shared: Arc<Shared<P>>,
}

impl<P: Policy> IdAlloc<P> {
    /// Gives the numbers of `range`, all of which are free.
    pub fn new(range: RangeInclusive<i32>) -> IdAlloc<P> {
        IdAlloc::with_limit(range, usize::MAX)
    }

    /// As [`IdAlloc::new`], at most `limit` numbers at once.
    pub fn with_limit(range: RangeInclusive<i32>, limit: usize) -> IdAlloc<P> {
        IdAlloc {
            shared: Arc::new(Mutex::new(State {
                numbers: P::new(range),
                used: 0,
                limit,
            })),
        }
    }

    /// The next number.
    ///
    /// # Errors
    /// EAGAIN: all numbers, or as many as the limit allows, are in use.
    pub fn allocate(&self) -> Result<Id<P>, Errno> {
        let mut state = self.shared.lock();
        if state.used >= state.limit {
            return Err(Errno::EAGAIN);
        }
        let number = state.numbers.take().ok_or(Errno::EAGAIN)?;
        state.used += 1;
        drop(state);
        Ok(Id(Arc::new(Held {
            number,
            shared: self.shared.clone(),
        })))
    }

    /// How many numbers are in use.
    pub fn used(&self) -> usize {
        self.shared.lock().used
    }
}

impl IdAlloc<Cyclic> {
    /// As [`IdAlloc::new`]; rounds after the first begin at `again_from`.
    pub fn wrapping_to(range: RangeInclusive<i32>, again_from: i32) -> IdAlloc<Cyclic> {
        let again_from = again_from.clamp(*range.start(), *range.end());
        let alloc = IdAlloc::<Cyclic>::new(range);
        alloc.shared.lock().numbers.again_from = again_from;
        alloc
    }

    /// This very number; who is next does not change.
    ///
    /// # Errors
    /// EEXIST: it is in use, or not in the range. EAGAIN: as for [`IdAlloc::allocate`].
    pub fn allocate_exact(&self, number: i32) -> Result<Id<Cyclic>, Errno> {
        let mut state = self.shared.lock();
        if state.used >= state.limit {
            return Err(Errno::EAGAIN);
        }
        if !state.numbers.free.take_exact(number) {
            return Err(Errno::EEXIST);
        }
        state.used += 1;
        drop(state);
        Ok(Id(Arc::new(Held {
            number,
            shared: self.shared.clone(),
        })))
    }

    /// The number given last; one below the range before the first.
    pub fn latest(&self) -> i32 {
        self.shared.lock().numbers.latest
    }
}

struct Held<P: Policy> {
    number: i32,
    shared: Arc<Shared<P>>,
}

impl<P: Policy> Drop for Held<P> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.numbers.put(self.number);
        state.used -= 1;
    }
}

/// A number in use. A copy is one more reference to the same use; the number is
/// free when the last is dropped.
pub struct Id<P: Policy>(Arc<Held<P>>);

impl<P: Policy> Id<P> {
    pub fn number(&self) -> i32 {
        self.0.number
    }
}

impl<P: Policy> Clone for Id<P> {
    fn clone(&self) -> Self {
        Id(self.0.clone())
    }
}

impl<P: Policy> std::fmt::Debug for Id<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
