//! signalfd(2): signals read as records.

use crate::current::current_ids;
use crate::kernel::Kernel;
use crate::task::Task;
use rivix_abi::poll::{POLLIN, POLLRDNORM};
use rivix_abi::signal::{SigInfo, SignalFdInfo};
use rivix_abi::{Errno, Signal};
use rivix_fs::{File, FileOps, Sink};
use rivix_sync::WaitQueue;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Reads take from the reader's own queues, whoever made the file. Waiting
/// follows the maker's process: in a forked child a blocked read or poll is
/// woken only by what the parent receives.
pub struct SignalFd {
    kernel: Weak<Kernel>,
    mask: AtomicU64,
    queue: WaitQueue,
}

impl SignalFd {
    pub fn new(maker: &Task, mask: u64) -> SignalFd {
        SignalFd {
            kernel: Arc::downgrade(maker.kernel()),
            mask: AtomicU64::new(mask),
            queue: maker.group().signal_queued().clone(),
        }
    }

    /// signalfd4(2) on an existing descriptor.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Relaxed);
        self.queue.notify(POLLIN | POLLRDNORM);
    }

    fn reader(&self) -> Option<Arc<Task>> {
        let (_, tid) = current_ids();
        self.kernel.upgrade()?.find_task(tid)
    }

    fn take(&self, reader: &Task) -> Option<(Signal, SigInfo)> {
        let mask = self.mask.load(Ordering::Relaxed);
        let mut taken = reader.group().signals.lock().take(reader.tid(), mask);
        if let Some((_, info)) = &mut taken {
            reader.timer_signal_taken(info);
        }
        taken
    }
}

impl FileOps for SignalFd {
    /// As many whole records as fit and are pending.
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        let size = size_of::<SignalFdInfo>();
        if sink.remaining() < size {
            return Err(Errno::EINVAL);
        }
        let reader = self.reader().ok_or(Errno::ESRCH)?;
        let mut done = 0;
        while sink.remaining() >= size {
            let Some((signal, info)) = self.take(&reader) else { break };
            let record = SignalFdInfo::new(signal, &info);
            match sink.put(bytemuck::bytes_of(&record)) {
                Ok(put) if put == size => done += size,
                // The signal is gone, as on Linux.
                _ if done == 0 => return Err(Errno::EFAULT),
                _ => break,
            }
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self, _: &File) -> u32 {
        let Some(reader) = self.reader() else { return 0 };
        let signals = reader.group().signals.lock();
        let own = signals.threads.get(&reader.tid()).map_or(0, |t| t.pending.set());
        let is_ready = (own | signals.shared.set()) & self.mask.load(Ordering::Relaxed) != 0;
        if is_ready { POLLIN | POLLRDNORM } else { 0 }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let _ = writeln!(out, "sigmask:\t{:016x}", self.mask.load(Ordering::Relaxed));
    }
}
