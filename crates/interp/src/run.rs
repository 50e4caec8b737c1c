//! Entering and leaving guest code.

use crate::exec::{self, Cx, cold};
use crate::fpenv;
use crate::program::Attached;
use crate::slot::Slot;
use crate::space::{CodeSpace, Seat};
use crate::state::{CACHE, CacheEntry, HartState, cache_index, variant};
use crate::translate;
use rivix_engine::{CodeObject, Hart, HartContext, Trap};
use rivix_isa::Registers;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where to go on.
pub(crate) enum Next {
    Slot(*const Slot),
    Trap(Trap),
}

/// The interpreter's hart.
pub(crate) struct InterpHart(Box<HartState>);

impl InterpHart {
    pub(crate) fn new(home: Arc<CodeSpace>, seat: Arc<Seat>, context: HartContext) -> Self {
        let (sources, version) = home.current();
        let presence = sources.own.register(&context.kick);
        let hart = InterpHart(Box::new(HartState {
            kick: context.kick.word(),
            fault_host: 0,
            fault_cause: 0,
            fflags: 0,
            frm: 0,
            reserved: exec::amo::NO_RESERVATION,
            reserved_value: 0,
            fuel: 0,
            base: context.space.host_base(),
            limit: context.space.task_size().saturating_sub(1),
            trap: Trap::Interrupted,
            variant: 0,
            wants_fuel: false,
            cache: [CacheEntry::EMPTY; CACHE],
            seen: 0,
            version,
            presence,
            own: sources.own,
            program: sources.program,
            home,
            seat,
            context,
        }));
        hart.0.sit();
        hart
    }
}

impl Drop for InterpHart {
    fn drop(&mut self) {
        self.0.own.unregister(&self.0.presence);
    }
}

impl Hart for InterpHart {
    fn run(&mut self, registers: &mut Registers, fuel: Option<&mut u64>) -> Trap {
        let hart = &mut *self.0;
        hart.enter();
        registers.x[0] = 0;
        // Fuel may run out between LR and SC, every time.
        if hart.trap != Trap::OutOfFuel {
            cold::drop_reservation(hart);
        }
        hart.wants_fuel = fuel.is_some();
        hart.fuel = fuel.as_ref().map_or(0, |f| **f);
        let host_mxcsr = fpenv::get();
        hart.frm = registers.fcsr >> 5 & 7;
        if wanted_variant(hart) != hart.variant {
            set_variant(hart);
        }

        // As sret does: the lowest bit of sepc is always 0. Empty entries are odd.
        registers.pc &= !1;
        let pc = registers.pc;
        let entry = hart.cache[cache_index(pc)];
        let next = if hart.context.kick.is_set() {
            Next::Trap(Trap::Interrupted)
        } else if entry.pc == pc {
            Next::Slot(entry.op)
        } else {
            find(hart, pc)
        };
        let trap = match next {
            Next::Trap(trap) => trap,
            Next::Slot(op) => {
                set_fcsr(hart, registers.fcsr);
                let state: *mut HartState = hart;
                // SAFETY: I4, the pointers live through the call and nothing else
                // uses them meanwhile; I2, `find` answered a live block.
                unsafe {
                    let cx = Cx {
                        regs: registers,
                        base: (*state).base,
                        hart: state,
                        limit: (*state).limit,
                    };
                    exec::drive(op, cx);
                }
                registers.fcsr = hart.frm << 5 | fpenv::fflags(fpenv::get()) | hart.fflags;
                fpenv::set(host_mxcsr);
                hart.trap
            }
        };
        hart.trap = trap;
        if let Some(fuel) = fuel {
            *fuel = hart.fuel;
        }
        registers.x[0] = 0;
        hart.leave();
        trap
    }
}

/// Puts `fcsr` into force.
pub(crate) fn set_fcsr(hart: &mut HartState, fcsr: u32) {
    hart.frm = fcsr >> 5 & 7;
    hart.fflags = fcsr & 0x1f;
    fpenv::set(fpenv::mxcsr(if hart.frm <= 3 { hart.frm } else { 0 }));
}

/// The translations this hart should be in.
pub(crate) fn wanted_variant(hart: &HartState) -> u8 {
    let fuel = if hart.wants_fuel { variant::FUEL } else { 0 };
    let rounding = if hart.frm > 3 {
        variant::ODD_ROUNDING
    } else {
        0
    };
    fuel | rounding
}

pub(crate) fn set_variant(hart: &mut HartState) {
    hart.variant = wanted_variant(hart);
    hart.forget();
}

/// The block at `pc`, translated if need be.
pub(crate) fn find(hart: &mut HartState, pc: u64) -> Next {
    let op = match found(hart, pc) {
        Ok(op) => op,
        Err(trap) => return Next::Trap(trap),
    };
    hart.cache[cache_index(pc)] = CacheEntry { pc, op };
    Next::Slot(op)
}

fn found(hart: &HartState, pc: u64) -> Result<*const Slot, Trap> {
    let program = hart.program.as_ref().filter(|p| p.covers(pc));
    if let Some(op) = program.and_then(|p| p.code().find(pc, hart.variant)) {
        return Ok(op);
    }
    if let Some(op) = hart.own.find(pc, hart.variant) {
        return Ok(op);
    }
    match program.and_then(|p| make_for_program(hart, p, pc)) {
        Some(op) => Ok(op),
        None => make(hart, pc),
    }
}

/// None: the block is not the program's alone.
fn make_for_program(hart: &HartState, program: &Attached, pc: u64) -> Option<*const Slot> {
    let draft = program.translate(&hart.context.space, pc, hart.variant)?;
    let made = program.publish(draft, hart.variant);
    if made.is_none() {
        // It is full. Kept apart, the rest would never be linked to it.
        hart.home.leave_program();
    }
    made
}

fn make(hart: &HartState, pc: u64) -> Result<*const Slot, Trap> {
    let space = &hart.context.space;
    loop {
        let generation = hart.own.generation.load(Ordering::SeqCst);
        let is_shared = hart.own.is_shared();
        // What this process alone may have written is no code of its forks.
        let fetch = |addr, dst: &mut [u8]| {
            if is_shared {
                space.fetch_fixed_code(addr, dst)
            } else {
                space.fetch_code(addr, dst)
            }
        };
        let draft = translate::block(&fetch, pc, hart.variant);
        if is_shared && draft.as_ref().map_or(true, |draft| draft.is_cut_short) {
            hart.home.leave_forks();
        }
        // The code read may be from after a change, for which the space has left
        // translations that its forks go on with.
        if hart.home.version.load(Ordering::SeqCst) != hart.version {
            return Err(Trap::Interrupted);
        }
        let draft = draft?;
        if let Some(op) = hart.own.publish(draft, hart.variant, generation) {
            return Ok(op);
        }
    }
}

/// Finds `pc`'s block and makes `link` lead there.
pub(crate) fn bind(hart: &mut HartState, link: *const Slot, stub: *const Slot, pc: u64) -> Next {
    let next = find(hart, pc);
    if let Next::Slot(target) = next {
        // Only where both are of the same code.
        if let Some(program) = &hart.program {
            program.code().bind(link, stub, target);
        }
        hart.own.bind(link, stub, target);
    }
    next
}

/// The guest pc of `op`'s instruction.
pub(crate) fn pc_of(hart: &HartState, op: *const Slot) -> u64 {
    let programs = hart.program.as_ref().and_then(|p| p.code().pc_of(op));
    // A running slot is always in a block that one of the two holds.
    programs.or_else(|| hart.own.pc_of(op)).unwrap_or(0)
}

/// Instructions of `op`'s block from `op`'s on.
pub(crate) fn not_run(hart: &HartState, op: *const Slot) -> u64 {
    let programs = hart.program.as_ref().and_then(|p| p.code().not_run(op));
    programs.or_else(|| hart.own.not_run(op)).unwrap_or(0)
}

pub(crate) fn fence_i(hart: &mut HartState) {
    let home = Arc::clone(&hart.home);
    home.refresh();
    // Between blocks: nothing older is held.
    hart.enter();
}
