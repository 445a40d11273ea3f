//! Power cuts at every operation of a node's disk: whatever the node had said before is still true when it comes back.
//!
//! `VOTENODE_TEST_CUTS=all` takes every cut, with more ways to lose something at each (`just power-cuts`).

use std::sync::Mutex;

use super::*;
use crate::audit;
use crate::chain::checkpoint::SignedFinalityMessage;
use crate::chain::genesis::Finaliser;
use crate::chain::transaction::TxId;
use crate::crypto::SigningKey;
use crate::export::stored_blocks;
use crate::node::simulated::host::Setup;
use crate::protocol::finality::FinalityGossip;
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;
use crate::store::{Expect, Journal, Loss, MemoryDisk, Snapshot, Store, StoreConfig};

/// What the node on the recorded disk said to others, and how many operations the disk had done by then.
struct Said {
    journal: Journal,
    accepted: Vec<(usize, TxId)>,
    /// Number of the last checkpoint that it vouched for.
    decided: Vec<(usize, u64)>,
    /// Proposals and votes with its key.
    signed: Vec<(usize, SignedFinalityMessage)>,
    /// Blocks that left its chain for others.
    reorganised: usize,
}

fn small() -> StoreConfig {
    StoreConfig {
        cache_bytes: 1024 * 1024,
        flush_depth: 3,
        flush_transactions: 10,
        flush_blocks: 5,
        tail_transactions: 60,
        check_on_open: true,
    }
}

fn finalising() -> Arc<Network> {
    let finaliser = |seed: u8| Finaliser {
        key: SigningKey::from_seed(&[seed; 32]).public_key(),
        power: 1,
        name: testing::text(&format!("F{seed}")),
    };
    let finalisers = (1..=4).map(finaliser).collect();
    network_with(|genesis| genesis.finalisers = List::new(finalisers).unwrap())
}

/// Lets a finaliser's node take registrations and votes, alone on a side of a split too, where its blocks lose; kills it
/// once; ends it in order.
fn record(network: &Arc<Network>) -> Said {
    let setup = |seed| Setup {
        finaliser: Some(seed),
        store: small(),
        ..Setup::default()
    };
    let mut net = Net::with(Arc::clone(network), (1..=4).map(setup).collect());
    net.hosts[0].disk.start_journal();
    net.run(100);
    let mut submissions = Vec::new();
    // What the host's store holds after a step, it may have told anybody who asked.
    let seen = Mutex::new((Vec::new(), 0, net.tip(0).1));
    let watch = |net: &Net| {
        let Some(running) = &net.hosts[0].running else {
            return;
        };
        let snapshot = running.node.store().snapshot();
        let mut seen = seen.lock().unwrap();
        let number = snapshot.last_certificate().unwrap();
        let number = number.map_or(0, |last| last.certificate.checkpoint);
        seen.0.push((net.hosts[0].disk.operations(), number));
        let left = !snapshot.is_main(&seen.2).unwrap();
        seen.1 += usize::from(left);
        seen.2 = snapshot.tip().id;
    };
    let mut submit = |net: &mut Net, transactions: Vec<Transaction>| {
        let ids: Vec<_> = transactions.iter().map(Transaction::id).collect();
        let number = net.submit_only(0, transactions);
        submissions.push((number, ids));
        net.until("an answer", 20_000, |net| {
            watch(net);
            net.hosts[0].answers.contains_key(&number)
        });
    };
    let calm = |net: &mut Net| {
        net.until("all final", 60_000, |net| {
            watch(net);
            let last = |host| {
                let snapshot = net.node(host).store().snapshot();
                let last = snapshot.last_certificate().unwrap();
                (snapshot.tip().id, last.map(|last| last.certificate.block))
            };
            net.one_tip()
                && (0..4).all(|host| {
                    net.node(host).mempool.is_empty() && last(host).1 == Some(last(host).0)
                })
        });
    };
    let register = |voters: std::ops::Range<u8>| -> Vec<Transaction> {
        voters
            .map(|voter| testing::register(network, voter))
            .collect()
    };
    submit(&mut net, register(1..8));
    calm(&mut net);
    let (id, opened) = election(&net, 0, 400_000);
    submit(&mut net, vec![opened]);
    calm(&mut net);
    let vote = |voter: u8| testing::vote(network, voter, id, &[voter % 3]);
    submit(&mut net, (1..4).map(vote).collect());
    calm(&mut net);
    // Alone it cannot finalise, and what it mines loses against what the others decide.
    net.partition(&[0], &[1, 2, 3]);
    submit(&mut net, (4..6).map(vote).collect());
    net.accept(1, register(20..24));
    let end_ms = net.now_ms + 8_000;
    net.until("time alone", 20_000, |net| {
        watch(net);
        net.now_ms > end_ms
    });
    net.heal();
    calm(&mut net);
    net.crash(0);
    net.start(0);
    submit(&mut net, (6..8).map(vote).collect());
    calm(&mut net);
    let running = net.hosts[0].running.take().unwrap();
    running.node.close().unwrap();

    let host = &net.hosts[0];
    let accepted = submissions.into_iter().flat_map(|(number, ids)| {
        assert!(
            host.answers[&number]
                .iter()
                .all(|outcome| *outcome == Outcome::Accepted {})
        );
        let at = host.answered_at[&number];
        ids.into_iter().map(move |id| (at, id))
    });
    let key = SigningKey::from_seed(&[1; 32]).public_key();
    let signed = net
        .published
        .iter()
        .filter(|published| published.by == 0 && published.topic == Topic::Finality)
        .flat_map(|published| {
            let messages = match wire::decode(&published.data) {
                Ok(FinalityGossip::Messages { messages }) => messages.into_vec(),
                _ => Vec::new(),
            };
            messages
                .into_iter()
                .map(|said| (published.operations, said))
        })
        .filter(|(_, said)| said.finaliser == key);
    let (decided, reorganised, _) = seen.into_inner().unwrap();
    Said {
        journal: host.disk.journal(),
        accepted: accepted.collect(),
        decided,
        signed: signed.collect(),
        reorganised,
    }
}

impl Said {
    /// Whether a store holds all that had been said before the cut, and only what the rules allow.
    fn holds(&self, network: &Arc<Network>, cut: usize, disk: &MemoryDisk) -> Result<(), String> {
        let store = Store::open_memory(disk, Expect::Genesis(network), small())
            .map_err(|error| error.to_string())?;
        let snapshot = store.snapshot();
        audit::audit(Arc::clone(network), stored_blocks(snapshot.clone()), |_| {})
            .map_err(|error| error.to_string())?;
        for (_, id) in self.accepted.iter().filter(|(at, _)| *at <= cut) {
            let waits = snapshot.pending(id).unwrap().is_some();
            if !waits && snapshot.inclusion(id).unwrap().is_none() {
                return Err(format!("accepted transaction {id} is gone"));
            }
        }
        let last = snapshot.last_certificate().unwrap();
        let last = last.map_or(0, |last| last.certificate.checkpoint);
        let decided = self.decided.iter().filter(|(at, _)| *at <= cut);
        let decided = decided.map(|(_, number)| *number).max().unwrap_or(0);
        if last < decided {
            return Err(format!("checkpoint {decided} is gone"));
        }
        self.remembers(&snapshot, cut, last)
    }

    /// Whether the log holds all that the key had signed for checkpoints that are still open: who forgets it may sign
    /// something else.
    fn remembers(&self, snapshot: &Snapshot, cut: usize, last: u64) -> Result<(), String> {
        let log = snapshot.finality_log().unwrap();
        let before = self.signed.iter().filter(|(at, _)| *at <= cut);
        for (_, said) in before.filter(|(_, said)| said.message.height > last) {
            let bytes = wire::encode(said);
            let logged = |entry: &Vec<u8>| entry.windows(bytes.len()).any(|part| part == bytes);
            if !log.iter().any(logged) {
                return Err(format!("forgot that it said {:?}", said.message));
            }
        }
        Ok(())
    }
}

/// Starts a node on what a cut left, alone: it must come up and hold on to the same things.
fn restart(network: &Arc<Network>, disk: MemoryDisk) -> Result<MemoryDisk, String> {
    let setup = Setup {
        mine: false,
        store: small(),
        ..Setup::default()
    };
    let mut net = Net::with(Arc::clone(network), vec![setup.clone()]);
    net.crash(0);
    net.hosts[0].disk = disk;
    net.start(0);
    net.run(1_000);
    let dropped = net.node(0).status().counters.dropped;
    net.crash(0);
    match dropped {
        0 => Ok(net.hosts[0].disk.clone()),
        _ => Err(format!("dropped {dropped} transactions")),
    }
}

#[test]
fn whatever_a_node_said_is_still_true_after_a_power_cut_at_any_operation() {
    let network = finalising();
    let said = record(&network);
    let count = said.journal.len();
    assert_eq!(said.accepted.len(), 15);
    assert!(said.signed.len() >= 10, "{} messages", said.signed.len());
    assert!(said.reorganised > 0, "nothing was reorganised");
    let all = std::env::var("VOTENODE_TEST_CUTS").is_ok_and(|cuts| cuts == "all");
    let (stride, seeds) = if all { (1, 4) } else { (23, 1) };
    let mut opened = 0;
    let mut replay = said.journal.replay();
    loop {
        let cut = replay.done();
        if cut.is_multiple_of(stride) {
            let random = (0..seeds).map(|number| Loss::Some {
                seed: cut as u64 * seeds + number,
                piece: [512, 97, 4096, 1013][(cut as u64 + number) as usize % 4],
            });
            for loss in [Loss::Nothing, Loss::Everything].into_iter().chain(random) {
                let survivor = replay.survivor(loss);
                let outcome = said
                    .holds(&network, cut, &survivor)
                    .and_then(|()| restart(&network, survivor))
                    .and_then(|disk| said.holds(&network, cut, &disk));
                if let Err(error) = outcome {
                    panic!("a cut at operation {cut} of {count} with {loss:?}: {error}");
                }
                opened += 1;
            }
        }
        if !replay.step() {
            break;
        }
    }
    println!("{count} operations, {opened} disks opened");

    // The same questions asked of a disk that lies about syncs have to find something.
    let lying = said.journal.clone().without_syncs();
    let mut replay = lying.replay();
    let mut gone = 0;
    while replay.step() {
        if replay.done().is_multiple_of(97) {
            let survivor = replay.survivor(Loss::Everything);
            let lost = said.holds(&network, replay.done(), &survivor);
            gone += usize::from(lost.is_err_and(|error| error.contains("gone")));
        }
    }
    assert!(gone > count / 97 / 2, "{gone}");
}
