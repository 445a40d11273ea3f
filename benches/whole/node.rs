//! Nodes as processes, on loopback, watched over their control sockets.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use votenode::control::{Client, ClientError, Request};
use votenode::datadir::DataPaths;

use super::machine;

/// What never happens in this time will not happen.
const DEADLINE: Duration = Duration::from_secs(1_800);
/// Between two looks at a node.
const LOOK: Duration = Duration::from_millis(5);

/// A running node; killed when dropped.
pub struct Node {
    child: Child,
    dir: PathBuf,
}

/// `votenode` without what configures the user's own node.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_votenode"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VOTENODE_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Puts the chain of a file into a data directory.
pub fn import(file: &Path, dir: &Path) {
    let mut command = command(dir);
    let status = command
        .arg("import")
        .arg(file)
        .arg("--data-dir")
        .arg(dir)
        .status()
        .unwrap();
    assert!(status.success(), "the import failed");
}

impl Node {
    /// Starts a node on a data directory, connected with `peers`. What it logs goes to a file in the directory.
    pub fn begin(genesis: &Path, dir: &Path, peers: &[&Node], more: &[&str]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = command(dir);
        command.args([
            "--no-mdns",
            "--http",
            "off",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ]);
        command
            .arg("--network")
            .arg(genesis)
            .arg("--data-dir")
            .arg(dir);
        peers.iter().for_each(|peer| {
            command.arg("--bootstrap").arg(peer.address());
        });
        let child = command.args(more).stderr(log).spawn().unwrap();
        Self {
            child,
            dir: dir.to_owned(),
        }
    }

    /// Starts a node and waits until it answers.
    pub fn start(genesis: &Path, dir: &Path, peers: &[&Node], more: &[&str]) -> Self {
        let mut node = Self::begin(genesis, dir, peers, more);
        node.until_answers();
        node
    }

    /// Waits until it answers.
    pub fn until_answers(&mut self) {
        let start = Instant::now();
        while self.look().is_none() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "a node ended: see {}",
                self.dir.join("log").display()
            );
            assert!(start.elapsed() < DEADLINE, "a node does not answer");
            std::thread::sleep(LOOK);
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its control socket.
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::connect(&DataPaths::new(&self.dir).control_socket())
    }

    fn look(&self) -> Option<Value> {
        self.client().ok()?.ask(&Request::Status).ok()
    }

    /// What it says of itself.
    pub fn status(&self) -> Value {
        self.until("a status", |_| true)
    }

    /// Waits until its status is so.
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.look();
            if let Some(status) = status.as_ref().filter(|status| is_so(status)) {
                return status.clone();
            }
            assert!(
                start.elapsed() < DEADLINE,
                "waited for {what} for ever; the last status: {status:?}"
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it is connected with so many nodes.
    pub fn until_peers(&self, count: u64) {
        self.until("peers", |status| status["peers"].as_u64() >= Some(count));
    }

    /// The address that it listens on.
    pub fn address(&self) -> String {
        let status = self.until("an address", |status| status["listening"][0].is_string());
        status["listening"][0].as_str().unwrap().to_owned()
    }

    /// Seconds of processor time that it took so far.
    pub fn cpu_seconds(&self) -> f64 {
        machine::cpu_seconds(self.id())
    }

    /// The part of [`Self::cpu_seconds`] that its miner took.
    pub fn miner_seconds(&self) -> f64 {
        machine::thread_seconds(self.id(), "miner")
    }

    /// Ends it in order. Gives all processor time that it took.
    pub fn stop(mut self) -> f64 {
        machine::signal(&self.child, "TERM");
        let mut seconds: f64 = 0.0;
        loop {
            seconds = seconds.max(self.cpu_seconds());
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "a node did not end in order");
                return seconds;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sum over kinds of a status's counts.
pub fn total(counts: &Value) -> u64 {
    counts
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_u64())
        .sum()
}
