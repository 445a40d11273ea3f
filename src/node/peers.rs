//! What this node knows of its peers, and the requests that are under way to them.

use std::collections::BTreeMap;

use votenode_p2p::PeerId;

use crate::chain::block::BlockId;
use crate::chain::transaction::TxId;
use crate::protocol::sync::Status;

/// Requests under way to one peer.
pub(super) const MAX_REQUESTS_PER_PEER: usize = 3;
/// How long a peer that answered `busy`, or not at all, is left alone, in milliseconds.
const PAUSE_MS: u64 = 250;
/// Failures in a row that are counted: the longest pause is half a minute.
const MAX_FAILURES: u32 = 7;

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Where it stands.
    Status,
    /// Headers after ours.
    Headers,
    /// Bodies of these blocks.
    Bodies(Vec<BlockId>),
    /// A page of its pool.
    PendingIds,
    /// Transactions of its pool.
    Pooled(Vec<TxId>),
    /// Transactions of a block whose header it gossiped.
    BlockTransactions(BlockId),
}

/// A peer of this network.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Where it said it stands, and when that was heard (monotonic).
    pub(super) status: Option<(Status, u64)>,
    /// Its clock less ours, in milliseconds, without the way there.
    pub(super) clock_offset_ms: Option<i64>,
    /// When to ask for its status again (monotonic).
    pub(super) ask_at_ms: u64,
    /// When its pool was last compared with ours (monotonic).
    pub(super) pool_compared_ms: Option<u64>,
    paused_until_ms: u64,
    /// Requests in a row that brought nothing.
    failures: u32,
    requests: usize,
}

/// Peers and requests.
#[derive(Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
    requests: BTreeMap<u64, (PeerId, Asked)>,
    next_tag: u64,
}

impl Peers {
    /// A peer came.
    pub(super) fn add(&mut self, peer: PeerId) {
        self.peers.entry(peer).or_default();
    }

    /// A peer went, and with it the requests to it: what they were for. Replies that still come are ignored.
    pub(super) fn remove(&mut self, peer: &PeerId) -> Vec<Asked> {
        self.peers.remove(peer);
        let tags: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, (asked_peer, _))| asked_peer == peer)
            .map(|(tag, _)| *tag)
            .collect();
        tags.into_iter()
            .filter_map(|tag| self.requests.remove(&tag))
            .map(|(_, asked)| asked)
            .collect()
    }

    /// One of them.
    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(peer)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether a request for the same is under way to this peer.
    pub(super) fn is_asking(&self, peer: &PeerId, what: impl Fn(&Asked) -> bool) -> bool {
        self.requests
            .values()
            .any(|(asked_peer, asked)| asked_peer == peer && what(asked))
    }

    /// Whether a request for the same is under way to anyone.
    pub(super) fn is_asking_anyone(&self, what: impl Fn(&Asked) -> bool) -> bool {
        self.requests.values().any(|(_, asked)| what(asked))
    }

    /// Registers a request and gives its tag, unless the peer is gone, paused or busy with ours.
    pub(super) fn ask(&mut self, peer: &PeerId, asked: Asked, now_ms: u64) -> Option<u64> {
        let entry = self.peers.get_mut(peer)?;
        if entry.requests >= MAX_REQUESTS_PER_PEER || entry.paused_until_ms > now_ms {
            return None;
        }
        entry.requests += 1;
        self.next_tag += 1;
        self.requests.insert(self.next_tag, (*peer, asked));
        Some(self.next_tag)
    }

    /// A request ended: what it was for.
    pub(super) fn answered(&mut self, tag: u64, peer: &PeerId) -> Option<Asked> {
        let (asked_peer, asked) = self.requests.remove(&tag)?;
        if asked_peer != *peer {
            return None;
        }
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.requests = entry.requests.saturating_sub(1);
        }
        Some(asked)
    }

    /// Leaves a peer alone for a moment that doubles with every failure in a row.
    pub(super) fn pause(&mut self, peer: &PeerId, now_ms: u64) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failures = (entry.failures + 1).min(MAX_FAILURES);
            entry.paused_until_ms = now_ms + (PAUSE_MS << entry.failures);
        }
    }

    /// Peers that say their chain is at least this high and that can take a request, the reliable and least busy first.
    pub(super) fn at_height(&self, height: u64, now_ms: u64) -> Vec<PeerId> {
        let mut able: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| {
                peer.requests < MAX_REQUESTS_PER_PEER
                    && peer.paused_until_ms <= now_ms
                    && peer
                        .status
                        .as_ref()
                        .is_some_and(|(status, _)| status.height >= height)
            })
            .map(|(id, peer)| (peer.failures, peer.requests, *id))
            .collect();
        able.sort();
        able.into_iter().map(|(_, _, id)| id).collect()
    }

    /// When the next status is due.
    pub(super) fn next_ask_ms(&self) -> Option<u64> {
        self.peers.values().map(|peer| peer.ask_at_ms).min()
    }

    /// A peer gave something useful.
    pub(super) fn useful(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failures = 0;
        }
    }

    /// Median of the peers' clock offsets, in milliseconds. This node's own clock, which is off by nothing, counts as
    /// one more.
    pub(super) fn median_clock_offset_ms(&self) -> Option<i64> {
        let mut offsets: Vec<i64> = self
            .peers
            .values()
            .filter_map(|peer| peer.clock_offset_ms)
            .collect();
        if offsets.is_empty() {
            return None;
        }
        offsets.push(0);
        offsets.sort_unstable();
        offsets.get(offsets.len() / 2).copied()
    }
}
