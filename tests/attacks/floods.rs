//! Floods on every topic: rubbish, what is of no use, and gossipsub's own control messages.

use std::time::Duration;

use votenode::chain::block::BlockId;
use votenode::chain::election::{Choices, ElectionId};
use votenode::chain::sign;
use votenode::crypto::VoterId;
use votenode::protocol::names::Topic;
use votenode::wire;

use crate::arena::{Arena, genesis_with, scale};
use crate::forge::Forge;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::invalid;
use crate::raw::{Raw, Script};
use crate::rpc;
use crate::transactions::{batch, follow};

/// Messages after which an attacker has to be out, whatever it sends.
const ENOUGH: usize = 20_000;

/// Gossips one message after the other until the victim has enough.
pub async fn flood(hostile: &Hostile, topic: Topic, mut next: impl FnMut(usize) -> Vec<u8>) {
    for number in 0..ENOUGH {
        if hostile.is_out() {
            return;
        }
        // An error says that the link is gone; whether the attacker is out is looked at below.
        if hostile.gossip(topic, next(number)).await.is_err() {
            break;
        }
    }
    hostile.until_out().await;
}

fn numbered(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len, 0xa5);
    bytes
}

#[test]
fn rubbish_on_every_topic() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a peer that misbehaved was let go"], async |arena| {
        for topic in Topic::ALL {
            for len in [8, 500] {
                let hostile = Hostile::join(arena).await;
                flood(&hostile, topic, |number| numbered(number, len)).await;
            }
        }
    });
}

#[test]
fn messages_longer_than_their_topic_allows() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let told = [
        "invalid messages",
        "gossip that breaks its frame again and again",
    ];
    arena.withstands(&told, async |arena| {
        for topic in Topic::ALL {
            let hostile = Hostile::join(arena).await;
            flood(&hostile, topic, |number| numbered(number, 400_000)).await;
            // Longer than any frame: the victim closes one stream after the other, and then the connection.
            let message = rpc::publish(&topic.full_name(&arena.network.id()), &[0; 1_000_000]);
            let script = Script::bytes(rpc::stream(std::iter::once(message)));
            let raw = Raw::join(arena, &["/meshsub/1.1.0".into()], Script::default()).await;
            let asked: Vec<_> = (0..6).map(|_| raw.ask(script.clone())).collect();
            raw.until_out().await;
            drop(asked);
        }
    });
}

#[test]
fn votes_about_nothing() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["too many useless messages"], async |arena| {
        let id = arena.network.id();
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Vote, |number| {
            let mut election = [7; 32];
            election[..8].copy_from_slice(&number.to_be_bytes());
            let election = ElectionId::from_bytes(election);
            let choices = Choices::new(vec![0]).unwrap();
            let voter = VoterId::from_bytes([3; 32]);
            batch(vec![sign::cast_vote(&id, &voter, election, choices)])
        })
        .await;
    });
}

#[test]
fn what_is_known_in_ever_new_messages() {
    let scene = Scene::new();
    let arena = Arena::still(&scene, genesis_with(|_| {}));
    let mut chain = Forge::new(&arena.network);
    let id = arena.network.id();
    let known: Vec<_> = (1..=14)
        .map(|n| invalid::register(&id, &invalid::voter(n)))
        .collect();
    chain.extend(0, known.clone());
    arena.prepare(async |arena| follow(arena, &chain).await);
    arena.withstands(&["too many useless messages"], async |arena| {
        let hostile = Hostile::join(arena).await;
        // Another subset each time.
        flood(&hostile, Topic::Registration, |number| {
            let chosen = known.iter().enumerate();
            let chosen = chosen.filter(|(index, _)| (number + 1) >> index & 1 == 1);
            batch(chosen.map(|(_, transaction)| transaction.clone()).collect())
        })
        .await;
    });
}

#[test]
fn blocks_without_parents() {
    let scene = Scene::new();
    let arena = Arena::still(&scene, genesis_with(|_| {}));
    arena.withstands(&["too many useless messages"], async |arena| {
        let chain = Forge::new(&arena.network);
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Block, |number| {
            let block = chain.broken(Vec::new(), |header| {
                let mut parent = [1; 32];
                parent[..8].copy_from_slice(&number.to_be_bytes());
                header.parent = BlockId::from_bytes(parent);
                header.height = 3;
            });
            wire::encode(&block.compact())
        })
        .await;
    });
}

#[test]
fn control_messages_of_gossip() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&[], async |arena| {
        let topic = Topic::Vote.full_name(&arena.network.id());
        let ids = |round: usize| {
            (0..2_000).map(move |number: usize| {
                let mut id = [9; 32];
                id[..8].copy_from_slice(&round.to_be_bytes());
                id[8..16].copy_from_slice(&number.to_be_bytes());
                id
            })
        };
        let rounds = || 0..200 * scale();
        let floods = [
            rpc::stream(rounds().map(|round| rpc::ihave(&topic, ids(round)))),
            rpc::stream(rounds().map(|round| rpc::iwant(ids(round)))),
            rpc::stream(rounds().map(|round| rpc::idontwant(ids(round)))),
            rpc::stream(rounds().map(|_| rpc::graft(&topic, 1_000))),
            rpc::stream(rounds().map(|_| rpc::prune(&topic, 1_000))),
            rpc::stream(
                rounds().map(|_| [rpc::graft(&topic, 100), rpc::prune(&topic, 100)].concat()),
            ),
            rpc::stream(rounds().map(|_| rpc::publish("/no/such/topic", &[0; 1_000]))),
        ];
        for flood in floods {
            // As one that joined the topic, or nobody listens.
            let join = rpc::stream(std::iter::once(rpc::subscriptions(
                std::iter::once(topic.clone()),
                true,
            )));
            let script = Script::bytes([join, flood].concat());
            let raw = Raw::join(arena, &["/meshsub/1.1.0".into()], Script::default()).await;
            let _ = tokio::time::timeout(Duration::from_secs(10), raw.ask(script)).await;
        }
    });
}
