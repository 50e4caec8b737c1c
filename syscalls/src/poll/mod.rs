//! Waiting for descriptors: epoll, poll, select, and the files made for it.

mod epoll;
mod eventfd2;
mod ppoll;
mod pselect6;
mod signalfd4;
mod timerfd;

pub use epoll::{epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2};
pub use eventfd2::eventfd2;
pub use ppoll::ppoll;
pub use pselect6::pselect6;
pub use signalfd4::signalfd4;
pub use timerfd::{timerfd_create, timerfd_gettime, timerfd_settime};

use crate::arg::Fd;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use rivix_abi::time::{CLOCK_MONOTONIC, Timespec};
use rivix_abi::{Errno, UserRef};
use rivix_fs::FileOps;
use rivix_fs::anon::AnonNode;
use rivix_task::{CurrentTask, SysError, SysResult};
use std::time::Instant;

/// The descriptor of a new file that no path names; of `flags`, O_CLOEXEC and
/// O_NONBLOCK count.
fn install(
    task: &CurrentTask,
    name: &'static str,
    ops: Box<dyn FileOps>,
    flags: u32,
) -> SysResult<Fd> {
    let status = O_RDWR | (flags & O_NONBLOCK);
    let is_cloexec = flags & O_CLOEXEC != 0;
    let node = AnonNode::inode(name);
    Ok(Fd(task.install_anonymous(ops, status, node, is_cloexec)?))
}

/// A mask argument: none when NULL, EINVAL when its size is not 8.
fn read_mask(task: &CurrentTask, at: UserRef<u64>, size: u64) -> Result<Option<u64>, Errno> {
    let Some(at) = at.non_null() else {
        return Ok(None);
    };
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    task.read(at).map(Some)
}

/// When a relative time runs out, on CLOCK_MONOTONIC.
#[derive(Clone, Copy)]
struct Timeout {
    until_ns: i128,
}

impl Timeout {
    fn after(task: &CurrentTask, wait_ns: i128) -> Result<Timeout, Errno> {
        Ok(Timeout {
            until_ns: now_ns(task)? + wait_ns,
        })
    }

    fn read(task: &CurrentTask, at: UserRef<Timespec>) -> Result<Option<Timeout>, Errno> {
        match at.non_null() {
            None => Ok(None),
            Some(at) => {
                let wait = task.read(at)?.validate()?;
                Self::after(task, wait.as_ns()).map(Some)
            }
        }
    }

    /// The host instant; None: too far to name.
    fn deadline(self, task: &CurrentTask) -> Result<Option<Instant>, Errno> {
        task.kernel()
            .clock()
            .instant_of(CLOCK_MONOTONIC, self.until_ns)
    }

    /// What ppoll and pselect6 write back. A fault there is ignored, but the call
    /// cannot go on with what is left then: EINTR instead of a restart.
    fn write_back<R>(
        self,
        task: &CurrentTask,
        at: UserRef<Timespec>,
        result: SysResult<R>,
    ) -> SysResult<R> {
        let left = now_ns(task).map_or(0, |now| (self.until_ns - now).max(0));
        let written = task.write(at, &Timespec::from_ns(left));
        match result {
            Err(SysError::Restart(_)) if written.is_err() => Err(Errno::EINTR.into()),
            other => other,
        }
    }
}

fn now_ns(task: &CurrentTask) -> Result<i128, Errno> {
    task.kernel().clock().now_ns(CLOCK_MONOTONIC)
}
