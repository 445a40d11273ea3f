//! Verdicts on what finalisers sign: changes of their set, and evidence against one of them.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use votenode::chain::checkpoint::SignedFinalityMessage;
use votenode::chain::genesis::Finaliser;
use votenode::chain::transaction::{
    Approval, Equivocation, FinaliserChange, FinalityMessage, Payload,
};
use votenode::crypto::{Context, PublicKey};
use votenode::wire;

use super::Case;
use crate::chain::finality;
use crate::samples::{self, list};

/// What finalisers sign, in the network of four.
pub fn cases() -> Vec<Case> {
    let malformed_change = Some("malformed_change");
    let malformed_evidence = Some("malformed_evidence");
    let changed = |break_it: &dyn Fn(&mut FinaliserChange)| {
        let mut change = finality::change(1, &[(2, 15), (3, 15), (5, 20)], &[1, 2, 3]);
        break_it(&mut change);
        wire::encode(&finality::transaction(Payload::FinaliserChange { change }))
    };
    // Signed anew, so that nothing but what was changed is wrong.
    let members = |members: Vec<Finaliser>| {
        changed(&|change| {
            change.finalisers = list(members.clone());
            let payload = change.payload();
            let network = finality::genesis().network_id();
            let mut approvals: Vec<_> = [1, 2, 3]
                .map(|number| {
                    let key = samples::key(0x60 + number);
                    Approval {
                        key: key.public_key(),
                        signature: key.sign(
                            Context::SignFinaliserChange,
                            network.as_bytes(),
                            &payload,
                        ),
                    }
                })
                .into();
            approvals.sort_by_key(|approval| approval.key);
            change.approvals = list(approvals);
        })
    };
    let approvals = |change: &mut FinaliserChange, places: &[usize]| {
        let chosen = places.iter().map(|place| change.approvals[*place].clone());
        change.approvals = list(chosen);
    };
    let of_small_order = Finaliser {
        key: PublicKey::from_bytes(EIGHT_TORSION[1].compress().to_bytes()),
        ..finality::member((5, 20))
    };
    // Not of small order, and yet not in the group that the basepoint generates.
    let with_torsion = Finaliser {
        key: {
            let point = CompressedEdwardsY(samples::key(0x65).public_key().to_bytes());
            let point = point.decompress().unwrap() + EIGHT_TORSION[1];
            PublicKey::from_bytes(point.compress().to_bytes())
        },
        ..finality::member((5, 20))
    };
    let accused = |break_it: &dyn Fn(&mut Equivocation)| {
        let mut accused = finality::evidence(1, FinalityMessage::PREVOTE, 3, [1, 2]);
        if let Payload::Equivocation { equivocation } = &mut accused.payload {
            break_it(equivocation);
        }
        wire::encode(&accused)
    };
    let between = |first: SignedFinalityMessage, second: SignedFinalityMessage| {
        accused(&|equivocation| {
            equivocation.first = first.message.clone();
            equivocation.first_signature = first.signature;
            equivocation.second = second.message.clone();
            equivocation.second_signature = second.signature;
        })
    };
    let say = finality::message;
    let (proposal, prevote, precommit) = (0, 1, 2);
    let relocked = {
        let mut message = say(1, proposal, 3, 1).message;
        message.lock_round = 1;
        let network = finality::genesis().network_id();
        SignedFinalityMessage::sign(&samples::key(0x61), &network, message)
    };
    let locked_in_its_own_round = {
        let mut message = relocked.message.clone();
        message.lock_round = message.round + 1;
        let network = finality::genesis().network_id();
        SignedFinalityMessage::sign(&samples::key(0x61), &network, message)
    };
    let in_round = |round: u64, value: u8| {
        let mut message = say(1, prevote, 3, value).message;
        message.round = round;
        let network = finality::genesis().network_id();
        SignedFinalityMessage::sign(&samples::key(0x61), &network, message)
    };
    let cases: Vec<(&str, Option<&'static str>, Vec<u8>)> = vec![
        ("change", None, changed(&|_| {})),
        // Its place in the chain decides about the power behind it.
        (
            "change with one approval",
            None,
            changed(&|change| approvals(change, &[1])),
        ),
        (
            "change to set 0",
            malformed_change,
            changed(&|change| change.set = 0),
        ),
        (
            "change to set 65",
            malformed_change,
            changed(&|change| change.set = 65),
        ),
        (
            "change of another set than was approved",
            Some("bad_signature"),
            changed(&|change| change.set = 2),
        ),
        (
            "change with approvals out of order",
            malformed_change,
            changed(&|change| approvals(change, &[1, 0, 2])),
        ),
        (
            "change with an approval twice",
            malformed_change,
            changed(&|change| approvals(change, &[0, 0, 1])),
        ),
        (
            "change with a forged approval",
            Some("bad_signature"),
            changed(&|change| {
                let mut approvals = change.approvals.to_vec();
                approvals[2].signature = approvals[1].signature;
                change.approvals = list(approvals);
            }),
        ),
        (
            "change to finalisers with a key twice",
            malformed_change,
            members(vec![finality::member((2, 1)), finality::member((2, 2))]),
        ),
        (
            "change to a finaliser without power",
            malformed_change,
            members(vec![finality::member((2, 0))]),
        ),
        (
            "change to a key of small order",
            malformed_change,
            members(vec![of_small_order]),
        ),
        (
            "change to a key with torsion",
            malformed_change,
            members(vec![with_torsion]),
        ),
        ("evidence of two prevotes", None, accused(&|_| {})),
        (
            "evidence of a precommit for nil and one for a block",
            None,
            between(say(1, precommit, 3, 0), say(1, precommit, 3, 1)),
        ),
        (
            "evidence of proposals that differ in the lock only",
            None,
            between(say(1, proposal, 3, 1), relocked.clone()),
        ),
        (
            "evidence of the last round",
            None,
            between(in_round(10_000, 1), in_round(10_000, 2)),
        ),
        (
            "evidence of a round beyond the last",
            malformed_evidence,
            between(in_round(10_001, 1), in_round(10_001, 2)),
        ),
        (
            "evidence with the higher encoding first",
            malformed_evidence,
            between(say(1, prevote, 3, 2), say(1, prevote, 3, 1)),
        ),
        (
            "evidence of the same message twice",
            malformed_evidence,
            between(say(1, prevote, 3, 1), say(1, prevote, 3, 1)),
        ),
        (
            "evidence of messages of two kinds",
            malformed_evidence,
            between(say(1, prevote, 3, 1), say(1, precommit, 3, 2)),
        ),
        (
            "evidence of messages about two checkpoints",
            malformed_evidence,
            between(say(1, prevote, 3, 1), say(1, prevote, 4, 2)),
        ),
        (
            "evidence about checkpoint 0",
            malformed_evidence,
            between(say(1, prevote, 0, 1), say(1, prevote, 0, 2)),
        ),
        (
            "evidence of a fourth kind",
            malformed_evidence,
            between(say(1, 3, 3, 1), say(1, 3, 3, 2)),
        ),
        (
            "evidence of a proposal of nothing",
            malformed_evidence,
            between(say(1, proposal, 3, 0), say(1, proposal, 3, 1)),
        ),
        (
            "evidence of a proposal locked in its own round",
            malformed_evidence,
            between(relocked, locked_in_its_own_round),
        ),
        (
            "evidence against another finaliser",
            Some("bad_signature"),
            accused(&|equivocation| {
                equivocation.finaliser = samples::key(0x62).public_key();
            }),
        ),
        (
            "evidence with the signatures swapped",
            Some("bad_signature"),
            accused(&|equivocation| {
                std::mem::swap(
                    &mut equivocation.first_signature,
                    &mut equivocation.second_signature,
                );
            }),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, rule, bytes)| (name.to_owned(), rule, bytes))
        .collect()
}
