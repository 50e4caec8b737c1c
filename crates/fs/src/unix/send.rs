//! Sending: bounded by the sender's buffer, and by the length of a datagram
//! socket's queue.

use super::collect::Rights;
use super::{
    Address, Core, Cred, DATAGRAMS, Kind, Phase, READABLE, SHUT_RECEIVE, SHUT_SEND, UnixSocket,
    WRITABLE,
};
use crate::{File, Source};
use rivix_abi::Errno;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The largest part of a stream that is one packet.
const PART_MAX: usize = 65536;

/// What goes with the bytes.
pub struct Extra {
    pub cred: Cred,
    /// Files to pass; the first packet takes them.
    pub rights: Vec<Arc<File>>,
    /// RLIMIT_NOFILE: how many files of one user may be in flight; None: any number.
    pub limit: Option<u64>,
}

impl Extra {
    pub fn new(cred: Cred) -> Extra {
        Extra {
            cred,
            rights: Vec::new(),
            limit: None,
        }
    }
}

/// What one send put into an inbox.
pub struct Packet {
    pub(super) bytes: Vec<u8>,
    /// How much of it was received already (streams).
    pub(super) done: usize,
    pub(super) from: Option<Arc<Address>>,
    pub(super) cred: Cred,
    pub(super) rights: Option<Rights>,
    _charge: Charge,
}

impl Packet {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done
    }
}

/// Room taken in the sender's buffer until the packet is dropped.
struct Charge {
    core: Arc<Core>,
    size: usize,
}

impl Charge {
    /// What the host's kernel charges for a packet of `len` bytes: the slab the
    /// bytes are in, and the packet's own 256.
    fn new(core: &Arc<Core>, len: usize) -> Charge {
        let size = (len + 320).next_power_of_two().min(len + 4096) + 256;
        core.charged.fetch_add(size, Ordering::SeqCst);
        Charge {
            core: core.clone(),
            size,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.core.charged.fetch_sub(self.size, Ordering::SeqCst);
        self.core.queue.notify(WRITABLE);
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

    fn has_room(&self) -> bool {
        self.charged.load(Ordering::SeqCst) < self.send_buffer.load(Ordering::SeqCst)
    }
}

impl UnixSocket {
    /// Sends to `to`, or to the peer. A stream takes what it has room for, the
    /// others all or nothing. EAGAIN: this socket's queue tells of room.
    pub fn send(
        &self,
        source: &mut dyn Source,
        to: Option<&Arc<Core>>,
        extra: &mut Extra,
    ) -> Result<usize, Errno> {
        match self.core.kind {
            Kind::Stream => self.send_stream(source, extra),
            Kind::SeqPacket => self.send_packet(source, None, extra),
            Kind::Datagram => self.send_packet(source, to, extra),
        }
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
        while source.remaining() > 0 {
            if let Some(errno) = self.core.take_error() {
                return if moved > 0 { Ok(moved) } else { Err(errno) };
            }
            if !self.core.has_room() {
                return if moved > 0 {
                    Ok(moved)
                } else {
                    Err(Errno::EAGAIN)
                };
            }
            let mut bytes = vec![0; source.remaining().min(part)];
            let n = match source.take(&mut bytes) {
                Ok(n) => n,
                Err(_) if moved > 0 => return Ok(moved),
                Err(errno) => return Err(errno),
            };
            let is_short = n < bytes.len();
            bytes.truncate(n);
            match self.deliver(&peer, bytes, extra) {
                Ok(()) => moved += n,
                Err(_) if moved > 0 => return Ok(moved),
                Err(errno) => return Err(errno),
            }
            if is_short {
                break;
            }
        }
        Ok(moved)
    }

    fn send_packet(
        &self,
        source: &mut dyn Source,
        to: Option<&Arc<Core>>,
        extra: &mut Extra,
    ) -> Result<usize, Errno> {
        let (peer, shut, phase) = {
            let state = self.core.state.lock();
            (state.peer.clone(), state.shut, state.phase)
        };
        if let Some(errno) = self.core.take_error() {
            return Err(errno);
        }
        if self.core.kind == Kind::SeqPacket && phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        let target = to.or(peer.as_ref()).ok_or(Errno::ENOTCONN)?.clone();
        let len = source.remaining();
        if len > self.send_buffer().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        if shut & SHUT_SEND != 0 {
            return Err(Errno::EPIPE);
        }
        if !self.core.has_room() {
            return Err(Errno::EAGAIN);
        }
        let mut bytes = vec![0; len];
        if len > 0 && source.peek(&mut bytes)? < len {
            return Err(Errno::EFAULT);
        }
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
        self.deliver(&target, bytes, extra)?;
        let mut taken = vec![0; len];
        // The bytes are sent; this only moves the source on.
        let _ = source.take(&mut taken);
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
        drop(old);
        Errno::ECONNREFUSED
    }

    /// Puts one packet into `target`'s inbox. EPIPE, ECONNREFUSED: it closed
    /// meanwhile. ETOOMANYREFS: too many files are in flight.
    fn deliver(&self, target: &Arc<Core>, bytes: Vec<u8>, extra: &mut Extra) -> Result<(), Errno> {
        let net = self.net.upgrade().ok_or(Errno::EPIPE)?;
        // Files enter an inbox under the registry's lock alone: see `collect`.
        let mut registry = (!extra.rights.is_empty()).then(|| net.registry.lock());
        let from = self.address();
        let charge = Charge::new(&self.core, bytes.len());
        let mut packet = Packet {
            bytes,
            done: 0,
            from,
            cred: extra.cred,
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
            } else {
                let rights = match &mut registry {
                    Some(registry) => net.launch(registry, extra),
                    None => Ok(None),
                };
                match rights {
                    Ok(rights) => {
                        packet.rights = rights;
                        state.inbox.push_back(packet);
                        None
                    }
                    Err(errno) => Some(errno),
                }
            }
        };
        drop(registry);
        if let Some(errno) = refused {
            return Err(errno);
        }
        target.queue.notify(READABLE);
        Ok(())
    }
}
