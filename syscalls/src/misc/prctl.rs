//! prctl(2), personality(2).

use rivix_abi::process::prctl::*;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_task::{Creds, CurrentTask, SysResult, cap};

/// Slack of a task that never set one, in nanoseconds.
const DEFAULT_SLACK_NS: u64 = 50_000;
const PR_SET_VMA_ANON_NAME: u64 = 0;
/// Personality bits above the domain, ADDR_NO_RANDOMIZE among them, are kept.
const QUERY: u32 = 0xffff_ffff;

pub fn personality(task: &mut CurrentTask, persona: u32) -> SysResult<u32> {
    match persona {
        QUERY => Ok(task.group().personality()),
        new => Ok(task.group().set_personality(new)),
    }
}

pub fn prctl(
    task: &mut CurrentTask,
    option: i32,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> SysResult<u64> {
    let rest_is_zero = b == 0 && c == 0 && d == 0;
    match option {
        SET_PDEATHSIG => {
            let signal = match a {
                0 => None,
                number => Some(
                    i64::try_from(number)
                        .ok()
                        .and_then(Signal::new)
                        .ok_or(Errno::EINVAL)?,
                ),
            };
            task.set_parent_death_signal(signal);
            Ok(0)
        }
        GET_PDEATHSIG => {
            let signal = task.parent_death_signal().map_or(0, |s| s.number() as i32);
            task.write(UserRef::new(UserAddress(a)), &signal)?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(task.group().dumpable().into()),
        SET_DUMPABLE => match a {
            0 | 1 => {
                task.group().set_dumpable(a as u32);
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        },
        GET_KEEPCAPS => Ok(task.creds().keep_caps.into()),
        SET_KEEPCAPS => match a {
            0 | 1 => {
                let creds = Creds {
                    keep_caps: a == 1,
                    ..(**task.creds()).clone()
                };
                task.set_creds(creds);
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        },
        SET_NAME => {
            // Up to 15 bytes, whatever stands behind the NUL; read as far as needed.
            let mut name = [0; 16];
            let got = task.mm().read_partial(UserAddress(a), &mut name[..15]);
            if got < 15 && !name[..got].contains(&0) {
                return Err(Errno::EFAULT.into());
            }
            task.set_name(&name);
            Ok(0)
        }
        GET_NAME => {
            let mut name = task.name();
            name.resize(16, 0);
            task.write_bytes(UserAddress(a), &name)?;
            Ok(0)
        }
        GET_SECCOMP => Ok(0),
        // Filters are not implemented: as a kernel built without them.
        SET_SECCOMP => Err(Errno::EINVAL.into()),
        CAPBSET_READ => {
            check_cap(a)?;
            Ok(task.creds().bounding >> a & 1)
        }
        CAPBSET_DROP => {
            check_cap(a)?;
            if !task.creds().has_cap(cap::SETPCAP) {
                return Err(Errno::EPERM.into());
            }
            let old = (**task.creds()).clone();
            task.set_creds(Creds {
                bounding: old.bounding & !(1 << a),
                ..old
            });
            Ok(0)
        }
        GET_SECUREBITS => Ok(0),
        SET_SECUREBITS => Err(Errno::EPERM.into()),
        SET_TIMERSLACK => {
            task.set_timer_slack_ns(if a == 0 { DEFAULT_SLACK_NS } else { a });
            Ok(0)
        }
        GET_TIMERSLACK => Ok(task.timer_slack_ns()),
        SET_CHILD_SUBREAPER => {
            task.kernel().set_subreaper(task.pid(), a != 0);
            Ok(0)
        }
        GET_CHILD_SUBREAPER => {
            let is_set = i32::from(task.kernel().is_subreaper(task.pid()));
            task.write(UserRef::new(UserAddress(a)), &is_set)?;
            Ok(0)
        }
        SET_NO_NEW_PRIVS if a == 1 && rest_is_zero => {
            let creds = Creds {
                no_new_privs: true,
                ..(**task.creds()).clone()
            };
            task.set_creds(creds);
            Ok(0)
        }
        GET_NO_NEW_PRIVS if a == 0 && rest_is_zero => Ok(task.creds().no_new_privs.into()),
        GET_TID_ADDRESS => {
            task.write(UserRef::new(UserAddress(a)), &task.clear_child_tid().0)?;
            Ok(0)
        }
        // Huge pages are the host's choice; the wish not to have them cannot be passed on.
        GET_THP_DISABLE if a == 0 && rest_is_zero => Ok(0),
        SET_VMA if a == PR_SET_VMA_ANON_NAME => {
            // Names are decoration; a kernel without CONFIG_ANON_VMA_NAME says EINVAL.
            Err(Errno::EINVAL.into())
        }
        GET_MDWE if a == 0 && rest_is_zero => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn check_cap(number: u64) -> Result<(), Errno> {
    if number <= u64::from(cap::LAST) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
