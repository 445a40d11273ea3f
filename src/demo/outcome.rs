//! What came out of a demo, for programs.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::error::DemoError;

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
