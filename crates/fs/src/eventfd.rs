//! eventfd(2).

use crate::{File, FileOps, Sink, Source};
use rivix_abi::Errno;
use rivix_abi::poll::{POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use rivix_sync::{Mutex, WaitQueue, level};
use std::fmt::Write;

/// The largest value a counter holds; one more is the overflow mark.
const MAX: u64 = u64::MAX - 1;

pub struct EventFd {
    count: Mutex<level::FileObject, u64>,
    queue: WaitQueue,
    is_semaphore: bool,
}

impl EventFd {
    pub fn new(initial: u64, is_semaphore: bool) -> EventFd {
        EventFd {
            count: Mutex::new(initial),
            queue: WaitQueue::new(),
            is_semaphore,
        }
    }
}

impl FileOps for EventFd {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = {
            let mut count = self.count.lock();
            if *count == 0 {
                return Err(Errno::EAGAIN);
            }
            let value = if self.is_semaphore { 1 } else { *count };
            *count -= value;
            value
        };
        self.queue.notify(POLLOUT | POLLWRNORM);
        // The count is taken even when the copy faults, as on Linux.
        match sink.put(&value.to_le_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        if source.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        // Look for room before taking the bytes: after EAGAIN they are taken again.
        let mut count = self.count.lock();
        if *count == MAX {
            return Err(Errno::EAGAIN);
        }
        let mut bytes = [0; 8];
        if source.peek(&mut bytes)? < 8 {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_le_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        if MAX - *count < value {
            return Err(Errno::EAGAIN);
        }
        *count += value;
        drop(count);
        source.take(&mut bytes)?;
        self.queue.notify(POLLIN | POLLRDNORM);
        Ok(8)
    }

    fn poll(&self, _: &File) -> u32 {
        let count = *self.count.lock();
        let mut events = 0;
        if count > 0 {
            events |= POLLIN | POLLRDNORM;
        }
        if count == u64::MAX {
            events |= POLLERR;
        }
        if count < MAX {
            events |= POLLOUT | POLLWRNORM;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let _ = writeln!(out, "eventfd-count: {:16x}", *self.count.lock());
    }
}
