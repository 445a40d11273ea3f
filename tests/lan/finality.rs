//! Finalisers that are cut off from one another.

use std::time::{Duration, Instant};

use crate::harness::checkpoints::{CONVICTION, Reported};
use crate::harness::isolate::isolated;
use crate::harness::lan::Lan;
use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::Scene;
use crate::harness::voter::Voter;

/// How many seconds the split lasts at least, for the long form of the test.
const SPLIT: &str = "VOTENODE_TEST_SPLIT_SECONDS";
/// People on each side who register during the split, at least.
const PEOPLE: usize = 3;

#[test]
fn a_split_of_four_two_and_two_decides_nothing_and_heals_by_itself() {
    isolated(
        "finality::a_split_of_four_two_and_two_decides_nothing_and_heals_by_itself",
        || {
            let lan = Lan::new(4);
            let scene = Scene::new();
            let (genesis, keys) = scene.finalising("club", 4);
            let nodes: Vec<Node<'_>> = (1..)
                .zip(&keys)
                .map(|(host, key)| {
                    let (genesis, key) = (genesis.to_str().unwrap(), key.to_str().unwrap());
                    let flags = ["--network", genesis, "--finaliser-key", key];
                    Node::start(&scene, lan.host(host), &format!("node{host}"), &flags)
                })
                .collect();
            for node in &nodes {
                node.until_peers(3);
            }
            let voter = |host: usize, name: &str| {
                let address = format!("/ip4/10.77.0.{host}/tcp/7117");
                Voter::bare(&scene, lan.host(host), name).with(&genesis, &address)
            };
            let registered = voter(1, "ada").does(&["register"]);
            assert_eq!(registered["state"], "final", "{registered}");
            let all_is_final = || {
                until_one_tip(&nodes.iter().collect::<Vec<_>>());
                for node in &nodes {
                    node.until("its tip to be final", |status| {
                        status["finality"]["block"] == status["tip"]["id"]
                    });
                }
            };
            all_is_final();
            let reported = Reported::default();
            let before: Vec<_> = nodes
                .iter()
                .map(|node| node.status()["finality"].clone())
                .collect();

            lan.part(&[3, 4]);
            let begun = Instant::now();
            let lasts = std::env::var(SPLIT)
                .ok()
                .map_or(0, |text| text.parse().unwrap());
            let mut people = 1;
            for number in 0.. {
                if number >= PEOPLE && begun.elapsed() >= Duration::from_secs(lasts) {
                    break;
                }
                for host in [1, 3] {
                    let person = voter(host, &format!("person{host}-{number}"));
                    person.does(&["register", "--until", "included"]);
                    people += 1;
                }
            }
            for (node, before) in nodes.iter().zip(&before) {
                let status = node.until("to say who is missing", |status| {
                    let waiting = status["finality"]["waiting"].as_str();
                    waiting.is_some_and(|words| words.contains("not heard: "))
                });
                reported.note(&status);
                assert_eq!(
                    status["finality"]["checkpoint"], before["checkpoint"],
                    "{status}"
                );
            }
            assert_ne!(nodes[0].tip(), nodes[3].tip());

            lan.reunite(&[3, 4]);
            for node in &nodes {
                node.until_roll(people);
            }
            all_is_final();
            for node in &nodes {
                reported.note(&node.status());
                let log = node.log();
                assert!(!log.contains(CONVICTION), "{log}");
            }
            println!(
                "{people} registrations, split and healed in {:?}",
                begun.elapsed()
            );
        },
    );
}
