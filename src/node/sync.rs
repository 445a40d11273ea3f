//! Catching up: where peers stand, headers first, then bodies from several peers at once; and the regular comparison of
//! pools, since gossip alone never heals a missed message.

use tracing::debug;
use votenode_p2p::PeerId;

use super::peers::Asked;
use super::{Effect, Node};
use crate::chain::block::{BlockId, Header};
use crate::chain::transaction::{Transaction, TxId};
use crate::planted::{self, Fault};
use crate::protocol::sync::{MAX_HEADERS, MAX_IDS, Reply, Request, Status};
use crate::wire::{self, List};

/// Time between two exchanges of status with a peer while something is going on, in milliseconds.
const STATUS_MS: u64 = 2_000;
/// The same while nothing is.
const IDLE_STATUS_MS: u64 = 10_000;
/// Least time between two comparisons of pools with one peer, in milliseconds.
const POOL_MS: u64 = 3_000;
/// Pages of a peer's pool that are looked at in one comparison: more than any mempool holds.
const MAX_POOL_PAGES: usize = 32;
/// Bytes of transactions asked for in one request.
const TRANSACTION_BYTES: u64 = 1024 * 1024;
/// Score points for a reply that no correct peer sends.
pub(super) const LIE_POINTS: u32 = 20;
/// Score points for a claim that the same peer does not make good, once that happens again and again; each time more, for
/// points are forgiven as time goes by.
const CLAIM_POINTS: u32 = 25;

impl Node {
    /// Where this node stands.
    pub fn own_status(&self) -> Status {
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
        if self.network.finalises() {
            self.ask_finality_messages(peer);
        }
    }

    fn ask_status(&mut self, peer: PeerId) {
        let rests = self.mempool.is_empty()
            && !self.fetch.is_waiting()
            && !self.is_syncing()
            && !self.finality.is_under_way();
        let pause_ms = if rests { IDLE_STATUS_MS } else { STATUS_MS };
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
            match asked {
                Asked::Ancestry(_) => self.silent_about_ancestry(peer),
                _ => self.peers.pause(&peer, self.now.mono_ms),
            }
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
            (Asked::Headers { above }, Reply::Headers { headers }) => {
                let last = headers.last().map(Header::id);
                self.headers_came(peer, above, headers.into_vec());
                if let Some(last) = last {
                    self.peers.note_header(&peer, last);
                }
            }
            (Asked::Ancestry(serial), Reply::Headers { headers }) => {
                self.ancestry_came(peer, serial, headers.into_vec());
            }
            (Asked::Bodies(blocks), Reply::Bodies { bodies }) => {
                let bodies = bodies.into_vec().into_iter().map(List::into_vec).collect();
                self.bodies_came(peer, blocks, bodies);
            }
            (Asked::PendingIds { after, page }, Reply::PendingIds { ids }) => {
                self.pending_ids_came(peer, after, page, ids.into_vec());
            }
            (Asked::Pooled(ids), Reply::Transactions { transactions }) => {
                self.pool_came(peer, &ids, transactions.into_vec());
            }
            (Asked::BlockTransactions(block), Reply::Transactions { transactions }) => {
                self.block_transactions_came(peer, block, transactions.into_vec());
            }
            (Asked::Certificates { from }, Reply::Certificates { certificates, .. }) => {
                self.certificates_came(peer, Some(from), certificates.into_vec());
            }
            (Asked::FinalityMessages, Reply::Certificates { certificates, .. }) => {
                self.certificates_came(peer, None, certificates.into_vec());
            }
            (Asked::FinalityMessages, Reply::FinalityMessages { messages }) => {
                self.finality_messages_came(peer, messages.into_vec());
            }
            (Asked::Bodies(blocks), Reply::Unknown {}) => {
                self.bodies_came(peer, blocks, Vec::new());
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
    /// its whole body, and for the way to a certified block somebody else is asked.
    pub(super) fn unanswered(&mut self, asked: Asked) {
        match asked {
            Asked::BlockTransactions(block) => self.give_up_assembling(&block),
            Asked::Ancestry(serial) => self.ancestry_unanswered(serial),
            _ => {}
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
        self.peers.set_status(&peer, status.clone(), now.mono_ms);
        if self.tree.get(&status.tip).is_none()
            && status.height + 1 >= self.store.snapshot().tip().height
        {
            self.ask_headers(peer);
        }
        self.compare_checkpoints(peer, &status);
        if compare_pools && !self.is_syncing() && !planted::is(Fault::NoPoolComparison) {
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.pool_compared_ms = Some(now.mono_ms);
            }
            self.ask_pool_page(peer, TxId::ZERO, 0);
        }
    }

    /// Asks a peer for headers after those that this node has.
    pub(super) fn ask_headers(&mut self, peer: PeerId) {
        self.ask_headers_after(peer, None, 0);
    }

    /// The next page starts where the last one ended: the peer's chain need not be the best that this node knows.
    pub(super) fn ask_headers_after(&mut self, peer: PeerId, last: Option<BlockId>, above: u64) {
        if self
            .peers
            .is_asking(&peer, |asked| matches!(asked, Asked::Headers { .. }))
        {
            return;
        }
        let locator = match self.locator(last) {
            Ok(locator) => locator,
            Err(error) => return self.store_failed(&error.to_string()),
        };
        self.request(
            peer,
            Asked::Headers { above },
            &Request::Headers {
                locator,
                max: MAX_HEADERS as u64,
            },
        );
    }

    fn headers_came(&mut self, peer: PeerId, above: u64, headers: Vec<Header>) {
        let full = headers.len() == MAX_HEADERS;
        let count = headers.len();
        let mut last = None;
        for header in headers {
            let id = header.id();
            match self.learn_header(&header, id) {
                Ok(()) => last = Some((id, header.height)),
                Err(refusal) => {
                    if refusal.is_lie() {
                        self.penalize(peer, LIE_POINTS, &refusal.to_string());
                    }
                    debug!(%peer, %refusal, "headers end early");
                    return;
                }
            }
        }
        let Some((id, height)) = last else {
            // Nothing follows what is here, and yet it says that it is further.
            if self.boasts(&peer) {
                self.claim_broken(peer, "it claims a chain that it does not give");
            }
            return;
        };
        debug!(%peer, count, height, "headers");
        self.peers.note_height(&peer, height);
        // Ever higher, or a peer could send the same page for ever.
        if full && height > above {
            self.ask_headers_after(peer, Some(id), height);
        }
    }

    /// Whether a peer says that its chain is higher than this node's, and ends with a block that is not here.
    fn boasts(&self, peer: &PeerId) -> bool {
        let Some(status) = self.peers.status_of(peer) else {
            return false;
        };
        status.height > self.best_header_height() && self.tree.get(&status.tip).is_none()
    }

    fn ask_pool_page(&mut self, peer: PeerId, after: TxId, page: usize) {
        self.request(
            peer,
            Asked::PendingIds { after, page },
            &Request::PendingIds { after },
        );
    }

    fn pending_ids_came(&mut self, peer: PeerId, after: TxId, page: usize, ids: Vec<TxId>) {
        let in_order = ids.is_sorted_by(|a, b| a < b) && ids.first().is_none_or(|id| *id > after);
        if !in_order {
            return self.penalize(peer, LIE_POINTS, "ids out of order");
        }
        if let (true, Some(last)) = (ids.len() == MAX_IDS, ids.last().copied())
            && page + 1 < MAX_POOL_PAGES
        {
            self.ask_pool_page(peer, last, page + 1);
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

    /// A peer did not give what it says it has.
    pub(super) fn claim_broken(&mut self, peer: PeerId, why: &str) {
        let times = self.peers.breaks_claim(&peer, self.now.mono_ms);
        if times > 0 {
            self.penalize(peer, CLAIM_POINTS.saturating_mul(times), why);
        }
    }

    fn pool_came(&mut self, peer: PeerId, asked: &[TxId], transactions: Vec<Transaction>) {
        if transactions.is_empty() {
            return self.claim_broken(peer, "it names transactions that it does not give");
        }
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
        self.peers.useful(&peer);
        self.pooled(peer, transactions);
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
