//! Who watches host descriptors for those who wait for them: a reactor of the
//! spawner's, the namespace's own or one that others use too.

//!
//! Models have no reactor: there, nobody waits for host descriptors.

#[cfg(rivix_model)]
pub(crate) use modelled::{Watched, Watcher};
#[cfg(not(rivix_model))]
pub(crate) use watching::{Watched, Watcher};

#[cfg(rivix_model)]
mod modelled {
    use crate::host::HostFd;
    use crate::mount::SpawnFn;
    use rivix_sync::WaitQueue;
    use std::sync::Arc;

    #[derive(Default)]
    pub(crate) struct Watcher;

    #[derive(Default)]
    pub(crate) struct Watched;

    impl Watcher {
        pub(crate) fn set_spawn(&self, _: Arc<SpawnFn>) {}

        pub(crate) fn watch(&self, _: &Watched, _: &Arc<HostFd>, _: &WaitQueue) -> bool {
            false
        }

        pub(crate) fn stop(&self) {}
    }
}

#[cfg(not(rivix_model))]
mod watching {
    use crate::host::HostFd;
    use crate::mount::SpawnFn;
    use rivix_spawner::{ReactorError, StableFd, Watch, WatchError};
    use rivix_sync::WaitQueue;
    use std::sync::{Arc, OnceLock};

    // SAFETY: F2, a `HostFd` owns its descriptor and never exchanges it.
    unsafe impl StableFd for HostFd {}

    /// The reactor's place in a namespace.
    #[derive(Default)]
    pub(crate) struct Watcher(OnceLock<Arc<rivix_spawner::Reactor>>);

    /// One descriptor's place: whether the host can watch it, once that is known.
    #[derive(Default)]
    pub(crate) struct Watched(OnceLock<Option<Watch>>);

    impl Watcher {
        /// A reactor of the namespace's own, whose thread `spawn` gives.
        pub(crate) fn set_spawn(&self, spawn: Arc<SpawnFn>) {
            self.set(Arc::new(rivix_spawner::Reactor::new(move |name, body| {
                spawn(name, body).map_err(|errno| nix::errno::Errno::from_raw(errno.raw()))
            })));
        }

        /// The first one stays.
        pub(crate) fn set(&self, reactor: Arc<rivix_spawner::Reactor>) {
            let _ = self.0.set(reactor);
        }

        /// Has `queue` told of the descriptor's events, from the first call on until
        /// `watched` is dropped. False: it is always ready, or nothing can watch it.
        pub(crate) fn watch(&self, watched: &Watched, fd: &Arc<HostFd>, queue: &WaitQueue) -> bool {
            if let Some(known) = watched.0.get() {
                return known.is_some();
            }
            let Some(reactor) = self.0.get() else {
                return false;
            };
            let queue = queue.clone();
            match reactor.watch(fd.clone(), move |events| queue.notify(events)) {
                Ok(watch) => watched.0.set(Some(watch)).is_ok(),
                Err(WatchError::AlwaysReady) => {
                    let _ = watched.0.set(None);
                    false
                }
                // Another thread is just before `set`.
                Err(WatchError::Reactor(ReactorError::Host(nix::errno::Errno::EEXIST))) => true,
                Err(WatchError::Reactor(ReactorError::Stopped)) => false,
                Err(error) => {
                    tracing::warn!(%error, "a host descriptor cannot be waited for");
                    false
                }
            }
        }

        /// Ends the thread: nobody waits for host descriptors any more.
        pub(crate) fn stop(&self) {
            if let Some(reactor) = self.0.get() {
                reactor.stop();
            }
        }
    }
}
