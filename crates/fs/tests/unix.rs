//! Local sockets without a guest: names, files in flight, and the end of what only
//! flights keep alive.

use rivix_abi::Errno;
use rivix_abi::fcntl::O_RDWR;
use rivix_fs::anon::AnonNode;
use rivix_fs::unix::{self, Address, Cred, Extra, Key, Kind, Peer, Received, UnixSocket};
use rivix_fs::{
    Caller, File, FileOps, Namespace, NamespaceConfig, Sink, SliceSource, Source, VecSink,
};
use std::sync::{Arc, Weak};

const ME: Cred = Cred {
    pid: 7,
    uid: 1000,
    gid: 1000,
};

/// A file that tells by its end that nobody has it.
struct Marker(#[expect(dead_code, reason = "held for its count")] Arc<()>);

impl FileOps for Marker {
    fn read(&self, _: &File, _: &mut dyn Sink, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn write(&self, _: &File, _: &mut dyn Source, _: Option<u64>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn poll(&self, _: &File) -> u32 {
        0
    }
}

fn namespace() -> Arc<Namespace> {
    Namespace::new(NamespaceConfig::empty()).unwrap()
}

fn open(ns: &Namespace, ops: impl FileOps) -> Arc<File> {
    ns.anonymous(Box::new(ops), O_RDWR, AnonNode::socket(&Caller::default()))
}

fn me() -> Peer {
    Peer {
        cred: ME,
        groups: Arc::from([]),
    }
}

fn pair(ns: &Namespace) -> [Arc<File>; 2] {
    let (one, two) = unix::pair(&ns.shared().unix, Kind::Stream, me());
    [open(ns, one), open(ns, two)]
}

fn marker(ns: &Namespace) -> (Arc<File>, Weak<()>) {
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    (open(ns, Marker(token)), weak)
}

fn of(file: &File) -> &UnixSocket {
    file.downcast().unwrap()
}

fn send(from: &File, files: &[&Arc<File>], limit: Option<u64>) -> Result<usize, Errno> {
    let mut extra = Extra::new(ME);
    extra.rights = files.iter().map(|file| (*file).clone()).collect();
    extra.limit = limit;
    of(from).send(&mut SliceSource::new(b"x"), None, &mut extra)
}

fn receive(from: &File) -> Received {
    let mut got = Received::default();
    of(from)
        .receive(&mut VecSink::new(64), false, &mut got)
        .unwrap();
    got
}

#[test]
fn a_cycle_of_sockets_is_collected() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let [a, b] = pair(&ns);
    let [c, d] = pair(&ns);
    // b waits in d's inbox and d in b's, with the marker.
    send(&a, &[&d, &file], None).unwrap();
    send(&c, &[&b], None).unwrap();
    drop((file, a, b, c));
    assert!(token.upgrade().is_some(), "d is still open");
    drop(d);
    // The last close was not a socket's end; the next is.
    drop(pair(&ns));
    assert!(token.upgrade().is_none());
}

#[test]
fn what_a_living_inbox_holds_lives() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let [a, b] = pair(&ns);
    let [c, d] = pair(&ns);
    // d flies to b, which is open; the marker waits in d.
    send(&c, &[&file], None).unwrap();
    send(&a, &[&d], None).unwrap();
    drop((file, d));
    drop(pair(&ns));
    assert!(token.upgrade().is_some());
    let [d] = <[_; 1]>::try_from(receive(&b).rights).ok().unwrap();
    assert_eq!(receive(&d).rights.len(), 1);
    assert!(token.upgrade().is_none(), "received, and dropped");
    drop((a, b, c));
}

#[test]
fn the_end_of_a_sandbox_leaves_no_cycle() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let [a, b] = pair(&ns);
    send(&a, &[&b, &file], None).unwrap();
    // Somebody holds the socket until the last moment, so no collection finds it.
    let late = b.clone();
    drop((file, a, b));
    ns.end_sockets();
    drop(late);
    assert!(token.upgrade().is_none());
}

#[test]
fn flights_of_one_user_are_limited() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let [a, b] = pair(&ns);
    for _ in 0..4 {
        send(&a, &[&file], Some(3)).unwrap();
    }
    assert_eq!(send(&a, &[&file], Some(3)), Err(Errno::ETOOMANYREFS));
    assert_eq!(receive(&b).rights.len(), 1);
    send(&a, &[&file], Some(3)).unwrap();
    drop((a, b, file));
    assert!(token.upgrade().is_none());
    // All have landed by the sockets' end.
    let [a, _b] = pair(&ns);
    let (file, _) = marker(&ns);
    send(&a, &[&file], Some(0)).unwrap();
}

#[test]
fn a_long_chain_ends_on_a_small_stack() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let mut last = pair(&ns);
    send(&last[0], &[&file], None).unwrap();
    drop(file);
    for _ in 0..20_000 {
        let next = pair(&ns);
        send(&next[0], &[&last[0], &last[1]], None).unwrap();
        // Only the flight has it now.
        last = next;
    }
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    let ended = thread.spawn(move || drop(last)).unwrap().join();
    assert!(ended.is_ok());
    assert!(token.upgrade().is_none());
}

#[test]
fn names_are_of_one_kind_and_one_socket() {
    let ns = namespace();
    let net = ns.shared().unix.clone();
    let name = || b"\0name".to_vec();
    let stream = UnixSocket::new(&net, Kind::Stream);
    let key = Key::Abstract(Kind::Stream, name());
    assert_eq!(
        net.find(&key, Kind::Stream).err(),
        Some(Errno::ECONNREFUSED)
    );
    let address = || Address::abstract_name(Kind::Stream, name());
    net.bind(&stream, address()).unwrap();
    assert!(net.find(&key, Kind::Stream).is_ok());
    assert_eq!(net.bind(&stream, address()), Err(Errno::EINVAL));
    let other = UnixSocket::new(&net, Kind::Stream);
    assert_eq!(net.bind(&other, address()), Err(Errno::EADDRINUSE));
    let datagram = UnixSocket::new(&net, Kind::Datagram);
    net.bind(&datagram, Address::abstract_name(Kind::Datagram, name()))
        .unwrap();
    drop(stream);
    assert_eq!(
        net.find(&key, Kind::Stream).err(),
        Some(Errno::ECONNREFUSED)
    );
    net.bind(&other, address()).unwrap();
}

#[test]
fn names_that_are_made_differ() {
    let ns = namespace();
    let net = ns.shared().unix.clone();
    let sockets: Vec<UnixSocket> = (0..100)
        .map(|_| UnixSocket::new(&net, Kind::Datagram))
        .collect();
    let mut names: Vec<Vec<u8>> = Vec::new();
    for socket in &sockets {
        net.autobind(socket).unwrap();
        let name = socket.address().unwrap().path.clone();
        net.autobind(socket).unwrap();
        assert_eq!(socket.address().unwrap().path, name, "it has one");
        assert_eq!(name.len(), 6);
        assert!(!names.contains(&name));
        names.push(name);
    }
}

#[test]
fn sending_looks_for_garbage_now_and_then() {
    let ns = namespace();
    let (file, token) = marker(&ns);
    let [a, b] = pair(&ns);
    send(&a, &[&a, &b, &file], None).unwrap();
    // Somebody still has them as the last other socket closes.
    let late = b.clone();
    drop((file, a, b));
    let [c, d] = pair(&ns);
    drop(late);
    assert!(token.upgrade().is_some());
    let (file, _) = marker(&ns);
    of(&c).set_send_buffer(4 << 20, false);
    for _ in 0..=253 * 8 {
        send(&c, &[&file], None).unwrap();
    }
    assert!(token.upgrade().is_none());
    drop((c, d));
}

/// Very many bytes, which nobody is to fetch.
struct Untouched(usize);

impl Source for Untouched {
    fn remaining(&self) -> usize {
        self.0
    }

    fn take(&mut self, _: &mut [u8]) -> Result<usize, Errno> {
        unreachable!("no room is there for them")
    }

    fn peek(&mut self, _: &mut [u8]) -> Result<usize, Errno> {
        unreachable!("no room is there for them")
    }
}

#[test]
fn room_is_refused_before_it_is_made() {
    let ns = namespace();
    let (one, _two) = unix::pair(&ns.shared().unix, Kind::Datagram, me());
    one.set_send_buffer(1 << 30, true);
    let mut extra = Extra::new(ME);
    let sent = one.send(&mut Untouched(520 << 20), None, &mut extra);
    assert_eq!(sent, Err(Errno::ENOBUFS));
    assert_eq!(
        one.send(&mut SliceSource::new(b"x"), None, &mut extra),
        Ok(1)
    );
}
