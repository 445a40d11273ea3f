//! When a block is wanted, and when a miner stands by for another: the rules that let an idle network rest.
//!
//! All of it is advice to this node. A block that nobody wanted is as valid as any other, so nodes that disagree here
//! still agree on the chain. Times are Unix milliseconds and come in from outside.

mod lease;

#[cfg(test)]
mod tests;

use crate::chain::block::BlockId;
use crate::chain::election::Terms;
use crate::chain::genesis::Genesis;
use crate::crypto::{Context, Hasher, PublicKey};
use crate::planted::{self, Fault};

pub use lease::{Lease, LeasePolicy, RECENT_MINERS};

/// Miners' delays spread over one in so many parts of the block time. A quarter is five times what a block takes one
/// core on average, so that the first to start is mostly done before the second begins.
const DELAY_PART: u64 = 4;

/// What the wish for a block depends on.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The block to mine on.
    pub parent: BlockId,
    /// Its timestamp.
    pub parent_timestamp_ms: u64,
    /// The clock.
    pub now_ms: u64,
    /// Whether transactions wait that a block on this parent could hold.
    pub waiting: bool,
    /// The earliest boundary of an election that lies after the parent's timestamp (see [`next_boundary`]).
    pub next_boundary_ms: Option<u64>,
    /// How many blocks, the parent included, lie on top of the last block that held a transaction or was the first
    /// after a boundary; `None` if there was no such block yet.
    pub quiet_blocks: Option<u64>,
}

/// Whether and when to mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// No block until something happens.
    Nothing,
    /// A block.
    At {
        /// Its timestamp, or the clock's time when it is mined if that is later.
        timestamp_ms: u64,
        /// When to begin; now or earlier means at once.
        start_mining_at_ms: u64,
    },
}

/// When this miner wants the next block.
///
/// What waits is mined when the next timestamp is due, boundaries when they are reached, and where nobody finalises
/// a few empty blocks follow both, so that `confirmations` are reached. Each miner adds its own delay to the moment at
/// which all of them could begin; after rest that moment is long past, and the block comes at once.
pub fn want(genesis: &Genesis, miner: &PublicKey, situation: &Situation) -> Want {
    let due_ms = situation
        .parent_timestamp_ms
        .saturating_add(genesis.block_time_ms);
    let unconfirmed = !genesis.finalises()
        && situation
            .quiet_blocks
            .is_some_and(|quiet| quiet < genesis.confirmations);
    let earliest_ms = if situation.waiting || unconfirmed {
        due_ms
    } else if let Some(boundary_ms) = situation.next_boundary_ms {
        due_ms.max(boundary_ms)
    } else {
        return Want::Nothing;
    };
    let delay_ms = mining_delay_ms(&situation.parent, miner, genesis.block_time_ms);
    Want::At {
        timestamp_ms: earliest_ms.max(situation.now_ms),
        start_mining_at_ms: earliest_ms.saturating_add(delay_ms),
    }
}

/// How long a miner lets others go first on this parent: from 0 to a quarter of the block time, a different lot for
/// every parent, so that no miner is always first.
pub fn mining_delay_ms(parent: &BlockId, miner: &PublicKey, block_time_ms: u64) -> u64 {
    let hash = Hasher::new(Context::MinerDelay)
        .update(parent.as_bytes())
        .update(miner.as_bytes())
        .finish();
    let mut lot = [0; 8];
    lot.copy_from_slice(&hash.as_bytes()[..8]);
    let spread = u128::from(block_time_ms / DELAY_PART);
    ((u128::from(u64::from_be_bytes(lot)) * spread) >> 64) as u64
}

/// When polls are over for blocks: the first block at or after this is the closing block.
pub fn closing_ms(genesis: &Genesis, terms: &Terms) -> u64 {
    if planted::is(Fault::NoGrace) {
        return terms.closes_at_ms;
    }
    terms.closes_at_ms.saturating_add(genesis.close_grace_ms)
}

/// The moments of an election that call for a block: opening, close of the roll, close of polls with the grace.
pub fn boundaries(genesis: &Genesis, terms: &Terms) -> [u64; 3] {
    [
        terms.opens_at_ms,
        terms.roll_closes_at_ms,
        closing_ms(genesis, terms),
    ]
}

/// The earliest boundary that no block of the chain up to a tip with this timestamp has reached.
pub fn next_boundary(
    tip_timestamp_ms: u64,
    boundaries: impl IntoIterator<Item = u64>,
) -> Option<u64> {
    boundaries
        .into_iter()
        .filter(|boundary_ms| *boundary_ms > tip_timestamp_ms)
        .min()
}

/// Whether a block is the first at or after one of these boundaries.
pub fn is_boundary_block(
    parent_timestamp_ms: u64,
    timestamp_ms: u64,
    boundaries: impl IntoIterator<Item = u64>,
) -> bool {
    next_boundary(parent_timestamp_ms, boundaries)
        .is_some_and(|boundary_ms| boundary_ms <= timestamp_ms)
}
