//! Output to terminals of the host, buffered as a kernel's terminal driver does it.
//!
//! A [`Console`] is one terminal device: all files on it share it, so that what is
//! written to stdout and stderr keeps its order. A write puts its bytes into the
//! *outbox* and returns; a lane's runner takes the outbox as a whole and writes it to
//! the host. Writers never sleep for a slow or stopped (^S) terminal here: with a
//! full outbox they hear EAGAIN, and the wait queue tells when there is room.
//!
//! The lane opens with the first write. Where there are no lanes, or the host
//! refuses a thread, there is no outbox either, and writes go to the host directly.
//!
//! A console stays until its namespace goes, for the next file on that device; idle
//! it holds no descriptor. There are at most as many as the guests saw terminals.
//!
//! # What holds
//! - A unit is on the lane, or running, while `is_poked`; it ends, and unsets that,
//!   only when it finds the outbox empty. Both sides look under the lock, so no byte
//!   is left behind and the lane never holds more than one unit.
//! - Whoever wants the runner to look up (a discard, the end) changes the state first
//!   and kicks after; the runner clears its kick first and looks after.
//! - No lock is held while the lane opens, while the host is called, or while waiters
//!   are told.

use super::{HostFd, sys};
use crate::Source;
use crate::tty::{self, Ptys};
use rivix_abi::Errno;
use rivix_abi::poll::{POLLERR, POLLHUP, POLLOUT, POLLWRNORM};
use rivix_abi::stat::Stat;
use rivix_spawner::{Lane, LaneKey, Lanes, Service};
use rivix_sync::{Kick, Mutex, Notify, Parker, WaitEntry, WaitQueue, level};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Bytes an outbox holds, as many as Linux's line discipline (N_TTY_BUF_SIZE). As
/// many again may be in the runner's hands.
const CAPACITY: usize = 4096;
/// Most bytes of one host call: what a terminal takes at once shows as progress.
const PIECE: usize = 512;
const WRITABLE: u32 = POLLOUT | POLLWRNORM;

/// Which terminal: the file system instance of its node and its number.
type Key = (u64, u64);

/// The terminals of a namespace.
#[derive(Default)]
pub(crate) struct Consoles {
    lanes: OnceLock<Weak<Lanes>>,
    list: Mutex<level::FileObject, Vec<Arc<Console>>>,
}

impl Consoles {
    /// The first one stays.
    pub(crate) fn set_lanes(&self, lanes: Weak<Lanes>) {
        let _ = self.lanes.set(lanes);
    }

    /// The console of the terminal that `fd` is open on; None for the master of a
    /// pseudo-terminal, whose output is another terminal's input.
    pub(crate) fn attach(
        &self,
        fd: BorrowedFd<'_>,
        stat: &Stat,
        ptys: &Ptys,
    ) -> Option<Arc<Console>> {
        let key = key(fd, stat)?;
        let mut list = self.list.lock();
        if let Some(console) = list.iter().find(|console| console.key == key).cloned() {
            drop(list);
            // It may have been of another terminal, of the same number.
            console.state.lock().error = None;
            return Some(console);
        }
        let wanted = tty::index_of(key.1);
        let console = Arc::new(Console {
            key,
            pts: ptys.number_console(wanted).ok()?,
            index: list.len() as u32,
            state: Mutex::default(),
            lane: OnceLock::new(),
            kick: Arc::new(Kick::new()),
            queue: WaitQueue::new(),
        });
        list.push(console.clone());
        Some(console)
    }

    fn all(&self) -> Vec<Arc<Console>> {
        self.list.lock().clone()
    }

    /// What is on its way now.
    pub(crate) fn unwritten(&self) -> Unwritten {
        let consoles = self.all().into_iter();
        let mark = |console: Arc<Console>| {
            let mark = console.state.lock().mark()?;
            Some((console, mark))
        };
        Unwritten(consoles.filter_map(mark).collect())
    }

    /// Drops what is unwritten, interrupts the runners and refuses more, for ever.
    pub(crate) fn stop(&self) {
        for console in self.all() {
            console.state.lock().is_stopped = true;
            console.discard();
        }
    }
}

/// None: the master of a pseudo-terminal.
fn key(fd: BorrowedFd<'_>, stat: &Stat) -> Option<Key> {
    let mut number = 0u32;
    if sys::ioctl_with(fd, libc::TIOCGPTN as u32, &mut number).is_ok() {
        return None;
    }
    // /dev/tty is another node of the controlling terminal, the only one whose
    // session the host tells (ioctl_tty(2)).
    let mut session = 0i32;
    let is_controlling = sys::ioctl_with(fd, libc::TIOCGSID as u32, &mut session).is_ok();
    if is_controlling && sys::ioctl_with(fd, libc::TIOCGDEV as u32, &mut number).is_ok() {
        return Some((0, number.into()));
    }
    Some((stat.dev, stat.rdev))
}

/// One terminal's output.
pub(crate) struct Console {
    key: Key,
    /// Its number among the guests' terminals: the host's own if that is free.
    pts: u32,
    index: u32,
    state: Mutex<level::FileObject, State>,
    /// None: the host refused a thread.
    lane: OnceLock<Option<Lane<Writer>>>,
    /// Ends the runner's host calls.
    kick: Arc<Kick>,
    /// Told of room, and of what was written; also the queue of all streams on it.
    queue: WaitQueue,
}

#[derive(Default)]
struct State {
    outbox: Vec<u8>,
    /// Through which the outbox goes: any file on the terminal will do.
    fd: Option<Arc<HostFd>>,
    /// What the runner has taken and not written.
    in_flight: usize,
    /// Bytes ever written, or dropped.
    settled: u64,
    is_poked: bool,
    /// What is in flight is not wanted any more.
    drops: bool,
    is_stopped: bool,
    /// Of a write to the host, for the next writer.
    error: Option<Errno>,
}

impl State {
    fn pending(&self) -> usize {
        self.outbox.len() + self.in_flight
    }

    /// What `settled` will be when all that is here now is written; None: it is.
    fn mark(&self) -> Option<u64> {
        let pending = self.pending() as u64;
        (pending > 0).then(|| self.settled + pending)
    }

    fn drop_outbox(&mut self) -> Option<Arc<HostFd>> {
        self.settled += self.outbox.len() as u64;
        self.outbox.clear();
        self.fd.take()
    }
}

impl Console {
    /// Its number below the guests' /dev/pts.
    pub(crate) fn pts(&self) -> u32 {
        self.pts
    }

    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Are writes buffered? They will be from the first on, if there can be a lane.
    pub(crate) fn is_buffered(&self, consoles: &Consoles) -> bool {
        match self.lane.get() {
            Some(lane) => lane.is_some(),
            None => consoles.lanes.get().is_some(),
        }
    }

    /// The lane, opened by the first who asks.
    fn lane(self: &Arc<Self>, consoles: &Consoles) -> Option<&Lane<Writer>> {
        let lanes = match self.lane.get() {
            Some(lane) => return lane.as_ref(),
            None => consoles.lanes.get()?.upgrade()?,
        };
        rivix_sync::assert_no_lock_held("opening a console");
        let open = || {
            let writer = Writer {
                console: self.clone(),
                batch: Vec::with_capacity(CAPACITY),
            };
            let lane = Lane::insert(&lanes, LaneKey::new("console", self.index), writer);
            let warn = |error: &_| tracing::warn!(?error, "terminal output is not buffered");
            lane.inspect_err(warn).ok()
        };
        self.lane.get_or_init(open).as_ref()
    }

    /// Puts what fits into the outbox; None: there is none. Unless it `may_split`, a
    /// write that would fit an empty outbox goes in whole, so that lines of several
    /// writers do not mix.
    ///
    /// EAGAIN: no room; EINTR: the caller was kicked; else the terminal's own error,
    /// of bytes that were taken before.
    pub(crate) fn write(
        self: &Arc<Self>,
        fd: &Arc<HostFd>,
        source: &mut dyn Source,
        is_nonblocking: bool,
    ) -> Option<Result<usize, Errno>> {
        let lane = self.lane(&fd.shared().consoles)?;
        Some(self.put(lane, fd, source, is_nonblocking))
    }

    fn put(
        &self,
        lane: &Lane<Writer>,
        fd: &Arc<HostFd>,
        source: &mut dyn Source,
        is_nonblocking: bool,
    ) -> Result<usize, Errno> {
        // A terminal that is faster than the guest would never let it look up.
        if Kick::current().is_some_and(|kick| kick.is_set()) {
            return Err(Errno::EINTR);
        }
        if let Some(errno) = self.take_error(fd) {
            return Err(errno);
        }
        let may_split = is_nonblocking || source.remaining() > CAPACITY;
        let mut buf = [0u8; CAPACITY];
        let want = source.remaining().min(CAPACITY);
        let got = source.peek(&mut buf[..want])?;
        if got == 0 {
            return Ok(0);
        }
        let (n, pokes, _old) = {
            let mut state = self.state.lock();
            let room = CAPACITY - state.outbox.len();
            if state.is_stopped {
                return Err(Errno::EIO);
            }
            if room == 0 || room < got && !may_split {
                return Err(Errno::EAGAIN);
            }
            let n = got.min(room);
            state.outbox.extend_from_slice(&buf[..n]);
            let old = state.fd.replace(fd.clone());
            let pokes = !std::mem::replace(&mut state.is_poked, true);
            (n, pokes, old)
        };
        if pokes && !lane.try_submit(Writer::write_out) {
            // Closed: the kernel is at its end.
            self.state.lock().is_stopped = true;
            self.discard();
            return Err(Errno::EIO);
        }
        source.take(&mut buf[..n])
    }

    /// The error of an earlier write; again and again while the terminal is gone.
    fn take_error(&self, fd: &Arc<HostFd>) -> Option<Errno> {
        let errno = self.state.lock().error?;
        if sys::poll_now(fd.as_fd(), 0) & (POLLERR | POLLHUP) == 0 {
            self.state.lock().error = None;
        }
        Some(errno)
    }

    /// Would a write find room?
    pub(crate) fn has_room(&self) -> bool {
        self.state.lock().outbox.len() < CAPACITY
    }

    /// Bytes that the host has not taken yet (TIOCOUTQ).
    pub(crate) fn pending(&self) -> usize {
        self.state.lock().pending()
    }

    /// Drops what the host has not taken (TCOFLUSH).
    pub(crate) fn discard(&self) {
        let (is_busy, _fd) = {
            let mut state = self.state.lock();
            state.drops = state.in_flight > 0;
            (state.drops, state.drop_outbox())
        };
        if is_busy {
            self.kick.kick();
        }
        self.queue.notify(WRITABLE);
    }

    /// All that waits, into `batch`, and where to write it. None: nothing waits, and
    /// the next writer pokes.
    fn take(&self, batch: &mut Vec<u8>) -> Option<Arc<HostFd>> {
        batch.clear();
        let fd = {
            let mut state = self.state.lock();
            state.drops = false;
            std::mem::swap(&mut state.outbox, batch);
            state.in_flight = batch.len();
            state.is_poked = !batch.is_empty();
            state.fd.take()
        };
        self.queue.notify(WRITABLE);
        fd
    }

    /// Accounts for a step of the runner. False: there is nothing to go on with.
    fn advance(&self, step: Result<usize, Errno>) -> bool {
        // First, so that a kick whose reason we do not see yet ends the next call.
        self.kick.clear();
        let goes_on = {
            let mut state = self.state.lock();
            let mut done = step.unwrap_or(0).min(state.in_flight);
            // EINTR: a kick, whose reason is told by the state.
            if let Err(errno) = step
                && errno != Errno::EINTR
            {
                state.error = Some(errno);
                state.drops = true;
            }
            if state.drops || state.is_stopped {
                done = state.in_flight;
            }
            state.in_flight -= done;
            state.settled += done as u64;
            state.in_flight > 0
        };
        self.queue.notify(WRITABLE);
        goes_on
    }
}

/// The runner's side of a console.
struct Writer {
    console: Arc<Console>,
    batch: Vec<u8>,
}

impl Service for Writer {
    type Utilities = ();

    fn init(_: LaneKey) -> Writer {
        unreachable!("consoles are put on their lanes, not made there")
    }

    fn utilities(&self) {}
}

impl Writer {
    /// Writes until the outbox is empty.
    fn write_out(&mut self) {
        let _tie = Kick::enter_thread(&self.console.kick);
        while let Some(fd) = self.console.take(&mut self.batch) {
            let mut rest = &self.batch[..];
            loop {
                let step = write_piece(fd.as_fd(), rest);
                rest = &rest[step.unwrap_or(0)..];
                if !self.console.advance(step) {
                    break;
                }
            }
        }
    }
}

/// One host call; as many whole lines as fit, so that other programs on the terminal
/// do not write into ours.
fn write_piece(fd: BorrowedFd<'_>, rest: &[u8]) -> Result<usize, Errno> {
    let most = &rest[..rest.len().min(PIECE)];
    let lines = most.iter().rposition(|&byte| byte == b'\n');
    let len = lines.map_or(most.len(), |at| at + 1);
    let raw = fd.as_raw_fd() as usize;
    let args = [raw, rest.as_ptr() as usize, len, 0, 0, 0];
    match crate::hostcall::interruptible(libc::SYS_write, args) {
        // The embedder's descriptor is nonblocking.
        Err(Errno::EAGAIN) => {
            let mut poll = libc::pollfd {
                fd: fd.as_raw_fd(),
                events: libc::POLLOUT,
                revents: 0,
            };
            let args = [&raw mut poll as usize, 1, -1isize as usize, 0, 0, 0];
            crate::hostcall::interruptible(libc::SYS_poll, args).map(|_| 0)
        }
        done => done,
    }
}

/// What was on its way to terminals at one moment.
pub struct Unwritten(Vec<(Arc<Console>, u64)>);

impl Unwritten {
    /// Bytes of it that the terminals have neither taken nor lost.
    pub fn left(&self) -> u64 {
        let left = |(console, mark): &(Arc<Console>, u64)| {
            mark.saturating_sub(console.state.lock().settled)
        };
        self.0.iter().map(left).sum()
    }

    /// Has `who` told whenever there may be less, until the entries are dropped.
    #[must_use = "dropping the entries ends the registration"]
    pub fn register(&self, who: &Arc<dyn Notify>) -> Vec<WaitEntry> {
        let register =
            |(console, _): &(Arc<Console>, u64)| console.queue.register(who.clone(), WRITABLE);
        self.0.iter().map(register).collect()
    }

    /// Sleeps until nothing is left; false when the terminals took nothing for
    /// `patience`, or were not done within `limit`. For threads of the embedder, and
    /// for short limits.
    pub fn wait(&self, patience: Duration, limit: Duration) -> bool {
        struct Waiter(Parker);
        impl Notify for Waiter {
            fn notify(&self, _: u32) {
                self.0.unpark();
            }
        }
        if self.left() == 0 {
            return true;
        }
        rivix_sync::assert_no_lock_held("waiting for terminals");
        let waiter = Arc::new(Waiter(Parker::default()));
        let who: Arc<dyn Notify> = waiter.clone();
        let _entries = self.register(&who);
        let end = Instant::now() + limit;
        let mut left = self.left();
        let mut deadline = end.min(Instant::now() + patience);
        while left > 0 {
            waiter.0.park_until(Some(deadline));
            let now = self.left();
            if now < left {
                left = now;
                deadline = end.min(Instant::now() + patience);
            } else if Instant::now() >= deadline {
                return false;
            }
        }
        true
    }
}
