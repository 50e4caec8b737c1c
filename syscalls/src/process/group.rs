//! Process groups and sessions: setpgid(2), getpgid(2), setsid(2), getsid(2).

use rivix_task::{CurrentTask, SysResult};

pub fn setpgid(task: &mut CurrentTask, pid: i32, pgid: i32) -> SysResult<()> {
    Ok(task.set_process_group(pid, pgid)?)
}

pub fn getpgid(task: &mut CurrentTask, pid: i32) -> SysResult<i32> {
    let pid = if pid == 0 { task.pid() } else { pid };
    Ok(task.kernel().group_and_session(pid)?.0)
}

pub fn getsid(task: &mut CurrentTask, pid: i32) -> SysResult<i32> {
    let pid = if pid == 0 { task.pid() } else { pid };
    Ok(task.kernel().group_and_session(pid)?.1)
}

pub fn setsid(task: &mut CurrentTask) -> SysResult<i32> {
    Ok(task.new_session()?)
}
