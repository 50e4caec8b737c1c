//! Jobs on a host that refuses threads. The refusal is the whole process's, so
//! these tests have a process, and run one after the other.

use rivix_spawner::{
    Close, Creator, Interlock, Job, JobPhase, NoContext, Pool, Scheduled, TicketError, fault,
};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// While it lives the host refuses every thread.
struct Refusal(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Refusal {
    fn wait_turn() -> MutexGuard<'static, ()> {
        ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn begin(turn: MutexGuard<'static, ()>) -> Refusal {
        fault::fail_creations(1_000_000);
        Refusal(turn)
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        fault::fail_creations(0);
    }
}

fn counting(interlock: &Interlock<u32>) -> (Job<u32>, mpsc::Receiver<u32>) {
    let (tell, told) = mpsc::channel();
    let job = Job::new("counting", interlock, move |job, running| {
        let mut runs = job.lock();
        *runs += 1;
        tell.send(*runs).unwrap();
        running.done(&runs);
    });
    (job, told)
}

#[test]
fn a_job_waits_until_a_thread_is_granted() {
    let turn = Refusal::wait_turn();
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ()).build().unwrap();
    let interlock: Interlock<u32> = Interlock::default();
    let (job, told) = counting(&interlock);
    let refusal = Refusal::begin(turn);
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    let end = Instant::now() + LONG;
    while pool.stats().refused < 3 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (status, stats) = (job.status(&interlock.lock()), pool.stats());
    assert_eq!((status.phase, status.runs), (JobPhase::Queued, 0));
    assert_eq!((stats.live, stats.queued), (0, 1));
    // It can be taken back, and nothing stays behind.
    assert!(job.cancel_async(&interlock.lock()));
    assert_eq!(pool.stats().queued, 0);
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    std::thread::sleep(Duration::from_millis(100));
    // The pause doubles, from one millisecond to a second: it is not a loop.
    assert!(pool.stats().refused < 40, "{:?}", pool.stats());
    assert!(told.try_recv().is_err());
    drop(refusal);
    assert_eq!(told.recv_timeout(LONG), Ok(1));
}

#[test]
fn a_job_that_waits_for_a_thread_is_told_of_the_close() {
    let turn = Refusal::wait_turn();
    for how in [Close::Drain, Close::Cancel] {
        let creator = Creator::start().unwrap();
        let pool = Pool::<NoContext>::builder(&creator, ()).build().unwrap();
        let interlock: Interlock<u32> = Interlock::default();
        let (job, _told) = counting(&interlock);
        fault::fail_creations(1_000_000);
        assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
        let end = Instant::now() + LONG;
        while pool.stats().refused < 1 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(pool.close_timeout(how, LONG).is_ok());
        let guard = interlock.lock();
        assert_eq!((job.status(&guard).phase, *guard), (JobPhase::Idle, 0));
        let refusal = job.take_refusal(&guard);
        fault::fail_creations(0);
        assert!(
            matches!(
                refusal,
                Some(TicketError::Closed | TicketError::NoThread(_))
            ),
            "{refusal:?}"
        );
        assert!(job.take_refusal(&guard).is_none(), "told once");
    }
    drop(turn);
}

/// All jobs of a rescue pool run though no thread is granted: one after the other.
#[test]
fn a_rescue_pool_makes_progress_without_threads() {
    let turn = Refusal::wait_turn();
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .rescue()
        .build()
        .unwrap();
    let interlock: Interlock<u32> = Interlock::default();
    let jobs: Vec<_> = (0..20).map(|_| counting(&interlock)).collect();
    let refusal = Refusal::begin(turn);
    for round in 0..5 {
        for (job, _) in &jobs {
            assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
        }
        for (_, told) in &jobs {
            told.recv_timeout(LONG).unwrap();
        }
        for (job, _) in &jobs {
            drop(job.cancel(interlock.lock()).unwrap());
        }
        assert_eq!(*interlock.lock(), 20 * (round + 1));
    }
    let stats = pool.stats();
    assert_eq!((stats.created, stats.live), (1, 1), "the rescuer alone");
    assert!(stats.refused > 0, "threads were asked for, and refused");
    drop(refusal);
}
