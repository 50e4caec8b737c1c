//! Spawning from wherever code may run.

use crate::close::at_thread_end;
use crate::{Gate, PATIENCE, builder, eventually, settle};
use rivix_spawner::{
    Close, Creator, Full, NoContext, Pool, SpawnError, TicketError, WorkerContext,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Wake;

/// Says where it was run.
fn report(
    tell: &mpsc::Sender<&'static str>,
    place: &'static str,
) -> impl FnOnce(&mut NoContext) + use<> {
    let tell = tell.clone();
    move |_| {
        let _ = tell.send(place);
    }
}

struct SpawningWaker(Pool<NoContext>, Mutex<mpsc::Sender<&'static str>>);

impl Wake for SpawningWaker {
    fn wake(self: Arc<Self>) {
        let unit = report(&self.1.lock().unwrap(), "waker");
        self.0.spawn_nowait(unit).detach();
    }
}

/// A context whose end spawns.
struct Leaver(Pool<NoContext>, mpsc::Sender<&'static str>);

impl WorkerContext for Leaver {
    type Seed = (Pool<NoContext>, Mutex<mpsc::Sender<&'static str>>);
    type Error = std::convert::Infallible;

    fn enter(seed: &Self::Seed, _: &str) -> Result<Self, Self::Error> {
        Ok(Leaver(seed.0.clone(), seed.1.lock().unwrap().clone()))
    }

    fn leave(self) {
        self.0.spawn(report(&self.1, "leave")).unwrap().detach();
    }
}

/// A tracing layer that spawns on every event.
struct Layer(Pool<NoContext>, Mutex<mpsc::Sender<&'static str>>);

impl tracing::Subscriber for Layer {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        let unit = report(&self.1.lock().unwrap(), "layer");
        self.0.spawn(unit).unwrap().detach();
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn spawning_from_unit_waker_leave_destructor_and_tracing_layer() {
    let (tell, told) = mpsc::channel();
    let pool = builder("places").max_idle(1).build().unwrap();

    let (inner, unit) = (pool.clone(), report(&tell, "unit"));
    pool.run(move |_| inner.spawn(unit).unwrap().detach())
        .unwrap();

    let gate = Gate::default();
    let held = gate.clone();
    let mut ticket = pool.spawn(move |_| held.pass()).unwrap();
    let waker = Arc::new(SpawningWaker(pool.clone(), Mutex::new(tell.clone()))).into();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(
        std::pin::Pin::new(&mut ticket)
            .poll(&mut context)
            .is_pending()
    );
    gate.open();

    let creator = Creator::start().unwrap();
    let leavers = Pool::<Leaver>::builder(&creator, (pool.clone(), Mutex::new(tell.clone())))
        .max_idle(0)
        .build()
        .unwrap();
    leavers.run(|_| ()).unwrap();
    leavers.close(Close::Drain);

    let (late, unit) = (pool.clone(), report(&tell, "destructor"));
    let short = builder("placeshort").max_idle(0).build().unwrap();
    let mut unit = Some(unit);
    let ends = move |_: &mut NoContext| {
        at_thread_end(move || {
            if let Some(unit) = unit.take() {
                late.run(unit).unwrap();
            }
        })
    };
    short.run(ends).unwrap();
    short.close(Close::Drain);

    let layer = Layer(pool.clone(), Mutex::new(tell.clone()));
    pool.run(|_| tracing::subscriber::with_default(layer, || tracing::error!("an event")))
        .unwrap();

    let mut places: Vec<_> = (0..5)
        .map(|_| told.recv_timeout(PATIENCE).unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["destructor", "layer", "leave", "unit", "waker"]);
    pool.close(Close::Drain);
}

#[test]
fn a_destructor_may_spawn_on_the_pool_that_its_thread_left() {
    let pool = builder("ownplace").max_idle(0).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let (late, ran) = (pool.clone(), ran.clone());
        let unit = move |_: &mut NoContext| {
            let mut late = Some((late, ran));
            at_thread_end(move || {
                let Some((late, ran)) = late.take() else {
                    return;
                };
                late.run(move |_| ran.fetch_add(1, Ordering::SeqCst))
                    .unwrap();
            });
        };
        pool.run(unit).unwrap();
    }
    eventually("every destructor's unit runs", || {
        ran.load(Ordering::SeqCst) == 50
    });
    settle(&pool, |s| s.live == 0);
}

/// Runs a closure when it is dropped.
struct SpawnsAtDrop(Option<Box<dyn FnOnce() + Send>>);

impl Drop for SpawnsAtDrop {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

#[test]
fn a_unit_dropped_on_the_creator_may_spawn_and_wait() {
    // The context cannot be entered, so that the creator is where the queued
    // unit may be dropped; whoever drops it, its capture can use another pool.
    let creator = Creator::start().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let broken = Pool::<Fails>::builder(&creator, fails).build().unwrap();
    let sound = Pool::<NoContext>::builder(&creator, ()).build().unwrap();
    let (tell, told) = mpsc::channel();
    let capture = SpawnsAtDrop(Some(Box::new(move || {
        let _ = tell.send(sound.run(|_| 3).ok());
    })));
    let ended = broken.spawn_nowait(move |_| drop(capture)).wait();
    assert!(matches!(ended, Err(TicketError::Context(_))), "{ended:?}");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(3)));
}

#[derive(Debug, thiserror::Error)]
#[error("not now")]
struct NotNow;

/// A context that can be entered when its seed allows it.
struct Fails;

impl WorkerContext for Fails {
    type Seed = Arc<AtomicBool>;
    type Error = NotNow;

    fn enter(seed: &Self::Seed, _: &str) -> Result<Self, NotNow> {
        match seed.swap(false, Ordering::SeqCst) {
            true => Err(NotNow),
            false => Ok(Fails),
        }
    }
}

#[test]
fn a_context_that_fails_once_returns_the_unit_and_the_pool_works() {
    let creator = Creator::start().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let pool = Pool::<Fails>::builder(&creator, fails.clone())
        .build()
        .unwrap();
    let refused = pool.spawn(|_: &mut Fails| 8);
    let Err(SpawnError::Context(NotNow, unit)) = refused else {
        panic!("the unit did not come back");
    };
    assert_eq!(pool.run(unit).unwrap(), 8);
    let stats = settle(&pool, |s| s.idle == 1 && s.live == 1);
    assert_eq!((stats.units, stats.created, stats.refused), (1, 1, 1));

    // Without waiting, the failure is in the ticket.
    let second = Pool::<Fails>::builder(&creator, fails.clone())
        .build()
        .unwrap();
    fails.store(true, Ordering::SeqCst);
    let ended = second.spawn_nowait(|_| 8).wait();
    assert!(matches!(ended, Err(TicketError::Context(_))));
    assert_eq!(second.spawn_nowait(|_| 9).wait().unwrap(), 9);
}

#[test]
fn who_is_queued_behind_a_thread_that_fails_is_not_forgotten() {
    for _ in 0..50 {
        let creator = Creator::start().unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let pool = Pool::<Fails>::builder(&creator, fails)
            .cap(1, Full::Queue)
            .build()
            .unwrap();
        let other = pool.clone();
        let queued = std::thread::spawn(move || other.run(|_| 1));
        let first = pool.run(|_| 1);
        let second = queued.join().unwrap();
        // One of them met the failure; the other ran.
        assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    }
}
