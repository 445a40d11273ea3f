//! Certificates of checkpoints and the consensus engine's log.
//!
//! Certificates are numbered from 1 on without a gap and their blocks stand ever higher on the main chain, so that the
//! first one at or above a block is a search by halves. No commit takes one back.

use redb::{ReadableTable, WriteTransaction};

use super::commit::Commit;
use super::error::StoreError;
use super::record::{StoredHeader, decode};
use super::snapshot::Snapshot;
use super::tables;
use crate::chain::checkpoint::CommitCertificate;
use crate::wire;

/// A block that the finalisers decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Height of the block.
    pub height: u64,
    /// What proves it; names the block and the number of the checkpoint.
    pub certificate: CommitCertificate,
}

impl Checkpoint {
    /// An entry of table `certificates`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [
            &self.height.to_be_bytes()[..],
            &wire::encode(&self.certificate),
        ]
        .concat()
    }

    /// Reads [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (height, certificate) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| StoreError::Corrupt("table certificates: too short".to_owned()))?;
        Ok(Self {
            height: u64::from_be_bytes(*height),
            certificate: decode("certificates", certificate)?,
        })
    }
}

impl Snapshot {
    /// The last checkpoint.
    pub fn last_certificate(&self) -> Result<Option<Checkpoint>, StoreError> {
        last(&self.tables().certificates)
    }

    /// A checkpoint by its number, from 1 on.
    pub fn certificate(&self, checkpoint: u64) -> Result<Option<Checkpoint>, StoreError> {
        self.tables()
            .certificates
            .get(checkpoint)?
            .map(|stored| Checkpoint::from_bytes(stored.value()))
            .transpose()
    }

    /// Checkpoints from a number on, at most `max`.
    pub fn certificates(&self, from: u64, max: usize) -> Result<Vec<Checkpoint>, StoreError> {
        self.tables()
            .certificates
            .range(from..)?
            .take(max)
            .map(|entry| Checkpoint::from_bytes(entry?.1.value()))
            .collect()
    }

    /// The first checkpoint at or above a height: the one that makes the block there final.
    pub fn first_certificate_at_or_above(
        &self,
        height: u64,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let Some(last) = self
            .last_certificate()?
            .filter(|last| last.height >= height)
        else {
            return Ok(None);
        };
        let (mut low, mut found) = (1, last);
        while low < found.certificate.checkpoint {
            let middle = low + (found.certificate.checkpoint - low) / 2;
            let checkpoint = self.certificate(middle)?.ok_or_else(|| {
                StoreError::Corrupt(format!("table certificates lacks checkpoint {middle}"))
            })?;
            if checkpoint.height < height {
                low = middle + 1;
            } else {
                found = checkpoint;
            }
        }
        Ok(Some(found))
    }

    /// The consensus engine's log, oldest entry first.
    pub fn finality_log(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.tables()
            .finality_log
            .range(0..)?
            .map(|entry| Ok(entry?.1.value().to_vec()))
            .collect()
    }
}

fn last(
    certificates: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<Option<Checkpoint>, StoreError> {
    certificates
        .last()?
        .map(|(_, stored)| Checkpoint::from_bytes(stored.value()))
        .transpose()
}

/// Refuses to take a checkpoint's block off the main chain.
pub(super) fn check_rewind(
    transaction: &WriteTransaction,
    rewind_to: u64,
) -> Result<(), StoreError> {
    let last = last(&transaction.open_table(tables::CERTIFICATES)?)?;
    match last {
        Some(last) if rewind_to < last.height => Err(StoreError::Inconsistent(
            "a reorganisation across a checkpoint",
        )),
        _ => Ok(()),
    }
}

/// Writes certificates and the log. The main chain has changed already.
pub(super) fn write(transaction: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    if !commit.certificates.is_empty() {
        write_certificates(transaction, &commit.certificates)?;
    }
    if commit.finality_log_clear || !commit.finality_log.is_empty() {
        let mut log = transaction.open_table(tables::FINALITY_LOG)?;
        if commit.finality_log_clear {
            log.retain(|_, _| false)?;
        }
        let next = log.last()?.map_or(0, |(number, _)| number.value() + 1);
        for (number, entry) in (next..).zip(&commit.finality_log) {
            log.insert(number, entry.as_slice())?;
        }
    }
    Ok(())
}

fn write_certificates(
    transaction: &WriteTransaction,
    certificates: &[CommitCertificate],
) -> Result<(), StoreError> {
    let headers = transaction.open_table(tables::HEADERS)?;
    let main = transaction.open_table(tables::MAIN)?;
    let mut table = transaction.open_table(tables::CERTIFICATES)?;
    // The genesis block needs no certificate, so that the first one's block is above it too.
    let (mut number, mut below) = match last(&table)? {
        Some(last) => (last.certificate.checkpoint, last.height),
        None => (0, 0),
    };
    for certificate in certificates {
        // A commit that was in doubt has turned out to be durable, and comes again.
        if certificate.checkpoint <= number {
            let stored = table.get(certificate.checkpoint)?;
            let stored = stored.map(|stored| Checkpoint::from_bytes(stored.value()));
            if stored
                .transpose()?
                .is_some_and(|stored| stored.certificate.block == certificate.block)
            {
                continue;
            }
        }
        number += 1;
        if certificate.checkpoint != number {
            return Err(StoreError::Inconsistent(
                "a certificate that is not the next one",
            ));
        }
        let id = certificate.block.as_bytes();
        let height = match headers.get(id)? {
            Some(stored) => {
                decode::<StoredHeader>("headers", stored.value())?
                    .header
                    .height
            }
            None => {
                return Err(StoreError::Inconsistent(
                    "a certificate of an unknown block",
                ));
            }
        };
        if main.get(height)?.is_none_or(|main| main.value() != id) {
            return Err(StoreError::Inconsistent(
                "a certificate of a block off the main chain",
            ));
        }
        if height <= below {
            return Err(StoreError::Inconsistent(
                "a certificate of a block that is not above the last checkpoint",
            ));
        }
        let checkpoint = Checkpoint {
            height,
            certificate: certificate.clone(),
        };
        table.insert(number, checkpoint.to_bytes().as_slice())?;
        below = height;
    }
    Ok(())
}
