//! The kinds of values that settings have, each read from the same text in a flag, a variable and a file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use votenode_p2p::Multiaddr;

use crate::chain::genesis::NetworkId;

/// A text that is no value of its setting: what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

/// Reads a value from text in a configuration file as it is read from a flag.
macro_rules! deserialize_from_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

deserialize_from_text!(Address, Http, Network, HostName);

/// A libp2p address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub Multiaddr);

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let family = if address.is_ipv4() { "ip4" } else { "ip6" };
            return Err(ValueError(format!(
                "this is an address of sockets; as a multiaddr it is /{family}/{}/tcp/{} or /{family}/{}/udp/{}/quic-v1",
                address.ip(),
                address.port(),
                address.ip(),
                address.port(),
            )));
        }
        match text.parse::<Multiaddr>() {
            Ok(address) if !text.is_empty() => Ok(Self(address)),
            _ => Err(ValueError(format!(
                "'{}' is not a multiaddr, such as /ip4/192.0.2.7/tcp/7117 or /dns/vote.example.org/udp/7117/quic-v1",
                shown(text)
            ))),
        }
    }
}

/// Where HTTP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// Nowhere.
    Off,
    /// On this address.
    At(SocketAddr),
}

impl FromStr for Http {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| {
            ValueError(format!(
                "'{}' is neither 'off' nor an address and a port, such as 127.0.0.1:7118 or [::1]:7118",
                shown(text)
            ))
        })
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// Which network to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one with this id, whatever a bootstrap peer says.
    Id(NetworkId),
    /// The one whose genesis is in this file.
    File(PathBuf),
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError(
                "a genesis file or a network id of 64 hexadecimal digits is wanted".into(),
            ));
        }
        Ok(text
            .parse()
            .map_or_else(|_| Self::File(text.into()), Self::Id))
    }
}

/// The name of a host, as it stands in a browser's address line without the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub String);

impl FromStr for HostName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let fits = (1..=253).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if fits {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(ValueError(format!(
                "'{}' is not a host name, such as vote.example.org (no scheme, no port)",
                shown(text)
            )))
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The beginning of a text from outside, for messages.
fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
