//! Gossip at a rate that kills links under libp2p-gossipsub's default limits, and proof that every link lives on.

use std::collections::HashSet;
use std::time::Duration;

use votenode_p2p::{Config, Event, PeerId, TopicConfig, Verdict};

use crate::common::*;

const NODES: usize = 5;
const PER_SECOND: usize = 1000;

/// As many nodes as fit a mesh of two: some links carry messages, the others advertisements (IHAVE), which is what
/// used to kill them.
fn node_config() -> Config {
    let mut config = config();
    config.topics = vec![TopicConfig::new(TOPIC, 1024), config.topics.remove(1)];
    config.gossip.mesh_n = 2;
    config.gossip.mesh_n_low = 1;
    config.gossip.mesh_n_high = 3;
    config.gossip.mesh_outbound_min = 0;
    config.target_outbound = 0;
    config
}

/// Accepts gossip until it has seen this many different messages.
async fn collect(node: &mut Node, wanted: usize) {
    let mut seen = HashSet::new();
    while seen.len() < wanted {
        seen.insert(node.gossip(Verdict::Accept).await);
    }
}

async fn flood(seconds: usize) {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(start(node_config()).await);
    }
    let ids: Vec<PeerId> = nodes.iter().map(Node::id).collect();
    for i in 0..NODES {
        for j in i + 1..NODES {
            let (left, right) = nodes.split_at_mut(j);
            link(&mut left[i], &mut right[0]).await;
        }
    }

    // Everybody publishes its part of the messages, at an even pace, and reads everybody else's.
    let part = PER_SECOND * seconds / NODES;
    let pace =
        Duration::from_secs(1) * u32::try_from(NODES).unwrap() / u32::try_from(PER_SECOND).unwrap();
    let mut tasks = Vec::new();
    for (n, mut node) in nodes.into_iter().enumerate() {
        let handle = node.handle.clone();
        let publish = tokio::spawn(async move {
            let mut tick = tokio::time::interval(pace);
            for i in 0..part {
                tick.tick().await;
                handle
                    .publish(TOPIC, format!("{n}/{i}").into_bytes())
                    .await
                    .unwrap();
            }
        });
        tasks.push(tokio::spawn(async move {
            collect(&mut node, part * (NODES - 1)).await;
            publish.await.unwrap();
            node
        }));
    }
    let mut nodes = Vec::new();
    for task in tasks {
        nodes.push(task.await.unwrap());
    }

    // Every link carries a later subscription …
    for node in &nodes {
        node.handle.subscribe(OTHER).unwrap();
    }
    for node in &mut nodes {
        let mut missing: HashSet<PeerId> =
            ids.iter().copied().filter(|id| *id != node.id()).collect();
        node.until("subscription over every link", |e| {
            if let Event::Subscription {
                peer,
                topic,
                subscribed: true,
            } = e
                && topic == OTHER
            {
                missing.remove(peer);
            }
            missing.is_empty().then_some(())
        })
        .await;
    }
    // … and a message each way: own messages go to every subscriber directly, so `from` names the link.
    for sender in 0..NODES {
        let data = format!("after the flood, from {sender}").into_bytes();
        nodes[sender]
            .handle
            .publish(OTHER, data.clone())
            .await
            .unwrap();
        for (n, node) in nodes.iter_mut().enumerate() {
            if n == sender {
                continue;
            }
            let (id, from) = node
                .until("message over the link", |e| match e {
                    Event::Gossip {
                        id, from, data: d, ..
                    } if *d == data => Some((*id, *from)),
                    _ => None,
                })
                .await;
            assert_eq!(from, ids[sender]);
            node.handle.report(id, from, Verdict::Ignore).unwrap();
        }
    }
    // Nobody was blamed for the load.
    for node in &nodes {
        for peer in node.handle.peers().await.unwrap() {
            assert!(peer.score >= 0.0, "{} has {} points", peer.peer, peer.score);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_survive_a_thousand_messages_a_second() {
    flood(8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn links_survive_a_minute_at_a_thousand_messages_a_second() {
    flood(60).await;
}
