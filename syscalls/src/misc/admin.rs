//! Calls that need an administrator of the host, or hardware and subsystems no
//! guest has. Each answers what Linux answers an ordinary program, or one where
//! the feature is not built in.

use rivix_abi::{Errno, UserAddress};
use rivix_task::{CurrentTask, SysResult};

macro_rules! refused {
    ($($(#[$doc:meta])* $name:ident $errno:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(_: &mut CurrentTask) -> SysResult<u64> {
                Err(Errno::$errno.into())
            }
        )*
    };
}

refused! {
    /// The accounting file is the host's.
    acct EPERM;
    vhangup EPERM;
    kexec_load EPERM;
    kexec_file_load EPERM;
    init_module EPERM;
    finit_module EPERM;
    delete_module EPERM;
    reboot EPERM;
    swapon EPERM;
    swapoff EPERM;
    bpf EPERM;
    perf_event_open EACCES;
    fanotify_init EPERM;
    io_uring_setup EPERM;
}

/// Actions of syslog(2) that read no message.
const SYSLOG_ACTION_CLOSE: i32 = 0;
const SYSLOG_ACTION_OPEN: i32 = 1;
const SYSLOG_ACTION_SIZE_BUFFER: i32 = 10;
const LOG_BUFFER: u64 = 1 << 17;

/// The guest's kernel log is empty, and reading it is refused as under dmesg_restrict.
pub fn syslog(_: &mut CurrentTask, action: i32, _buf: UserAddress, _len: i32) -> SysResult<u64> {
    match action {
        SYSLOG_ACTION_CLOSE | SYSLOG_ACTION_OPEN => Ok(0),
        SYSLOG_ACTION_SIZE_BUFFER => Ok(LOG_BUFFER),
        2..=9 => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}
