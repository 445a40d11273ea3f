//! The files of a finaliser's node: the number beside its key, and the evidence when finalisers broke the rules.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use tracing::error;

use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::NetworkId;
use crate::crypto::secret_file;
use crate::datadir::{DataPaths, replace_file};
use crate::node::finality::{Conflict, Promise, Promised};
use crate::wire;

/// First line of the file.
const HEAD: &str = "votenode finaliser state 1";
/// More than any such file holds.
const MAX_BYTES: u64 = 1_024;

/// The number beside a finaliser's key, in a file: see [`crate::node::finality`].
#[derive(Clone, Debug)]
pub struct PromiseFile {
    path: PathBuf,
    network: NetworkId,
}

impl PromiseFile {
    /// The file at this path. The number is that of one network: a key is not used in two.
    pub fn new(path: PathBuf, network: NetworkId) -> Self {
        Self { path, network }
    }

    /// The file that belongs to a key file: the same name with `.state` behind it.
    pub fn beside(key: &Path) -> PathBuf {
        let mut name = key.as_os_str().to_owned();
        name.push(".state");
        PathBuf::from(name)
    }

    fn parse(&self, text: &str) -> io::Result<Promised> {
        let malformed = || {
            let text = format!(
                "{} is damaged, or another network's. If you are sure that this key signed nothing that this node's \
                 data does not know of, move it away",
                self.path.display()
            );
            io::Error::new(ErrorKind::InvalidData, text)
        };
        let mut lines = text.lines();
        let network = format!("network {}", self.network);
        if lines.next() != Some(HEAD) || lines.next() != Some(network.as_str()) {
            return Err(malformed());
        }
        let mut number = |name: &str| -> Option<u64> {
            let line = lines.next()?.strip_prefix(name)?;
            line.strip_prefix(' ')?.parse().ok()
        };
        match (number("checkpoint"), number("starts"), lines.next()) {
            (Some(checkpoint), Some(starts), None) => Ok(Promised { checkpoint, starts }),
            _ => Err(malformed()),
        }
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
        self.parse(&String::from_utf8_lossy(&bytes)).map(Some)
    }

    fn write(&mut self, promised: Promised) -> io::Result<()> {
        let text = format!(
            "{HEAD}\nnetwork {}\ncheckpoint {}\nstarts {}\n",
            self.network, promised.checkpoint, promised.starts
        );
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
    fn a_promise_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = PromiseFile::beside(&dir.path().join("ada.key"));
        assert!(path.ends_with("ada.key.state"));
        let network = NetworkId::from_bytes([1; 32]);
        let mut file = PromiseFile::new(path.clone(), network);
        assert_eq!(file.read().unwrap(), None);
        for (checkpoint, starts) in [(1, 1), (2, 1), (900, 7)] {
            let promised = Promised { checkpoint, starts };
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
        let other = NetworkId::from_bytes([2; 32]);
        let stray = PromiseFile::new(path.clone(), other).read().unwrap_err();
        assert!(stray.to_string().contains("another network's"), "{stray}");
        for garbage in [
            &b""[..],
            b"7",
            b"\xff\xfe\x00",
            b"votenode finaliser state 1\ncheckpoint 7\n",
        ] {
            std::fs::write(&path, garbage).unwrap();
            let error = file.read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("ada.key.state"), "{error}");
        }
    }
}
