//! The demo's hard case: a node that alone holds votes is killed, and has to bring them back.

use super::everybody::blocks;
use super::{Opened, Story};
use crate::control::Request;
use crate::demo::error::DemoError;
use crate::demo::orders::{Order, Place, Report};

impl Story<'_> {
    /// Cuts a node off, hands it votes that no other node sees, kills it, brings it back.
    pub(super) async fn kill_and_restart(&mut self, election: &Opened) -> Result<usize, DemoError> {
        let others = self.cluster.places_without(Some(self.victim))?;
        let choices = self.cut_off(election, &others).await?;
        self.kill()?;
        self.vote_without_one(election).await?;
        self.restart(&choices, &others).await?;
        Ok(self.reserve())
    }

    /// Hands votes to the node while it sees no other. Returns these votes per option.
    async fn cut_off(
        &mut self,
        election: &Opened,
        others: &[Place],
    ) -> Result<Vec<u64>, DemoError> {
        let victim = self.victim;
        let number = victim + 1;
        let votes = self.reserve();
        self.view.begin(&format!(
            "Node {number} is cut off from the others and takes {votes} votes"
        ));
        let deadline = self.deadline();
        let place = self.cluster.place(victim)?;
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
            nodes: others.to_vec(),
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
        Ok(choices)
    }

    fn kill(&mut self) -> Result<(), DemoError> {
        let number = self.victim + 1;
        self.view.begin(&format!("Node {number} is killed"));
        let process = self.cluster.kill(self.victim)?;
        let finaliser = if self.cluster.finalises(self.victim) {
            ", a finaliser,"
        } else {
            ""
        };
        self.view.done(&format!(
            "Node {number}{finaliser} is killed while it holds them (SIGKILL to process {process})"
        ));
        Ok(())
    }

    /// Brings the node back; the votes that it held get into blocks.
    async fn restart(&mut self, choices: &[u64], others: &[Place]) -> Result<(), DemoError> {
        let victim = self.victim;
        let number = victim + 1;
        let votes = self.reserve();
        let patience = self.time();
        let deadline = self.deadline();
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
            goal: self.goal(),
            timeout_ms: self.timeout_ms(),
        };
        match self.clients[0].ask(&order, patience).await? {
            Report::Followed {
                included, heights, ..
            } if included == votes => {
                for (sum, count) in self.chosen.iter_mut().zip(choices) {
                    *sum += count;
                }
                let mut seen = format!(
                    "Node {number} is back on its data, and its {votes} votes are {}",
                    blocks(heights)
                );
                if self.until_final(heights, &[]).await? {
                    self.final_votes += votes;
                    seen += ", final";
                }
                self.view.done(&seen);
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
        Ok(())
    }
}
