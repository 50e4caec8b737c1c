//! What a program file is, and what this Rivix is.

use crate::error::{Error, Result};
use rivix_elf::ExecFile;
use rivix_mem::MapSource;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The user half of Sv39, which guests get unless the host limits it.
const TASK_SIZE: u64 = 1 << 38;

/// A description of a program file, for people.
#[derive(Clone, Debug)]
pub struct ProgramInfo(rivix_elf::Info);

impl ProgramInfo {
    /// True when Rivix would run it, given its interpreter if it needs one.
    pub fn is_runnable(&self) -> bool {
        self.0.refusal.is_none()
    }
}

impl fmt::Display for ProgramInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Looks at a program file of the host.
///
/// ```
/// let info = rivix::info::inspect("/proc/self/exe").unwrap();
/// assert!(!info.is_runnable());
/// ```
pub fn inspect(path: impl AsRef<Path>) -> Result<ProgramInfo> {
    let path = path.as_ref();
    let refuse = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::ProgramNotFound {
            program: path.to_owned(),
            searched: None,
        },
        _ => Error::NotExecutable {
            program: path.to_owned(),
            what: format!("cannot be read: {error}"),
            remedy: "make it readable".into(),
        },
    };
    let file = File::open(path).map_err(refuse)?;
    let metadata = file.metadata().map_err(refuse)?;
    if !metadata.is_file() {
        return Err(Error::NotExecutable {
            program: path.to_owned(),
            what: if metadata.is_dir() {
                "is a directory"
            } else {
                "is not a regular file"
            }
            .into(),
            remedy: "name a program file".into(),
        });
    }
    let name = path.display().to_string();
    let file: Arc<dyn ExecFile> = Arc::new(HostFile {
        name,
        len: metadata.len(),
        file,
    });
    rivix_elf::inspect(&file, TASK_SIZE)
        .map(ProgramInfo)
        .map_err(|error| Error::NotExecutable {
            program: path.to_owned(),
            what: error.problem.to_string(),
            remedy: "give a riscv64 Linux program".into(),
        })
}

struct HostFile {
    name: String,
    len: u64,
    file: File,
}

impl ExecFile for HostFile {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> Result<usize, rivix_abi::Errno> {
        Ok(self.file.read_at(dst, offset)?)
    }

    fn map_source(&self) -> Option<Arc<dyn MapSource>> {
        None
    }
}

/// The instruction set that guests see, as an ISA string.
pub fn isa() -> String {
    rivix_isa::extension::isa_string()
}

/// Version, instruction set and host, as `rivix --version` prints them.
pub fn version_line() -> String {
    format!(
        "{} ({}; host {}-linux, {})",
        env!("CARGO_PKG_VERSION"),
        isa(),
        std::env::consts::ARCH,
        rivix_interp::driver()
    )
}
