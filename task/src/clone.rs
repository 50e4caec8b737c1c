//! New tasks: clone(2), and the processes that the library starts.

use crate::birth::Birth;
use crate::clone_args::{CloneArgs, NAMESPACES};
use crate::creds::{Creds, cap};
use crate::current::{CurrentTask, disabled_altstack};
use crate::error::{Blocked, Restart, SysResult};
use crate::group::ThreadGroup;
use crate::kernel::{ExitWatch, Kernel};
use crate::memory::{Memory, Program};
use crate::pids::{Membership, PID_MAX, Process, Promised};
use crate::signal::SignalActions;
use crate::signal::state::ThreadSignals;
use crate::task::{DEFAULT_SLACK_NS, MachineChecks, Sched, Task, TaskState, VforkDone};
use crate::teaching::{self, Abi, Teaching};
use crate::users::Counted;
use rivix_abi::resource::{RLIM_INFINITY, Resource, Rlimit};
use rivix_abi::sched::CloneFlags;
use rivix_abi::{Errno, Signal, UserRef};
use rivix_fs::{FdTable, FsContext, Reservation};
use rivix_isa::{Registers, reg};
use rivix_mem::AddressSpace;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl CurrentTask {
    /// clone(2), clone3(2): the child's id. All or nothing: until the host has
    /// granted a thread nobody can see anything of the child. `with_pidfd`
    /// makes the descriptor that CLONE_PIDFD asks for, and stores its number.
    ///
    /// # Errors
    /// EAGAIN: too many tasks, of this user (RLIMIT_NPROC) or in all, or the host
    /// refuses a thread. EPERM: a namespace, or a number of one's own choice,
    /// without privilege. EEXIST: that number is in use. EBADF: no cgroup.
    pub fn clone_task(
        &mut self,
        args: &CloneArgs,
        with_pidfd: impl FnOnce(&CurrentTask, &Arc<Task>) -> Result<Reservation, Errno>,
    ) -> SysResult<i32> {
        // A child must not miss a signal sent to the group before it existed.
        if self.pending_interrupt() {
            return Err(Restart::NoIntr.into());
        }
        let counted = self.count_new_task()?;
        let flags = args.flags;
        if flags.intersects(NAMESPACES) {
            return Err(Errno::EPERM.into());
        }
        let program = args.start.as_ref().and_then(|s| s.program.as_ref());
        let memory = if let Some((memory, _)) = program {
            memory.clone()
        } else if flags.contains(CloneFlags::VM) {
            self.memory.clone()
        } else {
            self.fork_memory()?
        };
        let files = if flags.contains(CloneFlags::FILES) {
            self.files.clone()
        } else {
            self.files.fork()
        };
        let fs = if flags.contains(CloneFlags::FS) {
            self.fs.clone()
        } else {
            self.fs.fork()
        };

        let id = self.promise_id(args.set_tid)?;
        let tid = id.number();
        let birth = self.make_child(tid, args, memory, files, fs);
        let task = birth.task.clone();
        let pidfd = if flags.contains(CloneFlags::PIDFD) {
            Some(with_pidfd(self, &task)?)
        } else {
            None
        };
        if flags.contains(CloneFlags::INTO_CGROUP) {
            // There are no cgroups here, and so no descriptor of one.
            return Err(Errno::EBADF.into());
        }
        let kernel = self.kernel().clone();
        let hired = kernel.hire(birth)?;
        self.enter_tables(&id, &task, args, counted)?;
        // From here on the task itself counts.
        drop(id);
        if flags.contains(CloneFlags::PARENT_SETTID) {
            // A bad address is ignored (clone(2) has stored what it could).
            let _ = self.write(UserRef::new(args.parent_tid), &tid);
        }
        if let Some(pidfd) = pidfd {
            pidfd.publish();
        }
        if !flags.contains(CloneFlags::THREAD) {
            // The limit is inherited, the time used is not.
            task.group().watch_cpu_limit(&kernel);
        }
        hired.begin();
        kernel.stats().tasks.fetch_add(1, Ordering::Relaxed);
        if !flags.contains(CloneFlags::THREAD) {
            kernel.stats().processes.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(done) = &task.vfork_done {
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

    /// Counts a task for this user. RLIMIT_NPROC binds neither root nor the
    /// privileged (getrlimit(2)).
    fn count_new_task(&self) -> Result<Counted, Errno> {
        let users = &self.kernel().users;
        let limit = self.rlimit(Resource::Nproc).cur;
        let creds = self.creds();
        let is_free = limit == RLIM_INFINITY
            || creds.uid == 0
            || creds.has_cap(cap::SYS_RESOURCE)
            || creds.has_cap(cap::SYS_ADMIN);
        if is_free {
            Ok(users.enter(creds.uid))
        } else {
            users.enter_limited(creds.uid, limit)
        }
    }

    /// The next number, or the one that a checkpoint's restorer asks for.
    fn promise_id(&self, wanted: Option<i32>) -> Result<Promised, Errno> {
        let max_tasks = self.kernel().max_tasks();
        let Some(wanted) = wanted else {
            return self.kernel().pids.lock().reserve(max_tasks);
        };
        if !(1..PID_MAX).contains(&wanted) {
            return Err(Errno::EINVAL);
        }
        let creds = self.creds();
        if !creds.has_cap(cap::CHECKPOINT_RESTORE) && !creds.has_cap(cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let mut pids = self.kernel().pids.lock();
        pids.reserve_exact(max_tasks, wanted)
    }

    fn fork_memory(&self) -> SysResult<Arc<Memory>> {
        // Two holders are this task's own halves; nobody else: nothing moves.
        let is_shared = Arc::strong_count(&self.memory) > 2;
        let _closed = if is_shared {
            Some(self.close_gate()?)
        } else {
            None
        };
        let (space, code) = self.memory.space.fork_with(|space, lost| {
            let code = self.memory.code.fork(space);
            for range in lost {
                code.invalidate(range);
            }
            code
        })?;
        let memory = Memory::with_code(space, code, self.memory.program.clone());
        memory.traits.after_fork(&self.memory.traits);
        memory.enforce_traits();
        Ok(memory)
    }

    /// The child, which nobody knows yet, and what its thread begins with.
    fn make_child(
        &self,
        tid: i32,
        args: &CloneArgs,
        memory: Arc<Memory>,
        files: Arc<FdTable>,
        fs: Arc<FsContext>,
    ) -> Birth {
        let flags = args.flags;
        let kernel = self.kernel();
        let group = if flags.contains(CloneFlags::THREAD) {
            self.group().clone()
        } else {
            let actions = self.group().actions();
            let actions = if flags.contains(CloneFlags::SIGHAND) {
                actions
            } else if flags.contains(CloneFlags::CLEAR_SIGHAND) {
                // What is ignored stays ignored, as over an execve(2).
                Arc::new(actions.for_exec())
            } else {
                Arc::new(actions.copy())
            };
            let now = rivix_engine::Clock::monotonic_ns(kernel.clock());
            let group = ThreadGroup::new(tid, actions, self.group().limits(), now);
            group.inherit(self.group());
            self.teach_child(&group, args);
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
                default_slack_ns: own.timer_slack_ns,
                machine_checks: own.machine_checks,
                filters: None,
            }
        };
        let task = Task::new(tid, group, kernel, state, vfork);
        if flags.contains(CloneFlags::CHILD_CLEARTID) {
            task.clear_child_tid
                .store(args.child_tid.0, Ordering::Relaxed);
        }

        let mut regs = self.regs.clone();
        regs.x[reg::A0] = 0;
        if let Some(start) = &args.start {
            regs = start.regs.clone();
            task.slot.store(start.slot, Ordering::Relaxed);
            if let Some((_, name)) = &start.program {
                task.set_name(name);
            }
        }
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
        // In the same memory the area is the parent's.
        let rseq = if flags.contains(CloneFlags::VM) {
            None
        } else {
            self.rseq_registration()
        };
        let child_tid_at = flags
            .contains(CloneFlags::CHILD_SETTID)
            .then_some(args.child_tid);
        Birth {
            task,
            regs,
            memory,
            files,
            fs,
            altstack,
            // As Linux has it, whatever is interrupted in the parent.
            restart_block: self.restart_block.clone(),
            rseq,
            child_tid_at,
        }
    }

    /// The child of a teaching kernel's process is one, too.
    fn teach_child(&self, child: &ThreadGroup, args: &CloneArgs) {
        let Some(own) = self.group().teaching() else {
            return;
        };
        let has_program = args.start.as_ref().is_some_and(|s| s.program.is_some());
        child.begin_teaching(if has_program {
            Teaching::new(own.abi())
        } else {
            own.forked(self.slot())
        });
    }

    /// Makes the child visible to signals, waits and /proc.
    fn enter_tables(
        &self,
        id: &Promised,
        task: &Arc<Task>,
        args: &CloneArgs,
        counted: Counted,
    ) -> SysResult<()> {
        let flags = args.flags;
        let is_thread = flags.contains(CloneFlags::THREAD);
        let tid = id.number();
        let mut pids = self.kernel().pids.lock();
        if pids.is_closed {
            return Err(Errno::EAGAIN.into());
        }
        {
            // Whoever signals a whole group holds the table: its signal is here
            // by now, or it finds the child. The same for the end of the group,
            // an execve(2) and a stop, which a new thread must not escape.
            let mut signals = self.group().signals.lock();
            if signals.has_work(self.tid()) && !rivix_sync::sys::mutant("clone-into-the-end") {
                self.must_look.set(true);
                return Err(Restart::NoIntr.into());
            }
            // Under the lock, so that a filter for all threads misses none.
            task.inherit_entry_work(self.task());
            let mask = signals.threads.get(&self.tid()).map_or(0, |t| t.mask);
            let born = ThreadSignals::new(task.clone(), mask);
            if is_thread {
                signals.threads.insert(tid, born);
            } else {
                drop(signals);
                task.group().signals.lock().threads.insert(tid, born);
            }
        }
        task.group().unfinished.fetch_add(1, Ordering::Relaxed);
        let displaced = pids.insert_task(id.id().clone(), task.clone(), Some(counted));
        debug_assert!(displaced.is_none(), "the number is new");
        if is_thread {
            return Ok(());
        }
        let own = pids.processes.get(&self.pid());
        let member = own.and_then(Process::member);
        let mut process = Process::new(id.id().clone(), task.group().clone(), member);
        if let Some(own) = own {
            process.terminal = own.terminal;
            if flags.contains(CloneFlags::PARENT) {
                process.parent = own.parent;
                process.parent_tid = own.parent_tid;
                process.exit_signal = own.exit_signal;
                process.parent_execs = own.parent_execs;
            } else {
                process.parent = self.pid();
                process.parent_tid = self.tid();
                process.exit_signal = args.exit_signal;
                process.parent_execs = own.execs;
            }
        }
        pids.insert_process(process);
        Ok(())
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
    /// Whose system calls it and its children make.
    pub abi: Abi,
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
        let ignored = if request.abi.is_teaching() {
            // Its children are waited for, whatever the starter arranged.
            (request.ignored | teaching::IGNORED) & !Signal::SIGCHLD.bit()
        } else {
            request.ignored
        };
        for signal in Signal::of_mask(ignored) {
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
        let mut regs = Registers {
            pc: request.entry,
            ..Registers::default()
        };
        regs.x[reg::SP] = request.sp;
        if request.abi.is_teaching() {
            group.begin_teaching(Teaching::new(request.abi));
            regs = teaching::entry_registers(&request.space, request.entry, request.sp);
        }
        let memory = Memory::new(self.engine(), request.space, request.program);
        let state = TaskState {
            memory: Some(memory.clone()),
            files: Some(request.files.clone()),
            fs: Some(request.fs.clone()),
            creds: Arc::new(request.creds),
            name: [0; 16],
            sched: Sched::default(),
            parent_death_signal: None,
            timer_slack_ns: DEFAULT_SLACK_NS,
            default_slack_ns: DEFAULT_SLACK_NS,
            machine_checks: MachineChecks::default(),
            filters: None,
        };
        group.watch_cpu_limit(self);
        let task = Task::new(pid, group.clone(), self, state, None);
        task.set_name(&request.name);
        let watch = Arc::new(ExitWatch::default());
        let counted = self.users.enter(task.creds().uid);
        let hired = self.hire(Birth {
            task: task.clone(),
            regs,
            memory,
            files: request.files,
            fs: request.fs,
            altstack: disabled_altstack(),
            restart_block: None,
            rseq: None,
            child_tid_at: None,
        })?;
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
            group.unfinished.fetch_add(1, Ordering::Relaxed);
            let displaced = pids.insert_task(id.id().clone(), task, Some(counted));
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
            if let Some(device) = request.terminal {
                pids.give_console(pid, device)?;
            }
        }
        hired.begin();
        self.stats().tasks.fetch_add(1, Ordering::Relaxed);
        self.stats().processes.fetch_add(1, Ordering::Relaxed);
        Ok(StartedProcess { pid, watch })
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests;
