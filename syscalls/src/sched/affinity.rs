//! sched_setaffinity(2), sched_getaffinity(2), getcpu(2).

use super::{check_owner, target};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, SysResult, affinity};

pub fn sched_setaffinity(
    task: &mut CurrentTask,
    pid: i32,
    len: u32,
    mask: UserAddress,
) -> SysResult<()> {
    let mut cpus = [0u64; affinity::WORDS];
    let bytes = bytemuck::bytes_of_mut(&mut cpus);
    let len = (len as usize).min(bytes.len());
    task.read_bytes(mask, &mut bytes[..len])?;
    let target = target(task, pid)?;
    check_owner(task, &target)?;
    for (cpu, available) in cpus.iter_mut().zip(affinity::available()) {
        *cpu &= available;
    }
    if cpus.iter().all(|&word| word == 0) {
        return Err(Errno::EINVAL.into());
    }
    task.set_affinity_of(&target, cpus[..].into())
}

/// Gives the number of bytes written.
pub fn sched_getaffinity(
    task: &mut CurrentTask,
    pid: i32,
    len: u32,
    mask: UserAddress,
) -> SysResult<usize> {
    let have = affinity::mask_bytes();
    if !len.is_multiple_of(8) || (len as usize) < have {
        return Err(Errno::EINVAL.into());
    }
    let affinity = target(task, pid)?.sched().affinity;
    let cpus = affinity.as_deref().unwrap_or(affinity::available());
    task.write_bytes(mask, &bytemuck::cast_slice(cpus)[..have])?;
    Ok(have)
}

pub fn getcpu(task: &mut CurrentTask, cpu: UserRef<u32>, node: UserRef<u32>) -> SysResult<()> {
    if let Some(cpu) = cpu.non_null() {
        task.write(cpu, &task.cpu())?;
    }
    if let Some(node) = node.non_null() {
        task.write(node, &0)?;
    }
    Ok(())
}
