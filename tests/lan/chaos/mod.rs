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
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use votenode::chain::network::Network;
use votenode::genesis;

use self::ballots::People;
use self::check::{Account, Fate};
use self::faults::{Kind, Machine, Storm, say};
use self::history::{Answer, Event, History, now_ms};
use self::voters::{Question, Town};
use self::watch::{Noticed, Open, Watcher};
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
const FEW_SECONDS: u64 = 30;

const MACHINES: usize = 7;
const FINALISERS: usize = 4;
/// Machines whose clock can be set wrong, from 0: a finaliser and one that only follows.
const WRONG_CLOCKS: [usize; 2] = [3, 6];
/// Size of each machine's disk, in MiB: a tmpfs, so that what is not used costs nothing.
const DISK_MIB: u64 = 64;
/// Queues of people.
const QUEUES: u64 = 4;
/// How long polls are open: so that some close while things go wrong.
const SPAN: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));
/// How long the healing may take on a machine that has much else to do.
const HEALING: Duration = Duration::from_secs(600);

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

fn run(faketime: &std::path::Path) {
    let (seconds, seed) = (variable(SECONDS, FEW_SECONDS), variable(SEED, 1));
    println!("{SECONDS}={seconds} {SEED}={seed}");
    // The last host is the voters'.
    let lan = Lan::new(MACHINES + 1);
    let scene = Scene::new();
    let (genesis, keys) = scene.finalising("club", FINALISERS);
    let network = Network::new(genesis::read(&genesis).unwrap()).unwrap();
    let mut machines: Vec<Machine<'_>> = Vec::new();
    let mut nodes: Vec<Http> = Vec::new();
    for index in 0..MACHINES {
        let (host, name) = (index + 1, format!("node{}", index + 1));
        let http = format!("{}:7118", lan.console(host));
        nodes.push(Http::at(http.parse().unwrap()));
        let home = scene.home(&name);
        let disk = Disk::mount(&home, DISK_MIB);
        let listen = format!("/ip4/10.77.0.{host}/tcp/7117");
        let quic = format!("/ip4/10.77.0.{host}/udp/7117/quic-v1");
        let mut flags = vec!["--network", genesis.to_str().unwrap(), "--http", &http];
        flags.extend(["--listen", &listen, "--listen", &quic]);
        let key = keys.get(index).map(|key| {
            // On the disk that fills up, with what the finaliser notes beside it.
            let moved = home.join("finaliser.key");
            std::fs::copy(key, &moved).unwrap();
            moved
        });
        if let Some(key) = &key {
            flags.extend(["--finaliser-key", key.to_str().unwrap()]);
        }
        let clock = WRONG_CLOCKS.contains(&index).then(|| {
            let file = scene.path(&format!("{name}.clock"));
            Clock::new(faketime.to_owned(), file)
        });
        let variables = clock.as_ref().map(Clock::variables).unwrap_or_default();
        let node = Node::at_rest(&scene, lan.host(host), &name, &flags, variables);
        machines.push(Machine { node, disk, clock });
    }
    for machine in &mut machines {
        machine.node.begin();
    }
    for machine in &mut machines {
        machine.node.until_answers();
        machine.node.until_peers(MACHINES as u64 - 1);
    }

    let (history, open, noticed) = (History::default(), Open::default(), Noticed::default());
    let questions = Mutex::default();
    let (twice, proved) = (AtomicUsize::default(), AtomicUsize::default());
    let town = Town {
        network: &network,
        nodes: &nodes,
        history: &history,
        open: &open,
        questions: &questions,
        twice: &twice,
        proved: &proved,
    };
    let watcher = |node: usize| Watcher {
        node,
        http: nodes[node],
        history: &history,
        open: &open,
        noticed: &noticed,
        noted: BTreeSet::new(),
        newest: None,
    };
    let span = Duration::from_secs(seconds / 2).clamp(SPAN.0, SPAN.1);
    let begun = Instant::now();
    let (calm, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let counts = thread::scope(|scope| {
        let _over = Raised(&over);
        let _calm = Raised(&calm);
        for node in 0..MACHINES {
            let mut watcher = watcher(node);
            let over = &over;
            scope.spawn(move || watcher.watch(over));
        }
        let (town, calm) = (&town, &calm);
        scope.spawn(move || voters::ask(town, seed, span, calm));
        for queue in 1..=QUEUES {
            scope.spawn(move || voters::queue(town, seed.wrapping_add(queue << 32), calm));
        }
        let people = People {
            scene: &scene,
            place: lan.host(MACHINES + 1),
            genesis: &genesis,
            town,
        };
        scope.spawn(move || people.come(seed, calm));
        let storm = Storm::new(&mut machines, &lan, &history, Dice::new(seed));
        let counts = storm.rage(Duration::from_secs(seconds));
        say("everything is mended");
        calm.store(true, Ordering::SeqCst);
        until_healed(&nodes, &machines, &questions);
        counts
    });
    say("healed");
    for node in 0..MACHINES {
        // What nobody has seen final yet is, or is not there any more.
        for tx in open.at(node) {
            watcher(node).ask(&tx).unwrap();
        }
    }
    let endings = machines
        .iter()
        .zip(&nodes)
        .map(|(machine, http)| ending::of(&scene, &genesis, &machine.node, *http))
        .collect();
    let account = Account {
        history: history.entries(),
        endings,
        grace_ms: network.close_grace_ms,
    };
    summary(&account, &noticed, begun.elapsed());
    println!("{counts:?}, seed {seed}; {proved:?} proved by ballot, {twice:?} second votes");

    for machine in &machines {
        let log = machine.node.log();
        for words in NEVER_SAID {
            assert!(!log.contains(words), "{}: {words}", machine.node.name());
        }
    }
    let violations = account.violations();
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    for kind in Kind::ALL {
        assert!(counts.get(&kind) > Some(&0), "no {kind:?}");
    }
    assert!(twice.load(Ordering::SeqCst) > 0, "nobody voted twice");
    for machine in &mut machines {
        machine.node.terminate().expect(0);
    }
}

/// Waits until all nodes have one tip, nothing waits, all of it is final, and every election that is in the chain too.
fn until_healed(nodes: &[Http], machines: &[Machine<'_>], questions: &Mutex<Vec<Question>>) {
    let last_close_ms = questions
        .lock()
        .unwrap()
        .iter()
        .map(|question| question.closes_at_ms)
        .max()
        .unwrap();
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
        let tips: BTreeSet<String> = nodes.iter().map(is_healed).collect::<Result<_, _>>()?;
        match tips.len() {
            1 => Ok(()),
            _ => Err(format!("{tips:?}")),
        }
    });
}

/// Prints what there was.
fn summary(account: &Account, noticed: &Noticed, took: Duration) {
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
            Fate::Unsaid => "too late, at a node that ended",
            Fate::Lost(_) => "lost",
        };
        *fates.entry(name).or_default() += 1;
    }
    let ending = &account.endings[0];
    let votes: u64 = ending.results.values().map(|result| result.votes).sum();
    println!(
        "{took:?}: answers {answers:?}; acknowledged {fates:?}; {} blocks, {} checkpoints, {} elections, {votes} votes; \
         processes ended {ends} times; {noticed:?}",
        ending.chain.len(),
        ending.checkpoint.0,
        ending.results.len(),
    );
}

/// Raises a flag when it goes, however that comes about: whoever waits for it does not wait in vain.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
