//! Hashes, keys, signatures, the voter's secret and how secrets are kept in files.
//!
//! Every primitive that two nodes must agree on is here: which BLAKE3 context belongs to which purpose ([`Context`]),
//! which signatures are valid ([`PublicKey::verify`], by the rules of ZIP 215), what a ring key proves
//! ([`RingProof`]) and what a stamp costs ([`stamp`]). The module knows bytes. It must not know what a transaction, a
//! block or a message looks like, and it touches the file system only in [`secret_file`]
//! and the process that it is part of only in [`process`].

mod batch;
pub mod code;
mod context;
mod hash;
pub mod process;
mod random;
mod ring;
pub mod secret_file;
mod sign;
pub mod stamp;
mod voter_id;

pub use batch::{BatchVerifier, RingBatchVerifier};
pub use code::{CodeError, Invitation, Kind, Role, RoleKey, RolePublicKey};
pub use context::Context;
pub use hash::{Hash, Hasher, PrefixHasher, hash, xof};
pub use random::{RandomError, random_bytes};
pub use ring::{CheckedRingKey, RingKey, RingKeyError, RingProof, RingSecret};
pub use sign::{CheckedKey, KeyError, PublicKey, Signature, SigningKey, signing_digest};
pub use voter_id::VoterId;
