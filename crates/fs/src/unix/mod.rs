//! Sockets of the family AF_UNIX (unix(7)): in-memory objects that never sleep.
//! What must wait is EAGAIN, and the socket's own wait queue tells when to try again.
//!
//! No two sockets are locked at once but in `connect`, under the network's lock.
//! Packets and files that leave a socket are dropped without its lock: a drop
//! notifies, and may close another socket.

mod collect;
mod connect;
mod names;
mod options;
mod recv;
mod send;
mod urgent;

pub use collect::UnixNet;
pub use connect::pair;
pub use names::{Address, Key};
use options::Options;
pub use recv::Received;
pub use send::{Extra, Packet};

use crate::{File, FileOps, Sink, Source};
use rivix_abi::ioctl::FIONREAD;
use rivix_abi::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_mem::AddressSpace;
use rivix_sync::{Mutex, WaitQueue, level};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

const READABLE: u32 = POLLIN | POLLRDNORM;
const WRITABLE: u32 = POLLOUT | POLLWRNORM | POLLWRBAND;
const POLLWRBAND: u32 = 0x200;
const POLLRDHUP: u32 = 0x2000;
/// ioctl_sockios: bytes that were sent and not received.
const SIOCOUTQ: u32 = 0x5411;
/// sockatmark(3): is the mark of out-of-band data next?
const SIOCATMARK: u32 = 0x8905;
/// net.core.wmem_default and rmem_default.
const DEFAULT_BUFFER: usize = 212_992;
/// net.unix.max_dgram_qlen.
const DATAGRAMS: usize = 10;
/// net.core.somaxconn.
const BACKLOG_MAX: u32 = 4096;
const MIN_SEND_BUFFER: usize = 4608;
const MIN_RECEIVE_BUFFER: usize = 2304;

/// The receiving direction was shut down; the sending one.
pub(crate) const SHUT_RECEIVE: u32 = 1;
pub(crate) const SHUT_SEND: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Stream,
    Datagram,
    SeqPacket,
}

/// struct ucred: who sent, or who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cred {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// Who made a connection, or listens: struct ucred and the groups (SO_PEERGROUPS).
#[derive(Clone, Debug)]
pub struct Peer {
    pub cred: Cred,
    pub groups: Arc<[u32]>,
}

impl Cred {
    /// What SO_PEERCRED says of a socket without a peer.
    pub const NOBODY: Cred = Cred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    /// What a message says whose sender was not noted: the overflow ids.
    pub const UNKNOWN: Cred = Cred {
        pid: 0,
        uid: 65534,
        gid: 65534,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Listening,
    Connected,
    Closed,
}

pub(crate) struct State {
    phase: Phase,
    address: Option<Arc<Address>>,
    /// Kept after the peer has closed: its address can still be asked for.
    peer: Option<Arc<Core>>,
    inbox: VecDeque<Packet>,
    /// The number of the packet that is out of band (MSG_OOB), if one is.
    urgent: Option<u64>,
    next_packet: u64,
    /// Nobody has accepted it yet.
    is_embryo: bool,
    /// A listener's connections that wait for accept(2).
    pending: VecDeque<Arc<Core>>,
    backlog: usize,
    shut: u32,
    /// Who found the inbox or the backlog full, and is told of room.
    senders: Vec<Weak<Core>>,
    peer_cred: Option<Peer>,
    receive_buffer: usize,
    receive_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
}

/// A socket without its descriptor: a peer and a connection not yet accepted
/// have none.
pub struct Core {
    kind: Kind,
    queue: WaitQueue,
    /// Bytes of this socket's packets, with their overhead, in others' inboxes.
    charged: AtomicUsize,
    send_buffer: AtomicUsize,
    options: Options,
    /// SO_ERROR: told once.
    error: AtomicI32,
    state: Mutex<level::FileObject, State>,
}

impl Core {
    pub(crate) fn new(kind: Kind) -> Arc<Core> {
        Arc::new(Core {
            kind,
            queue: WaitQueue::new(),
            charged: AtomicUsize::new(0),
            send_buffer: AtomicUsize::new(DEFAULT_BUFFER),
            options: Options::new(),
            error: AtomicI32::new(0),
            state: Mutex::new(State {
                phase: Phase::Idle,
                address: None,
                peer: None,
                inbox: VecDeque::new(),
                pending: VecDeque::new(),
                backlog: 0,
                shut: 0,
                senders: Vec::new(),
                peer_cred: None,
                urgent: None,
                next_packet: 0,
                is_embryo: false,
                receive_buffer: DEFAULT_BUFFER,
                receive_timeout: None,
                send_timeout: None,
            }),
        })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn has_connections(&self) -> bool {
        self.kind != Kind::Datagram
    }

    /// SO_ERROR, and what a failing call reports: the error is gone then.
    pub fn take_error(&self) -> Option<Errno> {
        match self.error.swap(0, Ordering::SeqCst) {
            0 => None,
            errno => Some(Errno::from_host(errno)),
        }
    }

    /// What the next call, or SO_ERROR, is to tell.
    pub fn set_error(&self, errno: Errno) {
        self.error.store(errno.raw(), Ordering::SeqCst);
        self.queue.notify(0);
    }

    /// A quarter of the send buffer is in use at most (unix_writable).
    fn is_writable(&self) -> bool {
        let charged = self.charged.load(Ordering::SeqCst);
        charged.saturating_mul(4) <= self.send_buffer.load(Ordering::SeqCst)
    }

    /// Ends the socket; `is_embryo`: nobody has accepted it. A peer hears of what
    /// was not read by ECONNRESET.
    fn close(self: &Arc<Core>, is_embryo: bool) {
        let (packets, pending, senders, peer) = {
            let mut state = self.state.lock();
            if state.phase == Phase::Closed {
                return;
            }
            state.phase = Phase::Closed;
            state.shut = SHUT_RECEIVE | SHUT_SEND;
            state.urgent = None;
            (
                std::mem::take(&mut state.inbox),
                std::mem::take(&mut state.pending),
                std::mem::take(&mut state.senders),
                state.peer.take(),
            )
        };
        if let Some(peer) = &peer
            && self.has_connections()
        {
            // A byte that was received out of band is still the first, and not missed.
            let first = usize::from(packets.front().is_some_and(|p| p.len() == 0));
            if is_embryo || packets.len() > first {
                peer.error.store(Errno::ECONNRESET.raw(), Ordering::SeqCst);
            }
            peer.state.lock().shut |= SHUT_RECEIVE | SHUT_SEND;
            peer.queue.notify(0);
        }
        drop(packets);
        for embryo in pending {
            embryo.close(true);
        }
        tell(senders);
        self.queue.notify(0);
    }
}

/// Wakes those who waited for room.
fn tell(senders: Vec<Weak<Core>>) {
    for sender in senders.iter().filter_map(Weak::upgrade) {
        sender.queue.notify(WRITABLE);
    }
}

impl State {
    /// Notes that `sender` waits for room here.
    fn add_sender(&mut self, sender: &Arc<Core>) {
        self.senders.retain(|known| known.strong_count() > 0);
        let new = Arc::downgrade(sender);
        if !self.senders.iter().any(|known| known.ptr_eq(&new)) {
            self.senders.push(new);
        }
    }
}

/// An open socket.
pub struct UnixSocket {
    core: Arc<Core>,
    /// Weak: sockets in flight must not keep alive what collects them.
    net: Weak<UnixNet>,
}

impl UnixSocket {
    pub fn new(net: &Arc<UnixNet>, kind: Kind) -> UnixSocket {
        UnixSocket {
            core: Core::new(kind),
            net: Arc::downgrade(net),
        }
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn kind(&self) -> Kind {
        self.core.kind
    }

    /// shutdown(2): EINVAL for an unknown direction.
    pub fn shutdown(&self, how: u32) -> Result<(), Errno> {
        if how > 2 {
            return Err(Errno::EINVAL);
        }
        let mode = how + 1;
        let (peer, senders) = {
            let mut state = self.core.state.lock();
            state.shut |= mode;
            (state.peer.clone(), std::mem::take(&mut state.senders))
        };
        if let Some(peer) = peer
            && self.core.has_connections()
        {
            let theirs = (mode & SHUT_RECEIVE) << 1 | (mode & SHUT_SEND) >> 1;
            peer.state.lock().shut |= theirs;
            peer.queue.notify(0);
        }
        self.core.queue.notify(0);
        tell(senders);
        Ok(())
    }

    pub fn is_listening(&self) -> bool {
        self.core.state.lock().phase == Phase::Listening
    }

    pub fn address(&self) -> Option<Arc<Address>> {
        self.core.state.lock().address.clone()
    }

    /// The peer's address, None inside for one without; ENOTCONN.
    pub fn peer_address(&self) -> Result<Option<Arc<Address>>, Errno> {
        let peer = self.core.state.lock().peer.clone();
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        let address = peer.state.lock().address.clone();
        Ok(address)
    }

    /// SO_PEERCRED: None before there is a peer.
    pub fn peer_cred(&self) -> Option<Peer> {
        self.core.state.lock().peer_cred.clone()
    }

    /// Bytes that could be received now: of all packets, or of a datagram
    /// socket's first. EINVAL for a listener.
    pub fn available(&self) -> Result<usize, Errno> {
        let state = self.core.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        Ok(match self.core.kind {
            Kind::Datagram => state.inbox.front().map_or(0, Packet::len),
            _ => state.inbox.iter().map(Packet::len).sum(),
        })
    }
}

impl FileOps for UnixSocket {
    /// For callers inside the kernel, as splice(2): the guest's read(2) goes the
    /// way of recvmsg(2).
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        let mut got = Received::default();
        self.receive(sink, false, &mut got)?;
        Ok(got.bytes)
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        self.send(source, None, &mut Extra::new(Cred::NOBODY))
    }

    fn poll(&self, _: &File) -> u32 {
        let core = &self.core;
        let (mut events, is_listening, peer) = {
            let state = core.state.lock();
            let mut events = 0;
            if state.shut == SHUT_RECEIVE | SHUT_SEND {
                events |= POLLHUP;
            }
            if state.shut & SHUT_RECEIVE != 0 {
                events |= POLLRDHUP | READABLE;
            }
            if !state.inbox.is_empty() || !state.pending.is_empty() {
                events |= READABLE;
            }
            if core.has_connections() && state.phase == Phase::Idle {
                events |= POLLHUP;
            }
            if state.urgent.is_some() {
                events |= POLLPRI;
            }
            let is_listening = state.phase == Phase::Listening;
            (events, is_listening, state.peer.clone())
        };
        if core.error.load(Ordering::SeqCst) != 0 {
            events |= POLLERR;
        }
        let mut writable = !is_listening && core.is_writable();
        if writable && core.kind == Kind::Datagram {
            // A one-way connection waits for room at the other end.
            writable = !peer.is_some_and(|peer| peer.is_full_for(core));
        }
        if writable {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.core.queue)
    }

    fn writes_fully(&self) -> bool {
        self.core.kind == Kind::Stream
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &AddressSpace,
    ) -> Result<u64, Errno> {
        let answer = match request {
            FIONREAD => self.available()?,
            SIOCOUTQ => self.core.charged.load(Ordering::SeqCst),
            SIOCATMARK if self.core.kind == Kind::Stream => self.is_at_mark().into(),
            _ => return Err(Errno::ENOTTY),
        };
        let answer = i32::try_from(answer).unwrap_or(i32::MAX);
        mm.write(UserRef::new(arg), &answer)?;
        Ok(0)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.core.close(false);
        if let Some(net) = self.net.upgrade() {
            net.forget_name(&self.core);
            net.after_close();
        }
    }
}
