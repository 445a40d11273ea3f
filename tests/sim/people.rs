//! Whoever uses the network: an organiser, voters who do not give up, voters who try twice, strangers and forgers.
//!
//! They are clients of a kind: they hand in bytes at a host, wait for an answer, and hand in the same bytes elsewhere
//! when none comes. What a host acknowledged is remembered for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use votenode::chain::election::{Choices, ElectionId, Method, Privacy, Terms};
use votenode::chain::genesis::{Finaliser, Group};
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::{Admission, Credential, Payload, Transaction, TxId};
use votenode::crypto::{PublicKey, Signature, SigningKey, VoterId};
use votenode::node::simulated::net::{EPOCH_MS, Net};
use votenode::protocol::submit::Outcome;
use votenode::wire::{List, Text};

use crate::counters::Counters;
use crate::invariants::running;
use crate::recount::{Claim, claims};
use crate::world::STAMP_BITS;

/// Voters on the roll: their registrations alone make a run large enough, for a host that is cut off until after the close
/// may hold every vote.
pub const VOTERS: u8 = 205;
/// Those who come without having registered.
const STRANGERS: u8 = 4;
/// How long an answer is waited for, in milliseconds.
const PATIENCE_MS: u64 = 3_000;

/// The end of what is not given up.
const FOR_EVER: u64 = u64::MAX;
/// Most invitations that the organiser takes back.
const MOST_REVOKED: u64 = 4;
/// Registrations that nobody signed as they should have.
const FORGED: u8 = 4;

/// Something that a host said it has.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub id: TxId,
    pub host: usize,
    pub at_ms: u64,
    pub transaction: Arc<Transaction>,
}

/// Somebody wants a transaction to be on the chain.
struct Errand {
    transaction: Arc<Transaction>,
    id: TxId,
    /// When it is given up.
    until_ms: u64,
    next_try_ms: u64,
    tries: u64,
    /// Whether it has to come to something in the end.
    is_wanted: bool,
    /// Whether a host said that it has it.
    acknowledged: bool,
    done: bool,
}

/// When what happens, in virtual milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub opens_ms: u64,
    pub closes_ms: u64,
    pub short_closes_ms: u64,
}

/// Everybody.
pub struct People {
    errands: Vec<Errand>,
    /// Submissions without an answer yet: number, errand.
    asked: BTreeMap<u64, (usize, usize)>,
    pub acknowledged: Vec<Acknowledged>,
    pub elections: Vec<ElectionId>,
    /// Percent of the answers that get lost.
    pub deaf_percent: u64,
}

/// A key of somebody's own: of the same kind by number.
fn key(kind: u8, number: u8) -> SigningKey {
    let mut seed = [kind; 32];
    seed[0] = number;
    SigningKey::from_seed(&seed)
}

pub fn organiser() -> SigningKey {
    key(b'o', 0)
}

pub fn finaliser(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn voter(number: u8) -> VoterId {
    VoterId::from_bytes([number; 32])
}

fn invitation(number: u8) -> SigningKey {
    key(b'i', number)
}

/// Public keys of all invitations.
pub fn invitations() -> Vec<PublicKey> {
    let numbers = 1..=VOTERS;
    numbers.map(|n| invitation(n).public_key()).collect()
}

fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::new(text).unwrap()
}

fn terms(method: Method, opens_ms: u64, closes_ms: u64) -> Terms {
    Terms {
        title: text("Colour"),
        question: text("Which colour?"),
        options: List::new(vec![text("red"), text("green"), text("blue")]).unwrap(),
        method: method as u8,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: EPOCH_MS + opens_ms,
        closes_at_ms: EPOCH_MS + closes_ms,
        roll_closes_at_ms: EPOCH_MS + closes_ms,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: List::new(vec![text("club"), text("open")]).unwrap(),
        privacy: Privacy::Pseudonymous as u8,
    }
}

fn register(network: &Network, number: u8, invited: bool) -> Transaction {
    let id = network.id();
    if invited {
        return sign::register_invited(&id, &voter(number), &[0; 32], &invitation(number));
    }
    let never = AtomicBool::new(false);
    sign::register_open(&id, &voter(number), &[0; 32], STAMP_BITS, &never).unwrap()
}

impl People {
    /// Everybody's plans, drawn from the network's seed.
    pub fn new(net: &mut Net, schedule: &Schedule, counters: &mut Counters) -> Self {
        let mut people = Self {
            errands: Vec::new(),
            asked: BTreeMap::new(),
            acknowledged: Vec::new(),
            elections: Vec::new(),
            deaf_percent: 0,
        };
        let network = Arc::clone(&net.network);
        let batch = sign::issue_invitations(
            &network.id(),
            &organiser(),
            Group::new("club").unwrap(),
            List::new(invitations()).unwrap(),
        );
        people.plan(batch, 0, FOR_EVER);
        let main_method = match net.draw(2) {
            0 => Method::Plurality,
            _ => Method::Approval,
        };
        let main = people.open(
            &network,
            terms(main_method, schedule.opens_ms, schedule.closes_ms),
            schedule,
        );
        let short = people.open(
            &network,
            terms(Method::Approval, 0, schedule.short_closes_ms),
            schedule,
        );
        people.plan_voters(net, schedule, main, short, counters);
        people.plan_troublemakers(net, schedule, main, counters);
        people.plan_forged_registrations(net, schedule, counters);
        people.plan_revocations(net);
        if network.finalises() && net.draw(2) == 0 {
            people.plan_change(net, schedule);
        }
        people
    }

    fn plan(&mut self, transaction: Transaction, from_ms: u64, until_ms: u64) {
        self.errands.push(Errand {
            id: transaction.id(),
            transaction: Arc::new(transaction),
            until_ms,
            next_try_ms: from_ms,
            tries: 0,
            // Whoever comes for ever does not come in vain.
            is_wanted: until_ms == FOR_EVER,
            acknowledged: false,
            done: false,
        });
    }

    fn open(&mut self, network: &Network, terms: Terms, schedule: &Schedule) -> ElectionId {
        let transaction = sign::open_election(network, &organiser(), terms).unwrap();
        let Payload::Election { election } = &transaction.payload else {
            unreachable!("an election was made")
        };
        let id = election.id();
        self.elections.push(id);
        self.plan(transaction, 500, schedule.closes_ms);
        id
    }

    fn plan_voters(
        &mut self,
        net: &mut Net,
        schedule: &Schedule,
        main: ElectionId,
        short: ElectionId,
        counters: &mut Counters,
    ) {
        let network = Arc::clone(&net.network);
        let vote = |number, election, choices: Vec<u8>| {
            let choices = Choices::new(choices).unwrap();
            sign::cast_vote(&network.id(), &voter(number), election, choices)
        };
        for number in 1..=VOTERS {
            let at_ms = 1_000 + net.draw(20_000);
            let invited = net.draw(2) == 0;
            self.plan(register(&network, number, invited), at_ms, FOR_EVER);
            if net.draw(12) == 0 {
                // The same voter by the other way: one of the two is too much.
                counters.add("second votes and registrations", 1);
                let again_ms = at_ms + net.draw(8_000);
                self.plan(
                    register(&network, number, !invited),
                    again_ms,
                    again_ms + 20_000,
                );
            }
            let from_ms = schedule.opens_ms.max(at_ms);
            let cast_ms = from_ms + net.draw(schedule.closes_ms - from_ms);
            let choice = net.draw(4) as u8;
            let choices = if choice == 3 { vec![] } else { vec![choice] };
            self.plan(vote(number, main, choices), cast_ms, schedule.closes_ms);
            if net.draw(8) == 0 {
                // Another mind, elsewhere, at once or much later.
                counters.add("second votes and registrations", 1);
                let other = vote(number, main, vec![(choice + 1) % 3]);
                let again_ms = cast_ms + net.draw(2) * net.draw(15_000);
                self.plan(other, again_ms, schedule.closes_ms + 5_000);
            }
            if number % 4 == 0 {
                let cast_ms = at_ms + net.draw(schedule.short_closes_ms);
                let choices = vec![[0, 1], [0, 2], [1, 2]][net.draw(3) as usize].to_vec();
                self.plan(
                    vote(number, short, choices),
                    cast_ms,
                    schedule.short_closes_ms,
                );
            }
        }
    }

    fn plan_troublemakers(
        &mut self,
        net: &mut Net,
        schedule: &Schedule,
        main: ElectionId,
        counters: &mut Counters,
    ) {
        let network = Arc::clone(&net.network);
        let choices = Choices::new(vec![2]).unwrap();
        for number in 0..STRANGERS {
            let id = voter(VOTERS + 1 + number);
            let mut vote = sign::cast_vote(&network.id(), &id, main, choices.clone());
            if number % 2 == 1
                && let Payload::Vote { vote } = &mut vote.payload
                && let Credential::Pseudonymous {
                    voter: key,
                    signature,
                } = &mut vote.credential
            {
                *key = voter(number).signing_key().public_key();
                *signature = Signature::ZERO;
            }
            counters.add("votes of strangers and forgers", 1);
            let at_ms = schedule.opens_ms + net.draw(schedule.closes_ms - schedule.opens_ms);
            self.plan(vote, at_ms, at_ms + 6_000);
        }
    }

    /// Registrations that the voter or the invitation did not sign.
    fn plan_forged_registrations(
        &mut self,
        net: &mut Net,
        schedule: &Schedule,
        counters: &mut Counters,
    ) {
        let network = Arc::clone(&net.network);
        for number in 0..FORGED {
            let invited = number % 2 == 0;
            let mut forged = match invited {
                // With the invitation of somebody else.
                true => {
                    let invitation = invitation(1 + net.draw(VOTERS.into()) as u8);
                    let voter = voter(VOTERS + STRANGERS + 1 + number);
                    sign::register_invited(&network.id(), &voter, &[0; 32], &invitation)
                }
                false => register(&network, VOTERS + STRANGERS + 1 + number, false),
            };
            if let Payload::Registration { registration } = &mut forged.payload {
                match &mut registration.admission {
                    Admission::Invited { signature, .. } => *signature = Signature::ZERO,
                    Admission::Open { .. } => registration.signature = Signature::ZERO,
                }
            }
            counters.add("registrations of forgers", 1);
            let at_ms = net.draw(schedule.closes_ms);
            self.plan(forged, at_ms, at_ms + 6_000);
        }
    }

    /// The organiser takes some invitations back, each before or after it is used.
    fn plan_revocations(&mut self, net: &mut Net) {
        for _ in 0..net.draw(MOST_REVOKED + 1) {
            let key = invitation(1 + net.draw(VOTERS.into()) as u8).public_key();
            let keys = List::new(vec![key]).unwrap();
            let revoke = sign::revoke_invitations(&net.network.id(), &organiser(), keys);
            let at_ms = net.draw(20_000);
            self.plan(revoke, at_ms, at_ms + 20_000);
        }
    }

    /// The finalisers go on under other names and with other weights, such that any three of four still decide.
    fn plan_change(&mut self, net: &mut Net, schedule: &Schedule) {
        let id = net.network.id();
        let weights = [[1, 1, 1, 1], [3, 3, 3, 3], [2, 2, 2, 1]][net.draw(3) as usize];
        let member = |(seed, power): (u8, u64)| Finaliser {
            key: finaliser(seed).public_key(),
            power,
            name: text(&format!("G{seed}")),
        };
        let members = List::new((1..=4).zip(weights).map(member).collect()).unwrap();
        let approvals =
            (1..=3).map(|seed| sign::approve_change(&id, &finaliser(seed), 1, &members));
        let approvals = List::new(approvals.collect()).unwrap();
        let change = sign::change_finalisers(&id, 1, members, approvals).unwrap();
        self.plan(change, net.draw(schedule.closes_ms), schedule.closes_ms);
    }

    /// What has to come to something in the end, and whether a host said that it has it.
    pub fn wanted(&self) -> impl Iterator<Item = (&Transaction, bool)> {
        let wanted = self.errands.iter().filter(|errand| errand.is_wanted);
        wanted.map(|errand| (&*errand.transaction, errand.acknowledged))
    }

    /// Other transactions that want to use up the same.
    pub fn others<'a>(
        &'a self,
        id: &'a TxId,
        same: &'a [Claim],
    ) -> impl Iterator<Item = &'a Transaction> {
        let wants_it = move |errand: &&Errand| {
            let theirs = claims(&errand.transaction.payload);
            errand.id != *id && theirs.iter().any(|claim| same.contains(claim))
        };
        let errands = self.errands.iter().filter(wants_it);
        errands.map(|errand| &*errand.transaction)
    }

    /// Whether nobody wants anything any more.
    pub fn content(&self, net: &Net) -> bool {
        let over = |errand: &Errand| errand.done || errand.until_ms <= net.now_ms;
        self.errands.iter().all(over)
    }

    /// Reads answers, hands in what is due.
    pub fn act(&mut self, net: &mut Net, counters: &mut Counters) {
        self.read_answers(net, counters);
        let now_ms = net.now_ms;
        for index in 0..self.errands.len() {
            let errand = &self.errands[index];
            let due = !errand.done && errand.next_try_ms <= now_ms && now_ms < errand.until_ms;
            if due {
                self.hand_in(net, index, counters);
            }
        }
    }

    fn read_answers(&mut self, net: &mut Net, counters: &mut Counters) {
        let now_ms = net.now_ms;
        let open: Vec<u64> = self.asked.keys().copied().collect();
        for number in open {
            let (index, host) = self.asked[&number];
            let Some(mut outcomes) = net.hosts[host].answers.remove(&number) else {
                continue;
            };
            self.asked.remove(&number);
            let errand = &mut self.errands[index];
            let retry_ms = now_ms + 500 + net.draw(1_500);
            match outcomes.pop() {
                Some(Outcome::Accepted {} | Outcome::Duplicate {}) => {
                    self.acknowledged.push(Acknowledged {
                        id: errand.id,
                        host,
                        at_ms: now_ms,
                        transaction: Arc::clone(&errand.transaction),
                    });
                    errand.acknowledged = true;
                    if net.draw(100) < self.deaf_percent {
                        counters.add("answers that got lost", 1);
                        errand.next_try_ms = errand.next_try_ms.min(retry_ms);
                    } else {
                        errand.done = true;
                    }
                }
                // Too early, or something that it needs is not there yet: perhaps later.
                Some(Outcome::Rejected { .. } | Outcome::Busy {}) | None => {
                    errand.next_try_ms = errand.next_try_ms.min(retry_ms);
                }
            }
        }
    }

    fn hand_in(&mut self, net: &mut Net, index: usize, counters: &mut Counters) {
        let hosts = running(net);
        let errand = &mut self.errands[index];
        errand.next_try_ms = net.now_ms + PATIENCE_MS + net.draw(1_000);
        if hosts.is_empty() {
            return;
        }
        if errand.tries > 0 {
            counters.add("identical bytes handed in again", 1);
        }
        errand.tries += 1;
        let mut at = 1;
        if net.draw(6) == 0 {
            counters.add("hand-ins at several hosts at once", 1);
            at = 2 + net.draw(2) as usize;
        }
        for _ in 0..at {
            let host = hosts[net.draw(hosts.len() as u64) as usize];
            let number = net.submit_only(host, vec![(*self.errands[index].transaction).clone()]);
            self.asked.insert(number, (index, host));
        }
        // Whoever is refused for good need not come again and again. In the end it has to turn out that there was a reason.
        let errand = &mut self.errands[index];
        if errand.tries > 60 {
            errand.done = true;
        }
    }
}
