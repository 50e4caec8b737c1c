//! Sending: bounded by the sender's buffer, and by the length of a datagram
//! socket's queue.

use super::collect::Rights;
use super::{
    Address, Core, Cred, DATAGRAMS, Kind, Phase, READABLE, SHUT_RECEIVE, SHUT_SEND, UnixSocket,
    WRITABLE,
};
use crate::{File, Source};
use rivix_abi::Errno;
use rivix_abi::poll::POLLPRI;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PAGE: usize = rivix_abi::PAGE_SIZE as usize;
/// What the host's kernel has in each packet's head (skb_shared_info), and beside it
/// (sk_buff).
const HEAD_INFO: usize = 320;
const BESIDE: usize = 256;
/// It keeps up to so many bytes of a stream's packet, and of another one, in the head
/// (SKB_MAX_HEAD, SKB_MAX_ALLOC); what is more lies in pages.
const STREAM_HEAD: usize = PAGE - HEAD_INFO;
const PACKET_HEAD: usize = 4 * PAGE - HEAD_INFO;
/// The most in pages: of a stream's packet (UNIX_SKB_FRAGS_SZ), of another one.
const STREAM_PAGES: usize = 8 * PAGE;
const PACKET_PAGES: usize = 17 * PAGE;
/// The largest part of a stream that is one packet.
const PART_MAX: usize = STREAM_HEAD + STREAM_PAGES;

/// What the packets of a sandbox may take, in bytes of the host. Each sender's buffer
/// bounds its own; a guest may have very many senders.
const HELD_MAX: usize = 512 << 20;
/// What a file in flight counts for among them, as it may have no other holder.
const FILE_HELD: usize = 1024;

/// What goes with the bytes.
pub struct Extra {
    /// The sender, noted when either side wants it.
    pub sender: Cred,
    /// Who the sender says it is (SCM_CREDENTIALS), always noted.
    pub claimed: Option<Cred>,
    /// Files to pass; the first packet takes them.
    pub rights: Vec<Arc<File>>,
    /// RLIMIT_NOFILE: how many files of one user may be in flight; None: any number.
    pub limit: Option<u64>,
    /// The last byte goes out of band (streams).
    pub is_urgent: bool,
}

impl Extra {
    pub fn new(sender: Cred) -> Extra {
        Extra {
            sender,
            claimed: None,
            rights: Vec::new(),
            limit: None,
            is_urgent: false,
        }
    }
}

/// What one send put into an inbox.
pub struct Packet {
    pub(super) bytes: Vec<u8>,
    /// How much of it was received already (streams).
    pub(super) done: usize,
    pub(super) from: Option<Arc<Address>>,
    /// None: nobody wanted to know.
    pub(super) cred: Option<Cred>,
    /// Since the epoch.
    pub(super) stamp: Option<Duration>,
    /// Which packet of its inbox it is.
    pub(super) number: u64,
    pub(super) was_peeked: bool,
    pub(super) rights: Option<Rights>,
    _charge: Charge,
}

impl Packet {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done
    }
}

/// What the host's kernel charges for a packet of `len` bytes: the slab its head is
/// in, its pages, and what is beside.
fn size_of(kind: Kind, len: usize) -> usize {
    let (head, most) = match kind {
        Kind::Stream => (STREAM_HEAD, STREAM_PAGES),
        _ => (PACKET_HEAD, PACKET_PAGES),
    };
    let pages = len.saturating_sub(head).next_multiple_of(PAGE).min(most);
    (len.saturating_sub(pages) + HEAD_INFO).next_power_of_two() + pages + BESIDE
}

/// Room taken in what all sockets together may hold.
struct Held {
    all: Arc<AtomicUsize>,
    size: usize,
}

impl Held {
    fn new(all: &Arc<AtomicUsize>, size: usize) -> Result<Held, Errno> {
        let before = all.fetch_add(size, Ordering::SeqCst);
        let held = Held {
            all: all.clone(),
            size,
        };
        match before.saturating_add(size) > HELD_MAX {
            true => Err(Errno::ENOBUFS),
            false => Ok(held),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.size, Ordering::SeqCst);
    }
}

/// A packet's bytes before they are sent, and the room they take.
struct Room {
    bytes: Vec<u8>,
    /// What the sender is charged.
    size: usize,
    held: Held,
}

/// Room taken in the sender's buffer until the packet is dropped.
struct Charge {
    core: Arc<Core>,
    size: usize,
    _held: Held,
}

impl Charge {
    fn new(core: &Arc<Core>, size: usize, held: Held) -> Charge {
        core.charged.fetch_add(size, Ordering::SeqCst);
        Charge {
            core: core.clone(),
            size,
            _held: held,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.core.charged.fetch_sub(self.size, Ordering::SeqCst);
        // Who waits is told when there is much room, not of each packet (unix_write_space).
        if self.core.is_writable() {
            self.core.queue.notify(WRITABLE);
        }
    }
}

impl Core {
    /// Is a one-way sender's way barred by the length of the queue? It is told of room.
    pub(super) fn is_full_for(self: &Arc<Core>, sender: &Arc<Core>) -> bool {
        let mut state = self.state.lock();
        let is_mutual = state.peer.as_ref().is_some_and(|p| Arc::ptr_eq(p, sender));
        if is_mutual || Arc::ptr_eq(self, sender) || state.inbox.len() <= DATAGRAMS {
            return false;
        }
        state.add_sender(sender);
        true
    }

    /// EPERM: this socket is connected, and not with `sender`.
    pub(super) fn may_be_sent_to_by(&self, sender: &Arc<Core>) -> Result<(), Errno> {
        match &self.state.lock().peer {
            Some(peer) if !Arc::ptr_eq(peer, sender) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }
}

/// Looks the receiver of a datagram up: the last that can fail before it is sent.
type Find<'a> = dyn Fn() -> Result<Arc<Core>, Errno> + 'a;

impl UnixSocket {
    /// Sends to `to`, or to the peer. A stream takes what it has room for, the
    /// others all or nothing. EAGAIN: this socket's queue tells of room.
    pub fn send(
        &self,
        source: &mut dyn Source,
        to: Option<&Find<'_>>,
        extra: &mut Extra,
    ) -> Result<usize, Errno> {
        match self.core.kind {
            Kind::Stream => self.send_stream(source, extra),
            Kind::SeqPacket => self.send_packet(source, None, extra),
            Kind::Datagram => self.send_packet(source, to, extra),
        }
    }

    /// Room for a packet of `len` bytes. EAGAIN: the send buffer is full. ENOBUFS: all
    /// sockets together hold too much.
    fn room(&self, len: usize, extra: &Extra) -> Result<Room, Errno> {
        let net = self.net.upgrade().ok_or(Errno::EPIPE)?;
        if self.core.charged.load(Ordering::SeqCst) >= self.send_buffer() {
            return Err(Errno::EAGAIN);
        }
        // Counted before it is there: many threads may be here.
        let files = extra.rights.len() * FILE_HELD;
        let size = size_of(self.core.kind, len);
        let held = Held::new(&net.held, size + files)?;
        let mut bytes = Vec::new();
        let is_there = bytes.try_reserve_exact(len);
        is_there.map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(len, 0);
        Ok(Room { bytes, size, held })
    }

    fn send_stream(&self, source: &mut dyn Source, extra: &mut Extra) -> Result<usize, Errno> {
        let (peer, shut) = {
            let state = self.core.state.lock();
            (state.peer.clone(), state.shut)
        };
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        if shut & SHUT_SEND != 0 {
            return Err(Errno::EPIPE);
        }
        let part = (self.send_buffer() / 2 - 64).min(PART_MAX);
        let mut moved = 0;
        let urgent = usize::from(extra.is_urgent);
        while source.remaining() > 0 {
            let is_urgent = source.remaining() == urgent;
            if let Some(errno) = self.core.take_error() {
                return if moved > 0 { Ok(moved) } else { Err(errno) };
            }
            let ordinary = (source.remaining() - urgent).min(part);
            let len = if is_urgent { 1 } else { ordinary };
            let sent = self.room(len, extra).and_then(|mut room| {
                // A part that memory ends in is not sent at all (skb_copy_datagram_from_iter).
                match source.take(&mut room.bytes) {
                    Ok(n) if n == len => self.deliver(&peer, room, extra, is_urgent),
                    _ => Err(Errno::EFAULT),
                }
            });
            match sent {
                Ok(()) => moved += len,
                Err(_) if moved > 0 => return Ok(moved),
                Err(errno) => return Err(errno),
            }
        }
        Ok(moved)
    }

    fn send_packet(
        &self,
        source: &mut dyn Source,
        to: Option<&Find<'_>>,
        extra: &mut Extra,
    ) -> Result<usize, Errno> {
        let (peer, shut, phase) = {
            let state = self.core.state.lock();
            (state.peer.clone(), state.shut, state.phase)
        };
        if self.core.kind == Kind::SeqPacket {
            if let Some(errno) = self.core.take_error() {
                return Err(errno);
            }
            if phase != Phase::Connected {
                return Err(Errno::ENOTCONN);
            }
        }
        let len = source.remaining();
        if len > self.send_buffer().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        if let Some(errno) = self.core.take_error() {
            return Err(errno);
        }
        if shut & SHUT_SEND != 0 {
            return Err(Errno::EPIPE);
        }
        let mut room = self.room(len, extra)?;
        // Looked at and not taken: who has to wait sends them again.
        if len > 0 && source.peek(&mut room.bytes)? < len {
            return Err(Errno::EFAULT);
        }
        let target = match to {
            Some(find) => find()?,
            None => peer.ok_or(Errno::ENOTCONN)?,
        };
        if self.core.kind == Kind::Datagram {
            if target.state.lock().phase == Phase::Closed {
                return Err(self.peer_is_gone(&target));
            }
            target.may_be_sent_to_by(&self.core)?;
        }
        if target.state.lock().shut & SHUT_RECEIVE != 0 {
            return Err(Errno::EPIPE);
        }
        if self.core.kind == Kind::Datagram && target.is_full_for(&self.core) {
            return Err(Errno::EAGAIN);
        }
        self.deliver(&target, room, extra, false)?;
        Ok(len)
    }

    /// ECONNREFUSED; a connection to who is gone ends with it.
    fn peer_is_gone(&self, target: &Arc<Core>) -> Errno {
        let old = {
            let mut state = self.core.state.lock();
            let is_peer = state.peer.as_ref().is_some_and(|p| Arc::ptr_eq(p, target));
            if is_peer {
                state.phase = Phase::Idle;
                state.peer.take()
            } else {
                None
            }
        };
        if let Some(old) = old {
            self.core.forget_peer(&old);
        }
        Errno::ECONNREFUSED
    }

    /// Puts one packet into `target`'s inbox. EPIPE, ECONNREFUSED: it closed
    /// meanwhile. ETOOMANYREFS: too many files are in flight. EPERM: it takes none.
    fn deliver(
        &self,
        target: &Arc<Core>,
        room: Room,
        extra: &mut Extra,
        is_urgent: bool,
    ) -> Result<(), Errno> {
        let net = self.net.upgrade().ok_or(Errno::EPIPE)?;
        let has_rights = !extra.rights.is_empty();
        if has_rights {
            net.prepare(extra)?;
        }
        // Files enter an inbox under the registry's lock alone: see `collect`.
        let mut registry = has_rights.then(|| net.registry.lock());
        let from = self.address();
        let charge = Charge::new(&self.core, room.size, room.held);
        let mut packet = Packet {
            bytes: room.bytes,
            done: 0,
            from,
            cred: extra.claimed,
            stamp: None,
            number: 0,
            was_peeked: false,
            rights: None,
            _charge: charge,
        };
        let refused = {
            let mut state = target.state.lock();
            if state.phase == Phase::Closed || state.shut & SHUT_RECEIVE != 0 {
                Some(match self.core.kind {
                    Kind::Datagram if state.phase == Phase::Closed => Errno::ECONNREFUSED,
                    _ => Errno::EPIPE,
                })
            } else if has_rights && !target.takes_rights() {
                Some(Errno::EPERM)
            } else {
                let is_asked = self.core.wants_cred() || target.wants_cred();
                if packet.cred.is_none() && (is_asked || state.is_embryo) {
                    packet.cred = Some(extra.sender);
                }
                if target.wants_stamps() {
                    packet.stamp = SystemTime::now().duration_since(UNIX_EPOCH).ok();
                }
                packet.rights = registry.as_mut().map(|r| net.launch(r, extra));
                Core::enqueue(&mut state, packet, is_urgent);
                None
            }
        };
        drop(registry);
        if let Some(errno) = refused {
            return Err(errno);
        }
        target
            .queue
            .notify(READABLE | if is_urgent { POLLPRI } else { 0 });
        Ok(())
    }
}
