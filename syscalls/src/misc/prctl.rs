//! prctl(2), personality(2).

use rivix_abi::process::prctl::*;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_task::seccomp::Dispatch;
use rivix_task::{Creds, CurrentTask, MachineChecks, Mdwe, SysResult, cap};

const PR_SET_VMA_ANON_NAME: u64 = 0;
/// A mapping's name and its NUL.
const VMA_NAME_MAX: usize = 80;
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
        GET_DUMPABLE => Ok(task.memory().traits.dumpable().into()),
        SET_DUMPABLE => match a {
            0 | 1 => {
                task.memory().traits.set_dumpable(a as u32);
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
        GET_SECCOMP => Ok(task.seccomp_mode() as u64),
        SET_SECCOMP => match a {
            SECCOMP_MODE_STRICT => {
                task.set_seccomp_strict()?;
                Ok(0)
            }
            SECCOMP_MODE_FILTER => {
                super::seccomp::set_filter(task, 0, UserAddress(b)).map(|id| id as u64)
            }
            _ => Err(Errno::EINVAL.into()),
        },
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
            task.set_timer_slack_ns(a);
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
            task.set_no_new_privs();
            Ok(0)
        }
        GET_NO_NEW_PRIVS if a == 0 && rest_is_zero => Ok(task.has_no_new_privs().into()),
        GET_TID_ADDRESS => {
            task.write(UserRef::new(UserAddress(a)), &task.clear_child_tid().0)?;
            Ok(0)
        }
        GET_TIMING => Ok(TIMING_STATISTICAL),
        SET_TIMING if a == TIMING_STATISTICAL => Ok(0),
        // Nobody counts anything.
        TASK_PERF_EVENTS_DISABLE | TASK_PERF_EVENTS_ENABLE => Ok(0),
        MCE_KILL if c == 0 && d == 0 => machine_checks(task, a, b),
        MCE_KILL_GET if a == 0 && rest_is_zero => Ok(match task.machine_checks() {
            MachineChecks::Late => 0,
            MachineChecks::Early => 1,
            MachineChecks::Default => 2,
        }),
        SET_MM if d != 0 || c != 0 && a != SET_MM_AUXV => Err(Errno::EINVAL.into()),
        // Fields of the memory map are the loader's alone.
        SET_MM => Err(Errno::EPERM.into()),
        SET_IO_FLUSHER | GET_IO_FLUSHER => Err(Errno::EPERM.into()),
        GET_THP_DISABLE if a == 0 && rest_is_zero => {
            Ok(task.memory().traits.has_no_huge_pages().into())
        }
        SET_THP_DISABLE if rest_is_zero => {
            task.memory().traits.set_no_huge_pages(a != 0);
            Ok(0)
        }
        CAP_AMBIENT => ambient(a, b, c == 0 && d == 0),
        SET_SYSCALL_USER_DISPATCH => user_dispatch(task, [a, b, c, d]),
        SET_MDWE if rest_is_zero => set_mdwe(task, a),
        GET_MDWE if a == 0 && rest_is_zero => Ok(task.memory().traits.mdwe().bits().into()),
        SET_MEMORY_MERGE if rest_is_zero => {
            task.memory().traits.set_merges(a != 0);
            Ok(0)
        }
        GET_MEMORY_MERGE if a == 0 && rest_is_zero => Ok(task.memory().traits.merges().into()),
        SET_VMA if a == PR_SET_VMA_ANON_NAME => name_mappings(task, b, c, d),
        GET_AUXV if c == 0 && d == 0 => {
            let auxv = task.memory().program.auxv.clone();
            let fits = usize::try_from(b).unwrap_or(usize::MAX).min(auxv.len());
            task.write_bytes(UserAddress(a), &auxv[..fits])?;
            Ok(auxv.len() as u64)
        }
        // A hart's fence.i is its thread's, wherever the host runs it: both hold.
        RISCV_SET_ICACHE_FLUSH_CTX if a <= 1 && b <= 1 => Ok(0),
        // Also what needs vectors, pointer masking or emulated misaligned accesses.
        _ => Err(Errno::EINVAL.into()),
    }
}

fn machine_checks(task: &CurrentTask, operation: u64, policy: u64) -> SysResult<u64> {
    let checks = match (operation, policy) {
        (MCE_KILL_CLEAR, 0) | (MCE_KILL_SET, 2) => MachineChecks::Default,
        (MCE_KILL_SET, 0) => MachineChecks::Late,
        (MCE_KILL_SET, 1) => MachineChecks::Early,
        _ => return Err(Errno::EINVAL.into()),
    };
    task.set_machine_checks(checks);
    Ok(0)
}

/// The ambient set is always empty: nothing inheritable is permitted to be raised.
fn ambient(operation: u64, cap: u64, rest_is_zero: bool) -> SysResult<u64> {
    if operation == AMBIENT_CLEAR_ALL {
        return match cap == 0 && rest_is_zero {
            true => Ok(0),
            false => Err(Errno::EINVAL.into()),
        };
    }
    check_cap(cap)?;
    if !rest_is_zero {
        return Err(Errno::EINVAL.into());
    }
    match operation {
        AMBIENT_IS_SET | AMBIENT_LOWER => Ok(0),
        AMBIENT_RAISE => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// EPERM: what was refused once stays so.
fn set_mdwe(task: &CurrentTask, bits: u64) -> SysResult<u64> {
    let bits = u32::try_from(bits).map_err(|_| Errno::EINVAL)?;
    let wanted = Mdwe::from_bits(bits).ok_or(Errno::EINVAL)?;
    if wanted == Mdwe::NO_INHERIT {
        return Err(Errno::EINVAL.into());
    }
    let memory = task.memory();
    let present = memory.traits.mdwe();
    if !present.is_empty() && present != wanted {
        return Err(Errno::EPERM.into());
    }
    memory.traits.set_mdwe(wanted);
    memory.enforce_traits();
    Ok(0)
}

fn user_dispatch(task: &mut CurrentTask, args: [u64; 4]) -> SysResult<u64> {
    let [mode, start, len, selector] = args;
    let dispatch = match mode {
        DISPATCH_OFF if start == 0 && len == 0 && selector == 0 => None,
        DISPATCH_ON => {
            if start != 0 && start.wrapping_add(len) <= start {
                return Err(Errno::EINVAL.into());
            }
            if selector >= task.mm().task_size() {
                return Err(Errno::EFAULT.into());
            }
            let selector = UserAddress(selector);
            Some(Dispatch {
                start,
                len,
                selector,
            })
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    task.set_user_dispatch(dispatch);
    Ok(0)
}

fn name_mappings(task: &CurrentTask, addr: u64, len: u64, name: u64) -> SysResult<u64> {
    let name = match name {
        0 => None,
        at => {
            let name = match task.mm().read_cstr(UserAddress(at), VMA_NAME_MAX) {
                Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL.into()),
                other => other?,
            };
            let is_good = |byte: &u8| matches!(byte, 0x20..=0x7e) && !b"\\`$[]".contains(byte);
            if !name.iter().all(is_good) {
                return Err(Errno::EINVAL.into());
            }
            Some(name.into())
        }
    };
    task.mm().name_mappings(UserAddress(addr), len, name)?;
    Ok(0)
}

fn check_cap(number: u64) -> Result<(), Errno> {
    if number <= u64::from(cap::LAST) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
