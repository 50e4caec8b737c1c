//! getpid(2), gettid(2), getppid(2).

use rivix_task::{CurrentTask, SysResult};

pub fn getpid(task: &mut CurrentTask) -> SysResult<i32> {
    Ok(task.pid())
}

pub fn gettid(task: &mut CurrentTask) -> SysResult<i32> {
    Ok(task.tid())
}

pub fn getppid(task: &mut CurrentTask) -> SysResult<i32> {
    Ok(task.kernel().parent_of(task.pid()))
}
