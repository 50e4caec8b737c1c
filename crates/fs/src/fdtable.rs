//! Descriptor tables: small numbers to open files.

use crate::File;
use rivix_abi::Errno;
use rivix_sync::{Mutex, level};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// No table grows beyond this (fs.nr_open's default).
pub const NR_OPEN: u64 = 1 << 20;

#[derive(Clone)]
enum Slot {
    Free,
    /// Promised to a call in progress; other calls see EBADF.
    Reserved,
    Open {
        file: Arc<File>,
        cloexec: bool,
    },
}

#[derive(Default)]
struct Slots {
    list: Vec<Slot>,
    /// No slot below this is free.
    first_free: usize,
}

impl Slots {
    fn take_lowest(&mut self, min: usize, limit: usize) -> Result<usize, Errno> {
        let from = min.max(self.first_free);
        let at = (from..self.list.len())
            .find(|&at| matches!(self.list[at], Slot::Free))
            .unwrap_or(self.list.len().max(from));
        if at >= limit {
            return Err(Errno::EMFILE);
        }
        self.grow_to(at);
        if min <= self.first_free {
            self.first_free = at + 1;
        }
        Ok(at)
    }

    fn grow_to(&mut self, at: usize) {
        if self.list.len() <= at {
            self.list.resize(at + 1, Slot::Free);
        }
    }

    fn free(&mut self, at: usize) -> Option<Arc<File>> {
        match std::mem::replace(self.list.get_mut(at)?, Slot::Free) {
            Slot::Open { file, .. } => {
                self.first_free = self.first_free.min(at);
                Some(file)
            }
            other => {
                self.list[at] = other;
                None
            }
        }
    }
}

/// One process's descriptors, shared by tasks cloned with CLONE_FILES.
pub struct FdTable {
    slots: Mutex<level::FdTable, Slots>,
    id: u64,
}

impl FdTable {
    pub fn new() -> Arc<FdTable> {
        Self::with(Slots::default())
    }

    fn with(slots: Slots) -> Arc<FdTable> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(FdTable {
            slots: Mutex::new(slots),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Names this table as the owner of POSIX record locks.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A copy for a child that does not share it.
    pub fn fork(&self) -> Arc<FdTable> {
        let slots = self.slots.lock();
        let list = slots
            .list
            .iter()
            .map(|slot| match slot {
                Slot::Reserved => Slot::Free,
                other => other.clone(),
            })
            .collect();
        Self::with(Slots {
            list,
            first_free: 0,
        })
    }

    pub fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        self.get_with_flag(fd).map(|(file, _)| file)
    }

    /// The file and its close-on-exec flag.
    pub fn get_with_flag(&self, fd: i32) -> Result<(Arc<File>, bool), Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.lock().list.get(at) {
            Some(Slot::Open { file, cloexec }) => Ok((file.clone(), *cloexec)),
            _ => Err(Errno::EBADF),
        }
    }

    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<(), Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.lock().list.get_mut(at) {
            Some(Slot::Open { cloexec, .. }) => {
                *cloexec = on;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Promises the lowest free number below `limit` (RLIMIT_NOFILE). Dropping the
    /// reservation without publishing leaves no trace.
    pub fn reserve_number(
        self: &Arc<Self>,
        cloexec: bool,
        limit: u64,
    ) -> Result<Reservation, Errno> {
        let mut slots = self.slots.lock();
        let at = slots.take_lowest(0, limit.min(NR_OPEN) as usize)?;
        slots.list[at] = Slot::Reserved;
        drop(slots);
        Ok(Reservation {
            table: self.clone(),
            at,
            cloexec,
            file: None,
            is_published: false,
        })
    }

    /// As `reserve_number`, for a file that exists already.
    pub fn reserve(
        self: &Arc<Self>,
        file: Arc<File>,
        cloexec: bool,
        limit: u64,
    ) -> Result<Reservation, Errno> {
        let mut reservation = self.reserve_number(cloexec, limit)?;
        reservation.file = Some(file);
        Ok(reservation)
    }

    /// Puts `file` at the lowest free number in `min..limit`.
    pub fn insert_lowest(
        &self,
        file: Arc<File>,
        cloexec: bool,
        min: u64,
        limit: u64,
    ) -> Result<i32, Errno> {
        let limit = limit.min(NR_OPEN);
        if min >= limit {
            // F_DUPFD with an argument above the limit (fcntl(2)).
            return Err(if min == 0 {
                Errno::EMFILE
            } else {
                Errno::EINVAL
            });
        }
        let mut slots = self.slots.lock();
        let at = slots.take_lowest(min as usize, limit as usize)?;
        slots.list[at] = Slot::Open { file, cloexec };
        Ok(at as i32)
    }

    /// dup3's target: replaces what is at `fd` and returns it.
    pub fn dup_to(
        &self,
        file: Arc<File>,
        fd: i32,
        cloexec: bool,
        limit: u64,
    ) -> Result<Option<Arc<File>>, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if at as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EBADF);
        }
        let mut slots = self.slots.lock();
        slots.grow_to(at);
        if matches!(slots.list[at], Slot::Reserved) {
            // Another thread's open is about to land here (dup(2), EBUSY).
            return Err(Errno::EBUSY);
        }
        let old = slots.free(at);
        slots.list[at] = Slot::Open { file, cloexec };
        Ok(old)
    }

    /// Frees `fd`. The file closes when the last holder drops it.
    pub fn close(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let closed = self.slots.lock().free(at).ok_or(Errno::EBADF)?;
        crate::locks::closed(&closed, self.id);
        Ok(closed)
    }

    /// close_range(2): closes, or marks close-on-exec, all of `first..=last`.
    pub fn close_range(&self, first: u32, last: u32, mark_cloexec: bool) {
        let mut dropped = Vec::new();
        {
            let mut slots = self.slots.lock();
            let end = (last as usize).saturating_add(1).min(slots.list.len());
            for at in first as usize..end {
                if mark_cloexec {
                    if let Slot::Open { cloexec, .. } = &mut slots.list[at] {
                        *cloexec = true;
                    }
                } else {
                    dropped.extend(slots.free(at));
                }
            }
        }
        self.forget(dropped);
    }

    /// execve(2): closes what is marked.
    pub fn close_on_exec(&self) {
        let mut dropped = Vec::new();
        {
            let mut slots = self.slots.lock();
            for at in 0..slots.list.len() {
                if matches!(slots.list[at], Slot::Open { cloexec: true, .. }) {
                    dropped.extend(slots.free(at));
                }
            }
        }
        self.forget(dropped);
    }

    /// Process exit.
    pub fn close_all(&self) {
        self.close_range(0, u32::MAX, false);
    }

    /// Files drop without the table's lock: a drop may notify.
    fn forget(&self, dropped: Vec<Arc<File>>) {
        for file in dropped {
            crate::locks::closed(&file, self.id);
        }
    }

    /// Open descriptors.
    pub fn count(&self) -> usize {
        self.fds().len()
    }

    /// Open numbers in ascending order.
    pub fn fds(&self) -> Vec<i32> {
        let slots = self.slots.lock();
        let open = slots
            .list
            .iter()
            .enumerate()
            .filter(|(_, s)| matches!(s, Slot::Open { .. }));
        open.map(|(at, _)| at as i32).collect()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        let list = std::mem::take(&mut self.slots.get_mut().list);
        for slot in list {
            if let Slot::Open { file, .. } = slot {
                crate::locks::closed(&file, self.id);
            }
        }
    }
}

/// A number promised to a file which is not visible yet.
#[must_use = "a reservation that is dropped frees its number"]
pub struct Reservation {
    table: Arc<FdTable>,
    at: usize,
    cloexec: bool,
    file: Option<Arc<File>>,
    is_published: bool,
}

impl Reservation {
    pub fn fd(&self) -> i32 {
        self.at as i32
    }

    /// Makes the descriptor of `reserve`'s file visible.
    pub fn publish(mut self) -> i32 {
        if let Some(file) = self.file.take() {
            return self.publish_file(file);
        }
        self.at as i32
    }

    /// Makes the descriptor visible as `file`.
    pub fn publish_file(mut self, file: Arc<File>) -> i32 {
        self.is_published = true;
        let open = Slot::Open {
            file,
            cloexec: self.cloexec,
        };
        self.table.slots.lock().list[self.at] = open;
        self.at as i32
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_published {
            let mut slots = self.table.slots.lock();
            slots.list[self.at] = Slot::Free;
            slots.first_free = slots.first_free.min(self.at);
        }
    }
}
