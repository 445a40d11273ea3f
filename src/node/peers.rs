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
/// Claims in a row that a peer may fail to make good: it may have mined, reorganised or started anew meanwhile.
const BROKEN_CLAIMS_FORGIVEN: u32 = 2;

/// A request under way for longer than this, in milliseconds, is made to somebody else too.
const SLOW_MS: u64 = 8_000;

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Where it stands.
    Status,
    /// Headers after ours.
    Headers {
        /// Height of the last header that this peer sent before on the way up; 0 for the first page.
        above: u64,
    },
    /// Bodies of these blocks.
    Bodies(Vec<BlockId>),
    /// A page of its pool.
    PendingIds {
        /// Ids above this.
        after: TxId,
        /// Pages that came before.
        page: usize,
    },
    /// Transactions of its pool.
    Pooled(Vec<TxId>),
    /// Transactions of a block whose header it gossiped.
    BlockTransactions(BlockId),
    /// Certificates of checkpoints.
    Certificates {
        /// Number of the first that was asked for.
        from: u64,
    },
    /// The way to a certified block; the number tells what was asked last from what was given up.
    Ancestry(u64),
    /// Messages about the checkpoint under way.
    FinalityMessages,
}

/// A peer of this network.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// How many peers came before it. Who has been here for long is asked first: whoever comes and goes under ever new
    /// names cannot be asked in its place.
    pub(super) arrival: u64,
    /// Where it said it stands, and when that was heard (monotonic).
    pub(super) status: Option<(Status, u64)>,
    /// Its clock less ours, in milliseconds, without the way there.
    pub(super) clock_offset_ms: Option<i64>,
    /// When to ask for its status again (monotonic).
    pub(super) ask_at_ms: u64,
    /// When its pool was last compared with ours (monotonic).
    pub(super) pool_compared_ms: Option<u64>,
    /// The last of the headers that it gave, unless it stands elsewhere since.
    gave: Option<BlockId>,
    /// When its certificates were last compared with ours from the first on (monotonic).
    pub(super) certificates_compared_ms: Option<u64>,
    /// Height that it has reached, as far as it said or showed.
    height: u64,
    paused_until_ms: u64,
    /// Requests in a row that brought nothing.
    failures: u32,
    /// It gave something useful once.
    proven: bool,
    /// Claims in a row that it did not make good.
    broken_claims: u32,
    requests: usize,
}

impl Peer {
    /// Whether it can be asked for something now.
    pub(super) fn can_take(&self, now_ms: u64) -> bool {
        self.requests < MAX_REQUESTS_PER_PEER && self.paused_until_ms <= now_ms
    }

    /// What is to be said against asking it before others. Whoever has yet to be of use ranks with those who were and
    /// fail now: else new names would always go first. Not if they fail more often than by what was under way when they
    /// were of use last.
    fn doubt(&self) -> u32 {
        if self.proven && self.failures as usize <= MAX_REQUESTS_PER_PEER {
            self.failures.min(1)
        } else {
            self.failures + 1
        }
    }
}

/// A request under way.
pub(super) struct Pending {
    peer: PeerId,
    asked: Asked,
    asked_at_ms: u64,
}

/// Peers and requests.
#[derive(Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
    pub(super) requests: BTreeMap<u64, Pending>,
    next_tag: u64,
    next_arrival: u64,
}

impl Peers {
    /// A peer came.
    pub(super) fn add(&mut self, peer: PeerId) {
        self.peers.entry(peer).or_insert_with(|| {
            let arrival = self.next_arrival;
            self.next_arrival += 1;
            Peer {
                arrival,
                ..Peer::default()
            }
        });
    }

    /// Above the arrivals of all peers that are here.
    pub(super) fn next_arrival(&self) -> u64 {
        self.next_arrival
    }

    /// A peer went, and with it the requests to it: what they were for. Replies that still come are ignored.
    pub(super) fn remove(&mut self, peer: &PeerId) -> Vec<Asked> {
        self.peers.remove(peer);
        let tags: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, pending)| pending.peer == *peer)
            .map(|(tag, _)| *tag)
            .collect();
        tags.into_iter()
            .filter_map(|tag| self.requests.remove(&tag))
            .map(|pending| pending.asked)
            .collect()
    }

    /// A peer said where it stands.
    pub(super) fn set_status(&mut self, peer: &PeerId, status: Status, now_ms: u64) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.height = status.height;
            let known = entry.status.as_ref().map(|(known, _)| known.tip);
            if known != Some(status.tip) {
                entry.gave = None;
            }
            entry.status = Some((status, now_ms));
        }
    }

    /// A peer gave headers up to this one.
    pub(super) fn note_header(&mut self, peer: &PeerId, last: BlockId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.gave = Some(last);
        }
    }

    /// Blocks that a peer says it has, with all below them.
    pub(super) fn claims(&self, peer: &PeerId) -> impl Iterator<Item = BlockId> {
        let entry = self.peers.get(peer);
        let stands = entry.and_then(|entry| Some(entry.status.as_ref()?.0.tip));
        stands.into_iter().chain(entry.and_then(|entry| entry.gave))
    }

    /// A peer showed that it has a block of this height.
    pub(super) fn note_height(&mut self, peer: &PeerId, height: u64) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.height = entry.height.max(height);
        }
    }

    /// One of them.
    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(peer)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }

    /// Whether a peer is here.
    pub(super) fn is_here(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether a request for the same is under way to this peer.
    pub(super) fn is_asking(&self, peer: &PeerId, what: impl Fn(&Asked) -> bool) -> bool {
        self.requests
            .values()
            .any(|pending| pending.peer == *peer && what(&pending.asked))
    }

    /// Requests under way that are not overdue.
    pub(super) fn under_way(&self, now_ms: u64) -> impl Iterator<Item = &Asked> {
        self.requests
            .values()
            .filter(move |pending| pending.asked_at_ms + SLOW_MS > now_ms)
            .map(|pending| &pending.asked)
    }

    /// When the next request for bodies is overdue, so that somebody else is asked.
    pub(super) fn next_slow_ms(&self, now_ms: u64) -> Option<u64> {
        self.requests
            .values()
            .filter(|pending| matches!(pending.asked, Asked::Bodies(_)))
            .map(|pending| pending.asked_at_ms + SLOW_MS)
            .filter(|slow_ms| *slow_ms > now_ms)
            .min()
    }

    /// Registers a request and gives its tag, unless the peer is gone, paused or busy with ours.
    pub(super) fn ask(&mut self, peer: &PeerId, asked: Asked, now_ms: u64) -> Option<u64> {
        let entry = self.peers.get_mut(peer)?;
        if !entry.can_take(now_ms) {
            return None;
        }
        entry.requests += 1;
        self.next_tag += 1;
        let pending = Pending {
            peer: *peer,
            asked,
            asked_at_ms: now_ms,
        };
        self.requests.insert(self.next_tag, pending);
        Some(self.next_tag)
    }

    /// A request ended: what it was for.
    pub(super) fn answered(&mut self, tag: u64, peer: &PeerId) -> Option<Asked> {
        if self.requests.get(&tag)?.peer != *peer {
            return None;
        }
        let asked = self.requests.remove(&tag)?.asked;
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

    /// A peer did not give what it says it has, and is left alone for a moment. Gives how often in a row that happened
    /// beyond what is forgiven.
    pub(super) fn breaks_claim(&mut self, peer: &PeerId, now_ms: u64) -> u32 {
        self.pause(peer, now_ms);
        let Some(entry) = self.peers.get_mut(peer) else {
            return 0;
        };
        entry.broken_claims = entry.broken_claims.saturating_add(1);
        entry.broken_claims.saturating_sub(BROKEN_CLAIMS_FORGIVEN)
    }

    /// The peer to ask for blocks from this height on, and the height that it has reached: one that can take a request,
    /// rather one that answers than one that does not, rather an idle one than a busy one, rather one that has been here
    /// for long.
    pub(super) fn at_height(&self, height: u64, now_ms: u64) -> Option<(PeerId, u64)> {
        let is_slow = |peer: &PeerId| {
            self.requests
                .values()
                .any(|pending| pending.peer == *peer && pending.asked_at_ms + SLOW_MS <= now_ms)
        };
        self.peers
            .iter()
            .filter(|(_, peer)| peer.can_take(now_ms) && peer.height >= height)
            .min_by_key(|(id, peer)| (is_slow(id), peer.doubt(), peer.requests, peer.arrival))
            .map(|(id, peer)| (*id, peer.height))
    }

    /// When the next status is due.
    pub(super) fn next_ask_ms(&self) -> Option<u64> {
        self.peers.values().map(|peer| peer.ask_at_ms).min()
    }

    /// Where a peer said it stands.
    pub(super) fn status_of(&self, peer: &PeerId) -> Option<&Status> {
        let (status, _) = self.peers.get(peer)?.status.as_ref()?;
        Some(status)
    }

    /// Peers whose clocks are within so many milliseconds of this node's.
    pub(super) fn clocks_within(&self, bound_ms: u64) -> usize {
        self.peers
            .values()
            .filter_map(|peer| peer.clock_offset_ms)
            .filter(|offset_ms| offset_ms.unsigned_abs() <= bound_ms)
            .count()
    }

    /// A peer gave something useful.
    pub(super) fn useful(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failures = 0;
            entry.proven = true;
            entry.broken_claims = 0;
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
