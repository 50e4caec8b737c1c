//! Locks with an owner, and requeues to them: the task's part.

use super::{At, GuestWord, errno_of};
use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use rivix_abi::{Errno, UserAddress};
use rivix_mem::{FutexKey, MemAccess};
use rivix_sync::futex::{Known, LeftRequeue, Locking, Requeue, Requeued, TID_MASK, Unlocking};
use std::sync::Arc;
use std::time::Instant;

impl CurrentTask {
    /// FUTEX_LOCK_PI(2). EDEADLK, ESRCH, EPERM, EINVAL as futex(2) has them;
    /// ETIMEDOUT at `deadline`; a signal restarts it always.
    pub fn futex_lock(&self, at: At, deadline: Option<Instant>) -> SysResult<()> {
        let key = self.futex_key(at, MemAccess::Write)?;
        if self.futex_begin_lock(key, at, false)? {
            return Ok(());
        }
        let waiter = &self.futex_waiter;
        let result = self.block(deadline, || {
            waiter.is_over().then_some(()).ok_or(Errno::EAGAIN)
        });
        // Whatever ended the sleep: a lock that was handed over is taken.
        let futexes = &self.kernel().futexes;
        if futexes
            .leave_lock(waiter, &self.word(at))
            .map_err(errno_of)?
        {
            return Ok(());
        }
        match result {
            Err(Blocked::TimedOut) => Err(Errno::ETIMEDOUT.into()),
            _ => Err(Restart::NoIntr.into()),
        }
    }

    /// FUTEX_TRYLOCK_PI: EAGAIN when it is taken.
    pub fn futex_try_lock(&self, at: At) -> SysResult<()> {
        let key = self.futex_key(at, MemAccess::Write)?;
        self.futex_begin_lock(key, at, true).map(|_| ())
    }

    /// True: taken. False: queued.
    fn futex_begin_lock(&self, key: FutexKey, at: At, is_try: bool) -> SysResult<bool> {
        let mut known = None;
        loop {
            let futexes = &self.kernel().futexes;
            let word = self.word(at);
            match futexes
                .lock(&self.futex_waiter, key, &word, is_try, known.as_ref())
                .map_err(errno_of)?
            {
                Locking::Taken => return Ok(true),
                Locking::Queued => return Ok(false),
                Locking::NeedOwner(tid) => known = Some(self.find_owner(tid, at)?),
                Locking::Retry => self.futex_go_on()?,
            }
        }
    }

    /// FUTEX_UNLOCK_PI: EPERM when the word names another owner.
    pub fn futex_unlock(&self, at: At) -> SysResult<()> {
        loop {
            // The word is read first, and wherever it lies.
            let mut seen = [0; 4];
            self.read_bytes(at.addr, &mut seen)?;
            let seen = u32::from_le_bytes(seen);
            if seen & TID_MASK != self.tid().cast_unsigned() {
                return Err(Errno::EPERM.into());
            }
            let key = self.futex_key(at, MemAccess::Write)?;
            let owner = self.futex_waiter.owner();
            let futexes = &self.kernel().futexes;
            match futexes
                .unlock(owner, key, &self.word(at), seen)
                .map_err(errno_of)?
            {
                Unlocking::Done => return Ok(()),
                Unlocking::Retry => self.futex_go_on()?,
            }
        }
    }

    /// FUTEX_WAIT_REQUEUE_PI: waits at `from`, returns owning the lock at `to`.
    /// A signal restarts it while it has not been moved, and is EAGAIN after.
    pub fn futex_wait_requeue(
        &self,
        from: At,
        value: u32,
        to: UserAddress,
        deadline: Option<Instant>,
    ) -> SysResult<()> {
        if from.addr == to {
            return Err(Errno::EINVAL.into());
        }
        let to = At { addr: to, ..from };
        let target = self.futex_key(to, MemAccess::Write)?;
        let key = self.futex_key(from, MemAccess::Read)?;
        let futexes = &self.kernel().futexes;
        let waiter = &self.futex_waiter;
        futexes
            .wait_requeue(waiter, key, &self.word(from), value, target)
            .map_err(errno_of)?;
        let result = self.block(deadline, || {
            waiter.is_over().then_some(()).ok_or(Errno::EAGAIN)
        });
        let left = futexes
            .leave_requeue(waiter, &self.word(to))
            .map_err(errno_of)?;
        match (left, result) {
            (LeftRequeue::Owns, _) => Ok(()),
            (_, Err(Blocked::TimedOut)) => Err(Errno::ETIMEDOUT.into()),
            (LeftRequeue::Unmoved, _) => Err(Restart::NoIntr.into()),
            (LeftRequeue::Moved, _) => Err(Errno::EAGAIN.into()),
        }
    }

    /// FUTEX_CMP_REQUEUE_PI: how many were moved or got the lock.
    pub fn futex_requeue_pi(
        &self,
        from: At,
        to: UserAddress,
        limit: usize,
        expected: u32,
    ) -> SysResult<usize> {
        if from.addr == to {
            return Err(Errno::EINVAL.into());
        }
        let to = At { addr: to, ..from };
        let key = self.futex_key(from, MemAccess::Read)?;
        let target = self.futex_key(to, MemAccess::Write)?;
        if key == target {
            return Err(Errno::EINVAL.into());
        }
        let request = Requeue {
            from: key,
            from_word: &self.word(from),
            expected,
            to: target,
            to_word: &self.word(to),
            limit,
        };
        let mut known = None;
        loop {
            let futexes = &self.kernel().futexes;
            match futexes
                .requeue_pi(&request, known.as_ref())
                .map_err(errno_of)?
            {
                Requeued::Done(count) => return Ok(count),
                Requeued::NeedOwner(tid) => known = Some(self.find_owner(tid, to)?),
                Requeued::Retry => self.futex_go_on()?,
            }
        }
    }

    /// The thread that a word names. EPERM: one of the kernel's, or, for a
    /// private lock, one with other memory.
    fn find_owner(&self, tid: u32, at: At) -> Result<Known, Errno> {
        let nobody = Known { tid, owner: None };
        let task = i32::try_from(tid)
            .ok()
            .and_then(|tid| self.kernel().find_task(tid));
        let Some(task) = task else {
            return Ok(nobody);
        };
        if task.is_kernel() {
            return Err(Errno::EPERM);
        }
        let owner = task.futex_waiter.owner().clone();
        let memory = task.memory();
        if owner.is_dead() {
            return Ok(nobody);
        }
        if !at.is_shared && !memory.is_some_and(|memory| Arc::ptr_eq(&memory, self.memory())) {
            return Err(Errno::EPERM);
        }
        Ok(Known {
            tid,
            owner: Some(owner),
        })
    }

    /// Between attempts that others' changes of the word undid: no guest keeps
    /// another in here against a kill.
    fn futex_go_on(&self) -> SysResult<()> {
        if self.pending_interrupt() {
            return Err(Restart::NoIntr.into());
        }
        Ok(())
    }

    pub(super) fn word(&self, at: At) -> GuestWord<'_> {
        GuestWord {
            space: self.mm(),
            addr: at.addr,
        }
    }
}
