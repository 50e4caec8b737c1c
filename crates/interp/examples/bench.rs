//! Runs a static riscv64 program that needs little of Linux, to measure the
//! interpreter alone.
#![allow(clippy::undocumented_unsafe_blocks)]
use rivix_engine::{Clock, Engine, HartContext, Trap};
use rivix_isa::Registers;
use rivix_mem::AddressSpace;
use std::sync::Arc;

struct Now;
impl Clock for Now {
    fn monotonic_ns(&self) -> u64 {
        0
    }
}

unsafe extern "C" {
    static __start_rivix_extable: [i32; 2];
    static __stop_rivix_extable: [i32; 2];
}

unsafe extern "C" fn on_fault(sig: i32, info: *mut libc::siginfo_t, ctx: *mut libc::c_void) {
    unsafe {
        let uc = &mut *(ctx as *mut libc::ucontext_t);
        let rip = uc.uc_mcontext.gregs[libc::REG_RIP as usize];
        let mut p = &raw const __start_rivix_extable;
        while p < &raw const __stop_rivix_extable {
            let e = *p;
            if (p as i64) + e[0] as i64 == rip {
                uc.uc_mcontext.gregs[libc::REG_RIP as usize] = p as i64 + 4 + e[1] as i64;
                uc.uc_mcontext.gregs[libc::REG_R10 as usize] = (*info).si_addr() as i64;
                uc.uc_mcontext.gregs[libc::REG_R11 as usize] =
                    if sig == libc::SIGBUS { 2 } else { 1 };
                return;
            }
            p = p.add(1);
        }
        libc::_exit(99);
    }
}

fn main() {
    let file = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let space = AddressSpace::flat();
    let base = space.host_base();
    unsafe {
        let mut sa: libc::sigaction = std::mem::zeroed();
        sa.sa_sigaction = on_fault as *const () as usize;
        sa.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSEGV, &sa, std::ptr::null_mut());
    }
    let u64at = |o: usize| u64::from_le_bytes(file[o..o + 8].try_into().unwrap());
    let u16at = |o: usize| u16::from_le_bytes(file[o..o + 2].try_into().unwrap());
    let u32at = |o: usize| u32::from_le_bytes(file[o..o + 4].try_into().unwrap());
    let map = |from: u64, to: u64| unsafe {
        let from = from & !4095;
        let r = libc::mprotect(
            base.add(from as usize).cast(),
            (to - from).next_multiple_of(4096) as usize,
            3,
        );
        assert_eq!(r, 0);
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
    let code = rivix_interp::Interpreter.code_object(&space);
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
    let start = std::time::Instant::now();
    let code = loop {
        let trap = if count {
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
    std::process::exit(code);
}
