//! Rubbish about checkpoints: by nobody, by somebody else's name, about other checkpoints, and forged certificates.

use votenode::chain::block::BlockId;
use votenode::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use votenode::chain::transaction::{Approval, FinalityMessage};
use votenode::crypto::{Signature, SigningKey};
use votenode::protocol::finality::FinalityGossip;
use votenode::protocol::names::Topic;
use votenode::protocol::sync::{Reply, Request, Status};
use votenode::wire::{self, Blob, List};

use crate::arena::{Arena, now_ms};
use crate::floods::flood;
use crate::harness::scene::Scene;
use crate::hostile::{Answer, Hostile};
use crate::invalid::{closed_network, finaliser, refused_by_closed};
use crate::transactions::follow;

fn arena(scene: &Scene) -> Arena<'_> {
    let arena = Arena::still(scene, closed_network());
    let chain = refused_by_closed(&arena.network).chain;
    arena.prepare(async |arena| follow(arena, &chain).await);
    arena
}

fn gossip(message: SignedFinalityMessage) -> Vec<u8> {
    wire::encode(&FinalityGossip::Messages {
        messages: List::new(vec![message]).unwrap(),
    })
}

fn vote(checkpoint: u64, round: u64, number: usize) -> FinalityMessage {
    let mut block = [4; 32];
    block[..8].copy_from_slice(&number.to_be_bytes());
    FinalityMessage {
        kind: FinalityMessage::PREVOTE,
        height: checkpoint,
        round,
        lock_round: 0,
        value: Blob::new(block.to_vec()).unwrap(),
    }
}

#[test]
fn votes_of_nobody() {
    let scene = Scene::new();
    let arena = arena(&scene);
    let id = arena.network.id();
    arena.withstands(&["too many useless messages"], async |arena| {
        let stranger = SigningKey::from_seed(&[13; 32]);
        // About the next checkpoint, and about one that is far away.
        for checkpoint in [1, 1_000] {
            let hostile = Hostile::join(arena).await;
            flood(&hostile, Topic::Finality, |number| {
                gossip(SignedFinalityMessage::sign(
                    &stranger,
                    &id,
                    vote(checkpoint, 0, number),
                ))
            })
            .await;
        }
    });
}

#[test]
fn votes_in_a_finalisers_name() {
    let scene = Scene::new();
    let arena = arena(&scene);
    arena.withstands(
        &["a message of the consensus with a wrong signature"],
        async |arena| {
            let hostile = Hostile::join(arena).await;
            flood(&hostile, Topic::Finality, |number| {
                gossip(SignedFinalityMessage {
                    finaliser: finaliser(1).public_key(),
                    message: vote(1, 0, number),
                    signature: Signature::ZERO,
                })
            })
            .await;
        },
    );
}

#[test]
fn forged_certificates() {
    let scene = Scene::new();
    let arena = arena(&scene);
    arena.withstands(&["a peer that misbehaved was let go"], async |arena| {
        let hostile = Hostile::answering(arena, |request| {
            let block = BlockId::from_bytes([8; 32]);
            Answer::Reply(match request {
                Request::Status { .. } => Reply::Status {
                    status: Status {
                        tip: block,
                        height: 1_000,
                        checkpoint: block,
                        checkpoint_height: 1_000,
                        pending: 0,
                        clock_ms: now_ms(),
                    },
                },
                Request::Certificates { .. } | Request::FinalityMessages { .. } => {
                    let mut precommits: Vec<Approval> = (1..=3)
                        .map(|number| Approval {
                            key: finaliser(number).public_key(),
                            signature: Signature::ZERO,
                        })
                        .collect();
                    precommits.sort_by_key(|precommit| precommit.key);
                    let certificate = CommitCertificate {
                        set: 0,
                        checkpoint: 1,
                        round: 0,
                        block,
                        precommits: List::new(precommits).unwrap(),
                    };
                    Reply::Certificates {
                        certificates: List::new(vec![certificate]).unwrap(),
                        changes: List::new(Vec::new()).unwrap(),
                    }
                }
                Request::Headers { .. } => Reply::Headers {
                    headers: List::new(Vec::new()).unwrap(),
                },
                _ => Reply::Unknown {},
            })
        })
        .await;
        hostile.until_out().await;
    });
}
