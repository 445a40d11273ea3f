//! An election from registration to audit.

use serde_json::Value;

use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::{Scene, quick};
use crate::harness::voter::{Voter, totals};

#[test]
fn an_election_is_held_counted_proved_and_audited() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let first = Node::on_loopback(&scene, "node1", &network, &[], &[]);
    let second = Node::on_loopback(&scene, "node2", &network, &[&first], &[]);
    let third = Node::on_loopback(&scene, "node3", &network, &[&first, &second], &[]);
    third.until_peers(2);
    let addresses = [first.address(), second.address(), third.address()];
    let voter = |index: usize, name| {
        Voter::on_loopback(&scene, name, &network, &addresses[index % addresses.len()])
    };
    let people: Vec<Voter<'_>> = ["ada", "grace", "mary", "joan"]
        .into_iter()
        .enumerate()
        .map(|(index, name)| voter(index, name))
        .collect();
    for person in &people {
        let registered = person.does(&["register"]);
        assert_eq!(registered["state"], "included");
    }
    first.until_roll(4);

    let file = scene.election("chair", "");
    let election = people[0].opens(&file, "60s");
    let receipt = people[0].does(&["cast", "chair", "Ada"])["receipt"]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    people[1].does(&["cast", &election, "2"]);
    people[2].does(&["cast", &election[..8], "grace"]);

    // Carried on a stick: signed without a network, handed in by somebody else.
    let saved = scene.path("chair.election");
    let vote = scene.path("vote.txt");
    let (saved, vote) = (saved.to_str().unwrap(), vote.to_str().unwrap());
    people[0].does(&["elections", "chair", "--save", saved]);
    people[3].does(&[
        "cast",
        "chair",
        "--blank",
        "--election-file",
        saved,
        "--offline",
        vote,
    ]);
    let handed_in = people[0].does(&["submit", vote]);
    assert_eq!(handed_in["included"], 1);

    // The first vote counts, and whoever tries again is told so, at whichever node.
    let again = voter(1, "ada").try_to(&["cast", "chair", "Mary"]);
    again
        .expect(4)
        .shows("the voter has voted in this election already; the first vote counts");
    // The same again is no second vote.
    people[0].does(&["cast", "chair", "Ada"]);

    let result = people[3].waits_for_result("chair");
    assert_eq!(
        totals(&result),
        [("Ada".to_owned(), 1), ("Grace".to_owned(), 2)]
    );
    assert_eq!(result["blank"], 1);
    assert_eq!(result["votes"], 4);
    assert_eq!(result["winners"], serde_json::json!(["Grace"]));
    people[3].try_to(&["cast", "chair", "Ada"]).expect(4);
    until_one_tip(&[&first, &second, &third]);

    receipts_hold_and_forged_ones_do_not(&scene, &people[0], &receipt);
    the_chain_can_be_taken_away_and_audited(&scene, &first, &election, &result);
}

fn receipts_hold_and_forged_ones_do_not(scene: &Scene, ada: &Voter<'_>, receipt: &str) {
    let proved = ada.does(&["receipt", "verify", receipt]);
    assert_eq!(proved["valid"], true);
    let mut bytes = std::fs::read(receipt).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let forged = scene.file("forged", bytes);
    ada.try_to(&["receipt", "verify", forged.to_str().unwrap()])
        .expect(6);
    let listed = ada.does(&["receipt", "show"]);
    assert!(listed.to_string().contains("vote"));
    let status = ada.does(&["status"]);
    assert!(status["transactions"].as_array().unwrap().len() >= 3);
}

fn the_chain_can_be_taken_away_and_audited(
    scene: &Scene,
    node: &Node<'_>,
    election: &str,
    result: &Value,
) {
    let chain = scene.path("club.votechain");
    let chain = chain.to_str().unwrap();
    node.ask(&["export", chain]).expect(0);
    let audit = scene
        .votenode("auditor", &["audit", chain, "--json"])
        .expect(0)
        .json();
    let text = audit.to_string();
    assert!(text.contains(election), "{text}");
    // A running node's directory can be audited too.
    let data = node.data_dir();
    scene
        .votenode("auditor", &["audit", data.to_str().unwrap(), "--json"])
        .expect(0);

    // Into a new directory, and out again: the same chain.
    scene.votenode("heir", &["import", chain]).expect(0);
    let heir = scene.home("heir").join(".local/share/votenode");
    let inherited = scene
        .votenode("auditor", &["audit", heir.to_str().unwrap(), "--json"])
        .expect(0)
        .json();
    assert_eq!(inherited["elections"], audit["elections"]);
    assert!(result["closing_block"]["id"].is_string());

    let mut bytes = std::fs::read(chain).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let forged = scene.file("forged.votechain", bytes);
    scene
        .votenode("auditor", &["audit", forged.to_str().unwrap()])
        .expect(8);
}
