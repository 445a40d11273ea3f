//! What the swarm task tells its consumer, and the snapshots it hands out on request.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::error::{PublishError, RequestError};

/// The content hash that names a gossip message, see [`message_id`](crate::message_id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 32]);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// Names an inbound request until it is answered, refused or out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What the consumer thinks of a gossip message. Nothing is forwarded before a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: forward it.
    Accept,
    /// Wrong whatever the circumstances: drop it and score the sender down.
    Reject,
    /// Neither: drop it, no hard feelings.
    Ignore,
}

/// Something that happened. See [`Events`](crate::Events) for what may be dropped under load, and what never is.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The node listens on this address. One configured address may bring several (one per interface).
    Listening {
        /// Without `/p2p/…`.
        addr: Multiaddr,
    },
    /// The node does not listen there any more (an interface went away, a listener failed).
    ListenStopped {
        /// The address that is gone.
        addr: Multiaddr,
    },
    /// First connection to a peer.
    Connected {
        /// Who.
        peer: PeerId,
        /// Where.
        addr: Multiaddr,
        /// Whether this node dialled.
        outbound: bool,
    },
    /// Last connection to a peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer told about itself, or something about it changed; everything in here is its own claim.
    Identified {
        /// Who.
        peer: PeerId,
        /// Program name and version.
        agent: String,
        /// Protocols it serves.
        protocols: Vec<String>,
        /// Addresses worth keeping: dialable from here as far as one can tell (no loopback of another machine, say).
        addrs: Vec<Multiaddr>,
    },
    /// A peer of some other network; it is being let go.
    Foreign {
        /// Who.
        peer: PeerId,
        /// What it calls itself.
        agent: String,
        /// The required protocol it lacks.
        missing: String,
    },
    /// A peer hung up before it said who it is, as programs of another kind or network do, and full nodes. It is dialled
    /// again after growing pauses.
    TurnedAway {
        /// Who.
        peer: PeerId,
    },
    /// A peer is being let go because of its score, and left alone for a while.
    Misbehaved {
        /// Who.
        peer: PeerId,
        /// Its score.
        score: f64,
        /// The latest reason given to [`Handle::penalize`](crate::Handle::penalize), if any.
        reason: Option<String>,
    },
    /// A peer is being let go, and may come back at once.
    ShownOut {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: &'static str,
    },
    /// A peer joined or left a topic.
    Subscription {
        /// Who.
        peer: PeerId,
        /// Which topic.
        topic: String,
        /// Joined or left.
        subscribed: bool,
    },
    /// A gossip message that waits for a verdict: [`Handle::report`](crate::Handle::report).
    Gossip {
        /// Topic name.
        topic: String,
        /// Content hash.
        id: MessageId,
        /// Who forwarded it; messages carry no author.
        from: PeerId,
        /// The payload, at most the topic's `max_bytes`.
        data: Vec<u8>,
    },
    /// The outcome of [`Handle::publish_tagged`](crate::Handle::publish_tagged).
    Published {
        /// The caller's tag.
        tag: u64,
        /// The message's id if at least one peer's queue took it.
        result: Result<MessageId, PublishError>,
    },
    /// A request that waits for [`Handle::respond`](crate::Handle::respond) or [`Handle::refuse`](crate::Handle::refuse).
    Request {
        /// Who asks.
        peer: PeerId,
        /// Protocol name.
        protocol: String,
        /// Names it in the answer.
        id: RequestId,
        /// The payload, at most `max_request_bytes`.
        data: Vec<u8>,
    },
    /// The outcome of [`Handle::request_tagged`](crate::Handle::request_tagged); exactly one per accepted request.
    Response {
        /// The caller's tag.
        tag: u64,
        /// Who was asked.
        peer: PeerId,
        /// The answer, at most `max_response_bytes`.
        result: Result<Vec<u8>, RequestError>,
    },
    /// Peers see this node under this address, or it was configured.
    ExternalAddr {
        /// The address.
        addr: Multiaddr,
        /// Configured rather than guessed from what one peer sees.
        confirmed: bool,
    },
    /// A bootstrap address did not answer; another attempt follows.
    BootstrapFailed {
        /// The address as configured.
        addr: Multiaddr,
        /// Why.
        error: String,
        /// When it is tried next.
        retry_in: Duration,
    },
    /// An address given to [`Handle::dial`](crate::Handle::dial) could not be reached; it is not tried again.
    DialFailed {
        /// The address as given.
        addr: Multiaddr,
        /// Why.
        error: String,
    },
    /// Round-trip time to a peer, measured every 10 s.
    Rtt {
        /// Who.
        peer: PeerId,
        /// Milliseconds.
        rtt_ms: u64,
    },
    /// Something an operator should know, after which the node goes on (say, no multicast DNS).
    Warning {
        /// One line.
        text: String,
    },
    /// The last event: the swarm task has ended.
    Stopped {
        /// `None` after [`Handle::shutdown`](crate::Handle::shutdown); otherwise what went wrong, so that whoever
        /// supervises can start anew.
        error: Option<String>,
    },
}

/// One connected peer.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// Addresses it can be dialled at, as far as known: what to keep in a peer book.
    pub addrs: Vec<Multiaddr>,
    /// Program name and version, once identified.
    pub agent: Option<String>,
    /// Whether this node dialled (one of) the connections.
    pub outbound: bool,
    /// Latest round trip in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Gossip score; negative is bad.
    pub score: f64,
    /// Topics it has joined, among the configured ones.
    pub topics: Vec<String>,
    /// When the first connection was made.
    pub connected_since: Instant,
}

/// One topic, as seen from here.
#[derive(Debug, Clone)]
pub struct TopicInfo {
    /// Name.
    pub name: String,
    /// Whether this node has joined it.
    pub subscribed: bool,
    /// Connected peers that have joined it.
    pub peers: usize,
    /// Those that messages are exchanged with directly.
    pub mesh_peers: usize,
}

/// The whole node at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// This node.
    pub local_peer: PeerId,
    /// Addresses listened on.
    pub listening: Vec<Multiaddr>,
    /// Addresses configured or confirmed as external.
    pub external: Vec<Multiaddr>,
    /// Connected peers, ordered by id.
    pub peers: Vec<PeerInfo>,
    /// Configured topics, in the order of the configuration.
    pub topics: Vec<TopicInfo>,
    /// Banned peers, ordered by id.
    pub banned: Vec<PeerId>,
}
