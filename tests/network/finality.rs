//! Finalisers as processes: killed at random instants, restored from a copy, run twice with one key, given the wrong
//! files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use votenode::chain::transaction::Payload;
use votenode::crypto::{PublicKey, Role, RoleKey};
use votenode::export::ChainReader;
use votenode::genesis;

use crate::harness::checkpoints::{CONVICTION, Reported};
use crate::harness::node::{Node, port, until_one_tip};
use crate::harness::process::Ended;
use crate::harness::scene::{Place, Scene};
use crate::harness::seed::{Dice, SEED, variable};
use crate::harness::until;
use crate::harness::voter::Voter;

/// How many kills, for the long form of the test.
const KILLS: &str = "VOTENODE_TEST_KILLS";
/// Kills where that does not say.
const FEW_KILLS: usize = 12;
/// Queues of people who register one after the other. Those of the first wait until it is final, the others only for a
/// block, so that there is always something to decide.
const QUEUES: usize = 3;

/// What a finaliser's node logs when its key signed something that the node did not.
const OTHER_NODE: &str = "another node uses the same key";

/// What a finaliser's node logs where its state file lies in its data directory.
const IN_DATA: &str = "lies in the data directory";

/// A network that four nodes finalise, and one that only follows.
struct Club<'s> {
    network: PathBuf,
    keys: Vec<PathBuf>,
    plain: Node<'s>,
    finalisers: Vec<Node<'s>>,
}

impl<'s> Club<'s> {
    fn start(scene: &'s Scene) -> Self {
        let (network, keys) = scene.finalising("club", 4);
        let plain = Node::on_loopback(scene, "plain", &network, &[], &[]);
        let mut finalisers: Vec<Node<'_>> = Vec::new();
        for (number, key) in (1..).zip(&keys) {
            let others: Vec<&Node<'_>> = [&plain].into_iter().chain(&finalisers).collect();
            let flags = ["--finaliser-key", key.to_str().unwrap()];
            let name = format!("finaliser{number}");
            let node = Node::on_loopback(scene, &name, &network, &others, &flags);
            finalisers.push(node);
        }
        let club = Self {
            network,
            keys,
            plain,
            finalisers,
        };
        for node in club.nodes() {
            node.until_peers(4);
        }
        club
    }

    fn nodes(&self) -> Vec<&Node<'s>> {
        [&self.plain].into_iter().chain(&self.finalisers).collect()
    }

    fn voter(&self, scene: &'s Scene, name: &str) -> Voter<'s> {
        Voter::on_loopback(scene, name, &self.network, &self.plain.address())
    }

    /// Waits until every node has everything, and all of it is final. Returns the last checkpoint's number.
    fn until_all_is_final(&self) -> u64 {
        until_one_tip(&self.nodes());
        let numbers: BTreeSet<u64> = self
            .nodes()
            .iter()
            .map(|node| {
                let status = node.until("its tip to be final", |status| {
                    status["finality"]["block"] == status["tip"]["id"]
                });
                status["finality"]["checkpoint"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(numbers.len(), 1, "one tip, and {numbers:?}");
        *numbers.first().unwrap()
    }

    /// The chain as the node that follows exports it: its blocks by height, and the finalisers convicted in it.
    fn chain(&self, scene: &Scene) -> (BTreeMap<u64, String>, BTreeSet<PublicKey>) {
        let file = scene.path("club.votechain");
        self.plain
            .ask(&["export", file.to_str().unwrap()])
            .expect(0);
        let reader = ChainReader::new(BufReader::new(File::open(&file).unwrap())).unwrap();
        let (mut blocks, mut convicted) = (BTreeMap::new(), BTreeSet::new());
        for block in reader {
            let block = block.unwrap().block;
            blocks.insert(block.header.height, block.header.id().to_string());
            for transaction in block.transactions.iter() {
                if let Payload::Equivocation { equivocation } = &transaction.payload {
                    convicted.insert(equivocation.finaliser);
                }
            }
        }
        (blocks, convicted)
    }
}

/// Sets a flag when it goes, however that comes about: whoever waits for it does not wait in vain.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn finalisers_killed_at_any_instant_never_contradict_themselves() {
    let (kills, seed) = (variable(KILLS, FEW_KILLS), variable(SEED, 1));
    let begun = Instant::now();
    let scene = Scene::new();
    let mut club = Club::start(&scene);
    let reported = Reported::default();
    let (ended, people) = (AtomicBool::new(false), AtomicUsize::new(0));
    let killed = {
        let Club {
            network,
            plain,
            finalisers,
            ..
        } = &mut club;
        let (network, plain): (&Path, &Node<'_>) = (network, plain);
        let address = plain.address();
        thread::scope(|scope| {
            let _ends = Ends(&ended);
            for queue in 0..QUEUES {
                let (scene, ended, people, address) = (&scene, &ended, &people, &address);
                scope.spawn(move || {
                    for person in 0.. {
                        if ended.load(Ordering::SeqCst) {
                            break;
                        }
                        let name = format!("person{queue}-{person}");
                        let voter = Voter::on_loopback(scene, &name, network, address);
                        let registered = match queue {
                            0 => voter.does(&["register"]),
                            _ => voter.does(&["register", "--until", "included"]),
                        };
                        assert!(queue > 0 || registered["state"] == "final", "{registered}");
                        people.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    reported.note(&plain.status());
                    sleep(Duration::from_millis(20));
                }
            });
            kill_at_random(finalisers, &reported, kills, seed)
        })
    };
    let people = people.load(Ordering::SeqCst) as u64;
    for node in club.nodes() {
        node.until_roll(people);
    }
    let checkpoints = club.until_all_is_final();
    println!(
        "{killed} kills (seed {seed}), {people} registrations, {checkpoints} checkpoints in {:?}",
        begun.elapsed()
    );

    for node in club.nodes() {
        reported.note(&node.status());
        let log = node.log();
        for words in [CONVICTION, OTHER_NODE, "contradict", "panicked"] {
            assert!(!log.contains(words), "{words}: {log}");
        }
    }
    let (blocks, convicted) = club.chain(&scene);
    assert_eq!(convicted, BTreeSet::new());
    for (number, block, height) in reported.all() {
        assert_eq!(blocks.get(&height), Some(&block), "checkpoint {number}");
    }
    let network = genesis::read(&club.network).unwrap().network_id();
    for key in &club.keys {
        // Nobody signs for a checkpoint that cannot be the next one.
        let signed = signed_for(&state_of(key), &network.to_string());
        assert!((1..=checkpoints + 1).contains(&signed), "{signed}");
    }
    for node in &mut club.finalisers {
        node.terminate().expect(0);
    }
}

/// Kills finalisers at random instants, also two at once and while they start, and starts them again. Returns how many
/// times.
fn kill_at_random(
    finalisers: &mut [Node<'_>],
    reported: &Reported,
    kills: usize,
    seed: u64,
) -> usize {
    let mut dice = Dice::new(seed);
    let mut killed = 0;
    while killed < kills {
        dice.pause(900);
        let mut victims = BTreeSet::from([dice.below(finalisers.len())]);
        if dice.below(4) == 0 {
            victims.insert(dice.below(finalisers.len()));
        }
        for victim in &victims {
            finalisers[*victim].kill();
            killed += 1;
        }
        for (_, node) in finalisers
            .iter()
            .enumerate()
            .filter(|(index, _)| !victims.contains(index))
        {
            reported.note(&node.status());
        }
        dice.pause(600);
        for victim in &victims {
            finalisers[*victim].begin();
            if dice.below(4) == 0 {
                dice.pause(400);
                finalisers[*victim].kill();
                killed += 1;
                finalisers[*victim].begin();
            }
        }
        for victim in &victims {
            finalisers[*victim].until_answers();
            reported.note(&finalisers[*victim].status());
        }
    }
    killed
}

/// The checkpoint of the last position that a finaliser's state file holds.
fn signed_for(state: &Path, network: &str) -> u64 {
    let text = fs::read_to_string(state).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let ["votenode finaliser state 2", of, checkpoint, round, step] = lines[..] else {
        panic!("{text}");
    };
    assert_eq!(of, format!("network {network}"));
    assert!(round.strip_prefix("round ").unwrap().parse::<u64>().is_ok());
    assert!(["step proposal", "step prevote", "step precommit"].contains(&step));
    let checkpoint = checkpoint.strip_prefix("checkpoint ").unwrap();
    checkpoint.parse().unwrap()
}

fn state_of(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

#[test]
fn a_second_node_with_the_same_key_stops_nobody() {
    let scene = Scene::new();
    let club = Club::start(&scene);
    club.voter(&scene, "ada").does(&["register"]);
    club.until_all_is_final();

    let copy = scene.secret("copy.key", &fs::read_to_string(&club.keys[3]).unwrap());
    let flags = ["--finaliser-key", copy.to_str().unwrap()];
    let twin = Node::on_loopback(&scene, "twin", &club.network, &club.nodes(), &flags);
    twin.until_peers(4);
    // Whoever comes second with a message says so, which of the two that is.
    let mut people = 1;
    until("one of the two to say what is wrong", || {
        people += 1;
        let person = club.voter(&scene, &format!("person{people}"));
        assert_eq!(person.does(&["register"])["state"], "final");
        let logs = twin.log() + &club.finalisers[3].log();
        logs.contains(OTHER_NODE).then_some(()).ok_or(logs)
    });
    for node in club.nodes() {
        node.until_roll(people);
    }
    club.until_all_is_final();
    // Two nodes can contradict each other before they notice. Then the key is convicted, and nobody else's is.
    let copied = BTreeSet::from([public(&copy)]);
    let (_, convicted) = club.chain(&scene);
    assert!(convicted.is_subset(&copied), "{convicted:?}");
}

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

/// A copy of a directory, with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The data of a running finaliser is copied while it waits for a proposal, it signs something, and the copy is put back.
#[test]
fn a_copy_of_a_running_finalisers_data_does_not_make_it_sign_twice() {
    let scene = Scene::new();
    let mut club = Club::start(&scene);
    let network = genesis::read(&club.network)
        .unwrap()
        .network_id()
        .to_string();
    club.voter(&scene, "person0").does(&["register"]);
    let (mut people, mut tries) = (1, 0);
    let (victim, copied, open) = loop {
        tries += 1;
        assert!(tries < 20, "the copy always came too late");
        let open = club.until_all_is_final() + 1;
        // Whoever proposes would sign at once.
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by_key(|index| public(&club.keys[*index]));
        let proposer = order[(open % 4) as usize];
        let victim = order[((open + 1) % 4) as usize];
        for index in (0..4).filter(|index| *index != victim) {
            club.finalisers[index].kill();
        }
        let person = club.voter(&scene, &format!("person{people}"));
        person.does(&["register", "--until", "included"]);
        people += 1;
        club.finalisers[victim].until_roll(people);
        let state = state_of(&club.keys[victim]);
        let process = club.finalisers[victim].process();
        process.signal("STOP");
        let copied = scene.path(&format!("copy{tries}"));
        let early = signed_for(&state, &network) < open;
        copy(&club.finalisers[victim].data_dir(), &copied);
        club.finalisers[victim].process().signal("CONT");
        if early {
            until("a signature", || {
                let signed = signed_for(&state, &network);
                (signed == open).then_some(()).ok_or(signed.to_string())
            });
            club.finalisers[victim].kill();
            // What it was to vote for comes now.
            club.finalisers[proposer].again();
            break (victim, copied, open);
        }
        for index in (0..4).filter(|index| *index != victim) {
            club.finalisers[index].again();
        }
    };
    let data = club.finalisers[victim].data_dir();
    fs::remove_dir_all(&data).unwrap();
    copy(&copied, &data);
    let before = fs::read(state_of(&club.keys[victim])).unwrap();
    club.finalisers[victim].again();
    let silent = format!("signs nothing up to checkpoint {open}");
    club.finalisers[victim].until("it to be silent", |status| {
        status["finality"]["waiting"]
            .as_str()
            .is_some_and(|why| why.contains(&silent))
    });
    let log = club.finalisers[victim].log();
    assert!(
        log.contains("this store is older than what this finaliser has signed"),
        "{log}"
    );
    assert_eq!(fs::read(state_of(&club.keys[victim])).unwrap(), before);

    // The others decide, and it takes part from then on: another can go.
    let away = (0..4).filter(|index| *index != victim);
    let away: Vec<usize> = away.collect();
    for index in &away {
        if !club.finalisers[*index].runs() {
            club.finalisers[*index].again();
        }
    }
    assert!(club.until_all_is_final() >= open);
    club.finalisers[away[0]].kill();
    let person = club.voter(&scene, &format!("person{people}"));
    assert_eq!(person.does(&["register"])["state"], "final");
    people += 1;
    club.finalisers[away[0]].again();
    for node in club.nodes() {
        node.until_roll(people);
    }
    club.until_all_is_final();
    for node in club.nodes() {
        let log = node.log();
        assert!(!log.contains(CONVICTION), "{log}");
    }
    assert_eq!(club.chain(&scene).1, BTreeSet::new());
}

fn public(key: &Path) -> PublicKey {
    let text = fs::read_to_string(key).unwrap();
    let key = RoleKey::parse(Role::Finaliser, text.trim()).unwrap();
    key.public().key()
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
