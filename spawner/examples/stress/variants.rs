//! The ways to make it hard.

use crate::host;
use crate::load::{Dice, Ending, Load, MAX_IDLE, Tally};
use crate::{ON_PURPOSE, Size, Verdict};
use nix::errno::Errno;
use rivix_spawner::{Creator, Pool, SpawnError, Ticket, TicketError};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a unit does: mostly nothing, sometimes a little, rarely it sleeps.
fn work(dice: u64) {
    match dice % 64 {
        0 => std::thread::sleep(Duration::from_micros(200)),
        1..8 => {
            black_box((0..2_000_u64).map(black_box).sum::<u64>());
        }
        _ => {}
    }
}

/// Spawns until a thread is responsible: what is refused comes back.
fn insist<F, R>(pool: &Pool, tally: &Tally, unit: F) -> Option<Ticket<R>>
where
    F: FnOnce(&mut rivix_spawner::NoContext) -> R + Send + 'static,
    R: Send + 'static,
{
    let mut unit = unit;
    for attempt in 0..10_000_u64 {
        match pool.spawn(unit) {
            Ok(ticket) => return Some(ticket),
            Err(SpawnError::NoThread(Errno::EAGAIN, back)) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                unit = back;
                std::thread::sleep(Duration::from_micros(50 + attempt));
            }
            Err(error) => {
                eprintln!("refused with {error:?}");
                return None;
            }
        }
    }
    None
}

/// Waits for every other ticket; the rest go free.
fn settle<R>(dice: &mut Dice, tally: &Tally, ticket: Ticket<R>) {
    if dice.one_in(2) {
        match ticket.wait() {
            Ok(_) => tally.resolved.fetch_add(1, Ordering::Relaxed),
            Err(TicketError::Panicked(payload)) => {
                forget_payload(payload);
                tally.panicked.fetch_add(1, Ordering::Relaxed)
            }
            Err(error) => {
                eprintln!("a ticket gave {error}");
                0
            }
        };
    }
}

pub(crate) fn plain(size: Size, verdict: &mut Verdict) {
    let load = Load::new(size);
    load.run(verdict, |pool, dice| {
        let (ending, what) = (load.ending(), dice.roll());
        let unit = move |_: &mut _| {
            let _ending = ending;
            work(what);
        };
        if let Some(ticket) = insist(pool, &load.tally, unit) {
            settle(dice, &load.tally, ticket);
        }
    });
    let refused = load.tally.refused.load(Ordering::Relaxed);
    verdict.check("nothing was refused", refused == 0, refused);
}

/// Panics when it goes, if it is told to.
pub(crate) struct Spiteful(bool);

impl Drop for Spiteful {
    fn drop(&mut self) {
        // A second panic while one unwinds would end the process by law.
        if self.0 && !std::thread::panicking() {
            std::panic::panic_any(ON_PURPOSE);
        }
    }
}

/// A payload may panic when it is dropped; that is then ours to bear.
fn forget_payload(payload: Box<dyn std::any::Any + Send>) {
    drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || drop(payload),
    )));
}

pub(crate) fn panics(size: Size, verdict: &mut Verdict) {
    let load = Load::new(size);
    let (thrown, spite) = (AtomicU64::new(0), AtomicU64::new(0));
    load.run(verdict, |pool, dice| {
        let (ending, what) = (load.ending(), dice.roll());
        let (throws, has_spiteful_capture) = (dice.one_in(8), dice.one_in(64));
        let has_spiteful_payload = dice.one_in(8);
        thrown.fetch_add(throws.into(), Ordering::Relaxed);
        spite.fetch_add(has_spiteful_capture.into(), Ordering::Relaxed);
        let capture = Spiteful(has_spiteful_capture);
        let unit = move |_: &mut _| {
            // Dropped in reverse: the ending goes last, also when the capture panics.
            let _ending = ending;
            let _capture = capture;
            work(what);
            if throws {
                std::panic::panic_any(Spiteful(has_spiteful_payload));
            }
        };
        if let Some(ticket) = insist(pool, &load.tally, unit) {
            settle(dice, &load.tally, ticket);
        }
    });
    println!(
        "        {} units threw, {} had a capture whose drop panics; {} panics reached a waiter",
        thrown.into_inner(),
        spite.into_inner(),
        load.tally.panicked.load(Ordering::Relaxed)
    );
    verdict.check(
        "panics reached who waited for them",
        load.tally.panicked.load(Ordering::Relaxed) > 0,
        load.tally.panicked.load(Ordering::Relaxed),
    );
}

/// Of a million thread creations, as many fail.
const FAILING: u32 = 300_000;

pub(crate) fn faults(size: Size, verdict: &mut Verdict) {
    let load = Load::new(size);
    rivix_spawner::fault::fail_creations(FAILING);
    refusing(&load, verdict);
}

/// Threads that the user may have beyond those that spawn: few enough that
/// bursts of units that sleep run into the limit.
const MORE_THREADS: u64 = 8;

pub(crate) fn nproc(size: Size, verdict: &mut Verdict) {
    let load = Load::new(size);
    // The spawning threads, the observer, the creator.
    match host::limit_threads(size.threads + 2 + MORE_THREADS) {
        Ok(how) => println!("        {how}"),
        Err(errno) => {
            verdict.check("an unprivileged user with few threads", false, errno);
            return;
        }
    }
    refusing(&load, verdict);
}

fn refusing(load: &Load, verdict: &mut Verdict) {
    let failed_later = AtomicU64::new(0);
    load.run(verdict, |pool, dice| {
        let tally = &load.tally;
        // A unit given away without waiting is lost when it is refused; its
        // ticket says so, and then it is spawned again.
        if dice.one_in(4) {
            let ran = Arc::new(AtomicUsize::new(0));
            let unit = {
                let (ran, what) = (ran.clone(), dice.roll());
                move |_: &mut _| {
                    ran.fetch_add(1, Ordering::Relaxed);
                    work(what);
                }
            };
            match pool.spawn_nowait(unit).wait() {
                Ok(()) => {
                    assert_eq!(ran.load(Ordering::Relaxed), 1, "a unit ran once");
                    drop(load.ending());
                    return;
                }
                Err(TicketError::NoThread(Errno::EAGAIN)) => {
                    assert_eq!(ran.load(Ordering::Relaxed), 0, "a refused unit ran");
                    failed_later.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => panic!("a unit given away: {error}"),
            }
        }
        let (ending, what) = (load.ending(), dice.roll());
        let unit = move |_: &mut _| {
            let _ending = ending;
            work(what);
        };
        if let Some(ticket) = insist(pool, tally, unit) {
            settle(dice, tally, ticket);
        }
    });
    let refused = load.tally.refused.load(Ordering::Relaxed);
    verdict.check(
        "threads were refused, and the units came back",
        refused + failed_later.load(Ordering::Relaxed) > 0,
        format!(
            "{refused} spawns and {} units given away without waiting",
            failed_later.load(Ordering::Relaxed)
        ),
    );
}

/// Units per pool before its last handle ends on one of its own workers.
const PER_POOL: u64 = 20;

pub(crate) fn inside(size: Size, verdict: &mut Verdict) {
    let load = Load::new(size);
    let creator = Creator::start().expect("a first thread");
    let most_idle = AtomicUsize::new(0);
    let pools = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..size.threads {
            let share = size.spawns / size.threads + u64::from(thread < size.spawns % size.threads);
            let (creator, load, most_idle, pools) = (&creator, &load, &most_idle, &pools);
            scope.spawn(move || {
                let mut dice = Dice::new(size.seed ^ (thread << 48));
                let mut left = share;
                while left > 0 {
                    let units = left.min(PER_POOL);
                    left -= units;
                    pools.fetch_add(1, Ordering::Relaxed);
                    one_pool(creator, load, &mut dice, units, most_idle);
                }
            });
        }
    });
    let all_ended = host::within(Duration::from_secs(60), || {
        load.tally.ended() == size.spawns
    });
    verdict.check(
        "every unit ran to its end, once",
        all_ended.is_some(),
        format!(
            "{} of {} in {} pools",
            load.tally.ended(),
            size.spawns,
            pools.into_inner()
        ),
    );
    let most_idle = most_idle.into_inner();
    verdict.check("never more than 2 idle", most_idle <= MAX_IDLE, most_idle);
    // The workers end by themselves: nobody is left to wait for them.
    let gone = host::within(Duration::from_secs(5), || host::threads() <= 2);
    verdict.check(
        "the workers of all pools ended",
        gone.is_some() || size.is_uncounted,
        gone.map_or("not within 5 s".into(), |took| {
            format!(
                "{:.2} ms after the last unit was seen",
                took.as_secs_f64() * 1e3
            )
        }),
    );
    drop(creator);
    load.account(verdict);
}

fn one_pool(creator: &Creator, load: &Load, dice: &mut Dice, units: u64, most_idle: &AtomicUsize) {
    let pool: Pool = Pool::builder(creator, ())
        .max_idle(MAX_IDLE)
        .build()
        .expect("a pool");
    let last = dice.roll() % units;
    for number in 0..units {
        let (ending, what): (Ending, u64) = (load.ending(), dice.roll());
        // One unit holds a handle, and with luck the last one.
        let handle = (number == last).then(|| pool.clone());
        let unit = move |_: &mut _| {
            let _ending = ending;
            if handle.is_some() {
                std::thread::sleep(Duration::from_micros(what % 300));
            } else {
                work(what);
            }
            drop(handle);
        };
        if let Some(ticket) = insist(&pool, &load.tally, unit) {
            ticket.detach();
        }
    }
    most_idle.fetch_max(pool.stats().peak_idle, Ordering::Relaxed);
    // Half the pools are dropped here first, so that the unit's handle is the
    // last; the others may end either way.
    if dice.one_in(2) {
        drop(pool);
    } else {
        let ticket = insist(&pool.clone(), &load.tally, {
            let pool = pool;
            move |_: &mut _| drop(pool)
        });
        drop(ticket.map(Ticket::wait));
    }
}
