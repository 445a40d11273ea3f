//! Invalid transactions of every kind: handed in, gossiped, and in blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use votenode::chain::invalid::RULES;
use votenode::chain::transaction::Transaction;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::names::Topic;
use votenode::protocol::submit::{Outcome, Reply, Request};
use votenode::wire::{self, List};

use crate::arena::{Arena, eventually};
use crate::forge::Forge;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::invalid::{
    self, OUT_OF_REACH, Refused, closed_network, open_network, refused_by_closed, refused_by_open,
};

/// Rules with a code below this are broken in every state: whoever passes such a transaction on is to blame.
const FIRST_OF_STATE: u64 = 100;

fn code_of(rule: &str) -> u64 {
    let rule = RULES.iter().find(|(_, name)| *name == rule);
    rule.unwrap().0
}

pub fn batch(transactions: Vec<Transaction>) -> Vec<u8> {
    let transactions = List::new(transactions).unwrap();
    wire::encode(&TransactionBatch { transactions })
}

/// The topic's payload with this one transaction.
fn message(transaction: &Transaction) -> (Topic, Vec<u8>) {
    let topic = Topic::of(transaction.kind());
    let transactions = vec![transaction.clone()];
    if topic == Topic::Finality {
        let transactions = List::new(transactions).unwrap();
        let gossip = votenode::protocol::finality::FinalityGossip::Transactions { transactions };
        return (topic, wire::encode(&gossip));
    }
    (topic, batch(transactions))
}

/// Lets the victim follow a chain.
pub async fn follow(arena: &Arena<'_>, chain: &Forge) {
    let answering = chain.clone();
    let guide = Hostile::answering(arena, move |request| answering.answer(&request)).await;
    let tip = chain.tip.id().to_string();
    for node in [&arena.victim, &arena.neighbour] {
        node.until("the chain", |status| status["tip"]["id"] == tip);
    }
    guide.leave().await;
}

#[test]
fn every_rule_has_a_transaction_that_breaks_it() {
    let refused = [
        refused_by_open(&network(open_network())),
        refused_by_closed(&network(closed_network())),
    ];
    let broken: BTreeSet<&str> = refused
        .iter()
        .flat_map(|refused| refused.cases.iter().map(|case| case.rule))
        .chain(OUT_OF_REACH.map(|(rule, _)| rule))
        .collect();
    let all: BTreeSet<&str> = RULES.iter().map(|(_, name)| *name).collect();
    assert_eq!(broken, all);
}

fn network(genesis: votenode::chain::genesis::Genesis) -> Arc<votenode::chain::network::Network> {
    Arc::new(votenode::chain::network::Network::new(genesis).unwrap())
}

#[test]
fn every_kind_of_invalid_transaction_where_anyone_registers() {
    let scene = Scene::new();
    let arena = Arena::still(&scene, open_network());
    let refused = refused_by_open(&arena.network);
    sends_invalid_transactions(&arena, &refused);
}

#[test]
fn every_kind_of_invalid_transaction_where_finalisers_decide() {
    let scene = Scene::new();
    let arena = Arena::still(&scene, closed_network());
    let refused = refused_by_closed(&arena.network);
    sends_invalid_transactions(&arena, &refused);
}

fn sends_invalid_transactions(arena: &Arena<'_>, refused: &Refused) {
    arena.prepare(async |arena| follow(arena, &refused.chain).await);
    let told = ["a peer that misbehaved was let go", "refused a block"];
    arena.withstands(&told, async |arena| {
        for case in &refused.cases {
            submitted(arena, case).await;
        }
        for case in &refused.cases {
            if code_of(case.rule) < FIRST_OF_STATE {
                gossiped(arena, case).await;
            }
        }
        for case in &refused.cases {
            mined(arena, &refused.chain, case).await;
        }
    });
}

/// Hands it in: the answer is the rule.
async fn submitted(arena: &Arena<'_>, case: &invalid::Case) {
    let hostile = Hostile::join(arena).await;
    let request = Request::Submit {
        transactions: List::new(vec![case.transaction.clone()]).unwrap(),
    };
    let reply = hostile.ask_submit(&request).await;
    let Some(Reply::Submit { outcomes }) = &reply else {
        panic!("{}: {reply:?}", case.rule)
    };
    match &outcomes[0] {
        Outcome::Rejected { reason } => {
            assert_eq!(reason.code, code_of(case.rule), "{}: {reason:?}", case.rule);
        }
        // An election's id is its hash: there is no second one, only the same again.
        Outcome::Duplicate {} => assert_eq!(case.rule, "election_exists"),
        other => panic!("{}: {other:?}", case.rule),
    }
    hostile.leave().await;
}

/// Gossips it until the victim has enough: each time in another message.
async fn gossiped(arena: &Arena<'_>, case: &invalid::Case) {
    let hostile = Hostile::join(arena).await;
    let (topic, data) = message(&case.transaction);
    let _ = hostile.gossip(topic, data).await;
    // The same content counts once; others of its kind follow.
    for _ in 0..100 {
        if hostile.is_out() {
            break;
        }
        let salt = invalid::register(
            &arena.network.id(),
            &votenode::crypto::VoterId::generate().unwrap(),
        );
        let _ = hostile.gossip(topic, salted(&case.transaction, salt)).await;
        tokio::task::yield_now().await;
    }
    hostile.until_out().await;
}

/// The transaction beside another, so that the message is a new one.
fn salted(transaction: &Transaction, salt: Transaction) -> Vec<u8> {
    let transactions = vec![transaction.clone(), salt];
    if Topic::of(transaction.kind()) == Topic::Finality {
        let transactions = List::new(transactions).unwrap();
        let gossip = votenode::protocol::finality::FinalityGossip::Transactions { transactions };
        return wire::encode(&gossip);
    }
    batch(transactions)
}

/// Mines it into a block that is in order otherwise: the victim refuses the block.
async fn mined(arena: &Arena<'_>, chain: &Forge, case: &invalid::Case) {
    let block = chain.broken(vec![case.transaction.clone()], |_| {});
    let mut dishonest = chain.clone();
    dishonest.tip = block.header.clone();
    dishonest.blocks.push(block.clone());
    let refused = || {
        arena.victim.status()["counters"]["blocks_invalid"]
            .as_u64()
            .unwrap()
    };
    let before = refused();
    let hostile = Hostile::answering(arena, move |request| dishonest.answer(&request)).await;
    let _ = hostile
        .gossip(Topic::Block, wire::encode(&block.compact()))
        .await;
    eventually(&format!("a block with {}", case.rule), || {
        refused() > before
    })
    .await;
    let tip = arena.victim.tip();
    assert_eq!(tip, chain.tip.id().to_string(), "{}", case.rule);
    hostile.leave().await;
}
