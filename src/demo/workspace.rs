//! The demo's directory: everything that it writes, removed at the end unless somebody wants to look.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::DemoError;
use crate::chain::genesis::{Finaliser, Genesis};
use crate::client::time::now_ms;
use crate::crypto::secret_file::{self, Existing, Protection, SecretFileError};
use crate::crypto::{Role, RoleKey, random_bytes};
use crate::genesis::{self, GenesisFileError, Parameters};
use crate::wire::Text;

/// Longest path of a control socket, in bytes: what a Unix socket address holds on every system.
const MAX_SOCKET_PATH: usize = 103;

/// What the node with this number is called, also where it finalises.
pub fn node_name(number: usize) -> String {
    format!("node {number}")
}

/// A directory of the demo's own.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    keep: bool,
}

impl Workspace {
    /// Makes the directory, readable by this user alone, with an empty configuration file: what a user's own one says
    /// is for the user's node.
    pub fn make(keep: bool) -> Result<Self, DemoError> {
        let random = random_bytes::<4>().map_err(DemoError::not_seen)?;
        let name = format!("votenode-demo-{:08x}", u32::from_be_bytes(*random));
        let root = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&root)
            .map_err(|error| DemoError::file("make the directory", &root, &error))?;
        let workspace = Self { root, keep };
        let longest = workspace.node_dir(99).join("control.sock");
        if longest.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(DemoError::machine(
                &format!("use {} for sockets", workspace.root.display()),
                &std::io::Error::other("the path is too long; set TMPDIR to a shorter one"),
            ));
        }
        workspace.create(&workspace.config())?;
        Ok(workspace)
    }

    /// Writes the genesis of a new network, in which so many nodes finalise, and the keys for that. Returns the genesis.
    pub fn write_genesis(&self, finalisers: usize) -> Result<Genesis, DemoError> {
        // A second back, so that the first block is due at once.
        let timestamp_ms = now_ms().saturating_sub(1_000);
        let finalisers = (1..=finalisers).map(|number| self.make_finaliser(number));
        let parameters = Parameters {
            finalisers: finalisers.collect::<Result<_, _>>()?,
            ..Parameters::demo()
        };
        let genesis = parameters
            .build(timestamp_ms)
            .and_then(|genesis| genesis::write(&self.genesis(), &genesis).map(|()| genesis));
        genesis.map_err(|error| match error {
            GenesisFileError::Io { path, error } => DemoError::file("write", &path, &error),
            other => DemoError::not_seen(other),
        })
    }

    /// Makes the key with which the node with this number finalises, in a file that only its owner may read.
    fn make_finaliser(&self, number: usize) -> Result<Finaliser, DemoError> {
        let key = RoleKey::generate(Role::Finaliser).map_err(DemoError::not_seen)?;
        let path = self.finaliser_key(number);
        secret_file::write(&path, &key.to_text(), Protection::ModeOnly, Existing::Keep).map_err(
            |error| match error {
                SecretFileError::Io { source, .. } => DemoError::file("write", &path, &source),
                other => DemoError::not_seen(other),
            },
        )?;
        Ok(Finaliser {
            key: key.public().key(),
            power: 1,
            name: Text::new(&node_name(number)).map_err(DemoError::not_seen)?,
        })
    }

    /// Makes a file, and says clearly why not.
    pub fn create(&self, path: &Path) -> Result<File, DemoError> {
        File::create(path).map_err(|error| DemoError::file("write", path, &error))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The genesis file.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The empty configuration file.
    pub fn config(&self) -> PathBuf {
        self.root.join("votenode.toml")
    }

    /// Data directory of the node with this number.
    pub fn node_dir(&self, number: usize) -> PathBuf {
        self.root.join(format!("node-{number}"))
    }

    /// Key file of the finaliser with this number.
    pub fn finaliser_key(&self, number: usize) -> PathBuf {
        self.root.join(format!("finaliser-{number}.key"))
    }

    /// Log of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    /// The exported chain.
    pub fn export(&self) -> PathBuf {
        self.root.join("election.votechain")
    }

    /// Leaves the directory where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.root) {
            eprintln!("votenode: cannot remove {}: {error}", self.root.display());
        }
    }
}
