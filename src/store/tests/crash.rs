//! A disk that fails under a store that runs: at some write, for a while or for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;

use super::check::check;
use super::model::{Model, WORLD, mix, small};
use crate::store::disk::Disk;
use crate::store::{Expect, Loss, MemoryDisk, Store, StoreConfig, StoreError};

/// A disk that fails for good after a number of operations.
#[derive(Clone, Debug)]
struct FailingDisk {
    disk: MemoryDisk,
    left: Arc<AtomicU64>,
    unreadable: Arc<AtomicBool>,
}

impl FailingDisk {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        disk.start_journal();
        Self {
            disk,
            left: Arc::new(AtomicU64::new(u64::MAX)),
            unreadable: Arc::default(),
        }
    }

    fn operate(&self) -> Result<(), std::io::Error> {
        let step = |left: u64| match left {
            u64::MAX => Some(left),
            0 => None,
            left => Some(left - 1),
        };
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step)
            .map(|_| ())
            .map_err(|_| std::io::Error::other("the power is gone"))
    }

    /// What is left after the power came back: all that was synced and a random part of the rest.
    fn survivors(&self, seed: u64) -> MemoryDisk {
        let journal = self.disk.journal();
        let mut replay = journal.replay();
        while replay.step() {}
        replay.survivor(Loss::Some { seed, piece: 512 })
    }
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("a bad sector"));
        }
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.operate()?;
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.operate()?;
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.operate()?;
        self.disk.write(offset, data)
    }
}

#[test]
fn after_a_power_cut_at_any_write_what_was_committed_is_there_and_nothing_half() {
    let mut interrupted = 0;
    for seed in 0..60u64 {
        let disk = FailingDisk::new();
        let shared = || Disk::Shared(Arc::new(disk.clone()));
        let expect = Expect::Genesis(&WORLD.network);
        let mut store = Store::open_disk(shared(), expect, small(), None).unwrap();
        let mut model = Model::new();
        // The first cuts come soon, later ones within a longer history with reorganisations and flushes.
        disk.left.store(1 + seed * 7, Ordering::SeqCst);
        let mut next = None;
        for step in 0..40u64 {
            let (after, commit) = match mix(seed * 100 + step) % 6 {
                0 => model.pooled(seed + step),
                2 => {
                    let (after, commit) = model.switched(0, step % 2, seed + step);
                    after.certified(commit, seed + step)
                }
                1 => model.switched(step % 9, 1 + step % 9, seed + step),
                _ => model.switched(0, 1, seed + step),
            };
            match store.commit(commit) {
                Ok(()) => model = after,
                Err(StoreError::Io(_)) => {
                    next = Some(after);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        drop(store);
        interrupted += u64::from(next.is_some());

        let store = Store::open_memory(&disk.survivors(seed), Expect::Any, small()).unwrap();
        let snapshot = store.snapshot();
        // The commit that the cut interrupted happened as a whole or not at all.
        let happened = next.filter(|next| {
            snapshot.tip().id == next.tip().id
                && snapshot.pending_count().unwrap() == next.pending.len() as u64
                && snapshot
                    .last_certificate()
                    .unwrap()
                    .map_or(0, |last| last.height)
                    == next.final_height()
                && snapshot.finality_log().unwrap() == next.log
        });
        check(&snapshot, &happened.unwrap_or(model));
    }
    assert!(interrupted > 30, "{interrupted}");
}

#[test]
fn a_failing_disk_is_an_error_and_the_store_goes_on_when_it_recovers() {
    let disk = FailingDisk::new();
    let shared = Disk::Shared(Arc::new(disk.clone()));
    let expect = Expect::Genesis(&WORLD.network);
    let mut store = Store::open_disk(shared, expect, small(), None).unwrap();
    let mut model = Model::new();
    for round in 0..30u64 {
        let (after, commit) = model.switched(round % 4, 2 + round % 4, round);
        disk.left.store(round, Ordering::SeqCst);
        let first = store.commit(commit.clone());
        // Nothing can be promised of reading while the disk is gone, but nothing may be half done either.
        disk.left.store(u64::MAX, Ordering::SeqCst);
        match first {
            // The disk may have failed behind the commit, while indexes were written.
            Ok(()) => match store.reopen() {
                Ok(()) | Err(StoreError::Stale) => {}
                Err(error) => panic!("{error}"),
            },
            Err(StoreError::Io(_)) => match store.commit(commit) {
                Ok(()) => {}
                // It was durable after all, and is not done twice.
                Err(StoreError::Stale) => {
                    assert_eq!(store.snapshot().tip().id, after.tip().id);
                }
                Err(error) => panic!("{error}"),
            },
            Err(error) => panic!("{error}"),
        }
        model = after;
        check(&store.snapshot(), &model);
    }
}

#[test]
fn a_failed_read_is_an_error_and_passes_when_the_store_is_reopened_or_written_to() {
    let disk = FailingDisk::new();
    let shared = Disk::Shared(Arc::new(disk.clone()));
    let expect = Expect::Genesis(&WORLD.network);
    let uncached = StoreConfig {
        cache_bytes: 0,
        ..small()
    };
    let mut store = Store::open_disk(shared, expect, uncached, None).unwrap();
    let mut model = Model::new();
    for round in 0..4u64 {
        let (after, commit) = model.switched(0, 9, round);
        store.commit(commit).unwrap();
        model = after;
        let snapshot = store.snapshot();
        disk.unreadable.store(true, Ordering::SeqCst);
        let id = model.main[3].id;
        assert!(matches!(snapshot.body(&id), Err(StoreError::Io(_))));
        disk.unreadable.store(false, Ordering::SeqCst);
        // redb refuses everything from here on, until it is opened again.
        assert!(matches!(snapshot.body(&id), Err(StoreError::Stale)));
        if round % 2 == 0 {
            store.reopen().unwrap();
        } else {
            let (after, commit) = model.switched(2, 3, round);
            store.commit(commit).unwrap();
            model = after;
        }
        assert!(matches!(snapshot.body(&id), Err(StoreError::Stale)));
        check(&store.reader().snapshot(), &model);
    }
}
