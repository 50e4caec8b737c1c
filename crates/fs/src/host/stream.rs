//! Descriptors a guest inherits from the host that are not files: terminals,
//! pipes, sockets, devices. The bytes are the host's, so calls on them can block;
//! but output to a terminal goes through its [`Console`], which takes it at once.

use super::console::Console;
use super::{HostFd, sys};
use crate::reactor::Watched;
use crate::tty;
use crate::{File, FileOps, Sink, Source};
use rivix_abi::Errno;
use rivix_abi::ioctl::{
    FIONREAD, TCFLSH, TCGETA, TCGETS, TCGETS2, TCSBRK, TCSBRKP, TCSETA, TCSETAF, TCSETAW, TCSETS,
    TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2, TCXONC, TIOCEXCL, TIOCGDEV, TIOCGETD, TIOCGSID,
    TIOCGWINSZ, TIOCNXCL, TIOCOUTQ, TIOCSWINSZ, Termio, Termios, Termios2, Winsize,
};
use rivix_abi::poll::{POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use rivix_abi::stat::{S_IFCHR, S_IFIFO, Stat};
use rivix_abi::{UserAddress, UserRef};
use rivix_mem::AddressSpace;
use rivix_sync::WaitQueue;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// Largest piece of one host call.
const CHUNK: usize = 64 * 1024;
/// What a pipe that polls writable takes without blocking (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;

/// The host side of a stream, shared by all files opened on it.
pub struct Stream {
    fd: Arc<HostFd>,
    /// Dropped with the stream, it forgets the descriptor.
    watched: Watched,
    /// The console's, when there is one.
    queue: WaitQueue,
    /// Of a terminal: its output.
    console: Option<Arc<Console>>,
    is_pipe: bool,
    is_tty: bool,
}

impl Stream {
    pub(crate) fn new(fd: Arc<HostFd>, stat: &Stat) -> Arc<Stream> {
        let mut termios = Termios::default();
        let is_tty =
            stat.kind() == S_IFCHR && sys::ioctl_with(fd.as_fd(), TCGETS, &mut termios).is_ok();
        let shared = fd.shared();
        let attach = || shared.consoles.attach(fd.as_fd(), stat, &shared.ptys);
        let console = is_tty.then(attach).flatten();
        let queue = console.as_ref().map(|console| console.queue().clone());
        Arc::new(Stream {
            fd,
            watched: Watched::default(),
            queue: queue.unwrap_or_default(),
            console,
            is_pipe: stat.kind() == S_IFIFO,
            is_tty,
        })
    }

    /// The terminal's number below the guests' /dev/pts, if it is one.
    pub(crate) fn pts(&self) -> Option<u32> {
        self.console.as_ref().map(|console| console.pts())
    }

    /// Its device number, as guests see it; None: it is no terminal.
    pub fn device(&self) -> Option<u64> {
        self.pts().map(tty::device_of)
    }
}

/// An open file over a [`Stream`].
pub struct HostStream(Arc<Stream>);

impl std::ops::Deref for HostStream {
    type Target = Stream;
    fn deref(&self) -> &Stream {
        &self.0
    }
}

impl HostStream {
    pub(crate) fn new(stream: Arc<Stream>) -> HostStream {
        HostStream(stream)
    }

    pub fn is_tty(&self) -> bool {
        self.is_tty
    }

    /// Is it the host process's controlling terminal?
    pub fn is_controlling(&self) -> bool {
        let mut session = 0i32;
        // The host tells the session of one's own terminal only (ioctl_tty(2)).
        self.is_tty && sys::ioctl_with(self.fd.as_fd(), TIOCGSID, &mut session).is_ok()
    }

    /// Are background writers stopped (TOSTOP)?
    pub fn stops_background_writers(&self) -> bool {
        let mut termios = Termios::default();
        self.is_tty
            && sys::ioctl_with(self.fd.as_fd(), TCGETS, &mut termios).is_ok()
            && termios.lflag & rivix_abi::termios::TOSTOP != 0
    }

    /// A host call that may block; a kick ends it with EINTR.
    fn blocking(&self, number: i64, buf: *const u8, len: usize) -> Result<usize, Errno> {
        let fd = self.fd.as_fd().as_raw_fd() as usize;
        let call = || crate::hostcall::interruptible(number, [fd, buf as usize, len, 0, 0, 0]);
        match self.is_tty {
            true => sys::under_job_control(call),
            false => call(),
        }
    }

    /// The console, if it takes what is written.
    fn buffer(&self) -> Option<&Arc<Console>> {
        let consoles = &self.fd.shared().consoles;
        self.console
            .as_ref()
            .filter(|console| console.is_buffered(consoles))
    }

    /// An ioctl that concerns output written before it: EAGAIN while the terminal has
    /// not got that. A kick ends the host's own wait with EINTR.
    fn after_output(&self, request: u32, arg: usize) -> Result<u64, Errno> {
        if self.buffer().is_some_and(|console| console.pending() > 0) {
            return Err(Errno::EAGAIN);
        }
        let fd = self.fd.as_fd().as_raw_fd() as usize;
        let args = [fd, request as usize, arg, 0, 0, 0];
        let call = || crate::hostcall::interruptible(libc::SYS_ioctl, args);
        sys::under_job_control(call).map(|n| n as u64)
    }
}

impl FileOps for HostStream {
    fn read(&self, file: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        let want = sink.remaining().min(CHUNK);
        if want == 0 {
            return Ok(0);
        }
        if file.is_nonblocking() && sys::poll_now(self.fd.as_fd(), POLLIN) == 0 {
            return Err(Errno::EAGAIN);
        }
        let mut buf = vec![0u8; want];
        let n = self.blocking(libc::SYS_read, buf.as_mut_ptr(), want)?;
        sink.put(&buf[..n])
    }

    fn write(&self, file: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        if let Some(console) = &self.console
            && let Some(done) = console.write(&self.fd, source, file.is_nonblocking())
        {
            return done;
        }
        let want = source.remaining();
        let piece = if file.is_nonblocking() && self.is_pipe {
            PIPE_BUF
        } else {
            CHUNK
        };
        let mut buf = vec![0u8; want.min(piece)];
        let mut moved = 0;
        while moved < want {
            if file.is_nonblocking() && sys::poll_now(self.fd.as_fd(), POLLOUT) & POLLOUT == 0 {
                return if moved > 0 {
                    Ok(moved)
                } else {
                    Err(Errno::EAGAIN)
                };
            }
            // Only what the host took is taken from the source: a kicked write goes
            // on from there.
            let len = piece.min(want - moved);
            let step = source.peek(&mut buf[..len]).and_then(|got| {
                let n = self.blocking(libc::SYS_write, buf.as_ptr(), got)?;
                source.take(&mut buf[..n])?;
                Ok(n)
            });
            match step {
                Ok(0) => break,
                Ok(n) => moved += n,
                Err(errno) if moved == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn poll(&self, _: &File) -> u32 {
        let all = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM;
        let mut events = sys::poll_now(self.fd.as_fd(), all);
        if let Some(console) = self.buffer() {
            events &= !(POLLOUT | POLLWRNORM);
            if console.has_room() {
                events |= POLLOUT | POLLWRNORM;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        let watcher = &self.fd.shared().watcher;
        let is_watched = watcher.watch(&self.watched, &self.fd, &self.queue);
        (is_watched || self.buffer().is_some()).then_some(&self.queue)
    }

    fn is_pollable(&self) -> bool {
        self.wait_queue().is_some()
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        let fd = self.fd.as_fd();
        if request == FIONREAD || request == TIOCOUTQ && self.is_tty {
            let mut value = 0i32;
            sys::ioctl_with(fd, request, &mut value)?;
            if request == TIOCOUTQ
                && let Some(console) = &self.console
            {
                value = value.saturating_add(console.pending() as i32);
            }
            mm.write(UserRef::new(arg), &value)?;
            return Ok(0);
        }
        if !self.is_tty {
            return Err(Errno::ENOTTY);
        }
        match request {
            TCGETS => {
                let mut termios = Termios::default();
                sys::ioctl_with(fd, request, &mut termios)?;
                mm.write(UserRef::new(arg), &termios)?;
            }
            TCSETS | TCSETSW | TCSETSF => {
                // TCSETS too: Linux has processed by then what was written before.
                let mut termios: Termios = mm.read(UserRef::new(arg))?;
                self.after_output(request, &raw mut termios as usize)?;
            }
            TCGETS2 => {
                let mut termios = Termios2::default();
                sys::ioctl_with(fd, request, &mut termios)?;
                mm.write(UserRef::new(arg), &termios)?;
            }
            TCSETS2 | TCSETSW2 | TCSETSF2 => {
                let mut termios: Termios2 = mm.read(UserRef::new(arg))?;
                self.after_output(request, &raw mut termios as usize)?;
            }
            TCGETA => {
                let mut termio = Termio::default();
                sys::ioctl_with(fd, request, &mut termio)?;
                mm.write(UserRef::new(arg), &termio)?;
            }
            TCSETA | TCSETAW | TCSETAF => {
                let mut termio: Termio = mm.read(UserRef::new(arg))?;
                self.after_output(request, &raw mut termio as usize)?;
            }
            TIOCGETD => {
                let mut discipline = 0i32;
                sys::ioctl_with(fd, request, &mut discipline)?;
                mm.write(UserRef::new(arg), &discipline)?;
            }
            TIOCGWINSZ => {
                let mut size = Winsize::default();
                sys::ioctl_with(fd, request, &mut size)?;
                mm.write(UserRef::new(arg), &size)?;
            }
            TIOCSWINSZ => {
                let mut size: Winsize = mm.read(UserRef::new(arg))?;
                sys::ioctl_with(fd, request, &mut size)?;
            }
            // Sessions are the guest kernel's; the host's stay as they are.
            TIOCEXCL | TIOCNXCL => {}
            TIOCGDEV => {
                let device = self.device().ok_or(Errno::ENOTTY)?;
                mm.write(UserRef::new(arg), &(device as u32))?;
            }
            TCSBRK | TCSBRKP => return self.after_output(request, arg.0 as usize),
            TCFLSH => {
                if matches!(arg.0 as i32, libc::TCOFLUSH | libc::TCIOFLUSH)
                    && let Some(console) = &self.console
                {
                    console.discard();
                }
                return sys::ioctl_number(fd, request, arg.0);
            }
            TCXONC => return sys::ioctl_number(fd, request, arg.0),
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }
}
