//! Full disks.

use std::process::Command;

use super::check::check;
use super::model::{Model, WORLD, mix, small};
use crate::chain::transaction::TxId;
use crate::datadir::DataDir;
use crate::store::{Commit, Expect, MemoryDisk, Store, StoreError};

/// A commit that takes room: `count` waiting transactions of 4 kB.
fn bulk(seed: u64, count: u64) -> Commit {
    let entry = |number: u64| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&mix(seed * 1_000_000 + number).to_le_bytes());
        id[8..16].copy_from_slice(&seed.to_le_bytes());
        (TxId::from_bytes(id), vec![seed as u8; 4_000])
    };
    Commit {
        pending_insert: (0..count).map(entry).collect(),
        ..Commit::default()
    }
}

/// Fills the disk, then makes room, and looks at the store all the time.
fn fill(store: &mut Store, model: &mut Model, make_room: impl FnOnce()) {
    let mut held = 0;
    let mut seed = 0;
    let full = loop {
        seed += 1;
        assert!(seed < 1_000, "the disk never gets full");
        match store.commit(bulk(seed, 25)) {
            Ok(()) => held += 25,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full), "{full}");
    for _ in 0..3 {
        // As before, and readable.
        assert_eq!(store.snapshot().pending_count().unwrap(), held);
        assert_eq!(store.reader().snapshot().tip().id, model.tip().id);
        let (_, commit) = bulk_and_blocks(model);
        let error = store.commit(commit).unwrap_err();
        assert!(matches!(error, StoreError::Full), "{error}");
    }
    make_room();
    for seed in 1..=seed {
        let ids = bulk(seed, 25).pending_insert.into_iter().map(|(id, _)| id);
        store
            .commit(Commit {
                pending_remove: ids.collect(),
                ..Commit::default()
            })
            .unwrap();
    }
    let (after, commit) = model.switched(1, 8, seed);
    store.commit(commit).unwrap();
    *model = after;
    check(&store.snapshot(), model);
}

/// More than whatever room is left.
fn bulk_and_blocks(model: &Model) -> (Model, Commit) {
    let (after, commit) = model.switched(0, 2, 5);
    let commit = Commit {
        pending_insert: bulk(9_999, 1_500).pending_insert,
        ..commit
    };
    (after, commit)
}

#[test]
fn a_full_disk_refuses_commits_stays_readable_and_takes_them_again_when_there_is_room() {
    let disk = MemoryDisk::default();
    let mut store = Store::open_memory(&disk, Expect::Genesis(&WORLD.network), small()).unwrap();
    let (mut model, commit) = Model::new().switched(0, 6, 3);
    store.commit(commit).unwrap();
    disk.set_quota(disk.to_bytes().len() as u64 + 1024 * 1024);
    fill(&mut store, &mut model, || disk.set_quota(u64::MAX));
}

/// Where the inner test finds its small disk.
const SMALL_DISK: &str = "VOTENODE_TEST_SMALL_DISK";

#[test]
fn a_full_file_system_does_the_same() {
    let mount = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=6m tmpfs '{0}' && {SMALL_DISK}='{0}' exec '{1}' --exact --ignored \
         store::tests::full::on_a_small_file_system",
        mount.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let probe = format!(
        "mount -t tmpfs -o size=1m tmpfs '{}'",
        mount.path().display()
    );
    let unshare = |script: &str| {
        Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .output()
    };
    if !unshare(&probe).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: mounting a small file system takes root and mount namespaces");
        return;
    }
    let output = unshare(&script).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "run by the test above, on a small file system"]
fn on_a_small_file_system() {
    let root = std::path::PathBuf::from(std::env::var_os(SMALL_DISK).unwrap());
    let ballast = root.join("ballast");
    std::fs::write(&ballast, vec![1; 2 * 1024 * 1024]).unwrap();
    let dir = DataDir::open(root.join("node")).unwrap();
    let expect = Expect::Genesis(&WORLD.network);
    let mut store = Store::open(&dir, expect, small()).unwrap();
    let (mut model, commit) = Model::new().switched(0, 6, 3);
    store.commit(commit).unwrap();
    fill(&mut store, &mut model, || {
        std::fs::remove_file(&ballast).unwrap();
    });
}
