//! The genesis: the parameters that all nodes of a network share, and the identity they give it.

use crate::chain::block::{BlockId, Header};
use crate::crypto::{Context, Hash, PublicKey, hash, stamp};
use crate::wire::{self, List, Message, Text, array_struct, fixed_bytes, tagged_enum};

/// The protocol version of this release. A genesis of any other version is refused.
pub const PROTOCOL_VERSION: u64 = 1;

fixed_bytes! {
    /// Hash of a genesis, the identity of a network.
    pub struct NetworkId([u8; 32]);
}

fixed_bytes! {
    /// The first four bytes of a [`NetworkId`], carried by every transaction so that one from another network is
    /// recognised as such. It is a label, not a protection: signatures cover the whole id.
    pub struct NetworkTag([u8; 4]);
}

impl NetworkId {
    /// The label that transactions of this network carry.
    pub fn tag(&self) -> NetworkTag {
        let mut tag = [0; 4];
        tag.copy_from_slice(&self.0[..4]);
        NetworkTag(tag)
    }
}

/// Name of a group of the electoral roll.
pub type Group = Text<1, 32>;

/// The group of everybody who registered under open admission.
pub const OPEN_GROUP: &str = "open";

tagged_enum! {
    /// Whether people may register without an invitation.
    pub enum OpenAdmission {
        /// Only with an invitation.
        0 => Forbidden {},
        /// Anyone who pays for a stamp.
        1 => Stamped {
            /// Leading zero bits that the stamp's hash must have, at most 32.
            bits: u8,
        },
    }
}

array_struct! {
    /// A key that may do named things.
    pub struct Organiser {
        /// Ed25519 key, canonical and not of small order.
        pub key: PublicKey,
        /// Sum of [`Organiser::INVITE`] and [`Organiser::OPEN_ELECTIONS`].
        pub permissions: u8,
        /// Whom the key belongs to, for people.
        pub name: Text<1, 64>,
    }
}

impl Organiser {
    /// May issue and revoke invitations.
    pub const INVITE: u8 = 1;
    /// May open elections where the genesis reserves that to organisers.
    pub const OPEN_ELECTIONS: u8 = 2;
}

array_struct! {
    /// A key that takes part in deciding checkpoints.
    pub struct Finaliser {
        /// Ed25519 key, canonical and torsion-free.
        pub key: PublicKey,
        /// Voting power, at least 1.
        pub power: u64,
        /// Whom the key belongs to, for people.
        pub name: Text<1, 64>,
    }
}

array_struct! {
    /// The parameters of a network, fixed for its life.
    pub struct Genesis {
        /// [`PROTOCOL_VERSION`].
        pub version: u64,
        /// Name of the network, for people.
        pub name: Text<1, 64>,
        /// When the network was made, Unix milliseconds; the timestamp of the genesis block.
        pub timestamp_ms: u64,
        /// Least time between a block and its parent, in milliseconds.
        pub block_time_ms: u64,
        /// A block id, read as a big-endian number, must be at or under this.
        pub target: Hash,
        /// How long after the close of polls blocks may still carry its votes, in milliseconds.
        pub close_grace_ms: u64,
        /// Blocks on top of a block that stand in for finality where nobody finalises.
        pub confirmations: u64,
        /// Longest encoding of a block, in bytes.
        pub max_block_bytes: u64,
        /// Most transactions in a block.
        pub max_block_transactions: u64,
        /// Registration without an invitation.
        pub open_admission: OpenAdmission,
        /// Leading zero bits of the stamp on an anonymous vote, at most 32.
        pub vote_stamp_bits: u8,
        /// 0: anyone may open elections. 1: only organisers with that permission.
        pub elections_by: u8,
        /// Keys with permissions.
        pub organisers: List<Organiser, 0, 64>,
        /// Keys that decide checkpoints; empty where results stay provisional.
        pub finalisers: List<Finaliser, 0, 64>,
    }
}

impl Message for Genesis {
    const MAX_BYTES: usize = 32 * 1024;
}

/// A genesis that no network can run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct GenesisError {
    /// The parameter.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Genesis {
    /// `elections_by`: anyone may open elections.
    pub const ANYONE: u8 = 0;
    /// `elections_by`: only organisers may.
    pub const ORGANISERS: u8 = 1;

    /// Checks every parameter's bounds and every key.
    pub fn check(&self) -> Result<(), GenesisError> {
        let rule = |holds: bool, field, rule| {
            if holds {
                Ok(())
            } else {
                Err(GenesisError { field, rule })
            }
        };
        rule(
            self.version == PROTOCOL_VERSION,
            "version",
            "this release speaks protocol version 1 only",
        )?;
        rule(
            (100..=3_600_000).contains(&self.block_time_ms),
            "block_time_ms",
            "has to be from 100 to 3600000",
        )?;
        rule(self.target != Hash::ZERO, "target", "has to be above zero")?;
        rule(
            self.close_grace_ms <= 86_400_000,
            "close_grace_ms",
            "has to be at most 86400000 (a day)",
        )?;
        rule(
            (1..=1_000).contains(&self.confirmations),
            "confirmations",
            "has to be from 1 to 1000",
        )?;
        rule(
            (64 * 1024..=Self::MAX_BLOCK_BYTES).contains(&self.max_block_bytes),
            "max_block_bytes",
            "has to be from 65536 to 4194304",
        )?;
        rule(
            (1..=Self::MAX_BLOCK_TRANSACTIONS).contains(&self.max_block_transactions),
            "max_block_transactions",
            "has to be from 1 to 8192",
        )?;
        if let OpenAdmission::Stamped { bits } = self.open_admission {
            rule(bits <= stamp::MAX_BITS, "open_admission", "at most 32 bits")?;
        }
        rule(
            self.vote_stamp_bits <= stamp::MAX_BITS,
            "vote_stamp_bits",
            "at most 32",
        )?;
        rule(
            self.elections_by <= Self::ORGANISERS,
            "elections_by",
            "has to be 0 (anyone) or 1 (organisers)",
        )?;
        for organiser in self.organisers.iter() {
            rule(
                organiser.key.check_strict().is_ok(),
                "organisers",
                "every key has to be canonical and not of small order",
            )?;
            rule(
                (1..=3).contains(&organiser.permissions),
                "organisers",
                "permissions have to be from 1 to 3",
            )?;
        }
        rule(
            all_different(self.organisers.iter().map(|organiser| organiser.key)),
            "organisers",
            "a key stands there twice",
        )?;
        check_finalisers(&self.finalisers)
    }

    /// Upper bound of `max_block_bytes` in any network.
    pub const MAX_BLOCK_BYTES: u64 = 4 * 1024 * 1024;
    /// Upper bound of `max_block_transactions` in any network.
    pub const MAX_BLOCK_TRANSACTIONS: u64 = 8_192;

    /// The identity of the network: the hash of the canonical encoding.
    pub fn network_id(&self) -> NetworkId {
        NetworkId(hash(Context::NetworkId, &wire::encode(self)).to_bytes())
    }

    /// The genesis block's header. It holds no transactions and carries no work.
    pub fn header(&self, roll_root: Hash, transaction_root: Hash) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            network: self.network_id(),
            height: 0,
            parent: BlockId::ZERO,
            transaction_root,
            roll_size: 0,
            roll_root,
            timestamp_ms: self.timestamp_ms,
            miner: PublicKey::ZERO,
            nonce: Default::default(),
        }
    }

    /// The organiser with this key, if it may do what `permission` names.
    pub fn organiser(&self, key: &PublicKey, permission: u8) -> Option<&Organiser> {
        self.organisers
            .iter()
            .find(|organiser| organiser.key == *key && organiser.permissions & permission != 0)
    }

    /// Whether checkpoints are decided in this network.
    pub fn finalises(&self) -> bool {
        !self.finalisers.is_empty()
    }
}

/// Checks a set of finalisers, of a genesis or of a change: keys torsion-free and all different, the power of each and of
/// all within bounds.
pub fn check_finalisers(finalisers: &[Finaliser]) -> Result<(), GenesisError> {
    let rule = |holds: bool, rule| {
        let field = "finalisers";
        if holds {
            Ok(())
        } else {
            Err(GenesisError { field, rule })
        }
    };
    let mut total = 0u64;
    for finaliser in finalisers {
        rule(
            finaliser.key.check_torsion_free().is_ok(),
            "every key has to be canonical and torsion-free",
        )?;
        rule(
            (1..=1_000_000_000).contains(&finaliser.power),
            "voting power has to be from 1 to 1000000000",
        )?;
        // No list of finalisers is long enough for this to overflow.
        total = total.saturating_add(finaliser.power);
    }
    rule(
        total <= 64_000_000_000,
        "the voting power adds up to too much",
    )?;
    rule(
        all_different(finalisers.iter().map(|finaliser| finaliser.key)),
        "a key stands there twice",
    )
}

fn all_different(keys: impl Iterator<Item = PublicKey>) -> bool {
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys.windows(2).all(|pair| pair[0] != pair[1])
}
