//! When this node mines, on what, and what it and the others say about it.
//!
//! The schedule decides when a block is wanted; another miner's lease may delay it for a moment; then a template is
//! filled from the mempool, a mining state announces it, and the miner thread looks for the nonce.

mod states;

use std::collections::BTreeMap;

use tracing::{debug, info, warn};
use votenode_p2p::PeerId;

use super::status::{CompetingChain, KindCounts, MinerStatus, MiningStatus};
use super::{Effect, Node};
use crate::chain::block::{BlockId, Header, Nonce};
use crate::chain::rules::{self, Skip, TemplateLimits};
use crate::chain::schedule::{self, LeasePolicy, Situation, Want};
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;
use crate::crypto::{PublicKey, SigningKey};
use crate::protocol::gossip::{MiningState, Phase};

/// Miners whose states are kept for show. More than mine in any club; the oldest goes first.
pub(super) const MAX_MINERS: usize = 64;
/// Mining states looked at per second, all miners of the last blocks together; above that they are ignored.
const MAX_STATES_PER_SECOND: u32 = 200;
/// The same of one such miner. An honest one says a handful for a block, and a line that hung for a moment brings those
/// of a few seconds at once.
const MAX_STATES_PER_MINER: u32 = 10;
/// States of such miners from one peer in a second above which it is scored down: as honest peers pass on no more than
/// [`MAX_STATES_PER_SECOND`], twice that.
const MAX_STATES_PER_PEER: u32 = 2 * MAX_STATES_PER_SECOND;
/// The same of miners that made none of the last blocks: a key costs nothing.
const MAX_STRANGE_PER_SECOND: u32 = 40;
/// States of such miners from one peer in a second above which it is scored down: as honest peers pass on no more than
/// [`MAX_STRANGE_PER_SECOND`], twice that.
const MAX_STRANGE_PER_PEER: u32 = 2 * MAX_STRANGE_PER_SECOND;
/// Bounds of the clock offset against the peers' median above which mining stops, in milliseconds: no tighter than
/// what a busy network makes of right clocks.
const CLOCK_OFFSET_MS: (u64, u64) = (5_000, 15_000);
/// Peers whose clocks agree with this node's, with which it trusts its own whatever the others say.
const CLOCKS_THAT_AGREE: usize = 2;
/// A miner's last word is forgotten after this long, in milliseconds.
const FORGET_MINER_MS: u64 = 120_000;
/// Least time between two announcements of one phase on one parent, in milliseconds.
const REPEAT_MS: u64 = 1_000;
/// A phase is announced again when the sum of its counts moved by at least this part of what was said. A phase before
/// mining lasts two block times at most, so that this and [`REPEAT_MS`] bound the repetitions; at rest nothing waits,
/// and nothing is said.
const REPEAT_PART: u64 = 8;

/// A block under way.
struct Work {
    epoch: u64,
    header: Header,
    transactions: Vec<Verified<Transaction>>,
    counts: KindCounts,
}

/// What this miner said last.
#[derive(Clone, Copy)]
struct Announced {
    parent: BlockId,
    height: u64,
    phase: Phase,
    counts: KindCounts,
    at_mono_ms: u64,
}

impl Announced {
    /// Whether these counts are news worth another message.
    fn outdated_by(&self, counts: &KindCounts) -> bool {
        let said = self.counts.total();
        let moved = said.abs_diff(counts.total());
        moved > 0 && moved.saturating_mul(REPEAT_PART) >= said
    }
}

/// The mining side of the node.
pub(super) struct Mining {
    key: SigningKey,
    miner: PublicKey,
    enabled: bool,
    work: Option<Work>,
    epoch: u64,
    hash_rate: u64,
    leases: LeasePolicy,
    announced: Option<Announced>,
    sequence: u64,
    pub(super) others: BTreeMap<PublicKey, Heard>,
    budget: Budget,
    /// When to look again, by the wall clock.
    wake_at_ms: Option<u64>,
    paused: Option<String>,
}

pub(super) struct Heard {
    state: MiningState,
    received_mono_ms: u64,
    received_at_ms: u64,
}

#[derive(Default)]
struct Budget {
    second: u64,
    used: u32,
    used_from: BTreeMap<PeerId, u32>,
    /// True ones of each of these miners.
    by_miner: BTreeMap<PublicKey, u32>,
    /// The same of miners that made none of the last blocks, in all and by whom they came.
    strange: u32,
    strange_from: BTreeMap<PeerId, u32>,
}

impl Mining {
    pub(super) fn new(key: SigningKey, enabled: bool, block_time_ms: u64) -> Self {
        let miner = key.public_key();
        Self {
            key,
            miner,
            enabled,
            work: None,
            epoch: 0,
            hash_rate: 0,
            leases: LeasePolicy::new(block_time_ms),
            announced: None,
            sequence: 0,
            others: BTreeMap::new(),
            budget: Budget::default(),
            wake_at_ms: None,
            paused: None,
        }
    }

    /// The clock, but always more than the last time, whatever the clock does.
    fn next_sequence(&mut self, wall_ms: u64) -> u64 {
        self.sequence = wall_ms.max(self.sequence + 1);
        self.sequence
    }

    /// The key that goes into headers.
    pub(super) fn miner(&self) -> PublicKey {
        self.miner
    }

    /// When mining has to be looked at again, by the wall clock.
    pub(super) fn wake_at_ms(&self) -> Option<u64> {
        self.wake_at_ms
    }

    /// Notes a block of the best chain.
    pub(super) fn connected(&mut self, height: u64, miner: PublicKey) {
        self.leases.block(height, miner);
    }

    /// What this miner does, for show, on this tip and with this in the mempool.
    pub(super) fn status(&self, tip: &BlockId, waiting: KindCounts) -> MiningStatus {
        let (phase, height, counts) = match (&self.work, &self.announced) {
            (Some(work), _) => (Some(Phase::Mining), Some(work.header.height), work.counts),
            (None, Some(said))
                if said.parent == *tip
                    && matches!(said.phase, Phase::Waiting | Phase::StandingBy) =>
            {
                (Some(said.phase), Some(said.height), waiting)
            }
            // Nothing was said, that it rests, or what is over since.
            (None, _) => (None, None, KindCounts::default()),
        };
        MiningStatus {
            enabled: self.enabled,
            phase,
            height,
            counts,
            hash_rate: self.hash_rate,
            paused: self.paused.clone(),
        }
    }

    /// What the others say of blocks above this height, most recent first: what they said before is history.
    pub(super) fn others(&self, tip_height: u64) -> Vec<MinerStatus> {
        let mut states: Vec<MinerStatus> = self
            .others
            .values()
            .filter(|heard| heard.state.height > tip_height)
            .map(|heard| {
                let mut counts = KindCounts::default();
                for (count, said) in counts.0.iter_mut().zip(heard.state.counts.iter()) {
                    *count = *said;
                }
                MinerStatus {
                    miner: heard.state.miner,
                    parent: heard.state.parent,
                    height: heard.state.height,
                    phase: Phase::from_number(heard.state.phase).unwrap_or(Phase::Stopped),
                    counts,
                    hash_rate: heard.state.hash_rate,
                    received_at_ms: heard.received_at_ms,
                    lease_until_ms: heard.received_at_ms.saturating_add(heard.state.lease_ms),
                }
            })
            .collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.received_at_ms));
        states
    }
}

impl Node {
    /// Starts, goes on with, or stops mining, as the schedule wants it now.
    pub(super) fn plan_mining(&mut self) {
        self.mining.wake_at_ms = None;
        self.forget_miners();
        self.mining.paused = self.why_not_mine();
        if !self.mining.enabled || self.mining.paused.is_some() {
            return self.stop_mining();
        }
        let tip = self.store.snapshot().tip();
        if let Some(work) = &self.mining.work {
            if work.header.parent == tip.id {
                return;
            }
            self.mining.work = None;
            self.out.push(Effect::StopMining);
        }
        let next_boundary_ms = self.next_boundary(tip.timestamp_ms);
        let want = schedule::want(
            &self.network,
            &self.mining.miner,
            &Situation {
                parent: tip.id,
                parent_timestamp_ms: tip.timestamp_ms,
                now_ms: self.now.wall_ms,
                waiting: self.mempool.len() > self.dubious.len(),
                next_boundary_ms,
                quiet_blocks: self.quiet_blocks(tip.height),
            },
        );
        let Want::At {
            start_mining_at_ms, ..
        } = want
        else {
            return self.announce(
                tip.id,
                tip.height + 1,
                Phase::Stopped,
                KindCounts::default(),
            );
        };
        if start_mining_at_ms > self.now.wall_ms {
            self.mining.wake_at_ms = Some(start_mining_at_ms);
            let rests = start_mining_at_ms > self.now.wall_ms + 2 * self.network.block_time_ms;
            if rests {
                self.announce(
                    tip.id,
                    tip.height + 1,
                    Phase::Stopped,
                    KindCounts::default(),
                );
            } else if !self.mempool.is_empty() {
                self.announce_waiting(tip.id, tip.height + 1, Phase::Waiting);
            }
            return;
        }
        if let Some(until_ms) = self.mining.leases.standing_by(self.now.wall_ms) {
            self.mining.wake_at_ms = Some(until_ms);
            return self.announce_waiting(tip.id, tip.height + 1, Phase::StandingBy);
        }
        self.start_mining();
    }

    fn start_mining(&mut self) {
        let snapshot = self.store.snapshot();
        let parent = snapshot.tip_header();
        let timestamp_ms = self.now.wall_ms.max(
            parent
                .timestamp_ms
                .saturating_add(self.network.block_time_ms),
        );
        let template = rules::fill_template(
            &snapshot.state(),
            &self.network,
            parent,
            timestamp_ms,
            self.mining.miner,
            self.mempool.iter().cloned(),
            TemplateLimits::of(&self.network),
        );
        let template = match template {
            Ok(template) => template,
            Err(error) => return self.store_failed(&error.to_string()),
        };
        // What no block can hold any more leaves the mempool now, with its reason.
        for (id, skip) in template.skipped {
            match skip {
                Skip::Invalid(invalid) if !invalid.may_become_valid() => {
                    self.drop_pending(&id, &invalid);
                }
                // It needs something that left the chain; it is no reason to mine, and not waited for without end.
                Skip::Invalid(_) => {
                    self.doubt(id);
                }
                Skip::NoRoom => {}
            }
        }
        let mut counts = KindCounts::default();
        for transaction in &template.transactions {
            counts.add(transaction.kind());
        }
        let header = template.header;
        self.mining.epoch += 1;
        self.announce(header.parent, header.height, Phase::Mining, counts);
        debug!(
            height = header.height,
            transactions = counts.total(),
            "mining"
        );
        self.out.push(Effect::Mine {
            epoch: self.mining.epoch,
            header: header.clone(),
        });
        self.mining.work = Some(Work {
            epoch: self.mining.epoch,
            header,
            transactions: template.transactions,
            counts,
        });
    }

    fn stop_mining(&mut self) {
        if self.mining.work.take().is_some() {
            self.out.push(Effect::StopMining);
        }
    }

    fn why_not_mine(&self) -> Option<String> {
        if let Some(failure) = &self.write_failure {
            return Some(failure.words.clone());
        }
        if self.is_syncing() {
            return Some("the chain is still being fetched".into());
        }
        if self.tree.awaits_checkpoint() {
            return Some("the block that the finalisers decided on is still being fetched".into());
        }
        match self.clock_offset_ms() {
            // One or two peers may be wrong themselves, or lie. And any number may be liars, since identities are free:
            // whoever finds two clocks that agree with this one need not believe them.
            Some(offset)
                if self.peers.len() >= 3
                    && offset.unsigned_abs() > self.max_clock_offset_ms()
                    && self.peers.clocks_within(self.max_clock_offset_ms()) < CLOCKS_THAT_AGREE =>
            {
                Some(format!(
                    "this machine's clock is {:.1} s off the peers' median; set it right",
                    offset as f64 / 1000.0
                ))
            }
            _ => None,
        }
    }

    /// A miner whose clock is ahead by as long as the confirmations take can bury a closing block before the others have
    /// its first block: half of that is the most that is let pass.
    fn max_clock_offset_ms(&self) -> u64 {
        let buried_ms = self
            .network
            .confirmations
            .saturating_mul(self.network.block_time_ms);
        (buried_ms / 2).clamp(CLOCK_OFFSET_MS.0, CLOCK_OFFSET_MS.1)
    }

    /// The miner found a nonce.
    pub(super) fn mined(&mut self, epoch: u64, nonce: Nonce, hash_rate: u64) {
        self.mining.hash_rate = hash_rate;
        let Some(work) = self.mining.work.take_if(|work| work.epoch == epoch) else {
            return;
        };
        let mut header = work.header;
        header.nonce = nonce;
        info!(
            height = header.height,
            transactions = work.transactions.len(),
            id = %header.id().short(),
            "mined a block"
        );
        self.counters.blocks_mined += 1;
        self.own_block(header, work.transactions);
    }

    /// Blocks on top of the last one that held a transaction or was the first after a boundary.
    fn quiet_blocks(&self, tip_height: u64) -> Option<u64> {
        self.last_active_height
            .map(|height| tip_height.saturating_sub(height))
    }

    /// The next moment at which an election wants a block, after `timestamp_ms`.
    pub(super) fn next_boundary(&self, timestamp_ms: u64) -> Option<u64> {
        self.boundaries
            .range(timestamp_ms.saturating_add(1)..)
            .next()
            .copied()
    }

    /// Says that another chain has more work.
    pub(super) fn report_competing(&mut self, competing: Option<CompetingChain>) {
        if let Some(chain) = &competing
            && self.competing.as_ref().map(|known| known.tip) != Some(chain.tip)
        {
            warn!(
                tip = %chain.tip.short(),
                height = chain.height,
                forks_at = chain.forks_at_height,
                "another chain has more work; this node keeps to the one on which it saw an election close. \
                 Compare both with others before you release it"
            );
        }
        self.competing = competing;
    }
}
