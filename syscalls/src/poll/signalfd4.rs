//! signalfd4(2). A reader takes signals of its own thread and process, whoever made
//! the descriptor; so its queue hears of the signals of every process that looks.

use crate::arg::Fd;
use rivix_abi::fcntl::{O_CLOEXEC, O_NONBLOCK};
use rivix_abi::poll::{POLLIN, POLLRDNORM};
use rivix_abi::signal::{SigInfo, SignalfdInfo, si_code};
use rivix_abi::{Errno, Signal, UserRef};
use rivix_fs::{File, FileOps, Sink};
use rivix_sync::{Mutex, Notify, WaitEntry, WaitQueue, level};
use rivix_task::{CurrentTask, Kernel, SysResult, Task, ThreadGroup, current_ids};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

const RECORD: usize = size_of::<SignalfdInfo>();

struct SignalFd {
    mask: AtomicU64,
    maker: Weak<Task>,
    kernel: Weak<Kernel>,
    queue: WaitQueue,
    /// Processes whose signals are passed on to `queue`.
    heard: Mutex<level::FileObject, Vec<Heard>>,
}

struct Heard {
    group: Weak<ThreadGroup>,
    _entry: WaitEntry,
}

/// Passes a notification on to a descriptor's queue.
struct Forward(WaitQueue);

impl Notify for Forward {
    fn notify(&self, _: u32) {
        self.0.notify(POLLIN | POLLRDNORM);
    }
}

impl SignalFd {
    fn mask(&self) -> u64 {
        self.mask.load(Ordering::Relaxed)
    }

    /// The task that asks. From now on its process's signals are heard of: callers
    /// wait at the queue before they look.
    fn reader(&self) -> Option<Arc<Task>> {
        let (_, tid) = current_ids();
        let maker = self.maker.upgrade();
        // The kernel's own tasks look on behalf of the maker.
        let reader = match maker.filter(|maker| tid == 0 || maker.tid() == tid) {
            Some(maker) => maker,
            None => match self.kernel.upgrade()?.find_task(tid) {
                Some(task) if !task.is_kernel() => task,
                _ => self.maker.upgrade()?,
            },
        };
        self.hear(reader.group());
        Some(reader)
    }

    fn hear(&self, group: &Arc<ThreadGroup>) {
        let mut heard = self.heard.lock();
        let is_its = |one: &Heard| std::ptr::eq(one.group.as_ptr(), Arc::as_ptr(group));
        if heard.iter().any(is_its) {
            return;
        }
        let is_gone = |one: &mut Heard| one.group.upgrade().is_none_or(|group| group.is_dead());
        let gone: Vec<Heard> = heard.extract_if(.., is_gone).collect();
        let forward = Arc::new(Forward(self.queue.clone()));
        heard.push(Heard {
            group: Arc::downgrade(group),
            _entry: group.signal_queued().register(forward, u32::MAX),
        });
        drop(heard);
        drop(gone);
    }
}

/// What signalfd(2) shows of a siginfo, by the kind of its sender.
fn record(info: &SigInfo) -> SignalfdInfo {
    let mut out = SignalfdInfo {
        signo: info.signo as u32,
        errno: info.errno,
        code: info.code,
        ..SignalfdInfo::default()
    };
    let number = Signal::new(i64::from(info.signo));
    let is_fault = info.code > 0
        && info.code != si_code::KERNEL
        && number.is_some_and(|signal| {
            let faults = [
                Signal::SIGSEGV,
                Signal::SIGBUS,
                Signal::SIGILL,
                Signal::SIGFPE,
            ];
            faults.contains(&signal)
        });
    if is_fault {
        out.addr = info.addr();
    } else if info.code == si_code::TIMER {
        out.tid = info.fields[0] as u32;
        out.overrun = (info.fields[0] >> 32) as u32;
        out.ptr = info.value();
        out.int = info.value() as i32;
    } else {
        out.pid = info.pid() as u32;
        out.uid = info.uid();
        if number == Some(Signal::SIGCHLD) && info.code > 0 {
            out.status = info.status();
            out.utime = info.fields[2];
            out.stime = info.fields[3];
        } else if info.code < 0 {
            out.ptr = info.value();
            out.int = info.value() as i32;
        }
    }
    out
}

impl FileOps for SignalFd {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        if sink.remaining() < RECORD {
            return Err(Errno::EINVAL);
        }
        let reader = self.reader().ok_or(Errno::EAGAIN)?;
        let mut moved = 0;
        while sink.remaining() >= RECORD {
            let Some((_, info)) = reader.take_signal(self.mask()) else {
                break;
            };
            match sink.put(bytemuck::bytes_of(&record(&info))) {
                Ok(RECORD) => moved += RECORD,
                // The signal is gone, as on Linux.
                _ if moved == 0 => return Err(Errno::EFAULT),
                _ => break,
            }
        }
        if moved == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(moved)
        }
    }

    fn poll(&self, _: &File) -> u32 {
        let pending = self.reader().map_or(0, |reader| reader.pending_signals());
        if pending & self.mask() != 0 {
            POLLIN | POLLRDNORM
        } else {
            0
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let _ = writeln!(out, "sigmask:\t{:016x}", self.mask());
    }
}

pub fn signalfd4(
    task: &mut CurrentTask,
    fd: Fd,
    mask: UserRef<u64>,
    size: u64,
    flags: u32,
) -> SysResult<Fd> {
    if size != 8 || flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let unblockable = Signal::SIGKILL.bit() | Signal::SIGSTOP.bit();
    let mask = task.read(mask)? & !unblockable;
    if fd.0 != -1 {
        let file = task.files().get(fd.0)?;
        let signals = file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?;
        signals.mask.store(mask, Ordering::Relaxed);
        signals.queue.notify(0);
        return Ok(fd);
    }
    let ops = SignalFd {
        mask: AtomicU64::new(mask),
        maker: Arc::downgrade(task.task()),
        kernel: Arc::downgrade(task.kernel()),
        queue: WaitQueue::new(),
        heard: Mutex::default(),
    };
    ops.hear(task.group());
    super::install(task, "signalfd", Box::new(ops), flags)
}
