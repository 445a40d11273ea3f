//! Transactions that break a rule: one at least for every rule that a peer can break, and a chain on which they do.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use votenode::chain::checkpoint::SignedFinalityMessage;
use votenode::chain::election::{Choices, ElectionId, Method, Privacy, Terms};
use votenode::chain::genesis::{Finaliser, Genesis, Group, NetworkId};
use votenode::chain::network::Network;
use votenode::chain::sign;
use votenode::chain::transaction::{
    Admission, Credential, Finalisers, FinalityMessage, Payload, Registration, Reveal, Transaction,
};
use votenode::crypto::stamp::find_stamp;
use votenode::crypto::{Context, PublicKey, RingKey, RingProof, Signature, SigningKey, VoterId};
use votenode::wire::{Blob, List, Text};

use crate::arena::{STAMP_BITS, genesis_with, now_ms, organiser};
use crate::forge::Forge;

/// Rules that no peer can break here, and why.
pub const OUT_OF_REACH: [(&str, &str); 3] = [
    (
        "not_canonical",
        "bytes, not a transaction: `requests` and `floods` send them",
    ),
    (
        "too_large",
        "bytes, not a transaction: a message of that length is refused before",
    ),
    (
        "wrong_credential",
        "needs an anonymous election on the chain, which this release refuses",
    ),
];

const HOUR_MS: u64 = 3_600_000;

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

/// A voter by number.
pub fn voter(number: u8) -> VoterId {
    VoterId::from_bytes([number; 32])
}

/// An invitation by number.
pub fn invitation(number: u16) -> SigningKey {
    let mut seed = [0x1f; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed)
}

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[102; 32])
}

/// A finaliser by number.
pub fn finaliser(number: u8) -> SigningKey {
    SigningKey::from_seed(&[200 + number; 32])
}

fn member(number: u8) -> Finaliser {
    Finaliser {
        key: finaliser(number).public_key(),
        power: 1,
        name: Text::new(&format!("finaliser {number}")).unwrap(),
    }
}

fn finalisers(numbers: &[u8]) -> Finalisers {
    List::new(numbers.iter().map(|number| member(*number)).collect()).unwrap()
}

fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::new(text).unwrap()
}

/// A key of small order: anyone can sign for it.
fn weak_key() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    PublicKey::from_bytes(bytes)
}

/// A registration by open admission.
pub fn register(network: &NetworkId, voter: &VoterId) -> Transaction {
    sign::register_open(network, voter, &[0; 32], STAMP_BITS, &never()).unwrap()
}

fn invited(network: &NetworkId, number: u8, invitation_number: u16) -> Transaction {
    let invitation = invitation(invitation_number);
    sign::register_invited(network, &voter(number), &[0; 32], &invitation)
}

pub fn issue(network: &NetworkId, group: &str, numbers: std::ops::Range<u16>) -> Transaction {
    let keys = numbers.map(|number| invitation(number).public_key());
    let group = Group::new(group).unwrap();
    sign::issue_invitations(
        network,
        &organiser(),
        group,
        List::new(keys.collect()).unwrap(),
    )
}

fn revoke(network: &NetworkId, number: u16) -> Transaction {
    let keys = List::new(vec![invitation(number).public_key()]).unwrap();
    sign::revoke_invitations(network, &organiser(), keys)
}

fn vote(network: &NetworkId, number: u8, election: ElectionId, choices: &[u8]) -> Transaction {
    let choices = Choices::new(choices.to_vec()).unwrap();
    sign::cast_vote(network, &voter(number), election, choices)
}

/// Changes a registration and does its work again, but signs nothing anew.
pub fn tampered(registration: &Transaction, change: impl FnOnce(&mut Registration)) -> Transaction {
    let mut changed = registration.clone();
    let Payload::Registration { registration } = &mut changed.payload else {
        panic!("a registration is wanted")
    };
    change(registration);
    if let Admission::Open { .. } = registration.admission {
        let context = Context::RegistrationStamp;
        let payload = registration.stamp_payload();
        let stamp = find_stamp(context, &payload, STAMP_BITS, &never()).unwrap();
        registration.admission = Admission::Open { stamp };
    }
    changed
}

/// Changes a registration, and signs and stamps it anew.
fn resigned(
    network: &NetworkId,
    voter: &VoterId,
    change: impl FnOnce(&mut Registration),
) -> Transaction {
    tampered(&register(network, voter), |registration| {
        change(registration);
        let key = voter.signing_key();
        let context = Context::SignRegistration;
        registration.signature = key.sign(context, network.as_bytes(), &registration.payload());
    })
}

/// The proof of a registration replaced by rubbish, everything else in order.
pub fn with_bad_proof(network: &NetworkId, voter: &VoterId) -> Transaction {
    resigned(network, voter, |registration| {
        registration.ring_proof = RingProof::from_bytes([7; 64]);
    })
}

/// Three options, for `club` and `open`, from the beginning of the network on for years.
pub fn terms(network: &Network, title: &str) -> Terms {
    let start_ms = network.timestamp_ms;
    let end_ms = now_ms() + 1_000 * HOUR_MS;
    Terms {
        title: text(title),
        question: text("Which colour?"),
        options: List::new(vec![text("red"), text("green"), text("blue")]).unwrap(),
        method: Method::Plurality as u8,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: start_ms,
        closes_at_ms: end_ms,
        roll_closes_at_ms: end_ms,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: List::new(vec![text("club"), text("open")]).unwrap(),
        privacy: Privacy::Pseudonymous as u8,
    }
}

/// An election by the organiser, with its id.
pub fn open(network: &Network, terms: Terms) -> (ElectionId, Transaction) {
    let transaction = sign::open_election(network, &organiser(), terms).unwrap();
    let Payload::Election { election } = &transaction.payload else {
        panic!("an election is wanted")
    };
    (election.id(), transaction)
}

/// An election whose terms were changed after it was made.
fn spoiled(network: &Network, change: impl FnOnce(&mut Terms)) -> Transaction {
    let (_, mut transaction) = open(network, terms(network, "spoiled"));
    let Payload::Election { election } = &mut transaction.payload else {
        panic!("an election is wanted")
    };
    change(&mut election.terms);
    let context = Context::SignElection;
    election.signature = organiser().sign(context, network.id().as_bytes(), &election.payload());
    transaction
}

/// With a signature that its key made over something else.
fn forged(transaction: &Transaction) -> Transaction {
    let other = SigningKey::from_seed(&[7; 32]).sign(Context::SignVote, &[1; 32], b"other");
    let mut forged = transaction.clone();
    match &mut forged.payload {
        Payload::Registration { .. } => {
            return tampered(transaction, |registration| registration.signature = other);
        }
        Payload::InvitationBatch { batch } => batch.signature = other,
        Payload::InvitationRevoke { revoke } => revoke.signature = other,
        Payload::Election { election } => election.signature = other,
        Payload::Vote { vote } => {
            let Credential::Pseudonymous { signature, .. } = &mut vote.credential else {
                panic!("a signed vote is wanted")
            };
            *signature = other;
        }
        Payload::Equivocation { equivocation } => equivocation.second_signature = other,
        Payload::FinaliserChange { change } => {
            let mut approvals = change.approvals.to_vec();
            approvals[0].signature = other;
            change.approvals = List::new(approvals).unwrap();
        }
        Payload::Reveal { reveal } => reveal.signature = other,
    }
    forged
}

/// A transaction and the rule that it breaks on the tip of its chain.
pub struct Case {
    pub rule: &'static str,
    pub transaction: Transaction,
}

/// A chain, and transactions that its tip refuses.
pub struct Refused {
    pub chain: Forge,
    pub cases: Vec<Case>,
}

/// Anyone may register and open elections; nobody finalises.
pub fn open_network() -> Genesis {
    genesis_with(|_| {})
}

/// Voters are invited, organisers open elections, finalisers 1 to 4 finalise.
pub fn closed_network() -> Genesis {
    genesis_with(|parameters| {
        parameters.open_stamp_bits = None;
        parameters.elections_by_organisers = true;
        parameters.finalisers = (1..=4).map(member).collect();
    })
}

/// Invitations from this number on are for honest voters of [`closed_network`].
pub const HONEST_INVITATIONS: std::ops::Range<u16> = 1_000..2_000;

/// A chain of [`open_network`], and what it refuses.
pub fn refused_by_open(network: &Arc<Network>) -> Refused {
    let id = network.id();
    let start_ms = network.timestamp_ms;
    let mut chain = Forge::new(network);
    let registrations = (1..=4).map(|number| register(&id, &voter(number)));
    let mut first: Vec<_> = registrations.collect();
    first.push(issue(&id, "club", 1..5));
    chain.extend(start_ms + 60_000, first);
    let (long, opened) = open(network, terms(network, "long"));
    let with = |title: &str, change: &dyn Fn(&mut Terms)| {
        let mut changed = terms(network, title);
        change(&mut changed);
        open(network, changed)
    };
    let (over, opened_over) = with("over", &|terms| {
        terms.closes_at_ms = start_ms + HOUR_MS;
        terms.roll_closes_at_ms = start_ms + HOUR_MS;
    });
    let (later, opened_later) = with("later", &|terms| {
        terms.opens_at_ms = terms.closes_at_ms - 1;
    });
    let (club, opened_club) = with("club", &|terms| {
        terms.groups = List::new(vec![text("club")]).unwrap();
    });
    let (early, opened_early) = with("early roll", &|terms| {
        terms.roll_closes_at_ms = start_ms + HOUR_MS;
    });
    chain.extend(
        start_ms + 120_000,
        vec![
            opened.clone(),
            opened_over,
            opened_later,
            opened_club,
            opened_early,
            invited(&id, 20, 1),
            revoke(&id, 2),
        ],
    );
    let cast = vote(&id, 1, long, &[0]);
    chain.extend(start_ms + 2 * HOUR_MS, vec![cast, register(&id, &voter(5))]);

    let fresh = register(&id, &voter(40));
    let batch = issue(&id, "club", 60..62);
    let mut elsewhere = fresh.clone();
    elsewhere.network = genesis_with(|p| p.name = "other".into()).network_id().tag();
    let twice = {
        let key = invitation(70).public_key();
        let group = Group::new("club").unwrap();
        let keys = List::new(vec![key, key]).unwrap();
        sign::issue_invitations(&id, &organiser(), group, keys)
    };
    let by_stranger = {
        let keys = List::new(vec![invitation(71).public_key()]).unwrap();
        sign::issue_invitations(&id, &stranger(), Group::new("club").unwrap(), keys)
    };
    let (_, ended) = with("ended", &|terms| {
        terms.opens_at_ms = start_ms;
        terms.closes_at_ms = start_ms + HOUR_MS / 2;
        terms.roll_closes_at_ms = start_ms + HOUR_MS / 2;
    });
    let no_stamp = std::iter::repeat_with(|| VoterId::generate().unwrap())
        .map(|voter| sign::register_open(&id, &voter, &[0; 32], 0, &never()).unwrap())
        .find(|cheap| votenode::chain::form::check_form(network, cheap).is_err())
        .unwrap();
    let invited_wrongly = {
        let mut transaction = invited(&id, 41, 3);
        let Payload::Registration { registration } = &mut transaction.payload else {
            panic!("a registration is wanted")
        };
        registration.admission = Admission::Invited {
            invitation: invitation(3).public_key(),
            signature: Signature::ZERO,
        };
        let key = voter(41).signing_key();
        let context = Context::SignRegistration;
        registration.signature = key.sign(context, id.as_bytes(), &registration.payload());
        transaction
    };
    let weak = resigned(&id, &voter(42), |registration| {
        registration.voter = weak_key()
    });
    let no_ring_key = resigned(&id, &voter(43), |registration| {
        registration.ring_key = RingKey::from_bytes([0; 32]);
    });
    let reveal = Transaction {
        network: id.tag(),
        payload: Payload::Reveal {
            reveal: Reveal {
                election: long,
                closing_block: chain.tip.id(),
                trustee: 0,
                seed: Blob::new(vec![0; 32]).unwrap(),
                signature: Signature::ZERO,
            },
        },
    };
    let again = sign::register_open(&id, &voter(1), &[1; 32], STAMP_BITS, &never()).unwrap();
    let nowhere = ElectionId::from_bytes([9; 32]);
    let cases = [
        ("wrong_network", elsewhere),
        ("bad_key", weak),
        ("bad_ring_key", no_ring_key),
        ("bad_signature", forged(&fresh)),
        ("bad_signature", forged(&batch)),
        ("bad_signature", forged(&revoke(&id, 3))),
        (
            "bad_signature",
            forged(&open(network, terms(network, "forged")).1),
        ),
        ("bad_signature", forged(&vote(&id, 2, long, &[0]))),
        ("bad_ring_proof", with_bad_proof(&id, &voter(44))),
        ("bad_invitation_signature", invited_wrongly),
        ("bad_stamp", no_stamp),
        ("duplicate_key", twice),
        ("reserved_group", issue(&id, "open", 72..73)),
        (
            "malformed_election",
            spoiled(network, |terms| terms.seats = 3),
        ),
        (
            "malformed_election",
            spoiled(network, |terms| terms.opens_at_ms = terms.closes_at_ms),
        ),
        (
            "unsupported",
            spoiled(network, |terms| terms.method = Method::Irv as u8),
        ),
        ("unsupported", reveal),
        ("not_permitted", by_stranger),
        ("no_finalisers", change(&id, 1, &[1, 2], &[1])),
        ("no_finalisers", evidence(&id, 1, 1)),
        ("not_registered", vote(&id, 50, long, &[0])),
        ("registered_too_late", vote(&id, 5, early, &[0])),
        ("not_eligible", vote(&id, 2, club, &[0])),
        ("already_registered", again),
        ("invitation_unknown", invited(&id, 45, 80)),
        ("invitation_spent", invited(&id, 46, 1)),
        ("invitation_revoked", invited(&id, 47, 2)),
        ("invitation_exists", issue(&id, "other", 3..4)),
        ("unknown_election", vote(&id, 2, nowhere, &[0])),
        ("election_exists", opened),
        ("election_over", ended),
        ("already_voted", vote(&id, 1, long, &[1])),
        ("too_early", vote(&id, 2, later, &[0])),
        ("too_late", vote(&id, 2, over, &[0])),
        ("wrong_ballot", vote(&id, 2, long, &[3])),
        ("wrong_ballot", vote(&id, 2, long, &[0, 1])),
    ];
    Refused::new(chain, cases)
}

/// A chain of [`closed_network`], and what it refuses.
pub fn refused_by_closed(network: &Arc<Network>) -> Refused {
    let id = network.id();
    let start_ms = network.timestamp_ms;
    let mut chain = Forge::new(network);
    chain.extend(
        start_ms + 60_000,
        vec![
            issue(&id, "club", HONEST_INVITATIONS),
            change(&id, 1, &[1, 2, 3, 5], &[1, 2, 3]),
            evidence(&id, 4, 1),
        ],
    );
    let mut approved_by_nobody = change(&id, 2, &[1, 2], &[1, 2, 3]);
    let Payload::FinaliserChange { change: empty } = &mut approved_by_nobody.payload else {
        panic!("a change is wanted")
    };
    // Twice the same member: no set.
    empty.finalisers = finalisers(&[1, 1]);
    let mut same = evidence(&id, 1, 2);
    let Payload::Equivocation { equivocation } = &mut same.payload else {
        panic!("evidence is wanted")
    };
    equivocation.second = equivocation.first.clone();
    let by_stranger = {
        let mut transaction = open(network, terms(network, "stranger's")).1;
        let Payload::Election { election } = &mut transaction.payload else {
            panic!("an election is wanted")
        };
        election.organiser = stranger().public_key();
        let context = Context::SignElection;
        election.signature = stranger().sign(context, id.as_bytes(), &election.payload());
        transaction
    };
    let cases = [
        ("open_admission_forbidden", register(&id, &voter(1))),
        (
            "bad_signature",
            forged(&change(&id, 2, &[1, 2], &[1, 2, 3])),
        ),
        ("bad_signature", forged(&evidence(&id, 1, 3))),
        ("malformed_change", approved_by_nobody),
        ("malformed_evidence", same),
        ("not_permitted", by_stranger),
        ("set_exists", change(&id, 1, &[1, 2, 3], &[1, 2, 3])),
        ("set_too_early", change(&id, 3, &[1, 2, 3], &[1, 2, 3])),
        ("not_approved", change(&id, 2, &[1, 2], &[1])),
        ("not_a_finaliser", evidence(&id, 9, 1)),
        ("already_convicted", evidence_of(&id, 4, 1, [3, 4])),
    ];
    Refused::new(chain, cases)
}

impl Refused {
    fn new<const N: usize>(chain: Forge, cases: [(&'static str, Transaction); N]) -> Self {
        let cases = cases.map(|(rule, transaction)| Case { rule, transaction });
        Self {
            chain,
            cases: cases.into(),
        }
    }
}

/// Makes `members` the set with this number, approved by `approvers`.
fn change(network: &NetworkId, set: u64, members: &[u8], approvers: &[u8]) -> Transaction {
    let members = finalisers(members);
    let approvals = approvers
        .iter()
        .map(|number| sign::approve_change(network, &finaliser(*number), set, &members));
    let approvals = List::new(approvals.collect()).unwrap();
    sign::change_finalisers(network, set, members, approvals).unwrap()
}

/// What a finaliser prevotes for about a checkpoint.
pub fn prevote(network: &NetworkId, number: u8, height: u64, block: u8) -> SignedFinalityMessage {
    let message = FinalityMessage {
        kind: FinalityMessage::PREVOTE,
        height,
        round: 0,
        lock_round: 0,
        value: Blob::new(vec![block; 32]).unwrap(),
    };
    SignedFinalityMessage::sign(&finaliser(number), network, message)
}

/// Evidence that a finaliser prevoted for two blocks.
pub fn evidence(network: &NetworkId, number: u8, height: u64) -> Transaction {
    evidence_of(network, number, height, [1, 2])
}

fn evidence_of(network: &NetworkId, number: u8, height: u64, blocks: [u8; 2]) -> Transaction {
    let [one, other] = blocks.map(|block| prevote(network, number, height, block));
    sign::convict(network, one.contradicts(&other).unwrap())
}
