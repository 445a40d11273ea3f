//! Elections and ballots: the question, who may answer it and in which form.

use crate::chain::genesis::Group;
use crate::crypto::{Context, Hash, PublicKey, Signature, hash};
use crate::wire::{self, Blob, List, Text, array_struct, fixed_bytes, tagged_enum};

fixed_bytes! {
    /// Hash of an election with everything in it. Every vote, proof and receipt names it.
    pub struct ElectionId([u8; 32]);
}

/// Fewest options of an election.
pub const MIN_OPTIONS: usize = 2;
/// Most options of an election.
pub const MAX_OPTIONS: usize = 64;

array_struct! {
    /// What is asked, of whom, how and when.
    pub struct Terms {
        /// Short title.
        pub title: Text<1, 200>,
        /// The question in full.
        pub question: Text<1, 4000>,
        /// The options, all different; votes name them by index.
        pub options: List<Text<1, 200>, MIN_OPTIONS, MAX_OPTIONS>,
        /// A [`Method`], by number.
        pub method: u8,
        /// Options that win, from 1 to one less than there are options.
        pub seats: u64,
        /// Highest score of an option for [`Method::Score`], else 0.
        pub score_maximum: u8,
        /// Votes are valid in blocks from here on, Unix milliseconds.
        pub opens_at_ms: u64,
        /// Polls close, Unix milliseconds.
        pub closes_at_ms: u64,
        /// Voters have to be registered in a block before this, Unix milliseconds.
        pub roll_closes_at_ms: u64,
        /// Trustees of a sealed election have to reveal before this, Unix milliseconds; else 0.
        pub reveal_until_ms: u64,
        /// Smallest ring of an anonymous election, else 0.
        pub min_ring: u64,
        /// Groups whose members may vote, sorted and all different.
        pub groups: List<Group, 1, 16>,
        /// A [`Privacy`], by number.
        pub privacy: u8,
    }
}

/// How ballots are written and counted. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// One option, or an explicit blank; most votes win.
    Plurality = 0,
    /// Any set of options; most approvals win.
    Approval = 1,
    /// A score for each option; highest sum wins.
    Score = 2,
    /// Ranking; instant run-off.
    Irv = 3,
    /// Ranking; Schulze.
    Schulze = 4,
    /// Ranking; single transferable vote, Scottish rules.
    Stv = 5,
}

impl Method {
    /// All methods, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Plurality,
        Self::Approval,
        Self::Score,
        Self::Irv,
        Self::Schulze,
        Self::Stv,
    ];

    /// The method with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name in files, output and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plurality => "plurality",
            Self::Approval => "approval",
            Self::Score => "score",
            Self::Irv => "irv",
            Self::Schulze => "schulze",
            Self::Stv => "stv",
        }
    }
}

/// What a vote shows of its voter. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Privacy {
    /// The voter key, which no register of persons knows.
    Pseudonymous = 0,
    /// Nothing but membership of a ring.
    Anonymous = 1,
}

impl Privacy {
    /// The privacy with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Pseudonymous),
            1 => Some(Self::Anonymous),
            _ => None,
        }
    }
}

array_struct! {
    /// One of those who together open a sealed election.
    pub struct Trustee {
        /// Ed25519 key made for this election alone, torsion-free.
        pub key: PublicKey,
        /// Signature over the rest of the election.
        pub signature: Signature,
    }
}

tagged_enum! {
    /// When ballots can be read.
    pub enum Secrecy {
        /// At once, by everybody.
        0 => Open {},
        /// After the close, once enough trustees revealed their keys.
        1 => Sealed {
            /// Trustees needed.
            threshold: u64,
            /// The trustees; their place is their index.
            trustees: List<Trustee, 1, 16>,
        },
    }
}

array_struct! {
    /// An election as its organiser signed it.
    pub struct Election {
        /// The question and its rules.
        pub terms: Terms,
        /// When ballots can be read.
        pub secrecy: Secrecy,
        /// Key of whoever opens the election.
        pub organiser: PublicKey,
        /// The organiser's signature over everything above.
        pub signature: Signature,
    }
}

impl Election {
    /// The identity of the election: the hash of all of it.
    pub fn id(&self) -> ElectionId {
        ElectionId(hash(Context::ElectionId, &wire::encode(self)).to_bytes())
    }

    /// What the organiser signs.
    pub fn payload(&self) -> Vec<u8> {
        wire::encode(&(&self.terms, &self.secrecy, &self.organiser))
    }

    /// What each trustee signs: all but the signatures.
    pub fn trustee_payload(&self) -> Vec<u8> {
        let (threshold, keys) = match &self.secrecy {
            Secrecy::Open {} => (0, Vec::new()),
            Secrecy::Sealed {
                threshold,
                trustees,
            } => (
                *threshold,
                trustees.iter().map(|trustee| trustee.key).collect(),
            ),
        };
        wire::encode(&(&self.terms, threshold, keys, &self.organiser))
    }

    /// How the election is counted, if this release knows the method.
    pub fn method(&self) -> Option<Method> {
        Method::from_number(self.terms.method)
    }
}

/// The options that an open ballot names, one byte each; what they mean depends on the method. Plurality: one option,
/// or none for an explicit blank. Approval: a sorted set. Score: one score per option. Ranked: options, best first.
pub type Choices = Blob<0, MAX_OPTIONS>;

array_struct! {
    /// A share of the key of a sealed ballot, for one trustee (RFC 9180).
    pub struct SealedShare {
        /// HPKE encapsulated key.
        pub encapsulated: Hash,
        /// HPKE ciphertext of the 32-byte share.
        pub ciphertext: Blob<48, 48>,
    }
}

tagged_enum! {
    /// What a voter chose.
    pub enum Ballot {
        /// Readable by everybody.
        0 => Open {
            /// The choice.
            choices: Choices,
        },
        /// Readable after the trustees revealed their keys.
        1 => Sealed {
            /// ChaCha20-Poly1305 ciphertext of the padded choice.
            ciphertext: Blob<17, 96>,
            /// A share per trustee, in their order.
            shares: List<SealedShare, 1, 16>,
        },
    }
}
