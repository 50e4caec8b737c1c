//! File-system facts as statfs(2) lays them out, and the magic numbers.

use bytemuck::{Pod, Zeroable};

/// `struct statfs`, 120 bytes.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Statfs {
    pub kind: u64,
    pub bsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub fsid: [i32; 2],
    pub namelen: u64,
    pub frsize: u64,
    pub flags: u64,
    pub spare: [u64; 4],
}

pub const TMPFS_MAGIC: u64 = 0x0102_1994;
pub const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
pub const PROC_SUPER_MAGIC: u64 = 0x9fa0;
pub const SYSFS_MAGIC: u64 = 0x6265_6572;
pub const PIPEFS_MAGIC: u64 = 0x5049_5045;
pub const SOCKFS_MAGIC: u64 = 0x534f_434b;
pub const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
pub const DEBUGFS_MAGIC: u64 = 0x6462_6720;
pub const TRACEFS_MAGIC: u64 = 0x7472_6163;
pub const SECURITYFS_MAGIC: u64 = 0x7363_6673;
pub const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// The mount's flags are meant (statfs(2), `f_flags`).
pub const ST_VALID: u64 = 0x20;
pub const ST_NOSUID: u64 = 2;
pub const ST_NODEV: u64 = 4;
pub const ST_NOEXEC: u64 = 8;
pub const ST_RELATIME: u64 = 4096;

const _: () = assert!(size_of::<Statfs>() == 120);
