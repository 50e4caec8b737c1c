//! How long things take; prints, never fails. Run with `--ignored --nocapture`.

use rivix_abi::{PAGE_SIZE, UserAddress, UserRef};
use rivix_mem::{AddressSpace, Backing, MapFlags, MapRequest, MemConfig, Prot};
use std::time::Instant;

fn time(what: &str, count: u32, mut run: impl FnMut()) {
    let begin = Instant::now();
    for _ in 0..count {
        run();
    }
    println!("{what}: {:?}", begin.elapsed() / count);
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let space = AddressSpace::new(&MemConfig::default()).unwrap();
    let map = |at: u64, pages: u64| {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let request = MapRequest {
            addr: UserAddress(at),
            len: pages * PAGE_SIZE,
            prot: Prot::READ | Prot::WRITE,
            flags,
            backing: Backing::Anonymous,
            name: None,
        };
        space.map(request).unwrap();
    };
    time("new and drop", 1000, || {
        drop(AddressSpace::new(&MemConfig::default()).unwrap())
    });
    for index in 0..20 {
        map(0x10_0000 + index * 0x10_0000, 64);
        space
            .write_bytes(UserAddress(0x10_0000 + index * 0x10_0000), &[1; 16 * 4096])
            .unwrap();
    }
    time("fork of 20 mappings, 320 pages", 500, || {
        drop(space.fork().unwrap())
    });
    time("mmap and munmap", 10_000, || {
        map(0x1000_0000, 16);
        space.unmap(UserAddress(0x1000_0000), 65536).unwrap();
    });
    let at = UserRef::<u64>::new(UserAddress(0x10_0000));
    time("read u64", 1_000_000, || {
        std::hint::black_box(space.read(at).unwrap());
    });
    let mut bytes = [0u8; 512];
    time("read 512 bytes", 1_000_000, || {
        space
            .read_bytes(at.addr, std::hint::black_box(&mut bytes))
            .unwrap();
    });
    let hole = UserRef::<u64>::new(UserAddress(0x8000_0000));
    time("read that faults", 10_000, || {
        assert!(space.read(hole).is_err())
    });
}
