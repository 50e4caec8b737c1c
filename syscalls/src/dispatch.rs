//! From a7 to a handler.

use crate::arg::{FromRaw, IntoOutcome};
use crate::{table, teaching};
use rivix_abi::Errno;
use rivix_task::{CurrentTask, Outcome, SysError, SysResult};

/// A function that answers a system call; `Args` is its list of argument types.
pub trait Handler<Args> {
    fn call(self, task: &mut CurrentTask, args: &[u64; 6]) -> SysResult<Outcome>;
}

macro_rules! handlers {
    ($(($($arg:ident $at:literal),*))*) => {
        $(impl<F, R, $($arg: FromRaw),*> Handler<($($arg,)*)> for F
        where
            F: FnOnce(&mut CurrentTask, $($arg),*) -> SysResult<R>,
            R: IntoOutcome,
        {
            fn call(self, task: &mut CurrentTask, args: &[u64; 6]) -> SysResult<Outcome> {
                let _ = args;
                self(task, $($arg::from_raw(args[$at])),*).map(R::into_outcome)
            }
        })*
    };
}
handlers! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, G 5)
}

/// Lets a table row call its handler without naming the argument types.
pub(crate) fn invoke<Args, H: Handler<Args>>(
    handler: H,
    task: &mut CurrentTask,
    args: &[u64; 6],
) -> SysResult<Outcome> {
    handler.call(task, args)
}

/// The guest loop's entry: runs the call that the registers ask for.
pub fn entry(task: &mut CurrentTask) -> SysResult<Outcome> {
    let number = task.syscall_number();
    let args = task.syscall_args();
    let Some(tracer) = task.kernel().tracer().cloned() else {
        return run(task, number, &args);
    };
    tracer.enter(task, number, &args);
    let result = run(task, number, &args);
    tracer.exit(task, number, &args, &result);
    result
}

fn run(task: &mut CurrentTask, number: u64, args: &[u64; 6]) -> SysResult<Outcome> {
    let abi = task.abi();
    if abi.is_teaching() {
        return teaching::run(task, abi, number, args);
    }
    match table::find(number) {
        Some(entry) => (entry.call)(task, args),
        None => unknown(task, number),
    }
}

/// Counted always, logged once per number and sandbox.
#[cold]
fn unknown(task: &CurrentTask, number: u64) -> SysResult<Outcome> {
    if task.kernel().stats().count_unknown(number) {
        tracing::warn!(
            number,
            pid = task.pid(),
            "system call is not implemented: ENOSYS"
        );
    }
    Err(SysError::Errno(Errno::ENOSYS))
}
