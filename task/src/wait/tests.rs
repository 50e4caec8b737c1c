use super::*;
use crate::SysError;
use crate::testing::{clone, kernel, next_does, run_as};
use crate::{ExitStatus, ShutdownReason};
use std::sync::mpsc;
use std::time::Duration;

const FORK: u64 = 17;
/// VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
const THREAD: u64 = 0x5_0f00;
const PATIENCE: Duration = Duration::from_secs(60);

/// The code that a wait for `child` gives, or its error.
fn code_of(task: &CurrentTask, child: i32) -> Result<i32, Option<Errno>> {
    match task.wait_child(WaitFor::Pid(child), WEXITED) {
        Ok(Some(waited)) => Ok(waited.value),
        Ok(None) => Err(None),
        Err(SysError::Errno(errno)) => Err(Some(errno)),
        Err(_) => Err(None),
    }
}

#[test]
fn of_two_who_wait_for_one_child_one_gets_its_code() {
    let kernel = kernel(64);
    for round in 0..100 {
        let status = run_as(&kernel, 1000, move |task| {
            let (begun, begins) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            next_does(task, move |child| {
                begun.send(()).unwrap();
                ends.recv_timeout(PATIENCE).unwrap();
                child.exit_group(5);
            });
            let child = clone(task, FORK).unwrap();
            // It has taken its script: the next is the thread's.
            begins.recv_timeout(PATIENCE).unwrap();
            let (say, said) = mpsc::channel();
            next_does(task, move |thread| {
                say.send(code_of(thread, child)).unwrap();
                thread.exit_thread(0);
            });
            clone(task, THREAD).unwrap();
            // Before, while and after the two begin to wait.
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_micros(round * 20));
            }
            end.send(()).unwrap();
            let mut got = [code_of(task, child), said.recv_timeout(PATIENCE).unwrap()];
            got.sort_by_key(Result::is_err);
            assert_eq!(got, [Ok(5), Err(Some(Errno::ECHILD))]);
            task.exit_group(7);
        });
        assert_eq!(status, ExitStatus::Code(7));
    }
    assert!(kernel.shutdown(ShutdownReason::Requested, PATIENCE));
    assert_eq!(kernel.pids.lock().ids_used(), 2, "init's and kthreadd's");
}
