//! How many tasks each user has (RLIMIT_NPROC, getrlimit(2)).
//!
//! A task counts for its real user from before anyone can see it until it is
//! out of the pid table: a zombie counts until it is reaped. The count is kept,
//! not computed, so that making a task costs the same however many there are.

use rivix_abi::Errno;
use rivix_sync::{Mutex, level};
use std::collections::HashMap;
use std::sync::Arc;

/// The counts of one sandbox. Users without tasks have no entry.
#[derive(Default)]
pub(crate) struct Users {
    counts: Mutex<level::Ids, HashMap<u32, u64>>,
}

/// One task of a user; dropping it takes it out of the count.
#[must_use = "a count that is dropped does not count"]
pub(crate) struct Counted {
    users: Arc<Users>,
    uid: u32,
}

impl Users {
    /// Counts a task for `uid`, whatever its limit.
    pub(crate) fn enter(self: &Arc<Self>, uid: u32) -> Counted {
        *self.counts.lock().entry(uid).or_default() += 1;
        Counted {
            users: self.clone(),
            uid,
        }
    }

    /// Counts a task for `uid`.
    ///
    /// # Errors
    /// EAGAIN: `limit` tasks or more are there already.
    pub(crate) fn enter_limited(self: &Arc<Self>, uid: u32, limit: u64) -> Result<Counted, Errno> {
        let mut counts = self.counts.lock();
        let count = counts.get(&uid).copied().unwrap_or(0);
        if count >= limit {
            return Err(Errno::EAGAIN);
        }
        counts.insert(uid, count + 1);
        drop(counts);
        Ok(Counted {
            users: self.clone(),
            uid,
        })
    }

    pub(crate) fn count(&self, uid: u32) -> u64 {
        self.counts.lock().get(&uid).copied().unwrap_or(0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.users.counts.lock();
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    #[test]
    fn counts_go_up_to_the_limit_and_down_again() {
        let users = Arc::new(Users::default());
        let first = users.enter_limited(7, 2).unwrap();
        let second = users.enter_limited(7, 2).unwrap();
        assert_eq!(users.enter_limited(7, 2).err(), Some(Errno::EAGAIN));
        // Others have their own, and the limit binds no one who is not held to it.
        let other = users.enter_limited(8, 1).unwrap();
        let third = users.enter(7);
        assert_eq!((users.count(7), users.count(8)), (3, 1));
        drop(first);
        assert_eq!(users.enter_limited(7, 2).err(), Some(Errno::EAGAIN));
        drop(third);
        assert!(users.enter_limited(7, 2).is_ok());
        drop((second, other));
        assert!(users.counts.lock().is_empty(), "nobody is left");
    }

    #[test]
    fn a_limit_of_none_lets_nobody_in() {
        let users = Arc::new(Users::default());
        assert_eq!(users.enter_limited(1, 0).err(), Some(Errno::EAGAIN));
        assert_eq!(users.count(1), 0);
    }
}
