//! Finalisers as processes: killed at random instants, restored from a copy, run twice with one key, given the wrong
//! files.

mod files;
mod restored;

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
use crate::harness::node::{Node, until_one_tip};
use crate::harness::scene::Scene;
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

fn public(key: &Path) -> PublicKey {
    let text = fs::read_to_string(key).unwrap();
    let key = RoleKey::parse(Role::Finaliser, text.trim()).unwrap();
    key.public().key()
}
