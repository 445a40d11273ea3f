//! The caller's end: a cheap, cloneable handle whose calls become commands to the swarm task.
//!
//! Commands go over one bounded channel and are never waited for: when it is full the call returns
//! [`HandleError::Busy`] and nothing was done. Only calls that return data are `async`, and they wait for the answer,
//! not for room.

use std::sync::Arc;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

use crate::error::{HandleError, PublishError, RequestError};
use crate::event::{MessageId, PeerInfo, RequestId, Snapshot, Verdict};

/// Commands that may wait for the swarm task. It takes them as fast as it turns, so a full channel means that it is
/// held up or that somebody floods it. A command holds at most one message.
pub(crate) const COMMANDS: usize = 1024;

#[derive(Debug)]
pub(crate) enum PublishTo {
    Event(u64),
    Caller(oneshot::Sender<Result<MessageId, PublishError>>),
}

#[derive(Debug)]
pub(crate) enum AnswerTo {
    Event(u64),
    Caller(oneshot::Sender<Result<Vec<u8>, RequestError>>),
}

#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        topic: String,
        data: Vec<u8>,
        to: PublishTo,
    },
    Report {
        id: MessageId,
        from: PeerId,
        verdict: Verdict,
    },
    Request {
        peer: PeerId,
        protocol: String,
        data: Vec<u8>,
        to: AnswerTo,
    },
    Respond {
        id: RequestId,
        response: Option<Vec<u8>>,
    },
    Dial(Multiaddr),
    Disconnect(PeerId),
    Ban(PeerId),
    Unban(PeerId),
    Subscribe {
        topic: String,
        join: bool,
    },
    Penalize {
        peer: PeerId,
        points: f64,
        reason: String,
    },
    Snapshot(oneshot::Sender<Snapshot>),
    Shutdown(oneshot::Sender<()>),
}

/// Commands to a running node. When the last handle is gone, the node stops.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    local: PeerId,
    topics: Arc<[String]>,
}

impl Handle {
    pub(crate) fn new(local: PeerId, topics: Arc<[String]>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let handle = Self {
            commands,
            local,
            topics,
        };
        (handle, receiver)
    }

    fn send(&self, command: Command) -> Result<(), HandleError> {
        self.commands.try_send(command).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => HandleError::Busy,
            mpsc::error::TrySendError::Closed(_) => HandleError::Stopped,
        })
    }

    /// This node's own id.
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// Publishes and waits for the outcome.
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> Result<MessageId, PublishError> {
        let (sender, outcome) = oneshot::channel();
        self.send(Command::Publish {
            topic: topic.into(),
            data,
            to: PublishTo::Caller(sender),
        })?;
        outcome.await.unwrap_or(Err(HandleError::Stopped.into()))
    }

    /// Publishes; the outcome comes as [`Event::Published`](crate::Event::Published) with this tag.
    pub fn publish_tagged(&self, tag: u64, topic: &str, data: Vec<u8>) -> Result<(), HandleError> {
        self.send(Command::Publish {
            topic: topic.into(),
            data,
            to: PublishTo::Event(tag),
        })
    }

    /// Gives the verdict on a [`Event::Gossip`](crate::Event::Gossip); `id` and `from` as in the event. After the
    /// validation timeout it has no effect.
    pub fn report(&self, id: MessageId, from: PeerId, verdict: Verdict) -> Result<(), HandleError> {
        self.send(Command::Report { id, from, verdict })
    }

    /// Asks a connected peer and waits for its answer.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: &str,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, RequestError> {
        let (sender, answer) = oneshot::channel();
        self.send(Command::Request {
            peer,
            protocol: protocol.into(),
            data,
            to: AnswerTo::Caller(sender),
        })?;
        answer.await.unwrap_or(Err(HandleError::Stopped.into()))
    }

    /// Asks a connected peer; the answer comes as [`Event::Response`](crate::Event::Response) with this tag.
    pub fn request_tagged(
        &self,
        tag: u64,
        peer: PeerId,
        protocol: &str,
        data: Vec<u8>,
    ) -> Result<(), HandleError> {
        self.send(Command::Request {
            peer,
            protocol: protocol.into(),
            data,
            to: AnswerTo::Event(tag),
        })
    }

    /// Answers a [`Event::Request`](crate::Event::Request). Too late or unknown: no effect. Longer than the
    /// protocol's `max_response_bytes`: the request is refused, and a warning says so.
    pub fn respond(&self, id: RequestId, data: Vec<u8>) -> Result<(), HandleError> {
        self.send(Command::Respond {
            id,
            response: Some(data),
        })
    }

    /// Closes an inbound request without an answer.
    pub fn refuse(&self, id: RequestId) -> Result<(), HandleError> {
        self.send(Command::Respond { id, response: None })
    }

    /// Dials an address once, whatever the number of connections.
    pub fn dial(&self, addr: Multiaddr) -> Result<(), HandleError> {
        self.send(Command::Dial(addr))
    }

    /// Closes all connections to a peer.
    pub fn disconnect(&self, peer: PeerId) -> Result<(), HandleError> {
        self.send(Command::Disconnect(peer))
    }

    /// Closes all connections to a peer and lets none come to be until [`Handle::unban`]. Lives as long as the node.
    pub fn ban(&self, peer: PeerId) -> Result<(), HandleError> {
        self.send(Command::Ban(peer))
    }

    /// Lifts a ban, or the hold on a foreign or misbehaving peer.
    pub fn unban(&self, peer: PeerId) -> Result<(), HandleError> {
        self.send(Command::Unban(peer))
    }

    /// Joins a configured topic.
    pub fn subscribe(&self, topic: &str) -> Result<(), HandleError> {
        self.subscription(topic, true)
    }

    /// Leaves a topic.
    pub fn unsubscribe(&self, topic: &str) -> Result<(), HandleError> {
        self.subscription(topic, false)
    }

    fn subscription(&self, topic: &str, join: bool) -> Result<(), HandleError> {
        if !self.topics.iter().any(|known| known == topic) {
            return Err(HandleError::UnknownTopic);
        }
        self.send(Command::Subscribe {
            topic: topic.into(),
            join,
        })
    }

    /// Takes `points` (finite, positive) off a peer's score. They are forgiven by about 1 % a second. Below
    /// `disconnect_score` the peer is let go and held off for a while.
    pub fn penalize(&self, peer: PeerId, points: f64, reason: &str) -> Result<(), HandleError> {
        self.send(Command::Penalize {
            peer,
            points,
            reason: reason.into(),
        })
    }

    /// The node at this moment.
    pub async fn snapshot(&self) -> Result<Snapshot, HandleError> {
        let (sender, snapshot) = oneshot::channel();
        self.send(Command::Snapshot(sender))?;
        snapshot.await.map_err(|_| HandleError::Stopped)
    }

    /// The connected peers at this moment.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, HandleError> {
        Ok(self.snapshot().await?.peers)
    }

    /// Closes all connections, then ends the task; returns when that is done. A node that stopped already is fine.
    pub async fn shutdown(&self) {
        let (sender, done) = oneshot::channel();
        // The one command worth waiting with: a busy task still has to end.
        if self.commands.send(Command::Shutdown(sender)).await.is_ok() {
            let _ = done.await;
        }
    }
}
