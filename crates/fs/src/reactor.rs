//! Watches host descriptors for those who wait for them. One worker, started when
//! the first descriptor is waited for; it sleeps in the host's epoll, edge
//! triggered, so descriptors nobody writes to cost nothing.

use crate::host::HostFd;
use crate::mount::SpawnFn;
use rivix_abi::Errno;
use rivix_sync::{Mutex, WaitQueue, level};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Token of the descriptor that ends the worker.
const STOP: u64 = u64::MAX;

pub(crate) struct Reactor {
    spawn: OnceLock<Arc<SpawnFn>>,
    inner: Mutex<level::Reactor, Option<Arc<Inner>>>,
}

struct Inner {
    epoll: OwnedFd,
    stop: OwnedFd,
    started: AtomicBool,
    /// By host descriptor number; None: the host cannot watch it, it is always ready.
    table: Mutex<level::Stats, HashMap<i32, Option<WaitQueue>>>,
}

fn host(result: i32) -> Result<OwnedFd, Errno> {
    if result < 0 {
        return Err(Errno::last_host());
    }
    // SAFETY: F2, the host just returned this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

impl Inner {
    fn new() -> Result<Arc<Inner>, Errno> {
        // SAFETY: these take no pointers.
        let (epoll, stop) = unsafe {
            let epoll = host(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            (
                epoll,
                host(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?,
            )
        };
        let inner = Inner {
            epoll,
            stop,
            started: AtomicBool::new(false),
            table: Mutex::new(HashMap::new()),
        };
        inner.control(
            libc::EPOLL_CTL_ADD,
            inner.stop.as_raw_fd(),
            libc::EPOLLIN as u32,
            STOP,
        )?;
        Ok(Arc::new(inner))
    }

    fn control(&self, op: i32, fd: i32, events: u32, token: u64) -> Result<(), Errno> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: F1, a live event.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), op, fd, &mut event) };
        if result < 0 {
            Err(Errno::last_host())
        } else {
            Ok(())
        }
    }

    fn run(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            // SAFETY: F1, the array and its length.
            let n =
                unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 64, -1) };
            if n < 0 {
                match Errno::last_host() {
                    Errno::EINTR => continue,
                    errno => {
                        tracing::error!(%errno, "the reactor cannot wait");
                        return;
                    }
                }
            }
            for event in events.iter().take(n as usize) {
                let (token, bits) = (event.u64, event.events);
                if token == STOP {
                    return;
                }
                let queue = self.table.lock().get(&(token as i32)).cloned().flatten();
                if let Some(queue) = queue {
                    queue.notify(bits);
                }
            }
        }
    }
}

impl Reactor {
    pub(crate) fn new(spawn: Option<Arc<SpawnFn>>) -> Reactor {
        let reactor = Reactor {
            spawn: OnceLock::new(),
            inner: Mutex::new(None),
        };
        if let Some(spawn) = spawn {
            reactor.set_spawn(spawn);
        }
        reactor
    }

    pub(crate) fn set_spawn(&self, spawn: Arc<SpawnFn>) {
        let _ = self.spawn.set(spawn);
    }

    /// Has `queue` told of the descriptor's events from now on. False: it is always
    /// ready, or nothing can watch it.
    pub(crate) fn watch(&self, fd: &Arc<HostFd>, queue: &WaitQueue) -> bool {
        let Some(spawn) = self.spawn.get() else {
            return false;
        };
        let inner = {
            let mut slot = self.inner.lock();
            match &*slot {
                Some(inner) => inner.clone(),
                None => match Inner::new() {
                    Ok(inner) => slot.insert(inner).clone(),
                    Err(errno) => {
                        tracing::warn!(%errno, "no reactor: host descriptors cannot be waited for");
                        return false;
                    }
                },
            }
        };
        let number = fd.as_fd().as_raw_fd();
        if let Some(known) = inner.table.lock().get(&number) {
            return known.is_some();
        }
        inner.table.lock().insert(number, Some(queue.clone()));
        let events =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;
        let added = inner.control(libc::EPOLL_CTL_ADD, number, events as u32, number as u64);
        if !matches!(added, Ok(()) | Err(Errno::EEXIST)) {
            // EPERM: the host has nothing to wait for there (epoll_ctl(2)).
            inner.table.lock().insert(number, None);
            return false;
        }
        if !inner.started.swap(true, Ordering::AcqRel) {
            let worker = inner.clone();
            if let Err(errno) = spawn("rivix-reactor", Box::new(move || worker.run())) {
                tracing::warn!(%errno, "no thread for the reactor");
                inner.started.store(false, Ordering::Release);
            }
        }
        true
    }

    /// The descriptor is about to close.
    pub(crate) fn forget(&self, fd: &Arc<HostFd>) {
        let inner = self.inner.lock().clone();
        if let Some(inner) = inner {
            let number = fd.as_fd().as_raw_fd();
            let removed = inner.table.lock().remove(&number);
            if let Some(Some(_)) = removed {
                let _ = inner.control(libc::EPOLL_CTL_DEL, number, 0, 0);
            }
        }
    }
}

impl Reactor {
    /// Ends the thread: nobody waits for host descriptors any more.
    pub(crate) fn stop(&self) {
        if let Some(inner) = &*self.inner.lock() {
            let one = 1u64.to_ne_bytes();
            // SAFETY: F1, eight live bytes; an eventfd takes exactly those (eventfd(2)).
            unsafe { libc::write(inner.stop.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.stop();
    }
}
