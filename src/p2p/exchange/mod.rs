//! Request-response over opaque bytes: any number of protocols, chosen at run time, each with limits of its own.
//!
//! libp2p's own request-response behaviour is not used, for three reasons: one instance cannot choose among several
//! protocols per request, an inbound request is counted only after it was read, and a full handler drops streams
//! silently. Here an inbound stream takes its places (one of the peer's, one of all) *before* a byte is read; when
//! there is none, the request is drained without being kept and answered with the protocol's busy response. A peer's
//! only request needs no place of all, so that others cannot take every place by never ending theirs: what is served
//! at once is bounded by the places of all and, beyond them, by one per connected peer.
//!
//! A place says nothing about bytes: a peer that asks for as much as a reply may hold and never reads it would keep
//! all of it in memory. So large replies share a room in bytes. Where there is none left the peer is told "busy", and
//! whoever takes nothing of a large reply for a while loses it, and points.
//!
//! All reading and writing happens in the connections' tasks ([`handler`]); this behaviour only counts and routes.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, StreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Semaphore, oneshot};

use crate::config::ProtocolConfig;
use crate::error::{Error, RequestError};
use handler::{FromHandler, Handler, Outgoing};

pub(crate) use handler::Broken;

/// Sends the answer to an inbound request: a response, or `None` to refuse.
pub(crate) type Reply = oneshot::Sender<Option<Vec<u8>>>;

/// One protocol with its place counter for all peers.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) config: ProtocolConfig,
    name: StreamProtocol,
    places: Arc<Semaphore>,
    /// Room for large replies, shared by all protocols, in units of [`UNIT_BYTES`].
    room: Arc<Semaphore>,
}

/// What one permit for a large reply stands for.
const UNIT_BYTES: usize = 1024;

/// What concerns the service.
#[derive(Debug)]
pub(crate) enum Event {
    Request {
        peer: PeerId,
        protocol: usize,
        data: Vec<u8>,
        reply: Reply,
    },
    Response {
        id: u64,
        peer: PeerId,
        result: Result<Vec<u8>, RequestError>,
    },
    Broken {
        peer: PeerId,
        broken: Broken,
    },
}

/// An outbound request on its way.
#[derive(Debug)]
struct InFlight {
    peer: PeerId,
    connection: ConnectionId,
    protocol: usize,
}

/// One peer's place counters, shared by its connections; gone when the last of them is.
type PeerPlaces = Vec<Arc<Semaphore>>;

pub(crate) struct Behaviour {
    protocols: Arc<[Protocol]>,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    places: HashMap<PeerId, Weak<PeerPlaces>>,
    in_flight: HashMap<u64, InFlight>,
    queue: VecDeque<ToSwarm<Event, Outgoing>>,
}

impl Behaviour {
    /// `max_reply_bytes` are for the large replies of all protocols together.
    pub(crate) fn new(protocols: &[ProtocolConfig], max_reply_bytes: usize) -> Result<Self, Error> {
        let units = (max_reply_bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(units));
        let protocols = protocols
            .iter()
            .map(|config| {
                let name = StreamProtocol::try_from_owned(config.name.clone())
                    .map_err(|e| Error::Config(format!("protocol {}: {e}", config.name)))?;
                Ok(Protocol {
                    config: config.clone(),
                    name,
                    places: Arc::new(Semaphore::new(config.inbound_total)),
                    room: Arc::clone(&room),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            protocols,
            connections: HashMap::new(),
            places: HashMap::new(),
            in_flight: HashMap::new(),
            queue: VecDeque::new(),
        })
    }

    pub(crate) fn protocol(&self, index: usize) -> &ProtocolConfig {
        &self.protocols[index].config
    }

    /// Requests under way to anyone.
    pub(crate) fn outstanding(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends a request; exactly one [`Event::Response`] follows unless this is an error. `id` must be unused.
    pub(crate) fn request(
        &mut self,
        id: u64,
        peer: PeerId,
        protocol: &str,
        data: Vec<u8>,
    ) -> Result<(), RequestError> {
        let index = self
            .protocols
            .iter()
            .position(|p| p.config.name == protocol)
            .ok_or(RequestError::UnknownProtocol)?;
        let config = &self.protocols[index].config;
        if data.len() > config.max_request_bytes {
            return Err(RequestError::TooLarge {
                len: data.len(),
                max: config.max_request_bytes,
            });
        }
        let connection = self
            .connections
            .get(&peer)
            .and_then(|connections| connections.first().copied())
            .ok_or(RequestError::NotConnected)?;
        let same = |f: &&InFlight| f.peer == peer && f.protocol == index;
        if self.in_flight.values().filter(same).count() >= config.outbound_per_peer {
            return Err(RequestError::TooManyOutstanding);
        }
        self.in_flight.insert(
            id,
            InFlight {
                peer,
                connection,
                protocol: index,
            },
        );
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Outgoing {
                id,
                protocol: index,
                data,
            },
        });
        Ok(())
    }

    fn handler(&mut self, peer: PeerId) -> Handler {
        self.places.retain(|_, places| places.strong_count() > 0);
        let places = self.places.get(&peer).and_then(Weak::upgrade);
        let places = places.unwrap_or_else(|| {
            let limits = self.protocols.iter().map(|p| p.config.inbound_per_peer);
            let places = Arc::new(limits.map(|n| Arc::new(Semaphore::new(n))).collect());
            self.places.insert(peer, Arc::downgrade(&places));
            places
        });
        Handler::new(Arc::clone(&self.protocols), places)
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(connections) = self.connections.get_mut(&peer) {
            connections.retain(|c| *c != connection);
            if connections.is_empty() {
                self.connections.remove(&peer);
            }
        }
        let lost = |f: &InFlight| f.peer == peer && f.connection == connection;
        for (id, _) in self.in_flight.extract_if(|_, f| lost(f)) {
            self.queue
                .push_back(ToSwarm::GenerateEvent(Event::Response {
                    id,
                    peer,
                    result: Err(RequestError::Disconnected),
                }));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                let connections = self.connections.entry(e.peer_id).or_default();
                connections.push(e.connection_id);
            }
            FromSwarm::ConnectionClosed(e) => self.closed(e.peer_id, e.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            FromHandler::Request {
                protocol,
                data,
                reply,
            } => self.queue.push_back(ToSwarm::GenerateEvent(Event::Request {
                peer,
                protocol,
                data,
                reply,
            })),
            FromHandler::Broken(broken) => self
                .queue
                .push_back(ToSwarm::GenerateEvent(Event::Broken { peer, broken })),
            FromHandler::Answer { id, result } => {
                // A request whose connection closed was answered for already.
                if self.in_flight.remove(&id).is_some() {
                    let event = Event::Response { id, peer, result };
                    self.queue.push_back(ToSwarm::GenerateEvent(event));
                }
            }
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker: everything that fills the queue runs on the swarm task right before it polls again.
        match self.queue.pop_front() {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}
