//! Waiting for one word, and for one of several.

use super::{ANY, At, Futexes, errno_of};
use crate::current::CurrentTask;
use crate::error::Blocked;
use rivix_abi::Errno;
use rivix_mem::MemAccess;
use rivix_sync::futex::Waiter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl CurrentTask {
    /// FUTEX_WAIT(_BITSET): EAGAIN when the word is not `value`; `Interrupted` and
    /// `TimedOut` as blocking gives them.
    pub fn futex_wait(
        &self,
        at: At,
        value: u32,
        bitset: u32,
        deadline: Option<Instant>,
    ) -> Result<(), Blocked> {
        let key = self
            .futex_key(at, MemAccess::Read)
            .map_err(Blocked::Errno)?;
        let futexes = &self.kernel().futexes;
        let waiter = &self.futex_waiter;
        futexes
            .wait(waiter, key, bitset, &self.word(at), value)
            .map_err(|refused| Blocked::Errno(errno_of(refused)))?;
        if key.is_in_host_file() {
            let count = &self.kernel().stats().shared_file_futexes;
            count.fetch_add(1, Ordering::Relaxed);
        }
        let result = self.block(deadline, || {
            waiter.is_over().then_some(()).ok_or(Errno::EAGAIN)
        });
        if result.is_err() && !futexes.leave(waiter) {
            // A wake that chose this waiter must not be lost.
            return Ok(());
        }
        result
    }

    /// futex_waitv(2): waits at all of `futexes`, each with its expected value,
    /// and gives the number of one that was woken.
    pub fn futex_wait_any(
        &self,
        futexes: &[(At, u32)],
        deadline: Option<Instant>,
    ) -> Result<usize, Blocked> {
        let keys: Vec<_> = futexes
            .iter()
            .map(|(at, _)| self.futex_key(*at, MemAccess::Read))
            .collect::<Result<_, _>>()
            .map_err(Blocked::Errno)?;
        let mut places = Places {
            table: &self.kernel().futexes,
            waiters: Vec::with_capacity(futexes.len()),
        };
        for ((at, value), key) in futexes.iter().zip(keys) {
            let owner = self.futex_waiter.owner().clone();
            let waiter = Arc::new(Waiter::new(self.kick().clone(), owner));
            let result = places
                .table
                .wait(&waiter, key, ANY, &self.word(*at), *value);
            if let Err(refused) = result {
                // A wake that came before the refusal is not lost either.
                return places.leave().ok_or(Blocked::Errno(errno_of(refused)));
            }
            places.waiters.push(waiter);
        }
        let result = self.block(deadline, || {
            let is_over = places.waiters.iter().any(|waiter| waiter.is_over());
            is_over.then_some(()).ok_or(Errno::EAGAIN)
        });
        match (places.leave(), result) {
            (Some(woken), _) => Ok(woken),
            (None, Err(blocked)) => Err(blocked),
            // Over means woken, and so `leave` has found it.
            (None, Ok(())) => Err(Blocked::Errno(Errno::EAGAIN)),
        }
    }
}

/// The places of one task in several queues; they do not outlive the call.
struct Places<'a> {
    table: &'a Futexes,
    waiters: Vec<Arc<Waiter>>,
}

impl Places<'_> {
    /// Leaves all queues; the last one that had been woken, as Linux tells it.
    fn leave(&mut self) -> Option<usize> {
        let woken = |(at, waiter): (usize, Arc<Waiter>)| (!self.table.leave(&waiter)).then_some(at);
        self.waiters.drain(..).enumerate().filter_map(woken).last()
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        for waiter in &self.waiters {
            self.table.forget(waiter);
        }
    }
}
