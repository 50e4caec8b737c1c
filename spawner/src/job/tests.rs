//! One job, or two, on a real pool.

use super::*;
use crate::{Close, Creator, Full, PoolStats};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(20);

fn pool() -> Pool {
    let creator = Creator::start().unwrap();
    Pool::<NoContext>::builder(&creator, ()).build().unwrap()
}

fn settle(pool: &Pool, done: impl Fn(&PoolStats) -> bool) -> PoolStats {
    let end = Instant::now() + LONG;
    loop {
        let stats = pool.stats();
        if done(&stats) || Instant::now() > end {
            return stats;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A job whose runs say that they began, and end when told.
struct Gated {
    interlock: Interlock<u32>,
    job: Job<u32>,
    begun: Receiver<()>,
    go: Sender<()>,
}

fn gated() -> Gated {
    let interlock: Interlock<u32> = Interlock::default();
    let (tell, begun) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let ends = std::sync::Mutex::new((tell, gate));
    let job = Job::new("gated", &interlock, move |job, running| {
        let ends = ends.lock().unwrap_or_else(|e| e.into_inner());
        ends.0.send(()).unwrap();
        ends.1.recv_timeout(LONG).unwrap();
        drop(ends);
        let mut runs = job.lock();
        *runs += 1;
        running.done(&runs);
    });
    Gated {
        interlock,
        job,
        begun,
        go,
    }
}

impl Gated {
    fn schedule(&self, pool: &Pool) -> Scheduled {
        self.job.schedule(&self.interlock.lock(), pool)
    }

    fn wait_begun(&self) {
        self.begun.recv_timeout(LONG).unwrap();
    }

    fn wait_idle(&self) -> u32 {
        let end = Instant::now() + LONG;
        loop {
            let guard = self.interlock.lock();
            if self.job.status(&guard).phase == JobPhase::Idle || Instant::now() > end {
                return *guard;
            }
            drop(guard);
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn twelve_thousand_chained_schedules() {
    const LINKS: u32 = 12_345;
    let pool = pool();
    let interlock: Interlock<u32> = Interlock::default();
    let (tell, told) = mpsc::channel();
    let own = pool.clone();
    let job = Job::new("chain", &interlock, move |job, running| {
        let mut count = job.lock();
        *count += 1;
        tell.send(*count).unwrap();
        running.done(&count);
        if *count < LINKS {
            assert_eq!(job.schedule(&count, &own), Scheduled::Queued);
        }
    });
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    for link in 1..=LINKS {
        let heard = told.recv_timeout(Duration::from_secs(2));
        assert_eq!(heard, Ok(link), "each link within two seconds");
    }
    let guard = job.destroy(interlock.lock()).unwrap();
    assert_eq!((*guard, job.status(&guard).runs), (LINKS, LINKS.into()));
}

#[test]
fn cancel_of_a_run_is_false_and_then_waits() {
    let pool = pool();
    let gated = gated();
    assert_eq!(gated.schedule(&pool), Scheduled::Queued);
    gated.wait_begun();
    assert_eq!(gated.schedule(&pool), Scheduled::Running);
    let guard = gated.interlock.lock();
    assert!(!gated.job.cancel_async(&guard));
    assert_eq!(*guard, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            gated.go.send(()).unwrap();
        });
        // It waits without the interlock, which the run takes to be done.
        let guard = gated.job.cancel(guard).unwrap();
        assert_eq!(*guard, 1);
        assert_eq!(gated.job.status(&guard).phase, JobPhase::Idle);
    });
    assert_eq!(gated.begun.try_recv(), Err(mpsc::TryRecvError::Empty));
}

#[test]
fn ten_thousand_schedules_and_cancels() {
    let pool = pool();
    let interlock: Interlock<u64> = Interlock::default();
    let job = Job::new("thrash", &interlock, |job, running| {
        let mut runs = job.lock();
        *runs += 1;
        running.done(&runs);
    });
    let (mut queued, mut taken) = (0, 0);
    for round in 0..10_000 {
        let guard = interlock.lock();
        let scheduled = job.schedule(&guard, &pool);
        assert_eq!(scheduled, Scheduled::Queued, "cancel left it idle");
        queued += 1;
        if round % 3 == 0 {
            drop(guard);
            let guard = job.cancel(interlock.lock()).unwrap();
            assert_eq!(job.status(&guard).phase, JobPhase::Idle);
            taken = queued - *guard;
        } else {
            // Under one hold of the lock: taken back, or waited for.
            let before = job.status(&guard).runs;
            let guard = job.cancel(guard).unwrap();
            assert!(job.status(&guard).runs <= before + 1);
            taken = queued - *guard;
        }
    }
    let guard = interlock.lock();
    assert_eq!(job.status(&guard).phase, JobPhase::Idle);
    assert_eq!(*guard + taken, 10_000);
    assert_eq!(job.status(&guard).runs, *guard);
    drop(guard);
    assert_eq!(settle(&pool, |s| s.running == 0 && s.queued == 0).queued, 0);
}

/// Scheduler, canceller and worker meet 20,000 times; the books must balance.
#[test]
fn cancel_exactly_at_dispatch() {
    #[derive(Default)]
    struct Books {
        is_running: bool,
        queued: u64,
        taken: u64,
        runs: u64,
    }
    let pool = pool();
    let interlock: Interlock<Books> = Interlock::default();
    let job = Job::new("race", &interlock, |job, running| {
        let mut books = job.lock();
        assert!(!books.is_running, "two runs at once");
        books.is_running = true;
        drop(books);
        let mut books = job.lock();
        books.is_running = false;
        books.runs += 1;
        running.done(&books);
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                let mut books = interlock.lock();
                if job.schedule(&books, &pool) == Scheduled::Queued {
                    books.queued += 1;
                }
                drop(books);
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            for _ in 0..20_000 {
                let mut books = interlock.lock();
                let was_queued = job.status(&books).phase == JobPhase::Queued;
                let is_off = job.cancel_async(&books);
                assert!(!(is_off && books.is_running), "cancelled, and runs");
                books.taken += u64::from(is_off && was_queued);
                drop(books);
                std::thread::yield_now();
            }
        });
    });
    // What is still queued runs; destroying would take it back.
    let end = Instant::now() + LONG;
    loop {
        let books = interlock.lock();
        if job.status(&books).phase == JobPhase::Idle || Instant::now() > end {
            assert_eq!(books.runs + books.taken, books.queued);
            assert_eq!(job.status(&books).panics, 0);
            return;
        }
        drop(books);
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_job_that_cancels_itself_is_told() {
    let pool = pool();
    let interlock: Interlock<Vec<&'static str>> = Interlock::default();
    let (tell, told) = mpsc::channel();
    let job = Job::new("self", &interlock, move |job, running| {
        let is_cancel_told = job.cancel(job.lock()).is_err();
        let is_told = job.destroy(job.lock()).is_err() && is_cancel_told;
        let guard = job.lock();
        running.done(&guard);
        // Behind `done` there is no run to wait for, yet this thread is inside.
        let guard = job.cancel(guard).unwrap();
        let is_inside = job.destroy(guard).is_err();
        tell.send((is_told, is_inside)).unwrap();
    });
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    assert_eq!(told.recv_timeout(LONG), Ok((true, true)));
    let error: TicketError = WouldDeadlock(interlock.lock()).into();
    assert!(matches!(error, TicketError::WouldDeadlock));
    // A refused destroy has not destroyed.
    drop(error);
    let guard = job.cancel(interlock.lock()).unwrap();
    assert_eq!(job.schedule(&guard, &pool), Scheduled::Queued);
}

#[test]
fn a_rerun_noted_during_a_run_is_one_run() {
    let pool = pool();
    let gated = gated();
    assert_eq!(gated.schedule(&pool), Scheduled::Queued);
    gated.wait_begun();
    for _ in 0..5 {
        assert_eq!(gated.job.notify(&pool), Scheduled::Running);
    }
    for _ in 0..2 {
        gated.go.send(()).unwrap();
    }
    gated.wait_begun();
    assert_eq!(gated.wait_idle(), 2);
    let third = gated.begun.recv_timeout(Duration::from_millis(50));
    assert_eq!(third, Err(RecvTimeoutError::Timeout));
    let status = gated.job.status(&gated.interlock.lock());
    assert_eq!((status.runs, status.is_again), (2, false));
}

#[test]
fn a_cancelled_run_loses_its_rerun() {
    let pool = pool();
    let gated = gated();
    assert_eq!(gated.schedule(&pool), Scheduled::Queued);
    gated.wait_begun();
    assert_eq!(gated.job.notify(&pool), Scheduled::Running);
    assert!(!gated.job.cancel_async(&gated.interlock.lock()));
    gated.go.send(()).unwrap();
    assert_eq!(gated.wait_idle(), 1);
}

/// Each run schedules itself; only a canceller that shuts it out can end that.
#[test]
fn a_job_that_schedules_itself_can_be_cancelled() {
    let pool = pool();
    let interlock: Interlock<bool> = Interlock::default();
    let own = pool.clone();
    let job = Job::new("for ever", &interlock, move |job, running| {
        let guard = job.lock();
        running.done(&guard);
        let _ = job.schedule(&guard, &own);
        drop(guard);
        let _ = job.notify(&own);
    });
    for _ in 0..100 {
        assert_ne!(job.notify(&pool), Scheduled::Refused);
        std::thread::sleep(Duration::from_micros(300));
        let guard = job.cancel(interlock.lock()).unwrap();
        assert_eq!(job.status(&guard).phase, JobPhase::Idle);
    }
    // For good: the thread behind its `done` must not schedule it after this.
    let guard = job.destroy(interlock.lock()).unwrap();
    assert_eq!(job.schedule(&guard, &pool), Scheduled::Refused);
    assert!(matches!(
        job.take_refusal(&guard),
        Some(TicketError::Closed)
    ));
}

#[test]
fn a_job_that_sleeps_holds_up_no_other() {
    let pool = pool();
    let sleepers: Vec<Gated> = (0..8).map(|_| gated()).collect();
    for sleeper in &sleepers {
        assert_eq!(sleeper.schedule(&pool), Scheduled::Queued);
    }
    // None has ended when the last has begun.
    sleepers.iter().for_each(Gated::wait_begun);
    for sleeper in &sleepers {
        sleeper.go.send(()).unwrap();
        assert_eq!(sleeper.wait_idle(), 1);
    }
}

#[test]
fn a_panic_ends_the_run_and_the_job_runs_again() {
    let pool = pool();
    let interlock: Interlock<u32> = Interlock::default();
    let job = Job::new("panics", &interlock, |job, running| {
        let mut count = job.lock();
        *count += 1;
        assert!(*count > 2, "on purpose, with the interlock held");
        running.done(&count);
    });
    for run in 1..=3u64 {
        assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
        let end = Instant::now() + LONG;
        while job.status(&interlock.lock()).phase != JobPhase::Idle && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(job.status(&interlock.lock()).runs, run);
    }
    let guard = job.destroy(interlock.lock()).unwrap();
    let status = job.status(&guard);
    assert_eq!((status.runs, status.panics), (3, 2));
    drop(guard);
    assert_eq!(settle(&pool, |s| s.panics == 2).panics, 2);
}

#[test]
fn a_run_without_done_is_done_when_the_function_returns() {
    let pool = pool();
    let interlock: Interlock<u32> = Interlock::default();
    let (tell, told) = mpsc::channel();
    let job = Job::new("forgets", &interlock, move |job, running| {
        // Lost under the interlock: that must not deadlock, nor be forgotten.
        let mut count = job.lock();
        *count += 1;
        let _lost = running;
        tell.send(job.status(&count).phase).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
        assert_eq!(told.recv_timeout(LONG), Ok(JobPhase::Running));
        let guard = job.cancel(interlock.lock()).unwrap();
        assert_eq!(job.status(&guard).phase, JobPhase::Idle);
    }
    assert_eq!(*interlock.lock(), 2);
}

#[test]
fn jobs_share_an_interlock() {
    let pool = pool();
    let interlock: Interlock<Vec<&'static str>> = Interlock::default();
    let jobs = ["one", "two", "three"].map(|name| {
        Job::new(name, &interlock, move |job, running| {
            let mut names = job.lock();
            names.push(name);
            running.done(&names);
        })
    });
    let guard = interlock.lock();
    for job in &jobs {
        assert_eq!(job.schedule(&guard, &pool), Scheduled::Queued);
        // Queued or begun, and not done as long as we hold the interlock.
        let second = job.schedule(&guard, &pool);
        assert!(matches!(second, Scheduled::Pending | Scheduled::Running));
    }
    drop(guard);
    pool.close(Close::Drain);
    let mut names = interlock.lock();
    names.sort_unstable();
    assert_eq!(*names, ["one", "three", "two"]);
}

#[test]
#[should_panic(expected = "the guard is of another lock")]
fn another_locks_guard_is_refused() {
    let pool = pool();
    let (own, other): (Interlock<()>, Interlock<()>) = Default::default();
    let job = Job::new("job", &own, |_, _| ());
    let _ = job.schedule(&other.lock(), &pool);
}

#[test]
fn the_thread_has_the_jobs_name_while_it_runs() {
    let pool = pool();
    let interlock: Interlock<()> = Interlock::default();
    let (tell, told) = mpsc::channel();
    for name in ["first", "a name of more than fifteen bytes"] {
        let tell = tell.clone();
        let job = Job::new(name, &interlock, move |_, _| {
            let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            tell.send(name.trim_end_matches('\n').to_owned()).unwrap();
        });
        assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
        let heard = told.recv_timeout(LONG).unwrap();
        assert_eq!(heard, job.name().as_str());
        drop(job.cancel(interlock.lock()));
    }
}

/// A capture that says when it is gone.
struct Tells(Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
        panic!("on purpose: a capture's drop");
    }
}

#[test]
fn the_last_handle_may_go_while_queued_or_running() {
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .cap(1, Full::Queue)
        .build()
        .unwrap();
    let interlock: Interlock<u32> = Interlock::default();
    let first = gated();
    assert_eq!(first.schedule(&pool), Scheduled::Queued);
    first.wait_begun();
    let (tell, gone) = mpsc::channel();
    let tells = Tells(tell);
    let queued = Job::new("queued", &interlock, move |job, running| {
        let _ = &tells;
        let mut count = job.lock();
        *count += 1;
        running.done(&count);
    });
    assert_eq!(queued.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    drop(queued);
    let Gated { job, go, .. } = first;
    drop(job);
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Empty));
    go.send(()).unwrap();
    gone.recv_timeout(LONG).unwrap();
    assert_eq!(*interlock.lock(), 1);
    // The worker survived the panic of the capture's drop.
    assert_eq!(pool.run(|_| 7).unwrap(), 7);
    assert_eq!(pool.stats().created, 1);
}

#[test]
fn closing_the_pool_tells_a_queued_job() {
    let creator = Creator::start().unwrap();
    let pool = Pool::<NoContext>::builder(&creator, ())
        .cap(1, Full::Queue)
        .build()
        .unwrap();
    let (first, second) = (gated(), gated());
    assert_eq!(first.schedule(&pool), Scheduled::Queued);
    first.wait_begun();
    assert_eq!(second.schedule(&pool), Scheduled::Queued);
    assert_eq!(second.schedule(&pool), Scheduled::Pending);
    first.go.send(()).unwrap();
    // Its one worker may take the second job first: then close waits for it.
    second.go.send(()).unwrap();
    pool.close(Close::Cancel);
    let guard = second.interlock.lock();
    assert_eq!(second.job.status(&guard).phase, JobPhase::Idle);
    let has_run = *guard == 1;
    let refusal = second.job.take_refusal(&guard);
    assert_eq!(has_run, refusal.is_none());
    drop(guard);
    assert_eq!(second.schedule(&pool), Scheduled::Refused);
    let refusal = second.job.take_refusal(&second.interlock.lock());
    assert!(matches!(refusal, Some(TicketError::Closed)));
    // A job is not of one pool: the next may have it.
    let next = self::pool();
    second.go.send(()).unwrap();
    assert_eq!(second.schedule(&next), Scheduled::Queued);
    second.wait_begun();
}

/// A context that cannot be entered as long as its seed says so.
struct Picky;

impl WorkerContext for Picky {
    type Seed = AtomicBool;
    type Error = std::fmt::Error;

    fn enter(is_shut: &AtomicBool, _: &str) -> Result<Self, Self::Error> {
        match is_shut.swap(false, Ordering::SeqCst) {
            true => Err(std::fmt::Error),
            false => Ok(Picky),
        }
    }
}

#[test]
fn a_context_that_cannot_be_entered_is_told_to_the_job() {
    let creator = Creator::start().unwrap();
    let pool = Pool::<Picky>::builder(&creator, AtomicBool::new(true))
        .build()
        .unwrap();
    let interlock: Interlock<u32> = Interlock::default();
    let (tell, told) = mpsc::channel();
    let job = Job::new("picky", &interlock, move |_, _| tell.send(()).unwrap());
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    let end = Instant::now() + LONG;
    while job.status(&interlock.lock()).phase != JobPhase::Idle && Instant::now() < end {
        std::thread::sleep(Duration::from_micros(200));
    }
    let guard = interlock.lock();
    let refusal = job.take_refusal(&guard);
    assert!(
        matches!(refusal, Some(TicketError::Context(_))),
        "{refusal:?}"
    );
    assert_eq!(job.schedule(&guard, &pool), Scheduled::Queued);
    drop(guard);
    assert_eq!(told.recv_timeout(LONG), Ok(()));
}

#[test]
fn a_rerun_is_refused_when_the_pool_closes_meanwhile() {
    let pool = pool();
    let gated = gated();
    assert_eq!(gated.schedule(&pool), Scheduled::Queued);
    gated.wait_begun();
    assert_eq!(gated.job.notify(&pool), Scheduled::Running);
    std::thread::scope(|scope| {
        let closer = scope.spawn(|| pool.close(Close::Drain));
        let end = Instant::now() + LONG;
        while pool.spawn(|_| ()).is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(200));
        }
        gated.go.send(()).unwrap();
        closer.join().unwrap();
    });
    let guard = gated.interlock.lock();
    assert_eq!((*guard, gated.job.status(&guard).runs), (1, 1));
    assert_eq!(gated.job.status(&guard).phase, JobPhase::Idle);
    assert!(matches!(
        gated.job.take_refusal(&guard),
        Some(TicketError::Closed)
    ));
}

#[test]
fn destroy_waits_for_the_thread_behind_done() {
    let pool = pool();
    let interlock: Interlock<()> = Interlock::default();
    let is_out = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let job = {
        let is_out = is_out.clone();
        Job::new("tail", &interlock, move |job, running| {
            running.done(&job.lock());
            tell.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            is_out.store(true, Ordering::SeqCst);
        })
    };
    assert_eq!(job.schedule(&interlock.lock(), &pool), Scheduled::Queued);
    told.recv_timeout(LONG).unwrap();
    drop(job.destroy(interlock.lock()).unwrap());
    assert!(is_out.load(Ordering::SeqCst));
}

/// Cancelled in one pool and scheduled in another, again and again: each run is
/// on a thread of the pool it was last scheduled in.
#[test]
fn a_job_runs_in_the_pool_it_was_scheduled_in() {
    let pools = [pool(), pool()];
    let interlock: Interlock<Option<usize>> = Interlock::default();
    let wrong = Arc::new(AtomicU32::new(0));
    let job = {
        let (wrong, pools) = (wrong.clone(), pools.clone());
        Job::new("moves", &interlock, move |job, running| {
            let wanted = job.lock();
            if !wanted.is_some_and(|at| pools[at].is_own()) {
                wrong.fetch_add(1, Ordering::SeqCst);
            }
            running.done(&wanted);
        })
    };
    for round in 0..10_000 {
        let mut guard = job.cancel(interlock.lock()).unwrap();
        *guard = Some(round % 2);
        assert_eq!(job.schedule(&guard, &pools[round % 2]), Scheduled::Queued);
    }
    drop(job.destroy(interlock.lock()).unwrap());
    assert_eq!(wrong.load(Ordering::SeqCst), 0);
    // The function holds handles of its own pools: they go with the job, not in it.
    drop(job);
}
