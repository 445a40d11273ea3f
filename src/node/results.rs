//! Where an election stands and how it came out, as of a snapshot. Shared by the protocols for clients and by HTTP, so
//! that everybody is told the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::chain::block::BlockId;
use crate::chain::election::ElectionId;
use crate::chain::network::Network;
use crate::chain::schedule;
use crate::chain::state::{ElectionRecord, View, ViewError};
use crate::protocol::submit::{BlockAt, ElectionInfo, ElectionPhase, ElectionResult};
use crate::store::{Snapshot, StoreError};
use crate::tally::{self, Counter, Tally};
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

/// The checkpoint that makes a block final, if there is one: the first at or above it.
pub fn checkpoint_of(snapshot: &Snapshot, block: &BlockAt) -> Result<Option<BlockAt>, StoreError> {
    let first = snapshot.first_certificate_at_or_above(block.height)?;
    Ok(first.map(|first| BlockAt {
        id: first.certificate.block,
        height: first.height,
    }))
}

/// Where an election stands, as of the snapshot and this clock. Without finalisers no election gets beyond provisional.
pub fn phase(
    record: &ElectionRecord,
    closing_block: Option<&BlockAt>,
    checkpoint: Option<&BlockAt>,
    now_ms: u64,
) -> ElectionPhase {
    let terms = &record.election.terms;
    if closing_block.is_some() && checkpoint.is_some() {
        ElectionPhase::Final
    } else if closing_block.is_some() {
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
    let checkpoint = final_since(snapshot, closing.as_ref())?;
    Ok(ElectionInfo {
        election: record.election.clone(),
        transaction: record.transaction,
        height: record.position.height,
        votes: snapshot.vote_count(&record.id)?,
        phase: phase(record, closing.as_ref(), checkpoint.as_ref(), now_ms) as u8,
    })
}

/// The checkpoint that makes a result final, if polls are closed and it is.
pub fn final_since(
    snapshot: &Snapshot,
    closing_block: Option<&BlockAt>,
) -> Result<Option<BlockAt>, StoreError> {
    closing_block.map_or(Ok(None), |block| checkpoint_of(snapshot, block))
}

/// Counts of elections, kept as long as they hold: a count reads every vote, and many ask for the same one.
///
/// One count runs at a time; whoever asks for the same meanwhile waits for it instead of reading the votes again.
#[derive(Debug, Default)]
pub struct Tallies(Mutex<VecDeque<Counted>>);

/// Elections whose counts are kept; whichever was counted longest ago goes first.
const MAX_COUNTED: usize = 32;

#[derive(Debug)]
struct Counted {
    election: ElectionId,
    /// The block as of which it holds: the closing block once there is one, else the tip.
    as_of: BlockId,
    tally: Tally,
    eligible: u64,
}

impl Tallies {
    /// The result of an election as of the snapshot; `None` if it is not on the chain.
    pub fn result(
        &self,
        snapshot: &Snapshot,
        network: &Network,
        election: &ElectionId,
        now_ms: u64,
    ) -> Result<Option<ElectionResult>, ResultError> {
        let Some(record) = snapshot.election(election)? else {
            return Ok(None);
        };
        let closing = closing_block(snapshot, network, &record)?;
        let checkpoint = final_since(snapshot, closing.as_ref())?;
        let as_of = closing
            .as_ref()
            .map_or_else(|| snapshot.tip().id, |block| block.id);
        let (tally, eligible) = self.count(snapshot, &record, as_of)?;
        Ok(Some(ElectionResult {
            election: *election,
            phase: phase(&record, closing.as_ref(), checkpoint.as_ref(), now_ms) as u8,
            closing_block: List::new(closing.into_iter().collect()).expect("one at most"),
            checkpoint: List::new(checkpoint.into_iter().collect()).expect("one at most"),
            eligible,
            tally,
        }))
    }

    fn count(
        &self,
        snapshot: &Snapshot,
        record: &ElectionRecord,
        as_of: BlockId,
    ) -> Result<(Tally, u64), ResultError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = kept
            .iter()
            .find(|counted| counted.election == record.id && counted.as_of == as_of)
        {
            return Ok((counted.tally.clone(), counted.eligible));
        }
        let terms = &record.election.terms;
        let state = snapshot.state();
        let mut counter = Counter::new(&record.id, terms)?;
        // Votes are valid only before the closing block, so that all that the state holds are among its ancestors.
        let failed = |error: ViewError| StoreError::Corrupt(error.to_string());
        state
            .for_each_vote(&record.id, &mut |_, vote| counter.add(&vote.choices))
            .map_err(failed)?;
        let eligible = state
            .count_voters(&terms.groups, terms.roll_closes_at_ms)
            .map_err(failed)?;
        let tally = counter.finish();
        kept.retain(|counted| counted.election != record.id);
        if kept.len() == MAX_COUNTED {
            kept.pop_front();
        }
        kept.push_back(Counted {
            election: record.id,
            as_of,
            tally: tally.clone(),
            eligible,
        });
        Ok((tally, eligible))
    }
}
