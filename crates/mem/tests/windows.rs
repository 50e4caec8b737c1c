//! Windows and budgets as the host sees them. One test in a binary of its own,
//! because it counts the whole process's mappings and lowers its limits.

use rivix_abi::mman::mremap;
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserRef};
use rivix_mem::{AddressSpace, Backing, Budget, MapFlags, MapRequest, MemConfig, Prot};
use std::sync::Arc;

const RW: Prot = Prot::READ.union(Prot::WRITE);
const PAGES: u64 = 64;
const BASE: u64 = 0x10_0000;

/// Host mappings that touch the window.
fn host_mappings(space: &AddressSpace) -> u64 {
    let base = space.host_base() as u64;
    let window = base..base + space.task_size();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split(' ').next().unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            let end = u64::from_str_radix(end, 16).unwrap();
            start < window.end && window.start < end
        })
        .count() as u64
}

fn map(space: &AddressSpace, at: u64, pages: u64, prot: Prot) -> Result<UserAddress, Errno> {
    space.map(MapRequest {
        addr: UserAddress(at),
        len: pages * PAGE_SIZE,
        prot,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED,
        backing: Backing::Anonymous,
        name: None,
    })
}

/// Random operations on a few pages: what is charged is about what the host
/// really has, and a model of the bytes agrees.
fn charges_cover_the_host(seed: u64) {
    let budget = Arc::new(Budget::default());
    let config = MemConfig {
        budget: budget.clone(),
        ..MemConfig::default()
    };
    let mut space = AddressSpace::new(&config).unwrap();
    let mut model = vec![None::<(Prot, u8)>; PAGES as usize];
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for round in 0..1500u32 {
        let at = random(PAGES);
        let pages = 1 + random(6).min(PAGES - at - 1);
        let addr = UserAddress(BASE + at * PAGE_SIZE);
        let len = pages * PAGE_SIZE;
        let prot = [RW, RW, Prot::READ, Prot::empty()][random(4) as usize];
        let span = at as usize..(at + pages) as usize;
        match random(7) {
            0 | 1 => {
                map(&space, addr.0, pages, prot).unwrap();
                model[span].fill(Some((prot, 0)));
            }
            2 => {
                space.unmap(addr, len).unwrap();
                model[span].fill(None);
            }
            3 => {
                let result = space.protect(addr, len, prot);
                let covered = model[span.clone()]
                    .iter()
                    .take_while(|p| p.is_some())
                    .count();
                assert_eq!(result.is_ok(), covered == span.len());
                for page in &mut model[span][..covered] {
                    page.as_mut().unwrap().0 = prot;
                }
            }
            4 => {
                let byte = round as u8;
                for index in span {
                    let at = UserAddress(BASE + index as u64 * PAGE_SIZE);
                    let may = model[index].is_some_and(|(prot, _)| prot.contains(Prot::WRITE));
                    assert_eq!(space.write(UserRef::new(at), &byte).is_ok(), may);
                    if may {
                        model[index].as_mut().unwrap().1 = byte;
                    }
                }
            }
            5 => {
                let to = random(PAGES - pages + 1);
                let target = UserAddress(BASE + to * PAGE_SIZE);
                let flags = mremap::MAYMOVE | mremap::FIXED;
                let overlap = at < to + pages && to < at + pages;
                let moved = space.remap(addr, len, len, flags, target);
                let starts = model[at as usize].is_some();
                assert_eq!(moved.is_ok(), !overlap && starts, "{moved:?}");
                if moved.is_ok() {
                    for index in 0..pages as usize {
                        if let Some(page) = model[at as usize + index].take() {
                            model[to as usize + index] = Some(page);
                        }
                    }
                }
            }
            _ => {
                if random(8) == 0 {
                    space = space.fork().unwrap();
                }
            }
        }
        for (index, page) in model.iter().enumerate() {
            let at = UserAddress(BASE + index as u64 * PAGE_SIZE);
            let expect = page
                .filter(|(prot, _)| prot.contains(Prot::READ))
                .map_or(Err(Errno::EFAULT), |(_, byte)| Ok(byte));
            assert_eq!(
                space.read(UserRef::<u8>::new(at)),
                expect,
                "round {round} page {index}"
            );
        }
        let (host, charged) = (host_mappings(&space), budget.mappings());
        // The host keeps a few apart whose past it knows better; the reserve is for them.
        assert!(
            host <= charged + charged / 8,
            "round {round}: {host} host mappings, {charged} charged"
        );
    }
}

#[test]
fn windows() {
    let count = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let before = count();
    for round in 0..1000 {
        let space = AddressSpace::new(&MemConfig::default()).unwrap();
        map(&space, BASE, 2, RW).unwrap();
        assert_eq!(space.read(UserRef::<u64>::new(UserAddress(BASE))), Ok(0));
        space
            .write(UserRef::new(UserAddress(BASE)), &round)
            .unwrap();
    }
    assert!(
        count() <= before + 8,
        "{before} host mappings became {}",
        count()
    );

    for seed in 1..5 {
        charges_cover_the_host(seed);
    }

    // Many at once: smaller windows when the large ones run out, then EAGAIN.
    let many: Vec<_> = (0..600)
        .map(|_| AddressSpace::new(&MemConfig::default()))
        .collect();
    assert!(many.iter().all(Result::is_ok));
    drop(many);

    // A host that limits address space: a smaller window, then an error.
    let limit = |bytes: u64| {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: lowers this test process's own soft limit.
        let got = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        assert_eq!(got, 0);
    };
    rivix_mem::trim();
    limit(48 << 30);
    let small = AddressSpace::new(&MemConfig::default()).unwrap();
    assert_eq!(small.task_size(), 1 << 34);
    drop(small);
    rivix_mem::trim();
    limit(2 << 30);
    assert_eq!(
        AddressSpace::new(&MemConfig::default()).err(),
        Some(Errno::EAGAIN)
    );
    limit(libc::RLIM_INFINITY);
    assert!(AddressSpace::new(&MemConfig::default()).is_ok());
}
