//! How many signals a user has queued, over all processes (RLIMIT_SIGPENDING,
//! setrlimit(2)). Each queued signal and each POSIX timer holds one share.

use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Users kept before those without a share are forgotten.
const MANY_USERS: usize = 64;

/// The shares of all users of a sandbox.
#[derive(Default)]
pub(crate) struct Rooms {
    users: Mutex<level::Stats, BTreeMap<u32, Arc<AtomicU64>>>,
}

/// One share; dropping it gives it back.
pub(crate) struct Room {
    used: Arc<AtomicU64>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rooms {
    /// A share of user `uid`'s; None at `limit`. With `must` it is given above the limit, too.
    pub(crate) fn take(&self, uid: u32, limit: u64, must: bool) -> Option<Room> {
        let mut users = self.users.lock();
        if users.len() > MANY_USERS {
            users.retain(|_, used| used.load(Ordering::Relaxed) != 0);
        }
        let used = users.entry(uid).or_default();
        if used.load(Ordering::Relaxed) >= limit && !must {
            return None;
        }
        used.fetch_add(1, Ordering::Relaxed);
        Some(Room { used: used.clone() })
    }

    /// Shares that user `uid` holds now.
    pub(crate) fn used(&self, uid: u32) -> u64 {
        let users = self.users.lock();
        users
            .get(&uid)
            .map_or(0, |used| used.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_by_user_and_come_back() {
        let rooms = Rooms::default();
        let first = rooms.take(1, 2, false);
        let second = rooms.take(1, 2, false);
        assert!(first.is_some() && second.is_some());
        assert!(rooms.take(1, 2, false).is_none());
        assert!(rooms.take(2, 2, false).is_some());
        let forced = rooms.take(1, 2, true);
        assert_eq!(rooms.used(1), 3);
        drop((first, forced));
        assert!(rooms.take(1, 2, false).is_some());
    }

    #[test]
    fn users_without_a_share_are_forgotten() {
        let rooms = Rooms::default();
        let kept = rooms.take(7, 9, false);
        for uid in 100..1000 {
            drop(rooms.take(uid, 9, false));
        }
        assert!(rooms.users.lock().len() <= MANY_USERS + 1);
        assert_eq!(rooms.used(7), 1);
        drop(kept);
    }
}
