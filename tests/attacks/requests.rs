//! Requests that are no requests, and requests that never end.

use std::time::Duration;

use votenode::protocol::names::{submit_protocol, sync_protocol};
use votenode::protocol::{submit, sync};
use votenode::wire::{self, List, Message as _};

use crate::arena::{Arena, genesis_with, scale};
use crate::forge::Forge;
use crate::harness::DEADLINE;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::invalid;
use crate::raw::{Raw, Script, framed};
use crate::transactions::follow;

#[test]
fn oversized_and_truncated_requests() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a peer that misbehaved was let go"], async |arena| {
        let id = arena.network.id();
        for protocol in [sync_protocol(&id), submit_protocol(&id)] {
            let longest = sync::Request::MAX_BYTES.max(submit::Request::MAX_BYTES);
            let broken = [
                // Claims four gigabytes, or one byte too many, and means it.
                [&[0xff; 4][..], &vec![0; 2 * longest]].concat(),
                framed(&vec![0; longest + 1]),
                // Less than it claims, more than it claims, half a claim.
                framed(&[0; 100])[..50].to_vec(),
                [framed(b"abc"), vec![1; 1000]].concat(),
                vec![0; 3],
            ];
            for bytes in broken {
                let raw =
                    Raw::join(arena, std::slice::from_ref(&protocol), Script::default()).await;
                let mut sent = 0;
                while !raw.is_out() {
                    // An error says that the victim closed the stream.
                    let _ = raw.ask(Script::bytes(bytes.clone())).await;
                    sent += 1;
                    assert!(sent < 1_000, "no end to broken requests of {}", bytes.len());
                }
            }
        }
    });
}

#[test]
fn malformed_requests() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a malformed request"], async |arena| {
        let id = arena.network.id();
        for protocol in [sync_protocol(&id), submit_protocol(&id)] {
            for bytes in [
                vec![],
                vec![0xff; 1000],
                // An array that claims more items than there are bytes, and arrays in arrays.
                vec![0x82, 0x01, 0x9a, 0xff, 0xff, 0xff, 0xff],
                vec![0x81; 60_000],
            ] {
                let hostile = Hostile::join(arena).await;
                for _ in 0..20 {
                    let _ = hostile.ask(&protocol, bytes.clone()).await;
                }
                hostile.until_out().await;
            }
        }
    });
}

#[test]
fn trickled_requests_of_many() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a request that did not come in time"], async |arena| {
        let id = arena.network.id();
        let mut crowd = Vec::new();
        // Of each protocol more than are served at once, and nearly as many peers as are let in.
        for _ in 0..40 {
            for (protocol, at_once) in [(sync_protocol(&id), 3), (submit_protocol(&id), 8)] {
                let raw = Raw::join(arena, &[protocol], Script::default()).await;
                crowd.push(tokio::spawn(async move {
                    for _ in 0..scale() {
                        let head = 1_000u32.to_be_bytes();
                        let trickle = || Script::trickle(&head, Duration::from_millis(100));
                        let asked: Vec<_> = (0..at_once).map(|_| raw.ask(trickle())).collect();
                        for outcome in asked {
                            let _ = outcome.await;
                        }
                    }
                    raw.is_out()
                }));
            }
        }
        let mut out = 0;
        for peer in crowd {
            out += usize::from(peer.await.unwrap());
        }
        assert!(out > 0, "nobody was thrown out");
    });
}

#[test]
fn large_replies_that_nobody_reads() {
    const READERS: usize = 70;
    /// Just below what a reply may hold.
    const REPLY_BYTES: usize = 3 * 1024 * 1024;
    let scene = Scene::new();
    let arena = Arena::still(&scene, genesis_with(|_| {}));
    let id = arena.network.id();
    let mut chain = Forge::new(&arena.network);
    let issues = (0..20).map(|n| invalid::issue(&id, "club", n * 1_000..(n + 1) * 1_000));
    chain.extend(0, issues.collect());
    arena.prepare(async |arena| follow(arena, &chain).await);
    // One large body, as often as it fits.
    let request = sync::Request::Bodies {
        blocks: List::new(vec![chain.tip.id(); 6]).unwrap(),
        max_bytes: sync::Reply::MAX_BYTES as u64,
    };
    let told = ["a reply that it asked for and does not read"];
    arena.withstands(&told, async |arena| {
        let friend = Hostile::join(arena).await;
        let gets_all = async || {
            let reply = friend.ask_sync(&request).await;
            let is_large = |reply: sync::Reply| wire::encode(&reply).len() > REPLY_BYTES;
            reply.is_some_and(is_large)
        };
        assert!(gets_all().await, "the reply is not large");
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(Raw::deaf(arena, sync_protocol(&id)).await);
        }
        let script = Script::bytes(framed(&wire::encode(&request)));
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let (mut answered, mut asked) = (0, Vec::new());
        while answered == 0 || !readers.iter().any(Raw::is_out) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{answered} large replies to an honest peer meanwhile"
            );
            // As many as a peer may have under way.
            for reader in &readers {
                asked.extend((0..3).map(|_| reader.ask(script.clone())));
            }
            answered += usize::from(gets_all().await);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        friend.leave().await;
    });
}
