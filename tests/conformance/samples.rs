//! Sample values from fixed seeds: voters, organisers, a genesis, and one transaction of every kind.

mod finality;

use std::sync::atomic::AtomicBool;

use votenode::chain::block::{BlockId, Header, Nonce};
use votenode::chain::election::{
    Ballot, Election, ElectionId, SealedShare, Secrecy, Terms, Trustee,
};
use votenode::chain::genesis::{Finaliser, Genesis, NetworkId, OpenAdmission, Organiser};
use votenode::chain::transaction::{
    Admission, Credential, InvitationBatch, InvitationRevoke, Payload, Registration, Reveal,
    Transaction, Vote,
};
use votenode::crypto::{
    Context, Hash, RingKey, RingProof, Signature, SigningKey, VoterId, hash, stamp,
};
use votenode::wire::{Blob, List, Text};

pub use finality::{equivocation, finaliser_change, precommit, proposal, sign_finality};

/// When the sample network was made, Unix milliseconds.
pub const START_MS: u64 = 1_800_000_000_000;
/// Bits of the stamp on open registrations.
pub const STAMP_BITS: u8 = 8;

pub fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::new(text).unwrap()
}

pub fn list<T, const MIN: usize, const MAX: usize>(
    items: impl IntoIterator<Item = T>,
) -> List<T, MIN, MAX> {
    List::new(items.into_iter().collect()).unwrap()
}

pub fn blob<const MIN: usize, const MAX: usize>(bytes: &[u8]) -> Blob<MIN, MAX> {
    Blob::new(bytes.to_vec()).unwrap()
}

/// 32 bytes that stand for nothing in particular.
pub fn filler(number: u8) -> Hash {
    hash(Context::Ballot, &[number])
}

/// The key of a seed that holds this byte only.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// May invite and open elections.
pub fn organiser() -> SigningKey {
    key(0x51)
}

/// May invite only.
pub fn inviter() -> SigningKey {
    key(0x52)
}

pub fn invitation(number: u8) -> SigningKey {
    key(0x80 + number)
}

pub fn voter(number: u8) -> VoterId {
    VoterId::from_bytes([number; 32])
}

pub fn finaliser(number: u8) -> Finaliser {
    Finaliser {
        key: key(0x60 + number).public_key(),
        power: 10 + u64::from(number),
        name: text(&format!("Finaliser {number}")),
    }
}

/// A network with open admission, two organisers and no finalisers; mining is free.
pub fn genesis() -> Genesis {
    Genesis {
        version: 1,
        name: text("vectors"),
        timestamp_ms: START_MS,
        block_time_ms: 1_000,
        target: {
            let mut target = [0xff; 32];
            target[0] = 0x07;
            Hash::from_bytes(target)
        },
        close_grace_ms: 2_000,
        confirmations: 2,
        max_block_bytes: 1 << 20,
        max_block_transactions: 1_000,
        open_admission: OpenAdmission::Stamped { bits: STAMP_BITS },
        vote_stamp_bits: 8,
        elections_by: Genesis::ORGANISERS,
        organisers: list([
            Organiser {
                key: organiser().public_key(),
                permissions: Organiser::INVITE | Organiser::OPEN_ELECTIONS,
                name: text("Zoë, organiser"),
            },
            Organiser {
                key: inviter().public_key(),
                permissions: Organiser::INVITE,
                name: text("Registrar"),
            },
        ]),
        finalisers: list([]),
    }
}

/// The sample network.
pub fn network() -> NetworkId {
    genesis().network_id()
}

/// A signature in the sample network.
pub fn sign(key: &SigningKey, context: Context, payload: &[u8]) -> Signature {
    key.sign(context, network().as_bytes(), payload)
}

/// A transaction of the sample network.
pub fn transaction(payload: Payload) -> Transaction {
    Transaction {
        network: network().tag(),
        payload,
    }
}

/// The ring key of a voter with its proof, hedged by nothing so that it comes out the same every time.
pub fn ring(voter: &VoterId) -> (RingKey, RingProof) {
    let secret = voter.ring_secret();
    let proof = secret.prove(
        network().as_bytes(),
        &voter.signing_key().public_key(),
        &[0; 32],
    );
    (secret.ring_key(), proof)
}

/// Signs and stamps a registration anew, for whatever its other fields are.
pub fn seal_registration(registration: &mut Registration, key: &SigningKey) {
    registration.signature = sign(key, Context::SignRegistration, &registration.payload());
    let stamped = registration.stamp_payload();
    if let Admission::Open { stamp } = &mut registration.admission {
        let never = AtomicBool::new(false);
        *stamp =
            stamp::find_stamp(Context::RegistrationStamp, &stamped, STAMP_BITS, &never).unwrap();
    }
}

/// A registration under open admission.
pub fn open_registration(voter: &VoterId) -> Registration {
    let (ring_key, ring_proof) = ring(voter);
    let mut registration = Registration {
        voter: voter.signing_key().public_key(),
        ring_key,
        ring_proof,
        admission: Admission::Open { stamp: 0 },
        signature: Signature::ZERO,
    };
    seal_registration(&mut registration, &voter.signing_key());
    registration
}

/// A registration with an invitation.
pub fn invited_registration(voter: &VoterId, invitation: &SigningKey) -> Registration {
    let mut registration = open_registration(voter);
    let signature = sign(
        invitation,
        Context::SignInvitationUse,
        &registration.invitation_payload(),
    );
    registration.admission = Admission::Invited {
        invitation: invitation.public_key(),
        signature,
    };
    seal_registration(&mut registration, &voter.signing_key());
    registration
}

/// A batch of invitations, signed by `organiser`.
pub fn batch(group: &str, invitations: &[SigningKey], organiser: &SigningKey) -> InvitationBatch {
    let mut batch = InvitationBatch {
        group: text(group),
        keys: list(invitations.iter().map(SigningKey::public_key)),
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    batch.signature = sign(organiser, Context::SignInvitationBatch, &batch.payload());
    batch
}

/// A revocation of invitations, signed by `organiser`.
pub fn revoke(invitations: &[SigningKey], organiser: &SigningKey) -> InvitationRevoke {
    let mut revoke = InvitationRevoke {
        keys: list(invitations.iter().map(SigningKey::public_key)),
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    revoke.signature = sign(organiser, Context::SignInvitationRevoke, &revoke.payload());
    revoke
}

/// Terms of a plurality election open to everybody.
pub fn terms() -> Terms {
    Terms {
        title: text("Colour of the boathouse"),
        question: text("In which colour shall we paint the boathouse?"),
        options: list(["Red", "Blå", "緑"].map(text)),
        method: 0,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: START_MS + 5_000,
        closes_at_ms: START_MS + 9_000,
        roll_closes_at_ms: START_MS + 9_000,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: list(["members", "open"].map(text)),
        privacy: 0,
    }
}

/// Signs an election.
pub fn election(terms: Terms, secrecy: Secrecy, organiser: &SigningKey) -> Election {
    let mut election = Election {
        terms,
        secrecy,
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    election.signature = sign(organiser, Context::SignElection, &election.payload());
    election
}

/// The plurality election.
pub fn plurality() -> Election {
    election(terms(), Secrecy::Open {}, &organiser())
}

/// An approval election of two seats.
pub fn approval() -> Election {
    let terms = Terms {
        title: text("Committee"),
        question: text("Who shall be on the committee?"),
        options: list(["Ada", "Bo", "Cy", "Di"].map(text)),
        method: 1,
        seats: 2,
        ..terms()
    };
    election(terms, Secrecy::Open {}, &organiser())
}

/// A sealed and anonymous election with two of three trustees.
pub fn sealed() -> Election {
    let terms = Terms {
        title: text("Chair"),
        question: text("Who shall be chair?"),
        method: 3,
        roll_closes_at_ms: START_MS + 5_000,
        reveal_until_ms: START_MS + 60_000,
        min_ring: 16,
        privacy: 1,
        ..terms()
    };
    let keys = [key(0x71), key(0x72), key(0x73)];
    let unsigned = |key: &SigningKey| Trustee {
        key: key.public_key(),
        signature: Signature::ZERO,
    };
    let secrecy = Secrecy::Sealed {
        threshold: 2,
        trustees: list(keys.iter().map(unsigned)),
    };
    let draft = election(terms.clone(), secrecy, &organiser());
    let signed = |key: &SigningKey| Trustee {
        key: key.public_key(),
        signature: sign(key, Context::SignTrusteeKey, &draft.trustee_payload()),
    };
    let secrecy = Secrecy::Sealed {
        threshold: 2,
        trustees: list(keys.iter().map(signed)),
    };
    election(terms, secrecy, &organiser())
}

/// A pseudonymous vote with an open ballot.
pub fn vote(election: ElectionId, choices: &[u8], voter: &VoterId) -> Vote {
    let key = voter.signing_key();
    let mut vote = Vote {
        election,
        ballot: Ballot::Open {
            choices: blob(choices),
        },
        credential: Credential::Pseudonymous {
            voter: key.public_key(),
            signature: Signature::ZERO,
        },
    };
    seal_vote(&mut vote, &key);
    vote
}

/// Signs a pseudonymous vote anew.
pub fn seal_vote(vote: &mut Vote, key: &SigningKey) {
    let made = sign(key, Context::SignVote, &vote.payload());
    if let Credential::Pseudonymous { signature, .. } = &mut vote.credential {
        *signature = made;
    }
}

/// The shape of a sealed and anonymous vote; what is inside is filler.
pub fn sealed_vote() -> Vote {
    let share = |number| SealedShare {
        encapsulated: filler(number),
        ciphertext: blob(&[number; 48]),
    };
    let mut vote = Vote {
        election: sealed().id(),
        ballot: Ballot::Sealed {
            ciphertext: blob(&[0xcc; 20]),
            shares: list([share(1), share(2), share(3)]),
        },
        credential: Credential::Anonymous {
            tag: ring(&voter(1)).0,
            ring: 0,
            proof: blob(&[0xdd; 8 + 32 * 19]),
            stamp: 0,
        },
    };
    let stamped = vote.stamp_payload().unwrap();
    if let Credential::Anonymous { stamp, .. } = &mut vote.credential {
        let never = AtomicBool::new(false);
        *stamp = stamp::find_stamp(Context::VoteStamp, &stamped, 8, &never).unwrap();
    }
    vote
}

/// A trustee's reveal.
pub fn reveal() -> Reveal {
    let trustee = key(0x71);
    let mut reveal = Reveal {
        election: sealed().id(),
        closing_block: header().id(),
        trustee: 0,
        seed: blob(&[0x71; 32]),
        signature: Signature::ZERO,
    };
    reveal.signature = sign(&trustee, Context::SignReveal, &reveal.payload());
    reveal
}

/// A header that no chain holds.
pub fn header() -> Header {
    Header {
        version: 1,
        network: network(),
        height: 3,
        parent: BlockId::from_bytes(filler(1).to_bytes()),
        transaction_root: filler(2),
        roll_size: 300,
        roll_root: filler(3),
        timestamp_ms: START_MS + 3_000,
        miner: key(0x41).public_key(),
        nonce: Nonce::from_bytes(*b"\0\0\0\0\0\0\x01\x02"),
    }
}

/// One transaction of every kind, with a name; both admissions, both kinds of ballots and credentials.
pub fn transactions() -> Vec<(&'static str, Transaction)> {
    let registration = |registration| Payload::Registration { registration };
    let invitations = [invitation(1), invitation(2), invitation(3)];
    [
        (
            "registration under open admission",
            registration(open_registration(&voter(1))),
        ),
        (
            "registration with an invitation",
            registration(invited_registration(&voter(2), &invitation(1))),
        ),
        (
            "invitation batch",
            Payload::InvitationBatch {
                batch: batch("members", &invitations, &organiser()),
            },
        ),
        (
            "invitation revoke",
            Payload::InvitationRevoke {
                revoke: revoke(&[invitation(3)], &inviter()),
            },
        ),
        (
            "plurality election",
            Payload::Election {
                election: plurality(),
            },
        ),
        (
            "approval election",
            Payload::Election {
                election: approval(),
            },
        ),
        (
            "sealed and anonymous ranked election",
            Payload::Election { election: sealed() },
        ),
        (
            "vote for one option",
            Payload::Vote {
                vote: vote(plurality().id(), &[1], &voter(1)),
            },
        ),
        (
            "blank vote",
            Payload::Vote {
                vote: vote(plurality().id(), &[], &voter(2)),
            },
        ),
        (
            "approval of two options",
            Payload::Vote {
                vote: vote(approval().id(), &[0, 3], &voter(1)),
            },
        ),
        (
            "sealed and anonymous vote",
            Payload::Vote {
                vote: sealed_vote(),
            },
        ),
        ("reveal", Payload::Reveal { reveal: reveal() }),
        (
            "finaliser change",
            Payload::FinaliserChange {
                change: finaliser_change(),
            },
        ),
        (
            "equivocation",
            Payload::Equivocation {
                equivocation: equivocation(),
            },
        ),
    ]
    .map(|(name, payload)| (name, transaction(payload)))
    .into()
}
