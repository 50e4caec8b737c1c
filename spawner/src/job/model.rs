//! Scheduler, canceller and worker: every order of a job's protocol.

use super::*;
use crate::unit::Ran;
use rivix_sync::loom;
use rivix_sync::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use rivix_sync::sys::thread;

/// What a run leaves behind.
struct Seen {
    is_running: AtomicBool,
    runs: AtomicUsize,
}

struct Scene {
    pool: Pool,
    interlock: Interlock<()>,
    job: Job<()>,
    seen: Arc<Seen>,
}

impl Scene {
    fn new() -> Arc<Scene> {
        let interlock: Interlock<()> = Interlock::default();
        let seen = Arc::new(Seen {
            is_running: AtomicBool::new(false),
            runs: AtomicUsize::new(0),
        });
        let job = {
            let seen = seen.clone();
            Job::new("job", &interlock, move |job, running| {
                let was_running = seen.is_running.swap(true, Ordering::AcqRel);
                assert!(!was_running, "two runs at once");
                seen.runs.fetch_add(1, Ordering::AcqRel);
                let guard = job.lock();
                seen.is_running.store(false, Ordering::Release);
                running.done(&guard);
            })
        };
        Arc::new(Scene {
            pool: Pool::bare(()),
            interlock,
            job,
            seen,
        })
    }

    fn schedule(&self) -> Scheduled {
        self.job.schedule(&self.interlock.lock(), &self.pool)
    }

    /// A worker that finds one unit at most.
    fn work(&self) {
        if let Some(unit) = self.pool.take_queued() {
            let ran = unit.run(&mut NoContext);
            assert_ne!(ran, Ran::Panicked, "an assertion of the run failed");
        }
    }

    /// Three are more than any of these models can leave.
    fn drain(&self) {
        for _ in 0..3 {
            self.work();
        }
        assert!(self.pool.take_queued().is_none());
        let status = self.job.status(&self.interlock.lock());
        assert_eq!(status.phase, JobPhase::Idle);
        assert_eq!(status.runs, self.seen.runs.load(Ordering::Acquire) as u64);
    }

    fn runs(&self) -> usize {
        self.seen.runs.load(Ordering::Acquire)
    }

    fn is_running(&self) -> bool {
        self.seen.is_running.load(Ordering::Acquire)
    }
}

fn beside(scene: &Arc<Scene>, f: impl FnOnce(&Scene) + Send + 'static) -> thread::JoinHandle<()> {
    let scene = scene.clone();
    loom::thread::spawn(move || f(&scene))
}

fn check(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Cancel against begin against a new request: what was taken back does not run,
/// what was not runs once, and nothing runs while a true answer stands.
#[test]
fn cancel_against_begin_against_schedule() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, Scene::work);
        let requests = Arc::new(AtomicUsize::new(1));
        let scheduler = {
            let requests = requests.clone();
            beside(&scene, move |scene| {
                if scene.schedule() == Scheduled::Queued {
                    requests.fetch_add(1, Ordering::AcqRel);
                }
            })
        };
        let taken = {
            let guard = scene.interlock.lock();
            let was_queued = scene.job.status(&guard).phase == JobPhase::Queued;
            let is_off = scene.job.cancel_async(&guard);
            assert!(!(is_off && scene.is_running()), "cancelled, and runs");
            usize::from(is_off && was_queued)
        };
        worker.join().unwrap();
        scheduler.join().unwrap();
        scene.drain();
        assert_eq!(scene.runs() + taken, requests.load(Ordering::Acquire));
    });
}

/// Cancelled and scheduled anew while its token is in a worker's hands, the job
/// is not in the queue a second time: its link has room for one.
#[test]
fn a_job_has_one_token() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, Scene::work);
        {
            let guard = scene.interlock.lock();
            scene.job.cancel_async(&guard);
            let _ = scene.job.schedule(&guard, &scene.pool);
        }
        worker.join().unwrap();
        let _ = scene.schedule();
        let tokens = scene.pool.stats().queued;
        scene.drain();
        assert!(tokens <= 1, "two tokens in one pool");
    });
}

/// A canceller that sleeps is told when the run is done.
#[test]
fn cancel_waits_for_the_run() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, Scene::work);
        let other = beside(&scene, |scene| {
            let guard = scene.job.cancel(scene.interlock.lock()).unwrap();
            assert!(!scene.is_running());
            drop(guard);
        });
        {
            let guard = scene.job.cancel(scene.interlock.lock()).unwrap();
            assert!(!scene.is_running());
            assert_eq!(scene.job.status(&guard).phase, JobPhase::Idle);
        }
        other.join().unwrap();
        worker.join().unwrap();
        scene.drain();
        assert!(scene.runs() <= 1);
    });
}

/// A request during a run with the rerun bit is one more run, never two; while
/// queued it is none.
#[test]
fn a_noted_rerun_is_one_more_run() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, |scene| {
            scene.work();
            scene.work();
        });
        let other = Arc::new(AtomicUsize::new(0));
        let notifier = {
            let other = other.clone();
            beside(&scene, move |scene| {
                let more = usize::from(scene.job.notify(&scene.pool) != Scheduled::Pending);
                other.store(more, Ordering::Release);
            })
        };
        let own = scene.job.notify(&scene.pool);
        worker.join().unwrap();
        notifier.join().unwrap();
        scene.drain();
        let more = usize::from(own != Scheduled::Pending) + other.load(Ordering::Acquire);
        // Two that note during one run are one rerun.
        let least = 1 + usize::from(more > 0);
        assert!((least..=1 + more).contains(&scene.runs()));
    });
}

/// Cancelling a run takes its noted rerun along.
#[test]
fn cancel_takes_a_noted_rerun_along() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, |scene| {
            scene.work();
            scene.work();
        });
        let runs = {
            let guard = scene.interlock.lock();
            let _ = scene.job.schedule_again(&guard, &scene.pool);
            scene.job.cancel_async(&guard);
            scene.job.status(&guard).runs
        };
        worker.join().unwrap();
        scene.drain();
        assert_eq!(scene.runs() as u64, runs);
    });
}

/// One that destroys a job returns when no thread is inside, and it never runs again.
#[test]
fn destroy_waits_for_references() {
    check(|| {
        let scene = Scene::new();
        assert_eq!(scene.schedule(), Scheduled::Queued);
        let worker = beside(&scene, Scene::work);
        let scheduler = beside(&scene, |scene| {
            let _ = scene.schedule();
        });
        let runs = {
            let guard = scene.job.destroy(scene.interlock.lock()).unwrap();
            assert!(!scene.is_running());
            scene.job.status(&guard).runs
        };
        worker.join().unwrap();
        scheduler.join().unwrap();
        scene.drain();
        assert_eq!(scene.runs() as u64, runs);
    });
}
