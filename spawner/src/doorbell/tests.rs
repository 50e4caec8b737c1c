use crate::reactor::test_host;
use crate::{Doorbell, Reactor};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static BELL: OnceLock<Doorbell> = OnceLock::new();
static HEARD: AtomicU64 = AtomicU64::new(0);

/// Nothing here but an atomic load and the ring.
extern "C" fn handler(_: i32) {
    if let Some(bell) = BELL.get() {
        bell.ring();
    }
}

fn until(what: &str, is_done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn ten_thousand_rings_from_signal_handlers_are_all_heard() {
    const THREADS: u64 = 4;
    const RINGS: u64 = 2500;
    let reactor = Reactor::new(test_host);
    BELL.get_or_init(|| {
        Doorbell::new(&reactor, |rings| {
            HEARD.fetch_add(rings, Ordering::Relaxed);
        })
        .unwrap()
    });
    let action = SigAction::new(
        SigHandler::Handler(handler),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: D1, the handler only rings; nobody else in these tests uses SIGUSR2.
    unsafe { sigaction(Signal::SIGUSR2, &action).unwrap() };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..RINGS {
                    // The handler has returned when raise(3) does.
                    raise(Signal::SIGUSR2).unwrap();
                }
            });
        }
    });
    until("every ring is heard", || {
        HEARD.load(Ordering::Relaxed) == THREADS * RINGS
    });
    reactor.stop();
    // Rung in vain, and harmless.
    raise(Signal::SIGUSR2).unwrap();
    assert_eq!(HEARD.load(Ordering::Relaxed), THREADS * RINGS);
}

#[test]
fn rings_during_an_answer_are_answered_together_afterwards() {
    let reactor = Reactor::new(test_host);
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let bell = Doorbell::new(&reactor, move |rings| {
        let _ = entered.send(rings);
        let _ = released
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(20));
    })
    .unwrap();
    let patience = Duration::from_secs(20);
    bell.ring();
    assert_eq!(has_entered.recv_timeout(patience), Ok(1));
    for _ in 0..1000 {
        bell.ring();
    }
    release.send(()).unwrap();
    assert_eq!(has_entered.recv_timeout(patience), Ok(1000));
    release.send(()).unwrap();
    // Silence is not answered.
    assert!(has_entered.recv_timeout(Duration::from_millis(20)).is_err());
}

#[test]
fn errno_is_as_before_a_ring() {
    let reactor = Reactor::new(test_host);
    let bell = Doorbell::new(&reactor, |_| ()).unwrap();
    // A full wire that nobody quiets: the ring's own write fails with EAGAIN.
    reactor.stop();
    bell.bell.wire.write(u64::MAX - 1).unwrap();
    assert_eq!(bell.bell.wire.write(1), Err(Errno::EAGAIN));
    Errno::ENOLCK.set();
    bell.ring();
    assert_eq!(Errno::last(), Errno::ENOLCK);
}
