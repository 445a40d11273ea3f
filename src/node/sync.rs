//! Catching up: where peers stand, headers first, then bodies from several peers at once; and the regular comparison of
//! pools, since gossip alone never heals a missed message.

use std::collections::BTreeMap;

use tracing::debug;
use votenode_p2p::PeerId;

use super::peers::Asked;
use super::{Effect, Node};
use crate::chain::block::{BlockId, Header};
use crate::chain::transaction::{Transaction, TxId};
use crate::protocol::sync::{MAX_BODIES, MAX_HEADERS, MAX_IDS, Reply, Request, Status};
use crate::wire::{self, List};

/// Time between two exchanges of status with a peer while something is going on, in milliseconds.
const STATUS_MS: u64 = 2_000;
/// The same while nothing is.
const IDLE_STATUS_MS: u64 = 10_000;
/// Least time between two comparisons of pools with one peer, in milliseconds.
const POOL_MS: u64 = 3_000;
/// Blocks asked for in one request.
const BODIES_PER_REQUEST: usize = 32;
/// Bytes of bodies asked for in one request; one more body than fits is never sent.
const BODY_BYTES: u64 = 1024 * 1024;
/// Bytes of transactions asked for in one request.
const TRANSACTION_BYTES: u64 = 1024 * 1024;
/// Blocks whose bodies may be ahead of the tip.
const BODY_WINDOW: usize = 256;
/// Blocks behind the best header at which a node counts as catching up.
const FAR_BEHIND: u64 = 16;
/// How long the lowest missing body is waited for before its block is set aside, in milliseconds. Its header cost work,
/// but a header whose body nobody gives must not hold up everybody else.
const BODY_PATIENCE_MS: u64 = 20_000;
/// How long a block is set aside the first time, in milliseconds; it doubles each time.
const WITHHELD_MS: u64 = 30_000;
/// Blocks set aside that are remembered.
const MAX_WITHHELD: usize = 256;
/// How long this node counts as catching up without any body coming, in milliseconds.
const SYNC_PATIENCE_MS: u64 = 10_000;
/// Bytes of bodies that may be ahead of the tip, if all blocks are as large as they may be.
const WINDOW_BYTES: u64 = 128 * 1024 * 1024;
/// Score points for a reply that no correct peer sends.
const LIE_POINTS: u32 = 20;

/// How fetching of bodies goes.
#[derive(Default)]
pub(super) struct Fetch {
    /// The lowest missing body and since when it has been waited for (monotonic).
    waiting_for: Option<(BlockId, u64)>,
    /// Blocks whose bodies nobody gave: until when they are set aside, and how often that happened.
    withheld: BTreeMap<BlockId, (u64, u32)>,
    /// Blocks set aside since the last body came.
    disappointments: u32,
}

impl Fetch {
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

    /// A body came.
    pub(super) fn came(&mut self, id: &BlockId) {
        self.withheld.remove(id);
        self.disappointments = 0;
        self.waiting_for = None;
    }
}

impl Node {
    /// Whether this node is far behind the best chain of headers, and on its way there. Headers that no body follows do
    /// not count: they cost whoever makes them little, and nobody may be kept from voting by them.
    pub(super) fn is_syncing(&self) -> bool {
        let far = self.best_header_height() > self.store.snapshot().tip().height + FAR_BEHIND;
        let moving = match self.fetch.waiting_for {
            Some((_, since_ms)) => self.now.mono_ms < since_ms + SYNC_PATIENCE_MS,
            None => true,
        };
        far && moving && self.fetch.disappointments < 2
    }

    /// Sets a block aside whose body has been asked for long enough.
    fn give_up_on(&mut self, id: BlockId) {
        let now_ms = self.now.mono_ms;
        let times = self.fetch.withheld.get(&id).map_or(0, |(_, times)| *times);
        let until_ms = now_ms + (WITHHELD_MS << times.min(6));
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
        self.fetch.waiting_for = None;
        self.fetch.disappointments += 1;
    }

    /// Where this node stands.
    pub(super) fn own_status(&self) -> Status {
        let tip = self.store.snapshot().tip();
        let (checkpoint, checkpoint_height) = self.checkpoint();
        Status {
            tip: tip.id,
            height: tip.height,
            checkpoint,
            checkpoint_height,
            pending: self.mempool.len() as u64,
            clock_ms: self.now.wall_ms,
        }
    }

    /// A peer of this network came: compare notes at once.
    pub(super) fn peer_ready(&mut self, peer: PeerId) {
        self.peers.add(peer);
        self.ask_status(peer);
    }

    fn ask_status(&mut self, peer: PeerId) {
        let pause_ms = if self.mempool.is_empty() && !self.is_syncing() {
            IDLE_STATUS_MS
        } else {
            STATUS_MS
        };
        let now_ms = self.now.mono_ms;
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.ask_at_ms = now_ms + pause_ms;
        }
        if self
            .peers
            .is_asking(&peer, |asked| matches!(asked, Asked::Status))
        {
            return;
        }
        let status = self.own_status();
        self.request(peer, Asked::Status, &Request::Status { status });
    }

    /// Asks whoever has not been asked for a while.
    pub(super) fn ask_due_statuses(&mut self) {
        let now_ms = self.now.mono_ms;
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ask_at_ms <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        for peer in due {
            self.ask_status(peer);
        }
    }

    /// Sends a request, unless the peer cannot take one now. Says whether it was sent.
    pub(super) fn request(&mut self, peer: PeerId, asked: Asked, request: &Request) -> bool {
        match self.peers.ask(&peer, asked, self.now.mono_ms) {
            Some(tag) => {
                self.out.push(Effect::Request {
                    tag,
                    peer,
                    data: wire::encode(request),
                });
                true
            }
            None => false,
        }
    }

    /// A request of ours ended.
    pub(super) fn response(&mut self, tag: u64, peer: PeerId, reply: Option<Vec<u8>>) {
        let Some(asked) = self.peers.answered(tag, &peer) else {
            return;
        };
        let Some(bytes) = reply else {
            self.peers.pause(&peer, self.now.mono_ms);
            return self.unanswered(asked);
        };
        let reply = match wire::decode::<Reply>(&bytes) {
            Ok(reply) => reply,
            Err(error) => {
                self.penalize(peer, LIE_POINTS, &format!("a malformed reply: {error}"));
                self.peers.pause(&peer, self.now.mono_ms);
                return self.unanswered(asked);
            }
        };
        match (asked, reply) {
            (Asked::Status, Reply::Status { status }) => self.peer_status(peer, status),
            (Asked::Headers, Reply::Headers { headers }) => {
                self.headers_came(peer, headers.into_vec());
            }
            (Asked::Bodies(blocks), Reply::Bodies { bodies }) => {
                let bodies = bodies.into_vec().into_iter().map(List::into_vec).collect();
                self.bodies_came(peer, blocks, bodies);
            }
            (Asked::PendingIds, Reply::PendingIds { ids }) => {
                self.pending_ids_came(peer, ids.into_vec());
            }
            (Asked::Pooled(ids), Reply::Transactions { transactions }) => {
                self.pool_came(peer, &ids, transactions.into_vec());
            }
            (Asked::BlockTransactions(block), Reply::Transactions { transactions }) => {
                self.block_transactions_came(peer, block, transactions.into_vec());
            }
            (asked, Reply::Busy {} | Reply::Unknown {}) => {
                self.peers.pause(&peer, self.now.mono_ms);
                self.unanswered(asked);
            }
            (asked, _) => {
                self.penalize(peer, LIE_POINTS, "a reply to something else");
                self.unanswered(asked);
            }
        }
    }

    /// A request brought nothing. Bodies and statuses are asked for again by themselves; a compact block falls back to
    /// its whole body.
    pub(super) fn unanswered(&mut self, asked: Asked) {
        if let Asked::BlockTransactions(block) = asked {
            self.give_up_assembling(&block);
        }
    }

    /// A peer says where it stands.
    pub(super) fn peer_status(&mut self, peer: PeerId, status: Status) {
        let now = self.now;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.clock_offset_ms = i64::try_from(status.clock_ms)
            .ok()
            .zip(i64::try_from(now.wall_ms).ok())
            .map(|(theirs, ours)| theirs - ours);
        let compare_pools = status.pending > 0
            && entry
                .pool_compared_ms
                .is_none_or(|at| now.mono_ms >= at + POOL_MS);
        entry.status = Some((status.clone(), now.mono_ms));
        if self.tree.get(&status.tip).is_none()
            && status.height + 1 >= self.store.snapshot().tip().height
        {
            self.ask_headers(peer);
        }
        if compare_pools && !self.is_syncing() {
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.pool_compared_ms = Some(now.mono_ms);
            }
            self.request(
                peer,
                Asked::PendingIds,
                &Request::PendingIds { after: TxId::ZERO },
            );
        }
    }

    /// Asks a peer for headers after those that this node has.
    pub(super) fn ask_headers(&mut self, peer: PeerId) {
        if self
            .peers
            .is_asking(&peer, |asked| matches!(asked, Asked::Headers))
        {
            return;
        }
        let locator = match self.locator() {
            Ok(locator) => locator,
            Err(error) => return self.store_failed(&error.to_string()),
        };
        self.request(
            peer,
            Asked::Headers,
            &Request::Headers {
                locator,
                max: MAX_HEADERS as u64,
            },
        );
    }

    fn headers_came(&mut self, peer: PeerId, headers: Vec<Header>) {
        let full = headers.len() == MAX_HEADERS;
        let count = headers.len();
        let mut last = None;
        for header in headers {
            let id = header.id();
            match self.learn_header(&header, id) {
                Ok(()) => last = Some(header.height),
                Err(refusal) => {
                    if refusal.is_lie() {
                        self.penalize(peer, LIE_POINTS, &refusal.to_string());
                    }
                    debug!(%peer, %refusal, "headers end early");
                    return;
                }
            }
        }
        if count > 0 {
            debug!(%peer, count, last, "headers");
        }
        if full {
            self.ask_headers(peer);
        }
    }

    /// Asks for bodies that the best chain of headers lacks, from several peers at once.
    pub(super) fn ask_bodies(&mut self) {
        if self.tree.best_header() == self.tree.tip() || self.peers.len() == 0 {
            self.fetch.waiting_for = None;
            return;
        }
        let window = (WINDOW_BYTES / self.network.max_block_bytes).clamp(8, BODY_WINDOW as u64);
        let room = (window as usize).saturating_sub(self.bodies.len());
        let all_missing = self.missing_bodies(BODY_WINDOW);
        match (all_missing.first().copied(), self.fetch.waiting_for) {
            (None, _) => self.fetch.waiting_for = None,
            (Some((lowest, _)), Some((known, since_ms))) if known == lowest => {
                if self.now.mono_ms >= since_ms + BODY_PATIENCE_MS {
                    return self.give_up_on(lowest);
                }
            }
            (Some((lowest, _)), _) => self.fetch.waiting_for = Some((lowest, self.now.mono_ms)),
        }
        if room == 0 {
            return;
        }
        let missing: Vec<(BlockId, u64)> = all_missing
            .into_iter()
            .filter(|(id, _)| {
                !self.bodies.contains_key(id)
                    && !self.peers.is_asking_anyone(
                        |asked| matches!(asked, Asked::Bodies(ids) if ids.contains(id)),
                    )
            })
            .take(room)
            .collect();
        for chunk in missing.chunks(BODIES_PER_REQUEST.min(MAX_BODIES)) {
            let highest = chunk.last().map_or(0, |(_, height)| *height);
            let Some(peer) = self
                .peers
                .at_height(highest, self.now.mono_ms)
                .first()
                .copied()
            else {
                return;
            };
            let ids: Vec<BlockId> = chunk.iter().map(|(id, _)| *id).collect();
            let blocks = List::new(ids.clone()).expect("a chunk of at most MAX_BODIES");
            self.request(
                peer,
                Asked::Bodies(ids),
                &Request::Bodies {
                    blocks,
                    max_bytes: BODY_BYTES,
                },
            );
        }
    }

    fn bodies_came(&mut self, peer: PeerId, blocks: Vec<BlockId>, bodies: Vec<Vec<Transaction>>) {
        if bodies.is_empty() {
            // It has another chain by now; others are asked.
            return self.peers.pause(&peer, self.now.mono_ms);
        }
        self.peers.useful(&peer);
        for (id, transactions) in blocks.into_iter().zip(bodies) {
            self.body_came(Some(peer), id, transactions);
        }
    }

    fn pending_ids_came(&mut self, peer: PeerId, ids: Vec<TxId>) {
        if !ids.is_sorted_by(|a, b| a < b) {
            return self.penalize(peer, LIE_POINTS, "ids out of order");
        }
        if let (true, Some(after)) = (ids.len() == MAX_IDS, ids.last().copied()) {
            self.request(peer, Asked::PendingIds, &Request::PendingIds { after });
        }
        let unknown: Vec<TxId> = ids.into_iter().filter(|id| !self.knows(id)).collect();
        if unknown.is_empty() || self.mempool.is_full() {
            return;
        }
        self.ask_pooled(peer, unknown);
    }

    fn ask_pooled(&mut self, peer: PeerId, ids: Vec<TxId>) {
        let list = List::new(ids.clone()).expect("at most MAX_IDS came");
        self.request(
            peer,
            Asked::Pooled(ids),
            &Request::Transactions {
                ids: list,
                max_bytes: TRANSACTION_BYTES,
            },
        );
    }

    fn pool_came(&mut self, peer: PeerId, asked: &[TxId], transactions: Vec<Transaction>) {
        let wanted: std::collections::BTreeSet<&TxId> = asked.iter().collect();
        let mut came = std::collections::BTreeSet::new();
        for transaction in &transactions {
            let id = transaction.id();
            if !wanted.contains(&id) || !came.insert(id) {
                return self.penalize(peer, LIE_POINTS, "transactions that nobody asked for");
            }
        }
        // What did not fit is asked for next; what the peer has mined meanwhile comes as a block.
        let last = asked.iter().rposition(|id| came.contains(id));
        if let Some(last) = last
            && last + 1 < asked.len()
        {
            self.ask_pooled(peer, asked[last + 1..].to_vec());
        }
        if !transactions.is_empty() {
            self.pooled(peer, transactions);
        }
    }

    /// Asks for transactions of a compact block that this node lacks.
    pub(super) fn ask_block_transactions(
        &mut self,
        peer: PeerId,
        block: BlockId,
        ids: Vec<TxId>,
    ) -> bool {
        let Ok(ids) = List::new(ids) else {
            return false;
        };
        self.request(
            peer,
            Asked::BlockTransactions(block),
            &Request::Transactions {
                ids,
                max_bytes: self.network.max_block_bytes,
            },
        )
    }

    /// Median offset of the peers' clocks.
    pub(super) fn clock_offset_ms(&self) -> Option<i64> {
        self.peers.median_clock_offset_ms()
    }
}
