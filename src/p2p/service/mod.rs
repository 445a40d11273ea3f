//! The swarm task: one loop over the network, the commands and a slow tick. It never waits for anything else.
//!
//! | file | |
//! |---|---|
//! | `start.rs` | transports, listeners, supervision |
//! | `network.rs` | what the swarm reports |
//! | `protocols.rs` | what the single behaviours report |
//! | `commands.rs` | what the handle asks for |
//! | `room.rs` | who has to go when connections run short, and handshakes that come to nothing |
//! | `tick.rs` | once a second: dialling, scores, expiry |

mod commands;
mod network;
mod protocols;
mod room;
mod start;
mod tick;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::swarm::{ConnectionId, Swarm};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::addr::{self, Scope};
use crate::allowance::Allowance;
use crate::behaviour::Behaviour;
use crate::config::Config;
use crate::dialer::Dialer;
use crate::exchange::Reply;
use crate::handle::{AnswerTo, Command};
use crate::outbox::Outbox;
use crate::queue;

pub use start::spawn;

/// Pause between rounds of housekeeping.
const TICK: Duration = Duration::from_secs(1);
/// Requests of this node that are under way or whose responses nobody has read yet.
const MAX_OUTSTANDING: usize = 512;
/// How long a shutdown waits for connections to close.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Events of the swarm handled before the loop looks at commands again.
const BURST: usize = 64;

/// One connection.
#[derive(Debug)]
struct Connection {
    addr: Multiaddr,
    outbound: bool,
    since: Instant,
    /// Pings in a row that went unanswered.
    ping_failures: u32,
}

/// What a peer said about itself, bounded and filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    agent: String,
    protocols: Vec<String>,
    addrs: Vec<Multiaddr>,
}

/// One connected peer.
#[derive(Debug)]
struct Peer {
    connections: HashMap<ConnectionId, Connection>,
    since: Instant,
    /// When it last did what peers are for: it asked, answered, or brought something that was accepted.
    active: Instant,
    identity: Option<Identity>,
    /// When a guest is shown out.
    guest_until: Option<Instant>,
    /// How often it may say who it is.
    identities: Allowance,
    rtt_ms: Option<u64>,
    /// It was told to make room.
    leaving: bool,
}

/// Points taken off a peer by the application; they outlive a reconnect.
#[derive(Debug, Default)]
struct Penalty {
    points: f64,
    reason: Option<String>,
}

/// An inbound request that waits for the consumer.
#[derive(Debug)]
struct Waiting {
    protocol: usize,
    reply: Reply,
}

struct Service {
    config: Config,
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    events: queue::Sender,
    peers: HashMap<PeerId, Peer>,
    dialer: Dialer,
    /// Dials to bootstrap addresses under way.
    bootstrapping: HashMap<ConnectionId, usize>,
    /// Dials that the caller asked for, under way.
    dialling: HashMap<ConnectionId, Multiaddr>,
    outbox: Outbox,
    penalties: HashMap<PeerId, Penalty>,
    waiting: HashMap<u64, Waiting>,
    asking: HashMap<u64, AnswerTo>,
    next_id: u64,
    walk: tick::Walk,
    /// How often each peer that told no topics was dialled anew, and when last.
    mute: HashMap<PeerId, (u32, Instant)>,
    stillborn: room::Stillborn,
}

/// Whether the loop goes on.
enum Flow {
    Continue,
    Stop(Option<oneshot::Sender<()>>),
}

impl Service {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = loop {
            tokio::select! {
                event = self.swarm.select_next_some() => {
                    self.on_swarm_event(event);
                    self.drain_swarm();
                }
                command = self.commands.recv() => match self.on_command(command) {
                    Flow::Continue => {}
                    Flow::Stop(done) => break done,
                },
                _ = tick.tick() => self.on_tick(),
            }
        };
        self.close().await;
        // The ports are free again by the time the caller hears of it.
        drop(self);
        if let Some(done) = done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// Handles what the swarm has ready, up to a bound, before the loop chooses again.
    fn drain_swarm(&mut self) {
        for _ in 0..BURST {
            match futures::FutureExt::now_or_never(self.swarm.select_next_some()) {
                Some(event) => self.on_swarm_event(event),
                None => break,
            }
        }
    }

    /// Says goodbye: peers see a closed connection rather than a timeout.
    async fn close(&mut self) {
        for peer in self.peers.keys().copied().collect::<VecDeque<_>>() {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN_TIMEOUT;
        while self.swarm.network_info().num_peers() > 0 {
            match tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await {
                Ok(event) => self.on_swarm_event(event),
                Err(_) => break,
            }
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn outbound(&self) -> usize {
        let dialled = |p: &&Peer| p.connections.values().any(|c| c.outbound);
        self.peers.values().filter(dialled).count()
    }

    /// How far addresses from third parties must reach: loopback counts only while everything this node listens on
    /// is loopback, or all its connections are if it does not listen.
    fn own_scope(&self) -> Scope {
        let listening = self.swarm.listeners().filter_map(addr::scope).max();
        let connections = self.peers.values().flat_map(|p| p.connections.values());
        let reach = listening.or_else(|| connections.filter_map(|c| addr::scope(&c.addr)).max());
        match reach {
            Some(Scope::Loopback) => Scope::Loopback,
            _ => Scope::Site,
        }
    }
}
