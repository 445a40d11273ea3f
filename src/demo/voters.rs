//! A client process of the demo, from inside: it holds voters and does what it is told, line by line.
//!
//! The voters are linked to no node: the process joins the network through bootstrap addresses as `ballot` does, and
//! publishes by gossip. Only where an order says so it hands something to one node.

mod asking;
mod choice;

use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::VotersArguments;
use super::error::DemoError;
use super::orders::{Goal, NodeResult, Order, Place, Report};
use crate::chain::election::{Choices, ElectionId};
use crate::chain::genesis::Genesis;
use crate::chain::invalid::Invalid;
use crate::chain::network::Network;
use crate::chain::sign;
use crate::chain::transaction::{Transaction, TxId};
use crate::client::election_file::{ElectionFile, Timing};
use crate::client::make::Admission;
use crate::client::time::now_ms;
use crate::client::{self, Fate, LinkOptions, Session, SessionOptions, Submitted};
use crate::crypto::{SigningKey, VoterId};
use crate::genesis;
use crate::protocol::submit::{self, Outcome, TxStatus};
use choice::{ELECTION, LEANINGS, count, draw};

/// Bounds every order that has no time of its own.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most problems that are told; they are mostly alike.
const MAX_PROBLEMS: usize = 5;

/// Reads orders from stdin until it ends, and reports on stdout.
pub async fn serve(arguments: &VotersArguments) -> Result<(), DemoError> {
    // Set already only when a test runs several in one process.
    let _ = tracing_subscriber::fmt()
        .with_env_filter("info")
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init();
    let genesis = genesis::read(&arguments.genesis).map_err(DemoError::not_seen)?;
    let mut orders = read_orders();
    let crowd = tokio::select! {
        crowd = Crowd::join(arguments, genesis) => crowd,
        // The demo is gone.
        _ = orders.recv() => return Ok(()),
    };
    let mut crowd = match crowd {
        Ok(crowd) => crowd,
        Err(message) => {
            report(&Report::Failed { message });
            return Ok(());
        }
    };
    report(&Report::Joined {
        nodes: crowd.session.nodes().len(),
    });
    while let Some(order) = orders.recv().await {
        let answer = crowd.carry_out(order).await;
        report(&answer.unwrap_or_else(|message| Report::Failed { message }));
    }
    crowd.session.close().await;
    Ok(())
}

/// A thread that reads orders. When the demo is gone the process ends at once: nobody is left to wait for it.
fn read_orders() -> mpsc::Receiver<Order> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line
                .map_err(|error| error.to_string())
                .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
            match order {
                Ok(order) => {
                    if sender.blocking_send(order).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    eprintln!("an order makes no sense: {error}");
                    break;
                }
            }
        }
        std::process::exit(0);
    });
    receiver
}

fn report(report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    let mut output = io::stdout().lock();
    // Where nobody reads, the demo is gone, and so is this process in a moment.
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

struct Crowd {
    session: Session,
    voters: Vec<VoterId>,
    registrations: Vec<Transaction>,
    /// What each of the first voters chose, in their order.
    chosen: Vec<u8>,
    /// Votes that went to one node only.
    handed_in: Vec<Transaction>,
    /// The votes by gossip of the last order.
    gossiped: Vec<Transaction>,
}

impl Crowd {
    async fn join(arguments: &VotersArguments, genesis: Genesis) -> Result<Self, String> {
        let network = Network::new(genesis).map_err(|error| error.to_string())?;
        let options = SessionOptions {
            network: Arc::new(network),
            link: LinkOptions {
                bootstrap: arguments.bootstrap.clone(),
                listen: Vec::new(),
                mdns: false,
            },
            join_timeout: PATIENCE,
        };
        let voters = (0..arguments.voters).map(|_| VoterId::generate());
        Ok(Self {
            voters: voters
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
            session: Session::join(options)
                .await
                .map_err(|error| error.to_string())?,
            registrations: Vec::new(),
            chosen: Vec::new(),
            handed_in: Vec::new(),
            gossiped: Vec::new(),
        })
    }

    async fn carry_out(&mut self, order: Order) -> Result<Report, String> {
        match order {
            Order::Prepare => self.prepare().await,
            Order::Register { goal, timeout_ms } => {
                let transactions = std::mem::take(&mut self.registrations);
                Ok(self
                    .follow(transactions, Vec::new(), goal, timeout_ms)
                    .await)
            }
            Order::Open {
                open_for_ms,
                goal,
                timeout_ms,
            } => self.open(open_for_ms, goal, timeout_ms).await,
            Order::Vote {
                election,
                voters,
                goal,
                timeout_ms,
            } => self.vote(&election, voters, goal, timeout_ms).await,
            Order::VoteAgain {
                election,
                voters,
                nodes,
            } => self.vote_again(&election, voters, &nodes).await,
            Order::HandIn { election, node } => self.hand_in(&election, &node).await,
            Order::WhoHolds { nodes } => self.who_holds(&nodes).await,
            Order::Follow { goal, timeout_ms } => {
                let transactions = self.handed_in.clone();
                Ok(self.await_goal(transactions, goal, timeout_ms).await)
            }
            Order::Finish { timeout_ms } => {
                let transactions = self.gossiped.clone();
                Ok(self
                    .follow(transactions, Vec::new(), Goal::Final, timeout_ms)
                    .await)
            }
            Order::Results { election, nodes } => self.results(&election, &nodes).await,
        }
    }

    async fn prepare(&mut self) -> Result<Report, String> {
        let voters = self
            .voters
            .iter()
            .map(|voter| (voter.clone(), Admission::Open));
        let made = self.session.make_registrations(voters.collect()).await;
        self.registrations = made.map_err(|error| error.to_string())?;
        Ok(Report::Prepared)
    }

    /// Hands transactions in by gossip and follows them to the goal.
    async fn follow(
        &self,
        transactions: Vec<Transaction>,
        choices: Vec<u64>,
        goal: Goal,
        timeout_ms: u64,
    ) -> Report {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        let mut shown = 0;
        let mut watch = |progress: &crate::client::Progress| {
            if progress.included > shown {
                shown = progress.included;
                report(&Report::Progress { included: shown });
            }
        };
        let outcomes = self
            .session
            .submit(transactions, goal.into(), deadline, &mut watch)
            .await;
        summary(&outcomes, goal, choices)
    }

    async fn open(&self, open_for_ms: u64, goal: Goal, timeout_ms: u64) -> Result<Report, String> {
        let organiser = SigningKey::generate().map_err(|error| error.to_string())?;
        let timing = Timing {
            opens_in: None,
            closes_in: Some(Duration::from_millis(open_for_ms)),
        };
        let terms = ElectionFile::parse(ELECTION)
            .and_then(|file| file.terms(self.session.network().genesis(), timing, now_ms()))
            .map_err(|error| error.to_string())?;
        let closes_at_ms = terms.closes_at_ms;
        let (election, transaction) = self
            .session
            .make_election(&organiser, terms)
            .map_err(|error| error.to_string())?;
        let followed = self.follow(vec![transaction], Vec::new(), goal, timeout_ms);
        match followed.await {
            Report::Followed {
                included: 1,
                heights: Some((height, _)),
                ..
            } => Ok(Report::Opened {
                election: election.to_string(),
                height,
                closes_at_ms,
            }),
            Report::Followed { problems, .. } => Err(problems.join("; ")),
            other => Ok(other),
        }
    }

    async fn vote(
        &mut self,
        election: &str,
        voters: usize,
        goal: Goal,
        timeout_ms: u64,
    ) -> Result<Report, String> {
        let election = parse_election(election)?;
        let voting = self.voters.iter().skip(self.chosen.len()).take(voters);
        let choices = voting
            .clone()
            .map(|_| draw())
            .collect::<Result<Vec<_>, _>>()?;
        self.gossiped = voting
            .zip(&choices)
            .map(|(voter, choice)| self.ballot(voter, election, *choice))
            .collect::<Result<_, _>>()?;
        self.chosen.extend(&choices);
        let votes = self.gossiped.clone();
        Ok(self.follow(votes, count(&choices), goal, timeout_ms).await)
    }

    async fn vote_again(
        &self,
        election: &str,
        voters: usize,
        nodes: &[Place],
    ) -> Result<Report, String> {
        let election = parse_election(election)?;
        let options = LEANINGS.len() as u8 + 1;
        let (mut refused, mut others) = (0, Vec::new());
        let again = self.voters.iter().zip(&self.chosen).take(voters);
        for ((voter, choice), node) in again.zip(nodes.iter().cycle()) {
            let vote = self.ballot(voter, election, (choice + 1) % options)?;
            match self.hand(node, vec![vote]).await?.pop() {
                Some(Outcome::Rejected { reason })
                    if reason.code == Invalid::AlreadyVoted.code() =>
                {
                    refused += 1;
                }
                other => others.push(describe(other.as_ref())),
            }
        }
        Ok(Report::TriedAgain { refused, others })
    }

    async fn hand_in(&mut self, election: &str, node: &Place) -> Result<Report, String> {
        let election = parse_election(election)?;
        let reserve = &self.voters[self.chosen.len()..];
        let choices = reserve
            .iter()
            .map(|_| draw())
            .collect::<Result<Vec<_>, _>>()?;
        self.handed_in = reserve
            .iter()
            .zip(&choices)
            .map(|(voter, choice)| self.ballot(voter, election, *choice))
            .collect::<Result<_, _>>()?;
        let outcomes = self.hand(node, self.handed_in.clone()).await?;
        let is_accepted = |outcome: &&Outcome| matches!(outcome, Outcome::Accepted {});
        let accepted = outcomes.iter().filter(is_accepted).count();
        let others = outcomes.iter().filter(|outcome| !is_accepted(outcome));
        let others = others.map(|outcome| describe(Some(outcome))).collect();
        let peer = self.reach(node).await?;
        let ids: Vec<TxId> = self.handed_in.iter().map(Transaction::id).collect();
        let statuses = self.statuses(peer, &ids).await?;
        let pending = statuses
            .iter()
            .filter(|status| matches!(status, TxStatus::Pending {}));
        Ok(Report::HandedIn {
            accepted,
            pending: pending.count(),
            choices: count(&choices),
            others,
        })
    }

    async fn who_holds(&self, nodes: &[Place]) -> Result<Report, String> {
        let ids: Vec<TxId> = self.handed_in.iter().map(Transaction::id).collect();
        let mut held = Vec::new();
        for node in nodes {
            let peer = self.reach(node).await?;
            let statuses = self.statuses(peer, &ids).await?;
            let known = statuses
                .iter()
                .filter(|status| !matches!(status, TxStatus::Unknown {}));
            held.push(known.count());
        }
        Ok(Report::Holders { held })
    }

    /// Waits until transactions that were handed to one node are in blocks of the network. Nothing is sent again before
    /// they are.
    async fn await_goal(
        &self,
        transactions: Vec<Transaction>,
        goal: Goal,
        timeout_ms: u64,
    ) -> Report {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        let ids: Vec<TxId> = transactions.iter().map(Transaction::id).collect();
        let missing = self.session.wait_included(ids.clone(), deadline).await;
        if goal == Goal::Final && missing.is_empty() {
            return self
                .follow(transactions, Vec::new(), goal, timeout_ms)
                .await;
        }
        let mut heights = None;
        let mut included = 0;
        let mut problems: Vec<String> = missing
            .iter()
            .map(|id| format!("{} is in no block", id.short()))
            .collect();
        for id in ids.into_iter().filter(|id| !missing.contains(id)) {
            match self.session.status(id).await.map(|answer| answer.value) {
                Ok(TxStatus::Included { inclusion, .. } | TxStatus::Final { inclusion, .. }) => {
                    included += 1;
                    heights = widen(heights, inclusion.header.height);
                }
                Ok(_) => problems.push(format!("{} is in no block", id.short())),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems.truncate(MAX_PROBLEMS);
        Report::Followed {
            included,
            heights,
            choices: Vec::new(),
            problems,
        }
    }

    async fn results(&self, election: &str, nodes: &[Place]) -> Result<Report, String> {
        let request = submit::Request::Result {
            election: parse_election(election)?,
        };
        let mut results = Vec::new();
        for node in nodes {
            let peer = self.reach(node).await?;
            let result = match self.ask(peer, &request).await? {
                submit::Reply::Result { result } => result.first().cloned(),
                _ => None,
            };
            let result =
                result.ok_or_else(|| format!("{} does not know the election", node.address))?;
            results.push(NodeResult {
                closing_block: result
                    .closing_block
                    .first()
                    .map(|block| block.id.to_string()),
                checkpoint: result
                    .checkpoint
                    .first()
                    .map(|block| (block.id.to_string(), block.height)),
                votes: result.tally.votes,
                totals: result.tally.totals.to_vec(),
                winners: result.tally.winners.to_vec(),
            });
        }
        Ok(Report::Results { results })
    }

    fn ballot(
        &self,
        voter: &VoterId,
        election: ElectionId,
        choice: u8,
    ) -> Result<Transaction, String> {
        let choices = Choices::new(vec![choice]).map_err(|error| error.to_string())?;
        Ok(sign::cast_vote(
            &self.session.network().id(),
            voter,
            election,
            choices,
        ))
    }
}

impl From<Goal> for client::Goal {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Included => Self::Included,
            Goal::Final => Self::Final,
        }
    }
}

fn summary(outcomes: &[Submitted], goal: Goal, choices: Vec<u64>) -> Report {
    let mut heights = None;
    let mut problems = Vec::new();
    let mut included = 0;
    for outcome in outcomes {
        match &outcome.fate {
            Fate::Included(found) if goal == Goal::Final && found.certificate.is_none() => {
                let height = found.inclusion.header.height;
                problems.push(format!("in block {height}, which is not final"));
            }
            Fate::Included(found) => {
                included += 1;
                heights = widen(heights, found.inclusion.header.height);
            }
            Fate::Rejected { reason } => problems.push(format!("refused: {}", reason.text)),
            Fate::Held { nodes } | Fate::Unknown { nodes } => {
                problems.push(format!("in no block, held by {nodes} nodes"));
            }
        }
    }
    problems.sort();
    problems.dedup();
    problems.truncate(MAX_PROBLEMS);
    Report::Followed {
        included,
        heights,
        choices,
        problems,
    }
}

fn widen(heights: Option<(u64, u64)>, height: u64) -> Option<(u64, u64)> {
    Some(heights.map_or((height, height), |(low, high)| {
        (low.min(height), high.max(height))
    }))
}

fn describe(outcome: Option<&Outcome>) -> String {
    match outcome {
        Some(Outcome::Accepted {}) => "accepted".to_owned(),
        Some(Outcome::Duplicate {}) => "known already".to_owned(),
        Some(Outcome::Busy {}) => "the node is busy".to_owned(),
        Some(Outcome::Rejected { reason }) => format!("refused: {}", reason.text),
        None => "no answer".to_owned(),
    }
}

fn parse_election(text: &str) -> Result<ElectionId, String> {
    text.parse()
        .map_err(|_| format!("{text} is no election id"))
}
