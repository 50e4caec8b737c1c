//! Calls that answer ENOSYS on purpose: libraries probe for them and do
//! without. They are counted, and not reported as unknown.

use rivix_abi::Errno;
use rivix_task::{CurrentTask, SysResult};

macro_rules! later {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub fn $name(task: &mut CurrentTask) -> SysResult<()> {
            task.kernel().stats().count_unknown(task.syscall_number());
            Err(Errno::ENOSYS.into())
        })*
    };
}

later! {
    /// A running thread has no CPU number of its own yet.
    rseq
}
