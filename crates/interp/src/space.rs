//! Which translations an address space uses.
//!
//! Those of the code that its program came with are a [program](crate::program)'s,
//! shared with others that run the same files. All others are in a [`Code`] of
//! its own, which it shares with forks of the space until either side's executable
//! memory changes. A change of the program's own code makes the space leave the
//! program.

use crate::code::{Code, OUTSIDE};
use crate::program::Attached;
use crate::state::HartState;
use rivix_engine::{CodeObject, Hart, HartContext};
use rivix_mem::AddressSpace;
use rivix_sync::{Kick, Mutex, level};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The translations in use.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) own: Arc<Code>,
    /// Consulted first, for the addresses it covers.
    pub(crate) program: Option<Attached>,
}

/// What a space has left.
struct Parted {
    /// Anything: its harts run it until they come out.
    has_left: bool,
    /// The own translations, for new ones.
    is_new: bool,
}

/// The interpreter's code object.
pub(crate) struct CodeSpace {
    space: Weak<AddressSpace>,
    sources: Mutex<level::Code, Sources>,
    /// Counts changes of `sources`.
    pub(crate) version: AtomicU64,
    kicks: Mutex<level::Code, Vec<Weak<Kick>>>,
}

impl CodeSpace {
    /// `sources.own` counts the new code space among its owners already.
    pub(crate) fn new(space: &Arc<AddressSpace>, sources: Sources) -> Arc<CodeSpace> {
        Arc::new(CodeSpace {
            space: Arc::downgrade(space),
            sources: Mutex::new(sources),
            version: AtomicU64::new(0),
            kicks: Mutex::new(Vec::new()),
        })
    }

    /// The translations to use, and the version they belong to.
    pub(crate) fn current(&self) -> (Sources, u64) {
        let sources = self.sources.lock();
        (sources.clone(), self.version.load(Ordering::SeqCst))
    }

    /// Leaves shared translations to the others: the own ones if forks use them
    /// too, the program's if asked to. Harts of this space are kicked, and change
    /// over when they next enter.
    fn part(&self, leave_program: bool) -> Parted {
        let (left, is_new) = {
            let mut sources = self.sources.lock();
            let left = leave_program.then(|| sources.program.take()).flatten();
            let is_new = sources.own.is_shared();
            if is_new {
                sources.own.remove_owner();
                sources.own = Code::new();
            }
            if is_new || left.is_some() {
                self.version.fetch_add(1, Ordering::SeqCst);
            }
            (left, is_new)
        };
        let has_left = is_new || left.is_some();
        if has_left {
            self.kick_harts();
        }
        Parted { has_left, is_new }
    }

    /// Leaves the own translations to forks that use them too.
    pub(crate) fn leave_forks(&self) {
        self.part(false);
    }

    /// Leaves a program that takes no more translations.
    pub(crate) fn leave_program(&self) {
        let left = {
            let mut sources = self.sources.lock();
            let left = sources.program.take();
            if left.is_some() {
                self.version.fetch_add(1, Ordering::SeqCst);
            }
            left
        };
        if left.is_some() {
            self.kick_harts();
        }
    }

    fn kick_harts(&self) {
        let kicks = std::mem::take(&mut *self.kicks.lock());
        let alive: Vec<_> = kicks.into_iter().filter(|k| k.strong_count() > 0).collect();
        for kick in alive.iter().filter_map(Weak::upgrade) {
            kick.kick();
        }
        self.kicks.lock().extend(alive);
    }
}

impl CodeObject for CodeSpace {
    fn hart(self: Arc<Self>, context: HartContext) -> Box<dyn Hart> {
        {
            let mut kicks = self.kicks.lock();
            kicks.retain(|k| k.strong_count() > 0);
            kicks.push(Arc::downgrade(&context.kick));
        }
        Box::new(crate::run::InterpHart::new(self, context))
    }

    fn invalidate(&self, range: Range<u64>) -> bool {
        let (sources, _) = self.current();
        let is_programs = sources.program.is_some_and(|p| p.overlaps(&range));
        let parted = self.part(is_programs);
        if !parted.is_new {
            self.current().0.own.invalidate(&range);
        }
        parted.has_left
    }

    /// Also fence.i of one of its harts.
    fn refresh(&self) {
        let Some(space) = self.space.upgrade() else {
            return;
        };
        // Memory is read without locks of ours: the address space's come first.
        let (sources, _) = self.current();
        let differs = sources.program.is_some_and(|p| !p.is_in(&space));
        if !self.part(differs).is_new {
            self.current().0.own.refresh(&space);
        }
    }

    fn fork(&self, space: &Arc<AddressSpace>) -> Arc<dyn CodeObject> {
        let sources = {
            let sources = self.sources.lock();
            sources.own.add_owner();
            sources.clone()
        };
        CodeSpace::new(space, sources)
    }
}

impl Drop for CodeSpace {
    fn drop(&mut self) {
        self.sources.lock().own.remove_owner();
    }
}

/// Where a hart is with respect to its code.
impl HartState {
    /// Announces this hart and brings its cache up to date.
    pub(crate) fn enter(&mut self) {
        if self.home.version.load(Ordering::SeqCst) != self.version {
            let (sources, version) = self.home.current();
            self.own.unregister(&self.presence);
            self.presence = sources.own.register(&self.context.kick);
            self.own = sources.own;
            self.program = sources.program;
            self.version = version;
            self.forget();
        }
        loop {
            let generation = self.own.generation.load(Ordering::SeqCst);
            self.presence.since.store(generation, Ordering::SeqCst);
            if self.own.generation.load(Ordering::SeqCst) != generation {
                continue;
            }
            if generation != self.seen {
                self.seen = generation;
                self.forget();
            }
            return;
        }
    }

    pub(crate) fn leave(&mut self) {
        self.presence.since.store(OUTSIDE, Ordering::Release);
    }

    /// Empties the indirect-branch cache.
    pub(crate) fn forget(&mut self) {
        self.cache.fill(crate::state::CacheEntry::EMPTY);
    }
}
