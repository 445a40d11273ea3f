//! Where an attack happens: the victim, an honest neighbour and honest clients, and what has to hold afterwards.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use votenode::chain::genesis::{Genesis, Organiser};
use votenode::chain::network::Network;
use votenode::crypto::{Hash, SigningKey};
use votenode::genesis::{self, Parameters};
use votenode::wire::Text;
use votenode_p2p::{Multiaddr, PeerId};

use crate::harness::DEADLINE;
use crate::harness::node::Node;
use crate::harness::scene::{Scene, quick};
use crate::honest::Honest;

/// Most memory that the victim may have held at any moment, in MiB. A node at rest holds some 50.
pub const MEMORY_MIB: u64 = 384;
/// Most files and sockets that the victim may have open at the end of an attack: its connection limits and some.
pub const OPEN_FILES: usize = 400;
/// Most lines that the victim may log during an attack, whatever its length.
pub const LOG_LINES: usize = 300;
/// Age of the genesis block: room for chains that were mined "before".
pub const AGE: Duration = Duration::from_secs(24 * 3600);
/// Zero bits of stamps on registrations.
pub const STAMP_BITS: u8 = 4;

/// How much longer than in its shortest form an attack is.
pub fn scale() -> usize {
    match std::env::var("VOTENODE_ATTACK_SCALE") {
        Ok(text) => text.parse().expect("VOTENODE_ATTACK_SCALE is a number"),
        Err(_) => 1,
    }
}

/// The organiser of every network here; attackers may be organisers, too.
pub fn organiser() -> SigningKey {
    SigningKey::from_seed(&[101; 32])
}

/// Work that costs a test little: one hash in 64.
fn easy() -> Hash {
    Hash::from_bytes(std::array::from_fn(
        |byte| if byte == 0 { 0x03 } else { 0xff },
    ))
}

/// A network whose genesis block is a day old, with an organiser and [`STAMP_BITS`].
pub fn genesis_with(change: impl FnOnce(&mut Parameters)) -> Genesis {
    let mut parameters = Parameters {
        target: Some(easy()),
        open_stamp_bits: Some(STAMP_BITS),
        organisers: vec![Organiser {
            key: organiser().public_key(),
            permissions: Organiser::INVITE | Organiser::OPEN_ELECTIONS,
            name: Text::new("organiser").unwrap(),
        }],
        ..quick("attacked")
    };
    change(&mut parameters);
    parameters.build(now_ms() - millis(AGE)).unwrap()
}

/// The wall clock in Unix milliseconds.
pub fn now_ms() -> u64 {
    millis(UNIX_EPOCH.elapsed().unwrap())
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap()
}

/// A victim with a neighbour.
pub struct Arena<'s> {
    scene: &'s Scene,
    pub network: Arc<Network>,
    file: PathBuf,
    pub victim: Node<'s>,
    pub neighbour: Node<'s>,
    /// Where the victim listens.
    pub address: Multiaddr,
    /// Who the victim is.
    pub peer: PeerId,
    still: bool,
}

impl<'s> Arena<'s> {
    /// A network whose nodes mine.
    pub fn open(scene: &'s Scene) -> Self {
        Self::with(scene, genesis_with(|_| {}), &[], &[])
    }

    /// One whose chain stands still until the attack is over.
    pub fn still(scene: &'s Scene, genesis: Genesis) -> Self {
        Self::with(scene, genesis, &["--no-mine"], &["--no-mine"])
    }

    /// One where the victim alone mines.
    pub fn victim_mines(scene: &'s Scene, genesis: Genesis) -> Self {
        Self::with(scene, genesis, &[], &["--no-mine"])
    }

    fn with(scene: &'s Scene, genesis: Genesis, victim: &[&str], neighbour: &[&str]) -> Self {
        let file = scene.path("attacked.toml");
        genesis::write(&file, &genesis).unwrap();
        let still = !victim.is_empty();
        let victim = Node::on_loopback(scene, "victim", &file, &[], victim);
        let neighbour = Node::on_loopback(scene, "neighbour", &file, &[&victim], neighbour);
        victim.until_peers(1);
        let status = victim.status();
        Self {
            scene,
            network: Arc::new(Network::new(genesis).unwrap()),
            file,
            address: victim.address().parse().unwrap(),
            peer: status["peer_id"].as_str().unwrap().parse().unwrap(),
            victim,
            neighbour,
            still,
        }
    }

    /// Does something before the attack.
    pub fn prepare(&self, what: impl AsyncFnOnce(&Self)) {
        runtime().block_on(what(self));
    }

    /// Runs an attack while honest people do what they came for, and checks that it did no harm.
    ///
    /// `told` is what the victim's log says of it.
    pub fn withstands(&self, told: &[&str], attack: impl AsyncFnOnce(&Self)) {
        let before = self.victim.log().lines().count();
        runtime().block_on(async {
            let honest = Honest::begin(self).await;
            attack(self).await;
            let honest = honest.rest().await;
            self.check(before, told);
            // Somebody mines at last where nobody did.
            let _miner = self
                .still
                .then(|| Node::on_loopback(self.scene, "miner", &self.file, &[&self.victim], &[]));
            let registered = honest.all_included().await;
            for node in [&self.victim, &self.neighbour] {
                node.until("everybody who was accepted", |status| {
                    status["tip"]["roll_size"].as_u64() >= Some(registered)
                });
            }
        });
    }

    /// What has to hold of the victim once an attack is over.
    fn check(&self, lines_before: usize, told: &[&str]) {
        let pid = self.victim.pid();
        let peak = peak_mib(pid);
        assert!(peak <= MEMORY_MIB, "the victim held {peak} MiB");
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count();
        assert!(open <= OPEN_FILES, "the victim has {open} files open");
        let log = self.victim.log();
        let lines: Vec<&str> = log.lines().skip(lines_before).collect();
        let count = lines.len();
        assert!(count <= LOG_LINES, "the victim logged {count} lines");
        for words in told {
            let said = lines.iter().any(|line| line.contains(words));
            assert!(said, "the victim does not say '{words}': {lines:#?}");
        }
        assert!(!log.contains("panicked"), "the victim panicked");
        println!("peak {peak} MiB, {open} files, {count} lines");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// The most memory that a process held at any moment so far, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

/// Waits until something is so; panics if it does not come to be.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, wait).await;
    assert!(in_time.is_ok(), "waited {DEADLINE:?} for {what}");
}
