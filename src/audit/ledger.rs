//! What the audit notes while blocks go by, and the report that it makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::AuditError;
use super::finality::Finality;
use super::report::{
    AdmissionKind, BatchReport, BlockReport, ElectionReport, OptionReport, Registrations, Report,
};
use crate::chain::block::{BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::election::ElectionId;
use crate::chain::genesis::{OPEN_GROUP, OpenAdmission};
use crate::chain::memory::MemoryState;
use crate::chain::network::Network;
use crate::chain::schedule::closing_ms;
use crate::chain::state::{Delta, ElectionRecord, InvitationUse, Position, View};
use crate::chain::transaction::{Admission, Payload, Transaction};
use crate::chain::verify::Verified;
use crate::genesis::is_lan;
use crate::protocol::submit::ElectionPhase;
use crate::tally::Counter;

pub(super) struct Ledger {
    transactions: u64,
    registrations: BTreeMap<(String, AdmissionKind), u64>,
    batches: BTreeMap<Position, BatchReport>,
    /// Elections without a closing block, by the time from which a block closes them.
    closing: BTreeMap<(u64, ElectionId), ()>,
    closed: BTreeMap<ElectionId, BlockReport>,
    /// None where nobody finalises.
    finality: Option<Finality>,
}

impl Ledger {
    pub fn new(network: &Network) -> Self {
        Self {
            transactions: 0,
            registrations: BTreeMap::new(),
            batches: BTreeMap::new(),
            closing: BTreeMap::new(),
            closed: BTreeMap::new(),
            finality: Finality::new(network),
        }
    }

    /// Notes a valid block; `state` is the one after it.
    pub fn block(
        &mut self,
        network: &Network,
        id: BlockId,
        header: &Header,
        transactions: &[Verified<Transaction>],
        delta: &Delta,
        state: &MemoryState,
    ) -> Result<(), AuditError> {
        self.transactions += transactions.len() as u64;
        let mut voters = delta.voters.iter();
        for (index, transaction) in (0u32..).zip(transactions) {
            match &transaction.payload {
                Payload::Registration { registration } => {
                    let admission = match registration.admission {
                        Admission::Open { .. } => AdmissionKind::Open,
                        Admission::Invited { .. } => AdmissionKind::Invited,
                    };
                    // Voters stand in the delta in the order of their registrations.
                    if let Some((entry, _)) = voters.next() {
                        let group = entry.group.to_string();
                        *self.registrations.entry((group, admission)).or_default() += 1;
                    }
                }
                Payload::InvitationBatch { batch } => {
                    let position = Position {
                        height: header.height,
                        index,
                    };
                    let organiser = network
                        .organisers
                        .iter()
                        .find(|organiser| organiser.key == batch.organiser)
                        .map_or_else(String::new, |organiser| organiser.name.to_string());
                    let report = BatchReport {
                        group: batch.group.to_string(),
                        organiser,
                        height: header.height,
                        index,
                        issued_at_ms: header.timestamp_ms,
                        issued: batch.keys.len() as u64,
                        used: 0,
                        first_used_at_ms: None,
                        last_used_at_ms: None,
                        revoked: 0,
                        last_revoked_at_ms: None,
                    };
                    self.batches.insert(position, report);
                }
                _ => {}
            }
        }
        for (key, invitation_use) in &delta.invitation_uses {
            let batch = state.invitation(key)?.map(|invitation| invitation.batch);
            let Some(batch) = batch.and_then(|position| self.batches.get_mut(&position)) else {
                continue;
            };
            let now = Some(header.timestamp_ms);
            match invitation_use {
                InvitationUse::Spent(_) => {
                    batch.used += 1;
                    batch.first_used_at_ms = batch.first_used_at_ms.or(now);
                    batch.last_used_at_ms = now;
                }
                InvitationUse::Revoked(_) => {
                    batch.revoked += 1;
                    batch.last_revoked_at_ms = now;
                }
            }
        }
        for record in &delta.elections {
            let closes = closing_ms(network, &record.election.terms);
            self.closing.insert((closes, record.id), ());
        }
        let block = BlockReport {
            id,
            height: header.height,
            timestamp_ms: header.timestamp_ms,
        };
        let mut closed = Vec::new();
        while let Some(first) = self.closing.first_entry() {
            if first.key().0 > header.timestamp_ms {
                break;
            }
            let election = first.remove_entry().0.1;
            self.closed.insert(election, block);
            closed.push(election);
        }
        if let Some(finality) = &mut self.finality {
            finality.block(header, delta, closed);
        }
        Ok(())
    }

    /// Notes what made the last block final; `set` decides the next checkpoint.
    pub fn certificate(&mut self, certificate: &CommitCertificate, header: &Header, set: u64) {
        if let Some(finality) = &mut self.finality {
            finality.certificate(certificate, header, set);
        }
    }

    /// Counts every election and puts everything together.
    pub fn report(
        self,
        network: &Network,
        tip: &Header,
        state: &MemoryState,
    ) -> Result<Report, AuditError> {
        let mut records = Vec::new();
        state.for_each_election(&mut |record| records.push(Arc::clone(record)))?;
        let elections = records
            .iter()
            .map(|record| self.election(record, tip, state))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Report {
            network_id: network.id(),
            network_name: network.name.to_string(),
            tip: BlockReport {
                id: tip.id(),
                height: tip.height,
                timestamp_ms: tip.timestamp_ms,
            },
            transactions: self.transactions,
            voters: tip.roll_size,
            warnings: self.warnings(network, &elections),
            finality: self.finality.map(Finality::report),
            registrations: self
                .registrations
                .into_iter()
                .map(|((group, admission), voters)| Registrations {
                    group,
                    admission,
                    voters,
                })
                .collect(),
            invitations: self.batches.into_values().collect(),
            elections,
        })
    }

    fn election(
        &self,
        record: &ElectionRecord,
        tip: &Header,
        state: &MemoryState,
    ) -> Result<ElectionReport, AuditError> {
        let terms = &record.election.terms;
        let mut counter = Counter::new(&record.id, terms).map_err(|error| AuditError::Tally {
            election: record.id,
            error,
        })?;
        // The rules keep votes out of the closing block and all that follow it.
        state.for_each_vote(&record.id, &mut |_, vote| counter.add(&vote.choices))?;
        let tally = counter.finish();
        let closing_block = self.closed.get(&record.id).copied();
        let final_by_checkpoint = self
            .finality
            .as_ref()
            .and_then(|finality| finality.final_by(&record.id));
        let phase = match closing_block {
            Some(_) if final_by_checkpoint.is_some() => ElectionPhase::Final,
            Some(_) => ElectionPhase::Provisional,
            None if tip.timestamp_ms < terms.opens_at_ms => ElectionPhase::Scheduled,
            None if tip.timestamp_ms < terms.closes_at_ms => ElectionPhase::Open,
            None => ElectionPhase::Closing,
        };
        let seat = |option: usize| {
            let place = tally
                .winners
                .iter()
                .position(|winner| usize::from(*winner) == option);
            place.map(|place| place as u64 + 1)
        };
        let options: Vec<OptionReport> = terms
            .options
            .iter()
            .zip(tally.totals.iter())
            .enumerate()
            .map(|(option, (name, total))| OptionReport {
                name: name.to_string(),
                total: *total,
                seat: seat(option),
            })
            .collect();
        let by_lot = tally.by_lot();
        let winners = tally
            .winners
            .iter()
            .filter_map(|winner| terms.options.get(usize::from(*winner)))
            .map(|name| name.to_string())
            .collect();
        Ok(ElectionReport {
            election: record.id,
            title: terms.title.to_string(),
            question: terms.question.to_string(),
            height: record.position.height,
            method: record
                .election
                .method()
                .map_or("unknown", |method| method.name()),
            seats: terms.seats,
            groups: terms.groups.iter().map(|group| group.to_string()).collect(),
            opens_at_ms: terms.opens_at_ms,
            closes_at_ms: terms.closes_at_ms,
            roll_closes_at_ms: terms.roll_closes_at_ms,
            phase,
            closing_block,
            depth: closing_block.map(|block| tip.height - block.height),
            final_by_checkpoint,
            eligible: state.count_voters(&terms.groups, terms.roll_closes_at_ms)?,
            votes: tally.votes,
            blank: tally.blank,
            spoiled: tally.spoiled,
            options,
            winners,
            by_lot,
        })
    }

    fn warnings(&self, network: &Network, elections: &[ElectionReport]) -> Vec<String> {
        let mut warnings = Vec::new();
        if is_lan(&network.id()) {
            warnings.push(
                "This is the built-in network for trials; nobody vouches for who is on its roll."
                    .to_owned(),
            );
        }
        let open = matches!(network.open_admission, OpenAdmission::Stamped { .. });
        for election in elections {
            if open && election.groups.iter().any(|group| group == OPEN_GROUP) {
                warnings.push(format!(
                    "\"{}\" admits voters without invitations: this is not one person, one vote.",
                    election.title
                ));
            }
        }
        match &self.finality {
            None if !elections.is_empty() => warnings.push(
                "Nobody finalises in this network: every result is provisional, and whoever spends more work can \
                 replace the chain."
                    .to_owned(),
            ),
            Some(finality) => finality.warn(elections, &mut warnings),
            None => {}
        }
        warnings
    }
}
