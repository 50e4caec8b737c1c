//! The path walk: our mounts, our symlinks, our `..`; a whole stretch in one host
//! call where neither can matter.

use crate::host::HostNode;
use crate::mount::{Namespace, is_beneath};
use crate::node::{Created, check_access, open_place};
use crate::{Caller, File, Follow, FsContext, Node, NodeRef, Place};
use rivix_abi::Errno;
use rivix_abi::fcntl::{
    NAME_MAX, O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_TMPFILE,
    O_TMPFILE_BIT, O_TRUNC, O_WRONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use rivix_abi::stat::{S_IFDIR, S_IFLNK, S_IFREG};
use std::any::Any;
use std::sync::Arc;

/// Symlinks one walk may follow (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// A walk about to happen.
pub struct Lookup<'a> {
    pub ns: &'a Namespace,
    pub ctx: &'a FsContext,
    pub caller: Caller,
    /// The dirfd argument; None: AT_FDCWD.
    pub base: Option<&'a File>,
    /// openat2's RESOLVE_ flags.
    pub resolve: u64,
}

/// What a path's last component names.
pub struct LastName {
    /// The directory it is in.
    pub parent: Place,
    /// Its name; empty when the path ends in "/", "." or ".." and names `parent` itself.
    pub name: Vec<u8>,
    /// The path ended in a slash.
    pub wants_dir: bool,
}

impl LastName {
    /// EROFS unless the mount may be written.
    pub fn writable(&self) -> Result<(), Errno> {
        if self.parent.mount.is_readonly {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }
}

struct Walk {
    root: Place,
    at: Place,
    rest: Vec<u8>,
    /// How much of `rest` is consumed.
    done: usize,
    links: u32,
    start_mount: i32,
}

impl<'a> Lookup<'a> {
    pub fn new(ns: &'a Namespace, ctx: &'a FsContext, caller: Caller) -> Lookup<'a> {
        Lookup {
            ns,
            ctx,
            caller,
            base: None,
            resolve: 0,
        }
    }

    pub fn from(mut self, base: Option<&'a File>) -> Lookup<'a> {
        self.base = base;
        self
    }

    /// The place `path` names. An empty path is ENOENT (callers know AT_EMPTY_PATH).
    pub fn resolve(&self, path: &[u8], follow: bool) -> Result<Place, Errno> {
        let mut walk = self.start(path)?;
        loop {
            if let Some(place) = self.stretch(&walk)? {
                return Ok(place);
            }
            let last = self.to_last(&mut walk)?;
            if last.name.is_empty() {
                return Ok(last.parent);
            }
            let place = self.child(&last.parent, &last.name)?;
            if place.is_symlink() && (follow || last.wants_dir) {
                self.expand(&mut walk, &place, last.wants_dir)?;
                if let Some(place) = self.jumped(&mut walk)? {
                    return Ok(place);
                }
                continue;
            }
            if last.wants_dir && !place.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(place);
        }
    }

    /// The directory and name `path` ends in, for calls that make or remove names.
    pub fn last_name(&self, path: &[u8]) -> Result<LastName, Errno> {
        let mut walk = self.start(path)?;
        self.to_last(&mut walk)
    }

    /// openat(2). `mode` is before the umask.
    pub fn open(&self, path: &[u8], flags: u32, mode: u32) -> Result<Arc<File>, Errno> {
        let mode = mode & 0o7777 & !self.ctx.umask();
        if flags & O_TMPFILE_BIT != 0 {
            return self.open_unnamed(path, flags, mode);
        }
        let mut walk = self.start(path)?;
        loop {
            if let Some(file) = self.open_stretch(&walk, flags)? {
                return Ok(file);
            }
            let last = self.to_last(&mut walk)?;
            if last.name.is_empty() || last.wants_dir && flags & O_CREAT != 0 {
                if flags & O_CREAT != 0 {
                    return Err(Errno::EISDIR);
                }
                if last.name.is_empty() {
                    return self.open_found(&last.parent, flags);
                }
            }
            let path = join(&last.parent.path, &last.name);
            if let Some(mount) = self.ns.mount_at(&path) {
                self.check_xdev(&walk, mount.id)?;
                if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
                    return Err(Errno::EEXIST);
                }
                let place = Place {
                    mount: mount.clone(),
                    node: mount.root.clone(),
                    path: path.into(),
                };
                return self.open_found(&place, flags);
            }
            let wants = if last.wants_dir {
                flags | O_DIRECTORY
            } else {
                flags
            };
            match self.open_child(&last.parent, &last.name, wants, mode)? {
                Opened::File(node, ops) => {
                    let mount = last.parent.mount.clone();
                    let place = Place {
                        mount,
                        node,
                        path: path.into(),
                    };
                    return Ok(File::new(ops, flags, place));
                }
                Opened::Link(node) => {
                    let place = Place {
                        mount: last.parent.mount.clone(),
                        node,
                        path: path.into(),
                    };
                    if flags & O_NOFOLLOW != 0 && !last.wants_dir {
                        if flags & O_PATH != 0 {
                            return self.open_found(&place, flags);
                        }
                        return Err(Errno::ELOOP);
                    }
                    if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
                        return Err(Errno::EEXIST);
                    }
                    self.expand(&mut walk, &place, last.wants_dir)?;
                    if let Some(place) = self.jumped(&mut walk)? {
                        return self.open_found(&place, flags);
                    }
                }
            }
        }
    }

    /// Opens a place already found (a mount's root, a magic link's target).
    pub fn open_found(&self, place: &Place, flags: u32) -> Result<Arc<File>, Errno> {
        if flags & O_PATH != 0 {
            if flags & O_DIRECTORY != 0 && !place.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(File::new(
                Box::new(crate::file::PathOps),
                flags,
                place.clone(),
            ));
        }
        check_open(&*place.node, flags, place.mount.is_readonly)?;
        open_place(place, flags, &self.caller)
    }

    fn open_unnamed(&self, path: &[u8], flags: u32, mode: u32) -> Result<Arc<File>, Errno> {
        // O_TMPFILE names a directory and needs write access (open(2)).
        if flags & O_TMPFILE != O_TMPFILE || flags & O_ACCMODE == O_RDONLY {
            return Err(Errno::EINVAL);
        }
        let dir = self.resolve(path, flags & O_NOFOLLOW == 0)?;
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if dir.mount.is_readonly {
            return Err(Errno::EROFS);
        }
        let Created { node, ops } = dir.node.create_unnamed(flags, mode, &self.caller)?;
        let place = Place {
            mount: dir.mount.clone(),
            node,
            path: join(&dir.path, b"#tmp").into(),
        };
        Ok(File::new(ops, flags & !O_TMPFILE, place))
    }

    fn start(&self, path: &[u8]) -> Result<Walk, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let beneath = self.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) != 0;
        let absolute = path[0] == b'/';
        if absolute && self.resolve & RESOLVE_BENEATH != 0 {
            return Err(Errno::EXDEV);
        }
        let base = || match self.base {
            Some(file) if file.place().is_dir() => Ok(file.place().clone()),
            Some(_) => Err(Errno::ENOTDIR),
            None => Ok(self.ctx.cwd()),
        };
        let (root, at) = if beneath {
            let base = base()?;
            (base.clone(), base)
        } else {
            let root = self.ctx.root();
            let at = if absolute { root.clone() } else { base()? };
            (root, at)
        };
        let start_mount = at.mount.id;
        Ok(Walk {
            root,
            at,
            rest: path.to_vec(),
            done: 0,
            links: 0,
            start_mount,
        })
    }

    /// The whole rest in one host call, when it has no `..` and meets no mount.
    fn stretch(&self, walk: &Walk) -> Result<Option<Place>, Errno> {
        let Some((host, target)) = self.stretch_target(walk) else {
            return Ok(None);
        };
        let rest = &walk.rest[walk.done..];
        let wants_dir = rest.last() == Some(&b'/');
        match host.find(rest, wants_dir) {
            Ok(node) if node.kind() == S_IFLNK => Ok(None),
            Ok(node) => Ok(Some(Place {
                mount: walk.at.mount.clone(),
                node,
                path: target.into(),
            })),
            Err(Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// As `stretch`, opening at once.
    fn open_stretch(&self, walk: &Walk, flags: u32) -> Result<Option<Arc<File>>, Errno> {
        if flags & (O_CREAT | O_PATH) != 0 {
            return Ok(None);
        }
        let Some((host, target)) = self.stretch_target(walk) else {
            return Ok(None);
        };
        if walk.at.mount.is_readonly && flags & (O_ACCMODE | O_TRUNC) != 0 {
            return Ok(None);
        }
        match host.open_beneath(&walk.rest[walk.done..], flags, &self.caller) {
            Ok((node, ops)) => {
                let place = Place {
                    mount: walk.at.mount.clone(),
                    node,
                    path: target.into(),
                };
                Ok(Some(File::new(ops, flags, place)))
            }
            Err(Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn stretch_target<'w>(&self, walk: &'w Walk) -> Option<(&'w HostNode, Vec<u8>)> {
        let host = (&*walk.at.node as &dyn Any).downcast_ref::<HostNode>()?;
        let mut target = walk.at.path.to_vec();
        let mut names = 0;
        for name in walk.rest[walk.done..].split(|&b| b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return None,
                name => {
                    names += 1;
                    push(&mut target, name);
                }
            }
        }
        (names > 0 && !self.ns.crosses(&walk.at.path, &target)).then_some((host, target))
    }

    /// Walks all but the last component.
    fn to_last(&self, walk: &mut Walk) -> Result<LastName, Errno> {
        loop {
            if !walk.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            while walk.rest.get(walk.done) == Some(&b'/') {
                walk.done += 1;
            }
            let tail = &walk.rest[walk.done..];
            let len = tail.iter().position(|&b| b == b'/').unwrap_or(tail.len());
            let name = tail[..len].to_vec();
            let is_last = tail[len..].iter().all(|&b| b == b'/');
            let wants_dir = is_last && len < tail.len();
            walk.done += len;
            match &name[..] {
                b"" | b"." if is_last => {
                    walk.done = walk.rest.len();
                    return Ok(LastName {
                        parent: walk.at.clone(),
                        name: Vec::new(),
                        wants_dir,
                    });
                }
                b"." => {}
                b".." => {
                    walk.at = self.up(walk)?;
                    if is_last {
                        walk.done = walk.rest.len();
                        let parent = walk.at.clone();
                        return Ok(LastName {
                            parent,
                            name: Vec::new(),
                            wants_dir,
                        });
                    }
                }
                _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                _ if is_last => {
                    walk.done = walk.rest.len();
                    return Ok(LastName {
                        parent: walk.at.clone(),
                        name,
                        wants_dir,
                    });
                }
                _ => {
                    let place = self.child(&walk.at, &name)?;
                    self.check_xdev(walk, place.mount.id)?;
                    if place.is_symlink() {
                        self.expand(walk, &place, false)?;
                    } else {
                        walk.at = place;
                    }
                }
            }
        }
    }

    /// After `expand` of a last component: Some when a magic link led straight to a place.
    fn jumped(&self, walk: &mut Walk) -> Result<Option<Place>, Errno> {
        if walk.done < walk.rest.len() {
            return Ok(None);
        }
        Ok(Some(walk.at.clone()))
    }

    /// Puts a symlink's target in front of what is left to walk.
    fn expand(&self, walk: &mut Walk, link: &Place, wants_dir: bool) -> Result<(), Errno> {
        walk.links += 1;
        if walk.links > MAX_LINKS || self.resolve & RESOLVE_NO_SYMLINKS != 0 {
            return Err(Errno::ELOOP);
        }
        match link.node.follow(&self.caller)? {
            Follow::Place(place) => {
                if self.resolve & RESOLVE_NO_MAGICLINKS != 0 {
                    return Err(Errno::ELOOP);
                }
                if self.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) != 0 {
                    return Err(Errno::EXDEV);
                }
                self.check_xdev(walk, place.mount.id)?;
                if wants_dir && !place.is_dir() {
                    return Err(Errno::ENOTDIR);
                }
                walk.at = place;
            }
            Follow::Path(target) => {
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if target[0] == b'/' && self.resolve & RESOLVE_BENEATH != 0 {
                    return Err(Errno::EXDEV);
                }
                let mut rest = target;
                if walk.done < walk.rest.len() || wants_dir {
                    rest.push(b'/');
                    rest.extend_from_slice(&walk.rest[walk.done..]);
                }
                // The link's own directory is where a relative target starts; an
                // absolute one restarts at the root.
                if rest[0] == b'/' {
                    walk.at = walk.root.clone();
                }
                walk.rest = rest;
                walk.done = 0;
            }
        }
        Ok(())
    }

    fn up(&self, walk: &Walk) -> Result<Place, Errno> {
        let at = &walk.at;
        if at.is_same(&walk.root) {
            return if self.resolve & RESOLVE_BENEATH != 0 {
                Err(Errno::EXDEV)
            } else {
                Ok(at.clone())
            };
        }
        let (above, _) = split(&at.path);
        if &*at.path == b"/" {
            return Ok(at.clone());
        }
        let at_mount_root = at.path == at.mount.path;
        if !at_mount_root && let Some(node) = at.node.parent()? {
            let mount = at.mount.clone();
            return Ok(Place {
                mount,
                node,
                path: above.into(),
            });
        }
        // Across a mount point, or a file system that does not know parents: by path.
        let plain = Lookup {
            ns: self.ns,
            ctx: self.ctx,
            caller: self.caller,
            base: None,
            resolve: 0,
        };
        let mut from_top = Walk {
            root: self.ns.root(),
            at: self.ns.root(),
            rest: above.to_vec(),
            done: 0,
            links: walk.links,
            start_mount: walk.start_mount,
        };
        let last = plain.to_last(&mut from_top)?;
        let place = if last.name.is_empty() {
            last.parent
        } else {
            plain.child(&last.parent, &last.name)?
        };
        self.check_xdev(walk, place.mount.id)?;
        Ok(place)
    }

    fn check_xdev(&self, walk: &Walk, mount: i32) -> Result<(), Errno> {
        if self.resolve & RESOLVE_NO_XDEV != 0 && mount != walk.start_mount {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// The entry `name` of `dir`: a mount, or what the file system has.
    pub fn child(&self, dir: &Place, name: &[u8]) -> Result<Place, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let path = join(&dir.path, name);
        if let Some(mount) = self.ns.mount_at(&path) {
            return Ok(Place {
                mount: mount.clone(),
                node: mount.root.clone(),
                path: path.into(),
            });
        }
        let node = dir.node.lookup(name, &self.caller)?;
        Ok(Place {
            mount: dir.mount.clone(),
            node,
            path: path.into(),
        })
    }

    fn open_child(&self, dir: &Place, name: &[u8], flags: u32, mode: u32) -> Result<Opened, Errno> {
        let readonly = dir.mount.is_readonly;
        if flags & O_PATH == 0
            && !readonly
            && let Some(host) = (&*dir.node as &dyn Any).downcast_ref::<HostNode>()
        {
            return host.open_child(name, flags, mode, &self.caller);
        }
        match dir.node.lookup(name, &self.caller) {
            Ok(node) if node.kind() == S_IFLNK => Ok(Opened::Link(node)),
            Ok(_) if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL => Err(Errno::EEXIST),
            Ok(node) => {
                if flags & O_PATH != 0 {
                    if flags & O_DIRECTORY != 0 && node.kind() != S_IFDIR {
                        return Err(Errno::ENOTDIR);
                    }
                    return Ok(Opened::File(node, Box::new(crate::file::PathOps)));
                }
                check_open(&*node, flags, readonly)?;
                let ops = node.clone().open(flags, &self.caller)?;
                Ok(Opened::File(node, ops))
            }
            Err(Errno::ENOENT) if flags & O_CREAT != 0 && flags & O_PATH == 0 => {
                if readonly {
                    return Err(Errno::EROFS);
                }
                match dir.node.create(name, flags, mode, &self.caller) {
                    // Another thread was first: what it made is opened.
                    Err(Errno::EEXIST) if flags & O_EXCL == 0 => {
                        self.open_child(dir, name, flags & !O_CREAT, mode)
                    }
                    made => made.map(|Created { node, ops }| Opened::File(node, ops)),
                }
            }
            Err(errno) => Err(errno),
        }
    }
}

/// What opening one name found.
pub enum Opened {
    File(NodeRef, Box<dyn crate::FileOps>),
    Link(NodeRef),
}

/// The checks open(2) makes of an existing object of ours before opening it.
fn check_open(node: &dyn Node, flags: u32, readonly: bool) -> Result<(), Errno> {
    let kind = node.kind();
    if kind == S_IFLNK {
        return Err(Errno::ELOOP);
    }
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0;
    if kind == S_IFDIR && (writes || flags & O_CREAT != 0) {
        return Err(Errno::EISDIR);
    }
    if readonly && writes && (kind == S_IFREG || kind == S_IFDIR) {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// The permissions `flags` ask for, checked by mode bits; for nodes of our own.
pub(crate) fn check_open_mode(node: &dyn Node, flags: u32, caller: &Caller) -> Result<(), Errno> {
    let mut mode = match flags & O_ACCMODE {
        O_RDONLY => 4,
        O_WRONLY => 2,
        _ => 6,
    };
    if flags & O_TRUNC != 0 {
        mode |= 2;
    }
    check_access(&node.stat()?, mode, caller)
}

/// `dir` and `name` as one canonical path.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    push(&mut path, name);
    path
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// A canonical path's directory and last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(0) => (&path[..1], &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"/", path),
    }
}

/// `path` as seen from `root` (chroot); None when it is outside.
pub(crate) fn relative_to(path: &[u8], root: &[u8]) -> Option<Vec<u8>> {
    if root == b"/" {
        return Some(path.to_vec());
    }
    if !is_beneath(path, root) {
        return None;
    }
    let rest = &path[root.len()..];
    Some(if rest.is_empty() {
        b"/".to_vec()
    } else {
        rest.to_vec()
    })
}
