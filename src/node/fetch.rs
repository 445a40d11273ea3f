//! Fetching bodies: which are missing, whom they are asked of, and when a branch whose bodies nobody gives is set aside.

use std::collections::{BTreeMap, BTreeSet};

use tracing::debug;
use votenode_p2p::PeerId;

use super::Node;
use super::blocks::MAX_BODIES_HELD;
use super::peers::Asked;
use crate::chain::block::BlockId;
use crate::chain::transaction::Transaction;
use crate::protocol::sync::{MAX_BODIES, Request};
use crate::wire::List;

/// Blocks asked for in one request.
const BODIES_PER_REQUEST: usize = 32;
/// Bytes of bodies asked for in one request; one more body than fits is never sent.
const BODY_BYTES: u64 = 1024 * 1024;
/// How far above the lowest missing body others are fetched meanwhile, in blocks.
const BODY_WINDOW: u64 = 256;
/// Blocks behind the best header at which a node counts as catching up.
const FAR_BEHIND: u64 = 16;
/// How long the lowest missing body is waited for before its block is set aside, in milliseconds. Its header cost work,
/// but a header whose body nobody gives must not hold up everybody else.
const BODY_PATIENCE_MS: u64 = 20_000;
/// How long a block is set aside the first time, in milliseconds; it doubles each time.
const WITHHELD_MS: u64 = 30_000;
/// Blocks set aside that are remembered.
pub(super) const MAX_WITHHELD: usize = 256;
/// How long this node counts as catching up without any body coming, in milliseconds.
const SYNC_PATIENCE_MS: u64 = 10_000;
/// The same in bytes, if all blocks are as large as they may be. Gossip fills no more.
pub(super) const WINDOW_BYTES: u64 = 128 * 1024 * 1024;

/// How fetching of bodies goes.
#[derive(Default)]
pub(super) struct Fetch {
    /// The lowest missing body and since when it has been waited for (monotonic).
    waiting_for: Option<(BlockId, u64)>,
    /// Blocks whose bodies nobody gave: until when they are set aside, and how often that happened.
    pub(super) withheld: BTreeMap<BlockId, (u64, u32)>,
    /// Blocks set aside since the last body came.
    disappointments: u32,
    /// Bodies that came in the present span.
    pace: Pace,
    /// Fewer bodies came in the last whole span than a node that catches up gets.
    trickles: bool,
}

/// Bodies that came in a span of [`SYNC_PATIENCE_MS`] in which this node was far behind.
#[derive(Default)]
struct Pace {
    /// Its beginning (monotonic), or zero.
    since_ms: u64,
    came: u64,
}

impl Fetch {
    /// Whether some body is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_for.is_some()
    }

    /// When the lowest missing body is given up.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.waiting_for
            .map(|(_, since_ms)| since_ms + BODY_PATIENCE_MS)
    }

    /// Whether a block is set aside.
    pub(super) fn is_withheld(&self, id: &BlockId, now_ms: u64) -> bool {
        self.withheld
            .get(id)
            .is_some_and(|(until_ms, _)| *until_ms > now_ms)
    }

    /// Somebody passes the block on.
    pub(super) fn offered(&mut self, id: &BlockId) {
        self.withheld.remove(id);
    }

    /// A body came.
    pub(super) fn came(&mut self, id: &BlockId) {
        self.withheld.remove(id);
        self.disappointments = 0;
        self.waiting_for = None;
        self.pace.came += 1;
    }

    /// Notes at every look how far behind this node is. Nobody who gives bodies one by one may keep it catching up, and
    /// so from serving others, for as long as he likes: a span without many of them ends it, until the node is near again.
    fn keep_pace(&mut self, far: bool, now_ms: u64) {
        if !far {
            self.pace = Pace::default();
            self.trickles = false;
        } else if self.pace.since_ms == 0 {
            self.pace.since_ms = now_ms.max(1);
        } else if now_ms >= self.pace.since_ms + SYNC_PATIENCE_MS {
            self.trickles = self.pace.came < FAR_BEHIND;
            self.pace = Pace {
                since_ms: now_ms,
                came: 0,
            };
        }
    }
}

impl Node {
    /// Whether this node is far behind the best chain of headers, and on its way there. Headers that no body follows do
    /// not count: they cost whoever makes them little, and nobody may be kept from voting by them.
    pub(super) fn is_syncing(&self) -> bool {
        let far = self.is_far_behind();
        let moving = match self.fetch.waiting_for {
            Some((_, since_ms)) => self.now.mono_ms < since_ms + SYNC_PATIENCE_MS,
            None => true,
        };
        far && moving && !self.fetch.trickles && self.fetch.disappointments < 2
    }

    fn is_far_behind(&self) -> bool {
        self.best_header_height() > self.store.snapshot().tip().height + FAR_BEHIND
    }

    /// Sets a block aside whose body has been asked for long enough.
    fn give_up_on(&mut self, id: BlockId) {
        let now_ms = self.now.mono_ms;
        let times = self.fetch.withheld.get(&id).map_or(0, |(_, times)| *times);
        let until_ms = now_ms + (WITHHELD_MS << times.min(6));
        self.fetch.waiting_for = None;
        self.fetch.disappointments += 1;
        if self.tree.leads_to_kept(&id) {
            // More than two thirds of the finalisers have it: it is asked for until somebody gives it.
            return;
        }
        debug!(block = %id.short(), "nobody gives the body of this block; it is set aside");
        self.tree.forget(&id);
        self.fetch.withheld.insert(id, (until_ms, times + 1));
        while self.fetch.withheld.len() > MAX_WITHHELD {
            let soonest = self
                .fetch
                .withheld
                .iter()
                .min_by_key(|(_, (until_ms, _))| *until_ms)
                .map(|(id, _)| *id);
            if let Some(soonest) = soonest {
                self.fetch.withheld.remove(&soonest);
            }
        }
    }

    /// Asks for bodies that the best chain of headers lacks, from several peers at once.
    pub(super) fn ask_bodies(&mut self) {
        let now_ms = self.now.mono_ms;
        let far = self.is_far_behind();
        self.fetch.keep_pace(far, now_ms);
        let known = self.tree.best_header() == self.tree.tip();
        if known || self.write_failure.is_some() || self.bodies.len() >= MAX_BODIES_HELD {
            self.fetch.waiting_for = None;
            return;
        }
        let window = (WINDOW_BYTES / self.network.max_block_bytes).clamp(8, BODY_WINDOW);
        let mut missing = self.missing_bodies(BODY_WINDOW as usize);
        missing.retain(|(id, _)| !self.bodies.contains_key(id));
        let Some((lowest, lowest_height)) = missing.first().copied() else {
            self.fetch.waiting_for = None;
            return;
        };
        match self.fetch.waiting_for {
            Some((known, since_ms)) if known == lowest => {
                if now_ms >= since_ms + BODY_PATIENCE_MS {
                    return self.give_up_on(lowest);
                }
            }
            _ => self.fetch.waiting_for = Some((lowest, now_ms)),
        }
        let asked = self.bodies_asked();
        missing.retain(|(id, height)| !asked.contains(id) && *height < lowest_height + window);
        let mut rest = missing.as_slice();
        while let Some((_, from_height)) = rest.first() {
            let Some((peer, height)) = self.peers.at_height(*from_height, now_ms) else {
                return;
            };
            let ids: Vec<BlockId> = rest
                .iter()
                .take_while(|(_, wanted)| *wanted <= height)
                .take(BODIES_PER_REQUEST.min(MAX_BODIES))
                .map(|(id, _)| *id)
                .collect();
            rest = &rest[ids.len()..];
            let blocks = List::new(ids.clone()).expect("between one and MAX_BODIES");
            let request = Request::Bodies {
                blocks,
                max_bytes: BODY_BYTES,
            };
            if !self.request(peer, Asked::Bodies(ids), &request) {
                return;
            }
        }
    }

    /// Bodies under way.
    fn bodies_asked(&self) -> BTreeSet<BlockId> {
        self.peers
            .under_way(self.now.mono_ms)
            .filter_map(|asked| match asked {
                Asked::Bodies(ids) => Some(ids),
                _ => None,
            })
            .flatten()
            .copied()
            .collect()
    }

    /// Asks for bodies of a branch beside the best chain, from the lowest on. Only for what more than two thirds of the
    /// finalisers found good: nobody else may make this node fetch what it does not follow.
    pub(super) fn ask_bodies_beside(&mut self, mut missing: Vec<BlockId>) {
        if self.write_failure.is_some() || self.bodies.len() >= MAX_BODIES_HELD {
            return;
        }
        missing.retain(|id| !self.bodies.contains_key(id));
        missing.truncate(BODIES_PER_REQUEST.min(MAX_BODIES));
        let asked = self.bodies_asked();
        missing.retain(|id| !asked.contains(id));
        let height = |id: &BlockId| self.tree.get(id).map(|header| header.height);
        let Some(highest) = missing.iter().filter_map(height).max() else {
            return;
        };
        let Some((peer, _)) = self.peers.at_height(highest, self.now.mono_ms) else {
            return;
        };
        let request = Request::Bodies {
            blocks: List::new(missing.clone()).expect("between one and MAX_BODIES"),
            max_bytes: BODY_BYTES,
        };
        self.request(peer, Asked::Bodies(missing), &request);
    }

    /// Whether a peer said that it stands on this block or on one that builds on it, or gave the headers: then it has the
    /// body.
    fn claims(&self, peer: &PeerId, id: &BlockId) -> bool {
        let Some(header) = self.tree.get(id) else {
            return false;
        };
        let mut claims = self.peers.claims(peer);
        claims.any(|claim| self.tree.ancestor_at(&claim, header.height) == Some(*id))
    }

    pub(super) fn bodies_came(
        &mut self,
        peer: PeerId,
        blocks: Vec<BlockId>,
        bodies: Vec<Vec<Transaction>>,
    ) {
        if bodies.is_empty() {
            if blocks.iter().any(|id| self.claims(&peer, id)) {
                return self.claim_broken(peer, "it claims a chain whose blocks it does not give");
            }
            // It has another chain, or has one by now; others are asked.
            return self.peers.pause(&peer, self.now.mono_ms);
        }
        self.peers.useful(&peer);
        for (id, transactions) in blocks.into_iter().zip(bodies) {
            if !self.body_came(Some(peer), id, transactions) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_one_by_one_are_no_catching_up() {
        let mut fetch = Fetch::default();
        let id = BlockId::ZERO;
        fetch.keep_pace(true, 1_000);
        for now_ms in (2_000..60_000).step_by(1_000) {
            fetch.came(&id);
            fetch.keep_pace(true, now_ms);
            assert_eq!(fetch.trickles, now_ms >= 1_000 + SYNC_PATIENCE_MS);
        }
        // A whole span with many of them, and it is one again; near the tip everything is forgotten.
        for now_ms in (60_000..90_000).step_by(100) {
            fetch.came(&id);
            fetch.keep_pace(true, now_ms);
        }
        fetch.keep_pace(true, 150_000);
        assert!(!fetch.trickles);
        fetch.keep_pace(true, 170_000);
        assert!(fetch.trickles);
        fetch.keep_pace(false, 171_000);
        assert!(!fetch.trickles);
    }
}
