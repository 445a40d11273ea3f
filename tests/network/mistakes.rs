//! Everything that a person, a disk or a neighbour can get wrong: a clear message, an exit code, and a clean state.

use std::net::TcpListener;

use votenode::genesis::{self, Parameters};

use crate::harness::disk::Disk;
use crate::harness::isolate::isolated;
use crate::harness::node::{Node, port};
use crate::harness::process::Ended;
use crate::harness::scene::{Place, Scene, quick};
use crate::harness::voter::Voter;

/// Runs a node that is expected to end by itself.
fn node_ends(scene: &Scene, home: &str, arguments: &[&str]) -> Ended {
    let listen = format!("/ip4/127.0.0.1/tcp/{}", port());
    let mut all = vec!["--no-mdns", "--http", "off"];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", &listen]);
    }
    all.extend(arguments);
    scene.votenode(home, &all)
}

#[test]
fn two_nodes_do_not_share_a_data_directory() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let mut node = Node::on_loopback(&scene, "node", &network, &[], &[]);
    let pid = node.process().id();
    node_ends(&scene, "node", &["--network", network.to_str().unwrap()])
        .expect(3)
        .says(&format!("is in use by process {pid}"));
    // Neither does an import, and a running node minds what it is asked.
    let chain = scene.path("club.votechain");
    let chain = chain.to_str().unwrap();
    node.ask(&["export", chain]).expect(0);
    node.ask(&["import", chain])
        .expect(3)
        .says(&format!("is in use by process {pid}"));
    node.ask(&["ban", "garbage"]).expect(2).says("garbage");
    node.terminate().expect(0);
    node.again();
    node.terminate().expect(0);
}

#[test]
fn a_damaged_database_is_reported_and_left_alone() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let mut node = Node::on_loopback(&scene, "node", &network, &[], &[]);
    let database = node.data_dir().join("votenode.redb");
    Voter::on_loopback(&scene, "ada", &network, &node.address()).does(&["register"]);
    node.terminate().expect(0);

    let sound = std::fs::read(&database).unwrap();
    let network = network.to_str().unwrap();
    let mut garbage = sound.clone();
    garbage[..4096].fill(0xa5);
    let whole = [
        ("garbage", garbage),
        ("cut off", sound[..sound.len() / 3].to_vec()),
        ("text", b"this is not a database".to_vec()),
    ];
    for (what, bytes) in whole {
        std::fs::write(&database, &bytes).unwrap();
        let ended = node_ends(&scene, "node", &["--network", network]).expect(4);
        let ended = ended.says("votenode.redb");
        assert!(ended.stdout.is_empty(), "{what}");
        assert_eq!(
            std::fs::read(&database).unwrap(),
            bytes,
            "{what}: it was changed"
        );
    }
    std::fs::write(&database, sound).unwrap();
    node.again();
    node.until_roll(1);
}

#[test]
fn a_data_directory_stays_with_its_network() {
    let scene = Scene::new();
    let club = scene.network("club", quick("club"));
    let other = scene.network("other", quick("other"));
    let id = genesis::read(&other).unwrap().network_id().to_string();
    let mut node = Node::on_loopback(&scene, "node", &club, &[], &[]);
    node.terminate().expect(0);
    for wrong in [other.to_str().unwrap(), &id] {
        node_ends(&scene, "node", &["--network", wrong])
            .expect(5)
            .says("belongs to network");
    }
    // Without the flag it goes on with what it has.
    node.again();
}

#[test]
fn a_port_in_use_is_named() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let network = network.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let listen = format!("/ip4/127.0.0.1/tcp/{number}");
    node_ends(&scene, "node", &["--network", network, "--listen", &listen])
        .expect(6)
        .says(&number.to_string());
    let http = format!("127.0.0.1:{number}");
    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.args(["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    command.args(["--network", network, "--http", &http]);
    scene.run(command).expect(6).says(&number.to_string());
}

#[test]
fn a_full_disk_stops_accepting_and_says_so() {
    isolated("mistakes::a_full_disk_stops_accepting_and_says_so", || {
        let scene = Scene::new();
        let network = scene.network("club", quick("club"));
        let disk = Disk::mount(&scene.home("node"), "8m");
        let mut node = Node::on_loopback(&scene, "node", &network, &[], &[]);
        let voter = |name| Voter::on_loopback(&scene, name, &network, &node.address());
        voter("ada").does(&["register"]);

        disk.fill();
        let refused = voter("grace").try_to(&["register", "--timeout", "20"]);
        refused.expect(5);
        let status = node.until("a full disk", |status| status["disk_full"] == true);
        assert!(!status["warnings"].as_array().unwrap().is_empty());

        // Room again, and it goes on by itself.
        disk.free();
        voter("grace").does(&["register"]);
        node.until("room", |status| status["disk_full"] == false);
        node.until_roll(2);
        node.terminate().expect(0);
        node.again();
        node.until_roll(2);
    });
}

#[test]
fn a_new_node_on_a_full_disk_says_so() {
    isolated("mistakes::a_new_node_on_a_full_disk_says_so", || {
        let scene = Scene::new();
        let network = scene.network("club", quick("club"));
        let _disk = Disk::mount(&scene.home("node"), "16k");
        node_ends(&scene, "node", &["--network", network.to_str().unwrap()])
            .expect(7)
            .says("full");
    });
}

#[test]
fn a_node_that_cannot_finish_its_start_ends() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let start = || {
        let mut command = scene.command(&Place::Here, "node", "votenode");
        command.args(["--no-mdns", "--http", "127.0.0.1:0"]);
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
        command.args(["--network", network.to_str().unwrap()]);
        scene.run(command).sober().expect(1)
    };
    // What tells where it is asked comes last, when all else runs.
    let data = scene.home("node").join(".local/share/votenode");
    for name in ["http.addr", "control.sock"] {
        std::fs::create_dir_all(data.join(name)).unwrap();
        start().says(name);
        std::fs::remove_dir(data.join(name)).unwrap();
    }
}

#[test]
fn a_bootstrap_peer_of_another_network_is_not_believed() {
    let scene = Scene::new();
    let club = scene.network("club", quick("club"));
    let other = scene.network("other", quick("other"));
    let pinned = genesis::read(&other).unwrap().network_id().to_string();
    let node = Node::on_loopback(&scene, "node", &club, &[], &[]);
    let address = node.address();

    let arguments = ["--network", &pinned, "--bootstrap", &address];
    node_ends(&scene, "newcomer", &arguments)
        .expect(5)
        .says("belongs to network");
    let mut newcomer = Voter::bare(&scene, Place::Here, "newcomer");
    let ended = newcomer.try_to(&[&arguments[..], &["--no-mdns", "elections"]].concat());
    ended.expect(6).says("belongs to network");

    // Nothing of the wrong network stayed behind: the right one is joined with no file at all.
    let listen = format!("/ip4/127.0.0.1/tcp/{}", port());
    let late = Node::start(
        &scene,
        Place::Here,
        "newcomer",
        &[
            "--no-mdns",
            "--http",
            "off",
            "--listen",
            &listen,
            "--bootstrap",
            &address,
        ],
    );
    late.until_peers(1);
    assert_eq!(late.status()["network"], node.status()["network"]);
    newcomer = Voter::bare(&scene, Place::Here, "voter");
    let registered = newcomer.does(&["register", "--no-mdns", "--bootstrap", &address]);
    assert_eq!(registered["state"], "included");
    late.until_roll(1);
}

#[test]
fn a_peer_of_another_network_stays_apart() {
    let scene = Scene::new();
    let club = scene.network("club", quick("club"));
    let other = scene.network("other", quick("other"));
    let node = Node::on_loopback(&scene, "node", &club, &[], &[]);
    // It has its own genesis and dials into the wrong network.
    let stranger = Node::on_loopback(&scene, "stranger", &other, &[&node], &[]);
    let friend = Node::on_loopback(&scene, "friend", &club, &[&node], &[]);
    friend.until_peers(1);
    let address = stranger.address();
    Voter::on_loopback(&scene, "ada", &other, &address).does(&["register"]);
    Voter::on_loopback(&scene, "grace", &club, &node.address()).does(&["register"]);
    let mary = Voter::on_loopback(&scene, "mary", &club, &friend.address());
    mary.does(&["register"]);
    for (who, size) in [(&node, 2), (&friend, 2), (&stranger, 1)] {
        who.until_roll(size);
    }
    stranger.until("no peers", |status| status["peers"] == 0);
}

#[test]
fn garbage_in_any_flag_is_named() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let network = network.to_str().unwrap();
    let garbage = scene.file("garbage", [0xff, 0xfe, 0x00, 0x9f, 0x12]);
    let garbage = garbage.to_str().unwrap();
    let nowhere = scene.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for (flag, value) in [
        ("--bootstrap", "garbage"),
        ("--bootstrap", "/ip4/999.0.0.1/tcp/1"),
        ("--bootstrap", "/ip4/127.0.0.1/tcp/99999"),
        ("--network", garbage),
        ("--config", garbage),
        ("--listen", "garbage"),
        ("--external-address", "garbage"),
        ("--http", "garbage"),
        ("--http", "1.2.3.4:99999"),
        ("--http-host", "two words"),
        ("--max-inbound-peers", "many"),
        ("--max-inbound-peers", "0"),
        ("--max-outbound-peers", "-1"),
        ("--mempool-transactions", "1"),
        ("--mempool-mib", "99999999999999999999"),
        ("--store-cache-mib", "0"),
        ("--log", "no=such=level"),
        ("--log-format", "xml"),
        ("--no-such-flag", "x"),
    ] {
        let mut command = scene.command(&Place::Here, "node", "votenode");
        command.args([flag, value]);
        let ended = scene.run(command).sober();
        assert_eq!(ended.code, 2, "{flag} {value}: {}", ended.stderr);
        let name = flag.trim_start_matches("--").replace('-', "_");
        let said = ended.stderr.replace('-', "_");
        assert!(
            said.contains(&name) || said.contains(&value.replace('-', "_")),
            "{flag} {value}: {}",
            ended.stderr
        );
    }
    for (flag, value) in [
        ("--network", nowhere),
        ("--network", "xyz"),
        ("--config", nowhere),
    ] {
        scene
            .votenode("node", &[flag, value])
            .expect(1)
            .says(&format!("{value}: No such file"));
    }
    // Nothing was begun.
    assert!(!scene.home("node").join(".local").exists());

    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.env("VOTENODE_HTTP", "garbage");
    scene.run(command).sober().expect(2);
    let unknown = scene.file("unknown.toml", "htpp = \"off\"\n");
    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.args(["--config", unknown.to_str().unwrap()]);
    scene.run(command).sober().expect(2).says("htpp");

    let voter = Voter::bare(&scene, Place::Here, "voter");
    voter.does(&["voter", "new"]);
    let election = scene.election("chair", "colour = \"red\"");
    let election = election.to_str().unwrap();
    let lone = ["--network", network, "--no-mdns"];
    for (arguments, code) in [
        (vec!["elections", "--bootstrap", "garbage"], 2),
        (vec!["elections", "--network", garbage], 2),
        (vec!["elections", "--network", nowhere], 2),
        (vec!["elections", "--timeout", "soon"], 2),
        (vec!["elections", "--voter", garbage, "--until", "ever"], 2),
        (vec!["register", "--invitation", "invite1garbage"], 2),
        (vec!["register"], 2),
        (vec!["open", garbage, "--closes-in", "60s"], 2),
        (vec!["open", nowhere, "--closes-in", "60s"], 2),
        (vec!["open", election, "--closes-in", "60s"], 2),
        (vec!["open", election, "--closes-in", "-5"], 2),
        (vec!["submit", garbage], 2),
        (vec!["submit", nowhere], 2),
        (vec!["receipt", "verify", garbage], 6),
        (vec!["receipt", "verify", nowhere], 2),
        (vec!["receipt", "get", "xyz"], 2),
        (vec!["cast", "chair", "Ada", "--offline", "x"], 2),
        (
            vec!["status", "--passphrase-file", nowhere, "--voter", garbage],
            1,
        ),
        (vec!["no-such-command"], 2),
    ] {
        let own = arguments.contains(&"--network") || arguments.contains(&"--bootstrap");
        let mut all = arguments.clone();
        if own {
            all.push("--no-mdns");
        } else {
            all.extend(lone);
        }
        let ended = voter.try_to(&all);
        assert!(
            ended.code == code || (code == 1 && ended.code == 2),
            "{arguments:?}: {} instead of {code}: {}",
            ended.code,
            ended.stderr
        );
        assert!(!ended.stderr.trim().is_empty(), "{arguments:?}: silence");
    }

    for (arguments, code) in [
        (vec!["audit", garbage], 8),
        (vec!["audit", nowhere], 1),
        (vec!["import", garbage], 2),
        (vec!["network", "show", garbage], 2),
        (vec!["key", "show", garbage], 2),
        (vec!["key", "new", "king", "--out", nowhere], 2),
        (vec!["status"], 9),
        (vec!["peers"], 9),
        (vec!["ban", "garbage"], 9),
        (vec!["network", "new", "--name", "", "--out", nowhere], 2),
        (
            vec![
                "network",
                "new",
                "--name",
                "x",
                "--out",
                nowhere,
                "--organiser",
                "Ada=garbage",
            ],
            2,
        ),
    ] {
        let ended = scene.votenode("clerk", &arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.trim().is_empty(), "{arguments:?}: silence");
    }
}

#[test]
fn a_voter_without_any_node_is_told_so() {
    let scene = Scene::new();
    let network = scene.network("club", quick("club"));
    let nobody = format!("/ip4/127.0.0.1/tcp/{}", port());
    let ada = Voter::on_loopback(&scene, "ada", &network, &nobody);
    ada.try_to(&["register", "--timeout", "5"])
        .expect(3)
        .says("no node of the network answered");
    let home = ada.voter_file();
    assert!(home.exists(), "the voter_id was not kept");
}

#[test]
fn admission_by_invitation_alone_needs_an_organiser() {
    let closed = Parameters {
        open_stamp_bits: None,
        ..quick("closed")
    };
    let scene = Scene::new();
    let network = scene.network("closed", closed);
    let node = Node::on_loopback(&scene, "node", &network, &[], &[]);
    Voter::on_loopback(&scene, "ada", &network, &node.address())
        .try_to(&["register"])
        .expect(2)
        .says("this network admits voters by invitation only");
}
