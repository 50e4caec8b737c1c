//! The only caller of the host's thread creation.
//!
//! A new thread takes its signal mask, affinity, nice value and class from the
//! thread that makes it. One persistent thread makes them all, so that a worker
//! never inherits what a spawner's caller happened to have set.
//!
//! - **Invariant C1:** the creator runs no unit, and never waits: not for a
//!   unit, not for a living thread, not for room in its own mailbox. What it
//!   drops is what no thread could be found for.
//! - **Invariant C2:** who must not wait (a worker, the creator itself) drops
//!   the last handle without joining; the creator then ends by itself.
//! - **Invariant C3:** every request is answered. One that a creator no longer
//!   reads answers as it is dropped.

use crate::mailbox::{Received, Receiver, Sender, mailbox};
use crate::panics::catch;
use crate::{Name, current, fault, host};
use nix::errno::Errno;
use rivix_sync::sys::atomic::{AtomicBool, Ordering};
use rivix_sync::sys::mutant;
use rivix_sync::sys::thread::{self, JoinHandle};
use rivix_sync::{Mutex, level};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A thread to be made.
pub(crate) trait Birth: Send + Sync {
    fn name(&self) -> Name;
    /// Bytes of stack.
    fn stack(&self) -> usize;
    /// Asked once before the thread is made; false: it need not be, any more.
    fn is_wanted(&self) -> bool;
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

    /// The creator has gone: no thread will come.
    fn unanswered(&self);
}

enum Request {
    Create(Asked),
    Want(Wanted),
    /// A thread at its end that nobody else will join.
    Adopt(JoinHandle<()>),
    Stop,
}

/// A birth that is asked for; dropped unanswered, it is refused (C3).
struct Asked(Option<Arc<dyn Birth>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(birth) = self.0.take()
            && !mutant("creator-silent-end")
        {
            birth.refused(Errno::ESHUTDOWN);
        }
    }
}

/// As [`Asked`], for one who wants threads.
struct Wanted(Option<Arc<dyn Wants>>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(wants) = self.0.take() {
            wants.unanswered();
        }
    }
}

/// A handle to a creator thread. The thread ends with the last handle, or at
/// [`Creator::close`]. Pools hold one each.
#[derive(Clone)]
pub struct Creator {
    inner: Arc<Inner>,
}

struct Inner {
    mailbox: Option<Sender<Request>>,
    is_stopped: Arc<AtomicBool>,
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
        let is_stopped = Arc::new(AtomicBool::new(false));
        let seen = is_stopped.clone();
        let thread = thread::spawn("rivix-creator", STACK, move || run(requests, &seen))
            .map_err(|error| host::errno_of(&error))?;
        Ok(Creator {
            inner: Arc::new(Inner {
                mailbox: Some(sender),
                is_stopped,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// One that makes nothing, for models that have no thread to spare.
    #[cfg(all(test, rivix_loom))]
    pub(crate) fn absent() -> Creator {
        Creator {
            inner: Arc::new(Inner {
                mailbox: None,
                is_stopped: Arc::new(AtomicBool::new(true)),
                thread: Mutex::new(None),
            }),
        }
    }

    /// Has the thread made; `birth` hears of it. Never waits; on the creator
    /// itself the thread is made here and now.
    pub(crate) fn create(&self, birth: Arc<dyn Birth>) {
        if current::is_creator() {
            create_here(&birth);
        } else {
            // Not sent: the birth is refused as the request is dropped.
            let _ = self.send(Request::Create(Asked(Some(birth))));
        }
    }

    /// Has `wants` asked soon, or told that nobody will. Never waits.
    pub(crate) fn want(&self, wants: Arc<dyn Wants>) {
        // Not sent: it is told as the request is dropped.
        let _ = self.send(Request::Want(Wanted(Some(wants))));
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
        // The mark stops it at once, the message wakes it.
        self.inner.is_stopped.store(true, Ordering::Release);
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

fn run(requests: Receiver<Request>, is_stopped: &AtomicBool) {
    current::set_creator();
    host::block_signals();
    let mut adopted: Vec<JoinHandle<()>> = Vec::new();
    let mut retries: Vec<(Instant, Weak<dyn Wants>)> = Vec::new();
    loop {
        let next = retries.iter().map(|(at, _)| *at).min();
        let outcome = match requests.receive(next) {
            Received::Message(Request::Stop) | Received::Ended => break,
            Received::Message(Request::Create(mut asked)) => catch(|| {
                if let Some(birth) = asked.0.take() {
                    create_here(&birth);
                }
            }),
            Received::Message(Request::Want(wanted)) => catch(|| ask(wanted, &mut retries)),
            Received::Message(Request::Adopt(handle)) => {
                adopted.push(handle);
                Ok(())
            }
            Received::TimedOut => catch(|| ask_due(&mut retries)),
        };
        if outcome.is_err() {
            // A tracing layer of the embedder may panic; the creator must not.
            let _ = catch(|| tracing::error!("the creator met a panic"));
        }
        // A thread that has returned from its body may still run destructors
        // that want a thread from here: it is let go, not joined.
        adopted.retain(|handle| !thread::is_finished(handle));
        if is_stopped.load(Ordering::Acquire) {
            break;
        }
    }
    // Whoever is still in the mailbox is refused now (C3), and so is whoever
    // comes while the last threads are joined.
    drop(requests);
    for (_, wants) in retries {
        if let Some(wants) = wants.upgrade() {
            wants.unanswered();
        }
    }
    adopted.into_iter().for_each(join);
}

fn ask(mut wanted: Wanted, retries: &mut Vec<(Instant, Weak<dyn Wants>)>) {
    let Some(wants) = wanted.0.take() else { return };
    let again = Arc::downgrade(&wants);
    retries.retain(|(_, waiting)| !Weak::ptr_eq(waiting, &again));
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
            ask(Wanted(Some(wants)), retries);
        }
    }
}

/// Makes a thread on the calling thread, which is the creator. False: refused.
pub(crate) fn create_here(birth: &Arc<dyn Birth>) -> bool {
    if !birth.is_wanted() {
        return true;
    }
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
