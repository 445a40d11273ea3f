//! Lies in answer to `sync` requests, answers that are none, and what a liar says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use votenode::chain::block::BlockId;
use votenode::chain::transaction::TxId;
use votenode::protocol::names::sync_protocol;
use votenode::protocol::sync::{MAX_IDS, Reply, Request, Status};
use votenode::wire::List;

use crate::arena::{Arena, now_ms};
use crate::harness::scene::Scene;
use crate::hostile::{Answer, Hostile};
use crate::invalid;
use crate::raw::{Raw, Script, framed};

/// What somebody says who is far ahead of everybody.
fn boast() -> Status {
    Status {
        tip: BlockId::from_bytes([0xee; 32]),
        height: votenode::wire::MAX_UINT,
        checkpoint: BlockId::from_bytes([0xef; 32]),
        checkpoint_height: votenode::wire::MAX_UINT,
        pending: votenode::wire::MAX_UINT,
        clock_ms: now_ms(),
    }
}

fn status(status: Status) -> Answer {
    Answer::Reply(Reply::Status { status })
}

#[test]
fn claims_of_a_chain_that_nobody_has() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a chain that it does not give"], async |arena| {
        let hostile = Hostile::answering(arena, |request| match request {
            Request::Status { .. } => status(boast()),
            Request::Headers { .. } => Answer::Reply(Reply::Headers {
                headers: List::new(Vec::new()).unwrap(),
            }),
            _ => Answer::Reply(Reply::Unknown {}),
        })
        .await;
        // It says so itself, as often as it is heard.
        let request = Request::Status { status: boast() };
        while !hostile.is_out() {
            let _ = hostile.ask_sync(&request).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn pending_transactions_without_end() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["transactions that it does not give"], async |arena| {
        let hostile = Hostile::answering(arena, |request| match request {
            Request::Status { status: own } => status(Status {
                pending: votenode::wire::MAX_UINT,
                ..own
            }),
            Request::PendingIds { after } => {
                let mut first = [0; 8];
                first.copy_from_slice(&after.as_bytes()[..8]);
                let first = u64::from_be_bytes(first);
                let ids = (1..=MAX_IDS as u64).map(|n| {
                    let mut id = [0x77; 32];
                    id[..8].copy_from_slice(&(first + n).to_be_bytes());
                    TxId::from_bytes(id)
                });
                Answer::Reply(Reply::PendingIds {
                    ids: List::new(ids.collect()).unwrap(),
                })
            }
            Request::Transactions { .. } => Answer::Reply(Reply::Transactions {
                transactions: List::new(Vec::new()).unwrap(),
            }),
            _ => Answer::Refusal,
        })
        .await;
        // It says so itself, as often as it is heard.
        let request = Request::Status {
            status: Status {
                tip: arena.network.genesis_block(),
                height: 0,
                ..boast()
            },
        };
        while !hostile.is_out() {
            let _ = hostile.ask_sync(&request).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn answers_to_something_else_and_no_answers() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let id = arena.network.id();
    let unasked = invalid::register(&id, &invalid::voter(9));
    let lie = "a peer that misbehaved was let go";
    arena.withstands(
        &[lie, "a malformed reply", "a reply to something else"],
        async |arena| {
            let boasting = |other: Answer, request: &Request| match request {
                Request::Status { .. } => status(boast()),
                _ => other,
            };
            let other = || {
                Answer::Reply(Reply::Transactions {
                    transactions: List::new(vec![unasked.clone()]).unwrap(),
                })
            };
            let (one, two) = (other(), unasked.clone());
            let answers: Vec<Box<dyn Fn(Request) -> Answer + Send + Sync>> = vec![
                Box::new(|_| Answer::Bytes(vec![0xff; 100])),
                Box::new(|_| Answer::Bytes(Vec::new())),
                Box::new(move |request| {
                    let Answer::Reply(reply) = &one else {
                        return Answer::Refusal;
                    };
                    boasting(Answer::Reply(reply.clone()), &request)
                }),
                // Transactions, for everything, even where ids are right.
                Box::new(move |request| match request {
                    Request::Status { .. } => status(boast()),
                    Request::PendingIds { .. } => Answer::Reply(Reply::PendingIds {
                        ids: List::new(vec![TxId::from_bytes([0xaa; 32])]).unwrap(),
                    }),
                    _ => Answer::Reply(Reply::Transactions {
                        transactions: List::new(vec![two.clone()]).unwrap(),
                    }),
                }),
                // More than any answer may be long.
                Box::new(|_| Answer::Bytes(vec![0x80; 5 * 1024 * 1024])),
            ];
            for answer in answers {
                let hostile = Hostile::answering(arena, answer).await;
                // The victim asks at least when it hears that there is something to ask for.
                let request = Request::Status { status: boast() };
                while !hostile.is_out() {
                    let _ = hostile.ask_sync(&request).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        },
    );
}

#[test]
fn oversized_truncated_and_trickled_replies() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&[], async |arena| {
        let sync = sync_protocol(&arena.network.id());
        let scripts = [
            Script::bytes(u32::MAX.to_be_bytes().to_vec()),
            Script::bytes(framed(&[0; 100])[..50].to_vec()),
            Script::bytes([framed(b"a"), vec![1; 10]].concat()),
            Script::trickle(&1_000u32.to_be_bytes(), Duration::from_millis(200)),
        ];
        let mut raws = Vec::new();
        for script in scripts {
            raws.push(Raw::join(arena, std::slice::from_ref(&sync), script).await);
        }
        let scored = || {
            let peers = arena.victim.ask(&["peers", "--json"]).json();
            let score = |raw: &Raw| {
                let peers = peers.as_array().unwrap();
                let id = raw.id().to_string();
                let peer = peers.iter().find(|peer| peer["peer_id"] == id);
                peer.map_or(-1.0, |peer| peer["score"].as_f64().unwrap())
            };
            raws.iter().all(|raw| score(raw) < -1.0 || raw.is_out())
        };
        crate::arena::eventually("bad scores", scored).await;
    });
}

#[test]
fn clocks_that_lie() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    // Honest people's transactions are mined in the end, whatever a crowd says of the time.
    arena.withstands(&[], async |arena| {
        // Beside the neighbour one more whose clock is right.
        let friend = Hostile::answering(arena, |request| match request {
            Request::Status { status: own } => status(Status {
                clock_ms: now_ms(),
                ..own
            }),
            _ => Answer::Refusal,
        })
        .await;
        let mut crowd = Vec::new();
        let told = Arc::new(AtomicU64::new(0));
        for _ in 0..10 {
            let told = Arc::clone(&told);
            let liar = Hostile::answering(arena, move |request| match request {
                Request::Status { status: own } => {
                    told.fetch_add(1, Ordering::Relaxed);
                    status(Status {
                        clock_ms: now_ms() + 3_600_000,
                        ..own
                    })
                }
                _ => Answer::Refusal,
            })
            .await;
            crowd.push(liar);
        }
        crate::arena::eventually("questions", || told.load(Ordering::Relaxed) >= 20).await;
        let height =
            |node: &crate::harness::node::Node<'_>| node.status()["tip"]["height"].as_u64();
        let before = height(&arena.victim);
        arena.victim.until("a block", |status| {
            status["tip"]["height"].as_u64() > before && status["mining"]["paused"].is_null()
        });
        // The friend stays until everything is mined.
        drop(friend);
    });
}
