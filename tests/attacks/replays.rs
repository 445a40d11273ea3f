//! What belongs to another network, and proofs that prove nothing.

use votenode::chain::network::Network;
use votenode::crypto::VoterId;
use votenode::protocol::names::{Topic, member_protocol};
use votenode::wire::{self, List};

use crate::arena::{Arena, genesis_with, scale};
use crate::floods::flood;
use crate::forge::Forge;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::invalid;
use crate::raw::Raw;
use crate::transactions::batch;

fn other_network() -> std::sync::Arc<Network> {
    let genesis = genesis_with(|parameters| parameters.name = "other".into());
    std::sync::Arc::new(Network::new(genesis).unwrap())
}

#[test]
fn what_another_network_said() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let other = other_network();
    let mut chain = Forge::new(&other);
    chain.extend_empty(100);
    let (id, own) = (other.id(), arena.network.id());
    arena.withstands(&["made for another network"], async |arena| {
        let fresh = || VoterId::generate().unwrap();
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Registration, |_| {
            batch(vec![invalid::register(&id, &fresh())])
        })
        .await;
        // Under this network's name: signatures and proofs tell.
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Registration, |_| {
            let mut disguised = invalid::register(&id, &fresh());
            disguised.network = own.tag();
            batch(vec![disguised])
        })
        .await;
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Block, |number| {
            let block = &chain.blocks[number % chain.blocks.len()];
            wire::encode(&block.compact())
        })
        .await;
    });
}

#[test]
fn peers_of_another_network() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["was let go"], async |arena| {
        for _ in 0..50 * scale() {
            // It lists the other's protocols, and none of this network's.
            let raw = Raw::stranger(arena, &[member_protocol(&other_network().id())]).await;
            raw.until_out().await;
        }
    });
}

#[test]
fn malformed_proofs() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let id = arena.network.id();
    // Full messages with one proof that is wrong: all of a batch has to be looked at one by one.
    let mut registrations: Vec<_> = (0..180)
        .map(|_| invalid::register(&id, &VoterId::generate().unwrap()))
        .collect();
    registrations.push(invalid::with_bad_proof(&id, &invalid::voter(1)));
    arena.withstands(
        &["the proof for the ring key does not fit"],
        async |arena| {
            for _ in 0..3 * scale() {
                let hostile = Hostile::join(arena).await;
                flood(&hostile, Topic::Registration, |_| {
                    registrations.rotate_left(1);
                    batch(registrations.clone())
                })
                .await;
            }
        },
    );
}

#[test]
fn invalid_submissions_without_end() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let id = arena.network.id();
    let bad: Vec<_> = (0..150)
        .map(|_| invalid::with_bad_proof(&id, &VoterId::generate().unwrap()))
        .collect();
    arena.withstands(&["submits what is invalid"], async |arena| {
        let hostile = Hostile::join(arena).await;
        let request = votenode::protocol::submit::Request::Submit {
            transactions: List::new(bad.clone()).unwrap(),
        };
        for _ in 0..200 {
            if hostile.is_out() {
                break;
            }
            let _ = hostile.ask_submit(&request).await;
        }
        hostile.until_out().await;
    });
}
