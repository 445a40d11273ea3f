//! Where an election stands and how it came out, as of a snapshot. Shared by the protocols for clients and by HTTP, so
//! that everybody is told the same.

use crate::chain::election::ElectionId;
use crate::chain::network::Network;
use crate::chain::schedule;
use crate::chain::state::{ElectionRecord, View};
use crate::protocol::submit::{BlockAt, ElectionInfo, ElectionPhase, ElectionResult};
use crate::store::{Snapshot, StoreError};
use crate::tally::{self, Counter};
use crate::wire::List;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The store cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// This release cannot count it; such an election is not on the chain.
    #[error("{0}")]
    Tally(#[from] tally::TallyError),
}

/// The closing block of an election, if the chain has reached it.
pub fn closing_block(
    snapshot: &Snapshot,
    network: &Network,
    record: &ElectionRecord,
) -> Result<Option<BlockAt>, StoreError> {
    let closing_ms = schedule::closing_ms(network, &record.election.terms);
    Ok(snapshot.first_block_from(closing_ms)?.map(|tip| BlockAt {
        id: tip.id,
        height: tip.height,
    }))
}

/// Where an election stands, as of the snapshot and this clock. Without finalisers no election gets beyond provisional.
pub fn phase(
    record: &ElectionRecord,
    closing_block: Option<&BlockAt>,
    now_ms: u64,
) -> ElectionPhase {
    let terms = &record.election.terms;
    if closing_block.is_some() {
        ElectionPhase::Provisional
    } else if now_ms >= terms.closes_at_ms {
        ElectionPhase::Closing
    } else if now_ms >= terms.opens_at_ms {
        ElectionPhase::Open
    } else {
        ElectionPhase::Scheduled
    }
}

/// An election for a list.
pub fn info(
    snapshot: &Snapshot,
    network: &Network,
    record: &ElectionRecord,
    now_ms: u64,
) -> Result<ElectionInfo, StoreError> {
    let closing = closing_block(snapshot, network, record)?;
    Ok(ElectionInfo {
        election: record.election.clone(),
        transaction: record.transaction,
        height: record.position.height,
        votes: snapshot.vote_count(&record.id)?,
        phase: phase(record, closing.as_ref(), now_ms) as u8,
    })
}

/// The count of an election as of the snapshot; `None` if it is not on the chain.
pub fn result(
    snapshot: &Snapshot,
    network: &Network,
    election: &ElectionId,
    now_ms: u64,
) -> Result<Option<ElectionResult>, ResultError> {
    let Some(record) = snapshot.election(election)? else {
        return Ok(None);
    };
    let terms = &record.election.terms;
    let closing = closing_block(snapshot, network, &record)?;
    let state = snapshot.state();
    let mut counter = Counter::new(election, terms)?;
    // Votes are valid only before the closing block, so that all that the state holds are among its ancestors.
    state
        .for_each_vote(election, &mut |_, vote| counter.add(&vote.choices))
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let eligible = state
        .count_voters(&terms.groups, terms.roll_closes_at_ms)
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let phase = phase(&record, closing.as_ref(), now_ms);
    Ok(Some(ElectionResult {
        election: *election,
        phase: phase as u8,
        closing_block: List::new(closing.into_iter().collect()).expect("one at most"),
        checkpoint: List::new(Vec::new()).expect("none"),
        eligible,
        tally: counter.finish(),
    }))
}
