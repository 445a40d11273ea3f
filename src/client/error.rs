//! What can go wrong in a session, as whoever runs it can act on it.

use crate::client::link::AskError;
use crate::crypto::RandomError;

/// Why something asked of a session did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The network part could not be started.
    #[error(transparent)]
    Start(#[from] votenode_p2p::Error),
    /// No node of the network is there.
    #[error("no node of the network answered{}", detail(.trouble))]
    NoNodes {
        /// The last thing that went wrong on the way, in words.
        trouble: Option<String>,
    },
    /// Nodes were there and none gave an answer of use.
    #[error("no node gave a usable answer; the last one: {0}")]
    NoAnswer(AskError),
    /// A transaction could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

fn detail(trouble: &Option<String>) -> String {
    trouble
        .as_ref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

/// Why a transaction cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The network admits nobody without an invitation.
    #[error(
        "this network admits voters by invitation only: give --invitation with the code you were given"
    )]
    InvitationNeeded,
    /// No stamp was found.
    #[error(transparent)]
    Stamp(#[from] crate::crypto::stamp::StampError),
    /// The work was cut off.
    #[error("the transaction was not finished: the program is ending")]
    Cancelled,
}
