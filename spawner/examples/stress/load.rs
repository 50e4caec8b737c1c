//! Many threads that spawn, an observer that never looks away for long, and the
//! account at the end.

use crate::host::{self, Held};
use crate::{ON_PURPOSE, Size, Verdict};
use rivix_spawner::{Creator, Pool, SpawnError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const MAX_IDLE: usize = 2;
/// The last unit has ended; so long may it take until all is calm.
const SETTLED: Duration = Duration::from_millis(50);
/// A joined thread may be listed for a moment more: the kernel tells the joiner
/// before it takes the thread off its lists.
const LISTED: Duration = Duration::from_millis(500);

/// splitmix64: dice that can be thrown again.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One time in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n)
    }
}

/// What the units did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Units that ended, in whatever way, and when the last one did.
    ended: AtomicU64,
    last_ns: AtomicU64,
    pub(crate) resolved: AtomicU64,
    pub(crate) panicked: AtomicU64,
    /// Times that the host or the hook refused a thread.
    pub(crate) refused: AtomicU64,
}

impl Tally {
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }
}

/// Counts its unit as ended when it goes, however the unit ends.
pub(crate) struct Ending {
    tally: Arc<Tally>,
    start: Instant,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.tally.last_ns.fetch_max(now, Ordering::AcqRel);
        self.tally.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// One run on one pool.
pub(crate) struct Load {
    pub(crate) size: Size,
    pub(crate) tally: Arc<Tally>,
    pub(crate) start: Instant,
    before: Held,
}

/// What the observer saw.
struct Observed {
    looks: u64,
    most_idle: usize,
    most_threads: usize,
    most_mappings: usize,
}

impl Load {
    /// Counts what there is before, once the libraries have made what they keep.
    pub(crate) fn new(size: Size) -> Load {
        warm_up();
        Load {
            size,
            tally: Arc::default(),
            start: Instant::now(),
            before: host::held(),
        }
    }

    pub(crate) fn ending(&self) -> Ending {
        Ending {
            tally: self.tally.clone(),
            start: self.start,
        }
    }

    /// Spawns from all threads through `spawn`, while the observer watches.
    pub(crate) fn run(
        &self,
        verdict: &mut Verdict,
        spawn: impl Fn(&Pool, &mut Dice) + Send + Sync,
    ) {
        let creator = Creator::start().expect("a first thread");
        let pool: Pool = Pool::builder(&creator, ())
            .name("stress")
            .max_idle(MAX_IDLE)
            .build()
            .expect("a pool");
        let size = self.size;
        let is_over = AtomicBool::new(false);
        let mut observed = None;
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| observe(&pool, &is_over));
            std::thread::scope(|scope| {
                for thread in 0..size.threads {
                    let share =
                        size.spawns / size.threads + u64::from(thread < size.spawns % size.threads);
                    let (pool, spawn) = (&pool, &spawn);
                    scope.spawn(move || {
                        let mut dice = Dice::new(size.seed ^ (thread << 48));
                        for _ in 0..share {
                            spawn(pool, &mut dice);
                        }
                    });
                }
            });
            let all_ended = host::within(Duration::from_secs(60), || {
                self.tally.ended() == size.spawns
            });
            verdict.check(
                "every unit ran to its end, once",
                all_ended.is_some() && self.tally.ended() == size.spawns,
                format!("{} of {}", self.tally.ended(), size.spawns),
            );
            self.settle(verdict, &pool);
            is_over.store(true, Ordering::Release);
            observed = watcher.join().ok();
        });
        let observed = observed.expect("the observer ends");
        let stats = pool.stats();
        verdict.check(
            "never more than 2 idle",
            observed.most_idle <= MAX_IDLE && stats.peak_idle <= MAX_IDLE,
            format!(
                "at most {} in {} observations, at most {} by the pool's own account of every change",
                observed.most_idle, observed.looks, stats.peak_idle
            ),
        );
        println!(
            "        peak: {} mappings, {} threads listed; {} workers at once, {} threads made, {} units",
            observed.most_mappings,
            observed.most_threads,
            stats.peak_live,
            stats.created,
            stats.units
        );
        println!(
            "        {} threads refused to the pool, {} panics, {:.2} s to the last unit, {:.0} spawns/s",
            stats.refused,
            stats.panics,
            self.last_end().as_secs_f64(),
            size.spawns as f64 / self.last_end().as_secs_f64()
        );
        drop(pool);
        drop(creator);
        self.account(verdict);
    }

    /// After the last unit the pool is to be calm: two idle, nobody else.
    fn settle(&self, verdict: &mut Verdict, pool: &Pool) {
        let is_calm = || {
            let stats = pool.stats();
            stats.live == stats.idle && stats.idle <= MAX_IDLE
        };
        let at_end = pool.stats();
        let calm = host::within(Duration::from_secs(10), is_calm);
        let took = self.start.elapsed().saturating_sub(self.last_end());
        let stats = pool.stats();
        verdict.check(
            "settled within 50 ms after the last unit",
            calm.is_some() && (took <= SETTLED || self.size.is_uncounted),
            format!(
                "{:.2} ms ({} running, {} retiring at first), {} idle of {} live",
                took.as_secs_f64() * 1e3,
                at_end.running,
                at_end.retiring,
                stats.idle,
                stats.live
            ),
        );
    }

    fn last_end(&self) -> Duration {
        Duration::from_nanos(self.tally.last_ns.load(Ordering::Acquire))
    }

    /// What is left once everything is closed.
    pub(crate) fn account(&self, verdict: &mut Verdict) {
        let before = self.before;
        let gone = host::within(LISTED, || host::threads() <= before.threads);
        let after = host::held();
        verdict.check(
            "no threads left after close",
            (gone.is_some() && after.threads <= before.threads) || self.size.is_uncounted,
            format!("{} before, {} after", before.threads, after.threads),
        );
        verdict.check(
            "no mappings left after close",
            after.mappings <= before.mappings || self.size.is_uncounted,
            format!("{} before, {} after", before.mappings, after.mappings),
        );
    }
}

/// Looks at the pool as often as it can, and at the process now and then:
/// reading its mappings stops its threads from making any.
fn observe(pool: &Pool, is_over: &AtomicBool) -> Observed {
    let mut seen = Observed {
        looks: 0,
        most_idle: 0,
        most_threads: 0,
        most_mappings: 0,
    };
    while !is_over.load(Ordering::Acquire) {
        seen.most_idle = seen.most_idle.max(pool.stats().idle);
        if seen.looks.is_multiple_of(64) {
            let held = host::held();
            seen.most_threads = seen.most_threads.max(held.threads);
            seen.most_mappings = seen.most_mappings.max(held.mappings);
        }
        seen.looks += 1;
        std::thread::sleep(Duration::from_micros(20));
    }
    seen
}

/// The first threads, panics and files make the C library and std allocate what
/// they keep for ever; a first pool does all that before anything is counted.
fn warm_up() {
    let creator = Creator::start().expect("a first thread");
    let pool: Pool = Pool::builder(&creator, ()).build().expect("a pool");
    for panics in [false, true, false, true] {
        let ticket = pool
            .spawn(move |_| {
                if panics {
                    std::panic::panic_any(ON_PURPOSE)
                }
            })
            .map_err(SpawnError::into_unit);
        match ticket {
            Ok(ticket) => drop(ticket.wait()),
            Err(_) => panic!("a first worker"),
        }
    }
    drop((pool, creator));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(host::held);
        }
    });
    host::within(Duration::from_millis(200), || host::threads() == 1);
}
