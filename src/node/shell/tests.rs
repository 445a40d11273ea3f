//! Whole nodes in one process, on real loopback sockets.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;
use crate::chain::election::{Choices, Method, Terms};
use crate::chain::sign;
use crate::chain::transaction::Transaction;
use crate::crypto::VoterId;
use crate::genesis::Parameters;
use crate::node::results;
use crate::protocol::submit::Outcome;
use crate::wire::{List, Text};

/// Long enough for two busy cores and an unoptimised build.
const DEADLINE: Duration = Duration::from_secs(120);

fn network() -> Arc<Network> {
    let genesis = Parameters::demo()
        .build(Clock::new().now().wall_ms - 10_000)
        .unwrap();
    Arc::new(Network::new(genesis).unwrap())
}

async fn node(network: &Arc<Network>, dir: &std::path::Path, bootstrap: Vec<Multiaddr>) -> Running {
    start(Options {
        network: Arc::clone(network),
        trial: false,
        dir: DataDir::open(dir).unwrap(),
        store: StoreConfig::default(),
        mempool: MempoolLimits::default(),
        mine: true,
        finaliser: None,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: Vec::new(),
        bootstrap,
        mdns: false,
        limits: Limits::default(),
    })
    .await
    .unwrap()
}

async fn until(
    node: &Running,
    what: &str,
    condition: impl FnMut(&super::super::status::NodeStatus) -> bool,
) {
    tokio::time::timeout(DEADLINE, node.handle().wait_for(condition))
        .await
        .unwrap_or_else(|_| panic!("{what}: {:#?}", node.handle().status()))
        .unwrap();
}

fn registrations(network: &Network, count: usize) -> (Vec<VoterId>, Vec<Transaction>) {
    let voters: Vec<VoterId> = (0..count).map(|_| VoterId::generate().unwrap()).collect();
    let transactions = voters
        .iter()
        .map(|voter| {
            sign::register_open(&network.id(), voter, &[7; 32], 8, &AtomicBool::new(false)).unwrap()
        })
        .collect();
    (voters, transactions)
}

#[test]
fn a_node_that_nobody_waits_for_ends() {
    let (network, dir) = (network(), tempfile::tempdir().unwrap());
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let running = runtime.block_on(node(&network, dir.path(), Vec::new()));
        drop(running);
        // Waits for the node's thread.
        drop(runtime);
        sender.send(()).unwrap();
    });
    ended.recv_timeout(DEADLINE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_hold_an_election() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter("votenode=debug")
        .with_test_writer()
        .try_init();
    let network = network();
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = node(&network, dirs[0].path(), Vec::new()).await;
    let address = first.listening()[0].clone();
    let second = node(&network, dirs[1].path(), vec![address.clone()]).await;
    let third = node(&network, dirs[2].path(), vec![address]).await;
    let nodes = [first, second, third];
    for node in &nodes {
        until(node, "connected", |status| status.peers > 0).await;
    }

    let (voters, transactions) = registrations(&network, 30);
    for (index, chunk) in transactions.chunks(10).enumerate() {
        let outcomes = nodes[index].handle().submit(chunk.to_vec()).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| *outcome == Outcome::Accepted {}),
            "{outcomes:?}"
        );
    }
    for node in &nodes {
        until(node, "all registered", |status| status.tip.roll_size == 30).await;
    }

    let now = Clock::new().now().wall_ms;
    let terms = Terms {
        title: Text::new("Chair").unwrap(),
        question: Text::new("Who takes the chair?").unwrap(),
        options: List::new(vec![Text::new("Ada").unwrap(), Text::new("Emmy").unwrap()]).unwrap(),
        method: Method::Plurality as u8,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: now,
        closes_at_ms: now + 15_000,
        roll_closes_at_ms: now + 15_000,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: List::new(vec![Text::new("open").unwrap()]).unwrap(),
        privacy: 0,
    };
    let organiser = crate::crypto::SigningKey::generate().unwrap();
    let opening = sign::open_election(&network, &organiser, terms).unwrap();
    let crate::chain::transaction::Payload::Election { election } = &opening.payload else {
        panic!("not an election");
    };
    let election = election.id();
    let outcomes = nodes[0].handle().submit(vec![opening]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Accepted {}]);
    for node in &nodes {
        until(node, "opened", |_| {
            node.handle()
                .reader()
                .snapshot()
                .election(&election)
                .unwrap()
                .is_some()
        })
        .await;
    }
    for (index, voter) in voters.iter().enumerate() {
        let choice = u8::from(index % 3 == 0);
        let vote = sign::cast_vote(
            &network.id(),
            voter,
            election,
            Choices::new(vec![choice]).unwrap(),
        );
        let outcomes = nodes[index % 3].handle().submit(vec![vote]).await.unwrap();
        assert_eq!(outcomes, [Outcome::Accepted {}]);
    }
    for node in &nodes {
        until(node, "counted", |_| {
            let snapshot = node.handle().reader().snapshot();
            let result = results::Tallies::default()
                .result(&snapshot, &network, &election, u64::MAX)
                .unwrap()
                .unwrap();
            result.phase == crate::protocol::submit::ElectionPhase::Provisional as u8
        })
        .await;
    }
    let mut tallies = BTreeSet::new();
    for node in &nodes {
        let snapshot = node.handle().reader().snapshot();
        let result = results::Tallies::default()
            .result(&snapshot, &network, &election, u64::MAX)
            .unwrap()
            .unwrap();
        tallies.insert(result.tally.totals.to_vec());
        assert_eq!(result.eligible, 30);
    }
    assert_eq!(tallies.into_iter().collect::<Vec<_>>(), [vec![20, 10]]);
    for mut node in nodes {
        node.handle().clone().shutdown().await;
        node.ended().await.unwrap();
    }
}
