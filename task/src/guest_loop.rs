//! One guest thread's life: run the engine, answer its traps.
//!
//! The path of a system call: the engine's ecall, here, the entry that
//! `syscalls` gave, back here, and guest code again.

use crate::current::{CurrentTask, set_current_ids};
use crate::error::{Restart, SysError, SysResult};
use crate::exit_status::ExitStatus;
use crate::kernel::ShutdownReason;
use crate::release::Releases;
use crate::signal::Next;
use crate::teaching::Fault;
use crate::worker_context::GuestWorker;
use rivix_abi::Signal;
use rivix_abi::signal::{SigInfo, si_code};
use rivix_engine::{Access, FaultKind, HartContext, Trap};
use rivix_isa::reg;
use rivix_mem::{FaultCause, MemAccess};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// What a call leaves in a0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value(u64),
    /// The call set all registers itself (execve, rt_sigreturn, exit).
    Registers,
}

/// Runs the call whose number and arguments are in the registers.
pub type SyscallEntry = fn(&mut CurrentTask) -> SysResult<Outcome>;

/// Runs the task to its end on this host thread.
pub(crate) fn run(mut task: CurrentTask, worker: &mut GuestWorker) {
    let releases = Releases::begin();
    // Until the very end: a thread's last act is to write to guest memory.
    let fault = worker.guard();
    let kick = rivix_sync::Kick::tie(task.kick());
    let result = catch_unwind(AssertUnwindSafe(|| {
        task.begin_cpu_clock();
        if fault.is_some() {
            task.guest_loop(&releases);
        } else {
            tracing::error!(tid = task.tid(), "no memory for a signal stack");
            // Without it a guest's fault would be the host process's.
            task.abandon_memory();
            task.group().begin_exit(ExitStatus::KILLED);
        }
    }));
    if let Err(payload) = result {
        task.leave_guest();
        task.survive_panic(&*payload);
    }
    let pid = task.pid();
    if catch_unwind(AssertUnwindSafe(move || task.end())).is_err() {
        tracing::error!(
            pid,
            "a guest thread's end panicked; its process may leave a trace"
        );
    }
    drop(kick);
    drop(fault);
    drop(releases);
    set_current_ids((0, 0));
}

impl CurrentTask {
    fn guest_loop(&mut self, releases: &Releases) {
        if self.kernel().child_tid_store(self).is_err() {
            // As Linux: a bad address is not an error of clone(2).
        }
        let entry = self.kernel().syscall_entry();
        let limits_fuel = self.kernel().has_instruction_budget();
        loop {
            if (self.kick().is_set()
                || self.must_look.get()
                || self.restart.is_some()
                || self.exiting.is_some())
                && self.before_guest_code() == Next::Die
            {
                return;
            }
            if !self.enter_guest() {
                continue;
            }
            if self.rseq.is_registered() && !self.has_cpu() {
                self.leave_guest();
                self.acquire_cpu();
                continue;
            }
            self.cross_to_guest();
            let trap = self.run_hart(limits_fuel);
            let call = matches!(trap, Trap::Ecall).then_some(self.regs.x[reg::A7]);
            self.cross_to_kernel(call);
            self.leave_guest();
            self.after_guest_code();
            self.meet();
            match trap {
                Trap::Ecall => {
                    self.ecall(entry);
                    if releases.is_pending() {
                        let panics = releases.run();
                        self.kernel().stats().count_unit_panics(panics);
                    }
                }
                Trap::Interrupted => self.must_look.set(true),
                Trap::OutOfFuel => self.refuel(),
                other => self.fault(other),
            }
        }
    }

    fn run_hart(&mut self, limits_fuel: bool) -> Trap {
        if self.hart.is_none() {
            let context = HartContext {
                space: self.memory.space.clone(),
                kick: self.kick().clone(),
                clock: self.kernel().engine_clock(),
            };
            self.hart = Some(self.memory.code.clone().hart(context));
        }
        let Some(hart) = &mut self.hart else {
            return Trap::Interrupted;
        };
        if !limits_fuel {
            return hart.run(&mut self.regs, None);
        }
        let before = self.fuel;
        let trap = hart.run(&mut self.regs, Some(&mut self.fuel));
        self.kernel()
            .count_instructions(before.saturating_sub(self.fuel));
        trap
    }

    fn refuel(&mut self) {
        match self.kernel().take_fuel() {
            0 => self
                .kernel()
                .clone()
                .begin_shutdown(ShutdownReason::InstructionBudget),
            fuel => self.fuel = fuel,
        }
    }

    fn ecall(&mut self, entry: SyscallEntry) {
        self.regs.pc = self.regs.pc.wrapping_add(4);
        self.saved_a0 = self.regs.x[reg::A0];
        self.syscalls += 1;
        if !self.may_enter_call() {
            return;
        }
        let result = entry(self);
        self.finish_changes();
        match result {
            Ok(Outcome::Value(value)) => self.regs.x[reg::A0] = value,
            Ok(Outcome::Registers) => {}
            Err(SysError::Errno(errno)) => self.regs.x[reg::A0] = errno.to_a0(),
            Err(SysError::Restart(restart)) => {
                if let Restart::Block(block) = &restart {
                    self.restart_block = Some(block.clone());
                }
                self.restart = Some(restart);
            }
        }
        if self.saved_mask.is_some() {
            self.must_look.set(true);
        }
    }

    /// Turns a fault into its signal.
    fn fault(&mut self, trap: Trap) {
        self.kernel().stats().faults.fetch_add(1, Ordering::Relaxed);
        let pc = self.regs.pc;
        let info = match trap {
            Trap::Ebreak => SigInfo::fault(Signal::SIGTRAP, si_code::TRAP_BRKPT, pc),
            Trap::IllegalInstruction(_) => SigInfo::fault(Signal::SIGILL, si_code::ILL_ILLOPC, pc),
            Trap::Misaligned { .. } => SigInfo::fault(Signal::SIGBUS, si_code::BUS_ADRALN, pc),
            Trap::MemoryFault { addr, access, kind } => {
                let wanted = match access {
                    Access::Load => MemAccess::Read,
                    Access::Store => MemAccess::Write,
                    Access::Fetch => MemAccess::Exec,
                };
                match self.mm().fault_cause(addr, wanted, kind == FaultKind::Bus) {
                    FaultCause::Retry => return,
                    FaultCause::MapErr => {
                        SigInfo::fault(Signal::SIGSEGV, si_code::SEGV_MAPERR, addr)
                    }
                    FaultCause::AccErr => {
                        SigInfo::fault(Signal::SIGSEGV, si_code::SEGV_ACCERR, addr)
                    }
                    FaultCause::BusAdrErr => {
                        SigInfo::fault(Signal::SIGBUS, si_code::BUS_ADRERR, addr)
                    }
                }
            }
            Trap::Ecall | Trap::Interrupted | Trap::OutOfFuel => return,
        };
        tracing::debug!(pid = self.pid(), tid = self.tid(), pc, ?trap, "guest fault");
        if self.abi().is_teaching() {
            return self.end_teaching_at(&trap);
        }
        self.force_signal(info);
    }

    /// Those kernels tell the parent a code, and have no handlers.
    fn end_teaching_at(&mut self, trap: &Trap) {
        let pc = self.regs.pc;
        let (fault, what, at) = match trap {
            Trap::MemoryFault { addr, .. } => (Fault::Memory, "page fault", *addr),
            Trap::Misaligned { .. } => (Fault::Memory, "misaligned access", pc),
            Trap::Ebreak => (Fault::Instruction, "breakpoint", pc),
            _ => (Fault::Instruction, "illegal instruction", pc),
        };
        self.end_at_fault(fault, what, at);
    }

    /// Our own bug: the guest process dies, others go on.
    fn survive_panic(&mut self, payload: &(dyn std::any::Any + Send)) {
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(
            pid = self.pid(),
            tid = self.tid(),
            pc = self.regs.pc,
            syscall = self.regs.x[reg::A7],
            "Rivix failed and ends this guest process: {text}"
        );
        self.kernel().stats().panics.fetch_add(1, Ordering::Relaxed);
        self.group().begin_exit(ExitStatus::KILLED);
    }
}
