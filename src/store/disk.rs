//! Where the database lies: a file, or memory that outlives the store, so that a simulated node can crash and restart.

mod journal;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use journal::Operation;
pub use journal::{Journal, Loss, Replay};

/// A disk in memory. Clones are the same disk. It has room for `quota` bytes and says that it is full beyond that, as a
/// file system does; and it knows what of it would be left after a loss of power.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<RwLock<Contents>>);

struct Contents {
    bytes: Vec<u8>,
    quota: u64,
    /// Nothing can be written.
    refuses: bool,
    /// Writes that it had no room for.
    refused: u64,
    /// What was there before each change since the last sync, in the order of the changes.
    unsynced: Vec<Undo>,
    journal: Option<Journal>,
}

/// How a change is taken back.
enum Undo {
    /// These bytes were here.
    Bytes(usize, Vec<u8>),
    /// The disk was so long.
    Length(usize),
}

impl Contents {
    fn note(&mut self, operation: impl FnOnce() -> Operation) {
        if let Some(journal) = &mut self.journal {
            journal.push(operation());
        }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents")
            .field("len", &self.bytes.len())
            .field("quota", &self.quota)
            .finish()
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::from_bytes(Vec::new())
    }
}

impl MemoryDisk {
    /// A disk that holds `bytes`, without a quota.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Arc::new(RwLock::new(Contents {
            bytes,
            quota: u64::MAX,
            refuses: false,
            refused: 0,
            unsynced: Vec::new(),
            journal: None,
        })))
    }

    /// A copy of everything on the disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.read_lock().bytes.clone()
    }

    /// The disk as it is found after a loss of power now: without what was written since the last sync. The original
    /// stays with whoever writes to it.
    pub fn after_power_loss(&self) -> Self {
        let contents = self.read_lock();
        let mut after = Contents {
            bytes: contents.bytes.clone(),
            quota: contents.quota,
            refuses: contents.refuses,
            refused: contents.refused,
            unsynced: Vec::new(),
            journal: contents.journal.clone(),
        };
        for change in contents.unsynced.iter().rev() {
            match change {
                Undo::Bytes(start, before) => {
                    after.bytes[*start..*start + before.len()].copy_from_slice(before);
                    after.note(|| Operation::Write(*start, before.clone()));
                }
                Undo::Length(length) => {
                    after.bytes.resize(*length, 0);
                    after.note(|| Operation::Length(*length));
                }
            }
        }
        after.note(|| Operation::Sync);
        Self(Arc::new(RwLock::new(after)))
    }

    /// Sets how many bytes there is room for. What is there already stays.
    pub fn set_quota(&self, bytes: u64) {
        self.write_lock().quota = bytes;
    }

    /// Whether it takes no more writes at all, even where it has room.
    pub fn refuse_writes(&self, refuses: bool) {
        self.write_lock().refuses = refuses;
    }

    /// How often it was full when something was to be written.
    pub fn refused_writes(&self) -> u64 {
        self.read_lock().refused
    }

    /// Writes down everything that is done to the disk from now on, to find out what a power cut would have left.
    pub fn start_journal(&self) {
        let mut contents = self.write_lock();
        contents.journal = Some(Journal::new(contents.bytes.clone()));
    }

    /// What was done since the journal was started; nothing if it was not.
    pub fn journal(&self) -> Journal {
        let contents = self.read_lock();
        let nothing = || Journal::new(contents.bytes.clone());
        contents.journal.clone().unwrap_or_else(nothing)
    }

    /// How many operations the journal holds.
    pub fn operations(&self) -> usize {
        self.read_lock().journal.as_ref().map_or(0, Journal::len)
    }

    // A writer that panicked left whole bytes behind, as a disk would.
    fn read_lock(&self) -> std::sync::RwLockReadGuard<'_, Contents> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> std::sync::RwLockWriteGuard<'_, Contents> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(offset: u64, len: usize, total: usize) -> Result<std::ops::Range<usize>, BackendError> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| Some(start..start.checked_add(len)?))
        .filter(|range| range.end <= total)
        .ok_or_else(|| {
            BackendError::Io(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "outside the disk",
            ))
        })
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.read_lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let contents = self.read_lock();
        let range = range(offset, out.len(), contents.bytes.len())?;
        out.copy_from_slice(&contents.bytes[range]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut contents = self.write_lock();
        if contents.refuses || len > contents.quota && len > contents.bytes.len() as u64 {
            contents.refused += 1;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(|_| std::io::ErrorKind::StorageFull)?;
        let before = contents.bytes.len();
        if len < before {
            let tail = contents.bytes[len..].to_vec();
            contents.unsynced.push(Undo::Bytes(len, tail));
        }
        contents.unsynced.push(Undo::Length(before));
        contents.bytes.resize(len, 0);
        contents.note(|| Operation::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut contents = self.write_lock();
        contents.unsynced.clear();
        contents.note(|| Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut contents = self.write_lock();
        if contents.refuses {
            contents.refused += 1;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let range = range(offset, data.len(), contents.bytes.len())?;
        let before = contents.bytes[range.clone()].to_vec();
        contents.unsynced.push(Undo::Bytes(range.start, before));
        contents.note(|| Operation::Write(range.start, data.to_vec()));
        contents.bytes[range].copy_from_slice(data);
        Ok(())
    }
}

/// What a store is opened on, kept so that it can be opened again after an I/O error.
#[derive(Clone, Debug)]
pub(super) enum Disk {
    File(PathBuf),
    Shared(Arc<dyn StorageBackend>),
}

impl Disk {
    /// What messages call it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Shared(_) => PathBuf::from("in memory"),
        }
    }

    /// Whether no store was made on it yet. A file counts as one whatever it holds, and also if it cannot be looked at.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::File(path) => matches!(
                std::fs::symlink_metadata(path),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound
            ),
            Self::Shared(backend) => matches!(backend.len(), Ok(0)),
        }
    }

    pub fn open(&self, builder: &redb::Builder) -> Result<redb::Database, redb::DatabaseError> {
        match self {
            Self::File(path) => {
                let mut options = std::fs::OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                builder.create_with_backend(FileBackend::new(options.open(path)?)?)
            }
            Self::Shared(backend) => builder.create_with_backend(SharedBackend(backend.clone())),
        }
    }
}

/// Lets a backend outlive the database on it.
#[derive(Debug)]
struct SharedBackend(Arc<dyn StorageBackend>);

impl StorageBackend for SharedBackend {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
}
