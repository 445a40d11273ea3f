//! `votenode export`, `import` and `audit`: chains in files and data directories.
//!
//! The database of a running node is locked by it; what these commands read of one comes over its control socket.

use std::io::{BufReader, Read};
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::json;

use super::args::{AuditArguments, ExportArguments, ImportArguments};
use super::output::{print, print_either, print_json, progress};
use super::{Exit, Failure, network};
use crate::audit::{self, AuditError};
use crate::chain::genesis::NetworkId;
use crate::config::{Network, Settings};
use crate::control::{Client, ClientError};
use crate::datadir::{DataDir, DataDirError, DataPaths};
use crate::export::{ChainFile, ChainReader, ExportError, stored_blocks};
use crate::import::{self, ImportError, Imported};
use crate::store::{Expect, OpenError, Snapshot, Store, StoreConfig, StoreError};

/// Bytes read from a chain file at once.
const BUFFER_BYTES: usize = 1 << 20;

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::Locked { .. } => Exit::Locked,
            OpenError::Corrupt { .. } | OpenError::NewerFormat { .. } => Exit::Corrupt,
            OpenError::WrongNetwork { .. } => Exit::WrongNetwork,
            OpenError::Empty { .. } | OpenError::Io { .. } => Exit::Failed,
            OpenError::Full { .. } => Exit::DiskFull,
        };
        Self::new(exit, error)
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        match &error {
            DataDirError::Locked { .. } => Self::new(Exit::Locked, error),
            DataDirError::Io { path, error } => Self::file("use the data directory", path, error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Full => Exit::DiskFull,
            StoreError::Corrupt(_) => Exit::Corrupt,
            StoreError::Io(_) | StoreError::Stale | StoreError::Inconsistent(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// Where the chain of a data directory can be read.
pub(super) enum Source {
    /// In its database: no node runs.
    Stored(Snapshot),
    /// From the node that runs on it.
    Running(Client),
}

impl Source {
    /// Opens it, or reaches the node that has it open.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let paths = DataPaths::new(directory);
        let config = StoreConfig {
            check_on_open: false,
            ..StoreConfig::default()
        };
        match Store::open_read_only(&paths, config) {
            Ok(store) => Ok(Self::Stored(store.snapshot())),
            Err(locked @ OpenError::Locked { .. }) => {
                match Client::connect(&paths.control_socket()) {
                    Ok(client) => Ok(Self::Running(client)),
                    // Locked by something that answers no questions: an import, or a node that is just starting.
                    Err(ClientError::NoNode { .. }) => Err(locked.into()),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs `votenode export`.
pub fn export(settings: &Settings, arguments: &ExportArguments) -> Result<(), Failure> {
    let path = &arguments.file;
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!(
            "{} exists already and is not overwritten",
            path.display()
        )));
    }
    let failed = |error| Failure::file("write", path, &error);
    let source = Source::open(&settings.data_dir)?;
    let (network, height) = match source {
        Source::Stored(snapshot) => {
            let network = snapshot.network().clone();
            let bar = progress("exporting", Some(snapshot.tip().height));
            let mut file = ChainFile::create(path, network.genesis(), network.genesis_block())
                .map_err(failed)?;
            for block in stored_blocks(snapshot) {
                let block = block?;
                file.block(block.block).map_err(failed)?;
                if let Some(certificate) = block.certificate {
                    file.certificate(certificate).map_err(failed)?;
                }
                bar.inc(1);
            }
            bar.finish_and_clear();
            (network.id(), file.finish().map_err(failed)?)
        }
        Source::Running(mut client) => {
            let bar = progress("exporting", None);
            let stream = BufReader::with_capacity(BUFFER_BYTES, client.export()?);
            // Read as a chain, so that a file that is not whole is never put in place.
            let reader = ChainReader::new(stream).map_err(Failure::failed)?;
            let network = reader.network().clone();
            let mut file = ChainFile::create(path, network.genesis(), network.genesis_block())
                .map_err(failed)?;
            for block in reader {
                let block = block.map_err(Failure::failed)?;
                file.block(block.block).map_err(failed)?;
                if let Some(certificate) = block.certificate {
                    file.certificate(certificate).map_err(failed)?;
                }
                bar.inc(1);
            }
            bar.finish_and_clear();
            (network.id(), file.finish().map_err(failed)?)
        }
    };
    print_either(
        arguments.json,
        &json!({ "file": path, "network": network, "blocks": height }),
        &format!(
            "Wrote {height} blocks of network {} to {}\n",
            network.short(),
            path.display()
        ),
    )
}

/// Runs `votenode import`.
pub fn import(settings: &Settings, arguments: &ImportArguments) -> Result<(), Failure> {
    let path = &arguments.file;
    let reader = ChainReader::new(open(path)?).map_err(|error| bad_file(path, error))?;
    let network = reader.network().clone();
    if let Some(wanted) = settings.network.as_ref() {
        expect(id_of(wanted)?, network.id())?;
    }
    let dir = DataDir::open(&settings.data_dir)?;
    let config = StoreConfig {
        cache_bytes: settings.store_cache_bytes,
        ..StoreConfig::default()
    };
    let mut store = Store::open(&dir, Expect::Genesis(&network), config)?;
    let bar = progress("importing", None);
    let imported = import::import(&mut store, reader, |done| bar.set_position(done.blocks));
    bar.finish_and_clear();
    let height = store.snapshot().tip().height;
    // What was imported before a failure is kept in order too.
    store.close()?;
    let Imported {
        known,
        blocks,
        transactions,
        certificates,
    } = imported.map_err(|error| import_failure(path, error))?;
    print_either(
        arguments.json,
        &json!({
            "file": path,
            "network": network.id(),
            "blocks_imported": blocks,
            "blocks_known": known,
            "transactions": transactions,
            "certificates_imported": certificates,
            "height": height,
        }),
        &format!(
            "Imported {blocks} blocks with {transactions} transactions{}; {known} were there already. The chain has \
             {height} blocks.\n",
            match certificates {
                0 => String::new(),
                1 => " and 1 certificate".to_owned(),
                many => format!(" and {many} certificates"),
            }
        ),
    )
}

fn import_failure(path: &Path, error: ImportError) -> Failure {
    let exit = match error {
        ImportError::File(error) => return bad_file(path, error),
        ImportError::Store(error) => return error.into(),
        ImportError::WrongNetwork { .. } => Exit::WrongNetwork,
        ImportError::Block { .. }
        | ImportError::Transaction { .. }
        | ImportError::Certificate { .. } => Exit::AuditFailed,
        ImportError::Departs { .. } => Exit::Refused,
        ImportError::State(_) | ImportError::Random(_) => Exit::Failed,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
}

/// Runs `votenode audit`.
pub fn audit(arguments: &AuditArguments) -> Result<(), Failure> {
    let path = &arguments.path;
    let expected = arguments.network.as_ref().map(id_of).transpose()?;
    let bar = progress("auditing", None);
    let report = if path.is_dir() {
        match Source::open(path)? {
            Source::Stored(snapshot) => {
                let network = snapshot.network().clone();
                if let Some(wanted) = expected {
                    expect(wanted, network.id())?;
                }
                audit::audit(network, stored_blocks(snapshot), |done| show(&bar, done))
            }
            Source::Running(mut client) => {
                let stream = BufReader::with_capacity(BUFFER_BYTES, client.export()?);
                audit::audit_file(stream, expected, |done| show(&bar, done))
            }
        }
    } else {
        audit::audit_file(open(path)?, expected, |done| show(&bar, done))
    };
    bar.finish_and_clear();
    match report {
        Ok(report) if arguments.json => {
            let mut value = serde_json::to_value(&report).map_err(Failure::failed)?;
            value["ok"] = json!(true);
            print_json(&value)
        }
        Ok(report) => print(&audit::render(&report)),
        Err(error) => {
            let rule = error.rule();
            Err(audit_failure(path, error).breaking(rule))
        }
    }
}

fn audit_failure(path: &Path, error: AuditError) -> Failure {
    let exit = match error {
        AuditError::Store(error) => return error.into(),
        AuditError::WrongNetwork { .. } => Exit::WrongNetwork,
        AuditError::File(ExportError::Io { .. }) | AuditError::State(_) | AuditError::Random(_) => {
            Exit::Failed
        }
        _ => Exit::AuditFailed,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
}

fn show(bar: &ProgressBar, done: audit::Progress) {
    bar.set_position(done.blocks);
    bar.tick();
}

fn id_of(network: &Network) -> Result<NetworkId, Failure> {
    match network {
        Network::Id(id) => Ok(*id),
        Network::File(path) => network::read(path).map(|genesis| genesis.network_id()),
    }
}

fn expect(wanted: NetworkId, got: NetworkId) -> Result<(), Failure> {
    if wanted == got {
        return Ok(());
    }
    Err(Failure::new(
        Exit::WrongNetwork,
        format!("the chain is of network {got}, not of {wanted}"),
    ))
}

fn open(path: &Path) -> Result<impl Read + Send + use<>, Failure> {
    let file = crate::files::open(path).map_err(|error| Failure::file("read", path, &error))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

fn bad_file(path: &Path, error: ExportError) -> Failure {
    let exit = match error {
        ExportError::Io { .. } => Exit::Failed,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
}
