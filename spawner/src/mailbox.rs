//! The creator's mailbox: crossbeam's bounded channel, or under a model a plain
//! queue of the same behaviour.

use std::time::Instant;

pub(crate) enum Received<T> {
    Message(T),
    TimedOut,
    /// Every sender is gone.
    Ended,
}

/// Messages that fit without waiting and without allocating.
#[cfg(not(rivix_model))]
const CAPACITY: usize = 1024;

#[cfg(not(rivix_model))]
mod set {
    use super::*;
    use crossbeam_channel::RecvTimeoutError;

    pub(crate) struct Sender<T>(crossbeam_channel::Sender<T>);
    pub(crate) struct Receiver<T>(crossbeam_channel::Receiver<T>);

    pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Sender<T> {
        /// Waits while the mailbox is full. The message comes back when nobody reads any more.
        pub(crate) fn send(&self, message: T) -> Result<(), T> {
            self.0.send(message).map_err(|refused| refused.0)
        }

        /// Never waits, never allocates.
        pub(crate) fn try_send(&self, message: T) -> Result<(), T> {
            self.0
                .try_send(message)
                .map_err(|refused| refused.into_inner())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn receive(&self, deadline: Option<Instant>) -> Received<T> {
            let Some(deadline) = deadline else {
                return self.0.recv().map_or(Received::Ended, Received::Message);
            };
            match self.0.recv_deadline(deadline) {
                Ok(message) => Received::Message(message),
                Err(RecvTimeoutError::Timeout) => Received::TimedOut,
                Err(RecvTimeoutError::Disconnected) => Received::Ended,
            }
        }
    }
}

#[cfg(rivix_model)]
mod set {
    use super::*;
    use rivix_sync::{Mutex, Parker, level};
    use std::collections::VecDeque;
    use std::sync::Arc;

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
            queue: Mutex::new((VecDeque::new(), ends)),
            filled: Parker::new(),
        });
        (Sender(shared.clone()), Receiver(shared))
    }

    impl<T> Sender<T> {
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

        pub(crate) fn try_send(&self, message: T) -> Result<(), T> {
            self.send(message)
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
}

pub(crate) use set::{Receiver, Sender, mailbox};
