//! Memory: mappings, the break, advice, locking, memory files.

mod advice;
mod lock;
mod mapping;
mod memfd;

pub use advice::{madvise, mincore, msync};
pub use lock::{mlock, mlock2, mlockall, munlock, munlockall};
pub use mapping::{brk, mmap, mprotect, mremap, munmap};
pub use memfd::memfd_create;

use rivix_abi::resource::Resource;
use rivix_mem::MemLimits;
use rivix_task::{CurrentTask, cap};

/// Tells the address space the caller's limits as they are now. Every call that
/// they bound does so first: address spaces are shared between processes with
/// limits of their own (CLONE_VM).
pub(crate) fn apply_limits(task: &CurrentTask) {
    let of = |resource| task.rlimit(resource).cur;
    let may_lock = task.creds().has_cap(cap::IPC_LOCK);
    task.mm().set_limits(MemLimits {
        as_: of(Resource::As),
        data: of(Resource::Data),
        stack: of(Resource::Stack),
        memlock: if may_lock {
            u64::MAX
        } else {
            of(Resource::Memlock)
        },
    });
}
