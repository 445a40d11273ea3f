//! The tree of headers and the store's headers, seen as one.

use super::Node;
use super::blocks::HeaderRefusal;
use super::recall::Source;
use crate::chain::block::{BlockId, Header};
use crate::chain::tree::{self, Inserted};
use crate::store::StoreError;
use crate::wire::List;

impl Node {
    /// Height of the best chain of headers.
    pub(super) fn best_header_height(&self) -> u64 {
        self.tree
            .get(&self.tree.best_header())
            .map_or(self.tree.tip_height(), |header| header.height)
    }

    /// The header of a block of the tree or the best chain.
    pub(super) fn header(&self, id: &BlockId) -> Result<Option<Header>, StoreError> {
        match self.tree.get(id) {
            Some(header) => Ok(Some(header.clone())),
            None => {
                let snapshot = self.store.snapshot();
                if snapshot.is_main(id)? {
                    snapshot.header(id)
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Whether a block's transactions are here.
    pub(super) fn has_body(&self, id: &BlockId) -> bool {
        self.tree
            .body(id)
            .is_some_and(|body| body != tree::Body::Missing)
    }

    /// Keeps a checked header.
    pub(super) fn insert_header(&mut self, header: &Header) -> Result<(), HeaderRefusal> {
        let source = Source(self.store.snapshot());
        match self.tree.insert(header.clone(), &source) {
            Ok(Inserted::New | Inserted::Known) => Ok(()),
            Ok(Inserted::UnknownParent) => Err(HeaderRefusal::Orphan),
            Ok(Inserted::Invalid) => Err(HeaderRefusal::OnInvalidBranch),
            Ok(Inserted::BelowRoot | Inserted::OffCheckpoint) => Err(HeaderRefusal::Settled),
            Ok(Inserted::Full) => Err(HeaderRefusal::TooMany),
            Err(error) => Err(HeaderRefusal::Store(error.to_string())),
        }
    }

    /// Puts a block with those that it builds on into the tree, if only the store knows them: from before a start, which
    /// makes the tree anew with the best chain alone. Whether the block is in the tree then.
    pub(super) fn recall_branch(&mut self, id: &BlockId) -> Result<bool, StoreError> {
        let snapshot = self.store.snapshot();
        let mut branch = Vec::new();
        let mut next = *id;
        // Heights fall by one, down to the root of the tree at the most.
        while self.tree.get(&next).is_none() {
            match snapshot.header(&next)? {
                Some(header) if header.height > self.tree.root_height() => {
                    next = header.parent;
                    branch.push(header);
                }
                _ => return Ok(false),
            }
        }
        let inserted = branch
            .iter()
            .rev()
            .try_for_each(|header| self.insert_header(header));
        Ok(inserted.is_ok())
    }

    /// Where to go on from, for a peer: from this block if it is in the tree, else from the best header.
    pub(super) fn locator(
        &self,
        from: Option<BlockId>,
    ) -> Result<List<BlockId, 0, 64>, StoreError> {
        let source = Source(self.store.snapshot());
        let from = from
            .filter(|id| self.tree.get(id).is_some())
            .unwrap_or_else(|| self.tree.best_header());
        let ids = self
            .tree
            .locator(&from, &source)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(List::new(ids).expect("a locator has at most 64 ids"))
    }

    /// Blocks that lack their bodies on the way to the best header, with their heights. Those that the store has from
    /// before are taken from there.
    pub(super) fn missing_bodies(&mut self, max: usize) -> Vec<(BlockId, u64)> {
        let snapshot = self.store.snapshot();
        let mut missing = Vec::new();
        for id in self.tree.missing_bodies(max) {
            match snapshot.block(&id) {
                Ok(Some(known)) if known.body_len.is_some() => self.tree.set_present(&id),
                _ => {
                    if let Some(header) = self.tree.get(&id) {
                        missing.push((id, header.height));
                    }
                }
            }
        }
        missing
    }

    /// A block's transactions are here and verified.
    pub(super) fn tree_body_ready(&mut self, id: &BlockId) {
        self.tree.set_present(id);
    }

    /// A block breaks a rule.
    pub(super) fn invalidate(&mut self, id: &BlockId) {
        self.tree.set_invalid(id);
    }
}
