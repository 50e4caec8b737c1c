//! exit(2), exit_group(2).

use rivix_task::{CurrentTask, Outcome, SysResult};

pub fn exit(task: &mut CurrentTask, code: i32) -> SysResult<Outcome> {
    task.exit_thread(code);
    Ok(Outcome::Registers)
}

pub fn exit_group(task: &mut CurrentTask, code: i32) -> SysResult<Outcome> {
    task.exit_group(code);
    Ok(Outcome::Registers)
}
