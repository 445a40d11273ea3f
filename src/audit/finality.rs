//! What the audit notes of finalisers: their sets, checkpoints and convictions.

use std::collections::BTreeMap;

use super::report::{
    BlockReport, CheckpointReport, ConvictionReport, ElectionReport, FinaliserReport,
    FinalityReport, SetReport,
};
use crate::chain::block::Header;
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::election::ElectionId;
use crate::chain::genesis::Finaliser;
use crate::chain::network::Network;
use crate::chain::state::{Conviction, Delta};
use crate::chain::transaction::FinalityMessage;

pub(super) struct Finality {
    sets: Vec<SetReport>,
    convictions: Vec<ConvictionReport>,
    last: Option<CheckpointReport>,
    /// Elections with a closing block that no checkpoint has made final yet.
    waiting: Vec<ElectionId>,
    final_by: BTreeMap<ElectionId, u64>,
}

impl Finality {
    /// None where nobody finalises.
    pub fn new(network: &Network) -> Option<Self> {
        if network.finalisers.is_empty() {
            return None;
        }
        let genesis = set(0, block(network.genesis_header()), &network.finalisers);
        Some(Self {
            sets: vec![SetReport {
                first_checkpoint: Some(1),
                ..genesis
            }],
            convictions: Vec::new(),
            last: None,
            waiting: Vec::new(),
            final_by: BTreeMap::new(),
        })
    }

    /// Notes a valid block, and the elections that it closes.
    pub fn block(&mut self, header: &Header, delta: &Delta, closed: Vec<ElectionId>) {
        for record in &delta.set_changes {
            let change = &record.change;
            self.sets
                .push(set(change.set, block(header), &change.finalisers));
        }
        for conviction in &delta.convictions {
            let report = self.conviction(conviction);
            self.convictions.push(report);
        }
        self.waiting.extend(closed);
    }

    fn conviction(&self, conviction: &Conviction) -> ConvictionReport {
        let offence = &conviction.offence;
        let members = self.sets.iter().rev().flat_map(|set| &set.finalisers);
        let named = members
            .filter(|member| member.key == offence.finaliser)
            .map(|member| member.name.clone())
            .next();
        ConvictionReport {
            name: named.unwrap_or_default(),
            finaliser: offence.finaliser,
            message: match offence.kind {
                FinalityMessage::PROPOSAL => "proposal",
                FinalityMessage::PREVOTE => "prevote",
                _ => "precommit",
            },
            checkpoint: offence.height,
            round: offence.round,
            height: conviction.position.height,
            index: conviction.position.index,
        }
    }

    /// Notes a checkpoint, which passed, of the block with this header; `set` is in force from the next one on.
    pub fn certificate(&mut self, certificate: &CommitCertificate, header: &Header, set: u64) {
        let checkpoint = certificate.checkpoint;
        self.last = Some(CheckpointReport {
            checkpoint,
            set: certificate.set,
            block: block(header),
        });
        let waiting = std::mem::take(&mut self.waiting);
        self.final_by
            .extend(waiting.into_iter().map(|election| (election, checkpoint)));
        if set != certificate.set
            && let Some(report) = self.sets.iter_mut().find(|report| report.set == set)
        {
            report.first_checkpoint = Some(checkpoint + 1);
        }
    }

    /// The checkpoint that made an election's closing block final.
    pub fn final_by(&self, election: &ElectionId) -> Option<u64> {
        self.final_by.get(election).copied()
    }

    /// What the results are worth, and whom not to trust.
    pub fn warn(&self, elections: &[ElectionReport], warnings: &mut Vec<String>) {
        if self.last.is_none() && !elections.is_empty() {
            warnings.push(
                "No certificate of the finalisers is in this chain: every result is provisional."
                    .to_owned(),
            );
        } else {
            let provisional = |election: &&ElectionReport| {
                election.closing_block.is_some() && election.final_by_checkpoint.is_none()
            };
            for election in elections.iter().filter(provisional) {
                warnings.push(format!(
                    "The result of \"{}\" is provisional: no checkpoint has made its closing block final.",
                    election.title
                ));
            }
        }
        if !self.convictions.is_empty() {
            warnings.push(format!(
                "Finalisers who signed two messages where there may be one: {}. If a third of the voting power does, \
                 what is final may be replaced.",
                self.convictions.len()
            ));
        }
    }

    pub fn report(self) -> FinalityReport {
        FinalityReport {
            sets: self.sets,
            checkpoints: self.last.map_or(0, |last| last.checkpoint),
            last_checkpoint: self.last,
            convictions: self.convictions,
        }
    }
}

fn block(header: &Header) -> BlockReport {
    BlockReport {
        id: header.id(),
        height: header.height,
        timestamp_ms: header.timestamp_ms,
    }
}

fn set(number: u64, made_by: BlockReport, members: &[Finaliser]) -> SetReport {
    let finalisers = members.iter().map(|member| FinaliserReport {
        name: member.name.to_string(),
        key: member.key,
        power: member.power,
    });
    SetReport {
        set: number,
        made_by,
        first_checkpoint: None,
        finalisers: finalisers.collect(),
    }
}
