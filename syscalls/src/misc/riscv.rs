//! riscv_hwprobe(2), riscv_flush_icache(2).

use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_isa::extension::hwprobe;
use rivix_task::{CurrentTask, SysResult, affinity};

/// RISCV_HWPROBE_WHICH_CPUS: narrow the CPU set to those that match the pairs.
const WHICH_CPUS: u32 = 1;
/// The flush concerns the calling thread only.
const FLUSH_LOCAL: u64 = 1;
/// rdtime counts nanoseconds.
const TIME_FREQUENCY: u64 = 1_000_000_000;

/// What the keys are worth here; an unknown key has no value.
fn value_of(task: &CurrentTask, key: i64) -> Option<u64> {
    match key {
        hwprobe::KEY_HIGHEST_VIRT_ADDRESS => Some(task.mm().task_size() - 1),
        hwprobe::KEY_TIME_CSR_FREQ => Some(TIME_FREQUENCY),
        _ => hwprobe::pairs()
            .into_iter()
            .find(|(known, _)| *known == key)
            .map(|(_, v)| v),
    }
}

pub fn riscv_hwprobe(
    task: &mut CurrentTask,
    pairs: UserRef<[u64; 2]>,
    count: usize,
    cpu_bytes: usize,
    cpus: UserAddress,
    flags: u32,
) -> SysResult<()> {
    match flags {
        0 => {}
        WHICH_CPUS => return which_cpus(task, pairs, count, cpu_bytes, cpus),
        _ => return Err(Errno::EINVAL.into()),
    }
    // A set must name a CPU that is there; without one all are meant.
    if cpu_bytes == 0 && !cpus.is_null() {
        return Err(Errno::EINVAL.into());
    }
    if cpu_bytes != 0 || !cpus.is_null() {
        let set = read_cpus(task, cpu_bytes, cpus)?;
        if !names_a_cpu(&set) {
            return Err(Errno::EINVAL.into());
        }
    }
    for at in 0..count {
        may_go_on(task, at)?;
        let at = pairs.at(at as u64)?;
        let [key, _] = task.read(at)?;
        let answer = match value_of(task, key as i64) {
            Some(value) => [key, value],
            None => [-1i64 as u64, 0],
        };
        task.write(at, &answer)?;
    }
    Ok(())
}

/// All CPUs are alike: the set stays, or becomes empty when a pair does not match.
fn which_cpus(
    task: &CurrentTask,
    pairs: UserRef<[u64; 2]>,
    count: usize,
    cpu_bytes: usize,
    cpus: UserAddress,
) -> SysResult<()> {
    if cpu_bytes == 0 || cpus.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let mut set = read_cpus(task, cpu_bytes, cpus)?;
    if set.iter().all(|&byte| byte == 0) {
        set = bytemuck::cast_slice(affinity::available())[..set.len()].to_vec();
    } else {
        for (byte, have) in set
            .iter_mut()
            .zip(bytemuck::cast_slice::<_, u8>(affinity::available()))
        {
            *byte &= have;
        }
    }
    let mut all_match = true;
    for at in 0..count {
        may_go_on(task, at)?;
        let at = pairs.at(at as u64)?;
        let [key, wanted] = task.read(at)?;
        match value_of(task, key as i64) {
            Some(have) => {
                // Bit sets match when they hold what is asked for.
                let is_set = matches!(
                    key as i64,
                    hwprobe::KEY_BASE_BEHAVIOR
                        | hwprobe::KEY_IMA_EXT_0
                        | hwprobe::KEY_CPUPERF_0
                        | hwprobe::KEY_VENDOR_EXT_THEAD_0
                        | hwprobe::KEY_VENDOR_EXT_SIFIVE_0
                        | hwprobe::KEY_VENDOR_EXT_MIPS_0
                        | hwprobe::KEY_IMA_EXT_1
                );
                all_match &= if is_set {
                    have & wanted == wanted
                } else {
                    have == wanted
                };
            }
            None => {
                task.write(at, &[-1i64 as u64, 0])?;
                all_match = false;
            }
        }
    }
    if !all_match {
        set.fill(0);
    }
    Ok(task.write_bytes(cpus, &set)?)
}

/// The guest says how many pairs there are: a kill ends the longest list.
fn may_go_on(task: &CurrentTask, done: usize) -> Result<(), Errno> {
    if done.is_multiple_of(1024) && task.must_die() {
        return Err(Errno::EINTR);
    }
    Ok(())
}

fn read_cpus(task: &CurrentTask, bytes: usize, cpus: UserAddress) -> Result<Vec<u8>, Errno> {
    let mut set = vec![0; bytes.min(affinity::WORDS * 8)];
    task.read_bytes(cpus, &mut set)?;
    Ok(set)
}

fn names_a_cpu(set: &[u8]) -> bool {
    let available: &[u8] = bytemuck::cast_slice(affinity::available());
    set.iter()
        .zip(available)
        .any(|(asked, have)| asked & have != 0)
}

/// The range is a hint that nobody uses (riscv_flush_icache(2)): what has changed
/// anywhere in the address space is code anew, for all its threads when this returns.
pub fn riscv_flush_icache(
    task: &mut CurrentTask,
    _start: u64,
    _end: u64,
    flags: u64,
) -> SysResult<()> {
    if flags & !FLUSH_LOCAL != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & FLUSH_LOCAL != 0 {
        task.memory().code.refresh();
        return Ok(());
    }
    task.refetch_code()
}
