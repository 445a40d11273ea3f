//! What happens in the demo, in order, and what has to be seen for it to go on.
//!
//! Every step waits for a condition with a deadline and checks what it claims. Polls stay open for as long as this
//! machine needs, judged by how long the registrations took.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::time::Instant as Deadline;

use super::DemoArguments;
use super::cluster::Cluster;
use super::crowd::{Client, shares};
use super::error::{DemoError, Problem};
use super::orders::{NodeResult, Order, Place, Report};
use super::outcome::{OptionOutcome, Outcome};
use super::tools;
use super::view::View;
use super::watch::{Picture, Pictures};
use super::workspace::Workspace;
use crate::chain::genesis::Genesis;
use crate::control::Request;

/// Voters who try a second time.
const SECOND_TRIES: usize = 12;
/// Voters whose votes only the node that is killed holds.
const RESERVE: usize = 12;
/// Voters whom one client process holds, and most such processes.
const VOTERS_PER_CLIENT: usize = 25;
const MAX_CLIENTS: usize = 4;

/// How long a step may take that does not depend on the number of voters. On any machine it takes seconds.
const STEP_TIME: Duration = Duration::from_secs(90);
/// What a voter adds to the time of a step.
const VOTER_TIME: Duration = Duration::from_millis(60);
/// Polls are open at least so long.
const OPEN_LEAST: Duration = Duration::from_secs(10);

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
}

/// The part of an audit's report that the demo compares.
#[derive(Debug, Deserialize)]
struct Audited {
    ok: bool,
    registrations: Vec<AuditedRegistrations>,
    elections: Vec<AuditedElection>,
}

#[derive(Debug, Deserialize)]
struct AuditedRegistrations {
    voters: u64,
}

#[derive(Debug, Deserialize)]
struct AuditedElection {
    election: String,
    question: String,
    votes: u64,
    by_lot: bool,
    options: Vec<AuditedOption>,
}

#[derive(Debug, Deserialize)]
struct AuditedOption {
    name: String,
    total: u64,
    seat: Option<u64>,
}

impl<'a> Story<'a> {
    /// Prepares a demo: writes the genesis of its network.
    pub fn new(
        arguments: &'a DemoArguments,
        workspace: &'a Workspace,
        view: &'a View,
    ) -> Result<Self, DemoError> {
        let nodes = arguments.nodes as usize;
        let victim = nodes - 1;
        Ok(Self {
            arguments,
            workspace,
            view,
            genesis: workspace.write_genesis()?,
            cluster: Cluster::new(workspace, nodes, victim),
            clients: Vec::new(),
            victim,
            chosen: Vec::new(),
        })
    }

    /// Runs it to its end.
    pub async fn run(&mut self) -> Result<Outcome, DemoError> {
        let mut pictures = self.cluster.watch();
        let view = self.view;
        // Shows the nodes, and notices what no step waits for: a full disk would only make every step late.
        let watched = async {
            loop {
                let now = pictures.borrow_and_update().clone();
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
        let open_for = OPEN_LEAST + 2 * starting + 2 * registering;
        let election = self.open(open_for).await?;
        self.vote(&election).await?;
        let refused = self.vote_again(&election).await?;
        let kept = self.kill_and_restart(&election).await?;
        let result = self.close(&election).await?;
        let audited = self.audit(&election, &result).await?;
        let outcome = self.outcome(&election, refused, kept, audited);
        self.stop().await?;
        Ok(outcome)
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

    async fn start_nodes(&mut self) -> Result<(), DemoError> {
        let count = self.cluster.len();
        self.view
            .begin(&format!("{count} nodes start, each a process of its own"));
        let deadline = self.deadline();
        self.cluster.start(0, &[])?;
        let first = |pictures: &Pictures| {
            pictures[0]
                .as_ref()
                .is_some_and(|p| !p.listening.is_empty())
        };
        self.cluster
            .wait("that the first node listens", deadline, first)
            .await?;
        let first = self.cluster.place(0)?;
        for index in 1..count {
            self.cluster.start(index, std::slice::from_ref(&first))?;
        }
        // With many nodes not everyone is linked with everyone; three links each make one network.
        let links = (count - 1).min(3);
        self.cluster
            .wait("that all nodes found each other", deadline, |pictures| {
                all(pictures, |picture| {
                    picture.peers >= links && !picture.syncing
                })
            })
            .await?;
        self.view.done(&format!(
            "{count} nodes run, each a process of its own, and found each other"
        ));
        Ok(())
    }

    async fn start_clients(&mut self) -> Result<(), DemoError> {
        let voters = self.arguments.voters as usize;
        let count = voters.div_ceil(VOTERS_PER_CLIENT).clamp(2, MAX_CLIENTS);
        self.view.begin(&format!(
            "{voters} voters in {count} client processes join and make their keys"
        ));
        let deadline = self.deadline();
        let places = self.cluster.places_without(None)?;
        for (number, share) in (1..).zip(shares(voters, count)) {
            // Two doors into the network each, and not the same for all.
            let doors: Vec<Place> = places
                .iter()
                .cycle()
                .skip(number)
                .take(2)
                .cloned()
                .collect();
            self.clients
                .push(Client::start(self.workspace, number, share, &doors)?);
        }
        for client in &mut self.clients {
            match client.report(deadline).await? {
                Report::Joined { .. } => {}
                other => return Err(client.unfit(&other)),
            }
            client.order(&Order::Prepare)?;
        }
        for client in &mut self.clients {
            match client.report(deadline).await? {
                Report::Prepared => {}
                other => return Err(client.unfit(&other)),
            }
        }
        self.view.done(&format!(
            "{voters} voters made their keys, in {count} client processes linked to no node"
        ));
        Ok(())
    }

    async fn register(&mut self) -> Result<Duration, DemoError> {
        let voters = self.arguments.voters as usize;
        self.view
            .begin(&format!("{voters} voters register at the same moment"));
        let begun = Instant::now();
        let timeout_ms = self.timeout_ms();
        let orders = vec![Order::Register { timeout_ms }; self.clients.len()];
        let (_, heights) = self.everybody(&orders, voters).await?;
        let roll = voters as u64;
        let deadline = self.deadline();
        self.cluster
            .wait(
                "that every node has all registrations",
                deadline,
                |pictures| all(pictures, |picture| picture.tip.roll_size == roll),
            )
            .await?;
        self.view.done(&format!(
            "{voters} registrations at the same moment: all are on every node, {}",
            blocks(heights)
        ));
        Ok(begun.elapsed())
    }

    async fn open(&mut self, open_for: Duration) -> Result<Opened, DemoError> {
        self.view.begin("An election is opened");
        let order = Order::Open {
            open_for_ms: u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX),
            timeout_ms: self.timeout_ms(),
        };
        let patience = self.time();
        let opened = match self.clients[0].ask(&order, patience).await? {
            Report::Opened {
                election,
                height,
                closes_at_ms,
            } => {
                let deadline = self.deadline();
                self.cluster
                    .wait("that every node has the election", deadline, |pictures| {
                        all(pictures, |picture| picture.tip.height >= height)
                    })
                    .await?;
                self.view.done(&format!(
                    "An election is open, in block {height}; polls close in {} seconds",
                    seconds_until(closes_at_ms)
                ));
                Opened {
                    id: election,
                    closes_at_ms,
                }
            }
            other => return Err(self.clients[0].unfit(&other)),
        };
        Ok(opened)
    }

    /// Voters who do not vote by gossip: the last ones of the first client.
    fn reserve(&self) -> usize {
        RESERVE.min(self.clients[0].voters / 2)
    }

    async fn vote(&mut self, election: &Opened) -> Result<(), DemoError> {
        let reserve = self.reserve();
        let voting = self.arguments.voters as usize - reserve;
        self.view.begin(&format!("{voting} voters vote by gossip"));
        let timeout_ms = self.timeout_ms();
        let orders: Vec<Order> = (0..self.clients.len())
            .map(|index| Order::Vote {
                election: election.id.clone(),
                reserve: if index == 0 { reserve } else { 0 },
                timeout_ms,
            })
            .collect();
        let (chosen, heights) = self.everybody(&orders, voting).await?;
        self.chosen = chosen;
        self.view
            .done(&format!("{voting} votes by gossip, {}", blocks(heights)));
        Ok(())
    }

    async fn vote_again(&mut self, election: &Opened) -> Result<usize, DemoError> {
        let voted: Vec<usize> = self.clients.iter().map(|client| client.voters).collect();
        let wanted = SECOND_TRIES.min(self.arguments.voters as usize - self.reserve());
        self.view.begin(&format!(
            "{wanted} voters try a second time, with another choice at another node"
        ));
        // The nodes have the first votes in their chains when all have the tip that is highest now.
        let highest = self
            .cluster
            .pictures()
            .iter()
            .flatten()
            .map(|picture| picture.tip.height)
            .max();
        let deadline = self.deadline();
        self.cluster
            .wait("that all nodes have the votes", deadline, |pictures| {
                all(pictures, |picture| {
                    Some(picture.tip.height) >= highest && picture.mempool_is_without("vote")
                })
            })
            .await?;
        let nodes = self.cluster.places_without(None)?;
        let patience = self.time();
        let mut refused = 0;
        // The last clients' voters all voted; the first keeps some in reserve.
        let mut left = wanted;
        for index in (0..self.clients.len()).rev() {
            let able = voted[index] - if index == 0 { self.reserve() } else { 0 };
            let voters = left.min(able);
            if voters == 0 {
                continue;
            }
            left -= voters;
            let order = Order::VoteAgain {
                election: election.id.clone(),
                voters,
                nodes: nodes.clone(),
            };
            match self.clients[index].ask(&order, patience).await? {
                Report::TriedAgain {
                    refused: count,
                    others,
                } if others.is_empty() => refused += count,
                Report::TriedAgain { others, .. } => {
                    return Err(DemoError::not_seen(format!(
                        "a second vote was not refused for being one: {}",
                        others.join("; ")
                    )));
                }
                other => return Err(self.clients[index].unfit(&other)),
            }
        }
        if refused != wanted {
            return Err(DemoError::not_seen(format!(
                "{refused} of {wanted} second votes were refused"
            )));
        }
        self.view.done(&format!(
            "{refused} second votes, with another choice at another node: all refused"
        ));
        Ok(refused)
    }

    /// Cuts a node off, hands it votes that no other node sees, kills it, brings it back.
    async fn kill_and_restart(&mut self, election: &Opened) -> Result<usize, DemoError> {
        let victim = self.victim;
        let number = victim + 1;
        let votes = self.reserve();
        self.view.begin(&format!(
            "Node {number} is cut off from the others and takes {votes} votes"
        ));
        let deadline = self.deadline();
        let place = self.cluster.place(victim)?;
        let others = self.cluster.places_without(Some(victim))?;
        let ban = others.iter().map(|other| Request::Ban {
            peer: other.peer.clone(),
        });
        self.cluster.ask(victim, ban.collect()).await?;
        self.cluster
            .wait("that the node is cut off", deadline, |pictures| {
                pictures[victim]
                    .as_ref()
                    .is_some_and(|picture| picture.peers == 0)
            })
            .await?;
        let patience = self.time();
        let order = Order::HandIn {
            election: election.id.clone(),
            node: place.clone(),
        };
        let choices = match self.clients[0].ask(&order, patience).await? {
            Report::HandedIn {
                accepted,
                pending,
                choices,
                ..
            } if accepted == votes && pending == votes => choices,
            Report::HandedIn {
                accepted,
                pending,
                others,
                ..
            } => {
                return Err(DemoError::not_seen(format!(
                    "node {number} acknowledged {accepted} of {votes} votes, {pending} wait: {}",
                    others.join("; ")
                )));
            }
            other => return Err(self.clients[0].unfit(&other)),
        };
        let order = Order::WhoHolds {
            nodes: others.clone(),
        };
        match self.clients[0].ask(&order, patience).await? {
            Report::Holders { held } if held.iter().all(|count| *count == 0) => {}
            Report::Holders { held } => {
                return Err(DemoError::not_seen(format!(
                    "other nodes hold votes that only node {number} was given: {held:?}"
                )));
            }
            other => return Err(self.clients[0].unfit(&other)),
        }
        self.view.done(&format!(
            "Node {number}, cut off, acknowledged {votes} votes; no other node has them, no block"
        ));

        self.view.begin(&format!("Node {number} is killed"));
        let process = self.cluster.kill(victim)?;
        self.view.done(&format!(
            "Node {number} is killed while it holds them (SIGKILL to process {process})"
        ));

        self.view
            .begin(&format!("Node {number} starts again on its data"));
        self.cluster.start(victim, &others[..1])?;
        self.cluster
            .wait("that the node is back", deadline, |pictures| {
                pictures[victim].is_some()
            })
            .await?;
        let unban = others.iter().map(|other| Request::Unban {
            peer: other.peer.clone(),
        });
        self.cluster.ask(victim, unban.collect()).await?;
        self.cluster
            .wait("that the node finds the others", deadline, |pictures| {
                pictures[victim]
                    .as_ref()
                    .is_some_and(|picture| picture.peers > 0)
            })
            .await?;
        let order = Order::Follow {
            timeout_ms: self.timeout_ms(),
        };
        match self.clients[0].ask(&order, patience).await? {
            Report::Followed {
                included, heights, ..
            } if included == votes => {
                for (sum, count) in self.chosen.iter_mut().zip(&choices) {
                    *sum += count;
                }
                self.view.done(&format!(
                    "Node {number} is back on its data, and its {votes} votes are {}",
                    blocks(heights)
                ));
            }
            Report::Followed {
                included, problems, ..
            } => {
                return Err(DemoError::not_seen(format!(
                    "{included} of the {votes} votes that node {number} had acknowledged got into blocks: {}",
                    problems.join("; ")
                )));
            }
            other => return Err(self.clients[0].unfit(&other)),
        }
        Ok(votes)
    }

    async fn close(&mut self, election: &Opened) -> Result<NodeResult, DemoError> {
        self.view.begin("Polls close");
        let closed_from = election.closes_at_ms + self.genesis.close_grace_ms;
        let left = Duration::from_millis(closed_from.saturating_sub(now_ms()));
        let deadline = self.deadline() + left;
        let view = self.view;
        self.cluster
            .wait(
                "that all nodes rest on one tip after the polls",
                deadline,
                |pictures| {
                    view.status(match seconds_until(election.closes_at_ms) {
                        0 => "Polls are closed; the closing block is due".to_owned(),
                        seconds => format!("Polls close in {seconds} s"),
                    });
                    one_tip(pictures)
                        && all(pictures, |picture| {
                            picture.tip.timestamp_ms >= closed_from
                                && picture.waiting() == 0
                                && picture.rests()
                        })
                },
            )
            .await?;
        let order = Order::Results {
            election: election.id.clone(),
            nodes: self.cluster.places_without(None)?,
        };
        let patience = self.time();
        let results = match self.clients[0].ask(&order, patience).await? {
            Report::Results { results } => results,
            other => return Err(self.clients[0].unfit(&other)),
        };
        let Some(result) = results.first().cloned() else {
            return Err(DemoError::not_seen("no node tells a result"));
        };
        if results.len() != self.cluster.len() || results.iter().any(|other| *other != result) {
            return Err(DemoError::not_seen(format!(
                "the nodes tell different results: {results:?}"
            )));
        }
        if result.closing_block.is_none() {
            return Err(DemoError::not_seen("the nodes know no closing block"));
        }
        if result.totals != self.chosen || result.votes != u64::from(self.arguments.voters) {
            return Err(DemoError::not_seen(format!(
                "the nodes count {:?}, and the voters chose {:?}",
                result.totals, self.chosen
            )));
        }
        let tip = self
            .cluster
            .pictures()
            .into_iter()
            .flatten()
            .next()
            .map(|picture| picture.tip);
        self.view.done(&format!(
            "Polls closed: {} nodes on one tip, block {}, and one result, the voters' own",
            self.cluster.len(),
            tip.map_or(0, |tip| tip.height),
        ));
        Ok(result)
    }

    /// Exports the chain from the node that was killed and audits the file.
    async fn audit(
        &mut self,
        election: &Opened,
        result: &NodeResult,
    ) -> Result<Audited, DemoError> {
        self.view.begin("The chain is exported and audited");
        let (directory, file) = (
            self.workspace.node_dir(self.victim + 1),
            self.workspace.export(),
        );
        let (code, line) = tools::run(self.workspace, "export", |command| {
            command
                .arg("export")
                .arg("--json")
                .arg("--data-dir")
                .arg(&directory)
                .arg(&file);
        })
        .await?;
        if code != Some(0) {
            return Err(self.tool_failed("export", code, &line));
        }
        let genesis = self.workspace.genesis();
        let (code, line) = tools::run(self.workspace, "audit", |command| {
            command
                .arg("audit")
                .arg("--json")
                .arg("--network")
                .arg(&genesis)
                .arg(&file);
        })
        .await?;
        if code != Some(0) {
            return Err(self.tool_failed("audit", code, &line));
        }
        let audited: Audited = serde_json::from_str(&line).map_err(|error| {
            DemoError::not_seen(format!("the audit's report makes no sense: {error}"))
        })?;
        let voters = u64::from(self.arguments.voters);
        let registered: u64 = audited.registrations.iter().map(|group| group.voters).sum();
        let counted = audited.elections.first().filter(|counted| {
            let totals: Vec<u64> = counted.options.iter().map(|option| option.total).collect();
            counted.election == election.id
                && counted.votes == result.votes
                && totals == result.totals
        });
        if !audited.ok || registered != voters || counted.is_none() || audited.elections.len() != 1
        {
            return Err(DemoError::not_seen(format!(
                "the audit finds another election than the nodes tell: {audited:?}"
            )));
        }
        self.view.done(&format!(
            "The chain, exported from node {}, passes the audit with this result",
            self.victim + 1
        ));
        Ok(audited)
    }

    fn tool_failed(&self, name: &str, code: Option<i32>, line: &str) -> DemoError {
        let words = tools::last_line(&self.workspace.log(name)).unwrap_or_else(|| line.to_owned());
        let code = code.map_or("a signal".to_owned(), |code| format!("code {code}"));
        DemoError::not_seen(format!("`votenode {name}` ended with {code}: {words}"))
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
        let tip = self
            .cluster
            .pictures()
            .into_iter()
            .flatten()
            .next()
            .map(|picture| picture.tip);
        Outcome {
            nodes: self.arguments.nodes,
            voters: self.arguments.voters,
            clients: self.clients.len(),
            registered: registrations.iter().map(|group| group.voters).sum(),
            votes_counted: counted.as_ref().map_or(0, |counted| counted.votes),
            duplicates_rejected: refused,
            killed: self.cluster.killed(),
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
            blocks: tip.map_or(0, |tip| tip.height),
            network: self.genesis.network_id().to_string(),
            election: election.id.clone(),
            seconds: 0.0,
            directory: None,
        }
    }

    /// Gives every client its order at once and follows their transactions, `expected` altogether, into blocks. Returns
    /// the votes per option, and the lowest and highest block.
    async fn everybody(
        &mut self,
        orders: &[Order],
        expected: usize,
    ) -> Result<(Vec<u64>, Option<(u64, u64)>), DemoError> {
        self.view.expect(expected);
        // Longer than the clients' own time, so that it is they who say what is missing.
        let deadline = self.deadline() + STEP_TIME;
        for (client, order) in self.clients.iter_mut().zip(orders) {
            client.order(order)?;
        }
        let view = self.view;
        let shown = std::cell::RefCell::new(vec![0; self.clients.len()]);
        let follow = |index: usize, included: usize| {
            let mut shown = shown.borrow_mut();
            shown[index] = included;
            view.position(shown.iter().sum());
        };
        let mut done = Vec::new();
        let followed = self.clients.iter_mut().enumerate().map(|(index, client)| {
            let follow = &follow;
            async move {
                loop {
                    match client.report(deadline).await? {
                        Report::Progress { included } => follow(index, included),
                        report => return Ok::<_, DemoError>((client, report)),
                    }
                }
            }
        });
        for ended in join_all(followed).await {
            done.push(ended?);
        }
        let mut chosen = Vec::new();
        let mut heights: Option<(u64, u64)> = None;
        let mut sum = 0;
        for (client, report) in done {
            let Report::Followed {
                included,
                heights: seen,
                choices,
                problems,
            } = report
            else {
                return Err(client.unfit(&report));
            };
            if !problems.is_empty() {
                return Err(DemoError::not_seen(problems.join("; ")));
            }
            sum += included;
            chosen.resize(chosen.len().max(choices.len()), 0);
            for (sum, count) in chosen.iter_mut().zip(choices) {
                *sum += count;
            }
            heights = match (heights, seen) {
                (Some((low, high)), Some((from, to))) => Some((low.min(from), high.max(to))),
                (known, seen) => known.or(seen),
            };
        }
        if sum != expected {
            return Err(DemoError::not_seen(format!(
                "{sum} of {expected} got into blocks"
            )));
        }
        Ok((chosen, heights))
    }
}

/// Waits for all of a few futures.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Whether every node answers and fulfils the condition.
fn all(pictures: &Pictures, condition: impl Fn(&Picture) -> bool) -> bool {
    pictures
        .iter()
        .all(|picture| picture.as_ref().is_some_and(&condition))
}

/// Whether every node answers and all have the same best block.
fn one_tip(pictures: &Pictures) -> bool {
    let first = pictures.first().and_then(Option::as_ref);
    first.is_some_and(|first| all(pictures, |picture| picture.tip == first.tip))
}

/// What a node says whose disk is full.
fn full_disk(pictures: &Pictures) -> Option<DemoError> {
    let full = |picture: &Option<Picture>| picture.as_ref().is_some_and(|p| p.disk_full);
    let index = pictures.iter().position(full)?;
    let mut error = DemoError::not_seen(format!("the disk is full, says node {}", index + 1));
    error.problem = Problem::DiskFull;
    Some(error)
}

fn blocks(heights: Option<(u64, u64)>) -> String {
    match heights {
        None => "in no block".to_owned(),
        Some((low, high)) if low == high => format!("in block {low}"),
        Some((low, high)) => format!("in blocks {low} to {high}"),
    }
}

fn seconds_until(time_ms: u64) -> u64 {
    time_ms.saturating_sub(now_ms()).div_ceil(1_000)
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
