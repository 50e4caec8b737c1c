//! Futexes (futex(2)).
#[derive(Default)]
pub(crate) struct Futexes {}
impl Futexes { pub(crate) fn new() -> Self { Self::default() } }
