//! A whole executor under random schedules.

use super::*;
use rivix_sync::sys::atomic::AtomicUsize;
use rivix_sync::sys::thread;
use rivix_sync::{Mutex, level};
use std::pin::Pin;
use std::sync::Mutex as StdMutex;
use std::task::{Context, Poll, Waker};

/// Pending until another thread fires it.
#[derive(Default)]
struct Event {
    is_set: AtomicUsize,
    waker: Mutex<level::Stats, Option<Waker>>,
}

impl Event {
    fn set(&self) {
        self.is_set.store(1, Ordering::SeqCst);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Wait(Arc<Event>);

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let fresh = context.waker().clone();
        let old = self.0.waker.lock().replace(fresh);
        drop(old);
        if self.0.is_set.load(Ordering::SeqCst) == 1 {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

fn start(workers: usize, threads: &Arc<StdMutex<Vec<thread::JoinHandle<()>>>>) -> Executor {
    let threads = threads.clone();
    Executor::start(workers, move |name, body| {
        let thread = thread::spawn(name, 0, body)?;
        threads.lock().unwrap().push(thread);
        Ok::<(), std::io::Error>(())
    })
    .unwrap()
}

fn join(threads: &StdMutex<Vec<thread::JoinHandle<()>>>) {
    let threads = std::mem::take(&mut *threads.lock().unwrap());
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Three workers, two producers whose fibers wait for wakes from outside, and
/// a drain: every fiber runs to its end, every handle has its outcome.
#[test]
fn model_whole_executor() {
    shuttle::check_pct(
        || {
            let threads = Arc::new(StdMutex::new(Vec::new()));
            let executor = start(3, &threads);
            let ended = Arc::new(AtomicUsize::new(0));
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    let (executor, ended) = (executor.clone(), ended.clone());
                    thread::spawn("producer", 0, move || {
                        let events = [(); 2].map(|()| Arc::new(Event::default()));
                        let handles = events.clone().map(|event| {
                            let ended = ended.clone();
                            executor
                                .spawn(async move {
                                    Wait(event).await;
                                    ended.fetch_add(1, Ordering::SeqCst);
                                })
                                .unwrap()
                        });
                        for event in &events {
                            event.set();
                        }
                        for handle in handles {
                            handle.wait().unwrap();
                        }
                    })
                    .unwrap()
                })
                .collect();
            for producer in producers {
                producer.join().unwrap();
            }
            assert_eq!(ended.load(Ordering::SeqCst), 4);
            executor.close(Close::Drain);
            join(&threads);
            assert_eq!(executor.stats().live, 0);
        },
        800,
        3,
    );
}

/// Closing against spawns, wakes and cancels: whatever was spawned resolves.
#[test]
fn model_close_against_everything() {
    shuttle::check_pct(
        || {
            let threads = Arc::new(StdMutex::new(Vec::new()));
            let executor = start(3, &threads);
            let producer = {
                let executor = executor.clone();
                thread::spawn("producer", 0, move || {
                    let event = Arc::new(Event::default());
                    for turn in 0..3 {
                        let wait = Wait(event.clone());
                        let Ok(handle) = executor.spawn(wait) else {
                            return;
                        };
                        match turn {
                            0 => event.set(),
                            1 => {
                                handle.cancel();
                            }
                            _ => {}
                        }
                        let is_ready = handle.wait().is_ok();
                        assert!(turn > 0 || is_ready || executor.is_closed());
                        event.is_set.store(0, Ordering::SeqCst);
                        if turn == 1 {
                            return;
                        }
                    }
                })
                .unwrap()
            };
            executor.close(Close::Cancel);
            producer.join().unwrap();
            join(&threads);
            assert_eq!(executor.stats().live, 0);
        },
        800,
        3,
    );
}
