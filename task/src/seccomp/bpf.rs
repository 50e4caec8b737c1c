//! Classic BPF programs over a call's number and arguments (Documentation/networking/
//! filter.rst, seccomp(2)): checking, and running.

use bytemuck::{Pod, Zeroable};
use rivix_abi::Errno;

/// struct sock_filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// struct seccomp_data.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct CallData {
    pub nr: u32,
    pub arch: u32,
    pub instruction_pointer: u64,
    pub args: [u64; 6],
}

/// BPF_MAXINSNS.
pub const MAX_LEN: usize = 4096;
/// BPF_MEMWORDS.
const SCRATCH: usize = 16;

/// Instructions by what they do, for programs that have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    LoadWord,
    LoadImmediate,
    LoadScratch,
    LoadXImmediate,
    LoadXScratch,
    Store,
    StoreX,
    Alu(Alu, Source),
    Negate,
    Jump,
    JumpIf(Condition, Source),
    ReturnK,
    ReturnA,
    AToX,
    XToA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    K,
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    And,
    Or,
    Xor,
    Left,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equal,
    Greater,
    AtLeast,
    AnyBit,
}

impl Op {
    /// None: a code that does not exist, or that filters of calls may not use.
    fn of(code: u16) -> Option<Op> {
        let source = if code & 0x08 == 0 {
            Source::K
        } else {
            Source::X
        };
        let op = match code {
            0x20 => Op::LoadWord,
            // The length of the data is a constant.
            0x00 | 0x80 => Op::LoadImmediate,
            0x60 => Op::LoadScratch,
            0x01 | 0x81 => Op::LoadXImmediate,
            0x61 => Op::LoadXScratch,
            0x02 => Op::Store,
            0x03 => Op::StoreX,
            0x04 | 0x0c => Op::Alu(Alu::Add, source),
            0x14 | 0x1c => Op::Alu(Alu::Sub, source),
            0x24 | 0x2c => Op::Alu(Alu::Mul, source),
            0x34 | 0x3c => Op::Alu(Alu::Div, source),
            0x44 | 0x4c => Op::Alu(Alu::Or, source),
            0x54 | 0x5c => Op::Alu(Alu::And, source),
            0x64 | 0x6c => Op::Alu(Alu::Left, source),
            0x74 | 0x7c => Op::Alu(Alu::Right, source),
            0xa4 | 0xac => Op::Alu(Alu::Xor, source),
            0x84 => Op::Negate,
            0x05 => Op::Jump,
            0x15 | 0x1d => Op::JumpIf(Condition::Equal, source),
            0x25 | 0x2d => Op::JumpIf(Condition::Greater, source),
            0x35 | 0x3d => Op::JumpIf(Condition::AtLeast, source),
            0x45 | 0x4d => Op::JumpIf(Condition::AnyBit, source),
            0x06 => Op::ReturnK,
            0x16 => Op::ReturnA,
            0x07 => Op::AToX,
            0x87 => Op::XToA,
            _ => return None,
        };
        Some(op)
    }
}

/// A program that ends, whatever the data.
#[derive(Debug)]
pub struct Program {
    code: Box<[(Op, Instruction)]>,
    /// Instructions that Linux makes of it, which its limit counts.
    weight: usize,
}

impl Program {
    /// Checks what the guest gave.
    ///
    /// # Errors
    /// EINVAL: a code that is not allowed, data or a jump outside, scratch memory
    /// that is read before it is written, an end without a result.
    pub fn new(text: &[Instruction]) -> Result<Program, Errno> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        let mut code = Vec::with_capacity(text.len());
        // Nulls the registers, keeps the data's address.
        let mut weight = 3;
        for (pc, instruction) in text.iter().enumerate() {
            let op = Op::of(instruction.code).ok_or(Errno::EINVAL)?;
            let mut instruction = *instruction;
            check(op, &instruction, text.len() - pc - 1)?;
            if matches!(instruction.code, 0x80 | 0x81) {
                instruction.k = size_of::<CallData>() as u32;
            }
            weight += weight_of(op, &instruction);
            code.push((op, instruction));
        }
        if !matches!(code.last(), Some((Op::ReturnK | Op::ReturnA, _))) {
            return Err(Errno::EINVAL);
        }
        check_scratch(&code)?;
        Ok(Program {
            code: code.into(),
            weight,
        })
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The program's result for one call. 0 (kill) after a division by zero.
    pub fn run(&self, data: &CallData) -> u32 {
        let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(data));
        let mut scratch = [0u32; SCRATCH];
        let (mut a, mut x) = (0u32, 0u32);
        let mut pc = 0usize;
        // Jumps go forward only, and the last instruction returns.
        while let Some((op, instruction)) = self.code.get(pc) {
            let Instruction { jt, jf, k, .. } = *instruction;
            pc += 1;
            let pick = |source| match source {
                Source::K => k,
                Source::X => x,
            };
            match *op {
                Op::LoadWord => a = words.get(k as usize / 4).copied().unwrap_or(0),
                Op::LoadImmediate => a = k,
                Op::LoadScratch => a = scratch.get(k as usize).copied().unwrap_or(0),
                Op::LoadXImmediate => x = k,
                Op::LoadXScratch => x = scratch.get(k as usize).copied().unwrap_or(0),
                Op::Store | Op::StoreX => {
                    if let Some(word) = scratch.get_mut(k as usize) {
                        *word = if *op == Op::Store { a } else { x };
                    }
                }
                Op::Alu(alu, source) => {
                    let b = pick(source);
                    a = match alu {
                        Alu::Add => a.wrapping_add(b),
                        Alu::Sub => a.wrapping_sub(b),
                        Alu::Mul => a.wrapping_mul(b),
                        Alu::Div => match a.checked_div(b) {
                            Some(quotient) => quotient,
                            None => return 0,
                        },
                        Alu::And => a & b,
                        Alu::Or => a | b,
                        Alu::Xor => a ^ b,
                        Alu::Left => a.wrapping_shl(b),
                        Alu::Right => a.wrapping_shr(b),
                    };
                }
                Op::Negate => a = a.wrapping_neg(),
                Op::Jump => pc = pc.saturating_add(k as usize),
                Op::JumpIf(condition, source) => {
                    let b = pick(source);
                    let holds = match condition {
                        Condition::Equal => a == b,
                        Condition::Greater => a > b,
                        Condition::AtLeast => a >= b,
                        Condition::AnyBit => a & b != 0,
                    };
                    pc += usize::from(if holds { jt } else { jf });
                }
                Op::ReturnK => return k,
                Op::ReturnA => return a,
                Op::AToX => x = a,
                Op::XToA => a = x,
            }
        }
        0
    }
}

/// One instruction by itself; `left` follow it.
fn check(op: Op, instruction: &Instruction, left: usize) -> Result<(), Errno> {
    let Instruction { jt, jf, k, .. } = *instruction;
    let is_good = match op {
        Op::LoadWord => k.is_multiple_of(4) && (k as usize) < size_of::<CallData>(),
        Op::LoadScratch | Op::LoadXScratch | Op::Store | Op::StoreX => (k as usize) < SCRATCH,
        Op::Alu(Alu::Div, Source::K) => k != 0,
        Op::Alu(Alu::Left | Alu::Right, Source::K) => k < 32,
        Op::Jump => (k as usize) < left,
        Op::JumpIf(..) => usize::from(jt.max(jf)) < left,
        _ => true,
    };
    if is_good { Ok(()) } else { Err(Errno::EINVAL) }
}

/// No way through the program reads a scratch word that it has not written.
fn check_scratch(code: &[(Op, Instruction)]) -> Result<(), Errno> {
    // What is written on every way to an instruction.
    let mut known = vec![u16::MAX; code.len()];
    let mut written = 0u16;
    for (pc, (op, instruction)) in code.iter().enumerate() {
        written &= known.get(pc).copied().unwrap_or(0);
        let bit = 1u16.checked_shl(instruction.k).unwrap_or(0);
        let mut meet = |skip: usize, written: u16| {
            if let Some(at) = known.get_mut(pc + 1 + skip) {
                *at &= written;
            }
        };
        match op {
            Op::Store | Op::StoreX => written |= bit,
            Op::LoadScratch | Op::LoadXScratch if written & bit == 0 => return Err(Errno::EINVAL),
            Op::Jump => {
                meet(instruction.k as usize, written);
                written = u16::MAX;
            }
            Op::JumpIf(..) => {
                meet(instruction.jt.into(), written);
                meet(instruction.jf.into(), written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many instructions Linux's own form has for this one.
fn weight_of(op: Op, instruction: &Instruction) -> usize {
    match op {
        Op::ReturnK => 2,
        // Division by zero returns.
        Op::Alu(Alu::Div, Source::X) => 4,
        Op::JumpIf(condition, source) => {
            let constant = usize::from(source == Source::K && (instruction.k as i32) < 0);
            let is_one =
                instruction.jf == 0 || instruction.jt == 0 && condition != Condition::AnyBit;
            constant + if is_one { 1 } else { 2 }
        }
        _ => 1,
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;

    fn stmt(code: u16, k: u32) -> Instruction {
        Instruction {
            code,
            jt: 0,
            jf: 0,
            k,
        }
    }

    fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn run(text: &[Instruction]) -> u32 {
        let data = CallData {
            nr: 7,
            arch: 9,
            args: [3, 1 << 33, 0, 0, 0, u64::MAX],
            ..CallData::default()
        };
        Program::new(text).expect("a good program").run(&data)
    }

    #[test]
    fn loads_see_the_layout() {
        assert_eq!(run(&[stmt(0x20, 0), stmt(0x16, 0)]), 7);
        assert_eq!(run(&[stmt(0x20, 4), stmt(0x16, 0)]), 9);
        assert_eq!(run(&[stmt(0x20, 16), stmt(0x16, 0)]), 3);
        assert_eq!(run(&[stmt(0x20, 28), stmt(0x16, 0)]), 2);
        assert_eq!(run(&[stmt(0x20, 60), stmt(0x16, 0)]), u32::MAX);
        assert_eq!(run(&[stmt(0x80, 0), stmt(0x16, 0)]), 64);
    }

    #[test]
    fn division_by_zero_is_zero() {
        assert_eq!(run(&[stmt(0x00, 5), stmt(0x3c, 0), stmt(0x06, 1)]), 0);
    }

    #[test]
    fn scratch_is_written_on_every_way() {
        let both = [
            jump(0x15, 0, 0, 1),
            stmt(0x02, 3),
            stmt(0x60, 3),
            stmt(0x06, 0),
        ];
        assert!(Program::new(&both).is_err());
        let good = [
            stmt(0x02, 3),
            jump(0x15, 0, 0, 1),
            stmt(0x60, 3),
            stmt(0x06, 0),
        ];
        assert!(Program::new(&good).is_ok());
    }

    #[test]
    fn random_programs_end() {
        // Whatever passes the check runs to an end without a panic.
        let mut seed = 12345u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as u32
        };
        let mut good = 0;
        for _ in 0..20_000 {
            let len = 1 + next() as usize % 6;
            let mut text: Vec<Instruction> = (0..len)
                .map(|_| {
                    jump(
                        next() as u16 & 0xff,
                        next() % 40,
                        (next() % 4) as u8,
                        (next() % 4) as u8,
                    )
                })
                .collect();
            text.push(stmt(0x16, 0));
            if let Ok(program) = Program::new(&text) {
                good += 1;
                program.run(&CallData::default());
            }
        }
        assert!(good > 20);
    }
}
