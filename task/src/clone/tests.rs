use super::*;
use crate::testing::{clone, kernel, next_does, run_as};
use crate::{ExitStatus, ShutdownReason, SysError, WaitFor};
use rivix_abi::process::WEXITED;
use rivix_spawner::Close;
use std::time::Duration;

const FORK: u64 = 17;
/// VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
const THREAD: u64 = 0x5_0f00;
const VFORK: u64 = 0x4100 | 17;
const UID: u32 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// All that a clone could leave behind.
fn traces(task: &CurrentTask) -> [usize; 6] {
    let kernel = task.kernel();
    let pids = kernel.pids.lock();
    let children = pids.processes.get(&task.pid()).map(|p| p.children.len());
    [
        pids.ids_used(),
        pids.guest_tasks(),
        pids.guest_processes(),
        children.unwrap_or(0),
        task.group().unfinished.load(Ordering::Relaxed),
        kernel.users.count(UID) as usize,
    ]
}

fn errno(result: SysResult<i32>) -> Option<Errno> {
    match result {
        Err(SysError::Errno(errno)) => Some(errno),
        _ => None,
    }
}

#[test]
fn a_refused_thread_leaves_nothing() {
    let kernel = kernel(64);
    let inner = kernel.clone();
    let status = run_as(&kernel, UID, move |task| {
        let before = traces(task);
        assert_eq!(before[4..], [1, 1]);
        // A pool that is closed refuses, as a host without threads does.
        let _ = inner
            .guest_workers()
            .close_timeout(Close::Drain, Duration::ZERO);
        for flags in [FORK, THREAD, VFORK, 0] {
            assert_eq!(errno(clone(task, flags)), Some(Errno::EAGAIN));
            assert_eq!(traces(task), before);
        }
        task.exit_group(3);
    });
    assert_eq!(status, ExitStatus::Code(3));
    assert_eq!(kernel.users.count(UID), 0);
}

#[test]
fn a_refusal_of_our_own_leaves_nothing_either() {
    let kernel = kernel(64);
    let status = run_as(&kernel, UID, move |task| {
        let before = traces(task);
        // No descriptor for the child; a namespace; no more tasks of this user.
        assert_eq!(errno(clone(task, 0x1000 | FORK)), Some(Errno::EMFILE));
        assert_eq!(errno(clone(task, 0x4000_0000 | FORK)), Some(Errno::EPERM));
        let one = Rlimit { cur: 1, max: 1 };
        task.group().set_rlimit(Resource::Nproc, one);
        for flags in [FORK, THREAD, VFORK] {
            assert_eq!(errno(clone(task, flags)), Some(Errno::EAGAIN));
        }
        assert_eq!(traces(task), before);
        task.exit_group(3);
    });
    assert_eq!(status, ExitStatus::Code(3));
    assert!(kernel.shutdown(ShutdownReason::Requested, PATIENCE));
}

#[test]
fn tasks_count_from_birth_to_reaping() {
    let kernel = kernel(64);
    let status = run_as(&kernel, UID, move |task| {
        let users = task.kernel().users.clone();
        let two = Rlimit { cur: 2, max: 2 };
        task.group().set_rlimit(Resource::Nproc, two);
        let child = clone(task, FORK).unwrap();
        // Dead or alive, it counts until it is waited for.
        assert_eq!(users.count(UID), 2);
        assert_eq!(errno(clone(task, THREAD)), Some(Errno::EAGAIN));
        let waited = task.wait_child(WaitFor::Pid(child), WEXITED).unwrap();
        assert_eq!(waited.map(|w| w.pid), Some(child));
        assert_eq!(users.count(UID), 1);
        // A thread counts until it has ended.
        next_does(task, |thread| thread.exit_thread(0));
        clone(task, THREAD).unwrap();
        let group = task.group().clone();
        task.block_killable(&[(&group.ended, 0)], || match users.count(UID) {
            1 => Ok(()),
            _ => Err(Errno::EAGAIN),
        })
        .unwrap();
        // Who becomes somebody else counts there.
        let other = Creds::user(UID + 1, UID, Vec::new());
        task.set_creds(other);
        assert_eq!((users.count(UID), users.count(UID + 1)), (0, 1));
        task.exit_group(4);
    });
    assert_eq!(status, ExitStatus::Code(4));
    assert!(kernel.shutdown(ShutdownReason::Requested, PATIENCE));
    assert_eq!(
        (kernel.users.count(UID), kernel.users.count(UID + 1)),
        (0, 0)
    );
}
