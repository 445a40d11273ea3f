//! The behaviours that make up a node, in the order libp2p asks them.
//!
//! Every behaviour is asked about every new connection, in the order of the fields, and the first "no" ends it. So
//! whoever says no comes first: were the limits last, everybody before them would already have set up state for, and
//! counted, a connection that never comes to be.

use std::time::Duration;

use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol};
use libp2p::{PeerId, connection_limits, identify, kad, mdns, memory_connection_limits, ping};

use crate::config::{Config, KadMode, Limits};
use crate::error::Error;
use crate::gossip::Gossip;
use crate::identity::Keypair;
use crate::{exchange, gate, gossip, sources};

/// How often each connection is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often mDNS asks again once it has asked at start (it begins at half a second and doubles).
const MDNS_INTERVAL: Duration = Duration::from_secs(60);
/// How often Kademlia refreshes its table.
const KAD_BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(600);
/// How long a Kademlia query may take.
const KAD_QUERY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) sources: sources::Behaviour,
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) memory: memory_connection_limits::Behaviour,
    pub(crate) gate: gate::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) kad: Toggle<kad::Behaviour<kad::store::MemoryStore>>,
    pub(crate) gossip: Gossip,
    pub(crate) exchange: exchange::Behaviour,
}

/// Builds the behaviours; the second part is a warning when mDNS cannot be had.
pub(crate) fn build(
    keypair: &Keypair,
    config: &Config,
) -> Result<(Behaviour, Option<String>), Error> {
    let local = keypair.peer_id();
    let (mdns, warning) = match config.mdns.then(|| multicast(local)) {
        Some(Ok(mdns)) => (Some(mdns), None),
        Some(Err(e)) => (None, Some(format!("no multicast DNS: {e}"))),
        None => (None, None),
    };
    let behaviour = Behaviour {
        sources: sources::Behaviour::new(config.limits.max_pending_per_source),
        limits: connection_limits::Behaviour::new(connection_limits(&config.limits)),
        memory: match config.limits.max_memory_bytes {
            Some(bytes) => memory_connection_limits::Behaviour::with_max_bytes(bytes),
            None => memory_connection_limits::Behaviour::with_max_percentage(0.9),
        },
        gate: gate::Behaviour::new(config.banned.iter().copied()),
        identify: identify::Behaviour::new(
            identify::Config::new(config.identify_protocol.clone(), keypair.inner().public())
                .with_agent_version(config.agent.clone())
                .with_push_listen_addr_updates(true)
                // The dialer keeps the addresses.
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
        mdns: mdns.into(),
        kad: kademlia(local, config)?.into(),
        gossip: gossip::build(config)?,
        exchange: exchange::Behaviour::new(&config.protocols, config.max_reply_bytes)?,
    };
    Ok((behaviour, warning))
}

fn multicast(local: PeerId) -> std::io::Result<mdns::tokio::Behaviour> {
    let config = mdns::Config {
        query_interval: MDNS_INTERVAL,
        ..mdns::Config::default()
    };
    mdns::tokio::Behaviour::new(config, local)
}

fn connection_limits(limits: &Limits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.max_pending))
        .with_max_pending_outgoing(Some(limits.max_pending))
        .with_max_established_incoming(Some(limits.max_inbound))
        .with_max_established_outgoing(Some(limits.max_outbound))
        .with_max_established_per_peer(Some(limits.max_per_peer))
}

/// Kademlia as an address book: it finds peers and stores nothing. Records and provider records are filtered into
/// nowhere, so nobody can fill this node's memory with them.
fn kademlia(
    local: PeerId,
    config: &Config,
) -> Result<Option<kad::Behaviour<kad::store::MemoryStore>>, Error> {
    let mode = match config.kad {
        KadMode::Server => kad::Mode::Server,
        KadMode::Client => kad::Mode::Client,
        KadMode::Off => return Ok(None),
    };
    let name = StreamProtocol::try_from_owned(config.kad_protocol.clone())
        .map_err(|e| Error::Config(format!("kad_protocol: {e}")))?;
    let mut settings = kad::Config::new(name);
    settings
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_caching(kad::Caching::Disabled)
        .set_query_timeout(KAD_QUERY_TIMEOUT)
        .set_periodic_bootstrap_interval(Some(KAD_BOOTSTRAP_INTERVAL));
    let store = kad::store::MemoryStore::new(local);
    let mut kad = kad::Behaviour::with_config(local, store, settings);
    // Left to itself it would stay a client until an external address is confirmed, which on a LAN is never.
    kad.set_mode(Some(mode));
    Ok(Some(kad))
}
