//! seccomp(2): strict mode, and filters with every action that needs neither a
//! tracer nor a listener; the two that do answer ENOSYS, as where there is none.

use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::seccomp::{InstallError, Instruction, MAX_LEN, Program, action};
use rivix_task::{CurrentTask, SysResult, cap};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
const GET_NOTIF_SIZES: u32 = 3;

const FLAG_TSYNC: u32 = 1;
const FLAG_NEW_LISTENER: u32 = 8;
const FLAG_TSYNC_ESRCH: u32 = 16;
const FLAG_WAIT_KILLABLE_RECV: u32 = 32;
const KNOWN_FLAGS: u32 = 0x3f;

/// Sizes of seccomp_notif, seccomp_notif_resp and seccomp_data.
const NOTIF_SIZES: [u16; 3] = [80, 24, 64];

pub fn seccomp(
    task: &mut CurrentTask,
    operation: u32,
    flags: u32,
    args: UserAddress,
) -> SysResult<i32> {
    match operation {
        SET_MODE_STRICT if flags == 0 && args.is_null() => {
            task.set_seccomp_strict()?;
            Ok(0)
        }
        SET_MODE_FILTER => set_filter(task, flags, args),
        GET_ACTION_AVAIL if flags == 0 => {
            let wanted: u32 = task.read(UserRef::new(args))?;
            match wanted {
                action::KILL_PROCESS
                | action::KILL_THREAD
                | action::TRAP
                | action::ERRNO
                | action::USER_NOTIF
                | action::TRACE
                | action::LOG
                | action::ALLOW => Ok(0),
                _ => Err(Errno::EOPNOTSUPP.into()),
            }
        }
        GET_NOTIF_SIZES if flags == 0 => {
            task.write(UserRef::new(args), &NOTIF_SIZES)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// The id of a thread that has other filters, or 0.
pub(super) fn set_filter(task: &mut CurrentTask, flags: u32, args: UserAddress) -> SysResult<i32> {
    let has = |flag: u32| flags & flag != 0;
    if flags & !KNOWN_FLAGS != 0
        || has(FLAG_TSYNC) && has(FLAG_NEW_LISTENER) && !has(FLAG_TSYNC_ESRCH)
        || has(FLAG_WAIT_KILLABLE_RECV) && !has(FLAG_NEW_LISTENER)
    {
        return Err(Errno::EINVAL.into());
    }
    // struct sock_fprog: a length, padding, a pointer.
    let [len, at]: [u64; 2] = task.read(UserRef::new(args))?;
    let len = usize::from(len as u16);
    if len == 0 || len > MAX_LEN {
        return Err(Errno::EINVAL.into());
    }
    if !task.has_no_new_privs() && !task.creds().has_cap(cap::SYS_ADMIN) {
        return Err(Errno::EACCES.into());
    }
    let mut text = vec![Instruction::default(); len];
    task.read_bytes(UserAddress(at), bytemuck::cast_slice_mut(&mut text))?;
    let program = Program::new(&text)?;
    if has(FLAG_NEW_LISTENER) {
        // Nobody can listen here: as where a listener is there already.
        return Err(Errno::EBUSY.into());
    }
    match task.add_seccomp_filter(program, has(FLAG_TSYNC)) {
        Ok(()) => Ok(0),
        Err(InstallError::Thread(_)) if has(FLAG_TSYNC_ESRCH) => Err(Errno::ESRCH.into()),
        Err(InstallError::Thread(tid)) => Ok(tid),
        Err(InstallError::Errno(errno)) => Err(errno.into()),
    }
}
