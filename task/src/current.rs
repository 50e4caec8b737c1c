//! The task that runs on this host thread.

use crate::cputime::Crossings;
use crate::creds::Creds;
use crate::error::{Restart, RestartBlock};
use crate::exit_status::ExitStatus;
use crate::group::ThreadGroup;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::rseq::Rseq;
use crate::seccomp::Dispatch;
use crate::task::Task;
use rivix_abi::resource::{Resource, Rlimit};
use rivix_abi::signal::StackT;
use rivix_abi::{Errno, UserAddress, UserData, UserRef};
use rivix_engine::Hart;
use rivix_fs::{FdTable, FsContext};
use rivix_isa::{Registers, reg};
use rivix_mem::AddressSpace;
use rivix_sync::Kick;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

/// PATH_MAX, the NUL included.
pub const PATH_MAX: usize = 4096;

/// This thread's task. Only system calls and the guest loop get one; it is
/// neither Send nor Sync. What it shares with others lives in [`Task`].
pub struct CurrentTask {
    pub regs: Registers,
    task: Arc<Task>,
    kernel: Arc<Kernel>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) files: Arc<FdTable>,
    pub(crate) fs: Arc<FsContext>,
    pub(crate) creds: Arc<Creds>,
    pub(crate) hart: Option<Box<dyn Hart>>,
    /// a0 as it was at the ecall.
    pub(crate) saved_a0: u64,
    /// Set by a system call that was interrupted; taken before guest code runs.
    pub(crate) restart: Option<Restart>,
    pub(crate) restart_block: Option<RestartBlock>,
    /// The mask that a call with a temporary one will have back.
    pub(crate) saved_mask: Option<u64>,
    pub(crate) altstack: StackT,
    pub(crate) rseq: Rseq,
    pub(crate) dispatch: Option<Dispatch>,
    /// This thread alone ends.
    pub(crate) exiting: Option<ExitStatus>,
    /// A kick was consumed by a killable wait: look again before guest code.
    pub(crate) must_look: Cell<bool>,
    /// CLONE_CHILD_SETTID: where the new thread stores its id first.
    pub(crate) child_tid_at: Cell<Option<UserAddress>>,
    /// It changed its user, who had as many tasks as the limit allows.
    is_over_nproc: Cell<bool>,
    pub(crate) syscalls: u64,
    pub(crate) fuel: u64,
    pub(crate) crossings: Crossings,
    _not_send: PhantomData<*mut ()>,
}

impl Deref for CurrentTask {
    type Target = Task;
    fn deref(&self) -> &Task {
        &self.task
    }
}

rivix_sync::thread_local_var! {
    static CURRENT: Cell<(i32, i32)> = Cell::new((0, 0));
}

/// (pid, tid) of the task on this host thread; zeros on other threads.
pub fn current_ids() -> (i32, i32) {
    CURRENT.with(Cell::get)
}

pub(crate) fn set_current_ids(ids: (i32, i32)) {
    CURRENT.with(|current| current.set(ids));
}

impl CurrentTask {
    pub(crate) fn new(
        task: Arc<Task>,
        kernel: Arc<Kernel>,
        regs: Registers,
        memory: Arc<Memory>,
        files: Arc<FdTable>,
        fs: Arc<FsContext>,
    ) -> CurrentTask {
        let creds = task.creds();
        set_current_ids((task.pid(), task.tid()));
        CurrentTask {
            regs,
            task,
            kernel,
            memory,
            files,
            fs,
            creds,
            hart: None,
            saved_a0: 0,
            restart: None,
            restart_block: None,
            saved_mask: None,
            altstack: disabled_altstack(),
            rseq: Rseq::default(),
            dispatch: None,
            exiting: None,
            must_look: Cell::new(false),
            child_tid_at: Cell::new(None),
            is_over_nproc: Cell::new(false),
            syscalls: 0,
            fuel: 0,
            crossings: Crossings::default(),
            _not_send: PhantomData,
        }
    }

    /// Lets go of everything but the shared half; the task is at its end.
    pub(crate) fn release(self) -> Arc<Task> {
        let CurrentTask {
            task,
            hart,
            memory,
            files,
            fs,
            ..
        } = self;
        drop(hart);
        drop((memory, files, fs));
        task
    }

    /// The shared half, for keeping.
    pub fn task(&self) -> &Arc<Task> {
        &self.task
    }

    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    pub fn group(&self) -> &Arc<ThreadGroup> {
        self.task.group()
    }

    pub fn kick(&self) -> &Arc<Kick> {
        self.task.kick()
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub fn mm(&self) -> &Arc<AddressSpace> {
        &self.memory.space
    }

    pub fn files(&self) -> &Arc<FdTable> {
        &self.files
    }

    pub fn fs(&self) -> &Arc<FsContext> {
        &self.fs
    }

    pub fn creds(&self) -> &Arc<Creds> {
        &self.creds
    }

    /// Takes new credentials, with what follows from them (credentials(7)): the
    /// task counts for its new user, and others may not look into a process
    /// that was more than it is now.
    pub fn set_creds(&mut self, creds: Creds) {
        let old = std::mem::replace(&mut self.creds, Arc::new(creds));
        let new = self.creds.clone();
        {
            let mut state = self.task.state.lock();
            state.creds = new.clone();
            if !new.is_at_most(&old) {
                state.parent_death_signal = None;
                self.memory.traits.set_dumpable(0);
            }
        }
        if new.uid != old.uid {
            let users = &self.kernel.users;
            // Whether the others are too many already: this one comes after.
            let limit = self.rlimit(Resource::Nproc).cur;
            self.is_over_nproc
                .set(new.uid != 0 && users.count(new.uid) > limit);
            let counted = users.enter(new.uid);
            self.kernel
                .pids
                .lock()
                .recount_task(self.task.tid(), counted);
        }
    }

    /// EAGAIN: this task became one of a user who has too many (execve(2)).
    pub fn check_nproc_for_exec(&self) -> Result<(), Errno> {
        let limit = self.rlimit(Resource::Nproc).cur;
        if self.is_over_nproc.get() && self.kernel.users.count(self.creds.uid) > limit {
            return Err(Errno::EAGAIN);
        }
        self.is_over_nproc.set(false);
        Ok(())
    }

    /// unshare(CLONE_FILES), close_range(CLOSE_RANGE_UNSHARE), execve.
    pub fn unshare_files(&mut self) {
        self.set_files(self.files.fork());
    }

    /// Does another task use this descriptor table (CLONE_FILES)?
    pub fn shares_files(&self) -> bool {
        // Two holders are this task's own halves.
        Arc::strong_count(&self.files) > 2
    }

    /// Does another task use this memory (CLONE_VM)?
    pub fn shares_memory(&self) -> bool {
        Arc::strong_count(&self.memory) > 2
    }

    /// Does another process share the signal dispositions (CLONE_SIGHAND)?
    pub fn shares_actions(&self) -> bool {
        self.group().shares_actions()
    }

    pub(crate) fn set_files(&mut self, files: Arc<FdTable>) {
        self.task.state.lock().files = Some(files.clone());
        let old = std::mem::replace(&mut self.files, files);
        drop(old);
    }

    pub fn unshare_fs(&mut self) {
        let fs = self.fs.fork();
        self.task.state.lock().fs = Some(fs.clone());
        self.fs = fs;
    }

    pub fn rlimit(&self, resource: Resource) -> Rlimit {
        self.group().rlimit(resource)
    }

    pub fn read<T: UserData>(&self, at: UserRef<T>) -> Result<T, Errno> {
        self.mm().read(at)
    }

    pub fn write<T: UserData>(&self, at: UserRef<T>, value: &T) -> Result<(), Errno> {
        self.mm().write(at, value)
    }

    pub fn read_bytes(&self, addr: UserAddress, dst: &mut [u8]) -> Result<(), Errno> {
        self.mm().read_bytes(addr, dst)
    }

    pub fn write_bytes(&self, addr: UserAddress, src: &[u8]) -> Result<(), Errno> {
        self.mm().write_bytes(addr, src)
    }

    /// A path argument: ENAMETOOLONG without a NUL in PATH_MAX bytes.
    pub fn read_path(&self, addr: UserAddress) -> Result<Vec<u8>, Errno> {
        self.mm().read_cstr(addr, PATH_MAX)
    }

    /// Who walks paths: the effective (file-system) ids and limits of this task.
    pub fn caller(&self) -> rivix_fs::Caller {
        rivix_fs::Caller {
            pid: self.pid(),
            tid: self.tid(),
            uid: self.creds.fsuid,
            gid: self.creds.fsgid,
            nofile: self.rlimit(Resource::Nofile).cur,
            fsize: self.rlimit(Resource::Fsize).cur,
        }
    }

    /// A new descriptor for a file without a name.
    pub fn install_anonymous(
        &self,
        ops: Box<dyn rivix_fs::FileOps>,
        flags: u32,
        node: rivix_fs::NodeRef,
        is_cloexec: bool,
    ) -> Result<i32, Errno> {
        let file = self.fs().namespace().anonymous(ops, flags, node);
        let limit = self.rlimit(Resource::Nofile).cur;
        self.files().insert_lowest(file, is_cloexec, 0, limit)
    }

    /// The number and arguments of the call in progress.
    pub fn syscall_number(&self) -> u64 {
        self.regs.x[reg::A7]
    }

    pub fn syscall_args(&self) -> [u64; 6] {
        let mut args = [0; 6];
        args.copy_from_slice(&self.regs.x[reg::A0..reg::A0 + 6]);
        args
    }

    /// What restart_syscall(2) goes on with: the last call that was interrupted and
    /// could be, until a handler returns.
    pub fn restart_block(&self) -> Option<RestartBlock> {
        self.restart_block.clone()
    }

    /// exit(2): this thread ends when the call returns.
    pub fn exit_thread(&mut self, code: i32) {
        self.exiting = Some(ExitStatus::Code(code as u8));
    }

    /// exit_group(2).
    pub fn exit_group(&mut self, code: i32) {
        self.group().begin_exit(ExitStatus::Code(code as u8));
    }
}

pub(crate) fn disabled_altstack() -> StackT {
    StackT {
        sp: 0,
        flags: rivix_abi::signal::SS_DISABLE,
        pad: 0,
        size: 0,
    }
}
