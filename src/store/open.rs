//! Opening a store: making and checking what is on disk. [`super::load`] reads the chain back.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, RwLock};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _,
};

use super::apply::{write_blocks, write_point};
use super::body::BodyCache;
use super::commit::{Commit, NewBlock};
use super::disk::{Disk, MemoryDisk};
use super::error::{OpenError, StoreError, from_io};
use super::load::{Loaded, load};
use super::record::{Counts, Validity, decode, decode_number};
use super::snapshot::{Common, Reader, Snapshot};
use super::tables::{self, Tables, meta};
use super::writer::Store;
use super::{FORMAT, StoreConfig};
use crate::chain::genesis::{Genesis, NetworkId};
use crate::chain::network::Network;
use crate::datadir::{DataDir, DataDirError, DataPaths, lock_owner, sync_folder};
use crate::wire;

/// Which network a store has to belong to.
#[derive(Clone, Copy, Debug)]
pub enum Expect<'a> {
    /// Whichever it holds; there has to be one.
    Any,
    /// The one with this id; there has to be one.
    Network(&'a NetworkId),
    /// This one, which an empty store becomes.
    Genesis(&'a Network),
}

/// The store of a stopped node, for reading.
pub struct ReadOnlyStore {
    snapshot: Snapshot,
}

impl ReadOnlyStore {
    /// Everything in the store.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }
}

impl std::fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnlyStore").finish_non_exhaustive()
    }
}

pub(super) fn builder(config: &StoreConfig, check: bool) -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(config.cache_bytes)
        .set_check_integrity_on_open(check);
    builder
}

impl Store {
    /// Opens the store of a data directory, or makes it.
    pub fn open(dir: &DataDir, expect: Expect<'_>, config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_disk(Disk::File(dir.database()), expect, config, Some(dir))
    }

    /// A new store in memory, which ends with the value.
    pub fn in_memory(network: &Network, config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_memory(&MemoryDisk::default(), Expect::Genesis(network), config)
    }

    /// Opens the store on a disk in memory, or makes it. The disk outlives the store, as a file does.
    pub fn open_memory(
        disk: &MemoryDisk,
        expect: Expect<'_>,
        config: StoreConfig,
    ) -> Result<Self, OpenError> {
        Self::open_disk(Disk::Shared(Arc::new(disk.clone())), expect, config, None)
    }

    pub(super) fn open_disk(
        disk: Disk,
        expect: Expect<'_>,
        config: StoreConfig,
        paths: Option<&DataPaths>,
    ) -> Result<Self, OpenError> {
        let failed = Failed {
            path: disk.path(),
            owner: paths,
        };
        let new = disk.is_empty();
        if new && !matches!(expect, Expect::Genesis(_)) {
            return Err(OpenError::Empty { path: failed.path });
        }
        if let Disk::File(path) = &disk {
            if new {
                guarded(&failed, || make_file(path, expect, &config, &failed))?;
            } else if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
                return Err(failed.corrupt("it is empty"));
            }
        }
        let check = config.check_on_open && !new;
        let database = guarded(&failed, || {
            disk.open(&builder(&config, check))
                .map_err(|error| failed.database(error))
        })?;
        let loaded = guarded(&failed, || {
            if let Expect::Genesis(network) = expect
                && is_blank(&database).map_err(|error| failed.store(error))?
            {
                create(&database, network).map_err(|error| failed.store(error))?;
            }
            let transaction = database
                .begin_read()
                .map_err(|error| failed.store(error.into()))?;
            let network = read_network(&transaction, expect, &failed)?;
            load(&transaction, common(network, None)).map_err(|error| failed.store(error))
        })?;
        let Loaded {
            snapshot,
            commits,
            arrivals,
            closed,
        } = loaded;
        Ok(Self {
            disk,
            config,
            database: Some(database),
            common: snapshot.0.common.clone(),
            elections: snapshot.0.elections.clone(),
            tail: snapshot.tail().clone(),
            reader: Reader(Arc::new(RwLock::new(snapshot.clone()))),
            snapshot,
            commits,
            arrivals,
            in_doubt: false,
            closed_before: closed,
            retry_flush_at: 0,
        })
    }

    /// Opens the store of a stopped node for reading. A store that was not closed in order is repaired first, and a
    /// damaged one refused, both if the directory can be written to.
    pub fn open_read_only(
        paths: &DataPaths,
        config: StoreConfig,
    ) -> Result<ReadOnlyStore, OpenError> {
        let path = paths.database();
        let failed = Failed {
            path: path.clone(),
            owner: Some(paths),
        };
        if Disk::File(path.clone()).is_empty() {
            return Err(OpenError::Empty { path });
        }
        match DataDir::open(paths.root()) {
            Ok(dir) => {
                let store = Self::open(&dir, Expect::Any, config.clone());
                match store.map(Self::close) {
                    Ok(Err(error)) => return Err(failed.store(error)),
                    Err(OpenError::Io { error, .. }) if is_read_only(&error) => {}
                    Err(error) => return Err(error),
                    Ok(Ok(())) => {}
                }
            }
            Err(DataDirError::Locked { pid, .. }) => return Err(OpenError::Locked { pid, path }),
            Err(DataDirError::Io { error, .. }) if is_read_only(&error) => {}
            Err(DataDirError::Io { error, .. }) => return Err(OpenError::Io { path, error }),
        }
        let loaded = guarded(&failed, || {
            let database = builder(&config, false)
                .open_read_only(&path)
                .map_err(|error| failed.database(error))?;
            let transaction = database
                .begin_read()
                .map_err(|error| failed.store(error.into()))?;
            let network = read_network(&transaction, Expect::Any, &failed)?;
            load(&transaction, common(network, Some(database))).map_err(|error| failed.store(error))
        })?;
        Ok(ReadOnlyStore {
            snapshot: loaded.snapshot,
        })
    }
}

fn is_read_only(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

fn common(network: Network, read_only: Option<ReadOnlyDatabase>) -> Arc<Common> {
    Arc::new(Common {
        network: Arc::new(network),
        bodies: BodyCache::default(),
        _read_only: read_only,
    })
}

/// Turns errors into those of opening a certain file.
struct Failed<'a> {
    path: PathBuf,
    owner: Option<&'a DataPaths>,
}

impl Failed<'_> {
    fn corrupt(&self, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    fn store(&self, error: StoreError) -> OpenError {
        let path = self.path.clone();
        match error {
            StoreError::Full => OpenError::Full { path },
            // What redb calls invalid or cut off is a damaged file, not a failing file system.
            StoreError::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData
                        | std::io::ErrorKind::InvalidInput
                        | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                self.corrupt(error.to_string())
            }
            StoreError::Io(error) => OpenError::Io { path, error },
            StoreError::Corrupt(what) => self.corrupt(what),
            StoreError::Inconsistent(what) => self.corrupt(what),
            StoreError::Stale => self.corrupt("it failed while it was read"),
        }
    }

    fn database(&self, error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                OpenError::Locked {
                    pid: self.owner.and_then(lock_owner),
                    path: self.path.clone(),
                }
            }
            other => self.store(other.into()),
        }
    }
}

/// Runs what reads a file that anything may have happened to.
///
/// redb checks every page's checksum when it is asked to, but some damage, such as that of a file header, makes its
/// debug assertions and a few of its decoders panic instead of failing. Here, and only here, a panic is an answer: the
/// values involved are dropped and nothing of them is used again.
fn guarded<T>(
    failed: &Failed<'_>,
    read: impl FnOnce() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    quiet_panics();
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(false);
    result.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("its pages contradict each other");
        Err(failed.corrupt(what))
    })
}

thread_local! {
    /// Whether this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Lets panics that [`guarded`] catches go unprinted, once for the process: what is damaged is said in the error, and
/// not as a bug of this program besides. Panics of other threads are printed as ever.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                print(info);
            }
        }));
    });
}

/// Whether the database holds nothing at all: it is new, or its making was interrupted.
fn is_blank(database: &Database) -> Result<bool, StoreError> {
    Ok(database.begin_read()?.list_tables()?.next().is_none())
}

/// Makes the file of a new store under another name, and gives it its own when everything is in it. Whoever is killed
/// on the way leaves no file under the store's name, so that an empty one there is always a damaged store.
fn make_file(
    path: &Path,
    expect: Expect<'_>,
    config: &StoreConfig,
    failed: &Failed<'_>,
) -> Result<(), OpenError> {
    let Expect::Genesis(network) = expect else {
        return Ok(());
    };
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let remove = || match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let io = |error: std::io::Error| failed.store(from_io(error));
    remove().map_err(io)?;
    let made = Disk::File(draft.clone())
        .open(&builder(config, false))
        .map_err(|error| failed.database(error))
        .and_then(|database| create(&database, network).map_err(|error| failed.store(error)))
        .and_then(|()| {
            std::fs::rename(&draft, path)
                .and_then(|()| sync_folder(path))
                .map_err(io)
        });
    if made.is_err() {
        // The next start removes it otherwise.
        let _ = remove();
    }
    made
}

/// Fills a new database in one transaction.
fn create(database: &Database, network: &Network) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Tables::create(&transaction)?;
    let id = network.genesis_block();
    let body: Arc<[u8]> = wire::encode::<[u8; 0]>(&[]).into();
    write_blocks(
        &transaction,
        &Commit {
            blocks: vec![NewBlock {
                id,
                header: network.genesis_header().clone(),
                body: Some(body),
            }],
            marks: vec![(id, Validity::Valid)],
            ..Commit::default()
        },
    )?;
    transaction
        .open_table(tables::MAIN)?
        .insert(0, id.as_bytes())?;
    write_point(&transaction, meta::TIP, &id, 0)?;
    write_point(&transaction, meta::FLUSHED, &id, 0)?;
    {
        let mut table = transaction.open_table(tables::META)?;
        for (key, value) in [
            (meta::FORMAT, wire::encode(&FORMAT)),
            (meta::GENESIS, wire::encode(network.genesis())),
            (meta::COUNTS, wire::encode(&Counts::default())),
            (meta::COMMITS, wire::encode(&0u64)),
            (meta::ARRIVALS, wire::encode(&0u64)),
            (meta::CLOSED, wire::encode(&0u64)),
        ] {
            table.insert(key, value.as_slice())?;
        }
    }
    Ok(transaction.commit()?)
}

/// Reads the format and the genesis, before anything that depends on them.
fn read_network(
    transaction: &ReadTransaction,
    expect: Expect<'_>,
    failed: &Failed<'_>,
) -> Result<Network, OpenError> {
    let read = |key: &'static str| -> Result<Vec<u8>, StoreError> {
        let table = transaction.open_table(tables::META)?;
        let value = table
            .get(key)?
            .ok_or_else(|| StoreError::Corrupt(format!("table meta lacks {key}")))?;
        Ok(value.value().to_vec())
    };
    let read = |key| read(key).map_err(|error| failed.store(error));
    let have = decode_number("meta", &read(meta::FORMAT)?).map_err(|error| failed.store(error))?;
    if have > FORMAT {
        return Err(OpenError::NewerFormat {
            have,
            known: FORMAT,
        });
    }
    let genesis: Genesis =
        decode("meta", &read(meta::GENESIS)?).map_err(|error| failed.store(error))?;
    let network =
        Network::new(genesis).map_err(|error| failed.corrupt(format!("its genesis: {error}")))?;
    let want = match expect {
        Expect::Any => network.id(),
        Expect::Network(id) => *id,
        Expect::Genesis(network) => network.id(),
    };
    if network.id() != want {
        return Err(OpenError::WrongNetwork {
            have: network.id(),
            want,
        });
    }
    Ok(network)
}
