//! Many at once, through every node.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::Value;
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::Transaction;
use votenode::crypto::VoterId;
use votenode::genesis;
use votenode::protocol::transaction_file;

use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::{Scene, quick};
use crate::harness::until;
use crate::harness::voter::Voter;

/// Registrations in the file that is handed in at each node.
const PER_FILE: usize = 200;
/// People at each node who register by themselves.
const PER_NODE: usize = 4;

#[test]
fn registrations_at_the_same_moment_through_every_node_are_all_in_the_chain() {
    let scene = Scene::new();
    let genesis_file = scene.network("club", quick("club"));
    let network = Network::new(genesis::read(&genesis_file).unwrap()).unwrap();
    let mut nodes: Vec<Node<'_>> = Vec::new();
    for number in 1..=3 {
        let others: Vec<&Node<'_>> = nodes.iter().collect();
        let name = format!("node{number}");
        let node = Node::on_loopback(&scene, &name, &genesis_file, &others, &[]);
        nodes.push(node);
    }
    for node in &nodes {
        node.until_peers(2);
    }

    let mut clients = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let file = scene.file(&format!("crowd{index}.txt"), crowd(&network));
        let address = node.address();
        let voter = |name: String| Voter::on_loopback(&scene, &name, &genesis_file, &address);
        let bearer = voter(format!("bearer{index}"));
        clients.push(bearer.begins(&["submit", file.to_str().unwrap()]));
        for person in 0..PER_NODE {
            clients.push(voter(format!("person{index}-{person}")).begins(&["register"]));
        }
    }

    // While they come in, every node shows what waits and who is mining.
    thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| {
                node.watch("a miner at work", |status| {
                    let waits = total(&status["mempool"]["transactions"]) > 0;
                    let own = total(&status["mining"]["counts"]) > 0;
                    let states = status["mining_states"].as_array().unwrap();
                    let other = states.iter().any(|state| total(&state["counts"]) > 0);
                    ((waits && own) || other).then_some(())
                });
            });
            scope.spawn(|| {
                until("a mining state in the API", || {
                    let states = get(node, "/api/v1/mining");
                    let named = states.to_string().contains("miner");
                    named.then_some(()).ok_or_else(|| states.to_string())
                });
            });
        }
    });

    for client in &mut clients {
        client.wait().expect(0);
    }
    let expected = nodes.len() * (PER_FILE + PER_NODE);
    for node in &nodes {
        node.until_roll(expected as u64);
    }
    until_one_tip(&nodes.iter().collect::<Vec<_>>());
    let miners: BTreeSet<String> = nodes
        .iter()
        .filter(|node| node.status()["counters"]["blocks_mined"].as_u64() > Some(0))
        .map(|node| node.status()["miner"].to_string())
        .collect();
    assert!(!miners.is_empty());
}

/// Registrations of new voters, as a file to hand in.
fn crowd(network: &Network) -> String {
    let transactions: Vec<Transaction> = (0..PER_FILE)
        .map(|_| {
            let voter = VoterId::generate().unwrap();
            let cancel = AtomicBool::new(false);
            sign::register_open(&network.id(), &voter, &[0; 32], 4, &cancel).unwrap()
        })
        .collect();
    transaction_file::write(&network.id(), &transactions)
}

fn total(counts: &Value) -> u64 {
    let counts = counts.as_object().unwrap();
    counts.values().filter_map(Value::as_u64).sum()
}

/// What the node's API answers.
fn get(node: &Node<'_>, path: &str) -> Value {
    let address = std::fs::read_to_string(node.data_dir().join("http.addr")).unwrap();
    let address = address.trim();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}
