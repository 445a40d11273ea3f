//! Lies about who is where: identities without end, addresses of nobody, and a Kademlia table full of them.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, identify, noise, tcp, yamux};
use votenode::protocol::names::{IDENTIFY_PROTOCOL, kademlia_protocol, member_protocol};

use crate::arena::{Arena, scale};
use crate::harness::scene::Scene;
use crate::raw::{Raw, RawCodec, Script};
use crate::rpc;

#[derive(NetworkBehaviour)]
struct Liar {
    kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    /// Lists what makes it a member of the network.
    member: request_response::Behaviour<RawCodec>,
}

/// An address where nobody is.
fn nowhere(number: usize) -> Multiaddr {
    let port = 1 + number % 1_000;
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[test]
fn a_kademlia_table_full_of_nobody() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&[], async |arena| {
        let id = arena.network.id();
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let name = StreamProtocol::try_from_owned(kademlia_protocol(&id)).unwrap();
            let mut swarm = SwarmBuilder::with_new_identity()
                .with_tokio()
                .with_tcp(
                    tcp::Config::new(),
                    noise::Config::new,
                    yamux::Config::default,
                )
                .unwrap()
                .with_behaviour(|key| {
                    let local = key.public().to_peer_id();
                    let config = kad::Config::new(name);
                    let mut kad =
                        kad::Behaviour::with_config(local, MemoryStore::new(local), config);
                    kad.set_mode(Some(kad::Mode::Server));
                    let member = StreamProtocol::try_from_owned(member_protocol(&id)).unwrap();
                    Liar {
                        kad,
                        member: request_response::Behaviour::with_codec(
                            RawCodec::default(),
                            [(member, ProtocolSupport::Full)],
                            request_response::Config::default(),
                        ),
                        identify: identify::Behaviour::new(identify::Config::new(
                            IDENTIFY_PROTOCOL.into(),
                            key.public(),
                        )),
                    }
                })
                .unwrap()
                .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(60)))
                .build();
            for number in 0..2_000 {
                swarm
                    .behaviour_mut()
                    .kad
                    .add_address(&PeerId::random(), nowhere(number));
                swarm.add_external_address(nowhere(number));
            }
            swarm.dial(arena.address.clone()).unwrap();
            tasks.push(tokio::spawn(async move {
                let mut asked = 0;
                let until = tokio::time::Instant::now() + Duration::from_secs(15);
                while let Ok(event) = tokio::time::timeout_at(until, swarm.select_next_some()).await
                {
                    asked += usize::from(matches!(
                        event,
                        SwarmEvent::Behaviour(LiarEvent::Kad(kad::Event::InboundRequest { .. }))
                    ));
                }
                asked
            }));
        }
        let mut asked = 0;
        for task in tasks {
            asked += task.await.unwrap();
        }
        assert!(asked > 0, "nobody was asked, so nobody could lie");
    });
}

#[test]
fn identities_and_addresses_without_end() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["it says again and again who it is"], async |arena| {
        let member = member_protocol(&arena.network.id());
        let push = "/ipfs/id/push/1.0.0".to_owned();
        let raw = Raw::join(arena, std::slice::from_ref(&push), Script::default()).await;
        // Pushes of identify by one that belongs here, each with other addresses of nobody.
        let asks = async |round: usize| {
            let addresses: Vec<Vec<u8>> = (0..100)
                .map(|number| nowhere(100 * round + number).to_vec())
                .collect();
            let message = rpc::identity(&addresses, &member);
            let asked = raw.ask(Script::bytes(rpc::stream(std::iter::once(message))));
            let _ = tokio::time::timeout(Duration::from_secs(5), asked).await;
        };
        for round in 0..50 {
            asks(round).await;
        }
        assert!(!raw.is_out(), "the flood ended too early");
        let known = arena.victim.ask(&["peers", "--json"]).json();
        for peer in known.as_array().unwrap() {
            let addresses = peer["addresses"].as_array().unwrap();
            assert!(
                addresses.len() <= 17,
                "{} addresses of one peer",
                addresses.len()
            );
        }
        for round in 50..1_000 * scale() {
            if raw.is_out() {
                break;
            }
            asks(round).await;
        }
        raw.until_out().await;
        // More than a message may be long, many at once.
        let raw = Raw::join(arena, std::slice::from_ref(&push), Script::default()).await;
        let long = (0..50).map(|_| raw.ask(Script::bytes(vec![0x7f; 100_000])));
        let long = futures::future::join_all(long);
        let _ = tokio::time::timeout(Duration::from_secs(10), long).await;
    });
}
