//! The only caller of the host's thread creation.
//!
//! A new thread takes its signal mask, affinity, nice value and class from the
//! thread that makes it. One persistent thread makes them all, so that a worker
//! never inherits what a spawner's caller happened to have set.
//!
//! - **Invariant C1:** the creator runs only code of this crate, and never
//!   waits for a unit or for a living thread.
//! - **Invariant C2:** who must not wait (a worker, the creator itself) drops
//!   the last handle without joining; the creator then ends by itself.

use crate::mailbox::{Received, Receiver, Sender, mailbox};
use crate::panics::catch;
use crate::{Name, current, fault, host};
use nix::errno::Errno;
use rivix_sync::sys::thread::{self, JoinHandle};
use rivix_sync::{Mutex, level};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A thread to be made.
pub(crate) trait Birth: Send + Sync {
    fn name(&self) -> Name;
    /// Bytes of stack.
    fn stack(&self) -> usize;
    /// The new thread's whole life.
    fn live(self: Arc<Self>);
    /// The thread exists.
    fn born(&self, handle: JoinHandle<()>);
    /// The host refused.
    fn refused(&self, errno: Errno);
}

/// Somebody who may want threads, asked on the creator for how many.
pub(crate) trait Wants: Send + Sync {
    /// Makes what is wanted, through [`create_here`]. When to ask again, if the
    /// host refused.
    fn make_wanted(self: Arc<Self>) -> Option<Instant>;
}

enum Request {
    Create(Arc<dyn Birth>),
    Want(Arc<dyn Wants>),
    /// A thread at its end that nobody else will join.
    Adopt(JoinHandle<()>),
    Stop,
}

/// A handle to a creator thread. The thread ends with the last handle, or at
/// [`Creator::close`]. Pools hold one each.
#[derive(Clone)]
pub struct Creator {
    inner: Arc<Inner>,
}

struct Inner {
    mailbox: Option<Sender<Request>>,
    thread: Mutex<level::Worker, Option<JoinHandle<()>>>,
}

const STACK: usize = 256 << 10;

impl Creator {
    /// Starts a creator. Its threads will have the caller's affinity, nice
    /// value and class of this moment, and every signal blocked.
    ///
    /// # Errors
    /// The host's error number when it refuses the thread.
    pub fn start() -> Result<Creator, Errno> {
        let (sender, requests) = mailbox();
        let thread = thread::spawn("rivix-creator", STACK, move || run(&requests))
            .map_err(|error| host::errno_of(&error))?;
        Ok(Creator {
            inner: Arc::new(Inner {
                mailbox: Some(sender),
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Has the thread made; `birth` hears of it. Waits for room in the mailbox
    /// at most; on the creator itself the thread is made here and now.
    pub(crate) fn create(&self, birth: Arc<dyn Birth>) {
        if current::is_creator() {
            create_here(&birth);
        } else if let Err(Request::Create(birth)) = self.send(Request::Create(birth)) {
            birth.refused(Errno::ESHUTDOWN);
        }
    }

    /// Has `wants` asked soon. Never waits and never allocates.
    pub(crate) fn want(&self, wants: Arc<dyn Wants>) -> Result<(), Errno> {
        match &self.inner.mailbox {
            Some(mailbox) => mailbox
                .try_send(Request::Want(wants))
                .map_err(|_| Errno::EAGAIN),
            None => Err(Errno::ESHUTDOWN),
        }
    }

    /// Takes over a thread that is at its end.
    pub(crate) fn adopt(&self, handle: JoinHandle<()>) {
        // Refused: the creator has gone; a dropped handle frees its thread too.
        let _ = self.send(Request::Adopt(handle));
    }

    fn send(&self, request: Request) -> Result<(), Request> {
        match &self.inner.mailbox {
            Some(mailbox) => mailbox.send(request),
            None => Err(request),
        }
    }

    /// Ends the creator: later requests are refused with ESHUTDOWN. Waits for
    /// the thread, except on a worker or on the creator itself.
    pub fn close(&self) {
        let _ = self.send(Request::Stop);
        self.inner.end();
    }
}

impl Inner {
    fn end(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && !current::is_ours()
        {
            join(thread);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.mailbox.take());
        self.end();
    }
}

/// Our threads keep panics to themselves: a join has nothing to report.
pub(crate) fn join(handle: JoinHandle<()>) {
    let _ = handle.join();
}

fn run(requests: &Receiver<Request>) {
    current::set_creator();
    host::block_signals();
    let mut adopted: Vec<JoinHandle<()>> = Vec::new();
    let mut retries: Vec<(Instant, Weak<dyn Wants>)> = Vec::new();
    loop {
        let next = retries.iter().map(|(at, _)| *at).min();
        let outcome = match requests.receive(next) {
            Received::Message(Request::Stop) | Received::Ended => break,
            Received::Message(Request::Create(birth)) => catch(|| {
                create_here(&birth);
            }),
            Received::Message(Request::Want(wants)) => catch(|| ask(wants, &mut retries)),
            Received::Message(Request::Adopt(handle)) => {
                adopted.push(handle);
                Ok(())
            }
            Received::TimedOut => catch(|| ask_due(&mut retries)),
        };
        if outcome.is_err() {
            // A tracing layer of the embedder may panic; the creator must not.
            tracing::error!("the creator met a panic");
        }
        adopted = adopted.into_iter().filter_map(unless_finished).collect();
    }
    adopted.into_iter().for_each(join);
}

fn unless_finished(handle: JoinHandle<()>) -> Option<JoinHandle<()>> {
    if !thread::is_finished(&handle) {
        return Some(handle);
    }
    join(handle);
    None
}

fn ask(wants: Arc<dyn Wants>, retries: &mut Vec<(Instant, Weak<dyn Wants>)>) {
    let again = Arc::downgrade(&wants);
    if let Some(at) = wants.make_wanted() {
        retries.push((at, again));
    }
}

fn ask_due(retries: &mut Vec<(Instant, Weak<dyn Wants>)>) {
    let now = Instant::now();
    let (due, later) = std::mem::take(retries)
        .into_iter()
        .partition(|(at, _)| *at <= now);
    *retries = later;
    let due: Vec<(Instant, Weak<dyn Wants>)> = due;
    for (_, wants) in due {
        if let Some(wants) = wants.upgrade() {
            ask(wants, retries);
        }
    }
}

/// Makes a thread on the calling thread, which is the creator. False: refused.
pub(crate) fn create_here(birth: &Arc<dyn Birth>) -> bool {
    let newborn = birth.clone();
    let made = fault::creation().and_then(|()| {
        let name = birth.name();
        thread::spawn(name.as_str(), birth.stack(), move || newborn.live())
            .map_err(|error| host::errno_of(&error))
    });
    match made {
        Ok(handle) => {
            birth.born(handle);
            true
        }
        Err(errno) => {
            birth.refused(errno);
            false
        }
    }
}
