//! The state machine in networks of its own kind, and among peers that lie.

#![allow(clippy::unwrap_used)]

mod blocks;
mod bounds;
mod election;
mod finality;
mod full;
mod gossip;
mod idle;
mod partition;
mod pin;
mod power;
mod states;
mod sync;

use std::sync::Arc;

use super::simulated::net::Net;
use crate::chain::election::ElectionId;
use crate::chain::genesis::Genesis;
use crate::chain::network::Network;
use crate::chain::testing;
use crate::chain::transaction::Transaction;
use crate::crypto::Hash;
use crate::protocol::gossip::TransactionBatch;
use crate::protocol::submit::ElectionPhase;
use crate::wire::{self, List};

/// A block a second, a grace of two, two confirmations; every second nonce will do.
fn network() -> Arc<Network> {
    network_with(|_| {})
}

fn network_with(change: impl FnOnce(&mut Genesis)) -> Arc<Network> {
    testing::network_with(|genesis| {
        genesis.target = Hash::from_bytes([0x7f; 32]);
        change(genesis);
    })
}

fn net(count: usize) -> Net {
    let mut net = Net::new(network(), count);
    net.run(100);
    net
}

/// An array as it is gossiped.
fn batch(transactions: Vec<Transaction>) -> Vec<u8> {
    wire::encode(&TransactionBatch {
        transactions: List::new(transactions).unwrap(),
    })
}

/// Registers voters `numbers`, by turns at every host, and waits until all hosts have them in blocks.
fn register(net: &mut Net, numbers: std::ops::Range<u8>) {
    let hosts = net.hosts.len();
    for number in numbers.clone() {
        let registration = testing::register(&net.network, number);
        net.submit_only(usize::from(number) % hosts, vec![registration]);
    }
    let last = testing::voter_key(numbers.end - 1);
    let all: Vec<_> = numbers.map(testing::voter_key).collect();
    net.until("all registered", 30_000, |net| {
        (0..net.hosts.len()).all(|host| {
            use crate::chain::state::View;
            let snapshot = net.node(host).store().snapshot();
            let known = |key| snapshot.state().voter(key).unwrap().is_some();
            known(&last) && all.iter().all(known)
        })
    });
}

/// An election that opens and closes so many milliseconds from now.
fn election(net: &Net, opens_in_ms: u64, closes_in_ms: u64) -> (ElectionId, Transaction) {
    let mut terms = testing::terms();
    terms.opens_at_ms = net.wall_ms() + opens_in_ms;
    terms.closes_at_ms = net.wall_ms() + closes_in_ms;
    terms.roll_closes_at_ms = terms.closes_at_ms;
    testing::open(&net.network, terms)
}

fn knows_election(net: &Net, host: usize, id: &ElectionId) -> bool {
    net.node(host)
        .store()
        .snapshot()
        .election(id)
        .unwrap()
        .is_some()
}

/// Opens an election at host 0 and waits until all hosts know it.
fn open(net: &mut Net, opens_in_ms: u64, closes_in_ms: u64) -> ElectionId {
    let (id, transaction) = election(net, opens_in_ms, closes_in_ms);
    net.accept(0, vec![transaction]);
    net.until("opened", 20_000, |net| {
        (0..net.hosts.len()).all(|host| knows_election(net, host, &id))
    });
    id
}

/// Waits until every host has the closing block and one tip.
fn close(net: &mut Net, id: &ElectionId) {
    net.until("closed", 120_000, |net| {
        (0..net.hosts.len()).all(|host| {
            knows_election(net, host, id)
                && net.result(host, id).phase == ElectionPhase::Provisional as u8
        }) && net.one_tip()
    });
}
