//! Certificates: which the store takes, and what they forbid from then on.

use redb::ReadableDatabase as _;

use super::check::check;
use super::model::{Model, WORLD, grown, small};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::testing;
use crate::store::{Commit, Expect, MemoryDisk, Store, StoreError, Switch, tables};

fn certify(store: &mut Store, certificates: Vec<CommitCertificate>) -> Result<(), StoreError> {
    store.commit(Commit {
        certificates,
        ..Commit::default()
    })
}

fn certificate(model: &Model, number: u64, height: usize) -> CommitCertificate {
    let block = model.main[height].id;
    testing::certificate(&WORLD.network, 0, number, block, &[1, 2, 3])
}

#[test]
fn certificates_are_taken_in_order_and_for_the_main_chain_only() {
    let (mut store, mut model) = grown(8, small());
    let (branch, _) = model.switched(3, 3, 77);
    let wrong = |store: &mut Store, certificates| {
        let result = certify(store, certificates);
        assert!(
            matches!(result, Err(StoreError::Inconsistent(_))),
            "{result:?}"
        );
    };
    for certificates in [
        vec![certificate(&model, 2, 3)],
        vec![certificate(&model, 0, 3)],
        vec![certificate(&model, 1, 0)],
        vec![certificate(&branch, 1, 6)],
        vec![certificate(&model, 1, 4), certificate(&model, 2, 4)],
        vec![certificate(&model, 1, 4), certificate(&model, 2, 3)],
        vec![certificate(&model, 1, 4), certificate(&model, 3, 5)],
    ] {
        wrong(&mut store, certificates);
        check(&store.snapshot(), &model);
    }
    let good = [certificate(&model, 1, 2), certificate(&model, 2, 5)];
    certify(&mut store, good.to_vec()).unwrap();
    model.checkpoints = [2, 5].into_iter().zip(good).collect();
    check(&store.snapshot(), &model);
    // A known side block, in a store that has it.
    let (_, commit) = model.switched(1, 2, 5);
    store
        .commit(Commit {
            blocks: commit.blocks.clone(),
            ..Commit::default()
        })
        .unwrap();
    let side = commit.blocks[1].id;
    let side = testing::certificate(&WORLD.network, 0, 3, side, &[1, 2, 3]);
    wrong(&mut store, vec![side.clone()]);
    // Once it is on the main chain, in the same commit, it is taken.
    store
        .commit(Commit {
            certificates: vec![side.clone()],
            ..commit
        })
        .unwrap();
    assert_eq!(
        store
            .snapshot()
            .last_certificate()
            .unwrap()
            .map(|last| (last.height, last.certificate)),
        Some((9, side))
    );
}

#[test]
fn no_reorganisation_crosses_a_checkpoint() {
    // Once within the tail, and once deep in the tables.
    for height in [6, 30] {
        let (mut store, mut model) = grown(height, small());
        let good = certificate(&model, 1, 4);
        let (before, deep) = model.switched(height - 3, 2, 1);
        certify(&mut store, vec![good.clone()]).unwrap();
        let result = store.commit(deep);
        assert!(matches!(result, Err(StoreError::Inconsistent(_))));
        assert_ne!(store.snapshot().tip().id, before.tip().id);
        model.checkpoints.push((4, good));
        check(&store.snapshot(), &model);
        let (after, down_to_it) = model.switched(height - 4, 2, 1);
        store.commit(down_to_it).unwrap();
        check(&store.snapshot(), &after);
        let nothing = Switch {
            rewind_to: 3,
            append: Vec::new(),
        };
        let result = store.commit(Commit {
            chain: Some(nothing),
            ..Commit::default()
        });
        assert!(matches!(result, Err(StoreError::Inconsistent(_))));
        check(&store.snapshot(), &after);
    }
}

#[test]
fn a_database_from_before_there_were_changes_of_finalisers_still_opens() {
    let disk = MemoryDisk::default();
    let open = || Store::open_memory(&disk, Expect::Genesis(&WORLD.network), small()).unwrap();
    let mut store = open();
    {
        let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
        transaction.delete_table(tables::SET_CHANGES).unwrap();
        transaction.delete_table(tables::CONVICTIONS).unwrap();
        transaction.delete_table(tables::CONVICTED).unwrap();
        transaction.commit().unwrap();
    }
    store.close().unwrap();
    store = open();
    let names = |store: &Store| {
        let transaction = store.database.as_ref().unwrap().begin_read().unwrap();
        transaction.list_tables().unwrap().count()
    };
    let before = names(&store);
    let mut model = Model::new();
    for seed in 0..12 {
        let (after, commit) = model.switched(seed % 2, 2, seed);
        store.commit(commit).unwrap();
        model = after;
    }
    check(&store.snapshot(), &model);
    assert_eq!(names(&store), before + 3);
}
