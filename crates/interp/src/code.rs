//! Blocks, found and made under a lock and run without one.
//!
//! A retired block is unreachable for whoever looks it up or follows a link,
//! but a hart may still be inside or have it in its cache. Each hart announces
//! the generation it saw when it entered ([`Presence`]) and empties its cache
//! when that has changed since, so a block is freed once no hart is present
//! from before its retirement. The blocks of a [program](crate::program) are
//! never retired.

use crate::exec::branch;
use crate::slot::Slot;
use crate::translate::Draft;
use rivix_mem::AddressSpace;
use rivix_sync::{Kick, Mutex, level};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Translated slots kept per code object before all are dropped: 64 MiB.
const MAX_SLOTS: usize = 4 << 20;

/// Retired slots at which harts are asked to come out so that they can be freed.
const MAX_RETIRED_SLOTS: usize = 1 << 20;

const PAGE_SHIFT: u32 = 12;

/// A hart's announcement: the generation it entered with, or [`OUTSIDE`].
pub(crate) struct Presence {
    pub(crate) since: AtomicU64,
    kick: Arc<Kick>,
}

pub(crate) const OUTSIDE: u64 = u64::MAX;

/// A translated stretch of guest code. Entered at its first slot only.
pub(crate) struct Block {
    pub(crate) pc: u64,
    pub(crate) variant: u8,
    slots: Box<[Slot]>,
    /// For each instruction, in order: its first slot and its pc.
    pcs: Box<[(u32, u64)]>,
    /// The code it was made from, as (address, bytes).
    pub(crate) source: Box<[(u64, Box<[u8]>)]>,
    /// Slot indices of its links, each with its stub.
    links: Box<[(u32, u32)]>,
}

impl Block {
    fn start(&self) -> *const Slot {
        self.slots.as_ptr()
    }

    fn contains(&self, op: *const Slot) -> bool {
        self.slots.as_ptr_range().contains(&op)
    }

    /// Which of its instructions `op` belongs to; `None` for its head.
    fn position(&self, op: *const Slot) -> Option<usize> {
        let index = (op as usize - self.start() as usize) / size_of::<Slot>();
        let after = self
            .pcs
            .partition_point(|&(slot, _)| slot as usize <= index);
        after.checked_sub(1)
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        self.source.iter().any(|(at, bytes)| {
            *at < range.end && range.start < at.saturating_add(bytes.len() as u64)
        })
    }

    fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.source.iter().flat_map(|(at, bytes)| {
            let last = at.saturating_add((bytes.len() as u64).saturating_sub(1));
            (at >> PAGE_SHIFT)..=(last >> PAGE_SHIFT)
        })
    }
}

/// Multiplicative hash: keys are pcs.
#[derive(Default)]
pub(crate) struct PcHasher(u64);

impl Hasher for PcHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<PcHasher>>;

/// A block's place in `Table::blocks`: the address of its first slot.
type Id = usize;

#[derive(Default)]
struct Table {
    blocks: BTreeMap<Id, Arc<Block>>,
    by_pc: Map<(u64, u8), Id>,
    by_page: Map<u64, Vec<Id>>,
    /// For a block, the bound links into it: link and stub, by address.
    incoming: Map<u64, Vec<(usize, usize)>>,
    /// Blocks no longer reachable, with the generation that made them so.
    retired: BTreeMap<Id, (u64, Arc<Block>)>,
    slots: usize,
    retired_slots: usize,
    harts: Vec<Arc<Presence>>,
}

/// Translations, shared by harts and by forked address spaces.
pub(crate) struct Code {
    table: Mutex<level::Code, Table>,
    /// Counts retirements.
    pub(crate) generation: AtomicU64,
    /// Code spaces that use it, or whose harts still do.
    owners: AtomicUsize,
    /// Blocks and their slots, while none is retired.
    count: AtomicUsize,
    slots: AtomicUsize,
}

// SAFETY: I7, slots are shared as atomics once published.
unsafe impl Send for Code {}
// SAFETY: I7.
unsafe impl Sync for Code {}

impl Code {
    pub(crate) fn new() -> Code {
        Code {
            table: Mutex::new(Table::default()),
            generation: AtomicU64::new(0),
            owners: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            slots: AtomicUsize::new(0),
        }
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many slots the blocks have.
    pub(crate) fn slots(&self) -> usize {
        self.slots.load(Ordering::Relaxed)
    }

    pub(crate) fn blocks(&self) -> Vec<Arc<Block>> {
        self.table.lock().blocks.values().cloned().collect()
    }

    pub(crate) fn register(&self, kick: &Arc<Kick>) -> Arc<Presence> {
        let presence = Arc::new(Presence {
            since: AtomicU64::new(OUTSIDE),
            kick: Arc::clone(kick),
        });
        self.table.lock().harts.push(Arc::clone(&presence));
        presence
    }

    pub(crate) fn unregister(&self, presence: &Arc<Presence>) {
        let mut table = self.table.lock();
        table.harts.retain(|p| !Arc::ptr_eq(p, presence));
        table.sweep();
    }

    pub(crate) fn find(&self, pc: u64, variant: u8) -> Option<*const Slot> {
        let table = self.table.lock();
        let id = table.by_pc.get(&(pc, variant))?;
        Some(*id as *const Slot)
    }

    /// Publishes a block made when the generation was `generation`; `None` when
    /// memory changed since, and it must be made again.
    pub(crate) fn publish(
        &self,
        draft: Draft,
        variant: u8,
        generation: u64,
    ) -> Option<*const Slot> {
        let block = draft.finish(variant);
        let mut table = self.table.lock();
        if self.generation.load(Ordering::SeqCst) != generation {
            return None;
        }
        let is_new = !table.by_pc.contains_key(&(block.pc, variant));
        if is_new && table.slots + block.slots.len() > MAX_SLOTS {
            let all: Vec<Id> = table.blocks.keys().copied().collect();
            self.retire(&mut table, &all);
        }
        Some(self.insert(&mut table, block))
    }

    /// As [`Code::publish`], where blocks are never retired; `None` when there
    /// would be more than `limit` slots.
    pub(crate) fn publish_within(
        &self,
        draft: Draft,
        variant: u8,
        limit: usize,
    ) -> Option<*const Slot> {
        let block = draft.finish(variant);
        let mut table = self.table.lock();
        if table.slots + block.slots.len() > limit {
            return None;
        }
        Some(self.insert(&mut table, block))
    }

    /// The block's start, or that of one already there for the same code.
    fn insert(&self, table: &mut Table, block: Block) -> *const Slot {
        if let Some(&id) = table.by_pc.get(&(block.pc, block.variant)) {
            return id as *const Slot;
        }
        let start = block.start();
        let id = start as Id;
        table.slots += block.slots.len();
        table.by_pc.insert((block.pc, block.variant), id);
        for page in block.pages() {
            let ids = table.by_page.entry(page).or_default();
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
        table.blocks.insert(id, Arc::new(block));
        self.count.store(table.blocks.len(), Ordering::Relaxed);
        self.slots.store(table.slots, Ordering::Relaxed);
        start
    }

    /// Points `link` at `target`, both being blocks' slots, unless one is gone or
    /// of other code.
    pub(crate) fn bind(&self, link: *const Slot, stub: *const Slot, target: *const Slot) {
        let mut table = self.table.lock();
        if table.live_block_of(link).is_none() || !table.blocks.contains_key(&(target as Id)) {
            return;
        }
        table
            .incoming
            .entry(target as u64)
            .or_default()
            .push((link as usize, stub as usize));
        // SAFETY: I2, the link is in a block that the table holds.
        unsafe { (*link).bind(target) };
    }

    /// The guest pc of the instruction that `op` belongs to.
    pub(crate) fn pc_of(&self, op: *const Slot) -> Option<u64> {
        let table = self.table.lock();
        let block = table.block_of(op)?;
        let at = block.position(op);
        Some(at.map_or(block.pc, |at| block.pcs[at].1))
    }

    /// Instructions of `op`'s block from `op`'s on.
    pub(crate) fn not_run(&self, op: *const Slot) -> Option<u64> {
        let table = self.table.lock();
        let block = table.block_of(op)?;
        Some((block.pcs.len() - block.position(op).unwrap_or(0)) as u64)
    }

    fn retire(&self, table: &mut Table, ids: &[Id]) {
        if ids.is_empty() {
            return;
        }
        let generation = self.generation.load(Ordering::SeqCst) + 1;
        for &id in ids {
            table.remove(id, generation);
        }
        self.generation.store(generation, Ordering::SeqCst);
        table.sweep();
        if table.retired_slots > MAX_RETIRED_SLOTS {
            for hart in &table.harts {
                hart.kick.kick();
            }
        }
    }

    pub(crate) fn invalidate(&self, range: &Range<u64>) {
        let mut table = self.table.lock();
        let ids = table.in_range(range);
        if ids.is_empty() {
            // A translation under way may have read what changed.
            self.generation.fetch_add(1, Ordering::SeqCst);
        } else {
            self.retire(&mut table, &ids);
        }
    }

    /// Retires every block whose code in `space` is not what it was made from.
    pub(crate) fn refresh(&self, space: &AddressSpace) {
        // Memory is read without the lock: the address space's locks come first.
        let blocks: Vec<(Id, Arc<Block>)> = self
            .table
            .lock()
            .blocks
            .iter()
            .map(|(&id, b)| (id, Arc::clone(b)))
            .collect();
        let mut buffer = Vec::new();
        let changed: Vec<Id> = blocks
            .iter()
            .filter(|(_, block)| {
                block.source.iter().any(|(at, bytes)| {
                    buffer.resize(bytes.len(), 0);
                    space.fetch_code(*at, &mut buffer) < bytes.len() || buffer[..] != bytes[..]
                })
            })
            .map(|&(id, _)| id)
            .collect();
        let mut table = self.table.lock();
        let ids: Vec<Id> = changed
            .into_iter()
            .filter(|id| table.blocks.contains_key(id))
            .collect();
        if ids.is_empty() {
            self.generation.fetch_add(1, Ordering::SeqCst);
        } else {
            self.retire(&mut table, &ids);
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.owners.load(Ordering::SeqCst) > 1
    }
}

/// A code space's share in translations, which its harts hold too: a space that has
/// left them is gone when the last of its harts is. Until then they are no other
/// space's alone.
pub(crate) struct Owned(Arc<Code>);

impl Owned {
    /// Empty translations, with one owner.
    pub(crate) fn new() -> Arc<Owned> {
        Owned::of(&Arc::new(Code::new()))
    }

    fn of(code: &Arc<Code>) -> Arc<Owned> {
        code.owners.fetch_add(1, Ordering::SeqCst);
        Arc::new(Owned(Arc::clone(code)))
    }

    /// The share of another code space.
    pub(crate) fn share(&self) -> Arc<Owned> {
        Owned::of(&self.0)
    }
}

impl Deref for Owned {
    type Target = Code;
    fn deref(&self) -> &Code {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.owners.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Table {
    fn live_block_of(&self, op: *const Slot) -> Option<&Arc<Block>> {
        let (_, block) = self.blocks.range(..=op as Id).next_back()?;
        block.contains(op).then_some(block)
    }

    /// The block that `op` is in, live or retired.
    fn block_of(&self, op: *const Slot) -> Option<&Arc<Block>> {
        self.live_block_of(op).or_else(|| {
            let (_, (_, block)) = self.retired.range(..=op as Id).next_back()?;
            block.contains(op).then_some(block)
        })
    }

    fn in_range(&self, range: &Range<u64>) -> Vec<Id> {
        let first = range.start >> PAGE_SHIFT;
        let last = range.end.saturating_sub(1) >> PAGE_SHIFT;
        let mut ids: Vec<Id> = if last.saturating_sub(first) < self.by_page.len() as u64 {
            (first..=last)
                .filter_map(|page| self.by_page.get(&page))
                .flatten()
                .copied()
                .collect()
        } else {
            self.by_page
                .iter()
                .filter(|(page, _)| (first..=last).contains(page))
                .flat_map(|(_, ids)| ids)
                .copied()
                .collect()
        };
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.blocks.get(id).is_some_and(|b| b.overlaps(range)));
        ids
    }

    /// Makes a block unreachable.
    fn remove(&mut self, id: Id, generation: u64) {
        let Some(block) = self.blocks.remove(&id) else {
            return;
        };
        self.by_pc.remove(&(block.pc, block.variant));
        for page in block.pages() {
            if let Some(ids) = self.by_page.get_mut(&page) {
                ids.retain(|&i| i != id);
                if ids.is_empty() {
                    self.by_page.remove(&page);
                }
            }
        }
        // Links into it go back to their stubs.
        for (link, stub) in self.incoming.remove(&(id as u64)).unwrap_or_default() {
            // SAFETY: I2, a recorded link is in a block that the table holds.
            unsafe { (*(link as *const Slot)).bind(stub as *const Slot) };
        }
        // Its own links are forgotten by their targets.
        for &(link, _) in &block.links {
            let link = &block.slots[link as usize];
            let at = std::ptr::from_ref(link) as usize;
            if let Some(sites) = self.incoming.get_mut(&(link.target() as u64)) {
                sites.retain(|&(l, _)| l != at);
            }
        }
        // A hart that has it in its cache comes here.
        block.slots[0].set_handler(branch::stale);
        self.slots -= block.slots.len();
        self.retired_slots += block.slots.len();
        self.retired.insert(id, (generation, block));
    }

    /// Frees what no hart can be in.
    fn sweep(&mut self) {
        let oldest = self
            .harts
            .iter()
            .map(|h| h.since.load(Ordering::SeqCst))
            .min()
            .unwrap_or(OUTSIDE);
        let retired_slots = &mut self.retired_slots;
        self.retired.retain(|_, (generation, block)| {
            let keep = oldest < *generation;
            if !keep {
                *retired_slots -= block.slots.len();
            }
            keep
        });
    }
}

impl Draft {
    /// Lays out the block: stubs go behind the slots, links get their stubs.
    fn finish(mut self, variant: u8) -> Block {
        let links: Box<[(u32, u32)]> = self
            .links
            .iter()
            .map(|&link| {
                let stub = self.slots.len() as u32;
                self.slots.push(Slot::new(
                    branch::unbound,
                    crate::slot::Args {
                        imm: (stub - link) as i32,
                        ..Default::default()
                    },
                ));
                (link, stub)
            })
            .collect();
        let slots = self.slots.into_boxed_slice();
        for &(link, stub) in &links {
            slots[link as usize].bind(&raw const slots[stub as usize]);
        }
        Block {
            pc: self.pc,
            variant,
            slots,
            pcs: self.pcs.into_boxed_slice(),
            source: self.source.into_boxed_slice(),
            links,
        }
    }
}
