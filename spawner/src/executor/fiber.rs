//! The memory of a fiber.
//!
//! One allocation holds a header, the future or its outcome, and the allocator.
//! Everybody refers to it by its header: queues, wakers, the registry, the join
//! handle and [`Fiber`]s.
//!
//! - **Invariant F1:** a [`Ref`] owns one reference of the state word, and the
//!   allocation lives while there is one. Its pointer came from the allocation
//!   as a whole, never from a reference to a part.
//! - **Invariant F2:** the stage is touched by the thread that has RUNNING, or,
//!   after DONE, by the join handle (by the completer if there was none).
//! - **Invariant F3:** the future is polled and dropped where it lies, and
//!   never moved.
//! - **Invariant F4:** a future that is not Send is polled and dropped on the
//!   thread of the worker it was spawned on: its entries go to that worker's
//!   own queue, and only that worker claims it at the end.
//! - **Invariant F5:** the registry's reference goes only after DONE, and an
//!   outcome is taken by whom F2 names, so that the last reference, which any
//!   thread may drop, finds no future and no outcome.
//! - **Invariant F6:** `vtable` is that of the allocation's own types.

use super::join::JoinError;
use super::shared::Shared;
use super::word::{Ended, Stop, Wake, Word};
use crate::panics::{catch, drop_quietly};
use crate::ticket::report_panic;
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box as BoxIn;
use rivix_sync::sys::UnsafeCell;
use rivix_sync::sys::atomic::AtomicU64;
use rivix_sync::{Mutex, level};
use std::any::Any;
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// What a fiber is called, and what its spawner wants to keep with it.
pub(super) struct Info {
    pub(super) name: Cow<'static, str>,
    pub(super) kind: &'static str,
    pub(super) location: &'static Location<'static>,
    pub(super) metadata: Option<Arc<dyn Any + Send + Sync>>,
}

struct Vtable {
    /// Polls; ready, with the outcome in place, or pending. Caller: F2, F4.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    /// Drops the future and leaves why. Caller: F2, F4.
    stop: unsafe fn(NonNull<Header>, Stop),
    /// Moves the outcome, if it is there, to an `Option` of its type. Caller: F2, after DONE.
    take: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops an outcome nobody wants. Caller: F2, after DONE.
    discard: unsafe fn(NonNull<Header>),
    /// Caller: F5.
    free: unsafe fn(NonNull<Header>),
}

pub(super) struct Header {
    pub(super) word: Word,
    vtable: &'static Vtable,
    pub(super) shared: Arc<Shared>,
    pub(super) info: Info,
    /// The worker it belongs to, if it must not be stolen.
    pub(super) home: Option<usize>,
    /// Where the registry has it, and its number; written before it is shared.
    pub(super) place: AtomicU64,
    pub(super) id: AtomicU64,
    /// Who waits for its end.
    pub(super) watcher: Mutex<level::Ticket, Option<Waker>>,
}

/// A future and its way to an outcome.
enum Stage<F: Future> {
    Future(F),
    Outcome(Result<F::Output, JoinError<F::Output>>),
    Gone,
}

#[repr(C)]
struct Body<F: Future, A> {
    /// First, so that a pointer to the body is one to the header.
    header: Header,
    stage: UnsafeCell<Stage<F>>,
    allocator: A,
}

/// One reference to a fiber.
pub(super) struct Ref {
    header: NonNull<Header>,
}

// SAFETY: F1 and F2: all of the header is Send and Sync; the stage, which may not be, is reached only as F2, F4 and F5 say.
unsafe impl Send for Ref {}
// SAFETY: as for Send.
unsafe impl Sync for Ref {}

impl std::ops::Deref for Ref {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: F1, the allocation lives; nobody has the header mutably.
        unsafe { self.header.as_ref() }
    }
}

impl Clone for Ref {
    fn clone(&self) -> Self {
        self.word.add_ref();
        Ref {
            header: self.header,
        }
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        if self.word.drop_ref() {
            // SAFETY: F1, F5, F6: this was the last reference.
            unsafe { (self.vtable.free)(self.header) }
        }
    }
}

/// What [`allocate`] makes a fiber from.
pub(super) struct Making<F> {
    pub(super) future: F,
    pub(super) info: Info,
    pub(super) home: Option<usize>,
}

/// Allocates a fiber; its three references, or what was given.
pub(super) fn allocate<F, A>(
    shared: &Arc<Shared>,
    making: Making<F>,
    allocator: A,
) -> Result<[Ref; 3], Making<F>>
where
    F: Future + 'static,
    A: Allocator + Clone + Send + Sync + 'static,
{
    let Ok(place) = BoxIn::<Body<F, A>, A>::try_new_uninit_in(allocator.clone()) else {
        return Err(making);
    };
    let place = BoxIn::write(
        place,
        Body {
            header: Header {
                word: Word::new(),
                vtable: &Of::<F, A>::VTABLE,
                shared: shared.clone(),
                info: making.info,
                home: making.home,
                place: AtomicU64::new(0),
                id: AtomicU64::new(0),
                watcher: Mutex::new(None),
            },
            stage: UnsafeCell::new(Stage::Future(making.future)),
            allocator,
        },
    );
    let (pointer, _) = BoxIn::into_raw_with_allocator(place);
    // SAFETY: a box's pointer is not null.
    let header = unsafe { NonNull::new_unchecked(pointer) }.cast();
    Ok([(); 3].map(|()| Ref { header }))
}

/// Takes a fiber apart that could not be spawned.
///
/// # Safety
/// The references are all there are, from [`allocate`] with these types, and
/// the future was never polled.
pub(super) unsafe fn take_back<F, A>(references: [Ref; 3]) -> F
where
    F: Future + 'static,
    A: Allocator + Clone + Send + Sync + 'static,
{
    let header = references[0].header;
    std::mem::forget(references);
    // SAFETY: the caller's duties; the future was never pinned by a poll.
    let future = unsafe {
        Of::<F, A>::stage(header, |stage| {
            match std::ptr::replace(stage, Stage::Gone) {
                Stage::Future(future) => future,
                Stage::Outcome(_) | Stage::Gone => {
                    unreachable!("a fiber ended before it was spawned")
                }
            }
        })
    };
    // SAFETY: the caller's duties; see `free`.
    unsafe { Of::<F, A>::free(header) };
    future
}

impl Ref {
    /// Is it the same fiber?
    pub(super) fn is(&self, other: &Ref) -> bool {
        self.header == other.header
    }

    /// Polls once.
    ///
    /// # Safety
    /// The caller has RUNNING (F2), and for a pinned fiber is its worker (F4).
    pub(super) unsafe fn poll(&self) -> Poll<()> {
        // SAFETY: F1; the waker is not dropped, so it owns no reference, and
        // the fiber outlives this borrow.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(self.header)) });
        let mut context = Context::from_waker(&waker);
        // SAFETY: F6, and the caller's duties.
        unsafe { (self.vtable.poll)(self.header, &mut context) }
    }

    /// Drops the future; the outcome is `stop`.
    ///
    /// # Safety
    /// As for [`Ref::poll`].
    pub(super) unsafe fn stop(&self, stop: Stop) {
        // SAFETY: F6, and the caller's duties.
        unsafe { (self.vtable.stop)(self.header, stop) }
    }

    /// Publishes the end, after a ready poll or a stop.
    ///
    /// # Safety
    /// The caller has RUNNING and gives it up; the outcome is in place.
    pub(super) unsafe fn complete(&self) -> Ended {
        let ended = self.word.complete();
        if !ended.is_joined {
            // SAFETY: F2, F6: DONE is set and there is no join handle.
            unsafe { (self.vtable.discard)(self.header) }
        }
        if ended.is_watched {
            let watcher = self.watcher.lock().take();
            if let Some(watcher) = watcher {
                // A waker is the waiter's code.
                if let Err(payload) = catch(move || watcher.wake()) {
                    drop_quietly(payload);
                }
            }
        }
        ended
    }

    /// Takes the outcome; None: it was taken.
    ///
    /// # Safety
    /// F2: the caller is the join handle and DONE is set; `R` is the output of
    /// the allocation's future.
    pub(super) unsafe fn take<R>(&self) -> Option<Result<R, JoinError<R>>> {
        let mut outcome: Option<Result<R, JoinError<R>>> = None;
        // SAFETY: F6, the caller's duties, and the pointer is to what `R` says.
        unsafe { (self.vtable.take)(self.header, (&raw mut outcome).cast()) };
        match outcome {
            // It became ready in the very poll during which it was cancelled.
            Some(Ok(output)) if self.word.is_cancelled() => Some(Err(JoinError::Cancelled {
                completed: Some(output),
            })),
            outcome => outcome,
        }
    }

    /// Makes it runnable after somebody else's wake.
    pub(super) fn wake_by_ref(&self) {
        if self.word.wake_by_ref() == Wake::Queue {
            // The word counted this reference.
            super::shared::schedule(Ref {
                header: self.header,
            });
        }
    }

    /// Asks that the future be dropped; false: the fiber is complete.
    pub(super) fn cancel(&self) -> bool {
        match self.word.cancel() {
            super::word::Cancel::Late => false,
            super::word::Cancel::Asked => true,
            super::word::Cancel::Queue => {
                // The word counted this reference.
                super::shared::schedule(Ref {
                    header: self.header,
                });
                true
            }
        }
    }
}

/// The code for one type of future and allocator.
struct Of<F, A>(std::marker::PhantomData<(F, A)>);

impl<F: Future + 'static, A: Allocator + Clone + Send + Sync + 'static> Of<F, A> {
    const VTABLE: Vtable = Vtable {
        poll: Self::poll,
        stop: Self::stop,
        take: Self::take,
        discard: Self::discard,
        free: Self::free,
    };

    /// # Safety
    /// F1 and F6 hold for `header`.
    unsafe fn stage<R>(header: NonNull<Header>, f: impl FnOnce(*mut Stage<F>) -> R) -> R {
        // SAFETY: F1, F6: the header is the first field of this body.
        let body = unsafe { header.cast::<Body<F, A>>().as_ref() };
        body.stage.with_mut(f)
    }

    unsafe fn poll(header: NonNull<Header>, context: &mut Context<'_>) -> Poll<()> {
        let step = |stage: *mut Stage<F>| {
            let polled = catch(|| {
                // SAFETY: F2, this thread has the stage.
                let Stage::Future(future) = (unsafe { &mut *stage }) else {
                    unreachable!("a fiber without a future was queued");
                };
                // SAFETY: F3, it stays where it is until it is dropped there.
                unsafe { Pin::new_unchecked(future) }.poll(context)
            });
            let outcome = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => Ok(output),
                Err(payload) => Err(JoinError::Panicked(payload)),
            };
            // SAFETY: F2, as above.
            unsafe { replace(stage, Stage::Outcome(outcome)) };
            Poll::Ready(())
        };
        // SAFETY: the caller's duties.
        unsafe { Self::stage(header, step) }
    }

    unsafe fn stop(header: NonNull<Header>, stop: Stop) {
        let error = match stop {
            Stop::Cancelled => JoinError::Cancelled { completed: None },
            Stop::Closed => JoinError::Closed,
        };
        // SAFETY: the caller's duties; F2.
        unsafe { Self::stage(header, |stage| replace(stage, Stage::Outcome(Err(error)))) }
    }

    unsafe fn take(header: NonNull<Header>, out: *mut ()) {
        // SAFETY: the caller's duties; F2. An outcome may be moved, a future not.
        let stage = unsafe {
            Self::stage(header, |stage| match &*stage {
                Stage::Outcome(_) => std::ptr::replace(stage, Stage::Gone),
                Stage::Future(_) | Stage::Gone => Stage::Gone,
            })
        };
        if let Stage::Outcome(outcome) = stage {
            // SAFETY: `Ref::take` passes a place of this type.
            unsafe {
                *out.cast::<Option<Result<F::Output, JoinError<F::Output>>>>() = Some(outcome)
            };
        }
    }

    unsafe fn discard(header: NonNull<Header>) {
        let mut outcome: Option<Result<F::Output, JoinError<F::Output>>> = None;
        // SAFETY: the caller's duties; the place has the type.
        unsafe { Self::take(header, (&raw mut outcome).cast()) };
        match outcome {
            Some(Err(JoinError::Panicked(payload))) => report_panic(payload),
            outcome => drop_quietly(outcome),
        }
    }

    unsafe fn free(header: NonNull<Header>) {
        let body = header.cast::<Body<F, A>>();
        // SAFETY: F1, F6: it is alive until the box below is dropped.
        let allocator = unsafe { body.as_ref() }.allocator.clone();
        // SAFETY: F1, F5: the last reference; the allocator is a clone of the one that made it.
        drop_quietly(unsafe { BoxIn::from_raw_in(body.as_ptr(), allocator) });
    }
}

/// Drops what is in `stage` where it lies, whatever that does, and puts `next` there.
///
/// # Safety
/// The caller has the stage (F2).
unsafe fn replace<F: Future>(stage: *mut Stage<F>, next: Stage<F>) {
    // SAFETY: the caller's duty; the place counts as empty until the write below.
    let dropped = catch(|| unsafe { std::ptr::drop_in_place(stage) });
    // SAFETY: the caller's duty; what was there is dropped.
    unsafe { std::ptr::write(stage, next) };
    if let Err(payload) = dropped {
        report_panic(payload);
    }
}

const WAKER: RawWakerVTable = RawWakerVTable::new(clone_waker, wake, wake_by_ref, drop_waker);

fn raw_waker(header: NonNull<Header>) -> RawWaker {
    RawWaker::new(header.as_ptr().cast(), &WAKER)
}

/// The reference a waker owns.
///
/// # Safety
/// `data` is of [`raw_waker`], and its reference is the caller's to use.
unsafe fn of_waker(data: *const ()) -> Ref {
    Ref {
        // SAFETY: it was made from a NonNull.
        header: unsafe { NonNull::new_unchecked(data.cast_mut().cast()) },
    }
}

unsafe fn clone_waker(data: *const ()) -> RawWaker {
    // SAFETY: F1; the waker keeps its reference.
    let fiber = ManuallyDrop::new(unsafe { of_waker(data) });
    fiber.word.add_ref();
    raw_waker(fiber.header)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: F1; the waker gives its reference up, to the queue or to the word.
    let fiber = ManuallyDrop::new(unsafe { of_waker(data) });
    match fiber.word.wake() {
        Wake::Queue => super::shared::schedule(ManuallyDrop::into_inner(fiber)),
        // SAFETY: F1, F5, F6: the word says that it was the last reference.
        Wake::Nothing { last: true } => unsafe { (fiber.vtable.free)(fiber.header) },
        Wake::Nothing { last: false } => {}
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: F1; the waker keeps its reference.
    let fiber = ManuallyDrop::new(unsafe { of_waker(data) });
    fiber.wake_by_ref();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: F1; the waker gives its reference up.
    drop(unsafe { of_waker(data) });
}
