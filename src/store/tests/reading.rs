//! Reading from other threads while the writer writes, and what else a node keeps.

use std::sync::atomic::{AtomicBool, Ordering};

use super::check::check;
use super::model::{grown, small};
use crate::chain::merkle::Tree;
use crate::chain::state::View as _;
use crate::chain::testing::START_MS;
use crate::store::{Commit, NewBlock, Reader, Snapshot, StateAt, Validity};

#[test]
fn readers_see_whole_commits_and_never_wait() {
    fn shareable<T: Send + Sync + Clone>() {}
    shareable::<Reader>();
    shareable::<Snapshot>();
    shareable::<StateAt>();

    let (mut store, mut model) = grown(5, small());
    let reader = store.reader();
    let done = AtomicBool::new(false);
    let mut seen = 0;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0u64;
                    while !done.load(Ordering::SeqCst) || seen == 0 {
                        let snapshot = reader.snapshot();
                        let header = snapshot.tip_header().clone();
                        assert_eq!(
                            snapshot.main_id(header.height).unwrap(),
                            Some(snapshot.tip().id)
                        );
                        let roll = snapshot.state().roll().unwrap();
                        assert_eq!(roll.root(), header.roll_root);
                        let body = snapshot.block_body(&snapshot.tip().id).unwrap().unwrap();
                        let leaves = body
                            .ids()
                            .iter()
                            .map(|id| Tree::Transactions.leaf(id.as_ref()));
                        assert_eq!(Tree::Transactions.root(leaves), header.transaction_root);
                        for id in body.ids() {
                            assert!(snapshot.inclusion(id).unwrap().is_some());
                        }
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        for seed in 0..40 {
            let (after, commit) = model.switched(seed % 7, 1 + seed % 7, seed);
            store.commit(commit).unwrap();
            model = after;
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            seen += reader.join().unwrap();
        }
    });
    assert!(seen >= 3);
    check(&store.snapshot(), &model);
}

#[test]
fn blocks_off_the_main_chain_are_kept_with_what_is_known_of_them() {
    let (mut store, model) = grown(8, small());
    let (branch, commit) = model.switched(4, 2, 77);
    let first = &branch.main[5];
    let second = &branch.main[6];
    store
        .commit(Commit {
            blocks: vec![
                NewBlock {
                    body: None,
                    ..first.new_block()
                },
                second.new_block(),
            ],
            marks: vec![(second.id, Validity::Valid)],
            ..Commit::default()
        })
        .unwrap();
    let snapshot = store.snapshot();
    check(&snapshot, &model);
    let known = snapshot.block(&first.id).unwrap().unwrap();
    assert_eq!(known.header, first.header);
    assert_eq!(
        (known.validity, known.body_len),
        (Validity::Unchecked, None)
    );
    assert!(!snapshot.is_main(&first.id).unwrap());
    assert_eq!(snapshot.roll_range(&first.id, 0, 1).unwrap(), None);
    let known = snapshot.block(&second.id).unwrap().unwrap();
    assert_eq!(known.validity, Validity::Valid);
    assert!(known.body_len.is_some());
    assert_eq!(snapshot.bodies(&[first.id], 1_000).unwrap().len(), 0);

    // A locator from the branch leads to where it left the main chain.
    let locator = [second.id, first.id, branch.main[4].id, branch.main[0].id];
    let headers = snapshot.headers_after(&locator, 2).unwrap();
    assert_eq!(
        headers,
        [model.main[5].header.clone(), model.main[6].header.clone()]
    );

    // The body comes later; a header alone does not take it away again.
    store
        .commit(Commit {
            blocks: vec![first.new_block()],
            ..Commit::default()
        })
        .unwrap();
    store
        .commit(Commit {
            blocks: vec![NewBlock {
                body: None,
                ..first.new_block()
            }],
            ..Commit::default()
        })
        .unwrap();
    assert!(store.snapshot().body(&first.id).unwrap().is_some());
    store.commit(commit).unwrap();
    check(&store.snapshot(), &branch);
}

#[test]
fn peers_bans_and_notes_are_kept_and_removed() {
    let (mut store, _) = grown(1, small());
    let entry = |key: &[u8], value: Option<&[u8]>| (key.to_vec(), value.map(<[u8]>::to_vec));
    store
        .commit(Commit {
            peers: vec![entry(b"b", Some(b"2")), entry(b"a", Some(b"1"))],
            bans: vec![entry(b"c", Some(b"until"))],
            notes: vec![("pins".to_owned(), Some(vec![7]))],
            ..Commit::default()
        })
        .unwrap();
    let snapshot = store.snapshot();
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    assert_eq!(
        snapshot.peers().unwrap(),
        [pair(b"a", b"1"), pair(b"b", b"2")]
    );
    assert_eq!(snapshot.bans().unwrap(), [pair(b"c", b"until")]);
    assert_eq!(snapshot.note("pins").unwrap(), Some(vec![7]));
    store
        .commit(Commit {
            peers: vec![entry(b"b", None)],
            bans: vec![entry(b"c", None)],
            notes: vec![("pins".to_owned(), None)],
            ..Commit::default()
        })
        .unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.peers().unwrap(), [pair(b"a", b"1")]);
    assert_eq!(snapshot.bans().unwrap(), []);
    assert_eq!(snapshot.note("pins").unwrap(), None);
}

#[test]
fn the_first_block_at_a_time_is_found() {
    let (store, model) = grown(20, small());
    let snapshot = store.snapshot();
    assert_eq!(snapshot.first_block_from(0).unwrap().unwrap().height, 0);
    for after_ms in (0..30_000).step_by(333) {
        let expected = model
            .main
            .iter()
            .find(|block| block.header.timestamp_ms >= START_MS + after_ms)
            .map(|block| block.id);
        let found = snapshot.first_block_from(START_MS + after_ms).unwrap();
        assert_eq!(found.map(|tip| tip.id), expected);
    }
}
