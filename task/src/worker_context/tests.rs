use super::*;
use crate::testing::kernel;
use rivix_fs::ProcInfo;
use std::cell::RefCell;
use std::rc::Rc;

fn seed(kernel: &Arc<Kernel>) -> KernelSeed {
    let seed = KernelSeed::default();
    seed.set(kernel);
    seed
}

fn comm(kernel: &Kernel, tid: i32) -> Vec<u8> {
    kernel.thread(tid).unwrap().comm
}

#[test]
fn a_worker_is_a_kernel_task_while_its_thread_lives() {
    let kernel = kernel(16);
    let mut worker = KernelWorker::enter(&seed(&kernel), "write-back of a long name").unwrap();
    let tid = worker.task().tid();
    assert_eq!(kernel.pids(), [1, 2, tid]);
    assert_eq!(crate::current_ids(), (tid, tid));
    let shot = kernel.process(tid).unwrap();
    assert_eq!((shot.ppid, shot.pgid, shot.sid, shot.threads), (2, 0, 0, 1));
    assert_eq!(shot.comm, b"write-back of a");
    assert_eq!(shot.state, 'I');

    worker.begin("flush");
    assert_eq!(comm(&kernel, tid), b"flush");
    // It asks while it runs.
    assert_eq!(kernel.process(tid).unwrap().state, 'R');
    worker.end();
    assert_eq!(comm(&kernel, tid), IDLE);
    worker.leave();
    assert_eq!(kernel.pids(), [1, 2]);
    assert_eq!(crate::current_ids(), (0, 0));
    assert!(kernel.process(tid).is_none() && kernel.find_task(tid).is_none());
}

#[test]
fn work_put_off_runs_after_the_poll_and_after_the_unit() {
    let kernel = kernel(16);
    let mut worker = KernelWorker::enter(&seed(&kernel), "unit").unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let put_off = |what: &'static str| {
        let log = log.clone();
        Box::new(move || log.borrow_mut().push((what, crate::current_ids().0 != 0)))
    };
    worker.begin("unit");
    worker.release_later(put_off("polled"));
    assert!(log.borrow().is_empty());
    worker.polled();
    release_later(put_off("ended"));
    assert_eq!(log.borrow().len(), 1);
    worker.end();
    worker.release_later(put_off("left"));
    worker.leave();
    assert_eq!(
        *log.borrow(),
        [("polled", true), ("ended", true), ("left", true)],
        "each as the task"
    );
}

#[test]
fn a_panic_in_work_put_off_is_counted() {
    let kernel = kernel(16);
    let mut worker = KernelWorker::enter(&seed(&kernel), "unit").unwrap();
    worker.begin("unit");
    worker.release_later(Box::new(|| panic!("on purpose")));
    worker.end();
    assert_eq!(kernel.report().unit_panics, 1);
}

#[test]
fn a_unit_leaves_nothing_to_the_next() {
    let kernel = kernel(16);
    let mut worker = KernelWorker::enter(&seed(&kernel), "one").unwrap();
    worker.begin("one");
    worker.task().update_sched(|sched| sched.nice = -5);
    worker.end();
    worker.begin("two");
    assert_eq!(worker.task().sched().nice, 0);
    let cpus = affinity::available().into();
    assert_eq!(worker.task().set_affinity(cpus), Err(Errno::EINVAL));
}

#[test]
fn no_kernel_is_eshutdown() {
    let early = KernelWorker::enter(&KernelSeed::default(), "unit");
    assert_eq!(early.err(), Some(Errno::ESHUTDOWN));
    let kernel = kernel(16);
    let seed = seed(&kernel);
    let late = KernelWorker::enter(&seed, "unit").unwrap();
    // The worker does not keep it alive.
    drop(kernel);
    assert!(late.kernel().is_none());
    drop(late);
    let gone = KernelWorker::enter(&seed, "unit");
    assert_eq!(gone.err(), Some(Errno::ESHUTDOWN));
}

#[test]
fn a_guest_worker_gives_back_cpus_and_signal_mask() {
    std::thread::spawn(|| {
        let Ok(mut worker) = GuestWorker::enter(&(), "guest");
        let before = (
            affinity::of_this_thread(),
            SigSet::thread_get_mask().unwrap(),
        );
        let first = affinity::available()
            .iter()
            .map(|word| word & word.wrapping_neg())
            .enumerate()
            .find(|(_, bit)| *bit != 0)
            .unwrap();
        let mut one = [0; affinity::WORDS];
        one[first.0] = first.1;
        worker.begin("guest");
        affinity::set(0, &one);
        assert_eq!(affinity::of_this_thread(), one);
        let mut mask = before.1;
        for signal in [nix::sys::signal::SIGUSR1, nix::sys::signal::SIGUSR2] {
            match mask.contains(signal) {
                true => mask.remove(signal),
                false => mask.add(signal),
            }
        }
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).unwrap();
        worker.end();
        let after = (
            affinity::of_this_thread(),
            SigSet::thread_get_mask().unwrap(),
        );
        assert_eq!(before, after);
    })
    .join()
    .unwrap();
}
