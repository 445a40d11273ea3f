//! Random histories: blocks, reorganisations across and below the flushed block, the pool, crashes and restarts.

use proptest::prelude::*;

use super::check::check;
use super::model::{Model, WORLD, small};
use crate::chain::state::View as _;
use crate::store::{Expect, MemoryDisk, Snapshot, Store, Validity};

#[derive(Clone, Debug)]
enum Step {
    /// Blocks leave and others join.
    Switch { back: u64, count: u64, seed: u64 },
    /// The pool changes.
    Pool { seed: u64 },
    /// A block becomes final, with the blocks that come in the same commit, and the log of the engine changes.
    Certify { count: u64, seed: u64 },
    /// The process ends without a word and starts again.
    Crash,
    /// The process ends in order and starts again.
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64, 0..1u64 << 60).prop_map(|(count, seed)| Step::Switch { back: 0, count, seed }),
        4 => (0..14u64, 0..6u64, 0..1u64 << 60)
            .prop_map(|(back, count, seed)| Step::Switch { back, count, seed }),
        2 => (0..1u64 << 60).prop_map(|seed| Step::Pool { seed }),
        1 => (0..2u64, 0..1u64 << 60).prop_map(|(count, seed)| Step::Certify { count, seed }),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_reads_like_the_model(steps in prop::collection::vec(step(), 1..24)) {
        let disk = MemoryDisk::default();
        let open = || Store::open_memory(&disk, Expect::Genesis(&WORLD.network), small()).unwrap();
        let mut store = open();
        let mut model = Model::new();
        let mut older: Option<(Snapshot, Model)> = None;
        for step in steps {
            match step {
                Step::Switch { back, count, seed } => {
                    let (after, commit) = model.switched(back, count, seed);
                    store.commit(commit).unwrap();
                    model = after;
                }
                Step::Pool { seed } => {
                    let (after, commit) = model.pooled(seed);
                    store.commit(commit).unwrap();
                    model = after;
                }
                Step::Certify { count, seed } => {
                    let (after, commit) = model.switched(0, count, seed);
                    let (after, commit) = after.certified(commit, seed);
                    store.commit(commit).unwrap();
                    model = after;
                }
                Step::Crash => {
                    older = None;
                    drop(store);
                    store = open();
                }
                Step::Close => {
                    older = None;
                    store.close().unwrap();
                    store = open();
                    prop_assert!(store.was_closed());
                }
            }
            check(&store.snapshot(), &model);
            // What was read before stays as it was.
            if let Some((snapshot, model)) = &older {
                check(snapshot, model);
            }
            older = Some((store.reader().snapshot(), model.clone()));
        }
    }
}

#[test]
fn a_deep_reorganisation_gives_back_what_it_takes_and_the_way_back_too() {
    let (mut store, trunk) = super::model::grown(30, small());
    check(&store.snapshot(), &trunk);
    let flushed = store.snapshot().flushed_height();
    assert!(flushed > 20, "{flushed}");
    assert!(store.snapshot().counts().votes > 20);
    assert!(store.snapshot().counts().elections == 2);
    assert!(store.snapshot().counts().voters > 20);
    assert!(trunk.tip().state.set_changes().unwrap() == 2);
    assert!(trunk.tip().state.conviction_count().unwrap() > 4);

    let (branch, commit) = trunk.switched(29, 40, 7);
    store.commit(commit).unwrap();
    check(&store.snapshot(), &branch);

    // Back to the trunk, whose headers and bodies are here.
    let commit = crate::store::Commit {
        chain: Some(crate::store::Switch {
            rewind_to: 1,
            append: trunk.main[2..]
                .iter()
                .map(|block| block.appended())
                .collect(),
        }),
        ..Default::default()
    };
    store.commit(commit).unwrap();
    check(&store.snapshot(), &trunk);

    // The branch's blocks are still known, and can be forgotten.
    let off_main: Vec<_> = branch.main[2..].iter().map(|block| block.id).collect();
    for id in &off_main {
        let known = store.snapshot().block(id).unwrap().unwrap();
        assert_eq!(known.validity, Validity::Valid);
        assert!(known.body_len.is_some());
    }
    store
        .commit(crate::store::Commit {
            forget: off_main.clone(),
            ..Default::default()
        })
        .unwrap();
    for id in &off_main {
        assert_eq!(store.snapshot().block(id).unwrap(), None);
        assert_eq!(store.snapshot().body(id).unwrap(), None);
    }
    check(&store.snapshot(), &trunk);
}
