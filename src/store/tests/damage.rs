//! Databases that something happened to: an error in words or a store that reads like before, never a panic.

use super::check::check;
use super::model::{Model, WORLD, grown, mix, small};
use crate::chain::testing;
use crate::datadir::{DataDir, DataDirError};
use crate::store::tables::{META, meta};
use crate::store::{Expect, MemoryDisk, OpenError, Store, StoreConfig};
use crate::wire;

/// A closed store on a disk of its own.
fn closed(height: u64) -> (Vec<u8>, Model) {
    let disk = MemoryDisk::default();
    let mut store = Store::open_memory(&disk, Expect::Genesis(&WORLD.network), small()).unwrap();
    let (model, commit) = Model::new().switched(0, height, 11);
    store.commit(commit).unwrap();
    let (model, commit) = model.pooled(3);
    store.commit(commit).unwrap();
    store.close().unwrap();
    (disk.to_bytes(), model)
}

fn checked() -> StoreConfig {
    StoreConfig {
        check_on_open: true,
        ..small()
    }
}

/// Opens damaged bytes and says whether they were refused.
fn refused(bytes: Vec<u8>, model: &Model) -> bool {
    let disk = MemoryDisk::from_bytes(bytes);
    match Store::open_memory(&disk, Expect::Any, checked()) {
        Ok(store) => {
            check(&store.snapshot(), model);
            false
        }
        Err(error @ OpenError::Corrupt { .. }) => {
            let message = error.to_string();
            assert!(message.contains("Move it away"), "{message}");
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn damage_of_any_kind_is_refused_or_harmless() {
    let (bytes, model) = closed(12);
    let page = 4096;
    let pages = (bytes.len() / page) as u64;
    assert!(!refused(bytes.clone(), &model));
    let mut count = 0;
    for seed in 0..120u64 {
        let mut damaged = bytes.clone();
        let at = mix(seed) as usize % damaged.len();
        let start = (mix(seed + 1) % pages) as usize * page;
        match seed % 6 {
            // A bit, anywhere and in the header.
            0 => damaged[at] ^= 1 << (seed % 8),
            1 => damaged[at % 400] ^= 1 << (seed % 8),
            // A page of zeros, of noise, or of another page.
            2 => damaged[start..start + page].fill(0),
            3 => damaged[start..start + page]
                .iter_mut()
                .enumerate()
                .for_each(|(place, byte)| *byte = mix(seed + place as u64) as u8),
            4 => {
                let from = (mix(seed + 2) % pages) as usize * page;
                damaged.copy_within(from..from + page, start);
            }
            // The end is missing.
            _ => damaged.truncate(1 + at),
        }
        count += u32::from(refused(damaged, &model));
    }
    assert!(count > 20, "only {count} of 120 were noticed");
}

#[test]
fn what_is_no_database_is_refused() {
    let model = Model::new();
    for length in [1usize, 100, 4096, 100_000] {
        let noise = (0..length).map(|place| mix(place as u64) as u8).collect();
        assert!(refused(noise, &model));
        assert!(refused(b"<html>".repeat(length), &model));
        assert!(refused(vec![0; length], &model));
    }
    // A redb database of something else.
    let disk = MemoryDisk::default();
    let other = redb::Builder::new()
        .create_with_backend(disk.clone())
        .unwrap();
    let write = other.begin_write().unwrap();
    write
        .open_table(redb::TableDefinition::<u64, u64>::new("other"))
        .unwrap();
    write.commit().unwrap();
    drop(other);
    assert!(refused(disk.to_bytes(), &model));
}

/// Changes a value of table `meta` behind the store's back.
fn with_meta(bytes: Vec<u8>, key: &'static str, value: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::from_bytes(bytes);
    let database = redb::Builder::new()
        .create_with_backend(disk.clone())
        .unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert(key, value).unwrap();
    write.commit().unwrap();
    drop(database);
    disk
}

#[test]
fn contradictions_between_sound_pages_are_refused_too() {
    let (bytes, model) = closed(8);
    let point = |height: usize| {
        wire::encode(&crate::store::record::StoredPoint {
            height: height as u64,
            id: model.main[height - 1].id,
        })
    };
    for (key, value) in [
        (meta::TIP, point(5)),
        (meta::FLUSHED, point(4)),
        (meta::COUNTS, vec![0xff]),
        (meta::ARRIVALS, vec![]),
        (meta::GENESIS, wire::encode(&1u8)),
        (meta::FORMAT, b"one".to_vec()),
    ] {
        let disk = with_meta(bytes.clone(), key, &value);
        let error = Store::open_memory(&disk, Expect::Any, small()).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{key}: {error}");
    }
}

#[test]
fn another_network_a_later_format_and_nothing_at_all_are_told_apart() {
    let (bytes, _) = closed(1);
    let disk = MemoryDisk::from_bytes(bytes.clone());
    let other = testing::network_with(|genesis| genesis.name = testing::text("other"));
    let id = other.id();
    for expect in [Expect::Genesis(&other), Expect::Network(&id)] {
        match Store::open_memory(&disk, expect, small()) {
            Err(OpenError::WrongNetwork { have, want }) => {
                assert_eq!((have, want), (WORLD.network.id(), other.id()));
            }
            other => panic!("{other:?}"),
        }
    }
    let have = WORLD.network.id();
    Store::open_memory(&disk, Expect::Network(&have), small()).unwrap();

    let later = with_meta(bytes, meta::FORMAT, &wire::encode(&7u64));
    let error = Store::open_memory(&later, Expect::Any, small()).unwrap_err();
    assert!(matches!(
        error,
        OpenError::NewerFormat { have: 7, known: 1 }
    ));

    let error = Store::open_memory(&MemoryDisk::default(), Expect::Any, small()).unwrap_err();
    assert!(matches!(error, OpenError::Empty { .. }));
}

#[test]
fn a_directory_in_use_names_its_owner_and_a_stopped_one_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(root.path().join("node")).unwrap();
    let paths = dir.paths().clone();
    let error = Store::open_read_only(&crate::datadir::DataPaths::new(root.path()), small());
    assert!(matches!(error, Err(OpenError::Empty { .. })));

    let expect = Expect::Genesis(&WORLD.network);
    let mut store = Store::open(&dir, expect, StoreConfig::default()).unwrap();
    let (model, commit) = Model::new().switched(0, 5, 1);
    store.commit(commit).unwrap();
    match Store::open_read_only(&paths, small()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    // Even without the lock file's help the database itself tells.
    match Store::open(&dir, Expect::Any, small()) {
        Err(OpenError::Locked { pid, path }) => {
            assert_eq!((pid, path), (Some(std::process::id()), dir.database()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        DataDir::open(paths.root()),
        Err(DataDirError::Locked { .. })
    ));

    // Not closed in order: it is repaired on the way.
    drop(store);
    drop(dir);
    for _ in 0..2 {
        let store = Store::open_read_only(&paths, small()).unwrap();
        check(&store.snapshot(), &model);
    }
    let dir = DataDir::open(paths.root()).unwrap();
    let store = Store::open(&dir, Expect::Any, small()).unwrap();
    check(&store.snapshot(), &model);
}

#[test]
fn an_empty_file_is_damage_and_a_making_that_was_interrupted_is_not() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(root.path()).unwrap();
    let draft = root.path().join("votenode.redb.new");
    assert_eq!(draft.with_extension(""), dir.database());
    std::fs::write(&draft, b"").unwrap();
    let expect = Expect::Genesis(&WORLD.network);
    Store::open(&dir, expect, small()).unwrap().close().unwrap();
    assert!(!draft.exists());
    Store::open(&dir, Expect::Any, small())
        .unwrap()
        .close()
        .unwrap();

    std::fs::write(dir.database(), b"").unwrap();
    for expect in [expect, Expect::Any] {
        let error = Store::open(&dir, expect, small()).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    }
    assert_eq!(std::fs::metadata(dir.database()).unwrap().len(), 0);
    let paths = dir.paths().clone();
    drop(dir);
    let error = Store::open_read_only(&paths, small()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn commits_that_do_not_fit_the_chain_change_nothing() {
    let (mut store, model) = grown(6, small());
    let (_, far) = model.switched(0, 3, 1);
    let before = || Commit::default();
    use crate::store::{Commit, StoreError, Switch, Validity};
    let mut gap = far.clone();
    if let Some(switch) = &mut gap.chain {
        switch.append.remove(0);
    }
    let mut bodiless = far.clone();
    bodiless.blocks[1].body = None;
    let mut foreign = far.clone();
    if let Some(switch) = &mut foreign.chain {
        let voters = &mut switch.append[2].delta.voters;
        *voters = model
            .main
            .iter()
            .find(|block| !block.delta.voters.is_empty())
            .unwrap()
            .delta
            .voters
            .clone();
    }
    let wrong = [
        gap,
        bodiless,
        foreign,
        Commit {
            chain: Some(Switch {
                rewind_to: 7,
                append: Vec::new(),
            }),
            ..before()
        },
        Commit {
            marks: vec![(far.blocks[0].id, Validity::Valid)],
            ..before()
        },
        Commit {
            forget: vec![model.main[3].id],
            ..before()
        },
    ];
    for mut commit in wrong {
        commit.notes.push(("note".to_owned(), Some(vec![1])));
        let error = store.commit(commit).unwrap_err();
        assert!(matches!(error, StoreError::Inconsistent(_)), "{error}");
        assert_eq!(store.snapshot().note("note").unwrap(), None);
        check(&store.snapshot(), &model);
    }
    store.commit(far).unwrap();
}
