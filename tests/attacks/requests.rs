//! Requests that are no requests, and requests that never end.

use std::time::Duration;

use votenode::protocol::names::{submit_protocol, sync_protocol};
use votenode::protocol::{submit, sync};
use votenode::wire::Message as _;

use crate::arena::{Arena, scale};
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::raw::{Raw, Script, framed};

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
