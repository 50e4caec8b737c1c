//! A new task's host thread: had first, so that nothing is seen of a task that
//! does not come to be, and begun last, when everything about it is in place.

use crate::current::CurrentTask;
use crate::error::RestartBlock;
use crate::guest_loop;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::task::Task;
use crate::worker_context::GuestWorker;
use rivix_abi::signal::StackT;
use rivix_abi::{Errno, UserAddress};
use rivix_fs::{FdTable, FsContext};
use rivix_isa::Registers;
use rivix_sync::Parker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a new task's thread needs to begin.
pub(crate) struct Birth {
    pub(crate) task: Arc<Task>,
    pub(crate) regs: Registers,
    pub(crate) memory: Arc<Memory>,
    pub(crate) files: Arc<FdTable>,
    pub(crate) fs: Arc<FsContext>,
    pub(crate) altstack: StackT,
    pub(crate) restart_block: Option<RestartBlock>,
    pub(crate) rseq: Option<crate::rseq::Registration>,
    pub(crate) child_tid_at: Option<UserAddress>,
}

const UNDECIDED: u8 = 0;
const GO: u8 = 1;
const NOT: u8 = 2;

/// Whether a thread that holds a birth begins. It is decided soon: between the
/// grant of the thread and the word there is no waiting.
#[derive(Default)]
struct Word {
    decided: AtomicU8,
    changed: Parker,
}

impl Word {
    fn decide(&self, word: u8) {
        self.decided.store(word, Ordering::Release);
        self.changed.unpark();
    }

    fn wait(&self) -> bool {
        loop {
            match self.decided.load(Ordering::Acquire) {
                UNDECIDED => self.changed.park(),
                word => return word == GO,
            }
        }
    }
}

/// A thread that holds a birth. Dropped, it lets the birth go and nothing began.
#[must_use = "a thread that is not told to begin never does"]
pub(crate) struct Hired(Option<Arc<Word>>);

impl Hired {
    /// The task begins to run.
    pub(crate) fn begin(mut self) {
        if let Some(word) = self.0.take() {
            word.decide(GO);
        }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if let Some(word) = self.0.take() {
            word.decide(NOT);
        }
    }
}

impl Kernel {
    /// Finds a host thread for a task that nobody can see yet.
    ///
    /// # Errors
    /// EAGAIN: the host refuses a thread, or the sandbox ends.
    pub(crate) fn hire(self: &Arc<Self>, birth: Birth) -> Result<Hired, Errno> {
        let tid = birth.task.tid();
        let name = format!("guest-{tid}");
        let kernel = self.clone();
        let word = Arc::<Word>::default();
        let hired = Hired(Some(word.clone()));
        let started = self
            .guest_workers()
            .spawn_named(&name, move |worker: &mut GuestWorker| {
                let may_begin = word.wait();
                drop(word);
                if !may_begin {
                    // What the birth holds goes here, as a dead task's would.
                    return drop(birth);
                }
                let Birth {
                    task,
                    regs,
                    memory,
                    files,
                    fs,
                    altstack,
                    restart_block,
                    rseq,
                    child_tid_at,
                } = birth;
                let mut current = CurrentTask::new(task, kernel, regs, memory, files, fs);
                current.altstack = altstack;
                current.restart_block = restart_block;
                current.rseq = crate::rseq::Rseq::inherited(rseq);
                current.child_tid_at.set(child_tid_at);
                guest_loop::run(current, worker);
            });
        match started {
            Ok(ticket) => {
                ticket.detach();
                Ok(hired)
            }
            Err(error) => {
                tracing::warn!(?error, tid, "the host refuses a thread for a guest task");
                Err(Errno::EAGAIN)
            }
        }
    }
}
