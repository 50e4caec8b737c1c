//! /dev: the devices every program expects, made of nothing on the host.

use crate::host::{HostShared, sys};
use crate::node::check_access;
use crate::pseudo::{PseudoDir, PseudoLink, pseudo_stat, pseudo_statfs};
use crate::tty;
use crate::{Caller, File, FileOps, Node, NodeRef, SeekFrom, Sink, Source};
use rivix_abi::ioctl::RNDGETENTCNT;
use rivix_abi::stat::{S_IFCHR, Stat, makedev};
use rivix_abi::statfs::{Statfs, TMPFS_MAGIC};
use rivix_abi::{Errno, UserAddress, UserRef};
use std::sync::Arc;

const DEV: u64 = makedev(0, 6);

/// The memory devices (mem(4), null(4), random(4), full(4)).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    Urandom,
    Tty,
    Ptmx,
}

const DEVICES: [(&str, Device, u32, u32); 7] = [
    ("null", Device::Null, 1, 3),
    ("zero", Device::Zero, 1, 5),
    ("full", Device::Full, 1, 7),
    ("random", Device::Random, 1, 8),
    ("urandom", Device::Urandom, 1, 9),
    ("tty", Device::Tty, 5, 0),
    ("ptmx", Device::Ptmx, 5, 2),
];

pub(crate) fn new_root(shared: &Arc<HostShared>) -> NodeRef {
    let link = |target| PseudoLink::node(DEV, TMPFS_MAGIC, target);
    let mut children: Vec<(&'static str, NodeRef)> = vec![
        ("fd", link("/proc/self/fd")),
        ("stdin", link("/proc/self/fd/0")),
        ("stdout", link("/proc/self/fd/1")),
        ("stderr", link("/proc/self/fd/2")),
        // The mount points of /dev/pts and /dev/shm.
        ("pts", PseudoDir::node(DEV, TMPFS_MAGIC, Vec::new())),
        ("shm", PseudoDir::node(DEV, TMPFS_MAGIC, Vec::new())),
    ];
    for (name, device, major, minor) in DEVICES {
        let node = DeviceNode {
            device,
            rdev: makedev(major, minor),
            ino: crate::anon::next_ino(),
            created: crate::anon::stamp(),
            shared: shared.clone(),
        };
        children.push((name, Arc::new(node)));
    }
    PseudoDir::node(DEV, TMPFS_MAGIC, children)
}

/// A device node found on a host mount: the harmless ones are ours, others are refused.
pub(crate) fn open_by_number(
    shared: &Arc<HostShared>,
    rdev: u64,
    caller: &Caller,
) -> Result<Box<dyn FileOps>, Errno> {
    let known = DEVICES
        .iter()
        .find(|(_, _, major, minor)| makedev(*major, *minor) == rdev);
    match known {
        Some((_, device, ..)) => open_device(*device, shared, caller),
        None => Err(Errno::EACCES),
    }
}

fn open_device(
    device: Device,
    shared: &Arc<HostShared>,
    caller: &Caller,
) -> Result<Box<dyn FileOps>, Errno> {
    match device {
        Device::Tty => open_own_terminal(shared, caller),
        Device::Ptmx => tty::open_master(&shared.ptys, caller),
        _ => Ok(Box::new(DeviceFile { device })),
    }
}

/// The caller's controlling terminal, ours or the host's (tty(4)). ENXIO: none.
fn open_own_terminal(shared: &Arc<HostShared>, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
    let host = shared.ptys.host().ok_or(Errno::ENXIO)?;
    let device = host.terminal_of(caller.pid).ok_or(Errno::ENXIO)?;
    if let Some(pair) = tty::index_of(device).and_then(|index| shared.ptys.pair(index)) {
        return Ok(Box::new(tty::Slave::open(&pair, caller.uid == 0)?));
    }
    crate::host::open_console(shared, device)
}

struct DeviceNode {
    device: Device,
    rdev: u64,
    ino: u64,
    created: (i64, u64),
    shared: Arc<HostShared>,
}

impl Node for DeviceNode {
    fn kind(&self) -> u32 {
        S_IFCHR
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let mut stat = pseudo_stat(DEV, self.ino, S_IFCHR | 0o666, self.created);
        stat.rdev = self.rdev;
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(TMPFS_MAGIC))
    }

    fn open(self: Arc<Self>, _: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        open_device(self.device, &self.shared, caller)
    }

    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        check_access(&self.stat()?, mode, caller)
    }
}

struct DeviceFile {
    device: Device,
}

impl FileOps for DeviceFile {
    fn read(&self, _: &File, sink: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        if self.device == Device::Null {
            return Ok(0);
        }
        let is_random = matches!(self.device, Device::Random | Device::Urandom);
        let mut moved = 0;
        let mut buf = [0u8; 4096];
        while sink.remaining() > 0 {
            let len = buf.len().min(sink.remaining());
            if is_random {
                sys::getrandom(&mut buf[..len])?;
            }
            match sink.put(&buf[..len]) {
                Ok(n) => {
                    moved += n;
                    if n < len {
                        break;
                    }
                }
                Err(errno) if moved == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    fn write(&self, _: &File, source: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        match self.device {
            Device::Full => Err(Errno::ENOSPC),
            // Linux does not look at the bytes either (null(4)).
            _ => Ok(source.remaining()),
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek(&self, file: &File, _: SeekFrom) -> Result<u64, Errno> {
        // Any seek lands at 0 (null(4)).
        *file.offset() = 0;
        Ok(0)
    }

    fn ioctl(
        &self,
        _: &File,
        request: u32,
        arg: UserAddress,
        mm: &rivix_mem::AddressSpace,
    ) -> Result<u64, Errno> {
        let is_random = matches!(self.device, Device::Random | Device::Urandom);
        if is_random && request == RNDGETENTCNT {
            mm.write(UserRef::new(arg), &256i32)?;
            return Ok(0);
        }
        Err(Errno::ENOTTY)
    }
}
