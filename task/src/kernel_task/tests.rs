use super::*;
use crate::testing::{clone, kernel, run_as};
use crate::{ExitStatus, KernelWorker, SendTo, ShutdownReason, WaitFor};
use rivix_abi::process::{WALL, WEXITED, WNOWAIT};
use rivix_fs::ProcInfo;
use std::time::Duration;

#[test]
fn kthreadd_is_the_second_process_of_every_kernel() {
    let kernel = kernel(16);
    assert_eq!(kernel.pids(), [INIT, KTHREADD]);
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
fn init_is_the_first() {
    let kernel = kernel(16);
    let shot = kernel.process(INIT).unwrap();
    assert!(shot.is_kernel && shot.mm.is_none() && shot.exe.is_none());
    assert_eq!(shot.comm, b"init");
    assert_eq!((shot.ppid, shot.exit_signal, shot.state), (0, 0, 'S'));
    // It is no kernel thread (PF_KTHREAD).
    assert_eq!(shot.flags & 0x20_0000, 0);
    assert_eq!(kernel.group_and_session(INIT), Ok((0, 0)));
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
    assert_eq!(kernel.system().total_threads, 3);
    let report = kernel.report();
    assert_eq!((report.tasks_now, report.kernel_tasks_now), (0, 3));

    let group = task.task().group().clone();
    assert!(!group.is_dead());
    drop(task);
    assert!(group.is_dead() && group.is_reaped());
    assert_eq!(kernel.pids(), [INIT, KTHREADD]);
    assert!(kernel.find_process(pid).is_none());
    assert!(kernel.pids.lock().processes[&KTHREADD].children.is_empty());
    assert_eq!(kernel.report().kernel_tasks_created, 3);
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
    assert_eq!(kernel.pids(), [INIT, KTHREADD]);
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

#[test]
fn guests_may_look_and_not_touch() {
    let kernel = kernel(16);
    let status = run_as(&kernel, 1000, |task| {
        assert_eq!(task.pid(), 3, "the first after kthreadd");
        let kernel = task.kernel().clone();
        for signal in [None, Signal::new(9), Signal::new(18)] {
            let to = SendTo::Process(KTHREADD);
            assert_eq!(kernel.kill(Some(task), to, signal, None), Err(Errno::EPERM));
            let sent = kernel.kill_thread(task, Some(KTHREADD), KTHREADD, signal, None);
            assert_eq!(sent, Err(Errno::EPERM));
        }
        let wrong = kernel.kill_thread(task, Some(3), KTHREADD, None, None);
        assert_eq!(wrong, Err(Errno::ESRCH));
        // kill(-1) finds somebody, and does not say that it may not.
        let everyone = kernel.kill(Some(task), SendTo::All, Signal::new(9), None);
        assert_eq!(everyone, Ok(()));
        assert_eq!(kernel.group_and_session(KTHREADD), Ok((0, 0)));
        assert_eq!(task.set_process_group(KTHREADD, 0), Err(Errno::ESRCH));
        assert_eq!(task.set_process_group(0, KTHREADD), Err(Errno::EPERM));
        let waited = task.wait_child(WaitFor::Pid(KTHREADD), WEXITED | WALL);
        assert!(matches!(waited, Err(crate::SysError::Errno(Errno::ECHILD))));
        let sched = kernel.find_task(KTHREADD).unwrap().sched();
        assert_eq!((sched.policy, sched.priority, sched.nice), (0, 0, 0));
        task.exit_group(7);
    });
    assert_eq!(status, ExitStatus::Code(7));
}

#[test]
fn roots_signals_reach_it_and_do_nothing() {
    let kernel = kernel(16);
    let status = run_as(&kernel, 0, |task| {
        let kernel = task.kernel().clone();
        for signal in [None, Signal::new(9), Signal::new(19), Signal::new(64)] {
            let to = SendTo::Process(KTHREADD);
            assert_eq!(kernel.kill(Some(task), to, signal, None), Ok(()));
            let sent = kernel.kill_thread(task, Some(KTHREADD), KTHREADD, signal, None);
            assert_eq!(sent, Ok(()));
        }
        assert_eq!(kernel.process(KTHREADD).unwrap().state, 'S');
        task.exit_group(7);
    });
    assert_eq!(status, ExitStatus::Code(7));
}

#[test]
fn a_closure_of_the_spawners_runs_as_a_live_kernel_task() {
    let kernel = kernel(16);
    let (of, name) = (kernel.clone(), "write-back");
    let (began, begun) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel();
    kernel
        .spawner()
        .spawn_named(name, move |worker: &mut KernelWorker| {
            assert!(Arc::ptr_eq(&worker.kernel().unwrap(), &of));
            let tid = worker.task().tid();
            assert_eq!(crate::current_ids(), (tid, tid));
            began.send(tid).unwrap();
            goes.recv_timeout(Duration::from_secs(60)).unwrap();
        })
        .unwrap();
    let tid = begun.recv_timeout(Duration::from_secs(60)).unwrap();
    let shot = kernel.process(tid).unwrap();
    assert_eq!(
        (shot.comm.as_slice(), shot.ppid),
        (b"write-back".as_slice(), KTHREADD)
    );
    assert!(kernel.find_task(tid).unwrap().is_kernel());
    go.send(()).unwrap();
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
    assert_eq!(kernel.pids(), [INIT, KTHREADD]);
    assert!(
        kernel
            .report()
            .pools
            .iter()
            .all(|pool| pool.live == 0 && pool.panics == 0)
    );
}

#[test]
fn a_unit_is_waited_for_by_a_guest() {
    let kernel = kernel(16);
    let status = run_as(&kernel, 1000, |task| {
        let kernel = task.kernel().clone();
        let ticket = kernel
            .spawner()
            .spawn_and_get_result(|worker| worker.task().is_kernel());
        assert_eq!(task.wait_for(ticket), Ok(true));
        let ticket = kernel
            .spawner()
            .spawn_and_get_result(|_| -> i32 { panic!("on purpose") });
        assert_eq!(task.wait_for(ticket), Err(Errno::EIO));
        assert_eq!(kernel.report().unit_panics, 1);

        // A signal ends the wait; a unit that runs goes on without it.
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let (say, said) = std::sync::mpsc::channel();
        let ticket = kernel.spawner().spawn_and_get_result(move |_| {
            say.send("begun").unwrap();
            goes.recv_timeout(Duration::from_secs(60)).unwrap();
            say.send("done").unwrap();
        });
        let hear = || said.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(hear(), "begun");
        // One that ends the process only when it is taken.
        task.send_to_self(Signal::SIGQUIT);
        assert_eq!(task.wait_for(ticket), Err(Errno::EINTR));
        go.send(()).unwrap();
        assert_eq!(hear(), "done");
        task.exit_group(7);
    });
    assert_eq!(status, ExitStatus::Code(7));
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
}

#[test]
fn a_closed_spawner_is_eshutdown() {
    let kernel = kernel(16);
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
    let refused = kernel.spawner().spawn(|_| ()).unwrap_err();
    assert_eq!(crate::spawn_errno(&refused), Errno::ESHUTDOWN);
}

#[test]
fn a_zombies_number_stays_while_its_siblings_come_and_go() {
    let kernel = kernel(64);
    let status = run_as(&kernel, 1000, |task| {
        const FORK: u64 = 17;
        let zombie = clone(task, FORK).unwrap();
        // As a pidfd does: it names the process, and holds no number.
        let named = task.kernel().find_process(zombie).unwrap();
        let wnowait = WEXITED | WNOWAIT;
        let seen = task.wait_child(WaitFor::Pid(zombie), wnowait).unwrap();
        assert_eq!(seen.unwrap().pid, zombie);
        for _ in 0..300 {
            let child = clone(task, FORK).unwrap();
            assert_ne!(child, zombie);
            let waited = task.wait_child(WaitFor::Pid(child), WEXITED).unwrap();
            assert_eq!(waited.unwrap().pid, child);
            let again = task.wait_child(WaitFor::Pid(child), WEXITED);
            assert!(matches!(again, Err(crate::SysError::Errno(Errno::ECHILD))));
        }
        let waited = task.wait_child(WaitFor::Pid(zombie), WEXITED).unwrap();
        assert_eq!(waited.unwrap().pid, zombie);
        assert!(named.is_reaped());
        // Init, kthreadd, this one.
        assert_eq!(task.kernel().pids.lock().ids_used(), 3);
        task.exit_group(7);
    });
    assert_eq!(status, ExitStatus::Code(7));
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
    // Init's and kthreadd's.
    assert_eq!(kernel.pids.lock().ids_used(), 2);
}

#[test]
fn threads_give_their_numbers_back() {
    let kernel = kernel(64);
    let status = run_as(&kernel, 1000, |task| {
        // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
        const THREAD: u64 = 0x5_0f00;
        let group = task.group().clone();
        for _ in 0..200 {
            let tid = clone(task, THREAD).unwrap();
            assert!(tid > task.pid());
            let ended =
                task.block_until(None, &[(group.ended(), 0)], || match group.thread_count() {
                    1 => Ok(()),
                    _ => Err(Errno::EAGAIN),
                });
            ended.unwrap();
        }
        task.exit_group(7);
    });
    assert_eq!(status, ExitStatus::Code(7));
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
    assert_eq!(kernel.pids.lock().ids_used(), 2);
}

#[test]
fn no_number_for_a_worker_gives_the_unit_back() {
    let kernel = kernel(1024);
    let mut all = Vec::new();
    {
        let mut pids = kernel.pids.lock();
        *pids = crate::pids::Pids::with_max(310);
        all.extend((1..310).map(|_| pids.reserve(1024).unwrap()));
    }
    assert_eq!(KernelTask::new(&kernel, b"late").err(), Some(Errno::EAGAIN));
    let refused = kernel.spawner().spawn(|_| ()).unwrap_err();
    assert_eq!(crate::spawn_errno(&refused), Errno::EAGAIN);
    let outcome = kernel.spawner().spawn_and_get_result_sync(|_| ());
    assert_eq!(kernel.ticket_errno(&outcome.unwrap_err()), Errno::EAGAIN);

    // Two come back, and the spawner goes on as if nothing had been.
    drop((all.pop(), all.pop()));
    let unit = refused.into_unit();
    kernel.spawner().spawn(unit).unwrap();
    let tid = kernel
        .spawner()
        .spawn_and_get_result_sync(|worker| worker.task().tid());
    assert!(matches!(tid, Ok(300..=309)), "{tid:?}");
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
}

#[test]
fn shutdown_says_when_kernel_work_does_not_end() {
    let kernel = kernel(16);
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let ticket = kernel
        .spawner()
        .spawn_and_get_result(move |_| goes.recv_timeout(Duration::from_secs(60)));
    assert!(!kernel.shutdown(ShutdownReason::Requested, Duration::from_millis(20)));
    go.send(()).unwrap();
    assert_eq!(ticket.wait().unwrap(), Ok(()));
    assert!(kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(60)));
}
