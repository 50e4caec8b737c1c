//! The host's ends of a child's pipes. The pipes are the guest kernel's own
//! objects: no host descriptor is involved.

use rivix_abi::Errno;
use rivix_fs::{Caller, File, Namespace, SliceSource, Source, VecSink};
use rivix_sync::{Notify, Parker};
use std::io;
use std::sync::Arc;

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
pub(crate) struct HostEnd(Arc<File>);

/// The reading and the writing file of a new pipe.
pub(crate) fn pair(namespace: &Namespace) -> (Arc<File>, Arc<File>) {
    rivix_fs::pipe::pair(namespace, &Caller::default(), 0)
}

impl HostEnd {
    pub(crate) fn new(file: Arc<File>) -> HostEnd {
        HostEnd(file)
    }

    /// Tells `waiter` of every change.
    pub(crate) fn watch(&self, waiter: &Arc<Waiter>) -> Option<rivix_sync::WaitEntry> {
        Some(self.0.wait_queue()?.register(waiter.clone(), u32::MAX))
    }

    /// What is there now; None: nothing yet.
    pub(crate) fn try_read(&self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut sink = VecSink::new(limit);
        match self.0.read(&mut sink, None) {
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
        let mut source = SliceSource::new(bytes);
        loop {
            let result = self.0.write(&mut source, None);
            // A full pipe may have taken a part before it said EAGAIN.
            let taken = bytes.len() - source.remaining();
            match result {
                Ok(_) => return Ok(taken),
                Err(_) if taken > 0 => return Ok(taken),
                Err(Errno::EAGAIN) => waiter.park(),
                Err(errno) => return Err(io::Error::from_raw_os_error(errno.raw())),
            }
        }
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

/// The writing end of a child's standard input. Dropping it is the end of the
/// child's input.
pub struct ChildStdin(pub(crate) HostEnd);

impl io::Write for ChildStdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
