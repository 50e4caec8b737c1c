//! The system calls of teaching kernels, those of the rCore and uCore tutorials.
//! What each does is in `syscalls/TEACHING.md`.
//!
//! A process has the calls of one personality: its table is found by that, never by
//! the number, so that a Linux process reaches none of these.
//!
//! **Invariant:** a call answers -1 wherever Linux's would have an error number.

mod files;
mod memory;
mod process;
mod rcore;
mod sync;
mod threads;
mod ucore;

use rivix_task::{Abi, CurrentTask, Outcome, SysError, SysResult};

/// The answer of a call that failed, or that there is not.
const FAILED: u64 = -1i64 as u64;
/// What is not over yet: a thread that is waited for, a child.
const NOT_YET: i64 = -2;
/// A lock or a down that would leave no safe order.
const DEADLOCK: i64 = -0xDEAD;

/// One row of a table.
pub struct Entry {
    pub number: u64,
    pub name: &'static str,
    call: fn(&mut CurrentTask, &[u64; 6]) -> SysResult<Outcome>,
}

/// Makes a table of rows, in number order: number, name, handler.
macro_rules! calls {
    ($($number:literal $name:ident $handler:path;)*) => {
        pub(super) static CALLS: &[$crate::teaching::Entry] = &[
            $($crate::teaching::Entry {
                number: $number,
                name: stringify!($name),
                call: |task, args| $crate::dispatch::invoke($handler, task, args),
            }),*
        ];
    };
}
use calls;

/// All calls of a personality in ascending order; none for Linux, whose are in
/// [`crate::table`].
pub fn rows(abi: Abi) -> &'static [Entry] {
    match abi {
        Abi::Linux => &[],
        Abi::Rcore => rcore::CALLS,
        Abi::Ucore => ucore::CALLS,
    }
}

fn find(abi: Abi, number: u64) -> Option<&'static Entry> {
    let rows = rows(abi);
    let at = rows.binary_search_by_key(&number, |row| row.number).ok()?;
    rows.get(at)
}

/// Runs the call with this number.
pub(crate) fn run(
    task: &mut CurrentTask,
    abi: Abi,
    number: u64,
    args: &[u64; 6],
) -> SysResult<Outcome> {
    if let Some(teaching) = task.group().teaching() {
        teaching.count_call(number);
    }
    let result = match find(abi, number) {
        Some(entry) => (entry.call)(task, args),
        None => {
            unknown(task, abi, number);
            return Ok(Outcome::Value(FAILED));
        }
    };
    match result {
        Err(SysError::Errno(errno)) => {
            tracing::trace!(pid = task.pid(), number, ?errno, "answered -1");
            Ok(Outcome::Value(FAILED))
        }
        other => other,
    }
}

/// Counted always, logged once per number and sandbox.
#[cold]
fn unknown(task: &CurrentTask, abi: Abi, number: u64) {
    if task.kernel().stats().count_unknown_teaching(number) {
        tracing::warn!(
            number,
            abi = abi.name(),
            pid = task.pid(),
            "no such system call: -1"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order_and_found_by_number_only() {
        for abi in [Abi::Rcore, Abi::Ucore] {
            let rows = rows(abi);
            assert!(rows.is_sorted_by(|a, b| a.number < b.number), "{abi:?}");
            for row in rows {
                assert_eq!(find(abi, row.number).map(|e| e.name), Some(row.name));
                assert!(find(abi, row.number | 1 << 32).is_none());
            }
        }
        assert!(find(Abi::Linux, 64).is_none());
        assert!(find(Abi::Rcore, 460).is_none());
        assert!(find(Abi::Ucore, 1000).is_none());
    }
}
