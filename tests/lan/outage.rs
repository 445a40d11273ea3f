//! Cables are pulled and machines die; what was voted is counted.

use crate::harness::isolate::isolated;
use crate::harness::lan::Lan;
use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::{Scene, quick};
use crate::harness::until;
use crate::harness::voter::{Voter, totals};

#[test]
fn halves_of_a_split_network_merge_and_every_vote_without_conflict_counts() {
    isolated(
        "outage::halves_of_a_split_network_merge_and_every_vote_without_conflict_counts",
        || {
            let lan = Lan::new(4);
            let scene = Scene::new();
            let genesis = scene.network("club", quick("club"));
            let arguments = ["--network", genesis.to_str().unwrap()];
            let nodes: Vec<Node<'_>> = (1..=4)
                .map(|host| Node::start(&scene, lan.host(host), &format!("node{host}"), &arguments))
                .collect();
            for node in &nodes {
                node.until_peers(3);
            }
            let voter = |host: usize, name: &str| {
                let address = format!("/ip4/10.77.0.{host}/tcp/7117");
                Voter::bare(&scene, lan.host(host), name).with(&genesis, &address)
            };
            for name in ["ada", "grace", "mary", "joan", "both"] {
                voter(1, name).does(&["register"]);
            }
            for node in &nodes {
                node.until_roll(5);
            }
            let file = scene.election("chair", "");
            voter(1, "ada").opens(&file, "90s");
            until_one_tip(&nodes.iter().collect::<Vec<_>>());

            lan.cut(4);
            // One voter votes on both sides, with a copy of the secret, and otherwise.
            scene.copy_voter("both", "both-again");
            std::thread::scope(|scope| {
                for (host, name, choice) in [
                    (1, "ada", "Ada"),
                    (2, "grace", "Ada"),
                    (4, "mary", "Grace"),
                    (4, "joan", "Grace"),
                    (3, "both", "Mary"),
                    (4, "both-again", "Ada"),
                ] {
                    let voter = voter(host, name);
                    scope.spawn(move || voter.does(&["cast", "chair", choice]));
                }
            });
            let apart = |node: &Node<'_>| node.status()["tip"]["id"].clone();
            assert_ne!(apart(&nodes[0]), apart(&nodes[3]));
            lan.heal(4);

            let result = voter(2, "ada").waits_for_result("chair");
            assert_eq!(result["votes"], 5, "{result}");
            let same = until("one result", || {
                let others: Vec<_> = [1, 2, 3, 4]
                    .map(|host| voter(host, "ada").waits_for_result("chair"))
                    .into_iter()
                    .map(|result| (totals(&result), result["closing_block"].clone()))
                    .collect();
                match others.windows(2).all(|pair| pair[0] == pair[1]) {
                    true => Ok(others[0].0.clone()),
                    false => Err(format!("{others:?}")),
                }
            });
            let of = |name: &str| {
                let found = same.iter().find(|(option, _)| option == name);
                found.map_or(0, |(_, total)| *total)
            };
            assert_eq!(of("Grace"), 2);
            assert_eq!(of("Ada") + of("Mary"), 3);
            assert!(of("Mary") <= 1, "{same:?}");
            until_one_tip(&nodes.iter().collect::<Vec<_>>());
        },
    );
}

#[test]
fn any_one_node_may_die_and_nothing_stops() {
    isolated("outage::any_one_node_may_die_and_nothing_stops", || {
        let lan = Lan::new(3);
        let scene = Scene::new();
        let genesis = scene.network("club", quick("club"));
        let genesis = genesis.to_str().unwrap();
        let mut nodes: Vec<Node<'_>> = (1..=3)
            .map(|host| {
                let name = format!("node{host}");
                Node::start(&scene, lan.host(host), &name, &["--network", genesis])
            })
            .collect();
        for node in &nodes {
            node.until_peers(2);
        }
        for dead in 0..nodes.len() {
            nodes[dead].kill();
            // Voters sit at a machine whose node lives, and know nothing of any of this.
            let host = (dead + 1) % nodes.len() + 1;
            let name = format!("voter{dead}");
            let voter = Voter::bare(&scene, lan.host(host), &name);
            voter.does(&["register", "--network", genesis]);
            nodes[dead].again();
            nodes[dead].until_roll(dead as u64 + 1);
        }
        until_one_tip(&nodes.iter().collect::<Vec<_>>());
    });
}
