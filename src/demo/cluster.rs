//! The nodes: processes of this program with the flags that anybody would use, on loopback.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::child::Process;
use super::error::DemoError;
use super::orders::Place;
use super::tools::last_line;
use super::watch::{Picture, Pictures, Watcher};
use super::workspace::{Workspace, node_name};
use crate::control::{Client, Request};
use crate::datadir::DataPaths;

/// How often it is looked whether a node has ended that should not.
const LOOK: Duration = Duration::from_millis(200);
/// How long a node may take to end in order.
const END_TIME: Duration = Duration::from_secs(20);

/// A node, whether it runs or not.
#[derive(Debug)]
struct Node {
    name: String,
    dir: PathBuf,
    mine: bool,
    /// The key with which it finalises, if it does.
    finaliser_key: Option<PathBuf>,
    /// Where it listens, once that is known: a node that comes back is found where it was.
    listen: String,
    process: Option<Process>,
    watcher: Option<Watcher>,
}

/// All nodes. They end when this is dropped.
#[derive(Debug)]
pub struct Cluster<'a> {
    workspace: &'a Workspace,
    nodes: Vec<Node>,
    killed: u32,
    finalisers_killed: u32,
    sender: watch::Sender<Pictures>,
    pictures: watch::Receiver<Pictures>,
}

impl<'a> Cluster<'a> {
    /// Plans so many nodes, of which all mine but the one with the index `idle`, and the first ones finalise.
    pub fn new(workspace: &'a Workspace, count: usize, idle: usize, finalisers: usize) -> Self {
        let nodes = (0..count).map(|index| Node {
            name: node_name(index + 1),
            dir: workspace.node_dir(index + 1),
            mine: index != idle,
            finaliser_key: (index < finalisers).then(|| workspace.finaliser_key(index + 1)),
            listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
            process: None,
            watcher: None,
        });
        let (sender, pictures) = watch::channel(vec![None; count]);
        Self {
            workspace,
            nodes: nodes.collect(),
            killed: 0,
            finalisers_killed: 0,
            sender,
            pictures,
        }
    }

    /// Starts the process of a node.
    pub fn start(&mut self, index: usize, bootstrap: &[Place]) -> Result<(), DemoError> {
        let node = &self.nodes[index];
        let path = self.workspace.log(&format!("node-{}", index + 1));
        // A node that comes back goes on with its log.
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path);
        let log = log.map_err(|error| DemoError::file("write", &path, &error))?;
        let arguments = |command: &mut std::process::Command| {
            command
                .arg("--network")
                .arg(self.workspace.genesis())
                .arg("--config")
                .arg(self.workspace.config())
                .arg("--data-dir")
                .arg(&node.dir)
                .args(["--listen", &node.listen])
                .args(["--http", "127.0.0.1:0", "--no-mdns"]);
            if !node.mine {
                command.arg("--no-mine");
            }
            if let Some(key) = &node.finaliser_key {
                command.arg("--finaliser-key").arg(key);
            }
            for place in bootstrap {
                command.args(["--bootstrap", &place.address]);
            }
        };
        let process = Process::start(&node.name, arguments, Stdio::null(), log)?;
        let socket = DataPaths::new(&node.dir).control_socket();
        let watcher = Watcher::start(index, socket, self.sender.clone());
        let node = &mut self.nodes[index];
        node.process = Some(process);
        node.watcher = Some(watcher);
        Ok(())
    }

    /// Waits until all nodes' pictures fulfil a condition. What is waited for is told if it does not come, and so is a
    /// node that ended.
    pub async fn wait(
        &mut self,
        what: &str,
        deadline: Instant,
        mut condition: impl FnMut(&Pictures) -> bool,
    ) -> Result<Pictures, DemoError> {
        loop {
            let pictures = self.pictures.borrow_and_update().clone();
            if condition(&pictures) {
                return Ok(pictures);
            }
            self.check_processes()?;
            let now = Instant::now();
            if now >= deadline {
                return Err(DemoError::not_seen(format!(
                    "{what} was not seen in time; {}",
                    told(&pictures)
                )));
            }
            // Nothing changed for a moment: look at the processes and the time again.
            let _ = timeout_at(deadline.min(now + LOOK), self.pictures.changed()).await;
        }
    }

    /// Whether every node that should run runs.
    pub fn check_processes(&mut self) -> Result<(), DemoError> {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let Some(status) = node.process.as_mut().and_then(Process::ended) else {
                continue;
            };
            let log = self.workspace.log(&format!("node-{}", index + 1));
            let words = last_line(&log).unwrap_or_default();
            return Err(DemoError::not_seen(format!(
                "{} ended by itself ({status}): {words}",
                node.name
            )));
        }
        Ok(())
    }

    /// The nodes' pictures as of now.
    pub fn pictures(&self) -> Pictures {
        self.pictures.borrow().clone()
    }

    /// A receiver of its own, for a display.
    pub fn watch(&self) -> watch::Receiver<Pictures> {
        self.pictures.clone()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes that were killed.
    pub fn killed(&self) -> u32 {
        self.killed
    }

    /// How often a finaliser's node was killed.
    pub fn finalisers_killed(&self) -> u32 {
        self.finalisers_killed
    }

    /// Whether a node finalises.
    pub fn finalises(&self, index: usize) -> bool {
        self.nodes[index].finaliser_key.is_some()
    }

    /// Where a node is; it must have answered once.
    pub fn place(&self, index: usize) -> Result<Place, DemoError> {
        let pictures = self.pictures.borrow();
        let found = pictures[index].as_ref().and_then(|picture| {
            Some(Place {
                peer: picture.peer_id.clone(),
                address: picture.listening.first()?.clone(),
            })
        });
        found.ok_or_else(|| {
            DemoError::not_seen(format!("node {} does not say where it listens", index + 1))
        })
    }

    /// Where all nodes are but the one with this index.
    pub fn places_without(&self, index: Option<usize>) -> Result<Vec<Place>, DemoError> {
        (0..self.len())
            .filter(|other| Some(*other) != index)
            .map(|other| self.place(other))
            .collect()
    }

    /// Asks a node over its control socket, as `votenode ban` does.
    pub async fn ask(&self, index: usize, requests: Vec<Request>) -> Result<(), DemoError> {
        let socket = DataPaths::new(&self.nodes[index].dir).control_socket();
        let asked = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(&socket)?;
            for request in &requests {
                client.ask(request)?;
            }
            Ok::<_, crate::control::ClientError>(())
        });
        match asked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DemoError::not_seen(format!("node {}: {error}", index + 1))),
            Err(error) => Err(DemoError::not_seen(error)),
        }
    }

    /// Kills a node with SIGKILL and returns its process id. Its data stays where it is.
    pub fn kill(&mut self, index: usize) -> Result<u32, DemoError> {
        let listen = self.place(index)?.address;
        let node = &mut self.nodes[index];
        node.watcher = None;
        node.listen = listen;
        let mut process = node
            .process
            .take()
            .ok_or_else(|| DemoError::not_seen(format!("{} does not run", node.name)))?;
        let status = process.kill()?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        if signal != Some(9) {
            return Err(DemoError::not_seen(format!(
                "{} was to be killed but {status}",
                node.name
            )));
        }
        self.killed += 1;
        self.finalisers_killed += u32::from(self.finalises(index));
        self.sender.send_modify(|pictures| pictures[index] = None);
        Ok(process.id())
    }

    /// Ends all nodes in order, as an operator does.
    pub async fn stop(&mut self) -> Result<(), DemoError> {
        for index in 0..self.len() {
            self.nodes[index].watcher = None;
            self.ask(index, vec![Request::Stop]).await?;
        }
        let deadline = Instant::now() + END_TIME;
        for node in &mut self.nodes {
            let Some(mut process) = node.process.take() else {
                continue;
            };
            match process.wait(deadline).await {
                Some(status) if status.success() => {}
                Some(status) => {
                    return Err(DemoError::not_seen(format!(
                        "{} did not end in order: {status}",
                        node.name
                    )));
                }
                None => {
                    return Err(DemoError::not_seen(format!(
                        "{} does not end when told to",
                        node.name
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The nodes in a few words, for an error.
fn told(pictures: &Pictures) -> String {
    let words = pictures
        .iter()
        .zip(1..)
        .map(|(picture, number)| match picture {
            None => format!("node {number} does not answer"),
            Some(Picture { tip, peers, .. }) => format!(
                "node {number}: block {} ({}), {} registered, {peers} peers, {} waiting{}",
                tip.height,
                tip.id.get(..8).unwrap_or_default(),
                tip.roll_size,
                picture.as_ref().map_or(0, Picture::waiting),
                picture
                    .as_ref()
                    .and_then(|picture| picture.finality.as_ref())
                    .map(|finality| format!(", final up to {}", finality.height))
                    .unwrap_or_default(),
            ),
        });
    words.collect::<Vec<_>>().join("; ")
}
