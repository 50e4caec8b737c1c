//! Connections: socketpair(2), listen(2), connect(2), accept(2).

use super::{
    BACKLOG_MAX, Core, Kind, Peer, Phase, READABLE, SHUT_RECEIVE, UnixNet, UnixSocket, WRITABLE,
    tell,
};
use rivix_abi::Errno;
use std::sync::Arc;

/// Two sockets connected with each other.
pub fn pair(net: &Arc<UnixNet>, kind: Kind, cred: Peer) -> (UnixSocket, UnixSocket) {
    let (one, two) = (UnixSocket::new(net, kind), UnixSocket::new(net, kind));
    for (this, other) in [(&one, &two), (&two, &one)] {
        let mut state = this.core.state.lock();
        state.peer = Some(other.core.clone());
        state.peer_cred = Some(cred.clone());
        state.phase = Phase::Connected;
    }
    (one, two)
}

impl Core {
    /// A datagram socket is no longer connected with `old`: what came is lost, and
    /// a peer that was connected with it hears of that.
    pub(super) fn forget_peer(self: &Arc<Core>, old: &Arc<Core>) {
        let (packets, senders) = {
            let mut state = self.state.lock();
            let packets = std::mem::take(&mut state.inbox);
            (packets, std::mem::take(&mut state.senders))
        };
        if packets.is_empty() {
            tell(senders);
            return;
        }
        drop(packets);
        tell(senders);
        let was_mutual = {
            let theirs = old.state.lock();
            let peer = theirs.peer.as_ref();
            theirs.phase != Phase::Closed && peer.is_some_and(|peer| Arc::ptr_eq(peer, self))
        };
        if was_mutual {
            old.set_error(Errno::ECONNRESET);
        }
    }
}

impl UnixSocket {
    /// listen(2): EOPNOTSUPP for datagrams, EINVAL without a name or when connected.
    pub fn listen(&self, backlog: i32, cred: Peer) -> Result<(), Errno> {
        if !self.core.has_connections() {
            return Err(Errno::EOPNOTSUPP);
        }
        let senders = {
            let mut state = self.core.state.lock();
            if state.address.is_none() || !matches!(state.phase, Phase::Idle | Phase::Listening) {
                return Err(Errno::EINVAL);
            }
            state.phase = Phase::Listening;
            // A negative backlog is a large one (net/socket.c, __sys_listen).
            state.backlog = (backlog as u32).min(BACKLOG_MAX) as usize;
            state.peer_cred = Some(cred);
            std::mem::take(&mut state.senders)
        };
        tell(senders);
        Ok(())
    }

    /// connect(2) of a stream or seqpacket socket. EAGAIN: the backlog is full,
    /// and this socket's queue tells of room.
    pub fn connect(&self, net: &UnixNet, target: &Arc<Core>, cred: Peer) -> Result<(), Errno> {
        let is_self = Arc::ptr_eq(target, &self.core);
        // Only here are two sockets locked at once: this lock lets one thread do so.
        let registry = net.registry.lock();
        let mut mine = self.core.state.lock();
        if is_self {
            return Err(match mine.phase {
                Phase::Listening => Errno::EINVAL,
                _ => Errno::ECONNREFUSED,
            });
        }
        {
            let mut theirs = target.state.lock_second(&mine);
            if theirs.phase != Phase::Listening || theirs.shut & SHUT_RECEIVE != 0 {
                return Err(Errno::ECONNREFUSED);
            }
            if theirs.pending.len() > theirs.backlog {
                theirs.add_sender(&self.core);
                return Err(Errno::EAGAIN);
            }
            match mine.phase {
                Phase::Idle => {}
                Phase::Connected => return Err(Errno::EISCONN),
                _ => return Err(Errno::EINVAL),
            }
            let embryo = Core::new(self.core.kind);
            embryo.inherit(target);
            {
                let mut new = embryo.state.lock_second(&mine);
                new.phase = Phase::Connected;
                new.address = theirs.address.clone();
                new.peer = Some(self.core.clone());
                new.peer_cred = Some(cred);
                new.is_embryo = true;
            }
            mine.phase = Phase::Connected;
            mine.peer = Some(embryo.clone());
            mine.peer_cred = theirs.peer_cred.clone();
            theirs.pending.push_back(embryo);
        }
        drop(mine);
        drop(registry);
        target.queue.notify(READABLE);
        Ok(())
    }

    /// connect(2) of a datagram socket: whom it sends to and hears. None: everybody.
    pub fn set_peer(&self, target: Option<&Arc<Core>>) -> Result<(), Errno> {
        if let Some(target) = target {
            target.may_be_sent_to_by(&self.core)?;
        }
        let old = {
            let mut state = self.core.state.lock();
            state.phase = match target {
                Some(_) => Phase::Connected,
                None => Phase::Idle,
            };
            std::mem::replace(&mut state.peer, target.cloned())
        };
        if let Some(old) = old
            && !target.is_some_and(|target| Arc::ptr_eq(target, &old))
        {
            self.core.forget_peer(&old);
            // The old peer's full queue is no longer in the way.
            self.core.queue.notify(WRITABLE);
        }
        Ok(())
    }

    /// accept(2): EOPNOTSUPP for datagrams, EINVAL unless listening, EAGAIN. Only who
    /// would wait hears EINVAL of a listener that was shut down.
    pub fn accept(&self, is_nonblocking: bool) -> Result<UnixSocket, Errno> {
        if !self.core.has_connections() {
            return Err(Errno::EOPNOTSUPP);
        }
        let (core, senders) = {
            let mut state = self.core.state.lock();
            if state.phase != Phase::Listening {
                return Err(Errno::EINVAL);
            }
            let Some(core) = state.pending.pop_front() else {
                return Err(if state.shut & SHUT_RECEIVE != 0 && !is_nonblocking {
                    Errno::EINVAL
                } else {
                    Errno::EAGAIN
                });
            };
            (core, std::mem::take(&mut state.senders))
        };
        tell(senders);
        core.state.lock().is_embryo = false;
        Ok(UnixSocket {
            core,
            net: self.net.clone(),
        })
    }
}
