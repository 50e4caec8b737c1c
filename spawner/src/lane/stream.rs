//! The caller's context, carried along with each unit.

use rivix_sync::thread_local_var;
use std::cell::Cell;

/// Names the stream of work that a thread acts for: a guest thread, a request, a
/// connection. What a lane runs for a caller runs under the caller's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// No stream in particular: what threads begin with.
    pub const NONE: StreamId = StreamId(0);

    /// The stream this thread acts for now.
    #[inline]
    pub fn current() -> StreamId {
        HERE.try_with(|here| here.stream.get()).unwrap_or_default()
    }

    /// Runs `f` for this stream; the former one is back afterwards, also after a
    /// panic.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(StreamId);
        impl Drop for Restore {
            fn drop(&mut self) {
                set(self.0);
            }
        }
        let _restore = Restore(Self::current());
        set(self);
        f()
    }
}

/// What the fast path of a submit wants to know of its thread, in one look.
#[derive(Clone, Copy)]
pub(super) struct Here {
    pub(super) stream: StreamId,
    /// The lane whose runner this is, by address; 0: of none.
    pub(super) lane: usize,
}

struct Thread {
    stream: Cell<StreamId>,
    lane: Cell<usize>,
}

thread_local_var! {
    // Without a destructor, so that it can be read at any time in a thread's life.
    static HERE: Thread = Thread { stream: Cell::new(StreamId::NONE), lane: Cell::new(0) };
}

#[inline]
pub(super) fn here() -> Here {
    HERE.try_with(|here| Here {
        stream: here.stream.get(),
        lane: here.lane.get(),
    })
    .unwrap_or(Here {
        stream: StreamId::NONE,
        lane: 0,
    })
}

#[inline]
pub(super) fn set(stream: StreamId) {
    let _ = HERE.try_with(|here| here.stream.set(stream));
}

/// This thread begins (or, with 0, ends) to be the runner of a lane.
pub(super) fn set_lane(lane: usize) {
    let _ = HERE.try_with(|here| here.lane.set(lane));
}
