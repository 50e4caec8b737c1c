//! The interpreter driven directly: traps, faults, invalidation, fuel, kicks.

use rivix_abi::UserAddress;
use rivix_engine::{Access, Clock, CodeObject, Engine, FaultKind, Hart, HartContext, Trap};
use rivix_interp::Interpreter;
use rivix_isa::{Op, Operands, Registers, encode};
use rivix_mem::{AddressSpace, Backing, MapFlags, MapRequest, MemConfig, Prot};
use std::sync::Arc;

const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x20_0000;
const PAGE: u64 = 4096;

struct Now;
impl Clock for Now {
    fn monotonic_ns(&self) -> u64 {
        42
    }
}

struct Machine {
    space: Arc<AddressSpace>,
    code: Arc<dyn CodeObject>,
    hart: Box<dyn Hart>,
    kick: Arc<rivix_sync::Kick>,
    registers: Registers,
}

fn map(space: &AddressSpace, addr: u64, len: u64, prot: Prot) {
    space
        .map(MapRequest {
            addr: UserAddress(addr),
            len,
            prot,
            flags: MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::ANONYMOUS,
            backing: Backing::Anonymous,
            name: None,
        })
        .expect("guest memory");
}

impl Machine {
    fn new(program: &[u32]) -> Machine {
        rivix_mem::fault::install();
        let space = AddressSpace::new(&MemConfig::default()).expect("a window");
        map(
            &space,
            CODE,
            2 * PAGE,
            Prot::READ | Prot::WRITE | Prot::EXEC,
        );
        map(&space, DATA, PAGE, Prot::READ | Prot::WRITE);
        let code = Interpreter::default().code_object(&space);
        let machine = Machine::around(space, code);
        machine.write(CODE, program);
        machine
    }

    fn around(space: Arc<AddressSpace>, code: Arc<dyn CodeObject>) -> Machine {
        let kick = Arc::new(rivix_sync::Kick::new());
        let hart = code.clone().hart(HartContext {
            space: space.clone(),
            kick: kick.clone(),
            clock: Arc::new(Now),
        });
        let registers = Registers {
            pc: CODE,
            ..Registers::default()
        };
        Machine {
            space,
            code,
            hart,
            kick,
            registers,
        }
    }

    fn write(&self, at: u64, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.space
            .write_bytes(UserAddress(at), &bytes)
            .expect("mapped");
    }

    fn run(&mut self) -> Trap {
        self.hart.run(&mut self.registers, None)
    }
}

fn insn(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> u32 {
    encode(
        op,
        Operands {
            rd,
            rs1,
            rs2,
            imm,
            ..Operands::default()
        },
    )
}

fn i(op: Op, rd: u8, rs1: u8, imm: i32) -> u32 {
    insn(op, rd, rs1, 0, imm)
}

fn li(rd: u8, value: i32) -> u32 {
    i(Op::Addi, rd, 0, value)
}

const ECALL: u32 = 0x73;

/// Runs `program` with x10 = `a0` and says where and why it stopped, and x11.
fn check(program: &[u32], a0: u64, expect: (u64, Trap, u64)) {
    let mut machine = Machine::new(program);
    machine.registers.x[10] = a0;
    let trap = machine.run();
    let registers = &machine.registers;
    assert_eq!(
        (registers.pc - CODE, trap, registers.x[11]),
        expect,
        "{program:x?} with {a0:#x}"
    );
    assert_eq!(registers.x[0], 0);
}

fn fault(addr: u64, access: Access) -> Trap {
    Trap::MemoryFault {
        addr,
        access,
        kind: FaultKind::Segv,
    }
}

#[test]
fn data_traps_are_exact() {
    let end = 1 << 38;
    // The first of a fused pair has taken effect when the second faults.
    let load = [li(11, 5), i(Op::Ld, 12, 10, 0), ECALL];
    check(&load, DATA, (8, Trap::Ecall, 5));
    check(&load, 0, (4, fault(0, Access::Load), 5));
    check(
        &load,
        DATA + PAGE - 4,
        (4, fault(DATA + PAGE, Access::Load), 5),
    );
    check(&load, end, (4, fault(end, Access::Load), 5));
    check(&load, u64::MAX, (4, fault(u64::MAX, Access::Load), 5));
    let store = [li(11, 5), insn(Op::Sw, 0, 10, 11, 4), ECALL];
    check(&store, DATA, (8, Trap::Ecall, 5));
    check(&store, 0x100, (4, fault(0x104, Access::Store), 5));
    let amo = [li(11, 5), insn(Op::AmoaddW, 11, 10, 11, 0), ECALL];
    check(&amo, DATA, (8, Trap::Ecall, 0));
    check(&amo, DATA + 2, (4, Trap::Misaligned { addr: DATA + 2 }, 5));
    check(&amo, 0x100, (4, fault(0x100, Access::Store), 5));
    let lr = [li(11, 5), i(Op::LrD, 11, 10, 0), ECALL];
    check(&lr, DATA + 4, (4, Trap::Misaligned { addr: DATA + 4 }, 5));
    check(&lr, 0x100, (4, fault(0x100, Access::Load), 5));
    // x0 stays zero, also as a load's destination.
    let discarded = [i(Op::Ld, 0, 10, 0), i(Op::Addi, 11, 0, 3), ECALL];
    check(&discarded, DATA, (8, Trap::Ecall, 3));
    check(&discarded, 0, (0, fault(0, Access::Load), 0));
}

#[test]
fn the_last_byte_of_the_window() {
    // An access that begins there runs into the guard: either byte may be named.
    let mut machine = Machine::new(&[i(Op::Ld, 12, 10, 0), ECALL]);
    let end = machine.space.task_size();
    map(&machine.space, end - PAGE, PAGE, Prot::READ);
    machine.registers.x[10] = end - 1;
    let trap = machine.run();
    assert!(
        trap == fault(end, Access::Load) || trap == fault(end - 1, Access::Load),
        "{trap:x?}"
    );
    machine.registers.x[10] = end - 8;
    machine.registers.pc = CODE;
    assert_eq!(machine.run(), Trap::Ecall);
}

#[test]
fn fetch_and_encoding_traps_are_exact() {
    check(&[li(11, 1), 0x0010_0073], 0, (4, Trap::Ebreak, 1));
    check(&[li(11, 1), 0], 0, (4, Trap::IllegalInstruction(0), 1));
    let ones = [li(11, 1), u32::MAX];
    check(&ones, 0, (4, Trap::IllegalInstruction(u32::MAX), 1));
    // A jump to nothing.
    let mut machine = Machine::new(&[i(Op::Jalr, 11, 10, 0)]);
    machine.registers.x[10] = 0x50_0001;
    assert_eq!(machine.run(), fault(0x50_0000, Access::Fetch));
    let registers = &machine.registers;
    assert_eq!((registers.pc, registers.x[11]), (0x50_0000, CODE + 4));
    // Running off the end of the code, at an instruction that crosses it too.
    let end = CODE + 2 * PAGE;
    let mut machine = Machine::new(&[]);
    machine.write(end - 8, &[li(11, 1), 0x0001_0001]);
    machine.registers.pc = end - 8;
    assert_eq!(machine.run(), fault(end, Access::Fetch));
    assert_eq!((machine.registers.pc, machine.registers.x[11]), (end, 1));
    machine.write(end - 4, &[0x0003_0001]);
    machine.code.invalidate(CODE..end);
    machine.registers.pc = end - 4;
    assert_eq!(machine.run(), fault(end, Access::Fetch));
    assert_eq!(machine.registers.pc, end - 2);
}

#[test]
fn cross_page_access_works() {
    let program = [insn(Op::Sd, 0, 10, 12, 0), i(Op::Ld, 11, 10, 0), ECALL];
    let mut machine = Machine::new(&program);
    map(&machine.space, DATA + PAGE, PAGE, Prot::READ | Prot::WRITE);
    machine.registers.x[10] = DATA + PAGE - 3;
    machine.registers.x[12] = 0x0123_4567_89ab_cdef;
    assert_eq!(machine.run(), Trap::Ecall);
    assert_eq!(machine.registers.x[11], 0x0123_4567_89ab_cdef);
}

#[test]
fn reservations() {
    // lr; (x13 = 1: store in between); sc
    let program = [
        i(Op::LrW, 11, 10, 0),
        insn(Op::Beq, 0, 13, 0, 8),
        insn(Op::Sw, 0, 10, 13, 0),
        insn(Op::ScW, 12, 10, 14, 0),
        ECALL,
    ];
    for (between, failed) in [(0, 0), (1, 1)] {
        let mut machine = Machine::new(&program);
        machine.registers.x[10] = DATA;
        machine.registers.x[13] = between;
        assert_eq!(machine.run(), Trap::Ecall);
        assert_eq!(machine.registers.x[12], failed);
    }
    let mut alone = Machine::new(&[insn(Op::ScW, 12, 10, 14, 0), ECALL]);
    alone.registers.x[10] = DATA;
    assert_eq!(alone.run(), Trap::Ecall);
    assert_eq!(alone.registers.x[12], 1);
}

/// Code that calls CODE + 64 and stops; there, x11 = 1 and return.
fn caller() -> Vec<u32> {
    let mut program = vec![i(Op::Jal, 1, 0, 64), ECALL];
    program.resize(16, 0);
    program.extend(returning(1));
    program
}

fn returning(value: i32) -> [u32; 2] {
    [li(11, value), i(Op::Jalr, 0, 1, 0)]
}

#[test]
fn invalidation_reaches_linked_blocks() {
    let mut machine = Machine::new(&caller());
    for value in 1..20 {
        machine.write(CODE + 64, &returning(value));
        machine.code.invalidate(CODE + 64..CODE + 72);
        for _ in 0..3 {
            machine.registers.pc = CODE;
            assert_eq!(machine.run(), Trap::Ecall);
            assert_eq!(machine.registers.x[11], value as u64);
        }
    }
}

#[test]
fn fence_i_sees_stores() {
    // Stores x12 over the callee's first word, then calls it.
    let mut program = vec![
        insn(Op::Sw, 0, 10, 12, 0),
        0x0000_100f,
        i(Op::Jal, 1, 0, 56),
        ECALL,
    ];
    program.resize(16, 0);
    program.extend(returning(1));
    let mut machine = Machine::new(&program);
    for value in 1..20 {
        machine.registers.pc = CODE;
        machine.registers.x[10] = CODE + 64;
        machine.registers.x[12] = u64::from(li(11, value));
        assert_eq!(machine.run(), Trap::Ecall);
        assert_eq!(machine.registers.x[11], value as u64);
    }
}

#[test]
fn forks_part_when_code_changes() {
    let mut parent = Machine::new(&caller());
    assert_eq!(parent.run(), Trap::Ecall);
    let space = parent.space.fork().expect("a second window");
    let code = parent.code.fork(&space);
    let mut child = Machine::around(space, code);
    child.write(CODE + 64, &returning(2));
    child.code.invalidate(CODE + 64..CODE + 72);
    for _ in 0..2 {
        for (machine, value) in [(&mut parent, 1), (&mut child, 2)] {
            machine.registers.pc = CODE;
            machine.kick.clear();
            assert_eq!(machine.run(), Trap::Ecall);
            assert_eq!(machine.registers.x[11], value);
        }
    }
}

#[test]
fn fuel_is_counted() {
    // x11 counts to 10 in a loop of two instructions.
    let program = [
        li(12, 10),
        i(Op::Addi, 11, 11, 1),
        insn(Op::Bne, 0, 11, 12, -4),
        ECALL,
    ];
    let mut machine = Machine::new(&program);
    let mut fuel = 1000;
    let trap = machine.hart.run(&mut machine.registers, Some(&mut fuel));
    assert_eq!((trap, 1000 - fuel), (Trap::Ecall, 22));

    // In small portions it ends the same.
    let mut machine = Machine::new(&program);
    for portion in 0.. {
        assert!(portion < 20);
        let mut fuel = 3;
        match machine.hart.run(&mut machine.registers, Some(&mut fuel)) {
            Trap::Ecall => break,
            trap => assert_eq!((trap, fuel), (Trap::OutOfFuel, 0)),
        }
    }
    assert_eq!(machine.registers.x[11], 10);

    // What did not run because of a fault is given back.
    let mut machine = Machine::new(&[li(11, 1), i(Op::Ld, 12, 0, 0), li(11, 2), ECALL]);
    let mut fuel = 100;
    let trap = machine.hart.run(&mut machine.registers, Some(&mut fuel));
    assert_eq!((trap, fuel), (fault(0, Access::Load), 99));
}

#[test]
fn a_kick_ends_loops() {
    let loops: [&[u32]; 3] = [
        &[i(Op::Jal, 0, 0, 0)],
        &[li(11, 1), insn(Op::Bne, 0, 11, 0, -4)],
        &[i(Op::Auipc, 1, 0, 0), i(Op::Jalr, 0, 1, 0)],
    ];
    for program in loops {
        let mut machine = Machine::new(program);
        let kick = machine.kick.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                kick.kick();
            });
            assert_eq!(machine.run(), Trap::Interrupted);
        });
        assert!((CODE..CODE + 8).contains(&machine.registers.pc));
    }
}

#[test]
fn harts_share_code_while_it_changes() {
    let machine = Machine::new(&caller());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (space, code) = (machine.space.clone(), machine.code.clone());
            scope.spawn(move || {
                let mut mine = Machine::around(space, code);
                for _ in 0..2000 {
                    mine.registers.pc = CODE;
                    assert_eq!(mine.run(), Trap::Ecall);
                    assert!((1..=2).contains(&mine.registers.x[11]));
                }
            });
        }
        for round in 0..500 {
            machine.write(CODE + 64, &[li(11, 1 + round % 2)]);
            machine.code.invalidate(CODE + 64..CODE + 68);
        }
    });
}

#[test]
fn reserved_dynamic_rounding_is_illegal() {
    // fsrm x0, x13; fadd.d f1, f2, f3 (dynamic)
    let add = 0x0231_70d3;
    for (mode, expect) in [
        (0, Trap::Ecall),
        (4, Trap::Ecall),
        (5, Trap::IllegalInstruction(add)),
    ] {
        let mut machine = Machine::new(&[0x0026_9073, add, ECALL]);
        machine.registers.x[13] = mode;
        assert_eq!(machine.run(), expect);
        assert_eq!(machine.registers.fcsr, (mode as u32) << 5);
    }
}

/// As sret goes on where sepc says, which has no lowest bit.
#[test]
fn a_hart_that_begins_at_an_odd_pc() {
    #[track_caller]
    fn check(pc: u64, expected: Trap) {
        let mut machine = Machine::new(&[encode(Op::Ecall, Operands::default())]);
        machine.registers.pc = pc;
        assert_eq!(machine.run(), expected);
        assert_eq!(machine.registers.pc, pc & !1);
    }
    let fault = |addr, kind| Trap::MemoryFault {
        addr,
        access: Access::Fetch,
        kind,
    };
    check(CODE + 1, Trap::Ecall);
    // An empty entry of the cache has this one.
    check(1, fault(0, FaultKind::Segv));
    check(DATA + 1, fault(DATA, FaultKind::Segv));
    check(u64::MAX, fault(u64::MAX - 1, FaultKind::Segv));
}
