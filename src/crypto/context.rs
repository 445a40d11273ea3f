//! The table of hash contexts: one per purpose, so that no hash made for one purpose can stand in for another.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, hash_derive_key_context};

/// Defines the contexts in one table: variant, name.
macro_rules! contexts {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a hash is for: the context string of BLAKE3's `derive_key` mode.
        ///
        /// Changing a name changes every hash made under it, and so the network.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Context {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Context {
            /// Every context, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The context string, exactly as it enters BLAKE3.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("votenode 2026-11 v1 ", $name),)+
                }
            }
        }
    };
}

contexts! {
    // Names of things.
    /// The network id, over the canonical genesis.
    NetworkId = "network id",
    /// A transaction's id, over its canonical bytes.
    TransactionId = "transaction id",
    /// A block's id and its proof of work, over the canonical header.
    BlockId = "block id",
    /// An election's id, over the canonical body of the election transaction.
    ElectionId = "election id",
    /// A ballot's hash, which the transcript of an anonymous vote absorbs.
    Ballot = "ballot",

    // Merkle trees.
    /// The tree of a block's transactions.
    TransactionTree = "transaction tree",
    /// The log of all registrations.
    RollTree = "roll tree",

    // Draws that everybody must repeat alike.
    /// The last resort of a tie, over election id and option.
    TieBreak = "tie break",
    /// The delay of a miner on a parent, over parent and miner key.
    MinerDelay = "miner delay",
    /// The shuffle of a frozen roll into rings, over the roll block's id.
    RollShuffle = "frozen roll shuffle",
    /// The generator of an election's linking tags, over network id and election id.
    LinkingGenerator = "linking generator",

    // Stamps.
    /// The stamp of an open registration.
    RegistrationStamp = "registration stamp",
    /// The stamp of an anonymous vote.
    VoteStamp = "vote stamp",

    // Sealed ballots.
    /// What a sealed ballot is bound to.
    SealedBallot = "sealed ballot",
    /// Everything random about a sealed ballot, expanded from the client's 32 bytes and what it is bound to.
    SealedBallotExpansion = "sealed ballot expansion",

    // Secrets.
    /// The seed of the voter key, from the voter_id.
    VoterKey = "voter key",
    /// The ring secret, from the voter_id.
    RingSecret = "ring secret",
    /// The nonce of a ring key's proof of possession.
    RingProofNonce = "ring key proof nonce",

    // Challenges and signatures.
    /// The challenge of a ring key's proof of possession.
    RingProofChallenge = "ring key proof challenge",
    /// Signature of a registration by the voter key.
    SignRegistration = "sign registration",
    /// Signature by an invitation key that admits one registration.
    SignInvitationUse = "sign invitation use",
    /// Signature of a batch of invitations by an organiser.
    SignInvitationBatch = "sign invitation batch",
    /// Signature of a revocation of invitations by an organiser.
    SignInvitationRevoke = "sign invitation revoke",
    /// Signature of an election by who opens it.
    SignElection = "sign election",
    /// Signature by a trustee's key over the rest of the election that names it.
    SignTrusteeKey = "sign trustee key",
    /// Signature of a pseudonymous vote by the voter key.
    SignVote = "sign vote",
    /// Signature of a trustee's reveal.
    SignReveal = "sign reveal",
    /// Signature of a change of finalisers.
    SignFinaliserChange = "sign finaliser change",
    /// Signature of a proposal in the finality consensus.
    SignFinalityProposal = "sign finality proposal",
    /// Signature of a vote in the finality consensus.
    SignFinalityVote = "sign finality vote",
    /// Signature of a mining state by the miner.
    SignMiningState = "sign mining state",

    // Never leaves this process.
    /// Coefficients of batch verification.
    BatchCoefficients = "batch coefficients",
}

/// Context keys are the hashes of the names; hashing each name once halves the cost of a short hash.
static KEYS: LazyLock<Vec<ContextKey>> = LazyLock::new(|| {
    Context::ALL
        .iter()
        .map(|context| hash_derive_key_context(context.name()))
        .collect()
});

impl Context {
    pub(super) fn key(self) -> &'static ContextKey {
        &KEYS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_the_table_is_in_order() {
        let names: HashSet<_> = Context::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Context::ALL.len());
        for (index, context) in Context::ALL.iter().enumerate() {
            assert_eq!(*context as usize, index);
        }
    }
}
