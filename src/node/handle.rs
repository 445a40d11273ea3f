//! What the rest of the process has of a running node: its published picture, a reader of its store, and a bounded
//! queue of commands.
//!
//! Pictures and reads never wait for the node thread. A command does, for at most [`REPLY_DEADLINE`]; a full queue
//! is an answer of its own and never a wait.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use votenode_p2p::{PeerId, PeerInfo};

use super::DropLog;
use super::status::NodeStatus;
use crate::chain::transaction::Transaction;
use crate::protocol::submit::Outcome;
use crate::store::Reader;

/// Commands that may wait for the node. Each holds at most one submission of a client, so that a full queue is some
/// megabytes.
pub const COMMAND_QUEUE: usize = 64;

/// How long the answer to a command is waited for. A commit on a slow disk takes seconds; what takes longer hangs.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// Most transactions of one submission, as in the protocol for clients.
pub const MAX_SUBMISSION: usize = crate::protocol::gossip::MAX_BATCH;

/// Why a command was not carried out, or at least brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The queue is full, or the answer is not there in time. Submitting again later does no harm.
    #[error("the node is busy; try again in a moment")]
    Busy,
    /// The node has ended or is about to.
    #[error("the node is stopping")]
    Stopped,
}

/// What a running node is asked to do. A reply that nobody waits for any more is dropped.
#[derive(Debug)]
pub enum Command {
    /// Take these transactions, as if a client had submitted them; one outcome each, in their order, once they are on
    /// disk.
    Submit {
        /// At most [`MAX_SUBMISSION`].
        transactions: Vec<Transaction>,
        /// The outcomes.
        reply: oneshot::Sender<Vec<Outcome>>,
    },
    /// List the connected peers of this network.
    Peers {
        /// The peers.
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    /// Disconnect a peer and never connect with it again, restarts included.
    Ban {
        /// Whom.
        peer: PeerId,
        /// Whether this changed anything.
        reply: oneshot::Sender<bool>,
    },
    /// Lift a ban.
    Unban {
        /// Whom.
        peer: PeerId,
        /// Whether this changed anything.
        reply: oneshot::Sender<bool>,
    },
    /// Stop keeping to the closing blocks that this node saw first, and follow the chain with the most work.
    ReleasePin {
        /// Whether there was something to release.
        reply: oneshot::Sender<bool>,
    },
    /// End cleanly. The command channel closes when that is under way.
    Shutdown,
}

/// A running node, for HTTP, the control socket and the commands that run one.
#[derive(Clone)]
pub struct NodeHandle {
    status: watch::Receiver<Arc<NodeStatus>>,
    reader: Reader,
    dropped: Arc<DropLog>,
    commands: mpsc::Sender<Command>,
}

impl NodeHandle {
    /// Puts a handle together. `commands` is best made with room for [`COMMAND_QUEUE`].
    pub fn new(
        status: watch::Receiver<Arc<NodeStatus>>,
        reader: Reader,
        dropped: Arc<DropLog>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            status,
            reader,
            dropped,
            commands,
        }
    }

    /// The last picture that the node published.
    pub fn status(&self) -> Arc<NodeStatus> {
        self.status.borrow().clone()
    }

    /// The last picture as it is shown, with the time of asking: at rest the node publishes none for hours.
    pub fn shown_status(&self) -> serde_json::Result<serde_json::Value> {
        let mut value = serde_json::to_value(&*self.status())?;
        if let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) {
            value["now_ms"] = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).into();
        }
        Ok(value)
    }

    /// Waits until a picture fulfils `condition`; `None` when the node ended before.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&NodeStatus) -> bool,
    ) -> Option<Arc<NodeStatus>> {
        let mut status = self.status.clone();
        let found = status.wait_for(|picture| condition(picture)).await;
        found.ok().map(|picture| picture.clone())
    }

    /// Why transactions that waited here can no longer be mined.
    pub fn dropped(&self) -> Arc<DropLog> {
        Arc::clone(&self.dropped)
    }

    /// Reads the store.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Hands in transactions; one outcome each, in their order.
    pub async fn submit(
        &self,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Outcome>, CommandError> {
        self.ask(|reply| Command::Submit {
            transactions,
            reply,
        })
        .await
    }

    /// The connected peers of this network.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, CommandError> {
        self.ask(|reply| Command::Peers { reply }).await
    }

    /// Bans a peer; whether it was not banned before.
    pub async fn ban(&self, peer: PeerId) -> Result<bool, CommandError> {
        self.ask(|reply| Command::Ban { peer, reply }).await
    }

    /// Lifts a ban; whether there was one.
    pub async fn unban(&self, peer: PeerId) -> Result<bool, CommandError> {
        self.ask(|reply| Command::Unban { peer, reply }).await
    }

    /// Stops keeping to closing blocks seen first; whether the node kept to one.
    pub async fn release_pin(&self) -> Result<bool, CommandError> {
        self.ask(|reply| Command::ReleasePin { reply }).await
    }

    /// Asks the node to end. Returns once it has taken notice, or has ended already.
    pub async fn shutdown(&self) {
        // A full queue is waited for here: an end that is asked for must come.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .try_send(command(reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommandError::Busy,
                mpsc::error::TrySendError::Closed(_) => CommandError::Stopped,
            })?;
        match tokio::time::timeout(REPLY_DEADLINE, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(CommandError::Stopped),
            Err(_) => Err(CommandError::Busy),
        }
    }
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHandle").finish_non_exhaustive()
    }
}

/// A connected peer, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerView {
    /// Its peer id.
    pub peer_id: String,
    /// Addresses that it can be dialled at, as far as known.
    pub addresses: Vec<String>,
    /// Program name and version, as it says.
    pub agent: Option<String>,
    /// Whether this node dialled.
    pub outbound: bool,
    /// Latest round trip in milliseconds.
    pub round_trip_ms: Option<u64>,
    /// Gossip score; negative is bad.
    pub score: f64,
    /// Topics of this network that it has joined.
    pub topics: usize,
    /// For how long it has been connected, in milliseconds.
    pub connected_ms: u64,
}

impl From<&PeerInfo> for PeerView {
    fn from(info: &PeerInfo) -> Self {
        Self {
            peer_id: info.peer.to_string(),
            addresses: info.addrs.iter().map(ToString::to_string).collect(),
            agent: info.agent.clone(),
            outbound: info.outbound,
            round_trip_ms: info.rtt_ms,
            score: if info.score.is_finite() {
                info.score
            } else {
                0.0
            },
            topics: info.topics.len(),
            connected_ms: u64::try_from(info.connected_since.elapsed().as_millis())
                .unwrap_or(u64::MAX),
        }
    }
}

/// What became of a submitted transaction, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeView {
    /// `accepted`, `duplicate`, `rejected` or `busy`.
    pub outcome: &'static str,
    /// Why it was rejected.
    pub reason: Option<ReasonView>,
}

/// The rule that a transaction breaks, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonView {
    /// Number of the rule.
    pub code: u64,
    /// In words.
    pub message: String,
}

impl From<&Outcome> for OutcomeView {
    fn from(outcome: &Outcome) -> Self {
        let (outcome, reason) = match outcome {
            Outcome::Accepted {} => ("accepted", None),
            Outcome::Duplicate {} => ("duplicate", None),
            Outcome::Busy {} => ("busy", None),
            Outcome::Rejected { reason } => ("rejected", Some(reason)),
        };
        Self {
            outcome,
            reason: reason.map(|reason| ReasonView {
                code: reason.code,
                message: reason.text.to_string(),
            }),
        }
    }
}
