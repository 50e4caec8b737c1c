//! What the kernel tells us while guests run.

use rivix_abi::signal::SigInfo;
use rivix_sync::{Mutex, level};
use rivix_syscalls::strace::Strace;
use rivix_task::{Abi, CurrentTask, ExitStatus, KernelHooks, Outcome, SysResult, SyscallTracer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) struct Hooks {
    strace: Option<Arc<Strace>>,
    counter: Option<Arc<Counter>>,
    on_stop: Option<OnStop>,
}

/// Called with the process id.
pub(crate) type OnStop = Box<dyn Fn(i32) + Send + Sync>;

impl Hooks {
    pub(crate) fn new(
        strace: Option<Arc<Strace>>,
        counter: Option<Arc<Counter>>,
        on_stop: Option<OnStop>,
    ) -> Hooks {
        Hooks {
            strace,
            counter,
            on_stop,
        }
    }
}

/// Counts calls by number, and threads that exist at once.
#[derive(Default)]
pub(crate) struct Counter(Mutex<level::Stats, Counts>);

#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) calls: BTreeMap<u64, u64>,
    pub(crate) teaching_calls: BTreeMap<(Abi, u64), u64>,
    threads: BTreeSet<i32>,
    pub(crate) threads_peak: usize,
}

/// A guest may try every number there is; those beyond are not told apart.
const LAST_NUMBER: u64 = 4095;

impl Counter {
    pub(crate) fn read(&self) -> Counts {
        self.0.lock().clone()
    }
}

/// Tells a trace and a counter, whichever there is.
struct Both {
    strace: Option<Arc<Strace>>,
    counter: Option<Arc<Counter>>,
}

impl SyscallTracer for Both {
    fn enter(&self, task: &CurrentTask, number: u64, args: &[u64; 6]) {
        if let Some(counter) = &self.counter {
            let mut counts = counter.0.lock();
            let (abi, number) = (task.abi(), number.min(LAST_NUMBER));
            let count = match abi {
                Abi::Linux => counts.calls.entry(number).or_insert(0),
                _ => counts.teaching_calls.entry((abi, number)).or_insert(0),
            };
            *count += 1;
            counts.threads.insert(task.tid());
            counts.threads_peak = counts.threads_peak.max(counts.threads.len());
        }
        if let Some(strace) = &self.strace {
            strace.enter(task, number, args);
        }
    }

    fn exit(&self, task: &CurrentTask, number: u64, args: &[u64; 6], result: &SysResult<Outcome>) {
        if let Some(strace) = &self.strace {
            strace.exit(task, number, args, result);
        }
    }

    fn signal(&self, task: &CurrentTask, info: &SigInfo) {
        if let Some(strace) = &self.strace {
            strace.signal(task, info);
        }
    }

    fn thread_exit(&self, task: &CurrentTask, status: ExitStatus) {
        if let Some(counter) = &self.counter {
            counter.0.lock().threads.remove(&task.tid());
        }
        if let Some(strace) = &self.strace {
            strace.thread_exit(task, status);
        }
    }
}

/// How long the end of a process waits for its trace to be written.
const FLUSH: Duration = Duration::from_secs(1);

impl KernelHooks for Hooks {
    fn foreign_program(&self, path: &[u8], why: &str) {
        let path = String::from_utf8_lossy(path);
        // The loader's sentence names the file at fault.
        if why.starts_with(&*path) {
            tracing::warn!(target: "rivix_hint", "{why}");
        } else {
            tracing::warn!(target: "rivix_hint", "{path}: {why}");
        }
    }

    fn process_ending(&self, _: i32) {
        if let Some(strace) = &self.strace {
            strace.flush_until(Instant::now() + FLUSH);
        }
    }

    fn continues_stopped(&self) -> bool {
        self.on_stop.is_some()
    }

    fn process_stopped(&self, pid: i32) {
        if let Some(on_stop) = &self.on_stop {
            on_stop(pid);
        }
    }

    fn tracer(&self) -> Option<Arc<dyn SyscallTracer>> {
        if self.strace.is_none() && self.counter.is_none() {
            return None;
        }
        Some(Arc::new(Both {
            strace: self.strace.clone(),
            counter: self.counter.clone(),
        }))
    }
}
