//! An address space with what belongs to it: translations, program, start-up data.

use crate::gate::Gate;
use crate::rendezvous::Rendezvous;
use crate::traits::{Mdwe, MemoryTraits};
use rivix_engine::{CodeObject, Engine};
use rivix_mem::{AddressSpace, ExecObserver};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// What execve(2) set up; the same for all threads, copied by fork.
#[derive(Clone, Default)]
pub struct Program {
    /// The running file, as /proc/PID/exe shows it.
    pub exe: Option<rivix_fs::Place>,
    /// Where the rt_sigreturn trampoline is mapped.
    pub sigreturn: u64,
    /// Guest ranges of the argument and environment strings.
    pub arg_range: Range<u64>,
    pub env_range: Range<u64>,
    pub auxv: Vec<u8>,
    pub code: Range<u64>,
    pub data: Range<u64>,
    pub start_brk: u64,
    pub start_stack: u64,
}

/// One per address space; its strong count is the number of tasks that use it.
pub struct Memory {
    pub space: Arc<AddressSpace>,
    pub code: Arc<dyn CodeObject>,
    pub program: Arc<Program>,
    pub(crate) gate: Gate,
    pub(crate) rendezvous: Rendezvous,
    pub traits: MemoryTraits,
}

impl Memory {
    pub fn new(engine: &dyn Engine, space: Arc<AddressSpace>, program: Program) -> Arc<Memory> {
        let code = engine.program_code(&space);
        Memory::with_code(space, code, Arc::new(program))
    }

    pub(crate) fn with_code(
        space: Arc<AddressSpace>,
        code: Arc<dyn CodeObject>,
        program: Arc<Program>,
    ) -> Arc<Memory> {
        let memory = Arc::new(Memory {
            space,
            code,
            program,
            gate: Gate::default(),
            rendezvous: Rendezvous::default(),
            traits: MemoryTraits::default(),
        });
        let observer: Weak<dyn ExecObserver> = Arc::<Memory>::downgrade(&memory);
        memory.space.set_exec_observer(observer);
        memory
    }
}

impl Memory {
    /// Makes the address space refuse what its traits say it refuses.
    pub fn enforce_traits(&self) {
        if self.traits.mdwe().contains(Mdwe::REFUSE_EXEC_GAIN) {
            self.space.refuse_exec_gain();
        }
    }
}

/// Changed executable mappings drop their translations.
impl ExecObserver for Memory {
    fn exec_changed(&self, range: Range<u64>) {
        if self.code.invalidate(range) {
            self.rendezvous.ask();
        }
    }
}
