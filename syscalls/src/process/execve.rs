//! execve(2), execveat(2), and the same steps for a sandbox's first program.

use rivix_abi::fcntl::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_RDONLY};
use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::stat::{S_IFMT, S_IFREG};
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_elf::{AuxInputs, ExecFile, LoadError, LoadRequest};
use rivix_fs::{Caller, File, FsContext, Lookup};
use rivix_mem::{AddressSpace, MapSource, MemConfig};
use rivix_task::{
    Creds, CurrentTask, ExitStatus, Kernel, NewProgram, Outcome, Program, SysError, SysResult,
};
use std::sync::Arc;

/// Size of a signal frame, as AT_MINSIGSTKSZ tells it.
const SIGNAL_FRAME: u64 = 1088;
/// access(2)'s execute bit.
const X_OK: u32 = 1;
/// More strings than any argument limit lets through.
const MAX_STRINGS: usize = 1 << 20;

/// Why a program was not started.
#[derive(Debug)]
pub enum ExecError {
    /// It could not be opened or is not executable.
    Open(Errno),
    /// It was opened, but is no program, or one with too many arguments.
    Load(Box<LoadError>),
    /// It is a program, but cannot be where it wants to be: the caller of execve(2)
    /// is killed, since Linux finds out when the old program is gone.
    Place(Box<LoadError>),
    /// There is no memory for it.
    Memory(Errno),
}

impl ExecError {
    pub fn errno(&self) -> Errno {
        match self {
            ExecError::Open(errno) | ExecError::Memory(errno) => *errno,
            ExecError::Load(error) | ExecError::Place(error) => error.errno(),
        }
    }
}

/// Who runs it, and from where its interpreters are found.
pub struct ExecContext<'a> {
    pub kernel: &'a Kernel,
    pub fs: &'a FsContext,
    pub caller: Caller,
    pub creds: &'a Creds,
    pub limits: &'a [Rlimit; Resource::COUNT],
}

/// An open file as the loader reads it.
struct ProgramFile {
    file: Arc<File>,
    name: Vec<u8>,
    len: u64,
}

impl ExecFile for ProgramFile {
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
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

impl ExecContext<'_> {
    /// Opens a file that may be executed: a regular one, with permission.
    pub fn open(&self, path: &[u8]) -> Result<Arc<File>, Errno> {
        let lookup = Lookup::new(self.fs.namespace(), self.fs, self.caller);
        self.check(lookup.open(path, O_RDONLY | O_CLOEXEC, 0)?)
    }

    fn check(&self, file: Arc<File>) -> Result<Arc<File>, Errno> {
        let stat = file.stat()?;
        if stat.mode & S_IFMT != S_IFREG {
            return Err(Errno::EACCES);
        }
        // Even root needs one execute bit (execve(2), EACCES).
        if stat.mode & 0o111 == 0 {
            return Err(Errno::EACCES);
        }
        file.node().access(X_OK, &self.caller)?;
        Ok(file)
    }

    /// Loads an opened program into a new address space. Touches no task.
    pub fn load(
        &self,
        program: Arc<File>,
        execfn: Vec<u8>,
        argv: Vec<Vec<u8>>,
        envp: Vec<Vec<u8>>,
    ) -> Result<NewProgram, ExecError> {
        let limit = |resource: Resource| self.limits[resource as usize].cur;
        let config = MemConfig {
            limits: super::rlimit::memory_limits(self.limits),
            ..self.kernel.memory_config().clone()
        };
        let space = AddressSpace::new(&config).map_err(ExecError::Memory)?;

        // The program's name after exec: of the file asked for, a script's too.
        let name = execfn
            .rsplit(|&b| b == b'/')
            .next()
            .unwrap_or_default()
            .to_vec();
        let mut opened: Vec<(Vec<u8>, Arc<File>)> = vec![(execfn.clone(), program.clone())];
        let mut lookup = |path: &[u8]| -> Result<Arc<dyn ExecFile>, Errno> {
            let file = self.open(path)?;
            opened.push((path.to_vec(), file.clone()));
            exec_file(file, path.to_vec())
        };
        let first = exec_file(program, execfn.clone()).map_err(ExecError::Open)?;
        let prepared = rivix_elf::prepare(LoadRequest {
            program: first,
            execfn,
            argv,
            envp,
            lookup: &mut lookup,
            task_size: space.task_size(),
            stack_limit: limit(Resource::Stack),
        })
        .map_err(|error| ExecError::Load(Box::new(error)))?;

        let mut random = [0; 16];
        rivix_task::random::fill(&mut random);
        let creds = self.creds;
        let inputs = AuxInputs {
            hwcap: rivix_isa::extension::hwcap(),
            uid: creds.uid,
            euid: creds.euid,
            gid: creds.gid,
            egid: creds.egid,
            secure: creds.uid != creds.euid || creds.gid != creds.egid,
            random,
            minsigstksz: SIGNAL_FRAME,
        };
        let loaded = rivix_elf::commit(&prepared, &space, &inputs).map_err(|error| {
            let is_early = error.errno() == Errno::E2BIG;
            let error = Box::new(error);
            if is_early {
                ExecError::Load(error)
            } else {
                ExecError::Place(error)
            }
        })?;

        let file_name = prepared.file().name();
        let exe = opened
            .iter()
            .find(|(path, _)| String::from_utf8_lossy(path) == file_name);
        let program = Program {
            exe: exe.map(|(_, file)| file.place().clone()),
            sigreturn: loaded.sigreturn,
            arg_range: loaded.arguments,
            env_range: loaded.environment,
            auxv: loaded.auxv,
            code: loaded.code,
            data: loaded.data,
            start_brk: loaded.brk_start,
            start_stack: loaded.sp,
        };
        Ok(NewProgram {
            space,
            program,
            entry: loaded.entry,
            sp: loaded.sp,
            name,
        })
    }
}

fn exec_file(file: Arc<File>, name: Vec<u8>) -> Result<Arc<dyn ExecFile>, Errno> {
    let len = u64::try_from(file.stat()?.size).unwrap_or(0);
    Ok(Arc::new(ProgramFile { file, name, len }))
}

pub fn execve(
    task: &mut CurrentTask,
    path: UserAddress,
    argv: UserRef<u64>,
    envp: UserRef<u64>,
) -> SysResult<Outcome> {
    let path = task.read_path(path)?;
    exec(task, AT_FDCWD, path, argv, envp, 0)
}

pub fn execveat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserAddress,
    argv: UserRef<u64>,
    envp: UserRef<u64>,
    flags: u32,
) -> SysResult<Outcome> {
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = task.read_path(path)?;
    exec(task, dirfd, path, argv, envp, flags)
}

fn exec(
    task: &mut CurrentTask,
    dirfd: i32,
    path: Vec<u8>,
    argv: UserRef<u64>,
    envp: UserRef<u64>,
    flags: u32,
) -> SysResult<Outcome> {
    let (argv, envp) = (Strings::Guest(argv), Strings::Guest(envp));
    match load_image(task, dirfd, path, argv, envp, flags) {
        Ok((new, _)) => {
            task.become_program(new)?;
            Ok(Outcome::Registers)
        }
        Err(NotLoaded::Refused(error)) => Err(error),
        Err(NotLoaded::NoPlace) => {
            let (signal, core) = (Signal::SIGSEGV, false);
            task.group().begin_exit(ExitStatus::Signal { signal, core });
            // Nobody sees it.
            Err(Errno::ENOEXEC.into())
        }
    }
}

/// Where a program's arguments or environment come from.
pub(crate) enum Strings {
    /// A NULL-terminated vector of the guest's.
    Guest(UserRef<u64>),
    Own(Vec<Vec<u8>>),
}

/// Why a program was not loaded.
pub(crate) enum NotLoaded {
    Refused(SysError),
    /// Its mappings cannot be where it wants them, which Linux finds out when there
    /// is no way back.
    NoPlace,
}

impl<E: Into<SysError>> From<E> for NotLoaded {
    fn from(error: E) -> NotLoaded {
        NotLoaded::Refused(error.into())
    }
}

/// Loads the program at `path` for this task, with so many arguments as the second
/// value says. Nothing of the task is touched.
pub(crate) fn load_image(
    task: &CurrentTask,
    dirfd: i32,
    path: Vec<u8>,
    argv: Strings,
    envp: Strings,
    flags: u32,
) -> Result<(NewProgram, usize), NotLoaded> {
    let kernel = task.kernel().clone();
    let fs = task.fs().clone();
    let creds = task.creds().clone();
    let limits = task.group().limits();
    let context = ExecContext {
        kernel: &kernel,
        fs: &fs,
        caller: task.caller(),
        creds: &creds,
        limits: &limits,
    };
    task.check_nproc_for_exec()?;
    let (file, execfn) = find_program(task, &context, dirfd, path, flags)?;
    // Strings are read before anything is made: EFAULT leaves all as it was.
    let limit = rivix_elf::argument_limit(limits[Resource::Stack as usize].cur);
    let mut left = limit;
    let mut read = |strings| match strings {
        Strings::Guest(list) => read_strings(task, list, &mut left),
        Strings::Own(strings) => Ok(strings),
    };
    let (argv, envp) = (read(argv)?, read(envp)?);
    let argc = argv.len();
    match context.load(file, execfn.clone(), argv, envp) {
        Ok(new) => Ok((new, argc)),
        Err(ExecError::Place(_)) => Err(NotLoaded::NoPlace),
        Err(error) => {
            if let ExecError::Load(load) = &error
                && load.is_foreign_program()
            {
                kernel.hint_foreign_program(&execfn, &load.to_string());
            }
            Err(error.errno().into())
        }
    }
}

fn find_program(
    task: &CurrentTask,
    context: &ExecContext<'_>,
    dirfd: i32,
    path: Vec<u8>,
    flags: u32,
) -> Result<(Arc<File>, Vec<u8>), Errno> {
    if path.is_empty() {
        if flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        // fexecve(3): the descriptor's own file, opened anew for reading.
        let (file, cloexec) = task.files().get_with_flag(dirfd)?;
        let lookup = Lookup::new(context.fs.namespace(), context.fs, context.caller);
        let opened = lookup.open_found(file.place(), O_RDONLY | O_CLOEXEC)?;
        let opened = context.check(opened)?;
        let name = format!("/dev/fd/{dirfd}").into_bytes();
        // A script is opened by that name after the descriptor is closed.
        let mut head = [0; 2];
        if cloexec && opened.read_at(&mut head, 0) == Ok(2) && &head == b"#!" {
            return Err(Errno::ENOENT);
        }
        return Ok((opened, name));
    }
    let base = if path.starts_with(b"/") || dirfd == AT_FDCWD {
        None
    } else {
        Some(task.files().get(dirfd)?)
    };
    let lookup = Lookup::new(context.fs.namespace(), context.fs, context.caller);
    let lookup = lookup.from(base.as_deref());
    if flags & AT_SYMLINK_NOFOLLOW != 0 && lookup.resolve(&path, false)?.is_symlink() {
        return Err(Errno::ELOOP);
    }
    let file = context.check(lookup.open(&path, O_RDONLY | O_CLOEXEC, 0)?)?;
    let execfn = match base {
        None => path,
        Some(_) => [format!("/dev/fd/{dirfd}/").as_bytes(), &path].concat(),
    };
    Ok((file, execfn))
}

/// A NULL-terminated vector of strings; NULL itself is an empty one.
fn read_strings(
    task: &CurrentTask,
    list: UserRef<u64>,
    left: &mut u64,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if list.is_null() {
        return Ok(strings);
    }
    for at in 0.. {
        let pointer = task.read(list.at(at)?)?;
        if pointer == 0 {
            break;
        }
        let max = (*left).min(rivix_elf::MAX_ARG_STRLEN) as usize;
        let string = match task.mm().read_cstr(UserAddress(pointer), max) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        let taken = string.len() as u64 + 1 + 8;
        *left = left.checked_sub(taken).ok_or(Errno::E2BIG)?;
        strings.push(string);
        if strings.len() > MAX_STRINGS {
            return Err(Errno::E2BIG);
        }
    }
    Ok(strings)
}
