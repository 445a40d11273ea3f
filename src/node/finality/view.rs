//! What is shown of checkpoints.

use serde::Serialize;

use super::duty::Silence;
use crate::chain::block::BlockId;
use crate::chain::state::View as _;
use crate::crypto::PublicKey;
use crate::node::Node;

/// Checkpoints of a network that has finalisers.
#[derive(Clone, Debug, Serialize)]
pub struct FinalityStatus {
    /// Number of the last checkpoint; 0 if there is none yet.
    pub checkpoint: u64,
    /// Its block; the genesis block if there is none yet.
    pub block: BlockId,
    /// Height of that.
    pub height: u64,
    /// How long that block took from joining this node's best chain to being final, in milliseconds; none if this node
    /// did not see it.
    pub took_ms: Option<u64>,
    /// Number of the set of finalisers in force.
    pub set: u64,
    /// Who finalises.
    pub finalisers: Vec<FinaliserView>,
    /// Power of all finalisers.
    pub total_power: u64,
    /// Round of the consensus on the next checkpoint; none while there is nothing to decide.
    pub round: Option<u64>,
    /// Key under which this node finalises.
    pub own_key: Option<PublicKey>,
    /// Finalisers of whom the chain holds a proof that they signed two things at one place.
    pub convictions: u64,
    /// Why the next checkpoint is not decided although there are blocks above the last; in words.
    pub waiting: Option<String>,
}

/// A finaliser, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct FinaliserView {
    /// Its key.
    pub key: PublicKey,
    /// Its name.
    pub name: String,
    /// Its power.
    pub power: u64,
    /// Whether anything was heard of it in the latest round of the next checkpoint; none while nothing is decided.
    pub heard: Option<bool>,
}

impl Node {
    /// What is shown of checkpoints; none where nobody finalises.
    pub(in crate::node) fn finality_status(&self) -> Option<FinalityStatus> {
        if !self.network.finalises() {
            return None;
        }
        let finality = &self.finality;
        let (block, height) = self.checkpoint();
        let under_way = finality.is_under_way();
        let round = finality.votes.round(&finality.set);
        let present: Vec<&PublicKey> = finality.votes.present(round).collect();
        let finalisers = finality
            .set
            .members()
            .iter()
            .map(|member| FinaliserView {
                key: member.key,
                name: member.name.to_string(),
                power: member.power,
                heard: under_way.then(|| present.contains(&&member.key)),
            })
            .collect();
        Some(FinalityStatus {
            checkpoint: finality.next() - 1,
            block,
            height,
            took_ms: finality.took_ms,
            set: finality.set.number(),
            finalisers,
            total_power: finality.set.total(),
            round: under_way.then_some(round),
            own_key: finality.duty.as_ref().map(|duty| *duty.key()),
            convictions: self
                .store
                .snapshot()
                .state()
                .conviction_count()
                .unwrap_or_default(),
            waiting: self.why_not_final(),
        })
    }

    /// Why blocks above the last checkpoint do not become final.
    fn why_not_final(&self) -> Option<String> {
        let finality = &self.finality;
        if let Some(conflict) = &finality.conflict {
            return Some(format!(
                "two certificates conflict at checkpoint {}: this node has stopped",
                conflict.theirs.checkpoint
            ));
        }
        match finality.duty.as_ref().and_then(|duty| duty.silence()) {
            None => {}
            Some(Silence::NotInSet) => {
                return Some(
                    "this node's finaliser key is not in the set of finalisers in force".into(),
                );
            }
            Some(Silence::Restored { through }) => {
                return Some(format!(
                    "this finaliser signs nothing up to checkpoint {through}: its key signed something that this node's \
                     data does not know of"
                ));
            }
            Some(Silence::Unknown) => {
                return Some(
                    "this finaliser has yet to ask a peer what its key signed before".into(),
                );
            }
            Some(Silence::Twin) => {
                return Some(
                    "another node signs with this finaliser's key; this one signs nothing any more. End one of the two, \
                     and start the other anew"
                        .into(),
                );
            }
            Some(Silence::PromiseFailed) => {
                return Some("the finaliser's state beside its key cannot be written".into());
            }
        }
        let waits = finality.candidate && finality.pull.in_vain();
        let round = finality.votes.round(&finality.set);
        let present: Vec<&PublicKey> = finality.votes.present(round).collect();
        let power: u64 = present
            .iter()
            .filter_map(|key| finality.set.member(key))
            .map(|member| member.power)
            .sum();
        if !waits {
            return None;
        }
        if finality.set.is_quorum(power) {
            return Some(format!(
                "checkpoint {} is not decided yet, in round {round}: finalisers with {power} of {} votes were heard, none \
                 of them lately",
                finality.next(),
                finality.set.total()
            ));
        }
        let missing: Vec<String> = finality
            .set
            .members()
            .iter()
            .filter(|member| !present.contains(&&member.key))
            .map(|member| member.name.to_string())
            .collect();
        Some(format!(
            "checkpoint {} takes more than two thirds of {} votes, and finalisers with {power} are heard; not heard: {}",
            finality.next(),
            finality.set.total(),
            missing.join(", ")
        ))
    }
}
