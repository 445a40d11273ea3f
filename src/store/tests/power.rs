//! Power cuts at every single operation of a recorded run: whatever the disk had not synced is there, gone or torn, and
//! the store opens with exactly what was committed.
//!
//! `VOTENODE_TEST_CUTS=all` takes every cut of the long run too, with more ways to lose something at each
//! (`just power-cuts`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check::check;
use super::model::{Model, WORLD, mix, small};
use crate::store::{Expect, Journal, Loss, MemoryDisk, Replay, Snapshot, Store, StoreConfig};

/// A run of the store on a disk with a journal.
struct Run {
    journal: Journal,
    /// What the store holds, and how many operations the disk had done when the commit that led there returned.
    states: Vec<(usize, Model)>,
}

/// Makes blocks, reorganisations across and below what is flushed, changes of the pool and checkpoints; ends the process
/// once without a word, and at last in order.
fn record(steps: u64, seed: u64) -> Run {
    let disk = MemoryDisk::default();
    let open = || Store::open_memory(&disk, Expect::Genesis(&WORLD.network), small()).unwrap();
    let mut store = open();
    // The file of a new store has another name until it is whole.
    disk.start_journal();
    let mut states = vec![(0, Model::new())];
    for step in 0..steps {
        let model = &states.last().unwrap().1;
        let random = mix(seed * 1_000 + step);
        let (after, commit) = match random % 6 {
            0 => model.pooled(random),
            1 => model.switched(random % 11, 1 + random % 9, random),
            2 => {
                let (after, commit) = model.switched(0, random % 2, random);
                after.certified(commit, random)
            }
            _ => model.switched(0, 1 + random % 3, random),
        };
        store.commit(commit).unwrap();
        states.push((disk.operations(), after));
        if step == steps / 2 {
            drop(store);
            store = open();
        }
    }
    assert!(store.snapshot().flushed_height() > 0);
    store.close().unwrap();
    Run {
        journal: disk.journal(),
        states,
    }
}

fn holds(snapshot: &Snapshot, model: &Model) -> bool {
    let last = snapshot.last_certificate().unwrap();
    snapshot.tip().id == model.tip().id
        && snapshot.pending_count().unwrap() == model.pending.len() as u64
        && last.map_or(0, |last| last.height) == model.final_height()
        && snapshot.finality_log().unwrap() == model.log
}

/// Opens what a cut left, with every checksum read, and compares it with what has to be there: what the last commit left
/// that had returned, or the one that ran. Then the store has to go on.
fn reopen(disk: &MemoryDisk, may_hold: &[(usize, Model)]) -> Result<(), String> {
    let checked = StoreConfig {
        check_on_open: true,
        ..small()
    };
    let network = WORLD.network.id();
    let mut store = Store::open_memory(disk, Expect::Network(&network), checked)
        .map_err(|error| error.to_string())?;
    let snapshot = store.snapshot();
    let (_, model) = may_hold
        .iter()
        .find(|(_, model)| holds(&snapshot, model))
        .ok_or_else(|| format!("at height {}, which is neither", snapshot.tip().height))?;
    check(&snapshot, model);
    drop(snapshot);
    let (after, commit) = model.switched(1, 2, 5);
    store.commit(commit).map_err(|error| error.to_string())?;
    check(&store.snapshot(), &after);
    Ok(())
}

impl Run {
    /// What may be on the disk after so many operations.
    fn may_hold(&self, operations: usize) -> &[(usize, Model)] {
        let returned = self.states.partition_point(|(at, _)| *at <= operations);
        &self.states[returned - 1..self.states.len().min(returned + 1)]
    }

    /// Cuts the power at every `stride`-th operation. Gives the number of disks that were opened.
    fn cut(&self, stride: usize, seeds: u64) -> usize {
        let mut opened = 0;
        let mut replay = self.journal.replay();
        loop {
            if replay.done().is_multiple_of(stride) {
                for loss in losses(&replay, seeds) {
                    let survivor = replay.survivor(loss);
                    if let Err(error) = reopen(&survivor, self.may_hold(replay.done())) {
                        let cut = replay.done();
                        panic!("a cut at operation {cut} with {loss:?}: {error}");
                    }
                    opened += 1;
                }
            }
            if !replay.step() {
                return opened;
            }
        }
    }
}

/// What may have been lost now: sectors, pages, and pieces that no disk has.
fn losses(replay: &Replay<'_>, seeds: u64) -> Vec<Loss> {
    let mut losses = vec![Loss::Nothing];
    if replay.is_unsynced() {
        losses.push(Loss::Everything);
        losses.extend((0..seeds).map(|number| Loss::Some {
            seed: replay.done() as u64 * seeds + number,
            piece: [512, 97, 4096, 1, 1013][(replay.done() as u64 + number) as usize % 5],
        }));
    }
    losses
}

fn everything() -> bool {
    std::env::var("VOTENODE_TEST_CUTS").is_ok_and(|cuts| cuts == "all")
}

#[test]
fn after_a_cut_at_every_operation_of_a_run_what_was_committed_is_there() {
    let run = record(8, 3);
    let opened = run.cut(1, if everything() { 8 } else { 1 });
    println!("{} operations, {opened} disks opened", run.journal.len());
    assert!(opened > 2 * run.journal.len());
}

#[test]
fn after_a_cut_anywhere_in_a_long_run_what_was_committed_is_there() {
    let run = record(60, 1);
    let (stride, seeds) = if everything() { (1, 5) } else { (61, 2) };
    let opened = run.cut(stride, seeds);
    println!("{} operations, {opened} disks opened", run.journal.len());
    assert!(opened > run.journal.len() / stride);
}

/// If these tests could not fail, they would not notice a disk that lies either.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let mut run = record(8, 3);
    run.journal = run.journal.without_syncs();
    let (mut older, mut damaged, mut fine) = (0, 0, 0);
    let mut replay = run.journal.replay();
    while replay.step() {
        let cut = replay.done();
        for loss in [
            Loss::Everything,
            Loss::Some {
                seed: cut as u64,
                piece: 512,
            },
        ] {
            let survivor = replay.survivor(loss);
            let outcome = catch_unwind(AssertUnwindSafe(|| reopen(&survivor, run.may_hold(cut))));
            match outcome {
                Ok(Ok(())) => fine += 1,
                Ok(Err(error)) if error.contains("neither") => older += 1,
                _ => damaged += 1,
            }
        }
    }
    println!("{older} without what was committed, {damaged} damaged, {fine} unharmed");
    assert!(older > 100 && damaged > 100, "{older} {damaged}");
}
