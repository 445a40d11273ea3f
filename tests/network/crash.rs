//! What a node acknowledged survives the node.

use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::{Scene, quick};
use crate::harness::until;
use crate::harness::voter::{Voter, totals};

#[test]
fn votes_that_were_acknowledged_survive_a_kill_before_any_block_holds_them() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let mut keeper = Node::on_loopback(&scene, "keeper", &network, &[], &["--no-mine"]);
    let mut miner = Node::on_loopback(&scene, "miner", &network, &[&keeper], &[]);
    keeper.until_peers(1);
    let people: Vec<Voter<'_>> = ["ada", "grace", "mary"]
        .into_iter()
        .map(|name| Voter::on_loopback(&scene, name, &network, &keeper.address()))
        .collect();
    for person in &people {
        person.does(&["register"]);
    }
    let file = scene.election("chair", "");
    people[0].opens(&file, "10m");
    until_one_tip(&[&keeper, &miner]);

    // Nobody is left who mines.
    miner.terminate().expect(0);
    std::thread::scope(|scope| {
        for (person, choice) in people.iter().zip(["Ada", "Ada", "Grace"]) {
            scope.spawn(move || {
                let arguments = ["cast", "chair", choice, "--timeout", "12", "--json"];
                let cast = person.try_to(&arguments).expect(5).json();
                assert_eq!(cast["held_by"], 1, "{cast}");
            });
        }
    });
    let waiting = keeper.status();
    assert_eq!(waiting["mempool"]["transactions"]["vote"], 3, "{waiting}");

    keeper.kill();
    keeper.again();
    keeper.until("the votes", |status| {
        status["mempool"]["transactions"]["vote"] == 3
    });
    miner.again();
    let result = until("the votes in blocks", || {
        let result = people[0].does(&["results", "chair"]);
        match result["votes"].as_u64() {
            Some(3) => Ok(result),
            _ => Err(result.to_string()),
        }
    });
    assert_eq!(
        totals(&result),
        [("Ada".to_owned(), 2), ("Grace".to_owned(), 1)]
    );
}
