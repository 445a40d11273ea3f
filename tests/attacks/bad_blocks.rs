//! Blocks that break a rule, one kind after the other: gossiped, and served to a node that asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use votenode::chain::block::{BlockId, Header, Transactions};
use votenode::chain::invalid::BlockInvalid;
use votenode::chain::transaction::Transaction;
use votenode::crypto::{Hash, SigningKey};
use votenode::protocol::names::Topic;
use votenode::protocol::sync::{Reply, Request};
use votenode::wire::{self, List};
use votenode_p2p::{Config, Keypair};

use crate::arena::{Arena, eventually, genesis_with};
use crate::blocks::small;
use crate::forge::{Block, Forge, unseal};
use crate::harness::DEADLINE;
use crate::harness::scene::Scene;
use crate::hostile::{Answer, Hostile, config};
use crate::invalid;

/// Blocks of a kind that an attacker has: more than it needs to be let go.
const BLOCKS: usize = 10;
/// The rule that no block of a peer can break: its parent is looked up by the id that it names.
const OUT_OF_REACH: &str = "parent";

/// One way to break a rule.
struct Kind {
    rule: &'static str,
    /// What the log says of whoever gossips it, and of whoever serves it.
    gossiped: &'static str,
    served: &'static str,
    /// Different ones on the same tip.
    blocks: Vec<Block>,
}

/// Blocks on the tip with these transactions and this header, each by another miner.
fn blocks(chain: &Forge, transactions: &[Transaction], change: impl Fn(&mut Header)) -> Vec<Block> {
    let block = |number: usize| {
        chain.broken(transactions.to_vec(), |header| {
            let seed = [u8::try_from(number).unwrap(); 32];
            header.miner = SigningKey::from_seed(&seed).public_key();
            change(header);
        })
    };
    (0..BLOCKS).map(block).collect()
}

/// Every kind, on this chain's tip.
fn kinds(chain: &Forge) -> Vec<Kind> {
    let id = chain.network.id();
    let register = |number| invalid::register(&id, &invalid::voter(number));
    let wide: Vec<_> = (10..19).map(register).collect();
    let batches = [3_000, 4_000].map(|first| invalid::issue(&id, "club", first..first + 1_000));
    let other = genesis_with(|p| p.name = "other".into()).network_id();
    let same = |rule, words, blocks| Kind {
        rule,
        gossiped: words,
        served: words,
        blocks,
    };
    let no_work = "a block without work for this network";
    let roll = "the block commits to another roll";
    let mut kinds = vec![
        same(
            "version",
            "the block is of protocol version 2",
            blocks(chain, &[], |header| header.version = 2),
        ),
        Kind {
            rule: "wrong_network",
            gossiped: no_work,
            served: "the block belongs to another network",
            blocks: blocks(chain, &[], |header| header.network = other),
        },
        same(
            "height",
            "where its parent asks for",
            blocks(chain, &[], |header| header.height += 5),
        ),
        same(
            "timestamp",
            "the earliest its parent allows",
            blocks(chain, &[], |header| header.timestamp_ms -= 1),
        ),
        same(
            "too_many_transactions",
            "the block holds 9 transactions",
            blocks(chain, &wide, |_| {}),
        ),
        same(
            "too_large",
            "bytes where 65536 are allowed",
            blocks(chain, &batches, |_| {}),
        ),
        // The same transaction twice. In a compact block it is given once, and then there is one too few.
        Kind {
            rule: "transaction",
            gossiped: "the block's transactions are not those that its header commits to",
            served: "transaction 1 of the block is invalid",
            blocks: blocks(chain, &[register(20), register(20)], |_| {}),
        },
        Kind {
            rule: "work",
            gossiped: no_work,
            served: "the block carries no proof of work",
            blocks: blocks(chain, &[], |_| {})
                .into_iter()
                .map(|block| Block {
                    header: unseal(&chain.network, block.header),
                    ..block
                })
                .collect(),
        },
    ];
    kinds.extend([
        same(
            "roll",
            roll,
            blocks(chain, &[], |header| header.roll_size = 0),
        ),
        same(
            "roll",
            roll,
            blocks(chain, &[], |header| header.roll_size += 1),
        ),
        same(
            "roll",
            roll,
            blocks(chain, &[], |header| {
                header.roll_root = Hash::from_bytes([3; 32])
            }),
        ),
        // The last, since its headers stay: others might have their bodies.
        Kind {
            rule: "transaction_root",
            gossiped: "a block with other transactions than it says",
            served: "a body that is not the block's",
            blocks: blocks(chain, &[], |header| {
                header.transaction_root = Hash::from_bytes([4; 32]);
            }),
        },
    ]);
    kinds
}

#[test]
fn every_rule_has_a_block_that_breaks_it() {
    let genesis = genesis_with(|_| {});
    let network = votenode::chain::network::Network::new(genesis).unwrap();
    let mut chain = Forge::new(&Arc::new(network));
    let id = chain.network.id();
    chain.extend(0, vec![invalid::register(&id, &invalid::voter(1))]);
    let kinds = kinds(&chain);
    let broken: BTreeSet<&str> = kinds.iter().map(|kind| kind.rule).collect();
    let all: BTreeSet<&str> = BlockInvalid::NAMES.into_iter().collect();
    assert!(!broken.contains(OUT_OF_REACH));
    let broken: BTreeSet<&str> = broken.into_iter().chain([OUT_OF_REACH]).collect();
    assert_eq!(broken, all);
}

/// Whether the log says that this peer was let go, and for this.
fn was_let_go(arena: &Arena<'_>, hostile: &Hostile, words: &str) -> bool {
    let (log, peer) = (arena.victim.log(), hostile.id().to_string());
    log.lines().any(|line| {
        line.contains("a peer that misbehaved was let go")
            && line.contains(&peer)
            && line.contains(words)
    })
}

/// The transactions of these blocks for whoever lacks some.
fn transactions(blocks: &[Block], request: &Request) -> Answer {
    let Request::Transactions { ids, .. } = request else {
        return Answer::Refusal;
    };
    let mut all: Vec<&Transaction> = blocks.iter().flat_map(|b| &b.transactions).collect();
    all.sort_unstable_by_key(|transaction| transaction.id());
    all.dedup_by_key(|transaction| transaction.id());
    let wanted = all.into_iter().filter(|t| ids.contains(&t.id()));
    Answer::Reply(Reply::Transactions {
        transactions: List::new(wanted.cloned().collect()).unwrap(),
    })
}

#[test]
fn every_kind_of_invalid_block_gossiped() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let kinds = kinds(&chain);
    arena.withstands(&["refused a block"], async |arena| {
        let tip = chain.tip.id().to_string();
        for kind in &kinds {
            let (chain, blocks) = (chain.clone(), kind.blocks.clone());
            let answers = move |request| match request {
                Request::Status { .. } => chain.answer(&request),
                request => transactions(&blocks, &request),
            };
            let hostile = join(arena, answers).await;
            // Before that the victim asks it for no transactions.
            eventually("a greeting", || hostile.was_asked("status") > 0).await;
            for block in &kind.blocks {
                let before = refused(arena);
                let data = wire::encode(&block.compact());
                // An error says that the link is gone.
                if hostile.gossip(Topic::Block, data).await.is_err() {
                    break;
                }
                // One after the other, so that nothing half known is left when it goes.
                let what = format!("a refusal for its {}", kind.rule);
                eventually(&what, || hostile.is_out() || refused(arena) > before).await;
            }
            hostile.until_out().await;
            let said = was_let_go(arena, &hostile, kind.gossiped);
            assert!(said, "{}: {}", kind.rule, arena.victim.log());
            assert_eq!(arena.victim.tip(), tip, "{}", kind.rule);
        }
    });
}

/// Blocks and messages that the victim refused.
fn refused(arena: &Arena<'_>) -> u64 {
    let status = arena.victim.status();
    let count = |name: &str| status["counters"][name].as_u64().unwrap();
    count("blocks_invalid") + count("gossip_rejected")
}

/// An attacker whom the victim alone can talk to.
async fn join(
    arena: &Arena<'_>,
    answers: impl Fn(Request) -> Answer + Send + Sync + 'static,
) -> Hostile {
    let config = Config {
        listen: Vec::new(),
        ..config(&arena.network)
    };
    Hostile::with(arena, Keypair::generate(), config, answers).await
}

/// Answers the victim with one block on the chain's tip, and the next once it asked for its body.
fn serving(
    chain: &Forge,
    blocks: Vec<Block>,
) -> impl Fn(Request) -> Answer + Send + Sync + 'static {
    let (chain, asked) = (chain.clone(), AtomicUsize::new(0));
    move |request| match &request {
        Request::Headers { .. } => {
            let Answer::Reply(Reply::Headers { headers }) = chain.answer(&request) else {
                return Answer::Refusal;
            };
            let next = asked.load(Ordering::Relaxed) % blocks.len();
            let mut headers = headers.into_vec();
            headers.push(blocks[next].header.clone());
            Answer::Reply(Reply::Headers {
                headers: List::new(headers).unwrap(),
            })
        }
        Request::Bodies { blocks: ids, .. } => {
            asked.fetch_add(1, Ordering::Relaxed);
            let bodies: Vec<Transactions> = ids
                .iter()
                .map_while(|id| blocks.iter().find(|block| block.id() == *id))
                .map(|block| List::new(block.transactions.clone()).unwrap())
                .collect();
            Answer::Reply(Reply::Bodies {
                bodies: List::new(bodies).unwrap(),
            })
        }
        // It claims no more than there is, so that nothing but its blocks is held against it.
        _ => chain.answer(&request),
    }
}

#[test]
fn every_kind_of_invalid_block_served() {
    let scene = Scene::new();
    let (arena, chain) = small(&scene);
    let kinds = kinds(&chain);
    arena.withstands(&["refused a block"], async |arena| {
        let tip = chain.tip.id().to_string();
        let mut orphans = 0;
        for kind in &kinds {
            let hostile = join(arena, serving(&chain, kind.blocks.clone())).await;
            let deadline = Instant::now() + DEADLINE;
            while !hostile.is_out() {
                assert!(
                    Instant::now() < deadline,
                    "{} is served on and on",
                    kind.rule
                );
                // The child of a block that is not here makes the victim ask for headers.
                orphans += 1;
                let mut parent = [9; 32];
                parent[..8].copy_from_slice(&u64::to_be_bytes(orphans));
                let orphan = chain.broken(Vec::new(), |header| {
                    header.parent = BlockId::from_bytes(parent);
                });
                let asked = hostile.was_asked("headers");
                let data = wire::encode(&orphan.compact());
                let _ = hostile.gossip(Topic::Block, data).await;
                let answered = Instant::now() + Duration::from_secs(1);
                while hostile.was_asked("headers") == asked
                    && !hostile.is_out()
                    && Instant::now() < answered
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            let said = was_let_go(arena, &hostile, kind.served);
            assert!(said, "{}: {}", kind.rule, arena.victim.log());
            assert_eq!(arena.victim.tip(), tip, "{}", kind.rule);
        }
    });
}
