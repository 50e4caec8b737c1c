//! A sandbox: one guest kernel and what its processes may see and use.

use crate::abi::Abi;
use crate::asynchronous::Driven;
use crate::command::Command;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hooks::{Counter, Hooks, OnStop};
use crate::stats::Stats;
use crate::{env, host};
use rivix_fs::{Namespace, NamespaceConfig};
use rivix_spawner::Reactor;
use rivix_syscalls::strace::Strace;
use rivix_task::{Kernel, KernelConfig, ShutdownReason};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long a drop waits for guest threads. They are interrupted wherever they
/// are, so this is far more than they need.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an end waits for a terminal that takes no output (^S), and for one that
/// takes it slowly; the rest is lost.
pub(crate) const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const OUTPUT_LIMIT: Duration = Duration::from_secs(10);
/// The same for a stop by job control.
const STOP_PATIENCE: Duration = Duration::from_millis(50);

/// Threads a sandbox may have unless the builder says otherwise.
const MAX_TASKS: usize = 4096;
/// Host threads kept for reuse.
const MAX_IDLE_THREADS: usize = 8;

/// Says what a [`Sandbox`] may see and use. A sandbox starts from nothing: an
/// empty root, an empty environment, the directory `/`.
///
/// ```
/// use std::time::Duration;
/// # fn main() -> rivix::Result<()> {
/// let sandbox = rivix::Sandbox::builder()
///     .env("LANG", "C")
///     .deadline(Duration::from_secs(60))
///     .max_tasks(64)
///     .build()?;
/// assert!(sandbox.demo().output()?.status.success());
/// # Ok(()) }
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct SandboxBuilder {
    root: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    deadline: Option<Duration>,
    instruction_budget: Option<u64>,
    engine: Engine,
    hostname: Option<OsString>,
    max_tasks: Option<usize>,
    max_host_mappings: Option<u64>,
    strace: Option<Box<dyn Write + Send>>,
    on_stop: Option<OnStop>,
    counts_calls: bool,
    abi: Abi,
}

impl SandboxBuilder {
    /// A directory of the host that is `/` for the guest, with our own `/proc`,
    /// `/sys` and `/dev` over it. With `/` the guest sees the files that this
    /// process sees, and may do to them what this process may do.
    pub fn root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.root = Some(directory.into());
        self
    }

    /// Sets a variable of the environment of every command.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        env::set(&mut self.env, key.as_ref(), value.as_ref());
        self
    }

    /// Sets several variables.
    pub fn envs<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        for (key, value) in variables {
            env::set(&mut self.env, key.as_ref(), value.as_ref());
        }
        self
    }

    /// Forgets every variable set so far.
    pub fn clear_env(mut self) -> Self {
        self.env.clear();
        self
    }

    /// The working directory of every command, a path of the guest.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Kills every process of the sandbox this long after its first command
    /// started, wherever it is: computing, or blocked in a call.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Kills every process of the sandbox when together they have executed
    /// about so many instructions.
    pub fn instruction_budget(mut self, instructions: u64) -> Self {
        self.instruction_budget = Some(instructions);
        self
    }

    /// What executes guest instructions.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Whose system calls the sandbox's commands make, unless they say otherwise:
    /// Linux's by default. See [`Abi`].
    pub fn abi(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    /// The node name that uname(2) tells guests; `rivix` by default.
    pub fn hostname(mut self, name: impl AsRef<OsStr>) -> Self {
        self.hostname = Some(name.as_ref().to_owned());
        self
    }

    /// Guest threads that may exist at once; one more fails with EAGAIN.
    pub fn max_tasks(mut self, count: usize) -> Self {
        self.max_tasks = Some(count);
        self
    }

    /// Host mappings that the sandbox's memory may take; one more fails with
    /// ENOMEM. Guest mappings of different kinds take about two each.
    pub fn max_host_mappings(mut self, count: u64) -> Self {
        self.max_host_mappings = Some(count);
        self
    }

    /// Calls `told` with its pid when job control stops a process that a
    /// [`Command`](crate::Command) started: the embedder stands for its parent shell.
    pub fn on_stop(mut self, told: impl Fn(i32) + Send + Sync + 'static) -> Self {
        self.on_stop = Some(Box::new(told));
        self
    }

    /// Writes every system call and signal to `sink`, as strace(1) prints them.
    pub fn strace(mut self, sink: impl Write + Send + 'static) -> Self {
        self.strace = Some(Box::new(sink));
        self
    }

    /// Counts system calls by number, and threads that exist at once, for
    /// [`Stats`]; every call costs a little more.
    pub fn count_calls(mut self, yes: bool) -> Self {
        self.counts_calls = yes;
        self
    }

    /// Makes the sandbox. Nothing runs yet, but its threads exist.
    pub fn build(self) -> Result<Sandbox> {
        host::check()?;
        env::check(&self.env)?;
        let config = match &self.root {
            None => NamespaceConfig::empty(),
            Some(root) => {
                check_root(root)?;
                NamespaceConfig::over_host(root.clone())
            }
        };
        let namespace = Namespace::new(config).map_err(|error| Error::Root {
            path: self.root.clone().unwrap_or_else(|| "/".into()),
            source: mount_error(error),
        })?;

        let counter = self.counts_calls.then(Arc::<Counter>::default);
        let strace = self.strace.is_some().then(Strace::new);
        let on_stop = self.on_stop.map(|told| flushing(&namespace, told));
        let hooks = Arc::new(Hooks::new(strace.clone(), counter.clone(), on_stop));
        let mut memory = rivix_mem::MemConfig::default();
        if let Some(count) = self.max_host_mappings {
            memory.budget = Arc::new(rivix_mem::Budget::new(count, count));
        }
        let kernel = Kernel::new(KernelConfig {
            engine: self.engine.make(),
            syscalls: rivix_syscalls::entry,
            max_tasks: self.max_tasks.unwrap_or(MAX_TASKS),
            max_idle_threads: MAX_IDLE_THREADS,
            instruction_budget: self.instruction_budget,
            hostname: self.hostname.map_or(b"rivix".to_vec(), env::into_bytes),
            memory,
            hooks,
        })
        .map_err(|source| Error::HostRefused {
            what: "new sandbox",
            source,
            remedy: "raise the limit of processes (ulimit -u), or stop other sandboxes",
        })?;

        if let (Some(strace), Some(sink)) = (&strace, self.strace) {
            let started = strace.start(kernel.lanes(), sink);
            started.map_err(|errno| Error::HostRefused {
                what: "thread for the trace",
                source: std::io::Error::from_raw_os_error(errno.raw()),
                remedy: "raise the limit of processes (ulimit -u), or run without a trace",
            })?;
        }

        let runner = Arc::downgrade(&kernel);
        let reactor = Arc::new(Reactor::new(move |name, body| {
            let kernel = runner.upgrade().ok_or(nix::errno::Errno::ESHUTDOWN)?;
            kernel
                .spawner()
                .spawn_named(name, move |_| body())
                .map_err(|error| nix::errno::Errno::from_raw(rivix_task::spawn_errno(&error).raw()))
        }));
        namespace.set_reactor(reactor.clone());
        namespace.set_lanes(Arc::downgrade(kernel.lanes()));
        let proc_info: std::sync::Weak<Kernel> = Arc::downgrade(&kernel);
        namespace.set_proc_info(proc_info);
        let terminal_host: std::sync::Weak<Kernel> = Arc::downgrade(&kernel);
        namespace.set_terminal_host(terminal_host);
        Ok(Sandbox {
            shared: Arc::new(Shared {
                kernel,
                namespace,
                reactor,
                env: self.env,
                cwd: self.cwd.unwrap_or_else(|| "/".into()),
                deadline: self.deadline,
                abi: self.abi,
                watch: OnceLock::new(),
                started: OnceLock::new(),
                counter,
            }),
        })
    }
}

/// The embedder may stop this process: first the terminal gets what guests wrote.
fn flushing(namespace: &Arc<Namespace>, told: OnStop) -> OnStop {
    let namespace = namespace.clone();
    Box::new(move |pid| {
        namespace.unwritten().wait(STOP_PATIENCE, STOP_PATIENCE);
        told(pid);
    })
}

fn check_root(root: &Path) -> Result<()> {
    let metadata = std::fs::metadata(root).map_err(|source| Error::Root {
        path: root.to_owned(),
        source,
    })?;
    if metadata.is_dir() {
        Ok(())
    } else {
        Err(Error::RootNotDirectory {
            path: root.to_owned(),
        })
    }
}

fn mount_error(error: rivix_fs::MountError) -> std::io::Error {
    match error {
        rivix_fs::MountError::HostDir { errno, .. } => {
            std::io::Error::from_raw_os_error(errno.raw())
        }
        other => std::io::Error::other(other),
    }
}

/// One guest kernel: its processes, files, clock and limits. Sandboxes are
/// independent of one another; any number may run at once.
///
/// Dropping it kills every process in it and frees everything it had.
///
/// ```
/// # fn main() -> rivix::Result<()> {
/// let sandbox = rivix::Sandbox::builder().build()?;
/// let output = sandbox.demo().output()?;
/// assert!(output.status.success());
/// assert!(String::from_utf8_lossy(&output.stdout).contains("riscv64"));
/// # Ok(()) }
/// ```
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// What commands need of their sandbox.
pub(crate) struct Shared {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) namespace: Arc<Namespace>,
    /// Watches the namespace's host descriptors and drives futures.
    reactor: Arc<Reactor>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    deadline: Option<Duration>,
    pub(crate) abi: Abi,
    /// Keeps the deadline's target alive.
    watch: OnceLock<Arc<Deadline>>,
    started: OnceLock<Instant>,
    counter: Option<Arc<Counter>>,
}

/// Ends the sandbox when its time has come.
struct Deadline(Weak<Kernel>);

impl rivix_spawner::Expire for Deadline {
    fn expire(&self) {
        if let Some(kernel) = self.0.upgrade() {
            kernel.begin_shutdown(ShutdownReason::Deadline);
        }
    }
}

impl Shared {
    /// The first command starts the clock.
    pub(crate) fn start_clock(&self) {
        let now = Instant::now();
        if self.started.set(now).is_err() {
            return;
        }
        let Some(at) = self.deadline.and_then(|after| now.checked_add(after)) else {
            return;
        };
        let target = self
            .watch
            .get_or_init(|| Arc::new(Deadline(Arc::downgrade(&self.kernel))));
        let target: Weak<dyn rivix_spawner::Expire> = Arc::downgrade(target) as Weak<_>;
        self.kernel.timers().arm(at, target);
    }
}

impl Sandbox {
    /// A sandbox with nothing in it yet.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    /// A command that runs `program`, a path of the guest. A name without a
    /// slash is looked up in the PATH of the command's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self.shared.clone(), program.as_ref())
    }

    /// A command that runs the program whose bytes are `image`; `name` is what
    /// it is told as its name.
    pub fn command_from_image(
        &self,
        name: impl AsRef<OsStr>,
        image: impl Into<Vec<u8>>,
    ) -> Command {
        Command::new(self.shared.clone(), name.as_ref()).image(image.into())
    }

    /// A command that runs the small program Rivix carries with it.
    pub fn demo(&self) -> Command {
        self.command_from_image("rivix-demo", crate::demo::IMAGE)
    }

    /// Sends a signal to every process of the foreground group of each session that
    /// has a terminal of the host's, as the terminal's own keys do. SIGHUP also goes
    /// to the sessions' leaders.
    pub fn signal_foreground(&self, signal: i32) -> Result<()> {
        self.shared
            .kernel
            .signal_consoles(crate::child::signal_of(signal)?);
        Ok(())
    }

    /// Drives `future` on a thread of the sandbox, for programs without an
    /// executor of their own. All such futures, and all that wait for descriptors
    /// of the host, share that one thread: they must not block, as
    /// [`Child::wait`](crate::Child::wait) does, and they must not own the sandbox.
    /// They have tokio's input and output, but neither its timers nor its blocking
    /// calls.
    ///
    /// ```
    /// # fn main() -> rivix::Result<()> {
    /// let sandbox = rivix::Sandbox::builder().build()?;
    /// let first = sandbox.drive(sandbox.demo().output_async())?;
    /// let second = sandbox.drive(sandbox.demo().output_async())?;
    /// for driven in [first, second] {
    ///     let output = driven.wait().expect("the sandbox lives")?;
    ///     assert!(output.status.success());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Spawn`] when the host gives no thread, or the sandbox was shut down.
    pub fn drive<F>(&self, future: F) -> Result<Driven<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.shared.reactor.spawn(future) {
            Ok(ticket) => Ok(Driven::new(ticket)),
            Err(refused) => {
                let errno = match &refused {
                    rivix_spawner::SpawnError::NoThread(errno, _) => *errno,
                    _ => nix::errno::Errno::ESHUTDOWN,
                };
                Err(Error::Spawn {
                    source: errno.into(),
                })
            }
        }
    }

    /// Counters, as they are now.
    pub fn stats(&self) -> Stats {
        let counts = self.shared.counter.as_ref().map(|counter| counter.read());
        Stats::read(&self.shared.kernel, &self.shared.namespace, counts)
    }

    /// Kills every process and waits until all threads have ended, and until what
    /// they wrote to terminals is there; for a terminal that takes nothing only for a
    /// moment. False when one did not end in time, which is a defect of Rivix.
    pub fn shutdown(&self) -> bool {
        // Killed guests are woken without it; its thread must end with theirs.
        self.shared.kernel.begin_shutdown(ShutdownReason::Requested);
        let namespace = &self.shared.namespace;
        namespace.stop_watching();
        namespace.unwritten().wait(OUTPUT_PATIENCE, OUTPUT_LIMIT);
        namespace.stop_terminals();
        let kernel = &self.shared.kernel;
        let is_over = kernel.shutdown(ShutdownReason::Requested, PATIENCE);
        namespace.end_sockets();
        is_over
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.shutdown() {
            tracing::error!("guest threads did not end in time; they are left to end later");
        }
    }
}
