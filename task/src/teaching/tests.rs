//! Whole processes, whose threads run the tests' own code. In debug builds the order
//! of the locks is checked on the way.

use crate::kernel::ShutdownReason;
use crate::teaching::Joined;
use crate::testing::{kernel, place, run_as, run_with};
use crate::{Abi, CurrentTask, ExitStatus, SysError};
use rivix_abi::Errno;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn run(script: impl FnOnce(&mut CurrentTask) + Send + 'static) -> ExitStatus {
    let kernel = kernel(64);
    let status = run_with(&kernel, 1000, Abi::Rcore, script);
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(10)));
    assert_eq!(kernel.report().panics, 0);
    status
}

/// Makes a thread that does what the script says, and then exits with `code`.
fn thread(
    task: &mut CurrentTask,
    code: i32,
    script: impl FnOnce(&mut CurrentTask) + Send + 'static,
) -> u32 {
    let entry = place(move |task| {
        script(task);
        task.exit_with(code).unwrap();
    });
    task.create_thread(entry, 0).unwrap()
}

fn join(task: &CurrentTask, slot: u32) -> i32 {
    loop {
        match task.join_thread(slot.into()).unwrap() {
            Joined::Ended(code, _) => return code,
            Joined::Running => std::thread::yield_now(),
            Joined::Absent => panic!("no thread {slot}"),
        }
    }
}

#[test]
fn threads_are_joined_once_and_their_slots_come_back() {
    let status = run(|task| {
        assert_eq!(task.slot(), 0);
        let slots = [7, 8, 9].map(|code| thread(task, code, |_| {}));
        assert_eq!(slots, [1, 2, 3]);
        for (slot, code) in slots.into_iter().zip([7, 8, 9]) {
            assert_eq!(join(task, slot), code);
            assert!(matches!(task.join_thread(slot.into()), Ok(Joined::Absent)));
        }
        assert_eq!(thread(task, 1, |_| {}), 1);
        task.exit_with(-3).unwrap();
    });
    assert_eq!(status, ExitStatus::Code(253));
}

#[test]
fn a_mutex_passes_through_a_queue_of_sleepers() {
    const SLEEPERS: u32 = 8;
    run(|task| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mutex = task.create_mutex(true).unwrap() as u64;
        task.lock_mutex(mutex).unwrap();
        let mut slots = Vec::new();
        for number in 0..SLEEPERS {
            let order = order.clone();
            let slot = thread(task, 0, move |task| {
                task.lock_mutex(mutex).unwrap();
                order.lock().unwrap().push(number);
                task.unlock_mutex(mutex).unwrap();
            });
            slots.push(slot);
            // The next one comes when this one is in the queue.
            let is_asleep = |task: &CurrentTask| {
                let threads = task.group().threads();
                threads.iter().filter(|t| t.is_sleeping()).count() > number as usize
            };
            while !is_asleep(task) {
                std::thread::yield_now();
            }
        }
        task.unlock_mutex(mutex).unwrap();
        for slot in slots {
            join(task, slot);
        }
        assert_eq!(*order.lock().unwrap(), (0..SLEEPERS).collect::<Vec<_>>());
        task.exit_with(0).unwrap();
    });
}

#[test]
fn signals_between_two_threads_are_not_lost() {
    for is_blocking in [true, false] {
        run(move |task| {
            const ROUNDS: u32 = 500;
            let mutex = task.create_mutex(is_blocking).unwrap() as u64;
            let turn = task.create_condition().unwrap() as u64;
            let count = Arc::new(AtomicU32::new(0));
            let player = |parity: u32, count: Arc<AtomicU32>| {
                move |task: &mut CurrentTask| {
                    task.lock_mutex(mutex).unwrap();
                    while count.load(Ordering::Relaxed) < ROUNDS {
                        if count.load(Ordering::Relaxed) % 2 == parity {
                            count.fetch_add(1, Ordering::Relaxed);
                            task.signal_condition(turn).unwrap();
                        } else {
                            task.wait_condition(turn, mutex).unwrap();
                        }
                    }
                    task.signal_condition(turn).unwrap();
                    task.unlock_mutex(mutex).unwrap();
                }
            };
            let slots = [0, 1].map(|parity| thread(task, 0, player(parity, count.clone())));
            for slot in slots {
                join(task, slot);
            }
            assert_eq!(count.load(Ordering::Relaxed), ROUNDS);
            task.exit_with(0).unwrap();
        });
    }
}

#[test]
fn the_end_of_the_process_ends_every_wait() {
    let status = run(|task| {
        let semaphore = task.create_semaphore(0).unwrap() as u64;
        let mutexes = [true, false].map(|kind| task.create_mutex(kind).unwrap() as u64);
        for mutex in mutexes {
            task.lock_mutex(mutex).unwrap();
            // A killed waiter's call has no answer: its thread just ends.
            thread(task, 0, move |task| drop(task.lock_mutex(mutex)));
        }
        thread(task, 0, move |task| drop(task.down_semaphore(semaphore)));
        thread(task, 0, |task| drop(task.sleep_for(i128::MAX)));
        task.exit_with(5).unwrap();
    });
    assert_eq!(status, ExitStatus::Code(5));
}

#[test]
fn the_break_moves_and_stays_out_of_the_stacks() {
    run(|task| {
        // As a loader says: a script has no program.
        task.mm().set_brk_start(rivix_abi::UserAddress(0x10_0000));
        let start = task.move_break(0).unwrap();
        assert_eq!(task.move_break(0x5000), Ok(start));
        assert_eq!(task.move_break(-0x1000), Ok(start + 0x5000));
        assert_eq!(task.move_break(-0x5000), Err(Errno::ENOMEM));
        assert_eq!(task.move_break(i64::MAX), Err(Errno::ENOMEM));
        assert_eq!(task.move_break(i64::MIN), Err(Errno::ENOMEM));
        assert_eq!(task.move_break(0), Ok(start + 0x4000));
        task.exit_with(0).unwrap();
    });
}

#[test]
fn a_linux_process_has_none_of_it() {
    let kernel = kernel(8);
    run_as(&kernel, 1000, |task| {
        let is_refused = |error| matches!(error, SysError::Errno(Errno::ENOSYS));
        assert!(task.group().teaching().is_none());
        assert!(task.create_thread(0, 0).is_err_and(is_refused));
        assert!(task.lock_mutex(0).is_err_and(is_refused));
        assert_eq!(task.create_mutex(true), Err(Errno::ENOSYS));
        task.exit_thread(0);
    });
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(10)));
}
