//! What came out of a demo, for programs.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::error::DemoError;
use super::meter::Spread;

/// What was seen. A demo that did not see all of it has no outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Node processes.
    pub nodes: u32,
    /// Voters.
    pub voters: u32,
    /// Client processes that held them.
    pub clients: usize,
    /// Voters on the electoral roll, by the audit.
    pub registered: u64,
    /// Votes in the result, by the audit.
    pub votes_counted: u64,
    /// Second votes that nodes refused.
    pub duplicates_rejected: usize,
    /// Nodes that were killed with SIGKILL.
    pub killed: u32,
    /// Votes that the killed node had acknowledged, which no other node held and no block contained, and which are
    /// counted.
    pub kept_votes: usize,
    /// Finalisers, each a node's.
    #[serde(skip_serializing_if = "is_zero")]
    pub finalisers: u32,
    /// How often a finaliser's node was killed with SIGKILL.
    #[serde(skip_serializing_if = "is_zero")]
    pub finalisers_killed: u32,
    /// Whether everything is final: every registration and vote, by certificates that the client processes checked, and
    /// the result, on every node. Never where nobody finalises.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Milliseconds from a block's being on a node's best chain to its being final there, over all blocks and nodes; none
    /// where nobody finalises. Measured by watching the nodes, which are looked at about every 80 ms; the time in which
    /// too few finalisers run is left out. On an idle machine the median is under a second.
    pub finality_ms: Option<Spread>,
    /// Whether all nodes are on one tip with one result.
    pub tips_agree: bool,
    /// Whether the audit of the exported chain passed and found the result that the nodes tell and the voters chose.
    pub audit_ok: bool,
    /// The question.
    pub question: String,
    /// The options, in the order of the ballot.
    pub results: Vec<OptionOutcome>,
    /// Whether a tie was decided by lot.
    pub by_lot: bool,
    /// Blocks on the chain.
    pub blocks: u64,
    /// The network's id.
    pub network: String,
    /// The election's id.
    pub election: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where everything is, if it was to be kept.
    pub directory: Option<PathBuf>,
}

/// What an option got.
#[derive(Clone, Debug, Serialize)]
pub struct OptionOutcome {
    /// What stands on the ballot.
    pub option: String,
    /// Its votes.
    pub votes: u64,
    /// Whether it won.
    pub elected: bool,
}

/// Serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Prints the outcome as one line.
pub fn print_json(outcome: &Outcome) -> Result<(), DemoError> {
    let mut line = serde_json::to_string(outcome).map_err(DemoError::not_seen)?;
    line.push('\n');
    let mut output = io::stdout().lock();
    output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| DemoError::machine("write to stdout", &error))
}
