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

/// Is there a safe order? `free` has the free units of every resource. Each claim is
/// looked at once: a guest may have very many, and its other threads wait meanwhile.
pub(super) fn is_safe(mut free: Vec<u64>, threads: &[Claims]) -> bool {
    // Threads that can end, and those that wait, by what they wait for.
    let mut ending = Vec::new();
    let mut waiting: Vec<Vec<&Claims>> = vec![Vec::new(); free.len()];
    for thread in threads {
        match thread.wants {
            Some(wanted) if free.get(wanted).is_none_or(|units| *units == 0) => {
                if let Some(queue) = waiting.get_mut(wanted) {
                    queue.push(thread);
                }
            }
            _ => ending.push(thread),
        }
    }
    // An order found greedily is as good as any: who ends only gives back, so that
    // all who wait for one unit can end one after the other.
    let mut ended = 0;
    while let Some(thread) = ending.pop() {
        ended += 1;
        for (held, units) in &thread.holds {
            if let (Some(free), Some(queue)) = (free.get_mut(*held), waiting.get_mut(*held)) {
                *free = free.saturating_add(*units);
                if *free > 0 {
                    ending.append(queue);
                }
            }
        }
    }
    ended == threads.len()
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
        assert_eq!(is_safe(free.to_vec(), threads), safe);
        // Nothing depends on who is looked at first.
        let backwards: Vec<Claims> = threads.iter().rev().cloned().collect();
        assert_eq!(is_safe(free.to_vec(), &backwards), safe);
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

    /// The definition: some order of all threads in which each finds what it waits for.
    fn has_order(free: &[u64], threads: &[Claims]) -> bool {
        threads.is_empty()
            || (0..threads.len()).any(|at| {
                let mut rest = threads.to_vec();
                let first = rest.remove(at);
                let mut free = free.to_vec();
                for (held, units) in &first.holds {
                    free[*held] += units;
                }
                let had_it = |wanted: Resource| free[wanted] > own(&first, wanted);
                first.wants.is_none_or(had_it) && has_order(&free, &rest)
            })
    }

    fn own(thread: &Claims, wanted: Resource) -> u64 {
        let of_it = thread.holds.iter().filter(|(held, _)| *held == wanted);
        of_it.map(|(_, units)| units).sum()
    }

    #[test]
    fn it_is_the_definition_for_every_small_state() {
        let mut random = 88172645463325252_u64;
        let mut below = |end: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % end
        };
        let (mut safe, mut unsafe_ones) = (0, 0);
        for _ in 0..20_000 {
            let kinds = 1 + below(3) as usize;
            let free: Vec<u64> = (0..kinds).map(|_| below(3) / 2).collect();
            let threads: Vec<Claims> = (0..below(6))
                .map(|_| Claims {
                    holds: (0..kinds).map(|kind| (kind, below(3) / 2)).collect(),
                    wants: Some(below(kinds as u64 + 1) as usize).filter(|kind| *kind < kinds),
                })
                .collect();
            let expected = has_order(&free, &threads);
            check(&free, &threads, expected);
            *(if expected {
                &mut safe
            } else {
                &mut unsafe_ones
            }) += 1;
        }
        assert!(safe > 1000 && unsafe_ones > 1000, "{safe}, {unsafe_ones}");
    }

    #[test]
    fn a_chain_that_frees_from_its_far_end_takes_one_pass() {
        // Each pass over all threads would free one: minutes.
        let length = 400_000;
        let chain: Vec<_> = (0..length)
            .map(|at| thread(&[(at, 1)], Some(at + 1).filter(|next| *next < length)))
            .collect();
        check(&vec![0; length], &chain, true);
    }
}
