//! What every command needs: the voter's files, the network, a session, and where to say what is going on.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;
use votenode_p2p::Multiaddr;
use zeroize::Zeroizing;

use crate::chain::genesis::{Genesis, NetworkId, OpenAdmission};
use crate::chain::network::Network;
use crate::client::command::args::{Global, Until};
use crate::client::command::failure::Failure;
use crate::client::command::output::count;
use crate::client::exit::Exit;
use crate::client::home::Home;
use crate::client::link::LinkOptions;
use crate::client::session::{Session, SessionOptions};
use crate::client::submission::{Goal, Progress, Submitted};
use crate::crypto::{VoterId, secret_file};
use crate::genesis;
use crate::join::{GenesisQuery, JoinError, fetch_genesis};

/// Clocks further apart than this are worth a warning, in milliseconds.
const CLOCK_WARNING_MS: u64 = 2_000;
/// Longest passphrase file, in bytes.
const MAX_PASSPHRASE_BYTES: u64 = 4_096;
/// How often the spinner turns.
const SPINNER_TICK: Duration = Duration::from_millis(120);

/// A command's surroundings.
#[derive(Debug)]
pub struct Context {
    /// The flags.
    pub global: Global,
    /// The voter's files.
    pub home: Home,
    /// When the command gives up.
    pub deadline: Instant,
    /// Things worth knowing that are not the result; for `--json`.
    pub notes: Vec<String>,
    spinner: ProgressBar,
}

impl Context {
    /// The surroundings that the flags describe.
    pub fn new(global: Global) -> Result<Self, Failure> {
        let spinner = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            spinner.set_style(style);
        }
        Ok(Self {
            home: Home::new(global.voter.clone())?,
            deadline: Instant::now() + global.timeout,
            notes: Vec::new(),
            spinner,
            global,
        })
    }

    /// Says something that is not the result, at once and on standard error.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.spinner.suspend(|| eprintln!("{text}"));
        self.notes.push(text);
    }

    /// Shows what is being waited for, on a terminal.
    pub fn working(&self, text: impl Into<String>) {
        self.spinner.enable_steady_tick(SPINNER_TICK);
        self.spinner.set_message(text.into());
    }

    /// Nothing is being waited for any more.
    pub fn rest(&self) {
        self.spinner.disable_steady_tick();
        self.spinner.finish_and_clear();
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The network as far as files tell, for what needs no node.
    pub fn known_network(&self) -> Result<Arc<Network>, Failure> {
        match self.named_network()? {
            Named::Genesis(genesis) => checked(genesis),
            Named::Nothing => match self.home.network()? {
                Some(genesis) => checked(genesis),
                None => checked(genesis::lan()),
            },
            Named::Id(id) => Err(Failure::usage(format!(
                "the genesis of network {id} is not here: give --network with the genesis file"
            ))),
        }
    }

    /// The network, asked from a node if need be. Where it was asked for it is remembered.
    pub async fn network(&mut self) -> Result<Arc<Network>, Failure> {
        let remembered = self.home.network()?;
        let pin = match self.named_network()? {
            Named::Genesis(genesis) => return checked(genesis),
            Named::Id(id) => Some(id),
            Named::Nothing if self.global.bootstrap.is_empty() => {
                return checked(remembered.unwrap_or_else(genesis::lan));
            }
            Named::Nothing => None,
        };
        let wanted = pin.or_else(|| remembered.as_ref().map(Genesis::network_id));
        self.working("asking for the genesis of the network");
        let found = fetch_genesis(GenesisQuery {
            bootstrap: self.global.bootstrap.clone(),
            pin: wanted,
            mdns: pin.is_some() && !self.global.no_mdns,
            timeout: self.time_left(),
        })
        .await;
        self.rest();
        match (found, remembered) {
            (Ok(genesis), None) => {
                self.home.remember(&genesis, &self.global.bootstrap)?;
                self.note(format!(
                    "network \"{}\", id {}\nremembered for this voter; compare the id with the one that the organisers announced",
                    genesis.name,
                    genesis.network_id()
                ));
                checked(genesis)
            }
            (Ok(genesis), Some(_)) => checked(genesis),
            // The node that was named is gone; others of the remembered network may be there.
            (Err(JoinError::Unreachable { .. }), Some(genesis)) if pin.is_none() => {
                checked(genesis)
            }
            (Err(error @ JoinError::OtherNetwork { .. }), Some(_)) if pin.is_none() => {
                let mut failure = Failure::from(error);
                failure.message.push_str(
                    "\nthe wanted one is remembered beside the voter file; to use another on purpose, name it with --network, or use another --voter file",
                );
                Err(failure)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn named_network(&self) -> Result<Named, Failure> {
        let Some(text) = self.global.network.as_deref().map(str::trim) else {
            return Ok(Named::Nothing);
        };
        if text == "lan" {
            return Ok(Named::Genesis(genesis::lan()));
        }
        let Ok(id) = text.parse::<NetworkId>() else {
            let read = genesis::read(Path::new(text))
                .map_err(|error| Failure::usage(format!("--network {text}: {error}")))?;
            return Ok(Named::Genesis(read));
        };
        let known = [Some(genesis::lan()), self.home.network()?];
        let known = known
            .into_iter()
            .flatten()
            .find(|genesis| genesis.network_id() == id);
        Ok(known.map_or(Named::Id(id), Named::Genesis))
    }

    /// Joins the network.
    pub async fn join(&mut self) -> Result<Session, Failure> {
        let network = self.network().await?;
        let is_remembered = self
            .home
            .network()?
            .is_some_and(|genesis| genesis.network_id() == network.id());
        let mut bootstrap: Vec<Multiaddr> = self.global.bootstrap.clone();
        if is_remembered {
            for addr in self.home.bootstrap()? {
                if !bootstrap.contains(&addr) {
                    bootstrap.push(addr);
                }
            }
        }
        if bootstrap.is_empty() && self.global.no_mdns {
            return Err(Failure::usage(
                "there is no way to a node: give --bootstrap with an address, or leave out --no-mdns",
            ));
        }
        self.working(format!(
            "looking for nodes of the network \"{}\"",
            network.name
        ));
        let joined = Session::join(SessionOptions {
            network,
            link: LinkOptions {
                bootstrap,
                listen: self.global.listen.clone(),
                mdns: !self.global.no_mdns,
            },
            join_timeout: self.time_left(),
        })
        .await;
        self.rest();
        let session = joined?;
        self.compare_clocks(&session).await;
        Ok(session)
    }

    async fn compare_clocks(&mut self, session: &Session) {
        let Ok(statuses) = session.node_statuses().await else {
            return;
        };
        let offsets: Vec<i64> = statuses
            .iter()
            .filter(|status| {
                status.clock_ahead_ms.unsigned_abs() > CLOCK_WARNING_MS + status.uncertainty_ms
            })
            .map(|status| status.clock_ahead_ms)
            .collect();
        if offsets.len() * 2 > statuses.len()
            && let Some(offset) = offsets.iter().min_by_key(|offset| offset.unsigned_abs())
        {
            let (seconds, way) = (
                offset.unsigned_abs() / 1_000,
                if *offset > 0 { "behind" } else { "ahead of" },
            );
            self.note(format!(
                "warning: this machine's clock is {seconds} s {way} the nodes' clocks; polls open and close by theirs"
            ));
        }
    }

    /// What has to be said about any result in this network.
    pub fn caveats(network: &Network) -> Vec<&'static str> {
        let mut caveats = Vec::new();
        if genesis::is_lan(&network.id()) {
            caveats.push("trial network: this is the compiled-in network \"lan\", which anybody near can join");
        }
        if !network.finalises() {
            caveats.push("provisional: nobody finalises in this network, so that enough work could still replace any block");
        }
        caveats
    }

    /// What has to be said about results of elections that admit everybody.
    pub fn open_admission_caveat(
        network: &Network,
        groups: &[crate::chain::genesis::Group],
    ) -> Option<&'static str> {
        let open = matches!(network.open_admission, OpenAdmission::Stamped { .. })
            && groups
                .iter()
                .any(|group| group.as_str() == crate::chain::genesis::OPEN_GROUP);
        open.then_some(
            "open admission: not one person, one vote; anybody may register as often as they like",
        )
    }

    /// The voter's secret.
    pub fn voter(&self) -> Result<VoterId, Failure> {
        if !self.home.has_voter() {
            return Err(Failure::usage(format!(
                "there is no voter file {}: run `ballot register` first, or `ballot voter restore`",
                self.home.voter_file().display()
            )));
        }
        self.home.read_voter(|| self.passphrase().map(Some))
    }

    /// The passphrase that opens a file: from a file or typed in.
    fn passphrase(&self) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.global.passphrase_file {
            return passphrase_file(path);
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "the voter file has a passphrase: name a file that holds it with --passphrase-file, or run ballot on a terminal",
            ));
        }
        rpassword::prompt_password("Passphrase of the voter file: ")
            .map(Zeroizing::new)
            .map_err(Failure::failed)
    }

    /// The passphrase for a new file, asked for twice when typed in; `None` if none is wanted.
    pub fn new_passphrase(&self, wanted: bool) -> Result<Option<Zeroizing<String>>, Failure> {
        if let Some(path) = &self.global.passphrase_file {
            return passphrase_file(path).map(Some);
        }
        if !wanted {
            return Ok(None);
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "a passphrase is asked for on a terminal; elsewhere name a file that holds it with --passphrase-file",
            ));
        }
        let ask = |prompt| {
            rpassword::prompt_password(prompt)
                .map(Zeroizing::new)
                .map_err(Failure::failed)
        };
        let first = ask("New passphrase: ")?;
        if *first != *ask("The same again: ")? {
            return Err(Failure::usage("the two passphrases differ"));
        }
        Ok(Some(first))
    }

    /// How far to follow a transaction in this network.
    pub fn goal(&self, network: &Network) -> Goal {
        match self.global.until {
            Some(Until::Included) => Goal::Included,
            Some(Until::Final) => Goal::Final,
            None if network.finalises() => Goal::Final,
            None => Goal::Included,
        }
    }

    /// Hands transactions in, showing how far they are.
    pub async fn submit(
        &self,
        session: &Session,
        transactions: Vec<crate::chain::transaction::Transaction>,
    ) -> Vec<Submitted> {
        let goal = self.goal(session.network());
        let confirmations = match session.network().finalises() {
            true => 0,
            false => session.network().confirmations,
        };
        self.working("publishing");
        let spinner = self.spinner.clone();
        let outcomes = session
            .submit(transactions, goal, self.deadline, &mut |progress| {
                spinner.set_message(progress_text(progress, goal, confirmations));
            })
            .await;
        self.rest();
        outcomes
    }
}

/// What `--network` names.
enum Named {
    Nothing,
    Genesis(Genesis),
    Id(NetworkId),
}

fn checked(genesis: Genesis) -> Result<Arc<Network>, Failure> {
    Network::new(genesis)
        .map(Arc::new)
        .map_err(|error| Failure::new(Exit::Unverified, format!("unusable genesis: {error}")))
}

fn passphrase_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::usage(format!("--passphrase-file {}: {error}", path.display()))
    };
    let file = crate::files::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    // What comes through a pipe lies nowhere.
    if metadata.is_file() {
        secret_file::check_private(path, &metadata)
            .map_err(|error| Failure::usage(format!("--passphrase-file: {error}")))?;
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_PASSPHRASE_BYTES as usize));
    file.take(MAX_PASSPHRASE_BYTES)
        .read_to_string(&mut text)
        .map_err(wrong)?;
    let first = text.lines().next().unwrap_or_default();
    Ok(Zeroizing::new(first.to_owned()))
}

/// A line for the spinner; no `confirmations` stand in for finality where finalisers decide: "published to 3 nodes · included at height 12 (depth 1)".
pub fn progress_text(progress: &Progress, goal: Goal, confirmations: u64) -> String {
    let mut parts = vec![match progress.held_by {
        0 => "publishing".to_owned(),
        nodes => format!("published to {}", count(nodes as u64, "node", "nodes")),
    }];
    match (progress.total, progress.height) {
        (1, Some(height)) => {
            parts.push(format!(
                "included at height {height} (depth {})",
                progress.depth
            ));
            if goal == Goal::Final {
                parts.push(match confirmations {
                    0 => "waiting until it is final".to_owned(),
                    blocks => format!("waiting until it is {blocks} deep"),
                });
            }
        }
        (1, None) if progress.held_by > 0 => parts.push("waits for a block".to_owned()),
        (1, None) => {}
        (total, _) => parts.push(format!("{} of {total} included", progress.included)),
    }
    if progress.rejected > 0 && progress.total > 1 {
        parts.push(format!("{} refused", progress.rejected));
    }
    if progress.nodes == 0 {
        parts.push("no node is connected, looking for one".to_owned());
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_well() {
        let mut progress = Progress {
            total: 1,
            nodes: 3,
            ..Progress::default()
        };
        let text = |progress: &Progress| progress_text(progress, Goal::Included, 3);
        assert_eq!(text(&progress), "publishing");
        progress.held_by = 3;
        assert_eq!(text(&progress), "published to 3 nodes · waits for a block");
        (progress.height, progress.depth) = (Some(12), 1);
        assert_eq!(
            text(&progress),
            "published to 3 nodes · included at height 12 (depth 1)"
        );
        (progress.total, progress.included, progress.rejected) = (10, 4, 1);
        assert_eq!(
            text(&progress),
            "published to 3 nodes · 4 of 10 included · 1 refused"
        );
    }
}
