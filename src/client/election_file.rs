//! Election files: the question as an organiser writes it, in TOML.
//!
//! ```toml
//! title = "Where do we meet?"
//! question = "Where shall the club meet from spring on?"
//! options = ["Library", "Café", "Park"]
//! method = "plurality"                     # or "approval"; default plurality
//! seats = 1                                # how many options win; default 1
//! opens_at = 2027-03-01T18:00:00+01:00     # default: at once
//! closes_at = 2027-03-01T20:00:00+01:00    # or --closes-in on the command line
//! roll_closes_at = 2027-03-01T20:00:00+01:00   # default: when polls close
//! groups = ["open"]                        # who may vote; default "open" where the network admits everybody
//! privacy = "pseudonymous"                 # default
//! secrecy = "open"                         # default
//! ```
//!
//! A key that is not in this list is an error that names it. What the rules of a later release will allow is refused by
//! name rather than ignored.

use std::time::Duration;

use serde::Deserialize;

use crate::chain::election::{MAX_OPTIONS, MIN_OPTIONS, Method, Privacy, Terms};
use crate::chain::genesis::{Genesis, Group, OPEN_GROUP, OpenAdmission};
use crate::client::time::{TimeError, parse_time_ms};
use crate::wire::{List, Text, TextError};

/// Longest election file, in bytes.
pub const MAX_FILE_BYTES: u64 = 128 * 1024;

/// Why an election file makes no election.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionFileError {
    /// Not TOML, an unknown or missing key, or a value of another type.
    #[error("{0}")]
    Toml(String),
    /// A text is empty, too long or holds control characters.
    #[error("{key}: {source}")]
    Text {
        /// Which key.
        key: String,
        /// What is wrong.
        source: TextError,
    },
    /// A time cannot be read.
    #[error("{key}: {source}")]
    Time {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        source: TimeError,
    },
    /// A value breaks a rule.
    #[error("{key}: {rule}")]
    Rule {
        /// Which key.
        key: &'static str,
        /// The rule.
        rule: String,
    },
}

/// An election file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectionFile {
    title: String,
    question: String,
    options: Vec<String>,
    #[serde(default = "plurality")]
    method: String,
    #[serde(default = "one")]
    seats: u64,
    opens_at: Option<toml::Value>,
    closes_at: Option<toml::Value>,
    roll_closes_at: Option<toml::Value>,
    groups: Option<Vec<String>>,
    #[serde(default = "pseudonymous")]
    privacy: String,
    #[serde(default = "open")]
    secrecy: String,
}

fn plurality() -> String {
    Method::Plurality.name().to_owned()
}

fn one() -> u64 {
    1
}

fn pseudonymous() -> String {
    "pseudonymous".to_owned()
}

fn open() -> String {
    "open".to_owned()
}

/// Times given on the command line; they go before those of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Polls open so long from now.
    pub opens_in: Option<Duration>,
    /// Polls close so long from now.
    pub closes_in: Option<Duration>,
}

fn rule(holds: bool, key: &'static str, rule: impl Into<String>) -> Result<(), ElectionFileError> {
    if holds {
        Ok(())
    } else {
        Err(ElectionFileError::Rule {
            key,
            rule: rule.into(),
        })
    }
}

fn text<const MIN: usize, const MAX: usize>(
    key: impl Into<String>,
    text: &str,
) -> Result<Text<MIN, MAX>, ElectionFileError> {
    Text::new(text.trim()).map_err(|source| ElectionFileError::Text {
        key: key.into(),
        source,
    })
}

impl ElectionFile {
    /// Reads the text of an election file.
    pub fn parse(text: &str) -> Result<Self, ElectionFileError> {
        toml::from_str(text)
            .map_err(|error| ElectionFileError::Toml(error.to_string().trim_end().to_owned()))
    }

    /// The terms of the election in a network, with the clock at `now_ms`.
    pub fn terms(
        &self,
        genesis: &Genesis,
        timing: Timing,
        now_ms: u64,
    ) -> Result<Terms, ElectionFileError> {
        let options = self.options()?;
        rule(
            (1..options.len() as u64).contains(&self.seats),
            "seats",
            "has to be at least 1 and less than the number of options",
        )?;
        let opens_at_ms =
            instant("opens_at", &self.opens_at, timing.opens_in, now_ms)?.unwrap_or(now_ms);
        let closes_at_ms = instant("closes_at", &self.closes_at, timing.closes_in, now_ms)?
            .ok_or_else(|| ElectionFileError::Rule {
                key: "closes_at",
                rule: "is missing: write it into the file, or give --closes-in".to_owned(),
            })?;
        // A time for the roll in the file belongs to the close in the file, not to one given instead of it.
        let roll_closes_at_ms = match timing.closes_in {
            Some(_) => closes_at_ms,
            None => instant("roll_closes_at", &self.roll_closes_at, None, now_ms)?
                .unwrap_or(closes_at_ms),
        };
        rule(
            opens_at_ms < closes_at_ms,
            "closes_at",
            "has to be after opens_at",
        )?;
        rule(closes_at_ms > now_ms, "closes_at", "has passed already")?;
        rule(
            roll_closes_at_ms <= closes_at_ms,
            "roll_closes_at",
            "has to be at most closes_at",
        )?;
        Ok(Terms {
            title: text("title", &self.title)?,
            question: text("question", &self.question)?,
            options,
            method: self.method()? as u8,
            seats: self.seats,
            score_maximum: 0,
            opens_at_ms,
            closes_at_ms,
            roll_closes_at_ms,
            reveal_until_ms: 0,
            min_ring: 0,
            groups: self.groups(genesis)?,
            privacy: self.privacy()? as u8,
        })
    }

    fn options(&self) -> Result<List<Text<1, 200>, MIN_OPTIONS, MAX_OPTIONS>, ElectionFileError> {
        let options = self
            .options
            .iter()
            .enumerate()
            .map(|(index, option)| text(format!("options[{}]", index + 1), option))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sorted: Vec<&str> = options
            .iter()
            .map(|option: &Text<1, 200>| option.as_str())
            .collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ElectionFileError::Rule {
                key: "options",
                rule: format!("'{}' stands there twice", pair[0]),
            });
        }
        List::new(options).map_err(|error| ElectionFileError::Rule {
            key: "options",
            rule: error.to_string(),
        })
    }

    fn method(&self) -> Result<Method, ElectionFileError> {
        let name = self.method.as_str();
        let known = Method::ALL.into_iter().find(|method| method.name() == name);
        match known {
            Some(method @ (Method::Plurality | Method::Approval)) => Ok(method),
            Some(_) => Err(ElectionFileError::Rule {
                key: "method",
                rule: format!(
                    "'{name}' is not supported by this release, which counts plurality and approval"
                ),
            }),
            None => Err(ElectionFileError::Rule {
                key: "method",
                rule: format!("there is no method '{name}'; there are plurality and approval"),
            }),
        }
    }

    fn privacy(&self) -> Result<Privacy, ElectionFileError> {
        match (self.privacy.as_str(), self.secrecy.as_str()) {
            ("pseudonymous", "open") => Ok(Privacy::Pseudonymous),
            ("anonymous", _) => Err(ElectionFileError::Rule {
                key: "privacy",
                rule: "'anonymous' is not supported by this release".to_owned(),
            }),
            ("pseudonymous", "sealed") => Err(ElectionFileError::Rule {
                key: "secrecy",
                rule: "'sealed' is not supported by this release".to_owned(),
            }),
            ("pseudonymous", other) => Err(ElectionFileError::Rule {
                key: "secrecy",
                rule: format!("has to be 'open', not '{other}'"),
            }),
            (other, _) => Err(ElectionFileError::Rule {
                key: "privacy",
                rule: format!("has to be 'pseudonymous', not '{other}'"),
            }),
        }
    }

    fn groups(&self, genesis: &Genesis) -> Result<List<Group, 1, 16>, ElectionFileError> {
        let names = match (&self.groups, &genesis.open_admission) {
            (Some(names), _) => names.clone(),
            (None, OpenAdmission::Stamped { .. }) => vec![OPEN_GROUP.to_owned()],
            (None, OpenAdmission::Forbidden {}) => {
                return Err(ElectionFileError::Rule {
                    key: "groups",
                    rule: "is missing: in this network people register by invitation, into named groups"
                        .to_owned(),
                });
            }
        };
        let mut groups = names
            .iter()
            .enumerate()
            .map(|(index, name)| text(format!("groups[{}]", index + 1), name))
            .collect::<Result<Vec<Group>, _>>()?;
        groups.sort_unstable();
        let named = groups.len();
        groups.dedup();
        rule(
            named == groups.len(),
            "groups",
            "a group stands there twice",
        )?;
        List::new(groups).map_err(|error| ElectionFileError::Rule {
            key: "groups",
            rule: error.to_string(),
        })
    }
}

/// A time from the command line or else the file.
fn instant(
    key: &'static str,
    value: &Option<toml::Value>,
    from_now: Option<Duration>,
    now_ms: u64,
) -> Result<Option<u64>, ElectionFileError> {
    if let Some(from_now) = from_now {
        let from_now = u64::try_from(from_now.as_millis()).unwrap_or(u64::MAX);
        return Ok(Some(
            now_ms.saturating_add(from_now).min(crate::wire::MAX_UINT),
        ));
    }
    let text = match value {
        None => return Ok(None),
        Some(toml::Value::String(text)) => text.clone(),
        Some(toml::Value::Datetime(time)) => time.to_string(),
        Some(other) => other.to_string(),
    };
    parse_time_ms(&text)
        .map(Some)
        .map_err(|source| ElectionFileError::Time { key, source })
}

#[cfg(test)]
mod tests;
