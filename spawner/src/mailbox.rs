//! The creator's mailbox.
//!
//! Not a channel of a library: a message that was sent must not rest in a queue
//! that nobody reads any more (bounded channels keep such messages until the
//! last sender goes), sending must never wait, and the models must check the
//! queue that runs.

use rivix_sync::{Mutex, Parker, level};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

pub(crate) enum Received<T> {
    Message(T),
    TimedOut,
    /// Every sender is gone.
    Ended,
}

/// Messages that fit without allocating.
const CAPACITY: usize = 64;

struct Shared<T> {
    queue: Mutex<level::Worker, (VecDeque<T>, Ends)>,
    filled: Parker,
}

struct Ends {
    is_sender_gone: bool,
    is_receiver_gone: bool,
}

pub(crate) struct Sender<T>(Arc<Shared<T>>);
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let ends = Ends {
        is_sender_gone: false,
        is_receiver_gone: false,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new((VecDeque::with_capacity(CAPACITY), ends)),
        filled: Parker::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Never waits. The message comes back when nobody reads any more.
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        {
            let mut queue = self.0.queue.lock();
            if queue.1.is_receiver_gone {
                return Err(message);
            }
            queue.0.push_back(message);
        }
        self.0.filled.unpark();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.queue.lock().1.is_sender_gone = true;
        self.0.filled.unpark();
    }
}

impl<T> Receiver<T> {
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Received<T> {
        loop {
            {
                let mut queue = self.0.queue.lock();
                if let Some(message) = queue.0.pop_front() {
                    return Received::Message(message);
                }
                if queue.1.is_sender_gone {
                    return Received::Ended;
                }
            }
            if !self.0.filled.park_until(deadline) && deadline.is_some() {
                return Received::TimedOut;
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue.lock();
            queue.1.is_receiver_gone = true;
            std::mem::take(&mut queue.0)
        };
        drop(left);
    }
}
