//! Restartable sequences (rseq(2), linux/rseq.h): a thread's registered area, and
//! what happens to a sequence when its thread loses its CPU or gets a signal.

use crate::affinity;
use crate::current::CurrentTask;
use crate::vcpu::{Place, Taken, Tenure, allowed, is_in};
use rivix_abi::rseq::{AREA_SIZE, RseqDescriptor, UNINITIALIZED};
use rivix_abi::signal::{KSigAction, SIG_DFL, SigInfo};
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A thread's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    pub area: UserAddress,
    pub len: u32,
    /// The word that stands before every abort address.
    pub signature: u32,
}

/// A thread's half of it.
#[derive(Default)]
pub(crate) struct Rseq {
    pub(crate) registration: Option<Registration>,
    tenure: Option<Tenure>,
    last_cpu: u32,
    /// Since when it waits for a CPU, over interruptions.
    waits_since: Option<Instant>,
    /// It lost its CPU while it ran, or yielded.
    has_had_turn: Cell<bool>,
}

impl Rseq {
    /// A child's, before it has a CPU.
    pub(crate) fn inherited(registration: Option<Registration>) -> Rseq {
        Rseq {
            registration,
            ..Rseq::default()
        }
    }

    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        self.registration.is_some()
    }
}

const AT_CPU_IDS: u64 = 0;
const AT_SEQUENCE: u64 = 8;
const AT_FLAGS: u64 = 16;
const AT_NODE_ID: u64 = 20;

impl CurrentTask {
    pub fn rseq_registration(&self) -> Option<Registration> {
        self.rseq.registration
    }

    /// Registers an area that has been checked. Its ids are filled in before guest
    /// code runs.
    pub fn register_rseq(&mut self, registration: Registration) {
        self.rseq.registration = Some(registration);
    }

    /// Ends the registration: ids say "unregistered" from now on.
    ///
    /// # Errors
    /// EFAULT: the area cannot be written, and stays registered.
    pub fn unregister_rseq(&mut self) -> Result<(), Errno> {
        let Some(registration) = self.rseq.registration else {
            return Err(Errno::EINVAL);
        };
        self.write_ids(registration.area, [0, UNINITIALIZED], [0, 0])?;
        self.forget_rseq();
        Ok(())
    }

    /// execve(2) and the thread's end: nothing more is written.
    pub(crate) fn forget_rseq(&mut self) {
        self.rseq.registration = None;
        let shown = &self.task().last_virtual_cpu;
        shown.store(u32::MAX, Ordering::Relaxed);
        self.release_cpu();
    }

    /// The CPU that getcpu(2) tells: the virtual one of a thread that has one.
    pub fn cpu(&self) -> u32 {
        if self.rseq.is_registered() {
            self.rseq.last_cpu
        } else {
            affinity::current()
        }
    }

    /// May guest code run? Asked after the thread has said that it is in it.
    #[inline]
    pub(crate) fn has_cpu(&self) -> bool {
        match &self.rseq.tenure {
            Some(tenure) => self.kernel().vcpus().is_valid(tenure),
            None => false,
        }
    }

    /// After guest code: lets go of a CPU that was taken away meanwhile.
    #[inline]
    pub(crate) fn after_guest_code(&mut self) {
        if self.rseq.is_registered() && !self.has_cpu() {
            self.rseq.has_had_turn.set(true);
            self.release_cpu();
        }
    }

    pub(crate) fn release_cpu(&mut self) {
        if let Some(tenure) = self.rseq.tenure.take() {
            self.kernel().vcpus().release(self.task(), &tenure);
        }
    }

    /// sched_yield(2): whoever waits for a CPU goes first.
    pub fn yield_cpu(&self) {
        if self.rseq.is_registered() && self.kernel().vcpus().has_waiters() {
            self.rseq.has_had_turn.set(true);
            self.offer_cpu();
        }
    }

    /// The thread is about to sleep: others may have its CPU.
    #[inline]
    pub(crate) fn offer_cpu(&self) {
        let vcpus = self.kernel().vcpus();
        if let Some(tenure) = &self.rseq.tenure
            && vcpus.has_waiters()
        {
            vcpus.release(self.task(), tenure);
        }
    }

    /// Waits for a CPU and makes the area right for it. Returns early when
    /// something else is to be done first.
    pub(crate) fn acquire_cpu(&mut self) {
        self.release_cpu();
        let kernel = self.kernel().clone();
        let vcpus = kernel.vcpus();
        let memory = Arc::as_ptr(&self.memory) as usize;
        let since = *self.rseq.waits_since.get_or_insert_with(Instant::now);
        let mut place = Place::new(since, self.rseq.has_had_turn.get());
        let tenure = loop {
            if self.kick().is_set() {
                break None;
            }
            match vcpus.take(self.task(), memory, self.rseq.last_cpu, &mut place) {
                Taken::Got(tenure) if is_in(&allowed(self.task()), tenure.cpu) => {
                    break Some(tenure);
                }
                // Its set has just changed.
                Taken::Got(tenure) => vcpus.release(self.task(), &tenure),
                Taken::Wait(until) => {
                    self.kick().park_until(Some(until));
                }
            }
        };
        vcpus.stop_waiting(&mut place);
        let Some(tenure) = tenure else {
            return;
        };
        self.rseq.waits_since = None;
        self.rseq.has_had_turn.set(false);
        self.rseq.tenure = Some(tenure);
        self.rseq.last_cpu = tenure.cpu;
        let shown = &self.task().last_virtual_cpu;
        shown.store(tenure.cpu, Ordering::Relaxed);
        self.refresh_rseq(None);
    }

    /// A handler is about to be called: a sequence that is interrupted starts again.
    pub(crate) fn rseq_before_signal(&mut self, signal: Signal) {
        if self.rseq.is_registered() {
            self.refresh_rseq(Some(signal));
        }
    }

    /// Aborts the sequence that the thread is in, if any, and writes the ids. A
    /// defect is a SIGSEGV, whose handler may run unless it is what is delivered.
    fn refresh_rseq(&mut self, signal: Option<Signal>) {
        let Some(registration) = self.rseq.registration else {
            return;
        };
        let result = self
            .abort_sequence(registration)
            .and_then(|()| match self.rseq.tenure {
                Some(tenure) => {
                    self.write_ids(registration.area, [tenure.cpu; 2], [0, tenure.memory_id])
                }
                None => Ok(()),
            });
        if result.is_ok() {
            return;
        }
        tracing::debug!(tid = self.tid(), pc = self.regs.pc, "rseq: broken area");
        if signal == Some(Signal::SIGSEGV) {
            let actions = self.group().actions();
            let action = actions.get(Signal::SIGSEGV);
            actions.set(
                Signal::SIGSEGV,
                KSigAction {
                    handler: SIG_DFL,
                    ..action
                },
            );
        }
        self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
    }

    fn abort_sequence(&mut self, registration: Registration) -> Result<(), Errno> {
        let area = registration.area;
        let pointer_at = UserRef::<u64>::new(area.offset(AT_SEQUENCE)?);
        let pointer = self.read(pointer_at)?;
        if pointer == 0 {
            return Ok(());
        }
        let size = self.mm().task_size();
        if pointer >= size {
            return Err(Errno::EINVAL);
        }
        let sequence: RseqDescriptor = self.read(UserRef::new(UserAddress(pointer)))?;
        sequence.check(size)?;
        let word: u32 = self.read(UserRef::new(UserAddress(sequence.abort.wrapping_sub(4))))?;
        if word != registration.signature {
            return Err(Errno::EINVAL);
        }
        let is_inside = sequence.contains(self.regs.pc);
        if is_inside {
            // No flag is left that means anything (linux/rseq.h).
            let flags: u32 = self.read(UserRef::new(area.offset(AT_FLAGS)?))?;
            if sequence.flags != 0 || flags != 0 {
                return Err(Errno::EINVAL);
            }
        }
        self.write(pointer_at, &0)?;
        if is_inside {
            self.regs.pc = sequence.abort;
        }
        Ok(())
    }

    /// cpu_id_start and cpu_id, then node_id and mm_cid.
    fn write_ids(&self, area: UserAddress, cpus: [u32; 2], others: [u32; 2]) -> Result<(), Errno> {
        self.write(UserRef::new(area.offset(AT_CPU_IDS)?), &cpus)?;
        self.write(UserRef::new(area.offset(AT_NODE_ID)?), &others)
    }
}

/// What a registration's area must be like (rseq(2)): as long as the structure was
/// first, or holding every field of today's.
pub fn check_area(area: UserAddress, len: u32, task_size: u64) -> Result<(), Errno> {
    let is_aligned = area.0.is_multiple_of(rivix_abi::rseq::ALIGNMENT);
    if len < AREA_SIZE || !is_aligned {
        return Err(Errno::EINVAL);
    }
    let end = area.0.checked_add(u64::from(len)).ok_or(Errno::EFAULT)?;
    if end > task_size {
        return Err(Errno::EFAULT);
    }
    Ok(())
}
