//! Everything at once, on a LAN of seven machines, four of which finalise: processes are killed, frozen and restarted,
//! cables pulled and narrowed, the network is split, disks fill up, clocks go wrong, while people vote all the time. Then
//! everything heals by itself, and what was seen on the way is compared with what is left.

mod ballots;
mod check;
mod ending;
mod faults;
mod history;
mod voters;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use votenode::chain::network::Network;
use votenode::genesis;

use self::ballots::People;
use self::check::{Account, Fate};
use self::faults::{Machine, Storm, say};
use self::history::{Answer, Event, now_ms};
use self::voters::Town;
use self::watch::{Noticed, Watcher};
use crate::harness::checkpoints::CONVICTION;
use crate::harness::clock::{self, Clock};
use crate::harness::disk::Disk;
use crate::harness::http::Http;
use crate::harness::isolate::{isolated, skip};
use crate::harness::lan::Lan;
use crate::harness::node::Node;
use crate::harness::scene::Scene;
use crate::harness::seed::{Dice, SEED, variable};
use crate::harness::within;

/// For how many seconds things go wrong, for the long form of the test.
const SECONDS: &str = "VOTENODE_TEST_CHAOS_SECONDS";
/// Seconds where that does not say.
const FEW_SECONDS: u64 = 60;

const MACHINES: usize = 7;
const FINALISERS: usize = 4;
/// Machines whose clock can be set wrong, from 0: a finaliser and one that only follows.
const WRONG_CLOCKS: [usize; 2] = [3, 6];
/// Size of each machine's disk. What is not used costs nothing.
const DISK: &str = "64m";
/// Queues of people.
const QUEUES: u64 = 4;
/// How long polls are open: so that some close while things go wrong.
const SPAN: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));
/// How long the healing may take on a machine that has much else to do.
pub const HEALING: Duration = Duration::from_secs(600);

/// Words that no node may have logged, whatever happened to it.
const NEVER_SAID: [&str; 4] = [
    CONVICTION,
    "another node uses the same key",
    "contradict",
    "panicked",
];

const NAME: &str =
    "chaos::whatever_goes_wrong_nothing_acknowledged_is_lost_and_nothing_final_reverts";

#[test]
fn whatever_goes_wrong_nothing_acknowledged_is_lost_and_nothing_final_reverts() {
    match clock::library() {
        Ok(library) => isolated(NAME, || run(&library)),
        Err(missing) => skip(NAME, &missing),
    }
}

fn run(faketime: &clock::Preload) {
    let (seconds, seed) = (variable(SECONDS, FEW_SECONDS), variable(SEED, 1));
    println!("{SECONDS}={seconds} {SEED}={seed}");
    let begun = Instant::now();
    // The last host is the voters'.
    let lan = Lan::new(MACHINES + 1);
    let scene = Scene::new();
    let (genesis, keys) = scene.finalising("club", FINALISERS);
    let network = Network::new(genesis::read(&genesis).unwrap()).unwrap();
    let mut machines = start(&scene, &lan, &genesis, &keys, faketime);
    let nodes: Vec<Http> = machines.iter().map(|machine| machine.http).collect();
    let town = Town::new(&network, nodes.clone());
    let noticed = Noticed::default();
    let watcher = |node| Watcher::new(node, &town, &noticed);

    let span = Duration::from_secs(seconds / 2).clamp(SPAN.0, SPAN.1);
    let (calm, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let counts = thread::scope(|scope| {
        let (_over, _calm) = (Raised(&over), Raised(&calm));
        let (town, calm, over) = (&town, &calm, &over);
        for node in 0..MACHINES {
            let mut watcher = watcher(node);
            scope.spawn(move || watcher.watch(over));
        }
        let mut voters = vec![scope.spawn(move || voters::ask(town, seed, span, calm))];
        for queue in 1..=QUEUES {
            let seed = seed.wrapping_add(queue << 32);
            voters.push(scope.spawn(move || voters::queue(town, seed, calm)));
        }
        let people = People {
            scene: &scene,
            place: lan.host(MACHINES + 1),
            genesis: &genesis,
            town,
        };
        voters.push(scope.spawn(move || people.come(seed, calm)));
        let storm = Storm::new(
            &mut machines,
            &lan,
            &town.history,
            &noticed,
            Dice::new(seed),
        );
        let counts = storm.rage(Duration::from_secs(seconds));
        say("everything is mended");
        calm.store(true, Ordering::SeqCst);
        for voter in voters {
            voter.join().unwrap();
        }
        until_healed(&machines, town.last_close_ms());
        say("healed");
        counts
    });
    for node in 0..MACHINES {
        // What nobody has seen final there yet is so now, or is not there any more.
        for tx in town.open.at(node) {
            watcher(node).ask(&tx).unwrap();
        }
    }

    let endings = machines
        .iter()
        .map(|machine| ending::of(&scene, &genesis, &machine.node, machine.http));
    let account = Account {
        endings: endings.collect(),
        history: town.history.entries(),
        grace_ms: network.close_grace_ms,
    };
    summary(&account, &town, &noticed);
    println!("{counts:?} with seed {seed} in {:?}", begun.elapsed());
    let violations = account.violations();
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    for machine in &machines {
        let log = machine.node.log();
        for words in NEVER_SAID {
            assert!(!log.contains(words), "{}: {words}", machine.node.name());
        }
    }
    assert!(town.twice.load(Ordering::SeqCst) > 0, "nobody voted twice");
    for machine in &mut machines {
        machine.node.terminate().expect(0);
    }
}

/// Starts a node on every machine but the last, each with a small disk and a cable to its console; the first ones finalise.
fn start<'s>(
    scene: &'s Scene,
    lan: &Lan,
    genesis: &Path,
    keys: &[PathBuf],
    faketime: &clock::Preload,
) -> Vec<Machine<'s>> {
    let machine = |index: usize| {
        let (host, name) = (index + 1, format!("node{}", index + 1));
        let home = scene.home(&name);
        let disk = Disk::mount(&home, DISK);
        let http = format!("{}:7118", lan.console(host));
        let mut flags = vec!["--network", genesis.to_str().unwrap(), "--http", &http];
        // The console is no way from node to node.
        let listen = format!("/ip4/10.77.0.{host}/tcp/7117,/ip4/10.77.0.{host}/udp/7117/quic-v1");
        let listen: Vec<&str> = listen.split(',').collect();
        flags.extend(listen.iter().flat_map(|address| ["--listen", address]));
        let key = keys.get(index).map(|key| {
            // On the disk that fills up, like what the finaliser notes beside it.
            let moved = home.join("finaliser.key");
            fs::copy(key, &moved).unwrap();
            moved
        });
        if let Some(key) = &key {
            flags.extend(["--finaliser-key", key.to_str().unwrap()]);
        }
        let clock = WRONG_CLOCKS
            .contains(&index)
            .then(|| Clock::new(faketime.clone(), scene.path(&format!("{name}.clock"))));
        let variables = clock.as_ref().map(Clock::variables).unwrap_or_default();
        Machine {
            node: Node::at_rest(scene, lan.host(host), &name, &flags, variables),
            http: Http::at(http.parse().unwrap()),
            disk,
            clock,
        }
    };
    let mut machines: Vec<Machine<'_>> = (0..MACHINES).map(machine).collect();
    for machine in &mut machines {
        machine.node.begin();
    }
    for machine in &mut machines {
        machine.node.until_answers();
        machine.node.until_peers(MACHINES as u64 - 1);
    }
    machines
}

/// Waits until all nodes have one tip, nothing waits, all of it is final, and every election that is in the chain too.
fn until_healed(machines: &[Machine<'_>], last_close_ms: u64) {
    let is_healed = |http: &Http| -> Result<String, String> {
        let status = http.read("/api/v1/status")?;
        let elections = http.read("/api/v1/elections?limit=100")?;
        let waiting = status["mempool"]["transactions"].as_object().unwrap();
        let elections = elections["elections"].as_array().unwrap();
        let is_idle = waiting.values().all(|count| count == 0);
        let is_final = status["finality"]["block"] == status["tip"]["id"];
        let are_closed = elections
            .iter()
            .all(|election| election["phase"] == "final");
        match is_idle && is_final && are_closed && now_ms() > last_close_ms {
            true => Ok(status["tip"]["id"].to_string()),
            false => Err(format!("{}: {status}", http.address())),
        }
    };
    within(HEALING, "one end, and all of it final", || {
        for machine in machines {
            assert!(machine.node.runs(), "{} is down", machine.node.name());
        }
        let tips = machines.iter().map(|machine| is_healed(&machine.http));
        let tips = tips.collect::<Result<BTreeSet<String>, _>>()?;
        match tips.len() {
            1 => Ok(()),
            _ => Err(format!("{tips:?}")),
        }
    });
}

/// Prints what there was.
fn summary(account: &Account, town: &Town<'_>, noticed: &Noticed) {
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ends = 0;
    for entry in &account.history {
        match &entry.event {
            Event::Answered { answer, .. } => {
                let name = match answer {
                    Answer::Accepted => "accepted",
                    Answer::Duplicate => "duplicate",
                    Answer::Rejected(_) => "rejected",
                    Answer::Busy => "busy",
                    Answer::Silence => "no answer",
                };
                *answers.entry(name).or_default() += 1;
            }
            Event::Ended => ends += 1,
            Event::Seen { .. } | Event::Checkpoint { .. } => {}
        }
    }
    let mut fates: BTreeMap<&str, usize> = BTreeMap::new();
    for fate in account.fates().values() {
        let name = match fate {
            Fate::Included => "included",
            Fate::Displaced => "displaced by another of the same voter",
            Fate::Late => "reported as too late",
            Fate::Lost(_) => "lost",
        };
        *fates.entry(name).or_default() += 1;
    }
    let ending = &account.endings[0];
    let votes: u64 = ending.results.values().map(|result| result.votes).sum();
    println!(
        "answers {answers:?}; acknowledged {fates:?}; {:?} handed in twice, {:?} proved by ballot; {} blocks, {} checkpoints, {} elections, {votes} votes; \
         processes ended {ends} times; looks that showed {:?}",
        town.twice,
        town.proved,
        ending.chain.len(),
        ending.checkpoint.0,
        ending.results.len(),
        noticed.totals(),
    );
}

/// Raises a flag when it goes, however that comes about: whoever waits for it does not wait in vain.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
