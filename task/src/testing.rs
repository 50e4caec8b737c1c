//! A kernel without guests, for tests.

use crate::{Kernel, KernelConfig, NoHooks};
use rivix_abi::Errno;
use rivix_engine::{CodeObject, Engine};
use rivix_mem::AddressSpace;
use std::sync::Arc;

/// Tests that use it run no guest code.
struct NoEngine;

impl Engine for NoEngine {
    fn name(&self) -> &'static str {
        "none"
    }

    fn code_object(&self, _: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        unreachable!("no guest runs here")
    }
}

pub(crate) fn kernel(max_tasks: usize) -> Arc<Kernel> {
    Kernel::new(KernelConfig {
        engine: Arc::new(NoEngine),
        syscalls: |_| Err(Errno::ENOSYS.into()),
        max_tasks,
        max_idle_threads: 2,
        instruction_budget: None,
        hostname: b"test".to_vec(),
        memory: Default::default(),
        hooks: Arc::new(NoHooks),
    })
    .unwrap()
}
