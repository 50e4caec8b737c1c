//! What the kernel tells us while guests run.

use rivix_syscalls::strace::Strace;
use rivix_task::{KernelHooks, SyscallTracer};
use std::io::Write;
use std::sync::Arc;

pub(crate) struct Hooks {
    tracer: Option<Arc<dyn SyscallTracer>>,
}

impl Hooks {
    pub(crate) fn new(strace: Option<Box<dyn Write + Send>>) -> Hooks {
        Hooks {
            tracer: strace.map(|sink| Strace::new(sink) as Arc<dyn SyscallTracer>),
        }
    }
}

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

    fn tracer(&self) -> Option<Arc<dyn SyscallTracer>> {
        self.tracer.clone()
    }
}
