//! A work queue: any number of items, one job, one thread at most. Items run in
//! order; `flush` waits for what is enqueued; `cancel` takes an item back, or
//! waits for it.
//!
//! `cargo run -p rivix-spawner --example workqueue`

use rivix_spawner::{Creator, Interlock, Job, NoContext, Pool, Scheduled, current};
use rivix_sync::Parker;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the queue's interlock guards.
struct Queue<W> {
    /// Items nobody has begun, and their numbers.
    waiting: VecDeque<(u64, W)>,
    /// The number of the item that runs.
    running: Option<u64>,
    next: u64,
    /// Who waits for the items below a number to be over.
    flushers: Vec<(u64, Arc<Parker>)>,
}

impl<W> Queue<W> {
    /// Are all items below `end` over?
    fn is_over(&self, end: u64) -> bool {
        let oldest = self.running.or(self.waiting.front().map(|item| item.0));
        oldest.is_none_or(|oldest| oldest >= end)
    }

    fn tell_flushers(&mut self) {
        let flushers = std::mem::take(&mut self.flushers);
        for (end, flusher) in flushers {
            match self.is_over(end) {
                true => flusher.unpark(),
                false => self.flushers.push((end, flusher)),
            }
        }
    }
}

struct WorkQueue<W: Send + 'static> {
    queue: Interlock<Queue<W>>,
    job: Job<Queue<W>>,
    pool: Pool,
}

impl<W: Send + 'static> WorkQueue<W> {
    fn new(name: &str, pool: &Pool, work: impl Fn(W) + Send + Sync + 'static) -> Self {
        let queue = Interlock::new(rivix_sync::Mutex::new(Queue {
            waiting: VecDeque::new(),
            running: None,
            next: 0,
            flushers: Vec::new(),
        }));
        let job = Job::new(name, &queue, move |job, running| {
            loop {
                let mut queue = job.lock();
                let Some((number, item)) = queue.waiting.pop_front() else {
                    // Nothing is left, and nobody can add to it before we are done.
                    return running.done(&queue);
                };
                queue.running = Some(number);
                drop(queue);
                work(item);
                let mut queue = job.lock();
                queue.running = None;
                queue.tell_flushers();
            }
        });
        WorkQueue {
            queue,
            job,
            pool: pool.clone(),
        }
    }

    /// Adds an item; its number. None: the pool takes no work any more.
    fn enqueue(&self, item: W) -> Option<u64> {
        let mut queue = self.queue.lock();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back((number, item));
        match self.job.schedule(&queue, &self.pool) {
            Scheduled::Refused | Scheduled::Cancelling => {
                queue.waiting.pop_back();
                None
            }
            // The run that is on its way, or under way, finds the item.
            Scheduled::Queued | Scheduled::Pending | Scheduled::Running => Some(number),
        }
    }

    /// Waits until the items enqueued before this call are over.
    fn flush(&self) {
        let parker = Arc::new(Parker::new());
        let mut queue = self.queue.lock();
        let end = queue.next;
        if queue.is_over(end) {
            return;
        }
        queue.flushers.push((end, parker.clone()));
        drop(queue);
        let _blocked = current::block();
        parker.park();
    }

    /// Takes an item back before it begins: true. One that runs is waited for,
    /// and one that is over is over: false.
    fn cancel(&self, number: u64) -> bool {
        let mut queue = self.queue.lock();
        if let Some(at) = queue.waiting.iter().position(|item| item.0 == number) {
            let item = queue.waiting.remove(at);
            queue.tell_flushers();
            drop(queue);
            drop(item);
            return true;
        }
        if queue.running != Some(number) {
            return false;
        }
        let parker = Arc::new(Parker::new());
        queue.flushers.push((number + 1, parker.clone()));
        drop(queue);
        let _blocked = current::block();
        parker.park();
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let creator = Creator::start()?;
    let pool = Pool::<NoContext>::builder(&creator, ()).build()?;

    // Order is kept, and one thread is enough, whoever enqueues.
    let (tell, told) = std::sync::mpsc::channel();
    let letters = Arc::new(WorkQueue::new("letters", &pool, move |item: u32| {
        let _ = tell.send(item);
    }));
    let senders: Vec<_> = (0..4u32)
        .map(|sender| {
            let letters = letters.clone();
            std::thread::spawn(move || {
                (0..250).all(|n| letters.enqueue(sender * 1000 + n).is_some())
            })
        })
        .collect();
    for sender in senders {
        assert!(sender.join().is_ok_and(|is_taken| is_taken));
    }
    letters.flush();
    let heard: Vec<u32> = told.try_iter().collect();
    assert_eq!(heard.len(), 1000);
    for sender in 0..4 {
        let own: Vec<u32> = heard
            .iter()
            .copied()
            .filter(|n| n / 1000 == sender)
            .collect();
        assert!(own.is_sorted(), "each sender's items run in order");
    }
    println!("1000 items of 4 senders, each in order, flushed");

    // Items behind one that runs can be taken back; the one that runs is waited for.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let gate = std::sync::Mutex::new(gate);
    let slow = WorkQueue::new("slow", &pool, move |item: &'static str| {
        if item == "first" {
            let _ = begin.send(());
            let _ = gate.lock().map(|gate| gate.recv());
        }
        let _ = tell.send(item);
    });
    let numbers = ["first", "second", "third"].map(|item| slow.enqueue(item));
    let [Some(first), Some(second), Some(_)] = numbers else {
        return Err("an open pool refused work".into());
    };
    begun.recv()?;
    assert!(slow.cancel(second), "it had not begun");
    assert!(!slow.cancel(second), "it is gone");
    go.send(())?;
    assert!(!slow.cancel(first), "it ran, and was waited for");
    assert_eq!(told.recv()?, "first");
    slow.flush();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["third"]);
    println!("the second of 3 taken back, the first waited for");

    let stats = pool.stats();
    assert!(stats.peak_live <= 2, "one thread for each queue at most");
    println!("{} threads made", stats.created);
    Ok(())
}
