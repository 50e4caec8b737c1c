//! `--strace`: system calls and signals as strace(1) prints them.
//!
//! A call that may wait is written when it begins, so that a hanging guest
//! shows where; others are written whole. Lines of different tasks never mix:
//! a begun line is ended with `<unfinished ...>` and taken up again.
//!
//! **Invariant:** tracing changes nothing that the guest can see. Its memory is
//! read, never written; what cannot be read is shown as an address.

mod flags;
mod render;
mod signatures;
mod sink;
mod values;

pub use signatures::{name, name_in};

use render::{Call, Ended};
use rivix_abi::Errno;
use rivix_abi::signal::SigInfo;
use rivix_abi::{Signal, UserAddress};
use rivix_spawner::Lanes;
use rivix_sync::{Mutex, level};
use rivix_task::{
    Abi, CurrentTask, ExitStatus, Outcome, Restart, SysError, SysResult, SyscallTracer,
};
use sink::Trace;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use values::Peek;

/// The column at which ` = ` stands when the call is shorter.
const RESULT_COLUMN: usize = 40;

/// Writes a trace to one sink, from a lane of the traced kernel.
pub struct Strace {
    state: Mutex<level::Strace, State>,
    trace: Arc<Trace>,
}

struct State {
    trace: Arc<Trace>,
    /// The task whose line has been begun and not ended, and its width.
    open: Option<(i32, usize)>,
    /// Calls in progress, by tid.
    begun: BTreeMap<i32, Begun>,
    /// Tasks seen and not ended.
    tasks: BTreeSet<i32>,
}

struct Begun {
    /// The text up to the first argument that the call stores.
    text: String,
    /// Arguments in it.
    shown: usize,
    /// The text is on the sink.
    is_written: bool,
    /// Another line came between: the rest needs `<... resumed>`.
    is_interrupted: bool,
}

impl Peek for CurrentTask {
    fn peek(&self, addr: u64, dst: &mut [u8]) -> usize {
        self.mm().read_partial(UserAddress(addr), dst)
    }
}

impl Strace {
    /// A trace that keeps its text until [`Strace::start`].
    pub fn new() -> Arc<Strace> {
        let trace = Arc::new(Trace::new());
        Arc::new(Strace {
            state: Mutex::new(State {
                trace: trace.clone(),
                open: None,
                begun: BTreeMap::new(),
                tasks: BTreeSet::new(),
            }),
            trace,
        })
    }

    /// Opens the lane that writes to `sink`.
    ///
    /// # Errors
    /// EAGAIN: no thread for it.
    pub fn start(&self, lanes: &Lanes, sink: Box<dyn Write + Send>) -> Result<(), Errno> {
        self.trace.start(lanes, sink)
    }

    /// Returns when all that happened before has been written, or at `deadline`.
    pub fn flush_until(&self, deadline: Instant) {
        self.trace.flush_until(deadline);
    }
}

impl State {
    fn put(&mut self, text: &str) {
        self.trace.put(text);
    }

    fn prefix(&self, tid: i32) -> String {
        if self.tasks.len() > 1 {
            format!("[pid {tid:5}] ")
        } else {
            String::new()
        }
    }

    /// Ends another task's begun line, so that `tid` may write its own.
    fn make_room(&mut self, tid: i32) {
        if let Some((other, _)) = self.open.take() {
            self.put(" <unfinished ...>\n");
            let _ = tid;
            if let Some(begun) = self.begun.get_mut(&other) {
                begun.is_interrupted = true;
            }
        }
    }

    /// Writes one whole line of `tid`.
    fn line(&mut self, tid: i32, text: &str) {
        self.make_room(tid);
        let line = format!("{}{text}\n", self.prefix(tid));
        self.put(&line);
    }

    fn enter(&mut self, tid: i32, call: &Call<'_>) {
        let is_new = self.tasks.insert(tid);
        if is_new && self.tasks.len() > 1 {
            self.make_room(tid);
            self.put(&format!("strace: Process {tid} attached\n"));
        }
        let (text, shown) = call.entry();
        let mut begun = Begun {
            text,
            shown,
            is_written: false,
            is_interrupted: false,
        };
        if may_wait(call) {
            self.make_room(tid);
            let line = format!("{}{}", self.prefix(tid), begun.text);
            self.put(&line);
            self.open = Some((tid, line.chars().count()));
            begun.is_written = true;
        }
        self.begun.insert(tid, begun);
    }

    fn exit(&mut self, tid: i32, call: &Call<'_>, ended: Ended) {
        let Some(begun) = self.begun.remove(&tid) else {
            return;
        };
        let rest = call.rest(begun.shown, ended);
        let mut line = String::new();
        let mut width = 0;
        if begun.is_written && !begun.is_interrupted {
            // The line is still open, so it is ours.
            width = self.open.take().map_or(0, |(_, width)| width);
        } else {
            self.make_room(tid);
            line = self.prefix(tid);
            if begun.is_interrupted {
                let name = name_in(call.abi, call.number).unwrap_or("syscall");
                let _ = write!(line, "<... {name} resumed>");
            } else {
                line.push_str(&begun.text);
            }
        }
        line.push_str(&rest);
        width += line.chars().count();
        for _ in width + 1..RESULT_COLUMN {
            line.push(' ');
        }
        let _ = writeln!(line, " = {}", call.result(ended));
        self.put(&line);
    }

    fn end(&mut self, tid: i32, text: &str) {
        if let Some(begun) = self.begun.remove(&tid) {
            // Its call never came back.
            if begun.is_written && !begun.is_interrupted {
                self.make_room(tid);
            } else if !begun.is_written {
                self.line(tid, &format!("{} <unfinished ...>", begun.text));
            }
        }
        self.line(tid, text);
        self.tasks.remove(&tid);
    }
}

/// Calls that are written when they begin.
fn may_wait(call: &Call<'_>) -> bool {
    if call.abi.is_teaching() {
        return signatures::teaching_may_wait(call.abi, call.number);
    }
    let number = call.number;
    matches!(
        number,
        22 | 32
            | 63
            | 65
            | 72
            | 73
            | 95
            | 98
            | 101
            | 115
            | 133
            | 137
            | 202
            | 207
            | 212
            | 220
            | 242
            | 260
            | 435
            | 441
            | 449
    ) || matches!(number, 93 | 94 | 221 | 281)
}

impl SyscallTracer for Strace {
    fn enter(&self, task: &CurrentTask, number: u64, args: &[u64; 6]) {
        let call = Call {
            abi: task.abi(),
            number,
            args: *args,
            memory: task,
        };
        self.state.lock().enter(task.tid(), &call);
        self.trace.wait_for_room(task);
    }

    fn exit(&self, task: &CurrentTask, number: u64, args: &[u64; 6], result: &SysResult<Outcome>) {
        let abi = task.abi();
        let ended = match result {
            Ok(Outcome::Value(value)) if abi.is_teaching() && value.cast_signed() < 0 => {
                Ended::Refused(value.cast_signed())
            }
            Ok(Outcome::Value(value)) => Ended::Value(*value),
            Ok(Outcome::Registers) => match number {
                93 | 94 => Ended::Never,
                _ => Ended::Value(task.regs.x[rivix_isa::reg::A0]),
            },
            Err(SysError::Errno(errno)) => Ended::Errno(*errno),
            Err(SysError::Restart(restart)) => Ended::Restart(restart_text(restart)),
        };
        let ended = if number == 93 || number == 94 && abi == Abi::Linux {
            Ended::Never
        } else {
            ended
        };
        let call = Call {
            abi,
            number,
            args: *args,
            memory: task,
        };
        self.state.lock().exit(task.tid(), &call, ended);
    }

    fn signal(&self, task: &CurrentTask, info: &SigInfo) {
        self.state
            .lock()
            .line(task.tid(), &format!("--- {} ---", signal_text(info)));
    }

    fn thread_exit(&self, task: &CurrentTask, status: ExitStatus) {
        let text = match status {
            ExitStatus::Code(code) => format!("+++ exited with {code} +++"),
            ExitStatus::Signal { signal, core } => {
                let dumped = if core { " (core dumped)" } else { "" };
                format!("+++ killed by {signal}{dumped} +++")
            }
        };
        self.state.lock().end(task.tid(), &text);
    }
}

fn restart_text(restart: &Restart) -> &'static str {
    match restart {
        Restart::Sys => "ERESTARTSYS (To be restarted if SA_RESTART is set)",
        Restart::NoHand => "ERESTARTNOHAND (To be restarted if no handler)",
        Restart::NoIntr => "ERESTARTNOINTR (To be restarted)",
        Restart::Block(_) => "ERESTART_RESTARTBLOCK (Interrupted by signal)",
    }
}

/// `SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL}`.
fn signal_text(info: &SigInfo) -> String {
    let name = match Signal::new(i64::from(info.signo)) {
        Some(signal) => signal.name().into_owned(),
        None => info.signo.to_string(),
    };
    let mut out = format!("{name} {{si_signo={name}, si_code=");
    let low = |field: u64| field as u32 as i32;
    let high = |field: u64| (field >> 32) as i32;
    let first = info.fields[0];
    match code_name(info.signo, info.code) {
        Some(code) => out.push_str(code),
        None => {
            let _ = write!(out, "{:#x}", info.code);
        }
    }
    match (info.signo, info.code) {
        (_, -2) => {
            let _ = write!(
                out,
                ", si_timerid={}, si_overrun={}",
                low(first),
                high(first)
            );
        }
        (17, 1..=6) => {
            let _ = write!(out, ", si_pid={}, si_uid={}", low(first), high(first));
            let status = low(info.fields[1]);
            out.push_str(", si_status=");
            if info.code == 1 {
                let _ = write!(out, "{status}");
            } else {
                flags::signal(&mut out, u64::from(status as u32));
            }
            let _ = write!(
                out,
                ", si_utime={}, si_stime={}",
                info.fields[2] as i64, info.fields[3] as i64
            );
        }
        (4 | 5 | 7 | 8 | 11, 1..) if info.code != 0x80 => {
            out.push_str(", si_addr=");
            values::addr(&mut out, first);
        }
        (_, 0 | -6) => {
            let _ = write!(out, ", si_pid={}, si_uid={}", low(first), high(first));
        }
        (_, -1) => {
            let _ = write!(out, ", si_pid={}, si_uid={}", low(first), high(first));
            let value = info.fields[1];
            let _ = write!(out, ", si_value={{int={}, ptr=", value as u32 as i32);
            values::addr(&mut out, value);
            out.push('}');
        }
        _ => {}
    }
    out.push('}');
    out
}

fn code_name(signo: i32, code: i32) -> Option<&'static str> {
    Some(match (signo, code) {
        (_, 0) => "SI_USER",
        (_, 0x80) => "SI_KERNEL",
        (_, -1) => "SI_QUEUE",
        (_, -2) => "SI_TIMER",
        (_, -3) => "SI_MESGQ",
        (_, -4) => "SI_ASYNCIO",
        (_, -5) => "SI_SIGIO",
        (_, -6) => "SI_TKILL",
        (11, 1) => "SEGV_MAPERR",
        (11, 2) => "SEGV_ACCERR",
        (7, 1) => "BUS_ADRALN",
        (7, 2) => "BUS_ADRERR",
        (4, 1) => "ILL_ILLOPC",
        (5, 1) => "TRAP_BRKPT",
        (5, 2) => "TRAP_TRACE",
        (17, 1) => "CLD_EXITED",
        (17, 2) => "CLD_KILLED",
        (17, 3) => "CLD_DUMPED",
        (17, 4) => "CLD_TRAPPED",
        (17, 5) => "CLD_STOPPED",
        (17, 6) => "CLD_CONTINUED",
        (31, 1) => "SYS_SECCOMP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
