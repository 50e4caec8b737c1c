//! Loads a file as a guest would, and checks what must hold of any result.

use rivix_abi::{Errno, UserAddress};
use rivix_elf::{
    AuxInputs, ExecFile, LoadError, LoadRequest, MemoryFile, Problem, commit, inspect, prepare,
    script,
};
use rivix_mem::{AddressSpace, MapSource, MemConfig};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::build::{DYN, Elf};

/// A temporary file that stands for any program, mapped as files are.
pub(crate) struct Source(Arc<File>);

impl Source {
    pub(crate) fn new() -> io::Result<Source> {
        Ok(Source(Arc::new(tempfile::tempfile()?)))
    }

    fn holding(&self, bytes: &[u8]) -> io::Result<Arc<dyn ExecFile>> {
        self.0.set_len(0)?;
        self.0.write_all_at(bytes, 0)?;
        Ok(Arc::new(MappedFile {
            file: Arc::clone(&self.0),
            len: bytes.len() as u64,
        }))
    }
}

struct MappedFile {
    file: Arc<File>,
    len: u64,
}

impl ExecFile for MappedFile {
    fn name(&self) -> String {
        "mapped".to_owned()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> Result<usize, Errno> {
        Ok(self.file.read_at(dst, offset)?)
    }

    fn map_source(&self) -> Option<Arc<dyn MapSource>> {
        Some(Arc::new(MappedFile {
            file: Arc::clone(&self.file),
            len: self.len,
        }))
    }
}

impl MapSource for MappedFile {
    fn host_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn path(&self) -> Vec<u8> {
        b"/mapped".to_vec()
    }

    fn dev_ino(&self) -> (u64, u64) {
        (1, 1)
    }

    fn may_read(&self) -> bool {
        true
    }

    fn may_write(&self) -> bool {
        false
    }

    fn may_exec(&self) -> bool {
        true
    }
}

/// Loads and inspects `bytes`. Ok: the kind of result; Err: the broken promise.
pub(crate) fn run(bytes: &[u8], mapped: Option<&Source>) -> Result<String, String> {
    let program: Arc<dyn ExecFile> = match mapped {
        Some(source) => source
            .holding(bytes)
            .map_err(|error| format!("temporary file: {error}"))?,
        None => Arc::new(MemoryFile::new("memory", bytes)),
    };
    // Looked at for its own sake: it must not panic.
    let _ = script::parse(bytes);
    let task_size = 1 << 38;
    let info = inspect(&program, task_size).map_err(|error| format!("inspect failed: {error}"))?;
    if info.to_string().is_empty() {
        return Err("inspect has nothing to say".to_owned());
    }

    let itself = Arc::clone(&program);
    let mut lookup = |path: &[u8]| -> Result<Arc<dyn ExecFile>, Errno> {
        match path {
            b"/ld.so" => Ok(Arc::new(MemoryFile::new(
                "/ld.so",
                Elf::new(DYN, 0).to_bytes(),
            ))),
            b"/self" => Ok(Arc::clone(&itself)),
            _ => Err(Errno::ENOENT),
        }
    };
    let request = LoadRequest {
        program,
        execfn: b"/bin/prog".to_vec(),
        argv: vec![b"prog".to_vec(), b"-x".to_vec()],
        envp: vec![b"A=1".to_vec()],
        lookup: &mut lookup,
        task_size,
        stack_limit: 8 << 20,
    };
    let prepared = match prepare(request) {
        Ok(prepared) => prepared,
        Err(error) => return refused("prepare", &error),
    };
    let mm = AddressSpace::new(&MemConfig::default())
        .map_err(|errno| format!("no address space: {errno}"))?;
    if mm.task_size() != task_size {
        return Err(format!("the address space has {:#x} bytes", mm.task_size()));
    }
    let loaded = match commit(&prepared, &mm, &AuxInputs::default()) {
        Ok(loaded) => loaded,
        Err(error) => return refused("commit", &error),
    };

    let count = mm.mappings().len();
    let headers = 2 * prepared.program.segments.len()
        + 2 * prepared
            .interpreter
            .as_ref()
            .map_or(0, |image| image.segments.len());
    let mut promises = vec![
        (loaded.entry < task_size, "entry outside"),
        (
            loaded.sp < task_size && loaded.sp % 16 == 0,
            "stack pointer",
        ),
        (loaded.brk_start < task_size, "break outside"),
        (loaded.auxv.len() % 16 == 0, "auxiliary vector"),
        (count <= headers + 3, "too many mappings"),
        (mm.usage().total <= task_size, "more mapped than there is"),
    ];
    let mut word = [0; 8];
    promises.push((
        mm.read_bytes(UserAddress(loaded.sp), &mut word).is_ok(),
        "stack unreadable",
    ));
    promises.push((
        u64::from_le_bytes(word) == prepared.argv.len() as u64,
        "argc",
    ));
    let trampoline = mm.fetch_code(loaded.sigreturn, &mut word);
    promises.push((
        trampoline == 8 && word[..4] == [0x93, 0x08, 0xb0, 0x08],
        "trampoline",
    ));
    match promises.iter().find(|promise| !promise.0) {
        Some((_, what)) => Err(format!("broken promise: {what}: {loaded:?}")),
        None => Ok(format!("loaded {headers} {:?}", prepared.program.placement)),
    }
}

/// The kind of a refusal: where, the errno, and which problem.
fn refused(step: &str, error: &LoadError) -> Result<String, String> {
    let text = error.to_string();
    if text.len() > 16384 {
        return Err(format!("a message of {} bytes", text.len()));
    }
    let name =
        |debug: String| -> String { debug.chars().take_while(|c| c.is_alphanumeric()).collect() };
    let detail = match &error.problem {
        Problem::Segment { fault, .. } => name(format!("{fault:?}")),
        Problem::BadInterpreter(inner) => name(format!("{inner:?}")),
        Problem::Map { what, .. } | Problem::Truncated { what, .. } => (*what).to_owned(),
        _ => String::new(),
    };
    let problem = name(format!("{:?}", error.problem));
    Ok(format!(
        "{step} {} {problem} {detail}",
        error.errno().name()
    ))
}
