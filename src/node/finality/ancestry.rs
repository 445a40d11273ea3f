//! The way to a certified block that is not here: fetched off to the side of the tree, and proved by its hashes.
//!
//! The tree takes the branches with most work, and whoever has computing power decides which those are. So while a
//! checked certificate waits whose block is nowhere, its ancestry is asked for by itself, from the last checkpoint on,
//! one peer at a time. Headers that chain by their hashes up to the certified block are right whoever gave them; a peer
//! whose headers do not come there is passed over, and costs one deadline at the most.
//!
//! Then the chain that was followed is left, if it parted from that way deeper than the tree reaches, and the way goes
//! into the tree as a held branch, where nothing displaces it.

use std::collections::BTreeSet;

use tracing::{debug, warn};
use votenode_p2p::PeerId;

use super::MAX_SPAN;
use crate::chain::block::{BlockId, Header};
use crate::chain::rules;
use crate::chain::tree::Inserted;
use crate::node::Node;
use crate::node::blocks::HeaderRefusal;
use crate::node::peers::Asked;
use crate::node::recall::Source;
use crate::node::sync::LIE_POINTS;
use crate::protocol::sync::{MAX_HEADERS, Request};
use crate::store::StoreError;
use crate::wire::List;

/// Most headers that are collected: finalisers decide on no block that is further above the last checkpoint. They fill
/// about a megabyte, in three replies.
const MAX_ANCESTRY: usize = MAX_SPAN as usize;
/// How long a peer may take for a reply before the next is asked, in milliseconds. It doubles with every round through
/// the peers, for those with slow lines.
const PATIENCE_MS: u64 = 4_000;
/// How often it doubles: requests end by themselves soon after.
const MAX_DOUBLINGS: u32 = 2;
/// Pause after all peers were asked in vain, in milliseconds; it doubles too. Whoever comes meanwhile is asked at once.
const ROUND_PAUSE_MS: u64 = 2_000;
/// Pause after which peers that can take no request now are looked at again, in milliseconds.
const BUSY_PAUSE_MS: u64 = 500;

/// The search for one block.
struct Search {
    /// The block of a checked certificate.
    block: BlockId,
    /// The last checkpoint's block.
    base: BlockId,
    /// What follows on the base, as the peer under inquiry gives it. Its last is the block once the way is found.
    headers: Vec<(BlockId, Header)>,
    /// Who gave the whole way.
    found: Option<PeerId>,
    /// The peer under inquiry.
    inquiry: Option<Inquiry>,
    /// Who was asked in this round.
    passed: BTreeSet<PeerId>,
    /// The round is about peers that arrived before this one. Whoever comes later does not keep it from ending.
    arrived_before: u64,
    /// Rounds through the peers that brought nothing.
    rounds: u32,
    /// When the next round begins, once this one has ended (monotonic).
    round_ms: Option<u64>,
    /// When busy peers are looked at again (monotonic).
    resume_ms: Option<u64>,
}

/// One peer is asked, page by page.
struct Inquiry {
    peer: PeerId,
    /// Number of the request under way; none while the peer cannot take it.
    serial: Option<u64>,
    /// Until when a reply counts (monotonic).
    until_ms: u64,
}

/// The search for the block of the next certificate, if it is nowhere.
#[derive(Default)]
pub(super) struct Ancestry {
    search: Option<Search>,
    /// Numbers requests.
    serial: u64,
}

impl Ancestry {
    /// There is nothing to look for any more.
    pub(super) fn stop(&mut self) {
        self.search = None;
    }

    /// When this is to be looked at again at the latest (monotonic).
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let search = self.search.as_ref()?;
        let until_ms = search.inquiry.as_ref().map(|inquiry| inquiry.until_ms);
        // While somebody is asked, nobody else is.
        let round_ms = search.round_ms.filter(|_| until_ms.is_none());
        let deadlines = until_ms.into_iter().chain(round_ms);
        deadlines.chain(search.resume_ms).min()
    }

    /// The store cannot be read now: this is looked at again in a while, not at once.
    pub(super) fn put_off(&mut self, now_ms: u64) {
        let Some(search) = &mut self.search else {
            return;
        };
        let later_ms = now_ms + BUSY_PAUSE_MS;
        let until_ms = search.inquiry.as_mut().map(|inquiry| &mut inquiry.until_ms);
        let deadlines = until_ms.into_iter().chain(&mut search.round_ms);
        for deadline_ms in deadlines.chain(&mut search.resume_ms) {
            *deadline_ms = later_ms.max(*deadline_ms);
        }
    }

    /// Takes the search out, if a reply with this number is waited for.
    fn take_awaiting(&mut self, serial: u64) -> Option<Search> {
        self.search.take_if(|search| {
            let inquiry = search.inquiry.as_ref();
            inquiry.is_some_and(|inquiry| inquiry.serial == Some(serial))
        })
    }
}

impl Search {
    fn new(block: BlockId, base: BlockId, arrived_before: u64) -> Self {
        Self {
            block,
            base,
            headers: Vec::new(),
            found: None,
            inquiry: None,
            passed: BTreeSet::new(),
            arrived_before,
            rounds: 0,
            round_ms: None,
            resume_ms: None,
        }
    }

    /// Whether this is the search for that block above that base.
    fn is_for(&self, block: &BlockId, base: &BlockId) -> bool {
        self.block == *block && self.base == *base
    }

    /// Goes on with the next peer.
    fn pass_over(&mut self) {
        if let Some(inquiry) = self.inquiry.take() {
            self.passed.insert(inquiry.peer);
        }
        self.headers.clear();
        self.resume_ms = None;
    }

    /// Busy peers are looked at again now, if it is time. They may have left: then nothing else ends the pause.
    fn look_again(&mut self, now_ms: u64) {
        self.resume_ms.take_if(|at_ms| now_ms >= *at_ms);
    }

    fn patience_ms(&self) -> u64 {
        PATIENCE_MS << self.rounds.min(MAX_DOUBLINGS)
    }

    /// Those of these peers who are to be asked now, as of this moment. `next_arrival` is that of the next to come.
    fn candidates(&mut self, peers: &[Known], next_arrival: u64, now_ms: u64) -> Vec<PeerId> {
        if self.round_ms.is_some_and(|at_ms| now_ms >= at_ms) {
            self.round_ms = None;
            self.passed.clear();
            self.arrived_before = next_arrival;
        }
        if self.round_ms.is_none() && !self.passed.is_empty() {
            let mut open = peers.iter().filter(|known| {
                known.arrival < self.arrived_before && !self.passed.contains(&known.peer)
            });
            // Nor do those who can never take a request.
            if !open.any(|known| known.can_take) {
                let pause_ms = ROUND_PAUSE_MS << self.rounds.min(MAX_DOUBLINGS);
                self.round_ms = Some(now_ms + pause_ms);
                self.rounds = self.rounds.saturating_add(1);
            }
        }
        let peers = peers.iter().map(|known| known.peer);
        peers.filter(|peer| !self.passed.contains(peer)).collect()
    }
}

/// A peer that may be asked.
struct Known {
    peer: PeerId,
    /// How many came before it.
    arrival: u64,
    /// It can take a request now.
    can_take: bool,
}

impl Node {
    /// Looks for the block of a checked certificate, which `from` gave. Whether the block is in the tree now.
    pub(super) fn seek_ancestry(
        &mut self,
        block: BlockId,
        from: Option<PeerId>,
    ) -> Result<bool, StoreError> {
        if self.tree.is_invalid(&block) {
            self.finality.ancestry.stop();
            return Ok(false);
        }
        let (base, _) = self.checkpoint();
        let search = &mut self.finality.ancestry.search;
        if !search
            .as_ref()
            .is_some_and(|search| search.is_for(&block, &base))
        {
            debug!(block = %block.short(), "the block of a certificate is not here; its ancestry is asked for");
            *search = Some(Search::new(block, base, self.peers.next_arrival()));
        }
        if search.as_ref().is_some_and(|search| search.found.is_some()) {
            return self.take_ancestry();
        }
        self.ask_for_ancestry(from);
        Ok(false)
    }

    /// Asks somebody, unless somebody is asked already or all were in vain a moment ago.
    fn ask_for_ancestry(&mut self, from: Option<PeerId>) {
        let now_ms = self.now.mono_ms;
        let Some(mut search) = self.finality.ancestry.search.take() else {
            return;
        };
        if let Some(inquiry) = &search.inquiry {
            let peer = inquiry.peer;
            if now_ms >= inquiry.until_ms {
                debug!(%peer, "it does not give headers in time");
                self.peers.pause(&peer, now_ms);
                search.pass_over();
            } else if inquiry.serial.is_none() {
                self.ask_page(&mut search, peer);
            }
        }
        if search.inquiry.is_none() {
            search.look_again(now_ms);
            let peers = self.by_promise(from);
            for peer in search.candidates(&peers, self.peers.next_arrival(), now_ms) {
                if self.ask_page(&mut search, peer) {
                    break;
                }
            }
        }
        self.finality.ancestry.search = Some(search);
    }

    /// Whether a peer says that it holds a later checkpoint than this node.
    fn claims_checkpoint(&self, peer: &PeerId) -> bool {
        let status = self.peers.status_of(peer);
        status.is_some_and(|status| status.checkpoint_height > self.finality.last_height())
    }

    /// All peers: first those who say that they hold a certificate, or gave this one, then the others; among them those
    /// who have been here for longest.
    fn by_promise(&self, from: Option<PeerId>) -> Vec<Known> {
        let peers = self.peers.iter().map(|(id, peer)| Known {
            peer: *id,
            arrival: peer.arrival,
            can_take: peer.can_take(self.now.mono_ms),
        });
        let mut peers: Vec<Known> = peers.collect();
        peers.sort_by_key(|known| {
            let holds = from == Some(known.peer) || self.claims_checkpoint(&known.peer);
            (!holds, known.arrival)
        });
        peers
    }

    /// Asks for what follows on what is collected. Says whether the peer can take the request.
    fn ask_page(&mut self, search: &mut Search, peer: PeerId) -> bool {
        let last = search.headers.last().map_or(search.base, |(id, _)| *id);
        let locator = List::new(vec![last]).expect("one id");
        self.finality.ancestry.serial += 1;
        let serial = self.finality.ancestry.serial;
        let request = Request::Headers {
            locator,
            max: MAX_HEADERS as u64,
        };
        let sent = self.request(peer, Asked::Ancestry(serial), &request);
        if sent {
            search.inquiry = Some(Inquiry {
                peer,
                serial: Some(serial),
                until_ms: self.now.mono_ms + search.patience_ms(),
            });
            search.resume_ms = None;
        } else {
            search.resume_ms = Some(self.now.mono_ms + BUSY_PAUSE_MS);
        }
        sent
    }

    /// A peer gave headers. What comes too late is not looked at: it is not needed, or was asked for anew.
    pub(in crate::node) fn ancestry_came(
        &mut self,
        peer: PeerId,
        serial: u64,
        headers: Vec<Header>,
    ) {
        let Some(mut search) = self.finality.ancestry.take_awaiting(serial) else {
            return;
        };
        let full = headers.len() == MAX_HEADERS;
        match self.follow_ancestry(&mut search, headers) {
            Ok(true) => {
                debug!(%peer, headers = search.headers.len(), "the way to a certified block is here");
                search.inquiry = None;
                search.found = Some(peer);
                self.peers.useful(&peer);
            }
            Ok(false) if full && search.headers.len() < MAX_ANCESTRY => {
                if !self.ask_page(&mut search, peer)
                    && let Some(inquiry) = &mut search.inquiry
                {
                    inquiry.serial = None;
                }
            }
            Ok(false) => {
                debug!(%peer, "its chain does not lead to a certified block");
                search.pass_over();
            }
            Err(refusal) => {
                debug!(%peer, %refusal, "its headers do not lead to a certified block");
                search.pass_over();
                if refusal.is_lie() {
                    self.penalize(peer, LIE_POINTS, &refusal.to_string());
                }
            }
        }
        self.finality.ancestry.search = Some(search);
    }

    /// A request brought nothing: the peer left, is busy, or said nothing in time.
    pub(in crate::node) fn ancestry_unanswered(&mut self, serial: u64) {
        if let Some(mut search) = self.finality.ancestry.take_awaiting(serial) {
            search.pass_over();
            self.finality.ancestry.search = Some(search);
        }
    }

    /// A peer let a request for the way to a certified block end without any answer. It need not know the way, unless it
    /// says that it holds a checkpoint.
    pub(in crate::node) fn silent_about_ancestry(&mut self, peer: PeerId) {
        if self.claims_checkpoint(&peer) {
            self.claim_broken(
                peer,
                "it claims a checkpoint and is silent about the way to it",
            );
        } else {
            self.peers.pause(&peer, self.now.mono_ms);
        }
    }

    /// Adds headers to the way as long as they chain, up to the block that is looked for. Whether that is reached.
    fn follow_ancestry(
        &self,
        search: &mut Search,
        headers: Vec<Header>,
    ) -> Result<bool, HeaderRefusal> {
        for header in headers {
            let parent = match search.headers.last() {
                Some((_, last)) => last.clone(),
                None => self
                    .header(&search.base)
                    .map_err(|error| HeaderRefusal::Store(error.to_string()))?
                    .ok_or(HeaderRefusal::Orphan)?,
            };
            // A peer on another chain begins where that parts from ours, which is no lie.
            if header.parent != parent.id() {
                return Err(HeaderRefusal::Orphan);
            }
            let id = rules::check_header(&self.network, &parent, &header)
                .map_err(HeaderRefusal::Invalid)?;
            if header.timestamp_ms > self.now.wall_ms {
                return Err(HeaderRefusal::Early);
            }
            search.headers.push((id, header));
            if id == search.block {
                return Ok(true);
            }
            if search.headers.len() >= MAX_ANCESTRY {
                break;
            }
        }
        Ok(false)
    }

    /// Leaves what parts from the way below the tree, and puts the way into the tree. Whether the block is there then.
    fn take_ancestry(&mut self) -> Result<bool, StoreError> {
        let Some(search) = &self.finality.ancestry.search else {
            return Ok(false);
        };
        let (block, giver) = (search.block, search.found);
        let headers: Vec<Header> = search
            .headers
            .iter()
            .map(|(_, header)| header.clone())
            .collect();
        let snapshot = self.store.snapshot();
        // Ends at the first that is not on the best chain: so do all that build on it.
        let mut fork_height = self.finality.last_height();
        for (id, header) in &search.headers {
            if snapshot.main_id(header.height)? != Some(*id) {
                break;
            }
            fork_height = header.height;
        }
        if fork_height < self.tree.root_height() {
            if self.write_failure.is_some() {
                return Ok(false);
            }
            self.retreat(fork_height)?;
        }
        self.hold_blocks();
        let source = Source(self.store.snapshot());
        let inserted = self
            .tree
            .insert_held(&headers, &source)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        match inserted {
            Inserted::New | Inserted::Known => {
                self.finality.ancestry.stop();
                // What follows is asked for at once: who seems to be at the end of the chain goes on with it.
                if let (Some(peer), Some(last)) = (giver, headers.last()) {
                    self.ask_headers_after(peer, Some(block), last.height);
                }
                return Ok(true);
            }
            Inserted::Invalid => {
                self.finality.ancestry.stop();
                self.warn_of_invalid_checkpoint(&block);
            }
            refused => {
                // Something else was decided meanwhile. The search begins anew, with a pause.
                warn!(?refused, block = %block.short(), "the way to a certified block is not taken");
                if let Some(search) = &mut self.finality.ancestry.search {
                    search.found = None;
                    search.headers.clear();
                    search
                        .passed
                        .extend(self.peers.iter().map(|(peer, _)| *peer));
                    search.round_ms = Some(self.now.mono_ms + ROUND_PAUSE_MS);
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that cannot be read for a while does not make the node spin.
    #[test]
    fn what_is_overdue_is_put_off() {
        let mut ancestry = Ancestry::default();
        ancestry.put_off(1_000);
        assert_eq!(ancestry.next_deadline_ms(), None);
        let mut search = Search::new(BlockId::ZERO, BlockId::ZERO, 0);
        search.inquiry = Some(Inquiry {
            peer: PeerId::random(),
            serial: Some(1),
            until_ms: 900,
        });
        search.resume_ms = Some(800);
        ancestry.search = Some(search);
        ancestry.put_off(1_000);
        assert_eq!(ancestry.next_deadline_ms(), Some(1_000 + BUSY_PAUSE_MS));
        if let Some(search) = &mut ancestry.search {
            search.pass_over();
            search.round_ms = Some(700);
        }
        ancestry.put_off(2_000);
        assert_eq!(ancestry.next_deadline_ms(), Some(2_000 + BUSY_PAUSE_MS));
    }
    /// The only peer was busy, and left.
    #[test]
    fn a_pause_for_busy_peers_ends_without_them() {
        let mut search = Search::new(BlockId::ZERO, BlockId::ZERO, 0);
        search.resume_ms = Some(1_000);
        search.look_again(999);
        assert_eq!(search.resume_ms, Some(1_000));
        search.look_again(1_000);
        assert!(search.candidates(&[], 0, 1_000).is_empty());
        let ancestry = Ancestry {
            search: Some(search),
            ..Ancestry::default()
        };
        assert_eq!(ancestry.next_deadline_ms(), None);
    }
}
