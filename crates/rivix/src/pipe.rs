//! The host's ends of a child's pipes. The pipes are the guest kernel's own
//! objects: no host descriptor is involved.

use crate::asynchronous::Wake;
use futures::io::{AsyncRead, AsyncWrite};
use rivix_abi::Errno;
use rivix_fs::{Caller, File, Namespace, SliceSource, Source, VecSink};
use rivix_sync::{Notify, Parker};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A host thread that waits for guest files.
#[derive(Default)]
pub(crate) struct Waiter(Parker);

impl Notify for Waiter {
    fn notify(&self, _events: u32) {
        self.0.unpark();
    }
}

impl Waiter {
    pub(crate) fn park(&self) {
        self.0.park_until(None);
    }
}

/// One host end of a pipe.
pub(crate) struct HostEnd {
    file: Arc<File>,
    /// Made by the first asynchronous call.
    listener: Option<Listener>,
}

/// Who is told of the pipe's changes between asynchronous calls.
struct Listener {
    wake: Arc<Wake>,
    _entry: Option<rivix_sync::WaitEntry>,
}

/// The reading and the writing file of a new pipe.
pub(crate) fn pair(namespace: &Namespace) -> (Arc<File>, Arc<File>) {
    rivix_fs::pipe::pair(namespace, &Caller::default(), 0)
}

impl HostEnd {
    pub(crate) fn new(file: Arc<File>) -> HostEnd {
        HostEnd {
            file,
            listener: None,
        }
    }

    /// Tells `waiter` of every change.
    pub(crate) fn watch(&self, waiter: &Arc<Waiter>) -> Option<rivix_sync::WaitEntry> {
        Some(self.file.wait_queue()?.register(waiter.clone(), u32::MAX))
    }

    /// What is there now; None: nothing yet.
    pub(crate) fn try_read(&self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut sink = VecSink::new(limit);
        match self.file.read(&mut sink, None) {
            Ok(_) => Ok(Some(sink.bytes)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(io::Error::from_raw_os_error(errno.raw())),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let waiter = Arc::new(Waiter::default());
        let _entry = self.watch(&waiter);
        loop {
            if let Some(bytes) = self.try_read(buffer.len())? {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                return Ok(bytes.len());
            }
            waiter.park();
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let waiter = Arc::new(Waiter::default());
        let _entry = self.watch(&waiter);
        loop {
            if let Some(taken) = self.try_write(bytes)? {
                return Ok(taken);
            }
            waiter.park();
        }
    }

    /// How much of `bytes` it took; None: it is full.
    fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let mut source = SliceSource::new(bytes);
        let result = self.file.write(&mut source, None);
        // A full pipe may have taken a part before it said EAGAIN.
        let taken = bytes.len() - source.remaining();
        match result {
            Ok(_) => Ok(Some(taken)),
            Err(_) if taken > 0 => Ok(Some(taken)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(io::Error::from_raw_os_error(errno.raw())),
        }
    }

    /// Has the task woken by changes from now on. Before looking.
    fn listen(&mut self, context: &Context<'_>) {
        let listener = self.listener.get_or_insert_with(|| {
            let wake = Arc::new(Wake::default());
            let queue = self.file.wait_queue();
            let entry = queue.map(|queue| queue.register(wake.clone(), u32::MAX));
            Listener {
                wake,
                _entry: entry,
            }
        });
        listener.wake.register(context);
    }

    /// The next bytes, none at the end of the stream.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<Vec<u8>>> {
        self.listen(context);
        self.try_read(limit)
            .transpose()
            .map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_chunk(context, buffer.len()))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.listen(context);
        self.try_write(bytes)
            .transpose()
            .map_or(Poll::Pending, Poll::Ready)
    }
}

macro_rules! reader {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(pub(crate) HostEnd);

        impl io::Read for $name {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_read(context, buffer)
            }
        }
    };
}

reader! {
    /// The reading end of a child's standard output.
    ChildStdout
}
reader! {
    /// The reading end of a child's standard error.
    ChildStderr
}

/// The writing end of a child's standard input. Dropping or closing it is the
/// end of the child's input.
pub struct ChildStdin(Option<HostEnd>);

impl ChildStdin {
    pub(crate) fn new(end: HostEnd) -> ChildStdin {
        ChildStdin(Some(end))
    }
}

/// EPIPE, as for a pipe that nobody reads.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(Errno::EPIPE.raw())
}

impl io::Write for ChildStdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_ref().ok_or_else(closed)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(end) => end.poll_write(context, bytes),
            None => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}
