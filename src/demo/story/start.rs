//! The demo's beginning: nodes that find each other, and client processes whose voters make their keys.

use super::Story;
use super::seen::all;
use crate::demo::crowd::{Client, shares};
use crate::demo::error::DemoError;
use crate::demo::orders::{Order, Place, Report};
use crate::demo::watch::Pictures;

/// Voters whom one client process holds, and most such processes.
const VOTERS_PER_CLIENT: usize = 25;
const MAX_CLIENTS: usize = 4;

impl Story<'_> {
    pub(super) async fn start_nodes(&mut self) -> Result<(), DemoError> {
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
        let finalise = match self.arguments.finalisers as usize {
            0 => String::new(),
            all if all == count => "; all finalise".to_owned(),
            1 => "; one finalises".to_owned(),
            some => format!("; {some} finalise"),
        };
        self.view.done(&format!(
            "{count} nodes run, each a process of its own, and found each other{finalise}"
        ));
        Ok(())
    }

    pub(super) async fn start_clients(&mut self) -> Result<(), DemoError> {
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
}
