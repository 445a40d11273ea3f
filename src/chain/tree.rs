//! The tree of headers and the choice between its branches.
//!
//! The tree holds the *active* chain (the one that the node's state stands on) from a root up to its tip, the side
//! branches that fork from it there, and headers whose bodies have yet to come. What lies below the root is settled
//! and read through [`HeaderSource`]. The tree decides which block ought to be the tip ([`HeaderTree::best`]); whoever
//! drives it fetches and applies bodies and says what became of them.
//!
//! Headers come in checked (work, timestamp, version); the tree knows how they hang together and nothing of what is in
//! the blocks. Every walk is in the order of work and id, so that equal trees always answer alike.

mod choice;
mod follow;
mod room;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::chain::block::{BlockId, Header};
use crate::chain::state::ViewError;

pub use choice::{CheckpointConflict, Competing};
pub use follow::{MAX_LOCATOR, Path};
pub use room::MAX_HELD;

/// How many blocks of the active chain are kept below its tip: how deep a reorganisation can go where nobody
/// finalises. At a block every two seconds without rest, nine hours.
pub const WINDOW: u64 = 16_384;

/// Most headers beside the active chain: side branches and headers ahead of their bodies. With a full window about
/// 30 MB.
pub const MAX_SIDE_HEADERS: usize = 65_536;

/// Most branches beside the active chain. Honest networks see a handful.
pub const MAX_SIDE_BRANCHES: usize = 64;

/// How many invalid blocks are remembered, so that they are not fetched again.
pub const MAX_INVALID: usize = 1_024;

/// Bounds of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// [`WINDOW`].
    pub window: u64,
    /// [`MAX_SIDE_HEADERS`].
    pub side_headers: usize,
    /// [`MAX_SIDE_BRANCHES`].
    pub side_branches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: WINDOW,
            side_headers: MAX_SIDE_HEADERS,
            side_branches: MAX_SIDE_BRANCHES,
        }
    }
}

/// Reads headers of the active chain from where they are kept. The genesis block is always there.
pub trait HeaderSource {
    /// The id of the block at this height.
    fn id_at(&self, height: u64) -> Result<Option<BlockId>, ViewError>;
    /// The header of this block.
    fn header(&self, id: &BlockId) -> Result<Option<Header>, ViewError>;
    /// The header at this height.
    fn header_at(&self, height: u64) -> Result<Option<Header>, ViewError> {
        match self.id_at(height)? {
            Some(id) => self.header(&id),
            None => Ok(None),
        }
    }
}

/// What is known of a block besides its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// Nothing yet.
    Missing,
    /// Its transactions are here and match the header.
    Present,
    /// It was applied once: it is valid on its parent.
    Valid,
}

/// What became of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the tree now.
    New,
    /// It was there already.
    Known,
    /// The block before it is unknown: what lies between has to come first.
    UnknownParent,
    /// The block, or one that it builds on, is invalid.
    Invalid,
    /// It forks off below the root.
    BelowRoot,
    /// It is on a branch that the last checkpoint rules out.
    OffCheckpoint,
    /// Its branch has the least work, and there is no room; or it is too far ahead of the bodies.
    Full,
}

#[derive(Clone, Debug)]
struct Entry {
    header: Header,
    children: BTreeSet<BlockId>,
    body: Body,
    /// Bodies are here from the root up to this block.
    ready: bool,
    /// On a branch that does not contain the checkpoint.
    off_checkpoint: bool,
    /// On a branch that does not contain the pinned block.
    off_pin: bool,
}

/// Cumulative work of the chain that ends at this height. The target never changes, so every block carries the same
/// work, and counting blocks is counting work.
pub const fn work(height: u64) -> u64 {
    height
}

/// Orders blocks from worst to best: less work first, then the greater id.
type Rank = (u64, Reverse<BlockId>);

fn rank(id: &BlockId, header: &Header) -> Rank {
    (work(header.height), Reverse(*id))
}

/// The tree of headers.
#[derive(Clone, Debug)]
pub struct HeaderTree {
    limits: Limits,
    entries: BTreeMap<BlockId, Entry>,
    /// The active chain from the root to the tip; never empty.
    active: VecDeque<BlockId>,
    root_height: u64,
    leaves: BTreeSet<Rank>,
    /// Blocks that may become the tip.
    ready: BTreeSet<Rank>,
    invalid: BTreeMap<BlockId, u64>,
    checkpoint: Option<(BlockId, u64)>,
    pin: Option<(BlockId, u64)>,
    /// Blocks whose branches never make room for others.
    held: BTreeSet<BlockId>,
    forgotten: Vec<BlockId>,
}

impl HeaderTree {
    /// The tree of a node whose state stands on the block at `tip_height` of the chain in `source`.
    pub fn open(
        source: &dyn HeaderSource,
        tip_height: u64,
        limits: Limits,
    ) -> Result<Self, ViewError> {
        let root_height = tip_height.saturating_sub(limits.window);
        let mut tree = Self {
            limits,
            entries: BTreeMap::new(),
            active: VecDeque::new(),
            root_height,
            leaves: BTreeSet::new(),
            ready: BTreeSet::new(),
            invalid: BTreeMap::new(),
            checkpoint: None,
            pin: None,
            held: BTreeSet::new(),
            forgotten: Vec::new(),
        };
        for height in root_height..=tip_height {
            let header = source
                .header_at(height)?
                .ok_or_else(|| ViewError(format!("the header at height {height} is missing")))?;
            let id = header.id();
            tree.link(id, header, Body::Valid);
            tree.active.push_back(id);
        }
        Ok(tree)
    }

    /// The bounds that it was opened with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes in a header that was checked by itself and against its parent.
    pub fn insert(
        &mut self,
        header: Header,
        source: &dyn HeaderSource,
    ) -> Result<Inserted, ViewError> {
        let id = header.id();
        if self.entries.contains_key(&id) {
            return Ok(Inserted::Known);
        }
        if self.invalid.contains_key(&id) {
            return Ok(Inserted::Invalid);
        }
        if self.invalid.contains_key(&header.parent) {
            self.remember_invalid(id, header.height);
            return Ok(Inserted::Invalid);
        }
        let Some(parent) = self.entries.get(&header.parent) else {
            return self.outside(&id, &header, source);
        };
        if header.height != parent.header.height + 1 {
            return Ok(Inserted::Invalid);
        }
        if parent.off_checkpoint || self.misses(self.checkpoint, parent, &id, &header) {
            return Ok(Inserted::OffCheckpoint);
        }
        self.link(id, header, Body::Missing);
        if self
            .checkpoint
            .is_some_and(|(checkpoint, _)| checkpoint == id)
        {
            self.choose_again();
        }
        Ok(self.make_room(id))
    }

    /// What to say of a header whose parent is not in the tree.
    fn outside(
        &self,
        id: &BlockId,
        header: &Header,
        source: &dyn HeaderSource,
    ) -> Result<Inserted, ViewError> {
        if header.height > self.root_height {
            return Ok(Inserted::UnknownParent);
        }
        if source.id_at(header.height)? == Some(*id) {
            return Ok(Inserted::Known);
        }
        let below = match header.height.checked_sub(1) {
            Some(height) => source.id_at(height)? == Some(header.parent),
            None => true,
        };
        Ok(if below {
            Inserted::BelowRoot
        } else {
            Inserted::UnknownParent
        })
    }

    /// Hangs a header into the tree.
    fn link(&mut self, id: BlockId, header: Header, body: Body) {
        let (mut ready, mut off_pin) = (true, false);
        if let Some(parent) = self.entries.get(&header.parent) {
            ready = parent.ready;
            off_pin = parent.off_pin || self.misses(self.pin, parent, &id, &header);
        }
        ready &= body != Body::Missing;
        if let Some(parent) = self.entries.get_mut(&header.parent) {
            parent.children.insert(id);
            self.leaves.remove(&rank(&header.parent, &parent.header));
        }
        self.leaves.insert(rank(&id, &header));
        if ready && !off_pin {
            self.ready.insert(rank(&id, &header));
        }
        let entry = Entry {
            header,
            children: BTreeSet::new(),
            body,
            ready,
            off_checkpoint: false,
            off_pin,
        };
        self.entries.insert(id, entry);
    }

    /// Notes that the block's transactions are here and match its header.
    pub fn set_present(&mut self, id: &BlockId) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.body == Body::Missing
        {
            entry.body = Body::Present;
            self.spread_ready(*id);
        }
    }

    /// Notes that the block was applied to its parent's state.
    pub fn set_valid(&mut self, id: &BlockId) {
        self.set_present(id);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.body = Body::Valid;
        }
    }

    /// Marks blocks as ready from here up, as far as bodies are there.
    fn spread_ready(&mut self, from: BlockId) {
        let mut queue = vec![from];
        while let Some(id) = queue.pop() {
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            let parent_ready = self
                .entries
                .get(&entry.header.parent)
                .is_none_or(|parent| parent.ready);
            if entry.ready || entry.body == Body::Missing || !parent_ready {
                continue;
            }
            queue.extend(entry.children.iter().copied());
            if !entry.off_pin && !entry.off_checkpoint {
                self.ready.insert(rank(&id, &entry.header));
            }
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.ready = true;
            }
        }
    }

    /// Notes that the block breaks a rule: it goes, with all that builds on it, and is not taken again. A block of the
    /// active chain was found valid and stays.
    pub fn set_invalid(&mut self, id: &BlockId) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        if self.is_active(id) {
            return;
        }
        let height = entry.header.height;
        self.unlink(*id);
        self.remember_invalid(*id, height);
    }

    /// Drops a branch from this block up, for example one whose bodies nobody can supply. The active chain stays.
    pub fn forget(&mut self, id: &BlockId) {
        if !self.is_active(id) {
            self.unlink(*id);
        }
    }

    /// Blocks with bodies that left the tree since the last call and were not settled: their bodies are of no more use.
    /// The list grows until it is taken.
    pub fn take_forgotten(&mut self) -> Vec<BlockId> {
        std::mem::take(&mut self.forgotten)
    }

    fn remember_invalid(&mut self, id: BlockId, height: u64) {
        self.invalid.insert(id, height);
        while self.invalid.len() > MAX_INVALID {
            // The lowest are the least likely to be offered again.
            let lowest = self
                .invalid
                .iter()
                .min_by_key(|(id, height)| (**height, **id));
            let Some(lowest) = lowest.map(|(id, _)| *id) else {
                break;
            };
            self.invalid.remove(&lowest);
        }
    }

    /// Removes a block with its descendants, none of them active, and hands its place as a leaf to its parent.
    fn unlink(&mut self, id: BlockId) {
        let Some(parent) = self.entries.get(&id).map(|entry| entry.header.parent) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&parent) {
            entry.children.remove(&id);
            if entry.children.is_empty() {
                self.leaves.insert(rank(&parent, &entry.header));
            }
        }
        let mut queue = vec![id];
        while let Some(id) = queue.pop() {
            if let Some(entry) = self.entries.remove(&id) {
                queue.extend(entry.children);
                self.leaves.remove(&rank(&id, &entry.header));
                self.ready.remove(&rank(&id, &entry.header));
                if entry.body != Body::Missing {
                    self.forgotten.push(id);
                }
            }
        }
    }

    /// Whether a block, or one that it builds on, is known to be invalid.
    pub fn is_invalid(&self, id: &BlockId) -> bool {
        self.invalid.contains_key(id)
    }

    /// Blocks beside the active chain whose transactions are here.
    pub fn present_beside(&self) -> impl Iterator<Item = BlockId> {
        let present = self.entries.iter();
        let present = present.filter(|(_, entry)| entry.body != Body::Missing);
        let beside = present.filter(|(id, _)| !self.is_active(id));
        beside.map(|(id, _)| *id)
    }

    /// The header of a block in the tree.
    pub fn get(&self, id: &BlockId) -> Option<&Header> {
        self.entries.get(id).map(|entry| &entry.header)
    }

    /// What is known of a block in the tree.
    pub fn body(&self, id: &BlockId) -> Option<Body> {
        self.entries.get(id).map(|entry| entry.body)
    }

    /// The block that the state stands on.
    pub fn tip(&self) -> BlockId {
        *self.active.back().expect("the active chain is never empty")
    }

    /// Its height.
    pub fn tip_height(&self) -> u64 {
        self.root_height + self.active.len() as u64 - 1
    }

    /// Height of the root: the active chain is in the tree from here on.
    pub fn root_height(&self) -> u64 {
        self.root_height
    }

    /// Headers in the tree.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: the root is always there.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The block of the active chain at a height from the root up.
    fn active_at(&self, height: u64) -> Option<BlockId> {
        let index = height.checked_sub(self.root_height)?;
        self.active.get(usize::try_from(index).ok()?).copied()
    }

    /// Whether the block is in the tree and on the active chain.
    pub fn is_active(&self, id: &BlockId) -> bool {
        self.get(id)
            .is_some_and(|header| self.active_at(header.height) == Some(*id))
    }

    /// The ancestor of a block in the tree, or the block itself, at a height from the root up.
    pub fn ancestor_at(&self, id: &BlockId, height: u64) -> Option<BlockId> {
        let mut id = *id;
        let mut header = self.get(&id)?;
        while header.height > height {
            // Below a block of the active chain, the chain itself knows.
            if self.is_active(&id) {
                return self.active_at(height);
            }
            id = header.parent;
            header = self.get(&id)?;
        }
        (header.height == height).then_some(id)
    }
}
