//! A descriptor's edges, as poll(2) bits.

use super::errno_of;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// What keeps one descriptor open.
///
/// # Safety
/// For as long as the value lives, wherever it is moved, `as_fd` gives the same
/// descriptor, and that stays open on the same object (I/O safety, see
/// [`std::os::fd`]).
pub unsafe trait StableFd: AsFd + Send + Sync + 'static {}

macro_rules! stable {
    ($($type:ty)*) => {
        // SAFETY: R1, these own a descriptor for life and never exchange it.
        $(unsafe impl StableFd for $type {})*
    };
}

stable! {
    std::os::fd::OwnedFd
    std::fs::File
    std::io::PipeReader
    std::io::PipeWriter
    std::net::TcpStream
    std::net::TcpListener
    std::net::UdpSocket
    std::os::unix::net::UnixStream
    std::os::unix::net::UnixListener
    std::os::unix::net::UnixDatagram
}

// SAFETY: R1, what is borrowed for ever is open for ever.
unsafe impl StableFd for std::os::fd::BorrowedFd<'static> {}

// SAFETY: R1, a shared value lives for as long as any of its owners.
unsafe impl<T: StableFd> StableFd for std::sync::Arc<T> {}

/// Somebody's descriptor.
pub(super) type Owned = Box<dyn StableFd>;

pub(super) struct Held(Owned);

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Where a descriptor's edges come from.
pub(super) enum Source {
    Open(AsyncFd<Held>),
    /// Its peer has hung up once. For tokio that is final and it tells of no edge
    /// after it; but a FIFO gets a new writer, a terminal a new session, a socket
    /// connects. So from then on the descriptor sits in an epoll of its own, and
    /// tokio watches that one.
    HungUp(AsyncFd<Alone>),
}

/// An epoll with one descriptor in it, which is let go after it (fields drop in order).
pub(super) struct Alone {
    epoll: Epoll,
    held: Held,
}

impl AsRawFd for Alone {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}

impl Alone {
    fn epoll_of(held: &Held) -> Result<Epoll, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let events = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLPRI
            | EpollFlags::EPOLLET;
        epoll.add(held.0.as_fd(), EpollEvent::new(events, 0))?;
        Ok(epoll)
    }

    /// The edges since the last look.
    fn take(&self) -> Result<u32, Errno> {
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
            Ok(0) | Err(Errno::EINTR) => Ok(0),
            Ok(_) => Ok(events[0].events().bits() as u32),
            Err(errno) => Err(errno),
        }
    }
}

impl Source {
    /// Registers the descriptor; its present state is the first edge. Needs the
    /// runtime's context.
    pub(super) fn new(fd: Owned) -> io::Result<Source> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        // SAFETY: R1, `StableFd` promises just this.
        let registered = unsafe { AsyncFd::register_with_interest(Held(fd), interest) };
        Ok(Source::Open(registered.map_err(|e| e.into_parts().1)?))
    }

    /// The next edge. An error: there will be none.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<u32>> {
        match self {
            Source::Open(fd) => poll_open(fd, context),
            Source::HungUp(set) => poll_alone(set, context),
        }
    }

    /// Is `events` what tokio takes for the end of all events?
    pub(super) fn must_move(&self, events: u32) -> bool {
        matches!(self, Source::Open(_)) && events & (CLOSED_FOR_READ | CLOSED_FOR_WRITE) != 0
    }

    /// Moves the descriptor to an epoll of its own; on an error it comes back,
    /// watched by nobody. Needs the runtime's context.
    pub(super) fn moved(self) -> Result<Source, (io::Error, Held)> {
        let held = match self {
            Source::Open(fd) => fd.into_inner(),
            moved => return Ok(moved),
        };
        let epoll = match Alone::epoll_of(&held) {
            Ok(epoll) => epoll,
            Err(errno) => return Err((errno.into(), held)),
        };
        let alone = Alone { epoll, held };
        // SAFETY: R1, the epoll is the value's own until it is dropped.
        match unsafe { AsyncFd::register_with_interest(alone, Interest::READABLE) } {
            Ok(set) => Ok(Source::HungUp(set)),
            Err(error) => {
                let (alone, error) = error.into_parts();
                Err((error, alone.held))
            }
        }
    }
}

const CLOSED_FOR_READ: u32 = (EpollFlags::EPOLLRDHUP.bits() | EpollFlags::EPOLLHUP.bits()) as u32;
const CLOSED_FOR_WRITE: u32 = (EpollFlags::EPOLLERR.bits() | EpollFlags::EPOLLHUP.bits()) as u32;

fn poll_open(fd: &AsyncFd<Held>, context: &mut Context<'_>) -> Poll<io::Result<u32>> {
    let mut edges = Ready::EMPTY;
    // Both are asked, so that the waker hears of both.
    if let Poll::Ready(guard) = fd.poll_read_ready(context) {
        let mut guard = guard?;
        edges |= guard.ready();
        guard.clear_ready();
    }
    if let Poll::Ready(guard) = fd.poll_write_ready(context) {
        let mut guard = guard?;
        edges |= guard.ready();
        guard.clear_ready();
    }
    if edges.is_empty() {
        Poll::Pending
    } else {
        Poll::Ready(Ok(bits(edges)))
    }
}

fn poll_alone(set: &AsyncFd<Alone>, context: &mut Context<'_>) -> Poll<io::Result<u32>> {
    loop {
        let mut guard = ready!(set.poll_read_ready(context))?;
        match set.get_ref().take() {
            Ok(0) => guard.clear_ready(),
            Ok(events) => return Poll::Ready(Ok(events)),
            Err(errno) => return Poll::Ready(Err(errno.into())),
        }
    }
}

/// tokio's words for epoll(7)'s: it folds urgent data into READABLE, hang-ups
/// and errors into the closed halves.
fn bits(edges: Ready) -> u32 {
    let mut bits = EpollFlags::empty();
    if edges.is_readable() {
        bits |= EpollFlags::EPOLLIN
            | EpollFlags::EPOLLRDNORM
            | EpollFlags::EPOLLRDBAND
            | EpollFlags::EPOLLPRI;
    }
    if edges.is_writable() {
        bits |= EpollFlags::EPOLLOUT | EpollFlags::EPOLLWRNORM | EpollFlags::EPOLLWRBAND;
    }
    let mut bits = bits.bits() as u32;
    if edges.is_read_closed() {
        bits |= CLOSED_FOR_READ;
    }
    if edges.is_write_closed() {
        bits |= CLOSED_FOR_WRITE;
    }
    bits
}

/// Has the host nothing to wait for there (epoll_ctl(2), EPERM)?
pub(super) fn is_always_ready(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && errno_of(error) == Errno::EPERM
}
