//! /proc: the guest's processes and machine, in Linux's formats (proc(5)).
//! Everything is computed when it is looked at; nothing is kept.

mod process;
mod system;
mod text;

use crate::mount::Mount;
use crate::node::check_access;
use crate::pseudo::{Entry, ListedDir, dirent_kind, pseudo_stat, pseudo_statfs};
use crate::{Caller, File, FileOps, Follow, Node, NodeRef, Place, ProcInfo, ProcSnapshot};
use process::{LINKS, PROCESS_FILES, ProcessFile};
use rivix_abi::Errno;
use rivix_abi::stat::{S_IFDIR, S_IFLNK, S_IFREG, Stat, makedev};
use rivix_abi::statfs::{PROC_SUPER_MAGIC, Statfs};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};
use system::SystemEntry;
use text::TextFile;

const DEV: u64 = makedev(0, 21);

/// What every node of one procfs needs.
#[derive(Default)]
pub(crate) struct ProcShared {
    info: OnceLock<Weak<dyn ProcInfo>>,
    mounts: OnceLock<Vec<Weak<Mount>>>,
}

impl ProcShared {
    pub(crate) fn set_info(&self, info: Weak<dyn ProcInfo>) {
        let _ = self.info.set(info);
    }

    pub(crate) fn set_mounts(&self, mounts: &[Arc<Mount>]) {
        let _ = self.mounts.set(mounts.iter().map(Arc::downgrade).collect());
    }

    /// The kernel; ESRCH when there is none (any more).
    fn info(&self) -> Result<Arc<dyn ProcInfo>, Errno> {
        self.info.get().and_then(Weak::upgrade).ok_or(Errno::ESRCH)
    }

    fn process(&self, pid: i32) -> Result<ProcSnapshot, Errno> {
        self.info()?.process(pid).ok_or(Errno::ESRCH)
    }

    /// The top of the tree, where the kernel's own tasks are.
    fn top(&self) -> Option<Place> {
        let mount = self.mounts.get()?.first()?.upgrade()?;
        Some(Place {
            node: mount.root.clone(),
            path: mount.path.clone(),
            mount,
        })
    }

    fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts
            .get()
            .into_iter()
            .flatten()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

/// Which object of /proc a node is.
#[derive(Clone, Copy, Hash)]
enum What {
    Root,
    SelfLink,
    ThreadSelf,
    /// /proc/mounts, /proc/net: symlinks with a fixed text.
    Fixed(&'static str),
    /// A file or directory about the machine.
    System(&'static SystemEntry),
    Pid(i32),
    TaskDir(i32),
    /// /proc/PID/task/TID.
    Thread(i32, i32),
    FdDir(i32),
    FdInfoDir(i32),
    FdLink(i32, i32),
    FdInfo(i32, i32),
    /// exe, cwd, root.
    Link(i32, &'static str),
    /// A text about a process, or about one of its threads.
    File(i32, &'static ProcessFile),
}

struct ProcNode {
    shared: Arc<ProcShared>,
    what: What,
}

pub(crate) fn new_root(shared: &Arc<ProcShared>) -> NodeRef {
    node(shared, What::Root)
}

fn node(shared: &Arc<ProcShared>, what: What) -> NodeRef {
    Arc::new(ProcNode {
        shared: shared.clone(),
        what,
    })
}

/// A name that is a number without sign or leading zeros.
fn number(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    if text.starts_with('+') || text.starts_with('0') && text.len() > 1 {
        return None;
    }
    text.parse().ok().filter(|&n| n >= 0)
}

/// Is there memory to hide? Init's is as good as there.
fn has_secrets(process: &ProcSnapshot) -> bool {
    const INIT: i32 = 1;
    process.mm.is_some() || process.pid == INIT
}

impl ProcNode {
    fn child(&self, what: What) -> NodeRef {
        node(&self.shared, what)
    }

    /// The process, or its thread, that this node is about.
    fn pid(&self) -> Option<i32> {
        match self.what {
            What::Root | What::SelfLink | What::ThreadSelf | What::Fixed(_) | What::System(_) => {
                None
            }
            What::Pid(pid)
            | What::TaskDir(pid)
            | What::Thread(_, pid)
            | What::FdDir(pid)
            | What::FdInfoDir(pid)
            | What::FdLink(pid, _)
            | What::FdInfo(pid, _)
            | What::Link(pid, _)
            | What::File(pid, _) => Some(pid),
        }
    }

    fn ino(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.what.hash(&mut hasher);
        // Inode numbers of 32 bits suit old programs; the root's is 1 as on Linux.
        if matches!(self.what, What::Root) {
            1
        } else {
            (hasher.finish() & 0x7fff_ffff) | 2
        }
    }

    fn mode(&self) -> u32 {
        match self.what {
            What::Root | What::Pid(_) | What::TaskDir(_) | What::Thread(..) => S_IFDIR | 0o555,
            What::FdDir(_) | What::FdInfoDir(_) => S_IFDIR | 0o500,
            What::SelfLink | What::ThreadSelf | What::Fixed(_) | What::Link(..) => S_IFLNK | 0o777,
            What::FdLink(pid, fd) => {
                let file = self.file(pid, fd);
                let read = file
                    .as_ref()
                    .map_or(0, |file| if file.can_read() { 0o500 } else { 0o100 });
                let write = file.map_or(0, |file| if file.can_write() { 0o300 } else { 0o100 });
                S_IFLNK | read | write
            }
            What::FdInfo(..) => S_IFREG | 0o444,
            What::System(entry) => entry.mode(),
            What::File(_, file) => S_IFREG | file.mode,
        }
    }

    fn file(&self, pid: i32, fd: i32) -> Result<Arc<File>, Errno> {
        let files = self.shared.process(pid)?.files.ok_or(Errno::ENOENT)?;
        files.get(fd).map_err(|_| Errno::ENOENT)
    }

    /// EACCES: the caller may not look into the process.
    fn check_look(&self, caller: &Caller, pid: i32) -> Result<(), Errno> {
        match self.shared.info()?.may_look(caller, pid) {
            true => Ok(()),
            false => Err(Errno::EACCES),
        }
    }

    /// Where exe, cwd and root lead.
    fn link_place(&self, pid: i32, name: &str) -> Result<Place, Errno> {
        let process = self.shared.process(pid)?;
        if process.is_kernel && name != "exe" {
            return self.shared.top().ok_or(Errno::ENOENT);
        }
        match name {
            "exe" => process.exe,
            "cwd" => process.fs.map(|fs| fs.cwd()),
            _ => process.fs.map(|fs| fs.root()),
        }
        .ok_or(Errno::ENOENT)
    }

    /// In the directory of a process, or of a thread: `id` names it.
    fn process_child(&self, id: i32, name: &[u8]) -> Option<What> {
        let is_thread = matches!(self.what, What::Thread(..));
        Some(match name {
            b"fd" => What::FdDir(id),
            b"fdinfo" => What::FdInfoDir(id),
            b"task" if !is_thread => What::TaskDir(id),
            _ => {
                if let Some(link) = LINKS.iter().find(|link| link.as_bytes() == name) {
                    return Some(What::Link(id, link));
                }
                let file = PROCESS_FILES
                    .iter()
                    .find(|file| file.name.as_bytes() == name)?;
                if is_thread && file.is_process_only {
                    return None;
                }
                What::File(id, file)
            }
        })
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, What)>, Errno> {
        let named = |name: &str, what| (name.as_bytes().to_vec(), what);
        let numbered = |n: i32, what| (n.to_string().into_bytes(), what);
        Ok(match self.what {
            What::Root => {
                let mut list: Vec<_> = system::ROOT
                    .iter()
                    .map(|entry| named(entry.name, What::System(entry)))
                    .chain([
                        named("self", What::SelfLink),
                        named("thread-self", What::ThreadSelf),
                        named("mounts", What::Fixed("self/mounts")),
                        named("net", What::Fixed("self/net")),
                    ])
                    .collect();
                if let Ok(info) = self.shared.info() {
                    list.extend(
                        info.pids()
                            .into_iter()
                            .map(|pid| numbered(pid, What::Pid(pid))),
                    );
                }
                list
            }
            What::System(entry) => entry
                .children()
                .iter()
                .map(|e| named(e.name, What::System(e)))
                .collect(),
            What::Pid(id) | What::Thread(_, id) => {
                let is_thread = matches!(self.what, What::Thread(..));
                let mut list = vec![
                    named("fd", What::FdDir(id)),
                    named("fdinfo", What::FdInfoDir(id)),
                ];
                if !is_thread {
                    list.push(named("task", What::TaskDir(id)));
                }
                list.extend(LINKS.iter().map(|link| named(link, What::Link(id, link))));
                let files = PROCESS_FILES.iter();
                let files = files.filter(|file| !is_thread || !file.is_process_only);
                list.extend(files.map(|file| named(file.name, What::File(id, file))));
                list
            }
            What::TaskDir(pid) => {
                let threads = self.shared.info()?.threads(pid);
                threads
                    .into_iter()
                    .map(|tid| numbered(tid, What::Thread(pid, tid)))
                    .collect()
            }
            What::FdDir(pid) | What::FdInfoDir(pid) => {
                let files = self.shared.process(pid)?.files;
                let fds = files.map(|files| files.fds()).unwrap_or_default();
                let is_info = matches!(self.what, What::FdInfoDir(_));
                let what = |fd| {
                    if is_info {
                        What::FdInfo(pid, fd)
                    } else {
                        What::FdLink(pid, fd)
                    }
                };
                fds.into_iter().map(|fd| numbered(fd, what(fd))).collect()
            }
            _ => return Err(Errno::ENOTDIR),
        })
    }
}

impl Node for ProcNode {
    fn kind(&self) -> u32 {
        match self.what {
            What::FdLink(..) => S_IFLNK,
            _ => self.mode() & rivix_abi::stat::S_IFMT,
        }
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let process = self.pid().map(|pid| self.shared.process(pid)).transpose()?;
        let mut stat = pseudo_stat(DEV, self.ino(), self.mode(), crate::anon::stamp());
        stat.blksize = 1024;
        let is_listing = matches!(
            self.what,
            What::Pid(_) | What::TaskDir(_) | What::Thread(..)
        );
        // What others may not look into is root's (proc(5)).
        if let Some(process) = process
            && (is_listing || process.dumpable)
        {
            stat.uid = process.uids[1];
            stat.gid = process.gids[1];
        }
        match self.what {
            What::FdLink(..) => stat.size = 64,
            What::Root => stat.nlink = 2,
            _ => {}
        }
        Ok(stat)
    }

    fn statfs(&self) -> Result<Statfs, Errno> {
        Ok(pseudo_statfs(PROC_SUPER_MAGIC))
    }

    fn process(&self) -> Option<i32> {
        match self.what {
            What::Pid(pid) => Some(pid),
            _ => None,
        }
    }

    fn lookup(&self, name: &[u8], _: &Caller) -> Result<NodeRef, Errno> {
        let what = match self.what {
            What::Root => match name {
                b"self" => What::SelfLink,
                b"thread-self" => What::ThreadSelf,
                b"mounts" => What::Fixed("self/mounts"),
                b"net" => What::Fixed("self/net"),
                _ => {
                    if let Some(entry) = system::find(system::ROOT, name) {
                        return Ok(self.child(What::System(entry)));
                    }
                    // A thread's id works too, though it is not listed (proc(5)).
                    let pid = number(name).ok_or(Errno::ENOENT)?;
                    self.shared.process(pid).map_err(|_| Errno::ENOENT)?;
                    What::Pid(pid)
                }
            },
            What::System(entry) if entry.is_dir() => {
                What::System(system::find(entry.children(), name).ok_or(Errno::ENOENT)?)
            }
            What::Pid(pid) => self.process_child(pid, name).ok_or(Errno::ENOENT)?,
            What::Thread(_, tid) => self.process_child(tid, name).ok_or(Errno::ENOENT)?,
            What::TaskDir(pid) => {
                let tid = number(name).ok_or(Errno::ENOENT)?;
                if !self.shared.info()?.threads(pid).contains(&tid) {
                    return Err(Errno::ENOENT);
                }
                What::Thread(pid, tid)
            }
            What::FdDir(pid) | What::FdInfoDir(pid) => {
                let fd = number(name).ok_or(Errno::ENOENT)?;
                self.file(pid, fd)?;
                match self.what {
                    What::FdDir(_) => What::FdLink(pid, fd),
                    _ => What::FdInfo(pid, fd),
                }
            }
            _ => return Err(Errno::ENOTDIR),
        };
        Ok(self.child(what))
    }

    fn follow(&self, caller: &Caller) -> Result<Follow, Errno> {
        match self.what {
            What::FdLink(pid, fd) => {
                self.check_look(caller, pid)?;
                Ok(Follow::Place(self.file(pid, fd)?.place().clone()))
            }
            What::Link(pid, name) => {
                self.check_look(caller, pid)?;
                self.link_place(pid, name).map(Follow::Place)
            }
            _ => self.readlink(caller).map(Follow::Path),
        }
    }

    fn readlink(&self, caller: &Caller) -> Result<Vec<u8>, Errno> {
        match self.what {
            What::SelfLink => Ok(caller.pid.to_string().into_bytes()),
            What::ThreadSelf => Ok(format!("{}/task/{}", caller.pid, caller.tid).into_bytes()),
            What::Fixed(target) => Ok(target.as_bytes().to_vec()),
            What::FdLink(pid, fd) => {
                self.check_look(caller, pid)?;
                Ok(self.file(pid, fd)?.place().display_path())
            }
            What::Link(pid, name) => {
                self.check_look(caller, pid)?;
                Ok(self.link_place(pid, name)?.display_path())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, flags: u32, caller: &Caller) -> Result<Box<dyn FileOps>, Errno> {
        crate::lookup::check_open_mode(&*self, flags, caller)?;
        match self.what {
            What::System(entry) if !entry.is_dir() => {
                let shared = self.shared.clone();
                let (make, store) = (entry.make(), entry.store());
                let writer = self.shared.clone();
                Ok(Box::new(TextFile::new(
                    move || make(&shared),
                    store.map(|store| {
                        Box::new(move |bytes: &[u8]| store(&writer, bytes)) as text::Store
                    }),
                )))
            }
            What::File(pid, file) => {
                if file.is_guarded && has_secrets(&self.shared.process(pid)?) {
                    self.check_look(caller, pid)?;
                }
                let (shared, writer) = (self.shared.clone(), self.shared.clone());
                Ok(Box::new(TextFile::new(
                    move || (file.make)(&shared, pid),
                    file.store.map(|store| {
                        Box::new(move |bytes: &[u8]| store(&writer, pid, bytes)) as text::Store
                    }),
                )))
            }
            What::FdInfo(pid, fd) => Ok(Box::new(TextFile::new(
                move || {
                    let file = self.file(pid, fd)?;
                    Ok(process::fdinfo(&file).into_bytes())
                },
                None,
            ))),
            _ if self.kind() == S_IFLNK => Err(Errno::ELOOP),
            _ => {
                let entries = self.list()?.into_iter().map(|(name, what)| {
                    let child = ProcNode {
                        shared: self.shared.clone(),
                        what,
                    };
                    Entry {
                        ino: child.ino(),
                        kind: dirent_kind(child.kind()),
                        name,
                    }
                });
                Ok(Box::new(ListedDir::new(self.ino(), entries.collect())))
            }
        }
    }

    fn access(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        // Its own threads may list a process's descriptors whoever owns the list.
        if let What::FdDir(id) | What::FdInfoDir(id) = self.what
            && self.shared.process(id)?.pid == caller.pid
        {
            return Ok(());
        }
        check_access(&self.stat()?, mode, caller)
    }
}
