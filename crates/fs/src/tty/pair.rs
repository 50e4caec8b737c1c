//! A pair: what its two ends share.
//!
//! What the slave's programs write, and echo, goes into the *output*: first to
//! `ready`, as much as the master's own line discipline would hold, then to
//! `waiting`, as much as its port would. What the master's program writes is
//! *typed* and waits for room in the line discipline. Both are bounded, and a full
//! one holds its writer.
//!
//! The master's close hangs the slaves up: files of before it are dead from then on.
//! The pair is gone with its last file.

use super::devpts;
use super::discipline::{Heard, LineDiscipline, Wire};
use super::ptys::Ptys;
use rivix_abi::Errno;
use rivix_abi::Signal;
use rivix_abi::ioctl::{TIOCPKT_DATA, Winsize};
use rivix_abi::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM};
use rivix_abi::stat::{major, makedev, minor};
use rivix_sync::{Mutex, WaitQueue, level};
use std::collections::VecDeque;
use std::sync::Arc;

/// Major number of the slaves, and minors to each major (devices.txt).
const MAJOR: u32 = 136;
const MINORS: u32 = 256;
const MAJORS: u32 = 8;
/// What a port holds beyond its line discipline (drivers/tty/pty.c).
const PORT: usize = 8192;
/// What the master's own line discipline holds.
const READY: usize = 4095;
pub(super) const READABLE: u32 = POLLIN | POLLRDNORM;
pub(super) const WRITABLE: u32 = POLLOUT | POLLWRNORM;

/// The slave's device number.
pub(crate) const fn device_of(index: u32) -> u64 {
    makedev(MAJOR + index / MINORS, index % MINORS)
}

/// The number of the slave that a device is, if it is one.
pub(crate) fn index_of(device: u64) -> Option<u32> {
    let (major, minor) = (major(device), minor(device));
    let block = major.checked_sub(MAJOR).filter(|block| *block < MAJORS)?;
    (minor < MINORS).then_some(block * MINORS + minor)
}

/// What is on its way to the master.
#[derive(Default)]
pub(super) struct Output {
    ready: VecDeque<u8>,
    waiting: VecDeque<u8>,
    pub(super) is_packet: bool,
    /// TIOCPKT_*, of which the master has not heard.
    pub(super) status: u8,
}

impl Output {
    fn settle(&mut self) {
        let count = READY
            .saturating_sub(self.ready.len())
            .min(self.waiting.len());
        self.ready.extend(self.waiting.drain(..count));
    }

    pub(super) fn available(&self) -> usize {
        self.ready.len()
    }

    /// Drops what the master has not got (TCIFLUSH by it).
    pub(super) fn drop_ready(&mut self) {
        self.ready.clear();
        self.settle();
    }
}

impl Wire for Output {
    fn room(&self) -> usize {
        PORT.saturating_sub(self.waiting.len())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
        self.settle();
    }

    fn flush(&mut self) {
        self.waiting.clear();
    }

    fn tell(&mut self, happened: u8, over: u8) {
        if self.is_packet {
            self.status = self.status & !over | happened;
        }
    }
}

/// The slave's node: who may open it.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) created: (i64, u64),
}

pub(super) struct State {
    owner: Owner,
    pub(super) line: LineDiscipline,
    pub(super) output: Output,
    /// Typed, and not taken by the line discipline yet.
    typed: VecDeque<u8>,
    pub(super) size: Winsize,
    pub(super) is_locked: bool,
    pub(super) is_exclusive: bool,
    has_master: bool,
    slaves: usize,
    /// The last slave has closed.
    was_left: bool,
}

impl State {
    /// Moves what was typed into the line discipline, as far as that takes it.
    fn pump(&mut self, heard: &mut Heard) {
        while !self.typed.is_empty() {
            let (front, _) = self.typed.as_slices();
            let taken = self.line.receive(front, &mut self.output, heard);
            self.typed.drain(..taken);
            if taken == 0 {
                break;
            }
        }
    }

    /// The two ends' views, for telling what has changed.
    fn events(&self) -> (u32, u32) {
        (self.master_events(), self.slave_events())
    }

    pub(super) fn master_events(&self) -> u32 {
        let mut events = 0;
        if self.output.available() > 0 {
            events |= READABLE;
        }
        if self.output.is_packet && self.output.status != 0 {
            events |= READABLE | POLLPRI;
        }
        if self.was_left {
            events |= POLLHUP;
        }
        if self.typed.len() < PORT {
            events |= WRITABLE;
        }
        events
    }

    pub(super) fn slave_events(&self) -> u32 {
        if !self.has_master {
            return READABLE | WRITABLE | POLLERR | POLLHUP;
        }
        let mut events = 0;
        if self.line.is_readable() {
            events |= READABLE;
        }
        if self.line.room(&self.output) > 0 {
            events |= WRITABLE;
        }
        events
    }
}

/// A pseudo-terminal.
pub struct Pair {
    index: u32,
    ptys: Arc<Ptys>,
    state: Mutex<level::FileObject, State>,
    pub(super) master_queue: WaitQueue,
    pub(super) slave_queue: WaitQueue,
}

impl Pair {
    /// With a master, whose number `index` is; locked.
    pub(super) fn new(index: u32, ptys: Arc<Ptys>, uid: u32) -> Pair {
        Pair {
            index,
            ptys,
            state: Mutex::new(State {
                owner: Owner {
                    uid,
                    gid: devpts::GROUP,
                    mode: devpts::MODE,
                    created: crate::anon::stamp(),
                },
                line: LineDiscipline::default(),
                output: Output::default(),
                typed: VecDeque::new(),
                size: Winsize::default(),
                is_locked: true,
                is_exclusive: false,
                has_master: true,
                slaves: 0,
                was_left: false,
            }),
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
        }
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// The slave's device number.
    pub fn device(&self) -> u64 {
        device_of(self.index)
    }

    pub(super) fn owner(&self) -> Owner {
        self.state.lock().owner
    }

    pub(super) fn set_owner(&self, change: impl FnOnce(&mut Owner)) {
        change(&mut self.state.lock().owner);
    }

    /// A look that changes nothing.
    pub(super) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Changes the pair; then, without the lock, tells who waits and sends what
    /// signals came of it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State, &mut Heard) -> R) -> R {
        let mut heard = Heard::default();
        let (result, before, after) = {
            let mut state = self.state.lock();
            let before = state.events();
            let result = change(&mut state, &mut heard);
            (result, before, state.events())
        };
        // What is ready anew, and input and output again for those who see edges.
        let news = |before: u32, after: u32| after & (!before | READABLE | POLLPRI);
        let (master, slave) = (news(before.0, after.0), news(before.1, after.1));
        if master != 0 {
            self.master_queue.notify(master);
        }
        if slave != 0 {
            self.slave_queue.notify(slave);
        }
        for signal in heard.signals {
            self.signal(signal);
        }
        result
    }

    /// To the foreground group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(host) = self.ptys.host() {
            host.signal_foreground(self.device(), signal);
        }
    }

    /// Counts a file of the slave. EIO: locked, or the master is gone; EBUSY:
    /// another has it for itself.
    pub(super) fn enter(&self, is_privileged: bool) -> Result<(), Errno> {
        self.change(|state, _| {
            if !state.has_master || state.is_locked {
                return Err(Errno::EIO);
            }
            if state.is_exclusive && !is_privileged {
                return Err(Errno::EBUSY);
            }
            state.slaves += 1;
            state.was_left = false;
            Ok(())
        })
    }

    pub(super) fn leave(&self) {
        self.change(|state, _| {
            state.slaves = state.slaves.saturating_sub(1);
            if state.slaves == 0 {
                state.was_left = true;
                state.output.is_packet &= state.has_master;
            }
        });
    }

    /// The master has closed. What is between the ends is lost.
    pub(super) fn close_master(&self) {
        self.ptys.forget_name(self.index);
        self.change(|state, _| {
            state.has_master = false;
            state.typed = VecDeque::new();
            state.output = Output::default();
            state.line.flush_input();
        });
        if let Some(host) = self.ptys.host() {
            host.hang_up(self.device());
        }
    }

    pub(super) fn has_master(&self) -> bool {
        self.look(|state| state.has_master)
    }

    /// Keys from the master; how many were taken.
    pub(super) fn typed(&self, bytes: &[u8]) -> usize {
        self.change(|state, heard| {
            let count = bytes.len().min(PORT.saturating_sub(state.typed.len()));
            state.typed.extend(&bytes[..count]);
            state.pump(heard);
            count
        })
    }

    /// A key as if typed, past what waits (TIOCSTI).
    pub(super) fn simulate(&self, byte: u8) {
        self.change(|state, heard| {
            state.line.receive(&[byte], &mut state.output, heard);
        });
    }

    /// Output for the master; EAGAIN: none yet, EIO: nor will be.
    pub(super) fn take_output(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        self.change(|state, _| {
            let output = &mut state.output;
            if output.is_packet && output.status != 0 {
                buf[0] = std::mem::take(&mut output.status);
                return Ok(1);
            }
            if output.ready.is_empty() {
                return Err(if state.was_left {
                    Errno::EIO
                } else {
                    Errno::EAGAIN
                });
            }
            let mut start = 0;
            if output.is_packet {
                buf[0] = TIOCPKT_DATA;
                start = 1;
            }
            let count = (buf.len() - start).min(output.ready.len());
            for (to, from) in buf[start..].iter_mut().zip(output.ready.drain(..count)) {
                *to = from;
            }
            output.settle();
            Ok(start + count)
        })
    }

    /// Input for a reader of the slave; EAGAIN: none yet.
    pub(super) fn take_input(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        self.change(|state, heard| {
            if !state.line.has_input() {
                return Err(Errno::EAGAIN);
            }
            let count = state.line.read(buf);
            state.pump(heard);
            Ok(count)
        })
    }

    /// What a program writes to the slave; how much was taken.
    pub(super) fn write_output(&self, bytes: &[u8]) -> usize {
        self.change(|state, _| state.line.write(bytes, &mut state.output))
    }

    /// Drops input of the slave, and takes what waited for room.
    pub(super) fn flush_input(&self) {
        use rivix_abi::ioctl::TIOCPKT_FLUSHREAD;
        self.change(|state, heard| {
            state.line.flush_input();
            state.output.tell(TIOCPKT_FLUSHREAD, 0);
            state.pump(heard);
        });
    }

    /// Drops what was typed and has not reached the line discipline.
    pub(super) fn drop_typed(&self) {
        self.change(|state, _| state.typed.clear());
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.ptys.free(self.index);
    }
}
