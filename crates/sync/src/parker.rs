//! The only way to sleep.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// A one-permit token. `unpark` before `park` is not lost; two count as one.
#[derive(Default)]
pub struct Parker {
    permit: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub const fn new() -> Self {
        Parker {
            permit: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Sleeps until the permit is there, takes it, and returns true; false when
    /// `deadline` came first.
    pub fn park_until(&self, deadline: Option<Instant>) -> bool {
        let mut permit = self.permit.lock();
        while !*permit {
            match deadline {
                None => self.changed.wait(&mut permit),
                Some(at) => {
                    if self.changed.wait_until(&mut permit, at).timed_out() && !*permit {
                        return false;
                    }
                }
            }
        }
        *permit = false;
        true
    }

    pub fn unpark(&self) {
        let mut permit = self.permit.lock();
        if !*permit {
            *permit = true;
            drop(permit);
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_early_permit_is_kept_and_counts_once() {
        let parker = Parker::new();
        parker.unpark();
        parker.unpark();
        assert!(parker.park_until(None));
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(!parker.park_until(Some(soon)));
    }
}
