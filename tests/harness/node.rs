//! A running `votenode` and what it says of itself.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use super::process::{Ended, Process};
use super::scene::{Place, Scene};
use super::until;

/// A node with a HOME of its own, which is also its name. It can be ended and started again on the same data.
pub struct Node<'s> {
    scene: &'s Scene,
    place: Place,
    name: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    process: Option<Process>,
}

impl<'s> Node<'s> {
    /// Starts `votenode` with these arguments and waits until it answers.
    pub fn start(scene: &'s Scene, place: Place, name: &str, arguments: &[&str]) -> Self {
        let mut node = Self::at_rest(scene, place, name, arguments, Vec::new());
        node.again();
        node
    }

    /// A node that is not started yet, with variables of its environment.
    pub fn at_rest(
        scene: &'s Scene,
        place: Place,
        name: &str,
        arguments: &[&str],
        variables: Vec<(String, String)>,
    ) -> Self {
        Self {
            scene,
            place,
            name: name.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            variables,
            process: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a node of a network on loopback that knows these nodes. Its port stays its own over restarts.
    pub fn on_loopback(
        scene: &'s Scene,
        name: &str,
        network: &Path,
        others: &[&Node<'_>],
        more: &[&str],
    ) -> Self {
        let listen = format!("/ip4/127.0.0.1/tcp/{}", port());
        let others: Vec<String> = others.iter().map(|node| node.address()).collect();
        let mut arguments = vec!["--no-mdns", "--http", "127.0.0.1:0"];
        arguments.extend(["--listen", &listen]);
        arguments.extend(["--network", network.to_str().unwrap()]);
        for other in &others {
            arguments.extend(["--bootstrap", other]);
        }
        arguments.extend(more);
        Self::start(scene, Place::Here, name, &arguments)
    }

    /// Starts it again after it ended, and waits until it answers.
    pub fn again(&mut self) {
        self.begin();
        self.until_answers();
    }

    /// Starts it after it ended, and goes on.
    pub fn begin(&mut self) {
        assert!(self.process.is_none(), "{} runs", self.name);
        let mut command = self.scene.command(&self.place, &self.name, "votenode");
        command.args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.process = Some(self.scene.start(command, &self.name));
    }

    /// Waits until it answers.
    pub fn until_answers(&mut self) {
        let process = self.process.as_mut().unwrap();
        let (scene, name) = (self.scene, self.name.as_str());
        until(&format!("{name} to answer"), || {
            if let Some(code) = process.ended() {
                panic!("{name} ended with {code}: {}", process.stderr());
            }
            ask(scene, name, &["status", "--json"]).map(drop)
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// How its process ended, if it did so by itself since it was looked at. It can be started again then.
    pub fn has_ended(&mut self) -> Option<Ended> {
        let process = self.process.as_mut()?;
        process.ended()?;
        let ended = process.wait();
        self.process = None;
        Some(ended)
    }

    /// SIGTERM, and the end that follows.
    pub fn terminate(&mut self) -> Ended {
        let mut process = self.process.take().unwrap();
        process.signal("TERM");
        process.wait()
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// The id of the running process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// What it logged so far, over all its runs.
    pub fn log(&self) -> String {
        self.process.as_ref().unwrap().stderr()
    }

    /// The data directory where none is given.
    pub fn data_dir(&self) -> PathBuf {
        self.scene.home(&self.name).join(".local/share/votenode")
    }

    /// Waits until `pick` finds something in the node's status.
    pub fn watch<T>(&self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        until(&format!("{what} at {}", self.name), || {
            let status = ask(self.scene, &self.name, &["status", "--json"])?;
            pick(&status).ok_or_else(|| status.to_string())
        })
    }

    /// Waits until its status is so.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Value) -> bool) -> Value {
        self.watch(what, |status| condition(status).then(|| status.clone()))
    }

    /// The status.
    pub fn status(&self) -> Value {
        self.until("a status", |_| true)
    }

    /// Waits until it is connected with so many peers.
    pub fn until_peers(&self, count: u64) {
        self.until(&format!("{count} peers"), |status| {
            status["peers"].as_u64() >= Some(count)
        });
    }

    /// Waits until so many voters are on its roll.
    pub fn until_roll(&self, size: u64) {
        self.until(&format!("a roll of {size}"), |status| {
            status["tip"]["roll_size"] == size
        });
    }

    /// A TCP address that it listens on.
    pub fn address(&self) -> String {
        self.watch("a TCP address", |status| {
            let addresses = status["listening"].as_array()?;
            let found = addresses
                .iter()
                .filter_map(Value::as_str)
                .find(|address| address.contains("/tcp/") && !address.starts_with("/ip6"));
            found.map(str::to_owned)
        })
    }

    /// The id of its best block.
    pub fn tip(&self) -> String {
        self.status()["tip"]["id"].as_str().unwrap().to_owned()
    }

    /// What a `votenode` command says about this node.
    pub fn ask(&self, arguments: &[&str]) -> Ended {
        let mut command = self.scene.command(&Place::Here, &self.name, "votenode");
        command.args(arguments);
        self.scene.run(command)
    }
}

/// A port that nobody uses, below those that the system gives to outgoing connections.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + std::process::id() as u16 % 15_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn ask(scene: &Scene, name: &str, arguments: &[&str]) -> Result<Value, String> {
    let mut command = scene.command(&Place::Here, name, "votenode");
    let output = command
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    let failed = || String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(failed());
    }
    serde_json::from_slice(&output.stdout).map_err(|_| failed())
}

/// Waits until all nodes have the same best block, with nothing left to mine, and returns its id.
pub fn until_one_tip(nodes: &[&Node<'_>]) -> String {
    until("one tip", || {
        let status: Vec<Value> = nodes.iter().map(|node| node.status()).collect();
        let tips: Vec<&Value> = status.iter().map(|status| &status["tip"]["id"]).collect();
        let idle = status.iter().all(|status| {
            let waiting = status["mempool"]["transactions"].as_object();
            waiting.is_some_and(|counts| counts.values().all(|count| count == 0))
        });
        if idle && tips.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(tips[0].as_str().unwrap().to_owned());
        }
        Err(format!("{tips:?}, idle: {idle}"))
    })
}
