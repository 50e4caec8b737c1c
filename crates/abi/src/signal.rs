//! Signals (signal(7), asm-generic/signal.h, siginfo.h; riscv sigcontext.h).

use bytemuck::{Pod, Zeroable};

/// A signal number, 1..=64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $value:literal;)*) => {
        impl Signal {
            $(pub const $name: Signal = Signal($value);)*

            /// `SIGINT`, or `SIGRT_n` for real-time signals.
            pub fn name(self) -> std::borrow::Cow<'static, str> {
                match self.0 {
                    $($value => stringify!($name).into(),)*
                    n => format!("SIGRT_{}", n.saturating_sub(32)).into(),
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1;
    SIGINT = 2;
    SIGQUIT = 3;
    SIGILL = 4;
    SIGTRAP = 5;
    SIGABRT = 6;
    SIGBUS = 7;
    SIGFPE = 8;
    SIGKILL = 9;
    SIGUSR1 = 10;
    SIGSEGV = 11;
    SIGUSR2 = 12;
    SIGPIPE = 13;
    SIGALRM = 14;
    SIGTERM = 15;
    SIGSTKFLT = 16;
    SIGCHLD = 17;
    SIGCONT = 18;
    SIGSTOP = 19;
    SIGTSTP = 20;
    SIGTTIN = 21;
    SIGTTOU = 22;
    SIGURG = 23;
    SIGXCPU = 24;
    SIGXFSZ = 25;
    SIGVTALRM = 26;
    SIGPROF = 27;
    SIGWINCH = 28;
    SIGIO = 29;
    SIGPWR = 30;
    SIGSYS = 31;
}

/// What a signal does without a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    Ignore,
    Continue,
    Stop,
    Core,
    Terminate,
}

impl Signal {
    pub const MAX: u8 = 64;
    /// The first real-time signal of the kernel; libc keeps some for itself.
    pub const RTMIN: u8 = 32;

    /// None outside 1..=64.
    pub fn new(number: i64) -> Option<Signal> {
        match u8::try_from(number) {
            Ok(n @ 1..=64) => Some(Signal(n)),
            _ => None,
        }
    }

    pub fn number(self) -> u8 {
        self.0
    }

    /// This signal's bit in a mask.
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    pub fn is_realtime(self) -> bool {
        self.0 >= Signal::RTMIN
    }

    pub fn default_action(self) -> DefaultAction {
        match self {
            Signal::SIGCONT => DefaultAction::Continue,
            Signal::SIGCHLD | Signal::SIGURG | Signal::SIGWINCH => DefaultAction::Ignore,
            Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => {
                DefaultAction::Stop
            }
            Signal::SIGQUIT
            | Signal::SIGILL
            | Signal::SIGTRAP
            | Signal::SIGABRT
            | Signal::SIGBUS
            | Signal::SIGFPE
            | Signal::SIGSEGV
            | Signal::SIGSYS
            | Signal::SIGXCPU
            | Signal::SIGXFSZ => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }

    /// Every signal of a mask, lowest first.
    pub fn of_mask(mask: u64) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |s| mask & s.bit() != 0)
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// SIGKILL and SIGSTOP, which no mask blocks.
pub const UNBLOCKABLE: u64 = 1 << 8 | 1 << 18;
pub const STOP_SIGNALS: u64 = 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21;
/// Signals that a thread's own instruction causes; taken first.
pub const SYNCHRONOUS: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;

pub const SIG_DFL: u64 = 0;
pub const SIG_IGN: u64 = 1;

bitflags::bitflags! {
    /// sa_flags.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SigActionFlags: u64 {
        const NOCLDSTOP = 1;
        const NOCLDWAIT = 2;
        const SIGINFO = 4;
        const EXPOSE_TAGBITS = 0x800;
        const ONSTACK = 0x0800_0000;
        const RESTART = 0x1000_0000;
        const NODEFER = 0x4000_0000;
        const RESETHAND = 0x8000_0000;
    }
}

/// struct sigaction as the kernel has it: no restorer on riscv.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct KSigAction {
    pub handler: u64,
    pub flags: u64,
    pub mask: u64,
}

pub const SS_ONSTACK: i32 = 1;
pub const SS_DISABLE: i32 = 2;
pub const SS_AUTODISARM: u32 = 1 << 31;
pub const MINSIGSTKSZ: u64 = 2048;

/// stack_t.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StackT {
    pub sp: u64,
    pub flags: i32,
    pub pad: u32,
    pub size: u64,
}

pub const SIG_BLOCK: i32 = 0;
pub const SIG_UNBLOCK: i32 = 1;
pub const SIG_SETMASK: i32 = 2;

/// si_code values that say who sent a signal.
pub mod si_code {
    pub const USER: i32 = 0;
    pub const KERNEL: i32 = 0x80;
    pub const QUEUE: i32 = -1;
    pub const TIMER: i32 = -2;
    pub const TKILL: i32 = -6;
    pub const ILL_ILLOPC: i32 = 1;
    pub const TRAP_BRKPT: i32 = 1;
    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const BUS_ADRALN: i32 = 1;
    pub const BUS_ADRERR: i32 = 2;
    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_DUMPED: i32 = 3;
    pub const CLD_TRAPPED: i32 = 4;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
}

/// siginfo_t: 128 bytes, the union kept as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SigInfo {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pub pad: i32,
    /// Bytes 16..128.
    pub fields: [u64; 14],
}

impl Default for SigInfo {
    fn default() -> Self {
        SigInfo::zeroed()
    }
}

fn two(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl SigInfo {
    pub fn new(signal: Signal, code: i32) -> SigInfo {
        SigInfo {
            signo: i32::from(signal.number()),
            code,
            ..SigInfo::default()
        }
    }

    pub fn kernel(signal: Signal) -> SigInfo {
        SigInfo::new(signal, si_code::KERNEL)
    }

    /// From kill, tkill: sender's pid and uid.
    pub fn from_sender(signal: Signal, code: i32, pid: i32, uid: u32) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.fields[0] = two(pid as u32, uid);
        info
    }

    pub fn fault(signal: Signal, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.fields[0] = addr;
        info
    }

    pub fn child(code: i32, pid: i32, uid: u32, status: i32, utime: i64, stime: i64) -> SigInfo {
        let mut info = SigInfo::new(Signal::SIGCHLD, code);
        info.fields[0] = two(pid as u32, uid);
        info.fields[1] = two(status as u32, 0);
        info.fields[2] = utime as u64;
        info.fields[3] = stime as u64;
        info
    }

    pub fn timer(signal: Signal, id: i32, overrun: i32, value: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, si_code::TIMER);
        info.fields[0] = two(id as u32, overrun as u32);
        info.fields[1] = value;
        info
    }

    pub fn sys(call_addr: u64, number: i32) -> SigInfo {
        let mut info = SigInfo::new(Signal::SIGSYS, 1);
        info.fields[0] = call_addr;
        info.fields[1] = two(number as u32, 0xC000_00F3);
        info
    }

    pub fn pid(&self) -> i32 {
        self.fields[0] as i32
    }

    pub fn uid(&self) -> u32 {
        (self.fields[0] >> 32) as u32
    }

    pub fn status(&self) -> i32 {
        self.fields[1] as i32
    }

    pub fn addr(&self) -> u64 {
        self.fields[0]
    }

    pub fn value(&self) -> u64 {
        self.fields[1]
    }
}

pub const SIGEV_SIGNAL: i32 = 0;
pub const SIGEV_NONE: i32 = 1;
pub const SIGEV_THREAD: i32 = 2;
pub const SIGEV_THREAD_ID: i32 = 4;

/// struct sigevent, 64 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SigEvent {
    pub value: u64,
    pub signo: i32,
    pub notify: i32,
    pub tid: i32,
    pub pad: [i32; 11],
}

/// The general registers of a signal frame.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SigContext {
    pub pc: u64,
    /// x1..x31.
    pub x: [u64; 31],
    /// f0..f31, then fcsr in the low half of the last word.
    pub f: [u64; 32],
    pub fcsr: u32,
    /// The rest of the floating-point union (room for quad registers).
    pub unused: [u32; 64],
    /// Must be zero on return (extension context begins after it).
    pub reserved: u32,
    /// {END_MAGIC 0, size 0}.
    pub end: [u32; 2],
}

/// struct ucontext.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct UContext {
    pub flags: u64,
    pub link: u64,
    pub stack: StackT,
    pub mask: u64,
    /// glibc's sigset_t is 128 bytes; mcontext is 16-aligned after it.
    pub unused: [u64; 16],
    pub mcontext: SigContext,
}

/// What a handler finds at sp.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SigFrame {
    pub info: SigInfo,
    pub uc: UContext,
}

/// `struct signalfd_siginfo`, 128 bytes (signalfd(2)).
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct SignalfdInfo {
    pub signo: u32,
    pub errno: i32,
    pub code: i32,
    pub pid: u32,
    pub uid: u32,
    pub fd: i32,
    pub tid: u32,
    pub band: u32,
    pub overrun: u32,
    pub trapno: u32,
    pub status: i32,
    pub int: i32,
    pub ptr: u64,
    pub utime: u64,
    pub stime: u64,
    pub addr: u64,
    pub addr_lsb: u16,
    pub pad2: u16,
    pub syscall: i32,
    pub call_addr: u64,
    pub arch: u32,
    pub pad: [u32; 7],
}

const _: () = assert!(size_of::<SignalfdInfo>() == 128);
