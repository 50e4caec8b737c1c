//! The interpreter.
//!
//! Guest code is translated once into [blocks](code) of pre-decoded
//! [slots](slot), linked to one another; [handlers](exec) run them, one jump
//! from each to the next.
//!
//! # Invariants that `unsafe` code relies on
//!
//! - **I1** A slot is 16 plain bytes at a 16-byte boundary.
//! - **I2** A slot a hart can reach belongs to a block that is kept until that
//!   hart has left or emptied its cache ([`code`]), or to a program that the hart
//!   holds ([`program`]). The head of an operation
//!   slot is a handler; of a link, an operation slot. A block's last operation
//!   does not continue into the next slot.
//! - **I3** Register numbers in slots are below 66: they index the words of
//!   `Registers`, which is `repr(C)`.
//! - **I4** During `run`, the hart and register pointers are valid and not used
//!   by anyone else; both outlive the call.
//! - **I5** The host is x86-64 with SSE2 (FMA3 where `has_fma`), and MXCSR never
//!   has an unmasked exception.
//! - **I6** `base + a` for `a` below the window's size, and the bytes of one
//!   access from there, are inside the reservation or its guard, so the access
//!   touches guest memory or faults; faults of these instructions are fixed up
//!   by the table in section `rivix_extable`.
//! - **I7** Published slots change only through their atomic heads.

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the interpreter's memory and floating-point paths are written for x86-64");

mod code;
mod exec;
mod fpenv;
mod program;
mod run;
mod slot;
mod softfp;
mod space;
mod state;
mod translate;

use rivix_engine::{CodeObject, Engine};
use rivix_mem::AddressSpace;
use std::sync::Arc;

/// The interpreter as an engine. It keeps translations of programs that it has run.
#[derive(Default)]
pub struct Interpreter {
    programs: program::Programs,
}

impl Engine for Interpreter {
    fn name(&self) -> &'static str {
        "interp"
    }

    fn code_object(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        let sources = space::Sources {
            own: code::Owned::new(),
            program: None,
        };
        space::CodeSpace::new(space, sources)
    }

    fn program_code(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        let sources = space::Sources {
            own: code::Owned::new(),
            program: self.programs.attach(space),
        };
        space::CodeSpace::new(space, sources)
    }
}

/// How the handlers of this build are driven: `"tail calls"` or `"loop"`.
pub const fn driver() -> &'static str {
    if exec::LOOP_DRIVER {
        "loop"
    } else {
        "tail calls"
    }
}
