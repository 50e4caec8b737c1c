//! The memory calls: results and errnos in the kernel's order. What Linux
//! answers was read off the host kernel; see testsuite/programs/memory.

use rivix_abi::mman::{advice, mremap};
use rivix_abi::{Errno, PAGE_SIZE, UserAddress, UserRef};
use rivix_mem::{
    AddressSpace, Backing, Budget, FaultCause, MapFlags, MapRequest, MemAccess, MemConfig,
    MemLimits, Prot,
};
use std::sync::Arc;

const BASE: u64 = 0x10_0000;
const RW: Prot = Prot::READ.union(Prot::WRITE);
const ANON: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);

fn space() -> Arc<AddressSpace> {
    AddressSpace::new(&MemConfig::default()).unwrap()
}

fn request(addr: u64, pages: u64, prot: Prot, flags: MapFlags) -> MapRequest {
    MapRequest {
        addr: UserAddress(addr),
        len: pages * PAGE_SIZE,
        prot,
        flags,
        backing: Backing::Anonymous,
        name: None,
    }
}

fn map_at(space: &AddressSpace, page: u64, pages: u64, prot: Prot) {
    let addr = BASE + page * PAGE_SIZE;
    let got = space
        .map(request(addr, pages, prot, ANON | MapFlags::FIXED))
        .unwrap();
    assert_eq!(got, UserAddress(addr));
}

fn page(index: u64) -> UserAddress {
    UserAddress(BASE + index * PAGE_SIZE)
}

/// The mappings from BASE on, as page ranges with protection: "0-2 rw, 4-5 r".
fn layout(space: &AddressSpace) -> String {
    let parts: Vec<String> = space
        .mappings()
        .iter()
        .map(|m| {
            let bit = |p: Prot, c: &'static str| if m.prot.contains(p) { c } else { "" };
            format!(
                "{}-{} {}{}{}",
                (m.range.start - BASE) / PAGE_SIZE,
                (m.range.end - BASE) / PAGE_SIZE,
                bit(Prot::READ, "r"),
                bit(Prot::WRITE, "w"),
                bit(Prot::EXEC, "x"),
            )
        })
        .collect();
    parts.join(", ").trim_end().to_owned()
}

enum Step {
    Map(u64, u64, Prot),
    Unmap(u64, u64),
    Protect(u64, u64, Prot),
    Advise(u64, u64, i32),
    Grow(u64, u64, u64),
    Move(u64, u64, u64),
}
use Step::*;

fn run(space: &AddressSpace, step: &Step) -> Result<(), Errno> {
    match *step {
        Map(at, pages, prot) => space
            .map(request(page(at).0, pages, prot, ANON | MapFlags::FIXED))
            .map(drop),
        Unmap(at, pages) => space.unmap(page(at), pages * PAGE_SIZE),
        Protect(at, pages, prot) => space.protect(page(at), pages * PAGE_SIZE, prot),
        Advise(at, pages, what) => space.advise(page(at), pages * PAGE_SIZE, what),
        Grow(at, old, new) => space
            .remap(
                page(at),
                old * PAGE_SIZE,
                new * PAGE_SIZE,
                0,
                UserAddress::NULL,
            )
            .map(drop),
        Move(at, pages, to) => space
            .remap(
                page(at),
                pages * PAGE_SIZE,
                pages * PAGE_SIZE,
                mremap::MAYMOVE | mremap::FIXED,
                page(to),
            )
            .map(drop),
    }
}

/// Runs the steps in a fresh space: the last one's result, then the layout.
#[track_caller]
fn check(steps: &[Step], last: Result<(), Errno>, after: &str) {
    let space = space();
    let (end, before) = steps.split_last().unwrap();
    for step in before {
        run(&space, step).unwrap();
    }
    assert_eq!(run(&space, end), last);
    assert_eq!(layout(&space), after);
}

#[test]
fn mappings_split_and_merge() {
    let none = Prot::empty();
    let r = Prot::READ;
    check(&[Map(0, 4, RW)], Ok(()), "0-4 rw");
    check(&[Map(0, 2, RW), Map(2, 2, RW)], Ok(()), "0-4 rw");
    check(&[Map(2, 2, RW), Map(0, 2, RW)], Ok(()), "0-4 rw");
    check(&[Map(0, 2, RW), Map(2, 2, r)], Ok(()), "0-2 rw, 2-4 r");
    check(&[Map(0, 4, RW), Unmap(1, 1)], Ok(()), "0-1 rw, 2-4 rw");
    check(&[Map(0, 4, RW), Unmap(0, 9)], Ok(()), "");
    check(
        &[Map(0, 4, RW), Protect(1, 1, r)],
        Ok(()),
        "0-1 rw, 1-2 r, 2-4 rw",
    );
    check(
        &[Map(0, 4, RW), Protect(1, 1, r), Protect(1, 1, RW)],
        Ok(()),
        "0-4 rw",
    );
    check(&[Map(0, 4, none), Protect(0, 4, RW)], Ok(()), "0-4 rw");
    check(
        &[Map(0, 4, RW), Map(1, 2, r)],
        Ok(()),
        "0-1 rw, 1-3 r, 3-4 rw",
    );
}

#[test]
fn errnos() {
    let r = Prot::READ;
    check(&[Unmap(0, 0)], Err(Errno::EINVAL), "");
    check(&[Unmap(0, 1)], Ok(()), "");
    check(&[Protect(0, 1, r)], Err(Errno::ENOMEM), "");
    check(
        &[Map(0, 2, RW), Protect(0, 4, r)],
        Err(Errno::ENOMEM),
        "0-2 r",
    );
    let hole = || [Map(0, 1, RW), Map(2, 1, RW)];
    let with = |last: Step| {
        let [a, b] = hole();
        [a, b, last]
    };
    check(&with(Protect(0, 3, r)), Err(Errno::ENOMEM), "0-1 r, 2-3 rw");
    check(
        &with(Advise(0, 3, advice::DONTNEED)),
        Err(Errno::ENOMEM),
        "0-1 rw, 2-3 rw",
    );
    check(
        &with(Advise(0, 3, 77)),
        Err(Errno::EINVAL),
        "0-1 rw, 2-3 rw",
    );
    check(&with(Grow(0, 1, 2)), Ok(()), "0-3 rw");
    check(&with(Grow(0, 1, 3)), Err(Errno::ENOMEM), "0-1 rw, 2-3 rw");
    check(&with(Grow(0, 3, 4)), Err(Errno::EFAULT), "0-1 rw, 2-3 rw");
    check(&with(Grow(1, 1, 2)), Err(Errno::EFAULT), "0-1 rw, 2-3 rw");
    check(&with(Grow(0, 0, 1)), Err(Errno::EINVAL), "0-1 rw, 2-3 rw");
    check(&with(Grow(0, 1, 0)), Err(Errno::EINVAL), "0-1 rw, 2-3 rw");
    check(&with(Move(0, 1, 5)), Ok(()), "2-3 rw, 5-6 rw");
    check(&with(Move(0, 3, 5)), Ok(()), "5-6 rw, 7-8 rw");
    check(&with(Move(0, 2, 1)), Err(Errno::EINVAL), "0-1 rw, 2-3 rw");
    check(&[Map(0, 4, RW), Grow(0, 4, 2)], Ok(()), "0-2 rw");
}

#[test]
fn map_errnos_come_in_order() {
    let space = space();
    let top = space.task_size();
    let fixed = ANON | MapFlags::FIXED;
    let noreplace = ANON | MapFlags::FIXED_NOREPLACE;
    map_at(&space, 0, 1, RW);
    #[track_caller]
    fn check(space: &AddressSpace, addr: u64, len: u64, flags: MapFlags, expect: Errno) {
        let mut request = request(addr, 0, RW, flags);
        request.len = len;
        assert_eq!(space.map(request), Err(expect));
    }
    check(&space, 1, 0, fixed, Errno::EINVAL);
    check(&space, 0, u64::MAX, fixed, Errno::ENOMEM);
    check(&space, 0, top + 1, ANON, Errno::ENOMEM);
    check(&space, top, 4096, fixed, Errno::ENOMEM);
    check(&space, BASE + 1, 4096, fixed, Errno::EINVAL);
    check(&space, 0, 4096, fixed, Errno::EPERM);
    check(&space, BASE, 4096, noreplace, Errno::EEXIST);
    check(&space, 0, 4096, MapFlags::ANONYMOUS, Errno::EINVAL);
    check(
        &space,
        0,
        4096,
        MapFlags::SHARED_VALIDATE | MapFlags::ANONYMOUS,
        Errno::EINVAL,
    );
}

#[test]
fn hints_and_top_down() {
    let space = space();
    let first = space.map(request(0, 4, RW, ANON)).unwrap();
    let second = space.map(request(0, 4, RW, ANON)).unwrap();
    assert_eq!(second.0 + 4 * PAGE_SIZE, first.0, "next below");
    let hint = 0x1234_5678;
    let hinted = space.map(request(hint, 1, RW, ANON)).unwrap();
    assert_eq!(hinted.0, hint & !(PAGE_SIZE - 1));
    let moved = space.map(request(hint, 1, RW, ANON)).unwrap();
    assert_eq!(moved.0 + PAGE_SIZE, second.0, "an occupied hint is ignored");
}

#[test]
fn bytes_cross_and_stop_at_the_exact_byte() {
    let space = space();
    map_at(&space, 0, 2, RW);
    map_at(&space, 2, 1, Prot::READ);
    for len in [1usize, 7, 8, 15, 16, 17, 100, 1000, 1024, 1025, 4096, 5000] {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
        space.write_bytes(page(0), &bytes).unwrap();
        let mut back = vec![0; len];
        space.read_bytes(page(0), &mut back).unwrap();
        assert_eq!(bytes, back);
        for short in [0u64, 1, 3, 8, 33] {
            let fits = (len as u64).min(short);
            // Writing stops at the read-only page, reading at the hole.
            let at = UserAddress(page(2).0 - short);
            assert_eq!(
                space.write_partial(at, &bytes),
                fits as usize,
                "{len} {short}"
            );
            let at = UserAddress(page(3).0 - short);
            assert_eq!(
                space.read_partial(at, &mut back),
                fits as usize,
                "{len} {short}"
            );
            assert_eq!(space.read_bytes(at, &mut back).is_ok(), fits == len as u64);
        }
    }
    assert_eq!(space.zero(page(0), 2 * PAGE_SIZE), Ok(()));
    assert_eq!(space.zero(page(1), 2 * PAGE_SIZE), Err(Errno::EFAULT));
    assert_eq!(space.read(UserRef::<u64>::new(page(1))), Ok(0));
}

#[test]
fn strings_end_at_nul_page_or_limit() {
    let space = space();
    map_at(&space, 0, 1, RW);
    space
        .write_bytes(UserAddress(page(1).0 - 6), b"hello\0")
        .unwrap();
    assert_eq!(
        space.read_cstr(UserAddress(page(1).0 - 6), 100),
        Ok(b"hello".to_vec())
    );
    assert_eq!(
        space.read_cstr(UserAddress(page(1).0 - 6), 3),
        Err(Errno::ENAMETOOLONG)
    );
    space.write_bytes(UserAddress(page(1).0 - 1), b"x").unwrap();
    assert_eq!(
        space.read_cstr(UserAddress(page(1).0 - 2), 100),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        space.read_cstr(UserAddress(u64::MAX - 2), 100),
        Err(Errno::EFAULT)
    );
}

#[test]
fn atomics() {
    let space = space();
    map_at(&space, 0, 1, RW);
    map_at(&space, 1, 1, Prot::READ);
    assert_eq!(space.compare_exchange_u32(page(0), 0, 7), Ok(Ok(0)));
    assert_eq!(space.compare_exchange_u32(page(0), 0, 8), Ok(Err(7)));
    assert_eq!(space.fetch_update_u32(page(0), |v| v + 1), Ok(7));
    assert_eq!(space.load_u32(page(0)), Ok(8));
    assert_eq!(
        space.compare_exchange_u32(page(1), 0, 7),
        Err(Errno::EFAULT)
    );
    assert_eq!(space.load_u32(page(2)), Err(Errno::EFAULT));
    assert_eq!(
        space.load_u32(UserAddress(page(0).0 + 2)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        space.load_u32(UserAddress(u64::MAX - 3)),
        Err(Errno::EFAULT)
    );
}

#[test]
fn the_last_byte_of_a_window_is_its_own() {
    let (one, two) = (space(), space());
    let top = one.task_size();
    for space in [&one, &two] {
        let last = top - PAGE_SIZE;
        space
            .map(request(last, 1, RW, ANON | MapFlags::FIXED))
            .unwrap();
        space
            .map(request(PAGE_SIZE, 1, RW, ANON | MapFlags::FIXED))
            .unwrap();
        assert_eq!(
            space.write(UserRef::new(UserAddress(top - 8)), &1u64),
            Ok(())
        );
        for at in top - 7..=top {
            assert_eq!(
                space.write(UserRef::new(UserAddress(at)), &2u64),
                Err(Errno::EFAULT)
            );
            assert_eq!(
                space.read(UserRef::<u64>::new(UserAddress(at))),
                Err(Errno::EFAULT)
            );
        }
        assert_eq!(space.read(UserRef::<u64>::new(UserAddress(top - 8))), Ok(1));
        assert_eq!(
            space.fault_cause(top, MemAccess::Read, false),
            FaultCause::MapErr
        );
    }
}

#[test]
fn causes() {
    let space = space();
    map_at(&space, 0, 1, Prot::READ);
    map_at(&space, 1, 1, Prot::EXEC);
    map_at(&space, 2, 1, Prot::WRITE);
    map_at(&space, 3, 1, Prot::empty());
    let r = space.fault_cause(page(0).0, MemAccess::Read, false);
    let cases = [
        (r, FaultCause::Retry),
        (
            space.fault_cause(page(0).0, MemAccess::Write, false),
            FaultCause::AccErr,
        ),
        (
            space.fault_cause(page(0).0, MemAccess::Exec, false),
            FaultCause::AccErr,
        ),
        // Private memory has no file to end: the page was missing, and is there.
        (
            space.fault_cause(page(0).0, MemAccess::Read, true),
            FaultCause::Retry,
        ),
        (
            space.fault_cause(page(1).0, MemAccess::Read, false),
            FaultCause::AccErr,
        ),
        (
            space.fault_cause(page(1).0, MemAccess::Exec, false),
            FaultCause::Retry,
        ),
        (
            space.fault_cause(page(2).0, MemAccess::Read, false),
            FaultCause::Retry,
        ),
        (
            space.fault_cause(page(3).0, MemAccess::Read, false),
            FaultCause::AccErr,
        ),
        (
            space.fault_cause(page(4).0, MemAccess::Read, false),
            FaultCause::MapErr,
        ),
    ];
    for (index, (got, expect)) in cases.into_iter().enumerate() {
        assert_eq!(got, expect, "case {index}");
    }
}

#[test]
fn code_is_read_only_where_it_may_run() {
    let space = space();
    map_at(&space, 0, 3, RW);
    space.write_bytes(page(0), &[7; 3 * 4096]).unwrap();
    space
        .protect(page(0), PAGE_SIZE, Prot::READ | Prot::EXEC)
        .unwrap();
    space.protect(page(1), PAGE_SIZE, Prot::EXEC).unwrap();
    let mut code = [0; 16];
    assert_eq!(space.fetch_code(page(0).0, &mut code), 16);
    assert_eq!(
        space.fetch_code(page(1).0 - 8, &mut code),
        16,
        "on into exec-only"
    );
    assert_eq!(code, [7; 16]);
    assert_eq!(
        space.fetch_code(page(2).0 - 6, &mut code),
        6,
        "up to what may not run"
    );
    assert_eq!(space.fetch_code(page(2).0, &mut code), 0);
    assert_eq!(space.fetch_code(u64::MAX, &mut code), 0);
    assert_eq!(
        space.read_partial(page(1), &mut code),
        0,
        "exec-only is not readable"
    );
}

#[test]
fn the_break() {
    let space = space();
    space.set_brk_start(UserAddress(BASE + 100));
    let heap = |addr: u64| space.brk(UserAddress(addr)).0;
    assert_eq!(heap(0), BASE + 100);
    assert_eq!(heap(BASE + 5000), BASE + 5000);
    assert_eq!(layout(&space), "1-2 rw");
    space.write_bytes(page(1), &[9; 904]).unwrap();
    assert_eq!(heap(BASE + 4096), BASE + 4096);
    assert_eq!(layout(&space), "");
    assert_eq!(heap(BASE + 3 * 4096), BASE + 3 * 4096);
    assert_eq!(
        space.read(UserRef::<u64>::new(page(1))),
        Ok(0),
        "regrown pages are zero"
    );
    map_at(&space, 5, 1, Prot::READ);
    assert_eq!(
        heap(BASE + 5 * 4096),
        BASE + 3 * 4096,
        "one page stays free"
    );
    assert_eq!(heap(BASE + 4 * 4096), BASE + 4 * 4096);
    assert_eq!(space.mappings()[0].name, b"[heap]");
    space.set_limits(MemLimits {
        data: 8192,
        ..MemLimits::default()
    });
    assert_eq!(heap(u64::MAX), BASE + 4 * 4096);
    assert_eq!(heap(BASE + 4 * 4096 + 1), BASE + 4 * 4096);
}

#[test]
fn a_stack_grows_to_its_limit_and_keeps_its_distance() {
    let space = space();
    let top = 0x2000_0000;
    let flags = ANON | MapFlags::FIXED | MapFlags::GROWSDOWN;
    space
        .map(request(top - 2 * PAGE_SIZE, 2, RW, flags))
        .unwrap();
    space.set_stack_start(top - 16);
    space.set_limits(MemLimits {
        stack: 1 << 20,
        ..MemLimits::default()
    });
    let write = |at: u64| space.write(UserRef::new(UserAddress(at)), &1u64);
    assert_eq!(write(top - 64 * 1024), Ok(()));
    assert_eq!(space.mappings()[0].range, top - 64 * 1024..top);
    assert_eq!(space.mappings()[0].name, b"[stack]");
    assert_eq!(write(top - (1 << 20)), Ok(()));
    assert_eq!(
        write(top - (1 << 20) - 8),
        Err(Errno::EFAULT),
        "RLIMIT_STACK"
    );
    space.set_limits(MemLimits {
        stack: u64::MAX,
        ..MemLimits::default()
    });
    space
        .map(request(top - (4 << 20), 1, RW, ANON | MapFlags::FIXED))
        .unwrap();
    assert_eq!(write(top - (2 << 20)), Ok(()));
    assert_eq!(
        write(top - (4 << 20) + PAGE_SIZE),
        Err(Errno::EFAULT),
        "the guard gap"
    );
}

#[test]
fn dontneed_and_limits() {
    let space = space();
    map_at(&space, 0, 2, RW);
    space.write_bytes(page(0), &[1; 8192]).unwrap();
    space.advise(page(0), PAGE_SIZE, advice::DONTNEED).unwrap();
    assert_eq!(space.read(UserRef::<u8>::new(page(0))), Ok(0));
    assert_eq!(space.read(UserRef::<u8>::new(page(1))), Ok(1));
    space.set_limits(MemLimits {
        as_: 4 * PAGE_SIZE,
        ..MemLimits::default()
    });
    assert_eq!(space.map(request(0, 3, RW, ANON)), Err(Errno::ENOMEM));
    assert!(
        space
            .map(request(page(0).0, 4, RW, ANON | MapFlags::FIXED))
            .is_ok()
    );
    space.set_limits(MemLimits {
        data: 4 * PAGE_SIZE,
        ..MemLimits::default()
    });
    assert_eq!(space.map(request(0, 1, RW, ANON)), Err(Errno::ENOMEM));
    assert!(space.map(request(0, 1, Prot::READ, ANON)).is_ok());
}

#[test]
fn moved_pages_keep_their_bytes() {
    let space = space();
    map_at(&space, 0, 2, RW);
    space.write_bytes(page(0), &[5; 8192]).unwrap();
    let moved = space
        .remap(
            page(0),
            8192,
            16384,
            mremap::MAYMOVE | mremap::FIXED,
            page(8),
        )
        .unwrap();
    assert_eq!(moved, page(8));
    assert_eq!(layout(&space), "8-12 rw");
    assert_eq!(
        space.read(UserRef::<u8>::new(UserAddress(page(10).0 - 1))),
        Ok(5)
    );
    assert_eq!(space.read(UserRef::<u8>::new(page(10))), Ok(0));
    assert_eq!(space.read(UserRef::<u8>::new(page(0))), Err(Errno::EFAULT));
    let kept = space
        .remap(
            page(8),
            4096,
            4096,
            mremap::MAYMOVE | mremap::DONTUNMAP,
            UserAddress::NULL,
        )
        .unwrap();
    assert_eq!(space.read(UserRef::<u8>::new(kept)), Ok(5));
    assert_eq!(space.read(UserRef::<u8>::new(page(8))), Ok(0));
}

#[test]
fn shared_memory_is_one() {
    let space = space();
    let shared = MapFlags::SHARED | MapFlags::ANONYMOUS;
    let at = space.map(request(0, 2, RW, shared)).unwrap();
    space.write(UserRef::new(at), &11u32).unwrap();
    let twin = space
        .remap(at, 0, 4096, mremap::MAYMOVE, UserAddress::NULL)
        .unwrap();
    assert_ne!(twin, at);
    assert_eq!(space.read(UserRef::<u32>::new(twin)), Ok(11));
    assert_eq!(
        space.futex_key(at, true, MemAccess::Read),
        space.futex_key(twin, true, MemAccess::Read)
    );
    assert_ne!(
        space.futex_key(at, false, MemAccess::Read),
        space.futex_key(twin, false, MemAccess::Read)
    );
    assert_ne!(
        space.futex_key(at, true, MemAccess::Read),
        space.futex_key(at.offset(4).unwrap(), true, MemAccess::Read)
    );
    let child = space.fork().unwrap();
    child.write(UserRef::new(twin), &12u32).unwrap();
    assert_eq!(space.read(UserRef::<u32>::new(at)), Ok(12));
    assert_eq!(
        space.futex_key(at, true, MemAccess::Read),
        child.futex_key(twin, true, MemAccess::Read)
    );
}

#[test]
fn fork_copies_what_is_private() {
    let space = space();
    map_at(&space, 0, 8, RW);
    map_at(&space, 20, 1, RW);
    map_at(&space, 30, 1, RW);
    space.write_bytes(page(1), &[1; 4096]).unwrap();
    space.write_bytes(page(3), &[3; 8192]).unwrap();
    space.write_bytes(page(20), &[4; 4096]).unwrap();
    space.write_bytes(page(30), &[5; 4096]).unwrap();
    space.protect(page(3), 4096, Prot::empty()).unwrap();
    space.protect(page(4), 4096, Prot::READ).unwrap();
    space.advise(page(20), 4096, advice::DONTFORK).unwrap();
    space.advise(page(30), 4096, advice::WIPEONFORK).unwrap();
    let child = space.fork().unwrap();
    let byte = |space: &AddressSpace, at| space.read(UserRef::<u8>::new(page(at)));
    assert_eq!(byte(&child, 0), Ok(0));
    assert_eq!(byte(&child, 1), Ok(1));
    assert_eq!(
        byte(&child, 3),
        Err(Errno::EFAULT),
        "no access, as in the parent"
    );
    assert_eq!(byte(&child, 4), Ok(3));
    assert_eq!(child.write(UserRef::new(page(4)), &0u8), Err(Errno::EFAULT));
    assert_eq!(byte(&child, 20), Err(Errno::EFAULT));
    assert_eq!(byte(&child, 30), Ok(0));
    child.protect(page(3), 4096, RW).unwrap();
    assert_eq!(
        byte(&child, 3),
        Ok(3),
        "bytes behind no access are copied too"
    );
    child.write(UserRef::new(page(1)), &9u8).unwrap();
    assert_eq!(byte(&space, 1), Ok(1));
}

#[test]
fn a_guest_that_splits_without_end_harms_itself_only() {
    let budget = Arc::new(Budget::default());
    let config = MemConfig {
        budget: budget.clone(),
        ..MemConfig::default()
    };
    let greedy = AddressSpace::new(&config).unwrap();
    let other = AddressSpace::new(&config).unwrap();
    greedy
        .map(request(BASE, 200_000, RW, ANON | MapFlags::FIXED))
        .unwrap();
    let mut refused = 0;
    for index in 0..100_000 {
        match greedy.protect(page(index * 2), PAGE_SIZE, Prot::READ) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, Errno::ENOMEM);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    for index in 0..1000 {
        other
            .map(request(page(index * 2).0, 1, RW, ANON | MapFlags::FIXED))
            .unwrap();
    }
    // What frees is never refused.
    greedy.unmap(page(0), 200_000 * PAGE_SIZE).unwrap();
    assert_eq!(layout(&greedy), "");
    drop((greedy, other));
    assert_eq!(budget.mappings(), 0);
}

#[test]
fn growing_again_and_again() {
    let space = space();
    let mut at = space.map(request(0, 1, RW, ANON)).unwrap();
    let mut bytes = vec![1u8; 4096];
    space.write_bytes(at, &bytes).unwrap();
    for round in 1..40u64 {
        let (old, new) = (round * PAGE_SIZE, (round + 1) * PAGE_SIZE);
        if round % 3 == 0 {
            // In the way of growing in place.
            map_at(&space, 1000, 1, RW);
            let _ = space.map(request(at.0 + old, 1, RW, ANON | MapFlags::FIXED_NOREPLACE));
        }
        at = space
            .remap(at, old, new, mremap::MAYMOVE, UserAddress::NULL)
            .unwrap();
        bytes.resize(new as usize, 0);
        let mut back = vec![9; new as usize];
        space.read_bytes(at, &mut back).unwrap();
        assert_eq!(bytes, back, "round {round}");
        bytes[old as usize..].fill(round as u8);
        space
            .write_bytes(at.offset(old).unwrap(), &bytes[old as usize..])
            .unwrap();
        let child = space.fork().unwrap();
        child.read_bytes(at, &mut back).unwrap();
        assert_eq!(bytes, back, "round {round} in the child");
    }
}

/// A file for mapping: a host memfd of `pages` pages.
struct Memory(std::os::fd::OwnedFd);

impl Memory {
    fn new(pages: i64) -> Arc<Memory> {
        use std::os::fd::FromRawFd;
        // SAFETY: a constant name; the descriptor is owned at once.
        let fd = unsafe {
            let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
            assert_eq!(libc::ftruncate(fd, pages * 4096), 0);
            std::os::fd::OwnedFd::from_raw_fd(fd)
        };
        Arc::new(Memory(fd))
    }
}

impl rivix_mem::MapSource for Memory {
    fn host_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }
    fn path(&self) -> Vec<u8> {
        b"/test".to_vec()
    }
    fn dev_ino(&self) -> (u64, u64) {
        (7, 99)
    }
    fn may_read(&self) -> bool {
        true
    }
    fn may_write(&self) -> bool {
        false
    }
    fn may_exec(&self) -> bool {
        true
    }
}

#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<std::ops::Range<u64>>>);

impl rivix_mem::ExecObserver for Seen {
    fn exec_changed(&self, range: std::ops::Range<u64>) {
        self.0.lock().unwrap().push(range);
    }
}

#[test]
fn code_that_comes_or_goes_is_reported() {
    let space = space();
    let seen = Arc::new(Seen::default());
    let observer: Arc<dyn rivix_mem::ExecObserver> = seen.clone();
    space.set_exec_observer(Arc::downgrade(&observer));
    let rx = Prot::READ | Prot::EXEC;
    let mut file = request(page(0).0, 4, rx, MapFlags::PRIVATE | MapFlags::FIXED);
    file.backing = Backing::File {
        source: Memory::new(3),
        offset: 0,
    };
    space.map(file).unwrap();
    map_at(&space, 8, 1, RW);
    let check = |expect: &[(u64, u64)]| {
        let got: Vec<_> = std::mem::take(&mut *seen.0.lock().unwrap())
            .into_iter()
            .map(|r| ((r.start - BASE) / PAGE_SIZE, (r.end - BASE) / PAGE_SIZE))
            .collect();
        assert_eq!(got, expect);
    };
    check(&[(0, 4)]);
    let mut code = [0; 8];
    assert_eq!(
        space.fetch_code(page(3).0 - 4, &mut code),
        4,
        "up to the file's end"
    );
    assert_eq!(space.fetch_code(page(3).0, &mut code), 0);
    let at_end = space.fault_cause(page(3).0, MemAccess::Exec, false);
    assert_eq!(at_end, FaultCause::BusAdrErr);
    rivix_mem::note_truncate((7, 98), 0);
    check(&[]);
    rivix_mem::note_truncate((7, 99), PAGE_SIZE + 1);
    check(&[(2, 4)]);
    space.protect(page(3), PAGE_SIZE, Prot::READ).unwrap();
    check(&[(3, 4)]);
    space.unmap(page(8), PAGE_SIZE).unwrap();
    check(&[]);
    space.unmap(page(0), 2 * PAGE_SIZE).unwrap();
    check(&[(0, 2)]);
    map_at(&space, 2, 1, RW);
    check(&[(2, 3)]);
    map_at(&space, 8, 1, rx);
    check(&[(8, 9)]);
    map_at(&space, 8, 1, rx);
    check(&[(8, 9)]);
    let nowhere = UserAddress::NULL;
    space
        .remap(page(8), PAGE_SIZE, 2 * PAGE_SIZE, 0, nowhere)
        .unwrap();
    check(&[(9, 10)]);
    let flags = mremap::MAYMOVE | mremap::FIXED;
    space
        .remap(page(8), PAGE_SIZE, PAGE_SIZE, flags, page(12))
        .unwrap();
    check(&[(8, 9), (12, 13)]);
}

#[test]
fn code_is_a_files_own_until_it_could_be_written() {
    let rx = Prot::READ | Prot::EXEC;
    let with_file = |space: &AddressSpace, pages, prot, flags, source: &Arc<Memory>| {
        let mut file = request(page(4).0, pages, prot, flags | MapFlags::FIXED);
        file.backing = Backing::File {
            source: source.clone(),
            offset: PAGE_SIZE,
        };
        space.map(file).unwrap();
    };
    let (text, other) = (Memory::new(4), Memory::new(4));
    // Neither writable code, nor shared, nor without a file.
    let space = space();
    map_at(&space, 4, 2, rx);
    assert_eq!(space.file_code().len(), 0);
    with_file(&space, 2, rx, MapFlags::SHARED, &text);
    assert_eq!(space.file_code().len(), 0);
    with_file(&space, 2, rx | Prot::WRITE, MapFlags::PRIVATE, &text);
    assert_eq!(space.file_code().len(), 0);
    space.protect(page(4), 2 * PAGE_SIZE, rx).unwrap();
    assert_eq!(space.file_code().len(), 0, "it could be written before");

    with_file(&space, 2, rx, MapFlags::PRIVATE, &text);
    let [file] = &space.file_code()[..] else {
        panic!("one mapping");
    };
    assert_eq!(file.range(), page(4).0..page(6).0);
    assert_eq!(file.offset(), PAGE_SIZE);
    assert_eq!(file.version(), file.version());
    let fetch = |space: &AddressSpace, at: u64| {
        let mut code = [0; 8];
        space.fetch_file_code(file, at, &mut code)
    };
    assert_eq!(fetch(&space, page(4).0), 8);
    assert_eq!(fetch(&space, page(6).0 - 2), 2);
    assert_eq!(fetch(&space, page(6).0), 0);
    map_at(&space, 6, 1, rx);
    assert_eq!(fetch(&space, page(6).0 - 2), 2, "that is not the file's");

    // Changed, put back, and changed by another's copy.
    let child = space.fork().unwrap();
    space.protect(page(4), PAGE_SIZE, rx | Prot::WRITE).unwrap();
    assert_eq!((fetch(&space, page(4).0), fetch(&space, page(5).0)), (0, 8));
    space.protect(page(4), PAGE_SIZE, rx).unwrap();
    assert_eq!((fetch(&space, page(4).0), fetch(&space, page(5).0)), (0, 8));
    assert_eq!(fetch(&child, page(4).0), 8);
    let grandchild = space.fork().unwrap();
    assert_eq!(fetch(&grandchild, page(4).0), 0);
    with_file(&space, 2, rx, MapFlags::PRIVATE, &other);
    assert_eq!(fetch(&space, page(5).0), 0, "another file");
    with_file(&child, 1, rx, MapFlags::PRIVATE, &text);
    assert_eq!(fetch(&child, page(4).0), 8);
}
