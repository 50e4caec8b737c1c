//! The kernel's half of execve(2): the loader made a new address space, now the
//! process becomes it.

use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use crate::memory::{Memory, Program};
use crate::teaching;
use rivix_abi::{Errno, Signal};
use rivix_isa::{Registers, reg};
use rivix_mem::AddressSpace;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A loaded program.
pub struct NewProgram {
    pub space: Arc<AddressSpace>,
    pub program: Program,
    pub entry: u64,
    pub sp: u64,
    /// The thread's new name: the program's last path component.
    pub name: Vec<u8>,
}

impl CurrentTask {
    /// Becomes the new program. An error leaves the old one running (a
    /// concurrent execve won, or the task is being killed).
    pub fn become_program(&mut self, new: NewProgram) -> SysResult<()> {
        self.end_other_threads()?;
        self.take_leaders_id();
        if let Some(teaching) = self.group().teaching() {
            teaching.begin_program();
            self.slot.store(0, Ordering::Relaxed);
        }

        // The old memory's duties, as at a thread's end.
        self.leave_memory(false);
        self.forget_rseq();
        self.set_user_dispatch(None);
        self.robust_list.store(0, Ordering::Relaxed);
        let kernel = self.kernel().clone();
        self.group().timers_exec(&kernel);

        let memory = Memory::new(kernel.engine(), new.space, new.program);
        memory.traits.after_exec(&self.memory.traits);
        memory.enforce_traits();
        self.hart = None;
        let old = {
            let mut state = self.state.lock();
            state.memory.replace(memory.clone())
        };
        let peak = self.maxrss_kib();
        self.group()
            .own_maxrss_kib
            .fetch_max(peak, Ordering::Relaxed);
        drop(std::mem::replace(&mut self.memory, memory));
        drop(old);

        if self.shares_files() {
            self.unshare_files();
        }
        self.files.close_on_exec();

        let actions = self.group().actions().for_exec();
        self.group().set_actions(Arc::new(actions));
        // Its flags stay, as Linux has it; they show in frames.
        self.altstack.sp = 0;
        self.altstack.size = 0;
        self.restart_block = None;
        self.saved_mask = None;
        self.set_name(&new.name);
        if self.creds.keep_caps {
            let creds = crate::Creds {
                keep_caps: false,
                ..(**self.creds()).clone()
            };
            self.set_creds(creds);
        }
        {
            let mut pids = kernel.pids.lock();
            if let Some(process) = pids.processes.get_mut(&self.pid()) {
                process.has_execed = true;
                process.execs += 1;
                process.exit_signal = Signal::SIGCHLD.number();
            }
        }
        kernel.stats().execs.fetch_add(1, Ordering::Relaxed);

        // a0 must be 0 at entry: libc takes it for a destructor.
        self.regs = Registers {
            pc: new.entry,
            ..Registers::default()
        };
        self.regs.x[reg::SP] = new.sp;
        if self.abi().is_teaching() {
            self.regs = teaching::entry_registers(self.mm(), new.entry, new.sp);
        }
        Ok(())
    }

    /// Kills the process's other threads and waits for them. EAGAIN when
    /// another thread's execve was first: this one is about to die.
    fn end_other_threads(&mut self) -> SysResult<()> {
        let tid = self.tid();
        {
            let mut signals = self.group().signals.lock();
            if signals.must_die(tid) {
                return Err(Restart::NoIntr.into());
            }
            if self.group().unfinished.load(Ordering::Acquire) == 1 {
                return Ok(());
            }
            // From here on no clone(2) of this process succeeds.
            signals.exec_by = Some(tid);
            for (other, thread) in &signals.threads {
                if *other != tid {
                    thread.task.kick().kick();
                }
            }
        }
        let group = self.group().clone();
        let alone = self.block_killable(&[(&group.ended, 0)], || {
            // Not only out of the way: their memory and files are let go of.
            if group.unfinished.load(Ordering::Acquire) == 1 {
                Ok(())
            } else {
                Err(Errno::EAGAIN)
            }
        });
        let mut signals = group.signals.lock();
        signals.exec_by = None;
        match alone {
            Ok(()) => Ok(()),
            Err(Blocked::Interrupted) => Err(Restart::NoIntr.into()),
            Err(_) => Err(Errno::EAGAIN.into()),
        }
    }

    /// The survivor is the process: it takes the leader's id, wherever it was.
    fn take_leaders_id(&mut self) {
        let (old, pid) = (self.tid(), self.pid());
        if old == pid {
            return;
        }
        let displaced = {
            let mut pids = self.kernel().pids.lock();
            let mut signals = self.group().signals.lock();
            if let Some(entry) = signals.threads.remove(&old) {
                signals.threads.insert(pid, entry);
            }
            drop(signals);
            self.set_tid(pid);
            let children: Vec<i32> = pids
                .processes
                .get(&pid)
                .map(|p| p.children.iter().copied().collect())
                .unwrap_or_default();
            for child in children {
                if let Some(child) = pids.processes.get_mut(&child)
                    && child.parent_tid == old
                {
                    child.parent_tid = pid;
                }
            }
            pids.take_leaders_id(old, pid)
        };
        drop(displaced);
        // Who watches the number that was left.
        self.group().ended.notify(0);
        crate::current::set_current_ids((pid, pid));
    }
}
