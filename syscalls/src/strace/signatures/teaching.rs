//! Names and arguments of teaching kernels' calls.

use super::{Abi, Signature};

pub(super) fn find(abi: Abi, number: u64) -> Option<&'static Signature> {
    let table = match abi {
        Abi::Linux => return None,
        Abi::Rcore => rcore::TABLE,
        Abi::Ucore => ucore::TABLE,
    };
    let at = table.binary_search_by_key(&number, |(n, _)| *n).ok()?;
    table.get(at).map(|(_, signature)| signature)
}

/// Is it written when it begins?
pub(in crate::strace) fn may_wait(abi: Abi, number: u64) -> bool {
    let name = find(abi, number).map(|signature| signature.name);
    matches!(
        name,
        Some(
            "read"
                | "exit"
                | "sleep"
                | "fork"
                | "clone"
                | "exec"
                | "execve"
                | "spawn"
                | "waitpid"
                | "wait4"
                | "mutex_lock"
                | "semaphore_down"
                | "condvar_wait"
        )
    )
}

mod rcore {
    use crate::strace::signatures::Arg::*;
    use crate::strace::signatures::{Ret, Signature};

    signatures! {
        24 dup (Fd);
        56 open (Path, Hex);
        57 close (Fd);
        59 pipe (Addr);
        63 read (Fd, OutBuf, Size);
        64 write (Fd, Buf, Size);
        93 exit (Int) Never;
        101 sleep (Size);
        124 yield ();
        129 kill (Long, Hex);
        140 set_priority (Long);
        169 get_time ();
        172 getpid ();
        214 sbrk (Int) Hex;
        215 munmap (Addr, Size);
        220 fork ();
        221 exec (Path, Strings);
        222 mmap (Addr, Size, Hex);
        260 waitpid (Long, OutInt);
        400 spawn (Path);
        469 enable_deadlock_detect (Long);
        1000 thread_create (Addr, Hex);
        1001 gettid ();
        1002 waittid (Long);
        1010 mutex_create (Long);
        1011 mutex_lock (Long);
        1012 mutex_unlock (Long);
        1020 semaphore_create (Long);
        1021 semaphore_up (Long);
        1022 semaphore_down (Long);
        1030 condvar_create ();
        1031 condvar_signal (Long);
        1032 condvar_wait (Long, Long);
    }
}

mod ucore {
    use crate::strace::signatures::Arg::*;
    use crate::strace::signatures::{Ret, Signature};

    signatures! {
        24 dup (Fd);
        56 openat (Path, Hex);
        57 close (Fd);
        59 pipe2 (Addr);
        63 read (Fd, OutBuf, Size);
        64 write (Fd, Buf, Size);
        93 exit (Int) Never;
        124 sched_yield ();
        129 kill (Long, Signal);
        140 setpriority (Long);
        169 gettimeofday (OutTimeval);
        172 getpid ();
        173 getppid ();
        178 gettid ();
        214 sbrk (Int) Hex;
        215 munmap (Addr, Size);
        220 clone ();
        221 execve (Path, Strings);
        222 mmap (Addr, Size, Hex);
        260 wait4 (Int, OutInt);
        400 spawn (Path);
        410 task_info (Addr);
        460 thread_create (Addr, Hex);
        462 waittid (Long);
        463 mutex_create (Long);
        464 mutex_lock (Long);
        466 mutex_unlock (Long);
        467 semaphore_create (Long);
        468 semaphore_up (Long);
        469 enable_deadlock_detect (Long);
        470 semaphore_down (Long);
        471 condvar_create ();
        472 condvar_signal (Long);
        473 condvar_wait (Long, Long);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_name() {
        for (abi, table) in [(Abi::Rcore, rcore::TABLE), (Abi::Ucore, ucore::TABLE)] {
            let rows = crate::teaching::rows(abi);
            let handled: Vec<_> = rows.iter().map(|row| (row.number, row.name)).collect();
            let shown: Vec<_> = table.iter().map(|(n, s)| (*n, s.name)).collect();
            assert_eq!(handled, shown);
        }
    }
}
