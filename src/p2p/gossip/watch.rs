//! Gossipsub, watched for what it bears without a word.
//!
//! It scores messages and some control messages. But a stream that breaks the frame is closed and no more, until after a
//! few of them gossip with that peer is dead although its connection lives on; and a subscription to a topic of nobody is
//! skipped. No correct peer does either again and again, so who does is reported ([`Event::Abuse`]).

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::gossipsub::{self, IdentityTransform};
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId,
    FromSwarm, NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::filter::{Came, Filter};
use crate::allowance::Allowance;

/// Gossip streams that a peer may open on one connection. A correct one opens its first, and keeps it; gossipsub itself
/// listens no longer after the fifth.
const STREAMS: u32 = 4;
/// Score points for each more.
const STREAM_POINTS: f64 = 200.0;
/// Subscriptions taken from a peer at once: a node joins its topics when it connects, and leaves and joins those of
/// transactions when it falls behind and catches up.
const SUBSCRIPTIONS: u64 = 1_000;
/// In this time one is forgiven.
const SUBSCRIPTION_FORGIVEN: Duration = Duration::from_millis(100);
/// Score points for each message with more.
const SUBSCRIPTION_POINTS: f64 = 20.0;

type Inner = gossipsub::Behaviour<IdentityTransform, Filter>;

/// What gossip reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// What gossipsub reports.
    Gossip(gossipsub::Event),
    /// A peer does what no correct one does.
    Abuse {
        peer: PeerId,
        points: f64,
        reason: &'static str,
    },
}

/// Gossipsub and an eye on it.
pub(crate) struct Gossip {
    inner: Inner,
    came: Came,
    /// Subscriptions by connected peer.
    subscriptions: HashMap<PeerId, Allowance>,
    abuses: VecDeque<Event>,
}

impl Gossip {
    pub(super) fn new(inner: Inner, came: Came) -> Self {
        Self {
            inner,
            came,
            subscriptions: HashMap::new(),
            abuses: VecDeque::new(),
        }
    }

    fn count_subscriptions(&mut self, peer: PeerId) {
        let came = self.came.take();
        if came == 0 {
            return;
        }
        let allowance = self
            .subscriptions
            .entry(peer)
            .or_insert_with(|| Allowance::new(SUBSCRIPTIONS, SUBSCRIPTION_FORGIVEN));
        if !allowance.take(came, Instant::now()) {
            self.abuses.push_back(Event::Abuse {
                peer,
                points: SUBSCRIPTION_POINTS,
                reason: "too many subscriptions",
            });
        }
    }
}

impl Deref for Gossip {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Gossip {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl NetworkBehaviour for Gossip {
    type ConnectionHandler = Watched<THandler<Inner>>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_inbound_connection(id, peer, local, remote)?;
        Ok(Watched::new(handler))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(id, peer, addrs, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self
            .inner
            .handle_established_outbound_connection(id, peer, addr, role, port)?;
        Ok(Watched::new(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            remaining_established: 0,
            ..
        }) = event
        {
            self.subscriptions.remove(&peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            FromHandler::Inner(event) => {
                self.inner.on_connection_handler_event(peer, id, event);
                self.count_subscriptions(peer);
            }
            FromHandler::ManyStreams => self.abuses.push_back(Event::Abuse {
                peer,
                points: STREAM_POINTS,
                reason: "gossip that breaks its frame again and again",
            }),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(abuse) = self.abuses.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(abuse));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_out(Event::Gossip))
    }
}

/// What a connection's handler tells.
#[derive(Debug)]
pub(crate) enum FromHandler<E> {
    /// What gossipsub's tells.
    Inner(E),
    /// The peer opened one more stream than any correct one does.
    ManyStreams,
}

/// Gossipsub's handler of a connection, and how many streams the peer opened on it.
pub(crate) struct Watched<H> {
    inner: H,
    streams: u32,
    untold: bool,
}

impl<H> Watched<H> {
    fn new(inner: H) -> Self {
        Self {
            inner,
            streams: 0,
            untold: false,
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Watched<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = FromHandler<H::ToBehaviour>;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        if std::mem::take(&mut self.untold) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(
                FromHandler::ManyStreams,
            ));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_custom(FromHandler::Inner))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner
            .poll_close(cx)
            .map(|event| event.map(FromHandler::Inner))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        if matches!(event, ConnectionEvent::FullyNegotiatedInbound(_)) {
            self.streams = self.streams.saturating_add(1);
            self.untold |= self.streams > STREAMS;
        }
        self.inner.on_connection_event(event);
    }
}
