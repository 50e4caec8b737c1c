//! shuttle's primitives: many random schedules are tried.

pub use super::cell::UnsafeCell;

pub mod atomic {
    pub use shuttle::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

pub mod thread {
    pub use shuttle::thread::{JoinHandle, ThreadId};

    pub fn current_id() -> ThreadId {
        shuttle::thread::current().id()
    }

    /// Not known in a model: threads are joined at the end.
    pub fn is_finished(_: &JoinHandle<()>) -> bool {
        false
    }

    pub fn spawn(
        name: &str,
        _stack: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        shuttle::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! set_thread_local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        $crate::shuttle::thread_local! { $(#[$meta])* $vis static $name: $ty = $init; }
    };
}
