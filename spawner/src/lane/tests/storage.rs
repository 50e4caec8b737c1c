//! The three forms of storage, in a slot by itself and through a lane.

use super::super::slot::{ARENA, Arena, Form, Slot, Unit, form_of};
use super::super::store::Store;
use super::*;

struct Task<const N: usize> {
    spy: Spy,
    bytes: [u8; N],
    sum: Arc<AtomicUsize>,
}

impl<const N: usize> Unit<()> for Task<N> {
    fn run(self, _: &(), stream: StreamId) {
        assert_eq!(stream, StreamId(9));
        let sum: usize = self.bytes.iter().map(|&byte| byte as usize).sum();
        self.sum.fetch_add(sum, SeqCst);
        drop(self.spy);
    }
}

fn each_form_in_a_slot<const N: usize>(form: Form) {
    assert_eq!(form_of::<Task<N>>(), form);
    let drops = Arc::new(AtomicUsize::new(0));
    let sum = Arc::new(AtomicUsize::new(0));
    let task = || Task::<N> {
        spy: Spy(drops.clone()),
        bytes: [3; N],
        sum: sum.clone(),
    };
    let mut arena = Arena::new();
    let slot = Slot::<()>::new();
    // Run, discarded, and left there when the slot goes; the block is used again.
    // SAFETY: one thread has the slot, and writes and reads in turn (L1).
    unsafe {
        slot.write(&arena, StreamId(9), task());
        assert!(slot.is_published());
        slot.run(&());
        assert!(!slot.is_published());
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(sum.load(SeqCst), 3 * N);
        slot.write(&arena, StreamId(9), task());
        slot.discard();
        assert_eq!(drops.load(SeqCst), 2);
        slot.write(&arena, StreamId(9), task());
    }
    drop(slot);
    assert_eq!(drops.load(SeqCst), 3);
    assert_eq!(sum.load(SeqCst), 3 * N);
    assert_eq!(arena.is_made(), form == Form::Arena);
}

#[test]
fn inline_units_run_or_drop_once() {
    each_form_in_a_slot::<0>(Form::Inline);
    each_form_in_a_slot::<32>(Form::Inline);
}

#[test]
fn arena_units_run_or_drop_once() {
    each_form_in_a_slot::<33>(Form::Arena);
    each_form_in_a_slot::<{ ARENA - 16 }>(Form::Arena);
}

#[test]
fn boxed_units_run_or_drop_once() {
    each_form_in_a_slot::<{ ARENA - 15 }>(Form::Boxed);
    each_form_in_a_slot::<20_000>(Form::Boxed);
}

#[test]
#[should_panic(expected = "an empty slot was read")]
fn an_empty_slot_is_not_read() {
    let slot = Slot::<()>::new();
    // SAFETY: refused before anything is touched.
    unsafe { slot.run(&()) };
}

#[test]
fn arena_blocks_are_made_when_needed() {
    struct Big([u8; 500]);
    impl Unit<()> for Big {
        fn run(self, _: &(), _: StreamId) {
            assert_eq!(self.0[499], 5);
        }
    }
    let (mut store, mut spare) = Store::<()>::new(8, 0);
    assert_eq!(store.arena_blocks(), 0);
    for _ in 0..10 {
        for _ in 0..3 {
            let slot = store.reserve().unwrap();
            store.write(slot, StreamId::NONE, Big([5; 500]));
        }
        let (mut sealed, _) = store.seal(spare, 0);
        while sealed.left() > 0 {
            store.run_next(&mut sealed, &());
        }
        spare = sealed.finish();
    }
    // Three slots of each of the two buffers.
    assert_eq!(store.arena_blocks(), 6);
}

#[test]
fn a_refusal_does_not_count_up() {
    struct Nothing;
    impl Unit<()> for Nothing {
        fn run(self, _: &(), _: StreamId) {}
    }
    let (store, spare) = Store::<()>::new(2, 0);
    for _ in 0..2 {
        let slot = store.reserve().unwrap();
        store.write(slot, StreamId::NONE, Nothing);
    }
    for _ in 0..100_000 {
        assert!(matches!(store.reserve(), Err(Refusal::Full)));
    }
    let (mut sealed, mut granted) = store.seal(spare, 1);
    assert_eq!(sealed.left(), 2);
    store.run_next(&mut sealed, &());
    store.run_next(&mut sealed, &());
    let _spare = sealed.finish();
    // One slot of two was given away.
    store.write(granted.next().unwrap(), StreamId::NONE, Nothing);
    assert!(granted.next().is_none());
    let slot = store.reserve().unwrap();
    store.write(slot, StreamId::NONE, Nothing);
    assert!(matches!(store.reserve(), Err(Refusal::Full)));
    assert_eq!(store.close().unwrap().left(), 2);
    assert!(matches!(store.reserve(), Err(Refusal::Closed)));
    assert!(store.close().is_none());
}

/// Sends a capture of this size and alignment through a lane in every way.
fn captures_through_a_lane<T: Copy + Send + Sync + 'static>(value: T, check: fn(&T) -> bool) {
    let _watchdog = within(LONG);
    let drops = Arc::new(AtomicUsize::new(0));
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    let task = |is_bad: bool| {
        let (spy, value) = (Spy(drops.clone()), value);
        move |log: &mut Log| {
            let _spy = &spy;
            assert!(!is_bad, "wanted");
            assert!(std::ptr::from_ref(&value).is_aligned());
            log.0.push(check(&value).into());
        }
    };
    lane.submit(task(false)).unwrap();
    lane.submit(task(true)).unwrap();
    lane.call(task(false)).unwrap();
    assert!(matches!(
        lane.call(task(true)),
        Err(TicketError::Panicked(_))
    ));
    assert_eq!(lane.call(|log| log.0.clone()).unwrap(), [1, 1]);
    assert_eq!(drops.load(SeqCst), 4);
    // Dropped at close.
    let release = occupy(&lane);
    lane.submit(task(false)).unwrap();
    lane.submit(task(false)).unwrap();
    lane.shared.ring.close(Close::Cancel);
    assert!(lane.submit(task(false)).is_err());
    assert_eq!(drops.load(SeqCst), 5);
    drop(release);
    lane.close(Close::Cancel).unwrap();
    assert_eq!(drops.load(SeqCst), 7);
}

#[test]
fn small_captures_are_dropped_once() {
    captures_through_a_lane(5u64, |value| *value == 5);
}

#[test]
fn middling_captures_are_dropped_once() {
    captures_through_a_lane([42u8; 128], |value| value[0] + value[127] == 84);
}

#[test]
fn huge_captures_are_dropped_once() {
    captures_through_a_lane([7u8; 8192], |value| value[0] + value[8191] == 14);
}

#[test]
fn captures_aligned_to_64_are_aligned() {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Aligned([u8; 128]);
    captures_through_a_lane(Aligned([0xcd; 128]), |value| value.0[127] == 0xcd);
}

#[test]
fn captures_aligned_to_256_are_aligned() {
    #[derive(Clone, Copy)]
    #[repr(align(256))]
    struct Aligned([u8; 256]);
    captures_through_a_lane(Aligned([0xaa; 256]), |value| value.0[255] == 0xaa);
}
