//! What a running node shows of itself: one immutable picture, made by the node thread after a batch of inputs and read
//! by HTTP, metrics, the control socket and the log without asking the node.

use serde::Serialize;

use crate::chain::block::BlockId;
use crate::chain::genesis::NetworkId;
use crate::chain::transaction::Kind;
use crate::crypto::PublicKey;
use crate::node::finality::FinalityStatus;
use crate::protocol::gossip::Phase;

/// A picture of the node. Times are Unix milliseconds by the node's clock.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Release of the program.
    pub version: &'static str,
    /// The network's id.
    pub network: NetworkId,
    /// The network's name.
    pub network_name: String,
    /// Whether this is the compiled-in network for trials.
    pub trial: bool,
    /// Whether checkpoints are decided in this network.
    pub finalises: bool,
    /// Blocks on top that stand in for finality where nobody finalises.
    pub confirmations: u64,
    /// The libp2p peer id.
    pub peer_id: String,
    /// The miner key.
    pub miner: PublicKey,
    /// When the node started.
    pub started_at_ms: u64,
    /// When this picture was made.
    pub now_ms: u64,
    /// Addresses that the node listens on.
    pub listening: Vec<String>,
    /// The best block.
    pub tip: TipStatus,
    /// Height of the best chain of headers known; above the tip while catching up.
    pub best_header_height: u64,
    /// Whether the node is far behind and does not take transactions yet.
    pub syncing: bool,
    /// Connected peers of this network.
    pub peers: usize,
    /// What waits for a block.
    pub mempool: MempoolStatus,
    /// What this node's miner does.
    pub mining: MiningStatus,
    /// What other miners say they do, most recent first.
    pub mining_states: Vec<MinerStatus>,
    /// Median offset of the peers' clocks to this node's, in milliseconds; none without peers.
    pub clock_offset_ms: Option<i64>,
    /// Whether the disk refused the last write.
    pub disk_full: bool,
    /// A chain with more work that this node does not follow, because it saw an election close on its own.
    pub competing: Option<CompetingChain>,
    /// Checkpoints; none where nobody finalises.
    pub finality: Option<FinalityStatus>,
    /// Sentences that an operator should read.
    pub warnings: Vec<String>,
    /// Counts since the start.
    pub counters: Counters,
}

/// The best block.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TipStatus {
    /// Id.
    pub id: BlockId,
    /// Height.
    pub height: u64,
    /// Timestamp.
    pub timestamp_ms: u64,
    /// Registrations so far.
    pub roll_size: u64,
}

/// A count per kind of transaction, in the order of the kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts(pub [u64; Kind::ALL.len()]);

impl Serialize for KindCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Kind::ALL.iter().map(|kind| kind.name()).zip(self.0))
    }
}

impl KindCounts {
    /// Sum over all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts one more of a kind.
    pub fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// Counts one less of a kind.
    pub fn remove(&mut self, kind: Kind) {
        self.0[kind as usize] -= 1;
    }
}

/// What waits for a block.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MempoolStatus {
    /// Transactions by kind.
    pub transactions: KindCounts,
    /// Their encoded bytes.
    pub bytes: u64,
    /// Transactions held for a moment because something that they need has not come yet.
    pub held: u64,
    /// Whether it takes no more.
    pub full: bool,
}

/// What this node's miner does.
#[derive(Clone, Debug, Serialize)]
pub struct MiningStatus {
    /// Whether this node mines at all.
    pub enabled: bool,
    /// What it is at; none while it rests.
    pub phase: Option<Phase>,
    /// Height of the block that it makes or waits to make; none while it rests.
    pub height: Option<u64>,
    /// Transactions in its template by kind; before it mines, those that wait.
    pub counts: KindCounts,
    /// Hashes a second, measured over the last blocks.
    pub hash_rate: u64,
    /// Why it does not mine although something waits.
    pub paused: Option<String>,
}

/// What another miner says it does.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MinerStatus {
    /// Its key.
    pub miner: PublicKey,
    /// The block that it mines on.
    pub parent: BlockId,
    /// Height of the block that it makes.
    pub height: u64,
    /// What it is at.
    pub phase: Phase,
    /// Transactions in its template by kind.
    pub counts: KindCounts,
    /// Hashes a second, as it says.
    pub hash_rate: u64,
    /// When its last state arrived.
    pub received_at_ms: u64,
    /// Until when others may stand by for it.
    pub lease_until_ms: u64,
}

/// A chain that is not followed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CompetingChain {
    /// Its tip.
    pub tip: BlockId,
    /// Its height.
    pub height: u64,
    /// Height of the last block in common.
    pub forks_at_height: u64,
    /// The closing block that this node keeps to.
    pub pinned: BlockId,
}

/// Counts since the start. Only ever grow.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counters {
    /// Transactions taken into the mempool, by kind.
    pub accepted: KindCounts,
    /// Transactions refused, by kind.
    pub rejected: KindCounts,
    /// Transactions that waited and could no longer be mined.
    pub dropped: u64,
    /// Blocks that joined the best chain.
    pub blocks_connected: u64,
    /// Blocks that left the best chain.
    pub blocks_disconnected: u64,
    /// Reorganisations.
    pub reorganisations: u64,
    /// Blocks that this node mined.
    pub blocks_mined: u64,
    /// Blocks refused as invalid.
    pub blocks_invalid: u64,
    /// Gossip messages accepted.
    pub gossip_accepted: u64,
    /// Gossip messages ignored.
    pub gossip_ignored: u64,
    /// Gossip messages rejected.
    pub gossip_rejected: u64,
    /// Requests answered.
    pub requests_served: u64,
    /// Requests answered with `busy`.
    pub requests_busy: u64,
    /// Signatures and proofs verified.
    pub verified: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}
