//! pipe2(2).

use rivix_abi::fcntl::{O_CLOEXEC, O_DIRECT, O_NONBLOCK};
use rivix_abi::resource::Resource;
use rivix_abi::{Errno, UserRef};
use rivix_fs::pipe;
use rivix_task::{CurrentTask, SysResult};

/// `O_DIRECT` answers EINVAL: there are no packet pipes.
pub fn pipe2(task: &mut CurrentTask, ends: UserRef<[i32; 2]>, flags: u32) -> SysResult<()> {
    if flags & O_DIRECT != 0 || flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    make(task, flags, |ends_made| task.write(ends, &ends_made))
}

/// A new pipe, whose ends (to read, to write) `store` tells the guest.
pub(crate) fn make(
    task: &CurrentTask,
    flags: u32,
    store: impl FnOnce([i32; 2]) -> Result<(), Errno>,
) -> SysResult<()> {
    let is_cloexec = flags & O_CLOEXEC != 0;
    let limit = task.rlimit(Resource::Nofile).cur;
    let (reader, writer) = pipe::pair(task.fs().namespace(), &task.caller(), flags & O_NONBLOCK);
    let reader = task.files().reserve(reader, is_cloexec, limit)?;
    let writer = task.files().reserve(writer, is_cloexec, limit)?;

    // Copied out before publishing: on EFAULT the reservations drop and the
    // guest sees no new descriptor.
    store([reader.fd(), writer.fd()])?;
    reader.publish();
    writer.publish();
    Ok(())
}
