//! Robust futexes (get_robust_list(2)): what a thread that ends leaves locked.

use super::{ANY, At};
use crate::current::CurrentTask;
use rivix_abi::process::RobustListHead;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_sync::futex::{OWNER_DIED, TID_MASK, WAITERS};
use std::sync::atomic::Ordering;

/// ROBUST_LIST_LIMIT: a list may be circular.
const LIMIT: usize = 2048;

/// Bit 0 of an entry's address: the futex inherits priority.
const PI: u64 = 1;

impl CurrentTask {
    /// At a thread's end and at execve(2): futexes of its robust list are marked,
    /// one waiter each is woken, and locks that others wait for go to their heirs.
    /// After `is_end` the task owns no lock: who finds its id in a word is told so,
    /// from before anyone can learn of the end.
    pub(crate) fn exit_futexes(&self, is_end: bool) {
        let head_at = self.robust_list.swap(0, Ordering::Relaxed);
        if head_at != 0 {
            // A fault ends the walk, and that is all.
            let _ = self.walk_robust_list(head_at);
        }
        self.kernel().futexes.forget(&self.futex_waiter);
        let owner = self.futex_waiter.owner();
        self.kernel().futexes.release_owned(owner, is_end);
    }

    fn walk_robust_list(&self, head_at: u64) -> Result<(), Errno> {
        let head: RobustListHead = self.read(UserRef::new(UserAddress(head_at)))?;
        let pending = head.pending & !PI;
        let mut entry = head.next;
        for _ in 0..LIMIT {
            if entry & !PI == head_at {
                break;
            }
            // The next one first: waking hands the entry's memory to others.
            let next: Result<u64, Errno> = self.read(UserRef::new(UserAddress(entry & !PI)));
            if entry & !PI != pending {
                self.robust_death(entry, head.futex_offset, false)?;
            }
            entry = next?;
        }
        if pending != 0 {
            self.robust_death(head.pending, head.futex_offset, true)?;
        }
        Ok(())
    }

    fn robust_death(&self, entry: u64, offset: i64, is_pending: bool) -> Result<(), Errno> {
        let is_pi = entry & PI != 0;
        let addr = UserAddress((entry & !PI).wrapping_add_signed(offset));
        if !addr.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let tid = self.tid().cast_unsigned();
        let mut word = self.mm().load_u32(addr)?;
        loop {
            let owner = word & TID_MASK;
            if is_pending && !is_pi && owner == 0 {
                // Ended between unlocking and the wake, or after it was woken and
                // before it locked: a waiter may have been left without its wake.
                self.wake_shared(addr);
                return Ok(());
            }
            if owner != tid {
                return Ok(());
            }
            let dead = word & WAITERS | OWNER_DIED;
            match self.mm().compare_exchange_u32(addr, word, dead)? {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // Waiters of a lock with an owner are seen to when the table is.
        if word & WAITERS != 0 && !is_pi {
            self.wake_shared(addr);
        }
        Ok(())
    }

    /// One waiter, by the shared key: libc waits for robust mutexes and ended
    /// threads with shared operations for this reason.
    pub(crate) fn wake_shared(&self, addr: UserAddress) {
        let _ = self.futex_wake(At::shared(addr), 1, ANY);
    }
}
