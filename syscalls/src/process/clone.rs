//! clone(2), clone3(2), unshare(2). fork and vfork have no numbers of their own
//! on riscv64.

use super::pidfd;
use bytemuck::Zeroable;
use rivix_abi::sched::{CLONE_ARGS_SIZE_VER0, CLONE_ARGS_SIZE_VER2, CloneArgs3, CloneFlags};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::Reservation;
use rivix_task::{CloneArgs, CurrentTask, NAMESPACES, SysResult, Task};
use std::sync::Arc;

/// A structure of more than a page is no structure.
const PAGE_SIZE: usize = 4096;
/// Pid namespaces are at most this deep (pid_namespaces(7)).
const MAX_PID_NAMESPACES: u64 = 32;

/// The argument order is that of CONFIG_CLONE_BACKWARDS: tls before ctid.
pub fn clone(
    task: &mut CurrentTask,
    flags: u64,
    stack: u64,
    parent_tid: UserAddress,
    tls: u64,
    child_tid: UserAddress,
) -> SysResult<i32> {
    let args = CloneArgs::new(flags, stack, parent_tid, tls, child_tid)?;
    run(task, &args)
}

/// A structure shorter than ours lacks what came later; one longer than ours
/// must hold nothing there.
pub fn clone3(task: &mut CurrentTask, args: UserAddress, size: usize) -> SysResult<i32> {
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    if size < CLONE_ARGS_SIZE_VER0 {
        return Err(Errno::EINVAL.into());
    }
    let raw = read_args(task, args, size)?;
    if raw.set_tid_size > MAX_PID_NAMESPACES || (raw.set_tid == 0) != (raw.set_tid_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    let flags = CloneFlags::from_bits_truncate(raw.flags);
    if flags.contains(CloneFlags::INTO_CGROUP) && size < CLONE_ARGS_SIZE_VER2 {
        return Err(Errno::EINVAL.into());
    }
    let set_tid = read_numbers(task, &raw)?;
    let args = CloneArgs::extended(&raw, set_tid.first().copied(), task.mm().task_size())?;
    if set_tid.len() > 1 {
        // A number for each pid namespace, and there is one.
        return Err(Errno::EINVAL.into());
    }
    run(task, &args)
}

fn read_args(task: &CurrentTask, at: UserAddress, size: usize) -> Result<CloneArgs3, Errno> {
    let mut raw = CloneArgs3::zeroed();
    let known = size_of::<CloneArgs3>();
    if size > known {
        let mut rest = vec![0; size - known];
        task.read_bytes(at.offset(known as u64)?, &mut rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Errno::E2BIG);
        }
    }
    let bytes = bytemuck::bytes_of_mut(&mut raw);
    let bytes = bytes.get_mut(..size.min(known)).ok_or(Errno::EINVAL)?;
    task.read_bytes(at, bytes)?;
    Ok(raw)
}

fn read_numbers(task: &CurrentTask, raw: &CloneArgs3) -> Result<Vec<i32>, Errno> {
    let from = UserRef::<i32>::new(UserAddress(raw.set_tid));
    (0..raw.set_tid_size)
        .map(|at| task.read(from.at(at)?))
        .collect()
}

fn run(task: &mut CurrentTask, args: &CloneArgs) -> SysResult<i32> {
    task.clone_task(args, |task, child| make_pidfd(task, child, args))
}

/// The number is stored before the descriptor is there: on EFAULT there is none.
fn make_pidfd(
    task: &CurrentTask,
    child: &Arc<Task>,
    args: &CloneArgs,
) -> Result<Reservation, Errno> {
    let is_thread = args.flags.contains(CloneFlags::THREAD);
    let reserved = pidfd::reserve(task, child, is_thread)?;
    task.write(UserRef::new(args.pidfd), &reserved.fd())?;
    Ok(reserved)
}

/// unshare(2): descriptors and directories become the caller's own. What cannot
/// be taken apart must not be shared.
pub fn unshare(task: &mut CurrentTask, flags: u64) -> SysResult<()> {
    let whole = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    let own = CloneFlags::FS | CloneFlags::FILES | CloneFlags::SYSVSEM;
    let mut flags = CloneFlags::from_bits(flags)
        .filter(|flags| (whole | own | NAMESPACES).contains(*flags))
        .ok_or(Errno::EINVAL)?;
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    if flags.contains(CloneFlags::VM) {
        flags |= CloneFlags::SIGHAND;
    }
    if flags.contains(CloneFlags::SIGHAND) {
        flags |= CloneFlags::THREAD;
    }
    let is_shared = flags.contains(CloneFlags::THREAD) && task.group().thread_count() > 1
        || flags.contains(CloneFlags::SIGHAND) && task.shares_actions()
        || flags.contains(CloneFlags::VM) && task.shares_memory();
    if is_shared {
        return Err(Errno::EINVAL.into());
    }
    if flags.intersects(NAMESPACES) {
        return Err(Errno::EPERM.into());
    }
    if flags.contains(CloneFlags::FS) {
        task.unshare_fs();
    }
    if flags.contains(CloneFlags::FILES) && task.shares_files() {
        task.unshare_files();
    }
    Ok(())
}
