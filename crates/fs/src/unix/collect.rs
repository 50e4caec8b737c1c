//! Files in flight, and the collection of sockets that only flying files reach.
//!
//! A socket sent through itself, or two through each other, would be kept alive by
//! their own inboxes. All files enter and leave inboxes under the registry's lock;
//! under it, a socket whose every reference is a flight can be reached from other
//! inboxes only, and one that no living socket's inbox reaches is garbage.

use super::send::Extra;
use super::{Core, Key, Packet, UnixSocket};
use crate::File;
use rivix_abi::Errno;
use rivix_sync::{Mutex, MutexGuard, level};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// So many files of one user may be in flight before each send looks for garbage
/// first (net/unix/garbage.c: eight messages with the most files).
const SANE_FLIGHTS: u64 = 253 * 8;

/// With so many sockets in flight garbage is looked for at each close.
const CHEAP_FLIGHTS: usize = 1024;

struct Flight {
    file: Weak<File>,
    core: Arc<Core>,
    count: usize,
}

#[derive(Default)]
pub(super) struct Registry {
    /// Sockets in flight, by the file's id.
    sockets: HashMap<u64, Flight>,
    /// Files in flight of each user.
    users: HashMap<u32, u64>,
    /// Sends do not look for garbage again while fewer sockets than this are in
    /// flight: looking costs as much as there are.
    next_look: usize,
}

/// All sockets of one sandbox.
#[derive(Default)]
pub struct UnixNet {
    pub(super) names: Mutex<level::Inode, HashMap<Key, Weak<Core>>>,
    pub(super) registry: Mutex<level::OpenFile, Registry>,
    /// Sockets in flight, for who need not lock to see that there are none.
    flying: AtomicUsize,
    /// What all packets take together.
    pub(super) held: Arc<AtomicUsize>,
    /// Sockets closed since garbage was looked for.
    closed: AtomicUsize,
}

/// Files in a packet.
pub(super) struct Rights {
    files: Vec<Arc<File>>,
    uid: u32,
    net: Weak<UnixNet>,
}

impl Rights {
    pub(super) fn copies(&self) -> Vec<Arc<File>> {
        self.files.clone()
    }

    /// The files, received.
    pub(super) fn land(mut self, registry: &mut Registry) -> Vec<Arc<File>> {
        let files = std::mem::take(&mut self.files);
        if let Some(net) = self.net.upgrade() {
            net.landed(registry, &files, self.uid);
        }
        files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if files.is_empty() {
            return;
        }
        if let Some(net) = self.net.upgrade() {
            let mut registry = net.registry.lock();
            net.landed(&mut registry, &files, self.uid);
        }
        bury(files);
    }
}

/// What a thread drops one after the other.
#[derive(Default)]
struct Graves {
    files: Vec<Arc<File>>,
    /// Sockets closed among them: garbage is to be looked for once, at the end.
    look: Option<Arc<UnixNet>>,
}

thread_local! {
    static GRAVES: RefCell<Option<Graves>> = const { RefCell::new(None) };
}

/// Drops files one after the other: a socket's end drops files of its inbox, which
/// may be sockets, and a long chain of them must not become a deep stack.
fn bury(files: Vec<Arc<File>>) {
    let is_digging = GRAVES.with_borrow_mut(|graves| match graves {
        Some(graves) => {
            graves.files.extend(files);
            true
        }
        None => {
            *graves = Some(Graves { files, look: None });
            false
        }
    });
    if is_digging {
        return;
    }
    let next = |graves: &mut Option<Graves>| graves.as_mut().and_then(|g| g.files.pop());
    let look = |graves: &mut Option<Graves>| graves.as_mut().and_then(|g| g.look.take());
    loop {
        while let Some(file) = GRAVES.with_borrow_mut(next) {
            drop(file);
        }
        // What is found comes here, too.
        match GRAVES.with_borrow_mut(look) {
            Some(net) => net.collect(),
            None => break,
        }
    }
    GRAVES.set(None);
}

impl UnixNet {
    pub(crate) fn new() -> Arc<UnixNet> {
        Arc::new(UnixNet::default())
    }

    /// Before files are sent: ETOOMANYREFS above the user's limit. Who has very many
    /// in flight has garbage looked for, now and then, before that.
    pub(super) fn prepare(&self, extra: &Extra) -> Result<(), Errno> {
        let uid = extra.sender.uid;
        let (flying, is_due) = {
            let registry = self.registry.lock();
            let flying = registry.users.get(&uid).copied().unwrap_or(0);
            (flying, registry.sockets.len() >= registry.next_look)
        };
        let is_above = |flying| extra.limit.is_some_and(|limit| flying > limit);
        if flying < SANE_FLIGHTS || !(is_due || is_above(flying)) {
            return match is_above(flying) {
                true => Err(Errno::ETOOMANYREFS),
                false => Ok(()),
            };
        }
        self.collect();
        let mut registry = self.registry.lock();
        registry.next_look = registry.sockets.len().saturating_mul(2);
        match is_above(registry.users.get(&uid).copied().unwrap_or(0)) {
            true => Err(Errno::ETOOMANYREFS),
            false => Ok(()),
        }
    }

    /// Takes `extra`'s files into flight.
    pub(super) fn launch(
        self: &Arc<Self>,
        registry: &mut MutexGuard<'_, level::OpenFile, Registry>,
        extra: &mut Extra,
    ) -> Rights {
        let uid = extra.sender.uid;
        let files = std::mem::take(&mut extra.rights);
        *registry.users.entry(uid).or_default() += files.len() as u64;
        for file in &files {
            let Some(socket) = file.downcast::<UnixSocket>() else {
                continue;
            };
            let flight = registry.sockets.entry(file.id()).or_insert_with(|| Flight {
                file: Arc::downgrade(file),
                core: socket.core().clone(),
                count: 0,
            });
            flight.count += 1;
        }
        self.flying.store(registry.sockets.len(), Ordering::SeqCst);
        Rights {
            files,
            uid,
            net: Arc::downgrade(self),
        }
    }

    /// The sandbox has ended, and nobody receives any more: drops all files that are
    /// in flight to sockets that are in flight themselves. What else flies goes with
    /// the sockets it flies to.
    pub(crate) fn end(&self) {
        let mut garbage = Vec::new();
        let cores: Vec<Arc<Core>> = {
            let registry = self.registry.lock();
            registry.sockets.values().map(|f| f.core.clone()).collect()
        };
        for core in cores {
            core.purge(&mut garbage);
        }
    }

    fn landed(&self, registry: &mut Registry, files: &[Arc<File>], uid: u32) {
        if let Some(users) = registry.users.get_mut(&uid) {
            *users = users.saturating_sub(files.len() as u64);
            if *users == 0 {
                registry.users.remove(&uid);
            }
        }
        for file in files {
            if let Some(flight) = registry.sockets.get_mut(&file.id()) {
                flight.count = flight.count.saturating_sub(1);
                if flight.count == 0 {
                    registry.sockets.remove(&file.id());
                }
            }
        }
        let twice = registry.sockets.len().saturating_mul(2);
        registry.next_look = registry.next_look.min(twice);
        self.flying.store(registry.sockets.len(), Ordering::SeqCst);
    }

    /// A socket has closed: others may be out of reach now. With very many in flight
    /// not every close looks, and of many closes in a row only the last one does.
    pub(super) fn after_close(self: &Arc<Self>) {
        let closed = self.closed.fetch_add(1, Ordering::SeqCst) + 1;
        if self.flying.load(Ordering::SeqCst) > closed.saturating_mul(CHEAP_FLIGHTS) {
            return;
        }
        let is_later = GRAVES.with_borrow_mut(|graves| match graves {
            Some(graves) => {
                graves.look.get_or_insert_with(|| self.clone());
                true
            }
            None => false,
        });
        if !is_later {
            self.collect();
        }
    }

    /// Ends the sockets that nobody can reach any more.
    pub(super) fn collect(&self) {
        self.closed.store(0, Ordering::SeqCst);
        if self.flying.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut garbage: Vec<Packet> = Vec::new();
        {
            let registry = self.registry.lock();
            // What only flights refer to. Its references cannot grow meanwhile.
            let mut dead: HashMap<u64, (Arc<Core>, usize)> = registry
                .sockets
                .iter()
                .filter(|(_, flight)| flight.file.strong_count() == flight.count)
                .map(|(&id, flight)| (id, (flight.core.clone(), flight.count)))
                .collect();
            let holds: HashMap<u64, Vec<u64>> = dead
                .iter()
                .map(|(&id, (core, _))| (id, core.sockets_held()))
                .collect();
            // Flights not accounted for by the dead's inboxes are in living ones.
            for held in holds.values().flatten() {
                if let Some((_, left)) = dead.get_mut(held) {
                    *left = left.saturating_sub(1);
                }
            }
            let mut alive: Vec<u64> = dead
                .iter()
                .filter(|(_, (_, left))| *left > 0)
                .map(|(&id, _)| id)
                .collect();
            while let Some(id) = alive.pop() {
                if dead.remove(&id).is_some() {
                    alive.extend(holds.get(&id).into_iter().flatten());
                }
            }
            for (core, _) in dead.values() {
                core.purge(&mut garbage);
            }
        }
        drop(garbage);
    }
}

impl Core {
    /// The sockets in flight in this inbox, and in those of connections that were
    /// not accepted, by id, each as often as it is there.
    fn sockets_held(&self) -> Vec<u64> {
        let (mut held, pending) = {
            let state = self.state.lock();
            (ids(&state.inbox), state.pending.clone())
        };
        for embryo in pending {
            held.extend(ids(&embryo.state.lock().inbox));
        }
        held
    }

    /// Moves all packets out.
    fn purge(&self, garbage: &mut Vec<Packet>) {
        let pending = {
            let mut state = self.state.lock();
            state.urgent = None;
            garbage.extend(state.inbox.drain(..));
            state.pending.clone()
        };
        for embryo in pending {
            garbage.extend(embryo.state.lock().inbox.drain(..));
        }
    }
}

fn ids<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Vec<u64> {
    let rights = packets.into_iter().filter_map(|p| p.rights.as_ref());
    let files = rights.flat_map(|rights| &rights.files);
    files
        .filter(|file| file.downcast::<UnixSocket>().is_some())
        .map(|file| file.id())
        .collect()
}
