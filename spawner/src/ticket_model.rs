//! Tickets in every interleaving: resolving against polling, waiting,
//! cancelling and dropping.

use super::*;
use rivix_sync::sys::atomic::{AtomicUsize, Ordering};

struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The giving half of a ticket that belongs to no pool's unit.
struct Resolver<R>(Arc<Plain<R>>);

struct Plain<R>(TicketCore<R>);

impl<R: Send> Completion<R> for Plain<R> {
    fn core(&self) -> &TicketCore<R> {
        &self.0
    }

    fn cancel(&self) -> bool {
        self.0.stop()
    }
}

fn pair<R: Send + 'static>() -> (Resolver<R>, Ticket<R>) {
    let core = Arc::new(Plain(TicketCore::new()));
    (Resolver(core.clone()), Ticket::new(core))
}

impl<R> Resolver<R> {
    fn begin(&self) -> bool {
        self.0.0.begin()
    }

    fn resolve(self, outcome: Outcome<R>) {
        self.0.0.resolve(outcome);
    }
}

impl<R> Drop for Resolver<R> {
    fn drop(&mut self) {
        // The first outcome stands.
        self.0.0.resolve(Err(TicketError::Closed));
    }
}

fn runner(resolver: Resolver<u32>) -> thread::JoinHandle<()> {
    let run = move || match resolver.begin() {
        true => resolver.resolve(Ok(7)),
        false => resolver.resolve(Err(TicketError::Cancelled)),
    };
    thread::spawn("runner", 0, run).expect("a thread")
}

#[test]
fn complete_against_wait() {
    loom::model(|| {
        let (resolver, ticket) = pair();
        let runner = runner(resolver);
        assert!(matches!(ticket.wait(), Ok(7)));
        runner.join().expect("no panic");
    });
}

#[test]
fn complete_against_poll() {
    loom::model(|| {
        let (resolver, mut ticket) = pair();
        let runner = runner(resolver);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let first = Pin::new(&mut ticket).poll(&mut context);
        runner.join().expect("no panic");
        if first.is_pending() {
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
            let second = Pin::new(&mut ticket).poll(&mut context);
            assert!(matches!(second, Poll::Ready(Ok(7))));
        }
    });
}

/// Cancelled means not begun, and nothing else does.
#[test]
fn complete_against_cancel() {
    loom::model(|| {
        let (resolver, ticket) = pair();
        let runner = runner(resolver);
        let is_cancelled = ticket.cancel();
        let outcome = ticket.wait();
        assert_eq!(is_cancelled, matches!(outcome, Err(TicketError::Cancelled)));
        assert_eq!(!is_cancelled, matches!(outcome, Ok(7)));
        runner.join().expect("no panic");
    });
}

/// The outcome is dropped once, whoever comes last.
#[test]
fn complete_against_drop() {
    loom::model(|| {
        let result = Arc::new(());
        let (resolver, ticket) = pair();
        let given = result.clone();
        let runner = thread::spawn("runner", 0, move || resolver.resolve(Ok(given)));
        drop(ticket);
        runner.expect("a thread").join().expect("no panic");
        assert_eq!(Arc::strong_count(&result), 1);
    });
}

/// A wait that ends by its deadline keeps the outcome for the next.
#[test]
fn complete_against_deadline() {
    loom::model(|| {
        let (resolver, ticket) = pair();
        let runner = runner(resolver);
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        let outcome = ticket.wait_until(far).unwrap_or_else(Ticket::wait);
        assert!(matches!(outcome, Ok(7)));
        runner.join().expect("no panic");
    });
}
