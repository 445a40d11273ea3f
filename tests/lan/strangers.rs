//! Who else is on the LAN: another network, and programs that speak libp2p about something else.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::isolate::isolated;
use crate::harness::lan::Lan;
use crate::harness::node::{Node, until_one_tip};
use crate::harness::process::Process;
use crate::harness::scene::{Place, Scene, quick};
use crate::harness::until;
use crate::harness::voter::Voter;

#[test]
fn strangers_on_the_lan_are_let_go() {
    isolated("strangers::strangers_on_the_lan_are_let_go", || {
        let lan = Lan::new(4);
        let scene = Scene::new();
        let other = scene.network("other", quick("other"));
        let stranger = shopping_list(&scene, &lan.host(3));
        let first = Node::start(&scene, lan.host(1), "node1", &["--log", "debug"]);
        let second = Node::start(&scene, lan.host(2), "node2", &["--log", "debug"]);
        let arguments = ["--network", other.to_str().unwrap()];
        let apart = Node::start(&scene, lan.host(4), "other", &arguments);
        let strangers = [
            word_after("This is ", || stranger.stdout()),
            word_after("the node runs peer=", || apart.log()),
        ];
        for node in [&first, &second] {
            node.until_peers(1);
            // Whoever is first to hear what the other is hangs up.
            until("the strangers to be let go", || {
                let log = node.log();
                let gone = |who: &String| {
                    log.lines().any(|line| {
                        line.contains(who) && (line.contains("let go") || line.contains("hung up"))
                    })
                };
                strangers.iter().all(gone).then_some(()).ok_or(log)
            });
        }

        // Each network goes on by itself, with its own people.
        Voter::bare(&scene, lan.host(1), "ada").does(&["register"]);
        let mary = Voter::bare(&scene, lan.host(2), "mary");
        mary.does(&["register", "--network", other.to_str().unwrap()]);
        first.until_roll(1);
        second.until_roll(1);
        apart.until_roll(1);
        until_one_tip(&[&first, &second]);
        for (node, peers) in [(&first, 1), (&second, 1), (&apart, 0)] {
            node.until("its own peers alone", |status| status["peers"] == peers);
        }
        drop(stranger);
    });
}

#[test]
fn the_peer_to_peer_package_serves_others_too() {
    isolated(
        "strangers::the_peer_to_peer_package_serves_others_too",
        || {
            let lan = Lan::new(3);
            let scene = Scene::new();
            let mut kitchen = shopping_list(&scene, &lan.host(1));
            let mut garden = shopping_list(&scene, &lan.host(2));
            kitchen.until_shows("is here");
            kitchen.types("add milk");
            garden.until_shows("milk");
            garden.types("add nails");
            kitchen.until_shows("nails");
            // Whoever comes later gets what was said before.
            let late = shopping_list(&scene, &lan.host(3));
            late.until_shows("milk");
            late.until_shows("nails");
        },
    );
}

/// Waits until a program has said these words, and returns the next one.
fn word_after(words: &str, said: impl Fn() -> String) -> String {
    until(words, || {
        let said = said();
        let word = said
            .split_once(words)
            .and_then(|(_, rest)| rest.split_once(char::is_whitespace))
            .map(|(word, _)| word.to_owned());
        word.ok_or(said)
    })
}

/// The peer-to-peer package's example: it finds whoever is on the LAN, and keeps a shopping list.
fn shopping_list(scene: &Scene, place: &Place) -> Process {
    let Place::Host(host) = place else {
        panic!("a host is wanted")
    };
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{host}"))
        .arg(example())
        .arg("--lan");
    let name = format!("shopping-list-{host}");
    scene.start_with_stdin(command, &name, Stdio::piped())
}

/// `cargo test --workspace` builds the examples; `cargo test --test lan` leaves that to us.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples/shopping_list");
    if !path.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--workspace"])
            .args(["--example", "shopping_list"])
            .status()
            .unwrap();
        assert!(built.success(), "the example does not build");
    }
    path
}
