//! Finalisers as processes: killed at random instants, run twice with one key, given the wrong files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
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
        let state = fs::read_to_string(state_of(key)).unwrap();
        let promised = state
            .strip_prefix(&format!(
                "votenode finaliser state 1\nnetwork {network}\ncheckpoint "
            ))
            .and_then(|rest| rest.split_once("\nstarts "))
            .filter(|(_, starts)| starts.trim_end().parse::<u64>().is_ok_and(|n| n >= 1))
            .and_then(|(number, _)| number.parse::<u64>().ok());
        // It is written before the first signature for a checkpoint: never behind, at most one ahead.
        assert!(
            promised.is_some_and(|promised| (1..=checkpoints + 1).contains(&promised)),
            "{state}"
        );
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
    let copied = RoleKey::parse(Role::Finaliser, fs::read_to_string(&copy).unwrap().trim());
    let copied = BTreeSet::from([copied.unwrap().public().key()]);
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
    let foreign = format!("votenode finaliser state 1\nnetwork {foreign}\ncheckpoint 7\n");
    for state in [&b"garbage"[..], b"", b"\xff\xfe\x00", foreign.as_bytes()] {
        fs::write(state_of(key), state).unwrap();
        finaliser_ends(&scene, &network, key)
            .expect(2)
            .says("key.state is damaged, or another network's");
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

    // With all of it right the node finalises.
    let flags = ["--finaliser-key", key.to_str().unwrap()];
    let node = Node::on_loopback(&scene, "node", &network, &[], &flags);
    let voter = Voter::on_loopback(&scene, "ada", &network, &node.address());
    assert_eq!(voter.does(&["register"])["state"], "final");
    assert!(state_of(key).exists());
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
