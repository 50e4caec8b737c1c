//! Output to terminals is buffered: writers do not wait for them, and nothing is lost.

use rivix_abi::ioctl::{TCFLSH, TCGETS, TCSBRK, TCSETS, TCSETSF, TCSETSW, TIOCOUTQ, Termios};
use rivix_abi::mman::{MapFlags, Prot};
use rivix_abi::poll::{POLLIN, POLLOUT};
use rivix_abi::{Errno, UserAddress, UserRef};
use rivix_fs::{File, Namespace, NamespaceConfig, SliceSource};
use rivix_mem::{AddressSpace, Backing, MapRequest};
use rivix_spawner::Lanes;
use rivix_spawner::lane::{Close, Join};
use rivix_sync::{Notify, Parker};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// More than a pseudo-terminal and an outbox hold.
const PLENTY: usize = 256 * 1024;
const OUTBOX: usize = 4096;

/// A raw pseudo-terminal: master and slave.
fn pty() -> (std::fs::File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both places are live; the termios is plain bytes; the descriptors are ours.
    unsafe {
        let mut raw: libc::termios = std::mem::zeroed();
        let (name, size) = (std::ptr::null_mut(), std::ptr::null_mut());
        let done = libc::openpty(&mut master, &mut slave, name, std::ptr::null_mut(), size);
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::tcgetattr(slave, &mut raw), 0);
        libc::cfmakeraw(&mut raw);
        assert_eq!(libc::tcsetattr(slave, libc::TCSANOW, &raw), 0);
        (FromRawFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

fn thread(_: &str, body: Box<dyn FnOnce() + Send>) -> Result<Join, nix::errno::Errno> {
    let thread = std::thread::spawn(body);
    Ok(Box::new(move || drop(thread.join())))
}

struct Setup {
    ns: Arc<Namespace>,
    lanes: Arc<Lanes>,
    master: std::fs::File,
    slave: OwnedFd,
}

impl Setup {
    fn new() -> Setup {
        let ns = Namespace::new(NamespaceConfig::empty()).unwrap();
        let lanes = Arc::new(Lanes::new(thread));
        ns.set_lanes(Arc::downgrade(&lanes));
        let (master, slave) = pty();
        Setup {
            ns,
            lanes,
            master,
            slave,
        }
    }

    /// One more file on the terminal.
    fn open(&self) -> Arc<File> {
        self.ns.adopt(self.slave.try_clone().unwrap()).unwrap()
    }

    /// The terminal takes nothing more until `go` (^S and ^Q).
    fn stop(&self) {
        self.flow(libc::TCOOFF);
    }

    fn go(&self) {
        self.flow(libc::TCOON);
    }

    fn flow(&self, action: i32) {
        // SAFETY: takes no pointers.
        let done = unsafe { libc::tcflow(self.slave.as_raw_fd(), action) };
        assert_eq!(done, 0);
    }

    fn flushes(&self) -> bool {
        self.ns.unwritten().wait(PATIENCE, PATIENCE)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.ns.stop_terminals();
        let end = Instant::now() + PATIENCE;
        let closed = self.lanes.close_until(Close::Drain, Some(end));
        if !std::thread::panicking() {
            assert_eq!(closed, Ok(()));
        }
    }
}

fn write(file: &File, bytes: &[u8]) -> Result<usize, Errno> {
    file.write(&mut SliceSource::new(bytes), None)
}

#[derive(Default)]
struct Waiter(Parker);

impl Notify for Waiter {
    fn notify(&self, _: u32) {
        self.0.unpark();
    }
}

/// Repeats `attempt` while it says EAGAIN, asleep on the queue in between, as a
/// task does.
fn blocking<R>(file: &File, mut attempt: impl FnMut() -> Result<R, Errno>) -> Result<R, Errno> {
    let waiter = Arc::new(Waiter::default());
    let queue = file.wait_queue().expect("a console has a queue");
    let _entry = queue.register(waiter.clone(), POLLOUT);
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(Errno::EAGAIN) => {}
            done => return done,
        }
        assert!(waiter.0.park_until(Some(end)), "never woken");
    }
}

fn write_all(file: &File, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        done += blocking(file, || write(file, &bytes[done..])).unwrap();
    }
}

/// Writes until there is no room, not waiting for any; how many bytes were taken.
fn fill(file: &File) -> usize {
    let mut taken = 0;
    let end = Instant::now() + PATIENCE;
    // The runner may be about to take the outbox: full is what stays full.
    let mut is_full = false;
    while Instant::now() < end {
        match write(file, &[b'x'; PLENTY]) {
            Ok(n) => {
                taken += n;
                is_full = false;
            }
            Err(Errno::EAGAIN) if is_full => return taken,
            Err(Errno::EAGAIN) => {
                is_full = true;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(errno) => panic!("{errno:?}"),
        }
        assert!(taken < PLENTY, "a stopped terminal took everything");
    }
    panic!("never full");
}

fn memory() -> (Arc<AddressSpace>, UserAddress) {
    let mm = AddressSpace::new(&rivix_mem::MemConfig::default()).unwrap();
    let request = MapRequest {
        addr: UserAddress(0),
        len: 4096,
        prot: Prot::READ | Prot::WRITE,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS,
        backing: Backing::Anonymous,
        name: None,
    };
    let at = mm.map(request);
    (mm, at.unwrap())
}

fn ioctl(file: &File, request: u32, arg: UserAddress, mm: &AddressSpace) -> Result<u64, Errno> {
    file.ops().ioctl(file, request, arg, mm)
}

#[test]
fn all_streams_of_a_terminal_keep_their_order() {
    let mut setup = Setup::new();
    let (out, err) = (setup.open(), setup.open());
    let mut expected = String::new();
    for round in 0..200 {
        for (name, file) in [("out", &out), ("err", &err)] {
            let line = format!("{name} {round}\n");
            assert_eq!(write(file, line.as_bytes()), Ok(line.len()));
            expected.push_str(&line);
        }
        assert!(setup.flushes());
        let mut seen = vec![0; expected.len()];
        setup.master.read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8_lossy(&seen), expected);
        expected.clear();
    }
    assert_eq!(setup.lanes.stats().len(), 1, "one lane for one terminal");
}

#[test]
fn a_full_outbox_says_eagain_and_wakes_when_there_is_room() {
    let setup = Setup::new();
    let file = setup.open();
    setup.stop();
    let taken = fill(&file);
    assert!(taken >= OUTBOX);
    assert_eq!(file.poll() & POLLOUT, 0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| blocking(&file, || write(&file, b"one more line\n")));
        setup.go();
        let mut seen = vec![0; taken + 14];
        (&setup.master).read_exact(&mut seen).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(14));
        assert!(seen.ends_with(b"xxone more line\n"));
    });
    assert_ne!(file.poll() & POLLOUT, 0);
}

#[test]
fn a_blocking_write_that_would_fit_is_not_split() {
    let setup = Setup::new();
    let file = setup.open();
    setup.stop();
    let (mm, _) = memory();
    // Each time the runner may be slow to take the first byte: then it takes all.
    let leaves_little_room = || {
        assert_eq!(ioctl(&file, TCFLSH, UserAddress(1), &mm), Ok(0));
        assert!(setup.flushes(), "what was dropped is not waited for");
        assert_eq!(write(&file, b"x"), Ok(1));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(write(&file, &[b'y'; OUTBOX - 2]), Ok(OUTBOX - 2));
        std::thread::sleep(Duration::from_millis(20));
        write(&file, b"12345678") == Err(Errno::EAGAIN)
    };
    assert!((0..50).any(|_| leaves_little_room()));
    file.set_flags(file.flags() | rivix_abi::fcntl::O_NONBLOCK)
        .unwrap();
    let n = write(&file, b"12345678").unwrap();
    assert!((1..8).contains(&n), "{n}: what fits, without waiting");
}

#[test]
fn a_mebibyte_passes_a_slow_reader_intact() {
    let setup = Setup::new();
    let file = setup.open();
    let bytes: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let mut master = setup.master.try_clone().unwrap();
    let len = bytes.len();
    let reader = std::thread::spawn(move || {
        let (mut seen, mut buf) = (Vec::new(), [0; 3000]);
        while seen.len() < len {
            let n = master.read(&mut buf).unwrap();
            seen.extend_from_slice(&buf[..n]);
            if seen.len() % 5 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        seen
    });
    write_all(&file, &bytes);
    assert!(setup.flushes());
    assert!(reader.join().unwrap() == bytes, "bytes were lost or moved");
}

#[test]
fn settings_and_drains_wait_for_the_output_before_them() {
    let setup = Setup::new();
    let file = setup.open();
    let (mm, at) = memory();
    ioctl(&file, TCGETS, at, &mm).unwrap();
    let termios: Termios = mm.read(UserRef::new(at)).unwrap();
    for request in [TCSBRK, TCSETS, TCSETSW, TCSETSF] {
        setup.stop();
        write_all(&file, b"before\n");
        mm.write(UserRef::new(at), &termios).unwrap();
        let arg = if request == TCSBRK {
            UserAddress(1)
        } else {
            at
        };
        assert_eq!(ioctl(&file, request, arg, &mm), Err(Errno::EAGAIN));
        let waiting: UserAddress = UserAddress(at.0 + 128);
        ioctl(&file, TIOCOUTQ, waiting, &mm).unwrap();
        let waiting: i32 = mm.read(UserRef::new(waiting)).unwrap();
        assert_eq!(waiting, 7);
        setup.go();
        assert_eq!(blocking(&file, || ioctl(&file, request, arg, &mm)), Ok(0));
        let mut seen = [0; 7];
        (&setup.master).read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"before\n");
    }
}

#[test]
fn an_output_flush_drops_what_waits_also_in_the_runners_hands() {
    let setup = Setup::new();
    let file = setup.open();
    let (mm, _) = memory();
    for round in 0..50 {
        setup.stop();
        write_all(&file, b"unwanted\n");
        if round % 2 == 0 {
            // With the runner asleep in the host.
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(ioctl(&file, TCFLSH, UserAddress(1), &mm), Ok(0));
        assert!(setup.flushes());
        setup.go();
        write_all(&file, b"wanted\n");
        let mut seen = [0; 7];
        (&setup.master).read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8_lossy(&seen), "wanted\n");
    }
}

#[test]
fn a_stop_interrupts_a_runner_whose_terminal_takes_nothing() {
    let setup = Setup::new();
    let file = setup.open();
    setup.stop();
    fill(&file);
    let began = Instant::now();
    let moment = Duration::from_millis(50);
    assert!(!setup.ns.unwritten().wait(moment, moment));
    assert!(began.elapsed() >= moment);
    setup.ns.stop_terminals();
    assert!(setup.flushes(), "what is lost is not waited for");
    assert_eq!(write(&file, b"x"), Err(Errno::EIO));
    let end = Some(Instant::now() + PATIENCE);
    assert_eq!(setup.lanes.close_until(Close::Drain, end), Ok(()));
}

#[test]
fn a_hung_up_terminals_error_reaches_later_writes() {
    let ns = Namespace::new(NamespaceConfig::empty()).unwrap();
    let lanes = Arc::new(Lanes::new(thread));
    ns.set_lanes(Arc::downgrade(&lanes));
    let (master, slave) = pty();
    let file = ns.adopt(slave).unwrap();
    assert_eq!(write(&file, b"x"), Ok(1));
    assert!(ns.unwritten().wait(PATIENCE, PATIENCE));
    drop(master);
    let mut errors = 0;
    for _ in 0..10 {
        errors += i32::from(write(&file, b"x") == Err(Errno::EIO));
        assert!(ns.unwritten().wait(PATIENCE, PATIENCE));
    }
    assert_eq!(errors, 9, "all but the first, which nobody could know");
    lanes.close(Close::Drain).unwrap();
}

#[test]
fn a_closed_file_leaves_its_output_to_the_console() {
    let setup = Setup::new();
    setup.stop();
    let before = setup.ns.shared().host_fds();
    let file = setup.open();
    write_all(&file, b"last words\n");
    drop(file);
    setup.go();
    let mut seen = [0; 11];
    (&setup.master).read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"last words\n");
    setup.lanes.close(Close::Drain).unwrap();
    assert_eq!(setup.ns.shared().host_fds(), before);
}

#[test]
fn input_is_as_before_and_masters_are_no_consoles() {
    let setup = Setup::new();
    let file = setup.open();
    (&setup.master).write_all(b"typed").unwrap();
    let mut sink = rivix_fs::VecSink::new(5);
    assert_eq!(file.read(&mut sink, None), Ok(5));
    assert_eq!(sink.bytes, b"typed");
    assert_eq!(file.poll() & (POLLIN | POLLOUT), POLLOUT);
    let master = setup
        .ns
        .adopt(setup.master.try_clone().unwrap().into())
        .unwrap();
    assert_eq!(write(&master, b"keys"), Ok(4));
    assert!(
        setup.lanes.stats().is_empty(),
        "written to the host directly"
    );
    assert_eq!(file.read(&mut rivix_fs::VecSink::new(4), None), Ok(4));
}

#[test]
fn without_a_thread_the_writer_waits_for_the_terminal() {
    for lanes in [
        None,
        Some(Arc::new(Lanes::new(|_: &str, _| {
            Err::<Join, _>(nix::errno::Errno::EAGAIN)
        }))),
    ] {
        let ns = Namespace::new(NamespaceConfig::empty()).unwrap();
        if let Some(lanes) = &lanes {
            ns.set_lanes(Arc::downgrade(lanes));
        }
        let (mut master, slave) = pty();
        let file = ns.adopt(slave).unwrap();
        for _ in 0..2 {
            assert_eq!(write(&file, b"direct\n"), Ok(7));
            assert_eq!(ns.unwritten().left(), 0);
            let mut seen = [0; 7];
            master.read_exact(&mut seen).unwrap();
            assert_eq!(&seen, b"direct\n");
        }
    }
}
