//! Pipes and named FIFOs (pipe(7), fifo(7)).

use crate::anon::AnonNode;
use crate::mount::Namespace;
use crate::{Caller, File, FileOps, Sink, Source};
use rivix_abi::fcntl::{F_GETPIPE_SZ, F_SETPIPE_SZ, O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY};
use rivix_abi::ioctl::FIONREAD;
use rivix_abi::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_mem::AddressSpace;
use rivix_sync::{Mutex, WaitQueue, level};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// Writes up to this size are not interleaved with others.
pub const PIPE_BUF: usize = 4096;
const DEFAULT_CAPACITY: usize = 65536;
/// fs.pipe-max-size.
const MAX_CAPACITY: u64 = 1 << 20;
const READABLE: u32 = POLLIN | POLLRDNORM;
const WRITABLE: u32 = POLLOUT | POLLWRNORM;

struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    readers: usize,
    writers: usize,
    /// How often each side was opened: a FIFO's opener waits for the other side's count.
    reader_opens: u64,
    writer_opens: u64,
}

impl Ring {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }
}

/// The shared middle of a pipe.
pub struct Pipe {
    ring: Mutex<level::FileObject, Ring>,
    queue: WaitQueue,
}

/// One open end (or both, for a FIFO opened O_RDWR).
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// The other side's open count when this one opened.
    peer_opens: u64,
    /// The other side was there when this one opened. It may be gone by the time
    /// this one looks, and must not be waited for again.
    met_peer: bool,
    is_fifo: bool,
}

/// A new pipe: the reading and the writing file. `flags` may have O_NONBLOCK.
pub fn pair(ns: &Namespace, caller: &Caller, flags: u32) -> (Arc<File>, Arc<File>) {
    let pipe = Pipe::new();
    let again = Arc::downgrade(&pipe);
    let node = AnonNode::pipe(
        caller,
        Box::new(move |flags| {
            let pipe = again.upgrade().ok_or(Errno::ENXIO)?;
            // An anonymous pipe never waits for its other side (fs/pipe.c, fifo_open).
            Ok(Box::new(PipeEnd::open(pipe, flags, false)?))
        }),
    );
    let reader = PipeEnd::new(pipe.clone(), true, false, false);
    let writer = PipeEnd::new(pipe, false, true, false);
    let status = flags & O_NONBLOCK;
    (
        ns.anonymous(Box::new(reader), O_RDONLY | status, node.clone()),
        ns.anonymous(Box::new(writer), O_WRONLY | status, node),
    )
}

impl Pipe {
    fn new() -> Arc<Pipe> {
        Arc::new(Pipe {
            ring: Mutex::new(Ring {
                bytes: VecDeque::new(),
                capacity: DEFAULT_CAPACITY,
                readers: 0,
                writers: 0,
                reader_opens: 0,
                writer_opens: 0,
            }),
            queue: WaitQueue::new(),
        })
    }

    fn set_capacity(&self, bytes: u64) -> Result<u64, Errno> {
        // Rounded up to pages, a power of two of them (fcntl(2), F_SETPIPE_SZ).
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let capacity = bytes.max(4096).next_power_of_two();
        if capacity > MAX_CAPACITY {
            // Also for root guests: the memory is the host's.
            return Err(Errno::EPERM);
        }
        let capacity = capacity as usize;
        let mut ring = self.ring.lock();
        if ring.bytes.len() > capacity {
            return Err(Errno::EBUSY);
        }
        ring.capacity = capacity;
        drop(ring);
        self.queue.notify(WRITABLE);
        Ok(capacity as u64)
    }
}

impl PipeEnd {
    fn new(pipe: Arc<Pipe>, reads: bool, writes: bool, is_fifo: bool) -> PipeEnd {
        let (peer_opens, met_peer) = {
            let mut ring = pipe.ring.lock();
            if reads {
                ring.readers += 1;
                ring.reader_opens += 1;
            }
            if writes {
                ring.writers += 1;
                ring.writer_opens += 1;
            }
            if reads {
                (ring.writer_opens, ring.writers > 0)
            } else {
                (ring.reader_opens, ring.readers > 0)
            }
        };
        pipe.queue.notify(READABLE | WRITABLE);
        PipeEnd {
            pipe,
            reads,
            writes,
            peer_opens,
            met_peer,
            is_fifo,
        }
    }

    fn open(pipe: Arc<Pipe>, flags: u32, is_fifo: bool) -> Result<PipeEnd, Errno> {
        let (reads, writes) = match flags & O_ACCMODE {
            O_RDONLY => (true, false),
            O_WRONLY => (false, true),
            _ => (true, true),
        };
        // fifo(7): a nonblocking writer needs a reader.
        if writes && !reads && flags & O_NONBLOCK != 0 && pipe.ring.lock().readers == 0 {
            return Err(Errno::ENXIO);
        }
        Ok(PipeEnd::new(pipe, reads, writes, is_fifo))
    }

    /// Bytes that could be read now.
    pub fn available(&self) -> usize {
        self.pipe.ring.lock().bytes.len()
    }

    pub fn can_read(&self) -> bool {
        self.reads
    }

    pub fn can_write(&self) -> bool {
        self.writes
    }

    pub fn is_same_pipe(&self, other: &PipeEnd) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Room that a write would find; EPIPE without readers.
    pub fn room(&self) -> Result<usize, Errno> {
        let ring = self.pipe.ring.lock();
        if ring.readers == 0 {
            Err(Errno::EPIPE)
        } else {
            Ok(ring.room())
        }
    }

    /// The first `limit` bytes, left in the pipe, for tee(2). None: empty, and no writer is left.
    pub fn peek(&self, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
        let ring = self.pipe.ring.lock();
        if ring.bytes.is_empty() {
            return if ring.writers == 0 {
                Ok(None)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        Ok(Some(ring.bytes.iter().copied().take(limit).collect()))
    }
}

impl FileOps for PipeEnd {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        let mut moved = 0;
        {
            let mut ring = self.pipe.ring.lock();
            if ring.bytes.is_empty() {
                return if ring.writers == 0 {
                    Ok(0)
                } else {
                    Err(Errno::EAGAIN)
                };
            }
            while sink.remaining() > 0 && !ring.bytes.is_empty() {
                let (front, _) = ring.bytes.as_slices();
                let want = front.len().min(sink.remaining());
                match sink.put(&front[..want]) {
                    Ok(n) => {
                        moved += n;
                        ring.bytes.drain(..n);
                        if n < want {
                            break;
                        }
                    }
                    Err(errno) if moved == 0 => return Err(errno),
                    Err(_) => break,
                }
            }
        }
        self.pipe.queue.notify(WRITABLE);
        Ok(moved)
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        let want = source.remaining();
        let mut moved = 0;
        {
            let mut ring = self.pipe.ring.lock();
            if ring.readers == 0 {
                return Err(Errno::EPIPE);
            }
            if want == 0 {
                return Ok(0);
            }
            let room = ring.room();
            if room == 0 || want <= PIPE_BUF && room < want {
                return Err(Errno::EAGAIN);
            }
            let mut buf = vec![0u8; room.min(want).min(65536)];
            while moved < want && ring.room() > 0 {
                let len = buf.len().min(want - moved).min(ring.room());
                match source.take(&mut buf[..len]) {
                    Ok(n) => {
                        ring.bytes.extend(&buf[..n]);
                        moved += n;
                        if n < len {
                            break;
                        }
                    }
                    Err(errno) if moved == 0 => return Err(errno),
                    Err(_) => break,
                }
            }
        }
        self.pipe.queue.notify(READABLE);
        Ok(moved)
    }

    fn poll(&self, _: &File) -> u32 {
        let ring = self.pipe.ring.lock();
        let mut events = 0;
        if self.reads {
            if !ring.bytes.is_empty() {
                events |= READABLE;
            }
            // A FIFO nobody wrote to yet has not hung up.
            if ring.writers == 0
                && (!self.is_fifo || self.met_peer || ring.writer_opens != self.peer_opens)
            {
                events |= POLLHUP;
            }
        }
        if self.writes {
            if ring.room() >= PIPE_BUF {
                events |= WRITABLE;
            }
            if ring.readers == 0 {
                events |= POLLERR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        mm.write(UserRef::new(arg), &(self.available() as i32))?;
        Ok(0)
    }

    fn fcntl(&self, _: &File, command: u32, arg: u64) -> Result<u64, Errno> {
        match command {
            F_SETPIPE_SZ => self.pipe.set_capacity(arg),
            F_GETPIPE_SZ => Ok(self.pipe.ring.lock().capacity as u64),
            _ => Err(Errno::EINVAL),
        }
    }

    fn finish_open(&self, file: &File) -> Result<(), Errno> {
        if !self.is_fifo || self.met_peer || file.is_nonblocking() || self.reads && self.writes {
            return Ok(());
        }
        let ring = self.pipe.ring.lock();
        let (present, opens) = if self.reads {
            (ring.writers > 0, ring.writer_opens)
        } else {
            (ring.readers > 0, ring.reader_opens)
        };
        if present || opens != self.peer_opens {
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        }
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        {
            let mut ring = self.pipe.ring.lock();
            ring.readers -= usize::from(self.reads);
            ring.writers -= usize::from(self.writes);
            if ring.readers == 0 && ring.writers == 0 {
                // What nobody read is gone (fifo(7)).
                ring.bytes.clear();
            }
        }
        self.pipe
            .queue
            .notify(READABLE | WRITABLE | POLLHUP | POLLERR);
    }
}

/// Named FIFOs that are open somewhere, by device and inode.
#[derive(Default)]
pub(crate) struct FifoTable {
    pipes: Mutex<level::Inode, HashMap<(u64, u64), Weak<Pipe>>>,
}

impl FifoTable {
    pub(crate) fn open(&self, id: (u64, u64), flags: u32) -> Result<Box<dyn FileOps>, Errno> {
        let pipe = {
            let mut pipes = self.pipes.lock();
            match pipes.get(&id).and_then(Weak::upgrade) {
                Some(pipe) => pipe,
                None => {
                    pipes.retain(|_, pipe| pipe.strong_count() > 0);
                    let pipe = Pipe::new();
                    pipes.insert(id, Arc::downgrade(&pipe));
                    pipe
                }
            }
        };
        Ok(Box::new(PipeEnd::open(pipe, flags, true)?))
    }
}
