//! The only caller of the host's thread creation.

use super::worker::Worker;
use super::{Job, Shared, join};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use rivix_sync::{Mutex, level};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A thread to be made, born holding its first job.
struct Request {
    shared: Arc<Shared>,
    name: String,
    job: Job,
    answer: Sender<Result<(), (std::io::Error, Job)>>,
}

pub(crate) struct Creator {
    mailbox: Mutex<level::Pool, Option<Sender<Request>>>,
    thread: Mutex<level::Pool, Option<JoinHandle<()>>>,
}

impl Creator {
    pub(crate) fn start(stack: usize) -> std::io::Result<Creator> {
        let (sender, requests) = unbounded();
        let thread = std::thread::Builder::new()
            .name("rivix-creator".to_owned())
            .stack_size(256 << 10)
            .spawn(move || run(&requests, stack))?;
        Ok(Creator {
            mailbox: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn create(
        &self,
        shared: &Arc<Shared>,
        name: &str,
        job: Job,
    ) -> Result<(), (std::io::Error, Job)> {
        let closed = || std::io::Error::from_raw_os_error(nix::libc::ESHUTDOWN);
        let Some(mailbox) = self.mailbox.lock().clone() else {
            return Err((closed(), job));
        };
        let (answer, answered) = bounded(1);
        let request = Request {
            shared: shared.clone(),
            name: name.to_owned(),
            job,
            answer,
        };
        if let Err(refused) = mailbox.send(request) {
            return Err((closed(), refused.0.job));
        }
        answered
            .recv()
            .unwrap_or_else(|_| Err((closed(), Box::new(|| ()))))
    }

    /// Ends the creator; called after the last worker was joined.
    pub(crate) fn stop(&self) {
        drop(self.mailbox.lock().take());
        let thread = self.thread.lock().take();
        join(thread);
    }
}

fn run(requests: &Receiver<Request>, stack: usize) {
    // The embedder's signals belong to the embedder's threads. A guest thread
    // unblocks the few it needs.
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    for Request {
        shared,
        name,
        job,
        answer,
    } in requests
    {
        let worker = Worker::new(&name, job);
        let born = worker.clone();
        let made = std::thread::Builder::new()
            .name(name)
            .stack_size(stack)
            .spawn(move || born.run(&shared));
        let result = match made {
            Ok(handle) => {
                worker.keep_handle(handle);
                Ok(())
            }
            Err(error) => Err((error, worker.take_job().unwrap_or_else(|| Box::new(|| ())))),
        };
        // The asker may have been unwound; the thread runs all the same.
        let _ = answer.send(result);
    }
}
