//! A node that is only its handle, for tests of what asks a node: a store in memory, a picture made up, and commands
//! answered as the test says.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::finality::{FinaliserView, FinalityStatus};
use super::handle::{COMMAND_QUEUE, Command, NodeHandle};
use super::status::{
    Counters, KindCounts, MempoolStatus, MinerStatus, MiningStatus, NodeStatus, TipStatus,
};
use crate::chain::block::BlockId;
use crate::chain::election::ElectionId;
use crate::chain::network::Network;
use crate::chain::testing::{self, Chain};
use crate::chain::transaction::{Kind, Transaction, TxId};
use crate::protocol::gossip::Phase;
use crate::store::{Appended, Commit, NewBlock, Store, StoreConfig, Switch, encode_body};

/// A node made up for a test.
pub(crate) struct Fabricated {
    pub(crate) handle: NodeHandle,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) network: Arc<Network>,
    /// On the chain, with two votes.
    pub(crate) election: ElectionId,
    /// On the chain.
    pub(crate) registration: TxId,
    /// Waits.
    pub(crate) waiting: Transaction,
    /// Kept so that the reader stays fresh.
    pub(crate) _store: Store,
    pub(crate) _status: watch::Sender<Arc<NodeStatus>>,
}

/// A chain of three registrations, an election and two votes; a fourth registration waits.
pub(crate) fn fabricate() -> Fabricated {
    fabricate_in(testing::network())
}

/// The same where finalisers decide: the election is closed and final by checkpoint 2, a change of the finalisers and a
/// conviction are on the chain.
pub(crate) fn fabricate_final() -> Fabricated {
    fabricate_in(testing::finalising_network())
}

fn fabricate_in(network: Arc<Network>) -> Fabricated {
    let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
    let mut chain = Chain::new(network.clone());
    let registrations: Vec<_> = (1..=3).map(|n| testing::register(&network, n)).collect();
    let registration = registrations[0].id();
    extend(&mut store, &mut chain, 2_000, registrations);
    let (election, opened) = testing::open(&network, testing::terms());
    extend(&mut store, &mut chain, 4_000, vec![opened]);
    let mut third = vec![
        testing::vote(&network, 1, election, &[0]),
        testing::vote(&network, 2, election, &[1]),
    ];
    if network.finalises() {
        decide(&mut store, &network, 1);
        third.push(testing::change(&network, 1, &[1, 2, 3, 5], &[1, 2, 3]));
        third.push(testing::evidence(&network, 4, 1, 0));
    }
    extend(&mut store, &mut chain, 11_000, third);
    if network.finalises() {
        extend(&mut store, &mut chain, 600_000, Vec::new());
        decide(&mut store, &network, 2);
    }
    let waiting = testing::register(&network, 4);
    store
        .commit(Commit {
            pending_insert: vec![(waiting.id(), crate::wire::encode(&waiting))],
            ..Commit::default()
        })
        .unwrap();
    let (sender, status) = watch::channel(Arc::new(picture(&network, &store)));
    let (commands_sender, commands) = mpsc::channel(COMMAND_QUEUE);
    Fabricated {
        handle: NodeHandle::new(status, store.reader(), Arc::default(), commands_sender),
        commands,
        network,
        election,
        registration,
        waiting,
        _store: store,
        _status: sender,
    }
}

/// Mines a block so many milliseconds after the genesis, in memory and into the store.
fn extend(store: &mut Store, chain: &mut Chain, after_ms: u64, transactions: Vec<Transaction>) {
    let template = chain.template(after_ms, chain.verified(transactions));
    let header = template.header;
    let delta = chain.check(&header, &template.transactions).unwrap();
    chain.state.insert(delta.clone());
    let (id, rewind_to) = (header.id(), chain.tip.height);
    chain.tip = header.clone();
    store
        .commit(Commit {
            blocks: vec![NewBlock {
                id,
                header,
                body: Some(encode_body(&template.transactions)),
            }],
            chain: Some(Switch {
                rewind_to,
                append: vec![Appended { id, delta }],
            }),
            ..Commit::default()
        })
        .unwrap();
}

/// Makes the tip a checkpoint of the first set.
fn decide(store: &mut Store, network: &Network, checkpoint: u64) {
    let block = store.snapshot().tip().id;
    let certificate = testing::certificate(network, 0, checkpoint, block, &[1, 2, 3]);
    store
        .commit(Commit {
            certificates: vec![certificate],
            ..Commit::default()
        })
        .unwrap();
}

fn finality(network: &Network, store: &Store) -> Option<FinalityStatus> {
    let last = store.snapshot().last_certificate().unwrap()?;
    let finaliser = |member: &crate::chain::genesis::Finaliser| FinaliserView {
        key: member.key,
        name: member.name.to_string(),
        power: member.power,
        heard: Some(member.key != testing::finaliser(4).public_key()),
    };
    Some(FinalityStatus {
        checkpoint: last.certificate.checkpoint,
        block: last.certificate.block,
        height: last.height,
        took_ms: Some(120),
        set: 1,
        finalisers: network.finalisers.iter().map(finaliser).collect(),
        total_power: 4,
        round: Some(2),
        own_key: Some(testing::finaliser(1).public_key()),
        convictions: 1,
        waiting: None,
    })
}

fn picture(network: &Network, store: &Store) -> NodeStatus {
    let tip = store.snapshot().tip();
    let mut counts = KindCounts::default();
    counts.add(Kind::Registration);
    NodeStatus {
        version: "0.0.0",
        network: network.id(),
        network_name: network.name.to_string(),
        trial: false,
        finalises: network.finalises(),
        confirmations: network.confirmations,
        peer_id: "12D3KooWtest".into(),
        miner: testing::stranger().public_key(),
        started_at_ms: 1_000,
        now_ms: 2_000,
        listening: vec!["/ip4/127.0.0.1/tcp/7117".into()],
        tip: TipStatus {
            id: tip.id,
            height: tip.height,
            timestamp_ms: tip.timestamp_ms,
            roll_size: 3,
        },
        best_header_height: tip.height,
        syncing: false,
        peers: 1,
        mempool: MempoolStatus {
            transactions: counts,
            bytes: 300,
            held: 2,
            full: false,
        },
        mining: MiningStatus {
            enabled: true,
            phase: Some(Phase::Mining),
            height: Some(tip.height + 1),
            counts,
            hash_rate: 1_000_000,
            paused: None,
        },
        mining_states: vec![MinerStatus {
            miner: testing::organiser().public_key(),
            parent: BlockId::ZERO,
            height: tip.height + 1,
            phase: Phase::StandingBy,
            counts,
            hash_rate: 5,
            received_at_ms: 1_900,
            lease_until_ms: 2_900,
        }],
        clock_offset_ms: Some(-3),
        disk_full: false,
        competing: None,
        finality: finality(network, store),
        warnings: vec!["mind the gap".into()],
        counters: Counters {
            accepted: counts,
            blocks_mined: 4,
            ..Counters::default()
        },
    }
}
