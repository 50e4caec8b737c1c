//! Runs a static riscv64 program that needs little of Linux, to measure the
//! interpreter alone.
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "a measuring tool that trusts its program"
)]
use rivix_abi::UserAddress;
use rivix_abi::mman::{MapFlags, Prot};
use rivix_engine::{Clock, Engine, HartContext, Trap};
use rivix_isa::Registers;
use rivix_mem::{AddressSpace, Backing, MapRequest, MemConfig};
use std::sync::Arc;

struct Now;
impl Clock for Now {
    fn monotonic_ns(&self) -> u64 {
        0
    }
}

fn main() {
    let file = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let space = AddressSpace::new(&MemConfig::default()).expect("a window");
    let base = space.host_base();
    rivix_mem::fault::install();
    let u64at = |o: usize| u64::from_le_bytes(file[o..o + 8].try_into().unwrap());
    let u16at = |o: usize| u16::from_le_bytes(file[o..o + 2].try_into().unwrap());
    let u32at = |o: usize| u32::from_le_bytes(file[o..o + 4].try_into().unwrap());
    let map = |from: u64, to: u64| {
        let from = from & !4095;
        space
            .map(MapRequest {
                addr: UserAddress(from),
                len: (to - from).next_multiple_of(4096),
                prot: Prot::READ | Prot::WRITE | Prot::EXEC,
                flags: MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::ANONYMOUS,
                backing: Backing::Anonymous,
                name: None,
            })
            .expect("guest memory");
    };
    for i in 0..u16at(56) as usize {
        let ph = u64at(32) as usize + i * 56;
        if u32at(ph) == 1 {
            let (off, va, fsz, msz) = (
                u64at(ph + 8) as usize,
                u64at(ph + 16),
                u64at(ph + 32) as usize,
                u64at(ph + 40),
            );
            map(va, va + msz);
            unsafe {
                std::ptr::copy_nonoverlapping(file[off..].as_ptr(), base.add(va as usize), fsz)
            };
        }
    }
    let top = 0x3f_ffff_0000u64;
    map(top - (8 << 20), top);
    let mut regs = Registers {
        pc: u64at(24),
        ..Default::default()
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut at = top - 256;
    let mut put = |bytes: &[u8]| unsafe {
        at = (at - bytes.len() as u64) & !7;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at as usize), bytes.len());
        at
    };
    let strings: Vec<u64> = args
        .iter()
        .map(|a| put(format!("{a}\0").as_bytes()))
        .collect();
    let random = put(&[7; 16]);
    let phdr = u64at(64 + 16) - u64at(64 + 8) + 64;
    let mut words = vec![strings.len() as u64];
    words.extend(&strings);
    words.extend([
        0,
        0,
        3,
        phdr,
        4,
        56,
        5,
        u64::from(u16at(56)),
        6,
        4096,
        9,
        regs.pc,
        25,
        random,
        0,
        0,
    ]);
    let sp = (top - 8192 - 8 * words.len() as u64) & !15;
    unsafe {
        std::ptr::copy_nonoverlapping(
            words.as_ptr().cast(),
            base.add(sp as usize),
            8 * words.len(),
        )
    };
    regs.x[2] = sp;
    let (mut brk, mut maps) = (0x20_0000_0000u64, 0x30_0000_0000u64);
    let kick = Arc::new(rivix_sync::Kick::new());
    let code = rivix_interp::Interpreter::default().code_object(&space);
    let mut hart = code.clone().hart(HartContext {
        space: space.clone(),
        kick,
        clock: Arc::new(Now),
    });
    let mut fuel = 0u64;
    let count = std::env::var("FUEL").is_ok();
    if count {
        fuel = u64::MAX / 2;
    }
    let profile = std::env::var("PROFILE").is_ok();
    let mut counts: std::collections::HashMap<u64, u64> = Default::default();
    let start = std::time::Instant::now();
    let code = loop {
        let trap = if profile {
            *counts.entry(regs.pc).or_default() += 1;
            hart.run(&mut regs, Some(&mut 1))
        } else if count {
            hart.run(&mut regs, Some(&mut fuel))
        } else {
            hart.run(&mut regs, None)
        };
        match trap {
            Trap::Ecall => {
                match regs.x[17] {
                    64 => {
                        regs.x[10] = unsafe {
                            libc::write(
                                regs.x[10] as i32,
                                base.add(regs.x[11] as usize).cast(),
                                regs.x[12] as usize,
                            )
                        } as u64
                    }
                    93 | 94 => break regs.x[10] as i32,
                    214 => {
                        let want = regs.x[10];
                        if want > brk {
                            map(brk, want);
                            brk = want.next_multiple_of(4096);
                        }
                        regs.x[10] = if want == 0 { brk } else { want };
                    }
                    222 => {
                        let len = regs.x[11].next_multiple_of(4096);
                        map(maps, maps + len);
                        regs.x[10] = maps;
                        maps += len;
                    }
                    96 => regs.x[10] = 1000,
                    66 => {
                        let mut n = 0;
                        for i in 0..regs.x[12] {
                            let iov = unsafe {
                                *base.add((regs.x[11] + 16 * i) as usize).cast::<[u64; 2]>()
                            };
                            n += unsafe {
                                libc::write(1, base.add(iov[0] as usize).cast(), iov[1] as usize)
                            };
                        }
                        regs.x[10] = n as u64;
                    }
                    80 => {
                        unsafe { base.add(regs.x[11] as usize).write_bytes(0, 128) };
                        regs.x[10] = 0;
                    }
                    215 | 226 | 99 | 261 | 233 => regs.x[10] = 0,
                    278 => regs.x[10] = regs.x[11],
                    78 | 293 | 79 | 29 => regs.x[10] = -38i64 as u64,
                    n => {
                        eprintln!("syscall {n}");
                        regs.x[10] = -38i64 as u64;
                    }
                }
                regs.pc += 4;
            }
            Trap::OutOfFuel if profile => {}
            t => {
                eprintln!("{t:x?} at {:x} regs {:x?}", regs.pc, regs.x);
                break 1;
            }
        }
    };
    eprintln!(
        "{} {:.3}s",
        rivix_interp::driver(),
        start.elapsed().as_secs_f64()
    );
    if count {
        eprintln!("insns {}", u64::MAX / 2 - fuel);
    }
    if profile {
        report(&counts, base);
    }
    std::process::exit(code);
}

/// Prints the commonest runs of two to four instructions inside basic blocks,
/// as shares of all executed.
fn report(counts: &std::collections::HashMap<u64, u64>, base: *mut u8) {
    use rivix_isa::{Format, Op};
    let mut runs: [std::collections::HashMap<String, u64>; 5] = Default::default();
    let mut total = 0;
    for (&pc, &n) in counts {
        let mut at = pc;
        let mut block = Vec::new();
        loop {
            let word = unsafe { base.add(at as usize).cast::<u32>().read_unaligned() };
            let Some(insn) = rivix_isa::decode(word) else {
                break;
            };
            block.push(insn);
            at += u64::from(insn.len);
            if matches!(insn.format(), Format::Branch | Format::J | Format::Jalr)
                || insn.op == Op::Ecall
            {
                break;
            }
        }
        total += n * block.len() as u64;
        let name = |i: usize, from: usize| {
            let insn = &block[i];
            let mut s = format!("{:?}", insn.op).to_lowercase();
            if insn.rs1 == 0 && insn.op == Op::Addi {
                s = "li".into();
            } else if insn.imm == 0 && insn.op == Op::Addi || insn.op == Op::Add && insn.rs1 == 0 {
                s = "mv".into();
            }
            if i > from && block[i - 1].rd != 0 {
                let p = &block[i - 1];
                if insn.rs1 == p.rd {
                    s += ".1";
                }
                if insn.rs2 == p.rd {
                    s += ".2";
                }
                if insn.rd == p.rd {
                    s += "=";
                }
            }
            s
        };
        for (len, runs) in runs.iter_mut().enumerate().skip(1) {
            for i in 0..block.len().saturating_sub(len - 1) {
                let key: Vec<String> = (i..i + len).map(|j| name(j, i)).collect();
                *runs.entry(key.join(" ")).or_default() += n;
            }
        }
    }
    for (len, runs) in runs.iter().enumerate().skip(1) {
        let mut all: Vec<_> = runs.iter().collect();
        all.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        for (k, n) in all.iter().take(40) {
            println!("{len} {:6.2}% {k}", **n as f64 * 100.0 / total as f64);
        }
    }
}
