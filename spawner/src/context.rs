//! What a worker's owner wants set up around its threads and units.

/// What each worker of a pool carries, made and dropped on the worker's own
/// thread. Units receive it: a kernel gives its workers a task this way, and
/// this crate needs to know nothing of tasks.
///
/// The order on one thread: `enter`; for each unit `begin`, the unit, `end`;
/// `leave`. `end` runs after a panic too. None of them is called with a lock held.
pub trait WorkerContext: Sized + 'static {
    /// What contexts are made from; one per pool.
    type Seed: Send + Sync + 'static;
    type Error: std::error::Error + Send + Sync + 'static;

    /// The thread begins. `name` is the first unit's, or the pool's for a spare.
    fn enter(seed: &Self::Seed, name: &str) -> Result<Self, Self::Error>;

    /// A unit begins.
    fn begin(&mut self, name: &str) {
        let _ = name;
    }

    /// After each poll of an asynchronous unit, and after its future was
    /// dropped: what was put off is done now.
    fn polled(&self) {}

    /// A unit has ended.
    fn end(&mut self) {}

    /// The thread ends.
    fn leave(self) {}
}

/// The context of pools that need none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContext;

impl WorkerContext for NoContext {
    type Seed = ();
    type Error = std::convert::Infallible;

    fn enter((): &(), _name: &str) -> Result<Self, Self::Error> {
        Ok(NoContext)
    }
}
