//! `transactions.json`: the verdict on transactions by themselves, before any state is looked at.

mod finality;

use std::sync::Arc;

use curve25519_dalek::constants::EIGHT_TORSION;
use serde_json::{Value, json};
use votenode::chain::election::{Election, Secrecy, Terms};
use votenode::chain::genesis::{Genesis, NetworkTag, OpenAdmission};
use votenode::chain::invalid::RULES;
use votenode::chain::network::Network;
use votenode::chain::transaction::{
    Admission, InvitationBatch, Payload, Registration, Transaction,
};
use votenode::chain::verify::Verifier;
use votenode::crypto::{Context, PublicKey, RingKey, RingProof, Signature, SigningKey};
use votenode::wire;

use crate::chain;
use crate::samples::{self, START_MS, invitation, list, organiser, text, transaction, voter};
use crate::vectors::{hex, settle};

/// A case: name, the rule that is broken (none: valid), and the bytes.
type Case = (String, Option<&'static str>, Vec<u8>);

/// A verdict as it stands in the vectors: "valid", or the rule and its code.
pub fn verdict(network: &Network, bytes: &[u8]) -> String {
    let verifier = Verifier::new(Arc::new(network.clone()), [0; 32]);
    match verifier.verify_encoded(bytes) {
        Ok(verified) => {
            assert_eq!(verified.id(), Transaction::id_of(bytes));
            "valid".to_owned()
        }
        Err(reason) => reason.name().to_owned(),
    }
}

fn registered(registration: Registration) -> Vec<u8> {
    wire::encode(&transaction(Payload::Registration { registration }))
}

/// An open registration that was changed, then signed and stamped again.
fn registration(change: impl FnOnce(&mut Registration)) -> Vec<u8> {
    let mut registration = samples::open_registration(&voter(1));
    change(&mut registration);
    samples::seal_registration(&mut registration, &voter(1).signing_key());
    registered(registration)
}

/// An open registration that was changed and not signed again.
fn damaged(change: impl FnOnce(&mut Registration)) -> Vec<u8> {
    let mut registration = samples::open_registration(&voter(1));
    change(&mut registration);
    registered(registration)
}

/// A registration by a key of small order, for which all zeros but R sign anything.
fn small_order_registration() -> Vec<u8> {
    let mut registration = samples::open_registration(&voter(1));
    registration.voter = PublicKey::from_bytes(EIGHT_TORSION[1].compress().to_bytes());
    samples::seal_registration(&mut registration, &voter(1).signing_key());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&EIGHT_TORSION[0].compress().to_bytes());
    registration.signature = Signature::from_bytes(signature);
    let payload = registration.stamp_payload();
    if let Admission::Open { stamp } = &mut registration.admission {
        *stamp = stamp_of(&payload);
    }
    registered(registration)
}

fn stamp_of(payload: &[u8]) -> u64 {
    let never = std::sync::atomic::AtomicBool::new(false);
    votenode::crypto::stamp::find_stamp(
        Context::RegistrationStamp,
        payload,
        samples::STAMP_BITS,
        &never,
    )
    .unwrap()
}

/// The first stamp that is worth too little.
fn bad_stamp() -> Vec<u8> {
    damaged(|registration| {
        let payload = registration.stamp_payload();
        let bad = |stamp: &u64| {
            !votenode::crypto::stamp::check_stamp(
                Context::RegistrationStamp,
                &payload,
                *stamp,
                samples::STAMP_BITS,
            )
        };
        let stamp = (0..).find(bad).unwrap();
        registration.admission = Admission::Open { stamp };
    })
}

fn batch(change: impl FnOnce(&mut InvitationBatch), signer: &SigningKey) -> Vec<u8> {
    let mut batch = samples::batch("members", &[invitation(1), invitation(2)], signer);
    change(&mut batch);
    batch.signature = samples::sign(signer, Context::SignInvitationBatch, &batch.payload());
    wire::encode(&transaction(Payload::InvitationBatch { batch }))
}

fn elected(election: Election) -> Vec<u8> {
    wire::encode(&transaction(Payload::Election { election }))
}

fn election(change: impl FnOnce(&mut Terms)) -> Vec<u8> {
    let mut terms = samples::terms();
    change(&mut terms);
    elected(samples::election(terms, Secrecy::Open {}, &organiser()))
}

fn sealed(
    change: impl FnOnce(&mut Terms, &mut u64, &mut Vec<votenode::chain::election::Trustee>),
) -> Vec<u8> {
    let Election {
        mut terms, secrecy, ..
    } = samples::sealed();
    let Secrecy::Sealed {
        mut threshold,
        trustees,
    } = secrecy
    else {
        unreachable!()
    };
    let mut trustees = trustees.into_vec();
    change(&mut terms, &mut threshold, &mut trustees);
    let secrecy = Secrecy::Sealed {
        threshold,
        trustees: list(trustees),
    };
    elected(samples::election(terms, secrecy, &organiser()))
}

fn cases() -> Vec<Case> {
    let malformed = Some("malformed_election");
    let mut cases: Vec<(&str, Option<&'static str>, Vec<u8>)> = vec![
        ("of another network", Some("wrong_network"), {
            let mut stray = transaction(Payload::Registration {
                registration: samples::open_registration(&voter(1)),
            });
            stray.network = NetworkTag::from_bytes(*b"oops");
            wire::encode(&stray)
        }),
        (
            "right tag, signed for another network",
            Some("bad_signature"),
            {
                let mut registration = samples::open_registration(&voter(1));
                registration.signature = voter(1).signing_key().sign(
                    Context::SignRegistration,
                    &[7; 32],
                    &registration.payload(),
                );
                let stamp = stamp_of(&registration.stamp_payload());
                registration.admission = Admission::Open { stamp };
                registered(registration)
            },
        ),
        ("stamp of too few bits", Some("bad_stamp"), bad_stamp()),
        (
            "stamp worth nothing and signature wrong",
            Some("bad_stamp"),
            { damaged(|registration| registration.signature = Signature::from_bytes([9; 64])) },
        ),
        ("signature by another voter", Some("bad_signature"), {
            let mut registration = samples::open_registration(&voter(1));
            samples::seal_registration(&mut registration, &voter(2).signing_key());
            registered(registration)
        }),
        (
            "voter key of small order",
            Some("bad_key"),
            small_order_registration(),
        ),
        (
            "voter key that is no point",
            Some("bad_key"),
            registration(|r| r.voter = PublicKey::from_bytes([2; 32])),
        ),
        (
            "ring key: the identity",
            Some("bad_ring_key"),
            registration(|r| r.ring_key = RingKey::ZERO),
        ),
        (
            "ring key: negative",
            Some("bad_ring_key"),
            registration(|r| {
                let mut bytes = r.ring_key.to_bytes();
                bytes[0] ^= 1;
                r.ring_key = RingKey::from_bytes(bytes);
            }),
        ),
        (
            "ring key of another voter",
            Some("bad_ring_proof"),
            registration(|r| r.ring_key = samples::ring(&voter(2)).0),
        ),
        (
            "ring proof of zeros",
            Some("bad_ring_proof"),
            registration(|r| r.ring_proof = RingProof::ZERO),
        ),
        (
            "invitation signed for another voter",
            Some("bad_invitation_signature"),
            {
                let mut registration = samples::invited_registration(&voter(1), &invitation(1));
                registration.admission =
                    samples::invited_registration(&voter(2), &invitation(1)).admission;
                samples::seal_registration(&mut registration, &voter(1).signing_key());
                registered(registration)
            },
        ),
        (
            "invitation replaced after signing",
            Some("bad_signature"),
            {
                let mut registration = samples::invited_registration(&voter(1), &invitation(1));
                registration.admission =
                    samples::invited_registration(&voter(1), &invitation(2)).admission;
                registered(registration)
            },
        ),
        (
            "batch by a voter",
            Some("not_permitted"),
            batch(|_| {}, &voter(1).signing_key()),
        ),
        (
            "batch into the group open",
            Some("reserved_group"),
            batch(|b| b.group = text("open"), &organiser()),
        ),
        (
            "batch with a key twice",
            Some("duplicate_key"),
            batch(
                |b| {
                    b.keys = list([invitation(1).public_key(), invitation(1).public_key()]);
                },
                &organiser(),
            ),
        ),
        (
            "batch with a key of small order",
            Some("bad_key"),
            batch(
                |b| {
                    b.keys = list([
                        invitation(1).public_key(),
                        PublicKey::from_bytes(EIGHT_TORSION[2].compress().to_bytes()),
                    ]);
                },
                &organiser(),
            ),
        ),
        (
            "batch with a signature by another organiser",
            Some("bad_signature"),
            {
                let mut batch = samples::batch("members", &[invitation(1)], &organiser());
                batch.signature =
                    samples::batch("members", &[invitation(1)], &samples::inviter()).signature;
                wire::encode(&transaction(Payload::InvitationBatch { batch }))
            },
        ),
        ("revocation by a voter", Some("not_permitted"), {
            let revoke = samples::revoke(&[invitation(1)], &voter(1).signing_key());
            wire::encode(&transaction(Payload::InvitationRevoke { revoke }))
        }),
        (
            "revocation with the signature of a batch",
            Some("bad_signature"),
            {
                let mut revoke = samples::revoke(&[invitation(1)], &organiser());
                revoke.signature = samples::sign(
                    &organiser(),
                    Context::SignInvitationBatch,
                    &revoke.payload(),
                );
                wire::encode(&transaction(Payload::InvitationRevoke { revoke }))
            },
        ),
        (
            "election by an organiser who may only invite",
            Some("not_permitted"),
            {
                elected(samples::election(
                    samples::terms(),
                    Secrecy::Open {},
                    &samples::inviter(),
                ))
            },
        ),
        ("election changed after signing", Some("bad_signature"), {
            let mut election = samples::plurality();
            election.terms.title = text("Another title");
            elected(election)
        }),
        (
            "two options alike",
            malformed,
            election(|t| t.options = list(["Red", "Red"].map(text))),
        ),
        ("method 6", malformed, election(|t| t.method = 6)),
        ("privacy 2", malformed, election(|t| t.privacy = 2)),
        ("no seats", malformed, election(|t| t.seats = 0)),
        (
            "as many seats as options",
            malformed,
            election(|t| t.seats = 3),
        ),
        (
            "score maximum of a plurality election",
            malformed,
            election(|t| t.score_maximum = 5),
        ),
        (
            "score election without a maximum",
            malformed,
            election(|t| t.method = 2),
        ),
        (
            "closes when it opens",
            malformed,
            election(|t| t.closes_at_ms = t.opens_at_ms),
        ),
        (
            "roll closes after the polls",
            malformed,
            election(|t| t.roll_closes_at_ms = t.closes_at_ms + 1),
        ),
        (
            "reveals of an open election",
            malformed,
            election(|t| t.reveal_until_ms = START_MS + 90_000),
        ),
        (
            "ring of a pseudonymous election",
            malformed,
            election(|t| t.min_ring = 16),
        ),
        (
            "groups not sorted",
            malformed,
            election(|t| t.groups = list(["open", "members"].map(text))),
        ),
        (
            "a group twice",
            malformed,
            election(|t| t.groups = list(["open", "open"].map(text))),
        ),
        (
            "closes beyond all numbers",
            malformed,
            election(|t| t.closes_at_ms = wire::MAX_UINT),
        ),
        (
            "anonymous, roll closes after opening",
            malformed,
            sealed(|t, _, _| t.roll_closes_at_ms = t.opens_at_ms + 1),
        ),
        (
            "anonymous, rings of one",
            malformed,
            sealed(|t, _, _| t.min_ring = 1),
        ),
        (
            "sealed, reveals end within the grace",
            malformed,
            sealed(|t, _, _| t.reveal_until_ms = t.closes_at_ms + 2_000),
        ),
        (
            "sealed, one of three trustees needed",
            malformed,
            sealed(|_, threshold, _| *threshold = 1),
        ),
        (
            "sealed, four of three trustees needed",
            malformed,
            sealed(|_, threshold, _| *threshold = 4),
        ),
        (
            "sealed, a trustee twice",
            malformed,
            sealed(|_, _, trustees| trustees[1] = trustees[0].clone()),
        ),
        (
            "score voting",
            Some("unsupported"),
            election(|t| (t.method, t.score_maximum) = (2, 5)),
        ),
        ("Schulze", Some("unsupported"), election(|t| t.method = 4)),
        ("vote signed as an election", Some("bad_signature"), {
            let mut vote = samples::vote(samples::plurality().id(), &[1], &voter(1));
            let signature = samples::sign(
                &voter(1).signing_key(),
                Context::SignElection,
                &vote.payload(),
            );
            vote.credential = votenode::chain::transaction::Credential::Pseudonymous {
                voter: voter(1).signing_key().public_key(),
                signature,
            };
            wire::encode(&transaction(Payload::Vote { vote }))
        }),
        ("vote changed after signing", Some("bad_signature"), {
            let mut vote = samples::vote(samples::plurality().id(), &[1], &voter(1));
            vote.ballot = samples::vote(samples::plurality().id(), &[2], &voter(1)).ballot;
            wire::encode(&transaction(Payload::Vote { vote }))
        }),
        ("a byte too many", Some("not_canonical"), {
            let mut bytes = registered(samples::open_registration(&voter(1)));
            bytes.push(0);
            bytes
        }),
        ("61,441 bytes", Some("too_large"), vec![0; 61_441]),
    ];
    for (name, golden) in samples::transactions() {
        let rule = match name {
            "reveal" => Some("unsupported"),
            "finaliser change" | "equivocation" => Some("no_finalisers"),
            _ => name.contains("sealed").then_some("unsupported"),
        };
        cases.push((name, rule, wire::encode(&golden)));
    }
    cases
        .into_iter()
        .map(|(name, rule, bytes)| (name.to_owned(), rule, bytes))
        .collect()
}

fn entries(genesis: Genesis, cases: &[Case]) -> Value {
    let network = Network::new(genesis).unwrap();
    let vectors: Vec<_> = cases
        .iter()
        .map(|(name, rule, bytes)| {
            let found = verdict(&network, bytes);
            assert_eq!(found, rule.unwrap_or("valid"), "{name}");
            // What is too long is not worth its space here: zeros, so many.
            if bytes.iter().all(|byte| *byte == 0) {
                return json!({ "name": name, "zeros": bytes.len(), "verdict": found });
            }
            json!({ "name": name, "hex": hex(bytes), "verdict": found })
        })
        .collect();
    json!({ "genesis": hex(wire::encode(network.genesis())), "vectors": vectors })
}

#[test]
fn verdicts_on_transactions_by_themselves() {
    let forbidden = Genesis {
        open_admission: OpenAdmission::Forbidden {},
        ..samples::genesis()
    };
    let stray = {
        let network = forbidden.network_id();
        let mut transaction = transaction(Payload::Registration {
            registration: samples::open_registration(&voter(1)),
        });
        transaction.network = network.tag();
        wire::encode(&transaction)
    };
    settle(
        "transactions.json",
        &json!({
            "about": "Verdicts on transactions by themselves, by network: \"valid\" or the name of the rule of README §8 that is \
                      broken, the first in the order given there. State is not looked at.",
            "rules": RULES.iter().map(|(code, name)| json!({ "code": code, "name": name })).collect::<Vec<_>>(),
            "networks": [
                entries(samples::genesis(), &cases()),
                entries(forbidden, &[("open registration where it is forbidden".to_owned(), Some("open_admission_forbidden"), stray)]),
                entries(chain::finality::genesis(), &finality::cases()),
            ],
        }),
    );
}
