//! Lanes as their users see them. Every wait has a bound.

mod close;
mod figures;
mod init;
mod order;
mod panics;
mod storage;
mod use_cases;

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

/// Threads of the test's own.
pub(super) fn host(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Join, Errno> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    let thread = thread.map_err(|_| Errno::EAGAIN)?;
    Ok(Box::new(move || thread.join().unwrap()))
}

pub(super) fn lanes() -> Lanes {
    Lanes::new(host)
}

pub(super) const KEY: LaneKey = LaneKey::new("test", 0);

/// Remembers what it is told.
#[derive(Default)]
pub(super) struct Log(pub(super) Vec<u64>);

impl Service for Log {
    type Utilities = ();

    fn init(_key: LaneKey) -> Self {
        Log::default()
    }

    fn utilities(&self) {}
}

/// Another service, to be called from the first.
#[derive(Default)]
pub(super) struct Other(pub(super) u64);

impl Service for Other {
    type Utilities = AtomicUsize;

    fn init(_key: LaneKey) -> Self {
        Other(100)
    }

    fn utilities(&self) -> AtomicUsize {
        AtomicUsize::new(7)
    }
}

/// Counts its drops.
pub(super) struct Spy(pub(super) Arc<AtomicUsize>);

impl Drop for Spy {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Ends the test run if it is not dropped in time: a hang must not look like a
/// slow machine.
pub(super) struct Watchdog(
    Option<mpsc::Sender<()>>,
    Option<std::thread::JoinHandle<()>>,
);

pub(super) fn within(limit: Duration) -> Watchdog {
    let (sender, receiver) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let thread = std::thread::spawn(move || {
        if receiver.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: not done within {limit:?}");
            std::process::abort();
        }
    });
    Watchdog(Some(sender), Some(thread))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0 = None;
        if let Some(thread) = self.1.take() {
            thread.join().unwrap();
        }
    }
}

/// Keeps the lane's runner busy until the sender is dropped; returns when it is.
pub(super) fn occupy<S: Service>(lane: &Lane<S>) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (begun, is_begun) = mpsc::channel();
    lane.submit(move |_| {
        begun.send(()).unwrap();
        let _ = held.recv_timeout(Duration::from_secs(60));
    })
    .unwrap();
    is_begun.recv_timeout(Duration::from_secs(60)).unwrap();
    release
}

pub(super) const LONG: Duration = Duration::from_secs(60);
