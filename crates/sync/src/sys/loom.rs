//! loom's primitives: every interleaving is tried.

pub use loom::cell::UnsafeCell;

pub mod atomic {
    pub use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

pub mod thread {
    pub use loom::thread::{JoinHandle, ThreadId};

    pub fn current_id() -> ThreadId {
        loom::thread::current().id()
    }

    /// Not known in a model: threads are joined at the end.
    pub fn is_finished(_: &JoinHandle<()>) -> bool {
        false
    }

    pub fn spawn(
        _name: &str,
        _stack: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        Ok(loom::thread::spawn(body))
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! set_thread_local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        $crate::loom::thread_local! { $(#[$meta])* $vis static $name: $ty = $init; }
    };
}
