//! Settings of a node: from flags, then the environment, then a configuration file, then defaults.
//!
//! Every setting has one name: the flag `--http-host`, the variable `VOTENODE_HTTP_HOST` and the key `http_host` are
//! the same. A [`Layer`] holds what one source says; [`Settings`] is what holds in the end. Nothing here opens a
//! port or touches the data directory.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use clap::CommandFactory as _;
use serde::Deserialize;
use votenode_p2p::Multiaddr;

mod file;
#[cfg(test)]
mod tests;
mod value;

pub use file::{FileError, MAX_FILE_BYTES, nearest, parse as parse_file, read as read_file};
pub use value::{Address, HostName, Http, LogFormat, Network, ValueError};

/// Port of the peer-to-peer network, for TCP and UDP alike.
pub const DEFAULT_PORT: u16 = 7117;
/// Port of HTTP.
pub const DEFAULT_HTTP_PORT: u16 = 7118;
/// Most addresses of one kind that a setting may list.
pub const MAX_ADDRESSES: usize = 64;

/// What one source of settings says; what it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layer {
    /// Address of a node that is in the network already; may be given several times
    #[arg(
        long,
        env = "VOTENODE_BOOTSTRAP",
        value_name = "ADDR",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub bootstrap: Vec<Address>,
    /// Genesis file of the network, or its id to accept no other
    #[arg(
        long,
        env = "VOTENODE_NETWORK",
        value_name = "FILE|ID",
        help_heading = "Network"
    )]
    pub network: Option<Network>,
    /// Where chain, keys and peers are kept [default: $XDG_DATA_HOME/votenode or ~/.local/share/votenode]
    #[arg(long, env = "VOTENODE_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Listen for peers here; may be given several times [default: port 7117 of all interfaces, TCP and QUIC]
    #[arg(
        long,
        env = "VOTENODE_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub listen: Vec<Address>,
    /// Address under which others reach this node, where it is behind a router; may be given several times
    #[arg(
        long,
        env = "VOTENODE_EXTERNAL_ADDRESS",
        value_name = "ADDR",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub external_address: Vec<Address>,
    /// Do not look for peers on the local network
    #[arg(long, env = "VOTENODE_NO_MDNS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Network")]
    pub no_mdns: Option<bool>,
    /// Most connections that others open [default: 100]
    #[arg(long, env = "VOTENODE_MAX_INBOUND_PEERS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Limits")]
    pub max_inbound_peers: Option<u32>,
    /// Most connections that this node opens [default: 50]
    #[arg(long, env = "VOTENODE_MAX_OUTBOUND_PEERS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Limits")]
    pub max_outbound_peers: Option<u32>,
    /// Do not mine blocks
    #[arg(long, env = "VOTENODE_NO_MINE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Mining")]
    pub no_mine: Option<bool>,
    /// Take part in deciding checkpoints, with the finaliser's key in this file
    #[arg(
        long,
        env = "VOTENODE_FINALISER_KEY",
        value_name = "FILE",
        help_heading = "Finality"
    )]
    pub finaliser_key: Option<PathBuf>,
    /// Keep in this file how far the finaliser's key has signed, apart from what is backed up [default: the key file's name with .state behind it, or finaliser.state in the data directory]
    #[arg(
        long,
        env = "VOTENODE_FINALISER_STATE",
        value_name = "FILE",
        help_heading = "Finality"
    )]
    pub finaliser_state: Option<PathBuf>,
    /// Most transactions that wait for a block [default: 200000]
    #[arg(long, env = "VOTENODE_MEMPOOL_TRANSACTIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000), help_heading = "Limits")]
    pub mempool_transactions: Option<u32>,
    /// Most memory of waiting transactions, in MiB of their encoding [default: 64]
    #[arg(long, env = "VOTENODE_MEMPOOL_MIB", value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=16_384), help_heading = "Limits")]
    pub mempool_mib: Option<u32>,
    /// Memory of the store's cache, in MiB [default: 64]
    #[arg(long, env = "VOTENODE_STORE_CACHE_MIB", value_name = "MIB", value_parser = clap::value_parser!(u32).range(8..=65_536), help_heading = "Limits")]
    pub store_cache_mib: Option<u32>,
    /// Serve the API, metrics and a status page here, or 'off' [default: 127.0.0.1:7118]
    #[arg(
        long,
        env = "VOTENODE_HTTP",
        value_name = "ADDR|off",
        help_heading = "HTTP"
    )]
    pub http: Option<Http>,
    /// Also answer to this host name, for a reverse proxy; may be given several times
    #[arg(
        long,
        env = "VOTENODE_HTTP_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "HTTP"
    )]
    pub http_host: Vec<HostName>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as 'info,votenode=debug' [default: info]
    #[arg(
        long,
        env = "VOTENODE_LOG",
        value_name = "FILTER",
        help_heading = "Logging"
    )]
    pub log: Option<String>,
    /// How it is logged, on stderr [default: text]
    #[arg(
        long,
        env = "VOTENODE_LOG_FORMAT",
        value_name = "FORMAT",
        help_heading = "Logging"
    )]
    pub log_format: Option<LogFormat>,
}

/// Carries a [`Layer`] where clap wants a whole command.
#[derive(clap::Parser)]
struct LayerCommand {
    #[command(flatten)]
    _layer: Layer,
}

impl Layer {
    /// The keys that a configuration file may hold.
    pub fn keys() -> Vec<String> {
        LayerCommand::command()
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .filter(|name| !matches!(*name, "help" | "version"))
            .map(|name| name.replace('-', "_"))
            .collect()
    }

    /// This layer, and where it is silent the one below.
    pub fn over(self, below: Self) -> Self {
        fn list<T>(above: Vec<T>, below: Vec<T>) -> Vec<T> {
            if above.is_empty() { below } else { above }
        }
        Self {
            bootstrap: list(self.bootstrap, below.bootstrap),
            network: self.network.or(below.network),
            data_dir: self.data_dir.or(below.data_dir),
            listen: list(self.listen, below.listen),
            external_address: list(self.external_address, below.external_address),
            no_mdns: self.no_mdns.or(below.no_mdns),
            max_inbound_peers: self.max_inbound_peers.or(below.max_inbound_peers),
            max_outbound_peers: self.max_outbound_peers.or(below.max_outbound_peers),
            no_mine: self.no_mine.or(below.no_mine),
            finaliser_key: self.finaliser_key.or(below.finaliser_key),
            finaliser_state: self.finaliser_state.or(below.finaliser_state),
            mempool_transactions: self.mempool_transactions.or(below.mempool_transactions),
            mempool_mib: self.mempool_mib.or(below.mempool_mib),
            store_cache_mib: self.store_cache_mib.or(below.store_cache_mib),
            http: self.http.or(below.http),
            http_host: list(self.http_host, below.http_host),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
        }
    }
}

/// What holds for a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Nodes to begin with.
    pub bootstrap: Vec<Multiaddr>,
    /// The network to belong to; none: what the data directory, a bootstrap peer or the program itself holds.
    pub network: Option<Network>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Addresses to listen on.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others reach this node.
    pub external_addresses: Vec<Multiaddr>,
    /// Whether peers are looked for on the local network.
    pub mdns: bool,
    /// Most connections that others open.
    pub max_inbound_peers: u32,
    /// Most connections that this node opens.
    pub max_outbound_peers: u32,
    /// Whether this node mines.
    pub mine: bool,
    /// The file with the finaliser's key, where this node is to finalise.
    pub finaliser_key: Option<PathBuf>,
    /// The file with how far that key has signed, where it is not the default one.
    pub finaliser_state: Option<PathBuf>,
    /// Most transactions in the mempool.
    pub mempool_transactions: usize,
    /// Most bytes of transactions in the mempool.
    pub mempool_bytes: u64,
    /// Bytes of the store's cache.
    pub store_cache_bytes: usize,
    /// Where HTTP is served; none: nowhere.
    pub http: Option<SocketAddr>,
    /// Further host names that HTTP answers to.
    pub http_hosts: Vec<String>,
    /// What is logged, as a filter of `tracing-subscriber`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No place for data.
    #[error(
        "there is no HOME to keep data in: name a directory with --data-dir or VOTENODE_DATA_DIR"
    )]
    NoHome,
    /// A setting with a value that its type allows and its meaning does not.
    #[error("{setting}: {rule}")]
    Rule {
        /// Its name.
        setting: &'static str,
        /// What it has to be.
        rule: String,
    },
}

/// What the environment says about where files are kept. Empty variables count as unset.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    /// `$XDG_DATA_HOME`, if it is absolute.
    pub data_home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, if it is absolute.
    pub config_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
}

impl Directories {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            data_home: variable("XDG_DATA_HOME"),
            config_home: variable("XDG_CONFIG_HOME"),
            home: variable("HOME"),
        }
    }

    /// The data directory where none is given.
    pub fn data_dir(&self) -> Option<PathBuf> {
        let base = self.data_home.clone();
        base.or_else(|| Some(self.home.as_ref()?.join(".local/share")))
            .map(|base| base.join("votenode"))
    }

    /// The configuration file that is read, if it is there, where none is given.
    pub fn config_file(&self) -> Option<PathBuf> {
        let base = self.config_home.clone();
        base.or_else(|| Some(self.home.as_ref()?.join(".config")))
            .map(|base| base.join("votenode/votenode.toml"))
    }
}

impl Settings {
    /// Settles flags and environment (`given`) over the configuration file over the defaults.
    ///
    /// `config` is the file that was asked for; without it the default one is read if it is there.
    pub fn resolve(
        given: Layer,
        config: Option<PathBuf>,
        directories: &Directories,
    ) -> Result<Self, ConfigError> {
        let file = config.or_else(|| directories.config_file().filter(|path| path.exists()));
        let below = file.as_deref().map(read_file).transpose()?;
        Self::from_layer(given.over(below.unwrap_or_default()), directories)
    }

    fn from_layer(layer: Layer, directories: &Directories) -> Result<Self, ConfigError> {
        for (setting, list) in [
            ("bootstrap", &layer.bootstrap),
            ("listen", &layer.listen),
            ("external_address", &layer.external_address),
        ] {
            if list.len() > MAX_ADDRESSES {
                return Err(ConfigError::Rule {
                    setting,
                    rule: format!("at most {MAX_ADDRESSES} addresses"),
                });
            }
        }
        let log = layer.log.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log) {
            return Err(ConfigError::Rule {
                setting: "log",
                rule: format!(
                    "'{log}' is not a filter such as info or info,votenode=debug: {error}"
                ),
            });
        }
        let bounded =
            |setting, value: Option<u32>, default: u32, range: std::ops::RangeInclusive<u32>| {
                let value = value.unwrap_or(default);
                if range.contains(&value) {
                    Ok(value)
                } else {
                    Err(ConfigError::Rule {
                        setting,
                        rule: format!("{value} is not from {} to {}", range.start(), range.end()),
                    })
                }
            };
        let addresses = |list: Vec<Address>| {
            list.into_iter()
                .map(|address| address.0)
                .collect::<Vec<_>>()
        };
        let named = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let data_dir = named(layer.data_dir);
        Ok(Self {
            bootstrap: addresses(layer.bootstrap),
            network: layer.network,
            data_dir: data_dir
                .or_else(|| directories.data_dir())
                .ok_or(ConfigError::NoHome)?,
            listen: if layer.listen.is_empty() {
                default_listen()
            } else {
                addresses(layer.listen)
            },
            external_addresses: addresses(layer.external_address),
            mdns: !layer.no_mdns.unwrap_or(false),
            max_inbound_peers: bounded(
                "max_inbound_peers",
                layer.max_inbound_peers,
                100,
                1..=10_000,
            )?,
            max_outbound_peers: bounded(
                "max_outbound_peers",
                layer.max_outbound_peers,
                50,
                1..=10_000,
            )?,
            mine: !layer.no_mine.unwrap_or(false),
            finaliser_key: named(layer.finaliser_key),
            finaliser_state: named(layer.finaliser_state),
            mempool_transactions: bounded(
                "mempool_transactions",
                layer.mempool_transactions,
                200_000,
                1_000..=10_000_000,
            )? as usize,
            mempool_bytes: u64::from(bounded("mempool_mib", layer.mempool_mib, 64, 1..=16_384)?)
                << 20,
            store_cache_bytes: (bounded("store_cache_mib", layer.store_cache_mib, 64, 8..=65_536)?
                as usize)
                << 20,
            http: match layer.http {
                Some(Http::Off) => None,
                Some(Http::At(address)) => Some(address),
                None => Some((Ipv4Addr::LOCALHOST, DEFAULT_HTTP_PORT).into()),
            },
            http_hosts: layer.http_host.into_iter().map(|host| host.0).collect(),
            log,
            log_format: layer.log_format.unwrap_or_default(),
        })
    }
}

/// TCP and QUIC on the default port of all interfaces, with IPv6 if this machine has it.
fn default_listen() -> Vec<Multiaddr> {
    let mut families = vec!["ip4/0.0.0.0"];
    if UdpSocket::bind("[::1]:0").is_ok() {
        families.push("ip6/::");
    }
    families
        .iter()
        .flat_map(|family| {
            [
                format!("/{family}/tcp/{DEFAULT_PORT}"),
                format!("/{family}/udp/{DEFAULT_PORT}/quic-v1"),
            ]
        })
        .filter_map(|address| address.parse().ok())
        .collect()
}
