//! New tasks: clone(2), and the processes that the library starts.

use crate::creds::Creds;
use crate::current::{CurrentTask, disabled_altstack};
use crate::error::{Blocked, Restart, SysResult};
use crate::group::ThreadGroup;
use crate::guest_loop;
use crate::kernel::{ExitWatch, Kernel};
use crate::memory::{Memory, Program};
use crate::pids::{INIT, Membership, Process, Promised, Terminal};
use crate::signal::SignalActions;
use crate::signal::state::ThreadSignals;
use crate::task::{Sched, Task, TaskState, VforkDone};
use crate::worker_context::GuestWorker;
use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::sched::{CSIGNAL, CloneFlags};
use rivix_abi::signal::StackT;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_fs::{FdTable, FsContext};
use rivix_isa::{Registers, reg};
use rivix_mem::AddressSpace;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// clone(2)'s arguments.
#[derive(Clone, Copy, Debug)]
pub struct CloneArgs {
    pub flags: CloneFlags,
    /// 0: none.
    pub exit_signal: u8,
    pub stack: u64,
    pub parent_tid: UserAddress,
    pub tls: u64,
    pub child_tid: UserAddress,
}

impl CloneArgs {
    /// Splits and checks the flag word; bits that Linux does not know are ignored.
    pub fn new(
        raw: u64,
        stack: u64,
        parent_tid: UserAddress,
        tls: u64,
        child_tid: UserAddress,
    ) -> Result<CloneArgs, Errno> {
        let flags = CloneFlags::from_bits_truncate(raw & 0xffff_ffff & !CSIGNAL);
        let exit_signal = (raw & CSIGNAL) as u8;
        if exit_signal > Signal::MAX {
            return Err(Errno::EINVAL);
        }
        let has = |f| flags.contains(f);
        let wrong = has(CloneFlags::SIGHAND) && !has(CloneFlags::VM)
            || has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND)
            || has(CloneFlags::FS) && flags.intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER)
            || has(CloneFlags::THREAD)
                && flags.intersects(CloneFlags::NEWUSER | CloneFlags::NEWPID)
            || has(CloneFlags::PIDFD)
                && flags.intersects(
                    CloneFlags::PARENT_SETTID | CloneFlags::DETACHED | CloneFlags::THREAD,
                );
        if wrong {
            return Err(Errno::EINVAL);
        }
        let namespaces = CloneFlags::NEWNS
            | CloneFlags::NEWCGROUP
            | CloneFlags::NEWUTS
            | CloneFlags::NEWIPC
            | CloneFlags::NEWUSER
            | CloneFlags::NEWPID
            | CloneFlags::NEWNET;
        if flags.intersects(namespaces) {
            return Err(Errno::EPERM);
        }
        Ok(CloneArgs {
            flags,
            exit_signal,
            stack,
            parent_tid,
            tls,
            child_tid,
        })
    }
}

/// What a new task's thread needs to begin.
struct Birth {
    task: Arc<Task>,
    regs: Registers,
    memory: Arc<Memory>,
    files: Arc<FdTable>,
    fs: Arc<FsContext>,
    altstack: StackT,
    child_tid_at: Option<UserAddress>,
}

impl CurrentTask {
    /// clone(2): the child's id. `with_pidfd` runs before the child does, when
    /// CLONE_PIDFD asks for one.
    pub fn clone_task(
        &mut self,
        args: &CloneArgs,
        with_pidfd: impl FnOnce(&mut CurrentTask, &Arc<ThreadGroup>) -> Result<(), Errno>,
    ) -> SysResult<i32> {
        // A child must not miss a signal sent to the group before it existed.
        if self.pending_interrupt() {
            return Err(Restart::NoIntr.into());
        }
        let kernel = self.kernel().clone();
        let is_thread = args.flags.contains(CloneFlags::THREAD);
        if !is_thread {
            self.check_process_limit()?;
        }
        let memory = if args.flags.contains(CloneFlags::VM) {
            self.memory.clone()
        } else {
            self.fork_memory()?
        };
        let files = if args.flags.contains(CloneFlags::FILES) {
            self.files.clone()
        } else {
            self.files.fork()
        };
        let fs = if args.flags.contains(CloneFlags::FS) {
            self.fs.clone()
        } else {
            self.fs.fork()
        };

        let id = kernel.pids.lock().reserve(kernel.max_tasks())?;
        let vfork = self.publish_and_start(&id, args, memory, files, fs, with_pidfd)?;
        let tid = id.number();
        // From here on the task itself counts, if it still is.
        drop(id);
        if let Some(done) = vfork {
            let released = self.block_killable(&[(&done.changed, 0)], || {
                if done.is_done() {
                    Ok(())
                } else {
                    Err(Errno::EAGAIN)
                }
            });
            if released == Err(Blocked::Interrupted) {
                tracing::debug!(tid, "killed while a vfork child runs");
            }
        }
        Ok(tid)
    }

    /// RLIMIT_NPROC, which root is not held to.
    fn check_process_limit(&self) -> Result<(), Errno> {
        let limit = self.rlimit(Resource::Nproc).cur;
        if self.creds.uid == 0 || limit == rivix_abi::resource::RLIM_INFINITY {
            return Ok(());
        }
        let tasks: Vec<Arc<Task>> = self.kernel().pids.lock().tasks().cloned().collect();
        let mine = tasks
            .iter()
            .filter(|t| t.creds().uid == self.creds.uid)
            .count();
        if mine as u64 >= limit {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    fn fork_memory(&self) -> SysResult<Arc<Memory>> {
        // Two holders are this task's own halves; nobody else: nothing moves.
        let is_shared = Arc::strong_count(&self.memory) > 2;
        let _closed = if is_shared {
            Some(self.close_gate()?)
        } else {
            None
        };
        let space = self.memory.space.fork()?;
        let code = self.memory.code.fork(&space);
        Ok(Memory::with_code(space, code, self.memory.program.clone()))
    }

    fn publish_and_start(
        &mut self,
        id: &Promised,
        args: &CloneArgs,
        memory: Arc<Memory>,
        files: Arc<FdTable>,
        fs: Arc<FsContext>,
        with_pidfd: impl FnOnce(&mut CurrentTask, &Arc<ThreadGroup>) -> Result<(), Errno>,
    ) -> SysResult<Option<Arc<VforkDone>>> {
        let flags = args.flags;
        let tid = id.number();
        let kernel = self.kernel().clone();
        let group = if flags.contains(CloneFlags::THREAD) {
            self.group().clone()
        } else {
            let actions = self.group().actions();
            let actions = if flags.contains(CloneFlags::SIGHAND) {
                actions
            } else {
                Arc::new(actions.copy())
            };
            let now = rivix_engine::Clock::monotonic_ns(kernel.clock());
            let group = ThreadGroup::new(tid, actions, self.group().limits(), now);
            group.inherit(self.group());
            Arc::new(group)
        };
        let vfork = flags
            .contains(CloneFlags::VFORK)
            .then(Arc::<VforkDone>::default);
        let state = {
            let own = self.state.lock();
            let mut sched = own.sched.clone();
            sched.reset_for_fork();
            TaskState {
                memory: Some(memory.clone()),
                files: Some(files.clone()),
                fs: Some(fs.clone()),
                creds: self.creds.clone(),
                name: own.name,
                sched,
                parent_death_signal: None,
                timer_slack_ns: own.timer_slack_ns,
            }
        };
        let task = Task::new(tid, group.clone(), &kernel, state, vfork.clone());
        if flags.contains(CloneFlags::CHILD_CLEARTID) {
            task.clear_child_tid
                .store(args.child_tid.0, Ordering::Relaxed);
        }

        let mut regs = self.regs.clone();
        regs.x[reg::A0] = 0;
        if args.stack != 0 {
            regs.x[reg::SP] = args.stack;
        }
        if flags.contains(CloneFlags::SETTLS) {
            regs.x[reg::TP] = args.tls;
        }
        let keeps_altstack = !flags.contains(CloneFlags::VM) || flags.contains(CloneFlags::VFORK);
        let altstack = if keeps_altstack {
            self.altstack
        } else {
            disabled_altstack()
        };
        let child_tid_at = flags
            .contains(CloneFlags::CHILD_SETTID)
            .then_some(args.child_tid);

        if flags.contains(CloneFlags::PARENT_SETTID) {
            // A bad address is ignored (clone(2) has stored what it could).
            let _ = self.write(UserRef::new(args.parent_tid), &tid);
        }
        if flags.contains(CloneFlags::PIDFD) {
            with_pidfd(self, &group)?;
        }
        self.enter_tables(id, &task, args)?;
        if !flags.contains(CloneFlags::THREAD) {
            // The limit is inherited, the time used is not.
            group.watch_cpu_limit(&kernel);
        }
        let birth = Birth {
            task,
            regs,
            memory,
            files,
            fs,
            altstack,
            child_tid_at,
        };
        kernel.start(birth)?;
        kernel.stats().tasks.fetch_add(1, Ordering::Relaxed);
        if !flags.contains(CloneFlags::THREAD) {
            kernel.stats().processes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(vfork)
    }

    /// Makes the child visible to signals, waits and /proc.
    fn enter_tables(&self, id: &Promised, task: &Arc<Task>, args: &CloneArgs) -> SysResult<()> {
        let flags = args.flags;
        let tid = id.number();
        let mask = self.signal_mask();
        let mut pids = self.kernel().pids.lock();
        if pids.is_closed {
            return Err(Errno::EAGAIN.into());
        }
        {
            let mut signals = task.group().signals.lock();
            if flags.contains(CloneFlags::THREAD)
                && (signals.must_die(self.tid()) || signals.stop.is_some())
            {
                return Err(Restart::NoIntr.into());
            }
            signals
                .threads
                .insert(tid, ThreadSignals::new(task.clone(), mask));
        }
        let displaced = pids.insert_task(id.id().clone(), task.clone());
        debug_assert!(displaced.is_none(), "the number is new");
        if flags.contains(CloneFlags::THREAD) {
            return Ok(());
        }
        let own = pids.processes.get(&self.pid());
        let (own_parent, own_parent_tid, own_exit_signal) =
            own.map_or((INIT, INIT, 0), |p| (p.parent, p.parent_tid, p.exit_signal));
        let member = own.and_then(Process::member);
        let (parent, parent_tid, exit_signal) = if flags.contains(CloneFlags::PARENT) {
            (own_parent, own_parent_tid, own_exit_signal)
        } else {
            (self.pid(), self.tid(), args.exit_signal)
        };
        let mut process = Process::new(id.id().clone(), task.group().clone(), member);
        process.parent = parent;
        process.parent_tid = parent_tid;
        process.exit_signal = exit_signal;
        pids.insert_process(process);
        Ok(())
    }
}

impl Kernel {
    /// Hands a published task to a host thread; on refusal it is unpublished.
    fn start(self: &Arc<Self>, birth: Birth) -> Result<(), Errno> {
        let task = birth.task.clone();
        let name = format!("guest-{}", task.tid());
        let kernel = self.clone();
        let started = self
            .guest_workers()
            .spawn_named(&name, move |_: &mut GuestWorker| {
                let Birth {
                    task,
                    regs,
                    memory,
                    files,
                    fs,
                    altstack,
                    child_tid_at,
                } = birth;
                let mut current = CurrentTask::new(task, kernel, regs, memory, files, fs);
                current.altstack = altstack;
                current.child_tid_at.set(child_tid_at);
                guest_loop::run(current);
            });
        let error = match started {
            Ok(ticket) => {
                ticket.detach();
                return Ok(());
            }
            Err(error) => error,
        };
        tracing::warn!(?error, "the host refuses a thread for a guest task");
        let tid = task.tid();
        let group = task.group();
        let reaped = {
            let mut pids = self.pids.lock();
            group.signals.lock().threads.remove(&tid);
            let removed = pids.remove_task(tid);
            let process = if group.pid() == tid {
                pids.reap(tid)
            } else {
                None
            };
            (removed, process)
        };
        {
            let mut state = task.state.lock();
            let held = (state.memory.take(), state.files.take(), state.fs.take());
            drop(state);
            drop(held);
        }
        drop(reaped);
        // The refused job still holds the birth's share.
        drop(error);
        self.task_gone.notify(0);
        Err(Errno::EAGAIN)
    }
}

/// A process that the library starts.
pub struct ProcessRequest {
    pub space: Arc<AddressSpace>,
    pub program: Program,
    pub entry: u64,
    pub sp: u64,
    /// The thread's name: the program's last path component.
    pub name: Vec<u8>,
    pub files: Arc<FdTable>,
    pub fs: Arc<FsContext>,
    pub creds: Creds,
    pub limits: [Rlimit; Resource::COUNT],
    /// Device number of its controlling terminal.
    pub terminal: Option<u64>,
    /// Signals ignored from the start, as a shell's `nohup` leaves them.
    pub ignored: u64,
}

/// A process that the library started.
#[derive(Clone)]
pub struct StartedProcess {
    pub pid: i32,
    pub watch: Arc<ExitWatch>,
}

impl Kernel {
    /// Starts a process in a session of its own, as a child of init.
    pub fn start_process(
        self: &Arc<Self>,
        request: ProcessRequest,
    ) -> Result<StartedProcess, Errno> {
        let id = self.pids.lock().reserve(self.max_tasks())?;
        let pid = id.number();
        let now = rivix_engine::Clock::monotonic_ns(self.clock());
        let actions = SignalActions::default();
        for signal in Signal::of_mask(request.ignored) {
            let action = rivix_abi::signal::KSigAction {
                handler: rivix_abi::signal::SIG_IGN,
                ..Default::default()
            };
            actions.set(signal, action);
        }
        let group = Arc::new(ThreadGroup::new(
            pid,
            Arc::new(actions),
            request.limits,
            now,
        ));
        let memory = Memory::new(self.engine(), request.space, request.program);
        let state = TaskState {
            memory: Some(memory.clone()),
            files: Some(request.files.clone()),
            fs: Some(request.fs.clone()),
            creds: Arc::new(request.creds),
            name: [0; 16],
            sched: Sched::default(),
            parent_death_signal: None,
            timer_slack_ns: 50_000,
        };
        group.watch_cpu_limit(self);
        let task = Task::new(pid, group.clone(), self, state, None);
        task.set_name(&request.name);
        let watch = Arc::new(ExitWatch::default());
        {
            let mut pids = self.pids.lock();
            if pids.is_closed {
                return Err(Errno::EAGAIN);
            }
            group
                .signals
                .lock()
                .threads
                .insert(pid, ThreadSignals::new(task.clone(), 0));
            let displaced = pids.insert_task(id.id().clone(), task.clone());
            debug_assert!(displaced.is_none(), "the number is new");
            let member = Membership {
                group: id.id().clone(),
                session: id.id().clone(),
            };
            let mut process = Process::new(id.id().clone(), group, Some(member));
            process.watch = Some(watch.clone());
            process.has_execed = true;
            process.exit_signal = Signal::SIGCHLD.number();
            pids.insert_process(process);
            if let Some(session) = pids.sessions.get_mut(&pid) {
                session.terminal = request.terminal.map(|device| Terminal {
                    foreground: pid,
                    device,
                });
            }
        }
        let mut regs = Registers {
            pc: request.entry,
            ..Registers::default()
        };
        regs.x[reg::SP] = request.sp;
        self.start(Birth {
            task,
            regs,
            memory,
            files: request.files,
            fs: request.fs,
            altstack: StackT::default(),
            child_tid_at: None,
        })?;
        self.stats().tasks.fetch_add(1, Ordering::Relaxed);
        self.stats().processes.fetch_add(1, Ordering::Relaxed);
        Ok(StartedProcess { pid, watch })
    }
}
