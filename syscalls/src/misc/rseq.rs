//! rseq(2). What a registration is good for: `rivix_task`'s `rseq` and `vcpu`.

use rivix_abi::rseq::UNREGISTER;
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_task::{CurrentTask, Registration, SysResult, check_area};

/// Offset of rseq_cs, the pointer to a sequence's descriptor.
const AT_SEQUENCE: u64 = 8;

pub fn rseq(
    task: &mut CurrentTask,
    area: UserAddress,
    len: u32,
    flags: i32,
    signature: u32,
) -> SysResult<()> {
    let wanted = Registration {
        area,
        len,
        signature,
    };
    let present = task.rseq_registration();
    let same_place = present.is_some_and(|p| p.area == area && p.len == len);
    let same_signature = present.is_some_and(|p| p.signature == signature);
    if flags & UNREGISTER != 0 {
        return match (flags, same_place, same_signature) {
            (UNREGISTER, true, true) => Ok(task.unregister_rseq()?),
            (UNREGISTER, true, false) => Err(Errno::EPERM.into()),
            _ => Err(Errno::EINVAL.into()),
        };
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if present.is_some() {
        return Err(match (same_place, same_signature) {
            (true, true) => Errno::EBUSY,
            (true, false) => Errno::EPERM,
            _ => Errno::EINVAL,
        }
        .into());
    }
    check_area(area, len, task.mm().task_size())?;
    // A descriptor left from an earlier thread's use of the area is forgotten.
    let sequence = UserRef::<u64>::new(area.offset(AT_SEQUENCE)?);
    if task.read(sequence)? != 0 {
        task.write(sequence, &0)?;
    }
    task.register_rseq(wanted);
    Ok(())
}
