//! Path walks over a host directory with our own mounts above it.

use rivix_abi::Errno;
use rivix_abi::fcntl::{
    O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
    RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS,
};
use rivix_fs::{Caller, FsContext, Lookup, Namespace, NamespaceConfig, SliceSource, VecSink};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

struct World {
    ns: Arc<Namespace>,
    ctx: Arc<FsContext>,
    dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("a/b")).expect("folders");
    std::fs::create_dir(at("etc")).expect("folder");
    std::fs::write(at("a/b/file"), "hello").expect("file");
    symlink("b/file", at("a/rel")).expect("link");
    symlink("/a/b/file", at("a/abs")).expect("link");
    symlink("/../../../../a/b", at("up")).expect("link");
    symlink("/proc/mounts", at("etc/mtab")).expect("link");
    symlink("loop", at("loop")).expect("link");
    symlink("/a/b/new", at("dangling")).expect("link");
    symlink("/dev", at("devices")).expect("link");
    let ns = Namespace::new(NamespaceConfig::over_host(dir.path().to_path_buf())).expect("mounts");
    let ctx = ns.context(b"/", 0o022).expect("context");
    World { ns, ctx, dir }
}

impl World {
    fn lookup(&self) -> Lookup<'_> {
        Lookup::new(
            &self.ns,
            &self.ctx,
            Caller {
                pid: 7,
                tid: 7,
                ..Caller::default()
            },
        )
    }
}

/// What a walk says: the canonical path, or the errno.
fn shown(result: Result<rivix_fs::Place, Errno>) -> String {
    match result {
        Ok(place) => String::from_utf8_lossy(&place.path).into_owned(),
        Err(errno) => errno.name().to_string(),
    }
}

#[test]
fn paths_lead_where_linux_leads_them() {
    let world = world();
    let check = |path: &str, follow: bool, expect: &str| {
        let got = shown(world.lookup().resolve(path.as_bytes(), follow));
        assert_eq!(got, expect, "{path} follow={follow}");
    };
    check("/a/b/file", true, "/a/b/file");
    check("/a//b/./file", true, "/a/b/file");
    check("/a/b/../b/file", true, "/a/b/file");
    check("/../../..", true, "/");
    check("/a/rel", true, "/a/b/file");
    check("/a/rel", false, "/a/rel");
    check("/a/abs", true, "/a/b/file");
    check("/up/file", true, "/a/b/file");
    check("/up/", false, "/a/b");
    check("/a/b/file/", true, "ENOTDIR");
    check("/a/b/file/x", true, "ENOTDIR");
    check("/a/none", true, "ENOENT");
    check("/loop", true, "ELOOP");
    check("/loop", false, "/loop");
    check("", true, "ENOENT");
    check("/dangling", true, "ENOENT");
    check("/dev/null", true, "/dev/null");
    check("/devices/null", true, "/dev/null");
    check("/devices/../a/b", true, "/a/b");
    check("/dev/shm/..", true, "/dev");
    check("/dev/shm/../../a", true, "/a");
    check("/proc/..", true, "/");
    check("/etc/../proc/version", true, "/proc/version");
    check(&format!("/{}", "x".repeat(256)), true, "ENAMETOOLONG");
}

#[test]
fn openat2_scopes_hold() {
    let world = world();
    let base = world
        .lookup()
        .open(b"/a", O_RDONLY | O_DIRECTORY, 0)
        .expect("directory");
    let check = |resolve: u64, path: &str, expect: Result<(), Errno>| {
        let mut lookup = world.lookup().from(Some(&base));
        lookup.resolve = resolve;
        let got = lookup.open(path.as_bytes(), O_RDONLY, 0).map(drop);
        assert_eq!(got, expect, "{path}");
    };
    check(0, "b/file", Ok(()));
    check(RESOLVE_BENEATH, "b/file", Ok(()));
    check(RESOLVE_BENEATH, "../etc", Err(Errno::EXDEV));
    check(RESOLVE_BENEATH, "/a", Err(Errno::EXDEV));
    check(RESOLVE_BENEATH, "abs", Err(Errno::EXDEV));
    check(RESOLVE_IN_ROOT, "../../b/file", Ok(()));
    check(RESOLVE_IN_ROOT, "/b/file", Ok(()));
    check(RESOLVE_IN_ROOT, "abs", Err(Errno::ENOENT));
    check(RESOLVE_NO_SYMLINKS, "rel", Err(Errno::ELOOP));
    check(RESOLVE_NO_SYMLINKS, "b/file", Ok(()));
}

#[test]
fn opening_checks_and_creates() {
    let world = world();
    let check = |path: &str, flags: u32, expect: Result<(), Errno>| {
        let got = world.lookup().open(path.as_bytes(), flags, 0o666).map(drop);
        assert_eq!(got, expect, "{path} {flags:#o}");
    };
    check("/a/b/file", O_RDWR, Ok(()));
    check("/a", O_WRONLY, Err(Errno::EISDIR));
    check("/a/b/file", O_RDONLY | O_DIRECTORY, Err(Errno::ENOTDIR));
    check("/a/rel", O_RDONLY | O_NOFOLLOW, Err(Errno::ELOOP));
    check("/a/rel", O_PATH | O_NOFOLLOW, Ok(()));
    check("/a/rel", O_WRONLY | O_CREAT | O_EXCL, Err(Errno::EEXIST));
    check("/a/b/file", O_WRONLY | O_CREAT | O_EXCL, Err(Errno::EEXIST));
    check("/a", O_WRONLY | O_CREAT, Err(Errno::EISDIR));
    check("/a/x/", O_WRONLY | O_CREAT, Err(Errno::EISDIR));
    check("/dangling", O_WRONLY | O_CREAT, Ok(()));
    assert!(world.dir.path().join("a/b/new").exists());
    check("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, Ok(()));
    check("/dev/nothing", O_WRONLY | O_CREAT, Err(Errno::EROFS));
    check("/dev/shm/x", O_RDWR | O_CREAT, Ok(()));
    check("/dev/shm/x", O_RDWR | O_CREAT | O_EXCL, Err(Errno::EEXIST));
}

#[test]
fn modes_follow_the_guests_umask_only() {
    let world = world();
    for (umask, expect) in [(0o022, 0o644), (0o000, 0o666), (0o077, 0o600)] {
        world.ctx.set_umask(umask);
        let name = format!("/m{umask:o}");
        world
            .lookup()
            .open(name.as_bytes(), O_WRONLY | O_CREAT, 0o666)
            .expect("created");
        let host = std::fs::metadata(world.dir.path().join(&name[1..])).expect("there");
        assert_eq!(host.permissions().mode() & 0o777, expect);
    }
}

#[test]
fn the_hosts_proc_is_refused_however_it_is_reached() {
    let dir = tempfile::tempdir().expect("a folder for the test");
    let host_proc = Path::new("/proc");
    if !host_proc.join("self").exists() {
        return;
    }
    // The whole host as root, without our own /proc over it.
    let mut config = NamespaceConfig::over_host("/".into());
    config.mounts.truncate(1);
    let ns = Namespace::new(config).expect("mounts");
    let ctx = ns.context(b"/", 0).expect("context");
    symlink("/proc/self", dir.path().join("p")).expect("link");
    let link = format!("{}/p/mem", dir.path().display());
    for path in [
        "/proc/self/mem",
        "/proc/1/../self/maps",
        "/../proc/self/environ",
        &link,
    ] {
        let got = Lookup::new(&ns, &ctx, Caller::default()).open(path.as_bytes(), O_RDONLY, 0);
        assert_eq!(got.map(drop), Err(Errno::EACCES), "{path}");
    }
    let as_root = Namespace::new(NamespaceConfig::over_host("/proc".into()));
    assert!(as_root.is_err());
}

#[test]
fn offsets_and_appends() {
    let world = world();
    let file = world
        .lookup()
        .open(b"/t", O_RDWR | O_CREAT, 0o600)
        .expect("created");
    let write = |bytes: &[u8], at| file.write(&mut SliceSource::new(bytes), at);
    let read = |len, at| {
        let mut sink = VecSink::new(len);
        file.read(&mut sink, at).map(|_| sink.bytes)
    };
    assert_eq!(write(b"abcdef", None), Ok(6));
    assert_eq!(write(b"XY", Some(1)), Ok(2));
    assert_eq!(*file.offset(), 6);
    assert_eq!(read(10, Some(0)), Ok(b"aXYdef".to_vec()));
    assert_eq!(read(10, None), Ok(Vec::new()));
    file.set_flags(rivix_abi::fcntl::O_APPEND).expect("F_SETFL");
    *file.offset() = 0;
    assert_eq!(write(b"!", None), Ok(1));
    assert_eq!(*file.offset(), 7);
    assert_eq!(read(10, Some(5)), Ok(b"f!".to_vec()));
    // RLIMIT_FSIZE: part of a write, then none.
    let mut source = SliceSource::with_size_limit(b"12345", 9);
    assert_eq!(file.write(&mut source, None), Ok(2));
    let mut source = SliceSource::with_size_limit(b"12345", 9);
    assert_eq!(file.write(&mut source, None), Err(Errno::EFBIG));
}

#[test]
fn tmpfs_names() {
    let ns = Namespace::new(NamespaceConfig::empty()).expect("mounts");
    let ctx = ns.context(b"/", 0).expect("context");
    let lookup = || Lookup::new(&ns, &ctx, Caller::default());
    let root = ns.root().node;
    let caller = Caller::default();
    root.mkdir(b"d", 0o755, &caller).expect("mkdir");
    let d = lookup().resolve(b"/d", true).expect("d").node;
    d.mkdir(b"e", 0o755, &caller).expect("mkdir");
    assert_eq!(
        root.rename(
            b"d",
            &lookup().resolve(b"/d/e", true).expect("e").node,
            b"f",
            0
        ),
        Err(Errno::EINVAL)
    );
    assert_eq!(root.unlink(b"d", true), Err(Errno::ENOTEMPTY));
    assert_eq!(root.unlink(b"d", false), Err(Errno::EISDIR));
    assert_eq!(root.stat().expect("stat").nlink, 3);
    d.rename(b"e", &root, b"e", 0).expect("rename");
    assert_eq!(
        (
            root.stat().expect("stat").nlink,
            d.stat().expect("stat").nlink
        ),
        (4, 2)
    );
    root.unlink(b"d", true).expect("rmdir");
    assert_eq!(d.mkdir(b"late", 0o755, &caller), Err(Errno::ENOENT));
    lookup()
        .open(b"/e/f", O_WRONLY | O_CREAT, 0o644)
        .expect("created");
    let f = lookup().resolve(b"/e/f", true).expect("f").node;
    root.link(b"g", &f).expect("link");
    assert_eq!(f.stat().expect("stat").nlink, 2);
}
