//! Mounting belongs to whoever builds the sandbox: for guests these calls answer as
//! Linux does without CAP_SYS_ADMIN.

use rivix_abi::Errno;
use rivix_task::{CurrentTask, SysResult};

macro_rules! not_permitted {
    ($($name:ident)*) => {
        $(pub fn $name(_: &mut CurrentTask) -> SysResult<()> {
            Err(Errno::EPERM.into())
        })*
    };
}

not_permitted! {
    mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    open_by_handle_at
}

pub fn name_to_handle_at(_: &mut CurrentTask) -> SysResult<()> {
    // As a file system that cannot be exported (name_to_handle_at(2)).
    Err(Errno::EOPNOTSUPP.into())
}
