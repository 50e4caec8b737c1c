//! Futexes (futex(2)): what the protocol of [`rivix_sync::futex`] does for tasks,
//! with words in guest memory, deadlines and signals.

mod pi;
mod robust;
mod wait;
mod wake_op;

pub use wake_op::WakeOp;

use crate::current::CurrentTask;
use crate::error::SysResult;
use rivix_abi::{Errno, UserAddress};
use rivix_mem::{AddressSpace, FutexKey, MemAccess};
use rivix_sync::Kick;
use rivix_sync::futex::{Fault, Owner, Refused, Waiter, Word};
use std::sync::Arc;

pub(crate) type Futexes = rivix_sync::futex::Futexes<FutexKey>;

/// How many queues of a sandbox can change at one time.
const BUCKETS: usize = 256;

/// Every bit: FUTEX_BITSET_MATCH_ANY.
pub const ANY: u32 = u32::MAX;

/// Where a futex is, and who may meet there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub addr: UserAddress,
    /// Not FUTEX_PRIVATE_FLAG.
    pub is_shared: bool,
    /// FUTEX2_NUMA: a second word names the node.
    pub has_node: bool,
}

impl At {
    pub fn new(addr: UserAddress, is_shared: bool) -> At {
        At {
            addr,
            is_shared,
            has_node: false,
        }
    }

    pub fn shared(addr: UserAddress) -> At {
        At::new(addr, true)
    }
}

pub(crate) fn new_table() -> Futexes {
    Futexes::new(BUCKETS)
}

/// A new task's place in queues.
pub(crate) fn new_waiter(kick: &Arc<Kick>, tid: i32, priority: u32) -> Arc<Waiter> {
    let owner = Arc::new(Owner::new(tid.cast_unsigned(), priority));
    Arc::new(Waiter::new(kick.clone(), owner))
}

pub(super) struct GuestWord<'a> {
    space: &'a AddressSpace,
    addr: UserAddress,
}

impl Word for GuestWord<'_> {
    fn load(&self) -> Result<u32, Fault> {
        self.space.load_u32(self.addr).map_err(|_| Fault)
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Fault> {
        self.space
            .compare_exchange_u32(self.addr, old, new)
            .map_err(|_| Fault)
    }
}

fn errno_of(refused: Refused) -> Errno {
    match refused {
        Refused::Again => Errno::EAGAIN,
        Refused::Fault => Errno::EFAULT,
        Refused::Invalid => Errno::EINVAL,
        Refused::Deadlock => Errno::EDEADLK,
        Refused::NoOwner => Errno::ESRCH,
        Refused::NotOwner => Errno::EPERM,
    }
}

impl CurrentTask {
    /// EINVAL when not aligned or the node does not exist, EFAULT when the memory
    /// is not there for `access`; private futexes are not looked at.
    pub(super) fn futex_key(&self, at: At, access: MemAccess) -> Result<FutexKey, Errno> {
        if !at.has_node {
            return self.mm().futex_key(at.addr, at.is_shared, access);
        }
        /// FUTEX_NO_NODE: the kernel chooses, and says so in the word.
        const NO_NODE: u32 = u32::MAX;
        if !at.addr.0.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let node_at = at.addr.offset(4)?;
        // There is one node, and its number is 0.
        match self.mm().load_u32(node_at)? {
            0 => {}
            NO_NODE => {
                self.mm().fetch_update_u32(node_at, |_| 0)?;
            }
            _ => return Err(Errno::EINVAL),
        }
        let key = self.mm().futex_key(at.addr, at.is_shared, access)?;
        Ok(match key {
            FutexKey::Private { space, addr } => FutexKey::OnNode { space, addr },
            shared => shared,
        })
    }

    /// FUTEX_WAKE(_BITSET): how many woke, at least one if there is one.
    pub fn futex_wake(&self, at: At, count: usize, bitset: u32) -> Result<usize, Errno> {
        let key = self.futex_key(at, MemAccess::Read)?;
        let futexes = &self.kernel().futexes;
        futexes.wake(key, count, bitset).map_err(errno_of)
    }

    /// What a wake of nobody would answer: the futex2 calls take 0 at its word.
    pub fn futex_wake_none(&self, at: At) -> Result<usize, Errno> {
        self.futex_key(at, MemAccess::Read).map(|_| 0)
    }

    /// FUTEX_(CMP_)REQUEUE: wakes `wake`, moves up to `moved`; the sum of both.
    pub fn futex_requeue(
        &self,
        from: At,
        to: At,
        wake: usize,
        moved: usize,
        compare: Option<u32>,
    ) -> SysResult<usize> {
        let one = self.futex_key(from, MemAccess::Read)?;
        let two = self.futex_key(to, MemAccess::Read)?;
        let word = self.word(from);
        let compare = compare.map(|value| (&word as &dyn Word, value));
        let futexes = &self.kernel().futexes;
        Ok(futexes
            .requeue(one, two, wake, moved, compare)
            .map_err(errno_of)?)
    }

    /// FUTEX_WAKE_OP; `op` is the raw operation, ENOSYS if it does not exist.
    pub fn futex_wake_op(
        &self,
        first: At,
        second: UserAddress,
        wake_first: usize,
        wake_second: usize,
        op: u32,
    ) -> SysResult<usize> {
        let second = At {
            addr: second,
            ..first
        };
        let one = self.futex_key(first, MemAccess::Read)?;
        let two = self.futex_key(second, MemAccess::Write)?;
        let op = WakeOp::decode(op)?;
        let mut failed = None;
        let futexes = &self.kernel().futexes;
        let result = futexes.wake_two((one, wake_first), (two, wake_second), || {
            let changed = self
                .mm()
                .fetch_update_u32(second.addr, |old| op.apply(old))
                .and_then(|old| op.compare(old));
            changed.map_err(|errno| {
                failed = Some(errno);
                Refused::Again
            })
        });
        result.map_err(|refused| failed.unwrap_or(errno_of(refused)).into())
    }
}
