//! Bodies that are not the headers', headers without end, blocks from the future, and
//! deep side chains.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use votenode::chain::block::{CompactBlock, Header, Transactions};
use votenode::crypto::SigningKey;
use votenode::protocol::names::Topic;
use votenode::protocol::sync::{MAX_HEADERS, Reply, Request, Status};
use votenode::wire::{self, List};

use crate::arena::{Arena, eventually, genesis_with, now_ms, scale};
use crate::forge::{Block, Forge, seal};
use crate::harness::scene::Scene;
use crate::hostile::{Answer, Hostile};
use crate::invalid;
use crate::transactions::follow;

/// A network whose blocks are small, and a chain of it on which there is something.
pub fn small(scene: &Scene) -> (Arena<'_>, Forge) {
    let genesis = genesis_with(|parameters| {
        parameters.max_block_transactions = 8;
        parameters.max_block_bytes = 64 * 1024;
    });
    let arena = Arena::still(scene, genesis);
    let mut chain = Forge::new(&arena.network);
    let id = arena.network.id();
    chain.extend(0, vec![invalid::register(&id, &invalid::voter(1))]);
    chain.extend_empty(3);
    arena.prepare(async |arena| follow(arena, &chain).await);
    (arena, chain)
}

/// Answers as somebody whose best chain ends with this block.
fn ending_with(chain: &Forge, block: &Block) -> Forge {
    let mut chain = chain.clone();
    chain.tip = block.header.clone();
    chain.blocks.push(block.clone());
    chain
}

#[test]
fn bodies_that_are_not_the_headers() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let id = arena.network.id();
    let mut longer = chain.clone();
    for number in 20..30 {
        longer.extend(0, vec![invalid::register(&id, &invalid::voter(number))]);
    }
    arena.withstands(&["a body that is not the block's"], async |arena| {
        let other: Transactions =
            List::new(vec![invalid::register(&id, &invalid::voter(9))]).unwrap();
        let none: Transactions = List::new(Vec::new()).unwrap();
        for body in [other, none] {
            let answers = longer.clone();
            let hostile = Hostile::answering(arena, move |request| match request {
                Request::Bodies { blocks, .. } => Answer::Reply(Reply::Bodies {
                    bodies: List::new(vec![body.clone(); blocks.len()]).unwrap(),
                }),
                request => answers.answer(&request),
            })
            .await;
            hostile.until_out().await;
        }
        // The true ones are taken from somebody else.
        let answers = longer.clone();
        let honest = Hostile::answering(arena, move |request| answers.answer(&request)).await;
        let tip = longer.tip.id().to_string();
        arena
            .victim
            .until("the chain", |status| status["tip"]["id"] == tip);
        honest.leave().await;
    });
}

/// Empty blocks on a chain, as headers alone: so many, one block time apart.
fn headers_on(chain: &Forge, count: usize, salt: u8) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::with_capacity(count);
    let mut fork = chain.template(0, Vec::new()).header;
    fork.miner = SigningKey::from_seed(&[salt; 32]).public_key();
    let mut header = fork;
    for _ in 0..count {
        header = seal(&chain.network, header);
        headers.push(header.clone());
        header.parent = header.id();
        header.height += 1;
        header.timestamp_ms += chain.network.block_time_ms;
    }
    headers
}

/// What somebody with these headers answers, giving no bodies but the first `bodies` of those asked.
fn with_headers(headers: &[Header], bodies: usize, request: Request) -> Answer {
    let tip = headers.last().unwrap();
    Answer::Reply(match request {
        Request::Status { .. } => Reply::Status {
            status: Status {
                tip: tip.id(),
                height: tip.height,
                checkpoint: tip.id(),
                checkpoint_height: 0,
                pending: 0,
                clock_ms: now_ms(),
            },
        },
        Request::Headers { locator, .. } => {
            let known = locator
                .iter()
                .find_map(|id| headers.iter().position(|header| header.id() == *id));
            let after = known.map_or(0, |index| index + 1);
            let page = headers[after..].iter().take(MAX_HEADERS).cloned();
            Reply::Headers {
                headers: List::new(page.collect()).unwrap(),
            }
        }
        Request::Bodies { blocks, .. } => {
            let empty: Transactions = List::new(Vec::new()).unwrap();
            Reply::Bodies {
                bodies: List::new(vec![empty; blocks.len().min(bodies)]).unwrap(),
            }
        }
        _ => Reply::Unknown {},
    })
}

#[test]
fn headers_without_end_and_no_bodies() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let headers = Arc::new(headers_on(&chain, 4_500 * scale(), 70));
    let told = ["it claims a chain whose blocks it does not give"];
    arena.withstands(&told, async |arena| {
        let answers = Arc::clone(&headers);
        let hostile =
            Hostile::answering(arena, move |request| with_headers(&answers, 0, request)).await;
        eventually("questions for bodies", || hostile.was_asked("bodies") > 3).await;
        // It is not believed for long: clients are served again (they are asked throughout).
        arena.victim.until("no more syncing", |status| {
            status["syncing"] == false && status["best_header_height"].as_u64() > Some(100)
        });
        hostile.until_out().await;
    });
}

#[test]
fn headers_without_end_whose_bodies_come_one_by_one() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let headers = Arc::new(headers_on(&chain, 1_500 * scale(), 71));
    arena.withstands(&[], async |arena| {
        let answers = Arc::clone(&headers);
        let served = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&served);
        let hostile = Hostile::answering(arena, move |request| {
            if let Request::Bodies { .. } = request {
                // One each time, and never quickly.
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1_500));
            }
            with_headers(&answers, 1, request)
        })
        .await;
        eventually("bodies", || served.load(Ordering::Relaxed) >= 8).await;
        arena
            .victim
            .until("an end of syncing", |status| status["syncing"] == false);
        hostile.leave().await;
    });
}

#[test]
fn the_same_headers_for_ever() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let headers = headers_on(&chain, MAX_HEADERS, 72);
    arena.withstands(&[], async |arena| {
        let hostile = Hostile::answering(arena, move |request| match request {
            Request::Headers { .. } => Answer::Reply(Reply::Headers {
                headers: List::new(headers.clone()).unwrap(),
            }),
            request => with_headers(&headers, 0, request),
        })
        .await;
        eventually("questions", || hostile.was_asked("headers") > 2).await;
        let asked = hostile.was_asked("headers");
        eventually("a status", || hostile.was_asked("status") > 1).await;
        // Never one page after the other for its own sake.
        assert!(hostile.was_asked("headers") < asked + 20);
        hostile.leave().await;
    });
}

#[test]
fn blocks_from_the_future() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    arena.withstands(&["too many useless messages"], async |arena| {
        let hostile = Hostile::join(arena).await;
        let at = |ahead_ms: u64, number: usize| {
            let block = chain.broken(Vec::new(), |header| {
                header.timestamp_ms = now_ms() + ahead_ms + number as u64;
            });
            wire::encode(&block.compact())
        };
        // Of the next minute: more than are kept.
        for number in 0..100 {
            let _ = hostile.gossip(Topic::Block, at(50_000, number)).await;
        }
        // An honest block that comes a moment early finds its place all the same.
        let soon = chain.broken(Vec::new(), |header| header.timestamp_ms = now_ms() + 3_000);
        let answers = ending_with(&chain, &soon);
        let friend = Hostile::answering(arena, move |request| match request {
            // Gossip alone has to do.
            Request::Headers { .. } | Request::Bodies { .. } | Request::Status { .. } => {
                Answer::Refusal
            }
            request => answers.answer(&request),
        })
        .await;
        friend
            .gossip(Topic::Block, wire::encode(&soon.compact()))
            .await
            .unwrap();
        let tip = soon.id().to_string();
        arena
            .victim
            .until("the early block", |status| status["tip"]["id"] == tip);
        friend.leave().await;
        // Of next year.
        crate::floods::flood(&hostile, Topic::Block, |number| at(31_536_000_000, number)).await;
    });
}

#[test]
fn blocks_on_top_of_one_that_is_withheld() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let id = arena.network.id();
    let mut withheld = chain.clone();
    withheld.extend(0, vec![invalid::register(&id, &invalid::voter(30))]);
    withheld.extend_empty(450 * scale());
    let mut honest = chain.clone();
    honest.extend(0, vec![invalid::register(&id, &invalid::voter(31))]);
    arena.withstands(&[], async |arena| {
        let hostile = Hostile::join(arena).await;
        for block in &withheld.blocks[chain.blocks.len()..] {
            let _ = hostile
                .gossip(Topic::Block, wire::encode(&block.compact()))
                .await;
        }
        let top = withheld.tip.height;
        arena.victim.until("the headers", |status| {
            status["best_header_height"].as_u64() >= Some(top)
        });
        let answers = honest.clone();
        let friend = Hostile::answering(arena, move |request| answers.answer(&request)).await;
        let block = honest.blocks.last().unwrap();
        let _ = friend
            .gossip(Topic::Block, wire::encode(&block.compact()))
            .await;
        let tip = honest.tip.id().to_string();
        arena
            .victim
            .until("the honest block", |status| status["tip"]["id"] == tip);
        friend.leave().await;
        hostile.leave().await;
    });
}

#[test]
fn deep_side_chains() {
    let scene = Scene::new();
    let genesis = genesis_with(|_| {});
    let arena = Arena::still(&scene, genesis);
    let id = arena.network.id();
    let mut chain = Forge::new(&arena.network);
    chain.extend_empty(200);
    arena.prepare(async |arena| follow(arena, &chain).await);
    let before = bytes_in(&arena.victim.data_dir());
    arena.withstands(&["too many useless messages"], async |arena| {
        // Blocks with something in them on a fork from the first block, each gossiped: none is ever of use.
        let mut fork = Forge::new(&arena.network);
        let answering = |chain: &Forge| {
            let answers = chain.clone();
            move |request: Request| match request {
                Request::Transactions { .. } => answers.answer(&request),
                _ => Answer::Refusal,
            }
        };
        for number in 0..40 * scale() {
            let first = (number % 20) as u16 * 1_000 + 10_000;
            fork.extend(
                0,
                vec![invalid::issue(&id, "club", first..first + 1_000)]
                    .into_iter()
                    .filter(|_| number < 20)
                    .collect(),
            );
        }
        let hostile = Hostile::answering(arena, answering(&fork)).await;
        for block in &fork.blocks {
            let _ = hostile
                .gossip(Topic::Block, wire::encode(&block.compact()))
                .await;
        }
        // A hundred branches from the bottom, three blocks each.
        for salt in 0..100u8 {
            for header in headers_on(&Forge::new(&arena.network), 3, salt) {
                let block = Block {
                    header,
                    transactions: Vec::new(),
                };
                let _ = hostile
                    .gossip(Topic::Block, wire::encode(&block.compact()))
                    .await;
            }
        }
        let ignored = || {
            let status = arena.victim.status();
            status["counters"]["gossip_ignored"].as_u64().unwrap()
        };
        eventually("the last block", || ignored() >= 300).await;
        assert_eq!(
            hostile.was_asked("transactions"),
            0,
            "asks for bodies of no use"
        );
        assert_eq!(arena.victim.tip(), chain.tip.id().to_string());
        let grown = bytes_in(&arena.victim.data_dir()).saturating_sub(before);
        assert!(
            grown < 2 * 1024 * 1024,
            "side chains took {grown} bytes of disk"
        );
        // And so on, until that is enough: each block comes after its parent, on one branch after the other.
        let fork = Forge::new(&arena.network);
        let mut more = (100..=u8::MAX).cycle().flat_map(|salt| {
            headers_on(&fork, 60, salt).into_iter().map(|header| {
                wire::encode(&CompactBlock {
                    header,
                    transactions: List::new(Vec::new()).unwrap(),
                })
            })
        });
        crate::floods::flood(&hostile, Topic::Block, |_| more.next().unwrap()).await;
    });
}

/// Bytes of the files in a directory.
fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}
