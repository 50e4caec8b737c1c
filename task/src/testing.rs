//! A kernel for tests, whose guests run the test's own code as system calls.

use crate::{
    Abi, CloneArgs, Creds, CurrentTask, ExitStatus, Kernel, KernelConfig, NoHooks, Outcome,
    ProcessRequest, Program, SysResult,
};
use rivix_abi::UserAddress;
use rivix_abi::resource::{Resource, Rlimit};
use rivix_engine::{CodeObject, Engine, Hart, HartContext, Trap};
use rivix_fs::{FdTable, MountKind, MountSpec, Namespace, NamespaceConfig};
use rivix_isa::Registers;
use rivix_mem::AddressSpace;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Every instruction is an ecall.
struct Ecalls;

impl Engine for Ecalls {
    fn name(&self) -> &'static str {
        "ecalls"
    }

    fn code_object(&self, _: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        Arc::new(Ecalls)
    }
}

impl CodeObject for Ecalls {
    fn hart(self: Arc<Self>, _: HartContext) -> Box<dyn Hart> {
        Box::new(Ecalls)
    }

    fn invalidate(&self, _: Range<u64>) -> bool {
        false
    }

    fn refresh(&self) {}

    fn fork(&self, _: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        Arc::new(Ecalls)
    }
}

impl Hart for Ecalls {
    fn run(&mut self, _: &mut Registers, _: Option<&mut u64>) -> Trap {
        Trap::Ecall
    }
}

type Script = Box<dyn FnOnce(&mut CurrentTask) + Send>;

/// What the guest at an address does.
static SCRIPTS: Mutex<BTreeMap<u64, Script>> = Mutex::new(BTreeMap::new());
static NEXT_ADDRESS: AtomicU64 = AtomicU64::new(0x1_0000);

/// The one system call: what the script says; a guest without one ends.
fn entry(task: &mut CurrentTask) -> SysResult<Outcome> {
    let at = task.regs.pc.wrapping_sub(4);
    let script = SCRIPTS.lock().unwrap().remove(&at);
    match script {
        Some(script) => script(task),
        None => task.exit_thread(0),
    }
    Ok(Outcome::Registers)
}

pub(crate) fn kernel(max_tasks: usize) -> Arc<Kernel> {
    Kernel::new(KernelConfig {
        engine: Arc::new(Ecalls),
        syscalls: entry,
        max_tasks,
        max_idle_threads: 2,
        instruction_budget: None,
        hostname: b"test".to_vec(),
        memory: Default::default(),
        hooks: Arc::new(NoHooks),
    })
    .unwrap()
}

/// Runs `script` as a process of user `uid` to its end, a minute at most.
pub(crate) fn run_as(
    kernel: &Arc<Kernel>,
    uid: u32,
    script: impl FnOnce(&mut CurrentTask) + Send + 'static,
) -> ExitStatus {
    run_with(kernel, uid, Abi::Linux, script)
}

/// As [`run_as`], a process with these system calls.
pub(crate) fn run_with(
    kernel: &Arc<Kernel>,
    uid: u32,
    abi: Abi,
    script: impl FnOnce(&mut CurrentTask) + Send + 'static,
) -> ExitStatus {
    let entry = NEXT_ADDRESS.fetch_add(0x100, Ordering::Relaxed);
    SCRIPTS.lock().unwrap().insert(entry, Box::new(script));
    let top = MountSpec {
        path: b"/".to_vec(),
        kind: MountKind::Tmpfs,
        is_readonly: false,
    };
    let namespace = Namespace::new(NamespaceConfig {
        mounts: vec![top],
        host_fd_limit: 16,
        spawn: None,
    })
    .unwrap();
    let started = kernel
        .start_process(ProcessRequest {
            space: AddressSpace::new(kernel.memory_config()).unwrap(),
            program: Program::default(),
            entry,
            sp: 0,
            name: b"script".to_vec(),
            files: FdTable::new(),
            fs: namespace.context(b"/", 0o22).unwrap(),
            creds: Creds::user(uid, uid, Vec::new()),
            limits: [Rlimit::UNLIMITED; Resource::COUNT],
            terminal: None,
            ignored: 0,
            abi,
        })
        .unwrap();
    // Models know no time.
    let deadline = (!cfg!(rivix_model)).then(|| Instant::now() + Duration::from_secs(60));
    let report = started.watch.wait_until(deadline);
    report.expect("the script ends").status
}

/// What the next guest does that starts as a copy of this one, or this one if it
/// goes on before that.
#[cfg(not(rivix_model))]
pub(crate) fn next_does(
    task: &CurrentTask,
    script: impl FnOnce(&mut CurrentTask) + Send + 'static,
) {
    SCRIPTS
        .lock()
        .unwrap()
        .insert(task.regs.pc, Box::new(script));
}

/// fork(2), or clone(2) with `flags`; the child ends at once unless [`next_does`] says otherwise.
pub(crate) fn clone(task: &mut CurrentTask, flags: u64) -> SysResult<i32> {
    let null = UserAddress(0);
    let args = CloneArgs::new(flags, 0, null, 0, null)?;
    task.clone_task(&args, |_, _| Err(rivix_abi::Errno::EMFILE))
}

/// A place for a script that some guest will come to.
pub(crate) fn place(script: impl FnOnce(&mut CurrentTask) + Send + 'static) -> u64 {
    let at = NEXT_ADDRESS.fetch_add(0x100, Ordering::Relaxed);
    SCRIPTS.lock().unwrap().insert(at, Box::new(script));
    at
}

/// Scripts that nobody came to.
#[cfg(rivix_model)]
pub(crate) fn forget_scripts() {
    let left = std::mem::take(&mut *SCRIPTS.lock().unwrap());
    drop(left);
}

/// clone(2) with `flags`; the child does what the script says, wherever its maker
/// goes on.
#[cfg(rivix_model)]
pub(crate) fn clone_into(
    task: &mut CurrentTask,
    flags: u64,
    script: impl FnOnce(&mut CurrentTask) + Send + 'static,
) -> SysResult<i32> {
    let here = task.regs.pc;
    task.regs.pc = place(script);
    let result = clone(task, flags);
    task.regs.pc = here;
    result
}
