//! /proc: the guest's processes and machine, in Linux's formats (proc(5)).

use crate::mount::Mount;
use crate::pseudo::PseudoDir;
use crate::{NodeRef, ProcInfo};
use std::sync::{Arc, OnceLock, Weak};

/// What every node of one procfs needs.
#[derive(Default)]
pub(crate) struct ProcShared {
    info: OnceLock<Weak<dyn ProcInfo>>,
    mounts: OnceLock<Vec<Weak<Mount>>>,
}

impl ProcShared {
    pub(crate) fn set_info(&self, info: Weak<dyn ProcInfo>) {
        let _ = self.info.set(info);
    }

    pub(crate) fn set_mounts(&self, mounts: &[Arc<Mount>]) {
        let _ = self.mounts.set(mounts.iter().map(Arc::downgrade).collect());
    }

    fn info(&self) -> Option<Arc<dyn ProcInfo>> {
        self.info.get()?.upgrade()
    }
}

pub(crate) fn new_root(_: &Arc<ProcShared>) -> NodeRef {
    PseudoDir::new(
        rivix_abi::stat::makedev(0, 21),
        rivix_abi::statfs::PROC_SUPER_MAGIC,
        Vec::new(),
    )
}
