//! What to run in a sandbox.

use crate::abi::Abi;
use crate::child::{Child, Output};
use crate::error::{Error, Result};
use crate::pipe::{self, ChildStderr, ChildStdin, ChildStdout, HostEnd};
use crate::sandbox::Shared;
use crate::stdio::{Kind, Stdio};
use crate::{env, process};
use rivix_abi::Errno;
use rivix_abi::fcntl::{O_RDONLY, O_WRONLY};
use rivix_abi::resource::{Resource, Rlimit};
use rivix_fs::host::HostStream;
use rivix_fs::{Caller, FdTable, File, FsContext, Lookup};
use rivix_syscalls::process::execve::{ExecContext, ExecError};
use rivix_task::{Creds, ProcessRequest};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a name without a slash is looked up when the environment has no PATH,
/// as execvp(3) does.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// A program with its arguments, environment, directory and streams; made by
/// [`Sandbox::command`](crate::Sandbox::command).
///
/// Standard input is null unless set; output and error are inherited by
/// [`spawn`](Command::spawn) and collected by [`output`](Command::output).
///
/// ```no_run
/// # fn main() -> rivix::Result<()> {
/// let sandbox = rivix::Sandbox::builder().root("./debian").build()?;
/// let output = sandbox.command("/bin/busybox").args(["echo", "hello"]).output()?;
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok(()) }
/// ```
#[must_use = "a command does nothing until it is spawned"]
pub struct Command {
    shared: Arc<Shared>,
    program: OsString,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    env: env::Variables,
    cwd: Option<PathBuf>,
    image: Option<Vec<u8>>,
    streams: [Option<Stdio>; 3],
    ignored_signals: u64,
    abi: Abi,
}

impl Command {
    pub(crate) fn new(shared: Arc<Shared>, program: &OsStr) -> Command {
        let (env, abi) = (shared.env.clone(), shared.abi);
        Command {
            shared,
            program: program.to_owned(),
            arg0: None,
            args: Vec::new(),
            env,
            cwd: None,
            image: None,
            streams: [None, None, None],
            ignored_signals: 0,
            abi,
        }
    }

    pub(crate) fn image(mut self, image: Vec<u8>) -> Command {
        self.image = Some(image);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.args.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// What the program is told as its own name, instead of PROG.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Sets a variable beyond those of the sandbox.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        env::set(&mut self.env, key.as_ref(), value.as_ref());
        self
    }

    /// Removes a variable.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(k, _)| k != key.as_ref());
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(mut self) -> Self {
        self.env.clear();
        self
    }

    /// Whose system calls it and its children make, instead of the sandbox's choice.
    /// A program of a teaching kernel gets no environment.
    pub fn abi(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    /// Its working directory, a path of the guest.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Its standard input.
    pub fn stdin(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[0] = Some(stream.into());
        self
    }

    /// Its standard output.
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[1] = Some(stream.into());
        self
    }

    /// Its standard error.
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[2] = Some(stream.into());
        self
    }

    /// Signals that it ignores from the start, as nohup(1) arranges.
    pub fn ignore_signals(mut self, signals: impl IntoIterator<Item = i32>) -> Self {
        for signal in signals {
            if (1..=64).contains(&signal) {
                self.ignored_signals |= 1 << (signal - 1);
            }
        }
        self
    }

    /// Runs it, collects its output, waits for its end.
    pub fn output(mut self) -> Result<Output> {
        for stream in &mut self.streams[1..] {
            stream.get_or_insert_with(Stdio::piped);
        }
        Ok(self.spawn()?.wait_with_output())
    }

    /// Runs it with inherited output and waits for its end.
    pub fn status(self) -> Result<crate::ExitStatus> {
        Ok(self.spawn()?.wait())
    }

    /// As [`output`](Command::output), without a thread that waits. The program is
    /// started at the first poll, by the polling thread. A future that is dropped
    /// closes the pipes and lets the program go on.
    pub async fn output_async(mut self) -> Result<Output> {
        for stream in &mut self.streams[1..] {
            stream.get_or_insert_with(Stdio::piped);
        }
        Ok(self.spawn()?.wait_with_output_async().await)
    }

    /// As [`status`](Command::status), without a thread that waits.
    pub async fn status_async(self) -> Result<crate::ExitStatus> {
        Ok(self.spawn()?.wait_async().await)
    }

    /// Starts it.
    pub fn spawn(self) -> Result<Child> {
        self.check()?;
        let shared = self.shared.clone();
        let kernel = &shared.kernel;
        let limits = process::limits();
        let creds = Creds::of_host();
        let caller = Caller {
            pid: 0,
            tid: 0,
            uid: creds.fsuid,
            gid: creds.fsgid,
            nofile: limits[Resource::Nofile as usize].cur,
            fsize: limits[Resource::Fsize as usize].cur,
        };
        let fs = self.fs_context()?;
        let context = ExecContext {
            kernel,
            fs: &fs,
            caller,
            creds: &creds,
            limits: &limits,
        };
        let (path, file) = self.open(&context)?;
        let abi = self.abi.inner();
        let environment = if abi.is_teaching() {
            Vec::new()
        } else {
            env::to_strings(&self.env)
        };
        let new = context
            .load(file, path, self.argv(), environment)
            .map_err(|failure| self.load_error(failure))?;

        let program = PathBuf::from(&self.program);
        let ignored = self.ignored_signals;
        let streams = Streams::open(&shared, self.streams)?;
        let started = kernel
            .start_process(ProcessRequest {
                space: new.space,
                program: new.program,
                entry: new.entry,
                sp: new.sp,
                name: new.name,
                files: streams.table,
                fs,
                creds,
                limits,
                terminal: streams.terminal,
                ignored,
                abi,
            })
            .map_err(|errno| start_error(&shared, program, errno))?;
        shared.start_clock();
        let [stdin, stdout, stderr] = streams.host_ends;
        Ok(Child {
            stdin: stdin.map(ChildStdin::new),
            stdout: stdout.map(ChildStdout),
            stderr: stderr.map(ChildStderr),
            pid: started.pid,
            watch: started.watch,
            kernel: Arc::downgrade(kernel),
            namespace: Arc::downgrade(&shared.namespace),
            is_killed: false.into(),
            has_terminal: streams.terminal.is_some(),
        })
    }

    fn check(&self) -> Result<()> {
        env::check(&self.env)?;
        env::check_argument(&self.program)?;
        self.args.iter().try_for_each(|a| env::check_argument(a))
    }

    fn argv(&self) -> Vec<Vec<u8>> {
        let name = self.arg0.as_ref().unwrap_or(&self.program);
        std::iter::once(name)
            .chain(&self.args)
            .map(|a| a.as_bytes().to_vec())
            .collect()
    }

    fn fs_context(&self) -> Result<Arc<FsContext>> {
        let cwd = self.cwd.as_ref().unwrap_or(&self.shared.cwd);
        let umask = process::umask();
        self.shared
            .namespace
            .context(cwd.as_os_str().as_bytes(), umask)
            .map_err(|errno| Error::WorkingDirectory {
                path: cwd.clone(),
                source: io::Error::from_raw_os_error(errno.raw()),
            })
    }

    /// The path and the open file of the program.
    fn open(&self, context: &ExecContext<'_>) -> Result<(Vec<u8>, Arc<File>)> {
        let name = self.program.as_bytes();
        if let Some(image) = &self.image {
            let file = memory_file(image)
                .and_then(|fd| self.shared.namespace.adopt(fd))
                .map_err(|errno| self.open_error(context, name, errno, None))?;
            return Ok((name.to_vec(), file));
        }
        if name.contains(&b'/') || name.is_empty() {
            let file = context
                .open(name)
                .map_err(|errno| self.open_error(context, name, errno, None))?;
            return Ok((name.to_vec(), file));
        }
        let variable = self.env.iter().find(|(key, _)| key == "PATH");
        let list = variable.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
        // execvp(3): a file that may not be executed is remembered, the search goes on.
        let mut refused = None;
        for directory in list.split(|&b| b == b':') {
            let path = match directory {
                b"" => name.to_vec(),
                directory => [directory, b"/", name].concat(),
            };
            match context.open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => refused = refused.or(Some((path, errno))),
            }
        }
        Err(match refused {
            Some((path, errno)) => self.open_error(context, &path, errno, None),
            None => self.open_error(context, name, Errno::ENOENT, Some(list)),
        })
    }

    fn open_error(
        &self,
        context: &ExecContext<'_>,
        path: &[u8],
        errno: Errno,
        searched: Option<&[u8]>,
    ) -> Error {
        let program = PathBuf::from(OsString::from_vec(path.to_vec()));
        let refuse = |what: &str, remedy: &str| Error::NotExecutable {
            program: program.clone(),
            what: what.into(),
            remedy: remedy.into(),
        };
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => Error::ProgramNotFound {
                program,
                searched: searched.map(|list| OsString::from_vec(list.to_vec())),
            },
            Errno::EACCES => {
                let lookup = Lookup::new(context.fs.namespace(), context.fs, context.caller);
                let place = lookup.resolve(path, true);
                if place.is_ok_and(|place| place.is_dir()) {
                    refuse("is a directory", "name a program file")
                } else {
                    refuse(
                        "permission denied",
                        "make it readable and executable (chmod a+rx)",
                    )
                }
            }
            Errno::ENFILE | Errno::EMFILE => Error::Load {
                program,
                what: errno.message().into(),
                remedy: "raise the limit of open files (ulimit -n)".into(),
            },
            errno => refuse(&format!("cannot be opened: {errno}"), "check the path"),
        }
    }

    fn load_error(&self, failure: ExecError) -> Error {
        let program = PathBuf::from(&self.program);
        match failure {
            ExecError::Open(errno) => Error::NotExecutable {
                program,
                what: format!("cannot be opened: {errno}"),
                remedy: "check the path".into(),
            },
            ExecError::Memory(errno) => Error::Load {
                program,
                what: format!("no address space for it: {errno}"),
                remedy: "raise the address-space limit (ulimit -v), or stop other sandboxes".into(),
            },
            ExecError::Load(error) | ExecError::Place(error) => {
                let text = error.problem.to_string();
                let (what, remedy) = match text.split_once("; ") {
                    Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
                    None => (text, "give a riscv64 Linux program".to_owned()),
                };
                let program = PathBuf::from(&error.file);
                // A program too large for any guest is at fault itself; a host
                // without room is not.
                let is_program = matches!(error.problem, rivix_elf::Problem::Segment { .. });
                match error.errno() {
                    _ if is_program => Error::NotExecutable {
                        program,
                        what,
                        remedy,
                    },
                    Errno::ENOMEM | Errno::EAGAIN | Errno::EIO | Errno::ENFILE | Errno::EMFILE => {
                        Error::Load {
                            program,
                            what,
                            remedy,
                        }
                    }
                    _ => Error::NotExecutable {
                        program,
                        what,
                        remedy,
                    },
                }
            }
        }
    }
}

/// A host file that exists in memory only.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let fd = nix::sys::memfd::memfd_create(c"rivix-program", flags)
        .map_err(|errno| Errno::from_host(errno as i32))?;
    let mut file = std::fs::File::from(fd);
    io::Write::write_all(&mut file, bytes)?;
    Ok(file.into())
}

fn start_error(shared: &Shared, program: PathBuf, errno: Errno) -> Error {
    if shared.kernel.shutdown_reason().is_some() {
        return Error::Load {
            program,
            what: "its sandbox has ended".into(),
            remedy: "make a new sandbox".into(),
        };
    }
    Error::Spawn {
        source: io::Error::from_raw_os_error(errno.raw()),
    }
}

/// A child's descriptors, and the host's ends of its pipes.
struct Streams {
    table: Arc<FdTable>,
    host_ends: [Option<HostEnd>; 3],
    terminal: Option<u64>,
}

impl Streams {
    fn open(shared: &Shared, streams: [Option<Stdio>; 3]) -> Result<Streams> {
        const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];
        let table = FdTable::new();
        let mut host_ends = [None, None, None];
        let mut terminal = None;
        for (number, stream) in streams.into_iter().enumerate() {
            let fail = |errno: Errno| Error::Stream {
                stream: NAMES[number],
                source: io::Error::from_raw_os_error(errno.raw()),
            };
            let default = if number == 0 {
                Kind::Null
            } else {
                Kind::Inherit
            };
            let file = match stream.map_or(default, |s| s.0) {
                Kind::Null => Some(open_null(shared, number).map_err(fail)?),
                Kind::Piped => {
                    let (reader, writer) = pipe::pair(&shared.namespace);
                    let (ours, theirs) = if number == 0 {
                        (writer, reader)
                    } else {
                        (reader, writer)
                    };
                    host_ends[number] = Some(HostEnd::new(ours));
                    Some(theirs)
                }
                Kind::File(file) => {
                    Some(shared.namespace.adopt(OwnedFd::from(file)).map_err(fail)?)
                }
                Kind::Inherit => {
                    let file = inherit(shared, number as i32).map_err(fail)?;
                    let stream = file.as_ref().and_then(|file| file.downcast::<HostStream>());
                    // Another session's terminal is none of the guest's either.
                    let own = stream.filter(|stream| stream.is_controlling());
                    terminal = terminal.or_else(|| own?.device());
                    file
                }
            };
            if let Some(file) = file {
                let limit = u64::MAX;
                table
                    .insert_lowest(file, false, number as u64, limit)
                    .map_err(fail)?;
            }
        }
        Ok(Streams {
            table,
            host_ends,
            terminal,
        })
    }
}

fn open_null(shared: &Shared, number: usize) -> Result<Arc<File>, Errno> {
    let flags = if number == 0 { O_RDONLY } else { O_WRONLY };
    let context = shared.namespace.context(b"/", 0)?;
    let lookup = Lookup::new(&shared.namespace, &context, Caller::default());
    lookup.open(b"/dev/null", flags, 0)
}

/// A duplicate of the host's descriptor; None when the host has it closed.
fn inherit(shared: &Shared, number: i32) -> Result<Option<Arc<File>>, Errno> {
    let duplicate = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    match duplicate {
        Ok(fd) => shared.namespace.adopt(fd).map(Some),
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(None),
        Err(error) => Err(Errno::from_io(&error)),
    }
}

/// Limits as an array, by Linux's numbers.
pub(crate) type Limits = [Rlimit; Resource::COUNT];
