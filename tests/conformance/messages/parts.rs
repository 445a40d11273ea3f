//! What the golden messages are made of, where it takes more than a line.

use votenode::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use votenode::chain::genesis::{Genesis, OpenAdmission};
use votenode::chain::transaction::{Approval, FinalityMessage};
use votenode::crypto::{Context, Signature};
use votenode::protocol::gossip::{MiningState, Phase};
use votenode::protocol::submit::{Inclusion, Reason, Round, Tally};
use votenode::protocol::sync::Status;

use crate::samples::{self, filler, list, text};

pub(super) fn finalising_genesis() -> Genesis {
    Genesis {
        name: text("vectors, finalised"),
        open_admission: OpenAdmission::Forbidden {},
        finalisers: list([samples::finaliser(1), samples::finaliser(2)]),
        ..samples::genesis()
    }
}

pub(super) fn mining_state() -> MiningState {
    let miner = samples::key(0x41);
    let mut state = MiningState {
        parent: samples::header().id(),
        height: 4,
        phase: Phase::Mining as u8,
        counts: list([100, 1, 0, 2, 23, 0, 0, 0]),
        lease_ms: 500,
        hash_rate: 2_500_000,
        sequence: samples::START_MS + 4_000,
        miner: miner.public_key(),
        signature: Signature::ZERO,
    };
    state.signature = samples::sign(&miner, Context::SignMiningState, &state.payload());
    state
}

pub(super) fn finality_messages() -> Vec<SignedFinalityMessage> {
    let signer = samples::key(0x61);
    let precommit = samples::precommit(Some(samples::header().id()));
    let prevote = FinalityMessage {
        kind: FinalityMessage::PREVOTE,
        ..samples::precommit(None)
    };
    [samples::proposal(), prevote, precommit]
        .map(|message| SignedFinalityMessage {
            finaliser: signer.public_key(),
            signature: samples::sign_finality(&signer, &message),
            message,
        })
        .into()
}

/// A certificate of two precommits.
pub fn certificate() -> CommitCertificate {
    let block = samples::header().id();
    let message = samples::precommit(Some(block));
    let mut precommits = [samples::key(0x61), samples::key(0x62)].map(|key| Approval {
        key: key.public_key(),
        signature: samples::sign_finality(&key, &message),
    });
    precommits.sort_by_key(|approval| approval.key);
    CommitCertificate {
        set: 0,
        checkpoint: message.height,
        round: message.round,
        block,
        precommits: list(precommits),
    }
}

pub(super) fn inclusion() -> Inclusion {
    Inclusion {
        header: samples::header(),
        index: 2,
        count: 3,
        path: list([filler(4)]),
    }
}

pub(super) fn reason() -> Reason {
    Reason {
        code: 1,
        text: text("an example of a reason"),
    }
}

pub(super) fn status() -> Status {
    Status {
        tip: samples::header().id(),
        height: 3,
        checkpoint: samples::header().parent,
        checkpoint_height: 2,
        pending: 7,
        clock_ms: samples::START_MS + 3_500,
    }
}

pub(super) fn tally() -> Tally {
    Tally {
        votes: 10,
        blank: 1,
        spoiled: 0,
        totals: list([4, 5, 0]),
        rounds: list([Round {
            counts: list([400_000, 500_000, 0]),
            exhausted: 100_000,
            elected: list([1]),
            excluded: list([2]),
        }]),
        pairwise: list([0, 4, 4, 5, 0, 5, 0, 0, 0]),
        winners: list([1]),
    }
}
