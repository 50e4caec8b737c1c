//! Memory that address spaces share since a fork, until it is touched: random
//! operations on a family of them, against a model that copies everything.

use rivix_abi::mman::{advice, mremap};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserRef};
use rivix_mem::{
    AddressSpace, Backing, Budget, FaultCause, MapFlags, MapRequest, MemAccess, MemConfig, Prot,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const RW: Prot = Prot::READ.union(Prot::WRITE);
const BASE: u64 = 0x1000_0000;
/// More than a fork copies at once, in pieces of any size.
const PAGES: u64 = 1500;

fn addr(page: u64) -> UserAddress {
    UserAddress(BASE + page * PAGE_SIZE)
}

fn map(space: &AddressSpace, page: u64, pages: u64, prot: Prot) {
    let request = MapRequest {
        addr: addr(page),
        len: pages * PAGE_SIZE,
        prot,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED,
        backing: Backing::Anonymous,
        name: None,
    };
    space.map(request).unwrap();
}

fn space() -> Arc<AddressSpace> {
    AddressSpace::new(&MemConfig::default()).unwrap()
}

/// Where a page's word lies differs, so that all of a page counts.
fn word(page: u64) -> UserRef<u64> {
    UserRef::new(UserAddress(BASE + page * PAGE_SIZE + page % 512 * 8))
}

fn filled() -> Arc<AddressSpace> {
    let space = space();
    map(&space, 0, PAGES, RW);
    for page in 0..PAGES {
        space.write(word(page), &(page + 1)).unwrap();
    }
    space
}

fn assert_filled(space: &AddressSpace) {
    for page in 0..PAGES {
        assert_eq!(space.read(word(page)), Ok(page + 1), "page {page}");
    }
}

#[derive(Clone)]
struct Process {
    space: Arc<AddressSpace>,
    /// Protection and word of each page that is mapped.
    model: Vec<Option<(Prot, u64)>>,
}

impl Process {
    fn check(&self, page: u64, what: &str) {
        let expect = self.model[page as usize]
            .filter(|(prot, _)| prot.contains(Prot::READ))
            .map_or(Err(Errno::EFAULT), |(_, value)| Ok(value));
        assert_eq!(self.space.read(word(page)), expect, "{what}, page {page}");
    }
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

fn family_agrees_with_a_model(seed: u64) {
    let budget = Arc::new(Budget::default());
    let space = AddressSpace::new(&MemConfig {
        budget: budget.clone(),
        ..MemConfig::default()
    })
    .unwrap();
    let mut random = Random(seed);
    let mut family = vec![Process {
        space,
        model: vec![None; PAGES as usize],
    }];
    for round in 0..400u64 {
        let who = random.below(family.len() as u64) as usize;
        let at = random.below(PAGES);
        let most = [4, 40, 400, PAGES][random.below(4) as usize];
        let pages = 1 + random.below(most);
        let pages = pages.min(PAGES - at);
        let span = at as usize..(at + pages) as usize;
        let len = pages * PAGE_SIZE;
        let what = random.below(16);
        let name = format!("seed {seed}, round {round}, operation {what} on {at}+{pages}");
        if what >= 13 {
            if family.len() < 6 && what != 15 {
                let child = Process {
                    space: family[who].space.fork().unwrap(),
                    model: family[who].model.clone(),
                };
                family.push(child);
            } else if family.len() > 1 {
                family.swap_remove(who);
            }
            continue;
        }
        let Process { space, model } = &mut family[who];
        match what {
            0 | 1 => {
                let prot = [RW, RW, RW, Prot::READ][random.below(4) as usize];
                map(space, at, pages, prot);
                model[span.clone()].fill(Some((prot, 0)));
            }
            2 => {
                space.unmap(addr(at), len).unwrap();
                model[span.clone()].fill(None);
            }
            3 => {
                let prot = [RW, RW, Prot::READ, Prot::empty()][random.below(4) as usize];
                let result = space.protect(addr(at), len, prot);
                let part = &mut model[span.clone()];
                let covered = part.iter().take_while(|page| page.is_some()).count();
                assert_eq!(result.is_ok(), covered == part.len(), "{name}");
                for page in part[..covered].iter_mut().flatten() {
                    page.0 = prot;
                }
            }
            4..=8 => {
                let stride = 1 + random.below(9) as usize;
                for page in span.clone().step_by(stride) {
                    let may = model[page].is_some_and(|(prot, _)| prot.contains(Prot::WRITE));
                    let value = round << 32 | page as u64;
                    let wrote = space.write(word(page as u64), &value);
                    assert_eq!(wrote.is_ok(), may, "{name}, page {page}");
                    if let (true, Some(known)) = (may, &mut model[page]) {
                        known.1 = value;
                    }
                }
            }
            9 => {
                let to = random.below(PAGES - pages + 1);
                let apart = at + pages <= to || to + pages <= at;
                let flags = mremap::MAYMOVE | mremap::FIXED;
                let moved = space.remap(addr(at), len, len, flags, addr(to));
                let starts = model[at as usize].is_some();
                assert_eq!(moved.is_ok(), apart && starts, "{name}: {moved:?}");
                if moved.is_ok() {
                    // A page's word moves with it, but is looked for elsewhere.
                    for index in 0..pages {
                        let Some(page) = model[(at + index) as usize].take() else {
                            continue;
                        };
                        space.protect(addr(to + index), PAGE_SIZE, RW).unwrap();
                        space.write(word(to + index), &page.1).unwrap();
                        space.protect(addr(to + index), PAGE_SIZE, page.0).unwrap();
                        model[(to + index) as usize] = Some(page);
                    }
                }
            }
            10 => {
                let _ = space.advise(addr(at), len, advice::DONTNEED);
                for page in model[span.clone()].iter_mut().flatten() {
                    page.1 = 0;
                }
            }
            11 => {
                let _ = space.advise(addr(at), len, advice::POPULATE_READ);
            }
            _ => {
                let resident = space.resident_bytes();
                assert!(resident <= PAGES * PAGE_SIZE, "{name}: {resident}");
                let nonzero = model.iter().flatten().filter(|(_, value)| *value != 0);
                assert!(resident >= nonzero.count() as u64 * PAGE_SIZE, "{name}");
            }
        }
        for page in [at, at + pages - 1, random.below(PAGES), random.below(PAGES)] {
            family[who].check(page, &name);
        }
        if round % 50 == 49 {
            for process in &family {
                (0..PAGES).for_each(|page| process.check(page, &name));
            }
        }
    }
    for process in &family {
        (0..PAGES).for_each(|page| process.check(page, "at the end"));
    }
    drop(family);
    assert_eq!(budget.mappings(), 0, "all is given back");
}

#[test]
fn families_agree_with_a_model() {
    (1..=5).for_each(family_agrees_with_a_model);
}

#[test]
fn who_is_left_alone_takes_all_back() {
    let parent = filled();
    for round in 0..3 {
        let child = parent.fork().unwrap();
        for page in (0..PAGES).step_by(3) {
            child.write(word(page), &0).unwrap();
        }
        parent.write(word(7), &(700 + round)).unwrap();
        drop(child);
        assert_eq!(parent.read(word(7)), Ok(700 + round));
        parent.write(word(7), &8).unwrap();
        assert_filled(&parent);
    }
    let child = parent.fork().unwrap();
    parent.write(word(9), &0).unwrap();
    drop(parent);
    assert_filled(&child);
    child.write(word(9), &10).unwrap();
    let grandchild = child.fork().unwrap();
    drop(child);
    assert_filled(&grandchild);
}

#[test]
fn a_mapping_is_one_again_when_the_child_is_gone() {
    let parent = filled();
    let child = parent.fork().unwrap();
    let hole = 300..700u64;
    let len = (hole.end - hole.start) * PAGE_SIZE;
    parent
        .advise(addr(hole.start), len, advice::DONTNEED)
        .unwrap();
    for page in [310, 650] {
        parent.write(word(page), &page).unwrap();
    }
    parent
        .protect(addr(900), 100 * PAGE_SIZE, Prot::READ)
        .unwrap();
    parent.write(word(20), &2).unwrap();
    drop(child);
    let expect = |page: u64| match page {
        20 => 2,
        310 | 650 => page,
        _ if hole.contains(&page) => 0,
        _ => page + 1,
    };
    for page in (0..PAGES).rev() {
        assert_eq!(parent.read(word(page)), Ok(expect(page)), "page {page}");
    }
    assert_eq!(parent.mappings().len(), 3);
    parent.protect(addr(900), 100 * PAGE_SIZE, RW).unwrap();
    assert_eq!(parent.mappings().len(), 1);
    // As one mapping it grows, in place and by moving.
    let (all, more) = (PAGES * PAGE_SIZE, (PAGES + 10) * PAGE_SIZE);
    let to = parent.remap(addr(0), all, more, 0, UserAddress::NULL);
    assert_eq!(to, Ok(addr(0)));
    assert_eq!(parent.mappings().len(), 1);
    let flags = mremap::MAYMOVE | mremap::FIXED;
    let to = parent.remap(addr(0), more, more, flags, addr(5000));
    assert_eq!(to, Ok(addr(5000)));
    parent
        .remap(addr(5000), more, more, flags, addr(0))
        .unwrap();
    for page in 0..PAGES {
        assert_eq!(parent.read(word(page)), Ok(expect(page)), "page {page}");
    }
}

#[test]
fn faults_on_shared_pages_can_be_retried() {
    let parent = filled();
    let child = parent.fork().unwrap();
    for space in [&parent, &child] {
        for access in [MemAccess::Read, MemAccess::Write] {
            for bus in [true, false] {
                let cause = space.fault_cause(addr(40).0 + 5, access, bus);
                assert_eq!(cause, FaultCause::Retry);
            }
        }
        let cause = space.fault_cause(addr(41).0, MemAccess::Exec, true);
        assert_eq!(cause, FaultCause::AccErr);
        assert_filled(space);
    }
    // A fault seen before another thread took the layer back, looked into after.
    drop(child);
    assert_filled(&parent);
    let cause = parent.fault_cause(addr(40).0, MemAccess::Write, true);
    assert_eq!(cause, FaultCause::Retry);
}

#[test]
fn a_long_copy_crosses_pages_that_are_missing() {
    let parent = filled();
    let child = parent.fork().unwrap();
    let mut bytes = vec![0; (PAGES * PAGE_SIZE) as usize];
    child.read_bytes(addr(0), &mut bytes).unwrap();
    child.write_bytes(addr(0), &vec![7; bytes.len()]).unwrap();
    assert_eq!(child.read(word(PAGES - 1)), Ok(0x0707_0707_0707_0707));
    drop(child);
    let mut again = vec![1; bytes.len()];
    parent.read_bytes(addr(0), &mut again).unwrap();
    assert!(bytes == again);
    // The last byte that can be read is the last of the mapping.
    let child = parent.fork().unwrap();
    let end = UserAddress(addr(PAGES).0 - 10);
    assert_eq!(child.read_partial(end, &mut bytes[..100]), 10);
    assert_eq!(child.write_partial(end, &again[..100]), 10);
}

#[test]
fn words_are_updated_atomically_where_pages_are_missing() {
    let parent = filled();
    let child = parent.fork().unwrap();
    let at = UserAddress(addr(99).0 + 99 * 8);
    std::thread::scope(|scope| {
        for space in [&parent, &child] {
            for _ in 0..3 {
                scope.spawn(move || {
                    let _guard = rivix_mem::fault::ThreadGuard::enter();
                    for _ in 0..1000 {
                        space.fetch_update_u32(at, |word| word + 1).unwrap();
                    }
                });
            }
        }
    });
    for space in [&parent, &child] {
        assert_eq!(space.load_u32(at), Ok(3100));
    }
}

/// Nobody loses what he wrote, and no copy shows what nobody wrote.
#[test]
fn threads_write_while_the_space_is_forked_and_taken_back() {
    let parent = filled();
    let (low, high) = (word(3), word(PAGES - 3));
    parent.write(low, &0).unwrap();
    parent.write(high, &0).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let _guard = rivix_mem::fault::ThreadGuard::enter();
            let mut count = 0u64;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                parent.write(low, &count).unwrap();
                parent.write(high, &count).unwrap();
                assert_eq!(parent.read(low), Ok(count));
                assert_eq!(parent.read(high), Ok(count));
                let other = 10 + count % (PAGES - 20);
                assert_eq!(parent.read(word(other)), Ok(other + 1));
            }
        });
        for _ in 0..200 {
            let child = parent.fork().unwrap();
            let seen = (child.read(low).unwrap(), child.read(high).unwrap());
            assert!(seen.0.abs_diff(seen.1) < 1 << 32, "{seen:?}");
            assert_eq!(child.read(word(500)), Ok(501));
            assert_eq!(
                (child.read(low), child.read(high)),
                (Ok(seen.0), Ok(seen.1))
            );
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn many_forks_deep_and_wide() {
    let mut spaces = vec![filled()];
    // Each writes more than is copied at once, so that layers lie on layers.
    for depth in 0..20u64 {
        let last = spaces.last().unwrap();
        for page in (depth % 5..PAGES).step_by(5) {
            last.write(word(page), &(depth * 10_000 + page)).unwrap();
        }
        let next = last.fork().unwrap();
        spaces.push(next);
    }
    let value = |depth: u64, page: u64| {
        (0..=depth)
            .rev()
            .find(|d| d % 5 == page % 5)
            .map_or(page + 1, |d| d * 10_000 + page)
    };
    for (depth, space) in spaces.iter().enumerate() {
        // A child wrote nothing yet when the next was made of it but what its depth says.
        let depth = depth.min(19) as u64;
        for page in (0..PAGES).step_by(7) {
            assert_eq!(space.read(word(page)), Ok(value(depth, page)), "{depth}");
        }
    }
    // Every second goes; the others still have all they had.
    let mut index = 0;
    spaces.retain(|_| {
        index += 1;
        index % 2 == 0
    });
    for (position, space) in spaces.iter().enumerate() {
        let depth = (position * 2 + 1).min(19) as u64;
        for page in 0..PAGES {
            assert_eq!(space.read(word(page)), Ok(value(depth, page)), "{depth}");
        }
    }
}

#[test]
fn what_is_shared_counts_as_resident() {
    let parent = filled();
    let child = parent.fork().unwrap();
    let all = PAGES * PAGE_SIZE;
    for space in [&parent, &child] {
        assert_eq!(space.resident_bytes(), all);
        for page in (0..PAGES).step_by(2) {
            space.write(word(page), &5).unwrap();
        }
        assert_eq!(space.resident_bytes(), all);
        let mut there = 0;
        let mut count = |bytes: &[u8]| {
            there += bytes.iter().filter(|&&byte| byte & 1 != 0).count();
            Ok(())
        };
        space.resident(addr(0), all, &mut count).unwrap();
        assert_eq!(there, PAGES as usize);
    }
    child.unmap(addr(0), 100 * PAGE_SIZE).unwrap();
    assert_eq!(child.resident_bytes(), all - 100 * PAGE_SIZE);
    child
        .advise(addr(100), 100 * PAGE_SIZE, advice::DONTNEED)
        .unwrap();
    assert_eq!(child.resident_bytes(), all - 200 * PAGE_SIZE);
}
