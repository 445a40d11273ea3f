//! Headers that found no place in the tree, on the way to a block that others are locked on.
//!
//! A block that more than two thirds of the power prevoted for is held in the tree before it is known. What it builds on
//! is not: until the block itself comes, nothing tells its branch from any other, and an attacker's branches may leave it
//! no room. So while such a block is unknown, headers that the tree does not take are kept here, and once they chain up
//! to it, the whole branch goes into the tree.

use std::collections::{BTreeMap, VecDeque};

use tracing::debug;

use crate::chain::block::{BlockId, Header};
use crate::chain::rules;
use crate::chain::tree::Inserted;
use crate::node::Node;
use crate::node::recall::Source;

/// Most headers that are kept, about a megabyte; those that came first go first. Whoever wants to displace a branch has
/// to do the work for so many before it is shown whole.
const MAX_ASIDE: usize = 4_096;

/// The headers, each with work for this network and else unchecked.
#[derive(Default)]
pub(super) struct Aside {
    headers: BTreeMap<BlockId, Header>,
    /// In the order in which they came.
    order: VecDeque<BlockId>,
}

impl Aside {
    fn clear(&mut self) {
        self.headers.clear();
        self.order.clear();
    }

    fn add(&mut self, id: BlockId, header: Header) {
        if self.headers.insert(id, header).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > MAX_ASIDE
            && let Some(first) = self.order.pop_front()
        {
            self.headers.remove(&first);
        }
    }

    /// What is here of the chain that ends with this block, the lowest first.
    fn chain_to(&self, block: BlockId) -> Vec<Header> {
        let last = self.headers.get(&block);
        let below = |header: &&Header| self.headers.get(&header.parent);
        let mut chain: Vec<Header> = std::iter::successors(last, below).cloned().collect();
        chain.reverse();
        chain
    }
}

impl Node {
    /// Keeps a header that found no place in the tree, if it can be on the way to an unknown block that this node's part
    /// in the consensus is bound to. Whether it is in the tree now, with the branch that it belongs to.
    pub(in crate::node) fn set_aside(&mut self, header: &Header, id: BlockId) -> bool {
        let finality = &self.finality;
        let Some(duty) = &finality.duty else {
            return false;
        };
        let mut unknown = duty.bound_to(finality.next());
        unknown.retain(|block| matches!(self.header(block), Ok(None)));
        if unknown.is_empty() {
            self.finality.aside.clear();
            return false;
        }
        let above = header.height.checked_sub(finality.last_height());
        let near = above.is_some_and(|above| (1..=finality.span).contains(&above));
        if !near || header.network != self.network.id() || !id.meets(&self.network) {
            return false;
        }
        self.finality.aside.add(id, header.clone());
        for block in unknown {
            let branch = self.finality.aside.chain_to(block);
            self.take_branch(&branch);
        }
        self.tree.get(&id).is_some()
    }

    /// Puts a branch into the tree that leads to a block that is held, if it holds together and builds on what is here.
    fn take_branch(&mut self, branch: &[Header]) {
        let Some(lowest) = branch.first() else {
            return;
        };
        let Ok(Some(mut parent)) = self.header(&lowest.parent) else {
            return;
        };
        for header in branch {
            let checked = rules::check_header(&self.network, &parent, header);
            if checked.is_err() || header.timestamp_ms > self.now.wall_ms {
                return;
            }
            parent.clone_from(header);
        }
        self.hold_blocks();
        let source = Source(self.store.snapshot());
        match self.tree.insert_held(branch, &source) {
            Ok(Inserted::New) => {
                debug!(
                    headers = branch.len(),
                    "a branch that others are locked on is here"
                );
            }
            Ok(refused) => {
                debug!(?refused, "a branch that others are locked on is not taken");
            }
            Err(error) => self.store_failed(&error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    #[test]
    fn what_came_first_goes_first() {
        let mut aside = Aside::default();
        let mut header = testing::network().genesis_header().clone();
        let mut ids = Vec::new();
        for height in 0..MAX_ASIDE as u64 + 10 {
            header.height = height;
            if let Some(last) = ids.last() {
                header.parent = *last;
            }
            ids.push(header.id());
            aside.add(header.id(), header.clone());
            aside.add(header.id(), header.clone());
        }
        assert_eq!(aside.order.len(), MAX_ASIDE);
        assert_eq!(aside.headers.len(), MAX_ASIDE);
        let chain = aside.chain_to(ids[MAX_ASIDE + 9]);
        assert_eq!(chain.len(), MAX_ASIDE);
        assert_eq!(chain[0].height, 10);
        assert!(aside.chain_to(ids[9]).is_empty());
        aside.clear();
        assert!(aside.headers.is_empty() && aside.order.is_empty());
    }
}
