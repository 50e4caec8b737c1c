//! Receiving.

use super::send::Packet;
use super::{Address, Cred, Kind, Phase, SHUT_RECEIVE, State, UnixSocket, tell};
use crate::{File, Sink};
use rivix_abi::Errno;
use std::sync::Arc;
use std::time::Duration;

/// What was received so far.
#[derive(Default)]
pub struct Received {
    /// Bytes stored.
    pub bytes: usize,
    /// The whole length of the packet (datagrams), else `bytes`.
    pub whole: usize,
    pub from: Option<Arc<Address>>,
    /// The sender, if it was noted; None inside: nobody wanted to know when it sent.
    pub cred: Option<Option<Cred>>,
    pub rights: Vec<Arc<File>>,
    /// When it was sent, since the epoch, if somebody wanted to know.
    pub stamp: Option<Duration>,
    /// The call does not wait: an empty datagram socket that was shut down is EAGAIN.
    pub is_nonblocking: bool,
    /// No more may follow in this call: files came, the sender changed, or the end did.
    pub is_complete: bool,
}

/// Takes what goes with a packet's bytes.
type Take<'a> = &'a mut dyn FnMut(&mut Packet, &mut Received);

impl UnixSocket {
    /// Receives into `sink`, on top of what `got` has. EAGAIN: nothing is there.
    /// With `peek`, everything stays.
    pub fn receive(
        &self,
        sink: &mut dyn Sink,
        peek: bool,
        got: &mut Received,
    ) -> Result<(), Errno> {
        let net = self.net.upgrade().ok_or(Errno::EAGAIN)?;
        let mut has_rights = false;
        loop {
            // Files leave an inbox, or are doubled, under the registry's lock alone.
            let mut registry = has_rights.then(|| net.registry.lock());
            let mut consumed: Vec<Packet> = Vec::new();
            let (result, senders) = {
                let mut state = self.core.state.lock();
                let carries = match self.core.kind {
                    Kind::Datagram if !self.core.has_peek_offset() => {
                        state.inbox.front().is_some_and(|p| p.rights.is_some())
                    }
                    _ => state.inbox.iter().any(|p| p.rights.is_some()),
                };
                if carries && registry.is_none() {
                    has_rights = true;
                    continue;
                }
                let mut take = |packet: &mut Packet, got: &mut Received| {
                    let Some(registry) = registry.as_mut() else {
                        return;
                    };
                    if peek {
                        got.rights
                            .extend(packet.rights.iter().flat_map(|r| r.copies()));
                    } else if let Some(rights) = packet.rights.take() {
                        got.rights.extend(rights.land(registry));
                    }
                };
                let result = match self.core.kind {
                    Kind::Stream => {
                        self.stream(&mut state, sink, peek, got, &mut consumed, &mut take)
                    }
                    _ => self.packet(&mut state, sink, peek, got, &mut consumed, &mut take),
                };
                let senders = if consumed.is_empty() {
                    Vec::new()
                } else {
                    std::mem::take(&mut state.senders)
                };
                (result, senders)
            };
            drop(registry);
            drop(consumed);
            tell(senders);
            return result;
        }
    }

    fn stream(
        &self,
        state: &mut State,
        sink: &mut dyn Sink,
        peek: bool,
        got: &mut Received,
        consumed: &mut Vec<Packet>,
        take: Take<'_>,
    ) -> Result<(), Errno> {
        if state.phase != Phase::Connected {
            return Err(Errno::EINVAL);
        }
        let start = got.bytes;
        let mut skip = if peek { self.core.peek_offset() } else { 0 };
        let mut at = 0;
        let mut has_met = false;
        // Also who wants no bytes meets a packet, and waits for one. A peek walks on to
        // the end, or to the first files, with no more room for bytes.
        while !has_met || sink.remaining() > 0 || peek {
            if !peek {
                at = 0;
            }
            if has_met && at >= state.inbox.len() {
                break;
            }
            let is_inline = self.core.has_urgent_inline();
            match state.before_urgent(&mut at, is_inline, peek, got.bytes > 0, consumed) {
                true => {}
                false if got.bytes > 0 => {
                    // Bytes before the mark are never joined with those after it.
                    got.is_complete = true;
                    break;
                }
                false => break,
            }
            while let Some(packet) = state.inbox.get(at)
                && skip >= packet.len()
            {
                skip -= packet.len();
                at += 1;
            }
            let Some(packet) = state.inbox.get_mut(at) else {
                // Only a mark, or what was peeked at before, was there.
                has_met = false;
                break;
            };
            if self.wants_cred() && got.cred.is_some_and(|cred| cred != packet.cred) {
                // Bytes of two senders are not joined (unix(7), SO_PASSCRED).
                got.is_complete = true;
                break;
            }
            got.cred = Some(packet.cred);
            has_met = true;
            let rest = packet.bytes.get(packet.done + skip..).unwrap_or_default();
            let want = rest.len().min(sink.remaining());
            let stored = match want {
                0 => Ok(0),
                _ => sink.put(&rest[..want]),
            };
            // A packet whose bytes memory ends in stays as it was.
            let n = match stored {
                Ok(n) if n == want => n,
                _ if got.bytes > 0 => {
                    got.is_complete = true;
                    break;
                }
                _ => return Err(Errno::EFAULT),
            };
            skip = 0;
            got.bytes += n;
            got.from = packet.from.clone();
            let had_rights = packet.rights.is_some();
            take(packet, got);
            if peek {
                self.core.move_peek_offset(n as isize);
                at += 1;
            } else {
                self.core.move_peek_offset(-(n as isize));
                packet.done += n;
                if packet.len() == 0 {
                    consumed.extend(state.inbox.remove(at));
                }
            }
            if had_rights {
                got.is_complete = true;
                break;
            }
        }
        got.whole = got.bytes;
        if got.bytes > start || got.is_complete || has_met {
            return Ok(());
        }
        if let Some(errno) = self.core.take_error() {
            // Who waited for more than came does not hear of it: it is gone.
            got.is_complete = got.bytes > 0;
            return if got.is_complete { Ok(()) } else { Err(errno) };
        }
        if state.shut & SHUT_RECEIVE != 0 {
            got.is_complete = true;
            return Ok(());
        }
        Err(Errno::EAGAIN)
    }

    fn packet(
        &self,
        state: &mut State,
        sink: &mut dyn Sink,
        peek: bool,
        got: &mut Received,
        consumed: &mut Vec<Packet>,
        take: Take<'_>,
    ) -> Result<(), Errno> {
        if self.core.kind == Kind::SeqPacket && state.phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        if let Some(errno) = self.core.take_error() {
            return Err(errno);
        }
        let (mut at, mut skip) = (0, 0);
        if peek && self.core.has_peek_offset() {
            skip = self.core.peek_offset();
            // An empty packet is peeked at once.
            while let Some(packet) = state.inbox.get(at)
                && skip >= packet.len()
                && (packet.len() > 0 || skip > 0 || packet.was_peeked)
            {
                skip -= packet.len();
                at += 1;
            }
        }
        let Some(packet) = state.inbox.get_mut(at) else {
            let ends = self.core.kind == Kind::SeqPacket || !got.is_nonblocking;
            if state.shut & SHUT_RECEIVE != 0 && ends {
                got.is_complete = true;
                return Ok(());
            }
            return Err(Errno::EAGAIN);
        };
        packet.was_peeked |= peek;
        let rest = packet.bytes.get(skip..).unwrap_or_default();
        let want = rest.len().min(sink.remaining());
        let stored = match want {
            0 => Ok(0),
            _ => sink.put(&rest[..want]),
        };
        got.whole = rest.len();
        got.from = packet.from.clone();
        got.cred = Some(packet.cred);
        got.stamp = packet.stamp;
        got.is_complete = true;
        let result = match stored {
            Ok(n) if n == want => {
                got.bytes = n;
                take(packet, got);
                let by = if peek {
                    n as isize
                } else {
                    -(packet.bytes.len() as isize)
                };
                self.core.move_peek_offset(by);
                Ok(())
            }
            // The packet is lost with the fault, as the host's kernel loses it.
            _ => Err(Errno::EFAULT),
        };
        if !peek {
            consumed.extend(state.inbox.pop_front());
        }
        result
    }
}
