//! `submit/1` from a snapshot: everything but submissions.

use std::sync::Arc;

use tracing::error;

use super::Server;
use crate::chain::state::{ElectionRecord, View, VoterTag};
use crate::chain::transaction::TxId;
use crate::node::results::{self, ResultError};
use crate::protocol::submit::{
    ElectionInfo, Inclusion, MAX_ELECTIONS, Reply, Request, TxStatus, VoterInfo,
};
use crate::store::{Snapshot, StoreError};
use crate::wire::List;

impl Server {
    /// The reply to a request other than [`Request::Submit`], which answers `busy` here.
    pub fn submit(&self, request: &Request, now_ms: u64) -> Reply {
        let snapshot = self.reader.snapshot();
        self.answer_submit(&snapshot, request, now_ms)
            .unwrap_or_else(|error| {
                error!(%error, "a request of a client could not be answered");
                Reply::Busy {}
            })
    }

    fn answer_submit(
        &self,
        snapshot: &Snapshot,
        request: &Request,
        now_ms: u64,
    ) -> Result<Reply, ResultError> {
        Ok(match request {
            Request::Submit { .. } => Reply::Busy {},
            Request::Status { ids } => {
                let statuses = ids
                    .iter()
                    .map(|id| self.status_of(snapshot, id))
                    .collect::<Result<Vec<_>, _>>()?;
                Reply::Status {
                    statuses: list(statuses),
                }
            }
            Request::Elections { skip } => {
                let records = snapshot.elections(*skip, MAX_ELECTIONS)?;
                self.elections(snapshot, &records, now_ms)?
            }
            Request::Election { election } => {
                let record: Vec<_> = snapshot.election(election)?.into_iter().collect();
                self.elections(snapshot, &record, now_ms)?
            }
            Request::Result { election } => {
                let result = self
                    .tallies
                    .result(snapshot, &self.network, election, now_ms)?;
                Reply::Result {
                    result: list(result.into_iter().collect()),
                }
            }
            Request::Voter { voter } => {
                let known = snapshot
                    .state()
                    .voter(voter)
                    .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                let mut infos = Vec::new();
                if let Some(voter) = known
                    && let Some(transaction) = id_at(snapshot, voter.position)?
                {
                    infos.push(VoterInfo {
                        transaction,
                        roll_index: voter.roll_index,
                        group: voter.group,
                        height: voter.position.height,
                    });
                }
                Reply::Voter { voter: list(infos) }
            }
            Request::VoteOf { election, voter } => {
                let vote = snapshot
                    .state()
                    .vote(election, &VoterTag::Key(*voter))
                    .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                let transaction = match vote {
                    Some(vote) => id_at(snapshot, vote.position)?,
                    None => None,
                };
                Reply::VoteOf {
                    transaction: list(transaction.into_iter().collect()),
                }
            }
            Request::Have { ids } => {
                let held = ids
                    .iter()
                    .map(|id| {
                        let held =
                            snapshot.pending(id)?.is_some() || snapshot.position(id)?.is_some();
                        Ok(u8::from(held))
                    })
                    .collect::<Result<Vec<u8>, StoreError>>()?;
                Reply::Have { held: list(held) }
            }
        })
    }

    fn elections(
        &self,
        snapshot: &Snapshot,
        records: &[Arc<ElectionRecord>],
        now_ms: u64,
    ) -> Result<Reply, StoreError> {
        let elections = records
            .iter()
            .map(|record| results::info(snapshot, &self.network, record, now_ms))
            .collect::<Result<Vec<ElectionInfo>, _>>()?;
        Ok(Reply::Elections {
            elections: list(elections),
            total: snapshot.counts().elections,
        })
    }

    fn status_of(&self, snapshot: &Snapshot, id: &TxId) -> Result<TxStatus, StoreError> {
        if let Some(found) = snapshot.inclusion(id)? {
            let height = found.header.height;
            let inclusion = Inclusion {
                header: found.header,
                index: found.proof.index,
                count: found.proof.count,
                path: list(found.proof.path),
            };
            return Ok(match snapshot.first_certificate_at_or_above(height)? {
                Some(checkpoint) => TxStatus::Final {
                    inclusion,
                    certificate: checkpoint.certificate,
                },
                None => TxStatus::Included {
                    inclusion,
                    depth: snapshot.tip().height.saturating_sub(height),
                },
            });
        }
        if snapshot.pending(id)?.is_some() {
            return Ok(TxStatus::Pending {});
        }
        Ok(match self.dropped.reason(id) {
            Some(reason) => TxStatus::Dropped { reason },
            None => TxStatus::Unknown {},
        })
    }
}

/// A list whose bounds follow from the request's or the protocol's own.
fn list<T, const MIN: usize, const MAX: usize>(items: Vec<T>) -> List<T, MIN, MAX> {
    List::new(items).expect("no more than was asked for or fits")
}

/// The id of the transaction at a position of the main chain.
fn id_at(
    snapshot: &Snapshot,
    position: crate::chain::state::Position,
) -> Result<Option<TxId>, StoreError> {
    let Some(block) = snapshot.main_id(position.height)? else {
        return Ok(None);
    };
    let body = snapshot.block_body(&block)?;
    Ok(body.and_then(|body| body.ids().get(position.index as usize).copied()))
}
