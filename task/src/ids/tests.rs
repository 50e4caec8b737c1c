use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn numbers<P: Policy>(ids: &[Id<P>]) -> Vec<i32> {
    ids.iter().map(Id::number).collect()
}

fn take<P: Policy>(alloc: &IdAlloc<P>, count: usize) -> Vec<Id<P>> {
    (0..count).map(|_| alloc.allocate().unwrap()).collect()
}

/// What each policy should give, by looking at every number.
trait Naive: Policy {
    fn expect(
        range: (i32, i32),
        used: &BTreeSet<i32>,
        last: Option<i32>,
        freed: &[i32],
    ) -> Option<i32>;
}

impl Naive for Lowest {
    fn expect((a, b): (i32, i32), used: &BTreeSet<i32>, _: Option<i32>, _: &[i32]) -> Option<i32> {
        (a..=b).find(|n| !used.contains(n))
    }
}

impl Naive for Cyclic {
    fn expect(
        (a, b): (i32, i32),
        used: &BTreeSet<i32>,
        last: Option<i32>,
        _: &[i32],
    ) -> Option<i32> {
        let from = last.map_or(a, |last| last + 1);
        (from..=b).chain(a..from).find(|n| !used.contains(n))
    }
}

impl Naive for Lifo {
    fn expect(
        (a, b): (i32, i32),
        used: &BTreeSet<i32>,
        _: Option<i32>,
        freed: &[i32],
    ) -> Option<i32> {
        let fresh = || (a..=b).find(|n| !used.contains(n));
        freed.last().copied().or_else(fresh)
    }
}

/// Runs `steps` beside the naive model: an even step takes a number, an odd one
/// gives back the one at that place, or one more copy of it.
fn compare<P: Naive>(width: i32, steps: &[u16]) {
    let range = (7, 7 + width - 1);
    let alloc = IdAlloc::<P>::new(range.0..=range.1);
    let mut held: Vec<Id<P>> = Vec::new();
    let mut used = BTreeSet::new();
    let mut freed: Vec<i32> = Vec::new();
    let mut last = None;
    for &step in steps {
        let at = usize::from(step / 4);
        match step % 4 {
            0 | 2 => {
                let expected = P::expect(range, &used, last, &freed);
                let got = alloc.allocate();
                assert_eq!(got.as_ref().map(Id::number).ok(), expected);
                let Ok(id) = got else {
                    assert_eq!(used.len() as i32, width);
                    continue;
                };
                freed.retain(|n| *n != id.number());
                last = Some(id.number());
                used.insert(id.number());
                held.push(id);
            }
            1 if !held.is_empty() => {
                let id = held.swap_remove(at % held.len());
                let number = id.number();
                drop(id);
                if !held.iter().any(|other| other.number() == number) {
                    used.remove(&number);
                    freed.push(number);
                }
            }
            3 if !held.is_empty() => held.push(held[at % held.len()].clone()),
            _ => {}
        }
        assert_eq!(alloc.used(), used.len());
    }
    drop(held);
    assert_eq!(alloc.used(), 0);
    // Everything came back: all of the range can be had once more.
    let all: BTreeSet<i32> = numbers(&take(&alloc, width as usize)).into_iter().collect();
    assert_eq!(all, (range.0..=range.1).collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn lowest_is_the_naive_model(width in 1..40, steps in prop::collection::vec(any::<u16>(), 0..300)) {
        compare::<Lowest>(width, &steps);
    }

    #[test]
    fn cyclic_is_the_naive_model(width in 1..40, steps in prop::collection::vec(any::<u16>(), 0..300)) {
        compare::<Cyclic>(width, &steps);
    }

    #[test]
    fn lifo_is_the_naive_model(width in 1..40, steps in prop::collection::vec(any::<u16>(), 0..300)) {
        compare::<Lifo>(width, &steps);
    }
}

#[test]
fn each_policy_gives_its_own_number_next() {
    let lowest = IdAlloc::<Lowest>::new(0..=9);
    let mut ids = take(&lowest, 5);
    drop((ids.remove(3), ids.remove(1)));
    assert_eq!(numbers(&take(&lowest, 3)), [1, 3, 5]);

    let lifo = IdAlloc::<Lifo>::new(0..=9);
    let mut ids = take(&lifo, 5);
    drop(ids.remove(3));
    drop(ids.remove(1));
    assert_eq!(numbers(&take(&lifo, 3)), [1, 3, 5]);

    let cyclic = IdAlloc::<Cyclic>::new(0..=9);
    let mut ids = take(&cyclic, 5);
    drop((ids.remove(3), ids.remove(1)));
    assert_eq!(numbers(&take(&cyclic, 3)), [5, 6, 7]);
}

#[test]
fn later_rounds_leave_the_low_numbers_out() {
    let alloc = IdAlloc::<Cyclic>::wrapping_to(1..=20, 10);
    assert_eq!(alloc.latest(), 0);
    let first = take(&alloc, 20);
    assert_eq!(numbers(&first), (1..=20).collect::<Vec<_>>());
    assert_eq!(alloc.latest(), 20);
    drop(first);
    assert_eq!(numbers(&take(&alloc, 3)), [10, 11, 12]);
    // A low number that comes back is no exception.
    let alloc = IdAlloc::<Cyclic>::wrapping_to(1..=20, 10);
    let mut held = take(&alloc, 9);
    held.extend(take(&alloc, 11));
    drop(held.remove(4));
    assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
    drop(held.remove(15));
    assert_eq!(alloc.allocate().unwrap().number(), 17);
}

#[test]
fn exhaustion_is_eagain_and_ends_when_one_comes_back() {
    fn check<P: Policy>() {
        let alloc = IdAlloc::<P>::new(3..=6);
        let mut held = take(&alloc, 4);
        assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
        assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
        let copy = held[2].clone();
        assert_eq!(held.remove(2).number(), copy.number());
        assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
        let number = copy.number();
        drop(copy);
        assert_eq!(alloc.allocate().unwrap().number(), number);
    }
    check::<Lowest>();
    check::<Cyclic>();
    check::<Lifo>();
}

#[test]
fn a_limit_is_eagain_before_the_numbers_end() {
    let alloc = IdAlloc::<Lowest>::with_limit(0..=99, 2);
    let held = take(&alloc, 2);
    assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
    drop(held);
    assert_eq!(alloc.allocate().unwrap().number(), 0);
}

#[test]
fn the_ends_of_the_number_line_are_numbers_too() {
    fn check<P: Policy>() {
        let alloc = IdAlloc::<P>::new(i32::MAX - 1..=i32::MAX);
        for _ in 0..3 {
            let mut held = numbers(&take(&alloc, 2));
            held.sort_unstable();
            assert_eq!(held, [i32::MAX - 1, i32::MAX]);
        }
        let held = take(&alloc, 2);
        assert_eq!(alloc.allocate().unwrap_err(), Errno::EAGAIN);
        drop(held);
    }
    check::<Lowest>();
    check::<Cyclic>();
    check::<Lifo>();
}

#[test]
fn numbers_are_never_given_twice_across_threads() {
    let alloc = Arc::new(IdAlloc::<Cyclic>::new(1..=64));
    let taken = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (alloc, taken) = (alloc.clone(), taken.clone());
            std::thread::spawn(move || {
                for _ in 0..5_000 {
                    let id = alloc.allocate().unwrap();
                    assert!(taken.lock().unwrap().insert(id.number()));
                    std::hint::spin_loop();
                    assert!(taken.lock().unwrap().remove(&id.number()));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(alloc.used(), 0);
}

#[test]
fn a_number_of_ones_choice_is_taken_once_and_moves_nothing() {
    let ids = IdAlloc::wrapping_to(1..=20, 5);
    let first = ids.allocate().unwrap();
    let chosen = ids.allocate_exact(10).unwrap();
    assert_eq!((first.number(), chosen.number(), ids.used()), (1, 10, 2));
    for taken in [1, 10, 0, 21, -1, i32::MAX] {
        assert_eq!(ids.allocate_exact(taken).err(), Some(Errno::EEXIST));
    }
    // The next is who would have been next; the chosen one is passed over.
    let rest: Vec<_> = (0..10).map(|_| ids.allocate().unwrap()).collect();
    let numbers: Vec<i32> = rest.iter().map(Id::number).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9, 11, 12]);
    drop(chosen);
    assert!(ids.allocate_exact(10).is_ok());
}
