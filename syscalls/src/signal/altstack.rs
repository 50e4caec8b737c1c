//! sigaltstack(2), rt_sigreturn(2).

use rivix_abi::UserRef;
use rivix_abi::signal::StackT;
use rivix_isa::reg;
use rivix_task::{CurrentTask, Outcome, SysResult};

pub fn sigaltstack(
    task: &mut CurrentTask,
    new: UserRef<StackT>,
    old: UserRef<StackT>,
) -> SysResult<()> {
    let new = match new.non_null() {
        Some(at) => Some(task.read(at)?),
        None => None,
    };
    let before = task.reported_altstack(task.regs.x[reg::SP]);
    if let Some(new) = new {
        task.set_altstack(new)?;
    }
    if let Some(at) = old.non_null() {
        task.write(at, &before)?;
    }
    Ok(())
}

pub fn rt_sigreturn(task: &mut CurrentTask) -> SysResult<Outcome> {
    task.sigreturn();
    Ok(Outcome::Registers)
}
