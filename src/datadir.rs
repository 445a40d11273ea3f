//! The data directory: where each of a node's files lies, and the lock that keeps two nodes out of one directory.
//!
//! It knows names, modes and the lock. It must not know what is in the files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Where each file of a data directory lies. Making one touches nothing, so that other programs can find the files of a
/// running node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPaths {
    root: PathBuf,
}

impl DataPaths {
    /// The files of the data directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("votenode.redb")
    }

    /// The lock, which holds the process id of its owner as decimal text.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The secret key of the libp2p identity.
    pub fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }

    /// The secret key that signs mining states.
    pub fn miner_key(&self) -> PathBuf {
        self.root.join("miner.key")
    }

    /// The address that HTTP listens on, as text, while the node runs.
    pub fn http_address(&self) -> PathBuf {
        self.root.join("http.addr")
    }

    /// The control socket, while the node runs.
    pub fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// Two certificates that contradict each other: while it is there, no node starts on the directory.
    pub fn conflict(&self) -> PathBuf {
        self.root.join("finality-conflict.json")
    }

    /// What a finaliser's node knows of its own past beyond the database, where its key is in no file.
    pub fn finaliser_state(&self) -> PathBuf {
        self.root.join("finaliser.state")
    }

    /// A copy of the genesis, to hand to others.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.cbor")
    }

    /// As [`replace_file`], for a file of this directory.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        replace_file(path, bytes)
    }
}

/// Puts `bytes` into a file in one step and on disk, readable by its owner alone: a reader sees the old contents or the
/// new ones, even after a crash.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    // What is left of an interrupted attempt may have any mode, or lead somewhere else.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&draft, path)?;
    sync_folder(path)
}

/// Puts the names in the folder of `path` on disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "the data directory {} is in use by {}; stop it, or name another directory with --data-dir",
        path.display(),
        owner(*pid)
    )]
    Locked {
        /// The process that holds the lock, if it could be read.
        pid: Option<u32>,
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be made, or its files cannot be opened.
    #[error("the data directory {} cannot be used: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Names the owner of a lock in words.
pub(crate) fn owner(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// A data directory that this process alone uses. The lock ends with the value, or with the process however it ends.
#[derive(Debug)]
pub struct DataDir {
    paths: DataPaths,
    _lock: File,
}

impl Deref for DataDir {
    type Target = DataPaths;

    fn deref(&self) -> &DataPaths {
        &self.paths
    }
}

impl DataDir {
    /// Makes the directory if it isn't there (mode 0700) and locks it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let paths = DataPaths::new(root);
        let failed = |error| DataDirError::Io {
            path: paths.root.clone(),
            error,
        };
        create_private(&paths.root).map_err(failed)?;
        check_private(&paths.root).map_err(failed)?;
        // Not truncated before the lock is held: it may hold the number of the process that holds it.
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(paths.lock())
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Locked {
                    pid: lock_owner(&paths),
                    path: paths.root,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // On a full disk the name of the owner is lost, but not the lock.
        let named = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()));
        if let Err(error) = named {
            tracing::warn!(path = %paths.lock().display(), %error, "cannot write the process id into the lock");
        }
        Ok(Self { paths, _lock: lock })
    }

    /// Where the files are.
    pub fn paths(&self) -> &DataPaths {
        &self.paths
    }
}

/// The process named in the lock of a directory, whether or not it still runs.
pub(crate) fn lock_owner(paths: &DataPaths) -> Option<u32> {
    let mut text = String::new();
    // A process id has at most ten digits.
    File::open(paths.lock())
        .ok()?
        .take(16)
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Refuses a directory into which the group or others can write: they could put a database, a key or a socket of their
/// own in the place of the node's.
fn check_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "others can write into it (mode {mode:04o}): run chmod go-w {}",
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_second_owner_is_told_the_first_one_and_the_lock_ends_with_its_value() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("node");
        let first = DataDir::open(&path).unwrap();
        match DataDir::open(&path) {
            Err(DataDirError::Locked { pid, path: named }) => {
                assert_eq!(pid, Some(std::process::id()));
                assert_eq!(named, path);
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_and_its_files_belong_to_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(root.path().join("a/b")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.root()), 0o700);
        dir.replace(&dir.http_address(), b"127.0.0.1:1").unwrap();
        dir.replace(&dir.http_address(), b"127.0.0.1:2").unwrap();
        assert_eq!(mode(&dir.http_address()), 0o600);
        assert_eq!(fs::read(dir.http_address()).unwrap(), b"127.0.0.1:2");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_can_write_into_is_refused_and_links_in_it_are_not_followed() {
        use std::os::unix::fs::PermissionsExt as _;

        let root = tempfile::tempdir().unwrap();
        let mode = |mode| {
            fs::set_permissions(root.path(), fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [0o777, 0o1777, 0o775, 0o702] {
            mode(open);
            let error = DataDir::open(root.path()).unwrap_err();
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
        mode(0o755);
        let dir = DataDir::open(root.path()).unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, b"untouched").unwrap();
        let mut draft = dir.http_address().into_os_string();
        draft.push(".new");
        std::os::unix::fs::symlink(&elsewhere, draft).unwrap();
        dir.replace(&dir.http_address(), b"new").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert!(!dir.http_address().is_symlink());
    }

    #[test]
    fn garbage_in_the_lock_and_a_file_in_place_of_the_directory_are_errors_in_words() {
        let root = tempfile::tempdir().unwrap();
        let held = DataDir::open(root.path()).unwrap();
        fs::write(held.lock(), [0xff; 40]).unwrap();
        let error = DataDir::open(root.path()).unwrap_err();
        assert!(matches!(error, DataDirError::Locked { pid: None, .. }));
        assert!(error.to_string().contains("another process"));

        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(DataDir::open(&file), Err(DataDirError::Io { .. })));
    }
}
