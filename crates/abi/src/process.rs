//! Processes: wait(2), prctl(2), uname(2), sysinfo(2), capabilities.

use bytemuck::{Pod, Zeroable};

pub const WNOHANG: u32 = 1;
pub const WUNTRACED: u32 = 2;
pub const WSTOPPED: u32 = 2;
pub const WEXITED: u32 = 4;
pub const WCONTINUED: u32 = 8;
pub const WNOWAIT: u32 = 0x0100_0000;
pub const WNOTHREAD: u32 = 0x2000_0000;
pub const WALL: u32 = 0x4000_0000;
pub const WCLONE: u32 = 0x8000_0000;

pub const P_ALL: i32 = 0;
pub const P_PID: i32 = 1;
pub const P_PGID: i32 = 2;
pub const P_PIDFD: i32 = 3;

/// One field of struct new_utsname.
pub const UTS_LEN: usize = 65;

/// struct new_utsname, six 65-byte fields.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Utsname {
    pub sysname: UtsField,
    pub nodename: UtsField,
    pub release: UtsField,
    pub version: UtsField,
    pub machine: UtsField,
    pub domainname: UtsField,
}

/// 65 bytes (bytemuck knows no arrays of that size).
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct UtsField {
    pub text: [u8; 64],
    pub end: u8,
}

impl From<&[u8]> for UtsField {
    fn from(text: &[u8]) -> UtsField {
        let mut field = UtsField {
            text: [0; 64],
            end: 0,
        };
        let len = text.len().min(64);
        field.text[..len].copy_from_slice(&text[..len]);
        field
    }
}

/// struct sysinfo, 112 bytes.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Sysinfo {
    pub uptime: i64,
    pub loads: [u64; 3],
    pub totalram: u64,
    pub freeram: u64,
    pub sharedram: u64,
    pub bufferram: u64,
    pub totalswap: u64,
    pub freeswap: u64,
    pub procs: u16,
    pub pad: u16,
    pub pad2: u32,
    pub totalhigh: u64,
    pub freehigh: u64,
    pub mem_unit: u32,
    pub pad3: u32,
}

pub const CAP_VERSION_1: u32 = 0x1998_0330;
pub const CAP_VERSION_2: u32 = 0x2007_1026;
pub const CAP_VERSION_3: u32 = 0x2008_0522;

/// struct __user_cap_header_struct.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct CapHeader {
    pub version: u32,
    pub pid: i32,
}

/// struct __user_cap_data_struct.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct CapData {
    pub effective: u32,
    pub permitted: u32,
    pub inheritable: u32,
}

/// struct robust_list_head.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct RobustListHead {
    pub next: u64,
    pub futex_offset: i64,
    pub pending: u64,
}

/// prctl(2) operations.
pub mod prctl {
    pub const SET_PDEATHSIG: i32 = 1;
    pub const GET_PDEATHSIG: i32 = 2;
    pub const GET_DUMPABLE: i32 = 3;
    pub const SET_DUMPABLE: i32 = 4;
    pub const GET_KEEPCAPS: i32 = 7;
    pub const SET_KEEPCAPS: i32 = 8;
    pub const SET_NAME: i32 = 15;
    pub const GET_NAME: i32 = 16;
    pub const GET_SECCOMP: i32 = 21;
    pub const SET_SECCOMP: i32 = 22;
    pub const CAPBSET_READ: i32 = 23;
    pub const CAPBSET_DROP: i32 = 24;
    pub const GET_SECUREBITS: i32 = 27;
    pub const SET_SECUREBITS: i32 = 28;
    pub const SET_TIMERSLACK: i32 = 29;
    pub const GET_TIMERSLACK: i32 = 30;
    pub const SET_CHILD_SUBREAPER: i32 = 36;
    pub const GET_CHILD_SUBREAPER: i32 = 37;
    pub const SET_NO_NEW_PRIVS: i32 = 38;
    pub const GET_NO_NEW_PRIVS: i32 = 39;
    pub const GET_TID_ADDRESS: i32 = 40;
    pub const SET_THP_DISABLE: i32 = 41;
    pub const GET_THP_DISABLE: i32 = 42;
    pub const CAP_AMBIENT: i32 = 47;
    pub const GET_TIMING: i32 = 13;
    pub const SET_TIMING: i32 = 14;
    pub const TIMING_STATISTICAL: u64 = 0;
    pub const SECCOMP_MODE_STRICT: u64 = 1;
    pub const SECCOMP_MODE_FILTER: u64 = 2;
    pub const TASK_PERF_EVENTS_DISABLE: i32 = 31;
    pub const TASK_PERF_EVENTS_ENABLE: i32 = 32;
    pub const MCE_KILL: i32 = 33;
    pub const MCE_KILL_CLEAR: u64 = 0;
    pub const MCE_KILL_SET: u64 = 1;
    pub const MCE_KILL_GET: i32 = 34;
    pub const SET_MM: i32 = 35;
    pub const SET_MM_AUXV: u64 = 12;
    pub const AMBIENT_IS_SET: u64 = 1;
    pub const AMBIENT_RAISE: u64 = 2;
    pub const AMBIENT_LOWER: u64 = 3;
    pub const AMBIENT_CLEAR_ALL: u64 = 4;
    pub const SET_IO_FLUSHER: i32 = 57;
    pub const GET_IO_FLUSHER: i32 = 58;
    pub const SET_SYSCALL_USER_DISPATCH: i32 = 59;
    pub const DISPATCH_OFF: u64 = 0;
    pub const DISPATCH_ON: u64 = 1;
    pub const SET_MEMORY_MERGE: i32 = 67;
    pub const GET_MEMORY_MERGE: i32 = 68;
    pub const GET_AUXV: i32 = 0x4155_5856;
    pub const SET_MDWE: i32 = 65;
    pub const GET_MDWE: i32 = 66;
    pub const RISCV_V_SET_CONTROL: i32 = 69;
    pub const RISCV_V_GET_CONTROL: i32 = 70;
    pub const RISCV_SET_ICACHE_FLUSH_CTX: i32 = 71;
    pub const SET_VMA: i32 = 0x5356_4d41;
}
