//! Empty units, from one to sixteen threads that spawn.

use crate::Settings;
use crate::measure::{Row, Subject, interleave, until};
use crate::spawn::blocking_runtime;
use rivix_spawner::{Creator, Full, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SPAWNERS: [usize; 5] = [1, 2, 4, 8, 16];
/// What tokio's blocking pool may have unless told otherwise.
const MANY: usize = 512;

pub(crate) fn rows(settings: &Settings, rows: &mut Vec<Row>) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    for (workers, what) in [
        (cores, "one worker per core"),
        (MANY, "512 workers at most"),
    ] {
        for spawners in SPAWNERS {
            let name = format!("empty units, {spawners} spawners, {what}");
            if settings.wants(&name) {
                rows.push(row(settings, &name, spawners, workers));
            }
        }
    }
}

/// Units per second, from the first spawn to the last unit's end.
fn rate(spawners: usize, units: usize, spawn: impl Fn(Arc<AtomicUsize>) + Sync) -> f64 {
    let ended = Arc::new(AtomicUsize::new(0));
    let share = units / spawners;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..spawners {
            scope.spawn(|| {
                for _ in 0..share {
                    spawn(ended.clone());
                }
            });
        }
    });
    let all = share * spawners;
    let in_time = until(Duration::from_secs(60), || {
        ended.load(Ordering::Acquire) == all
    });
    assert!(in_time, "units did not end within 60 s");
    all as f64 / start.elapsed().as_secs_f64()
}

fn row(settings: &Settings, name: &str, spawners: usize, workers: usize) -> Row {
    let mut row = Row::new(name, "thousand units/s");
    let units = settings.scaled(20_000);
    let creator = Creator::start().expect("a creator");
    let builder = || {
        Pool::builder(&creator, ())
            .max_idle(workers)
            .cap(workers, Full::Queue)
    };
    // As the peers, which never touch the mask.
    let pool: Pool = builder().units_keep_signal_mask().build().expect("a pool");
    let strict: Pool = builder().build().expect("a pool");
    let tokio = blocking_runtime(workers, Duration::from_secs(60));
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(workers.min(64))
        .build()
        .expect("a rayon pool");

    let end = |ended: Arc<AtomicUsize>| {
        ended.fetch_add(1, Ordering::AcqRel);
    };
    let mut subjects = vec![
        Subject::ours("rivix Pool::spawn", |out| {
            let spawn = |ended| {
                let ticket = pool.spawn(move |_| end(ended));
                ticket.expect("a place in the queue").detach();
            };
            out.push(rate(spawners, units, spawn) / 1e3);
        }),
        Subject::ours("rivix, mask restored", |out| {
            let spawn = |ended| {
                let ticket = strict.spawn(move |_| end(ended));
                ticket.expect("a place in the queue").detach();
            };
            out.push(rate(spawners, units, spawn) / 1e3);
        }),
        Subject::peer("tokio spawn_blocking", |out| {
            let spawn = |ended| drop(tokio.spawn_blocking(move || end(ended)));
            out.push(rate(spawners, units, spawn) / 1e3);
        }),
    ];
    if workers != MANY {
        subjects.push(Subject::peer("rayon::spawn", |out| {
            let spawn = |ended| rayon.spawn(move || end(ended));
            out.push(rate(spawners, units, spawn) / 1e3);
        }));
    }
    // A sample takes some 10 ms, in which a host's scheduler decides much.
    let rounds = if workers == MANY { 2 } else { 12 };
    interleave(&mut row, settings.rounds() * rounds, subjects);
    let ratio = match (row.ours(), row.named("tokio spawn_blocking")) {
        (Some(ours), Some(peer)) => ours.p50 / peer.p50,
        _ => f64::NAN,
    };
    row.target(
        "at least tokio's",
        format!("{ratio:.2} times tokio"),
        ratio >= 1.0,
    );
    row
}
