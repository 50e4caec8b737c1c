//! epoll(7).
//!
//! An item is told of events by its file's wait queue and puts itself on the
//! ready list; epoll_wait takes items from there and asks each file again, so a
//! stale item costs one poll and is never reported.

use crate::{File, FileOps};
use rivix_abi::Errno;
use rivix_abi::poll::{
    EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent, POLLERR, POLLHUP, POLLIN,
    POLLRDNORM,
};
use rivix_sync::{Mutex, Notify, WaitEntry, WaitQueue, level};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// How deep epolls may watch epolls (fs/eventpoll.c, EP_MAX_NESTS).
const MAX_NESTS: usize = 4;
/// Bits that select how to report, not what.
const MODE_BITS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
const ALWAYS: u32 = POLLERR | POLLHUP;

/// Open file and descriptor number: what identifies an item (epoll(7), Q1).
type Key = (u64, i32);

struct Interest {
    events: u32,
    data: u64,
    /// A one-shot item that fired stays silent until EPOLL_CTL_MOD.
    is_armed: bool,
}

struct Item {
    fd: i32,
    file: Weak<File>,
    interest: Mutex<level::Ready, Interest>,
    is_listed: AtomicBool,
    core: Weak<Core>,
}

impl Item {
    /// The events to report now, with the user's data.
    fn ready(&self) -> Option<(u32, Arc<File>)> {
        let wanted = {
            let interest = self.interest.lock();
            if !interest.is_armed {
                return None;
            }
            (interest.events & !MODE_BITS) | ALWAYS
        };
        let file = self.file.upgrade()?;
        let events = file.poll() & wanted;
        (events != 0).then_some((events, file))
    }
}

impl Notify for Item {
    fn notify(&self, events: u32) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        {
            let interest = self.interest.lock();
            let wanted = (interest.events & !MODE_BITS) | ALWAYS;
            if !interest.is_armed || (events != 0 && events & wanted == 0) {
                return;
            }
        }
        core.list(self);
    }
}

struct Entry {
    item: Arc<Item>,
    _registration: Option<WaitEntry>,
}

struct Core {
    items: Mutex<level::Epoll, HashMap<Key, Entry>>,
    ready: Mutex<level::Ready, VecDeque<Key>>,
    queue: WaitQueue,
}

impl Core {
    /// Puts the item on the ready list, once, and wakes the waiters.
    fn list(&self, item: &Item) {
        if !item.is_listed.swap(true, Ordering::SeqCst) {
            let id = item.file.upgrade().map_or(0, |file| file.id());
            self.ready.lock().push_back((id, item.fd));
        }
        self.queue.notify(POLLIN | POLLRDNORM);
    }
}

pub struct Epoll {
    core: Arc<Core>,
}

impl Default for Epoll {
    fn default() -> Self {
        Epoll {
            core: Arc::new(Core {
                items: Mutex::default(),
                ready: Mutex::default(),
                queue: WaitQueue::new(),
            }),
        }
    }
}

impl Epoll {
    /// EPOLL_CTL_ADD. `this` is the epoll's own file.
    pub fn add(
        &self,
        this: &File,
        fd: i32,
        file: &Arc<File>,
        event: EpollEvent,
    ) -> Result<(), Errno> {
        if !file.ops().is_pollable() {
            return Err(Errno::EPERM);
        }
        let nested = file.downcast::<Epoll>();
        if nested.is_some() && event.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        // One at a time, so that two adds cannot close a circle between them.
        static NESTING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
        let _nesting = nested.map(|_| NESTING.lock());
        if let Some(inner) = nested
            && inner.reaches(this.id(), MAX_NESTS)
        {
            return Err(Errno::ELOOP);
        }

        let key = (file.id(), fd);
        let item = Arc::new(Item {
            fd,
            file: Arc::downgrade(file),
            interest: Mutex::new(Interest {
                events: event.events,
                data: event.data,
                is_armed: true,
            }),
            is_listed: AtomicBool::new(false),
            core: Arc::downgrade(&self.core),
        });
        {
            let mut items = self.core.items.lock();
            items.retain(|_, entry| entry.item.file.strong_count() > 0);
            if items.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            // Every event: EPOLL_CTL_MOD changes only the item's own mask.
            let registration = file
                .wait_queue()
                .map(|q| q.register(item.clone(), u32::MAX));
            items.insert(
                key,
                Entry {
                    item: item.clone(),
                    _registration: registration,
                },
            );
        }
        if item.ready().is_some() {
            self.core.list(&item);
        }
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    pub fn modify(&self, fd: i32, file: &Arc<File>, event: EpollEvent) -> Result<(), Errno> {
        if event.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let item = {
            let items = self.core.items.lock();
            items
                .get(&(file.id(), fd))
                .ok_or(Errno::ENOENT)?
                .item
                .clone()
        };
        {
            let mut interest = item.interest.lock();
            if interest.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            *interest = Interest {
                events: event.events,
                data: event.data,
                is_armed: true,
            };
        }
        if item.ready().is_some() {
            self.core.list(&item);
        }
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    pub fn remove(&self, fd: i32, file: &Arc<File>) -> Result<(), Errno> {
        let removed = self.core.items.lock().remove(&(file.id(), fd));
        removed.map(drop).ok_or(Errno::ENOENT)
    }

    /// Up to `max` events that are true now; none is an empty list.
    pub fn collect(&self, max: usize) -> Vec<EpollEvent> {
        let mut out = Vec::new();
        // Each listed item is looked at once; what level-triggered ones put back waits for the next call.
        let mut left = self.core.ready.lock().len();
        while out.len() < max && left > 0 {
            left -= 1;
            let Some(key) = self.core.ready.lock().pop_front() else {
                break;
            };
            let item = self
                .core
                .items
                .lock()
                .get(&key)
                .map(|entry| entry.item.clone());
            let Some(item) = item else { continue };
            // Unlisted before the poll: an event after it lists the item again.
            item.is_listed.store(false, Ordering::SeqCst);
            let Some((events, _file)) = item.ready() else {
                continue;
            };
            let is_level = {
                let mut interest = item.interest.lock();
                if interest.events & EPOLLONESHOT != 0 {
                    interest.is_armed = false;
                }
                out.push(EpollEvent {
                    events,
                    pad: 0,
                    data: interest.data,
                });
                interest.events & (EPOLLET | EPOLLONESHOT) == 0
            };
            if is_level && !item.is_listed.swap(true, Ordering::SeqCst) {
                self.core.ready.lock().push_back(key);
            }
        }
        out
    }

    pub fn queue(&self) -> &WaitQueue {
        &self.core.queue
    }

    /// Does this epoll watch `id`, itself or through others, or nest deeper than `depth`?
    fn reaches(&self, id: u64, depth: usize) -> bool {
        let watched: Vec<Arc<File>> = {
            let items = self.core.items.lock();
            items
                .values()
                .filter_map(|entry| entry.item.file.upgrade())
                .collect()
        };
        watched.iter().any(|file| match file.downcast::<Epoll>() {
            Some(inner) => file.id() == id || depth == 0 || inner.reaches(id, depth - 1),
            None => false,
        })
    }
}

impl FileOps for Epoll {
    fn poll(&self, _: &File) -> u32 {
        let listed: Vec<Key> = self.core.ready.lock().iter().copied().collect();
        let items: Vec<Arc<Item>> = {
            let items = self.core.items.lock();
            listed
                .iter()
                .filter_map(|key| items.get(key))
                .map(|e| e.item.clone())
                .collect()
        };
        match items.iter().any(|item| item.ready().is_some()) {
            true => POLLIN | POLLRDNORM,
            false => 0,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.core.queue)
    }

    fn fdinfo(&self, _: &File, out: &mut String) {
        let items: Vec<Arc<Item>> = self
            .core
            .items
            .lock()
            .values()
            .map(|entry| entry.item.clone())
            .collect();
        for item in items {
            let interest = item.interest.lock();
            let _ = writeln!(
                out,
                "tfd: {:8} events: {:8x} data: {:16x}  pos:0 ino:0 sdev:0",
                item.fd, interest.events, interest.data
            );
        }
    }
}
