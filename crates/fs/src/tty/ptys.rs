//! The pseudo-terminals that exist.

use super::devpts::slave_node;
use super::{Pair, TerminalHost};
use crate::{Node, NodeRef};
use rivix_abi::Errno;
use rivix_sync::{Mutex, level};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

/// Pairs at once (fs/devpts, kernel.pty.max).
const MAX: u32 = 4096;

/// What a number stands for.
#[derive(Clone)]
enum Entry {
    Pair(Weak<Pair>),
    /// The master has closed: a slave that is still open keeps the number.
    Nameless,
    /// A terminal of the host's: its files' node.
    Console(Weak<dyn Node>),
}

/// A sandbox's pairs, by number.
#[derive(Default)]
pub(crate) struct Ptys {
    host: OnceLock<Weak<dyn TerminalHost>>,
    list: Mutex<level::Inode, BTreeMap<u32, Entry>>,
}

impl Ptys {
    /// The first one stays.
    pub(crate) fn set_host(&self, host: Weak<dyn TerminalHost>) {
        let _ = self.host.set(host);
    }

    pub(crate) fn host(&self) -> Option<Arc<dyn TerminalHost>> {
        self.host.get().and_then(Weak::upgrade)
    }

    /// A new pair with the lowest free number. ENOSPC: there are too many.
    pub(super) fn create(self: &Arc<Self>, uid: u32) -> Result<Arc<Pair>, Errno> {
        let mut list = self.list.lock();
        let index = lowest_free(&list)?;
        let pair = Arc::new(Pair::new(index, self.clone(), uid));
        list.insert(index, Entry::Pair(Arc::downgrade(&pair)));
        Ok(pair)
    }

    /// A number for a terminal of the host's: `wanted`, if that is free.
    /// Its node comes with [`Ptys::name_console`].
    pub(crate) fn number_console(&self, wanted: Option<u32>) -> Result<u32, Errno> {
        let mut list = self.list.lock();
        let index = match wanted.filter(|index| *index < MAX && !list.contains_key(index)) {
            Some(index) => index,
            None => lowest_free(&list)?,
        };
        list.insert(index, Entry::Nameless);
        Ok(index)
    }

    /// Gives a console's number a name, of its newest file's node.
    pub(crate) fn name_console(&self, index: u32, node: &NodeRef) {
        let entry = Entry::Console(Arc::downgrade(node));
        self.list.lock().insert(index, entry);
    }

    /// The pair with a number, while it has its name.
    pub(crate) fn pair(&self, index: u32) -> Option<Arc<Pair>> {
        let found = self.list.lock().get(&index).cloned();
        match found? {
            Entry::Pair(pair) => pair.upgrade(),
            _ => None,
        }
    }

    /// The node that has the name `index`.
    pub(crate) fn node(&self, index: u32) -> Option<NodeRef> {
        let found = self.list.lock().get(&index).cloned();
        match found? {
            Entry::Pair(pair) => pair.upgrade().map(slave_node),
            Entry::Console(node) => node.upgrade(),
            Entry::Nameless => None,
        }
    }

    /// Numbers that have names.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let list = self.list.lock();
        let named = list.iter().filter(|(_, e)| match e {
            Entry::Pair(pair) => pair.strong_count() > 0,
            Entry::Console(node) => node.strong_count() > 0,
            Entry::Nameless => false,
        });
        named.map(|(index, _)| *index).collect()
    }

    pub(super) fn forget_name(&self, index: u32) {
        if let Some(entry) = self.list.lock().get_mut(&index) {
            *entry = Entry::Nameless;
        }
    }

    pub(super) fn free(&self, index: u32) {
        self.list.lock().remove(&index);
    }
}

fn lowest_free(list: &BTreeMap<u32, Entry>) -> Result<u32, Errno> {
    let taken = list.keys().zip(0..).take_while(|(key, at)| **key == *at);
    let index = taken.count() as u32;
    if index < MAX {
        Ok(index)
    } else {
        Err(Errno::ENOSPC)
    }
}
