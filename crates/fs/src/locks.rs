//! Advisory locks: flock(2), and record locks of processes and of open files
//! (fcntl(2)). One table for the host process, so that two sandboxes that share a
//! file exclude each other as two processes would.

use crate::File;
use rivix_abi::Errno;
use rivix_abi::fcntl::{F_RDLCK, F_UNLCK, F_WRLCK};
use rivix_sync::{StaticMutex, WaitQueue, level};
use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Who holds a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process: its descriptor table, and the pid F_GETLK reports.
    Process { table: u64, pid: i32 },
    /// An open file description; F_GETLK reports -1.
    File(u64),
}

impl Owner {
    fn is(self, other: Owner) -> bool {
        match (self, other) {
            (Owner::Process { table: a, .. }, Owner::Process { table: b, .. }) => a == b,
            (Owner::File(a), Owner::File(b)) => a == b,
            _ => false,
        }
    }
}

/// A record lock on `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: Owner,
    pub exclusive: bool,
    pub start: u64,
    /// u64::MAX: to the end of the file however long it grows.
    pub end: u64,
}

#[derive(Default)]
struct Inode {
    records: Vec<Record>,
    /// flock holders: file id, exclusive.
    whole: Vec<(u64, bool)>,
}

type Table = HashMap<(u64, u64), Inode>;

static TABLE: LazyLock<StaticMutex<level::FileObject, Table>> =
    LazyLock::new(|| StaticMutex::new(Table::new()));
/// Locked inodes; zero lets close skip the table.
static LOCKED: AtomicUsize = AtomicUsize::new(0);
static FREED: LazyLock<WaitQueue> = LazyLock::new(WaitQueue::new);

/// Which process waits for which, in F_SETLKW.
static WAITING: StaticMutex<level::FileObject, Vec<(Owner, Owner)>> = StaticMutex::new(Vec::new());

/// Told whenever a lock anywhere went away.
pub fn queue() -> &'static WaitQueue {
    &FREED
}

fn inode_of(file: &File) -> Result<(u64, u64), Errno> {
    let stat = file.stat()?;
    Ok((stat.dev, stat.ino))
}

fn with<R>(id: (u64, u64), change: impl FnOnce(&mut Inode) -> R) -> R {
    let mut table = TABLE.lock();
    let inode = table.entry(id).or_default();
    let result = change(inode);
    if inode.records.is_empty() && inode.whole.is_empty() {
        table.remove(&id);
    }
    LOCKED.store(table.len(), Ordering::Release);
    result
}

/// flock(2): `exclusive` None unlocks. EAGAIN: another file holds it.
pub fn flock(file: &File, exclusive: Option<bool>) -> Result<(), Errno> {
    let id = inode_of(file)?;
    file.locked.store(true, Ordering::Relaxed);
    let (freed, result) = with(id, |inode| {
        // A conversion first drops what is held (flock(2)).
        let before = inode.whole.len();
        inode.whole.retain(|&(holder, _)| holder != file.id());
        let freed = inode.whole.len() < before;
        let Some(exclusive) = exclusive else {
            return (freed, Ok(()));
        };
        if inode.whole.iter().any(|&(_, held)| held || exclusive) {
            return (freed, Err(Errno::EAGAIN));
        }
        inode.whole.push((file.id(), exclusive));
        (freed, Ok(()))
    });
    if freed {
        FREED.notify(0);
    }
    result
}

fn overlaps(a: &Record, b: &Record) -> bool {
    a.start < b.end && b.start < a.end
}

/// F_GETLK: the first lock that would be in the way.
pub fn conflicting(file: &File, wanted: &Record) -> Result<Option<Record>, Errno> {
    let id = inode_of(file)?;
    Ok(with(id, |inode| conflict(inode, wanted)))
}

fn conflict(inode: &Inode, wanted: &Record) -> Option<Record> {
    let in_way = |held: &&Record| {
        !held.owner.is(wanted.owner)
            && overlaps(held, wanted)
            && (held.exclusive || wanted.exclusive)
    };
    inode.records.iter().find(in_way).copied()
}

/// F_SETLK: `kind` F_RDLCK, F_WRLCK or F_UNLCK over the record's range. EAGAIN: in the way.
pub fn set(file: &File, wanted: Record, kind: i16) -> Result<(), Errno> {
    debug_assert!(matches!(kind, F_RDLCK | F_WRLCK | F_UNLCK));
    let id = inode_of(file)?;
    file.locked.store(true, Ordering::Relaxed);
    let result = with(id, |inode| {
        if kind != F_UNLCK && conflict(inode, &wanted).is_some() {
            return Err(Errno::EAGAIN);
        }
        cut(&mut inode.records, &wanted);
        if kind != F_UNLCK {
            inode.records.push(wanted);
            merge(&mut inode.records, wanted);
        }
        Ok(())
    });
    if result.is_ok() {
        FREED.notify(0);
    }
    result
}

/// A process about to wait for a record lock, known to the search for deadlocks.
pub struct Waiting(Owner);

impl Waiting {
    pub fn new(owner: Owner) -> Waiting {
        Waiting(owner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.lock().retain(|(waiter, _)| !waiter.is(self.0));
    }
}

/// F_SETLKW: as `set`; EDEADLK when waiting for the holder would never end.
pub fn set_or_wait(file: &File, wanted: Record, kind: i16) -> Result<(), Errno> {
    let result = set(file, wanted, kind);
    if result != Err(Errno::EAGAIN) || matches!(wanted.owner, Owner::File(_)) {
        return result;
    }
    let Some(blocker) = conflicting(file, &wanted)? else {
        return result;
    };
    let mut waiting = WAITING.lock();
    waiting.retain(|(waiter, _)| !waiter.is(wanted.owner));
    // Follow who waits for whom from the holder; processes wait for one at a time.
    let mut at = blocker.owner;
    for _ in 0..=waiting.len() {
        if at.is(wanted.owner) {
            return Err(Errno::EDEADLK);
        }
        match waiting.iter().find(|(waiter, _)| waiter.is(at)) {
            Some(&(_, next)) => at = next,
            None => break,
        }
    }
    waiting.push((wanted.owner, blocker.owner));
    result
}

/// Takes the range out of what its owner holds, splitting where it lies inside.
fn cut(records: &mut Vec<Record>, range: &Record) {
    let mut kept = Vec::with_capacity(records.len() + 1);
    for held in records.drain(..) {
        if !held.owner.is(range.owner) || !overlaps(&held, range) {
            kept.push(held);
            continue;
        }
        if held.start < range.start {
            kept.push(Record {
                end: range.start,
                ..held
            });
        }
        if held.end > range.end {
            kept.push(Record {
                start: range.end,
                ..held
            });
        }
    }
    *records = kept;
}

/// Joins neighbours of the same owner and kind, so that F_GETLK reports one lock.
fn merge(records: &mut Vec<Record>, new: Record) {
    let mut whole = new;
    records.retain(|held| {
        let joins = held.owner.is(whole.owner)
            && held.exclusive == whole.exclusive
            && held.start <= whole.end
            && whole.start <= held.end;
        if joins {
            whole.start = whole.start.min(held.start);
            whole.end = whole.end.max(held.end);
        }
        !joins
    });
    records.push(whole);
    records.sort_by_key(|held| held.start);
}

/// A descriptor of `file` was closed by the process owning `table`: its record
/// locks on that file end, whichever descriptor set them (fcntl(2)).
pub(crate) fn closed(file: &File, table: u64) {
    file.ops().flush();
    if LOCKED.load(Ordering::Acquire) == 0 {
        return;
    }
    let owner = Owner::Process { table, pid: 0 };
    release(file, |inode| {
        inode.records.retain(|held| !held.owner.is(owner))
    });
}

/// The last descriptor of `file` is gone.
pub(crate) fn dropped(file: &File) {
    if !file.locked.load(Ordering::Relaxed) || LOCKED.load(Ordering::Acquire) == 0 {
        return;
    }
    let id = file.id();
    release(file, |inode| {
        inode.records.retain(|held| !held.owner.is(Owner::File(id)));
        inode.whole.retain(|&(holder, _)| holder != id);
    });
}

fn release(file: &File, change: impl FnOnce(&mut Inode)) {
    let Ok(id) = inode_of(file) else { return };
    let freed = with(id, |inode| {
        let before = inode.records.len() + inode.whole.len();
        change(inode);
        inode.records.len() + inode.whole.len() < before
    });
    if freed {
        FREED.notify(0);
    }
}
