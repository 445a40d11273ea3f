//! The TOML form of a genesis.
//!
//! Every parameter is a key of its own, with the unit in its name; keys are written as codes (`organiserpub1…`). A key
//! that is missing or unknown is an error, so that nothing is assumed and no typing mistake is passed over.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{GenesisFileError, list};
use crate::chain::genesis::{Finaliser, Genesis, OpenAdmission, Organiser};
use crate::crypto::{CodeError, Hash, Kind, PublicKey, Role, RolePublicKey, code};
use crate::wire::{MAX_UINT, ParseBytesError, Text, TextError};

/// A value of a genesis text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The key, with its place in a list.
    pub field: String,
    /// What is wrong with its value.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A text breaks a rule.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A key is not the code of a public key of that role.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Not 64 hexadecimal digits.
    #[error(transparent)]
    Hex(#[from] ParseBytesError),
    /// Above 2^53 − 1.
    #[error("{0} is above 2^53-1")]
    TooLarge(u64),
    /// The same permission twice, or none.
    #[error("has to name each permission at most once, and one at least")]
    Permissions,
    /// Goes only with open admission.
    #[error("belongs to open_admission = \"stamped\", and only there")]
    StampBits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisText {
    version: u64,
    name: String,
    timestamp_ms: u64,
    block_time_ms: u64,
    target: String,
    close_grace_ms: u64,
    confirmations: u64,
    max_block_bytes: u64,
    max_block_transactions: u64,
    open_admission: Admission,
    open_stamp_bits: Option<u8>,
    vote_stamp_bits: u8,
    elections_by: ElectionsBy,
    #[serde(default)]
    organisers: Vec<OrganiserText>,
    #[serde(default)]
    finalisers: Vec<FinaliserText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Admission {
    Forbidden,
    Stamped,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ElectionsBy {
    Anyone,
    Organisers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrganiserText {
    name: String,
    key: String,
    may: Vec<Permission>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Permission {
    Invite,
    OpenElections,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinaliserText {
    name: String,
    key: String,
    power: u64,
}

/// Reads the text form. The parameters' bounds are not checked here.
pub(super) fn from_toml(text: &str) -> Result<Genesis, GenesisFileError> {
    let text: GenesisText =
        toml::from_str(text).map_err(|error| GenesisFileError::Toml(error.to_string()))?;
    let open_admission = match (text.open_admission, text.open_stamp_bits) {
        (Admission::Forbidden, None) => OpenAdmission::Forbidden {},
        (Admission::Stamped, Some(bits)) => OpenAdmission::Stamped { bits },
        _ => return Err(field("open_stamp_bits")(Problem::StampBits).into()),
    };
    let organisers = (text.organisers.into_iter().enumerate())
        .map(|(index, organiser)| organiser.read(index))
        .collect::<Result<_, _>>()?;
    let finalisers = (text.finalisers.into_iter().enumerate())
        .map(|(index, finaliser)| finaliser.read(index))
        .collect::<Result<_, _>>()?;
    Ok(Genesis {
        version: uint("version", text.version)?,
        name: checked_text("name", &text.name)?,
        timestamp_ms: uint("timestamp_ms", text.timestamp_ms)?,
        block_time_ms: uint("block_time_ms", text.block_time_ms)?,
        target: text
            .target
            .parse::<Hash>()
            .map_err(|error| field("target")(error.into()))?,
        close_grace_ms: uint("close_grace_ms", text.close_grace_ms)?,
        confirmations: uint("confirmations", text.confirmations)?,
        max_block_bytes: uint("max_block_bytes", text.max_block_bytes)?,
        max_block_transactions: uint("max_block_transactions", text.max_block_transactions)?,
        open_admission,
        vote_stamp_bits: text.vote_stamp_bits,
        elections_by: match text.elections_by {
            ElectionsBy::Anyone => Genesis::ANYONE,
            ElectionsBy::Organisers => Genesis::ORGANISERS,
        },
        organisers: list("organisers", organisers)?,
        finalisers: list("finalisers", finalisers)?,
    })
}

impl OrganiserText {
    fn read(self, index: usize) -> Result<Organiser, FieldError> {
        let at = |name| format!("organisers[{index}].{name}");
        let mut permissions = 0;
        for permission in &self.may {
            let bit = permission.bit();
            if permissions & bit != 0 {
                return Err(field(at("may"))(Problem::Permissions));
            }
            permissions |= bit;
        }
        if permissions == 0 {
            return Err(field(at("may"))(Problem::Permissions));
        }
        Ok(Organiser {
            key: key(at("key"), Role::Organiser, &self.key)?,
            permissions,
            name: checked_text(at("name"), &self.name)?,
        })
    }
}

impl FinaliserText {
    fn read(self, index: usize) -> Result<Finaliser, FieldError> {
        let at = |name| format!("finalisers[{index}].{name}");
        Ok(Finaliser {
            key: key(at("key"), Role::Finaliser, &self.key)?,
            power: uint(at("power"), self.power)?,
            name: checked_text(at("name"), &self.name)?,
        })
    }
}

impl Permission {
    const ALL: [Self; 2] = [Self::Invite, Self::OpenElections];

    const fn bit(self) -> u8 {
        match self {
            Self::Invite => Organiser::INVITE,
            Self::OpenElections => Organiser::OPEN_ELECTIONS,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::OpenElections => "open_elections",
        }
    }
}

fn field(name: impl Into<String>) -> impl FnOnce(Problem) -> FieldError {
    let field = name.into();
    |problem| FieldError { field, problem }
}

pub(super) fn uint(name: impl Into<String>, value: u64) -> Result<u64, FieldError> {
    if value > MAX_UINT {
        return Err(field(name)(Problem::TooLarge(value)));
    }
    Ok(value)
}

fn checked_text<const MIN: usize, const MAX: usize>(
    name: impl Into<String>,
    value: &str,
) -> Result<Text<MIN, MAX>, FieldError> {
    Text::new(value).map_err(|error| field(name)(error.into()))
}

fn key(name: impl Into<String>, role: Role, value: &str) -> Result<PublicKey, FieldError> {
    match RolePublicKey::parse(role, value) {
        Ok(public) => Ok(public.key()),
        Err(error) => Err(field(name)(error.into())),
    }
}

/// Writes the text form, with a comment for every parameter. Reading it again gives the same genesis.
pub fn to_toml(genesis: &Genesis) -> String {
    let mut text = format!(
        "# Genesis of a votenode network. All nodes of the network need the same one: whoever changes anything here\n\
         # makes another network.\n\
         #\n\
         # network id: {}\n\n",
        genesis.network_id()
    );
    let mut entry = |comment: &str, key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "# {comment}\n{key} = {value}");
    };
    entry("Version of the protocol.", "version", &genesis.version);
    entry("Name, for people.", "name", &quoted(&genesis.name));
    entry(
        "When the network was made, Unix milliseconds.",
        "timestamp_ms",
        &genesis.timestamp_ms,
    );
    entry(
        "Least time between two blocks, milliseconds.",
        "block_time_ms",
        &genesis.block_time_ms,
    );
    entry(
        "A block's hash has to be at or under this.",
        "target",
        &quoted(&genesis.target.to_string()),
    );
    entry(
        "How long after the close of polls blocks may still carry votes, milliseconds.",
        "close_grace_ms",
        &genesis.close_grace_ms,
    );
    entry(
        "Blocks on top of a block that stand in for finality where nobody finalises.",
        "confirmations",
        &genesis.confirmations,
    );
    entry(
        "Longest block, bytes.",
        "max_block_bytes",
        &genesis.max_block_bytes,
    );
    entry(
        "Most transactions in a block.",
        "max_block_transactions",
        &genesis.max_block_transactions,
    );
    let open = "Registration without an invitation: \"forbidden\", or \"stamped\" for anyone who computes a stamp.\n\
                # Results of elections that admit such voters are not one person, one vote.";
    match genesis.open_admission {
        OpenAdmission::Forbidden {} => entry(open, "open_admission", &quoted("forbidden")),
        OpenAdmission::Stamped { bits } => {
            entry(open, "open_admission", &quoted("stamped"));
            entry(
                "Bits of that stamp; each doubles its cost.",
                "open_stamp_bits",
                &bits,
            );
        }
    }
    entry(
        "Bits of the stamp on an anonymous vote.",
        "vote_stamp_bits",
        &genesis.vote_stamp_bits,
    );
    let by = if genesis.elections_by == Genesis::ANYONE {
        "anyone"
    } else {
        "organisers"
    };
    entry(
        "Who may open elections: \"anyone\" or \"organisers\".",
        "elections_by",
        &quoted(by),
    );
    if !genesis.organisers.is_empty() {
        text.push_str("\n# Keys with permissions.\n");
    }
    for organiser in genesis.organisers.iter() {
        let may: Vec<String> = Permission::ALL
            .into_iter()
            .filter(|permission| organiser.permissions & permission.bit() != 0)
            .map(|permission| quoted(permission.name()))
            .collect();
        let _ = writeln!(
            text,
            "[[organisers]]\nname = {}\nkey = {}\nmay = [{}]",
            quoted(&organiser.name),
            quoted(&code::encode(
                Kind::Public(Role::Organiser),
                organiser.key.as_bytes()
            )),
            may.join(", ")
        );
    }
    if !genesis.finalisers.is_empty() {
        text.push_str("\n# Keys that together make blocks final.\n");
    }
    for finaliser in genesis.finalisers.iter() {
        let _ = writeln!(
            text,
            "[[finalisers]]\nname = {}\nkey = {}\npower = {}",
            quoted(&finaliser.name),
            quoted(&code::encode(
                Kind::Public(Role::Finaliser),
                finaliser.key.as_bytes()
            )),
            finaliser.power
        );
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
