//! Codes that people carry: secrets and public keys as bech32m text (BIP 350), whose beginning says what it is.
//!
//! A code is 32 bytes under the prefix of its [`Kind`]. Decoding is strict: bech32m and not bech32, a known prefix,
//! exactly 32 bytes, lower case or upper case throughout, no spare bits; white space around it is ignored. Four
//! mistyped characters are always noticed. No error repeats the secret.

use std::borrow::Cow;

use bech32::primitives::decode::{CheckedHrpstring, UncheckedHrpstring};
use bech32::{Bech32m, ByteIterExt as _, Fe32IterExt as _, Hrp};
use zeroize::Zeroizing;

use super::{KeyError, PublicKey, RandomError, SigningKey};

#[cfg(test)]
mod tests;

/// Longest text that is looked at, in bytes; the limit of BIP 173. The longest code has 74.
const MAX_LEN: usize = 90;

/// Characters of five bits that hold 32 bytes.
const DATA_CHARS: usize = 52;

/// What a key other than a voter's is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Invites voters and opens elections.
    Organiser,
    /// Signs checkpoints.
    Finaliser,
    /// Opens the sealed ballots of one election.
    Trustee,
    /// Signs mining states and is named in blocks.
    Miner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Organiser, Self::Finaliser, Self::Trustee, Self::Miner];
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Organiser => "organiser",
            Self::Finaliser => "finaliser",
            Self::Trustee => "trustee",
            Self::Miner => "miner",
        })
    }
}

/// What a code carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A voter's secret.
    VoterId,
    /// The secret of a single-use invitation.
    Invitation,
    /// The secret key of a role.
    Secret(Role),
    /// The public key of a role.
    Public(Role),
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::VoterId,
        Self::Invitation,
        Self::Secret(Role::Organiser),
        Self::Secret(Role::Finaliser),
        Self::Secret(Role::Trustee),
        Self::Secret(Role::Miner),
        Self::Public(Role::Organiser),
        Self::Public(Role::Finaliser),
        Self::Public(Role::Trustee),
        Self::Public(Role::Miner),
    ];

    /// The prefix (human-readable part), which the digit 1 follows.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::VoterId => "voter",
            Self::Invitation => "invite",
            Self::Secret(Role::Organiser) => "organisersecret",
            Self::Secret(Role::Finaliser) => "finalisersecret",
            Self::Secret(Role::Trustee) => "trusteesecret",
            Self::Secret(Role::Miner) => "minersecret",
            Self::Public(Role::Organiser) => "organiserpub",
            Self::Public(Role::Finaliser) => "finaliserpub",
            Self::Public(Role::Trustee) => "trusteepub",
            Self::Public(Role::Miner) => "minerpub",
        }
    }

    fn from_prefix(prefix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let article = |role: &Role| match role {
            Role::Organiser => "an",
            _ => "a",
        };
        match self {
            Self::VoterId => f.write_str("a voter_id"),
            Self::Invitation => f.write_str("an invitation"),
            Self::Secret(role) => write!(f, "{} {role}'s secret key", article(role)),
            Self::Public(role) => write!(f, "{} {role}'s public key", article(role)),
        }
    }
}

/// Why a text is not the wanted code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not the form of any code.
    #[error(
        "not a code: a code is a prefix such as 'voter', the digit 1, and letters and digits in one case"
    )]
    NotACode,
    /// The checksum does not fit.
    #[error("the code has a typing mistake or a part is missing: its checksum does not fit")]
    Checksum,
    /// A sound code that is none of ours.
    #[error("codes that begin with '{0}1' are unknown here")]
    UnknownPrefix(String),
    /// A sound code with too much or too little in it.
    #[error("the code does not hold exactly 32 bytes")]
    Length,
    /// A sound code of another kind.
    #[error("this is {got}; {wanted} is wanted")]
    WrongKind {
        /// What the code is.
        got: Kind,
        /// What was expected.
        wanted: Kind,
    },
    /// The public key in the code may not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The code of `bytes`, in lower case.
pub fn encode(kind: Kind, bytes: &[u8; 32]) -> Zeroizing<String> {
    let prefix = Hrp::parse_unchecked(kind.prefix());
    // Room for the longest code, so that growing leaves no copy of a secret behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN));
    let characters = bytes.iter().copied().bytes_to_fes();
    text.extend(characters.with_checksum::<Bech32m>(&prefix).chars());
    text
}

/// What `text` is, and its 32 bytes.
pub fn decode(text: &str) -> Result<(Kind, Zeroizing<[u8; 32]>), CodeError> {
    let text = text.trim_ascii();
    if text.len() > MAX_LEN {
        return Err(CodeError::NotACode);
    }
    UncheckedHrpstring::new(text).map_err(|_| CodeError::NotACode)?;
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| CodeError::Checksum)?;
    let prefix = checked.hrp().to_lowercase();
    let kind = Kind::from_prefix(&prefix).ok_or(CodeError::UnknownPrefix(prefix))?;
    if checked.data_part_ascii_no_checksum().len() != DATA_CHARS {
        return Err(CodeError::Length);
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, decoded) in bytes.iter_mut().zip(checked.byte_iter()) {
        *byte = decoded;
    }
    // The last character has four bits to spare; only zeros are the code of these bytes.
    if !encode(kind, &bytes).eq_ignore_ascii_case(text) {
        return Err(CodeError::Length);
    }
    Ok((kind, bytes))
}

/// The 32 bytes of a code that must be of the kind `wanted`.
pub fn decode_as(wanted: Kind, text: &str) -> Result<Zeroizing<[u8; 32]>, CodeError> {
    match decode(text)? {
        (got, bytes) if got == wanted => Ok(bytes),
        (got, _) => Err(CodeError::WrongKind { got, wanted }),
    }
}

/// The text with every secret code in it cut off after its prefix: what was typed in the wrong place is repeated in
/// messages, and messages are kept.
pub fn redact(text: &str) -> Cow<'_, str> {
    /// Shorter words are no secret: a code has its prefix and some sixty characters more.
    const SHORTEST: usize = 32;
    let secret = |word: &str| {
        Kind::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, Kind::Public(_)))
            .map(|kind| kind.prefix().len() + 1)
            .find(|len| {
                word.len() >= SHORTEST
                    && word.is_char_boundary(*len)
                    && word[..*len].strip_suffix('1').is_some_and(|prefix| {
                        Kind::from_prefix(&prefix.to_ascii_lowercase())
                            .is_some_and(|kind| kind.prefix().len() + 1 == *len)
                    })
            })
    };
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let word = &rest[start..];
        let end = word
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(word.len());
        let word = &word[..end];
        redacted.push_str(&rest[..start]);
        match secret(word) {
            Some(len) => {
                redacted.push_str(&word[..len]);
                redacted.push('…');
            }
            None => redacted.push_str(word),
        }
        rest = &rest[start + end..];
    }
    redacted.push_str(rest);
    if redacted == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(redacted)
    }
}

/// A single-use invitation: the secret key that admits one registration, shown as `invite1…`.
#[derive(Clone, Debug)]
pub struct Invitation(SigningKey);

impl Invitation {
    /// A new invitation from the operating system's generator.
    pub fn generate() -> Result<Self, RandomError> {
        SigningKey::generate().map(Self)
    }

    /// The `invite1…` form, in lower case.
    pub fn to_text(&self) -> Zeroizing<String> {
        encode(Kind::Invitation, &self.0.seed())
    }

    /// The key that signs the registration.
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The public key, which the organiser publishes in a batch.
    pub fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }
}

impl std::str::FromStr for Invitation {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        // Slips show codes in groups.
        if text.len() > 2 * MAX_LEN {
            return Err(CodeError::NotACode);
        }
        let mut code = Zeroizing::new(String::with_capacity(text.len()));
        code.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
        decode_as(Kind::Invitation, &code).map(|seed| Self(SigningKey::from_seed(&seed)))
    }
}

/// The secret key of a role, such as `organisersecret1…`.
#[derive(Clone, Debug)]
pub struct RoleKey {
    role: Role,
    key: SigningKey,
}

impl RoleKey {
    /// A new key from the operating system's generator.
    pub fn generate(role: Role) -> Result<Self, RandomError> {
        SigningKey::generate().map(|key| Self { role, key })
    }

    /// Reads the key of the role `wanted`; another role's key is refused by name.
    pub fn parse(wanted: Role, text: &str) -> Result<Self, CodeError> {
        let seed = decode_as(Kind::Secret(wanted), text)?;
        Ok(Self {
            role: wanted,
            key: SigningKey::from_seed(&seed),
        })
    }

    /// The text form, in lower case.
    pub fn to_text(&self) -> Zeroizing<String> {
        encode(Kind::Secret(self.role), &self.key.seed())
    }

    /// What the key is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The key that signs.
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The public half.
    pub fn public(&self) -> RolePublicKey {
        RolePublicKey {
            role: self.role,
            key: self.key.public_key(),
        }
    }
}

/// The public key of a role, such as `organiserpub1…`, checked to be one that may enter a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolePublicKey {
    role: Role,
    key: PublicKey,
}

impl RolePublicKey {
    /// Reads the public key of the role `wanted`; another role's key is refused by name, and a key that anyone could
    /// sign for (for finalisers and trustees: one outside the group of prime order) by reason.
    pub fn parse(wanted: Role, text: &str) -> Result<Self, CodeError> {
        let key = PublicKey::from_bytes(*decode_as(Kind::Public(wanted), text)?);
        match wanted {
            Role::Finaliser | Role::Trustee => key.check_torsion_free()?,
            Role::Organiser | Role::Miner => key.check_strict()?,
        }
        Ok(Self { role: wanted, key })
    }

    /// What the key is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The key.
    pub fn key(&self) -> PublicKey {
        self.key
    }
}

impl std::fmt::Display for RolePublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode(Kind::Public(self.role), self.key.as_bytes()))
    }
}
