//! From a path to a program ready to start: what execve(2) and the library share.

use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::stat::S_IFREG;
use rivix_abi::Errno;
use rivix_elf::{AuxInputs, ExecFile, LoadError, LoadRequest};
use rivix_fs::{Caller, File, FsContext, Lookup};
use rivix_mem::{AddressSpace, MapSource, MemConfig, MemLimits};
use rivix_task::{Creds, NewProgram, Program};
use std::sync::Arc;

/// AT_MINSIGSTKSZ: a signal frame without vector state (asm/ucontext.h).
const SIGNAL_FRAME: u64 = 1088;

/// A guest's file as the loader reads it.
pub struct ProgramFile {
    file: Arc<File>,
    len: u64,
}

impl ProgramFile {
    /// An open file; EACCES when it is not a regular file that `caller` may execute.
    pub fn new(file: Arc<File>, caller: &Caller) -> Result<Arc<dyn ExecFile>, Errno> {
        const EXECUTE: u32 = 1;
        let stat = file.stat()?;
        if stat.kind() != S_IFREG {
            return Err(Errno::EACCES);
        }
        file.node().access(EXECUTE, caller)?;
        let len = u64::try_from(stat.size).unwrap_or(0);
        Ok(Arc::new(ProgramFile { file, len }))
    }

    /// Opens `path` for execution.
    pub fn open(fs: &FsContext, caller: Caller, path: &[u8]) -> Result<Arc<dyn ExecFile>, Errno> {
        let lookup = Lookup::new(fs.namespace(), fs, caller);
        let place = lookup.resolve(path, true)?;
        // Asked before opening: opening a FIFO would wait for its other end.
        if place.node.stat()?.kind() != S_IFREG {
            return Err(Errno::EACCES);
        }
        let file = lookup.open(path, rivix_abi::fcntl::O_RDONLY, 0)?;
        ProgramFile::new(file, &caller)
    }
}

impl ExecFile for ProgramFile {
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.file.place().path).into_owned()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, dst: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.file.read_at(dst, offset)
    }

    fn map_source(&self) -> Option<Arc<dyn MapSource>> {
        self.file.map_source().ok()
    }
}

/// What is to be run, by whom, and where.
pub struct Request<'a> {
    pub file: Arc<dyn ExecFile>,
    /// The path as it was given: AT_EXECFN.
    pub path: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    pub fs: &'a FsContext,
    pub caller: Caller,
    pub creds: &'a Creds,
    pub memory: &'a MemConfig,
    pub limits: &'a [Rlimit; Resource::COUNT],
}

/// Why a program is not ready to start.
#[derive(Debug)]
pub enum Failure {
    /// The program is at fault.
    Load(LoadError),
    /// There is no address space for it.
    Memory(Errno),
}

impl Failure {
    /// What execve(2) answers.
    pub fn errno(&self) -> Errno {
        match self {
            Failure::Load(error) => error.errno(),
            Failure::Memory(errno) => *errno,
        }
    }
}

/// The soft limits that bound an address space.
pub fn memory_limits(limits: &[Rlimit; Resource::COUNT]) -> MemLimits {
    let soft = |resource: Resource| limits[resource as usize].cur;
    MemLimits {
        as_: soft(Resource::As),
        data: soft(Resource::Data),
        stack: soft(Resource::Stack),
        memlock: soft(Resource::Memlock),
    }
}

/// Loads a program into an address space of its own.
pub fn prepare(request: Request<'_>) -> Result<NewProgram, Failure> {
    let Request { file, path, argv, envp, fs, caller, creds, memory, limits } = request;
    let config = MemConfig { limits: memory_limits(limits), ..memory.clone() };
    let space = AddressSpace::new(&config).map_err(Failure::Memory)?;

    let mut lookup = |path: &[u8]| ProgramFile::open(fs, caller, path);
    let prepared = rivix_elf::prepare(LoadRequest {
        program: file,
        execfn: path.clone(),
        argv,
        envp,
        lookup: &mut lookup,
        task_size: space.task_size(),
        stack_limit: config.limits.stack,
    })
    .map_err(Failure::Load)?;

    let mut random = [0; 16];
    rivix_task::random::fill(&mut random);
    let inputs = AuxInputs {
        hwcap: rivix_isa::extension::hwcap(),
        uid: creds.uid,
        euid: creds.euid,
        gid: creds.gid,
        egid: creds.egid,
        secure: false,
        random,
        minsigstksz: SIGNAL_FRAME,
    };
    let loaded = rivix_elf::commit(&prepared, &space, &inputs).map_err(Failure::Load)?;
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    Ok(NewProgram {
        entry: loaded.entry,
        sp: loaded.sp,
        name: name.to_vec(),
        program: Program {
            exe: prepared.file().name().into_bytes(),
            sigreturn: loaded.sigreturn,
            arg_range: loaded.arguments,
            env_range: loaded.environment,
            auxv: loaded.auxv,
            start_code: loaded.code.start,
            end_code: loaded.code.end,
            start_data: loaded.data.start,
            end_data: loaded.data.end,
            start_stack: loaded.sp,
            entry: loaded.entry,
        },
        space,
    })
}
