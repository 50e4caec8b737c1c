//! What a thread of a teaching kernel's process asks of the kernel.

use super::objects::{Asking, Claim};
use super::slots::{self, Joined};
use super::{Abi, Fault, Resume, State, Teaching};
use crate::clone_args::{CloneArgs, Start};
use crate::current::CurrentTask;
use crate::error::{Blocked, Restart, SysResult};
use crate::exec::NewProgram;
use crate::exit_status::ExitStatus;
use crate::memory::Memory;
use rivix_abi::mman::{MapFlags, Prot};
use rivix_abi::sched::CloneFlags;
use rivix_abi::time::CLOCK_MONOTONIC;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_isa::{Registers, reg};
use rivix_mem::{AddressSpace, Backing, MapRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// gp, which programs that relax addresses set once and never again.
const GP: usize = 3;

const THREAD: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD);

/// A program's registers at its entry: argc in a0, argv in a1, where the loader
/// has put them.
pub(crate) fn entry_registers(space: &AddressSpace, entry: u64, sp: u64) -> Registers {
    let mut regs = Registers {
        pc: entry,
        ..Registers::default()
    };
    regs.x[reg::SP] = sp;
    // The loader wrote it; a stack that cannot be read faults by itself.
    regs.x[reg::A0] = space.read(UserRef::new(UserAddress(sp))).unwrap_or(0);
    regs.x[reg::A1] = sp.wrapping_add(8);
    regs
}

impl CurrentTask {
    /// The slot of the thread in its process, which is its number there.
    pub fn slot(&self) -> u32 {
        self.task().slot.load(Ordering::Relaxed)
    }

    /// Linux processes never come here.
    fn teaching(&self) -> Result<&Teaching, Errno> {
        self.group().teaching().ok_or(Errno::ENOSYS)
    }

    fn with_state<R>(&self, act: impl FnOnce(&mut State) -> R) -> Result<R, Errno> {
        Ok(act(&mut self.teaching()?.state.lock()))
    }

    fn asking(&self) -> Asking {
        Asking {
            slot: self.slot(),
            who: self.notifier(),
        }
    }

    /// Makes a thread that begins at `entry` with `argument` in a0 on a stack of its
    /// own: its slot. Nothing is looked up at `entry`: a bad one faults there.
    ///
    /// # Errors
    /// EAGAIN: no slot, or no task. ENOMEM: no stack.
    pub fn create_thread(&mut self, entry: u64, argument: u64) -> SysResult<u32> {
        let slot = self.with_state(|state| state.slots.begin())??;
        let made = self.start_thread(slot, entry, argument);
        if made.is_err() {
            self.unmap_stack(slot);
            self.with_state(|state| state.slots.forget(slot))?;
        }
        made.map(|_| slot)
    }

    fn start_thread(&mut self, slot: u32, entry: u64, argument: u64) -> SysResult<i32> {
        let stack = slots::stack(self.mm().task_size(), slot);
        // What a fork has copied there of the parent's thread gives way.
        self.mm().map(MapRequest {
            addr: UserAddress(stack.start),
            len: slots::STACK_BYTES,
            prot: Prot::READ | Prot::WRITE,
            flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED,
            backing: Backing::Anonymous,
            name: None,
        })?;
        let mut regs = Registers {
            pc: entry,
            ..Registers::default()
        };
        regs.x[reg::SP] = stack.end;
        regs.x[GP] = self.regs.x[GP];
        regs.x[reg::A0] = argument;
        let start = Start {
            regs,
            slot,
            program: None,
        };
        self.clone_task(&CloneArgs::starting(THREAD, 0, start), no_pidfd)
    }

    fn unmap_stack(&self, slot: u32) {
        let stack = slots::stack(self.mm().task_size(), slot);
        // A process that cannot split its mappings any more keeps the pages.
        let _ = self
            .mm()
            .unmap(UserAddress(stack.start), slots::STACK_BYTES);
    }

    /// Starts a program in a child process: the child's id.
    ///
    /// # Errors
    /// As for [`CurrentTask::clone_task`].
    pub fn spawn_program(&mut self, new: NewProgram) -> SysResult<i32> {
        let regs = entry_registers(&new.space, new.entry, new.sp);
        let memory = Memory::new(self.kernel().engine(), new.space, new.program);
        memory.traits.after_exec(&self.memory.traits);
        memory.enforce_traits();
        let start = Start {
            regs,
            slot: 0,
            program: Some((memory, new.name)),
        };
        let signal = Signal::SIGCHLD.number();
        let args = CloneArgs::starting(CloneFlags::empty(), signal, start);
        let pid = self.clone_task(&args, no_pidfd)?;
        self.kernel().stats().execs.fetch_add(1, Ordering::Relaxed);
        Ok(pid)
    }

    /// exit: of thread 0 the end of the process, else of this thread.
    pub fn exit_with(&mut self, code: i32) -> Result<(), Errno> {
        let slot = self.slot();
        if slot == 0 {
            self.group().end_teaching(code);
        } else {
            self.with_state(|state| state.slots.ending(slot, code))?;
            self.exiting = Some(ExitStatus::Code(code as u8));
        }
        Ok(())
    }

    /// Looks for the end of a thread, without waiting. The stack of one that has
    /// ended goes here, and its slot is free when the answer is dropped.
    pub fn join_thread(&self, wanted: u64) -> Result<Joined, Errno> {
        let caller = self.slot();
        let joined = self.with_state(|state| state.slots.join(caller, wanted))?;
        if let Joined::Ended(_, freed) = &joined {
            self.unmap_stack(freed.slot());
        }
        Ok(joined)
    }

    /// Moves the end of the heap by `bytes`: where it was.
    ///
    /// # Errors
    /// ENOMEM: it cannot be there.
    pub fn move_break(&self, bytes: i64) -> Result<u64, Errno> {
        let end = slots::stack_area(self.mm().task_size()).start;
        // One thread at a time looks and moves.
        self.with_state(|_| {
            let old = self.mm().brk(UserAddress(0)).0;
            let wanted = old
                .checked_add_signed(bytes)
                .filter(|wanted| *wanted <= end)
                .ok_or(Errno::ENOMEM)?;
            if self.mm().brk(UserAddress(wanted)).0 == wanted {
                Ok(old)
            } else {
                Err(Errno::ENOMEM)
            }
        })?
    }

    /// The number of a new mutex.
    ///
    /// # Errors
    /// EAGAIN: the process has all it may have.
    pub fn create_mutex(&self, is_blocking: bool) -> Result<usize, Errno> {
        self.with_state(|state| state.objects.new_mutex(is_blocking))?
            .ok_or(Errno::EAGAIN)
    }

    /// The number of a new semaphore.
    ///
    /// # Errors
    /// EAGAIN: the process has all it may have, or no semaphore has so many units.
    pub fn create_semaphore(&self, units: u64) -> Result<usize, Errno> {
        self.with_state(|state| state.objects.new_semaphore(units))?
            .ok_or(Errno::EAGAIN)
    }

    /// The number of a new condition variable.
    ///
    /// # Errors
    /// EAGAIN: the process has all it may have.
    pub fn create_condition(&self) -> Result<usize, Errno> {
        self.with_state(|state| state.objects.new_condition())?
            .ok_or(Errno::EAGAIN)
    }

    /// Takes a mutex, and waits for it if it must.
    ///
    /// # Errors
    /// EINVAL: no such mutex. EDEADLK: no safe order is left, and it was asked for.
    pub fn lock_mutex(&self, number: u64) -> SysResult<()> {
        if let Some(resume) = self.take_resume()? {
            return self.go_on(resume);
        }
        let claim = self.with_state(|state| state.objects.lock(number, self.asking()))?;
        match claim {
            Claim::Spin => self.spin(number as usize, None),
            other => self.settle(other),
        }
    }

    /// Gives a mutex back, or to who has waited longest.
    ///
    /// # Errors
    /// EINVAL: no such mutex, or nobody has it.
    pub fn unlock_mutex(&self, number: u64) -> Result<(), Errno> {
        self.with_state(|state| state.objects.unlock(number))?
            .then_some(())
            .ok_or(Errno::EINVAL)
    }

    /// Adds a unit, or gives it to who has waited longest.
    ///
    /// # Errors
    /// EINVAL: no such semaphore, or it can have no more.
    pub fn up_semaphore(&self, number: u64) -> Result<(), Errno> {
        let slot = self.slot();
        self.with_state(|state| state.objects.up(number, slot))?
            .then_some(())
            .ok_or(Errno::EINVAL)
    }

    /// Takes a unit, and waits for it if it must.
    ///
    /// # Errors
    /// EINVAL: no such semaphore. EDEADLK: no safe order is left, and it was asked for.
    pub fn down_semaphore(&self, number: u64) -> SysResult<()> {
        if let Some(resume) = self.take_resume()? {
            return self.go_on(resume);
        }
        let claim = self.with_state(|state| state.objects.down(number, self.asking()))?;
        self.settle(claim)
    }

    /// Lets a mutex go, waits to be signalled, and has the mutex again.
    ///
    /// # Errors
    /// EINVAL: no such condition variable or mutex, or nobody has the mutex.
    pub fn wait_condition(&self, number: u64, mutex: u64) -> SysResult<()> {
        if let Some(resume) = self.take_resume()? {
            return self.go_on(resume);
        }
        let queued = self.with_state(|state| state.objects.wait(number, mutex, self.asking()))?;
        let (waiting, spins_for) = queued.ok_or(Errno::EINVAL)?;
        self.go_on(Resume::Parked(waiting, spins_for))
    }

    /// Wakes the thread that has waited longest; nobody waits: nothing.
    ///
    /// # Errors
    /// EINVAL: no such condition variable.
    pub fn signal_condition(&self, number: u64) -> Result<(), Errno> {
        self.with_state(|state| state.objects.signal(number))?
            .then_some(())
            .ok_or(Errno::EINVAL)
    }

    /// Whether locks and downs that leave no safe order are refused from now on.
    pub fn detect_deadlocks(&self, yes: bool) -> Result<(), Errno> {
        self.with_state(|state| state.objects.detects_deadlocks = yes)
    }

    /// Sleeps for this long.
    pub fn sleep_for(&self, ns: i128) -> SysResult<()> {
        if let Some(resume) = self.take_resume()? {
            return self.go_on(resume);
        }
        let now = self.kernel().clock().now_ns(CLOCK_MONOTONIC)?;
        self.go_on(Resume::Sleeping(now.saturating_add(ns)))
    }

    fn settle(&self, claim: Claim) -> SysResult<()> {
        match claim {
            Claim::Granted => Ok(()),
            Claim::Refused | Claim::Spin => Err(Errno::EINVAL.into()),
            Claim::Deadlock => Err(Errno::EDEADLK.into()),
            Claim::Wait(waiting) => self.go_on(Resume::Parked(waiting, None)),
        }
    }

    fn take_resume(&self) -> Result<Option<Resume>, Errno> {
        let slot = self.slot();
        self.with_state(|state| state.slots.take_resume(slot))
    }

    /// Waits until it has what it waits for. A stop leaves the thread in its queue:
    /// the call is made again afterwards and goes on from there.
    fn go_on(&self, resume: Resume) -> SysResult<()> {
        match resume {
            Resume::Parked(waiting, spins_for) => {
                let granted = || {
                    if waiting.is_granted() {
                        Ok(())
                    } else {
                        Err(Errno::EAGAIN)
                    }
                };
                match self.block(None, granted) {
                    Ok(()) => match spins_for {
                        None => Ok(()),
                        Some(mutex) => self.spin(mutex, Some(Resume::Spinning(mutex))),
                    },
                    Err(_) => self.interrupted(Some(Resume::Parked(waiting, spins_for))),
                }
            }
            Resume::Spinning(mutex) => self.spin(mutex, Some(resume)),
            Resume::Sleeping(until_ns) => loop {
                let clock = self.kernel().clock();
                let left = until_ns.saturating_sub(clock.now_ns(CLOCK_MONOTONIC)?);
                if left <= 0 {
                    return Ok(());
                }
                let deadline = clock.instant_after(left);
                match self.block(deadline, || Err::<(), _>(Errno::EAGAIN)) {
                    Ok(()) | Err(Blocked::TimedOut) => {}
                    Err(_) => return self.interrupted(Some(resume)),
                }
            },
        }
    }

    /// Looks again and again, and lets others run in between. `resume`: where to go
    /// on after a stop; None: the call is made anew.
    fn spin(&self, mutex: usize, resume: Option<Resume>) -> SysResult<()> {
        let slot = self.slot();
        loop {
            if self.with_state(|state| state.objects.spin(slot, mutex))? {
                return Ok(());
            }
            if self.pending_interrupt() {
                // Who goes on afterwards wants the mutex all the time.
                if resume.is_none() {
                    self.with_state(|state| state.objects.stop_spinning(slot))?;
                }
                return self.interrupted(resume);
            }
            self.yield_cpu();
            std::thread::yield_now();
        }
    }

    fn interrupted(&self, resume: Option<Resume>) -> SysResult<()> {
        if let Some(resume) = resume {
            let slot = self.slot();
            self.with_state(|state| state.slots.set_resume(slot, resume))?;
        }
        Err(Restart::NoIntr.into())
    }

    /// How long its process has existed.
    pub fn process_age_ns(&self) -> u64 {
        let now = rivix_engine::Clock::monotonic_ns(self.kernel().clock());
        now.saturating_sub(self.group().start_ns)
    }

    /// A fault, which ends the process with a code of the tutorials'.
    pub(crate) fn end_at_fault(&self, fault: Fault, what: &str, at: u64) {
        let code = fault.exit_code(self.abi());
        let told = &self.kernel().stats().told_faults;
        // As those kernels tell it on the console; a guest may fault for ever.
        if told.fetch_add(1, Ordering::Relaxed) < MAX_TOLD_FAULTS {
            tracing::info!(
                target: "rivix_hint",
                "{what} at {at:#x} in process {}, thread {}, pc {:#x}: it ends with {code}",
                self.pid(),
                self.slot(),
                self.regs.pc,
            );
        }
        self.group().end_teaching(code);
    }
}

/// Faults of one sandbox that are told to a person.
const MAX_TOLD_FAULTS: u64 = 16;

fn no_pidfd(_: &CurrentTask, _: &Arc<crate::Task>) -> Result<rivix_fs::Reservation, Errno> {
    Err(Errno::EINVAL)
}

impl crate::Task {
    /// Whose calls it makes.
    pub fn abi(&self) -> Abi {
        self.group().abi()
    }
}
