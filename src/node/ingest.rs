//! How a transaction gets into the mempool: cheap checks, verification elsewhere, state checks, and the answer to
//! whoever brought it.
//!
//! Transactions arrive in arrays. A [`Ticket`] follows an array until every item has a verdict; then a gossip message
//! is accepted, ignored or rejected as a whole, and a submitter gets an outcome per item. Items whose voter, election
//! or invitation is not on the chain yet are held for a moment, because topics are not ordered among each other.

use tracing::debug;
use votenode_p2p::{MessageId, PeerId, Verdict};

use super::intake::{Bringer, Fate, Held, Room, Ticket};
use super::mempool::Refusal;
use super::{Effect, Job, Node, Submitter};
use crate::chain::form::check_form;
use crate::chain::invalid::{Failure, Invalid};
use crate::chain::rules;
use crate::chain::state::{View, ViewError};
use crate::chain::transaction::{Payload, Transaction, TxId};
use crate::chain::verify::Verified;
use crate::planted::{self, Fault};
use crate::protocol::gossip::TransactionBatch;
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;
use crate::wire;

/// Most arrays under way at once. What comes above that is ignored, or answered with `busy`.
pub(super) const MAX_TICKETS: usize = 4_096;
/// Most verification jobs under way at once; each is an array of at most 64 KiB or a block.
pub(super) const MAX_JOBS: usize = 256;
/// Score points for a message that no correct peer forwards.
const INVALID_POINTS: u32 = 10;
/// Score points for a submission with something that is wrong in every state. People try again and make mistakes; what
/// each costs is a signature.
const SUBMITTED_POINTS: u32 = 3;
/// Score points for each useless message when the patience with a peer is over.
const USELESS_POINTS: u32 = 1;
/// Score points for a rejected gossip message, beside what gossip itself takes off for it.
const REJECTED_POINTS: u32 = 1;

impl Node {
    /// An array of transactions from gossip.
    pub(super) fn gossiped_transactions(
        &mut self,
        topic: Topic,
        id: MessageId,
        from: PeerId,
        data: &[u8],
    ) {
        let batch: TransactionBatch = match wire::decode(data) {
            Ok(batch) => batch,
            Err(error) => return self.reject_gossip(id, from, &error.to_string()),
        };
        self.gossiped_batch(topic, id, from, batch.transactions.into_vec());
    }

    /// Transactions from gossip, taken out of their array.
    pub(super) fn gossiped_batch(
        &mut self,
        topic: Topic,
        id: MessageId,
        from: PeerId,
        transactions: Vec<Transaction>,
    ) {
        if let Some(alien) = transactions
            .iter()
            .find(|transaction| Topic::of(transaction.kind()) != topic)
        {
            let text = format!("a {} on topic {}", alien.kind().name(), topic.name());
            return self.reject_gossip(id, from, &text);
        }
        if self.crowded_out() || self.write_failure.is_some() {
            return self.report(id, from, Verdict::Ignore);
        }
        match self.intake.room_of(&from) {
            Room::Left => {}
            // While this node catches up, nearly everything refers to what it has yet to learn.
            Room::Held if !self.is_syncing() => return self.ignore_useless(id, from),
            Room::Held | Room::Busy => return self.report(id, from, Verdict::Ignore),
        }
        self.take(Bringer::Gossip { id, from }, transactions);
    }

    /// A transaction that this node makes.
    pub(super) fn take_own(&mut self, transaction: Transaction) {
        self.take(Bringer::Own, vec![transaction]);
    }

    /// Transactions from a client.
    pub(super) fn submitted(&mut self, submitter: Submitter, transactions: Vec<Transaction>) {
        if self.overloaded() || self.write_failure.is_some() || self.is_syncing() {
            let outcomes = transactions.iter().map(|_| Outcome::Busy {}).collect();
            self.answers.push((submitter, outcomes));
            return;
        }
        self.take(Bringer::Submit(submitter), transactions);
    }

    /// Transactions that a peer's pool holds and ours did not.
    pub(super) fn pooled(&mut self, from: PeerId, transactions: Vec<Transaction>) {
        if !self.crowded_out() && self.write_failure.is_none() {
            self.take(Bringer::Pool { from }, transactions);
        }
    }

    fn overloaded(&self) -> bool {
        self.jobs.len() >= MAX_JOBS || self.intake.tickets.len() >= MAX_TICKETS
    }

    /// The same for what nobody waits for an answer to: a crowd that gossips does not make a node busy for its clients.
    fn crowded_out(&self) -> bool {
        self.jobs.len() >= MAX_JOBS - MAX_JOBS / 4
            || self.intake.tickets.len() >= MAX_TICKETS - MAX_TICKETS / 4
    }

    fn take(&mut self, bringer: Bringer, transactions: Vec<Transaction>) {
        let number = self.intake.next_ticket;
        self.intake.next_ticket += 1;
        let mut ticket = Ticket {
            bringer,
            fates: vec![None; transactions.len()],
            kinds: transactions
                .iter()
                .map(|transaction| transaction.kind())
                .collect(),
            held: 0,
            open: transactions.len(),
        };
        let mut to_verify = Vec::new();
        let mut indexes = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (index, transaction) in transactions.into_iter().enumerate() {
            let id = transaction.id();
            let fate = if !seen.insert(id) {
                // Twice in one array: the second is as known as the first will be.
                Some(Fate::Known)
            } else if let Err(invalid) = check_form(&self.network, &transaction) {
                Some(Fate::Invalid(invalid))
            } else if self.knows(&id) {
                // Before the clock is asked: who submits the same bytes again after the close is told that they are in.
                Some(Fate::Known)
            } else if let Err(too_late) = self.check_submission_time(&ticket, &transaction) {
                Some(Fate::Invalid(too_late))
            } else {
                None
            };
            match fate {
                Some(fate) => {
                    ticket.fates[index] = Some(fate);
                    ticket.open -= 1;
                }
                None => {
                    to_verify.push(transaction);
                    indexes.push(index);
                }
            }
        }
        // One item that is wrong in every state spoils a gossiped array: no signature of it is looked at.
        let spoiled = matches!(ticket.bringer, Bringer::Gossip { .. })
            && ticket.fates.iter().flatten().any(Fate::is_wrong_everywhere);
        if to_verify.is_empty() || spoiled {
            return self.finish(ticket);
        }
        self.intake.tickets.insert(number, ticket);
        let job = self.start_job(Job::Transactions {
            ticket: number,
            indexes,
        });
        self.out.push(Effect::Verify {
            job,
            transactions: to_verify,
        });
    }

    /// Polls close for submitters at `closes_at` by this node's clock; the grace is for the network, not for voters.
    fn check_submission_time(
        &self,
        ticket: &Ticket,
        transaction: &Transaction,
    ) -> Result<(), Invalid> {
        if let (Bringer::Submit(_), Payload::Vote { vote }) =
            (&ticket.bringer, &transaction.payload)
            && let Ok(Some(record)) = self.store.snapshot().state().election(&vote.election)
        {
            let closes_at_ms = record.election.terms.closes_at_ms;
            if self.now.wall_ms >= closes_at_ms {
                return Err(Invalid::TooLate {
                    late_ms: self.now.wall_ms - closes_at_ms,
                });
            }
        }
        Ok(())
    }

    /// Whether a transaction waits or is on the best chain.
    pub(super) fn knows(&self, id: &TxId) -> bool {
        self.mempool.contains(id) || matches!(self.store.snapshot().position(id), Ok(Some(_)))
    }

    /// The verdicts on an array came back.
    pub(super) fn transactions_verified(
        &mut self,
        number: u64,
        indexes: Vec<usize>,
        verdicts: Vec<Result<Verified<Transaction>, Invalid>>,
    ) {
        // As before verification: an array with a forged item is rejected whole, its other items are not kept.
        let spoiled = self.intake.tickets.get(&number).is_some_and(|ticket| {
            matches!(ticket.bringer, Bringer::Gossip { .. }) && verdicts.iter().any(Result::is_err)
        });
        for (index, verdict) in indexes.into_iter().zip(verdicts) {
            match verdict {
                Err(invalid) => self.settle(number, index, Fate::Invalid(invalid)),
                Ok(_) if spoiled => self.settle(number, index, Fate::Known),
                Ok(transaction) => self.admit(number, index, transaction, true),
            }
        }
    }

    /// Checks a verified transaction against the state and takes it, holds it, or refuses it.
    fn admit(
        &mut self,
        ticket: u64,
        index: usize,
        transaction: Verified<Transaction>,
        may_hold: bool,
    ) {
        let fate = match self.check_state(&transaction) {
            Err(error) => {
                self.store_failed(&error.to_string());
                Fate::Full
            }
            Ok(Err(invalid)) if invalid.may_become_valid() && may_hold => {
                if self.intake.may_hold(ticket) && self.worth_holding(&invalid) {
                    if let Some(ticket) = self.intake.tickets.get_mut(&ticket) {
                        ticket.held += 1;
                    }
                    let deadline_ms = self.now.mono_ms + self.hold_ms();
                    self.intake.held.push_back(Held {
                        ticket,
                        index,
                        transaction,
                        deadline_ms,
                    });
                    return;
                }
                Fate::Invalid(invalid)
            }
            Ok(Err(invalid)) => Fate::Invalid(invalid),
            Ok(Ok(())) => self.insert_pending(transaction, ticket),
        };
        self.settle(ticket, index, fate);
    }

    fn insert_pending(&mut self, transaction: Verified<Transaction>, ticket: u64) -> Fate {
        match self.mempool.insert(transaction.clone()) {
            Ok(()) => {
                self.counters.accepted.add(transaction.kind());
                // Gossip forwards what it accepts by itself; what a client submitted has to be published.
                let publish = self.intake.tickets.get(&ticket).is_some_and(|ticket| {
                    matches!(ticket.bringer, Bringer::Submit(_) | Bringer::Own)
                });
                self.stage.pending.push((transaction, publish));
                Fate::Accepted
            }
            Err(Refusal::Known) => Fate::Known,
            Err(Refusal::Conflict(invalid)) => Fate::Invalid(invalid),
            Err(Refusal::Full) => Fate::Full,
        }
    }

    /// Whether the transaction would be valid in a block mined on the tip about now.
    pub(super) fn check_state(
        &self,
        transaction: &Verified<Transaction>,
    ) -> Result<Result<(), Invalid>, ViewError> {
        let tip = self.store.snapshot().tip();
        let at = rules::BlockTime {
            height: tip.height + 1,
            index: 0,
            timestamp_ms: self
                .now
                .wall_ms
                .max(tip.timestamp_ms + self.network.block_time_ms),
        };
        match rules::apply_transaction(
            &self.store.snapshot().state(),
            &self.network,
            at,
            transaction,
        ) {
            Ok(_) => Ok(Ok(())),
            Err(Failure::Invalid(invalid)) => Ok(Err(invalid)),
            Err(Failure::State(error)) => Err(error),
        }
    }

    /// How long something is held for what it refers to: a few blocks, within what gossip remembers a message.
    fn hold_ms(&self) -> u64 {
        if planted::is(Fault::HeldForEver) {
            return u64::MAX / 2;
        }
        (3 * self.network.block_time_ms).clamp(2_000, 6_000)
    }

    /// A vote long before the opening is not a matter of message order.
    fn worth_holding(&self, invalid: &Invalid) -> bool {
        match invalid {
            Invalid::TooEarly { wait_ms } => *wait_ms <= self.hold_ms(),
            _ => true,
        }
    }

    /// Looks again at what is held: all of it after a new block, else only what has waited long enough.
    pub(super) fn retry_held(&mut self, tip_changed: bool) {
        let now_ms = self.now.mono_ms;
        let due = |held: &Held| held.deadline_ms <= now_ms;
        if !tip_changed && !self.intake.held.front().is_some_and(due) {
            return;
        }
        for held in std::mem::take(&mut self.intake.held) {
            let last_try = due(&held);
            if tip_changed || last_try {
                let deadline_ms = held.deadline_ms;
                let before = self.intake.held.len();
                self.admit(held.ticket, held.index, held.transaction, !last_try);
                // Held again: the first deadline stays.
                if self.intake.held.len() > before
                    && let Some(again) = self.intake.held.back_mut()
                {
                    again.deadline_ms = deadline_ms;
                }
            } else {
                self.intake.held.push_back(held);
            }
        }
    }

    fn settle(&mut self, number: u64, index: usize, fate: Fate) {
        let Some(ticket) = self.intake.tickets.get_mut(&number) else {
            return;
        };
        if ticket.fates[index].replace(fate).is_none() {
            ticket.open -= 1;
        }
        if ticket.open == 0
            && let Some(ticket) = self.intake.tickets.remove(&number)
        {
            self.finish(ticket);
        }
    }

    /// Tells the bringer.
    fn finish(&mut self, ticket: Ticket) {
        for (fate, kind) in ticket.fates.iter().zip(&ticket.kinds) {
            if let Some(Fate::Invalid(_)) = fate {
                self.counters.rejected.add(*kind);
            }
        }
        let fates: Vec<Fate> = ticket
            .fates
            .into_iter()
            .map(|fate| fate.unwrap_or(Fate::Known))
            .collect();
        match ticket.bringer {
            Bringer::Gossip { id, from } => {
                if let Some(Fate::Invalid(invalid)) =
                    fates.iter().find(|fate| fate.is_wrong_everywhere())
                {
                    let text = invalid.to_string();
                    return self.reject_gossip(id, from, &text);
                }
                let new = fates
                    .iter()
                    .filter(|fate| matches!(fate, Fate::Accepted))
                    .count();
                let full = fates.iter().any(|fate| matches!(fate, Fate::Full));
                if 2 * new >= fates.len() {
                    self.report(id, from, Verdict::Accept);
                } else if full {
                    // For want of room here, which is nobody's fault.
                    self.report(id, from, Verdict::Ignore);
                } else {
                    self.ignore_useless(id, from);
                }
            }
            Bringer::Submit(submitter) => {
                if let Submitter::Peer { peer, .. } = submitter
                    && let Some(Fate::Invalid(invalid)) =
                        fates.iter().find(|fate| fate.is_wrong_everywhere())
                {
                    let why = format!("it submits what is invalid: {invalid}");
                    self.penalize(peer, SUBMITTED_POINTS, &why);
                }
                let outcomes = fates.into_iter().map(Fate::into_outcome).collect();
                self.answers.push((submitter, outcomes));
            }
            Bringer::Own => {}
            Bringer::Pool { from } => {
                if let Some(Fate::Invalid(invalid)) =
                    fates.iter().find(|fate| fate.is_wrong_everywhere())
                {
                    self.penalize(from, INVALID_POINTS, &invalid.to_string());
                }
            }
        }
    }

    /// Gives a gossip message its verdict.
    pub(super) fn report(&mut self, id: MessageId, from: PeerId, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Accept => &mut self.counters.gossip_accepted,
            Verdict::Ignore => &mut self.counters.gossip_ignored,
            Verdict::Reject => &mut self.counters.gossip_rejected,
        };
        *counter += 1;
        if verdict == Verdict::Accept {
            self.patience.useful(&from);
        }
        self.out.push(Effect::Report { id, from, verdict });
    }

    /// Ignores a gossip message that is of no use here, as far as there is patience for its sender.
    pub(super) fn ignore_useless(&mut self, id: MessageId, from: PeerId) {
        self.report(id, from, Verdict::Ignore);
        if self.patience.is_over(from, self.now.mono_ms) {
            self.penalize(from, USELESS_POINTS, "too many useless messages");
        }
    }

    /// Rejects a gossip message that is wrong in every state.
    pub(super) fn reject_gossip(&mut self, id: MessageId, from: PeerId, why: &str) {
        self.report(id, from, Verdict::Reject);
        // Gossip counts what is invalid by itself; whoever is let go for it is told why.
        self.penalize(from, REJECTED_POINTS, why);
    }

    /// Scores a peer down.
    pub(super) fn penalize(&mut self, peer: PeerId, points: u32, why: &str) {
        debug!(%peer, points, why, "penalised a peer");
        self.out.push(Effect::Penalize {
            peer,
            points,
            reason: why.to_owned(),
        });
    }
}
