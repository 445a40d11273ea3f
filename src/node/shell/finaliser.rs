//! The files of a finaliser's node: how far its key has signed, and the evidence when finalisers broke the rules.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tracing::error;

use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::NetworkId;
use crate::crypto::secret_file;
use crate::datadir::{DataPaths, replace_file};
use crate::node::finality::{Conflict, Promise, Promised};
use crate::wire;

/// First line of the file, before the number of its format.
const HEAD: &str = "votenode finaliser state ";
/// The format.
const FORMAT: &str = "2";
/// The steps of a round, in their order: the kinds of the consensus's messages.
const STEPS: [&str; 3] = ["proposal", "prevote", "precommit"];
/// More than any such file holds.
const MAX_BYTES: u64 = 1_024;

/// How far a finaliser's key has signed, in a file: see [`crate::node::finality`].
#[derive(Clone, Debug)]
pub struct PromiseFile {
    path: PathBuf,
    network: NetworkId,
    /// Held for as long as anybody holds this.
    lock: Option<Arc<File>>,
}

/// Why a finaliser's state is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("another node that runs signs with the finaliser's key of {}: end it first", .0.display())]
    InUse(PathBuf),
    #[error(
        "{} is damaged. If you are sure that this key signed nothing that this node's data does not know of, move it away",
        .0.display()
    )]
    Damaged(PathBuf),
    #[error("{} is of network {got}, and this node's is {wanted}: a key is not used in two", .path.display())]
    OtherNetwork {
        path: PathBuf,
        got: String,
        wanted: NetworkId,
    },
    #[error(
        "{} has format {format}, and this release knows format {FORMAT} alone: start the release that wrote it",
        .path.display()
    )]
    OtherFormat { path: PathBuf, format: String },
}

impl PromiseFile {
    /// The file at this path, for a key in this network.
    pub fn new(path: PathBuf, network: NetworkId) -> Self {
        Self {
            path,
            network,
            lock: None,
        }
    }

    /// Keeps every other process on this machine from signing by this file, until this is dropped. What is locked is a
    /// file beside it, for the file itself is replaced whenever it changes.
    pub fn lock(&mut self) -> io::Result<()> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = StateError::InUse(self.path.clone());
                return Err(io::Error::new(ErrorKind::ResourceBusy, error));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        self.lock = Some(Arc::new(lock));
        Ok(())
    }

    /// The file that belongs to a key file: the same name with `.state` behind it.
    pub fn beside(key: &Path) -> PathBuf {
        let mut name = key.as_os_str().to_owned();
        name.push(".state");
        PathBuf::from(name)
    }

    /// Reads [`Self::text`].
    pub(crate) fn parse(&self, text: &str) -> Result<Promised, StateError> {
        let damaged = || StateError::Damaged(self.path.clone());
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name);
        let format = value(HEAD).ok_or_else(damaged)?;
        if format != FORMAT {
            return Err(match format.parse::<u32>() {
                Ok(_) => StateError::OtherFormat {
                    path: self.path.clone(),
                    format: format.to_owned(),
                },
                Err(_) => damaged(),
            });
        }
        let network = value("network ").ok_or_else(damaged)?;
        let number = |text: Option<&str>| text?.parse::<u64>().ok();
        let checkpoint = number(value("checkpoint ")).ok_or_else(damaged)?;
        let round = number(value("round ")).ok_or_else(damaged)?;
        let step = value("step ").and_then(|step| STEPS.iter().position(|name| *name == step));
        let step = step.and_then(|step| u8::try_from(step).ok());
        let step = step.ok_or_else(damaged)?;
        if lines.next().is_some() {
            return Err(damaged());
        }
        if network != self.network.to_string() {
            return Err(StateError::OtherNetwork {
                path: self.path.clone(),
                got: network.escape_debug().to_string(),
                wanted: self.network,
            });
        }
        Ok(Promised {
            checkpoint,
            round,
            step,
        })
    }

    /// What the file says; nothing if the step is none.
    pub(crate) fn text(&self, promised: Promised) -> Option<String> {
        let Promised {
            checkpoint,
            round,
            step,
        } = promised;
        let step = STEPS.get(usize::from(step))?;
        let network = self.network;
        Some(format!(
            "{HEAD}{FORMAT}\nnetwork {network}\ncheckpoint {checkpoint}\nround {round}\nstep {step}\n"
        ))
    }
}

impl Promise for PromiseFile {
    fn read(&mut self) -> io::Result<Option<Promised>> {
        let file = match crate::files::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        // Whoever can write here decides what the key signs again.
        secret_file::check_private(&self.path, &file.metadata()?)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        // What is no text is as damaged as any other text, and named by its path.
        match self.parse(&String::from_utf8_lossy(&bytes)) {
            Ok(promised) => Ok(Some(promised)),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }

    fn write(&mut self, promised: Promised) -> io::Result<()> {
        let text = self.text(promised).ok_or(ErrorKind::InvalidInput)?;
        replace_file(&self.path, text.as_bytes())
    }
}

/// Writes the evidence, for the organisers and for whoever they show it to.
pub(super) fn keep_evidence(paths: &DataPaths, network: &NetworkId, conflict: &Conflict) {
    let told = |certificate: &CommitCertificate| {
        let encoded = wire::encode(certificate);
        json!({
            "checkpoint": certificate.checkpoint,
            "block": certificate.block,
            "set": certificate.set,
            "round": certificate.round,
            "certificate": encoded.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        })
    };
    let signed_both: Vec<_> = conflict
        .signed_both
        .iter()
        .map(|finaliser| json!({ "key": finaliser.key, "name": finaliser.name.to_string() }))
        .collect();
    let evidence = json!({
        "network": network,
        "ours": told(&conflict.ours),
        "theirs": told(&conflict.theirs),
        "signed_both": signed_both,
    });
    let text = format!("{evidence:#}\n");
    if let Err(failure) = paths.replace(&paths.conflict(), text.as_bytes()) {
        error!(%failure, evidence = text, "the evidence cannot be written; here it is");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_process_signs_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = PromiseFile::beside(&dir.path().join("ada.key"));
        let network = NetworkId::from_bytes([1; 32]);
        let mut first = PromiseFile::new(path.clone(), network);
        let mut second = PromiseFile::new(path, network);
        first.lock().unwrap();
        let refused = second.lock().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        assert!(refused.to_string().contains("ada.key.state"), "{refused}");
        drop(first);
        second.lock().unwrap();
    }

    #[test]
    fn a_promise_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = PromiseFile::beside(&dir.path().join("ada.key"));
        assert!(path.ends_with("ada.key.state"));
        let network = NetworkId::from_bytes([1; 32]);
        let mut file = PromiseFile::new(path.clone(), network);
        assert_eq!(file.read().unwrap(), None);
        let promises =
            [(1, 0, 0), (1, 0, 1), (1, 7, 2), (900, 0, 1)].map(|(checkpoint, round, step)| {
                Promised {
                    checkpoint,
                    round,
                    step,
                }
            });
        assert!(promises.is_sorted());
        for promised in promises {
            file.write(promised).unwrap();
            assert_eq!(file.clone().read().unwrap(), Some(promised));
        }
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [0o644, 0o620, 0o602] {
            mode(open);
            let refused = file.read().unwrap_err();
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
        mode(0o600);
        let says = |network: NetworkId, words: &str| {
            let error = PromiseFile::new(path.clone(), network).read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            let text = error.to_string();
            assert!(text.contains("ada.key.state"), "{text}");
            assert!(text.contains(words), "{words}: {text}");
        };
        says(NetworkId::from_bytes([2; 32]), "a key is not used in two");
        let good = std::fs::read_to_string(&path).unwrap();
        let older = good.replace("state 2", "state 1");
        std::fs::write(&path, older).unwrap();
        says(network, "format 1");
        let broken = [
            good.replace("checkpoint 900", "checkpoint -1"),
            good.replace("round 0", "round 18446744073709551616"),
            good.replace("step prevote", "step vote"),
            good.replace("step prevote\n", ""),
            good.replace("state 2", "state two"),
            good.clone() + "more\n",
        ];
        let broken = broken.iter().map(String::as_bytes);
        for garbage in broken.chain([&b""[..], b"7", b"\xff\xfe\x00"]) {
            assert_ne!(garbage, good.as_bytes());
            std::fs::write(&path, garbage).unwrap();
            says(network, "is damaged");
        }
    }
}
