//! Mutexes, semaphores and condition variables of one process, by number.
//!
//! What becomes free goes to the thread that has waited longest, before it is
//! woken: nobody can come between. Only a spinning mutex is for who comes first.

use super::deadlock::{self, Claims};
use rivix_sync::Notify;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of each kind, in one process.
pub const MAX_OBJECTS: usize = 1024;
/// The most units of a semaphore.
const MAX_UNITS: u64 = i32::MAX as u64;

/// A thread in a queue.
pub(super) struct Waiting {
    slot: u32,
    is_granted: AtomicBool,
    who: Arc<dyn Notify>,
}

impl Waiting {
    pub(super) fn is_granted(&self) -> bool {
        self.is_granted.load(Ordering::Acquire)
    }

    fn grant(&self) {
        self.is_granted.store(true, Ordering::Release);
        self.who.notify(0);
    }
}

/// A thread that asks for something.
pub(super) struct Asking {
    pub(super) slot: u32,
    pub(super) who: Arc<dyn Notify>,
}

impl Asking {
    fn into_waiting(self) -> Arc<Waiting> {
        Arc::new(Waiting {
            slot: self.slot,
            is_granted: AtomicBool::new(false),
            who: self.who,
        })
    }
}

/// The answer to who asks.
pub(super) enum Claim {
    /// There is no such object, or not in a state that allows it.
    Refused,
    /// Nobody could end if this waited.
    Deadlock,
    Granted,
    /// It is queued.
    Wait(Arc<Waiting>),
    /// A spinning mutex that is taken.
    Spin,
}

struct Mutex {
    is_blocking: bool,
    is_locked: bool,
    /// None while it is locked: the thread that took it has ended.
    owner: Option<u32>,
    queue: VecDeque<Arc<Waiting>>,
}

impl Mutex {
    fn give_to(&mut self, slot: u32) {
        self.is_locked = true;
        self.owner = Some(slot);
    }

    fn release(&mut self) {
        match self.queue.pop_front() {
            Some(next) => {
                self.give_to(next.slot);
                next.grant();
            }
            None => {
                self.is_locked = false;
                self.owner = None;
            }
        }
    }
}

struct Semaphore {
    free: u64,
    /// Units that a thread has taken and not given back.
    held: BTreeMap<u32, u64>,
    queue: VecDeque<Arc<Waiting>>,
}

impl Semaphore {
    fn give_to(&mut self, slot: u32) {
        let units = self.held.entry(slot).or_default();
        *units = units.saturating_add(1);
    }

    /// A thread may give back what another took: then it only adds a unit.
    fn take_from(&mut self, slot: u32) {
        if let Some(units) = self.held.get_mut(&slot) {
            *units -= 1;
            if *units == 0 {
                self.held.remove(&slot);
            }
        }
    }
}

#[derive(Default)]
struct Condition {
    /// With the mutex that each wants next.
    queue: VecDeque<(Arc<Waiting>, usize)>,
}

#[derive(Default)]
pub(super) struct Objects {
    mutexes: Vec<Mutex>,
    semaphores: Vec<Semaphore>,
    conditions: Vec<Condition>,
    /// Who spins for which mutex.
    spinning: BTreeMap<u32, usize>,
    pub(super) detects_deadlocks: bool,
}

/// The number of a new object, if there may be one more.
fn push<T>(list: &mut Vec<T>, object: T) -> Option<usize> {
    let number = list.len();
    if number >= MAX_OBJECTS {
        return None;
    }
    list.push(object);
    Some(number)
}

fn at<T>(list: &mut [T], number: u64) -> Option<&mut T> {
    list.get_mut(usize::try_from(number).ok()?)
}

impl Objects {
    /// None: there are as many as there may be.
    pub(super) fn new_mutex(&mut self, is_blocking: bool) -> Option<usize> {
        let mutex = Mutex {
            is_blocking,
            is_locked: false,
            owner: None,
            queue: VecDeque::new(),
        };
        push(&mut self.mutexes, mutex)
    }

    /// None: there are as many as there may be, or no semaphore has so many units.
    pub(super) fn new_semaphore(&mut self, units: u64) -> Option<usize> {
        if units > MAX_UNITS {
            return None;
        }
        let semaphore = Semaphore {
            free: units,
            held: BTreeMap::new(),
            queue: VecDeque::new(),
        };
        push(&mut self.semaphores, semaphore)
    }

    /// None: there are as many as there may be.
    pub(super) fn new_condition(&mut self) -> Option<usize> {
        push(&mut self.conditions, Condition::default())
    }

    pub(super) fn lock(&mut self, number: u64, asking: Asking) -> Claim {
        let Some(wanted) = at(&mut self.mutexes, number).map(|_| number as usize) else {
            return Claim::Refused;
        };
        if self.detects_deadlocks && !self.is_safe_with(asking.slot, wanted) {
            return Claim::Deadlock;
        }
        self.take_mutex(wanted, asking)
    }

    /// The mutex for who waited for a condition: no deadlock is looked for, as the
    /// caller would not hold what it must on return.
    fn take_mutex(&mut self, number: usize, asking: Asking) -> Claim {
        let Some(mutex) = self.mutexes.get_mut(number) else {
            return Claim::Refused;
        };
        if !mutex.is_locked {
            mutex.give_to(asking.slot);
            return Claim::Granted;
        }
        if !mutex.is_blocking {
            self.spinning.insert(asking.slot, number);
            return Claim::Spin;
        }
        let waiting = asking.into_waiting();
        mutex.queue.push_back(waiting.clone());
        Claim::Wait(waiting)
    }

    /// One more look at a spinning mutex: is it the thread's now?
    pub(super) fn spin(&mut self, slot: u32, number: usize) -> bool {
        let Some(mutex) = self.mutexes.get_mut(number) else {
            return false;
        };
        if mutex.is_locked {
            self.spinning.insert(slot, number);
            return false;
        }
        mutex.give_to(slot);
        self.spinning.remove(&slot);
        true
    }

    /// The thread spins no more: it asks anew.
    pub(super) fn stop_spinning(&mut self, slot: u32) {
        self.spinning.remove(&slot);
    }

    /// False: there is no such mutex, or nobody has it.
    pub(super) fn unlock(&mut self, number: u64) -> bool {
        match at(&mut self.mutexes, number) {
            Some(mutex) if mutex.is_locked => {
                mutex.release();
                true
            }
            _ => false,
        }
    }

    /// False: there is no such semaphore, or it can have no more units.
    pub(super) fn up(&mut self, number: u64, slot: u32) -> bool {
        let Some(semaphore) = at(&mut self.semaphores, number) else {
            return false;
        };
        if semaphore.queue.is_empty() && semaphore.free >= MAX_UNITS {
            return false;
        }
        semaphore.take_from(slot);
        match semaphore.queue.pop_front() {
            Some(next) => {
                semaphore.give_to(next.slot);
                next.grant();
            }
            None => semaphore.free += 1,
        }
        true
    }

    pub(super) fn down(&mut self, number: u64, asking: Asking) -> Claim {
        let Some(wanted) = at(&mut self.semaphores, number).map(|_| number as usize) else {
            return Claim::Refused;
        };
        let resource = self.mutexes.len() + wanted;
        if self.detects_deadlocks && !self.is_safe_with(asking.slot, resource) {
            return Claim::Deadlock;
        }
        let Some(semaphore) = self.semaphores.get_mut(wanted) else {
            return Claim::Refused;
        };
        if semaphore.free > 0 {
            semaphore.free -= 1;
            semaphore.give_to(asking.slot);
            return Claim::Granted;
        }
        let waiting = asking.into_waiting();
        semaphore.queue.push_back(waiting.clone());
        Claim::Wait(waiting)
    }

    /// Queues the thread and lets its mutex go, in one step. The second value is
    /// the mutex to spin for afterwards; a blocking one it has when it is woken.
    pub(super) fn wait(
        &mut self,
        number: u64,
        mutex: u64,
        asking: Asking,
    ) -> Option<(Arc<Waiting>, Option<usize>)> {
        let condition = at(&mut self.conditions, number)?;
        let held = at(&mut self.mutexes, mutex).filter(|held| held.is_locked)?;
        let wanted = mutex as usize;
        let waiting = asking.into_waiting();
        condition.queue.push_back((waiting.clone(), wanted));
        let spins = (!held.is_blocking).then_some(wanted);
        held.release();
        Some((waiting, spins))
    }

    /// Wakes the thread that has waited longest, if one waits: it goes on when it
    /// has its mutex. False: there is no such condition variable.
    pub(super) fn signal(&mut self, number: u64) -> bool {
        let Some(condition) = at(&mut self.conditions, number) else {
            return false;
        };
        let Some((waiting, wanted)) = condition.queue.pop_front() else {
            return true;
        };
        match self.mutexes.get_mut(wanted) {
            Some(mutex) if mutex.is_blocking && mutex.is_locked => mutex.queue.push_back(waiting),
            Some(mutex) if mutex.is_blocking => {
                mutex.give_to(waiting.slot);
                waiting.grant();
            }
            // It spins for the mutex by itself, and wants it from now on.
            _ => {
                self.spinning.insert(waiting.slot, wanted);
                waiting.grant();
            }
        }
        true
    }

    /// The thread has ended: what it holds is lost, and not on its way back.
    pub(super) fn forget_thread(&mut self, slot: u32) {
        for mutex in &mut self.mutexes {
            mutex.queue.retain(|waiting| waiting.slot != slot);
            if mutex.owner == Some(slot) {
                mutex.owner = None;
            }
        }
        for semaphore in &mut self.semaphores {
            semaphore.queue.retain(|waiting| waiting.slot != slot);
            semaphore.held.remove(&slot);
        }
        for condition in &mut self.conditions {
            condition.queue.retain(|(waiting, _)| waiting.slot != slot);
        }
        self.spinning.remove(&slot);
    }

    /// Mutexes are the first resources, semaphores those after them.
    fn is_safe_with(&self, slot: u32, wanted: deadlock::Resource) -> bool {
        let mut threads: BTreeMap<u32, Claims> = BTreeMap::new();
        let mut free = Vec::with_capacity(self.mutexes.len() + self.semaphores.len());
        for mutex in &self.mutexes {
            let resource = free.len();
            free.push(u64::from(!mutex.is_locked));
            if let Some(owner) = mutex.owner {
                threads.entry(owner).or_default().holds.push((resource, 1));
            }
            for waiting in &mutex.queue {
                threads.entry(waiting.slot).or_default().wants = Some(resource);
            }
        }
        for semaphore in &self.semaphores {
            let resource = free.len();
            free.push(semaphore.free);
            for (holder, units) in &semaphore.held {
                let claims = threads.entry(*holder).or_default();
                claims.holds.push((resource, *units));
            }
            for waiting in &semaphore.queue {
                threads.entry(waiting.slot).or_default().wants = Some(resource);
            }
        }
        for (spinner, mutex) in &self.spinning {
            threads.entry(*spinner).or_default().wants = Some(*mutex);
        }
        threads.entry(slot).or_default().wants = Some(wanted);
        let threads: Vec<Claims> = threads.into_values().collect();
        deadlock::is_safe(free, &threads)
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
