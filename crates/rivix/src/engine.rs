//! Which engine executes guest instructions.

use crate::error::{Error, Result};
use std::str::FromStr;
use std::sync::Arc;

/// An engine.
///
/// ```
/// let engine: rivix::Engine = "interp".parse().unwrap();
/// assert_eq!(engine, rivix::Engine::Interpreter);
/// let error = "warp".parse::<rivix::Engine>().unwrap_err();
/// assert_eq!(error.to_string(), "warp: unknown engine; the engines are: interp");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// Decodes blocks once and runs them; works everywhere.
    #[default]
    Interpreter,
}

impl Engine {
    /// The name of the engine used by default.
    pub const DEFAULT_NAME: &'static str = "interp";
    const ALL: [(&'static str, Engine); 1] = [(Engine::DEFAULT_NAME, Engine::Interpreter)];

    pub(crate) fn make(self) -> Arc<dyn rivix_engine::Engine> {
        match self {
            Engine::Interpreter => Arc::new(rivix_interp::Interpreter::default()),
        }
    }
}

impl FromStr for Engine {
    type Err = Error;

    fn from_str(name: &str) -> Result<Engine> {
        let found = Engine::ALL.iter().find(|(n, _)| *n == name);
        found
            .map(|(_, engine)| *engine)
            .ok_or_else(|| Error::UnknownEngine {
                name: name.to_owned(),
                known: Engine::ALL.map(|(n, _)| n).join(", "),
            })
    }
}
