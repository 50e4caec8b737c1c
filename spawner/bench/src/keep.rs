//! What idle workers cost, how soon there are few enough of them, and how fast
//! they go.

use crate::Settings;
use crate::measure::{Row, Samples, Subject, interleave, until};
use crate::spawn::blocking_runtime;
use anyhow::{Context, Result, ensure};
use rivix_spawner::{Close, Creator, Pool};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const IDLE: usize = 100;

pub(crate) fn rows(settings: &Settings, rows: &mut Vec<Row>) -> Result<()> {
    if settings.wants("idle cap under a burst of 1,000") {
        rows.push(burst(settings));
    }
    if settings.wants("RSS per idle worker") {
        rows.push(rss(settings)?);
    }
    if settings.wants("close with 100 idle") {
        rows.push(close(settings));
    }
    Ok(())
}

/// 1,000 units at once on a pool that keeps 8.
fn burst(settings: &Settings) -> Row {
    const KEEP: usize = 8;
    const UNITS: usize = 1_000;
    let mut row = Row::new("idle cap under a burst of 1,000: time to settle", "ms");
    let (mut settled, mut most_idle, mut most_live) = (Samples::default(), 0, 0);
    for _ in 0..settings.rounds() * 2 {
        let creator = Creator::start().expect("a creator");
        let pool: Pool = Pool::builder(&creator, ())
            .max_idle(KEEP)
            .build()
            .expect("a pool");
        let origin = Instant::now();
        let last_ns = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                while !is_over.load(Ordering::Acquire) {
                    most = most.max(pool.stats().idle);
                    std::thread::sleep(Duration::from_micros(20));
                }
                most
            });
            for _ in 0..UNITS {
                let (ended, last_ns) = (ended.clone(), last_ns.clone());
                let unit = move |_: &mut _| {
                    std::thread::sleep(Duration::from_millis(1));
                    let now = u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    last_ns.fetch_max(now, Ordering::AcqRel);
                    ended.fetch_add(1, Ordering::AcqRel);
                };
                pool.spawn(unit).expect("a worker").detach();
            }
            let calm = until(Duration::from_secs(20), || {
                let stats = pool.stats();
                ended.load(Ordering::Acquire) == UNITS
                    && stats.live == stats.idle
                    && stats.idle <= KEEP
            });
            let took = origin.elapsed().as_nanos() as f64 - last_ns.load(Ordering::Acquire) as f64;
            settled.0.push(if calm { took / 1e6 } else { f64::MAX });
            is_over.store(true, Ordering::Release);
            let seen = watcher.join().unwrap_or(usize::MAX);
            most_idle = most_idle.max(seen).max(pool.stats().peak_idle);
        });
        most_live = most_live.max(pool.stats().peak_live);
    }
    row.figure("rivix Pool, 8 kept", true, &settled);
    row.note(format!("at most {most_live} workers at once"));
    row.target("never above the cap of 8", most_idle, most_idle <= KEEP);
    row.target(
        "settled in less than 50 ms",
        format!("{:.2} ms at worst", settled.max()),
        settled.max() < 50.0,
    );
    row
}

/// Each figure is a fresh process's, whose C library keeps no stacks of ended
/// threads: a used stack has its pages already.
fn rss(settings: &Settings) -> Result<Row> {
    let mut row = Row::new("RSS per idle worker", "KiB");
    let subjects = [
        ("rivix Pool worker", true, "rss-pool"),
        ("std::thread, parked", false, "rss-std"),
    ];
    let mut samples = [Samples::default(), Samples::default()];
    for _ in 0..settings.rounds() {
        for ((_, _, child), samples) in subjects.iter().zip(&mut samples) {
            let output = Command::new(std::env::current_exe()?)
                .args(["--child", child])
                .env("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0")
                .output()?;
            ensure!(output.status.success(), "{child}: {}", output.status);
            let text = String::from_utf8_lossy(&output.stdout);
            samples
                .0
                .push(text.trim().parse().context(child.to_owned())?);
        }
    }
    for ((name, is_ours, _), samples) in subjects.iter().zip(&samples) {
        row.figure(name, *is_ours, samples);
    }
    let ours = samples[0].p50();
    row.target("at most 12 KiB", format!("{ours:.2} KiB"), ours <= 12.0);
    Ok(row)
}

/// The work of a child process: prints KiB per idle thread.
pub(crate) fn child(which: &str) -> Result<()> {
    let per_thread = |before: f64| (rss_kib().unwrap_or(f64::NAN) - before) / IDLE as f64;
    match which {
        "rss-pool" => {
            let creator = Creator::start()?;
            // Code and data that the first worker touches are touched for all.
            idle_pool(&creator, 1).close(Close::Drain);
            let before = rss_kib()?;
            let pool = idle_pool(&creator, IDLE);
            println!("{}", per_thread(before));
            pool.close(Close::Drain);
        }
        "rss-std" => {
            let park = |count: usize| {
                let barrier = Arc::new(Barrier::new(count + 1));
                let is_over = Arc::new(AtomicBool::new(false));
                let threads: Vec<_> = (0..count)
                    .map(|_| {
                        let (barrier, is_over) = (barrier.clone(), is_over.clone());
                        std::thread::spawn(move || {
                            barrier.wait();
                            while !is_over.load(Ordering::Acquire) {
                                std::thread::park();
                            }
                        })
                    })
                    .collect();
                barrier.wait();
                std::thread::sleep(Duration::from_millis(20));
                (threads, is_over)
            };
            let end = |(threads, is_over): (Vec<std::thread::JoinHandle<()>>, Arc<AtomicBool>)| {
                is_over.store(true, Ordering::Release);
                for thread in threads {
                    thread.thread().unpark();
                    drop(thread.join());
                }
            };
            end(park(1));
            let before = rss_kib()?;
            let parked = park(IDLE);
            println!("{}", per_thread(before));
            end(parked);
        }
        other => anyhow::bail!("no child is called {other}"),
    }
    Ok(())
}

fn rss_kib() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no Rss")?.parse()?)
}

/// A pool with exactly `count` idle workers.
fn idle_pool(creator: &Creator, count: usize) -> Pool {
    let pool: Pool = Pool::builder(creator, ())
        .max_idle(count)
        .idle_timeout(Duration::from_secs(60))
        .build()
        .expect("a pool");
    let barrier = Arc::new(Barrier::new(count + 1));
    for _ in 0..count {
        let barrier = barrier.clone();
        let unit = move |_: &mut _| {
            barrier.wait();
        };
        pool.spawn(unit).expect("a worker").detach();
    }
    barrier.wait();
    let all_idle = until(Duration::from_secs(5), || pool.stats().idle == count);
    assert!(all_idle, "the workers did not become idle");
    std::thread::sleep(Duration::from_millis(5));
    pool
}

fn close(settings: &Settings) -> Row {
    let mut row = Row::new("close with 100 idle", "ms");
    let creator = Creator::start().expect("a creator");
    let count = settings.scaled(4).max(1);
    let subjects = vec![
        Subject::ours("rivix Pool::close", |out| {
            for _ in 0..count {
                let pool = idle_pool(&creator, IDLE);
                let start = Instant::now();
                pool.close(Close::Drain);
                out.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }),
        Subject::peer("rayon drop + wait", |out| {
            for _ in 0..count {
                let close = rayon_with_idle();
                let start = Instant::now();
                close();
                out.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }),
        Subject::peer("tokio runtime drop", |out| {
            for _ in 0..count {
                let tokio = tokio_with_idle();
                let start = Instant::now();
                drop(tokio);
                out.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }),
    ];
    interleave(&mut row, settings.rounds(), subjects);
    let most = row.ours().map_or(f64::NAN, |figure| figure.max);
    row.target(
        "less than 20 ms",
        format!("{most:.2} ms at worst"),
        most < 20.0,
    );
    row
}

/// rayon's drop does not wait: its exit handler tells when the last thread goes.
fn rayon_with_idle() -> impl FnOnce() {
    let left = Arc::new(AtomicUsize::new(IDLE));
    let counter = left.clone();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(IDLE)
        .exit_handler(move |_| {
            counter.fetch_sub(1, Ordering::AcqRel);
        })
        .build()
        .expect("a rayon pool");
    pool.broadcast(|_| ());
    std::thread::sleep(Duration::from_millis(20));
    move || {
        drop(pool);
        until(Duration::from_secs(5), || left.load(Ordering::Acquire) == 0);
    }
}

fn tokio_with_idle() -> tokio::runtime::Runtime {
    let tokio = blocking_runtime(IDLE, Duration::from_secs(60));
    let barrier = Arc::new(Barrier::new(IDLE + 1));
    for _ in 0..IDLE {
        let barrier = barrier.clone();
        drop(tokio.spawn_blocking(move || {
            barrier.wait();
        }));
    }
    barrier.wait();
    std::thread::sleep(Duration::from_millis(20));
    tokio
}
