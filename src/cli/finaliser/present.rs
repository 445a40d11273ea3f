//! Who finalises now, as the genesis or a chain tells.

use std::fs;
use std::io::{self, BufReader};
use std::path::Path;

use super::ChangeFailure;
use crate::chain::checkpoint::{FinaliserSet, MAX_CHANGES};
use crate::chain::genesis::NetworkId;
use crate::chain::network::Network;
use crate::chain::transaction::{FinaliserChange, Payload};
use crate::cli::archive::Source;
use crate::cli::{Exit, Failure};
use crate::client::proof::follow_changes;
use crate::export::{ChainReader, ExportError};

/// Bytes read from a chain at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The set that has to approve set `next`: that of the genesis, or the latest of a chain. `None` if nothing tells.
pub(super) fn present_set(
    network: &Network,
    next: u64,
    chain: Option<&Path>,
) -> Result<Option<FinaliserSet>, Failure> {
    let Some(path) = chain else {
        return Ok((next == 1).then(|| FinaliserSet::genesis(network)));
    };
    let changes = changes_of(path, network)?;
    let latest = follow_changes(network, &changes)
        .map_err(|error| Failure::new(Exit::AuditFailed, format!("{}: {error}", path.display())))?
        .pop();
    match latest {
        Some(set) if set.number() + 1 != next => Err(ChangeFailure::Number {
            latest: set.number(),
            claimed: next,
        }
        .into()),
        latest => Ok(latest),
    }
}

/// The changes of the finalisers that a chain holds, in an exported file or a data directory.
fn changes_of(path: &Path, network: &Network) -> Result<Vec<FinaliserChange>, Failure> {
    let same = |got: NetworkId| match got == network.id() {
        true => Ok(()),
        false => Err(ChangeFailure::OtherNetwork {
            path: path.to_owned(),
            got,
            wanted: network.id(),
        }),
    };
    if !path.is_dir() {
        let file = fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        let reader = ChainReader::new(BufReader::with_capacity(BUFFER_BYTES, file));
        let reader = reader.map_err(|error| unread(path, error))?;
        same(reader.network().id())?;
        return changes_in(path, reader);
    }
    match Source::open(path)? {
        Source::Stored(snapshot) => {
            same(snapshot.network().id())?;
            Ok(snapshot.finaliser_changes(MAX_CHANGES)?)
        }
        Source::Running(mut client) => {
            let stream = BufReader::with_capacity(BUFFER_BYTES, client.export()?);
            let reader = ChainReader::new(stream).map_err(|error| unread(path, error))?;
            same(reader.network().id())?;
            changes_in(path, reader)
        }
    }
}

fn changes_in<R: io::Read>(
    path: &Path,
    reader: ChainReader<R>,
) -> Result<Vec<FinaliserChange>, Failure> {
    let mut changes = Vec::new();
    for block in reader {
        let block = block.map_err(|error| unread(path, error))?.block;
        for transaction in block.transactions.into_vec() {
            if let Payload::FinaliserChange { change } = transaction.payload {
                changes.push(change);
            }
        }
    }
    Ok(changes)
}

fn unread(path: &Path, error: ExportError) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}
