//! Waiting for one word, and for one of several.

use super::{ANY, At, errno_of};
use crate::current::CurrentTask;
use crate::error::Blocked;
use rivix_abi::Errno;
use rivix_mem::MemAccess;
use rivix_sync::futex::{Refused, Waiter};
use std::sync::Arc;
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
        let table = &self.kernel().futexes;
        let mut waiters: Vec<Arc<Waiter>> = Vec::with_capacity(futexes.len());
        // The last one that was woken, as Linux tells it; the others leave.
        let leave = |waiters: &[Arc<Waiter>]| {
            let woken = |(at, waiter)| (!table.leave(waiter)).then_some(at);
            waiters.iter().enumerate().filter_map(woken).last()
        };
        for ((at, value), key) in futexes.iter().zip(keys) {
            let owner = self.futex_waiter.owner().clone();
            let waiter = Arc::new(Waiter::new(self.kick().clone(), owner));
            match table.wait(&waiter, key, ANY, &self.word(*at), *value) {
                Ok(()) => waiters.push(waiter),
                Err(refused) => {
                    // A wake that came before the refusal is not lost either.
                    let errno = errno_of(refused);
                    debug_assert!(matches!(refused, Refused::Again | Refused::Fault));
                    return leave(&waiters).ok_or(Blocked::Errno(errno));
                }
            }
        }
        let result = self.block(deadline, || {
            let is_over = waiters.iter().any(|waiter| waiter.is_over());
            is_over.then_some(()).ok_or(Errno::EAGAIN)
        });
        match (leave(&waiters), result) {
            (Some(woken), _) => Ok(woken),
            (None, Err(blocked)) => Err(blocked),
            // Over means woken, and so `leave` has found it.
            (None, Ok(())) => Err(Blocked::Errno(Errno::EAGAIN)),
        }
    }
}
