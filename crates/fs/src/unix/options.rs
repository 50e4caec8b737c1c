//! Options of sockets (socket(7)): one number each. Most of them mean nothing to a
//! local socket and are only kept, as Linux does.

use super::{Core, MIN_RECEIVE_BUFFER, MIN_SEND_BUFFER, UnixSocket, WRITABLE};
use rivix_abi::sockopt::{
    SO_BUF_LOCK, SO_INCOMING_CPU, SO_OOBINLINE, SO_PASSCRED, SO_PASSPIDFD, SO_PASSRIGHTS,
    SO_PASSSEC, SO_PEEK_OFF, SO_RCVLOWAT, SO_TIMESTAMP,
};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// One more than the largest option's number.
const OPTIONS: usize = 96;
/// net.core.wmem_max and rmem_max: the most that may be asked for.
const MAX_BUFFER: usize = 4 << 20;
/// The bits of SO_BUF_LOCK: who set a size does not want it changed.
const SEND_LOCK: i32 = 1;
const RECEIVE_LOCK: i32 = 2;
/// What a connection has of its listener.
const INHERITED: [u32; 4] = [SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD, SO_PASSRIGHTS];

pub(super) struct Options([AtomicI32; OPTIONS]);

impl Options {
    pub(super) fn new() -> Options {
        let options = Options([const { AtomicI32::new(0) }; OPTIONS]);
        options.set(SO_RCVLOWAT, 1);
        options.set(SO_PEEK_OFF, -1);
        options.set(SO_INCOMING_CPU, -1);
        options.set(SO_PASSRIGHTS, 1);
        options
    }

    fn get(&self, option: u32) -> i32 {
        let value = self.0.get(option as usize);
        value.map_or(0, |value| value.load(Ordering::SeqCst))
    }

    fn set(&self, option: u32, to: i32) {
        if let Some(value) = self.0.get(option as usize) {
            value.store(to, Ordering::SeqCst);
        }
    }
}

impl Core {
    pub(super) fn inherit(&self, listener: &Core) {
        for option in INHERITED {
            self.options.set(option, listener.options.get(option));
        }
    }

    /// Wants to know who sends.
    pub(super) fn wants_cred(&self) -> bool {
        self.options.get(SO_PASSCRED) != 0 || self.options.get(SO_PASSPIDFD) != 0
    }

    pub(super) fn takes_rights(&self) -> bool {
        self.options.get(SO_PASSRIGHTS) != 0
    }

    pub(super) fn wants_stamps(&self) -> bool {
        self.options.get(SO_TIMESTAMP) != 0
    }

    pub(super) fn has_urgent_inline(&self) -> bool {
        self.options.get(SO_OOBINLINE) != 0
    }

    /// Where a peek starts: bytes after the first that is there.
    pub(super) fn peek_offset(&self) -> usize {
        usize::try_from(self.options.get(SO_PEEK_OFF)).unwrap_or(0)
    }

    pub(super) fn has_peek_offset(&self) -> bool {
        self.options.get(SO_PEEK_OFF) >= 0
    }

    /// Bytes were peeked at, or (negative) received.
    pub(super) fn move_peek_offset(&self, by: isize) {
        let now = self.options.get(SO_PEEK_OFF);
        if now >= 0 {
            let by = i32::try_from(by).unwrap_or(if by < 0 { i32::MIN } else { i32::MAX });
            let moved = now.saturating_add(by).max(0);
            self.options.set(SO_PEEK_OFF, moved);
        }
    }
}

impl UnixSocket {
    /// The number kept for an option; 0 for one that has none.
    pub fn option(&self, option: u32) -> i32 {
        self.core.options.get(option)
    }

    pub fn set_option(&self, option: u32, to: i32) {
        self.core.options.set(option, to);
    }

    /// Messages tell who sent them.
    pub fn wants_cred(&self) -> bool {
        self.core.wants_cred()
    }

    pub fn send_buffer(&self) -> usize {
        self.core.send_buffer.load(Ordering::SeqCst)
    }

    /// SO_SNDBUF: doubled for the kernel's own needs (socket(7)). Forced, it may be
    /// larger than the limit.
    pub fn set_send_buffer(&self, size: u32, is_forced: bool) {
        let size = doubled(size, is_forced).max(MIN_SEND_BUFFER);
        self.core.send_buffer.store(size, Ordering::SeqCst);
        self.lock_buffer(SEND_LOCK);
        self.core.queue.notify(WRITABLE);
    }

    pub fn receive_buffer(&self) -> usize {
        self.core.state.lock().receive_buffer
    }

    pub fn set_receive_buffer(&self, size: u32, is_forced: bool) {
        let size = doubled(size, is_forced).max(MIN_RECEIVE_BUFFER);
        self.core.state.lock().receive_buffer = size;
        self.lock_buffer(RECEIVE_LOCK);
    }

    fn lock_buffer(&self, which: i32) {
        self.set_option(SO_BUF_LOCK, self.option(SO_BUF_LOCK) | which);
    }

    pub fn receive_timeout(&self) -> Option<Duration> {
        self.core.state.lock().receive_timeout
    }

    pub fn send_timeout(&self) -> Option<Duration> {
        self.core.state.lock().send_timeout
    }

    pub fn set_receive_timeout(&self, timeout: Option<Duration>) {
        self.core.state.lock().receive_timeout = timeout;
    }

    pub fn set_send_timeout(&self, timeout: Option<Duration>) {
        self.core.state.lock().send_timeout = timeout;
    }
}

/// A size as it is asked for, to what it becomes before the least size.
fn doubled(size: u32, is_forced: bool) -> usize {
    let most = if is_forced {
        i32::MAX as usize / 2
    } else {
        MAX_BUFFER
    };
    (size as usize).min(most) * 2
}
