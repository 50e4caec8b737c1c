//! Out-of-band bytes of streams (MSG_OOB): the last byte of a send, marked in the
//! inbox. Received out of band it leaves an empty packet, the mark, in its place;
//! a newer one makes it an ordinary byte.

use super::send::Packet;
use super::{Core, Phase, State, UnixSocket};
use crate::Sink;
use rivix_abi::Errno;

impl State {
    /// Moves `at` over marks and over the out-of-band byte, as they stand in the way
    /// of ordinary bytes. False: the reader ends here. Who has no bytes yet and does
    /// not peek drops what it passes.
    pub(super) fn before_urgent(
        &mut self,
        at: &mut usize,
        is_inline: bool,
        peek: bool,
        has_bytes: bool,
        dropped: &mut Vec<Packet>,
    ) -> bool {
        let Some(mut packet) = self.inbox.get(*at) else {
            return true;
        };
        if packet.len() == 0 {
            if has_bytes && (self.urgent.is_none() || self.urgent == Some(packet.number)) {
                return false;
            }
            if peek {
                *at += 1;
            } else {
                dropped.extend(self.inbox.remove(*at));
            }
            match self.inbox.get(*at) {
                Some(next) => packet = next,
                None => return true,
            }
        }
        if self.urgent != Some(packet.number) {
            return true;
        }
        if has_bytes {
            return false;
        }
        if !peek {
            self.urgent = None;
        }
        if !is_inline {
            if peek {
                *at += 1;
            } else {
                dropped.extend(self.inbox.remove(*at));
            }
        }
        true
    }
}

impl UnixSocket {
    /// recv(2) with MSG_OOB: EINVAL when no byte is out of band, or it is received
    /// inline (SO_OOBINLINE).
    pub fn receive_urgent(&self, sink: &mut dyn Sink, peek: bool) -> Result<(), Errno> {
        let mut dropped = None;
        let byte = {
            let mut state = self.core.state.lock();
            if state.phase != Phase::Connected || self.core.has_urgent_inline() {
                return Err(Errno::EINVAL);
            }
            let number = state.urgent.ok_or(Errno::EINVAL)?;
            let at = state.inbox.iter().position(|p| p.number == number);
            let at = at.ok_or(Errno::EINVAL)?;
            let packet = state.inbox.get_mut(at).ok_or(Errno::EINVAL)?;
            let byte = packet.bytes.get(packet.done).copied();
            if !peek {
                packet.done = packet.bytes.len();
                state.urgent = None;
                let before = at.checked_sub(1);
                let is_mark = |at: &usize| state.inbox.get(*at).is_some_and(|p| p.len() == 0);
                if let Some(before) = before.filter(is_mark) {
                    dropped = state.inbox.remove(before);
                }
            }
            byte.ok_or(Errno::EINVAL)?
        };
        drop(dropped);
        match sink.remaining() {
            0 => Err(Errno::EFAULT),
            _ => sink.put(&[byte]).map(|_| ()),
        }
    }

    /// SIOCATMARK.
    pub(super) fn is_at_mark(&self) -> bool {
        let state = self.core.state.lock();
        let number = |at| state.inbox.get(at).map(|p: &Packet| p.number);
        let Some(first) = state.inbox.front() else {
            return false;
        };
        match state.urgent {
            Some(urgent) => first.number == urgent || first.len() == 0 && number(1) == Some(urgent),
            None => first.len() == 0,
        }
    }
}

impl Core {
    /// Puts `packet` at the end of the inbox.
    pub(super) fn enqueue(state: &mut State, mut packet: Packet, is_urgent: bool) {
        packet.number = state.next_packet;
        state.next_packet += 1;
        if is_urgent {
            state.urgent = Some(packet.number);
        }
        state.inbox.push_back(packet);
    }
}
