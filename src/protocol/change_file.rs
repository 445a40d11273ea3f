//! A change of the finalisers on its way from one of them to the next, as text that each can read before signing.
//!
//! ```text
//! votenode finaliser change 1
//! network: 64 hexadecimal digits
//! set: 1
//!
//! finaliser: finaliserpub1… 1 Ada
//! finaliser: finaliserpub1… 2 Ben
//!
//! approval: finaliserpub1… 128 hexadecimal digits
//! ```
//!
//! The number of the set and the finalisers, in their order, are what is approved; each with its key, its voting power
//! and a name. Nothing in it is secret. Approvals may be added in any order, and copies with different approvals merged.

use std::fmt::Write as _;

use crate::chain::checkpoint::MAX_CHANGES;
use crate::chain::genesis::{Finaliser, GenesisError, NetworkId, check_finalisers};
use crate::chain::transaction::{Approval, FinaliserChange, Finalisers};
use crate::crypto::{
    CodeError, Context, Kind, PublicKey, Role, RolePublicKey, code, signing_digest,
};
use crate::wire::{List, ParseBytesError, Text, TextError};

/// Longest file, in bytes: as many finalisers and approvals as there can be, and room for the lines' names.
pub const MAX_FILE_BYTES: usize = 64 * 1024;
/// Most approvals: the present set has no more members.
const MAX_APPROVALS: usize = 64;

const NAME: &str = "votenode finaliser change ";
const VERSION: &str = "1";

/// A change that is proposed, with the approvals collected so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedChange {
    /// The network.
    pub network: NetworkId,
    /// Number of the set that it makes.
    pub set: u64,
    /// The set.
    pub finalisers: Finalisers,
    /// Approvals, each key once.
    pub approvals: Vec<Approval>,
}

/// Why a text is not a proposed change. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFileError {
    /// Something else.
    #[error("this is not a file with a change of the finalisers")]
    NotAChange,
    /// A later form.
    #[error("this file has version '{0}', and this program knows version {VERSION} only")]
    Version(String),
    /// Too long.
    #[error("a file with a change of the finalisers has at most {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// The network's line is missing or wrong.
    #[error("line 2: 'network: ' and a network id are wanted: {0}")]
    Network(ParseBytesError),
    /// The set's line is missing or wrong.
    #[error("line 3: 'set: ' and a number from 1 to {MAX_CHANGES} are wanted")]
    Set,
    /// A line that says nothing known.
    #[error("line {line}: 'finaliser: ' or 'approval: ' is wanted")]
    Line {
        /// Which line.
        line: usize,
    },
    /// A key is wrong.
    #[error("line {line}: {source}")]
    Key {
        /// Which line.
        line: usize,
        /// What is wrong.
        source: CodeError,
    },
    /// No voting power.
    #[error("line {line}: after the key the voting power is wanted, a number")]
    Power {
        /// Which line.
        line: usize,
    },
    /// A name is wrong.
    #[error("line {line}: the name: {source}")]
    Name {
        /// Which line.
        line: usize,
        /// What is wrong.
        source: TextError,
    },
    /// No signature.
    #[error("line {line}: after the key a signature is wanted: {source}")]
    Signature {
        /// Which line.
        line: usize,
        /// What is wrong.
        source: ParseBytesError,
    },
    /// The same key approves twice.
    #[error("line {line}: this key has approved already")]
    Twice {
        /// Which line.
        line: usize,
    },
    /// Too many or no finalisers, or too many approvals.
    #[error("a change has 1 to 64 finalisers and at most {MAX_APPROVALS} approvals")]
    Count,
    /// The set breaks a rule.
    #[error(transparent)]
    Rule(#[from] GenesisError),
}

/// A finaliser's key as people write it.
pub fn key_code(key: &PublicKey) -> String {
    code::encode(Kind::Public(Role::Finaliser), key.as_bytes()).to_string()
}

impl ProposedChange {
    /// Proposes a set; nobody approves it yet.
    pub fn new(
        network: NetworkId,
        set: u64,
        finalisers: Vec<Finaliser>,
    ) -> Result<Self, ChangeFileError> {
        if !(1..=MAX_CHANGES).contains(&set) {
            return Err(ChangeFileError::Set);
        }
        check_finalisers(&finalisers)?;
        Ok(Self {
            network,
            set,
            finalisers: List::new(finalisers).map_err(|_| ChangeFileError::Count)?,
            approvals: Vec::new(),
        })
    }

    /// Whether another is about the same: only then can the approvals of both be put together.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.network, self.set, &self.finalisers) == (other.network, other.set, &other.finalisers)
    }

    /// Whether an approval is signed for this change.
    pub fn is_signed(&self, approval: &Approval) -> bool {
        let payload = FinaliserChange::payload_of(self.set, &self.finalisers);
        let digest = signing_digest(
            Context::SignFinaliserChange,
            self.network.as_bytes(),
            &payload,
        );
        approval.key.verify(&digest, &approval.signature)
    }

    /// Whether this key has approved.
    pub fn has_approved(&self, key: &PublicKey) -> bool {
        self.approvals.iter().any(|approval| approval.key == *key)
    }

    /// The text of a file.
    pub fn write(&self) -> String {
        let mut text = format!(
            "{NAME}{VERSION}\nnetwork: {}\nset: {}\n\n",
            self.network, self.set
        );
        // Writing to a string cannot fail.
        for Finaliser { key, power, name } in self.finalisers.iter() {
            let _ = writeln!(text, "finaliser: {} {power} {name}", key_code(key));
        }
        if !self.approvals.is_empty() {
            text.push('\n');
        }
        for Approval { key, signature } in &self.approvals {
            let _ = writeln!(text, "approval: {} {signature}", key_code(key));
        }
        text
    }

    /// Reads the text of a file. Whether approvals are signed is for [`Self::is_signed`] to say.
    pub fn parse(text: &str) -> Result<Self, ChangeFileError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(ChangeFileError::TooLong);
        }
        let mut lines = text.lines().map(str::trim_end).zip(1..);
        let (first, _) = lines.next().ok_or(ChangeFileError::NotAChange)?;
        let version = first
            .strip_prefix(NAME)
            .ok_or(ChangeFileError::NotAChange)?;
        if version != VERSION {
            return Err(ChangeFileError::Version(version.chars().take(16).collect()));
        }
        let network = lines
            .next()
            .and_then(|(line, _)| line.strip_prefix("network: "))
            .unwrap_or_default()
            .parse()
            .map_err(ChangeFileError::Network)?;
        let set = lines
            .next()
            .and_then(|(line, _)| line.strip_prefix("set: ")?.parse().ok())
            .ok_or(ChangeFileError::Set)?;
        let mut finalisers = Vec::new();
        let mut approvals: Vec<Approval> = Vec::new();
        for (text, line) in lines.filter(|(text, _)| !text.is_empty()) {
            if let Some(rest) = text.strip_prefix("finaliser: ") {
                finalisers.push(finaliser(rest, line)?);
            } else if let Some(rest) = text.strip_prefix("approval: ") {
                let approval = approval(rest, line)?;
                if approvals.iter().any(|known| known.key == approval.key) {
                    return Err(ChangeFileError::Twice { line });
                }
                approvals.push(approval);
            } else {
                return Err(ChangeFileError::Line { line });
            }
        }
        if approvals.len() > MAX_APPROVALS {
            return Err(ChangeFileError::Count);
        }
        let proposed = Self::new(network, set, finalisers)?;
        Ok(Self {
            approvals,
            ..proposed
        })
    }
}

fn key(text: &str, line: usize) -> Result<PublicKey, ChangeFileError> {
    RolePublicKey::parse(Role::Finaliser, text)
        .map(|key| key.key())
        .map_err(|source| ChangeFileError::Key { line, source })
}

fn finaliser(text: &str, line: usize) -> Result<Finaliser, ChangeFileError> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (power, name) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(Finaliser {
        key: key(code, line)?,
        power: power.parse().map_err(|_| ChangeFileError::Power { line })?,
        name: Text::new(name).map_err(|source| ChangeFileError::Name { line, source })?,
    })
}

fn approval(text: &str, line: usize) -> Result<Approval, ChangeFileError> {
    let (code, signature) = text.split_once(' ').unwrap_or((text, ""));
    Ok(Approval {
        key: key(code, line)?,
        signature: signature
            .parse()
            .map_err(|source| ChangeFileError::Signature { line, source })?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chain::sign;
    use crate::crypto::SigningKey;

    fn example() -> ProposedChange {
        let network = NetworkId::from_bytes([7; 32]);
        let member = |seed: u8, power, name: &str| Finaliser {
            key: SigningKey::from_seed(&[seed; 32]).public_key(),
            power,
            name: Text::new(name).unwrap(),
        };
        let finalisers = vec![member(1, 1, "Ada of = the 1 lake"), member(2, 7, "Ben")];
        let mut change = ProposedChange::new(network, 3, finalisers).unwrap();
        let key = SigningKey::from_seed(&[9; 32]);
        change.approvals = vec![sign::approve_change(&network, &key, 3, &change.finalisers)];
        change
    }

    #[test]
    fn what_is_written_is_read() {
        let change = example();
        assert_eq!(ProposedChange::parse(&change.write()), Ok(change.clone()));
        let windows = change.write().replace('\n', "\r\n");
        assert_eq!(ProposedChange::parse(&windows), Ok(change));
    }

    #[test]
    fn approvals_are_for_this_set_alone() {
        let change = example();
        assert!(change.is_signed(&change.approvals[0]));
        let mut other = change.clone();
        other.set = 4;
        assert!(!other.is_signed(&change.approvals[0]) && !other.is_same(&change));
        let mut other = change.clone();
        other.network = NetworkId::ZERO;
        assert!(!other.is_signed(&change.approvals[0]));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let text = example().write();
        let broken = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            ProposedChange::parse(&text.replacen(from, to, 1)).unwrap_err()
        };
        assert_eq!(ProposedChange::parse(""), Err(ChangeFileError::NotAChange));
        assert_eq!(
            broken("change 1", "change 2"),
            ChangeFileError::Version("2".into())
        );
        assert!(matches!(
            broken("network: ", "net: "),
            ChangeFileError::Network(_)
        ));
        assert_eq!(broken("set: 3", "set: 0"), ChangeFileError::Set);
        assert_eq!(broken("set: 3", "set: 65"), ChangeFileError::Set);
        assert_eq!(
            broken("finaliser: ", "fin: "),
            ChangeFileError::Line { line: 5 }
        );
        assert_eq!(
            broken(" 7 Ben", " x Ben"),
            ChangeFileError::Power { line: 6 }
        );
        assert!(matches!(
            broken(" 7 Ben", " 7"),
            ChangeFileError::Name { line: 6, .. }
        ));
        assert!(matches!(
            broken(" 7 Ben", " 0 Ben"),
            ChangeFileError::Rule(_)
        ));
        assert!(matches!(
            broken("finaliserpub1", "finaliserpub1q"),
            ChangeFileError::Key { line: 5, .. }
        ));
        let approval = text.lines().last().unwrap().to_owned();
        let cut = text
            .trim_end()
            .strip_suffix(&approval[approval.len() - 2..])
            .unwrap();
        assert!(matches!(
            ProposedChange::parse(cut),
            Err(ChangeFileError::Signature { line: 8, .. })
        ));
        let twice = format!("{text}{approval}\n");
        assert_eq!(
            ProposedChange::parse(&twice),
            Err(ChangeFileError::Twice { line: 9 })
        );
        let long = format!("{text}{}", "\n".repeat(MAX_FILE_BYTES));
        assert_eq!(ProposedChange::parse(&long), Err(ChangeFileError::TooLong));
    }
}
