//! An election on bare machines: no flags, no files, nothing told to anybody.

use std::path::Path;

use crate::harness::isolate::isolated;
use crate::harness::lan::Lan;
use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::Scene;
use crate::harness::voter::{Voter, totals};

#[test]
fn bare_machines_hold_an_election() {
    isolated("election::bare_machines_hold_an_election", || {
        let lan = Lan::new(5);
        let scene = Scene::new();
        let nodes: Vec<Node<'_>> = (1..=3)
            .map(|host| Node::start(&scene, lan.host(host), &format!("node{host}"), &[]))
            .collect();
        for node in &nodes {
            node.until_peers(2);
            assert_eq!(node.status()["trial"], true);
        }

        let people = ["ada", "grace", "mary"].map(|name| Voter::bare(&scene, lan.host(4), name));
        for person in &people {
            person.does(&["register"]);
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/election-example.toml");
        let election = people[0].opens(&file, "60s");
        std::thread::scope(|scope| {
            for person in &people {
                scope.spawn(|| person.does(&["cast", &election, "1"]));
            }
        });

        // Late, from another corner, with an address and nothing else.
        let arguments = ["--no-mdns", "--bootstrap", "/ip4/10.77.0.1/tcp/7117"];
        let late = Node::start(&scene, lan.host(5), "late", &arguments);
        late.until_roll(3);
        let result = people[1].waits_for_result(&election);
        assert_eq!(result["votes"], 3);
        assert_eq!(totals(&result)[0].1, 3);
        let caveats = result["caveats"].to_string();
        assert!(caveats.contains("trial"), "{caveats}");
        assert!(caveats.contains("not one person, one vote"), "{caveats}");
        until_one_tip(&[&nodes[0], &nodes[1], &nodes[2], &late]);
    });
}
