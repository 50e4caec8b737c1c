//! Asynchronous units: one worker polls one future.

use crate::unit::Body;
use crate::{WorkerContext, current};
use rivix_sync::Parker;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

struct Unpark(Parker);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread to its end; `polled` runs after each poll.
pub(crate) fn poll_to_end<R>(future: impl Future<Output = R>, polled: impl Fn()) -> R {
    let unpark = Arc::new(Unpark(Parker::new()));
    let waker = Waker::from(unpark.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        let state = future.as_mut().poll(&mut context);
        polled();
        match state {
            Poll::Ready(result) => return result,
            Poll::Pending => {
                let _blocked = current::block();
                unpark.0.park();
            }
        }
    }
}

/// An asynchronous closure as a unit's body.
pub(crate) struct Polled<F>(pub(crate) F);

impl<C, R, F> Body<C, R> for Polled<F>
where
    C: WorkerContext,
    F: AsyncFnOnce(&C) -> R + Send + 'static,
{
    fn call(self, context: &mut C) -> R {
        let context: &C = context;
        let result = poll_to_end((self.0)(context), || context.polled());
        // The future is gone: what its drop put off is done now.
        context.polled();
        result
    }
}
