//! Virtual CPUs: whom a CPU number belongs to while guest code runs.
//!
//! rseq(2) promises that of all threads that run at a moment no two are on one
//! CPU. The host's scheduler promises nothing of the kind to us: it moves and
//! preempts our threads between any two guest instructions, and does not say so.
//! So a thread that has registered an rseq area runs guest code only while it
//! holds a virtual CPU, one for each CPU the guest is shown. Threads that never
//! register need none, and system calls are made without.
//!
//! # Protocol
//! A slot's word is the number of its present tenure, which no other has had or
//! will have; 0: nobody's. A holder enters guest code so: it says that it is in
//! guest code, then looks whether the word still is its own tenure. Whoever takes
//! the CPU away changes the word, then looks whether the holder is in guest code,
//! and if so kicks it and waits until it has left. Both steps are sequentially
//! consistent, so one of the two sees the other. Nothing is done when a holder
//! makes a system call and comes back: it keeps its CPU until another wants it.
//!
//! A thread that comes back without its CPU takes one, starts a sequence that it
//! was in again at its abort address, and refreshes its ids, before guest code runs.
//!
//! Every wait is bounded: who waits for a CPU takes it from a sleeper at once,
//! from one in a system call after [`COURTESY`], and from one in guest code when
//! its [`SLICE`] is over.

use crate::affinity;
use crate::task::Task;
use rivix_sync::{Mutex, Notify, WaitQueue, level};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a holder runs guest code while others wait: Linux's base slice.
pub(crate) const SLICE: Duration = Duration::from_millis(3);
/// How long a holder in a system call is left its CPU while others wait.
const COURTESY: Duration = Duration::from_micros(250);
/// Who has waited so long goes before whoever comes by. Until then a CPU that is
/// free goes to who is there: waking the first of the queue takes longer.
const LATE: Duration = Duration::from_millis(50);
/// How long one who waits behind others sleeps untold; it is told when it is first.
const PATIENCE: Duration = Duration::from_millis(100);

/// A right to run guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) cpu: u32,
    /// Lowest number that no other thread of the memory with a CPU has (mm_cid).
    pub(crate) memory_id: u32,
    number: u64,
}

/// Who has a CPU, or had it and may not have left guest code yet.
struct Holder {
    task: Arc<Task>,
    tenure: u64,
    since: Instant,
    /// Which memory it runs in, as an address that is compared only.
    memory: usize,
    memory_id: u32,
}

struct Waiter {
    task: Arc<Task>,
    cpus: CpuSet,
}

/// Since when, and a number that none shares.
type Ticket = (Instant, u64);

pub(crate) type CpuSet = [u64; affinity::WORDS];

pub(crate) fn is_in(cpus: &CpuSet, cpu: u32) -> bool {
    let word = cpus.get(cpu as usize / 64).copied().unwrap_or(0);
    word >> (cpu % 64) & 1 != 0
}

#[derive(Default)]
struct State {
    holders: BTreeMap<u32, Holder>,
    /// In the order in which they began to wait.
    queue: BTreeMap<Ticket, Waiter>,
    tickets: u64,
    tenures: u64,
}

/// The CPUs of a sandbox.
pub(crate) struct VirtualCpus {
    /// Tenures, by CPU number.
    words: Box<[AtomicU64]>,
    state: Mutex<level::VirtualCpus, State>,
    /// How many tasks wait for a CPU.
    waiting: AtomicU32,
    /// Told when a task that lost its CPU has left guest code.
    left: WaitQueue,
}

/// What a try to get a CPU came to.
pub(crate) enum Taken {
    Got(Tenure),
    /// Try again when told, or then.
    Wait(Instant),
}

/// How a task waits.
pub(crate) struct Place {
    ticket: Option<Ticket>,
    /// When it began to.
    pub(crate) since: Instant,
    /// It has had its turn: whoever waits already goes before it.
    pub(crate) is_last: bool,
}

impl Place {
    pub(crate) fn new(since: Instant, is_last: bool) -> Place {
        Place {
            ticket: None,
            since,
            is_last,
        }
    }
}

impl VirtualCpus {
    pub(crate) fn new() -> VirtualCpus {
        let count = affinity::available()
            .iter()
            .enumerate()
            .filter(|(_, word)| **word != 0)
            .map(|(at, word)| at * 64 + 64 - word.leading_zeros() as usize)
            .max()
            .unwrap_or(1);
        VirtualCpus {
            words: (0..count).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::default(),
            waiting: AtomicU32::new(0),
            left: WaitQueue::new(),
        }
    }

    /// Is the CPU still the tenure's? To be asked after the task has said that it
    /// is in guest code.
    #[inline]
    pub(crate) fn is_valid(&self, tenure: &Tenure) -> bool {
        self.word(tenure.cpu)
            .is_some_and(|word| word.load(Ordering::SeqCst) == tenure.number)
    }

    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Told when a task that lost its CPU has left guest code.
    pub(crate) fn left(&self) -> &WaitQueue {
        &self.left
    }

    fn word(&self, cpu: u32) -> Option<&AtomicU64> {
        self.words.get(cpu as usize)
    }

    /// Gives `task`, which is not in guest code, a CPU of its set, `last` if that
    /// can be. `place` is to be given back to [`Self::stop_waiting`] at the end.
    pub(crate) fn take(
        &self,
        task: &Arc<Task>,
        memory: usize,
        last: u32,
        place: &mut Place,
    ) -> Taken {
        let cpus = allowed(task);
        let now = Instant::now();
        let waited = now.saturating_duration_since(place.since);
        let mut next_look = now + SLICE;
        // Tasks are let go of without the lock.
        let mut _gone = None;
        let mut state = self.state.lock();
        let due = state.due(place, &cpus, now);
        let mut victim: Option<(Instant, u32)> = None;
        let others = (0..self.words.len() as u32).filter(|cpu| *cpu != last);
        let in_order = std::iter::once(last).chain(others);
        for cpu in in_order.filter(|cpu| is_in(&cpus, *cpu)) {
            // Who has waited long goes before who just comes by.
            if is_in(&due, cpu) {
                continue;
            }
            let Some(holder) = state.holders.get(&cpu) else {
                let (tenure, old) = self.grant(&mut state, cpu, task, memory, now, place);
                _gone = old;
                return Taken::Got(tenure);
            };
            let is_revoked = self
                .word(cpu)
                .is_none_or(|word| word.load(Ordering::SeqCst) != holder.tenure);
            let is_free = if Arc::ptr_eq(&holder.task, task) || is_revoked {
                !holder.task.in_guest.load(Ordering::SeqCst)
            } else {
                let is_idle = holder.task.is_sleeping() || waited >= COURTESY;
                is_idle
                    && !holder.task.in_guest.load(Ordering::SeqCst)
                    && self.revoke_slot(cpu, holder)
            };
            if is_free {
                let (tenure, old) = self.grant(&mut state, cpu, task, memory, now, place);
                _gone = old;
                return Taken::Got(tenure);
            }
            if !is_revoked && victim.is_none_or(|(since, _)| holder.since < since) {
                victim = Some((holder.since, cpu));
            }
        }
        if let Some((since, cpu)) = victim {
            let end = since + SLICE;
            if end > now {
                next_look = end;
            } else if let Some(holder) = state.holders.get(&cpu)
                && self.revoke_slot(cpu, holder)
            {
                let (tenure, old) = self.grant(&mut state, cpu, task, memory, now, place);
                _gone = old;
                return Taken::Got(tenure);
            }
        }
        let ticket = match place.ticket {
            Some(ticket) => ticket,
            None => {
                state.tickets += 1;
                self.waiting.fetch_add(1, Ordering::SeqCst);
                *place.ticket.insert((place.since, state.tickets))
            }
        };
        let waiter = Waiter {
            task: task.clone(),
            cpus,
        };
        let _old = state.queue.insert(ticket, waiter);
        if !state.is_first(ticket, &cpus) {
            // Only the first of those who wait for a CPU looks at clocks.
            next_look = now + PATIENCE;
        } else if waited < COURTESY {
            next_look = next_look.min(now + COURTESY);
        }
        Taken::Wait(next_look)
    }

    fn grant(
        &self,
        state: &mut State,
        cpu: u32,
        task: &Arc<Task>,
        memory: usize,
        now: Instant,
        place: &mut Place,
    ) -> (Tenure, Option<Holder>) {
        let old = state.holders.remove(&cpu);
        let used: Vec<u32> = state
            .holders
            .values()
            .filter(|holder| holder.memory == memory)
            .map(|holder| holder.memory_id)
            .collect();
        let memory_id = (0..).find(|id| !used.contains(id)).unwrap_or(0);
        state.tenures += 1;
        let number = state.tenures;
        let holder = Holder {
            task: task.clone(),
            tenure: number,
            since: now,
            memory,
            memory_id,
        };
        state.holders.insert(cpu, holder);
        if let Some(word) = self.word(cpu) {
            word.store(number, Ordering::SeqCst);
        }
        if let Some(ticket) = place.ticket.take() {
            self.leave_queue(state, ticket);
            // Who was behind it looks at clocks now.
            if let Some(next) = state.queue.values().find(|waiter| is_in(&waiter.cpus, cpu)) {
                next.task.kick().notify(0);
            }
        }
        let tenure = Tenure {
            cpu,
            memory_id,
            number,
        };
        (tenure, old)
    }

    /// Ends a tenure. True: its holder is not in guest code, and will not run any
    /// under it; else it has been kicked.
    fn revoke_slot(&self, cpu: u32, holder: &Holder) -> bool {
        if let Some(word) = self.word(cpu) {
            word.store(0, Ordering::SeqCst);
        }
        let is_out = !holder.task.in_guest.load(Ordering::SeqCst);
        if !is_out {
            holder.task.kick().kick();
        }
        is_out
    }

    fn leave_queue(&self, state: &mut State, ticket: Ticket) {
        if state.queue.remove(&ticket).is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The task waits no longer. What it may have been told of goes to the next.
    pub(crate) fn stop_waiting(&self, place: &mut Place) {
        let Some(ticket) = place.ticket.take() else {
            return;
        };
        let mut state = self.state.lock();
        let cpus = state.queue.get(&ticket).map(|waiter| waiter.cpus);
        self.leave_queue(&mut state, ticket);
        let next = state
            .queue
            .values()
            .find(|waiter| cpus.is_some_and(|cpus| overlap(&cpus, &waiter.cpus)))
            .map(|waiter| waiter.task.clone());
        drop(state);
        if let Some(next) = next {
            next.kick().notify(0);
        }
    }

    /// The holder of `tenure`, which is not in guest code, needs its CPU no longer,
    /// or has lost it and left guest code just now.
    pub(crate) fn release(&self, task: &Task, tenure: &Tenure) {
        let next = {
            let mut state = self.state.lock();
            let is_ours = state
                .holders
                .get(&tenure.cpu)
                .is_some_and(|holder| holder.tenure == tenure.number);
            if !is_ours {
                return;
            }
            debug_assert!(!task.in_guest.load(Ordering::SeqCst));
            if let Some(word) = self.word(tenure.cpu) {
                word.store(0, Ordering::SeqCst);
            }
            state.holders.remove(&tenure.cpu);
            let mut queue = state.queue.values();
            queue
                .find(|waiter| is_in(&waiter.cpus, tenure.cpu))
                .map(|waiter| waiter.task.clone())
        };
        if let Some(next) = next {
            next.kick().notify(0);
        }
        self.left.notify(0);
    }

    /// Ends the tenures that `is_meant` picks by task, memory and CPU. Gives the
    /// tasks that are still in guest code, kicked; see [`Self::left`].
    pub(crate) fn revoke(&self, is_meant: impl Fn(&Task, usize, u32) -> bool) -> Vec<Revoked> {
        let state = self.state.lock();
        let mut running = Vec::new();
        for (cpu, holder) in &state.holders {
            if is_meant(&holder.task, holder.memory, *cpu) && !self.revoke_slot(*cpu, holder) {
                running.push(Revoked {
                    cpu: *cpu,
                    tenure: holder.tenure,
                });
            }
        }
        running
    }

    /// Have all of them left guest code?
    pub(crate) fn have_left(&self, revoked: &[Revoked]) -> bool {
        let state = self.state.lock();
        revoked.iter().all(|one| {
            state.holders.get(&one.cpu).is_none_or(|holder| {
                holder.tenure != one.tenure || !holder.task.in_guest.load(Ordering::SeqCst)
            })
        })
    }
}

/// A tenure that ended while its holder ran.
pub(crate) struct Revoked {
    cpu: u32,
    tenure: u64,
}

impl State {
    /// Which of `cpus` does somebody go before `own` for? Who has waited
    /// long, and for one who has had its turn, who has waited longer.
    fn due(&self, own: &Place, cpus: &CpuSet, now: Instant) -> CpuSet {
        let mut due: CpuSet = [0; affinity::WORDS];
        for (ticket, waiter) in &self.queue {
            let is_before = match own.ticket {
                Some(own) => *ticket < own,
                None => ticket.0 <= own.since,
            };
            let has_waited = now.saturating_duration_since(ticket.0) > LATE;
            // Later ones have waited less.
            if !is_before || !(own.is_last || has_waited) {
                break;
            }
            for (to, from) in due.iter_mut().zip(waiter.cpus) {
                *to |= from;
            }
            if cpus.iter().zip(due).all(|(cpus, due)| cpus & !due == 0) {
                break;
            }
        }
        due
    }

    /// Does nobody who began earlier wait for one of these CPUs?
    fn is_first(&self, own: Ticket, cpus: &CpuSet) -> bool {
        let before = self.queue.range(..own);
        !before
            .into_iter()
            .any(|(_, waiter)| overlap(cpus, &waiter.cpus))
    }
}

fn overlap(a: &CpuSet, b: &CpuSet) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}

/// The CPUs that the task may be on.
pub(crate) fn allowed(task: &Task) -> CpuSet {
    let mut cpus: CpuSet = [0; affinity::WORDS];
    let wish = task.sched().affinity;
    let set = wish.as_deref().unwrap_or(affinity::available());
    for (to, from) in cpus.iter_mut().zip(set) {
        *to = *from;
    }
    cpus
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
