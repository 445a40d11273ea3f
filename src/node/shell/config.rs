//! What the network part is told: names, limits and addresses of this network.

use std::time::Duration;

use tracing::warn;
use votenode_p2p::{Config, KadMode, Multiaddr, PeerId, ProtocolConfig, TopicConfig};

use super::Options;
use crate::chain::block::CompactBlock;
use crate::protocol::finality::FinalityGossip;
use crate::protocol::gossip::{MiningState, TransactionBatch};
use crate::protocol::names::{
    GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, NEWCOMER_PROTOCOL, Topic, kademlia_protocol,
    member_protocol, submit_protocol, sync_protocol,
};
use crate::protocol::{genesis, submit, sync};
use crate::store::{Snapshot, StoreError};
use crate::wire::{self, Message};

/// A submission is answered when its transactions are on disk, which a full batch or a held transaction may delay.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Nodes join their first topics when they start and tell them at once.
const MUTE_TIME: Duration = Duration::from_secs(4);
/// A reply of four megabytes over a slow line.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// Large replies under way to all peers together: sixteen of the longest, as a peer may never read what it asks for.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Longest message of a topic, in bytes.
fn max_bytes(topic: Topic) -> usize {
    match topic {
        Topic::Block => CompactBlock::MAX_BYTES,
        Topic::Mining => MiningState::MAX_BYTES,
        Topic::Finality => FinalityGossip::MAX_BYTES,
        _ => TransactionBatch::MAX_BYTES,
    }
}

/// The configuration of the network part.
pub(super) fn p2p(options: &Options, snapshot: &Snapshot) -> Result<Config, StoreError> {
    let id = options.network.id();
    let topics = Topic::ALL
        .into_iter()
        .map(|topic| TopicConfig {
            // The topics that carry transactions are joined near the tip.
            subscribe: !Topic::TRANSACTIONS.contains(&topic),
            // A block or mining state that nobody heard is of no use later; transactions are.
            keep: match topic {
                Topic::Block | Topic::Mining | Topic::Finality => Duration::ZERO,
                _ => Duration::from_secs(60),
            },
            ..TopicConfig::new(topic.full_name(&id), max_bytes(topic))
        })
        .collect();
    let protocols = vec![
        ProtocolConfig::new(
            GENESIS_PROTOCOL,
            genesis::MAX_REQUEST_BYTES,
            genesis::MAX_REPLY_BYTES,
        ),
        ProtocolConfig::new(member_protocol(&id), 0, 0),
        ProtocolConfig {
            timeout: SYNC_TIMEOUT,
            inbound_per_peer: 3,
            inbound_total: 64,
            busy_response: Some(wire::encode(&sync::Reply::Busy {})),
            ..ProtocolConfig::new(
                sync_protocol(&id),
                sync::Request::MAX_BYTES,
                sync::Reply::MAX_BYTES,
            )
        },
        ProtocolConfig {
            timeout: SUBMIT_TIMEOUT,
            inbound_per_peer: 8,
            inbound_total: 256,
            busy_response: Some(wire::encode(&submit::Reply::Busy {})),
            ..ProtocolConfig::new(
                submit_protocol(&id),
                submit::Request::MAX_BYTES,
                submit::Reply::MAX_BYTES,
            )
        },
    ];
    let mut banned = Vec::new();
    for (peer, _) in snapshot.bans()? {
        match PeerId::from_bytes(&peer) {
            Ok(peer) => banned.push(peer),
            Err(_) => warn!("an entry of the block list is not a peer id; it is passed over"),
        }
    }
    let known_peers = snapshot
        .peers()?
        .into_iter()
        .filter_map(|(peer, entry)| Some((PeerId::from_bytes(&peer).ok()?, addresses(&entry))))
        .collect();
    Ok(Config {
        listen: options.listen.clone(),
        external: options.external.clone(),
        bootstrap: options.bootstrap.clone(),
        known_peers,
        banned,
        mdns: options.mdns,
        kad: KadMode::Server,
        kad_protocol: kademlia_protocol(&id),
        identify_protocol: IDENTIFY_PROTOCOL.into(),
        agent: concat!("votenode/", env!("CARGO_PKG_VERSION")).into(),
        required_protocols: vec![member_protocol(&id)],
        guest_protocols: vec![NEWCOMER_PROTOCOL.into()],
        mute_time: Some(MUTE_TIME),
        topics,
        protocols,
        max_reply_bytes: MAX_REPLY_BYTES,
        limits: options.limits.clone(),
        ..Config::default()
    })
}

/// An entry of the peer book: addresses, a line each.
pub(super) fn book_entry(addresses: &[Multiaddr]) -> Vec<u8> {
    let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    lines.join("\n").into_bytes()
}

fn addresses(entry: &[u8]) -> Vec<Multiaddr> {
    String::from_utf8_lossy(entry)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect()
}
