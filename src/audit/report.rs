//! What an audit found, for people and programs.

use serde::Serialize;

use crate::chain::block::BlockId;
use crate::chain::election::ElectionId;
use crate::chain::genesis::NetworkId;
use crate::crypto::PublicKey;
use crate::protocol::submit::ElectionPhase;

/// A chain that passed. Times are Unix milliseconds, ids hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The network.
    pub network_id: NetworkId,
    /// Its name.
    pub network_name: String,
    /// The last block; the genesis block if there is no other.
    pub tip: BlockReport,
    /// Transactions in all blocks.
    pub transactions: u64,
    /// Voters on the roll.
    pub voters: u64,
    /// Registrations by group and admission.
    pub registrations: Vec<Registrations>,
    /// Every batch of invitations, in chain order.
    pub invitations: Vec<BatchReport>,
    /// Every election, in chain order.
    pub elections: Vec<ElectionReport>,
    /// What the finalisers did; none where nobody finalises.
    pub finality: Option<FinalityReport>,
    /// What the results are worth, in sentences.
    pub warnings: Vec<String>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlockReport {
    /// Its id.
    pub id: BlockId,
    /// Its height.
    pub height: u64,
    /// Its timestamp.
    pub timestamp_ms: u64,
}

/// By what right voters registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionKind {
    /// With a stamp that anyone can compute.
    Open,
    /// With an invitation.
    Invited,
}

/// How many registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registrations {
    /// Into which group.
    pub group: String,
    /// By what right.
    pub admission: AdmissionKind,
    /// How many voters.
    pub voters: u64,
}

/// What became of a batch of invitations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchReport {
    /// The group of whoever uses one.
    pub group: String,
    /// Name of the organiser who issued it.
    pub organiser: String,
    /// Height of its block.
    pub height: u64,
    /// Its index within the block.
    pub index: u32,
    /// When it was issued.
    pub issued_at_ms: u64,
    /// Invitations in it.
    pub issued: u64,
    /// Those that somebody registered with.
    pub used: u64,
    /// When the first of them was used.
    pub first_used_at_ms: Option<u64>,
    /// When the last of them was used.
    pub last_used_at_ms: Option<u64>,
    /// Those that were taken back.
    pub revoked: u64,
    /// When the last of them was taken back.
    pub last_revoked_at_ms: Option<u64>,
}

/// An election with its count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElectionReport {
    /// Its id.
    pub election: ElectionId,
    /// Its title.
    pub title: String,
    /// The question.
    pub question: String,
    /// Height of the block that opened it.
    pub height: u64,
    /// How it is counted.
    pub method: &'static str,
    /// How many options win.
    pub seats: u64,
    /// Who may vote.
    pub groups: Vec<String>,
    /// When polls open.
    pub opens_at_ms: u64,
    /// When polls close.
    pub closes_at_ms: u64,
    /// When the roll closes.
    pub roll_closes_at_ms: u64,
    /// Where it stands as of the tip.
    pub phase: ElectionPhase,
    /// The first block after the polls; votes in blocks before it are the result.
    pub closing_block: Option<BlockReport>,
    /// Blocks on top of that.
    pub depth: Option<u64>,
    /// The checkpoint that made the closing block final.
    pub final_by_checkpoint: Option<u64>,
    /// Voters who were registered in time, or are so far.
    pub eligible: u64,
    /// Valid votes, blanks included.
    pub votes: u64,
    /// Votes that name no option.
    pub blank: u64,
    /// Ballots that could not be counted.
    pub spoiled: u64,
    /// The options in the order of the ballot.
    pub options: Vec<OptionReport>,
    /// Names of the winning options, best first; of those in the lead while polls are open.
    pub winners: Vec<String>,
    /// Whether an option has as much as a winner and was left out by lot.
    pub by_lot: bool,
}

/// An option's count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionReport {
    /// What stands on the ballot.
    pub name: String,
    /// Votes or approvals.
    pub total: u64,
    /// Its place among the winners, from 1.
    pub seat: Option<u64>,
}

/// What the finalisers of a network did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FinalityReport {
    /// Their sets, in order of the numbers; set 0 is that of the genesis.
    pub sets: Vec<SetReport>,
    /// Checkpoints that they decided.
    pub checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: Option<CheckpointReport>,
    /// Who of them was convicted, in chain order.
    pub convictions: Vec<ConvictionReport>,
}

/// A set of finalisers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// Its number.
    pub set: u64,
    /// The block that holds the change that made it; the genesis block of set 0.
    pub made_by: BlockReport,
    /// The first checkpoint that it decides; none if there is none yet, or the next set came first.
    pub first_checkpoint: Option<u64>,
    /// Its members.
    pub finalisers: Vec<FinaliserReport>,
}

/// A member of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FinaliserReport {
    /// The name.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// The voting power.
    pub power: u64,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointReport {
    /// Its number.
    pub checkpoint: u64,
    /// The set that decided it.
    pub set: u64,
    /// Its block.
    pub block: BlockReport,
}

/// A finaliser who signed two messages where there may be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConvictionReport {
    /// The finaliser's name in the latest set that has the key.
    pub name: String,
    /// The finaliser's key.
    pub finaliser: PublicKey,
    /// `proposal`, `prevote` or `precommit`.
    pub message: &'static str,
    /// The checkpoint that the messages are about.
    pub checkpoint: u64,
    /// The round of the consensus.
    pub round: u64,
    /// Height of the block that holds the evidence.
    pub height: u64,
    /// Index of the evidence in its block.
    pub index: u32,
}
