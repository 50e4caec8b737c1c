//! Whole processes under many random schedules: the table of processes, thread
//! groups, waits and the guest loop as they are, on the model checker's threads.
//! What sleeps for ever is a deadlock that the checker finds; what is left over
//! at the end is counted.

use crate::testing::{clone_into, forget_scripts, kernel, place, run_as};
use crate::{
    CurrentTask, ExitStatus, Kernel, NewProgram, Program, SendTo, ShutdownReason, WaitFor,
};
use rivix_abi::process::{WALL, WEXITED, WSTOPPED};
use rivix_abi::signal::{KSigAction, SIG_IGN};
use rivix_abi::{Errno, Signal};
use rivix_mem::AddressSpace;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SCHEDULES: usize = 400;
/// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD.
const THREAD: u64 = 0x10f00;
const FORK: u64 = 17;

/// Runs a process under each schedule, and looks that nothing of it is left.
fn check(
    script: impl Fn(&mut CurrentTask) + Send + Sync + Clone + 'static,
    judge: impl Fn(ExitStatus) + Send + Sync + 'static,
) {
    let mut config = shuttle::Config::new();
    // Guests' threads run system calls and file tables on it.
    config.stack_size = 1 << 20;
    let scheduler = shuttle::scheduler::RandomScheduler::new(SCHEDULES);
    shuttle::Runner::new(scheduler, config).run(move || {
        forget_scripts();
        let kernel = kernel(64);
        let status = run_as(&kernel, 1000, script.clone());
        wait_for_all(&kernel);
        judge(status);
        kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(1));
        // Not before: what nobody waits for is let go of by a worker of the kernel's.
        let report = kernel.report();
        assert_eq!(report.ids_now, 0, "numbers of nobody's are in use");
        assert_eq!(report.panics, 0, "a guest thread failed");
    });
}

/// Sleeps until every process that the script made is over.
fn wait_for_all(kernel: &Arc<Kernel>) {
    let waiter = Arc::new(crate::kernel::HostWaiter::default());
    let _entry = kernel.task_gone.register(waiter.clone(), u32::MAX);
    loop {
        let report = kernel.report();
        if report.tasks_now + report.processes_now == 0 {
            return;
        }
        waiter.0.park_until(None);
    }
}

/// Sleeps until the task is to die.
fn forever(task: &mut CurrentTask) {
    let _ = task.block_until::<()>(None, &[], || Err(Errno::EAGAIN));
}

/// execve(2) of a program that ends its process with `code`.
fn exec(task: &mut CurrentTask, code: i32) {
    let entry = place(move |task| task.exit_group(code));
    let kernel = task.kernel().clone();
    let new = NewProgram {
        space: AddressSpace::new(kernel.memory_config()).expect("a window"),
        program: Program::default(),
        entry,
        sp: 0,
        name: b"new".to_vec(),
    };
    if task.become_program(new).is_err() {
        forever(task);
    }
}

fn code_of(status: ExitStatus) -> Option<u8> {
    match status {
        ExitStatus::Code(code) => Some(code),
        ExitStatus::Signal { .. } => None,
    }
}

/// A thread that makes a thread while another ends the process: nobody sleeps on,
/// and nobody is made too late to hear of it.
#[test]
fn clone_against_exit_group() {
    check(
        |task| {
            let _ = clone_into(task, THREAD, |task| {
                let _ = clone_into(task, THREAD, forever);
                forever(task);
            });
            let _ = clone_into(task, THREAD, |task| task.exit_group(40));
            forever(task);
        },
        |status| assert_eq!(code_of(status), Some(40)),
    );
}

/// A thread that makes a thread, one that ends the process, one that becomes
/// another program: one of the two ends wins, and no thread survives it.
#[test]
fn clone_against_exit_group_against_exec() {
    check(
        |task| {
            let _ = clone_into(task, THREAD, |task| {
                let _ = clone_into(task, THREAD, forever);
                forever(task);
            });
            let _ = clone_into(task, THREAD, |task| exec(task, 50));
            let _ = clone_into(task, THREAD, |task| task.exit_group(40));
            forever(task);
        },
        |status| assert!(matches!(code_of(status), Some(40 | 50)), "{status:?}"),
    );
}

/// The leader ends early, and two threads call execve(2): one of them is the
/// process from then on.
#[test]
fn exec_against_exec_against_the_leaders_end() {
    check(
        |task| {
            let _ = clone_into(task, THREAD, |task| exec(task, 50));
            let _ = clone_into(task, THREAD, |task| exec(task, 51));
            task.exit_thread(7);
        },
        |status| assert!(matches!(code_of(status), Some(50 | 51)), "{status:?}"),
    );
}

/// Two threads wait for the one child: one of them gets its status.
#[test]
fn two_waiters_against_the_childs_end() {
    static GOT: AtomicUsize = AtomicUsize::new(0);
    static NONE: AtomicUsize = AtomicUsize::new(0);
    fn wait(task: &mut CurrentTask) {
        match task.wait_child(WaitFor::Any, WEXITED | WALL) {
            Ok(Some(waited)) if waited.value == 3 => GOT.fetch_add(1, Ordering::SeqCst),
            Err(crate::SysError::Errno(Errno::ECHILD)) => NONE.fetch_add(1, Ordering::SeqCst),
            // The child's signal came first: Linux would begin anew, too.
            Err(crate::SysError::Restart(_)) => return wait(task),
            other => panic!("{other:?}"),
        };
        task.exit_thread(0);
    }
    check(
        |task| {
            GOT.store(0, Ordering::SeqCst);
            NONE.store(0, Ordering::SeqCst);
            clone_into(task, FORK, |task| task.exit_group(3)).expect("a child");
            clone_into(task, THREAD, wait).expect("a thread");
            wait(task);
        },
        |_| {
            let seen = (GOT.load(Ordering::SeqCst), NONE.load(Ordering::SeqCst));
            assert_eq!(seen, (1, 1));
        },
    );
}

/// A grandchild and its parent end at once: the subreaper gets both statuses,
/// whoever was first.
#[test]
fn reparent_against_end_against_wait() {
    static GOT: AtomicUsize = AtomicUsize::new(0);
    check(
        |task| {
            GOT.store(0, Ordering::SeqCst);
            task.kernel().set_subreaper(task.pid(), true);
            clone_into(task, FORK, |task| {
                clone_into(task, FORK, |task| task.exit_group(2)).expect("a grandchild");
                task.exit_group(1);
            })
            .expect("a child");
            loop {
                match task.wait_child(WaitFor::Any, WEXITED | WALL) {
                    Ok(Some(waited)) => GOT.fetch_add(waited.value as usize, Ordering::SeqCst),
                    Err(crate::SysError::Restart(_)) => continue,
                    Err(crate::SysError::Errno(Errno::ECHILD)) => break,
                    other => panic!("{other:?}"),
                };
            }
            task.exit_group(0);
        },
        |_| assert_eq!(GOT.load(Ordering::SeqCst), 3),
    );
}

/// Orphans that nobody waits for, dead before their parent or after it, leave
/// nothing in the table.
#[test]
fn orphans_against_their_parents_end() {
    check(
        |task| {
            clone_into(task, FORK, |task| task.exit_group(2)).expect("a child");
            clone_into(task, FORK, |task| {
                let _ = clone_into(task, FORK, |task| task.exit_group(4));
                task.exit_group(3);
            })
            .expect("a child");
            task.exit_group(0);
        },
        |status| assert_eq!(code_of(status), Some(0)),
    );
}

/// With SIGCHLD ignored children leave no zombie, and a wait ends when the last
/// has gone.
#[test]
fn reaping_by_itself_against_wait() {
    check(
        |task| {
            let ignore = KSigAction {
                handler: SIG_IGN,
                ..Default::default()
            };
            task.group().actions().set(Signal::SIGCHLD, ignore);
            for code in 1..3 {
                clone_into(task, FORK, move |task| task.exit_group(code)).expect("a child");
            }
            let end = loop {
                match task.wait_child(WaitFor::Any, WEXITED | WALL) {
                    Err(crate::SysError::Restart(_)) => continue,
                    other => break other,
                }
            };
            let is_alone = matches!(end, Err(crate::SysError::Errno(Errno::ECHILD)));
            task.exit_group(i32::from(is_alone));
        },
        |status| {
            assert_eq!(
                code_of(status),
                Some(1),
                "a status of a child that is nobody's"
            )
        },
    );
}

/// A stop of a process one of whose threads is just ending is told of, and so is
/// its end by SIGKILL.
#[test]
fn stop_against_a_threads_end_against_wait() {
    check(
        |task| {
            let pid = clone_into(task, FORK, |task| {
                let _ = clone_into(task, THREAD, |task| task.exit_thread(0));
                forever(task);
            })
            .expect("a child");
            let kernel = task.kernel().clone();
            let send = |task: &CurrentTask, signal| {
                let sent = kernel.kill(Some(task), SendTo::Process(pid), Some(signal), None);
                assert_eq!(sent, Ok(()));
            };
            send(task, Signal::SIGSTOP);
            let mut told = 0;
            loop {
                match task.wait_child(WaitFor::Pid(pid), WEXITED | WSTOPPED | WALL) {
                    Ok(Some(waited)) if waited.status & 0xff == 0x7f => {
                        told += 1;
                        send(task, Signal::SIGKILL);
                    }
                    Ok(Some(waited)) => {
                        assert_eq!(waited.status, 9);
                        break;
                    }
                    Err(crate::SysError::Restart(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            task.exit_group(told);
        },
        |status| assert_eq!(code_of(status), Some(1)),
    );
}
