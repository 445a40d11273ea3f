//! What can go wrong, as a caller can act on it: starting up, talking to the task, publishing, asking a peer.

use std::io;
use std::time::Duration;

use libp2p::Multiaddr;

/// Why [`spawn`](crate::spawn) did not start a node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on. `source` tells a port in use ([`io::ErrorKind::AddrInUse`]) from the rest.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address as configured.
        addr: Multiaddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The configuration contradicts itself; the text names the setting.
    #[error("invalid configuration: {0}")]
    Config(String),
    /// A transport (TCP, QUIC, DNS) could not be set up.
    #[error("cannot set up the transport: {0}")]
    Transport(String),
}

/// Why a command never reached the swarm task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The command queue is full; try again later. Nothing was done.
    #[error("the network task is busy")]
    Busy,
    /// The swarm task has ended, see [`Event::Stopped`](crate::Event::Stopped).
    #[error("the network task has stopped")]
    Stopped,
    /// The topic is not among the configured ones.
    #[error("unknown topic")]
    UnknownTopic,
}

/// Why a message was not handed to any peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is not among the configured ones.
    #[error("unknown topic")]
    UnknownTopic,
    /// The data exceeds the topic's `max_bytes`.
    #[error("message of {len} bytes exceeds the topic's limit of {max}")]
    TooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Nobody is subscribed. With `kept`, the message waits and is published when somebody subscribes, unless
    /// the topic's `keep` passes first.
    #[error("no peer is subscribed (kept for later: {kept})")]
    NoPeers {
        /// Whether the message waits for a subscriber.
        kept: bool,
    },
    /// The same content was published or received within the last minutes; it is on its way already.
    #[error("already published or received")]
    Duplicate,
    /// The queues towards all peers are full. The message counts as published here (the same content is a
    /// [`PublishError::Duplicate`] from now on) and is forwarded again a few times while it is remembered.
    #[error("the queues of all peers are full")]
    QueueFull,
    /// The command never reached the swarm task.
    #[error(transparent)]
    Handle(#[from] HandleError),
}

/// Why a request brought no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The protocol is not among the configured ones.
    #[error("unknown protocol")]
    UnknownProtocol,
    /// The request exceeds the protocol's `max_request_bytes`.
    #[error("request of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// There is no connection to the peer; dial first.
    #[error("not connected to the peer")]
    NotConnected,
    /// `outbound_per_peer` requests to this peer, or the global number, are under way.
    #[error("too many requests are under way")]
    TooManyOutstanding,
    /// No complete answer within the protocol's timeout.
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// The peer closed the stream without an answer: it refused, or was too busy even to say so.
    #[error("the peer refused")]
    Refused,
    /// The connection went away first.
    #[error("the connection was closed")]
    Disconnected,
    /// The answer broke the framing: over-long, truncated, or followed by more bytes.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The stream failed.
    #[error("stream error: {0}")]
    Io(String),
    /// The command never reached the swarm task.
    #[error(transparent)]
    Handle(#[from] HandleError),
}
