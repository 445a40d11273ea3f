//! A finaliser's files: whatever is wrong with them is named.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::harness::node::port;
use crate::harness::process::Ended;
use crate::harness::scene::Place;

/// What a finaliser's node logs where its state file lies in its data directory.
const IN_DATA: &str = "lies in the data directory";

/// Runs a finaliser's node that is expected to end by itself.
fn finaliser_ends(scene: &Scene, network: &Path, key: &Path) -> Ended {
    let listen = format!("/ip4/127.0.0.1/tcp/{}", port());
    scene.votenode(
        "node",
        &[
            "--no-mdns",
            "--http",
            "off",
            "--listen",
            &listen,
            "--network",
            network.to_str().unwrap(),
            "--finaliser-key",
            key.to_str().unwrap(),
        ],
    )
}

#[test]
fn whatever_is_wrong_with_a_finalisers_files_is_named() {
    let scene = Scene::new();
    let (network, keys) = scene.finalising("club", 1);
    let (other, _) = scene.finalising("other", 1);
    let key = &keys[0];
    let secret = fs::read_to_string(key).unwrap();

    let organiser = RoleKey::generate(Role::Organiser).unwrap();
    let organiser = scene.secret("organiser.key", &organiser.to_text());
    finaliser_ends(&scene, &network, &organiser)
        .expect(2)
        .says("this is an organiser's secret key; a finaliser's secret key is wanted");

    let open = scene.file("open.key", &secret);
    finaliser_ends(&scene, &network, &open)
        .expect(2)
        .says("can be accessed by others (mode 0644): run chmod 600");

    let garbage = scene.secret("garbage.key", "garbage");
    finaliser_ends(&scene, &network, &garbage)
        .expect(2)
        .says("garbage.key");
    finaliser_ends(&scene, &network, &scene.path("nowhere.key"))
        .expect(1)
        .says("nowhere.key: No such file");

    let foreign = genesis::read(&other).unwrap().network_id();
    let foreign = format!(
        "votenode finaliser state 2\nnetwork {foreign}\ncheckpoint 7\nround 0\nstep prevote\n"
    );
    let older = format!("votenode finaliser state 1\nnetwork {foreign}\ncheckpoint 7\nstarts 2\n");
    for (state, words) in [
        (&b"garbage"[..], "key.state is damaged"),
        (b"", "key.state is damaged"),
        (b"\xff\xfe\x00", "key.state is damaged"),
        (foreign.as_bytes(), "a key is not used in two"),
        (
            older.as_bytes(),
            "has format 1, and this release knows format 2",
        ),
    ] {
        let mode = |mode| fs::set_permissions(state_of(key), fs::Permissions::from_mode(mode));
        fs::write(state_of(key), state).unwrap();
        mode(0o644).unwrap();
        finaliser_ends(&scene, &network, key)
            .expect(2)
            .says("can be accessed by others (mode 0644): run chmod 600");
        mode(0o600).unwrap();
        finaliser_ends(&scene, &network, key).expect(2).says(words);
        assert_eq!(fs::read(state_of(key)).unwrap(), state);
    }
    fs::remove_file(state_of(key)).unwrap();

    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.args(["--no-mdns", "--http", "off"]);
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
    command.args(["--network", network.to_str().unwrap()]);
    command.args(["--finaliser-key", key.to_str().unwrap()]);
    command.env("VOTENODE_FINALISER_SECRET", secret.trim());
    scene
        .run(command)
        .sober()
        .expect(2)
        .says("the finaliser's key is given twice");

    let state = scene.path("somewhere.state");
    let state = state.to_str().unwrap();
    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.args(["--no-mdns", "--http", "off", "--finaliser-state", state]);
    command.args(["--network", network.to_str().unwrap()]);
    scene
        .run(command)
        .expect(2)
        .says("a file for a finaliser's state is given, and no finaliser's key");
    let mut command = scene.command(&Place::Here, "node", "votenode");
    command.args([
        "--no-mdns",
        "--http",
        "off",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    command.args(["--network", network.to_str().unwrap()]);
    command.args(["--finaliser-key", key.to_str().unwrap()]);
    command.args(["--finaliser-state", "nowhere/at/all.state"]);
    scene.run(command).expect(1).says("nowhere/at/all.state");

    // With all of it right the node finalises.
    let flags = ["--finaliser-key", key.to_str().unwrap()];
    let mut node = Node::on_loopback(&scene, "node", &network, &[], &flags);
    let voter = Voter::on_loopback(&scene, "ada", &network, &node.address());
    assert_eq!(voter.does(&["register"])["state"], "final");
    let network_id = genesis::read(&network).unwrap().network_id().to_string();
    assert!(signed_for(&state_of(key), &network_id) >= 1);
    assert!(!node.log().contains(IN_DATA), "{}", node.log());
    node.terminate().expect(0);

    // The file moves to a place that is named, and to one that does not help.
    fs::rename(state_of(key), state).unwrap();
    let elsewhere = [&flags[..], &["--finaliser-state", state]].concat();
    let mut node = Node::on_loopback(&scene, "node", &network, &[], &elsewhere);
    let voter = Voter::on_loopback(&scene, "ben", &network, &node.address());
    assert_eq!(voter.does(&["register"])["state"], "final");
    assert!(signed_for(Path::new(state), &network_id) >= 2);
    assert!(!state_of(key).exists());
    assert!(!node.log().contains(IN_DATA), "{}", node.log());
    let inside = node.data_dir().join("finaliser.state");
    node.terminate().expect(0);
    fs::rename(state, &inside).unwrap();
    let inside = [&flags[..], &["--finaliser-state", inside.to_str().unwrap()]].concat();
    let node = Node::on_loopback(&scene, "node", &network, &[], &inside);
    assert!(node.log().contains(IN_DATA), "{}", node.log());
}

#[test]
fn a_finalisers_key_is_of_no_use_where_nobody_finalises() {
    let scene = Scene::new();
    let (_, keys) = scene.finalising("club", 1);
    let network = scene.network("plain", crate::harness::scene::quick("plain"));
    finaliser_ends(&scene, &network, &keys[0])
        .expect(2)
        .says("nobody finalises in this network");
}
