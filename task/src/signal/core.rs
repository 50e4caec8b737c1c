//! Dumping a process (core(5)): when it is done, and how its threads are held
//! together until it is. What the file says is `core_file.rs`.

use super::core_file;
use crate::current::CurrentTask;
use crate::exit_status::ExitStatus;
use rivix_abi::Signal;
use rivix_abi::resource::Resource;
use rivix_abi::signal::SigInfo;
use rivix_isa::Registers;

/// The least limit at which a file is made: its headers need a page.
const LEAST_LIMIT: u64 = 4096;
/// PR_GET_DUMPABLE's value for processes that may be dumped (prctl(2)).
const DUMPABLE: u32 = 1;

/// A thread as the file shows it.
pub(crate) struct DumpedThread {
    pub(crate) tid: i32,
    pub(crate) regs: Registers,
    pub(crate) pending: u64,
    pub(crate) blocked: u64,
}

/// A core file in the making: the threads that have come to their end and wait there.
pub(crate) struct Gather {
    by: i32,
    arrived: Vec<DumpedThread>,
    /// The process was killed meanwhile.
    pub(crate) is_given_up: bool,
}

impl CurrentTask {
    /// A signal's default action that ends the process, and dumps it where that is
    /// allowed. The status says whether a file was written.
    pub(crate) fn dump_core(&mut self, signal: Signal, info: &SigInfo) {
        let status = |core| ExitStatus::Signal { signal, core };
        let group = self.group().clone();
        let limit = self.rlimit(Resource::Core).cur;
        if limit < LEAST_LIMIT || self.memory.traits.dumpable() != DUMPABLE {
            group.begin_exit(status(false));
            return;
        }
        {
            let mut signals = group.signals.lock();
            if signals.must_die(self.tid()) {
                // Somebody else ends the process.
                return;
            }
            signals.begin_exit(status(false));
            signals.core = Some(Gather {
                by: self.tid(),
                arrived: Vec::new(),
                is_given_up: false,
            });
        }
        let written = match self.gather_threads() {
            Some(others) => core_file::write(self, info, &others, limit),
            None => Err(rivix_abi::Errno::EINTR),
        };
        if let Err(errno) = &written {
            tracing::debug!(pid = self.pid(), ?errno, "no core file");
        }
        let mut signals = group.signals.lock();
        signals.core = None;
        if written.is_ok() {
            signals.exit = Some(status(true));
        }
        signals.kick_all();
    }

    /// Waits until all other threads have come to their end. None: killed meanwhile.
    fn gather_threads(&self) -> Option<Vec<DumpedThread>> {
        let own = self.tid();
        loop {
            self.kick().clear();
            {
                let mut signals = self.group().signals.lock();
                let signals = &mut *signals;
                let core = signals.core.as_mut().filter(|core| !core.is_given_up)?;
                let has_arrived = |tid: &i32| core.arrived.iter().any(|one| one.tid == *tid);
                if signals
                    .threads
                    .keys()
                    .all(|tid| *tid == own || has_arrived(tid))
                {
                    return Some(std::mem::take(&mut core.arrived));
                }
            }
            self.kick().park_until(None);
        }
    }

    /// A thread at its end leaves its registers to whoever dumps the process, and
    /// stays until the memory has been written.
    pub(crate) fn wait_for_dump(&self) {
        let own = self.tid();
        let mut has_arrived = false;
        loop {
            self.kick().clear();
            {
                let mut signals = self.group().signals.lock();
                let signals = &mut *signals;
                let Some(core) = &mut signals.core else {
                    return;
                };
                if core.by == own {
                    // It failed half-way; nobody need wait any longer.
                    signals.core = None;
                    signals.kick_all();
                    return;
                }
                if !has_arrived {
                    has_arrived = true;
                    let thread = signals.threads.get(&own);
                    core.arrived.push(DumpedThread {
                        tid: own,
                        regs: self.regs.clone(),
                        pending: thread.map_or(0, |t| t.pending.set()),
                        blocked: thread.map_or(0, |t| t.mask),
                    });
                    if let Some(by) = signals.threads.get(&core.by) {
                        by.task.kick().kick();
                    }
                }
            }
            self.kick().park_until(None);
        }
    }

    /// This thread as the file shows it.
    pub(crate) fn dumped(&self) -> DumpedThread {
        let signals = self.group().signals.lock();
        let thread = signals.threads.get(&self.tid());
        DumpedThread {
            tid: self.tid(),
            regs: self.regs.clone(),
            pending: thread.map_or(0, |t| t.pending.set()),
            blocked: thread.map_or(0, |t| t.mask),
        }
    }

    /// Was the process killed while it is dumped?
    pub(crate) fn is_dump_given_up(&self) -> bool {
        let signals = self.group().signals.lock();
        signals.core.as_ref().is_none_or(|core| core.is_given_up)
    }
}
