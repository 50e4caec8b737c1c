use super::*;
use std::sync::atomic::AtomicUsize;

/// Counts how often it was woken.
#[derive(Default)]
struct Sleeper(AtomicUsize);

impl Notify for Sleeper {
    fn notify(&self, _: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn thread(slot: u32) -> Asking {
    Asking {
        slot,
        who: Arc::new(Sleeper::default()),
    }
}

#[track_caller]
fn granted(claim: Claim) {
    assert!(matches!(claim, Claim::Granted));
}

#[track_caller]
fn queued(claim: Claim) -> Arc<Waiting> {
    match claim {
        Claim::Wait(waiting) => waiting,
        _ => panic!("it does not wait"),
    }
}

fn grants(list: &[Arc<Waiting>]) -> Vec<bool> {
    list.iter().map(|waiting| waiting.is_granted()).collect()
}

#[test]
fn a_mutex_goes_to_who_has_waited_longest() {
    let mut objects = Objects::default();
    assert_eq!(objects.new_mutex(true), Some(0));
    granted(objects.lock(0, thread(0)));
    let waiting = [1, 2, 3].map(|slot| queued(objects.lock(0, thread(slot))));
    assert!(objects.unlock(0));
    assert_eq!(grants(&waiting), [true, false, false]);
    // It was handed over, and never free.
    let late = queued(objects.lock(0, thread(4)));
    assert!(objects.unlock(0));
    assert_eq!(grants(&waiting), [true, true, false]);
    assert!(objects.unlock(0) && objects.unlock(0));
    assert!(late.is_granted());
    assert!(objects.unlock(0));
    assert!(!objects.unlock(0), "it is free");
}

#[test]
fn a_sleeper_is_told_after_it_was_granted_and_once() {
    let mut objects = Objects::default();
    objects.new_mutex(true);
    granted(objects.lock(0, thread(0)));
    let sleeper = Arc::new(Sleeper::default());
    let who: Arc<dyn Notify> = sleeper.clone();
    let waiting = queued(objects.lock(0, Asking { slot: 1, who }));
    assert_eq!(sleeper.0.load(Ordering::SeqCst), 0);
    objects.unlock(0);
    assert!(waiting.is_granted());
    assert_eq!(sleeper.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_spinning_mutex_is_for_who_comes_first() {
    let mut objects = Objects::default();
    objects.new_mutex(false);
    granted(objects.lock(0, thread(0)));
    assert!(matches!(objects.lock(0, thread(1)), Claim::Spin));
    assert!(!objects.spin(1, 0));
    assert!(objects.unlock(0));
    granted(objects.lock(0, thread(2)));
    assert!(!objects.spin(1, 0));
    assert!(objects.unlock(0));
    assert!(objects.spin(1, 0));
    assert!(!objects.spin(2, 0));
}

#[test]
fn units_of_a_semaphore() {
    let mut objects = Objects::default();
    assert_eq!(objects.new_semaphore(2), Some(0));
    granted(objects.down(0, thread(0)));
    granted(objects.down(0, thread(1)));
    let waiting = [2, 3].map(|slot| queued(objects.down(0, thread(slot))));
    assert!(objects.up(0, 0));
    assert_eq!(grants(&waiting), [true, false]);
    assert!(objects.up(0, 1) && objects.up(0, 2) && objects.up(0, 3));
    assert_eq!(grants(&waiting), [true, true]);
    granted(objects.down(0, thread(0)));
    granted(objects.down(0, thread(0)));
    queued(objects.down(0, thread(0)));
}

#[test]
fn a_semaphore_does_not_overflow() {
    let mut objects = Objects::default();
    assert_eq!(objects.new_semaphore(MAX_UNITS + 1), None);
    assert_eq!(objects.new_semaphore(u64::MAX), None);
    assert_eq!(objects.new_semaphore(MAX_UNITS), Some(0));
    assert!(!objects.up(0, 0));
    granted(objects.down(0, thread(0)));
    assert!(objects.up(0, 0));
    assert!(!objects.up(0, 0));
}

#[test]
fn who_is_signalled_goes_on_with_the_mutex() {
    let mut objects = Objects::default();
    objects.new_mutex(true);
    objects.new_condition();
    assert!(objects.signal(0), "nobody waits");
    assert!(objects.wait(0, 0, thread(1)).is_none(), "nobody has it");
    granted(objects.lock(0, thread(1)));
    let (first, spins_for) = objects.wait(0, 0, thread(1)).unwrap();
    assert_eq!(spins_for, None);
    granted(objects.lock(0, thread(2)));
    let (second, _) = objects.wait(0, 0, thread(2)).unwrap();
    granted(objects.lock(0, thread(3)));
    assert!(objects.signal(0));
    assert!(!first.is_granted(), "thread 3 has the mutex");
    assert!(objects.unlock(0));
    assert!(first.is_granted() && !second.is_granted());
    assert!(objects.unlock(0));
    assert!(objects.signal(0));
    assert!(second.is_granted(), "the mutex was free");
    queued(objects.lock(0, thread(4)));
}

#[test]
fn a_condition_with_a_spinning_mutex() {
    let mut objects = Objects::default();
    objects.new_mutex(false);
    objects.new_condition();
    granted(objects.lock(0, thread(1)));
    let (waiting, spins_for) = objects.wait(0, 0, thread(1)).unwrap();
    assert_eq!(spins_for, Some(0));
    granted(objects.lock(0, thread(2)));
    assert!(objects.signal(0));
    assert!(waiting.is_granted());
    assert!(!objects.spin(1, 0));
    assert!(objects.unlock(0));
    assert!(objects.spin(1, 0));
}

#[test]
fn numbers_that_name_nothing() {
    let mut objects = Objects::default();
    objects.new_mutex(true);
    for number in [1, MAX_OBJECTS as u64, 1 << 32, u64::MAX] {
        assert!(matches!(objects.lock(number, thread(0)), Claim::Refused));
        assert!(matches!(objects.down(number, thread(0)), Claim::Refused));
        assert!(!objects.unlock(number));
        assert!(!objects.up(number, 0));
        assert!(!objects.signal(number));
        assert!(objects.wait(number, 0, thread(0)).is_none());
    }
}

#[test]
fn there_are_limits() {
    let mut objects = Objects::default();
    for number in 0..MAX_OBJECTS {
        assert_eq!(objects.new_mutex(true), Some(number));
        assert_eq!(objects.new_semaphore(0), Some(number));
        assert_eq!(objects.new_condition(), Some(number));
    }
    assert_eq!(objects.new_mutex(false), None);
    assert_eq!(objects.new_semaphore(0), None);
    assert_eq!(objects.new_condition(), None);
}

#[test]
fn deadlocks_are_refused_when_asked_for() {
    let mut objects = Objects::default();
    objects.new_mutex(true);
    objects.new_mutex(false);
    objects.new_semaphore(1);
    objects.detects_deadlocks = true;
    granted(objects.lock(0, thread(1)));
    assert!(matches!(objects.lock(0, thread(1)), Claim::Deadlock));
    granted(objects.lock(1, thread(2)));
    granted(objects.down(0, thread(3)));
    // 1 waits for 2, 2 for 3; 3 must not wait for either, whatever the kinds are.
    assert!(matches!(objects.lock(1, thread(1)), Claim::Spin));
    let second = queued(objects.down(0, thread(2)));
    assert!(matches!(objects.lock(0, thread(3)), Claim::Deadlock));
    assert!(matches!(objects.down(0, thread(3)), Claim::Deadlock));
    // The refusals have left nothing behind: what goes back goes on.
    assert!(objects.up(0, 3));
    assert!(second.is_granted());
    assert!(objects.unlock(1));
    assert!(objects.spin(1, 1));
}

#[test]
fn who_is_signalled_wants_its_mutex_at_once() {
    for is_blocking in [true, false] {
        let mut objects = Objects::default();
        objects.new_mutex(is_blocking);
        objects.new_mutex(true);
        objects.new_condition();
        objects.detects_deadlocks = true;
        granted(objects.lock(0, thread(1)));
        granted(objects.lock(1, thread(1)));
        assert!(objects.wait(0, 0, thread(1)).is_some());
        granted(objects.lock(0, thread(2)));
        assert!(objects.signal(0));
        // 1 wants what 2 has, before it has run an instruction.
        let claim = objects.lock(1, thread(2));
        assert!(matches!(claim, Claim::Deadlock), "{is_blocking}");
    }
}

#[test]
fn what_an_ended_thread_held_does_not_come_back() {
    let mut objects = Objects::default();
    objects.new_mutex(true);
    objects.new_semaphore(1);
    objects.detects_deadlocks = true;
    granted(objects.lock(0, thread(1)));
    granted(objects.down(0, thread(1)));
    objects.forget_thread(1);
    assert!(matches!(objects.lock(0, thread(2)), Claim::Deadlock));
    assert!(matches!(objects.down(0, thread(2)), Claim::Deadlock));
    // Anyone may give them back all the same.
    assert!(objects.unlock(0) && objects.up(0, 2));
    granted(objects.lock(0, thread(2)));
    granted(objects.down(0, thread(2)));
}
