//! What must hold, whatever happens. Each is a function with a name; this is the one place where they stand.
//!
//! [`Watch`] looks on while a run goes on and remembers what was seen; the rest is asked of the network at the end.

use std::collections::{BTreeMap, BTreeSet};

use votenode::chain::block::BlockId;
use votenode::chain::checkpoint::SignedFinalityMessage;
use votenode::chain::election::ElectionId;
use votenode::chain::transaction::Transaction;
use votenode::crypto::PublicKey;
use votenode::node::simulated::net::Net;
use votenode::protocol::finality::FinalityGossip;
use votenode::protocol::names::Topic;
use votenode::protocol::submit::TxStatus;
use votenode::protocol::sync::Request;
use votenode::store::Snapshot;
use votenode::wire;

use crate::counters::Counters;
use crate::digest::digest;
use crate::people::{Acknowledged, People};
use crate::reasons;
use crate::recount::{RawBlock, Recount, claims, recount};

pub const SAME_STATE: &str = "the same checkpoint means the same state";
pub const FINAL_STAYS: &str = "no final block ever leaves";
pub const ACCEPTED: &str = "what was accepted is included, or reported with a reason";
pub const SERVED: &str = "whoever may register is on the roll in the end";
pub const ONCE: &str = "nobody counts twice";
pub const RECOUNT: &str = "results equal a naive recount";
pub const BOUNDS: &str = "queues, pools and maps stay within their bounds";
pub const SILENCE: &str = "an idle network falls silent";
pub const CONVERGENCE: &str = "all come to one tip, and nothing waits";
pub const NO_PENALTY: &str = "nobody honest is scored down";
pub const ONE_WORD: &str = "no finaliser contradicts itself";
pub const NO_PANIC: &str = "no node panics, spins or stops itself";

/// No invariant of the node, but what every run has to be, or it proves little.
pub const LARGE_ENOUGH: &str =
    "a run has so many nodes and transactions, and an election that closes";

/// Every invariant.
pub const ALL: [&str; 13] = [
    SAME_STATE,
    FINAL_STAYS,
    ACCEPTED,
    SERVED,
    ONCE,
    RECOUNT,
    BOUNDS,
    SILENCE,
    CONVERGENCE,
    NO_PENALTY,
    ONE_WORD,
    NO_PANIC,
    LARGE_ENOUGH,
];

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: one of [`ALL`].
    pub invariant: &'static str,
    /// How that shows.
    pub what: String,
}

pub type Verdict = Result<(), Violation>;

pub fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    let what = what.into();
    Err(Violation { invariant, what })
}

/// Hosts whose nodes run.
pub fn running(net: &Net) -> Vec<usize> {
    (0..net.hosts.len())
        .filter(|host| net.hosts[*host].running.is_some())
        .collect()
}

fn snapshot(net: &Net, host: usize) -> Snapshot {
    net.node(host).store().snapshot()
}

/// Final blocks of one host, as it or its disk once said.
#[derive(Default)]
struct Kept {
    /// By certificate: number, block.
    certified: BTreeMap<u64, BlockId>,
    /// Where nobody finalises: closing blocks that were deep enough.
    closings: BTreeMap<ElectionId, BlockId>,
    /// Height up to which the operator let go.
    released_height: u64,
}

/// What was seen in the run so far.
#[derive(Default)]
pub struct Watch {
    /// Public keys of all invitations there may be.
    invitations: Vec<PublicKey>,
    digests: BTreeMap<BlockId, (usize, String)>,
    digested: BTreeMap<usize, BTreeSet<BlockId>>,
    kept: BTreeMap<usize, Kept>,
    decided: BTreeMap<u64, BlockId>,
    said: BTreeMap<(PublicKey, u64, u64, u8), SignedFinalityMessage>,
    left: BTreeMap<usize, Left>,
}

/// Blocks that left a host's chain, whose transactions may fill its pool beyond the bound.
#[derive(Default)]
struct Left {
    incarnation: u64,
    /// In the present life of its node.
    now: u64,
    /// In those before. Some may have left just before the end of one, unseen.
    before: u64,
}

/// Blocks that may have left unseen before a crash.
const UNSEEN: u64 = 4;

impl Watch {
    /// Has seen nothing yet, and knows which invitations to look at.
    pub fn new(invitations: Vec<PublicKey>) -> Self {
        Self {
            invitations,
            ..Self::default()
        }
    }

    /// Looks at every node that runs.
    pub fn look(
        &mut self,
        net: &mut Net,
        elections: &[ElectionId],
        counters: &mut Counters,
    ) -> Verdict {
        self.one_word(net, counters)?;
        no_penalty(net, counters)?;
        for host in running(net) {
            self.bounds(net, host, counters)?;
            self.final_stays(net, host, elections, counters)?;
            self.same_state(net, host, elections, counters)?;
            if let Some(conflict) = &net.hosts[host].conflict {
                return broken(
                    NO_PANIC,
                    format!("host {host} stopped itself: {conflict:?}"),
                );
            }
        }
        counters.add(NO_PANIC, 1);
        Ok(())
    }

    /// The operator of this host let go of the closing blocks that it kept to.
    pub fn released(&mut self, net: &Net, host: usize) {
        let kept = self.kept.entry(host).or_default();
        kept.closings.clear();
        kept.released_height = net.tip(host).0;
    }

    /// Two nodes that stand on one block have one state.
    fn same_state(
        &mut self,
        net: &Net,
        host: usize,
        elections: &[ElectionId],
        counters: &mut Counters,
    ) -> Verdict {
        let snapshot = snapshot(net, host);
        let tip = snapshot.tip();
        let last = match net.network.finalises() {
            true => snapshot
                .last_certificate()
                .unwrap()
                .map_or(0, |last| last.height),
            false => tip.height.saturating_sub(net.network.confirmations),
        };
        // Every eighth, the last, and those that close an election: a look at all of them would cost more than the run.
        let mut heights = BTreeSet::from([
            last / 8 * 8,
            tip.height.is_multiple_of(8) as u64 * tip.height,
        ]);
        for election in elections {
            if let Some(record) = snapshot.election(election).unwrap() {
                let closes_ms = record.election.terms.closes_at_ms + net.network.close_grace_ms;
                let closing = snapshot.first_block_from(closes_ms).unwrap();
                heights.extend(closing.map(|closing| closing.height));
            }
        }
        for height in heights {
            let Some(block) = snapshot.main_id(height).unwrap() else {
                continue;
            };
            if !self.digested.entry(host).or_default().insert(block) {
                continue;
            }
            let Some(state) = snapshot.at(height) else {
                continue;
            };
            let ours = digest(&state, height, &self.invitations);
            match self.digests.get(&block) {
                None => {
                    self.digests.insert(block, (host, ours));
                }
                Some((other, theirs)) if *theirs != ours => {
                    return broken(
                        SAME_STATE,
                        format!(
                            "hosts {host} and {other} differ at height {height}: {ours} and {theirs}"
                        ),
                    );
                }
                Some(_) => counters.add(SAME_STATE, 1),
            }
        }
        Ok(())
    }

    /// A block that was final on a host stays on its chain, over restarts too, and is the same everywhere.
    fn final_stays(
        &mut self,
        net: &Net,
        host: usize,
        elections: &[ElectionId],
        counters: &mut Counters,
    ) -> Verdict {
        let snapshot = snapshot(net, host);
        let kept = self.kept.entry(host).or_default();
        let last = snapshot.last_certificate().unwrap();
        let last = last.map_or(0, |last| last.certificate.checkpoint);
        let known = kept
            .certified
            .last_key_value()
            .map_or(0, |(number, _)| *number);
        if last < known {
            return broken(
                FINAL_STAYS,
                format!("host {host} forgot checkpoint {known}"),
            );
        }
        for number in known + 1..=last {
            let certificate = snapshot.certificate(number).unwrap().unwrap();
            kept.certified.insert(number, certificate.certificate.block);
        }
        for (number, block) in kept.certified.iter().rev().take(4) {
            counters.add(FINAL_STAYS, 1);
            if !snapshot.is_main(block).unwrap() {
                return broken(FINAL_STAYS, format!("checkpoint {number} left host {host}"));
            }
            let decided = self.decided.entry(*number).or_insert(*block);
            if decided != block {
                return broken(FINAL_STAYS, format!("there are two checkpoints {number}"));
            }
        }
        if net.network.finalises() {
            return Ok(());
        }
        for (election, block) in &kept.closings {
            counters.add(FINAL_STAYS, 1);
            if !snapshot.is_main(block).unwrap() {
                return broken(
                    FINAL_STAYS,
                    format!("the closing block of {election} left host {host}"),
                );
            }
        }
        // Who knows of a better chain than its own is not to keep to anything on the way there.
        let status = net.node(host).status();
        if status.best_header_height > status.tip.height {
            return Ok(());
        }
        for election in elections {
            let Some(record) = snapshot.election(election).unwrap() else {
                continue;
            };
            let closes_ms = record.election.terms.closes_at_ms + net.network.close_grace_ms;
            if let Some(closing) = snapshot.first_block_from(closes_ms).unwrap()
                && snapshot.tip().height >= closing.height + net.network.confirmations
                && closing.height > kept.released_height
            {
                kept.closings.insert(*election, closing.id);
            }
        }
        Ok(())
    }

    /// What a finaliser said at one place it says there ever.
    fn one_word(&mut self, net: &mut Net, counters: &mut Counters) -> Verdict {
        for published in std::mem::take(&mut net.published) {
            if published.topic != Topic::Finality {
                continue;
            }
            let Ok(FinalityGossip::Messages { messages }) = wire::decode(&published.data) else {
                continue;
            };
            for message in messages.into_vec() {
                let said = &message.message;
                let place = (message.finaliser, said.height, said.round, said.kind);
                counters.add(ONE_WORD, 1);
                let before = self.said.entry(place).or_insert_with(|| message.clone());
                if before.message != message.message {
                    return broken(
                        ONE_WORD,
                        format!("host {} signed twice at {place:?}", published.by),
                    );
                }
            }
        }
        Ok(())
    }

    /// Nothing grows beyond what is stated.
    fn bounds(&mut self, net: &Net, host: usize, counters: &mut Counters) -> Verdict {
        let node = net.node(host);
        for occupancy in node.occupancy() {
            counters.add(BOUNDS, 1);
            if occupancy.used > occupancy.bound {
                return broken(BOUNDS, format!("host {host}: {occupancy:?}"));
            }
        }
        // What was acknowledged and left the chain waits again, whatever the bound of the pool.
        let left = self.left.entry(host).or_default();
        let incarnation = net.hosts[host].incarnation;
        if left.incarnation != incarnation && left.incarnation > 0 {
            left.before += left.now + UNSEEN;
        }
        left.incarnation = incarnation;
        left.now = node.status().counters.blocks_disconnected;
        let again = (left.now + left.before) * net.network.max_block_transactions;
        let limit = net.hosts[host].setup.mempool.max_transactions;
        if node.waiting() > limit + again as usize {
            return broken(
                BOUNDS,
                format!("host {host}: {} wait where {limit} may", node.waiting()),
            );
        }
        Ok(())
    }
}

/// Honest nodes find nothing to hold against each other.
fn no_penalty(net: &Net, counters: &mut Counters) -> Verdict {
    counters.add(NO_PENALTY, 1);
    if let Some(penalty) = net.penalties.first() {
        return broken(NO_PENALTY, format!("{penalty:?}"));
    }
    if net.happened.rejected > 0 {
        return broken(NO_PENALTY, "a node rejected what an honest one passed on");
    }
    Ok(())
}

/// Whether all that run stand on one block, which is final where there are finalisers, every election is closed, and
/// nothing is under way.
pub fn has_converged(net: &Net, elections: &[ElectionId]) -> bool {
    let hosts = running(net);
    let closed = |election: &ElectionId| {
        let snapshot = snapshot(net, hosts[0]);
        let record = snapshot.election(election).unwrap();
        record.is_none_or(|record| {
            let closes_ms = record.election.terms.closes_at_ms + net.network.close_grace_ms;
            snapshot.first_block_from(closes_ms).unwrap().is_some()
        })
    };
    net.one_tip()
        && elections.iter().all(closed)
        && hosts.iter().all(|host| {
            let snapshot = snapshot(net, *host);
            let last = snapshot.last_certificate().unwrap();
            let settled = !net.network.finalises()
                || last.is_some_and(|last| last.certificate.block == snapshot.tip().id);
            net.node(*host).rests() && settled
        })
}

/// Why [`has_converged`] does not hold.
pub fn not_converged(net: &Net) -> Violation {
    let hosts: Vec<String> = running(net)
        .into_iter()
        .map(|host| {
            let status = net.node(host).status();
            let checkpoint = status
                .finality
                .as_ref()
                .map_or(0, |finality| finality.height);
            format!(
                "host {host}: {} {} (final {checkpoint}), {} wait, {} held, rests {}, {:?}",
                status.tip.height,
                status.tip.id.short(),
                net.node(host).waiting(),
                status.mempool.held,
                net.node(host).rests(),
                status.warnings,
            )
        })
        .collect();
    Violation {
        invariant: CONVERGENCE,
        what: format!("healed long ago, and yet: {}", hosts.join("; ")),
    }
}

/// The chain of a host, from height 1 on.
pub fn chain(net: &Net, host: usize) -> Vec<RawBlock> {
    let snapshot = snapshot(net, host);
    (1..=snapshot.tip().height)
        .map(|height| {
            let (id, header) = snapshot.main_block(height).unwrap().unwrap();
            let transactions = snapshot.transactions(&id).unwrap().unwrap();
            RawBlock {
                id,
                header,
                transactions: transactions.to_vec(),
            }
        })
        .collect()
}

/// Nobody is on the roll, or in an election, twice.
pub fn once(counted: &Recount, counters: &mut Counters) -> Verdict {
    counters.add(ONCE, counted.voters);
    match counted.twice.first() {
        Some(what) => broken(ONCE, what.clone()),
        None => Ok(()),
    }
}

/// Every node's result is that of a count by hand, and every vote in it has a right to be there.
pub fn results_equal_the_recount(net: &Net, counted: &Recount, counters: &mut Counters) -> Verdict {
    if let Some(what) = counted.wrong.first() {
        return broken(RECOUNT, what.clone());
    }
    for (election, ours) in &counted.elections {
        for host in running(net) {
            let result = net.result(host, election);
            let theirs = crate::recount::Counted {
                closing_block: result.closing_block.first().map(|block| block.id),
                votes: result.tally.votes,
                blank: result.tally.blank,
                totals: result.tally.totals.to_vec(),
                eligible: result.eligible,
            };
            counters.add(RECOUNT, ours.votes);
            if theirs != *ours {
                return broken(
                    RECOUNT,
                    format!("host {host}: {theirs:?}, by hand {ours:?}"),
                );
            }
        }
    }
    Ok(())
}

/// Whatever a node acknowledged is on the chain, or that node says why it is not.
pub fn accepted_is_accounted_for(
    net: &Net,
    counted: &Recount,
    people: &People,
    counters: &mut Counters,
) -> Verdict {
    for one in &people.acknowledged {
        counters.add(ACCEPTED, 1);
        if counted.transactions.contains(&one.id) {
            continue;
        }
        let wrong = match net.status(one.host, one.id) {
            TxStatus::Dropped { reason }
                if reasons::holds(counted, &one.transaction, &reason)
                    || gave_way(net, counted, people, one)
                        && reasons::is_about_another(&reason) =>
            {
                counters.add("transactions dropped with a reason", 1);
                continue;
            }
            TxStatus::Dropped { reason } => format!("was dropped, but {}", reason.text),
            status => format!("is {}", name_of(&status)),
        };
        return broken(
            ACCEPTED,
            format!(
                "{} was acknowledged by host {} at {} ms ({}), and {wrong}",
                one.id,
                one.host,
                one.at_ms,
                one.transaction.kind().name(),
            ),
        );
    }
    Ok(())
}

/// Whether something gave way to another that wanted the same, was first on a branch that was left, and came to nothing on
/// the chain that stayed: for a reason that holds there, so that two never each name the other.
fn gave_way(net: &Net, counted: &Recount, people: &People, one: &Acknowledged) -> bool {
    let ours = claims(&one.transaction.payload);
    let came_to_nothing = |host: usize, other: &Transaction| match net.status(host, other.id()) {
        TxStatus::Dropped { reason } => reasons::holds(counted, other, &reason),
        _ => false,
    };
    people.others(&one.id, &ours).any(|other| {
        let mut hosts = running(net).into_iter();
        hosts.any(|host| came_to_nothing(host, other))
    })
}

/// Whatever had to come to something did: it was acknowledged and is on the chain, or something else used up the same.
pub fn served(counted: &Recount, people: &People, counters: &mut Counters) -> Verdict {
    for (transaction, acknowledged) in people.wanted() {
        counters.add(SERVED, 1);
        let included = counted.transactions.contains(&transaction.id());
        let displaced = reasons::taken(counted, transaction).is_some();
        if !(included && acknowledged || displaced && !included) {
            return broken(
                SERVED,
                format!(
                    "a {}: acknowledged {acknowledged}, included {included}",
                    transaction.kind().name()
                ),
            );
        }
    }
    Ok(())
}

fn name_of(status: &TxStatus) -> &'static str {
    match status {
        TxStatus::Unknown {} => "unknown",
        TxStatus::Pending {} => "pending",
        TxStatus::Included { .. } => "included",
        TxStatus::Final { .. } => "final",
        TxStatus::Dropped { .. } => "dropped",
    }
}

/// For so many minutes nodes say nothing, and only ask each other now and then where they stand.
pub fn silence(net: &mut Net, minutes: u64, counters: &mut Counters) -> Verdict {
    // What is still on its way.
    net.run(60_000);
    net.published.clear();
    net.requests.clear();
    let tips = net.tips();
    net.run(minutes * 60_000);
    counters.add(SILENCE, minutes);
    if let Some(published) = net.published.first() {
        return broken(
            SILENCE,
            format!(
                "{} messages, the first by host {} on {}",
                net.published.len(),
                published.by,
                published.topic.name()
            ),
        );
    }
    let other = |(_, request): &&(usize, Request)| !matches!(request, Request::Status { .. });
    if let Some((host, request)) = net.requests.iter().find(other) {
        return broken(SILENCE, format!("host {host} asks {request:?}"));
    }
    let hosts = net.hosts.len() as u64;
    let allowed = hosts * (hosts - 1) * (minutes * 6 + 1);
    if net.requests.len() as u64 > allowed {
        let asked = net.requests.len();
        return broken(
            SILENCE,
            format!("{asked} requests where {allowed} are enough"),
        );
    }
    if net.tips() != tips {
        return broken(SILENCE, "a block came all the same");
    }
    Ok(())
}

/// Counts the chain of a host by hand.
pub fn recount_of(net: &Net, host: usize) -> Recount {
    let network = net.network.id();
    recount(&chain(net, host), &network, net.network.close_grace_ms)
}
