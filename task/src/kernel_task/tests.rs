use super::*;
use crate::testing::kernel;
use crate::{SendTo, ShutdownReason};
use rivix_fs::ProcInfo;
use std::time::Duration;

#[test]
fn kthreadd_is_the_second_process_of_every_kernel() {
    let kernel = kernel(16);
    assert_eq!(kernel.pids(), [KTHREADD]);
    let shot = kernel.process(KTHREADD).unwrap();
    assert!(shot.is_kernel);
    assert_eq!((shot.ppid, shot.exit_signal, shot.state), (0, 0, 'S'));
    // As /proc/2/stat of a Linux machine has it.
    assert_eq!(shot.flags, 2_129_984);
    assert_eq!((shot.ignored, shot.caught, shot.umask), (u64::MAX, 0, 0o22));
    assert_eq!(
        shot.caps,
        [0, 0x1ff_ffff_ffff, 0x1ff_ffff_ffff, 0x1ff_ffff_ffff, 0]
    );
    assert!(shot.mm.is_none() && shot.exe.is_none() && shot.files.is_none());
    assert_eq!(kernel.group_and_session(KTHREADD), Ok((0, 0)));
    assert_eq!(kernel.pids.lock().reserve(16).unwrap().number(), 3);
}

#[test]
fn a_kernel_task_is_kthreadds_child() {
    let kernel = kernel(16);
    let task = KernelTask::new(&kernel, b"flush-of-everything").unwrap();
    let pid = task.task().pid();
    assert_eq!((pid, task.task().tid()), (3, 3));
    let shot = kernel.process(pid).unwrap();
    assert_eq!(shot.comm, b"flush-of-everyt");
    assert_eq!((shot.ppid, shot.exit_signal), (KTHREADD, 17));
    assert_eq!(shot.flags, 69_238_880, "as a kworker's");
    assert_eq!(kernel.threads(pid), [pid]);
    assert_eq!(kernel.parent_of(pid), KTHREADD);
    assert_eq!(kernel.system().total_threads, 2);
    let report = kernel.report();
    assert_eq!((report.tasks_now, report.kernel_tasks_now), (0, 2));

    let group = task.task().group().clone();
    assert!(!group.is_dead());
    drop(task);
    assert!(group.is_dead() && group.is_reaped());
    assert_eq!(kernel.pids(), [KTHREADD]);
    assert!(kernel.find_process(pid).is_none());
    assert!(kernel.pids.lock().processes[&KTHREADD].children.is_empty());
    assert_eq!(kernel.report().kernel_tasks_created, 2);
}

#[test]
fn signals_do_nothing_to_it() {
    let kernel = kernel(16);
    let task = KernelTask::new(&kernel, b"worker").unwrap();
    let pid = task.task().pid();
    for number in 1..=64 {
        kernel
            .kill(None, SendTo::Process(pid), Signal::new(number), None)
            .unwrap();
    }
    kernel
        .kill(None, SendTo::All, Some(Signal::SIGKILL), None)
        .unwrap();
    assert!(!task.task().group().is_exiting());
    assert!(!task.task().kick().is_set());
    assert_eq!(kernel.process(pid).unwrap().queued_signals, 0);
    // It is in no group that could be named.
    let nobody = kernel.kill(None, SendTo::Group(0), Some(Signal::SIGKILL), None);
    assert_eq!(nobody, Err(Errno::ESRCH));
}

#[test]
fn they_eat_nothing_of_the_guests_limit() {
    let kernel = kernel(1);
    let tasks: Vec<_> = (0..20)
        .map(|_| KernelTask::new(&kernel, b"worker").unwrap())
        .collect();
    let promised = kernel.pids.lock().reserve(1).unwrap();
    assert_eq!(kernel.pids.lock().reserve(1).err(), Some(Errno::EAGAIN));
    drop((promised, tasks));
}

#[test]
fn shutdown_does_not_wait_for_them() {
    let kernel = kernel(16);
    let task = KernelTask::new(&kernel, b"worker").unwrap();
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(10)));
    assert!(!task.task().group().is_exiting());
    drop(task);
    assert_eq!(kernel.pids(), [KTHREADD]);
}

#[test]
fn a_table_does_not_keep_its_kernel_alive() {
    let kernel = kernel(16);
    let weak = Arc::downgrade(&kernel);
    let task = KernelTask::new(&kernel, b"worker").unwrap();
    drop(kernel);
    assert!(weak.upgrade().is_none());
    assert!(task.task().kernel().is_none());
}
