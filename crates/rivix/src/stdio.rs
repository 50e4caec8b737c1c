//! The three streams of a child.

use std::fs::File;

/// What one of a child's streams is connected to.
///
/// ```
/// # fn main() -> rivix::Result<()> {
/// use rivix::{Sandbox, Stdio};
/// let sandbox = Sandbox::builder().build()?;
/// let output = sandbox.demo().stdin(Stdio::null()).output()?;
/// assert!(!output.stdout.is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Inherit,
    Piped,
    File(File),
}

impl Stdio {
    /// Reads as empty; writes vanish.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// The host process's own stream of that number.
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// A pipe whose other end the [`Child`](crate::Child) holds.
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }

    /// An open file of the host.
    pub fn from_file(file: File) -> Stdio {
        Stdio(Kind::File(file))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        Stdio::from_file(file)
    }
}
