//! The interpreter inside the test's own process: as much of a kernel as an
//! image needs (write and exit), so that an engine can be tested alone, with
//! each of its drivers and with instruction counting.

use crate::asm::{BSS, DATA, Image, TEXT};
use crate::subject::{End, Outcome};
use rivix_abi::UserAddress;
use rivix_engine::{Clock, Engine, HartContext, Trap};
use rivix_interp::Interpreter;
use rivix_isa::{Registers, reg};
use rivix_mem::fault::ThreadGuard;
use rivix_mem::{AddressSpace, Backing, MapFlags, MapRequest, MemConfig, Prot};
use rivix_sync::Kick;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WRITE: u64 = 64;
const EXIT_GROUP: u64 = 94;
const ENOSYS: i64 = 38;

/// An image that runs longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Instructions a counting hart may run before it must ask again; odd and
/// small, so that it stops in many places.
const FUEL: u64 = 9_973;

struct SinceStart(Instant);

impl Clock for SinceStart {
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) fn run(image: &Image, counting: bool) -> Outcome {
    run_with(image, counting, |_, _| false)
}

/// What trapped, and where; each is stepped over.
pub(crate) fn traps(image: &Image, counting: bool) -> (Vec<(Trap, u64)>, End) {
    let mut traps = Vec::new();
    let outcome = run_with(image, counting, |trap, registers| {
        traps.push((trap, registers.pc));
        let at = (registers.pc - TEXT) as usize;
        let half = u16::from_le_bytes([image.text[at], image.text[at + 1]]);
        registers.pc += rivix_isa::length(half) as u64;
        true
    });
    (traps, outcome.end)
}

/// `step_over` says whether the image goes on after a trap that would be a
/// signal.
fn run_with(
    image: &Image,
    counting: bool,
    mut step_over: impl FnMut(Trap, &mut Registers) -> bool,
) -> Outcome {
    let _guard = ThreadGuard::enter().expect("a signal stack");
    let space = AddressSpace::new(&MemConfig::default()).expect("an address space");
    map(
        &space,
        TEXT,
        &image.text,
        image.text.len() as u64,
        Prot::READ | Prot::EXEC,
    );
    map(
        &space,
        DATA,
        &image.data,
        image.data.len() as u64,
        Prot::READ | Prot::WRITE,
    );
    map(&space, BSS, &[], image.bss, Prot::READ | Prot::WRITE);

    let context = HartContext {
        space: space.clone(),
        kick: Arc::new(Kick::new()),
        clock: Arc::new(SinceStart(Instant::now())),
    };
    let mut hart = Interpreter::default().code_object(&space).hart(context);
    let mut registers = Registers {
        pc: TEXT,
        ..Registers::default()
    };
    let mut stdout = Vec::new();
    let deadline = Instant::now() + LIMIT;
    let end = loop {
        let mut fuel = FUEL;
        let trap = hart.run(&mut registers, counting.then_some(&mut fuel));
        let x = &mut registers.x;
        match trap {
            Trap::Ecall => {
                match x[reg::A7] {
                    WRITE => {
                        let mut bytes = vec![0; x[reg::A2] as usize];
                        let done = space.read_partial(UserAddress(x[reg::A1]), &mut bytes);
                        stdout.extend_from_slice(&bytes[..done]);
                        x[reg::A0] = done as u64;
                    }
                    EXIT_GROUP => break End::Exit(x[reg::A0] as i32),
                    _ => x[reg::A0] = -ENOSYS as u64,
                }
                registers.pc += 4;
            }
            Trap::OutOfFuel if counting => {}
            Trap::Interrupted | Trap::OutOfFuel => panic!("{trap:?} at {:#x}", registers.pc),
            _ if step_over(trap, &mut registers) => {}
            Trap::Ebreak => break End::Signal(5),
            Trap::IllegalInstruction(_) => break End::Signal(4),
            Trap::Misaligned { .. } => break End::Signal(7),
            Trap::MemoryFault { .. } => break End::Signal(11),
        }
        if Instant::now() > deadline {
            break End::TimedOut;
        }
    };
    Outcome { stdout, end }
}

fn map(space: &AddressSpace, addr: u64, bytes: &[u8], len: u64, prot: Prot) {
    if len == 0 {
        return;
    }
    let addr = UserAddress(addr);
    let request = MapRequest {
        addr,
        len,
        prot: Prot::READ | Prot::WRITE,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED,
        backing: Backing::Anonymous,
        name: None,
    };
    space.map(request).expect("mapping an image");
    space.write_bytes(addr, bytes).expect("filling an image");
    space.protect(addr, len, prot).expect("protecting an image");
}
