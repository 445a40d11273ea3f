//! Leases: whether to stand by while another miner says that it is at work.
//!
//! Standing by saves power and avoids forks; it must never let anyone hold up the chain. So a lease is short, there is
//! one per height, it is for known miners only, whoever wastes one gets none for long, and near an election's boundary
//! there are none at all.

use std::collections::BTreeMap;

use crate::chain::block::BlockId;
use crate::crypto::PublicKey;
use crate::planted::{self, Fault};

/// Only miners of so many last blocks are stood by for, and one that brought no block is passed over for as many
/// heights.
pub const RECENT_MINERS: u64 = 100;

/// Another miner's wish to be left alone on a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who asks.
    pub miner: PublicKey,
    /// The block that it mines on.
    pub parent: BlockId,
    /// Height of the block that it makes.
    pub height: u64,
    /// How long it asks for, in milliseconds from arrival.
    pub lease_ms: u64,
}

/// The lease that this node honours.
#[derive(Clone, Copy, Debug)]
struct Honoured {
    miner: PublicKey,
    height: u64,
    until_ms: u64,
}

/// Decides which leases to honour, and remembers which were wasted.
///
/// Memory is bounded: [`RECENT_MINERS`] heights, and as many wasted leases, since there is one lease per height.
#[derive(Clone, Debug)]
pub struct LeasePolicy {
    block_time_ms: u64,
    /// Miners of the last blocks of the best chain, by height.
    recent: BTreeMap<u64, PublicKey>,
    /// Miners that wasted a lease, with the first height at which they may be honoured again.
    passed_over: BTreeMap<PublicKey, u64>,
    /// Highest height at which a lease was honoured.
    last_height: u64,
    honoured: Option<Honoured>,
}

impl LeasePolicy {
    /// A policy that knows no miner yet.
    pub fn new(block_time_ms: u64) -> Self {
        Self {
            block_time_ms,
            recent: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            last_height: 0,
            honoured: None,
        }
    }

    /// Notes a block of the best chain. After a reorganisation the joined blocks are noted in chain order; the first
    /// takes those of the branch that was left with it.
    pub fn block(&mut self, height: u64, miner: PublicKey) {
        // Whoever made it: a lease that lost the race was not wasted.
        self.honoured.take_if(|lease| lease.height <= height);
        self.recent.retain(|below, _| *below < height);
        self.recent.insert(height, miner);
        while self.recent.len() as u64 > RECENT_MINERS {
            self.recent.pop_first();
        }
        self.passed_over.retain(|_, until| *until > height);
    }

    /// Whether this miner made one of the last blocks.
    pub fn is_recent(&self, miner: &PublicKey) -> bool {
        self.recent.values().any(|recent| recent == miner)
    }

    /// Considers a lease that arrived at `now_ms`; `tip` is the block that this node would mine on and its height.
    /// Says until when to stand by, or nothing.
    pub fn offer(
        &mut self,
        lease: &Lease,
        tip: (BlockId, u64),
        now_ms: u64,
        next_boundary_ms: Option<u64>,
    ) -> Option<u64> {
        self.expire(now_ms);
        let (tip, tip_height) = tip;
        let next = lease.parent == tip && lease.height == tip_height + 1;
        let fresh = lease.height > self.last_height;
        let known = self.is_recent(&lease.miner);
        let trusted = self
            .passed_over
            .get(&lease.miner)
            .is_none_or(|until| lease.height >= *until);
        let until_ms = now_ms.saturating_add(lease.lease_ms.min(self.block_time_ms / 2));
        let far_from_boundary = next_boundary_ms
            .is_none_or(|boundary_ms| boundary_ms > until_ms.saturating_add(self.block_time_ms));
        if !(next && fresh && known && trusted && far_from_boundary && lease.lease_ms > 0) {
            return None;
        }
        self.last_height = lease.height;
        self.honoured = Some(Honoured {
            miner: lease.miner,
            height: lease.height,
            until_ms,
        });
        Some(until_ms)
    }

    /// Until when this node stands by, if it does at `now_ms`. A lease that ran out without a block counts as wasted.
    pub fn standing_by(&mut self, now_ms: u64) -> Option<u64> {
        self.expire(now_ms);
        self.honoured.map(|lease| lease.until_ms)
    }

    fn expire(&mut self, now_ms: u64) {
        if let (true, Some(lease)) = (planted::is(Fault::EndlessLease), &mut self.honoured) {
            lease.until_ms = now_ms.saturating_add(self.block_time_ms / 2);
        }
        // A clock that was set back must not prolong a lease.
        let longest_ms = now_ms.saturating_add(self.block_time_ms / 2);
        self.honoured.take_if(|lease| lease.until_ms > longest_ms);
        if let Some(lease) = self.honoured.take_if(|lease| lease.until_ms <= now_ms) {
            self.passed_over
                .insert(lease.miner, lease.height.saturating_add(RECENT_MINERS));
        }
    }
}
