//! `votenode` without a command: runs a node until it is told to end.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use votenode_p2p::Limits;
use zeroize::Zeroizing;

use super::exit::{Exit, Failure};
use crate::chain::genesis::Genesis;
use crate::chain::network::Network;
use crate::config::{self, LogFormat, Settings};
use crate::control::{self, Exporter};
use crate::crypto::{Role, RoleKey, SigningKey};
use crate::datadir::{DataDir, DataPaths};
use crate::export::{ChainWriter, stored_blocks};
use crate::genesis;
use crate::http;
use crate::join::{GenesisQuery, JoinError, fetch_genesis};
use crate::node::finality::{Finaliser, Promise as _, Promised};
use crate::node::handle::NodeHandle;
use crate::node::mempool::MempoolLimits;
use crate::node::shell::{self, EndError, Options, PromiseFile, StartError};
use crate::store::{Expect, OpenError, Reader, Store, StoreConfig};
use crate::wire;

/// How long a bootstrap node is asked for the genesis, where there is no other way to know the network.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a node.
pub fn run(settings: Settings) -> Result<(), Failure> {
    start_log(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(serve(settings))
}

/// Logs go to stderr, results to stdout.
fn start_log(settings: &Settings) {
    // A bare level is about this program: what its libraries have to say at that level is for their developers.
    let filter = match settings.log.parse::<tracing::level_filters::LevelFilter>() {
        Ok(level) => {
            let others = level.min(tracing::level_filters::LevelFilter::ERROR);
            format!("{others},votenode={level},votenode_p2p={level}")
        }
        Err(_) => settings.log.clone(),
    };
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // Set already only when a test runs several nodes in one process.
    let _ = match settings.log_format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    // Read before anything is made on disk, so that a mistake leaves nothing behind.
    let named = match &settings.network {
        Some(config::Network::File(path)) => Some(super::network::read(path)?),
        _ => None,
    };
    let dir = DataDir::open(&settings.data_dir)?;
    // Taken before anything else starts, so that a port in use leaves nothing half done.
    votenode_p2p::probe(&settings.listen)
        .await
        .map_err(StartError::Network)?;
    let http = match settings.http {
        Some(address) => Some(http::Listener::bind(address)?),
        None => None,
    };
    let network = Arc::new(settle_network(&settings, named, &dir).await?);
    let trial = genesis::is_lan(&network.id());
    info!(
        network = %network.id(),
        name = %network.name,
        data_dir = %settings.data_dir.display(),
        "votenode {}",
        env!("CARGO_PKG_VERSION")
    );
    if trial {
        warn!(
            "this is the network for trials that every votenode knows: anyone may register as often as they like. \
             Make one for a real election with: votenode network new"
        );
    }
    if !network.finalises() {
        info!(
            "nobody finalises in this network: results stay provisional, {} blocks stand in for a final one",
            network.confirmations
        );
    }
    let paths = dir.paths().clone();
    let finaliser = finaliser(&settings, &network, &paths)?;
    let mut node = shell::start(Options {
        network: Arc::clone(&network),
        trial,
        dir,
        store: StoreConfig {
            cache_bytes: settings.store_cache_bytes,
            ..StoreConfig::default()
        },
        mempool: MempoolLimits {
            max_transactions: settings.mempool_transactions,
            max_bytes: usize::try_from(settings.mempool_bytes).unwrap_or(usize::MAX),
        },
        mine: settings.mine,
        finaliser,
        listen: settings.listen.clone(),
        external: settings.external_addresses.clone(),
        bootstrap: settings.bootstrap.clone(),
        mdns: settings.mdns,
        limits: Limits {
            max_inbound: settings.max_inbound_peers,
            max_outbound: settings.max_outbound_peers,
            ..Limits::default()
        },
    })
    .await?;
    let handle = node.handle().clone();
    for address in node.listening() {
        info!("listening on {address}/p2p/{}", node.peer());
    }
    // Before anybody can see that the node runs: whoever does may end it.
    let signals = Signals::new().inspect_err(|error| {
        error!(%error, "signals cannot be received; end the node with: votenode stop");
    });
    let control = control::serve(
        &paths.control_socket(),
        handle.clone(),
        exporter(Arc::clone(&network), handle.reader().clone()),
    )
    .map_err(|error| Failure::on_disk(&error.source, &error))?;
    let http = match http {
        Some(listener) => Some(serve_http(listener, &settings, &handle, &paths)?),
        None => None,
    };
    let signals = signals.map(|signals| tokio::spawn(signals.end(handle)));
    let ended = node.ended().await;
    if let Ok(signals) = signals {
        signals.abort();
    }
    drop((control, http));
    ended.map_err(Failure::from)
}

/// The variable that holds a finaliser's key itself, for machines that keep secrets there. A flag would show it to
/// everybody on the machine.
pub const FINALISER_SECRET: &str = "VOTENODE_FINALISER_SECRET";

/// The finaliser's key, if this node is to finalise, and where its state is kept.
fn finaliser(
    settings: &Settings,
    network: &Network,
    paths: &DataPaths,
) -> Result<Option<Finaliser>, Failure> {
    let secret = std::env::var(FINALISER_SECRET).ok().map(Zeroizing::new);
    let (key, state) = match (&settings.finaliser_key, secret) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage(format!(
                "the finaliser's key is given twice: by --finaliser-key and by {FINALISER_SECRET}"
            )));
        }
        (Some(path), None) => (
            super::key::read_key(path, Role::Finaliser)?,
            PromiseFile::beside(path),
        ),
        (None, Some(text)) => {
            let key = RoleKey::parse(Role::Finaliser, text.trim())
                .map_err(|error| Failure::usage(format!("{FINALISER_SECRET}: {error}")))?;
            (key, paths.finaliser_state())
        }
        (None, None) if settings.finaliser_state.is_some() => {
            return Err(Failure::usage(
                "a file for a finaliser's state is given, and no finaliser's key",
            ));
        }
        (None, None) => return Ok(None),
    };
    let state = settings.finaliser_state.clone().unwrap_or(state);
    if !network.finalises() {
        return Err(Failure::usage(
            "a finaliser's key is given, and nobody finalises in this network",
        ));
    }
    let public = key.public();
    match network
        .finalisers
        .iter()
        .find(|member| member.key == public.key())
    {
        Some(member) => info!(
            name = %member.name, power = member.power,
            "this node finalises; run no other one with the same key"
        ),
        // A later set may hold it.
        None => warn!(key = %public, "this node's finaliser key is not in the genesis"),
    }
    let key = SigningKey::from_seed(&key.signing_key().seed());
    let promise = Box::new(open_state(state, network, paths)?);
    Ok(Some(Finaliser { key, promise }))
}

/// The file with how far the finaliser's key has signed. It is there from now on, and can be written.
fn open_state(
    state: PathBuf,
    network: &Network,
    paths: &DataPaths,
) -> Result<PromiseFile, Failure> {
    let mut promise = PromiseFile::new(state.clone(), network.id());
    promise.lock().map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => Failure::usage(error),
        _ => Failure::file("lock", &state, &error),
    })?;
    let promised = promise.read().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::usage(error),
        _ => Failure::file("read", &state, &error),
    })?;
    if promised.is_none() {
        promise
            .write(Promised::default())
            .map_err(|error| Failure::file("write", &state, &error))?;
    }
    let resolved = |path: &Path| path.canonicalize().ok();
    if let (Some(file), Some(data)) = (resolved(&state), resolved(paths.root()))
        && file.starts_with(&data)
    {
        warn!(
            "{} lies in the data directory: restored from a backup together with the data, it cannot keep this key from \
             signing twice. Keep it elsewhere with --finaliser-state",
            state.display()
        );
    }
    Ok(promise)
}

/// HTTP while the node runs, and the file that tells where it is.
struct HttpService {
    _server: http::Server,
    address_file: PathBuf,
}

impl Drop for HttpService {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.address_file);
    }
}

fn serve_http(
    listener: http::Listener,
    settings: &Settings,
    node: &NodeHandle,
    paths: &DataPaths,
) -> Result<HttpService, Failure> {
    let address = listener.address();
    let address_file = paths.http_address();
    paths
        .replace(&address_file, address.to_string().as_bytes())
        .map_err(|error| Failure::file("write", &address_file, &error))?;
    if !address.ip().is_loopback() {
        warn!(
            "other machines can reach HTTP: they can read what is public anyway and hand in signed transactions"
        );
    }
    let server = listener.serve(node.clone(), settings.http_hosts.clone())?;
    info!("to be looked at in a browser: http://{address}/");
    Ok(HttpService {
        _server: server,
        address_file,
    })
}

impl From<http::BindError> for Failure {
    fn from(error: http::BindError) -> Self {
        Self::new(Exit::Port, error)
    }
}

/// The genesis that a data directory belongs to: the copy beside the database, or the one in it.
fn stored_genesis(dir: &DataDir) -> Result<Option<Genesis>, Failure> {
    let path = dir.genesis();
    if path.exists() {
        return genesis::read(&path).map(Some).map_err(|error| {
            Failure::new(
                Exit::Corrupt,
                format!(
                    "{}: {error}. Move the file away and start again: it is made anew from the database",
                    path.display()
                ),
            )
        });
    }
    let config = StoreConfig {
        check_on_open: false,
        ..StoreConfig::default()
    };
    match Store::open(dir, Expect::Any, config) {
        Ok(store) => {
            let genesis = store.snapshot().network().genesis().clone();
            store.close()?;
            Ok(Some(genesis))
        }
        Err(OpenError::Empty { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which network this node belongs to: what the operator says, what the data directory holds, what a bootstrap node
/// answers, or the network for trials, in this order. What the data directory holds is never changed.
async fn settle_network(
    settings: &Settings,
    named: Option<Genesis>,
    paths: &DataDir,
) -> Result<Network, Failure> {
    let stored = stored_genesis(paths)?;
    if let Some(named) = named {
        let id = named.network_id();
        return match stored {
            Some(stored) if stored.network_id() != id => {
                Err(other_network(paths, &stored.network_id(), &id))
            }
            _ => keep(paths, named),
        };
    }
    let pin = match &settings.network {
        Some(config::Network::Id(id)) => Some(*id),
        _ => None,
    };
    match (stored, pin) {
        (Some(stored), Some(pin)) if stored.network_id() != pin => {
            Err(other_network(paths, &stored.network_id(), &pin))
        }
        (Some(stored), _) => keep(paths, stored),
        (None, Some(pin)) if genesis::is_lan(&pin) => keep(paths, genesis::lan()),
        (None, None) if settings.bootstrap.is_empty() => keep(paths, genesis::lan()),
        (None, pin) => {
            info!("asking for the genesis of the network");
            let fetched = fetch_genesis(GenesisQuery {
                bootstrap: settings.bootstrap.clone(),
                pin,
                // Anyone may be on the local network: asked only where the answer is pinned.
                mdns: settings.mdns && pin.is_some(),
                timeout: JOIN_TIMEOUT,
            })
            .await?;
            info!(network = %fetched.network_id(), name = %fetched.name, "got the genesis");
            if pin.is_none() {
                warn!(
                    "the network is the one that the bootstrap node named. Compare its id with the organisers' before \
                     you rely on it: {}",
                    fetched.network_id()
                );
            }
            keep(paths, fetched)
        }
    }
}

fn other_network(
    paths: &DataPaths,
    have: &crate::chain::genesis::NetworkId,
    want: &crate::chain::genesis::NetworkId,
) -> Failure {
    Failure::new(
        Exit::WrongNetwork,
        format!(
            "the data directory {} belongs to network {have}, and {want} is asked for; name another directory with \
             --data-dir",
            paths.root().display()
        ),
    )
}

/// Writes the genesis into the data directory, where it is found at the next start.
fn keep(paths: &DataPaths, genesis: Genesis) -> Result<Network, Failure> {
    let path = paths.genesis();
    if !path.exists() {
        paths
            .replace(&path, &wire::encode(&genesis))
            .map_err(|error| Failure::file("write", &path, &error))?;
    }
    Network::new(genesis).map_err(Failure::usage)
}

/// Streams the chain for `votenode export` and `votenode audit`, which cannot open a database that is in use.
fn exporter(network: Arc<Network>, reader: Reader) -> Exporter {
    Arc::new(move |output| {
        let mut writer = ChainWriter::new(output, network.genesis(), network.genesis_block())?;
        for block in stored_blocks(reader.snapshot()) {
            let block = block.map_err(io::Error::other)?;
            writer.block(block.block)?;
            if let Some(certificate) = block.certificate {
                writer.certificate(certificate)?;
            }
        }
        writer.finish().map(drop)
    })
}

/// Ctrl-C and SIGTERM, caught from now on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
        }
    }

    /// The first one ends the node in order; a second one ends it at once.
    async fn end(mut self, handle: NodeHandle) {
        self.next().await;
        info!("ending; once more to end at once");
        tokio::spawn(async move { handle.shutdown().await });
        self.next().await;
        std::process::exit(Exit::Interrupted.code().into());
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Open(error) => error.into(),
            StartError::Store(error) => error.into(),
            StartError::Conflict(_) => Self::new(Exit::Halted, error),
            StartError::Network(votenode_p2p::Error::Listen { addr, source })
                if source.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                Self::new(
                    Exit::Port,
                    format!("cannot listen on {addr}: this machine has no such address"),
                )
            }
            StartError::Network(error @ votenode_p2p::Error::Listen { .. }) => Self::new(
                Exit::Port,
                format!(
                    "{error}. Another node may be running here; give this one other addresses, for example \
                     --listen /ip4/0.0.0.0/tcp/0"
                ),
            ),
            other => Self::failed(other),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let exit = match &error {
            JoinError::OtherNetwork { .. } => Exit::WrongNetwork,
            JoinError::NobodyToAsk => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<EndError> for Failure {
    fn from(error: EndError) -> Self {
        match error {
            EndError::Close(error) => error.into(),
            EndError::Conflict(_) => Self::new(Exit::Halted, error),
            EndError::Panicked => Self::failed(error),
        }
    }
}
