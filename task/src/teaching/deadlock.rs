//! Is there an order in which all threads can have what they wait for?
//!
//! The banker's rule, for requests of one unit at a time: a thread that waits for
//! nothing, or for what is free, can go on to its end and gives back all it holds.
//! If every thread ends so, in some order, the state is safe.

/// Resources by number, each with its units.
pub(super) type Resource = usize;

/// What one thread has and wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) holds: Vec<(Resource, u64)>,
    /// It waits for one unit of this.
    pub(super) wants: Option<Resource>,
}

/// Is there a safe order? `free` has the free units of every resource.
pub(super) fn is_safe(mut free: Vec<u64>, threads: Vec<Claims>) -> bool {
    let mut waiting = threads;
    loop {
        let before = waiting.len();
        // An order found greedily is as good as any: who ends only gives back.
        waiting.retain(|thread| {
            let may_end = thread
                .wants
                .is_none_or(|wanted| free.get(wanted).is_some_and(|units| *units > 0));
            if may_end {
                for (held, units) in &thread.holds {
                    if let Some(free) = free.get_mut(*held) {
                        *free = free.saturating_add(*units);
                    }
                }
            }
            !may_end
        });
        if waiting.is_empty() {
            return true;
        }
        if waiting.len() == before {
            return false;
        }
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    fn thread(holds: &[(Resource, u64)], wants: impl Into<Option<Resource>>) -> Claims {
        Claims {
            holds: holds.to_vec(),
            wants: wants.into(),
        }
    }

    #[track_caller]
    fn check(free: &[u64], threads: &[Claims], safe: bool) {
        assert_eq!(is_safe(free.to_vec(), threads.to_vec()), safe);
        // Nothing depends on who is looked at first.
        let backwards: Vec<Claims> = threads.iter().rev().cloned().collect();
        assert_eq!(is_safe(free.to_vec(), backwards), safe);
    }

    #[test]
    fn nobody_waits() {
        check(&[], &[], true);
        check(&[0], &[thread(&[(0, 1)], None)], true);
    }

    #[test]
    fn a_thread_waits_for_itself() {
        check(&[0], &[thread(&[(0, 1)], 0)], false);
    }

    #[test]
    fn two_threads_and_two_locks() {
        let crossed = [thread(&[(0, 1)], 1), thread(&[(1, 1)], 0)];
        check(&[0, 0], &crossed, false);
        let in_order = [thread(&[(0, 1)], 1), thread(&[(1, 1)], None)];
        check(&[0, 0], &in_order, true);
    }

    #[test]
    fn a_ring_and_a_chain_of_locks() {
        for length in [3, 10, 100] {
            let ring: Vec<_> = (0..length)
                .map(|at| thread(&[(at, 1)], (at + 1) % length))
                .collect();
            check(&vec![0; length], &ring, false);
            let mut chain = ring;
            chain[0].wants = None;
            check(&vec![0; length], &chain, true);
        }
    }

    #[test]
    fn a_deadlock_beside_threads_that_go_on() {
        let threads = [
            thread(&[(0, 1)], 1),
            thread(&[(1, 1)], 0),
            thread(&[(2, 1)], None),
            thread(&[], 2),
        ];
        check(&[0, 0, 0], &threads, false);
    }

    #[test]
    fn several_units_of_a_semaphore() {
        // Two units each; the third thread's end frees one that the first wants,
        // and its end frees one for the second.
        let threads = [
            thread(&[(0, 1)], 1),
            thread(&[(0, 1)], 0),
            thread(&[(1, 2)], None),
        ];
        check(&[0, 0], &threads, true);
        let stuck = [
            thread(&[(0, 1)], 1),
            thread(&[(0, 1)], 0),
            thread(&[(1, 2)], 0),
        ];
        check(&[0, 0], &stuck, false);
        // One unit more of what they all need, and there is an order.
        check(&[1, 0], &stuck, true);
    }

    #[test]
    fn what_nobody_holds_never_comes() {
        check(&[0], &[thread(&[], 0)], false);
        check(&[1], &[thread(&[], 0)], true);
    }
}
