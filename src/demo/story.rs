//! What happens in the demo, in order, and what has to be seen for it to go on.
//!
//! Every step waits for a condition with a deadline and checks what it claims. Polls stay open for as long as this
//! machine needs, judged by how long the registrations took.
//!
//! | file | holds |
//! |---|---|
//! | `start` | nodes and client processes come up |
//! | `voting`, `everybody` | the crowd registers and votes, all at once |
//! | `kill` | a node is cut off, killed and brought back |
//! | `finality` | finalisers are missing, one and then too many, and come back |
//! | `close`, `audit` | one result on every node, and from the exported chain |
//! | `seen` | the conditions that steps wait for |

mod audit;
mod close;
mod everybody;
mod finality;
mod kill;
mod seen;
mod start;
mod voting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::Instant as Deadline;

use super::DemoArguments;
use super::cluster::Cluster;
use super::crowd::Client;
use super::error::DemoError;
use super::meter::Meter;
use super::outcome::{OptionOutcome, Outcome};
use super::view::View;
use super::workspace::Workspace;
use crate::chain::genesis::Genesis;
use audit::Audited;
use seen::{full_disk, one_tip};

/// How long a step may take that does not depend on the number of voters. On any machine it takes seconds.
const STEP_TIME: Duration = Duration::from_secs(90);
/// What a voter adds to the time of a step.
const VOTER_TIME: Duration = Duration::from_millis(60);
/// Polls are open at least so long.
const OPEN_LEAST: Duration = Duration::from_secs(10);
/// And so much longer where more finalisers are killed than may be missing: it takes some seconds until that is said.
const OUTAGE_LEAST: Duration = Duration::from_secs(4);

/// The election that was opened.
struct Opened {
    id: String,
    closes_at_ms: u64,
}

/// A demo under way. Its processes end when it is dropped.
pub struct Story<'a> {
    arguments: &'a DemoArguments,
    workspace: &'a Workspace,
    view: &'a View,
    genesis: Genesis,
    cluster: Cluster<'a>,
    clients: Vec<Client>,
    /// Who is killed.
    victim: usize,
    /// Votes per option, as the voters chose.
    chosen: Vec<u64>,
    /// Votes seen to be final.
    final_votes: usize,
    result_is_final: bool,
    meter: Arc<Mutex<Meter>>,
}

impl<'a> Story<'a> {
    /// Prepares a demo: writes the genesis of its network.
    pub fn new(
        arguments: &'a DemoArguments,
        workspace: &'a Workspace,
        view: &'a View,
    ) -> Result<Self, DemoError> {
        let nodes = arguments.nodes as usize;
        let finalisers = arguments.finalisers as usize;
        // Where one finaliser may be missing it is one that is killed.
        let victim = match finalisers {
            4.. => finalisers,
            _ => nodes,
        } - 1;
        Ok(Self {
            arguments,
            workspace,
            view,
            genesis: workspace.write_genesis(finalisers)?,
            cluster: Cluster::new(workspace, nodes, victim, finalisers),
            clients: Vec::new(),
            victim,
            chosen: Vec::new(),
            final_votes: 0,
            result_is_final: false,
            meter: Arc::default(),
        })
    }

    /// Runs it to its end.
    pub async fn run(&mut self) -> Result<Outcome, DemoError> {
        let mut pictures = self.cluster.watch();
        let view = self.view;
        let meter = Arc::clone(&self.meter);
        // Shows the nodes, times their blocks, and notices what no step waits for: a full disk would only make every step late.
        let watched = async {
            loop {
                let now = pictures.borrow_and_update().clone();
                lock(&meter).look(&now);
                view.nodes(&now);
                if let Some(error) = full_disk(&now) {
                    break error;
                }
                if pictures.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let ended = tokio::select! {
            ended = self.steps() => ended,
            error = watched => Err(error),
        };
        ended.map_err(|error| match view.step() {
            Some(step) => error.during(&step),
            None => error,
        })
    }

    async fn steps(&mut self) -> Result<Outcome, DemoError> {
        let begun = Instant::now();
        self.start_nodes().await?;
        self.start_clients().await?;
        let starting = begun.elapsed();
        let registering = self.register().await?;
        // A node has to start again and to find the others, and as many votes follow as registrations came.
        let mut open_for = OPEN_LEAST + 2 * starting + 2 * registering;
        if self.late() > 0 {
            open_for += OUTAGE_LEAST + starting;
        }
        let election = self.open(open_for).await?;
        self.vote(&election).await?;
        let refused = self.vote_again(&election).await?;
        let kept = self.kill_and_restart(&election).await?;
        self.outage(&election).await?;
        let result = self.close(&election).await?;
        let audited = self.audit(&election, &result).await?;
        let outcome = self.outcome(&election, refused, kept, audited);
        self.stop().await?;
        Ok(outcome)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        lock(&self.meter)
    }

    fn time(&self) -> Duration {
        STEP_TIME + VOTER_TIME * self.arguments.voters
    }

    fn deadline(&self) -> Deadline {
        Deadline::now() + self.time()
    }

    fn timeout_ms(&self) -> u64 {
        u64::try_from(self.time().as_millis()).unwrap_or(u64::MAX)
    }

    /// The height that the first node to answer tells; 0 if none does.
    fn height(&self) -> u64 {
        let pictures = self.cluster.pictures();
        let first = pictures.iter().flatten().next();
        first.map_or(0, |picture| picture.tip.height)
    }

    async fn stop(&mut self) -> Result<(), DemoError> {
        self.view.begin("All processes end");
        self.clients.clear();
        self.cluster.check_processes()?;
        self.cluster.stop().await?;
        self.view.done("All processes ended in order");
        Ok(())
    }

    fn outcome(&self, election: &Opened, refused: usize, kept: usize, audited: Audited) -> Outcome {
        let Audited {
            registrations,
            elections,
            ..
        } = audited;
        let counted = elections.into_iter().next();
        Outcome {
            nodes: self.arguments.nodes,
            voters: self.arguments.voters,
            clients: self.clients.len(),
            registered: registrations.iter().map(|group| group.voters).sum(),
            votes_counted: counted.as_ref().map_or(0, |counted| counted.votes),
            duplicates_rejected: refused,
            killed: self.cluster.killed(),
            finalisers: self.arguments.finalisers,
            finalisers_killed: self.cluster.finalisers_killed(),
            is_final: self.result_is_final && self.final_votes == self.arguments.voters as usize,
            finality_ms: self.meter().spread(),
            kept_votes: kept,
            by_lot: counted.as_ref().is_some_and(|counted| counted.by_lot),
            tips_agree: one_tip(&self.cluster.pictures()),
            audit_ok: audited.ok,
            question: counted
                .as_ref()
                .map(|counted| counted.question.clone())
                .unwrap_or_default(),
            results: counted
                .into_iter()
                .flat_map(|counted| counted.options)
                .map(|option| OptionOutcome {
                    option: option.name,
                    votes: option.total,
                    elected: option.seat.is_some(),
                })
                .collect(),
            blocks: self.height(),
            network: self.genesis.network_id().to_string(),
            election: election.id.clone(),
            seconds: 0.0,
            directory: None,
        }
    }
}

fn lock(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}
